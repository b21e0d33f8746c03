/* SPDX-License-Identifier: MIT */
/* tensor_operation: inference and plain evaluation. (argsort and topk: sorting.c; non_zero, non_maximum_suppression: selection.c.) */
#include <math.h>

#include "ops/rules.h"

/* ---- identity, shape ---- */

mil_status mil__infer_identity(mil__call *call) {
    MIL__TRY(mil__infer_like_first(call));
    call->out_sym[0] = call->in[0].items[0].sym;
    return MIL_OK;
}

mil_status mil__eval_identity(mil__call *call) {
    const mil_tensor *x = call->in[0].items[0].data;
    if (mil_dtype_bits(x->dtype) == 0) return mil__call_fail(call, MIL_EUNSUPPORTED, "strings are not copied at run time");
    if (mil_dtype_bits(x->dtype) < 8) memcpy(call->result[0]->data, x->data, mil_tensor_bytes(x)); /* always contiguous */
    else mil__gather_contiguous(x, call->result[0]->data);
    return MIL_OK;
}

mil_status mil__infer_shape(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim rank = x->is_unranked ? mil__dim_fresh(call->types) : x->rank;
    MIL__TRY(mil__call_tensor(call, MIL_INT32, 1, &rank));
    if (x->is_unranked) return MIL_OK;
    call->out_sym[0] = mil__arena_copy(call->arena, x->shape, (size_t)x->rank * sizeof *x->shape);
    return call->out_sym[0] ? MIL_OK : mil__nomem(call->err);
}

mil_status mil__eval_shape(mil__call *call) {
    mil__write_i64(call->result[0], mil__arg(call, "x")->data->shape);
    return MIL_OK;
}

/* ---- concat, stack ---- */

/* The values of a concat or stack: some, tensors of whole bytes, of one dtype. */
static mil_status check_values(mil__call *call, const mil__input **out) {
    const mil__input *values = mil__args(call, "values");
    if (values->n == 0) return mil__call_fail(call, MIL_EVALUE, "values takes at least one value, but the tuple is empty");
    const mil_type *first = values->items[0].type;
    for (int i = 0; i < values->n; i++) {
        const mil_type *type = values->items[i].type;
        if (type->kind != MIL_TENSOR || mil_dtype_bits(type->dtype) < 8)
            return mil__call_fail(call, MIL_ETYPE, "values takes tensors of whole bytes, but %s is %s",
                                  values->items[i].name ? values->items[i].name : "one", MIL__TYPE_TEXT(call->types, type));
        if (type->dtype != first->dtype)
            return mil__call_fail(call, MIL_ETYPE, "values must have one dtype, but the first is %s and number %d is %s",
                                  MIL__TYPE_TEXT(call->types, first), i + 1, MIL__TYPE_TEXT(call->types, type));
    }
    *out = values;
    return MIL_OK;
}

static mil_status values_differ(mil__call *call, const mil__input *values, int i) {
    return mil__call_fail(call, MIL_ETYPE, "value %d is %s, which does not go with the first, %s", i + 1,
                          MIL__TYPE_TEXT(call->types, values->items[i].type),
                          MIL__TYPE_TEXT(call->types, values->items[0].type));
}

/* The symbols of vectors (or scalars) side by side. Nothing where none has any, or one is too long to be followed. */
static mil_status join_symbols(mil__call *call, const mil__input *values, bool interleave) {
    int64_t total = 0, at = 0;
    bool any = false;
    if (call->out[0]->rank != 1 || call->out[0]->dtype != MIL_INT32 || !mil__is_static(call->out[0])) return MIL_OK;
    total = call->out[0]->shape[0];
    if (total > MIL__MAX_SYM) return MIL_OK;
    mil_dim *sym = mil__arena_alloc(call->arena, ((size_t)total + 1) * sizeof *sym);
    if (!sym) return mil__nomem(call->err);
    for (int k = 0; k < values->n; k++) {
        const mil__operand *value = &values->items[k];
        int64_t n = value->type->rank ? value->type->shape[0] : 1;
        const mil_dim *from = mil__symbols(call, value, true);
        any = any || value->sym || value->data;
        if (!from) return MIL_OK;
        for (int64_t i = 0; i < n; i++) sym[interleave ? i * values->n + k : at + i] = from[i];
        at += n;
    }
    if (any) call->out_sym[0] = sym;
    return MIL_OK;
}

