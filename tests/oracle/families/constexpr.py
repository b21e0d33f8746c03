# SPDX-License-Identifier: MIT
"""constexpr: consts that are kept compressed."""

import numpy as np

from calls import call, const, drawn, integer, ints, text

INTEGERS = ("int4", "uint4", "int8", "uint8")

# data, scale (and offset)
BLOCKS = [
    ("[8]", "[1]"), ("[8]", "[8]"), ("[6]", "[3]"), ("[3,4]", "[3,1]"), ("[3,4]", "[1,1]"), ("[4,6]", "[2,3]"), ("[3,5]", "[3,1]"),
    ("[3,7]", "[1,7]"), ("[2,3,4]", "[2,1,2]"), ("[4,3,1,1]", "[4,1,1,1]"), ("[2,64]", "[2,2]"), ("[2,3,2,1,3]", "[1,3,2,1,1]"),
    ("[2,1,2,1,2,3]", "[2,1,1,1,2,1]"),
]  # fmt: skip
NO_BLOCKS = [("", ""), ("[8]", ""), ("[8]", "[3]"), ("[8]", "[16]"), ("[2,4]", "[2]"), ("[2,4]", "[4,2]"), ("[2,4]", "[1,1,1]")]
WIDE = {"data": (-128, 255), "offset": (-128, 255), "scale": "normal"}


def constexpr_blockwise_shift_scale():
    op = "constexpr_blockwise_shift_scale"
    for number, (data, scale) in enumerate(BLOCKS):
        dtype = INTEGERS[number % 4]
        yield call(op, data=drawn(dtype + data), scale=drawn("fp32" + scale), draw=WIDE)
        yield call(op, data=drawn(INTEGERS[-1 - number % 2] + data), scale=drawn("fp16" + scale), draw=WIDE)
        yield call(op, data=drawn(dtype + data), scale=drawn("fp32" + scale), offset=drawn(dtype + scale), draw=WIDE)
    for dtype in ("bool", "fp16", "fp32", *INTEGERS, "int16", "int32"):
        plain = {"data": drawn(dtype + "[2,3]"), "scale": drawn("fp32[1,3]")}
        yield call(op, **plain, draw={"data": "normal"} if dtype.startswith("fp") or dtype == "bool" else WIDE)
        for offset in ("bool", "fp16", dtype, "int8"):
            yield call(op, **plain, offset=drawn(offset + "[1,3]"), values=dtype in INTEGERS and offset == dtype)
        yield call(op, data=drawn("int8[2,3]"), scale=drawn(dtype + "[1,3]"), values=False)
    for data, scale in NO_BLOCKS:
        yield call(op, data=drawn("int8" + data), scale=drawn("fp32" + scale))
    yield call(op, data=drawn("int8[4,6]"), scale=drawn("fp32[2,3]"), offset=drawn("int8[2,1]"))
    yield call(op, data=drawn("int8[4,6]"), scale=drawn("fp32[2,3]"), offset=drawn("int8[6]"))
    yield call(op, data=drawn("int8[4,6]"))
    yield call(op, scale=drawn("fp32[2,3]"))
    yield call(op, data="int8[4,6]", scale=drawn("fp32[2,3]"))
    yield call(op, data=drawn("int8[4,6]"), scale="fp32[2,3]")


