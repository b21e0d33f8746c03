/* SPDX-License-Identifier: MIT */
/* MIL text to a program, by recursive descent; docs/explanation/mil-text.md has the grammar.
 *
 * One pass: each statement is read whole (its arguments are values by then: references are looked up, literals have become
 * inline consts) and added to the program, which infers its types again. What the text declares must fit what is inferred.
 * Statements nest through blocks; a block of an operation is read, and closed, before the operation is added. */
#include <stdio.h>

#include "text/flexible.h"
#include "text/outline.h"
#include "text/parse.h"

static mil_opset opset_of(const mil__parser *ps, mil_block block) {
    return ps->program->functions[ps->program->blocks[block]->function].opset;
}

static mil_where where_of(const mil__parser *ps, const mil__statement *st) { return (mil_where){ps->lex.file, st->line}; }

static const char *tmp_text(mil__parser *ps, mil__slice slice) { return mil__arena_text(&ps->tmp, slice.s, slice.n); }

/* Makes room for one more in an array of the statement's memory. */
static void *grow(mil__parser *ps, void *array, int n, int *cap, size_t bytes) {
    if (n < *cap) return array;
    int more = *cap > 1 ? *cap * 2 : 4;
    void *grown = mil__arena_alloc(&ps->tmp, (size_t)more * bytes);
    if (!grown) return NULL;
    if (n) memcpy(grown, array, (size_t)n * bytes);
    *cap = more;
    return grown;
}

/* An error of the program's, which knows the operation but not the place. */
static mil_status at_statement(mil__parser *ps, const mil__statement *st, mil_status status) {
    return mil__lex_locate(&ps->lex, st->at, status);
}

/* ---- consts ---- */

/* Adds a const for a literal, which is used up. name.s NULL: inline. */
static mil_status add_const(mil__parser *ps, const mil__statement *st, mil__attr *literal, mil__slice name, uint64_t hash,
                            mil_value *out) {
    mil_program *program = ps->program;
    mil_status status = mil__program_const_of(program, st->block, literal->type, literal->data, name, hash, !name.s,
                                              where_of(ps, st), 0, out, ps->lex.err);
    if (literal->data && literal->data->buffer) mil_tensor_free(literal->data);
    literal->data = NULL;
    MIL__TRY(status);
    if (literal->n_items == 0 && literal->type->kind == MIL_TENSOR) return MIL_OK;
    mil__attr *val = mil__arena_copy(&program->arena, literal, sizeof *literal);
    if (!val) return mil__nomem(ps->lex.err);
    val->name = "val";
    val->next = NULL;
    program->ops[program->values[*out]->op]->attrs = val;
    return MIL_OK;
}

static mil_status missing_value(mil__parser *ps, const mil__statement *st, mil__slice name);

/* A value by name, or a literal as an inline const. */
static mil_status parse_item(mil__parser *ps, const mil__statement *st, mil_value *out) {
    const char *at = (mil__lex_peek(&ps->lex), ps->lex.p);
    int line = ps->lex.line;
    mil__slice name;
    MIL__TRY(mil__lex_expect_name(&ps->lex, "a value's name or a typed literal, like int32(1)", &name));
    char next = mil__lex_peek(&ps->lex);
    if (next != '(' && next != '<') {
        *out = mil__parse_value(ps, st->block, name);
        return *out ? MIL_OK : missing_value(ps, st, name);
    }
    ps->lex.p = at;
    ps->lex.line = line;
    mil__attr literal = {0};
    MIL__TRY(mil__parse_literal(ps, MIL__FOR_CONST, &literal));
    mil_status status = add_const(ps, st, &literal, (mil__slice){0}, 0, out);
    if (status != MIL_OK) return mil__lex_locate(&ps->lex, at, status);
    return mil__parse_check_size(ps);
}

/* ---- names that are not known ---- */

typedef struct names_near {
    const mil_program *program;
    mil_block block;
} names_near;

static const char *visible_name(const void *ctx, size_t i) {
    const names_near *near = ctx;
    const mil__value *value = mil__value_at(near->program, (mil_value)i);
    return value && mil__value_visible(near->program, (mil_value)i, near->block) ? value->name : NULL;
}

static int shown(mil__slice name) { return name.n < 80 ? (int)name.n : 80; }

static mil_status missing_value(mil__parser *ps, const mil__statement *st, mil__slice name) {
    names_near ctx = {ps->program, st->block};
    char text[64];
    snprintf(text, sizeof text, "%.*s", shown(name), name.s);
    const char *near = mil__nearest(text, ps->program->n_values, visible_name, &ctx);
    mil_status status =
        mil__fail(ps->lex.err, MIL_ENAME, "%.*s%sthere is no value \"%.*s\" here%s%s%s", shown(st->op_name),
                  st->op_name.s, st->op_name.n ? ": " : "", shown(name), name.s, near ? "; did you mean " : "",
                  near ? near : "", near ? "?" : "");
    if (ps->lex.err) {
        snprintf(ps->lex.err->op, sizeof ps->lex.err->op, "%.*s", shown(st->op_name), st->op_name.s);
        snprintf(ps->lex.err->value, sizeof ps->lex.err->value, "%s", text);
    }
    return mil__lex_locate(&ps->lex, name.s, status);
}

