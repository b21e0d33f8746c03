/* SPDX-License-Identifier: MIT */
/* Operations, functions and programs of packages. As in text, an operation is read whole (its names are values, its
 * literals inline consts by then), then added to the program, which infers its types again. */
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "base/bytes.h"
#include "package/package.h"

typedef struct reading { /* an operation */
    mil_block block;
    const mil_op *op;
    mil__values args[MIL__MAX_INPUTS];
    int n_args;
    const char *label;
    mil__attr *attrs;
} reading;

static mil_where nowhere(void) { return (mil_where){NULL, 0}; }

/* ---- attributes ---- */

static int by_key(const void *a, const void *b) {
    return strcmp((*(Mil__Spec__Attribute *const *)a)->key, (*(Mil__Spec__Attribute *const *)b)->key);
}

/* Maps have no order: by name, and each name once. Sorts the message's own array. */
static mil_status sort_attributes(mil__reader *r, Mil__Spec__Attribute **attributes, size_t n) {
    if (n > 1) qsort(attributes, n, sizeof *attributes, by_key);
    for (size_t i = 0; i < n; i++) {
        if (!mil__is_name(mil__slice_of(attributes[i]->key)))
            return mil__fail(r->err, MIL_ENAME, "\"%s\" is no attribute's name", MIL__PRINTABLE(attributes[i]->key));
        if (i && strcmp(attributes[i - 1]->key, attributes[i]->key) == 0)
            return mil__fail(r->err, MIL_EFORMAT, "the attribute %.80s is given twice", attributes[i]->key);
    }
    return MIL_OK;
}

static mil_status append_attr(mil__reader *r, mil__attr ***end, const char *name, const mil__attr *value) {
    mil__attr *attr = mil__arena_copy(&r->program->arena, value, sizeof *value);
    if (!attr) return mil__nomem(r->err);
    attr->name = mil__arena_text(&r->program->arena, name, strlen(name));
    attr->next = NULL;
    if (!attr->name) return mil__nomem(r->err);
    **end = attr;
    *end = &attr->next;
    return mil__read_check_size(r);
}

static mil_status read_attributes(mil__reader *r, Mil__Spec__Attribute **attributes, size_t n, mil__attr **out) {
    mil__attr **end = out;
    MIL__TRY(sort_attributes(r, attributes, n));
    for (size_t i = 0; i < n; i++) {
        mil__attr value = {0};
        MIL__TRY(mil__read_value(r, attributes[i]->value, false, &value));
        MIL__TRY(append_attr(r, &end, attributes[i]->key, &value));
    }
    return MIL_OK;
}

/* ---- consts ---- */

/* Adds a const for a value that was read, which is used up. name NULL: inline. */
static mil_status add_const(mil__reader *r, mil_block block, mil__attr *value, const char *name, mil_value *out) {
    mil_program *program = r->program;
    mil_status status = mil__program_const_of(program, block, value->type, value->data, mil__slice_of(name), 0, !name,
                                              nowhere(), 0, out, r->err);
    if (value->data && value->data->buffer) mil_tensor_free(value->data);
    value->data = NULL;
    MIL__TRY(status);
    if (value->n_items == 0 && value->type->kind == MIL_TENSOR) return mil__read_check_size(r);
    mil__attr *val = mil__arena_copy(&program->arena, value, sizeof *value);
    if (!val) return mil__nomem(r->err);
    val->name = "val";
    val->next = NULL;
    program->ops[program->values[*out]->op]->attrs = val;
    return mil__read_check_size(r);
}

