/* SPDX-License-Identifier: MIT */
/* Indices: up to ios16 one below 0 counts from the end, and one outside is an error; from ios17 on with validate_indices both are
 * errors, and without it neither is. */
#include "ops/indices.h"
#include "ops/rules.h"

mil_status mil__index_rule_of(mil__call *call, mil__index_rule *out) {
    bool validate = false;
    if (call->opset >= MIL_IOS17) MIL__TRY(mil__get_bool(call, "validate_indices", &validate));
    *out = (mil__index_rule){.wraps = !validate, .clamps = call->opset >= MIL_IOS17 && !validate};
    return MIL_OK;
}

mil_status mil__index_fail(mil__call *call, int64_t index, int axis, const char *param) {
    return mil__call_fail(call, MIL_EVALUE, "index %lld is outside of axis %d of %s", (long long)index, axis, MIL__ARG_TEXT(call, param));
}

mil_status mil__index_check(mil__call *call, const char *param, int axis) {
    const mil_tensor *indices = mil__arg(call, "indices")->data;
    mil_dim n = mil__arg(call, param)->type->shape[axis];
    mil__index_rule rule;
    MIL__TRY(mil__index_rule_of(call, &rule));
    if (!indices || n < 0 || rule.clamps || mil__numel(indices) == 0) return MIL_OK;
    int64_t *values = mil__arena_alloc(call->arena, (size_t)mil__numel(indices) * sizeof *values), at;
    if (!values) return mil__nomem(call->err);
    mil__read_i64(indices, values);
    for (int64_t i = 0; i < mil__numel(indices); i++)
        if (!mil__index_place(rule, values[i], n, &at)) return mil__index_fail(call, values[i], axis, param);
    return MIL_OK;
}

mil_status mil__along_begin(mil__call *call, const char *param, int axis, mil__along *out) {
    const mil_tensor *x = mil__arg(call, param)->data, *indices = mil__arg(call, "indices")->data;
    int64_t taken = indices->shape[axis], inner = mil__extent(x->shape, axis + 1, x->rank);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && x->shape[i] != indices->shape[i])
            return mil__call_fail(call, MIL_ETYPE, "%s and indices differ at axis %d", param, i);
    *out = (mil__along){.param = param, .axis = axis, .n = x->shape[axis], .inner = inner, .dtype = indices->dtype};
    out->line = inner == 1 ? taken : inner;
    out->lines = inner == 1 ? 1 : taken;
    out->left = mil__numel(indices);
    MIL__TRY(mil__index_rule_of(call, &out->rule));
    return mil__dense(call, indices, &out->indices);
}

/* n indices of one line become the places of elements. */
static mil_status place_line(mil__call *call, const mil__along *along, int64_t *indices, int64_t n) {
    int64_t extent = along->n, inner = along->inner, step = inner != 1, from = along->outer + step * along->i;
    mil__index_rule rule = along->rule;
    for (int64_t e = 0; e < n; e++, from += step) {
        int64_t index = indices[e], place = 0;
        if (mil__index_place(rule, index, extent, &place)) indices[e] = from + place * inner;
        else if (along->leaves_out) indices[e] = -1;
        else return mil__index_fail(call, index, along->axis, along->param);
    }
    return MIL_OK;
}

mil_status mil__along_next(mil__call *call, mil__along *along, int64_t offsets[MIL__ALONG], int64_t *n) {
    const int32_t *ints = along->indices;
    *n = along->left < MIL__ALONG ? along->left : MIL__ALONG;
    if (along->dtype != MIL_INT32) mil__convert(MIL_INT64, offsets, 1, along->dtype, along->indices, 1, *n);
    else for (int64_t i = 0; i < *n; i++) offsets[i] = ints[i]; /* the usual ones, without the way by doubles */
    for (int64_t done = 0, count; done < *n; done += count) {
        count = along->line - along->i < *n - done ? along->line - along->i : *n - done;
        MIL__TRY(place_line(call, along, offsets + done, count));
        along->i += count;
        if (along->i < along->line) continue;
        along->i = 0;
        if (++along->k < along->lines) continue;
        along->k = 0;
        along->outer += along->n * along->inner;
    }
    along->indices = (const char *)along->indices + (size_t)*n * mil__element_size(along->dtype);
    along->left -= *n;
    return MIL_OK;
}
