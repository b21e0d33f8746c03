# SPDX-License-Identifier: MIT
"""References of image_resizing: PyTorch where it has the op, else coremltools' own description of the sampling grid."""

import numpy as np
import torch

from values import Sum, reference

TERMS = 16  # of products whose weights are themselves rounded


def torched(x):
    return torch.from_numpy(np.ascontiguousarray(x, np.float64))


def images(x):
    """As [n, channels, height, width]"""
    return torched(x).reshape(1, -1, *x.shape[-2:])


def summed(function, x):
    """What function makes of x by adding up weighted elements, with the sum of their sizes."""
    return Sum(np.asarray(function(x)), TERMS, np.asarray(function(np.abs(x))))


def grid(mode, n_in, n_out):
    """The points at which n_out elements are read, as the op's documentation has them."""
    i = np.arange(n_out)
    apart = max(n_out - 1, 1)
    if mode == "ALIGN_CORNERS" and n_out == 1:
        return np.array([(n_in - 1) / 2])
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        at = i * (n_in - 1) / apart
    elif mode == "DEFAULT":
        at = i * (n_in - n_in / n_out) / apart
    elif mode == "OFFSET_CORNERS":
        delta = max(1, n_in - 1) / n_out
        at = 0.5 * delta + i * delta
    else:
        at = i * n_in / n_out + 0.5 * n_in / n_out - 0.5
    return np.minimum(n_in - 1, np.maximum(0, at))


def linear(x, axis, at):
    """x read at these points of an axis."""
    lo = np.floor(at).astype(int)
    hi = np.minimum(lo + 1, x.shape[axis] - 1)
    weight = (at - lo).reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
    return np.take(x, lo, axis) * (1 - weight) + np.take(x, hi, axis) * weight


def linear_to(x, sizes, mode):
    """The last axes of x in these sizes."""
    if len(sizes) == 2 and x.ndim >= 2 and mode in ("STRICT_ALIGN_CORNERS", "UNALIGN_CORNERS") and x.size and min(sizes) > 1:
        aligns = mode == "STRICT_ALIGN_CORNERS"
        out = torch.nn.functional.interpolate(images(x), size=tuple(sizes), mode="bilinear", align_corners=aligns)
        return out.numpy().reshape(*x.shape[:-2], *sizes)
    for k, n in enumerate(sizes):
        axis = x.ndim - len(sizes) + k
        x = linear(x, axis, grid(mode, x.shape[axis], n))
    return x


def nearest_to(x, sizes, mode):
    out = torch.nn.functional.interpolate(images(x), size=tuple(sizes), mode=mode)
    return out.numpy().reshape(*x.shape[:-2], *sizes).astype(x.dtype)


def scaled_sizes(given):
    factors = [given.get("scale_factor_height", 1), given.get("scale_factor_width", 1)]
    return [int(np.floor(np.float32(f) * np.float32(n))) for f, n in zip(factors, given.x.shape[-2:])]


@reference("upsample_nearest_neighbor")
def upsample_nearest_neighbor(given):
    return nearest_to(given.x, scaled_sizes(given), "nearest") if given.x.size else np.zeros((*given.x.shape[:-2], *scaled_sizes(given)))


@reference("upsample_bilinear")
def upsample_bilinear(given):
    aligns = bool(given.get("align_corners", True))
    by_half = bool(given.get("half_pixel_centers", not aligns))
    mode = "STRICT_ALIGN_CORNERS" if aligns else "UNALIGN_CORNERS" if by_half else "DEFAULT"
    return summed(lambda x: linear_to(x, scaled_sizes(given), mode), given.x)


def target(given):
    return [int(given.get(f"target_size_{each}", 1)) for each in ("height", "width")]


@reference("resize_nearest_neighbor")
def resize_nearest_neighbor(given):
    return nearest_to(given.x, target(given), "nearest-exact") if given.x.size else np.zeros((*given.x.shape[:-2], *target(given)))


@reference("resize_bilinear")
def resize_bilinear(given):
    return summed(lambda x: linear_to(x, target(given), given.get("sampling_mode", "DEFAULT")), given.x)


@reference("resize")
def resize(given):
    n, shape = int(given.resized_dims), [int(size) for size in given.shape]
    sizes = [size or given.x.shape[given.x.ndim - n + k] for k, size in enumerate(shape[len(shape) - n :])]
    mode = given.get("sampling_mode", "DEFAULT")
    if given.get("interpolation_mode", "LINEAR") == "LINEAR":
        return summed(lambda x: linear_to(x, sizes, mode), given.x)
    out = given.x
    for k, size in enumerate(sizes):
        axis = out.ndim - n + k
        exact = (2 * np.arange(size) + 1) * out.shape[axis] // (2 * size)  # of pixels' centers
        at = exact if mode in ("DEFAULT", "UNALIGN_CORNERS") else np.floor(grid(mode, out.shape[axis], size) + 0.5).astype(int)
        out = np.take(out, at, axis)
    return out


# ---- boxes ----


