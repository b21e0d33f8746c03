/* SPDX-License-Identifier: MIT */
/* What a model says of itself: its functions' inputs, outputs and states, as Core ML checks them when it loads a model; so
 * what it would refuse is refused here, with the function, the value, and what to do. */
#include <protobuf-c/protobuf-c.h>

#include "package/write.h"
#include "tensor/tensor.h"

static char *text(const char *s) { return (char *)(uintptr_t)s; }

static const mil_type *type_of(const mil__model_writer *w, mil_value id) { return w->program->values[id]->type; }

#define TYPE_TEXT(w, type) MIL__TYPE_TEXT((w)->program->types, (type))

/* ---- the specification's version ---- */

static bool is_flexible(const mil_type *type) {
    for (int i = 0; type->kind == MIL_TENSOR && i < type->rank; i++)
        if (type->shape[i] < 0) return true;
    return false;
}

static bool is_half(const mil_type *type) { return type->kind == MIL_TENSOR && type->dtype == MIL_FP16; }

/* The least version that has all that a function asks for. */
static int function_version(const mil_program *program, const mil__function *function) {
    const mil__block *body = program->blocks[function->block];
    int version = 6 + (function->opset - MIL_IOS15), n_enumerated = 0;
    bool has_half = false;
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const mil_type *type = program->values[body->inputs[i]]->type;
        has_half |= is_half(type);
        n_enumerated += is_flexible(type) && mil__input_shapes(program, body->inputs[i]);
    }
    for (uint32_t i = 0; i < body->n_outputs; i++) has_half |= is_half(program->values[body->outputs[i]]->type);
    if (has_half && version < 7) version = 7;
    return body->n_inputs == 0 || n_enumerated > 1 ? 9 : version;
}

/* Core ML takes the one function of a model to be main. */
static bool is_single(const mil_program *program) {
    return program->n_functions == 1 && strcmp(program->functions[0].name, "main") == 0;
}

int mil__write_version(const mil_program *program) {
    int version = !is_single(program) || program->version_minor >= 3 ? 9 : 6;
    for (uint32_t i = 0; i < program->n_functions; i++) {
        int needed = function_version(program, &program->functions[i]);
        if (needed > version) version = needed;
    }
    return version;
}

/* ---- arrays ---- */

/* ArrayFeatureType's numbers; 0: a model's border can't have it. */
static int array_dtype(mil_dtype dtype) {
    switch (dtype) {
    case MIL_FP16: return 65552;
    case MIL_FP32: return 65568;
    case MIL_INT32: return 131104;
    default: return 0;
    }
}

static Mil__Spec__Array *new_array(mil__model_writer *w, mil_dtype dtype, size_t rank) {
    Mil__Spec__Array *array = MIL__NEW(w, Array, array);
    if (!array || !(array->shape = mil__write_array(w, rank, sizeof *array->shape))) return NULL;
    array->dtype = array_dtype(dtype);
    return array;
}

/* The sizes that a dim may have, and the usual one. */
static bool range_of(mil__model_writer *w, mil_dim dim, uint64_t *lower, int64_t *upper, int64_t *standard) {
    if (dim >= 0) {
        *lower = (uint64_t)dim, *upper = *standard = dim;
        return true;
    }
    const char *name = MIL__DIM_TEXT(w->program->types, dim);
    const mil_symbol *symbol = mil__dim_symbol_info(w->program->types, dim);
    if (!symbol)
        return mil__write_fail(w, MIL_EUNSUPPORTED, "a package can't say that an input's size is %s; make it a symbol of its own", name);
    if (symbol->max < 1 || symbol->max == INT64_MAX)
        return mil__write_fail(w, MIL_EVALUE, "the size %s has no upper limit, which Core ML demands; give it a range: "
                               "mil.dim(\"%s\", { min = 1, max = 512 }), or mil.shapes", name, *name == '?' ? "S" : name);
    *lower = symbol->min > 0 ? (uint64_t)symbol->min : 1;
    *upper = symbol->max;
    *standard = symbol->standard > 0 ? symbol->standard : (int64_t)*lower;
    return true;
}

static bool put_ranges(mil__model_writer *w, const mil_type *type, Mil__Spec__Array *array) {
    Mil__Spec__Ranges *ranges = MIL__NEW(w, Ranges, ranges);
    if (!ranges || !(ranges->ranges = mil__write_array(w, array->n_shape, sizeof *ranges->ranges))) return false;
    for (int i = 0; i < type->rank; i++) {
        Mil__Spec__Range *range = MIL__NEW(w, Range, range);
        if (!range || !range_of(w, type->shape[i], &range->lower, &range->upper, &array->shape[i])) return false;
        ranges->ranges[ranges->n_ranges++] = range;
    }
    array->flexibility_case = MIL__SPEC__ARRAY__FLEXIBILITY_RANGES;
    array->ranges = ranges;
    return true;
}

