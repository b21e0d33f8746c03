# SPDX-License-Identifier: MIT
"""image_resizing: sizes and grids, boxes, points. (crop: bands.py)"""

import numpy as np

from calls import call, const, drawn, flag, integer, ints, text

GRIDS = ("DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "UNALIGN_CORNERS", "OFFSET_CORNERS")


def float_(value, dtype="fp32"):
    return const(dtype, value)


def upsample():
    for op in ("upsample_nearest_neighbor", "upsample_bilinear"):

        def one(x, h=None, w=None, op=op, **more):
            return call(op, x=x, scale_factor_height=h, scale_factor_width=w, **more)

        factors = ((integer(2), integer(3)), (float_(2.5), float_(2.0)), (float_(0.5), float_(0.75)), (float_(1.12), float_(0.67)), (None, integer(2)))
        for number, (h, w) in enumerate(factors):
            yield one(("fp32", "fp16")[number % 2] + "[2,3,5]", h, w)
            yield one(("fp16", "fp32")[number % 2] + ("[1,2,1,3]" if number != 2 else "[1,2,2,3]"), h, w)
            if number % 2 == 0:
                yield one("fp32[1,1,a,b]", h, w, bind={"a": 3, "b": 5})
        yield one("fp32[2,4,7]", integer(1), float_(2.0))
        yield one("fp32[4,7]", integer(1))
        yield one("fp32[1,1,2,1,2]", integer(2), integer(2))
        yield one("fp32[1,0,2,3]", integer(2), integer(2))
        for each in (integer(0), integer(-1), float_(0.1), ints(2), float_(2.0, "fp16"), "int32"):
            yield one("fp32[1,2,3]", each, integer(1) if each not in (float_(0.1),) else None)
        for dtype in ("bool", "int32", "int8"):
            yield one(dtype + "[1,2,3]", integer(2))
        yield one(drawn("fp32[1,2,3]"), integer(2), integer(2))
        yield call(op, scale_factor_height=integer(2))
    for aligns in (True, False, None):
        for by_half in (True, False, None):
            for h, w in ((integer(2), integer(3)), (float_(0.75), float_(0.2))):
                yield call("upsample_bilinear", x="fp32[1,3,5]", scale_factor_height=h, scale_factor_width=w,
                           align_corners=aligns if aligns is None else flag(aligns),
                           half_pixel_centers=by_half if by_half is None else flag(by_half))  # fmt: skip


def to_size():
    def one(op, x, h=None, w=None, **more):
        number = lambda n: integer(n) if isinstance(n, int) else n
        return call(op, x=x, target_size_height=number(h), target_size_width=number(w), **more)

    for x, h, w in (("fp32[1,4,7]", 5, 3), ("fp32[1,4,7]", 1, 1), ("fp32[1,4,7]", 4, 7), ("fp16[2,2,1,2]", 3, 4), ("fp16[1,1,3,17]", 2, 5),
                    ("fp32[1,1,2,18]", 1, 17)):  # fmt: skip
        yield one("resize_nearest_neighbor", x, h, w)
        for grid in GRIDS:
            yield one("resize_bilinear", x, h, w, sampling_mode=text(grid))
    for op in ("resize_nearest_neighbor", "resize_bilinear"):
        yield one(op, "fp32[1,2,3]")
        yield one(op, "fp32[1,2,3]", 2)
        yield one(op, "fp32[3,4]", 2, 2)
        yield one(op, "fp32[1,1,a,b]", 3, 4, bind={"a": 2, "b": 5})
        yield one(op, "fp32[1,0,2,2]", 3, 3)
        yield one(op, "fp32[1,2,3]", "int32", 2)
        yield one(op, "fp32[1,2,3]", ints(2), 2)
        yield one(op, drawn("fp32[1,2,3]"), 3, 4)
        for n in (0, -1):
            yield one(op, "fp32[1,2,3]", n, 2)
        for dtype in ("bool", "int32", "int8"):
            yield one(op, dtype + "[1,2,3]", 3, 2)
    yield one("resize_bilinear", "fp32[1,2,3]", 2, 2, sampling_mode=text("default"))


def resize():
    def one(x, shape, n=2, mode=None, grid=None, **more):
        return call("resize", x=x, shape=ints(*shape) if isinstance(shape, tuple) else shape, resized_dims=const("uint32", n) if isinstance(n, int) else n,
                    interpolation_mode=mode and text(mode), sampling_mode=grid and text(grid), **more)  # fmt: skip

    for mode in ("LINEAR", "NEAREST_NEIGHBOR"):
        for grid in (None, *GRIDS):
            for number, (x, shape) in enumerate((("[1,3,4]", (5, 3)), ("[3,4]", (1, 1)) if "ALIGN" in str(grid) else ("[1,4,2]", (0, 2, 5)))):
                yield one(("fp32", "fp16")[number % 2] + x, shape, 2, mode, grid)
        for n, shape in ((0, (2,)), (1, (5,)), (3, (3, 2, 5)), (3, (1, 0, 4)), (2, (0, 0)), (1, (9, 9, 9, 9))):
            yield one("fp32[1,2,3,4]", shape, n, mode)
        yield one("int32[2,5]", (4,), 1, mode, values=mode != "LINEAR")
        yield one("fp32[1,2,3]", "int32[2]", 2, mode, draw={"shape": [4, 5]})
        yield one("fp32[a,b]", (4, 0), 2, mode, bind={"a": 2, "b": 3})
        yield one("fp32[1,2,3,2]", "uint16[3]", 3, mode, draw={"shape": [2, 0, 5]})
    for n, shape in ((3, (2, 2)), (2, (1, 1, 2, 2)), (1, (-1,)), (1, ())):
        yield one("fp32[1,2,3]", shape, n)
    for dtype in ("int16", "int32", "uint16", "uint32", "int8", "fp32"):
        yield one("fp32[1,2,3]", const(dtype, [2, 2]))
        yield one("fp32[1,2,3]", (2, 2), const(dtype, 2))
        yield one(dtype + "[1,2,3]", (2, 2), values=False)
    yield one("fp32[1,2,3]", (2, 2), "uint32")
    yield one("fp32[1,2,3]", const("int32", [[2, 2]]))
    yield one("fp32[1,2,3]", integer(2))
    yield one("fp32[1,2,3]", (2, 2), 2, "linear")
    yield one("fp32[1,2,3]", (2, 2), 2, None, "ALIGN")


def boxes():
    some = [[0.1, 0.3, 1.3, 1.0], [0.5, 1.0, 1.0, 0.25], [0.0, 0.4, 0.6, 0.7], [0.5, 0.5, 0.5, 0.5]]
    orders = ("CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST")

    def one(x, size, roi, **more):
        rows = np.array(roi, np.float32)
        later = rows[:, 1:] if rows.shape[1] == 5 else rows
        index = [int(i) for i in rows[:, 0]] if rows.shape[1] == 5 else [0] * len(rows)
        more = {"target_height": integer(size[0]), "target_width": integer(size[1]), **more}
        dtype = x.split("[")[0]
        yield call("crop_resize", x=x, roi=f"{dtype}[{len(rows)},1,{rows.shape[1]},1,1]", draw={"roi": rows}, **more)
        if rows.shape[1] == 5 or x[5] == "1":
            yield call("crop_resize", x=x, boxes=f"{dtype}[{len(rows)},4]", box_indices=ints(*index), draw={"boxes": later}, **more)

    for number, grid in enumerate(GRIDS):
        for size in ((2, 3), (1, 1)) if "ALIGN" in grid else ((2, 3),):
            yield from one("fp32[1,1,4,5]", size, some, sampling_mode=text(grid), normalized_coordinates=flag(True), pad_value=float_(10.0))
        yield from one("fp16[1,2,4,4]", (3, 2), [[0, 1, 1, 2.5, 3], [0, 2, 2, 1, 1], [0, 0, 0, 3, 3]], sampling_mode=text(grid), box_coordinate_mode=text(orders[number % 4]))
    for order in orders:
        yield from one("fp32[1,1,6,7]", (3, 4), [[2, 3, 2, 4], [1, 1, 2, 2]], box_coordinate_mode=text(order), spatial_scale=float_(0.75), sampling_mode=text("ALIGN_CORNERS"))
    yield from one("fp32[2,2,3,3]", (2, 2), [[1, 0, 0, 2, 2], [0, 1, 1, 2, 2]])
    yield from one("fp32[2,2,3,3]", (2, 2), [[0, 0, 2, 2], [1, 1, 2, 2]])
    yield from one("fp32[1,1,4,4]", (2, 2), [[1, 1, 2, 2]], sampling_mode=text("CORNERS"))
    yield from one("fp32[1,1,4,4]", (2, 2), [[1, 1, 2, 2]], box_coordinate_mode=text("CORNERS"))
    yield from one("fp32[1,1,4,4]", (0, 2), [[1, 1, 2, 2]])
    x = "fp32[2,1,4,4]"
    for roi in ("fp32[3,1,4,1,1]", "fp32[n,1,5,1,1]", "fp16[3,1,4,1,1]", "fp32[3,4]", "fp32[3,1,6,1,1]", "fp32[3,4,1,1]"):
        yield call("crop_resize", x=x, roi=roi, target_height=integer(2), values=False)
    for given in ("fp32[3,4]", "fp32[2,4]", "fp32[n,4]", "fp32[3,5]", "fp32[4]", "uint16[2,4]", "int32[2,4]"):
        yield call("crop_resize", x=x, boxes=given, target_width=integer(2), values=False)
        yield call("crop_resize", x=x, boxes=given, box_indices="int32[3]", values=False)
    for given in (ints(0, 1), ints(0, 2), ints(-1, 0), const("uint16", [1, 1]), const("int32", [[0, 1]]), const("fp32", [0, 1])):
        yield call("crop_resize", x=x, boxes=const("fp32", [[0, 0, 3, 3], [1, 2, 3, 1]]), box_indices=given, target_width=integer(2), target_height=integer(2), values="-1" not in str(given))
    yield call("crop_resize", x=x, boxes="fp32[2,4]", target_height=integer(2), target_width=integer(3), draw={"boxes": [[0, 0, 3, 3], [1, 2, 3, 1]]})
    yield call("crop_resize", x=x, boxes="uint16[2,4]", box_indices="uint16[2]", target_height=integer(3), draw={"boxes": [[0, 0, 3, 3], [1, 2, 3, 5]], "box_indices": [1, 0]})
    yield call("crop_resize", x=x, boxes="uint16[2,4]", normalized_coordinates=flag(True), values=False)
    yield call("crop_resize", x="fp32[1,4,4]", boxes="fp32[1,4]", values=False)
    yield call("crop_resize", x="int32[1,1,4,4]", boxes="fp32[1,4]", values=False)
    yield call("crop_resize", x="fp32[1,1,4,4]", values=False)


def points():
    def one(x, at, *, mode="bilinear", outside="constant", space="unnormalized", aligns=True, value=6.5, **more):
        return call("resample", x=x, coordinates=at, sampling_mode=text(mode), padding_mode=text(outside), padding_value=float_(value, x.split("[")[0]),
                    coordinates_mode=text(space), align_corners=flag(aligns), **more)  # fmt: skip

    rng = np.random.default_rng(5)
    spaces = (("unnormalized", -9, 12), ("normalized_minus_one_to_one", -2.5, 2.5), ("normalized_zero_to_one", -1.5, 2.5))
    places = {space: np.round(rng.uniform(low, high, (1, 2, 4, 2)), 3) for space, low, high in spaces}
    for mode in ("bilinear", "nearest"):
        for number, outside in enumerate(("constant", "border", "reflection", "symmetric")):
            for space, at in places.items():
                for aligns in (True, False) if space != "unnormalized" else (True,):
                    yield one(("fp32", "fp16")[number % 2] + "[1,1,3,4]", "fp32[1,2,4,2]", mode=mode, outside=outside, space=space, aligns=aligns, draw={"coordinates": at})
            yield one("fp32[1,1,1,3]", "int32[1,2,2,2]", mode=mode, outside=outside, draw={"coordinates": (-4, 5)})
            yield one("fp16[2,2,3,3]", "fp16[2,2,1,2]", mode=mode, outside=outside, draw={"coordinates": np.array([[-1, -2], [0.5, 1.25], [2, 2], [7, 1]])})
    for dtype in ("bool", "int8", "int32", "uint16", "fp16"):
        yield one("fp32[1,1,2,2]", dtype + "[1,2,3,2]", draw={"coordinates": (0, 1)} if dtype not in ("fp16", "fp32", "bool") else {})
    for x, at in (("[a,2,h,w]", "[a,3,k,2]"), ("[2,2,3,3]", "[a,3,3,2]"), ("[2,2,3,3]", "[3,3,3,2]"), ("[2,2,3,3]", "[2,3,3,3]"), ("[2,3,3]", "[2,3,3,2]"), ("[2,2,3,3]", "[2,3,2]"), ("[2,2,0,3]", "[2,1,1,2]")):
        yield one("fp32" + x, "fp32" + at, values=False)
    yield one("fp32[1,1,2,2]", "fp32[1,1,1,2]", mode="linear")
    yield one("fp32[1,1,2,2]", "fp32[1,1,1,2]", outside="zeros")
    yield one("fp32[1,1,2,2]", "fp32[1,1,1,2]", space="normalized")
    yield call("resample", x="fp32[1,1,2,2]", coordinates="fp32[1,1,1,2]")


def affine():
    def one(x, matrix, size=(3, 4), *, mode="bilinear", outside="constant", value=0.0, space="normalized_minus_one_to_one", aligns=True, **more):
        return call("affine", x=x, transform_matrix=matrix, output_height=integer(size[0]), output_width=integer(size[1]), sampling_mode=text(mode),
                    padding_mode=text(outside), padding_value=float_(value, x.split("[")[0]), coordinates_mode=text(space), align_corners=flag(aligns), **more)  # fmt: skip

    maps = np.array([[1, 0, 0, 0, 1, 0], [0.7, -0.6, 0.2, 0.5, 0.8, -0.1]], np.float32)
    for dtype in ("fp32", "fp16"):
        for size in ((3, 4), (2, 1)):
            for aligns in (True, False):
                yield one(dtype + "[2,2,4,5]", dtype + "[2,6]", size, aligns=aligns, draw={"transform_matrix": maps})
                yield one(dtype + "[2,1,2,2]", dtype + "[1,6]", size, aligns=aligns, draw={"transform_matrix": maps[1:]})
    for x, matrix in (("[a,2,h,w]", "[b,6]"), ("[2,2,3,3]", "[3,6]"), ("[2,2,3,3]", "[2,5]"), ("[2,2,3]", "[2,6]"), ("[2,2,3,3]", "[6]"), ("[2,2,3,3]", "[1,6]"), ("[1,2,0,3]", "[1,6]")):
        yield one("fp32" + x, "fp32" + matrix, values=False)
    yield one("fp32[1,1,2,2]", "fp16[1,6]", values=False)
    for more in ({"mode": "nearest"}, {"mode": "Bilinear"}, {"outside": "border"}, {"value": 1.0}, {"space": "unnormalized"}, {"size": (0, 2)}, {"size": (-1, 2)}):
        yield one("fp32[1,1,2,2]", "fp32[1,6]", values=False, **more)
    yield one("int32[1,1,2,2]", "fp32[1,6]", values=False)
    yield call("affine", x="fp32[1,1,2,2]", transform_matrix="fp32[1,6]")


def calls():
    yield from upsample()
    yield from to_size()
    yield from resize()
    yield from boxes()
    yield from points()
    yield from affine()
