/* SPDX-License-Identifier: MIT */
/* Bound runs of engine ane on the stand-in: tensors in surfaces that go to the engine as they are, counted; what is copied; locks. */
#include <pthread.h>

#include "standin_client.h"

static mil_error err;
static const char *route = "direct";

static void start(void) {
    use_standin();
    begin();
}

/* y = relu(a - b) over rows that are not whole 64 bytes */
static const char subtract[] =
    "program(1.3)\n{\n func main<ios18>(tensor<fp16, [1, 4, 1, 8]> a, tensor<fp16, [1, 4, 1, 8]> b) {\n"
    "  tensor<fp16, [1, 4, 1, 8]> s = sub(x = a, y = b)[name = string(\"s\")];\n"
    "  tensor<fp16, [1, 4, 1, 8]> y = relu(x = s)[name = string(\"y\")];\n } -> (y);\n}\n";
/* Of fp32, which the engine's ports are not: always copied. */
static const char wide[] =
    "program(1.3)\n{\n func main<ios18>(tensor<fp32, [1, 4, 1, 8]> a, tensor<fp32, [1, 4, 1, 8]> b) {\n"
    "  tensor<fp32, [1, 4, 1, 8]> y = sub(x = a, y = b)[name = string(\"y\")];\n } -> (y);\n}\n";

static mil_status compile(const char *text, mil_model **out, mil_error *e) {
    mil_program *program;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane";
    options.route = route;
    *out = NULL;
    mil_status status = mil_text_parse(text, strlen(text), NULL, &program, e);
    if (status != MIL_OK) return status;
    status = mil_program_compile(program, &options, out, e);
    mil_program_free(program);
    return status;
}

/* A model bound to tensors; those in surfaces unless the test replaces them. */
typedef struct bound {
    mil_model *model;
    mil_context *context;
    mil_tensor *in[2], *out[1];
} bound;

static mil_status set(bound *b, mil_error *e) {
    mil_status status = MIL_OK;
    for (size_t i = 0; i < 2 && status == MIL_OK; i++) status = mil_context_set_input(b->context, i, b->in[i], e);
    return status == MIL_OK ? mil_context_set_output(b->context, 0, b->out[0], e) : status;
}

static mil_status open_bound(const char *text, bound *b, mil_error *e) {
    *b = (bound){0};
    mil_status status = compile(text, &b->model, e);
    if (status == MIL_OK) status = mil_context_new(b->model, &b->context, e);
    if (status == MIL_OK) status = mil_model_shared(b->model, b->in, b->out, e);
    return status == MIL_OK ? set(b, e) : status;
}

static void close_bound(bound *b) {
    mil_context_free(b->context);
    for (int i = 0; i < 2; i++) mil_tensor_free(b->in[i]);
    mil_tensor_free(b->out[0]);
    mil_model_free(b->model);
}

/* Runs on a - b = first - second, and looks at the last element. */
static mil_status run_on(bound *b, double first, double second, mil_error *e) {
    double value = -1;
    mil_status status = mil_tensor_fill(b->in[0], first, e);
    if (status == MIL_OK) status = mil_tensor_fill(b->in[1], second, e);
    if (status == MIL_OK) status = mil_context_run(b->context, e);
    if (status == MIL_OK) status = mil_tensor_get(b->out[0], (int64_t[]){0, 3, 0, 7}, &value, e);
    if (status == MIL_OK) CHECK_EQ(value, first - second);
    return status;
}

static long calls(const char *name) { return CONTROL(long, calls, const char *)(name); }

static void check_copies(mil_model *model, long runs, long copies) {
    char *text, wanted[100];
    snprintf(wanted, sizeof wanted, "so far: %ld runs, %ld copies of inputs and outputs", runs, copies);
    if (!CHECK_OK(mil_model_describe(model, &text, &err), &err)) return;
    CHECK_HAS(text, wanted);
    mil_free(text);
}

/* No copy, no allocation, and of Apple's calls one pool and the evaluation. */
static void nothing_but_the_run(void) {
    start();
    mil_set_allocator(test_realloc, NULL);
    bound b;
    CHECK_OK(open_bound(subtract, &b, &err), &err);
    CHECK_EQ(mil_tensor_strides(b.in[0])[1], 32);
    CHECK_OK(run_on(&b, 3, 1, &err), &err); /* binds */
    long all = calls(NULL), pools = calls("objc_autoreleasePoolPush"), locks = calls("IOSurfaceLock");
    test_alloc.calls = 0;
    for (int i = 0; i < 10; i++) CHECK_OK(mil_context_run(b.context, &err), &err);
    CHECK_EQ(test_alloc.calls, 0);
    CHECK_EQ(calls(NULL) - all, 10); /* pools are not counted among them */
    CHECK_EQ(calls("objc_autoreleasePoolPush") - pools, 10);
    CHECK_EQ(calls("IOSurfaceLock"), locks);
    check_copies(b.model, 11, 0);
    for (int i = 0; i < 5; i++) CHECK_OK(run_on(&b, i + 2, i, &err), &err);
    check_copies(b.model, 16, 0);
    close_bound(&b);
    mil_set_allocator(NULL, NULL);
    CHECK_EQ(test_alloc.live, 0);
    end(0);
}

