/* SPDX-License-Identifier: MIT */
/* Nested blocks, as steps of one flat list.
 *
 *     cond(pred) { A } -> (a), { B } -> (b)           while_loop(x, y) (x', y') { D } -> (go), (x', y') { E } -> (p, q)
 *
 *       1  branch pred, else to 5                       1  carry   x' = x, y' = y
 *       2  A                                            2  enter   the loop's turns are 0
 *       3  carry   r = a                                3  D
 *       4  jump to 7                                    4  branch  go, else to 8; one turn more
 *       5  B                                            5  E
 *       6  carry   r = b                                6  carry   x' = p, y' = q
 *       7  ..                                           7  jump to 3
 *                                                       8  ..      the results are x', y'
 *
 * So a body is planned once, with the rest; its steps are those of any block, and its values have places in the one arena.
 * What the plan has to know besides:
 *
 * Order. An operation that holds blocks counts as coming after all that is in them. A value may be overwritten, or its memory
 * taken over, by the last group that reads it: for a value of an outer block that is the operation that holds the block, so
 * never something inside. A loop's variable is read by D and E of the next turn too: E alone may overwrite it, for D comes
 * first, and the carry gives it its next value; one that E does not read is kept until the loop is over.
 *
 * Lifetimes. What is made before a loop and read in it is needed until the jump (extend_lives).
 *
 * Carrying. All variables change at once: what lies in another variable's memory is copied aside first. What grows (lists,
 * tensors whose size only the run knows) changes hands instead where its old owner is done with it: memory is exchanged, no
 * element is copied. */
#include "engine/cpu/compressed.h"

static bool is_loop(const mil__op *op) { return op->decl->flags & MIL__LOOP; }

/* ---- order ---- */

static mil_status fuse_all(mil__lower *lower, mil_block block, uint32_t *next) {
    mil__scope *scope = &lower->scopes[block];
    const mil_program *program = lower->program;
    MIL__TRY(mil__fuse(lower, block, &scope->groups, &scope->n, &lower->scope_arena));
    for (uint32_t g = 0; g < scope->n; g++) {
        const mil__group *group = &scope->groups[g];
        const mil__op *op = program->ops[group->ops[0]]; /* one that holds blocks is a group by itself */
        for (int b = 0; b < op->n_blocks; b++) MIL__TRY(fuse_all(lower, op->blocks[b], next));
        lower->n_loops += is_loop(op);
        for (uint32_t k = 0; k < group->n_ops; k++) lower->number[group->ops[k]] = *next;
        ++*next;
    }
    return MIL_OK;
}

/* A use by an operation counts as one by what holds it in the value's own block. */
static uint32_t number_of_use(const mil__lower *lower, mil_value value, mil_operation operation) {
    const mil_program *program = lower->program;
    mil_block own = program->values[value]->block;
    while (program->ops[operation]->block != own) operation = program->blocks[program->ops[operation]->block]->parent;
    return lower->number[operation];
}

/* What a loop gives is in its variables' slots: those who read it after the loop count from its end on. */
static void read_until(mil__lower *lower, mil_value value, uint32_t number) {
    mil_operation op = lower->program->values[value]->op;
    bool is_of_loop = op && is_loop(lower->program->ops[op]);
    uint32_t *until = is_of_loop ? &lower->later[value] : &lower->plan->slots[lower->slot_of[value]].until;
    if (*until < number) *until = number;
}

static void set_until_of(mil__lower *lower, mil_block block);

static void set_until_outputs(mil__lower *lower, mil_operation holder, mil_block nested) {
    const mil__block *b = lower->program->blocks[nested];
    for (uint32_t i = 0; i < b->n_outputs; i++) {
        bool own = lower->program->values[b->outputs[i]]->block == nested;
        read_until(lower, b->outputs[i], own ? lower->number[holder] : number_of_use(lower, b->outputs[i], holder));
    }
}