static mil_status find_op(mil__parser *ps, mil__statement *st) {
    st->op = mil__parse_op(ps, st->op_name);
    if (st->op) return MIL_OK;
    char name[64] = {0};
    if (st->op_name.n < sizeof name) memcpy(name, st->op_name.s, st->op_name.n);
    const char *near = name[0] ? mil_op_nearest(name) : NULL;
    mil_status status = mil__fail(ps->lex.err, MIL_ENAME, "unknown op \"%.*s\"%s%s%s", shown(st->op_name), st->op_name.s,
                                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    if (ps->lex.err) snprintf(ps->lex.err->op, sizeof ps->lex.err->op, "%s", name);
    return mil__lex_locate(&ps->lex, st->op_name.s, status);
}

/* ---- arguments ---- */

static mil_status push_value(mil__parser *ps, mil__values *arg, uint32_t *cap, mil_value value) {
    int room = (int)*cap;
    if (arg->n == INT_MAX / 2) return mil__nomem(ps->lex.err);
    mil_value *values = grow(ps, arg->values, (int)arg->n, &room, sizeof *values);
    if (!values) return mil__nomem(ps->lex.err);
    *cap = (uint32_t)room;
    arg->values = values;
    arg->values[arg->n++] = value;
    return MIL_OK;
}

static mil_status find_param(mil__parser *ps, const mil__statement *st, mil__slice name, int *slot, const mil__param **row) {
    *slot = mil__op_slot_named(st->op, opset_of(ps, st->block), name, row);
    if (*slot >= 0) return MIL_OK;
    char text[64];
    size_t n = name.n < sizeof text ? name.n : sizeof text - 1;
    memcpy(text, name.s, n);
    text[n] = 0;
    mil_opset opset = opset_of(ps, st->block);
    mil_status status = mil__op_find_param(st->op, opset, text, slot, row, ps->lex.err);
    for (opset = MIL_IOS15; status != MIL_OK && ps->unchecked && opset <= MIL_IOS18; opset++) {
        *slot = mil__op_slot(st->op, opset, text, row);
        if (*slot >= 0) status = MIL_OK;
    }
    return status == MIL_OK ? MIL_OK : mil__lex_locate(&ps->lex, name.s, status);
}

/* The place for the values of a parameter: a new one; of a tuple that is written key by key, the same again. */
static mil_status arg_of(mil__parser *ps, mil__statement *st, mil__slice name, mil__values **arg, uint32_t **cap) {
    int slot;
    const mil__param *row;
    MIL__TRY(find_param(ps, st, name, &slot, &row));
    int i = 0;
    while (i < st->n_args && st->args[i].slot != slot) i++;
    if (i < st->n_args && row->kind != MIL_PARAM_TUPLE)
        return mil__lex_fail(&ps->lex, name.s, MIL_EPARSE, "%s: %s is given twice", st->op->name, row->name);
    if (i == st->n_args) {
        st->args[i] = (mil__values){.slot = (uint16_t)slot, .tuple = row->kind == MIL_PARAM_TUPLE, .values = &st->one[i]};
        st->cap[i] = 1;
        st->n_args++;
    }
    *arg = &st->args[i];
    *cap = &st->cap[i];
    return MIL_OK;
}

/* const's own argument, in place of the attribute. */
static mil_status parse_val(mil__parser *ps, mil__statement *st, mil__slice name) {
    if (st->val.type) return mil__lex_fail(&ps->lex, name.s, MIL_EPARSE, "const: val is given twice");
    char c = mil__lex_peek(&ps->lex);
    if (!mil__lex_at_name(&ps->lex) && c) return mil__lex_expected(&ps->lex, "a typed literal, like int32(1)");
    return mil__parse_literal(ps, MIL__FOR_CONST, &st->val);
}

static mil_status parse_arg(mil__parser *ps, mil__statement *st) {
    mil__slice name;
    mil__values *arg;
    uint32_t *cap;
    mil_value value;
    MIL__TRY(mil__lex_expect_name(&ps->lex, "a parameter's name", &name));
    MIL__TRY(mil__lex_expect(&ps->lex, '=', "after the parameter's name"));
    if (st->op == ps->const_op && mil__slice_is(name, "val"))
        return parse_val(ps, st, name);
    MIL__TRY(arg_of(ps, st, name, &arg, &cap));
    if (!mil__lex_take(&ps->lex, '(')) {
        MIL__TRY(parse_item(ps, st, &value));
        return push_value(ps, arg, cap, value);
    }
    uint32_t before = arg->n;
    while (arg->n > before ? mil__lex_take(&ps->lex, ',') : mil__lex_peek(&ps->lex) != ')') {
        MIL__TRY(parse_item(ps, st, &value));
        MIL__TRY(push_value(ps, arg, cap, value));
    }
    if (arg->n != 1) arg->tuple = true;
    return mil__lex_expect(&ps->lex, ')', "after the values");
}

static mil_status parse_args(mil__parser *ps, mil__statement *st) {
    MIL__TRY(mil__lex_expect(&ps->lex, '(', "after the op"));
    if (mil__lex_take(&ps->lex, ')')) return MIL_OK;
    do MIL__TRY(parse_arg(ps, st));
    while (mil__lex_take(&ps->lex, ','));
    if (mil__lex_take(&ps->lex, ')')) return MIL_OK;
    char context[100];
    snprintf(context, sizeof context, "\",\" or \")\" after an argument of %s", st->op->name);
    return mil__lex_expected(&ps->lex, context);
}

/* ---- attributes ---- */

static mil_status append_attr(mil__parser *ps, mil__attr ***end, mil__slice name, const mil__attr *literal) {
    mil__attr *attr = mil__arena_copy(&ps->program->arena, literal, sizeof *literal);
    if (!attr) return mil__nomem(ps->lex.err);
    attr->name = mil__arena_text(&ps->program->arena, name.s, name.n);
    attr->next = NULL;
    **end = attr;
    *end = &attr->next;
    return attr->name ? MIL_OK : mil__nomem(ps->lex.err);
}

/* The name attribute becomes the operation's label; what is no plain name stays an attribute. */
static mil_status parse_label(mil__parser *ps, mil__statement *st, mil__slice key) {
    mil__attr literal = {0};
    MIL__TRY(mil__parse_literal(ps, MIL__FOR_ATTRIBUTE, &literal));
    const mil_type *type = literal.type;
    bool is_text = type->kind == MIL_TENSOR && type->dtype == MIL_STRING && type->rank == 0 && literal.data;
    size_t n = 0;
    const char *label = is_text ? mil_tensor_string(literal.data, 0, &n) : "";
    if (n == 0 || strlen(label) != n) return append_attr(ps, &st->attrs_end, key, &literal);
    st->has_label = true;
    st->label = label;
    return MIL_OK;
}

/* The usual case, name = string("y") as the first result is called, without making anything. */
static bool takes_usual_label(mil__parser *ps, mil__statement *st) {
    static const char open[] = "string(\"", long_open[] = "tensor<string, []>(\"";
    if (st->n_results == 0) return false;
    bool is_long = mil__lex_peek(&ps->lex) == 't';
    mil__slice name = st->results[0].name;
    size_t n = is_long ? sizeof long_open - 1 : sizeof open - 1, left = (size_t)(ps->lex.end - ps->lex.p);
    const char *p = ps->lex.p + n;
    if (left < n + name.n + 2 || memcmp(ps->lex.p, is_long ? long_open : open, n) != 0) return false;
    if (memcmp(p, name.s, name.n) != 0 || p[name.n] != '"' || p[name.n + 1] != ')') return false;
    ps->lex.p = p + name.n + 2;
    return st->has_label = true;
}

/* A parameter of an op that has them as attributes. */
static mil_status parse_attribute_arg(mil__parser *ps, mil__statement *st, mil__slice key) {
    mil__values *arg;
    uint32_t *cap;
    mil_value value;
    MIL__TRY(arg_of(ps, st, key, &arg, &cap));
    MIL__TRY(parse_item(ps, st, &value));
    return push_value(ps, arg, cap, value);
}

static bool is_attribute_arg(const mil__statement *st, mil__slice key) {
    char text[64];
    if (!(st->op->flags & MIL__ATTRIBUTES) || key.n >= sizeof text) return false;
    snprintf(text, sizeof text, "%.*s", (int)key.n, key.s);
    for (int slot = 0, n = mil__op_n_slots(st->op); slot < n; slot++)
        if (strcmp(mil__op_slot_name(st->op, slot), text) == 0) return true;
    return false;
}

static mil_status parse_attribute(mil__parser *ps, mil__statement *st, mil__attr ***end) {
    mil__slice key;
    MIL__TRY(mil__lex_expect_name(&ps->lex, "an attribute's name", &key));
    MIL__TRY(mil__lex_expect(&ps->lex, '=', "after the attribute's name"));
    if (st && mil__slice_is(key, "name"))
        return takes_usual_label(ps, st) ? MIL_OK : parse_label(ps, st, key);
    if (st && st->op == ps->const_op && mil__slice_is(key, "val")) return parse_val(ps, st, key);
    if (st && is_attribute_arg(st, key)) return parse_attribute_arg(ps, st, key);
    mil__attr literal = {0};
    MIL__TRY(mil__parse_literal(ps, MIL__FOR_ATTRIBUTE, &literal));
    MIL__TRY(mil__parse_check_size(ps));
    return append_attr(ps, end, key, &literal);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(mil__attr *const *)a)->name, (*(mil__attr *const *)b)->name);
}

