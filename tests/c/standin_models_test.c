/* SPDX-License-Identifier: MIT */
/* Engine coreml on the stand-in for Core ML, beside the cpu engine: bundles that are kept, compute units, functions, states, strided memory,
 * the compute plan; programs across it and the cpu, and verified on it. standin_failures_test has every call failing. */
#include "standin_client.h"

#define V(name, call) "tensor<fp16, [2, 4]> " name " = " call ";\n"
static const char text[] =
    "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [2, 4]> x) {\n" V("a", "relu(x = x)") V("b", "add(x = a, y = x)") "} -> (b);\n"
    "func other<ios18>(tensor<fp16, [2, 4]> x, state<tensor<fp16, [2, 4]>> s) {\n" V("old", "read_state(input = s)") V("sum", "add(x = old, y = x)")
    V("y", "coreml_update_state(state = s, value = sum)") "} -> (y);\n}\n";
static mil_program *program;

static void set_up(void) {
    mil_error err = {0};
    use_standin();
    setenv("MIL_CACHE", test_folder(), 1), setenv("TMPDIR", test_folder(), 1);
    begin();
    if (!program) CHECK_OK(mil_text_parse(text, sizeof text - 1, &(mil_text_options){.name = "models.mil"}, &program, &err), &err);
}

static mil_model *compile(const char *engine, const char *entry, const char *units, bool around) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_error err = {0};
    mil_model *model = NULL;
    options.engine = engine, options.entry = entry, options.units = units, options.fallback = options.verify = around;
    CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
    return model;
}

/* Rows in a tensor of another shape, so that there are gaps. */
static mil_tensor *strided(double first) {
    mil_tensor *whole = NULL, *view = NULL;
    CHECK_OK(mil_tensor_new(MIL_FP16, 2, (const int64_t[]){2, 16}, &whole, NULL), NULL);
    CHECK_OK(mil_tensor_over(mil_tensor_buffer(whole), 4, MIL_FP16, 2, (const int64_t[]){2, 4}, (const int64_t[]){16, 1}, &view, NULL), NULL);
    for (int64_t i = 0; i < 8; i++) mil_tensor_set(view, (const int64_t[]){i / 4, i % 4}, first + (double)i, NULL);
    mil_tensor_free(whole);
    return view;
}

static void same(const mil_tensor *got, const mil_tensor *wanted) {
    mil_tensor_gap gap = {.off = 1};
    CHECK_OK(mil_tensor_compare(got, wanted, &gap, NULL), NULL);
    CHECK_EQ(gap.off, 0.0);
}

static void told(const mil_model *model, const char *what) {
    char *words = NULL;
    CHECK_OK(mil_model_describe(model, &words, NULL), NULL);
    CHECK_HAS(words, what);
    mil_free(words);
}

static void runs(void) {
    set_up();
    static const char *const units[] = {NULL, "all", "cpu", "cpu_and_gpu", "cpu_and_ane"};
    for (size_t i = 0; i < 5; i++) {
        char line[60];
        mil_error err = {0};
        mil_model *ours = compile("coreml", "main", units[i], false), *cpu = compile("cpu", "main", NULL, false);
        mil_tensor *x = strided(-3), *got[] = {strided(9)}, *wanted = NULL;
        snprintf(line, sizeof line, "coreml, units %s\n", units[i] ? units[i] : "all");
        told(ours, line);
        told(ours, "relu");
        if (i > 0) told(ours, "compiled before");
        CHECK_OK(mil_model_run(ours, &x, got, &err), &err);
        CHECK_OK(mil_model_run(cpu, &x, &wanted, &err), &err);
        same(got[0], wanted);
        mil_tensor_free(x), mil_tensor_free(got[0]), mil_tensor_free(wanted);
        mil_model_free(ours), mil_model_free(cpu);
    }
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model = NULL;
    mil_error err = {0};
    options.engine = "coreml", options.units = "gpu", options.entry = "main";
    CHECK_STATUS(mil_program_compile(program, &options, &model, &err), MIL_ENAME, &err);
    end(0);
}

