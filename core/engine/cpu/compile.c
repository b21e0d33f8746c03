/* SPDX-License-Identifier: MIT */
/* From a program to a plan: slots for values, groups of operations, a step a group, and memory. */
#include <stdio.h>

#include "engine/cpu/compressed.h"
#include "engine/cpu/plan.h"
#include "engine/cpu/steps.h"
#include "passes/pass.h"

enum { NO_SLOT = UINT32_MAX };

/* ---- memory of the plan ---- */

void *mil__lower_alloc(mil__lower *lower, size_t bytes) { return mil__arena_zero(&lower->plan->arena, 1, bytes); }

static void *aligned(char *memory) { return (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63); }

mil_status mil__lower_own(mil__lower *lower, size_t bytes, void **out) {
    mil__cpu_plan *plan = lower->plan;
    if (plan->n_owned == plan->cap_owned) {
        uint32_t cap = plan->cap_owned ? plan->cap_owned * 2 : 16;
        void **grown = mil__realloc(plan->owned, cap * sizeof *grown);
        if (!grown) return mil__nomem(lower->err);
        plan->owned = grown;
        plan->cap_owned = cap;
    }
    char *memory = mil__alloc(bytes + 63);
    if (!memory) return mil__nomem(lower->err);
    plan->owned[plan->n_owned++] = memory;
    plan->weight_bytes += bytes;
    *out = aligned(memory);
    return MIL_OK;
}

static bool same_packed(const void *ctx, uint32_t number, const void *wanted) {
    const mil__packed *a = &((const mil__cpu_model *)ctx)->packed[number], *b = wanted;
    return a->source == b->source && a->dtype == b->dtype && memcmp(a->key, b->key, sizeof a->key) == 0;
}

mil_status mil__lower_packed(mil__lower *lower, const mil_tensor *source, const int64_t key[MIL__PACKED_KEY], size_t bytes,
                             void **out, bool *fresh) {
    mil__cpu_model *model = lower->model;
    mil__packed wanted = {.source = source->data, .buffer = source->buffer, .dtype = source->dtype};
    *fresh = true;
    if (!source->buffer || !mil__cpu_is_own(model, source->buffer)) return mil__lower_own(lower, bytes, out); /* made for this plan */
    memcpy(wanted.key, key, sizeof wanted.key);
    uint64_t hash = mil__hash(&wanted.source, sizeof wanted.source) + mil__hash(wanted.key, sizeof wanted.key);
    uint32_t at = mil__map_find(&model->packed_map, hash, same_packed, model, &wanted);
    *fresh = at == MIL__NOT_FOUND;
    if (!*fresh) {
        *out = aligned(model->packed[at].memory);
        return MIL_OK;
    }
    if (model->n_packed == model->cap_packed) {
        uint32_t cap = model->cap_packed ? model->cap_packed * 2 : 16;
        mil__packed *grown = mil__realloc(model->packed, cap * sizeof *grown);
        if (!grown) return mil__nomem(lower->err);
        model->packed = grown;
        model->cap_packed = cap;
    }
    wanted.memory = mil__alloc(bytes + 63);
    if (!wanted.memory || !mil__map_add(&model->packed_map, hash, model->n_packed)) {
        mil__free(wanted.memory);
        return mil__nomem(lower->err);
    }
    mil_buffer_retain(wanted.buffer);
    model->packed[model->n_packed++] = wanted;
    model->packed_bytes += bytes;
    *out = aligned(wanted.memory);
    return MIL_OK;
}

void mil__cpu_packed_free(mil__cpu_model *model) {
    for (uint32_t i = 0; i < model->n_packed; i++) {
        mil__free(model->packed[i].memory);
        mil_buffer_free(model->packed[i].buffer);
    }
    mil__free(model->packed);
    mil__map_free(&model->packed_map);
    model->packed = NULL;
    model->n_packed = model->cap_packed = 0;
}

void mil__cpu_plan_free(mil__cpu_plan *plan) {
    if (!plan) return;
    for (uint32_t i = 0; i < plan->n_owned; i++) mil__free(plan->owned[i]);
    mil__free(plan->owned);
    mil__free(plan->slots);
    mil__free(plan->steps);
    mil__free(plan->key);
    mil_program_free(plan->program);
    mil__arena_free(&plan->arena);
    mil__free(plan);
}

mil__storage mil__storage_of(mil_dtype dtype) {
    return dtype == MIL_FP16 ? MIL__F16 : dtype == MIL_INT32 ? MIL__I32 : dtype == MIL_BOOL ? MIL__U8 : MIL__F32;
}

