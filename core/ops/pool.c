/* SPDX-License-Identifier: MIT */
/* pool: inference and plain evaluation. Padding counts as 0 (for max_pool as -inf), and so does what a window has behind
 * it in ceil_mode. NaN in a window gives NaN; an average of nothing is 0. */
#include <math.h>
#include <strings.h>

#include "ops/params.h"
#include "ops/rules.h"
#include "ops/windows.h"

/* ---- inference ---- */

/* In any case. */
static mil_status pad_type(mil__call *call, mil__pad_type *out) {
    static const char *const names[] = {"valid", "same", "custom", "same_lower"}; /* in the order of the enum */
    const char *text;
    MIL__TRY(mil__get_text(call, "pad_type", &text));
    size_t i = 0;
    while (i < MIL__COUNT(names) && strcasecmp(text, names[i]) != 0) i++;
    if (i == MIL__COUNT(names))
        return mil__call_fail(call, MIL_EVALUE, "pad_type \"%.60s\" is none of " MIL__PAD_TYPES, text);
    if (i == MIL__PAD_SAME_LOWER && call->opset < MIL_IOS16)
        return mil__call_fail(call, MIL_EVALUE, "pad_type \"same_lower\" exists from opset ios16 on; this function is %s",
                              mil_opset_name(call->opset));
    *out = (mil__pad_type)i;
    return MIL_OK;
}

static mil_status check_ceil(mil__call *call, const mil__window_spec *spec) {
    if (spec->spatial > 2)
        return mil__call_fail(call, MIL_EVALUE, "ceil_mode takes 1 or 2 spatial axes, but %s has %d",
                              MIL__ARG_TEXT(call, "x"), spec->spatial);
    if (spec->pad_type == MIL__PAD_SAME)
        return mil__call_fail(call, MIL_EVALUE, "ceil_mode does not go with pad_type \"same\"");
    for (int i = 0; i < spec->spatial; i++)
        if (spec->pad[2 * i] != spec->pad[2 * i + 1])
            return mil__call_fail(call, MIL_EVALUE, "ceil_mode takes the same pad before and after, but along axis %d it "
                                  "is %lld and %lld", i + 2, (long long)spec->pad[2 * i], (long long)spec->pad[2 * i + 1]);
    return MIL_OK;
}

/* A window is walked element by element, by evaluation and kernels alike: its elements can be counted. */
static mil_status check_kernel(mil__call *call, const mil__window_spec *spec) {
    enum { MOST = 1 << 24 };
    int64_t n = 1;
    for (int i = 0; i < spec->spatial; i++) {
        if (spec->kernel[i] > MOST / n)
            return mil__call_fail(call, MIL_ELIMIT, "kernel_sizes make a window of more than %d elements", MOST);
        n *= spec->kernel[i];
    }
    return MIL_OK;
}

static mil_status spec_of(mil__call *call, mil__window_spec *spec) {
    *spec = (mil__window_spec){.strides = {1, 1, 1}, .dilations = {1, 1, 1}};
    MIL__TRY(mil__get_spatial(call, strcmp(call->op->name, "l2_pool") == 0 ? 2 : MIL__MAX_SPATIAL, spec));
    MIL__TRY(pad_type(call, &spec->pad_type));
    MIL__TRY(mil__get_by_axis(call, "kernel_sizes", spec->spatial, 1, 1, spec->kernel));
    MIL__TRY(check_kernel(call, spec));
    MIL__TRY(mil__get_by_axis(call, "strides", spec->spatial, 1, 1, spec->strides));
    MIL__TRY(mil__get_by_axis(call, "pad", spec->spatial, 2, 0, spec->pad));
    MIL__TRY(mil__get_bool(call, "ceil_mode", &spec->ceil_mode));
    return spec->ceil_mode ? check_ceil(call, spec) : MIL_OK;
}

