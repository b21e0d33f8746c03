/* SPDX-License-Identifier: MIT */
/* A call of an op: the check that the table alone decides, and what inference functions ask of their parameters. */
#include <stdio.h>

#include "ops/op.h"
#include "ops/rules.h"

mil_status mil__call_fail(mil__call *call, mil_status status, const char *format, ...) {
    if (!call->err) return status;
    va_list args;
    va_start(args, format);
    char message[sizeof call->err->message];
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    mil__fail(call->err, status, "%s: %s", call->op->name, message);
    snprintf(call->err->op, sizeof call->err->op, "%s", call->op->name);
    return status;
}

static mil_status param_fail(mil__call *call, mil_status status, const char *param, const char *message) {
    mil__call_fail(call, status, "%s", message);
    if (call->err) snprintf(call->err->value, sizeof call->err->value, "%s", param);
    return status;
}

/* ---- the check stage ---- */

/* A constant-like kind's own words. */
static const char *kind_text(mil_param_kind kind) {
    switch (kind) {
    case MIL_PARAM_TUPLE: return "a tuple of values";
    case MIL_PARAM_LIST: return "a list";
    case MIL_PARAM_STATE: return "a state";
    case MIL_PARAM_ANY: return "what can be given on, as a state can't";
    default: return "a tensor";
    }
}

static bool kind_fits(mil_param_kind kind, const mil_type *type) {
    switch (kind) {
    case MIL_PARAM_TUPLE: return true;
    case MIL_PARAM_ANY: return type->kind != MIL_STATE;
    case MIL_PARAM_LIST: return type->kind == MIL_LIST;
    case MIL_PARAM_STATE: return type->kind == MIL_STATE;
    case MIL_PARAM_CONST: return type->kind == MIL_TENSOR || type->kind == MIL_LIST;
    default: return type->kind == MIL_TENSOR;
    }
}

static mil_dtype element_dtype(const mil_type *type) {
    if (type->kind == MIL_LIST || type->kind == MIL_STATE) return element_dtype(type->items[0]);
    return type->kind == MIL_TENSOR ? type->dtype : MIL_NO_DTYPE;
}

static bool takes_any_rank(const mil_op *op) { return op->flags & MIL__ANY_RANK || strncmp(op->family, "elementwise_", 12) == 0; }

static mil_status check_operand(mil__call *call, const mil__param *row, const mil__operand *operand) {
    char message[512];
    if (!kind_fits(row->kind, operand->type)) {
        snprintf(message, sizeof message, "%s takes %s, but %s is %s", row->name, kind_text(row->kind),
                 operand->name ? operand->name : "it", MIL__TYPE_TEXT(call->types, operand->type));
        return param_fail(call, MIL_ETYPE, row->name, message);
    }
    if (row->kind == MIL_PARAM_CONST && !operand->is_const) {
        snprintf(message, sizeof message, "%s must be const, but %s %s is known only at run time", row->name,
                 operand->name ? operand->name : "it", MIL__TYPE_TEXT(call->types, operand->type));
        return param_fail(call, MIL_EVALUE, row->name, message);
    }
    uint32_t set = mil__op_dtypes(call->op, call->opset, row);
    if (set && !(set & MIL__SET(element_dtype(operand->type)))) {
        snprintf(message, sizeof message, "%s takes %s (%s), but was given %s", row->name, MIL__DTYPES_TEXT(set),
                 mil_opset_name(call->opset), MIL__TYPE_TEXT(call->types, operand->type));
        return param_fail(call, MIL_ETYPE, row->name, message);
    }
    if (operand->type->is_unranked && !takes_any_rank(call->op)) {
        snprintf(message, sizeof message, "%s takes a tensor of known rank, but %s is %s, whose rank the run decides", row->name,
                 operand->name ? operand->name : "it", MIL__TYPE_TEXT(call->types, operand->type));
        return param_fail(call, MIL_ETYPE, row->name, message);
    }
    return MIL_OK;
}

/* Operands of rows with one letter have one dtype: first[letter - '@'] is the slot that came first. */
/* coremltools writes the default of a parameter out, as fp32 whatever the others are. */
static bool is_written_default(const mil__param *row, const mil__operand *operand) {
    const mil_tensor *data = operand->data;
    if (row->given != MIL__FLOAT || !data || data->rank || !operand->is_const || !mil__dtype_is_float(data->dtype)) return false;
    return (float)mil__load_f64(data, 0) == (float)row->number;
}