static mil_status check_once(mil__parser *ps, const char *at, mil__attr *first, int n) {
    if (n < 2) return MIL_OK;
    mil__attr **sorted = mil__arena_alloc(&ps->tmp, (size_t)n * sizeof *sorted);
    if (!sorted) return mil__nomem(ps->lex.err);
    for (int i = 0; i < n; i++, first = first->next) sorted[i] = first;
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return mil__lex_fail(&ps->lex, at, MIL_EPARSE, "the attribute %.80s is given twice", sorted[i]->name);
    return MIL_OK;
}

/* An attribute list, if there is one. st NULL: of a program or a function, into *first. */
static mil_status parse_attributes(mil__parser *ps, mil__statement *st, mil__attr **first) {
    const char *at = (mil__lex_peek(&ps->lex), ps->lex.p);
    if (!mil__lex_take(&ps->lex, '[')) return MIL_OK;
    if (mil__lex_take(&ps->lex, ']')) return MIL_OK;
    *first = NULL;
    mil__attr **end = first;
    do MIL__TRY(parse_attribute(ps, st, st ? &st->attrs_end : &end));
    while (mil__lex_take(&ps->lex, ','));
    int n = 0;
    for (mil__attr *attr = *first; attr; attr = attr->next) n++;
    MIL__TRY(check_once(ps, at, *first, n));
    if (mil__lex_take(&ps->lex, ']')) return MIL_OK;
    return mil__lex_expected(&ps->lex, "\",\" or \"]\" after an attribute");
}

