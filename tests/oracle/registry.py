# SPDX-License-Identifier: MIT
"""The parameters of all ops in each opset as coremltools' registry has them: what the op table is compared with.

    {"made with": {...}, "ops": {"conv": [{"opsets": [15, 16], "inputs": [...]}, ...]}}

An input: "name"; "kind" (tensor, tuple, list, state, any); "const", "required"; "dtypes" (left out: any); "group", where
inputs of one letter have one dtype; "default" (left out: none), or "depends" where it follows from the other inputs."""

import json

import numpy as np

from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.input_type import (
    InternalInputType,
    ListInputType,
    ListOrTensorOrDictInputType,
    StateInputType,
    TensorInputType,
    TupleInputType,
)
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

import coreml

KINDS = ((TupleInputType, "tuple"), (StateInputType, "state"), (ListOrTensorOrDictInputType, "any"), (ListInputType, "list"))


class Standing:
    """Stands in for a value when a definition is asked for its defaults."""

    def __init__(self, rank, dtype):
        self.rank, self.dtype = rank, dtype
        self.shape, self.val, self.sym_val = (2,) * rank, None, None


def defaults(op, rank, dtype):
    """The defaults that an op would give to inputs of this rank and dtype."""
    asked = object.__new__(op)
    for name, kind in op.input_spec.input_types.items():
        object.__setattr__(asked, name, None if kind.optional else Standing(rank, dtype))
    return dict(op.default_inputs(asked).items())


def plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return list(value) if isinstance(value, (tuple, range)) else value


def same(a, b):
    """Numbers of different dtypes are the same number, as far as fp16 can say it."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 2e-3 * abs(a) + 1e-7
    return a == b


def default_of(name, one, two):
    """As a part of the row: from the defaults in two situations."""
    a, b = plain(one.get(name)), plain(two.get(name))
    if a is None and b is None:
        return {}
    return {"default": a} if same(a, b) and not isinstance(a, list) else {"depends": True}


def row_of(op, name, kind, one, two):
    row = {"name": name, "kind": next((text for class_, text in KINDS if isinstance(kind, class_)), "tensor")}
    row.update(const=kind.const, required=not kind.optional)
    if isinstance(kind, TensorInputType):
        domain = op.type_domains[kind.type_domain_id] if kind.type_domain_id else kind.type_domain
        row["dtypes"] = sorted("string" if each is types.str else types.builtin_to_string(each) for each in domain)
        if kind.type_domain_id:
            row["group"] = kind.type_domain_id
    return {**row, **default_of(name, one, two)}


def inputs_of(op):
    one, two = defaults(op, 4, types.fp32), defaults(op, 5, types.fp16)
    return [
        row_of(op, name, kind, one, two)
        for name, kind in op.input_spec.input_types.items()
        if not isinstance(kind, InternalInputType)
    ]


def write(path, versions):
    ops = {}
    for name, variants in sorted(SSAOpRegistry.core_ops.items()):
        if name.startswith("_"):
            continue
        rows = []
        for opset, target in coreml.OPSETS.items():
            inputs = inputs_of(variants[target]) if target in variants else None
            if inputs is not None and rows and rows[-1]["inputs"] == inputs:
                rows[-1]["opsets"].append(opset)
            elif inputs is not None:
                rows.append({"opsets": [opset], "inputs": inputs})
        ops[name] = rows
    with open(path, "w") as out:
        out.write('{"made with": ' + json.dumps(versions) + ',\n"ops": {\n')
        out.write(",\n".join(f"{json.dumps(name)}: {json.dumps(rows, separators=(',', ':'))}" for name, rows in ops.items()))
        out.write("\n}}\n")
    print(f"registry: {len(ops)} ops")
