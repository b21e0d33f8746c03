/* SPDX-License-Identifier: MIT */
/* image_resizing: inference and plain evaluation. */
#include "ops/rules.h"

/* ---- crop ---- */

static mil_status get_border(mil__call *call, const char *name, int64_t out[2]) {
    int n;
    MIL__TRY(mil__get_ints(call, name, 2, out, &n));
    if (n == 2 && out[0] >= 0 && out[1] >= 0) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "%s takes two sizes, neither below 0", MIL__ARG_TEXT(call, name));
}

mil_status mil__infer_crop(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    int64_t border[2][2];
    mil_dim shape[MIL_MAX_RANK];
    if (x->rank < 3) return mil__call_fail(call, MIL_ETYPE, "x takes rank 3 or above, but is %s", MIL__ARG_TEXT(call, "x"));
    MIL__TRY(get_border(call, "crop_height", border[0]));
    MIL__TRY(get_border(call, "crop_width", border[1]));
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    for (int i = 0; i < 2; i++) {
        mil_dim *extent = &shape[x->rank - 2 + i];
        int64_t goes = border[i][0] + border[i][1];
        if (*extent >= 0 && *extent <= goes) return mil__call_fail(call, MIL_EVALUE, "nothing is left of axis %d of %s", x->rank - 2 + i, MIL__ARG_TEXT(call, "x"));
        *extent = mil__dim_sub(call->types, *extent, goes);
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

mil_status mil__eval_crop(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t height[2], width[2];
    MIL__TRY(get_border(call, "crop_height", height));
    MIL__TRY(get_border(call, "crop_width", width));
    int64_t at = height[0] * x->strides[x->rank - 2] + width[0] * x->strides[x->rank - 1];
    const char *from = (const char *)x->data + at * (int64_t)mil__element_size(x->dtype);
    if (mil__numel(out)) mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, from, x->strides);
    return MIL_OK;
}
