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

#include "tensor/tensor.h"
#include "weights/milblob.h"

enum { HEADER = 64, RECORD = 64, VERSION = 2 };

static const mil_dtype dtypes[] = { /* by the record's code */
    MIL_NO_DTYPE, MIL_FP16, MIL_FP32, MIL_UINT8, MIL_INT8, MIL_BF16, MIL_INT16, MIL_UINT16, MIL_INT4,
    MIL_UINT1, MIL_UINT2, MIL_UINT4, MIL_UINT3, MIL_UINT6, MIL_INT32, MIL_UINT32};

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
                         (unsigned long long)offset, mil_dtype_name(found), (unsigned long long)code, mil_dtype_name(dtype));
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

static mil_status open_file(mil__blobs *blobs, const char *path, mil_buffer **out, mil_error *err) {
    for (int i = 0; i < blobs->n; i++)
        if (strcmp(blobs->files[i].path, path) == 0) return *out = mil_buffer_retain(blobs->files[i].file), MIL_OK;
    MIL__TRY(mil_buffer_map(path, out, err));
    char *copy = blobs->n < MIL__BLOB_FILES ? mil__strdup(path) : NULL;
    if (!copy) return MIL_OK; /* opened anew next time */
    blobs->files[blobs->n].path = copy;
    blobs->files[blobs->n++].file = mil_buffer_retain(*out);
    return MIL_OK;
}

/* Below the directory that stands for @model_path, and nowhere else. */
static mil_status full_path(const mil__blobs *blobs, const char *path, char **out, mil_error *err) {
    static const char root[] = "@model_path/";
    const char *rest = path + sizeof root - 1;
    bool inside = strncmp(path, root, sizeof root - 1) == 0;
    for (const char *part = rest; inside && part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        inside = strncmp(part, "..", 2) != 0 || (part[2] != '/' && part[2] != 0);
    if (!inside) return mil__fail(err, MIL_EFORMAT, "weights file \"%.100s\" is not below @model_path", path);
    size_t n = strlen(blobs->model_path) + strlen(rest) + 2;
    *out = mil__alloc(n);
    if (!*out) return mil__nomem(err);
    snprintf(*out, n, "%s/%s", blobs->model_path, rest);
    return MIL_OK;
}

mil_status mil__blobs_tensor(mil__blobs *blobs, const char *path, uint64_t offset, mil_dtype dtype, int rank,
                             const int64_t *shape, mil_tensor **out, mil_error *err) {
    char *full;
    mil_buffer *file = NULL;
    MIL__TRY(full_path(blobs, path, &full, err));
    mil_status status = open_file(blobs, full, &file, err);
    mil__free(full);
    if (status == MIL_OK) status = mil__milblob_tensor(file, offset, dtype, rank, shape, out, err);
    mil_buffer_free(file);
    return status;
}

void mil__blobs_free(mil__blobs *blobs) {
    for (int i = 0; i < blobs->n; i++) {
        mil__free(blobs->files[i].path);
        mil_buffer_free(blobs->files[i].file);
    }
}
