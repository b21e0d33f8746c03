/* SPDX-License-Identifier: MIT */
/* Types and values as messages of packages. */
#include <protobuf-c/protobuf-c.h>

#include "package/write.h"
#include "tensor/tensor.h"

void *mil__write_fail(mil__model_writer *w, mil_status status, const char *format, ...) {
    if (w->status != MIL_OK) return NULL;
    va_list args;
    va_start(args, format);
    w->status = mil__vfail(w->err, status, format, args);
    va_end(args);
    return NULL;
}

void *mil__write_nomem(mil__model_writer *w) {
    if (w->status == MIL_OK) w->status = mil__nomem(w->err);
    return NULL;
}

void *mil__write_new(mil__model_writer *w, const ProtobufCMessageDescriptor *descriptor) {
    void *message = mil__arena_alloc(&w->arena, descriptor->sizeof_message);
    if (!message) return mil__write_nomem(w);
    protobuf_c_message_init(descriptor, message);
    return message;
}

void *mil__write_array(mil__model_writer *w, size_t n, size_t bytes) {
    void *array = mil__arena_zero(&w->arena, n + 1, bytes);
    return array ? array : mil__write_nomem(w);
}

static void *arena_alloc(void *arena, size_t bytes) { return mil__arena_alloc(arena, bytes ? bytes : 1); }
static void arena_free(void *arena, void *ptr) { (void)arena, (void)ptr; }

void *mil__write_kept(mil__model_writer *w, mil__kept_what what, uint32_t id,
                      const ProtobufCMessageDescriptor *descriptor) {
    const mil__kept *kept = mil__program_kept(w->program, what, id);
    if (!kept) return NULL;
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &w->arena};
    void *message = protobuf_c_message_unpack(descriptor, &allocator, kept->n, kept->data);
    return message ? message : mil__write_nomem(w); /* the reader wrote it */
}

/* ---- types ---- */

static Mil__Spec__Dimension *write_dim(mil__model_writer *w, mil_dim dim) {
    Mil__Spec__Dimension *message = MIL__NEW(w, Dimension, dimension);
    if (!message) return NULL;
    if (dim < 0) {
        message->kind_case = MIL__SPEC__DIMENSION__KIND_UNKNOWN;
        message->unknown = MIL__NEW(w, Unknown, unknown);
        if (message->unknown) message->unknown->variadic = mil__dim_is_variadic(w->program->types, dim);
        return message->unknown ? message : NULL;
    }
    message->kind_case = MIL__SPEC__DIMENSION__KIND_CONSTANT;
    message->constant = MIL__NEW(w, Constant, constant);
    if (!message->constant) return NULL;
    message->constant->size = (uint64_t)dim;
    return message;
}

static Mil__Spec__TensorType *write_tensor_type(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__TensorType *message = MIL__NEW(w, TensorType, tensor_type);
    if (!message) return NULL;
    message->dtype = mil__dtype(type->dtype)->proto;
    message->rank = type->rank;
    message->n_dims = (size_t)type->rank;
    if (!(message->dims = mil__write_array(w, message->n_dims, sizeof *message->dims))) return NULL;
    for (int i = 0; i < type->rank; i++)
        if (!(message->dims[i] = write_dim(w, type->shape[i]))) return NULL;
    return message;
}

static Mil__Spec__ListType *write_list_type(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__ListType *message = MIL__NEW(w, ListType, list_type);
    if (!message || !(message->type = mil__write_type(w, type->items[0]))) return NULL;
    message->length = write_dim(w, mil__list_length_written(w->program->types, type));
    return message->length ? message : NULL;
}

static Mil__Spec__TupleType *write_tuple_type(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__TupleType *message = MIL__NEW(w, TupleType, tuple_type);
    if (!message) return NULL;
    message->n_types = (size_t)type->n_items;
    if (!(message->types = mil__write_array(w, message->n_types, sizeof *message->types))) return NULL;
    for (int i = 0; i < type->n_items; i++)
        if (!(message->types[i] = mil__write_type(w, type->items[i]))) return NULL;
    return message;
}

static Mil__Spec__DictType *write_dict_type(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__DictType *message = MIL__NEW(w, DictType, dict_type);
    if (!message || !(message->key = mil__write_type(w, type->items[0]))) return NULL;
    message->value = mil__write_type(w, type->items[1]);
    return message->value ? message : NULL;
}

static Mil__Spec__StateType *write_state_type(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__StateType *message = MIL__NEW(w, StateType, state_type);
    if (!message) return NULL;
    message->type = mil__write_type(w, type->items[0]);
    return message->type ? message : NULL;
}

