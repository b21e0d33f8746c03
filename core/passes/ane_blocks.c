/* SPDX-License-Identifier: MIT */
/* Lowering of what moves blocks of places: patches to channels or batches and back, windows, bands of matrices.
 *
 * Indices of a value with patches are n, c (channel), h a (row: patch, and within it), w b (column). Each step swaps two neighbours of
 * four axes, others being one with theirs:
 *
 *     n c h a w b  ->  n c a h w b  ->  n c a b h w */
#include "passes/ane.h"

static const int inner[] = {0, 2, 1, 3}, last[] = {0, 1, 3, 2};

mil_value mil__ane_patches(mil__lowering *l, mil_value x, int64_t high, int64_t wide) {
    if (!x || l->status != MIL_OK) return 0;
    const int64_t *shape = mil__new_type(l, x)->shape;
    int64_t n = shape[0], c = shape[1], h = shape[2] / high, w = shape[3] / wide;
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n * c, h, high, w * wide}), inner);
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n, c * high, h * w, wide}), last);
    return mil__ane_reshape(l, x, 4, (const int64_t[]){n, c * high * wide, h, w});
}

mil_value mil__ane_places(mil__lowering *l, mil_value x, int64_t high, int64_t wide) {
    if (!x || l->status != MIL_OK) return 0;
    const int64_t *shape = mil__new_type(l, x)->shape;
    int64_t n = shape[0], c = shape[1] / (high * wide), h = shape[2], w = shape[3];
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n, c * high, wide, h * w}), last);
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n * c, high, h, w * wide}), inner);
    return mil__ane_reshape(l, x, 4, (const int64_t[]){n, c, h * high, w * wide});
}

/* Elements [n, a, b, ..] as [n, b, a, ..], of a shape. */
static mil_value swapped(mil__lowering *l, mil_value x, int64_t n, int64_t a, int64_t b, const int64_t shape[4]) {
    int64_t rest = shape[0] * shape[1] * shape[2] * shape[3] / (n * a * b);
    return mil__ane_reshape(l, mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n, a, b, rest}), inner), 4, shape);
}

/* ---- blocks ---- */

typedef struct block {
    int64_t high, wide, frame[4]; /* top, bottom, left, right, of space_to_batch and back */
} block;

static int64_t at(const mil_tensor *data, int64_t i, int64_t j) {
    return mil__load_i64(data, i * data->strides[0] + (data->rank > 1 ? j * data->strides[1] : 0));
}

static block block_of(const mil__lowering *l, const mil__op *op) {
    static const char *const sides[] = {"block_size", "upscale_factor", "downscale_factor"}, *const frames[] = {"paddings", "crops"};
    block b = {.high = 1, .wide = 1};
    for (size_t i = 0; i < MIL__COUNT(sides); i++)
        if (mil__ane_arg(op, sides[i])) b.high = b.wide = (int64_t)mil__ane_number(l, op, sides[i], 1);
    mil_value shape = mil__ane_arg(op, "block_shape");
    if (shape) b.high = at(mil__old_data(l, shape), 0, 0), b.wide = at(mil__old_data(l, shape), 1, 0);
    for (size_t i = 0; i < MIL__COUNT(frames); i++) {
        mil_value frame = mil__ane_arg(op, frames[i]);
        for (int k = 0; frame && k < 4; k++) b.frame[k] = at(mil__old_data(l, frame), k / 2, k % 2);
    }
    return b;
}

static bool is_native(int64_t side) { return side == 1 || side == 2 || side == 3 || side == 4 || side == 8; }

/* x as patches in channels, whatever the op has of them. */
static mil_value patches_of(mil__lowering *l, const char *name, mil_value x, const int64_t x_shape[4], const block *b) {
    int64_t places = b->high * b->wide, n = x_shape[0], c = x_shape[1], h = x_shape[2], w = x_shape[3];
    if (strcmp(name, "depth_to_space") == 0) return swapped(l, x, n, places, c / places, x_shape);
    if (strcmp(name, "batch_to_space") == 0)
        return swapped(l, x, 1, places, n / places * c, (const int64_t[]){n / places, c * places, h, w});
    return x;
}

static mil_value without_frame(mil__lowering *l, mil_value x, const block *b) {
    if (!x || l->status != MIL_OK) return 0;
    const int64_t *shape = mil__new_type(l, x)->shape, begin[] = {0, 0, b->frame[0], b->frame[2]};
    const int64_t size[] = {shape[0], shape[1], shape[2] - b->frame[0] - b->frame[1], shape[3] - b->frame[2] - b->frame[3]};
    return mil__ane_slice(l, x, begin, size);
}

