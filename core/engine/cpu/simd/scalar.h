/* SPDX-License-Identifier: MIT */
/* Vectors of one element, in plain C. The names that each simd/<isa>.h defines, for kernels to be written on:
 *
 *   vf, vi, vm        VL floats, VL int32s, VL truths
 *   v_load v_store    fp32 anywhere; v_load_h v_store_h: fp16 (rounding to nearest even)
 *   v_load_i8 v_load_u8   bytes, as floats
 *   v_look_up(table, p)   table[p[0]], ..; p: bytes below 16
 *   b_place, f_place  to[i] = values[at[i]], 0 where at[i] > 7: eight of them, whatever VL is; all eight values are read
 *   v_load_even       p[0], p[2], ..; reads 2 VL floats
 *   v_gather(base, p) base[p[0]], ..; p: int32s
 *   v_fma(a, b, c)    a * b + c, fused where the processor can; v_fnma: c - a * b
 *   v_min(a, b) v_max(a, b)   b where either is NaN
 *   v_lt ..           truths; v_pick(m, a, b): m ? a : b; v_one(m): 1 or 0
 *   v_sum v_top       over the lanes: the sum, the largest
 *   i_..              the same on int32s; v_to_i: rounds to nearest; v_trunc_i: towards 0; v_bits, i_bits: the same bits
 *
 * and the shape of gemm's register tile: GEMM_MR rows of GEMM_NV vectors. */
#ifndef MIL__SIMD_H
#define MIL__SIMD_H

#include <stdint.h>

#include "tensor/tensor.h"

enum { VL = 1, GEMM_MR = 4, GEMM_NV = 4 };

typedef float vf;
typedef int32_t vi;
typedef int vm;

static inline vf v_load(const float *p) { return *p; }
static inline void v_store(float *p, vf a) { *p = a; }
static inline vf v_load_h(const uint16_t *p) { return mil__half_to_float(*p); }
static inline void v_store_h(uint16_t *p, vf a) { *p = mil__float_to_half(a); }
static inline vf v_load_i8(const int8_t *p) { return *p; }
static inline vf v_load_u8(const uint8_t *p) { return *p; }
static inline vf v_look_up(const float table[16], const uint8_t *p) { return table[*p]; }
static inline void b_place(uint8_t *to, const uint8_t *values, const uint8_t *at) {
    for (int i = 0; i < 8; i++) to[i] = at[i] < 8 ? values[at[i]] : 0;
}
static inline void f_place(float *to, const float *values, const uint8_t *at) {
    for (int i = 0; i < 8; i++) to[i] = at[i] < 8 ? values[at[i]] : 0;
}
static inline vf v_load_even(const float *p) { return *p; }
static inline vf v_gather(const float *base, const int32_t *at) { return base[*at]; }
static inline vf v_set(float x) { return x; }
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
static inline vf v_fnma(vf a, vf b, vf c) { return c - a * b; }
static inline vf v_min(vf a, vf b) { return a < b ? a : b; }
static inline vf v_max(vf a, vf b) { return a > b ? a : b; }
static inline vf v_sqrt(vf a) { return sqrtf(a); }
static inline vf v_abs(vf a) { return fabsf(a); }
static inline vf v_floor(vf a) { return floorf(a); }
static inline vf v_ceil(vf a) { return ceilf(a); }
static inline vf v_round(vf a) { return rintf(a); }
static inline vf v_copysign(vf a, vf sign) { return copysignf(a, sign); }
static inline float v_sum(vf a) { return a; }
static inline float v_top(vf a) { return a; }

static inline vm v_lt(vf a, vf b) { return a < b; }
static inline vm v_le(vf a, vf b) { return a <= b; }
static inline vm v_eq(vf a, vf b) { return a == b; }
static inline vm v_ne(vf a, vf b) { return a != b; }
static inline vm m_and(vm a, vm b) { return a & b; }
static inline vm m_or(vm a, vm b) { return a | b; }
static inline vm m_xor(vm a, vm b) { return a ^ b; }
static inline vf v_pick(vm m, vf a, vf b) { return m ? a : b; }
static inline vf v_one(vm m) { return m ? 1.0f : 0.0f; }

static inline vi i_load(const int32_t *p) { return *p; }
static inline void i_store(int32_t *p, vi a) { *p = a; }
static inline vi i_set(int32_t x) { return x; }
static inline vi i_add(vi a, vi b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline vi i_sub(vi a, vi b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
static inline vi i_mul(vi a, vi b) { return (int32_t)((uint32_t)a * (uint32_t)b); }
static inline vi i_min(vi a, vi b) { return a < b ? a : b; }
static inline vi i_max(vi a, vi b) { return a > b ? a : b; }
static inline vi i_and(vi a, vi b) { return a & b; }
static inline vm i_eq(vi a, vi b) { return a == b; }
static inline vm i_lt(vi a, vi b) { return a < b; }
#define i_shl(a, n) ((vi)((uint32_t)(a) << (n)))
#define i_sar(a, n) ((vi)((a) >> (n)))
static inline vf i_to_v(vi a) { return (float)a; }
static inline vi v_to_i(vf a) { /* what the processors give out of range */
    return a >= -2147483648.0f && a < 2147483648.0f ? (int32_t)rintf(a) : INT32_MIN;
}
static inline vi v_trunc_i(vf a) { return a >= -2147483648.0f && a < 2147483648.0f ? (int32_t)a : INT32_MIN; }
static inline vi v_bits(vf a) {
    vi to;
    memcpy(&to, &a, sizeof to);
    return to;
}
static inline vf i_bits(vi a) {
    vf to;
    memcpy(&to, &a, sizeof to);
    return to;
}

#endif
