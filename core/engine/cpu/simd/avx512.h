/* SPDX-License-Identifier: MIT */
/* Vectors of 16 on AVX-512 F, BW, DQ and VL. What the names mean: scalar.h. */
#ifndef MIL__SIMD_H
#define MIL__SIMD_H

#include "engine/cpu/simd/x86.h"
#include "tensor/tensor.h"

enum { VL = 16, GEMM_MR = 12, GEMM_NV = 2 }; /* 24 accumulators of 32 registers */

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf v_load_h(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline void v_store_h(uint16_t *p, vf a) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
static inline vf v_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline vf v_load_u8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline vf v_look_up(const float table[16], const uint8_t *p) {
    return _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)), _mm512_loadu_ps(table));
}
static inline vf v_load_even(const float *p) {
    __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(_mm512_loadu_ps(p), even, _mm512_loadu_ps(p + 16));
}
static inline vf v_gather(const float *base, const int32_t *at) { return _mm512_i32gather_ps(_mm512_loadu_si512(at), base, 4); }
static inline vf v_set(float x) { return _mm512_set1_ps(x); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf v_sign_bit(void) { return _mm512_set1_ps(-0.0f); }
static inline vf v_abs(vf a) { return _mm512_andnot_ps(v_sign_bit(), a); }
static inline vf v_floor(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static inline vf v_ceil(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
static inline vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_copysign(vf a, vf sign) {
    return _mm512_or_ps(_mm512_andnot_ps(v_sign_bit(), a), _mm512_and_ps(v_sign_bit(), sign));
}
static inline float v_sum(vf a) { return _mm512_reduce_add_ps(a); }
static inline float v_top(vf a) { return _mm512_reduce_max_ps(a); }

static inline vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm v_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vm v_ne(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
static inline vm m_and(vm a, vm b) { return a & b; }
static inline vm m_or(vm a, vm b) { return a | b; }
static inline vm m_xor(vm a, vm b) { return a ^ b; }
static inline vf v_pick(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
static inline vf v_one(vm m) { return _mm512_maskz_mov_ps(m, _mm512_set1_ps(1.0f)); }

static inline vi i_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline void i_store(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }
static inline vi i_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline vi i_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi i_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi i_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
static inline vi i_min(vi a, vi b) { return _mm512_min_epi32(a, b); }
static inline vi i_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
static inline vi i_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vm i_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
static inline vm i_lt(vi a, vi b) { return _mm512_cmplt_epi32_mask(a, b); }
#define i_shl(a, n) _mm512_slli_epi32((a), (n))
#define i_sar(a, n) _mm512_srai_epi32((a), (n))
static inline vf i_to_v(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vi v_to_i(vf a) { return _mm512_cvtps_epi32(a); }
static inline vi v_trunc_i(vf a) { return _mm512_cvttps_epi32(a); }
static inline vi v_bits(vf a) { return _mm512_castps_si512(a); }
static inline vf i_bits(vi a) { return _mm512_castsi512_ps(a); }

#endif
