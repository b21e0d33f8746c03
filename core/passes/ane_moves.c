/* SPDX-License-Identifier: MIT */
/* Lowering of what moves elements: shapes, the order of axes, slices, concatenations, gathers of known indices. */
#include "passes/ane.h"

enum { MOST_PIECES = 64 }; /* that are cut, or put together, for one operation */

static bool done(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_value value) {
    mil__ane_give(l, op->outputs[0], form, value);
    return true;
}

/* The number of ones before the first axis in the PLAIN form. */
static int offset_of(const mil_type *type) { return type->rank < 4 ? 4 - type->rank : 0; }

static bool is_native(const mil__lowering *l, mil_value old) {
    return !mil__old_data(l, old) && l->values[old].native == MIL__CHANNELS;
}

/* Channels that stay together are what they were, however the rest is divided. */
bool mil__lower_reshape(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *from = mil__old_type(l, old), *to = mil__old_type(l, op->outputs[0]);
    if (is_native(l, old) && from->rank && to->rank && mil__last(from) == mil__last(to))
        return done(l, op, MIL__CHANNELS, mil__ane_get(l, old, MIL__CHANNELS));
    mil__ane_give_any(l, op->outputs[0], mil__ane_get(l, old, MIL__PLAIN));
    return true;
}

/* [1.., S, C] <-> [1.., C, S]: one's CHANNELS are the other's elements in order. */
static bool swaps_last_two(const mil_type *type, const int64_t *perm) {
    if (type->rank < 2 || mil__rows(type) != type->shape[type->rank - 2]) return false;
    for (int i = 0; i + 2 < type->rank; i++)
        if (perm[i] != i) return false;
    return perm[type->rank - 1] == type->rank - 2;
}

bool mil__lower_transpose(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t given[MIL_MAX_RANK];
    int perm[MIL_MAX_RANK], offset = offset_of(type);
    int n = mil__op_ints(l->from, op, "perm", MIL_MAX_RANK, given);
    if (n != type->rank) return false;
    for (int i = 0; i < n; i++) given[i] += given[i] < 0 ? n : 0;
    if (swaps_last_two(type, given) && is_native(l, old)) {
        mil__ane_give_any(l, op->outputs[0], mil__ane_get(l, old, MIL__CHANNELS));
        return true;
    }
    if (swaps_last_two(type, given)) {
        const int64_t shape[] = {1, type->shape[n - 2], 1, type->shape[n - 1]};
        return done(l, op, MIL__CHANNELS, mil__ane_reshape(l, mil__ane_get(l, old, MIL__PLAIN), 4, shape));
    }
    for (int i = 0; i < offset; i++) perm[i] = i;
    for (int i = 0; i < n; i++) perm[offset + i] = (int)given[i] + offset;
    return done(l, op, MIL__PLAIN, mil__ane_transpose(l, mil__ane_get(l, old, MIL__PLAIN), perm));
}

/* ---- blocks ---- */

/* By index:  n c h a w b  ->  n c a h w b  ->  n c a b h w,  with rank 4 throughout. */
mil_value mil__ane_patches(mil__lowering *l, mil_value x, int64_t high, int64_t wide) {
    if (!x || l->status != MIL_OK) return 0;
    const int64_t *shape = mil__new_type(l, x)->shape;
    int64_t n = shape[0], c = shape[1], h = shape[2] / high, w = shape[3] / wide;
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n * c, h, high, w * wide}), (const int[]){0, 2, 1, 3});
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, (const int64_t[]){n, c * high, h * w, wide}), (const int[]){0, 1, 3, 2});
    return mil__ane_reshape(l, x, 4, (const int64_t[]){n, c * high * wide, h, w});
}

/* ---- slices ---- */

/* The part of x from begin on, an entry an axis of x: the value, and its form. */
static mil_value part_of(mil__lowering *l, mil_value old, const int64_t *begin, const int64_t *size, mil__ane_form *form) {
    const mil_type *type = mil__old_type(l, old);
    int64_t from[MIL_MAX_RANK] = {0}, n[MIL_MAX_RANK];
    bool is_last = type->rank > 0;
    for (int i = 0; i + 1 < type->rank; i++) is_last = is_last && size[i] == type->shape[i];
    *form = is_last && is_native(l, old) ? MIL__CHANNELS : MIL__PLAIN;
    if (*form == MIL__CHANNELS)
        return mil__ane_slice(l, mil__ane_get(l, old, *form), (const int64_t[]){0, begin[type->rank - 1], 0, 0},
                              (const int64_t[]){1, size[type->rank - 1], 1, mil__rows(type)});
    mil__plain_shape(type, n);
    for (int i = 0; i < type->rank; i++) {
        from[offset_of(type) + i] = begin[i];
        n[offset_of(type) + i] = size[i];
    }
    return mil__ane_slice(l, mil__ane_get(l, old, MIL__PLAIN), from, n);
}

