# SPDX-License-Identifier: MIT
"""constexpr: consts that are kept compressed."""

from calls import call, drawn

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


def calls():
    yield from constexpr_blockwise_shift_scale()
