# SPDX-License-Identifier: MIT
"""tensor_transformation: reshape, transpose, slices and their kind."""

import itertools

from calls import call, const, drawn, flags, integer, ints, maybe

from families.common import DTYPES, SHAPES


def reshape():
    rows = [
        ("[2,3,4]", (24,), {}), ("[2,3,4]", (-1,), {}), ("[2,3,4]", (4, -1), {}), ("[2,3,4]", (0, -1, 0), {}), ("[2,3,4]", (0, 0, 0), {}),
        ("[2,3,4]", (2, 12), {}), ("[2,3,4]", (1, 2, 1, 12, 1), {}), ("[24]", (2, 3, 4), {}), ("", (1,), {}), ("", (1, 1), {}), ("[1]", (1, 1, 1), {}),
        ("[0,3]", (3, 0), {}), ("[0,3]", (0, 5), {}), ("[2,3,4]", (5, 5), {}), ("[2,3,4]", (-1, -1), {}), ("[2,3,4]", (5, -1), {}),
        ("[2,3,4]", (0, -1), {}), ("[2,3,4]", (-2, 12), {}), ("[2,3,4]", (2, 3, 4, 1, 1, 1), {}), ("[6]", (-1, 4), {}), ("[2,3,4]", (24, 1, -1), {}),
        ("[a,3]", (-1,), {"a": 2}), ("[a,3]", (3, -1), {"a": 2}), ("[a,3]", (0, 3), {"a": 2}), ("[a,3]", (-1, 3), {"a": 2}), ("[a,3]", (0, -1), {"a": 2}),
        ("[a,b]", (-1,), {"a": 2, "b": 3}), ("[a,b]", (0, 0), {"a": 2, "b": 3}), ("[a,4]", (-1, 2), {"a": 3}), ("[a,4,b]", (0, 2, -1), {"a": 1, "b": 3}),
        ("[a,4]", (2, 6), {"a": 3}), ("[2,a,6]", (2, -1, 2, 3), {"a": 4}), ("[a,6]", (-1, 4), {"a": 2}), ("[1,a,8]", (1, -1, 2, 4), {"a": 5}),
    ]  # fmt: skip
    for x, shape, bind in rows:
        yield call("reshape", x="fp32" + x, shape=ints(*shape), bind=bind)
    for dtype in DTYPES:
        yield call("reshape", x=dtype + "[2,6]", shape=ints(3, -1))
        yield call("reshape", x="fp32[2,6]", shape=const(dtype, [1, 1] if dtype == "bool" else [3, 4]))
    yield call("reshape", x="fp32[2,6]", shape="int32[2]", values=False)
    yield call("reshape", x="fp32[2,6]", shape="int32[3]", values=False)
    yield call("reshape", x="fp32[a,6]", shape="int32[2]", values=False)
    yield call("reshape", x="fp32[2,6]", shape=integer(12), values=False)
    yield call("reshape", x="fp32[2,6]", shape=const("int32", [[3, 4]]), values=False)
    yield call("reshape", x="fp32[2,6]")
    yield call("reshape", x="fp32[2,6]", shape=ints(3, 4), order=integer(0))
    yield call("reshape", x=drawn("fp32[2,6]"), shape=ints(3, 4))


def transpose():
    for x, perms in (("[2,3]", [(0, 1), (1, 0), (-1, 0), (0, 0), (0,), (0, 2), (0, 1, 2), (-3, 0)]), ("[5]", [(0,), (1,), (-1,)]),
                     ("[2,3,4]", list(itertools.permutations(range(3))) + [(-1, 0, 1)]), ("[2,3,4,5]", [(0, 2, 1, 3), (3, 2, 1, 0), (0, 3, 1, 2), (0, 2, 3, 1)]),
                     ("[1,2,3,1,2]", [(4, 3, 2, 1, 0), (0, 1, 3, 2, 4)]), ("[1,2,1,2,1,2]", [(0, 3, 1, 4, 2, 5)]), ("[0,3]", [(1, 0)]),
                     ("[17,33]", [(1, 0)]), ("[2,16,17]", [(0, 2, 1)])):  # fmt: skip
        for perm in perms:
            yield call("transpose", x="fp32" + x, perm=ints(*perm))
            yield call("transpose", x="fp16" + x, perm=ints(*perm))
    for perm in ((1, 0, 2), (2, 1, 0), (0, 2, 1)):
        yield call("transpose", x="fp32[a,3,b]", perm=ints(*perm), bind={"a": 2, "b": 4})
    for dtype in DTYPES:
        yield call("transpose", x=dtype + "[2,3]", perm=ints(1, 0))
        yield call("transpose", x="fp32[2,3]", perm=const(dtype, [1, 0]))
    yield call("transpose", x="fp32[2,3]", perm="int32[2]")
    yield call("transpose", x="fp32[2,3]")
    yield call("transpose", x="fp32", perm={"c": "int32[0]", "v": []}, values=False)
    yield call("transpose", x=drawn("int32[2,3]"), perm=ints(1, 0))


