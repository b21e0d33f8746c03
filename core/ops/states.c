/* SPDX-License-Identifier: MIT */
/* states: read_state, write_state, coreml_update_state. A state's operand is its memory, which a run may write. */
#include "ops/op.h"

static const mil_type *held_type(const mil__call *call, const char *state) { return mil__arg(call, state)->type->items[0]; }

/* The memory that a state is in this run. */
static mil_tensor *memory_of(mil__call *call, const char *state) { return (mil_tensor *)mil__arg(call, state)->data; }

static mil_status check_value(mil__call *call, const char *state, const char *value) {
    if (mil__type_fits(held_type(call, state), mil__arg(call, value)->type)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s is not what %s holds", MIL__ARG_TEXT(call, value), MIL__ARG_TEXT(call, state));
}

mil_status mil__infer_read_state(mil__call *call) { return mil__call_result(call, held_type(call, "input")); }

mil_status mil__eval_read_state(mil__call *call) { return mil_tensor_copy(call->result[0], memory_of(call, "input"), call->err); }

mil_status mil__infer_write_state(mil__call *call) {
    MIL__TRY(check_value(call, "input", "data"));
    return mil__call_outputs(call, 0);
}

mil_status mil__eval_write_state(mil__call *call) {
    return mil_tensor_copy(memory_of(call, "input"), mil__arg(call, "data")->data, call->err);
}

mil_status mil__infer_coreml_update_state(mil__call *call) {
    MIL__TRY(check_value(call, "state", "value"));
    return mil__call_result(call, held_type(call, "state"));
}

mil_status mil__eval_coreml_update_state(mil__call *call) {
    const mil_tensor *value = mil__arg(call, "value")->data;
    MIL__TRY(mil_tensor_copy(memory_of(call, "state"), value, call->err));
    return mil_tensor_copy(call->result[0], value, call->err);
}