mil_status mil__lower_floats(mil__lower *lower, const mil_tensor *data, const float **out) {
    if (data->dtype == MIL_FP32 && mil__is_contiguous(data)) {
        *out = data->data; /* the program keeps it */
        return MIL_OK;
    }
    void *floats;
    MIL__TRY(mil__lower_own(lower, (size_t)mil__numel(data) * sizeof(float), &floats));
    mil_tensor tensor;
    mil__tensor_init(&tensor, MIL_FP32, data->rank, data->shape, floats);
    MIL__TRY(mil_tensor_copy(&tensor, data, lower->err));
    *out = floats;
    return MIL_OK;
}

mil_status mil__lower_params(mil__lower *lower, const mil__op *op, const void **out) {
    mil__call call = {.op = op->decl, .opset = lower->program->functions[0].opset, .types = lower->program->types,
                      .arena = &lower->plan->arena, .err = lower->err};
    MIL__TRY(mil__call_of(lower->program, op, &call));
    MIL__TRY(op->decl->infer(&call));
    *out = call.params;
    return MIL_OK;
}

/* ---- slots ---- */

static mil_status new_slot(mil__lower *lower, uint32_t *out) {
    mil__cpu_plan *plan = lower->plan;
    if (plan->n_slots == lower->cap_slots) {
        uint32_t cap = lower->cap_slots ? lower->cap_slots * 2 : 64;
        mil__slot *grown = mil__realloc(plan->slots, cap * sizeof *grown);
        if (!grown) return mil__nomem(lower->err);
        plan->slots = grown;
        lower->cap_slots = cap;
    }
    plan->slots[plan->n_slots] = (mil__slot){.root = plan->n_slots, .first = NO_SLOT, .until = lower->group};
    *out = plan->n_slots++;
    return MIL_OK;
}

mil_status mil__slot_new(mil__lower *lower, mil_dtype dtype, int rank, const int64_t *shape, uint32_t *out) {
    int64_t n = 0;
    uint32_t slot = NO_SLOT;
    MIL__TRY(new_slot(lower, &slot));
    mil__slot *s = &lower->plan->slots[slot];
    s->dtype = dtype;
    s->rank = rank;
    if (rank) memcpy(s->shape, shape, (size_t)rank * sizeof *shape);
    s->kind = MIL__SLOT_ARENA;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0) s->kind = MIL__SLOT_DYNAMIC;
    lower->plan->is_dynamic |= s->kind == MIL__SLOT_DYNAMIC;
    bool fits = s->kind == MIL__SLOT_DYNAMIC ||
                (mil__shape_numel(rank, shape, &n) && mil__dtype_bytes(dtype, n, &s->bytes));
    if (!fits) return mil__fail(lower->err, MIL_ELIMIT, "compile: a value of %s%s is too large for memory", mil_dtype_name(dtype), MIL__SHAPE_TEXT(rank, shape));
    *out = slot;
    return MIL_OK;
}

void mil__slot_make_dynamic(mil__lower *lower, uint32_t slot) {
    lower->plan->slots[slot].kind = MIL__SLOT_DYNAMIC;
    lower->plan->slots[slot].bytes = 0;
    lower->plan->is_dynamic = true;
}

/* A const that is not dense is copied once. */
static mil_status const_slot(mil__lower *lower, mil__slot *slot, const mil_tensor *data) {
    slot->kind = MIL__SLOT_CONST;
    slot->data = data;
    if (mil__is_contiguous(data)) return MIL_OK;
    void *memory;
    MIL__TRY(mil__lower_own(lower, slot->bytes, &memory));
    mil_tensor *dense = mil__lower_alloc(lower, sizeof *dense);
    if (!dense) return mil__nomem(lower->err);
    mil__tensor_init(dense, data->dtype, data->rank, data->shape, memory);
    slot->data = dense;
    return mil_tensor_copy(dense, data, lower->err);
}

static mil_status list_slot(mil__lower *lower, const mil__value *v, uint32_t *out);

