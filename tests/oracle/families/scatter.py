# SPDX-License-Identifier: MIT
"""scatter_gather, continued: scatter, scatter_along_axis, scatter_nd."""

from calls import call, drawn, flag, integer, ints, maybe, text

MODES = ("update", "add", "sub", "mul", "div", "max", "min")
DTYPES = ("fp32", "fp16", "int32")


def scatter():
    for number, mode in enumerate((None, *MODES)):
        t = "int32" if mode == "add" else DTYPES[number % 2]
        more = {"mode": maybe(text, mode), "draw": {"updates": "nonzero", "indices": (0, 3)}}
        yield call("scatter", data=t + "[4,3]", indices=ints(2, 0, 3), updates=t + "[3,3]", **more)
        if mode != "update":  # which of several wins is nobody's promise
            yield call("scatter", data=t + "[2,4]", indices=ints(1, 3, 1), updates=t + "[2,3]", axis=integer(-1), **more)
    for data, indices, updates, axis in (("[2,4,3]", "[2]", "[2,2,3]", 1), ("[4,3]", "", "[3]", 0), ("[4,3]", "[2,2]", "[2,2,3]", 0), ("[4,3]", "[2]", "[2,2]", 0), ("[4,3]", "[2]", "[2,3]", 2),
                                         ("[a,3]", "[b]", "[b,3]", 0), ("[5]", "[3]", "[3]", None)):  # fmt: skip
        yield call("scatter", data="fp32" + data, indices="int32" + indices, updates="fp32" + updates, axis=maybe(integer, axis), draw={"indices": (0, 2)}, bind={"a": 3, "b": 2} if "a" in data else {})
    for dtype in ("bool", "int8", "int32"):
        yield call("scatter", data="fp32[4,3]", indices="int32[2]", updates=dtype + "[2,3]")
        yield call("scatter", data="fp32[4,3]", indices=dtype + "[2]", updates="fp32[2,3]", draw={"indices": (0, 3)})
    for indices in ([-1, 1], [4, 0]):
        inside = all(0 <= i < 4 for i in indices)
        yield call("scatter", data="fp32[4,3]", indices=ints(*indices), updates="fp32[2,3]", validate_indices=flag(True), values=inside)
    yield call("scatter", data="fp32[4,3]", indices="int32[2]")
    yield call("scatter", data=drawn("fp32[4,3]"), indices=ints(1, 2), updates=drawn("fp32[2,3]"))


def scatter_along_axis():
    for number, mode in enumerate((None, *MODES)):
        t = DTYPES[number % 2]
        more = {"mode": maybe(text, mode), "draw": {"updates": "nonzero", "indices": [[2, 0, 1], [0, 3, 2]]}}
        yield call("scatter_along_axis", data=t + "[4,3]", indices="int32[2,3]", updates=t + "[2,3]", **more)
    for data, indices, axis in (("[2,4]", "[2,3]", 1), ("[2,3,2]", "[2,1,2]", -2), ("[4,3]", "[2,2]", 0), ("[4,3]", "[3]", 0), ("[4,3]", "[2,3]", 2), ("[5]", "[2]", None)):
        yield call("scatter_along_axis", data="fp32" + data, indices="int32" + indices, updates="fp32" + indices, axis=maybe(integer, axis), draw={"indices": (0, 1)})
    yield call("scatter_along_axis", data="fp32[4,3]", indices="int32[2,3]", updates="fp32[2,2]")


def scatter_nd():
    for number, mode in enumerate((None, *MODES)):
        t = DTYPES[number % 3] if mode != "div" else "fp16"
        more = {"mode": maybe(text, mode), "draw": {"updates": "nonzero", "indices": [[2, 0], [0, 1], [3, 2]]}}
        yield call("scatter_nd", data=t + "[4,3]", indices="int32[3,2]", updates=t + "[3]", **more)
    for data, indices, updates in (("[4,3]", "[2,1]", "[2,3]"), ("[2,3,4]", "[2,1,2]", "[2,1,4]"), ("[4,3]", "[1,2]", "[2]"), ("[4,3]", "[2,3]", "[2]"), ("[4]", "[1]", "")):
        yield call("scatter_nd", data="fp32" + data, indices="int32" + indices, updates="fp32" + updates, draw={"indices": (0, 1)})


def calls():
    yield from scatter()
    yield from scatter_along_axis()
    yield from scatter_nd()
