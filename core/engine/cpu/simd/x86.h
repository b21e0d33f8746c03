/* SPDX-License-Identifier: MIT */
/* What AVX2 and AVX-512 do alike, in vectors of 8. Compiled for whichever includes it. */
#ifndef MIL__SIMD_X86_H
#define MIL__SIMD_X86_H

#include <immintrin.h>
#include <stdint.h>

static inline void b_place(uint8_t *to, const uint8_t *values, const uint8_t *at) {
    __m128i spots = _mm_loadl_epi64((const __m128i *)at);
    _mm_storel_epi64((__m128i *)to, _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)values), spots));
}
static inline void f_place(float *to, const float *values, const uint8_t *at) {
    __m256i spots = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)at));
    __m256i none = _mm256_srai_epi32(_mm256_slli_epi32(spots, 24), 31);
    __m256 placed = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), spots);
    _mm256_storeu_ps(to, _mm256_andnot_ps(_mm256_castsi256_ps(none), placed));
}

#endif
