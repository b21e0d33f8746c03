/* SPDX-License-Identifier: MIT */
/* Memory that other processes see, and devices: an IOSurface on macOS, a memfd on Linux.
 *
 *                 memfd                                    IOSurface
 *     another's   by its descriptor, inherited or sent     by its id, a number
 *     its size    as asked for, can't shrink (a seal)      in whole pages of 16 KiB
 *     locking     nothing                                  this process may touch it between lock and unlock only, and a
 *                                                          device may have it outside of them only
 *
 * One number says who has a surface: locks of this process count up from 0, runs of a device count down. The device's side
 * takes no lock of ours. Functions of tensors lock a surface for themselves (mil__access). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/buffer.h"

/* ---- IOSurfaces ---- */

enum { SURFACE_PAGE = 16384 };

static uint32_t options_of(bool for_writing) { return for_writing ? 0 : MIL__SURFACE_READ_ONLY; }

/* Where its memory is, which stays there: looked at under a lock, as every later lock does. fresh: filled with zeros. */
static mil_status find_memory(mil__iosurface surface, size_t bytes, bool fresh, void **out, mil_error *err) {
    int code = mil__apple.IOSurfaceLock(surface, options_of(fresh), NULL);
    if (code) return mil__fail(err, MIL_EIO, "shared memory: the IOSurface can't be locked (IOSurfaceLock gives 0x%x)", (unsigned)code);
    void *data = mil__apple.IOSurfaceGetBaseAddress(surface);
    if (data && fresh) memset(data, 0, bytes);
    code = mil__apple.IOSurfaceUnlock(surface, options_of(fresh), NULL);
    if (!data) return mil__fail(err, MIL_EIO, "shared memory: the IOSurface has no memory (IOSurfaceGetBaseAddress)");
    if (code) return mil__fail(err, MIL_EIO, "shared memory: the IOSurface can't be unlocked (IOSurfaceUnlock gives 0x%x)", (unsigned)code);
    *out = data;
    return MIL_OK;
}

/* bytes: of the whole surface, which the buffer takes, also on failure */
static mil_status over_surface(mil__iosurface surface, size_t bytes, bool fresh, mil_buffer **out, mil_error *err) {
    void *data = NULL;
    mil_buffer *buffer = mil__alloc(sizeof *buffer);
    mil_status status = buffer ? find_memory(surface, bytes, fresh, &data, err) : mil__nomem(err);
    if (status != MIL_OK) {
        mil__free(buffer);
        mil__surface_free(surface);
        return status;
    }
    mil__buffer_init(buffer, MIL_SHARED, data, bytes, true);
    pthread_mutex_init(&buffer->mutex, NULL);
    buffer->surface = surface;
    buffer->id = mil__apple.IOSurfaceGetID(surface);
    *out = buffer;
    return MIL_OK;
}

static mil_status new_surface(size_t bytes, mil_buffer **out, mil_error *err) {
    mil__iosurface surface;
    if (bytes > PTRDIFF_MAX - SURFACE_PAGE) return mil__nomem(err);
    size_t whole = (bytes + SURFACE_PAGE - 1) / SURFACE_PAGE * SURFACE_PAGE;
    MIL__TRY(mil__surface_new(whole ? whole : SURFACE_PAGE, true, &surface, err));
    return over_surface(surface, whole, true, out, err);
}

mil_status mil_buffer_import_id(uint32_t id, size_t bytes, mil_buffer **out, mil_error *err) {
    *out = NULL;
    MIL__TRY(mil__apple_open(MIL__APPLE_SURFACES, err));
    if (!mil__apple.IOSurfaceLookup) return mil__fail(err, MIL_EUNSUPPORTED, "IOSurface has no IOSurfaceLookup here");
    mil__iosurface surface = mil__apple.IOSurfaceLookup(id);
    if (!surface) return mil__fail(err, MIL_EIO, "cannot import IOSurface %u: there is none of that id", (unsigned)id);
    size_t whole = mil__apple.IOSurfaceGetAllocSize(surface);
    if (whole >= bytes) return over_surface(surface, whole, false, out, err);
    mil__surface_free(surface);
    return mil__fail(err, MIL_EVALUE, "cannot import IOSurface %u: it has %zu bytes, but %zu are wanted", (unsigned)id, whole, bytes);
}

/* ---- memfds ---- */

static size_t mapping_bytes(size_t bytes) { return bytes ? bytes : 1; } /* a mapping can't be empty */

