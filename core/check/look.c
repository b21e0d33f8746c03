/* SPDX-License-Identifier: MIT */
/* See look.h. */
#include <stdio.h>

#include "check/look.h"

const mil__value *mil__look_arg(const mil__look *look, const char *name) {
    const mil__values *arg = mil__op_arg_named(look->op, name);
    return arg && arg->n > 0 ? look->program->values[arg->values[0]] : NULL;
}

const mil__op *mil__look_maker(const mil__look *look, const mil__value *value) {
    return value && value->op ? look->program->ops[value->op] : NULL;
}

int64_t mil__look_dim(const mil__value *value, int axis) {
    if (!value || value->type->kind != MIL_TENSOR) return -1;
    int rank = value->type->rank, at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank || value->type->shape[at] < 0) return -1;
    return value->type->shape[at];
}

bool mil__look_number(const mil__look *look, const char *name, double *out) {
    const mil__value *given = mil__look_arg(look, name);
    if (given) {
        if (!given->data || given->data->dtype == MIL_STRING || mil__numel(given->data) != 1) return false;
        *out = mil__load_f64(given->data, 0);
        return true;
    }
    const mil__param *row;
    mil_opset opset = look->program->functions[look->program->blocks[look->op->block]->function].opset;
    if (mil__op_slot(look->op->decl, opset, name, &row) < 0 || row->given < MIL__INT || row->given == MIL__TEXT) return false;
    *out = row->number;
    return true;
}

bool mil__look_int(const mil__look *look, const char *name, int64_t *out) {
    double number;
    if (!mil__look_number(look, name, &number) || !(number >= -0x1p53 && number <= 0x1p53)) return false;
    *out = (int64_t)number;
    return true;
}

int64_t mil__look_numel(const mil_type *type) {
    int64_t n;
    for (int i = 0; type->kind == MIL_TENSOR && i < type->rank; i++)
        if (type->shape[i] < 0) return -1;
    if (type->kind != MIL_TENSOR) return -1;
    return mil__shape_numel(type->rank, type->shape, &n) ? n : INT64_MAX;
}

int64_t mil__look_bytes(const mil_type *type) {
    size_t bytes;
    int64_t n = mil__look_numel(type);
    if (n < 0) return -1;
    return mil__dtype_bytes(type->dtype, n, &bytes) && bytes <= INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

void mil__look_type(mil__look *look, const char *name, const mil__value *value) {
    if (!value) return;
    snprintf(look->here, sizeof look->here, "%s%s%.120s", name ? name : "", name ? " " : "",
             MIL__TYPE_TEXT(look->program->types, value->type));
}
