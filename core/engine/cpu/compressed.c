/* SPDX-License-Identifier: MIT */
/* Weights that stay compressed: the constexpr ops.
 *
 *   constexpr op --> slot of kind COMPRESSED: no step, no memory; what it is expanded from
 *                      |-- linear, matmul, conv ..: their kernels expand it tile by tile; gather: the rows that it takes
 *                      |-- another constexpr op:    that one's slot is COMPRESSED too, expanded from both at once
 *                      '-- whatever else reads it:  before that, a step that expands it to the arena, where its memory is
 *                                                   other values' before and after
 *   sparse op ----> two slots of kind SPARSE, likewise; whatever else reads one: before that, the op as a plain step
 */
#include "engine/cpu/compressed.h"
#include "ops/indices.h"

/* ---- the step ---- */

enum { TILE = 1 << 14 }; /* elements of a tile: whole bytes of every dtype */

typedef struct expand_params {
    const mil__compressed *source;
    void (*store)(const mil__compressed *c, int64_t begin, int64_t n, void *to);
} expand_params;

typedef struct expand_run {
    const expand_params *params;
    char *to;
} expand_run;

static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const expand_run *work = ctx;
    const mil__compressed *c = work->params->source;
    int64_t from = (int64_t)begin * TILE, to = (int64_t)end * TILE < c->n ? (int64_t)end * TILE : c->n;
    (void)scratch;
    work->params->store(c, from, to - from, work->to + (size_t)from * (size_t)mil_dtype_bits(c->dtype) / 8);
}

static mil_status run_expand(mil__run *run, const mil__step *step) {
    const expand_params *params = step->params;
    expand_run work = {params, run->t[step->out[0]].data};
    mil__run_tiles(run, (size_t)((params->source->n + TILE - 1) / TILE), run_tiles, &work);
    return MIL_OK;
}

/* Both results of the operation, in memory. */
static mil_status pair_dense(mil__lower *lower, mil_operation operation) {
    const mil__op *op = lower->program->ops[operation];
    mil__group group = {.kind = MIL__GROUP_ONE, .ops = &operation, .n_ops = 1};
    for (uint32_t i = 0; i < op->n_outputs; i++) lower->plan->slots[mil__slot_of(lower, op->outputs[i])].kind = MIL__SLOT_ARENA;
    return mil__select_apart(lower, &group);
}

/* A value of an outer block is expanded for this one alone, whose steps may run never, or often. */
static mil_status own_slot(mil__lower *lower, uint32_t *slot) {
    mil__slot was = lower->plan->slots[*slot];
    mil__expanded *expanded = mil__arena_alloc(&lower->scope_arena, sizeof *expanded);
    if (!expanded) return mil__nomem(lower->err);
    *expanded = (mil__expanded){was.value, *slot, lower->expanded};
    MIL__TRY(mil__slot_new(lower, was.dtype, was.rank, was.shape, slot));
    mil__slot *own = &lower->plan->slots[*slot];
    own->kind = MIL__SLOT_COMPRESSED;
    own->source = was.source;
    own->value = was.value;
    lower->slot_of[was.value] = *slot;
    lower->expanded = expanded;
    return MIL_OK;
}

mil_status mil__slot_dense(mil__lower *lower, uint32_t *slot) {
    mil__slot *s = &lower->plan->slots[*slot];
    if (s->kind == MIL__SLOT_SPARSE) return pair_dense(lower, lower->program->values[s->value]->op);
    if (s->kind != MIL__SLOT_COMPRESSED) return MIL_OK;
    if (lower->program->values[s->value]->block != lower->block) MIL__TRY(own_slot(lower, slot));
    s = &lower->plan->slots[*slot];
    expand_params *params = mil__lower_alloc(lower, sizeof *params);
    uint32_t *out = mil__lower_alloc(lower, sizeof *out);
    if (!params || !out) return mil__nomem(lower->err);
    *params = (expand_params){s->source, lower->k->expand_store};
    *out = *slot;
    s->kind = MIL__SLOT_ARENA;
    mil__group group = {.kind = MIL__GROUP_ONE, .ops = &lower->program->values[s->value]->op, .n_ops = 1};
    mil__step step = {.run = run_expand, .params = params, .out = out, .n_out = 1, .kernel = "expand"};
    return mil__lower_step(lower, &group, &step);
}

mil_status mil__group_dense(mil__lower *lower, const mil__group *group, const char *but) {
    for (uint32_t k = 0; k < group->n_ops; k++) {
        const mil__op *op = lower->program->ops[group->ops[k]];
        for (uint16_t a = 0; a < op->n_args; a++) {
            bool stays = k == 0 && but && strncmp(mil__op_slot_name(op->decl, op->args[a].slot), but, strlen(but)) == 0;
            for (uint32_t i = 0; i < op->args[a].n; i++) {
                uint32_t slot = mil__slot_of(lower, op->args[a].values[i]);
                bool is_sparse = mil__slot_at(lower, slot)->kind == MIL__SLOT_SPARSE;
                if (!stays || (is_sparse && *but)) MIL__TRY(mil__slot_dense(lower, &slot));
            }
        }
    }
    return MIL_OK;
}

