/* SPDX-License-Identifier: MIT */
/* The kernels in plain C. */
#include <math.h>
#include <string.h>

#define MIL__ISA scalar
#include "engine/cpu/simd/scalar.h"
#include "engine/cpu/kernels/all.inc"
