/* SPDX-License-Identifier: MIT */
/* How far two tensors are apart, in memory that does not grow with them.
 *
 *     run of elements   | piece | piece | ..      equal bytes of one dtype: done. Pages of mapped files are given back
 *     piece             | block | block | ..      as doubles. Is one further off than the worst so far? Only then which
 *
 * A run is what mil__walk makes of two shapes: all of both tensors, where they are contiguous. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* -O2 of gcc does not vectorise has_further */
#endif

#include <float.h>
#include <math.h>

#include "tensor/tensor.h"

enum { BLOCK = 256, PIECE = 1 << 20 }; /* elements; a piece of packed ones begins at a byte */

typedef struct comparing {
    const mil_tensor *a, *b;
    bool is_wide;   /* both of one 64-bit integer dtype, which doubles don't hold */
    int64_t at;     /* elements before this run, in C order */
    mil_tensor_gap gap;
} comparing;

static void note(comparing *c, int64_t at, double off, double a, double b) {
    if (off > c->gap.off) c->gap = (mil_tensor_gap){off, at, a, b};
}

/* off > worst, or one that needs a closer look: without branches, so that it vectorises. */
static bool has_further(const double *x, const double *y, int64_t n, double worst) {
    int64_t further = 0;
    for (int64_t i = 0; i < n; i++) {
        double off = fabs(x[i] - y[i]);
        further |= ((int64_t) !(off <= worst) & (int64_t) !(off <= worst * fabs(y[i]))) | (int64_t) !(off <= DBL_MAX);
    }
    return further != 0;
}

static void compare_doubles(comparing *c, int64_t at, const double *x, const double *y, int64_t n) {
    if (!has_further(x, y, n, c->gap.off)) return;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] == y[i] || (isnan(x[i]) && isnan(y[i]))) continue;
        bool is_finite = isfinite(x[i]) && isfinite(y[i]);
        note(c, at + i, is_finite ? fabs(x[i] - y[i]) / fmax(1, fabs(y[i])) : INFINITY, x[i], y[i]);
    }
}

static void compare_wide(comparing *c, int64_t at, int64_t x, int64_t y) {
    bool is_signed = c->a->dtype == MIL_INT64, is_more = is_signed ? x > y : (uint64_t)x > (uint64_t)y;
    double a = is_signed ? (double)x : (double)(uint64_t)x, b = is_signed ? (double)y : (double)(uint64_t)y;
    uint64_t off = is_more ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x;
    if (off) note(c, at, (double)off / fmax(1, fabs(b)), a, b);
}

static size_t bytes_of(const mil_tensor *tensor, int64_t n) { return (size_t)n * (size_t)mil_dtype_bits(tensor->dtype) / 8; }

static bool is_packed(const mil_tensor *tensor) { return mil_dtype_bits(tensor->dtype) < 8; }

static const char *address(const mil_tensor *tensor, int64_t offset) {
    return (const char *)tensor->data + offset * mil_dtype_bits(tensor->dtype) / 8;
}

static void read_doubles(const mil_tensor *tensor, int64_t offset, int64_t step, int64_t n, double *out) {
    bool is_reached = !is_packed(tensor) || (step == 1 && offset % 8 == 0);
    if (is_reached) mil__convert(MIL_FP64, out, 1, tensor->dtype, address(tensor, offset), step, n);
    else for (int64_t i = 0; i < n; i++) out[i] = mil__load_f64(tensor, offset + i * step);
}

static void compare_block(comparing *c, int64_t at, int64_t n, const int64_t *offsets, const int64_t *steps) {
    if (c->is_wide) {
        for (int64_t i = 0; i < n; i++)
            compare_wide(c, at + i, ((const int64_t *)c->a->data)[offsets[0] + i * steps[0]],
                         ((const int64_t *)c->b->data)[offsets[1] + i * steps[1]]);
        return;
    }
    double x[BLOCK], y[BLOCK];
    read_doubles(c->a, offsets[0], steps[0], n, x);
    read_doubles(c->b, offsets[1], steps[1], n, y);
    compare_doubles(c, at, x, y, n);
}

/* Whole bytes of one dtype: floats of equal bytes are equal, NaNs too. */
static bool has_equal_bytes(const comparing *c, int64_t n, const int64_t *offsets, const int64_t *steps) {
    if (c->a->dtype != c->b->dtype || steps[0] != 1 || steps[1] != 1) return false;
    if (is_packed(c->a) && (offsets[0] % 8 || offsets[1] % 8 || n % 8)) return false;
    return memcmp(address(c->a, offsets[0]), address(c->b, offsets[1]), bytes_of(c->a, n)) == 0;
}

