/* SPDX-License-Identifier: MIT */
/* A program made anew from one function of another: only what its outputs need, inferred again from the input types
 * given. This is how an engine gets a program of its own, and how symbolic dims are bound: with static input types every
 * type becomes static, and what was computed from shapes becomes known. */
#include <stdio.h>

#include "program/program.h"

typedef struct rebuilding {
    const mil_program *from;
    mil_program *to;
    mil_value *values;        /* old handle -> new; 0: not made */
    bool *live;               /* by old operation */
    bool *needed;             /* by old value: inputs that are taken over; NULL: all */
    bool *given;              /* by old value: those that become inputs; NULL: none */
    const bool *kept;         /* by old operation: of those that change something, the ones that are taken over; NULL: as needed */
    mil__arena arena;         /* of argument lists */
    mil_error *err;
} rebuilding;

/* ---- what is needed ---- */

static bool is_given(const rebuilding *r, mil_value value) { return r->given && r->given[value]; }

static bool is_state(const rebuilding *r, mil_value value) { return r->from->values[value]->type->kind == MIL_STATE; }

/* A state that is given is needed all the same: for what is written to it. */
static void mark_value(rebuilding *r, mil_value value) {
    mil_operation op = r->from->values[value]->op;
    if (is_given(r, value) && !is_state(r, value)) return;
    if (op) r->live[op] = true;
    else if (r->needed) r->needed[value] = true;
}

static void mark_block(rebuilding *r, const mil__block *block);

static void mark_operation(rebuilding *r, const mil__op *op) {
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++) mark_value(r, op->args[a].values[i]);
    for (uint16_t b = 0; b < op->n_blocks; b++) mark_block(r, r->from->blocks[op->blocks[b]]);
}

/* An engine does not make a classifier's results, but their probabilities under their names (engine/model.c does the rest). */
static mil_value stand_in(const rebuilding *r, mil_value value) {
    mil_operation id = r->given ? 0 : r->from->values[value]->op;
    const mil__op *op = id ? r->from->ops[id] : NULL;
    return op && strcmp(op->decl->name, "classify") == 0 ? mil__op_arg_named(op, "probabilities")->values[0] : value;
}

/* Backwards: whatever uses an operation's results stands after it. */
static void mark_block(rebuilding *r, const mil__block *block) {
    for (uint32_t i = 0; i < block->n_outputs; i++) mark_value(r, stand_in(r, block->outputs[i]));
    for (mil_operation at = block->last; at; at = r->from->ops[at]->prev) {
        const mil__op *op = r->from->ops[at];
        if (mil__op_has_effect(r->from, op)) r->live[at] = true;
        if (r->live[at]) mark_operation(r, op);
    }
}

/* ---- making it ---- */

static bool copy_dim(rebuilding *r, mil_dim *dim) {
    mil__types *types = r->to->types;
    const mil_symbol *symbol = *dim < 0 ? mil__dim_symbol_info(r->from->types, *dim) : NULL;
    if (mil__dim_is_variadic(r->from->types, *dim)) *dim = mil__dim_variadic(types);
    else if (*dim < 0) *dim = symbol && symbol->name ? mil__dim_symbol(types, symbol->name) : mil__dim_fresh(types);
    return !symbol || mil__dim_describe(types, *dim, symbol, r->err) == MIL_OK;
}

static const mil_type *copy_type(rebuilding *r, const mil_type *type) {
    mil__types *types = r->to->types;
    if (type->kind == MIL_TENSOR) {
        mil_dim shape[MIL_MAX_RANK];
        for (int i = 0; i < type->rank; i++) {
            shape[i] = type->shape[i];
            if (!copy_dim(r, &shape[i])) return NULL;
        }
        return mil__tensor_type(types, type->dtype, type->rank, shape);
    }
    const mil_type **items = mil__arena_zero(&r->arena, (size_t)type->n_items + 1, sizeof *items);
    for (int i = 0; items && i < type->n_items; i++)
        if (!(items[i] = copy_type(r, type->items[i]))) return NULL;
    mil_dim length = type->kind == MIL_LIST ? type->length : 0;
    if (!items || !copy_dim(r, &length)) return NULL;
    switch (type->kind) {
    case MIL_STATE: return mil__state_type(types, items[0]);
    case MIL_LIST: return mil__list_type(types, items[0], length);
    case MIL_DICT: return mil__dict_type(types, items[0], items[1]);
    default: return mil__tuple_type(types, type->n_items, items);
    }
}

