/* SPDX-License-Identifier: MIT */
/* normalization: inference and plain evaluation. */
#include <math.h>

#include "ops/params.h"
#include "ops/rules.h"
#include "ops/slices.h"

/* ---- inference ---- */

static mil_status check_rank(mil__call *call, int least) {
    int rank = mil__rank(mil__arg(call, "x"));
    if (rank >= least) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "x takes rank %d or above, but %s has rank %d", least,
                          MIL__ARG_TEXT(call, "x"), rank);
}

/* Where given, `name` must have the shape that x has along axes. */
static mil_status check_shape(mil__call *call, const char *name, uint32_t axes) {
    const mil_type *x = mil__arg(call, "x")->type;
    if (!mil__has(call, name)) return MIL_OK;
    const mil_type *type = mil__arg(call, name)->type;
    mil_dim wanted[MIL_MAX_RANK];
    int rank = 0;
    for (int a = 0; a < x->rank; a++)
        if (axes >> a & 1) wanted[rank++] = x->shape[a];
    bool fits = type->rank == rank;
    for (int i = 0; i < rank && fits; i++) fits = type->shape[i] == wanted[i] || type->shape[i] < 0 || wanted[i] < 0;
    if (fits) return MIL_OK;
    const mil_type *expected = mil__tensor_type(call->types, type->dtype, rank, wanted);
    if (!expected) return mil__nomem(call->err);
    return mil__call_fail(call, MIL_ETYPE, "%s must be %s, by the dims of %s", MIL__ARG_TEXT(call, name),
                          MIL__TYPE_TEXT(call->types, expected), MIL__ARG_TEXT(call, "x"));
}

/* What the normalizations over axes share: epsilon, and the axes as params. */
static mil_status infer_over(mil__call *call, uint32_t axes) {
    struct mil__axes_params *params = call->params;
    params->axes = axes;
    MIL__TRY(mil__get_float(call, "epsilon", &params->epsilon));
    if (!mil__has(call, "epsilon")) params->epsilon = (float)params->epsilon;
    return mil__infer_like_first(call);
}

static uint32_t all_axes(const mil__call *call) { return (1u << mil__rank(mil__arg(call, "x"))) - 1; }

enum { CHANNELS = 1u << 1 };

mil_status mil__infer_batch_norm(mil__call *call) {
    MIL__TRY(check_rank(call, 2));
    MIL__TRY(check_shape(call, "mean", CHANNELS));
    MIL__TRY(check_shape(call, "variance", CHANNELS));
    MIL__TRY(check_shape(call, "gamma", CHANNELS));
    MIL__TRY(check_shape(call, "beta", CHANNELS));
    return infer_over(call, all_axes(call) & ~(uint32_t)CHANNELS);
}

mil_status mil__infer_instance_norm(mil__call *call) {
    MIL__TRY(check_rank(call, 3));
    MIL__TRY(check_shape(call, "gamma", CHANNELS));
    MIL__TRY(check_shape(call, "beta", CHANNELS));
    return infer_over(call, all_axes(call) & ~3u);
}

mil_status mil__infer_layer_norm(mil__call *call) {
    uint32_t axes;
    MIL__TRY(mil__get_axes(call, "axes", mil__rank(mil__arg(call, "x")), &axes));
    MIL__TRY(check_shape(call, "gamma", axes));
    MIL__TRY(check_shape(call, "beta", axes));
    return infer_over(call, axes);
}

mil_status mil__infer_l2_norm(mil__call *call) {
    MIL__TRY(check_rank(call, 3));
    return infer_over(call, 7u << (mil__rank(mil__arg(call, "x")) - 3));
}

mil_status mil__infer_local_response_norm(mil__call *call) {
    struct mil__lrn_params *params = call->params;
    MIL__TRY(check_rank(call, 3));
    MIL__TRY(mil__get_int(call, "size", &params->size));
    if (params->size < 1)
        return mil__call_fail(call, MIL_EVALUE, "size = %lld must be 1 or above", (long long)params->size);
    MIL__TRY(mil__get_float(call, "alpha", &params->alpha));
    MIL__TRY(mil__get_float(call, "beta", &params->beta));
    MIL__TRY(mil__get_float(call, "k", &params->k));
    return mil__infer_like_first(call);
}

/* ---- evaluation ---- */

/* Vectors as doubles; NULL: not given. */
typedef struct norm {
    double epsilon;
    double *mean, *variance, *gamma, *beta;
    int64_t channels;
} norm;

