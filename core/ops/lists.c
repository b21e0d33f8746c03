/* SPDX-License-Identifier: MIT */
/* control_flow, continued: lists. A list's type says what an element is, and its length: a number where that is fixed, else a
 * symbol of its own, whose standard size is what the list is made with (packages and text write that number).
 *
 * An element's dim may be a symbol. The first write tells its size, so the list that a write gives has it in its type. */
#include "ops/rules.h"

enum { MAX_ELEMENT_RANK = 4 };

static const mil_type *element_of(mil__call *call) { return mil__arg(call, "ls")->type->items[0]; }

/* ---- make_list ---- */

static mil_status bad_dim(mil__call *call, int i, const char *why) {
    const mil__operand *item = &mil__args(call, "elem_shape")->items[i];
    return mil__call_fail(call, MIL_EVALUE, "elem_shape: dim %d, %s %s, %s", i, item->name ? item->name : "a literal",
                          MIL__TYPE_TEXT(call->types, item->type), why);
}

static mil_status element_dim(mil__call *call, int i, mil_dim *out) {
    const mil__operand *item = &mil__args(call, "elem_shape")->items[i];
    const mil_tensor *data = item->data;
    if (!item->is_const || !data) return bad_dim(call, i, "must be const");
    bool is_text = item->type->kind == MIL_TENSOR && data->dtype == MIL_STRING;
    if (mil__numel(data) != 1 || !(is_text || mil__dtype_is_int(data->dtype))) return bad_dim(call, i, "is neither an integer nor a symbol's name");
    int64_t size = is_text ? 0 : mil__load_i64(data, 0);
    if (size < 0) return bad_dim(call, i, "is below 0");
    *out = is_text ? mil__dim_symbol(call->types, mil_tensor_string(data, 0, NULL)) : size;
    return MIL_OK;
}

/* What init_length is; -1: it is not known. *grows: it does not stay. */
static mil_status first_length(mil__call *call, int64_t *out, bool *grows) {
    const mil__operand *given = mil__arg(call, "init_length");
    *out = -1;
    MIL__TRY(mil__get_bool(call, "dynamic_length", grows));
    if (given && !given->data) return MIL_OK;
    MIL__TRY(mil__get_int(call, "init_length", out));
    return *out >= 0 ? MIL_OK : mil__call_fail(call, MIL_EVALUE, "init_length is %lld", (long long)*out);
}

mil_status mil__infer_make_list(mil__call *call) {
    const mil__input *dims = mil__args(call, "elem_shape");
    mil_dim shape[MAX_ELEMENT_RANK];
    const char *name;
    int64_t length = 0;
    bool grows = true;
    MIL__TRY(mil__get_text(call, "dtype", &name));
    mil_dtype dtype = mil_dtype_find(name);
    if (dtype != MIL_BOOL && dtype != MIL_FP16 && dtype != MIL_FP32 && dtype != MIL_INT32)
        return mil__call_fail(call, MIL_EVALUE, "dtype takes bool, fp16, fp32 or int32, but is \"%.40s\"", name);
    if (dims->n > MAX_ELEMENT_RANK)
        return mil__call_fail(call, MIL_ETYPE, "an element has at most %d dims, but elem_shape has %d", MAX_ELEMENT_RANK, dims->n);
    for (int i = 0; i < dims->n; i++) MIL__TRY(element_dim(call, i, &shape[i]));
    MIL__TRY(first_length(call, &length, &grows));
    const mil_type *element = mil__tensor_type(call->types, dtype, dims->n, shape);
    if (!element) return mil__call_result(call, NULL);
    return mil__call_result(call, grows || length < 0 ? mil__growing_list_type(call->types, element, length)
                                                      : mil__list_type(call->types, element, length));
}

/* ---- list_length ---- */

mil_status mil__infer_list_length(mil__call *call) {
    mil_dim length = mil__arg(call, "ls")->type->length;
    MIL__TRY(mil__call_tensor(call, MIL_INT32, 0, NULL));
    if (length < 0) return MIL_OK;
    mil_dim *known = mil__arena_alloc(call->arena, sizeof *known);
    if (!known) return mil__nomem(call->err);
    *known = length;
    call->out_sym[0] = known;
    return MIL_OK;
}

/* ---- reading ---- */

static mil_status check_index(mil__call *call) {
    const mil_type *type = mil__arg(call, "index")->type;
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] >= 0 && type->shape[i] != 1)
            return mil__call_fail(call, MIL_ETYPE, "%s is not one index", MIL__ARG_TEXT(call, "index"));
    return MIL_OK;
}

mil_status mil__infer_list_read(mil__call *call) {
    MIL__TRY(check_index(call));
    return mil__call_result(call, element_of(call));
}

mil_status mil__infer_list_gather(mil__call *call) {
    const mil_type *element = element_of(call);
    mil_dim shape[MAX_ELEMENT_RANK + 1];
    MIL__TRY(mil__is_vector(call, "indices", &shape[0]));
    if (element->rank > MAX_ELEMENT_RANK) return mil__call_fail(call, MIL_ETYPE, "%s: its elements have too many dims", MIL__ARG_TEXT(call, "ls"));
    for (int i = 0; i < element->rank; i++) shape[i + 1] = element->shape[i];
    return mil__call_tensor(call, element->dtype, element->rank + 1, shape);
}

/* ---- writing ---- */

/* The list after an element of this type was written. */
static mil_status list_after(mil__call *call, const mil_type *written) {
    const mil_type *element = element_of(call);
    if (!written) return mil__nomem(call->err);
    if (!mil__type_holds(element, written))
        return mil__call_fail(call, MIL_ETYPE, "an element of %s is %s, but value is %s", MIL__ARG_TEXT(call, "ls"),
                              MIL__TYPE_TEXT(call->types, element), MIL__TYPE_TEXT(call->types, written));
    mil_dim shape[MIL_MAX_RANK];
    for (int i = 0; i < element->rank; i++) shape[i] = written->shape[i] >= 0 ? written->shape[i] : element->shape[i];
    const mil_type *type = mil__tensor_type(call->types, element->dtype, element->rank, shape);
    return mil__call_result(call, type ? mil__list_type(call->types, type, mil__arg(call, "ls")->type->length) : NULL);
}

mil_status mil__infer_list_write(mil__call *call) {
    MIL__TRY(check_index(call));
    return list_after(call, mil__arg(call, "value")->type);
}

mil_status mil__infer_list_scatter(mil__call *call) {
    const mil_type *value = mil__arg(call, "value")->type;
    mil_dim n;
    MIL__TRY(mil__is_vector(call, "indices", &n));
    if (value->rank == 0) return mil__call_fail(call, MIL_ETYPE, "%s has no axis of elements", MIL__ARG_TEXT(call, "value"));
    if (n >= 0 && value->shape[0] >= 0 && n != value->shape[0])
        return mil__call_fail(call, MIL_ETYPE, "%s has %lld elements for the %lld indices", MIL__ARG_TEXT(call, "value"),
                              (long long)value->shape[0], (long long)n);
    return list_after(call, mil__tensor_type(call->types, value->dtype, value->rank - 1, value->shape + 1));
}
