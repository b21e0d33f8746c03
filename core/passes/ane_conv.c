/* SPDX-License-Identifier: MIT */
/* Lowering of convolutions. Each has two spatial axes, every parameter given, and its bias added behind it. One by a known weight
 * whose kernel is larger than what the engine takes is made of several, which are added: a part of the kernel, from k on, sees x
 * moved by k, so it has less padding before it (or a piece of x is left out) and more behind it.
 *
 *     kernel of 20, padding of 2 and 0           kernel 0..9, padding 2, without the last 10 columns
 *                                                kernel 10..19, without the first 8
 *
 * One with strides that are as large as the kernel, or with a kernel that is too wide with them, has none on patches: every patch of
 * (stride, stride) becomes channels, in the order in which a weight [out, in, stride, stride] has them. */
#include "ops/params.h"
#include "passes/ane.h"

typedef struct settled { /* of two spatial axes */
    int64_t groups, strides[2], dilations[2], pad[4];
} settled;

/* A convolution along one axis has that as its width. */
static settled settle(const struct mil__conv_params *params) {
    settled s = {.groups = params->groups, .strides = {1, 1}, .dilations = {1, 1}};
    for (int i = 0, at = 2 - params->spatial; i < params->spatial && at >= 0; i++, at++) {
        s.strides[at] = params->strides[i];
        s.dilations[at] = params->dilations[i];
        s.pad[2 * at] = params->pad_before[i];
        s.pad[2 * at + 1] = params->pad_after[i];
    }
    return s;
}

/* [n, c, w] -> [n, c, 1, w], of fp16; NULL: failed. */
static mil_tensor *known_with_height(mil__lowering *l, const mil_tensor *data) {
    const int64_t shape[] = {data->shape[0], data->shape[1], data->rank == 4 ? data->shape[2] : 1, data->shape[data->rank - 1]};
    return mil__ane_shaped(l, mil__ane_half(l, data), 4, shape);
}

static mil_value with_height(mil__lowering *l, mil_value old) {
    const mil_type *type = mil__old_type(l, old);
    const int64_t shape[] = {type->shape[0], type->shape[1], 1, mil__last(type)};
    if (mil__old_data(l, old)) return mil__ane_const(l, known_with_height(l, mil__old_data(l, old)));
    mil_value value = mil__ane_get(l, old, MIL__OWN);
    return type->rank == 3 ? mil__ane_reshape(l, value, 4, shape) : value;
}

static mil_value add_bias(mil__lowering *l, const mil__op *op, mil_value y) {
    mil_value bias = mil__ane_arg(op, "bias");
    const mil_tensor *data = bias ? mil__old_data(l, bias) : NULL;
    if (!bias || (data && mil__ane_is_zero(data))) return y;
    const int64_t shape[] = {1, mil__old_type(l, bias)->shape[0], 1, 1};
    if (data) return mil__ane_binary(l, "add", y, mil__ane_const(l, mil__ane_shaped(l, mil__ane_half(l, data), 4, shape)));
    return mil__ane_binary(l, "add", y, mil__ane_reshape(l, mil__ane_get(l, bias, MIL__OWN), 4, shape));
}

static mil_value convolved(mil__lowering *l, mil_value x, mil_value weight, const settled *s) {
    bool is_padded = s->pad[0] || s->pad[1] || s->pad[2] || s->pad[3];
    return MIL__ADD(l, "conv", MIL__VALUE("x", x), MIL__VALUE("weight", weight), MIL__INTS("strides", 2, s->strides),
                    MIL__WORD("pad_type", is_padded || l->is_e5rt ? "custom" : "valid"), MIL__INTS("pad", 4, s->pad),
                    MIL__INTS("dilations", 2, s->dilations), MIL__INT_("groups", s->groups));
}

