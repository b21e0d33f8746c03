/* SPDX-License-Identifier: MIT */
/* What tests of engines on the stand-in for Apple's frameworks share: opening it, a program with its answer, cases in processes of
 * their own, every call and every allocation failing, and what may be left at the end. */
#ifndef STANDIN_KIT_H
#define STANDIN_KIT_H

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standin/standin.h"
#include "standin_folder.h"
#include "test.h"

#define KIT_CONTROLS(X) \
    X(reset) X(set) X(set_chip) X(fail_at) X(fail_named) X(hide_class) X(hide_selector) X(calls) X(alive) X(alive_class) X(violations) X(violation) \
    X(failed) X(call_named) X(believe)
static struct kit {
#define X(name) __typeof__(standin_##name) *name;
    KIT_CONTROLS(X)
#undef X
} standin;
static char kit_temporary[200]; /* the place for temporary files; empty between cases */
static const char *kit_route;   /* of the programs that are compiled; NULL: whichever */

static void kit_reset(void) {
    standin.reset();
    standin.set("e5_pool", 1);
#if defined __SANITIZE_ADDRESS__
    standin.set("guard", 0);
#endif
}

/* ---- cases in a process of their own, where nothing is open yet and nothing was compiled: they come before all others ---- */

static void kit_in_child(void (*run)(void)) {
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

/* ---- opening ---- */

static mil_status kit_whole(mil_error *err);

/* What the engine finds out on a machine and keeps. */
static void kit_warm(void) {
    mil_error err = {0};
    kit_reset();
    for (int i = 0; i < 2; i++) {
        kit_route = i ? "e5rt" : "direct";
        CHECK_OK(kit_whole(&err), &err);
    }
}

/* Another folder for what is kept; empty. */
static inline void kit_cold(void) {
    static char folder[220];
    snprintf(folder, sizeof folder, "%s.cold", kit_temporary);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK_EQ(system(command), 0);
    setenv("MIL_CACHE", folder, 1);
}

static void kit_open(void) {
    static char cache[220];
    snprintf(kit_temporary, sizeof kit_temporary, "%s/standin.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(kit_temporary)) abort();
    setenv("TMPDIR", kit_temporary, 1);
    use_standin();
    void *library = open_standin("libobjc.A.so");
#define X(name) standin.name = (__typeof__(standin.name))(uintptr_t)dlsym(library, "standin_" #name);
    KIT_CONTROLS(X)
#undef X
    snprintf(cache, sizeof cache, "%s.cache", kit_temporary);
    setenv("MIL_CACHE", cache, 1);
    kit_in_child(kit_warm);
}

/* Begins each case. */
static void kit_begin(const char *route) {
    if (!*kit_temporary) kit_open();
    kit_route = route;
    kit_reset();
}

static void kit_close(void) {
    char command[900];
    snprintf(command, sizeof command, "rm -rf '%s' '%s.cache' '%s.cold'", kit_temporary, kit_temporary, kit_temporary);
    CHECK_EQ(system(command), 0);
}

static int kit_entries_left(void) {
    DIR *dir = opendir(kit_temporary);
    int n = -2;
    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n;
}

/* Nothing was done wrong but what is expected, and nothing of ours or of theirs is left. */
static void kit_end_but(const char *expected) {
    for (long i = 0; i < standin.violations(); i++)
        if (!expected || !strstr(standin.violation(i), expected)) CHECK_EQ(standin.violation(i), "");
    for (long i = 0; i < standin.alive(); i++) CHECK_EQ(standin.alive_class(i), "");
    CHECK_EQ(kit_entries_left(), 0);
}

static inline void kit_end(void) { kit_end_but(NULL); }

/* ---- a program: y = relu(x + b), a = (x + b)^2; inputs whose sizes and order of names differ from their order here ---- */

static mil_program *kit_program(mil_error *err) {
    static const char text[] =
        "program(1.3)\n{\n func main<ios18>(tensor<fp32, [3, 5]> x, tensor<fp32, [1, 5]> b) {\n"
        "  tensor<fp32, [3, 5]> s = add(x = x, y = b)[name = string(\"s\")];\n"
        "  tensor<fp32, [3, 5]> y = relu(x = s)[name = string(\"y\")];\n"
        "  tensor<fp32, [3, 5]> a = mul(x = s, y = s)[name = string(\"a\")];\n } -> (y, a);\n}\n";
    mil_program *program = NULL;
    mil_text_parse(text, sizeof text - 1, NULL, &program, err);
    return program;
}

static mil_tensor *kit_tensor(int64_t rows, float first) {
    mil_tensor *tensor = NULL;
    if (!CHECK_OK(mil_tensor_new(MIL_FP32, 2, (int64_t[]){rows, 5}, &tensor, NULL), NULL)) return NULL;
    for (int i = 0; i < 5 * rows; i++) ((float *)mil_tensor_data(tensor))[i] = first + (float)i;
    return tensor;
}

static mil_tensor *kit_input(const mil_model *model, size_t i) {
    return *mil_model_input(model, i)->name == 'x' ? kit_tensor(3, -7) : kit_tensor(1, 10);
}

static void kit_check_output(const mil_model *model, size_t i, const mil_tensor *output) {
    bool is_y = *mil_model_output(model, i)->name == 'y';
    const float *got = mil_tensor_data((mil_tensor *)output);
    for (int k = 0; k < 15; k++) {
        float sum = (float)(-7 + k) + (float)(10 + k % 5), wanted = is_y ? (sum > 0 ? sum : 0) : sum * sum;
        if (!CHECK_EQ(got[k], wanted)) return;
    }
}

static mil_status kit_run(mil_model *model, mil_error *err) {
    mil_tensor *inputs[2], *outputs[2] = {NULL, NULL};
    for (size_t i = 0; i < 2; i++) inputs[i] = kit_input(model, i);
    mil_status status = mil_model_run(model, inputs, outputs, err);
    for (size_t i = 0; i < 2 && status == MIL_OK; i++) kit_check_output(model, i, outputs[i]);
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]), mil_tensor_free(outputs[i]);
    return status;
}