def constexpr_affine_dequantize():
    op = "constexpr_affine_dequantize"

    def affine(data, scale, zero, axis, values=True, scale_dtype="fp32", zero_dtype=None):
        dtype = data.split("[")[0]
        draw = {"quantized_data": (-128, 255), "zero_point": (-128, 255), "scale": "normal"}
        draw = {} if not values else draw
        return call(op, quantized_data=drawn(data), scale=drawn(scale_dtype + scale), axis=integer(axis), values=values,
                    zero_point=drawn((zero_dtype or dtype) + zero), draw=draw)  # fmt: skip

    shapes = [("[1]", 0), ("[7]", -1), ("[3,4]", 0), ("[3,4]", 1), ("[2,3,5]", 1), ("[2,3,5]", -3), ("[4,3,1,1]", 0),
              ("[2,33]", 0), ("[33,17]", 1), ("[2,3,2,1,3]", 2), ("[3,0]", 0)]  # fmt: skip
    for number, (shape, axis) in enumerate(shapes):
        vector = f"[{shape[1:-1].split(',')[axis]}]"
        for scale, zero in ((vector, vector), ("", ""), (vector, ""), ("", vector)):
            dtype = ("int8", "uint8")[number % 2]
            yield affine(dtype + shape, scale, zero, axis, scale_dtype=("fp32", "fp16")[(number + len(scale)) % 2])
        yield affine("int8" + shape, vector, vector, axis, zero_dtype="fp32", values=False)
    for data, scale, zero, axis in (("[3,4]", "[3]", "[3]", 2), ("[3,4]", "[3]", "[3]", -3), ("[3,4]", "[3]", "[3]", 1), ("[3,4]", "[4]", "[3]", 1),
                                    ("[3,4]", "[3,1]", "[3]", 0), ("[3,4]", "[3]", "[3,1]", 0), ("[3,4]", "[1]", "", 0), ("", "", "", 0)):  # fmt: skip
        yield affine("int8" + data, scale, zero, axis)
    for dtype in ("bool", "fp16", "fp32", "int4", "int16", "int32"):
        yield affine(dtype + "[3,4]", "[3]", "[3]", 0, values=False)
        yield affine("int8[3,4]", "[3]", "[3]", 0, zero_dtype=dtype, values=False)
        yield affine("int8[3,4]", "[3]", "[3]", 0, scale_dtype=dtype, values=False)
    yield affine("int8[3,4]", "[3]", "[3]", 0, zero_dtype="uint8", values=False)
    yield call(op, quantized_data=drawn("int8[3,4]"), scale=drawn("fp32[3]"), zero_point=drawn("int8[3]"))
    yield call(op, quantized_data=drawn("int8[3,4]"), scale=drawn("fp32[3]"), axis=integer(0))
    yield call(op, quantized_data="int8[3,4]", scale=drawn("fp32[3]"), zero_point=drawn("int8[3]"), axis=integer(0))


def shape_of(*extents):
    return const("uint32", list(extents))


def constexpr_lut_to_dense():
    op = "constexpr_lut_to_dense"
    drawn_bytes = {"indices": (0, 255), "lut": "normal"}
    for number, shape in enumerate(([8], [1], [5], [3, 4], [2, 3, 5], [4, 3, 1, 1], [3, 43], [2, 1, 2, 2, 3], [7, 0], [])):
        n = int(np.prod(shape))
        for bits in (1, 2, 4, 6, 8):
            packed = f"uint8[{(n * bits + 7) // 8}]"
            dtype = ("fp32", "fp16", "int8", "uint8")[(number + bits) % 4]
            draw = {**drawn_bytes, "lut": "normal" if dtype.startswith("fp") else (0, 127)}
            yield call(op, indices=drawn(packed), lut=drawn(f"{dtype}[{1 << bits}]"), shape=shape_of(*shape), draw=draw)
    good = {"indices": drawn("uint8[4]"), "lut": drawn("fp32[4]"), "shape": shape_of(4, 4)}
    for other in ({"indices": drawn("uint8[5]")}, {"indices": drawn("uint8[3]")}, {"indices": drawn("uint8[2,2]")}, {"lut": drawn("fp32[3]")},
                  {"lut": drawn("fp32[8]")}, {"lut": drawn("fp32[32]")}, {"lut": drawn("fp32[512]")}, {"lut": drawn("fp32[2,2]")}, {"lut": drawn("fp32")},
                  {"shape": shape_of(4, 5)}, {"shape": ints(4, 4)}, {"indices": drawn("int8[4]")}, {"indices": "uint8[4]"},
                  {"lut": "fp32[4]"}, {"lut": drawn("int32[4]")}, {"lut": drawn("bool[4]")}, {"indices": None}, {"lut": None}, {"shape": None}):  # fmt: skip
        yield call(op, **{**good, **other}, values=False)


