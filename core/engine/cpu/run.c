/* SPDX-License-Identifier: MIT */
/* Contexts, and a run: bind inputs and outputs, walk the steps. Once a context has met its shapes, nothing is allocated,
 * looked up by name or, on one thread, locked. */
#include <stdio.h>

#include "engine/cpu/steps.h"

/* ---- contexts ---- */

/* What depends on the plan, given back when another takes its place. The plan itself may be gone (unloaded). Takes a lock. */
static void drop_plan(mil__cpu_context *c) {
    for (uint32_t i = 0; c->dynamic && i < c->n_slots; i++) mil_buffer_free(c->dynamic[i]);
    for (uint32_t i = 0; c->staged_in && i < c->n_inputs; i++) mil_tensor_free(c->staged_in[i]);
    for (uint32_t i = 0; c->staged_out && i < c->n_outputs; i++) mil_tensor_free(c->staged_out[i]);
    mil__free(c->t);
    mil__free(c->calls);
    mil__free(c->memory);
    mil__free(c->staged_in);
    mil__free(c->staged_out);
    mil__free(c->dynamic);
    mil__free(c->is_fixed);
    mil__free(c->turns);
    mil__arena_free(&c->call_arena);
    mil__arena_free(&c->eval_arena);
    mil__types_free(c->types);
    if (c->plan) mil__plans_give_back(c->model, c->plan);
    *c = (mil__cpu_context){.model = c->model};
}

void mil__cpu_context_free(void *context) {
    mil__cpu_context *c = context;
    if (!c) return;
    drop_plan(c);
    mil__free(c);
}

static char *aligned(void *memory) { return (char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63); }

/* Points every slot at its memory; INPUT, OUTPUT and DYNAMIC ones are pointed by each run. */
static void point_slots(mil__cpu_context *c) {
    const mil__cpu_plan *plan = c->plan;
    char *arena = aligned(c->memory);
    for (uint32_t i = 0; i < plan->n_slots; i++) {
        const mil__slot *slot = &plan->slots[i], *root = &plan->slots[slot->root];
        void *data = NULL;
        if (root->kind == MIL__SLOT_ARENA) data = arena + root->offset + slot->shift;
        if (root->kind == MIL__SLOT_CONST) data = (char *)root->data->data + slot->shift;
        mil__tensor_init(&c->t[i], slot->dtype, slot->rank, slot->shape, data);
        if (slot->kind == MIL__SLOT_CONST && root->data->dtype == MIL_STRING) c->t[i] = *root->data;
    }
}

/* A plain step's call: operands are the context's tensors, their types those of the plan. */
static mil_status make_call(mil__cpu_context *c, const mil__step *step, mil_error *err) {
    const mil_program *program = c->plan->program;
    const mil__op *op = program->ops[step->covers[0]];
    mil__call *call = &c->calls[step->call];
    *call = (mil__call){.op = op->decl, .opset = program->functions[0].opset, .types = program->types,
                        .arena = &c->call_arena, .err = err};
    void *params = (void *)step->params;
    MIL__TRY(mil__call_of(program, op, call));
    call->params = params;
    uint32_t n = 0;
    for (uint16_t a = 0; a < op->n_args; a++) {
        mil__operand *items = (mil__operand *)call->in[op->args[a].slot].items;
        for (uint32_t i = 0; i < op->args[a].n; i++) items[i].data = &c->t[step->in[n++]];
    }
    call->result = mil__arena_zero(&c->call_arena, step->n_out, sizeof *call->result);
    if (!call->result) return mil__nomem(err);
    for (uint32_t i = 0; i < step->n_out; i++) call->result[i] = &c->t[step->out[i]];
    call->arena = &c->eval_arena;
    return MIL_OK;
}

/* What a run on this plan takes beside weights: arena, scratch, and the outputs whose size is known. Fails where it is beyond
 * the model's limit. */
static mil_status check_limit(const mil__cpu_context *c, const mil__cpu_plan *plan, mil_error *err) {
    size_t limit = c->model->options.memory_limit, needed = c->memory_bytes;
    bool fits = true;
    for (uint32_t i = 0; i < plan->n_outputs && fits; i++)
        fits = mil__add_size(needed, plan->slots[plan->outputs[i]].bytes, &needed);
    if (!limit || (fits && needed <= limit)) return MIL_OK;
    return mil__fail(err, MIL_ELIMIT, "run: %zu bytes are needed beside the weights; the limit is %zu",
                     fits ? needed : SIZE_MAX, limit);
}

