/* SPDX-License-Identifier: MIT */
/* Lowering of what goes along axes: sums, means, normalizations, softmax.
 *
 * Everything is stored in fp16, so a sum may not pass 65504: a sum of n squares would, from a root mean square of sqrt(65504 / n)
 * on (8 for 1024 channels). So squares are made of x * 2^-k, with 4^k about sqrt(n): sums then hold up to a root mean square of
 * about (65504 / sqrt(n))^(1/2) (45), and small values lose little. Means of many elements are made the same way. */
#include <math.h>

#include "ops/params.h"
#include "passes/ane.h"

static bool done(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_value value) {
    mil__ane_give(l, op->outputs[0], form, value);
    return true;
}

static bool is_float(const mil__lowering *l, const mil__op *op) { return mil__dtype_is_float(mil__old_type(l, op->outputs[0])->dtype); }

/* ---- sums ---- */

static double count(const mil__lowering *l, mil_value x, const int64_t *axes, size_t n) {
    double product = 1;
    for (size_t i = 0; x && i < n; i++) product *= (double)mil__new_type(l, x)->shape[axes[i]];
    return product;
}

mil_value mil__ane_mean(mil__lowering *l, mil_value x, const int64_t *axes, size_t n) {
    enum { MANY = 1024 };
    double elements = count(l, x, axes, n), scale = elements > MANY ? ldexp(1, -(int)(log2(elements) / 2)) : 1;
    if (l->is_e5rt) return mil__ane_reduce(l, "reduce_mean", x, axes, n);
    if (scale != 1) x = mil__ane_with(l, "mul", x, scale);
    return mil__ane_with(l, "mul", mil__ane_reduce(l, "reduce_sum", x, axes, n), 1 / (elements * scale));
}

/* The sum of squares times *scale, for that. */
static mil_value scaled_squares(mil__lowering *l, mil_value x, const int64_t *axes, size_t n, double *scale) {
    double elements = count(l, x, axes, n);
    int k = (int)lround(log2(elements) / 4);
    *scale = ldexp(1, -2 * k);
    if (k) x = mil__ane_with(l, "mul", x, ldexp(1, -k));
    return mil__ane_reduce(l, "reduce_sum", mil__ane_binary(l, "mul", x, x), axes, n);
}

/* fp16 has nothing below 6e-8, and what is near that is lost on the way. */
static double least_epsilon(double epsilon) { return epsilon < 1e-5 ? 1e-5 : epsilon; }

mil_value mil__ane_inverse_rms(mil__lowering *l, mil_value x, const int64_t *axes, size_t n, double epsilon) {
    double scale;
    mil_value squares = scaled_squares(l, x, axes, n, &scale);
    mil_value mean = mil__ane_with(l, "mul", squares, 1 / (count(l, x, axes, n) * scale));
    return mil__ane_with(l, "pow", mil__ane_with(l, "add", mean, least_epsilon(epsilon)), -0.5);
}

/* ---- reductions ---- */

/* The axes of a reduction in the form that x has: its last axis alone is axis 1 of CHANNELS. */
static size_t axes_in(mil__lowering *l, uint32_t axes, mil_value old, mil__ane_form *form, int64_t *out) {
    const mil_type *type = mil__old_type(l, old);
    size_t n = 0;
    bool is_last = type->rank && axes == 1u << (type->rank - 1);
    *form = is_last && !mil__old_data(l, old) && l->values[old].native == MIL__CHANNELS ? MIL__CHANNELS : MIL__PLAIN;
    if (*form == MIL__CHANNELS) return out[0] = 1, 1;
    for (int i = 0; i < type->rank; i++)
        if (axes >> i & 1) out[n++] = i + (type->rank < 4 ? 4 - type->rank : 0);
    return n;
}

/* Over no axis at all: of each element by itself. */
static mil_value reduced_alone(mil__lowering *l, const char *name, mil_value x) {
    if (strcmp(name, "reduce_sum_square") == 0) return mil__ane_binary(l, "mul", x, x);
    if (strcmp(name, "reduce_l1_norm") == 0 || strcmp(name, "reduce_l2_norm") == 0) return mil__ane_unary(l, "abs", x);
    if (strcmp(name, "reduce_log_sum") == 0) return MIL__ADD(l, "log", MIL__VALUE("x", x), MIL__NUMBER("epsilon", 1e-5));
    return x;
}

