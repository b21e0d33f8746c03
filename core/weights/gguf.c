/* SPDX-License-Identifier: MIT */
/* GGUF, the files of ggml and llama.cpp: metadata, then descriptions of tensors, then their bytes.
 *
 *     "GGUF"  u32 version  u64 number of tensors  u64 number of metadata
 *     metadata    string key, u32 type, value                      string: u64 length, bytes
 *     tensors     string name, u32 rank, u64 dims[rank], u32 type, u64 offset
 *     padding     to a multiple of general.alignment (32 where the metadata does not say)
 *     data        each tensor at its offset, padded to the same multiple
 *
 * dims begin with the one that is contiguous; shapes here are row-major, so they are reversed. Everything is checked when
 * the file is opened: tensors follow one another in order, without gaps. Values of metadata stay in the file until they are
 * asked for. */
#include <inttypes.h>
#include <stdio.h>

#include "weights/gguf_blocks.h"
#include "weights/weights.h"

enum { RANK_MAX = 4, NAME_MAX_BYTES = 64, KEY_MIN = 8 + 1 + 4 + 1, TENSOR_MIN = 8 + 4 + 4 + 8, ALIGNMENT = 32 };
enum { STRING = 8, ARRAY = 9 }; /* types of metadata */

static mil_status bad(const mil_weights *weights, mil_error *err, const char *name, const char *what) {
    return mil__weights_fail(weights, err, MIL_EFORMAT, name, "%s", what);
}

static mil_status cut(const mil_weights *weights, mil_error *err, const char *what) {
    return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "the file ends within %s", what);
}

/* ---- metadata ---- */

/* dtypes of values, by their types' numbers; strings and arrays apart. */
static mil_dtype value_dtype(uint32_t type) {
    static const mil_dtype dtypes[] = {MIL_UINT8, MIL_INT8,   MIL_UINT16,   MIL_INT16,  MIL_UINT32, MIL_INT32, MIL_FP32,
                                       MIL_BOOL,  MIL_STRING, MIL_NO_DTYPE, MIL_UINT64, MIL_INT64,  MIL_FP64};
    return type < MIL__COUNT(dtypes) ? dtypes[type] : MIL_NO_DTYPE;
}

/* A length and as many bytes; NULL: the file has not as many. */
static const char *take_string(mil__bytes *file, uint64_t *length) {
    *length = mil__bytes_u64(file);
    return (const char *)mil__bytes_take(file, *length);
}

/* Is it a name: UTF-8 without a 0 in it? */
static bool is_name(const char *s, uint64_t length) {
    return mil__is_utf8(s, (size_t)length) && !memchr(s, 0, (size_t)length);
}

/* Goes over count values; false where the file ends before. */
static bool skip_values(mil__bytes *file, mil_dtype dtype, uint64_t count) {
    uint64_t length, size = (uint64_t)mil_dtype_bits(dtype) / 8;
    if (dtype != MIL_STRING) return count <= file->n / size && mil__bytes_take(file, count * size);
    while (count-- > 0 && take_string(file, &length)) {}
    return !file->failed;
}

static mil_status read_value(mil_weights *weights, mil__bytes *file, mil__metadatum *out, mil_error *err) {
    uint32_t type = mil__bytes_u32(file);
    out->is_list = type == ARRAY;
    out->count = 1;
    if (out->is_list) {
        type = mil__bytes_u32(file);
        out->count = mil__bytes_u64(file);
    }
    if (file->failed) return cut(weights, err, "its metadata");
    out->dtype = value_dtype(type);
    if (out->is_list && type == ARRAY)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "metadata \"%s\": an array of arrays", MIL__PRINTABLE(out->key));
    if (out->dtype == MIL_NO_DTYPE)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "metadata \"%s\": the format has no type %" PRIu32,
                                 MIL__PRINTABLE(out->key), type);
    out->offset = file->at;
    if (!skip_values(file, out->dtype, out->count))
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "metadata \"%s\": the file ends within its value",
                                 MIL__PRINTABLE(out->key));
    if (type != STRING || out->is_list) return MIL_OK;
    const char *text = (const char *)weights->data + out->offset + 8;
    out->text = mil__arena_text(&weights->arena, text, (size_t)(file->at - out->offset - 8));
    return out->text ? MIL_OK : mil__nomem(err);
}

