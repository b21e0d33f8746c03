/* SPDX-License-Identifier: MIT */
/* Core ML's models: compiling a package, MLModelConfiguration, MLModel and its description, MLState, MLPredictionOptions, predictions at
 * once, of a batch and asynchronous. A model computes with the plain evaluation of a copy of libmil that is this library's own. */
#include "coreml.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PORTS = 64 };
typedef struct state { object *model; mil_state *state; int users; } state;
typedef struct options { object *backings; } options;

static ml_model *model_of(const object *o) { return o->data; }
static state *state_of(const object *o) { return o->data; }
static ml_configuration *configuration_of(const object *o) { return o->data; }

mil_block ml_entry(const ml_model *m) {
    const object *name = configuration_of(m->configuration)->function;
    return name ? mil_program_function_find(m->program, string_text(name)) : mil_program_entry(m->program);
}

/* ---- MLModelConfiguration ---- */

enum { CPU_ONLY, CPU_AND_GPU, ALL, CPU_AND_ENGINE };

static object *configuration_new(ME) {
    object *o = ml_alloc(self, _cmd);
    configuration_of(o)->units = ALL;
    return o;
}
static void set_units(ME, long units) {
    UNUSED;
    if (units < CPU_ONLY || units > CPU_AND_ENGINE) violation("setComputeUnits: %ld", units);
    configuration_of(self)->units = units;
}
static long get_units(ME) { UNUSED; return configuration_of(self)->units; }
static void set_function(ME, object *name) {
    UNUSED;
    object *old = configuration_of(self)->function;
    configuration_of(self)->function = retained(name);
    released(old);
}
static object *get_function(ME) { UNUSED; return configuration_of(self)->function; }
static void free_configuration(object *o) {
    released(configuration_of(o)->function);
    free(o->data);
    o->data = NULL;
}
static object *copied(const object *configuration) {
    object *o = ml_new("MLModelConfiguration", sizeof(ml_configuration));
    *configuration_of(o) = *configuration_of(configuration);
    retained(configuration_of(o)->function);
    return o;
}
static object *configuration_copy(ME) { UNUSED; return copied(self); }

/* ---- compiling ---- */

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    while (n && text[n - 1] == '/') n--;
    return n >= m && !strncmp(text + n - m, end, m);
}

/* To a folder in the temporary one, which the client moves or removes. */
static object *compile(ME, object *url, object **error) {
    static int count;
    UNUSED;
    const char *from = url->data, *tmp = getenv("TMPDIR");
    if (!ends_in(from, ".mlpackage") && !ends_in(from, ".mlmodel")) {
        violation("compileModelAtURL: %s is no package", from);
        return ml_fails(error, ML_IO, "not a model");
    }
    mil_program *program = NULL;
    mil_error err = { 0 };
    char to[1024];
    snprintf(to, sizeof to, "%s/standin_%ld_%d.mlmodelc", tmp && *tmp ? tmp : "/tmp", (long)getpid(), __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED));
    bool ok = !mil_program_load(from, NULL, &program, &err) && !mil_program_save(program, to, NULL, &err);
    mil_program_free(program);
    return ok ? autoreleased(object_new("NSURL", strdup(to), strlen(to))) : ml_fails(error, ML_GENERIC, err.message);
}

/* ---- loading ---- */

/* +1; NULL and the reason: it can't be. */
static object *loaded(const char *path, const object *configuration, mil_error *err) {
    object *o = ml_new("MLModel", sizeof(ml_model));
    ml_model *m = model_of(o);
    snprintf(m->path, sizeof m->path, "%s", path);
    m->configuration = configuration ? copied(configuration) : ml_new("MLModelConfiguration", sizeof(ml_configuration));
    if (!configuration) configuration_of(m->configuration)->units = ALL;
    mil_status status = mil_program_load(path, NULL, &m->program, err);
    if (!status && !ml_entry(m)) snprintf(err->message, sizeof err->message, "no function of this name"), status = MIL_ENAME;
    mil_compile_options plain = MIL_COMPILE_DEFAULTS;
    plain.engine = "cpu", plain.optimize = 0;
    if (!status) plain.entry = mil_function_name(m->program, ml_entry(m));
    if (!status) status = mil_program_compile(m->program, &plain, &m->model, err);
    saw("units", configuration_of(m->configuration)->units);
    if (!status) return o;
    released(o);
    return NULL;
}
static void free_model(object *o) {
    ml_model *m = o->data;
    mil_model_free(m->model);
    mil_program_free(m->program);
    released(m->configuration);
    free(m);
    o->data = NULL;
}

