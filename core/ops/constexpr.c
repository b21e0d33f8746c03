/* SPDX-License-Identifier: MIT */
/* constexpr: inference and plain evaluation. */
#include "ops/rules.h"

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
    return mil__call_tensor(call, scale->type->dtype, rank, data->type->shape);
}

/* A row of data, or the row of its scales: rows of a tensor of this shape are numbered by their dims but the last, and its
 * blocks have tensor's shape. As floats in `room`, which holds one more; nibbles are read from a whole byte on. Gives where
 * the first is. */
static float *read_row(const mil_tensor *tensor, const int64_t *shape, int64_t row, float *room) {
    int last = tensor->rank - 1, bits = mil_dtype_bits(tensor->dtype);
    int64_t at = 0;
    for (int axis = last - 1; axis >= 0; row /= shape[axis--])
        at += row % shape[axis] / (shape[axis] / tensor->shape[axis]) * tensor->strides[axis];
    int64_t before = bits == 4 ? at & 1 : 0;
    const char *from = (const char *)tensor->data + (at - before) * bits / 8;
    mil__convert(MIL_FP32, room, 1, tensor->dtype, from, tensor->strides[last], tensor->shape[last] + before);
    return room + before;
}

/* A row of n elements in `blocks` blocks; offset may be NULL. In place. */
static void shift_and_scale(float *row, int64_t n, int64_t blocks, const float *scale, const float *offset) {
    for (int64_t b = 0; b < blocks; b++, row += n / blocks) {
        float by = scale[b], minus = offset ? offset[b] : 0;
        for (int64_t i = 0; i < n / blocks; i++) row[i] = by * (row[i] - minus);
    }
}

mil_status mil__eval_constexpr_blockwise_shift_scale(mil__call *call) {
    const mil_tensor *data = mil__arg(call, "data")->data, *scale = mil__arg(call, "scale")->data;
    const mil__operand *given = mil__arg(call, "offset");
    const mil_tensor *offset = given ? given->data : NULL;
    mil_tensor *result = call->result[0];
    const int64_t *shape = data->shape;
    int64_t n = shape[data->rank - 1], blocks = scale->shape[data->rank - 1], rows = n ? mil__numel(data) / n : 0;
    float *room = mil__arena_zero(call->arena, (size_t)(n + 1) + 2 * (size_t)(blocks + 1), sizeof *room);
    if (!room) return mil__nomem(call->err);
    for (int64_t row = 0; row < rows; row++) {
        float *x = read_row(data, shape, row, room);
        const float *by = read_row(scale, shape, row, room + n + 1);
        const float *minus = offset ? read_row(offset, shape, row, room + n + blocks + 2) : NULL;
        shift_and_scale(x, n, blocks, by, minus);
        size_t bytes = (size_t)(row * n) * mil__element_size(result->dtype);
        mil__convert(result->dtype, (char *)result->data + bytes, 1, MIL_FP32, x, 1, n);
    }
    return MIL_OK;
}
