/* SPDX-License-Identifier: MIT */
/* What the rules of lowering are written with: forms of values, and operations that are added. See ane.h. */
#include <math.h>
#include <stdio.h>

#include "passes/ane.h"

void mil__ane_fail(mil__lowering *l, mil_status status, const char *format, ...) {
    va_list args;
    if (l->status != MIL_OK) return;
    va_start(args, format);
    l->status = mil__vfail(l->err, status, format, args);
    va_end(args);
    if (!l->err || !l->op) return;
    if (l->op->file) snprintf(l->err->file, sizeof l->err->file, "%.200s", l->op->file);
    l->err->line = l->op->line;
    snprintf(l->err->op, sizeof l->err->op, "%s", l->op->decl->name);
}

static void check(mil__lowering *l, mil_status status) {
    if (l->status == MIL_OK) l->status = status;
}

static bool out_of_memory(mil__lowering *l) {
    check(l, mil__nomem(l->err));
    return false;
}

/* ---- values of the old program ---- */

mil_value mil__ane_arg(const mil__op *op, const char *name) {
    const mil__values *arg = mil__op_arg_named(op, name);
    return arg && arg->n == 1 ? arg->values[0] : 0;
}

double mil__ane_number(const mil__lowering *l, const mil__op *op, const char *name, double none) {
    mil_value value = mil__ane_arg(op, name);
    const mil_tensor *data = value ? mil__old_data(l, value) : NULL;
    return data && mil__numel(data) == 1 ? mil__load_f64(data, 0) : none;
}

int64_t mil__ane_axis(const mil__lowering *l, const mil__op *op, const char *name, int64_t none, int rank) {
    int64_t axis = (int64_t)mil__ane_number(l, op, name, (double)none);
    return axis < 0 ? axis + rank : axis;
}

int64_t mil__last(const mil_type *type) { return type->rank ? type->shape[type->rank - 1] : 1; }

int64_t mil__rows(const mil_type *type) {
    int64_t n = 1;
    for (int i = 0; i + 1 < type->rank; i++) n *= type->shape[i];
    return n;
}

int mil__plain_shape(const mil_type *type, int64_t shape[MIL_MAX_RANK]) {
    int ones = type->rank < 4 ? 4 - type->rank : 0;
    for (int i = 0; i < ones; i++) shape[i] = 1;
    for (int i = 0; i < type->rank; i++) shape[ones + i] = type->shape[i];
    return ones + type->rank;
}

const void *mil__ane_params(mil__lowering *l, const mil__op *op) {
    mil__call call = {.op = op->decl, .opset = l->opset, .types = l->from->types, .arena = &l->arena, .err = l->err};
    if (l->status != MIL_OK) return NULL;
    check(l, mil__call_of(l->from, op, &call));
    call.params = op->decl->params_size && l->status == MIL_OK ? mil__arena_zero(&l->arena, 1, op->decl->params_size) : NULL;
    if (l->status == MIL_OK && !call.params) out_of_memory(l);
    if (l->status == MIL_OK) check(l, op->decl->infer(&call));
    return l->status == MIL_OK ? call.params : NULL;
}

/* ---- known elements ---- */

/* Sums are used as masks: what is added need only be far below all else, and stay finite. */
static double limit_of(const mil__lowering *l) {
    const char *op = l->op ? l->op->decl->name : "";
    bool is_added = strcmp(op, "add") == 0 || strcmp(op, "sub") == 0 || strcmp(op, "scaled_dot_product_attention") == 0;
    return is_added ? 30000 : 65504;
}

static void bound(const mil_tensor *from, uint16_t *half, int64_t n, double limit) {
    int64_t index[MIL_MAX_RANK];
    for (int64_t i = 0; i < n; i++) {
        if ((half[i] & 0x7fff) != 0x7c00) continue;
        double value = 0;
        for (int64_t axis = from->rank - 1, rest = i; axis >= 0; axis--) {
            index[axis] = rest % from->shape[axis];
            rest /= from->shape[axis];
        }
        if (mil_tensor_get(from, index, &value, NULL) == MIL_OK && (isfinite(value) || limit < 65504))
            half[i] = mil__double_to_half(value < 0 ? -limit : limit);
    }
}

