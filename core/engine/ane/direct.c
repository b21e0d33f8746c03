/* SPDX-License-Identifier: MIT */
/* The direct route: a MIL text and its weights, in memory, to _ANEInMemoryModel.
 *
 *     text, weights -> _ANEInMemoryModelDescriptor -> _ANEInMemoryModel -> its name (a hash)
 *       -> the same files in a folder of that name -> compile, unless the system has a compiled copy -> load -> layout
 *
 * One lock is held over all of that and over unloading: what the system does there is not made for several threads. Compiles
 * are counted, since a process that makes more than about 119 is said to fail in ways that give no reason: then another process
 * compiles (child.c), and this one loads the copy that the system keeps. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "engine/ane/ane.h"

enum { MAX_COMPILES = 115, RETRY_MS = 100 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_compiles, n_loaded;                 /* by this process; under the lock, like the two below */
static enum { UNKNOWN, BY_TEXT, BY_WEIGHTS } naming;  /* do programs that differ in weights alone have different names? */
static int preferred;                                 /* the spelling that was taken last */

/* ---- the process ---- */

/* When a run fails, the framework may ask the model for its UUID, which in-memory models don't have: the process would end.
 * This function of the runtime gives nil for whatever object, and stays when this library is unloaded. */
static void answer_uuid(void) {
    if (!mil__apple.class_addMethod || !mil__apple.objc_getAssociatedObject) return;
    mil__sel selector = mil__apple.sel_registerName("getUUID");
    if (mil__apple.class_getInstanceMethod(mil__apple.ANEInMemoryModel, selector)) return;
    mil__apple.class_addMethod(mil__apple.ANEInMemoryModel, selector, (void (*)(void))mil__apple.objc_getAssociatedObject, "@@:");
}

static mil_status open_route(mil_error *err) {
    return mil__apple_open(MIL__APPLE_FOUNDATION | MIL__APPLE_SURFACES | MIL__LIBRARY(ane), err);
}

/* ---- names ---- */

/* "@model_path/weights/w.bin" = { offset = 0, data = .. }; other: of other data. */
static mil_status make_weights(const mil_text_file *files, size_t n, bool other, mil__id *out, mil_error *err) {
    mil__id *keys = mil__alloc((2 * n + 1) * sizeof *keys), *values;
    if (!keys) return mil__nomem(err);
    values = keys + n;
    for (size_t i = 0; i < n; i++) {
        mil__id names[] = {mil__ns_string("offset"), mil__ns_string("data")};
        mil__id data = other ? mil__ns_data("other", 5) : mil__ns_data(files[i].data, files[i].n);
        keys[i] = mil__ns_string(files[i].name);
        values[i] = mil__ns_dictionary(names, (mil__id[]){mil__ns_number(0), data}, 2);
    }
    *out = mil__ns_dictionary(keys, values, n);
    mil__free(keys);
    return *out ? MIL_OK : mil__fail_made(err, "compile");
}

/* Autoreleased. */
static mil_status make_model(const mil__ane_source *source, const mil__ane_text *text, bool other, mil__id *out, mil_error *err) {
    mil__id weights, data = mil__ns_data(text->text, text->n);
    if (!data) return mil__fail_made(err, "compile");
    MIL__TRY(make_weights(source->files, source->n_files, other, &weights, err));
    mil__id descriptor = mil__send_class(ANEInMemoryModelDescriptor, fromText, data, weights, NULL);
    if (!descriptor) return mil__fail_nothing(err, "compile", MIL__METHOD(ANEInMemoryModelDescriptor, fromText));
    *out = mil__send_class(ANEInMemoryModel, fromDescriptor, descriptor);
    return *out ? MIL_OK : mil__fail_nothing(err, "compile", MIL__METHOD(ANEInMemoryModel, fromDescriptor));
}

/* Lives as long as the model does. */
static mil_status name_of(mil__id model, const char **out, mil_error *err) {
    *out = mil__read_text(mil__send(model, ANEInMemoryModel, identifier));
    return *out ? MIL_OK : mil__fail_nothing(err, "compile", MIL__METHOD(ANEInMemoryModel, identifier));
}

/* Asked once, of a program with other weights: nothing is compiled for it. A text of our own making holds their hash. */
static mil_status find_naming(const mil__ane_source *source, const mil__ane_text *text, const char *name, mil_error *err) {
    mil__id other;
    const char *other_name;
    if (naming != UNKNOWN || source->n_files == 0 || !source->is_given) return MIL_OK;
    MIL__TRY(make_model(source, text, true, &other, err));
    MIL__TRY(name_of(other, &other_name, err));
    naming = strcmp(name, other_name) == 0 ? BY_TEXT : BY_WEIGHTS;
    return MIL_OK;
}

