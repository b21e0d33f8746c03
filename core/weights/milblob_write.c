/* SPDX-License-Identifier: MIT */
/* Writing MILBlob storage; milblob.c has the format. Elements go out in pieces, so that weights of any size take no
 * memory of their own; pages of mapped files are given back behind the writer. */
#include <errno.h>

#include "base/bytes.h"
#include "tensor/tensor.h"
#include "weights/milblob.h"

enum { HEADER = 64, RECORD = 64, VERSION = 2, PIECE = 4 << 20, GATHERED = 8192 };

static const uint8_t zeros[64];

/* ---- the elements ---- */

/* What is to stop fails as a write does: nothing more is written, and nothing can be committed. */
static void report(mil__blob_writer *w, uint64_t bytes) {
    if (w->progress && !w->progress(w->progress_ctx, bytes)) w->file.error = ECANCELED;
}

static void put_contiguous(mil__blob_writer *w, const mil_tensor *tensor, size_t bytes) {
    const char *data = tensor->data;
    for (size_t at = 0; at < bytes && !w->file.error;) {
        size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        mil__writer_add(&w->file, data + at, n);
        mil__buffer_give_back(tensor->buffer, data + at, n);
        report(w, n);
        at += n;
    }
}

typedef struct gathering {
    mil__blob_writer *w;
    const mil_tensor *tensor;
    size_t element; /* bytes */
} gathering;

static void put_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    gathering *g = ctx;
    const char *from = (const char *)g->tensor->data + offsets[0] * (int64_t)g->element;
    char piece[GATHERED];
    int64_t step = steps[0] * (int64_t)g->element, most = (int64_t)(sizeof piece / g->element);
    while (n > 0 && !g->w->file.error) {
        int64_t m = n < most ? n : most;
        for (int64_t i = 0; i < m; i++, from += step) memcpy(piece + (size_t)i * g->element, from, g->element);
        mil__writer_add(&g->w->file, piece, (size_t)m * g->element);
        report(g->w, (uint64_t)m * g->element);
        n -= m;
    }
}

static void put_strided(mil__blob_writer *w, const mil_tensor *tensor) {
    gathering g = {w, tensor, (size_t)mil_dtype_bits(tensor->dtype) / 8};
    const int64_t *strides[] = {tensor->strides};
    mil__walk(tensor->rank, tensor->shape, 1, strides, put_run, &g);
}

/* ---- records ---- */

/* Of a tensor whose elements will follow the record, which is at `at`. */
static void make_record(uint8_t record[RECORD], const mil_tensor *tensor, uint64_t at) {
    size_t bytes = mil_tensor_bytes(tensor), bits = (size_t)mil_dtype_bits(tensor->dtype);
    uint8_t *p = memset(record, 0, RECORD);
    p = mil__put_u32(p, 0xdeadbeef);
    p = mil__put_u32(p, mil__milblob_code(tensor->dtype));
    p = mil__put_u64(p, bytes);
    p = mil__put_u64(p, at + RECORD);
    mil__put_u64(p, (8 * bytes - (size_t)mil__numel(tensor) * bits) % 8); /* bits of the last byte that are none of it */
}

static void put_record(mil__blob_writer *w, const mil_tensor *tensor) {
    uint8_t record[RECORD];
    make_record(record, tensor, w->file.written);
    mil__writer_add(&w->file, record, sizeof record);
}

static mil_status check_dtype(const mil_tensor *tensor, mil_error *err) {
    if (mil__milblob_code(tensor->dtype)) return MIL_OK;
    return mil__fail(err, MIL_EUNSUPPORTED, "MILBlob: %s can't be in a weights file", mil_dtype_name(tensor->dtype));
}

static void pad(mil__blob_writer *w) {
    size_t over = w->file.written % 64;
    if (over) mil__writer_add(&w->file, zeros, 64 - over);
}

static mil_status open_file(mil__blob_writer *w, mil_error *err) {
    if (w->is_open) return MIL_OK;
    MIL__TRY(mil__writer_open(w->path, &w->file, err));
    w->is_open = true;
    mil__writer_add(&w->file, zeros, HEADER);
    return MIL_OK;
}

/* ---- what was written already ---- */

static uint64_t hash_of(const mil__blob_entry *entry) {
    uint64_t key[3] = {(uintptr_t)entry->data, entry->bytes, entry->dtype};
    return mil__hash(key, sizeof key);
}

static bool is_same(const void *ctx, uint32_t number, const void *key) {
    const mil__blob_entry *have = &((const mil__blob_writer *)ctx)->entries[number], *sought = key;
    return have->data == sought->data && have->bytes == sought->bytes && have->dtype == sought->dtype;
}

static mil_status remember(mil__blob_writer *w, const mil__blob_entry *entry, mil_error *err) {
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 64;
        mil__blob_entry *entries = cap > w->cap ? mil__realloc(w->entries, cap * sizeof *entries) : NULL;
        if (!entries) return mil__nomem(err);
        w->entries = entries;
        w->cap = cap;
    }
    if (!mil__map_add(&w->known, hash_of(entry), w->n)) return mil__nomem(err);
    w->entries[w->n++] = *entry;
    return MIL_OK;
}

