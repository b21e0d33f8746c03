/* SPDX-License-Identifier: MIT */
/* A classifier's outputs. An engine computes the probabilities; which label is the likeliest, and what each number stands
 * for, is found here. The labels are made when the model is, so that a run makes nothing. */
#include <math.h>

#include "engine/engine.h"

/* The items of the list that a classify's classes are. */
static const mil__attr *classes_of(const mil_program *program, const mil__op *op) {
    const mil__value *list = program->values[mil__op_arg_named(op, "classes")->values[0]];
    const mil__attr *at = list->op ? program->ops[list->op]->attrs : NULL;
    while (at && strcmp(at->name, "val") != 0) at = at->next;
    return at && at->type->kind == MIL_LIST ? at : NULL;
}

static mil_status make_keys(const mil__attr *list, mil_dtype dtype, mil_tensor **out, mil_error *err) {
    size_t n = (size_t)list->n_items;
    const char **texts = mil__calloc(n + 1, sizeof *texts);
    size_t *lengths = mil__calloc(n + 1, sizeof *lengths);
    mil_status status = texts && lengths ? MIL_OK : mil__nomem(err);
    for (size_t i = 0; i < n && dtype == MIL_STRING && status == MIL_OK; i++)
        texts[i] = mil_tensor_string(list->items[i].data, 0, &lengths[i]);
    if (status == MIL_OK && dtype == MIL_STRING) status = mil_tensor_strings(1, n, texts, lengths, out, err);
    if (status == MIL_OK && dtype != MIL_STRING) {
        int64_t shape[] = {list->n_items};
        status = mil_tensor_new(dtype, 1, shape, out, err);
        for (size_t i = 0; i < n && status == MIL_OK; i++) ((int64_t *)(*out)->data)[i] = mil__load_i64(list->items[i].data, 0);
    }
    mil__free(texts);
    mil__free(lengths);
    return status;
}

static mil_status make_label(const mil__classes *classes, size_t i, mil_tensor **out, mil_error *err) {
    if (classes->keys->dtype == MIL_STRING) {
        size_t length;
        const char *text = mil_tensor_string(classes->keys, (int64_t)i, &length);
        return mil_tensor_strings(0, 1, &text, &length, out, err);
    }
    MIL__TRY(mil_tensor_new(MIL_INT64, 0, NULL, out, err));
    *(int64_t *)(*out)->data = ((const int64_t *)classes->keys->data)[i];
    return MIL_OK;
}

static mil_status fill(mil__classes *classes, const mil__attr *list, mil_dtype dtype, bool is_label, mil_error *err) {
    MIL__TRY(make_keys(list, dtype, &classes->keys, err));
    mil_buffer_freeze(classes->keys->buffer);
    if (!is_label) return MIL_OK;
    classes->labels = mil__calloc(classes->n + 1, sizeof *classes->labels);
    if (!classes->labels) return mil__nomem(err);
    for (size_t i = 0; i < classes->n; i++) {
        MIL__TRY(make_label(classes, i, &classes->labels[i], err));
        mil_buffer_freeze(classes->labels[i]->buffer);
    }
    return MIL_OK;
}

mil_status mil__classes_new(const mil_program *program, mil_value output, mil__classes **out, mil_error *err) {
    const mil__value *value = program->values[output];
    const mil__op *op = value->op ? program->ops[value->op] : NULL;
    *out = NULL;
    if (!op || strcmp(op->decl->name, "classify") != 0) return MIL_OK;
    const mil__attr *list = classes_of(program, op);
    const mil_type *probabilities = program->values[mil__op_arg_named(op, "probabilities")->values[0]]->type;
    int64_t numel;
    if (!list || !list->n_items || !mil__shape_numel(probabilities->rank, probabilities->shape, &numel) || numel != list->n_items)
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: classify: %s and its classes are not as many",
                         MIL__TYPE_TEXT(program->types, probabilities));
    mil__classes *classes = mil__calloc(1, sizeof *classes);
    if (!classes) return mil__nomem(err);
    classes->n = (size_t)list->n_items;
    classes->probabilities = probabilities;
    mil_status status = fill(classes, list, list->type->items[0]->dtype, value->index == 0, err);
    if (status == MIL_OK) *out = classes;
    else mil__classes_free(classes);
    return status;
}

void mil__classes_free(mil__classes *classes) {
    if (!classes) return;
    for (size_t i = 0; classes->labels && i < classes->n; i++) mil_tensor_free(classes->labels[i]);
    mil__free(classes->labels);
    mil_tensor_free(classes->keys);
    mil__free(classes);
}

mil_tensor *mil__classes_label(const mil__classes *classes, const mil_tensor *probabilities) {
    const float *x = probabilities->data;
    size_t best = 0;
    for (size_t i = 1; i < classes->n; i++)
        if (x[i] > x[best] || isnan(x[best])) best = i;
    return classes->labels[best];
}
