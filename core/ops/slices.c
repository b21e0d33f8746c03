/* SPDX-License-Identifier: MIT */
/* Plain evaluation along axes. See slices.h. The axes are parted in two: an outer walk goes over those that stay, and
 * for each place an inner one over those of the slice, which is brought into one contiguous piece of scratch. */
#include <math.h>

#include "ops/rules.h"
#include "ops/slices.h"

typedef struct walking {
    const mil_tensor *x;
    mil_tensor *out;
    mil_dtype as;
    bool reduces;
    mil__slice_fn *fn;
    const void *ctx;
    int rank;                /* of a slice */
    int64_t shape[MIL_MAX_RANK], x_strides[MIL_MAX_RANK], out_strides[MIL_MAX_RANK];
    int64_t n, slice;
    int64_t x_at, out_at;    /* of the slice's first elements */
    int64_t filled;          /* of the inner walk */
    char *in, *results;      /* n elements of 8 bytes each */
} walking;

static char *element(const mil_tensor *tensor, int64_t offset) {
    return (char *)tensor->data + offset * (int64_t)mil__element_size(tensor->dtype);
}

static void read_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    walking *w = ctx;
    mil__convert(w->as, w->in + w->filled * 8, 1, w->x->dtype, element(w->x, w->x_at + offsets[0]), steps[0], n);
    w->filled += n;
}

static void write_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    walking *w = ctx;
    char *from = w->results + w->filled * 8, *to = element(w->out, w->out_at + offsets[0]);
    mil__convert(w->out->dtype, to, steps[0], w->as, from, 1, n);
    w->filled += n;
}

static void round_to_ints(walking *w, int64_t n) {
    double *f = (double *)(void *)w->results;
    int64_t *i = (int64_t *)(void *)w->results;
    for (int64_t k = 0; k < n && w->as == MIL_FP64; k++) f[k] = trunc(f[k]);
    for (int64_t k = 0; k < n && w->as == MIL_INT64; k++) i[k] = (int32_t)(uint32_t)i[k];
}

static void do_slice(walking *w) {
    const int64_t *x_strides = w->x_strides, *out_strides = w->out_strides;
    w->filled = 0;
    mil__walk(w->rank, w->shape, 1, &x_strides, read_run, w);
    w->fn(w->ctx, w->slice++, w->n, w->in, w->results);
    if (mil__dtype_is_int(w->out->dtype)) round_to_ints(w, w->reduces ? 1 : w->n);
    w->filled = 0;
    if (w->reduces) write_run(w, 1, &(int64_t){0}, &(int64_t){1});
    else mil__walk(w->rank, w->shape, 1, &out_strides, write_run, w);
}

static void outer_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    walking *w = ctx;
    for (int64_t k = 0; k < n; k++) {
        w->x_at = offsets[0] + k * steps[0];
        w->out_at = offsets[1] + k * steps[1];
        do_slice(w);
    }
}

mil_status mil__eval_slices(mil__call *call, uint32_t axes, mil_dtype as, bool reduces, mil__slice_fn *fn,
                            const void *ctx) {
    walking w = {.x = call->in[0].items[0].data, .out = call->result[0], .as = as, .reduces = reduces, .fn = fn,
                 .ctx = ctx, .n = 1};
    int rank = 0;
    int64_t shape[MIL_MAX_RANK], x_strides[MIL_MAX_RANK], out_strides[MIL_MAX_RANK];
    for (int a = 0; a < w.x->rank; a++) {
        bool inner = axes >> a & 1;
        int at = inner ? w.rank++ : rank++;
        (inner ? w.shape : shape)[at] = w.x->shape[a];
        (inner ? w.x_strides : x_strides)[at] = w.x->strides[a];
        if (!reduces) (inner ? w.out_strides : out_strides)[at] = w.out->strides[a];
        if (inner) w.n *= w.x->shape[a];
    }
    if (reduces) mil__shape_strides(rank, shape, out_strides);
    w.in = mil__arena_zero(call->arena, (size_t)w.n * 2 + 2, 8);
    if (!w.in) return mil__nomem(call->err);
    w.results = w.in + w.n * 8;
    const int64_t *strides[] = {x_strides, out_strides};
    mil__walk(rank, shape, 2, strides, outer_run, &w);
    return MIL_OK;
}

mil_status mil__get_axes(mil__call *call, const char *name, int rank, uint32_t *out) {
    int64_t given[MIL_MAX_RANK];
    int n;
    mil_dim length;
    if (mil__has(call, name)) MIL__TRY(mil__is_vector(call, name, &length));
    MIL__TRY(mil__get_ints(call, name, MIL_MAX_RANK, given, &n));
    uint32_t axes = mil__has(call, name) ? 0 : (1u << rank) - 1;
    for (int i = 0; i < n; i++) {
        int axis;
        MIL__TRY(mil__axis(call, name, given[i], rank, &axis));
        if (axes >> axis & 1) return mil__call_fail(call, MIL_EVALUE, "%s lists axis %d twice", name, axis);
        axes |= 1u << axis;
    }
    *out = axes;
    return MIL_OK;
}
