/* SPDX-License-Identifier: MIT */
/* Plain evaluation of batched matrix products. Both operands are brought to contiguous doubles (or int64s); then,
 * row by row:
 *
 *          y [k, n]           one row of the result at a time: by sums of y's rows where those are contiguous,
 *   x [i]  . . . . . .        else by dot products along y's columns
 *   l -->  l v
 *          row [n]            + bias, rounded into the result
 */
#include <math.h>

#include "ops/products.h"
#include "ops/rules.h"

void mil__product_row(int64_t n, int64_t k, const double *x, int64_t x_column, const double *y, int64_t y_row,
                      int64_t y_column, double *row) {
    for (int64_t j = 0; j < n; j++) row[j] = 0;
    if (y_column == 1) {
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = 0; j < n; j++) row[j] += x[l * x_column] * y[l * y_row + j];
        return;
    }
    for (int64_t j = 0; j < n; j++)
        for (int64_t l = 0; l < k; l++) row[j] += x[l * x_column] * y[l * y_row + j * y_column];
}

static void int_row(int64_t n, int64_t k, const int64_t *x, int64_t x_column, const int64_t *y, int64_t y_row,
                    int64_t y_column, int64_t *row) {
    for (int64_t j = 0; j < n; j++) {
        uint64_t sum = 0;
        for (int64_t l = 0; l < k; l++)
            sum += (uint64_t)x[l * x_column] * (uint64_t)y[l * y_row + j * y_column];
        row[j] = (int64_t)sum;
    }
}

typedef struct work {
    const mil__product *p;
    mil_dtype as;                /* fp64 or int64 */
    char *x, *y, *bias, *row;    /* contiguous, 8 bytes an element */
} work;

static void float_result(const work *w, const char *x, const char *y) {
    const mil__product *p = w->p;
    double *row = (double *)(void *)w->row;
    const double *bias = (const double *)(const void *)w->bias;
    mil__product_row(p->n, p->k, (const void *)x, p->x_column, (const void *)y, p->y_row, p->y_column, row);
    if (p->bias) for (int64_t j = 0; j < p->n; j++) row[j] += bias[j];
    if (mil__dtype_is_int(p->result->dtype)) for (int64_t j = 0; j < p->n; j++) row[j] = trunc(row[j]);
}

static void int_result(const work *w, const char *x, const char *y) {
    const mil__product *p = w->p;
    int64_t *row = (int64_t *)(void *)w->row;
    const int64_t *bias = (const int64_t *)(const void *)w->bias;
    int_row(p->n, p->k, (const void *)x, p->x_column, (const void *)y, p->y_row, p->y_column, row);
    for (int64_t j = 0; j < p->n; j++)
        row[j] = (int32_t)((uint32_t)row[j] + (p->bias ? (uint32_t)bias[j] : 0));
}

static void matrices(void *ctx, int64_t count, const int64_t *at, const int64_t *steps) {
    const work *w = ctx;
    const mil__product *p = w->p;
    for (int64_t b = 0; b < count; b++) {
        const char *x = w->x + (at[0] + b * steps[0]) * 8, *y = w->y + (at[1] + b * steps[1]) * 8;
        int64_t to = at[2] + b * steps[2];
        for (int64_t i = 0; i < p->m; i++) {
            (w->as == MIL_INT64 ? int_result : float_result)(w, x + i * p->x_row * 8, y);
            char *out = (char *)p->result->data +
                        (to + i * p->result_row) * (int64_t)mil__element_size(p->result->dtype);
            mil__convert(p->result->dtype, out, 1, w->as, w->row, 1, p->n);
        }
    }
}

static void read_all(mil_dtype as, const mil_tensor *tensor, void *to) {
    if (as == MIL_INT64) mil__read_i64(tensor, to);
    else mil__read_f64(tensor, to);
}

mil_status mil__multiply(const mil__product *p, mil__arena *arena, mil_error *err) {
    bool exact = mil__dtype_is_int(p->x->dtype) && mil__dtype_is_int(p->y->dtype) &&
                 (!p->bias || mil__dtype_is_int(p->bias->dtype));
    work w = {.p = p, .as = exact ? MIL_INT64 : MIL_FP64};
    size_t x = (size_t)mil__numel(p->x), y = (size_t)mil__numel(p->y), n = (size_t)p->n;
    w.x = mil__arena_zero(arena, x + y + 2 * n + 1, 8);
    if (!w.x) return mil__nomem(err);
    w.y = w.x + x * 8;
    w.row = w.y + y * 8;
    w.bias = w.row + n * 8;
    read_all(w.as, p->x, w.x);
    read_all(w.as, p->y, w.y);
    if (p->bias) read_all(w.as, p->bias, w.bias);
    const int64_t *strides[] = {p->x_batch, p->y_batch, p->result_batch};
    mil__walk(p->rank, p->batch, 3, strides, matrices, &w);
    return MIL_OK;
}
