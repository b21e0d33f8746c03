/* SPDX-License-Identifier: MIT */
/* Lowering of products: linear layers and matrices as 1x1 convolutions, products of two values, attention. */
#include <math.h>

#include "ops/params.h"
#include "passes/ane.h"

static bool done(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_value value) {
    mil__ane_give(l, op->outputs[0], form, value);
    return true;
}

/* ---- 1x1 convolutions ---- */

static const mil_tensor *bias_of(const mil__lowering *l, const mil__op *op) {
    mil_value bias = mil__ane_arg(op, "bias");
    const mil_tensor *data = bias ? mil__old_data(l, bias) : NULL;
    return data && !mil__ane_is_zero(data) ? data : NULL;
}

static bool is_float(const mil__lowering *l, const mil__op *op) { return mil__dtype_is_float(mil__old_type(l, op->outputs[0])->dtype); }

bool mil__lower_linear(mil__lowering *l, const mil__op *op) {
    mil_value given = mil__ane_arg(op, "weight");
    const mil_tensor *weight = mil__old_data(l, given);
    bool is_kept = mil__ane_is_kept(l->from, given);
    if ((!weight && !is_kept) || !is_float(l, op)) return false;
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), MIL__CHANNELS);
    if (is_kept) return done(l, op, MIL__CHANNELS, mil__ane_project_kept(l, x, given, false, bias_of(l, op)));
    return done(l, op, MIL__CHANNELS, mil__ane_project(l, x, weight, bias_of(l, op)));
}

/* ---- matmul ---- */

