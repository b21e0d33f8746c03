/* SPDX-License-Identifier: MIT */
/* safetensors: a length, a JSON header of so many bytes, then the tensors' bytes without gaps.
 *
 *     0    u64 N
 *     8    {"name": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, ..., "__metadata__": {"k": "v"}}
 *     8+N  the byte buffer, up to the end of the file
 *
 * Everything in the header is checked when the file is opened: afterwards each tensor is known to lie in the file, and no
 * two share a byte. Where the format's own reader is lax we are strict: the header begins with `{`, no name, metadata key
 * or field is there twice. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "weights/weights.h"

enum { HEADER_MAX = 100000000, NESTING_MAX = 128 };

/* ---- dtypes ---- */

/* What the format has and MIL has not: such tensors are checked and named, but can't be had. */
static const struct {
    const char *name, *why;
    int bits;
} others[] = {
    {"F4", "dtype F4", 4},
    {"F6_E2M3", "dtype F6_E2M3", 6},
    {"F6_E3M2", "dtype F6_E3M2", 6},
    {"F8_E5M2", "dtype F8_E5M2", 8},
    {"F8_E4M3", "dtype F8_E4M3", 8},
    {"F8_E8M0", "dtype F8_E8M0", 8},
    {"F8_E4M3FNUZ", "dtype F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", "dtype F8_E5M2FNUZ", 8},
    {"C64", "dtype C64", 64},
};

/* The bits of an element, 0 where the format has no such dtype. */
static int find_dtype(const char *name, mil__weight *out) {
    for (int i = MIL_NO_DTYPE + 1; i < MIL_N_DTYPES; i++) {
        const char *spelled = mil__dtype((mil_dtype)i)->safetensors;
        if (!spelled || strcmp(spelled, name) != 0) continue;
        out->dtype = (mil_dtype)i;
        return mil_dtype_bits(out->dtype);
    }
    for (size_t i = 0; i < MIL__COUNT(others); i++) {
        if (strcmp(others[i].name, name) != 0) continue;
        out->unsupported = others[i].why;
        return others[i].bits;
    }
    return 0;
}

/* ---- the header's text, before jansson sees it ----
 * jansson builds a tree that can be large beside its text: `[[],[],..` makes 130 bytes of 3. The design allows 64 times the
 * file's size and 16 MiB, so the tree's size is estimated, from what jansson 2.14 allocates on a 64-bit machine, rounded up.
 * Its own limit of nesting is too deep for us, too. */

typedef struct tree {
    uint64_t bytes;
    int depth, deepest;
} tree;

static void measure(const uint8_t *text, size_t n, tree *out) {
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
            continue;
        }
        switch (c) {
        case '"': in_string = true, out->bytes += 96; break;
        case '{': out->bytes += 272, out->depth++; break;
        case '[': out->bytes += 160, out->depth++; break;
        case '}': case ']': out->depth--; break;
        case ':': out->bytes += 176; break;
        case ',': out->bytes += 64; break;
        default: break;
        }
        if (out->depth > out->deepest) out->deepest = out->depth;
    }
    out->bytes += 3 * (uint64_t)n;
}

static mil_status check_text(const mil_weights *weights, const uint8_t *text, size_t n, mil_error *err) {
    tree t = {0};
    measure(text, n, &t);
    if (t.deepest > NESTING_MAX)
        return mil__weights_fail(weights, err, MIL_ELIMIT, NULL, "the header nests %d deep, more than %d", t.deepest, NESTING_MAX);
    if (t.bytes / 48 > weights->bytes + ((uint64_t)16 << 20) / 48)
        return mil__weights_fail(weights, err, MIL_ELIMIT, NULL,
                                 "the header of %zu bytes has too many parts for a file of %zu bytes", n, weights->bytes);
    return MIL_OK;
}

/* ---- one tensor ---- */

static mil_status bad(const mil_weights *weights, mil_error *err, const char *name, const char *what) {
    return mil__weights_fail(weights, err, MIL_EFORMAT, name, "%s", what);
}

/* A size: an integer that is not negative. jansson refuses those above 2^63 - 1. */
static bool read_size(const json_t *json, int64_t *out) {
    if (!json_is_integer(json)) return false;
    *out = (int64_t)json_integer_value(json);
    return *out >= 0;
}