static mil_status read_const(mil__reader *r, mil_block block, const Mil__Spec__Operation *op) {
    const Mil__Spec__Value *val = NULL;
    mil__attr value = {0}, *attrs = NULL, **end = &attrs;
    const char *label = "";
    MIL__TRY(sort_attributes(r, op->attributes, op->n_attributes));
    for (size_t i = 0; i < op->n_attributes; i++) {
        const Mil__Spec__Attribute *a = op->attributes[i];
        if (strcmp(a->key, "val") == 0) {
            val = a->value;
            continue;
        }
        MIL__TRY(mil__read_value(r, a->value, false, &value));
        bool is_text = value.data && value.type->dtype == MIL_STRING && value.type->rank == 0 && *mil_tensor_string(value.data, 0, NULL);
        if (strcmp(a->key, "name") == 0 && is_text) label = mil_tensor_string(value.data, 0, NULL);
        else MIL__TRY(append_attr(r, &end, a->key, &value));
    }
    if (op->n_inputs || op->n_blocks || op->n_outputs != 1 || !val)
        return mil__fail(r->err, MIL_EFORMAT, "const: has the attribute val and one result, nothing else");
    const mil_type *declared;
    MIL__TRY(mil__read_type(r, op->outputs[0]->type, false, &declared));
    MIL__TRY(mil__read_value(r, val, true, &value));
    if (!mil__type_fits(declared, value.type)) {
        if (value.data && value.data->buffer) mil_tensor_free(value.data);
        return mil__fail(r->err, MIL_ETYPE, "const: declared %s, but its value is %s",
                         MIL__TYPE_TEXT(r->program->types, declared), MIL__TYPE_TEXT(r->program->types, value.type));
    }
    mil_value made;
    MIL__TRY(add_const(r, block, &value, op->outputs[0]->name, &made));
    mil__op *added = r->program->ops[r->program->values[made]->op];
    added->label = strcmp(label, op->outputs[0]->name) == 0 ? NULL : label;
    if (added->attrs) added->attrs->next = attrs;
    else added->attrs = attrs;
    return mil__keep_operation(r, r->program->values[made]->op, op);
}

/* ---- arguments ---- */

static mil_status new_arg(mil__reader *r, reading *o, const char *name, size_t n, mil__values **out) {
    int slot;
    const mil__param *row;
    MIL__TRY(mil__op_find_param(o->op, r->opset, name, &slot, &row, r->err));
    for (int i = 0; i < o->n_args; i++)
        if (o->args[i].slot == slot)
            return mil__fail(r->err, MIL_EFORMAT, "%s: %s is given twice", o->op->name, row->name);
    mil__values *arg = &o->args[o->n_args++];
    *arg = (mil__values){.slot = (uint16_t)slot, .tuple = row->kind == MIL_PARAM_TUPLE || n != 1};
    arg->values = n < UINT32_MAX ? mil__arena_zero(&r->tmp, n + 1, sizeof *arg->values) : NULL;
    *out = arg;
    return arg->values ? MIL_OK : mil__nomem(r->err);
}

static mil_status missing_value(mil__reader *r, const char *op, const char *name) {
    mil_status status = mil__fail(r->err, MIL_ENAME, "%s%sthere is no value \"%s\" here", op, *op ? ": " : "",
                                  MIL__PRINTABLE(name));
    if (r->err) snprintf(r->err->value, sizeof r->err->value, "%s", MIL__PRINTABLE(name));
    return status;
}

static mil_status read_binding(mil__reader *r, const reading *o, const Mil__Spec__Binding *binding, mil_value *out) {
    if (binding->kind_case == MIL__SPEC__BINDING__KIND_NAME) {
        *out = mil__value_named(r->program, o->block, binding->name, strlen(binding->name));
        return *out ? MIL_OK : missing_value(r, o->op->name, binding->name);
    }
    mil__attr value = {0};
    MIL__TRY(mil__read_value(r, binding->kind_case == MIL__SPEC__BINDING__KIND_VALUE ? binding->value : NULL, true, &value));
    return add_const(r, o->block, &value, NULL, out);
}

static mil_status read_args(mil__reader *r, reading *o, const Mil__Spec__Operation *op) {
    for (size_t i = 0; i < op->n_inputs; i++) {
        const Mil__Spec__Argument *argument = op->inputs[i]->value;
        size_t n = argument ? argument->n_bindings : 0;
        mil__values *arg;
        MIL__TRY(new_arg(r, o, op->inputs[i]->key, n, &arg));
        for (; arg->n < n; arg->n++) MIL__TRY(read_binding(r, o, argument->bindings[arg->n], &arg->values[arg->n]));
    }
    return MIL_OK;
}

/* A parameter of an op that has them as attributes. */
static bool is_attribute_arg(const reading *o, const char *key) {
    if (!(o->op->flags & MIL__ATTRIBUTES)) return false;
    for (int slot = 0, n = mil__op_n_slots(o->op); slot < n; slot++)
        if (strcmp(mil__op_slot_name(o->op, slot), key) == 0) return true;
    return false;
}

