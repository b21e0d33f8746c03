/* SPDX-License-Identifier: MIT */
/* Runs. A context has a loaded MLModel of its own, since one is to be used by one thread at a time, and the features that it gives:
 * arrays over the memory of the tensors of the last run, made anew only where a run comes with other memory.
 *
 *     inputs   tensor -> MLMultiArray over its memory, or a pixel buffer   -> MLFeatureValue  \
 *                                                                                              > MLDictionaryFeatureProvider
 *     outputs  tensor -> MLMultiArray over its memory                      -> output backings /
 *
 * Where a result does not lie in the memory that was offered for it (its shape was not known, its tensor has gaps, Core ML had
 * reasons), it is copied. */
#include <stdio.h>

#include "engine/coreml/coreml.h"

/* What is given for a port, and whose memory it shows. */
typedef struct feature {
    mil__id object;           /* inputs: an MLFeatureValue; outputs: an MLMultiArray; retained; nil: none yet, or none possible */
    const void *memory;
    mil_dtype dtype;
    int rank;
    int64_t shape[MIL_MAX_RANK], strides[MIL_MAX_RANK];
    mil_tensor *dense;        /* where the memory itself can't be given: a copy of it */
    mil__coreml_image image;
} feature;

typedef struct context {
    mil__coreml_model *model;
    mil__id loaded, state;    /* retained; state: nil where the model has none */
    mil__id provider;         /* of the inputs, retained; nil: to be made */
    mil__id options;          /* retained */
    bool has_backings;        /* options name the outputs' memory as it is now */
    feature *inputs, *outputs;
} context;

static void release(mil__id *object) {
    if (*object) mil__apple.objc_release(*object);
    *object = NULL;
}

/* ---- contexts ---- */

static void free_features(feature *features, size_t n) {
    for (size_t i = 0; features && i < n; i++) {
        release(&features[i].object);
        mil_tensor_free(features[i].dense);
        mil__coreml_image_free(&features[i].image);
    }
    mil__free(features);
}

void mil__coreml_context_free(void *object) {
    context *c = object;
    if (!c) return;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    release(&c->provider);
    release(&c->options);
    free_features(c->inputs, c->model->n_inputs);
    free_features(c->outputs, c->model->n_outputs);
    release(&c->state);
    release(&c->loaded);
    mil__apple.objc_autoreleasePoolPop(pool);
    mil__free(c);
}

static mil_status set_up(context *c, mil_error *err) {
    mil__coreml_model *model = c->model;
    c->inputs = mil__calloc(model->n_inputs, sizeof *c->inputs);
    c->outputs = mil__calloc(model->n_outputs, sizeof *c->outputs);
    if (!c->inputs || !c->outputs) return mil__nomem(err);
    c->loaded = atomic_exchange(&model->spare, NULL);
    if (!c->loaded) MIL__TRY(mil__coreml_load(model, &c->loaded, err));
    c->options = mil__send_class(MLPredictionOptions, create);
    if (!c->options) return mil__nomem(err);
    if (model->has_states) c->state = mil__send(c->loaded, MLModel, newState);
    return model->has_states && !c->state ? mil__fail(err, MIL_EIO, "run: Core ML makes no state for the model") : MIL_OK;
}

mil_status mil__coreml_context_new(void *compiled, void **out, mil_error *err) {
    context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = compiled;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = set_up(c, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    if (status == MIL_OK) *out = c;
    else mil__coreml_context_free(c);
    return status;
}

/* ---- features ---- */

static bool shows(const feature *f, const mil_tensor *tensor) {
    size_t bytes = (size_t)tensor->rank * sizeof *f->shape;
    return f->object && f->memory == tensor->data && f->dtype == tensor->dtype && f->rank == tensor->rank &&
           memcmp(f->shape, tensor->shape, bytes) == 0 && memcmp(f->strides, tensor->strides, bytes) == 0;
}

static void note(feature *f, const mil_tensor *tensor) {
    size_t bytes = (size_t)tensor->rank * sizeof *f->shape;
    f->memory = tensor->data;
    f->dtype = tensor->dtype;
    f->rank = tensor->rank;
    memcpy(f->shape, tensor->shape, bytes);
    memcpy(f->strides, tensor->strides, bytes);
}

/* An array's strides are lengths: none of a view that repeats its elements or goes backwards. */
static bool can_be_array(const mil_tensor *tensor) {
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->strides[i] <= 0 && tensor->shape[i] > 1) return false;
    return true;
}