static Mil__Spec__Type *write_new_type(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__Type *message = MIL__NEW(w, Type, type);
    if (!message) return NULL;
    void *of = NULL;
    switch (type->kind) {
    case MIL_TENSOR:
        message->kind_case = MIL__SPEC__TYPE__KIND_TENSOR;
        of = message->tensor = write_tensor_type(w, type);
        break;
    case MIL_LIST:
        message->kind_case = MIL__SPEC__TYPE__KIND_LIST;
        of = message->list = write_list_type(w, type);
        break;
    case MIL_TUPLE:
        message->kind_case = MIL__SPEC__TYPE__KIND_TUPLE;
        of = message->tuple = write_tuple_type(w, type);
        break;
    case MIL_DICT:
        message->kind_case = MIL__SPEC__TYPE__KIND_DICT;
        of = message->dict = write_dict_type(w, type);
        break;
    case MIL_STATE:
        message->kind_case = MIL__SPEC__TYPE__KIND_STATE;
        of = message->state = write_state_type(w, type);
        break;
    }
    return of ? message : NULL;
}

Mil__Spec__Type *mil__write_type(mil__model_writer *w, const mil_type *type) {
    if (w->fresh_types) return write_new_type(w, type);
    size_t slot = ((uintptr_t)type >> 4) * 0x9e3779b97f4a7c15u >> 58;
    if (w->types[slot].type == type) return w->types[slot].message;
    Mil__Spec__Type *message = write_new_type(w, type);
    if (!message) return NULL;
    w->types[slot].type = type;
    w->types[slot].message = message;
    return message;
}

/* ---- elements ---- */

/* Strings, one after the other; their characters are the tensor's. */
static bool put_strings(mil__model_writer *w, const mil_tensor *tensor, Mil__Spec__Strings *message) {
    message->n_values = (size_t)mil__numel(tensor);
    if (!(message->values = mil__write_array(w, message->n_values, sizeof *message->values))) return false;
    for (size_t i = 0; i < message->n_values; i++) {
        size_t n;
        const char *s = mil_tensor_string(tensor, (int64_t)i, &n);
        message->values[i] = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)s};
    }
    return true;
}

static bool put_bools(mil__model_writer *w, const mil_tensor *tensor, Mil__Spec__Bools *message) {
    message->n_values = (size_t)mil__numel(tensor);
    if (!(message->values = mil__write_array(w, message->n_values, sizeof *message->values))) return false;
    for (size_t i = 0; i < message->n_values; i++) message->values[i] = ((const uint8_t *)tensor->data)[i] != 0;
    return true;
}

/* The elements as an array of another dtype of as many bits or more; *n of them. */
static void *converted(mil__model_writer *w, const mil_tensor *tensor, mil_dtype dtype, size_t *n) {
    *n = (size_t)mil__numel(tensor);
    void *array = mil__write_array(w, *n, (size_t)mil_dtype_bits(dtype) / 8);
    if (array) mil__convert(dtype, array, 1, tensor->dtype, tensor->data, 1, (int64_t)*n);
    return array;
}

/* The tensor is contiguous. */
static bool put_elements(mil__model_writer *w, const mil_tensor *tensor, Mil__Spec__Tensor *message) {
    switch (tensor->dtype) {
    case MIL_STRING:
        message->kind_case = MIL__SPEC__TENSOR__KIND_STRINGS;
        message->strings = MIL__NEW(w, Strings, strings);
        return message->strings && put_strings(w, tensor, message->strings);
    case MIL_BOOL:
        message->kind_case = MIL__SPEC__TENSOR__KIND_BOOLS;
        message->bools = MIL__NEW(w, Bools, bools);
        return message->bools && put_bools(w, tensor, message->bools);
    case MIL_FP32:
        message->kind_case = MIL__SPEC__TENSOR__KIND_FLOATS;
        message->floats = MIL__NEW(w, Floats, floats);
        return message->floats &&
               (message->floats->values = converted(w, tensor, MIL_FP32, &message->floats->n_values));
    case MIL_FP64:
        message->kind_case = MIL__SPEC__TENSOR__KIND_DOUBLES;
        message->doubles = MIL__NEW(w, Doubles, doubles);
        return message->doubles &&
               (message->doubles->values = converted(w, tensor, MIL_FP64, &message->doubles->n_values));
    case MIL_INT16:
    case MIL_UINT16:
    case MIL_INT32:
        message->kind_case = MIL__SPEC__TENSOR__KIND_INTS;
        message->ints = MIL__NEW(w, Ints, ints);
        return message->ints && (message->ints->values = converted(w, tensor, MIL_INT32, &message->ints->n_values));
    case MIL_INT64:
    case MIL_UINT64: /* the same bits */
        message->kind_case = MIL__SPEC__TENSOR__KIND_LONGS;
        message->longs = MIL__NEW(w, Longs, longs);
        return message->longs &&
               (message->longs->values = converted(w, tensor, tensor->dtype, &message->longs->n_values));
    default: /* little-endian, packed where they are less than a byte */
        message->kind_case = MIL__SPEC__TENSOR__KIND_BYTES;
        message->bytes = MIL__NEW(w, Bytes, bytes);
        if (!message->bytes) return false;
        message->bytes->values.len = mil_tensor_bytes(tensor);
        message->bytes->values.data = mil__write_array(w, message->bytes->values.len, 1);
        if (message->bytes->values.data) memcpy(message->bytes->values.data, tensor->data, message->bytes->values.len);
        return message->bytes->values.data;
    }
}

