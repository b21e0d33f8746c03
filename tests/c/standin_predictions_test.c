/* SPDX-License-Identifier: MIT */
/* What engine coreml gives to Core ML and takes from it, on the stand-in, beside the cpu engine: batches, contexts that share a loaded
 * model by asynchronous predictions, images, functions that share a bundle, the compute plan, results that lie where they were not
 * wanted, bundles that are kept and removed; and each of Core ML's calls failing. */
#include <dirent.h>
#include <dlfcn.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apple/apple.h"
#include "program/program.h"
#include "standin_client.h"

static mil_error err;

/* ---- programs ---- */

static const char two_functions[] =
    "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [2, 4]> x) {\n"
    "tensor<fp16, [2, 4]> a = relu(x = x)[name = string(\"a\")];\ntensor<fp16, [2, 4]> b = add(x = a, y = x)[name = string(\"b\")];\n} -> (b, a);\n"
    "func other<ios18>(tensor<fp16, [2, 4]> x, state<tensor<fp16, [2, 4]>> s) {\n"
    "tensor<fp16, [2, 4]> old = read_state(input = s)[name = string(\"old\")];\ntensor<fp16, [2, 4]> sum = add(x = old, y = x)[name = string(\"sum\")];\n"
    "tensor<fp16, [2, 4]> y = coreml_update_state(state = s, value = sum)[name = string(\"y\")];\n} -> (y);\n}\n";

static mil_program *parse(const char *text) {
    mil_program *program = NULL;
    CHECK_OK(mil_text_parse(text, strlen(text), &(mil_text_options){.name = "test.mil"}, &program, &err), &err);
    return program;
}

static mil_model *compile_as(const mil_program *program, const char *engine, const char *entry) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model = NULL;
    options.engine = engine, options.entry = entry;
    CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
    return model;
}

/* The text's function, by engine coreml. */
static mil_model *compile(const char *text, const char *entry) {
    mil_program *program = parse(text);
    mil_model *model = compile_as(program, "coreml", entry);
    mil_program_free(program);
    return model;
}

static long calls(const char *name) { return CONTROL(long, calls, const char *)(name); }
static void set(const char *name, long value) { CONTROL(int, set, const char *, long)(name, value); }
static void fail_named(const char *name) { CONTROL(void, fail_named, const char *)(name); }
static const char *failed_call(void) { return CONTROL(const char *, failed, void)(); }
static void hide_selector(const char *name) { CONTROL(void, hide_selector, const char *)(name); }

static const char load[] = "MLModel modelWithContentsOfURL:configuration:error:";
static const char ask[] = "MLModel predictionFromFeatures:options:completionHandler:";
static const char batch[] = "MLModel predictionsFromBatch:error:";

static void set_up(void) {
    use_standin();
    setenv("MIL_CACHE", test_folder(), 1), setenv("TMPDIR", test_folder(), 1);
    begin();
}

/* ---- values ---- */

/* [2, 4]; with gaps, or against the direction of memory. */
static mil_tensor *rows(double first, int64_t row, int64_t step) {
    mil_tensor *whole = NULL, *view = NULL;
    size_t offset = step < 0 ? 6 : 0;
    CHECK_OK(mil_tensor_new(MIL_FP16, 2, (const int64_t[]){2, row}, &whole, NULL), NULL);
    CHECK_OK(mil_tensor_over(mil_tensor_buffer(whole), offset, MIL_FP16, 2, (const int64_t[]){2, 4}, (const int64_t[]){row, step}, &view, NULL), NULL);
    for (int64_t i = 0; i < 8; i++) mil_tensor_set(view, (const int64_t[]){i / 4, i % 4}, first + (double)i, NULL);
    mil_tensor_free(whole);
    return view;
}

static void same(const mil_tensor *got, const mil_tensor *wanted) {
    mil_tensor_gap gap = {.off = 1};
    if (!CHECK(got && wanted)) return;
    CHECK_OK(mil_tensor_compare(got, wanted, &gap, NULL), NULL);
    CHECK_EQ(gap.off, 0.0);
}

/* b = relu(x) + x, a = relu(x) */
static void right(const mil_tensor *x, const mil_tensor *b, const mil_tensor *a) {
    for (int64_t i = 0; i < 8; i++) {
        double in = 0, sum = NAN, positive = NAN;
        const int64_t at[] = {i / 4, i % 4};
        mil_tensor_get(x, at, &in, NULL), mil_tensor_get(b, at, &sum, NULL), mil_tensor_get(a, at, &positive, NULL);
        if (!CHECK_EQ(positive, in > 0 ? in : 0) || !CHECK_EQ(sum, positive + in)) return;
    }
}

static void free_all(mil_tensor **tensors, size_t n) {
    for (size_t i = 0; i < n; i++) mil_tensor_free(tensors[i]), tensors[i] = NULL;
}

/* ---- images: how a package describes them, and their values ---- */

static size_t put_varint(uint8_t *to, uint64_t n) {
    size_t used = 0;
    for (; n >= 128; n >>= 7) to[used++] = (uint8_t)(n | 128);
    to[used++] = (uint8_t)n;
    return used;
}