/* The matrix that a known operand is, if all else in it are ones: [out, in]. NULL: it is not (or the lowering failed). */
static mil_tensor *matrix_of(mil__lowering *l, const mil_tensor *data, bool transposed) {
    mil_tensor *copy = NULL, *turned = NULL;
    if (!data || data->rank < 2 || !mil__dtype_is_float(data->dtype)) return NULL;
    int64_t rows = data->shape[data->rank - 2], last = data->shape[data->rank - 1];
    if (mil__numel(data) != rows * last || mil__numel(data) == 0) return NULL;
    if (mil_tensor_convert(data, data->dtype, &copy, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), NULL;
    mil_tensor *flat = mil__ane_shaped(l, copy, 2, (const int64_t[]){rows, last});
    if (!transposed || !flat) return flat;
    if (mil_tensor_transpose(flat, (const int[]){1, 0}, &turned, l->err) != MIL_OK) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    mil_tensor_free(flat);
    return turned;
}

/* Both of one rank, and of the same batches. */
static void equal_batches(mil__lowering *l, mil_value *x, mil_value *y) {
    int64_t shape[MIL_MAX_RANK] = {0};
    const mil_type *a = mil__new_type(l, *x), *b = mil__new_type(l, *y);
    mil_value *less = a->rank < b->rank ? x : y;
    int rank = a->rank > b->rank ? a->rank : b->rank, missing = rank - mil__new_type(l, *less)->rank;
    for (int i = 0; i < rank; i++) shape[i] = i < missing ? 1 : mil__new_type(l, *less)->shape[i - missing];
    *less = mil__ane_reshape(l, *less, rank, shape);
    for (int axis = 0; axis + 2 < rank && *x && *y; axis++) {
        int64_t n = mil__new_type(l, *x)->shape[axis], m = mil__new_type(l, *y)->shape[axis];
        if (n < m) *x = mil__ane_repeat(l, *x, axis, m);
        if (m < n) *y = mil__ane_repeat(l, *y, axis, n);
    }
}

/* [a, b, c, M, K] -> [1, a*b*c, M, K]: products of a higher rank are refused. */
static mil_value of_rank_4(mil__lowering *l, mil_value x) {
    const mil_type *type = mil__new_type(l, x);
    int64_t batches = 1;
    if (type->rank <= 4) return x;
    for (int i = 0; i + 2 < type->rank; i++) batches *= type->shape[i];
    return mil__ane_reshape(l, x, 4, (const int64_t[]){1, batches, type->shape[type->rank - 2], type->shape[type->rank - 1]});
}

mil_value mil__ane_matmul(mil__lowering *l, mil_value x, mil_value y, bool transpose_x, bool transpose_y) {
    if (!x || !y || l->status != MIL_OK) return 0;
    equal_batches(l, &x, &y);
    if (x && y) x = of_rank_4(l, x), y = of_rank_4(l, y);
    if (l->chip == 1 && !l->is_e5rt && x && y) { /* gives zeros there, where the inner dim is no multiple of 32 */
        int64_t inner = mil__new_type(l, x)->shape[transpose_x ? 2 : 3], missing = (32 - inner % 32) % 32;
        x = mil__ane_pad(l, x, transpose_x ? 2 : 3, 0, missing, NULL, 0);
        y = mil__ane_pad(l, y, transpose_y ? 3 : 2, 0, missing, NULL, 0);
    }
    return MIL__ADD(l, "matmul", MIL__VALUE("x", x), MIL__VALUE("y", y), MIL__BOOL_ARG("transpose_x", transpose_x),
                    MIL__BOOL_ARG("transpose_y", transpose_y));
}

/* By a known matrix on the right: a linear layer. */
static bool by_known(mil__lowering *l, const mil__op *op, mil_value x, mil_tensor *weight) {
    mil_value value = mil__ane_project(l, mil__ane_get(l, x, MIL__CHANNELS), weight, NULL);
    mil_tensor_free(weight);
    return done(l, op, MIL__CHANNELS, value);
}

/* A known matrix [M, K] on the left of [B, K, N]: the rows of y are channels, all else is the width. */
static bool of_known(mil__lowering *l, const mil__op *op, mil_value y, mil_tensor *weight) {
    static const int swap[] = {0, 2, 1, 3};
    const mil_type *type = mil__old_type(l, y);
    int64_t rows = type->shape[type->rank - 2], last = mil__last(type), batches = mil__rows(type) / rows, out = weight->shape[0];
    mil_value value = mil__ane_reshape(l, mil__ane_get(l, y, MIL__PLAIN), 4, (const int64_t[]){1, batches, rows, last});
    value = mil__ane_reshape(l, mil__ane_transpose(l, value, swap), 4, (const int64_t[]){1, rows, 1, batches * last});
    value = mil__ane_reshape(l, mil__ane_project(l, value, weight, NULL), 4, (const int64_t[]){1, out, batches, last});
    mil_tensor_free(weight);
    mil__ane_give_any(l, op->outputs[0], mil__ane_transpose(l, value, swap));
    return true;
}

bool mil__lower_matmul(mil__lowering *l, const mil__op *op) {
    mil_value x = mil__ane_arg(op, "x"), y = mil__ane_arg(op, "y");
    bool turn_x = mil__ane_number(l, op, "transpose_x", 0) != 0, turn_y = mil__ane_number(l, op, "transpose_y", 0) != 0;
    const mil_type *a = mil__old_type(l, x), *b = mil__old_type(l, y);
    if (!is_float(l, op)) return false;
    if (mil__ane_is_kept(l->from, y)) return done(l, op, MIL__CHANNELS, mil__ane_project_kept(l, mil__ane_get(l, x, MIL__CHANNELS), y, !turn_y, NULL));
    mil_tensor *weight = !turn_x && !mil__old_data(l, x) ? matrix_of(l, mil__old_data(l, y), !turn_y) : NULL;
    if (weight && a->rank >= b->rank) return by_known(l, op, x, weight);
    mil_tensor_free(weight);
    bool is_whole = mil__rows(b) > 0 && (!mil__old_data(l, x) || mil__old_data(l, x)->rank <= b->rank);
    weight = !turn_y && !mil__old_data(l, y) && is_whole ? matrix_of(l, mil__old_data(l, x), turn_x) : NULL;
    if (weight) return of_known(l, op, y, weight);
    mil_value value = mil__ane_matmul(l, mil__ane_get(l, x, MIL__PLAIN), mil__ane_get(l, y, MIL__PLAIN), turn_x && a->rank > 1, turn_y);
    mil__ane_give_any(l, op->outputs[0], value);
    return true;
}

/* nchw,nwhr->nchr and chw,whr->chr: products over w, for each n and h. */
bool mil__lower_einsum(mil__lowering *l, const mil__op *op) {
    const mil__values *values = mil__op_arg_named(op, "values");
    static const int perm[] = {0, 2, 1, 3};
    if (!is_float(l, op) || values->n != 2) return false;
    mil_value x = mil__ane_transpose(l, mil__ane_get(l, values->values[0], MIL__PLAIN), perm);
    mil_value y = mil__ane_transpose(l, mil__ane_get(l, values->values[1], MIL__PLAIN), perm);
    return done(l, op, MIL__PLAIN, mil__ane_transpose(l, mil__ane_matmul(l, x, y, false, false), perm));
}

/* ---- cumsum ---- */

/* ones[out][in]: 1 where element `in` counts for the sum at `out`. */
static mil_tensor *ones_for(mil__lowering *l, int64_t n, bool exclusive, bool reverse) {
    mil_tensor *data = NULL;
    if (mil_tensor_new(MIL_FP16, 2, (const int64_t[]){n, n}, &data, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), NULL;
    for (int64_t out = 0; out < n; out++)
        for (int64_t in = 0; in < n; in++) {
            bool counts = reverse ? in >= out : in <= out;
            if (counts && !(exclusive && in == out)) ((uint16_t *)data->data)[out * n + in] = 0x3c00;
        }
    return data;
}

/* Swaps an axis and the last one. */
static mil_value swapped(mil__lowering *l, mil_value x, int axis) {
    int perm[MIL_MAX_RANK], rank = x ? mil__new_type(l, x)->rank : 0;
    for (int i = 0; i < rank; i++) perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
    return mil__ane_transpose(l, x, perm);
}

bool mil__lower_cumsum(mil__lowering *l, const mil__op *op) {
    enum { MOST = 2048 };
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t axis = mil__ane_axis(l, op, "axis", 0, type->rank), n = type->rank ? type->shape[axis] : 0, shape[MIL_MAX_RANK];
    if (!is_float(l, op) || n < 1 || n > MOST) return false;
    mil_tensor *ones = ones_for(l, n, mil__ane_number(l, op, "exclusive", 0) != 0, mil__ane_number(l, op, "reverse", 0) != 0);
    if (!ones) return true;
    int rank = mil__plain_shape(type, shape), at = (int)axis + rank - type->rank;
    mil_value x = swapped(l, mil__ane_get(l, old, MIL__PLAIN), at);
    int64_t rows = n ? mil__numel(ones) / n : 0, others = 1;
    for (int i = 0; i < rank; i++) others *= i == at ? 1 : shape[i];
    shape[at] = shape[rank - 1], shape[rank - 1] = n;
    mil_value wide = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){1, others, 1, rows}), (const int[]){0, 3, 2, 1});
    mil_value sums = mil__ane_transpose(l, mil__ane_project(l, wide, ones, NULL), (const int[]){0, 3, 2, 1});
    mil_tensor_free(ones);
    return done(l, op, MIL__PLAIN, swapped(l, mil__ane_reshape(l, sums, rank, shape), at));
}