static mil_status kit_compile(mil_model **out, mil_error *err) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane";
    options.route = kit_route;
    mil_program *program = kit_program(err);
    *out = NULL;
    if (!program) return err->code;
    mil_status status = mil_program_compile(program, &options, out, err);
    mil_program_free(program);
    return status;
}

/* Compiled, run, and freed. */
static mil_status kit_whole(mil_error *err) {
    mil_model *model;
    mil_status status = kit_compile(&model, err);
    if (status == MIL_OK) status = kit_run(model, err);
    mil_model_free(model);
    return status;
}

static inline void *kit_run_often(void *model) {
    mil_error err = {0};
    for (int i = 0; i < 20; i++)
        if (!CHECK_OK(kit_run(model, &err), &err)) break;
    return NULL;
}

/* Each of Apple's calls that may fail does, one after the other: an error each time that names it, or where there is another way,
 * the right result; nothing is left, and the next attempt works. */
static long kit_failing;
static char kit_not_reached[220]; /* a file that says so to the parent */

static void kit_fail_call(void) {
    char row[40];
    mil_error err = {0};
    snprintf(row, sizeof row, "call %ld", kit_failing);
    test_row = row;
    standin.set("order", 0); /* ports by name: what can't be asked is computed so */
    standin.fail_at(kit_failing);
    mil_set_allocator(test_realloc, NULL);
    mil_status status = kit_whole(&err);
    char failed[200];
    bool was_reached = standin.failed() != NULL;
    snprintf(failed, sizeof failed, "%s", was_reached ? standin.failed() : "");
    if (getenv("STANDIN_SHOW")) fprintf(stderr, "%s: %s: %s %s\n", row, failed, mil_status_name(status), status == MIL_OK ? "" : err.message);
    if (status != MIL_OK) CHECK(*err.message && status != MIL_ENOMEM);
    CHECK_EQ(test_alloc.live, 0);
    /* what can't be unloaded or unlocked can't be helped */
    kit_end_but(status == MIL_OK ? "released while it is loaded" : strstr(err.message, "can't be unlocked") ? "released while it is locked" : NULL);
    kit_reset();
    if (!was_reached) {
        CHECK_OK(status, &err);
        FILE *file = fopen(kit_not_reached, "w");
        if (CHECK(file != NULL)) fclose(file);
        return;
    }
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

static inline void kit_every_failure(long at_least) {
    snprintf(kit_not_reached, sizeof kit_not_reached, "%s.end", kit_temporary);
    for (kit_failing = 1; kit_failing < 2000 && access(kit_not_reached, F_OK) != 0; kit_failing++) kit_in_child(kit_fail_call);
    CHECK(kit_failing > at_least && kit_failing < 2000);
    unlink(kit_not_reached);
}

/* Memory ends at the 1st, 2nd .. allocation; of compiling alone, since some of it runs beforehand in Lua's or libc's own. */
static inline void kit_fail_allocations(void) {
    mil_set_allocator(test_realloc, NULL);
    mil_error err = {0};
    for (long n = 1; n < 100000; n += n < 300 ? 1 : 7) {
        long was_live = test_alloc.live;
        test_alloc.calls = 0, test_alloc.fail_at = n;
        mil_model *model;
        mil_status status = kit_compile(&model, &err);
        bool failed = test_alloc.calls >= n;
        test_alloc.fail_at = 0;
        mil_model_free(model);
        if (!CHECK_EQ(test_alloc.live, was_live) || !CHECK_EQ(kit_entries_left(), 0) || !CHECK_EQ(standin.alive(), 0)) break;
        if (!failed) break;
        if (status != MIL_OK && !CHECK_STATUS(status, MIL_ENOMEM, &err)) break;
    }
    kit_end();
}

static inline void kit_use_after_fork(void) {
    mil_error err = {0};
    CHECK_STATUS(kit_whole(&err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "forked");
}

/* Of the route that the case is about; by another the engine may be had. */
static inline void kit_expect_missing(const char *what, const char *message) {
    mil_error err = {0};
    mil_model *model;
    (strchr(what, ':') ? standin.hide_selector : standin.hide_class)(what);
    CHECK_STATUS(kit_compile(&model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, message);
    standin.hide_selector(NULL), standin.hide_class(NULL);
}

static inline void kit_several_threads(const char *route) {
    mil_error err = {0};
    mil_model *model;
    pthread_t threads[4];
    kit_begin(route);
    CHECK_OK(kit_compile(&model, &err), &err);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, kit_run_often, model);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    mil_model_free(model);
    kit_end();
}

/* A context's second run: it allocates nothing and gives what is right; `counted` looks at the calls that it made. */
static inline void kit_warm_run(const char *route, void (*counted)(void)) {
    mil_error err = {0};
    mil_model *model;
    mil_context *context;
    kit_begin(route);
    mil_set_allocator(test_realloc, NULL);
    CHECK_OK(kit_compile(&model, &err), &err);
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    mil_tensor *inputs[2];
    for (size_t i = 0; i < 2; i++) {
        inputs[i] = kit_input(model, i);
        CHECK_OK(mil_context_set_input(context, i, inputs[i], &err), &err);
    }
    CHECK_OK(mil_context_run(context, &err), &err);
    kit_reset();
    test_alloc.calls = 0;
    CHECK_OK(mil_context_run(context, &err), &err);
    CHECK_EQ(test_alloc.calls, 0);
    counted();
    for (size_t i = 0; i < 2; i++) kit_check_output(model, i, mil_context_output(context, i));
    for (size_t i = 0; i < 2; i++) mil_tensor_free(inputs[i]);
    mil_context_free(context);
    mil_model_free(model);
    mil_set_allocator(NULL, NULL);
    kit_end();
}

#endif
