/* SPDX-License-Identifier: MIT */
/* Buffers: where the bytes of tensors live, and who counts their users.
 *
 *   MIL_HEAP      one allocation:  [ mil_buffer | up to 63 | data, aligned to 64 ]
 *   MIL_SHARED    memory that other processes and devices see: shared.c
 *   MIL_MAPPED    a file, mapped read-only, or read where it can't be
 *   MIL_BORROWED  someone else's, with what is to be called at the end
 *
 * A buffer is frozen when a tensor over it becomes a const of a program: it stays readable, and never thaws. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tensor/buffer.h"

enum { HEAP_ALIGN = 64 };

void mil__buffer_init(mil_buffer *buffer, mil_buffer_kind kind, void *data, size_t bytes, bool writable) {
    memset((void *)buffer, 0, sizeof *buffer);
    atomic_init(&buffer->count, 1);
    atomic_init(&buffer->frozen, false);
    atomic_init(&buffer->locks, 0);
    buffer->kind = kind;
    buffer->data = data;
    buffer->bytes = bytes;
    buffer->writable = writable;
    buffer->fd = -1;
}

/* ---- heap ---- */

mil_status mil__buffer_raw(size_t bytes, mil_buffer **out, mil_error *err) {
    size_t before = sizeof(mil_buffer) + HEAP_ALIGN - 1;
    if (bytes > PTRDIFF_MAX - before) return mil__nomem(err);
    mil_buffer *buffer = mil__alloc(before + bytes);
    if (!buffer) return mil__nomem(err);
    uintptr_t address = ((uintptr_t)buffer + before) & ~(uintptr_t)(HEAP_ALIGN - 1);
    mil__buffer_init(buffer, MIL_HEAP, (char *)buffer + (address - (uintptr_t)buffer), bytes, true);
    *out = buffer;
    return MIL_OK;
}

mil_status mil_buffer_new(size_t bytes, mil_buffer **out, mil_error *err) {
    MIL__TRY(mil__buffer_raw(bytes, out, err));
    memset((*out)->data, 0, bytes);
    return MIL_OK;
}

/* ---- mapped, borrowed ---- */

mil_status mil_buffer_map(const char *path, mil_buffer **out, mil_error *err) {
    mil__file file;
    MIL__TRY(mil__file_open(path, &file, err));
    mil_buffer *buffer = mil__alloc(sizeof *buffer);
    if (!buffer) {
        mil__file_close(&file);
        return mil__nomem(err);
    }
    mil__buffer_init(buffer, MIL_MAPPED, file.data, file.bytes, false);
    buffer->file = file;
    *out = buffer;
    return MIL_OK;
}

mil_status mil_buffer_borrow(void *data, size_t bytes, bool writable, void (*release)(void *ctx, void *data), void *ctx,
                             mil_buffer **out, mil_error *err) {
    if (!data && bytes) return mil__fail(err, MIL_EINVAL, "borrow: a null pointer was given for %zu bytes", bytes);
    mil_buffer *buffer = mil__alloc(sizeof *buffer);
    if (!buffer) return mil__nomem(err);
    mil__buffer_init(buffer, MIL_BORROWED, data, bytes, writable);
    buffer->release = release;
    buffer->ctx = ctx;
    *out = buffer;
    return MIL_OK;
}

/* ---- counting ---- */

mil_buffer *mil_buffer_retain(mil_buffer *buffer) {
    if (buffer) atomic_fetch_add_explicit(&buffer->count, 1, memory_order_relaxed);
    return buffer;
}

void mil_buffer_free(mil_buffer *buffer) {
    if (!buffer || atomic_fetch_sub_explicit(&buffer->count, 1, memory_order_acq_rel) != 1) return;
    switch (buffer->kind) {
    case MIL_HEAP: break;
    case MIL_SHARED: mil__shared_release(buffer); break;
    case MIL_MAPPED: mil__file_close(&buffer->file); break;
    case MIL_BORROWED:
        if (buffer->release) buffer->release(buffer->ctx, buffer->data);
        break;
    }
    mil__free(buffer);
}

/* ---- looking, freezing ---- */

mil_buffer_kind mil_buffer_kind_of(const mil_buffer *buffer) { return buffer->kind; }
void *mil_buffer_data(const mil_buffer *buffer) { return buffer->data; }
size_t mil_buffer_bytes(const mil_buffer *buffer) { return buffer->bytes; }

bool mil_buffer_writable(const mil_buffer *buffer) {
    return buffer->writable && !atomic_load_explicit(&buffer->frozen, memory_order_relaxed);
}

void mil__buffer_give_back(const mil_buffer *buffer, const void *data, size_t bytes) {
    if (!buffer || buffer->kind != MIL_MAPPED || !buffer->file.mapped) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE); /* whole ones only */
    uintptr_t begin = ((uintptr_t)data + page - 1) / page * page, end = ((uintptr_t)data + bytes) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

int mil__buffer_holds(const mil_buffer *buffer) { return atomic_load_explicit(&buffer->count, memory_order_acquire); }

void mil_buffer_freeze(mil_buffer *buffer) { atomic_store_explicit(&buffer->frozen, true, memory_order_relaxed); }

const char *mil__buffer_why_not(const mil_buffer *buffer) {
    if (mil_buffer_writable(buffer)) return NULL;
    if (buffer->writable) return "it is a const of a program";
    switch (buffer->kind) {
    case MIL_MAPPED: return "it is mapped from a file, read-only";
    case MIL_SHARED: return "it is shared memory that was given for reading only";
    default: return "it is borrowed memory that was given for reading only";
    }
}
