/* SPDX-License-Identifier: MIT */
/* What a model says of itself: its version, its functions, its metadata. write_feature.c has its values. */
#include <protobuf-c/protobuf-c.h>

#include "package/package.h"
#include "package/write.h"

static char *text(const char *s) { return (char *)(uintptr_t)s; }

static const mil_type *type_of(const mil__model_writer *w, mil_value id) { return w->program->values[id]->type; }

/* ---- the specification's version ---- */

static bool is_half(const mil_type *type) { return type->kind == MIL_TENSOR && type->dtype == MIL_FP16; }

/* The least version that has all that a function asks for. */
static int function_version(const mil_program *program, const mil__function *function) {
    const mil__block *body = program->blocks[function->block];
    int version = 6 + (function->opset - MIL_IOS15), n_enumerated = 0;
    bool has_half = false;
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const mil_type *type = program->values[body->inputs[i]]->type;
        has_half |= is_half(type);
        n_enumerated += mil__type_is_flexible(type) && mil__input_shapes(program, body->inputs[i]);
    }
    for (uint32_t i = 0; i < body->n_outputs; i++) has_half |= is_half(program->values[body->outputs[i]]->type);
    if (has_half && version < 7) version = 7;
    return body->n_inputs == 0 || n_enumerated > 1 ? 9 : version;
}

/* Core ML takes the one function of a model to be main. */
static bool is_single(const mil_program *program) {
    return program->n_functions == 1 && strcmp(program->functions[0].name, "main") == 0;
}

int mil__write_version(const mil_program *program, const Mil__Spec__Model *kept) {
    int version = !is_single(program) || program->version_minor >= 3 ? 9 : 6;
    for (uint32_t i = 0; i < program->n_functions; i++) {
        int needed = function_version(program, &program->functions[i]);
        if (needed > version) version = needed;
    }
    return kept && kept->version > version ? kept->version : version;
}

int mil_program_specification(const mil_program *program) {
    mil__model_writer w = {.program = program};
    int version = mil__write_version(program, mil__write_kept(&w, MIL__KEPT_MODEL, 0, &mil__spec__model__descriptor));
    mil__model_writer_free(&w);
    return version;
}

/* ---- functions ---- */

/* The features of those values that are states, or of those that are none. */
static Mil__Spec__Feature **write_inputs(mil__model_writer *w, const mil__block *body, bool states, size_t *n) {
    Mil__Spec__Feature **list = mil__write_array(w, body->n_inputs, sizeof *list);
    *n = 0;
    for (uint32_t i = 0; list && i < body->n_inputs; i++) {
        w->value = body->inputs[i];
        if ((type_of(w, w->value)->kind == MIL_STATE) != states) continue;
        if (!(list[*n] = states ? mil__write_state(w, w->value) : mil__write_input(w, w->value))) return NULL;
        ++*n;
    }
    if (list) w->value = 0;
    return list;
}

static Mil__Spec__Feature **write_outputs(mil__model_writer *w, const mil__block *body) {
    Mil__Spec__Feature **list = mil__write_array(w, body->n_outputs, sizeof *list);
    for (uint32_t i = 0; list && i < body->n_outputs; i++) {
        w->value = body->outputs[i];
        if (!(list[i] = mil__write_output(w, w->value))) return NULL;
    }
    if (list) w->value = 0;
    return list;
}

/* An output that is still one. */
static char *name_of(const mil__model_writer *w, mil_value id) {
    const mil__value *value = mil__value_at(w->program, id);
    return value && value->is_output ? text(value->name) : (char *)(uintptr_t)protobuf_c_empty_string;
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
    if (function->label) message->predicted_feature = name_of(w, function->label);
    /* without its label it is no classifier: the probabilities are an output like any other */
    if (function->probabilities && *message->predicted_feature)
        message->predicted_probabilities = name_of(w, function->probabilities);
    Mil__Spec__FunctionDescription *kept = mil__write_kept(w, MIL__KEPT_DESCRIPTION, function->block,
                                                           &mil__spec__function_description__descriptor);
    if (kept) mil__take_unknown(&message->base, &kept->base);
    if (w->status != MIL_OK) return NULL;
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
    mil_block entry = mil_program_entry(program);
    return entry ? mil_function_name(program, entry) : program->functions[0].name;
}

static bool put_several(mil__model_writer *w, Mil__Spec__Description *description) {
    const mil_program *program = w->program;
    if (!(description->functions = mil__write_array(w, program->n_functions, sizeof *description->functions)))
        return false;
    for (uint32_t i = 0; i < program->n_functions; i++)
        if (!(description->functions[i] = write_function(w, &program->functions[i]))) return false;
    description->n_functions = program->n_functions;
    description->default_function = text(default_function(program));
    return true;
}

/* ---- metadata ---- */

static int by_key(const void *a, const void *b) {
    return strcmp((*(Mil__Spec__MetadataEntry *const *)a)->key, (*(Mil__Spec__MetadataEntry *const *)b)->key);
}

static bool has_metadata(const mil__model_writer *w) {
    const Mil__Spec__Model *kept = w->kept_model;
    return mil_program_n_metadata(w->program) > 0 || (kept && kept->description && kept->description->metadata);
}

/* One of Core ML's own fields. */
static char **own_field(Mil__Spec__Metadata *metadata, const char *key) {
    if (strcmp(key, "description") == 0) return &metadata->description;
    if (strcmp(key, "version") == 0) return &metadata->version;
    return strcmp(key, "author") == 0 ? &metadata->author : &metadata->license;
}

static Mil__Spec__Metadata *write_metadata(mil__model_writer *w) {
    const Mil__Spec__Description *description = w->kept_model ? w->kept_model->description : NULL;
    const Mil__Spec__Metadata *kept = description ? description->metadata : NULL;
    size_t n = mil_program_n_metadata(w->program), n_kept = kept ? kept->n_user : 0;
    Mil__Spec__Metadata *metadata = MIL__NEW(w, Metadata, metadata);
    if (!metadata || !(metadata->user = mil__write_array(w, n + n_kept, sizeof *metadata->user))) return NULL;
    for (size_t i = 0; i < n_kept; i++) metadata->user[metadata->n_user++] = kept->user[i];
    for (size_t i = 0; i < n; i++) {
        const char *value, *key = mil_program_metadata_at(w->program, i, &value), *user = mil__user_key(key);
        if (!user) {
            *own_field(metadata, key) = text(value);
            continue;
        }
        Mil__Spec__MetadataEntry *entry = MIL__NEW(w, MetadataEntry, metadata_entry);
        if (!entry) return NULL;
        entry->key = text(user);
        entry->value = text(value);
        metadata->user[metadata->n_user++] = entry;
    }
    qsort(metadata->user, metadata->n_user, sizeof *metadata->user, by_key);
    return metadata;
}

Mil__Spec__Description *mil__write_description(mil__model_writer *w) {
    Mil__Spec__Description *description = MIL__NEW(w, Description, description);
    if (!description) return NULL;
    if (w->program->n_functions == 0) return mil__write_fail(w, MIL_ESTATE, "the program has no function");
    bool done = is_single(w->program) ? put_single(w, description) : put_several(w, description);
    if (done && has_metadata(w)) description->metadata = write_metadata(w);
    return done && w->status == MIL_OK ? description : NULL;
}