static object *load(ME, object *url, object *configuration, object **error) {
    UNUSED;
    mil_error err = { 0 };
    if (configuration && !ml_is(configuration, "MLModelConfiguration", "modelWithContentsOfURL")) return NULL;
    if (!ends_in(url->data, ".mlmodelc")) violation("modelWithContentsOfURL: %s is no compiled model", (char *)url->data);
    object *o = loaded(url->data, configuration, &err);
    return o ? autoreleased(o) : ml_fails(error, ML_IO, err.message);
}
static object *load_plain(ME, object *url, object **error) { return load(self, _cmd, url, NULL, error); }

typedef struct loading { char *path; object *configuration; kept_block done; } loading;

static void load_now(void *ctx) {
    loading *l = ctx;
    mil_error err = { 0 };
    object *o = loaded(l->path, l->configuration, &err), *error = o ? NULL : error_new("com.apple.CoreML", ML_IO, err.message, NULL);
    block_complete(l->done.b, o, error);
    released(o), released(error), released(l->configuration);
    block_drop(&l->done);
    free(l->path);
    free(l);
}
static void load_later(ME, object *url, object *configuration, block *done) {
    UNUSED;
    kept_block kept;
    if (!block_keep(done, "loadContentsOfURL", &kept) || !ml_is(configuration, "MLModelConfiguration", "loadContentsOfURL")) return;
    loading *l = malloc(sizeof *l);
    *l = (loading){ strdup(url->data), retained(configuration), kept };
    thread_start(load_now, l);
}

static object *model_configuration(ME) { UNUSED; return model_of(self)->configuration; }

/* ---- the description: features by name ---- */

typedef struct feature_data { char name[256]; long type; bool is_optional; int rank; int64_t shape[MIL_MAX_RANK]; long dtype; int64_t width, height; } feature_data;

static long feature_type(const mil_feature *said) {
    static const struct { const char *kind; long type; } types[] = { { "image", ML_IMAGE }, { "dictionary", ML_DICTIONARY }, { "int64", ML_INT64 },
                                                                   { "double", ML_DOUBLE }, { "string", ML_STRING }, { "state", ML_STATE } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].kind, said->kind)) return types[i].type;
    return ML_MULTI_ARRAY;
}

static object *feature_new(const mil_program *program, mil_value value, const mil_port *port) {
    object *o = ml_new("MLFeatureDescription", sizeof(feature_data));
    feature_data *f = o->data;
    mil_feature said = { .kind = "" };
    mil_value_feature(program, value, &said, NULL);
    mil_free(said.description);
    snprintf(f->name, sizeof f->name, "%s", port->name);
    f->type = feature_type(&said), f->is_optional = port->is_optional, f->rank = port->rank, f->dtype = ml_type_of(port->dtype);
    f->width = said.width, f->height = said.height;
    for (int k = 0; k < port->rank && k < MIL_MAX_RANK; k++) f->shape[k] = port->shape[k] < 1 ? 1 : port->shape[k];
    return o;
}

/* side: 0 inputs, 1 outputs, 2 states. */
static size_t side_count(const ml_model *m, int side) {
    return side == 0 ? mil_model_n_inputs(m->model) : side == 1 ? mil_model_n_outputs(m->model) : mil_model_n_states(m->model);
}
static const mil_port *side_port(const ml_model *m, int side, size_t i) {
    return side == 0 ? mil_model_input(m->model, i) : side == 1 ? mil_model_output(m->model, i) : mil_model_state(m->model, i);
}
static mil_value port_value(const ml_model *m, int side, const char *name) {
    mil_block entry = ml_entry(m);
    size_t n = side == 1 ? mil_block_n_outputs(m->program, entry) : mil_block_n_inputs(m->program, entry);
    for (size_t i = 0; i < n; i++) {
        mil_value v = side == 1 ? mil_block_output(m->program, entry, i) : mil_block_input(m->program, entry, i);
        if (!strcmp(mil_value_name(m->program, v), name)) return v;
    }
    return 0;
}

