# SPDX-License-Identifier: MIT
"""tensor_transformation, continued: blocks of space, windows, reversed sequences, updated slices, shapes of others."""

from calls import call, const, drawn, flag, flags, integer, ints, maybe

SOME = ("bool", "int8", "uint16", "int64", "int4")


def factors(op, name, dtype, rows):
    for number, (x, factor) in enumerate(rows):
        yield call(op, x=("fp32", "fp16")[number % 2] + x, **{name: const(dtype, factor)})
    x, bind = rows[0][0].replace("[1,", "[a,").replace("[2,", "[a,"), {"a": 2}
    yield call(op, x="fp32" + x, **{name: const(dtype, rows[0][1])}, bind=bind)
    yield call(op, x="int32" + rows[0][0], **{name: const(dtype, 2)})
    yield call(op, x="fp32" + rows[0][0])
    yield call(op, x="fp32" + rows[0][0], **{name: const("fp32", 2.0)})
    yield call(op, x="fp32[4,4,4]", **{name: const(dtype, 2)})


def blocks():
    channels = [("[1,4,2,3]", 2), ("[2,8,1,2]", 2), ("[1,9,2,1]", 3), ("[1,3,2,2]", 1)]
    space = [("[1,2,4,6]", 2), ("[2,1,2,4]", 2), ("[1,2,6,3]", 3), ("[1,3,2,2]", 1)]
    yield from factors("depth_to_space", "block_size", "int32", channels)
    yield from factors("pixel_shuffle", "upscale_factor", "int32", channels)
    yield from factors("space_to_depth", "block_size", "int32", space)
    yield from factors("pixel_unshuffle", "downscale_factor", "uint32", space)


def batches():
    for op, border, rows in (
        ("batch_to_space", "crops", [("[4,2,2,3]", (2, 2), ((0, 0), (0, 0))), ("[4,1,2,3]", (2, 2), ((1, 0), (0, 2))), ("[6,1,3,2]", (3, 2), ((2, 4), (0, 1))),
                                     ("[3,2,2,2]", (1, 3), ((0, 1), (4, 1)))]),
        ("space_to_batch", "paddings", [("[1,2,4,6]", (2, 2), ((0, 0), (0, 0))), ("[2,1,3,3]", (2, 2), ((1, 0), (0, 3))), ("[1,1,5,3]", (3, 2), ((2, 2), (4, 1))),
                                        ("[1,2,2,2]", (1, 3), ((0, 1), (4, 0)))]),
    ):  # fmt: skip
        for number, (x, block, edges) in enumerate(rows):
            yield call(op, x=("fp32", "fp16")[number % 2] + x, block_shape=ints(*block), **{border: const("int32", [list(pair) for pair in edges])})
        x, block, edges = rows[0]
        yield call(op, x="fp32" + x, block_shape=ints(2), **{border: const("int32", [list(pair) for pair in edges])})
        yield call(op, x="fp32" + x, block_shape=ints(2, 2), **{border: ints(0, 0)}, values=False)
        yield call(op, x="int32" + x, block_shape=ints(2, 2), **{border: const("int32", [list(pair) for pair in edges])})
        yield call(op, x="fp32[4,4,4]", block_shape=ints(2, 2), **{border: const("int32", [list(pair) for pair in edges])})
        yield call(op, x="fp32" + x, block_shape=ints(2, 2))
    yield call("batch_to_space", x="fp32[3,1,2,2]", block_shape=ints(2, 2), crops=const("int32", [[0, 0], [0, 0]]))


def windows():
    for x, axis, size, stride in (("[7]", 0, 3, None), ("[7]", -1, 3, 2), ("[4,5]", 0, 2, 1), ("[4,5]", 1, 2, 3), ("[2,6,3]", 1, 4, 2), ("[2,6,3]", -3, 1, 1), ("[2,6,3]", 2, 3, 1)):
        yield call("sliding_windows", x="fp32" + x, axis=integer(axis), size=integer(size), stride=maybe(integer, stride))
    for dtype in SOME:
        yield call("sliding_windows", x=dtype + "[5]", axis=integer(0), size=integer(2))
    yield call("sliding_windows", x="fp32[a,3]", axis=integer(0), size=integer(2), stride=integer(2), bind={"a": 5})
    yield call("sliding_windows", x="fp32[a,3]", axis=integer(1), size=integer(2), bind={"a": 5})
    yield call("sliding_windows", x="fp32[5]", axis=integer(0))
    yield call("sliding_windows", x="fp32[5]", axis=integer(1), size=integer(2))
    yield call("sliding_windows", x="fp32[5]", axis=integer(0), size="int32")