/* The same by e5rt, whose ports have no gaps; a stream is encoded anew only where memory was bound. */
static void nothing_but_the_run_by_e5rt(void) {
    start();
    route = "e5rt";
    mil_set_allocator(test_realloc, NULL);
    bound b;
    CHECK_OK(open_bound(subtract, &b, &err), &err);
    CHECK_EQ(mil_tensor_strides(b.in[0])[1], 8);
    CHECK_OK(run_on(&b, 3, 1, &err), &err);
    long all = calls(NULL), locks = calls("IOSurfaceLock");
    test_alloc.calls = 0;
    for (int i = 0; i < 10; i++) CHECK_OK(mil_context_run(b.context, &err), &err);
    CHECK_EQ(test_alloc.calls, 0);
    CHECK_EQ(calls(NULL) - all, 10); /* e5rt_execution_stream_execute_sync */
    CHECK_EQ(calls("IOSurfaceLock"), locks);
    mil_tensor *own = b.in[0];
    CHECK_OK(mil_tensor_new(MIL_FP16, 4, (int64_t[]){1, 4, 1, 8}, &b.in[0], &err), &err);
    CHECK_OK(set(&b, &err), &err);
    CHECK_OK(run_on(&b, 5, 2, &err), &err); /* a port has its own memory again */
    check_copies(b.model, 12, 1);
    mil_tensor_free(b.in[0]);
    b.in[0] = own;
    CHECK_OK(set(&b, &err), &err);
    for (int i = 0; i < 5; i++) CHECK_OK(run_on(&b, i + 2, i, &err), &err);
    check_copies(b.model, 17, 1);
    close_bound(&b);
    mil_set_allocator(NULL, NULL);
    CHECK_EQ(test_alloc.live, 0);
    route = "direct";
    end(0);
}

/* What does not lie as the port does is copied; what does is not, beside it. */
static void what_does_not_fit(void) {
    start();
    bound b;
    static const int64_t shape[] = {1, 4, 1, 8};
    CHECK_OK(open_bound(subtract, &b, &err), &err);
    mil_tensor *own = b.in[0];
    mil_tensor *others[3];
    CHECK_OK(mil_tensor_new(MIL_FP16, 4, shape, &others[0], &err), &err);         /* on the heap */
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 0, &others[1], &err), &err);   /* rows without gaps */
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 128, &others[2], &err), &err); /* rows too far apart */
    for (long i = 0; i < 3; i++) {
        b.in[0] = others[i];
        CHECK_OK(set(&b, &err), &err);
        CHECK_OK(run_on(&b, 5, 2, &err), &err);
        check_copies(b.model, i + 1, i + 1);
    }
    b.in[0] = own;
    CHECK_OK(set(&b, &err), &err);
    CHECK_OK(run_on(&b, 9, 2, &err), &err); /* bound again */
    check_copies(b.model, 4, 3);
    mil_tensor *out = b.out[0];
    b.out[0] = mil_tensor_retain(b.in[1]); /* in place: the surface is read, so it is not written by the engine */
    CHECK_OK(set(&b, &err), &err);
    CHECK_OK(run_on(&b, 9, 2, &err), &err);
    check_copies(b.model, 5, 4);
    mil_tensor_free(out);
    for (int i = 0; i < 3; i++) mil_tensor_free(others[i]);
    close_bound(&b);
    CHECK_OK(open_bound(wide, &b, &err), &err);
    CHECK_OK(run_on(&b, 9, 2, &err), &err);
    check_copies(b.model, 1, 3);
    close_bound(&b);
    end(0);
}

/* A surface of another process's size, or of one that this process made with mil.shared for a single port. */
static void by_layout(void) {
    start();
    static const char relu[] = "program(1.3)\n{\n func main<ios18>(tensor<fp16, [1, 4, 1, 8]> x) {\n"
                               "  tensor<fp16, [1, 4, 1, 8]> y = relu(x = x)[name = string(\"y\")];\n } -> (y);\n}\n";
    static const int64_t shape[] = {1, 4, 1, 8};
    mil_model *model;
    mil_context *context;
    mil_tensor *x, *y;
    double value;
    CHECK_OK(compile(relu, &model, &err), &err);
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 64, &x, &err), &err);
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 64, &y, &err), &err);
    CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
    CHECK_OK(mil_context_set_output(context, 0, y, &err), &err);
    CHECK_OK(mil_tensor_fill(x, 3, &err), &err);
    CHECK_OK(mil_context_run(context, &err), &err);
    CHECK_OK(mil_tensor_get(y, (int64_t[]){0, 3, 0, 7}, &value, &err), &err);
    CHECK_EQ(value, 3.0);
    check_copies(model, 1, 0);
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err); /* not bound: a run by itself copies */
    check_copies(model, 2, 2);
    mil_context_free(context);
    mil_model_free(model);
    mil_tensor_free(x), mil_tensor_free(y);
    end(0);
}

