# SPDX-License-Identifier: MIT
"""Expected values of the echo canceller DTLN_AEC_128_Part1 (../shared/corpus), whose lstms are while_loops over lists: coremltools reads
the package, and what it read is computed here op by op in NumPy, in double precision. Two frames, the states carried on; once with a batch
of one, once with two. Writes tests/vectors/dtln.npz, which tests/spec/dtln_spec.lua compares with.

    venv/bin/python tests/oracle/dtln.py"""
import pathlib

import numpy as np
import coremltools as ct
from coremltools.converters.mil.frontend.milproto.load import load

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parents[2] / "shared/corpus/packages/DTLN_AEC_128_Part1.mlpackage"


def wide(x):
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype in (np.float16, np.float32) else x


def sliced(x, begin, end, stride=None, begin_mask=None, end_mask=None, squeeze_mask=None):
    at = []
    for i in range(x.ndim):
        if squeeze_mask is not None and squeeze_mask[i]:
            at.append(int(begin[i]))
            continue
        first = None if begin_mask is not None and begin_mask[i] else int(begin[i])
        last = None if end_mask is not None and end_mask[i] else int(end[i])
        at.append(slice(first, last, int(stride[i]) if stride is not None else 1))
    return x[tuple(at)]


def written(ls, indices, values):
    ls = list(ls)
    for i, value in zip(indices, values):
        ls += [None] * (int(i) + 1 - len(ls))
        ls[int(i)] = value
    return ls


OPS = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "real_div": lambda x, y: x / y,
    "less": lambda x, y: x < y, "log": lambda x, epsilon=0: np.log(x + epsilon), "sqrt": lambda x: np.sqrt(x), "tanh": lambda x: np.tanh(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "square": lambda x: x * x,
    "reduce_mean": lambda x, axes=None, keep_dims=False: x.mean(tuple(int(a) for a in axes), keepdims=bool(keep_dims)),
    "matmul": lambda x, y, transpose_x=False, transpose_y=False: (np.swapaxes(x, -1, -2) if transpose_x else x) @ (np.swapaxes(y, -1, -2) if transpose_y else y),
    "concat": lambda values, axis, interleave=False: np.concatenate(values, int(axis)),
    "stack": lambda values, axis: np.stack(values, int(axis)),
    "transpose": lambda x, perm: np.transpose(x, [int(p) for p in perm]),
    "reshape": lambda x, shape: np.reshape(x, [int(s) for s in shape]),
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(int(a) for a in axes)),
    "squeeze": lambda x, axes=None: np.squeeze(x, tuple(int(a) for a in axes)),
    "shape": lambda x: np.array(x.shape, np.int32), "range_1d": lambda start, end, step: np.arange(start, end, step),
    "cast": lambda x, dtype: np.asarray(x).astype({"int32": np.int32, "fp32": np.float64, "fp16": np.float64, "bool": bool}[dtype]),
    "identity": lambda x: x,
    "split": lambda x, num_splits=None, split_sizes=None, axis=0: np.split(x, int(num_splits), int(axis)),
    "slice_by_index": sliced, "select": lambda cond, a, b: np.where(cond, a, b),
    "make_list": lambda init_length=1, **_: [None] * int(init_length), "list_length": len,
    "list_read": lambda ls, index: ls[int(index)], "list_gather": lambda ls, indices: np.stack([ls[int(i)] for i in indices]),
    "list_write": lambda ls, index, value: written(ls, [index], [value]), "list_scatter": lambda ls, indices, value: written(ls, indices, value),
}


def run_block(block, env):
    for op in block.operations:
        if op.op_type == "const":
            env[op.outputs[0]] = wide(op.outputs[0].val)
            continue
        get = lambda v: [get(i) for i in v] if isinstance(v, (list, tuple)) else env[v] if v in env else wide(v.val)
        if op.op_type == "while_loop":
            state = [get(v) for v in op.loop_vars]
            decide, body = op.blocks
            while run_block(decide, {**env, **dict(zip(decide.inputs, state))})[0]:
                state = run_block(body, {**env, **dict(zip(body.inputs, state))})
            env.update(zip(op.outputs, state))
            continue
        args = {k: get(v) for k, v in op.inputs.items() if v is not None and not k.startswith("_")}
        if "dtype" in args:
            args["dtype"] = str(args["dtype"])
        result = OPS[op.op_type](**args)
        env.update(zip(op.outputs, result if len(op.outputs) > 1 else [result]))
    return [env[v] if v in env else wide(v.val) for v in block.outputs]


def main():
    model = ct.models.MLModel(str(PACKAGE), skip_model_load=True)
    spec = model.get_spec()
    program = load(spec, specification_version=spec.specificationVersion, file_weights_dir=model.weights_dir)
    function = program.functions["main"]
    draw = np.random.default_rng(20)
    out = {}
    for batch in (1, 2):
        states = np.zeros((batch, 2, 128, 2), np.float32)
        for frame in range(2):
            given = {k: (draw.integers(0, 256, (batch, 1, 257)) / 256).astype(np.float32) for k in ("mic_magnitude", "lpb_magnitude")}
            given["states_in"] = states
            results = run_block(function, {function.inputs[k]: wide(v) for k, v in given.items()})
            key = f"b{batch}_f{frame}_"
            out.update({key + k: v for k, v in given.items() if k != "states_in"})
            for var, value in zip(function.outputs, results):
                out[key + var.name] = value.astype(np.float32)
            states = out[key + "Identity_1"]
    np.savez_compressed(HERE.parent / "vectors/dtln.npz", **out)
    print(len(out), "arrays;", {k: v.shape for k, v in out.items() if k.startswith("b2_f0")})


if __name__ == "__main__":
    main()
