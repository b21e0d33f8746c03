/* SPDX-License-Identifier: MIT */
/* Blocks, which clients without a compiler for them build by hand, are looked at before they are called; and threads that call them. */
#include "block.h"

#include <pthread.h>

enum { GLOBAL_BLOCK = 1 << 28 };
EXPORT void *_NSConcreteGlobalBlock[32], *_NSConcreteStackBlock[32];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long threads;

bool block_keep(block *given, const char *by, kept_block *out) {
    *out = (kept_block){ .b = NULL };
    if (!given) return violation("%s: NULL for a block", by), false;
    bool is_global = given->isa == _NSConcreteGlobalBlock;
    if (!is_global && given->isa != _NSConcreteStackBlock) violation("%s: the block's isa is no block class", by);
    if (is_global != !!(given->flags & GLOBAL_BLOCK)) violation("%s: the block's flags %#x do not fit its isa", by, given->flags);
    if (!given->descriptor || given->descriptor->size < sizeof *given)
        return violation("%s: the block's descriptor has no size", by), false;
    if (!given->invoke) return violation("%s: the block has no function", by), false;
    *out = (kept_block){ given, *given };
    if (is_global) return true;
    out->b = malloc(given->descriptor->size);
    memcpy(out->b, given, given->descriptor->size);
    return true;
}

void block_drop(kept_block *kept) {
    if (!kept->b) return;
    if (kept->first.isa != _NSConcreteGlobalBlock) free(kept->b);
    else if (standin.block_life && memcmp(kept->b, &kept->first, sizeof kept->first))
        violation("a block that says it is global is gone when its handler has run: it is looked at once more when it is released");
    kept->b = NULL;
}

void block_complete(block *b, object *result, object *error) {
    ((void (*)(block *, object *, object *))b->invoke)(b, result, error);
}

typedef struct task { void (*work)(void *ctx); void *ctx; } task;

static void *run(void *by) {
    task t = *(task *)by;
    free(by);
    t.work(t.ctx);
    pthread_mutex_lock(&lock);
    threads--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

bool thread_start(void (*work)(void *ctx), void *ctx) {
    task *t = malloc(sizeof *t);
    *t = (task){ work, ctx };
    pthread_mutex_lock(&lock);
    threads++;
    pthread_mutex_unlock(&lock);
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &detached, run, t);
    pthread_attr_destroy(&detached);
    if (!failed) return true;
    free(t);
    pthread_mutex_lock(&lock);
    threads--;
    pthread_mutex_unlock(&lock);
    return false;
}

void threads_wait(void) {
    pthread_mutex_lock(&lock);
    while (threads) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
