/* SPDX-License-Identifier: MIT */
/* What a model's description says of its functions' inputs and outputs, its metadata; and what a program keeps of its
 * package so that saving loses nothing (program.h). */
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "base/bytes.h"
#include "package/package.h"

static mil_status keep(mil__reader *r, mil__kept_what what, uint32_t id, const ProtobufCMessage *message) {
    uint8_t *data;
    size_t n = protobuf_c_message_get_packed_size(message);
    MIL__TRY(mil__program_keep(r->program, what, id, n, &data, r->err));
    protobuf_c_message_pack(message, data);
    return mil__read_check_size(r);
}

/* ---- inputs ---- */

typedef struct input {
    const Mil__Spec__NamedType *named;
    const Mil__Spec__Feature *feature; /* NULL: none of that name */
    size_t rank;                       /* in the description; then in the function */
    mil_value value;                   /* of a program that is there */
} input;

static int by_feature_name(const void *a, const void *b) {
    return strcmp(((const input *)a)->feature->name, ((const input *)b)->feature->name);
}

static int by_rank(const void *a, const void *b) {
    size_t i = ((const input *)a)->rank, k = ((const input *)b)->rank;
    return (i > k) - (i < k);
}

/* The description's features of inputs and states, by name. */
static mil_status sort_features(mil__reader *r, const mil__described *d, input **out, size_t *n) {
    *n = d->n_inputs + d->n_states;
    *out = mil__arena_zero(&r->tmp, *n + 1, sizeof **out);
    if (!*out) return mil__nomem(r->err);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = (input){.feature = i < d->n_inputs ? d->inputs[i] : d->states[i - d->n_inputs], .rank = i};
    qsort(*out, *n, sizeof **out, by_feature_name);
    for (size_t i = 1; i < *n; i++)
        if (strcmp((*out)[i - 1].feature->name, (*out)[i].feature->name) == 0)
            return mil__fail(r->err, MIL_EFORMAT, "the description has \"%s\" twice", MIL__PRINTABLE((*out)[i].feature->name));
    return MIL_OK;
}

static const input *find_feature(const input *described, size_t n, const char *name) {
    Mil__Spec__Feature feature = {.name = (char *)(uintptr_t)name};
    const input key = {.feature = &feature};
    return bsearch(&key, described, n, sizeof key, by_feature_name);
}

/* The function's inputs in the order of their features; those that have none last. */
static mil_status order_inputs(mil__reader *r, const Mil__Spec__Function *function, const mil__described *d, input **out) {
    input *described, *inputs = mil__arena_zero(&r->tmp, function->n_inputs + 1, sizeof *inputs);
    size_t n;
    MIL__TRY(sort_features(r, d, &described, &n));
    if (!inputs) return mil__nomem(r->err);
    for (size_t i = 0; i < function->n_inputs; i++) {
        const input *found = find_feature(described, n, function->inputs[i]->name);
        inputs[i] = (input){.named = function->inputs[i], .feature = found ? found->feature : NULL, .rank = found ? found->rank : n + i};
    }
    qsort(inputs, function->n_inputs, sizeof *inputs, by_rank);
    *out = inputs;
    return MIL_OK;
}

static mil_status describe_dim(mil__reader *r, mil_dim dim, uint64_t min, int64_t max, int64_t standard) {
    if (dim >= 0) return MIL_OK;
    if (min > INT64_MAX / 2 || (max >= 0 && (uint64_t)max < min))
        return mil__fail(r->err, MIL_EFORMAT, "the description's range of sizes is none");
    mil_symbol symbol = {.min = (int64_t)min, .max = max, .standard = standard > 0 ? standard : 0};
    return mil__dim_describe(r->program->types, dim, &symbol, r->err);
}

