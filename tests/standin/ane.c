/* SPDX-License-Identifier: MIT */
/* AppleNeuralEngine: _ANEInMemoryModelDescriptor, _ANEInMemoryModel, _ANEIOSurfaceObject, _ANERequest, _ANEDeviceInfo, written from
 * facts/ane.md sections 2 to 6. A text is compiled by a copy of libmil that is this library's own, and computed plainly.
 *
 * A compiled copy is kept by its identifier, as the daemon keeps it: a model of the same identifier may then be loaded uncompiled, in
 * other processes too where STANDIN_COPIES names a folder, which is the daemon's memory then. */
#include "ane.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "refusals.h"

#define DOMAIN ANE_DOMAIN

enum { MAX_PORTS = 64, MAX_COPIES = 1024, LEAST_OF_O = 49152 };

static struct { char identifier[64]; mil_model *compiled; } copies[MAX_COPIES];
static size_t n_copies;
static long n_compiles, n_loaded;   /* which of them is limited, is disputed (10, rows 15 and 16): N and F say the loaded */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool ane_fails(object **error, const char *domain, long code, const char *text, const char *under) {
    if (!error) return false;
    object *underlying = under ? error_new(domain, code, under, NULL) : NULL;
    *error = autoreleased(error_new(domain, code, text, underlying));
    released(underlying);
    return false;
}

/* ---- descriptors ---- */

static uint64_t hashed(uint64_t hash, const void *data, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

/* What an identifier depends on is disputed (10, row 17): text and weights; O: text and the weights' names; B: the text. */
static bool weights_hold(object *weights, uint64_t *hash) {
    object **items = weights->data;
    bool ok = true;
    for (size_t i = 0; i < weights->n; i++) {
        object *key = items[weights->n + i], *data = dictionary_get(items[i], "data");
        object *offset = dictionary_get(items[i], "offset");
        const char *name = string_text(key);
        if (strncmp(name, "@model_path/", 12)) ok = false, violation("weights: the key %s is no @model_path/", name);
        if (!is_a(data, "NSData")) ok = false, violation("weights: %s has no NSData \"data\"", name);
        if (!is_a(offset, "NSNumber")) ok = false, violation("weights: %s has no NSNumber \"offset\"", name);
        if (!ok) return false;
        if (!believed("B")) *hash = hashed(*hash, name, strlen(name));
        if (!believed("BO")) *hash = hashed(*hash, data->data, data->n);
    }
    return true;
}

static object *descriptor_with(ME, object *text, object *weights, object *plist) {
    UNUSED;
    uint64_t hash = 0xcbf29ce484222325u;
    if (!weights_hold(weights, &hash)) return NULL;
    if (!text->n) return NULL;
    if (((char *)text->data)[text->n - 1] == 0) return violation("modelWithMILText: the text ends in NUL"), NULL;
    descriptor *d = calloc(1, sizeof *d);
    d->text = retained(text), d->weights = retained(weights), d->plist = retained(plist);
    snprintf(d->identifier, sizeof d->identifier, "%016llX_%016llX",
             (unsigned long long)hashed(0xcbf29ce484222325u, text->data, text->n), (unsigned long long)hash);
    return autoreleased(object_new("_ANEInMemoryModelDescriptor", d, 0));
}
static void free_descriptor(object *o) {
    descriptor *d = o->data;
    released(d->text), released(d->weights), released(d->plist);
    free(d);
}
static object *descriptor_identifier(ME) { UNUSED; return autoreleased(string_new(((descriptor *)self->data)->identifier)); }

/* ---- models ---- */

static descriptor *described(object *self) { return ((model *)self->data)->descriptor->data; }

static object *model_with(ME, object *of) {
    UNUSED;
    if (!is_a(of, "_ANEInMemoryModelDescriptor")) return violation("inMemoryModelWithDescriptor: of a %s", of->isa->name), NULL;
    model *m = calloc(1, sizeof *m);
    m->descriptor = retained(of), m->depth = 127;
    return autoreleased(object_new("_ANEInMemoryModel", m, 0));
}
static void free_loaded(model *m) {
    while (m->n_procedures) mil_model_free(m->procedures[--m->n_procedures].model);
    mil_model_free(m->loaded);
    m->loaded = NULL;
}

static void free_model(object *o) {
    model *m = o->data;
    if (m->loaded) {
        if (!was_failed("_ANEInMemoryModel unloadWithQoS:error:")) violation("_ANEInMemoryModel: released while it is loaded");
        free_loaded(m);
        __atomic_sub_fetch(&n_loaded, 1, __ATOMIC_ACQ_REL);
    }
    if (m->mapped) violation("_ANEInMemoryModel: released while requests are mapped");
    if (m->inner) m->inner->data = NULL;
    released(m->descriptor), released(m->attributes), released(m->url), released(m->inner);
    if (m->program) m->program->data = NULL, released(m->program);
    free(m);
}
static object *model_identifier(ME) { UNUSED; return autoreleased(string_new(described(self)->identifier)); }

static void folder_of(object *self, char *out, size_t n) {
    const char *folder = getenv("TMPDIR");
    snprintf(out, n, "%s/%s", folder && *folder ? folder : "/tmp", described(self)->identifier);
}
static object *model_path(ME) {
    UNUSED;
    char path[1024];
    folder_of(self, path, sizeof path);
    return autoreleased(string_new(path));
}

static bool same_file(const char *path, const object *data) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    bool same = true;
    size_t i = 0;
    for (int c; same && (c = getc(file)) != EOF; i++) same = i < data->n && ((unsigned char *)data->data)[i] == c;
    fclose(file);
    return same && i == data->n;
}

