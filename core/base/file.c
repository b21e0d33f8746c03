/* SPDX-License-Identifier: MIT */
/* Files, whole: mapped or read; written aside and renamed. See file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

mil_status mil__fail_errno(mil_error *err, const char *what, const char *path, int error) {
    mil_status status = error == ENOMEM ? MIL_ENOMEM : MIL_EIO;
    mil__fail(err, status, "cannot %s %s: %s", what, path, strerror(error));
    if (err) snprintf(err->file, sizeof err->file, "%s", path);
    return status;
}

/* ---- reading ---- */

/* What can't be mapped (a pipe, an empty file, a file system without mmap) is read until it ends. `hint` is its size,
 * where that is known. */
static mil_status read_all(int fd, const char *path, size_t hint, mil__file *out, mil_error *err) {
    size_t cap = hint + 1, n = 0; /* one more than the size, so that the end is seen without growing */
    char *data = mil__alloc(cap);
    while (data) {
        if (n == cap) {
            char *larger = cap <= SIZE_MAX / 2 ? mil__realloc(data, cap * 2) : NULL;
            if (!larger) break;
            data = larger, cap *= 2;
        }
        ssize_t more = read(fd, data + n, cap - n);
        if (more < 0 && errno == EINTR) continue;
        if (more < 0) {
            int error = errno;
            mil__free(data);
            return mil__fail_errno(err, "read", path, error);
        }
        if (more == 0) {
            *out = (mil__file){data, n, false};
            return MIL_OK;
        }
        n += (size_t)more;
    }
    mil__free(data);
    return mil__nomem(err);
}

static mil_status open_fd(int fd, const char *path, mil__file *out, mil_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) return mil__fail_errno(err, "look at", path, errno);
    if (S_ISDIR(info.st_mode)) return mil__fail_errno(err, "read", path, EISDIR);
    if (S_ISFIFO(info.st_mode)) return read_all(fd, path, 4096, out, err);
    if (!S_ISREG(info.st_mode)) /* a device may never end */
        return mil__fail(err, MIL_EIO, "cannot read %s: neither a file nor a pipe", path);
    if ((uintmax_t)info.st_size >= SIZE_MAX / 2) return mil__fail_errno(err, "read", path, EFBIG);
    size_t bytes = (size_t)info.st_size;
    void *data = bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (data == MAP_FAILED) return read_all(fd, path, bytes, out, err);
    *out = (mil__file){data, bytes, true};
    return MIL_OK;
}

mil_status mil__file_open(const char *path, mil__file *out, mil_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return mil__fail_errno(err, "open", path, errno);
    mil_status status = open_fd(fd, path, out, err);
    close(fd);
    return status;
}

void mil__file_close(mil__file *file) {
    if (file->mapped) munmap(file->data, file->bytes);
    else mil__free(file->data);
    *file = (mil__file){0};
}

/* ---- writing ---- */

enum { PENDING = 1 << 16, ASIDE = 40 }; /* bytes: of the buffer, of what is added to a temporary name */

static void release(mil__writer *writer) {
    mil__free(writer->path);
    mil__free(writer->aside);
    mil__free(writer->pending);
    *writer = (mil__writer){.fd = -1};
}

/* A file of that name that was not there; `name` ends where a number goes. The process's mask is applied by the kernel:
 * asking for it would mean to set it, and another thread would make files without one meanwhile. */
