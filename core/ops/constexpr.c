/* SPDX-License-Identifier: MIT */
/* constexpr: inference and plain evaluation. Inference leaves a mil__compressed without its tables in call->params. */
#include "ops/compressed.h"
#include "ops/rules.h"

static mil_status result(mil__call *call, mil__compressed *c, int rank, const int64_t *shape) {
    MIL__TRY(mil__call_tensor(call, c->dtype, rank, shape));
    return mil__shape_numel(rank, shape, &c->n) ? MIL_OK : mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
}

/* The same of a sparse op: a mask of this shape, and as many values as it says. */
static mil_status results(mil__call *call, mil__compressed *c, int rank, const int64_t *shape, int64_t n_values) {
    if (!mil__shape_numel(rank, shape, &c->n)) return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
    MIL__TRY(mil__call_outputs(call, 2));
    call->out[0] = mil__tensor_type(call->types, MIL_UINT1, rank, shape);
    call->out[1] = mil__tensor_type(call->types, c->dtype, 1, &n_values);
    return call->out[0] && call->out[1] ? MIL_OK : mil__call_result(call, NULL);
}

static mil_status open_plainly(mil__call *call, mil__compressed *c) {
    bool fits;
    mil_status status = mil__compressed_open(call, NULL, call->arena, c, &fits);
    assert(fits);
    return status;
}

static mil_status evaluate(mil__call *call) {
    mil__compressed c;
    MIL__TRY(open_plainly(call, &c));
    mil__compressed_store(&c, 0, c.n, call->result[0]->data);
    return MIL_OK;
}

static mil_status evaluate_sparse(mil__call *call) {
    mil__compressed c;
    MIL__TRY(open_plainly(call, &c));
    mil__compressed_store_pair(&c, call->result[0]->data, call->result[1]->data);
    return MIL_OK;
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
    mil__compressed_blocks(&c->blocks, data->rank, data->shape, blocks);
    return result(call, c, data->rank, data->shape);
}

mil_status mil__eval_constexpr_affine_dequantize(mil__call *call) { return evaluate(call); }

/* ---- blocks of data ---- */

/* Fails unless the first dims of `blocks` divide those of `data`, axis by axis. */
static mil_status check_blocks(mil__call *call, const char *blocks, const char *data) {
    const mil__operand *of = mil__arg(call, data), *by = mil__arg(call, blocks);
    for (int axis = 0; axis < mil__rank(of); axis++) {
        mil_dim n = mil__dim(of, axis), count = mil__dim(by, axis);
        if (count == n || (count > 0 && n % count == 0)) continue;
        return mil__call_fail(call, MIL_ETYPE, "along axis %d, the extent of %s must divide that of %s", axis,
                              MIL__ARG_TEXT(call, blocks), MIL__ARG_TEXT(call, data));
    }
    return MIL_OK;
}

static mil_status check_not_scalar(mil__call *call, const char *name) {
    if (mil__rank(mil__arg(call, name)) > 0) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s takes rank 1 or above, but %s is a scalar", name, MIL__ARG_TEXT(call, name));
}

/* shaped: the operand that has the shape; data: the one that has the dtype. */
static mil_status shift_scale(mil__call *call, mil__compressed *c, const char *shaped, const char *data) {
    const mil__operand *of = mil__arg(call, shaped), *scale = mil__arg(call, "scale"), *offset = mil__arg(call, "offset");
    int rank = mil__rank(of);
    MIL__TRY(check_not_scalar(call, shaped));
    if (mil__rank(scale) != rank)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the rank of %s", MIL__ARG_TEXT(call, "scale"),
                              MIL__ARG_TEXT(call, shaped));
    MIL__TRY(check_blocks(call, "scale", shaped));
    if (offset && (mil__rank(offset) != rank || memcmp(offset->type->shape, scale->type->shape, (size_t)rank * sizeof(mil_dim))))
        return mil__call_fail(call, MIL_ETYPE, "%s must have the shape of %s", MIL__ARG_TEXT(call, "offset"),
                              MIL__ARG_TEXT(call, "scale"));
    if (offset && !mil__dtype_is_float(offset->type->dtype) && offset->type->dtype != mil__arg(call, data)->type->dtype)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the dtype of %s, or a float", MIL__ARG_TEXT(call, "offset"),
                              MIL__ARG_TEXT(call, data));
    c->dtype = scale->type->dtype;
    mil__compressed_blocks(&c->blocks, rank, of->type->shape, scale->type->shape);
    return MIL_OK;
}

mil_status mil__infer_constexpr_blockwise_shift_scale(mil__call *call) {
    const mil_type *data = mil__arg(call, "data")->type;
    mil__compressed *c = call->params;
    c->kind = MIL__AFFINE;
    MIL__TRY(shift_scale(call, c, "data", "data"));
    return result(call, c, data->rank, data->shape);
}