/* The text and every blob lie in the model's folder, byte for byte. */
static bool files_lie(object *self) {
    descriptor *d = described(self);
    char folder[1024], path[2048];
    folder_of(self, folder, sizeof folder);
    snprintf(path, sizeof path, "%s/model.mil", folder);
    bool ok = same_file(path, d->text);
    if (!ok) violation("compile: <temporary>/<identifier>/model.mil is missing or not the text given");
    object **items = d->weights->data;
    for (size_t i = 0; i < d->weights->n; i++) {
        const char *name = string_text(items[d->weights->n + i]);
        snprintf(path, sizeof path, "%s/%s", folder, name + strlen("@model_path/"));
        if (same_file(path, dictionary_get(items[i], "data"))) continue;
        violation("compile: %s is missing in the folder or not the data given", name);
        ok = false;
    }
    return ok;
}

/* What compiling leaves in the folder (10, row 18). */
static void leave_files(const object *self) {
    descriptor *d = described((object *)self);
    char folder[1024], path[1100];
    folder_of((object *)self, folder, sizeof folder);
    for (int i = 0; i < 1 + believed("O"); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "data" : "net.plist");
        FILE *file = fopen(path, "wb");
        if (file) fwrite(d->text->data, 1, d->text->n, file), fclose(file);
    }
}

/* The procedures of the model that was just loaded (switch procedures). */
static bool build_procedures(object *self, const mil_program *program) {
    model *m = self->data;
    size_t n = mil_program_n_functions(program);
    if (!standin.procedures || n > sizeof m->procedures / sizeof *m->procedures) return true;
    for (size_t i = 0; i < n; i++) {
        const char *name = mil_function_name(program, mil_program_function_at(program, standin.procedures == 1 ? i : n - 1 - i));
        mil_compile_options plain = MIL_COMPILE_DEFAULTS;
        plain.engine = "cpu", plain.entry = name, plain.optimize = 0;
        snprintf(m->procedures[i].name, sizeof m->procedures[i].name, "%s", name);
        if (strcmp(name, "main") == 0) m->procedures[i].model = mil_model_retain(m->loaded);
        else if (mil_program_compile(program, &plain, &m->procedures[i].model, NULL) != MIL_OK) return false;
        m->n_procedures++;
    }
    return true;
}

static bool build(object *self, bool is_load, mil_model **out, char *why, size_t n) {
    descriptor *d = described(self);
    char folder[1024], *text = strndup(d->text->data, d->text->n);
    folder_of(self, folder, sizeof folder);
    mil_program *program = NULL;
    mil_error err = { 0 };
    const char *broken = refused_text(text, ROUTE_DIRECT);
    char refusal[1024] = "";
    mil_compile_options plain = MIL_COMPILE_DEFAULTS;
    plain.engine = "cpu", plain.entry = "main", plain.optimize = 0;
    mil_text_options options = { .name = "model.mil", .model_path = folder };
    bool ok = !broken && mil_text_parse(text, strlen(text), &options, &program, &err) == MIL_OK;
    mil_block function = ok ? mil_program_entry(program) : 0;
    ok = ok && !refused_ports(program, function, ROUTE_DIRECT, true, refusal, sizeof refusal) &&
         !refused_ops(program, function, ROUTE_DIRECT, refusal, sizeof refusal) &&
         mil_program_compile(program, &plain, out, &err) == MIL_OK;
    ok = ok && (!is_load || build_procedures(self, program));
    if (ok && is_load && refused_load(program, function)) {
        snprintf(refusal, sizeof refusal, "a program that only works element by element");
        mil_model_free(*out);
        *out = NULL, ok = false;
    }
    const char *kind = refusal[0] == 'e' ? "" : "err=(InvalidMILProgram) ";
    snprintf(why, n, "ANECCompile(%.500s) FAILED: %s%s", folder, kind, broken ? broken : refusal[0] ? refusal : err.message);
    mil_program_free(program);
    free(text);
    return ok;
}

static size_t copy_of(const char *identifier) {
    size_t i = 0;
    while (i < n_copies && strcmp(copies[i].identifier, identifier)) i++;
    return i;
}

/* The copy's place in the daemon's memory; false: that is this process's alone. */
static bool kept_place(const char *identifier, char *out, size_t n) {
    const char *folder = getenv("STANDIN_COPIES");
    return folder && snprintf(out, n, "%s/%s", folder, identifier) < (int)n;
}