/* ---- gather of a compressed x, along its first axis ---- */

typedef struct gather_params {
    const mil__compressed *source;
    void (*store)(const mil__compressed *c, int64_t begin, int64_t n, void *to);
    mil__index_rule rule;
    const mil_type *x;
    int64_t rows, row;            /* of x, and elements of one */
} gather_params;

static mil_status run_gather(mil__run *run, const mil__step *step) {
    const gather_params *p = step->params;
    const mil_tensor *indices = &run->t[step->in[0]];
    char *to = run->t[step->out[0]].data;
    size_t bytes = (size_t)p->row * ((size_t)mil_dtype_bits(p->source->dtype) / 8);
    for (int64_t i = 0, at; i < mil__numel(indices); i++, to += bytes) {
        int64_t index = mil__load_i64(indices, i);
        if (!mil__index_place(p->rule, index, p->rows, &at))
            return mil__fail(run->err, MIL_EVALUE, "gather: index %lld is outside of axis 0 of x %s%s", (long long)index,
                             mil_dtype_name(p->x->dtype), MIL__SHAPE_TEXT(p->x->rank, p->x->shape));
        p->store(p->source, at * p->row, p->row, to);
    }
    return MIL_OK;
}

mil_status mil__select_gather(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    mil_value x = mil__op_arg_named(op, "x")->values[0];
    const mil__compressed *source = mil__source_of(lower, mil__slot_of(lower, x));
    const mil_type *type = lower->program->values[x]->type;
    const void *inferred;
    MIL__TRY(mil__lower_params(lower, op, &inferred));
    const struct mil__gather_params *given = inferred;
    if (!source || given->axis != 0) return MIL_OK;
    gather_params *params = mil__lower_alloc(lower, sizeof *params);
    uint32_t *ends = mil__lower_alloc(lower, 2 * sizeof *ends);
    if (!params || !ends) return mil__nomem(lower->err);
    *params = (gather_params){source, lower->k->expand_store, given->rule, type, type->shape[0], source->n / type->shape[0]};
    ends[0] = mil__slot_of(lower, mil__op_arg_named(op, "indices")->values[0]);
    ends[1] = mil__slot_of(lower, op->outputs[0]);
    mil__step step = {.run = run_gather, .params = params, .in = ends, .n_in = 1, .out = ends + 1, .n_out = 1,
                      .kernel = "gather, compressed"};
    *done = true;
    return mil__lower_step(lower, group, &step);
}

/* ---- the ops ---- */

/* By slot of the op: what operands without data are expanded from. False: one is not known at all. */
static bool find_sources(mil__lower *lower, const mil__op *op, mil__source *sources) {
    bool found = true;
    for (uint16_t a = 0; a < op->n_args; a++) {
        mil_value value = op->args[a].values[0];
        const mil__value *v = lower->program->values[value];
        const mil__slot *slot = mil__slot_at(lower, mil__slot_of(lower, value));
        mil__source *to = &sources[op->args[a].slot];
        if (v->data) continue;
        if (slot->pair) *to = (mil__source){slot->pair, v->index ? MIL__VALUES : MIL__MASK};
        else *to = (mil__source){slot->source, MIL__DENSE};
        found = found && to->from;
    }
    return found;
}

mil_status mil__select_constexpr(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    mil__source sources[MIL__MAX_INPUTS] = {{0}};
    mil__call call = {.op = op->decl, .opset = lower->program->functions[0].opset, .types = lower->program->types,
                      .arena = &lower->plan->arena, .err = lower->err};
    if (!find_sources(lower, op, sources)) return MIL_OK;
    MIL__TRY(mil__call_of(lower->program, op, &call));
    MIL__TRY(op->decl->infer(&call));
    mil__compressed *source = mil__lower_alloc(lower, sizeof *source);
    if (!source) return mil__nomem(lower->err);
    size_t held = mil__arena_used(&lower->plan->arena);
    MIL__TRY(mil__compressed_open(&call, sources, &lower->plan->arena, source, done));
    lower->plan->weight_bytes += mil__arena_used(&lower->plan->arena) - held; /* scales and palettes as floats, where masks begin */
    for (uint32_t i = 0; *done && i < op->n_outputs; i++) {
        mil__slot *slot = &lower->plan->slots[mil__slot_of(lower, op->outputs[i])];
        slot->kind = op->n_outputs == 1 ? MIL__SLOT_COMPRESSED : MIL__SLOT_SPARSE;
        if (op->n_outputs == 1) slot->source = source;
        else slot->pair = source;
    }
    return MIL_OK;
}