def expand_dims():
    for x in ("", "[5]", "[2,3]", "[2,3,4]", "[1,2,3,4]", "[a,3]"):
        for axes in ((0,), (1,), (2,), (-1,), (-2,), (3,), (4,), (-4,), (0, 1), (0, -1), (1, 3), (0, 2, 4), (3, 1), (0, 0), (-1, -2)):
            yield call("expand_dims", x="fp32" + x, axes=ints(*axes), bind={"a": 2} if "a" in x else {})
    for dtype in DTYPES:
        yield call("expand_dims", x=dtype + "[2,3]", axes=ints(1))
    yield call("expand_dims", x="fp32[2,3]", axes=integer(0), values=False)
    yield call("expand_dims", x="fp32[2,3]", axes="int32[1]")
    yield call("expand_dims", x="fp32[2,3]", axes=const("fp32", [0.0]))
    yield call("expand_dims", x="fp32[2,3]", axes={"c": "int32[0]", "v": []}, values=False)
    yield call("expand_dims", x="fp32[2,3]")
    yield call("expand_dims", x=drawn("fp32[2,3]"), axes=ints(0))


def squeeze():
    for x in ("[1,3,1]", "[1]", "[1,1]", "[2,3]", "[1,2,1,3,1]", "[a,1,3]", "[1,0]"):
        for axes in (None, (0,), (1,), (2,), (-1,), (-3,), (0, 2), (2, 0), (0, -1), (5,), (-6,), (0, 0), (0, 1, 2)):
            yield call("squeeze", x="fp32" + x, axes=axes and ints(*axes), bind={"a": 2} if "a" in x else {})
    for dtype in DTYPES:
        yield call("squeeze", x=dtype + "[1,3]", axes=ints(0))
        yield call("squeeze", x=dtype + "[1]")
    yield call("squeeze", x="fp32", values=False)
    yield call("squeeze", x="fp32[1,3]", axes=integer(0), values=False)
    yield call("squeeze", x="fp32[1,3]", axes="int32[1]")
    yield call("squeeze", x="fp32[1,3]", axes={"c": "int32[0]", "v": []}, values=False)
    yield call("squeeze", x="fp32[1,3]", axis=ints(0))
    yield call("squeeze", x=drawn("fp32[1,3]"), axes=ints(0))