static mil_status get_concat(mil__call *call, const mil__input *values, int *axis, bool *interleave) {
    int rank = values->items[0].type->rank;
    int64_t given;
    MIL__TRY(mil__get_int(call, "axis", &given));
    MIL__TRY(mil__get_bool(call, "interleave", interleave));
    return mil__axis(call, "axis", given, rank ? rank : 1, axis);
}

/* Value i goes with the first: ranks, and extents where both are known. */
static bool goes_with_first(const mil__input *values, int i, int axis, bool interleave) {
    const mil_type *first = values->items[0].type, *type = values->items[i].type;
    if (type->rank != first->rank) return false;
    for (int k = 0; k < type->rank; k++) {
        bool both_known = type->shape[k] >= 0 && first->shape[k] >= 0;
        if (both_known && type->shape[k] != first->shape[k] && (k != axis || interleave)) return false;
    }
    return true;
}

mil_status mil__infer_concat(mil__call *call) {
    const mil__input *values;
    mil_dim shape[MIL_MAX_RANK], extent = 0;
    int axis;
    bool interleave;
    MIL__TRY(check_values(call, &values));
    const mil_type *first = values->items[0].type;
    for (int i = 1; i < values->n; i++)
        if (values->items[i].type->rank != first->rank) return values_differ(call, values, i);
    MIL__TRY(get_concat(call, values, &axis, &interleave));
    for (int i = 0; i < values->n; i++) {
        if (!goes_with_first(values, i, axis, interleave)) return values_differ(call, values, i);
        extent = mil__dim_add(call->types, extent, first->rank ? values->items[i].type->shape[axis] : 1);
    }
    if (first->rank) memcpy(shape, first->shape, (size_t)first->rank * sizeof *shape);
    shape[axis] = extent;
    MIL__TRY(mil__call_tensor(call, first->dtype, first->rank ? first->rank : 1, shape));
    return join_symbols(call, values, interleave);
}

/* A value into the box of the result that begins at `at` along axis and is `stride` apart there. */
static void place(mil_tensor *out, const mil_tensor *x, int axis, int64_t at, int64_t stride, bool new_axis) {
    int64_t strides[MIL_MAX_RANK];
    for (int i = 0; i < x->rank; i++) strides[i] = out->strides[new_axis && i >= axis ? i + 1 : i];
    if (!new_axis) strides[axis] *= stride;
    char *to = (char *)out->data + at * out->strides[axis] * (int64_t)mil__element_size(out->dtype);
    mil__move(x->dtype, x->rank, x->shape, to, strides, x->data, x->strides);
}

mil_status mil__eval_concat(mil__call *call) {
    const mil__input *values = mil__args(call, "values");
    int axis;
    bool interleave;
    MIL__TRY(get_concat(call, values, &axis, &interleave));
    int64_t at = 0;
    for (int i = 0; i < values->n; i++) {
        const mil_tensor *x = values->items[i].data;
        if (!goes_with_first(values, i, axis, interleave)) return values_differ(call, values, i);
        place(call->result[0], x, axis, at, interleave ? values->n : 1, x->rank == 0);
        at += interleave || x->rank == 0 ? 1 : x->shape[axis];
    }
    return MIL_OK;
}

static mil_status get_stack_axis(mil__call *call, int rank, int *axis) {
    int64_t given;
    MIL__TRY(mil__get_int(call, "axis", &given));
    return mil__axis(call, "axis", given, rank + 1, axis);
}

