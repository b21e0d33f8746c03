/* SPDX-License-Identifier: MIT */
/* Norms that are written out, found from their last operation backwards:
 *
 *   x --+--> reduce_mean --> sub --+--> square --> reduce_mean --> add eps --> rsqrt --> mul --> mul gamma --> add beta
 *       +---------------------^    +-------------------------------------------------------^
 *
 *   sub     without it (the square is x's own): RMS norm
 *   square  or mul(d, d), or pow(d, 2)
 *   rsqrt   and mul, or pow(-0.5) and mul, or sqrt and real_div, or pow(0.5) and real_div; eps may be rsqrt's own
 *   gamma, beta   known, by element of the axes; either may be missing
 *
 * Whatever lies between is nobody else's, and no output. The sums stay fp32 whatever the dtype (so, where precision is
 * strict, the form is left as it was written). */
#include "engine/cpu/norm.h"

static const mil__value *value_at(const mil__lower *lower, mil_value value) { return lower->program->values[value]; }

static bool is_op(const mil__op *op, const char *name) { return op && strcmp(op->decl->name, name) == 0; }

static mil_value operand(const mil__op *op, int slot) { return mil__op_arg(op, slot)->values[0]; }

static const mil__op *maker(const mil__lower *lower, mil_value value) {
    mil_operation op = value_at(lower, value)->op;
    return op ? lower->program->ops[op] : NULL;
}

/* The operation that makes a value, as one more of the form's; what it reads first. */
static mil_value take(const mil__lower *lower, mil_value value, mil__norm_ops *out) {
    out->ops[out->n++] = value_at(lower, value)->op;
    return operand(maker(lower, value), 0);
}

static bool scalar(const mil__lower *lower, mil_value value, double *out) {
    const mil_tensor *data = value_at(lower, value)->data;
    if (!data || mil__numel(data) != 1 || !mil__dtype_is_float(data->dtype)) return false;
    *out = mil__load_f64(data, 0);
    return true;
}

static bool is_power(const mil__lower *lower, const mil__op *op, double exponent) {
    double given;
    return is_op(op, "pow") && scalar(lower, operand(op, 1), &given) && given == exponent;
}

/* reduce_mean that keeps its axes; which they are. */
static bool is_mean(const mil__lower *lower, const mil__op *op, uint32_t *axes) {
    int64_t keeps;
    if (!is_op(op, "reduce_mean") || mil__op_ints(lower->program, op, "keep_dims", 1, &keeps) != 1 || !keeps) return false;
    int rank = value_at(lower, operand(op, 0))->type->rank;
    *axes = mil__axes_of(lower, op, "axes", rank, (1u << rank) - 1);
    return true;
}

static bool is_square(const mil__lower *lower, const mil__op *op) {
    bool is_product = is_op(op, "mul") && operand(op, 0) == operand(op, 1);
    return is_op(op, "square") || is_product || is_power(lower, op, 2);
}

/* 1 / sqrt(mean(d * d) + eps), or, to divide by, sqrt(mean(d * d) + eps): *d. */
static bool take_scale(const mil__lower *lower, mil_value value, bool divides, mil__norm_ops *out, mil_value *d) {
    const mil__op *root = maker(lower, value), *op;
    if (!is_op(root, divides ? "sqrt" : "rsqrt") && !is_power(lower, root, divides ? 0.5 : -0.5)) return false;
    out->epsilon = is_op(root, "rsqrt") ? mil__epsilon_of(lower, root) : 0;
    value = take(lower, value, out);
    op = maker(lower, value);
    double eps;
    bool first = is_op(op, "add") && scalar(lower, operand(op, 0), &eps);
    if (first || (is_op(op, "add") && scalar(lower, operand(op, 1), &eps))) {
        take(lower, value, out);
        out->epsilon += eps;
        value = operand(op, first);
    }
    if (!is_mean(lower, maker(lower, value), &out->axes)) return false;
    value = take(lower, value, out);
    if (!is_square(lower, maker(lower, value))) return false;
    *d = take(lower, value, out);
    return true;
}

