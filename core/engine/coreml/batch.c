/* SPDX-License-Identifier: MIT */
/* Runs of a batch: inputs of each as of a run by itself, in a provider of them all; each result is copied, since options offer memory
 * for one run's outputs alone. */
#include "engine/coreml/coreml.h"

/* The inputs of each run, made for this batch alone. */
static mil_status give_rows(const mil__coreml_model *model, size_t n, mil_tensor *const *inputs, mil__coreml_inputs *rows, mil__id *providers,
                            mil_error *err) {
    for (size_t i = 0; i < n; i++) {
        MIL__TRY(mil__coreml_features_new(model->n_inputs, &rows[i].features, err));
        MIL__TRY(mil__coreml_inputs_give(model, &rows[i], inputs + i * model->n_inputs, err));
        providers[i] = rows[i].provider;
    }
    return MIL_OK;
}

static mil_status make_batch(const mil__id *providers, size_t n, mil__id *out, mil_error *err) {
    mil__id list = mil__ns_array(providers, n), made = list ? mil__send_class(MLArrayBatchProvider, alloc) : NULL;
    if (!list) return mil__fail_made(err, "run");
    if (!made) return mil__fail_nothing(err, "run", MIL__METHOD(MLArrayBatchProvider, alloc));
    *out = mil__send(made, MLArrayBatchProvider, fromArray, list);
    return *out ? MIL_OK : mil__fail_nothing(err, "run", MIL__METHOD(MLArrayBatchProvider, fromArray));
}

static mil_status take_rows(const mil__coreml_model *model, size_t n, mil__id results, mil_tensor *const *given, mil_tensor **outputs, mil_error *err) {
    size_t n_outputs = model->n_outputs;
    long count = mil__send(results, MLArrayBatchProvider, count);
    if (count < 0 || (size_t)count != n) return mil__fail(err, MIL_EIO, "run: Core ML gives %ld results for a batch of %zu", count, n);
    for (size_t i = 0; i < n; i++) {
        mil__id row = mil__send(results, MLArrayBatchProvider, at, (long)i);
        if (!row) return mil__fail_nothing(err, "run", MIL__METHOD(MLArrayBatchProvider, at));
        MIL__TRY(mil__coreml_outputs_take(model, row, given + i * n_outputs, outputs + i * n_outputs, err));
    }
    return MIL_OK;
}

static mil_status predict(const mil__coreml_model *model, mil__id loaded, size_t n, const mil__id *providers, mil_tensor *const *given,
                          mil_tensor **outputs, const mil__cancel *cancel, mil_error *err) {
    mil__id batch, error = NULL;
    MIL__TRY(make_batch(providers, n, &batch, err));
    mil__id results = mil__is_cancelled(cancel) ? NULL : mil__send(loaded, MLModel, predictBatch, batch, &error);
    mil__apple.objc_release(batch);
    if (mil__is_cancelled(cancel)) return mil__fail(err, MIL_ECANCELLED, "run: cancelled");
    if (!results) return mil__fail_nserror(err, MIL_EIO, error, "run: Core ML");
    return take_rows(model, n, results, given, outputs, err);
}

mil_status mil__coreml_predict_batch(const mil__coreml_model *model, mil__id loaded, size_t n, mil_tensor *const *inputs, mil_tensor *const *given,
                                     mil_tensor **outputs, const mil__cancel *cancel, mil_error *err) {
    mil__coreml_inputs *rows = mil__calloc(n, sizeof *rows);
    mil__id *providers = mil__calloc(n, sizeof *providers);
    mil_status status = rows && providers ? give_rows(model, n, inputs, rows, providers, err) : mil__nomem(err);
    if (status == MIL_OK) status = predict(model, loaded, n, providers, given, outputs, cancel, err);
    for (size_t i = 0; rows && i < n; i++) mil__coreml_inputs_free(model, &rows[i]);
    mil__free(rows);
    mil__free(providers);
    return status;
}