/* ---- compiling and loading ---- */

static mil_status compile_program(const mil__ane_loaded *loaded, mil_error *err) {
    mil__id error = NULL;
    n_compiles++;
    if (mil__send(loaded->model, ANEInMemoryModel, compile, loaded->qos, loaded->options, &error)) return MIL_OK;
    return mil__fail_nserror(err, MIL_EUNSUPPORTED, error, "compile: the Neural Engine's compiler refused the program");
}

/* Loading forgets it, and some have it set on the model alone, some on the one in it: so it is set on both, before and after. */
static void ask_for_counters(const mil__ane_loaded *loaded) {
    enum { HARDWARE_TIME = 1 };
    if (!loaded->counts) return;
    if (mil__responds(ANEInMemoryModel, setPerfStatsMask)) mil__send(loaded->model, ANEInMemoryModel, setPerfStatsMask, HARDWARE_TIME);
    if (!mil__responds(ANEInMemoryModel, model) || !mil__responds(ANEModel, setPerfStatsMask)) return;
    mil__id inner = mil__send(loaded->model, ANEInMemoryModel, model);
    if (inner) mil__send(inner, ANEModel, setPerfStatsMask, HARDWARE_TIME);
}

static bool load_once(const mil__ane_loaded *loaded, mil__id *error) {
    *error = NULL;
    return mil__send(loaded->model, ANEInMemoryModel, load, loaded->qos, loaded->options, error);
}

/* Is it the program that is at fault? */
static bool is_refusal(const mil_error *why) { return strstr(why->message, "InvalidMILProgram") || strstr(why->message, "CompilationFailure"); }

/* The daemon may be busy: tried twice. */
static mil_status load_program(const mil__ane_loaded *loaded, mil_error *err) {
    mil__id error;
    mil_error why;
    char what[120];
    if (load_once(loaded, &error)) return MIL_OK;
    nanosleep(&(struct timespec){0, RETRY_MS * 1000000L}, NULL);
    if (load_once(loaded, &error)) return MIL_OK;
    snprintf(what, sizeof what, "compile: the Neural Engine can't load the program (%u are loaded by this process)", n_loaded);
    mil__fail_nserror(&why, MIL_EIO, error, what);
    if (is_refusal(&why)) why.code = MIL_EUNSUPPORTED;
    if (err) *err = why;
    return why.code;
}

/* A copy that the system compiled before, in this process or another. False: there is none, or it can't be loaded. */
static bool load_copy(const mil__ane_loaded *loaded) {
    mil__id error;
    if (!mil__responds(ANEInMemoryModel, compiledModelExists)) return false;
    if (!mil__send(loaded->model, ANEInMemoryModel, compiledModelExists)) return false;
    if (mil__responds(ANEInMemoryModel, setModelURL)) {
        mil__id path = mil__ns_string(mil__ane_folder_path(loaded->folder));
        mil__id url = path ? mil__send_class(NSURL, fileURL, path) : NULL;
        if (url) mil__send(loaded->model, ANEInMemoryModel, setModelURL, url);
    }
    return load_once(loaded, &error);
}

/* Nothing can be done where it fails. */
static bool unload_model(mil__ane_loaded *loaded, mil__id *error) {
    *error = NULL;
    n_loaded--;
    loaded->is_loaded = false;
    return mil__send(loaded->model, ANEInMemoryModel, unload, loaded->qos, error);
}

static void drop(mil__ane_loaded *loaded) {
    mil__id error;
    if (loaded->is_loaded) unload_model(loaded, &error);
    if (loaded->model) mil__apple.objc_release(loaded->model);
    loaded->model = NULL;
    mil__ane_folder_close(loaded->folder);
    loaded->folder = NULL;
}

/* May a copy be one of other weights? Then it is not used. */
static bool may_use_copy(const mil__ane_source *source) {
    return source->n_files == 0 || naming == BY_WEIGHTS || !source->is_given;
}

/* When this process has compiled as much as it may. */
static mil_status load_from_elsewhere(mil__ane_loaded *loaded, const mil__ane_source *source, mil_error *err) {
    bool may = may_use_copy(source) && mil__responds(ANEInMemoryModel, compiledModelExists);
    if (may) MIL__TRY(mil__ane_compile_in_child(mil__ane_folder_path(loaded->folder), loaded->qos, err));
    loaded->was_elsewhere = may && load_copy(loaded);
    if (loaded->was_elsewhere) return MIL_OK;
    return mil__fail(err, MIL_ELIMIT, "compile: this process has compiled %u programs for the Neural Engine, and the system is known to fail after about 119; %s", n_compiles,
                     may ? "another has compiled this one, but the system has no copy of it that this one could load"
                         : "those that the system can tell from others by name alone load without, the others need another process");
}

