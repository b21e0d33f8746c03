/* SPDX-License-Identifier: MIT */
/* MILBlob storage. Little-endian throughout:
 *
 *     0     u32 count, u32 version (2), zeros to 64
 *     64    a record: u32 0xdeadbeef, u32 dtype code, u64 bytes, u64 offset of the data, u64 unused bits of the last
 *           byte (sub-byte dtypes), 32 bytes reserved
 *     128   its data; then, from the next multiple of 64 on, the next record
 *
 * A program gives a record's offset. The count is not needed to follow it, and hand-written files get it wrong; some also
 * pack their records without the gaps, so an offset is any at which a record stands. */
#include <stdio.h>
#include <unistd.h>

#include "tensor/tensor.h"
#include "weights/milblob.h"

enum { HEADER = 64, RECORD = 64, VERSION = 2 };

static const mil_dtype dtypes[] = { /* by the record's code */
    MIL_NO_DTYPE, MIL_FP16, MIL_FP32, MIL_UINT8, MIL_INT8, MIL_BF16, MIL_INT16, MIL_UINT16, MIL_INT4,
    MIL_UINT1, MIL_UINT2, MIL_UINT4, MIL_UINT3, MIL_UINT6, MIL_INT32, MIL_UINT32};

static const char *name_of(uint64_t code) {
    static const char *const fp8[] = {"fp8 (e4m3fn)", "fp8 (e5m2)"};
    if (code - 16 < 2) return fp8[code - 16]; /* no tensor has them */
    return code && code < MIL__COUNT(dtypes) ? mil_dtype_name(dtypes[code]) : "no dtype that is known";
}

unsigned mil__milblob_code(mil_dtype dtype) {
    unsigned code = MIL__COUNT(dtypes) - 1;
    while (code && dtypes[code] != dtype) code--;
    return code;
}

static uint64_t little_endian(const uint8_t *p, int bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | p[bytes];
    return value;
}

mil_status mil__milblob_tensor(mil_buffer *file, uint64_t offset, mil_dtype dtype, int rank, const int64_t *shape,
                               mil_tensor **out, mil_error *err) {
    const uint8_t *bytes = mil_buffer_data(file);
    uint64_t size = mil_buffer_bytes(file);
    if (size < HEADER) return mil__fail(err, MIL_EFORMAT, "MILBlob: %llu bytes are less than a header", (unsigned long long)size);
    unsigned version = (unsigned)little_endian(bytes + 4, 4);
    if (version != VERSION) return mil__fail(err, MIL_EFORMAT, "MILBlob: version %u; only 2 is known", version);
    if (offset < HEADER || offset > size || size - offset < RECORD)
        return mil__fail(err, MIL_EFORMAT, "MILBlob: no record can be at offset %llu of %llu bytes",
                         (unsigned long long)offset, (unsigned long long)size);
    const uint8_t *record = bytes + offset;
    if (little_endian(record, 4) != 0xdeadbeef)
        return mil__fail(err, MIL_EFORMAT, "MILBlob: there is no record at offset %llu", (unsigned long long)offset);
    uint64_t code = little_endian(record + 4, 4), stored = little_endian(record + 8, 8), data = little_endian(record + 16, 8);
    mil_dtype found = code < MIL__COUNT(dtypes) ? dtypes[code] : MIL_NO_DTYPE;
    if (found != dtype)
        return mil__fail(err, MIL_EFORMAT, "MILBlob: the record at offset %llu is of %s (code %llu), not %s",
                         (unsigned long long)offset, name_of(code), (unsigned long long)code, mil_dtype_name(dtype));
    int64_t numel;
    size_t wanted;
    if (!mil__shape_numel(rank, shape, &numel) || !mil__dtype_bytes(dtype, numel, &wanted) || wanted != stored)
        return mil__fail(err, MIL_EFORMAT, "MILBlob: the record at offset %llu has %llu bytes; %s%s takes another number",
                         (unsigned long long)offset, (unsigned long long)stored, mil_dtype_name(dtype),
                         MIL__SHAPE_TEXT(rank, shape));
    if (data > size || size - data < stored || data % (unsigned)((mil_dtype_bits(dtype) + 7) / 8) != 0)
        return mil__fail(err, MIL_EFORMAT, "MILBlob: the data of the record at offset %llu is outside of the file or misaligned",
                         (unsigned long long)offset);
    return mil_tensor_over(file, (size_t)data, dtype, rank, shape, NULL, out, err);
}

/* ---- files by name ---- */

/* A large file that Git has not fetched has a few lines of text for it, under its name. */
static bool is_lfs_pointer(const mil_buffer *file) {
    static const char lfs[] = "version https://git-lfs";
    return mil_buffer_bytes(file) >= sizeof lfs && memcmp(mil_buffer_data(file), lfs, sizeof lfs - 1) == 0;
}

