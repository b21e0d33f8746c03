# SPDX-License-Identifier: MIT
"""quantization: quantize, dequantize; and conv's conv_quantized."""

from calls import call, const, drawn, integer, text

SHAPES = [("[2,3,2]", (1, -1)), ("[5]", (0,)), ("", ())]


def both(op, source, scale, zero, **more):
    """Scalars, with and without a zero point; vectors along each axis."""
    for shape, axes in SHAPES:
        x = {"input": source + shape, **more}
        yield call(op, **x, scale=const(scale, 0.1))
        yield call(op, **x, scale=const(scale, 0.4), zero_point=const(zero, 3))
        for axis in axes:
            n = shape.strip("[]").split(",")[axis]
            extent = f"[{n}]"
            if n == "0":
                continue
            yield call(op, **x, scale=drawn(scale + extent), axis=integer(axis), draw={"scale": "positive"})
            yield call(op, **x, scale=drawn(scale + extent), zero_point=drawn(zero + extent), axis=integer(axis),
                       draw={"scale": "positive", "zero_point": "positive"})  # fmt: skip
    yield call(op, input=source + "[a,3]", **more, scale=const(scale, [0.5, 0.25, 2.0]), axis=integer(1), bind={"a": 2})


def misfits(op, source, scale, zero, **more):
    x = {"input": source + "[2,3]", **more}
    vector, zeros = const(scale, [0.5, 0.25, 2.0]), const(zero, [1, 0, 2])
    yield call(op, **x, scale=vector)
    yield call(op, **x, scale=vector, axis=integer(0))
    yield call(op, **x, scale=vector, axis=integer(2))
    yield call(op, **x, scale=vector, axis=integer(-3))
    yield call(op, **x, scale=vector, zero_point=const(zero, 1), axis=integer(1))
    yield call(op, **x, scale=const(scale, 0.5), zero_point=zeros)
    yield call(op, **x, scale=const(scale, 0.5), axis=integer(1))
    yield call(op, **x, scale=const(scale, [[0.5, 0.25, 2.0]]), axis=integer(1))
    yield call(op, input=source + "[a,3]", **more, scale=vector, axis=integer(0))
    yield call(op, **x)
    yield call(op, **x, scale=scale + "[3]", axis=integer(1))


def quantize():
    for source, dtype in (("fp32", "int8"), ("fp16", "uint8")):
        yield from both("quantize", source, source, dtype, output_dtype=text(dtype))
    yield from misfits("quantize", "fp32", "fp32", "int8", output_dtype=text("int8"))
    x, scale = "fp32[2,3]", const("fp32", 0.5)
    for dtype in ("int16", "int32", "fp32", "bool", "int4"):
        yield call("quantize", input=x, scale=scale, output_dtype=text(dtype))
    for dtype in ("fp16", "int32", "int8"):
        yield call("quantize", input=dtype + "[2,3]", scale=scale, output_dtype=text("int8"))
        yield call("quantize", input=x, scale=scale, zero_point=const(dtype, 1), output_dtype=text("uint8"))
    yield call("quantize", input=x, scale=const("fp32", 0.0), output_dtype=text("int8"))
    yield call("quantize", input=x, scale=scale)
    halves = const("fp32", [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 300.0, -300.0])
    yield call("quantize", input=halves, scale=const("fp32", 1.0), output_dtype=text("int8"))
    yield call("quantize", input=halves, scale=const("fp32", 1.0), zero_point=const("uint8", 128), output_dtype=text("uint8"))


def dequantize():
    for source, dtype in (("int8", "fp32"), ("uint8", "fp16")):
        yield from both("dequantize", source, dtype, source)
    yield from misfits("dequantize", "int8", "fp32", "int8")
    for dtype in ("fp32", "int16", "int32", "bool"):
        yield call("dequantize", input=dtype + "[2,3]", scale=const("fp32", 0.5))
        yield call("dequantize", input="int8[2,3]", scale=const("fp32", 0.5), zero_point=const(dtype, 1))
        yield call("dequantize", input="int8[2,3]", scale=const(dtype, 1), values=False)


def conv_quantized():
    def one(x, weight, scale, shift, kind="linear", dtype="fp32", **more):
        given = {"quantization_type": text(kind), "quant_scale": const(dtype, scale), "quant_bias": const(dtype, shift), **more}
        return call("conv_quantized", x=dtype + x, weight={"c": "uint8" + weight}, draw={"weight": (0, 255), "bias": (0, 9)}, **given)

    for number, (x, weight) in enumerate((("[1,2,9]", "[3,2,3]"), ("[1,4,5,4]", "[2,2,2,3]"), ("[2,1,3,3,2]", "[2,1,2,2,1]"))):
        channels = int(weight[1])
        more = {"groups": integer(2)} if number == 1 else {}
        yield one(x, weight, 0.05, -6.25, **more)
        yield one(x, weight, [0.05, 0.5, 0.125][:channels], [-3.0, 0.0, 2.0][:channels], nbits=integer(8), dtype="fp16", **more)
        yield one(x, weight, 0.05, [1.0], bias=drawn(f"uint8[{channels}]"), pad_type=text("same"), **more)
    x, weight = "[1,2,9]", "[3,2,3]"
    yield one(x, weight, [0.5, 1.0], 0.0, values=False)
    yield one(x, weight, 0.5, 0.0, kind="lut", values=False)
    yield one(x, weight, 0.5, 0.0, kind="palette", values=False)
    yield one(x, weight, 0.5, 0.0, nbits=integer(9), values=False)
    yield one(x, weight, 0.5, 0.0, nbits=integer(4), values=False)
    yield one("[1,3,9]", weight, 0.5, 0.0, values=False)
    for dtype in ("uint8", "int8", "fp32", "fp16"):
        for name in ("weight", "bias", "quant_scale", "quant_bias"):
            base = {"weight": {"c": "uint8[3,2,3]"}, "quant_scale": const("fp32", 0.5), "quant_bias": const("fp32", 0), "quantization_type": text("linear")}
            given = const(dtype, 1) if name.startswith("quant") else drawn(dtype + ("[3]" if name == "bias" else "[3,2,3]"))
            yield call("conv_quantized", x="fp32" + x, values=False, **{**base, name: given})


def calls():
    yield from conv_quantized()
    yield from quantize()
    yield from dequantize()
