/* SPDX-License-Identifier: MIT */
/* Fields that the schema has not: found in messages, and given to messages that are made anew. Both walk the messages by
 * their descriptors, so that no message is named here. */
#include <protobuf-c/protobuf-c.h>

#include "package/package.h"

#define AT(type, message, offset) ((type *)(void *)((char *)(uintptr_t)(message) + (offset)))

/* The messages in a field: where they are, and how many. */
static ProtobufCMessage **messages_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t *n) {
    *n = 0;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) return NULL;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *n = *AT(size_t, message, field->quantifier_offset);
        return *AT(ProtobufCMessage **, message, field->offset);
    }
    bool is_other = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *AT(uint32_t, message, field->quantifier_offset) != field->id;
    ProtobufCMessage **at = AT(ProtobufCMessage *, message, field->offset);
    *n = !is_other && *at;
    return at;
}

bool mil__has_unknown(const ProtobufCMessage *message, const char *without) {
    if (message->n_unknown_fields) return true;
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    for (unsigned f = 0; f < descriptor->n_fields; f++) {
        size_t n;
        ProtobufCMessage **inner = messages_of(message, &descriptor->fields[f], &n);
        if (n && without && strcmp(descriptor->fields[f].name, without) == 0) continue;
        for (size_t i = 0; i < n; i++)
            if (mil__has_unknown(inner[i], NULL)) return true;
    }
    return false;
}

/* What a message of a list is known by: its first field, where that is called key or name. */
static const char *key_of(const ProtobufCMessage *message) {
    const ProtobufCFieldDescriptor *first = message->descriptor->fields;
    bool is_key = message->descriptor->n_fields && first->type == PROTOBUF_C_TYPE_STRING && first->label != PROTOBUF_C_LABEL_REPEATED &&
                  !(first->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && (strcmp(first->name, "key") == 0 || strcmp(first->name, "name") == 0);
    return is_key ? *AT(char *, message, first->offset) : NULL;
}

static int by_key(const void *a, const void *b) {
    return strcmp(key_of(*(ProtobufCMessage *const *)a), key_of(*(ProtobufCMessage *const *)b));
}

void mil__take_unknown(ProtobufCMessage *to, ProtobufCMessage *from) {
    if (!to->n_unknown_fields) {
        to->n_unknown_fields = from->n_unknown_fields;
        to->unknown_fields = from->unknown_fields;
    }
    for (unsigned f = 0; f < to->descriptor->n_fields; f++) {
        const ProtobufCFieldDescriptor *field = &to->descriptor->fields[f];
        size_t n, m;
        ProtobufCMessage **new = messages_of(to, field, &n), **old = messages_of(from, field, &m);
        if (!n || !m) continue;
        if (key_of(new[0])) {
            qsort(old, m, sizeof *old, by_key);
            for (size_t i = 0; i < n; i++) {
                ProtobufCMessage **found = bsearch(&new[i], old, m, sizeof *old, by_key);
                if (found) mil__take_unknown(new[i], *found);
            }
        } else if (n == m) {
            for (size_t i = 0; i < n; i++) mil__take_unknown(new[i], old[i]);
        }
    }
}
