/* SPDX-License-Identifier: MIT */
/* control_flow: const, select, cond, while_loop. (Lists: lists.c.) */
#include "ops/rules.h"

mil_status mil__infer_const(mil__call *call) { return mil__infer_like_first(call); }

/* ---- select ---- */

mil_status mil__infer_select(mil__call *call) {
    mil_dim shape[MIL_MAX_RANK], whole[MIL_MAX_RANK];
    const mil_type *cond = mil__arg(call, "cond")->type;
    int rank, whole_rank;
    MIL__TRY(mil__broadcast(call, "a", "b", &rank, shape));
    if (!mil__broadcast_dims(call->types, rank, shape, cond->rank, cond->shape, &whole_rank, whole)) {
        return mil__call_fail(call, MIL_ETYPE, "%s, %s and %s do not broadcast", MIL__ARG_TEXT(call, "cond"),
                              MIL__ARG_TEXT(call, "a"), MIL__ARG_TEXT(call, "b"));
    }
    return mil__call_tensor(call, mil__arg(call, "a")->type->dtype, whole_rank, whole);
}

/* The tensors of a select, in the order in which they are walked. */
typedef struct selecting {
    size_t size; /* of an element */
    const bool *cond;
    const char *a, *b;
    char *out;
} selecting;

static void select_run(void *ctx, int64_t n, const int64_t *at, const int64_t *step) {
    const selecting *s = ctx;
    for (int64_t i = 0; i < n; i++) {
        bool first = s->cond[at[0] + i * step[0]];
        const char *from = first ? s->a + (at[1] + i * step[1]) * (int64_t)s->size
                                 : s->b + (at[2] + i * step[2]) * (int64_t)s->size;
        memcpy(s->out + (at[3] + i * step[3]) * (int64_t)s->size, from, s->size);
    }
}

mil_status mil__eval_select(mil__call *call) {
    const mil_tensor *cond = mil__arg(call, "cond")->data, *a = mil__arg(call, "a")->data, *b = mil__arg(call, "b")->data;
    mil_tensor *out = call->result[0];
    int64_t strides[3][MIL_MAX_RANK];
    mil__broadcast_strides(cond, out->rank, strides[0]);
    mil__broadcast_strides(a, out->rank, strides[1]);
    mil__broadcast_strides(b, out->rank, strides[2]);
    const int64_t *all[] = {strides[0], strides[1], strides[2], out->strides};
    selecting s = {mil__element_size(out->dtype), cond->data, a->data, b->data, out->data};
    mil__walk(out->rank, out->shape, 4, all, select_run, &s);
    return MIL_OK;
}

/* ---- cond, while_loop ---- */

static mil_status check_blocks(mil__call *call, int n_inputs) {
    const mil__nested *nested = call->nested;
    int n = nested ? nested->n_blocks : 0;
    if (n != 2) return mil__call_fail(call, MIL_EVALUE, "takes 2 blocks, but has %d", n);
    for (int b = 0; b < n; b++)
        if (nested->n_inputs(nested->ctx, b) != n_inputs)
            return mil__call_fail(call, MIL_ETYPE, "block %d has %d inputs, but should have %d", b, nested->n_inputs(nested->ctx, b), n_inputs);
    return MIL_OK;
}

static bool is_one_bool(const mil_type *type) {
    if (type->kind != MIL_TENSOR || type->dtype != MIL_BOOL) return false;
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] >= 0 && type->shape[i] != 1) return false;
    return true;
}

/* A list that is of one length here and of another there has none that is known. */
static const mil_type *result_of(mil__call *call, const mil_type *type, const mil_type *other) {
    if (type->kind != MIL_LIST || type->length < 0 || type->length == other->length) return type;
    return mil__list_type(call->types, type->items[0], mil__dim_fresh(call->types));
}

