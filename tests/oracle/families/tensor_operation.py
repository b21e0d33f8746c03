# SPDX-License-Identifier: MIT
"""tensor_operation: concat, fill, pad, shape, split, stack, tile and their kind."""

from calls import call, const, drawn, flag, integer, ints, maybe, text

from families.common import DTYPES, SHAPES, SYMBOLIC


def concat():
    def one(*types, axis=0, **more):
        return call("concat", values_=list(types), axis=integer(axis), **more)

    for shapes in (("[2,3]", "[2,3]"), ("[2,3]", "[4,3]"), ("[2,3]", "[2,1]", "[2,2]"), ("[2,3,4]", "[2,3,4]", "[2,3,4]"), ("[5]", "[1]"), ("[2,3]",), ("[0,3]", "[2,3]"),
                   ("[2,16]", "[2,17]"), ("[1,2,1,3,2]", "[1,2,1,3,2]"), ("[2,3]", "[3]"), ("", ""), ("[2,3]", "[2,3,1]")):  # fmt: skip
        for axis in (0, 1, 2, -1, -2, -3, 5):
            for dtype in ("fp32", "fp16"):
                yield one(*(dtype + each for each in shapes), axis=axis, values=shapes != ("", ""))
            yield one(*("fp32" + each for each in shapes), axis=axis, interleave=flag(True), values=shapes != ("", ""))
    for shapes in (("[a,3]", "[a,3]"), ("[a,3]", "[b,3]"), ("[a,3]", "[2,3]"), ("[2,a]", "[2,b]"), ("[a,3]", "[a,b]")):
        for axis in (0, 1, -1):
            even = {"a": 2, "b": 3} if axis == 0 else {"a": 2, "b": 2}
            yield one(*("fp32" + each for each in shapes), axis=axis, bind=even)
    for x in DTYPES:
        yield one(x + "[2]", x + "[3]")
        yield one(x + "[2]", "fp32[3]")
    yield one()
    yield one("fp32[2]", drawn("fp32[3]"))
    yield one(drawn("fp32[2]"), drawn("fp32[3]"))
    yield one("fp32[2]", drawn("fp16[3]"))
    yield one(ints(2, 3), integer(4), values=False)
    yield call("concat", values_=["fp32[2]", "fp32[3]"])
    yield call("concat", values_=["fp32[2]", "fp32[3]"], axis="int32")
    yield call("concat", values_=["fp32[2]", "fp32[3]"], axis=ints(0), values=False)
    yield call("concat", values_="fp32[2]", axis=integer(0))
    yield call("concat", axis=integer(0))
    yield call("concat", x=["fp32[2]", "fp32[3]"], axis=integer(0))
    yield one(*["fp32[1,2]"] * 9, axis=0)


def stack():
    def one(*types, axis=0, **more):
        return call("stack", values_=list(types), axis=integer(axis), **more)

    for shapes in (("[2,3]", "[2,3]"), ("[5]", "[5]", "[5]"), ("", ""), ("[2,3]",), ("[2,3]", "[2,4]"), ("[2,3]", "[2,3,1]"), ("[0,3]", "[0,3]"), ("[1,2,3,2]", "[1,2,3,2]")):
        for axis in (0, 1, 2, -1, -2, -3, 5, -6):
            yield one(*("fp32" + each for each in shapes), axis=axis)
            yield one(*("int32" + each for each in shapes), axis=axis)
    for shapes in (("[a,3]", "[a,3]"), ("[a,3]", "[b,3]"), ("[a,3]", "[2,3]"), ("[2,3]", "[a,3]")):
        for axis in (0, 1, -1):
            yield one(*("fp32" + each for each in shapes), axis=axis, bind={"a": 2, "b": 2})
    for x in DTYPES:
        yield one(x + "[2]", x + "[2]")
        yield one(x + "[2]", "fp32[2]")
    yield one()
    yield one("fp32[2]", drawn("fp32[2]"))
    yield one(drawn("fp32[2]"), drawn("fp32[2]"))
    yield call("stack", values_=["fp32[2]", "fp32[2]"])


