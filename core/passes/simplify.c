/* SPDX-License-Identifier: MIT */
/* Algebraic clean-ups. The laws that a rule keeps: it looks at one operation and what defines its operands; the value that
 * takes the place has the same type and, for every input, equal elements (-0 and 0 are equal; NaN stays NaN); it makes no
 * operation that could be simplified again by the same rule.
 *
 * A rule is a row: the op it is about, and a function that gives the value to use instead (0: none). */
#include "passes/pass.h"

typedef mil_value rule_fn(mil__pass_state *state, const mil__op *op);

static mil_value operand(const mil__op *op, int slot) {
    const mil__values *arg = mil__op_arg(op, slot);
    return arg && arg->n == 1 ? arg->values[0] : 0;
}

static const mil__value *value_at(const mil__pass_state *state, mil_value value) {
    return value ? state->program->values[value] : NULL;
}

static bool is_static(const mil_type *type) {
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] < 0) return false;
    return type->kind == MIL_TENSOR;
}

/* x where the result has x's type: types of one owner are one pointer, symbolic dims included. */
static mil_value x_if_same_type(mil__pass_state *state, const mil__op *op) {
    mil_value x = operand(op, 0);
    const mil__value *result = state->program->values[op->outputs[0]];
    return x && value_at(state, x)->type == result->type ? x : 0;
}

static mil_value x_if_same_static_type(mil__pass_state *state, const mil__op *op) {
    mil_value x = x_if_same_type(state, op);
    return x && is_static(value_at(state, x)->type) ? x : 0;
}

/* ---- movements ---- */

static mil_value simplify_transpose(mil__pass_state *state, const mil__op *op) {
    int64_t perm[MIL_MAX_RANK];
    int n = mil__op_ints(state->program, op, "perm", MIL_MAX_RANK, perm);
    for (int i = 0; i < n; i++)
        if ((perm[i] < 0 ? perm[i] + n : perm[i]) != i) return 0;
    return n >= 0 ? operand(op, 0) : 0;
}

/* A begin that only the run knows is for the run to check. */
static mil_value simplify_slice_by_size(mil__pass_state *state, const mil__op *op) {
    int64_t begin[MIL_MAX_RANK];
    return mil__op_ints(state->program, op, "begin", MIL_MAX_RANK, begin) >= 0 ? x_if_same_static_type(state, op) : 0;
}

/* A slice as large as what it is taken from, not reversed, is all of it. */
static mil_value simplify_slice_by_index(mil__pass_state *state, const mil__op *op) {
    int64_t stride[MIL_MAX_RANK];
    int n = mil__op_ints(state->program, op, "stride", MIL_MAX_RANK, stride);
    if (n < 0 && mil__op_arg_named(op, "stride")) return 0;
    for (int i = 0; i < n; i++)
        if (stride[i] < 0) return 0;
    return x_if_same_static_type(state, op);
}

static mil_value simplify_pad(mil__pass_state *state, const mil__op *op) {
    int64_t pad[2 * MIL_MAX_RANK];
    int n = mil__op_ints(state->program, op, "pad", 2 * MIL_MAX_RANK, pad);
    for (int i = 0; i < n; i++)
        if (pad[i]) return 0;
    return n >= 0 ? x_if_same_type(state, op) : 0;
}

static mil_value simplify_concat(mil__pass_state *state, const mil__op *op) {
    const mil__values *values = mil__op_arg_named(op, "values");
    if (!values || values->n != 1) return 0;
    bool same = value_at(state, values->values[0])->type == value_at(state, op->outputs[0])->type; /* a scalar becomes a vector */
    return same ? values->values[0] : 0;
}

/* reshape(reshape(x)) needs x alone: the inner one's operand takes its place. */
static mil_value skip_inner_reshape(mil__pass_state *state, const mil__op *op) {
    const mil__value *x = value_at(state, operand(op, 0));
    const mil__op *inner = x && x->op ? state->program->ops[x->op] : NULL;
    int64_t shape[MIL_MAX_RANK], inner_shape[MIL_MAX_RANK];
    int n = mil__op_ints(state->program, op, "shape", MIL_MAX_RANK, shape);
    if (n < 0) return 0; /* a run looks whether it fits */
    mil_value same = x_if_same_static_type(state, op);
    if (same) return same;
    if (!inner || inner->decl != op->decl || mil__op_ints(state->program, inner, "shape", MIL_MAX_RANK, inner_shape) < 0) return 0;
    for (int i = 0; i < n; i++)
        if (shape[i] == 0) return 0; /* a copied extent refers to the inner result */
    mil__values *arg = &((mil__op *)op)->args[0];
    mil_value outer_x = operand(inner, 0);
    state->program->values[arg->values[0]]->n_uses--;
    state->program->values[outer_x]->n_uses++;
    arg->values[0] = outer_x;
    return 0;
}

/* ---- arithmetic with a neutral element ---- */

static bool is_all(const mil__pass_state *state, mil_value value, double wanted) {
    const mil__value *v = value_at(state, value);
    if (!v || !v->data || mil__numel(v->data) != 1) return false;
    return mil__load_f64(v->data, 0) == wanted;
}

static mil_value neutral(mil__pass_state *state, const mil__op *op, double element, bool either_side) {
    const mil_type *type = state->program->values[op->outputs[0]]->type;
    mil_value x = operand(op, 0), y = operand(op, 1);
    if (is_all(state, y, element) && value_at(state, x)->type == type) return x;
    if (either_side && is_all(state, x, element) && value_at(state, y)->type == type) return y;
    return 0;
}

static mil_value simplify_add(mil__pass_state *state, const mil__op *op) { return neutral(state, op, 0, true); }
static mil_value simplify_sub(mil__pass_state *state, const mil__op *op) { return neutral(state, op, 0, false); }
static mil_value simplify_mul(mil__pass_state *state, const mil__op *op) { return neutral(state, op, 1, true); }
static mil_value simplify_div(mil__pass_state *state, const mil__op *op) { return neutral(state, op, 1, false); }

static const struct {
    const char *op;
    rule_fn *rule;
} rules[] = {
    {"identity", x_if_same_type},       {"cast", x_if_same_type},
    {"reshape", skip_inner_reshape},    {"transpose", simplify_transpose},
    {"expand_dims", x_if_same_static_type}, {"squeeze", x_if_same_static_type},
    {"slice_by_size", simplify_slice_by_size}, {"slice_by_index", simplify_slice_by_index},
    {"tile", x_if_same_static_type},    {"pad", simplify_pad},
    {"concat", simplify_concat},        {"add", simplify_add},
    {"sub", simplify_sub},              {"mul", simplify_mul},
    {"real_div", simplify_div},         {"pow", simplify_div},
};

static mil_status visit(mil__pass_state *state, mil_operation operation) {
    const mil__op *op = state->program->ops[operation];
    if (op->n_outputs != 1) return MIL_OK;
    for (size_t i = 0; i < MIL__COUNT(rules); i++) {
        if (strcmp(rules[i].op, op->decl->name) != 0) continue;
        mil_value instead = rules[i].rule(state, op);
        return instead ? mil__pass_replace(state, op->outputs[0], instead) : MIL_OK;
    }
    return MIL_OK;
}

mil_status mil__pass_simplify(mil_program *program, mil_error *err) {
    return mil__pass_walk(program, visit, NULL, err);
}
