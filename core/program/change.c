/* SPDX-License-Identifier: MIT */
/* A change of a program: all of it, or nothing.
 *
 * Each step saves what it replaces, the latest first; taking back is walking that list. Operations whose operands changed
 * are put into a heap by their place in the program. The end takes the first out, infers it again, and puts in what uses its
 * results where they are other than before: so each is inferred once, after all that it depends on, and a change costs
 * what depends on it, not what the program holds. (A loop stands before what is in its blocks; it is put in again where
 * they give other types than before, which only ever have more symbols.)
 *
 * What inference can't tell (a fresh symbol) stays as it was before: the symbol, so that symbols don't multiply; the size
 * that a file declared, unless an operand's type is another now. */
#include <stdio.h>

#include "program/program.h"

typedef enum saved_kind { SAVED_VALUE, SAVED_USE, SAVED_OUTPUT, SAVED_ARGS, SAVED_NAME, SAVED_MADE } saved_kind;

struct mil__saved {
    saved_kind kind;
    uint32_t subject;         /* a value, operation or block */
    uint32_t at;
    mil_value value;          /* that stood there */
    mil__value was;           /* a value: its type, data, sym, is_const; or is_output of what came in its place */
    mil__values *args;        /* of an operation, */
    mil_value *outputs;       /*   in one piece with them */
    uint8_t n_args;
    const char *name;         /* of a value */
    mil__saved *older;
};

static mil__saved *save(mil__change *c, saved_kind kind, uint32_t subject) {
    mil__saved *saved = mil__arena_zero(&c->arena, 1, sizeof *saved);
    if (!saved) return NULL;
    saved->kind = kind;
    saved->subject = subject;
    saved->older = c->saved;
    return c->saved = saved;
}

/* ---- what is to be inferred again ---- */

/* The last operation in its blocks, and in theirs; or itself. */
static mil_operation last_inside(const mil_program *program, mil_operation operation) {
    const mil__op *op = program->ops[operation];
    for (int b = op->n_blocks; b-- > 0;)
        if (program->blocks[op->blocks[b]]->last) return last_inside(program, program->blocks[op->blocks[b]]->last);
    return operation;
}

/* Where an operation is inferred: a loop before what it holds, which takes its variables; a cond after, for it takes nothing. */
static uint64_t turn(const mil__change *c, mil_operation operation) {
    bool is_loop = c->program->ops[operation]->decl->flags & MIL__LOOP;
    return c->program->users->place[is_loop ? operation : last_inside(c->program, operation)];
}

static bool comes_before(const mil__change *c, mil_operation a, mil_operation b) {
    uint64_t of_a = turn(c, a), of_b = turn(c, b);
    return of_a != of_b ? of_a < of_b : c->program->users->place[a] > c->program->users->place[b];
}

static void swap(mil_operation *a, mil_operation *b) {
    mil_operation t = *a;
    *a = *b;
    *b = t;
}

static mil_status put(mil__change *c, mil_operation operation, bool retyped) {
    mil__op *op = c->program->ops[operation];
    op->is_retyped |= retyped;
    if (op->is_pending) return MIL_OK;
    if (c->n_heap == c->cap_heap) {
        uint32_t wanted = c->cap_heap ? c->cap_heap * 2 : 64;
        mil_operation *grown = mil__realloc(c->heap, wanted * sizeof *grown);
        if (!grown) return mil__nomem(c->err);
        c->heap = grown;
        c->cap_heap = wanted;
    }
    op->is_pending = true;
    uint32_t i = c->n_heap++;
    c->heap[i] = operation;
    for (; i > 0 && comes_before(c, c->heap[i], c->heap[(i - 1) / 2]); i = (i - 1) / 2) swap(&c->heap[i], &c->heap[(i - 1) / 2]);
    return MIL_OK;
}

static mil_operation take_first(mil__change *c) {
    mil_operation first = c->heap[0];
    c->heap[0] = c->heap[--c->n_heap];
    for (uint32_t i = 0, child; (child = 2 * i + 1) < c->n_heap; i = child) {
        if (child + 1 < c->n_heap && comes_before(c, c->heap[child + 1], c->heap[child])) child++;
        if (!comes_before(c, c->heap[child], c->heap[i])) break;
        swap(&c->heap[i], &c->heap[child]);
    }
    return first;
}

