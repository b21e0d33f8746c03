/* SPDX-License-Identifier: MIT */
/* Are two programs the same, operation by operation: names, types, arguments, elements? What may differ is how consts
 * stand there (an operation, or in place; in a weights file or not), and the identity of symbols. */
#ifndef SAME_H
#define SAME_H

#include "test.h"

#include "program/program.h"

typedef struct same {
    const mil_program *a, *b;
    char what[400];           /* the first difference; "" : none */
} same;

static inline bool same_fail(same *s, const char *what, const char *name) {
    if (!s->what[0]) snprintf(s->what, sizeof s->what, "%s of %s", what, name ? name : "?");
    return false;
}

static inline bool same_type(const mil_type *a, const mil_type *b) {
    if (a->kind != b->kind || a->n_items != b->n_items) return false;
    if (a->kind == MIL_TENSOR && (a->dtype != b->dtype || a->rank != b->rank)) return false;
    for (int i = 0; a->kind == MIL_TENSOR && i < a->rank; i++)
        if (a->shape[i] < 0 ? b->shape[i] >= 0 : a->shape[i] != b->shape[i]) return false;
    for (int i = 0; i < a->n_items; i++)
        if (!same_type(a->items[i], b->items[i])) return false;
    return true;
}

static inline bool same_data(const mil_tensor *a, const mil_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank || mil_tensor_numel(a) != mil_tensor_numel(b)) return false;
    if (a->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) != 0) return false;
    for (int64_t i = 0; a->dtype == MIL_STRING && i < mil_tensor_numel(a); i++)
        if (strcmp(mil_tensor_string(a, i, NULL), mil_tensor_string(b, i, NULL)) != 0) return false;
    if (a->dtype == MIL_STRING) return true;
    mil_tensor *x = NULL, *y = NULL;
    bool ok =
        mil_tensor_convert(a, a->dtype, &x, NULL) == MIL_OK && mil_tensor_convert(b, b->dtype, &y, NULL) == MIL_OK;
    ok = ok && (!mil_tensor_bytes(x) || memcmp(x->data, y->data, mil_tensor_bytes(x)) == 0);
    mil_tensor_free(x);
    mil_tensor_free(y);
    return ok;
}

static inline bool same_attr(const mil__attr *a, const mil__attr *b) {
    if (!a || !b) return a == b;
    if (!same_type(a->type, b->type) || !a->data != !b->data || a->n_items != b->n_items) return false;
    if (a->data && !same_data(a->data, b->data)) return false;
    for (int i = 0; i < a->n_items; i++)
        if (!same_attr(&a->items[i], &b->items[i])) return false;
    return true;
}

static inline const mil__attr *same_find(const mil__attr *list, const char *name) {
    while (list && strcmp(list->name, name) != 0) list = list->next;
    return list;
}

static inline bool same_value(same *s, mil_value ida, mil_value idb) {
    const mil__value *a = s->a->values[ida], *b = s->b->values[idb];
    if (a->is_const != b->is_const) return same_fail(s, "constness", a->name);
    bool has_data = a->is_const && a->data && b->data; /* whose shape is fixed, where text may say "?" in the type */
    if (!has_data && !same_type(a->type, b->type)) return same_fail(s, "the type", a->name);
    if (has_data) return same_data(a->data, b->data) || same_fail(s, "the elements", a->name);
    if (a->is_const && !a->data)
        return same_attr(same_find(s->a->ops[a->op]->attrs, "val"), same_find(s->b->ops[b->op]->attrs, "val")) ||
               same_fail(s, "the value", a->name);
    return strcmp(a->name, b->name) == 0 || same_fail(s, "the name", a->name);
}

/* Inputs of a function: by name, since a description has states apart. */
static inline bool same_input(same *s, mil_value ida, const mil__block *b) {
    const mil__value *a = s->a->values[ida];
    for (uint32_t i = 0; i < b->n_inputs; i++)
        if (strcmp(s->b->values[b->inputs[i]]->name, a->name) == 0) return same_value(s, ida, b->inputs[i]);
    return same_fail(s, "the input", a->name);
}

static inline bool same_block(same *s, mil_block ida, mil_block idb);

static inline bool same_operation(same *s, const mil__op *a, const mil__op *b) {
    const char *name = a->n_outputs ? s->a->values[a->outputs[0]]->name : a->decl->name;
    if (a->decl != b->decl) return same_fail(s, "the op", name);
    if (a->n_outputs != b->n_outputs || a->n_args != b->n_args || a->n_blocks != b->n_blocks)
        return same_fail(s, "counts", name);
    if (strcmp(a->label ? a->label : name, b->label ? b->label : name) != 0) return same_fail(s, "the label", name);
    for (uint32_t i = 0; i < a->n_outputs; i++)
        if (!same_value(s, a->outputs[i], b->outputs[i])) return false;
    for (int i = 0; i < a->n_args; i++) {
        const mil__values *x = &a->args[i], *y = mil__op_arg(b, x->slot);
        if (!y || x->n != y->n || x->tuple != y->tuple) return same_fail(s, "an argument", name);
        for (uint32_t k = 0; k < x->n; k++)
            if (!same_value(s, x->values[k], y->values[k])) return false;
    }
    for (const mil__attr *attr = a->attrs; attr; attr = attr->next)
        if (!same_attr(attr, same_find(b->attrs, attr->name))) return same_fail(s, "an attribute", name);
    for (int i = 0; i < a->n_blocks; i++)
        if (!same_block(s, a->blocks[i], b->blocks[i])) return false;
    return true;
}

static inline mil_operation same_next(const mil_program *p, mil_operation at) {
    while (at && p->ops[at]->decl == mil__op_const()) at = p->ops[at]->next;
    return at;
}

static inline bool same_block(same *s, mil_block ida, mil_block idb) {
    const mil__block *a = s->a->blocks[ida], *b = s->b->blocks[idb];
    if (a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs) return same_fail(s, "counts", "a block");
    for (uint32_t i = 0; i < a->n_inputs; i++)
        if (!same_input(s, a->inputs[i], b)) return false;
    mil_operation x = same_next(s->a, a->first), y = same_next(s->b, b->first);
    for (; x && y; x = same_next(s->a, s->a->ops[x]->next), y = same_next(s->b, s->b->ops[y]->next))
        if (!same_operation(s, s->a->ops[x], s->b->ops[y])) return false;
    if (x || y) return same_fail(s, "the number of operations", "a block");
    for (uint32_t i = 0; i < a->n_outputs; i++)
        if (!same_value(s, a->outputs[i], b->outputs[i])) return false;
    return true;
}

/* The difference, or "". */
static inline const char *same_programs(same *s) {
    if (s->a->n_functions != s->b->n_functions) return same_fail(s, "the number", "functions"), s->what;
    for (uint32_t i = 0; i < s->a->n_functions; i++) {
        const mil__function *f = &s->a->functions[i];
        mil_block b = mil_program_function_find(s->b, f->name);
        if (!b) return same_fail(s, "the function", f->name), s->what;
        if (f->opset != s->b->functions[s->b->blocks[b]->function].opset)
            return same_fail(s, "the opset", f->name), s->what;
        if (!same_block(s, f->block, b)) break;
    }
    return s->what;
}

#endif
