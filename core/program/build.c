/* SPDX-License-Identifier: MIT */
/* Adding an operation, or leaving no trace.
 *
 * Everything that an addition makes (table entries, names, arena memory, links) comes after a mark that is taken first;
 * whatever fails, `undo_to` goes back to it. Inference runs in a scratch arena that is rewound after each call. */
#include <math.h>
#include <stdio.h>

#include "program/recall.h"

enum { FOLD_LIMIT = 4096, FOLD_SYMBOLS = 64 }; /* elements of results that are computed when the operation is added */

/* ---- going back ---- */

typedef struct snapshot {
    mil__mark mark;
    uint32_t n_ops, n_values;
} snapshot;

static snapshot snapshot_of(const mil_program *program) {
    return (snapshot){mil__arena_mark(&program->arena), program->n_ops, program->n_values};
}

static void unlink_operation(mil_program *program, mil_operation operation) {
    mil__op *op = program->ops[operation];
    mil__block *block = program->blocks[op->block];
    if (block->before == operation) block->before = op->next;
    *(op->prev ? &program->ops[op->prev]->next : &block->first) = op->next;
    *(op->next ? &program->ops[op->next]->prev : &block->last) = op->prev;
}

void mil__drop_data(mil_tensor *data) {
    if (data && data->buffer) mil_tensor_free(data); /* else it is in the arena */
}

static void drop_data(mil__value *value) {
    mil__drop_data(value->data);
    value->data = NULL;
}

static void drop_uses(mil_program *program, const mil_value *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        mil__value *used = program->values[values[i]];
        if (used) used->n_uses--;
    }
}

static void drop_values(mil_program *program, const mil_value *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        mil__unname_value(program, values[i]);
        drop_data(program->values[values[i]]);
        program->values[values[i]] = NULL;
    }
}

static void drop_block(mil_program *program, mil_block block);

/* Takes the operation with its blocks, its results and its uses of values away; the entries become stale. */
static void drop_operation(mil_program *program, mil_operation operation) {
    mil__op *op = program->ops[operation];
    mil__users_drop(program, operation);
    for (uint16_t b = 0; b < op->n_blocks; b++) drop_block(program, op->blocks[b]);
    for (uint16_t a = 0; a < op->n_args; a++) drop_uses(program, op->args[a].values, op->args[a].n);
    drop_values(program, op->outputs, op->n_outputs);
    unlink_operation(program, operation);
    program->ops[operation] = NULL;
}

static void drop_block(mil_program *program, mil_block block) {
    const mil__block *b = program->blocks[block];
    for (uint32_t i = 0; i < b->n_outputs; i++) mil__users_drop_output(program, block, b->outputs[i]);
    drop_uses(program, b->outputs, b->n_outputs);
    while (b->last) drop_operation(program, b->last);
    drop_values(program, b->inputs, b->n_inputs);
    program->blocks[block] = NULL;
}

void mil__block_drop(mil_program *program, mil_block block) {
    if (mil__block_at(program, block)) drop_block(program, block);
}

static void undo_to(mil_program *program, snapshot to) {
    for (uint32_t i = program->n_ops; i-- > to.n_ops;)
        if (program->ops[i] && program->ops[i]->block) drop_operation(program, i);
    for (uint32_t i = program->n_values; i-- > to.n_values;) {
        if (!program->values[i]) continue;
        mil__unname_value(program, i);
        drop_data(program->values[i]);
    }
    program->n_ops = to.n_ops;
    program->n_values = to.n_values;
    mil__recall_forget(program);
    mil__arena_rewind(&program->arena, to.mark);
}

void mil__program_remove(mil_program *program, mil_operation operation) { drop_operation(program, operation); }

/* ---- linking ---- */

void mil__link_operation(mil_program *program, mil_operation operation, mil_block block, mil_operation before) {
    mil__op *op = program->ops[operation];
    mil__block *b = program->blocks[block];
    op->block = block;
    op->next = before;
    op->prev = before ? program->ops[before]->prev : b->last;
    *(op->prev ? &program->ops[op->prev]->next : &b->first) = operation;
    *(op->next ? &program->ops[op->next]->prev : &b->last) = operation;
    if (program->users) mil__users_place(program, operation);
}

bool mil__value_visible(const mil_program *program, mil_value value, mil_block block) {
    const mil__value *v = mil__value_at(program, value);
    for (; v && block; block = program->blocks[block]->outer)
        if (v->block == block) return true;
    return false;
}

/* ---- a call from values ---- */

const mil__values *mil__op_arg(const mil__op *op, int slot) {
    for (uint16_t i = 0; i < op->n_args; i++)
        if (op->args[i].slot == slot) return &op->args[i];
    return NULL;
}

const mil__values *mil__op_arg_named(const mil__op *op, const char *name) {
    int slot = mil__op_slot(op->decl, MIL_IOS18, name, NULL);
    for (mil_opset opset = MIL_IOS15; slot < 0 && opset < MIL_IOS18; opset++)
        slot = mil__op_slot(op->decl, opset, name, NULL);
    return slot < 0 ? NULL : mil__op_arg(op, slot);
}

int mil__op_ints(const mil_program *program, const mil__op *op, const char *name, int max, int64_t *out) {
    const mil__values *arg = mil__op_arg_named(op, name);
    const mil_tensor *data = arg && arg->n == 1 ? program->values[arg->values[0]]->data : NULL;
    if (!data || data->rank > 1 || mil__numel(data) > max) return -1;
    int n = (int)mil__numel(data);
    for (int i = 0; i < n; i++) out[i] = mil__load_i64(data, data->rank ? i * data->strides[0] : 0);
    return n;
}

static mil__operand operand_of(const mil__value *value) {
    return (mil__operand){.type = value->type, .data = value->data, .sym = value->sym, .is_const = value->is_const,
                          .name = value->name};
}

static mil_status fill_call(const mil_program *program, const mil__values *args, int n_args, mil__call *call) {
    for (int a = 0; a < n_args; a++) {
        mil__operand *operands = mil__arena_alloc(call->arena, args[a].n * sizeof *operands);
        if (!operands) return mil__nomem(call->err);
        for (uint32_t i = 0; i < args[a].n; i++) operands[i] = operand_of(program->values[args[a].values[i]]);
        call->in[args[a].slot] = (mil__input){(int)args[a].n, args[a].tuple, operands};
    }
    if (call->op->params_size == 0) return MIL_OK;
    call->params = mil__arena_zero(call->arena, 1, call->op->params_size);
    return call->params ? MIL_OK : mil__nomem(call->err);
}

