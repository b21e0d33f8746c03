/* SPDX-License-Identifier: MIT */
/* Types and values of packages. How deeply they nest, unpack.c has bounded. */
#include <protobuf-c/protobuf-c.h>

#include "base/bytes.h"
#include "package/package.h"
#include "tensor/tensor.h"

enum { SMALL = 256 }; /* bytes up to which a const lives in the program's arena */

mil_status mil__read_check_size(const mil__reader *r) {
    if (mil__arena_used(&r->program->arena) <= r->most_bytes) return MIL_OK;
    return mil__fail(r->err, MIL_ELIMIT, "the program has become too large for its file");
}

/* ---- types ---- */

static mil_dtype dtype_of(int number) {
    for (int i = MIL_NO_DTYPE + 1; i < MIL_N_DTYPES; i++)
        if (mil__dtype((mil_dtype)i)->proto == number && number) return (mil_dtype)i;
    return MIL_NO_DTYPE;
}

static mil_status read_dim(mil__reader *r, const Mil__Spec__Dimension *dim, bool fresh, mil_dim *out) {
    if (dim && dim->kind_case == MIL__SPEC__DIMENSION__KIND_CONSTANT) {
        if (dim->constant->size > INT64_MAX / 2) return mil__fail(r->err, MIL_EFORMAT, "a dim is too large");
        *out = (mil_dim)dim->constant->size;
        return MIL_OK;
    }
    if (!dim || dim->kind_case != MIL__SPEC__DIMENSION__KIND_UNKNOWN)
        return mil__fail(r->err, MIL_EFORMAT, "a dim is neither a size nor unknown");
    if (dim->unknown->variadic) return mil__fail(r->err, MIL_EUNSUPPORTED, "dims of any number beside others are not supported");
    *out = fresh ? mil__dim_fresh(r->program->types) : r->unknown;
    return MIL_OK;
}

/* coremltools writes one dim that stands for all; the format says that -1 is an unknown rank. */
static bool is_unranked(const Mil__Spec__TensorType *tensor) {
    const Mil__Spec__Dimension *dim = tensor->n_dims == 1 ? tensor->dims[0] : NULL;
    bool stands_for_all = dim && dim->kind_case == MIL__SPEC__DIMENSION__KIND_UNKNOWN && dim->unknown->variadic;
    return tensor->rank == -1 ? !tensor->n_dims || stands_for_all : tensor->rank == 1 && stands_for_all;
}

static mil_status read_tensor_type(mil__reader *r, const Mil__Spec__TensorType *tensor, bool fresh, const mil_type **out) {
    mil_dtype dtype = dtype_of(tensor->dtype);
    if (tensor->dtype == 40 || tensor->dtype == 41)
        return mil__fail(r->err, MIL_EUNSUPPORTED, "tensors of fp8 (%s) are not supported", tensor->dtype == 40 ? "e4m3fn" : "e5m2");
    if (dtype == MIL_NO_DTYPE) return mil__fail(r->err, MIL_EUNSUPPORTED, "dtype %d is not known", tensor->dtype);
    if (is_unranked(tensor)) {
        *out = mil__tensor_type(r->program->types, dtype, 1, (mil_dim[]){mil__dim_variadic(r->program->types)});
        return *out ? MIL_OK : mil__nomem(r->err);
    }
    if (tensor->rank < 0 || tensor->rank > MIL_MAX_RANK || (size_t)tensor->rank != tensor->n_dims)
        return mil__fail(r->err, MIL_EFORMAT, "a tensor's type of rank %lld has %zu dims; up to %d are possible",
                         (long long)tensor->rank, tensor->n_dims, MIL_MAX_RANK);
    mil_dim shape[MIL_MAX_RANK];
    for (size_t i = 0; i < tensor->n_dims; i++) MIL__TRY(read_dim(r, tensor->dims[i], fresh, &shape[i]));
    *out = mil__tensor_type(r->program->types, dtype, (int)tensor->rank, shape);
    return *out ? MIL_OK : mil__nomem(r->err);
}

