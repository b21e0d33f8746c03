# SPDX-License-Identifier: MIT
"""transformers: scaled_dot_product_attention."""

from calls import call, drawn

from families.common import DTYPES


def one(q, k, v, mask=None, dtype="fp32", mask_dtype=None, **more):
    mask = None if mask is None else (mask_dtype or dtype) + mask
    more.setdefault("draw", {"attn_mask": "normal"})
    return call("scaled_dot_product_attention", query=dtype + q, key=dtype + k, value=dtype + v, attn_mask=mask, **more)


def calls():
    rows = [("[1,4,8]", "[1,4,8]", "[1,4,8]"), ("[2,3,5]", "[2,7,5]", "[2,7,6]"), ("[2,2,3,4]", "[2,2,5,4]", "[2,2,5,3]"),
            ("[1,2,1,3,4]", "[1,2,1,5,4]", "[1,2,1,5,4]"), ("[1,1,16]", "[1,65,16]", "[1,65,16]"), ("[1,2,17,33]", "[1,2,17,33]", "[1,2,17,33]"),
            ("[2,16,64]", "[2,16,64]", "[2,16,64]"), ("[1,1,1]", "[1,1,1]", "[1,1,1]")]  # fmt: skip
    for q, k, v in rows:
        for dtype in ("fp32", "fp16"):
            yield one(q, k, v, dtype=dtype)
            s, t = q[1:-1].split(",")[-2], k[1:-1].split(",")[-2]
            for mask in (f"[{s},{t}]", f"[1,{s},{t}]", f"[1,{t}]"):
                yield one(q, k, v, mask, dtype=dtype)
                yield one(q, k, v, mask, dtype=dtype, draw={"attn_mask": "masked"}) if t != "1" else one(q, k, v, mask, dtype=dtype)
            yield one(q, k, v, f"[{s},{t}]", dtype=dtype, mask_dtype="bool", draw={"attn_mask": masked(int(s), int(t))})
    for q, k, v, mask in (("[2,3,5]", "[2,7,5]", "[2,7,6]", "[3,6]"), ("[2,3,5]", "[2,7,5]", "[2,7,6]", "[2,7]"), ("[2,3,5]", "[2,7,5]", "[2,7,6]", "[7]"),
                          ("[2,3,5]", "[2,7,4]", "[2,7,6]", None), ("[2,3,5]", "[2,7,5]", "[2,6,6]", None), ("[2,3,5]", "[1,7,5]", "[1,7,6]", None),
                          ("[3,5]", "[7,5]", "[7,6]", None), ("[2,3,5]", "[1,2,7,5]", "[2,7,6]", None), ("[5]", "[5]", "[5]", None),
                          ("[2,3,5]", "[2,7,5]", "[2,7,6]", "[3,1]"), ("[2,3,5]", "[2,7,5]", "[2,7,6]", "[2,1,7]"), ("[2,3,5]", "[2,7,5]", "[2,7,6]", "")):  # fmt: skip
        yield one(q, k, v, mask)
    bind = {"a": 2, "s": 3, "t": 5, "e": 4}
    for q, k, v, mask in (("[a,3,5]", "[a,7,5]", "[a,7,6]", None), ("[2,s,5]", "[2,t,5]", "[2,t,6]", None), ("[2,s,e]", "[2,t,e]", "[2,t,e]", None),
                          ("[2,s,5]", "[2,t,5]", "[2,t,6]", "[s,t]"), ("[1,2,s,8]", "[1,2,s,8]", "[1,2,s,8]", "[1,1,s,s]"), ("[2,s,5]", "[2,7,5]", "[2,7,6]", "[s,7]")):  # fmt: skip
        yield one(q, k, v, mask, bind=bind)
    for dtype in DTYPES:
        yield one("[1,3,4]", "[1,5,4]", "[1,5,4]", dtype=dtype)
        yield one("[1,3,4]", "[1,5,4]", "[1,5,4]", "[3,5]", mask_dtype=dtype)
        yield one("[1,3,4]", "[1,5,4]", "[1,5,4]", "[3,5]", dtype="fp16", mask_dtype=dtype)
    yield call("scaled_dot_product_attention", query="fp32[1,3,4]", key="fp16[1,5,4]", value="fp32[1,5,4]")
    yield call("scaled_dot_product_attention", query="fp32[1,3,4]", key="fp32[1,5,4]")
    yield call("scaled_dot_product_attention", query="fp32[1,3,4]", key=drawn("fp32[1,5,4]"), value=drawn("fp32[1,5,4]"))


def masked(s, t):
    """Each row keeps its first element."""
    return [[j == 0 or (i + j) % 3 != 0 for j in range(t)] for i in range(s)]
