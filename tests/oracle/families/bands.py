# SPDX-License-Identifier: MIT
"""tensor_operation, continued: band_part, cumsum; and image_resizing's crop."""

from calls import call, drawn, flag, integer, ints, maybe


def band_part():
    for number, (lower, upper) in enumerate(((None, None), (0, 0), (1, -1), (-1, 0), (1, 2), (9, 0), (-1, 1))):
        yield call("band_part", x=("fp32", "fp16")[number % 2] + ("[3,4]", "[4,2]")[number % 3 == 2], lower=maybe(integer, lower), upper=maybe(integer, upper))
    yield call("band_part", x="fp32[2,3,3]", lower=integer(1), upper=integer(0))
    yield call("band_part", x="fp32[a,3]", lower=integer(1), upper=integer(0), bind={"a": 2})
    for dtype in ("bool", "int32", "int8"):
        yield call("band_part", x=dtype + "[3,3]", lower=integer(0))
    yield call("band_part", x="fp32[3,3]", lower="int32")


def cumsum():
    for number, (x, axis) in enumerate((("[5]", None), ("[3,4]", 0), ("[3,4]", 1), ("[3,4]", -1), ("[2,3,2]", 1))):
        for exclusive, reverse in ((None, None), (True, None), (None, True), (True, True)):
            yield call("cumsum", x=("fp32", "fp16", "int32")[number % 3] + x, axis=maybe(integer, axis), exclusive=maybe(flag, exclusive), reverse=maybe(flag, reverse))
    yield call("cumsum", x="fp32[a,3]", axis=integer(0), bind={"a": 4})
    yield call("cumsum", x="fp32[3]", axis=integer(1))
    yield call("cumsum", x="int8[3]")


def crop():
    for number, (x, height, width) in enumerate((("[1,4,5]", (1, 2), (0, 3)), ("[2,1,3,4]", (0, 0), (1, 1)), ("[2,1,3,4]", (2, 0), (0, 0)), ("[a,3,4]", (1, 1), (0, 1)))):
        yield call("crop", x=("fp32", "fp16")[number % 2] + x, crop_height=ints(*height), crop_width=ints(*width), bind={"a": 2} if "a" in x else {})
    yield call("crop", x="fp32[3,4]", crop_height=ints(1, 1), crop_width=ints(0, 1))
    yield call("crop", x="fp32[1,3,4]", crop_height=ints(1, 1, 1), crop_width=ints(0, 1))
    yield call("crop", x="int32[1,3,4]", crop_height=ints(1, 1), crop_width=ints(0, 1))
    yield call("crop", x=drawn("fp32[1,3,4]"), crop_height=ints(1, 1), crop_width=ints(0, 1))
    yield call("crop", x="fp32[1,3,4]", crop_height=ints(1, 1))


def calls():
    yield from band_part()
    yield from cumsum()
    yield from crop()