static mil_status put_users(mil__change *c, mil_value value, bool retyped) {
    const mil__users *users = c->program->users;
    for (uint32_t use = users->first[value]; use; use = users->uses[use].next) {
        mil_operation op = users->uses[use].op ? users->uses[use].op : mil_block_parent(c->program, users->uses[use].block);
        if (op) MIL__TRY(put(c, op, retyped));
    }
    return MIL_OK;
}

/* ---- steps ---- */

mil_status mil__change_begin(mil__change *change, mil_program *program, const char *what, mil_error *err) {
    *change = (mil__change){.program = program, .what = what, .err = err};
    return mil__users_ready(program, err);
}

mil_status mil__change_use(mil__change *c, mil_operation operation, uint32_t at, mil_value value) {
    uint32_t n;
    mil_value old = mil__op_values(c->program->ops[operation], &n)[at];
    mil__saved *saved = save(c, SAVED_USE, operation);
    if (!saved) return mil__nomem(c->err);
    saved->at = at;
    saved->value = old;
    mil__use_move(c->program, operation, at, value);
    MIL__TRY(mil__users_ready(c->program, c->err));
    return put(c, operation, c->program->values[old]->type != c->program->values[value]->type);
}

/* Is the value among the outputs of any block? They are its own, or those of blocks inside. */
static bool is_block_output(const mil_program *program, mil_value value) {
    const mil__users *users = program->users;
    for (uint32_t use = users->last[value]; use; use = users->uses[use].prev)
        if (!users->uses[use].op) return true;
    return false;
}

static void set_output(mil_program *program, mil_block block, uint32_t at, mil_value value) {
    mil_value *outputs = program->blocks[block]->outputs, old = outputs[at];
    mil__users_drop_output(program, block, old);
    program->values[old]->n_uses--;
    program->values[value]->n_uses++;
    outputs[at] = value;
    mil__users_add_output(program, block, value);
}

mil_status mil__change_output(mil__change *c, mil_block block, uint32_t at, mil_value value) {
    mil_value old = c->program->blocks[block]->outputs[at];
    mil__saved *saved = save(c, SAVED_OUTPUT, block);
    if (!saved) return mil__nomem(c->err);
    saved->at = at;
    saved->value = old;
    saved->was = *c->program->values[value];
    set_output(c->program, block, at, value);
    MIL__TRY(mil__users_ready(c->program, c->err));
    c->program->values[value]->is_output = true;
    c->program->values[old]->is_output = is_block_output(c->program, old);
    mil_operation parent = mil_block_parent(c->program, block);
    return parent ? put(c, parent, c->program->values[old]->type != c->program->values[value]->type) : MIL_OK;
}

static mil_status save_value(mil__change *c, mil_value value) {
    mil__saved *saved = save(c, SAVED_VALUE, value);
    if (!saved) return mil__nomem(c->err);
    saved->was = *c->program->values[value];
    return MIL_OK;
}

mil_status mil__change_type(mil__change *c, mil_value value, const mil_type *type) {
    MIL__TRY(save_value(c, value));
    c->program->values[value]->type = type;
    return put_users(c, value, true);
}

static void swap_args(mil_program *program, mil_operation operation, mil__values *args, mil_value *outputs, int n_args) {
    mil__op *op = program->ops[operation];
    uint32_t n;
    mil__users_drop(program, operation);
    const mil_value *values = mil__op_values(op, &n);
    for (uint32_t i = 0; i < n; i++) program->values[values[i]]->n_uses--;
    op->args = args;
    op->outputs = outputs;
    op->n_args = (uint8_t)n_args;
    values = mil__op_values(op, &n);
    for (uint32_t i = 0; i < n; i++) program->values[values[i]]->n_uses++;
    if (program->users) mil__users_add(program, operation);
}

mil_status mil__change_args(mil__change *c, mil_operation operation, const mil__values *args, int n_args) {
    mil__op *op = c->program->ops[operation];
    mil__saved *saved = save(c, SAVED_ARGS, operation);
    size_t n = op->n_outputs, list = (size_t)n_args * sizeof *args;
    for (int a = 0; a < n_args; a++) n += args[a].n;
    mil__values *piece = saved ? mil__arena_aligned(&c->program->arena, list + n * sizeof(mil_value), _Alignof(mil__values)) : NULL;
    if (!piece) {
        if (saved) c->saved = saved->older;
        return mil__nomem(c->err);
    }
    saved->args = op->args;
    saved->outputs = op->outputs;
    saved->n_args = op->n_args;
    mil_value *outputs = (mil_value *)(piece + n_args), *values = outputs + op->n_outputs;
    for (uint32_t i = 0; i < op->n_outputs; i++) outputs[i] = op->outputs[i];
    for (int a = 0; a < n_args; a++) {
        piece[a] = args[a];
        piece[a].values = values;
        for (uint32_t i = 0; i < args[a].n; i++) *values++ = args[a].values[i];
    }
    swap_args(c->program, operation, piece, outputs, n_args);
    MIL__TRY(mil__users_ready(c->program, c->err));
    return put(c, operation, true);
}

