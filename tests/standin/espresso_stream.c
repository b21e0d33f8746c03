/* SPDX-License-Identifier: MIT */
/* Espresso: execution streams, at once and asynchronous, and events (facts/ane-e5rt.md 1.4, 1.5). */
#include "block.h"
#include "espresso.h"

#include <pthread.h>
#include <time.h>

enum { MAX_ENCODED = 110 };      /* operations of a stream: about 100 work, 110 to 120 do not (1.5) */
#define WAIT_LIMIT 5000000000u

typedef struct stream {
    e5_kept kept;
    uint64_t id;
    object *operations[MAX_ENCODED];
    size_t n;
    bool is_used;            /* something was encoded since it was made or reset */
    int running;             /* calls that execute it now: 1 at most */
    bool is_flying;          /* submitted, and not done */
} stream;
typedef struct event { e5_kept kept; char name[64]; uint64_t signaled, future; } event;
typedef struct flight { object *stream; kept_block done; } flight;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static stream *stream_of(const void *o) { return ((const object *)o)->data; }
static event *event_of(const void *o) { return ((const object *)o)->data; }

/* ---- streams ---- */

EXPORT E e5rt_execution_stream_create(void **out) {
    static uint64_t ids;
    E5_BEGIN;
    E5_WANTS(out);
    object *o = e5_new("e5rt_execution_stream", sizeof(stream));
    stream_of(o)->id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
    *out = o, e5_is_up = true;
    return e5_ok();
}

static void let_go(stream *s) {
    for (size_t i = 0; i < s->n; i++) {
        ((e5_operation *)s->operations[i]->data)->stream = NULL;
        e5_drop(s->operations[i]);
    }
    s->n = 0;
}

static void free_stream(object *o) {
    stream *s = o->data;
    pthread_mutex_lock(&lock);
    if (s->is_flying) violation("a stream is released while it is under way");
    while (s->is_flying) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    let_go(s);
    free(s);
}

EXPORT E e5rt_execution_stream_encode_operation(void *stream, void *operation) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    E5_TAKES(operation, "e5rt_execution_stream_operation");
    struct stream *s = stream_of(stream);
    e5_operation *op = ((object *)operation)->data;
    if (op->state == E5_ENCODED) {
        violation("%s: the operation is encoded already: reset the stream and prepare it first", __func__);
        return e5_fail(E5_OPERATION, "Op is not 'ReadyForEncode'");
    }
    if (!e5_operation_is_bound(op, __func__)) return e5_fail(E5_OPERATION, "a port is not bound");
    if (s->n == MAX_ENCODED) return e5_fail(E5_OPERATION, "too many operations in a stream");
    s->operations[s->n++] = e5_hold(operation), s->is_used = true;
    op->state = E5_ENCODED, op->stream = stream, op->is_rebound = false;
    return e5_ok();
}

EXPORT E e5rt_execution_stream_reset(void *stream) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    struct stream *s = stream_of(stream);
    if (!s->is_used) return e5_fail(E5_OPERATION, "the stream is fresh and cannot be reset");
    let_go(s);
    s->is_used = false;
    return e5_ok();
}

/* One call at a time, and none while it flies: streams are for one thread (1.2). */
static bool takes_off(struct stream *s, bool flies, const char *by) {
    pthread_mutex_lock(&lock);
    bool ok = !s->is_flying && !s->running;
    if (!ok) violation("%s: the stream is under way already", by);
    else if (flies) s->is_flying = true;
    else s->running++;
    pthread_mutex_unlock(&lock);
    return ok;
}

static void lands(struct stream *s, bool flew) {
    pthread_mutex_lock(&lock);
    if (flew) s->is_flying = false;
    else s->running--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* All in their order; completion events tick only where it was submitted (1.5). */
static int32_t run_all(struct stream *s, bool flies) {
    int32_t code = E5_OK;
    for (size_t i = 0; !code && i < s->n; i++) {
        e5_operation *op = s->operations[i]->data;
        for (size_t k = 0; flies && !code && k < op->n_dependent; k++)
            if (!e5_event_reached(op->dependent[k], WAIT_LIMIT)) e5_fail(code = E5_TIMEOUT, "timeout");
        if (!code) code = e5_operation_run(s->operations[i]);
        if (flies && !code && op->completion) e5_event_tick(op->completion);
    }
    return code;
}

EXPORT E e5rt_execution_stream_execute_sync(void *stream) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    struct stream *s = stream_of(stream);
    if (!s->n) return violation("%s: nothing is encoded", __func__), e5_fail(E5_OPERATION, "nothing is encoded");
    if (!takes_off(s, false, __func__)) return e5_fail(E5_OPERATION, "the stream is under way");
    int32_t code = run_all(s, false);
    lands(s, false);
    if (!code) return e5_ok();
    return standin.e5_wide ? (int64_t)(0x5eed00000000u | (uint32_t)code) : code;
}

/* ---- asynchronous ---- */

typedef void handler(block *self, uint64_t stream, uint64_t unknown, int32_t error);

static void fly(void *by) {
    flight *f = by;
    struct stream *s = stream_of(f->stream);
    int32_t code = run_all(s, true);
    uint64_t id = s->id;
    lands(s, true);                                  /* the handler may submit it again, or release it */
    for (int i = 0; i < 1 + (standin.e5_twice != 0); i++) ((handler *)f->done.b->invoke)(f->done.b, id, 0, code);
    block_drop(&f->done);
    free(f);
}