mil_status mil__call_of(const mil_program *program, const mil__op *op, mil__call *call) {
    return fill_call(program, op->args, op->n_args, call);
}

/* ---- values known when the program is made ---- */

static bool all_const(const mil__call *call, bool *have_data) {
    *have_data = true;
    for (int slot = 0, n = mil__op_n_slots(call->op); slot < n; slot++)
        for (int i = 0; i < call->in[slot].n; i++) {
            if (!call->in[slot].items[i].is_const) return false;
            if (!call->in[slot].items[i].data) *have_data = false;
        }
    return true;
}

static bool is_small(const mil__call *call) {
    int64_t total = 0;
    for (int i = 0; i < call->n_out; i++) {
        const mil_type *type = call->out[i];
        int64_t n;
        if (type->kind != MIL_TENSOR || !mil__shape_numel(type->rank, type->shape, &n) || n > FOLD_LIMIT) return false;
        total += n;
    }
    return total <= FOLD_LIMIT;
}

/* Computes the results of a call whose operands are all known. results: n_out entries, NULL where that is impossible
 * (an evaluation that fails leaves the value unknown: the run will say why). */
static mil_status fold(mil__call *call, mil_tensor **results) {
    mil_status status = MIL_OK;
    for (int i = 0; i < call->n_out && status == MIL_OK; i++)
        status = mil_tensor_new(call->out[i]->dtype, call->out[i]->rank, call->out[i]->shape, &results[i], call->err);
    if (status == MIL_OK) {
        mil_error *err = call->err;
        call->result = results;
        call->err = NULL;
        status = call->op->eval(call);
        call->err = err;
        if (status == MIL_OK) return MIL_OK;
    }
    for (int i = 0; i < call->n_out; i++) {
        mil_tensor_free(results[i]);
        results[i] = NULL;
    }
    return status == MIL_ENOMEM ? mil__nomem(call->err) : MIL_OK;
}

/* ---- results ---- */

/* The declared type where it says more than the inferred one. */
static mil_status settle_type(mil__call *call, const mil__new_op *new_op, int i) {
    const mil_type *declared = new_op->declared[i], *inferred = call->out[i];
    if (declared == inferred) return MIL_OK;
    if (!mil__type_fits(declared, inferred)) {
        return mil__call_fail(call, MIL_ETYPE, "the result is declared %s, but is %s",
                              MIL__TYPE_TEXT(call->types, declared), MIL__TYPE_TEXT(call->types, inferred));
    }
    if (inferred->kind != MIL_TENSOR || declared->is_unranked) return MIL_OK;
    if (inferred->is_unranked) {
        call->out[i] = declared;
        return MIL_OK;
    }
    mil_dim shape[MIL_MAX_RANK];
    for (int k = 0; k < inferred->rank; k++)
        shape[k] = inferred->shape[k] < 0 && declared->shape[k] >= 0 ? declared->shape[k] : inferred->shape[k];
    call->out[i] = mil__tensor_type(call->types, inferred->dtype, inferred->rank, shape);
    return call->out[i] ? MIL_OK : mil__nomem(call->err);
}

mil_status mil__call_infer(mil__call *call) {
    MIL__TRY(mil__call_check(call));
    MIL__TRY(call->op->infer(call));
    mil_status status = mil__types_status(call->types);
    if (status == MIL_OK) return MIL_OK;
    mil__types_clear_status(call->types);
    return status == MIL_ENOMEM ? mil__nomem(call->err) : mil__call_fail(call, status, "the result's size overflows");
}

static mil_status infer(mil_program *program, mil__call *call, const mil__new_op *new_op) {
    if (new_op->unchecked) {
        MIL__TRY(mil__call_outputs(call, new_op->n_declared));
        for (int i = 0; i < new_op->n_declared; i++) call->out[i] = new_op->declared[i];
        return MIL_OK;
    }
    MIL__TRY(mil__call_infer(call));
    if (!new_op->n_blocks) mil__recall_later(program, new_op, call);
    if (!new_op->declared && !new_op->names) return MIL_OK;
    if (call->n_out != new_op->n_declared)
        return mil__call_fail(call, MIL_ETYPE, "has %d results, but %d are declared", call->n_out, new_op->n_declared);
    if (!new_op->declared) return MIL_OK;
    for (int i = 0; i < call->n_out; i++) MIL__TRY(settle_type(call, new_op, i));
    return MIL_OK;
}

/* Arguments, room for n_outputs, and the values of the arguments, in one piece. */
static mil_status copy_args(mil_program *program, mil__op *op, const mil__new_op *new_op, int n_outputs) {
    size_t n = (size_t)n_outputs;
    for (int a = 0; a < new_op->n_args; a++) n += new_op->args[a].n;
    op->args = mil__arena_aligned(&program->arena, (size_t)new_op->n_args * sizeof *op->args + n * sizeof *op->outputs,
                                  _Alignof(mil__values));
    if (!op->args) return MIL_ENOMEM;
    op->outputs = (mil_value *)(op->args + new_op->n_args);
    mil_value *values = op->outputs + n_outputs;
    for (int a = 0; a < new_op->n_args; a++) { /* ascending by slot: an insertion sort of a few */
        mil__values arg = new_op->args[a];
        for (uint32_t i = 0; i < arg.n; i++) values[i] = arg.values[i];
        arg.values = values;
        values += arg.n;
        int at = a;
        for (; at > 0 && op->args[at - 1].slot > arg.slot; at--) op->args[at] = op->args[at - 1];
        op->args[at] = arg;
    }
    return MIL_OK;
}

static void count_uses(mil_program *program, const mil__op *op) {
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++) program->values[op->args[a].values[i]]->n_uses++;
}

static mil_status name_result(mil_program *program, const mil__new_op *new_op, mil_value value, uint32_t i, bool one,
                              const char *base, mil_error *err) {
    if (new_op->names && new_op->names[i].s)
        return mil__name_value(program, value, new_op->names[i], new_op->hashes ? new_op->hashes[i] : 0,
                               new_op->before != 0, err);
    size_t index = mil__op_index(new_op->decl);
    bool between = new_op->before != 0;
    if (one && !base)
        return mil__name_value_fresh(program, value, new_op->decl->name, &program->next_name[index], between, err);
    /* several results: "<op>_<n>_<i>", after the first's number */
    char text[200];
    snprintf(text, sizeof text, "%.180s", base ? base : new_op->decl->name);
    uint32_t next = i;
    return mil__name_value_fresh(program, value, text, &next, between, err);
}

