# SPDX-License-Identifier: MIT
"""conv: conv, conv_transpose."""

from calls import call, drawn, integer, ints, text

from families.common import DTYPES

BIND = {"b": 2, "h": 5, "w": 4, "d": 3, "c": 4}


def one(op, x, weight, dtype="fp32", at_run_time=False, **more):
    weight = dtype + weight if at_run_time else drawn(dtype + weight)
    return call(op, x=dtype + x, weight=weight, **more)


def shapes(n):
    extents = {1: [9], 2: [6, 7], 3: [5, 3, 4]}[n]
    return f"[1,2,{','.join(map(str, extents))}]", ",".join(map(str, [3, 2, 2][:n]))


def of_rank(op, n):
    """All kinds of padding, strides, dilations over n spatial axes."""
    x, kernel = shapes(n)
    w = f"[{'3,2' if op == 'conv' else '2,3'},{kernel}]"
    for pad_type in (None, "valid", "same", "same_lower", "custom", "Valid", "full"):
        pads = [None, [1] * (2 * n), [1, 0, 0, 2, 1, 1][: 2 * n]] if pad_type in (None, "custom", "same") else [None]
        for pad in pads:
            for strides in (None, [2] * n, [1, 3][:n])[: 2 if n == 3 else 3]:
                for dilations in (None, [2] * n)[: 1 if n == 3 and strides else 2]:
                    yield one(op, x, w, pad_type=pad_type and text(pad_type), pad=pad and ints(*pad),
                              strides=strides and ints(*strides), dilations=dilations and ints(*dilations))  # fmt: skip
    yield one(op, x, w, dtype="fp16", pad_type=text("same"))
    yield one(op, x, w, dtype="fp16", pad_type=text("valid"), strides=ints(*[2] * n))
    yield one(op, x, w, pad_type=text("custom"), pad=ints(*[1] * n))
    yield one(op, x, w, pad_type=text("valid"), pad=ints(*[1] * (2 * n)))
    yield one(op, x, w, strides=ints(*[1] * (n + 1)))
    yield one(op, x, w, strides=ints(*[0] * n))
    yield one(op, x, w, dilations=ints(*[20 if op == "conv" else 3] * n))
    yield one(op, x, w, strides=integer(2), values=False)
    for symbolic in (x.replace("[1,", "[b,"), f"[b,2,{','.join('hwd'[:n])}]", f"[1,2,{','.join('hwd'[:n])}]"):
        yield one(op, symbolic, w, bind=BIND)
        for pad_type in ("same", "valid", "same_lower", "custom"):
            pad = ints(*[1] * (2 * n)) if pad_type == "custom" else None
            yield one(op, symbolic, w, pad_type=text(pad_type), pad=pad, strides=ints(*[2] * n), bind=BIND)