mil_tensor *mil__ane_half(mil__lowering *l, const mil_tensor *data) {
    mil_tensor *half = NULL;
    if (l->status != MIL_OK) return NULL;
    check(l, mil_tensor_convert(data, MIL_FP16, &half, l->err));
    if (half) bound(data, half->data, mil__numel(half), limit_of(l));
    return half;
}

mil_tensor *mil__ane_shaped(mil__lowering *l, mil_tensor *data, int rank, const int64_t *shape) {
    mil_tensor *view = NULL;
    if (!data) return NULL;
    check(l, mil_tensor_reshape(data, rank, shape, &view, l->err));
    mil_tensor_free(data);
    return view;
}

bool mil__ane_is_zero(const mil_tensor *data) {
    for (int64_t i = 0, n = mil__numel(data); i < n; i++)
        if (mil__load_f64(data, i * (data->rank ? data->strides[0] : 0)) != 0) return false;
    return true;
}

/* [rows, C] -> [1, C, 1, rows], in memory of its own. */
static mil_tensor *channels_of(mil__lowering *l, mil_tensor *data, const mil_type *type) {
    int64_t rows = mil__rows(type), last = mil__last(type);
    mil_tensor *turned = NULL, *dense = NULL;
    data = mil__ane_shaped(l, data, 2, (const int64_t[]){rows, last});
    if (data) check(l, mil_tensor_transpose(data, (const int[]){1, 0}, &turned, l->err));
    if (turned) check(l, mil_tensor_convert(turned, turned->dtype, &dense, l->err));
    mil_tensor_free(data);
    mil_tensor_free(turned);
    return mil__ane_shaped(l, dense, 4, (const int64_t[]){1, last, 1, rows});
}

static mil_value known(mil__lowering *l, mil_value old, mil__ane_form form) {
    const mil_tensor *data = mil__old_data(l, old);
    const mil_type *type = mil__old_type(l, old);
    int64_t shape[MIL_MAX_RANK];
    mil_tensor *made = NULL;
    if (mil__dtype_is_float(data->dtype)) made = mil__ane_half(l, data);
    else if (data->dtype == MIL_STRING) made = mil_tensor_retain((mil_tensor *)data);
    else check(l, mil_tensor_convert(data, data->dtype, &made, l->err));
    if (form == MIL__PLAIN) {
        int rank = mil__plain_shape(type, shape);
        made = mil__ane_shaped(l, made, rank, shape);
    } else if (form == MIL__CHANNELS) {
        made = made ? channels_of(l, made, type) : NULL;
    }
    return mil__ane_const(l, made);
}

/* ---- forms ---- */

static mil_value plain_from_channels(mil__lowering *l, mil_value x, const mil_type *type) {
    int64_t shape[MIL_MAX_RANK];
    int rank = mil__plain_shape(type, shape);
    if (mil__rows(type) > 1 && mil__last(type) > 1) x = mil__ane_transpose(l, x, (const int[]){0, 3, 2, 1});
    return mil__ane_reshape(l, x, rank, shape);
}

static mil_value channels_from(mil__lowering *l, mil_value x, const mil_type *type) {
    int64_t rows = mil__rows(type), last = mil__last(type);
    if (rows == 1 || last == 1) return mil__ane_reshape(l, x, 4, (const int64_t[]){1, last, 1, rows});
    x = mil__ane_reshape(l, x, 4, (const int64_t[]){1, rows, 1, last});
    return mil__ane_transpose(l, x, (const int[]){0, 3, 2, 1});
}

