/* SPDX-License-Identifier: MIT */
/* control_flow: const, select. */
#include "ops/rules.h"

mil_status mil__infer_const(mil__call *call) { return mil__infer_like_first(call); }

/* ---- select ---- */

mil_status mil__infer_select(mil__call *call) {
    mil_dim shape[MIL_MAX_RANK], whole[MIL_MAX_RANK];
    const mil_type *cond = mil__arg(call, "cond")->type;
    int rank, whole_rank;
    MIL__TRY(mil__broadcast(call, "a", "b", &rank, shape));
    if (!mil__broadcast_dims(call->types, rank, shape, cond->rank, cond->shape, &whole_rank, whole)) {
        return mil__call_fail(call, MIL_ETYPE, "%s, %s and %s do not broadcast", MIL__ARG_TEXT(call, "cond"),
                              MIL__ARG_TEXT(call, "a"), MIL__ARG_TEXT(call, "b"));
    }
    return mil__call_tensor(call, mil__arg(call, "a")->type->dtype, whole_rank, whole);
}

/* The tensors of a select, in the order in which they are walked. */
typedef struct selecting {
    size_t size; /* of an element */
    const bool *cond;
    const char *a, *b;
    char *out;
} selecting;

static void select_run(void *ctx, int64_t n, const int64_t *at, const int64_t *step) {
    const selecting *s = ctx;
    for (int64_t i = 0; i < n; i++) {
        bool first = s->cond[at[0] + i * step[0]];
        const char *from = first ? s->a + (at[1] + i * step[1]) * (int64_t)s->size
                                 : s->b + (at[2] + i * step[2]) * (int64_t)s->size;
        memcpy(s->out + (at[3] + i * step[3]) * (int64_t)s->size, from, s->size);
    }
}

mil_status mil__eval_select(mil__call *call) {
    const mil_tensor *cond = mil__arg(call, "cond")->data, *a = mil__arg(call, "a")->data, *b = mil__arg(call, "b")->data;
    mil_tensor *out = call->result[0];
    int64_t strides[3][MIL_MAX_RANK];
    mil__broadcast_strides(cond, out->rank, strides[0]);
    mil__broadcast_strides(a, out->rank, strides[1]);
    mil__broadcast_strides(b, out->rank, strides[2]);
    const int64_t *all[] = {strides[0], strides[1], strides[2], out->strides};
    selecting s = {mil__element_size(out->dtype), cond->data, a->data, b->data, out->data};
    mil__walk(out->rank, out->shape, 4, all, select_run, &s);
    return MIL_OK;
}
