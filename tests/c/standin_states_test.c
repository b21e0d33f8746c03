/* SPDX-License-Identifier: MIT */
/* States of engine ane on the stand-in, by both routes, beside the cpu engine's: what they hold after each run; that nothing is copied,
 * allocated or made anew where their memory goes to the engine as it is; who looks at them meanwhile; everything failing once. */
#include <pthread.h>

#include "standin_client.h"

static mil_error err;
static const char *route;

/* total += x; n is read, written twice, and read between; bias is only read. Rows are no whole 64 bytes. */
static const char text[] =
    "program(1.3)\n{\n func main<ios18>(tensor<fp16, [1, 4, 1, 8]> x, state<tensor<fp16, [1, 4, 1, 8]>> total, state<tensor<fp16, [3]>> n,\n"
    "                     state<tensor<fp16, [1, 4, 1, 8]>> bias) {\n"
    "  tensor<fp16, [1, 4, 1, 8]> old = read_state(input = total)[name = string(\"old\")];\n"
    "  tensor<fp16, [1, 4, 1, 8]> sum = add(x = old, y = x)[name = string(\"sum\")];\n"
    "  tensor<fp16, [1, 4, 1, 8]> now = coreml_update_state(state = total, value = sum)[name = string(\"now\")];\n"
    "  tensor<fp16, [1, 4, 1, 8]> b = read_state(input = bias)[name = string(\"b\")];\n"
    "  tensor<fp16, [1, 4, 1, 8]> y = sub(x = now, y = b)[name = string(\"y\")];\n"
    "  tensor<fp16, [3]> first = read_state(input = n)[name = string(\"first\")];\n"
    "  tensor<fp16, [3]> more = add(x = first, y = fp16(1))[name = string(\"more\")];\n"
    "  write_state(data = more, input = n)[name = string(\"w1\")];\n"
    "  tensor<fp16, [3]> second = read_state(input = n)[name = string(\"second\")];\n"
    "  tensor<fp16, [3]> twice = mul(x = second, y = fp16(2))[name = string(\"twice\")];\n"
    "  write_state(data = twice, input = n)[name = string(\"w2\")];\n } -> (y, second);\n}\n";
enum { N_STATES = 3, N_OUTPUTS = 2 };

static mil_status compile_with(const char *engine, bool fallback, bool verify, mil_model **out, mil_error *e) {
    mil_program *program;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = engine;
    options.route = *engine == 'a' ? route : NULL;
    options.fallback = fallback, options.verify = verify;
    *out = NULL;
    mil_status status = mil_text_parse(text, sizeof text - 1, NULL, &program, e);
    if (status != MIL_OK) return status;
    status = mil_program_compile(program, &options, out, e);
    mil_program_free(program);
    return status;
}

static mil_model *compile(const char *engine) {
    mil_model *model;
    CHECK_OK(compile_with(engine, false, false, &model, &err), &err);
    return model;
}

static mil_tensor *make_x(void) {
    mil_tensor *x = NULL;
    CHECK_OK(mil_tensor_new(MIL_FP16, 4, (const int64_t[]){1, 4, 1, 8}, &x, &err), &err);
    for (int64_t i = 0; i < 32; i++) CHECK_OK(mil_tensor_set(x, (const int64_t[]){0, i / 8, 0, i % 8}, (double)i - 7, &err), &err);
    return x;
}

static mil_state *make_state(mil_model *model) {
    mil_state *state = NULL;
    CHECK_OK(mil_state_new(model, &state, &err), &err);
    CHECK_OK(mil_tensor_fill(mil_state_tensor(state, 2), 0.5, &err), &err);
    return state;
}

static void same(const mil_tensor *got, const mil_tensor *wanted) {
    mil_tensor_gap gap = {.off = 1};
    CHECK_OK(mil_tensor_compare(got, wanted, &gap, NULL), NULL);
    CHECK_EQ(gap.off, 0.0);
}

static void same_states(const mil_state *got, const mil_state *wanted) {
    for (size_t i = 0; i < N_STATES; i++) same(mil_state_tensor(got, i), mil_state_tensor(wanted, i));
}