mil_value mil__ane_as_conv(mil__lowering *l, mil_value x) {
    if (!x || l->status != MIL_OK) return 0;
    int64_t channels = mil__new_type(l, x)->shape[1];
    const settled each = {.groups = channels, .strides = {1, 1}, .dilations = {1, 1}};
    mil_tensor *ones = NULL;
    if (mil_tensor_new(MIL_FP16, 4, (const int64_t[]){channels, 1, 1, 1}, &ones, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), 0;
    for (int64_t c = 0; c < channels; c++) ((uint16_t *)ones->data)[c] = mil__double_to_half(1);
    return convolved(l, x, mil__ane_const(l, ones), &each);
}

/* ---- by a known weight ---- */

static mil_value by_known(mil__lowering *l, mil_value x, mil_tensor *weight, settled s); /* takes the weight over */

/* The weight's elements from..from + n along an axis, in memory of their own. */
static mil_tensor *part_of(mil__lowering *l, mil_tensor *weight, int axis, int64_t from, int64_t n) {
    int64_t begin[4] = {0}, size[4];
    mil_tensor *view = NULL, *dense = NULL;
    memcpy(size, weight->shape, sizeof size);
    begin[axis] = from, size[axis] = n;
    bool made = mil_tensor_slice(weight, begin, size, NULL, &view, l->err) == MIL_OK &&
                mil_tensor_convert(view, view->dtype, &dense, l->err) == MIL_OK;
    mil_tensor_free(view);
    if (!made) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    return dense;
}

/* What a part of the kernel gives; 0: it sees padding only (or the lowering failed). */
static mil_value by_part(mil__lowering *l, mil_value x, mil_tensor *weight, settled s, int axis, int64_t from, int64_t n) {
    int64_t begin[4] = {0}, size[4], behind = weight->shape[2 + axis] - from - n;
    int64_t before = s.pad[2 * axis] - from * s.dilations[axis], after = s.pad[2 * axis + 1] - behind * s.dilations[axis];
    if (!x || l->status != MIL_OK) return 0;
    memcpy(size, mil__new_type(l, x)->shape, sizeof size);
    begin[2 + axis] = before < 0 ? -before : 0;
    size[2 + axis] += (before < 0 ? before : 0) + (after < 0 ? after : 0);
    if (size[2 + axis] < 1) return 0;
    s.pad[2 * axis] = before < 0 ? 0 : before;
    s.pad[2 * axis + 1] = after < 0 ? 0 : after;
    mil_tensor *part = part_of(l, weight, 2 + axis, from, n);
    return part ? by_known(l, mil__ane_slice(l, x, begin, size), part, s) : 0;
}

/* Of input channels: a part of them. */
static mil_value by_channels(mil__lowering *l, mil_value x, mil_tensor *weight, settled s, int64_t from, int64_t n) {
    int64_t begin[4] = {0, from, 0, 0}, size[4];
    if (!x || l->status != MIL_OK) return 0;
    memcpy(size, mil__new_type(l, x)->shape, sizeof size);
    size[1] = n;
    mil_tensor *part = part_of(l, weight, 1, from, n);
    return part ? by_known(l, mil__ane_slice(l, x, begin, size), part, s) : 0;
}

/* The sum of parts of the weight along an axis (1: of input channels), each of `most` at most, about as large as the others. */
static mil_value in_parts(mil__lowering *l, mil_value x, mil_tensor *weight, settled s, int axis, int64_t most) {
    int64_t n = weight->shape[axis], parts = (n + most - 1) / most;
    mil_value sum = 0;
    for (int64_t i = 0; i < parts && l->status == MIL_OK; i++) {
        int64_t from = n * i / parts, count = n * (i + 1) / parts - from;
        mil_value part = axis == 1 ? by_channels(l, x, weight, s, from, count) : by_part(l, x, weight, s, axis - 2, from, count);
        sum = sum && part ? mil__ane_binary(l, "add", sum, part) : sum ? sum : part;
    }
    mil_tensor_free(weight);
    return sum;
}

/* [out, in, h, w] -> [out, in * sh * sw, H, W], where H * sh >= h: zeros are behind the kernel. */
static mil_tensor *weight_of_patches(mil__lowering *l, mil_tensor *weight, const int64_t strides[2], int64_t h, int64_t w) {
    int64_t out = weight->shape[0], in = weight->shape[1], kh = weight->shape[2], kw = weight->shape[3], sh = strides[0], sw = strides[1];
    mil_tensor *made = NULL;
    if (mil_tensor_new(MIL_FP16, 4, (const int64_t[]){out, in * sh * sw, h, w}, &made, l->err) != MIL_OK)
        return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), NULL;
    const uint16_t *from = weight->data;
    uint16_t *to = made->data;
    for (int64_t channel = 0; channel < out * in; channel++)
        for (int64_t i = 0; i < kh; i++)
            for (int64_t j = 0; j < kw; j++)
                to[(((channel * sh + i % sh) * sw + j % sw) * h + i / sh) * w + j / sw] = from[(channel * kh + i) * kw + j];
    return made;
}

