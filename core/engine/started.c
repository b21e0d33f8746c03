/* SPDX-License-Identifier: MIT */
/* Started runs: what waits, the threads that run it, and who waits for them. The same for every engine.
 *
 *     start ----> WAITING ----> RUNNING ----> ENDED ----> DONE
 *                 in a list     on a thread   callback    handle's alone
 *
 * One lock guards the list, the threads and every run's stage; it is never held while a model runs or a callback is called.
 * The threads are made when runs wait that nobody is free for, and joined when the last model that started one is freed. A run
 * retains its model and is freed by whoever holds its handle, after it is DONE: so no thread of ours frees a model, and none
 * would have to join itself. A started run counts as one under way: the model stays loaded until it has ended. */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "engine/model.h"

enum { MAX_THREADS = 64 };

typedef enum stage { WAITING, RUNNING, ENDED, DONE } stage;

struct mil_run {
    mil_model *model;         /* retained, and entered until the run has ended */
    mil_state *state;         /* retained; NULL: none */
    mil_run_callback *callback;
    void *ctx;
    mil__cancel cancel;
    atomic_bool is_cancelled;
    stage stage;              /* under the lock, and what follows */
    unsigned process;         /* that started it */
    mil_run *next;            /* of those that wait */
    mil_status status;
    mil_error err;
    mil_tensor **inputs, **outputs; /* retained */
    mil_tensor *tensors[];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wanted;    /* for the threads: a run waits, or they are to end */
    pthread_cond_t ended;     /* for the others: a run has ended, or the threads have */
    int users;                /* models */
    int n_threads, n_idle, n_waiting;
    bool stop;
    unsigned process;         /* how many forks ago the first one was */
    pthread_t threads[MAX_THREADS];
    mil_run *running[MAX_THREADS];
    mil_run *first, **last;   /* those that wait, the oldest first */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER, .last = &pool.first};

/* ---- time, and forks ---- */

