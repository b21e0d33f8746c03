# SPDX-License-Identifier: MIT
"""References of elementwise ops, activations among them."""

import numpy as np
import torch

from values import Sum, plain, reference

# ---- one operand ----

for _op, _function in {
    "abs": np.abs, "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "atanh": np.arctanh, "ceil": np.ceil,
    "cos": np.cos, "cosh": np.cosh, "exp": np.exp, "exp2": np.exp2, "floor": np.floor, "logical_not": np.logical_not,
    "round": np.round, "sign": np.sign, "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt, "square": np.square,
    "tan": np.tan, "tanh": np.tanh,
}.items():  # fmt: skip
    plain(_op, _function, "x")


def of_torch(function, x):
    return function(torch.from_numpy(np.asarray(x, np.float64))).numpy()


@reference("erf")
def erf(given):
    return of_torch(torch.erf, given.x)


@reference("inverse")
def inverse(given):
    epsilon = given.default("epsilon", 1e-4)
    return near_zero(given.x, epsilon, lambda x: 1 / x, lambda x: 1 / x**2)


@reference("log")
def log(given):
    return near_zero(given.x, given.default("epsilon", 1e-45), np.log, lambda x: 1 / x)


@reference("rsqrt")
def rsqrt(given):
    return near_zero(given.x, given.default("epsilon", 1e-12), lambda x: 1 / np.sqrt(x), lambda x: 0.5 * x**-1.5)


def near_zero(x, epsilon, function, slope):
    """function(x + epsilon), where two terms are added up before a function of this slope."""
    total = x + epsilon
    size = np.abs(slope(np.abs(total))) * (np.abs(x) + epsilon)
    return Sum(function(total), 2, np.where(np.isfinite(size), size, 0))


@reference("clip")
def clip(given):
    return np.minimum(np.maximum(given.x, given.alpha), given.beta)


@reference("threshold")
def threshold(given):
    return np.maximum(given.x, given.alpha)


@reference("cast")
def cast(given):
    """Floats are cut towards 0 and held within the integer's range; anything but 0 is true."""
    x, target = given.x, given.dtype_ if given.get("dtype_", None) else given._given["dtype"]
    if target.startswith("fp"):
        return x.astype(np.float64)
    if target == "bool":
        return x != 0
    info = np.iinfo(target)
    return np.clip(np.trunc(np.nan_to_num(x.astype(np.float64), posinf=1e30, neginf=-1e30)), info.min, info.max)


# ---- two operands ----

for _op, _function in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "real_div": np.true_divide, "floor_div": np.floor_divide,
    "mod": np.mod, "pow": np.power, "maximum": np.maximum, "minimum": np.minimum, "equal": np.equal,
    "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}.items():  # fmt: skip
    plain(_op, _function, "x", "y")


@reference("mod")
def mod(given):
    """The remainder is the difference of x and a multiple of y."""
    result = np.mod(given.x, given.y)
    if result.dtype != np.float64:
        return result
    size = np.abs(given.x) + np.abs(given.y)
    return Sum(result, 2, np.where(np.isfinite(size), size, 0))


@reference("select")
def select(given):
    return np.where(given.cond, given.a, given.b)


# ---- activations ----


@reference("relu")
def relu(given):
    return np.maximum(given.x, 0)


@reference("relu6")
def relu6(given):
    return np.minimum(np.maximum(given.x, 0), 6)


@reference("sigmoid")
def sigmoid(given):
    return of_torch(torch.sigmoid, given.x)


@reference("silu")
def silu(given):
    return of_torch(torch.nn.functional.silu, given.x)


@reference("gelu")
def gelu(given):
    """Both exact and tanh add two numbers near 1 and -1 where x is far below 0."""
    x = given.x
    mode = given.get("mode", "EXACT")
    size = np.where(np.isfinite(x), np.abs(x), 0)
    if mode == "EXACT":
        return Sum(of_torch(torch.nn.functional.gelu, x), 2, size)
    if mode == "TANH_APPROXIMATION":
        return Sum(of_torch(lambda t: torch.nn.functional.gelu(t, approximate="tanh"), x), 2, size)
    return x * of_torch(torch.sigmoid, 1.702 * x)


@reference("leaky_relu")
def leaky_relu(given):
    return np.where(given.x >= 0, given.x, given.alpha * given.x)


@reference("clamped_relu")
def clamped_relu(given):
    return np.minimum(given.beta, np.where(given.x >= 0, given.x, given.alpha * given.x))


@reference("elu")
def elu(given):
    low = given.alpha * np.expm1(given.x)
    return Sum(np.where(given.x > 0, given.x, low), 2, np.abs(given.alpha) * np.where(given.x > 0, 0, 2))


@reference("linear_activation")
def linear_activation(given):
    size = np.abs(given.alpha * given.x) + np.abs(given.beta)
    return Sum(given.alpha * given.x + given.beta, 2, np.where(np.isfinite(size), size, 0))


@reference("prelu")
def prelu(given):
    alpha = np.reshape(given.alpha, (-1,) + (1,) * (np.ndim(given.x) - 2))
    return np.where(given.x >= 0, given.x, alpha * given.x)


@reference("scaled_tanh")
def scaled_tanh(given):
    return given.alpha * np.tanh(given.beta * given.x)


@reference("sigmoid_hard")
def sigmoid_hard(given):
    inner = given.alpha * given.x + given.beta
    size = np.abs(given.alpha * given.x) + np.abs(given.beta)
    return Sum(np.minimum(np.maximum(inner, 0), 1), 2, np.where(np.isfinite(size), size, 0))


def log1p_exp(x):
    return np.logaddexp(0, x)


@reference("softplus")
def softplus(given):
    return Sum(log1p_exp(given.x), 2, np.ones_like(given.x))


@reference("softplus_parametric")
def softplus_parametric(given):
    shape = (-1,) + (1,) * (np.ndim(given.x) - 2)
    alpha, beta = np.reshape(given.alpha, shape), np.reshape(given.beta, shape)
    return Sum(alpha * log1p_exp(beta * given.x), 2, np.abs(alpha) * np.ones_like(given.x))


@reference("softsign")
def softsign(given):
    return given.x / (1 + np.abs(given.x))


@reference("thresholded_relu")
def thresholded_relu(given):
    return np.where(given.x < given.alpha, 0, given.x)


@reference("softmax")
def softmax(given):
    axis = int(given.get("axis", -1))
    result = of_torch(lambda t: torch.softmax(t, axis), given.x) if np.ndim(given.x) else np.ones_like(given.x)
    return Sum(result, given.x.shape[axis] if np.ndim(given.x) else 1, result)