static bool has_copy(const char *identifier) {
    char path[1100];
    pthread_mutex_lock(&lock);
    bool is_here = copy_of(identifier) < n_copies;
    pthread_mutex_unlock(&lock);
    return is_here || (kept_place(identifier, path, sizeof path) && access(path, F_OK) == 0);
}

static void keep_copy(const char *identifier, mil_model *built) {
    char path[1100];
    FILE *file = kept_place(identifier, path, sizeof path) ? fopen(path, "wb") : NULL;
    if (file) fclose(file);
    pthread_mutex_lock(&lock);
    size_t i = copy_of(identifier);
    if (i < n_copies) mil_model_free(copies[i].compiled);
    else if (n_copies < MAX_COPIES) n_copies++;
    else i = 0, mil_model_free(copies[0].compiled);
    snprintf(copies[i].identifier, sizeof copies[i].identifier, "%s", identifier);
    copies[i].compiled = built;
    pthread_mutex_unlock(&lock);
}

#define COMPILER DOMAIN ".compiler"
#define FAILED "_ANECompiler : ANECCompile() FAILED"

static bool model_compile(ME, unsigned qos, object *options, object **error) {
    UNUSED, (void)qos;
    if (standin.no_options && options->n) return ane_fails(error, COMPILER, 1, FAILED, "InvalidCompilationParam");
    if (!files_lie(self)) return ane_fails(error, COMPILER, 1, FAILED, "ANECCompile() FAILED: err=()");
    pthread_mutex_lock(&lock);
    bool within = believed("NF") ? n_loaded < standin.compile_limit : ++n_compiles <= standin.compile_limit;
    pthread_mutex_unlock(&lock);
    if (!within) {
        violation("compile: %ld compiles in one process, %ld are taken", n_compiles, standin.compile_limit);
        return ane_fails(error, COMPILER, 1, FAILED, NULL);
    }
    char why[2048];
    mil_model *built = NULL;
    if (!build(self, false, &built, why, sizeof why)) return ane_fails(error, COMPILER, 1, FAILED, why);
    keep_copy(described(self)->identifier, built);
    leave_files(self);
    return true;
}

bool ane_exists(const object *self) { return standin.copies && has_copy(described((object *)self)->identifier); }
static bool model_exists(ME) { UNUSED; return ane_exists(self); }

void ane_purge(object *self) {
    char path[1100];
    if (kept_place(described(self)->identifier, path, sizeof path)) unlink(path);
    pthread_mutex_lock(&lock);
    size_t i = copy_of(described(self)->identifier);
    if (i < n_copies) mil_model_free(copies[i].compiled), copies[i] = copies[--n_copies];
    pthread_mutex_unlock(&lock);
}

static void model_purge(ME) { UNUSED; ane_purge(self); }

/* ---- layouts: the ports in the order of their symbols, and their strides ---- */

typedef struct layout { const mil_port *port; size_t place, element, row, plane, batch, bytes; int64_t dims[4]; } layout;

static layout layout_of(const mil_port *port, size_t place) {
    layout l = { .port = port, .place = place, .element = port->dtype == MIL_FP16 ? 2 : 4, .dims = { 1, 1, 1, 1 } };
    for (int k = 0; k < port->rank; k++) l.dims[4 - port->rank + k] = port->shape[k];
    size_t unit = standin.row > 0 ? (size_t)standin.row : 1;
    l.row = ((size_t)l.dims[3] * l.element + unit - 1) / unit * unit;
    l.plane = l.row * (size_t)l.dims[2], l.batch = l.plane * (size_t)l.dims[1], l.bytes = l.batch * (size_t)l.dims[0];
    return l;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const layout *)a)->port->name, ((const layout *)b)->port->name);
}

static size_t layouts(const mil_model *m, bool outputs, layout *out) {
    size_t n = outputs ? mil_model_n_outputs(m) : mil_model_n_inputs(m);
    for (size_t i = 0; i < n; i++) out[i] = layout_of(outputs ? mil_model_output(m, i) : mil_model_input(m, i), i);
    qsort(out, n, sizeof *out, by_name);
    for (size_t i = 0; standin.order && standin.attributes && i < n / 2; i++) {
        layout t = out[i];
        out[i] = out[n - 1 - i], out[n - 1 - i] = t;
    }
    return n;
}

/* A dictionary of n pairs, whose values are taken over. */
static object *dictionary_of(size_t n, const char *const *names, object **values) {
    object *keys[16] = { 0 };
    for (size_t i = 0; i < n; i++) keys[i] = string_new(names[i]);
    object *d = dictionary_new(keys, values, n);
    for (size_t i = 0; i < n; i++) released(keys[i]), released(values[i]);
    return d;
}

static object *array_of(object **items, size_t n) {
    object *a = array_new(items, n);
    for (size_t i = 0; i < n; i++) released(items[i]);
    return a;
}