static mil_status copy_kept(rebuilding *r, mil__kept_what what, uint32_t from, uint32_t to) {
    const mil__kept *kept = mil__program_kept(r->from, what, from);
    uint8_t *data;
    if (!kept) return MIL_OK;
    MIL__TRY(mil__program_keep(r->to, what, to, kept->n, &data, r->err));
    memcpy(data, kept->data, kept->n);
    return MIL_OK;
}

/* What is said of an input beyond its type, and what its package said of it; a part keeps what fills it. */
static mil_status copy_said(rebuilding *r, mil_value from, mil_value to, bool has_its_type) {
    const mil__shapes *shapes = has_its_type ? mil__input_shapes(r->from, from) : NULL;
    if (shapes) MIL__TRY(mil_program_input_shapes(r->to, to, shapes->n, shapes->shapes, r->err));
    const mil__standard *standard = r->given ? mil__input_standard(r->from, from) : NULL;
    if (standard) MIL__TRY(mil__input_set_standard(r->to, to, standard->number, r->err));
    return copy_kept(r, MIL__KEPT_INPUT, from, to);
}

static mil_status make_inputs(rebuilding *r, const mil__block *from, mil_block to, const mil_type *const *inputs) {
    for (uint32_t i = 0; i < from->n_inputs; i++) {
        const mil__value *old = r->from->values[from->inputs[i]];
        if (r->needed && !from->outer && (!r->needed[from->inputs[i]] || is_given(r, from->inputs[i]))) continue;
        const mil_type *given = inputs && inputs[i] ? inputs[i] : old->type;
        const mil_type *type = copy_type(r, given);
        if (!type) return mil__nomem(r->err);
        mil_value *made = &r->values[from->inputs[i]];
        MIL__TRY(mil__block_input(r->to, to, old->name, type, made, r->err));
        MIL__TRY(copy_said(r, from->inputs[i], *made, given == old->type));
    }
    return MIL_OK;
}

/* A const whose weights file was not there when the program was read. */
static mil_status no_data(rebuilding *r, const mil__value *value, const mil__op *op) {
    const mil__attr *val = op->attrs;
    while (val && strcmp(val->name, "val") != 0) val = val->next;
    const char *name = value->name ? value->name : "of an argument";
    if (!val || value->type->kind != MIL_TENSOR || val->n_items != 2 || !val->items[0].data)
        return mil__fail(r->err, MIL_EUNSUPPORTED, "const %s, %s, has no data here", name, MIL__TYPE_TEXT(r->from->types, value->type));
    const char *file = mil_tensor_string(val->items[0].data, 0, NULL);
    mil_status status = mil__fail(r->err, MIL_EIO, "const %s: its weights file %.400s is not there", name,
                                  MIL__WEIGHTS_PATH(r->from, file));
    if (r->err) snprintf(r->err->value, sizeof r->err->value, "%.120s", name);
    return status;
}

/* Data that lives in the other program's arena gets memory of its own. */
static mil_status copy_data(rebuilding *r, mil_tensor *data, mil_tensor **out) {
    if (!data->buffer) return mil_tensor_convert(data, data->dtype, out, r->err);
    *out = mil_tensor_retain(data);
    return MIL_OK;
}

/* Into *to, which belongs to the new program already: whatever fails, nothing is lost. */
static mil_status copy_attr(rebuilding *r, const mil__attr *from, mil__attr *to) {
    mil__arena *arena = &r->to->arena;
    to->name = from->name ? mil__arena_text(arena, from->name, strlen(from->name)) : NULL;
    to->type = from->type ? copy_type(r, from->type) : NULL;
    to->items = from->n_items ? mil__arena_zero(arena, (size_t)from->n_items, sizeof *to->items) : NULL;
    bool made = (to->name || !from->name) && (to->type || !from->type) && (to->items || !from->n_items);
    if (!made) return mil__nomem(r->err);
    to->n_items = from->n_items;
    for (int i = 0; i < from->n_items; i++) MIL__TRY(copy_attr(r, &from->items[i], &to->items[i]));
    return from->data ? copy_data(r, from->data, &to->data) : MIL_OK;
}

