/* SPDX-License-Identifier: MIT */
/* Forked processes, in which nothing of Apple's can be used: its connections to the system stayed with the parent, and its locks, and
 * ours, may be held for ever by threads that did not come along. */
#include <pthread.h>

#include "apple/apple.h"

#include <stdatomic.h>

static atomic_bool forked;

static void after_fork(void) { atomic_store(&forked, true); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

bool mil__apple_is_forked(void) { return atomic_load_explicit(&forked, memory_order_relaxed); }

mil_status mil__apple_check_process(const char *what, mil_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (mil__apple_is_forked())
        return mil__fail(err, MIL_ESTATE, "%s can't be used in a process that was forked off one that used Apple's frameworks", what);
    pthread_once(&once, watch_forks);
    return MIL_OK;
}