mil_status mil__infer_pool(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    struct mil__pool_params *params = call->params;
    mil__window_spec spec;
    MIL__TRY(spec_of(call, &spec));
    if (mil__op_slot(call->op, call->opset, "exclude_padding_from_average", NULL) >= 0)
        MIL__TRY(mil__get_bool(call, "exclude_padding_from_average", &params->exclude_padding));
    mil_dim shape[2 + MIL__MAX_SPATIAL] = {x->shape[0], x->shape[1]};
    params->spatial = spec.spatial;
    for (int i = 0; i < spec.spatial; i++) {
        mil_dim extent = x->shape[2 + i], *count = &shape[2 + i];
        MIL__TRY(mil__window_count(call, &spec, i, extent, count));
        params->kernel[i] = spec.kernel[i];
        params->strides[i] = spec.strides[i];
        mil__window_padding(&spec, i, extent, &params->pad_before[i], &params->pad_after[i]);
        if (extent < 0 || *count < 0) continue;
        int64_t behind = (*count - 1) * spec.strides[i] + spec.kernel[i] - params->pad_before[i] - extent;
        if (behind > params->pad_after[i]) params->pad_after[i] = behind;
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* ---- evaluation ---- */

typedef enum pooling { MAX, AVERAGE, L2 } pooling;

typedef struct pool {
    pooling kind;
    const double *in;        /* a plane of x; NULL: every element is 1 */
    double *out;             /* a plane of the result */
} pool;

static void pool_run(void *ctx, int64_t n, int64_t out, int64_t in, int64_t step) {
    const pool *p = ctx;
    double *y = p->out + out;
    for (int64_t i = 0; i < n; i++, in += step) {
        double x = p->in ? p->in[in] : 1;
        if (p->kind == MAX) y[i] = x > y[i] || isnan(x) ? x : y[i];
        else y[i] += p->kind == L2 ? x * x : x;
    }
}

static void pool_plane(const mil__windows *w, const pool *p) {
    int64_t n = mil__volume(w->out), taps = mil__volume(w->kernel);
    pool copy = *p;
    for (int64_t i = 0; i < n; i++) p->out[i] = p->kind == MAX ? -INFINITY : 0;
    for (int64_t t = 0; t < taps; t++) mil__window_tap(w, t, pool_run, &copy);
}

static mil_status eval_pool(mil__call *call, pooling kind) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    const struct mil__pool_params *params = call->params;
    mil_tensor *out = call->result[0];
    mil__windows w = mil__windows_of(params->spatial, x->shape + 2, out->shape + 2, params->kernel, params->strides, NULL,
                                     params->pad_before);
    int64_t planes = x->shape[0] * x->shape[1], size = mil__volume(w.in), n = mil__volume(w.out);
    if (planes == 0) return MIL_OK;
    double *in = mil__arena_zero(call->arena, (size_t)(planes * size) + 2 * (size_t)n, sizeof *in);
    if (!in) return mil__nomem(call->err);
    double *plane = in + planes * size, *divisor = plane + n;
    mil__read_f64(x, in);
    if (params->exclude_padding) pool_plane(&w, &(pool){.kind = AVERAGE, .out = divisor});
    else for (int64_t i = 0; i < n; i++) divisor[i] = (double)mil__volume(w.kernel);
    for (int64_t k = 0; k < planes; k++) {
        pool_plane(&w, &(pool){.kind = kind, .in = in + k * size, .out = plane});
        for (int64_t i = 0; i < n && kind == AVERAGE; i++) plane[i] /= fmax(divisor[i], 1);
        for (int64_t i = 0; i < n && kind == L2; i++) plane[i] = sqrt(plane[i]);
        char *to = (char *)out->data + k * n * (int64_t)mil__element_size(out->dtype);
        mil__convert(out->dtype, to, 1, MIL_FP64, plane, 1, n);
    }
    return MIL_OK;
}

mil_status mil__eval_avg_pool(mil__call *call) { return eval_pool(call, AVERAGE); }
mil_status mil__eval_l2_pool(mil__call *call) { return eval_pool(call, L2); }
mil_status mil__eval_max_pool(mil__call *call) { return eval_pool(call, MAX); }