/* A part keeps what its operations say of themselves. */
static mil_status copy_attrs(rebuilding *r, mil_operation id, mil_operation made) {
    const mil__op *from = r->from->ops[id];
    mil__op *to = r->to->ops[made];
    mil__attr **end = &to->attrs;
    if (!r->given) return MIL_OK;
    for (const mil__attr *at = from->attrs; at; at = at->next) {
        if (!(*end = mil__arena_zero(&r->to->arena, 1, sizeof **end))) return mil__nomem(r->err);
        MIL__TRY(copy_attr(r, at, *end));
        end = &(*end)->next;
    }
    MIL__TRY(copy_kept(r, MIL__KEPT_OPERATION, id, made));
    if (!from->label) return MIL_OK;
    to->label = mil__arena_text(&r->to->arena, from->label, strlen(from->label));
    return to->label ? MIL_OK : mil__nomem(r->err);
}

static mil_status make_const(rebuilding *r, mil_block to, mil_operation id) {
    const mil__op *op = r->from->ops[id];
    const mil__value *old = r->from->values[op->outputs[0]];
    const mil_type *type = copy_type(r, old->type);
    mil_tensor *data = NULL;
    mil_value value = 0;
    if (!old->data && !r->given) return no_data(r, old, op);
    if (!type) return mil__nomem(r->err);
    if (old->data) MIL__TRY(copy_data(r, old->data, &data));
    mil_status status = mil__program_const_of(r->to, to, type, data, mil__slice_of(old->name), 0, !old->name,
                                              (mil_where){op->file, op->line}, 0, &value, r->err);
    mil_tensor_free(data);
    MIL__TRY(status);
    if (!is_given(r, op->outputs[0])) r->values[op->outputs[0]] = value;
    return copy_attrs(r, id, r->to->values[value]->op);
}

static mil_status make_block(rebuilding *r, const mil__block *from, mil_block to);

static mil_status copy_args(rebuilding *r, const mil__op *op, mil__values **out) {
    mil__values *args = mil__arena_copy(&r->arena, op->args, op->n_args * sizeof *args);
    if (!args) return mil__nomem(r->err);
    for (uint16_t a = 0; a < op->n_args; a++) {
        args[a].values = mil__arena_alloc(&r->arena, args[a].n * sizeof *args[a].values);
        if (!args[a].values) return mil__nomem(r->err);
        for (uint32_t i = 0; i < args[a].n; i++) args[a].values[i] = r->values[op->args[a].values[i]];
    }
    *out = args;
    return MIL_OK;
}

/* Loop variables are what they are at first; the loop's operation makes them wider where they have to be. */
static mil_status make_block_inputs(rebuilding *r, const mil__op *op, const mil__block *from, mil_block to) {
    bool is_loop = op->decl->flags & MIL__LOOP && op->n_args == 1 && op->args[0].n == from->n_inputs;
    if (!is_loop) return make_inputs(r, from, to, NULL);
    for (uint32_t i = 0; i < from->n_inputs; i++) {
        const mil_type *type = r->to->values[r->values[op->args[0].values[i]]]->type;
        MIL__TRY(mil__block_input(r->to, to, r->from->values[from->inputs[i]]->name, type, &r->values[from->inputs[i]], r->err));
    }
    return MIL_OK;
}

static mil_status make_nested(rebuilding *r, mil_block to, const mil__op *op, mil_block **out) {
    mil_block *blocks = mil__arena_zero(&r->arena, op->n_blocks, sizeof *blocks);
    if (!blocks) return mil__nomem(r->err);
    for (uint16_t b = 0; b < op->n_blocks; b++) {
        const mil__block *from = r->from->blocks[op->blocks[b]];
        MIL__TRY(mil__block_new(r->to, to, &blocks[b], r->err));
        MIL__TRY(make_block_inputs(r, op, from, blocks[b]));
        MIL__TRY(make_block(r, from, blocks[b]));
    }
    *out = blocks;
    return MIL_OK;
}

static mil_status make_operation(rebuilding *r, mil_block to, mil_operation id) {
    const mil__op *op = r->from->ops[id];
    if (op->decl == mil__op_const()) return make_const(r, to, id);
    mil__mark mark = mil__arena_mark(&r->arena);
    mil__values *args = NULL;
    mil_block *blocks = NULL;
    MIL__TRY(copy_args(r, op, &args));
    if (op->n_blocks) MIL__TRY(make_nested(r, to, op, &blocks));
    mil__slice *names = mil__arena_zero(&r->arena, op->n_outputs, sizeof *names);
    if (!names) return mil__nomem(r->err);
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (!is_given(r, op->outputs[i])) names[i] = mil__slice_of(r->from->values[op->outputs[i]]->name);
    mil__new_op new_op = {.decl = op->decl, .args = args, .n_args = op->n_args, .blocks = blocks,
                          .n_blocks = op->n_blocks, .names = names, .n_declared = (int)op->n_outputs,
                          .where = {op->file, op->line}};
    mil_operation made;
    MIL__TRY(mil__program_add(r->to, to, &new_op, &made, r->err));
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (!is_given(r, op->outputs[i])) r->values[op->outputs[i]] = r->to->ops[made]->outputs[i];
    mil__arena_rewind(&r->arena, mark);
    return copy_attrs(r, id, made);
}

