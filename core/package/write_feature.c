/* SPDX-License-Identifier: MIT */
/* Inputs, outputs and states in a model's description, as Core ML checks them when it loads a model: so what it would
 * refuse is refused here, with what to do. Where the value came with a description of its own, that is taken as far as
 * it still fits: what it says for people, images, defaults, what the program does not know. */
#include <protobuf-c/protobuf-c.h>

#include "package/package.h"
#include "package/write.h"
#include "tensor/tensor.h"
#include "text/flexible.h"

static char *text(const char *s) { return (char *)(uintptr_t)s; }

static const mil_type *type_of(const mil__model_writer *w, mil_value id) { return w->program->values[id]->type; }

#define TYPE_TEXT(w, type) MIL__TYPE_TEXT((w)->program->types, (type))

bool mil__type_is_flexible(const mil_type *type) {
    for (int i = 0; type->kind == MIL_TENSOR && i < type->rank; i++)
        if (type->shape[i] < 0) return true;
    return false;
}

/* ---- arrays ---- */

/* ArrayFeatureType's numbers; 0: a model's border can't have it. */
static int array_dtype(const mil__model_writer *w, mil_dtype dtype) {
    switch (dtype) {
    case MIL_FP16: return 65552;
    case MIL_FP32: return 65568;
    case MIL_INT32: return 131104;
    case MIL_INT8: return w->version >= 10 ? 131080 : 0;
    default: return 0;
    }
}

