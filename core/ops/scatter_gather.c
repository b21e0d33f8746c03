/* SPDX-License-Identifier: MIT */
/* scatter_gather: the gathers; inference and plain evaluation. Evaluation works on dense x (a copy where it is not) and on indices as
 * int64s, with x seen as [batch, middle, the indexed axis, inner]. */
#include "ops/indices.h"
#include "ops/rules.h"

/* x dense, and the indices as int64s; both live in call->arena or are the tensor's own. */
static mil_status read_operands(mil__call *call, const void **x, const int64_t **indices) {
    const mil_tensor *i = mil__arg(call, "indices")->data;
    int64_t *values = mil__arena_alloc(call->arena, (size_t)mil__numel(i) * sizeof *values + 1);
    if (!values) return mil__nomem(call->err);
    mil__read_i64(i, values);
    *indices = values;
    return mil__dense(call, mil__arg(call, "x")->data, x);
}

/* batch_dims, where the opset has it; x and indices must agree along those axes. */
static mil_status get_batch_dims(mil__call *call, int *out) {
    const mil_type *x = mil__arg(call, "x")->type, *indices = mil__arg(call, "indices")->type;
    int64_t batch = 0;
    if (call->opset >= MIL_IOS16) MIL__TRY(mil__get_int(call, "batch_dims", &batch));
    if (batch < 0 || batch >= x->rank || batch > indices->rank) {
        if (batch || x->rank)
            return mil__call_fail(call, MIL_EVALUE, "batch_dims %lld must be below x's rank (%d) and at most that of indices (%d)",
                                  (long long)batch, x->rank, indices->rank);
    }
    for (int i = 0; i < batch; i++) {
        if (x->shape[i] >= 0 && indices->shape[i] >= 0 && x->shape[i] != indices->shape[i])
            return mil__call_fail(call, MIL_ETYPE, "%s and %s differ at axis %d, which they share (batch_dims = %lld)",
                                  MIL__ARG_TEXT(call, "x"), MIL__ARG_TEXT(call, "indices"), i, (long long)batch);
    }
    *out = (int)batch;
    return MIL_OK;
}

static mil_status get_axis(mil__call *call, int *out) {
    int64_t axis;
    MIL__TRY(mil__get_int(call, "axis", &axis));
    return mil__axis(call, "axis", axis, mil__rank(mil__arg(call, "x")), out);
}

/* ---- gather ---- */

/* x's symbols by known indices: sizes taken from a shape. */
static mil_status gather_symbols(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x"), *indices = mil__arg(call, "indices");
    int64_t n, values[MIL__MAX_SYM], at;
    mil__index_rule rule;
    if (!x->sym || x->type->rank != 1 || x->type->shape[0] < 0 || !indices->data) return MIL_OK;
    n = mil__numel(indices->data);
    if (n > MIL__MAX_SYM) return MIL_OK;
    MIL__TRY(mil__index_rule_of(call, &rule));
    mil_dim *sym = mil__arena_alloc(call->arena, ((size_t)n + 1) * sizeof *sym);
    if (!sym) return mil__nomem(call->err);
    mil__read_i64(indices->data, values);
    for (int64_t i = 0; i < n; i++) {
        if (!mil__index_place(rule, values[i], x->type->shape[0], &at)) return MIL_OK;
        sym[i] = x->sym[at];
    }
    call->out_sym[0] = sym;
    return MIL_OK;
}

static mil_status gather_axes(mil__call *call, int *axis, int *batch) {
    MIL__TRY(get_axis(call, axis));
    MIL__TRY(get_batch_dims(call, batch));
    if (*axis >= *batch) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "axis %d is among the %d axes that x and indices share", *axis, *batch);
}

mil_status mil__infer_gather(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type, *indices = mil__arg(call, "indices")->type;
    mil_dim shape[2 * MIL_MAX_RANK];
    struct mil__gather_params *params = call->params;
    int axis, batch, rank = 0;
    MIL__TRY(gather_axes(call, &axis, &batch));
    MIL__TRY(mil__index_check(call, "x", axis));
    MIL__TRY(mil__index_rule_of(call, &params->rule));
    params->axis = axis;
    for (int i = 0; i < axis; i++) shape[rank++] = x->shape[i];
    for (int i = batch; i < indices->rank; i++) shape[rank++] = indices->shape[i];
    for (int i = axis + 1; i < x->rank; i++) shape[rank++] = x->shape[i];
    MIL__TRY(mil__call_tensor(call, x->dtype, rank, shape));
    return gather_symbols(call);
}