/* Sets the context up for its plan; without one where that fails. */
static mil_status stand_on(mil__cpu_context *c, mil_error *err) {
    const mil__cpu_plan *plan = c->plan;
    size_t scratch, bytes;
    bool fits = mil__mul_size(plan->scratch_bytes, (size_t)c->model->n_lanes, &scratch) &&
                mil__add_size(plan->arena_bytes, scratch, &c->memory_bytes) && mil__add_size(c->memory_bytes, 63, &bytes);
    if (!fits) return mil__fail(err, MIL_ELIMIT, "run: the values of the program do not fit in memory");
    MIL__TRY(check_limit(c, plan, err));
    c->n_slots = plan->n_slots;
    c->n_inputs = plan->n_inputs;
    c->n_outputs = plan->n_outputs;
    c->t = mil__calloc(plan->n_slots, sizeof *c->t);
    c->calls = mil__calloc(plan->n_calls, sizeof *c->calls);
    c->memory = mil__alloc(bytes);
    c->staged_in = mil__calloc(plan->n_inputs, sizeof *c->staged_in);
    c->staged_out = mil__calloc(plan->n_outputs, sizeof *c->staged_out);
    c->turns = mil__calloc(plan->n_loops, sizeof *c->turns);
    bool made = c->t && c->calls && c->memory && c->staged_in && c->staged_out && c->turns;
    if (made && plan->is_dynamic) {
        c->dynamic = mil__calloc(plan->n_slots, sizeof *c->dynamic);
        c->is_fixed = mil__calloc(plan->n_slots, sizeof *c->is_fixed);
        c->types = mil__types_new();
        made = c->dynamic && c->is_fixed && c->types;
    }
    mil_status status = made ? MIL_OK : mil__nomem(err);
    if (status == MIL_OK) point_slots(c);
    for (uint32_t i = 0; i < plan->n_steps && status == MIL_OK; i++)
        if (plan->steps[i].run == mil__run_plain) status = make_call(c, &plan->steps[i], err);
    return status;
}

static mil_status take_plan(mil__cpu_context *c, mil_tensor *const *inputs, uint32_t n, const mil_type *const *types, mil_error *err) {
    drop_plan(c);
    MIL__TRY(mil__plans_take(c->model, inputs, n, types, &c->plan, err));
    mil_status status = stand_on(c, err);
    if (status != MIL_OK) drop_plan(c);
    return status;
}

mil_status mil__cpu_context_new(void *compiled, void **out, mil_error *err) {
    mil__cpu_model *model = compiled;
    mil__cpu_context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = model;
    mil_status status = model->is_static ? take_plan(c, NULL, 0, NULL, err) : MIL_OK;
    if (status != MIL_OK) {
        mil__cpu_context_free(c);
        return status;
    }
    *out = c;
    return MIL_OK;
}

/* ---- shapes ---- */

/* An input that has some shapes to choose from has one of them. */
static mil_status check_shapes(const mil_program *program, mil_value input, const mil_tensor *given, mil_error *err) {
    const mil__shapes *shapes = mil__input_shapes(program, input);
    size_t bytes = (size_t)given->rank * sizeof *given->shape;
    char list[240] = "";
    int used = 0;
    for (size_t i = 0; shapes && i < shapes->n; i++) {
        const int64_t *shape = shapes->shapes + i * (size_t)given->rank;
        if (memcmp(shape, given->shape, bytes) == 0) return MIL_OK;
        if (used < (int)sizeof list)
            used += snprintf(list + used, sizeof list - (size_t)used, "%s%s", i ? " or " : "", MIL__SHAPE_TEXT(given->rank, shape));
    }
    if (!shapes) return MIL_OK;
    return mil__fail(err, MIL_EVALUE, "run: input %s is %s, but was given %s", program->values[input]->name, list,
                     MIL__SHAPE_TEXT(given->rank, given->shape));
}

/* "1 to 8", or "at least 2" */
static const char *range_text(const mil_symbol *symbol, char *buf, size_t n) {
    if (symbol->max < 0) snprintf(buf, n, "at least %lld", (long long)symbol->min);
    else snprintf(buf, n, "%lld to %lld", (long long)symbol->min, (long long)symbol->max);
    return buf;
}

