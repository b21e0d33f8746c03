/* SPDX-License-Identifier: MIT */
/* Plain evaluation of batched matrix products, for linear, matmul, einsum and attention. */
#ifndef MIL__PRODUCTS_H
#define MIL__PRODUCTS_H

#include "ops/op.h"

/* result[b, i, j] = sum over l of x[b, i, l] * y[b, l, j], + bias[j]. Strides count elements and may be 0; those of x and y
 * are for contiguous copies of the tensors. */
typedef struct mil__product {
    const mil_tensor *x, *y;
    const mil_tensor *bias;  /* n values; or NULL */
    mil_tensor *result;
    int rank;                /* of the batch */
    int64_t batch[MIL_MAX_RANK], x_batch[MIL_MAX_RANK], y_batch[MIL_MAX_RANK], result_batch[MIL_MAX_RANK];
    int64_t m, n, k;
    int64_t x_row, x_column, y_row, y_column, result_row; /* rows of the result are contiguous */
} mil__product;

/* In doubles, each result rounded once; where all is int32, in integers that wrap around. Fails: MIL_ENOMEM. */
mil_status mil__multiply(const mil__product *product, mil__arena *arena, mil_error *err);

/* row[j] = sum over l of x[l * x_column] * y[l * y_row + j * y_column], over n and k. */
void mil__product_row(int64_t n, int64_t k, const double *x, int64_t x_column, const double *y, int64_t y_row,
                      int64_t y_column, double *row);

#endif