mil_value mil__ane_get(mil__lowering *l, mil_value old, mil__ane_form form) {
    mil__ane_value *value = &l->values[old];
    const mil_type *type = mil__old_type(l, old);
    int64_t shape[MIL_MAX_RANK];
    if (l->status != MIL_OK) return 0;
    if (value->form[form]) return value->form[form];
    mil_value made = 0;
    if (mil__old_data(l, old)) {
        made = known(l, old, form);
    } else if (type->kind != MIL_TENSOR || !(value->form[MIL__OWN] || value->form[MIL__PLAIN] || value->form[MIL__CHANNELS])) {
        mil__ane_fail(l, MIL_EUNSUPPORTED, "%s, %s, can't be lowered for the Neural Engine", l->from->values[old]->name,
                      MIL__TYPE_TEXT(l->from->types, type));
    } else if (form == MIL__CHANNELS) {
        made = channels_from(l, value->form[MIL__PLAIN] ? value->form[MIL__PLAIN] : value->form[MIL__OWN], type);
    } else {
        mil_value other = value->form[form == MIL__OWN ? MIL__PLAIN : MIL__OWN];
        if (!other) other = plain_from_channels(l, value->form[MIL__CHANNELS], type);
        int rank = form == MIL__PLAIN ? mil__plain_shape(type, shape) : type->rank;
        made = mil__ane_reshape(l, other, rank, form == MIL__PLAIN ? shape : type->shape);
    }
    return value->form[form] = made;
}

void mil__ane_give(mil__lowering *l, mil_value old, mil__ane_form form, mil_value value) {
    mil__ane_value *to = &l->values[old];
    const char *name = l->from->values[old]->name;
    if (!value) return;
    *to = (mil__ane_value){.native = form};
    to->form[form] = value;
    const mil__value *v = l->to->values[value];
    if (!v->op || !name || l->to->blocks[l->block]->last != v->op) return; /* not made just now */
    if (mil_value_rename(l->to, value, name, NULL) == MIL_ENOMEM) out_of_memory(l);
}

void mil__ane_give_any(mil__lowering *l, mil_value old, mil_value value) {
    int64_t shape[MIL_MAX_RANK];
    int rank = mil__plain_shape(mil__old_type(l, old), shape);
    mil__ane_give(l, old, MIL__PLAIN, mil__ane_reshape(l, value, rank, shape));
}

void mil__ane_alias(mil__lowering *l, mil_value old, mil_value same) {
    if (mil__old_data(l, same)) mil__ane_get(l, same, MIL__PLAIN);
    l->values[old] = l->values[same];
}

/* Of a leading part of all ones, or of just the result's. */
static bool may_be_channels(const mil_type *type, const mil_type *result) {
    int64_t rows = mil__rows(type), last = mil__last(type);
    if (type->rank > result->rank || (last != 1 && last != mil__last(result))) return false;
    if (rows == 1) return true;
    for (int i = 0; i + 1 < result->rank; i++) {
        int own = i - (result->rank - type->rank);
        if ((own < 0 ? 1 : type->shape[own]) != result->shape[i]) return false;
    }
    return true;
}

static bool is_operand(mil__lowering *l, const mil__op *op, int slot) {
    const mil__param *row = mil__op_param_at(op->decl, l->opset, slot);
    return row && row->kind == MIL_PARAM_TENSOR;
}

mil__ane_form mil__ane_common(mil__lowering *l, const mil__op *op) {
    const mil_type *result = mil__old_type(l, op->outputs[0]);
    bool wanted = false;
    for (int a = 0; a < op->n_args; a++) {
        mil_value value = op->args[a].values[0];
        if (!is_operand(l, op, op->args[a].slot)) continue;
        if (!may_be_channels(mil__old_type(l, value), result)) return MIL__PLAIN;
        wanted = wanted || (!mil__old_data(l, value) && l->values[value].native == MIL__CHANNELS);
    }
    return wanted && result->rank ? MIL__CHANNELS : MIL__PLAIN;
}

