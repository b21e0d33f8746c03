# SPDX-License-Identifier: MIT
"""tensor_operation, continued: non_zero, non_maximum_suppression."""

import numpy as np

from calls import call, const, drawn, flag, integer, ints

from families.common import DTYPES


def non_zero():
    for x in ("[5]", "[2,3]", "[2,1,4]", "[a,3]", "[0,3]", "[1,2,1,3,2]"):
        for dtype, kind in (("fp32", "near"), ("bool", "normal")):
            yield call("non_zero", x=dtype + x, draw={"x": kind}, bind={"a": 2})
    yield call("non_zero", x=drawn("fp16[3,4]"), draw={"x": "near"})
    yield call("non_zero", x="fp32[3]", draw={"x": [np.nan, 0, -0.0]})
    for dtype in DTYPES:
        yield call("non_zero", x=dtype + "[2,3]", values=False)
    yield call("non_zero")


def suppression():
    def one(batch, boxes, classes, most, threshold, least=None, by_class=None, dtype="fp32", seed=0, values=True):
        rng = np.random.default_rng(seed)
        box = np.concatenate([rng.uniform(0, 10, (batch, boxes, 2)), rng.uniform(1, 6, (batch, boxes, 2))], 2).round(2)
        score = rng.permutation(batch * boxes * classes).reshape(batch, boxes, classes) / 8 - 3
        more = {"iou_threshold": const(dtype, threshold), "max_boxes": integer(most), "per_class_suppression": by_class if by_class is None else flag(by_class), "values": values}
        if least is not None or boxes == 5:
            yield call("non_maximum_suppression", boxes=f"{dtype}[{batch},{boxes},4]", scores=f"{dtype}[{batch},{boxes},{classes}]",
                       score_threshold=const(dtype, least or 0), draw={"boxes": box, "scores": score}, **more)  # fmt: skip
        yield call("non_maximum_suppression", boxes=f"{dtype}[{batch},4,{boxes}]", scores=f"{dtype}[{batch},{classes},{boxes}]",
                   draw={"boxes": np.swapaxes(box, 1, 2), "scores": np.swapaxes(score, 1, 2)}, **more)  # fmt: skip

    for number, threshold in enumerate((0.0, 0.2, 0.5, 1.0)):
        for by_class in (None, True):
            yield from one(1, 8, 2, 5, threshold, (-10, -2, 0, 99)[number], by_class, "fp16" if number == 1 else "fp32", number)
    yield from one(2, 7, 1, 3, 0.25, -2, True, seed=5)
    yield from one(2, 5, 2, 8, 0.25, seed=6)
    yield from one(1, 6, 2, 0, 0.25, 0, values=False)
    yield from one(1, 6, 2, -1, 0.25, 0, values=False)
    yield from one(1, 5, 0, 2, 0.25, values=False)
    base = {"iou_threshold": const("fp32", 0.5), "max_boxes": integer(2)}
    for boxes, scores in (("[1,4,n]", "[1,2,n]"), ("[b,4,n]", "[b,2,m]"), ("[1,5,7]", "[1,2,7]"), ("[1,4,7]", "[1,2,6]"), ("[2,4,7]", "[1,2,7]"), ("[4,7]", "[2,7]"), ("[1,4,7]", "[2,7]")):
        yield call("non_maximum_suppression", boxes="fp32" + boxes, scores="fp32" + scores, values=False, **base)
    for dtype in ("fp16", "int32", "bool"):
        yield call("non_maximum_suppression", boxes=dtype + "[1,4,7]", scores="fp32[1,2,7]", values=False, **base)
        yield call("non_maximum_suppression", boxes="fp32[1,4,7]", scores="fp32[1,2,7]", values=False, **{**base, "iou_threshold": const(dtype, 1)})
    yield call("non_maximum_suppression", boxes="fp32[1,4,7]", scores="fp32[1,2,7]", values=False, **{**base, "max_boxes": ints(2)})
    yield call("non_maximum_suppression", boxes="fp32[1,4,7]", scores="fp32[1,2,7]", values=False, iou_threshold=const("fp32", 0.5))
    yield call("non_maximum_suppression", boxes="fp32[1,7,4]", scores="fp32[1,7,2]", values=False, **base)


def calls():
    yield from non_zero()
    yield from suppression()
