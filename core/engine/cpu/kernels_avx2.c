/* SPDX-License-Identifier: MIT */
/* The kernels for x86-64 with AVX2, FMA and F16C. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define MIL__ISA avx2
#include "engine/cpu/simd/avx2.h"
#include "engine/cpu/kernels/all.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
typedef int mil__kernels_avx2_is_not_empty; /* elsewhere */
