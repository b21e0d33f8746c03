/* SPDX-License-Identifier: MIT */
/* What engine ane finds out on a machine, on stand-ins that differ where the sources do; each in a process that has asked nothing yet. */
#include "standin_kit.h"

#include "base/file.h"
#include "engine/ane/ane.h"

/* Compiles by the kit's route; what was found, as the model tells it. */
static void expect(const char *told) {
    mil_error err = {0};
    mil_model *model;
    char *text = NULL;
    if (!CHECK_OK(kit_compile(&model, &err), &err)) return;
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    CHECK_HAS(text, told);
    mil_free(text);
    mil_model_free(model);
}

static const char *kept_path(void) {
    static char path[300];
    snprintf(path, sizeof path, "%s/ane/%s-h15g-25D125.txt", getenv("MIL_CACHE"), kit_route);
    return path;
}

static const char *kept(void) {
    static char text[400];
    FILE *file = fopen(kept_path(), "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = 0;
    if (file) fclose(file);
    return text;
}

static void write_kept(const char *text) {
    char folder[300];
    mil_error err = {0};
    char *made = NULL;
    CHECK_OK(mil__cache_folder("ane", &made, &err), &err);
    mil_free(made);
    snprintf(folder, sizeof folder, "%s", kept_path());
    FILE *file = fopen(folder, "w");
    if (CHECK(file != NULL)) fputs(text, file), fclose(file);
}

/* A program of one input [1, 4, 1, 32] and one output of fp16, by an engine; its elements. NULL: it did not run. */
static mil_tensor *result_of(const mil_program *program, const char *engine, const char *told) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_error err = {0};
    mil_model *model;
    mil_tensor *x = NULL, *y = NULL;
    char *text = NULL;
    options.engine = engine;
    options.route = kit_route;
    options.fallback = true;
    if (!CHECK_OK(mil_program_compile(program, &options, &model, &err), &err)) return NULL;
    CHECK_OK(mil_tensor_new(MIL_FP16, 4, (int64_t[]){1, 4, 1, 32}, &x, &err), &err);
    for (int i = 0; x && i < 128; i++) ((uint16_t *)mil_tensor_data(x))[i] = (uint16_t)(0x3c00 + 64 * (i % 7));
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    if (told) CHECK_HAS(text, told);
    mil_free(text);
    mil_tensor_free(x);
    mil_model_free(model);
    return y;
}

/* The same elements by both engines. */
static void expect_as_on_cpu(const char *body, const char *told) {
    char text[1200];
    mil_error err = {0};
    mil_program *program;
    snprintf(text, sizeof text, "program(1.3)\n{ func main<ios18>(tensor<fp16, [1, 4, 1, 32]> x) {%s} -> (y); }", body);
    if (!CHECK_OK(mil_text_parse(text, strlen(text), NULL, &program, &err), &err)) return;
    mil_tensor *wanted = result_of(program, "cpu", NULL), *got = result_of(program, "ane", told);
    size_t n = wanted ? (size_t)mil_tensor_numel(wanted) * 2 : 0;
    CHECK(n && got && mil_tensor_is_contiguous(got) && memcmp(mil_tensor_data(got), mil_tensor_data(wanted), n) == 0);
    mil_tensor_free(wanted), mil_tensor_free(got);
    mil_program_free(program);
}

static const char *const compiling[] = {"_ANEInMemoryModel compileWithQoS:options:error:", "e5rt_e5_compiler_compile"};

/* ---- by each route: asked once, kept, and read by the next process ---- */

static void as_all_say(void) {
    static const char told[] = "self-test: order of the ports right, rows right, concat right, bias of a conv right";
    expect(told);
    CHECK(standin.calls(compiling[*kit_route == 'e']) > 4);
    CHECK_HAS(kept(), "luamil self-test 2\norder: right\nrows: right\nconcat: right\nbias: right\n");
    CHECK_HAS(kept(), *kit_route == 'e' ? "cast: unknown\nreload: unknown\n" : "cast: right\nreload: ");
    kit_end();
}