static mil_status slot_for_value(mil__lower *lower, mil_value value) {
    const mil__value *v = lower->program->values[value];
    const mil_type *type = v->type->kind == MIL_STATE ? v->type->items[0] : v->type; /* a state is an input that is written */
    uint32_t slot = NO_SLOT;
    bool is_string = type->dtype == MIL_STRING;
    int64_t none = 0; /* strings are consts, and take no memory of the run */
    if (type->kind == MIL_LIST) MIL__TRY(list_slot(lower, v, &slot));
    else if (type->kind != MIL_TENSOR)
        return mil__fail(lower->err, MIL_EUNSUPPORTED, "compile: the cpu engine does not run %s: %s",
                         MIL__TYPE_TEXT(lower->program->types, v->type), v->name ? v->name : "a value");
    else MIL__TRY(mil__slot_new(lower, is_string ? MIL_BOOL : type->dtype, is_string ? 1 : type->rank,
                                is_string ? &none : type->shape, &slot));
    lower->slot_of[value] = slot;
    mil__slot *s = &lower->plan->slots[slot];
    s->value = value;
    s->is_state = v->type->kind == MIL_STATE;
    bool is_const = v->op && lower->program->ops[v->op]->decl == mil__op_const();
    return is_const ? const_slot(lower, s, v->data) : MIL_OK;
}

/* A list is a tensor of its elements along a first axis that grows. */
static mil_status list_slot(mil__lower *lower, const mil__value *v, uint32_t *out) {
    const mil_type *element = v->type->items[0];
    int64_t shape[MIL_MAX_RANK] = {-1};
    if (element->kind != MIL_TENSOR || element->dtype == MIL_STRING || element->rank >= MIL_MAX_RANK || v->is_const)
        return mil__fail(lower->err, MIL_EUNSUPPORTED, "compile: the cpu engine does not run %s: %s",
                         MIL__TYPE_TEXT(lower->program->types, v->type), v->name ? v->name : "a value");
    for (int i = 0; i < element->rank; i++) shape[i + 1] = element->shape[i];
    return mil__slot_new(lower, element->dtype, element->rank + 1, shape, out);
}

static mil_status slots_for_block(mil__lower *lower, const mil__block *block);

/* The variables of a loop have one slot each: as inputs of both blocks, and as its results. */
static mil_status slots_for_nested(mil__lower *lower, const mil__op *op) {
    const mil_program *program = lower->program;
    if (op->decl->flags & MIL__LOOP) {
        const mil__block *decide = program->blocks[op->blocks[0]], *body = program->blocks[op->blocks[1]];
        for (uint32_t i = 0; i < body->n_inputs; i++) {
            MIL__TRY(slot_for_value(lower, body->inputs[i]));
            lower->slot_of[decide->inputs[i]] = lower->slot_of[op->outputs[i]] = lower->slot_of[body->inputs[i]];
        }
    } else {
        for (uint32_t i = 0; i < op->n_outputs; i++) MIL__TRY(slot_for_value(lower, op->outputs[i]));
    }
    for (int b = 0; b < op->n_blocks; b++) MIL__TRY(slots_for_block(lower, program->blocks[op->blocks[b]]));
    return MIL_OK;
}

static mil_status slots_for_block(mil__lower *lower, const mil__block *block) {
    for (mil_operation at = block->first; at; at = lower->program->ops[at]->next) {
        const mil__op *op = lower->program->ops[at];
        if (op->n_blocks) MIL__TRY(slots_for_nested(lower, op));
        else for (uint32_t i = 0; i < op->n_outputs; i++) MIL__TRY(slot_for_value(lower, op->outputs[i]));
    }
    return MIL_OK;
}

static mil_status slots_for_values(mil__lower *lower, const mil__block *body) {
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        MIL__TRY(slot_for_value(lower, body->inputs[i]));
        lower->plan->slots[lower->slot_of[body->inputs[i]]].kind = MIL__SLOT_INPUT;
    }
    return slots_for_block(lower, body);
}

uint32_t mil__slot_of(mil__lower *lower, mil_value value) { return lower->slot_of[value]; }

void mil__slot_alias(mil__lower *lower, uint32_t to, uint32_t from, size_t shift) {
    mil__slot *slots = lower->plan->slots, *root = &slots[slots[from].root];
    slots[to].kind = MIL__SLOT_ALIAS;
    slots[to].root = slots[from].root;
    slots[to].shift = slots[from].shift + shift;
    if (slots[to].until > root->until) root->until = slots[to].until;
}

/* ---- steps ---- */

static void touch(mil__slot *slots, uint32_t slot, uint32_t step) {
    mil__slot *root = &slots[slots[slot].root];
    if (root->first == NO_SLOT) root->first = step;
    root->last = step;
}

