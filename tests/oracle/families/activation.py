# SPDX-License-Identifier: MIT
"""activation: relu, gelu and their kind."""

from calls import call, const, drawn, integer, ints, maybe, text

from families.common import DTYPES, SHAPES, SYMBOLIC
from families.elementwise_unary import unary

ALPHA = ["elu", "leaky_relu", "thresholded_relu"]
ALPHA_BETA = ["clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard"]


def scalars(op, names):
    """Ops with parameters that are scalars."""

    def given(dtype, value=0.5):
        return {name: const(dtype, value * (i + 1)) for i, name in enumerate(names)}

    for shape in SHAPES:
        yield call(op, x="fp32" + shape, **given("fp32"))
    for shape, bind in SYMBOLIC:
        yield call(op, x="fp16" + shape, bind=bind, **given("fp16"))
    for x in DTYPES:
        for dtype in ("fp16", "fp32", "int32"):
            yield call(op, x=x + "[2,17]", **given(dtype, 1 if dtype == "int32" else 0.5))
    for dtype in ("fp16", "fp32"):
        yield call(op, x=dtype + "[41]", draw={"x": "special"}, **given(dtype))
        yield call(op, x=dtype + "[41]", draw={"x": "special_small"}, **given(dtype, -0.25))
        yield call(op, x=drawn(dtype + "[9]"), **given(dtype, 2.0))
    for name in names:
        rest = given("fp32")
        yield call(op, x="fp32[3]", **{**rest, name: None})
        yield call(op, x="fp32[3]", **{**rest, name: "fp32"})
        yield call(op, x="fp32[3]", **{**rest, name: const("fp16", 0.5)})
        yield call(op, x="fp32[3]", **{**rest, name: const("fp32", [0.5])})
    yield call(op, **given("fp32"))
    yield call(op, x="fp32[3]", gamma=const("fp32", 1.0), **given("fp32"))


def per_channel(op, names):
    """Ops whose parameters have an element a channel."""
    shapes = ["[1,3,4]", "[2,3,4,5]", "[1,2,2,2,3]", "[2,3]", "[3]", "", "[1,3,2,1,1,2]", "[0,3,2]"]
    for x in shapes:
        for n in (1, 2, 3):
            yield call(op, x="fp32" + x, **{name: drawn(f"fp32[{n}]") for name in names})
            yield call(op, x="fp16" + x, **{name: const("fp16", [0.25] * n) for name in names})
    for x in ("[a,3,4,5]", "[2,3,h,w]", "[2,c,4,5]"):
        yield call(op, x="fp32" + x, bind={"a": 2, "h": 3, "w": 2, "c": 3}, **{name: drawn("fp32[3]") for name in names})
    for x in DTYPES:
        for dtype in ("fp16", "fp32", "int32"):
            yield call(op, x=x + "[1,3,2,9]", **{name: drawn(dtype + "[3]") for name in names})
    for name in names:
        rest = {each: drawn("fp32[3]") for each in names}
        yield call(op, x="fp32[1,3,2,2]", **{**rest, name: None})
        yield call(op, x="fp32[1,3,2,2]", **{**rest, name: "fp32[3]"})
        yield call(op, x="fp32[1,3,2,2]", **{**rest, name: const("fp32", 0.5)})
        yield call(op, x="fp32[1,3,2,2]", **{**rest, name: drawn("fp32[1,3]")})
        yield call(op, x="fp32[1,3,2,2]", **{**rest, name: drawn("fp16[3]")})


def gelu():
    for mode in ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION", "exact", "", "TANH"):
        for shape in ("", "[5]", "[2,65]"):
            for dtype in ("fp16", "fp32"):
                yield call("gelu", x=dtype + shape, mode=text(mode))
        for dtype in ("fp16", "fp32"):
            yield call("gelu", x=dtype + "[41]", mode=text(mode), draw={"x": "special_small"})
        yield call("gelu", x=drawn("fp32[7]"), mode=text(mode))
    yield call("gelu", x="fp32[3]", mode=integer(1))


def softmax():
    for shape, n in (("[5]", 1), ("[2,3]", 2), ("[2,3,4]", 3), ("[1,2,3,2,2]", 5), ("[7,65]", 2), ("[65,7]", 2), ("[1,300]", 2)):
        for axis in (None, *range(-n, n)):
            for dtype in ("fp16", "fp32"):
                yield call("softmax", x=dtype + shape, axis=maybe(integer, axis))
    yield call("softmax", x="fp32", values=False)
    yield call("softmax", x="fp32[0,3]")
    yield call("softmax", x="fp32[a,3]", bind={"a": 2})
    yield call("softmax", x="fp32[2,a]", bind={"a": 17})
    yield call("softmax", x="fp32[2,a]", axis=integer(0), bind={"a": 5})
    yield call("softmax", x="fp32[2,65]", draw={"x": "large"})
    yield call("softmax", x="fp16[2,65]", draw={"x": "large"})
    yield call("softmax", x="fp32[2,9]", draw={"x": "masked"})
    yield call("softmax", x="fp32[4]", draw={"x": [0.0, float("nan"), 1.0, 2.0]})
    for axis in (3, -4):
        yield call("softmax", x="fp32[2,3,4]", axis=integer(axis))
    for dtype in DTYPES:
        yield call("softmax", x=dtype + "[2,3]")
    yield call("softmax", x="fp32[2,3]", axis=ints(1), values=False)
    yield call("softmax", x="fp32[2,3]", axis="int32")
    yield call("softmax", x="fp32[2,3]", axis=const("fp32", 1.0))
    yield call("softmax", x="fp32[2,3]", axes=ints(1))
    yield call("softmax", x=drawn("fp32[2,3]"))


def calls():
    for op in ("relu", "relu6", "sigmoid", "softsign"):
        yield from unary(op, "normal", "special")
    yield from unary("silu", "normal", "special_small")
    yield from unary("softplus", "normal", "special_small")
    yield from unary("gelu", "normal", "special_small")
    for op in ALPHA:
        yield from scalars(op, ["alpha"])
    for op in ALPHA_BETA:
        yield from scalars(op, ["alpha", "beta"])
    yield from per_channel("prelu", ["alpha"])
    yield from per_channel("softplus_parametric", ["alpha", "beta"])
    yield from gelu()
    yield from softmax()