static mil_status read_metadata(mil_weights *weights, mil__bytes *file, uint64_t n, mil_error *err) {
    for (uint64_t i = 0; i < n; i++) {
        uint64_t length;
        const char *key = take_string(file, &length);
        mil__metadatum *item;
        if (!key) return cut(weights, err, "its metadata");
        if (length == 0 || !is_name(key, length))
            return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "metadata %" PRIu64 ": its key %s", i,
                                     length ? "is not UTF-8" : "is empty");
        MIL__TRY(mil__weights_add_metadata(weights, key, (size_t)length, &item, err));
        MIL__TRY(read_value(weights, file, item, err));
    }
    return MIL_OK;
}

static mil_status read_alignment(const mil_weights *weights, uint64_t *out, mil_error *err) {
    const mil__metadatum *item = mil__weights_metadatum(weights, "general.alignment");
    *out = ALIGNMENT;
    if (!item) return MIL_OK;
    if (item->dtype != MIL_UINT32 || item->is_list) return bad(weights, err, NULL, "general.alignment is no uint32");
    mil__bytes value = mil__bytes_part(weights->data, weights->bytes, item->offset, 4);
    *out = mil__bytes_u32(&value);
    if (*out != 0 && (*out & (*out - 1)) == 0) return MIL_OK;
    return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "general.alignment is %" PRIu64 ", which is no power of 2", *out);
}

static mil_status get_strings(const mil_weights *weights, const mil__metadatum *item, mil_tensor **out, mil_error *err) {
    mil__bytes file = mil__bytes_part(weights->data, weights->bytes, item->offset, weights->bytes - item->offset);
    size_t n = (size_t)item->count;
    const char **strings = mil__calloc(n + 1, sizeof *strings);
    size_t *lengths = mil__calloc(n + 1, sizeof *lengths);
    mil_status status = strings && lengths ? MIL_OK : mil__nomem(err);
    for (size_t i = 0; status == MIL_OK && i < n; i++) {
        uint64_t length;
        strings[i] = take_string(&file, &length);
        lengths[i] = (size_t)length;
    }
    if (status == MIL_OK) status = mil_tensor_strings(item->is_list, n, strings, lengths, out, err);
    mil__free(strings);
    mil__free(lengths);
    return status;
}

static mil_status get_metadata(const mil_weights *weights, const mil__metadatum *item, mil_tensor **out, mil_error *err) {
    if (item->dtype == MIL_STRING) return get_strings(weights, item, out, err);
    int64_t shape = (int64_t)item->count;
    return mil__weights_view(weights, item->dtype, item->is_list, &shape, item->offset, out, err);
}

/* ---- tensors ---- */

/* Dims, reversed, and the number of elements. */
static mil_status read_shape(const mil_weights *weights, mil__bytes *file, const char *name, mil__weight *out, int64_t *first,
                             int64_t *numel, mil_error *err) {
    uint32_t rank = mil__bytes_u32(file);
    *numel = *first = 1;
    if (rank > RANK_MAX)
        return mil__weights_fail(weights, err, MIL_EFORMAT, name, "%" PRIu32 " dims, more than %d", rank, RANK_MAX);
    out->rank = (int)rank;
    for (int i = 0; i < out->rank; i++) {
        uint64_t dim = mil__bytes_u64(file);
        if (dim > INT64_MAX || !mil__mul_dim(*numel, (int64_t)dim, numel))
            return bad(weights, err, name, "has more elements than 64 bits can count");
        if (i == 0) *first = (int64_t)dim;
        out->shape[out->rank - 1 - i] = (int64_t)dim;
    }
    return MIL_OK;
}

/* Marks a tensor that can't be had, by its type's name. */
static mil_status refuse(mil_weights *weights, const char *type, mil__weight *out, mil_error *err) {
    char text[32];
    int n = snprintf(text, sizeof text, "type %s", type);
    out->dtype = MIL_NO_DTYPE;
    out->unsupported = mil__arena_text(&weights->arena, text, (size_t)n);
    return out->unsupported ? MIL_OK : mil__nomem(err);
}