static Mil__Spec__Array *new_array(mil__model_writer *w, mil_dtype dtype, size_t rank) {
    Mil__Spec__Array *array = MIL__NEW(w, Array, array);
    if (!array || !(array->shape = mil__write_array(w, rank, sizeof *array->shape))) return NULL;
    array->dtype = array_dtype(w, dtype);
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
        return mil__write_fail(w, MIL_EUNSUPPORTED,
                               "a package can't say that an input's size is %s; make it a symbol of its own", name);
    if (symbol->max < 1 || symbol->max == INT64_MAX)
        return mil__write_fail(w, MIL_EVALUE,
                               "the size %s has no upper limit, which Core ML demands; give it a range: "
                               "mil.dim(\"%s\", { min = 1, max = 512 }), or mil.shapes",
                               name, *name == '?' ? "S" : name);
    const mil__block *body = w->program->blocks[w->program->values[w->value]->block];
    *lower = (uint64_t)mil__flexible_least(&w->program->functions[body->function], symbol);
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

typedef struct distinct {
    const int64_t *shapes;
    size_t bytes; /* of one */
} distinct;

static bool is_shape(const void *ctx, uint32_t i, const void *key) {
    const distinct *d = ctx;
    return memcmp((const char *)d->shapes + i * d->bytes, key, d->bytes) == 0;
}

/* Each shape once. Text has sets with a shape of every input, and fills them up where an input has fewer than another
 * (flexible.h); a description has each input's own. */
static const mil__shapes *each_once(mil__model_writer *w, const mil__shapes *given, size_t rank) {
    mil__map seen = {0};
    mil__shapes *out = mil__write_array(w, 1, sizeof *out);
    int64_t *shapes = out ? mil__write_array(w, given->n * rank, sizeof *shapes) : NULL;
    distinct d = {shapes, rank * sizeof *shapes};
    for (size_t i = 0; shapes && i < given->n; i++) {
        const int64_t *shape = given->shapes + i * rank;
        uint64_t hash = mil__hash(shape, d.bytes);
        if (mil__map_find(&seen, hash, is_shape, &d, shape) != MIL__NOT_FOUND) continue;
        memcpy(shapes + out->n * rank, shape, d.bytes);
        if (!mil__map_add(&seen, hash, (uint32_t)out->n++)) shapes = mil__write_nomem(w);
    }
    mil__map_free(&seen);
    if (!shapes) return NULL;
    out->shapes = shapes;
    return out;
}

/* The first is the usual one. */
static bool put_shapes(mil__model_writer *w, const mil__shapes *given, Mil__Spec__Array *array) {
    size_t rank = array->n_shape;
    Mil__Spec__Shapes *shapes = MIL__NEW(w, Shapes, shapes);
    if (!(given = each_once(w, given, rank))) return false;
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

/* ---- does a description that came with the value still fit? ---- */

static bool range_fits(const mil__model_writer *w, mil_dim dim, const Mil__Spec__Range *range) {
    if (dim >= 0) return range->lower == (uint64_t)dim && range->upper == dim;
    const mil_symbol *symbol = mil__dim_symbol_info(w->program->types, dim);
    if (!symbol || (uint64_t)symbol->min != range->lower) return false;
    return symbol->max > 0 ? symbol->max == range->upper : range->upper < 1;
}

static bool ranges_fit(const mil__model_writer *w, const mil_type *type, const Mil__Spec__Ranges *ranges) {
    bool fits = ranges->n_ranges == (size_t)type->rank;
    for (int i = 0; fits && i < type->rank; i++) fits = range_fits(w, type->shape[i], ranges->ranges[i]);
    return fits;
}

static bool shapes_fit(mil__model_writer *w, const mil_type *type, const mil__shapes *given, const Mil__Spec__Shapes *shapes) {
    size_t rank = (size_t)type->rank;
    if (given && given->n != shapes->n_shapes) given = each_once(w, given, rank);
    bool fits = given && mil__type_is_flexible(type) && given->n == shapes->n_shapes;
    for (size_t i = 0; fits && i < given->n; i++)
        fits = shapes->shapes[i]->n_sizes == rank &&
               memcmp(shapes->shapes[i]->sizes, given->shapes + i * rank, rank * sizeof *given->shapes) == 0;
    return fits;
}

/* Where no flexibility is described, nothing more may be known of a size now either. */
static bool sizes_fit(const mil__model_writer *w, const mil_type *type, const Mil__Spec__Array *array, bool is_input) {
    if (array->n_shape == 0) return !is_input || array->flexibility_case != MIL__SPEC__ARRAY__FLEXIBILITY__NOT_SET;
    if (array->n_shape != (size_t)type->rank) return false;
    for (int i = 0; i < type->rank; i++) {
        mil_dim dim = type->shape[i];
        if (dim >= 0 && dim != array->shape[i]) return false;
        const mil_symbol *symbol = dim < 0 ? mil__dim_symbol_info(w->program->types, dim) : NULL;
        bool is_plain = array->flexibility_case == MIL__SPEC__ARRAY__FLEXIBILITY__NOT_SET;
        if (is_input && dim < 0 && is_plain && (!symbol || symbol->max > 0)) return false;
    }
    return true;
}

static bool array_fits(mil__model_writer *w, mil_value id, const Mil__Spec__Array *array, bool is_input) {
    const mil_type *type = type_of(w, id);
    if (type->kind != MIL_TENSOR || array->dtype != array_dtype(w, type->dtype) || !sizes_fit(w, type, array, is_input))
        return false;
    if (array->flexibility_case == MIL__SPEC__ARRAY__FLEXIBILITY_RANGES)
        return !is_input || ranges_fit(w, type, array->ranges);
    if (array->flexibility_case == MIL__SPEC__ARRAY__FLEXIBILITY_SHAPES)
        return !is_input || shapes_fit(w, type, mil__input_shapes(w->program, id), array->shapes);
    return true;
}

/* Pixels are [1, channels, height, width]. An image whose size has become fixed gets that. */
static bool image_fits(const mil_type *type, Mil__Spec__Image *image) {
    bool is_gray = image->color == 10 || image->color == 40;
    if (type->kind != MIL_TENSOR || type->rank != 4 || type->shape[1] != (is_gray ? 1 : 3)) return false;
    if (!mil__dtype_is_float(type->dtype)) return false;
    if (type->shape[2] < 0 || type->shape[3] < 0)
        return image->flexibility_case != MIL__SPEC__IMAGE__FLEXIBILITY__NOT_SET;
    image->height = type->shape[2];
    image->width = type->shape[3];
    image->flexibility_case = MIL__SPEC__IMAGE__FLEXIBILITY__NOT_SET;
    return true;
}

static bool kept_fits(mil__model_writer *w, mil_value id, const Mil__Spec__Feature *kept, bool is_input) {
    if (!kept || !kept->type) return false;
    if (kept->type->kind_case == MIL__SPEC__FEATURE_TYPE__KIND_IMAGE)
        return image_fits(type_of(w, id), kept->type->image);
    if (kept->type->kind_case == MIL__SPEC__FEATURE_TYPE__KIND_ARRAY)
        return array_fits(w, id, kept->type->array, is_input);
    return false;
}

/* What was said of the value beside its type goes on being said. */
static Mil__Spec__Feature *take_kept(mil__model_writer *w, Mil__Spec__Feature *feature, Mil__Spec__Feature *kept) {
    if (!kept) return w->status == MIL_OK ? feature : NULL;
    feature->description = kept->description;
    if (kept->type) feature->type->is_optional = kept->type->is_optional;
    mil__take_unknown(&feature->base, &kept->base);
    return feature;
}

/* ---- features ---- */

static Mil__Spec__Feature *new_feature(mil__model_writer *w, mil_value id) {
    Mil__Spec__Feature *feature = MIL__NEW(w, Feature, feature);
    if (!feature || !(feature->type = MIL__NEW(w, FeatureType, feature_type))) return NULL;
    feature->name = text(w->program->values[id]->name);
    return feature;
}

/* The description that the value came with, under the name that it has now; NULL: none, or w->status. */
static Mil__Spec__Feature *kept_feature(mil__model_writer *w, mil_value id, mil__kept_what what) {
    Mil__Spec__Feature *kept = mil__write_kept(w, what, id, &mil__spec__feature__descriptor);
    if (kept) kept->name = text(w->program->values[id]->name);
    return kept;
}

static bool put_array(Mil__Spec__Feature *feature, Mil__Spec__Array *array) {
    feature->type->kind_case = MIL__SPEC__FEATURE_TYPE__KIND_ARRAY;
    feature->type->array = array;
    return array;
}

static Mil__Spec__Feature *describe_input(mil__model_writer *w, mil_value id) {
    const mil_type *type = type_of(w, id);
    if (type->kind != MIL_TENSOR || !array_dtype(w, type->dtype))
        return mil__write_fail(w, MIL_EUNSUPPORTED,
                               "a model's inputs are fp16, fp32 or int32 tensors, not %s; make it one of "
                               "them, and cast it inside",
                               TYPE_TEXT(w, type));
    if (type->rank == 0)
        return mil__write_fail(w, MIL_EUNSUPPORTED,
                               "a model's inputs have a rank of at least 1; make it %s[1], and squeeze it inside",
                               TYPE_TEXT(w, type));
    const mil__shapes *shapes = mil__input_shapes(w->program, id);
    Mil__Spec__Feature *feature = new_feature(w, id);
    Mil__Spec__Array *array = feature ? new_array(w, type->dtype, (size_t)type->rank) : NULL;
    if (!array) return NULL;
    array->n_shape = (size_t)type->rank;
    bool done = put_array(feature, array);
    if (mil__type_is_flexible(type)) done = shapes ? put_shapes(w, shapes, array) : put_ranges(w, type, array);
    else for (int i = 0; i < type->rank; i++) array->shape[i] = type->shape[i];
    return done ? feature : NULL;
}

/* What fills the input where it is left out, in its dtype. */
static void put_standard(const mil__standard *standard, mil_dtype dtype, Mil__Spec__Array *array) {
    bool is_int = dtype == MIL_INT32 || dtype == MIL_INT8;
    array->standard_case = is_int ? MIL__SPEC__ARRAY__STANDARD_INT_STANDARD : MIL__SPEC__ARRAY__STANDARD_FLOAT_STANDARD;
    double n = standard->number;
    if (!is_int) array->float_standard = (float)n;
    else array->int_standard = n >= INT32_MAX ? INT32_MAX : n <= INT32_MIN ? INT32_MIN : n == n ? (int32_t)n : 0;
}

Mil__Spec__Feature *mil__write_input(mil__model_writer *w, mil_value id) {
    Mil__Spec__Feature *kept = kept_feature(w, id, MIL__KEPT_INPUT);
    if (kept_fits(w, id, kept, true)) return kept;
    Mil__Spec__Feature *feature = describe_input(w, id);
    const mil__standard *standard = mil__input_standard(w->program, id);
    if (feature && standard) put_standard(standard, type_of(w, id)->dtype, feature->type->array);
    return feature ? take_kept(w, feature, kept) : NULL;
}

Mil__Spec__Feature *mil__write_state(mil__model_writer *w, mil_value id) {
    const mil_type *type = type_of(w, id)->items[0];
    if (type->rank == 0)
        return mil__write_fail(w, MIL_EUNSUPPORTED, "Core ML's states have axes, and so one number is {1}; this is a scalar, %s", TYPE_TEXT(w, type));
    bool has_dtype = type->dtype == MIL_FP16 || (type->dtype == MIL_INT8 && w->version >= 10);
    if (!has_dtype || mil__type_is_flexible(type))
        return mil__write_fail(w, MIL_EUNSUPPORTED, "Core ML's states are fp16 tensors of a fixed shape, not %s",
                               TYPE_TEXT(w, type));
    Mil__Spec__Feature *feature = new_feature(w, id);
    Mil__Spec__State *state = feature ? MIL__NEW(w, State, state) : NULL;
    if (!state || !(state->array = new_array(w, type->dtype, (size_t)type->rank))) return NULL;
    state->kind_case = MIL__SPEC__STATE__KIND_ARRAY;
    state->array->n_shape = (size_t)type->rank;
    for (int i = 0; i < type->rank; i++) state->array->shape[i] = type->shape[i];
    feature->type->kind_case = MIL__SPEC__FEATURE_TYPE__KIND_STATE;
    feature->type->state = state;
    return take_kept(w, feature, kept_feature(w, id, MIL__KEPT_INPUT));
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
    if (!mil__type_is_flexible(type)) array->n_shape = (size_t)type->rank;
    for (size_t i = 0; i < array->n_shape; i++) array->shape[i] = type->shape[i];
    return put_array(feature, array);
}

static bool is_label(const mil_type *type) {
    return type->kind == MIL_TENSOR && type->rank == 0 && (type->dtype == MIL_STRING || type->dtype == MIL_INT64);
}

static Mil__Spec__Feature *describe_output(mil__model_writer *w, mil_value id) {
    const mil_type *type = type_of(w, id);
    Mil__Spec__Feature *feature = new_feature(w, id);
    if (!feature) return NULL;
    if (type->kind == MIL_TENSOR && array_dtype(w, type->dtype))
        return put_output_array(w, type, feature) ? feature : NULL;
    if (is_label(type)) return put_label(w, type, feature->type) ? feature : NULL;
    if (type->kind == MIL_DICT) return put_dictionary(w, type, feature->type) ? feature : NULL;
    return mil__write_fail(w, MIL_EUNSUPPORTED,
                           "a model's outputs are fp16, fp32 or int32 tensors, not %s; cast it to one of them",
                           TYPE_TEXT(w, type));
}

Mil__Spec__Feature *mil__write_output(mil__model_writer *w, mil_value id) {
    Mil__Spec__Feature *kept = kept_feature(w, id, MIL__KEPT_OUTPUT);
    if (kept_fits(w, id, kept, false)) return kept;
    Mil__Spec__Feature *feature = describe_output(w, id);
    return feature ? take_kept(w, feature, kept) : NULL;
}
