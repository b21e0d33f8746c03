# SPDX-License-Identifier: MIT
"""References of the ops between floats and the integers that stand for them."""

import numpy as np

from values import reference


def along(vector, x, axis):
    """A vector along an axis of x; a scalar as it is."""
    if vector is None:
        return 0.0
    vector = np.asarray(vector, np.float64)
    return vector if vector.ndim == 0 else np.expand_dims(vector, [i for i in range(x.ndim) if i != int(axis) % x.ndim])


@reference("quantize")
def quantize(given):
    least, most = (-128, 127) if given.output_dtype == "int8" else (0, 255)
    x = given.input / along(given.scale, given.input, given.axis)
    return np.clip(np.rint(x) + along(given.zero_point, x, given.axis), least, most)


@reference("dequantize")
def dequantize(given):
    x = given.input.astype(np.float64)
    return along(given.scale, x, given.axis) * (x - along(given.zero_point, x, given.axis))
