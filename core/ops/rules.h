/* SPDX-License-Identifier: MIT */
/* Shape rules and small helpers that families share, and the inference and evaluation functions that stanzas of several
 * ops name. */
#ifndef MIL__RULES_H
#define MIL__RULES_H

#include "ops/op.h"

/* NumPy's broadcasting over mil_dims (facts: mil-types-and-rules.md section 3): right aligned; equal dims stay; 1 gives
 * way; a known size above 1 wins over a symbol; two different symbols give a fresh one; an unknown rank gives one. out has room
 * for MIL_MAX_RANK.
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

/* Fails (MIL_EVALUE) where indices of an axis of x are more than the dtype holds: uint16 has 65536 of them. */
mil_status mil__index_dtype_fits(mil__call *call, int axis, mil_dtype dtype);

/* A parameter that must be a vector: its values, as mil__get_ints has them. A value that is not known fails too. */
mil_status mil__get_vector(mil__call *call, const char *name, int max, int64_t *out, int *n);
/* Fails (MIL_ETYPE) unless the parameter's type is a vector; *length is its extent, maybe symbolic. */
mil_status mil__is_vector(mil__call *call, const char *name, mil_dim *length);
/* Axes of a vector parameter as 0..rank-1, each at most once. */
mil_status mil__get_axis_list(mil__call *call, const char *name, int rank, int *out, int *n);

/* An int32 value as far as it is known, in C order and in call->arena: its data, or its symbols; NULL where there is neither,
 * or where it has more than MIL__MAX_SYM elements. fresh: an element that is not known becomes a symbol of its own. */
enum { MIL__MAX_SYM = 64 };
const mil_dim *mil__symbols(mil__call *call, const mil__operand *operand, bool fresh);
static inline bool mil__is_static(const mil_type *type) {
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] < 0) return false;
    return true;
}

/* ---- moving elements ---- */

/* Bytes of an element; dtypes of whole bytes only. */
static inline size_t mil__element_size(mil_dtype dtype) { return (size_t)mil_dtype_bits(dtype) / 8; }
/* One element; the sizes that dtypes have are copied without a call. */
static inline void mil__copy_element(void *to, const void *from, size_t size) {
    switch (size) {
    case 1: memcpy(to, from, 1); break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    default: memcpy(to, from, size);
    }
}
/* An element of `size` bytes again and again, `total` bytes of it. */
void mil__fill(void *dst, const void *element, size_t size, size_t total);
/* A line of n elements of `size` bytes (1, 2, 4 or 8); steps in elements, 0 and negative ones too. */
void mil__copy_line(void *dst, int64_t dst_step, const void *src, int64_t src_step, size_t n, size_t size);
/* Copies a box of elements as they are. dst and src point at its first ones; strides are in elements, 0 and negative ones
 * too. */
void mil__move(mil_dtype dtype, int rank, const int64_t *shape, void *dst, const int64_t *dst_strides, const void *src,
               const int64_t *src_strides);
/* result[i, j, ..] = x[maps[0][i], maps[1][j], ..]; where a map has -1 the result keeps what it has. */
void mil__take(const mil_tensor *x, const int64_t *const *maps, mil_tensor *result);
/* The elements of a tensor of any strides, in C order, into contiguous memory. */
void mil__gather_contiguous(const mil_tensor *tensor, void *dst);
/* Them in C order: where they lie, or a copy in call->arena. Fails: MIL_ENOMEM. */
mil_status mil__dense(mil__call *call, const mil_tensor *tensor, const void **out);

/* One result whose sizes are the values of the parameter `shape`, fresh symbols where they are not known; of unknown rank where
 * not even their number is. */
mil_status mil__infer_of_shape(mil__call *call, mil_dtype dtype);
/* One result of x's type (x: the first parameter). */
mil_status mil__infer_like_first(mil__call *call);

#endif
