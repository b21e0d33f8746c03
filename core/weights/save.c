/* SPDX-License-Identifier: MIT */
/* Saving named tensors: the format chosen by the name's ending, the tensors made and written one after the other, so that
 * memory holds one at a time, whatever there are.
 *
 *     what is given --describe--> items: name, dtype, shape --check--> header --put each--> elements, in pieces
 */
#include <inttypes.h>
#include <stdio.h>
#include <zlib.h>

#include "weights/weights.h"

enum { PIECE = 4 << 20 }; /* bytes */

/* ---- elements ---- */

static mil_status put_pieces(mil__weights_saving *s, const mil_tensor *tensor, uint32_t *crc, mil_error *err) {
    const uint8_t *data = tensor->data;
    for (size_t at = 0, bytes = mil_tensor_bytes(tensor); at < bytes && !s->writer.error;) {
        size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        if (crc) *crc = (uint32_t)crc32_z(*crc, data + at, n);
        mil__writer_add(&s->writer, data + at, n);
        mil__buffer_give_back(tensor->buffer, data + at, n);
        at += n;
        s->done += n;
        if (s->progress && !s->progress(s->progress_ctx, "weights", (double)s->done / (double)s->bytes))
            return mil__fail(err, MIL_ECANCELLED, "%.400s: cancelled", s->path);
    }
    return MIL_OK;
}

static bool is_as_described(const mil_tensor *tensor, const mil_tensor *type) {
    return tensor->dtype == type->dtype && tensor->rank == type->rank &&
           memcmp(tensor->shape, type->shape, (size_t)type->rank * sizeof *type->shape) == 0;
}

mil_status mil__weights_put(mil__weights_saving *s, const mil__outgoing *item, uint32_t *crc, mil_error *err) {
    mil_tensor *tensor, *contiguous = NULL;
    MIL__TRY(s->get(s->from, item->from, &tensor, err));
    mil_status status = MIL_OK;
    if (!is_as_described(tensor, &item->type))
        status = mil__fail(err, MIL_EFORMAT, "save: \"%s\" was changed meanwhile", MIL__PRINTABLE(item->name));
    else if (!mil__is_contiguous(tensor))
        status = mil_tensor_convert(tensor, tensor->dtype, &contiguous, err);
    if (status == MIL_OK) status = mil__access("save", tensor, false, err);
    if (status == MIL_OK) {
        status = put_pieces(s, contiguous ? contiguous : tensor, crc, err);
        mil__access_end(tensor);
    }
    mil_tensor_free(contiguous);
    mil_tensor_free(tensor);
    return status;
}

/* ---- a file ---- */

static bool same_name(const void *ctx, uint32_t i, const void *name) {
    return strcmp(((const mil__outgoing *)ctx)[i].name, name) == 0;
}

static mil_status check_names(const mil__outgoing *items, size_t n, mil_error *err) {
    mil__map seen = {0};
    mil_status status = n < UINT32_MAX - 2 ? MIL_OK : mil__nomem(err);
    for (size_t i = 0; status == MIL_OK && i < n; i++) {
        const char *name = items[i].name;
        uint64_t hash = mil__hash_text(name);
        if (!mil__is_utf8(name, strlen(name)))
            status = mil__fail(err, MIL_EVALUE, "save: the name \"%s\" is not UTF-8", MIL__PRINTABLE(name));
        else if (mil__map_find(&seen, hash, same_name, items, name) != MIL__NOT_FOUND)
            status = mil__fail(err, MIL_EVALUE, "save: the name \"%s\" is there twice", MIL__PRINTABLE(name));
        else if (!mil__map_add(&seen, hash, (uint32_t)i))
            status = mil__nomem(err);
    }
    mil__map_free(&seen);
    return status;
}

typedef enum ending { SAFETENSORS, NPZ, NPY } ending;

static mil_status check(const mil__weights_saving *s, ending *out, mil_error *err) {
    ending format = mil__path_ends_in(s->path, ".safetensors") ? SAFETENSORS : mil__path_ends_in(s->path, ".npz") ? NPZ : NPY;
    *out = format;
    if (format == NPY && !mil__path_ends_in(s->path, ".npy"))
        return mil__fail(err, MIL_EVALUE, "save: %.200s: the name must end in .safetensors, .npz or .npy", s->path);
    if (format == NPY && s->n != 1)
        return mil__fail(err, MIL_EVALUE, "save: an npy file holds one tensor, but %zu were given", s->n);
    if (format != SAFETENSORS && s->metadata && s->metadata[0])
        return mil__fail(err, MIL_EVALUE, "save: only safetensors files hold metadata");
    return format == NPY ? MIL_OK : check_names(s->items, s->n, err);
}

/* Frees the items. */
static mil_status save(mil__weights_saving *s, mil_error *err) {
    static mil_status (*const write[])(mil__weights_saving *, mil_error *) = {mil__safetensors_write, mil__npz_write, mil__npy_write};
    ending format;
    mil_status status = check(s, &format, err);
    for (size_t i = 0; i < s->n; i++) s->bytes += mil_tensor_bytes(&s->items[i].type);
    if (status == MIL_OK) status = mil__writer_open(s->path, &s->writer, err);
    if (status == MIL_OK) {
        status = write[format](s, err);
        if (status == MIL_OK) status = mil__writer_commit(&s->writer, err);
        else mil__writer_abandon(&s->writer);
    }
    mil__free(s->items);
    return status;
}

static mil_status make_items(mil__weights_saving *s, size_t n, mil_error *err) {
    s->n = n;
    s->items = mil__calloc(n ? n : 1, sizeof *s->items);
    return s->items ? MIL_OK : mil__nomem(err);
}