/* A message's field of bytes, in place before them. */
static size_t put_message(uint8_t *to, int field, const uint8_t *bytes, size_t n) {
    size_t used = put_varint(to, (uint64_t)field << 3 | 2);
    used += put_varint(to + used, n);
    memcpy(to + used, bytes, n);
    return used + n;
}

static size_t put_number(uint8_t *to, int field, uint64_t n) {
    size_t used = put_varint(to, (uint64_t)field << 3);
    return used + put_varint(to + used, n);
}

/* Input x is described as an image of a color (ImageFeatureType.ColorSpace), as in a package; range: of any size up to 64. */
static void describe_image(mil_program *program, int color, int64_t width, int64_t height, bool range) {
    uint8_t image[64], type[80], feature[120], sizes[40], side[8], *kept = NULL;
    size_t n = put_number(image, 1, (uint64_t)width), m = 0;
    n += put_number(image + n, 2, (uint64_t)height);
    n += put_number(image + n, 3, (uint64_t)color);
    size_t of_side = put_number(side, 1, 1);
    of_side += put_number(side + of_side, 2, 64);
    for (int field = 1; field <= 2; field++) m += put_message(sizes + m, field, side, of_side);
    if (range) n += put_message(image + n, 31, sizes, m);
    n = put_message(type, 4, image, n);
    m = put_message(feature, 1, (const uint8_t *)"x", 1);
    m += put_message(feature + m, 3, type, n);
    mil_value x = mil_block_input(program, mil_program_entry(program), 0);
    if (CHECK_OK(mil__program_keep(program, MIL__KEPT_INPUT, x, m, &kept, &err), &err)) memcpy(kept, feature, m);
}

static const double samples[] = {0, 1, 0.49, 0.51, 1.5, 2.5, 128.2, 254.6, 255, 300, -3, 77};

static double pixel(double value) { return value < 0 ? 0 : value > 255 ? 255 : nearbyint(value); }

/* [1, channels, height, width] of samples, or of what they are as pixels. */
static mil_tensor *planes(mil_dtype dtype, const int64_t *shape, bool is_rounded) {
    mil_tensor *out = NULL;
    int64_t at[4] = {0}, k = 0;
    CHECK_OK(mil_tensor_new(dtype, 4, shape, &out, NULL), NULL);
    for (at[1] = 0; at[1] < shape[1]; at[1]++)
        for (at[2] = 0; at[2] < shape[2]; at[2]++)
            for (at[3] = 0; at[3] < shape[3]; at[3]++, k++) {
                double value = samples[k % 12];
                mil_tensor_set(out, at, is_rounded ? pixel(value) : value, NULL);
            }
    return out;
}

/* As a converter writes an image's scale and bias: y = 0.25 x - (1, 2, 3). */
static mil_program *image_program(const char *dtype, int channels, bool is_flexible) {
    char text[900], type[60];
    snprintf(type, sizeof type, is_flexible ? "tensor<%s, [1, %d, ?, ?]>" : "tensor<%s, [1, %d, 2, 5]>", dtype, channels);
    snprintf(text, sizeof text,
             "program(1.3)\n{\nfunc main<ios18>(%s x) {\n%s scaled = mul(x = x, y = %s(0.25))[name = string(\"scaled\")];\n"
             "tensor<%s, [1, %d, 1, 1]> bias = const()[name = string(\"bias\"), val = tensor<%s, [1, %d, 1, 1]>(%s)];\n"
             "%s y = sub(x = scaled, y = bias)[name = string(\"y\")];\n} -> (y);\n}\n",
             type, type, dtype, dtype, channels, dtype, channels, channels == 1 ? "[[[[1]]]]" : "[[[[1]],[[2]],[[3]]]]", type);
    return parse(text);
}

/* ---- all that is called ---- */

/* Two functions in a bundle, an image, a batch, contexts that share a model, states, the plan. */
typedef struct whole {
    mil_program *program, *image;
    mil_tensor *x, *pixels;
} whole;

static void make_whole(whole *w) {
    *w = (whole){parse(two_functions), image_program("fp32", 3, false), rows(-3, 6, 1), planes(MIL_FP32, (const int64_t[]){1, 3, 2, 5}, false)};
    describe_image(w->image, 20, 5, 2, false);
}

static void free_whole(whole *w) {
    mil_program_free(w->program), mil_program_free(w->image);
    mil_tensor_free(w->x), mil_tensor_free(w->pixels);
}

static mil_status everything(whole *w) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model = NULL, *stateful = NULL, *of_image = NULL;
    mil_tensor *xs[] = {w->x, w->x}, *out[4] = {NULL};
    mil_context *contexts[2] = {NULL};
    mil_state *state = NULL;
    char *words = NULL;
    options.engine = "coreml", options.entry = "main";
    mil_status status = mil_program_compile(w->program, &options, &model, &err);
    options.entry = NULL;
    if (!status) status = mil_program_compile(w->image, &options, &of_image, &err);
    options.entry = "other";
    if (!status) status = mil_program_compile(w->program, &options, &stateful, &err);
    if (!status) status = mil_state_new(stateful, &state, &err);
    if (!status) status = mil_model_run(of_image, &w->pixels, out, &err);
    free_all(out, 4);
    if (!status) status = mil_model_run_batch(model, 2, xs, out, &err);
    if (!status) right(w->x, out[2], out[3]);
    free_all(out, 4);
    for (int i = 0; i < 2 && !status; i++) {
        status = mil_context_new(stateful, &contexts[i], &err);
        if (!status) status = mil_context_set_state(contexts[i], state, &err);
        if (!status) status = mil_context_set_input(contexts[i], 0, w->x, &err);
        if (!status) status = mil_context_run(contexts[i], &err);
    }
    if (!status) status = mil_model_describe(model, &words, &err);
    mil_free(words);
    mil_context_free(contexts[0]), mil_context_free(contexts[1]);
    mil_state_free(state);
    mil_model_free(model), mil_model_free(stateful), mil_model_free(of_image);
    return status;
}