static void set_until_nested(mil__lower *lower, mil_operation holder) {
    const mil__op *op = lower->program->ops[holder];
    const mil__block *body = lower->program->blocks[op->blocks[op->n_blocks - 1]];
    uint32_t n = is_loop(op) ? body->n_inputs : 0;
    for (int b = 0; b < op->n_blocks; b++) {
        for (uint32_t i = 0; b && i < n; i++) lower->plan->slots[lower->slot_of[body->inputs[i]]].until = 0; /* what D reads comes before */
        set_until_of(lower, op->blocks[b]);
    }
    for (int b = 0; b < op->n_blocks; b++) set_until_outputs(lower, holder, op->blocks[b]);
    for (uint32_t i = 0; i < n; i++) {
        mil__slot *slot = &lower->plan->slots[lower->slot_of[body->inputs[i]]];
        if (!slot->until) slot->until = lower->number[holder];
    }
}

static void set_until_of(mil__lower *lower, mil_block block) {
    const mil_program *program = lower->program;
    for (mil_operation at = program->blocks[block]->first; at; at = program->ops[at]->next) {
        const mil__op *op = program->ops[at];
        if (op->decl == mil__op_const()) continue;
        for (uint16_t a = 0; a < op->n_args; a++)
            for (uint32_t i = 0; i < op->args[a].n; i++)
                read_until(lower, op->args[a].values[i], number_of_use(lower, op->args[a].values[i], at));
        if (op->n_blocks) set_until_nested(lower, at);
    }
}

mil_status mil__lower_order(mil__lower *lower, mil_block body) {
    const mil_program *program = lower->program;
    const mil__block *b = program->blocks[body];
    uint32_t next = 1;
    lower->scopes = mil__arena_zero(&lower->scope_arena, program->n_blocks, sizeof *lower->scopes);
    lower->number = mil__arena_zero(&lower->scope_arena, program->n_ops, sizeof *lower->number);
    lower->group_of = mil__arena_alloc(&lower->scope_arena, program->n_ops * sizeof *lower->group_of);
    lower->later = mil__arena_zero(&lower->scope_arena, program->n_values, sizeof *lower->later);
    if (!lower->scopes || !lower->number || !lower->group_of || !lower->later) return mil__nomem(lower->err);
    memset(lower->group_of, 0xff, program->n_ops * sizeof *lower->group_of);
    MIL__TRY(fuse_all(lower, body, &next));
    lower->n_groups = next;
    lower->loops = mil__arena_zero(&lower->scope_arena, lower->n_loops, sizeof *lower->loops);
    if (!lower->loops) return mil__nomem(lower->err);
    lower->plan->n_loops = lower->n_loops;
    lower->n_loops = 0; /* until they are met again */
    set_until_of(lower, body);
    for (uint32_t i = 0; i < b->n_outputs; i++) read_until(lower, b->outputs[i], UINT32_MAX);
    return MIL_OK;
}

/* ---- lifetimes ---- */

void mil__extend_lives(const mil__lower *lower) {
    mil__cpu_plan *plan = lower->plan;
    for (uint32_t i = 0; i < plan->n_slots; i++) {
        mil__slot *slot = &plan->slots[i];
        if (slot->kind != MIL__SLOT_ARENA || slot->first == UINT32_MAX) continue;
        for (uint32_t loop = plan->steps[slot->last].loop; loop; loop = lower->loops[loop - 1].outer)
            if (slot->first < lower->loops[loop - 1].first && slot->last < lower->loops[loop - 1].last)
                slot->last = lower->loops[loop - 1].last;
    }
}

/* ---- carrying ---- */

typedef struct carry_params {
    const bool *exchanges; /* by pair: the two change hands */
} carry_params;

void mil__dynamic_exchange(mil__cpu_context *c, uint32_t a, uint32_t b) {
    mil_tensor t = c->t[a];
    mil_buffer *buffer = c->dynamic[a];
    bool is_fixed = c->is_fixed[a];
    c->t[a] = c->t[b];
    c->dynamic[a] = c->dynamic[b];
    c->is_fixed[a] = c->is_fixed[b];
    c->t[b] = t;
    c->dynamic[b] = buffer;
    c->is_fixed[b] = is_fixed;
}

