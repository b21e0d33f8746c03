# SPDX-License-Identifier: MIT
"""Packages that coremltools writes, for tests of the reader: python tests/oracle/packages.py tests/vectors/packages"""
import os
import shutil
import sys
import tempfile

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types


def save(program, name, to, target=ct.target.iOS16, **options):
    model = ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, skip_model_load=True,
                       minimum_deployment_target=target, pass_pipeline=ct.PassPipeline.EMPTY, **options)
    path = os.path.join(to, name + ".mlpackage")
    shutil.rmtree(path, ignore_errors=True)
    model.save(path)


def conv():
    """A weight in the file, small consts in the program, inputs that are not in the order of their names."""
    weight = (np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3) - 27) / 8

    @mb.program(input_specs=[mb.TensorSpec((1, 3, 5, 5)), mb.TensorSpec((1, 2, 3, 3))], opset_version=ct.target.iOS16)
    def prog(x, bias):
        y = mb.conv(x=x, weight=weight, pad_type="valid", name="y")
        return mb.relu(x=mb.add(x=y, y=bias, name="sum"), name="out")
    return prog


def flexible():
    """A range, and a shape that is worked out."""
    sym = ct.converters.mil.mil.get_new_symbol()
    with Function({"x": mb.placeholder(shape=(1, sym, 4), dtype=types.fp32)}, opset_version=ct.target.iOS16) as f:
        f.set_outputs([mb.softmax(x=f.inputs["x"], axis=-1, name="out")])
    program = Program()
    program.add_function("main", f)
    return program


def stateful():
    """A state that is read, changed and read again; a weight of int4."""
    packed = np.arange(-8, 8).astype(types.np_int4_dtype).reshape(4, 4)
    state = mb.state_tensor_placeholder(shape=(4, 4), dtype=types.fp16)
    with Function({"x": mb.placeholder(shape=(4, 4), dtype=types.fp16), "cache": state}, opset_version=ct.target.iOS18) as f:
        weight = mb.constexpr_blockwise_shift_scale(data=packed, scale=np.full((1, 1), 0.5, np.float16), name="weight")
        old = mb.read_state(input=f.inputs["cache"], name="old")
        new = mb.coreml_update_state(state=f.inputs["cache"], value=mb.add(x=old, y=f.inputs["x"], name="sum"), name="new")
        f.set_outputs([mb.matmul(x=new, y=weight, name="out")])
    program = Program()
    program.add_function("main", f)
    return program


def classifier():
    """An image in, labels out."""
    @mb.program(input_specs=[mb.TensorSpec((1, 3, 2, 2))], opset_version=ct.target.iOS16)
    def prog(image):
        means = mb.reduce_mean(x=image, axes=[2, 3], name="means")
        return mb.softmax(x=mb.squeeze(x=means, axes=[0], name="flat"), axis=0, name="probabilities")
    return prog


def enumerated():
    """Several shapes for an input."""
    sym = ct.converters.mil.mil.get_new_symbol()
    with Function({"x": mb.placeholder(shape=(1, sym), dtype=types.fp32)}, opset_version=ct.target.iOS16) as f:
        f.set_outputs([mb.relu(x=f.inputs["x"], name="out")])
    program = Program()
    program.add_function("main", f)
    return program


def optional():
    """An input that may be left out."""
    @mb.program(input_specs=[mb.TensorSpec((1, 3)), mb.TensorSpec((1, 3))], opset_version=ct.target.iOS16)
    def prog(x, shift):
        return mb.add(x=x, y=shift, name="out")
    return prog


def optional_sizes():
    """The same, of a size that is not fixed."""
    sizes = ct.converters.mil.mil.get_new_symbol(), ct.converters.mil.mil.get_new_symbol()
    with Function({name: mb.placeholder(shape=(1, size), dtype=types.fp32) for name, size in zip(("x", "shift"), sizes)},
                  opset_version=ct.target.iOS16) as f:
        f.set_outputs([mb.concat(values=(f.inputs["x"], f.inputs["shift"]), axis=1, name="out")])
    program = Program()
    program.add_function("main", f)
    return program


