# SPDX-License-Identifier: MIT
"""Elements for the arguments of a call, the same ones each time: seeded by the argument's name and type, not by the op, so
that the calls of a file share them."""

import zlib

import numpy as np

from calls import NUMPY, PACKED, Call, flat, split_type

# Floats that an elementwise op can stumble over: zeros, infinities, NaN, subnormals, the ends of the range, halves.
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, np.inf, -np.inf, np.nan, 1e-3, -1e-3, 20.0, -20.0]
EXTREME = {
    "fp16": [6e-8, -6e-8, 6e-5, 65504.0, -65504.0, 2048.0, 11.0, -17.0],
    "fp32": [1.4e-45, -1e-40, 1.17549435e-38, 3.4028235e38, -3.4028235e38, 1e30, 88.0, -103.0],
}


def floats(kind, dtype, shape, rng):
    n = int(np.prod(shape))
    if kind in ("normal", "special", "special_small"):
        values = rng.standard_normal(n) * 2
    elif kind == "positive":
        values = rng.uniform(0.1, 4, n)
    elif kind == "unit":
        values = rng.uniform(-0.99, 0.99, n)
    elif kind == "nonzero":
        values = rng.uniform(0.3, 3, n) * rng.choice([-1, 1], n)
    elif kind == "large":
        values = rng.standard_normal(n) * 100
    elif kind == "offset":  # far from 0 compared with their spread
        values = rng.standard_normal(n) + 50
    elif kind == "integral":
        values = rng.integers(-3, 4, n).astype(np.float64)
    elif kind == "near":  # zeros and small values, to be compared
        values = rng.integers(-2, 3, n) * 0.5
    elif kind == "masked":  # additive masks: 0, or minus infinity
        values = np.where(rng.random(n) < 0.3, -np.inf, rng.standard_normal(n))
    else:
        raise ValueError(kind)
    if kind.startswith("special"):
        special = SPECIAL + (EXTREME[dtype] if kind == "special" else [])
        values[: min(n, len(special))] = special[:n]
    return values.reshape(shape).astype(NUMPY[dtype])


def integers(kind, dtype, shape, rng):
    least, most = np.iinfo(NUMPY[dtype]).min, np.iinfo(NUMPY[dtype]).max
    if dtype in PACKED:
        least, most = (-8, 7) if dtype == "int4" else (0, 2 ** PACKED[dtype] - 1)
    low, high = {"normal": (-9, 9), "positive": (1, 9), "small": (0, 4), "wide": (-(2**31), 2**31 - 1)}.get(
        kind, kind if isinstance(kind, tuple) else (-9, 9)
    )
    if kind == "nonzero":
        values = rng.integers(1, 6, shape) * (rng.choice([-1, 1], shape) if least < 0 else 1)
    else:
        values = rng.integers(max(low, least), min(high, most), shape, endpoint=True)
    return np.asarray(values).astype(NUMPY[dtype])


def elements(call, bind):
    """The elements of each argument, by its flat name; symbols have the sizes that bind gives."""
    drawn = {}
    for name, given in flat({**call.inputs, **call.args}):
        if isinstance(given, dict) and ("s" in given or "l" in given):
            continue
        dtype, dims = split_type(given if isinstance(given, str) else given["c"])
        shape = tuple(int(bind.get(part, part)) for part in dims)
        fixed = given["v"] if isinstance(given, dict) and "v" in given else None
        kind = call.draw.get(name, call.draw.get(name.split(".")[0], "normal"))
        drawn[name] = one(name, dtype, shape, kind if fixed is None else fixed)
    return drawn


def consts(call):
    """Likewise, of drawn consts alone."""
    args = {name: given for name, given in flat(call.args) if isinstance(given, dict) and "c" in given}
    return elements(Call(call.op, args, draw=call.draw), {})


def one(name, dtype, shape, kind):
    if not isinstance(kind, str) and not isinstance(kind, tuple):
        return np.array(kind, NUMPY[dtype]).reshape(shape)
    rng = np.random.default_rng(zlib.crc32(f"{name} {dtype} {shape} {kind}".encode()))
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    return (floats if dtype.startswith("fp") else integers)(kind, dtype, shape, rng)
