/* SPDX-License-Identifier: MIT */
/* Named tensors of a file: the format chosen by content, look-up by name. */
#include <stdio.h>

#include "weights/weights.h"

/* ---- what formats share ---- */

mil_status mil__weights_fail(const mil_weights *weights, mil_error *err, mil_status status, const char *name,
                             const char *format, ...) {
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    bool is_named = name && *name; /* the one tensor of an npy file is called "" */
    const char *printable = is_named ? MIL__PRINTABLE(name) : "";
    mil__fail(err, status, "%s: %.200s: %s%s%s%s", weights->format->name, weights->path, is_named ? "tensor \"" : "", printable,
              is_named ? "\": " : "", what);
    if (err) {
        snprintf(err->file, sizeof err->file, "%s", weights->path);
        snprintf(err->value, sizeof err->value, "%s", printable);
    }
    return status;
}

typedef struct key {
    const char *name;
    size_t length;
} key;

static bool has_name(const void *ctx, uint32_t i, const void *sought) {
    const mil_weights *weights = ctx;
    const key *k = sought;
    const char *name = weights->items[i].name;
    return strlen(name) == k->length && memcmp(name, k->name, k->length) == 0;
}

static uint32_t find(const mil_weights *weights, const char *name, size_t length) {
    return mil__map_find(&weights->names, mil__hash(name, length), has_name, weights, &(key){name, length});
}

/* Room for one more of n things of `bytes`; NULL: out of memory, with what was there as it was. */
static void *room(void *items, size_t n, size_t *cap, size_t bytes) {
    if (n < *cap) return items;
    size_t more = *cap ? *cap + *cap / 2 : 16;
    items = mil__realloc(items, more * bytes);
    if (items) *cap = more;
    return items;
}

mil_status mil__weights_add(mil_weights *weights, const char *name, size_t length, mil__weight **out, mil_error *err) {
    uint32_t there = find(weights, name, length);
    if (there != MIL__NOT_FOUND) /* by its own name: the one given may have no 0 at its end */
        return mil__weights_fail(weights, err, MIL_EFORMAT, weights->items[there].name, "is there twice");
    mil__weight *items = room(weights->items, weights->n, &weights->cap, sizeof *items);
    if (!items) return mil__nomem(err);
    weights->items = items;
    const char *copy = mil__arena_text(&weights->arena, name, length);
    if (!copy || !mil__map_add(&weights->names, mil__hash(name, length), (uint32_t)weights->n)) return mil__nomem(err);
    *out = &weights->items[weights->n++];
    memset(*out, 0, sizeof **out);
    (*out)->name = copy;
    return MIL_OK;
}

static bool has_key(const void *ctx, uint32_t i, const void *sought) {
    const key *k = sought;
    const char *name = ((const mil_weights *)ctx)->metadata[i].key;
    return strlen(name) == k->length && memcmp(name, k->name, k->length) == 0;
}

static mil__metadatum *find_metadata(const mil_weights *weights, const char *name, size_t length) {
    uint32_t i = mil__map_find(&weights->keys, mil__hash(name, length), has_key, weights, &(key){name, length});
    return i == MIL__NOT_FOUND ? NULL : &weights->metadata[i];
}

const mil__metadatum *mil__weights_metadatum(const mil_weights *weights, const char *name) {
    return find_metadata(weights, name, strlen(name));
}

mil_status mil__weights_add_metadata(mil_weights *weights, const char *name, size_t length, mil__metadatum **out,
                                     mil_error *err) {
    const mil__metadatum *there = find_metadata(weights, name, length);
    if (there)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "metadata \"%s\" is there twice", MIL__PRINTABLE(there->key));
    mil__metadatum *items = room(weights->metadata, weights->n_metadata, &weights->cap_metadata, sizeof *items);
    if (!items) return mil__nomem(err);
    weights->metadata = items;
    const char *copy = mil__arena_text(&weights->arena, name, length);
    if (!copy || !mil__map_add(&weights->keys, mil__hash(name, length), (uint32_t)weights->n_metadata)) return mil__nomem(err);
    *out = &items[weights->n_metadata++];
    **out = (mil__metadatum){.key = copy};
    return MIL_OK;
}

void mil__normalize_bools(uint8_t *data, size_t n) {
    for (size_t i = 0; i < n; i++) data[i] = data[i] != 0;
}

