# SPDX-License-Identifier: MIT
"""References of ops that add up: reductions, matrix products, convolution, pooling, normalization, attention."""

import numpy as np
import torch
import torch.nn.functional as F

from values import Sum, reference

# ---- reductions ----


def axes_of(given):
    return tuple(range(given.x.ndim)) if given.axes is None else tuple(int(axis) for axis in np.atleast_1d(given.axes))


def count(given):
    return int(np.prod([given.x.shape[axis] for axis in axes_of(given)]))


def reduction(function, size=None):
    """size(total, reduce, x, k): the sum of |terms| as it reaches the result; None: nothing is summed."""

    def reduced(given):
        x, axes, keep = given.x, axes_of(given), bool(given.get("keep_dims", False))
        if x.dtype != np.float64:
            exact = function(x.astype(np.int64) if size else x, axis=axes, keepdims=keep)
            return np.trunc(exact) if np.issubdtype(np.asarray(exact).dtype, np.floating) else exact
        result = function(x, axis=axes, keepdims=keep)
        if not size:
            return result
        terms = size(x, result, lambda a: np.sum(a, axis=axes, keepdims=keep), count(given))
        return Sum(result, count(given), np.where(np.isfinite(terms), terms, 0))

    return reduced


def l1(x, **how):
    return np.sum(np.abs(x), **how)


def l2(x, **how):
    return np.sqrt(np.sum(np.square(x), **how))


def log_sum(x, **how):
    return np.log(np.sum(x, **how))


def log_sum_exp(x, axis, keepdims):
    return torch.logsumexp(torch.from_numpy(np.asarray(x, np.float64)), axis, keepdims).numpy() if axis else np.asarray(x, np.float64)


def sum_square(x, **how):
    return np.sum(np.square(x), **how)


for _op, _function, _size in (
    ("reduce_max", np.max, None),
    ("reduce_min", np.min, None),
    ("reduce_sum", np.sum, lambda x, r, add, k: add(np.abs(x))),
    ("reduce_mean", np.mean, lambda x, r, add, k: add(np.abs(x)) / max(k, 1)),
    ("reduce_prod", np.prod, lambda x, r, add, k: np.abs(r)),
    ("reduce_l1_norm", l1, lambda x, r, add, k: np.abs(r)),
    ("reduce_l2_norm", l2, lambda x, r, add, k: np.abs(r)),
    ("reduce_sum_square", sum_square, lambda x, r, add, k: np.abs(r)),
    ("reduce_log_sum", log_sum, lambda x, r, add, k: add(np.abs(x)) / np.abs(add(x))),
    ("reduce_log_sum_exp", log_sum_exp, lambda x, r, add, k: 1 + np.abs(r)),
):
    reference(_op)(reduction(_function, _size))


def arg(function):
    def found(given):
        axis, keep = int(given.get("axis", -1)), bool(given.get("keep_dims", False))
        return function(given.x, axis=axis, keepdims=keep)

    return found


reference("reduce_argmax")(arg(np.argmax))
reference("reduce_argmin")(arg(np.argmin))

# ---- products ----


def product(function, k, *operands):
    """A sum of products: the sizes of its terms are the same product of sizes."""
    if all(each.dtype != np.float64 for each in operands):
        return function(*(each.astype(np.int64) for each in operands))
    operands = [each.astype(np.float64) for each in operands]
    return Sum(function(*operands), k, function(*(np.abs(each) for each in operands)))


@reference("matmul")
def matmul(given):
    x, y = given.x, given.y
    if given.get("transpose_x", False):
        x = np.swapaxes(x, -1, -2)
    if given.get("transpose_y", False):
        y = np.swapaxes(y, -1, -2)
    return product(np.matmul, x.shape[-1], x, y)


@reference("linear")
def linear(given):
    bias = given.bias if given.bias is not None else np.zeros(given.weight.shape[0], given.weight.dtype)
    return product(lambda x, w, b: x @ w.T + b, given.x.shape[-1] + 1, given.x, given.weight, bias)


@reference("einsum")
def einsum(given):
    x, y = given.values
    letters = given.equation.replace(" ", "").split("->")[0].split(",")
    shape = dict(zip(letters[0], x.shape))
    for letter, extent in zip(letters[1], y.shape):  # extents of 1 broadcast
        shape[letter] = max(shape.get(letter, 1), extent)
    x, y = (np.broadcast_to(a, [shape[letter] for letter in word]) for a, word in zip((x, y), letters))
    summed = set(letters[0] + letters[1]) - set(given.equation.split("->")[1])
    k = int(np.prod([shape[letter] for letter in summed]))
    return product(lambda a, b: np.einsum(given.equation, a, b), k, x, y)


# ---- convolution and pooling ----


def vector(value, n, default):
    return [default] * n if value is None else [int(each) for each in np.atleast_1d(value)]