#ifdef __linux__
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
    mil__buffer_init(buffer, MIL_SHARED, data, bytes, writable);
    buffer->fd = fd;
    *out = buffer;
    return MIL_OK;
}

static mil_status new_memfd(size_t bytes, mil_buffer **out, mil_error *err) {
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

mil_status mil_buffer_import(int fd, size_t bytes, mil_buffer **out, mil_error *err) {
    struct stat info;
    *out = NULL;
    if (fstat(fd, &info) != 0)
        return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: %s", fd, strerror(errno));
    if (!S_ISREG(info.st_mode)) return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: not memory", fd);
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: it could shrink, and whoever reads it would die of that; it is to be %s",
                         fd, seals < 0 ? "a memfd with the seal F_SEAL_SHRINK" : "given the seal F_SEAL_SHRINK first");
    if ((uint64_t)info.st_size < bytes)
        return mil__fail(err, MIL_EVALUE, "cannot import file descriptor %d: it has %lld bytes, but %zu are wanted", fd,
                         (long long)info.st_size, bytes);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return mil__fail(err, MIL_EIO, "cannot import file descriptor %d: %s", fd, strerror(errno));
    return over_fd(copy, (size_t)info.st_size, out, err);
}
#else
static mil_status new_memfd(size_t bytes, mil_buffer **out, mil_error *err) {
    (void)bytes, (void)out;
    return mil__fail(err, MIL_EUNSUPPORTED, "shared memory by file descriptor is not available on this system");
}

mil_status mil_buffer_import(int fd, size_t bytes, mil_buffer **out, mil_error *err) {
    (void)fd, *out = NULL;
    return new_memfd(bytes, out, err);
}
#endif

/* ---- both ---- */

#ifdef __APPLE__
static bool prefers_surfaces(void) { return true; }
#else
static bool prefers_surfaces(void) { return mil__apple_open(MIL__APPLE_SURFACES, NULL) == MIL_OK; } /* in tests */
#endif

mil_status mil_buffer_shared(size_t bytes, mil_buffer **out, mil_error *err) {
    *out = NULL;
    if (!prefers_surfaces()) return new_memfd(bytes, out, err);
    MIL__TRY(mil__apple_open(MIL__APPLE_SURFACES, err));
    return new_surface(bytes, out, err);
}

void mil__shared_release(mil_buffer *buffer) {
    if (buffer->surface) {
        if (buffer->is_locked) mil__apple.IOSurfaceUnlock(buffer->surface, options_of(buffer->locked_for_writing), NULL);
        mil__surface_free(buffer->surface);
        pthread_mutex_destroy(&buffer->mutex);
    } else {
        munmap(buffer->data, mapping_bytes(buffer->bytes));
        close(buffer->fd);
    }
}

int mil_buffer_fd(const mil_buffer *buffer) { return buffer->fd; }
uint32_t mil_buffer_id(const mil_buffer *buffer) { return buffer->id; }
bool mil__has_surfaces(void) { return mil__apple_is_open(MIL__APPLE_SURFACES); }
mil__iosurface mil__buffer_surface(const mil_buffer *buffer) { return buffer ? buffer->surface : NULL; }

/* ---- locking ---- */

static mil_status cannot(const char *what, const char *call, int code, mil_error *err) {
    return mil__fail(err, MIL_EIO, "%s: the IOSurface can't be %s (0x%x)", what, call, (unsigned)code);
}

/* The system's lock, taken for writing or for reading. */
static mil_status lock_surface(mil_buffer *buffer, const char *what, bool for_writing, mil_error *err) {
    uint32_t options = options_of(for_writing);
    int code = mil__apple.IOSurfaceLock(buffer->surface, options, NULL);
    if (code) return cannot(what, "locked", code, err);
    buffer->locked_for_writing = for_writing;
    buffer->is_locked = mil__apple.IOSurfaceGetBaseAddress(buffer->surface) == buffer->data;
    if (buffer->is_locked) return MIL_OK;
    mil__apple.IOSurfaceUnlock(buffer->surface, options, NULL);
    return mil__fail(err, MIL_EIO, "%s: the IOSurface's memory is gone (IOSurfaceGetBaseAddress)", what);
}

static int unlock_surface(mil_buffer *buffer) {
    int code = buffer->is_locked ? mil__apple.IOSurfaceUnlock(buffer->surface, options_of(buffer->locked_for_writing), NULL) : 0;
    if (!code) buffer->is_locked = false;
    return code;
}