mil_value mil__ane_operand(mil__lowering *l, mil_value old, mil__ane_form form) {
    const mil_tensor *data = mil__old_data(l, old);
    bool is_scalar = data && mil__numel(data) == 1 && data->rank <= 4; /* of a higher rank, what it meets gets that */
    if (!is_scalar || l->status != MIL_OK) return mil__ane_get(l, old, form);
    mil_tensor *one = NULL;
    if (mil__dtype_is_float(data->dtype)) one = mil__ane_half(l, data);
    else check(l, mil_tensor_convert(data, data->dtype, &one, l->err));
    return mil__ane_const(l, mil__ane_shaped(l, one, 0, NULL));
}

/* ---- operations ---- */

static mil_where where_of(const mil__lowering *l) {
    return l->op ? (mil_where){l->op->file, l->op->line} : (mil_where){NULL, 0};
}

mil_value mil__ane_const(mil__lowering *l, mil_tensor *data) {
    mil_value made = 0;
    if (data && l->status == MIL_OK)
        check(l, mil__program_const(l->to, l->block, data, NULL, true, where_of(l), 0, &made, l->err));
    mil_tensor_free(data);
    return l->status == MIL_OK ? made : 0;
}

void mil__ane_add_all(mil__lowering *l, const char *op, const mil_arg *args, size_t n, mil_value *made, size_t n_made) {
    size_t n_outs;
    memset(made, 0, n_made * sizeof *made);
    for (size_t i = 0; i < n; i++)
        if (args[i].kind == MIL_ARG_VALUE && !args[i].value) return;
    if (l->status != MIL_OK) return;
    check(l, mil_program_add(l->to, l->block, mil_op_find(op), args, n, NULL, where_of(l), made, n_made, &n_outs, l->err));
}

mil_value mil__ane_add(mil__lowering *l, const char *op, const mil_arg *args, size_t n) {
    mil_value made;
    mil__ane_add_all(l, op, args, n, &made, 1);
    return l->status == MIL_OK ? made : 0;
}

mil_value mil__ane_unary(mil__lowering *l, const char *op, mil_value x) { return MIL__ADD(l, op, MIL__VALUE("x", x)); }

/* A product over the first axis of one operand, and several of the other, is not to be relied on (direct). */
static void equal_batches(mil__lowering *l, mil_value *x, mil_value *y) {
    if (!*x || !*y || l->status != MIL_OK) return;
    const mil_type *a = mil__new_type(l, *x), *b = mil__new_type(l, *y);
    if (a->rank != 4 || b->rank != 4 || a->shape[0] == b->shape[0]) return;
    if (a->shape[0] == 1) *x = mil__ane_repeat(l, *x, 0, b->shape[0]);
    else *y = mil__ane_repeat(l, *y, 0, a->shape[0]);
}

/* Known elements [1, D, 1, 1], so many that compiling fails by their values (e5rt: from 1024 on M1 and M2, from 10240 else). */
static bool is_long_affine(const mil__lowering *l, const char *op, mil_value y) {
    const mil_type *type = y && l->status == MIL_OK && l->is_e5rt ? mil__new_type(l, y) : NULL;
    bool is_meant = type && type->rank == 4 && l->to->values[y]->data && (strcmp(op, "add") == 0 || strcmp(op, "mul") == 0);
    return is_meant && type->shape[0] == 1 && type->shape[2] == 1 && type->shape[3] == 1 && type->shape[1] >= (l->chip >= 3 ? 10240 : 1024);
}

/* They run along the last axis. */
static mil_value by_last_axis(mil__lowering *l, const char *op, mil_value x, mil_value y) {
    static const int turn[] = {0, 3, 2, 1};
    const mil_tensor *data = l->to->values[y]->data;
    mil_value row = mil__ane_const(l, mil__ane_shaped(l, mil__ane_half(l, data), 4, (const int64_t[]){1, 1, 1, data->shape[1]}));
    return mil__ane_transpose(l, mil__ane_binary(l, op, mil__ane_transpose(l, x, turn), row), turn);
}

