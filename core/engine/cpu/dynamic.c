/* SPDX-License-Identifier: MIT */
/* Steps whose sizes depend on data: inferred again with the values at hand, then evaluated plainly into memory that grows
 * and is kept. */
#include "engine/cpu/steps.h"

/* The tensor's own type, in the context's types. */
static const mil_type *type_now(mil__cpu_context *c, const mil_tensor *t) {
    return mil__tensor_type(c->types, t->dtype, t->rank, t->shape);
}

static mil_status fill_call(mil__run *run, const mil__step *step, const mil__op *op, mil__call *call) {
    mil__cpu_context *c = run->context;
    uint32_t n = 0;
    MIL__TRY(mil__call_of(c->plan->program, op, call));
    for (uint16_t a = 0; a < op->n_args; a++) {
        mil__operand *items = (mil__operand *)call->in[op->args[a].slot].items;
        for (uint32_t i = 0; i < op->args[a].n; i++) {
            mil_tensor *t = &c->t[step->in[n++]];
            items[i].data = t;
            items[i].sym = NULL;
            const mil_type *type = type_now(c, t);
            items[i].type = type && items[i].type->kind == MIL_STATE ? mil__state_type(c->types, type) : type;
            if (!items[i].type) return mil__nomem(run->err);
        }
    }
    return MIL_OK;
}

/* Bytes for one that has `now` and needs `bytes`: twice as many, where that is within the model's limit. */
static mil_status room_of(const mil__cpu_context *c, size_t now, size_t bytes, bool doubles, size_t *out, mil_error *err) {
    size_t limit = c->model->options.memory_limit, others = c->memory_bytes + c->dynamic_bytes - now, twice;
    size_t left = !limit ? SIZE_MAX : limit > others ? limit - others : 0;
    if (bytes > left)
        return mil__fail(err, MIL_ELIMIT, "run: a value of %zu bytes, beside %zu of others, is beyond the limit of %zu", bytes, others, limit);
    *out = doubles && mil__mul_size(bytes, 2, &twice) && twice <= left ? twice : bytes;
    return MIL_OK;
}

void mil__dynamic_give_back(mil__cpu_context *c) {
    for (uint32_t i = 0; c->dynamic_bytes && i < c->n_slots; i++) {
        mil_buffer_free(c->dynamic[i]);
        c->dynamic[i] = NULL;
    }
    c->dynamic_bytes = 0;
}

mil_status mil__dynamic_room(mil__cpu_context *c, uint32_t slot, size_t bytes, size_t keep, mil_error *err) {
    mil_buffer *old = c->dynamic[slot], *buffer = old;
    size_t now = old ? mil_buffer_bytes(old) : 0, room = 0;
    if (!old || now < bytes) {
        MIL__TRY(room_of(c, now, bytes, keep > 0, &room, err));
        MIL__TRY(mil__buffer_raw(room, &buffer, err));
        if (keep) memcpy(mil_buffer_data(buffer), mil_buffer_data(old), keep);
        mil_buffer_free(old);
        c->dynamic[slot] = buffer;
        c->dynamic_bytes += room - now;
    }
    c->t[slot].data = mil_buffer_data(buffer);
    return MIL_OK;
}

/* Memory for a result of the type that was inferred. */
static mil_status make_room(mil__run *run, uint32_t slot, const mil_type *type) {
    mil__cpu_context *c = run->context;
    mil_tensor *t = &c->t[slot];
    int64_t n;
    size_t bytes;
    if (!mil__shape_numel(type->rank, type->shape, &n) || !mil__dtype_bytes(type->dtype, n, &bytes))
        return mil__fail(run->err, MIL_ELIMIT, "run: a result is too large for memory");
    if (c->plan->slots[slot].kind != MIL__SLOT_DYNAMIC) {
        bool same = t->rank == type->rank && memcmp(t->shape, type->shape, (size_t)t->rank * sizeof *t->shape) == 0;
        return same ? MIL_OK : mil__fail(run->err, MIL_ETYPE, "run: a result is %s, but was to be %s",
                                         MIL__SHAPE_TEXT(type->rank, type->shape), MIL__SHAPE_TEXT(t->rank, t->shape));
    }
    MIL__TRY(mil__dynamic_room(c, slot, bytes, 0, run->err));
    mil__tensor_init(t, type->dtype, type->rank, type->shape, t->data);
    return MIL_OK;
}

static mil_status run_call(mil__run *run, const mil__step *step, mil__call *call) {
    MIL__TRY(fill_call(run, step, run->context->plan->program->ops[step->covers[0]], call));
    MIL__TRY(call->op->infer(call));
    call->result = mil__arena_zero(call->arena, step->n_out, sizeof *call->result);
    if (!call->result) return mil__nomem(run->err);
    for (uint32_t i = 0; i < step->n_out; i++) {
        MIL__TRY(make_room(run, step->out[i], call->out[i]));
        call->result[i] = &run->t[step->out[i]];
    }
    return call->op->eval(call);
}

mil_status mil__run_dynamic(mil__run *run, const mil__step *step) {
    mil__cpu_context *c = run->context;
    const mil__op *op = c->plan->program->ops[step->covers[0]];
    mil__call call = {.op = op->decl, .opset = c->plan->program->functions[0].opset, .types = c->types,
                      .arena = &c->eval_arena, .err = run->err};
    mil__mark mark = mil__arena_mark(call.arena);
    mil_status status = run_call(run, step, &call);
    mil__arena_rewind(call.arena, mark);
    return status;
}