static mil_status read_tuple_type(mil__reader *r, const Mil__Spec__TupleType *tuple, bool fresh, const mil_type **out) {
    if (tuple->n_types > UINT16_MAX) return mil__fail(r->err, MIL_ELIMIT, "a tuple of %zu types", tuple->n_types);
    const mil_type **items = mil__arena_zero(&r->tmp, tuple->n_types + 1, sizeof *items);
    if (!items) return mil__nomem(r->err);
    for (size_t i = 0; i < tuple->n_types; i++) MIL__TRY(mil__read_type(r, tuple->types[i], fresh, &items[i]));
    *out = mil__tuple_type(r->program->types, (int)tuple->n_types, items);
    return *out ? MIL_OK : mil__nomem(r->err);
}

mil_status mil__read_type(mil__reader *r, const Mil__Spec__Type *type, bool fresh, const mil_type **out) {
    mil__types *types = r->program->types;
    const mil_type *item, *key;
    mil_dim length;
    switch (type ? type->kind_case : MIL__SPEC__TYPE__KIND__NOT_SET) {
    case MIL__SPEC__TYPE__KIND_TENSOR: return read_tensor_type(r, type->tensor, fresh, out);
    case MIL__SPEC__TYPE__KIND_TUPLE: return read_tuple_type(r, type->tuple, fresh, out);
    case MIL__SPEC__TYPE__KIND_LIST:
        MIL__TRY(mil__read_type(r, type->list->type, fresh, &item));
        MIL__TRY(read_dim(r, type->list->length, fresh, &length));
        *out = fresh && length >= 0 ? mil__growing_list_type(types, item, length) /* an input's */
                                    : mil__list_type(types, item, length);
        break;
    case MIL__SPEC__TYPE__KIND_DICT:
        MIL__TRY(mil__read_type(r, type->dict->key, fresh, &key));
        MIL__TRY(mil__read_type(r, type->dict->value, fresh, &item));
        *out = mil__dict_type(types, key, item);
        break;
    case MIL__SPEC__TYPE__KIND_STATE:
        MIL__TRY(mil__read_type(r, type->state->type, fresh, &item));
        if (item->kind != MIL_TENSOR) return mil__fail(r->err, MIL_EFORMAT, "a state is of a tensor");
        *out = mil__state_type(types, item);
        break;
    default: return mil__fail(r->err, MIL_EFORMAT, "a type is missing");
    }
    return *out ? MIL_OK : mil__nomem(r->err);
}

/* ---- tensors ---- */

/* The elements as the message has them: one class of dtype ('f', 'i', 'b', 's', or 'r' for the tensor's own bytes). */
typedef struct elements {
    char class;
    mil_dtype dtype; /* of data, where it is to be converted */
    size_t n;
    const void *data;
} elements;

static elements elements_of(const Mil__Spec__Tensor *t) {
    switch (t ? t->kind_case : MIL__SPEC__TENSOR__KIND__NOT_SET) {
    case MIL__SPEC__TENSOR__KIND_FLOATS: return (elements){'f', MIL_FP32, t->floats->n_values, t->floats->values};
    case MIL__SPEC__TENSOR__KIND_DOUBLES: return (elements){'f', MIL_FP64, t->doubles->n_values, t->doubles->values};
    case MIL__SPEC__TENSOR__KIND_INTS: return (elements){'i', MIL_INT32, t->ints->n_values, t->ints->values};
    case MIL__SPEC__TENSOR__KIND_LONGS: return (elements){'i', MIL_INT64, t->longs->n_values, t->longs->values};
    case MIL__SPEC__TENSOR__KIND_BOOLS: return (elements){'b', MIL_BOOL, t->bools->n_values, t->bools->values};
    case MIL__SPEC__TENSOR__KIND_STRINGS: return (elements){'s', MIL_STRING, t->strings->n_values, t->strings->values};
    case MIL__SPEC__TENSOR__KIND_BYTES: return (elements){'r', MIL_UINT8, t->bytes->values.len, t->bytes->values.data};
    default: return (elements){0, MIL_NO_DTYPE, 0, NULL};
    }
}