/* macOS can't wait by another clock than this. */
#if defined(__APPLE__)
#define CLOCK CLOCK_REALTIME
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static void init_ended(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
#if !defined(__APPLE__)
    pthread_condattr_setclock(&attributes, CLOCK);
#endif
    pthread_cond_init(&pool.ended, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void before_fork(void) { pthread_mutex_lock(&pool.lock); }
static void in_parent(void) { pthread_mutex_unlock(&pool.lock); }

/* The threads are gone, and what they were at: runs of another process are told apart by their number. */
static void in_child(void) {
    pool.process++;
    pool.n_threads = pool.n_idle = pool.n_waiting = 0;
    pool.stop = false;
    pool.first = NULL;
    pool.last = &pool.first;
    memset(pool.running, 0, sizeof pool.running);
    pthread_cond_init(&pool.wanted, NULL);
    init_ended();
    pthread_mutex_unlock(&pool.lock);
}

static void set_up(void) {
    init_ended();
    pthread_atfork(before_fork, in_parent, in_child);
}

static struct timespec after(double seconds) {
    struct timespec then;
    clock_gettime(CLOCK, &then);
    long nanoseconds = then.tv_nsec + (long)((seconds - (double)(long)seconds) * 1e9);
    then.tv_sec += (time_t)seconds + nanoseconds / 1000000000;
    then.tv_nsec = nanoseconds % 1000000000;
    return then;
}

/* ---- the threads ---- */

/* Runs on one state go one after the other, in the order in which they were started. */
static bool can_begin(const mil_run *run) {
    for (int i = 0; run->state && i < pool.n_threads; i++)
        if (pool.running[i] && pool.running[i]->state == run->state) return false;
    return true;
}

/* Takes a run out of the list; `at` is what points at it. */
static mil_run *take(mil_run **at) {
    mil_run *run = *at;
    *at = run->next;
    if (!run->next) pool.last = at;
    pool.n_waiting--;
    return run;
}

static mil_run *next_run(void) {
    for (mil_run **at = &pool.first; *at; at = &(*at)->next)
        if (can_begin(*at)) return take(at);
    return NULL;
}

static mil_status run_now(mil_run *run) {
    if (mil__is_cancelled(&run->cancel)) return mil__fail(&run->err, MIL_ECANCELLED, "run: cancelled");
    return mil__model_run(run->model, run->inputs, run->outputs, run->state, &run->cancel, &run->err);
}

/* The run is over: it is said, also to the callback. The lock is held, but for the callback. */
static void end(mil_run *run, mil_status status) {
    run->status = status;
    run->stage = ENDED;
    pthread_cond_broadcast(&pool.ended);
    pthread_mutex_unlock(&pool.lock);
    mil__model_leave(run->model);
    if (run->callback) run->callback(run->ctx, run);
    pthread_mutex_lock(&pool.lock);
    run->stage = DONE;
    pthread_cond_broadcast(&pool.ended);
}

static void *thread(void *arg) {
    mil_run **mine = arg;
    pthread_mutex_lock(&pool.lock);
    while (!pool.stop) {
        mil_run *run = next_run();
        if (!run) {
            pool.n_idle++;
            pthread_cond_wait(&pool.wanted, &pool.lock);
            pool.n_idle--;
            continue;
        }
        run->stage = RUNNING;
        *mine = run;
        pthread_mutex_unlock(&pool.lock);
        mil_status status = run_now(run);
        pthread_mutex_lock(&pool.lock);
        *mine = NULL;
        if (run->state && pool.first) pthread_cond_signal(&pool.wanted); /* one may wait for its state, and the callback may last */
        end(run, status);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

static int most_threads(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 2 ? 2 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

/* One thread more, if those that are idle are too few for the runs that wait. False: there is none at all. */
static bool grow(void) {
    if (pool.n_idle >= pool.n_waiting || pool.n_threads >= most_threads()) return true;
    sigset_t all, before; /* the host's signals are for the host's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int i = pool.n_threads;
    if (pthread_create(&pool.threads[i], NULL, thread, &pool.running[i]) == 0) pool.n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool.n_threads > 0;
}

/* The model is a user of the threads from now on. */
static void hold(mil_model *model) {
    if (model->holds_runs) return;
    while (pool.stop) pthread_cond_wait(&pool.ended, &pool.lock);
    model->holds_runs = true;
    pool.users++;
}

void mil__runs_release(void) {
    pthread_mutex_lock(&pool.lock);
    if (--pool.users == 0 && pool.n_threads > 0) {
        pool.stop = true;
        pthread_cond_broadcast(&pool.wanted);
        pthread_mutex_unlock(&pool.lock);
        for (int i = 0; i < pool.n_threads; i++) pthread_join(pool.threads[i], NULL);
        pthread_mutex_lock(&pool.lock);
        pool.n_threads = 0;
        pool.stop = false;
        pthread_cond_broadcast(&pool.ended);
    }
    pthread_mutex_unlock(&pool.lock);
}

/* ---- a run ---- */

static mil_tensor *retain(mil_tensor *tensor) { return tensor ? mil_tensor_retain(tensor) : NULL; }

/* A run with all that it holds; the model is entered. */
static mil_status make(mil_model *model, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_state *state, mil_run **out,
                       mil_error *err) {
    size_t n_in = model->n_inputs, n_out = model->n_outputs;
    mil_run *run = mil__calloc(1, sizeof *run + (n_in + n_out) * sizeof *run->tensors);
    if (!run) return mil__nomem(err);
    mil_status status = mil__model_enter(model, err);
    if (status != MIL_OK) {
        mil__free(run);
        return status;
    }
    run->model = mil_model_retain(model);
    run->state = state ? mil_state_retain(state) : NULL;
    run->inputs = run->tensors;
    run->outputs = run->tensors + n_in;
    for (size_t i = 0; i < n_in; i++) run->inputs[i] = retain(inputs[i]);
    for (size_t i = 0; outputs && i < n_out; i++) run->outputs[i] = retain(outputs[i]);
    atomic_init(&run->is_cancelled, false);
    run->cancel = mil__cancel_of(model, &run->is_cancelled);
    *out = run;
    return MIL_OK;
}

static void drop(mil_run *run) {
    for (size_t i = 0; i < run->model->n_inputs + run->model->n_outputs; i++) mil_tensor_free(run->tensors[i]);
    mil_state_free(run->state);
    mil_model_free(run->model);
    mil__free(run);
}

/* Puts the run into the list; false: there is no thread for it. */
static bool enqueue(mil_run *run) {
    pthread_mutex_lock(&pool.lock);
    hold(run->model);
    run->process = pool.process;
    mil_run **before = pool.last;
    *pool.last = run;
    pool.last = &run->next;
    pool.n_waiting++;
    bool can_run = grow();
    if (can_run) pthread_cond_signal(&pool.wanted);
    else take(before);
    pthread_mutex_unlock(&pool.lock);
    return can_run;
}

mil_status mil_model_start(mil_model *model, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_state *state,
                           mil_run_callback *callback, void *ctx, mil_run **out, mil_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    mil_run *run = NULL;
    pthread_once(&once, set_up);
    MIL__TRY(mil__model_check(model, inputs, outputs, state, err));
    MIL__TRY(make(model, inputs, outputs, state, &run, err));
    run->callback = callback;
    run->ctx = ctx;
    *out = run;
    if (enqueue(run)) return MIL_OK;
    *out = NULL;
    mil__model_leave(model);
    drop(run);
    return mil__fail(err, MIL_ELIMIT, "start: no thread can be made for the run");
}

/* The lock is held. Of a run that a fork left behind it is said now that it won't end. */
static stage stage_of(mil_run *run) {
    if (run->process != pool.process && run->stage < ENDED) {
        run->status = mil__fail(&run->err, MIL_ESTATE, "run: it was under way in the process that this one was forked from");
        run->stage = DONE;
        mil__model_leave(run->model);
    }
    return run->stage;
}

bool mil_run_is_done(mil_run *run) {
    pthread_mutex_lock(&pool.lock);
    bool is_done = stage_of(run) == DONE;
    pthread_mutex_unlock(&pool.lock);
    return is_done;
}

bool mil_run_wait(mil_run *run, double seconds) {
    bool has_end = seconds < 1e8; /* three years are for ever */
    struct timespec then = after(has_end && seconds > 0 ? seconds : 0);
    pthread_mutex_lock(&pool.lock);
    while (stage_of(run) != DONE) {
        if (!has_end) pthread_cond_wait(&pool.ended, &pool.lock);
        else if (pthread_cond_timedwait(&pool.ended, &pool.lock, &then) != 0) break;
    }
    bool is_done = run->stage == DONE;
    pthread_mutex_unlock(&pool.lock);
    return is_done;
}

mil_status mil_run_result(mil_run *run, mil_tensor **outputs, mil_error *err) {
    pthread_mutex_lock(&pool.lock);
    while (stage_of(run) < ENDED) pthread_cond_wait(&pool.ended, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    if (run->status != MIL_OK) {
        if (err) *err = run->err;
        return run->status;
    }
    for (size_t i = 0; outputs && i < run->model->n_outputs; i++) outputs[i] = mil_tensor_retain(run->outputs[i]);
    return MIL_OK;
}

void mil_run_cancel(mil_run *run) { atomic_store_explicit(&run->is_cancelled, true, memory_order_relaxed); }

/* What waits still ends here. */
static void end_waiting(mil_run *run) {
    mil_run **at = &pool.first;
    while (*at != run) at = &(*at)->next;
    take(at);
    end(run, mil__fail(&run->err, MIL_ECANCELLED, "run: cancelled"));
}

void mil_run_free(mil_run *run) {
    if (!run) return;
    mil_run_cancel(run);
    pthread_mutex_lock(&pool.lock);
    if (stage_of(run) == WAITING) end_waiting(run);
    while (run->stage != DONE) pthread_cond_wait(&pool.ended, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    drop(run);
}
