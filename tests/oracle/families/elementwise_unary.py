# SPDX-License-Identifier: MIT
"""elementwise_unary: exp, clip, cast and their kind."""

from calls import call, const, drawn, text

from families.common import DTYPES, SHAPES, SYMBOLIC

# op, what its elements are drawn as, and as where extremes are wanted (None: no such case)
FLOAT = [
    ("acos", "unit", "special_small"), ("asin", "unit", "special_small"), ("atan", "normal", "special"),
    ("atanh", "unit", "special_small"), ("ceil", "normal", "special"), ("cos", "normal", "special_small"),
    ("cosh", "normal", "special"), ("erf", "normal", "special"), ("exp", "normal", "special"),
    ("floor", "normal", "special"), ("inverse", "nonzero", "special"), ("log", "positive", "special"),
    ("round", "normal", "special"), ("rsqrt", "positive", "special"), ("sin", "normal", "special_small"),
    ("sinh", "normal", "special"), ("sqrt", "positive", "special"), ("tan", "unit", "special_small"),
    ("tanh", "normal", "special"),
]  # fmt: skip
INT = [("abs", "normal", "special"), ("exp2", "normal", "special"), ("sign", "normal", "special"),
       ("square", "normal", "special")]  # fmt: skip


def unary(op, kind, special):
    for shape in SHAPES:
        yield call(op, x="fp32" + shape, draw={"x": kind})
    for shape, bind in SYMBOLIC:
        yield call(op, x="fp32" + shape, draw={"x": kind}, bind=bind)
    for dtype in DTYPES:
        yield call(op, x=dtype + "[2,3]", draw={"x": "small" if op == "exp2" and dtype == "int32" else kind})
    for dtype in ("fp16", "fp32"):
        yield call(op, x=dtype + "[41]", draw={"x": special})
        yield call(op, x=dtype + "[5,29]", draw={"x": kind})
        yield call(op, x=drawn(dtype + "[7]"), draw={"x": kind})
    yield call(op)
    yield call(op, x="fp32[2]", y="fp32[2]")
    yield call(op, x=text("no"))
    yield call(op, x=["fp32[2]"])
    yield call(op, y="fp32[2]")


def with_epsilon(op, kind):
    for dtype in ("fp16", "fp32"):
        for epsilon in ("fp16", "fp32", "int32"):
            value = 1 if epsilon == "int32" else 0.25
            yield call(op, x=dtype + "[2,9]", epsilon=const(epsilon, value), draw={"x": kind})
    yield call(op, x="fp32[3]", epsilon="fp32")
    yield call(op, x="fp32[3]", epsilon=const("fp32", [0.25]), draw={"x": kind}, values=False)
    yield call(op, x="fp32[3]", epsilon=const("fp32", 0.0), draw={"x": [0.0, 1.0, 4.0]})
    yield call(op, x="fp16[3]", draw={"x": [0.0, 1.0, 4.0]})
    yield call(op, x="fp32[3]", draw={"x": [0.0, 1.0, 4.0]})


def clip():
    for dtype in DTYPES:
        for bound in ("fp16", "fp32", "int32"):
            yield call("clip", x=dtype + "[3,11]", alpha=const(bound, -1), beta=const(bound, 2))
    for shape in SHAPES:
        yield call("clip", x="fp32" + shape, alpha=const("fp32", -0.5), beta=const("fp32", 0.75))
    for shape, bind in SYMBOLIC:
        yield call("clip", x="fp16" + shape, alpha=const("fp16", -0.5), beta=const("fp16", 0.75), bind=bind)
    for alpha, beta in ((1.0, 1.0), (2.0, 1.0), (-1.0, float("inf")), (float("-inf"), 0.5)):
        yield call("clip", x="fp32[9]", alpha=const("fp32", alpha), beta=const("fp32", beta), values=alpha < beta)
    yield call("clip", x="fp32[41]", alpha=const("fp32", -1.0), beta=const("fp32", 1.0), draw={"x": "special"})
    yield call("clip", x="fp16[41]", alpha=const("fp16", -1.0), beta=const("fp16", 1.0), draw={"x": "special"})
    yield call("clip", x="fp32[3]", alpha=const("fp32", 0.0))
    yield call("clip", x="fp32[3]", beta=const("fp32", 0.0))
    yield call("clip", x="fp32[3]", alpha="fp32", beta=const("fp32", 1.0))
    yield call("clip", x="fp32[3]", alpha=const("fp32", 0.0), beta=const("fp16", 1.0))
    yield call("clip", x="fp32[3]", alpha=const("fp16", 0.0), beta=const("fp32", 1.0))