def constexpr_sparse_to_dense():
    op = "constexpr_sparse_to_dense"
    random = np.random.default_rng(7)

    def sparse(extents, share, dtype, more=0, stray=False, **other):
        n = int(np.prod(extents))
        bits = random.random(n) < share
        packed = np.packbits(bits, bitorder="little")
        if stray:
            packed[-1] |= 128
        draw = {"nonzero_data": "normal" if dtype.startswith("fp") else (0, 127)}
        args = {"nonzero_data": drawn(f"{dtype}[{int(bits.sum()) + more}]"), "mask": const("uint8", packed.tolist()), "shape": shape_of(*extents)}
        return call(op, **{**args, **other}, draw=draw, values=more == 0 and not other)

    for number, shape in enumerate(([8], [1], [5], [3, 4], [2, 3, 5], [4, 3, 1, 1], [3, 43], [2, 1, 2, 2, 3], [9, 131])):
        for share in (0.1, 0.5, 0.9, 1.1) if number < 7 else (0.5,):
            yield sparse(shape, share, ("fp32", "fp16", "int8", "uint8")[(number + int(share * 10)) % 4])
    yield sparse([3, 4], 0.5, "fp32", more=1)
    yield sparse([3, 4], 0.5, "fp32", more=-1)
    yield sparse([3, 4], 0.5, "fp32", more=1, stray=True)
    for other in ({"shape": shape_of(3, 8)}, {"shape": ints(3, 4)}, {"shape": None}, {"mask": None}, {"mask": "uint8[2]"}, {"mask": drawn("int8[2]")},
                  {"nonzero_data": None}, {"nonzero_data": "fp32[6]"}, {"nonzero_data": drawn("int32[6]")}, {"mask": const("uint8", [[1], [2]])}):  # fmt: skip
        yield sparse([3, 4], 0.5, "fp32", **other)


# ---- ios18 ----

FLOATS = ("fp32", "fp16")
PALETTE = {"indices": (0, 255), "indices_nonzero_data": (0, 255)}


def lut_of(dtype, blocks, bits, vector):
    return f"{dtype}[{','.join(map(str, (*blocks, 1 << bits, vector)))}]"


def drawn_lut(dtype):
    return {**PALETTE, "lut": "normal" if dtype.startswith("fp") else (0, 127)}


# Shape of the indices, palettes along each axis, bits, length of a vector and the axis where it is needed.
PALETTES = [
    ([5], [1], 1, 1, None), ([6], [3], 2, 1, None), ([3, 4], [1, 1], 3, 1, None), ([4, 6], [2, 3], 4, 1, None), ([3, 4], [3, 1], 6, 1, None),
    ([2, 3], [1, 3], 8, 1, None), ([4, 3, 1, 1], [2, 1, 1, 1], 2, 1, 0), ([2, 3, 2, 1, 3], [1, 3, 2, 1, 1], 1, 1, None), ([2, 33], [2, 1], 3, 1, -1),
    ([5], [1], 2, 3, 0), ([4, 6], [1, 1], 4, 2, 0), ([4, 6], [2, 3], 3, 2, 1), ([4, 6], [2, 3], 1, 4, -2), ([2, 3, 4], [1, 3, 2], 2, 3, 1),
    ([2, 3, 4], [2, 1, 1], 6, 2, -1), ([2, 1, 2, 2, 2, 3], [1, 1, 2, 1, 1, 1], 1, 2, 3), ([3, 0], [1, 1], 1, 2, 1),
]  # fmt: skip
NO_PALETTES = [
    ([], [], 1, 1, None), ([4, 6], [3, 1], 2, 1, None), ([4, 6], [1, 4], 2, 1, None), ([4, 6], [1], 2, 1, None), ([4, 6], [1, 1, 1], 2, 1, None),
    ([4, 6], [8, 1], 2, 1, None), ([4, 6], [1, 1], 2, 2, None), ([4, 6], [1, 1], 2, 2, 2), ([4, 6], [1, 1], 2, 2, -3), ([4, 6], [1, 1], 2, 1, 2),
]  # fmt: skip


