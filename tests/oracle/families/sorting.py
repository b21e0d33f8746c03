# SPDX-License-Identifier: MIT
"""tensor_operation, continued: argsort, topk, one_hot."""

import numpy as np

from calls import call, const, drawn, flag, integer, ints, maybe, text

from families.common import DTYPES

TIES = {"x": [[2, 5, 2, 5, 1], [3, 3, 3, 3, 3], [-1, 0, -1, 0, 7]]}


def distinct(*shape, seed=0):
    """Quarters, no two alike, so that no order of equals is asked for."""
    n = int(np.prod(shape, dtype=int))
    return (np.random.default_rng(seed).permutation(n) - n // 2).reshape(shape) / 4


def argsort():
    for shape in ((5,), (1,), (2, 3), (3, 7, 2), (1, 40)):
        for axis in (None, 0, 1, -3):
            for ascending in (None, True):
                for dtype in ("fp32", "fp16", "int32"):
                    if dtype == "fp32" or axis in (None, 0):
                        yield call("argsort", x=f"{dtype}{list(shape)}".replace(" ", ""), axis=maybe(integer, axis), ascending=maybe(flag, ascending),
                                   draw={"x": distinct(*shape) * (4 if dtype == "int32" else 1)})  # fmt: skip
    for ascending in (False, True):
        yield call("argsort", x="fp32[3,5]", ascending=flag(ascending), draw=TIES, values=ascending)
        yield call("argsort", x="int32[3,5]", axis=integer(0), ascending=flag(ascending), draw=TIES, values=ascending)
    yield call("argsort", x="fp32[a,5]", draw={"x": distinct(3, 5)}, bind={"a": 3})
    yield call("argsort", x="fp32[2,0]")
    yield call("argsort", x="fp32", values=False)
    for dtype in DTYPES:
        yield call("argsort", x=dtype + "[4]", draw={"x": distinct(4) * 4}, values=dtype.startswith(("fp", "int")))
    yield call("argsort")
    yield call("argsort", x=drawn("fp32[5]"), draw={"x": distinct(5)})


def topk():
    for shape in ((5,), (2, 7), (3, 20, 2)):
        for k in (None, 2, 5):
            for axis in (None, 0, 1, -3):
                for ascending in (None, True):
                    yield call("topk", x=f"fp32{list(shape)}".replace(" ", ""), k=maybe(integer, k), axis=maybe(integer, axis), ascending=maybe(flag, ascending),
                               draw={"x": distinct(*shape)})  # fmt: skip
    for dtype in ("fp16", "int32", "int16", "int8", "uint8"):
        draw = {"x": distinct(2, 9) * 4 + (9 if dtype == "uint8" else 0)}
        yield call("topk", x=dtype + "[2,9]", k=integer(4), draw=draw)
        yield call("topk", x=dtype + "[2,9]", k=integer(2), axis=integer(0), ascending=flag(True), draw=draw)
    for ascending in (False, True):
        yield call("topk", x="fp32[3,5]", k=integer(3), ascending=flag(ascending), draw=TIES)
    for more in ({"sort": flag(True)}, {"return_indices": flag(False)}, {"return_indices": flag(True)}, {"output_indices_dtype": text("uint16")},
                 {"output_indices_dtype": text("int32")}, {"output_indices_dtype": text("int8")}):  # fmt: skip
        yield call("topk", x="fp32[2,6]", k=integer(3), draw={"x": distinct(2, 6)}, **more)
    for k in (const("int8", 2), const("int16", 2), const("fp32", 2.0), ints(2), integer(0), integer(-1), integer(7)):
        yield call("topk", x="fp32[2,6]", k=k, draw={"x": distinct(2, 6)}, values=k not in (integer(0), integer(-1)))
    yield call("topk", x="fp32[a,6]", k=integer(2), draw={"x": distinct(3, 6)}, bind={"a": 3})
    yield call("topk", x="fp32[a]", k=integer(2), draw={"x": distinct(4)}, bind={"a": 4})
    for dtype in DTYPES:
        yield call("topk", x=dtype + "[4]", values=False)
    yield call("topk", x="fp32[4]", k="int32")
    yield call("topk", x="fp32", values=False)
    yield call("topk")


def one_hot():
    draw = {"indices": [[0, 2, 1], [3, 0, -1]]}
    for axis in (None, 0, 1, -1, 2, -2, -3, 3, -4):
        yield call("one_hot", indices="int32[2,3]", one_hot_vector_size=integer(4), axis=maybe(integer, axis), draw={"indices": [[0, 2, 1], [3, 0, 1]]})
    yield call("one_hot", indices="int32[2,3]", one_hot_vector_size=integer(3), draw=draw, values=False)
    for on, off in ((const("fp32", 2.5), const("fp32", -1.0)), (const("fp16", 0.5), const("fp16", 0.25)), (integer(7), integer(-2)), (flag(True), flag(False)),
                    (const("fp32", 1.0), integer(0)), (const("fp32", 1.0), None), (None, const("fp32", 0.5)), (ints(1), ints(0))):  # fmt: skip
        yield call("one_hot", indices="int32[4]", one_hot_vector_size=integer(5), on_value=on, off_value=off, draw={"indices": [4, 0, 2, 2]},
                   values=not (on == ints(1) or (off is None) != (on is None)))  # fmt: skip
    yield call("one_hot", indices="int32", one_hot_vector_size=integer(3), draw={"indices": 1})
    yield call("one_hot", indices="int32[a]", one_hot_vector_size=integer(3), draw={"indices": [0, 2]}, bind={"a": 2})
    yield call("one_hot", indices="int32[2]", one_hot_vector_size="int32", values=False)
    yield call("one_hot", indices="int32[2]", values=False)
    yield call("one_hot", indices="int32[0]", one_hot_vector_size=integer(3))
    for dtype in DTYPES:
        yield call("one_hot", indices=dtype + "[2]", one_hot_vector_size=integer(3), values=False)
    yield call("one_hot")


def calls():
    yield from argsort()
    yield from topk()
    yield from one_hot()