/* x with as many rows and columns before and behind it; below 0: without as many of its own behind. */
static mil_value framed(mil__lowering *l, mil_value x, const int64_t frame[4]) {
    int64_t begin[4] = {0}, size[4], pad[8] = {0};
    if (!x || l->status != MIL_OK) return 0;
    memcpy(size, mil__new_type(l, x)->shape, sizeof size);
    for (int i = 0; i < 4; i++) {
        pad[4 + i] = frame[i] > 0 ? frame[i] : 0;
        size[2 + i / 2] += frame[i] < 0 ? frame[i] : 0;
    }
    x = mil__ane_slice(l, x, begin, size);
    if (!(pad[4] || pad[5] || pad[6] || pad[7])) return x;
    return MIL__ADD(l, "pad", MIL__VALUE("x", x), MIL__INTS("pad", 8, pad), MIL__WORD("mode", "constant"), MIL__NUMBER("constant_val", 0));
}

/* A kernel of h by w patches, of which there are as many more than results. */
static mil_value by_patches(mil__lowering *l, mil_value x, mil_tensor *weight, settled s) {
    int64_t kernel[2], frame[4];
    const mil_type *type = x ? mil__new_type(l, x) : NULL;
    for (int i = 0; type && i < 2; i++) {
        int64_t all = type->shape[2 + i] + s.pad[2 * i] + s.pad[2 * i + 1], results = (all - weight->shape[2 + i]) / s.strides[i] + 1;
        kernel[i] = (weight->shape[2 + i] + s.strides[i] - 1) / s.strides[i];
        frame[2 * i] = s.pad[2 * i];
        frame[2 * i + 1] = (results + kernel[i] - 1) * s.strides[i] - type->shape[2 + i] - s.pad[2 * i];
    }
    mil_value patches = type ? mil__ane_patches(l, framed(l, x, frame), s.strides[0], s.strides[1]) : 0;
    mil_tensor *made = patches ? weight_of_patches(l, weight, s.strides, kernel[0], kernel[1]) : NULL;
    mil_tensor_free(weight);
    return made ? by_known(l, patches, made, (settled){.groups = s.groups, .strides = {1, 1}, .dilations = {1, 1}}) : 0;
}

static bool is_of_patches(const mil_tensor *weight, const settled *s, int64_t widest) {
    bool is_strided = s->strides[0] > 1 || s->strides[1] > 1, is_dense = s->dilations[0] == 1 && s->dilations[1] == 1;
    bool is_patch = weight->shape[2] == s->strides[0] && weight->shape[3] == s->strides[1];
    return is_strided && is_dense && (is_patch || weight->shape[3] > widest);
}

/* What the engine takes of a kernel: 13 columns before M4, then 15; with strides 7 on M1, then 8; 29 rows on M1, then 32; and less than
 * 32000 input channels on the direct route. */
static mil_value by_known(mil__lowering *l, mil_value x, mil_tensor *weight, settled s) {
    enum { TOO_MANY = 32000, CHANNELS = 16000 };
    bool is_strided = s.strides[0] > 1 || s.strides[1] > 1, is_m1 = l->chip <= 1;
    int64_t strided = is_m1 ? 7 : 8, widest = is_strided ? strided : l->chip >= 4 ? 15 : 13, highest = is_m1 ? 29 : 32;
    if (is_of_patches(weight, &s, strided)) return by_patches(l, x, weight, s);
    if (weight->shape[3] > widest) return in_parts(l, x, weight, s, 3, widest);
    if (weight->shape[2] > highest) return in_parts(l, x, weight, s, 2, highest);
    if (weight->shape[1] >= TOO_MANY && s.groups == 1 && !l->is_e5rt) return in_parts(l, x, weight, s, 1, CHANNELS);
    return convolved(l, x, mil__ane_const(l, weight), &s);
}

static const settled plain = {.groups = 1, .strides = {1, 1}, .dilations = {1, 1}};

