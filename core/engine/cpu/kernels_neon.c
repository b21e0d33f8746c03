/* SPDX-License-Identifier: MIT */
/* The kernels for arm64, whose baseline has NEON with fused multiply-add and fp16 conversions. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#define MIL__ISA neon
#include "engine/cpu/simd/neon.h"
#include "engine/cpu/kernels/all.inc"
#endif
typedef int mil__kernels_neon_is_not_empty; /* elsewhere */