static int64_t bounded(int64_t i, int64_t extent, int64_t least, int64_t most) {
    i += i < 0 ? extent : 0;
    return i < least ? least : i > most ? most : i;
}

/* What a slice takes of each axis. */
typedef struct part {
    int64_t begin[MIL_MAX_RANK], size[MIL_MAX_RANK], step[MIL_MAX_RANK]; /* step: below 0, from the end on */
    bool has_steps;
} part;

/* Of slice_by_index and slice_update; false: nothing, or not known here. */
static bool index_part(const mil__lowering *l, const mil__op *op, part *p) {
    int64_t end[MIL_MAX_RANK], first[MIL_MAX_RANK] = {0}, last[MIL_MAX_RANK] = {0}, squeeze[MIL_MAX_RANK] = {0};
    const mil_type *type = mil__old_type(l, mil__ane_arg(op, "x"));
    bool is_known = mil__op_ints(l->from, op, "begin", MIL_MAX_RANK, p->begin) == type->rank &&
                    mil__op_ints(l->from, op, "end", MIL_MAX_RANK, end) == type->rank;
    int n_strides = mil__op_ints(l->from, op, "stride", MIL_MAX_RANK, p->step);
    if (!is_known || (mil__ane_arg(op, "stride") && n_strides < 0)) return false;
    mil__op_ints(l->from, op, "begin_mask", MIL_MAX_RANK, first);
    mil__op_ints(l->from, op, "end_mask", MIL_MAX_RANK, last);
    mil__op_ints(l->from, op, "squeeze_mask", MIL_MAX_RANK, squeeze);
    for (int i = 0; i < type->rank; i++) {
        int64_t n = type->shape[i], step = p->step[i] = i < n_strides && !squeeze[i] ? p->step[i] : 1, until;
        if (step < 0) { /* as positions from the end */
            p->begin[i] = first[i] ? 0 : n - 1 - bounded(p->begin[i], n, -1, n - 1);
            until = last[i] ? n : n - 1 - bounded(end[i], n, -1, n - 1);
        } else {
            p->begin[i] = first[i] ? 0 : bounded(p->begin[i], n, 0, n);
            until = last[i] ? n : bounded(end[i], n, 0, n);
        }
        int64_t stride = step < 0 ? -step : step;
        p->size[i] = squeeze[i] ? 1 : (until - p->begin[i] + stride - 1) / stride;
        if (p->size[i] < 1 || step == 0) return false;
        if (step < 0) p->begin[i] = n - 1 - p->begin[i] - (p->size[i] - 1) * stride;
        p->has_steps = p->has_steps || step != 1;
    }
    return true;
}

static bool size_part(const mil__lowering *l, const mil__op *op, part *p) {
    const mil_type *type = mil__old_type(l, mil__ane_arg(op, "x")), *result = mil__old_type(l, op->outputs[0]);
    if (mil__op_ints(l->from, op, "begin", MIL_MAX_RANK, p->begin) != type->rank) return false;
    for (int i = 0; i < type->rank; i++) {
        p->begin[i] = bounded(p->begin[i], type->shape[i], 0, type->shape[i]);
        p->size[i] = result->shape[i];
    }
    return true;
}

static mil_value along(mil__lowering *l, mil_value x, int axis, int64_t begin, int64_t n) {
    int64_t from[MIL_MAX_RANK] = {0}, size[MIL_MAX_RANK];
    if (!x) return 0;
    const mil_type *type = mil__new_type(l, x);
    memcpy(size, type->shape, (size_t)type->rank * sizeof *size);
    from[axis] = begin, size[axis] = n;
    return mil__ane_slice(l, x, from, size);
}

/* [.., n * step, ..] -> [before, n, step, behind], of which one step is taken. The last one may have no whole step behind it; then
 * steps begin earlier, or it is taken by itself. */
