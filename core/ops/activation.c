/* SPDX-License-Identifier: MIT */
/* activation: inference and plain evaluation. NaN stays NaN throughout. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/params.h"
#include "ops/rules.h"
#include "ops/slices.h"

/* ---- of one element ---- */

static double f_relu(double x) { return x < 0 ? 0 : x; }
static double f_relu6(double x) { return x < 0 ? 0 : x > 6 ? 6 : x; }
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_silu(double x) { return x / (1 + exp(-x)); }
static double f_softplus(double x) { return log1p(exp(-fabs(x))) + (x < 0 ? 0 : x); }
static double f_softsign(double x) { return x / (1 + fabs(x)); }

mil_status mil__eval_relu(mil__call *call) { return mil__eval_map(call, f_relu, NULL); }
mil_status mil__eval_relu6(mil__call *call) { return mil__eval_map(call, f_relu6, NULL); }
mil_status mil__eval_sigmoid(mil__call *call) { return mil__eval_map(call, f_sigmoid, NULL); }
mil_status mil__eval_silu(mil__call *call) { return mil__eval_map(call, f_silu, NULL); }
mil_status mil__eval_softplus(mil__call *call) { return mil__eval_map(call, f_softplus, NULL); }
mil_status mil__eval_softsign(mil__call *call) { return mil__eval_map(call, f_softsign, NULL); }

/* ---- of one element, with alpha and beta ---- */

static double f_elu(double x, double alpha, double q) { return (void)q, x < 0 ? alpha * expm1(x) : x; }
static double f_leaky_relu(double x, double alpha, double q) { return (void)q, x < 0 ? alpha * x : x; }
static double f_thresholded_relu(double x, double alpha, double q) { return (void)q, x < alpha ? 0 : x; }
static double f_linear(double x, double alpha, double beta) { return alpha * x + beta; }
static double f_scaled_tanh(double x, double alpha, double beta) { return alpha * tanh(beta * x); }

static double f_clamped_relu(double x, double alpha, double beta) {
    double y = x < 0 ? alpha * x : x;
    return y > beta ? beta : y;
}

static double f_sigmoid_hard(double x, double alpha, double beta) {
    double y = alpha * x + beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

mil_status mil__eval_elu(mil__call *call) { return mil__eval_map_pq(call, f_elu); }
mil_status mil__eval_leaky_relu(mil__call *call) { return mil__eval_map_pq(call, f_leaky_relu); }
mil_status mil__eval_thresholded_relu(mil__call *call) { return mil__eval_map_pq(call, f_thresholded_relu); }
mil_status mil__eval_linear_activation(mil__call *call) { return mil__eval_map_pq(call, f_linear); }
mil_status mil__eval_scaled_tanh(mil__call *call) { return mil__eval_map_pq(call, f_scaled_tanh); }
mil_status mil__eval_clamped_relu(mil__call *call) { return mil__eval_map_pq(call, f_clamped_relu); }
mil_status mil__eval_sigmoid_hard(mil__call *call) { return mil__eval_map_pq(call, f_sigmoid_hard); }

/* ---- gelu ---- */

/* By erfc: 1 + erf would lose all digits where x is far below 0. */
static double f_gelu(double x) { return 0.5 * x * erfc(-x / sqrt(2)); }
static double f_gelu_sigmoid(double x) { return x / (1 + exp(-1.702 * x)); }

static double f_gelu_tanh(double x) {
    double inner = sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * inner)); /* 0.5 * x * (1 + tanh(inner)), without its cancellation */
}

mil_status mil__infer_gelu(mil__call *call) {
    struct mil__gelu_params *params = call->params;
    MIL__TRY(mil__get_choice(call, "mode", "EXACT|TANH_APPROXIMATION|SIGMOID_APPROXIMATION", &params->mode));
    return mil__infer_like_first(call);
}

mil_status mil__eval_gelu(mil__call *call) {
    static mil__f1 *const modes[] = {f_gelu, f_gelu_tanh, f_gelu_sigmoid};
    const struct mil__gelu_params *params = call->params;
    return mil__eval_map(call, modes[params->mode], NULL);
}

/* ---- softmax ---- */

mil_status mil__infer_softmax(mil__call *call) {
    struct mil__axes_params *params = call->params;
    int64_t given;
    int axis;
    MIL__TRY(mil__get_int(call, "axis", &given));
    MIL__TRY(mil__axis(call, "axis", given, mil__rank(mil__arg(call, "x")), &axis));
    params->axes = 1u << axis;
    return mil__infer_like_first(call);
}