/* One that is locked for reading, by this process, becomes one for writing. Where it can't even be locked for reading again, it is not
 * locked, though it is counted so: whoever comes next locks it. */
static mil_status upgrade(mil_buffer *buffer, const char *what, mil_error *err) {
    int code = unlock_surface(buffer);
    if (code) return cannot(what, "unlocked", code, err);
    mil_status status = lock_surface(buffer, what, true, err);
    if (status != MIL_OK) lock_surface(buffer, what, false, NULL);
    return status;
}

/* Under the mutex. The count goes up first: from then on no device takes it. */
static mil_status lock_counted(mil_buffer *buffer, const char *what, bool for_writing, mil_error *err) {
    int locks = atomic_load(&buffer->locks);
    do {
        if (locks < 0) return mil__fail(err, MIL_ESTATE, "%s: a run that is under way has the memory", what);
    } while (!atomic_compare_exchange_weak(&buffer->locks, &locks, locks + 1));
    mil_status status = MIL_OK;
    if (!buffer->is_locked) status = lock_surface(buffer, what, for_writing, err);
    else if (for_writing && !buffer->locked_for_writing) status = upgrade(buffer, what, err);
    if (status != MIL_OK) atomic_fetch_sub(&buffer->locks, 1);
    return status;
}

static mil_status lock(mil_buffer *buffer, const char *what, bool for_writing, mil_error *err) {
    pthread_mutex_lock(&buffer->mutex);
    mil_status status = lock_counted(buffer, what, for_writing, err);
    pthread_mutex_unlock(&buffer->mutex);
    return status;
}

static mil_status unlock(mil_buffer *buffer, const char *what, mil_error *err) {
    int code = 0;
    pthread_mutex_lock(&buffer->mutex);
    int locks = atomic_load(&buffer->locks); /* others only add to 0, and take away from it */
    if (locks == 1) code = unlock_surface(buffer);
    if (locks > 0 && !code) atomic_fetch_sub(&buffer->locks, 1);
    pthread_mutex_unlock(&buffer->mutex);
    if (code) return cannot(what, "unlocked", code, err);
    return locks > 0 ? MIL_OK : mil__fail(err, MIL_ESTATE, "%s: the buffer is not locked", what);
}

mil_status mil_buffer_lock(mil_buffer *buffer, bool for_writing, mil_error *err) {
    const char *why_not = for_writing ? mil__buffer_why_not(buffer) : NULL;
    if (why_not) return mil__fail(err, MIL_ESTATE, "lock: the buffer cannot be written: %s", why_not);
    if (buffer->surface) return lock(buffer, "lock", for_writing, err);
    atomic_fetch_add(&buffer->locks, 1);
    return MIL_OK;
}

mil_status mil_buffer_unlock(mil_buffer *buffer, mil_error *err) {
    if (buffer->surface) return unlock(buffer, "unlock", err);
    int locks = atomic_load(&buffer->locks);
    do {
        if (locks == 0) return mil__fail(err, MIL_ESTATE, "unlock: the buffer is not locked");
    } while (!atomic_compare_exchange_weak(&buffer->locks, &locks, locks - 1));
    return MIL_OK;
}

mil_status mil__access(const char *what, const mil_tensor *tensor, bool for_writing, mil_error *err) {
    return mil__buffer_surface(tensor->buffer) ? lock(tensor->buffer, what, for_writing, err) : MIL_OK;
}

void mil__access_end(const mil_tensor *tensor) {
    if (mil__buffer_surface(tensor->buffer)) unlock(tensor->buffer, "unlock", NULL);
}

mil_status mil__access_both(const char *what, const mil_tensor *a, bool for_writing, const mil_tensor *b, mil_error *err) {
    MIL__TRY(mil__access(what, a, for_writing, err));
    mil_status status = mil__access(what, b, false, err);
    if (status != MIL_OK) mil__access_end(a);
    return status;
}

/* ---- a device's side ---- */

bool mil__device_begin(mil_buffer *buffer) {
    int locks = atomic_load_explicit(&buffer->locks, memory_order_relaxed);
    do {
        if (locks > 0) return false;
    } while (!atomic_compare_exchange_weak(&buffer->locks, &locks, locks - 1));
    return true;
}

void mil__device_end(mil_buffer *buffer) { atomic_fetch_add(&buffer->locks, 1); }
