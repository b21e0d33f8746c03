/* SPDX-License-Identifier: MIT */
/* Changing a program: the edits of mil.h, each a change (change.c) that holds as a whole or not at all. */
#include <stdio.h>

#include "program/program.h"

static mil_status stale(mil_error *err, const char *what, const char *noun) {
    return mil__fail(err, MIL_ESTATE, "%s: the %s is no longer part of this program", what, noun);
}

static const char *name_of(const mil__value *value) { return value->name ? value->name : "a literal"; }

static const char *operation_name(const mil_program *program, const mil__op *op) {
    return op->n_outputs ? name_of(program->values[op->outputs[0]]) : op->decl->name;
}

/* ---- inserting ---- */

mil_status mil_block_insert(mil_program *program, mil_block block, mil_operation before, mil_error *err) {
    mil__block *b = mil__block_at(program, block);
    const mil__op *op = mil__op_at(program, before);
    MIL__TRY(mil__program_may_change(program, "insert", err));
    if (!b) return stale(err, "insert", "block");
    if (before && !op) return stale(err, "insert", "operation");
    if (before && op->block != block) return mil__fail(err, MIL_ESTATE, "insert: the operation is of another block");
    if (before) MIL__TRY(mil__users_ready(program, err));
    b->before = before;
    return MIL_OK;
}

/* ---- what a value is computed from ---- */

typedef struct origin {
    mil_program *program;
    mil__arena *arena;
    mil_operation *list;      /* marked, to be unmarked */
    uint32_t n, cap;
} origin;

static mil_status mark(origin *o, mil_operation operation, mil_error *err) {
    if (o->program->ops[operation]->is_marked) return MIL_OK;
    if (o->n == o->cap) {
        uint32_t wanted = o->cap ? o->cap * 2 : 64;
        mil_operation *grown = mil__arena_alloc(o->arena, wanted * sizeof *grown);
        if (!grown) return mil__nomem(err);
        if (o->n) memcpy(grown, o->list, o->n * sizeof *grown);
        o->list = grown;
        o->cap = wanted;
    }
    o->program->ops[operation]->is_marked = true;
    o->list[o->n++] = operation;
    return MIL_OK;
}

/* Marks the operation that makes `value`, and those before it that lead there, back to the place `from`. */
static mil_status mark_origin(origin *o, mil_value value, uint64_t from, mil_error *err) {
    mil_program *program = o->program;
    if (program->values[value]->op) MIL__TRY(mark(o, program->values[value]->op, err));
    for (uint32_t i = 0; i < o->n; i++) {
        const mil__op *op = program->ops[o->list[i]];
        uint32_t n;
        const mil_value *values = mil__op_values(op, &n);
        for (uint32_t k = 0; k < n; k++) {
            mil_operation before = program->values[values[k]]->op;
            if (before && program->users->place[before] > from) MIL__TRY(mark(o, before, err));
        }
        for (int b = 0; b < op->n_blocks; b++)
            for (mil_operation at = program->blocks[op->blocks[b]]->first; at; at = program->ops[at]->next)
                MIL__TRY(mark(o, at, err));
    }
    return MIL_OK;
}

static void unmark(origin *o) {
    for (uint32_t i = 0; i < o->n; i++) o->program->ops[o->list[i]]->is_marked = false;
}

/* ---- replacing ---- */

typedef struct replacing {
    mil__change change;
    origin origin;
    mil_value old, with;
    mil_value passed;         /* what is an output now, and takes the name; 0: none */
} replacing;

typedef struct place_of_use {
    mil_operation op;         /* 0: an output of block */
    mil_block block;
    uint32_t at;              /* among the operation's values */
} place_of_use;

/* The uses of a value before any is moved. */
static mil_status list_uses(mil__change *c, mil_value value, place_of_use **out, uint32_t *n) {
    const mil__users *users = c->program->users;
    *n = 0;
    *out = mil__arena_zero(&c->arena, c->program->values[value]->n_uses + 1, sizeof **out);
    if (!*out) return mil__nomem(c->err);
    for (uint32_t i = users->first[value]; i; i = users->uses[i].next) {
        const mil__use *use = &users->uses[i];
        (*out)[(*n)++] = (place_of_use){use->op, use->block, use->op ? i - users->of_op[use->op] : 0};
    }
    return MIL_OK;
}

