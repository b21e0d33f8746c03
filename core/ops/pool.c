/* SPDX-License-Identifier: MIT */
/* pool: inference and plain evaluation. All is seen as three spatial axes, missing ones in front and of extent 1. */
#include <math.h>

#include "ops/params.h"
#include "ops/rules.h"
#include "ops/windows.h"

/* ---- inference ---- */

/* What coremltools asks of pad where ceil_mode is set, whatever pad_type says. */
static mil_status check_ceil_mode(mil__call *call, const mil__windows *w) {
    int64_t pad[6];
    if (!w->ceil_mode) return MIL_OK;
    if (w->spatial > 2) return mil__call_fail(call, MIL_EVALUE, "ceil_mode is for 1 or 2 spatial axes, but x has %d", w->spatial);
    if (w->pad_type == MIL__PAD_SAME) return mil__call_fail(call, MIL_EVALUE, "ceil_mode does not go with pad_type \"same\"");
    MIL__TRY(mil__windows_vector(call, "pad", 2 * w->spatial, 0, 0, pad));
    for (int i = 0; i < w->spatial; i++)
        if (pad[2 * i] != pad[2 * i + 1])
            return mil__call_fail(call, MIL_EVALUE, "ceil_mode takes as much pad before as after, but spatial axis %d has %lld and %lld",
                                  i, (long long)pad[2 * i], (long long)pad[2 * i + 1]);
    return MIL_OK;
}

static mil_status read_windows(mil__call *call, mil__windows *w) {
    int64_t ignored[6];
    MIL__TRY(mil__windows_spatial(call, w));
    if (strcmp(call->op->name, "l2_pool") == 0 && w->spatial > 2)
        return mil__call_fail(call, MIL_ETYPE, "%s has 3 spatial axes; 1 or 2 are possible", MIL__ARG_TEXT(call, "x"));
    MIL__TRY(mil__get_bool(call, "ceil_mode", &w->ceil_mode));
    MIL__TRY(mil__windows_vector(call, "kernel_sizes", w->spatial, 1, 1, w->kernel));
    MIL__TRY(mil__windows_vector(call, "pad", 2 * w->spatial, 0, 0, ignored)); /* checked even where pad_type ignores it */
    MIL__TRY(mil__windows_read(call, false, w));
    return check_ceil_mode(call, w);
}

mil_status mil__infer_pool(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    struct mil__pool_params *p = call->params;
    mil__windows w = {0};
    mil_dim shape[5];
    MIL__TRY(read_windows(call, &w));
    if (strcmp(call->op->name, "avg_pool") == 0)
        MIL__TRY(mil__get_bool(call, "exclude_padding_from_average", &p->exclude_padding));
    p->spatial = w.spatial;
    memcpy(p->kernel, w.kernel, sizeof p->kernel);
    memcpy(p->strides, w.strides, sizeof p->strides);
    shape[0] = x->shape[0];
    shape[1] = x->shape[1];
    for (int i = 0; i < w.spatial; i++) {
        MIL__TRY(mil__windows_out(call, &w, i, x->shape[i + 2], &shape[i + 2]));
        if (x->shape[i + 2] >= 0) mil__windows_pad(&w, i, x->shape[i + 2], &p->pad_before[i], &p->pad_after[i]);
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* ---- evaluation ---- */

/* The part of one window that lies in x, and its extent with padding (which ends where the padding does). */
typedef struct window {
    int64_t begin[3], end[3], padded[3];
} window;

typedef struct pooling {
    int64_t in[3], out[3], kernel[3], stride[3], before[3], after[3];
} pooling;

static pooling pooling_of(const struct mil__pool_params *p, const mil_tensor *x, const mil_tensor *y) {
    pooling g;
    for (int i = 0; i < 3; i++) {
        int at = i - (3 - p->spatial);
        bool real = at >= 0;
        g.in[i] = real ? x->shape[at + 2] : 1;
        g.out[i] = real ? y->shape[at + 2] : 1;
        g.kernel[i] = real ? p->kernel[at] : 1;
        g.stride[i] = real ? p->strides[at] : 1;
        g.before[i] = real ? p->pad_before[at] : 0;
        g.after[i] = real ? p->pad_after[at] : 0;
    }
    return g;
}

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

static window window_at(const pooling *g, const int64_t *o) {
    window w;
    for (int i = 0; i < 3; i++) {
        int64_t from = o[i] * g->stride[i] - g->before[i], to = lesser(from + g->kernel[i], g->in[i] + g->after[i]);
        w.padded[i] = greater(to - from, 0);
        w.begin[i] = greater(from, 0);
        w.end[i] = lesser(to, g->in[i]);
    }
    return w;
}

/* A step of each pool, and what is made of its outcome over n elements (of x, or with the padding). */
typedef double step_fn(double so_far, double v);
typedef double end_fn(double total, double n);

static double add(double so_far, double v) { return so_far + v; }
static double add_square(double so_far, double v) { return so_far + v * v; }
static double keep_largest(double so_far, double v) { return v > so_far || v != v ? v : so_far; }
static double mean(double total, double n) { return n > 0 ? total / n : 0; }
static double root(double total, double n) { return (void)n, sqrt(total); }
static double as_it_is(double total, double n) { return (void)n, total; }

static double pool_one(const pooling *g, const double *plane, const window *w, double first, step_fn *step) {
    double total = first;
    for (int64_t a = w->begin[0]; a < w->end[0]; a++)
        for (int64_t b = w->begin[1]; b < w->end[1]; b++) {
            const double *line = plane + (a * g->in[1] + b) * g->in[2];
            for (int64_t c = w->begin[2]; c < w->end[2]; c++) total = step(total, line[c]);
        }
    return total;
}

static int64_t elements_in(const window *w, bool exclude_padding) {
    int64_t n = 1;
    for (int i = 0; i < 3; i++) n *= exclude_padding ? greater(w->end[i] - w->begin[i], 0) : w->padded[i];
    return n;
}

static mil_status eval_pool(mil__call *call, double first, step_fn *step, end_fn *end) {
    const struct mil__pool_params *p = call->params;
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *y = call->result[0];
    pooling g = pooling_of(p, x, y);
    double *all = mil__arena_alloc(call->arena, (size_t)mil__numel(x) * sizeof *all + 1);
    if (!all) return mil__nomem(call->err);
    mil__read_f64(x, all);
    int64_t planes = x->shape[0] * x->shape[1], in_plane = g.in[0] * g.in[1] * g.in[2], at = 0, o[3];
    for (int64_t plane = 0; plane < planes; plane++)
        for (o[0] = 0; o[0] < g.out[0]; o[0]++)
            for (o[1] = 0; o[1] < g.out[1]; o[1]++)
                for (o[2] = 0; o[2] < g.out[2]; o[2]++) {
                    window w = window_at(&g, o);
                    double total = pool_one(&g, all + plane * in_plane, &w, first, step);
                    mil__store_f64(y, at++, end(total, (double)elements_in(&w, p->exclude_padding)));
                }
    return MIL_OK;
}

mil_status mil__eval_avg_pool(mil__call *call) { return eval_pool(call, 0, add, mean); }
mil_status mil__eval_l2_pool(mil__call *call) { return eval_pool(call, 0, add_square, root); }
mil_status mil__eval_max_pool(mil__call *call) { return eval_pool(call, -INFINITY, keep_largest, as_it_is); }
