# SPDX-License-Identifier: MIT
"""References of ops that move elements and compute none."""

import numpy as np

from values import Sum, plain, reference


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


def block_to_space(x, height, width, outer):
    """[N, places and channels, H, W]: the places are the outer part of the second axis, or its inner one."""
    n, c, h, w = x.shape
    c //= height * width
    if outer:
        parts = x.reshape(n, height, width, c, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, c, height, width, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c, h * height, w * width)


def space_to_block(x, height, width, outer):
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // height, height, w // width, width).transpose((0, 3, 5, 1, 2, 4) if outer else (0, 1, 3, 5, 2, 4))
    return parts.reshape(n, c * height * width, h // height, w // width)


plain("depth_to_space", lambda x, n: block_to_space(x, int(n), int(n), True), "x", "block_size")
plain("pixel_shuffle", lambda x, n: block_to_space(x, int(n), int(n), False), "x", "upscale_factor")
plain("space_to_depth", lambda x, n: space_to_block(x, int(n), int(n), True), "x", "block_size")
plain("pixel_unshuffle", lambda x, n: space_to_block(x, int(n), int(n), False), "x", "downscale_factor")


@reference("batch_to_space")
def batch_to_space(given):
    """The batches are what the channels are for depth_to_space."""
    x = block_to_space(given.x.swapaxes(0, 1), *map(int, given.block_shape), True).swapaxes(0, 1)
    (top, bottom), (left, right) = given.crops
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


@reference("space_to_batch")
def space_to_batch(given):
    x = np.pad(given.x, [(0, 0), (0, 0), *given.paddings])
    return space_to_block(x.swapaxes(0, 1), *map(int, given.block_shape), True).swapaxes(0, 1)


@reference("sliding_windows")
def sliding_windows(given):
    axis, size, stride = int(given.axis) % given.x.ndim, int(given.size), int(given.get("stride", 1))
    starts = range(0, given.x.shape[axis] - size + 1, stride)
    return np.stack([np.take(given.x, range(start, start + size), axis) for start in starts], axis)


@reference("reverse_sequence")
def reverse_sequence(given):
    seq, batch = int(given.get("seq_axis", 0)), int(given.get("batch_axis", 0))
    out = np.moveaxis(given.x.copy(), (batch, seq), (0, 1))
    for row, n in zip(out, given.lengths):
        row[: int(n)] = row[: int(n)][::-1].copy()
    return np.moveaxis(out, (0, 1), (batch, seq))


@reference("slice_update")
def slice_update(given):
    """What slice_by_index takes of the elements' numbers is where update goes."""
    numbers = np.arange(given.x.size).reshape(given.x.shape)
    places = slice_by_index(type("", (), {**given._given, "x": numbers, **{name: given.get(name, None) for name in ("stride", "begin_mask", "end_mask", "squeeze_mask")}}))
    out = given.x.copy()
    out.reshape(-1)[np.reshape(places, -1)] = given.update.reshape(-1)
    return out


@reference("reshape_like")
def reshape_like(given):
    shape = []
    for tensor, begin, end, to_end in zip(given.ref_tensors, given.begins, given.ends, given.end_masks):
        shape += tensor.shape[int(begin) :] if to_end else tensor.shape[int(begin) : int(end)]
    return given.x.reshape(shape)


def scattered(given, places):
    """places: for each element of updates the number of the one in data that it goes to, updates after updates."""
    mode = given.get("mode", "add")
    out, size, most = given.data.astype(np.float64).reshape(-1), np.abs(given.data.astype(np.float64)).reshape(-1), 1
    counts = np.zeros(out.size, int)
    for at, u in zip(np.reshape(places, -1), given.updates.reshape(-1)):
        old, counts[at], size[at] = out[at], counts[at] + 1, size[at] + abs(u)
        out[at] = {"update": lambda: u, "add": lambda: old + u, "sub": lambda: old - u, "mul": lambda: old * u, "div": lambda: old / u, "max": lambda: max(old, u), "min": lambda: min(old, u)}[mode]()
    most = int(counts.max(initial=0))
    out, size = out.reshape(given.data.shape), size.reshape(given.data.shape)
    return Sum(out, most, size) if mode in ("add", "sub") and given.data.dtype == np.float64 else out


def numbers(given):
    return np.arange(given.data.size).reshape(given.data.shape)


@reference("scatter")
def scatter(given):
    return scattered(given, np.take(numbers(given), np.asarray(given.indices, np.int64), int(given.get("axis", 0))))


@reference("scatter_along_axis")
def scatter_along_axis(given):
    return scattered(given, np.take_along_axis(numbers(given), np.asarray(given.indices, np.int64), int(given.get("axis", 0))))


@reference("scatter_nd")
def scatter_nd(given):
    return scattered(given, numbers(given)[tuple(np.moveaxis(np.asarray(given.indices, np.int64), -1, 0))])


@reference("band_part")
def band_part(given):
    m, n = given.x.shape[-2:]
    below = np.arange(m)[:, None] - np.arange(n)
    lower, upper = (int(given.get(name, -1)) for name in ("lower", "upper"))
    return np.where(((lower < 0) | (below <= lower)) & ((upper < 0) | (-below <= upper)), given.x, np.zeros_like(given.x))


@reference("crop")
def crop(given):
    (top, bottom), (left, right) = given.crop_height, given.crop_width
    return given.x[..., top : given.x.shape[-2] - bottom, left : given.x.shape[-1] - right]


@reference("cumsum")
def cumsum(given):
    def sums(x):
        x = np.flip(x, axis) if given.get("reverse", False) else x
        total = np.cumsum(x, axis)
        total = total - x if given.get("exclusive", False) else total
        return np.flip(total, axis) if given.get("reverse", False) else total

    axis = int(given.get("axis", 0))
    return Sum(sums(given.x), given.x.shape[axis], sums(np.abs(given.x))) if given.x.dtype == np.float64 else sums(given.x)


@reference("non_zero")
def non_zero(given):
    return np.argwhere(given.x).astype(np.int32)


@reference("non_maximum_suppression")
def non_maximum_suppression(given):
    import torch
    from torchvision.ops import batched_nms

    is_last = given.opset >= 17
    boxes, scores = (np.swapaxes(t, 1, 2) if is_last else t for t in (given.boxes, given.scores))
    most, (n, count, classes) = int(given.max_boxes), scores.shape
    out = [np.zeros((n, most, 4)), np.zeros((n, most, classes)), np.full((n, most), -1, np.int32), np.zeros(n, np.int32)]
    for b in range(n):
        best, of = scores[b].max(1), scores[b].argmax(1)
        corners = np.concatenate([boxes[b, :, :2] - boxes[b, :, 2:] / 2, boxes[b, :, :2] + boxes[b, :, 2:] / 2], 1)
        left = np.flatnonzero(best >= (-np.inf if given.score_threshold is None else given.score_threshold))
        left = left if len(left) else np.array([best.argmax()])
        groups = of if given.get("per_class_suppression", False) else np.zeros(count, int)
        kept = batched_nms(*(torch.from_numpy(np.ascontiguousarray(t[left])) for t in (corners, best, groups)), float(given.iou_threshold)).numpy()
        kept = left[kept][:most]
        for result, values in zip(out, (boxes[b, kept], scores[b, kept], kept)):
            result[b, : len(kept)] = values
        out[3][b] = len(kept)
    if is_last:
        return [np.swapaxes(out[0], 1, 2), np.swapaxes(out[1], 1, 2), out[2]]
    return out


def order_of(x, axis, ascending):
    """Equals in the order in which they came, whichever way."""
    keys = x.astype(np.float64)
    return np.argsort(keys if ascending else -keys, axis=axis, kind="stable")


@reference("argsort")
def argsort(given):
    return order_of(given.x, int(given.get("axis", -1)), given.get("ascending", False))


@reference("topk")
def topk(given):
    axis, k = int(given.get("axis", -1)), int(given.get("k", 1))
    order = np.take(order_of(given.x, axis, given.get("ascending", False)), range(given.x.shape[axis] if k == -1 else k), axis)
    values = np.take_along_axis(given.x, order, axis)
    return [values, order] if given.get("return_indices", True) else [values]


@reference("one_hot")
def one_hot(given):
    n = int(given.one_hot_vector_size)
    on, off = given.get("on_value", 1), given.get("off_value", 0)
    hot = np.where(np.asarray(given.indices)[..., None] == np.arange(n), on, off)
    axis = int(given.get("axis", -1))
    return np.moveaxis(hot, -1, axis)