/* 0 where a dim is not known yet: a list that was never written. */
static size_t bytes_now(const mil_tensor *tensor) {
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] < 0) return 0;
    return mil_tensor_bytes(tensor);
}

mil_status mil__dynamic_copy(mil__cpu_context *c, uint32_t from, uint32_t to, mil_error *err) {
    const mil_tensor *source = &c->t[from];
    size_t bytes = bytes_now(source);
    if (c->plan->slots[to].kind == MIL__SLOT_DYNAMIC) {
        MIL__TRY(mil__dynamic_room(c, to, bytes, 0, err));
        mil__tensor_init(&c->t[to], source->dtype, source->rank, source->shape, c->t[to].data);
        c->is_fixed[to] = c->plan->slots[from].kind == MIL__SLOT_DYNAMIC && c->is_fixed[from];
    } else if (source->rank != c->t[to].rank || memcmp(source->shape, c->t[to].shape, (size_t)source->rank * sizeof *source->shape) != 0) {
        return mil__fail(err, MIL_ETYPE, "run: a value is %s, but was to be %s", MIL__SHAPE_TEXT(source->rank, source->shape),
                         MIL__SHAPE_TEXT(c->t[to].rank, c->t[to].shape));
    }
    if (bytes) memcpy(c->t[to].data, source->data, bytes);
    return MIL_OK;
}

static mil_status run_carry(mil__run *run, const mil__step *step) {
    const carry_params *params = step->params;
    for (uint32_t i = 0; i < step->n_in; i++) {
        if (params->exchanges[i]) mil__dynamic_exchange(run->context, step->in[i], step->out[i]);
        else MIL__TRY(mil__dynamic_copy(run->context, step->in[i], step->out[i], run->err));
    }
    return MIL_OK;
}

/* Pairs of slots in the making; as many as a block has values. */
typedef struct carrying {
    uint32_t *in, *out, n;
    bool *exchanges;
} carrying;

static mil_status carrying_new(mil__lower *lower, uint32_t n, carrying *out) {
    *out = (carrying){mil__lower_alloc(lower, n * sizeof *out->in), mil__lower_alloc(lower, n * sizeof *out->out), 0,
                      mil__lower_alloc(lower, n * sizeof *out->exchanges)};
    return out->in && out->out && out->exchanges ? MIL_OK : mil__nomem(lower->err);
}

static bool same_memory(const mil__slot *slots, uint32_t a, uint32_t b) {
    return a == b || (slots[a].root == slots[b].root && slots[a].shift == slots[b].shift && slots[a].bytes == slots[b].bytes &&
                      slots[a].kind != MIL__SLOT_DYNAMIC);
}

static void carry(carrying *c, uint32_t in, uint32_t out, bool exchange) {
    c->in[c->n] = in;
    c->out[c->n] = out;
    c->exchanges[c->n++] = exchange;
}

static mil_status emit_carry(mil__lower *lower, const carrying *c) {
    carry_params *params = mil__lower_alloc(lower, sizeof *params);
    if (!params) return mil__nomem(lower->err);
    params->exchanges = c->exchanges;
    mil__step step = {.run = run_carry, .params = params, .in = c->in, .n_in = c->n, .out = c->out, .n_out = c->n, .kernel = "carry"};
    return c->n ? mil__lower_step(lower, NULL, &step) : MIL_OK;
}

static bool is_dynamic(const mil__lower *lower, uint32_t slot) { return lower->plan->slots[slot].kind == MIL__SLOT_DYNAMIC; }

static bool comes_twice(const mil_value *values, uint32_t n, uint32_t i) {
    for (uint32_t k = 0; k < n; k++)
        if (k != i && values[k] == values[i]) return true;
    return false;
}

/* May value i of these, which are read last by the group at hand, give its memory away? */
static bool may_exchange(const mil__lower *lower, const mil_value *values, uint32_t n, uint32_t i, uint32_t to) {
    uint32_t from = lower->slot_of[values[i]];
    const mil__slot *slot = &lower->plan->slots[from];
    return is_dynamic(lower, from) && is_dynamic(lower, to) && slot->until <= lower->group && !comes_twice(values, n, i);
}