mil_value mil__ane_binary(mil__lowering *l, const char *op, mil_value x, mil_value y) {
    if (!l->is_e5rt && strcmp(op, "mul") == 0) equal_batches(l, &x, &y);
    if (is_long_affine(l, op, y) && x && mil__new_type(l, x)->rank == 4) return by_last_axis(l, op, x, y);
    if (is_long_affine(l, op, x) && y && mil__new_type(l, y)->rank == 4) return by_last_axis(l, op, y, x);
    return MIL__ADD(l, op, MIL__VALUE("x", x), MIL__VALUE("y", y));
}

mil_value mil__ane_with(mil__lowering *l, const char *op, mil_value x, double y) {
    return MIL__ADD(l, op, MIL__VALUE("x", x), MIL__NUMBER("y", y));
}

/* What a reshape or transpose that was added has been given; x where it is no such. */
static mil_value before(const mil__lowering *l, mil_value x, const char *op) {
    mil_operation made = l->to->values[x]->op;
    const mil__op *by = made ? l->to->ops[made] : NULL;
    return by && strcmp(by->decl->name, op) == 0 ? mil__ane_arg(by, "x") : x;
}

static bool has_shape(const mil_type *type, int rank, const int64_t *shape) {
    return type->rank == rank && (!rank || memcmp(type->shape, shape, (size_t)rank * sizeof *shape) == 0);
}

mil_value mil__ane_reshape(mil__lowering *l, mil_value x, int rank, const int64_t *shape) {
    if (!x || l->status != MIL_OK || has_shape(mil__new_type(l, x), rank, shape)) return l->status == MIL_OK ? x : 0;
    x = before(l, x, "reshape");
    if (has_shape(mil__new_type(l, x), rank, shape)) return x;
    if (rank == 0) return MIL__ADD(l, "squeeze", MIL__VALUE("x", x)); /* no vector of no sizes */
    return MIL__ADD(l, "reshape", MIL__VALUE("x", x), MIL__INTS("shape", rank, shape));
}

/* Known elements n times, one after the other along an axis. */
static mil_value repeated_const(mil__lowering *l, const mil_tensor *data, int axis, int64_t n) {
    int64_t shape[MIL_MAX_RANK], begin[MIL_MAX_RANK] = {0};
    mil_tensor *made = NULL, *part = NULL;
    memcpy(shape, data->shape, (size_t)data->rank * sizeof *shape);
    shape[axis] *= n;
    check(l, mil_tensor_new(data->dtype, data->rank, shape, &made, l->err));
    for (int64_t i = 0; i < n && l->status == MIL_OK; i++, begin[axis] += data->shape[axis]) {
        check(l, mil_tensor_slice(made, begin, data->shape, NULL, &part, l->err));
        if (part) check(l, mil_tensor_copy(part, data, l->err));
        mil_tensor_free(part);
        part = NULL;
    }
    return mil__ane_const(l, made);
}

