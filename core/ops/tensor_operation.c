/* SPDX-License-Identifier: MIT */
/* tensor_operation: inference and plain evaluation. */
#include "ops/rules.h"

/* ---- identity ---- */

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
