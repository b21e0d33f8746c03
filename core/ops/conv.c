/* SPDX-License-Identifier: MIT */
/* conv: inference and plain evaluation.
 *
 * A transposed convolution is the same walk over windows with the roles of x and the result changed: windows lie on the
 * result, and each element of x adds to one. */
#include "ops/params.h"
#include "ops/rules.h"
#include "ops/windows.h"

/* ---- inference ---- */

static mil_status get_kernel(mil__call *call, mil__window_spec *spec) {
    const mil_type *weight = mil__arg(call, "weight")->type;
    if (weight->rank != spec->spatial + 2)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the rank of %s", MIL__ARG_TEXT(call, "weight"),
                              MIL__ARG_TEXT(call, "x"));
    for (int i = 0; i < spec->spatial; i++) {
        mil_dim extent = weight->shape[2 + i];
        if (extent == 0 || extent > INT32_MAX)
            return mil__call_fail(call, MIL_ETYPE, "%s takes spatial extents of 1 to %d", MIL__ARG_TEXT(call, "weight"),
                                  INT32_MAX);
        spec->kernel[i] = extent < 0 ? 0 : extent;
    }
    return MIL_OK;
}

/* What conv and conv_transpose have in common. */
static mil_status get_spec(mil__call *call, const char *pad_types, mil__window_spec *spec, int64_t *groups) {
    int pad_type;
    *spec = (mil__window_spec){.strides = {1, 1, 1}, .dilations = {1, 1, 1}};
    MIL__TRY(mil__get_spatial(call, MIL__MAX_SPATIAL, spec));
    MIL__TRY(get_kernel(call, spec));
    MIL__TRY(mil__get_by_axis(call, "strides", spec->spatial, 1, 1, spec->strides));
    MIL__TRY(mil__get_by_axis(call, "dilations", spec->spatial, 1, 1, spec->dilations));
    MIL__TRY(mil__get_choice(call, "pad_type", pad_types, &pad_type));
    spec->pad_type = (mil__pad_type)pad_type;
    if (spec->pad_type == MIL__PAD_CUSTOM) MIL__TRY(mil__get_by_axis(call, "pad", spec->spatial, 2, 0, spec->pad));
    MIL__TRY(mil__get_int(call, "groups", groups));
    if (*groups < 1)
        return mil__call_fail(call, MIL_EVALUE, "groups takes 1 or above, but is %lld", (long long)*groups);
    return MIL_OK;
}

static mil_status check_bias(mil__call *call, mil_dim channels) {
    const mil__operand *bias = mil__arg(call, "bias");
    if (!bias) return MIL_OK;
    mil_dim n = mil__rank(bias) == 1 ? mil__dim(bias, 0) : 0;
    bool fits = mil__rank(bias) == 1 && (n == channels || n < 0 || channels < 0);
    if (fits) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s must be [%s], a value for each channel of the result",
                          MIL__ARG_TEXT(call, "bias"), MIL__DIM_TEXT(call->types, channels));
}

static void leave_params(mil__call *call, const mil__window_spec *spec, int64_t groups) {
    struct mil__conv_params *params = call->params;
    params->spatial = spec->spatial;
    params->groups = groups;
    memcpy(params->kernel, spec->kernel, sizeof params->kernel);
    memcpy(params->strides, spec->strides, sizeof params->strides);
    memcpy(params->dilations, spec->dilations, sizeof params->dilations);
}

/* weight [channels of the result, channels of x / groups, ...] */
static mil_status check_channels(mil__call *call, int64_t groups) {
    mil_dim c_in = mil__dim(mil__arg(call, "x"), 1);
    mil_dim c_out = mil__dim(mil__arg(call, "weight"), 0), each = mil__dim(mil__arg(call, "weight"), 1);
    if (c_in >= 0 && c_in % groups)
        return mil__call_fail(call, MIL_ETYPE, "%s has %lld channels, which groups = %lld does not divide",
                              MIL__ARG_TEXT(call, "x"), (long long)c_in, (long long)groups);
    if (c_in >= 0 && each >= 0 && c_in / groups != each)
        return mil__call_fail(call, MIL_ETYPE, "%s takes %s input channels (groups = %lld), but %s has %lld",
                              MIL__ARG_TEXT(call, "weight"),
                              MIL__DIM_TEXT(call->types, mil__dim_mul(call->types, each, groups)), (long long)groups,
                              MIL__ARG_TEXT(call, "x"), (long long)c_in);
    if (c_out >= 0 && c_out % groups)
        return mil__call_fail(call, MIL_ETYPE, "%s gives %lld channels, which groups = %lld does not divide",
                              MIL__ARG_TEXT(call, "weight"), (long long)c_out, (long long)groups);
    return MIL_OK;
}

