/* SPDX-License-Identifier: MIT */
/* Engine ane by the direct route, on the stand-in for the frameworks (tests/standin/ane), which the Makefile builds beside. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standin/ane/ane.h"
#include "test.h"

static standin_ane *standin;
static char temporary[200]; /* for the folders of programs; empty between cases */

static void set_up(void) {
    static char folder[1000];
    if (standin) return;
    snprintf(temporary, sizeof temporary, "%s/ane_test.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(temporary)) abort();
    setenv("TMPDIR", temporary, 1);
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 40);
    folder[n > 0 ? n : 0] = 0;
    for (int i = 0; i < 2; i++)
        if (strrchr(folder, '/')) *strrchr(folder, '/') = 0;
    strcat(folder, "/standin/ane");
    setenv("MIL_FRAMEWORKS", folder, 1);
    strcat(folder, "/libobjc.A.so");
    void *library = dlopen(folder, RTLD_NOW);
    if (!library) fprintf(stderr, "%s\n", dlerror()), abort();
    standin = dlsym(library, "standin");
}

static int entries_left(void) {
    DIR *dir = opendir(temporary);
    int n = -2;
    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n;
}

/* Nothing is left of the case, and the stand-in has seen nothing that may not be. */
static void check_end(void) {
    CHECK_EQ((const char *)standin->mistake, "");
    CHECK_EQ(standin->live, 0);
    CHECK_EQ(entries_left(), 0);
    long compiles = standin->compiles;
    *standin = (standin_ane){.compiles = compiles};
}

/* y = relu(x + b): two inputs, whose sizes and order of names differ from their order here. */
static mil_program *make_program(mil_error *err) {
    static const char text[] =
        "program(1.3)\n{\n func main<ios18>(tensor<fp32, [3, 5]> x, tensor<fp32, [1, 5]> b) {\n"
        "  tensor<fp32, [3, 5]> s = add(x = x, y = b)[name = string(\"s\")];\n"
        "  tensor<fp32, [3, 5]> y = relu(x = s)[name = string(\"y\")];\n"
        "  tensor<fp32, [3, 5]> a = mul(x = s, y = s)[name = string(\"a\")];\n } -> (y, a);\n}\n";
    mil_program *program = NULL;
    mil_text_parse(text, sizeof text - 1, NULL, &program, err);
    return program;
}

static mil_tensor *tensor_of(int64_t rows, float first) {
    mil_tensor *tensor = NULL;
    if (!CHECK_OK(mil_tensor_new(MIL_FP32, 2, (int64_t[]){rows, 5}, &tensor, NULL), NULL)) return NULL;
    for (int i = 0; i < 5 * rows; i++) ((float *)mil_tensor_data(tensor))[i] = first + (float)i;
    return tensor;
}

/* Inputs by the name of the port: text sorts them. */
static mil_status run_once(mil_model *model, mil_error *err) {
    mil_tensor *inputs[2], *outputs[2] = {NULL, NULL};
    for (size_t i = 0; i < 2; i++) inputs[i] = *mil_model_input(model, i)->name == 'x' ? tensor_of(3, -7) : tensor_of(1, 10);
    mil_status status = mil_model_run(model, inputs, outputs, err);
    for (size_t i = 0; i < 2 && status == MIL_OK; i++) {
        bool is_y = *mil_model_output(model, i)->name == 'y';
        const float *got = mil_tensor_data(outputs[i]);
        for (int k = 0; k < 15; k++) {
            float sum = (float)(-7 + k) + (float)(10 + k % 5), wanted = is_y ? (sum > 0 ? sum : 0) : sum * sum;
            if (!CHECK_EQ(got[k], wanted)) break;
        }
    }
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]), mil_tensor_free(outputs[i]);
    return status;
}

static mil_status compile(mil_model **out, mil_error *err) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane";
    mil_program *program = make_program(err);
    *out = NULL;
    if (!program) return err->code;
    mil_status status = mil_program_compile(program, &options, out, err);
    mil_program_free(program);
    return status;
}

static mil_status whole(void *ctx, mil_error *err) {
    mil_model *model;
    (void)ctx;
    mil_status status = compile(&model, err);
    if (status == MIL_OK) status = run_once(model, err);
    mil_model_free(model);
    return status;
}

