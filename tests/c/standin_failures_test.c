/* SPDX-License-Identifier: MIT */
/* Engines ane and coreml on the stand-in with the first framework call failing, then the second, and so on until none does: each gives
 * an error that names a call, or success; nothing is done wrong, nothing stays alive, and the next compile and run work. In a process
 * that has looked at the frameworks before, and in one that has not. */
#include <sys/wait.h>

#include "standin_client.h"

/* y = relu(a - b), so that ports that are exchanged show */
static mil_status program_of(mil_program **out, mil_error *err) {
    static const char text[] = "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 4, 1, 8]> a, tensor<fp16, [1, 4, 1, 8]> b) {\n"
        "        tensor<fp16, [1, 4, 1, 8]> s = sub(x = a, y = b)[name = string(\"s\")];\n"
        "        tensor<fp16, [1, 4, 1, 8]> y = relu(x = s)[name = string(\"y\")];\n    } -> (y);\n}\n";
    mil_text_options options = { .name = "test.mil" };
    return mil_text_parse(text, strlen(text), &options, out, err);
}

/* A loaded model that reports nothing has its ports by alphabet: the stand-in, whose symbols are against it, can't say so and be right. */
static bool right(const mil_tensor *out) {
    const char *failed = library ? CONTROL(const char *, failed, void)() : NULL;
    if (failed && !strcmp(failed, "_ANEInMemoryModel modelAttributes")) return true;
    return CHECK_EQ(*(uint16_t *)mil_tensor_data(out), 0x4000);
}

static mil_status plain(mil_model *model, mil_tensor *const *in, mil_error *err) {
    mil_tensor *out = NULL;
    mil_status status = mil_model_run(model, in, &out, err);
    if (!status) right(out);
    mil_tensor_free(out);
    return status;
}

/* Twice on inputs and an output that are set once. */
static mil_status bound(mil_model *model, mil_tensor *const *in, mil_error *err) {
    static const int64_t shape[] = { 1, 4, 1, 8 };
    mil_context *context = NULL;
    mil_tensor *out = NULL;
    mil_status status = mil_context_new(model, &context, err);
    if (!status) status = mil_tensor_new(MIL_FP16, 4, shape, &out, err);
    for (size_t i = 0; !status && i < 2; i++) status = mil_context_set_input(context, i, in[i], err);
    if (!status) status = mil_context_set_output(context, 0, out, err);
    for (int i = 0; !status && i < 2; i++) {
        mil_tensor_fill(out, 0, NULL);
        status = mil_context_run(context, err);
        if (!status) right(out);
    }
    mil_context_free(context);
    mil_tensor_free(out);
    return status;
}

static mil_status started(mil_model *model, mil_tensor *const *in, mil_error *err) {
    mil_run *run = NULL;
    mil_tensor *out = NULL;
    mil_status status = mil_model_start(model, in, NULL, NULL, NULL, NULL, &run, err);
    if (!status) status = mil_run_result(run, &out, err);
    if (!status) right(out);
    mil_tensor_free(out);
    mil_run_free(run);
    return status;
}

static mil_status runs(mil_model *model, mil_error *err) {
    static const int64_t shape[] = { 1, 4, 1, 8 };
    mil_tensor *in[2] = { NULL, NULL };
    for (int k = 0; k < 2; k++) {
        CHECK_EQ(mil_tensor_new(MIL_FP16, 4, shape, &in[k], NULL), MIL_OK);
        for (int i = 0; i < 32; i++) ((uint16_t *)mil_tensor_data(in[k]))[i] = k ? 0x3c00 : 0x4200;    /* 3 and 1 */
    }
    mil_status status = plain(model, in, err);
    if (!status) status = plain(model, in, err);
    if (!status) status = bound(model, in, err);
    if (!status) status = started(model, in, err);
    mil_tensor_free(in[0]), mil_tensor_free(in[1]);
    return status;
}

/* Compiles, runs in each way, frees. */
static mil_status whole(const char *route, mil_error *err) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = strcmp(route, "coreml") ? "ane" : route;
    options.route = strcmp(route, "coreml") ? route : NULL;
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_status status = program_of(&program, err);
    if (!status) status = mil_program_compile(program, &options, &model, err);
    if (!status) status = runs(model, err);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static void stand_in(void) {
    use_standin();
    setenv("MIL_CACHE", test_folder(), 1), setenv("TMPDIR", test_folder(), 1);
}