/* A copy aside of what is read from memory that a pair before or after it writes. */
static mil_status carry_aside(mil__lower *lower, carrying *c, carrying *aside) {
    for (uint32_t i = 0; i < c->n; i++) {
        const mil__slot *slots = lower->plan->slots;
        bool meets = false;
        for (uint32_t k = 0; k < c->n && !meets; k++) meets = k != i && slots[c->in[i]].root == slots[c->out[k]].root;
        if (!meets) continue;
        uint32_t copy = 0;
        int64_t shape[MIL_MAX_RANK];
        memcpy(shape, slots[c->in[i]].shape, sizeof shape);
        MIL__TRY(mil__slot_new(lower, slots[c->in[i]].dtype, slots[c->in[i]].rank, shape, &copy));
        carry(aside, c->in[i], copy, false);
        c->in[i] = copy;
        c->exchanges[i] = false;
    }
    return emit_carry(lower, aside);
}

/* values into the slots `to`, all at once. */
static mil_status carry_all(mil__lower *lower, const mil_value *values, uint32_t n, const uint32_t *to) {
    carrying c, aside;
    MIL__TRY(carrying_new(lower, n, &c));
    MIL__TRY(carrying_new(lower, n, &aside));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = lower->slot_of[values[i]];
        MIL__TRY(mil__slot_dense(lower, &from));
        if (!same_memory(lower->plan->slots, from, to[i])) carry(&c, from, to[i], may_exchange(lower, values, n, i, to[i]));
    }
    MIL__TRY(carry_aside(lower, &c, &aside));
    return emit_carry(lower, &c);
}

/* ---- jumps ---- */

typedef struct jump_params {
    uint32_t to;           /* a step */
    uint32_t loop;         /* of the context's turns */
    int64_t limit;         /* of them; 0: none */
    const char *name;
} jump_params;

static mil_status run_jump(mil__run *run, const mil__step *step) {
    run->next = ((const jump_params *)step->params)->to;
    return MIL_OK;
}

static mil_status run_branch(mil__run *run, const mil__step *step) {
    const jump_params *params = step->params;
    const mil_tensor *pred = &run->t[step->in[0]];
    if (mil__numel(pred) != 1)
        return mil__fail(run->err, MIL_ETYPE, "cond: pred is bool%s, not one bool", MIL__SHAPE_TEXT(pred->rank, pred->shape));
    if (!*(const uint8_t *)pred->data) run->next = params->to;
    return MIL_OK;
}

static mil_status run_enter(mil__run *run, const mil__step *step) {
    run->context->turns[((const jump_params *)step->params)->loop] = 0;
    return MIL_OK;
}

static mil_status run_loop_branch(mil__run *run, const mil__step *step) {
    const jump_params *params = step->params;
    const mil_tensor *go = &run->t[step->in[0]];
    int64_t *turns = &run->context->turns[params->loop];
    if (mil__numel(go) != 1)
        return mil__fail(run->err, MIL_ETYPE, "while_loop: the first block gave bool%s, not one bool", MIL__SHAPE_TEXT(go->rank, go->shape));
    if (!*(const uint8_t *)go->data) run->next = params->to;
    else if (params->limit && (*turns)++ >= params->limit)
        return mil__fail(run->err, MIL_ELIMIT, "while_loop: %s has made %lld turns, the most that max_turns allows", params->name,
                         (long long)params->limit);
    return MIL_OK;
}

const mil__step *mil__loop_around(const mil__cpu_plan *plan, uint32_t i) {
    const mil__step *innermost = NULL;
    uint32_t begin = 0;
    for (uint32_t k = 0; k < plan->n_steps; k++) {
        if (plan->steps[k].run != run_loop_branch) continue;
        uint32_t end = ((const jump_params *)plan->steps[k].params)->to; /* the step before it jumps back to the first */
        uint32_t first = ((const jump_params *)plan->steps[end - 1].params)->to;
        if (i < first || i >= end || (innermost && first < begin)) continue;
        innermost = &plan->steps[k];
        begin = first;
    }
    return innermost;
}