/* The shape, and the number of elements, whose product must not overflow at any step from the left. */
static mil_status read_shape(const mil_weights *weights, const json_t *json, const char *name, mil__weight *out,
                             int64_t *numel, mil_error *err) {
    if (!json_is_array(json)) return bad(weights, err, name, "shape: a list of sizes is wanted");
    size_t rank = json_array_size(json);
    int64_t n = 1;
    for (size_t i = 0; i < rank; i++) {
        int64_t size;
        if (!read_size(json_array_get(json, i), &size)) return bad(weights, err, name, "shape: a list of sizes is wanted");
        if (!mil__mul_dim(n, size, &n)) return bad(weights, err, name, "shape: has more elements than 64 bits can count");
        if (i < MIL_MAX_RANK) out->shape[i] = size;
    }
    if (rank > MIL_MAX_RANK) out->unsupported = "a rank above 8";
    else out->rank = (int)rank;
    *numel = n;
    return MIL_OK;
}

static mil_status read_offsets(const mil_weights *weights, const json_t *json, const char *name, mil__weight *out,
                               mil_error *err) {
    int64_t begin, end;
    bool ok = json_is_array(json) && json_array_size(json) == 2 && read_size(json_array_get(json, 0), &begin) &&
              read_size(json_array_get(json, 1), &end);
    if (!ok) return bad(weights, err, name, "data_offsets: two sizes are wanted");
    if (end < begin) return bad(weights, err, name, "data_offsets: the end lies before the beginning");
    out->offset = (uint64_t)begin;
    out->bytes = (uint64_t)(end - begin);
    return MIL_OK;
}

static mil_status read_tensor(mil_weights *weights, const char *name, const json_t *json, mil_error *err) {
    mil__weight found = {0}, *weight;
    int64_t numel = 0;
    if (!json_is_object(json)) return bad(weights, err, name, "an object with dtype, shape and data_offsets is wanted");
    const json_t *dtype = json_object_get(json, "dtype"), *shape = json_object_get(json, "shape"),
                 *offsets = json_object_get(json, "data_offsets");
    if (!dtype || !shape || !offsets)
        return mil__weights_fail(weights, err, MIL_EFORMAT, name, "the field %s is missing",
                                 !dtype ? "dtype" : !shape ? "shape" : "data_offsets");
    if (!json_is_string(dtype)) return bad(weights, err, name, "dtype: a string is wanted");
    int bits = find_dtype(json_string_value(dtype), &found);
    if (bits == 0)
        return mil__weights_fail(weights, err, MIL_EFORMAT, name, "dtype: the format has no \"%s\"",
                                 MIL__PRINTABLE(json_string_value(dtype)));
    MIL__TRY(read_shape(weights, shape, name, &found, &numel, err));
    MIL__TRY(read_offsets(weights, offsets, name, &found, err));
    int64_t total;
    if (!mil__mul_dim(numel, bits, &total)) return bad(weights, err, name, "shape: has more bits than 64 bits can count");
    if (total % 8 != 0) return bad(weights, err, name, "its elements do not fill whole bytes");
    if ((uint64_t)total / 8 != found.bytes)
        return mil__weights_fail(weights, err, MIL_EFORMAT, name,
                                 "data_offsets: span %" PRIu64 " bytes, but dtype and shape take %" PRIu64, found.bytes,
                                 (uint64_t)total / 8);
    MIL__TRY(mil__weights_add(weights, name, strlen(name), &weight, err));
    found.name = weight->name;
    *weight = found;
    return MIL_OK;
}

static mil_status read_metadata(mil_weights *weights, json_t *json, mil_error *err) {
    if (json_is_null(json)) return MIL_OK;
    if (!json_is_object(json)) return bad(weights, err, NULL, "__metadata__: an object of strings is wanted");
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value) {
        if (!json_is_string(value))
            return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "__metadata__: the value of \"%s\" is no string",
                                     MIL__PRINTABLE(key));
        mil__metadatum *item;
        MIL__TRY(mil__weights_add_metadata(weights, key, strlen(key), &item, err));
        item->text = mil__arena_text(&weights->arena, json_string_value(value), json_string_length(value));
        if (!item->text) return mil__nomem(err);
    }
    return MIL_OK;
}

