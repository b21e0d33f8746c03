/* SPDX-License-Identifier: MIT */
/* A context of the direct route: a surface for each port, and the request that names them; made once, evaluated many times.
 *
 * All inputs' surfaces have one size and all outputs' another, the largest that one of them needs, in whole pages of 16 KiB:
 * some sources saw surfaces of different sizes refused, none saw a larger one refused. Where the first run finds them
 * too small all the same (status 0x1d), they are made anew with 48 KiB at least, and the run is tried again.
 *
 * A request names its surfaces for good: where others are bound, another is made. With states, whose memory is one surface and
 * another by turns, two are kept, and all sizes are one. */
#include <stdio.h>

#include "engine/ane/ane.h"

enum { PAGE = 16384, LARGER = 49152 };

/* Of a port. Objects are of _ANEIOSurfaceObject, retained, and retain their surfaces. */
typedef struct slot {
    mil__iosurface surface; /* its own */
    mil__id object;
    mil__iosurface bound;   /* someone else's, in its place, borrowed; NULL: none */
} slot;

/* A request, and by port the surfaces that are in it in the place of the ports' own. */
typedef struct made {
    mil__id request;          /* _ANERequest, retained; NULL: to be made */
    struct bound {
        mil__iosurface surface;
        mil__id object;       /* NULL: the port's own */
    } *bound;
} made;

enum { MOST_REQUESTS = 2 };

struct mil__ane_request {
    const mil__ane_loaded *loaded;
    size_t n;                 /* ports */
    size_t least_bytes;
    slot *slots;              /* by port */
    made made[MOST_REQUESTS];
    size_t at;                /* the one of the run under way, or of the last */
    mil__id statistics;       /* _ANEPerformanceStats, retained, that the request fills; NULL: none */
};

static size_t needed(const mil__ane_loaded *loaded, size_t from, size_t to) {
    size_t most = 0;
    for (size_t i = from; i < to; i++)
        if (loaded->ports[i].bytes > most) most = loaded->ports[i].bytes;
    return most;
}

