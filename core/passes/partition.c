/* SPDX-License-Identifier: MIT */
/* Dividing a function between two engines. Each operation gets a level, the lowest that is not below those of what it uses, odd where
 * the engine takes it and even where it does not:
 *
 *     a (taken) 1 ─ b (taken) 1 ─ c (not) 2 ─ e (taken) 3
 *                  d (not) 0 ──────────────────┘
 *
 * What has one level is one part: nothing in it can depend on itself by way of another part, since levels never fall along the way. So
 * the parts are as large, and as few, as the order of things allows. Operations on states keep their order.
 *
 * A value that no port can be (a list) ties its maker to its users. Unless the engine takes everything, what is tied is the
 * cpu's, and so is what stands between maker and user, where levels then need not rise; and makers rise to their users' level, until
 * nothing changes. */
#include "passes/partition.h"

typedef struct dividing {
    const mil_program *program;
    const mil__block *body;
    mil_block function;
    bool (*takes)(void *ctx, mil_operation operation);
    void *ctx;
    uint32_t *level;          /* by operation, + 1; 0: of no part */
    uint32_t *least;          /* by operation: a level that it must have at least */
    bool *is_taken, *is_behind, *is_before; /* by operation; a maker of ties, or behind one; a tied user, or before one */
    uint32_t *met;            /* by value: the round in which a part was last seen to use it */
    uint32_t round;
    bool *crosses;            /* by value: it is used beyond its part */
    uint32_t n_levels, state_level;
    bool has_risen;
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

/* Asks about what is computed in a run. */
static bool takes_all(dividing *d) {
    bool all = true;
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next) {
        const mil__op *op = d->program->ops[at];
        if (is_known(d, op)) continue;
        d->level[at] = 1;
        d->is_taken[at] = op->decl != mil__op_const() && d->takes(d->ctx, at);
        all = all && d->is_taken[at];
    }
    return all;
}

static void give_levels(dividing *d) {
    d->n_levels = d->state_level = 0;
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next) {
        const mil__op *op = d->program->ops[at];
        if (!d->level[at]) continue;
        d->level[at] = d->least[at] > 1 ? d->least[at] : 1;
        each_use(d, at, op, rise);
        if (((d->level[at] - 1) % 2 == 1) != d->is_taken[at]) d->level[at]++;
        each_use(d, at, op, note_state);
        if (d->level[at] > d->n_levels) d->n_levels = d->level[at];
    }
}

/* ---- ties ---- */

/* Does the value, of an operation of a part, tie that to its users? */
static bool is_tie(const dividing *d, mil_value value) {
    const mil__value *v = d->program->values[value];
    bool can_cross = v->type->kind == MIL_STATE || (v->type->kind == MIL_TENSOR && v->type->dtype != MIL_STRING && !v->type->is_unranked);
    return !can_cross && v->op && d->level[v->op];
}

static void note_behind(dividing *d, mil_operation user, mil_value value) {
    mil_operation maker = d->program->values[value]->op;
    if (is_tie(d, value)) d->is_behind[maker] = true;
    if (maker && d->is_behind[maker]) d->is_behind[user] = true;
}

static void note_tied(dividing *d, mil_operation user, mil_value value) { d->is_before[user] |= is_tie(d, value); }

static void note_before(dividing *d, mil_operation user, mil_value value) {
    mil_operation maker = d->program->values[value]->op;
    if (maker && d->is_before[user]) d->is_before[maker] = true;
}

/* What is tied, and what is between, is not taken. False: nothing is tied. */
static bool take_back(dividing *d) {
    bool is_any = false;
    for (mil_operation at = d->body->last; at; at = d->program->ops[at]->prev) {
        if (!d->level[at]) continue;
        each_use(d, at, d->program->ops[at], note_tied);
        each_use(d, at, d->program->ops[at], note_before);
        is_any = is_any || d->is_before[at];
    }
    for (mil_operation at = d->body->first; is_any && at; at = d->program->ops[at]->next) {
        if (!d->level[at]) continue;
        each_use(d, at, d->program->ops[at], note_behind);
    }
    for (mil_operation at = d->body->first; is_any && at; at = d->program->ops[at]->next)
        if (d->is_behind[at] && d->is_before[at]) d->is_taken[at] = false;
    return is_any;
}

static void raise_maker(dividing *d, mil_operation user, mil_value value) {
    mil_operation maker = d->program->values[value]->op;
    uint32_t wanted = d->least[user] > d->level[user] ? d->least[user] : d->level[user];
    if (!is_tie(d, value) || d->level[maker] >= wanted || d->least[maker] >= wanted) return;
    d->least[maker] = wanted;
    d->has_risen = true;
}