static mil_status make_block_output(rebuilding *r, mil_block to, mil_value old) {
    mil_value source = stand_in(r, old), value = r->values[source];
    if (source != old) {
        mil_arg x = {.name = "x", .kind = MIL_ARG_VALUE, .value = value};
        size_t n;
        MIL__TRY(mil_program_add(r->to, to, mil_op_find("identity"), &x, 1, r->from->values[old]->name, (mil_where){NULL, 0}, &value,
                                 1, &n, r->err));
    }
    return mil__block_output(r->to, to, value, r->err);
}

static mil_status make_block(rebuilding *r, const mil__block *from, mil_block to) {
    for (mil_operation at = from->first; at; at = r->from->ops[at]->next)
        if (r->live[at]) MIL__TRY(make_operation(r, to, at));
    for (uint32_t i = 0; i < from->n_outputs; i++) MIL__TRY(make_block_output(r, to, from->outputs[i]));
    return MIL_OK;
}

static mil_status rebuild(rebuilding *r, mil_block function, const mil_type *const *inputs) {
    const mil__block *body = r->from->blocks[function];
    mil_block to;
    mark_block(r, body);
    MIL__TRY(mil_program_function(r->to, "main", &to, r->err));
    r->to->functions[0].opset = r->from->functions[body->function].opset;
    MIL__TRY(make_inputs(r, body, to, inputs));
    return make_block(r, body, to);
}

mil_status mil__program_rebuild(const mil_program *program, mil_block function, const mil_type *const *inputs,
                                mil_program **out, mil_value **values, mil_error *err) {
    rebuilding r = {.from = program, .err = err};
    r.values = mil__calloc(program->n_values, sizeof *r.values);
    r.live = mil__calloc(program->n_ops, sizeof *r.live);
    mil_status status = r.values && r.live ? mil_program_new(program->opset, &r.to, err) : mil__nomem(err);
    if (status == MIL_OK) r.to->is_bound = inputs != NULL;
    if (status == MIL_OK) status = rebuild(&r, function, inputs);
    if (status == MIL_OK) {
        *out = r.to;
        if (values) {
            *values = r.values;
            r.values = NULL;
        }
    } else {
        mil_program_free(r.to);
    }
    mil__arena_free(&r.arena);
    mil__free(r.values);
    mil__free(r.live);
    return status;
}

/* ---- a part of a function ---- */

static mil_status check_part(const mil_program *program, const mil_part *part, mil_error *err) {
    const mil__value *first = part->n_outputs ? mil__value_at(program, part->outputs[0]) : NULL;
    if (part->n_outputs == 0) return mil__fail(err, MIL_ESTATE, "extract: no values");
    for (size_t i = 0; i < part->n_outputs + part->n_inputs; i++) {
        bool is_input = i >= part->n_outputs;
        const mil__value *value = mil__value_at(program, is_input ? part->inputs[i - part->n_outputs] : part->outputs[i]);
        if (!value || !first) return mil__fail(err, MIL_ESTATE, "extract: a value that is no longer part of the program");
        if (value->block != first->block || program->blocks[value->block]->outer)
            return mil__fail(err, MIL_ESTATE, "extract: the values must be of one function's body");
        if (!is_input && value->type->kind == MIL_STATE) return mil__fail(err, MIL_ETYPE, "extract: a state can't be an output");
        if (is_input && value->type->kind != MIL_TENSOR && value->type->kind != MIL_STATE)
            return mil__fail(err, MIL_ETYPE, "extract: %s %s can't be an input", value->name ? value->name : "a literal",
                             MIL__TYPE_TEXT(program->types, value->type));
    }
    return MIL_OK;
}

/* A value that can't be an output itself is one through an identity. */
static mil_status make_part_output(rebuilding *r, mil_block to, mil_value old) {
    mil_value value = r->values[old];
    const mil__value *v = r->to->values[value];
    if (!v->op || v->is_output || r->to->ops[v->op]->decl == mil__op_const()) {
        mil_arg x = {.name = "x", .kind = MIL_ARG_VALUE, .value = value};
        size_t n;
        MIL__TRY(mil_program_add(r->to, to, mil_op_find("identity"), &x, 1, NULL, (mil_where){NULL, 0}, &value, 1, &n,
                                 r->err));
    }
    MIL__TRY(mil__block_output(r->to, to, value, r->err));
    const mil__function *from = &r->from->functions[r->from->blocks[r->from->values[old]->block]->function];
    mil__function *made = &r->to->functions[0];
    if (old == from->label) made->label = value;
    if (old == from->probabilities) made->probabilities = value;
    return copy_kept(r, MIL__KEPT_OUTPUT, old, value);
}