/* A result whose symbols are all numbers (the shape of x, where that is known) is as good as a const. */
mil_status mil__call_known(mil__call *call, int i, mil_tensor **out) {
    const mil_type *type = call->out[i];
    const mil_dim *sym = call->out_sym[i];
    int64_t n, values[FOLD_SYMBOLS];
    if (!sym || type->kind != MIL_TENSOR || !mil__shape_numel(type->rank, type->shape, &n) || n > FOLD_SYMBOLS) return MIL_OK;
    for (int64_t k = 0; k < n; k++)
        if (!mil__dim_is_number(call->types, sym[k], &values[k])) return MIL_OK;
    MIL__TRY(mil_tensor_new(type->dtype, type->rank, type->shape, out, call->err));
    mil__write_i64(*out, values);
    return MIL_OK;
}

mil_status mil__call_fold(mil__call *call, const mil__op *op, bool *is_const, mil_tensor ***data) {
    bool have_data;
    *data = NULL;
    *is_const = op->decl->eval && !(op->decl->flags & (MIL__RANDOM | MIL__EFFECT)) && all_const(call, &have_data);
    if (!*is_const || !have_data || op->decl->flags & MIL__NO_FOLD || !is_small(call)) return MIL_OK;
    *data = mil__arena_zero(call->arena, (size_t)call->n_out, sizeof **data);
    return *data ? fold(call, *data) : mil__nomem(call->err);
}

mil_status mil__call_results(mil__call *call, const mil__op *op, mil__set_result *set, void *ctx) {
    bool is_const;
    mil_tensor **data;
    if (call->n_out != (int)op->n_outputs)
        return mil__call_fail(call, MIL_ETYPE, "would have %d results, but has %u", call->n_out, op->n_outputs);
    MIL__TRY(mil__call_fold(call, op, &is_const, &data));
    mil_status status = MIL_OK;
    for (int i = 0; i < call->n_out; i++) {
        mil_tensor *known = data ? data[i] : NULL;
        if (status == MIL_OK && !known) status = mil__call_known(call, i, &known);
        if (status == MIL_OK) status = set(ctx, call, op, (uint32_t)i, is_const || known, known);
        else mil__drop_data(known);
    }
    return status;
}

/* Values for the results of a checked call. base: of the names of several results; NULL: made here. */
static mil_status add_results(mil_program *program, mil_block block, mil_operation operation, mil__call *call,
                              const mil__new_op *new_op) {
    mil__op *op = program->ops[operation];
    bool is_const = false;
    mil_tensor **data = NULL;
    if (!new_op->unchecked) MIL__TRY(mil__call_fold(call, op, &is_const, &data));
    char base[200];
    bool several = call->n_out > 1 && !new_op->names;
    if (several) snprintf(base, sizeof base, "%s_%u", op->decl->name, program->next_name[mil__op_index(op->decl)]++);
    mil_status status = MIL_OK;
    for (int i = 0; i < call->n_out; i++) {
        mil_tensor *known = data ? data[i] : NULL;
        if (status == MIL_OK && !known) status = mil__call_known(call, i, &known);
        mil_value value = status == MIL_OK ? mil__new_value(program) : 0;
        if (!value) {
            mil_tensor_free(known);
            if (status == MIL_OK) status = mil__nomem(call->err);
            continue;
        }
        mil__value *v = program->values[value];
        *v = (mil__value){.type = call->out[i], .op = operation, .block = block, .index = (uint16_t)i,
                          .is_const = is_const || known, .data = known};
        op->outputs[op->n_outputs++] = value;
        int64_t n = 0;
        if (call->out_sym[i] && mil__shape_numel(v->type->rank, v->type->shape, &n)) {
            v->sym = mil__arena_copy(&program->arena, call->out_sym[i], (size_t)n * sizeof *v->sym);
            if (!v->sym) status = mil__nomem(call->err);
        }
        if (status == MIL_OK)
            status = name_result(program, new_op, value, (uint32_t)i, call->n_out == 1, several ? base : NULL, call->err);
    }
    return status;
}

static void locate(mil_error *err, mil_status status, const char *op, mil_where where) {
    if (!err || status == MIL_OK) return;
    if (!err->op[0] && op) snprintf(err->op, sizeof err->op, "%s", op);
    if (err->line || !where.file) return;
    snprintf(err->file, sizeof err->file, "%s", where.file);
    err->line = where.line;
}

/* The operation with its arguments and room for its results; 0: out of memory. */
static mil_operation begin_operation(mil_program *program, const mil__new_op *new_op, int n_outputs) {
    mil_operation operation = mil__new_operation(program);
    if (!operation) return 0;
    mil__op *op = program->ops[operation]; /* zeros */
    op->decl = new_op->decl;
    op->attrs = new_op->attrs;
    op->label = new_op->label;
    op->line = new_op->where.line;
    op->file = new_op->where.file ? mil__program_file(program, new_op->where.file) : NULL;
    if (new_op->where.file && !op->file) return 0;
    op->n_blocks = (uint16_t)new_op->n_blocks;
    return copy_args(program, op, new_op, n_outputs) == MIL_OK ? operation : 0;
}

static mil_status take_blocks(mil_program *program, mil_operation operation, const mil__new_op *new_op, mil_error *err) {
    mil__op *op = program->ops[operation];
    op->blocks = mil__arena_copy(&program->arena, new_op->blocks, (size_t)new_op->n_blocks * sizeof *op->blocks);
    if (!op->blocks) return mil__nomem(err);
    for (int i = 0; i < new_op->n_blocks; i++) {
        program->blocks[new_op->blocks[i]]->parent = operation;
        program->blocks[new_op->blocks[i]]->is_open = false;
    }
    return MIL_OK;
}

static void end_operation(mil_program *program, mil_operation operation, mil_block block, const mil__new_op *new_op) {
    mil__op *op = program->ops[operation];
    op->n_args = (uint8_t)new_op->n_args;
    count_uses(program, op);
    mil__link_operation(program, operation, block, new_op->before);
    if (program->users) mil__users_add(program, operation);
}

static mil_status add_inferring(mil_program *program, mil_block block, const mil__new_op *new_op, mil_operation *out,
                                mil_error *err) {
    mil__call call;
    mil__seen_blocks seen;
    mil__call_begin(program, new_op->decl, block, new_op->blocks, new_op->n_blocks, &seen, &call, err);
    call.arena = &program->scratch;
    if (new_op->decl->flags & MIL__LOOP && !new_op->unchecked)
        MIL__TRY(mil__loop_settle(program, new_op->blocks, new_op->n_blocks, err));
    MIL__TRY(fill_call(program, new_op->args, new_op->n_args, &call));
    MIL__TRY(infer(program, &call, new_op));
    mil_operation operation = begin_operation(program, new_op, call.n_out);
    if (!operation) return mil__nomem(err);
    MIL__TRY(add_results(program, block, operation, &call, new_op));
    if (new_op->n_blocks) MIL__TRY(take_blocks(program, operation, new_op, err));
    end_operation(program, operation, block, new_op);
    *out = operation;
    return MIL_OK;
}