def functions(to):
    """Two functions; the second is the default, and they share a weight."""
    weight = np.arange(16, dtype=np.float16).reshape(4, 4)

    @mb.program(input_specs=[mb.TensorSpec((1, 4), dtype=types.fp16)], opset_version=ct.target.iOS18)
    def first(x):
        return mb.linear(x=x, weight=weight, name="out")

    @mb.program(input_specs=[mb.TensorSpec((2, 4), dtype=types.fp16)], opset_version=ct.target.iOS18)
    def second(x):
        return mb.relu(x=mb.linear(x=x, weight=weight, name="product"), name="out")
    with tempfile.TemporaryDirectory() as dir:
        described = ct.utils.MultiFunctionDescriptor()
        for name, program in (("first", first), ("second", second)):
            save(program, name, dir, target=ct.target.iOS18, outputs=[ct.TensorType("out", dtype=np.float16)],
                 inputs=[ct.TensorType("x", program.functions["main"].inputs["x"].shape, dtype=np.float16)])
            described.add_function(os.path.join(dir, name + ".mlpackage"), "main", name)
        described.default_function_name = "second"
        path = os.path.join(to, "functions.mlpackage")
        shutil.rmtree(path, ignore_errors=True)
        ct.utils.save_multifunction(described, path)


def unknown(to):
    """Fields that no version of the format has, in the messages of a package; and those that it has, but libmil does not."""
    path = os.path.join(to, "unknown.mlpackage")
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(os.path.join(to, "conv.mlpackage"), path)
    file = os.path.join(path, "Data/com.apple.CoreML/model.mlmodel")
    spec = ct.proto.Model_pb2.Model()
    with open(file, "rb") as f:
        spec.ParseFromString(f.read())
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations["CoreML6"]
    field = lambda text: bytes([0xFA, 0x7F, len(text)]) + text  # field 2047, length-delimited
    for message, text in ((spec, b"model"), (spec.description, b"description"), (spec.mlProgram, b"program"), (function, b"function"),
                          (block, b"block"), (block.operations[-1], b"operation"),
                          (block.operations[-1].inputs["x"], b"argument"), (spec.description.input[0], b"feature")):
        message.MergeFromString(field(text))
    block.operations[0].attributes["val"].docString = "a weight"
    spec.description.metadata.author = "someone"
    spec.description.metadata.userDefined["author"] = "someone else"
    with open(file, "wb") as f:
        f.write(spec.SerializeToString())


to = sys.argv[1]
half = dict(dtype=np.float16)
save(conv(), "conv", to)
save(flexible(), "flexible", to, inputs=[ct.TensorType("x", (1, ct.RangeDim(1, 9, default=3), 4))])
save(stateful(), "stateful", to, target=ct.target.iOS18, outputs=[ct.TensorType("out", **half)],
     inputs=[ct.TensorType("x", (4, 4), **half)])
save(classifier(), "classifier", to, inputs=[ct.ImageType("image", (1, 3, 2, 2), color_layout="BGR")],
     classifier_config=ct.ClassifierConfig(["cat", "dog", "Käfer"], predicted_feature_name="label"))
save(enumerated(), "enumerated", to, inputs=[ct.TensorType("x", ct.EnumeratedShapes([(1, 4), (1, 2), (1, 8)], default=(1, 2)))])
save(optional(), "optional", to, inputs=[
    ct.TensorType("x", (1, 3)), ct.TensorType("shift", (1, 3), default_value=np.full((1, 3), 2.5, np.float32))])
save(optional_sizes(), "optional_sizes", to, inputs=[
    ct.TensorType("x", (1, ct.RangeDim(1, 9, default=2))),
    ct.TensorType("shift", (1, ct.RangeDim(1, 9, default=3)), default_value=np.full((1, 3), 2.5, np.float32))])
functions(to)
unknown(to)
