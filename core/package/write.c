/* SPDX-License-Identifier: MIT */
/* Operations, functions and programs as messages of packages, as coremltools fills them in: what a const holds is in
 * the weights file from 10 elements on; consts that only constexpr ops take have no operation of their own; what
 * changes a state is a write_state, and a read_state after it where its result is used. */
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "package/package.h"
#include "package/write.h"
#include "text/flexible.h"

typedef struct operations { /* of a block, as they come */
    Mil__Spec__Operation **list;
    size_t n;
} operations;

static char *text(const char *s) { return (char *)(uintptr_t)s; } /* messages that are written only */

static mil_opset opset_of(const mil__model_writer *w, const mil__op *op) {
    return w->program->functions[w->program->blocks[op->block]->function].opset;
}

static bool is_constexpr(const mil__op *op) { return strncmp(op->decl->name, "constexpr_", 10) == 0; }

/* ---- what is found out before ---- */

/* Counts the uses of consts whose place is in the constexpr op itself. */
static mil_status count_folded(mil__model_writer *w) {
    const mil_program *program = w->program;
    w->folded = mil__write_array(w, program->n_values, sizeof *w->folded);
    if (!w->folded) return w->status;
    for (uint32_t i = 1; i < program->n_ops; i++) {
        const mil__op *op = program->ops[i];
        if (!op || !is_constexpr(op)) continue;
        for (int a = 0; a < op->n_args; a++)
            for (uint32_t k = 0; k < op->args[a].n; k++) {
                mil_value id = op->args[a].values[k];
                if (program->values[id]->is_const) w->folded[id]++;
            }
    }
    return MIL_OK;
}

/* The largest n of the values that are called literal_<n>. */
static void find_last_literal(mil__model_writer *w) {
    static const char prefix[] = "literal_";
    for (uint32_t i = 1; i < w->program->n_values; i++) {
        const mil__value *value = w->program->values[i];
        if (!value || !value->name || strncmp(value->name, prefix, sizeof prefix - 1) != 0) continue;
        const char *digits = value->name + sizeof prefix - 1;
        long long n = strspn(digits, "0123456789") < 18 ? strtoll(digits, NULL, 10) : 0;
        if (n > w->last_literal) w->last_literal = n;
    }
}

/* ---- attributes ---- */

static size_t count_attrs(const mil__attr *attr) {
    size_t n = 0;
    for (; attr; attr = attr->next) n++;
    return n;
}

static Mil__Spec__Attribute *new_attribute(mil__model_writer *w, const char *name, Mil__Spec__Value *value) {
    Mil__Spec__Attribute *message = value ? MIL__NEW(w, Attribute, attribute) : NULL;
    if (!message) return NULL;
    message->key = text(name);
    message->value = value;
    return message;
}

/* All but the one called `without`. */
static Mil__Spec__Attribute **write_attrs(mil__model_writer *w, const mil__attr *attr, const char *without, size_t *n) {
    Mil__Spec__Attribute **list = mil__write_array(w, count_attrs(attr), sizeof *list);
    *n = 0;
    for (; list && attr; attr = attr->next) {
        if (strcmp(attr->name, without) == 0) continue;
        if (!(list[*n] = new_attribute(w, attr->name, mil__write_attr(w, attr)))) return NULL;
        ++*n;
    }
    return list;
}

/* The `name` attribute; NULL: none. */
static const char *label_of(const mil__model_writer *w, const mil__op *op) {
    if (op->label) return *op->label ? op->label : NULL;
    return mil__result_name(w->program, op);
}

static bool write_operation_attrs(mil__model_writer *w, const mil__op *op, bool is_const,
                                  Mil__Spec__Operation *message) {
    const char *label = label_of(w, op);
    bool with_args = mil__op_has_attributes(op->decl, opset_of(w, op));
    size_t n = 0;
    Mil__Spec__Attribute **list = mil__write_array(w, count_attrs(op->attrs) + op->n_args + 2u, sizeof *list);
    if (!list) return false;
    if (label && !(list[n++] = new_attribute(w, "name", mil__write_text(w, label)))) return false;
    if (is_const && !(list[n++] = new_attribute(w, "val", mil__write_const(w, op->outputs[0], true)))) return false;
    for (int a = 0; with_args && a < op->n_args; a++) {
        const char *name = mil__op_slot_name(op->decl, op->args[a].slot);
        if (!(list[n++] = new_attribute(w, name, mil__write_const(w, op->args[a].values[0], true)))) return false;
    }
    for (const mil__attr *attr = op->attrs; attr; attr = attr->next) {
        if (is_const && strcmp(attr->name, "val") == 0) continue;
        if (!(list[n++] = new_attribute(w, attr->name, mil__write_attr(w, attr)))) return false;
    }
    message->attributes = list;
    message->n_attributes = n;
    return true;
}