/* The message names a call, or has the text of the NSError that it gave, or is Core ML's own; or memory was lacking, which a constructor
 * that gives nil means; or the failure is an answer. */
static bool is_told(const char *route, mil_status status, const char *failed, const char *message) {
    bool is_coreml = !strcmp(route, "coreml");
    if (status == MIL_ENOMEM) return !strncmp(failed, "NS", 2) || !strncmp(failed, "CF", 2);
    if (!strcmp(failed, "_ANEDeviceInfo hasANE")) return strstr(message, "no Neural Engine") != NULL;
    if (!strcmp(failed, "objc_getClass")) return strstr(message, "has no class") != NULL;
    if (is_coreml && strstr(message, "Core ML")) return !strstr(failed, "error:") || strstr(message, "made to fail");
    if (strstr(failed, "error:") && strstr(message, "made to fail")) return true; /* the NSError that it gave */
    return CONTROL(const char *, call_named, const char *)(message) != NULL;
}

/* The call that fails by its number; false: it was beyond the last. */
static bool fails_at(const char *route, long k) {
    static char row[512];
    mil_error err = { 0 };
    snprintf(row, sizeof row, "%s, call %ld", route, k);
    test_row = row;
    begin();
    CONTROL(void, fail_at, long)(k);
    mil_status status = whole(route, &err);
    const char *failed = CONTROL(const char *, failed, void)();
    CONTROL(void, fail_at, long)(0);
    if (!failed) {
        CHECK_OK(status, &err);
        end(0);
        return false;
    }
    snprintf(row, sizeof row, "%s, call %ld, %.160s: %.300s", route, k, failed, status ? err.message : "success");
    CHECK(!status || is_told(route, status, failed, err.message));
    end(0);
    begin();
    CHECK_OK(whole(route, &err), &err);
    end(0);
    return true;
}

/* What a child says at its end: no status that anything else ends a process with. */
enum { MORE = 40, NO_MORE, IT_FAILED };

/* In a process of its own, since an engine's budget of compiles is a process's. is_warm: it has looked at the frameworks before. */
static bool child_fails_at(const char *route, bool is_warm, long k) {
    pid_t child = fork();
    if (!child) {
        mil_error err = { 0 };
        stand_in();
        test_failures = 0;
        if (is_warm) CHECK_OK(whole(route, &err), &err);
        bool more = fails_at(route, k);
        fflush(NULL);
        _exit(test_failures ? IT_FAILED : more ? MORE : NO_MORE);
    }
    int status = 0;
    if (!CHECK(child > 0 && waitpid(child, &status, 0) == child)) return false;
    int said = WIFEXITED(status) ? WEXITSTATUS(status) : IT_FAILED;
    if (said == MORE || said == NO_MORE) return said == MORE;
    char row[128];
    snprintf(row, sizeof row, "%s process, %s, call %ld", is_warm ? "a warm" : "a fresh", route, k);
    test_row = row;
    CHECK_EQ(status, 0);
    test_row = "";
    return true;
}

/* A process of the sanitizers takes long to begin: with them every fourth call fails, the plain build has each. */
#if defined __SANITIZE_ADDRESS__
enum { ALL_CALLS = 4000, STEP = 4 };
#else
enum { ALL_CALLS = 4000, STEP = 1 };
#endif
static void each_fails(const char *route, bool is_warm) {
    long k = 1;
    test_folder();                      /* this process's, which removes it */
    while (k < ALL_CALLS && test_failures < 60 && child_fails_at(route, is_warm, k)) k += STEP;
    CHECK(k > 20 && k < ALL_CALLS);
}

static void direct_fresh(void) { each_fails("direct", false); }
static void direct_warm(void) { each_fails("direct", true); }
static void coreml_fresh(void) { each_fails("coreml", false); }
static void coreml_warm(void) { each_fails("coreml", true); }
static void e5rt_fresh(void) { each_fails("e5rt", false); }
static void e5rt_warm(void) { each_fails("e5rt", true); }

TEST_MAIN(CASE(direct_fresh), CASE(direct_warm), CASE(coreml_fresh), CASE(coreml_warm), CASE(e5rt_fresh), CASE(e5rt_warm))
