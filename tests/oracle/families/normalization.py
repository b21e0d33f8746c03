# SPDX-License-Identifier: MIT
"""normalization: batch_norm, layer_norm and their kind."""

from calls import call, const, drawn, integer, ints, maybe

from families.common import DTYPES


def layer_norm():
    for x, axes, inner in (("[2,5]", (1,), "[5]"), ("[2,5]", (-1,), "[5]"), ("[2,3,4]", (-1,), "[4]"), ("[2,3,4]", (1, 2), "[3,4]"),
                           ("[2,3,4]", (2, 1), "[3,4]"), ("[2,3,4]", (1,), "[3]"), ("[2,3,4]", (0, 2), "[2,4]"), ("[2,3,4]", None, "[2,3,4]"),
                           ("[3,65]", (-1,), "[65]"), ("[1,16,1,9]", (1,), "[16]"), ("[1,2,3,2,4]", (-1, -2), "[2,4]"), ("[7,300]", (1,), "[300]")):  # fmt: skip
        for dtype in ("fp16", "fp32"):
            yield call("layer_norm", x=dtype + x, axes=axes and ints(*axes))
            yield call("layer_norm", x=dtype + x, axes=axes and ints(*axes), gamma=drawn(dtype + inner), beta=drawn(dtype + inner))
            yield call("layer_norm", x=dtype + x, axes=axes and ints(*axes), gamma=drawn(dtype + inner), epsilon=const(dtype, 0.125))
            yield call("layer_norm", x=dtype + x, axes=axes and ints(*axes), gamma=drawn(dtype + inner), draw={"x": "offset"})
    for x, bind in (("[a,5]", {"a": 2}), ("[a,b,5]", {"a": 2, "b": 3}), ("[2,a]", {"a": 7})):
        yield call("layer_norm", x="fp32" + x, axes=ints(-1), bind=bind)
        yield call("layer_norm", x="fp32" + x, axes=ints(-1), gamma=drawn("fp32[5]"), beta=drawn("fp32[5]"), bind={**bind, "a": 5 if x == "[2,a]" else 2})
    for axes in ((3,), (-4,), (1, 1), (0, 3)):
        yield call("layer_norm", x="fp32[2,3,4]", axes=ints(*axes))
    given = lambda shape: None if shape is None else drawn("fp32" + shape)  # noqa: E731
    for gamma, beta in (("[3]", None), (None, "[3]"), ("[4]", "[3]"), ("[1,4]", None), ("", None), ("[4]", "")):
        yield call("layer_norm", x="fp32[2,3,4]", axes=ints(-1), gamma=given(gamma), beta=given(beta), values=False)
    yield call("layer_norm", x="fp32[2,3,4]", axes=ints(-1), beta=drawn("fp32[4]"))
    yield call("layer_norm", x="fp32[2,3,4]", axes=integer(-1), values=False)
    yield call("layer_norm", x="fp32[2,3,4]", axes="int32[1]")
    yield call("layer_norm", x="fp32[2,3,4]", axes=ints(-1), gamma="fp32[4]")
    yield call("layer_norm", x="fp32[2,3,4]", axes=ints(-1), epsilon=const("fp32", [0.125]), values=False)
    yield call("layer_norm", x="fp32", axes=ints(-1))
    yield call("layer_norm", axes=ints(-1))
    for x in DTYPES:
        for dtype in ("fp16", "fp32", "int32"):
            yield call("layer_norm", x=x + "[2,9]", axes=ints(1), gamma=drawn(dtype + "[9]"))
            yield call("layer_norm", x=x + "[2,9]", axes=ints(1), epsilon=const(dtype, 1))
            yield call("layer_norm", x=x + "[2,9]", axes=ints(1), gamma=drawn(x + "[9]"), epsilon=const(dtype, 1))
    yield call("layer_norm", x=drawn("fp32[2,9]"), axes=ints(1))