/* The first is the usual one. */
static bool put_shapes(mil__model_writer *w, const mil__shapes *given, Mil__Spec__Array *array) {
    size_t rank = array->n_shape;
    Mil__Spec__Shapes *shapes = MIL__NEW(w, Shapes, shapes);
    if (!shapes || !(shapes->shapes = mil__write_array(w, given->n, sizeof *shapes->shapes))) return false;
    memcpy(array->shape, given->shapes, rank * sizeof *array->shape);
    for (size_t i = 0; i < given->n; i++) {
        Mil__Spec__Shape *shape = MIL__NEW(w, Shape, shape);
        if (!shape || !(shape->sizes = mil__write_array(w, rank, sizeof *shape->sizes))) return false;
        memcpy(shape->sizes, given->shapes + i * rank, rank * sizeof *shape->sizes);
        shape->n_sizes = rank;
        shapes->shapes[shapes->n_shapes++] = shape;
    }
    array->flexibility_case = MIL__SPEC__ARRAY__FLEXIBILITY_SHAPES;
    array->shapes = shapes;
    return true;
}

/* ---- features ---- */

static Mil__Spec__Feature *new_feature(mil__model_writer *w, mil_value id) {
    Mil__Spec__Feature *feature = MIL__NEW(w, Feature, feature);
    if (!feature || !(feature->type = MIL__NEW(w, FeatureType, feature_type))) return NULL;
    feature->name = text(w->program->values[id]->name);
    return feature;
}

static bool put_array(Mil__Spec__Feature *feature, Mil__Spec__Array *array) {
    feature->type->kind_case = MIL__SPEC__FEATURE_TYPE__KIND_ARRAY;
    feature->type->array = array;
    return array;
}

static Mil__Spec__Feature *write_input(mil__model_writer *w, mil_value id) {
    const mil_type *type = type_of(w, id);
    if (type->kind != MIL_TENSOR || !array_dtype(type->dtype))
        return mil__write_fail(w, MIL_EUNSUPPORTED, "a model's inputs are fp16, fp32 or int32 tensors, not %s; make it one of "
                               "them, and cast it inside", TYPE_TEXT(w, type));
    if (type->rank == 0)
        return mil__write_fail(w, MIL_EUNSUPPORTED, "a model's inputs have a rank of at least 1; make it %s[1], and squeeze it inside",
                               TYPE_TEXT(w, type));
    const mil__shapes *shapes = mil__input_shapes(w->program, id);
    Mil__Spec__Feature *feature = new_feature(w, id);
    Mil__Spec__Array *array = feature ? new_array(w, type->dtype, (size_t)type->rank) : NULL;
    if (!array) return NULL;
    array->n_shape = (size_t)type->rank;
    bool done = put_array(feature, array);
    if (is_flexible(type)) done = shapes ? put_shapes(w, shapes, array) : put_ranges(w, type, array);
    else for (int i = 0; i < type->rank; i++) array->shape[i] = type->shape[i];
    return done ? feature : NULL;
}

static Mil__Spec__Feature *write_state(mil__model_writer *w, mil_value id) {
    const mil_type *type = type_of(w, id)->items[0];
    if (type->dtype != MIL_FP16 || is_flexible(type) || type->rank == 0)
        return mil__write_fail(w, MIL_EUNSUPPORTED, "Core ML's states are fp16 tensors of a fixed shape, not %s", TYPE_TEXT(w, type));
    Mil__Spec__Feature *feature = new_feature(w, id);
    Mil__Spec__State *state = feature ? MIL__NEW(w, State, state) : NULL;
    if (!state || !(state->array = new_array(w, type->dtype, (size_t)type->rank))) return NULL;
    state->kind_case = MIL__SPEC__STATE__KIND_ARRAY;
    state->array->n_shape = (size_t)type->rank;
    for (int i = 0; i < type->rank; i++) state->array->shape[i] = type->shape[i];
    feature->type->kind_case = MIL__SPEC__FEATURE_TYPE__KIND_STATE;
    feature->type->state = state;
    return feature;
}

/* A classifier's: the label, and what each label's probability is. */
static bool put_label(mil__model_writer *w, const mil_type *type, Mil__Spec__FeatureType *out) {
    bool is_text = type->dtype == MIL_STRING;
    out->kind_case = is_text ? MIL__SPEC__FEATURE_TYPE__KIND_STRING : MIL__SPEC__FEATURE_TYPE__KIND_INT64;
    Mil__Spec__Empty *empty = MIL__NEW(w, Empty, empty);
    if (is_text) out->string = empty;
    else out->int64 = empty;
    return empty;
}

static bool put_dictionary(mil__model_writer *w, const mil_type *type, Mil__Spec__FeatureType *out) {
    bool is_text = type->items[0]->dtype == MIL_STRING;
    Mil__Spec__Dictionary *dictionary = MIL__NEW(w, Dictionary, dictionary);
    Mil__Spec__Empty *empty = MIL__NEW(w, Empty, empty);
    if (!dictionary || !empty) return false;
    dictionary->key_case = is_text ? MIL__SPEC__DICTIONARY__KEY_STRING : MIL__SPEC__DICTIONARY__KEY_INT64;
    if (is_text) dictionary->string = empty;
    else dictionary->int64 = empty;
    out->kind_case = MIL__SPEC__FEATURE_TYPE__KIND_DICTIONARY;
    out->dictionary = dictionary;
    return true;
}

