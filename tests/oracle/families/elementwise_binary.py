# SPDX-License-Identifier: MIT
"""elementwise_binary: add, mul, comparisons, logic."""

from calls import call, const, drawn

from families.common import DTYPES

ARITHMETIC = ["add", "sub", "mul", "real_div", "floor_div", "mod", "pow", "maximum", "minimum"]
COMPARISON = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
LOGICAL = ["logical_and", "logical_or", "logical_xor"]

# x, y, and sizes of symbols where they broadcast at run time
BROADCAST = [
    ("[2,3]", "[2,3]", {}), ("[2,3]", "[3]", {}), ("[3]", "[2,3]", {}), ("[2,1]", "[1,3]", {}), ("[4,1,3]", "[2,1]", {}),
    ("[2,3]", "", {}), ("", "[2,3]", {}), ("", "", {}), ("[1]", "[5]", {}), ("[1]", "", {}), ("[17,3]", "[17,1]", {}),
    ("[65]", "[65]", {}), ("[3,65]", "[65]", {}), ("[1,2,3,4]", "[2,1,4]", {}), ("[1,2,1,2,3]", "[3]", {}),
    ("[1,1,1,1,1,2]", "[2]", {}), ("[0,3]", "[3]", {}), ("[0,3]", "[1,3]", {}), ("[2,0]", "[2,1]", {}),
    ("[a,3]", "[a,3]", {"a": 2}), ("[a,3]", "[1,3]", {"a": 2}), ("[a,3]", "[3]", {"a": 4}), ("[a,3]", "[b,3]", {"a": 2, "b": 1}),
    ("[a,3]", "[2,3]", {"a": 2}), ("[a]", "[2,1]", {"a": 3}), ("[a,1]", "[1,b]", {"a": 2, "b": 3}), ("[a]", "", {"a": 5}),
    ("[2,a]", "[2,b]", {"a": 3, "b": 3}), ("[a,b,4]", "[b,1]", {"a": 2, "b": 3}),
]  # fmt: skip
NO_BROADCAST = [("[2,3]", "[2,4]"), ("[2,3]", "[2]"), ("[a,3]", "[a,4]"), ("[0,3]", "[2,3]"), ("[2,3,4]", "[3,3,4]")]


def draws(op, dtype="fp32"):
    """How x and y are drawn so that the result is one that all agree on."""
    if dtype in ("fp16", "fp32"):
        kinds = {"real_div": ("normal", "nonzero"), "floor_div": ("normal", "nonzero"), "mod": ("normal", "nonzero"),
                 "pow": ("positive", "normal")}  # fmt: skip
        default = ("near", "near") if op in COMPARISON else ("normal", "normal")
    else:
        kinds = {"floor_div": ("normal", "nonzero"), "mod": ("normal", "nonzero"), "pow": ("normal", "small")}
        default = ("normal", "normal")
    x, y = kinds.get(op, default)
    return {"x": x, "y": y}


def calls():
    for op in ARITHMETIC + COMPARISON + LOGICAL:
        dtype = "bool" if op in LOGICAL else "fp32"
        for x, y, bind in BROADCAST:
            yield call(op, x=dtype + x, y=dtype + y, bind=bind, draw=draws(op))
        for x, y in NO_BROADCAST:
            yield call(op, x=dtype + x, y=dtype + y)
        for each in DTYPES:
            draw = draws(op, each)
            if op == "real_div" and each == "int32":  # whole quotients: what else becomes of the rest is not agreed on
                draw = {"x": [[6, -8, 9], [0, 12, -15]], "y": [2, 4, -3]}
            yield call(op, x=each + "[2,3]", y=each + "[3]", draw=draw)
            yield call(op, x=each + "[2,3]", y=drawn(each), draw=draws(op, each), values=op != "real_div" or each != "int32")
        for x in DTYPES[:6]:
            for y in DTYPES[:6]:
                if x != y:
                    yield call(op, x=x + "[2,3]", y=y + "[3]")
        for each in ("fp16", "fp32"):
            if op not in LOGICAL:
                yield call(op, x=each + "[25]", y=drawn(each + "[25]"), draw={**draws(op), "x": "special"})
                yield call(op, x=each + "[25,1]", y=each + "[25]", draw={"x": "special", "y": "special"},
                           values=op not in ("floor_div", "mod", "pow"))  # fmt: skip
                yield call(op, x=drawn(each + "[3,1]"), y=each + "[3,9]", draw=draws(op))
        yield call(op, x="fp16[2,3]", y=const("fp32", 2.0))
        yield call(op, x="fp16[2,3]", y=const("int32", 2))
        if op in ARITHMETIC:
            yield call(op, x=const("int32", [8, -8, 6]), y=const("int32", [2, 2, 1]))
            yield call(op, x=const("fp32", [7, 8, 6.5]), y=const("fp32", [2, 2, -4]))
        if op in ("floor_div", "mod"):
            rows = {"x": [7, -7, 7, -7, 6, -6, 0, 1], "y": [2, 2, -2, -2, 3, 3, 5, -5]}
            for each in ("fp16", "fp32", "int32"):
                yield call(op, x=each + "[8]", y=each + "[8]", draw=rows)
        if op in ("add", "sub", "mul"):  # wraps
            yield call(op, x="int32[4]", y="int32[4]", draw={"x": [2**31 - 1, -(2**31), 65536, -7], "y": [1, 1, 65536, 3]})
        yield call(op, x=f"{dtype}[2,3]")
        yield call(op, y=f"{dtype}[2,3]")
        yield call(op, x=f"{dtype}[2,3]", y=f"{dtype}[3]", z=f"{dtype}[3]")
        yield call(op, x=f"{dtype}[2,3]", y=[f"{dtype}[3]"])