static mil_status read_operation_attributes(mil__reader *r, reading *o, const Mil__Spec__Operation *op) {
    mil__attr **end = &o->attrs;
    MIL__TRY(sort_attributes(r, op->attributes, op->n_attributes));
    for (size_t i = 0; i < op->n_attributes; i++) {
        const Mil__Spec__Attribute *a = op->attributes[i];
        mil__attr value = {0};
        bool is_arg = is_attribute_arg(o, a->key);
        MIL__TRY(mil__read_value(r, a->value, is_arg, &value));
        if (is_arg) {
            mil__values *arg;
            mil_status status = new_arg(r, o, a->key, 1, &arg);
            if (status != MIL_OK && value.data && value.data->buffer) mil_tensor_free(value.data);
            MIL__TRY(status);
            arg->n = 1;
            MIL__TRY(add_const(r, o->block, &value, NULL, &arg->values[0]));
            continue;
        }
        bool is_text = value.data && value.type->dtype == MIL_STRING && value.type->rank == 0 && *mil_tensor_string(value.data, 0, NULL);
        if (strcmp(a->key, "name") == 0 && is_text) o->label = mil_tensor_string(value.data, 0, NULL);
        else MIL__TRY(append_attr(r, &end, a->key, &value));
    }
    return MIL_OK;
}

/* ---- operations ---- */

static mil_status read_block(mil__reader *r, mil_block block, const Mil__Spec__Block *from);

static mil_status read_nested(mil__reader *r, const reading *o, const Mil__Spec__Operation *op, mil_block **out) {
    *out = mil__arena_zero(&r->tmp, op->n_blocks + 1, sizeof **out);
    if (!*out) return mil__nomem(r->err);
    if (op->n_blocks && (!(o->op->flags & MIL__BLOCKS) || op->n_blocks > UINT16_MAX))
        return mil__fail(r->err, MIL_EFORMAT, "%s: takes no blocks", o->op->name);
    for (size_t i = 0; i < op->n_blocks; i++) {
        const Mil__Spec__Block *from = op->blocks[i];
        mil_block block;
        MIL__TRY(mil__block_new(r->program, o->block, &block, r->err));
        (*out)[i] = block;
        for (size_t k = 0; k < from->n_inputs; k++) {
            const mil_type *type;
            mil_value value;
            MIL__TRY(mil__read_type(r, from->inputs[k]->type, true, &type));
            MIL__TRY(mil__block_input(r->program, block, from->inputs[k]->name, type, &value, r->err));
        }
        MIL__TRY(read_block(r, block, from));
        r->operation = op;
    }
    return MIL_OK;
}

