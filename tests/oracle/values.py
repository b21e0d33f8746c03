# SPDX-License-Identifier: MIT
"""What the results of a call should be: NumPy or PyTorch in double precision, from the same rounded inputs.

REFERENCE has a function an op. It is given an Args: floats as float64 arrays, integers and bools in their own dtype,
strings as str; what the call leaves out is None. It returns an array, or Sum where terms are added up, or a list of these
for several results. None of it uses coremltools.

Where terms are summed, an implementation may be wrong by k * 2^-24 * sum|terms| (k: how many) beside the dtype's own
rounding, since nobody says in which order it adds. Sum holds the result, k and the sum of the terms' sizes."""

from dataclasses import dataclass

import numpy as np

from calls import NUMPY, is_of_others, split_type


@dataclass
class Sum:
    result: np.ndarray
    k: int
    size: np.ndarray  # sum of |terms|, by element of the result


class Args:
    """The arguments of a call by name, the opset, and their dtypes as they were."""

    def __init__(self, args, opset, drawn, outer=None):
        self._opset, self._given, self._dtypes, self._drawn, self._outer = opset, {}, {}, drawn, outer or self
        for name, given in args.items():
            items = isinstance(given, list)
            self._given[name] = [self._value(f"{name}.{i}", g) for i, g in enumerate(given)] if items else self._value(name, given)

    def _value(self, name, given):
        if isinstance(given, str) and is_of_others(given):
            self._dtypes[name] = self._outer._dtypes[given[1:]]
            return self._outer._given[given[1:]]
        if "op" in given:
            value = REFERENCE[given["op"]](Args(given["in"], self._opset, {}, self._outer))
            value = np.asarray(value.result if isinstance(value, Sum) else value)
            self._dtypes[name] = value.dtype.name
            return value
        if "s" in given:
            return given["s"]
        self._dtypes[name] = dtype = split_type(given if isinstance(given, str) else given["c"])[0]
        value = self._drawn[name] if name in self._drawn else np.array(given["v"], NUMPY[dtype])
        return value.astype(np.float64) if dtype.startswith("fp") else value

    def __getattr__(self, name):
        return self._given.get(name)

    def get(self, name, default):
        return self._given.get(name, default)

    def dtype(self, name):
        return self._dtypes.get(name)

    def default(self, name, value):
        """A float parameter, whose default is rounded to the dtype of x as all consts of a program are."""
        given = self._given.get(name)
        return given if given is not None else np.float64(NUMPY.get(self.dtype("x"), np.float64)(value))

    @property
    def opset(self):
        return self._opset


REFERENCE = {}


def reference(*ops):
    def register(function):
        for op in ops:
            REFERENCE[op] = function
        return function

    return register


def plain(op, function, *names):
    """An op that is one function of these parameters."""
    REFERENCE[op] = lambda given: function(*(given.get(name, None) for name in names))


def modules():
    """Imports what registers the references of each family."""
    import reference_constexpr  # noqa: F401
    import reference_elementwise  # noqa: F401
    import reference_images  # noqa: F401
    import reference_quantization  # noqa: F401
    import reference_recurrent  # noqa: F401
    import reference_shapes  # noqa: F401
    import reference_sums  # noqa: F401


def results_of(call, opset, drawn, types):
    """The wanted results as Sums in the dtypes of `types` (k = 0 where nothing is summed)."""
    with np.errstate(all="ignore"):
        found = REFERENCE[call.op](Args(call.args, opset, drawn, call.inputs and Args(call.inputs, opset, drawn)))
        found = found if isinstance(found, list) else [found]
        found = [through(each, call.steps, type_) for each, type_ in zip(found, types)] if call.steps else found
        assert len(found) == len(types), f"{call.op}: {len(found)} results, {len(types)} types"
        return [settle(each, type_.split("[")[0]) for each, type_ in zip(found, types)]


def through(found, steps, type_):
    """A result that several ops computed: each step may round by a unit of the largest number there is."""
    result = np.asarray(found.result if isinstance(found, Sum) else found)
    unit = 2**13 if type_.startswith("fp16") else 1
    return Sum(result, steps * unit, np.full(result.shape, np.max(np.abs(result[np.isfinite(result)]), initial=0)))


def settle(found, dtype):
    """Floats stay in double; integers are cut to their dtype."""
    each = found if isinstance(found, Sum) else Sum(np.asarray(found), 0, None)
    result = np.asarray(each.result)
    if dtype.startswith("fp"):
        result = result.astype(np.float64)
    elif dtype != "string":
        result = result.astype(NUMPY[dtype])
    size = None if each.k == 0 else np.broadcast_to(np.asarray(each.size, np.float64), result.shape)
    return Sum(result, each.k, size)
