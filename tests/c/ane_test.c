/* SPDX-License-Identifier: MIT */
/* Engine ane by the direct route, on the stand-in for the frameworks (tests/standin), which the Makefile builds beside. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "standin_kit.h"

#include "engine/ane/ane.h"

static const char route[] = "direct";

static void every_failure(void) {
    kit_begin(route);
    kit_every_failure(100);
}

static void every_allocation(void) {
    kit_begin(route);
    kit_in_child(kit_fail_allocations);
}

static void works(void) {
    mil_error err = {0};
    char *text = NULL;
    mil_model *model;
    kit_begin(route);
    CHECK(mil_engine_available("ane", NULL));
    char line[100];
    mil_engine_describe("ane", line, sizeof line);
    CHECK_EQ((const char *)line, "ane (h15g, 16 cores, system 25D125)");
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    CHECK_EQ(kit_entries_left(), 1);
    for (int i = 0; i < 3; i++) CHECK_OK(kit_run(model, &err), &err);
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    CHECK_HAS(text, "route: direct, in the short spelling, compiled");
    CHECK_HAS(text, "order of the ports: as the loaded model reports it");
    mil_free(text);
    mil_model_unload(model);
    CHECK_STATUS(kit_run(model, &err), MIL_ESTATE, &err);
    mil_model_free(model);
    kit_end();
}

/* What the loaded model reports is used; where it reports nothing, it is computed. */
static void layouts(void) {
    mil_error err = {0};
    for (int order = 0; order < 2; order++)
        for (int row = 16; row <= 256; row *= 2) {
            kit_begin(route);
            standin.set("order", order);
            standin.set("row", row);
            CHECK_OK(kit_whole(&err), &err);
            kit_end();
        }
    kit_begin(route);
    standin.set("attributes", 0);
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

/* ---- what the stand-in's engine does not do by itself: its evaluation, as it goes through our hands ---- */

static struct script {
    const char *errors[4]; /* of the evaluations to come; NULL: goes on */
    size_t at;
    const char *text;      /* of the NSError of the one that failed */
    void (*send)(void);
} script;

/* Takes as many arguments as any message has; none has floats. */
static uintptr_t scripted_send(uintptr_t self, uintptr_t selector, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e,
                               uintptr_t f, uintptr_t g) {
    typedef uintptr_t send(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
    static const char evaluate[] = "_ANEInMemoryModel evaluateWithQoS:options:request:error:";
    if (selector == (uintptr_t)mil__apple.sel.NSError_localizedDescription && script.text)
        return (uintptr_t)mil__ns_string(script.text);
    bool fails = selector == (uintptr_t)mil__apple.sel.ANEInMemoryModel_evaluate && script.at < 4 && (script.text = script.errors[script.at++]);
    if (fails) standin.fail_named(evaluate);
    uintptr_t result = ((send *)script.send)(self, selector, a, b, c, d, e, f, g);
    if (fails) standin.fail_named(NULL);
    return result;
}

static mil_status run_scripted(const struct script *how, mil_error *err) {
    mil_model *model;
    MIL__TRY(kit_compile(&model, err));
    script = *how;
    script.send = mil__apple.objc_msgSend;
    mil__apple.objc_msgSend = (void (*)(void))scripted_send;
    mil_status status = kit_run(model, err);
    mil__apple.objc_msgSend = script.send;
    mil_model_free(model);
    return status;
}

static const char too_small[] = "ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program Inference error";

static void small_surfaces_are_made_anew(void) {
    mil_error err = {0};
    kit_begin(route);
    CHECK_OK(run_scripted(&(struct script){.errors = {too_small}}, &err), &err);
    CHECK_EQ(standin.calls("IOSurfaceCreate"), 8); /* four, twice */
    kit_end();
    kit_begin(route);
    CHECK_STATUS(run_scripted(&(struct script){.errors = {too_small, too_small}}, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "run: the Neural Engine failed: ANEProgramProcessRequestDirect() Failed with status=0x1d");
    CHECK_HAS(err.message, "(com.apple.appleneuralengine 4)");
    kit_end();
}

static void a_cancelled_submission_is_repeated(void) {
    mil_error err = {0};
    kit_begin(route);
    standin.set("cancelled", 1);
    CHECK_OK(kit_whole(&err), &err);
    standin.set("cancelled", 2);
    CHECK_STATUS(kit_whole(&err), MIL_EIO, &err);
    CHECK_HAS(err.message, "Request cancelled");
    kit_end();
}

static void a_busy_daemon_is_asked_again(void) {
    mil_error err = {0};
    kit_begin(route);
    standin.set("busy", 1);
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

static void the_other_spelling(void) {
    mil_error err = {0};
    for (int form = 2; form > 0; form--) {
        kit_begin(route);
        standin.set("form", form);
        standin.set("copies", 0);
        CHECK_OK(kit_whole(&err), &err);
        kit_end();
    }
}

static void copies_are_loaded(void) {
    static const char compiles[] = "_ANEInMemoryModel compileWithQoS:options:error:";
    mil_error err = {0};
    kit_begin(route);
    CHECK_OK(kit_whole(&err), &err);
    long n = standin.calls(compiles);
    CHECK_OK(kit_whole(&err), &err);
    CHECK_EQ(standin.calls(compiles), n);
    kit_end();
}

/* The engine's own time, where it gives one: an unentitled process was seen to get none. */
static void counters(void) {
    static const struct {
        int is_asked, is_given;
        const char *told;
    } rows[] = {{1, 1, "counters: the last run took the engine "}, {1, 0, "counters: the engine has given no time"}, {0, 1, "self-test: "}};
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_error err = {0};
    options.engine = "ane", options.route = route;
    for (int i = 0; i < 3; i++) {
        mil_model *model = NULL;
        char *text = NULL;
        kit_begin(route);
        standin.set("statistics", rows[i].is_given);
        options.counters = rows[i].is_asked;
        mil_program *program = kit_program(&err);
        CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
        mil_program_free(program);
        CHECK_OK(kit_run(model, &err), &err);
        CHECK_OK(mil_model_describe(model, &text, &err), &err);
        CHECK_HAS(text, rows[i].told);
        CHECK(rows[i].is_asked || !strstr(text, "counters"));
        mil_free(text);
        mil_model_free(model);
        kit_end();
    }
}

/* Two models of one program share a folder. */
static void two_of_one(void) {
    mil_error err = {0};
    mil_model *a, *b;
    kit_begin(route);
    CHECK_OK(kit_compile(&a, &err), &err);
    CHECK_OK(kit_compile(&b, &err), &err);
    CHECK_EQ(kit_entries_left(), 1);
    mil_model_free(a);
    CHECK_EQ(kit_entries_left(), 1);
    CHECK_OK(kit_run(b, &err), &err);
    mil_model_free(b);
    kit_end();
}

static void several_threads(void) { kit_several_threads(route); }

/* A warm run makes no other calls than it must, and allocates nothing. */
static void counted(void) {
    static const char *const names[] = {"IOSurfaceLock", "IOSurfaceGetBaseAddress", "IOSurfaceUnlock",
                                        "_ANEInMemoryModel evaluateWithQoS:options:request:error:"};
    for (size_t i = 0; i < 4; i++) CHECK_EQ(standin.calls(names[i]), i < 3 ? 4 : 1);
    CHECK_EQ(standin.calls(NULL), 3 * 4 + 1);
}

static void warm_runs(void) { kit_warm_run(route, counted); }

static void what_is_missing(void) {
    mil_error err = {0};
    kit_expect_missing("dataWithBytes:length:", "Foundation has no +[NSData dataWithBytes:length:] here");
    kit_expect_missing("_ANERequest", "AppleNeuralEngine has no class _ANERequest here");
    kit_expect_missing("loadWithQoS:options:error:", "AppleNeuralEngine has no -[_ANEInMemoryModel loadWithQoS:options:error:] here");
    standin.hide_class("_ANEDeviceInfo"); /* can be done without */
    CHECK_OK(kit_whole(&err), &err);
}

static void missing(void) {
    kit_begin(route);
    kit_in_child(what_is_missing);
}

/* ---- the budget of compiles, and the way past it ---- */

/* A program that stands for luamil. */
static void write_command(const char *script) {
    static char path[240];
    snprintf(path, sizeof path, "%s.command", kit_temporary);
    FILE *file = fopen(path, "w");
    if (!CHECK(file != NULL)) return;
    fprintf(file, "#!/bin/sh\n%s\n", script);
    fclose(file);
    CHECK_EQ(chmod(path, 0700), 0);
    setenv("MIL_COMMAND", path, 1);
}

static void expect_beyond(const char *script, mil_status status, const char *message) {
    mil_error err = {0};
    write_command(script);
    CHECK_STATUS(kit_whole(&err), status, &err);
    CHECK_HAS(err.message, message);
}

/* The system has a compiled copy once the other process has gone: in the stand-in, one is made when it is asked. */
static bool has_gone_elsewhere;
static uintptr_t send_with_a_daemon(uintptr_t self, uintptr_t selector, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e,
                                    uintptr_t f, uintptr_t g) {
    typedef uintptr_t send(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
    char done[240];
    snprintf(done, sizeof done, "%s.done", kit_temporary);
    if (selector == (uintptr_t)mil__apple.sel.ANEInMemoryModel_compiledModelExists && access(done, F_OK) == 0) {
        mil__id error = NULL, options = mil__ns_dictionary(NULL, NULL, 0);
        standin.set("copies", 1);
        has_gone_elsewhere = ((send *)script.send)(self, (uintptr_t)mil__apple.sel.ANEInMemoryModel_compile, 21, (uintptr_t)options,
                                                   (uintptr_t)&error, 0, 0, 0, 0) & 1;
    }
    return ((send *)script.send)(self, selector, a, b, c, d, e, f, g);
}

static void another_process_compiles(void) {
    char text[600];
    mil_error err = {0};
    mil_model *model;
    char *told = NULL;
    snprintf(text, sizeof text, "[ \"$1 $3 $4 $5 $6\" = 'compile --route direct --qos 21' ] && [ -s \"$2\" ] && touch '%s.done'", kit_temporary);
    write_command(text);
    script.send = mil__apple.objc_msgSend;
    mil__apple.objc_msgSend = (void (*)(void))send_with_a_daemon;
    CHECK_OK(kit_compile(&model, &err), &err);
    CHECK(has_gone_elsewhere);
    CHECK_OK(kit_run(model, &err), &err);
    CHECK_OK(mil_model_describe(model, &told, &err), &err);
    CHECK_HAS(told, "route: direct, in the short spelling, compiled by another process");
    mil_free(told);
    mil_model_free(model);
    mil__apple.objc_msgSend = script.send;
    snprintf(text, sizeof text, "%s.done", kit_temporary);
    unlink(text);
    unlink(getenv("MIL_COMMAND"));
}

/* It has closed its standard streams, whose numbers a pipe gets then, and blocks signals. */
static void by_an_odd_host(void) {
    mil_error err = {0};
    sigset_t blocked, before;
    int kept[3];
    write_command("echo heard >&2; kill -TERM $$; exit 1");
    sigfillset(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    for (int i = 0; i < 3; i++) kept[i] = fcntl(i, F_DUPFD, 40), close(i);
    mil_status status = kit_whole(&err);
    for (int i = 0; i < 3; i++) dup2(kept[i], i), close(kept[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK_STATUS(status, MIL_EIO, &err);
    CHECK_HAS(err.message, "died of signal 15, Terminated: heard");
}

static void spend_all(void) {
    mil_error err = {0};
    int n = 0;
    setenv("MIL_COMMAND", "/there/is/no/luamil", 1);
    standin.set("copies", 0);
    while (n < 200 && kit_whole(&err) == MIL_OK) n++;
    CHECK_EQ(n, 115);
    CHECK_EQ((int)err.code, MIL_ELIMIT);
    CHECK_HAS(err.message, "this process can compile no more programs for the Neural Engine, and /there/is/no/luamil, which would in its place, can't be started: No such file");
    expect_beyond("exit 0", MIL_ELIMIT, "another has compiled this one, but the system has no copy of it");
    expect_beyond("echo not today >&2; echo or ever >&2; exit 1", MIL_EUNSUPPORTED, "not today or ever");
    expect_beyond("exit 3", MIL_EIO, "it failed and said nothing");
    expect_beyond("echo before >&2; kill -SEGV $$", MIL_EIO, "died of signal 11, Segmentation fault: before");
    mil__ane_child_seconds = 1;
    expect_beyond("exec sleep 100", MIL_EIO, "did not end within 1 s, and was ended");
    expect_beyond("exec sleep 100 2>/dev/null", MIL_EIO, "did not end within 1 s, and was ended");
    mil__ane_child_seconds = 900;
    by_an_odd_host();
    another_process_compiles();
    setenv("MIL_COMMAND", "/there/is/no/luamil", 1);
    kit_route = NULL; /* the other has no such budget */
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

static void budget(void) {
    kit_begin(route);
    kit_in_child(spend_all);
}

static void forks(void) {
    mil_error err = {0};
    kit_begin(route);
    CHECK_OK(kit_whole(&err), &err);
    kit_in_child(kit_use_after_fork);
    kit_end();
}

/* A folder with the mark of a process that is no more goes; one without a mark, or of one that lives, stays, and so does one where
 * somebody else may have put the mark. */
static void make_leftovers(void) {
    char path[400];
    const char *const marks[] = {"DEAD/.luamil.999999999", "OTHER/file", "LIVE/.luamil.1", "OPEN/.luamil.999999999"};
    mil_error err = {0};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", kit_temporary, marks[i]);
        *strrchr(path, '/') = 0;
        mkdir(path, 0700);
        if (i == 3) chmod(path, 0777);
        snprintf(path, sizeof path, "%s/%s", kit_temporary, marks[i]);
        FILE *file = fopen(path, "w");
        if (CHECK(file != NULL)) fclose(file);
    }
    CHECK_OK(kit_whole(&err), &err);
    CHECK_EQ(kit_entries_left(), 3);
    for (int i = 1; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", kit_temporary, marks[i]);
        CHECK_EQ(unlink(path), 0);
        *strrchr(path, '/') = 0;
        rmdir(path);
    }
}

static void leftovers(void) {
    kit_begin(route);
    kit_in_child(make_leftovers);
}

/* Processes with one program share a folder: whoever leaves it takes nothing from who comes. */
static void come_and_go(void) {
    mil_error err = {0};
    kit_reset();
    standin.set("compile_limit", 1000), standin.set("copies", 0);
    for (int i = 0; i < 60; i++)
        if (!CHECK_OK(kit_whole(&err), &err)) break;
}

static void several_processes(void) {
    kit_begin(route);
    for (int round = 0; round < 3; round++) {
        pid_t children[3];
        fflush(NULL);
        for (int i = 0; i < 3; i++) {
            if ((children[i] = fork())) continue;
            int before = test_failures;
            come_and_go();
            fflush(NULL);
            _exit(test_failures != before);
        }
        for (int i = 0, status; i < 3; i++) CHECK_EQ(waitpid(children[i], &status, 0), children[i]), CHECK_EQ(status, 0);
    }
    kit_end();
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
    kit_begin(route);
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
        char *told = NULL;
        CHECK_OK(mil_model_describe(model, &told, &err), &err);
        CHECK_HAS(told, "the system tells programs apart by text and weights\n");
        mil_free(told);
        mil_model_free(model);
    }
    static const char *const elsewhere[] = {"@model_path/../w.bin", "@model_path//w.bin", "/w.bin", "w.bin", "@model_path/model.mil",
                                            "@model_path/Model.MIL", "@model_path/.luamil.1"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) { /* before the framework hears of it */
        test_row = file.name = elsewhere[i];
        CHECK_STATUS(mil_text_compile(text, sizeof text - 1, &file, 1, &options, &model, &err), MIL_EINVAL, &err);
        CHECK_HAS(err.message, elsewhere[i]);
    }
    test_row = "";
    options.engine = "cpu";
    CHECK_STATUS(mil_text_compile(text, sizeof text - 1, &file, 1, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    kit_end();
}

static void end(void) { kit_close(); }

TEST_MAIN(CASE(missing), CASE(leftovers), CASE(budget), CASE(several_processes), CASE(every_failure), CASE(every_allocation), CASE(works), CASE(layouts),
          CASE(small_surfaces_are_made_anew), CASE(a_cancelled_submission_is_repeated), CASE(a_busy_daemon_is_asked_again), CASE(the_other_spelling), CASE(copies_are_loaded), CASE(counters),
          CASE(two_of_one), CASE(several_threads), CASE(warm_runs), CASE(text_as_it_is), CASE(forks), CASE(end))
