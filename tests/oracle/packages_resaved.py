# SPDX-License-Identifier: MIT
"""Packages that others wrote, loaded and saved by luamil: python tests/oracle/packages_resaved.py

What comes out must be the same message of the same weights: the program, the description, metadata, fields that luamil does
not know. The packages: tests/vectors/packages, ../shared/corpus where it is, and some that coremltools makes here for what
few packages have. Prints every difference, then the counts."""
import difflib
import glob
import os
import shutil
import subprocess
import sys
import tempfile

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types
from coremltools.proto import Model_pb2

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(here, "../..")

RESAVE = """
local mil = require "mil"
for i = 1, #arg, 2 do
  local ok, why = pcall(function() mil.load(arg[i]):save(arg[i + 1]) end)
  if not ok then print(arg[i]:match "[^/]+$" .. ": " .. tostring(why)) end
end
"""


def model_of(package):
    return glob.glob(os.path.join(package, "Data/*/*.mlmodel"))[0]


def read(package):
    model = Model_pb2.Model()
    with open(model_of(package), "rb") as file:
        model.ParseFromString(file.read())
    return model


def weights(package):
    found = sorted(glob.glob(os.path.join(package, "Data/*/weights/*.bin")))
    return [open(path, "rb").read() for path in found if os.path.getsize(path) > 64]


# ---- packages of coremltools ----

def function(shape, dtype=types.fp32, opset=ct.target.iOS17, body=None, name="x"):
    with Function({name: mb.placeholder(shape=shape, dtype=dtype)}, opset_version=opset) as f:
        f.set_outputs([(body or (lambda x: mb.relu(x=x, name="y")))(f.inputs[name])])
    return f


def convert(f, **options):
    program = Program()
    program.add_function("main", f)
    return ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32,
                      minimum_deployment_target=options.pop("target", ct.target.iOS17), pass_pipeline=ct.PassPipeline.EMPTY, **options)


def symbol():
    return ct.converters.mil.mil.get_new_symbol()


def made():
    yield "enumerated", convert(function((1, 3, symbol(), symbol())),
                                inputs=[ct.TensorType("x", ct.EnumeratedShapes([[1, 3, 8, 8], [1, 3, 4, 16]], default=[1, 3, 4, 16]))])
    yield "range", convert(function((symbol(), 4)), inputs=[ct.TensorType("x", (ct.RangeDim(2, 7, default=3), 4))])
    for layout in (ct.colorlayout.RGB, ct.colorlayout.BGR, ct.colorlayout.GRAYSCALE):
        channels = 1 if layout == ct.colorlayout.GRAYSCALE else 3
        yield "image_" + layout.name, convert(function((1, channels, 8, 12)),
                                              inputs=[ct.ImageType("x", (1, channels, 8, 12), color_layout=layout)])
    yield "image_range", convert(function((1, 3, symbol(), symbol())),
                                 inputs=[ct.ImageType("x", (1, 3, ct.RangeDim(4, 9), ct.RangeDim(5, 11)), color_layout=ct.colorlayout.RGB)])
    yield "half", convert(function((2, 3), types.fp16))
    weight = np.arange(40, dtype=np.float32).reshape(4, 10)
    described = convert(function((2, 10), body=lambda x: mb.linear(x=x, weight=weight, name="y")))
    described.author, described.license, described.version = "A. Nyone", "MIT", "2"
    described.short_description = "halves \u00bd"
    described.input_description["x"] = "what comes in"
    described.output_description["y"] = "what goes out"
    described.user_defined_metadata["author"] = "of the user's own"
    described.user_defined_metadata["k"] = "v"
    yield "described", described
    optional = convert(function((2, 3)))
    spec = optional.get_spec()
    spec.description.input[0].type.isOptional = True
    spec.description.input[0].type.multiArrayType.floatDefaultValue = 1.5
    yield "optional", ct.models.MLModel(spec, weights_dir=optional.weights_dir, skip_model_load=True)
    unknown = convert(function((2, 3)))
    spec = unknown.get_spec()
    body = spec.mlProgram.functions["main"].block_specializations["CoreML7"]
    spec.mlProgram.docString = "of the program"
    body.attributes["note"].CopyFrom(body.operations[0].attributes["name"])
    body.operations[0].attributes["name"].docString = "of a value"
    body.operations[0].outputs[0].type.tensorType.attributes["note"].CopyFrom(body.operations[0].attributes["name"])
    spec.description.trainingInput.add().name = "kept"
    yield "unknown", ct.models.MLModel(spec, weights_dir=unknown.weights_dir, skip_model_load=True)

    @mb.program(input_specs=[mb.TensorSpec((1, 4), dtype=types.fp16), mb.StateTensorSpec((1, 4), dtype=types.fp16)],
                opset_version=ct.target.iOS18)
    def states(x, kv):
        old = mb.read_state(input=kv)
        return mb.mul(x=mb.coreml_update_state(state=kv, value=mb.add(x=old, y=x)), y=np.float16(2), name="y")
    yield "states", ct.convert(states, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, pass_pipeline=ct.PassPipeline.EMPTY,
                               minimum_deployment_target=ct.target.iOS18)


def several(to):
    """A package with two functions."""
    parts = []
    for name in ("one", "two"):
        path = os.path.join(to, name + ".mlpackage")
        convert(function((2, 3)), target=ct.target.iOS18).save(path)
        parts.append(path)
    description = ct.utils.MultiFunctionDescriptor()
    description.add_function(parts[0], src_function_name="main", target_function_name="first")
    description.add_function(parts[1], src_function_name="main", target_function_name="second")
    description.default_function_name = "second"
    ct.utils.save_multifunction(description, os.path.join(to, "several.mlpackage"))


def main():
    to = tempfile.mkdtemp()
    os.makedirs(os.path.join(to, "made"))
    os.makedirs(os.path.join(to, "saved"))
    for name, model in made():
        model.save(os.path.join(to, "made", name + ".mlpackage"))
    several(os.path.join(to, "made"))
    packages = sorted(glob.glob(os.path.join(to, "made/*.mlpackage")) + glob.glob(os.path.join(root, "tests/vectors/packages/*.mlpackage")) +
                      glob.glob(os.path.join(root, "../shared/corpus/packages/*.mlpackage")))
    saved = [os.path.join(to, "saved", f"{i}-" + os.path.basename(path)) for i, path in enumerate(packages)]
    script = os.path.join(to, "resave.lua")
    with open(script, "w") as file:
        file.write(RESAVE)
    subprocess.run([os.environ.get("LUAMIL", "build/luamil"), script] + [x for pair in zip(packages, saved) for x in pair], check=True, cwd=root)
    same = refused = differ = 0
    for before, after in zip(packages, saved):
        if not os.path.exists(after):
            refused += 1
            continue
        a, b = read(before), read(after)
        if a == b and weights(before) == weights(after):
            same += 1
            continue
        differ += 1
        print(os.path.basename(before) + (": weights" if a == b else ""))
        lines = difflib.unified_diff(str(a).split("\n"), str(b).split("\n"), lineterm="", n=3)
        print("\n".join("    " + line[:150] for line in list(lines)[:40]))
    print(f"{same} packages are as they were, {refused} are not written (see above), {differ} differ")
    shutil.rmtree(to)
    sys.exit(1 if differ else 0)


main()