static mil_status emit_jump(mil__lower *lower, const mil__group *group, const char *kernel, mil_status (*run)(mil__run *, const mil__step *),
                            const uint32_t *in, jump_params **out) {
    jump_params *params = mil__lower_alloc(lower, sizeof *params);
    if (!params) return mil__nomem(lower->err);
    mil__step step = {.run = run, .params = params, .in = in, .n_in = in ? 1 : 0, .kernel = kernel};
    *out = params;
    return mil__lower_step(lower, group, &step);
}

static mil_status slot_of_bool(mil__lower *lower, mil_value value, uint32_t **out) {
    *out = mil__lower_alloc(lower, sizeof **out);
    if (!*out) return mil__nomem(lower->err);
    **out = lower->slot_of[value];
    return MIL_OK;
}

/* ---- cond ---- */

static mil_status lower_branch(mil__lower *lower, const mil__op *op, int b, const uint32_t *to, uint32_t number) {
    MIL__TRY(mil__lower_block(lower, op->blocks[b]));
    const mil__block *block = lower->program->blocks[op->blocks[b]];
    lower->group = number;
    return carry_all(lower, block->outputs, block->n_outputs, to);
}

/* The results' slots; one whose size is only known for one of the branches has it at run time. */
static mil_status result_slots(mil__lower *lower, const mil__op *op, uint32_t **out) {
    uint32_t *to = mil__lower_alloc(lower, op->n_outputs * sizeof *to);
    if (!to) return mil__nomem(lower->err);
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        to[i] = lower->slot_of[op->outputs[i]];
        for (int b = 0; b < op->n_blocks; b++) {
            const mil__slot *from = &lower->plan->slots[lower->slot_of[lower->program->blocks[op->blocks[b]]->outputs[i]]];
            if (from->kind == MIL__SLOT_DYNAMIC) mil__slot_make_dynamic(lower, to[i]);
        }
    }
    *out = to;
    return MIL_OK;
}

static mil_status lower_cond(mil__lower *lower, const mil__group *group, const mil__op *op) {
    uint32_t *pred = NULL, *to = NULL, number = lower->group;
    jump_params *branch, *jump;
    MIL__TRY(slot_of_bool(lower, op->args[0].values[0], &pred));
    MIL__TRY(result_slots(lower, op, &to));
    const mil__slot *known = &lower->plan->slots[*pred];
    if (known->kind == MIL__SLOT_CONST) return lower_branch(lower, op, *(const uint8_t *)known->data->data ? 0 : 1, to, number);
    MIL__TRY(emit_jump(lower, group, "branch", run_branch, pred, &branch));
    MIL__TRY(lower_branch(lower, op, 0, to, number));
    MIL__TRY(emit_jump(lower, NULL, "jump", run_jump, NULL, &jump));
    branch->to = lower->plan->n_steps;
    MIL__TRY(lower_branch(lower, op, 1, to, number));
    jump->to = lower->plan->n_steps;
    return MIL_OK;
}

/* ---- while_loop ---- */

static mil_status variable_slots(mil__lower *lower, const mil__block *body, uint32_t **out) {
    uint32_t *to = mil__lower_alloc(lower, body->n_inputs * sizeof *to);
    if (!to) return mil__nomem(lower->err);
    for (uint32_t i = 0; i < body->n_inputs; i++) to[i] = lower->slot_of[body->inputs[i]];
    *out = to;
    return MIL_OK;
}