/* n shapes of the input's rank, one after the other: each dim's range, and the shapes themselves. */
static mil_status describe_shapes(mil__reader *r, mil_value value, size_t n, const int64_t *shapes) {
    const mil_type *type = r->program->values[value]->type;
    for (int d = 0; d < type->rank; d++) {
        int64_t min = INT64_MAX, max = 0;
        for (size_t i = 0; i < n; i++) {
            int64_t size = shapes[i * (size_t)type->rank + (size_t)d];
            if (size < min) min = size;
            if (size > max) max = size;
        }
        if (min < 0) return mil__fail(r->err, MIL_EFORMAT, "the description has a size below 0");
        MIL__TRY(describe_dim(r, type->shape[d], (uint64_t)min, max, shapes[d]));
    }
    if (mil__input_shapes(r->program, value)) return MIL_OK; /* a bundle's text has said them */
    return mil_program_input_shapes(r->program, value, n, shapes, r->err);
}

static mil_status describe_array(mil__reader *r, mil_value value, const Mil__Spec__Array *array) {
    const mil_type *type = r->program->values[value]->type;
    size_t rank = (size_t)type->rank;
    if (array->flexibility_case == MIL__SPEC__ARRAY__FLEXIBILITY_RANGES) {
        const Mil__Spec__Ranges *ranges = array->ranges;
        if (ranges->n_ranges != rank) return mil__fail(r->err, MIL_EFORMAT, "its description is of another rank");
        for (size_t d = 0; d < rank; d++)
            MIL__TRY(describe_dim(r, type->shape[d], ranges->ranges[d]->lower, ranges->ranges[d]->upper,
                                  array->n_shape == rank ? array->shape[d] : 0));
    } else if (array->flexibility_case == MIL__SPEC__ARRAY__FLEXIBILITY_SHAPES && array->shapes->n_shapes) {
        size_t n = array->shapes->n_shapes;
        int64_t *shapes = mil__arena_zero(&r->tmp, n * rank + 1, sizeof *shapes);
        if (!shapes) return mil__nomem(r->err);
        for (size_t i = 0; i < n; i++) {
            const Mil__Spec__Shape *shape = array->shapes->shapes[i];
            if (shape->n_sizes != rank) return mil__fail(r->err, MIL_EFORMAT, "its description is of another rank");
            memcpy(shapes + i * rank, shape->sizes, rank * sizeof *shapes);
        }
        return describe_shapes(r, value, n, shapes);
    }
    return MIL_OK;
}

/* Pixels are [1, channels, height, width]. */
static mil_status describe_image(mil__reader *r, mil_value value, const Mil__Spec__Image *image) {
    const mil_type *type = r->program->values[value]->type;
    if (type->rank != 4) return mil__fail(r->err, MIL_EFORMAT, "an image is a tensor of rank 4");
    if (image->flexibility_case == MIL__SPEC__IMAGE__FLEXIBILITY_RANGE) {
        const Mil__Spec__Range *width = image->range->width, *height = image->range->height;
        if (width) MIL__TRY(describe_dim(r, type->shape[3], width->lower, width->upper, image->width));
        if (height) MIL__TRY(describe_dim(r, type->shape[2], height->lower, height->upper, image->height));
    } else if (image->flexibility_case == MIL__SPEC__IMAGE__FLEXIBILITY_SIZES && image->sizes->n_sizes) {
        size_t n = image->sizes->n_sizes;
        int64_t(*shapes)[4] = mil__arena_zero(&r->tmp, n, sizeof *shapes);
        if (!shapes) return mil__nomem(r->err);
        for (size_t i = 0; i < n; i++) {
            int64_t shape[4] = {1, type->shape[1], (int64_t)image->sizes->sizes[i]->height,
                                (int64_t)image->sizes->sizes[i]->width};
            memcpy(shapes[i], shape, sizeof shape);
        }
        return describe_shapes(r, value, n, shapes[0]);
    }
    return MIL_OK;
}

/* An optional input is filled with zeros where its description names no number. */
static mil_status describe_standard(mil__reader *r, mil_value value, const Mil__Spec__Array *array) {
    double number = 0;
    if (array->standard_case == MIL__SPEC__ARRAY__STANDARD_INT_STANDARD) number = array->int_standard;
    if (array->standard_case == MIL__SPEC__ARRAY__STANDARD_FLOAT_STANDARD) number = array->float_standard;
    if (array->standard_case == MIL__SPEC__ARRAY__STANDARD_DOUBLE_STANDARD) number = array->double_standard;
    return mil__input_set_standard(r->program, value, number, r->err);
}

