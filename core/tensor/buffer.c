/* SPDX-License-Identifier: MIT */
/* Buffers: where the bytes of tensors live, and who counts their users.
 *
 *   MIL_HEAP      one allocation:  [ mil_buffer | up to 63 | data, aligned to 64 ]
 *   MIL_SHARED    a memfd, mapped; the descriptor is the handle that another process gets
 *   MIL_MAPPED    a file, mapped read-only, or read where it can't be
 *   MIL_BORROWED  someone else's, with what is to be called at the end
 *
 * A buffer is frozen when a tensor over it becomes a const of a program: it stays readable, and never thaws. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tensor/tensor.h"

enum { HEAP_ALIGN = 64 };

struct mil_buffer {
    atomic_int count;
    mil_buffer_kind kind;
    bool writable;        /* before freezing */
    atomic_bool frozen;
    atomic_int locks;
    int fd;               /* MIL_SHARED */
    void *data;
    size_t bytes;
    mil__file file;       /* MIL_MAPPED */
    void (*release)(void *ctx, void *data); /* MIL_BORROWED */
    void *ctx;
};

static void init(mil_buffer *buffer, mil_buffer_kind kind, void *data, size_t bytes, bool writable) {
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
    init(buffer, MIL_HEAP, (char *)buffer + (address - (uintptr_t)buffer), bytes, true);
    *out = buffer;
    return MIL_OK;
}

mil_status mil_buffer_new(size_t bytes, mil_buffer **out, mil_error *err) {
    MIL__TRY(mil__buffer_raw(bytes, out, err));
    memset((*out)->data, 0, bytes);
    return MIL_OK;
}

/* ---- shared ---- */

static size_t mapping_bytes(size_t bytes) { return bytes ? bytes : 1; } /* a mapping can't be empty */

/* Maps fd, which the buffer takes, also on failure. */
static mil_status over_fd(int fd, size_t bytes, mil_buffer **out, mil_error *err) {
    bool writable = true;
    void *data = mmap(NULL, mapping_bytes(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED && (errno == EACCES || errno == EPERM)) {
        writable = false;
        data = mmap(NULL, mapping_bytes(bytes), PROT_READ, MAP_SHARED, fd, 0);
    }
    if (data == MAP_FAILED) {
        int error = errno;
        close(fd);
        return mil__fail(err, error == ENOMEM ? MIL_ENOMEM : MIL_EIO, "cannot map shared memory of %zu bytes: %s", bytes,
                         strerror(error));
    }
    mil_buffer *buffer = mil__alloc(sizeof *buffer);
    if (!buffer) {
        munmap(data, mapping_bytes(bytes));
        close(fd);
        return mil__nomem(err);
    }
    init(buffer, MIL_SHARED, data, bytes, writable);
    buffer->fd = fd;
    *out = buffer;
    return MIL_OK;
}

#ifdef __linux__
mil_status mil_buffer_shared(size_t bytes, mil_buffer **out, mil_error *err) {
    if (bytes > PTRDIFF_MAX) return mil__nomem(err);
    int fd = memfd_create("mil", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return mil__fail(err, MIL_EIO, "cannot make shared memory: %s", strerror(errno));
    if (ftruncate(fd, (off_t)bytes) != 0) {
        int error = errno;
        close(fd);
        return mil__fail(err, MIL_EIO, "cannot make shared memory of %zu bytes: %s", bytes, strerror(error));
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK); /* nobody can take away what others have mapped */
    return over_fd(fd, bytes, out, err);
}
#else
mil_status mil_buffer_shared(size_t bytes, mil_buffer **out, mil_error *err) {
    (void)bytes, (void)out;
    return mil__fail(err, MIL_EUNSUPPORTED, "shared memory by file descriptor is not available on this system");
}
#endif

mil_status mil_buffer_import(int fd, mil_buffer **out, mil_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: %s", fd, strerror(errno));
    if (!S_ISREG(info.st_mode)) return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: not memory", fd);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: %s", fd, strerror(errno));
    return over_fd(copy, (size_t)info.st_size, out, err);
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
    init(buffer, MIL_MAPPED, file.data, file.bytes, false);
    buffer->file = file;
    *out = buffer;
    return MIL_OK;
}

mil_status mil_buffer_borrow(void *data, size_t bytes, bool writable, void (*release)(void *ctx, void *data), void *ctx,
                             mil_buffer **out, mil_error *err) {
    if (!data && bytes) return mil__fail(err, MIL_EINVAL, "borrow: a null pointer was given for %zu bytes", bytes);
    mil_buffer *buffer = mil__alloc(sizeof *buffer);
    if (!buffer) return mil__nomem(err);
    init(buffer, MIL_BORROWED, data, bytes, writable);
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
    case MIL_SHARED:
        munmap(buffer->data, mapping_bytes(buffer->bytes));
        close(buffer->fd);
        break;
    case MIL_MAPPED: mil__file_close(&buffer->file); break;
    case MIL_BORROWED:
        if (buffer->release) buffer->release(buffer->ctx, buffer->data);
        break;
    }
    mil__free(buffer);
}

/* ---- looking, freezing, locking ---- */

mil_buffer_kind mil_buffer_kind_of(const mil_buffer *buffer) { return buffer->kind; }
void *mil_buffer_data(const mil_buffer *buffer) { return buffer->data; }
size_t mil_buffer_bytes(const mil_buffer *buffer) { return buffer->bytes; }
int mil_buffer_fd(const mil_buffer *buffer) { return buffer->fd; }

bool mil_buffer_writable(const mil_buffer *buffer) {
    return buffer->writable && !atomic_load_explicit(&buffer->frozen, memory_order_relaxed);
}

void mil__buffer_give_back(const mil_buffer *buffer, const void *data, size_t bytes) {
    if (!buffer || buffer->kind != MIL_MAPPED || !buffer->file.mapped) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE); /* whole ones only */
    uintptr_t begin = ((uintptr_t)data + page - 1) / page * page, end = ((uintptr_t)data + bytes) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

bool mil__buffer_held_once(const mil_buffer *buffer) {
    return atomic_load_explicit(&buffer->count, memory_order_acquire) == 1;
}

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

mil_status mil_buffer_lock(mil_buffer *buffer, bool for_writing, mil_error *err) {
    const char *why_not = for_writing ? mil__buffer_why_not(buffer) : NULL;
    if (why_not) return mil__fail(err, MIL_ESTATE, "lock: the buffer cannot be written: %s", why_not);
    atomic_fetch_add(&buffer->locks, 1);
    return MIL_OK;
}

mil_status mil_buffer_unlock(mil_buffer *buffer, mil_error *err) {
    int locks = atomic_load(&buffer->locks);
    do {
        if (locks == 0) return mil__fail(err, MIL_ESTATE, "unlock: the buffer is not locked");
    } while (!atomic_compare_exchange_weak(&buffer->locks, &locks, locks - 1));
    return MIL_OK;
}
