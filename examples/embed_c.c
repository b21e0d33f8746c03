/* SPDX-License-Identifier: MIT */
/* libmil with no Lua: y = relu(x . w + b), built, compiled, run.
 *   cc embed_c.c $(pkg-config --cflags --libs libmil) -o embed_c && ./embed_c */
#include <stdio.h>
#include <stdlib.h>

#include <mil.h>

static void must(mil_status status, const mil_error *err) {
    if (status == MIL_OK) return;
    fprintf(stderr, "%s: %s\n", mil_status_name(status), err->message);
    exit(1);
}

static mil_program *build(void) {
    mil_error err = {0};
    mil_program *program;
    mil_block body;
    mil_value x, y;
    mil_where where = {__FILE__, __LINE__};
    const mil_dim shape[] = {1, 3};
    const int64_t weight_shape[] = {2, 3};
    const double weight[] = {1, 2, 3, -1, -2, -3}, bias[] = {0.5, 0.5};
    must(mil_program_new(MIL_IOS17, &program, &err), &err);
    must(mil_program_function(program, "main", &body, &err), &err);
    must(mil_program_input(program, body, "x", MIL_FP32, 2, shape, false, &x, &err), &err);
    const mil_arg linear[] = {
        {.name = "x", .kind = MIL_ARG_VALUE, .value = x},
        {.name = "weight", .kind = MIL_ARG_NUMBERS, .data = weight, .n = 6, .rank = 2, .shape = weight_shape},
        {.name = "bias", .kind = MIL_ARG_NUMBERS, .data = bias, .n = 2, .rank = 1},
    };
    must(mil_program_add(program, body, mil_op_find("linear"), linear, 3, NULL, where, &y, 1, NULL, &err), &err);
    const mil_arg relu[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = y}};
    must(mil_program_add(program, body, mil_op_find("relu"), relu, 1, NULL, where, &y, 1, NULL, &err), &err);
    must(mil_program_output(program, body, "y", y, &y, &err), &err);
    return program;
}

int main(void) {
    mil_error err = {0};
    mil_program *program = build();
    char *text;
    must(mil_text_print(program, &text, NULL, &err), &err);
    puts(text);
    mil_free(text);

    mil_model *model;
    must(mil_program_compile(program, NULL, &model, &err), &err);
    mil_program_free(program); /* the model keeps what it needs */

    mil_tensor *x, *y = NULL;
    const int64_t shape[] = {1, 3};
    must(mil_tensor_new(MIL_FP32, 2, shape, &x, &err), &err);
    float *numbers = mil_tensor_data(x);
    for (int i = 0; i < 3; i++) numbers[i] = (float)(i + 1);
    must(mil_model_run(model, &x, &y, &err), &err);
    const float *result = mil_tensor_data(y);
    printf("y = %g %g\n", result[0], result[1]);

    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
    return 0;
}