static mil_status describe_input(mil__reader *r, mil_value value, const Mil__Spec__Feature *feature) {
    const mil_type *type = r->program->values[value]->type;
    bool is_flexible = false;
    bool is_array = feature && feature->type && feature->type->kind_case == MIL__SPEC__FEATURE_TYPE__KIND_ARRAY;
    if (is_array && feature->type->is_optional && type->kind == MIL_TENSOR) MIL__TRY(describe_standard(r, value, feature->type->array));
    for (int i = 0; type->kind == MIL_TENSOR && i < type->rank; i++) is_flexible |= type->shape[i] < 0;
    if (!feature || !feature->type || !is_flexible) return MIL_OK;
    if (feature->type->kind_case == MIL__SPEC__FEATURE_TYPE__KIND_ARRAY)
        return describe_array(r, value, feature->type->array);
    if (feature->type->kind_case == MIL__SPEC__FEATURE_TYPE__KIND_IMAGE)
        return describe_image(r, value, feature->type->image);
    return MIL_OK;
}

static mil_status read_input(mil__reader *r, mil_block block, const input *in) {
    const mil_type *type;
    mil_value value;
    MIL__TRY(mil__read_type(r, in->named->type, true, &type));
    if (type->kind != MIL_TENSOR && type->kind != MIL_STATE)
        return mil__fail(r->err, MIL_EUNSUPPORTED, "an input of a function is a tensor or a state, not %s",
                         MIL__TYPE_TEXT(r->program->types, type));
    MIL__TRY(mil__block_input(r->program, block, in->named->name, type, &value, r->err));
    MIL__TRY(describe_input(r, value, in->feature));
    if (in->feature) MIL__TRY(keep(r, MIL__KEPT_INPUT, value, &in->feature->base));
    return mil__read_check_size(r);
}

mil_status mil__read_inputs(mil__reader *r, mil_block block, const Mil__Spec__Function *function, const mil__described *d) {
    input *inputs = NULL;
    if (function->n_inputs > UINT16_MAX) return mil__fail(r->err, MIL_ELIMIT, "%zu inputs", function->n_inputs);
    MIL__TRY(order_inputs(r, function, d, &inputs));
    for (size_t i = 0; i < function->n_inputs; i++) {
        mil_status status = read_input(r, block, &inputs[i]);
        if (status != MIL_OK && r->err) snprintf(r->err->value, sizeof r->err->value, "%.120s", inputs[i].named->name);
        MIL__TRY(status);
    }
    return MIL_OK;
}

/* ---- outputs ---- */

/* The function's output of that name; 0: there is none. */
static mil_value output_named(const mil_program *program, mil_block block, const char *name) {
    mil_value value = *name ? mil__value_named(program, block, name, strlen(name)) : 0;
    return value && program->values[value]->is_output ? value : 0;
}

mil_status mil__read_outputs(mil__reader *r, mil__function *function, const mil__described *d) {
    for (size_t i = 0; i < d->n_outputs; i++) {
        mil_value value = output_named(r->program, function->block, d->outputs[i]->name);
        if (!value || mil__program_kept(r->program, MIL__KEPT_OUTPUT, value)) continue;
        MIL__TRY(keep(r, MIL__KEPT_OUTPUT, value, &d->outputs[i]->base));
    }
    function->label = output_named(r->program, function->block, d->label);
    function->probabilities = output_named(r->program, function->block, d->probabilities);
    if (!d->function || !mil__has_unknown(&d->function->base, NULL)) return MIL_OK;
    Mil__Spec__FunctionDescription skeleton = *d->function;
    skeleton.n_inputs = skeleton.n_outputs = skeleton.n_states = 0;
    return keep(r, MIL__KEPT_DESCRIPTION, function->block, &skeleton.base);
}

/* ---- the model ---- */

