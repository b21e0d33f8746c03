/* SPDX-License-Identifier: MIT */
/* tensor_transformation, continued: blocks of space that become channels or batches, and back.
 *
 *   big [N, C, H, W]                    small: a box for each place in the block
 *     a b a b
 *     c d c d     block 2 x 2    <->    a a   b b   c c   d d        each [N, C, H/2, W/2]
 *     a b a b                           a a   b b   c c   d d
 *     c d c d
 *
 * The ops differ in where in `small` the box of place k = i * width + j lies: at the channels k * C + c (depth_to_space,
 * space_to_depth), c * places + k (pixel_shuffle, pixel_unshuffle), or at the batches k * N + n (batch_to_space,
 * space_to_batch, whose big tensor may have a border that is cut off or zero). */
#include "ops/rules.h"

typedef enum layout { OUTER_CHANNELS, INNER_CHANNELS, BATCHES } layout;

typedef struct blocks {
    layout layout;
    int64_t block[2];                /* height and width */
    int64_t before[2], after[2];     /* the border of big */
} blocks;

/* ---- parameters ---- */

static mil_status get_factor(mil__call *call, const char *name, layout layout, blocks *out) {
    int64_t factor;
    MIL__TRY(mil__get_int(call, name, &factor));
    if (factor < 1 || factor > INT32_MAX) return mil__call_fail(call, MIL_EVALUE, "%s is %lld; it must be above 0", name, (long long)factor);
    *out = (blocks){.layout = layout, .block = {factor, factor}};
    return MIL_OK;
}

static mil_status get_border(mil__call *call, const char *name, blocks *out) {
    const mil__operand *shape = mil__arg(call, "block_shape"), *border = mil__arg(call, name);
    int64_t values[4] = {0};
    int n;
    bool fits = mil__rank(shape) == 1 && mil__dim(shape, 0) == 2 && mil__rank(border) == 2 && mil__dim(border, 0) == 2 &&
                mil__dim(border, 1) == 2;
    if (!fits || !shape->data || !border->data)
        return mil__call_fail(call, MIL_ETYPE, "block_shape takes 2 values and %s 2 pairs, but they are %s and %s", name,
                              MIL__ARG_TEXT(call, "block_shape"), MIL__ARG_TEXT(call, name));
    *out = (blocks){.layout = BATCHES};
    MIL__TRY(mil__get_ints(call, "block_shape", 2, out->block, &n));
    mil__read_i64(border->data, values);
    for (int i = 0; i < 2; i++) {
        out->before[i] = values[2 * i];
        out->after[i] = values[2 * i + 1];
        if (out->block[i] < 1 || out->before[i] < 0 || out->after[i] < 0)
            return mil__call_fail(call, MIL_EVALUE, "block_shape must be above 0, and %s not below", name);
    }
    return MIL_OK;
}

static mil_status get_blocks(mil__call *call, blocks *out) {
    const char *name = call->op->name;
    if (mil__rank(mil__arg(call, "x")) != 4) return mil__call_fail(call, MIL_ETYPE, "x takes rank 4, but is %s", MIL__ARG_TEXT(call, "x"));
    if (mil__has(call, "block_size")) return get_factor(call, "block_size", OUTER_CHANNELS, out);
    if (mil__has(call, "upscale_factor")) return get_factor(call, "upscale_factor", INNER_CHANNELS, out);
    if (mil__has(call, "downscale_factor")) return get_factor(call, "downscale_factor", INNER_CHANNELS, out);
    return get_border(call, name[0] == 'b' ? "crops" : "paddings", out);
}

/* ---- inference ---- */

static mil_status divide(mil__call *call, mil_dim extent, int64_t by, mil_dim *out) {
    if (extent >= 0 && extent % by)
        return mil__call_fail(call, MIL_ETYPE, "%lld of %s is no multiple of %lld", (long long)extent, MIL__ARG_TEXT(call, "x"),
                              (long long)by);
    *out = mil__dim_floordiv(call->types, extent, by);
    return MIL_OK;
}

/* x is small, the result big. */
static mil_status infer_big(mil__call *call) {
    blocks b;
    MIL__TRY(get_blocks(call, &b));
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[4] = {x->shape[0], x->shape[1]};
    int parted = b.layout == BATCHES ? 0 : 1;
    MIL__TRY(divide(call, x->shape[parted], b.block[0] * b.block[1], &shape[parted]));
    for (int i = 0; i < 2; i++) {
        mil_dim whole = mil__dim_mul(call->types, x->shape[2 + i], b.block[i]);
        shape[2 + i] = mil__dim_sub(call->types, whole, b.before[i] + b.after[i]);
        if (whole >= 0 && whole < b.before[i] + b.after[i]) return mil__call_fail(call, MIL_EVALUE, "crops leave nothing of %s", MIL__ARG_TEXT(call, "x"));
    }
    return mil__call_tensor(call, x->dtype, 4, shape);
}

