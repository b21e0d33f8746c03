/* SPDX-License-Identifier: MIT */
/* One operation in a line, as the REPL shows it: "y : fp16[1, 4] = softmax(x = x, axis = -1)". */
#include <math.h>
#include <stdio.h>

#include "program/program.h"

enum { SHOWN = 8 }; /* elements of a const that stand in the line; more, and its name does */

static void put_element(mil__str *str, const mil_tensor *data, int64_t i) {
    if (data->dtype == MIL_STRING) {
        mil__str_printf(str, "\"%s\"", mil_tensor_string(data, i, NULL));
    } else if (data->dtype == MIL_BOOL) {
        mil__str_puts(str, mil__load_i64(data, i) ? "true" : "false");
    } else if (mil__dtype_is_float(data->dtype)) {
        mil__str_printf(str, "%.6g", mil__load_f64(data, i));
    } else {
        mil__str_printf(str, "%lld", (long long)mil__load_i64(data, i));
    }
}

/* A small const as Lua would write it; else its name, or its type where it has none. */
static void put_value(mil__str *str, const mil_program *program, mil_value id) {
    const mil__value *value = program->values[id];
    bool is_const = value->op && program->ops[value->op]->decl == mil__op_const();
    const mil_tensor *data = value->data;
    if (!is_const || !data || data->rank > 1 || mil__numel(data) > SHOWN) {
        mil__str_puts(str, value->name ? value->name : MIL__TYPE_TEXT(program->types, value->type));
        return;
    }
    if (data->rank) mil__str_putc(str, '{');
    for (int64_t i = 0, n = mil__numel(data); i < n; i++) {
        if (i) mil__str_puts(str, ", ");
        put_element(str, data, data->rank && data->dtype != MIL_STRING ? i * data->strides[0] : i);
    }
    if (data->rank) mil__str_putc(str, '}');
}

static void put_arg(mil__str *str, const mil_program *program, const mil__op *op, const mil__values *arg) {
    mil__str_printf(str, "%s = ", mil__op_slot_name(op->decl, arg->slot));
    if (arg->tuple) mil__str_putc(str, '{');
    for (uint32_t i = 0; i < arg->n; i++) {
        if (i) mil__str_puts(str, ", ");
        put_value(str, program, arg->values[i]);
    }
    if (arg->tuple) mil__str_putc(str, '}');
}

int mil_value_describe(const mil_program *program, mil_value id, char *buf, size_t n) {
    const mil__value *value = mil__value_at(program, id);
    if (!value) return snprintf(buf, n, "(a value that is no longer there)");
    mil__str str = {0};
    mil__str_printf(&str, "%s : %s", value->name ? value->name : "?", MIL__TYPE_TEXT(program->types, value->type));
    const mil__op *op = value->op ? program->ops[value->op] : NULL;
    if (op) {
        mil__str_printf(&str, " = %s(", op->decl->name);
        for (uint16_t a = 0; a < op->n_args; a++) {
            if (a) mil__str_puts(&str, ", ");
            put_arg(&str, program, op, &op->args[a]);
        }
        if (value->data && op->n_args == 0) mil__str_printf(&str, "%lld elements", (long long)mil__numel(value->data));
        mil__str_putc(&str, ')');
    }
    int length = snprintf(buf, n, "%s", str.failed || !str.s ? "" : str.s);
    mil__str_free(&str);
    return length;
}