/* ---- the writer ---- */

mil_status mil__blob_add(mil__blob_writer *w, const mil_tensor *tensor, uint64_t *offset, mil_error *err) {
    MIL__TRY(check_dtype(tensor, err));
    size_t bytes = mil_tensor_bytes(tensor);
    bool is_contiguous = mil__is_contiguous(tensor);
    mil__blob_entry entry = {tensor->data, bytes, tensor->dtype, 0};
    uint32_t known = is_contiguous ? mil__map_find(&w->known, hash_of(&entry), is_same, w, &entry) : MIL__NOT_FOUND;
    if (known != MIL__NOT_FOUND) {
        report(w, bytes);
        return *offset = w->entries[known].offset, MIL_OK;
    }
    if (w->count == UINT32_MAX) return mil__fail(err, MIL_ELIMIT, "MILBlob: more than %u tensors", w->count);
    MIL__TRY(open_file(w, err));
    pad(w);
    entry.offset = w->file.written;
    if (is_contiguous) MIL__TRY(remember(w, &entry, err));
    put_record(w, tensor);
    if (is_contiguous) put_contiguous(w, tensor, bytes);
    else put_strided(w, tensor);
    w->count++;
    *offset = entry.offset;
    return w->file.error ? mil__fail_errno(err, "write", w->path, w->file.error) : MIL_OK;
}

static void forget(mil__blob_writer *w) {
    mil__free(w->entries);
    mil__map_free(&w->known);
    *w = (mil__blob_writer){0};
}

mil_status mil__blob_finish(mil__blob_writer *w, mil_error *err) {
    if (!w->is_open) return MIL_OK;
    uint8_t header[8];
    mil__put_u32(mil__put_u32(header, w->count), VERSION);
    mil__writer_patch(&w->file, 0, header, sizeof header);
    return mil__writer_finish(&w->file, err);
}

mil_status mil__blob_commit(mil__blob_writer *w, mil_error *err) {
    mil_status status = w->is_open ? mil__writer_commit(&w->file, err) : MIL_OK;
    forget(w);
    return status;
}

mil_status mil__blob_commit_with(mil__blob_writer *w, mil__writer *other, mil_error *err) {
    mil_status status = w->is_open ? mil__writer_commit_both(&w->file, other, err) : mil__writer_commit(other, err);
    forget(w);
    return status;
}

void mil__blob_abandon(mil__blob_writer *w) {
    if (w->is_open) mil__writer_abandon(&w->file);
    forget(w);
}

/* ---- in memory ---- */

static size_t rounded(size_t bytes) { return bytes + (64 - bytes % 64) % 64; }

/* What the file takes in all, and where the records are. */
static mil_status lay_out(const mil_tensor *const *tensors, size_t n, uint64_t *offsets, size_t *bytes, mil_error *err) {
    size_t at = HEADER;
    for (size_t i = 0; i < n; i++) {
        MIL__TRY(check_dtype(tensors[i], err));
        size_t each = mil_tensor_bytes(tensors[i]);
        offsets[i] = at;
        if (!mil__add_size(each, RECORD + 63, &each) || !mil__add_size(at, each - 63, &at) || at > SIZE_MAX - 63)
            return mil__nomem(err);
        at = i + 1 < n ? rounded(at) : at;
    }
    *bytes = at;
    return MIL_OK;
}

static mil_status copy_elements(uint8_t *to, const mil_tensor *tensor, mil_error *err) {
    mil_tensor *dense = NULL;
    size_t bytes = mil_tensor_bytes(tensor);
    if (!mil__is_contiguous(tensor)) MIL__TRY(mil_tensor_convert(tensor, tensor->dtype, &dense, err));
    if (bytes) memcpy(to, dense ? dense->data : tensor->data, bytes);
    if (!dense) mil__buffer_give_back(tensor->buffer, tensor->data, bytes);
    mil_tensor_free(dense);
    return MIL_OK;
}

mil_status mil__blob_bytes(const mil_tensor *const *tensors, size_t n, uint64_t *offsets, uint8_t **out, size_t *bytes,
                           mil_error *err) {
    size_t total = 0;
    MIL__TRY(lay_out(tensors, n, offsets, &total, err));
    uint8_t *made = mil__calloc(1, total);
    if (!made) return mil__nomem(err);
    mil__put_u32(mil__put_u32(made, (uint32_t)n), VERSION);
    mil_status status = MIL_OK;
    for (size_t i = 0; i < n && status == MIL_OK; i++) {
        make_record(made + offsets[i], tensors[i], offsets[i]);
        status = copy_elements(made + offsets[i] + RECORD, tensors[i], err);
    }
    if (status == MIL_OK) {
        *out = made;
        *bytes = total;
    } else {
        mil__free(made);
    }
    return status;
}