def sequences():
    for x, seq, batch, lengths in (("[3,4]", 1, 0, [1, 4, 3]), ("[4,3]", 0, 1, [2, 4, 1]), ("[2,3,4]", 1, 0, [2, 3]), ("[2,3,4]", 2, 1, [4, 1, 3]), ("[2,3,4]", -1, -3, [0, 4])):
        yield call("reverse_sequence", x="fp16" + x, lengths=ints(*lengths), seq_axis=integer(seq), batch_axis=integer(batch))
    yield call("reverse_sequence", x="fp32[a,4]", lengths="int32[a]", seq_axis=integer(1), draw={"lengths": (1, 4)}, bind={"a": 3})
    for dtype in SOME:
        yield call("reverse_sequence", x=dtype + "[2,3]", lengths=ints(2, 3), seq_axis=integer(1))
        yield call("reverse_sequence", x="fp32[2,3]", lengths=dtype + "[2]", seq_axis=integer(1), draw={"lengths": (1, 3)})
    yield call("reverse_sequence", x="fp32[2,3]")


def updates():
    def one(x, update, begin, end, **more):
        return call("slice_update", x=x, update=update, begin=ints(*begin), end=ints(*end), **more)

    for update, begin, end, stride in (("[2,2,2]", (1, 1, 1), (3, 3, 3), None), ("[3,4,3]", (0, 0, 0), (3, 4, 3), None), ("[2,2,2]", (0, 0, 0), (3, 4, 3), (2, 2, 2)), ("[1,1,2]", (-1, -2, 0), (4, -1, 2), None),
                                       ("[2,1,1]", (2, 0, 0), (0, 1, 1), (-1, 1, 1)), ("[2,2,3]", (1, 1, 1), (3, 3, 3), None)):  # fmt: skip
        yield one("fp32[3,4,3]", "fp32" + update, begin, end, stride=stride and ints(*stride))
    x, masks = "fp32[3,4,3]", {"begin_mask": flags(True, False, False), "end_mask": flags(False, True, False)}
    yield one(x, "fp32[3,3,1]", (1, 1, 1), (3, 3, 2), **masks)
    yield one(x, "fp32[2,2]", (1, 1, 1), (3, 3, 2), squeeze_mask=flags(False, False, True))
    yield one(x, "fp32", (1, 1, 1), (3, 3, 2), squeeze_mask=flags(True, True, True))
    yield one(x, "fp16[2,2,2]", (1, 1, 1), (3, 3, 3))
    yield one(x, "fp32[2,2]", (1, 1, 1), (3, 3, 3))
    yield one("fp32[a,3]", "fp32[1,3]", (1, 0), (2, 3), bind={"a": 4})
    yield one("fp32[a,3]", "fp32[b,3]", (1, 0), (0, 3), end_mask=flags(True, False), bind={"a": 4, "b": 3})
    yield call("slice_update", x="fp32[4,3]", update="fp32[1,3]", begin="int32[2]", end="int32[2]", draw={"begin": [2, 0], "end": [3, 3]})
    for dtype in SOME:
        yield one(dtype + "[4]", dtype + "[2]", (1,), (3,))


def likes():
    def one(x, refs, begins, ends, masks, **more):
        return call("reshape_like", x=x, ref_tensors=refs, begins=[integer(i) for i in begins], ends=[integer(i) for i in ends], end_masks=[flag(m) for m in masks], **more)

    yield one("fp32[6,5]", ["fp32[2,3,4]", "fp16[1,5,6]"], (0, 1), (2, 2), (False, False))
    yield one("fp16[30,2,3]", ["fp16[2,3,4]", "int32[1,5,6]"], (0, 1), (2, 0), (False, True))
    yield one("fp32[6,5]", ["fp32[2,3,4]", "fp32[1,5,6]"], (-3, -2), (-1, -1), (False, False))
    yield one("fp32[6]", ["fp32[2,3]"], (0,), (9,), (False,))
    yield one("fp32[a,3]", ["fp32[2,3,4]"], (0,), (2,), (False,), bind={"a": 2})
    yield one("fp32[6]", ["fp32[a,3]"], (0,), (2,), (False,))
    yield one("fp32[6]", ["fp32[a,6]"], (1,), (2,), (False,), bind={"a": 2})
    yield one("fp32[7]", ["fp32[2,3]"], (0,), (2,), (False,))
    for dtype in SOME:
        yield one(dtype + "[6]", [dtype + "[2,3]"], (0,), (2,), (True,))
    yield call("reshape_like", x="fp32[6]", ref_tensors=["fp32[2,3]"], begins=[const("fp32", 0.0)], ends=[integer(2)], end_masks=[flag(False)])
    yield call("reshape_like", x="fp32[6]", ref_tensors=["fp32[2,3]"], begins=[integer(0)], ends=[ints(2)], end_masks=[flag(False)], values=False)
    yield call("reshape_like", x="fp32[6]", ref_tensors=["fp32[2,3]"], begins=[integer(0)], ends=[integer(2)])
    yield call("reshape_like", x=drawn("fp32[6]"), ref_tensors=["fp32[2,3]"], begins=[integer(0)], ends=[integer(2)], end_masks=[flag(False)])


def calls():
    yield from blocks()
    yield from batches()
    yield from windows()
    yield from sequences()
    yield from updates()
    yield from likes()
