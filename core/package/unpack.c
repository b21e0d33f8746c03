/* SPDX-License-Identifier: MIT */
/* A model's bytes to its messages, by protobuf-c: with bounds that the library has not.
 *
 * It recurses as deeply as messages nest, merges a message that is given twice (again and again, at a cost that grows as
 * the square), and allocates what it likes. So the bytes are walked before, by the same descriptors, and what nests too
 * deeply or is given twice is refused; and its allocator is an arena with a limit. */
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "package/package.h"

enum { MAX_DEPTH = 80 }; /* a block inside a block takes two levels, a list inside a list three */

typedef enum wire { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 } wire;

static uint64_t read_varint(mil__bytes *bytes) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t byte = mil__bytes_u8(bytes);
        if (shift < 64) value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
    bytes->failed = true;
    return 0;
}

static mil_status check_message(const ProtobufCMessageDescriptor *message, mil__bytes bytes, int depth, mil_error *err);

/* A field's bytes, if it is a message of ours. */
static mil_status check_field(const ProtobufCMessageDescriptor *message, uint64_t number, mil__bytes part,
                              uint64_t *seen, int depth, mil_error *err) {
    const ProtobufCFieldDescriptor *field =
        number <= INT_MAX ? protobuf_c_message_descriptor_get_field(message, (unsigned)number) : NULL;
    if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE) return MIL_OK;
    uint64_t bit = (uint64_t)1 << (field - message->fields);
    if (field->label != PROTOBUF_C_LABEL_REPEATED && *seen & bit)
        return mil__fail(err, MIL_EFORMAT, "the %s of a %s is given twice", field->name, message->short_name);
    *seen |= bit;
    return check_message(field->descriptor, part, depth + 1, err);
}

static mil_status check_message(const ProtobufCMessageDescriptor *message, mil__bytes bytes, int depth, mil_error *err) {
    uint64_t seen = 0;
    assert(message->n_fields <= 64);
    if (depth > MAX_DEPTH) return mil__fail(err, MIL_ELIMIT, "messages nested deeper than %d levels", (int)MAX_DEPTH);
    while (bytes.at < bytes.n && !bytes.failed) {
        uint64_t tag = read_varint(&bytes), n;
        switch ((wire)(tag & 7)) {
        case VARINT: read_varint(&bytes); break;
        case FIXED64: mil__bytes_take(&bytes, 8); break;
        case FIXED32: mil__bytes_take(&bytes, 4); break;
        case LENGTH: {
            n = read_varint(&bytes);
            const uint8_t *data = mil__bytes_take(&bytes, n);
            mil__bytes part = {.data = data, .n = data ? (size_t)n : 0};
            if (data) MIL__TRY(check_field(message, tag >> 3, part, &seen, depth, err));
            break;
        }
        default: bytes.failed = true;
        }
    }
    return bytes.failed ? mil__fail(err, MIL_EFORMAT, "not a model, or a damaged one: a %s breaks off", message->short_name)
                        : MIL_OK;
}

typedef struct limited {
    mil__arena *arena;
    size_t most_bytes;
    bool is_over, has_failed;
} limited;

static void *limited_alloc(void *ctx, size_t bytes) {
    limited *l = ctx;
    if (bytes > l->most_bytes || l->arena->bytes > l->most_bytes - bytes) return l->is_over = true, NULL;
    void *p = mil__arena_alloc(l->arena, bytes ? bytes : 1);
    l->has_failed |= !p;
    return p;
}

static void limited_free(void *ctx, void *ptr) { (void)ctx, (void)ptr; }

mil_status mil__unpack(const ProtobufCMessageDescriptor *descriptor, const void *data, size_t n, mil__arena *arena,
                       void **out, mil_error *err) {
    *out = NULL;
    mil__bytes bytes = {.data = data, .n = n};
    MIL__TRY(check_message(descriptor, bytes, 0, err));
    limited l = {arena, (n > SIZE_MAX / 64 ? SIZE_MAX / 2 : n * 28) + ((size_t)6 << 20), false, false};
    ProtobufCAllocator allocator = {limited_alloc, limited_free, &l};
    *out = protobuf_c_message_unpack(descriptor, &allocator, n, data);
    if (*out) return MIL_OK;
    if (l.is_over) return mil__fail(err, MIL_ELIMIT, "the model takes too much memory for its %zu bytes", n);
    if (l.has_failed) return mil__nomem(err);
    return mil__fail(err, MIL_EFORMAT, "not a model, or a damaged one: a field is not of its type");
}

mil_status mil__model_unpack(const void *data, size_t n, mil__arena *arena, Mil__Spec__Model **out, mil_error *err) {
    void *model = NULL;
    mil_status status = mil__unpack(&mil__spec__model__descriptor, data, n, arena, &model, err);
    *out = model;
    return status;
}