/* The reduction and what is made of its operand and result, where the route has not the op itself. */
static mil_value reduced(mil__lowering *l, const char *name, mil_value x, const int64_t *axes, size_t n) {
    if (n == 0) return reduced_alone(l, name, x);
    if (strcmp(name, "reduce_mean") == 0) return mil__ane_mean(l, x, axes, n);
    bool is_plain = l->is_e5rt || strcmp(name, "reduce_sum") == 0 || strcmp(name, "reduce_max") == 0 || strcmp(name, "reduce_min") == 0;
    if (is_plain) return mil__ane_reduce(l, name, x, axes, n);
    if (strcmp(name, "reduce_l1_norm") == 0) return mil__ane_reduce(l, "reduce_sum", mil__ane_unary(l, "abs", x), axes, n);
    if (strcmp(name, "reduce_log_sum") == 0)
        return MIL__ADD(l, "log", MIL__VALUE("x", mil__ane_reduce(l, "reduce_sum", x, axes, n)), MIL__NUMBER("epsilon", 1e-5));
    mil_value squares = mil__ane_reduce(l, "reduce_sum", mil__ane_binary(l, "mul", x, x), axes, n);
    return strcmp(name, "reduce_l2_norm") == 0 ? mil__ane_unary(l, "sqrt", squares) : squares;
}

bool mil__lower_reduce(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    mil_value old = mil__ane_arg(op, "x");
    mil__ane_form form;
    int64_t axes[MIL_MAX_RANK];
    if (!params || !is_float(l, op)) return !params;
    size_t n = axes_in(l, params->axes, old, &form, axes);
    mil_value x = mil__ane_get(l, old, form);
    mil_value value = reduced(l, op->decl->name, x, axes, n);
    bool keeps = mil__ane_number(l, op, "keep_dims", 0) != 0;
    if (keeps && form == MIL__CHANNELS) return done(l, op, form, value);
    mil__ane_give_any(l, op->outputs[0], value);
    return true;
}

/* Halves by each other, until one is left; what is over at an odd number comes in at the end. */
static mil_value product_along(mil__lowering *l, mil_value x, int axis) {
    mil_value over = 0;
    for (int64_t n; x && (n = mil__new_type(l, x)->shape[axis]) > 1;) {
        mil_value low = mil__ane_strided(l, x, axis, 0, n / 2, 1), high = mil__ane_strided(l, x, axis, n / 2, n / 2, 1);
        mil_value one = n % 2 ? mil__ane_strided(l, x, axis, n - 1, 1, 1) : 0;
        over = over && one ? mil__ane_binary(l, "mul", over, one) : over ? over : one;
        x = mil__ane_binary(l, "mul", low, high);
    }
    return over ? mil__ane_binary(l, "mul", x, over) : x;
}

bool mil__lower_reduce_prod(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    mil__ane_form form;
    int64_t axes[MIL_MAX_RANK];
    if (!params || !is_float(l, op)) return !params;
    size_t n = axes_in(l, params->axes, mil__ane_arg(op, "x"), &form, axes);
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), form);
    for (size_t i = 0; i < n; i++) x = product_along(l, x, (int)axes[i]);
    if (form == MIL__CHANNELS) x = mil__ane_transpose(l, x, (const int[]){0, 3, 2, 1});
    mil__ane_give_any(l, op->outputs[0], x);
    return true;
}

/* k of 3 and 4 fail: five, of which so many are taken; of fewer than five elements, with others behind them that are never among those. */
bool mil__lower_topk(mil__lowering *l, const mil__op *op) {
    enum { ENOUGH = 5 };
    mil_value old = mil__ane_arg(op, "x"), made[2];
    const mil_type *type = mil__old_type(l, old);
    int64_t k = (int64_t)mil__ane_number(l, op, "k", 1), axis = mil__ane_axis(l, op, "axis", -1, type->rank), shape[MIL_MAX_RANK];
    bool ascends = mil__ane_number(l, op, "ascending", 0) != 0;
    if ((k != 3 && k != 4) || !is_float(l, op)) return false;
    int at = (int)axis + mil__plain_shape(type, shape) - type->rank;
    int64_t missing = shape[at] < ENOUGH ? ENOUGH - shape[at] : 0;
    mil_value x = mil__ane_pad(l, mil__ane_get(l, old, MIL__PLAIN), at, 0, missing, NULL, ascends ? 65504 : -65504);
    const char *dtype = op->n_outputs > 1 ? mil_dtype_name(mil__old_type(l, op->outputs[1])->dtype) : "int32";
    const mil_arg args[] = {MIL__VALUE("x", x), MIL__INT_("k", ENOUGH), MIL__INT_("axis", at), MIL__BOOL_ARG("ascending", ascends), MIL__BOOL_ARG("sort", true),
                            MIL__BOOL_ARG("return_indices", op->n_outputs > 1), MIL__WORD("output_indices_dtype", dtype)};
    mil__ane_add_all(l, "topk", args, MIL__COUNT(args), made, op->n_outputs);
    for (uint32_t i = 0; i < op->n_outputs; i++)
        mil__ane_give_any(l, op->outputs[i], l->status == MIL_OK ? mil__ane_strided(l, made[i], at, 0, k, 1) : 0);
    return true;
}

