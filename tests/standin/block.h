/* SPDX-License-Identifier: MIT */
/* Blocks (the public ABI), and work on other threads that calls one when it is done. */
#ifndef STANDIN_BLOCK_H
#define STANDIN_BLOCK_H

#include "objc.h"

typedef struct block {
    void *isa;
    int flags, reserved;
    void (*invoke)(void);               /* takes the block itself before all else */
    struct { unsigned long reserved, size; } *descriptor;
} block;

/* A block as the runtime keeps it: a global one as it is, another copied. first: what it was. */
typedef struct kept_block { block *b, first; } kept_block;

/* false, and a violation: it is none. */
bool block_keep(block *given, const char *by, kept_block *out);
/* A global block must still be what it was, since the runtime looks at it once more (switch block_life). */
void block_drop(kept_block *kept);
/* Calls one whose arguments are a result and an error, as all completion handlers do. */
void block_complete(block *b, object *result, object *error);

/* Runs the work on a thread of its own; false: there is none. standin_alive waits until all such work is over. */
bool thread_start(void (*work)(void *ctx), void *ctx);
void threads_wait(void);
#endif