mil_status mil__infer_cond(mil__call *call) {
    MIL__TRY(check_blocks(call, 0));
    const mil__nested *nested = call->nested;
    int n = nested->n_results(nested->ctx, 0), n_else = nested->n_results(nested->ctx, 1);
    if (!is_one_bool(mil__arg(call, "pred")->type)) return mil__call_fail(call, MIL_ETYPE, "%s is not one bool", MIL__ARG_TEXT(call, "pred"));
    if (n != n_else) return mil__call_fail(call, MIL_ETYPE, "the first block gives %d values, but the second %d", n, n_else);
    MIL__TRY(mil__call_outputs(call, n));
    for (int i = 0; i < n; i++) {
        const mil_type *type = nested->result_type(nested->ctx, 0, i), *other = nested->result_type(nested->ctx, 1, i);
        if ((call->is_bound || other->is_unranked) && !(type = mil__type_wider(call->types, type, other, call->is_bound))) return mil__nomem(call->err);
        if (type->kind == MIL_STATE || !(mil__type_fits(type, other) || mil__type_holds(type, other)))
            return mil__call_fail(call, MIL_ETYPE, "value %d is %s where pred is true, but %s where it is false", i,
                                  MIL__TYPE_TEXT(call->types, type), MIL__TYPE_TEXT(call->types, other));
        call->out[i] = result_of(call, type, other);
        if (!call->out[i]) return mil__nomem(call->err);
    }
    return MIL_OK;
}

/* Variable i: what it is at first, in the blocks, and after one turn. */
static mil_status check_variable(mil__call *call, const mil__operand *first, int i) {
    const mil__nested *nested = call->nested;
    const mil_type *one = nested->input_type(nested->ctx, 0, i), *two = nested->input_type(nested->ctx, 1, i);
    const mil_type *next = nested->result_type(nested->ctx, 1, i);
    const char *name = first->name ? first->name : "a literal";
    if (first->type->kind == MIL_STATE) return mil__call_fail(call, MIL_ETYPE, "loop variable %d, %s, is a state", i, name);
    if (!mil__type_holds(one, first->type) || !mil__type_holds(two, first->type))
        return mil__call_fail(call, MIL_ETYPE, "loop variable %d, %s, is %s, but the blocks take %s", i, name,
                              MIL__TYPE_TEXT(call->types, first->type),
                              MIL__TYPE_TEXT(call->types, mil__type_holds(one, first->type) ? two : one));
    if (!mil__type_holds(one, next) || !mil__type_holds(two, next))
        return mil__call_fail(call, MIL_ETYPE, "loop variable %d, %s, is %s, but %s after a turn", i, name,
                              MIL__TYPE_TEXT(call->types, one), MIL__TYPE_TEXT(call->types, next));
    return MIL_OK;
}

mil_status mil__infer_while_loop(mil__call *call) {
    const mil__input *vars = mil__args(call, "loop_vars");
    if (vars->n == 0) return mil__call_fail(call, MIL_EVALUE, "loop_vars is empty");
    MIL__TRY(check_blocks(call, vars->n));
    const mil__nested *nested = call->nested;
    int n_decide = nested->n_results(nested->ctx, 0), n = nested->n_results(nested->ctx, 1);
    if (n_decide != 1 || !is_one_bool(nested->result_type(nested->ctx, 0, 0)))
        return mil__call_fail(call, MIL_ETYPE, "the first block gives one bool, but here %s%s", n_decide == 1 ? "" : "several values",
                              n_decide == 1 ? MIL__TYPE_TEXT(call->types, nested->result_type(nested->ctx, 0, 0)) : "");
    if (n != vars->n) return mil__call_fail(call, MIL_ETYPE, "there are %d loop variables, but the second block gives %d values", vars->n, n);
    MIL__TRY(mil__call_outputs(call, n));
    for (int i = 0; i < n; i++) {
        MIL__TRY(check_variable(call, &vars->items[i], i));
        call->out[i] = result_of(call, nested->result_type(nested->ctx, 1, i), vars->items[i].type);
        if (!call->out[i]) return mil__nomem(call->err);
    }
    return MIL_OK;
}