static int create_new(char *name, char *number, mode_t mode) {
    static atomic_uint last;
    for (int tries = 0; tries < 1000; tries++) {
        snprintf(number, ASIDE, ".%lx-%x", (unsigned long)getpid(), atomic_fetch_add(&last, 1));
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

/* A temporary file in the target's own folder, since only there a rename is atomic; with the permissions of the file that it
 * replaces, if there is one. */
static mil_status create_aside(mil__writer *writer, const char *path, mil_error *err) {
    struct stat info;
    bool replaces = stat(writer->path, &info) == 0;
    if (replaces && !S_ISREG(info.st_mode))
        return mil__fail(err, MIL_EIO, "cannot write %s: it exists and is not a file", path);
    size_t n = strlen(writer->path);
    memcpy(writer->aside, writer->path, n);
    writer->fd = create_new(writer->aside, writer->aside + n, replaces ? 0600 : 0666);
    if (writer->fd < 0) return mil__fail_errno(err, "write", path, errno);
    if (replaces) fchmod(writer->fd, info.st_mode & 07777);
    return MIL_OK;
}

mil_status mil__writer_open(const char *path, mil__writer *out, mil_error *err) {
    char *real = realpath(path, NULL); /* a symbolic link stays, what it names is replaced */
    const char *target = real ? real : path;
    mil__writer writer = {.fd = -1, .path = mil__strdup(target), .aside = mil__alloc(strlen(target) + ASIDE),
                          .pending = mil__alloc(PENDING)};
    free(real);
    bool made = writer.path && writer.aside && writer.pending;
    mil_status status = made ? create_aside(&writer, path, err) : mil__nomem(err);
    if (status == MIL_OK) *out = writer;
    else release(&writer);
    return status;
}

static void write_out(mil__writer *writer, const char *data, size_t bytes) {
    while (bytes && !writer->error) {
        ssize_t n = write(writer->fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) writer->error = errno;
        else data += n, bytes -= (size_t)n;
    }
}

static void flush(mil__writer *writer) {
    write_out(writer, writer->pending, writer->n);
    writer->n = 0;
}

void mil__writer_add(mil__writer *writer, const void *data, size_t bytes) {
    writer->written += bytes;
    if (bytes > PENDING - writer->n) flush(writer);
    if (bytes > PENDING) {
        write_out(writer, data, bytes);
        return;
    }
    if (bytes) memcpy(writer->pending + writer->n, data, bytes);
    writer->n += bytes;
}

void mil__writer_patch(mil__writer *writer, uint64_t at, const void *data, size_t bytes) {
    flush(writer);
    while (bytes && !writer->error) {
        ssize_t n = pwrite(writer->fd, data, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) writer->error = errno;
        else data = (const char *)data + n, bytes -= (size_t)n, at += (uint64_t)n;
    }
}

mil_status mil__writer_finish(mil__writer *writer, mil_error *err) {
    flush(writer);
    if (!writer->error && fsync(writer->fd) != 0 && errno != EINVAL) writer->error = errno;
    if (close(writer->fd) != 0 && !writer->error) writer->error = errno;
    writer->fd = -1;
    return writer->error ? mil__fail_errno(err, "write", writer->path, writer->error) : MIL_OK;
}

mil_status mil__writer_commit(mil__writer *writer, mil_error *err) {
    mil_status status = writer->fd >= 0 ? mil__writer_finish(writer, err) : MIL_OK;
    if (status == MIL_OK && rename(writer->aside, writer->path) != 0)
        status = mil__fail_errno(err, "write", writer->path, errno);
    if (status != MIL_OK) unlink(writer->aside);
    release(writer);
    return status;
}

/* A second name for what is to be replaced; false: nothing is there, or it can't be had. */
static bool keep_old(const mil__writer *writer, const char *old) {
    return link(writer->path, old) == 0 || (errno != ENOENT && rename(writer->path, old) == 0);
}

mil_status mil__writer_commit_both(mil__writer *first, mil__writer *second, mil_error *err) {
    assert(first->fd < 0 && second->fd < 0);
    size_t n = strlen(first->aside) + 5;
    char *old = mil__alloc(n), *path = mil__strdup(first->path);
    mil_status status = old && path ? MIL_OK : mil__nomem(err);
    bool has_old = false;
    if (status == MIL_OK) {
        snprintf(old, n, "%s.old", first->aside);
        has_old = keep_old(first, old);
        status = mil__writer_commit(first, err);
        if (status != MIL_OK && has_old) rename(old, path);
    } else {
        mil__writer_abandon(first);
    }
    if (status != MIL_OK) mil__writer_abandon(second);
    else if ((status = mil__writer_commit(second, err)) != MIL_OK) has_old ? rename(old, path) : unlink(path);
    if (has_old) unlink(old);
    mil__free(old);
    mil__free(path);
    return status;
}

void mil__writer_abandon(mil__writer *writer) {
    if (writer->fd >= 0) close(writer->fd);
    unlink(writer->aside);
    release(writer);
}

mil_status mil_text_write(const char *path, const char *text, size_t n, mil_error *err) {
    mil__writer writer;
    MIL__TRY(mil__writer_open(path, &writer, err));
    mil__writer_add(&writer, text, n);
    return mil__writer_commit(&writer, err);
}

/* ---- paths ---- */

mil_status mil__path_join(const char *a, const char *b, char **out, mil_error *err) {
    size_t n = strlen(a) + strlen(b) + 2;
    *out = mil__alloc(n);
    if (!*out) return mil__nomem(err);
    snprintf(*out, n, "%s/%s", a, b);
    return MIL_OK;
}

bool mil__path_ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}
