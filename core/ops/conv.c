/* SPDX-License-Identifier: MIT */
/* conv: inference and plain evaluation.
 *
 * Both evaluations walk the same pairs of positions: output o and tap t of a convolution read input o * stride + t * dilation -
 * before. The transpose goes the other way: what conv reads, it writes. All is seen as three spatial axes, missing ones in
 * front and of extent 1; sums are kept in double, a plane of the result at a time. */
#include "ops/params.h"
#include "ops/rules.h"
#include "ops/windows.h"

/* ---- inference ---- */

/* groups, and weight's rank and kernel. */
static mil_status read_weight(mil__call *call, mil__windows *w, int64_t *groups) {
    const mil__operand *weight = mil__arg(call, "weight");
    MIL__TRY(mil__windows_spatial(call, w));
    MIL__TRY(mil__get_int(call, "groups", groups));
    if (*groups < 1) return mil__call_fail(call, MIL_EVALUE, "groups is %lld; 1 and more is possible", (long long)*groups);
    if (mil__rank(weight) != w->spatial + 2)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the rank of %s", MIL__ARG_TEXT(call, "weight"),
                              MIL__ARG_TEXT(call, "x"));
    for (int i = 0; i < w->spatial; i++) {
        w->kernel[i] = mil__dim(weight, i + 2);
        if (w->kernel[i] < 1)
            return mil__call_fail(call, MIL_ETYPE, "%s takes kernel extents that are known and above 0",
                                  MIL__ARG_TEXT(call, "weight"));
    }
    return MIL_OK;
}

/* One element for each of the result's channels. */
static mil_status check_bias(mil__call *call, mil_dim c_out) {
    const mil__operand *bias = mil__arg(call, "bias");
    if (!bias || (mil__rank(bias) == 1 && mil__dim(bias, 0) == c_out)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s takes one element for each of the %s channels that come out",
                          MIL__ARG_TEXT(call, "bias"), MIL__DIM_TEXT(call->types, c_out));
}

static bool divides(int64_t groups, mil_dim n) { return n < 0 || n % groups == 0; }

static mil_status check_channels(mil__call *call, int64_t groups) {
    const mil__operand *x = mil__arg(call, "x"), *weight = mil__arg(call, "weight");
    mil_dim c_in = mil__dim(x, 1), per_group = mil__dim(weight, 1);
    if (!divides(groups, c_in))
        return mil__call_fail(call, MIL_EVALUE, "groups (%lld) does not divide the %lld channels of %s", (long long)groups,
                              (long long)c_in, MIL__ARG_TEXT(call, "x"));
    if (!divides(groups, mil__dim(weight, 0)))
        return mil__call_fail(call, MIL_EVALUE, "groups (%lld) does not divide the %lld kernels of %s", (long long)groups,
                              (long long)mil__dim(weight, 0), MIL__ARG_TEXT(call, "weight"));
    if (c_in < 0 || c_in == mil__dim_mul(call->types, per_group, groups)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s takes %s input channels (groups = %lld), but %s has %lld",
                          MIL__ARG_TEXT(call, "weight"),
                          MIL__DIM_TEXT(call->types, mil__dim_mul(call->types, per_group, groups)), (long long)groups,
                          MIL__ARG_TEXT(call, "x"), (long long)c_in);
}

/* What evaluation and the kernels need; pads where x's extents are known. */
static void leave_params(mil__call *call, const mil__windows *w, int64_t groups) {
    struct mil__conv_params *p = call->params;
    p->spatial = w->spatial;
    p->groups = groups;
    memcpy(p->kernel, w->kernel, sizeof p->kernel);
    memcpy(p->strides, w->strides, sizeof p->strides);
    memcpy(p->dilations, w->dilations, sizeof p->dilations);
}

mil_status mil__infer_conv(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x"), *weight = mil__arg(call, "weight");
    mil__windows w = {0};
    int64_t groups;
    mil_dim shape[5] = {mil__rank(x) ? mil__dim(x, 0) : 0};
    MIL__TRY(read_weight(call, &w, &groups));
    MIL__TRY(check_channels(call, groups));
    MIL__TRY(check_bias(call, mil__dim(weight, 0)));
    MIL__TRY(mil__windows_read(call, true, &w));
    leave_params(call, &w, groups);
    struct mil__conv_params *p = call->params;
    shape[1] = mil__dim(weight, 0);
    for (int i = 0; i < w.spatial; i++) {
        mil_dim n = mil__dim(x, i + 2);
        if (w.dilations[i] > 1 && !weight->is_const)
            return mil__call_fail(call, MIL_EVALUE, "dilations above 1 take a const weight, but %s is known only at run time",
                                  MIL__ARG_TEXT(call, "weight"));
        MIL__TRY(mil__windows_out(call, &w, i, n, &shape[i + 2]));
        if (n >= 0) mil__windows_pad(&w, i, n, &p->pad_before[i], &p->pad_after[i]);
    }
    return mil__call_tensor(call, x->type->dtype, w.spatial + 2, shape);
}