def batch_norm():
    def one(x, dtype="fp32", mean="[3]", **more):
        draw = {"variance": "positive"}
        return call("batch_norm", x=dtype + x, mean=drawn(dtype + mean), variance=drawn(dtype + mean), draw=draw, **more)

    for x in ("[1,3,4]", "[2,3,4,5]", "[1,3,2,2,3]", "[2,3,17]"):
        for dtype in ("fp16", "fp32"):
            yield one(x, dtype)
            yield one(x, dtype, gamma=drawn(dtype + "[3]"))
            yield one(x, dtype, beta=drawn(dtype + "[3]"))
            yield one(x, dtype, gamma=drawn(dtype + "[3]"), beta=drawn(dtype + "[3]"), epsilon=const(dtype, 0.25))
    for x in ("[a,3,4,5]", "[1,3,h,w]"):
        yield one(x, gamma=drawn("fp32[3]"), beta=drawn("fp32[3]"), bind={"a": 2, "h": 3, "w": 4})
    for x in ("[2,3]", "[3]", "", "[1,3,2,2,2,2]"):
        yield one(x, values=False)
    for mean in ("[2]", "[4]", "[1]", "", "[1,3]"):
        yield one("[1,3,4,5]", mean=mean, values=False)
    yield one("[1,3,4]", gamma=drawn("fp32[2]"), values=False)
    yield one("[1,3,4]", beta=drawn("fp32[1]"), values=False)
    yield one("[1,3,4]", gamma="fp32[3]")
    yield one("[1,3,4]", epsilon="fp32")
    yield one("[1,c,4]", bind={"c": 3})
    for x in DTYPES:
        for dtype in ("fp16", "fp32", "int32"):
            yield call("batch_norm", x=x + "[1,3,4]", mean=drawn(dtype + "[3]"), variance=drawn(dtype + "[3]"), draw={"variance": "positive"})
    yield call("batch_norm", x="fp16[1,3,4]", mean=drawn("fp32[3]"), variance=drawn("fp16[3]"), draw={"variance": "positive"})
    yield call("batch_norm", x="fp32[1,3,4]", mean=drawn("fp32[3]"))
    yield call("batch_norm", x="fp32[1,3,4]", variance=drawn("fp32[3]"))
    yield call("batch_norm", x="fp32[1,3,4]", mean="fp32[3]", variance=drawn("fp32[3]"))


def instance_norm():
    for x in ("[1,3,4]", "[2,3,4,5]", "[2,3,65]", "[1,3,16,9]"):
        for dtype in ("fp16", "fp32"):
            yield call("instance_norm", x=dtype + x)
            yield call("instance_norm", x=dtype + x, gamma=drawn(dtype + "[3]"))
            yield call("instance_norm", x=dtype + x, gamma=drawn(dtype + "[3]"), beta=drawn(dtype + "[3]"), epsilon=const(dtype, 0.25))
            yield call("instance_norm", x=dtype + x, gamma=drawn(dtype + "[3]"), draw={"x": "offset"})
    for x in ("[a,3,4,5]", "[1,3,h,w]"):
        yield call("instance_norm", x="fp32" + x, gamma=drawn("fp32[3]"), beta=drawn("fp32[3]"), bind={"a": 2, "h": 3, "w": 4})
    for x in ("[2,3]", "[3]", ""):
        yield call("instance_norm", x="fp32" + x, values=False)
    yield call("instance_norm", x="fp32[1,3,2,2,2]")
    for gamma in ("[2]", "[1]", "", "[1,3]"):
        yield call("instance_norm", x="fp32[1,3,4]", gamma=drawn("fp32" + gamma), values=False)
        yield call("instance_norm", x="fp32[1,3,4]", beta=drawn("fp32" + gamma), values=False)
    yield call("instance_norm", x="fp32[1,3,4]", gamma="fp32[3]")
    for x in DTYPES:
        for dtype in ("fp16", "fp32", "int32"):
            yield call("instance_norm", x=x + "[1,3,4]", gamma=drawn(dtype + "[3]"))
            yield call("instance_norm", x=x + "[1,3,4]", epsilon=const(dtype, 1))


def l2_norm():
    for x in ("[2,3,4]", "[2,2,3,4]", "[1,2,1,3,5]", "[1,16,17]", "[2,3]", "[3]", ""):
        for dtype in ("fp16", "fp32"):
            yield call("l2_norm", x=dtype + x)
            yield call("l2_norm", x=dtype + x, epsilon=const(dtype, 0.25))
    yield call("l2_norm", x="fp32[a,2,3,4]", bind={"a": 2})
    for x in DTYPES:
        for dtype in ("fp16", "fp32", "int32"):
            yield call("l2_norm", x=x + "[1,3,4]", epsilon=const(dtype, 1))
    yield call("l2_norm", x="fp32[1,3,4]", epsilon="fp32")
    yield call("l2_norm", x="fp32[1,3,4]", axes=ints(1))


def local_response_norm():
    for x in ("[1,5,3]", "[2,5,2,3]", "[1,7,2,2,2]"):
        for size in (1, 3, 5, 9):
            yield call("local_response_norm", x="fp32" + x, size=integer(size))
            yield call("local_response_norm", x="fp16" + x, size=integer(size), alpha=const("fp16", 0.5), beta=const("fp16", 0.5), k=const("fp16", 2.0))
    yield call("local_response_norm", x="fp32[a,5,3]", size=integer(3), bind={"a": 2})
    for x in DTYPES:
        for dtype in ("fp16", "fp32"):
            yield call("local_response_norm", x=x + "[1,5,4]", size=integer(3), k=const(dtype, 2.0))
    yield call("local_response_norm", x="fp32[1,5,3]")
    yield call("local_response_norm", x="fp32[1,5,3]", size="int32")


def calls():
    yield from layer_norm()
    yield from batch_norm()
    yield from instance_norm()
    yield from l2_norm()
    yield from local_response_norm()