mil_status mil__infer_stack(mil__call *call) {
    const mil__input *values;
    MIL__TRY(check_values(call, &values));
    const mil_type *of = values->items[0].type; /* the first that is wholly known */
    mil_dim shape[MIL_MAX_RANK + 1];
    int axis;
    for (int i = values->n - 1; i >= 0; i--)
        if (mil__is_static(values->items[i].type)) of = values->items[i].type;
    for (int i = 0; i < values->n; i++) {
        const mil_type *type = values->items[i].type;
        bool fits = type->rank == of->rank;
        for (int k = 0; fits && k < of->rank; k++)
            fits = type->shape[k] < 0 || of->shape[k] < 0 || type->shape[k] == of->shape[k];
        if (!fits) return values_differ(call, values, i);
    }
    MIL__TRY(get_stack_axis(call, of->rank, &axis));
    for (int i = 0, from = 0; i <= of->rank && i <= MIL_MAX_RANK; i++) shape[i] = i == axis ? values->n : of->shape[from++];
    MIL__TRY(mil__call_tensor(call, of->dtype, of->rank + 1, shape));
    return join_symbols(call, values, false);
}

mil_status mil__eval_stack(mil__call *call) {
    const mil__input *values = mil__args(call, "values");
    int axis;
    MIL__TRY(get_stack_axis(call, values->items[0].data->rank, &axis));
    for (int i = 0; i < values->n; i++) place(call->result[0], values->items[i].data, axis, i, 1, true);
    return MIL_OK;
}

/* ---- split ---- */

enum { MAX_PARTS = 65535 };

static mil_status get_split_axis(mil__call *call, int *axis) {
    int64_t given;
    MIL__TRY(mil__get_int(call, "axis", &given));
    return mil__axis(call, "axis", given, mil__rank(mil__arg(call, "x")), axis);
}

static mil_status too_many_parts(mil__call *call, int64_t n) {
    return mil__call_fail(call, MIL_EVALUE, "%lld parts; 1 to %d are possible", (long long)n, MAX_PARTS);
}

/* Equal parts of an axis of extent dim. */
static mil_status equal_parts(mil__call *call, mil_dim dim, int64_t n, mil_dim **out) {
    if (n < 1 || n > MAX_PARTS) return too_many_parts(call, n);
    if (dim >= 0 && dim % n)
        return mil__call_fail(call, MIL_EVALUE, "num_splits %lld does not divide the %lld elements of %s along axis", (long long)n,
                              (long long)dim, MIL__ARG_TEXT(call, "x"));
    *out = mil__arena_alloc(call->arena, (size_t)n * sizeof **out);
    if (!*out) return mil__nomem(call->err);
    for (int64_t i = 0; i < n; i++) (*out)[i] = i ? (*out)[0] : mil__dim_floordiv(call->types, dim, n);
    return MIL_OK;
}

static mil_status given_parts(mil__call *call, mil_dim dim, mil_dim **out, int *n) {
    mil_dim length;
    int64_t sum = 0;
    MIL__TRY(mil__is_vector(call, "split_sizes", &length));
    if (length < 1 || length > MAX_PARTS) return too_many_parts(call, length);
    *out = mil__arena_alloc(call->arena, (size_t)length * sizeof **out);
    if (!*out) return mil__nomem(call->err);
    MIL__TRY(mil__get_ints(call, "split_sizes", (int)length, *out, n));
    for (int i = 0; i < *n; i++) {
        if ((*out)[i] < 0) return mil__call_fail(call, MIL_EVALUE, "split_sizes has %lld", (long long)(*out)[i]);
        sum += (*out)[i];
    }
    if (dim >= 0 && sum != dim)
        return mil__call_fail(call, MIL_EVALUE, "split_sizes add up to %lld, but %s has %lld elements along axis", (long long)sum,
                              MIL__ARG_TEXT(call, "x"), (long long)dim);
    return MIL_OK;
}