static mil_status check_group(mil__call *call, const mil__param *row, int slot, int8_t first[32]) {
    if (row->type == 0 || row->type >= MIL__SET(0) || is_written_default(row, &call->in[slot].items[0])) return MIL_OK;
    int8_t *at = &first[row->type % 32];
    if (*at < 0) {
        *at = (int8_t)slot;
        return MIL_OK;
    }
    const mil_type *one = call->in[*at].items[0].type, *two = call->in[slot].items[0].type;
    if (element_dtype(one) == element_dtype(two)) return MIL_OK;
    char message[512];
    snprintf(message, sizeof message, "%s %s and %s %s must have one dtype", mil__op_slot_name(call->op, *at),
             MIL__TYPE_TEXT(call->types, one), row->name, MIL__TYPE_TEXT(call->types, two));
    return param_fail(call, MIL_ETYPE, row->name, message);
}

void mil__call_clear(mil__call *call, const mil_op *op) {
    memset(call, 0, offsetof(mil__call, in) + (size_t)mil__op_n_slots(op) * sizeof *call->in);
    call->op = op;
}

mil_status mil__call_check(mil__call *call) {
    int8_t first[32];
    memset(first, -1, sizeof first);
    if (call->opset < call->op->since) {
        return mil__call_fail(call, MIL_EVALUE, "exists from opset %s on; this function is %s",
                              mil_opset_name(call->op->since), mil_opset_name(call->opset));
    }
    for (int slot = 0, n = mil__op_n_slots(call->op); slot < n; slot++) {
        const mil__param *row = mil__op_param_at(call->op, call->opset, slot);
        const mil__input *in = &call->in[slot];
        if (!row) continue;
        if (in->n == 0 && !in->tuple) {
            if (row->given != MIL__REQUIRED) continue;
            char message[128];
            snprintf(message, sizeof message, "%s is missing", row->name);
            return param_fail(call, MIL_EVALUE, row->name, message);
        }
        if (in->tuple && row->kind != MIL_PARAM_TUPLE) {
            char message[128];
            snprintf(message, sizeof message, "%s takes one value, but a tuple of %d was given", row->name, in->n);
            return param_fail(call, MIL_ETYPE, row->name, message);
        }
        for (int i = 0; i < in->n; i++) MIL__TRY(check_operand(call, row, &in->items[i]));
        if (in->n > 0 && row->kind != MIL_PARAM_TUPLE) MIL__TRY(check_group(call, row, slot, first));
    }
    return MIL_OK;
}

/* ---- results ---- */

mil_status mil__call_outputs(mil__call *call, int n) {
    void **results = mil__arena_zero(call->arena, (size_t)n, 2 * sizeof *results); /* both lists in one piece */
    if (!results) return mil__nomem(call->err);
    call->out = (const mil_type **)results;
    call->out_sym = (const mil_dim **)(results + n);
    call->n_out = n;
    return MIL_OK;
}

/* A NULL type, or a dim that could not be computed, as the failure that it stands for. */
static mil_status types_failure(mil__call *call, const mil_type *type) {
    mil_status status = mil__types_status(call->types);
    if (status == MIL_OK && type) return MIL_OK;
    mil__types_clear_status(call->types);
    if (status == MIL_EVALUE) return mil__call_fail(call, status, "the result's size overflows");
    return mil__nomem(call->err);
}

mil_status mil__call_result(mil__call *call, const mil_type *type) {
    MIL__TRY(types_failure(call, type));
    MIL__TRY(mil__call_outputs(call, 1));
    call->out[0] = type;
    return MIL_OK;
}

mil_status mil__call_tensor(mil__call *call, mil_dtype dtype, int rank, const mil_dim *shape) {
    if (rank > MIL_MAX_RANK) {
        return mil__call_fail(call, MIL_ETYPE, "the result would have rank %d; at most %d is possible", rank,
                              MIL_MAX_RANK);
    }
    return mil__call_result(call, mil__tensor_type(call->types, dtype, rank, shape));
}

mil_status mil__infer_like_first(mil__call *call) { return mil__call_result(call, call->in[0].items[0].type); }

/* ---- parameters by name ---- */

const mil__input *mil__args(const mil__call *call, const char *name) {
    int slot = mil__op_slot(call->op, call->opset, name, NULL);
    return slot < 0 ? NULL : &call->in[slot];
}

const mil__operand *mil__arg(const mil__call *call, const char *name) {
    const mil__input *in = mil__args(call, name);
    return in && in->n > 0 ? &in->items[0] : NULL;
}

char *mil__arg_text(const mil__call *call, const char *name, char *buf, size_t n) {
    const mil__operand *operand = mil__arg(call, name);
    snprintf(buf, n, "%s %s", name, operand ? MIL__TYPE_TEXT(call->types, operand->type) : "(absent)");
    return buf;
}

