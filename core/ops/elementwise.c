/* SPDX-License-Identifier: MIT */
/* Plain evaluation of elementwise ops. Elements are brought to doubles (or int64s) a stretch at a time, computed there,
 * and stored with one rounding:
 *
 *   x, any dtype and strides --> double a[STRETCH] --> f --> a --> result
 *   y, broadcast by stride 0 --> double b[STRETCH] ---^
 */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/params.h"
#include "ops/rules.h"

enum { STRETCH = 256 };

typedef struct map {
    const mil_tensor *x, *y; /* y NULL: one operand */
    mil_tensor *out;
    mil__f1 *f1;             /* one of these five is set */
    mil__f2 *f2;
    mil__fpq *fpq;
    mil__i1 *i1;
    mil__i2 *i2;
    double p, q;
} map;

static void *element(const mil_tensor *tensor, int64_t offset) {
    return (char *)tensor->data + offset * (int64_t)mil__element_size(tensor->dtype);
}

static void load(const mil_tensor *tensor, int64_t offset, int64_t step, mil_dtype as, void *buf, int64_t n) {
    mil__convert(as, buf, 1, tensor->dtype, element(tensor, offset), step, n);
}

static void floats(const map *m, int64_t n, const int64_t *at, const int64_t *steps) {
    double a[STRETCH], b[STRETCH];
    load(m->x, at[1], steps[1], MIL_FP64, a, n);
    if (m->y) load(m->y, at[2], steps[2], MIL_FP64, b, n);
    if (m->f1) for (int64_t k = 0; k < n; k++) a[k] = m->f1(a[k]);
    if (m->f2) for (int64_t k = 0; k < n; k++) a[k] = m->f2(a[k], b[k]);
    if (m->fpq) for (int64_t k = 0; k < n; k++) a[k] = m->fpq(a[k], m->p, m->q);
    if (mil__dtype_is_int(m->out->dtype)) for (int64_t k = 0; k < n; k++) a[k] = trunc(a[k]);
    if (m->out->dtype == MIL_BOOL) for (int64_t k = 0; k < n; k++) a[k] = a[k] != 0;
    mil__convert(m->out->dtype, element(m->out, at[0]), steps[0], MIL_FP64, a, 1, n);
}

static void ints(const map *m, int64_t n, const int64_t *at, const int64_t *steps) {
    int64_t a[STRETCH], b[STRETCH];
    load(m->x, at[1], steps[1], MIL_INT64, a, n);
    if (m->y) load(m->y, at[2], steps[2], MIL_INT64, b, n);
    if (m->i1) for (int64_t k = 0; k < n; k++) a[k] = (int32_t)(uint32_t)m->i1(a[k]);
    if (m->i2) for (int64_t k = 0; k < n; k++) a[k] = (int32_t)(uint32_t)m->i2(a[k], b[k]);
    mil__convert(m->out->dtype, element(m->out, at[0]), steps[0], MIL_INT64, a, 1, n);
}

static void run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    const map *m = ctx;
    for (int64_t done = 0; done < n; done += STRETCH) {
        int64_t part = n - done < STRETCH ? n - done : STRETCH, at[3] = {0};
        for (int t = 0; t < (m->y ? 3 : 2); t++) at[t] = offsets[t] + done * steps[t];
        (m->i1 || m->i2 ? ints : floats)(m, part, at, steps);
    }
}

static mil_status evaluate(map *m) {
    int64_t x[MIL_MAX_RANK], y[MIL_MAX_RANK];
    int rank = m->out->rank;
    const int64_t *strides[] = {m->out->strides, x, y};
    mil__broadcast_strides(m->x, rank, x);
    if (m->y) mil__broadcast_strides(m->y, rank, y);
    mil__walk(rank, m->out->shape, m->y ? 3 : 2, strides, run, m);
    return MIL_OK;
}

static const mil_tensor *operand(const mil__call *call, int slot) { return call->in[slot].items[0].data; }

mil_status mil__eval_map(mil__call *call, mil__f1 *f, mil__i1 *i) {
    map m = {.x = operand(call, 0), .out = call->result[0]};
    if (i && mil__dtype_is_int(m.x->dtype)) m.i1 = i;
    else m.f1 = f;
    return evaluate(&m);
}

mil_status mil__eval_map2(mil__call *call, mil__f2 *f, mil__i2 *i) {
    map m = {.x = operand(call, 0), .y = operand(call, 1), .out = call->result[0]};
    if (i && mil__dtype_is_int(m.x->dtype)) m.i2 = i;
    else m.f2 = f;
    return evaluate(&m);
}

mil_status mil__eval_map_pq(mil__call *call, mil__fpq *f) {
    const struct mil__pq_params *params = call->params;
    map m = {.x = operand(call, 0), .out = call->result[0], .fpq = f, .p = params->p, .q = params->q};
    return evaluate(&m);
}

/* ---- inference ---- */

mil_status mil__infer_alpha(mil__call *call) {
    struct mil__pq_params *params = call->params;
    MIL__TRY(mil__get_float(call, "alpha", &params->p));
    return mil__infer_like_first(call);
}

mil_status mil__infer_alpha_beta(mil__call *call) {
    struct mil__pq_params *params = call->params;
    MIL__TRY(mil__get_float(call, "beta", &params->q));
    return mil__infer_alpha(call);
}

mil_status mil__infer_epsilon(mil__call *call) {
    struct mil__pq_params *params = call->params;
    MIL__TRY(mil__get_float(call, "epsilon", &params->p));
    if (!mil__has(call, "epsilon")) {
        bool is_half = mil__arg(call, "x")->type->dtype == MIL_FP16;
        params->p = is_half ? mil__half_to_float(mil__double_to_half(params->p)) : (float)params->p;
    }
    return mil__infer_like_first(call);
}