static object *port_symbol(const layout *l, bool output) {
    char name[512];
    snprintf(name, sizeof name, "%s%s", l->port->name, output ? "@output" : "");
    return string_new(name);
}

static object *port_reported(const layout *l, bool output) {
    static const char *const names[] = { "Name", "Symbol", "Type", "Batches", "Channels", "Height", "Width", "RowStride", "PlaneStride",
                                         "BatchStride", "Depth" };
    object *values[] = { port_symbol(l, output), port_symbol(l, output), string_new(l->element == 2 ? "Float16" : "Float32"),
                         number_new(l->dims[0]), number_new(l->dims[1]), number_new(l->dims[2]), number_new(l->dims[3]),
                         number_new((long long)l->row), number_new((long long)l->plane), number_new((long long)l->batch), number_new(1) };
    return dictionary_of(sizeof names / sizeof *names, names, values);
}

static object *status_of(const mil_model *m) {
    static const char *const live[] = { "LiveInputList", "LiveOutputList" };
    object *lists[2];
    for (int side = 0; side < 2; side++) {
        layout all[MAX_PORTS];
        object *ports[MAX_PORTS];
        size_t n = layouts(m, side, all);
        qsort(all, n, sizeof *all, by_name);       /* the list's own order says nothing */
        for (size_t i = 0; i < n; i++) ports[i] = port_reported(&all[i], side);
        lists[side] = array_of(ports, n);
    }
    return dictionary_of(2, live, lists);
}

/* Of main: what the arrays hold where there are several procedures, no source says. */
static object *symbols_of(const mil_model *m, bool outputs) {
    layout all[MAX_PORTS];
    object *names[MAX_PORTS];
    size_t n = layouts(m, outputs, all);
    for (size_t i = 0; i < n; i++) names[i] = port_symbol(&all[i], outputs);
    return array_of(names, n);
}

static object *attributes_of(const model *m) {
    static const char *const keys[] = { "kANEFModelInputSymbolsArrayKey", "kANEFModelOutputSymbolsArrayKey", "kANEFModelProcedureNameToIDMapKey" };
    static const char *const top[] = { "NetworkStatusList", "ANEFModelDescription" };
    const char *names[8] = { "main" };
    object *numbers[8] = { NULL }, *statuses[8];
    size_t n = m->n_procedures ? m->n_procedures : 1;
    for (size_t i = 0; i < n; i++) {
        statuses[i] = status_of(m->n_procedures ? m->procedures[i].model : m->loaded);
        if (m->n_procedures) names[i] = m->procedures[i].name, numbers[i] = number_new((long long)i);
    }
    object *described[3] = { symbols_of(m->loaded, false), symbols_of(m->loaded, true) };
    if (m->n_procedures) described[2] = dictionary_of(n, names, numbers);
    object *values[] = { array_of(statuses, n), dictionary_of(m->n_procedures ? 3 : 2, keys, described) };
    return dictionary_of(2, top, values);
}

/* What a request asks for; with one procedure every number is taken (3.11). NULL: there is none of that number. */
static mil_model *procedure_of(const model *m, const object *number) {
    size_t i = number ? (size_t)number_value(number) : 0;
    if (m->n_procedures < 2) return m->loaded;
    if (i < m->n_procedures) return m->procedures[i].model;
    return violation("evaluate: procedure %zu of %zu", i, m->n_procedures), NULL;
}

static bool model_load(ME, unsigned qos, object *options, object **error) {
    UNUSED, (void)qos;
    model *m = self->data;
    if (standin.no_options && options->n) return ane_fails(error, DOMAIN, 4, "InvalidCompilationParam", NULL);
    if (standin.busy && standin.busy--) return ane_fails(error, DOMAIN, 4, "the daemon is busy", NULL);
    if (m->loaded) violation("load: the model is loaded already");
    if (m->loaded || !has_copy(described(self)->identifier)) return ane_fails(error, DOMAIN, 4, "the model is not compiled, or loaded already", NULL);
    char why[2048];
    if (!build(self, true, &m->loaded, why, sizeof why)) return free_loaded(m), ane_fails(error, DOMAIN, 4, "the compiled model can't be read", why);
    __atomic_add_fetch(&n_loaded, 1, __ATOMIC_ACQ_REL);
    m->statistics = 0;                             /* a load clears it (2.9) */
    if (standin.attributes) m->attributes = attributes_of(m);
    return true;
}

static object *model_attributes(ME) { UNUSED; return ((model *)self->data)->attributes; }

static bool model_unload(ME, unsigned qos, object **error) {
    UNUSED, (void)qos;
    model *m = self->data;
    if (!m->loaded) {
        violation("unload: the model is not loaded");
        return ane_fails(error, DOMAIN, 5, "the model is not loaded", NULL);
    }
    free_loaded(m);
    released(m->attributes);
    __atomic_sub_fetch(&n_loaded, 1, __ATOMIC_ACQ_REL);
    if (m->mapped) violation("unload: requests are mapped");
    if (__atomic_load_n(&m->running, __ATOMIC_ACQUIRE)) violation("unload: an evaluation is under way");
    if (m->program) m->program->data = NULL, released(m->program);
    m->attributes = NULL, m->program = NULL;
    return true;
}