/* Is `with` computed from `old` by way of the operation, or inside of it? */
static mil_status comes_through(replacing *r, mil_operation operation, bool *out) {
    mil_program *program = r->change.program;
    if (r->origin.n == 0) {
        mil_operation made = program->values[r->old]->op;
        MIL__TRY(mark_origin(&r->origin, r->with, made ? program->users->place[made] : 0, r->change.err));
    }
    *out = program->ops[operation]->is_marked;
    return MIL_OK;
}

static mil_status not_before(const replacing *r, mil_operation operation) {
    const mil_program *program = r->change.program;
    const mil__value *with = program->values[r->with];
    bool visible = mil__value_visible(program, r->with, program->ops[operation]->block);
    return mil__fail(r->change.err, MIL_ESTATE, "replace: %s uses %s, but %s is %s there",
                     operation_name(program, program->ops[operation]), name_of(program->values[r->old]), name_of(with),
                     visible ? "not defined yet" : "not visible");
}

/* The use by operation's value number `at` becomes one of `with`, unless `with` is computed from it. */
static mil_status replace_use(replacing *r, mil_operation operation, uint32_t at) {
    mil_program *program = r->change.program;
    MIL__TRY(mil__users_ready(program, r->change.err));
    if (!mil__value_before(program, r->with, operation)) {
        bool through;
        MIL__TRY(comes_through(r, operation, &through));
        return through ? MIL_OK : not_before(r, operation);
    }
    return mil__change_use(&r->change, operation, at, r->with);
}

static mil_status replace_in(replacing *r, const mil_operation *in, size_t n) {
    const mil_program *program = r->change.program;
    for (size_t i = 0; i < n; i++) {
        const mil__op *op = mil__op_at(program, in[i]);
        if (!op) return stale(r->change.err, "replace", "operation");
        uint32_t n_values;
        const mil_value *values = mil__op_values(op, &n_values);
        for (uint32_t k = 0; k < n_values; k++)
            if (values[k] == r->old) MIL__TRY(replace_use(r, in[i], k));
    }
    return MIL_OK;
}

/* `with`, or an identity of it where that can't be an output itself. */
static mil_status output_value(replacing *r, mil_block block, mil_value *out) {
    mil_program *program = r->change.program;
    const mil__value *v = program->values[r->with];
    if (v->type->kind == MIL_STATE) return mil__fail(r->change.err, MIL_ETYPE, "replace: a state can't be an output");
    *out = r->with;
    if (v->op && !v->is_output && program->ops[v->op]->decl != mil__op_const()) return MIL_OK;
    mil__values x = {.slot = 0, .n = 1, .values = &r->with};
    mil__new_op identity = {.decl = mil_op_find("identity"), .args = &x, .n_args = 1};
    mil_operation made;
    MIL__TRY(mil__program_add(program, block, &identity, &made, r->change.err));
    MIL__TRY(mil__change_made(&r->change, made));
    *out = program->ops[made]->outputs[0];
    return MIL_OK;
}

static mil_status replace_outputs(replacing *r, mil_block block) {
    mil_program *program = r->change.program;
    const mil__block *b = program->blocks[block];
    if (!mil__value_visible(program, r->with, block))
        return mil__fail(r->change.err, MIL_ESTATE, "replace: %s is not visible where %s is an output",
                         name_of(program->values[r->with]), name_of(program->values[r->old]));
    if (b->parent && program->values[r->with]->block != block) {
        bool through;
        MIL__TRY(mil__users_ready(program, r->change.err));
        if (!mil__value_before(program, r->with, b->parent)) {
            MIL__TRY(comes_through(r, b->parent, &through));
            return through ? MIL_OK : not_before(r, b->parent);
        }
    }
    for (uint32_t i = 0; i < b->n_outputs; i++) {
        mil_value value = r->with;
        if (b->outputs[i] != r->old) continue;
        if (!b->outer) MIL__TRY(output_value(r, block, &value));
        MIL__TRY(mil__change_output(&r->change, block, i, value));
        if (!b->outer) r->passed = value;
    }
    return MIL_OK;
}

