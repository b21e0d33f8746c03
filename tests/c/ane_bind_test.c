/* SPDX-License-Identifier: MIT */
/* Which ports take the memory of a run's tensors, with a route that only notes what it is told: what engine ane lowers today has one
 * input or output a port, and here two share one. */
#include "standin_kit.h"

#include "engine/ane/ane.h"

static mil_error err;

/* ---- a route ---- */

enum { N_PORTS = 2, PORT_BYTES = 16384 };

static struct noted {
    mil__iosurface bound[N_PORTS];
    long n; /* times that another was bound */
} noted;

static mil_status bind_port(void *context, size_t port, mil__iosurface surface, mil_error *e) {
    struct noted *n = context;
    (void)e;
    n->n += n->bound[port] != surface;
    n->bound[port] = surface;
    return MIL_OK;
}
static mil__iosurface bound(const void *context, size_t port) { return ((const struct noted *)context)->bound[port]; }
static bool takes(const void *context, size_t port, size_t bytes) { return (void)context, (void)port, bytes == PORT_BYTES; }
static size_t surface_bytes(const void *loaded, size_t port) { return (void)loaded, (void)port, PORT_BYTES; }
static const mil__ane_route route = {.name = "noted", .bind = bind_port, .bound = bound, .takes = takes, .surface_bytes = surface_bytes};
static const mil__ane_route copying = {.name = "copying"};

/* ---- inputs a and b behind one another in port 0, fp16[1, 4, 1, 32]; output y in port 1 ---- */

static mil__ane_port ports[N_PORTS] = {{.name = "in", .dtype = MIL_FP16, .rank = 4, .shape = {1, 4, 1, 32}, .strides = {128, 32, 32, 1}, .bytes = 256},
                                       {.name = "y", .dtype = MIL_FP16, .rank = 4, .shape = {1, 2, 1, 32}, .strides = {64, 32, 32, 1}, .bytes = 128}};
static const mil__ane_source source = {.ports = ports, .n_inputs = 1, .n_outputs = 1};
enum { A, B, Y, N_VIEWS };
static mil__ane_view views[N_VIEWS];
static mil_tensor *tensors[N_VIEWS];

static void make(void) {
    static const int64_t shape[] = {1, 2, 1, 32};
    kit_begin(NULL);
    CHECK_OK(mil__apple_open(MIL__APPLE_SURFACES, &err), &err);
    for (int i = 0; i < N_VIEWS; i++) {
        views[i] = (mil__ane_view){.dtype = MIL_FP16, .port = i == Y, .offset = i == B ? 128 : 0};
        mil__tensor_init(&views[i].tensor, MIL_FP16, 4, shape, NULL);
    }
    noted = (struct noted){0};
    CHECK_OK(mil__ane_shared_tensors(&route, NULL, views, N_VIEWS, tensors, &err), &err);
}

static void drop(mil__ane_binding *b) {
    mil__ane_binding_free(b);
    for (int i = 0; i < N_VIEWS; i++) mil_tensor_free(tensors[i]);
    kit_end();
}

static mil__iosurface surface_of(int i) { return mil__buffer_surface(mil_tensor_buffer(tensors[i])); }

static void one_surface_for_two(void) {
    mil__ane_binding *b;
    make();
    CHECK(surface_of(A) == surface_of(B) && surface_of(A) != surface_of(Y));
    CHECK((char *)mil_tensor_data(tensors[B]) - (char *)mil_tensor_data(tensors[A]) == 128);
    CHECK_OK(mil__ane_binding_new(&route, &noted, views, 2, 1, NULL, 0, &source, &b, &err), &err);
    for (int i = 0; i < 3; i++) CHECK_OK(mil__ane_binding_choose(b, tensors, tensors + Y, &err), &err);
    CHECK(noted.bound[0] == surface_of(A) && noted.bound[1] == surface_of(Y));
    CHECK_EQ(noted.n, 2);
    CHECK(mil__ane_is_bound(b, 0) && mil__ane_is_bound(b, 1));
    drop(b);
}

