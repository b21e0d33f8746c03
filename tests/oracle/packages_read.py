# SPDX-License-Identifier: MIT
"""Packages that coremltools writes of op calls, read by luamil: python tests/oracle/packages_read.py [CALLS] [FAMILY...]

CALLS (4) of each op of each family in two opsets. What luamil reads must be the program that coremltools wrote, operation by
operation: names, types, arguments, elements. Prints every difference, then the counts."""
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import coremltools as ct  # noqa: E402
import numpy as np  # noqa: E402
from coremltools.converters.mil import Builder as mb  # noqa: E402
from coremltools.converters.mil.mil import Function, Program, types  # noqa: E402
from coremltools.converters.mil.mil.types.symbolic import is_symbolic  # noqa: E402

from coreml import OPSETS, REFUSALS, Asking  # noqa: E402
from packages_written import Different, compare_function, want  # noqa: E402

FAMILIES = sorted(path.stem for path in (HERE / "families").glob("*.py") if path.stem not in ("__init__", "common", "bands", "blocks"))
BORDER = {types.fp32: np.float32, types.fp16: np.float16, types.int32: np.int32}  # what a model's inputs may be

# What coremltools takes, and this library refuses for a reason: exceptions.py has it of the same calls.
KNOWN = ["can't go: its extent is not 1", "reverse: axes = 1 is out of range"]

READ = """
local mil, json = require "mil", require "mil.json"
local described = dofile(arg[1])
for i = 2, #arg do
  local ok, p = pcall(mil.load, arg[i])
  print(json.encode(ok and { functions = described(p), text = tostring(p) } or { error = tostring(p) }))
end
"""


class Skipped(Exception):
    pass


def program_of(call, opset):
    """The call as a program, and what its inputs are."""
    asking = Asking(call, opset)
    for name, given in {**call.inputs, **call.args}.items():
        asking.collect(name, given)
    if not asking.placeholders:
        asking.placeholders["unused"] = mb.placeholder(shape=(1,), dtype=types.fp32)
    described = []
    for name, placeholder in asking.placeholders.items():
        if placeholder.dtype not in BORDER or not placeholder.sym_shape:
            raise Skipped
        shape = [ct.RangeDim(1, 8, symbol=str(dim)) if is_symbolic(dim) else dim for dim in placeholder.sym_shape]
        described.append(ct.TensorType(name.replace(".", "_"), shape, dtype=BORDER[placeholder.dtype]))
    inputs = {name.replace(".", "_"): placeholder for name, placeholder in asking.placeholders.items()}
    with Function(inputs, opset_version=OPSETS[opset]) as function:
        own = {name: function.inputs[name.replace(".", "_")] for name in asking.placeholders}
        result = getattr(mb, call.op)(**{name: asking.argument(name, given, own) for name, given in call.args.items()})
        results = list(result) if isinstance(result, (list, tuple)) else [result]
        function.set_outputs([mb.identity(x=v) if v.op is None or v.op.op_type == "const" else v for v in results])
    program = Program()
    program.add_function("main", function)
    return program, described


def write(call, opset, path):
    try:
        program, described = program_of(call, opset)
        model = ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, skip_model_load=True,
                           minimum_deployment_target=OPSETS[opset], pass_pipeline=ct.PassPipeline.EMPTY, inputs=described)
    except (Skipped, *REFUSALS, IndexError, KeyError, AttributeError, RuntimeError):
        return None
    model.save(path)
    return model._mil_program


def compare(written, answer):
    if "error" in answer:
        raise Different(answer["error"])
    functions = {f["name"]: f for f in answer["functions"]}
    want(sorted(functions) == sorted(written.functions), "functions", sorted(functions), sorted(written.functions))
    for name, function in written.functions.items():
        operations = [op for op in function.operations if op.op_type != "const"]
        for op, described in zip(operations, functions[name]["operations"]):
            if described["name"] == op.outputs[0].name:  # in Lua an operation goes by its first result; its own name is in the text
                described["name"] = op.name
            spelled = [f'name = {kind}("{op.name}")' for kind in ("string", "tensor<string, []>")]
            want(any(s in answer["text"] for s in spelled), op.op_type, "not in the text", op.name)
        compare_function(function, functions[name])
        for op, described in zip(operations, functions[name]["operations"]):
            given = sorted(n for n, v in op.inputs.items() if v is not None and not n.startswith("_"))
            want(sorted(described["args"]) == given, f"{op.op_type}: arguments", sorted(described["args"]), given)


def main():
    most = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 4
    families = [name for name in sys.argv[1:] if not name.isdigit()] or FAMILIES
    counts, written = Counter(), []
    with tempfile.TemporaryDirectory() as directory:
        for family in families:
            module = importlib.import_module("families." + family)
            taken, tried = Counter(), Counter()
            for call in module.calls():
                for opset in (16, 18):
                    if taken[call.op, opset] >= most or tried[call.op, opset] >= 8 * most:
                        continue
                    tried[call.op, opset] += 1
                    path = os.path.join(directory, f"{family}-{call.op}-{opset}-{taken[call.op, opset]}.mlpackage")
                    program = write(call, opset, path)
                    if program:
                        taken[call.op, opset] += 1
                        written.append((path, program))
        command = [os.environ.get("LUAMIL", "build/luamil"), "read.lua", str(HERE / "described.lua")]
        command[1] = os.path.join(directory, "read.lua")
        Path(command[1]).write_text(READ)
        lines = []
        for at in range(0, len(written), 200):
            paths = [path for path, _ in written[at:at + 200]]
            lines += subprocess.run(command + paths, check=True, capture_output=True, text=True, cwd=HERE.parent.parent).stdout.splitlines()
        for (path, program), line in zip(written, lines, strict=True):
            try:
                compare(program, json.loads(line))
                counts["the same"] += 1
            except Different as why:
                known = any(part in str(why) for part in KNOWN)
                counts["refused" if known else "different"] += 1
                if known:
                    continue
                print(f"{os.path.basename(path)}: {why}")
    print(f"{len(written)} packages: {counts['the same']} are read as the programs that were written, "
          f"{counts['refused']} refused (see KNOWN), {counts['different']} differ")
    sys.exit(1 if counts["different"] or not written else 0)


if __name__ == "__main__":
    main()
