/* SPDX-License-Identifier: MIT */
/* constexpr: inference and plain evaluation. Inference leaves a mil__compressed without its tables in call->params. */
#include "ops/compressed.h"
#include "ops/rules.h"

static mil_status result(mil__call *call, mil__compressed *c, int rank, const int64_t *shape) {
    MIL__TRY(mil__call_tensor(call, c->dtype, rank, shape));
    return mil__shape_numel(rank, shape, &c->n) ? MIL_OK : mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
}

static mil_status evaluate(mil__call *call) {
    mil__compressed c;
    MIL__TRY(mil__compressed_open(call, call->arena, &c));
    mil__compressed_store(&c, 0, c.n, call->result[0]->data);
    return MIL_OK;
}

/* What ios18 has made of two of the ops. */
static mil_status later_form(mil__call *call) {
    return mil__call_fail(call, MIL_EUNSUPPORTED, "the form of opset ios18 is not read yet");
}

/* ---- constexpr_affine_dequantize ---- */

/* A scalar, or a vector as long as the axis. */
static mil_status check_scale(mil__call *call, const char *name, int axis, int64_t extent) {
    const mil__operand *operand = mil__arg(call, name);
    if (mil__rank(operand) == 0 || (mil__rank(operand) == 1 && mil__dim(operand, 0) == extent)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s must be a scalar or have %lld values, as axis %d of %s has",
                          MIL__ARG_TEXT(call, name), (long long)extent, axis, MIL__ARG_TEXT(call, "quantized_data"));
}

mil_status mil__infer_constexpr_affine_dequantize(mil__call *call) {
    const mil_type *data = mil__arg(call, "quantized_data")->type;
    mil__compressed *c = call->params;
    int64_t given, blocks[MIL_MAX_RANK];
    int axis;
    MIL__TRY(mil__get_int(call, "axis", &given));
    MIL__TRY(mil__axis(call, "axis", given, data->rank, &axis));
    MIL__TRY(check_scale(call, "scale", axis, data->shape[axis]));
    MIL__TRY(check_scale(call, "zero_point", axis, data->shape[axis]));
    c->kind = MIL__AFFINE;
    c->dtype = mil__arg(call, "scale")->type->dtype;
    bool vector = mil__rank(mil__arg(call, "scale")) + mil__rank(mil__arg(call, "zero_point")) > 0;
    for (int a = 0; a < data->rank; a++) blocks[a] = a == axis && vector ? data->shape[a] : 1;
    mil__compressed_blocks(c, data->rank, data->shape, blocks);
    return result(call, c, data->rank, data->shape);
}

mil_status mil__eval_constexpr_affine_dequantize(mil__call *call) { return evaluate(call); }

/* ---- constexpr_blockwise_shift_scale ---- */

mil_status mil__infer_constexpr_blockwise_shift_scale(mil__call *call) {
    const mil__operand *data = mil__arg(call, "data"), *scale = mil__arg(call, "scale"), *offset = mil__arg(call, "offset");
    int rank = mil__rank(data);
    if (rank < 1)
        return mil__call_fail(call, MIL_ETYPE, "data takes rank 1 or above, but %s is a scalar", MIL__ARG_TEXT(call, "data"));
    if (mil__rank(scale) != rank)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the rank of %s", MIL__ARG_TEXT(call, "scale"),
                              MIL__ARG_TEXT(call, "data"));
    for (int axis = 0; axis < rank; axis++) {
        mil_dim n = mil__dim(data, axis), blocks = mil__dim(scale, axis);
        if (blocks == n || (blocks > 0 && n % blocks == 0)) continue;
        return mil__call_fail(call, MIL_ETYPE, "along axis %d, the extent of %s must divide that of %s", axis,
                              MIL__ARG_TEXT(call, "scale"), MIL__ARG_TEXT(call, "data"));
    }
    if (offset && (mil__rank(offset) != rank || memcmp(offset->type->shape, scale->type->shape, (size_t)rank * sizeof(mil_dim))))
        return mil__call_fail(call, MIL_ETYPE, "%s must have the shape of %s", MIL__ARG_TEXT(call, "offset"),
                              MIL__ARG_TEXT(call, "scale"));
    if (offset && !mil__dtype_is_float(offset->type->dtype) && offset->type->dtype != data->type->dtype)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the dtype of %s, or a float", MIL__ARG_TEXT(call, "offset"),
                              MIL__ARG_TEXT(call, "data"));
    mil__compressed *c = call->params;
    c->kind = MIL__AFFINE;
    c->dtype = scale->type->dtype;
    mil__compressed_blocks(c, rank, data->type->shape, scale->type->shape);
    return result(call, c, rank, data->type->shape);
}