def padding(given, extents, kernel, strides, dilations):
    """Before and after by axis: what pad_type stands for."""
    n, pad_type = len(kernel), given.get("pad_type", "valid").lower()
    if pad_type == "valid":
        return [(0, 0)] * n
    if pad_type == "custom":
        pad = vector(given.pad, 2 * n, 0)
        return [(pad[2 * i], pad[2 * i + 1]) for i in range(n)]
    pairs = []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations):
        total = max(0, (-(-extent // stride) - 1) * stride + (k - 1) * dilation + 1 - extent)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if pad_type == "same" else (large, small))
    return pairs


def padded(x, pairs, value=0.0):
    return np.pad(x, [(0, 0), (0, 0), *pairs], constant_values=value)


def torch_of(function, *arrays, **how):
    return function(*(None if a is None else torch.from_numpy(np.ascontiguousarray(a)) for a in arrays), **how).numpy()


@reference("conv")
def conv(given):
    x, weight, n = given.x, given.weight, given.x.ndim - 2
    strides, dilations = vector(given.strides, n, 1), vector(given.dilations, n, 1)
    groups = int(given.get("groups", 1))
    pairs = padding(given, x.shape[2:], weight.shape[2:], strides, dilations)
    function = [F.conv1d, F.conv2d, F.conv3d][n - 1]
    bias = given.bias if given.bias is not None else np.zeros(weight.shape[0])

    def convolve(x, weight, bias):
        return torch_of(function, x, weight, bias, stride=strides, dilation=dilations, groups=groups)

    return product(convolve, int(np.prod(weight.shape[1:])) + 1, padded(x, pairs), weight, bias)


class Decoded:
    """conv_quantized's arguments, with the weights that its codes stand for."""

    def __init__(self, given):
        each = lambda a: np.reshape(a, [-1] + [1] * (given.x.ndim - 1)) if np.ndim(a) else a
        self._given, self.weight = given, given.weight.astype(np.float64) * each(given.quant_scale) + each(given.quant_bias)
        self.bias = None if given.bias is None else given.bias.astype(np.float64)

    def __getattr__(self, name):
        return getattr(self._given, name)


@reference("conv_quantized")
def conv_quantized(given):
    return conv(Decoded(given))


@reference("conv_transpose")
def conv_transpose(given):
    """Computed whole, then cut to what padding and output_shape leave."""
    x, weight, n = given.x, given.weight, given.x.ndim - 2
    strides, dilations = vector(given.strides, n, 1), vector(given.dilations, n, 1)
    groups, pad_type = int(given.get("groups", 1)), given.get("pad_type", "valid").lower()
    function = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][n - 1]
    bias = given.bias if given.bias is not None else np.zeros(weight.shape[1] * groups)
    wanted = None if given.output_shape is None else [int(each) for each in given.output_shape][-n:]
    full = [(e - 1) * s + (k - 1) * d + 1 for e, s, k, d in zip(x.shape[2:], strides, weight.shape[2:], dilations)]
    cut = []
    pad = vector(given.pad, 2 * n, 0)
    for i in range(n):
        if pad_type == "custom":
            before, out = pad[2 * i], full[i] - pad[2 * i] - pad[2 * i + 1]
        elif pad_type == "valid":
            before, out = 0, full[i]
        else:
            out = x.shape[2 + i] * strides[i]
            total = max(0, full[i] - out)
            before = total // 2 if pad_type == "same" else total - total // 2
        cut.append((before, wanted[i] if wanted else out))

    def convolve(x, weight, bias):
        whole = torch_of(function, x, weight, None, stride=strides, dilation=dilations, groups=groups)
        for i, (before, out) in enumerate(cut):
            axis = 2 + i
            low, high = max(0, -before), max(0, before + out - whole.shape[axis])
            grown = [(0, 0)] * whole.ndim
            grown[axis] = (low, high)
            whole = np.pad(whole, grown)
            whole = np.take(whole, range(before + low, before + low + out), axis)
        return whole + np.reshape(bias, (1, -1) + (1,) * n)

    k = weight.shape[0] // groups * int(np.prod(weight.shape[2:])) + 1
    return product(convolve, k, x, weight, bias)


def windows(given, function):
    """function(window, inside) over each window of the padded input; inside is true where the input is, not padding."""
    x, n = given.x, given.x.ndim - 2
    kernel, strides = vector(given.kernel_sizes, n, 1), vector(given.strides, n, 1)
    pairs = padding(given, x.shape[2:], kernel, strides, [1] * n)
    out = []
    for i in range(n):
        extent, total = x.shape[2 + i], sum(pairs[i])
        if given.get("ceil_mode", False):
            size = (extent + total - kernel[i] + strides[i] - 1) // strides[i] + 1
            if (size - 1) * strides[i] >= extent + total / 2 and total > 0:
                size -= 1
            pairs[i] = (pairs[i][0], max(pairs[i][1], (size - 1) * strides[i] + kernel[i] - extent - pairs[i][0]))
        else:
            size = (extent + total - kernel[i]) // strides[i] + 1
        out.append(size)
    big, inside = padded(x, pairs, np.nan), padded(np.ones(x.shape, bool), pairs, False)
    result = np.zeros(x.shape[:2] + tuple(out))
    for at in np.ndindex(*out):
        index = tuple(slice(a * s, a * s + k) for a, s, k in zip(at, strides, kernel))
        window, there = (a[(slice(None), slice(None), *index)].reshape(*x.shape[:2], -1) for a in (big, inside))
        result[(slice(None), slice(None), *at)] = function(window, there)
    return result, int(np.prod(kernel))


@reference("max_pool")
def max_pool(given):
    return windows(given, lambda window, inside: np.max(np.where(inside, window, -np.inf), -1))[0]


@reference("avg_pool")
def avg_pool(given):
    """What ceil_mode adds behind counts as padding, unlike in PyTorch: so Core ML computes (apple/coremltools#2772, #2844)."""
    exclude = bool(given.get("exclude_padding_from_average", False))

    def average(x):
        def of(window, inside):
            total = np.sum(np.where(inside, window, 0), -1)
            return total / (np.sum(inside, -1) if exclude else window.shape[-1])

        given._given["x"] = x
        return windows(given, of)

    x = given.x
    size, k = average(np.abs(x))
    return Sum(average(x)[0], k, size)


@reference("l2_pool")
def l2_pool(given):
    result, k = windows(given, lambda window, inside: np.sqrt(np.sum(np.where(inside, window, 0) ** 2, -1)))
    return Sum(result, k, result)


# ---- normalization ----


def normalized(x, axes, epsilon, gamma, beta, shape):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta; gamma and beta are seen in this shape."""
    mean = np.mean(x, axes, keepdims=True)
    deviation = np.sqrt(np.mean((x - mean) ** 2, axes, keepdims=True) + epsilon)
    gamma = 1.0 if gamma is None else np.reshape(gamma, shape)
    beta = 0.0 if beta is None else np.reshape(beta, shape)
    size = (np.abs(x) + np.mean(np.abs(x), axes, keepdims=True)) / deviation * np.abs(gamma) + np.abs(beta)
    k = int(np.prod([x.shape[axis] for axis in axes]))
    return Sum((x - mean) / deviation * gamma + beta, k + 2, size)


@reference("layer_norm")
def layer_norm(given):
    rank = given.x.ndim
    axes = tuple(range(rank)) if given.axes is None else tuple(int(axis) % rank for axis in given.axes)
    shape = [extent if axis in axes else 1 for axis, extent in enumerate(given.x.shape)]
    return normalized(given.x, axes, given.default("epsilon", 1e-5), given.gamma, given.beta, shape)


@reference("instance_norm")
def instance_norm(given):
    shape = (1, -1) + (1,) * (given.x.ndim - 2)
    axes = tuple(range(2, given.x.ndim))
    return normalized(given.x, axes, given.default("epsilon", 1e-5), given.gamma, given.beta, shape)


@reference("batch_norm")
def batch_norm(given):
    shape = (1, -1) + (1,) * (given.x.ndim - 2)
    mean, variance = np.reshape(given.mean, shape), np.reshape(given.variance, shape)
    gamma = 1.0 if given.gamma is None else np.reshape(given.gamma, shape)
    beta = 0.0 if given.beta is None else np.reshape(given.beta, shape)
    factor = gamma / np.sqrt(variance + given.default("epsilon", 1e-5))
    size = (np.abs(given.x) + np.abs(mean)) * np.abs(factor) + np.abs(beta)
    return Sum((given.x - mean) * factor + beta, 3, size)


@reference("l2_norm")
def l2_norm(given):
    axes = tuple(range(-3, 0))
    result = given.x / np.sqrt(np.sum(given.x**2, axes, keepdims=True) + given.default("epsilon", 1e-6))
    return Sum(result, int(np.prod(given.x.shape[-3:])) + 1, np.abs(result))


@reference("local_response_norm")
def local_response_norm(given):
    size = int(given.size)
    alpha, beta, k = given.default("alpha", 1e-4), given.default("beta", 0.75), given.default("k", 1.0)
    channels = given.x.shape[1]
    before = size // 2
    square = given.x**2
    total = np.zeros_like(given.x)
    for c in range(channels):
        low, high = max(0, c - before), min(channels, c - before + size)
        total[:, c] = np.sum(square[:, low:high], 1)
    result = given.x / (k + alpha / size * total) ** beta
    return Sum(result, size + 2, np.abs(result))


# ---- attention ----


@reference("scaled_dot_product_attention")
def scaled_dot_product_attention(given):
    q, k, v = given.query, given.key, given.value
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    noise = np.abs(q) @ np.swapaxes(np.abs(k), -1, -2) / np.sqrt(q.shape[-1])
    mask = given.attn_mask
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    weights = torch.softmax(torch.from_numpy(scores), -1).numpy()
    # an error e of a score changes its weight by the factor exp(e)
    worst = np.max(np.where(np.isfinite(scores), noise, 0), -1, keepdims=True, initial=0)
    size = (weights @ np.abs(v)) * (1 + 2 * worst)
    return Sum(weights @ v, q.shape[-1] + k.shape[-2], size)