/* The extents that output_shape gives; the first two must be the batch and the channels. */
static mil_status read_output_shape(mil__call *call, int spatial, mil_dim *shape) {
    int64_t given[5];
    MIL__TRY(mil__windows_vector(call, "output_shape", spatial + 2, 1, 1, given));
    if (given[0] != shape[0] || given[1] != shape[1])
        return mil__call_fail(call, MIL_EVALUE, "output_shape begins with [%lld, %lld], but batch and channels are [%s, %s]",
                              (long long)given[0], (long long)given[1], MIL__DIM_TEXT(call->types, shape[0]),
                              MIL__DIM_TEXT(call->types, shape[1]));
    for (int i = 0; i < spatial; i++) shape[i + 2] = given[i + 2];
    return MIL_OK;
}

/* The extent of a transpose without output_shape, and what `full` (nothing cut off) is. */
static mil_dim transposed(mil__types *t, const mil__windows *w, int i, mil_dim n, mil_dim *full) {
    mil_dim scaled = mil__dim_mul(t, n, w->strides[i]);
    *full = mil__dim_add(t, scaled, mil__dim_number(t, mil__windows_reach(w, i) - w->strides[i]));
    if (w->pad_type == MIL__PAD_SAME) return scaled;
    return mil__dim_sub(t, *full, w->before[i] + w->after[i]);
}

mil_status mil__infer_conv_transpose(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x"), *weight = mil__arg(call, "weight");
    mil__windows w = {0};
    int64_t groups;
    mil_dim shape[5], full[3];
    MIL__TRY(read_weight(call, &w, &groups));
    mil_dim c_in = mil__dim(x, 1);
    if (c_in >= 0 && mil__dim(weight, 0) >= 0 && c_in != mil__dim(weight, 0))
        return mil__call_fail(call, MIL_ETYPE, "%s takes %lld input channels, but %s has %lld", MIL__ARG_TEXT(call, "weight"),
                              (long long)mil__dim(weight, 0), MIL__ARG_TEXT(call, "x"), (long long)c_in);
    if (!divides(groups, mil__dim(weight, 0)))
        return mil__call_fail(call, MIL_EVALUE, "groups (%lld) does not divide the %lld input channels", (long long)groups,
                              (long long)mil__dim(weight, 0));
    MIL__TRY(mil__windows_read(call, true, &w));
    if (w.pad_type == MIL__PAD_SAME_LOWER)
        return mil__call_fail(call, MIL_EVALUE, "pad_type \"same_lower\" is none of valid, custom, same");
    leave_params(call, &w, groups);
    shape[0] = mil__dim(x, 0);
    shape[1] = mil__dim_mul(call->types, mil__dim(weight, 1), groups);
    MIL__TRY(check_bias(call, shape[1]));
    for (int i = 0; i < w.spatial; i++) shape[i + 2] = transposed(call->types, &w, i, mil__dim(x, i + 2), &full[i]);
    if (mil__has(call, "output_shape")) MIL__TRY(read_output_shape(call, w.spatial, shape));
    struct mil__conv_params *p = call->params;
    for (int i = 0; i < w.spatial; i++) {
        if (mil__dim(x, i + 2) >= 0 && shape[i + 2] < 1)
            return mil__call_fail(call, MIL_ETYPE, "spatial axis %d of the result has no element", i);
        if (full[i] < 0 || shape[i + 2] < 0) continue;
        int64_t cut = full[i] - shape[i + 2];
        p->pad_before[i] = w.pad_type == MIL__PAD_SAME ? (cut > 0 ? cut / 2 : 0) : w.before[i];
        p->pad_after[i] = cut - p->pad_before[i]; /* below 0: positions that x does not reach */
    }
    return mil__call_tensor(call, x->type->dtype, w.spatial + 2, shape);
}

/* ---- evaluation ---- */

/* A convolution over three spatial axes: `in` is what windows read (conv: x, transpose: the result). */
typedef struct geometry {
    int64_t batch, c_in, c_out, groups;       /* c_in: x's channels, c_out: the result's */
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], before[3];
    int64_t in_plane, out_plane, n_taps;
} geometry;

static int64_t product(const int64_t *n) { return n[0] * n[1] * n[2]; }

static geometry geometry_of(const mil__call *call, const mil_tensor *in, const mil_tensor *out) {
    const struct mil__conv_params *p = call->params;
    const mil_tensor *x = mil__arg(call, "x")->data;
    geometry g = {.batch = x->shape[0], .c_in = x->shape[1], .c_out = call->result[0]->shape[1], .groups = p->groups};
    for (int i = 0; i < 3; i++) {
        int at = i - (3 - p->spatial);
        bool real = at >= 0;
        g.in[i] = real ? in->shape[at + 2] : 1;
        g.out[i] = real ? out->shape[at + 2] : 1;
        g.kernel[i] = real ? p->kernel[at] : 1;
        g.stride[i] = real ? p->strides[at] : 1;
        g.dilation[i] = real ? p->dilations[at] : 1;
        g.before[i] = real ? p->pad_before[at] : 0;
    }
    g.in_plane = product(g.in);
    g.out_plane = product(g.out);
    g.n_taps = product(g.kernel);
    return g;
}