mil_status mil__eval_constexpr_blockwise_shift_scale(mil__call *call) { return evaluate(call); }

/* ---- the ops with `shape` ---- */

static mil_status get_shape(mil__call *call, int *rank, int64_t shape[MIL_MAX_RANK], int64_t *numel) {
    MIL__TRY(mil__get_vector(call, "shape", MIL_MAX_RANK, shape, rank));
    if (mil__shape_numel(*rank, shape, numel) && *numel <= INT64_MAX / 8) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "the size of shape overflows");
}

/* Fails unless the parameter holds n elements of some bits each, packed to bytes. */
static mil_status check_packed(mil__call *call, const char *name, int bits, int64_t n) {
    const mil__operand *operand = mil__arg(call, name);
    int64_t bytes = n / 8 * bits + (n % 8 * bits + 7) / 8;
    if (mil__rank(operand) == 1 && mil__dim(operand, 0) == bytes) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s must be [%lld]: %lld elements of %d bit%s each", MIL__ARG_TEXT(call, name),
                          (long long)bytes, (long long)n, bits, bits == 1 ? "" : "s");
}

/* ---- constexpr_lut_to_dense ---- */

mil_status mil__infer_constexpr_lut_to_dense(mil__call *call) {
    if (call->opset >= MIL_IOS18) return later_form(call);
    const mil__operand *lut = mil__arg(call, "lut");
    mil__compressed *c = call->params;
    int64_t shape[MIL_MAX_RANK], n;
    int rank;
    c->kind = MIL__LUT;
    c->dtype = lut->type->dtype;
    for (int bits = 1; bits <= 8; bits += bits == 1 ? 1 : 2)
        if (mil__rank(lut) == 1 && mil__dim(lut, 0) == (int64_t)1 << bits) c->bits = bits;
    if (!c->bits)
        return mil__call_fail(call, MIL_ETYPE, "%s must have 2, 4, 16, 64 or 256 values", MIL__ARG_TEXT(call, "lut"));
    MIL__TRY(get_shape(call, &rank, shape, &n));
    MIL__TRY(check_packed(call, "indices", c->bits, n));
    return result(call, c, rank, shape);
}

mil_status mil__eval_constexpr_lut_to_dense(mil__call *call) { return evaluate(call); }

/* ---- constexpr_sparse_to_dense ---- */

/* As many values as bits are set, and none set beyond the last element. Without data (a weights file that is not there)
 * nothing is said. */
static mil_status check_mask(mil__call *call, int64_t n) {
    const mil_tensor *mask = mil__arg(call, "mask")->data;
    const mil__operand *values = mil__arg(call, "nonzero_data");
    if (mil__rank(values) != 1)
        return mil__call_fail(call, MIL_ETYPE, "%s must be a vector", MIL__ARG_TEXT(call, "nonzero_data"));
    if (!mask) return MIL_OK;
    int64_t set = 0, bytes = mask->shape[0], step = mask->strides[0];
    const uint8_t *data = mask->data;
    for (int64_t i = 0; i < bytes; i++) set += __builtin_popcount(data[i * step]);
    if (n % 8 && data[(bytes - 1) * step] >> n % 8)
        return mil__call_fail(call, MIL_EVALUE, "mask has bits beyond its %lld elements", (long long)n);
    if (set == mil__dim(values, 0)) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "mask has %lld bits set, but %s holds the values", (long long)set,
                          MIL__ARG_TEXT(call, "nonzero_data"));
}

mil_status mil__infer_constexpr_sparse_to_dense(mil__call *call) {
    if (call->opset >= MIL_IOS18) return later_form(call);
    mil__compressed *c = call->params;
    int64_t shape[MIL_MAX_RANK], n;
    int rank;
    c->kind = MIL__SPARSE;
    c->dtype = mil__arg(call, "nonzero_data")->type->dtype;
    MIL__TRY(get_shape(call, &rank, shape, &n));
    MIL__TRY(check_packed(call, "mask", 1, n));
    MIL__TRY(check_mask(call, n));
    return result(call, c, rank, shape);
}

mil_status mil__eval_constexpr_sparse_to_dense(mil__call *call) { return evaluate(call); }
