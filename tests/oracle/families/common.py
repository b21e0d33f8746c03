# SPDX-License-Identifier: MIT
"""Shapes and dtypes that families share. Shapes are text, as in the notation of calls."""

DTYPES = ["bool", "fp16", "fp32", "int8", "int16", "int32", "uint8", "uint16"]

# ranks 0 to 6, extents around the width of a vector register, an empty one
SHAPES = ["", "[1]", "[5]", "[17]", "[2,3]", "[3,1,7]", "[2,0,3]", "[1,2,3,2]", "[1,2,1,2,3]", "[1,1,2,1,1,2]"]

# with sizes for the symbols
SYMBOLIC = [("[a]", {"a": 3}), ("[a,3]", {"a": 2}), ("[2,a,b]", {"a": 3, "b": 1})]