static mil_status check_elements(mil__reader *r, const mil_type *type, const elements *e, int64_t numel, size_t bytes) {
    char class = mil__dtype(type->dtype)->class;
    if (class == 'u') class = 'i';
    bool is_raw = e->class == 'r' && class != 's' && class != 'b';
    size_t wanted = is_raw ? bytes : (size_t)numel;
    if (numel == 0 && e->n == 0) return MIL_OK;
    if (!is_raw && e->class != class)
        return mil__fail(r->err, MIL_EFORMAT, "a value of type %s has elements of another kind",
                         MIL__TYPE_TEXT(r->program->types, type));
    if (e->n == wanted) return MIL_OK;
    return mil__fail(r->err, MIL_EFORMAT, "a value of type %s takes %zu %s, but has %zu",
                     MIL__TYPE_TEXT(r->program->types, type), wanted, is_raw ? "bytes" : "elements", e->n);
}

/* Integers are kept in 32 or 64 bits, whatever their dtype. */
static mil_status check_range(mil__reader *r, mil_dtype dtype, const elements *e) {
    const mil__dtype_info *info = mil__dtype(dtype);
    if (dtype == MIL_UINT64) return MIL_OK; /* the same bits */
    for (size_t i = 0; i < e->n; i++) {
        int64_t value = e->dtype == MIL_INT64 ? ((const int64_t *)e->data)[i] : ((const int32_t *)e->data)[i];
        if (value < info->min || value > info->max)
            return mil__fail(r->err, MIL_EVALUE, "%s can't hold %lld", info->name, (long long)value);
    }
    return MIL_OK;
}

static mil_status read_strings(mil__reader *r, const mil_type *type, const int64_t *shape, const elements *e,
                               mil_tensor **out) {
    const ProtobufCBinaryData *strings = e->data;
    size_t refs = e->n * sizeof(mil__string_ref), chars = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (!mil__is_utf8(strings[i].data, strings[i].len)) return mil__fail(r->err, MIL_EFORMAT, "a string is not UTF-8");
        chars += strings[i].len + 1;
    }
    *out = mil__tensor_in(&r->program->arena, MIL_STRING, type->rank, shape, refs + chars);
    if (!*out) return mil__nomem(r->err);
    mil__string_ref *ref = (*out)->data;
    char *at = (char *)(ref + e->n);
    for (size_t i = 0; i < e->n; i++) {
        ref[i] = (mil__string_ref){(uint64_t)(at - (char *)&ref[i]), strings[i].len};
        if (strings[i].len) memcpy(at, strings[i].data, strings[i].len);
        at += strings[i].len + 1;
    }
    return MIL_OK;
}

static mil_status put_elements(mil__reader *r, mil_dtype dtype, const elements *e, size_t bytes, void *to) {
    if (e->n == 0) return MIL_OK;
    bool same_bits = e->class == 'r' || (dtype == MIL_UINT64 && e->dtype == MIL_INT64);
    if (same_bits) return memcpy(to, e->data, bytes), MIL_OK;
    if (e->class == 'b') {
        const protobuf_c_boolean *bools = e->data;
        for (size_t i = 0; i < e->n; i++) ((uint8_t *)to)[i] = bools[i] != 0;
        return MIL_OK;
    }
    if (e->class == 'i') MIL__TRY(check_range(r, dtype, e));
    mil__convert(dtype, to, 1, e->dtype, e->data, 1, (int64_t)e->n);
    return MIL_OK;
}