static object *features_by_name(const ml_model *m, int side) {
    object *keys[MAX_PORTS], *values[MAX_PORTS];
    size_t n = side_count(m, side);
    for (size_t i = 0; i < n; i++) {
        const mil_port *port = side_port(m, side, i);
        keys[i] = string_new(port->name), values[i] = feature_new(m->program, port_value(m, side, port->name), port);
    }
    object *out = dictionary_new(keys, values, n);
    for (size_t i = 0; i < n; i++) released(keys[i]), released(values[i]);
    return out;
}
static object *model_description(ME) { UNUSED; return autoreleased(object_new("MLModelDescription", retained(self), 0)); }
static void free_held(object *o) { released(o->data), o->data = NULL; }
static object *described_inputs(ME) { UNUSED; return autoreleased(features_by_name(model_of(self->data), 0)); }
static object *described_outputs(ME) { UNUSED; return autoreleased(features_by_name(model_of(self->data), 1)); }
static object *described_states(ME) { UNUSED; return autoreleased(features_by_name(model_of(self->data), 2)); }

static feature_data *feature_of(const object *o) { return o->data; }
static object *feature_name(ME) { UNUSED; return autoreleased(string_new(feature_of(self)->name)); }
static long feature_kind(ME) { UNUSED; return feature_of(self)->type; }
static bool feature_optional(ME) { UNUSED; return feature_of(self)->is_optional; }
static object *feature_array(ME) { UNUSED; return feature_of(self)->type == ML_MULTI_ARRAY ? self : NULL; }
static object *feature_image(ME) { UNUSED; return feature_of(self)->type == ML_IMAGE ? self : NULL; }
static object *feature_shape(ME) { UNUSED; return autoreleased(ml_numbers(feature_of(self)->rank, feature_of(self)->shape)); }
static long feature_dtype(ME) { UNUSED; return feature_of(self)->dtype; }
static long feature_wide(ME) { UNUSED; return (long)feature_of(self)->width; }
static long feature_high(ME) { UNUSED; return (long)feature_of(self)->height; }
static void free_plain(object *o) { free(o->data), o->data = NULL; }

/* ---- states ---- */

static object *state_new(ME) {
    UNUSED;
    mil_state *made = NULL;
    mil_error err = { 0 };
    if (mil_state_new(model_of(self)->model, &made, &err)) return violation("newState: %s", err.message), NULL;
    object *o = ml_new("MLState", sizeof(state));
    *state_of(o) = (state){ retained(self), made, 0 };
    return o;
}
static void free_state(object *o) {
    mil_state_free(state_of(o)->state);
    released(state_of(o)->model);
    free(o->data);
    o->data = NULL;
}

/* The array is the state's own memory, for as long as the handler runs. */
static void state_array(ME, object *name, block *handler) {
    UNUSED;
    kept_block k;
    block *b = block_keep(handler, "getMultiArrayForStateNamed", &k) ? k.b : NULL;
    const mil_model *m = model_of(state_of(self)->model)->model;
    if (state_of(self)->users) violation("getMultiArrayForStateNamed: a prediction is using the state");
    size_t i = 0;
    while (i < mil_model_n_states(m) && strcmp(mil_model_state(m, i)->name, string_text(name))) i++;
    if (i == mil_model_n_states(m)) violation("getMultiArrayForStateNamed: no state %s: the process dies", string_text(name));
    else if (b) {
        object *array = ml_array_over(mil_state_tensor(state_of(self)->state, i));
        ((void (*)(block *, object *))b->invoke)(b, array);
        if (array->refs > 1) violation("getMultiArrayForStateNamed: the array is kept beyond the handler");
        released(array);
    }
    block_drop(&k);
}

