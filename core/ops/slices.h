/* SPDX-License-Identifier: MIT */
/* Plain evaluation along axes, for reductions, softmax and normalizations: a function of slices.
 *
 *   x [2, 3, 4], axes {1}: 8 slices of 3 elements, in C order of the other axes (0, 2)
 */
#ifndef MIL__SLICES_H
#define MIL__SLICES_H

#include "ops/op.h"

/* slice counts from 0; in: its n elements in C order, doubles or int64s; out: n results, or one. */
typedef void mil__slice_fn(const void *ctx, int64_t slice, int64_t n, const void *in, void *out);

/* Applies fn to each slice of the first parameter along `axes`, a bit each. as: MIL_FP64 or MIL_INT64, what fn reads and
 * writes. reduces: fn gives one result a slice, which the result has in C order; else as many as the slice has, which take
 * its place in a result of x's shape. Doubles round once, to integers toward zero; int64s wrap around to int32. */
mil_status mil__eval_slices(mil__call *call, uint32_t axes, mil_dtype as, bool reduces, mil__slice_fn *fn,
                            const void *ctx);

/* reduction's, over axes and over one axis. */
mil_status mil__infer_reduce(mil__call *call);
mil_status mil__infer_reduce_arg(mil__call *call);

/* The axes that a parameter lists, as bits; all where it is absent. Fails: MIL_EVALUE out of range or listed twice. */
mil_status mil__get_axes(mil__call *call, const char *name, int rank, uint32_t *out);

#endif