/* The type's dims are its shape, as sizes. */
static mil_status fixed_shape(mil__reader *r, const mil_type *type, int64_t *shape, int64_t *numel) {
    for (int i = 0; i < type->rank; i++) shape[i] = type->shape[i];
    if (mil__shape_numel(type->rank, shape, numel)) return MIL_OK;
    return mil__fail(r->err, MIL_EFORMAT, "a value of type %s must have a fixed shape",
                     MIL__TYPE_TEXT(r->program->types, type));
}

static mil_status read_tensor(mil__reader *r, const mil_type *type, const Mil__Spec__Tensor *tensor, bool for_const,
                              mil_tensor **out) {
    elements e = elements_of(tensor);
    int64_t shape[MIL_MAX_RANK], numel;
    size_t bytes = 0;
    MIL__TRY(fixed_shape(r, type, shape, &numel));
    if (type->dtype != MIL_STRING && !mil__dtype_bytes(type->dtype, numel, &bytes)) return mil__nomem(r->err);
    MIL__TRY(check_elements(r, type, &e, numel, bytes));
    if (type->dtype == MIL_STRING) return read_strings(r, type, shape, &e, out);
    mil_tensor *made;
    if (for_const && bytes > SMALL) MIL__TRY(mil_tensor_new(type->dtype, type->rank, shape, &made, r->err));
    else if (!(made = mil__tensor_in(&r->program->arena, type->dtype, type->rank, shape, bytes))) return mil__nomem(r->err);
    mil_status status = put_elements(r, type->dtype, &e, bytes, made->data);
    if (status == MIL_OK) *out = made;
    else if (made->buffer) mil_tensor_free(made);
    return status;
}

/* ---- weights in a file ---- */

/* Its path and offset, as the text's reader keeps them. */
static mil_status read_blob(mil__reader *r, const mil_type *type, const Mil__Spec__Blob *blob, bool for_const,
                            mil__attr *out) {
    if (type->kind != MIL_TENSOR) return mil__fail(r->err, MIL_EFORMAT, "only tensors are in weights files");
    mil__types *types = r->program->types;
    mil__arena *arena = &r->program->arena;
    int64_t shape[MIL_MAX_RANK], numel;
    MIL__TRY(fixed_shape(r, type, shape, &numel));
    size_t n = strlen(blob->file);
    if (!mil__is_utf8(blob->file, n)) return mil__fail(r->err, MIL_EFORMAT, "a weights file's name is not UTF-8");
    mil__attr *items = mil__arena_zero(arena, 2, sizeof *items);
    mil_tensor *path = mil__tensor_in(arena, MIL_STRING, 0, NULL, sizeof(mil__string_ref) + n + 1);
    mil_tensor *offset = mil__tensor_in(arena, MIL_UINT64, 0, NULL, sizeof blob->offset);
    const mil_type *path_type = mil__scalar_type(types, MIL_STRING), *offset_type = mil__scalar_type(types, MIL_UINT64);
    if (!items || !path || !offset || !path_type || !offset_type) return mil__nomem(r->err);
    *(mil__string_ref *)path->data = (mil__string_ref){sizeof(mil__string_ref), n};
    memcpy((char *)path->data + sizeof(mil__string_ref), blob->file, n);
    memcpy(offset->data, &blob->offset, sizeof blob->offset);
    items[0] = (mil__attr){.type = path_type, .data = path};
    items[1] = (mil__attr){.type = offset_type, .data = offset};
    out->items = items;
    out->n_items = 2;
    if (!for_const) return MIL_OK;
    return mil__blobs_tensor(&r->blobs, blob->file, blob->offset, type->dtype, type->rank, shape, &out->data, r->err);
}

/* ---- lists, tuples, dictionaries ---- */

static mil_status wrong_kind(mil__reader *r, const mil_type *type) {
    return mil__fail(r->err, MIL_EFORMAT, "a value that should be %s is not", MIL__TYPE_TEXT(r->program->types, type));
}