def slice_by_index():
    def one(x, begin, end, **more):
        return call("slice_by_index", x=x, begin=begin, end=end, **more)

    x = "fp32[4,5,6]"
    for begin, end in (((0, 0, 0), (4, 5, 6)), ((1, 2, 3), (2, 4, 6)), ((-3, -2, -1), (4, 5, 6)), ((0, 0, 0), (-1, -1, -1)),
                       ((0, 0, 0), (9, 9, 9)), ((2, 2, 2), (2, 3, 3)), ((3, 3, 3), (1, 4, 4)), ((7, 0, 0), (9, 1, 1)),
                       ((-9, 0, 0), (1, 1, 1)), ((0, 0, 0), (-9, 1, 1)), ((-1, -1, -1), (-2, 5, 6))):  # fmt: skip
        yield one(x, ints(*begin), ints(*end))
        yield one(x, ints(*begin), ints(*end), stride=ints(2, 2, 2))
    for stride in ((1, 1, 1), (3, 2, 1), (-1, 1, 1), (-2, -2, -2), (0, 1, 1), (1, 1), (1, 1, 7)):
        yield one(x, ints(3, 0, 0), ints(0, 5, 6), stride=ints(*stride))
        yield one(x, ints(3, 4, 5), ints(0, 0, 0), stride=ints(*stride), end_mask=flags(True, True, True))
        yield one(x, ints(0, 0, 0), ints(2, 2, 2), stride=ints(*stride), begin_mask=flags(True, True, True))
        yield one(x, ints(-1, -1, -1), ints(-4, -4, -4), stride=ints(*stride))
    yield one(x, ints(3, 4, 5), ints(0, 0, 0), stride=ints(-1, -1, -1))
    yield one(x, ints(3, 4, 5), ints(0, 0, 0), stride=ints(-2, -3, -1), begin_mask=flags(True, True, True), end_mask=flags(True, True, True))
    choices = (None, (True, False, False), (False, True, True))
    for masks in itertools.product(choices, choices, (None, (False, False, True), (True, False, True))):
        begin_mask, end_mask, squeeze_mask = (m and flags(*m) for m in masks)
        yield one(x, ints(1, 1, 1), ints(3, 3, 3), begin_mask=begin_mask, end_mask=end_mask, squeeze_mask=squeeze_mask)
        yield one("fp16[4,5,6]", ints(-2, 1, -1), ints(-1, 3, 9), begin_mask=begin_mask, end_mask=end_mask, squeeze_mask=squeeze_mask)
    yield one(x, ints(1, 1, 1), ints(3, 3, 3), squeeze_mask=flags(True, True, True))
    yield one(x, ints(1, 1, 1), ints(3, 3, 3), squeeze_mask=flags(True, True))
    yield one(x, ints(1, 1, 1), ints(3, 3, 3), begin_mask=flags(True, True))
    yield one(x, ints(1, 1), ints(3, 3))
    yield one(x, ints(1, 1, 1), ints(3, 3))
    yield one(x, "int32[3]", ints(3, 3, 3), values=False)
    yield one(x, ints(1, 1, 1), "int32[3]", values=False)
    yield one(x, "int32[3]", "int32[3]", end_mask=flags(True, False, True), begin_mask=flags(True, False, False), values=False)
    yield one(x, "int32[3]", "int32[3]", squeeze_mask=flags(True, False, False), values=False)
    yield one(x, ints(1, 1, 1), ints(3, 3, 3), stride="int32[3]")
    two = {"a": 5, "b": 4}
    yield one("fp32[a,5,6]", ints(1, 0, 0), ints(3, 5, 6), bind=two)
    yield one("fp32[a,5,6]", ints(0, 0, 0), ints(-1, 5, 6), bind=two)
    yield one("fp32[a,5,6]", ints(-2, 0, 0), ints(-1, 5, 6), bind=two)
    yield one("fp32[a,5,6]", ints(-2, 0, 0), ints(3, 5, 6), end_mask=flags(True, False, False), bind=two)
    yield one("fp32[a,b,6]", ints(1, 0, 0), ints(0, 0, 6), end_mask=flags(True, True, False), bind=two)
    yield one("fp32[a,b,6]", ints(1, 0, 0), ints(0, 0, 6), end_mask=flags(True, True, False), stride=ints(2, 3, 1), bind=two)
    yield one("fp32[a,b,6]", ints(0, 0, 0), ints(0, 0, 6), begin_mask=flags(True, True, True), end_mask=flags(True, True, True), bind=two)
    yield one("fp32[a,b,6]", ints(1, 0, 0), ints(0, 2, 6), squeeze_mask=flags(True, False, False), bind=two)
    yield one("fp32[a,b,6]", ints(-1, 0, 0), ints(0, 0, 6), squeeze_mask=flags(True, False, False), end_mask=flags(False, True, True), bind=two)
    yield one("fp32[a]", ints(0), ints(1), stride=ints(-1), begin_mask=flags(True), end_mask=flags(True), bind=two)
    for dtype in DTYPES:
        yield one(f"{dtype}[4]", ints(1), ints(3))
        yield one("fp32[4]", const(dtype, [1]), const(dtype, [1 if dtype == "bool" else 3]))
        yield one("fp32[4]", const(dtype, [1]), ints(3))
    yield one("fp32", ints(0), ints(1), values=False)
    yield one(const("int32", [10, 11, 12, 13]), ints(1), ints(4), stride=ints(2))
    yield one("fp32[4]", integer(1), integer(3), values=False)
    yield one("fp32[4]", ints(1), None)
    yield one("fp32[4]", None, ints(3))
    yield one("fp32[4]", ints(1), ints(3), strides=ints(1))
    yield one("fp32[1,2,3,2,2]", ints(0, 0, 1, 0, 0), ints(1, 2, 3, 1, 2))
    yield one("fp32[33,17]", ints(1, 1), ints(33, 17), stride=ints(2, 3))