/* ---- blocks ---- */

static mil_status parse_statements(mil__parser *ps, mil_block block);
static mil_status outline_statement(mil__parser *ps, mil_block block);

/* (TYPE name, ...): the inputs of a function or block. */
static mil_status parse_inputs(mil__parser *ps, mil_block block) {
    MIL__TRY(mil__lex_expect(&ps->lex, '(', "before the inputs"));
    if (mil__lex_take(&ps->lex, ')')) return MIL_OK;
    do {
        const mil_type *type;
        mil__slice name;
        mil_value value;
        ps->fresh = true;
        MIL__TRY(mil__parse_type(ps, &type));
        ps->fresh = false;
        MIL__TRY(mil__lex_expect_name(&ps->lex, "the input's name", &name));
        mil__mark mark = mil__arena_mark(&ps->tmp);
        const char *text = tmp_text(ps, name);
        if (!text) return mil__nomem(ps->lex.err);
        mil_status status = mil__block_input(ps->program, block, text, type, &value, ps->lex.err);
        mil__arena_rewind(&ps->tmp, mark);
        if (status != MIL_OK) return mil__lex_locate(&ps->lex, name.s, status);
        MIL__TRY(mil__parse_check_size(ps));
    } while (mil__lex_take(&ps->lex, ','));
    return mil__lex_expect(&ps->lex, ')', "after the inputs");
}

/* -> (name, ...): the outputs. */
static mil_status parse_outputs(mil__parser *ps, mil_block block) {
    if (!mil__lex_take(&ps->lex, '-') || !mil__lex_take(&ps->lex, '>'))
        return mil__lex_expected(&ps->lex, "\"->\" after the block");
    MIL__TRY(mil__lex_expect(&ps->lex, '(', "before the outputs"));
    if (mil__lex_take(&ps->lex, ')')) return MIL_OK;
    do {
        mil__statement none = {.block = block};
        mil__slice name;
        MIL__TRY(mil__lex_expect_name(&ps->lex, "an output's name", &name));
        mil_value value = mil__parse_value(ps, block, name);
        if (!value) return missing_value(ps, &none, name);
        if (mil__block_output(ps->program, block, value, ps->lex.err) != MIL_OK) return MIL_ENOMEM;
    } while (mil__lex_take(&ps->lex, ','));
    return mil__lex_expect(&ps->lex, ')', "after the outputs");
}

static mil_status parse_body(mil__parser *ps, mil_block block) {
    MIL__TRY(mil__lex_expect(&ps->lex, '{', "before the operations"));
    if (++ps->depth > MIL__MAX_DEPTH)
        return mil__lex_fail(&ps->lex, ps->lex.p, MIL_ELIMIT, "blocks nested deeper than %d levels", (int)MIL__MAX_DEPTH);
    MIL__TRY(parse_statements(ps, block));
    ps->depth--;
    MIL__TRY(mil__lex_expect(&ps->lex, '}', "after the operations"));
    return parse_outputs(ps, block);
}

/* The nested blocks of an operation: (inputs) { ... } -> (outputs), ...; a word may stand before each. */
static mil_status parse_blocks(mil__parser *ps, mil__statement *st) {
    do {
        mil_block block;
        MIL__TRY(mil__block_new(ps->program, st->block, &block, ps->lex.err));
        mil_block *blocks = grow(ps, st->blocks, st->n_blocks, &st->cap_blocks, sizeof *blocks);
        if (!blocks) return mil__nomem(ps->lex.err);
        st->blocks = blocks;
        if (st->n_blocks == UINT16_MAX)
            return mil__lex_fail(&ps->lex, ps->lex.p, MIL_ELIMIT, "more than %d blocks", UINT16_MAX);
        st->blocks[st->n_blocks++] = block;
        mil__lex_name(&ps->lex);
        MIL__TRY(parse_inputs(ps, block));
        MIL__TRY(parse_body(ps, block));
    } while (mil__lex_take(&ps->lex, ','));
    return MIL_OK;
}

/* Is there a block: "(", or a word and "("? */
static bool at_block(mil__parser *ps) {
    if (mil__lex_peek(&ps->lex) == '(') return true;
    mil__lexer before = ps->lex;
    bool is_block = mil__lex_name(&ps->lex).n && mil__lex_peek(&ps->lex) == '(';
    ps->lex = before;
    return is_block;
}