static mil_value with_bias(mil__lowering *l, mil_value y, const mil_tensor *bias) {
    if (!bias || l->status != MIL_OK) return y;
    mil_value b = mil__ane_const(l, mil__ane_shaped(l, mil__ane_half(l, bias), 4, (const int64_t[]){1, mil__numel(bias), 1, 1}));
    return mil__ane_binary(l, "add", y, b);
}

mil_value mil__ane_project(mil__lowering *l, mil_value x, const mil_tensor *weight, const mil_tensor *bias) {
    if (!x || l->status != MIL_OK) return 0;
    mil_tensor *w = mil__ane_shaped(l, mil__ane_half(l, weight), 4, (const int64_t[]){weight->shape[0], weight->shape[1], 1, 1});
    return with_bias(l, w ? by_known(l, x, w, plain) : 0, bias);
}

mil_value mil__ane_project_kept(mil__lowering *l, mil_value x, mil_value weight, bool is_turned, const mil_tensor *bias) {
    const int64_t *own = mil__old_type(l, weight)->shape, shape[] = {own[is_turned], own[!is_turned], 1, 1};
    if (!x || l->status != MIL_OK) return 0;
    return with_bias(l, convolved(l, x, mil__ane_kept(l, weight, is_turned, shape), &plain), bias);
}

/* [out, in, h, w] or [out, in, w]. */
static mil_value kept_with_height(mil__lowering *l, mil_value old) {
    const mil_type *type = mil__old_type(l, old);
    return mil__ane_kept(l, old, false, (const int64_t[]){type->shape[0], type->shape[1], type->rank == 3 ? 1 : type->shape[2], mil__last(type)});
}

/* ---- by a weight that only a run knows ---- */

/* What one element of the kernel sees: [n, c, 1, h * w] of results. */
static mil_value tap_of(mil__lowering *l, mil_value x, const settled *s, const int64_t at[2], const int64_t results[2]) {
    for (int i = 0; i < 2; i++) x = mil__ane_strided(l, x, 2 + i, at[i] * s->dilations[i], results[i], s->strides[i]);
    if (!x) return 0;
    const int64_t *shape = mil__new_type(l, x)->shape;
    return mil__ane_reshape(l, x, 4, (const int64_t[]){shape[0], shape[1], 1, results[0] * results[1]});
}

/* The product of the weight's rows and of what the kernel's elements see: [1, g, out / g, in * taps] by [n, g, in * taps, h * w]. */
static mil_value by_value(mil__lowering *l, mil_value x, mil_value weight, const settled *s) {
    int64_t results[2];
    if (!x || !weight || l->status != MIL_OK) return 0;
    const int64_t *w = mil__new_type(l, weight)->shape;
    x = framed(l, x, s->pad);
    const int64_t *shape = x ? mil__new_type(l, x)->shape : NULL;
    mil_value *taps = mil__arena_zero(&l->arena, (size_t)(w[2] * w[3]), sizeof *taps);
    if (!taps) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    if (!shape || !taps) return 0;
    for (int i = 0; i < 2; i++) results[i] = (shape[2 + i] - (w[2 + i] - 1) * s->dilations[i] - 1) / s->strides[i] + 1;
    for (int64_t i = 0; i < w[2] * w[3]; i++) taps[i] = tap_of(l, x, s, (const int64_t[]){i / w[3], i % w[3]}, results);
    int64_t inner = w[1] * w[2] * w[3], area = results[0] * results[1];
    mil_value seen = mil__ane_reshape(l, mil__ane_concat(l, taps, (size_t)(w[2] * w[3]), 2), 4, (const int64_t[]){shape[0], s->groups, inner, area});
    mil_value rows = mil__ane_reshape(l, weight, 4, (const int64_t[]){1, s->groups, w[0] / s->groups, inner});
    return mil__ane_reshape(l, mil__ane_matmul(l, rows, seen, false, false), 4, (const int64_t[]){shape[0], w[0], results[0], results[1]});
}

/* The direct route ignores such a weight, e5rt takes it for a batch of one. */
static bool is_taken(const mil__lowering *l, mil_value x, mil_value weight) {
    return l->is_e5rt && x && weight && mil__new_type(l, x)->shape[0] == 1 && mil__new_type(l, weight)->shape[3] <= 13;
}

