/* SPDX-License-Identifier: MIT */
/* Dividing a function between two engines. Each operation gets a level, the lowest that is not below those of what it uses, odd where
 * the engine takes it and even where it does not:
 *
 *     a (taken) 1 ─ b (taken) 1 ─ c (not) 2 ─ e (taken) 3
 *                  d (not) 0 ──────────────────┘
 *
 * What has one level is one part: nothing in it can depend on itself by way of another part, since levels never fall along the way. So
 * the parts are as large, and as few, as the order of things allows. Operations on states keep their order. */
#include "passes/partition.h"

typedef struct dividing {
    const mil_program *program;
    const mil__block *body;
    mil_block function;
    bool (*takes)(void *ctx, mil_operation operation);
    void *ctx;
    uint32_t *level;          /* by operation, + 1; 0: of no part */
    mil_operation *next;      /* by operation: the next of its part */
    uint32_t *met;            /* by value: the round in which a part was last seen to use it */
    uint32_t round;
    bool *crosses;            /* by value: it is used beyond its part */
    uint32_t n_levels, state_level;
    mil__partition *out;
    uint32_t *part_of;        /* by level */
    mil_error *err;
} dividing;

/* ---- what an operation uses of the function's body ---- */

typedef void use_fn(dividing *d, mil_operation user, mil_value value);

static void each_use(dividing *d, mil_operation user, const mil__op *op, use_fn *use) {
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++)
            if (d->program->values[op->args[a].values[i]]->block == d->function) use(d, user, op->args[a].values[i]);
    for (uint16_t b = 0; b < op->n_blocks; b++) {
        const mil__block *block = d->program->blocks[op->blocks[b]];
        for (mil_operation at = block->first; at; at = d->program->ops[at]->next) each_use(d, user, d->program->ops[at], use);
        for (uint32_t i = 0; i < block->n_outputs; i++)
            if (d->program->values[block->outputs[i]]->block == d->function) use(d, user, block->outputs[i]);
    }
}

/* ---- levels ---- */

/* Is all that it gives known when the program is made? Then it goes along with what uses it. */
static bool is_known(const dividing *d, const mil__op *op) {
    if (op->n_outputs == 0) return false;
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const mil__value *value = d->program->values[op->outputs[i]];
        if (!value->is_const || value->is_output) return false;
    }
    return true;
}

static bool is_state(const dividing *d, mil_value value) { return d->program->values[value]->type->kind == MIL_STATE; }

static void rise(dividing *d, mil_operation user, mil_value value) {
    mil_operation maker = d->program->values[value]->op;
    uint32_t wanted = is_state(d, value) ? d->state_level : maker ? d->level[maker] : 0;
    if (wanted > d->level[user]) d->level[user] = wanted;
}

static void note_state(dividing *d, mil_operation user, mil_value value) {
    if (is_state(d, value)) d->state_level = d->level[user];
}

static void give_levels(dividing *d) {
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next) {
        const mil__op *op = d->program->ops[at];
        if (is_known(d, op)) continue;
        bool is_taken = op->decl != mil__op_const() && d->takes(d->ctx, at);
        d->level[at] = 1;
        each_use(d, at, op, rise);
        if (((d->level[at] - 1) % 2 == 1) != is_taken) d->level[at]++;
        each_use(d, at, op, note_state);
        if (d->level[at] > d->n_levels) d->n_levels = d->level[at];
    }
}

/* ---- parts ---- */

/* The operations of a part, one after the other. */
typedef struct chain {
    mil_operation first, last;
} chain;

static mil_status make_parts(dividing *d) {
    mil__arena *arena = &d->out->arena;
    d->part_of = mil__arena_zero(arena, (size_t)d->n_levels + 1, sizeof *d->part_of);
    d->out->parts = mil__arena_zero(arena, (size_t)d->n_levels + 1, sizeof *d->out->parts);
    bool *used = mil__arena_zero(arena, (size_t)d->n_levels + 1, sizeof *used);
    if (!d->part_of || !d->out->parts || !used) return mil__nomem(d->err);
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next)
        if (d->level[at]) used[d->level[at] - 1] = true;
    for (uint32_t i = 0; i < d->n_levels; i++) {
        if (!used[i]) continue;
        d->part_of[i] = d->out->n;
        d->out->parts[d->out->n++].is_taken = i % 2 == 1;
    }
    return MIL_OK;
}

static mil__partition_part *part_of(const dividing *d, mil_operation operation) {
    return &d->out->parts[d->part_of[d->level[operation] - 1]];
}