mil_status mil__change_name(mil__change *c, mil_value from, mil_value to) {
    const mil_value both[] = {from, to};
    for (int i = 0; i < 2; i++) {
        mil__saved *saved = save(c, SAVED_NAME, both[i]);
        if (!saved) return mil__nomem(c->err);
        saved->name = c->program->values[both[i]]->name;
    }
    return mil__pass_name(c->program, from, to, c->err);
}

mil_status mil__change_made(mil__change *c, mil_operation operation) {
    if (save(c, SAVED_MADE, operation)) return MIL_OK;
    mil__program_remove(c->program, operation);
    return mil__nomem(c->err);
}

/* ---- inferring again ---- */

/* The inferred type, with what inference could not tell as it was. newest: dims made by this inference are this or below. */
static const mil_type *settle(const mil__call *call, const mil_type *inferred, const mil_type *old, bool retyped, mil_dim newest) {
    if (inferred == old || inferred->kind != MIL_TENSOR || old->kind != MIL_TENSOR || inferred->rank != old->rank) return inferred;
    if (inferred->is_unranked != old->is_unranked) return inferred;
    mil_dim shape[MIL_MAX_RANK];
    bool kept = false;
    for (int i = 0; i < inferred->rank; i++) {
        mil_dim dim = inferred->shape[i];
        bool unknown = dim < 0 && dim <= newest && mil__dim_is_symbol(call->types, dim);
        bool keep = unknown && (old->shape[i] < 0 || !retyped);
        shape[i] = keep ? old->shape[i] : dim;
        kept |= keep;
    }
    return kept ? mil__tensor_type(call->types, inferred->dtype, inferred->rank, shape) : inferred;
}

static bool same_sym(const mil__value *v, const mil_type *type, const mil_dim *sym) {
    int64_t n;
    if (!v->sym || !sym) return !v->sym && !sym;
    return v->type == type && mil__shape_numel(type->rank, type->shape, &n) && memcmp(v->sym, sym, (size_t)n * sizeof *sym) == 0;
}

typedef struct inferring {
    mil__change *change;
    mil_dim newest;           /* before it began */
} inferring;

/* Result i of an operation is now what the call says; data (owned) goes into the value. */
static mil_status set_result(void *ctx, mil__call *call, const mil__op *op, uint32_t i, bool is_const, mil_tensor *data) {
    const inferring *again = ctx;
    mil__change *c = again->change;
    mil__value *v = c->program->values[op->outputs[i]];
    const mil_type *type = settle(call, call->out[i], v->type, op->is_retyped, again->newest);
    const mil_dim *sym = call->out_sym[i];
    bool same = type == v->type && is_const == v->is_const && !data && !v->data && same_sym(v, type, sym);
    mil_status status = type ? MIL_OK : mil__nomem(c->err);
    int64_t n = 0;
    if (status == MIL_OK && !same && sym && mil__shape_numel(type->rank, type->shape, &n)) {
        sym = mil__arena_copy(&c->program->arena, sym, (size_t)n * sizeof *sym);
        if (!sym) status = mil__nomem(c->err);
    }
    if (status == MIL_OK && !same) status = save_value(c, op->outputs[i]);
    if (status != MIL_OK || same) {
        mil__drop_data(data);
        return status;
    }
    bool retyped = type != v->type;
    v->type = type;
    v->is_const = is_const;
    v->data = data;
    v->sym = n ? sym : NULL;
    return put_users(c, op->outputs[i], retyped);
}

/* The variables of a loop take what they are at first now, and what the body gives now. */
static mil_status widen_variables(mil__change *c, const mil__op *op) {
    const mil_program *program = c->program;
    const mil__block *body = program->blocks[op->blocks[1]];
    uint32_t n;
    const mil_value *first = mil__op_values(op, &n);
    for (uint32_t i = 0; i < n && i < body->n_inputs && i < body->n_outputs; i++) {
        const mil_type *was = program->values[body->inputs[i]]->type;
        const mil_type *type = mil__type_wider(program->types, was, program->values[first[i]]->type, false);
        if (type) type = mil__type_wider(program->types, type, program->values[body->outputs[i]]->type, false);
        if (!type) return mil__nomem(c->err);
        for (int b = 0; b < 2 && type != was; b++) MIL__TRY(mil__change_type(c, program->blocks[op->blocks[b]]->inputs[i], type));
    }
    return MIL_OK;
}

