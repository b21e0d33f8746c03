/* SPDX-License-Identifier: MIT */
/* Indices: up to ios16 one below 0 counts from the end, and one outside is an error; from ios17 on with validate_indices both are
 * errors, and without it neither is. */
#include "ops/indices.h"

mil_status mil__index_rule_of(mil__call *call, mil__index_rule *out) {
    bool validate = false;
    if (call->opset >= MIL_IOS17) MIL__TRY(mil__get_bool(call, "validate_indices", &validate));
    *out = (mil__index_rule){.wraps = !validate, .clamps = call->opset >= MIL_IOS17 && !validate};
    return MIL_OK;
}

mil_status mil__index_fail(mil__call *call, int64_t index, int axis, int64_t n) {
    return mil__call_fail(call, MIL_EVALUE, "index %lld is outside of axis %d, which has %lld elements", (long long)index, axis,
                          (long long)n);
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
        if (!mil__index_place(rule, values[i], n, &at)) return mil__index_fail(call, values[i], axis, n);
    return MIL_OK;
}