static Mil__Spec__Tensor *write_elements(mil__model_writer *w, const mil_tensor *tensor) {
    mil_tensor *copy = NULL;
    Mil__Spec__Tensor *message = MIL__NEW(w, Tensor, tensor);
    if (!message) return NULL;
    if (!mil__is_contiguous(tensor) && tensor->dtype != MIL_STRING) {
        w->status = mil_tensor_convert(tensor, tensor->dtype, &copy, w->err);
        if (w->status != MIL_OK) return NULL;
    }
    bool done = put_elements(w, copy ? copy : tensor, message);
    mil_tensor_free(copy);
    return done ? message : NULL;
}

/* ---- values ---- */

static Mil__Spec__Value *new_value(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__Value *message = MIL__NEW(w, Value, value);
    if (!message) return NULL;
    message->type = mil__write_type(w, type);
    return message->type ? message : NULL;
}

static Mil__Spec__Value *new_immediate(mil__model_writer *w, const mil_type *type) {
    Mil__Spec__Value *message = new_value(w, type);
    if (!message) return NULL;
    message->kind_case = MIL__SPEC__VALUE__KIND_IMMEDIATE;
    message->immediate = MIL__NEW(w, Immediate, immediate);
    return message->immediate ? message : NULL;
}

static Mil__Spec__Value *write_tensor(mil__model_writer *w, const mil_type *type, const mil_tensor *data) {
    Mil__Spec__Value *message = new_immediate(w, type);
    if (!message) return NULL;
    message->immediate->kind_case = MIL__SPEC__IMMEDIATE__KIND_TENSOR;
    message->immediate->tensor = write_elements(w, data);
    return message->immediate->tensor ? message : NULL;
}

Mil__Spec__Value *mil__write_text(mil__model_writer *w, const char *text) {
    Mil__Spec__Value *message = new_immediate(w, mil__scalar_type(w->program->types, MIL_STRING));
    Mil__Spec__Tensor *tensor = message ? MIL__NEW(w, Tensor, tensor) : NULL;
    Mil__Spec__Strings *strings = tensor ? MIL__NEW(w, Strings, strings) : NULL;
    if (!strings || !(strings->values = mil__write_array(w, 1, sizeof *strings->values))) return NULL;
    strings->values[0] = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
    strings->n_values = 1;
    tensor->kind_case = MIL__SPEC__TENSOR__KIND_STRINGS;
    tensor->strings = strings;
    message->immediate->kind_case = MIL__SPEC__IMMEDIATE__KIND_TENSOR;
    message->immediate->tensor = tensor;
    return message;
}

static Mil__Spec__Value *write_blob(mil__model_writer *w, const mil_type *type, const mil_tensor *data) {
    Mil__Spec__Value *message = new_value(w, type);
    Mil__Spec__Blob *blob = message ? MIL__NEW(w, Blob, blob) : NULL;
    if (!blob) return NULL;
    message->kind_case = MIL__SPEC__VALUE__KIND_BLOB;
    message->blob = blob;
    blob->file = (char *)(uintptr_t)w->blob_name;
    w->status = mil__blob_add(&w->blobs, data, &blob->offset, w->err);
    return w->status == MIL_OK ? message : NULL;
}

/* ---- lists, tuples, dictionaries ---- */

static Mil__Spec__Values *write_items(mil__model_writer *w, const mil__attr *attr) {
    Mil__Spec__Values *message = MIL__NEW(w, Values, values);
    if (!message) return NULL;
    message->n_values = (size_t)attr->n_items;
    if (!(message->values = mil__write_array(w, message->n_values, sizeof *message->values))) return NULL;
    for (int i = 0; i < attr->n_items; i++)
        if (!(message->values[i] = mil__write_attr(w, &attr->items[i]))) return NULL;
    return message;
}