static mil_status unknown_op(mil__reader *r, const char *name) {
    const char *near = mil_op_nearest(name);
    mil_status status = mil__fail(r->err, MIL_ENAME, "unknown op \"%s\"%s%s%s", MIL__PRINTABLE(name),
                                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    if (r->err) snprintf(r->err->op, sizeof r->err->op, "%.60s", MIL__PRINTABLE(name));
    return status;
}

static mil_status read_operation(mil__reader *r, mil_block block, const Mil__Spec__Operation *op) {
    reading o = {.block = block, .op = mil_op_find(op->type), .label = ""};
    if (!o.op) return unknown_op(r, op->type);
    if (o.op == mil__op_const()) return read_const(r, block, op);
    size_t n = op->n_outputs;
    if (n > UINT16_MAX) return mil__fail(r->err, MIL_ELIMIT, "%s: %zu results", o.op->name, n);
    mil__slice *names = mil__arena_zero(&r->tmp, n + 1, sizeof *names);
    const mil_type **types = mil__arena_zero(&r->tmp, n + 1, sizeof *types);
    mil_block *blocks;
    if (!names || !types) return mil__nomem(r->err);
    for (size_t i = 0; i < n; i++) {
        names[i] = mil__slice_of(op->outputs[i]->name);
        MIL__TRY(mil__read_type(r, op->outputs[i]->type, false, &types[i]));
    }
    MIL__TRY(read_args(r, &o, op));
    MIL__TRY(read_operation_attributes(r, &o, op));
    MIL__TRY(read_nested(r, &o, op, &blocks));
    bool is_usual = n && strcmp(o.label, op->outputs[0]->name) == 0;
    mil__new_op new_op = {.decl = o.op, .args = o.args, .n_args = o.n_args, .blocks = blocks, .n_blocks = (int)op->n_blocks,
                          .names = names, .declared = types, .n_declared = (int)n, .label = is_usual ? NULL : o.label,
                          .attrs = o.attrs, .where = nowhere(), .before = 0, .unchecked = false};
    mil_operation made;
    MIL__TRY(mil__program_add(r->program, block, &new_op, &made, r->err));
    return mil__keep_operation(r, made, op);
}

static mil_status read_block(mil__reader *r, mil_block block, const Mil__Spec__Block *from) {
    mil__mark mark = mil__arena_mark(&r->tmp);
    MIL__TRY(mil__keep_block(r, block, from));
    for (size_t i = 0; i < from->n_operations; i++) {
        if (r->n_read++ % 4096 == 0)
            MIL__TRY(mil__load_progress(r->options, "read", r->n_all ? (double)r->n_read / (double)r->n_all : 1, r->err));
        r->operation = from->operations[i];
        MIL__TRY(read_operation(r, block, from->operations[i]));
        MIL__TRY(mil__read_check_size(r));
        mil__arena_rewind(&r->tmp, mark);
    }
    r->operation = NULL;
    for (size_t i = 0; i < from->n_outputs; i++) {
        const char *name = from->outputs[i];
        mil_value value = mil__value_named(r->program, block, name, strlen(name));
        if (!value) return missing_value(r, "", name);
        MIL__TRY(mil__block_output(r->program, block, value, r->err));
    }
    return MIL_OK;
}

/* ---- functions ---- */

const char *mil__opset_in_package(mil_opset opset) {
    static const char *const names[] = {"CoreML5", "CoreML6", "CoreML7", "CoreML8"};
    return names[opset - MIL_IOS15];
}

/* By the number; what is newer than those that have a name is read as the last of them. */
static mil_status read_opset(mil__reader *r, const char *name, mil_opset *out) {
    int number = 0;
    bool known = strncmp(name, "CoreML", 6) == 0 && name[6] && strlen(name) < 10;
    for (const char *p = name + 6; known && *p; p++) {
        known = *p >= '0' && *p <= '9';
        number = number * 10 + (*p - '0');
    }
    if (!known || number < 5)
        return mil__fail(r->err, MIL_ENAME, "unknown opset \"%s\"; CoreML5 to CoreML8 are known", MIL__PRINTABLE(name));
    *out = number > 8 ? MIL_IOS18 : (mil_opset)(MIL_IOS15 + number - 5);
    return MIL_OK;
}

static const Mil__Spec__Block *body_of(const Mil__Spec__Function *function) {
    for (size_t i = 0; i < function->n_blocks; i++)
        if (strcmp(function->blocks[i]->key, function->opset) == 0) return function->blocks[i]->value;
    return NULL;
}

/* Blocks for other opsets would name places in a weights file that a save writes anew: so a save has to know of them. */
static mil_status note_variants(mil__reader *r, mil__function *made, const Mil__Spec__Function *function) {
    mil__str names = {0};
    for (size_t i = 0; i < function->n_blocks && names.n < 200; i++)
        if (strcmp(function->blocks[i]->key, function->opset) != 0)
            mil__str_printf(&names, "%s%s", names.n ? ", " : "", MIL__PRINTABLE(function->blocks[i]->key));
    made->variants = names.n ? mil__arena_text(&r->program->arena, names.s, names.n) : NULL;
    bool failed = names.failed || (names.n && !made->variants);
    mil__str_free(&names);
    return failed ? mil__nomem(r->err) : MIL_OK;
}

static mil_status read_body(mil__reader *r, mil__function *made, const Mil__Spec__Function *function,
                            const Mil__Spec__Block *body, const mil__described *described) {
    MIL__TRY(mil__read_inputs(r, made->block, function, described));
    mil__attr *attrs = NULL;
    MIL__TRY(read_attributes(r, function->attributes, function->n_attributes, &attrs));
    made->attrs = attrs;
    MIL__TRY(mil__keep_function(r, made->block, function));
    MIL__TRY(note_variants(r, made, function));
    if (body->n_inputs) return mil__fail(r->err, MIL_EFORMAT, "a function's block has no inputs of its own");
    MIL__TRY(read_block(r, made->block, body));
    return mil__read_outputs(r, made, described);
}

static mil_status read_function(mil__reader *r, const Mil__Spec__Model *model, const Mil__Spec__FunctionEntry *entry) {
    mil_program *program = r->program;
    const Mil__Spec__Function *function = entry->value;
    mil_block block;
    r->function = entry->key;
    const Mil__Spec__Block *body = function ? body_of(function) : NULL;
    if (!body) return mil__fail(r->err, MIL_EFORMAT, "there is no block for its opset");
    MIL__TRY(read_opset(r, function->opset, &r->opset));
    MIL__TRY(mil_program_function(program, entry->key, &block, r->err));
    mil__function *made = &program->functions[program->n_functions - 1];
    if (program->n_functions == 1 || r->opset > program->opset) program->opset = r->opset;
    made->opset = r->opset;
    mil__described described;
    mil__described_function(model->description, model->program->n_functions, entry->key, &described);
    return read_body(r, made, function, body, &described);
}

static int by_function(const void *a, const void *b) {
    return strcmp((*(Mil__Spec__FunctionEntry *const *)a)->key, (*(Mil__Spec__FunctionEntry *const *)b)->key);
}

/* ---- models ---- */

const char *mil__model_kind(uint32_t number) {
    static const struct {
        uint32_t first, last;
        const char *name;
    } kinds[] = {{200, 200, "a pipeline classifier"}, {201, 201, "a pipeline regressor"}, {202, 202, "a pipeline"},
        {300, 300, "a generalized linear regressor"}, {301, 301, "a support vector regressor"},
        {302, 302, "a tree ensemble regressor"}, {303, 303, "a neural network regressor"},
        {304, 304, "a Bayesian probit regressor"}, {400, 400, "a generalized linear classifier"},
        {401, 401, "a support vector classifier"}, {402, 402, "a tree ensemble classifier"},
        {403, 403, "a neural network classifier"}, {404, 404, "a nearest neighbors classifier"},
        {500, 500, "a neural network"}, {501, 501, "an item similarity recommender"}, {555, 555, "a custom model"},
        {556, 556, "a linked model"}, {560, 560, "a class confidence thresholding"}, {600, 610, "a feature transformer"},
        {900, 900, "an identity"}, {2000, 2006, "one of Apple's own models"}, {3000, 3000, "a serialized model"}};
    for (size_t i = 0; i < MIL__COUNT(kinds); i++)
        if (number >= kinds[i].first && number <= kinds[i].last) return kinds[i].name;
    return NULL;
}

static mil_status other_kind(mil__reader *r, const Mil__Spec__Model *model) {
    const ProtobufCMessage *base = &model->base;
    for (size_t i = 0; i < base->n_unknown_fields; i++) {
        const char *name = mil__model_kind(base->unknown_fields[i].tag);
        if (name) return mil__fail(r->err, MIL_EUNSUPPORTED, "this model is %s; only ML Programs are read", name);
    }
    return mil__fail(r->err, MIL_EFORMAT, "this is no Core ML model, or one without a program");
}

/* Of the functions' own blocks. */
static size_t count_operations(const Mil__Spec__Program *program) {
    size_t n = 0;
    for (size_t i = 0; i < program->n_functions; i++) {
        const Mil__Spec__Function *function = program->functions[i]->value;
        const Mil__Spec__Block *body = function ? body_of(function) : NULL;
        if (body) n += body->n_operations;
    }
    return n;
}

enum { MAX_FUNCTIONS = 1000 };

mil_status mil__read_model(mil__reader *r, const Mil__Spec__Model *model) {
    const Mil__Spec__Program *program = model->program;
    if (!program) return other_kind(r, model);
    size_t n = program->n_functions;
    if (model->version < MIL__FIRST_VERSION || model->version > MIL__LAST_VERSION)
        return mil__fail(r->err, MIL_EUNSUPPORTED, "its specification version is %d; ML Programs of %d to %d are read", model->version,
                         (int)MIL__FIRST_VERSION, (int)MIL__LAST_VERSION);
    if (program->version > 1) return mil__fail(r->err, MIL_EUNSUPPORTED, "the program is of version %lld", (long long)program->version);
    if (n > MAX_FUNCTIONS || (model->description && model->description->n_functions > MAX_FUNCTIONS))
        return mil__fail(r->err, MIL_ELIMIT, "more than %d functions", (int)MAX_FUNCTIONS);
    r->unknown = mil__dim_fresh(r->program->types);
    bool made = mil__arena_alloc(&r->tmp, 1) && mil__types_status(r->program->types) == MIL_OK; /* over every rewind */
    if (!made) return mil__nomem(r->err);
    r->has_unknown = mil__has_unknown(&program->base, NULL);
    r->n_all = count_operations(program);
    r->program->version_minor = model->version >= 9 ? 3 : 0; /* as Apple's compiler prints it */
    MIL__TRY(mil__keep_model(r, model));
    MIL__TRY(read_attributes(r, program->attributes, program->n_attributes, &r->program->attrs));
    if (n > 1) qsort(program->functions, n, sizeof *program->functions, by_function);
    for (size_t i = 0; i < n; i++) {
        mil__mark mark = mil__arena_mark(&r->tmp);
        MIL__TRY(read_function(r, model, program->functions[i]));
        mil__arena_rewind(&r->tmp, mark);
    }
    r->function = NULL;
    return mil__read_description(r, model->description);
}