/* ---- over three spatial axes ---- */

/* By a known weight [out, in, kd, kh, kw]: the sum over the kernel's depth of convolutions with depths as batches,
 *     [n, c, d, h * w]  ->  [n, d, c, h * w]  ->  [n * results, c, h, w]  ->  [n * results, out, ..]  and back. */
static mil_value by_depth(mil__lowering *l, const mil__op *op, const struct mil__conv_params *params) {
    static const int swap[] = {0, 2, 1, 3};
    const int64_t *in = mil__old_type(l, mil__ane_arg(op, "x"))->shape, *out = mil__old_type(l, op->outputs[0])->shape;
    const int64_t *w = mil__old_type(l, mil__ane_arg(op, "weight"))->shape, depths = out[2];
    struct mil__conv_params plane = *params;
    plane.spatial = 2;
    for (int i = 0; i < 2; i++) {
        plane.strides[i] = params->strides[i + 1], plane.dilations[i] = params->dilations[i + 1];
        plane.pad_before[i] = params->pad_before[i + 1], plane.pad_after[i] = params->pad_after[i + 1];
    }
    mil_value x = mil__ane_reshape(l, mil__ane_get(l, mil__ane_arg(op, "x"), MIL__PLAIN), 4, (const int64_t[]){in[0], in[1], in[2], in[3] * in[4]});
    x = mil__ane_transpose(l, mil__ane_pad(l, x, 2, params->pad_before[0], params->pad_after[0], NULL, 0), swap);
    mil_tensor *all = mil__ane_shaped(l, mil__ane_half(l, mil__old_data(l, mil__ane_arg(op, "weight"))), 4, (const int64_t[]){w[0], w[1], w[2], w[3] * w[4]});
    mil_value sum = 0;
    for (int64_t k = 0; k < w[2] && l->status == MIL_OK; k++) {
        mil_value part = mil__ane_strided(l, x, 1, k * params->dilations[0], depths, params->strides[0]);
        part = mil__ane_reshape(l, part, 4, (const int64_t[]){in[0] * depths, in[1], in[3], in[4]});
        mil_tensor *weight = mil__ane_shaped(l, part_of(l, all, 2, k, 1), 4, (const int64_t[]){w[0], w[1], w[3], w[4]});
        part = weight ? by_known(l, part, weight, settle(&plane)) : 0;
        sum = sum ? mil__ane_binary(l, "add", sum, part) : part;
    }
    mil_tensor_free(all);
    return mil__ane_transpose(l, mil__ane_reshape(l, sum, 4, (const int64_t[]){in[0], depths, out[1], out[3] * out[4]}), swap);
}

/* ---- rules ---- */

bool mil__lower_conv(mil__lowering *l, const mil__op *op) {
    const struct mil__conv_params *params = mil__ane_params(l, op);
    const mil_tensor *data = params ? mil__old_data(l, mil__ane_arg(op, "weight")) : NULL;
    if (!params || (params->spatial > 2 && !data)) return !params;
    mil_value y;
    if (params->spatial > 2) {
        y = by_depth(l, op, params);
    } else {
        settled s = settle(params);
        mil_value given = mil__ane_arg(op, "weight");
        bool is_kept = mil__ane_is_kept(l->from, given);
        mil_value x = with_height(l, mil__ane_arg(op, "x")), weight = data ? 0 : is_kept ? kept_with_height(l, given) : with_height(l, given);
        mil_tensor *known = data ? known_with_height(l, data) : NULL;
        if (data) y = known ? by_known(l, x, known, s) : 0;
        else y = is_kept || is_taken(l, x, weight) ? convolved(l, x, weight, &s) : by_value(l, x, weight, &s);
    }
    mil__ane_give_any(l, op->outputs[0], add_bias(l, op, y));
    return true;
}

/* ---- transposed ---- */

/* Element (i, j) of result (q * stride + i, ..) is a convolution by every stride-th element of the kernel, from the last one on:
 * [in, out / g, kh, kw]  ->  [out * sh * sw, in / g, H, W]. */