/* ---- surfaces and requests ---- */

static object *surface_object(ME, object *surface) {
    UNUSED;
    return autoreleased(object_new("_ANEIOSurfaceObject", retained(surface), 0));
}
static void free_surface_object(object *o) { released(o->data); }
static object *surface_of(ME) { UNUSED; return self->data; }

/* The forms of the factory differ in what they leave out (2.5). */
static object *request_whole(ME, object *inputs, object *input_indices, object *outputs, object *output_indices, object *weights,
                             object *statistics, object *procedure, object *events, object *transaction) {
    UNUSED;
    request *r = calloc(1, sizeof *r);
    *r = (request){ inputs, input_indices, outputs, output_indices, weights, statistics, procedure, events, transaction, NULL };
    object **parts = (object **)r;
    for (size_t i = 0; i < sizeof *r / sizeof *parts; i++) retained(parts[i]);
    return autoreleased(object_new("_ANERequest", r, 0));
}
static object *request_events(ME, object *in, object *at, object *out, object *to, object *w, object *s, object *p, object *events) {
    return request_whole(self, _cmd, in, at, out, to, w, s, p, events, NULL);
}
static object *request_full(ME, object *in, object *at, object *out, object *to, object *w, object *s, object *p) {
    return request_whole(self, _cmd, in, at, out, to, w, s, p, NULL, NULL);
}
static object *request_statistics(ME, object *in, object *at, object *out, object *to, object *s, object *p) {
    return request_whole(self, _cmd, in, at, out, to, NULL, s, p, NULL, NULL);
}
static object *request_weights(ME, object *in, object *at, object *out, object *to, object *w, object *p) {
    return request_whole(self, _cmd, in, at, out, to, w, NULL, p, NULL, NULL);
}
static object *request_short(ME, object *in, object *at, object *out, object *to, object *p) {
    return request_whole(self, _cmd, in, at, out, to, NULL, NULL, p, NULL, NULL);
}
static void free_request(object *o) {
    object **parts = o->data;
    for (size_t i = 0; i < sizeof(request) / sizeof *parts; i++) released(parts[i]);
    free(parts);
}

/* The array's members are surfaces, its indices numbers, as many. */
static bool side_valid(const object *surfaces, const object *indices) {
    size_t n = array_count(surfaces);
    bool ok = n && n == array_count(indices);
    for (size_t i = 0; ok && i < n; i++)
        ok = is_a(array_at(surfaces, i), "_ANEIOSurfaceObject") && is_a(array_at(indices, i), "NSNumber");
    return ok;
}
/* Of the statistics every member says of what type it is. */
static bool statistics_valid(const object *array) {
    for (size_t i = 0; i < array_count(array); i++)
        if (!is_a(array_at(array, i), "_ANEPerformanceStatsIOSurface")) return false;
    return true;
}
bool ane_request_is_valid(const object *o) {
    const request *r = o->data;
    return side_valid(r->inputs, r->input_indices) && side_valid(r->outputs, r->output_indices) && statistics_valid(r->statistics);
}
static bool request_validate(ME) { UNUSED; return ane_request_is_valid(self); }

/* What a request was made of; the array of statistics is replaced by one object where it is set (T, 2.5). */
#define PART(name) static object *request_##name(ME) { UNUSED; return ((request *)self->data)->name; }
PART(inputs) PART(input_indices) PART(outputs) PART(output_indices) PART(procedure)
#define SETTER(name)                                                        \
    static void request_set_##name(ME, object *value) {                     \
        UNUSED;                                                             \
        object **part = &((request *)self->data)->name, *old = *part;       \
        *part = retained(value);                                            \
        released(old);                                                      \
    }
SETTER(statistics) SETTER(events) SETTER(transaction)
static object *request_stats(ME) { UNUSED; return ((request *)self->data)->statistics; }
static unsigned long request_count(ME) {
    UNUSED;
    return array_count(((request *)self->data)->inputs) + array_count(((request *)self->data)->outputs);
}

/* ---- evaluation ---- */

#define INFERENCE "ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program Inference error"