void mil__described_function(const Mil__Spec__Description *d, size_t n_functions, const char *name, mil__described *out) {
    *out = (mil__described){.label = "", .probabilities = ""};
    for (size_t i = 0; d && i < d->n_functions; i++) {
        const Mil__Spec__FunctionDescription *f = d->functions[i];
        if (strcmp(f->name, name) != 0) continue;
        *out = (mil__described){f->inputs, f->outputs, f->states, f->n_inputs, f->n_outputs, f->n_states,
                                f->predicted_feature, f->predicted_probabilities, f};
    }
    if (d && !d->n_functions && (n_functions == 1 || strcmp(name, "main") == 0))
        *out = (mil__described){d->inputs, d->outputs, d->states, d->n_inputs, d->n_outputs, d->n_states,
                                d->predicted_feature, d->predicted_probabilities, NULL};
}

/* "userDefined." before what would else be one of Core ML's own fields, or is written so. */
static bool is_own_field(const char *key) {
    static const char *const fields[] = {"author", "license", "version", "description"};
    size_t n = sizeof MIL__USER_PREFIX - 1;
    while (strncmp(key, MIL__USER_PREFIX, n) == 0) key += n;
    for (size_t i = 0; i < MIL__COUNT(fields); i++)
        if (strcmp(key, fields[i]) == 0) return true;
    return false;
}

const char *mil__user_key(const char *key) {
    bool is_marked = strncmp(key, MIL__USER_PREFIX, sizeof MIL__USER_PREFIX - 1) == 0;
    if (!is_own_field(key)) return key;
    return is_marked ? key + sizeof MIL__USER_PREFIX - 1 : NULL;
}

static mil_status read_user(mil__reader *r, const char *key, const char *value) {
    if (!*key) return MIL_OK; /* it can't be asked for, and is kept (mil__keep_model) */
    if (!is_own_field(key)) return mil_program_set_metadata(r->program, key, value, r->err);
    char *marked;
    MIL__TRY(mil__join(MIL__USER_PREFIX, key, "", &marked, r->err));
    mil_status status = mil_program_set_metadata(r->program, marked, value, r->err);
    mil__free(marked);
    return status;
}

static mil_status read_metadata(mil__reader *r, const Mil__Spec__Metadata *m) {
    const char *fields[][2] = {{"description", m->description}, {"version", m->version}, {"author", m->author},
                               {"license", m->license}};
    for (size_t i = 0; i < MIL__COUNT(fields); i++)
        if (*fields[i][1]) MIL__TRY(mil_program_set_metadata(r->program, fields[i][0], fields[i][1], r->err));
    for (size_t i = 0; i < m->n_user; i++) MIL__TRY(read_user(r, m->user[i]->key, m->user[i]->value));
    return MIL_OK;
}

mil_status mil__read_description(mil__reader *r, const Mil__Spec__Description *d) {
    if (d && d->metadata) MIL__TRY(read_metadata(r, d->metadata));
    if (!d || !*d->default_function) return MIL_OK;
    r->program->default_function = mil_program_function_find(r->program, d->default_function);
    if (r->program->default_function) return MIL_OK;
    return mil__fail(r->err, MIL_EFORMAT, "the default function \"%s\" is not there", MIL__PRINTABLE(d->default_function));
}

/* ---- a program that is there ---- */

/* A bundle's text has a function's inputs by name: they get the order of their features, those that have none last. */
static mil_status order_body(mil__reader *r, mil__block *body, const input *described, size_t n) {
    input *order = mil__arena_zero(&r->tmp, body->n_inputs + 1u, sizeof *order);
    if (!order) return mil__nomem(r->err);
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const input *found = find_feature(described, n, r->program->values[body->inputs[i]]->name);
        order[i] = (input){.value = body->inputs[i], .rank = found ? found->rank : n + i};
    }
    if (body->n_inputs) qsort(order, body->n_inputs, sizeof *order, by_rank);
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        body->inputs[i] = order[i].value;
        r->program->values[order[i].value]->index = (uint16_t)i;
    }
    return MIL_OK;
}