static mil_status replace_all(replacing *r) {
    place_of_use *uses;
    uint32_t n;
    MIL__TRY(list_uses(&r->change, r->old, &uses, &n));
    for (uint32_t i = 0; i < n; i++) MIL__TRY(uses[i].op ? replace_use(r, uses[i].op, uses[i].at) : replace_outputs(r, uses[i].block));
    return MIL_OK;
}

/* What else is said of an output: what its package said, and that it is a classifier's label. */
static void pass_output(mil_program *program, mil_value from, mil_value to, bool passed) {
    mil__function *function = &program->functions[program->blocks[program->values[from]->block]->function];
    mil__kept_end_pass(program, MIL__KEPT_OUTPUT, from, to, passed);
    if (passed && function->label == from) function->label = to;
    if (passed && function->probabilities == from) function->probabilities = to;
}

mil_status mil_value_replace(mil_program *program, mil_value old, mil_value with, const mil_operation *in, size_t n,
                             mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "replace", err));
    if (!mil__value_at(program, old) || !mil__value_at(program, with)) return stale(err, "replace", "value");
    if (old == with) return MIL_OK;
    replacing r = {.old = old, .with = with};
    mil_status status = mil__change_begin(&r.change, program, "replace", err);
    r.origin = (origin){.program = program, .arena = &r.change.arena};
    if (status == MIL_OK) status = in ? replace_in(&r, in, n) : replace_all(&r);
    unmark(&r.origin);
    if (status == MIL_OK && r.passed) status = mil__change_name(&r.change, old, r.passed);
    bool passes = status == MIL_OK && r.passed;
    if (passes) status = mil__kept_begin_pass(program, MIL__KEPT_OUTPUT, old, r.passed, err);
    passes = passes && status == MIL_OK;
    status = mil__change_end(&r.change, status);
    if (passes) pass_output(program, old, r.passed, status == MIL_OK);
    return status;
}

/* ---- an operation's argument ---- */

/* Consts that were made for an argument, and that nobody uses any more. */
static void drop_unused(mil_program *program, const mil_value *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const mil__value *v = mil__value_at(program, values[i]);
        if (v && v->op && v->n_uses == 0 && program->ops[v->op]->is_literal) mil__program_remove(program, v->op);
    }
}

/* The operation's arguments with `given` in its slot's place; n 0: without. */
static int arrange(const mil__op *op, const mil__values *given, mil__values *out) {
    int n = 0;
    bool placed = given->n == 0 && !given->tuple;
    for (int a = 0; a < op->n_args; a++) {
        if (!placed && op->args[a].slot >= given->slot) out[n++] = *given, placed = true;
        if (op->args[a].slot != given->slot) out[n++] = op->args[a];
    }
    if (!placed) out[n++] = *given;
    return n;
}

static mil_status set_argument(mil__change *c, mil_operation operation, const mil_arg *arg) {
    mil_program *program = c->program;
    mil__values args[MIL__MAX_INPUTS + 1], given = {0};
    uint32_t made = 0;
    if (arg->kind == MIL_ARG_VALUE && arg->value == 0) {
        const mil__op *op = program->ops[operation];
        const mil__param *row;
        int slot;
        mil_opset opset = program->functions[program->blocks[op->block]->function].opset;
        MIL__TRY(mil__op_find_param(op->decl, opset, arg->name, &slot, &row, c->err));
        given.slot = (uint16_t)slot;
    } else {
        MIL__TRY(mil__values_of_arg(program, operation, arg, &given, &c->arena, &made, c->err));
        for (uint32_t i = 0; i < made; i++) MIL__TRY(mil__change_made(c, program->n_ops - made + i));
    }
    return mil__change_args(c, operation, args, arrange(program->ops[operation], &given, args));
}