static mil_status read_vector(const mil__call *call, const char *name, double **out) {
    const mil__operand *operand = mil__arg(call, name);
    if (!operand) return MIL_OK;
    *out = mil__arena_zero(call->arena, (size_t)mil__numel(operand->data) + 1, sizeof **out);
    if (!*out) return mil__nomem(call->err);
    mil__read_f64(operand->data, *out);
    return MIL_OK;
}

static mil_status eval_norm(mil__call *call, mil__slice_fn *fn) {
    const struct mil__axes_params *params = call->params;
    const mil_tensor *x = call->in[0].items[0].data;
    norm v = {.epsilon = params->epsilon, .channels = x->rank > 1 ? x->shape[1] : 1};
    mil_status status = read_vector(call, "gamma", &v.gamma);
    if (status == MIL_OK) status = read_vector(call, "beta", &v.beta);
    if (status == MIL_OK) status = read_vector(call, "mean", &v.mean);
    if (status == MIL_OK) status = read_vector(call, "variance", &v.variance);
    return status == MIL_OK ? mil__eval_slices(call, params->axes, MIL_FP64, false, fn, &v) : status;
}

/* A slice is a channel. */
static void batch_norm(const void *ctx, int64_t channel, int64_t n, const void *in, void *out) {
    const norm *v = ctx;
    const double *x = in, mean = v->mean[channel], root = sqrt(v->variance[channel] + v->epsilon);
    double *y = out, gamma = v->gamma ? v->gamma[channel] : 1, beta = v->beta ? v->beta[channel] : 0;
    for (int64_t k = 0; k < n; k++) y[k] = (x[k] - mean) / root * gamma + beta;
}

static void standardize(const norm *v, int64_t n, const double *x, double *y) {
    double mean = 0, variance = 0;
    for (int64_t k = 0; k < n; k++) mean += x[k];
    mean /= (double)n;
    for (int64_t k = 0; k < n; k++) variance += (x[k] - mean) * (x[k] - mean);
    double root = sqrt(variance / (double)n + v->epsilon);
    for (int64_t k = 0; k < n; k++) y[k] = (x[k] - mean) / root;
}

/* A slice is a channel of an item. */
static void instance_norm(const void *ctx, int64_t slice, int64_t n, const void *in, void *out) {
    const norm *v = ctx;
    int64_t channel = slice % v->channels;
    double *y = out, gamma = v->gamma ? v->gamma[channel] : 1, beta = v->beta ? v->beta[channel] : 0;
    standardize(v, n, in, y);
    for (int64_t k = 0; k < n; k++) y[k] = y[k] * gamma + beta;
}

static void layer_norm(const void *ctx, int64_t slice, int64_t n, const void *in, void *out) {
    const norm *v = ctx;
    double *y = out;
    (void)slice;
    standardize(v, n, in, y);
    for (int64_t k = 0; k < n; k++) y[k] = y[k] * (v->gamma ? v->gamma[k] : 1) + (v->beta ? v->beta[k] : 0);
}

static void l2_norm(const void *ctx, int64_t slice, int64_t n, const void *in, void *out) {
    const struct mil__axes_params *params = ctx;
    const double *x = in;
    double *y = out, sum = 0;
    (void)slice;
    for (int64_t k = 0; k < n; k++) sum += x[k] * x[k];
    for (int64_t k = 0; k < n; k++) y[k] = x[k] / sqrt(sum + params->epsilon);
}

/* A slice has the channels of one place; the window of size s around channel c is c - s/2 to c + (s - 1)/2. */
static void local_response_norm(const void *ctx, int64_t slice, int64_t n, const void *in, void *out) {
    const struct mil__lrn_params *p = ctx;
    const double *x = in;
    double *y = out;
    int64_t before = p->size / 2, after = (p->size - 1) / 2;
    (void)slice;
    for (int64_t c = 0; c < n; c++) {
        double sum = 0;
        int64_t end = after < n - 1 - c ? c + after : n - 1;
        for (int64_t k = c > before ? c - before : 0; k <= end; k++) sum += x[k] * x[k];
        y[c] = x[c] / pow(p->k + p->alpha / (double)p->size * sum, p->beta);
    }
}

mil_status mil__eval_batch_norm(mil__call *call) { return eval_norm(call, batch_norm); }
mil_status mil__eval_instance_norm(mil__call *call) { return eval_norm(call, instance_norm); }
mil_status mil__eval_layer_norm(mil__call *call) { return eval_norm(call, layer_norm); }

mil_status mil__eval_l2_norm(mil__call *call) {
    const struct mil__axes_params *params = call->params;
    return mil__eval_slices(call, params->axes, MIL_FP64, false, l2_norm, params);
}

mil_status mil__eval_local_response_norm(mil__call *call) {
    return mil__eval_slices(call, CHANNELS, MIL_FP64, false, local_response_norm, call->params);
}
