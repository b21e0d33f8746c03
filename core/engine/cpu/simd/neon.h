/* SPDX-License-Identifier: MIT */
/* Vectors of 4 on NEON. What the names mean: scalar.h. Out of range v_to_i and v_trunc_i saturate, where x86 gives
 * INT32_MIN: kernels do not rely on either. */
#ifndef MIL__SIMD_H
#define MIL__SIMD_H

#include "tensor/tensor.h"

enum { VL = 4, GEMM_MR = 8, GEMM_NV = 2 }; /* 16 accumulators, 8 of a, 2 of b, of 32 registers */

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;

static inline vf v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vf a) { vst1q_f32(p, a); }
static inline vf v_load_h(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline void v_store_h(uint16_t *p, vf a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a))); }
static inline vf v_load_i8(const int8_t *p) {
    int8x8_t bytes = vdup_n_s8(0);
    memcpy(&bytes, p, VL);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
static inline vf v_load_u8(const uint8_t *p) {
    uint8x8_t bytes = vdup_n_u8(0);
    memcpy(&bytes, p, VL);
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
}
static inline vf v_look_up(const float table[16], const uint8_t *p) {
    const float lanes[VL] = {table[p[0]], table[p[1]], table[p[2]], table[p[3]]};
    return vld1q_f32(lanes);
}
static inline void b_place(uint8_t *to, const uint8_t *values, const uint8_t *at) {
    vst1_u8(to, vtbl1_u8(vld1_u8(values), vld1_u8(at)));
}
static inline void f_place(float *to, const float *values, const uint8_t *at) {
    for (int i = 0; i < 8; i++) to[i] = at[i] < 8 ? values[at[i]] : 0;
}
static inline vf v_load_even(const float *p) { return vuzp1q_f32(vld1q_f32(p), vld1q_f32(p + 4)); }
static inline vf v_gather(const float *base, const int32_t *at) {
    const float lanes[VL] = {base[at[0]], base[at[1]], base[at[2]], base[at[3]]};
    return vld1q_f32(lanes);
}
static inline vf v_set(float x) { return vdupq_n_f32(x); }
static inline vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf v_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
static inline vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); } /* vminq would give NaN for either */
static inline vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf v_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vf v_abs(vf a) { return vabsq_f32(a); }
static inline vf v_floor(vf a) { return vrndmq_f32(a); }
static inline vf v_ceil(vf a) { return vrndpq_f32(a); }
static inline vf v_round(vf a) { return vrndnq_f32(a); }
static inline vf v_copysign(vf a, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }
static inline float v_sum(vf a) { return vaddvq_f32(a); }
static inline float v_top(vf a) { return vmaxvq_f32(a); }

static inline vm v_lt(vf a, vf b) { return vcltq_f32(a, b); }
static inline vm v_le(vf a, vf b) { return vcleq_f32(a, b); }
static inline vm v_eq(vf a, vf b) { return vceqq_f32(a, b); }
static inline vm v_ne(vf a, vf b) { return vmvnq_u32(vceqq_f32(a, b)); }
static inline vm m_and(vm a, vm b) { return vandq_u32(a, b); }
static inline vm m_or(vm a, vm b) { return vorrq_u32(a, b); }
static inline vm m_xor(vm a, vm b) { return veorq_u32(a, b); }
static inline vf v_pick(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
static inline vf v_one(vm m) { return vbslq_f32(m, vdupq_n_f32(1.0f), vdupq_n_f32(0.0f)); }

static inline vi i_load(const int32_t *p) { return vld1q_s32(p); }
static inline void i_store(int32_t *p, vi a) { vst1q_s32(p, a); }
static inline vi i_set(int32_t x) { return vdupq_n_s32(x); }
static inline vi i_add(vi a, vi b) { return vaddq_s32(a, b); }
static inline vi i_sub(vi a, vi b) { return vsubq_s32(a, b); }
static inline vi i_mul(vi a, vi b) { return vmulq_s32(a, b); }
static inline vi i_min(vi a, vi b) { return vminq_s32(a, b); }
static inline vi i_max(vi a, vi b) { return vmaxq_s32(a, b); }
static inline vi i_and(vi a, vi b) { return vandq_s32(a, b); }
static inline vm i_eq(vi a, vi b) { return vceqq_s32(a, b); }
static inline vm i_lt(vi a, vi b) { return vcltq_s32(a, b); }
#define i_shl(a, n) vshlq_n_s32((a), (n))
#define i_sar(a, n) vshrq_n_s32((a), (n))
static inline vf i_to_v(vi a) { return vcvtq_f32_s32(a); }
static inline vi v_to_i(vf a) { return vcvtnq_s32_f32(a); }
static inline vi v_trunc_i(vf a) { return vcvtq_s32_f32(a); }
static inline vi v_bits(vf a) { return vreinterpretq_s32_f32(a); }
static inline vf i_bits(vi a) { return vreinterpretq_f32_s32(a); }

#endif
