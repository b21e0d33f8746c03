/* SPDX-License-Identifier: MIT */
/* Lowering of what works element by element: activations, arithmetic, comparisons, casts. */
#include <math.h>

#include "ops/params.h"
#include "passes/ane.h"

static bool done(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_value value) {
    mil__ane_give(l, op->outputs[0], form, value);
    return true;
}

/* x in the form that it was made in. */
static mil_value x_of(mil__lowering *l, const mil__op *op, mil__ane_form *form) {
    *form = mil__ane_common(l, op);
    return mil__ane_get(l, mil__ane_arg(op, "x"), *form);
}

bool mil__lower_elementwise(mil__lowering *l, const mil__op *op) {
    mil__ane_form form = mil__ane_common(l, op);
    return done(l, op, form, mil__ane_same(l, op, form));
}

/* ---- arithmetic ---- */

static bool is_made_by(const mil__lowering *l, mil_value old, const char *a, const char *b, const char *c) {
    mil_operation by = l->from->values[old]->op;
    const char *name = by ? l->from->ops[by]->decl->name : "";
    return strcmp(name, a) == 0 || strcmp(name, b) == 0 || strcmp(name, c) == 0;
}

/* A const of the result's size, all one number. */
static mil_value whole(mil__lowering *l, mil_value like, double number) {
    const mil_type *type = mil__new_type(l, like);
    mil_tensor *data = NULL;
    if (mil_tensor_new(MIL_FP16, type->rank, type->shape, &data, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), 0;
    mil_tensor_fill(data, number, NULL);
    return mil__ane_const(l, data);
}

static bool is_float(const mil__lowering *l, const mil__op *op) { return mil__dtype_is_float(mil__old_type(l, op->outputs[0])->dtype); }

/* By a known number: a scalar, but behind round, floor and ceil, which e5rt has swallow it. */
static mil_value times(mil__lowering *l, mil_value x, double number, bool is_whole) {
    if (number == 0) return mil__ane_binary(l, "sub", x, x);
    return is_whole && x ? mil__ane_binary(l, "mul", x, whole(l, x, number)) : mil__ane_with(l, "mul", x, number);
}

bool mil__lower_mul(mil__lowering *l, const mil__op *op) {
    mil_value x = mil__ane_arg(op, "x"), y = mil__ane_arg(op, "y");
    if (mil__old_data(l, x)) {
        mil_value swapped = x;
        x = y, y = swapped;
    }
    const mil_tensor *by = mil__old_data(l, y);
    bool is_scalar = by && mil__numel(by) == 1 && !mil__old_data(l, x) && mil__old_type(l, x)->rank >= mil__old_type(l, y)->rank;
    if (!is_float(l, op)) return mil__lower_elementwise(l, op);
    mil__ane_form form = mil__ane_common(l, op);
    mil_value value = mil__ane_operand(l, x, form);
    if (!is_scalar) return done(l, op, form, mil__ane_binary(l, "mul", value, mil__ane_operand(l, y, form)));
    return done(l, op, form, times(l, value, mil__load_f64(by, 0), is_made_by(l, x, "round", "floor", "ceil")));
}

bool mil__lower_pow(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    double y = mil__ane_number(l, op, "y", NAN);
    if (mil__old_type(l, mil__ane_arg(op, "y"))->rank > mil__old_type(l, mil__ane_arg(op, "x"))->rank) y = NAN;
    if (!is_float(l, op) || (y != 2 && y != 0.5)) return mil__lower_elementwise(l, op);
    mil_value x = x_of(l, op, &form);
    return done(l, op, form, y == 2 ? mil__ane_binary(l, "mul", x, x) : mil__ane_unary(l, "sqrt", x));
}

bool mil__lower_square(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    return done(l, op, form, mil__ane_binary(l, "mul", x, x));
}

/* Of operands that broadcast, each in its own shape. */
bool mil__lower_mod(mil__lowering *l, const mil__op *op) {
    const mil_tensor *by = mil__old_data(l, mil__ane_arg(op, "y"));
    if (!is_float(l, op)) return false;
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), MIL__PLAIN), y = mil__ane_operand(l, mil__ane_arg(op, "y"), MIL__PLAIN);
    mil_value whole_part = mil__ane_unary(l, "floor", mil__ane_binary(l, "real_div", x, y));
    bool is_scalar = by && mil__numel(by) == 1;
    mil_value product = is_scalar ? times(l, whole_part, mil__load_f64(by, 0), true) : mil__ane_binary(l, "mul", whole_part, y);
    return done(l, op, MIL__PLAIN, mil__ane_binary(l, "sub", x, product));
}