mil_status mil__eval_constexpr_blockwise_shift_scale(mil__call *call) { return evaluate(call); }

/* The axis of a palette's vectors: the extents of the result. */
static mil_status add_vectors(mil__call *call, mil__compressed *c, const char *shaped, int64_t *shape) {
    const mil_type *of = mil__arg(call, shaped)->type, *lut = mil__arg(call, "lut")->type;
    int64_t given;
    int axis = 0;
    c->vector = lut->shape[lut->rank - 1];
    c->inner = 1;
    if (c->vector < 1) return mil__call_fail(call, MIL_ETYPE, "%s has vectors of no values", MIL__ARG_TEXT(call, "lut"));
    if (mil__has(call, "vector_axis")) {
        MIL__TRY(mil__get_int(call, "vector_axis", &given));
        MIL__TRY(mil__axis(call, "vector_axis", given, of->rank, &axis));
    } else if (c->vector > 1) {
        return mil__call_fail(call, MIL_EVALUE, "vector_axis is missing: %s has vectors of %lld values", MIL__ARG_TEXT(call, "lut"),
                              (long long)c->vector);
    }
    if (c->vector == 1) return MIL_OK;
    for (int a = axis + 1; a < of->rank; a++)
        if (__builtin_mul_overflow(c->inner, shape[a], &c->inner)) return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
    if (!__builtin_mul_overflow(shape[axis], c->vector, &shape[axis])) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
}

/* shaped: the operand that has the indices' shape; indices: the one that has their dtype. shape: the result's. */
static mil_status palette(mil__call *call, mil__compressed *c, const char *shaped, const char *indices, int64_t *shape) {
    const mil_type *of = mil__arg(call, shaped)->type, *lut = mil__arg(call, "lut")->type;
    int rank = of->rank, bits = mil_dtype_bits(mil__arg(call, indices)->type->dtype);
    MIL__TRY(check_not_scalar(call, shaped));
    if (lut->rank != rank + 2)
        return mil__call_fail(call, MIL_ETYPE, "lut takes rank %d, that of %s and two more, but has %s", rank + 2,
                              MIL__ARG_TEXT(call, shaped), MIL__TYPE_TEXT(call->types, lut));
    MIL__TRY(check_blocks(call, "lut", shaped));
    if (lut->shape[rank] != (int64_t)1 << bits)
        return mil__call_fail(call, MIL_ETYPE, "%s must have %d entries along axis %d, as %s has %d bits", MIL__ARG_TEXT(call, "lut"),
                              1 << bits, rank, MIL__ARG_TEXT(call, indices), bits);
    c->dtype = lut->dtype;
    memcpy(shape, of->shape, (size_t)rank * sizeof *shape);
    MIL__TRY(add_vectors(call, c, shaped, shape));
    mil__compressed_blocks(&c->tables, rank, shape, lut->shape);
    return MIL_OK;
}

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

static mil_status infer_lut_of_ios16(mil__call *call) {
    const mil__operand *lut = mil__arg(call, "lut");
    mil__compressed *c = call->params;
    int64_t shape[MIL_MAX_RANK], n;
    int rank;
    c->dtype = lut->type->dtype;
    for (int bits = 1; bits <= 8; bits += bits == 1 ? 1 : 2)
        if (mil__rank(lut) == 1 && mil__dim(lut, 0) == (int64_t)1 << bits) c->bits = bits;
    if (!c->bits)
        return mil__call_fail(call, MIL_ETYPE, "%s must have 2, 4, 16, 64 or 256 values", MIL__ARG_TEXT(call, "lut"));
    MIL__TRY(get_shape(call, &rank, shape, &n));
    MIL__TRY(check_packed(call, "indices", c->bits, n));
    mil__compressed_blocks(&c->tables, 1, &n, (const int64_t[]){1});
    return result(call, c, rank, shape);
}

mil_status mil__infer_constexpr_lut_to_dense(mil__call *call) {
    mil__compressed *c = call->params;
    int64_t shape[MIL_MAX_RANK];
    c->kind = MIL__LUT;
    if (call->opset < MIL_IOS18) return infer_lut_of_ios16(call);
    MIL__TRY(palette(call, c, "indices", "indices", shape));
    return result(call, c, mil__rank(mil__arg(call, "indices")), shape);
}

mil_status mil__eval_constexpr_lut_to_dense(mil__call *call) { return evaluate(call); }

/* ---- constexpr_sparse_to_dense ---- */

/* As many values as bits are set among the n of the mask, which lies dense where it is known. Without data (a weights file
 * that is not there, another op's result) nothing is said. */