static bool has_odd_bools(const uint8_t *data, size_t n) {
    uint8_t all = 0;
    for (size_t i = 0; i < n; i++) all |= data[i];
    return all > 1;
}

mil_status mil__weights_view(const mil_weights *weights, mil_dtype dtype, int rank, const int64_t *shape, uint64_t offset,
                             mil_tensor **out, mil_error *err) {
    const uint8_t *data = weights->data + offset;
    size_t element = (size_t)mil_dtype_bits(dtype) / 8, bytes = 0;
    int64_t n;
    if (!mil__shape_numel(rank, shape, &n) || !mil__dtype_bytes(dtype, n, &bytes)) return mil__nomem(err);
    if ((uintptr_t)data % element == 0 && !(dtype == MIL_BOOL && has_odd_bools(data, bytes)))
        return mil_tensor_over(weights->file, (size_t)offset, dtype, rank, shape, NULL, out, err);
    mil_tensor *copy;
    MIL__TRY(mil__tensor_raw(dtype, rank, shape, &copy, err));
    memcpy(copy->data, data, bytes);
    if (dtype == MIL_BOOL) mil__normalize_bools(copy->data, bytes);
    *out = copy;
    return MIL_OK;
}

/* ---- opening ---- */

static bool begins(const mil_weights *weights, const char *magic, size_t n) {
    return weights->bytes >= n && memcmp(weights->data, magic, n) == 0;
}

static bool ends(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

/* safetensors has no magic number: a file is one if it says so by its name, or has a `{` where its header begins. */
static const mil__weights_format *format_of(const mil_weights *weights) {
    if (begins(weights, "\x93NUMPY", 6)) return &mil__npy;
    if (begins(weights, "PK\3\4", 4) || begins(weights, "PK\5\6", 4)) return &mil__npz;
    if (begins(weights, "GGUF", 4)) return &mil__gguf;
    if (ends(weights->path, ".npy")) return &mil__npy;
    if (ends(weights->path, ".npz")) return &mil__npz;
    if (ends(weights->path, ".gguf")) return &mil__gguf;
    bool has_brace = weights->bytes > 8 && weights->data[8] == '{';
    return has_brace || ends(weights->path, ".safetensors") ? &mil__safetensors : NULL;
}

static mil_status open_file(mil_weights *weights, const char *path, mil_error *err) {
    weights->path = mil__strdup(path);
    if (!weights->path) return mil__nomem(err);
    MIL__TRY(mil_buffer_map(path, &weights->file, err));
    weights->data = mil_buffer_data(weights->file);
    weights->bytes = mil_buffer_bytes(weights->file);
    weights->format = format_of(weights);
    if (weights->format) return weights->format->open(weights, err);
    mil__fail(err, MIL_EFORMAT, "%.200s: is neither safetensors, npy, npz nor gguf", path);
    if (err) snprintf(err->file, sizeof err->file, "%s", path);
    return MIL_EFORMAT;
}

mil_status mil_weights_open(const char *path, mil_weights **out, mil_error *err) {
    mil_weights *weights = mil__calloc(1, sizeof *weights);
    if (!weights) return mil__nomem(err);
    atomic_init(&weights->count, 1);
    mil_status status = open_file(weights, path, err);
    if (status == MIL_OK) *out = weights;
    else mil_weights_free(weights);
    return status;
}

mil_weights *mil_weights_retain(mil_weights *weights) {
    if (weights) atomic_fetch_add_explicit(&weights->count, 1, memory_order_relaxed);
    return weights;
}

void mil_weights_free(mil_weights *weights) {
    if (!weights || atomic_fetch_sub_explicit(&weights->count, 1, memory_order_acq_rel) != 1) return;
    mil_buffer_free(weights->file);
    mil__map_free(&weights->names);
    mil__arena_free(&weights->arena);
    mil__map_free(&weights->keys);
    mil__free(weights->metadata);
    mil__free(weights->items);
    mil__free(weights->path);
    mil__free(weights);
}

/* ---- looking ---- */

size_t mil_weights_count(const mil_weights *weights) { return weights->n; }

const char *mil_weights_name(const mil_weights *weights, size_t i) {
    return i < weights->n ? weights->items[i].name : NULL;
}

static const char *name_at(const void *ctx, size_t i) { return mil_weights_name(ctx, i); }

enum { NEAREST_AMONG = 20000 }; /* names beyond are not looked at: comparing them takes longer than is worth waiting */

/* The tensor of that name. */
static mil_status find_weight(const mil_weights *weights, const char *name, const mil__weight **out, mil_error *err) {
    uint32_t i = find(weights, name, strlen(name));
    if (i == MIL__NOT_FOUND) {
        size_t n = weights->n < NEAREST_AMONG ? weights->n : NEAREST_AMONG;
        const char *near = mil__nearest(name, n, name_at, weights);
        return mil__weights_fail(weights, err, MIL_ENAME, name, "is not in the file%s%s%s", near ? "; \"" : "",
                                 near ? MIL__PRINTABLE(near) : "", near ? "\" is" : "");
    }
    *out = &weights->items[i];
    return MIL_OK;
}

/* The same, if it can be had. */
static mil_status look_up(const mil_weights *weights, const char *name, const mil__weight **out, mil_error *err) {
    const mil__weight *weight;
    MIL__TRY(find_weight(weights, name, &weight, err));
    if (weight->unsupported)
        return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, weight->name, "%s is not supported", weight->unsupported);
    *out = weight;
    return MIL_OK;
}