/* ---- attention ---- */

/* What is added to the scores: a mask of bools is 0 where they are true. */
static mil_value added_mask(mil__lowering *l, mil_value old) {
    const mil_type *type = mil__old_type(l, old);
    const mil_tensor *data = mil__old_data(l, old);
    int64_t shape[MIL_MAX_RANK];
    int rank = mil__plain_shape(type, shape);
    mil_tensor *half = NULL;
    if (type->dtype != MIL_BOOL) return mil__ane_get(l, old, MIL__PLAIN);
    if (!data) return mil__ane_with(l, "mul", mil__ane_with(l, "sub", mil__ane_half_of_bool(l, mil__ane_get(l, old, MIL__PLAIN)), 1), 30000);
    if (mil_tensor_convert(data, MIL_FP16, &half, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), 0;
    for (int64_t i = 0, n = mil__numel(half); i < n; i++) ((uint16_t *)half->data)[i] = ((uint16_t *)half->data)[i] ? 0 : mil__double_to_half(-30000);
    return mil__ane_const(l, mil__ane_shaped(l, half, rank, shape));
}

/* Where the products' batches became one axis, so do the mask's; where it has fewer, it is repeated first. */
static mil_value flat_mask(mil__lowering *l, mil_value mask, const mil_type *query) {
    int64_t shape[MIL_MAX_RANK], batches = 1;
    if (!mask) return 0;
    const mil_type *type = mil__new_type(l, mask);
    int first = query->rank - type->rank;
    for (int i = 0; i < query->rank; i++) shape[i] = i < first ? 1 : type->shape[i - first];
    for (int i = 0; i + 2 < query->rank; i++) batches *= shape[i];
    mask = mil__ane_reshape(l, mask, query->rank, shape);
    for (int i = 0; i + 2 < query->rank && batches > 1; i++)
        if (shape[i] == 1) mask = mil__ane_repeat(l, mask, i, query->shape[i]);
    return mask ? of_rank_4(l, mask) : 0;
}

/* The query is scaled before the product, which so stays further from where the engine's products end. */
bool mil__lower_attention(mil__lowering *l, const mil__op *op) {
    mil_value query = mil__ane_arg(op, "query"), mask = mil__ane_arg(op, "attn_mask");
    double scale = 1 / sqrt((double)mil__last(mil__old_type(l, query)));
    mil_value q = mil__ane_with(l, "mul", mil__ane_get(l, query, MIL__PLAIN), scale);
    mil_value k = mil__ane_get(l, mil__ane_arg(op, "key"), MIL__PLAIN), v = mil__ane_get(l, mil__ane_arg(op, "value"), MIL__PLAIN);
    mil_value scores = mil__ane_matmul(l, q, k, false, true);
    const mil_type *type = mil__old_type(l, query);
    bool is_flat = scores && v && mil__new_type(l, scores)->rank < type->rank;
    if (mask) scores = mil__ane_binary(l, "add", scores, is_flat ? flat_mask(l, added_mask(l, mask), type) : added_mask(l, mask));
    mil_value weights = scores ? mil__ane_softmax(l, scores, mil__new_type(l, scores)->rank - 1) : 0;
    mil__ane_give_any(l, op->outputs[0], mil__ane_matmul(l, weights, is_flat ? of_rank_4(l, v) : v, false, false));
    return true;
}