/* Views of the surfaces as tensors, each at its port's own place; false: a surface is too small, or an index wrong. */
static bool views(const mil_model *m, bool outputs, object *surfaces, object *indices, mil_tensor **out) {
    layout all[MAX_PORTS];
    size_t n = layouts(m, outputs, all);
    if (array_count(surfaces) != n) return violation("evaluate: %zu surfaces for %zu ports", array_count(surfaces), n), false;
    for (size_t i = 0; i < n; i++) {
        size_t bytes, at = (size_t)number_value(array_at(indices, i));
        object *surface = array_at(surfaces, i)->data;
        if (at >= n || out[all[at].place]) return violation("evaluate: index %zu is beyond the ports or given twice", at), false;
        if (surface_locked(surface)) violation("evaluate: a surface of %s is locked", all[at].port->name);
        const layout *l = &all[at];
        void *memory = surface_memory(surface, &bytes);
        if (bytes < l->bytes || (believed("O") && bytes < LEAST_OF_O)) return false;
        int64_t strides[4] = { (int64_t)(l->batch / l->element), (int64_t)(l->plane / l->element), (int64_t)(l->row / l->element), 1 };
        mil_buffer *buffer = NULL;
        if (mil_buffer_borrow(memory, bytes, true, NULL, NULL, &buffer, NULL)) return false;
        int rank = l->port->rank;
        mil_status status = mil_tensor_over(buffer, 0, l->port->dtype, rank, l->port->shape, strides + 4 - rank, &out[l->place], NULL);
        mil_buffer_free(buffer);
        if (status) return false;
    }
    return true;
}

/* What some sources say of several surfaces (10, rows 10 and 11; 4.5): O: those of a side have one size; M: there is one input. */
static bool sizes_break(const request *r) {
    if (believed("M") && array_count(r->inputs) > 1) return true;
    for (int side = 0; side < 2 && believed("O"); side++) {
        const object *surfaces = side ? r->outputs : r->inputs;
        size_t first = 0, bytes;
        for (size_t i = 0; i < array_count(surfaces); i++) {
            surface_memory(array_at(surfaces, i)->data, &bytes);
            if (i && bytes != first) return true;
            first = bytes;
        }
    }
    return false;
}

/* An evaluation has the model and the request's surfaces from here on, or no longer. */
static void take(model *m, const request *r, int by) {
    __atomic_add_fetch(&m->running, by, __ATOMIC_ACQ_REL);
    for (int side = 0; side < 2; side++) {
        const object *surfaces = side ? r->outputs : r->inputs;
        for (size_t i = 0; i < array_count(surfaces); i++) surface_use(array_at(surfaces, i)->data, by);
    }
}

/* Whatever was in the outputs' surfaces is gone, behind their rows too; but in one that is an input as well. */
static void spoil(const request *r) {
    for (size_t i = 0; i < array_count(r->outputs); i++) {
        size_t bytes, k = 0;
        object *surface = array_at(r->outputs, i)->data;
        void *memory = surface_memory(surface, &bytes);
        while (k < array_count(r->inputs) && array_at(r->inputs, k)->data != surface) k++;
        if (k == array_count(r->inputs)) memset(memory, 0xA5, bytes);
    }
}

