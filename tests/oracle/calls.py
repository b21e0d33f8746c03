# SPDX-License-Identifier: MIT
"""The notation of op calls, which generators write, coremltools answers and the vector files hold.

A call is an op and its named arguments; the opset is not part of it (each call is asked in all of them). An argument:

    "fp32[2,a]"                 a tensor known at run time; a dim is a number or a symbol; "fp32" has rank 0
    {"c": TYPE}                 a const; its elements are drawn, or zeros where no values are compared
    {"c": TYPE, "v": VALUE}     a const of these elements (nested lists)
    {"s": TEXT}                 a const string
    [ARGUMENT, ...]             a tuple
    {"op": OP, "in": {...}}     the result of another call, whose arguments are consts, such calls, or
    "=x"                        the tensor given to the parameter x of the outer call, or its input of that name
    "state<fp16[2]>"            a state
    {"l": [TEXT, ...]}          a const list of strings

A call of cond or while_loop has blocks too: for each the list of what it gives, where "=0", "=1" .. are a loop's variables.
"""

import re
from dataclasses import dataclass, field

import numpy as np

PACKED = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}  # bits; NumPy holds them in bytes
DTYPES = ("bool", "fp16", "fp32", "int8", "int16", "int32", "uint8", "uint16", "uint32", "int64", *PACKED)
NUMPY = {
    "bool": np.bool_, "fp16": np.float16, "fp32": np.float32, "int8": np.int8, "int16": np.int16, "int32": np.int32,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "int64": np.int64,
    **{name: np.dtype(np.int8 if name[0] == "i" else np.uint8, metadata={"bits": bits}) for name, bits in PACKED.items()},
}  # fmt: skip


@dataclass
class Call:
    op: str
    args: dict
    bind: dict = field(default_factory=dict)  # sizes of symbols, where values are wanted for a symbolic call
    draw: dict = field(default_factory=dict)  # by argument: how its elements are drawn (draw.py), or an array
    values: bool = True                       # compare values too
    inputs: dict = field(default_factory=dict)  # tensors known at run time that only calls within the arguments take
    steps: int = 0                            # roundings that may each be wrong by a unit of the largest result; 0: Sum's own bound
    tol: float = 0                            # relative; 0: that of the dtype
    blocks: list = field(default_factory=list)  # of nested blocks, what each gives


def call(op, *, bind=None, draw=None, values=True, tol=0, inputs=None, steps=0, blocks=None, **args):
    """A call; arguments that are None are left out, and `_` at the end of a name is dropped (for op parameters that
    this function has too)."""
    assert not set(inputs or {}) & set(args), "an input has the name of an argument"
    args = {name.rstrip("_") if name.endswith("_") else name: given for name, given in args.items() if given is not None}
    return Call(op, args, bind or {}, draw or {}, values, inputs or {}, steps, tol, blocks or [])


def split_type(text):
    """ "fp32[2,a]" as ("fp32", ["2", "a"]) """
    match = re.fullmatch(r"(\w+)(?:\[(.*)\])?", text)
    assert match and match[1] in DTYPES, f"not a type: {text!r}"
    return match[1], [part for part in (match[2] or "").split(",") if part]


def is_static(text):
    return all(part.isdigit() for part in split_type(text)[1])


def symbols_of(call_):
    """The names of symbols in a call's types."""
    names = []
    for _, given in flat({**call_.inputs, **call_.args}):
        if isinstance(given, str) and not given.startswith("state<"):
            names += [part for part in split_type(given)[1] if not part.isdigit() and part not in names]
    return names


def flat(args):
    """Each argument that is given as it is, with its name; a tuple's items are "values.0", "values.1", ..."""
    for name, given in args.items():
        if isinstance(given, list):
            yield from flat({f"{name}.{number}": each for number, each in enumerate(given)})
        elif not is_of_others(given):
            yield name, given


def is_of_others(given):
    """Another call's result, or another argument again?"""
    return given.startswith("=") if isinstance(given, str) else "op" in given


# ---- what generators write ----


def const(dtype, value):
    """A const of these elements."""
    shape = np.shape(value)
    return {"c": dtype + (f"[{','.join(map(str, shape))}]" if shape else ""), "v": value}


def drawn(type_):
    """A const whose elements are drawn."""
    return {"c": type_}


def text(value):
    return {"s": value}


def ints(*values):
    return const("int32", list(values))


def integer(value):
    return const("int32", value)


def flag(value):
    return const("bool", value)


def flags(*values):
    return const("bool", list(values))


def inner(op, **args):
    """The result of another call."""
    return {"op": op, "in": call(op, **args).args}


def maybe(make, value):
    """None stays None."""
    return None if value is None else make(value)


def type_of(dtype, shape):
    return dtype + (f"[{','.join(map(str, shape))}]" if len(shape) else "")
