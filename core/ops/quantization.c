/* SPDX-License-Identifier: MIT */
/* quantization: inference and plain evaluation.
 *
 *   scale and zero_point are scalars, or vectors along one axis:      input [2, 3, 4], axis 1: scale[3]
 *   input is [outer, n, inner] then, its rows of `inner` elements have one scale each.
 */
#include <math.h>

#include "ops/rules.h"

static mil_status check_vector(mil__call *call, const char *param, mil_dim extent) {
    const mil__operand *vector = mil__arg(call, param);
    if (!vector || (mil__rank(vector) == 1 && mil__dim(vector, 0) == extent)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s must be a vector as long as %s is along axis", MIL__ARG_TEXT(call, param),
                          MIL__ARG_TEXT(call, "input"));
}

/* Scale and zero_point are both scalars, without an axis, or both vectors along one. */
static mil_status check_scales(mil__call *call) {
    const mil__operand *input = mil__arg(call, "input"), *scale = mil__arg(call, "scale"), *zero = mil__arg(call, "zero_point");
    int64_t given;
    int axis;
    if (mil__rank(scale) == 0) {
        if (mil__has(call, "axis")) return mil__call_fail(call, MIL_EVALUE, "axis goes with a vector, but scale is a scalar");
        if (zero && mil__rank(zero))
            return mil__call_fail(call, MIL_ETYPE, "%s must be a scalar as scale is", MIL__ARG_TEXT(call, "zero_point"));
        return MIL_OK;
    }
    if (!mil__has(call, "axis")) return mil__call_fail(call, MIL_EVALUE, "%s needs an axis", MIL__ARG_TEXT(call, "scale"));
    MIL__TRY(mil__get_int(call, "axis", &given));
    MIL__TRY(mil__axis(call, "axis", given, mil__rank(input), &axis));
    MIL__TRY(check_vector(call, "scale", mil__dim(input, axis)));
    return check_vector(call, "zero_point", mil__dim(input, axis));
}

mil_status mil__infer_dequantize(mil__call *call) {
    const mil__operand *input = mil__arg(call, "input");
    MIL__TRY(check_scales(call));
    return mil__call_tensor(call, mil__arg(call, "scale")->type->dtype, mil__rank(input), input->type->shape);
}

static bool is_all_zeros(const mil_tensor *tensor) {
    int64_t n = mil__numel(tensor);
    for (int64_t i = 0; i < n; i++)
        if (mil__load_f64(tensor, tensor->rank ? i * tensor->strides[0] : 0) != 0) return false;
    return true;
}

mil_status mil__infer_quantize(mil__call *call) {
    static const mil_dtype dtypes[] = {MIL_INT8, MIL_UINT8};
    const mil__operand *input = mil__arg(call, "input"), *scale = mil__arg(call, "scale"), *zero = mil__arg(call, "zero_point");
    int choice;
    MIL__TRY(mil__get_choice(call, "output_dtype", "int8|uint8", &choice));
    if (zero && zero->type->dtype != dtypes[choice])
        return mil__call_fail(call, MIL_ETYPE, "%s must be of output_dtype, %s", MIL__ARG_TEXT(call, "zero_point"),
                              mil_dtype_name(dtypes[choice]));
    MIL__TRY(check_scales(call));
    if (scale->data && is_all_zeros(scale->data)) return mil__call_fail(call, MIL_EVALUE, "scale is 0");
    return mil__call_tensor(call, dtypes[choice], mil__rank(input), input->type->shape);
}

/* ---- evaluation ---- */

/* One row: n elements of one scale, in single precision. */
typedef void row_fn(const mil_tensor *to, float *row, int64_t n, float scale, float zero);

static void dequantize_row(const mil_tensor *to, float *row, int64_t n, float scale, float zero) {
    (void)to;
    for (int64_t i = 0; i < n; i++) row[i] = scale * (row[i] - zero);
}

static void quantize_row(const mil_tensor *to, float *row, int64_t n, float scale, float zero) {
    float least = to->dtype == MIL_INT8 ? -128 : 0, most = to->dtype == MIL_INT8 ? 127 : 255;
    for (int64_t i = 0; i < n; i++) {
        float x = nearbyintf(row[i] / scale) + zero;
        row[i] = x < least ? least : x > most ? most : x;
    }
}

static float element(const mil_tensor *tensor, int64_t i) {
    return tensor ? (float)mil__load_f64(tensor, tensor->rank ? i * tensor->strides[0] : 0) : 0;
}

/* The rows' number that have scales of their own, and their length. */
static mil_status row_sizes(mil__call *call, const mil_tensor *input, int64_t *n, int64_t *inner) {
    int64_t axis;
    *n = 1;
    *inner = mil__numel(input);
    if (!mil__arg(call, "scale")->data->rank) return MIL_OK;
    MIL__TRY(mil__get_int(call, "axis", &axis));
    if (axis < 0) axis += input->rank;
    *n = input->shape[axis];
    *inner = 1;
    for (int i = (int)axis + 1; i < input->rank; i++) *inner *= input->shape[i];
    return MIL_OK;
}

enum { PIECE = 1 << 12 }; /* of a row, that is worked on at once */

static mil_status by_rows(mil__call *call, row_fn *fn) {
    const mil_tensor *input = mil__arg(call, "input")->data, *scale = mil__arg(call, "scale")->data;
    const mil__operand *zero = mil__arg(call, "zero_point");
    mil_tensor *out = call->result[0];
    int64_t n, inner, total = mil__numel(input);
    size_t from = mil__element_size(input->dtype), to = mil__element_size(out->dtype);
    MIL__TRY(row_sizes(call, input, &n, &inner));
    char *dense = mil__is_contiguous(input) ? input->data : mil__arena_alloc(call->arena, (size_t)total * from);
    float *row = mil__arena_alloc(call->arena, PIECE * sizeof *row);
    if (!dense || !row) return mil__nomem(call->err);
    if (dense != input->data) mil__gather_contiguous(input, dense);
    for (int64_t at = 0, m; at < total; at += m) {
        int64_t which = at / inner % n, left = inner - at % inner;
        m = left < PIECE ? left : PIECE;
        mil__convert(MIL_FP32, row, 1, input->dtype, dense + (size_t)at * from, 1, m);
        fn(out, row, m, element(scale, which), zero ? element(zero->data, which) : 0);
        mil__convert(out->dtype, (char *)out->data + (size_t)at * to, 1, MIL_FP32, row, 1, m);
    }
    return MIL_OK;
}

mil_status mil__eval_dequantize(mil__call *call) { return by_rows(call, dequantize_row); }
mil_status mil__eval_quantize(mil__call *call) { return by_rows(call, quantize_row); }