def split():
    def one(x, axis=0, n=None, sizes=None, **more):
        return call("split", x=x, axis=maybe(integer, axis), num_splits=maybe(integer, n), split_sizes=sizes and ints(*sizes), **more)

    for x, axis in (("[6]", 0), ("[6,4]", 0), ("[6,4]", 1), ("[6,4]", -1), ("[2,3,6]", 2), ("[2,6,3]", -2), ("[1,2,6,1,2]", 2), ("[6,4]", 2), ("[6,4]", -3)):
        for n in (1, 2, 3, 4, 0, -1):
            yield one("fp32" + x, axis, n)
            yield one("fp16" + x, axis, n)
        for sizes in ((2, 4), (1, 2, 3), (6,), (4,), (3, 1), (2, 2), (6, 0), (-1, 7), (2, 2, 2), (1, 1, 1, 1)):
            yield one("fp32" + x, axis, sizes=sizes)
    yield one("fp32[6]", 0, 2, (2, 4))
    yield one("fp32[6]", 0, 3, (2, 4))
    yield one("fp32[6]", 0, 2, (3, 3))
    yield one("fp32[6]", 0)
    yield one("fp32[6]", None, 2)
    for x, axis in (("[a,6]", 1), ("[a,6]", 0), ("[6,a]", 0)):
        yield one("fp32" + x, axis, 2, bind={"a": 4})
        yield one("fp32" + x, axis, sizes=(2, 4), bind={"a": 6})
    for dtype in DTYPES:
        yield one(dtype + "[6]", 0, 2)
    yield call("split", x="fp32[6]", axis=integer(0), num_splits="int32")
    yield call("split", x="fp32[6]", axis=integer(0), split_sizes="int32[2]")
    yield one(drawn("fp32[6]"), 0, 2)
    yield one("fp32", 0, 1, values=False)


def pad():
    def one(x, pad, mode=None, value=None, **more):
        return call("pad", x=x, pad=ints(*pad), mode=mode and text(mode), constant_val=value, **more)

    for x, pads in (("[5]", [(1, 2), (0, 0), (4, 4), (5, 0), (-1, 0), (1,), (1, 1, 1, 1)]), ("[3,4]", [(1, 2), (1, 0, 0, 2), (0, 0, 1, 1), (2, 2, 3, 3), (1, 1, 1)]),
                    ("[2,3,4]", [(1, 1), (1, 0, 2, 1), (1, 1, 0, 1, 1, 0)]), ("[1,2,4,5]", [(1, 1, 2, 2), (0, 0, 0, 0, 1, 2, 3, 0), (1, 0, 1, 0, 1, 0, 1, 0)]), ("[1,1,2,1,3]", [(1, 1)]), ("", [(1, 1)])):  # fmt: skip
        for each in pads:
            for mode in (None, "constant", "reflect", "replicate", "edge", "Constant"):
                small = mode != "reflect" or max(each) < 3
                yield one("fp32" + x, each, mode, values=small)
                yield one("fp16" + x, each, mode, const("fp16", 1.5), values=small)
    for x, each in (("[a,3]", (1, 1)), ("[a,3]", (1, 0, 0, 1)), ("[1,2,h,w]", (1, 1, 1, 1))):
        for mode in ("constant", "reflect", "replicate"):
            yield one("fp32" + x, each, mode, bind={"a": 4, "h": 3, "w": 5})
    for dtype in DTYPES:
        yield one(dtype + "[3]", (1, 1))
        yield one("fp32[3]", (1, 1), value=const(dtype, 1))
        yield call("pad", x="fp32[3]", pad=const(dtype, [1, 1]))
    yield one("fp32[3]", (1, 1), "constant", const("fp32", float("-inf")))
    yield one("fp32[3]", (1, 1), "constant", const("fp32", [1.0]), values=False)
    yield call("pad", x="fp32[3,4]", pad="int32[4]", values=False)
    yield call("pad", x="fp32[3,4]", pad="int32[2]", values=False)
    yield call("pad", x="fp32[3,4]", pad=integer(1))
    yield call("pad", x="fp32[3,4]", pad=const("int32", [[1, 1]]))
    yield call("pad", x="fp32[3,4]")
    yield one(drawn("fp32[3]"), (1, 1))
    yield one("fp32[17,16]", (1, 2, 3, 4))