static void give_back(const mil_tensor *tensor, int64_t offset, int64_t step, int64_t n) {
    if (step == 1) mil__buffer_give_back(tensor->buffer, address(tensor, offset), bytes_of(tensor, n));
}

static void compare_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    comparing *c = ctx;
    for (int64_t done = 0; done < n; done += PIECE) {
        int64_t left = n - done, piece = left < PIECE ? left : PIECE;
        int64_t from[] = {offsets[0] + done * steps[0], offsets[1] + done * steps[1]};
        bool is_equal = has_equal_bytes(c, piece, from, steps);
        for (int64_t i = 0; !is_equal && i < piece; i += BLOCK) {
            int64_t block[] = {from[0] + i * steps[0], from[1] + i * steps[1]};
            compare_block(c, c->at + done + i, piece - i < BLOCK ? piece - i : BLOCK, block, steps);
        }
        give_back(c->a, from[0], steps[0], piece);
        give_back(c->b, from[1], steps[1], piece);
    }
    c->at += n;
}

static mil_status check_shapes(const mil_tensor *a, const mil_tensor *b, mil_error *err) {
    bool is_one_shape = a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
    if (!is_one_shape || a->dtype == MIL_STRING || b->dtype == MIL_STRING)
        return mil__fail(err, MIL_ETYPE, "compare: takes numbers of one shape, but %s and %s were given", MIL__TENSOR_TEXT(a),
                         MIL__TENSOR_TEXT(b));
    return MIL_OK;
}

mil_status mil_tensor_compare(const mil_tensor *a, const mil_tensor *b, mil_tensor_gap *out, mil_error *err) {
    MIL__TRY(check_shapes(a, b, err));
    comparing c = {.a = a, .b = b, .is_wide = a->dtype == b->dtype && (a->dtype == MIL_INT64 || a->dtype == MIL_UINT64)};
    const int64_t *strides[] = {a->strides, b->strides};
    MIL__TRY(mil__access_both("compare", a, false, b, err));
    mil__walk(a->rank, a->shape, 2, strides, compare_run, &c);
    mil__access_end(a);
    mil__access_end(b);
    *out = c.gap;
    return MIL_OK;
}

/* ---- the distance of the whole ---- */

typedef struct measuring {
    const mil_tensor *a, *b;
    int64_t at;
    mil_tensor_distance sum; /* relative: sum (a - b)^2 so far */
    double squares;          /* sum b^2 */
} measuring;

static void measure_element(measuring *m, int64_t at, double a, double b) {
    bool is_equal = a == b || (isnan(a) && isnan(b));
    double off = is_equal ? 0 : isfinite(a) && isfinite(b) ? fabs(a - b) : INFINITY;
    if (isfinite(b)) m->squares += b * b;
    if (is_equal) return;
    m->sum.n_unequal++;
    m->sum.relative += off * off;
    if (off > m->sum.largest) m->sum.largest = off, m->sum.at = at, m->sum.a = a, m->sum.b = b;
}

static void measure_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    measuring *m = ctx;
    double x[BLOCK], y[BLOCK];
    for (int64_t done = 0; done < n; done += BLOCK) {
        int64_t block = n - done < BLOCK ? n - done : BLOCK;
        read_doubles(m->a, offsets[0] + done * steps[0], steps[0], block, x);
        read_doubles(m->b, offsets[1] + done * steps[1], steps[1], block, y);
        for (int64_t i = 0; i < block; i++) measure_element(m, m->at + done + i, x[i], y[i]);
    }
    m->at += n;
}

mil_status mil_tensor_measure(const mil_tensor *a, const mil_tensor *b, mil_tensor_distance *out, mil_error *err) {
    MIL__TRY(check_shapes(a, b, err));
    measuring m = {.a = a, .b = b};
    const int64_t *strides[] = {a->strides, b->strides};
    MIL__TRY(mil__access_both("measure", a, false, b, err));
    mil__walk(a->rank, a->shape, 2, strides, measure_run, &m);
    mil__access_end(a);
    mil__access_end(b);
    if (m.sum.n_unequal) m.sum.relative = m.squares > 0 ? sqrt(m.sum.relative / m.squares) : INFINITY;
    *out = m.sum;
    return MIL_OK;
}