static void states(void) {
    set_up();
    mil_model *models[] = {compile("cpu", "other", NULL, false), compile("coreml", "other", NULL, false), compile("coreml", "other", NULL, true)};
    mil_state *state[3] = {NULL};
    mil_tensor *x = strided(1);
    mil_error err = {0};
    for (int m = 0; m < 3; m++) CHECK_OK(mil_state_new(models[m], &state[m], &err), &err);
    for (int turn = 0; turn < 3; turn++) {
        mil_tensor *out[3] = {NULL};
        for (int m = 0; m < 3; m++) CHECK_OK(mil_model_run_state(models[m], &x, &out[m], state[m], &err), &err);
        for (int m = 1; m < 3 && out[m] && out[0]; m++) same(out[m], out[0]), same(mil_state_tensor(state[m], 0), mil_state_tensor(state[0], 0));
        for (int m = 0; m < 3; m++) mil_tensor_free(out[m]);
    }
    told(models[2], "verified: a run agreed with the cpu engine's\ncoreml with fallback, 1 part");
    mil_tensor_free(x);
    for (int m = 0; m < 3; m++) mil_state_free(state[m]), mil_model_free(models[m]);
    end(0);
}

static mil_tensor *view_of(mil_tensor *whole, int64_t rows, int64_t stride) {
    mil_tensor *view = NULL;
    CHECK_OK(mil_tensor_over(mil_tensor_buffer(whole), 0, MIL_FP32, 2, (const int64_t[]){rows, 4}, (const int64_t[]){stride, 1}, &view, NULL), NULL);
    return view;
}

/* Strides that no array may have: of one row, where nobody steps along, and of several, which are copied; and no rows at all. */
static void odd_inputs(void) {
    static const struct { int64_t rows, stride; } views[] = {{1, 0}, {1, -4}, {1, 100}, {2, 0}, {3, 2}, {0, 4}, {1, 4}};
    set_up();
    mil_program *of_rows = NULL;
    mil_block main;
    mil_value x, y;
    mil_dim rows;
    mil_model *ours = NULL;
    mil_tensor *whole = NULL;
    mil_error err = {0};
    CHECK_OK(mil_program_new(MIL_IOS17, &of_rows, &err), &err);
    CHECK_OK(mil_program_function(of_rows, "main", &main, &err), &err);
    CHECK_OK(mil_program_symbol(of_rows, &(mil_symbol){"S", 1, 8, 2}, &rows, &err), &err);
    CHECK_OK(mil_program_input(of_rows, main, "x", MIL_FP32, 2, (const mil_dim[]){rows, 4}, false, &x, &err), &err);
    CHECK_OK(mil_program_output(of_rows, main, "y", x, &y, &err), &err);
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "coreml";
    CHECK_OK(mil_program_compile(of_rows, &options, &ours, &err), &err);
    CHECK_OK(mil_tensor_new(MIL_FP32, 1, (const int64_t[]){12}, &whole, &err), &err);
    for (int64_t i = 0; i < 12; i++) mil_tensor_set(whole, &i, (double)i, NULL);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        mil_tensor *in = view_of(whole, views[i].rows, views[i].stride), *got = NULL;
        mil_status status = mil_model_run(ours, &in, &got, &err);
        if (views[i].rows) CHECK_OK(status, &err), same(got, in);
        else if (CHECK_STATUS(status, MIL_EVALUE, &err)) CHECK_HAS(err.message, "input x is fp32[0, 4], but Core ML has no arrays without elements");
        mil_tensor_free(in), mil_tensor_free(got);
    }
    mil_tensor_free(whole);
    mil_model_free(ours);
    mil_program_free(of_rows);
    end(0);
}

/* What Core ML refuses is the cpu's. */
static void falls_back(void) {
    set_up();
    CONTROL(void, fail_named, const char *)("MLModel modelWithContentsOfURL:configuration:error:");
    mil_model *model = compile("coreml", "main", NULL, true);
    CONTROL(void, fail_named, const char *)(NULL);
    mil_tensor *x = strided(1), *out = NULL;
    mil_error err = {0};
    told(model, "part 1: cpu, 2 operations, a to b\n");
    CHECK_OK(mil_model_run(model, &x, &out, &err), &err);
    mil_tensor_free(x), mil_tensor_free(out);
    mil_model_free(model);
    mil_program_free(program);
    program = NULL;
    end(0);
}

TEST_MAIN(CASE(runs), CASE(states), CASE(odd_inputs), CASE(falls_back))