/* ---- prediction ---- */

static void set_backings(ME, object *backings) {
    UNUSED;
    options *o = self->data;
    object *old = o->backings;
    o->backings = retained(backings);
    released(old);
}
static object *get_backings(ME) { UNUSED; return ((options *)self->data)->backings; }
static void free_options(object *o) {
    released(((options *)o->data)->backings);
    free(o->data);
    o->data = NULL;
}

static bool same_shape(const mil_tensor *a, int rank, const int64_t *shape) {
    static const int64_t one[] = { 1 };
    if (!rank) rank = 1, shape = one;
    if (mil_tensor_rank(a) != rank) return false;
    for (int k = 0; k < rank; k++)
        if (mil_tensor_shape(a)[k] != shape[k]) return false;
    return true;
}

/* The tensor that a feature is for a port, to be freed; an array of another dtype is converted. NULL and *why: none. */
static mil_tensor *input_for(const ml_model *m, const mil_port *port, const object *value, char *why, size_t n) {
    mil_feature said = { .kind = "" };
    mil_value_feature(m->program, port_value(m, 0, port->name), &said, NULL);
    mil_free(said.description);
    object *held = ml_value_held(value);
    bool is_image = !strcmp(said.kind, "image"), is_pixels = is_a(held, "CVPixelBuffer");
    if (is_image != is_pixels || (!is_pixels && !is_a(held, "MLMultiArray"))) {
        snprintf(why, n, "feature %s is a %s, which the model does not take", port->name, held->isa->name);
        return NULL;
    }
    saw("images", is_image);
    if (is_image) return ml_planes_of(held, said.color, port->dtype);
    mil_tensor *given = ml_array_tensor(held), *out = NULL, *scalar = NULL;
    mil_tensor_convert(given, port->dtype, &out, NULL);
    if (port->rank || !out) return out;
    mil_tensor_reshape(out, 0, NULL, &scalar, NULL);
    mil_tensor_free(out);
    return scalar;
}

/* A classifier's label, and its dictionary of probabilities. +1 */
static object *label_at(const mil_tensor *labels, int64_t i) {
    size_t n;
    if (mil_tensor_dtype(labels) == MIL_STRING) return string_new(mil_tensor_string(labels, i, &n));
    return number_new(((const int64_t *)mil_tensor_data(labels))[i]);
}
static object *labelled(const mil_tensor *labels, const mil_tensor *parts) {
    size_t n = (size_t)mil_tensor_numel(parts);
    object **keys = calloc(n + 1, sizeof *keys), **values = calloc(n + 1, sizeof *values);
    mil_tensor *all = NULL;
    mil_tensor_convert(parts, MIL_FP64, &all, NULL);
    for (size_t i = 0; i < n; i++) keys[i] = label_at(labels, (int64_t)i), values[i] = number_real(((double *)mil_tensor_data(all))[i]);
    object *out = dictionary_new(keys, values, n);
    for (size_t i = 0; i < n; i++) released(keys[i]), released(values[i]);
    mil_tensor_free(all);
    free(keys), free(values);
    return out;
}

/* What an output is given as: its backing, where that fits, or a value of its own. +1; NULL: a backing is wrong. */
static object *value_for(const ml_model *m, const object *backings, const mil_port *port, mil_tensor *result, char *why, size_t n) {
    mil_feature said = { .kind = "" };
    mil_value_feature(m->program, port_value(m, 1, port->name), &said, NULL);
    mil_free(said.description);
    object *backing = backings ? dictionary_get(backings, port->name) : NULL, *held = NULL;
    if (port->is_label) held = label_at(result, 0);
    else if (port->keys) held = labelled(port->keys, result);
    else if (!strcmp(said.kind, "image")) held = ml_pixels_of(result, said.color);
    else if (backing) {
        if (!ml_is(backing, "MLMultiArray", "outputBackings")) return NULL;
        mil_tensor *t = ml_array_tensor(backing);
        if (!same_shape(t, mil_tensor_rank(result), mil_tensor_shape(result)) || mil_tensor_dtype(t) != mil_tensor_dtype(result)) {
            violation("outputBackings: the array for %s is of another shape or type", port->name);
            snprintf(why, n, "the output backing of %s does not fit", port->name);
            return NULL;
        }
        bool is_used = standin.ml_backings && mil_tensor_is_contiguous(t);
        if (is_used) {
            mil_tensor *as = NULL;
            if (!mil_tensor_rank(result)) mil_tensor_reshape(result, 1, mil_tensor_shape(t), &as, NULL);
            mil_tensor_copy(t, as ? as : result, NULL);
            mil_tensor_free(as);
            held = retained(backing);
        }
        saw("backings", is_used);
    }
    if (!held) held = ml_array_of(result);
    object *value = ml_value_new(held);
    released(held);
    return value;
}

