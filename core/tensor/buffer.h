/* SPDX-License-Identifier: MIT */
/* A buffer from inside: for buffer.c, and for shared.c, which has the kind that other processes and devices see. */
#ifndef MIL__BUFFER_H
#define MIL__BUFFER_H

#include <pthread.h>

#include "apple/apple.h"
#include "base/file.h"
#include "tensor/tensor.h"

struct mil_buffer {
    atomic_int count;
    mil_buffer_kind kind;
    bool writable;        /* before freezing */
    atomic_bool frozen;
    void *data;
    size_t bytes;
    atomic_int locks;     /* how often this process has locked it; below 0: of a surface, how many runs of a device have it */
    int fd;               /* MIL_SHARED on a memfd; else -1 */
    mil__iosurface surface; /* MIL_SHARED on an IOSurface; else NULL */
    uint32_t id;          /* of the surface */
    bool is_locked, locked_for_writing; /* is the surface, by the system */
    pthread_mutex_t mutex; /* of the surface: over locking and unlocking */
    mil__file file;       /* MIL_MAPPED */
    void (*release)(void *ctx, void *data); /* MIL_BORROWED */
    void *ctx;
};

void mil__buffer_init(mil_buffer *buffer, mil_buffer_kind kind, void *data, size_t bytes, bool writable);
/* Gives back what a shared buffer has beside itself. */
void mil__shared_release(mil_buffer *buffer);

#endif