/* The output of one program is the input of the next: nothing is copied in between. */
static void chained(void) {
    start();
    bound a, b;
    CHECK_OK(open_bound(subtract, &a, &err), &err);
    CHECK_OK(open_bound(subtract, &b, &err), &err);
    mil_tensor_free(b.in[0]);
    b.in[0] = mil_tensor_retain(a.out[0]);
    CHECK_OK(set(&b, &err), &err);
    CHECK_OK(run_on(&a, 7, 2, &err), &err);
    CHECK_OK(mil_tensor_fill(b.in[1], 1, &err), &err);
    CHECK_OK(mil_context_run(b.context, &err), &err);
    double value;
    CHECK_OK(mil_tensor_get(b.out[0], (int64_t[]){0, 0, 0, 0}, &value, &err), &err);
    CHECK_EQ(value, 4.0);
    check_copies(a.model, 1, 0);
    check_copies(b.model, 1, 0);
    close_bound(&a), close_bound(&b);
    end(0);
}

static void locked(void) {
    start();
    bound b;
    CHECK_OK(open_bound(subtract, &b, &err), &err);
    mil_buffer *memory = mil_tensor_buffer(b.in[1]);
    CHECK_OK(mil_buffer_lock(memory, true, &err), &err);
    CHECK_STATUS(mil_context_run(b.context, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "run: the memory of b is locked; the Neural Engine can have it when it is unlocked");
    CHECK_OK(mil_buffer_unlock(memory, &err), &err);
    CHECK_OK(run_on(&b, 3, 1, &err), &err);
    close_bound(&b);
    end(0);
}

/* Each framework call fails once, from the first to the last of compiling, binding and running: an error, nothing left, and the next
 * run works. */
static mil_status whole(void *ctx, mil_error *e) {
    bound b;
    (void)ctx;
    mil_status status = open_bound(subtract, &b, e);
    if (status == MIL_OK) status = run_on(&b, 3, 1, e);
    if (status == MIL_OK) status = run_on(&b, 4, 1, e);
    close_bound(&b);
    return status;
}

static void every_call_of(const char *by) {
    start();
    route = by;
    test_row = by;
    long failures = 0;
    CONTROL(int, set, const char *, long)("order", 0); /* where attributes fail to come, names say the order */
    CHECK_OK(whole(NULL, &err), &err);
    CONTROL(int, set, const char *, long)("compile_limit", 1L << 40);
    for (long k = 1;; k++) {
        long before = calls(NULL);
        CONTROL(void, fail_at, long)(k);
        mil_status status = whole(NULL, &err);
        bool was_reached = calls(NULL) - before >= k;
        CONTROL(void, fail_at, long)(0);
        failures += status != MIL_OK;
        if (!CHECK_EQ(CONTROL(long, alive, void)(), 0) || !was_reached) break;
    }
    CHECK(failures > 50);
    CHECK_OK(whole(NULL, &err), &err);
    CHECK_EQ(CONTROL(long, alive, void)(), 0);
    route = "direct";
}

static void every_call(void) {
    every_call_of("direct");
    every_call_of("e5rt");
}

static void every_allocation(void) {
    for (int i = 0; i < 2; i++) {
        start();
        route = i ? "e5rt" : "direct";
        mil_set_allocator(test_realloc, NULL);
        whole(NULL, NULL);
        CHECK(test_each_allocation(whole, NULL) > 10);
        mil_set_allocator(NULL, NULL);
        end(0);
    }
    route = "direct";
}

static void *run_often(void *bound_) {
    bound *b = bound_;
    for (int i = 0; i < 50; i++)
        if (run_on(b, i + 1, 1, NULL) != MIL_OK) return b;
    return NULL;
}

/* Several contexts of one model, each bound to its own. */
static void threads(void) {
    start();
    bound b[3];
    pthread_t thread[3];
    CHECK_OK(open_bound(subtract, &b[0], &err), &err);
    for (int i = 1; i < 3; i++) {
        b[i] = (bound){.model = mil_model_retain(b[0].model)};
        CHECK_OK(mil_context_new(b[i].model, &b[i].context, &err), &err);
        CHECK_OK(mil_model_shared(b[i].model, b[i].in, b[i].out, &err), &err);
        CHECK_OK(set(&b[i], &err), &err);
    }
    for (int i = 0; i < 3; i++) pthread_create(&thread[i], NULL, run_often, &b[i]);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        CHECK(!failed);
    }
    check_copies(b[0].model, 150, 0);
    for (int i = 0; i < 3; i++) close_bound(&b[i]);
    end(0);
}

TEST_MAIN(CASE(nothing_but_the_run), CASE(nothing_but_the_run_by_e5rt), CASE(what_does_not_fit), CASE(by_layout), CASE(chained), CASE(locked), CASE(every_call),
          CASE(every_allocation), CASE(threads))