/* No shape where it is not known before a run, and none of a scalar. */
static bool put_output_array(mil__model_writer *w, const mil_type *type, Mil__Spec__Feature *feature) {
    Mil__Spec__Array *array = new_array(w, type->dtype, (size_t)type->rank);
    if (!array) return false;
    if (!is_flexible(type)) array->n_shape = (size_t)type->rank;
    for (size_t i = 0; i < array->n_shape; i++) array->shape[i] = type->shape[i];
    return put_array(feature, array);
}

static bool is_label(const mil_type *type) {
    return type->kind == MIL_TENSOR && type->rank == 0 && (type->dtype == MIL_STRING || type->dtype == MIL_INT64);
}

static Mil__Spec__Feature *write_output(mil__model_writer *w, mil_value id) {
    const mil_type *type = type_of(w, id);
    Mil__Spec__Feature *feature = new_feature(w, id);
    if (!feature) return NULL;
    if (type->kind == MIL_TENSOR && array_dtype(type->dtype)) return put_output_array(w, type, feature) ? feature : NULL;
    if (is_label(type)) return put_label(w, type, feature->type) ? feature : NULL;
    if (type->kind == MIL_DICT) return put_dictionary(w, type, feature->type) ? feature : NULL;
    return mil__write_fail(w, MIL_EUNSUPPORTED, "a model's outputs are fp16, fp32 or int32 tensors, not %s; cast it to one of them",
                           TYPE_TEXT(w, type));
}

/* ---- functions ---- */

/* The features of those values that are states, or of those that are none. */
static Mil__Spec__Feature **write_inputs(mil__model_writer *w, const mil__block *body, bool states, size_t *n) {
    Mil__Spec__Feature **list = mil__write_array(w, body->n_inputs, sizeof *list);
    *n = 0;
    for (uint32_t i = 0; list && i < body->n_inputs; i++) {
        w->value = body->inputs[i];
        if ((type_of(w, w->value)->kind == MIL_STATE) != states) continue;
        if (!(list[*n] = states ? write_state(w, w->value) : write_input(w, w->value))) return NULL;
        ++*n;
    }
    if (list) w->value = 0;
    return list;
}

static Mil__Spec__Feature **write_outputs(mil__model_writer *w, const mil__block *body) {
    Mil__Spec__Feature **list = mil__write_array(w, body->n_outputs, sizeof *list);
    for (uint32_t i = 0; list && i < body->n_outputs; i++) {
        w->value = body->outputs[i];
        if (!(list[i] = write_output(w, w->value))) return NULL;
    }
    if (list) w->value = 0;
    return list;
}

static Mil__Spec__FunctionDescription *write_function(mil__model_writer *w, const mil__function *function) {
    const mil__block *body = w->program->blocks[function->block];
    Mil__Spec__FunctionDescription *message = MIL__NEW(w, FunctionDescription, function_description);
    if (!message) return NULL;
    w->function = function->name;
    message->name = text(function->name);
    if (!body->n_outputs) return mil__write_fail(w, MIL_ESTATE, "it has no output; f:output gives it one");
    if (!(message->inputs = write_inputs(w, body, false, &message->n_inputs))) return NULL;
    if (!(message->states = write_inputs(w, body, true, &message->n_states))) return NULL;
    if (!(message->outputs = write_outputs(w, body))) return NULL;
    message->n_outputs = body->n_outputs;
    w->function = NULL;
    return message;
}

/* ---- the model ---- */

/* What says a single function of itself stands in the description itself. */
static bool put_single(mil__model_writer *w, Mil__Spec__Description *description) {
    const Mil__Spec__FunctionDescription *from = write_function(w, &w->program->functions[0]);
    if (!from) return false;
    description->n_inputs = from->n_inputs, description->inputs = from->inputs;
    description->n_outputs = from->n_outputs, description->outputs = from->outputs;
    description->n_states = from->n_states, description->states = from->states;
    description->predicted_feature = from->predicted_feature;
    description->predicted_probabilities = from->predicted_probabilities;
    return true;
}

static const char *default_function(const mil_program *program) {
    return mil_program_function_find(program, "main") ? "main" : program->functions[0].name;
}

static bool put_several(mil__model_writer *w, Mil__Spec__Description *description) {
    const mil_program *program = w->program;
    if (!(description->functions = mil__write_array(w, program->n_functions, sizeof *description->functions))) return false;
    for (uint32_t i = 0; i < program->n_functions; i++)
        if (!(description->functions[i] = write_function(w, &program->functions[i]))) return false;
    description->n_functions = program->n_functions;
    description->default_function = text(default_function(program));
    return true;
}

Mil__Spec__Description *mil__write_description(mil__model_writer *w) {
    Mil__Spec__Description *description = MIL__NEW(w, Description, description);
    if (!description) return NULL;
    if (w->program->n_functions == 0) return mil__write_fail(w, MIL_ESTATE, "the program has no function");
    bool done = is_single(w->program) ? put_single(w, description) : put_several(w, description);
    return done ? description : NULL;
}