/* The call of an operation that has nothing unusual; slots, values: room for MIL__RECALLED_ARGS. */
static bool plain_of(const mil__new_op *new_op, uint16_t *slots, mil_value *values, mil__plain_op *plain) {
    bool unusual = new_op->unchecked || new_op->n_blocks || new_op->n_args > MIL__RECALLED_ARGS;
    if (unusual) return false;
    for (int i = 0; i < new_op->n_args; i++) {
        const mil__values *arg = &new_op->args[i];
        if (arg->n != 1 || arg->tuple) return false;
        slots[i] = arg->slot;
        values[i] = arg->values[0];
    }
    *plain = (mil__plain_op){.decl = new_op->decl, .n_args = new_op->n_args, .slots = slots, .values = values, .where = new_op->where};
    return true;
}

/* Adds it where the type of its result is known from before; *out 0: it is not, or what is given says otherwise. */
static mil_status add_like_before(mil_program *program, mil_block block, const mil__new_op *new_op, mil_opset opset,
                                  mil_operation *out, mil_error *err) {
    uint16_t slots[MIL__RECALLED_ARGS];
    mil_value values[MIL__RECALLED_ARGS];
    mil__plain_op plain;
    *out = 0;
    if (new_op->before || !plain_of(new_op, slots, values, &plain) || !(plain.type = mil__recall(program, opset, &plain))) return MIL_OK;
    bool told = new_op->declared || new_op->names;
    if (told && (new_op->n_declared != 1 || (new_op->declared && !mil__type_fits(new_op->declared[0], plain.type)))) return MIL_OK;
    if (new_op->names && new_op->names[0].s) {
        plain.name = new_op->names[0];
        if (!new_op->hashes && !mil__is_name(plain.name)) return MIL_OK;
        plain.hash = new_op->hashes ? new_op->hashes[0] : mil__hash(plain.name.s, plain.name.n);
    }
    mil_value value = mil__program_add_plain(program, block, &plain);
    if (!value) return MIL_OK;
    mil_operation operation = program->values[value]->op;
    program->ops[operation]->attrs = new_op->attrs;
    program->ops[operation]->label = new_op->label;
    if (!plain.name.n) MIL__TRY(name_result(program, new_op, value, 0, true, NULL, err));
    *out = operation;
    return MIL_OK;
}

static mil_status add(mil_program *program, mil_block block, const mil__new_op *new_op, mil_operation *out, mil_error *err) {
    mil_opset opset = program->functions[program->blocks[block]->function].opset;
    MIL__TRY(add_like_before(program, block, new_op, opset, out, err));
    return *out ? MIL_OK : add_inferring(program, block, new_op, out, err);
}

mil_status mil__program_add(mil_program *program, mil_block block, const mil__new_op *new_op, mil_operation *out,
                            mil_error *err) {
    snapshot before = snapshot_of(program);
    mil__mark scratch = mil__arena_mark(&program->scratch);
    mil_status status = add(program, block, new_op, out, err);
    mil__arena_rewind(&program->scratch, scratch);
    if (status == MIL_OK) return MIL_OK;
    undo_to(program, before);
    locate(err, status, new_op->decl->name, new_op->where);
    return status;
}

/* ---- consts ---- */

/* What is in a surface is copied: a const is read at any time, by whom nobody expects to lock anything. */
static mil_status const_of_surface(mil_program *program, mil_block block, mil_tensor *data, const char *name, bool is_inline,
                                   mil_where where, mil_operation before, mil_value *out, mil_error *err) {
    mil_tensor *copy;
    MIL__TRY(mil_tensor_convert(data, data->dtype, &copy, err));
    mil_status status = mil__program_const(program, block, copy, name, is_inline, where, before, out, err);
    mil_tensor_free(copy);
    if (status == MIL_OK) mil_buffer_freeze(data->buffer);
    return status;
}

mil_status mil__program_const(mil_program *program, mil_block block, mil_tensor *data, const char *name, bool is_inline,
                              mil_where where, mil_operation before, mil_value *out, mil_error *err) {
    if (mil__buffer_surface(data->buffer)) return const_of_surface(program, block, data, name, is_inline, where, before, out, err);
    const mil_type *type = mil__tensor_type(program->types, data->dtype, data->rank, data->shape);
    if (!type) return mil__nomem(err);
    return mil__program_const_of(program, block, type, data, mil__slice_of(name), 0, is_inline, where, before, out, err);
}

mil_status mil__program_const_of(mil_program *program, mil_block block, const mil_type *type, mil_tensor *data,
                                 mil__slice name, uint64_t hash, bool is_inline, mil_where where,
                                 mil_operation before, mil_value *out, mil_error *err) {
    const mil_op *decl = mil__op_const();
    snapshot snap = snapshot_of(program);
    mil_operation operation = mil__new_operation(program);
    mil_value value = operation ? mil__new_value(program) : 0;
    mil_value *outputs = value ? mil__arena_aligned(&program->arena, sizeof value, _Alignof(mil_value)) : NULL;
    mil_status status = outputs ? MIL_OK : mil__nomem(err);
    if (status == MIL_OK) {
        *outputs = value;
        mil__value *v = program->values[value]; /* zeros, as is op */
        mil__op *op = program->ops[operation];
        v->type = type;
        v->op = operation;
        v->block = block;
        v->is_const = true;
        op->decl = decl;
        op->n_outputs = 1;
        op->outputs = outputs;
        op->line = where.line;
        op->file = where.file ? mil__program_file(program, where.file) : NULL;
        op->is_inline = is_inline;
        if (where.file && !op->file) status = mil__nomem(err);
        else if (name.s) status = mil__name_value(program, value, name, hash, before != 0, err);
        else if (!is_inline)
            status = mil__name_value_fresh(program, value, "const", &program->next_name[mil__op_index(decl)], before != 0, err);
    }
    if (status != MIL_OK) {
        undo_to(program, snap);
        locate(err, status, "const", where);
        return status;
    }
    program->values[value]->data = data && data->buffer ? mil_tensor_retain(data) : data;
    if (data && data->buffer) mil_buffer_freeze(data->buffer);
    mil__link_operation(program, operation, block, before);
    *out = value;
    return MIL_OK;
}