static void describe(mil__outgoing *item, const char *name, mil_dtype dtype, int rank, const int64_t *shape, size_t from) {
    item->name = name;
    item->from = from;
    mil__tensor_init(&item->type, dtype, rank, shape, NULL);
}

/* ---- tensors at hand ---- */

static mil_status get_given(const void *from, size_t i, mil_tensor **out, mil_error *err) {
    (void)err;
    *out = mil_tensor_retain((mil_tensor *)((const mil_named_tensor *)from)[i].tensor);
    return MIL_OK;
}

mil_status mil_weights_save(const char *path, const mil_named_tensor *tensors, size_t n, const char *const *metadata,
                            mil_error *err) {
    mil__weights_saving s = {.path = path, .get = get_given, .from = tensors, .metadata = metadata};
    MIL__TRY(make_items(&s, n, err));
    for (size_t i = 0; i < n; i++) {
        const mil_tensor *t = tensors[i].tensor;
        describe(&s.items[i], tensors[i].name, t->dtype, t->rank, t->shape, i);
    }
    return save(&s, err);
}

/* ---- those of a file ---- */

/* What was expanded or copied needs the file's pages no more. */
static mil_status get_from_file(const void *from, size_t i, mil_tensor **out, mil_error *err) {
    const mil_weights *weights = from;
    const mil__weight *weight = &weights->items[i];
    MIL__TRY(mil_weights_get(weights, weight->name, out, err));
    if ((*out)->buffer != weights->file)
        mil__buffer_give_back(weights->file, weights->data + weight->offset, (size_t)weight->bytes);
    return MIL_OK;
}

/* Formats that don't say a tensor's type before it is there (npy, npz) have it made for that. */
static mil_status describe_weight(const mil_weights *weights, size_t i, const char *name, mil__outgoing *out, mil_error *err) {
    const mil__weight *weight = &weights->items[i];
    if (weight->dtype != MIL_NO_DTYPE) {
        describe(out, name, weight->dtype, weight->rank, weight->shape, i);
        return MIL_OK;
    }
    mil_tensor *tensor;
    MIL__TRY(get_from_file(weights, i, &tensor, err));
    describe(out, name, tensor->dtype, tensor->rank, tensor->shape, i);
    mil_tensor_free(tensor);
    return MIL_OK;
}

/* The name of a file's tensor that has none (of an npy): the file's own without its folder and ending. */
static const char *name_of(const char *path, mil__arena *arena) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return mil__arena_text(arena, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static const char *value_text(const mil_tensor *value, mil__arena *arena) {
    char text[40];
    int64_t whole;
    double number = 0;
    if (value->dtype == MIL_BOOL) snprintf(text, sizeof text, "%s", *(const uint8_t *)value->data ? "true" : "false");
    else if (value->dtype == MIL_UINT64) snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)value->data);
    else if (mil_tensor_get_int(value, NULL, &whole, NULL) == MIL_OK) snprintf(text, sizeof text, "%" PRId64, whole);
    else if (mil_tensor_get(value, NULL, &number, NULL) == MIL_OK)
        snprintf(text, sizeof text, "%.*g", value->dtype == MIL_FP32 ? 9 : 17, number);
    return mil__arena_text(arena, text, strlen(text));
}

/* The metadata that safetensors can say: strings, and numbers as such. Lists (a vocabulary) are left out. */
static mil_status make_metadata(const mil_weights *weights, mil__arena *arena, const char *const **out, mil_error *err) {
    const char **pairs = mil__arena_zero(arena, 2 * weights->n_metadata + 1, sizeof *pairs);
    if (!pairs) return mil__nomem(err);
    *out = pairs;
    for (size_t i = 0; i < weights->n_metadata; i++) {
        const mil__metadatum *item = &weights->metadata[i];
        const char *text = item->text;
        if (!text && item->is_list) continue;
        if (!text) {
            mil_tensor *value;
            MIL__TRY(mil_weights_metadata_tensor(weights, item->key, &value, err));
            text = value_text(value, arena);
            mil_tensor_free(value);
            if (!text) return mil__nomem(err);
        }
        *pairs++ = item->key;
        *pairs++ = text;
    }
    return MIL_OK;
}

static mil_status describe_file(const mil_weights *weights, mil__weights_saving *s, mil__arena *arena, mil_error *err) {
    const char *no_name = name_of(weights->path, arena);
    if (!no_name) return mil__nomem(err);
    for (size_t i = 0; i < s->n; i++) {
        const mil__weight *weight = &weights->items[i];
        if (weight->unsupported) return mil_weights_get(weights, weight->name, NULL, err); /* which says so */
        MIL__TRY(describe_weight(weights, i, *weight->name ? weight->name : no_name, &s->items[i], err));
    }
    return mil__path_ends_in(s->path, ".safetensors") ? make_metadata(weights, arena, &s->metadata, err) : MIL_OK;
}

mil_status mil_weights_convert(const mil_weights *weights, const char *path, mil_progress *progress, void *progress_ctx,
                               mil_error *err) {
    mil__weights_saving s = {.path = path, .get = get_from_file, .from = weights, .progress = progress, .progress_ctx = progress_ctx};
    mil__arena arena = {0};
    MIL__TRY(make_items(&s, weights->n, err));
    mil_status status = describe_file(weights, &s, &arena, err);
    if (status == MIL_OK) status = save(&s, err);
    else mil__free(s.items);
    mil__arena_free(&arena);
    return status;
}
