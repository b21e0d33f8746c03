/* SPDX-License-Identifier: MIT */
/* The outputs of a run: their tensors' memory offered to Core ML, and its results taken, which are copied where they lie elsewhere. */
#include <stdio.h>

#include "engine/coreml/coreml.h"

mil_status mil__coreml_outputs_new(const mil__coreml_model *model, mil__coreml_outputs *out, mil_error *err) {
    MIL__TRY(mil__coreml_features_new(model->n_outputs, &out->features, err));
    out->options = mil__send_class(MLPredictionOptions, create);
    return out->options ? MIL_OK : mil__fail_nothing(err, "run", MIL__METHOD(MLPredictionOptions, create));
}

void mil__coreml_outputs_free(const mil__coreml_model *model, mil__coreml_outputs *out) {
    mil__coreml_release(&out->options);
    mil__coreml_features_free(out->features, model->n_outputs);
    out->features = NULL;
}

/* ---- outputs' memory ---- */

static bool is_fixed(const mil__coreml_port *port) {
    for (int i = 0; i < port->rank; i++)
        if (port->shape[i] < 0) return false;
    return true;
}

static void drop_backing(mil__coreml_outputs *out, mil__coreml_feature *f) {
    if (!f->object) return;
    mil__coreml_release(&f->object);
    out->has_backings = false;
}

/* Offers the tensor's memory for the result, where that can be. */
static mil_status back(mil__coreml_outputs *out, const mil__coreml_port *port, mil__coreml_feature *f, const mil_tensor *tensor, mil_error *err) {
    bool can = tensor && port->rank > 0 && mil__numel(tensor) > 0 && is_fixed(port) && mil__is_contiguous(tensor) && mil__responds(MLPredictionOptions, setOutputBackings);
    if (!can) return drop_backing(out, f), MIL_OK;
    if (mil__coreml_shows(f, tensor)) return MIL_OK;
    drop_backing(out, f);
    MIL__TRY(mil__coreml_array_over(tensor, &f->object, err));
    mil__coreml_note(f, tensor);
    out->has_backings = false;
    return MIL_OK;
}

static mil_status make_output(const mil__coreml_port *port, mil_tensor **out, mil_error *err) {
    if (*out || !is_fixed(port)) return MIL_OK;
    return mil_tensor_new(port->dtype, port->rank, port->shape, out, err);
}

mil_status mil__coreml_outputs_offer(const mil__coreml_model *model, mil__coreml_outputs *out, mil_tensor **tensors, mil_error *err) {
    mil__id backings;
    for (size_t i = 0; i < model->n_outputs; i++) {
        MIL__TRY(make_output(&model->outputs[i], &tensors[i], err));
        MIL__TRY(back(out, &model->outputs[i], &out->features[i], tensors[i], err));
    }
    if (out->has_backings || !mil__responds(MLPredictionOptions, setOutputBackings)) return MIL_OK;
    MIL__TRY(mil__coreml_dictionary(out->features, model->outputs, model->n_outputs, &backings, err));
    mil__send(out->options, MLPredictionOptions, setOutputBackings, backings);
    out->has_backings = true;
    return MIL_OK;
}

/* ---- results ---- */

/* Core ML has scalars as arrays of one. */
static bool is_scalar(const mil__coreml_port *port, const mil_tensor *view) {
    return port->rank == 0 && view->rank == 1 && view->shape[0] == 1;
}

static mil_status take_shape(const mil__coreml_port *port, mil_tensor *given, const mil_tensor *view, mil_tensor **out, mil_error *err) {
    bool fits = *out && (*out)->rank == view->rank && memcmp((*out)->shape, view->shape, (size_t)view->rank * sizeof *view->shape) == 0;
    if (view->rank != port->rank)
        return mil__fail(err, MIL_EIO, "run: Core ML gives output %s as %s, which is not of the program's rank %d", port->name,
                         MIL__TENSOR_TEXT(view), port->rank);
    if (fits) return MIL_OK;
    if (given)
        return mil__fail(err, MIL_ETYPE, "run: output %s becomes %s, but %s was given for it", port->name, MIL__TENSOR_TEXT(view),
                         MIL__TENSOR_TEXT(given));
    mil_tensor_free(*out);
    *out = NULL;
    return mil_tensor_new(port->dtype, view->rank, view->shape, out, err);
}

static mil_status take_output(const mil__coreml_port *port, mil__id results, mil_tensor *given, mil_tensor **out, mil_error *err) {
    mil_tensor view;
    mil__id name = mil__ns_string(port->name);
    if (!name) return mil__fail_made(err, "run");
    mil__id value = mil__send(results, MLDictionaryFeatureProvider, value, name), array = value ? mil__send(value, MLFeatureValue, array) : NULL;
    if (!array) return mil__fail(err, MIL_EIO, "run: Core ML gives no array for output %s", port->name);
    MIL__TRY(mil__coreml_array_view(array, port->name, &view, err));
    if (*out && view.data == (*out)->data) return MIL_OK;
    if (is_scalar(port, &view)) view.rank = 0;
    MIL__TRY(take_shape(port, given, &view, out, err));
    return mil_tensor_copy(*out, &view, err);
}

mil_status mil__coreml_outputs_take(const mil__coreml_model *model, mil__id results, mil_tensor *const *given, mil_tensor **outputs, mil_error *err) {
    for (size_t i = 0; i < model->n_outputs; i++) MIL__TRY(take_output(&model->outputs[i], results, given[i], &outputs[i], err));
    return MIL_OK;
}