/* In a process of its own, where nothing is open yet and nothing was compiled: so these cases come before all others. */
static void in_child(void (*run)(void)) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int before = test_failures;
        run();
        fflush(NULL);
        _exit(test_failures != before);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
}

/* Each call that may fail does, one after the other: an error each time or, where there is another way, none; nothing is left
 * of ours or of theirs, and the next attempt works. */
static long failing;
static char not_reached[220]; /* a file that says so to the parent */

static void fail_call(void) {
    char row[40];
    mil_error err = {0};
    snprintf(row, sizeof row, "call %ld", failing);
    test_row = row;
    standin->fail_at = failing;
    mil_set_allocator(test_realloc, NULL);
    mil_status status = whole(NULL, &err);
    CHECK(status == MIL_OK || *err.message);
    CHECK_EQ(test_alloc.live, 0);
    CHECK_EQ((const char *)standin->mistake, "");
    CHECK_EQ(standin->live, 0);
    CHECK_EQ(entries_left(), 0);
    if (standin->calls < failing) {
        CHECK_EQ((int)status, MIL_OK);
        FILE *file = fopen(not_reached, "w");
        if (CHECK(file != NULL)) fclose(file);
        return;
    }
    CHECK_OK(whole(NULL, &err), &err);
}

static void every_failure(void) {
    set_up();
    snprintf(not_reached, sizeof not_reached, "%s.end", temporary);
    for (failing = 1; failing < 1000 && access(not_reached, F_OK) != 0; failing++) in_child(fail_call);
    CHECK(failing > 60 && failing < 1000);
    unlink(not_reached);
}

static void works(void) {
    mil_error err = {0};
    char *text = NULL;
    mil_model *model;
    set_up();
    CHECK(mil_engine_available("ane", NULL));
    char line[100];
    mil_engine_describe("ane", line, sizeof line);
    CHECK_EQ((const char *)line, "ane (h16g, 16 cores, system 25A123)");
    if (!CHECK_OK(compile(&model, &err), &err)) return;
    CHECK_EQ(entries_left(), 1);
    for (int i = 0; i < 3; i++) CHECK_OK(run_once(model, &err), &err);
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    CHECK_HAS(text, "route: direct, in the short spelling, compiled");
    CHECK_HAS(text, "order of the ports: as the loaded model reports it");
    mil_free(text);
    mil_model_unload(model);
    CHECK_STATUS(run_once(model, &err), MIL_ESTATE, &err);
    mil_model_free(model);
    check_end();
}

/* What the loaded model reports is used; where it reports nothing, it is computed. */
static void layouts(void) {
    mil_error err = {0};
    set_up();
    for (int row = 64; row <= 256; row *= 2) {
        standin->row_bytes = row;
        CHECK_OK(whole(NULL, &err), &err);
    }
    standin->row_bytes = 16;
    CHECK_OK(whole(NULL, &err), &err);
    standin->row_bytes = 0;
    standin->is_silent = 1;
    CHECK_OK(whole(NULL, &err), &err);
    check_end();
}