mil_value mil__ane_strided(mil__lowering *l, mil_value x, int axis, int64_t begin, int64_t n, int64_t step) {
    int64_t parts[4] = {1, n, step, 1}, shape[MIL_MAX_RANK];
    if (!x || l->status != MIL_OK) return 0;
    if (step == 1 || n == 1) return along(l, x, axis, begin, n);
    const mil_type *type = mil__new_type(l, x);
    int64_t over = begin + n * step - type->shape[axis], shift = over > 0 ? over : 0;
    if (shift > begin) {
        const mil_value pieces[] = {mil__ane_strided(l, x, axis, begin, n - 1, step), along(l, x, axis, begin + (n - 1) * step, 1)};
        return mil__ane_concat(l, pieces, 2, axis);
    }
    for (int i = 0; i < type->rank; i++) {
        shape[i] = i == axis ? n : type->shape[i];
        if (i != axis) parts[i < axis ? 0 : 3] *= type->shape[i];
    }
    x = mil__ane_reshape(l, along(l, x, axis, begin - shift, n * step), 4, parts);
    return mil__ane_reshape(l, along(l, x, 2, shift, 1), type->rank, shape);
}

static mil_value reversed(mil__lowering *l, mil_value x, int axis) { return MIL__ADD(l, "reverse", MIL__VALUE("x", x), MIL__INTS("axes", 1, &(int64_t){axis})); }

static mil_value in_steps(mil__lowering *l, mil_value old, const part *p) {
    const mil_type *type = mil__old_type(l, old);
    mil_value x = mil__ane_get(l, old, MIL__PLAIN);
    for (int i = 0; i < type->rank; i++) {
        int axis = i + offset_of(type);
        x = mil__ane_strided(l, x, axis, p->begin[i], p->size[i], p->step[i] < 0 ? -p->step[i] : p->step[i]);
        if (p->step[i] < 0 && p->size[i] > 1) x = reversed(l, x, axis);
    }
    return x;
}

bool mil__lower_slice(mil__lowering *l, const mil__op *op) {
    part p = {.has_steps = false};
    mil__ane_form form = MIL__PLAIN;
    bool by_index = strcmp(op->decl->name, "slice_by_index") == 0;
    if (!(by_index ? index_part(l, op, &p) : size_part(l, op, &p))) return false;
    mil_value old = mil__ane_arg(op, "x"), value = p.has_steps ? in_steps(l, old, &p) : part_of(l, old, p.begin, p.size, &form);
    bool same_rank = mil__old_type(l, old)->rank == mil__old_type(l, op->outputs[0])->rank;
    if (form == MIL__CHANNELS && same_rank) return done(l, op, form, value);
    if (form == MIL__CHANNELS) value = mil__ane_transpose(l, value, (const int[]){0, 3, 2, 1});
    mil__ane_give_any(l, op->outputs[0], value);
    return true;
}

bool mil__lower_split(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t axis = mil__ane_axis(l, op, "axis", 0, type->rank), begin[MIL_MAX_RANK] = {0};
    mil__ane_form form;
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const int64_t *size = mil__old_type(l, op->outputs[i])->shape;
        mil_value part = part_of(l, old, begin, size, &form);
        mil__ane_give(l, op->outputs[i], form, part);
        begin[axis] += size[axis];
    }
    return true;
}

/* ---- concatenations ---- */

static mil_value *values_of(mil__lowering *l, size_t n) {
    mil_value *values = mil__arena_zero(&l->arena, n, sizeof *values);
    if (!values) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    return values;
}

bool mil__lower_concat(mil__lowering *l, const mil__op *op) {
    const mil__values *given = mil__op_arg_named(op, "values");
    const mil_type *type = mil__old_type(l, op->outputs[0]);
    int64_t axis = mil__ane_axis(l, op, "axis", 0, type->rank);
    if (mil__ane_number(l, op, "interleave", 0) != 0 || !type->rank || !mil__old_type(l, given->values[0])->rank) return false;
    bool any = false;
    for (uint32_t i = 0; i < given->n; i++) any = any || is_native(l, given->values[i]);
    mil__ane_form form = any && axis == type->rank - 1 ? MIL__CHANNELS : MIL__PLAIN;
    mil_value *values = values_of(l, given->n);
    for (uint32_t i = 0; values && i < given->n; i++) values[i] = mil__ane_get(l, given->values[i], form);
    if (!values) return true;
    int at = form == MIL__CHANNELS ? 1 : (int)axis + offset_of(type);
    return done(l, op, form, mil__ane_concat(l, values, given->n, at));
}