def palettes():
    op = "constexpr_lut_to_dense"
    for number, (shape, blocks, bits, vector, axis) in enumerate(PALETTES + NO_PALETTES):
        for dtype in FLOATS[: 1 + number % 2] + ("int8", "uint8")[number % 4 : number % 4 + 1]:
            yield call(op, indices=drawn(f"uint{bits}{shape}".replace(" ", "")), lut=drawn(lut_of(dtype, blocks, bits, vector)),
                       vector_axis=None if axis is None else integer(axis), draw=drawn_lut(dtype))  # fmt: skip
    good = {"indices": drawn("uint2[4,6]"), "lut": drawn("fp32[1,1,4,1]")}
    for other in ({"lut": drawn("fp32[1,1,8,1]")}, {"lut": drawn("fp32[1,1,2,1]")}, {"lut": drawn("fp32[1,1,3,1]")}, {"lut": drawn("fp32[4]")},
                  {"lut": drawn("int32[1,1,4,1]")}, {"indices": drawn("int8[4,6]")}, {"indices": drawn("int4[4,6]")}, {"indices": "uint8[4,6]"},
                  {"vector_axis": ints(0)}, {"lut": "fp32[1,1,4,1]"}, {"lut": None}, {"indices": None}):  # fmt: skip
        yield call(op, **{**good, **other}, values=False)


def mask_of(shape, share, rng):
    """A mask, and how many of its bits are set."""
    bits = (rng.random(shape) < share).astype(int)
    return const("uint1", bits.tolist()), int(bits.sum())


def sparse_of_bits():
    op, rng = "constexpr_sparse_to_dense", np.random.default_rng(5)
    dtypes = ("int4", "fp32", "uint4", "fp16", "int8", "uint8")
    for number, shape in enumerate(([8], [1], [5], [3, 4], [2, 3, 5], [4, 3, 1, 1], [2, 21])):
        for share in (0.3, 1.1) if number % 2 else (0.8, -1):
            dtype = dtypes[(number + int(share * 10)) % 6]
            mask, n = mask_of(shape, share, rng)
            yield call(op, nonzero_data=drawn(f"{dtype}[{n}]"), mask=mask, draw={"nonzero_data": "normal" if dtype.startswith("fp") else (-8, 127)})
    mask, n = mask_of([3, 4], 0.5, rng)
    for values in (f"fp32[{n + 1}]", f"fp32[{n - 1}]", f"fp32[{n},1]", f"int32[{n}]", f"bool[{n}]"):
        yield call(op, nonzero_data=drawn(values), mask=mask)
    for other in (const("uint8", [[1, 0], [0, 1]]), const("bool", [[True, False]]), drawn("uint2[3,4]"), "fp32[3,4]"):
        yield call(op, nonzero_data=drawn("fp32[2]"), mask=other, values=False)