static mil_status check_block(const mil_program *program, mil_block block, mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "add", err));
    const mil__block *b = mil__block_at(program, block);
    if (b && (b->is_open || b->before)) return MIL_OK;
    return mil__fail(err, MIL_ESTATE, "the block is closed, or not of this program");
}

mil_status mil_program_const(mil_program *program, mil_block block, mil_tensor *data, const char *name, mil_where where,
                             mil_value *out, mil_error *err) {
    *out = 0;
    MIL__TRY(check_block(program, block, err));
    return mil__program_const(program, block, data, name, false, where, program->blocks[block]->before, out, err);
}

/* ---- arguments as a caller gives them ---- */

typedef struct adding {
    mil_program *program;
    mil_block block;
    const mil_op *op;
    mil_opset opset;
    const mil_arg *args;
    size_t n_args;
    const char *name;
    mil_where where;
    mil_error *err;
    mil_operation before;     /* where in the block; 0: at the end */
} adding;

__attribute__((format(printf, 3, 4)))
static mil_status adding_fail(adding *a, mil_status status, const char *format, ...) {
    mil__call call = {.op = a->op, .err = a->err};
    char message[600];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return mil__call_fail(&call, status, "%s", message);
}

static mil_dtype dtype_of_arg(const adding *a, const mil_arg *arg) {
    if (arg->kind == MIL_ARG_TENSOR) return arg->tensor->dtype;
    if (arg->kind == MIL_ARG_VALUE) {
        const mil__value *value = mil__value_at(a->program, arg->value);
        const mil_type *type = value ? value->type : NULL;
        if (type && type->kind == MIL_LIST) type = type->items[0];
        return type && type->kind == MIL_TENSOR ? type->dtype : MIL_NO_DTYPE;
    }
    return MIL_NO_DTYPE;
}

/* The dtype of the value or tensor given to the first parameter, in the op's order, of this letter (0: of any). */
static mil_dtype dtype_of_group(const adding *a, uint32_t letter) {
    mil_dtype first = MIL_NO_DTYPE;
    int least = INT_MAX;
    for (size_t i = 0; i < a->n_args; i++) {
        const mil__param *row;
        mil_dtype dtype = dtype_of_arg(a, &a->args[i]);
        int slot = dtype ? mil__op_slot(a->op, a->opset, a->args[i].name, &row) : -1;
        if (slot < 0 || slot >= least || (letter && row->type != letter)) continue;
        first = dtype;
        least = slot;
    }
    return first;
}

/* That of the state among the arguments. */
static mil_dtype dtype_of_state(const adding *a) {
    for (size_t i = 0; i < a->n_args; i++) {
        const mil__value *value = a->args[i].kind == MIL_ARG_VALUE ? mil__value_at(a->program, a->args[i].value) : NULL;
        if (value && value->type->kind == MIL_STATE) return value->type->items[0]->dtype;
    }
    return MIL_NO_DTYPE;
}

/* What output_dtype says, where a parameter of these dtypes may be of it. */
static mil_dtype dtype_of_output(const adding *a, uint32_t set) {
    for (size_t i = 0; i < a->n_args; i++) {
        const mil_arg *arg = &a->args[i];
        if (arg->kind != MIL_ARG_STRING || strcmp(arg->name, "output_dtype") != 0) continue;
        char name[16] = "";
        if (arg->n < sizeof name) memcpy(name, arg->data, arg->n);
        mil_dtype dtype = mil_dtype_find(name);
        return dtype && (set & MIL__SET(dtype)) ? dtype : MIL_NO_DTYPE;
    }
    return MIL_NO_DTYPE;
}

/* Has a parameter of this letter a number that is no integer? */
static bool has_fraction(const adding *a, uint32_t letter) {
    for (size_t i = 0; i < a->n_args; i++) {
        const mil__param *row;
        if (a->args[i].kind != MIL_ARG_NUMBERS || mil__op_slot(a->op, a->opset, a->args[i].name, &row) < 0) continue;
        if (row->type == letter) return true;
    }
    return false;
}

static mil_dtype first_in(uint32_t set, const mil_dtype *wanted) {
    for (; *wanted; wanted++)
        if (set == 0 || (set & MIL__SET(*wanted))) return *wanted;
    return MIL_NO_DTYPE;
}

/* The dtype that a literal without one takes: that of its group, or of the state that it is for; else output_dtype, or x's, where it
 * may; else the first that suits. */
static mil_dtype literal_dtype(const adding *a, const mil__param *row, mil_arg_kind kind, mil_dtype hint) {
    static const mil_dtype ints[] = {MIL_INT32, MIL_FP32, MIL_FP16, MIL_UINT32, MIL_INT8, MIL_UINT8, MIL_BOOL, 0};
    static const mil_dtype floats[] = {MIL_FP32, MIL_FP16, MIL_INT32, MIL_UINT32, MIL_INT8, MIL_UINT8, 0};
    static const mil_dtype bools[] = {MIL_BOOL, 0};
    if (kind == MIL_ARG_STRING) return MIL_STRING;
    uint32_t set = row ? mil__op_dtypes(a->op, a->opset, row) : 0;
    bool is_letter = row && row->type && row->type < MIL__SET(0);
    mil_dtype dtype = hint;
    if (!dtype && is_letter) dtype = dtype_of_group(a, row->type);
    if (!dtype && is_letter) dtype = dtype_of_output(a, set);
    if (!dtype && row && !row->type) dtype = dtype_of_state(a);
    if (dtype) return dtype;
    if (is_letter && kind != MIL_ARG_BOOLS) {
        dtype = dtype_of_group(a, 0);
        bool takes_floats = set & (MIL__SET(MIL_FP16) | MIL__SET(MIL_FP32));
        if (dtype && (set & MIL__SET(dtype)) && (mil__dtype_is_float(dtype) || !takes_floats)) return dtype;
    }
    if (is_letter && kind == MIL_ARG_INTS && has_fraction(a, row->type)) kind = MIL_ARG_NUMBERS; /* 2 beside 1.5 is 2.0 */
    dtype = first_in(set, kind == MIL_ARG_BOOLS ? bools : kind == MIL_ARG_INTS ? ints : floats);
    return dtype ? dtype : kind == MIL_ARG_BOOLS ? MIL_BOOL : kind == MIL_ARG_INTS ? MIL_INT32 : MIL_FP32;
}