/* One run on each, compared. */
static void run_both(mil_model *ours, mil_state *state, mil_model *cpu, mil_state *wanted) {
    mil_tensor *x = make_x(), *got[N_OUTPUTS] = {NULL}, *right[N_OUTPUTS] = {NULL};
    CHECK_OK(mil_model_run_state(ours, &x, got, state, &err), &err);
    CHECK_OK(mil_model_run_state(cpu, &x, right, wanted, &err), &err);
    for (size_t i = 0; i < N_OUTPUTS && got[i] && right[i]; i++) same(got[i], right[i]);
    same_states(state, wanted);
    for (size_t i = 0; i < N_OUTPUTS; i++) mil_tensor_free(got[i]), mil_tensor_free(right[i]);
    mil_tensor_free(x);
}

static long calls(const char *name) { return CONTROL(long, calls, const char *)(name); }

static void check_copies(mil_model *model, long runs, long copies) {
    char *words, wanted[100];
    snprintf(wanted, sizeof wanted, "so far: %ld runs, %ld copies of inputs and outputs", runs, copies);
    if (!CHECK_OK(mil_model_describe(model, &words, &err), &err)) return;
    CHECK_HAS(words, wanted);
    mil_free(words);
}

static const char *const routes[] = {"direct", "e5rt"};
static void by_each_route(void (*run)(void)) {
    use_standin();
    for (int i = 0; i < 2; i++) {
        test_row = route = routes[i];
        begin();
        run();
        end(0);
    }
}

/* ---- what they hold ---- */

/* Two of them by turns, each written from outside once. */
static void compare_runs(void) {
    mil_model *ours = compile("ane"), *cpu = compile("cpu");
    mil_state *a = make_state(ours), *b = make_state(ours), *right_a = make_state(cpu), *right_b = make_state(cpu);
    for (int turn = 0; turn < 4; turn++) {
        run_both(ours, a, cpu, right_a);
        if (turn % 2) run_both(ours, b, cpu, right_b);
        if (turn != 2) continue;
        CHECK_OK(mil_tensor_fill(mil_state_tensor(a, 0), -3, &err), &err);
        CHECK_OK(mil_tensor_fill(mil_state_tensor(right_a, 0), -3, &err), &err);
    }
    mil_state *copy;
    CHECK_OK(mil_state_copy(a, &copy, &err), &err);
    run_both(ours, copy, cpu, right_a);
    check_copies(ours, 7, 21); /* x, y and second, each time; no state */
    mil_state_free(a), mil_state_free(b), mil_state_free(copy), mil_state_free(right_a), mil_state_free(right_b);
    mil_model_free(ours), mil_model_free(cpu);
}
static void holds_what_the_cpu_holds(void) { by_each_route(compare_runs); }

/* A state serves models of other engines, which copy what they must. */
static void serve_both(void) {
    mil_model *ours = compile("ane"), *cpu = compile("cpu");
    mil_state *a = make_state(ours), *b = make_state(cpu), *right = make_state(cpu);
    for (int turn = 0; turn < 4; turn++) {
        run_both(turn % 2 ? cpu : ours, a, cpu, right);
        mil_tensor *x = make_x(), *out[N_OUTPUTS] = {NULL};
        CHECK_OK(mil_model_run_state(turn % 2 ? ours : cpu, &x, out, b, &err), &err);
        same_states(b, right);
        for (size_t i = 0; i < N_OUTPUTS; i++) mil_tensor_free(out[i]);
        mil_tensor_free(x);
    }
    mil_state_free(a), mil_state_free(b), mil_state_free(right);
    mil_model_free(ours), mil_model_free(cpu);
}
static void serves_other_models(void) { by_each_route(serve_both); }

/* Programs across engines, and verified ones, give the memory that the engine likes. */
static void run_around(void) {
    mil_model *cpu = compile("cpu");
    for (int verify = 0; verify < 2; verify++) {
        mil_model *ours;
        char *words = NULL;
        CHECK_OK(compile_with("ane", !verify, verify, &ours, &err), &err);
        mil_state *state = make_state(ours), *right = make_state(cpu);
        CHECK(mil_buffer_kind_of(mil_tensor_buffer(mil_state_tensor(state, 0))) == MIL_SHARED);
        for (int turn = 0; turn < 3; turn++) run_both(ours, state, cpu, right);
        CHECK_OK(mil_model_describe(ours, &words, &err), &err);
        CHECK_HAS(words, verify ? "verified: a run agreed" : "ane with fallback, 1 part");
        mil_free(words);
        mil_state_free(state), mil_state_free(right);
        mil_model_free(ours);
    }
    mil_model_free(cpu);
}
static void goes_across_engines(void) { by_each_route(run_around); }

/* ---- no copy ---- */