static mil_status make_part_input(rebuilding *r, mil_block to, mil_value old) {
    const mil__value *v = r->from->values[old];
    if (r->values[old]) return mil__fail(r->err, MIL_EINVAL, "extract: %s is given twice as an input", v->name);
    const mil_type *type = copy_type(r, v->type);
    if (!type) return mil__nomem(r->err);
    MIL__TRY(mil__block_input(r->to, to, v->name ? v->name : "input", type, &r->values[old], r->err));
    return copy_said(r, old, r->values[old], true);
}

/* Does the operation, or one nested in it, take a state that what follows needs? */
static bool takes_needed_state(const rebuilding *r, const mil__op *op) {
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++)
            if (is_state(r, op->args[a].values[i]) && r->needed[op->args[a].values[i]]) return true;
    for (uint16_t b = 0; b < op->n_blocks; b++)
        for (mil_operation at = r->from->blocks[op->blocks[b]]->first; at; at = r->from->ops[at]->next)
            if (takes_needed_state(r, r->from->ops[at])) return true;
    return false;
}

/* What the outputs need; what is written to a state before it is read for them is of it. */
static void mark_part(rebuilding *r, const mil__block *body, const mil_part *part) {
    for (size_t i = 0; i < part->n_outputs; i++) mark_value(r, part->outputs[i]);
    for (mil_operation at = body->last; at; at = r->from->ops[at]->prev) {
        const mil__op *op = r->from->ops[at];
        if (!r->live[at] && mil__op_has_effect(r->from, op)) r->live[at] = r->kept ? r->kept[at] : takes_needed_state(r, op);
        if (r->live[at]) mark_operation(r, op);
    }
}

static mil_status extract(rebuilding *r, mil_block function, const mil_part *part) {
    const mil__block *body = r->from->blocks[function];
    mil_block to;
    for (size_t i = 0; i < part->n_inputs; i++) r->given[part->inputs[i]] = true;
    mark_part(r, body, part);
    MIL__TRY(mil_program_function(r->to, "main", &to, r->err));
    r->to->functions[0].opset = r->from->functions[body->function].opset;
    for (size_t i = 0; i < part->n_inputs; i++) MIL__TRY(make_part_input(r, to, part->inputs[i]));
    MIL__TRY(make_inputs(r, body, to, NULL));
    for (mil_operation at = body->first; at; at = r->from->ops[at]->next)
        if (r->live[at]) MIL__TRY(make_operation(r, to, at));
    for (size_t i = 0; i < part->n_outputs; i++) MIL__TRY(make_part_output(r, to, part->outputs[i]));
    return MIL_OK;
}

mil_status mil__program_cut(const mil_program *program, mil_block function, const mil_part *part, const bool *kept, mil_program **out,
                            mil_error *err) {
    rebuilding r = {.from = program, .kept = kept, .err = err};
    *out = NULL;
    r.values = mil__calloc(program->n_values, sizeof *r.values);
    r.live = mil__calloc(program->n_ops, sizeof *r.live);
    r.needed = mil__calloc(program->n_values, sizeof *r.needed);
    r.given = mil__calloc(program->n_values, sizeof *r.given);
    bool made = r.values && r.live && r.needed && r.given;
    mil_status status = made ? mil_program_new(program->opset, &r.to, err) : mil__nomem(err);
    if (status == MIL_OK && program->model_path) status = mil__program_set_model_path(r.to, program->model_path, err);
    if (status == MIL_OK) status = extract(&r, function, part);
    if (status == MIL_OK) *out = r.to;
    else mil_program_free(r.to);
    mil__arena_free(&r.arena);
    mil__free(r.values);
    mil__free(r.live);
    mil__free(r.needed);
    mil__free(r.given);
    return status;
}

mil_status mil_program_extract(const mil_program *program, const mil_part *part, mil_program **out, mil_error *err) {
    *out = NULL;
    MIL__TRY(check_part(program, part, err));
    return mil__program_cut(program, program->values[part->outputs[0]]->block, part, NULL, out, err);
}
