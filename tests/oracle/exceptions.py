# SPDX-License-Identifier: MIT
"""Where coremltools' word is not taken as it is. Each exception has a reason, and make_vectors.py prints how often it
applied.

What coremltools answers with an internal error (`broke`) gives no verdict, unless an exception here makes it a refusal."""

from dataclasses import dataclass
from typing import Callable

import numpy as np

from calls import split_type


@dataclass
class Difference:
    reason: str
    verdict: str  # "refused": we do; "none": no verdict
    applies: Callable  # (call, opset, kind, answer) -> bool


def numbers(call, name):
    """The elements of a const argument of integers, or None."""
    given = call.args.get(name)
    if not isinstance(given, dict) or "v" not in given:
        return None
    return [int(each) for each in np.ravel(given["v"])]


def rank(call, name="x"):
    given = call.args.get(name)
    if isinstance(given, list) and given:
        given = given[0]
    if isinstance(given, dict):
        given = given.get("c")
    return len(split_type(given)[1]) if isinstance(given, str) else None


def axes_outside(name, more=0, x="x"):
    """Is an axis of this parameter outside of the rank of x (plus `more` axes for each that is given)?"""

    def applies(call, opset, kind, answer):
        axes, n = numbers(call, name), rank(call, x)
        if axes is None or n is None:
            return False
        n += len(axes) * more
        return any(not -n <= axis < n for axis in axes)

    return applies


def repeated(name, more=0):
    def applies(call, opset, kind, answer):
        axes, n = numbers(call, name), rank(call)
        if axes is None or n is None:
            return False
        n += len(axes) * more
        return len({axis % n if n else axis for axis in axes}) < len(axes)

    return applies


def dims(call, name="x"):
    given = call.args[name]
    return split_type(given if isinstance(given, str) else given["c"])[1]


def squeezes_more(call, opset, kind, answer):
    axes, extents = numbers(call, "axes"), dims(call)
    return axes is not None and any(extents[axis].isdigit() and extents[axis] != "1" for axis in axes)


def size_from_the_end(call, *_):
    return any(begin < 0 and size == -1 for begin, size in zip(numbers(call, "begin") or [], numbers(call, "size") or []))


def of(prefix, rule, kinds=("out", "broke")):
    """The rule for ops whose name begins with one of these."""
    prefixes = (prefix,) if isinstance(prefix, str) else prefix
    return lambda call, opset, kind, answer: (
        call.op.startswith(tuple(prefixes)) and kind in kinds and rule(call, opset, kind, answer)
    )


def begins_with(text):
    return lambda call, opset, kind, answer: answer.startswith(text) if isinstance(answer, str) else False


def wrong_rank(name, *ranks):
    return lambda call, *_: rank(call, name) is not None and rank(call, name) not in ranks


def not_per_channel(*names):
    """Does a parameter not have one element for each channel of x?"""

    def applies(call, *_):
        channels = dims(call)[1:2]
        for name in names:
            given = dims(call, name) if name in call.args else None
            if given is not None and (len(given) != 1 or (channels and channels[0].isdigit() and given != channels)):
                return True
        return False

    return applies


def not_n(name, n, of_rank=2):
    """Has a parameter not n elements for each spatial axis of x?"""
    return lambda call, *_: numbers(call, name) is not None and len(numbers(call, name)) != n * (rank(call) - of_rank)


def below(name, least):
    return lambda call, *_: any(each < least for each in numbers(call, name) or [])


def is_false(call, *_):
    return False


EXCEPTIONS = [
    Difference("an axis out of range is an error", "refused", of("reduce_", axes_outside("axes"))),
    Difference("an axis out of range is an error", "refused", of("reduce_arg", axes_outside("axis"))),
    Difference("an axis given twice is an error", "refused", of("reduce_", repeated("axes"))),
    Difference("an axis out of range is an error", "refused", of("expand_dims", axes_outside("axes", 1))),
    Difference("an axis given twice is an error", "refused", of("expand_dims", repeated("axes", 1))),
    Difference("an axis out of range is an error", "refused", of("squeeze", axes_outside("axes"))),
    Difference("an axis given twice is an error", "refused", of("squeeze", repeated("axes"))),
    Difference("epsilon is a scalar", "refused", of(("inverse", "log", "rsqrt"), lambda call, *_: rank(call, "epsilon") == 1)),
    Difference("an axis out of range is an error", "refused", of("softmax", axes_outside("axis"))),
    Difference("an axis given twice is an error", "refused", of("layer_norm", repeated("axes"))),
    Difference("epsilon is a scalar", "refused", of(("layer_norm", "batch_norm", "instance_norm"), lambda call, *_: rank(call, "epsilon") == 1)),
    Difference("only an extent of 1 can be squeezed", "refused", of("squeeze", squeezes_more)),
    Difference("perm is a permutation", "refused", of("transpose", axes_outside("perm"))),
    Difference("perm is a permutation", "refused", of("transpose", repeated("perm"))),
    Difference("a stride of 0 is an error", "refused", of("slice_by_index", lambda call, *_: 0 in (numbers(call, "stride") or []))),
    Difference("a size is -1 or more", "refused", of("slice_by_size", lambda call, *_: any(n < -1 for n in numbers(call, "size") or []))),
    Difference("size -1 takes a begin from the start", "refused", of("slice_by_size", size_from_the_end)),
    Difference("an axis out of range is an error", "refused", of("reverse", axes_outside("axes"))),
    Difference("an axis given twice is an error", "refused", of("reverse", repeated("axes"))),
]


def judge(call, opset, kind, answer, said):
    for each in EXCEPTIONS:
        if each.applies(call, opset, kind, answer):
            said[f"{call.op}: {each.reason} ({each.verdict})"] += 1
            return (each.verdict, each.reason)
    if kind in ("broke", "unasked"):
        said[f"{call.op}: {kind}: {answer[:100]} (no verdict)"] += 1
    return kind, answer