static void small_surfaces_are_made_anew(void) {
    mil_error err = {0};
    set_up();
    standin->least_surface = 49152;
    CHECK_OK(whole(NULL, &err), &err);
    standin->least_surface = 49153;
    CHECK_STATUS(whole(NULL, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "run: the Neural Engine failed: ANEProgramProcessRequestDirect() Failed with status=0x1d");
    CHECK_HAS(err.message, "(com.apple.appleneuralengine 8)");
    check_end();
}

static void a_cancelled_submission_is_repeated(void) {
    mil_error err = {0};
    set_up();
    standin->cancels = 1;
    CHECK_OK(whole(NULL, &err), &err);
    standin->cancels = 2;
    CHECK_STATUS(whole(NULL, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "Request cancelled");
    check_end();
}

static void the_other_spelling(void) {
    mil_error err = {0};
    set_up();
    standin->refuses_short = 1;
    CHECK_OK(whole(NULL, &err), &err);
    check_end();
}

static void copies_are_loaded(void) {
    mil_error err = {0};
    set_up();
    standin->keeps_copies = 1;
    CHECK_OK(whole(NULL, &err), &err);
    long compiles = standin->compiles;
    CHECK_OK(whole(NULL, &err), &err);
    CHECK_EQ(standin->compiles, compiles);
    check_end();
}

/* Two models of one program share a folder. */
static void two_of_one(void) {
    mil_error err = {0};
    mil_model *a, *b;
    set_up();
    CHECK_OK(compile(&a, &err), &err);
    CHECK_OK(compile(&b, &err), &err);
    CHECK_EQ(entries_left(), 1);
    mil_model_free(a);
    CHECK_EQ(entries_left(), 1);
    CHECK_OK(run_once(b, &err), &err);
    mil_model_free(b);
    check_end();
}

static void *run_often(void *model) {
    mil_error err = {0};
    for (int i = 0; i < 20; i++)
        if (!CHECK_OK(run_once(model, &err), &err)) break;
    return NULL;
}

static void several_threads(void) {
    mil_error err = {0};
    mil_model *model;
    pthread_t threads[4];
    set_up();
    CHECK_OK(compile(&model, &err), &err);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, run_often, model);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    mil_model_free(model);
    check_end();
}

/* A warm run makes no other calls than it must, and allocates nothing. */
static void warm_runs(void) {
    mil_error err = {0};
    mil_model *model;
    mil_context *context;
    set_up();
    mil_set_allocator(test_realloc, NULL);
    CHECK_OK(compile(&model, &err), &err);
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    mil_tensor *inputs[2];
    for (size_t i = 0; i < 2; i++) {
        inputs[i] = *mil_model_input(model, i)->name == 'x' ? tensor_of(3, -7) : tensor_of(1, 10);
        CHECK_OK(mil_context_set_input(context, i, inputs[i], &err), &err);
    }
    CHECK_OK(mil_context_run(context, &err), &err);
    long messages = standin->messages;
    test_alloc.calls = 0;
    CHECK_OK(mil_context_run(context, &err), &err);
    CHECK_EQ(test_alloc.calls, 0);
    CHECK_EQ(standin->messages - messages, 1); /* to evaluate */
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]);
    mil_context_free(context);
    mil_model_free(model);
    mil_set_allocator(NULL, NULL);
    check_end();
}

static void fail_allocations(void) {
    set_up();
    mil_set_allocator(test_realloc, NULL);
    mil_error err = {0};
    for (long n = 1; n < 100000; n += n < 300 ? 1 : 7) {
        long was_live = test_alloc.live;
        test_alloc.calls = 0, test_alloc.fail_at = n;
        standin->compiles = 0;
        mil_model *model;
        mil_program *program = make_program(&err);
        mil_compile_options options = MIL_COMPILE_DEFAULTS;
        options.engine = "ane";
        mil_status status = program ? mil_program_compile(program, &options, &model, &err) : MIL_ENOMEM;
        bool failed = test_alloc.calls >= n;
        test_alloc.fail_at = 0;
        if (program && status == MIL_OK) mil_model_free(model);
        mil_program_free(program);
        if (!CHECK_EQ(test_alloc.live, was_live) || !CHECK_EQ(entries_left(), 0) || !CHECK_EQ(standin->live, 0)) break;
        if (!failed) break;
    }
    CHECK_EQ((const char *)standin->mistake, "");
}

static void every_allocation(void) {
    set_up();
    in_child(fail_allocations);
}