/* *out: of the tensor, or of its copy. */
static mil_status densify(feature *f, mil_tensor *tensor, mil_tensor **out, mil_error *err) {
    mil_tensor *dense = f->dense;
    size_t bytes = (size_t)tensor->rank * sizeof *f->shape;
    *out = tensor;
    if (can_be_array(tensor)) return MIL_OK;
    if (!dense || dense->rank != tensor->rank || memcmp(dense->shape, tensor->shape, bytes) != 0) {
        mil_tensor_free(dense);
        f->dense = NULL;
        MIL__TRY(mil__tensor_raw(tensor->dtype, tensor->rank, tensor->shape, &f->dense, err));
    }
    *out = f->dense;
    return mil_tensor_copy(f->dense, tensor, err);
}

/* The feature value of what is retained in *object, which it keeps. */
static mil_status put_value(context *c, feature *f, mil__id value, mil_error *err) {
    release(&c->provider);
    release(&f->object);
    f->object = value ? mil__apple.objc_retain(value) : NULL;
    return value ? MIL_OK : mil__nomem(err);
}

static mil_status give_array(context *c, feature *f, mil_tensor *tensor, mil_error *err) {
    mil__id array;
    MIL__TRY(densify(f, tensor, &tensor, err));
    if (shows(f, tensor)) return MIL_OK;
    MIL__TRY(mil__coreml_array_over(tensor, &array, err));
    mil_status status = put_value(c, f, mil__send_class(MLFeatureValue, fromArray, array), err);
    mil__apple.objc_release(array);
    note(f, tensor);
    return status;
}

static mil_status give_image(context *c, const mil__coreml_port *port, feature *f, const mil_tensor *tensor, mil_error *err) {
    const mil__id was = f->image.pixels;
    mil_status status = mil__coreml_image_fill(&f->image, port, tensor, err);
    if (status != MIL_OK || !f->object || f->image.pixels != was || f->image.width != f->shape[1] || f->image.height != f->shape[0]) {
        release(&c->provider);
        release(&f->object);
    }
    MIL__TRY(status);
    f->shape[0] = f->image.height, f->shape[1] = f->image.width;
    return f->object ? MIL_OK : put_value(c, f, mil__send_class(MLFeatureValue, fromPixels, f->image.pixels), err);
}

static mil_status give_inputs(context *c, mil_tensor *const *inputs, mil_error *err) {
    for (size_t i = 0; i < c->model->n_inputs; i++) {
        const mil__coreml_port *port = &c->model->inputs[i];
        if (mil__numel(inputs[i]) == 0)
            return mil__fail(err, MIL_EVALUE, "run: input %s is %s, but Core ML has no arrays without elements", port->name, MIL__TENSOR_TEXT(inputs[i]));
        if (port->kind == MIL__COREML_ARRAY) MIL__TRY(give_array(c, &c->inputs[i], inputs[i], err));
        if (port->kind == MIL__COREML_IMAGE) MIL__TRY(give_image(c, port, &c->inputs[i], inputs[i], err));
        if (port->kind == MIL__COREML_STATE) MIL__TRY(mil__coreml_state_copy(c->state, port, inputs[i], true, err));
    }
    return MIL_OK;
}

/* The objects of features that have one, by their ports' names; autoreleased. NULL: out of memory. */
static mil__id dictionary_of(const feature *features, const mil__coreml_port *ports, size_t n) {
    mil__id *pairs = mil__alloc(2 * n * sizeof *pairs), made = NULL;
    size_t used = 0;
    for (size_t i = 0; pairs && i < n; i++) {
        if (!features[i].object) continue;
        pairs[used] = mil__ns_string(ports[i].name);
        pairs[n + used++] = features[i].object;
    }
    if (pairs) made = mil__ns_dictionary(pairs, pairs + n, used);
    mil__free(pairs);
    return made;
}

static mil_status make_provider(context *c, mil_error *err) {
    mil__id features = dictionary_of(c->inputs, c->model->inputs, c->model->n_inputs), error = NULL;
    mil__id provider = features ? mil__send_class(MLDictionaryFeatureProvider, alloc) : NULL;
    if (!provider) return mil__nomem(err);
    c->provider = mil__send(provider, MLDictionaryFeatureProvider, fromDictionary, features, &error);
    return c->provider ? MIL_OK : mil__fail_nserror(err, MIL_EIO, error, "run: Core ML does not take the inputs");
}