/* ---- batches ---- */

enum { N = 4 };

static void make_batch(mil_tensor **inputs) {
    for (int i = 0; i < N; i++) inputs[i] = rows(i - 6, i % 2 ? 7 : 4, i == 2 ? -1 : 1);
}

static void batches(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_tensor *inputs[N], *outputs[2 * N] = {NULL}, *given = rows(0, 9, 1);
    make_batch(inputs);
    outputs[3] = given; /* a of the second run */
    CHECK_OK(mil_model_run_batch(model, N, inputs, outputs, &err), &err);
    CHECK_EQ(calls(batch), 1);
    CHECK_EQ(calls("MLModel predictionFromFeatures:options:error:"), 0);
    CHECK(outputs[3] == given);
    for (int i = 0; i < N; i++) right(inputs[i], outputs[2 * i], outputs[2 * i + 1]);
    outputs[3] = NULL;
    free_all(outputs, 2 * N);
    outputs[3] = given;
    fail_named(batch);
    CHECK_STATUS(mil_model_run_batch(model, N, inputs, outputs, &err), MIL_EIO, &err);
    CHECK_EQ((const char *)err.message, "run: Core ML: made to fail (com.apple.CoreML 4)");
    fail_named(NULL);
    for (int i = 0; i < 2 * N; i++) CHECK(outputs[i] == (i == 3 ? given : NULL));
    mil_model *stateful = compile(two_functions, "other");
    CHECK_STATUS(mil_model_run_batch(stateful, N, inputs, outputs, &err), MIL_EINVAL, &err);
    free_all(inputs, N), free_all(outputs, 2 * N);
    mil_model_free(model), mil_model_free(stateful);
    end(0);
}

/* A context that shares its model loads another for its batch, and leaves that to the next context. */
static void batches_beside_contexts(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_context *context = NULL;
    mil_tensor *inputs[N], *outputs[2 * N] = {NULL};
    make_batch(inputs);
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    for (int turn = 0; turn < 3; turn++) {
        CHECK_OK(mil_model_run_batch(model, N, inputs, outputs, &err), &err);
        for (int i = 0; i < N; i++) right(inputs[i], outputs[2 * i], outputs[2 * i + 1]);
        free_all(outputs, 2 * N);
    }
    CHECK_EQ(calls(load), 3); /* the first context's, the shared one, the batch's */
    free_all(inputs, N);
    mil_context_free(context);
    mil_model_free(model);
    end(0);
}

/* ---- contexts that share a model ---- */

enum { CONTEXTS = 5 };

static void run_context(mil_context *context, int first) {
    mil_tensor *x = rows(first, 6, 1);
    CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
    for (int turn = 0; turn < 3; turn++) {
        if (!CHECK_OK(mil_context_run(context, &err), &err)) break;
        right(x, mil_context_output(context, 0), mil_context_output(context, 1));
    }
    mil_tensor_free(x);
}

static void sharing(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_context *contexts[CONTEXTS];
    for (int i = 0; i < CONTEXTS; i++) CHECK_OK(mil_context_new(model, &contexts[i], &err), &err);
    CHECK_EQ(calls(load), 2);
    for (int i = 0; i < CONTEXTS; i++) run_context(contexts[i], -i);
    CHECK_EQ(calls(ask), 3 * (CONTEXTS - 1));
    fail_named(ask);
    CHECK_OK(mil_context_run(contexts[0], &err), &err);
    CHECK_STATUS(mil_context_run(contexts[1], &err), MIL_EIO, &err);
    CHECK_EQ((const char *)err.message, "run: Core ML: made to fail (com.apple.CoreML 4)");
    fail_named(NULL);
    CHECK_OK(mil_context_run(contexts[1], &err), &err);
    mil_context_free(contexts[0]); /* what it had is the next one's */
    CHECK_OK(mil_context_new(model, &contexts[0], &err), &err);
    run_context(contexts[0], -3);
    CHECK_EQ(calls(load), 2);
    mil_model_unload(model);
    CHECK_STATUS(mil_context_run(contexts[1], &err), MIL_ESTATE, &err);
    for (int i = 0; i < CONTEXTS; i++) mil_context_free(contexts[i]);
    mil_model_free(model);
    end(0);
}