static void from_what_is_kept(void) {
    expect("self-test: order of the ports right, rows right, concat right");
    CHECK_EQ(standin.calls(compiling[*kit_route == 'e']), 1);
    kit_end();
}

static void asked_once(void) {
    for (int i = 0; i < 2; i++) {
        kit_begin(i ? "e5rt" : "direct");
        kit_cold();
        kit_in_child(as_all_say);
        kit_in_child(from_what_is_kept);
    }
}

/* ---- machines that differ ---- */

static void what_orion_says(void) {
    standin.believe("O");
    expect("concat refused, bias of a conv refused");
    CHECK_HAS(kept(), "concat: refused\nbias: refused\n");
    kit_end();
}

static void what_rane_says(void) {
    standin.believe("R");
    expect("sums along channels refused, powers refused");
    CHECK_HAS(kept(), "sums: refused\npowers: refused\n");
    expect_as_on_cpu("tensor<fp16, [1, 4, 1, 32]> r = relu(x = x)[name = string(\"r\")]; tensor<fp16, [1, 1, 1, 32]> y = reduce_sum(x = r, "
                     "axes = tensor<int32, [1]>([1]), keep_dims = bool(true))[name = string(\"y\")];",
                     "ane: reduce_sum: this machine has not computed a sum along channels in the self-test");
    kit_end();
}

/* A program that only works element by element is refused when it is loaded. */
static void what_the_bridge_says(void) {
    standin.believe("B");
    expect_as_on_cpu("tensor<fp16, [1, 4, 1, 32]> t = relu(x = x)[name = string(\"t\")]; tensor<fp16, [1, 4, 1, 32]> y = add(x = t, y = x)[name = string(\"y\")];",
                     "a 1x1 convolution by ones stands before the first output");
    kit_end();
}

/* Several inputs fail: they are packed into one. */
static void what_maderix_says(void) {
    mil_error err = {0};
    standin.believe("M");
    CHECK_OK(kit_whole(&err), &err);
    expect("self-test: order of the ports refused, rows right");
    CHECK_HAS(kept(), "order: refused\nrows: right\n");
    kit_end();
}