/* Do the axes above 1 stay in their order? */
static bool moves_ones_only(const mil_type *type, const int64_t *perm) {
    int64_t last = -1;
    for (int i = 0; i < type->rank; i++) {
        if (type->shape[perm[i]] == 1) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

/* An axis to an earlier place: [before, between, n, behind] -> [before, n, between, behind]. */
static mil_value moved(mil__lowering *l, mil_value x, int from, int to) {
    int64_t shape[MIL_MAX_RANK], parts[4] = {1, 1, 1, 1};
    const mil_type *type = x ? mil__new_type(l, x) : NULL;
    for (int i = 0; type && i < type->rank; i++) {
        parts[i < to ? 0 : i < from ? 1 : i == from ? 2 : 3] *= type->shape[i];
        shape[i] = i < to || i > from ? type->shape[i] : type->shape[i == to ? from : i - 1];
    }
    x = mil__ane_transpose(l, mil__ane_reshape(l, x, 4, parts), (const int[]){0, 2, 1, 3});
    return type ? mil__ane_reshape(l, x, type->rank, shape) : 0;
}

/* Of more than four axes: one after the other, each by a transpose of four. */
static mil_value in_steps(mil__lowering *l, mil_value x, int rank, const int64_t *perm) {
    int order[MIL_MAX_RANK];
    for (int i = 0; i < rank; i++) order[i] = i;
    for (int to = 0, from; to < rank; to++) {
        for (from = to; order[from] != perm[to]; from++) {}
        if (from == to) continue;
        x = moved(l, x, from, to);
        memmove(order + to + 1, order + to, (size_t)(from - to) * sizeof *order);
        order[to] = (int)perm[to];
    }
    return x;
}

mil_value mil__ane_transpose(mil__lowering *l, mil_value x, const int *perm) {
    int64_t whole[MIL_MAX_RANK], first[MIL_MAX_RANK], shape[MIL_MAX_RANK];
    if (!x || l->status != MIL_OK) return 0;
    mil_value source = before(l, x, "transpose");
    int rank = mil__new_type(l, x)->rank;
    if (source != x) mil__op_ints(l->to, l->to->ops[l->to->values[x]->op], "perm", MIL_MAX_RANK, first);
    for (int i = 0; i < rank; i++) whole[i] = source != x ? first[perm[i]] : perm[i];
    const mil_type *type = mil__new_type(l, source);
    for (int i = 0; i < rank; i++) shape[i] = type->shape[whole[i]];
    if (moves_ones_only(type, whole)) return mil__ane_reshape(l, source, rank, shape);
    if (rank > 4) return in_steps(l, source, rank, whole);
    return MIL__ADD(l, "transpose", MIL__VALUE("x", source), MIL__INTS("perm", rank, whole));
}

mil_value mil__ane_repeat(mil__lowering *l, mil_value x, int axis, int64_t n) {
    enum { AT_ONCE = 8 };
    mil_value parts[AT_ONCE + 1];
    size_t n_parts = 0;
    if (!x || n <= 1 || l->status != MIL_OK) return l->status == MIL_OK ? x : 0;
    if (l->to->values[x]->data) return repeated_const(l, l->to->values[x]->data, axis, n);
    mil_value part = mil__ane_repeat(l, x, axis, n / AT_ONCE);
    while (n >= AT_ONCE && n_parts < AT_ONCE) parts[n_parts++] = part;
    if (n < AT_ONCE) while (n_parts < (size_t)n) parts[n_parts++] = x;
    else if (n % AT_ONCE) parts[n_parts++] = mil__ane_repeat(l, x, axis, n % AT_ONCE);
    return mil__ane_concat(l, parts, n_parts, axis);
}

mil_value mil__ane_pad(mil__lowering *l, mil_value x, int axis, int64_t before, int64_t after, const char *mode, double value) {
    int64_t shape[MIL_MAX_RANK], parts[4] = {1, 1, 1, 1}, pad[8] = {0};
    if (!x || (!before && !after) || l->status != MIL_OK) return l->status == MIL_OK ? x : 0;
    const mil_type *type = mil__new_type(l, x);
    int rank = type->rank, at = rank == 4 && axis == 3 ? 3 : 2;
    for (int i = 0; i < rank; i++) {
        shape[i] = type->shape[i] + (i == axis ? before + after : 0);
        parts[i < axis ? 1 : i == axis ? 2 : 3] *= type->shape[i];
    }
    if (rank != 4 || axis < 2) x = mil__ane_reshape(l, x, 4, parts);
    pad[2 * at] = before, pad[2 * at + 1] = after;
    x = MIL__ADD(l, "pad", MIL__VALUE("x", x), MIL__INTS("pad", 8, pad), MIL__WORD("mode", mode ? mode : "constant"),
                MIL__NUMBER("constant_val", value));
    return mil__ane_reshape(l, x, rank, shape);
}

/* Along the last axis, in the place of the one before it. */
static mil_value width_slice(mil__lowering *l, mil_value x, const int64_t *begin, const int64_t *size) {
    int64_t turned_begin[MIL_MAX_RANK] = {0}, turned_size[MIL_MAX_RANK], others[MIL_MAX_RANK];
    int rank = mil__new_type(l, x)->rank, swap[MIL_MAX_RANK];
    memcpy(others, begin, (size_t)rank * sizeof *others);
    memcpy(turned_size, size, (size_t)rank * sizeof *turned_size);
    others[rank - 1] = 0, turned_size[rank - 1] = mil__new_type(l, x)->shape[rank - 1];
    x = mil__ane_slice(l, x, others, turned_size);
    for (int i = 0; i < rank; i++) swap[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    turned_begin[rank - 2] = begin[rank - 1];
    turned_size[rank - 2] = size[rank - 1], turned_size[rank - 1] = size[rank - 2];
    x = mil__ane_slice(l, mil__ane_transpose(l, x, swap), turned_begin, turned_size);
    return mil__ane_transpose(l, x, swap);
}

mil_value mil__ane_slice(mil__lowering *l, mil_value x, const int64_t *begin, const int64_t *size) {
    if (!x || l->status != MIL_OK) return 0;
    const mil_type *type = mil__new_type(l, x);
    int rank = type->rank;
    if (has_shape(type, rank, size)) return x;
    bool is_hazardous = l->chip >= 1 && l->chip <= 3; /* the width is not sliced there, but another axis */
    if (is_hazardous && rank > 1 && begin[rank - 1]) return width_slice(l, x, begin, size);
    return MIL__ADD(l, "slice_by_size", MIL__VALUE("x", x), MIL__INTS("begin", rank, begin), MIL__INTS("size", rank, size));
}

/* A dozen that meet in one operation take a compiler seconds, so many are joined in steps. */
static mil_value joined(mil__lowering *l, const mil_value *values, size_t n, int axis) {
    enum { AT_ONCE = 8 };
    size_t count = (n + AT_ONCE - 1) / AT_ONCE;
    mil_value *parts = mil__arena_zero(&l->arena, count, sizeof *parts);
    if (!parts) return out_of_memory(l);
    for (size_t i = 0, at = 0; i < count; i++, at += AT_ONCE) {
        parts[i] = mil__ane_concat(l, values + at, n - at < AT_ONCE ? n - at : AT_ONCE, axis);
        if (!parts[i]) return 0;
    }
    return mil__ane_concat(l, parts, count, axis);
}

mil_value mil__ane_concat(mil__lowering *l, const mil_value *values, size_t n, int axis) {
    enum { MOST = 11 };
    if (n > MOST) return joined(l, values, n, axis);
    mil_arg *items = mil__arena_zero(&l->arena, n, sizeof *items);
    if (!items) return out_of_memory(l);
    for (size_t i = 0; i < n; i++) {
        if (!values[i]) return 0;
        items[i] = (mil_arg){.kind = MIL_ARG_VALUE, .value = values[i]};
    }
    if (n == 1) return values[0];
    return MIL__ADD(l, "concat", {.name = "values", .kind = MIL_ARG_TUPLE, .items = items, .n = n}, MIL__INT_("axis", axis),
                    MIL__BOOL_ARG("interleave", false));
}

mil_value mil__ane_reduce(mil__lowering *l, const char *op, mil_value x, const int64_t *axes, size_t n) {
    return MIL__ADD(l, op, MIL__VALUE("x", x), MIL__INTS("axes", n, axes), MIL__BOOL_ARG("keep_dims", true));
}

/* ---- an operation as it is ---- */

/* fp16 where the parameter takes that, and the old one was another float. */
static mil_tensor *literal(mil__lowering *l, const mil__op *op, int slot, const mil_tensor *data) {
    const mil__param *row = mil__op_param_at(op->decl, MIL_IOS18, slot);
    uint32_t dtypes = row ? mil__op_dtypes(op->decl, MIL_IOS18, row) : 0;
    bool is_half = mil__dtype_is_float(data->dtype) && (!dtypes || dtypes & MIL__SET(MIL_FP16));
    return is_half ? mil__ane_half(l, data) : mil_tensor_retain((mil_tensor *)data);
}

static mil_arg argument(mil__lowering *l, const mil__op *op, int slot, mil_value old, mil__ane_form form) {
    mil_arg arg = {.name = mil__op_slot_name(op->decl, slot), .kind = MIL_ARG_VALUE};
    const mil_tensor *data = mil__old_data(l, old);
    if (is_operand(l, op, slot) && form != MIL__OWN) arg.value = mil__ane_operand(l, old, form);
    else if (data) arg = (mil_arg){.name = arg.name, .kind = MIL_ARG_TENSOR, .tensor = literal(l, op, slot, data)};
    else arg.value = mil__ane_get(l, old, form);
    if (arg.kind == MIL_ARG_TENSOR && !arg.tensor) arg.kind = MIL_ARG_VALUE;
    return arg;
}

/* The parameters that are not given, where they have a default: compilers want them. */
static size_t add_defaults(const mil__op *op, mil_arg *args, size_t n) {
    static const bool yes = true, no = false;
    for (int slot = 0; slot < mil__op_n_slots(op->decl); slot++) {
        const mil__param *row = mil__op_param_at(op->decl, MIL_IOS18, slot);
        if (!row || row->given < MIL__INT || mil__op_arg(op, slot)) continue;
        mil_arg *arg = &args[n++];
        *arg = (mil_arg){.name = row->name, .kind = MIL_ARG_NUMBERS, .data = &row->number, .n = 1};
        if (row->given == MIL__TEXT) *arg = (mil_arg){.name = row->name, .kind = MIL_ARG_STRING, .data = row->text, .n = strlen(row->text)};
        if (row->given == MIL__BOOL_) arg->kind = MIL_ARG_BOOLS, arg->data = row->number != 0 ? &yes : &no;
    }
    return n;
}

static size_t arguments(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_arg *args) {
    size_t n = 0;
    for (int a = 0; a < op->n_args; a++) {
        const mil__values *given = &op->args[a];
        if (!given->tuple) {
            args[n++] = argument(l, op, given->slot, given->values[0], form);
            continue;
        }
        mil_arg *items = mil__arena_zero(&l->arena, given->n, sizeof *items);
        if (!items && !out_of_memory(l)) return 0;
        for (uint32_t i = 0; i < given->n; i++)
            items[i] = (mil_arg){.kind = MIL_ARG_VALUE, .value = mil__ane_get(l, given->values[i], form)};
        args[n++] = (mil_arg){.name = mil__op_slot_name(op->decl, given->slot), .kind = MIL_ARG_TUPLE, .items = items, .n = given->n};
    }
    return add_defaults(op, args, n);
}

void mil__ane_same_all(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_value *outs) {
    mil_arg args[MIL__MAX_INPUTS];
    size_t n_outs, n = arguments(l, op, form, args);
    if (l->status == MIL_OK)
        check(l, mil_program_add(l->to, l->block, op->decl, args, n, NULL, where_of(l), outs, op->n_outputs, &n_outs, l->err));
    for (size_t i = 0; i < n; i++)
        if (args[i].kind == MIL_ARG_TENSOR) mil_tensor_free(args[i].tensor);
}

mil_value mil__ane_same(mil__lowering *l, const mil__op *op, mil__ane_form form) {
    mil_value made = 0;
    mil__ane_same_all(l, op, form, &made);
    return l->status == MIL_OK ? made : 0;
}
