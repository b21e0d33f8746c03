/* SPDX-License-Identifier: MIT */
/* tensor_transformation, continued: what looks along one axis, sliding_windows and reverse_sequence. */
#include "ops/rules.h"

/* ---- sliding_windows ---- */

static mil_status window_axis(mil__call *call, int *axis, int64_t *size, int64_t *stride) {
    int64_t given;
    MIL__TRY(mil__get_int(call, "axis", &given));
    MIL__TRY(mil__axis(call, "axis", given, mil__rank(mil__arg(call, "x")), axis));
    MIL__TRY(mil__get_int(call, "size", size));
    MIL__TRY(mil__get_int(call, "stride", stride));
    if (*size >= 1 && *stride >= 1) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "size is %lld and stride %lld; they must be above 0", (long long)*size, (long long)*stride);
}

mil_status mil__infer_sliding_windows(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK + 1];
    int64_t size, stride;
    int axis, rank = 0;
    MIL__TRY(window_axis(call, &axis, &size, &stride));
    if (x->shape[axis] >= 0 && x->shape[axis] < size)
        return mil__call_fail(call, MIL_EVALUE, "a window of %lld is larger than axis %d of %s", (long long)size, axis, MIL__ARG_TEXT(call, "x"));
    for (int i = 0; i < x->rank; i++) {
        mil_dim rest = mil__dim_sub(call->types, x->shape[i], size);
        shape[rank++] = i == axis ? mil__dim_add(call->types, mil__dim_floordiv(call->types, rest, stride), 1) : x->shape[i];
        if (i == axis) shape[rank++] = size;
    }
    return mil__call_tensor(call, x->dtype, rank, shape);
}

mil_status mil__eval_sliding_windows(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t strides[MIL_MAX_RANK], size, stride;
    int axis, rank = 0;
    MIL__TRY(window_axis(call, &axis, &size, &stride));
    for (int i = 0; i < x->rank; i++) {
        strides[rank++] = i == axis ? x->strides[i] * stride : x->strides[i];
        if (i == axis) strides[rank++] = x->strides[i];
    }
    mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, x->data, strides);
    return MIL_OK;
}

/* ---- reverse_sequence ---- */

static mil_status sequence_axes(mil__call *call, int *seq, int *batch) {
    const mil__operand *x = mil__arg(call, "x"), *lengths = mil__arg(call, "lengths");
    int64_t seq_axis, batch_axis;
    MIL__TRY(mil__get_int(call, "seq_axis", &seq_axis));
    MIL__TRY(mil__get_int(call, "batch_axis", &batch_axis));
    MIL__TRY(mil__axis(call, "seq_axis", seq_axis, mil__rank(x), seq));
    MIL__TRY(mil__axis(call, "batch_axis", batch_axis, mil__rank(x), batch));
    bool fits = mil__rank(lengths) == 1 && (mil__dim(lengths, 0) < 0 || mil__dim(x, *batch) < 0 || mil__dim(lengths, 0) == mil__dim(x, *batch));
    return fits ? MIL_OK : mil__call_fail(call, MIL_ETYPE, "%s takes a length for each of axis %d of %s", MIL__ARG_TEXT(call, "lengths"),
                                          *batch, MIL__ARG_TEXT(call, "x"));
}

mil_status mil__infer_reverse_sequence(mil__call *call) {
    int seq, batch;
    MIL__TRY(sequence_axes(call, &seq, &batch));
    return mil__infer_like_first(call);
}

/* For each batch two boxes: the part that is reversed, and the rest. */
mil_status mil__eval_reverse_sequence(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data, *lengths = mil__arg(call, "lengths")->data;
    mil_tensor *out = call->result[0];
    int64_t shape[MIL_MAX_RANK], strides[MIL_MAX_RANK], size = (int64_t)mil__element_size(x->dtype);
    int seq, batch;
    MIL__TRY(sequence_axes(call, &seq, &batch));
    mil__gather_contiguous(x, out->data);
    if (mil__numel(x) == 0 || seq == batch) return MIL_OK;
    memcpy(shape, x->shape, sizeof shape);
    memcpy(strides, x->strides, sizeof strides);
    shape[batch] = 1;
    strides[seq] = -x->strides[seq];
    for (int64_t b = 0; b < x->shape[batch]; b++) {
        int64_t n = mil__load_i64(lengths, b * lengths->strides[0]);
        if (n < 0 || n > x->shape[seq])
            return mil__call_fail(call, MIL_EVALUE, "length %lld of batch %lld is outside of 0 to %lld, the size of axis %d of %s",
                                  (long long)n, (long long)b, (long long)x->shape[seq], seq, MIL__ARG_TEXT(call, "x"));
        shape[seq] = n;
        if (n < 2) continue;
        const char *from = (const char *)x->data + (b * x->strides[batch] + (n - 1) * x->strides[seq]) * size;
        mil__move(x->dtype, x->rank, shape, (char *)out->data + b * out->strides[batch] * size, out->strides, from, strides);
    }
    return MIL_OK;
}