static void rows_without_gaps(void) {
    standin.set("attributes", 0);
    standin.set("row", 2);
    standin.set("order", 0);
    mil_error err = {0};
    expect("layout: packed, as the self-test found; order of the ports: by name");
    CHECK_HAS(kept(), "rows: packed\n");
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

/* The symbols are reported, but out of reach: the ports' order, which is against their names, is found by trying. */
static void (*real_send)(void);
static uintptr_t send_without_symbols(uintptr_t self, uintptr_t selector, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e,
                                      uintptr_t f, uintptr_t g) {
    typedef uintptr_t send(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
    if (selector == (uintptr_t)mil__apple.sel.NSDictionary_get && strcmp(mil__read_text((mil__id)a), "ANEFModelDescription") == 0) return 0;
    return ((send *)real_send)(self, selector, a, b, c, d, e, f, g);
}

static void symbols_out_of_reach(void) {
    mil_error err = {0};
    mil__ane_findings findings = {0};
    CHECK_OK(mil__ane_direct.open(&err), &err);
    real_send = mil__apple.objc_msgSend;
    mil__apple.objc_msgSend = (void (*)(void))send_without_symbols;
    mil__ane_self_test(&mil__ane_direct, &findings);
    mil__apple.objc_msgSend = real_send;
    CHECK_EQ(findings.order, MIL__ANE_AS_WRITTEN);
    CHECK_HAS(kept(), "order: as written\n");
    kit_end();
}

static void an_old_chip(void) {
    standin.set_chip("h13g", "25D125");
    mil_error err = {0};
    CHECK_OK(kit_whole(&err), &err);
    kit_end();
}

/* A failure that says nothing of the machine is not kept. */
static void a_busy_daemon(void) {
    mil_error err = {0};
    standin.set("busy", 2); /* the self-test's first program */
    CHECK_OK(kit_whole(&err), &err);
    CHECK_EQ(kept(), "");
    kit_end();
}

static void a_chip_without_a_name(void) {
    mil_error err = {0};
    standin.hide_class("_ANEDeviceInfo");
    CHECK_OK(kit_whole(&err), &err);
    CHECK_EQ(kept(), "");
    kit_end();
}

static void what_else_is_kept(void) {
    mil_error err = {0};
    write_kept("luamil self-test 0\norder: wrong\n");
    CHECK_OK(kit_whole(&err), &err);
    CHECK_HAS(kept(), "luamil self-test 2\norder: right\n");
    kit_end();
}

/* A route that gives wrong results is taken where it is named. */
static void a_route_that_is_wrong(void) {
    write_kept("luamil self-test 2\norder: wrong\n");
    expect("self-test: order of the ports wrong\n");
    kit_route = NULL;
    expect("route: e5rt");
    kit_end();
}

/* ---- the same by e5rt ---- */

static const char with_weights[] =
    "tensor<fp16, [4, 1, 1, 3]> w = const()[name = string(\"w\"), val = tensor<fp16, [4, 1, 1, 3]>([[[[1, 2, 3]]], [[[4, 5, 6]]], [[[7, 8, 9]]], [[[1, 1, 1]]]])];"
    "tensor<fp16, [1, 4, 1, 30]> y = conv(x = x, weight = w, groups = int32(4), pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), "
    "strides = tensor<int32, [2]>([1, 1]), dilations = tensor<int32, [2]>([1, 1]))[name = string(\"y\")];";

static void no_weights_in_files(void) {
    standin.set("e5_blobfile", 0);
    expect_as_on_cpu(with_weights, "weights in files refused");
    CHECK_HAS(kept(), "files: refused\n");
    kit_end();
}

static void released_by_handle(void) {
    standin.set("e5_by_value", 1);
    expect_as_on_cpu(with_weights, "releases take the handle\n");
    CHECK_EQ(standin.violations(), 1); /* the first release asked */
    kit_end_but("but the address of a handle");
}

static void released_by_address(void) {
    expect_as_on_cpu(with_weights, "releases take the handle's address\n");
    kit_end();
}

static void machines_by_e5rt(void) {
    static void (*const each[])(void) = {no_weights_in_files, released_by_handle, released_by_address};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        kit_begin("e5rt");
        kit_cold();
        kit_in_child(each[i]);
    }
}

static void machines(void) {
    static void (*const each[])(void) = {what_orion_says, what_rane_says, what_the_bridge_says, what_maderix_says, rows_without_gaps, symbols_out_of_reach, an_old_chip, a_busy_daemon,
                                         a_chip_without_a_name, what_else_is_kept, a_route_that_is_wrong};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        kit_begin("direct");
        kit_cold();
        kit_in_child(each[i]);
    }
}

/* Every call of Apple's failing in turn while it is asked: the program is compiled all the same, or told why not. */
static void a_call_fails(void) {
    mil_error err = {0};
    mil__ane_findings findings = {0};
    CHECK_OK(mil__ane_direct.open(&err), &err);
    mil__ane_device device;
    mil__ane_device_get(&device);
    standin.set("order", 0);
    standin.fail_at(kit_failing);
    mil__ane_self_test(&mil__ane_direct, &findings);
    if (standin.failed() == NULL) {
        FILE *file = fopen(kit_not_reached, "w");
        if (CHECK(file != NULL)) fclose(file);
    }
    for (long i = 0; i < standin.violations(); i++) CHECK_HAS(standin.violation(i), "released while it is l");
    CHECK_EQ(standin.alive(), 0);
    CHECK_EQ(kit_entries_left(), 0);
}

static void calls_fail(void) {
    kit_begin("direct");
    snprintf(kit_not_reached, sizeof kit_not_reached, "%s.end", kit_temporary);
    for (kit_failing = 1; kit_failing < 20000 && access(kit_not_reached, F_OK) != 0; kit_failing += 13) {
        kit_cold();
        kit_in_child(a_call_fails);
    }
    CHECK(kit_failing > 100 && kit_failing < 20000);
    unlink(kit_not_reached);
}

static void end(void) { kit_close(); }

TEST_MAIN(CASE(asked_once), CASE(machines), CASE(machines_by_e5rt), CASE(calls_fail), CASE(end))