/* An item, of the type that its list or dictionary says. */
static mil_status read_item(mil__reader *r, const Mil__Spec__Value *value, const mil_type *type, mil__attr *out) {
    MIL__TRY(mil__read_check_size(r));
    MIL__TRY(mil__read_value(r, value, false, out));
    if (out->type->kind == MIL_TENSOR && out->n_items) return mil__fail(r->err, MIL_EUNSUPPORTED, "a list's item is in a weights file");
    return mil__type_fits(type, out->type) ? MIL_OK : wrong_kind(r, type);
}

static mil_status read_values(mil__reader *r, const mil_type *type, const Mil__Spec__Values *values, mil__attr *out) {
    size_t n = values->n_values;
    bool fits = type->kind == MIL_TUPLE ? n == (size_t)type->n_items : type->length < 0 || n == (size_t)type->length;
    if (!fits || n > INT_MAX) return wrong_kind(r, type);
    out->items = mil__arena_zero(&r->program->arena, n + 1, sizeof *out->items);
    if (!out->items) return mil__nomem(r->err);
    for (size_t i = 0; i < n; i++)
        MIL__TRY(read_item(r, values->values[i], type->items[type->kind == MIL_TUPLE ? i : 0], &out->items[i]));
    out->n_items = (int)n;
    return MIL_OK;
}

static mil_status read_pairs(mil__reader *r, const mil_type *type, const Mil__Spec__Pairs *pairs, mil__attr *out) {
    if (pairs->n_pairs > INT_MAX / 2) return wrong_kind(r, type);
    out->items = mil__arena_zero(&r->program->arena, 2 * pairs->n_pairs + 1, sizeof *out->items);
    if (!out->items) return mil__nomem(r->err);
    for (size_t i = 0; i < pairs->n_pairs; i++) {
        MIL__TRY(read_item(r, pairs->pairs[i]->key, type->items[0], &out->items[2 * i]));
        MIL__TRY(read_item(r, pairs->pairs[i]->value, type->items[1], &out->items[2 * i + 1]));
    }
    out->n_items = (int)(2 * pairs->n_pairs);
    return MIL_OK;
}

/* ---- values ---- */

static mil_status read_immediate(mil__reader *r, const mil_type *type, const Mil__Spec__Immediate *immediate,
                                 bool for_const, mil__attr *out) {
    switch (immediate->kind_case) {
    case MIL__SPEC__IMMEDIATE__KIND_TENSOR:
        return type->kind == MIL_TENSOR ? read_tensor(r, type, immediate->tensor, for_const, &out->data) : wrong_kind(r, type);
    case MIL__SPEC__IMMEDIATE__KIND_LIST:
        return type->kind == MIL_LIST ? read_values(r, type, immediate->list, out) : wrong_kind(r, type);
    case MIL__SPEC__IMMEDIATE__KIND_TUPLE:
        return type->kind == MIL_TUPLE ? read_values(r, type, immediate->tuple, out) : wrong_kind(r, type);
    case MIL__SPEC__IMMEDIATE__KIND_DICT:
        return type->kind == MIL_DICT ? read_pairs(r, type, immediate->dict, out) : wrong_kind(r, type);
    default: return wrong_kind(r, type);
    }
}

mil_status mil__read_value(mil__reader *r, const Mil__Spec__Value *value, bool for_const, mil__attr *out) {
    *out = (mil__attr){.name = out->name};
    if (!value) return mil__fail(r->err, MIL_EFORMAT, "a value is missing");
    MIL__TRY(mil__read_type(r, value->type, false, &out->type));
    if (value->kind_case == MIL__SPEC__VALUE__KIND_BLOB) return read_blob(r, out->type, value->blob, for_const, out);
    if (value->kind_case != MIL__SPEC__VALUE__KIND_IMMEDIATE) return wrong_kind(r, out->type);
    return read_immediate(r, out->type, value->immediate, for_const, out);
}
