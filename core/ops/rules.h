/* SPDX-License-Identifier: MIT */
/* Shape rules and small helpers that families share, and the inference and evaluation functions that stanzas of several
 * ops name. */
#ifndef MIL__RULES_H
#define MIL__RULES_H

#include "ops/op.h"

/* NumPy's broadcasting over mil_dims (facts: mil-types-and-rules.md section 3): right aligned; equal dims stay; 1 gives
 * way; a known size above 1 wins over a symbol; two different symbols give a fresh one. out has room for MIL_MAX_RANK.
 * Fails (MIL_ETYPE), naming both operands, where known sizes differ or the rank would pass MIL_MAX_RANK. */
mil_status mil__broadcast(mil__call *call, const char *a_name, const char *b_name, int *rank, mil_dim *out);
/* The same over plain shapes: a (rank ra) with b (rank rb). False where they do not broadcast. */
bool mil__broadcast_dims(mil__types *types, int ra, const mil_dim *a, int rb, const mil_dim *b, int *rank, mil_dim *out);
/* Strides of a tensor seen in a larger shape: 0 along axes that broadcast. */
void mil__broadcast_strides(const mil_tensor *tensor, int rank, int64_t *strides);

/* axis (may count from the end) as 0..rank-1. Fails (MIL_EVALUE) out of range. */
mil_status mil__axis(mil__call *call, const char *param, int64_t axis, int rank, int *out);
/* Shorthands over an operand's type. */
static inline int mil__rank(const mil__operand *operand) { return operand->type->rank; }
static inline mil_dim mil__dim(const mil__operand *operand, int axis) { return operand->type->shape[axis]; }

/* ---- moving elements ---- */

/* Bytes of an element; dtypes of whole bytes only. */
static inline size_t mil__element_size(mil_dtype dtype) { return (size_t)mil_dtype_bits(dtype) / 8; }
/* Copies a box of elements as they are. dst and src point at its first ones; strides are in elements, 0 and negative ones
 * too. */
void mil__move(mil_dtype dtype, int rank, const int64_t *shape, void *dst, const int64_t *dst_strides, const void *src,
               const int64_t *src_strides);
/* The elements of a tensor of any strides, in C order, into contiguous memory. */
void mil__gather_contiguous(const mil_tensor *tensor, void *dst);

/* One result of x's type (x: the first parameter). */
mil_status mil__infer_like_first(mil__call *call);

#endif
