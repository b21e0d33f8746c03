/* SPDX-License-Identifier: MIT */
/* The inputs of a run as Core ML takes them:
 *
 *     tensor -> MLMultiArray over its memory, or a pixel buffer -> MLFeatureValue -> MLDictionaryFeatureProvider
 *
 * They are made anew only where a run comes with other memory. */
#include "engine/coreml/coreml.h"

/* ---- whose memory a feature shows ---- */

bool mil__coreml_shows(const mil__coreml_feature *f, const mil_tensor *tensor) {
    size_t bytes = (size_t)tensor->rank * sizeof *f->shape;
    return f->object && f->memory == tensor->data && f->dtype == tensor->dtype && f->rank == tensor->rank &&
           memcmp(f->shape, tensor->shape, bytes) == 0 && memcmp(f->strides, tensor->strides, bytes) == 0;
}

void mil__coreml_note(mil__coreml_feature *f, const mil_tensor *tensor) {
    size_t bytes = (size_t)tensor->rank * sizeof *f->shape;
    f->memory = tensor->data;
    f->dtype = tensor->dtype;
    f->rank = tensor->rank;
    memcpy(f->shape, tensor->shape, bytes);
    memcpy(f->strides, tensor->strides, bytes);
}

void mil__coreml_release(mil__id *object) {
    if (*object && !mil__apple_is_forked()) mil__apple.objc_release(*object);
    *object = NULL;
}

mil_status mil__coreml_features_new(size_t n, mil__coreml_feature **out, mil_error *err) {
    *out = mil__calloc(n, sizeof **out);
    return *out ? MIL_OK : mil__nomem(err);
}

void mil__coreml_features_free(mil__coreml_feature *features, size_t n) {
    for (size_t i = 0; features && i < n; i++) {
        mil__coreml_release(&features[i].object);
        mil_tensor_free(features[i].dense);
        mil__coreml_image_free(&features[i].image);
    }
    mil__free(features);
}

mil_status mil__coreml_dictionary(const mil__coreml_feature *features, const mil__coreml_port *ports, size_t n, mil__id *out, mil_error *err) {
    mil__id *pairs = mil__alloc((2 * n + 1) * sizeof *pairs);
    size_t used = 0;
    if (!pairs) return mil__nomem(err);
    for (size_t i = 0; i < n; i++) {
        if (!features[i].object) continue;
        pairs[used] = mil__ns_string(ports[i].name);
        pairs[n + used++] = features[i].object;
    }
    *out = mil__ns_dictionary(pairs, pairs + n, used);
    mil__free(pairs);
    return *out ? MIL_OK : mil__fail_made(err, "run");
}

/* ---- inputs ---- */

void mil__coreml_inputs_free(const mil__coreml_model *model, mil__coreml_inputs *inputs) {
    mil__coreml_release(&inputs->provider);
    mil__coreml_features_free(inputs->features, model->n_inputs);
    inputs->features = NULL;
}

/* An array's strides are lengths: none of a view that repeats its elements or goes backwards. */
static bool can_be_array(const mil_tensor *tensor) {
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->strides[i] <= 0 && tensor->shape[i] > 1) return false;
    return true;
}

/* *out: of the tensor, or of its copy. */
static mil_status densify(mil__coreml_feature *f, mil_tensor *tensor, mil_tensor **out, mil_error *err) {
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

/* The feature is another from now on, and the provider has to be made anew. value: NULL, where that call gave nothing. */
static mil_status put_value(mil__coreml_inputs *in, mil__coreml_feature *f, mil__id value, size_t call, mil_error *err) {
    mil__coreml_release(&in->provider);
    mil__coreml_release(&f->object);
    f->object = value ? mil__apple.objc_retain(value) : NULL;
    return value ? MIL_OK : mil__fail_nothing(err, "run", call);
}

static mil_status give_array(mil__coreml_inputs *in, mil__coreml_feature *f, mil_tensor *tensor, mil_error *err) {
    mil__id array;
    MIL__TRY(densify(f, tensor, &tensor, err));
    if (mil__coreml_shows(f, tensor)) return MIL_OK;
    MIL__TRY(mil__coreml_array_over(tensor, &array, err));
    mil__id value = mil__send_class(MLFeatureValue, fromArray, array);
    mil_status status = put_value(in, f, value, MIL__METHOD(MLFeatureValue, fromArray), err);
    mil__apple.objc_release(array);
    mil__coreml_note(f, tensor);
    return status;
}

/* Pixels are copied each time; the buffer stays the same while the size does. */
static mil_status give_image(mil__coreml_inputs *in, const mil__coreml_port *port, mil__coreml_feature *f, const mil_tensor *tensor,
                             mil_error *err) {
    mil__id was = f->image.pixels;
    bool is_same_size = was && f->image.width == tensor->shape[3] && f->image.height == tensor->shape[2];
    mil_status status = mil__coreml_image_fill(&f->image, port, tensor, err);
    if (status != MIL_OK || !is_same_size) mil__coreml_release(&in->provider), mil__coreml_release(&f->object);
    MIL__TRY(status);
    if (f->object) return MIL_OK;
    return put_value(in, f, mil__send_class(MLFeatureValue, fromPixels, f->image.pixels), MIL__METHOD(MLFeatureValue, fromPixels), err);
}

static mil_status make_provider(const mil__coreml_model *model, mil__coreml_inputs *in, mil_error *err) {
    mil__id features, error = NULL;
    MIL__TRY(mil__coreml_dictionary(in->features, model->inputs, model->n_inputs, &features, err));
    mil__id provider = mil__send_class(MLDictionaryFeatureProvider, alloc);
    if (!provider) return mil__fail_nothing(err, "run", MIL__METHOD(MLDictionaryFeatureProvider, alloc));
    in->provider = mil__send(provider, MLDictionaryFeatureProvider, fromDictionary, features, &error);
    return in->provider ? MIL_OK : mil__fail_nserror(err, MIL_EIO, error, "run: Core ML does not take the inputs");
}

mil_status mil__coreml_inputs_give(const mil__coreml_model *model, mil__coreml_inputs *in, mil_tensor *const *tensors, mil_error *err) {
    for (size_t i = 0; i < model->n_inputs; i++) {
        const mil__coreml_port *port = &model->inputs[i];
        if (mil__numel(tensors[i]) == 0)
            return mil__fail(err, MIL_EVALUE, "run: input %s is %s, but Core ML has no arrays without elements", port->name, MIL__TENSOR_TEXT(tensors[i]));
        if (port->kind == MIL__COREML_ARRAY) MIL__TRY(give_array(in, &in->features[i], tensors[i], err));
        if (port->kind == MIL__COREML_IMAGE) MIL__TRY(give_image(in, port, &in->features[i], tensors[i], err));
    }
    return in->provider ? MIL_OK : make_provider(model, in, err);
}
