/* SPDX-License-Identifier: MIT */
/* classify. It is not evaluated: a model's labels and dictionary are made of its probabilities (engine/model.c). */
#include "ops/rules.h"

mil_status mil__infer_classify(mil__call *call) {
    const mil_type *probabilities = mil__arg(call, "probabilities")->type, *classes = mil__arg(call, "classes")->type;
    const mil_type *label = classes->items[0];
    int64_t numel;
    if (label->kind != MIL_TENSOR || label->rank || (label->dtype != MIL_STRING && label->dtype != MIL_INT64))
        return mil__call_fail(call, MIL_ETYPE, "%s: a list of strings or int64 is taken", MIL__ARG_TEXT(call, "classes"));
    if (!mil__arg(call, "classes")->is_const) return mil__call_fail(call, MIL_ETYPE, "classes must be known when the program is made");
    bool is_known = classes->length >= 0 && mil__shape_numel(probabilities->rank, probabilities->shape, &numel);
    if (is_known && numel != classes->length)
        return mil__call_fail(call, MIL_ETYPE, "%s has %lld elements, but there are %lld classes", MIL__ARG_TEXT(call, "probabilities"),
                              (long long)numel, (long long)classes->length);
    MIL__TRY(mil__call_outputs(call, 2));
    const mil_type *number = mil__scalar_type(call->types, MIL_FP64);
    call->out[0] = label;
    call->out[1] = number ? mil__dict_type(call->types, label, number) : NULL;
    return call->out[1] ? MIL_OK : mil__nomem(call->err);
}