static void bind_all(mil_context *context, mil_tensor **in, mil_tensor **out, mil_state *state) {
    CHECK_OK(mil_context_set_input(context, 0, in[0], &err), &err);
    for (size_t i = 0; i < N_OUTPUTS; i++) CHECK_OK(mil_context_set_output(context, i, out[i], &err), &err);
    CHECK_OK(mil_context_set_state(context, state, &err), &err);
}

/* From the third run on, when both requests of the direct route are made. */
static void run_warm(void) {
    mil_set_allocator(test_realloc, NULL);
    mil_model *ours = compile("ane");
    mil_context *context;
    mil_tensor *in[1], *out[N_OUTPUTS];
    CHECK_OK(mil_context_new(ours, &context, &err), &err);
    CHECK_OK(mil_model_shared(ours, in, out, &err), &err);
    mil_state *state = make_state(ours);
    bind_all(context, in, out, state);
    CHECK_OK(mil_tensor_fill(in[0], 2, &err), &err);
    for (int i = 0; i < 2; i++) CHECK_OK(mil_context_run(context, &err), &err);
    long all = calls(NULL), locks = calls("IOSurfaceLock");
    test_alloc.calls = 0;
    for (int i = 0; i < 10; i++) CHECK_OK(mil_context_run(context, &err), &err);
    CHECK_EQ(test_alloc.calls, 0);
    CHECK_EQ(calls(NULL) - all, 10); /* the runs themselves */
    CHECK_EQ(calls("IOSurfaceLock"), locks);
    check_copies(ours, 12, 0);
    double value = 0;
    CHECK_OK(mil_tensor_get(mil_state_tensor(state, 0), (const int64_t[]){0, 3, 0, 7}, &value, &err), &err);
    CHECK_EQ(value, 24.0);
    CHECK_OK(mil_tensor_get(out[0], (const int64_t[]){0, 3, 0, 7}, &value, &err), &err);
    CHECK_EQ(value, 23.5);
    mil_context_free(context);
    mil_tensor_free(in[0]), mil_tensor_free(out[0]), mil_tensor_free(out[1]);
    mil_state_free(state);
    mil_model_free(ours);
    mil_set_allocator(NULL, NULL);
    CHECK_EQ(test_alloc.live, 0);
}
static void nothing_but_the_run(void) { by_each_route(run_warm); }

/* Who retains a tensor, or looks into it, sees each run's result in it where it is. */
static void look_on(void) {
    mil_model *ours = compile("ane"), *cpu = compile("cpu");
    mil_state *state = make_state(ours), *right = make_state(cpu);
    run_both(ours, state, cpu, right);
    mil_tensor *held = mil_tensor_retain(mil_state_tensor(state, 0)), *seen = NULL, *n = mil_state_tensor(state, 1);
    CHECK_OK(mil_tensor_over(mil_tensor_buffer(n), 0, MIL_FP16, 1, (const int64_t[]){3}, NULL, &seen, &err), &err);
    for (int turn = 0; turn < 3; turn++) {
        const void *at = mil_tensor_data(held);
        run_both(ours, state, cpu, right);
        CHECK(mil_tensor_data(held) == at);
        same(held, mil_state_tensor(right, 0));
        same(seen, mil_state_tensor(right, 1));
    }
    mil_tensor_free(held), mil_tensor_free(seen);
    run_both(ours, state, cpu, right);
    mil_state_free(state), mil_state_free(right);
    mil_model_free(ours), mil_model_free(cpu);
}
static void stays_where_it_is_looked_at(void) { by_each_route(look_on); }

/* A tensor whose buffer a program has as a const can't be written. */
static void freeze(void) {
    mil_model *ours = compile("ane");
    mil_state *state = make_state(ours);
    mil_tensor *x = make_x(), *out[N_OUTPUTS] = {NULL};
    mil_buffer_freeze(mil_tensor_buffer(mil_state_tensor(state, 0)));
    CHECK_STATUS(mil_model_run_state(ours, &x, out, state, &err), MIL_ESTATE, &err);
    for (size_t i = 0; i < N_OUTPUTS; i++) mil_tensor_free(out[i]);
    mil_tensor_free(x);
    mil_state_free(state);
    mil_model_free(ours);
}
static void writes_nothing_frozen(void) { by_each_route(freeze); }

/* ---- everything failing once ---- */