/* The same behind the ";", where another tool writes its blocks; a word there must be its word, for it might be an op. */
static bool at_late_block(mil__parser *ps) {
    static const char word[] = "block";
    size_t n = sizeof word - 1;
    if (mil__lex_peek(&ps->lex) == '(') return true;
    return (size_t)(ps->lex.end - ps->lex.p) > n && memcmp(ps->lex.p, word, n) == 0 &&
           !mil__name_class[(unsigned char)ps->lex.p[n]] && at_block(ps);
}

/* ---- statements ---- */

static mil_status finish_const(mil__parser *ps, mil__statement *st) {
    if (!st->val.type) return mil__lex_fail(&ps->lex, st->at, MIL_EPARSE, "const: val is missing");
    if (st->n_results != 1)
        return mil__lex_fail(&ps->lex, st->at, MIL_EPARSE, "const: has one result, but %d are declared", st->n_results);
    mil__types *types = ps->program->types;
    if (!mil__type_fits(st->results[0].type, st->val.type)) {
        mil_status status = mil__fail(ps->lex.err, MIL_ETYPE, "const: %.*s is declared %s, but its value is %s",
                                      shown(st->results[0].name), st->results[0].name.s,
                                      MIL__TYPE_TEXT(types, st->results[0].type), MIL__TYPE_TEXT(types, st->val.type));
        return at_statement(ps, st, status);
    }
    mil_value value;
    mil_status status = add_const(ps, st, &st->val, st->results[0].name, st->results[0].hash, &value);
    if (status != MIL_OK) return at_statement(ps, st, status);
    mil__parse_remember(ps, st->block, &st->results[0], value);
    mil__op *op = ps->program->ops[ps->program->values[value]->op];
    op->label = st->label;
    if (op->attrs) op->attrs->next = st->attrs;
    else op->attrs = st->attrs;
    return MIL_OK;
}

static mil_status add_operation(mil__parser *ps, mil__statement *st, const mil__slice *names, const uint64_t *hashes,
                                const mil_type *const *types) {
    mil__new_op new_op = {.decl = st->op, .args = st->args, .n_args = st->n_args, .blocks = st->blocks,
                          .n_blocks = st->n_blocks, .names = names, .hashes = hashes, .declared = types,
                          .n_declared = st->n_results, .label = st->label, .attrs = st->attrs, .where = where_of(ps, st),
                          .before = 0, .unchecked = ps->unchecked};
    mil_operation made;
    mil_status status = mil__program_add(ps->program, st->block, &new_op, &made, ps->lex.err);
    if (status != MIL_OK) return at_statement(ps, st, status);
    const mil__op *op = ps->program->ops[made];
    for (int i = 0; i < st->n_results; i++) mil__parse_remember(ps, st->block, &st->results[i], op->outputs[i]);
    return MIL_OK;
}

static mil_status finish_operation(mil__parser *ps, mil__statement *st) {
    if (st->n_results == 1) return add_operation(ps, st, &st->results->name, &st->results->hash, &st->results->type);
    size_t n = (size_t)st->n_results + 1;
    mil__slice *names = mil__arena_alloc(&ps->tmp, n * sizeof *names);
    uint64_t *hashes = mil__arena_alloc(&ps->tmp, n * sizeof *hashes);
    const mil_type **types = mil__arena_alloc(&ps->tmp, n * sizeof *types);
    if (!names || !hashes || !types) return mil__nomem(ps->lex.err);
    for (int i = 0; i < st->n_results; i++) {
        names[i] = st->results[i].name;
        hashes[i] = st->results[i].hash;
        types[i] = st->results[i].type;
    }
    return add_operation(ps, st, names, hashes, types);
}

static mil_status finish_statement(mil__parser *ps, mil__statement *st) {
    if (st->n_results > UINT16_MAX)
        return mil__lex_fail(&ps->lex, st->at, MIL_ELIMIT, "more than %d results", UINT16_MAX);
    if (!st->has_label && st->n_results) st->label = "";
    bool is_const = st->op == ps->const_op;
    if (st->n_blocks && (is_const || (!(st->op->flags & MIL__BLOCKS) && !ps->unchecked)))
        return mil__lex_fail(&ps->lex, st->at, MIL_ETYPE, "%s: takes no blocks", st->op->name);
    return is_const ? finish_const(ps, st) : finish_operation(ps, st);
}

/* Types begin with a dtype or the kind of type, operations with neither. */
static bool at_type(mil__parser *ps) {
    static const char *const kinds[] = {"tensor", "list", "dict", "tuple", "state", "tensor_buffer"};
    const char *at = ps->lex.p;
    if (ps->lex.end - at > 7 && memcmp(at, "tensor<", 7) == 0) return true; /* as a rule */
    mil__slice word = mil__lex_name(&ps->lex);
    ps->lex.p = at;
    for (size_t i = 0; i < MIL__COUNT(kinds); i++)
        if (word.n && word.s[0] == kinds[i][0] && mil__slice_is(word, kinds[i])) return true;
    return mil__parse_dtype(ps, word) != MIL_NO_DTYPE;
}