EXPORT E e5rt_execution_stream_submit_async(void *stream, block *done) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    if (!done) return violation("%s: NULL for the block, which is retained: the process dies", __func__), e5_fail(E5_ARGUMENT, "done is NULL");
    struct stream *s = stream_of(stream);
    if (!s->n) return violation("%s: nothing is encoded", __func__), e5_fail(E5_OPERATION, "nothing is encoded");
    kept_block kept;
    if (!block_keep(done, __func__, &kept)) return e5_fail(E5_ARGUMENT, "no block");
    if (!takes_off(s, true, __func__)) return e5_fail(E5_OPERATION, "the stream is under way");
    flight *f = malloc(sizeof *f);
    *f = (flight){ stream, kept };
    if (thread_start(fly, f)) return e5_ok();
    lands(s, true);
    free(f);
    return e5_fail(E5_MEMORY, "no thread");
}

EXPORT E e5rt_execution_stream_async_submit(void *stream, ...) {
    E5_BEGIN;
    (void)stream;
    return violation("%s: an old name", __func__), e5_fail(E5_OPERATION, "Use submit_async");
}

/* ---- what is asked of a stream, and set ---- */

EXPORT E e5rt_execution_stream_get_stream_id(void *stream, uint64_t *out) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    E5_WANTS(out);
    *out = stream_of(stream)->id;
    return e5_ok();
}

EXPORT E e5rt_execution_stream_set_quality_of_service(void *stream, uint32_t quality) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    if (quality > 63) violation("%s: %u is no quality of service", __func__, quality);
    return e5_ok();
}

EXPORT E e5rt_execution_stream_set_ane_execution_priority(void *stream, uint32_t priority) {
    E5_BEGIN;
    E5_TAKES(stream, "e5rt_execution_stream");
    if (priority < 2 || priority > 7) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: priority %u", priority);
    return e5_ok();
}

EXPORT E e5rt_execution_stream_config_options_create(void **out) {
    E5_BEGIN;
    E5_WANTS(out);
    *out = e5_new("e5rt_execution_stream_config_options", sizeof(e5_kept));
    return e5_ok();
}

#define TAKEN(option)                                                                                                   \
    EXPORT E e5rt_execution_stream_config_options_set_##option(void *options, bool on) {                                \
        E5_BEGIN;                                                                                                       \
        (void)on;                                                                                                       \
        E5_TAKES(options, "e5rt_execution_stream_config_options");                                                      \
        return e5_ok();                                                                                                 \
    }
TAKEN(enable_concurrent_sync_execution)
TAKEN(enable_low_latency_async_events)
TAKEN(skip_io_fences)

/* ---- events ---- */

EXPORT E e5rt_async_event_create(void **out, const char *name, uint32_t type) {
    E5_BEGIN;
    E5_WANTS(out);
    if (!name) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: eventName is NULL");
    if (!e5_is_up) return violation("%s: no compiler and no stream was made before", __func__), e5_fail(E5_OPERATION, "no provider");
    if (type > 1) return e5_fail(E5_TYPE_PARAMETER, "invalid event type %u", type);
    object *o = e5_new("e5rt_async_event", sizeof(event));
    event_of(o)->kept.may_go_first = true;
    snprintf(event_of(o)->name, sizeof event_of(o)->name, "%s", name);
    *out = o;
    return e5_ok();
}

static void signal_to(event *e, uint64_t value) {
    pthread_mutex_lock(&lock);
    if (value > e->signaled) e->signaled = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static bool reached(event *e, uint64_t value, uint64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t limit = nanoseconds < WAIT_LIMIT ? nanoseconds : WAIT_LIMIT;
    uint64_t end = (uint64_t)until.tv_nsec + limit;
    until.tv_sec += (time_t)(end / 1000000000u), until.tv_nsec = (long)(end % 1000000000u);
    pthread_mutex_lock(&lock);
    int late = 0;
    while (e->signaled < value && !late) late = pthread_cond_timedwait(&changed, &lock, &until);
    bool ok = e->signaled >= value;
    pthread_mutex_unlock(&lock);
    return ok;
}

bool e5_event_reached(object *o, uint64_t nanoseconds) {
    event *e = event_of(o);
    return reached(e, e->future, nanoseconds);
}

void e5_event_tick(object *o) {
    event *e = event_of(o);
    signal_to(e, e->future > e->signaled ? e->future : e->signaled + 1);
}

EXPORT E e5rt_async_event_signal(void *event, uint64_t value) {
    E5_BEGIN;
    E5_TAKES(event, "e5rt_async_event");
    signal_to(event_of(event), value);
    return e5_ok();
}

EXPORT E e5rt_async_event_sync_wait(void *event, uint64_t value, uint64_t nanoseconds) {
    E5_BEGIN;
    E5_TAKES(event, "e5rt_async_event");
    return reached(event_of(event), value, nanoseconds) ? e5_ok() : e5_fail(E5_TIMEOUT, "timeout");
}

EXPORT E e5rt_async_event_get_last_signaled_value(void *event, uint64_t *out) {
    E5_BEGIN;
    E5_TAKES(event, "e5rt_async_event");
    E5_WANTS(out);
    pthread_mutex_lock(&lock);
    *out = event_of(event)->signaled;
    pthread_mutex_unlock(&lock);
    return e5_ok();
}

EXPORT E e5rt_async_event_set_active_future_value(void *event, uint64_t value) {
    E5_BEGIN;
    E5_TAKES(event, "e5rt_async_event");
    event_of(event)->future = value;
    return e5_ok();
}

static void free_kept(object *o) { free(o->data); }

E5_RELEASE(e5rt_execution_stream_release, "e5rt_execution_stream")
E5_RELEASE(e5rt_execution_stream_config_options_release, "e5rt_execution_stream_config_options")
E5_RELEASE(e5rt_async_event_release, "e5rt_async_event")

__attribute__((constructor(107))) static void begin(void) {
    class_make("e5rt_execution_stream", free_stream);
    class_make("e5rt_execution_stream_config_options", free_kept), class_make("e5rt_async_event", free_kept);
}