bool mil__lower_to_space(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x");
    block b = block_of(l, op);
    if (l->is_e5rt && is_native(b.high) && is_native(b.wide)) return false;
    mil_value x = patches_of(l, op->decl->name, mil__ane_get(l, old, MIL__PLAIN), mil__old_type(l, old)->shape, &b);
    mil__ane_give_any(l, op->outputs[0], without_frame(l, mil__ane_places(l, x, b.high, b.wide), &b));
    return true;
}

bool mil__lower_from_space(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x"), x;
    const int64_t *shape = mil__old_type(l, op->outputs[0])->shape;
    block b = block_of(l, op);
    int64_t n = mil__old_type(l, old)->shape[0], c = mil__old_type(l, old)->shape[1], places = b.high * b.wide;
    if (l->is_e5rt && is_native(b.high) && is_native(b.wide)) return false;
    x = mil__ane_pad(l, mil__ane_get(l, old, MIL__PLAIN), 2, b.frame[0], b.frame[1], NULL, 0);
    x = mil__ane_patches(l, mil__ane_pad(l, x, 3, b.frame[2], b.frame[3], NULL, 0), b.high, b.wide);
    if (strcmp(op->decl->name, "space_to_depth") == 0) x = swapped(l, x, n, c, places, shape);
    if (strcmp(op->decl->name, "space_to_batch") == 0) x = swapped(l, x, 1, n * c, places, shape);
    mil__ane_give_any(l, op->outputs[0], x);
    return true;
}

/* ---- windows ---- */

/* [before, n, behind] -> [before, windows, size, behind]: the windows one after the other, or the first element of each, the second, and
 * so on, whichever are fewer pieces. */
bool mil__lower_sliding_windows(mil__lowering *l, const mil__op *op) {
    enum { MOST = 4096 };
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old), *result = mil__old_type(l, op->outputs[0]);
    int64_t axis = mil__ane_axis(l, op, "axis", 0, type->rank), stride = (int64_t)mil__ane_number(l, op, "stride", 1);
    int64_t windows = result->shape[axis], size = result->shape[axis + 1], before = 1, behind = 1;
    bool by_window = windows < size;
    size_t n = (size_t)(by_window ? windows : size);
    mil_value *pieces = n <= MOST ? mil__arena_zero(&l->arena, n, sizeof *pieces) : NULL;
    if (n > MOST) return false;
    if (!pieces) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), true;
    for (int i = 0; i < type->rank; i++) *(i < axis ? &before : &behind) *= i == axis ? 1 : type->shape[i];
    mil_value x = mil__ane_reshape(l, mil__ane_get(l, old, MIL__PLAIN), 4, (const int64_t[]){1, before, type->shape[axis], behind});
    const int64_t shape[] = {before, by_window ? 1 : windows, by_window ? size : 1, behind};
    for (size_t i = 0; i < n; i++) {
        int64_t begin = (int64_t)i * (by_window ? stride : 1);
        pieces[i] = mil__ane_strided(l, x, 2, begin, by_window ? size : windows, by_window ? 1 : stride);
        pieces[i] = mil__ane_reshape(l, pieces[i], 4, shape);
    }
    mil__ane_give_any(l, op->outputs[0], mil__ane_concat(l, pieces, n, by_window ? 1 : 2));
    return true;
}

/* Times ones where the band is, else zeros. */
bool mil__lower_band_part(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t lower = (int64_t)mil__ane_number(l, op, "lower", -1), upper = (int64_t)mil__ane_number(l, op, "upper", -1), columns = mil__last(type);
    int64_t rows = type->shape[type->rank - 2];
    mil_tensor *band = NULL;
    if (!mil__dtype_is_float(type->dtype)) return false;
    if (mil_tensor_new(MIL_FP16, 4, (const int64_t[]){1, 1, rows, columns}, &band, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), true;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            if ((lower < 0 || i - j <= lower) && (upper < 0 || j - i <= upper)) ((uint16_t *)band->data)[i * columns + j] = 0x3c00;
    mil_value mask = mil__ane_const(l, band);
    mil__ane_give(l, op->outputs[0], MIL__PLAIN, mil__ane_binary(l, "mul", mil__ane_get(l, old, MIL__PLAIN), mask));
    return true;
}
