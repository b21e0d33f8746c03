# SPDX-License-Identifier: MIT
"""recurrent: gru, lstm, rnn."""

from itertools import product

from calls import call, drawn, flag, text

from families.common import DTYPES

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
ACTIVATIONS = ("linear", "relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid")
SMALL = {name: "unit" for name in ("weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back", "peephole", "peephole_back",
                                   "bias", "bias_back", "input_bias", "x", "initial_h", "initial_c")}  # fmt: skip


def layer(op, dtype="fp32", s="3", b="2", i=3, h=2, **more):
    """A call of this op; x is [s, b, i]. `more` replaces arguments, or removes them (None)."""
    both = "direction" in more and more["direction"] == text("bidirectional")
    state = f"{dtype}[{b},{h * (2 if both else 1)}]"
    rows = GATES[op] * h
    args = {"x": f"{dtype}[{s},{b},{i}]", "initial_h": state, "weight_ih": drawn(f"{dtype}[{rows},{i}]"),
            "weight_hh": drawn(f"{dtype}[{rows},{h}]"), "draw": SMALL}  # fmt: skip
    if op == "lstm":
        args["initial_c"] = state
    if both:
        args |= {"weight_ih_back": drawn(f"{dtype}[{rows},{i}]"), "weight_hh_back": drawn(f"{dtype}[{rows},{h}]")}
    return call(op, **{**args, **more})


def of_any(op):
    bias = drawn(f"fp32[{GATES[op] * 2}]")
    for dtype in ("fp32", "fp16"):
        yield layer(op, dtype)
        yield layer(op, dtype, output_sequence=flag(False), direction=text("forward"), bias=drawn(f"{dtype}[{GATES[op] * 2}]"))
        for sequence in (None, flag(True)):
            yield layer(op, dtype, output_sequence=sequence, direction=text("reverse"), bias=drawn(f"{dtype}[{GATES[op] * 2}]"))
    for s, b, i, h in (("1", "1", 1, 1), ("5", "1", 7, 5), ("2", "4", 3, 9), ("4", "3", 17, 8)):
        yield layer(op, s=s, b=b, i=i, h=h, bias=drawn(f"fp32[{GATES[op] * h}]"), output_sequence=flag(True))
    yield layer(op, s="n", bind={"n": 3}, output_sequence=flag(True))
    yield layer(op, s="n", bind={"n": 3})
    yield layer(op, s="n", b="m", bind={"n": 3, "m": 2}, output_sequence=flag(True))
    yield layer(op, x="fp32[2,2,i]", bind={"i": 3})
    for activation in (*ACTIVATIONS, "TANH", "softmax", ""):
        values = activation.lower() in ACTIVATIONS
        yield layer(op, activation=text(activation), bias=bias, values=values)
        if op != "rnn":
            yield layer(op, recurrent_activation=text(activation), bias=bias, values=values)
    for dtype in DTYPES:
        yield layer(op, dtype, values=dtype.startswith("fp"))
        yield layer(op, bias=drawn(f"{dtype}[{GATES[op] * 2}]"), values=dtype == "fp32")
    yield layer(op, x="fp32[3,2]")
    yield layer(op, x="fp32[1,3,2,3]")
    yield layer(op, x="fp32[3,2,4]", values=False)
    yield layer(op, initial_h="fp32[3,2]", values=False)
    yield layer(op, initial_h="fp32[2]", values=False)
    yield layer(op, weight_ih=drawn("fp32[5,3]"), values=False)
    yield layer(op, weight_hh=drawn("fp32[5,2]"), values=False)
    yield layer(op, weight_hh=drawn("fp32[8]"))
    yield layer(op, weight_ih=drawn("fp32[8]"))
    yield layer(op, bias=drawn("fp32[5]"), values=False)
    yield layer(op, bias=drawn("fp32[2,4]"), values=False)
    yield layer(op, bias="fp32[8]")
    yield layer(op, weight_hh="fp32[8,2]")
    yield layer(op, direction=text("backward"))
    for name in ("x", "initial_h", "weight_ih", "weight_hh"):
        yield layer(op, **{name: None})
    known = {name: drawn(f"fp32[{shape}]") for name, shape in (("x", "3,2,3"), ("initial_h", "2,2"))}
    yield layer(op, **known, **({"initial_c": drawn("fp32[2,2]")} if op == "lstm" else {}), values=False)