static mil_status lower_turns(mil__lower *lower, const mil__group *group, const mil__op *op, const uint32_t *to, uint32_t loop,
                              uint32_t number) {
    const mil_program *program = lower->program;
    const mil__block *decide = program->blocks[op->blocks[0]];
    uint32_t *go = NULL, first = lower->plan->n_steps;
    jump_params *branch, *jump;
    lower->loops[loop].first = first;
    MIL__TRY(mil__lower_block(lower, op->blocks[0]));
    MIL__TRY(slot_of_bool(lower, decide->outputs[0], &go));
    MIL__TRY(emit_jump(lower, group, "branch", run_loop_branch, go, &branch));
    MIL__TRY(lower_branch(lower, op, 1, to, number));
    lower->loops[loop].last = lower->plan->n_steps;
    MIL__TRY(emit_jump(lower, NULL, "jump", run_jump, NULL, &jump));
    jump->to = first;
    *branch = (jump_params){lower->plan->n_steps, loop, lower->model->options.max_turns, program->values[op->outputs[0]]->name};
    return MIL_OK;
}

static mil_status lower_loop(mil__lower *lower, const mil__group *group, const mil__op *op) {
    uint32_t *to = NULL, number = lower->group, loop = lower->n_loops++, outer = lower->loop;
    jump_params *enter;
    MIL__TRY(variable_slots(lower, lower->program->blocks[op->blocks[1]], &to));
    MIL__TRY(carry_all(lower, op->args[0].values, op->args[0].n, to));
    MIL__TRY(emit_jump(lower, NULL, "enter", run_enter, NULL, &enter));
    enter->loop = loop;
    lower->loops[loop].outer = outer;
    lower->loop = loop + 1;
    MIL__TRY(lower_turns(lower, group, op, to, loop, number));
    lower->loop = outer;
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        mil__slot *slot = &lower->plan->slots[to[i]];
        if (slot->until < lower->later[op->outputs[i]]) slot->until = lower->later[op->outputs[i]];
    }
    return MIL_OK;
}

/* ---- blocks ---- */

static mil_status report(const mil__lower *lower) {
    const mil_compile_options *options = &lower->model->options;
    double part = lower->group / (double)lower->n_groups;
    bool goes_on = !options->progress || options->progress(options->progress_ctx, "compile", part);
    return goes_on ? MIL_OK : mil__fail(lower->err, MIL_ECANCELLED, "compile: cancelled");
}

/* Pairs of sparse weights that the blocks read are expanded before. */
static mil_status expand_pairs(mil__lower *lower, const mil__op *holder) {
    const mil_program *program = lower->program;
    for (int b = 0; b < holder->n_blocks; b++)
        for (mil_operation at = program->blocks[holder->blocks[b]]->first; at; at = program->ops[at]->next) {
            const mil__op *op = program->ops[at];
            uint32_t n;
            const mil_value *values = mil__op_values(op, &n);
            for (uint32_t i = 0; i < n; i++) {
                uint32_t slot = lower->slot_of[values[i]];
                if (mil__slot_at(lower, slot)->kind == MIL__SLOT_SPARSE) MIL__TRY(mil__slot_dense(lower, &slot));
            }
            if (op->n_blocks) MIL__TRY(expand_pairs(lower, op));
        }
    return MIL_OK;
}

static mil_status lower_group(mil__lower *lower, const mil__group *group) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    lower->group = lower->number[group->ops[0]];
    MIL__TRY(report(lower));
    if (op->n_blocks) MIL__TRY(expand_pairs(lower, op));
    if (op->n_blocks) return is_loop(op) ? lower_loop(lower, group, op) : lower_cond(lower, group, op);
    return mil__takes_lists(lower, op) ? mil__select_list(lower, group) : mil__select(lower, group);
}

mil_status mil__lower_block(mil__lower *lower, mil_block block) {
    const mil__scope *scope = &lower->scopes[block];
    mil_block outer = lower->block;
    const mil__expanded *expanded = lower->expanded;
    lower->block = block;
    for (uint32_t g = 0; g < scope->n; g++) MIL__TRY(lower_group(lower, &scope->groups[g]));
    for (; lower->expanded != expanded; lower->expanded = lower->expanded->before)
        lower->slot_of[lower->expanded->value] = lower->expanded->slot;
    lower->block = outer;
    return MIL_OK;
}
