# SPDX-License-Identifier: MIT
"""Could any runtime pass? Looks at cases that Apple's op tests failed (run_apple_op_tests.sh --keep DIR).

    python tests/oracle/apple_failures.py DIR

Some tests compute what they expect from fp32 parameters, and give the model those rounded to fp16; some expect what NumPy makes
of fp16 step by step, or an fp32 result of a model whose output is fp16; the harness also runs them with the tolerances of fp32.
Here the model that was kept is computed exactly: its own rounded parameters and inputs, in double precision, rounded once to
the result's dtype. That is compared as the test did. Prints a line a case: what the exact result would have met, and how far
the runtime was from it, in units of its dtype. A case that the exact result passes is a bug of the runtime."""

import sys
from pathlib import Path

import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.models import MLModel

ATOL, RTOL = 1e-4, 1e-5  # the tests'
CONVS = {
    "conv": (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d),
    "conv_transpose": (torch.nn.functional.conv_transpose1d, torch.nn.functional.conv_transpose2d, torch.nn.functional.conv_transpose3d),
}


def program_of(folder):
    package = str(folder / "model.mlpackage")
    model = MLModel(package, skip_model_load=True)
    spec = model.get_spec()
    return load(spec, spec.specificationVersion, model.weights_dir)


def double(value):
    return torch.from_numpy(np.asarray(value, np.float64))


def convolution(op, val, x):
    rank = x.ndim - 2
    x, is_conv = torch.from_numpy(x), op.op_type == "conv"
    pad = [int(n) for n in val.get("pad", [0] * 2 * rank)]
    assert pad[0::2] == pad[1::2] or not is_conv
    bias = None if val.get("bias") is None else double(val["bias"])
    more = {name: [int(n) for n in val[theirs]] for name, theirs in (("stride", "strides"), ("dilation", "dilations"))}
    more["padding"] = pad[0::2] if is_conv else 0
    result = CONVS[op.op_type][rank - 1](x, double(val["weight"]), bias, groups=int(val["groups"]), **more).numpy()
    if is_conv:
        return result
    for axis in range(rank):  # a transpose cuts its padding off
        extent = op.outputs[0].shape[axis + 2]
        result = np.take(result, range(pad[2 * axis], pad[2 * axis] + int(extent)), axis + 2)
    return result


def instance_norm(op, val, x):
    axes = tuple(range(2, x.ndim))
    along = (1, -1) + (1,) * len(axes)
    gamma, beta = (np.asarray(default if val.get(name) is None else val[name], np.float64) for name, default in (("gamma", [1]), ("beta", [0])))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + np.float64(val["epsilon"]))
    return y * gamma.reshape(along) + beta.reshape(along)


def l2_norm(op, val, x):
    return x / np.sqrt((x**2).sum(tuple(range(max(0, x.ndim - 3), x.ndim)), keepdims=True) + np.float64(val["epsilon"]))


def local_response_norm(op, val, x):
    size, channels = int(val["size"]), x.shape[1]
    windows = [range(max(0, c - size // 2), min(channels, c + (size - 1) // 2 + 1)) for c in range(channels)]
    total = np.stack([(x[:, w] ** 2).sum(1) for w in windows], 1)
    alpha, beta, k = (np.float64(val[name]) for name in ("alpha", "beta", "k"))
    return x / (k + alpha / size * total) ** beta


EXACT = {"conv": convolution, "conv_transpose": convolution, "instance_norm": instance_norm, "l2_norm": l2_norm, "local_response_norm": local_response_norm}


def judge(folder):
    block = program_of(folder).functions["main"]
    op = next(op for op in block.operations if op.op_type in EXACT)
    dtype = {"fp16": np.float16, "fp32": np.float32}[op.outputs[0].dtype.__name__]
    x, wanted, given = (next(iter(np.load(folder / f"{name}.npz").values())) for name in ("inputs", "expected", "outputs"))
    rounded = x.astype(np.float16) if any(o.op_type == "cast" for o in block.operations) else x
    val = {name: var.val for name, var in op.inputs.items() if name != "x" and var is not None}
    result = EXACT[op.op_type](op, val, rounded.astype(np.float64)).astype(dtype)
    off = np.abs(result.astype(np.float64) - wanted) > ATOL + RTOL * np.abs(wanted.astype(np.float64))
    units = np.abs(result.astype(np.float64) - given) / np.spacing(np.abs(result).max())
    return op.op_type, int(off.sum()), off.size, float(units.max())


def main():
    passable = 0
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        try:
            op, off, size, units = judge(folder)
        except Exception as why:
            print(f"{folder.name}: {type(why).__name__} {why}")
            continue
        passable += off == 0
        print(f"{folder.name}: {op}: exactly computed, {off} of {size} elements are off; the runtime is within {units:.2g} units of that")
    print(f"{passable} could have passed")


if __name__ == "__main__":
    main()