static mil_status read_header(mil_weights *weights, json_t *json, mil_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value) {
        if (strcmp(key, "__metadata__") == 0) MIL__TRY(read_metadata(weights, value, err));
        else MIL__TRY(read_tensor(weights, key, value, err));
    }
    return MIL_OK;
}

/* ---- all of them ---- */

static int by_place(const void *a, const void *b) {
    const mil__weight *x = *(const mil__weight *const *)a, *y = *(const mil__weight *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* By their places the tensors follow one another without gaps, from the beginning of the buffer to its end. Makes offsets
 * into offsets in the file. */
static mil_status check_places(mil_weights *weights, uint64_t buffer_at, mil_error *err) {
    mil__weight **sorted = mil__calloc(weights->n ? weights->n : 1, sizeof *sorted);
    if (!sorted) return mil__nomem(err);
    for (size_t i = 0; i < weights->n; i++) sorted[i] = &weights->items[i];
    qsort(sorted, weights->n, sizeof *sorted, by_place);
    mil_status status = MIL_OK;
    uint64_t end = 0;
    for (size_t i = 0; status == MIL_OK && i < weights->n; i++) {
        mil__weight *w = sorted[i];
        if (w->offset != end)
            status = mil__weights_fail(weights, err, MIL_EFORMAT, w->name,
                                       "data_offsets: begins at %" PRIu64 ", but what is before it ends at %" PRIu64,
                                       w->offset, end);
        end = w->offset + w->bytes; /* both below 2^63 */
        w->offset += buffer_at;
    }
    mil__free(sorted);
    if (status != MIL_OK || end == weights->bytes - buffer_at) return status;
    return mil__weights_fail(weights, err, MIL_EFORMAT, NULL,
                             "the tensors take %" PRIu64 " bytes, but %" PRIu64 " follow the header", end,
                             weights->bytes - buffer_at);
}

static mil_status parse(const mil_weights *weights, const char *text, size_t n, json_t **out, mil_error *err) {
    json_error_t problem;
    errno = 0;
    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES, &problem);
    if (*out && json_is_object(*out)) return MIL_OK;
    if (!*out && errno == ENOMEM) return mil__nomem(err); /* jansson itself calls most failed allocations bad syntax */
    json_decref(*out);
    *out = NULL;
    return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "the header is no JSON object: %s (byte %d of it)",
                             MIL__PRINTABLE(problem.text), problem.position);
}

static mil_status open_safetensors(mil_weights *weights, mil_error *err) {
    mil__bytes file = mil__bytes_part(weights->data, weights->bytes, 0, weights->bytes);
    uint64_t length = mil__bytes_u64(&file);
    if (file.failed) return bad(weights, err, NULL, "the file is shorter than the 8 bytes of the header's length");
    if (length > HEADER_MAX)
        return mil__weights_fail(weights, err, MIL_ELIMIT, NULL, "a header of %" PRIu64 " bytes, more than %d", length,
                                 HEADER_MAX);
    const uint8_t *text = mil__bytes_take(&file, length);
    if (!text)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "a header of %" PRIu64 " bytes in a file of %zu", length,
                                 weights->bytes);
    if (length == 0 || text[0] != '{') return bad(weights, err, NULL, "the header does not begin with {");
    MIL__TRY(check_text(weights, text, (size_t)length, err));
    json_t *json;
    MIL__TRY(parse(weights, (const char *)text, (size_t)length, &json, err));
    mil_status status = read_header(weights, json, err);
    json_decref(json);
    return status == MIL_OK ? check_places(weights, 8 + length, err) : status;
}

static mil_status get_safetensors(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err) {
    return mil__weights_view(weights, weight->dtype, weight->rank, weight->shape, weight->offset, out, err);
}

const mil__weights_format mil__safetensors = {"safetensors", open_safetensors, get_safetensors, NULL, NULL, NULL};

/* ---- writing ---- */

static void add_json(mil__str *str, const char *s) {
    mil__str_putc(str, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') mil__str_printf(str, "\\%c", c);
        else if (c < 0x20) mil__str_printf(str, "\\u%04x", c);
        else mil__str_putc(str, *s);
    }
    mil__str_putc(str, '"');
}