mil_status mil_operation_set(mil_program *program, mil_operation operation, const mil_arg *arg, mil_error *err) {
    const mil__op *op = mil__op_at(program, operation);
    mil__change change;
    MIL__TRY(mil__program_may_change(program, "set", err));
    if (!op) return stale(err, "set", "operation");
    const mil__values *old = mil__op_arg_named(op, arg->name);
    const mil_value *values = old ? old->values : NULL; /* in the arena: there when it is no argument any more */
    uint32_t n = old ? old->n : 0;
    mil_status status = mil__change_begin(&change, program, "set", err);
    if (status == MIL_OK) status = set_argument(&change, operation, arg);
    status = mil__change_end(&change, status);
    if (status == MIL_OK) drop_unused(program, values, n);
    return status;
}

/* ---- removing ---- */

static mil_status still_used(mil_program *program, const mil__value *v, mil_value value, mil_error *err) {
    enum { SHOWN = 3 };
    char names[300];
    int used = 0;
    size_t n;
    const mil_operation *users;
    MIL__TRY(mil_value_users(program, value, &users, &n, err));
    names[0] = 0;
    for (size_t i = 0; i < n && i < SHOWN; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%.80s", i ? ", " : "used by ",
                         operation_name(program, program->ops[users[i]]));
    if (n > SHOWN) snprintf(names + used, sizeof names - (size_t)used, " and %zu more", n - SHOWN);
    return mil__fail(err, MIL_ESTATE, "remove: %s is %s%s%s", name_of(v), v->is_output ? "an output" : "",
                     v->is_output && n ? ", and " : "", names);
}

mil_status mil_operation_remove(mil_program *program, mil_operation operation, mil_error *err) {
    const mil__op *op = mil__op_at(program, operation);
    MIL__TRY(mil__program_may_change(program, "remove", err));
    if (!op) return stale(err, "remove", "operation");
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (program->values[op->outputs[i]]->n_uses)
            return still_used(program, program->values[op->outputs[i]], op->outputs[i], err);
    uint32_t n;
    const mil_value *values = mil__op_values(op, &n); /* in the arena: there when the operation is not */
    mil__program_remove(program, operation);
    drop_unused(program, values, n);
    return MIL_OK;
}

bool mil__op_has_effect(const mil_program *program, const mil__op *op) {
    if (op->decl->flags & MIL__EFFECT) return true;
    for (int b = 0; b < op->n_blocks; b++)
        for (mil_operation at = program->blocks[op->blocks[b]]->first; at; at = program->ops[at]->next)
            if (mil__op_has_effect(program, program->ops[at])) return true;
    return false;
}

static bool is_needed(const mil_program *program, const mil__op *op) {
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (program->values[op->outputs[i]]->n_uses) return true;
    return mil__op_has_effect(program, op);
}

/* Backwards, so that what only removed ones used goes too. */
static void prune(mil_program *program, const mil__block *block) {
    mil_operation before;
    for (mil_operation at = block->last; at; at = before) {
        const mil__op *op = program->ops[at];
        before = op->prev;
        if (is_needed(program, op))
            for (int b = 0; b < op->n_blocks; b++) prune(program, program->blocks[op->blocks[b]]);
        else
            mil__program_remove(program, at);
    }
}

mil_status mil_program_prune(mil_program *program, mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "prune", err));
    for (uint32_t i = 0; i < program->n_functions; i++) prune(program, program->blocks[program->functions[i].block]);
    return MIL_OK;
}

/* ---- functions, inputs and outputs ---- */

mil_status mil_program_remove_function(mil_program *program, mil_block function, mil_error *err) {
    const mil__block *b = mil__block_at(program, function);
    MIL__TRY(mil__program_may_change(program, "remove_function", err));
    if (!b || b->outer) return mil__fail(err, MIL_ESTATE, "remove_function: not a function");
    uint32_t at = b->function;
    for (mil_block i = program->n_blocks; i-- > 1;) { /* that an operation was to hold */
        const mil__block *inner = program->blocks[i];
        if (inner && inner->function == at && inner->outer && !inner->parent) mil__block_drop(program, i);
    }
    mil__block_drop(program, function);
    program->n_functions--;
    for (uint32_t i = at; i < program->n_functions; i++) program->functions[i] = program->functions[i + 1];
    for (uint32_t i = 1; i < program->n_blocks; i++)
        if (program->blocks[i] && program->blocks[i]->function > at) program->blocks[i]->function--;
    if (program->default_function == function) program->default_function = 0;
    return MIL_OK;
}