static void expect_missing(const char *hidden, const char *message) {
    mil_error err = {0};
    mil_model *model;
    const char *reason = "";
    standin->hidden = hidden;
    CHECK(!mil_engine_available("ane", &reason));
    CHECK_HAS(reason, message);
    CHECK_STATUS(compile(&model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, message);
    standin->hidden = NULL;
}

static void what_is_missing(void) {
    set_up();
    expect_missing("dataWithBytes:length:", "Foundation has no +[NSData dataWithBytes:length:] here");
    expect_missing("_ANERequest", "AppleNeuralEngine has no class _ANERequest here");
    expect_missing("loadWithQoS:options:error:", "AppleNeuralEngine has no -[_ANEInMemoryModel loadWithQoS:options:error:] here");
    standin->hidden = "_ANEDeviceInfo"; /* can be done without */
    mil_error err = {0};
    CHECK_OK(whole(NULL, &err), &err);
}

static void missing(void) { in_child(what_is_missing); }

static void spend_all(void) {
    mil_error err = {0};
    set_up();
    standin->compiles = 0;
    int n = 0;
    while (n < 200 && whole(NULL, &err) == MIL_OK) n++;
    CHECK_EQ(n, 115);
    CHECK_EQ((int)err.code, MIL_ELIMIT);
    CHECK_HAS(err.message, "this process has compiled 115 programs for the Neural Engine");
    CHECK_EQ((const char *)standin->mistake, "");
    CHECK_EQ(standin->live, 0);
}

static void budget(void) { in_child(spend_all); }

static void use_after_fork(void) {
    mil_error err = {0};
    CHECK_STATUS(whole(NULL, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "forked");
}

static void forks(void) {
    mil_error err = {0};
    set_up();
    CHECK_OK(whole(NULL, &err), &err);
    in_child(use_after_fork);
    check_end();
}

/* A folder with the mark of a process that is no more goes; one without a mark, or of one that lives, stays. */
static void make_leftovers(void) {
    char path[400];
    const char *const marks[] = {"DEAD/.luamil.999999999", "OTHER/file", "LIVE/.luamil.1"};
    mil_error err = {0};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", temporary, marks[i]);
        *strrchr(path, '/') = 0;
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/%s", temporary, marks[i]);
        FILE *file = fopen(path, "w");
        if (CHECK(file != NULL)) fclose(file);
    }
    CHECK_OK(whole(NULL, &err), &err);
    CHECK_EQ(entries_left(), 2);
    for (int i = 1; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", temporary, marks[i]);
        unlink(path);
        *strrchr(path, '/') = 0;
        rmdir(path);
    }
}

static void leftovers(void) {
    set_up();
    in_child(make_leftovers);
}

static void text_as_it_is(void) {
    static const char text[] =
        "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
        " func main<ios18>(tensor<fp16, [1, 2, 1, 32]> x) {\n"
        "  tensor<fp16, [2, 2, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [2, 2, 1, 1]>(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
        "  string vp = const()[name = string(\"vp\"), val = string(\"valid\")];\n"
        "  tensor<fp16, [1, 2, 1, 32]> y = conv(pad_type = vp, weight = w, x = x)[name = string(\"y\")];\n } -> (y);\n}\n";
    uint8_t blob[136] = {[0] = 1, [4] = 2, [64] = 0xef, [65] = 0xbe, [66] = 0xad, [67] = 0xde, [68] = 1, [72] = 8, [80] = 128,
                         [129] = 0x3c, [135] = 0x40}; /* 1 0 0 2 */
    mil_text_file file = {"@model_path/weights/w.bin", blob, sizeof blob};
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_error err = {0};
    mil_model *model;
    set_up();
    options.engine = "ane";
    for (int i = 0; i < 2; i++) {
        if (!CHECK_OK(mil_text_compile(text, sizeof text - 1, &file, 1, &options, &model, &err), &err)) return;
        mil_tensor *x = NULL, *y = NULL;
        mil_tensor *full = NULL;
        CHECK_OK(mil_tensor_new(MIL_FP32, 4, (int64_t[]){1, 2, 1, 32}, &full, &err), &err);
        for (int k = 0; k < 64; k++) ((float *)mil_tensor_data(full))[k] = (float)k;
        CHECK_OK(mil_tensor_new(MIL_FP16, 4, (int64_t[]){1, 2, 1, 32}, &x, &err), &err);
        CHECK_OK(mil_tensor_copy(x, full, &err), &err);
        CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
        CHECK_OK(mil_tensor_copy(full, y, &err), &err);
        CHECK_EQ(((const float *)mil_tensor_data(full))[31], 31.0f);
        CHECK_EQ(((const float *)mil_tensor_data(full))[63], 126.0f);
        mil_tensor_free(x), mil_tensor_free(y), mil_tensor_free(full);
        mil_model_free(model);
    }
    file.name = "@model_path/../w.bin";
    CHECK_STATUS(mil_text_compile(text, sizeof text - 1, &file, 1, &options, &model, &err), MIL_EINVAL, &err);
    options.engine = "cpu";
    CHECK_STATUS(mil_text_compile(text, sizeof text - 1, &file, 1, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    check_end();
}

static void end(void) { rmdir(temporary); }

TEST_MAIN(CASE(missing), CASE(leftovers), CASE(budget), CASE(every_failure), CASE(every_allocation), CASE(works), CASE(layouts), CASE(small_surfaces_are_made_anew), CASE(a_cancelled_submission_is_repeated),
          CASE(the_other_spelling), CASE(copies_are_loaded), CASE(two_of_one), CASE(several_threads), CASE(warm_runs), CASE(text_as_it_is), CASE(forks), CASE(end))