/* Why it can't be had ends in what it is: "dtype F8_E4M3". */
static const char *type_of(const mil_weights *weights, const mil__weight *weight) {
    const char *name = weights->format->type_name ? weights->format->type_name(weight) : NULL;
    if (name) return name;
    if (!weight->unsupported) return mil_dtype_name(weight->dtype);
    const char *space = strchr(weight->unsupported, ' ');
    return space ? space + 1 : weight->unsupported;
}

mil_status mil_weights_stored(const mil_weights *weights, const char *name, mil_stored *out, mil_error *err) {
    const mil__weight *weight;
    MIL__TRY(find_weight(weights, name, &weight, err));
    *out = (mil_stored){.type = type_of(weights, weight), .dtype = weight->unsupported ? MIL_NO_DTYPE : weight->dtype,
                        .rank = weight->rank <= MIL_MAX_RANK ? weight->rank : 0, .bytes = weight->bytes};
    memcpy(out->shape, weight->shape, sizeof out->shape);
    return MIL_OK;
}

mil_status mil_weights_get(const mil_weights *weights, const char *name, mil_tensor **out, mil_error *err) {
    const mil__weight *weight;
    MIL__TRY(look_up(weights, name, &weight, err));
    return weights->format->get(weights, weight, out, err);
}

mil_status mil_weights_get_quantized(const mil_weights *weights, const char *name, mil_dtype scale_dtype, mil_tensor **data,
                                     mil_tensor **scale, mil_error *err) {
    const mil__weight *weight;
    if (scale_dtype != MIL_FP16 && scale_dtype != MIL_FP32)
        return mil__fail(err, MIL_EVALUE, "quantized: scales are fp16 or fp32, but %s was asked for", mil_dtype_name(scale_dtype));
    MIL__TRY(look_up(weights, name, &weight, err));
    if (!weights->format->get_quantized)
        return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, weight->name, "the format has no quantised tensors");
    return weights->format->get_quantized(weights, weight, scale_dtype, data, scale, err);
}

size_t mil_weights_metadata_count(const mil_weights *weights) { return weights->n_metadata; }

const char *mil_weights_metadata_key(const mil_weights *weights, size_t i) {
    return i < weights->n_metadata ? weights->metadata[i].key : NULL;
}

const char *mil_weights_metadata(const mil_weights *weights, const char *sought) {
    const mil__metadatum *item = mil__weights_metadatum(weights, sought);
    return item ? item->text : NULL;
}

mil_status mil_weights_metadata_tensor(const mil_weights *weights, const char *sought, mil_tensor **out, mil_error *err) {
    const mil__metadatum *item = mil__weights_metadatum(weights, sought);
    if (!item)
        return mil__weights_fail(weights, err, MIL_ENAME, NULL, "metadata \"%s\" is not in the file", MIL__PRINTABLE(sought));
    if (weights->format->get_metadata) return weights->format->get_metadata(weights, item, out, err);
    size_t length = strlen(item->text);
    return mil_tensor_strings(0, 1, &item->text, &length, out, err);
}