/* +1 */
static object *results_of(const ml_model *m, const object *backings, mil_tensor **results, char *why, size_t size) {
    object *keys[MAX_PORTS] = { 0 }, *values[MAX_PORTS] = { 0 };
    size_t n = mil_model_n_outputs(m->model);
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const mil_port *port = mil_model_output(m->model, i);
        keys[i] = string_new(port->name), values[i] = value_for(m, backings, port, results[i], why, size);
        ok &= values[i] != NULL;
    }
    object *features = ok ? dictionary_new(keys, values, n) : NULL, *out = ok ? ml_provider_new(features) : NULL;
    for (size_t i = 0; i < n; i++) released(keys[i]), released(values[i]);
    released(features);
    return out;
}

static void check_backings(const ml_model *m, const object *backings) {
    if (!backings) return;
    object **items = backings->data;
    for (size_t i = 0; i < backings->n; i++)
        if (!port_value(m, 1, string_text(items[backings->n + i]))) violation("outputBackings: the model has no output %s", string_text(items[backings->n + i]));
}

/* With computing switched off: outputs of zeros, where they are tensors of known sizes. */
static bool blank_results(const ml_model *m, mil_tensor **result) {
    bool ok = !standin.compute;
    for (size_t i = 0; ok && i < mil_model_n_outputs(m->model); i++) {
        const mil_port *port = mil_model_output(m->model, i);
        ok = !port->is_label && !port->keys && mil_tensor_new(port->dtype, port->rank, port->shape, &result[i], NULL) == MIL_OK;
    }
    for (size_t i = 0; !ok && i < MAX_PORTS; i++) mil_tensor_free(result[i]), result[i] = NULL;
    return ok;
}

/* One prediction: +1; NULL and *why: it failed. */
static object *predicted(object *model, object *features, object *of, object *given, char *why, size_t size) {
    const ml_model *m = model_of(model);
    const object *backings = given ? ((options *)given->data)->backings : NULL;
    mil_tensor *in[MAX_PORTS] = { 0 }, *result[MAX_PORTS] = { 0 };
    mil_error err = { 0 };
    bool ok = true;
    check_backings(m, backings);
    if (!of != !mil_model_n_states(m->model)) violation("prediction: %s", of ? "a state for a model that has none" : "a model with states, and none is given");
    if (of && __atomic_add_fetch(&state_of(of)->users, 1, __ATOMIC_ACQ_REL) > 1) violation("prediction: another is using the state");
    for (size_t i = 0; ok && i < mil_model_n_inputs(m->model); i++) {
        const mil_port *port = mil_model_input(m->model, i);
        object *value = ml_provider_get(features, port->name);
        if (!value && port->is_optional) continue;
        if (!value) snprintf(why, size, "Feature %s is required but not specified.", port->name);
        ok = value && (in[i] = input_for(m, port, value, why, size)) != NULL;
    }
    if (ok && !blank_results(m, result)) ok = !mil_model_run_state(m->model, in, result, of ? state_of(of)->state : NULL, &err);
    if (of) __atomic_sub_fetch(&state_of(of)->users, 1, __ATOMIC_ACQ_REL);
    if (err.message[0]) snprintf(why, size, "%s", err.message);
    object *out = ok ? results_of(m, backings, result, why, size) : NULL;
    for (size_t i = 0; i < MAX_PORTS; i++) mil_tensor_free(in[i]), mil_tensor_free(result[i]);
    return out;
}