/* Equal symbols have equal sizes, within their range. */
static mil_status check_symbols(const mil_program *program, const mil__block *body, mil_tensor *const *inputs,
                                mil_error *err) {
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const mil__value *value = program->values[body->inputs[i]];
        MIL__TRY(check_shapes(program, body->inputs[i], inputs[i], err));
        for (int k = 0; k < value->type->rank; k++) {
            mil_dim dim = value->type->shape[k];
            const mil_symbol *symbol = dim < 0 ? mil__dim_symbol_info(program->types, dim) : NULL;
            if (!symbol) continue;
            int64_t size = inputs[i]->shape[k];
            if (size < symbol->min || (symbol->max >= 0 && size > symbol->max))
                return mil__fail(err, MIL_EVALUE, "run: input %s has %lld at axis %d, but %s is %s", value->name, (long long)size,
                                 k, symbol->name ? symbol->name : "it", range_text(symbol, (char[48]){0}, 48));
            for (uint32_t j = 0; j <= i; j++) {
                const mil__value *other = program->values[body->inputs[j]];
                for (int m = 0; m < (j < i ? other->type->rank : k); m++)
                    if (other->type->shape[m] == dim && inputs[j]->shape[m] != size)
                        return mil__fail(err, MIL_ETYPE, "run: %s is %lld in input %s, but %lld in input %s",
                                         symbol->name ? symbol->name : "one symbol", (long long)inputs[j]->shape[m],
                                         other->name, (long long)size, value->name);
            }
        }
    }
    return MIL_OK;
}

/* The plan for these shapes; states have the types that they are declared with. */
static mil_status find_plan(mil__cpu_context *c, mil_tensor *const *inputs, mil_error *err) {
    const mil_program *program = c->model->program;
    const mil__block *body = program->blocks[program->functions[0].block];
    if (c->plan && mil__plan_fits(c->plan, inputs, body->n_inputs)) return MIL_OK;
    MIL__TRY(check_symbols(program, body, inputs, err));
    mil__arena arena = {0};
    mil_type *types = mil__arena_zero(&arena, body->n_inputs, sizeof *types);
    const mil_type **given = mil__arena_zero(&arena, body->n_inputs, sizeof *given);
    mil_status status = types && given ? MIL_OK : mil__nomem(err);
    for (uint32_t i = 0; i < body->n_inputs && status == MIL_OK; i++) {
        types[i] = (mil_type){.kind = MIL_TENSOR, .dtype = inputs[i]->dtype, .rank = inputs[i]->rank,
                              .shape = inputs[i]->shape};
        const mil_type *declared = program->values[body->inputs[i]]->type;
        given[i] = declared->kind == MIL_STATE ? declared : &types[i];
    }
    if (status == MIL_OK) status = take_plan(c, inputs, body->n_inputs, given, err);
    mil__arena_free(&arena);
    return status;
}

/* ---- binding ---- */

static bool is_usable(const mil_tensor *tensor) {
    size_t size = (size_t)mil__dtype(tensor->dtype)->bits / 8;
    return mil__is_contiguous(tensor) && size && (uintptr_t)tensor->data % size == 0;
}

static mil_status stage(mil_tensor **staged, const mil_tensor *like, mil_error *err) {
    if (*staged) return MIL_OK;
    return mil_tensor_new(like->dtype, like->rank, like->shape, staged, err);
}

static mil_status bind_inputs(mil__cpu_context *c, mil_tensor *const *inputs, mil_error *err) {
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        mil_tensor *t = &c->t[c->plan->inputs[i]];
        t->data = inputs[i]->data;
        if (is_usable(inputs[i])) continue;
        MIL__TRY(stage(&c->staged_in[i], t, err));
        MIL__TRY(mil_tensor_copy(c->staged_in[i], inputs[i], err));
        t->data = c->staged_in[i]->data;
    }
    return MIL_OK;
}

static bool meets(const mil_tensor *a, const mil_tensor *b) {
    if (a->buffer && a->buffer == b->buffer) return true;
    const char *one = a->data, *two = b->data;
    return one < two + mil_tensor_bytes(b) && two < one + mil_tensor_bytes(a);
}