mil_status mil__eval_gather(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data, *indices = mil__arg(call, "indices")->data;
    const void *from;
    const int64_t *index;
    mil__index_rule rule;
    int axis, batch;
    MIL__TRY(gather_axes(call, &axis, &batch));
    MIL__TRY(mil__index_rule_of(call, &rule));
    MIL__TRY(read_operands(call, &from, &index));
    int64_t n_batch = mil__extent(x->shape, 0, batch), middle = mil__extent(x->shape, batch, axis), n = x->shape[axis], at = 0;
    int64_t taken = mil__extent(indices->shape, batch, indices->rank);
    size_t inner = (size_t)mil__extent(x->shape, axis + 1, x->rank) * mil__element_size(x->dtype);
    char *to = call->result[0]->data;
    for (int64_t b = 0; b < n_batch; b++)
        for (int64_t m = 0; m < middle; m++)
            for (int64_t i = 0; i < taken; i++, to += inner) {
                int64_t wanted = index[b * taken + i];
                if (!mil__index_place(rule, wanted, n, &at)) return mil__index_fail(call, wanted, axis, "x");
                memcpy(to, (const char *)from + (size_t)((b * middle + m) * n + at) * inner, inner);
            }
    return MIL_OK;
}

/* ---- gather_along_axis ---- */

mil_status mil__infer_gather_along_axis(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type, *indices = mil__arg(call, "indices")->type;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    bool fits = x->rank == indices->rank;
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == axis || x->shape[i] < 0 || indices->shape[i] < 0 || x->shape[i] == indices->shape[i];
    if (!fits)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the shape of %s, but for axis %d", MIL__ARG_TEXT(call, "indices"),
                              MIL__ARG_TEXT(call, "x"), axis);
    MIL__TRY(mil__index_check(call, "x", axis));
    return mil__call_tensor(call, x->dtype, indices->rank, indices->shape);
}

#define PICK(type)                                                                                                    \
    for (int64_t i = 0; i < n; i++) ((type *)to)[i] = ((const type *)from)[offsets[i]]

static void pick(void *to, const void *from, const int64_t *offsets, int64_t n, size_t size) {
    switch (size) {
    case 1: PICK(uint8_t); break;
    case 2: PICK(uint16_t); break;
    case 4: PICK(uint32_t); break;
    }
}

mil_status mil__eval_gather_along_axis(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    const void *from;
    char *to = call->result[0]->data;
    size_t size = mil__element_size(x->dtype);
    int64_t offsets[MIL__ALONG], n;
    mil__along along;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(mil__dense(call, x, &from));
    MIL__TRY(mil__along_begin(call, "x", axis, &along));
    do {
        MIL__TRY(mil__along_next(call, &along, offsets, &n));
        pick(to, from, offsets, n, size);
        to += (size_t)n * size;
    } while (n);
    return MIL_OK;
}

/* ---- gather_nd ---- */

static mil_status nd_axes(mil__call *call, int *batch, int *depth) {
    const mil_type *x = mil__arg(call, "x")->type, *indices = mil__arg(call, "indices")->type;
    MIL__TRY(get_batch_dims(call, batch));
    mil_dim last = indices->rank ? indices->shape[indices->rank - 1] : -1;
    if (indices->rank <= *batch || last < 0 || last > x->rank - *batch) {
        return mil__call_fail(call, MIL_ETYPE, "the last axis of %s takes a known number of indices, at most %d for %s",
                              MIL__ARG_TEXT(call, "indices"), x->rank - *batch, MIL__ARG_TEXT(call, "x"));
    }
    *depth = (int)last;
    return MIL_OK;
}

mil_status mil__infer_gather_nd(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type, *indices = mil__arg(call, "indices")->type;
    mil_dim shape[2 * MIL_MAX_RANK];
    int batch, depth, rank = 0;
    MIL__TRY(nd_axes(call, &batch, &depth));
    for (int i = 0; i < indices->rank - 1; i++) shape[rank++] = indices->shape[i];
    for (int i = batch + depth; i < x->rank; i++) shape[rank++] = x->shape[i];
    return mil__call_tensor(call, x->dtype, rank, shape);
}

mil_status mil__eval_gather_nd(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data, *indices = mil__arg(call, "indices")->data;
    const void *from;
    const int64_t *index;
    mil__index_rule rule;
    int batch, depth;
    MIL__TRY(nd_axes(call, &batch, &depth));
    MIL__TRY(mil__index_rule_of(call, &rule));
    MIL__TRY(read_operands(call, &from, &index));
    int64_t n_batch = mil__extent(x->shape, 0, batch), taken = mil__extent(indices->shape, batch, indices->rank - 1);
    size_t inner = (size_t)mil__extent(x->shape, batch + depth, x->rank) * mil__element_size(x->dtype);
    char *to = call->result[0]->data;
    for (int64_t b = 0; b < n_batch; b++)
        for (int64_t i = 0; i < taken; i++, to += inner) {
            int64_t at = b, place = 0;
            for (int k = 0; k < depth; k++) {
                int64_t wanted = *index++, n = x->shape[batch + k];
                if (!mil__index_place(rule, wanted, n, &place)) return mil__index_fail(call, wanted, batch + k, "x");
                at = at * n + place;
            }
            memcpy(to, (const char *)from + (size_t)at * inner, inner);
        }
    return MIL_OK;
}
