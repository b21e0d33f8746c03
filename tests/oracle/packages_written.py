# SPDX-License-Identifier: MIT
"""Packages that luamil writes, read by coremltools: python tests/oracle/packages_written.py [CALLS] [--keep DIR]

packages_written.lua writes them, CALLS (4) of each op, with each program as it was built. Each package must be one that
coremltools loads to the same program, operation by operation: names, types, arguments, elements; and its description
must be what the program says. Prints every difference, then the counts."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import coremltools as ct
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.var import ListVar
from coremltools.libmilstoragepython import _BlobStorageReader

# Where coremltools is not the judge: what it says -> why.
KNOWN = {
    ": begin: elements is": "its inference of slice_by_index overwrites begin where that is negative",
}


class Different(Exception):
    pass


def want(ok, what, got, wanted):
    if not ok:
        raise Different(f"{what} is {got}, wanted {wanted}")


def dtype_of(builtin):
    return types.builtin_to_string(builtin)


def compare_type(var, described, what):
    if described["kind"] != "tensor":
        return
    sym = var.sym_type
    if types.is_state(sym):
        sym = sym.wrapped_type()
    dtype = sym.get_primitive() if types.is_tensor(sym) else sym
    want(dtype_of(dtype) == described["dtype"], what + ": dtype", dtype_of(dtype), described["dtype"])
    shape = ["?" if not isinstance(d, (int, np.integer)) else int(d) for d in (sym.get_shape() if types.is_tensor(sym) else ())]
    want(len(shape) == len(described["shape"]), what + ": rank", shape, described["shape"])
    for a, b in zip(shape, described["shape"]):
        want(a == b or "?" in (a, b), what + ": shape", shape, described["shape"])


def compare_elements(var, described, what):
    got = np.asarray(var.val).reshape(-1)
    if described["dtype"] == "string":
        wanted = described["val"]
        want([str(x) for x in got] == wanted, what, got, wanted)
        return
    wanted = np.array([float(x) for x in described["val"]])
    want(len(got) == len(wanted), what + ": elements", len(got), len(wanted))
    if types.is_sub_byte(var.dtype):
        got = got.astype(np.int64)
    same = np.array_equal(got.astype(np.float64), wanted, equal_nan=True)
    want(same, what + ": elements", got[:5], wanted[:5])


def compare_value(var, described, what):
    if "val" in described:
        want(var.val is not None, what, "not known", "a const")
        compare_elements(var, described, what)
        compare_type(var, described, what)
    else:
        want(var.name == described["name"], what, var.name, described["name"])
        compare_type(var, described, what)


def compare_operation(op, described):
    what = f"{described['type']} {described['name']}"
    want(op.op_type == described["type"], what, op.op_type, described["type"])
    if op.op_type != "coreml_update_state":  # put together from two operations
        want(op.name == described["name"], what + ": name", op.name, described["name"])
    want(len(op.outputs) == len(described["outputs"]), what + ": results", len(op.outputs), len(described["outputs"]))
    for var, out in zip(op.outputs, described["outputs"]):
        compare_value(var, out, what)
    for name, value in described["args"].items():
        var = op.inputs[name]
        vars = list(var) if isinstance(var, (list, tuple)) else [var]
        values = value if isinstance(value, list) else [value]
        want(len(vars) == len(values), f"{what}: {name}", len(vars), len(values))
        for v, d in zip(vars, values):
            compare_value(v, d, f"{what}: {name}")


def compare_function(function, described):
    inputs = {v.name: v for v in function.inputs.values()}
    want(sorted(inputs) == sorted(d["name"] for d in described["inputs"]), "inputs", sorted(inputs), described["inputs"])
    for d in described["inputs"]:
        compare_type(inputs[d["name"]], d, d["name"])
    operations = [op for op in function.operations if op.op_type != "const"]
    wanted = described["operations"]
    want(len(operations) == len(wanted), "operations", [op.op_type for op in operations], [d["type"] for d in wanted])
    for op, d in zip(operations, wanted):
        compare_operation(op, d)
    want([v.name for v in function.outputs] == described["outputs"], "outputs", [v.name for v in function.outputs],
         described["outputs"])


ARRAY_DTYPES = {65552: "fp16", 65568: "fp32", 131104: "int32"}


def compare_features(features, described, what):
    want([f.name for f in features] == [d["name"] for d in described], what, [f.name for f in features], described)
    for f, d in zip(features, described):
        array = f.type.stateType.arrayType if f.type.WhichOneof("Type") == "stateType" else f.type.multiArrayType
        want(ARRAY_DTYPES.get(array.dataType) == d["dtype"], f"{what} {f.name}", array.dataType, d["dtype"])
        if "?" not in d["shape"]:
            want(list(array.shape) == d["shape"], f"{what} {f.name}: shape", list(array.shape), d["shape"])


def compare_description(spec, built):
    single = not spec.description.functions
    descriptions = [spec.description] if single else spec.description.functions
    for description, function in zip(descriptions, built["functions"]):
        results = {o["name"]: o for op in function["operations"] for o in op["outputs"]}
        inputs = [d for d in function["inputs"] if d["kind"] != "state"]
        compare_features(description.input, inputs, "inputs")
        compare_features(description.output, [results[name] for name in function["outputs"]], "outputs")
    expected = built["expected"]
    first = descriptions[0].input[0].type.multiArrayType if descriptions[0].input else None
    for key, got in {
        "default": lambda: spec.description.defaultFunctionName,
        "shape": lambda: list(first.shape),
        "ranges": lambda: [[r.lowerBound, r.upperBound] for r in first.shapeRange.sizeRanges],
        "shapes": lambda: [list(s.shape) for s in first.enumeratedShapes.shapes],
    }.items():
        if key in expected:
            want(got() == expected[key], key, got(), expected[key])


def compare(path):
    with open(path[:-len("mlpackage")] + "json") as file:
        built = json.load(file)
    model = ct.models.MLModel(path, skip_model_load=True)
    spec = model.get_spec()
    weights = os.path.join(path, "Data/com.apple.CoreML/weights")
    blobs = 0
    if os.path.exists(weights):
        with open(os.path.join(weights, "weight.bin"), "rb") as file:
            blobs = int.from_bytes(file.read(4), "little")
        reader = _BlobStorageReader(os.path.join(weights, "weight.bin"))
        del reader
    program = load(spec, spec.specificationVersion, weights)
    want(sorted(program.functions) == sorted(f["name"] for f in built["functions"]), "functions", list(program.functions), "")
    for described in built["functions"]:
        compare_function(program.functions[described["name"]], described)
    compare_description(spec, built)
    if "blobs" in built["expected"]:
        want(blobs == built["expected"]["blobs"], "tensors in the weights file", blobs, built["expected"]["blobs"])


def main():
    keep = sys.argv[sys.argv.index("--keep") + 1] if "--keep" in sys.argv else None
    calls = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].isdigit() else "4"
    directory = keep or tempfile.mkdtemp()
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([os.environ.get("LUAMIL", "build/luamil"), os.path.join(here, "packages_written.lua"), directory, calls], check=True,
                   cwd=os.path.join(here, "../.."))
    same = known = 0
    different = []
    for path in sorted(glob.glob(os.path.join(directory, "*.mlpackage"))):
        try:
            compare(path)
            same += 1
        except Exception as e:
            text = f"{type(e).__name__}: {e}"
            if any(part in text for part in KNOWN):
                known += 1
            else:
                different.append(f"{os.path.basename(path)}: {text}")
    for line in different:
        print(line)
    print(f"{same} packages are the programs that were built, {known} judged otherwise (see KNOWN), {len(different)} differ")
    if not keep:
        shutil.rmtree(directory)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
