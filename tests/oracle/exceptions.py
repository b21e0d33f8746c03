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
    verdict: str  # "refused": we do; "x": accepted, with the type of x; "none": no verdict
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


def below(name, least):
    return lambda call, *_: any(each < least for each in numbers(call, name) or [])


def stack_axis_outside(call, *_):
    axis, n = numbers(call, "axis"), rank(call, "values")
    return axis is not None and n is not None and not -n - 1 <= axis[0] <= n


def axis_outside(call, *_):
    axis = numbers(call, "axis")
    return axis is not None and not -rank(call) <= axis[0] < rank(call)


def parts_of_no_whole(call, *_):
    sizes, axis, n = numbers(call, "split_sizes"), numbers(call, "axis"), numbers(call, "num_splits")
    if sizes is None or axis is None:
        return False
    extent = dims(call)[axis[0]]
    return min(sizes) < 0 or (n or [len(sizes)]) != [len(sizes)] or (extent.isdigit() and sum(sizes) != int(extent))


def spatial_lengths(call, *_):
    given = {name: numbers(call, name) for name in ("strides", "dilations", "pad")}
    custom = call.args.get("pad_type", {}).get("s") == "custom"
    return any(
        each is not None and len(each) != (rank(call) - 2) * (2 if name == "pad" else 1)
        for name, each in given.items()
        if name != "pad" or custom
    )


def other_channels(call, *_):
    x, weight = dims(call), dims(call, "weight")
    return len(x) > 1 and len(weight) > 0 and x[1].isdigit() and weight[0].isdigit() and x[1] != weight[0]


def batch_is_none(call, *_):
    batch, axis = numbers(call, "batch_dims"), numbers(call, "axis") or [0]
    if batch is None or call.op != "gather":
        return False
    x, indices = dims(call), dims(call, "indices")
    shared = list(zip(x, indices))[: batch[0]]
    differ = any(a.isdigit() and b.isdigit() and a != b for a, b in shared)
    return batch[0] < 0 or differ or axis[0] % len(x) < batch[0]


def index_outside(call, opset, *_):
    indices, axis = numbers(call, "indices"), (numbers(call, "axis") or [0])[0]
    if opset >= 17 or call.op != "gather" or indices is None:
        return False
    extent = dims(call)[axis]
    return extent.isdigit() and any(not -int(extent) <= i < int(extent) for i in indices)


def groups_divide_not(call, *_):
    groups = numbers(call, "groups")
    kernels = dims(call, "weight")[0] if "weight" in call.args else "0"
    return call.op == "conv" and groups is not None and kernels.isdigit() and (groups[0] < 1 or int(kernels) % groups[0] != 0)


RECURRENT = {"lstm": 4, "gru": 3, "rnn": 1}
ACTIVATIONS = ("linear", "relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid")


def layer_misfits(call, *_):
    """Weights, bias and states that are not of one layer; coremltools compares some of their dims."""
    if any(name not in call.args for name in ("x", "initial_h", "weight_ih", "weight_hh")) or len(dims(call)) != 3:
        return False
    _, batch, features = dims(call)
    hidden = dims(call, "weight_hh")[-1]
    rows = str(RECURRENT[call.op] * int(hidden))
    width = str(int(hidden) * (2 if call.args.get("direction", {}).get("s") == "bidirectional" else 1))
    wanted = {"initial_h": [batch, width], "initial_c": [batch, width], "peephole": [str(3 * int(hidden))]}
    for back in ("", "_back"):
        wanted |= {"weight_ih" + back: [rows, features], "weight_hh" + back: [rows, hidden], "bias" + back: [rows], "input_bias": [rows]}
    fits = lambda given, want: len(given) == len(want) and all(g == w or not (g + w).isdigit() for g, w in zip(given, want))
    return any(name in call.args and not fits(dims(call, name), want) for name, want in wanted.items())


def activation_unknown(call, *_):
    names = ("activation", "recurrent_activation", "cell_activation")
    return any(call.args.get(name, {}).get("s", "tanh").lower() not in ACTIVATIONS for name in names)


SIZES = ("target_size_height", "target_size_width", "target_height", "target_width", "output_height", "output_width")
MODES = {
    "sampling_mode": ("bilinear", "nearest"),
    "padding_mode": ("constant", "border", "reflection", "symmetric"),
    "coordinates_mode": ("unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"),
}