/* Each on a state of its own. */
static void sharing_states(void) {
    set_up();
    mil_model *model = compile(two_functions, "other");
    mil_context *contexts[3];
    mil_state *states[3];
    mil_tensor *x = rows(1, 4, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(mil_context_new(model, &contexts[i], &err), &err);
        CHECK_OK(mil_state_new(model, &states[i], &err), &err);
        CHECK_OK(mil_context_set_state(contexts[i], states[i], &err), &err);
        CHECK_OK(mil_context_set_input(contexts[i], 0, x, &err), &err);
    }
    for (int turn = 0; turn < 4; turn++)
        for (int i = 0; i < 3; i++)
            if (turn > i) CHECK_OK(mil_context_run(contexts[i], &err), &err); /* 3, 2 and 1 times */
    for (int i = 0; i < 3; i++) {
        double first = 0;
        mil_tensor_get(mil_state_tensor(states[i], 0), (const int64_t[]){0, 0}, &first, NULL);
        CHECK_EQ(first, 3.0 - i);
        same(mil_context_output(contexts[i], 0), mil_state_tensor(states[i], 0));
    }
    CHECK_EQ(calls("MLModel predictionFromFeatures:usingState:options:completionHandler:"), 3);
    CHECK_EQ(calls(load), 2);
    for (int i = 0; i < 3; i++) mil_context_free(contexts[i]), mil_state_free(states[i]);
    mil_tensor_free(x);
    mil_model_free(model);
    end(0);
}

static void *run_often(void *ctx) {
    mil_error error = {0};
    mil_tensor *x = rows(-3, 5, 1), *out[2] = {NULL};
    for (int i = 0; i < 25; i++) {
        if (!CHECK_OK(mil_model_run(ctx, &x, out, &error), &error)) break;
        right(x, out[0], out[1]);
        free_all(out, 2);
    }
    mil_tensor_free(x);
    return NULL;
}

static void threads(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    pthread_t all[6];
    for (int i = 0; i < 6; i++) CHECK_EQ(pthread_create(&all[i], NULL, run_often, model), 0);
    for (int i = 0; i < 6; i++) pthread_join(all[i], NULL);
    mil_model_free(model);
    end(0);
}

static void several_started(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_run *runs[8] = {NULL};
    mil_tensor *x = rows(-2, 4, 1);
    for (int i = 0; i < 8; i++) CHECK_OK(mil_model_start(model, &x, NULL, NULL, NULL, NULL, &runs[i], &err), &err);
    for (int i = 0; i < 8; i++) {
        mil_tensor *out[2] = {NULL};
        CHECK_OK(mil_run_result(runs[i], out, &err), &err);
        if (CHECK(out[0] && out[1])) right(x, out[0], out[1]);
        free_all(out, 2);
        mil_run_free(runs[i]);
    }
    mil_tensor_free(x);
    mil_model_free(model);
    end(0);
}

/* ---- systems without some of it: in processes of their own, which have looked for nothing yet ---- */

