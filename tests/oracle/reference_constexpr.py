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


@reference("constexpr_affine_dequantize")
def affine_dequantize(given):
    def along(value):
        shape = [1] * given.quantized_data.ndim
        if np.ndim(value):
            shape[int(given.axis)] = -1
        return np.reshape(np.asarray(value, np.float64), shape)

    return along(given.scale) * (given.quantized_data.astype(np.float64) - along(given.zero_point))


def bits_of(packed):
    """The bits of a vector of bytes, from the lowest of the first one up."""
    return [int(byte) >> k & 1 for byte in packed for k in range(8)]


def look_up(indices, lut, axis):
    """Palettes by block of the indices; a vector's elements go along the axis."""
    result = np.empty((lut.shape[-1], *indices.shape), lut.dtype)
    for at in np.ndindex(*indices.shape):
        block = tuple(i * lut.shape[a] // n for a, (i, n) in enumerate(zip(at, indices.shape)))
        result[(slice(None), *at)] = lut[block][indices[at]]
    if lut.shape[-1] == 1:
        return result[0]
    axis = int(axis) % indices.ndim
    moved = np.moveaxis(result, 0, axis + 1)
    return moved.reshape(*indices.shape[:axis], -1, *indices.shape[axis + 1 :])


def place(values, mask):
    """Values one by one where the mask is set, else 0."""
    dense = np.zeros(mask.shape, values.dtype)
    for value, at in zip(values, np.argwhere(mask)):
        dense[tuple(at)] = value
    return dense


@reference("constexpr_lut_to_sparse")
def lut_to_sparse(given):
    mask, lut = given.indices_mask, given.lut
    dense = look_up(place(given.indices_nonzero_data, mask), lut, given.vector_axis)
    if lut.shape[-1] > 1:
        mask = np.repeat(mask, lut.shape[-1], int(given.vector_axis))
    return [mask, np.array([dense[tuple(at)] for at in np.argwhere(mask)], dense.dtype)]


@reference("constexpr_sparse_blockwise_shift_scale")
def sparse_blockwise_shift_scale(given):
    mask = given.data_mask
    data = place(given.nonzero_data.astype(np.float64), mask)
    offset = 0 if given.offset is None else spread(given.offset.astype(np.float64), mask.shape)
    dense = spread(given.scale, mask.shape) * (data - offset)
    return [mask, np.array([dense[tuple(at)] for at in np.argwhere(mask)], np.float64)]


@reference("constexpr_cast")
def cast(given):
    return given.source_val


@reference("constexpr_lut_to_dense")
def lut_to_dense(given):
    if given.opset >= 18:
        return look_up(given.indices, given.lut, given.vector_axis)
    width, bits = int(np.log2(len(given.lut))), bits_of(given.indices)
    n = int(np.prod(given.shape, dtype=np.int64))
    indices = [sum(bit << k for k, bit in enumerate(bits[i * width : (i + 1) * width])) for i in range(n)]
    return given.lut[np.array(indices, np.int64)].reshape(given.shape.astype(np.int64))


@reference("constexpr_sparse_to_dense")
def sparse_to_dense(given):
    if given.opset >= 18:
        return place(given.nonzero_data, given.mask)
    values = iter(given.nonzero_data)
    n = int(np.prod(given.shape, dtype=np.int64))
    dense = [next(values) if bit else 0 for bit in bits_of(given.mask)[:n]]
    return np.array(dense, given.nonzero_data.dtype).reshape(given.shape.astype(np.int64))