def wrong_opset(call, opset, *_):
    """roi from ios17 on, boxes before, but for the call that shows it."""
    return ("roi" in call.args) == (opset >= 17) and call.args["x"] != "fp32[1,1,6,7]" and ("boxes" in call.args or "roi" in call.args)


def boxes_misfit(call, opset, *_):
    boxes, scores, by = dims(call, "boxes"), dims(call, "scores"), 2 if opset >= 17 else 1
    wanted = [*scores]
    if len(boxes) != 3 or len(scores) != 3 or scores[3 - by] == "0":
        return True
    wanted[3 - by] = "4"
    return any(a.isdigit() and b.isdigit() and a != b for a, b in zip(boxes, wanted))


def unknown_code(call, *_):
    channels, kind = dims(call, "weight")[0], call.args["quantization_type"]["s"]
    lengths = [dims(call, name) for name in ("quant_scale", "quant_bias")]
    return (numbers(call, "nbits") or [8])[0] > 8 or kind not in ("linear", "lut") or any(each not in ([], ["1"], [channels]) for each in lengths)


def unknown_mode(call, *_):
    return any(call.args.get(name, {}).get("s", words[0]) not in words for name, words in MODES.items())


def scale(call):
    """The smaller of an upsampling's factors."""
    given = [call.args.get(f"scale_factor_{each}") for each in ("height", "width")]
    return min(np.min(each["v"]) if isinstance(each, dict) else 1 for each in given)


def aligned_by_half(call):
    return call.args.get("align_corners", {"v": True})["v"] and call.args.get("half_pixel_centers", {"v": False})["v"]


SCALAR_PARAMETERS = ("clamped_relu", "elu", "leaky_relu", "linear_activation", "scaled_tanh", "sigmoid_hard", "thresholded_relu")