static void in_child(void (*run)(void)) {
    test_folder();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        test_failures = 0;
        run();
        fflush(NULL);
        _exit(test_failures != 0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

/* ---- a process that is forked off: what it has of Core ML stayed with the parent ---- */

static mil_model *parents_model;
static mil_context *parents_context;

static void is_the_parents(mil_status status) {
    if (CHECK_STATUS(status, MIL_ESTATE, &err)) CHECK_HAS(err.message, "Core ML can't be used in a process that was forked off");
}

static void use_the_parents(void) {
    char *words = NULL, text[100];
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_tensor *x = rows(1, 4, 1), *out[2] = {NULL};
    mil_context *another;
    mil_model *model;
    mil_program *program = parse(two_functions);
    options.engine = "coreml";
    is_the_parents(mil_model_run(parents_model, &x, out, &err));
    is_the_parents(mil_model_run_batch(parents_model, 1, &x, out, &err));
    is_the_parents(mil_context_run(parents_context, &err));
    is_the_parents(mil_context_new(parents_model, &another, &err));
    is_the_parents(mil_program_compile(program, &options, &model, &err));
    CHECK_OK(mil_model_describe(parents_model, &words, &err), &err);
    CHECK(mil_engine_describe("coreml", text, sizeof text) > 0);
    mil_free(words);
    mil_tensor_free(x);
    mil_program_free(program);
    mil_context_free(parents_context);
    mil_model_free(parents_model);
}

static void forks(void) {
    set_up();
    mil_tensor *x = rows(1, 4, 1);
    mil_context *another = NULL;
    setenv("MIL_CACHE", "/dev/null", 1); /* so that the bundle is the model's own, and goes with it */
    parents_model = compile(two_functions, "main");
    CHECK_OK(mil_context_new(parents_model, &parents_context, &err), &err);
    CHECK_OK(mil_context_set_input(parents_context, 0, x, &err), &err);
    CHECK_OK(mil_context_run(parents_context, &err), &err);
    in_child(use_the_parents);
    CHECK_OK(mil_context_run(parents_context, &err), &err);
    CHECK_OK(mil_context_new(parents_model, &another, &err), &err); /* which loads the bundle */
    mil_context_free(another);
    mil_context_free(parents_context);
    mil_model_free(parents_model);
    mil_tensor_free(x);
    setenv("MIL_CACHE", test_folder(), 1);
    end(0);
}

/* macOS 13: each context has a model of its own. */
static void without_asking(void) {
    set_up();
    hide_selector("predictionFromFeatures:options:completionHandler:");
    mil_model *model = compile(two_functions, "main");
    mil_context *contexts[3];
    for (int i = 0; i < 3; i++) CHECK_OK(mil_context_new(model, &contexts[i], &err), &err);
    CHECK_EQ(calls(load), 3);
    for (int i = 0; i < 3; i++) run_context(contexts[i], -i);
    for (int i = 0; i < 3; i++) mil_context_free(contexts[i]);
    mil_model_free(model);
    end(0);
}

/* Functions go alone then. */
static void without_names(void) {
    set_up();
    hide_selector("setFunctionName:");
    mil_model *model = compile(two_functions, "main");
    char *words = NULL;
    CHECK_OK(mil_model_describe(model, &words, &err), &err);
    CHECK(words && !strstr(words, "function main"));
    mil_free(words);
    run_often(model);
    mil_model_free(model);
    end(0);
}

static void without_backings(void) {
    set_up();
    hide_selector("setOutputBackings:");
    mil_model *model = compile(two_functions, "main");
    run_often(model);
    CHECK_EQ(CONTROL(long, seen, const char *)("backings"), 0);
    mil_model_free(model);
    end(0);
}

static void without_plans(void) {
    set_up();
    CONTROL(void, hide_class, const char *)("MLComputePlan");
    mil_model *model = compile(two_functions, "main");
    char *words = NULL;
    CHECK_OK(mil_model_describe(model, &words, &err), &err);
    CHECK_HAS(words, "no compute plan: Core ML has them from macOS 14.4 on");
    mil_free(words);
    mil_model_free(model);
    end(0);
}

static void without_batches(void) {
    set_up();
    hide_selector("predictionsFromBatch:error:");
    const char *reason = "";
    CHECK(!mil_engine_available("coreml", &reason));
    CHECK_HAS(reason, "-[MLModel predictionsFromBatch:error:]");
}

/* Each class and method that is called, gone: what is needed is told by name, what is not is done without, or refused. */
static const char *gone;
static bool is_class, is_needed;

static void without_one(void) {
    whole w;
    const char *reason = "";
    set_up();
    if (is_class) CONTROL(void, hide_class, const char *)(gone);
    else hide_selector(gone);
    bool is_there = mil_engine_available("coreml", &reason);
    CHECK_EQ(is_there, !is_needed);
    if (!is_there) {
        CHECK_HAS(reason, gone);
        return;
    }
    make_whole(&w);
    mil_status status = everything(&w);
    CHECK(status == MIL_OK || (status == MIL_EUNSUPPORTED && strstr(err.message, "macOS 15")));
    free_whole(&w);
    end(0);
}

static void each_gone(void) {
    mil__apple_row row;
    int n = 0;
    for (size_t i = 0; mil__apple_row_at(i, &row); i++) {
        if (!(1ull << row.library & (MIL__LIBRARY(coreml) | MIL__LIBRARY(corevideo))) || !strchr("C-+", row.kind)) continue;
        gone = row.name, is_class = row.kind == 'C', is_needed = row.needed;
        test_row = gone;
        n++;
        in_child(without_one);
    }
    CHECK(n > 50);
}

static void no_frameworks(void) {
    const char *reason = "";
    setenv("MIL_FRAMEWORKS", "/nowhere", 1);
    CHECK(!mil_engine_available("coreml", &reason));
    CHECK_HAS(reason, "/nowhere");
    mil_program *program = parse(two_functions);
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model = NULL;
    options.engine = "coreml", options.entry = "main";
    CHECK_STATUS(mil_program_compile(program, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "engine coreml can't be used here: ");
    options.engine = NULL;
    CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
    run_often(model);
    mil_model_free(model);
    mil_program_free(program);
}

static void without_frameworks(void) { in_child(no_frameworks); }

static void older_systems(void) {
    in_child(without_asking), in_child(without_names), in_child(without_backings), in_child(without_plans), in_child(without_batches);
}

/* ---- functions ---- */

static void functions(void) {
    set_up();
    CHECK_OK(mil_cache_clear(&err), &err);
    mil_program *program = parse(two_functions);
    mil_model *first = compile_as(program, "coreml", "main"), *second = compile_as(program, "coreml", "other");
    char *words = NULL;
    CHECK_EQ(calls("MLModel compileModelAtURL:error:"), 1);
    CHECK_EQ(calls("MLModelConfiguration setFunctionName:"), 2);
    CHECK_OK(mil_model_describe(second, &words, &err), &err);
    CHECK_HAS(words, "function other, in a bundle with the program's others\n");
    CHECK_HAS(words, "compiled before");
    CHECK_HAS(words, "sum = ios18.add");
    mil_free(words);
    run_often(first);
    mil_model_free(first), mil_model_free(second);
    mil_program_free(program);
    end(0);
}

/* ---- the compute plan ---- */

static void tells(const mil_model *model, const char *what) {
    char *words = NULL;
    CHECK_OK(mil_model_describe(model, &words, &err), &err);
    CHECK_HAS(words, what);
    mil_free(words);
}

static void plans(void) {
    set_up();
    mil_program *program = parse(two_functions);
    static const struct { const char *units, *device; } all[] = {{"all", "neural engine"}, {"cpu", "cpu"}, {"cpu_and_gpu", "gpu"},
                                                                {"cpu_and_ane", "neural engine"}};
    for (size_t i = 0; i < 4; i++) {
        mil_compile_options options = MIL_COMPILE_DEFAULTS;
        mil_model *model = NULL;
        char line[120];
        options.engine = "coreml", options.units = all[i].units, options.entry = "main";
        CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
        snprintf(line, sizeof line, "   1  a = ios18.relu  [%s]  50.0 %%\n   2  b = ios18.add  [%s]  50.0 %%\n", all[i].device, all[i].device);
        tells(model, line);
        mil_model_free(model);
    }
    mil_model *model = compile_as(program, "coreml", "main");
    set("ml_plain_names", 1), set("ml_unknown_device", 1);
    tells(model, "   1  a = relu  [-]  50.0 %\n");
    fail_named("MLComputePlan loadContentsOfURL:configuration:completionHandler:");
    tells(model, "no compute plan: made to fail (com.apple.CoreML 4)\n");
    fail_named("MLComputePlan modelStructure");
    tells(model, "the compute plan has no operations\n");
    fail_named("MLComputePlan computeDeviceUsageForMLProgramOperation:");
    tells(model, "   1  a = relu  [-]  50.0 %\n");
    fail_named("MLComputePlan estimatedCostOfMLProgramOperation:");
    tells(model, "   1  a = relu  [-]\n");
    fail_named(NULL);
    char devices[100];
    mil_engine_describe("coreml", devices, sizeof devices);
    CHECK_EQ((const char *)devices, "coreml (cpu, gpu, neural engine)");
    mil_model_free(model);
    mil_program_free(program);
    end(0);
}

/* ---- images ---- */

static void run_image(mil_model *model, mil_model *cpu, const mil_port *port, const int64_t *shape, bool is_rounded) {
    mil_tensor *given = planes(port->dtype, shape, false), *pixels = planes(port->dtype, shape, is_rounded), *got = NULL, *wanted = NULL;
    if (CHECK_OK(mil_model_run(model, &given, &got, &err), &err) && CHECK_OK(mil_model_run(cpu, &pixels, &wanted, &err), &err)) same(got, wanted);
    mil_tensor_free(given), mil_tensor_free(pixels), mil_tensor_free(got), mil_tensor_free(wanted);
}

static const struct image_row { const char *name, *dtype; int color, channels; } images[] = {
    {"rgb", "fp32", 20, 3}, {"bgr", "fp32", 30, 3}, {"gray", "fp32", 10, 1}, {"gray fp16", "fp16", 40, 1}, {"rgb", "fp16", 20, 3}, {"gray", "fp16", 10, 1},
};

static void image_inputs(void) {
    set_up();
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        const struct image_row *row = &images[i];
        const int64_t shape[] = {1, row->channels, 2, 5};
        mil_program *program = image_program(row->dtype, row->channels, false);
        mil_feature feature = {.kind = ""};
        test_row = row->name;
        mil_model *cpu = compile_as(program, "cpu", NULL);
        describe_image(program, row->color, 5, 2, false);
        CHECK_OK(mil_value_feature(program, mil_block_input(program, mil_program_entry(program), 0), &feature, &err), &err);
        CHECK_EQ(feature.color, row->name);
        mil_model *model = compile_as(program, "coreml", NULL);
        for (int turn = 0; turn < 2; turn++) run_image(model, cpu, mil_model_input(model, 0), shape, row->color != 40);
        CHECK_EQ(CONTROL(long, seen, const char *)("images"), 2 * (long)(i + 1));
        CHECK_EQ(calls("CVPixelBufferCreate"), (long)(i + 1)); /* the second run fills the first one's pixels */
        mil_model_free(model), mil_model_free(cpu);
        mil_program_free(program);
    }
    end(0);
}

/* Each run of another size, and of a batch too. */
static void images_of_any_size(void) {
    set_up();
    static const int64_t shapes[][4] = {{1, 3, 2, 5}, {1, 3, 7, 3}, {1, 3, 7, 3}, {1, 3, 1, 64}};
    mil_program *program = image_program("fp32", 3, true);
    mil_model *cpu = compile_as(program, "cpu", NULL);
    describe_image(program, 30, 5, 2, true);
    mil_model *model = compile_as(program, "coreml", NULL);
    for (int i = 0; i < 4 && model; i++) run_image(model, cpu, mil_model_input(model, 0), shapes[i], true);
    mil_tensor *inputs[4], *pixels[4], *got[4] = {NULL}, *wanted[4] = {NULL};
    for (int i = 0; i < 4; i++) inputs[i] = planes(MIL_FP32, shapes[i], false), pixels[i] = planes(MIL_FP32, shapes[i], true);
    if (model) CHECK_OK(mil_model_run_batch(model, 4, inputs, got, &err), &err);
    CHECK_OK(mil_model_run_batch(cpu, 4, pixels, wanted, &err), &err);
    for (int i = 0; i < 4; i++) same(got[i], wanted[i]);
    free_all(inputs, 4), free_all(pixels, 4), free_all(got, 4), free_all(wanted, 4);
    mil_model_free(model), mil_model_free(cpu);
    mil_program_free(program);
    end(0);
}

/* ---- outputs ---- */

/* Results are where they are wanted, or copied: where Core ML puts them elsewhere, where the tensor has gaps. */
static void outputs(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_tensor *x = rows(-3, 4, 1);
    static const struct { const char *name; int64_t row; long is_used, backings; } all[] = {
        {"dense", 4, 1, 2}, {"dense, elsewhere", 4, 0, 0}, {"with gaps", 9, 1, 1},
    };
    for (size_t i = 0; i < 3; i++) {
        mil_tensor *out[] = {rows(9, 4, 1), rows(9, all[i].row, 1)};
        long before = CONTROL(long, seen, const char *)("backings");
        test_row = all[i].name;
        set("ml_backings", all[i].is_used);
        CHECK_OK(mil_model_run(model, &x, out, &err), &err);
        right(x, out[0], out[1]);
        CHECK_EQ(CONTROL(long, seen, const char *)("backings") - before, all[i].backings);
        free_all(out, 2);
    }
    mil_tensor_free(x);
    mil_model_free(model);
    end(0);
}

/* ---- what is kept ---- */

static long bundles(void) {
    char command[400], path[120];
    snprintf(path, sizeof path, "%s/count", test_folder());
    snprintf(command, sizeof command, "ls -d %s/coreml/*.mlmodelc 2>/dev/null | wc -l > %s", test_folder(), path);
    long n = -1;
    FILE *file = system(command) == 0 ? fopen(path, "r") : NULL;
    CHECK(file && fscanf(file, "%ld", &n) == 1);
    if (file) fclose(file);
    remove(path);
    return n;
}

static void age(const char *seconds) {
    char command[200];
    snprintf(command, sizeof command, "touch -d '%s' %s/coreml/*.mlmodelc", seconds, test_folder());
    CHECK_EQ(system(command), 0);
}

static mil_model *compile_adding(int number) {
    char text[300];
    snprintf(text, sizeof text, "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [1]> x) {\ntensor<fp16, [1]> y = add(x = x, y = fp16(%d))[name = string(\"y\")];\n} -> (y);\n}\n", number);
    return compile(text, NULL);
}

static void kept(void) {
    set_up();
    CHECK_OK(mil_cache_clear(&err), &err);
    for (int i = 0; i < 36; i++) mil_model_free(compile_adding(i));
    CHECK_EQ(bundles(), 36); /* all of today */
    age("2 days ago");
    mil_model_free(compile_adding(0)); /* used again, so that it stays */
    mil_model_free(compile_adding(100));
    CHECK_EQ(bundles(), 32);
    long before = calls("MLModel compileModelAtURL:error:");
    mil_model_free(compile_adding(0)), mil_model_free(compile_adding(100));
    CHECK_EQ(calls("MLModel compileModelAtURL:error:"), before);
    CHECK_OK(mil_cache_clear(&err), &err);
    CHECK_EQ(bundles(), 0);
    mil_model_free(compile_adding(0));
    CHECK_EQ(calls("MLModel compileModelAtURL:error:"), before + 1);
    end(0);
}

/* A kept bundle that is no good is made anew; and where nothing can be kept, the model has its own. */
static void not_kept(void) {
    set_up();
    char command[300];
    mil_model_free(compile_adding(7));
    snprintf(command, sizeof command, "for d in %s/coreml/*.mlmodelc; do rm -r $d; mkdir $d; done", test_folder());
    CHECK_EQ(system(command), 0);
    mil_model *model = compile_adding(7);
    tells(model, "compiled now, and kept");
    mil_model_free(model);
    CHECK_OK(mil_cache_clear(&err), &err);
    setenv("MIL_CACHE", "/dev/null", 1);
    model = compile_adding(7);
    tells(model, "of this model alone");
    mil_model_free(model);
    setenv("MIL_CACHE", test_folder(), 1);
    CHECK_EQ(bundles(), 0);
    end(0);
}

/* ---- what is wrong ---- */

/* Runs that are under way when a model is unloaded come to their ends; then it is over. */
static void unloaded(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_run *runs[6] = {NULL}, *late = NULL;
    mil_tensor *x = rows(-2, 4, 1), *none[2] = {NULL};
    for (int i = 0; i < 6; i++) CHECK_OK(mil_model_start(model, &x, NULL, NULL, NULL, NULL, &runs[i], &err), &err);
    mil_model_unload(model);
    for (int i = 0; i < 6; i++) {
        mil_tensor *out[2] = {NULL};
        CHECK_OK(mil_run_result(runs[i], out, &err), &err);
        if (CHECK(out[0] && out[1])) right(x, out[0], out[1]);
        free_all(out, 2);
        mil_run_free(runs[i]);
    }
    CHECK_STATUS(mil_model_run(model, &x, none, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_model_run_batch(model, 1, &x, none, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_model_start(model, &x, NULL, NULL, NULL, NULL, &late, &err), MIL_ESTATE, &err);
    char *words = NULL;
    CHECK_STATUS(mil_model_describe(model, &words, &err), MIL_ESTATE, &err);
    mil_tensor_free(x);
    mil_model_free(model);
    end(0);
}

static void wrong_inputs(void) {
    set_up();
    mil_model *model = compile(two_functions, "main");
    mil_tensor *wide = NULL, *single = NULL, *none = NULL, *out[2] = {NULL}, *x = rows(1, 4, 1);
    CHECK_OK(mil_tensor_new(MIL_FP16, 2, (const int64_t[]){2, 5}, &wide, &err), &err);
    CHECK_OK(mil_tensor_new(MIL_FP32, 2, (const int64_t[]){2, 4}, &single, &err), &err);
    CHECK_STATUS(mil_model_run(model, &wide, out, &err), MIL_ETYPE, &err);
    CHECK_EQ((const char *)err.message, "run: input x is fp16[2, 4], but was given fp16[2, 5]");
    CHECK_STATUS(mil_model_run(model, &single, out, &err), MIL_ETYPE, &err);
    CHECK_STATUS(mil_model_run(model, &none, out, &err), MIL_EINVAL, &err);
    mil_tensor *given[2] = {wide, NULL};
    CHECK_STATUS(mil_model_run(model, &x, given, &err), MIL_ETYPE, &err);
    CHECK(!out[0] && !out[1]);
    CHECK_OK(mil_model_run(model, &x, out, &err), &err);
    right(x, out[0], out[1]);
    free_all(out, 2);
    mil_tensor_free(wide), mil_tensor_free(single), mil_tensor_free(x);
    mil_model_free(model);
    /* what no package can say */
    mil_program *program = parse("program(1.3) { func main<ios18>(tensor<bool, [2]> x) { tensor<bool, [2]> y = logical_not(x = x)[name = string(\"y\")]; } -> (y); }");
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "coreml";
    CHECK_STATUS(mil_program_compile(program, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "compile: function main: x: a model's inputs are fp16, fp32 or int32 tensors, not bool[2]");
    mil_program_free(program);
    end(0);
}

static int entries(const char *path) {
    int n = -2;
    DIR *dir = opendir(path);
    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n;
}

/* Where a package can't be written, and where what is written is cut off (a limit of this process stands for the disk's). */
static void no_room(void) {
    set_up();
    static char folder[120];
    mil_program *program = parse(two_functions);
    mil_model *model = NULL;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "coreml", options.entry = "main";
    CHECK_OK(mil_cache_clear(&err), &err);
    setenv("TMPDIR", "/nowhere/at/all", 1);
    CHECK_STATUS(mil_program_compile(program, &options, &model, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot make /nowhere/at/all/");
    snprintf(folder, sizeof folder, "%s/small", test_folder());
    CHECK_EQ(mkdir(folder, 0700), 0);
    setenv("TMPDIR", folder, 1);
    struct rlimit before, none = {0, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &before);
    none.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    mil_status status = mil_program_compile(program, &options, &model, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_STATUS(status, MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot write ");
    CHECK_EQ(entries(folder), 0);
    model = compile_as(program, "coreml", "main");
    run_often(model);
    mil_model_free(model);
    CHECK_EQ(entries(folder), 0);
    mil_program_free(program);
    end(0);
}

/* ---- each call failing ---- */

/* The message names the call, or has the text of the error that it gave, or says what Core ML did not give. */
static bool is_told(const char *failed) {
    if (strstr(failed, "error:") || strstr(failed, "ompletionHandler:")) return strstr(err.message, "made to fail") != NULL;
    return strstr(err.message, "Core ML") || strstr(err.message, "pixel") || CONTROL(const char *, call_named, const char *)(err.message) != NULL;
}

static void each_call_fails(void) {
    set_up();
    whole w;
    make_whole(&w);
    CHECK_OK(everything(&w), &err);
    end(0);
    long k = 1, refused = 0;
    for (const char *failed = ""; failed && k < 2000 && test_failures < 20; k++) {
        static char row[700];
        begin();
        CHECK_OK(mil_cache_clear(NULL), NULL);
        CONTROL(void, fail_at, long)(k);
        mil_status status = everything(&w);
        CONTROL(void, fail_at, long)(0);
        failed = failed_call();
        snprintf(row, sizeof row, "call %ld, %.160s: %.400s", k, failed ? failed : "none", status ? err.message : "success");
        test_row = row;
        refused += status != MIL_OK;
        if (!failed) CHECK_OK(status, &err);
        else CHECK(!status || is_told(failed));
        end(0);
        begin();
        CHECK_OK(everything(&w), &err);
        end(0);
    }
    test_row = "";
    CHECK(k > 150 && k < 2000 && refused > 80);
    free_whole(&w);
}

/* Memory ends at each allocation. */
static mil_status with_memory(void *ctx, mil_error *error) {
    mil_status status = everything(ctx);
    *error = err;
    return status;
}

static void each_allocation(void) {
    set_up();
    whole w;
    mil_set_allocator(test_realloc, NULL);
    make_whole(&w);
    CHECK_OK(everything(&w), &err);
    CHECK(test_each_allocation(with_memory, &w) > 100);
    free_whole(&w);
    CHECK_EQ(test_alloc.live, 0);
    end(0);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(without_frameworks), CASE(each_gone), CASE(older_systems), CASE(each_allocation), CASE(batches), CASE(batches_beside_contexts), CASE(sharing), CASE(sharing_states), CASE(threads),
          CASE(several_started), CASE(functions), CASE(plans), CASE(image_inputs), CASE(images_of_any_size), CASE(outputs), CASE(kept),
          CASE(not_kept), CASE(unloaded), CASE(forks), CASE(wrong_inputs), CASE(no_room), CASE(each_call_fails))