/* d scaled: *d. */
static bool take_scaled(const mil__lower *lower, mil_value value, mil__norm_ops *out, mil_value *d) {
    const mil__op *op = maker(lower, value);
    bool divides = is_op(op, "real_div");
    if (!divides && !is_op(op, "mul")) return false;
    take(lower, value, out);
    int n = out->n;
    if (take_scale(lower, operand(op, 1), divides, out, d) && *d == operand(op, 0)) return true;
    out->n = n;
    return !divides && take_scale(lower, operand(op, 0), false, out, d) && *d == operand(op, 1);
}

/* x - mean(x) over the same axes: *x. */
static bool take_centred(const mil__lower *lower, mil_value value, mil__norm_ops *out, mil_value *x) {
    const mil__op *op = maker(lower, value);
    uint32_t axes;
    if (!is_op(op, "sub")) return false;
    const mil__op *mean = maker(lower, operand(op, 1));
    if (!is_mean(lower, mean, &axes) || axes != out->axes || operand(mean, 0) != operand(op, 0)) return false;
    *x = take(lower, value, out);
    take(lower, operand(op, 1), out);
    return true;
}

/* Is every value but the last looked at within the form only? */
static bool is_private(const mil__lower *lower, const mil__norm_ops *form) {
    for (int i = 1; i < form->n; i++) { /* [0] is the last */
        mil_value value = lower->program->ops[form->ops[i]]->outputs[0];
        uint32_t n = 0;
        for (int k = 0; k < form->n; k++) {
            const mil__op *op = lower->program->ops[form->ops[k]];
            for (uint16_t a = 0; a < op->n_args; a++)
                for (uint32_t v = 0; v < op->args[a].n; v++) n += op->args[a].values[v] == value;
        }
        if (value_at(lower, value)->is_output || value_at(lower, value)->n_uses != n) return false;
    }
    return true;
}

/* A known number for each element of the axes, whatever the others are. */
static bool is_by_element(const mil__lower *lower, mil_value value, const mil_type *x, uint32_t axes) {
    const mil__value *v = value_at(lower, value);
    if (!v->data || !mil__dtype_is_float(v->type->dtype) || v->type->rank > x->rank) return false;
    int lead = x->rank - v->type->rank;
    for (int i = 0; i < x->rank; i++)
        if ((i < lead ? 1 : v->type->shape[i - lead]) != (axes >> i & 1 ? x->shape[i] : 1)) return false;
    return true;
}

/* add(form, beta) or mul(form, gamma), either side: the form's value, and the known one. */
static bool take_known(const mil__lower *lower, mil_value *value, const char *name, mil__norm_ops *out, mil_value *known) {
    const mil__op *op = maker(lower, *value);
    if (!is_op(op, name)) return false;
    bool first = value_at(lower, operand(op, 0))->data != NULL;
    if (!value_at(lower, operand(op, !first))->data) return false;
    take(lower, *value, out);
    *known = operand(op, !first);
    *value = operand(op, first);
    return true;
}

bool mil__match_norm(const mil__lower *lower, mil_operation last, mil__norm_ops *out) {
    mil_value value = lower->program->ops[last]->outputs[0], d;
    const mil_type *type = value_at(lower, value)->type;
    *out = (mil__norm_ops){0};
    if (lower->strict || (type->dtype != MIL_FP32 && type->dtype != MIL_FP16)) return false;
    take_known(lower, &value, "add", out, &out->beta);
    take_known(lower, &value, "mul", out, &out->gamma);
    if (!take_scaled(lower, value, out, &d)) return false;
    int n = out->n;
    if (!take_centred(lower, d, out, &out->x) || !is_private(lower, out)) {
        out->n = n;
        out->x = d;
        out->keep_mean = true;
        if (!is_private(lower, out)) return false;
    }
    const mil_type *x = value_at(lower, out->x)->type;
    if (x != type || (out->gamma && !is_by_element(lower, out->gamma, x, out->axes))) return false;
    if (out->beta && !is_by_element(lower, out->beta, x, out->axes)) return false;
    for (int i = 0; i < out->n / 2; i++) { /* in order */
        mil_operation op = out->ops[i];
        out->ops[i] = out->ops[out->n - 1 - i];
        out->ops[out->n - 1 - i] = op;
    }
    return true;
}