static Mil__Spec__Pairs *write_pairs(mil__model_writer *w, const mil__attr *attr) {
    Mil__Spec__Pairs *message = MIL__NEW(w, Pairs, pairs);
    if (!message) return NULL;
    message->n_pairs = (size_t)attr->n_items / 2;
    if (!(message->pairs = mil__write_array(w, message->n_pairs, sizeof *message->pairs))) return NULL;
    for (size_t i = 0; i < message->n_pairs; i++) {
        Mil__Spec__Pair *pair = MIL__NEW(w, Pair, pair);
        if (!pair || !(pair->key = mil__write_attr(w, &attr->items[2 * i]))) return NULL;
        if (!(pair->value = mil__write_attr(w, &attr->items[2 * i + 1]))) return NULL;
        message->pairs[i] = pair;
    }
    return message;
}

Mil__Spec__Value *mil__write_attr(mil__model_writer *w, const mil__attr *attr) {
    if (attr->data) return write_tensor(w, attr->type, attr->data);
    if (attr->type->kind == MIL_TENSOR)
        return mil__write_fail(w, MIL_EUNSUPPORTED,
                               "the attribute %s is in a weights file, which is not read for attributes",
                               attr->name ? attr->name : "");
    Mil__Spec__Value *message = new_immediate(w, attr->type);
    if (!message) return NULL;
    void *of = NULL;
    switch (attr->type->kind) {
    case MIL_LIST:
        message->immediate->kind_case = MIL__SPEC__IMMEDIATE__KIND_LIST;
        of = message->immediate->list = write_items(w, attr);
        break;
    case MIL_TUPLE:
        message->immediate->kind_case = MIL__SPEC__IMMEDIATE__KIND_TUPLE;
        of = message->immediate->tuple = write_items(w, attr);
        break;
    case MIL_DICT:
        message->immediate->kind_case = MIL__SPEC__IMMEDIATE__KIND_DICT;
        of = message->immediate->dict = write_pairs(w, attr);
        break;
    default: return mil__write_fail(w, MIL_EUNSUPPORTED, "a state has no value that could be written");
    }
    return of ? message : NULL;
}

/* ---- consts ---- */

static const mil__attr *val_of(const mil_program *program, const mil__value *value) {
    const mil__attr *attr = value->op ? program->ops[value->op]->attrs : NULL;
    while (attr && strcmp(attr->name, "val") != 0) attr = attr->next;
    return attr;
}

const char *mil__const_file(const mil_program *program, const mil__value *value) {
    const mil__attr *val = val_of(program, value);
    bool is_in_file = val && val->type->kind == MIL_TENSOR && !val->data && val->n_items;
    return is_in_file ? mil_tensor_string(val->items[0].data, 0, NULL) : NULL;
}

void *mil__write_absent(mil__model_writer *w, const mil__value *value) {
    const char *file = mil__const_file(w->program, value);
    return mil__write_fail(w, MIL_ESTATE, "const %s: its value is not at hand%s%s%s", value->name ? value->name : "",
                           file ? "; it is in " : "", file ? MIL__WEIGHTS_PATH(w->program, file) : "", file ? ", which was not there" : "");
}

/* Before specification version 9, weights files have no integers but those of 8 bits. */
bool mil__const_is_large(const mil__model_writer *w, const mil__value *value) {
    const mil_tensor *data = value->data;
    if (!data || !mil__milblob_code(data->dtype)) return false;
    bool is_wide = mil__dtype_is_int(data->dtype) && mil_dtype_bits(data->dtype) > 8;
    if (is_wide && w->version < 9) return false;
    return mil__numel(data) >= w->blob_elements || mil__const_file(w->program, value);
}

/* Text may give a const's type with a "?"; its elements have a shape. */
static const mil_type *type_of_data(mil__model_writer *w, const mil__value *value) {
    if (!mil__type_is_flexible(value->type)) return value->type;
    const mil_tensor *data = value->data;
    const mil_type *type = mil__tensor_type(w->program->types, data->dtype, data->rank, data->shape);
    return type ? type : mil__write_nomem(w);
}

Mil__Spec__Value *mil__write_const(mil__model_writer *w, mil_value id, bool may_be_blob) {
    const mil__value *value = w->program->values[id];
    const mil__attr *val = val_of(w->program, value);
    const mil_type *type = value->data ? type_of_data(w, value) : value->type;
    if (!type) return NULL;
    if (value->data && may_be_blob && mil__const_is_large(w, value)) return write_blob(w, type, value->data);
    if (value->data) return write_tensor(w, type, value->data);
    if (val && val->type->kind != MIL_TENSOR) return mil__write_attr(w, val);
    return mil__write_absent(w, value);
}