static mil_status check_mask(mil__call *call, const char *name, const char *values_name, int64_t n) {
    const mil_tensor *mask = mil__arg(call, name)->data;
    const mil__operand *values = mil__arg(call, values_name);
    if (mil__rank(values) != 1)
        return mil__call_fail(call, MIL_ETYPE, "%s must be a vector", MIL__ARG_TEXT(call, values_name));
    if (!mask || !mil__is_contiguous(mask)) return MIL_OK; /* evaluation counts too */
    int64_t set = mil__set_bits(mask->data, 0, n);
    if (set == mil__dim(values, 0)) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "%s has %lld bit%s set, but %s holds the values", name, (long long)set,
                          set == 1 ? "" : "s", MIL__ARG_TEXT(call, values_name));
}

/* A mask of bytes: none set beyond the last element. */
static mil_status check_padding(mil__call *call, int64_t n) {
    const mil_tensor *mask = mil__arg(call, "mask")->data;
    if (!mask || n % 8 == 0 || !(((const uint8_t *)mask->data)[(mask->shape[0] - 1) * mask->strides[0]] >> n % 8)) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "mask has bits beyond its %lld elements", (long long)n);
}

mil_status mil__infer_constexpr_sparse_to_dense(mil__call *call) {
    mil__compressed *c = call->params;
    const mil_type *mask = mil__arg(call, "mask")->type;
    int64_t shape[MIL_MAX_RANK], n;
    int rank = mask->rank;
    c->kind = MIL__SPARSE;
    c->dtype = mil__arg(call, "nonzero_data")->type->dtype;
    if (call->opset < MIL_IOS18) {
        MIL__TRY(get_shape(call, &rank, shape, &n));
        MIL__TRY(check_packed(call, "mask", 1, n));
        MIL__TRY(check_padding(call, n));
    } else {
        memcpy(shape, mask->shape, (size_t)rank * sizeof *shape);
        if (!mil__shape_numel(rank, shape, &n)) return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
    }
    MIL__TRY(check_mask(call, "mask", "nonzero_data", n));
    return result(call, c, rank, shape);
}

mil_status mil__eval_constexpr_sparse_to_dense(mil__call *call) { return evaluate(call); }

/* ---- from sparse to sparse: the mask, and the values ---- */

mil_status mil__infer_constexpr_lut_to_sparse(mil__call *call) {
    const mil__operand *mask = mil__arg(call, "indices_mask"), *indices = mil__arg(call, "indices_nonzero_data");
    mil__compressed *c = call->params;
    int64_t shape[MIL_MAX_RANK], n, n_values;
    c->kind = MIL__SPARSE_LUT;
    if (!mil__shape_numel(mil__rank(mask), mask->type->shape, &n))
        return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
    MIL__TRY(check_mask(call, "indices_mask", "indices_nonzero_data", n));
    MIL__TRY(palette(call, c, "indices_mask", "indices_nonzero_data", shape));
    if (__builtin_mul_overflow(mil__dim(indices, 0), c->vector, &n_values))
        return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
    return results(call, c, mil__rank(mask), shape, n_values);
}

mil_status mil__eval_constexpr_lut_to_sparse(mil__call *call) { return evaluate_sparse(call); }

mil_status mil__infer_constexpr_sparse_blockwise_shift_scale(mil__call *call) {
    const mil__operand *mask = mil__arg(call, "data_mask");
    mil__compressed *c = call->params;
    int64_t n;
    c->kind = MIL__SPARSE_AFFINE;
    if (!mil__shape_numel(mil__rank(mask), mask->type->shape, &n))
        return mil__call_fail(call, MIL_EVALUE, "the result's size overflows");
    MIL__TRY(check_mask(call, "data_mask", "nonzero_data", n));
    MIL__TRY(shift_scale(call, c, "data_mask", "nonzero_data"));
    return results(call, c, mil__rank(mask), mask->type->shape, mil__dim(mil__arg(call, "nonzero_data"), 0));
}

mil_status mil__eval_constexpr_sparse_blockwise_shift_scale(mil__call *call) { return evaluate_sparse(call); }

/* ---- constexpr_cast ---- */

mil_status mil__infer_constexpr_cast(mil__call *call) {
    const mil_type *source = mil__arg(call, "source_val")->type;
    mil__compressed *c = call->params;
    int choice;
    MIL__TRY(mil__get_choice(call, "output_dtype", "fp32", &choice));
    c->kind = MIL__CAST;
    c->dtype = MIL_FP32;
    return result(call, c, source->rank, source->shape);
}

mil_status mil__eval_constexpr_cast(mil__call *call) { return evaluate(call); }