static bool arguments_hold(object *features, object *of, object *given, const char *by) {
    bool ok = ml_is(features, "MLDictionaryFeatureProvider", by);
    if (of) ok &= ml_is(of, "MLState", by);
    if (given) ok &= ml_is(given, "MLPredictionOptions", by);
    return ok;
}

/* A model is one thread's at a time; only asynchronous predictions of it may be under way together. */
static void used_by_one(ml_model *m, int step) {
    int now = __atomic_add_fetch(&m->at_once, step, __ATOMIC_ACQ_REL);
    if (step > 0 && (now > 1 || __atomic_load_n(&m->asked, __ATOMIC_ACQUIRE))) violation("prediction: another thread is using the model");
}

static object *predict_whole(ME, object *features, object *of, object *given, object **error) {
    UNUSED;
    char why[1024] = "";
    if (!arguments_hold(features, of, given, "predictionFromFeatures")) return NULL;
    used_by_one(self->data, 1);
    object *out = predicted(self, features, of, given, why, sizeof why);
    used_by_one(self->data, -1);
    return out ? autoreleased(out) : ml_fails(error, ML_FEATURE_TYPE, why);
}
static object *predict(ME, object *features, object **error) { return predict_whole(self, _cmd, features, NULL, NULL, error); }
static object *predict_options(ME, object *features, object *given, object **error) { return predict_whole(self, _cmd, features, NULL, given, error); }
static object *predict_state(ME, object *features, object *of, object **error) { return predict_whole(self, _cmd, features, of, NULL, error); }

static object *predict_batch(ME, object *batch, object *given, object **error) {
    UNUSED;
    if (!ml_is(batch, "MLArrayBatchProvider", "predictionsFromBatch")) return NULL;
    object *rows = *(object **)batch->data;
    size_t n = array_count(rows);
    object **all = calloc(n + 1, sizeof *all), *out = NULL;
    char why[1024] = "";
    bool ok = true;
    used_by_one(self->data, 1);
    for (size_t i = 0; ok && i < n; i++) ok = (all[i] = predicted(self, array_at(rows, i), NULL, given, why, sizeof why)) != NULL;
    used_by_one(self->data, -1);
    if (ok) {
        out = ml_new("MLArrayBatchProvider", sizeof(object *));
        *(object **)out->data = array_new(all, n);
    }
    for (size_t i = 0; i < n; i++) released(all[i]);
    free(all);
    return out ? autoreleased(out) : ml_fails(error, ML_FEATURE_TYPE, why);
}
static object *predict_batch_plain(ME, object *batch, object **error) { return predict_batch(self, _cmd, batch, NULL, error); }

/* ---- asynchronous ---- */

typedef struct flight { object *model, *features, *state, *options; kept_block done; } flight;

static void predict_now(void *ctx) {
    flight *f = ctx;
    char why[1024] = "";
    object *out = predicted(f->model, f->features, f->state, f->options, why, sizeof why);
    __atomic_sub_fetch(&model_of(f->model)->asked, 1, __ATOMIC_ACQ_REL);
    object *error = out ? NULL : error_new("com.apple.CoreML", ML_FEATURE_TYPE, why, NULL);
    block_complete(f->done.b, out, error);
    released(out), released(error);
    released(f->model), released(f->features), released(f->state), released(f->options);
    block_drop(&f->done);
    free(f);
}
static void predict_later(ME, object *features, object *of, object *given, block *done) {
    UNUSED;
    kept_block kept;
    if (!block_keep(done, "predictionFromFeatures:completionHandler", &kept) || !arguments_hold(features, of, given, "predictionFromFeatures:completionHandler")) return;
    flight *f = malloc(sizeof *f);
    *f = (flight){ retained(self), retained(features), retained(of), retained(given), kept };
    __atomic_add_fetch(&model_of(self)->asked, 1, __ATOMIC_ACQ_REL);
    if (__atomic_load_n(&model_of(self)->at_once, __ATOMIC_ACQUIRE)) violation("prediction: another thread is using the model");
    if (!thread_start(predict_now, f)) predict_now(f);
}
static void predict_later_options(ME, object *features, object *given, block *done) { predict_later(self, _cmd, features, NULL, given, done); }
static void predict_later_plain(ME, object *features, block *done) { predict_later(self, _cmd, features, NULL, NULL, done); }