static mil_status whole(mil_error *e) {
    mil_model *model;
    mil_state *state = NULL;
    mil_tensor *x = NULL, *out[N_OUTPUTS] = {NULL};
    double value = 0;
    mil_status status = compile_with("ane", false, false, &model, e);
    if (status == MIL_OK) status = mil_state_new(model, &state, e);
    if (status == MIL_OK) status = mil_tensor_new(MIL_FP16, 4, (const int64_t[]){1, 4, 1, 8}, &x, e);
    if (status == MIL_OK) status = mil_tensor_fill(x, 2, e);
    for (int i = 0; i < 3 && status == MIL_OK; i++) status = mil_model_run_state(model, &x, out, state, e);
    if (status == MIL_OK) status = mil_tensor_get(mil_state_tensor(state, 0), (const int64_t[]){0, 3, 0, 7}, &value, e);
    if (status == MIL_OK) CHECK_EQ(value, 6.0);
    for (size_t i = 0; i < N_OUTPUTS; i++) mil_tensor_free(out[i]);
    mil_tensor_free(x);
    mil_state_free(state);
    mil_model_free(model);
    return status;
}

static void fail_allocations(void) {
    CHECK_OK(whole(&err), &err);
    mil_set_allocator(test_realloc, NULL);
    for (long n = 1; n < 100000; n += n < 1200 ? 23 : 1) { /* the later ones are the states' and the runs' */
        long was_live = test_alloc.live;
        test_alloc.calls = 0, test_alloc.fail_at = n;
        mil_status status = whole(&err);
        bool failed = test_alloc.calls >= n;
        test_alloc.fail_at = 0;
        if (!CHECK_EQ(test_alloc.live, was_live) || !failed) break;
        if (status != MIL_OK && !CHECK_STATUS(status, MIL_ENOMEM, &err)) break;
    }
    mil_set_allocator(NULL, NULL);
}
static void every_allocation(void) { by_each_route(fail_allocations); }

/* Calls after compiling: those of making the state and of the runs. */
static void every_call(void) {
    use_standin();
    for (int r = 0; r < 2; r++) {
        route = routes[r];
        begin();
        mil_model *model;
        CHECK_OK(compile_with("ane", false, false, &model, &err), &err);
        for (long n = 1; n < 200; n++) {
            char row[40];
            snprintf(row, sizeof row, "%s, call %ld", route, n);
            test_row = row;
            mil_context *context = NULL;
            mil_state *state = NULL;
            mil_tensor *x = make_x();
            CONTROL(void, fail_at, long)(n);
            mil_status status = mil_state_new(model, &state, &err);
            if (status == MIL_OK) status = mil_context_new(model, &context, &err);
            if (status == MIL_OK) status = mil_context_set_input(context, 0, x, &err);
            if (status == MIL_OK) status = mil_context_set_state(context, state, &err);
            for (int i = 0; i < 3 && status == MIL_OK; i++) status = mil_context_run(context, &err);
            bool reached = CONTROL(const char *, failed, void)() != NULL;
            CONTROL(void, fail_at, long)(0);
            if (status != MIL_OK) CHECK(*err.message && status != MIL_ENOMEM);
            mil_context_free(context);
            mil_state_free(state);
            mil_tensor_free(x);
            if (!reached) break;
        }
        mil_model_free(model);
        CHECK_EQ(CONTROL(long, alive, void)(), 0);
    }
}

/* ---- threads, each with its own ---- */

static void *run_often(void *model) {
    mil_error e;
    mil_state *state = NULL;
    mil_tensor *x = make_x(), *out[N_OUTPUTS] = {NULL};
    double value = 0;
    CHECK_OK(mil_state_new(model, &state, &e), &e);
    for (int i = 0; i < 20; i++) CHECK_OK(mil_model_run_state(model, &x, out, state, &e), &e);
    CHECK_OK(mil_tensor_get(mil_state_tensor(state, 0), (const int64_t[]){0, 1, 0, 0}, &value, &e), &e);
    CHECK_EQ(value, 20.0);
    for (size_t i = 0; i < N_OUTPUTS; i++) mil_tensor_free(out[i]);
    mil_tensor_free(x);
    mil_state_free(state);
    return NULL;
}

static void run_threads(void) {
    mil_model *model = compile("ane");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, run_often, model);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    mil_model_free(model);
}
static void serves_threads(void) { by_each_route(run_threads); }

TEST_MAIN(CASE(holds_what_the_cpu_holds), CASE(serves_other_models), CASE(goes_across_engines), CASE(nothing_but_the_run),
          CASE(stays_where_it_is_looked_at), CASE(writes_nothing_frozen), CASE(every_allocation), CASE(every_call), CASE(serves_threads))
