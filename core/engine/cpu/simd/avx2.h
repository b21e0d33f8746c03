/* SPDX-License-Identifier: MIT */
/* Vectors of 8 on AVX2, FMA and F16C. What the names mean: scalar.h. */
#ifndef MIL__SIMD_H
#define MIL__SIMD_H

#include "engine/cpu/simd/x86.h"
#include "tensor/tensor.h"

enum { VL = 8, GEMM_MR = 6, GEMM_NV = 2 }; /* 12 accumulators, 2 of b, 2 of a: all 16 registers */

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf v_load_h(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline void v_store_h(uint16_t *p, vf a) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
static inline vf v_load_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline vf v_load_u8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline vf v_look_up(const float table[16], const uint8_t *p) {
    __m256i at = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), at);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), at);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
}
static inline vf v_load_even(const float *p) {
    __m256 pairs = _mm256_shuffle_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8), _MM_SHUFFLE(2, 0, 2, 0));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), _MM_SHUFFLE(3, 1, 2, 0)));
}
static inline vf v_gather(const float *base, const int32_t *at) {
    return _mm256_i32gather_ps(base, _mm256_loadu_si256((const __m256i *)at), 4);
}
static inline vf v_set(float x) { return _mm256_set1_ps(x); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf v_sign_bit(void) { return _mm256_set1_ps(-0.0f); }
static inline vf v_abs(vf a) { return _mm256_andnot_ps(v_sign_bit(), a); }
static inline vf v_floor(vf a) { return _mm256_floor_ps(a); }
static inline vf v_ceil(vf a) { return _mm256_ceil_ps(a); }
static inline vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_copysign(vf a, vf sign) {
    return _mm256_or_ps(_mm256_andnot_ps(v_sign_bit(), a), _mm256_and_ps(v_sign_bit(), sign));
}
static inline float v_sum(vf a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float v_top(vf a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

static inline vm v_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm v_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline vm v_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vm v_ne(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }
static inline vm m_and(vm a, vm b) { return _mm256_and_ps(a, b); }
static inline vm m_or(vm a, vm b) { return _mm256_or_ps(a, b); }
static inline vm m_xor(vm a, vm b) { return _mm256_xor_ps(a, b); }
static inline vf v_pick(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
static inline vf v_one(vm m) { return _mm256_and_ps(m, _mm256_set1_ps(1.0f)); }

static inline vi i_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void i_store(int32_t *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
static inline vi i_set(int32_t x) { return _mm256_set1_epi32(x); }
static inline vi i_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi i_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi i_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
static inline vi i_min(vi a, vi b) { return _mm256_min_epi32(a, b); }
static inline vi i_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
static inline vi i_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vm i_eq(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
static inline vm i_lt(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a)); }
#define i_shl(a, n) _mm256_slli_epi32((a), (n))
#define i_sar(a, n) _mm256_srai_epi32((a), (n))
static inline vf i_to_v(vi a) { return _mm256_cvtepi32_ps(a); }
static inline vi v_to_i(vf a) { return _mm256_cvtps_epi32(a); }
static inline vi v_trunc_i(vf a) { return _mm256_cvttps_epi32(a); }
static inline vi v_bits(vf a) { return _mm256_castps_si256(a); }
static inline vf i_bits(vi a) { return _mm256_castsi256_ps(a); }

#endif