static mil_status get_parts(mil__call *call, mil_dim dim, mil_dim **out, int *n) {
    int64_t num = 0;
    bool has_num = mil__has(call, "num_splits");
    if (has_num) MIL__TRY(mil__get_int(call, "num_splits", &num));
    if (!mil__has(call, "split_sizes")) {
        if (!has_num) return mil__call_fail(call, MIL_EVALUE, "takes num_splits or split_sizes, and neither is given");
        *n = (int)num;
        return equal_parts(call, dim, num, out);
    }
    MIL__TRY(given_parts(call, dim, out, n));
    if (has_num && num != *n)
        return mil__call_fail(call, MIL_EVALUE, "num_splits is %lld, but split_sizes has %d", (long long)num, *n);
    return MIL_OK;
}

mil_status mil__infer_split(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x");
    mil_dim shape[MIL_MAX_RANK], *parts;
    int axis, n;
    MIL__TRY(get_split_axis(call, &axis));
    MIL__TRY(get_parts(call, x->type->shape[axis], &parts, &n));
    memcpy(shape, x->type->shape, (size_t)x->type->rank * sizeof *shape);
    MIL__TRY(mil__call_outputs(call, n));
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        shape[axis] = parts[i];
        call->out[i] = mil__tensor_type(call->types, x->type->dtype, x->type->rank, shape);
        if (!call->out[i]) return mil__nomem(call->err);
        if (!x->sym || x->type->rank != 1 || parts[i] < 0) continue;
        call->out_sym[i] = x->sym + at;
        at += parts[i];
    }
    return MIL_OK;
}

mil_status mil__eval_split(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_dim *parts;
    int axis, n;
    MIL__TRY(get_split_axis(call, &axis));
    MIL__TRY(get_parts(call, x->shape[axis], &parts, &n));
    const char *from = x->data;
    for (int i = 0; i < n; i++) {
        mil_tensor *out = call->result[i];
        mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, from, x->strides);
        from += out->shape[axis] * x->strides[axis] * (int64_t)mil__element_size(x->dtype);
    }
    return MIL_OK;
}

/* ---- pad ---- */

enum { CONSTANT, REFLECT, REPLICATE };

static mil_status get_mode(mil__call *call, int *mode) {
    return mil__get_choice(call, "mode", "constant|reflect|replicate", mode);
}

static mil_status check_pads(mil__call *call, int rank, int n, const mil_dim *pads) {
    if (n % 2 || n / 2 > rank)
        return mil__call_fail(call, MIL_EVALUE, "pad takes two values an axis, at most %d for %s, but has %d", 2 * rank,
                              MIL__ARG_TEXT(call, "x"), n);
    for (int i = 0; i < n; i++) {
        int64_t number;
        if (mil__dim_is_number(call->types, pads[i], &number) && number < 0)
            return mil__call_fail(call, MIL_EVALUE, "pad has %lld; only 0 and more is possible", (long long)number);
    }
    return MIL_OK;
}

