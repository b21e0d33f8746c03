/* SPDX-License-Identifier: MIT */
/* The words in which stanzas (the .def files) are written. For op.c, which makes the table, and for nobody else. */
#ifndef MIL__STANZA_H
#define MIL__STANZA_H

#include "ops/op.h"

#define IOS15 MIL_IOS15
#define IOS16 MIL_IOS16
#define IOS17 MIL_IOS17
#define IOS18 MIL_IOS18

/* What stands in a row's `type`: a letter (a domain of the op), or a set of dtypes. 0 is any dtype. */
enum {
    BOOL = MIL__SET(MIL_BOOL), STRING = MIL__SET(MIL_STRING), FP16 = MIL__SET(MIL_FP16), FP32 = MIL__SET(MIL_FP32),
    INT4 = MIL__SET(MIL_INT4), INT8 = MIL__SET(MIL_INT8), INT16 = MIL__SET(MIL_INT16), INT32 = MIL__SET(MIL_INT32),
    INT64 = MIL__SET(MIL_INT64), UINT1 = MIL__SET(MIL_UINT1), UINT2 = MIL__SET(MIL_UINT2), UINT3 = MIL__SET(MIL_UINT3),
    UINT4 = MIL__SET(MIL_UINT4), UINT6 = MIL__SET(MIL_UINT6), UINT8 = MIL__SET(MIL_UINT8),
    UINT16 = MIL__SET(MIL_UINT16), UINT32 = MIL__SET(MIL_UINT32), UINT64 = MIL__SET(MIL_UINT64),
    FLOATS = FP16 | FP32
};

/* Positional kinds and the endings of a row, as stanzas write them. */
#define TENSOR     MIL_PARAM_TENSOR
#define CONST      MIL_PARAM_CONST
#define TUPLE      MIL_PARAM_TUPLE
#define LIST       MIL_PARAM_LIST
#define STATE      MIL_PARAM_STATE
#define ANY        MIL_PARAM_ANY
#define OPTIONAL   .given = MIL__OPTIONAL
#define DEFAULT_I(v) .given = MIL__INT, .number = (v)
#define DEFAULT_F(v) .given = MIL__FLOAT, .number = (v)
#define DEFAULT_B(v) .given = MIL__BOOL_, .number = (v)
#define DEFAULT_S(v) .given = MIL__TEXT, .text = (v)

#define INPUTS(...)  (const mil__param[]){__VA_ARGS__, {0}}
#define DOMAINS(...) (const mil__domain[]){__VA_ARGS__, {0}}

#endif