def tile():
    for x, reps in (("[5]", [(2,), (1,), (3,), (0,), (-1,), (2, 2)]), ("[2,3]", [(1, 1), (2, 1), (1, 3), (2, 2), (2,), (0, 1)]), ("[2,3,4]", [(1, 2, 1), (2, 1, 2)]), ("[1,2,1,3,1]", [(2, 1, 2, 1, 2)]), ("", [(2,)])):
        for each in reps:
            yield call("tile", x="fp32" + x, reps=ints(*each))
            yield call("tile", x="fp16" + x, reps=ints(*each))
    for each in ((1, 1), (2, 1), (1, 2), (3, 2)):
        yield call("tile", x="fp32[a,3]", reps=ints(*each), bind={"a": 2})
    for dtype in DTYPES:
        yield call("tile", x=dtype + "[3]", reps=ints(2))
        yield call("tile", x="fp32[3]", reps=const(dtype, [1]))
    yield call("tile", x="fp32[2,3]", reps="int32[2]", values=False)
    yield call("tile", x="fp32[2,3]", reps="int32[1]", values=False)
    yield call("tile", x="fp32[3]", reps=integer(2), values=False)
    yield call("tile", x="fp32[3]")
    yield call("tile", x="fp32", reps={"c": "int32[0]", "v": []}, values=False)
    yield call("tile", x=drawn("fp32[2,3]"), reps=ints(2, 2))


def fill():
    for shape in ((3,), (2, 3), (1,), (2, 0), (1, 2, 3, 2, 1), (-1, 2), ()):
        given = ints(*shape) if shape else {"c": "int32[0]", "v": []}
        for value in (None, const("fp32", 1.5), const("fp16", -0.5), const("int32", 7), const("bool", True)):
            yield call("fill", shape=given, value=value, values=bool(shape))
    for dtype in DTYPES:
        yield call("fill", shape=ints(2), value=const(dtype, 1))
        yield call("fill", shape=const(dtype, [1]))
    yield call("fill", shape="int32[2]", values=False)
    yield call("fill", shape="int32[2]", value=const("int32", 3), values=False)
    yield call("fill", shape=integer(3), values=False)
    yield call("fill", shape=ints(3), value="fp32")
    yield call("fill", shape=ints(3), value=const("fp32", [1.0]), values=False)
    yield call("fill")
    for dtype in DTYPES:
        yield call("fill_like", ref_tensor=dtype + "[2,3]")
        yield call("fill_like", ref_tensor="fp32[2,3]", value=const(dtype, 1))
    yield call("fill_like", ref_tensor="fp32[a,3]", value=const("fp16", 2.0), bind={"a": 2})


def shape():
    for each in SHAPES:
        yield call("shape", x="fp32" + each)
    for each, bind in SYMBOLIC:
        yield call("shape", x="fp32" + each, bind=bind)
    for dtype in DTYPES:
        yield call("shape", x=dtype + "[2,3]")
    yield call("shape")
    yield call("shape", x=drawn("fp32[2,3]"))


def identity():
    for each in SHAPES:
        yield call("identity", x="fp32" + each)
    for each, bind in SYMBOLIC:
        yield call("identity", x="fp16" + each, bind=bind)
    for dtype in DTYPES:
        yield call("identity", x=dtype + "[2,3]")
    yield call("identity")
    yield call("identity", x="fp32[41]", draw={"x": "special"})
    yield call("identity", x=drawn("fp32[3]"))


def range_1d():
    for start, end, step in ((0, 5, 1), (1, 10, 3), (5, 0, -1), (0, 0, 1), (2, 3, 5), (0, 5, 0), (5, 0, 1)):
        for dtype in ("int32", "fp32", "fp16"):
            yield call("range_1d", start=const(dtype, start), end=const(dtype, end), step=const(dtype, step))
    yield call("range_1d", start="int32", end="int32", step="int32", values=False)
    yield call("range_1d", start=integer(0), end="int32", step=integer(1), values=False)
    yield call("range_1d", start=integer(0), end=const("fp32", 5.0), step=integer(1))


def calls():
    for make in (concat, stack, split, pad, tile, fill, shape, identity, range_1d):
        yield from make()