/* Over a number of elements that is no power of two some were refused (direct). So it is over more, which count for nothing: -45000 is
 * far below a row that is masked whole, by -30000, and fp16 still has the difference to every score below 20000. */
mil_value mil__ane_softmax(mil__lowering *l, mil_value x, int axis) {
    enum { LONGEST = 65536 };
    int64_t to = 1, begin[MIL_MAX_RANK] = {0}, size[MIL_MAX_RANK];
    if (!x || l->status != MIL_OK) return 0;
    const mil_type *type = mil__new_type(l, x);
    memcpy(size, type->shape, (size_t)type->rank * sizeof *size);
    while (to < size[axis]) to *= 2;
    bool is_padded = !l->is_e5rt && to != size[axis] && to <= LONGEST;
    if (is_padded) x = mil__ane_pad(l, x, axis, 0, to - size[axis], NULL, -45000);
    mil_value y = MIL__ADD(l, "softmax", MIL__VALUE("x", x), MIL__INT_("axis", axis));
    return is_padded ? mil__ane_slice(l, y, begin, size) : y;
}

bool mil__lower_softmax(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    mil__ane_form form;
    int64_t axes[MIL_MAX_RANK];
    if (!params) return true;
    size_t n = axes_in(l, params->axes, mil__ane_arg(op, "x"), &form, axes);
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), form);
    return n != 1 ? false : done(l, op, form, mil__ane_softmax(l, x, (int)axes[0]));
}

/* ---- normalizations ---- */

/* A factor or summand of an affine map, in the shape that fits a form; NULL: there is none. */
static mil_value known_as(mil__lowering *l, const mil__op *op, const char *name, int rank, const int64_t *shape) {
    mil_value value = mil__ane_arg(op, name);
    const mil_tensor *data = value ? mil__old_data(l, value) : NULL;
    return data ? mil__ane_const(l, mil__ane_shaped(l, mil__ane_half(l, data), rank, shape)) : 0;
}

static mil_value affine(mil__lowering *l, const mil__op *op, mil_value x, int rank, const int64_t *shape) {
    mil_value gamma = known_as(l, op, "gamma", rank, shape), beta = known_as(l, op, "beta", rank, shape);
    if (gamma) x = mil__ane_binary(l, "mul", x, gamma);
    return beta ? mil__ane_binary(l, "add", x, beta) : x;
}

static mil_value normalized(mil__lowering *l, mil_value x, const int64_t *axes, size_t n, double epsilon) {
    mil_value centred = mil__ane_binary(l, "sub", x, mil__ane_mean(l, x, axes, n));
    return mil__ane_binary(l, "mul", centred, mil__ane_inverse_rms(l, centred, axes, n, epsilon));
}

/* gamma and beta have the extents of the axes alone. */
bool mil__lower_layer_norm(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    mil__ane_form form;
    int64_t axes[MIL_MAX_RANK], shape[MIL_MAX_RANK];
    if (!params) return true;
    mil_value old = mil__ane_arg(op, "x");
    size_t n = axes_in(l, params->axes, old, &form, axes);
    mil_value x = mil__ane_get(l, old, form);
    if (!x) return true;
    const mil_type *type = mil__new_type(l, x);
    for (int i = 0; i < type->rank; i++) shape[i] = 1;
    for (size_t i = 0; i < n; i++) shape[axes[i]] = type->shape[axes[i]];
    int rank = type->rank;
    return done(l, op, form, affine(l, op, normalized(l, x, axes, n, params->epsilon), rank, shape));
}

/* [n, channels, ...]: as many ones before and behind the channels as x has axes there. */
static int channel_shape(const mil_type *type, int64_t shape[MIL_MAX_RANK]) {
    int rank = mil__plain_shape(type, shape);
    for (int i = 0; i < rank; i++)
        if (i != rank - type->rank + 1) shape[i] = 1;
    return rank;
}

bool mil__lower_instance_norm(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    int64_t axes[MIL_MAX_RANK], shape[MIL_MAX_RANK];
    size_t n = 0;
    if (!params || (l->is_e5rt && params->epsilon >= 0x1p-24)) return !params; /* fp16 knows it */
    const mil_type *type = mil__old_type(l, mil__ane_arg(op, "x"));
    int rank = channel_shape(type, shape);
    for (int i = rank - type->rank + 2; i < rank; i++) axes[n++] = i;
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), MIL__PLAIN);
    return done(l, op, MIL__PLAIN, affine(l, op, normalized(l, x, axes, n, params->epsilon), rank, shape));
}