/* 65520 and above round to fp16's infinity: a mask of -1e9 would become one, and NaN soon after. */
static bool overflows(mil_dtype dtype, double value) { return dtype == MIL_FP16 && isfinite(value) && fabs(value) >= 65520; }

/* A literal that the dtype can't hold is an error: nothing is rounded to an integer, wrapped or made infinite silently. */
static mil_status check_literal(adding *a, const mil_arg *arg, mil_dtype dtype) {
    const mil__dtype_info *info = mil__dtype(dtype);
    if (arg->kind == MIL_ARG_BOOLS) return MIL_OK;
    for (size_t i = 0; i < arg->n; i++) {
        double value = arg->kind == MIL_ARG_INTS ? (double)((const int64_t *)arg->data)[i] : ((const double *)arg->data)[i];
        if (overflows(dtype, value))
            return adding_fail(a, MIL_EVALUE, "%s takes fp16, whose largest number is 65504, but was given %.9g", arg->name, value);
        if (mil__dtype_is_float(dtype)) continue;
        bool whole = value >= -9223372036854775808.0 && value < 9223372036854775808.0 && value == (double)(int64_t)value;
        if (whole && dtype != MIL_BOOL && value >= (double)info->min && value <= (double)info->max) continue;
        return adding_fail(a, MIL_EVALUE, "%s takes %s, but was given %.9g", arg->name, info->name, value);
    }
    return MIL_OK;
}

enum { SMALL_LITERAL = 256 }; /* bytes up to which a literal lives in the program's arena */

static mil_dtype source_dtype(mil_arg_kind kind) {
    return kind == MIL_ARG_NUMBERS ? MIL_FP64 : kind == MIL_ARG_INTS ? MIL_INT64 : MIL_BOOL;
}

static bool is_literal(const mil_tensor *tensor, mil_dtype dtype, int rank, const int64_t *shape, const void *data, size_t bytes) {
    return tensor && tensor->dtype == dtype && tensor->rank == rank &&
           (!rank || memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0) &&
           memcmp(tensor->data, data, bytes) == 0;
}

/* A small literal, in the program's arena; one that was made lately is shared, for nobody writes to it. */
static mil_status small_literal(adding *a, mil_dtype dtype, int rank, const int64_t *shape, size_t bytes, const mil_arg *arg,
                                mil_tensor **out) {
    _Alignas(16) uint8_t data[SMALL_LITERAL];
    memset(data, 0, bytes);
    mil__convert(dtype, data, 1, source_dtype(arg->kind), arg->data, 1, (int64_t)arg->n);
    mil_tensor **kept = &a->program->literals[(mil__hash(data, bytes) + (uint64_t)dtype) % MIL__RECALLED];
    if (!is_literal(*kept, dtype, rank, shape, data, bytes)) {
        mil_tensor *made = mil__tensor_in(&a->program->arena, dtype, rank, shape, bytes);
        if (!made) return mil__nomem(a->err);
        memcpy(made->data, data, bytes);
        *kept = made;
    }
    *out = *kept;
    return MIL_OK;
}

static mil_status make_literal(adding *a, const mil__param *row, const mil_arg *arg, mil_dtype hint, mil_tensor **out,
                               bool *in_arena) {
    mil_dtype dtype = literal_dtype(a, row, arg->kind, hint);
    int64_t n = (int64_t)arg->n, numel, vector = n;
    if (arg->kind == MIL_ARG_STRING) {
        const char *text = arg->data;
        *in_arena = false;
        return mil_tensor_strings(0, 1, &text, &arg->n, out, a->err);
    }
    int rank = arg->shape || arg->rank == 0 ? arg->rank : 1;
    const int64_t *shape = arg->shape ? arg->shape : &vector;
    if (rank > MIL_MAX_RANK || !mil__shape_numel(rank, shape, &numel) || numel != n)
        return adding_fail(a, MIL_EVALUE, "%s: %lld numbers do not fill the shape given", arg->name, (long long)n);
    MIL__TRY(check_literal(a, arg, dtype));
    size_t bytes;
    if (!mil__dtype_bytes(dtype, n, &bytes)) return adding_fail(a, MIL_EVALUE, "%s is too large", arg->name);
    *in_arena = bytes <= SMALL_LITERAL;
    if (*in_arena) return small_literal(a, dtype, rank, shape, bytes, arg, out);
    MIL__TRY(mil_tensor_new(dtype, rank, shape, out, a->err));
    mil__convert(dtype, (*out)->data, 1, source_dtype(arg->kind), arg->data, 1, n);
    return MIL_OK;
}

/* "<a>_<b>", of a the first 150 bytes; b is a parameter's name. */
static void join_names(char to[200], const char *a, const char *b) {
    size_t n = strnlen(a, 150), m = strnlen(b, 48);
    memcpy(to, a, n);
    to[n] = '_';
    memcpy(to + n + 1, b, m);
    to[n + 1 + m] = 0;
}

static const char *value_name(const mil_program *program, mil_value value) {
    const char *name = program->values[value]->name;
    return name ? name : "a literal";
}

/* A const list of a vector's elements. */
static mil_status list_const(adding *a, const mil__param *row, const mil_tensor *vector, mil_value *out) {
    mil__attr *val;
    bool is_list = vector->rank == 1 && (vector->dtype == MIL_STRING || mil__dtype_is_int(vector->dtype));
    if (!is_list)
        return adding_fail(a, MIL_ETYPE, "%s takes a list of strings or integers, but was given %s%s", row->name, mil_dtype_name(vector->dtype),
                           vector->rank ? MIL__SHAPE_TEXT(vector->rank, vector->shape) : "");
    MIL__TRY(mil__list_of_vector(a->program, vector, &val, a->err));
    MIL__TRY(mil__program_const_of(a->program, a->block, val->type, NULL, (mil__slice){0}, 0, true, a->where, a->before, out, a->err));
    a->program->ops[a->program->values[*out]->op]->attrs = val;
    return MIL_OK;
}