/* May steps write to this tensor while they still read the inputs? */
static bool is_writable_now(mil__cpu_context *c, const mil_tensor *output, mil_tensor *const *inputs) {
    bool usable = is_usable(output);
    for (uint32_t i = 0; i < c->n_inputs && usable; i++) usable = !meets(output, inputs[i]);
    return usable;
}

static bool same_shape(const mil_tensor *a, const mil_tensor *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* Makes *output a tensor of t's shape; the caller's own (given) has it or is refused. */
static mil_status fit_output(uint32_t i, const mil_tensor *t, const mil_tensor *given, mil_tensor **output, mil_error *err) {
    if (*output && same_shape(*output, t)) return MIL_OK;
    if (given) {
        return mil__fail(err, MIL_ETYPE, "run: output %u is %s, but was given memory of shape %s", i,
                         MIL__SHAPE_TEXT(t->rank, t->shape), MIL__SHAPE_TEXT(given->rank, given->shape));
    }
    mil_tensor_free(*output);
    *output = NULL;
    return mil__tensor_raw(t->dtype, t->rank, t->shape, output, err);
}

static mil_status bind_outputs(mil__cpu_context *c, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                               mil_error *err) {
    for (uint32_t i = 0; i < c->n_outputs; i++) {
        mil_tensor *t = &c->t[c->plan->outputs[i]];
        const mil__slot *slot = &c->plan->slots[c->plan->outputs[i]];
        if (c->plan->slots[slot->root].kind == MIL__SLOT_DYNAMIC) continue;
        MIL__TRY(fit_output(i, t, given[i], &outputs[i], err));
        bool direct = is_writable_now(c, outputs[i], inputs);
        if (!direct) MIL__TRY(stage(&c->staged_out[i], t, err));
        t->data = direct ? outputs[i]->data : c->staged_out[i]->data;
        c->t[slot->root].data = t->data; /* the output may be a view of all of what a step writes */
    }
    return MIL_OK;
}

/* The memory of an output that grew in the run and that of the tensor made for it change hands, where they are as large: the
 * tensor's will serve the next run. (The slot goes on pointing to what it had, for another output that is the same value.) */
static bool exchange(mil__cpu_context *c, uint32_t slot, mil_tensor *output) {
    mil_buffer **own = c->dynamic ? &c->dynamic[slot] : NULL, *others = output->buffer;
    if (!own || !*own || mil_buffer_data(*own) != c->t[slot].data || mil_buffer_bytes(*own) != mil_buffer_bytes(others)) return false;
    output->buffer = *own;
    output->data = mil_buffer_data(*own);
    *own = others;
    return true;
}

/* What could not be written in place, and what had no size before the run. */
static mil_status deliver(mil__cpu_context *c, mil_tensor *const *given, mil_tensor **outputs, mil_error *err) {
    for (uint32_t i = 0; i < c->n_outputs; i++) {
        mil_tensor *t = &c->t[c->plan->outputs[i]];
        if (outputs[i] && outputs[i]->data == t->data) continue;
        MIL__TRY(fit_output(i, t, given[i], &outputs[i], err));
        if (given[i] || !exchange(c, c->plan->outputs[i], outputs[i])) MIL__TRY(mil_tensor_copy(outputs[i], t, err));
    }
    return MIL_OK;
}

/* What states hold that are not as steps want them, and so were copied before. */
static mil_status return_states(mil__cpu_context *c, mil_tensor *const *inputs, mil_error *err) {
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        bool is_copy = c->staged_in[i] && c->t[c->plan->inputs[i]].data == c->staged_in[i]->data;
        if (is_copy && c->plan->slots[c->plan->inputs[i]].is_state) MIL__TRY(mil_tensor_copy(inputs[i], c->staged_in[i], err));
    }
    return MIL_OK;
}

/* ---- steps ---- */

typedef struct tiles {
    mil__run *run;
    mil__tiles_fn *fn;
    const void *ctx;
} tiles;

enum { TILES_BETWEEN_LOOKS = 4 }; /* at a cancellation: a tile takes a few milliseconds at most */

static void run_lane(void *ctx, size_t begin, size_t end, int lane) {
    const tiles *work = ctx;
    void *scratch = work->run->scratch + (size_t)lane * work->run->scratch_bytes;
    for (size_t at = begin; at < end && !mil__is_cancelled(work->run->cancel); at += TILES_BETWEEN_LOOKS)
        work->fn(work->ctx, at, end - at < TILES_BETWEEN_LOOKS ? end : at + TILES_BETWEEN_LOOKS, scratch);
}