bool mil__lower_epsilon(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    const mil__param *row = NULL;
    mil__op_slot(op->decl, l->opset, "epsilon", &row);
    double epsilon = mil__ane_number(l, op, "epsilon", row ? row->number : 0), least = l->is_e5rt ? 0x1p-24 : 1e-5;
    if (fabs(epsilon) < least) epsilon = least;
    mil_value x = x_of(l, op, &form);
    return done(l, op, form, MIL__ADD(l, op->decl->name, MIL__VALUE("x", x), MIL__NUMBER("epsilon", epsilon)));
}

bool mil__lower_add(mil__lowering *l, const mil__op *op) {
    mil__ane_form form = mil__ane_common(l, op);
    if (!is_float(l, op)) return mil__lower_elementwise(l, op);
    mil_value x = mil__ane_operand(l, mil__ane_arg(op, "x"), form), y = mil__ane_operand(l, mil__ane_arg(op, "y"), form);
    return done(l, op, form, mil__ane_binary(l, "add", x, y));
}

/* ---- functions written out ---- */

/* x/2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), which is off the exact one by less than half a thousandth. */
static mil_value gelu_by_tanh(mil__lowering *l, mil_value x) {
    mil_value square = mil__ane_binary(l, "mul", x, x);
    mil_value inner = mil__ane_with(l, "add", mil__ane_with(l, "mul", square, 0.044715), 1);
    mil_value t = mil__ane_unary(l, "tanh", mil__ane_binary(l, "mul", mil__ane_with(l, "mul", x, 0.7978845608), inner));
    return mil__ane_binary(l, "mul", mil__ane_with(l, "mul", x, 0.5), mil__ane_with(l, "add", t, 1));
}

bool mil__lower_gelu(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    if (l->is_e5rt) return mil__lower_elementwise(l, op);
    const struct mil__gelu_params *params = mil__ane_params(l, op);
    mil_value x = x_of(l, op, &form);
    if (!params) return true;
    bool is_sigmoid = params->mode == 2;
    mil_value gate = is_sigmoid ? mil__ane_unary(l, "sigmoid", mil__ane_with(l, "mul", x, 1.702)) : 0;
    return done(l, op, form, is_sigmoid ? mil__ane_binary(l, "mul", x, gate) : gelu_by_tanh(l, x));
}

bool mil__lower_softplus(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    mil_value low = mil__ane_unary(l, "softplus", mil__ane_with(l, "minimum", x, 10));
    mil_value high = mil__ane_unary(l, "relu", mil__ane_with(l, "sub", x, 10));
    return done(l, op, form, mil__ane_binary(l, "add", low, high));
}

bool mil__lower_round(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    mil_value is_small = mil__ane_with(l, "less", mil__ane_unary(l, "abs", x), 1024), rounded = mil__ane_unary(l, "round", x);
    return done(l, op, form, MIL__ADD(l, "select", MIL__VALUE("cond", is_small), MIL__VALUE("a", rounded), MIL__VALUE("b", x)));
}

/* sin(x + 2 pi phase), of itself where the chip has it. Else, with s from -1 to 1 such that x is pi s but for whole turns, Taylor's
 * polynomial of sin(pi s), whose factors fp16 can hold (those of sin(x) it can't). */
static mil_value wave(mil__lowering *l, mil_value x, bool is_cosine) {
    static const double factors[] = {-0.0073704309, 0.0821458866, -0.5992645293, 2.5501640399, -5.1677127800, 3.1415926536};
    if (!l->is_old) return mil__ane_unary(l, is_cosine ? "cos" : "sin", x);
    mil_value turns = mil__ane_with(l, "mul", x, 0.15915494);
    if (is_cosine) turns = mil__ane_with(l, "add", turns, 0.25);
    mil_value rest = mil__ane_binary(l, "sub", turns, mil__ane_unary(l, "floor", mil__ane_with(l, "add", turns, 0.5)));
    mil_value s = mil__ane_with(l, "mul", rest, 2), square = mil__ane_binary(l, "mul", s, s);
    mil_value sum = mil__ane_with(l, "mul", square, factors[0]);
    for (size_t i = 1; i + 1 < MIL__COUNT(factors); i++)
        sum = mil__ane_binary(l, "mul", mil__ane_with(l, "add", sum, factors[i]), square);
    return mil__ane_binary(l, "mul", mil__ane_with(l, "add", sum, factors[MIL__COUNT(factors) - 1]), s);
}

bool mil__lower_wave(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    return done(l, op, form, wave(l, x, strcmp(op->decl->name, "cos") == 0));
}

bool mil__lower_tan(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form), sine = wave(l, x, false), cosine = wave(l, x, true);
    return done(l, op, form, mil__ane_binary(l, "real_div", sine, cosine));
}