/* Each with an axis of 1 where the new one is. */
bool mil__lower_stack(mil__lowering *l, const mil__op *op) {
    const mil__values *given = mil__op_arg_named(op, "values");
    const mil_type *type = mil__old_type(l, op->outputs[0]);
    int64_t axis = mil__ane_axis(l, op, "axis", 0, type->rank), shape[MIL_MAX_RANK];
    int rank = mil__plain_shape(type, shape), at = (int)axis + offset_of(type);
    mil_value *values = values_of(l, given->n);
    shape[at] = 1;
    for (uint32_t i = 0; values && i < given->n; i++)
        values[i] = mil__ane_reshape(l, mil__ane_get(l, given->values[i], MIL__PLAIN), rank, shape);
    return values ? done(l, op, MIL__PLAIN, mil__ane_concat(l, values, given->n, at)) : true;
}

bool mil__lower_tile(mil__lowering *l, const mil__op *op) {
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t reps[MIL_MAX_RANK];
    if (mil__op_ints(l->from, op, "reps", MIL_MAX_RANK, reps) != type->rank) return false;
    mil_value value = mil__ane_get(l, old, MIL__PLAIN);
    for (int i = 0; i < type->rank; i++) value = mil__ane_repeat(l, value, i + offset_of(type), reps[i]);
    return done(l, op, MIL__PLAIN, value);
}

/* ---- gather ---- */

/* The indices, none below 0; NULL: not known, or outside. */
static int64_t *indices_of(mil__lowering *l, const mil__op *op, int64_t extent, int64_t *n) {
    const mil_tensor *data = mil__old_data(l, mil__ane_arg(op, "indices"));
    *n = data ? mil__numel(data) : 0;
    int64_t *indices = *n ? mil__arena_zero(&l->arena, (size_t)*n, sizeof *indices) : NULL;
    if (!indices) return NULL;
    mil__read_i64(data, indices);
    for (int64_t i = 0; i < *n; i++) {
        indices[i] += indices[i] < 0 ? extent : 0;
        if (indices[i] < 0 || indices[i] >= extent) return NULL;
    }
    return indices;
}

/* Indices that follow one another are one slice. */
static mil_value pieces(mil__lowering *l, mil_value old, int64_t axis, const int64_t *indices, int64_t n) {
    const mil_type *type = mil__old_type(l, old);
    int64_t begin[MIL_MAX_RANK] = {0}, size[MIL_MAX_RANK];
    mil_value parts[MOST_PIECES];
    size_t n_parts = 0;
    int offset = offset_of(type);
    mil_value x = mil__ane_get(l, old, MIL__PLAIN);
    mil__plain_shape(type, size);
    for (int64_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && indices[k] == indices[k - 1] + 1; k++) {}
        if (n_parts == MOST_PIECES) return 0;
        begin[offset + axis] = indices[i];
        size[offset + axis] = k - i;
        parts[n_parts++] = mil__ane_slice(l, x, begin, size);
    }
    return mil__ane_concat(l, parts, n_parts, offset + (int)axis);
}

static int64_t count_pieces(const int64_t *indices, int64_t n) {
    int64_t count = 1;
    for (int64_t i = 1; i < n; i++) count += indices[i] != indices[i - 1] + 1;
    return count;
}

/* Along the last axis: rows of ones that pick channels. */
static mil_value picked(mil__lowering *l, mil_value old, const int64_t *indices, int64_t n) {
    mil_tensor *ones = NULL;
    int64_t extent = mil__last(mil__old_type(l, old));
    if (mil_tensor_new(MIL_FP16, 2, (const int64_t[]){n, extent}, &ones, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), 0;
    for (int64_t i = 0; i < n; i++) ((uint16_t *)ones->data)[i * extent + indices[i]] = 0x3c00;
    mil_value value = mil__ane_project(l, mil__ane_get(l, old, MIL__CHANNELS), ones, NULL);
    mil_tensor_free(ones);
    return value;
}

bool mil__lower_gather(mil__lowering *l, const mil__op *op) {
    enum { MOST_ONES = 1 << 22 };
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t n, axis = mil__ane_axis(l, op, "axis", 0, type->rank);
    bool is_last = axis == type->rank - 1, is_float = mil__dtype_is_float(type->dtype);
    int64_t *indices = mil__ane_number(l, op, "batch_dims", 0) == 0 ? indices_of(l, op, type->shape[axis], &n) : NULL;
    if (!indices || mil__old_data(l, old)) return false;
    int64_t count = count_pieces(indices, n);
    mil_value value;
    if (!is_last || count == 1) {
        if (count > MOST_PIECES) return false;
        value = pieces(l, old, axis, indices, n);
    } else {
        if (!is_float || n > MOST_ONES / type->shape[axis]) return false;
        value = mil__ane_transpose(l, picked(l, old, indices, n), (const int[]){0, 3, 2, 1});
    }
    mil__ane_give_any(l, op->outputs[0], value);
    return true;
}