static mil_status parse_results(mil__parser *ps, mil__statement *st) {
    do {
        mil__result *results = grow(ps, st->results, st->n_results, &st->cap_results, sizeof *results);
        if (!results) return mil__nomem(ps->lex.err);
        st->results = results;
        mil__result *r = &results[st->n_results++];
        ps->fresh = ps->unchecked; /* else inference knows better */
        MIL__TRY(mil__parse_type(ps, &r->type));
        ps->fresh = false;
        MIL__TRY(mil__lex_expect_name(&ps->lex, "the result's name", &r->name));
        r->hash = mil__hash(r->name.s, r->name.n);
        mil__value_expect(ps->program, st->block, r->hash);
    } while (mil__lex_take(&ps->lex, ','));
    return mil__lex_expect(&ps->lex, '=', "after the result's name");
}

static mil_status parse_parts(mil__parser *ps, mil__statement *st) {
    if (at_type(ps)) MIL__TRY(parse_results(ps, st));
    MIL__TRY(mil__lex_expect_name(&ps->lex, st->n_results ? "an op" : "a type or an op", &st->op_name));
    MIL__TRY(find_op(ps, st));
    if (mil__lex_take(&ps->lex, '<')) { /* an opset of its own, in dumps; the function's holds */
        mil__slice opset;
        MIL__TRY(mil__lex_expect_name(&ps->lex, "an opset", &opset));
        MIL__TRY(mil__lex_expect(&ps->lex, '>', "after the opset"));
    }
    MIL__TRY(parse_args(ps, st));
    MIL__TRY(parse_attributes(ps, st, &st->attrs));
    if (mil__lex_take(&ps->lex, ';')) return at_late_block(ps) ? parse_blocks(ps, st) : MIL_OK;
    if (at_block(ps)) MIL__TRY(parse_blocks(ps, st));
    if (mil__lex_take(&ps->lex, ';')) return at_late_block(ps) ? parse_blocks(ps, st) : MIL_OK;
    char context[100];
    snprintf(context, sizeof context, "\";\" after %s", st->op->name);
    return mil__lex_expected(&ps->lex, context);
}

/* Field by field: args and cap are most of a statement, and begin one by one. */
static void begin_statement(const mil__parser *ps, mil_block block, mil__statement *st) {
    st->at = ps->lex.p;
    st->line = ps->lex.line;
    st->block = block;
    st->op_name = (mil__slice){0};
    st->op = NULL;
    st->results = &st->first;
    st->cap_results = 1;
    st->n_results = st->n_args = 0;
    st->label = NULL;
    st->has_label = false;
    st->attrs = NULL;
    st->attrs_end = &st->attrs;
    st->val = (mil__attr){0};
    st->blocks = NULL;
    st->n_blocks = st->cap_blocks = 0;
}

static mil_status parse_statement(mil__parser *ps, mil_block block) {
    mil__statement st;
    begin_statement(ps, block, &st);
    mil_status status = parse_parts(ps, &st);
    if (status == MIL_OK) status = finish_statement(ps, &st);
    if (st.val.data && st.val.data->buffer) mil_tensor_free(st.val.data); /* not used up: something failed */
    return status;
}

enum { MANY = 4096, MOST_AHEAD = 8 };

/* When the tables of a large program are full, room for all of it as far as the text up to here tells, instead of twice what is
 * there again and again. */
static mil_status make_room(mil__parser *ps) {
    double read = (double)(ps->lex.p - ps->lex.text), all = (double)(ps->lex.end - ps->lex.text);
    uint32_t n = ps->program->n_values;
    double times = all / read * 1.02;
    if (times > MOST_AHEAD) times = MOST_AHEAD;
    if (times < 1.25) times = 1.25; /* at the text's end, too, it is a factor: the copies stay in proportion */
    return n < UINT32_MAX / (2 * MOST_AHEAD) ? mil__program_reserve(ps->program, (uint32_t)(n * times), ps->lex.err) : MIL_OK;
}

static mil_status parse_statements(mil__parser *ps, mil_block block) {
    mil__mark mark = mil__arena_mark(&ps->tmp);
    for (;;) {
        char c = mil__lex_peek(&ps->lex);
        if (c == '}') return MIL_OK;
        if (ps->lex.p == ps->lex.end) return mil__lex_expected(&ps->lex, "an operation or \"}\"");
        if (ps->is_outline) MIL__TRY(outline_statement(ps, block));
        else if (!mil__parse_usual(ps, block)) MIL__TRY(parse_statement(ps, block));
        MIL__TRY(mil__parse_check_size(ps));
        if (ps->program->n_values >= ps->program->cap_values && ps->program->n_values >= MANY) MIL__TRY(make_room(ps));
        mil__arena_rewind(&ps->tmp, mark);
    }
}

/* ---- statements that are passed over (outline.h) ---- */

/* To where a ';' or what closes nothing stands, outside of brackets and strings; or, where `one`, behind the first bracket that closes. */
static mil_status pass_over(mil__parser *ps, bool one) {
    mil__slice string;
    for (size_t depth = 0;;) {
        char c = mil__lex_peek(&ps->lex);
        if (ps->lex.p == ps->lex.end) return mil__lex_expected(&ps->lex, "\";\" after an operation");
        if (c == '"') {
            MIL__TRY(mil__lex_string(&ps->lex, &ps->decoded, &string));
            continue;
        }
        bool opens = c == '(' || c == '[' || c == '{', closes = c == ')' || c == ']' || c == '}';
        if (depth == 0 && (closes || c == ';')) return MIL_OK;
        ps->lex.p++;
        if (opens) depth++;
        if (closes && --depth == 0 && one) return MIL_OK;
    }
}

