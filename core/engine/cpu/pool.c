/* SPDX-License-Identifier: MIT */
/* The pool. One job at a time:
 *
 *   caller    takes `busy`; writes the job; epoch + 1; wakes sleepers; works; waits for `running` to be 0; gives back `busy`
 *   worker    waits for the epoch to change (spinning a little, then asleep); joins if the job wants it; works
 *
 * Tiles are taken in chunks from one counter, so an idle thread takes what a busy one would have had. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "engine/cpu/pool.h"

enum { MAX_WORKERS = 255 /* a lane fits a byte */, SPINS = 4000, CHUNKS_PER_THREAD = 4 };

static struct {
    pthread_mutex_t lock;     /* of users, workers, sleeping */
    pthread_cond_t wake;
    int users, n_workers;
    pthread_t workers[MAX_WORKERS];
    atomic_bool busy, stop, forked;
    atomic_uint epoch;
    atomic_int sleeping;
    /* the job */
    mil__pool_work *work;
    void *ctx;
    size_t n_tiles, chunk;
    int n_lanes;
    atomic_size_t next;
    atomic_int running;       /* workers that have yet to pass this job */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_tiles(int lane) {
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(&pool.next, pool.chunk, memory_order_relaxed);
        if (begin >= pool.n_tiles) return;
        size_t end = begin + pool.chunk < pool.n_tiles ? begin + pool.chunk : pool.n_tiles;
        pool.work(pool.ctx, begin, end, lane);
    }
}

/* Returns when the epoch is no longer `seen`. */
static unsigned wait_for_job(unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        unsigned now = atomic_load_explicit(&pool.epoch, memory_order_acquire);
        if (now != seen) return now;
        pause_cpu();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (atomic_load(&pool.epoch) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
    return atomic_load(&pool.epoch);
}

static void *worker(void *arg) {
    int lane = (int)((uintptr_t)arg & MAX_WORKERS);
    unsigned seen = (unsigned)((uintptr_t)arg >> 8); /* the epoch at its making: no job is missed, none seen twice */
    for (;;) {
        seen = wait_for_job(seen);
        if (atomic_load(&pool.stop)) return NULL;
        if (lane < pool.n_lanes) take_tiles(lane);
        atomic_fetch_sub_explicit(&pool.running, 1, memory_order_release);
    }
}

static void announce(void) {
    atomic_fetch_add(&pool.epoch, 1);
    if (atomic_load(&pool.sleeping) == 0) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

void mil__pool_run(int n, size_t n_tiles, mil__pool_work *work, void *ctx) {
    bool alone = n <= 1 || n_tiles <= 1 || atomic_load_explicit(&pool.forked, memory_order_relaxed);
    if (alone || atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) {
        if (n_tiles) work(ctx, 0, n_tiles, 0);
        return;
    }
    pool.work = work;
    pool.ctx = ctx;
    pool.n_tiles = n_tiles;
    pool.n_lanes = n;
    pool.chunk = n_tiles / ((size_t)n * CHUNKS_PER_THREAD);
    if (pool.chunk == 0) pool.chunk = 1;
    atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool.running, pool.n_workers, memory_order_relaxed);
    announce();
    take_tiles(0);
    for (int spins = 0; atomic_load_explicit(&pool.running, memory_order_acquire) > 0; spins++) {
        if (spins < SPINS) pause_cpu();
        else sched_yield();
    }
    atomic_store_explicit(&pool.busy, false, memory_order_release);
}

/* In a child the workers are gone and the locks are in an unknown state: it computes alone. */
static void after_fork(void) { atomic_store(&pool.forked, true); }

static void register_fork(void) { pthread_atfork(NULL, NULL, after_fork); }

static mil_status start_workers(int wanted, mil_error *err) {
    if (wanted > MAX_WORKERS) wanted = MAX_WORKERS;
    sigset_t all, before; /* the host's signals are for the host's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = true;
    while (started && pool.n_workers < wanted) {
        uintptr_t arg = (uintptr_t)atomic_load(&pool.epoch) << 8 | (uintptr_t)(pool.n_workers + 1);
        started = pthread_create(&pool.workers[pool.n_workers], NULL, worker, (void *)arg) == 0;
        if (started) pool.n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started ? MIL_OK : mil__fail(err, MIL_EIO, "compile: no more threads can be started (%d run)", pool.n_workers);
}

/* `busy` is the caller's, and nobody uses the pool. */
static void stop_workers(void) {
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.stop, true);
    atomic_fetch_add(&pool.epoch, 1);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < pool.n_workers; i++) pthread_join(pool.workers[i], NULL);
    pool.n_workers = 0;
}

mil_status mil__pool_acquire(int n, mil_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork);
    if (atomic_load(&pool.forked)) return MIL_OK;
    while (atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) sched_yield(); /* no job while it grows */
    pthread_mutex_lock(&pool.lock);
    if (pool.users == 0) {
        atomic_store(&pool.stop, false);
        atomic_store(&pool.epoch, 0);
    }
    mil_status status = start_workers(n - 1, err);
    if (status == MIL_OK) pool.users++;
    bool is_idle = pool.users == 0; /* some may have been started, before one could not be */
    pthread_mutex_unlock(&pool.lock);
    if (is_idle) stop_workers();
    atomic_store_explicit(&pool.busy, false, memory_order_release);
    return status;
}

void mil__pool_release(void) {
    if (atomic_load(&pool.forked)) return;
    while (atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) sched_yield();
    pthread_mutex_lock(&pool.lock);
    bool is_last = --pool.users == 0;
    pthread_mutex_unlock(&pool.lock);
    if (is_last) stop_workers();
    atomic_store_explicit(&pool.busy, false, memory_order_release);
}

int mil__processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}
