/* SPDX-License-Identifier: MIT */
/* mil_state: made, run on, kept beyond its model's other owners, refused; and all of it without memory. What reads and writes
 * of states mean in programs is states_spec.lua's. */
#include "test.h"

#include <mil.h>

static const char text[] = "program(1.3)\n{\n  func main<ios18>(tensor<fp16, [2]> x, state<tensor<fp16, [2]>> s) {\n"
                           "    tensor<fp16, [2]> old = read_state(input = s)[name = string(\"old\")];\n"
                           "    tensor<fp16, [2]> y = add(x = old, y = x)[name = string(\"y\")];\n"
                           "    write_state(data = y, input = s)[name = string(\"w\")];\n  } -> (y);\n}\n";

static mil_status make_model(mil_model **out, mil_error *err) {
    mil_program *program = NULL;
    mil_status status = mil_text_parse(text, sizeof text - 1, NULL, &program, err);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, out, err);
    mil_program_free(program);
    return status;
}

static mil_status make_x(mil_tensor **out, mil_error *err) {
    const int64_t shape[] = {2};
    mil_status status = mil_tensor_new(MIL_FP16, 1, shape, out, err);
    return status == MIL_OK ? mil_tensor_fill(*out, 1, err) : status;
}

static double first_of(const mil_tensor *tensor) {
    double value = -1;
    mil_tensor_get(tensor, (const int64_t[]){0}, &value, NULL);
    return value;
}

static void is_described(void) {
    mil_model *model = NULL;
    mil_error err;
    if (!CHECK_OK(make_model(&model, &err), &err)) return;
    CHECK_EQ(mil_model_n_inputs(model), 1);
    CHECK_EQ(mil_model_n_states(model), 1);
    CHECK_EQ(mil_model_input(model, 0)->name, "x");
    CHECK_EQ(mil_model_state(model, 0)->name, "s");
    CHECK_EQ(mil_model_state(model, 0)->rank, 1);
    CHECK(mil_model_state(model, 1) == NULL);
    mil_model_free(model);
}

static void outlives_its_model(void) {
    mil_model *model = NULL;
    mil_state *state = NULL;
    mil_context *context = NULL;
    mil_tensor *x = NULL;
    mil_error err;
    if (!CHECK_OK(make_model(&model, &err), &err)) return;
    CHECK_OK(make_x(&x, &err), &err);
    CHECK_OK(mil_state_new(model, &state, &err), &err);
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
    CHECK_OK(mil_context_set_state(context, state, &err), &err);
    mil_model_free(model);
    mil_state_free(mil_state_retain(state));
    for (int turn = 1; turn <= 3; turn++) {
        CHECK_OK(mil_context_run(context, &err), &err);
        CHECK_EQ(first_of(mil_context_output(context, 0)), turn);
        CHECK_EQ(first_of(mil_state_tensor(state, 0)), turn);
    }
    mil_context_free(context);
    CHECK(mil_state_tensor(state, 1) == NULL);
    CHECK_EQ(first_of(mil_state_tensor(state, 0)), 3);
    mil_state_free(state);
    mil_tensor_free(x);
}

static void is_lent_and_copied(void) {
    mil_model *model = NULL, *other = NULL;
    mil_state *state = NULL, *copy = NULL;
    mil_tensor *x = NULL, *y = NULL;
    mil_error err;
    if (!CHECK_OK(make_model(&model, &err), &err) || !CHECK_OK(make_model(&other, &err), &err)) return;
    CHECK_OK(make_x(&x, &err), &err);
    CHECK_OK(mil_state_new(other, &state, &err), &err);
    CHECK_STATUS(mil_model_run(model, &x, &y, &err), MIL_EINVAL, &err);
    CHECK(y == NULL);
    CHECK_OK(mil_model_run_state(other, &x, &y, state, &err), &err);
    CHECK_EQ(first_of(y), 1);
    CHECK_OK(mil_state_copy(state, &copy, &err), &err);
    CHECK_OK(mil_model_run_state(model, &x, &y, state, &err), &err);
    CHECK_EQ(first_of(y), 2);
    CHECK_EQ(first_of(mil_state_tensor(copy, 0)), 1);
    mil_tensor_free(y);
    mil_state_free(copy);
    mil_tensor_free(x);
    mil_state_free(state);
    mil_model_free(model);
    mil_model_free(other);
}

static mil_status whole_task(void *ctx, mil_error *err) {
    mil_model *model = NULL;
    mil_state *state = NULL, *copy = NULL;
    mil_tensor *x = NULL, *y = NULL;
    (void)ctx;
    mil_status status = make_model(&model, err);
    if (status == MIL_OK) status = make_x(&x, err);
    if (status == MIL_OK) status = mil_state_new(model, &state, err);
    if (status == MIL_OK) status = mil_model_run_state(model, &x, &y, state, err);
    if (status == MIL_OK) status = mil_state_copy(state, &copy, err);
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_state_free(copy);
    mil_state_free(state);
    mil_model_free(model);
    return status;
}

static void survives_failing_allocations(void) {
    mil_error err;
    CHECK_OK(whole_task(NULL, &err), &err);
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(whole_task, NULL) > 20);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(is_described), CASE(outlives_its_model), CASE(is_lent_and_copied), CASE(survives_failing_allocations))