static mil_status infer_again(mil__change *c, mil_operation operation) {
    mil_program *program = c->program;
    mil__op *op = program->ops[operation];
    op->is_pending = false;
    if (op->decl->flags & MIL__LOOP) MIL__TRY(widen_variables(c, op));
    mil__mark mark = mil__arena_mark(&program->scratch);
    mil__call call;
    mil__seen_blocks seen;
    mil__call_begin(program, op->decl, op->block, op->blocks, op->n_blocks, &seen, &call, c->err);
    call.arena = &program->scratch;
    inferring again = {c, mil__dim_next(program->types)};
    mil_status status = mil__call_of(program, op, &call);
    if (status == MIL_OK) status = mil__call_infer(&call);
    if (status == MIL_OK) status = mil__call_results(&call, op, set_result, &again);
    mil__arena_rewind(&program->scratch, mark);
    op->is_retyped = false;
    return status;
}

/* "replace: y is not possible: conv: weight ..." */
static void explain(const mil__change *c, const mil__op *op, mil_status status) {
    if (!c->err || status == MIL_ENOMEM) return;
    char why[sizeof c->err->message];
    memcpy(why, c->err->message, sizeof why);
    const char *name = mil__result_name(c->program, op);
    snprintf(c->err->message, sizeof c->err->message, "%s: %.80s would fail: %.600s", c->what, name ? name : "an operation", why);
}

static mil_status infer_all(mil__change *c) {
    MIL__TRY(mil__users_ready(c->program, c->err));
    while (c->n_heap) {
        mil_operation first = take_first(c);
        mil_status status = infer_again(c, first);
        if (status != MIL_OK) explain(c, c->program->ops[first], status);
        MIL__TRY(status);
    }
    return MIL_OK;
}

/* ---- the end ---- */

static void take_back(mil__change *c, const mil__saved *saved) {
    mil_program *program = c->program;
    switch (saved->kind) {
    case SAVED_VALUE: {
        mil__value *v = program->values[saved->subject];
        if (v->data != saved->was.data) mil__drop_data(v->data);
        v->type = saved->was.type;
        v->data = saved->was.data;
        v->sym = saved->was.sym;
        v->is_const = saved->was.is_const;
        break;
    }
    case SAVED_USE: mil__use_move(program, saved->subject, saved->at, saved->value); break;
    case SAVED_OUTPUT: {
        mil_value now = program->blocks[saved->subject]->outputs[saved->at];
        set_output(program, saved->subject, saved->at, saved->value);
        program->values[saved->value]->is_output = true;
        program->values[now]->is_output = saved->was.is_output;
        break;
    }
    case SAVED_ARGS: swap_args(program, saved->subject, saved->args, saved->outputs, saved->n_args); break;
    case SAVED_NAME: {
        mil__value *v = program->values[saved->subject];
        if (v->name != saved->name) mil__forget_name(program, saved->subject, v->name);
        v->name = saved->name;
        break;
    }
    case SAVED_MADE: mil__program_remove(program, saved->subject); break;
    }
}

/* What was kept for taking back goes. */
static void let_go(mil__change *c, const mil__saved *saved) {
    const mil__value *v = mil__value_at(c->program, saved->subject); /* where it is one */
    if (saved->kind == SAVED_VALUE && saved->was.data != v->data) mil__drop_data(saved->was.data);
    if (saved->kind == SAVED_NAME && saved->name != v->name) mil__forget_name(c->program, saved->subject, saved->name);
}

mil_status mil__change_end(mil__change *c, mil_status status) {
    if (status == MIL_OK) status = infer_all(c);
    while (c->n_heap) {
        mil__op *op = c->program->ops[c->heap[--c->n_heap]];
        op->is_pending = op->is_retyped = false;
    }
    for (const mil__saved *saved = c->saved; saved; saved = saved->older) {
        if (status != MIL_OK) take_back(c, saved);
        else let_go(c, saved);
    }
    mil__free(c->heap);
    mil__arena_free(&c->arena);
    return status;
}