static mil_status absent(mil_error *err, const char *path, const char *why) {
    mil__fail(err, MIL_EIO, "weights file %.200s is %s", path, why);
    if (err) snprintf(err->file, sizeof err->file, "%s", path);
    return MIL_EIO;
}

/* Where the file is, below the directory that stands for @model_path and nowhere else; owned. As named, or by the last part
 * of the name alone. */
mil_status mil__blobs_find(const char *model_path, const char *path, char **out, mil_error *err) {
    static const char root[] = "@model_path/";
    bool inside = strncmp(path, root, sizeof root - 1) == 0;
    const char *rest = path + sizeof root - 1;
    for (const char *part = rest; inside && part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        inside = strncmp(part, "..", 2) != 0 || (part[2] != '/' && part[2] != 0);
    if (!inside) return mil__fail(err, MIL_EFORMAT, "weights file \"%.100s\" is not below @model_path", path);
    const char *last = strrchr(path, '/') + 1;
    const char *names[][2] = {{"/", last}, {"/weights/", last}, {"/", rest}}; /* the last is what is named */
    size_t n = strlen(model_path) + sizeof "/weights/" + strlen(rest);
    *out = mil__alloc(n);
    if (!*out) return mil__nomem(err);
    for (size_t i = MIL__COUNT(names); i-- > 0;) {
        snprintf(*out, n, "%s%s%s", model_path, names[i][0], names[i][1]);
        if (access(*out, F_OK) == 0) return MIL_OK;
    }
    snprintf(*out, n, "%s/%s", model_path, rest);
    return MIL_OK;
}

/* Maps it; *out NULL where it is not there, and may be. */
static mil_status map_file(const mil__blobs *blobs, const char *path, mil_buffer **out, mil_error *err) {
    char *full;
    MIL__TRY(mil__blobs_find(blobs->model_path, path, &full, err));
    bool is_absent = access(full, F_OK) != 0;
    mil_status status = MIL_OK;
    if (!is_absent) status = mil_buffer_map(full, out, err);
    else if (!blobs->may_be_absent) status = absent(err, full, "not there");
    if (status == MIL_OK && *out && is_lfs_pointer(*out)) {
        mil_buffer_free(*out);
        *out = NULL;
        if (!blobs->may_be_absent) status = absent(err, full, "a Git LFS pointer, not the file it stands for");
    }
    mil__free(full);
    return status;
}

static bool is_path(const void *ctx, uint32_t i, const void *key) {
    return strcmp(((const mil__blobs *)ctx)->files[i].path, key) == 0;
}

static bool has_room(mil__blobs *blobs) {
    if (blobs->n < blobs->cap) return true;
    uint32_t cap = blobs->cap ? blobs->cap * 2 : 4;
    mil__blob_file *files = cap > blobs->cap ? mil__realloc(blobs->files, cap * sizeof *files) : NULL;
    if (!files) return false;
    blobs->files = files;
    blobs->cap = cap;
    return true;
}

/* Adds the file, which is of no name that is there. */
static mil_status add_file(mil__blobs *blobs, const char *path, mil_error *err) {
    mil_buffer *file = NULL;
    MIL__TRY(map_file(blobs, path, &file, err));
    char *copy = has_room(blobs) ? mil__strdup(path) : NULL;
    if (!copy || !mil__map_add(&blobs->known, mil__hash_text(path), blobs->n)) {
        mil__free(copy);
        mil_buffer_free(file);
        return mil__nomem(err);
    }
    blobs->last = blobs->n;
    blobs->files[blobs->n++] = (mil__blob_file){copy, file};
    return MIL_OK;
}

/* Shared; NULL as above. Each name is looked up once. */
static mil_status open_file(mil__blobs *blobs, const char *path, mil_buffer **out, mil_error *err) {
    if (!blobs->n || !is_path(blobs, blobs->last, path)) {
        uint32_t found = mil__map_find(&blobs->known, mil__hash_text(path), is_path, blobs, path);
        if (found != MIL__NOT_FOUND) blobs->last = found;
        else MIL__TRY(add_file(blobs, path, err));
    }
    mil_buffer *file = blobs->files[blobs->last].file;
    *out = file ? mil_buffer_retain(file) : NULL;
    return MIL_OK;
}

mil_status mil__blobs_tensor(mil__blobs *blobs, const char *path, uint64_t offset, mil_dtype dtype, int rank,
                             const int64_t *shape, mil_tensor **out, mil_error *err) {
    mil_buffer *file = NULL;
    MIL__TRY(open_file(blobs, path, &file, err));
    mil_status status = file ? mil__milblob_tensor(file, offset, dtype, rank, shape, out, err) : MIL_OK;
    mil_buffer_free(file);
    return status;
}

void mil__blobs_free(mil__blobs *blobs) {
    for (uint32_t i = 0; i < blobs->n; i++) {
        mil__free(blobs->files[i].path);
        mil_buffer_free(blobs->files[i].file);
    }
    mil__free(blobs->files);
    mil__map_free(&blobs->known);
}
