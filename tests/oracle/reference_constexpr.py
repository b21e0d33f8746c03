# SPDX-License-Identifier: MIT
"""References of the ops whose results are consts that are kept compressed."""

import numpy as np

from values import reference


def spread(blocks, shape):
    """Each element of `blocks` over its block of `shape`."""
    for axis, n in enumerate(shape):
        blocks = np.repeat(blocks, n // blocks.shape[axis], axis)
    return blocks


@reference("constexpr_blockwise_shift_scale")
def blockwise_shift_scale(given):
    data = given.data.astype(np.float64)
    offset = 0 if given.offset is None else spread(given.offset.astype(np.float64), data.shape)
    return spread(given.scale, data.shape) * (data - offset)