/* ---- names and types ---- */

static Mil__Spec__NamedType *write_named(mil__model_writer *w, mil_value id) {
    const mil__value *value = w->program->values[id];
    Mil__Spec__NamedType *message = MIL__NEW(w, NamedType, named_type);
    if (!message) return NULL;
    message->name = text(value->name);
    message->type = mil__write_type(w, value->type);
    return message->type ? message : NULL;
}

static Mil__Spec__NamedType **write_all_named(mil__model_writer *w, const mil_value *ids, size_t n) {
    Mil__Spec__NamedType **list = mil__write_array(w, n, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (!(list[i] = write_named(w, ids[i]))) return NULL;
    return list;
}

/* ---- arguments ---- */

/* A literal that is too large for its place gets an operation before the one that takes it. */
static Mil__Spec__Operation *write_literal(mil__model_writer *w, mil_value id, const char **name) {
    const mil__value *value = w->program->values[id];
    char made[40];
    int n = snprintf(made, sizeof made, "literal_%lld", (long long)++w->last_literal);
    Mil__Spec__Operation *message = MIL__NEW(w, Operation, operation);
    Mil__Spec__NamedType *output = message ? MIL__NEW(w, NamedType, named_type) : NULL;
    if (!output || !(message->outputs = mil__write_array(w, 1, sizeof *message->outputs))) return NULL;
    if (!(*name = mil__arena_text(&w->arena, made, (size_t)n))) return mil__write_nomem(w);
    message->type = text("const");
    message->n_outputs = 1;
    message->outputs[0] = output;
    output->name = text(*name);
    if (!(output->type = mil__write_type(w, value->type))) return NULL;
    if (!(message->attributes = mil__write_array(w, 2, sizeof *message->attributes))) return NULL;
    message->n_attributes = 2;
    message->attributes[0] = new_attribute(w, "name", mil__write_text(w, *name));
    message->attributes[1] = new_attribute(w, "val", mil__write_const(w, id, true));
    return message->attributes[0] && message->attributes[1] ? message : NULL;
}

/* out: where a const that must stand before goes. */
static Mil__Spec__Binding *write_binding(mil__model_writer *w, const mil__op *op, mil_value id, operations *out) {
    const mil__value *value = w->program->values[id];
    Mil__Spec__Binding *message = MIL__NEW(w, Binding, binding);
    const char *name = value->name;
    if (!message) return NULL;
    bool is_here = value->is_const && is_constexpr(op) && w->program->ops[value->op]->decl == mil__op_const();
    if (!name && !is_here && mil__const_is_large(w, value))
        if (!(out->list[out->n++] = write_literal(w, id, &name))) return NULL;
    if (name && !is_here) {
        message->kind_case = MIL__SPEC__BINDING__KIND_NAME;
        message->name = text(name);
        return message;
    }
    message->kind_case = MIL__SPEC__BINDING__KIND_VALUE;
    message->value = mil__write_const(w, id, is_here);
    return message->value ? message : NULL;
}

static Mil__Spec__ArgumentEntry *new_argument(mil__model_writer *w, const char *name, size_t n) {
    Mil__Spec__ArgumentEntry *entry = MIL__NEW(w, ArgumentEntry, argument_entry);
    if (!entry || !(entry->value = MIL__NEW(w, Argument, argument))) return NULL;
    entry->key = text(name);
    entry->value->n_bindings = n;
    entry->value->bindings = mil__write_array(w, n, sizeof *entry->value->bindings);
    return entry->value->bindings ? entry : NULL;
}

static bool write_args(mil__model_writer *w, const mil__op *op, operations *out, Mil__Spec__Operation *message) {
    if (!(message->inputs = mil__write_array(w, op->n_args, sizeof *message->inputs))) return false;
    for (int a = 0; a < op->n_args; a++) {
        const mil__values *arg = &op->args[a];
        Mil__Spec__ArgumentEntry *entry = new_argument(w, mil__op_slot_name(op->decl, arg->slot), arg->n);
        if (!entry) return false;
        for (uint32_t i = 0; i < arg->n; i++)
            if (!(entry->value->bindings[i] = write_binding(w, op, arg->values[i], out))) return false;
        message->inputs[message->n_inputs++] = entry;
    }
    return true;
}

/* ---- operations ---- */

static Mil__Spec__Block *write_block(mil__model_writer *w, mil_block id, bool is_body);

static bool write_nested(mil__model_writer *w, const mil__op *op, Mil__Spec__Operation *message) {
    message->n_blocks = op->n_blocks;
    if (!(message->blocks = mil__write_array(w, op->n_blocks, sizeof *message->blocks))) return false;
    for (uint16_t b = 0; b < op->n_blocks; b++)
        if (!(message->blocks[b] = write_block(w, op->blocks[b], false))) return false;
    return true;
}

static bool write_usual(mil__model_writer *w, const mil__op *op, operations *out) {
    bool is_const = op->decl == mil__op_const();
    bool with_args = !is_const && !mil__op_has_attributes(op->decl, opset_of(w, op));
    Mil__Spec__Operation *message = MIL__NEW(w, Operation, operation);
    if (!message) return false;
    message->type = text(op->decl->name);
    message->n_outputs = op->n_outputs;
    if (!(message->outputs = write_all_named(w, op->outputs, op->n_outputs))) return false;
    if (with_args && !write_args(w, op, out, message)) return false;
    if (!write_operation_attrs(w, op, is_const, message)) return false;
    if (op->n_blocks && !write_nested(w, op, message)) return false;
    out->list[out->n++] = message;
    return true;
}

static Mil__Spec__Operation *new_state_operation(mil__model_writer *w, const char *type, const char *label,
                                                 size_t n_args) {
    Mil__Spec__Operation *message = MIL__NEW(w, Operation, operation);
    if (!message) return NULL;
    message->type = text(type);
    message->inputs = mil__write_array(w, n_args, sizeof *message->inputs);
    message->attributes = mil__write_array(w, 1, sizeof *message->attributes);
    if (!message->inputs || !message->attributes) return NULL;
    if (label && !(message->attributes[message->n_attributes++] = new_attribute(w, "name", mil__write_text(w, label))))
        return NULL;
    return message;
}

static bool add_argument(mil__model_writer *w, const mil__op *op, const char *from, const char *to, operations *out,
                         Mil__Spec__Operation *message) {
    const mil__values *arg = mil__op_arg_named(op, from);
    Mil__Spec__ArgumentEntry *entry = new_argument(w, to, 1);
    if (!entry || !(entry->value->bindings[0] = write_binding(w, op, arg->values[0], out))) return false;
    message->inputs[message->n_inputs++] = entry;
    return true;
}

/* coreml_update_state(state, value): written as what stores and, where it is used, what reads. */
static bool write_update(mil__model_writer *w, const mil__op *op, operations *out) {
    const mil__value *result = w->program->values[op->outputs[0]];
    const char *label = label_of(w, op);
    mil__str name = {0};
    if (label) mil__str_printf(&name, "%s_write_state", label);
    const char *store_label = label && name.s ? mil__arena_text(&w->arena, name.s, name.n) : NULL;
    mil__str_free(&name);
    if (label && !store_label) return mil__write_nomem(w);
    Mil__Spec__Operation *store = new_state_operation(w, "write_state", store_label, 2);
    if (!store || !add_argument(w, op, "state", "input", out, store) ||
        !add_argument(w, op, "value", "data", out, store))
        return false;
    out->list[out->n++] = store;
    if (!result->n_uses && !result->is_output) return true;
    Mil__Spec__Operation *read = new_state_operation(w, "read_state", label, 1);
    if (!read || !add_argument(w, op, "state", "input", out, read)) return false;
    if (!(read->outputs = write_all_named(w, op->outputs, 1))) return false;
    read->n_outputs = 1;
    out->list[out->n++] = read;
    return true;
}

/* Is it a const that is written where it is used? */
static bool is_at_its_uses(const mil__model_writer *w, const mil__op *op) {
    if (op->decl != mil__op_const()) return false;
    const mil__value *value = w->program->values[op->outputs[0]];
    uint32_t folded = w->folded[op->outputs[0]];
    return !value->name || (folded && folded == value->n_uses);
}

static bool write_operation(mil__model_writer *w, mil_operation id, operations *out) {
    const mil__op *op = w->program->ops[id];
    if (is_at_its_uses(w, op)) return true;
    w->value = op->n_outputs ? op->outputs[0] : 0;
    if (strcmp(op->decl->name, "coreml_update_state") == 0) return write_update(w, op, out);
    Mil__Spec__Operation *kept = mil__write_kept(w, MIL__KEPT_OPERATION, id, &mil__spec__operation__descriptor);
    w->fresh_types = kept;
    bool done = w->status == MIL_OK && write_usual(w, op, out);
    w->fresh_types = false;
    if (done && kept) mil__take_unknown(&out->list[out->n - 1]->base, &kept->base);
    return done;
}

/* Room for an operation's messages: its own, a second one of a state's update, a const for each literal. */
static size_t most_messages(const mil__model_writer *w, const mil__op *op) {
    size_t n = 2;
    for (int a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++) n += !w->program->values[op->args[a].values[i]]->name;
    return n;
}

static Mil__Spec__Block *write_block(mil__model_writer *w, mil_block id, bool is_body) {
    const mil_program *program = w->program;
    const mil__block *block = program->blocks[id];
    Mil__Spec__Block *message = MIL__NEW(w, Block, block);
    operations out = {0};
    size_t most = 0;
    if (!message) return NULL;
    for (mil_operation at = block->first; at; at = program->ops[at]->next) most += most_messages(w, program->ops[at]);
    if (!(out.list = mil__write_array(w, most, sizeof *out.list))) return NULL;
    for (mil_operation at = block->first; at; at = program->ops[at]->next)
        if (!write_operation(w, at, &out)) return NULL;
    message->operations = out.list;
    message->n_operations = out.n;
    if (!is_body) {
        if (!(message->inputs = write_all_named(w, block->inputs, block->n_inputs))) return NULL;
        message->n_inputs = block->n_inputs;
    }
    if (!(message->outputs = mil__write_array(w, block->n_outputs, sizeof *message->outputs))) return NULL;
    for (uint32_t i = 0; i < block->n_outputs; i++)
        message->outputs[i] = text(program->values[block->outputs[i]]->name);
    message->n_outputs = block->n_outputs;
    w->value = 0;
    Mil__Spec__Block *kept = mil__write_kept(w, MIL__KEPT_BLOCK, id, &mil__spec__block__descriptor);
    if (kept) mil__take_unknown(&message->base, &kept->base);
    return w->status == MIL_OK ? message : NULL;
}

/* ---- functions, programs ---- */

/* What is newer than ios18 was read as that, and keeps its own name (facts: mil-types-and-rules.md, it adds no op). */
static const char *opset_of_function(const mil__function *function, const Mil__Spec__Function *kept) {
    const char *name = mil__opset_in_package(function->opset);
    return kept && function->opset == MIL_IOS18 && strcmp(kept->opset, name) != 0 ? kept->opset : name;
}

static Mil__Spec__Function *write_function(mil__model_writer *w, const mil__function *function) {
    const mil__block *body = w->program->blocks[function->block];
    Mil__Spec__Function *message = MIL__NEW(w, Function, function);
    Mil__Spec__BlockEntry *entry = message ? MIL__NEW(w, BlockEntry, block_entry) : NULL;
    Mil__Spec__Function *kept =
        mil__write_kept(w, MIL__KEPT_FUNCTION, function->block, &mil__spec__function__descriptor);
    w->fresh_types = kept;
    if (w->status != MIL_OK || !(message->blocks = mil__write_array(w, 1, sizeof *message->blocks))) return NULL;
    message->opset = text(opset_of_function(function, kept));
    message->n_inputs = body->n_inputs;
    if (!(message->inputs = write_all_named(w, body->inputs, body->n_inputs))) return NULL;
    if (!(message->attributes = write_attrs(w, function->attrs, MIL__FLEXIBLE, &message->n_attributes))) return NULL;
    w->fresh_types = false;
    message->n_blocks = 1;
    message->blocks[0] = entry;
    entry->key = message->opset;
    if (!(entry->value = write_block(w, function->block, true))) return NULL;
    if (kept) mil__take_unknown(&message->base, &kept->base);
    return message;
}

Mil__Spec__Program *mil__write_program(mil__model_writer *w) {
    const mil_program *program = w->program;
    Mil__Spec__Program *message = MIL__NEW(w, Program, program);
    if (!message || count_folded(w) != MIL_OK) return NULL;
    find_last_literal(w);
    message->version = 1;
    w->fresh_types = w->kept_model;
    if (!(message->attributes = write_attrs(w, program->attrs, "", &message->n_attributes))) return NULL;
    w->fresh_types = false;
    if (!(message->functions = mil__write_array(w, program->n_functions, sizeof *message->functions))) return NULL;
    for (uint32_t i = 0; i < program->n_functions; i++) {
        Mil__Spec__FunctionEntry *entry = MIL__NEW(w, FunctionEntry, function_entry);
        if (!entry) return NULL;
        w->function = program->functions[i].name;
        entry->key = text(program->functions[i].name);
        if (!(entry->value = write_function(w, &program->functions[i]))) return NULL;
        message->functions[message->n_functions++] = entry;
    }
    w->function = NULL;
    return message;
}

Mil__Spec__Model *mil__write_model(mil__model_writer *w) {
    Mil__Spec__Model *message = MIL__NEW(w, Model, model);
    if (!message) return NULL;
    message->version = w->version;
    if (!(message->description = mil__write_description(w)))
        return NULL; /* before the weights: it says what can't be */
    if (!(message->program = mil__write_program(w))) return NULL;
    if (w->kept_model)
        mil__take_unknown(&message->base, &w->kept_model->base); /* the description's are there already */
    return message;
}

void mil__model_writer_free(mil__model_writer *w) {
    mil__blob_abandon(&w->blobs);
    mil__arena_free(&w->arena);
}
