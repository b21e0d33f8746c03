/* SPDX-License-Identifier: MIT */
/* Lowering of what moves elements: shapes, the order of axes, slices, concatenations, gathers of known indices. */
#include "passes/ane.h"

enum { MOST_PIECES = 4096 }; /* that are cut, or put together, for one operation */

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

/* ---- slices ---- */

static mil_value *values_of(mil__lowering *l, size_t n) {
    mil_value *values = mil__arena_zero(&l->arena, n, sizeof *values);
    if (!values) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    return values;
}

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

/* From the last axis on: the update, with what x has before and behind it along the axis. What is done covers whole axes from there
 * on, and the update's part of those before. */
bool mil__lower_slice_update(mil__lowering *l, const mil__op *op) {
    part p = {.has_steps = false};
    mil_value old = mil__ane_arg(op, "x");
    const mil_type *type = mil__old_type(l, old);
    int64_t begin[MIL_MAX_RANK], size[MIL_MAX_RANK], ones = offset_of(type);
    if (!index_part(l, op, &p) || p.has_steps) return false;
    int rank = mil__plain_shape(type, size);
    for (int i = 0; i < rank; i++) {
        begin[i] = i < ones ? 0 : p.begin[i - ones];
        if (i >= ones) size[i] = p.size[i - ones];
    }
    mil_value x = mil__ane_get(l, old, MIL__PLAIN), done_so_far = mil__ane_reshape(l, mil__ane_get(l, mil__ane_arg(op, "update"), MIL__PLAIN), rank, size);
    for (int axis = rank - 1; x && axis >= ones; axis--) {
        int64_t n = mil__new_type(l, x)->shape[axis], from = begin[axis], behind = from + size[axis];
        mil_value parts[3];
        size_t n_parts = 0;
        begin[axis] = 0, size[axis] = from;
        if (from) parts[n_parts++] = mil__ane_slice(l, x, begin, size);
        parts[n_parts++] = done_so_far;
        begin[axis] = behind, size[axis] = n - behind;
        if (behind < n) parts[n_parts++] = mil__ane_slice(l, x, begin, size);
        begin[axis] = 0, size[axis] = n;
        done_so_far = mil__ane_concat(l, parts, n_parts, axis);
    }
    return done(l, op, MIL__PLAIN, done_so_far);
}

/* ---- concatenations ---- */

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

/* Indices from i on that follow one another, up or down: behind the last; *step is 1 or -1. */
static int64_t end_of_run(const int64_t *indices, int64_t i, int64_t n, int64_t *step) {
    *step = i + 1 < n && indices[i + 1] == indices[i] - 1 ? -1 : 1;
    for (i++; i < n && indices[i] == indices[i - 1] + *step; i++) {}
    return i;
}

static int64_t count_runs(const int64_t *indices, int64_t n) {
    int64_t count = 0, step;
    for (int64_t i = 0; i < n; i = end_of_run(indices, i, n, &step)) count++;
    return count;
}

/* Elements of an axis by indices: a slice each run, behind one another. */
static mil_value by_runs(mil__lowering *l, mil_value x, int axis, const int64_t *indices, int64_t n) {
    mil_value *parts = values_of(l, (size_t)n);
    size_t n_parts = 0;
    int64_t step;
    for (int64_t i = 0, end; parts && i < n; i = end) {
        end = end_of_run(indices, i, n, &step);
        mil_value part = mil__ane_strided(l, x, axis, step > 0 ? indices[i] : indices[end - 1], end - i, 1);
        parts[n_parts++] = step > 0 ? part : reversed(l, part, axis);
    }
    return parts ? mil__ane_concat(l, parts, n_parts, axis) : 0;
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
    int64_t count = count_runs(indices, n);
    mil_value value = 0;
    if (is_last && count > 1 && is_float && n <= MOST_ONES / type->shape[axis])
        value = mil__ane_transpose(l, picked(l, old, indices, n), (const int[]){0, 3, 2, 1});
    else if (count <= MOST_PIECES)
        value = by_runs(l, mil__ane_get(l, old, MIL__PLAIN), offset_of(type) + (int)axis, indices, n);
    else return false;
    mil__ane_give_any(l, op->outputs[0], value);
    return true;
}

/* ---- pads ---- */

/* Where place `at` before or behind n elements comes from. */
static int64_t edge_at(int64_t at, int64_t n, bool reflects) {
    if (!reflects || n == 1) return at < 0 ? 0 : at >= n ? n - 1 : at;
    int64_t period = 2 * (n - 1), phase = (at % period + period) % period;
    return phase < n ? phase : period - phase;
}

/* M1 knows no mode but constant: pieces of x, [1, before, n, behind] for that. */
static mil_value pad_by_pieces(mil__lowering *l, mil_value x, int axis, int64_t before, int64_t after, bool reflects) {
    int64_t shape[MIL_MAX_RANK], parts[4] = {1, 1, 1, 1};
    if (!x || l->status != MIL_OK) return 0;
    const mil_type *type = mil__new_type(l, x);
    int64_t n = type->shape[axis], *indices = mil__arena_zero(&l->arena, (size_t)(before + n + after), sizeof *indices);
    if (!indices) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), 0;
    for (int i = 0; i < type->rank; i++) {
        shape[i] = type->shape[i] + (i == axis ? before + after : 0);
        parts[i < axis ? 1 : i == axis ? 2 : 3] *= type->shape[i];
    }
    for (int64_t i = 0; i < before + n + after; i++) indices[i] = edge_at(i - before, n, reflects);
    x = by_runs(l, mil__ane_reshape(l, x, 4, parts), 2, indices, before + n + after);
    return mil__ane_reshape(l, x, type->rank, shape);
}

/* Only the last two axes can be padded: others one by one, as the last but one of four. */
bool mil__lower_pad(mil__lowering *l, const mil__op *op) {
    int64_t pads[2 * MIL_MAX_RANK];
    mil_value old = mil__ane_arg(op, "x"), mode_value = mil__ane_arg(op, "mode");
    const mil_type *type = mil__old_type(l, old);
    const char *mode = mode_value ? mil_tensor_string(mil__old_data(l, mode_value), 0, NULL) : "constant";
    int n = mil__op_ints(l->from, op, "pad", 2 * MIL_MAX_RANK, pads), first = type->rank - n / 2;
    bool is_constant = mode && strcmp(mode, "constant") == 0, by_pieces = !is_constant && l->chip == 1, is_simple = type->rank <= 4 && !by_pieces;
    for (int i = 0; i < n / 2 - 2; i++) is_simple = is_simple && !pads[2 * i] && !pads[2 * i + 1];
    if (n < 0 || !mode || is_simple) return false;
    mil_value x = mil__ane_get(l, old, MIL__PLAIN);
    for (int i = 0; i < n / 2; i++) {
        int axis = first + i + offset_of(type);
        int64_t before = pads[2 * i], after = pads[2 * i + 1];
        if (!before && !after) continue;
        if (by_pieces) x = pad_by_pieces(l, x, axis, before, after, strcmp(mode, "reflect") == 0);
        else x = mil__ane_pad(l, x, axis, before, after, mode, mil__ane_number(l, op, "constant_val", 0));
    }
    mil__ane_give_any(l, op->outputs[0], x);
    return true;
}
