/* SPDX-License-Identifier: MIT */
/* Started runs: several in flight, callbacks, the order of those on one state, cancelling, unloading and freeing meanwhile, a fork,
 * every allocation failing. Under ThreadSanitizer too (make check-all). */
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static mil_error err;

static const char doubling[] =
    "program(1.3) { func main<ios18>(tensor<fp32, [64]> x) { tensor<fp32, [64]> y = add(x = x, y = x)[name = string(\"y\")]; } -> (y); }";
/* memory = 2 * memory + x, of n numbers */
#define COUNTING(n) \
    "program(1.3) { func main<ios18>(tensor<fp16, [" n "]> x, state<tensor<fp16, [" n "]>> memory) {" \
    " tensor<fp16, [" n "]> old = read_state(input = memory)[name = string(\"old\")];"               \
    " tensor<fp16, [" n "]> twice = add(x = old, y = old)[name = string(\"twice\")];"                \
    " tensor<fp16, [" n "]> y = add(x = twice, y = x)[name = string(\"y\")];"                        \
    " tensor<fp16, [" n "]> z = coreml_update_state(state = memory, value = y)[name = string(\"z\")]; } -> (y); }"
static const char counting[] = COUNTING("1"), counting_many[] = COUNTING("1000000");

static mil_model *compile(const char *text) {
    mil_program *program = NULL;
    mil_model *model = NULL;
    CHECK_OK(mil_text_parse(text, strlen(text), NULL, &program, &err), &err);
    CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err);
    mil_program_free(program);
    return model;
}

/* A loop without an end, over p. */
static mil_model *endless(void) {
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_block body, blocks[2];
    mil_value p, q, y, out;
    CHECK_OK(mil_program_new(MIL_IOS18, &program, &err), &err);
    CHECK_OK(mil_program_function(program, "main", &body, &err), &err);
    CHECK_OK(mil_program_input(program, body, "p", MIL_BOOL, 0, NULL, false, &p, &err), &err);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(mil_program_block(program, body, &blocks[i], &err), &err);
        CHECK_OK(mil_program_block_input(program, blocks[i], p, &q, &err), &err);
        CHECK_OK(mil_program_block_output(program, blocks[i], q, &err), &err);
    }
    mil_arg item = {.kind = MIL_ARG_VALUE, .value = p}, vars = {.name = "loop_vars", .kind = MIL_ARG_TUPLE, .items = &item, .n = 1};
    CHECK_OK(mil_program_add_nested(program, body, mil_op_find("while_loop"), &vars, 1, blocks, 2, "loop", (mil_where){0}, &y, 1, NULL,
                                    &err), &err);
    CHECK_OK(mil_program_output(program, body, "y", y, &out, &err), &err);
    CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err);
    mil_program_free(program);
    return model;
}

static mil_tensor *full(mil_dtype dtype, int rank, int64_t n, double value) {
    mil_tensor *tensor = NULL;
    CHECK_OK(mil_tensor_new(dtype, rank, &n, &tensor, &err), &err);
    CHECK_OK(mil_tensor_fill(tensor, value, &err), &err);
    return tensor;
}

static double first(const mil_tensor *tensor) {
    double value = NAN;
    int64_t index = 0;
    CHECK_OK(mil_tensor_get(tensor, &index, &value, &err), &err);
    return value;
}

/* ---- callbacks ---- */

typedef struct seen {
    atomic_int calls, failures;
} seen;

static void count(void *ctx, mil_run *run) {
    seen *s = ctx;
    mil_tensor *y = NULL;
    if (mil_run_result(run, &y, NULL) != MIL_OK) atomic_fetch_add(&s->failures, 1);
    mil_tensor_free(y);
    atomic_fetch_add(&s->calls, 1);
}

/* ---- cases ---- */

static void many_at_once(void) {
    enum { N = 40 };
    mil_model *model = compile(doubling);
    mil_run *runs[N];
    seen s = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            mil_tensor *x = full(MIL_FP32, 1, 64, i);
            CHECK_OK(mil_model_start(model, &x, NULL, NULL, count, &s, &runs[i], &err), &err);
            mil_tensor_free(x); /* the run has its own hold */
        }
        for (int i = N - 1; i >= 0; i--) {
            mil_tensor *y = NULL, *again = NULL;
            CHECK(mil_run_wait(runs[i], INFINITY));
            CHECK(mil_run_is_done(runs[i]));
            CHECK_OK(mil_run_result(runs[i], &y, &err), &err);
            CHECK_OK(mil_run_result(runs[i], &again, &err), &err);
            CHECK(y == again);
            CHECK_EQ(first(y), 2.0 * i);
            mil_tensor_free(y);
            mil_tensor_free(again);
            mil_run_free(runs[i]);
        }
    }
    CHECK_EQ(atomic_load(&s.calls), 3 * N);
    CHECK_EQ(atomic_load(&s.failures), 0);
    mil_model_free(model);
}