/* As parse_blocks, of what stands behind the ';'. */
static mil_status pass_over_late_blocks(mil__parser *ps) {
    do {
        mil__lex_name(&ps->lex);
        MIL__TRY(pass_over(ps, true));
        MIL__TRY(pass_over(ps, true));
        if (!mil__lex_take(&ps->lex, '-') || !mil__lex_take(&ps->lex, '>')) return mil__lex_expected(&ps->lex, "\"->\" after the block");
        MIL__TRY(pass_over(ps, true));
    } while (mil__lex_take(&ps->lex, ','));
    return MIL_OK;
}

/* Where a type is none that is known here, nothing was read, and that is no error. */
static mil_status known_results(mil__parser *ps, mil__statement *st, bool *are_known) {
    mil__lexer before = ps->lex;
    int depth = ps->depth;
    ps->lex.err = NULL;
    mil_status status = at_type(ps) ? parse_results(ps, st) : MIL_EPARSE;
    ps->lex.err = before.err;
    *are_known = status == MIL_OK;
    if (status == MIL_OK || status == MIL_ENOMEM) return status == MIL_OK ? MIL_OK : mil__nomem(ps->lex.err);
    ps->lex = before;
    ps->depth = depth;
    ps->fresh = false;
    return MIL_OK;
}

static mil_status add_outlined(mil__parser *ps, const mil__statement *st, const mil__result *result) {
    mil_value value;
    mil_status status = mil__program_const_of(ps->program, st->block, result->type, NULL, result->name, result->hash, false, where_of(ps, st), 0,
                                              &value, ps->lex.err);
    if (status != MIL_OK) return at_statement(ps, st, status);
    mil__parse_remember(ps, st->block, result, value);
    return MIL_OK;
}

static mil_status outline_statement(mil__parser *ps, mil_block block) {
    mil__statement st;
    begin_statement(ps, block, &st);
    bool are_known;
    MIL__TRY(known_results(ps, &st, &are_known));
    MIL__TRY(pass_over(ps, false));
    MIL__TRY(mil__lex_expect(&ps->lex, ';', "after an operation"));
    if (at_late_block(ps)) MIL__TRY(pass_over_late_blocks(ps));
    for (int i = 0; are_known && i < st.n_results; i++) MIL__TRY(add_outlined(ps, &st, &st.results[i]));
    return MIL_OK;
}

/* ---- functions, programs ---- */

/* ios15 to ios18; what is newer is read as ios18, what is older as ios15. */
static mil_status parse_opset(mil__parser *ps, mil_opset *out) {
    mil__slice tag;
    MIL__TRY(mil__lex_expect(&ps->lex, '<', "before the opset"));
    MIL__TRY(mil__lex_expect_name(&ps->lex, "an opset", &tag));
    int number = 0;
    bool known = tag.n > 3 && tag.n < 8 && memcmp(tag.s, "ios", 3) == 0;
    for (size_t i = 3; i < tag.n && known; i++) {
        known = tag.s[i] >= '0' && tag.s[i] <= '9';
        number = number * 10 + (tag.s[i] - '0');
    }
    if (!known && !ps->unchecked) {
        return mil__lex_fail(&ps->lex, tag.s, MIL_ENAME, "unknown opset \"%.*s\"; ios15, ios16, ios17 and ios18 are known",
                             shown(tag), tag.s);
    }
    *out = !known || number > MIL_IOS18 ? MIL_IOS18 : number < MIL_IOS15 ? MIL_IOS15 : (mil_opset)number;
    return mil__lex_expect(&ps->lex, '>', "after the opset");
}

enum { MAX_FUNCTIONS = 1000 };

static mil_status parse_function(mil__parser *ps) {
    mil__slice word, name;
    mil_opset opset = MIL_IOS18;
    mil_block block;
    MIL__TRY(mil__lex_expect_name(&ps->lex, "\"func\" or \"}\"", &word));
    if (!mil__slice_is(word, "func")) {
        ps->lex.p = word.s;
        return mil__lex_expected(&ps->lex, "\"func\" or \"}\"");
    }
    MIL__TRY(mil__lex_expect_name(&ps->lex, "the function's name", &name));
    MIL__TRY(parse_opset(ps, &opset));
    const char *text = tmp_text(ps, name);
    if (!text) return mil__nomem(ps->lex.err);
    mil_program *program = ps->program;
    if (program->n_functions == MAX_FUNCTIONS)
        return mil__lex_fail(&ps->lex, name.s, MIL_ELIMIT, "more than %d functions", (int)MAX_FUNCTIONS);
    mil_status status = mil_program_function(program, text, &block, ps->lex.err);
    if (status != MIL_OK) return mil__lex_locate(&ps->lex, name.s, status);
    if (program->n_functions == 1 || opset > program->opset) program->opset = opset;
    program->functions[program->n_functions - 1].opset = opset;
    memset(ps->ops, 0, sizeof ps->ops); /* parameters come and go with opsets */
    ps->last_op = NULL;
    MIL__TRY(parse_inputs(ps, block));
    mil__attr *attrs = NULL;
    MIL__TRY(parse_attributes(ps, NULL, &attrs));
    program->functions[program->n_functions - 1].attrs = attrs;
    if (attrs) MIL__TRY(mil__flexible_read(program, &program->functions[program->n_functions - 1], ps->lex.err));
    MIL__TRY(parse_body(ps, block));
    return mil__lex_expect(&ps->lex, ';', "after the function");
}

