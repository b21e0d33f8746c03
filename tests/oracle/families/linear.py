# SPDX-License-Identifier: MIT
"""linear: linear, matmul, einsum."""

from calls import call, const, drawn, flag, text

from families.common import DTYPES

# x, y, transpose_x, transpose_y, sizes of symbols
PRODUCTS = [
    ("[2,3]", "[3,4]", None, None, {}), ("[2,3]", "[4,3]", None, True, {}), ("[3,2]", "[3,4]", True, None, {}),
    ("[3,2]", "[4,3]", True, True, {}), ("[1,1]", "[1,1]", None, None, {}), ("[7,33]", "[33,17]", None, None, {}),
    ("[17,7]", "[17,15]", True, None, {}), ("[16,16]", "[16,16]", None, True, {}), ("[6,65]", "[65,16]", None, None, {}),
    ("[13,5]", "[5,64]", None, None, {}), ("[1,63]", "[63,1]", None, None, {}), ("[2,4,3]", "[2,3,5]", None, None, {}),
    ("[2,4,3]", "[3,5]", None, None, {}), ("[4,3]", "[2,3,5]", None, None, {}), ("[2,1,4,3]", "[5,3,2]", None, None, {}),
    ("[2,2,2,4,3]", "[1,2,3,5]", None, None, {}), ("[2,3,4]", "[2,5,3]", True, True, {}), ("[3]", "[3,4]", None, None, {}),
    ("[3]", "[2,3,4]", None, None, {}), ("[0,3]", "[3,4]", None, None, {}), ("[2,0]", "[0,4]", None, None, {}),
    ("[a,3]", "[3,4]", None, None, {"a": 2}), ("[a,b]", "[b,c]", None, None, {"a": 2, "b": 3, "c": 5}),
    ("[a,b]", "[3,c]", None, None, {"a": 2, "b": 3, "c": 5}), ("[n,a,b]", "[n,b,a]", None, None, {"n": 2, "a": 3, "b": 4}),
    ("[n,a,3]", "[m,3,2]", None, None, {"n": 2, "m": 1, "a": 2}), ("[n,3,a]", "[n,3,b]", True, None, {"n": 2, "a": 2, "b": 3}),
]  # fmt: skip
NO_PRODUCTS = [
    ("[2,3]", "[4,3]", None, None), ("[2,3]", "[2,3]", None, None), ("[2,4,3]", "[3,3,5]", None, None),
    ("[3]", "[3,4]", True, None), ("[2,3]", "[3,4]", True, None), ("[4]", "[3,4]", None, None),
    ("[2,3]", "[3]", None, None), ("[3]", "[3]", None, None), ("", "[3,4]", None, None), ("[2,3]", "", None, None),
]  # fmt: skip


def matmul():
    for x, y, tx, ty, bind in PRODUCTS:
        flags = {"transpose_x": None if tx is None else flag(tx), "transpose_y": None if ty is None else flag(ty)}
        for dtype in ("fp32", "fp16"):
            yield call("matmul", x=dtype + x, y=dtype + y, bind=bind, **flags)
        if not bind:
            yield call("matmul", x="fp32" + x, y=drawn("fp32" + y), **flags)
    for x, y, tx, ty in NO_PRODUCTS:
        flags = {"transpose_x": None if tx is None else flag(tx), "transpose_y": None if ty is None else flag(ty)}
        yield call("matmul", x="fp32" + x, y="fp32" + y, **flags)
    for x in DTYPES:
        yield call("matmul", x=x + "[2,3]", y=x + "[3,4]")
        for y in ("fp16", "fp32", "int32"):
            if x != y:
                yield call("matmul", x=x + "[2,3]", y=y + "[3,4]")
                yield call("matmul", x=x + "[2,3]", y=drawn(y + "[3,4]"), values=x.startswith("fp") and y.startswith("fp"))
                yield call("matmul", x=drawn(x + "[2,3]"), y=y + "[3,4]", values=x.startswith("fp") and y.startswith("fp"))
                yield call("matmul", x=drawn(x + "[2,3]"), y=drawn(y + "[3,4]"), values=False)
    yield call("matmul", x="fp32[2,3]")
    yield call("matmul", x="fp32[2,3]", y="fp32[3,2]", transpose_x="bool")
    yield call("matmul", x="fp32[2,3]", y="fp32[3,2]", transpose_x=flag([True]), values=False)
    yield call("matmul", x="fp32[2,3]", y="fp32[3,2]", transpose_z=flag(True))
    yield call("matmul", x=drawn("fp32[5,3]"), y=drawn("fp32[3,2]"))


