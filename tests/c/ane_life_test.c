/* SPDX-License-Identifier: MIT */
/* The life of models of engine ane, and what can go wrong in it, by either route: unloading and freeing while runs are under way, memory
 * and room on disk that can't be had, weights that are not what the text says. Each has its own error, leaves nothing, and what comes
 * next works. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "standin_kit.h"

static const char *const routes[] = {"direct", "e5rt"};
static mil_error err;

static void by_each_route(void (*test)(void)) {
    for (int i = 0; i < 2; i++) {
        kit_begin(routes[i]);
        test_row = routes[i];
        test();
        kit_end();
    }
}

static void unloaded(mil_status status) {
    if (CHECK_STATUS(status, MIL_ESTATE, &err)) CHECK_HAS(err.message, "the model has been unloaded");
}

/* ---- unloading ---- */

static void run_after_unload(void) {
    mil_model *model;
    mil_context *context;
    mil_tensor *in[2], *out[2] = {NULL, NULL};
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    mil_model_unload(model);
    unloaded(kit_run(model, &err));
    unloaded(mil_context_run(context, &err));
    unloaded(mil_model_shared(model, in, out, &err));
    mil_context *another;
    unloaded(mil_context_new(model, &another, &err));
    mil_context_free(context); /* its memory goes after the program's */
    mil_model_free(model);
    CHECK_OK(kit_whole(&err), &err);
}

static atomic_int n_begun;

/* Runs until the model is gone: its result is right or it says so. */
static void *run_until_unloaded(void *model) {
    mil_error e = {0};
    mil_status status = MIL_OK;
    for (int i = 0; i < 100000 && status == MIL_OK; i++) {
        status = kit_run(model, &e);
        atomic_fetch_add(&n_begun, 1);
    }
    CHECK_STATUS(status, MIL_ESTATE, &e);
    return NULL;
}

static void unload_during_runs(void) {
    mil_model *model;
    pthread_t threads[3];
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    atomic_store(&n_begun, 0);
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, run_until_unloaded, model);
    while (atomic_load(&n_begun) < 6) sched_yield();
    mil_model_unload(model);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    mil_model_free(model);
    CHECK_OK(kit_whole(&err), &err);
}

/* ---- freeing ---- */

static void free_with_runs_in_flight(void) {
    enum { N = 5 };
    mil_model *model;
    mil_tensor *inputs[2];
    mil_run *runs[N];
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    for (size_t i = 0; i < 2; i++) inputs[i] = kit_input(model, i);
    for (int i = 0; i < N; i++) CHECK_OK(mil_model_start(model, inputs, NULL, NULL, NULL, NULL, &runs[i], &err), &err);
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]);
    mil_model_free(model); /* the runs hold it */
    mil_run_free(runs[0]);
    for (int i = 1; i < N; i++) {
        mil_tensor *outputs[2] = {NULL, NULL};
        CHECK_OK(mil_run_result(runs[i], outputs, &err), &err);
        for (size_t k = 0; k < 2; k++) CHECK(outputs[k] != NULL), mil_tensor_free(outputs[k]);
        mil_run_free(runs[i]);
    }
    CHECK_OK(kit_whole(&err), &err);
}

static void unload_with_runs_in_flight(void) {
    mil_model *model;
    mil_tensor *inputs[2], *outputs[2] = {NULL, NULL};
    mil_run *run, *late;
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    for (size_t i = 0; i < 2; i++) inputs[i] = kit_input(model, i);
    CHECK_OK(mil_model_start(model, inputs, NULL, NULL, NULL, NULL, &run, &err), &err);
    mil_model_unload(model);
    unloaded(mil_model_start(model, inputs, NULL, NULL, NULL, NULL, &late, &err));
    CHECK_OK(mil_run_result(run, outputs, &err), &err); /* it was under way, and is finished first */
    for (size_t k = 0; k < 2; k++) kit_check_output(model, k, outputs[k]), mil_tensor_free(outputs[k]);
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]);
    mil_run_free(run);
    mil_model_free(model);
    CHECK_OK(kit_whole(&err), &err);
}

/* ---- forking beside runs ---- */

static mil_model *forked_model;
static mil_context *forked_context;
static atomic_bool stop_running;

static void *run_until_stopped(void *model) {
    while (!atomic_load(&stop_running)) CHECK_OK(kit_run(model, &err), &err);
    return NULL;
}

static void stayed_with_the_parent(mil_status status) {
    if (CHECK_STATUS(status, MIL_ESTATE, &err)) CHECK_HAS(err.message, "forked");
}

/* Whatever the other threads held when they were left behind: each of these says at once that it can't be. */
static void use_what_was_inherited(void) {
    mil_tensor *in[2], *out[2];
    char *told;
    mil_context *another;
    alarm(100);
    stayed_with_the_parent(kit_run(forked_model, &err));
    stayed_with_the_parent(mil_context_run(forked_context, &err));
    stayed_with_the_parent(mil_context_new(forked_model, &another, &err));
    stayed_with_the_parent(mil_model_shared(forked_model, in, out, &err));
    stayed_with_the_parent(kit_whole(&err));
    CHECK_OK(mil_model_describe(forked_model, &told, &err), &err);
    mil_free(told);
    mil_context_free(forked_context);
    mil_model_unload(forked_model);
    mil_model_free(forked_model);
}