static mil_status check_conv(mil__call *call, const mil__window_spec *spec, int64_t groups) {
    const mil__operand *weight = mil__arg(call, "weight");
    MIL__TRY(check_channels(call, groups));
    MIL__TRY(check_bias(call, mil__dim(weight, 0)));
    if (spec->pad_type == MIL__PAD_SAME_LOWER && call->opset < MIL_IOS16)
        return mil__call_fail(call, MIL_EVALUE, "pad_type \"same_lower\" exists from opset ios16 on; this function is %s",
                              mil_opset_name(call->opset));
    for (int i = 0; i < spec->spatial; i++)
        if (!weight->is_const && spec->dilations[i] > 1)
            return mil__call_fail(call, MIL_EVALUE, "dilations above 1 take a const weight, but %s is known only at run "
                                  "time", MIL__ARG_TEXT(call, "weight"));
    return MIL_OK;
}

mil_status mil__infer_conv(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type, *weight = mil__arg(call, "weight")->type;
    struct mil__conv_params *params = call->params;
    mil__window_spec spec;
    int64_t groups;
    MIL__TRY(get_spec(call, MIL__PAD_TYPES, &spec, &groups));
    MIL__TRY(check_conv(call, &spec, groups));
    leave_params(call, &spec, groups);
    mil_dim shape[2 + MIL__MAX_SPATIAL] = {x->shape[0], weight->shape[0]};
    for (int i = 0; i < spec.spatial; i++) {
        MIL__TRY(mil__window_count(call, &spec, i, x->shape[2 + i], &shape[2 + i]));
        mil__window_padding(&spec, i, x->shape[2 + i], &params->pad_before[i], &params->pad_after[i]);
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* ---- inference of conv_quantized ---- */

static mil_status check_scale(mil__call *call, const char *name) {
    const mil_type *scale = mil__arg(call, name)->type;
    mil_dim channels = mil__dim(mil__arg(call, "weight"), 0);
    bool fits = scale->rank == 0 || (scale->rank == 1 && (scale->shape[0] == 1 || scale->shape[0] == channels || channels < 0));
    if (fits) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s must be a scalar or [%s], a value for each channel of the result", MIL__ARG_TEXT(call, name),
                          MIL__DIM_TEXT(call->types, channels));
}

mil_status mil__infer_conv_quantized(mil__call *call) {
    int64_t bits;
    int kind;
    MIL__TRY(mil__get_choice(call, "quantization_type", "linear|lut", &kind));
    MIL__TRY(mil__get_int(call, "nbits", &bits));
    if (bits < 1 || bits > 8) return mil__call_fail(call, MIL_EVALUE, "nbits takes 1 to 8, but is %lld", (long long)bits);
    MIL__TRY(mil__infer_conv(call));
    MIL__TRY(check_scale(call, "quant_scale"));
    return check_scale(call, "quant_bias");
}

/* ---- inference of conv_transpose ---- */

/* stride * (extent - 1) + reach: what x's windows reach over. */
static mil_dim whole_extent(mil__types *types, const mil__window_spec *spec, int axis, mil_dim extent) {
    if (spec->kernel[axis] == 0) return mil__dim_fresh(types);
    mil_dim starts = mil__dim_mul(types, extent, spec->strides[axis]);
    return mil__dim_add(types, starts, mil__dim_number(types, mil__window_reach(spec, axis) - spec->strides[axis]));
}

/* The result's extent where output_shape does not say it. */
static mil_dim transposed_extent(mil__types *types, const mil__window_spec *spec, int axis, mil_dim extent) {
    if (spec->pad_type == MIL__PAD_SAME) return mil__dim_mul(types, extent, spec->strides[axis]);
    int64_t cut = spec->pad[2 * axis] + spec->pad[2 * axis + 1];
    return mil__dim_sub(types, whole_extent(types, spec, axis, extent), cut);
}

/* What is cut from the whole: of "same" as much as the convolution from the result's extent back to x's would pad. */
static void leave_cut(mil__types *types, const mil__window_spec *spec, int axis, mil_dim extent, mil_dim result,
                      struct mil__conv_params *params) {
    int64_t total;
    params->pad_before[axis] = spec->pad[2 * axis];
    params->pad_after[axis] = spec->pad[2 * axis + 1];
    if (spec->pad_type != MIL__PAD_SAME) return;
    mil_dim cut = mil__dim_sub(types, whole_extent(types, spec, axis, extent), result);
    if (!mil__dim_is_number(types, cut, &total) || total < 0) total = 0;
    params->pad_before[axis] = total / 2;
    params->pad_after[axis] = total - total / 2;
}

/* shape holds n and the channels; the rest comes from output_shape. */
static mil_status get_output_shape(mil__call *call, int rank, mil_dim *shape) {
    int64_t given[MIL_MAX_RANK];
    int n;
    MIL__TRY(mil__get_vector(call, "output_shape", MIL_MAX_RANK, given, &n));
    if (n != rank)
        return mil__call_fail(call, MIL_EVALUE, "output_shape has %d values, but the result of %s has rank %d", n,
                              MIL__ARG_TEXT(call, "x"), rank);
    for (int i = 0; i < n; i++) {
        if (i < 2 ? given[i] != shape[i] : given[i] < 0)
            return mil__call_fail(call, MIL_EVALUE, "output_shape %s must have [%s, %s] in front, and no negative extent",
                                  MIL__SHAPE_TEXT(n, given), MIL__DIM_TEXT(call->types, shape[0]),
                                  MIL__DIM_TEXT(call->types, shape[1]));
        shape[i] = given[i];
    }
    return MIL_OK;
}

/* weight [channels of x, channels of the result / groups, ...] */
static mil_status check_transpose(mil__call *call, int64_t groups, mil_dim c_out) {
    mil_dim c_in = mil__dim(mil__arg(call, "x"), 1), taken = mil__dim(mil__arg(call, "weight"), 0);
    if (c_in >= 0 && taken >= 0 && c_in != taken)
        return mil__call_fail(call, MIL_ETYPE, "%s takes %lld input channels, but %s has %lld",
                              MIL__ARG_TEXT(call, "weight"), (long long)taken, MIL__ARG_TEXT(call, "x"), (long long)c_in);
    if (taken >= 0 && taken % groups)
        return mil__call_fail(call, MIL_ETYPE, "%s takes %lld input channels, which groups = %lld does not divide",
                              MIL__ARG_TEXT(call, "weight"), (long long)taken, (long long)groups);
    return check_bias(call, c_out);
}

mil_status mil__infer_conv_transpose(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type, *weight = mil__arg(call, "weight")->type;
    mil__window_spec spec;
    int64_t groups, number;
    MIL__TRY(get_spec(call, "valid|same|custom", &spec, &groups));
    mil_dim shape[2 + MIL__MAX_SPATIAL] = {x->shape[0], mil__dim_mul(call->types, weight->shape[1], groups)};
    MIL__TRY(check_transpose(call, groups, shape[1]));
    leave_params(call, &spec, groups);
    if (mil__has(call, "output_shape")) MIL__TRY(get_output_shape(call, x->rank, shape));
    for (int i = 0; i < spec.spatial; i++) {
        mil_dim extent = x->shape[2 + i], *result = &shape[2 + i];
        if (!mil__has(call, "output_shape")) *result = transposed_extent(call->types, &spec, i, extent);
        if (mil__dim_is_number(call->types, *result, &number) && number < 0)
            return mil__call_fail(call, MIL_EVALUE, "pad leaves nothing of the result along axis %d: %lld elements", i + 2,
                                  (long long)number);
        leave_cut(call->types, &spec, i, extent, *result, call->params);
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* ---- evaluation ---- */

typedef struct adding {
    double factor;
    const double *x;
    double *y;               /* the result's plane */
    bool is_transpose;
} adding;

static void add_run(void *ctx, int64_t n, int64_t out, int64_t in, int64_t step) {
    const adding *a = ctx;
    if (a->is_transpose)
        for (int64_t i = 0; i < n; i++) a->y[in + i * step] += a->factor * a->x[out + i];
    else
        for (int64_t i = 0; i < n; i++) a->y[out + i] += a->factor * a->x[in + i * step];
}

typedef struct convolution {
    mil__windows windows;
    bool is_transpose;
    int64_t group_in, group_out, groups, x_plane, y_plane;
    double *x, *weight, *bias, *plane; /* contiguous */
} convolution;

/* One channel of one image's result, from the channels of its group. */
static void convolve_plane(const convolution *c, const double *image, int64_t channel) {
    int64_t taps = mil__volume(c->windows.kernel), group = channel / c->group_out, inside = channel % c->group_out;
    for (int64_t i = 0; i < c->y_plane; i++) c->plane[i] = c->bias[channel];
    for (int64_t k = 0; k < c->group_in; k++) {
        int64_t from = group * c->group_in + k;
        int64_t at = c->is_transpose ? from * c->group_out + inside : channel * c->group_in + k;
        adding add = {.x = image + from * c->x_plane, .y = c->plane, .is_transpose = c->is_transpose};
        for (int64_t t = 0; t < taps; t++) {
            add.factor = c->weight[at * taps + t];
            mil__window_tap(&c->windows, t, add_run, &add);
        }
    }
}

static void convolve(const convolution *c, int64_t images, mil_tensor *out) {
    char *to = out->data;
    for (int64_t image = 0; image < images; image++)
        for (int64_t channel = 0; channel < c->groups * c->group_out; channel++) {
            convolve_plane(c, c->x + image * c->groups * c->group_in * c->x_plane, channel);
            mil__convert(out->dtype, to, 1, MIL_FP64, c->plane, 1, c->y_plane);
            to += c->y_plane * (int64_t)mil__element_size(out->dtype);
        }
}

static double by_channel(const mil_tensor *t, int64_t channel) {
    return mil__load_f64(t, t->rank && t->shape[0] > 1 ? channel * t->strides[0] : 0);
}

/* The codes of conv_quantized become what they stand for. */
static mil_status decode(mil__call *call, double *weight, int64_t channels, int64_t each) {
    const mil_tensor *scale = mil__arg(call, "quant_scale")->data, *bias = mil__arg(call, "quant_bias")->data;
    int kind;
    MIL__TRY(mil__get_choice(call, "quantization_type", "linear|lut", &kind));
    if (kind)
        return mil__call_fail(call, MIL_EUNSUPPORTED, "quantization_type \"lut\": no parameter of the op has the table that weight's codes point into");
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < each; i++, weight++) *weight = *weight * by_channel(scale, c) + by_channel(bias, c);
    return MIL_OK;
}

static mil_status eval_conv(mil__call *call, bool is_transpose) {
    const mil__operand *bias = mil__arg(call, "bias");
    const mil_tensor *x = mil__arg(call, "x")->data, *weight = mil__arg(call, "weight")->data;
    const struct mil__conv_params *p = call->params;
    mil_tensor *out = call->result[0];
    const int64_t *from = x->shape + 2, *to = out->shape + 2;
    convolution c = {.is_transpose = is_transpose, .groups = p->groups, .group_in = x->shape[1] / p->groups,
                     .group_out = out->shape[1] / p->groups,
                     .windows = mil__windows_of(p->spatial, is_transpose ? to : from, is_transpose ? from : to, p->kernel,
                                                p->strides, p->dilations, p->pad_before)};
    c.x_plane = mil__volume(is_transpose ? c.windows.out : c.windows.in);
    c.y_plane = mil__volume(is_transpose ? c.windows.in : c.windows.out);
    if (mil__numel(out) == 0) return MIL_OK;
    size_t n_x = (size_t)mil__numel(x), n_weight = (size_t)mil__numel(weight), channels = (size_t)out->shape[1];
    c.x = mil__arena_zero(call->arena, n_x + n_weight + channels + (size_t)c.y_plane, sizeof(double));
    if (!c.x) return mil__nomem(call->err);
    c.weight = c.x + n_x;
    c.bias = c.weight + n_weight;
    c.plane = c.bias + channels;
    mil__read_f64(x, c.x);
    mil__read_f64(weight, c.weight);
    if (mil__has(call, "quant_scale")) MIL__TRY(decode(call, c.weight, weight->shape[0], (int64_t)n_weight / weight->shape[0]));
    if (bias) mil__read_f64(bias->data, c.bias);
    convolve(&c, x->shape[0], out);
    return MIL_OK;
}

mil_status mil__eval_conv(mil__call *call) { return eval_conv(call, false); }
mil_status mil__eval_conv_quantized(mil__call *call) { return eval_conv(call, false); }
mil_status mil__eval_conv_transpose(mil__call *call) { return eval_conv(call, true); }
