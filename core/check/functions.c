/* SPDX-License-Identifier: MIT */
/* Conditions of a function, its inputs and its outputs. */
#include <stdio.h>

#include "check/look.h"

#define WHEN(name) bool mil__when_##name(mil__look *look)

/* ---- a port ---- */

static bool found(mil__look *look) {
    mil__look_type(look, NULL, look->port);
    return true;
}

static bool is_tensor(const mil__look *look) { return look->port->type->kind == MIL_TENSOR; }
static mil_dtype dtype_of(const mil__look *look) { return is_tensor(look) ? look->port->type->dtype : MIL_NO_DTYPE; }

WHEN(port_dtype_is_refused) {
    static const mil_dtype others[] = {MIL_NO_DTYPE, MIL_FP16, MIL_FP32, MIL_INT8, MIL_UINT8, MIL_INT16, MIL_UINT16};
    for (size_t i = 0; i < MIL__COUNT(others); i++)
        if (dtype_of(look) == others[i]) return false;
    return found(look);
}
WHEN(port_is_fp32) { return dtype_of(look) == MIL_FP32 && found(look); }
WHEN(port_is_uint8) { return dtype_of(look) == MIL_UINT8 && found(look); }
WHEN(port_is_small_integer) {
    mil_dtype dtype = dtype_of(look);
    return (dtype == MIL_INT8 || dtype == MIL_INT16 || dtype == MIL_UINT16) && found(look);
}
WHEN(port_is_state) { return look->port->type->kind == MIL_STATE && found(look); }
WHEN(port_is_symbolic) {
    for (int i = 0; is_tensor(look) && i < look->port->type->rank; i++)
        if (look->port->type->shape[i] < 0) return found(look);
    const mil__shapes *shapes = mil__input_shapes(look->program, look->value);
    return shapes && shapes->n > 1 && found(look);
}
WHEN(port_rank_is_not_4) { return is_tensor(look) && look->port->type->rank != 4 && found(look); }

WHEN(width_is_no_multiple) {
    mil_dtype dtype = dtype_of(look);
    int64_t width = mil__look_dim(look->port, -1), multiple = dtype == MIL_FP32 ? 16 : 32;
    return (dtype == MIL_FP16 || dtype == MIL_FP32) && width > 0 && width % multiple != 0 && found(look);
}

static const mil__value *port_at(const mil__look *look, uint32_t i) {
    return look->program->values[look->is_output ? look->body->outputs[i] : look->body->inputs[i]];
}

/* Compared with the first, so that one that differs is said once. */
WHEN(size_differs) {
    if (look->index == 0) return false;
    const mil__value *first = port_at(look, 0);
    int64_t a = mil__look_bytes(first->type), b = mil__look_bytes(look->port->type);
    if (a < 0 || b < 0 || a == b) return false;
    snprintf(look->here, sizeof look->here, "%s, but %.60s is %s", MIL__TYPE_TEXT(look->program->types, look->port->type),
             first->name ? first->name : "the first", MIL__TYPE_TEXT(look->program->types, first->type));
    return true;
}
WHEN(name_is_out_of_order) {
    if (look->index == 0 || !look->port->name) return false;
    const mil__value *before = port_at(look, look->index - 1);
    if (!before->name || strcmp(before->name, look->port->name) <= 0) return false;
    snprintf(look->here, sizeof look->here, "it comes after %.100s", before->name);
    return true;
}
WHEN(is_second) { return look->index == 1; }
WHEN(port_is_small) {
    int64_t bytes = mil__look_bytes(look->port->type);
    return bytes >= 0 && bytes < look->limit && found(look);
}
WHEN(output_is_given) { return !look->port->op || look->port->is_const; }

/* ---- the whole ---- */

WHEN(has_no_operation) { return look->tally->n_operations == 0; }
WHEN(has_other_functions) { return look->program->n_functions > 1 && !look->only_entry; }
WHEN(is_not_main) { return strcmp(look->tally->function->name, "main") != 0; }
WHEN(is_all_elementwise) { return look->tally->n_operations > 0 && look->tally->is_elementwise; }

static bool found_bytes(mil__look *look, int64_t bytes, const char *of) {
    snprintf(look->here, sizeof look->here, "%.1f MB%s%s", (double)bytes / 1e6, of ? " in " : "", of ? of : "");
    return true;
}
WHEN(weights_above) { return look->tally->weight_bytes > look->limit && found_bytes(look, look->tally->weight_bytes, NULL); }
WHEN(touches_above) {
    return look->tally->largest_bytes > look->limit &&
           found_bytes(look, look->tally->largest_bytes, look->program->ops[look->tally->largest]->decl->name);
}
