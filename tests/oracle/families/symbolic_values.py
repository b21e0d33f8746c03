# SPDX-License-Identifier: MIT
"""Shapes that are computed: what inference knows of small int32 values that come from the dims of a tensor."""

from calls import call, const, flag, flags, inner, integer, ints, text

# x, and sizes of its symbols
X = [("[2,3,4]", {}), ("[a,3,4]", {"a": 2}), ("[a,b,4]", {"a": 2, "b": 3}), ("[1,a,b]", {"a": 3, "b": 4})]


def shape():
    return inner("shape", x="=x")


def dim(axis):
    """One dim, of rank 1."""
    return inner("gather", x=shape(), indices=ints(axis))


def scalar(axis):
    return inner("gather", x=shape(), indices=integer(axis))


def part(begin, end):
    return inner("slice_by_index", x=shape(), begin=ints(begin), end=ints(end))


def joined(*values):
    return inner("concat", values_=list(values), axis=integer(0))


def of(op, x, y):
    return inner(op, x=x, y=y)


def shapes():
    """Shapes for x[d0, d1, d2], most of which it can be reshaped to."""
    yield shape()
    yield joined(dim(0), ints(-1))
    yield joined(dim(2), ints(-1))
    yield joined(part(0, 2), ints(2, -1))
    yield joined(part(0, 1), of("mul", dim(1), dim(2)))
    yield joined(of("mul", dim(0), dim(1)), dim(2))
    yield joined(of("mul", dim(0), ints(1)), part(1, 3))
    yield joined(dim(0), dim(1), of("floor_div", dim(2), ints(2)), ints(2))
    yield joined(of("mul", of("mul", dim(0), dim(1)), dim(2)))
    yield joined(ints(1), shape(), ints(1))
    yield joined(of("sub", of("add", dim(0), ints(1)), ints(1)), ints(-1))
    yield inner("reshape", x=joined(dim(0), ints(-1)), shape=ints(2))
    yield inner("squeeze", x=inner("expand_dims", x=shape(), axes=ints(0)), axes=ints(0))
    yield inner("cast", x=inner("cast", x=shape(), dtype=text("fp32")), dtype=text("int32"))
    yield inner("stack", values_=[scalar(0), integer(-1)], axis=integer(0))
    yield inner("identity", x=shape())
    yield inner("maximum", x=shape(), y=ints(1))
    yield inner("slice_by_index", x=shape(), begin=ints(0), end=ints(0), end_mask=flags(True))
    yield inner("slice_by_size", x=shape(), begin=ints(0), size=ints(3))


def calls():
    for x, bind in X:
        for each in shapes():
            for dtype in ("fp32", "fp16"):
                yield call("reshape", x=dtype + x, shape=each, bind=bind)
        for each in (shape(), joined(ints(1), part(1, 3)), joined(dim(1), dim(2)), joined(ints(2), shape())):
            yield call("add", x="fp32" + x, y=inner("fill", shape=each, value=const("fp32", 2.5)), bind=bind)
        for end in (shape(), of("sub", shape(), ints(1, 1, 1)), joined(dim(0), ints(2, 3))):
            yield call("slice_by_index", x="fp32" + x, begin=ints(0, 0, 0), end=end, bind=bind)
            yield call("slice_by_index", x="fp32" + x, begin=ints(0, 0, 0), end=end, stride=ints(1, 2, 1), bind=bind)
            yield call("slice_by_index", x="fp32" + x, begin=ints(0, 0, 0), end=end, end_mask=flags(True, False, False), bind=bind)
        yield call("slice_by_index", x="fp32" + x, begin=of("sub", shape(), ints(1, 1, 1)), end=shape(), bind=bind)
        for size in (shape(), joined(dim(0), ints(-1, 2)), of("sub", shape(), ints(0, 0, 1))):
            yield call("slice_by_size", x="fp32" + x, begin=ints(0, 0, 0), size=size, bind=bind)
        yield call("tile", x="fp32" + x, reps=joined(dim(0), ints(1, 2)), bind=bind)
        yield call("tile", x="fp32" + x, reps=joined(ints(2), ints(1, 1)), bind=bind)
        yield call("pad", x="fp32" + x, pad=joined(ints(1), dim(2)), bind=bind)
        yield call("pad", x="fp32" + x, pad=joined(ints(0, 0), ints(1, 2)), bind=bind)
        for axis in range(3):
            yield call("gather", x="fp32" + x, indices=of("sub", dim(axis), ints(1)), axis=integer(axis), bind=bind)
            yield call("expand_dims", x="int32" + x, axes=dim(axis), values=False)
        yield call("reduce_sum", x="fp32" + x, axes=inner("sub", x=dim(2), y=ints(3)), keep_dims=flag(True), values=False)

