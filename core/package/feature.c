/* SPDX-License-Identifier: MIT */
/* What a model's description says of one input or output, for those who look at it. */
#include <stdio.h>

#include "package/package.h"

static const char *color_name(int32_t color) {
    static const struct {
        int32_t number;
        const char *name;
    } names[] = {{10, "gray"}, {20, "rgb"}, {30, "bgr"}, {40, "gray fp16"}};
    for (size_t i = 0; i < MIL__COUNT(names); i++)
        if (names[i].number == color) return names[i].name;
    return "";
}

static const char *kind_name(const Mil__Spec__FeatureType *type) {
    switch (type ? type->kind_case : MIL__SPEC__FEATURE_TYPE__KIND__NOT_SET) {
    case MIL__SPEC__FEATURE_TYPE__KIND_INT64: return "int64";
    case MIL__SPEC__FEATURE_TYPE__KIND_DOUBLE: return "double";
    case MIL__SPEC__FEATURE_TYPE__KIND_STRING: return "string";
    case MIL__SPEC__FEATURE_TYPE__KIND_IMAGE: return "image";
    case MIL__SPEC__FEATURE_TYPE__KIND_ARRAY: return "array";
    case MIL__SPEC__FEATURE_TYPE__KIND_DICTIONARY: return "dictionary";
    case MIL__SPEC__FEATURE_TYPE__KIND_STATE: return "state";
    default: return "";
    }
}

static mil_status describe(const Mil__Spec__Feature *feature, mil_feature *out, mil_error *err) {
    mil_feature made = {.kind = kind_name(feature->type), .color = "", .is_optional = feature->type && feature->type->is_optional};
    if (feature->type && feature->type->kind_case == MIL__SPEC__FEATURE_TYPE__KIND_IMAGE) {
        const Mil__Spec__Image *image = feature->type->image;
        made.color = color_name(image->color);
        made.width = image->width;
        made.height = image->height;
    }
    if (feature->description && *feature->description && !(made.description = mil__strdup(feature->description))) return mil__nomem(err);
    *out = made;
    return MIL_OK;
}

mil_status mil_value_feature(const mil_program *program, mil_value value, mil_feature *out, mil_error *err) {
    const mil__kept *kept = mil__program_kept(program, MIL__KEPT_INPUT, value);
    mil__arena arena = {0};
    void *feature;
    if (!kept) kept = mil__program_kept(program, MIL__KEPT_OUTPUT, value);
    if (!kept) return *out = (mil_feature){.kind = "", .color = ""}, MIL_OK;
    mil_status status = mil__unpack(&mil__spec__feature__descriptor, kept->data, kept->n, &arena, &feature, err);
    if (status == MIL_OK) status = describe(feature, out, err);
    const mil__standard *standard = mil__input_standard(program, value);
    if (status == MIL_OK && standard) out->standard = standard->number;
    mil__arena_free(&arena);
    return status;
}