/* "(1.3)": only the style of printing depends on it. */
static mil_status parse_version(mil__parser *ps) {
    MIL__TRY(mil__lex_expect(&ps->lex, '(', "before the version"));
    int part[2] = {0, 0};
    mil__lex_peek(&ps->lex);
    for (int i = 0; i < 2; i++) {
        const char *at = ps->lex.p;
        for (; ps->lex.p < ps->lex.end && *ps->lex.p >= '0' && *ps->lex.p <= '9'; ps->lex.p++)
            if (part[i] < 10000) part[i] = part[i] * 10 + (*ps->lex.p - '0');
        if (ps->lex.p == at) return mil__lex_expected(&ps->lex, "a version, like 1.3");
        if (i == 0 && !mil__lex_take(&ps->lex, '.')) return mil__lex_expected(&ps->lex, "a version, like 1.3");
    }
    ps->program->version_minor = part[0] == 1 ? part[1] : part[0] > 1 ? 3 : 0;
    return mil__lex_expect(&ps->lex, ')', "after the version");
}

/* What is found under the name of a MIL text and is none. */
static mil_status check_kind(mil__parser *ps) {
    static const char lfs[] = "version https://git-lfs";
    size_t n = (size_t)(ps->lex.end - ps->lex.text);
    const char *text = ps->lex.text;
    if (n >= 2 && text[0] == 8 && (unsigned char)text[1] < 8)
        return mil__lex_fail(&ps->lex, text, MIL_EFORMAT, "this is the binary form of a program (protobuf), not its text");
    if (n >= sizeof lfs - 1 && memcmp(text, lfs, sizeof lfs - 1) == 0)
        return mil__lex_fail(&ps->lex, text, MIL_EFORMAT, "this is a Git LFS pointer, not the file it stands for");
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) ps->lex.p += 3;
    return MIL_OK;
}

static mil_status parse_program(mil__parser *ps) {
    MIL__TRY(check_kind(ps));
    ps->unknown = mil__dim_fresh(ps->program->types);
    /* the first chunk stays over every rewind */
    bool made = mil__arena_alloc(&ps->tmp, 1) && mil__types_status(ps->program->types) == MIL_OK;
    if (!made) return mil__nomem(ps->lex.err);
    mil__slice word = mil__lex_name(&ps->lex);
    if (!mil__slice_is(word, "program")) {
        if (word.n) ps->lex.p = word.s;
        return mil__lex_expected(&ps->lex, "\"program\"");
    }
    MIL__TRY(parse_version(ps));
    MIL__TRY(parse_attributes(ps, NULL, &ps->program->attrs));
    MIL__TRY(mil__lex_expect(&ps->lex, '{', "before the functions"));
    while (!mil__lex_take(&ps->lex, '}')) {
        mil__mark mark = mil__arena_mark(&ps->tmp);
        MIL__TRY(parse_function(ps));
        mil__arena_rewind(&ps->tmp, mark);
    }
    mil__lex_peek(&ps->lex);
    return ps->lex.p == ps->lex.end ? MIL_OK : mil__lex_expected(&ps->lex, "the end of the text");
}

static void free_parser(mil__parser *ps) {
    mil__arena_free(&ps->tmp);
    mil__str_free(&ps->elements);
    mil__str_free(&ps->chars);
    mil__str_free(&ps->decoded);
    mil__free(ps->stack.items);
    mil__blobs_free(&ps->blobs);
}

static mil_status parse(const char *text, size_t n, const mil_text_options *options, bool is_outline, mil_program **out, mil_error *err) {
    *out = NULL;
    mil_program *program;
    MIL__TRY(mil_program_new(MIL_IOS18, &program, err));
    mil__parser ps = {.lex = {.p = text, .end = text + n, .line = 1, .text = text, .err = err}, .program = program,
                      .const_op = mil__op_const(), .is_outline = is_outline};
    ps.last[0] = ps.last[1] = ps.recent;
    if (options) {
        ps.lex.file = options->name;
        ps.blobs.model_path = options->model_path;
        ps.blobs.may_be_absent = options->weights_may_lack;
        ps.unchecked = options->unchecked;
    }
    ps.most_bytes = n > SIZE_MAX / 64 ? SIZE_MAX : n * 40 + ((size_t)4 << 20);
    mil_status status = ps.blobs.model_path ? mil__program_set_model_path(program, ps.blobs.model_path, err) : MIL_OK;
    if (status == MIL_OK) status = parse_program(&ps);
    free_parser(&ps);
    if (status == MIL_OK) *out = program;
    else mil_program_free(program);
    return status;
}

mil_status mil_text_parse(const char *text, size_t n, const mil_text_options *options, mil_program **out, mil_error *err) {
    return parse(text, n, options, false, out, err);
}

mil_status mil__text_outline(const char *text, size_t n, mil_program **out, mil_error *err) {
    const mil_text_options options = {.unchecked = true};
    return parse(text, n, &options, true, out, err);
}