static mil_status describe_inputs(mil__reader *r, mil__block *body, const mil__described *d) {
    input *described;
    size_t n;
    MIL__TRY(sort_features(r, d, &described, &n));
    MIL__TRY(order_body(r, body, described, n));
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const input *found = find_feature(described, n, r->program->values[body->inputs[i]]->name);
        if (!found) continue;
        mil_status status = describe_input(r, body->inputs[i], found->feature);
        if (status != MIL_OK && r->err) snprintf(r->err->value, sizeof r->err->value, "%.120s", found->feature->name);
        MIL__TRY(status);
        MIL__TRY(keep(r, MIL__KEPT_INPUT, body->inputs[i], &found->feature->base));
    }
    return MIL_OK;
}

mil_status mil__describe_program(mil__reader *r, const Mil__Spec__Description *d) {
    mil_program *program = r->program;
    for (uint32_t i = 0; i < program->n_functions; i++) {
        mil__described described;
        r->function = program->functions[i].name;
        mil__described_function(d, program->n_functions, program->functions[i].name, &described);
        MIL__TRY(describe_inputs(r, program->blocks[program->functions[i].block], &described));
        MIL__TRY(mil__read_outputs(r, &program->functions[i], &described));
    }
    r->function = NULL;
    return mil__read_description(r, d);
}

/* ---- what is kept ---- */

mil_status mil__keep_operation(mil__reader *r, mil_operation made, const Mil__Spec__Operation *op) {
    if (!r->has_unknown || !mil__has_unknown(&op->base, "blocks")) return MIL_OK;
    Mil__Spec__Operation skeleton = *op;
    skeleton.n_blocks = 0;
    return keep(r, MIL__KEPT_OPERATION, made, &skeleton.base);
}

mil_status mil__keep_block(mil__reader *r, mil_block made, const Mil__Spec__Block *block) {
    if (!r->has_unknown || !mil__has_unknown(&block->base, "operations")) return MIL_OK;
    Mil__Spec__Block skeleton = *block;
    skeleton.n_operations = skeleton.n_outputs = 0;
    return keep(r, MIL__KEPT_BLOCK, made, &skeleton.base);
}

mil_status mil__keep_function(mil__reader *r, mil_block made, const Mil__Spec__Function *function) {
    mil_opset opset = r->program->functions[r->program->blocks[made]->function].opset;
    bool is_newer = opset == MIL_IOS18 && strcmp(function->opset, mil__opset_in_package(opset)) != 0;
    if (!is_newer && (!r->has_unknown || !mil__has_unknown(&function->base, "blocks"))) return MIL_OK;
    Mil__Spec__Function skeleton = *function;
    skeleton.n_blocks = 0;
    return keep(r, MIL__KEPT_FUNCTION, made, &skeleton.base);
}

/* A user's entry whose key is empty can't be asked for, so it stays there. */
static mil_status keep_unnamed(mil__reader *r, Mil__Spec__Metadata *metadata) {
    Mil__Spec__MetadataEntry **all = metadata->user;
    size_t n = metadata->n_user;
    metadata->user = mil__arena_zero(&r->tmp, n + 1, sizeof *metadata->user);
    if (!metadata->user) return mil__nomem(r->err);
    metadata->n_user = 0;
    for (size_t i = 0; i < n; i++)
        if (!*all[i]->key) metadata->user[metadata->n_user++] = all[i];
    return MIL_OK;
}

mil_status mil__keep_model(mil__reader *r, const Mil__Spec__Model *model) {
    Mil__Spec__Model skeleton = *model;
    Mil__Spec__Program program;
    Mil__Spec__Description description;
    Mil__Spec__Metadata metadata;
    if (model->program) {
        program = *model->program;
        program.n_functions = 0;
        if (!r->has_unknown) program.n_attributes = 0;
        skeleton.program = &program;
    }
    if (model->description) {
        description = *model->description;
        description.n_inputs = description.n_outputs = description.n_states = description.n_functions = 0;
        description.default_function = description.predicted_feature = description.predicted_probabilities = (char *)protobuf_c_empty_string;
        skeleton.description = &description;
        if (description.metadata) {
            metadata = *description.metadata;
            metadata.description = metadata.version = metadata.author = metadata.license = (char *)protobuf_c_empty_string;
            description.metadata = &metadata;
            MIL__TRY(keep_unnamed(r, &metadata));
        }
    }
    return keep(r, MIL__KEPT_MODEL, 0, &skeleton.base);
}
