/* SPDX-License-Identifier: MIT */
/* libmil with no Lua: a Core ML package (or .mlmodelc, .mil) is opened, compiled and run once, on ones; its outputs' sizes and
 * least and greatest elements are printed. A size that is not fixed is taken as 1, a state starts as zeros.
 *   cc run_package.c $(pkg-config --cflags --libs libmil) -o run_package && ./run_package M.mlpackage */
#include <stdio.h>
#include <stdlib.h>

#include <mil.h>

static void must(mil_status status, const mil_error *err) {
    if (status == MIL_OK) return;
    fprintf(stderr, "%s: %s\n", mil_status_name(status), err->message);
    exit(1);
}

static mil_tensor *ones(const mil_port *port) {
    mil_error err = {0};
    mil_tensor *tensor;
    int64_t shape[MIL_MAX_RANK];
    for (int i = 0; i < port->rank; i++) shape[i] = port->shape[i] < 0 ? 1 : port->shape[i];
    must(mil_tensor_new(port->dtype, port->rank, shape, &tensor, &err), &err);
    must(mil_tensor_fill(tensor, 1, &err), &err);
    return tensor;
}

static void show(const mil_port *port, const mil_tensor *tensor) {
    mil_error err = {0};
    mil_tensor *numbers;
    if (port->is_label && port->dtype == MIL_STRING) {
        printf("%s: %s\n", port->name, mil_tensor_string(tensor, 0, NULL));
        return;
    }
    must(mil_tensor_convert(tensor, MIL_FP64, &numbers, &err), &err);
    const double *element = mil_tensor_data(numbers);
    double least = element[0], greatest = element[0];
    int64_t n = mil_tensor_numel(numbers);
    for (int64_t i = 1; i < n; i++) {
        if (element[i] < least) least = element[i];
        if (element[i] > greatest) greatest = element[i];
    }
    printf("%s: %s, %lld elements from %.4g to %.4g\n", port->name, mil_dtype_name(port->dtype), (long long)n, least, greatest);
    mil_tensor_free(numbers);
}

int main(int argc, char **argv) {
    mil_error err = {0};
    mil_program *program;
    mil_model *model;
    mil_context *context;
    mil_state *state = NULL;
    if (argc != 2) return fprintf(stderr, "usage: run_package M.mlpackage\n"), 2;
    must(mil_program_load(argv[1], NULL, &program, &err), &err);
    must(mil_program_compile(program, NULL, &model, &err), &err);
    mil_program_free(program); /* the model keeps what it needs */

    must(mil_context_new(model, &context, &err), &err); /* one for each thread that runs the model */
    if (mil_model_n_states(model)) {
        must(mil_state_new(model, &state, &err), &err);
        must(mil_context_set_state(context, state, &err), &err);
    }
    for (size_t i = 0; i < mil_model_n_inputs(model); i++) {
        mil_tensor *x = ones(mil_model_input(model, i));
        must(mil_context_set_input(context, i, x, &err), &err);
        mil_tensor_free(x); /* the context holds it */
    }
    must(mil_context_run(context, &err), &err);
    for (size_t i = 0; i < mil_model_n_outputs(model); i++) show(mil_model_output(model, i), mil_context_output(context, i));

    mil_context_free(context);
    mil_state_free(state);
    mil_model_free(model);
    return 0;
}
