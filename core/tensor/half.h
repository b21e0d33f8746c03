/* SPDX-License-Identifier: MIT */
/* One number of the formats fp16 and bf16, to and from float and double: exact, rounding to nearest even. NaN stays NaN with
 * its sign and the upper bits of its payload, made quiet, as the F16C and NEON instructions have it.
 *
 *   fp16   s eeeee mmmmmmmmmm                    exponent bias 15; e = 0: m * 2^-24
 *   bf16   s eeeeeeee mmmmmmm                    the upper half of a float
 *   float  s eeeeeeee mmmmmmmmmmmmmmmmmmmmmmm    exponent bias 127 */
#ifndef MIL__HALF_H
#define MIL__HALF_H

#include "tensor/tensor.h"

static inline uint32_t mil__float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float mil__bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float mil__half_to_float_inline(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    if (exponent == 0) /* exact: m is an integer, and 2^-24 a power of two */
        return mil__bits_float(sign | mil__float_bits((float)mantissa * 0x1p-24f));
    if (exponent == 31) return mil__bits_float(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    return mil__bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t mil__float_to_half_inline(float value) {
    uint32_t bits = mil__float_bits(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x1ff));
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520, half way to 65536, and above */
    if (size < 0x38800000) { /* below 2^-14: adding 2^-1 shifts out, and rounds, all but the multiples of 2^-24 */
        float sum = mil__bits_float(size) + 0x1p-1f;
        return (uint16_t)(sign | (mil__float_bits(sum) - 0x3f000000));
    }
    uint32_t odd = size >> 13 & 1; /* the remainder above a half, or a half with an odd number before it, carries */
    return (uint16_t)(sign | ((size - (112u << 23) + 0xfff + odd) >> 13));
}

static inline float mil__bf16_to_float_inline(uint16_t value) { return mil__bits_float((uint32_t)value << 16); }

static inline uint16_t mil__float_to_bf16_inline(float value) {
    uint32_t bits = mil__float_bits(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, nan = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

/* The float towards which a double may be rounded before it is rounded again to a shorter format: the nearest, or where
 * that is not equal, the one of the two neighbours whose last bit is 1. Such a number lies on the same side of every number
 * and half-way point of the shorter format as the double does. */
static inline float mil__double_to_odd_float(double value) {
    float nearest = (float)value;
    uint32_t bits = mil__float_bits(nearest);
    if ((double)nearest == value || value != value || (bits & 1)) return nearest;
    bool too_far = value < 0 ? (double)nearest < value : (double)nearest > value; /* beyond value, seen from 0 */
    return mil__bits_float(too_far ? bits - 1 : bits + 1);
}

#endif