static void forget_shapes(mil_program *program, mil_value input) {
    if (input < program->n_said) program->said[input].shapes = NULL;
}

static mil_status is_input(const mil_program *program, mil_value input, const char *what, mil_error *err) {
    const mil__value *v = mil__value_at(program, input);
    if (!v) return stale(err, what, "value");
    if (v->op || program->blocks[v->block]->outer) return mil__fail(err, MIL_ESTATE, "%s: %s is no input of a function", what, name_of(v));
    return MIL_OK;
}

static mil_status retype(mil__change *c, const mil_retype *to) {
    mil_program *program = c->program;
    const mil__value *v = program->values[to->input];
    bool state = v->type->kind == MIL_STATE;
    MIL__TRY(mil__input_check(program, v->block, v->name, to->dtype, to->rank, to->shape, state, c->err));
    const mil_type *type = mil__tensor_type(program->types, to->dtype, to->rank, to->shape);
    if (type && state) type = mil__state_type(program->types, type);
    if (!type) return mil__nomem(c->err);
    return type == v->type ? MIL_OK : mil__change_type(c, to->input, type);
}

mil_status mil_program_retype(mil_program *program, const mil_retype *types, size_t n, mil_error *err) {
    mil__change change;
    MIL__TRY(mil__program_may_change(program, "retype", err));
    for (size_t i = 0; i < n; i++) MIL__TRY(is_input(program, types[i].input, "retype", err));
    mil_status status = mil__change_begin(&change, program, "retype", err);
    for (size_t i = 0; i < n && status == MIL_OK; i++) status = retype(&change, &types[i]);
    status = mil__change_end(&change, status);
    for (size_t i = 0; i < n && status == MIL_OK; i++) forget_shapes(program, types[i].input);
    return status;
}

mil_status mil_program_remove_output(mil_program *program, mil_value output, mil_error *err) {
    mil__value *v = mil__value_at(program, output);
    MIL__TRY(mil__program_may_change(program, "remove_output", err));
    if (!v) return stale(err, "remove_output", "value");
    mil_block function = program->functions[program->blocks[v->block]->function].block;
    mil__block *b = program->blocks[function];
    uint32_t at = 0;
    while (at < b->n_outputs && b->outputs[at] != output) at++;
    if (at == b->n_outputs) return mil__fail(err, MIL_ESTATE, "remove_output: %s is no output of a function", name_of(v));
    b->n_outputs--;
    for (uint32_t i = at; i < b->n_outputs; i++) b->outputs[i] = b->outputs[i + 1];
    mil__users_drop_output(program, function, output);
    v->n_uses--;
    v->is_output = false;
    mil__kept_drop(program, MIL__KEPT_OUTPUT, output);
    mil__function *of = &program->functions[b->function];
    if (of->label == output) of->label = 0;
    if (of->probabilities == output) of->probabilities = 0;
    return MIL_OK;
}

mil_status mil_program_remove_input(mil_program *program, mil_value input, mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "remove_input", err));
    MIL__TRY(is_input(program, input, "remove_input", err));
    mil__value *v = program->values[input];
    if (v->n_uses) return still_used(program, v, input, err);
    mil__block *b = program->blocks[v->block];
    b->n_inputs--;
    for (uint32_t i = v->index; i < b->n_inputs; i++) {
        b->inputs[i] = b->inputs[i + 1];
        program->values[b->inputs[i]]->index = (uint16_t)i;
    }
    forget_shapes(program, input);
    mil__unname_value(program, input);
    program->values[input] = NULL;
    return MIL_OK;
}