/* x is big, the result small. */
static mil_status infer_small(mil__call *call) {
    blocks b;
    MIL__TRY(get_blocks(call, &b));
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[4] = {x->shape[0], x->shape[1]};
    int joined = b.layout == BATCHES ? 0 : 1;
    shape[joined] = mil__dim_mul(call->types, x->shape[joined], b.block[0] * b.block[1]);
    for (int i = 0; i < 2; i++)
        MIL__TRY(divide(call, mil__dim_add(call->types, x->shape[2 + i], b.before[i] + b.after[i]), b.block[i], &shape[2 + i]));
    return mil__call_tensor(call, x->dtype, 4, shape);
}

mil_status mil__infer_depth_to_space(mil__call *call) { return infer_big(call); }
mil_status mil__infer_pixel_shuffle(mil__call *call) { return infer_big(call); }
mil_status mil__infer_batch_to_space(mil__call *call) { return infer_big(call); }
mil_status mil__infer_space_to_depth(mil__call *call) { return infer_small(call); }
mil_status mil__infer_pixel_unshuffle(mil__call *call) { return infer_small(call); }
mil_status mil__infer_space_to_batch(mil__call *call) { return infer_small(call); }

/* ---- evaluation ---- */

/* One axis of a box: its elements s of small are big's s * block + place - before, as far as that lies in big. */
static int64_t axis_of_box(const blocks *b, int axis, int64_t place, int64_t n_big, int64_t n_small, int64_t *small, int64_t *big) {
    int64_t shift = place - b->before[axis], block = b->block[axis];
    int64_t first = shift < 0 ? (-shift + block - 1) / block : 0;
    int64_t end = n_big - shift > 0 ? (n_big - shift + block - 1) / block : 0;
    if (end > n_small) end = n_small;
    *small = first;
    *big = first * block + shift;
    return end > first ? end - first : 0;
}

/* The box at place (i, j): its shape, where it begins, and its strides in both tensors. */
static void box_at(const blocks *b, const mil_tensor *big, const mil_tensor *small, int64_t i, int64_t j, int64_t shape[4],
                   int64_t *in_big, int64_t *in_small, int64_t big_strides[4], int64_t small_strides[4]) {
    int64_t at_small[2], at_big[2], place = i * b->block[1] + j, places = b->block[0] * b->block[1];
    shape[0] = big->shape[0];
    shape[1] = big->shape[1];
    shape[2] = axis_of_box(b, 0, i, big->shape[2], small->shape[2], &at_small[0], &at_big[0]);
    shape[3] = axis_of_box(b, 1, j, big->shape[3], small->shape[3], &at_small[1], &at_big[1]);
    memcpy(big_strides, big->strides, 4 * sizeof *big_strides);
    memcpy(small_strides, small->strides, 4 * sizeof *small_strides);
    *in_big = at_big[0] * big->strides[2] + at_big[1] * big->strides[3];
    *in_small = at_small[0] * small->strides[2] + at_small[1] * small->strides[3];
    big_strides[2] *= b->block[0];
    big_strides[3] *= b->block[1];
    if (b->layout == OUTER_CHANNELS) *in_small += place * shape[1] * small->strides[1];
    if (b->layout == INNER_CHANNELS) *in_small += place * small->strides[1];
    if (b->layout == INNER_CHANNELS) small_strides[1] *= places;
    if (b->layout == BATCHES) *in_small += place * shape[0] * small->strides[0];
}

static mil_status move_boxes(mil__call *call, bool to_big) {
    mil_tensor *out = call->result[0];
    const mil_tensor *x = mil__arg(call, "x")->data, *big = to_big ? out : x, *small = to_big ? x : out;
    int64_t shape[4], big_strides[4], small_strides[4], in_big, in_small;
    int64_t size = (int64_t)mil__element_size(x->dtype);
    blocks b;
    MIL__TRY(get_blocks(call, &b));
    if (!to_big) memset(out->data, 0, mil_tensor_bytes(out)); /* the border */
    for (int64_t i = 0; i < b.block[0]; i++)
        for (int64_t j = 0; j < b.block[1]; j++) {
            box_at(&b, big, small, i, j, shape, &in_big, &in_small, big_strides, small_strides);
            if (shape[0] * shape[1] * shape[2] * shape[3] == 0) continue;
            char *at_big = (char *)big->data + in_big * size, *at_small = (char *)small->data + in_small * size;
            if (to_big) mil__move(x->dtype, 4, shape, at_big, big_strides, at_small, small_strides);
            else mil__move(x->dtype, 4, shape, at_small, small_strides, at_big, big_strides);
        }
    return MIL_OK;
}

mil_status mil__eval_depth_to_space(mil__call *call) { return move_boxes(call, true); }
mil_status mil__eval_pixel_shuffle(mil__call *call) { return move_boxes(call, true); }
mil_status mil__eval_batch_to_space(mil__call *call) { return move_boxes(call, true); }
mil_status mil__eval_space_to_depth(mil__call *call) { return move_boxes(call, false); }
mil_status mil__eval_pixel_unshuffle(mil__call *call) { return move_boxes(call, false); }
mil_status mil__eval_space_to_batch(mil__call *call) { return move_boxes(call, false); }