static mil_tensor *weight_of_places(mil__lowering *l, const mil_tensor *weight, const settled *s, const int64_t kernel[2]) {
    int64_t g = s->groups, in = weight->shape[0] / g, out = weight->shape[1], kh = weight->shape[2], kw = weight->shape[3];
    int64_t sh = s->strides[0], sw = s->strides[1];
    mil_tensor *made = NULL;
    if (mil_tensor_new(MIL_FP16, 4, (const int64_t[]){g * out * sh * sw, in, kernel[0], kernel[1]}, &made, l->err) != MIL_OK)
        return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), NULL;
    const uint16_t *from = weight->data;
    uint16_t *to = made->data;
    for (int64_t at = 0; at < g * in * out; at++) /* [g][in][out] */
        for (int64_t i = 0; i < kh; i++)
            for (int64_t j = 0; j < kw; j++) {
                int64_t channel = ((at / (in * out) * out + at % out) * sh + i % sh) * sw + j % sw, row = kernel[0] - 1 - i / sh;
                to[((channel * in + at / out % in) * kernel[0] + row) * kernel[1] + kernel[1] - 1 - j / sw] = from[(at * kh + i) * kw + j];
            }
    return made;
}

/* A convolution that makes all places between two of x's as channels, and these moved there. */
static mil_value by_places(mil__lowering *l, mil_value x, const mil_tensor *weight, const settled *s, const int64_t shape[4]) {
    int64_t kernel[2], begin[] = {0, 0, s->pad[0], s->pad[2]};
    for (int i = 0; i < 2; i++) kernel[i] = (weight->shape[2 + i] + s->strides[i] - 1) / s->strides[i];
    mil_tensor *made = x ? weight_of_places(l, weight, s, kernel) : NULL;
    settled whole = {.groups = s->groups, .strides = {1, 1}, .dilations = {1, 1}, .pad = {kernel[0] - 1, kernel[0] - 1, kernel[1] - 1, kernel[1] - 1}};
    return made ? mil__ane_slice(l, mil__ane_places(l, by_known(l, x, made, whole), s->strides[0], s->strides[1]), begin, shape) : 0;
}

/* Does the kernel go beyond what the engine takes? With dilations it is left. */
static bool is_spread_far(const mil__lowering *l, const mil_type *weight, const settled *s) {
    bool is_strided = s->strides[0] > 1 || s->strides[1] > 1, is_dense = s->dilations[0] == 1 && s->dilations[1] == 1;
    int64_t widest = is_strided ? (l->chip <= 1 ? 7 : 8) : 13, highest = 29;
    return is_dense && (mil__last(weight) > widest || (weight->rank == 4 && weight->shape[2] > highest));
}

/* Its result's shape is given, since a pad and an output_shape can say different things. */
bool mil__lower_conv_transpose(mil__lowering *l, const mil__op *op) {
    const struct mil__conv_params *params = mil__ane_params(l, op);
    const mil_type *type = mil__old_type(l, op->outputs[0]);
    if (!params || params->spatial > 2) return !params;
    settled s = settle(params);
    for (int i = 0; i < 4; i++)
        if (s.pad[i] < 0) return false;
    int64_t shape[] = {type->shape[0], type->shape[1], type->rank == 4 ? type->shape[2] : 1, mil__last(type)};
    mil_value x = with_height(l, mil__ane_arg(op, "x")), weight = mil__ane_arg(op, "weight");
    const mil_tensor *data = mil__old_data(l, weight);
    if (data && is_spread_far(l, mil__old_type(l, weight), &s)) {
        mil_tensor *known = known_with_height(l, data);
        mil__ane_give_any(l, op->outputs[0], add_bias(l, op, known ? by_places(l, x, known, &s, shape) : 0));
        mil_tensor_free(known);
        return true;
    }
    mil_value w = with_height(l, weight);
    mil_value y = MIL__ADD(l, "conv_transpose", MIL__VALUE("x", x), MIL__VALUE("weight", w), MIL__INTS("strides", 2, s.strides),
                           MIL__WORD("pad_type", "custom"), MIL__INTS("pad", 4, s.pad), MIL__INTS("dilations", 2, s.dilations),
                           MIL__INT_("groups", s.groups), MIL__INTS("output_shape", 4, shape));
    mil__ane_give_any(l, op->outputs[0], add_bias(l, op, y));
    return true;
}