mil_status mil__lower_step(mil__lower *lower, const mil__group *group, const mil__step *step) {
    mil__cpu_plan *plan = lower->plan;
    if (plan->n_steps == lower->cap_steps) {
        uint32_t cap = lower->cap_steps ? lower->cap_steps * 2 : 64;
        mil__step *grown = mil__realloc(plan->steps, cap * sizeof *grown);
        if (!grown) return mil__nomem(lower->err);
        plan->steps = grown;
        lower->cap_steps = cap;
    }
    mil__step *to = &plan->steps[plan->n_steps];
    *to = *step;
    to->loop = lower->loop;
    if (group) {
        to->covers = mil__arena_copy(&plan->arena, group->ops, group->n_ops * sizeof *group->ops);
        if (!to->covers) return mil__nomem(lower->err);
        to->n_covers = group->n_ops;
    }
    for (uint32_t i = 0; i < step->n_in; i++) touch(plan->slots, step->in[i], plan->n_steps);
    for (uint32_t i = 0; i < step->n_out; i++) touch(plan->slots, step->out[i], plan->n_steps);
    if (step->scratch > plan->scratch_bytes) plan->scratch_bytes = step->scratch;
    plan->n_steps++;
    return MIL_OK;
}

bool mil__slot_take_over(mil__lower *lower, uint32_t out, uint32_t in) {
    mil__slot *slots = lower->plan->slots;
    mil__slot *from = &slots[slots[in].root], *to = &slots[out];
    bool can = from->kind == MIL__SLOT_ARENA && to->kind == MIL__SLOT_ARENA && to->root == out &&
               from->bytes == to->bytes && slots[in].bytes == from->bytes && from->until <= lower->group &&
               from->first != NO_SLOT;
    if (can) mil__slot_alias(lower, out, in, 0);
    return can;
}

/* ---- ports ---- */

typedef struct copy_bytes {
    size_t bytes;
} copy_bytes;

static mil_status run_copy_bytes(mil__run *run, const mil__step *step) {
    const copy_bytes *params = step->params;
    if (params->bytes) memcpy(run->t[step->out[0]].data, run->t[step->in[0]].data, params->bytes);
    return MIL_OK;
}

/* An output that is an input, a const, part of something else, or an output already, is copied to memory of its own. */
static mil_status output_slot(mil__lower *lower, mil_value value, uint32_t *out) {
    uint32_t slot = lower->slot_of[value];
    MIL__TRY(mil__slot_dense(lower, &slot));
    mil__slot *s = &lower->plan->slots[slot], *root = &lower->plan->slots[s->root];
    if (root->kind == MIL__SLOT_DYNAMIC) {
        *out = slot;
        return MIL_OK;
    }
    if (root->kind == MIL__SLOT_ARENA && s->bytes == root->bytes && s->shift == 0) {
        root->kind = MIL__SLOT_OUTPUT;
        *out = slot;
        return MIL_OK;
    }
    uint32_t *ends = mil__lower_alloc(lower, 2 * sizeof *ends);
    copy_bytes *params = mil__lower_alloc(lower, sizeof *params);
    if (!ends || !params) return mil__nomem(lower->err);
    ends[0] = slot;
    params->bytes = s->bytes;
    int64_t shape[MIL_MAX_RANK];
    memcpy(shape, s->shape, sizeof shape);
    MIL__TRY(mil__slot_new(lower, s->dtype, s->rank, shape, &ends[1]));
    lower->plan->slots[ends[1]].kind = MIL__SLOT_OUTPUT;
    *out = ends[1];
    mil__step step = {.run = run_copy_bytes, .params = params, .in = &ends[0], .n_in = 1, .out = &ends[1], .n_out = 1,
                      .kernel = "copy"};
    return mil__lower_step(lower, NULL, &step);
}

static mil_status make_ports(mil__lower *lower, const mil__block *body) {
    mil__cpu_plan *plan = lower->plan;
    plan->n_inputs = body->n_inputs;
    plan->n_outputs = body->n_outputs;
    plan->inputs = mil__lower_alloc(lower, plan->n_inputs * sizeof *plan->inputs);
    plan->outputs = mil__lower_alloc(lower, plan->n_outputs * sizeof *plan->outputs);
    if (!plan->inputs || !plan->outputs) return mil__nomem(lower->err);
    for (uint32_t i = 0; i < plan->n_inputs; i++) plan->inputs[i] = lower->slot_of[body->inputs[i]];
    for (uint32_t i = 0; i < plan->n_outputs; i++) MIL__TRY(output_slot(lower, body->outputs[i], &plan->outputs[i]));
    return MIL_OK;
}

/* ---- memory ---- */