/* The known data of a parameter; *data NULL when it is absent. Rank above max_rank, or unknown, fails. */
static mil_status known(mil__call *call, const char *name, int max_rank, const mil_tensor **data,
                        const mil__param **row) {
    int slot = mil__op_slot(call->op, call->opset, name, row);
    assert(slot >= 0 || !"a parameter that the stanza does not have");
    const mil__operand *operand = call->in[slot].n ? &call->in[slot].items[0] : NULL;
    *data = operand ? operand->data : NULL;
    if (!operand) return MIL_OK;
    char message[400];
    if (!operand->data) {
        snprintf(message, sizeof message, "the value of %s must be known when the program is made",
                 MIL__ARG_TEXT(call, name));
        return param_fail(call, MIL_EVALUE, name, message);
    }
    if (operand->data->rank > max_rank) {
        snprintf(message, sizeof message, "%s takes %s", MIL__ARG_TEXT(call, name),
                 max_rank == 0 ? "a scalar" : "a vector");
        return param_fail(call, MIL_ETYPE, name, message);
    }
    return MIL_OK;
}

mil_status mil__get_int(mil__call *call, const char *name, int64_t *out) {
    const mil_tensor *data;
    const mil__param *row;
    MIL__TRY(known(call, name, 0, &data, &row));
    *out = data ? mil__load_i64(data, 0) : (int64_t)row->number;
    return MIL_OK;
}

mil_status mil__get_float(mil__call *call, const char *name, double *out) {
    const mil_tensor *data;
    const mil__param *row;
    MIL__TRY(known(call, name, 0, &data, &row));
    *out = data ? mil__load_f64(data, 0) : row->number;
    return MIL_OK;
}

mil_status mil__get_bool(mil__call *call, const char *name, bool *out) {
    const mil_tensor *data;
    const mil__param *row;
    MIL__TRY(known(call, name, 0, &data, &row));
    *out = data ? mil__load_i64(data, 0) != 0 : row->number != 0;
    return MIL_OK;
}

mil_status mil__get_text(mil__call *call, const char *name, const char **out) {
    const mil_tensor *data;
    const mil__param *row;
    MIL__TRY(known(call, name, 0, &data, &row));
    *out = data ? mil_tensor_string(data, 0, NULL) : row->text;
    return MIL_OK;
}

/* The index of text among the words of choices, which bars separate; -1 when it is none of them. */
static int choice_of(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (int i = 0; choices; i++) {
        const char *bar = strchr(choices, '|');
        size_t length = bar ? (size_t)(bar - choices) : strlen(choices);
        if (length == n && memcmp(choices, text, n) == 0) return i;
        choices = bar ? bar + 1 : NULL;
    }
    return -1;
}

mil_status mil__get_choice(mil__call *call, const char *name, const char *choices, int *out) {
    const char *text;
    MIL__TRY(mil__get_text(call, name, &text));
    int i = choice_of(choices, text);
    if (i >= 0) {
        *out = i;
        return MIL_OK;
    }
    char message[400];
    snprintf(message, sizeof message, "%s \"%.60s\" is none of %s", name, text, choices);
    return param_fail(call, MIL_EVALUE, name, message);
}

mil_status mil__get_ints(mil__call *call, const char *name, int max, int64_t *out, int *n) {
    const mil_tensor *data;
    const mil__param *row;
    MIL__TRY(known(call, name, 1, &data, &row));
    *n = 0;
    if (!data) return MIL_OK;
    int64_t count = mil__numel(data);
    if (count > max) {
        char message[300];
        snprintf(message, sizeof message, "%s has %lld values; at most %d are possible", name, (long long)count, max);
        return param_fail(call, MIL_EVALUE, name, message);
    }
    int64_t step = data->rank ? data->strides[0] : 0;
    for (int i = 0; i < count; i++) out[i] = mil__load_i64(data, i * step);
    *n = (int)count;
    return MIL_OK;
}

mil_status mil__get_bools(mil__call *call, const char *name, int max, bool *out, int *n) {
    int64_t values[64];
    assert(max <= 64);
    MIL__TRY(mil__get_ints(call, name, max, values, n));
    for (int i = 0; i < *n; i++) out[i] = values[i] != 0;
    return MIL_OK;
}

mil_status mil__get_dims(mil__call *call, const char *name, int max, mil_dim *out, int *n, bool *is_known) {
    const mil__operand *operand = mil__arg(call, name);
    *n = 0;
    *is_known = operand && (operand->data || operand->sym);
    if (!*is_known) return MIL_OK;
    if (operand->data) {
        MIL__TRY(mil__get_ints(call, name, max, out, n));
        for (int i = 0; i < *n; i++) out[i] = mil__dim_number(call->types, out[i]);
        return MIL_OK;
    }
    int64_t count = operand->type->rank ? operand->type->shape[0] : 1;
    if (count < 0 || count > max || operand->type->rank > 1) {
        *is_known = false;
        return MIL_OK;
    }
    memcpy(out, operand->sym, (size_t)count * sizeof *out);
    *n = (int)count;
    return MIL_OK;
}
