# SPDX-License-Identifier: MIT
"""Could any runtime pass? Looks at cases that Apple's op tests failed (run_apple_op_tests.sh --keep DIR).

    python tests/oracle/apple_failures.py DIR

Some tests compute what they expect from fp32 parameters, and give the model those rounded to fp16; some expect what NumPy makes
of fp16 step by step, or an fp32 result of a model whose output is fp16; the harness also runs them with the tolerances of fp32.
Here the model that was kept is computed exactly: its own rounded parameters and inputs, in double precision (values.py), rounded
once to the result's dtype. That is compared as the test did. Prints a line an output: what the exact result would have met,
and how far the runtime was from it, in units of its dtype. A case all of whose outputs would have passed is a bug of the
runtime; so may be one whose op has no reference."""

import sys
from pathlib import Path

import numpy as np
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.models import MLModel

import values
from calls import NUMPY, type_of

ATOL, RTOL = 1e-4, 1e-5  # the tests'


def main_block(folder):
    model = MLModel(str(folder / "model.mlpackage"), skip_model_load=True)
    spec = model.get_spec()
    return load(spec, spec.specificationVersion, model.weights_dir).functions["main"]


def dtype_of(var):
    return var.dtype.__type_info__().name if hasattr(var.dtype, "__type_info__") else str(var.dtype)


def value_of(var, opset, arrays):
    """What is known of a value before anything but casts is computed; consts that are kept compressed are expanded."""
    if var.val is not None:
        return var.val
    if var.op is None:
        return arrays[var.name]
    if var.op.op_type.startswith("constexpr_"):
        return results_of(var.op, opset, arrays)[var.op.outputs.index(var)].astype(NUMPY[dtype_of(var)])
    assert var.op.op_type == "cast", f"{var.op.op_type} before it"
    return value_of(var.op.x, opset, arrays).astype(NUMPY[dtype_of(var)])


def results_of(op, opset, arrays):
    """The op's results, in double precision."""
    args, drawn = {}, {}
    for name, var in op.inputs.items():
        value = None if var is None else value_of(var, opset, arrays)
        if isinstance(value, str):
            args[name] = {"s": value}
        elif value is not None:
            drawn[name] = np.asarray(value)
            args[name] = type_of(dtype_of(var), drawn[name].shape)
    found = values.REFERENCE[op.op_type](values.Args(args, opset, drawn))
    return [np.asarray(each.result if isinstance(each, values.Sum) else each) for each in (found if isinstance(found, list) else [found])]


def judge(folder):
    """(op, elements that the exact result has off, all, units between it and the runtime's) of each output."""
    block = main_block(folder)
    arrays, wanted, given = (dict(np.load(folder / f"{name}.npz")) for name in ("inputs", "expected", "outputs"))
    for output in block.outputs:
        var = output.op.x if output.op.op_type == "cast" else output
        exact = results_of(var.op, int(block.opset_version.name.removeprefix("iOS")), arrays)[var.op.outputs.index(var)]
        exact = exact.astype(NUMPY[dtype_of(var)])
        theirs, ours = (np.asarray(each[output.name], np.float64) for each in (wanted, given))
        off = np.abs(exact - theirs) > ATOL + RTOL * np.abs(theirs)
        yield var.op.op_type, int(off.sum()), off.size, float((np.abs(exact - ours) / np.spacing(np.abs(exact).max())).max())


def main():
    values.modules()
    passable = cases = 0
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        cases += 1
        try:
            lines = list(judge(folder))
        except Exception as why:
            lines = [(f"{type(why).__name__}: {why}", 0, 0, np.inf)]
        passable += all(off == 0 for _, off, _, _ in lines)
        for op, off, size, units in lines:
            print(f"{folder.name}: {op}: exactly computed, {off} of {size} elements are off; the runtime is within {units:.2g} units of that")
    print(f"{passable} of {cases} could have passed")


if __name__ == "__main__":
    main()