static void softmax(const void *ctx, int64_t slice, int64_t n, const void *in, void *out) {
    const double *x = in;
    double *y = out, max = -INFINITY, sum = 0;
    (void)ctx, (void)slice;
    for (int64_t k = 0; k < n; k++) max = x[k] > max ? x[k] : max;
    for (int64_t k = 0; k < n; k++) sum += y[k] = exp(x[k] - max);
    for (int64_t k = 0; k < n; k++) y[k] /= sum;
}

mil_status mil__eval_softmax(mil__call *call) {
    const struct mil__axes_params *params = call->params;
    return mil__eval_slices(call, params->axes, MIL_FP64, false, softmax, NULL);
}

/* ---- with a number a channel (axis 1) ---- */

static mil_status check_channels(mil__call *call, const char *name) {
    const mil__operand *x = mil__arg(call, "x"), *vector = mil__arg(call, name);
    if (mil__rank(vector) == 1 && mil__dim(vector, 0) == mil__dim(x, 1)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s takes a vector with a value for each channel, but %s has %s of them",
                          MIL__ARG_TEXT(call, name), MIL__ARG_TEXT(call, "x"),
                          MIL__DIM_TEXT(call->types, mil__dim(x, 1)));
}

/* A slice is a channel: all axes but the second. */
static mil_status eval_channels(mil__call *call, mil__slice_fn *fn) {
    const mil_tensor *x = call->in[0].items[0].data;
    return mil__eval_slices(call, ((1u << x->rank) - 1) & ~2u, MIL_FP64, false, fn, call);
}

static double channel_value(const mil__call *call, int slot, int64_t channel) {
    const mil_tensor *vector = call->in[slot].items[0].data;
    return mil__load_f64(vector, channel * vector->strides[0]);
}

/* x of another rank than 4 takes one alpha, repeated for each channel. */
static mil_status check_one_alpha(mil__call *call, const mil_tensor *alpha) {
    for (int64_t c = 1; c < alpha->shape[0]; c++) {
        double first = mil__load_f64(alpha, 0), other = mil__load_f64(alpha, c * alpha->strides[0]);
        if (fabs(other - first) <= 1e-5) continue;
        return mil__call_fail(call, MIL_EVALUE, "%s takes one alpha for all channels (only rank 4 one for each), but "
                              "alpha[0] = %g and alpha[%lld] = %g", MIL__ARG_TEXT(call, "x"), first, (long long)c,
                              other);
    }
    return MIL_OK;
}

mil_status mil__infer_prelu(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x"), *alpha = mil__arg(call, "alpha");
    int rank = mil__rank(x);
    if (rank < 3 || rank > 5)
        return mil__call_fail(call, MIL_ETYPE, "x takes rank 3 to 5, but %s has rank %d", MIL__ARG_TEXT(call, "x"),
                              rank);
    MIL__TRY(check_channels(call, "alpha"));
    if (rank != 4 && alpha->data) MIL__TRY(check_one_alpha(call, alpha->data));
    return mil__infer_like_first(call);
}

static void prelu(const void *ctx, int64_t channel, int64_t n, const void *in, void *out) {
    const double *x = in, alpha = channel_value(ctx, 1, channel);
    double *y = out;
    for (int64_t k = 0; k < n; k++) y[k] = x[k] < 0 ? alpha * x[k] : x[k];
}

mil_status mil__eval_prelu(mil__call *call) { return eval_channels(call, prelu); }

mil_status mil__infer_softplus_parametric(mil__call *call) {
    int rank = mil__rank(mil__arg(call, "x"));
    if (rank < 3)
        return mil__call_fail(call, MIL_ETYPE, "x takes rank 3 or above, but %s has rank %d",
                              MIL__ARG_TEXT(call, "x"), rank);
    MIL__TRY(check_channels(call, "alpha"));
    MIL__TRY(check_channels(call, "beta"));
    return mil__infer_like_first(call);
}

static void softplus_parametric(const void *ctx, int64_t channel, int64_t n, const void *in, void *out) {
    const double *x = in, alpha = channel_value(ctx, 1, channel), beta = channel_value(ctx, 2, channel);
    double *y = out;
    for (int64_t k = 0; k < n; k++) y[k] = alpha * f_softplus(beta * x[k]);
}

mil_status mil__eval_softplus_parametric(mil__call *call) { return eval_channels(call, softplus_parametric); }