def corners(box, order, last):
    """A box's start and end along the height, then the width."""
    first, second = np.asarray(box[:2]), np.asarray(box[2:])
    if order.startswith("CENTER"):
        first, second = first - second / 2, first + second / 2
    if order.endswith("WIDTH_FIRST"):
        first, second = first[::-1], second[::-1]
    return [(a * n, b * n) for a, b, n in zip(first, second, last)]


@reference("crop_resize")
def crop_resize(given):
    size = [int(given.get(f"target_{each}", 1)) for each in ("height", "width")]
    mode, order = given.get("sampling_mode", "DEFAULT"), given.get("box_coordinate_mode", "CORNERS_HEIGHT_FIRST")
    extents = given.x.shape[2:]
    last = [n - 1 for n in extents] if given.get("normalized_coordinates", False) else (1, 1)
    pad = float(given.get("pad_value", 0.0))
    if given.roi is not None:
        rows = given.roi.reshape(given.roi.shape[0], -1)
        every = range(given.x.shape[0])
        images_of = [[int(row[0])] if len(row) == 5 else every for row in rows]
        rows = rows[:, -4:]
    else:
        rows = given.boxes
        images_of = [[int(i)] for i in given.get("box_indices", range(len(rows)))]

    def crop(image, row):
        box = corners(np.asarray(row, np.float64) * np.float64(given.get("spatial_scale", 1.0)), order, last)
        inside = np.ones(size, bool)
        for axis, (start, end) in enumerate(box):
            part = grid(mode, abs(end - start) + 1, size[axis])
            at = start + np.sign(end - start) * part
            at = np.where(np.abs(at - np.round(at)) < 1e-9, np.round(at), at)
            fits = (at >= 0) & (at <= extents[axis] - 1)
            inside &= fits[:, None] if axis == 0 else fits
            image = linear(image, axis + 1, np.where(fits, at, 0))
        return np.where(inside, image, pad)

    make = lambda x: np.stack([np.stack([crop(x[i], row) for i in ids]) for row, ids in zip(rows, images_of)])
    out = summed(make, given.x)
    if given.roi is None:
        out.result, out.size = out.result[:, 0], out.size[:, 0]
    out.size = np.abs(out.size)
    return out


# ---- points ----


def sampled(x, at, mode, outside, space, aligns, value):
    """at: [n, height, width, 2] as the op has it. By NumPy, for whatever grid_sample has not."""
    pixels, n = [], x.shape[:1]
    for k, extent in ((1, x.shape[2]), (0, x.shape[3])):
        c = np.asarray(at[..., k], np.float64)
        unit = (c + 1) / 2 if space.endswith("minus_one_to_one") else c
        c = c if space == "unnormalized" else unit * (extent - 1) if aligns else unit * extent - 0.5
        if outside in ("reflection", "symmetric"):
            low, high = (0, extent - 1) if outside == "reflection" else (-0.5, extent - 0.5)
            span = high - low
            c = low + (span - np.abs((c - low) % (2 * span) - span)) if span else np.full_like(c, low)
        if outside != "constant":
            c = np.clip(c, 0, extent - 1)
        pixels.append((c, extent))
    total = 0
    for dy in (0, 1):
        for dx in (0, 1):
            weight, inside, index = 1, True, []
            for (c, extent), d in zip(pixels, (dy, dx)):
                first = np.rint(c) if mode == "nearest" else np.floor(c)
                part = (1.0 - d) + 0 * c if mode == "nearest" else np.where(d, c - first, 1 - c + first)
                i = first + d
                inside = inside & (i >= 0) & (i < extent)
                index.append(np.clip(i, 0, extent - 1).astype(int))
                weight = weight * part
            read = x[np.arange(n[0])[:, None, None], :, index[0], index[1]]  # [n, height, width, channels]
            total = total + weight[..., None] * np.where(inside[..., None], read, value)
    return np.moveaxis(total, -1, 1)


def by_torch(x, at, mode, outside, aligns):
    padding = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}[outside]
    return torch.nn.functional.grid_sample(torched(x), torched(at), mode=mode, padding_mode=padding, align_corners=aligns).numpy()


@reference("resample")
def resample(given):
    mode, outside, space, aligns = given.sampling_mode, given.padding_mode, given.coordinates_mode, bool(given.align_corners)
    in_torch = space == "normalized_minus_one_to_one" and (outside == "border" or outside == ("reflection" if aligns else "symmetric"))

    def make(x, value):
        ours = sampled(x, given.coordinates, mode, outside, space, aligns, value)
        if in_torch:
            theirs = by_torch(x, given.coordinates, mode, outside, aligns)
            assert np.allclose(ours, theirs), "PyTorch's grid_sample differs"
        return ours

    value = float(given.padding_value)
    return Sum(make(given.x, value), TERMS, make(np.abs(given.x), abs(value)))


@reference("affine")
def affine(given):
    size = (*given.x.shape[:2], int(given.output_height), int(given.output_width))
    matrix = np.broadcast_to(given.transform_matrix, (size[0], 6)).reshape(-1, 2, 3)
    aligns = bool(given.align_corners)
    at = torch.nn.functional.affine_grid(torched(matrix), size, align_corners=aligns).numpy()
    return summed(lambda x: by_torch(x, at, "bilinear", "constant", aligns), given.x)
