# SPDX-License-Identifier: MIT
"""control_flow: select (const is under every other call)."""

from calls import call, const, drawn

from families.common import DTYPES


def calls():
    rows = [("[2,3]", "[2,3]", "[2,3]", {}), ("", "[2,3]", "[2,3]", {}), ("[2,3]", "", "", {}), ("", "", "", {}), ("[3]", "[2,3]", "[2,3]", {}), ("[2,1]", "[2,3]", "[3]", {}),
            ("[2,3]", "[2,3]", "[3]", {}), ("[2,3]", "[2,1]", "[1,3]", {}), ("[1]", "[5]", "[1]", {}), ("[65]", "[65]", "[65]", {}), ("[2,17]", "[2,17]", "", {}), ("[0,3]", "[0,3]", "[3]", {}),
            ("[a,3]", "[a,3]", "[a,3]", {"a": 2}), ("[a,3]", "[a,3]", "", {"a": 2}), ("[a,3]", "[1,3]", "[a,3]", {"a": 4}), ("[1,2,3,2,2]", "[1,2,3,2,2]", "[2]", {}),
            ("[2,3]", "[3]", "[3]", {}), ("[2,3]", "[2,4]", "[2,3]", {}), ("[4]", "[2,3]", "[2,3]", {}), ("[2,3]", "[2,3]", "[2,2]", {})]  # fmt: skip
    for cond, a, b, bind in rows:
        for dtype in ("fp32", "fp16"):
            yield call("select", cond="bool" + cond, a=dtype + a, b=dtype + b, bind=bind)
    for dtype in DTYPES:
        yield call("select", cond="bool[2,3]", a=dtype + "[2,3]", b=dtype + "[3]")
        yield call("select", cond=dtype + "[2,3]", a="fp32[2,3]", b="fp32[2,3]")
        yield call("select", cond="bool[2,3]", a=dtype + "[2,3]", b="fp32[2,3]")
    for dtype in ("fp16", "fp32"):
        yield call("select", cond="bool[41]", a=dtype + "[41]", b=dtype + "[41]", draw={"a": "special", "b": "special"})
        yield call("select", cond=const("bool", [True, False, True]), a=dtype + "[2,3]", b=const(dtype, 0.5))
    yield call("select", cond="bool[2,3]", a="fp32[2,3]")
    yield call("select", cond="bool[2,3]")
    yield call("select", cond="bool[2,3]", x="fp32[2,3]", y="fp32[2,3]")
    yield call("select", cond=drawn("bool[3]"), a=drawn("fp32[3]"), b=drawn("fp32[3]"))