static mil_status read_type(mil_weights *weights, uint32_t id, const char *name, int64_t first, int64_t numel,
                            mil__weight *out, mil_error *err) {
    const mil__gguf_type *type = mil__gguf_type_of(id);
    int64_t bytes;
    if (!type) return mil__weights_fail(weights, err, MIL_EFORMAT, name, "the format has no type %" PRIu32, id);
    if (first % type->n != 0)
        return mil__weights_fail(weights, err, MIL_EFORMAT, name,
                                 "its rows of %" PRId64 " elements are no whole blocks of %d (%s)", first, type->n, type->name);
    if (!mil__mul_dim(numel / type->n, type->bytes, &bytes))
        return bad(weights, err, name, "has more bytes than 64 bits can count");
    out->bytes = (uint64_t)bytes;
    out->type = id;
    out->dtype = type->dtype != MIL_NO_DTYPE ? type->dtype : MIL_FP32;
    return type->dtype != MIL_NO_DTYPE || type->take_apart ? MIL_OK : refuse(weights, type->name, out, err);
}

static mil_status read_tensor(mil_weights *weights, mil__bytes *file, mil_error *err) {
    mil__weight found = {0}, *weight;
    uint64_t length;
    int64_t first, numel;
    const char *name = take_string(file, &length);
    if (!name) return cut(weights, err, "the descriptions of its tensors");
    if (length > NAME_MAX_BYTES)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "tensor %zu: its name has %" PRIu64 " bytes, more than %d",
                                 weights->n, length, NAME_MAX_BYTES);
    if (!is_name(name, length))
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "tensor %zu: its name is not UTF-8", weights->n);
    MIL__TRY(mil__weights_add(weights, name, (size_t)length, &weight, err));
    MIL__TRY(read_shape(weights, file, weight->name, &found, &first, &numel, err));
    uint32_t type = mil__bytes_u32(file);
    found.offset = mil__bytes_u64(file);
    if (file->failed) return cut(weights, err, "the descriptions of its tensors");
    MIL__TRY(read_type(weights, type, weight->name, first, numel, &found, err));
    found.name = weight->name;
    *weight = found;
    return MIL_OK;
}

/* Each tensor begins where the one before ended, padded; makes offsets into offsets in the file. */
static mil_status check_places(mil_weights *weights, uint64_t alignment, uint64_t described, mil_error *err) {
    uint64_t data_at = (described + alignment - 1) & ~(alignment - 1), end = 0;
    uint64_t there = weights->bytes > data_at ? weights->bytes - data_at : 0;
    for (size_t i = 0; i < weights->n; i++) {
        mil__weight *w = &weights->items[i];
        if (w->offset != end)
            return mil__weights_fail(weights, err, MIL_EFORMAT, w->name,
                                     "begins at %" PRIu64 " of the data, but what is before it ends at %" PRIu64, w->offset, end);
        if (end > there || w->bytes > there - end)
            return mil__weights_fail(weights, err, MIL_EFORMAT, w->name,
                                     "takes %" PRIu64 " bytes at %" PRIu64 " of the data, which has %" PRIu64, w->bytes, end, there);
        end = (end + w->bytes + alignment - 1) & ~(alignment - 1);
        w->offset += data_at;
        if (w->bytes == 0) w->offset = 0; /* padding before it may be missing */
    }
    return MIL_OK;
}

/* ---- the format ---- */

static mil_status check_version(const mil_weights *weights, uint32_t version, mil_error *err) {
    if (version != 0 && (version & 0xffff) == 0)
        return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, NULL, "big-endian files are not supported");
    if (version == 2 || version == 3) return MIL_OK;
    return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, NULL, "version %" PRIu32 " is not supported, but 2 and 3 are", version);
}