void mil__run_tiles(mil__run *run, size_t n_tiles, mil__tiles_fn *fn, const void *ctx) {
    tiles work = {run, fn, ctx};
    if (run->n_lanes > 1) mil__pool_run(run->n_lanes, n_tiles, run_lane, &work);
    else run_lane(&work, 0, n_tiles, 0);
}

mil_status mil__run_plain(mil__run *run, const mil__step *step) {
    mil__call *call = &run->context->calls[step->call];
    mil__mark mark = mil__arena_mark(call->arena);
    call->err = run->err;
    mil_status status = call->op->eval(call);
    mil__arena_rewind(call->arena, mark);
    return status;
}

static const mil__op *op_of(const mil__cpu_plan *plan, const mil__step *step) {
    return step && step->n_covers ? plan->program->ops[step->covers[0]] : NULL;
}

static const char *result_of(const mil__cpu_plan *plan, const mil__op *op) {
    const char *name = mil__result_name(plan->program, op);
    return name ? name : "";
}

/* The operation, its result, and the script's line, for an error that has none of them. */
static void locate(mil_error *err, const mil__cpu_plan *plan, const mil__op *op) {
    if (!err || !op) return;
    if (err->code == MIL_ENOMEM && !err->op[0]) mil__fail(err, MIL_ENOMEM, "%s: out of memory", op->decl->name);
    if (!err->op[0]) snprintf(err->op, sizeof err->op, "%s", op->decl->name);
    if (!err->value[0]) snprintf(err->value, sizeof err->value, "%s", result_of(plan, op));
    if (err->line || !op->file) return;
    snprintf(err->file, sizeof err->file, "%s", op->file);
    err->line = op->line;
}

/* Stopped in step i: the loop around it is what does not end, if there is one. */
static mil_status cancelled(const mil__run *run, const mil__cpu_plan *plan, uint32_t i) {
    const mil__step *loop = mil__loop_around(plan, i);
    const mil__op *op = op_of(plan, loop ? loop : plan->n_steps ? &plan->steps[i] : NULL);
    if (!op) return mil__fail(run->err, MIL_ECANCELLED, "run: cancelled");
    mil__fail(run->err, MIL_ECANCELLED, "run: cancelled in %s %s", op->decl->name, result_of(plan, op));
    locate(run->err, plan, op);
    return MIL_ECANCELLED;
}

static mil_status walk(mil__run *run, const mil__cpu_plan *plan) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < plan->n_steps && !mil__is_cancelled(run->cancel); i = run->next) {
        at = i;
        run->next = i + 1;
        mil_status status = plan->steps[i].run(run, &plan->steps[i]);
        if (status == MIL_OK) continue;
        locate(run->err, plan, op_of(plan, &plan->steps[i]));
        return status;
    }
    return mil__is_cancelled(run->cancel) ? cancelled(run, plan, at) : MIL_OK;
}

mil_status mil__cpu_run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                        const mil__cancel *cancel, mil_error *err) {
    mil__cpu_context *c = context;
    if (!c->model->is_static) MIL__TRY(find_plan(c, inputs, err));
    const mil__cpu_plan *plan = c->plan;
    MIL__TRY(bind_inputs(c, inputs, err));
    MIL__TRY(bind_outputs(c, inputs, given, outputs, err));
    for (uint32_t i = 0; i < plan->n_fixups; i++)
        c->t[plan->fixups[i].alias].data = (char *)c->t[plan->fixups[i].root].data + plan->fixups[i].shift;
    mil__run run = {.t = c->t, .scratch = aligned(c->memory) + plan->arena_bytes, .scratch_bytes = plan->scratch_bytes,
                    .n_lanes = c->model->n_lanes, .cancel = cancel, .err = err, .context = c};
    if (c->model->options.memory_limit) mil__dynamic_give_back(c); /* what another run needed does not count in this one */
    mil_status status = walk(&run, plan);
    if (status == MIL_OK) status = deliver(c, given, outputs, err);
    if (status == MIL_OK) status = return_states(c, inputs, err);
    if (status != MIL_OK) mil__dynamic_give_back(c);
    return status;
}