mil_status mil__infer_pad(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK], pads[2 * MIL_MAX_RANK], length;
    int n, mode;
    bool known;
    double ignored;
    MIL__TRY(get_mode(call, &mode));
    MIL__TRY(mil__get_float(call, "constant_val", &ignored));
    MIL__TRY(mil__is_vector(call, "pad", &length));
    if (!mil__arg(call, "pad")->data && length != 2 * x->rank)
        return mil__call_fail(call, MIL_ETYPE, "%s is known only at run time, so it takes two values for each axis of %s",
                              MIL__ARG_TEXT(call, "pad"), MIL__ARG_TEXT(call, "x"));
    MIL__TRY(mil__get_dims(call, "pad", 2 * MIL_MAX_RANK, pads, &n, &known));
    if (known) MIL__TRY(check_pads(call, x->rank, n, pads));
    if (x->rank) memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    int first = x->rank - n / 2;
    for (int i = known ? first : 0; i < x->rank; i++) {
        if (!known) shape[i] = mil__dim_fresh(call->types);
        else shape[i] = mil__dim_add(call->types, shape[i],
                                     mil__dim_add(call->types, pads[2 * (i - first)], pads[2 * (i - first) + 1]));
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* Where position `at` (from the first element, maybe outside of it) comes from among n elements; -1: from nowhere.
 * Reflection goes on as often as needed, with period 2 (n - 1). */
static int64_t padded_from(int64_t at, int64_t n, int mode) {
    if (at >= 0 && at < n) return at;
    if (mode == CONSTANT || n == 0) return -1;
    if (mode == REPLICATE || n == 1) return at < 0 ? 0 : n - 1;
    int64_t period = 2 * (n - 1), phase = ((at % period) + period) % period;
    return phase < n ? phase : period - phase;
}

static void fill_with(mil_tensor *tensor, double value) {
    _Alignas(8) unsigned char element[8];
    size_t size = mil__element_size(tensor->dtype);
    mil_tensor one;
    mil__tensor_init(&one, tensor->dtype, 0, NULL, element);
    mil__store_f64(&one, 0, value);
    mil__fill(tensor->data, element, size, (size_t)mil__numel(tensor) * size);
}

mil_status mil__eval_pad(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t pads[2 * MIL_MAX_RANK], *maps[MIL_MAX_RANK];
    int n, mode;
    double value;
    MIL__TRY(get_mode(call, &mode));
    MIL__TRY(mil__get_float(call, "constant_val", &value));
    MIL__TRY(mil__get_vector(call, "pad", 2 * MIL_MAX_RANK, pads, &n));
    MIL__TRY(check_pads(call, x->rank, n, pads));
    int first = x->rank - n / 2;
    for (int i = 0; i < x->rank; i++) {
        int64_t before = i < first ? 0 : pads[2 * (i - first)], after = i < first ? 0 : pads[2 * (i - first) + 1];
        if (before + x->shape[i] + after != out->shape[i])
            return mil__call_fail(call, MIL_EVALUE, "pad makes axis %d other than the program says", i);
        if (x->shape[i] == 0 && out->shape[i] && mode != CONSTANT)
            return mil__call_fail(call, MIL_EVALUE, "axis %d of x has no element to reflect or replicate", i);
        maps[i] = mil__arena_alloc(call->arena, (size_t)(out->shape[i] + 1) * sizeof **maps);
        if (!maps[i]) return mil__nomem(call->err);
        for (int64_t k = 0; k < out->shape[i]; k++) maps[i][k] = padded_from(k - before, x->shape[i], mode);
    }
    if (mode == CONSTANT) fill_with(out, value);
    mil__take(x, (const int64_t *const *)maps, out);
    return MIL_OK;
}

/* ---- tile ---- */

mil_status mil__infer_tile(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK], reps[MIL_MAX_RANK], length;
    int n;
    bool known;
    MIL__TRY(mil__is_vector(call, "reps", &length));
    if (length >= 0 && (length != x->rank || length == 0))
        return mil__call_fail(call, MIL_ETYPE, "%s takes a value for each axis of %s, which must have one",
                              MIL__ARG_TEXT(call, "reps"), MIL__ARG_TEXT(call, "x"));
    MIL__TRY(mil__get_dims(call, "reps", MIL_MAX_RANK, reps, &n, &known));
    for (int i = 0; i < x->rank; i++) {
        int64_t number;
        if (known && mil__dim_is_number(call->types, reps[i], &number) && number < 1)
            return mil__call_fail(call, MIL_EVALUE, "reps has %lld; only 1 and more is possible", (long long)number);
        shape[i] = known ? mil__dim_mul(call->types, reps[i], x->shape[i]) : mil__dim_fresh(call->types);
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

mil_status mil__eval_tile(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t *maps[MIL_MAX_RANK];
    if (mil__numel(out) == 0) return MIL_OK;
    for (int i = 0; i < x->rank; i++) {
        maps[i] = mil__arena_alloc(call->arena, (size_t)(out->shape[i] + 1) * sizeof **maps);
        if (!maps[i]) return mil__nomem(call->err);
        for (int64_t k = 0; k < out->shape[i]; k++) maps[i][k] = k % x->shape[i];
    }
    mil__take(x, (const int64_t *const *)maps, out);
    return MIL_OK;
}

/* ---- fill, fill_like ---- */

static mil_dtype dtype_of(const mil__call *call, const char *name, mil_dtype otherwise) {
    const mil__operand *value = mil__arg(call, name);
    return value ? value->type->dtype : otherwise;
}

mil_status mil__infer_fill(mil__call *call) {
    double ignored;
    MIL__TRY(mil__get_float(call, "value", &ignored));
    return mil__infer_of_shape(call, dtype_of(call, "value", MIL_FP32));
}

mil_status mil__eval_fill(mil__call *call) {
    double value;
    MIL__TRY(mil__get_float(call, "value", &value));
    fill_with(call->result[0], value);
    return MIL_OK;
}

mil_status mil__infer_fill_like(mil__call *call) {
    const mil_type *like = mil__arg(call, "ref_tensor")->type;
    double ignored;
    MIL__TRY(mil__get_float(call, "value", &ignored));
    return mil__call_tensor(call, dtype_of(call, "value", MIL_FP32), like->rank, like->shape);
}

mil_status mil__eval_fill_like(mil__call *call) { return mil__eval_fill(call); }

/* ---- flatten2d ---- */

mil_status mil__infer_flatten2d(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x");
    int rank = x->type->rank;
    int64_t axis;
    MIL__TRY(mil__get_int(call, "axis", &axis));
    if (axis < 0) axis += rank;
    int at = axis < 0 ? 0 : axis > rank ? rank : (int)axis; /* an axis beyond the ends stands for the end */
    mil_dim shape[2] = {mil__dim_product(call->types, at, x->type->shape),
                        mil__dim_product(call->types, rank - at, x->type->shape + at)};
    MIL__TRY(mil__call_tensor(call, x->type->dtype, 2, shape));
    call->out_sym[0] = mil__is_static(x->type) ? x->sym : NULL;
    return MIL_OK;
}

/* ---- range_1d ----
 * The count is computed in the operands' own dtype, rounded after each step, as coremltools does. */

static double round_to(mil_dtype dtype, double v) {
    return dtype == MIL_FP16 ? (double)mil__half_to_float(mil__double_to_half(v)) : dtype == MIL_FP32 ? (double)(float)v : v;
}

static mil_status range_count(mil__call *call, int64_t *out) {
    double start, end, step;
    mil_dtype dtype = mil__arg(call, "end")->type->dtype;
    MIL__TRY(mil__get_float(call, "start", &start));
    MIL__TRY(mil__get_float(call, "end", &end));
    MIL__TRY(mil__get_float(call, "step", &step));
    double count = ceil(round_to(dtype, round_to(dtype, end - start) / step));
    if (step == 0 || !(count < HUGE_VAL))
        return mil__call_fail(call, MIL_EVALUE, "from %g to %g by %g has no end", start, end, step);
    if (count > INT32_MAX)
        return mil__call_fail(call, MIL_ELIMIT, "from %.10g to %.10g by %g are %.0f elements; at most %d are possible", start, end, step, count, INT32_MAX);
    *out = count > 0 ? (int64_t)count : 0;
    return MIL_OK;
}

/* The one element of a scalar as far as it is known. */
static bool scalar_symbol(mil__call *call, const char *name, mil_dim *out) {
    const mil_dim *symbols = mil__symbols(call, mil__arg(call, name), false);
    if (symbols) *out = symbols[0];
    return symbols != NULL;
}

mil_status mil__infer_range_1d(mil__call *call) {
    static const char *const names[] = {"end", "start", "step"};
    mil_dim count, end, start, step;
    bool known = true;
    for (int i = 0; i < 3; i++) {
        const mil__operand *operand = mil__arg(call, names[i]);
        if (operand->type->rank) return mil__call_fail(call, MIL_ETYPE, "%s takes a scalar", MIL__ARG_TEXT(call, names[i]));
        known = known && operand->data;
    }
    if (known) {
        MIL__TRY(range_count(call, &count));
    } else if (scalar_symbol(call, "end", &end) && scalar_symbol(call, "start", &start) &&
               scalar_symbol(call, "step", &step) && step > 0) {
        mil_dim span = mil__dim_sub(call->types, end, start);
        count = mil__dim_floordiv(call->types, mil__dim_add(call->types, span, step - 1), step);
    } else {
        count = mil__dim_fresh(call->types);
    }
    return mil__call_tensor(call, mil__arg(call, "end")->type->dtype, 1, &count);
}

mil_status mil__eval_range_1d(mil__call *call) {
    mil_tensor *out = call->result[0];
    double start, step;
    int64_t count;
    MIL__TRY(range_count(call, &count));
    MIL__TRY(mil__get_float(call, "start", &start));
    MIL__TRY(mil__get_float(call, "step", &step));
    if (count != out->shape[0]) return mil__call_fail(call, MIL_EVALUE, "has not as many elements as the program says");
    double some[256];
    for (int64_t i = 0; i < count; i += 256) {
        int64_t n = count - i < 256 ? count - i : 256;
        for (int64_t k = 0; k < n; k++) some[k] = start + (double)(i + k) * step;
        mil__convert(out->dtype, (char *)out->data + i * (int64_t)mil__element_size(out->dtype), 1, MIL_FP64, some, 1, n);
    }
    return MIL_OK;
}

/* ---- one_hot ---- */

static mil_status get_hot_axis(mil__call *call, int *axis) {
    int64_t given;
    MIL__TRY(mil__get_int(call, "axis", &given));
    return mil__axis(call, "axis", given, mil__rank(mil__arg(call, "indices")) + 1, axis);
}

mil_status mil__infer_one_hot(mil__call *call) {
    const mil_type *indices = mil__arg(call, "indices")->type;
    mil_dim shape[MIL_MAX_RANK + 1], size;
    int axis;
    double ignored;
    MIL__TRY(get_hot_axis(call, &axis));
    MIL__TRY(mil__get_float(call, "on_value", &ignored));
    MIL__TRY(mil__get_float(call, "off_value", &ignored));
    mil_dtype on = dtype_of(call, "on_value", MIL_INT32), off = dtype_of(call, "off_value", MIL_INT32);
    if (on != off)
        return mil__call_fail(call, MIL_ETYPE, "on_value %s and off_value %s must have one dtype (int32 where absent)",
                              mil_dtype_name(on), mil_dtype_name(off));
    if (mil__rank(mil__arg(call, "one_hot_vector_size")))
        return mil__call_fail(call, MIL_ETYPE, "%s takes a scalar", MIL__ARG_TEXT(call, "one_hot_vector_size"));
    int64_t number;
    if (!scalar_symbol(call, "one_hot_vector_size", &size)) size = mil__dim_fresh(call->types);
    else if (mil__dim_is_number(call->types, size, &number) && number < 0)
        return mil__call_fail(call, MIL_EVALUE, "one_hot_vector_size is %lld; only 0 and more is possible", (long long)number);
    for (int i = 0, from = 0; i <= indices->rank; i++) shape[i] = i == axis ? size : indices->shape[from++];
    return mil__call_tensor(call, on, indices->rank + 1, shape);
}

mil_status mil__eval_one_hot(mil__call *call) {
    const mil_tensor *indices = mil__arg(call, "indices")->data;
    mil_tensor *out = call->result[0];
    double on, off;
    int axis;
    MIL__TRY(get_hot_axis(call, &axis));
    MIL__TRY(mil__get_float(call, "on_value", &on));
    MIL__TRY(mil__get_float(call, "off_value", &off));
    int64_t n = mil__numel(indices), size = out->shape[axis], inner = out->strides[axis];
    int64_t *values = mil__arena_alloc(call->arena, (size_t)n * sizeof *values + 1);
    if (!values) return mil__nomem(call->err);
    mil__read_i64(indices, values);
    fill_with(out, off);
    for (int64_t i = 0; i < n; i++)
        if (values[i] >= 0 && values[i] < size)
            mil__store_f64(out, (i / inner) * size * inner + values[i] * inner + i % inner, on);
    return MIL_OK;
}