/* One argument as a value: the value itself, or a const made for it. */
static mil_status value_of_arg(adding *a, const mil__param *row, const mil_arg *arg, mil_dtype hint, mil_value *out) {
    if (arg->kind == MIL_ARG_VALUE) {
        if (!mil__value_visible(a->program, arg->value, a->block)) {
            const char *why = mil__value_at(a->program, arg->value) ? "belongs to a block that is closed, or to another function"
                                                                    : "is no longer part of this program";
            return adding_fail(a, MIL_ESTATE, "the value given for %s %s", row->name, why);
        }
        bool is_near = mil__value_at(a->program, arg->value)->block == a->block && !a->before;
        if (!is_near && !mil__value_precedes(a->program, arg->value, a->block, a->before))
            return adding_fail(a, MIL_ESTATE, "the value given for %s, %s, is made only after the place of the operation",
                               row->name, value_name(a->program, arg->value));
        *out = arg->value;
        return MIL_OK;
    }
    if (arg->kind == MIL_ARG_TUPLE)
        return adding_fail(a, MIL_ETYPE, "%s takes one value, but a tuple of %zu was given", row->name, arg->n);
    mil_tensor *tensor = arg->tensor;
    bool in_arena = false;
    bool is_list = row->kind == MIL_PARAM_LIST;
    if (arg->kind != MIL_ARG_TENSOR) MIL__TRY(make_literal(a, row, arg, is_list ? MIL_INT64 : hint, &tensor, &in_arena));
    char base[200];
    join_names(base, a->name ? a->name : a->op->name, row->name);
    mil_status status = is_list ? list_const(a, row, tensor, out)
                                : mil__program_const(a->program, a->block, tensor, NULL, true, a->where, a->before, out, a->err);
    if (arg->kind != MIL_ARG_TENSOR && !in_arena) mil_tensor_free(tensor);
    MIL__TRY(status);
    mil__op *op = a->program->ops[a->program->values[*out]->op];
    op->is_literal = true;
    if (mil__op_has_attributes(a->op, a->opset)) return MIL_OK; /* it stands in the operation itself, without a name */
    op->is_inline = false;
    uint32_t next = a->name ? 0 : a->program->next_name[mil__op_index(a->op)];
    return mil__name_value_fresh(a->program, *out, base, &next, a->before != 0, a->err);
}

/* The values of one argument into `into` (room for all its items). */
static mil_status values_of_arg(adding *a, const mil__param *row, const mil_arg *arg, mil__values *into) {
    if (row->kind != MIL_PARAM_TUPLE) {
        into->n = 1;
        return value_of_arg(a, row, arg, MIL_NO_DTYPE, into->values);
    }
    bool is_tuple = arg->kind == MIL_ARG_TUPLE;
    const mil_arg *items = is_tuple ? arg->items : arg;
    into->tuple = true;
    into->n = is_tuple ? (uint32_t)arg->n : 1;
    mil_dtype hint = MIL_NO_DTYPE;
    for (uint32_t i = 0; i < into->n && !hint; i++) hint = dtype_of_arg(a, &items[i]);
    for (uint32_t i = 0; i < into->n; i++) {
        bool number = items[i].kind != MIL_ARG_STRING;
        MIL__TRY(value_of_arg(a, row, &items[i], number ? hint : MIL_NO_DTYPE, &into->values[i]));
    }
    return MIL_OK;
}

typedef struct placed {
    const mil_arg *arg;
    const mil__param *row;
    int slot;
} placed;

/* The arguments in the order of the declaration: the consts made for them don't stand in the order of a caller's hash
 * table. An insertion: arguments are few, and mostly in order. */
static mil_status place_args(adding *a, placed *by_slot) {
    for (size_t n = 0; n < a->n_args; n++) {
        placed p = {.arg = &a->args[n]};
        MIL__TRY(mil__op_find_param(a->op, a->opset, p.arg->name, &p.slot, &p.row, a->err));
        size_t at = n;
        for (; at > 0 && by_slot[at - 1].slot > p.slot; at--) by_slot[at] = by_slot[at - 1];
        if (at > 0 && by_slot[at - 1].slot == p.slot) return adding_fail(a, MIL_EVALUE, "%s is given twice", p.row->name);
        by_slot[at] = p;
    }
    return MIL_OK;
}

static mil_status add_with_args(adding *a, const mil_block *blocks, size_t n_blocks, mil_operation *out) {
    mil__values given[MIL__MAX_INPUTS];
    placed by_slot[MIL__MAX_INPUTS];
    MIL__TRY(place_args(a, by_slot));
    for (size_t i = 0; i < a->n_args; i++) {
        const placed *p = &by_slot[i];
        size_t room = p->arg->kind == MIL_ARG_TUPLE ? p->arg->n : 1;
        given[i] = (mil__values){.slot = (uint16_t)p->slot};
        given[i].values = mil__arena_zero(&a->program->scratch, room ? room : 1, sizeof *given[i].values);
        if (!given[i].values) return mil__nomem(a->err);
        MIL__TRY(values_of_arg(a, p->row, p->arg, &given[i]));
    }
    mil__slice names[1] = {mil__slice_of(a->name)};
    mil__new_op new_op = {.decl = a->op, .args = given, .n_args = (int)a->n_args, .blocks = blocks, .n_blocks = (int)n_blocks,
                          .names = a->name && a->op->n_outputs == 1 ? names : NULL, .declared = NULL, .n_declared = 1,
                          .label = NULL, .attrs = NULL, .where = a->where, .before = a->before, .unchecked = false};
    return add(a->program, a->block, &new_op, out, a->err);
}

/* "<name>_<i>" for each of several results. */
static mil_status rename_results(mil_program *program, mil_operation operation, const char *name, mil_error *err) {
    mil__op *op = program->ops[operation];
    char text[200];
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        snprintf(text, sizeof text, "%.180s_%u", name, i);
        MIL__TRY(mil_value_rename(program, op->outputs[i], text, err));
    }
    return MIL_OK;
}

/* Each may be held by one operation, and stands in the block to which that goes. */
static mil_status check_blocks(adding *a, const mil_block *blocks, size_t n) {
    if (n && !(a->op->flags & MIL__BLOCKS)) return adding_fail(a, MIL_EVALUE, "takes no blocks");
    if (n > UINT16_MAX) return adding_fail(a, MIL_EVALUE, "%zu blocks are too many", n);
    for (size_t i = 0; i < n; i++) {
        const mil__block *b = mil__block_at(a->program, blocks[i]);
        bool twice = false;
        for (size_t k = 0; k < i; k++) twice = twice || blocks[k] == blocks[i];
        if (!b || !b->is_open || b->parent || b->outer != a->block || twice)
            return adding_fail(a, MIL_ESTATE, "block %zu is closed, or was made for another block", i);
    }
    return MIL_OK;
}