/* And cosh: halves of the exponentials, which so reach as far as the result does. */
bool mil__lower_sinh(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    mil_value up = mil__ane_unary(l, "exp", mil__ane_with(l, "sub", x, 0.69314718)); /* log 2 */
    mil_value down = mil__ane_unary(l, "exp", mil__ane_with(l, "sub", mil__ane_with(l, "mul", x, -1), 0.69314718));
    return done(l, op, form, mil__ane_binary(l, strcmp(op->decl->name, "sinh") == 0 ? "sub" : "add", up, down));
}

/* 2 atan(x / (1 + sqrt((1 - x) (1 + x)))): nothing there is infinite. */
static mil_value arcsine(mil__lowering *l, mil_value x) {
    mil_value below = mil__ane_with(l, "add", mil__ane_with(l, "mul", x, -1), 1), above = mil__ane_with(l, "add", x, 1);
    mil_value cosine = mil__ane_unary(l, "sqrt", mil__ane_binary(l, "mul", below, above));
    mil_value half = mil__ane_unary(l, "atan", mil__ane_binary(l, "real_div", x, mil__ane_with(l, "add", cosine, 1)));
    return mil__ane_with(l, "mul", half, 2);
}

bool mil__lower_asin(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    return done(l, op, form, arcsine(l, x));
}

bool mil__lower_acos(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form);
    return done(l, op, form, mil__ane_with(l, "add", mil__ane_with(l, "mul", arcsine(l, x), -1), 1.57079633));
}

/* Half of log(1 + x) - log(1 - x), with an epsilon so small that it is nothing but at 1. */
bool mil__lower_atanh(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value x = x_of(l, op, &form), minus = mil__ane_with(l, "mul", x, -1);
    mil_value up = MIL__ADD(l, "log", MIL__VALUE("x", mil__ane_with(l, "add", x, 1)), MIL__NUMBER("epsilon", 0x1p-24));
    mil_value down = MIL__ADD(l, "log", MIL__VALUE("x", mil__ane_with(l, "add", minus, 1)), MIL__NUMBER("epsilon", 0x1p-24));
    return done(l, op, form, mil__ane_with(l, "mul", mil__ane_binary(l, "sub", up, down), 0.5));
}

/* ---- bools ---- */

/* 1 and 0 as fp16, so that select knows its dtype. */
mil_value mil__ane_half_of_bool(mil__lowering *l, mil_value is_true) {
    mil_tensor *one = NULL, *zero = NULL;
    if (!is_true) return 0;
    bool made = mil_tensor_new(MIL_FP16, 0, NULL, &one, l->err) == MIL_OK && mil_tensor_new(MIL_FP16, 0, NULL, &zero, l->err) == MIL_OK;
    if (!made) {
        mil_tensor_free(one);
        return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), 0;
    }
    mil_tensor_fill(one, 1, NULL);
    mil_value a = mil__ane_const(l, one), b = mil__ane_const(l, zero);
    return MIL__ADD(l, "select", MIL__VALUE("cond", is_true), MIL__VALUE("a", a), MIL__VALUE("b", b));
}

bool mil__lower_logical(mil__lowering *l, const mil__op *op) {
    mil__ane_form form = mil__ane_common(l, op);
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), form), y = mil__ane_get(l, mil__ane_arg(op, "y"), form);
    mil_value a = mil__ane_half_of_bool(l, x), b = mil__ane_half_of_bool(l, y);
    const char *name = op->decl->name;
    if (strcmp(name, "logical_xor") == 0) return done(l, op, form, mil__ane_binary(l, "not_equal", a, b));
    mil_value both = mil__ane_binary(l, strcmp(name, "logical_and") == 0 ? "minimum" : "maximum", a, b);
    return done(l, op, form, mil__ane_with(l, "not_equal", both, 0));
}

/* ---- casts ---- */

bool mil__lower_cast(mil__lowering *l, const mil__op *op) {
    mil__ane_form form;
    mil_value old = mil__ane_arg(op, "x");
    mil_dtype from = mil__old_type(l, old)->dtype, to = mil__old_type(l, op->outputs[0])->dtype;
    bool to_float = mil__dtype_is_float(to);
    mil_value x = x_of(l, op, &form);
    if (!x) return true;
    bool is_half = mil__new_type(l, x)->dtype == MIL_FP16; /* also small integers that came through a port */
    if (from == to || (is_half && to_float)) return mil__ane_alias(l, op->outputs[0], old), true;
    if (from == MIL_BOOL && to_float) return done(l, op, form, mil__ane_half_of_bool(l, x));
    if (is_half && to == MIL_BOOL) return done(l, op, form, mil__ane_with(l, "not_equal", x, 0));
    return done(l, op, form, MIL__ADD(l, "cast", MIL__VALUE("x", x), MIL__WORD("dtype", to_float ? "fp16" : mil_dtype_name(to))));
}

bool mil__lower_identity(mil__lowering *l, const mil__op *op) {
    mil__ane_alias(l, op->outputs[0], mil__ane_arg(op, "x"));
    return true;
}