def gru():
    for more in ({}, {"bias": drawn("fp32[6]")}, {"bias": drawn("fp32[6]"), "reset_after": flag(True)}, {"reset_after": flag(True)}):
        yield layer("gru", **more, input_bias=drawn("fp32[6]"), output_sequence=flag(True))
    yield layer("gru", reset_after=flag(True), bias=drawn("fp32[6]"), direction=text("reverse"))
    yield layer("gru", "fp16", s="4", i=5, h=9, reset_after=flag(True), bias=drawn("fp16[27]"), input_bias=drawn("fp16[27]"))
    yield layer("gru", input_bias=drawn("fp32[5]"), values=False)
    for direction, sequence in product(("forward", "reverse"), (True, False)):  # all that PyTorch's has
        yield layer("gru", s="5", b="3", i=4, h=6, reset_after=flag(True), bias=drawn("fp32[18]"), input_bias=drawn("fp32[18]"),
                    direction=text(direction), output_sequence=flag(sequence))  # fmt: skip


def rnn():
    for direction, activation in product(("forward", "reverse"), ("tanh", "relu")):
        yield layer("rnn", s="5", b="3", i=4, h=6, bias=drawn("fp32[6]"), direction=text(direction), activation=text(activation),
                    output_sequence=flag(True))  # fmt: skip


def lstm():
    both = text("bidirectional")
    for dtype in ("fp32", "fp16"):
        for sequence in (flag(True), flag(False)):
            yield layer("lstm", dtype, direction=both, output_sequence=sequence, bias=drawn(f"{dtype}[8]"), bias_back=drawn(f"{dtype}[8]"))
            yield layer("lstm", dtype, direction=both, output_sequence=sequence, peephole=drawn(f"{dtype}[6]"))
            yield layer("lstm", dtype, direction=both, output_sequence=sequence, peephole_back=drawn(f"{dtype}[6]"), bias=drawn(f"{dtype}[8]"))
            yield layer("lstm", dtype, peephole=drawn(f"{dtype}[6]"), output_sequence=sequence)
        for bound in (0.01, 0.2, 50.0):
            yield layer("lstm", dtype, clip={"c": dtype, "v": bound}, bias=drawn(f"{dtype}[8]"))
            yield layer("lstm", dtype, clip={"c": dtype, "v": bound}, peephole=drawn(f"{dtype}[6]"), direction=both)
    for activation in (*ACTIVATIONS, "softmax"):
        yield layer("lstm", cell_activation=text(activation), bias=drawn("fp32[8]"))
    yield layer("lstm", s="6", b="3", i=9, h=11, direction=both, bias=drawn("fp32[44]"), bias_back=drawn("fp32[44]"), output_sequence=flag(True))
    yield layer("lstm", s="n", b="m", bind={"n": 4, "m": 3}, direction=both, output_sequence=flag(True))
    yield layer("lstm", direction=both, weight_ih_back=None)
    yield layer("lstm", direction=both, weight_hh_back=None)
    yield layer("lstm", direction=both, weight_hh_back=drawn("fp32[12,3]"), weight_ih_back=drawn("fp32[12,3]"), values=False)
    yield layer("lstm", direction=both, initial_h="fp32[2,2]", values=False)
    yield layer("lstm", initial_c=None)
    yield layer("lstm", initial_c="fp32[3,2]", values=False)
    yield layer("lstm", peephole=drawn("fp32[8]"), values=False)
    yield layer("lstm", clip={"c": "fp16", "v": 1.0})


def calls():
    for op in GATES:
        yield from of_any(op)
    yield from gru()
    yield from rnn()
    yield from lstm()