static double element(const mil_tensor *data, int64_t i, double none) {
    return data ? mil__load_f64(data, data->rank ? i * data->strides[0] : 0) : none;
}

static const mil_tensor *data_of(const mil__lowering *l, const mil__op *op, const char *name) {
    mil_value value = mil__ane_arg(op, name);
    return value ? mil__old_data(l, value) : NULL;
}

/* x * gamma / sqrt(variance + epsilon) + (beta - mean * that), made here in fp64. */
bool mil__lower_batch_norm(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    const mil_tensor *mean = data_of(l, op, "mean"), *variance = data_of(l, op, "variance");
    int64_t shape[MIL_MAX_RANK], channels;
    if (!params || !mean || !variance) return !params;
    int rank = channel_shape(mil__old_type(l, mil__ane_arg(op, "x")), shape);
    channels = mil__numel(mean);
    mil_tensor *factor = NULL, *summand = NULL;
    if (mil_tensor_new(MIL_FP32, 1, &channels, &factor, l->err) != MIL_OK || mil_tensor_new(MIL_FP32, 1, &channels, &summand, l->err) != MIL_OK) {
        mil_tensor_free(factor);
        return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), true;
    }
    for (int64_t i = 0; i < channels; i++) {
        double by = element(data_of(l, op, "gamma"), i, 1) / sqrt(element(variance, i, 1) + params->epsilon);
        mil__store_f64(factor, i, by);
        mil__store_f64(summand, i, element(data_of(l, op, "beta"), i, 0) - element(mean, i, 0) * by);
    }
    mil_value a = mil__ane_const(l, mil__ane_shaped(l, mil__ane_half(l, factor), rank, shape));
    mil_value b = mil__ane_const(l, mil__ane_shaped(l, mil__ane_half(l, summand), rank, shape));
    mil_tensor_free(factor);
    mil_tensor_free(summand);
    mil_value scaled = mil__ane_binary(l, "mul", mil__ane_get(l, mil__ane_arg(op, "x"), MIL__PLAIN), a);
    return done(l, op, MIL__PLAIN, mil__ane_binary(l, "add", scaled, b));
}

/* Sums over neighbours among channels are a 1x1 convolution by a band of ones. Squares are of x times sqrt(alpha / size). */
bool mil__lower_local_response_norm(mil__lowering *l, const mil__op *op) {
    enum { NATIVE = 15 };
    const struct mil__lrn_params *p = mil__ane_params(l, op);
    const mil_type *type = mil__old_type(l, mil__ane_arg(op, "x"));
    int64_t n = type->shape[0], c = type->shape[1];
    mil_tensor *band = NULL;
    if (!p || p->alpha < 0 || (l->is_e5rt && c <= NATIVE)) return !p;
    if (mil_tensor_new(MIL_FP16, 2, (const int64_t[]){c, c}, &band, l->err) != MIL_OK) return mil__ane_fail(l, MIL_ENOMEM, "out of memory"), true;
    for (int64_t i = 0; i < c; i++)
        for (int64_t k = i - p->size / 2; k <= i + (p->size - 1) / 2; k++)
            if (k >= 0 && k < c) ((uint16_t *)band->data)[i * c + k] = 0x3c00;
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), MIL__PLAIN);
    x = mil__ane_reshape(l, x, 4, (const int64_t[]){n, c, 1, mil__rows(type) * mil__last(type) / (n * c)});
    mil_value scaled = mil__ane_with(l, "mul", x, sqrt(p->alpha / (double)p->size));
    mil_value sum = mil__ane_project(l, mil__ane_binary(l, "mul", scaled, scaled), band, NULL);
    mil_tensor_free(band);
    mil_value inverse = mil__ane_with(l, "pow", mil__ane_with(l, "add", sum, p->k), -p->beta);
    mil__ane_give_any(l, op->outputs[0], mil__ane_binary(l, "mul", x, inverse));
    return true;
}

/* Over the last three axes. */
bool mil__lower_l2_norm(mil__lowering *l, const mil__op *op) {
    const struct mil__axes_params *params = mil__ane_params(l, op);
    mil__ane_form form;
    int64_t axes[MIL_MAX_RANK];
    double scale;
    if (!params) return true;
    size_t n = axes_in(l, params->axes, mil__ane_arg(op, "x"), &form, axes);
    mil_value x = mil__ane_get(l, mil__ane_arg(op, "x"), form), squares = scaled_squares(l, x, axes, n, &scale);
    double epsilon = least_epsilon(params->epsilon);
    mil_value inverse = mil__ane_with(l, "pow", mil__ane_with(l, "add", mil__ane_with(l, "mul", squares, 1 / scale), epsilon), -0.5);
    return done(l, op, form, mil__ane_binary(l, "mul", x, inverse));
}
