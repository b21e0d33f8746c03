/* SPDX-License-Identifier: MIT */
/* Files: read whole (mapped where they can be), and written aside and renamed. Nothing here knows a format. */
#ifndef MIL__FILE_H
#define MIL__FILE_H

#include "base/base.h"

/* A whole file, read-only. */
typedef struct mil__file {
    void *data;   /* never NULL; not writable when mapped */
    size_t bytes;
    bool mapped;  /* else read into memory */
} mil__file;

mil_status mil__file_open(const char *path, mil__file *out, mil_error *err);
void mil__file_close(mil__file *file);

/* A file being written beside its target. Failed writes are remembered: callers add freely and learn of it from commit,
 * which renames, or abandon. One of the two must be called after a successful open. */
typedef struct mil__writer {
    int fd, error;      /* error: the errno of the first failure */
    char *path, *aside; /* aside: the temporary name */
    size_t n;           /* bytes in `pending` */
    uint64_t written;   /* bytes added so far */
    char *pending;
} mil__writer;

mil_status mil__writer_open(const char *path, mil__writer *out, mil_error *err);
void mil__writer_add(mil__writer *writer, const void *data, size_t bytes);
mil_status mil__writer_commit(mil__writer *writer, mil_error *err);
void mil__writer_abandon(mil__writer *writer);

#endif
