# SPDX-License-Identifier: MIT
"""References of ops that move elements and compute none."""

import numpy as np

from values import plain, reference


@reference("identity")
def identity(given):
    return given.x


@reference("reshape")
def reshape(given):
    shape = [given.x.shape[i] if n == 0 and len(given.shape) == given.x.ndim else int(n) for i, n in enumerate(given.shape)]
    return given.x.reshape(shape)


@reference("transpose")
def transpose(given):
    return np.transpose(given.x, [int(axis) for axis in given.perm])


@reference("expand_dims")
def expand_dims(given):
    return np.expand_dims(given.x, tuple(int(axis) for axis in given.axes))


@reference("squeeze")
def squeeze(given):
    return np.squeeze(given.x, None if given.axes is None else tuple(int(axis) for axis in given.axes))


@reference("slice_by_index")
def slice_by_index(given):
    """As Python slices; a masked begin or end is left out; where squeeze_mask is set the element at begin is taken."""
    rank = given.x.ndim
    none = [False] * rank
    begin_mask, end_mask, squeeze_mask = (
        none if mask is None else [bool(each) for each in mask] for mask in (given.begin_mask, given.end_mask, given.squeeze_mask)
    )
    stride = [1] * rank if given.stride is None else [int(each) for each in given.stride]
    index = []
    for i in range(rank):
        begin = None if begin_mask[i] else int(given.begin[i])
        end = None if end_mask[i] else int(given.end[i])
        index.append((begin or 0) if squeeze_mask[i] else slice(begin, end, stride[i]))
    return given.x[tuple(index)]


@reference("slice_by_size")
def slice_by_size(given):
    index = []
    for begin, size, extent in zip(given.begin, given.size, given.x.shape):
        begin = int(begin) + (extent if begin < 0 else 0)
        index.append(slice(begin, extent if size == -1 else begin + int(size)))
    return given.x[tuple(index)]


@reference("reverse")
def reverse(given):
    return np.flip(given.x, None if given.axes is None else tuple(int(axis) for axis in given.axes))


@reference("flatten2d")
def flatten2d(given):
    axis = int(given.get("axis", 1))
    return given.x.reshape(int(np.prod(given.x.shape[:axis])), -1)


@reference("concat")
def concat(given):
    axis = int(given.axis)
    if not given.get("interleave", False):
        return np.concatenate(given.values, axis)
    axis %= given.values[0].ndim
    shape = list(given.values[0].shape)
    shape[axis] *= len(given.values)
    return np.stack(given.values, axis + 1).reshape(shape)


@reference("stack")
def stack(given):
    return np.stack(given.values, int(given.axis))


@reference("split")
def split(given):
    if given.split_sizes is not None:
        at = np.cumsum(given.split_sizes)[:-1]
        return list(np.split(given.x, at, int(given.axis)))
    return list(np.split(given.x, int(given.num_splits), int(given.axis)))


@reference("tile")
def tile(given):
    return np.tile(given.x, [int(n) for n in given.reps])


@reference("fill")
def fill(given):
    return np.full([int(n) for n in given.shape], given.get("value", 0.0))


@reference("fill_like")
def fill_like(given):
    return np.full(given.ref_tensor.shape, given.get("value", 0.0))


@reference("shape")
def shape(given):
    return np.array(given.x.shape, np.int32)


@reference("pad")
def pad(given):
    """pad holds before and after for the last axes."""
    pairs = [(int(before), int(after)) for before, after in np.reshape(given.pad, (-1, 2))]
    pairs = [(0, 0)] * (given.x.ndim - len(pairs)) + pairs
    mode = given.get("mode", "constant")
    if mode == "constant":
        return np.pad(given.x, pairs, constant_values=given.get("constant_val", 0.0))
    return np.pad(given.x, pairs, mode={"reflect": "reflect", "replicate": "edge"}[mode])


@reference("gather")
def gather(given):
    axis, batch = int(given.get("axis", 0)), int(given.get("batch_dims", 0))
    x, indices = given.x, np.asarray(given.indices, np.int64)
    axis %= x.ndim
    if batch == 0:
        return np.take(x, indices, axis)
    rows = [np.take(a, i, axis - batch) for a, i in zip(x.reshape(-1, *x.shape[batch:]), indices.reshape(-1, *indices.shape[batch:]))]
    return np.stack(rows).reshape(*x.shape[:batch], *rows[0].shape)


@reference("gather_along_axis")
def gather_along_axis(given):
    return np.take_along_axis(given.x, np.asarray(given.indices, np.int64), int(given.get("axis", 0)))


@reference("gather_nd")
def gather_nd(given):
    batch = int(given.get("batch_dims", 0))
    x, indices = given.x, np.asarray(given.indices, np.int64)
    if batch == 0:
        return x[tuple(np.moveaxis(indices, -1, 0))]
    rows = [a[tuple(np.moveaxis(i, -1, 0))] for a, i in zip(x.reshape(-1, *x.shape[batch:]), indices.reshape(-1, *indices.shape[batch:]))]
    return np.stack(rows).reshape(*x.shape[:batch], *rows[0].shape)


@reference("range_1d")
def range_1d(given):
    return np.arange(given.start, given.end, given.step)


plain("const", lambda val: val, "val")
