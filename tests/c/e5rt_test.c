/* SPDX-License-Identifier: MIT */
/* Engine ane by the e5rt route, on the stand-in for Espresso (tests/standin), which the Makefile builds beside. */
#include <pthread.h>
#include <sys/stat.h>

#include "standin_kit.h"

static const char route[] = "e5rt";

static void every_failure(void) {
    kit_begin(route);
    kit_every_failure(60);
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
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    CHECK_EQ(kit_entries_left(), 1);
    for (int i = 0; i < 3; i++) CHECK_OK(kit_run(model, &err), &err);
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    CHECK_HAS(text, "ane, h15g, 16 cores, system 25D125\nroute: e5rt, in the short spelling, compiled");
    CHECK_HAS(text, "layout: as the operation's ports are described");
    CHECK_HAS(text, "input 0: ");
    mil_free(text);
    mil_model_unload(model);
    CHECK_STATUS(kit_run(model, &err), MIL_ESTATE, &err);
    CHECK_EQ(kit_entries_left(), 0);
    mil_model_free(model);
    kit_end();
}

/* What may lie in several ways, and what the sources disagree about where it does not matter to us. */
static void whichever_way(void) {
    static const struct {
        const char *name;
        long value;
    } rows[] = {{"e5_row", 0}, {"e5_row", 16}, {"e5_row", 64}, {"e5_row", 256}, {"e5_stride_bytes", 1}, {"e5_wide", 0}, {"e5_wide", 1},
                {"e5_error_text", 0}, {"e5_forge", 0}, {"e5_forge", 1}};
    mil_error err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int in_bytes = 0; in_bytes < 2; in_bytes++) {
            kit_begin(route);
            test_row = rows[i].name;
            CHECK_EQ(standin.set("e5_stride_bytes", in_bytes), 0);
            CHECK_EQ(standin.set(rows[i].name, rows[i].value), 0);
            CHECK_OK(kit_whole(&err), &err);
            kit_end();
        }
    test_row = "";
}