def constexpr_lut_to_sparse():
    op, rng = "constexpr_lut_to_sparse", np.random.default_rng(6)
    for number, (shape, blocks, bits, vector, axis) in enumerate(PALETTES + NO_PALETTES):
        dtype = ("fp32", "fp16", "int8", "uint8")[number % 4]
        mask, n = mask_of(shape, 0.6, rng)
        if 0 in shape:
            continue
        args = {"indices_mask": mask, "indices_nonzero_data": drawn(f"uint{bits}[{n}]"), "lut": drawn(lut_of(dtype, blocks, bits, vector))}
        yield call(op, **args, vector_axis=None if axis is None else integer(axis), draw=drawn_lut(dtype))
    mask, n = mask_of([4, 6], 0.5, rng)
    good = {"indices_mask": mask, "indices_nonzero_data": drawn(f"uint2[{n}]"), "lut": drawn("fp32[1,1,4,1]")}
    for other in ({"indices_nonzero_data": drawn(f"uint2[{n + 1}]")}, {"indices_nonzero_data": drawn(f"uint2[{n},1]")},
                  {"indices_nonzero_data": drawn(f"uint1[{n}]")}, {"indices_nonzero_data": drawn(f"int8[{n}]")}, {"lut": drawn("int32[1,1,4,1]")},
                  {"indices_mask": drawn("uint2[4,6]")}, {"indices_mask": "fp32[4,6]"}, {"lut": None}, {"indices_mask": None}):  # fmt: skip
        yield call(op, **{**good, **other}, values=False)


def constexpr_sparse_blockwise_shift_scale():
    op, rng = "constexpr_sparse_blockwise_shift_scale", np.random.default_rng(8)
    wide = {**WIDE, "nonzero_data": (-128, 255)}
    for number, (shape, scale) in enumerate(BLOCKS + NO_BLOCKS):
        dtype = INTEGERS[number % 4]
        mask, n = mask_of([int(part) for part in shape[1:-1].split(",") if part], 0.6, rng)
        args = {"data_mask": mask, "nonzero_data": drawn(f"{dtype}[{n}]"), "scale": drawn(FLOATS[number % 2] + scale)}
        yield call(op, **args, draw=wide)
        if number < len(BLOCKS):
            yield call(op, **args, offset=drawn(dtype + scale), draw=wide, values=number % 2 == 0)
    mask, n = mask_of([2, 3], 0.6, rng)
    for dtype in ("fp16", "fp32", "bool", "int16", "int32", "uint1"):
        plain = {"data_mask": mask, "nonzero_data": drawn(f"{dtype}[{n}]"), "scale": drawn("fp32[1,3]")}
        yield call(op, **plain, values=dtype.startswith("fp"))
        yield call(op, **plain, offset=drawn("fp16[1,3]"), values=False)
    good = {"data_mask": mask, "nonzero_data": drawn(f"int8[{n}]"), "scale": drawn("fp32[1,3]")}
    for other in ({"nonzero_data": drawn(f"int8[{n - 1}]")}, {"scale": drawn("int8[1,3]")}, {"offset": drawn("uint8[1,3]")}, {"offset": drawn("int8[3]")},
                  {"data_mask": drawn("bool[2,3]")}, {"data_mask": None}, {"scale": None}):  # fmt: skip
        yield call(op, **{**good, **other}, values=False)


def constexpr_cast():
    op = "constexpr_cast"
    for shape in ("", "[1]", "[3,5]", "[2,0]"):
        yield call(op, source_val=drawn("fp16" + shape), output_dtype=text("fp32"), draw={"source_val": "special"})
    for other in ({"output_dtype": text("fp16")}, {"output_dtype": text("int32")}, {"output_dtype": None},
                  {"source_val": drawn("fp32[3]")}, {"source_val": drawn("int8[3]")}, {"source_val": "fp16[3]"}, {"source_val": None}):  # fmt: skip
        yield call(op, **{"source_val": drawn("fp16[3]"), "output_dtype": text("fp32"), **other}, values=False)


def calls():
    yield from constexpr_affine_dequantize()
    yield from constexpr_lut_to_dense()
    yield from constexpr_sparse_to_dense()
    yield from constexpr_blockwise_shift_scale()
    yield from palettes()
    yield from sparse_of_bits()
    yield from constexpr_lut_to_sparse()
    yield from constexpr_sparse_blockwise_shift_scale()
    yield from constexpr_cast()