/* The largest alignment first, so that every tensor is aligned if the buffer is; then by name. */
static int by_alignment(const void *a, const void *b) {
    const mil__outgoing *x = a, *y = b;
    int difference = mil_dtype_bits(y->type.dtype) - mil_dtype_bits(x->type.dtype);
    return difference ? difference : strcmp(x->name, y->name);
}

static mil_status check_tensors(const mil__outgoing *items, size_t n, mil_error *err) {
    for (size_t i = 0; i < n; i++) {
        const mil_tensor *t = &items[i].type;
        if (!mil__dtype(t->dtype)->safetensors)
            return mil__fail(err, MIL_EUNSUPPORTED, "save: \"%s\" is %s, which safetensors has no dtype for",
                             MIL__PRINTABLE(items[i].name), MIL__TENSOR_TEXT(t));
        if (strcmp(items[i].name, "__metadata__") == 0)
            return mil__fail(err, MIL_EVALUE, "save: safetensors keeps the name __metadata__ for itself");
    }
    return MIL_OK;
}

static void add_metadata(mil__str *str, const char *const *metadata) {
    mil__str_puts(str, "\"__metadata__\":{");
    for (size_t i = 0; metadata[i] && metadata[i + 1]; i += 2) {
        if (i) mil__str_putc(str, ',');
        add_json(str, metadata[i]);
        mil__str_putc(str, ':');
        add_json(str, metadata[i + 1]);
    }
    mil__str_putc(str, '}');
}

static void add_tensor(mil__str *str, const mil__outgoing *item, size_t offset) {
    const mil_tensor *t = &item->type;
    add_json(str, item->name);
    mil__str_printf(str, ":{\"dtype\":\"%s\",\"shape\":[", mil__dtype(t->dtype)->safetensors);
    for (int i = 0; i < t->rank; i++) mil__str_printf(str, "%s%" PRId64, i ? "," : "", t->shape[i]);
    mil__str_printf(str, "],\"data_offsets\":[%zu,%zu]}", offset, offset + mil_tensor_bytes(t));
}

/* JSON padded with spaces, so that the buffer begins at a multiple of 64. */
static mil_status make_header(const mil__outgoing *sorted, size_t n, const char *const *metadata, mil__str *out,
                              mil_error *err) {
    size_t offset = 0;
    mil__str_putc(out, '{');
    if (metadata && metadata[0]) add_metadata(out, metadata);
    for (size_t i = 0; i < n; i++) {
        if (out->n > 1) mil__str_putc(out, ',');
        add_tensor(out, &sorted[i], offset);
        offset += mil_tensor_bytes(&sorted[i].type);
    }
    mil__str_putc(out, '}');
    while (!out->failed && (8 + out->n) % 64 != 0) mil__str_putc(out, ' ');
    if (out->failed) return mil__nomem(err);
    return out->n <= HEADER_MAX ? MIL_OK : mil__fail(err, MIL_ELIMIT, "save: a header of %zu bytes, more than %d", out->n,
                                                     HEADER_MAX);
}

static mil_status check_metadata(const char *const *metadata, mil_error *err) {
    for (size_t i = 0; metadata && metadata[i]; i++) {
        if (!mil__is_utf8(metadata[i], strlen(metadata[i]))) return mil__fail(err, MIL_EVALUE, "save: metadata is not UTF-8");
    }
    return MIL_OK;
}

mil_status mil__safetensors_write(mil__weights_saving *saving, mil_error *err) {
    mil__outgoing *items = saving->items;
    size_t n = saving->n;
    MIL__TRY(check_tensors(items, n, err));
    MIL__TRY(check_metadata(saving->metadata, err));
    qsort(items, n, sizeof *items, by_alignment);
    mil__str header = {0};
    mil_status status = make_header(items, n, saving->metadata, &header, err);
    if (status == MIL_OK) {
        uint8_t length[8];
        mil__put_u64(length, header.n);
        mil__writer_add(&saving->writer, length, sizeof length);
        mil__writer_add(&saving->writer, header.s, header.n);
    }
    mil__str_free(&header);
    for (size_t i = 0; status == MIL_OK && i < n; i++) status = mil__weights_put(saving, &items[i], NULL, err);
    return status;
}