/* The outputs [*begin, *end) along axis i whose tap t reads inside. */
static void inside(const geometry *g, int i, int64_t t, int64_t *begin, int64_t *end) {
    int64_t at = t * g->dilation[i] - g->before[i]; /* read by output 0 */
    *begin = at >= 0 ? 0 : (-at + g->stride[i] - 1) / g->stride[i];
    *end = at >= g->in[i] ? 0 : (g->in[i] - 1 - at) / g->stride[i] + 1;
    if (*end > g->out[i]) *end = g->out[i];
}

/* For one tap: out plane += w * in plane at the positions that go with it, or (backwards) in plane += w * out plane. */
static void add_tap(const geometry *g, const int64_t *t, double w, double *out, double *in, bool backwards) {
    int64_t begin[3], end[3], at[3];
    for (int i = 0; i < 3; i++) {
        inside(g, i, t[i], &begin[i], &end[i]);
        at[i] = t[i] * g->dilation[i] - g->before[i];
    }
    for (int64_t a = begin[0]; a < end[0]; a++)
        for (int64_t b = begin[1]; b < end[1]; b++) {
            double *o = out + (a * g->out[1] + b) * g->out[2];
            double *i = in + ((a * g->stride[0] + at[0]) * g->in[1] + b * g->stride[1] + at[1]) * g->in[2];
            int64_t from = at[2], step = g->stride[2];
            if (backwards)
                for (int64_t c = begin[2]; c < end[2]; c++) i[c * step + from] += w * o[c];
            else
                for (int64_t c = begin[2]; c < end[2]; c++) o[c] += w * i[c * step + from];
        }
}

static void add_plane(const geometry *g, const double *weight, double *out, double *in, bool backwards) {
    int64_t t[3];
    for (t[0] = 0; t[0] < g->kernel[0]; t[0]++)
        for (t[1] = 0; t[1] < g->kernel[1]; t[1]++)
            for (t[2] = 0; t[2] < g->kernel[2]; t[2]++) add_tap(g, t, *weight++, out, in, backwards);
}

/* The elements of an operand as doubles, in call->arena. NULL when out of memory. */
static double *doubles(mil__call *call, const char *name) {
    const mil_tensor *data = mil__arg(call, name)->data;
    double *out = mil__arena_alloc(call->arena, (size_t)mil__numel(data) * sizeof *out + 1);
    if (out) mil__read_f64(data, out);
    return out;
}

/* All planes of the result. weight [c_out, c_in / groups, taps] for a conv, [c_in, c_out / groups, taps] backwards. */
static mil_status convolve(mil__call *call, const geometry *g, bool backwards) {
    mil_tensor *result = call->result[0];
    int64_t x_plane = backwards ? g->out_plane : g->in_plane, y_plane = backwards ? g->in_plane : g->out_plane;
    int64_t in_each = g->c_in / g->groups, out_each = g->c_out / g->groups;
    double *x = doubles(call, "x"), *w = doubles(call, "weight"), *bias = NULL;
    double *y = mil__arena_alloc(call->arena, (size_t)y_plane * sizeof *y + 1);
    if (mil__has(call, "bias")) bias = doubles(call, "bias");
    if (!x || !w || !y || (!bias && mil__has(call, "bias"))) return mil__nomem(call->err);
    for (int64_t n = 0; n < g->batch; n++)
        for (int64_t co = 0; co < g->c_out; co++) {
            int64_t group = co / out_each;
            for (int64_t i = 0; i < y_plane; i++) y[i] = bias ? bias[co] : 0;
            for (int64_t k = 0; k < in_each; k++) {
                int64_t ci = group * in_each + k;
                double *plane = x + (n * g->c_in + ci) * x_plane;
                if (backwards) add_plane(g, w + (ci * out_each + co % out_each) * g->n_taps, plane, y, true);
                else add_plane(g, w + (co * in_each + k) * g->n_taps, y, plane, false);
            }
            int64_t at = (n * g->c_out + co) * y_plane;
            for (int64_t i = 0; i < y_plane; i++) mil__store_f64(result, at + i, y[i]);
        }
    return MIL_OK;
}

/* Channels of symbolic extent are known only now. */
static mil_status check_run(mil__call *call, int64_t c_in, int64_t wanted) {
    if (c_in == wanted) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "weight takes %lld input channels, but x has %lld", (long long)wanted, (long long)c_in);
}

mil_status mil__eval_conv(mil__call *call) {
    geometry g = geometry_of(call, mil__arg(call, "x")->data, call->result[0]);
    MIL__TRY(check_run(call, g.c_in, mil__arg(call, "weight")->data->shape[1] * g.groups));
    return convolve(call, &g, false);
}

mil_status mil__eval_conv_transpose(mil__call *call) {
    geometry g = geometry_of(call, call->result[0], mil__arg(call, "x")->data);
    MIL__TRY(check_run(call, g.c_in, mil__arg(call, "weight")->data->shape[0]));
    return convolve(call, &g, true);
}