bool ane_evaluate(object *self, object *by, object **error) {
    model *m = self->data;
    if (!is_a(by, "_ANERequest")) return violation("evaluate: a %s is no request", by->isa->name), false;
    if (!m->loaded) {
        violation("evaluate: the model is not loaded");
        return ane_fails(error, DOMAIN, 8, "the model is not loaded", NULL);
    }
    request *r = by->data;
    if (!ane_request_is_valid(by)) {
        violation("evaluate: the request is not valid");
        return ane_fails(error, DOMAIN, 8, INFERENCE, NULL);
    }
    if (standin.cancelled && standin.cancelled--) return ane_fails(error, DOMAIN, 8, "Request cancelled", NULL);
    mil_tensor *in[MAX_PORTS] = { 0 }, *out[MAX_PORTS] = { 0 };
    mil_error err = { 0 };
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    mil_model *asked = procedure_of(m, r->procedure);
    take(m, r, 1);
    bool ok = asked && !sizes_break(r) && views(asked, false, r->inputs, r->input_indices, in) && views(asked, true, r->outputs, r->output_indices, out);
    if (ok && standin.compute) spoil(r), ok = mil_model_run(asked, in, out, &err) == MIL_OK;
    take(m, r, -1);
    for (size_t i = 0; i < MAX_PORTS; i++) mil_tensor_free(in[i]), mil_tensor_free(out[i]);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ane_time_run(self, by, (unsigned long long)((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec));
    return ok || ane_fails(error, DOMAIN, 8, INFERENCE, err.message[0] ? err.message : NULL);
}

/* Of this thread, for standin_again. */
static _Thread_local struct { object *model, *options, *request; unsigned qos; SEL selector; } last;

static bool model_evaluate(ME, unsigned qos, object *options, object *by, object **error) {
    last.model = self, last.options = options, last.request = by, last.qos = qos, last.selector = _cmd;
    return ane_evaluate(self, by, error);
}

extern bool objc_msgSend(object *self, SEL selector, unsigned qos, object *options, object *request, object **error);
EXPORT void *objc_autoreleasePoolPush(void);
EXPORT void objc_autoreleasePoolPop(void *mark);
EXPORT int standin_again(void) {
    object *error = NULL;
    if (!last.model) return 0;
    void *pool = objc_autoreleasePoolPush();
    bool ok = objc_msgSend(last.model, last.selector, last.qos, last.options, last.request, &error);
    objc_autoreleasePoolPop(pool);
    return ok;
}

/* Mapping is an option (3.7): one source has it always fail. What is mapped is unmapped before the model is unloaded. */
bool ane_map(object *self, object *by, object **error) {
    model *m = self->data;
    if (!is_a(by, "_ANERequest")) return violation("map: a %s is no request", by->isa->name), false;
    if (!m->loaded) return violation("map: the model is not loaded"), false;
    if (believed("L")) return ane_fails(error, DOMAIN, 13, "ANEProgramIOSurfacesMapUnmap() Failed with status=0x12", NULL);
    m->mapped++;
    return true;
}
void ane_unmap(object *self, object *by) {
    model *m = self->data;
    if (!is_a(by, "_ANERequest") || !m->mapped) violation("unmap: the request is not mapped");
    else m->mapped--;
}
static bool model_map(ME, object *by, bool cache, object **error) { UNUSED, (void)cache; return ane_map(self, by, error); }
static void model_unmap(ME, object *by) { UNUSED; ane_unmap(self, by); }

/* ---- what a model is asked, and set ---- */

object *ane_inner(object *self) {
    model *m = self->data;
    if (!m->inner) m->inner = object_new("_ANEModel", self, 0);
    return m->inner;
}
object *ane_program(object *self) {
    model *m = self->data;
    if (m->loaded && !m->program) m->program = object_new("_ANEProgramForEvaluation", self, 0);
    return m->program;
}
static object *model_inner(ME) { UNUSED; return ane_inner(self); }
static object *model_program(ME) { UNUSED; return ane_program(self); }
static object *model_descriptor(ME) { UNUSED; return ((model *)self->data)->descriptor; }
static object *model_url(ME) { UNUSED; return ((model *)self->data)->url; }
static void model_set_url(ME, object *url) {
    UNUSED;
    model *m = self->data;
    object *old = m->url;
    m->url = retained(url);
    released(old);
}
static unsigned long long model_handle(ME) { UNUSED; return ((model *)self->data)->loaded ? (unsigned long long)(uintptr_t)self : 0; }
static unsigned long long model_spilled(ME) { UNUSED; return 0; }
static unsigned long long model_state(ME) { UNUSED; return ((model *)self->data)->loaded ? 3 : 1; }
static signed char model_depth(ME) { UNUSED; return ((model *)self->data)->depth; }
static void model_set_depth(ME, signed char depth) {
    UNUSED;
    if (depth < 0) violation("setQueueDepth: %d", depth);
    ((model *)self->data)->depth = depth;
}
static unsigned model_statistics(ME) { UNUSED; return ((model *)self->data)->statistics; }
static void model_set_statistics(ME, unsigned mask) { UNUSED; ((model *)self->data)->statistics = mask; }
static bool model_is_mil(ME) { UNUSED; return true; }
static object *descriptor_text(ME) { UNUSED; return ((descriptor *)self->data)->text; }
static object *descriptor_weights(ME) { UNUSED; return ((descriptor *)self->data)->weights; }

/* ---- what the device is ---- */

static bool has_ane(ME) { UNUSED; return standin.has_ane; }
static bool is_virtual(ME) { UNUSED; return standin.virtual_machine; }
static object *architecture(ME) { UNUSED; return autoreleased(string_new(standin_chip)); }
static object *system_build(ME) { UNUSED; return autoreleased(string_new(standin_build)); }
static unsigned cores(ME) { UNUSED; return 16; }
static unsigned engines(ME) { UNUSED; return 1; }
static long long board(ME) { UNUSED; return 0; }
static bool is_not(ME) { UNUSED; return false; }
static object *product(ME) { UNUSED; return autoreleased(string_new("macOS")); }
static object *nothing_said(ME) { UNUSED; return autoreleased(string_new("")); }

#define M(class, selector, signature, function) { class, selector, signature, (void *)function }
static const method rows[] = {
    M("_ANEInMemoryModelDescriptor", "modelWithMILText:weights:optionsPlist:", "=BDB?", descriptor_with),
    M("_ANEInMemoryModelDescriptor", "hexStringIdentifier", "", descriptor_identifier),
    M("_ANEInMemoryModel", "inMemoryModelWithDescriptor:", "=o", model_with),
    M("_ANEInMemoryModel", "hexStringIdentifier", "", model_identifier),
    M("_ANEInMemoryModel", "localModelPath", "", model_path),
    M("_ANEInMemoryModel", "compileWithQoS:options:error:", "iDe", model_compile),
    M("_ANEInMemoryModel", "loadWithQoS:options:error:", "iDe", model_load),
    M("_ANEInMemoryModel", "evaluateWithQoS:options:request:error:", "iDoe", model_evaluate),
    M("_ANEInMemoryModel", "unloadWithQoS:error:", "ie", model_unload),
    M("_ANEInMemoryModel", "compiledModelExists", "", model_exists),
    M("_ANEInMemoryModel", "purgeCompiledModel", "", model_purge),
    M("_ANEInMemoryModel", "modelAttributes", "", model_attributes),
    M("_ANEInMemoryModel", "mapIOSurfacesWithRequest:cacheInference:error:", "oie", model_map),
    M("_ANEInMemoryModel", "unmapIOSurfacesWithRequest:", "o", model_unmap),
    M("_ANEInMemoryModel", "model", "", model_inner), M("_ANEInMemoryModel", "program", "", model_program),
    M("_ANEInMemoryModel", "descriptor", "", model_descriptor), M("_ANEInMemoryModel", "modelURL", "", model_url),
    M("_ANEInMemoryModel", "setModelURL:", "U?", model_set_url), M("_ANEInMemoryModel", "programHandle", "", model_handle),
    M("_ANEInMemoryModel", "string_id", "", model_handle), M("_ANEInMemoryModel", "intermediateBufferHandle", "", model_spilled),
    M("_ANEInMemoryModel", "state", "", model_state), M("_ANEInMemoryModel", "queueDepth", "", model_depth),
    M("_ANEInMemoryModel", "setQueueDepth:", "i", model_set_depth), M("_ANEInMemoryModel", "perfStatsMask", "", model_statistics),
    M("_ANEInMemoryModel", "setPerfStatsMask:", "i", model_set_statistics), M("_ANEInMemoryModel", "isMILModel", "", model_is_mil),
    M("_ANEInMemoryModelDescriptor", "networkText", "", descriptor_text),
    M("_ANEInMemoryModelDescriptor", "weights", "", descriptor_weights), M("_ANEInMemoryModelDescriptor", "isMILModel", "", model_is_mil),
    M("_ANEIOSurfaceObject", "objectWithIOSurface:", "=I", surface_object),
    M("_ANEIOSurfaceObject", "ioSurface", "", surface_of),
    M("_ANERequest", "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:", "=AAAAo?A?N?", request_full),
    M("_ANERequest", "requestWithInputs:inputIndices:outputs:outputIndices:procedureIndex:", "=AAAAN?", request_short),
    M("_ANERequest", "requestWithInputs:inputIndices:outputs:outputIndices:perfStats:procedureIndex:", "=AAAAA?N?", request_statistics),
    M("_ANERequest", "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:procedureIndex:", "=AAAAo?N?", request_weights),
    M("_ANERequest", "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:sharedEvents:",
      "=AAAAo?A?N?o?", request_events),
    M("_ANERequest", "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:sharedEvents:"
      "transactionHandle:", "=AAAAo?A?N?o?o?", request_whole),
    M("_ANERequest", "inputArray", "", request_inputs), M("_ANERequest", "inputIndexArray", "", request_input_indices),
    M("_ANERequest", "outputArray", "", request_outputs), M("_ANERequest", "outputIndexArray", "", request_output_indices),
    M("_ANERequest", "procedureIndex", "", request_procedure), M("_ANERequest", "perfStats", "", request_stats),
    M("_ANERequest", "setPerfStats:", "o?", request_set_statistics), M("_ANERequest", "setSharedEvents:", "o?", request_set_events),
    M("_ANERequest", "setTransactionHandle:", "o?", request_set_transaction), M("_ANERequest", "ioSurfacesCount", "", request_count),
    M("_ANERequest", "validate", "", request_validate),
    M("_ANEDeviceInfo", "hasANE", "=", has_ane), M("_ANEDeviceInfo", "isVirtualMachine", "=", is_virtual),
    M("_ANEDeviceInfo", "aneArchitectureType", "=", architecture), M("_ANEDeviceInfo", "buildVersion", "=", system_build),
    M("_ANEDeviceInfo", "numANECores", "=", cores), M("_ANEDeviceInfo", "numANEs", "=", engines),
    M("_ANEDeviceInfo", "aneBoardType", "=", board), M("_ANEDeviceInfo", "aneSubType", "=", nothing_said),
    M("_ANEDeviceInfo", "aneSubTypeVariant", "=", nothing_said), M("_ANEDeviceInfo", "productName", "=", product),
    M("_ANEDeviceInfo", "bootArgs", "=", nothing_said), M("_ANEDeviceInfo", "isInternalBuild", "=", is_not),
    M("_ANEDeviceInfo", "isExcessivePowerDrainWhenIdle", "=", is_not), M("_ANEDeviceInfo", "precompiledModelChecksDisabled", "=", is_not),
};

__attribute__((constructor(104))) static void begin(void) {
    class_make("_ANEInMemoryModelDescriptor", free_descriptor), class_make("_ANEInMemoryModel", free_model);
    class_make("_ANEIOSurfaceObject", free_surface_object), class_make("_ANERequest", free_request);
    class_make("_ANEDeviceInfo", NULL);
    methods_add(rows, sizeof rows / sizeof *rows);
}

void ane_reset(void) {
    pthread_mutex_lock(&lock);
    while (n_copies) mil_model_free(copies[--n_copies].compiled);
    n_compiles = 0;
    pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void end(void) { ane_reset(); }