static mil_status compile_and_load(mil__ane_loaded *loaded, const mil__ane_source *source, mil_error *err) {
    if (n_compiles >= MAX_COMPILES) return load_from_elsewhere(loaded, source, err);
    MIL__TRY(compile_program(loaded, err));
    return load_program(loaded, err);
}

static mil_status load_text(mil__ane_loaded *loaded, mil__ane_source *source, const mil__ane_text *text, mil_error *err) {
    mil__id model;
    const char *name;
    MIL__TRY(make_model(source, text, false, &model, err));
    loaded->model = mil__apple.objc_retain(model);
    MIL__TRY(name_of(model, &name, err));
    MIL__TRY(find_naming(source, text, name, err));
    if (source->is_given && source->n_files) loaded->naming = naming == BY_WEIGHTS ? "text and weights" : "text alone, so the system's copies are not used";
    MIL__TRY(mil__ane_folder_open(name, text, source->files, source->n_files, &loaded->folder, err));
    ask_for_counters(loaded);
    loaded->was_compiled = !(may_use_copy(source) && load_copy(loaded));
    if (loaded->was_compiled) MIL__TRY(compile_and_load(loaded, source, err));
    loaded->is_loaded = true;
    n_loaded++;
    ask_for_counters(loaded);
    mil__id attributes = mil__responds(ANEInMemoryModel, modelAttributes) ? mil__send(loaded->model, ANEInMemoryModel, modelAttributes) : NULL;
    return mil__ane_layout(attributes, source, &loaded->report, err);
}

/* What was parsed but can't be placed on the engine is not a matter of spelling. */
static bool may_be_spelling(const mil_error *why) {
    return why->code == MIL_EUNSUPPORTED && strstr(why->message, "refused") && !strstr(why->message, "CompilationFailure");
}

static mil_status load_either(mil__ane_loaded *loaded, mil__ane_source *source, mil_error *err) {
    mil_error why, second;
    loaded->spelling = source->n_texts > 1 ? preferred : 0;
    mil_status status = load_text(loaded, source, &source->texts[loaded->spelling], &why);
    if (status != MIL_OK) drop(loaded);
    if (status != MIL_OK && source->n_texts > 1 && may_be_spelling(&why)) {
        loaded->spelling = !loaded->spelling;
        status = load_text(loaded, source, &source->texts[loaded->spelling], &second);
        if (status != MIL_OK) drop(loaded);
    }
    if (status == MIL_OK && source->n_texts > 1) preferred = loaded->spelling;
    if (status != MIL_OK && err) *err = why;
    return status;
}

static mil_status new_loaded(const mil__ane_source *source, mil__ane_loaded **out, mil_error *err) {
    mil__id options = mil__ns_dictionary(NULL, NULL, 0);
    if (!options) return mil__fail_made(err, "compile");
    mil__ane_loaded *loaded = mil__calloc(1, sizeof *loaded);
    if (!loaded) return mil__nomem(err);
    loaded->options = mil__apple.objc_retain(options);
    loaded->qos = source->qos;
    loaded->counts = source->counts;
    loaded->keeps_states = source->keeps_states;
    loaded->ports = source->ports;
    loaded->n_inputs = source->n_inputs;
    loaded->n_outputs = source->n_outputs;
    atomic_init(&loaded->least_bytes, 0);
    atomic_init(&loaded->hardware_ns, 0);
    *out = loaded;
    return MIL_OK;
}

static void free_loaded(void *loaded) {
    mil__ane_loaded *l = loaded;
    if (!l) return;
    if (!mil__apple_is_forked()) mil__apple.objc_release(l->options);
    mil__free(l);
}

static mil_status load(mil__ane_source *source, void **out, mil_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    mil__ane_loaded *loaded = NULL;
    pthread_once(&once, answer_uuid);
    pthread_mutex_lock(&lock);
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = new_loaded(source, &loaded, err);
    if (status == MIL_OK) status = load_either(loaded, source, err);
    if (status == MIL_OK) *out = loaded;
    else free_loaded(loaded);
    mil__apple.objc_autoreleasePoolPop(pool);
    pthread_mutex_unlock(&lock);
    return status;
}

/* The folder is the program's alone: only the self-test does this, with programs of its own. */
static mil_status load_other(mil__ane_loaded *loaded, const mil_text_file *files, size_t n, mil_error *err) {
    mil__id error;
    if (!unload_model(loaded, &error)) return mil__fail_nserror(err, MIL_EIO, error, "reload: the Neural Engine can't unload the program");
    MIL__TRY(mil__ane_folder_fill(mil__ane_folder_path(loaded->folder), NULL, files, n, err));
    if (!load_once(loaded, &error)) return mil__fail_nserror(err, MIL_EUNSUPPORTED, error, "reload: the Neural Engine can't load the program");
    loaded->is_loaded = true;
    n_loaded++;
    return MIL_OK;
}