static void divide_levels(dividing *d) {
    d->has_risen = !takes_all(d) && take_back(d);
    give_levels(d);
    while (d->has_risen) {
        d->has_risen = false;
        for (mil_operation at = d->body->last; at; at = d->program->ops[at]->prev)
            if (d->level[at]) each_use(d, at, d->program->ops[at], raise_maker);
        if (d->has_risen) give_levels(d);
    }
}

/* ---- parts ---- */

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

static mil_status list_operations(dividing *d) {
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next)
        if (d->level[at]) part_of(d, at)->n_operations++;
    for (uint32_t p = 0; p < d->out->n; p++) {
        mil__partition_part *part = &d->out->parts[p];
        part->operations = mil__arena_zero(&d->out->arena, part->n_operations, sizeof *part->operations);
        if (!part->operations) return mil__nomem(d->err);
        part->n_operations = 0;
    }
    for (mil_operation at = d->body->first; at; at = d->program->ops[at]->next) {
        if (!d->level[at]) continue;
        mil__partition_part *part = part_of(d, at);
        part->operations[part->n_operations++] = at;
    }
    return MIL_OK;
}

static void of_each(dividing *d, const mil__partition_part *part, use_fn *use) {
    for (uint32_t i = 0; i < part->n_operations; i++) each_use(d, part->operations[i], d->program->ops[part->operations[i]], use);
}

static mil_status find_inputs(dividing *d) {
    for (uint32_t p = 0; p < d->out->n; p++) {
        mil__partition_part *part = &d->out->parts[p];
        d->round++;
        of_each(d, part, count_input);
        part->inputs = mil__arena_zero(&d->out->arena, (size_t)part->n_inputs + 1, sizeof *part->inputs);
        if (!part->inputs) return mil__nomem(d->err);
        part->n_inputs = 0;
        d->round++;
        of_each(d, part, add_input);
    }
    return MIL_OK;
}

/* When all inputs are found: what another part uses, or the function gives. */
static mil_status find_outputs(dividing *d) {
    for (uint32_t p = 0; p < d->out->n; p++) {
        mil__partition_part *part = &d->out->parts[p];
        uint32_t most = 0;
        for (uint32_t i = 0; i < part->n_operations; i++) most += d->program->ops[part->operations[i]]->n_outputs;
        part->outputs = mil__arena_zero(&d->out->arena, (size_t)most + 1, sizeof *part->outputs);
        if (!part->outputs) return mil__nomem(d->err);
        for (uint32_t k = 0; k < part->n_operations; k++) {
            const mil__op *op = d->program->ops[part->operations[k]];
            for (uint32_t i = 0; i < op->n_outputs; i++)
                if (d->crosses[op->outputs[i]] || d->program->values[op->outputs[i]]->is_output) part->outputs[part->n_outputs++] = op->outputs[i];
        }
    }
    return MIL_OK;
}

static mil_status divide(dividing *d) {
    divide_levels(d);
    MIL__TRY(make_parts(d));
    MIL__TRY(list_operations(d));
    MIL__TRY(find_inputs(d));
    return find_outputs(d);
}

mil_status mil__partition_make(const mil_program *program, mil_block function, bool (*takes)(void *ctx, mil_operation operation), void *ctx,
                               mil__partition *out, mil_error *err) {
    dividing d = {.program = program, .body = program->blocks[function], .function = function, .takes = takes, .ctx = ctx, .out = out, .err = err};
    *out = (mil__partition){0};
    d.level = mil__calloc(program->n_ops, sizeof *d.level);
    d.least = mil__calloc(program->n_ops, sizeof *d.least);
    d.is_taken = mil__calloc(program->n_ops, 3 * sizeof *d.is_taken);
    d.is_behind = d.is_taken ? d.is_taken + program->n_ops : NULL;
    d.is_before = d.is_taken ? d.is_taken + 2 * program->n_ops : NULL;
    d.met = mil__calloc(program->n_values, sizeof *d.met);
    d.crosses = mil__calloc(program->n_values, sizeof *d.crosses);
    mil_status status = d.level && d.least && d.is_taken && d.met && d.crosses ? divide(&d) : mil__nomem(err);
    mil__free(d.level);
    mil__free(d.least);
    mil__free(d.is_taken);
    mil__free(d.met);
    mil__free(d.crosses);
    if (status != MIL_OK) mil__partition_free(out);
    return status;
}

void mil__partition_free(mil__partition *partition) {
    mil__arena_free(&partition->arena);
    *partition = (mil__partition){0};
}