/* Is the value to be given to the part that uses it, from elsewhere? */
static bool is_from_elsewhere(const dividing *d, mil_operation user, mil_value value) {
    mil_operation maker = d->program->values[value]->op;
    return !maker || (d->level[maker] && d->level[maker] != d->level[user]);
}

/* Met by the part for the first time in this round (twice a part: to count, to fill). */
static bool is_new(dividing *d, mil_value value, uint32_t round) {
    if (d->met[value] == round) return false;
    d->met[value] = round;
    return true;
}

static void count_input(dividing *d, mil_operation user, mil_value value) {
    if (!is_from_elsewhere(d, user, value) || !is_new(d, value, d->round)) return;
    d->crosses[value] = true;
    part_of(d, user)->n_inputs++;
}

static void add_input(dividing *d, mil_operation user, mil_value value) {
    mil__partition_part *part = part_of(d, user);
    if (is_from_elsewhere(d, user, value) && is_new(d, value, d->round)) part->inputs[part->n_inputs++] = value;
}

static void link_operations(dividing *d, chain *chains) {
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next) {
        if (!d->level[at]) continue;
        chain *c = &chains[d->part_of[d->level[at] - 1]];
        if (c->last) d->next[c->last] = at;
        else c->first = at;
        c->last = at;
        mil__partition_part *part = part_of(d, at);
        if (part->n_operations++ == 0) part->first = at;
    }
}

static mil_status find_inputs(dividing *d, const chain *chains) {
    for (uint32_t p = 0; p < d->out->n; p++) {
        mil__partition_part *part = &d->out->parts[p];
        d->round++;
        for (mil_operation at = chains[p].first; at; at = d->next[at]) each_use(d, at, d->program->ops[at], count_input);
        part->inputs = mil__arena_zero(&d->out->arena, (size_t)part->n_inputs + 1, sizeof *part->inputs);
        if (!part->inputs) return mil__nomem(d->err);
        part->n_inputs = 0;
        d->round++;
        for (mil_operation at = chains[p].first; at; at = d->next[at]) each_use(d, at, d->program->ops[at], add_input);
    }
    return MIL_OK;
}

/* When all inputs are found: what another part uses, or the function gives. */
static mil_status find_outputs(dividing *d, const chain *chains) {
    for (uint32_t p = 0; p < d->out->n; p++) {
        mil__partition_part *part = &d->out->parts[p];
        uint32_t most = 0;
        for (mil_operation at = chains[p].first; at; at = d->next[at]) most += d->program->ops[at]->n_outputs;
        part->outputs = mil__arena_zero(&d->out->arena, (size_t)most + 1, sizeof *part->outputs);
        if (!part->outputs) return mil__nomem(d->err);
        for (mil_operation at = chains[p].first; at; at = d->next[at]) {
            const mil__op *op = d->program->ops[at];
            for (uint32_t i = 0; i < op->n_outputs; i++)
                if (d->crosses[op->outputs[i]] || d->program->values[op->outputs[i]]->is_output) part->outputs[part->n_outputs++] = op->outputs[i];
        }
    }
    return MIL_OK;
}

static mil_status divide(dividing *d) {
    give_levels(d);
    MIL__TRY(make_parts(d));
    chain *chains = mil__arena_zero(&d->out->arena, (size_t)d->out->n + 1, sizeof *chains);
    if (!chains) return mil__nomem(d->err);
    link_operations(d, chains);
    MIL__TRY(find_inputs(d, chains));
    return find_outputs(d, chains);
}

mil_status mil__partition_make(const mil_program *program, mil_block function, bool (*takes)(void *ctx, mil_operation operation), void *ctx,
                               mil__partition *out, mil_error *err) {
    dividing d = {.program = program, .body = program->blocks[function], .function = function, .takes = takes, .ctx = ctx, .out = out, .err = err};
    *out = (mil__partition){0};
    d.level = mil__calloc(program->n_ops, sizeof *d.level);
    d.next = mil__calloc(program->n_ops, sizeof *d.next);
    d.met = mil__calloc(program->n_values, sizeof *d.met);
    d.crosses = mil__calloc(program->n_values, sizeof *d.crosses);
    mil_status status = d.level && d.next && d.met && d.crosses ? divide(&d) : mil__nomem(err);
    mil__free(d.level);
    mil__free(d.next);
    mil__free(d.met);
    mil__free(d.crosses);
    if (status != MIL_OK) mil__partition_free(out);
    return status;
}

void mil__partition_free(mil__partition *partition) {
    mil__arena_free(&partition->arena);
    *partition = (mil__partition){0};
}