def slice_by_size():
    def one(x, begin, size, **more):
        return call("slice_by_size", x=x, begin=begin, size=size, **more)

    for begin, size in (((0, 0, 0), (4, 5, 6)), ((1, 2, 3), (2, 2, 2)), ((1, 2, 3), (-1, -1, -1)), ((-2, -1, 0), (2, 1, 6)), ((-2, 0, 0), (-1, 5, 6)),
                        ((0, 0, 0), (1, 1, 1)), ((3, 4, 5), (1, 1, 1)), ((0, 0, 0), (5, 5, 6)), ((3, 0, 0), (2, 5, 6)), ((4, 0, 0), (1, 1, 1)),
                        ((0, 0, 0), (0, 5, 6)), ((0, 0, 0), (-2, 5, 6)), ((-5, 0, 0), (1, 1, 1))):  # fmt: skip
        yield one("fp32[4,5,6]", ints(*begin), ints(*size))
        yield one("fp16[4,5,6]", ints(*begin), ints(*size))
    for begin, size in (((0, 0), (2, 3)), ((1, 0), (-1, 3)), ((0, 1), (-1, -1)), ((-2, 0), (2, 3)), ((-2, 0), (-1, 3))):
        yield one("fp32[a,3]", ints(*begin), ints(*size), bind={"a": 4})
    yield one("fp32[4,5]", "int32[2]", ints(2, 2), draw={"begin": [1, 3]})
    yield one("fp32[4,5]", "int32[2]", ints(2, -1), values=False)
    yield one("fp32[4,5]", ints(1, 1), "int32[2]", values=False)
    yield one("fp32[4,5]", "int32[2]", "int32[2]", values=False)
    yield one("fp32[4,5]", ints(1), ints(1, 1))
    yield one("fp32[4,5]", ints(1, 1), ints(1))
    yield one("fp32[4,5]", integer(1), ints(1, 1))
    yield one("fp32[4,5]", ints(1, 1), const("int32", [[1, 1]]))
    yield one("fp32[4,5]", ints(1, 1), None)
    for dtype in DTYPES:
        yield one(f"{dtype}[4]", ints(1), ints(2))
        yield one("fp32[4]", const(dtype, [1]), const(dtype, [1 if dtype == "bool" else 2]))
        yield one("fp32[4]", const(dtype, [1]), ints(2))
    yield one(drawn("fp32[4]"), ints(1), ints(2))


def flatten2d():
    for x in ("[5]", "[2,3]", "[2,3,4]", "[1,2,3,2]"):
        for axis in (None, 0, 1, 2, -1, -2, 4, -5):
            yield call("flatten2d", x="fp32" + x, axis=maybe(integer, axis), values=axis in (None, 0, 1, 2))
    yield call("flatten2d", x="fp32[a,3,4]", bind={"a": 2})
    yield call("flatten2d", x="fp32[2,a,4]", bind={"a": 3})
    yield call("flatten2d", x="fp32[2,a,4]", axis=integer(2), bind={"a": 3})
    for dtype in DTYPES:
        yield call("flatten2d", x=dtype + "[2,3]")
    yield call("flatten2d", x="fp32", values=False)


def reverse():
    for x in ("[5]", "[2,3]", "[2,3,4]", "[17,3]"):
        for axes in (None, (0,), (1,), (-1,), (0, 1), (2, 0)):
            yield call("reverse", x="fp32" + x, axes=axes and ints(*axes), values=not axes or max(axes) < x.count(",") + 1)
    yield call("reverse", x="fp32[a,3]", axes=ints(0), bind={"a": 3})
    for dtype in DTYPES:
        yield call("reverse", x=dtype + "[2,3]", axes=ints(1))
    yield call("reverse", x="fp32[3]", axes="int32[1]")


def calls():
    for shape in SHAPES:
        yield call("expand_dims", x="fp16" + shape, axes=ints(0))
    for make in (reshape, transpose, expand_dims, squeeze, slice_by_index, slice_by_size, flatten2d, reverse):
        yield from make()
