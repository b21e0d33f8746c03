/* SPDX-License-Identifier: MIT */
/* Several runs in one call: an engine that has batches is given them as one, the others run them one after the other. */
#include <stdio.h>

#include "engine/model.h"
#include "tensor/tensor.h"

/* "run: input x .." becomes "run 2 of 8: input x ..": i from 0. */
static mil_status in_run(size_t i, size_t n, mil_status status, mil_error *err) {
    char message[sizeof err->message];
    if (!err) return status;
    snprintf(message, sizeof message, "%s", strncmp(err->message, "run: ", 5) == 0 ? err->message + 5 : err->message);
    snprintf(err->message, sizeof err->message, "run %zu of %zu: %.700s", i + 1, n, message);
    return status;
}

static mil_status check(const mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_error *err) {
    if (model->n_states)
        return mil__fail(err, MIL_EINVAL, "run: the runs of a batch don't go on from one another, as this model's do: it keeps state %s",
                         model->states[0].name);
    for (size_t i = 0; i < n; i++) {
        mil_status status = mil__model_check(model, inputs + i * model->n_inputs, outputs + i * model->n_outputs, NULL, err);
        if (status != MIL_OK) return in_run(i, n, status, err);
    }
    return MIL_OK;
}

static mil_status run_in_turn(mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor **outputs, const mil__cancel *cancel,
                              mil_error *err) {
    for (size_t i = 0; i < n; i++) {
        mil_status status = mil__model_run(model, inputs + i * model->n_inputs, outputs + i * model->n_outputs, NULL, cancel, err);
        if (status != MIL_OK) return in_run(i, n, status, err);
    }
    return MIL_OK;
}

/* What the function takes, run by run. */
static void take_inputs(const mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor **taken) {
    for (size_t i = 0; i < n * model->n_inputs; i++) {
        size_t port = i % model->n_inputs;
        taken[i - port + model->places[port]] = inputs[i] ? inputs[i] : model->standards[port];
    }
}

/* Of a classifier's probabilities, where the output is the label. */
static void put_labels(const mil_model *model, size_t n, mil_tensor **outputs) {
    for (size_t i = 0; i < n * model->n_outputs; i++) {
        const mil__classes *classes = model->classes[i % model->n_outputs];
        if (!classes || !classes->labels) continue;
        mil_tensor *label = mil_tensor_retain(mil__classes_label(classes, outputs[i]));
        mil_tensor_free(outputs[i]);
        outputs[i] = label;
    }
}

static mil_status run_as_one(mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                             const mil__cancel *cancel, mil_error *err) {
    mil_context *context = NULL;
    mil_tensor **taken = mil__alloc(n * model->n_inputs * sizeof *taken);
    mil_status status = taken || !model->n_inputs ? mil__model_take_context(model, &context, err) : mil__nomem(err);
    if (status == MIL_OK) {
        take_inputs(model, n, inputs, taken);
        const mil__engine_args args = {.inputs = taken, .n_inputs = n * model->n_inputs, .given = given, .outputs = outputs,
                                       .n_outputs = n * model->n_outputs, .n_runs = n};
        status = mil__engine_run(model->engine, context->impl, &args, cancel, err);
        mil__model_give_context(model, context);
    }
    if (status == MIL_OK) put_labels(model, n, outputs);
    mil__free(taken);
    return status;
}

/* n above 0; what was made goes where it fails. */
static mil_status run_checked(mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor **outputs, mil_error *err) {
    mil__cancel cancel = mil__cancel_of(model, NULL);
    size_t n_outputs = n * model->n_outputs;
    mil_tensor **given = mil__alloc(n_outputs * sizeof *given);
    if (!given) return mil__nomem(err);
    memcpy(given, outputs, n_outputs * sizeof *given);
    mil_status status = model->engine->run_batch ? run_as_one(model, n, inputs, given, outputs, &cancel, err)
                                                 : run_in_turn(model, n, inputs, outputs, &cancel, err);
    for (size_t i = 0; status != MIL_OK && i < n_outputs; i++) {
        if (given[i]) continue;
        mil_tensor_free(outputs[i]);
        outputs[i] = NULL;
    }
    mil__free(given);
    return status;
}

mil_status mil_model_run_batch(mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor **outputs, mil_error *err) {
    MIL__TRY(check(model, n, inputs, outputs, err));
    MIL__TRY(mil__model_enter(model, err));
    mil_status status = n ? run_checked(model, n, inputs, outputs, err) : MIL_OK;
    mil__model_leave(model);
    return status;
}