static mil_status open_gguf(mil_weights *weights, mil_error *err) {
    mil__bytes file = mil__bytes_part(weights->data, weights->bytes, 0, weights->bytes);
    const uint8_t *magic = mil__bytes_take(&file, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0) return bad(weights, err, NULL, "does not begin with \"GGUF\"");
    uint32_t version = mil__bytes_u32(&file);
    uint64_t n_tensors = mil__bytes_u64(&file), n_metadata = mil__bytes_u64(&file), alignment;
    if (!file.failed || weights->bytes >= 8) MIL__TRY(check_version(weights, version, err));
    if (file.failed) return cut(weights, err, "its header");
    size_t rest = file.n - file.at;
    if (n_tensors > rest / TENSOR_MIN || n_metadata > rest / KEY_MIN)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL,
                                 "%" PRIu64 " tensors and %" PRIu64 " metadata, for which %zu bytes have no room", n_tensors,
                                 n_metadata, weights->bytes);
    MIL__TRY(read_metadata(weights, &file, n_metadata, err));
    MIL__TRY(read_alignment(weights, &alignment, err));
    for (uint64_t i = 0; i < n_tensors; i++) MIL__TRY(read_tensor(weights, &file, err));
    return check_places(weights, alignment, file.at, err);
}

static mil_status get_gguf(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err) {
    const mil__gguf_type *type = mil__gguf_type_of(weight->type);
    if (!type->take_apart)
        return mil__weights_view(weights, weight->dtype, weight->rank, weight->shape, weight->offset, out, err);
    mil_tensor *expanded;
    MIL__TRY(mil__tensor_raw(MIL_FP32, weight->rank, weight->shape, &expanded, err));
    mil__gguf_expand(type, weights->data + weight->offset, (int64_t)weight->bytes / type->bytes, expanded->data);
    *out = expanded;
    return MIL_OK;
}

/* ---- quantised tensors as they are ---- */

/* The scales in fp16, where that changes none of them. */
static mil_status narrow(const mil_weights *weights, const mil__weight *weight, mil_tensor **scale, mil_error *err) {
    mil_tensor *wide = *scale, *half;
    MIL__TRY(mil_tensor_convert(wide, MIL_FP16, &half, err));
    const float *f = wide->data;
    const uint16_t *h = half->data;
    for (int64_t i = 0; i < mil__numel(wide); i++) {
        float back = mil__half_to_float(h[i]);
        if (back == f[i] || back != back) continue;
        mil_tensor_free(half);
        return mil__weights_fail(weights, err, MIL_EVALUE, weight->name,
                                 "its scale %g does not fit fp16 exactly (%s; fp32 holds it)", (double)f[i],
                                 mil__gguf_type_of(weight->type)->name);
    }
    mil_tensor_free(wide);
    *scale = half;
    return MIL_OK;
}

static mil_status get_quantized(const mil_weights *weights, const mil__weight *weight, mil_dtype scale_dtype, mil_tensor **data,
                                mil_tensor **scale, mil_error *err) {
    const mil__gguf_type *type = mil__gguf_type_of(weight->type);
    mil_tensor *q = NULL, *scales = NULL;
    int64_t shape[MIL_MAX_RANK];
    if (!type->take_apart || type->has_least)
        return mil__weights_fail(weights, err, MIL_EUNSUPPORTED, weight->name, "type %s is %s", type->name,
                                 type->take_apart ? "not made of integers and scales alone" : "not quantised");
    for (int i = 0; i < weight->rank; i++) shape[i] = weight->shape[i];
    shape[weight->rank - 1] /= type->group; /* blocks fill whole rows, so there is one */
    mil_status status = mil__tensor_raw(type->q_dtype, weight->rank, weight->shape, &q, err);
    if (status == MIL_OK) status = mil__tensor_raw(MIL_FP32, weight->rank, shape, &scales, err);
    if (status == MIL_OK)
        mil__gguf_split(type, weights->data + weight->offset, (int64_t)weight->bytes / type->bytes, q->data, scales->data);
    if (status == MIL_OK && scale_dtype == MIL_FP16) status = narrow(weights, weight, &scales, err);
    if (status == MIL_OK) {
        *data = q;
        *scale = scales;
        return MIL_OK;
    }
    mil_tensor_free(q);
    mil_tensor_free(scales);
    return status;
}

static const char *type_name(const mil__weight *weight) {
    const mil__gguf_type *type = mil__gguf_type_of(weight->type);
    return type->dtype == MIL_NO_DTYPE ? type->name : NULL;
}

const mil__weights_format mil__gguf = {"gguf", open_gguf, get_gguf, get_metadata, get_quantized, type_name};