def linear():
    rows = [
        ("[2,3]", "[4,3]", "[4]", {}), ("[3]", "[4,3]", "[4]", {}), ("[2,2,3]", "[4,3]", None, {}), ("[1,3]", "[1,3]", "[1]", {}),
        ("[7,33]", "[17,33]", "[17]", {}), ("[16,64]", "[16,64]", None, {}), ("[5,65]", "[15,65]", "[15]", {}),
        ("[1,2,3,4]", "[5,4]", "[5]", {}), ("[1,1,2,3,4]", "[5,4]", None, {}), ("[0,3]", "[4,3]", "[4]", {}),
        ("[a,3]", "[4,3]", "[4]", {"a": 2}), ("[a,b,3]", "[4,3]", None, {"a": 2, "b": 3}), ("[2,a]", "[4,3]", "[4]", {"a": 3}),
        ("[2,4]", "[4,3]", "[4]", {}), ("[2,3]", "[4,3]", "[3]", {}), ("[2,3]", "[4,3]", "[1,4]", {}), ("[2,3]", "[4,3]", "", {}),
        ("[2,3]", "[3]", None, {}), ("[2,3]", "[1,4,3]", None, {}), ("[2,3]", "[4,3]", "[1]", {}), ("", "[4,3]", None, {}),
    ]  # fmt: skip
    for x, weight, bias, bind in rows:
        for dtype in ("fp32", "fp16"):
            yield call("linear", x=dtype + x, weight=drawn(dtype + weight), bind=bind,
                       bias=None if bias is None else drawn(dtype + bias))  # fmt: skip
    for x in DTYPES:
        for weight in ("fp16", "fp32", "int32", "bool"):
            values = x == weight or (x.startswith("fp") and weight.startswith("fp"))
            yield call("linear", x=x + "[2,3]", weight=drawn(weight + "[4,3]"), values=values)
            yield call("linear", x=x + "[2,3]", weight=drawn(weight + "[4,3]"), bias=drawn(weight + "[4]"), values=values)
            yield call("linear", x=x + "[2,3]", weight=drawn(weight + "[4,3]"), bias=drawn(x + "[4]"), values=values)
    yield call("linear", x="fp32[2,3]", weight="fp32[4,3]")
    yield call("linear", x="fp32[2,3]", weight=drawn("fp32[4,3]"), bias="fp32[4]")
    yield call("linear", x="fp32[2,3]")
    yield call("linear", x=drawn("fp32[2,3]"), weight=drawn("fp32[4,3]"))


def einsum():
    rows = [
        ("[2,3,4]", "[4,3,5]", "abc,cbd->abd", {}), ("[2,3,1,4]", "[2,4,1,5]", "nchw,nwhr->nchr", {}),
        ("[2,3,2,4]", "[2,4,2,5]", "nchw,nwhr->nchr", {}), ("[1,3,2,4]", "[2,4,1,5]", "nchw,nwhr->nchr", {}),
        ("[7,1,33]", "[33,2,17]", "ijk,kjl->ijl", {}), ("[2,3,4]", "[4,1,5]", "abc,cbd->abd", {}),
        ("[2,a,4]", "[4,a,5]", "abc,cbd->abd", {"a": 3}), ("[n,3,h,w]", "[n,w,h,5]", "nchw,nwhr->nchr", {"n": 2, "h": 2, "w": 3}),
        ("[2,3,4]", "[5,3,5]", "abc,cbd->abd", {}), ("[2,3,4]", "[4,2,5]", "abc,cbd->abd", {}), ("[2,3]", "[3,4]", "ab,bc->ac", {}),
        ("[2,3,4]", "[2,4,3,5]", "abc,cbd->abd", {}), ("[2,3,4]", "[4,3,5]", "abc,cbd->abc", {}),
        ("[2,3,4]", "[4,3,5]", "abc,cbd", {}), ("[2,3,4]", "[4,3,5]", "abc,cbd->adb", {}), ("[2,3,4]", "[4,3,5]", "", {}),
        ("[2,3,1,4]", "[3,4,1,5]", "nchw,nwhr->nchr", {}), ("[2,3,1,4]", "[2,4,1,5]", "nchw,nwhr->nhcr", {}),
        ("[2,3,4]", "[4,3,5]", "abc, cbd -> abd", {}),
    ]  # fmt: skip
    for x, y, equation, bind in rows:
        for dtype in ("fp32", "fp16"):
            yield call("einsum", values_=[dtype + x, dtype + y], equation=text(equation), bind=bind)
    for x in DTYPES:
        for y in ("fp16", "fp32", "int32"):
            yield call("einsum", values_=[x + "[2,3,4]", y + "[4,3,5]"], equation=text("abc,cbd->abd"), values=x == y and x != "int32")
    yield call("einsum", values_=["fp32[2,3,4]"], equation=text("abc->abc"))
    yield call("einsum", values_=["fp32[2,3,4]"] * 3, equation=text("abc,cbd,abc->abd"))
    yield call("einsum", values_=["fp32[2,3,4]", "fp32[4,3,5]"])
    yield call("einsum", values_=["fp32[2,3,4]", drawn("fp32[4,3,5]")], equation=text("abc,cbd->abd"))
    yield call("einsum", values_="fp32[2,3,4]", equation=text("abc,cbd->abd"))
    yield call("einsum", values_=["fp32[2,3,4]", "fp32[4,3,5]"], equation=const("int32", 1))


def calls():
    yield from matmul()
    yield from linear()
    yield from einsum()