def threshold():
    for dtype in DTYPES:
        for bound in ("fp16", "fp32", "int32"):
            yield call("threshold", x=dtype + "[3,11]", alpha=const(bound, 1))
    for shape in SHAPES:
        yield call("threshold", x="fp32" + shape, alpha=const("fp32", 0.5))
    yield call("threshold", x="fp32[41]", alpha=const("fp32", 0.0), draw={"x": "special"})
    yield call("threshold", x="fp32[3]", alpha="fp32")
    yield call("threshold", x="fp32[3]")
    for shape, bind in SYMBOLIC:
        yield call("threshold", x="int32" + shape, alpha=const("int32", 2), bind=bind)


def cast():
    for source in DTYPES:
        for target in DTYPES + ["fp64", "int64", "uint32", "string", "float32", "FP32", ""]:
            yield call("cast", x=source + "[2,5]", dtype=text(target), draw={"x": "positive" if "u" in target else "normal"})
    for shape in SHAPES:
        yield call("cast", x="fp32" + shape, dtype=text("int32"))
        yield call("cast", x="int32" + shape, dtype=text("fp16"))
    for shape, bind in SYMBOLIC:
        yield call("cast", x="fp32" + shape, dtype=text("fp16"), bind=bind)
    finite = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.9, 2.9, 100.7, -100.7, 1e-3]
    for dtype in ("fp16", "fp32"):
        for target in ("fp16", "fp32", "int32", "bool", "int8", "int16"):
            yield call("cast", x=dtype + "[12]", dtype=text(target), draw={"x": finite})
        for target in ("fp16", "fp32", "bool"):
            yield call("cast", x=dtype + "[41]", dtype=text(target), draw={"x": "special"})
    rounding = [2048.5, 2049.0, 2051.0, 65519.0, 65520.0, 65504.0, 1.00048828125, 1.00146484375, 5.9e-8, 2.9e-8, 3e-8, 6.1e-5]
    yield call("cast", x="fp32[12]", dtype=text("fp16"), draw={"x": rounding})
    yield call("cast", x="int32[6]", dtype=text("fp32"), draw={"x": [16777217, -16777219, 2147483647, -2147483648, 0, 7]})
    yield call("cast", x="int32[6]", dtype=text("fp16"), draw={"x": [2049, 2051, 65519, 65520, -70000, 7]})
    yield call("cast", x="int32[4]", dtype=text("bool"), draw={"x": [0, 1, -1, 256]})
    yield call("cast", x="fp32[3]")
    yield call("cast", x="fp32[3]", dtype=const("int32", 1))
    yield call("cast", x=drawn("fp32[3]"), dtype=text("int32"))


def logical_not():
    for dtype in DTYPES:
        yield call("logical_not", x=dtype + "[2,3]")
    for shape in SHAPES:
        yield call("logical_not", x="bool" + shape)
    for shape, bind in SYMBOLIC:
        yield call("logical_not", x="bool" + shape, bind=bind)


def calls():
    for op, kind, special in FLOAT + INT:
        yield from unary(op, kind, special)
    for op, kind in (("inverse", "positive"), ("log", "positive"), ("rsqrt", "positive")):
        yield from with_epsilon(op, kind)
    yield from clip()
    yield from threshold()
    yield from cast()
    yield from logical_not()