static atomic_int n_next;

/* Ends when the next run has, or after a while. */
static void wait_for_the_next(void *ctx, mil_run *run) {
    (void)run;
    if (ctx) atomic_fetch_add(&n_next, 1);
    else for (int i = 0; i < 2000 && !atomic_load(&n_next); i++) nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* A run on a state begins when the one before has ended, whatever the callback of that does meanwhile. */
static void callbacks_that_last(void) {
    mil_model *model = compile(counting_many);
    mil_state *state = NULL;
    mil_tensor *x = full(MIL_FP16, 1, 1000000, 1);
    CHECK_OK(mil_state_new(model, &state, &err), &err);
    int n_late = 0;
    for (int round = 0; round < 10 && !n_late; round++) {
        mil_run *runs[2];
        atomic_store(&n_next, 0);
        for (int i = 0; i < 2; i++) CHECK_OK(mil_model_start(model, &x, NULL, state, wait_for_the_next, i ? &err : NULL, &runs[i], &err), &err);
        n_late += !mil_run_wait(runs[0], 1);
        for (int i = 0; i < 2; i++) mil_run_free(runs[i]);
    }
    CHECK_EQ(n_late, 0);
    mil_tensor_free(x);
    mil_state_free(state);
    mil_model_free(model);
}

static void into_a_tensor(void) {
    mil_model *model = compile(doubling);
    mil_tensor *x = full(MIL_FP32, 1, 64, 3), *y = full(MIL_FP32, 1, 64, 0), *got = NULL;
    mil_run *run = NULL;
    CHECK_OK(mil_model_start(model, &x, &y, NULL, NULL, NULL, &run, &err), &err);
    CHECK_OK(mil_run_result(run, &got, &err), &err);
    CHECK(got == y);
    CHECK_EQ(first(y), 6.0);
    mil_run_free(run);
    mil_tensor_free(got);
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
}

static void what_is_refused(void) {
    mil_model *model = compile(doubling), *stateful = compile(counting);
    mil_tensor *none = NULL, *x = full(MIL_FP32, 1, 64, 1), *wrong = full(MIL_FP32, 1, 3, 1), *one = full(MIL_FP16, 1, 1, 1);
    mil_run *run = NULL;
    CHECK_STATUS(mil_model_start(model, &none, NULL, NULL, NULL, NULL, &run, &err), MIL_EINVAL, &err);
    CHECK_STATUS(mil_model_start(model, &wrong, NULL, NULL, NULL, NULL, &run, &err), MIL_ETYPE, &err);
    CHECK_STATUS(mil_model_start(model, &x, &wrong, NULL, NULL, NULL, &run, &err), MIL_ETYPE, &err);
    CHECK_STATUS(mil_model_start(stateful, &one, NULL, NULL, NULL, NULL, &run, &err), MIL_EINVAL, &err);
    mil_model_unload(model);
    CHECK_STATUS(mil_model_start(model, &x, NULL, NULL, NULL, NULL, &run, &err), MIL_ESTATE, &err);
    CHECK(run == NULL);
    mil_tensor_free(x);
    mil_tensor_free(wrong);
    mil_tensor_free(one);
    mil_model_free(model);
    mil_model_free(stateful);
    mil_run_free(NULL);
}

/* 2 * memory + x depends on the order. */
static void on_one_state(void) {
    enum { N = 8 };
    mil_model *model = compile(counting);
    mil_state *state = NULL;
    mil_run *runs[N];
    CHECK_OK(mil_state_new(model, &state, &err), &err);
    double wanted = 0;
    for (int i = 0; i < N; i++) {
        mil_tensor *x = full(MIL_FP16, 1, 1, i);
        CHECK_OK(mil_model_start(model, &x, NULL, state, NULL, NULL, &runs[i], &err), &err);
        mil_tensor_free(x);
        wanted = 2 * wanted + i;
    }
    for (int i = 0; i < N; i++) CHECK_OK(mil_run_result(runs[i], NULL, &err), &err);
    CHECK_EQ(first(mil_state_tensor(state, 0)), wanted);
    for (int i = 0; i < N; i++) mil_run_free(runs[i]);
    mil_state_free(state);
    mil_model_free(model);
}

static void cancelled(void) {
    mil_model *model = endless();
    mil_tensor *p = full(MIL_BOOL, 0, 0, 1);
    mil_run *one = NULL, *other = NULL;
    CHECK_OK(mil_model_start(model, &p, NULL, NULL, NULL, NULL, &one, &err), &err);
    CHECK_OK(mil_model_start(model, &p, NULL, NULL, NULL, NULL, &other, &err), &err);
    CHECK(!mil_run_wait(one, 0.01));
    mil_run_cancel(one);
    CHECK_STATUS(mil_run_result(one, NULL, &err), MIL_ECANCELLED, &err);
    CHECK(!mil_run_wait(other, 0));
    mil_cancel(model);
    CHECK_STATUS(mil_run_result(other, NULL, &err), MIL_ECANCELLED, &err);
    mil_run_free(one);
    mil_run_free(other);
    mil_tensor_free(p);
    mil_model_free(model);
}

/* More than threads: some have begun, some wait. Nobody waits for them, and each callback comes all the same. */
static void freed_before_the_end(void) {
    enum { N = 80 };
    mil_model *model = endless();
    mil_tensor *p = full(MIL_BOOL, 0, 0, 1);
    mil_run *runs[N];
    seen s = {0};
    for (int i = 0; i < N; i++) CHECK_OK(mil_model_start(model, &p, NULL, NULL, count, &s, &runs[i], &err), &err);
    mil_tensor_free(p);
    mil_model_free(model); /* the runs have it */
    for (int i = 0; i < N; i++) mil_run_free(runs[i]);
    CHECK_EQ(atomic_load(&s.calls), N);
    CHECK_EQ(atomic_load(&s.failures), N);
}

static void unloaded_meanwhile(void) {
    enum { N = 40 };
    mil_model *model = compile(doubling);
    mil_tensor *x = full(MIL_FP32, 1, 64, 1);
    mil_run *runs[N];
    for (int i = 0; i < N; i++) CHECK_OK(mil_model_start(model, &x, NULL, NULL, NULL, NULL, &runs[i], &err), &err);
    mil_model_unload(model);
    for (int i = 0; i < N; i++) {
        CHECK_OK(mil_run_result(runs[i], NULL, &err), &err);
        mil_run_free(runs[i]);
    }
    mil_tensor_free(x);
    mil_model_free(model);
}

#if defined(__SANITIZE_THREAD__)
#define THREADS_AFTER_FORK false /* which ThreadSanitizer can't follow */
#else
#define THREADS_AFTER_FORK true
#endif

static void forked(void) {
    mil_model *model = endless(), *quick = compile(doubling);
    mil_tensor *p = full(MIL_BOOL, 0, 0, 1), *x = full(MIL_FP32, 1, 64, 1), *y = NULL;
    mil_run *run = NULL, *again = NULL;
    CHECK_OK(mil_model_start(model, &p, NULL, NULL, NULL, NULL, &run, &err), &err);
    CHECK(!mil_run_wait(run, 0.01));
    pid_t child = fork();
    if (child == 0) {
        bool is_told = mil_run_is_done(run) && mil_run_result(run, NULL, &err) == MIL_ESTATE;
        bool runs = !THREADS_AFTER_FORK ||
                    (mil_model_start(quick, &x, NULL, NULL, NULL, NULL, &again, &err) == MIL_OK && mil_run_result(again, &y, &err) == MIL_OK && first(y) == 2);
        mil_run_free(run);
        /* what the lost thread held is nobody's here: no leak checker is to look at it */
        kill(getpid(), is_told && runs ? SIGKILL : SIGTERM);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    mil_run_free(run);
    mil_tensor_free(p);
    mil_tensor_free(x);
    mil_model_free(model);
    mil_model_free(quick);
}

static mil_status start_and_take(void *ctx, mil_error *e) {
    mil_tensor *x = ctx, *y = NULL;
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_run *run = NULL;
    mil_status status = mil_text_parse(doubling, strlen(doubling), NULL, &program, e);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, &model, e);
    if (status == MIL_OK) status = mil_model_start(model, &x, NULL, NULL, NULL, NULL, &run, e);
    if (status == MIL_OK) status = mil_run_result(run, &y, e);
    mil_tensor_free(y);
    mil_run_free(run);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static void out_of_memory(void) {
    mil_set_allocator(test_realloc, NULL); /* which doesn't count for several threads at once; one run waits for another here */
    mil_tensor *x = full(MIL_FP32, 1, 64, 1);
    CHECK(test_each_allocation(start_and_take, x) > 0);
    mil_tensor_free(x);
}

TEST_MAIN(CASE(many_at_once), CASE(callbacks_that_last), CASE(into_a_tensor), CASE(what_is_refused), CASE(on_one_state), CASE(cancelled),
          CASE(freed_before_the_end), CASE(unloaded_meanwhile), CASE(forked), CASE(out_of_memory))