def conv():
    for n in (1, 2, 3):
        yield from of_rank("conv", n)
    x, w = "[1,4,4,5]", "[6,4,3,2]"
    for bias in ("fp32[6]", "fp32[4]", "fp32[1,6]", "fp32[1]", "fp16[6]", "int32[6]", "fp32"):
        yield one("conv", x, w, bias=drawn(bias))
    yield one("conv", x, w, bias="fp32[6]")
    for groups, shape in ((1, w), (2, "[6,2,3,2]"), (4, "[8,1,3,2]"), (4, "[4,1,3,3]"), (3, "[6,1,3,2]"), (2, w), (4, "[6,1,3,2]"), (0, w), (-1, w), (2, "[5,2,1,1]")):
        yield one("conv", x, shape, groups=integer(groups), values=groups > 0 and int(shape[1]) % groups == 0)
        yield one("conv", x, shape, groups=integer(groups), dtype="fp16", values=groups > 0 and int(shape[1]) % groups == 0)
    for shape in ("[6,3,3,2]", "[6,4,3]", "[6,4,3,2,1]", "[6,4,5,2]", "[6,4,4,5]", "[6,4]", "[6,4,0,2]"):
        yield one("conv", x, shape)
    # edges of tiles, pointwise, depthwise, a first layer
    for x_, w_, groups, strides in (("[1,16,5,7]", "[17,16,1,1]", 1, 1), ("[1,33,1,17]", "[31,33,1,1]", 1, 1), ("[2,3,9,8]", "[16,3,3,3]", 1, 2), ("[1,17,5,6]", "[17,1,3,3]", 17, 1),
                                    ("[1,8,8,8]", "[8,1,5,5]", 8, 2), ("[1,8,5,5]", "[12,4,3,3]", 2, 1), ("[1,16,4,4]", "[17,16,3,3]", 1, 1), ("[1,5,1,40]", "[3,5,1,7]", 1, 1)):  # fmt: skip
        for dtype in ("fp32", "fp16"):
            yield one("conv", x_, w_, dtype=dtype, groups=integer(groups), pad_type=text("same"), strides=ints(strides, strides), bias=drawn(dtype + f"[{w_[1:].split(',')[0]}]"))
    for dtype in DTYPES:
        yield one("conv", x, w, dtype=dtype)
    for x_ in ("fp16", "fp32"):
        for w_ in ("fp16", "fp32", "int8"):
            yield call("conv", x=x_ + "[1,4,8]", weight=drawn(w_ + "[3,4,2]"))
            yield call("conv", x=x_ + "[1,4,8]", weight=drawn(w_ + "[3,4,2]"), bias=drawn(x_ + "[3]"))
    for more in ({}, {"pad_type": text("same")}, {"strides": ints(2, 2)}, {"dilations": ints(2, 2)}, {"groups": integer(2)}):
        yield one("conv", x, "[6,2,3,2]" if "groups" in more else w, at_run_time=True, **more)
        yield one("conv", x, "[6,2,3,2]" if "groups" in more else w, at_run_time=True, dtype="fp16", **more)
    yield one("conv", x, "[n,4,3,2]", at_run_time=True, values=False)
    yield one("conv", x, w, strides="int32[2]")
    yield one("conv", x, w, groups="int32")
    yield one("conv", x, w, output_shape=ints(1, 2, 3, 4))
    for x_ in ("[4,8]", "[1,4,8,9,10,11]", "[8]", ""):
        yield one("conv", x_, w)
    yield one("conv", "[1,c,8,9]", w, bind={"c": 4})
    yield one("conv", "[1,4,8,w]", w, bind=BIND)
    yield call("conv", x="fp32[1,4,8]")
    yield call("conv", weight=drawn("fp32[6,4,3]"))
    yield call("conv", x=drawn("fp32[1,4,8]"), weight=drawn("fp32[3,4,3]"))


def conv_transpose():
    for n in (1, 2, 3):
        yield from of_rank("conv_transpose", n)
    x, w = "[1,4,3,4]", "[4,6,3,2]"
    for bias in ("fp32[6]", "fp32[4]", "fp32[1]", "fp16[6]", "int32[6]"):
        yield one("conv_transpose", x, w, bias=drawn(bias))
    yield one("conv_transpose", x, w, bias="fp32[6]", values=False)
    for groups, shape in ((1, w), (2, "[4,3,3,2]"), (4, "[4,1,3,2]"), (4, "[4,2,3,3]"), (2, "[4,1,2,2]")):
        for strides in (1, 2):
            for dtype in ("fp32", "fp16"):
                yield one("conv_transpose", x, shape, dtype=dtype, groups=integer(groups), strides=ints(strides, strides))
    for shape in ("[3,6,3,2]", "[4,6,3]", "[4,6,3,2,1]"):
        yield one("conv_transpose", x, shape, values=False)
    for out, pad_type, strides in (((1, 6, 6, 8), "same", 2), ((1, 6, 5, 8), "same", 2), ((1, 6, 7, 8), "valid", 2), ((1, 6, 8, 9), "valid", 2), ((1, 5, 6, 8), "same", 2),
                                   ((2, 6, 6, 8), "same", 2), ((1, 6, 6), "same", 2), ((1, 6, 5, 5), "valid", 1)):  # fmt: skip
        yield one("conv_transpose", x, w, output_shape=ints(*out), pad_type=text(pad_type), strides=ints(strides, strides), values=False)
    yield one("conv_transpose", x, w, output_shape="int32[4]")
    for dtype in DTYPES:
        yield one("conv_transpose", x, w, dtype=dtype)
    for x_ in ("fp16", "fp32"):
        for w_ in ("fp16", "fp32"):
            yield call("conv_transpose", x=x_ + "[1,4,8]", weight=drawn(w_ + "[4,3,2]"))
            yield call("conv_transpose", x=x_ + "[1,4,8]", weight=drawn(w_ + "[4,3,2]"), bias=drawn(x_ + "[3]"))
    yield one("conv_transpose", x, w, at_run_time=True)
    yield one("conv_transpose", "[1,16,3,4]", "[16,17,3,3]", pad_type=text("same"), strides=ints(2, 2))
    yield one("conv_transpose", "[2,3,4,4]", "[3,16,2,2]", strides=ints(2, 2), bias=drawn("fp32[16]"))
    yield call("conv_transpose", x="fp32[1,4,8]")
    yield call("conv_transpose", x=drawn("fp32[1,4,8]"), weight=drawn("fp32[4,3,3]"))


def calls():
    yield from conv()
    yield from conv_transpose()
