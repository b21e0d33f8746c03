# SPDX-License-Identifier: MIT
"""Packages that coremltools writes, for tests of the reader: python tests/oracle/packages.py tests/vectors/packages"""
import os
import shutil
import sys

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types


def save(program, name, to, **options):
    model = ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32,
                       minimum_deployment_target=ct.target.iOS16, pass_pipeline=ct.PassPipeline.EMPTY, **options)
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


to = sys.argv[1]
save(conv(), "conv", to)
save(flexible(), "flexible", to, inputs=[ct.TensorType("x", (1, ct.RangeDim(1, 9, default=3), 4))])