static mil_status reload(void *loaded, const mil_text_file *files, size_t n, mil_error *err) {
    pthread_mutex_lock(&lock);
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = load_other(loaded, files, n, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    pthread_mutex_unlock(&lock);
    return status;
}

static void unload(void *loaded) {
    if (mil__apple_is_forked()) return; /* what it talked to stayed with the parent */
    pthread_mutex_lock(&lock);
    void *pool = mil__apple.objc_autoreleasePoolPush();
    drop(loaded);
    mil__apple.objc_autoreleasePoolPop(pool);
    pthread_mutex_unlock(&lock);
}

/* ---- telling ---- */

static const char *order_text(const mil__ane_report *report) {
    if (report->order == MIL__ANE_BY_NAME) return "by name, as the self-test found";
    if (report->order == MIL__ANE_AS_WRITTEN) return "as the text has them, as the self-test found";
    return report->has_order ? "as the loaded model reports it" : "by name, since none is reported";
}

static const char *layout_text(const mil__ane_report *report) {
    if (report->rows == MIL__ANE_PACKED) return "packed, as the self-test found";
    return report->has_layout ? "as the loaded model reports it" : "computed, since none is reported";
}

static void print_counters(const mil__ane_loaded *l, mil__str *out) {
    unsigned long long ns = atomic_load(&l->hardware_ns);
    if (ns) mil__str_printf(out, "counters: the last run took the engine %llu ns\n", ns);
    else mil__str_printf(out, "counters: %s\n", mil__ane_can_count() ? "the engine has given no time" : "the classes that give them are not here");
}

/* What the sources disagree about and nothing here relies on, so that it need not be found out. */
static const char avoided[] =
    "avoided, since the sources disagree: a conv's bias, tile, reduce_mean; surfaces that are mapped before, parts of surfaces; other ways to "
    "evaluate, completion handlers, chained requests; weights that are nil, weights that are reloaded, models in files\n";

static void print_process(mil__str *out) {
    if (mil__apple_is_forked()) return; /* who held the lock stayed with the parent */
    pthread_mutex_lock(&lock);
    mil__str_printf(out, "this process: %u of %d compiles, %u programs loaded\n", n_compiles, (int)MAX_COMPILES, n_loaded);
    pthread_mutex_unlock(&lock);
}

static void print(const void *loaded, mil__str *out) {
    const mil__ane_loaded *l = loaded;
    mil__str_printf(out, "route: direct, in the %s spelling, %s; procedure %u\n", l->spelling ? "long" : "short",
                    l->was_elsewhere ? "compiled by another process" : l->was_compiled ? "compiled" : "from the system's compiled copy",
                    (unsigned)l->report.procedure);
    mil__str_printf(out, "layout: %s; order of the ports: %s\n", layout_text(&l->report), order_text(&l->report));
    for (size_t i = 0; i < l->n_inputs + l->n_outputs; i++) {
        mil__ane_print_port(&l->ports[i], i < l->n_inputs, out);
        mil__str_printf(out, ", surface of %zu bytes\n", mil__ane_surface_bytes(l, i));
    }
    if (atomic_load(&l->least_bytes)) mil__str_printf(out, "surfaces have %zu bytes at least, since smaller ones were refused\n", atomic_load(&l->least_bytes));
    mil__str_puts(out, "files, with what the compiler left: ");
    mil__ane_folder_list(l->folder, out);
    mil__str_putc(out, '\n');
    mil__str_puts(out, avoided);
    print_process(out);
    if (l->naming) mil__str_printf(out, "the system tells programs apart by %s\n", l->naming);
    if (l->counts) print_counters(l, out);
}

static size_t surface_bytes(const void *loaded, size_t port) { return mil__ane_surface_bytes(loaded, port); }

static size_t context_bytes(const void *loaded) {
    const mil__ane_loaded *l = loaded;
    size_t sum = 0;
    for (size_t i = 0; i < l->n_inputs + l->n_outputs; i++) sum += mil__ane_surface_bytes(l, i);
    return sum;
}

const mil__ane_route mil__ane_direct = {
    .name = "direct",
    .open = open_route,
    .load = load,
    .reload = reload,
    .unload = unload,
    .free = free_loaded,
    .context_new = mil__ane_request_new,
    .context_free = mil__ane_request_free,
    .begin = mil__ane_request_begin,
    .end = mil__ane_request_end,
    .bind = mil__ane_request_bind,
    .bound = mil__ane_request_bound,
    .takes = mil__ane_request_takes,
    .run = mil__ane_request_run,
    .print = print,
    .context_bytes = context_bytes,
    .surface_bytes = surface_bytes,
};