#define M(class, selector, signature, function) { class, selector, signature, (void *)function }
static const method rows[] = {
    M("MLModelConfiguration", "alloc", "=", configuration_new), M("MLModelConfiguration", "new", "=", configuration_new),
    M("MLModelConfiguration", "init", "", ml_init), M("MLModelConfiguration", "copy", "", configuration_copy),
    M("MLModelConfiguration", "setComputeUnits:", "i", set_units), M("MLModelConfiguration", "computeUnits", "", get_units),
    M("MLModelConfiguration", "setFunctionName:", "S?", set_function), M("MLModelConfiguration", "functionName", "", get_function),
    M("MLModel", "compileModelAtURL:error:", "=Ue", compile), M("MLModel", "modelWithContentsOfURL:error:", "=Ue", load_plain),
    M("MLModel", "modelWithContentsOfURL:configuration:error:", "=Uoe", load),
    M("MLModel", "loadContentsOfURL:configuration:completionHandler:", "=Uoh", load_later),
    M("MLModel", "configuration", "", model_configuration), M("MLModel", "modelDescription", "", model_description),
    M("MLModel", "newState", "", state_new), M("MLModel", "predictionFromFeatures:error:", "oe", predict),
    M("MLModel", "predictionFromFeatures:options:error:", "ooe", predict_options),
    M("MLModel", "predictionFromFeatures:usingState:error:", "ooe", predict_state),
    M("MLModel", "predictionFromFeatures:usingState:options:error:", "oooe", predict_whole),
    M("MLModel", "predictionsFromBatch:error:", "oe", predict_batch_plain),
    M("MLModel", "predictionsFromBatch:options:error:", "ooe", predict_batch),
    M("MLModel", "predictionFromFeatures:completionHandler:", "oh", predict_later_plain),
    M("MLModel", "predictionFromFeatures:options:completionHandler:", "ooh", predict_later_options),
    M("MLModel", "predictionFromFeatures:usingState:options:completionHandler:", "oooh", predict_later),
    M("MLModelDescription", "inputDescriptionsByName", "", described_inputs),
    M("MLModelDescription", "outputDescriptionsByName", "", described_outputs),
    M("MLModelDescription", "stateDescriptionsByName", "", described_states),
    M("MLFeatureDescription", "name", "", feature_name), M("MLFeatureDescription", "type", "", feature_kind),
    M("MLFeatureDescription", "isOptional", "", feature_optional), M("MLFeatureDescription", "multiArrayConstraint", "", feature_array),
    M("MLFeatureDescription", "imageConstraint", "", feature_image), M("MLFeatureDescription", "shape", "", feature_shape),
    M("MLFeatureDescription", "dataType", "", feature_dtype), M("MLFeatureDescription", "pixelsWide", "", feature_wide),
    M("MLFeatureDescription", "pixelsHigh", "", feature_high),
    M("MLState", "getMultiArrayForStateNamed:handler:", "Sp", state_array),
    M("MLPredictionOptions", "alloc", "=", ml_alloc), M("MLPredictionOptions", "new", "=", ml_create),
    M("MLPredictionOptions", "init", "", ml_init), M("MLPredictionOptions", "setOutputBackings:", "D", set_backings),
    M("MLPredictionOptions", "outputBackings", "", get_backings),
};

__attribute__((constructor(111))) static void begin(void) {
    class_make("MLModelConfiguration", free_configuration), class_make("MLModel", free_model);
    class_make("MLModelDescription", free_held), class_make("MLFeatureDescription", free_plain);
    class_make("MLState", free_state), class_make("MLPredictionOptions", free_options);
    methods_add(rows, sizeof rows / sizeof *rows);
}