static size_t surface_bytes(const mil__ane_loaded *loaded, size_t port, size_t least) {
    size_t n = loaded->n_inputs, all = n + loaded->n_outputs;
    size_t bytes = loaded->keeps_states ? needed(loaded, 0, all) : port < n ? needed(loaded, 0, n) : needed(loaded, n, all);
    if (bytes < least) bytes = least;
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

size_t mil__ane_surface_bytes(const mil__ane_loaded *loaded, size_t port) {
    return surface_bytes(loaded, port, atomic_load(&loaded->least_bytes));
}

/* ---- making and freeing ---- */

static void release_object(mil__id object) {
    if (object) mil__apple.objc_release(object);
}

static void release_made(struct mil__ane_request *r, made *m) {
    release_object(m->request);
    for (size_t i = 0; i < r->n && m->bound; i++) release_object(m->bound[i].object);
    mil__free(m->bound);
    *m = (made){NULL, NULL};
}

static void release(struct mil__ane_request *r) {
    for (size_t i = 0; i < MOST_REQUESTS; i++) release_made(r, &r->made[i]);
    release_object(r->statistics);
    for (size_t i = 0; i < r->n && r->slots; i++) {
        release_object(r->slots[i].object);
        mil__surface_free(r->slots[i].surface);
    }
    mil__free(r->slots);
    r->statistics = NULL, r->slots = NULL;
}

static mil_status lock(mil__iosurface surface, uint32_t options, void **memory, mil_error *err) {
    int code = mil__apple.IOSurfaceLock(surface, options, NULL);
    if (code) return mil__fail(err, MIL_EIO, "run: an IOSurface can't be locked (IOSurfaceLock: 0x%x)", (unsigned)code);
    *memory = mil__apple.IOSurfaceGetBaseAddress(surface);
    if (*memory) return MIL_OK;
    mil__apple.IOSurfaceUnlock(surface, options, NULL);
    return mil__fail(err, MIL_EIO, "run: an IOSurface has no memory (IOSurfaceGetBaseAddress)");
}

static mil_status unlock(mil__iosurface surface, uint32_t options, mil_error *err) {
    int code = mil__apple.IOSurfaceUnlock(surface, options, NULL);
    return code ? mil__fail(err, MIL_EIO, "run: an IOSurface can't be unlocked (IOSurfaceUnlock: 0x%x)", (unsigned)code) : MIL_OK;
}

/* Retained. */
static mil_status make_object(mil__iosurface surface, mil__id *out, mil_error *err) {
    mil__id object = mil__send_class(ANEIOSurfaceObject, fromSurface, surface);
    if (!object) return mil__fail_nothing(err, "run", MIL__METHOD(ANEIOSurfaceObject, fromSurface));
    *out = mil__apple.objc_retain(object);
    return MIL_OK;
}

static mil_status make_surface(struct mil__ane_request *r, size_t port, mil_error *err) {
    size_t bytes = surface_bytes(r->loaded, port, r->least_bytes);
    slot *slot = &r->slots[port];
    MIL__TRY(mil__surface_new(bytes, false, &slot->surface, err));
    void *memory;
    MIL__TRY(lock(slot->surface, 0, &memory, err));
    memset(memory, 0, bytes);
    MIL__TRY(unlock(slot->surface, 0, err));
    return make_object(slot->surface, &slot->object, err);
}

/* The ports [from, to) in the loaded model's order; their indices are 0, 1, 2, .. then. */
static void in_order(const struct mil__ane_request *r, size_t from, size_t to, mil__id *room, mil__id *objects, mil__id *indices) {
    for (size_t i = from; i < to; i++) {
        mil__id bound = r->made[r->at].bound[i].object;
        room[r->loaded->ports[i].symbol] = bound ? bound : r->slots[i].object;
    }
    *objects = mil__ns_array(room, to - from);
    for (size_t i = 0; i < to - from; i++) room[i] = mil__ns_number(i);
    *indices = mil__ns_array(room, to - from);
}

/* ---- the engine's own clock: its time of a run goes into an object that the request has. Where it gives none, that is no failure ---- */

bool mil__ane_can_count(void) {
    return mil__responds(ANERequest, setPerfStats) && mil__responds(ANEPerformanceStats, fromTime) && mil__responds(ANEPerformanceStats, hwExecutionTime);
}

static void set_statistics(struct mil__ane_request *r) {
    mil__id statistics = r->statistics ? r->statistics : mil__send_class(ANEPerformanceStats, fromTime, 0);
    if (!statistics) return;
    if (!r->statistics) r->statistics = mil__apple.objc_retain(statistics);
    mil__send(r->made[r->at].request, ANERequest, setPerfStats, statistics);
}

static void read_statistics(const struct mil__ane_request *r) {
    mil__ane_loaded *loaded = (mil__ane_loaded *)r->loaded;
    if (r->statistics) atomic_store(&loaded->hardware_ns, mil__send(r->statistics, ANEPerformanceStats, hwExecutionTime));
}

/* ---- the request ---- */

static mil_status make_request(struct mil__ane_request *r, mil_error *err) {
    mil__id inputs, input_indices, outputs, output_indices, *room = mil__calloc(r->n, sizeof *room);
    if (!room) return mil__nomem(err);
    in_order(r, 0, r->loaded->n_inputs, room, &inputs, &input_indices);
    in_order(r, r->loaded->n_inputs, r->n, room, &outputs, &output_indices);
    mil__free(room);
    mil__id procedure = mil__ns_number(r->loaded->report.procedure);
    if (!inputs || !input_indices || !outputs || !output_indices || !procedure) return mil__fail_made(err, "run");
    mil__id request = mil__send_class(ANERequest, make, inputs, input_indices, outputs, output_indices, NULL, NULL, procedure);
    if (!request) return mil__fail_nothing(err, "run", MIL__METHOD(ANERequest, make));
    if (mil__responds(ANERequest, validate) && !mil__send(request, ANERequest, validate))
        return mil__fail(err, MIL_EIO, "run: the Neural Engine's framework finds its own request not valid (-[_ANERequest validate])");
    r->made[r->at].request = mil__apple.objc_retain(request);
    if (r->loaded->counts && mil__ane_can_count()) set_statistics(r);
    return MIL_OK;
}

static bool is_current(const struct mil__ane_request *r, const made *m) {
    if (!m->request) return false;
    for (size_t i = 0; i < r->n; i++)
        if (m->bound[i].surface != r->slots[i].bound) return false;
    return true;
}

/* The port's surface in the request that is being made, where it is another than that had. */
static mil_status bind_port(struct mil__ane_request *r, size_t port, mil_error *err) {
    struct bound *bound = &r->made[r->at].bound[port];
    mil__iosurface surface = r->slots[port].bound;
    if (bound->surface == surface) return MIL_OK;
    release_object(bound->object);
    *bound = (struct bound){NULL, NULL};
    if (surface) MIL__TRY(make_object(surface, &bound->object, err));
    bound->surface = surface;
    return MIL_OK;
}

/* r->at becomes that of a request that names what is bound now. */
static mil_status find_request(struct mil__ane_request *r, mil_error *err) {
    size_t n = r->loaded->keeps_states ? MOST_REQUESTS : 1;
    for (size_t i = 0; i < n; i++) {
        if (is_current(r, &r->made[r->at])) return MIL_OK;
        r->at = (r->at + 1) % n;
    }
    r->at = (r->at + 1) % n; /* the one that was used longest ago */
    release_object(r->made[r->at].request);
    r->made[r->at].request = NULL;
    for (size_t i = 0; i < r->n; i++) MIL__TRY(bind_port(r, i, err));
    return make_request(r, err);
}

/* In a pool. */
static mil_status make(struct mil__ane_request *r, mil_error *err) {
    r->slots = mil__calloc(r->n, sizeof *r->slots);
    if (!r->slots) return mil__nomem(err);
    for (size_t i = 0; i < MOST_REQUESTS; i++) {
        r->made[i].bound = mil__calloc(r->n, sizeof *r->made[i].bound);
        if (!r->made[i].bound) return mil__nomem(err);
    }
    for (size_t i = 0; i < r->n; i++) MIL__TRY(make_surface(r, i, err));
    return make_request(r, err);
}

mil_status mil__ane_request_new(void *loaded, void **out, mil_error *err) {
    const mil__ane_loaded *l = loaded;
    struct mil__ane_request *r = mil__calloc(1, sizeof *r);
    if (!r) return mil__nomem(err);
    *r = (struct mil__ane_request){.loaded = l, .n = l->n_inputs + l->n_outputs, .least_bytes = atomic_load(&l->least_bytes)};
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = make(r, err);
    if (status != MIL_OK) release(r);
    mil__apple.objc_autoreleasePoolPop(pool);
    if (status == MIL_OK) *out = r;
    else mil__free(r);
    return status;
}

void mil__ane_request_free(void *request) {
    struct mil__ane_request *r = request;
    if (!r) return;
    if (mil__apple_is_forked()) { /* what it stands for stayed with the parent */
        mil__free(r->slots);
    } else {
        void *pool = mil__apple.objc_autoreleasePoolPush();
        release(r);
        mil__apple.objc_autoreleasePoolPop(pool);
    }
    mil__free(r);
}

/* ---- the ports' memory ---- */

static uint32_t lock_options(const struct mil__ane_request *r, size_t port) { return port < r->loaded->n_inputs ? 0 : MIL__SURFACE_READ_ONLY; }

mil_status mil__ane_request_begin(void *request, size_t port, void **memory, mil_error *err) {
    struct mil__ane_request *r = request;
    return lock(r->slots[port].surface, lock_options(r, port), memory, err);
}

mil_status mil__ane_request_end(void *request, size_t port, mil_error *err) {
    struct mil__ane_request *r = request;
    return unlock(r->slots[port].surface, lock_options(r, port), err);
}

/* ---- someone else's memory in place of a port's ---- */

mil_status mil__ane_request_bind(void *request, size_t port, mil__iosurface surface, mil_error *err) {
    (void)err;
    ((struct mil__ane_request *)request)->slots[port].bound = surface; /* the next run has it in its request */
    return MIL_OK;
}

mil__iosurface mil__ane_request_bound(const void *request, size_t port) { return ((const struct mil__ane_request *)request)->slots[port].bound; }

/* All surfaces of one side have one size. */
bool mil__ane_request_takes(const void *request, size_t port, size_t bytes) {
    const struct mil__ane_request *r = request;
    size_t own = surface_bytes(r->loaded, port, r->least_bytes);
    size_t side = port < r->loaded->n_inputs ? r->loaded->n_inputs : r->loaded->n_outputs;
    return side == 1 ? bytes >= own : bytes == own;
}

/* ---- running ---- */

static bool evaluate(const struct mil__ane_request *r, mil_error *why) {
    mil__id error = NULL;
    if (mil__send(r->loaded->model, ANEInMemoryModel, evaluate, r->loaded->qos, r->loaded->options, r->made[r->at].request, &error)) return true;
    mil__fail_nserror(why, MIL_EIO, error, "run: the Neural Engine failed");
    return false;
}

static mil_status copy_surface(mil__iosurface to, mil__iosurface from, size_t bytes, mil_error *err) {
    void *source, *target;
    MIL__TRY(lock(from, MIL__SURFACE_READ_ONLY, &source, err));
    mil_status status = lock(to, 0, &target, err);
    if (status == MIL_OK) {
        memcpy(target, source, bytes);
        status = unlock(to, 0, err);
    }
    mil_status ended = unlock(from, MIL__SURFACE_READ_ONLY, status == MIL_OK ? err : NULL);
    return status == MIL_OK ? ended : status;
}

/* Other surfaces, larger ones, of the ports' own, with what is in the inputs. */
static mil_status make_larger(struct mil__ane_request *r, mil_error *err) {
    struct mil__ane_request larger = {.loaded = r->loaded, .n = r->n, .least_bytes = LARGER};
    mil_status status = make(&larger, err);
    for (size_t i = 0; i < r->loaded->n_inputs && status == MIL_OK; i++)
        status = copy_surface(larger.slots[i].surface, r->slots[i].bound ? r->slots[i].bound : r->slots[i].surface,
                              surface_bytes(r->loaded, i, r->least_bytes), err);
    if (status != MIL_OK) {
        release(&larger);
        return status;
    }
    release(r);
    *r = larger;
    return MIL_OK;
}

/* What may succeed when it is tried again: a submission that was cancelled after a pause (macOS 27), and surfaces that are too
 * small. Nothing else is tried twice. */
static mil_status run_again(struct mil__ane_request *r, mil_error *why) {
    if (strstr(why->message, "ancelled") && evaluate(r, why)) return MIL_OK;
    if (!strstr(why->message, "status=0x1d") || r->least_bytes >= LARGER) return why->code;
    mil_error first = *why;
    if (make_larger(r, why) != MIL_OK || !evaluate(r, why)) {
        *why = first;
        return why->code;
    }
    atomic_store(&((mil__ane_loaded *)r->loaded)->least_bytes, LARGER); /* of contexts to come */
    return MIL_OK;
}

mil_status mil__ane_request_run(void *request, mil_error *err) {
    struct mil__ane_request *r = request;
    mil_error why;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = find_request(r, &why);
    if (status == MIL_OK) status = evaluate(r, &why) ? MIL_OK : run_again(r, &why);
    if (status == MIL_OK) read_statistics(r);
    mil__apple.objc_autoreleasePoolPop(pool);
    if (status != MIL_OK && err) *err = why;
    return status;
}