mil_status mil_program_add_nested(mil_program *program, mil_block block, const mil_op *op, const mil_arg *args, size_t n_args,
                                  const mil_block *blocks, size_t n_blocks, const char *name, mil_where where, mil_value *outs,
                                  size_t max_outs, size_t *n_outs, mil_error *err) {
    if (!op) return mil__fail(err, MIL_ENAME, "add: there is no op of that name"); /* what mil_op_find gave */
    MIL__TRY(check_block(program, block, err));
    mil_operation at = program->blocks[block]->before;
    if (at) MIL__TRY(mil__users_ready(program, err)); /* which has the order */
    adding a = {program, block, op, program->functions[program->blocks[block]->function].opset, args, n_args, name,
                where, err, at};
    snapshot before = snapshot_of(program);
    mil__mark scratch = mil__arena_mark(&program->scratch);
    mil_operation operation = 0;
    mil_status status = n_args > MIL__MAX_INPUTS ? adding_fail(&a, MIL_EVALUE, "%zu arguments are too many", n_args)
                                                 : check_blocks(&a, blocks, n_blocks);
    if (status == MIL_OK) status = add_with_args(&a, blocks, n_blocks, &operation);
    if (status == MIL_OK && name && op->n_outputs != 1) status = rename_results(program, operation, name, err);
    mil__arena_rewind(&program->scratch, scratch);
    if (status != MIL_OK) {
        undo_to(program, before);
        locate(err, status, op->name, where);
        return status;
    }
    const mil__op *made = program->ops[operation];
    for (uint32_t i = 0; i < made->n_outputs && i < max_outs; i++) outs[i] = made->outputs[i];
    if (n_outs) *n_outs = made->n_outputs;
    return MIL_OK;
}

mil_status mil_program_add(mil_program *program, mil_block block, const mil_op *op, const mil_arg *args, size_t n_args,
                           const char *name, mil_where where, mil_value *outs, size_t max_outs, size_t *n_outs,
                           mil_error *err) {
    return mil_program_add_nested(program, block, op, args, n_args, NULL, 0, name, where, outs, max_outs, n_outs, err);
}

void mil_program_block_drop(mil_program *program, mil_block block) {
    const mil__block *b = mil__block_at(program, block);
    if (b && b->outer && !b->parent) drop_block(program, block);
}

/* ---- outputs, undo ---- */

mil_status mil_program_output(mil_program *program, mil_block function, const char *name, mil_value value,
                              mil_value *out, mil_error *err) {
    *out = 0;
    MIL__TRY(mil__program_may_change(program, "output", err));
    mil__value *v = mil__value_at(program, value);
    const mil__block *block = mil__block_at(program, function);
    if (!block || block->outer) return mil__fail(err, MIL_ESTATE, "output %.80s: not a function's body", name);
    if (!v || !mil__value_visible(program, value, function))
        return mil__fail(err, MIL_ESTATE, "output %.80s: the value is not of this function", name);
    if (v->type->kind == MIL_STATE) return mil__fail(err, MIL_ETYPE, "output %.80s: a state can't be an output", name);
    mil_value result = value;
    MIL__TRY(mil__block_more_outputs(program, function, err)); /* before anything changes */
    if (!v->op || v->is_output || mil__op_at(program, v->op)->decl == mil__op_const()) {
        mil_arg x = {.name = "x", .kind = MIL_ARG_VALUE, .value = value};
        mil_where where = v->op ? mil_operation_where(program, v->op) : (mil_where){NULL, 0};
        size_t n;
        MIL__TRY(mil_program_add(program, function, mil_op_find("identity"), &x, 1, name, where, &result, 1, &n, err));
    } else {
        MIL__TRY(mil_value_rename(program, value, name, err));
    }
    MIL__TRY(mil__block_output(program, function, result, err));
    *out = result;
    return MIL_OK;
}

mil_status mil_program_undo(mil_program *program, mil_block block, mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "undo", err));
    const mil__block *b = mil__block_at(program, block);
    mil_operation last = !b ? 0 : b->before ? program->ops[b->before]->prev : b->last;
    if (!last) return mil__fail(err, MIL_ESTATE, "undo: there is no operation to take back");
    const mil__op *op = program->ops[last];
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const mil__value *value = program->values[op->outputs[i]];
        if (value->n_uses)
            return mil__fail(err, MIL_ESTATE, "undo: %s is %s", value->name ? value->name : "the last result",
                             value->is_output ? "an output" : "used");
    }
    mil_operation before = op->prev;
    drop_operation(program, last);
    while (before) { /* the consts that were made for it alone */
        const mil__op *made = program->ops[before];
        mil_operation next = made->prev;
        if (!made->is_literal || program->values[made->outputs[0]]->n_uses) break;
        drop_operation(program, before);
        before = next;
    }
    return MIL_OK;
}

/* ---- arguments for what is there ---- */

/* Operation's arguments as a caller would give them, for the dtypes of literals that go with them; `given` in its place. */
static mil_arg *args_with(const mil__op *op, const mil_arg *given, mil__arena *arena, size_t *n) {
    mil_arg *args = mil__arena_zero(arena, (size_t)op->n_args + 1, sizeof *args);
    if (!args) return NULL;
    args[(*n)++] = *given;
    for (uint16_t a = 0; a < op->n_args; a++) {
        const char *name = mil__op_slot_name(op->decl, op->args[a].slot);
        if (op->args[a].n != 1 || strcmp(name, given->name) == 0) continue;
        args[(*n)++] = (mil_arg){.name = name, .kind = MIL_ARG_VALUE, .value = op->args[a].values[0]};
    }
    return args;
}

mil_status mil__values_of_arg(mil_program *program, mil_operation operation, const mil_arg *arg, mil__values *out,
                              mil__arena *arena, uint32_t *made, mil_error *err) {
    const mil__op *op = program->ops[operation];
    const mil__param *row;
    int slot;
    size_t n = 0, room = arg->kind == MIL_ARG_TUPLE ? arg->n : 1;
    mil_opset opset = program->functions[program->blocks[op->block]->function].opset;
    uint32_t n_ops = program->n_ops;
    const mil_arg *args = args_with(op, arg, arena, &n);
    if (!args) return mil__nomem(err);
    adding a = {program, op->block, op->decl, opset, args, n, mil__result_name(program, op),
                {op->file, op->line}, err, operation};
    MIL__TRY(mil__op_find_param(op->decl, opset, arg->name, &slot, &row, err));
    *out = (mil__values){.slot = (uint16_t)slot, .values = mil__arena_zero(arena, room + !room, sizeof *out->values)};
    mil_status status = out->values ? values_of_arg(&a, row, arg, out) : mil__nomem(err);
    for (uint32_t i = program->n_ops; i-- > n_ops && status != MIL_OK;)
        if (program->ops[i] && program->ops[i]->block) drop_operation(program, i);
    *made = program->n_ops - n_ops;
    return status;
}
