# SPDX-License-Identifier: MIT
"""scatter_gather: gather, gather_along_axis, gather_nd."""

from calls import call, const, drawn, flag, integer, ints, maybe

from families.common import DTYPES


def gather():
    for x, n in (("[5]", 1), ("[4,3]", 2), ("[3,4,5]", 3), ("[1,2,3,2,4]", 5)):
        for indices in ("", "[1]", "[3]", "[2,2]", "[1,2,1]"):
            for axis in (None, *range(-n, n)):
                yield call("gather", x="fp32" + x, indices="int32" + indices, axis=maybe(integer, axis), draw={"indices": (0, 0 if n == 5 and axis in (0, -5, None) else 1)})
    for axis in (2, -3, 5):
        yield call("gather", x="fp32[4,3]", indices="int32[2]", axis=integer(axis))
    for x, indices, axis, batch in (("[2,3,4]", "[2,5]", 1, 1), ("[2,3,4]", "[2,2,2]", 2, 1), ("[2,3,4]", "[2,3]", 2, 2), ("[2,3,4]", "[2,3,6]", 2, 2), ("[2,3,4]", "[2,5]", 2, 1),
                                    ("[2,3,4]", "[2]", 1, 1), ("[2,3,4]", "[2,5]", -1, 1), ("[2,3,4]", "[5]", 1, 0), ("[2,3,4]", "[2,5]", 0, 1), ("[2,3,4]", "[2,3,4]", 2, 3), ("[2,3,4]", "[5]", 1, 2),
                                    ("[2,3,4]", "[3,5]", 1, 1), ("[2,3,4]", "[2,5]", 1, -1), ("[a,3,4]", "[a,5]", 1, 1)):  # fmt: skip
        values = 0 <= batch <= 2 and (axis % 3) >= batch and indices != "[3,5]"
        yield call("gather", x="fp32" + x, indices="int32" + indices, axis=integer(axis), batch_dims=integer(batch), draw={"indices": (0, 1)}, values=values, bind={"a": 2} if "a" in x else {})
    for x, indices, bind in (("[a,3]", "[2]", {"a": 4}), ("[a,3]", "[b]", {"a": 4, "b": 3}), ("[4,a]", "[b,2]", {"a": 3, "b": 2})):
        yield call("gather", x="fp32" + x, indices="int32" + indices, bind=bind, draw={"indices": (0, 3)})
        yield call("gather", x="fp16" + x, indices="int32" + indices, axis=integer(1), bind=bind, draw={"indices": (0, 2)})
    for dtype in DTYPES:
        yield call("gather", x=dtype + "[4,3]", indices="int32[2]", draw={"indices": (0, 3)})
        yield call("gather", x="fp32[4,3]", indices=dtype + "[2]", draw={"indices": (0, 3)})
    for indices in ([0, 3], [-1, 0], [-4, 2], [4, 0], [-5, 0], [2**31 - 1]):
        inside = all(0 <= i < 4 for i in indices)
        yield call("gather", x="fp32[4,3]", indices=ints(*indices), values=inside)
        yield call("gather", x="fp32[4,3]", indices=ints(*indices), validate_indices=flag(True), values=inside)
        yield call("gather", x="fp32[4,3]", indices=ints(*indices), validate_indices=flag(False), values=inside)
    yield call("gather", x="fp32[4,3]", indices="int32[2]", validate_indices=flag(True), draw={"indices": (0, 3)})
    yield call("gather", x="int32[4]", indices="int32", draw={"indices": 2})
    yield call("gather", x="fp32[65,17]", indices="int32[9]", draw={"indices": (0, 64)})
    yield call("gather", x=drawn("fp16[9,33]"), indices="int32[4]", draw={"indices": (0, 8)})
    yield call("gather", x="fp32", indices="int32[2]", values=False)
    yield call("gather", x="fp32[4]")
    yield call("gather", x="fp32[4]", indices="int32[2]", axis="int32")
    yield call("gather", x="fp32[4]", indices="int32[2]", axis=ints(0), values=False)
    yield call("gather", x="fp32[4]", indices=const("fp32", [1.0]))
    yield call("gather", x=drawn("int32[4]"), indices=ints(1, 2))


def gather_along_axis():
    for x, indices in (("[4,3]", "[4,3]"), ("[4,3]", "[2,3]"), ("[4,3]", "[4,5]"), ("[2,3,4]", "[2,3,4]"), ("[4,3]", "[3]"), ("[5]", "[2]")):
        for axis in (None, 0, 1, -1, 3):
            yield call("gather_along_axis", x="fp32" + x, indices="int32" + indices, axis=maybe(integer, axis), draw={"indices": (0, 1)})
    yield call("gather_along_axis", x="fp32[a,3]", indices="int32[b,3]", bind={"a": 4, "b": 2}, draw={"indices": (0, 3)})
    for dtype in DTYPES:
        yield call("gather_along_axis", x=dtype + "[4]", indices="int32[2]", draw={"indices": (0, 3)})
        yield call("gather_along_axis", x="fp32[4]", indices=dtype + "[2]", draw={"indices": (0, 3)})


def gather_nd():
    for x, indices, batch in (("[4,3]", "[2,2]", None), ("[4,3]", "[2,1]", None), ("[2,3,4]", "[5,2]", None), ("[2,3,4]", "[1,2,3]", None), ("[4,3]", "[2,3]", None), ("[2,3,4]", "[2,5,1]", 1),
                              ("[2,3,4]", "[2,5,2]", 1), ("[2,3,4]", "[2,5,3]", 1), ("[4]", "[1]", None)):  # fmt: skip
        yield call("gather_nd", x="fp32" + x, indices="int32" + indices, batch_dims=maybe(integer, batch), draw={"indices": (0, 1)})
    for dtype in DTYPES:
        yield call("gather_nd", x=dtype + "[4,3]", indices="int32[2,2]", draw={"indices": (0, 2)})
        yield call("gather_nd", x="fp32[4,3]", indices=dtype + "[2,2]", draw={"indices": (0, 2)})


def calls():
    yield from gather()
    yield from gather_along_axis()
    yield from gather_nd()