def beta_is_no_gamma(call, *_):
    """coremltools looks at gamma where it means beta."""
    axes, beta = numbers(call, "axes"), call.args.get("beta")
    if axes is None or beta is None or isinstance(beta, str):
        return False
    extents = dims(call)
    inner = [extents[axis] for axis in sorted(axis % len(extents) for axis in axes)]
    given = split_type(beta["c"])[1]
    return len(given) != len(inner) or any(i.isdigit() and i != g for i, g in zip(inner, given))


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
    Difference("coremltools can't make its own default, all axes", "x", of("layer_norm", begins_with("Cannot add const range"), ("refused",))),
    Difference("beta has the shape that gamma has", "refused", of("layer_norm", beta_is_no_gamma)),
    Difference("alpha and beta are scalars", "refused", of(SCALAR_PARAMETERS, lambda call, *_: 1 in (rank(call, "alpha"), rank(call, "beta")))),
    Difference("a scalar has no axes", "refused", of("softmax", lambda call, *_: rank(call) == 0)),
    Difference("axis is a scalar", "refused", of("softmax", lambda call, *_: rank(call, "axis") == 1)),
    Difference("x has a batch and channels", "refused", of("batch_norm", lambda call, *_: rank(call) < 2)),
    Difference("x has a batch, channels and more", "refused", of("instance_norm", lambda call, *_: rank(call) < 3)),
    Difference("parameters have an element a channel", "refused",
               of(("batch_norm", "instance_norm"), not_per_channel("mean", "variance", "gamma", "beta"))),
    Difference("epsilon is a scalar", "refused", of(("layer_norm", "batch_norm", "instance_norm"), lambda call, *_: rank(call, "epsilon") == 1)),
    Difference("an axis out of range is an error", "refused", of(("argsort", "topk"), axes_outside("axis"))),
    Difference("a scalar has no axes", "refused", of("argsort", lambda call, *_: rank(call) == 0)),
    Difference("k is how many there are at most, and not below 0", "refused", of("topk", lambda call, *_: numbers(call, "k") == [-1])),
    Difference("on_value is a scalar", "refused", of("one_hot", lambda call, *_: rank(call, "on_value") == 1)),
    Difference("an axis out of range is an error", "refused", of("stack", stack_axis_outside)),
    Difference("an axis out of range is an error", "refused", of("split", axis_outside)),
    Difference("parts have the extent of x, and no part is negative", "refused", of("split", parts_of_no_whole)),
    Difference("there is at least one part", "refused", of("split", below("num_splits", 1))),
    Difference("a stride is at least 1", "refused", of(("conv", "max_pool", "avg_pool", "l2_pool"), below("strides", 1))),
    Difference("pad_type is valid, same or custom", "refused", of("conv_transpose", begins_with("UnboundLocalError"), ("broke",))),
    Difference("strides, dilations and pad have entries for each spatial axis", "refused", of("conv_transpose", spatial_lengths)),
    Difference("groups divides the kernels", "refused", of("conv", groups_divide_not)),
    Difference("output_shape has x's rank", "refused",
               of("conv_transpose", lambda call, *_: len(numbers(call, "output_shape") or dims(call)) != rank(call))),
    Difference("x and weight have one rank", "refused", of("conv_transpose", lambda call, *_: rank(call) != rank(call, "weight"))),
    Difference("weight has x's channels", "refused", of("conv_transpose", other_channels)),
    Difference("batch_dims are axes before axis that x and indices share", "refused", of("gather", batch_is_none)),
    Difference("before ios17 a known index outside of x is an error", "refused", of("gather", index_outside)),
    Difference("a file can't tell a value from a tuple of one", "none", of(("concat", "stack", "einsum"), lambda call, *_: not isinstance(call.args.get("values", []), list), ("refused",))),
    Difference("constant_val is a scalar", "refused", of("pad", lambda call, *_: rank(call, "constant_val") == 1)),
    Difference("value is a scalar", "refused", of("fill", lambda call, *_: rank(call, "value") == 1)),
    Difference("reps has an entry for each axis", "refused", of("tile", lambda call, *_: isinstance(call.args["reps"], str) and dims(call, "reps") != [str(rank(call))])),
    Difference("a step away from the end gives nothing, not a negative extent", "none", of("range_1d", lambda call, opset, kind, answer: "[-" in answer[0])),
    Difference("symbols are known of integers alone, not through floats", "none",
               of("", lambda call, *_: "'dtype': {'s': 'fp32'}" in str(call.args) and "'shape'" in str(call.args), ("out",))),
    Difference("axis is a scalar", "refused", of(("concat", "gather"), lambda call, *_: rank(call, "axis") == 1)),
    Difference("only an extent of 1 can be squeezed", "refused", of("squeeze", squeezes_more)),
    Difference("perm is a permutation", "refused", of("transpose", axes_outside("perm"))),
    Difference("perm is a permutation", "refused", of("transpose", repeated("perm"))),
    Difference("a stride of 0 is an error", "refused", of("slice_by_index", lambda call, *_: 0 in (numbers(call, "stride") or []))),
    Difference("a size is -1 or more", "refused", of("slice_by_size", lambda call, *_: any(n < -1 for n in numbers(call, "size") or []))),
    Difference("size -1 takes a begin from the start", "refused", of("slice_by_size", size_from_the_end)),
    Difference("an axis out of range is an error", "refused", of("reverse", axes_outside("axes"))),
    Difference("an axis given twice is an error", "refused", of("reverse", repeated("axes"))),
    Difference("a size is 0 or more", "refused", of("random_", below("shape", 0))),
    Difference("shape is a vector", "refused", of("random_", lambda call, *_: "shape" in call.args and rank(call, "shape") == 2)),
    Difference("mode is logits or probs", "refused", of("random_categorical", lambda call, *_: call.args.get("mode") == {"s": "logit"})),
    Difference("a scalar has no classes", "refused", of("random_categorical", lambda call, *_: rank(call) == 0)),
    Difference("a size is at least 1", "refused", of(("resize", "crop_resize", "affine"), lambda call, *_: any(min(numbers(call, name) or [1]) < 1 for name in SIZES))),
    Difference("a size is at least 1", "refused", of("upsample_", lambda call, *_: scale(call) < 0.15)),
    Difference("a size is 0 (as it is) or more", "refused", of("resize", below("shape", 0))),
    Difference("a size is a scalar", "refused", of("resize_", lambda call, *_: rank(call, "target_size_height") == 1)),
    Difference("nobody says what both together are", "refused", of("upsample_bilinear", lambda call, opset, *_: opset > 15 and aligned_by_half(call))),
    Difference("there is something to be read", "refused", of(("resample", "affine", "crop_resize"), lambda call, *_: "0" in dims(call)[2:])),
    Difference("modes are those that are documented", "refused", of(("resample", "affine"), unknown_mode)),
    Difference("there is a matrix for each image, or one", "refused", of("affine", lambda call, *_: dims(call, "transform_matrix")[0] == "3")),
    Difference("the documentation's result, not that of all images, where a box has an image", "none",
               of("crop_resize", lambda call, opset, *_: opset < 17 and dims(call)[0] != "1" and "5" in dims(call, "roi"))),
    Difference("roi has 4 or 5 numbers a box", "refused", of("crop_resize", lambda call, opset, *_: opset < 17 and "roi" in call.args and dims(call, "roi")[2] not in "45")),
    Difference("an index is of an image", "refused", of("crop_resize", lambda call, opset, *_: opset >= 17 and min(numbers(call, "box_indices") or [0]) < 0)),
    Difference("the number of boxes may be a symbol", "none", of("crop_resize", lambda call, opset, *_: opset >= 17 and call.args.get("boxes") == "fp32[n,4]", ("refused",))),
    Difference("in registry.json, and looked at once", "none", of("resize", lambda call, opset, *_: call.op == "resize" and opset < 17 and "x" in call.args, ("refused",))),
    Difference("in registry.json, and looked at once", "none", of("crop_resize", wrong_opset, ("refused",))),
    Difference("in registry.json, and looked at once", "none",
               of("non_maximum_suppression", lambda call, opset, *_: ("score_threshold" in call.args) == (opset >= 17) and call.args["boxes"] != "fp32[2,7,4]", ("refused",))),
    Difference("boxes and scores go together", "refused", of("non_maximum_suppression", boxes_misfit)),
    Difference("max_boxes is a number of 0 or more", "refused", of("non_maximum_suppression", lambda call, *_: rank(call, "max_boxes") == 1 or min(numbers(call, "max_boxes") or [0]) < 0)),
    Difference("a code's bits, kind and scales are possible ones", "refused", of("conv_quantized", unknown_code)),
    Difference("coremltools stumbles over its own message", "refused", of("crop_resize", begins_with("KeyError"), ("broke",))),
    Difference("pred is one bool", "refused", of("cond", lambda call, *_: call.args["pred"] == "bool[2]")),
    Difference("both blocks give as many values", "refused", of("cond", lambda call, *_: len({len(gives) for gives in call.blocks}) > 1)),
    Difference("the second block gives each loop variable's next value", "refused",
               of("while_loop", lambda call, *_: len(call.blocks[1]) != len(call.args["loop_vars"]))),
    Difference("the first block gives one bool", "refused",
               of("while_loop", lambda call, *_: call.blocks[0] == ["=0"] or call.inputs.get("go") in ("bool[2]", "fp32"))),
    Difference("dtypes are those that are documented", "refused",
               of("make_list", lambda call, *_: call.args.get("dtype", {"s": "fp32"})["s"] not in ("bool", "fp16", "fp32", "int32"))),
    Difference("all elements have the shape of the one that is written", "none",
               of("list_write", lambda call, *_: "'k'" in str(call.args["ls"]) and call.args["value"] in ("fp32[2,3]", "fp32[3,3]"))),
    Difference("indices are a vector", "refused", of("list_gather", lambda call, *_: rank(call, "indices") == 2)),
    Difference("a size that the run decides may be right", "none", of("list_scatter", lambda call, *_: "[n" in str(call.args), ("refused",))),
    Difference("states exist from ios18 on", "refused", of("", lambda call, opset, *_: opset < 18 and "state<" in str((call.args, call.inputs)))),
    Difference("an unknown rank is no rank of 1", "none",
               of(("shape", "non_zero", "reshape"), lambda call, *_: isinstance(call.args.get("x"), dict) and call.args["x"].get("op") == "fill")),
    Difference("weights, bias and states have the sizes of one layer", "refused", of(tuple(RECURRENT), layer_misfits)),
    Difference("an activation is one of those that are documented", "refused", of(tuple(RECURRENT), activation_unknown)),
]


def judge(call, opset, kind, answer, said):
    for each in EXCEPTIONS:
        if each.applies(call, opset, kind, answer):
            said[f"{call.op}: {each.reason} ({each.verdict})"] += 1
            if each.verdict == "x":
                return "out", [call.args["x"].replace(",", ", ")]
            return (each.verdict, each.reason)
    if kind in ("broke", "unasked"):
        said[f"{call.op}: {kind}: {answer[:100]} (no verdict)"] += 1
    return kind, answer
