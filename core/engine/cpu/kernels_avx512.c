/* SPDX-License-Identifier: MIT */
/* The kernels for x86-64 with AVX-512 (F, BW, DQ, VL). */
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

#define MIL__ISA avx512
#include "engine/cpu/simd/avx512.h"
#include "engine/cpu/kernels/all.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
typedef int mil__kernels_avx512_is_not_empty; /* elsewhere */
