# SPDX-License-Identifier: MIT
"""reduction: reduce_sum and its kind."""

from calls import call, const, drawn, flag, integer, ints, maybe, text

from families.common import DTYPES

# op, what floats are drawn as, and int32s
AXES = [
    ("reduce_l1_norm", "normal", "normal"), ("reduce_l2_norm", "normal", "normal"), ("reduce_log_sum", "positive", "positive"),
    ("reduce_log_sum_exp", "normal", "small"), ("reduce_max", "normal", "normal"), ("reduce_mean", "normal", "normal"),
    ("reduce_min", "normal", "normal"), ("reduce_prod", "unit", "small"), ("reduce_sum", "normal", "normal"),
    ("reduce_sum_square", "normal", "normal"),
]  # fmt: skip
ORDER = {"x": [[3, 1, 7], [9, -4, 5]]}


def over_axes(op, kind, kind_int):
    draw = {"x": kind}
    for axes in (None, [0], [1, 2], [-1], [0, 1, 2], [2, 0], [-3, 1], [3], [-4], [1, 1], [1, -2], []):
        for keep in (None, True, False):
            yield call(op, x="fp32[2,3,4]", axes=axes and ints(*axes), keep_dims=maybe(flag, keep), draw=draw)
    yield call(op, x="fp32[2,3,4]", axes={"c": "int32[0]", "v": []}, draw=draw)
    for shape in ("", "[1]", "[5]", "[17]", "[65]", "[1,300]", "[33,3]", "[2,1,3,2]", "[1,2,3,2,2]", "[3,16]", "[16,5,3]"):
        for dtype in ("fp16", "fp32"):
            yield call(op, x=dtype + shape, draw=draw)
            if shape:
                yield call(op, x=dtype + shape, axes=ints(0), keep_dims=flag(True), draw=draw)
                yield call(op, x=dtype + shape, axes=ints(-1), draw=draw)
    for shape in ("[0,3]", "[2,0,3]"):  # nothing to reduce has no agreed result for max and min
        yield call(op, x="fp32" + shape, axes=ints(len(shape) // 4 - 1 and 2), values=op not in ("reduce_max", "reduce_min", "reduce_mean"))
        yield call(op, x="fp32" + shape, axes=ints(1), values=False)
    for shape, bind in (("[a,3,b]", {"a": 2, "b": 3}), ("[a]", {"a": 5}), ("[2,a]", {"a": 3})):
        yield call(op, x="fp32" + shape, bind=bind, draw=draw)
        yield call(op, x="fp32" + shape, axes=ints(-1), keep_dims=flag(True), bind=bind, draw=draw)
        yield call(op, x="fp16" + shape, axes=ints(0), bind=bind, draw=draw)
    for dtype in DTYPES:
        each = kind if dtype.startswith("fp") else kind_int
        yield call(op, x=dtype + "[2,3]", axes=ints(1), draw={"x": each})
        yield call(op, x=dtype + "[2,3]", draw={"x": each})
    if op in ("reduce_max", "reduce_min", "reduce_sum", "reduce_mean"):
        for dtype in ("fp16", "fp32"):
            yield call(op, x=dtype + "[3]", draw={"x": [1.0, float("nan"), 2.0]})
            yield call(op, x=dtype + "[3]", draw={"x": [1.0, float("inf"), -2.0]})
            yield call(op, x=dtype + "[2,65]", axes=ints(1), draw={"x": "offset"})
    yield call(op, x="fp32[2,3]", axes="int32[1]")
    yield call(op, x="fp32[2,3]", axes=integer(1), values=False)
    yield call(op, x="fp32[2,3]", axes=const("fp32", [1.0]))
    yield call(op, x="fp32[2,3]", axes=ints(1), keep_dims="bool")
    yield call(op, x="fp32[2,3]", axes=ints(1), keep_dims=integer(1))
    yield call(op, x="fp32[2,3]", axis=integer(1))
    yield call(op)
    yield call(op, x=drawn("fp32[2,3]"), axes=ints(1), draw=draw)
    yield call(op, x=drawn("int32[2,3]"), axes=ints(0), draw={"x": kind_int})


def over_axis(op):
    for axis in (None, 0, 1, 2, -1, -3, 3, -4):
        for keep in (None, True, False):
            yield call(op, x="fp32[2,3,4]", axis=maybe(integer, axis), keep_dims=maybe(flag, keep))
            yield call(op, x="fp32[2,a,4]", axis=maybe(integer, axis), keep_dims=maybe(flag, keep), bind={"a": 3})
    for shape in ("[1]", "[5]", "[65]", "[3,16]", "[1,2,3,2,2]"):
        for dtype in ("fp16", "fp32"):
            yield call(op, x=dtype + shape, axis=integer(-1))
            yield call(op, x=dtype + shape, axis=integer(0), keep_dims=flag(True))
    for dtype in DTYPES:
        yield call(op, x=dtype + "[2,3]", axis=integer(1), draw=ORDER)
    for dtype in ("int32", "uint16", "fp32", "int16", "UINT16", ""):
        yield call(op, x="fp32[2,3]", output_dtype=text(dtype))
    yield call(op, x="fp32[4]", draw={"x": [2.0, 5.0, 5.0, 2.0]})
    yield call(op, x="fp32[2,3]", axis=ints(1))
    yield call(op, x="fp32[2,3]", axis="int32")
    yield call(op, x="fp32[2,3]", axes=ints(1))
    yield call(op, x="fp32", axis=integer(0))
    yield call(op)
    yield call(op, x=drawn("fp32[2,3]"), axis=integer(1))


def calls():
    for op, kind, kind_int in AXES:
        yield from over_axes(op, kind, kind_int)
    for op in ("reduce_argmax", "reduce_argmin"):
        yield from over_axis(op)