static mil_status place(mil__lower *lower) {
    mil__cpu_plan *plan = lower->plan;
    mil__lifetime *lives = mil__alloc((plan->n_slots + 1) * sizeof *lives);
    uint32_t *slot_of = mil__alloc((plan->n_slots + 1) * sizeof *slot_of), n = 0;
    mil_status status = lives && slot_of ? MIL_OK : mil__nomem(lower->err);
    if (status == MIL_OK) {
        for (uint32_t i = 0; i < plan->n_slots; i++) {
            const mil__slot *slot = &plan->slots[i];
            if (slot->kind != MIL__SLOT_ARENA || slot->first == NO_SLOT) continue;
            slot_of[n] = i;
            lives[n++] = (mil__lifetime){.bytes = slot->bytes, .first = slot->first, .last = slot->last};
        }
        status = mil__plan(lives, n, plan->n_steps, &plan->arena_bytes, lower->err);
    }
    for (uint32_t i = 0; i < n && status == MIL_OK; i++) plan->slots[slot_of[i]].offset = lives[i].offset;
    mil__free(lives);
    mil__free(slot_of);
    return status;
}

/* Aliases of what has another address in every run. */
static mil_status list_fixups(mil__lower *lower) {
    mil__cpu_plan *plan = lower->plan;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < plan->n_slots; i++) {
            const mil__slot *slot = &plan->slots[i];
            if (slot->kind != MIL__SLOT_ALIAS) continue;
            mil__slot_kind root = plan->slots[slot->root].kind;
            if (root != MIL__SLOT_INPUT && root != MIL__SLOT_OUTPUT) continue;
            if (pass) plan->fixups[n] = (mil__fixup){i, slot->root, slot->shift};
            n++;
        }
        plan->n_fixups = n;
        if (pass == 0) plan->fixups = mil__lower_alloc(lower, n * sizeof *plan->fixups);
        if (!plan->fixups) return mil__nomem(lower->err);
    }
    return MIL_OK;
}

/* ---- all of it ---- */

static mil_status lower_program(mil__lower *lower) {
    mil_block block = lower->program->functions[0].block;
    const mil__block *body = lower->program->blocks[block];
    lower->slot_of = mil__alloc(lower->program->n_values * sizeof *lower->slot_of);
    if (!lower->slot_of) return mil__nomem(lower->err);
    memset(lower->slot_of, 0xff, lower->program->n_values * sizeof *lower->slot_of);
    MIL__TRY(slots_for_values(lower, body));
    MIL__TRY(mil__lower_order(lower, block));
    MIL__TRY(mil__lower_block(lower, block));
    lower->block = block;
    MIL__TRY(make_ports(lower, body));
    mil__extend_lives(lower);
    MIL__TRY(place(lower));
    return list_fixups(lower);
}

/* Remembers the shapes that the plan is for. */
static mil_status make_key(mil__cpu_plan *plan, const mil_type *const *inputs, uint32_t n, mil_error *err) {
    for (uint32_t i = 0; i < n; i++) plan->n_key += (uint32_t)mil_type_rank(inputs[i]);
    plan->key = mil__alloc(plan->n_key * sizeof *plan->key);
    if (!plan->key) return mil__nomem(err);
    int64_t *to = plan->key;
    for (uint32_t i = 0; i < n; i++)
        for (int k = 0; k < mil_type_rank(inputs[i]); k++) *to++ = mil_type_dim(inputs[i], k);
    return MIL_OK;
}

static mil_status make_plan(mil__cpu_model *model, const mil_type *const *inputs, mil__cpu_plan *plan, mil_error *err) {
    const mil_program *from = model->program;
    mil_block function = from->functions[0].block;
    MIL__TRY(make_key(plan, inputs, from->blocks[function]->n_inputs, err));
    MIL__TRY(mil__program_rebuild(from, function, inputs, &plan->program, NULL, err));
    bool strict = model->options.precision == MIL_PRECISION_STRICT;
    if (model->options.optimize) MIL__TRY(mil__passes_run(plan->program, model->disable, strict, err));
    mil__lower lower = {.model = model, .plan = plan, .program = plan->program, .k = model->kernels,
                        .n_lanes = model->n_lanes, .strict = strict,
                        .err = err};
    mil_status status = lower_program(&lower);
    mil__free(lower.slot_of);
    mil__arena_free(&lower.scope_arena);
    return status;
}

mil_status mil__cpu_plan_make(mil__cpu_model *model, const mil_type *const *inputs, mil__cpu_plan **out,
                              mil_error *err) {
    mil__cpu_plan *plan = mil__calloc(1, sizeof *plan);
    if (!plan) return mil__nomem(err);
    mil_status status = make_plan(model, inputs, plan, err);
    if (status != MIL_OK) {
        mil__cpu_plan_free(plan);
        return status;
    }
    *out = plan;
    return MIL_OK;
}