static void says_what_espresso_says(void) {
    mil_error err = {0};
    mil_model *model;
    kit_begin(route);
    standin.set("form", 2);
    CHECK_OK(kit_compile(&model, &err), &err); /* the other spelling */
    mil_model_free(model);
    standin.fail_named("e5rt_buffer_object_alloc");
    CHECK_STATUS(kit_compile(&model, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "compile: e5rt_buffer_object_alloc: ");
    standin.set("e5_error_text", 0);
    CHECK_STATUS(kit_compile(&model, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "compile: e5rt_buffer_object_alloc: no reason was given (");
    standin.fail_named(NULL);
    kit_end();
}

/* A run that failed leaves the context fit for the next; a step of the way back that fails, too. */
static void failed_runs(void) {
    static const char *const names[] = {"e5rt_execution_stream_execute_sync", "e5rt_execution_stream_reset",
                                        "e5rt_execution_stream_operation_prepare_op_for_encode", "e5rt_execution_stream_encode_operation"};
    mil_error err = {0};
    mil_model *model;
    kit_begin(route);
    CHECK_OK(kit_compile(&model, &err), &err);
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(kit_run(model, &err), &err);
        for (size_t k = 0; k <= i; k++) { /* the execution first, so that there is a way back */
            test_row = names[k];
            standin.fail_named(names[k]);
            CHECK_STATUS(kit_run(model, &err), MIL_EIO, &err);
            CHECK_HAS(err.message, names[k]);
        }
        standin.fail_named(NULL);
    }
    test_row = "";
    CHECK_OK(kit_run(model, &err), &err);
    mil_model_free(model);
    kit_end();
}

static void several_threads(void) { kit_several_threads(route); }

static void counted(void) {
    CHECK_EQ(standin.calls("e5rt_execution_stream_execute_sync"), 1);
    CHECK_EQ(standin.calls(NULL), 1);
}

static void warm_runs(void) { kit_warm_run(route, counted); }

/* 128 operations, then an error of our own; one that goes makes room. */
static void limits(void) {
    enum { MOST = 128 };
    mil_error err = {0};
    mil_model *models[MOST] = {NULL}, *more = NULL;
    kit_begin(route);
    for (int i = 0; i < MOST; i++)
        if (!CHECK_OK(kit_compile(&models[i], &err), &err)) break;
    CHECK_STATUS(kit_compile(&more, &err), MIL_ELIMIT, &err);
    CHECK_HAS(err.message, "128 programs");
    mil_model_unload(models[0]);
    CHECK_OK(kit_compile(&more, &err), &err);
    CHECK_OK(kit_run(more, &err), &err);
    mil_model_free(more);
    for (int i = 0; i < MOST; i++) mil_model_free(models[i]);
    kit_end();
}

/* What one route refuses, or has not, the other may take; a route that is named is the only one. */
static void routes(void) {
    mil_error err = {0};
    mil_model *model;
    char *text = NULL;
    kit_begin(NULL);
    standin.fail_named("_ANEInMemoryModel compileWithQoS:options:error:");
    CHECK_OK(kit_compile(&model, &err), &err);
    CHECK_OK(kit_run(model, &err), &err);
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    CHECK_HAS(text, "route: e5rt");
    mil_free(text);
    mil_model_free(model);
    kit_route = "direct";
    CHECK_STATUS(kit_compile(&model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "compile: the Neural Engine's compiler refused the program");
    kit_route = "other";
    CHECK_STATUS(kit_compile(&model, &err), MIL_EINVAL, &err);
    CHECK_HAS(err.message, "route is \"direct\" or \"e5rt\", but was given \"other\"");
    standin.fail_named(NULL);
    kit_end();
}

/* Two functions in a text. Where the direct route's model reports one procedure, the second goes by e5rt. */
static void functions(void) {
    static const char text[] =
        "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
        " func main<ios18>(tensor<fp16, [1, 1, 1, 32]> x) {\n"
        "  tensor<fp16, [1, 1, 1, 32]> y = add(x = x, y = x)[name = string(\"y\")];\n } -> (y);\n"
        " func other<ios18>(tensor<fp16, [1, 1, 1, 32]> x) {\n"
        "  tensor<fp16, [1, 1, 1, 32]> y = mul(x = x, y = x)[name = string(\"y\")];\n } -> (y);\n}\n";
    static const struct {
        const char *route, *entry, *told;
        float squared; /* of 3 */
        long procedures;
    } rows[] = {{"direct", "main", "route: direct, in the short spelling, compiled; procedure 0", 6, 0}, {"e5rt", "main", "compiled; function main", 6, 0},
                {"e5rt", "other", "compiled; function other", 9, 0}, {NULL, "other", "compiled; function other", 9, 0},
                {"direct", "main", "; procedure 0", 6, 1}, {"direct", "other", "; procedure 1", 9, 1}, {NULL, "other", "; procedure 1", 9, 1},
                {"direct", "main", "; procedure 1", 6, 2}, {"direct", "other", "; procedure 0", 9, 2}};
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_error err = {0};
    mil_model *model;
    options.engine = "ane";
    kit_begin(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *told = NULL;
        mil_tensor *x = NULL, *y = NULL;
        options.route = rows[i].route, options.entry = rows[i].entry;
        standin.set("procedures", rows[i].procedures);
        if (!CHECK_OK(mil_text_compile(text, sizeof text - 1, NULL, 0, &options, &model, &err), &err)) continue;
        CHECK_OK(mil_model_describe(model, &told, &err), &err);
        CHECK_HAS(told, rows[i].told);
        mil_free(told);
        CHECK_OK(mil_tensor_new(MIL_FP16, 4, (int64_t[]){1, 1, 1, 32}, &x, &err), &err);
        CHECK_OK(mil_tensor_fill(x, 3, &err), &err);
        CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
        CHECK_EQ(((const uint16_t *)mil_tensor_data(y))[7], rows[i].squared == 6 ? 0x4600 : 0x4880);
        mil_tensor_free(x), mil_tensor_free(y);
        mil_model_free(model);
    }
    options.route = "direct", options.entry = "other";
    standin.set("procedures", 0);
    CHECK_STATUS(mil_text_compile(text, sizeof text - 1, NULL, 0, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "reports 1 procedures, and function other of the text would be number 1");
    kit_end();
}

static void without_the_classes(void) {
    mil_error err = {0};
    standin.hide_class("_ANERequest");
    CHECK(mil_engine_available("ane", NULL));
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

static void other_route_alone(void) {
    kit_begin(NULL);
    kit_in_child(without_the_classes);
}

static void forks(void) {
    mil_error err = {0};
    kit_begin(route);
    CHECK_OK(kit_whole(&err), &err);
    kit_in_child(kit_use_after_fork);
    kit_end();
}

/* In a forked process a model can be freed, which is the end of nothing but its memory there. */
static mil_model *inherited;
static void free_inherited(void) {
    CHECK(kit_entries_left() == 1);
    mil_model_free(inherited);
    CHECK(kit_entries_left() == 1);
}

static void inherits(void) {
    mil_error err = {0};
    kit_begin(route);
    CHECK_OK(kit_compile(&inherited, &err), &err);
    CHECK_OK(kit_run(inherited, &err), &err);
    kit_in_child(free_inherited);
    CHECK_OK(kit_run(inherited, &err), &err);
    mil_model_free(inherited);
    kit_end();
}

static void end(void) { kit_close(); }

TEST_MAIN(CASE(every_failure), CASE(every_allocation), CASE(other_route_alone), CASE(works), CASE(whichever_way), CASE(says_what_espresso_says),
          CASE(failed_runs), CASE(several_threads), CASE(warm_runs), CASE(limits), CASE(routes), CASE(functions), CASE(forks), CASE(inherits), CASE(end))