/* Where they don't agree, the port has its own memory, and both are copied. */
static void two_that_disagree(void) {
    mil__ane_binding *b;
    mil_tensor *others[N_VIEWS];
    make();
    CHECK_OK(mil__ane_shared_tensors(&route, NULL, views, N_VIEWS, others, &err), &err);
    CHECK_OK(mil__ane_binding_new(&route, &noted, views, 2, 1, NULL, 0, &source, &b, &err), &err);
    mil_tensor *rows[][2] = {{tensors[A], others[B]}, {others[A], tensors[B]}, {tensors[B], tensors[A]}, {tensors[A], tensors[A]}};
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        CHECK_OK(mil__ane_binding_choose(b, rows[i], tensors + Y, &err), &err);
        CHECK(!noted.bound[0] && !mil__ane_is_bound(b, 0) && mil__ane_is_bound(b, 1));
    }
    CHECK_OK(mil__ane_binding_choose(b, others, tensors + Y, &err), &err);
    CHECK(noted.bound[0] == mil__buffer_surface(mil_tensor_buffer(others[A])));
    for (int i = 0; i < N_VIEWS; i++) mil_tensor_free(others[i]); /* the binding holds the memory */
    drop(b);
}

/* A lock on one gives back what was begun of the others. */
static void locks(void) {
    mil__ane_binding *b;
    make();
    CHECK_OK(mil__ane_binding_new(&route, &noted, views, 2, 1, NULL, 0, &source, &b, &err), &err);
    CHECK_OK(mil__ane_binding_choose(b, tensors, tensors + Y, &err), &err);
    CHECK_OK(mil_buffer_lock(mil_tensor_buffer(tensors[Y]), false, &err), &err);
    CHECK_STATUS(mil__ane_binding_begin(b, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "run: the memory of y is locked");
    CHECK_OK(mil_tensor_fill(tensors[A], 1, &err), &err);
    CHECK_OK(mil_buffer_unlock(mil_tensor_buffer(tensors[Y]), &err), &err);
    CHECK_OK(mil__ane_binding_begin(b, &err), &err);
    CHECK_STATUS(mil_tensor_fill(tensors[A], 1, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "fill: a run that is under way has the memory");
    mil__ane_binding_end(b);
    CHECK_OK(mil_tensor_fill(tensors[A], 1, &err), &err);
    drop(b);
}

/* What the route lets go of in a run counts as its own memory, to be copied out of. */
static void lost_in_a_run(void) {
    mil__ane_binding *b;
    make();
    CHECK_OK(mil__ane_binding_new(&route, &noted, views, 2, 1, NULL, 0, &source, &b, &err), &err);
    CHECK_OK(mil__ane_binding_choose(b, tensors, tensors + Y, &err), &err);
    CHECK_OK(mil__ane_binding_begin(b, &err), &err);
    noted.bound[1] = NULL;
    mil__ane_binding_end(b);
    CHECK(mil__ane_is_bound(b, 0) && !mil__ane_is_bound(b, 1));
    drop(b);
}

static void a_route_that_copies(void) {
    mil__ane_binding *b;
    mil_tensor *plain[N_VIEWS];
    make();
    CHECK_OK(mil__ane_binding_new(&copying, &noted, views, 2, 1, NULL, 0, &source, &b, &err), &err);
    CHECK(!b && !mil__ane_is_bound(b, 0));
    CHECK_OK(mil__ane_shared_tensors(&copying, NULL, views, N_VIEWS, plain, &err), &err);
    CHECK(mil_tensor_buffer(plain[A]) != mil_tensor_buffer(plain[B]) && mil_tensor_is_contiguous(plain[A]));
    for (int i = 0; i < N_VIEWS; i++) mil_tensor_free(plain[i]);
    drop(b);
}

static void end(void) { kit_close(); }

TEST_MAIN(CASE(one_surface_for_two), CASE(two_that_disagree), CASE(locks), CASE(lost_in_a_run), CASE(a_route_that_copies), CASE(end))