/* ---- outputs' memory ---- */

static bool is_fixed(const mil__coreml_port *port) {
    for (int i = 0; i < port->rank; i++)
        if (port->shape[i] < 0) return false;
    return true;
}

static void drop_backing(context *c, feature *f) {
    if (!f->object) return;
    release(&f->object);
    c->has_backings = false;
}

/* Offers the tensor's memory for the result, where that can be. */
static mil_status back(context *c, const mil__coreml_port *port, feature *f, const mil_tensor *tensor, mil_error *err) {
    bool can = tensor && port->rank > 0 && is_fixed(port) && mil__is_contiguous(tensor) && mil__responds(MLPredictionOptions, setOutputBackings);
    if (!can) return drop_backing(c, f), MIL_OK;
    if (shows(f, tensor)) return MIL_OK;
    drop_backing(c, f);
    MIL__TRY(mil__coreml_array_over(tensor, &f->object, err));
    note(f, tensor);
    c->has_backings = false;
    return MIL_OK;
}

static mil_status make_output(const mil__coreml_port *port, mil_tensor **out, mil_error *err) {
    if (*out || !is_fixed(port)) return MIL_OK;
    return mil_tensor_new(port->dtype, port->rank, port->shape, out, err);
}

static mil_status offer_outputs(context *c, mil_tensor **outputs, mil_error *err) {
    const mil__coreml_model *model = c->model;
    for (size_t i = 0; i < model->n_outputs; i++) {
        MIL__TRY(make_output(&model->outputs[i], &outputs[i], err));
        MIL__TRY(back(c, &model->outputs[i], &c->outputs[i], outputs[i], err));
    }
    if (c->has_backings || !mil__responds(MLPredictionOptions, setOutputBackings)) return MIL_OK;
    mil__id backings = dictionary_of(c->outputs, model->outputs, model->n_outputs);
    if (!backings) return mil__nomem(err);
    mil__send(c->options, MLPredictionOptions, setOutputBackings, backings);
    c->has_backings = true;
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
    if (!name) return mil__nomem(err);
    mil__id value = mil__send(results, MLDictionaryFeatureProvider, value, name), array = mil__send(value, MLFeatureValue, array);
    if (!array) return mil__fail(err, MIL_EIO, "run: Core ML gives no array for output %s", port->name);
    MIL__TRY(mil__coreml_array_view(array, port->name, &view, err));
    if (*out && view.data == (*out)->data) return MIL_OK;
    if (is_scalar(port, &view)) view.rank = 0;
    MIL__TRY(take_shape(port, given, &view, out, err));
    return mil_tensor_copy(*out, &view, err);
}

static mil_status take_results(context *c, mil__id results, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                               mil_error *err) {
    const mil__coreml_model *model = c->model;
    for (size_t i = 0; i < model->n_outputs; i++) MIL__TRY(take_output(&model->outputs[i], results, given[i], &outputs[i], err));
    for (size_t i = 0; i < model->n_inputs; i++)
        if (model->inputs[i].kind == MIL__COREML_STATE) MIL__TRY(mil__coreml_state_copy(c->state, &model->inputs[i], inputs[i], false, err));
    return MIL_OK;
}

/* ---- a run ---- */

static mil_status predict(context *c, mil__id *out, mil_error *err) {
    mil__id error = NULL;
    *out = c->state ? mil__send(c->loaded, MLModel, predictWithState, c->provider, c->state, c->options, &error)
                    : mil__send(c->loaded, MLModel, predict, c->provider, c->options, &error);
    return *out ? MIL_OK : mil__fail_nserror(err, MIL_EIO, error, "run: Core ML");
}

static mil_status run(context *c, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel,
                      mil_error *err) {
    mil__id results;
    MIL__TRY(give_inputs(c, inputs, err));
    if (!c->provider) MIL__TRY(make_provider(c, err));
    MIL__TRY(offer_outputs(c, outputs, err));
    if (mil__is_cancelled(cancel)) return mil__fail(err, MIL_ECANCELLED, "run: cancelled");
    MIL__TRY(predict(c, &results, err));
    return take_results(c, results, inputs, given, outputs, err);
}

mil_status mil__coreml_run(void *object, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                           const mil__cancel *cancel, mil_error *err) {
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = run(object, inputs, given, outputs, cancel, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    return status;
}
