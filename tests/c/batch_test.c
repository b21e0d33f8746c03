/* SPDX-License-Identifier: MIT */
/* Several runs in one call: results of each, tensors that are given, what is refused and in which run, a classifier, memory that ends at
 * every allocation. An engine that has batches of its own: standin_models_test. */
#include "test.h"

static mil_error err;

/* y = x + z, u = x * z */
static const char text[] =
    "program(1.3) { func main<ios18>(tensor<fp32, [?]> x, tensor<fp32, [1]> z) {"
    " tensor<fp32, [?]> y = add(x = x, y = z)[name = string(\"y\")];"
    " tensor<fp32, [?]> u = mul(x = x, y = z)[name = string(\"u\")]; } -> (y, u); }";
static const char counting[] =
    "program(1.3) { func main<ios18>(tensor<fp16, [1]> x, state<tensor<fp16, [1]>> memory) {"
    " tensor<fp16, [1]> old = read_state(input = memory)[name = string(\"old\")];"
    " tensor<fp16, [1]> y = add(x = old, y = x)[name = string(\"y\")]; } -> (y); }";

static mil_model *compile(const char *of) {
    mil_program *program = NULL;
    mil_model *model = NULL;
    CHECK_OK(mil_text_parse(of, strlen(of), NULL, &program, &err), &err);
    CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err);
    mil_program_free(program);
    return model;
}

static mil_tensor *full(int64_t n, double value) {
    mil_tensor *tensor = NULL;
    CHECK_OK(mil_tensor_new(MIL_FP32, 1, &n, &tensor, &err), &err);
    CHECK_OK(mil_tensor_fill(tensor, value, &err), &err);
    return tensor;
}

static void free_all(mil_tensor **tensors, size_t n) {
    for (size_t i = 0; i < n; i++) mil_tensor_free(tensors[i]);
}

enum { N = 5 };

/* Of sizes that differ: x of run i is i + 1 elements of i, z is 10. */
static void make_inputs(mil_tensor **inputs) {
    for (int i = 0; i < N; i++) inputs[2 * i] = full(i + 1, i), inputs[2 * i + 1] = full(1, 10);
}

static void check_outputs(mil_tensor *const *outputs) {
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) {
            const mil_tensor *out = outputs[2 * i + k];
            if (!CHECK(out && mil_tensor_numel(out) == i + 1)) continue;
            CHECK_EQ(((const float *)mil_tensor_data(out))[i], k ? 10.0f * (float)i : 10.0f + (float)i);
        }
}

static void runs(void) {
    mil_model *model = compile(text);
    mil_tensor *inputs[2 * N], *outputs[2 * N] = {NULL}, *given = full(3, 0);
    make_inputs(inputs);
    outputs[5] = given; /* u of the third */
    CHECK_OK(mil_model_run_batch(model, N, inputs, outputs, &err), &err);
    CHECK(outputs[5] == given);
    check_outputs(outputs);
    CHECK_OK(mil_model_run_batch(model, 0, NULL, NULL, &err), &err);
    free_all(inputs, 2 * N), free_all(outputs, 2 * N);
    mil_model_free(model);
}

static void refused(void) {
    mil_model *model = compile(text), *stateful = compile(counting);
    mil_tensor *inputs[2 * N], *outputs[2 * N] = {NULL};
    make_inputs(inputs);
    mil_tensor_free(inputs[7]);
    inputs[7] = full(2, 1);
    CHECK_STATUS(mil_model_run_batch(model, N, inputs, outputs, &err), MIL_ETYPE, &err);
    CHECK_EQ((const char *)err.message, "run 4 of 5: input z is fp32[1], but was given fp32[2]");
    mil_tensor_free(inputs[7]);
    inputs[7] = NULL;
    CHECK_STATUS(mil_model_run_batch(model, N, inputs, outputs, &err), MIL_EINVAL, &err);
    CHECK_EQ((const char *)err.message, "run 4 of 5: input z fp32[1] is missing");
    inputs[7] = full(1, 10);
    outputs[8] = full(1, 1); /* where 5 elements come: noticed in the last run, when the others have gone */
    CHECK_STATUS(mil_model_run_batch(model, N, inputs, outputs, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "run 5 of 5: output 0 is [5]");
    for (int i = 0; i < 2 * N; i++) CHECK((outputs[i] != NULL) == (i == 8));
    CHECK_STATUS(mil_model_run_batch(stateful, N, inputs, outputs, &err), MIL_EINVAL, &err);
    CHECK_HAS(err.message, "keeps state memory");
    free_all(outputs, 2 * N);
    memset(outputs, 0, sizeof outputs);
    mil_model_unload(model);
    CHECK_STATUS(mil_model_run_batch(model, N, inputs, outputs, &err), MIL_ESTATE, &err);
    free_all(inputs, 2 * N);
    mil_model_free(model), mil_model_free(stateful);
}

static mil_status whole(void *ctx, mil_error *error) {
    mil_tensor **inputs = ctx, *outputs[2 * N] = {NULL};
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_status status = mil_text_parse(text, strlen(text), NULL, &program, error);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, &model, error);
    if (status == MIL_OK) status = mil_model_run_batch(model, N, inputs, outputs, error);
    if (status == MIL_OK) check_outputs(outputs);
    else for (int i = 0; i < 2 * N; i++) CHECK(outputs[i] == NULL);
    free_all(outputs, 2 * N);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static void each_allocation(void) {
    mil_tensor *inputs[2 * N];
    mil_set_allocator(test_realloc, NULL);
    make_inputs(inputs);
    CHECK(test_each_allocation(whole, inputs) > 20);
    free_all(inputs, 2 * N);
    CHECK_EQ(test_alloc.live, 0);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(each_allocation), CASE(runs), CASE(refused))
