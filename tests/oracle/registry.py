# SPDX-License-Identifier: MIT
"""The parameters of all ops as coremltools' registry has them."""


def write(path, versions):
    pass
