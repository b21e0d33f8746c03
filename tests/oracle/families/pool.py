# SPDX-License-Identifier: MIT
"""pool: avg_pool, max_pool, l2_pool."""

from calls import call, drawn, flag, integer, ints, text

from families.common import DTYPES


def of_rank(op, n):
    extents, kernel = {1: [9], 2: [6, 7], 3: [5, 4, 4]}[n], [3, 2, 2][:n]
    x = f"fp32[1,{3 - n // 2},{','.join(map(str, extents))}]"
    size = ints(*kernel)
    more = [{}] if op != "avg_pool" else [{}, {"exclude_padding_from_average": flag(True)}]
    for each in more:
        for pad_type in ("valid", "same", "same_lower", "custom", "full", "VALID"):
            for strides in (None, ints(*[2] * n)) if n == 3 else (None, ints(*[2] * n), ints(*[3, 1][:n])):
                one = dict(kernel_sizes=size, pad_type=text(pad_type), strides=strides, **each)
                yield call(op, x=x, **one)
                yield call(op, x=x, ceil_mode=flag(True), **one)
                yield call(op, x=x, pad=ints(*[1] * (2 * n)), **one)
                yield call(op, x=x, pad=ints(*[1] * (2 * n)), ceil_mode=flag(True), **one)
                yield call(op, x=x.replace("fp32", "fp16"), pad=ints(*[1, 0, 0, 1, 1, 1][: 2 * n]), **one)
                yield call(op, x=x, pad=ints(*[1, 0] * n), ceil_mode=flag(True), **one)
    yield call(op, x=x, kernel_sizes=size)
    yield call(op, x=x, pad_type=text("valid"))
    yield call(op, x=x, kernel_sizes=ints(*[3] * (n + 1)), pad_type=text("valid"))
    yield call(op, x=x, kernel_sizes=size, pad_type=text("valid"), strides=ints(*[1] * (n + 1)))
    yield call(op, x=x, kernel_sizes=ints(*[20] * n), pad_type=text("valid"))
    yield call(op, x=x, kernel_sizes=ints(*extents), pad_type=text("valid"))
    yield call(op, x=x, kernel_sizes=size, pad_type=text("custom"), pad=ints(*[1] * n))
    yield call(op, x=x, kernel_sizes=size, pad_type=text("valid"), pad=ints(*[1] * n))
    yield call(op, x=x, kernel_sizes=size, pad_type=text("valid"), strides=ints(*[0] * n))
    bind = {"b": 2, "h": 6, "w": 5, "d": 3}
    names = ",".join("hwd"[:n])
    for shape in (f"[b,2,{','.join(map(str, extents))}]", f"[b,2,{names}]", f"[1,2,{names}]"):
        for pad_type in ("valid", "same", "same_lower", "custom"):
            pad = ints(*[1] * (2 * n)) if pad_type == "custom" else None
            yield call(op, x="fp32" + shape, kernel_sizes=size, pad_type=text(pad_type), pad=pad, strides=ints(*[2] * n), bind=bind)
            yield call(op, x="fp32" + shape, kernel_sizes=size, pad_type=text(pad_type), pad=pad, bind=bind, ceil_mode=flag(True))


def calls():
    for op in ("max_pool", "avg_pool", "l2_pool"):
        for n in (1, 2, 3):
            yield from of_rank(op, n)
        for dtype in DTYPES:
            yield call(op, x=f"{dtype}[1,4,8]", kernel_sizes=ints(2), pad_type=text("valid"))
        for x in ("[4,8]", "[8]", "", "[1,2,3,4,5,6]"):
            yield call(op, x="fp32" + x, kernel_sizes=ints(2), pad_type=text("valid"))
        yield call(op, x="fp32[1,4,8]", kernel_sizes="int32[1]", pad_type=text("valid"))
        yield call(op, x="fp32[1,4,8]", kernel_sizes=integer(2), pad_type=text("valid"), values=False)
        yield call(op, x="fp32[1,4,8]", kernel_sizes=ints(2), pad_type=text("valid"), exclude_padding_from_average=flag(True))
        yield call(op, x="fp32[1,4,8]", kernel_sizes=ints(2), pad_type=text("valid"), dilations=ints(1))
        yield call(op, x="fp32[2,5,33]", kernel_sizes=ints(3), pad_type=text("same"), strides=ints(2))
        yield call(op, x="fp16[1,2,16,17]", kernel_sizes=ints(2, 2), pad_type=text("valid"), strides=ints(2, 2))
        yield call(op, x="fp32[1,3,7,7]", kernel_sizes=ints(7, 7), pad_type=text("valid"))
        yield call(op, x=drawn("fp32[1,2,6,6]"), kernel_sizes=ints(2, 2), pad_type=text("valid"))
        yield call(op, x="fp32[1,1,9]", kernel_sizes=ints(3), pad_type=text("same"), draw={"x": [[[1, 2, float("nan"), 4, 5, float("inf"), 7, 8, 9]]]},
                   values=op != "l2_pool")  # fmt: skip
