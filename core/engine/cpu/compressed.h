/* SPDX-License-Identifier: MIT */
/* Weights that stay compressed (compressed.c). */
#ifndef MIL__CPU_COMPRESSED_H
#define MIL__CPU_COMPRESSED_H

#include "engine/cpu/steps.h"
#include "ops/compressed.h"

/* What a slot is expanded from; NULL: it was never compressed. Kernels that read it so take no notice of the slot. */
static inline const mil__compressed *mil__source_of(const mil__lower *lower, uint32_t slot) {
    return mil__slot_at(lower, slot)->source;
}
/* Sees to it that a slot has memory of its own during the run: appends a step that expands it, the first time. In a nested block
 * an outer value gets a slot for that block alone, which *slot is then. */
mil_status mil__slot_dense(mil__lower *lower, uint32_t *slot);
/* The same for all operands of a group, but for the first operation's parameters whose names begin with `but`: NULL: for all;
 * "": for none, for constexpr operations alone. */
mil_status mil__group_dense(mil__lower *lower, const mil__group *group, const char *but);

/* Takes slot b's elements, from the first of a line that is dense on, for the matrix: a const is packed, once; a compressed one
 * stays as it is, whose elements gemm expands; else gemm reads what the run sets. Before the plan. */
mil_status mil__gemm_take_b(mil__lower *lower, mil__gemm *gemm, uint32_t b, size_t line);

#endif