static void forks_beside_runs(void) {
    mil_tensor *inputs[2];
    pthread_t threads[2];
    if (!CHECK_OK(kit_compile(&forked_model, &err), &err)) return;
    CHECK_OK(mil_context_new(forked_model, &forked_context, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        inputs[i] = kit_input(forked_model, i);
        CHECK_OK(mil_context_set_input(forked_context, i, inputs[i], &err), &err);
    }
    CHECK_OK(mil_context_run(forked_context, &err), &err);
    atomic_store(&stop_running, false);
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, run_until_stopped, forked_model);
    for (int i = 0; i < 20; i++) kit_in_child(use_what_was_inherited);
    atomic_store(&stop_running, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]);
    mil_context_free(forked_context);
    mil_model_free(forked_model);
    CHECK_OK(kit_whole(&err), &err);
}

/* ---- memory ---- */

/* What a context's memory is made by, and what is said where that fails. */
static void memory_that_is_not_to_be_had(void) {
    bool is_direct = strcmp(kit_route, "direct") == 0;
    mil_model *model;
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    CHECK_OK(kit_run(model, &err), &err); /* whose context stays */
    mil_context *context;
    standin.fail_named(is_direct ? "IOSurfaceCreate" : "e5rt_buffer_object_alloc");
    CHECK_STATUS(mil_context_new(model, &context, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, is_direct ? "the system makes no IOSurface of 16384 bytes" : "e5rt_buffer_object_alloc");
    standin.fail_named(NULL);
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    mil_context_free(context);
    CHECK_OK(kit_run(model, &err), &err);
    mil_model_free(model);
}

static void surfaces_that_are_not_to_be_had(void) {
    mil_tensor *in[2], *out[2];
    mil_model *model;
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    standin.fail_named("IOSurfaceCreate");
    CHECK_STATUS(mil_model_shared(model, in, out, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "the system makes no IOSurface of");
    for (int i = 0; i < 2; i++) CHECK(!in[i] && !out[i]);
    standin.fail_named(NULL);
    CHECK_OK(mil_model_shared(model, in, out, &err), &err);
    for (int i = 0; i < 2; i++) mil_tensor_free(in[i]), mil_tensor_free(out[i]);
    mil_model_free(model);
}

/* ---- weights in files, and the disk ---- */

enum { BLOB = 65536, DATA = 128 };
static uint8_t blob[BLOB] = {[0] = 1, [4] = 2, [64] = 0xef, [65] = 0xbe, [66] = 0xad, [67] = 0xde, [68] = 1, [72] = 8, [80] = DATA,
                             [DATA + 1] = 0x3c, [DATA + 7] = 0x40}; /* fp16: 1 0 0 2 */

static mil_status compile_text(size_t n_bytes, mil_model **out) {
    static const char text[] =
        "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
        " func main<ios18>(tensor<fp16, [1, 2, 1, 32]> x) {\n"
        "  tensor<fp16, [2, 2, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [2, 2, 1, 1]>(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
        "  string vp = const()[name = string(\"vp\"), val = string(\"valid\")];\n"
        "  tensor<int32, [2]> st = const()[name = string(\"st\"), val = tensor<int32, [2]>([1, 1])];\n"
        "  tensor<int32, [4]> pd = const()[name = string(\"pd\"), val = tensor<int32, [4]>([0, 0, 0, 0])];\n"
        "  int32 gr = const()[name = string(\"gr\"), val = int32(1)];\n"
        "  tensor<fp16, [1, 2, 1, 32]> y = conv(dilations = st, groups = gr, pad = pd, pad_type = vp, strides = st, weight = w, x = x)[name = string(\"y\")];\n"
        " } -> (y);\n}\n";
    mil_text_file file = {"@model_path/weights/w.bin", blob, n_bytes};
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane";
    options.route = kit_route;
    return mil_text_compile(text, sizeof text - 1, &file, 1, &options, out, &err);
}

static void compiles(void) {
    mil_model *model;
    if (CHECK_OK(compile_text(BLOB, &model), &err)) mil_model_free(model);
}

static void refused(mil_status status, mil_status wanted, const char *message) {
    CHECK_STATUS(status, wanted, &err);
    CHECK_HAS(err.message, message);
    CHECK_EQ(kit_entries_left(), 0);
    compiles();
}

/* The compiler says what it finds wrong; what was written for it is gone. */
static void weights_that_are_not_whole(void) {
    mil_model *model;
    compiles();
    blob[72] = 4; /* the record says that it has half of what the text takes */
    mil_status status = compile_text(BLOB, &model);
    blob[72] = 8;
    refused(status, MIL_EUNSUPPORTED, "4 bytes");
    refused(compile_text(DATA + 4, &model), MIL_EUNSUPPORTED, "is outside of the file");
}

/* A process whose files may have 4 KiB stands for a disk that is full. */
static void full_disk(void) {
    mil_model *model;
    struct rlimit was, small;
    CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
    small = was;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    mil_status status = compile_text(BLOB, &model);
    CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
    refused(status, MIL_EIO, "w.bin: File too large");
}

static void run_after_unload_(void) { by_each_route(run_after_unload); }
static void unload_during_runs_(void) { by_each_route(unload_during_runs); }
static void free_with_runs_in_flight_(void) { by_each_route(free_with_runs_in_flight); }
static void unload_with_runs_in_flight_(void) { by_each_route(unload_with_runs_in_flight); }
static void forks_beside_runs_(void) { by_each_route(forks_beside_runs); }
static void memory_(void) { by_each_route(memory_that_is_not_to_be_had); }
static void surfaces_(void) { by_each_route(surfaces_that_are_not_to_be_had); }
static void weights_(void) { by_each_route(weights_that_are_not_whole); }
static void full_disk_(void) { by_each_route(full_disk); }
static void end(void) { kit_close(); }

TEST_MAIN(CASE(run_after_unload_), CASE(unload_during_runs_), CASE(free_with_runs_in_flight_), CASE(unload_with_runs_in_flight_), CASE(forks_beside_runs_),
          CASE(memory_), CASE(surfaces_), CASE(weights_), CASE(full_disk_), CASE(end))
