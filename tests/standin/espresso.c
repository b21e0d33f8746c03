/* SPDX-License-Identifier: MIT */
/* Espresso: errors, handles, and the road from a text to a function: compiler, its options, library (facts/ane-e5rt.md 1.2 to 1.4).
 * A text is parsed by libmil and refused as the engine refuses it (refusals.c). */
#include "espresso.h"

#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "refusals.h"

typedef struct e5_config { e5_kept kept; char location[1024]; } e5_config;
typedef struct e5_compiler { e5_kept kept; char location[1024]; } e5_compiler;
typedef struct e5_options {
    e5_kept kept;
    uint64_t mask;
    bool has_mask, has_force, fetch;
    char segmenter[32], ane[128];
} e5_options;

bool e5_is_up;
static e5_bundle *bundles;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- errors: the text of the last failure is the thread's ---- */

static _Thread_local char last[2048];

static E code_of(int32_t code) {
    return standin.e5_wide ? (int64_t)(0x5eed00000000u | (uint32_t)code) : code;
}

E e5_ok(void) { return code_of(E5_OK); }

void e5_leave_to_pool(void) {
    if (standin.e5_pool) autoreleased(object_new("NSObject", NULL, 0));
}

E e5_fail(int32_t code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last, sizeof last, format, args);
    va_end(args);
    return code_of(code);
}

EXPORT const char *e5rt_get_last_error_message(void) {
    passed(__func__);
    if (!last[0]) violation("e5rt_get_last_error_message: no call failed");
    return standin.e5_error_text ? last : NULL;
}

EXPORT const char *e5rt_error_code_get_string(int32_t code) {
    static const char *const names[] = { "no error", "invalid function argument", "invalid operation", "memory allocation failure",
                                         "out-of-bounds access", "invalid type parameter", "invalid data type" };
    passed(__func__);
    if (!standin.e5_error_text) return NULL;
    return code >= 0 && code <= E5_DATA_TYPE ? names[code] : code == E5_TIMEOUT ? "timeout" : code == E5_COMPILE ? "compile" : "unknown";
}

/* ---- handles ---- */

/* In the hands of the client, not of other handles alone. */
static long owned(const object *o) {
    const e5_kept *kept = o->data;
    long refs = __atomic_load_n(&o->refs, __ATOMIC_ACQUIRE);
    return refs > 0 && kept ? refs - kept->held : refs;
}

bool e5_is(const void *handle, const char *class, const char *by) {
    const object *o = handle;
    if (!o) return violation("%s: NULL, not an %s", by, class), false;
    if (o->isa != class_named(class)) {
        const struct class *c = o->isa;
        bool is_known = false, is_address = false;
        for (size_t i = 0; class_at(i); i++) is_known |= c == class_at(i);
        for (size_t i = 0; c && !is_known && class_at(i); i++) is_address |= (struct class *)((const object *)c)->isa == class_at(i);
        violation("%s: what is given is no %s%s%s", by, class, is_known ? " but an " : "",
                  is_known ? c->name : is_address ? ", but the address of a handle" : "");
        return false;
    }
    if (owned(o) > 0) return true;
    return violation("%s: a released %s is used", by, class), false;
}

void *e5_new(const char *class, size_t bytes) { return object_new(class, calloc(1, bytes), bytes); }

void *e5_hold(object *o) {
    if (o) ((e5_kept *)o->data)->held++, retained(o);
    return o;
}

void e5_drop(object *o) {
    if (!o) return;
    ((e5_kept *)o->data)->held--;
    released(o);
}

/* Takes the address of the handle (1.2); with e5_by_value the handle, as one source has it. */
E e5_release(void **handle, const char *class, const char *by) {
    passed(by);
    if (!handle) return violation("%s: NULL", by), e5_fail(E5_ARGUMENT, "Invalid Function Argument: handle is NULL");
    object *o = standin.e5_by_value ? (object *)handle : *handle;
    for (size_t i = 0; !standin.e5_by_value && class_at(i); i++)
        if (o == (object *)class_at(i))
            return violation("%s: takes the address of the handle, not the handle", by), e5_fail(E5_ARGUMENT, "Invalid Function Argument");
    if (!e5_is(o, class, by)) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: handle is no %s", class);
    const e5_kept *kept = o->data;
    if (owned(o) == 1 && kept->held > 0 && !kept->may_go_first) violation("%s: released before what was made of it", by);
    released(o);
    return e5_ok();
}

/* ---- configuration and compiler ---- */

EXPORT E e5rt_e5_compiler_config_options_create(void **out) {
    E5_BEGIN;
    E5_WANTS(out);
    *out = e5_new("e5rt_e5_compiler_config_options", sizeof(e5_config));
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_config_options_set_cache_bundle_location(void *config, const char *folder) {
    E5_BEGIN;
    E5_TAKES(config, "e5rt_e5_compiler_config_options");
    E5_WANTS(folder && *folder);
    e5_config *c = ((object *)config)->data;
    snprintf(c->location, sizeof c->location, "%s", folder);
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_config_options_set_bundle_cache_apfs_purgeable(void *config, bool purgeable) {
    E5_BEGIN;
    (void)purgeable;
    E5_TAKES(config, "e5rt_e5_compiler_config_options");
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_create(void **out) {
    E5_BEGIN;
    E5_WANTS(out);
    *out = e5_new("e5rt_e5_compiler", sizeof(e5_compiler));
    e5_is_up = true;
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_create_with_config(void **out, void *config) {
    E5_BEGIN;
    E5_WANTS(out);
    E5_TAKES(config, "e5rt_e5_compiler_config_options");
    const e5_config *c = ((object *)config)->data;
    if (!c->location[0]) violation("%s: the configuration has no cache bundle location", __func__);
    object *o = e5_new("e5rt_e5_compiler", sizeof(e5_compiler));
    memcpy(((e5_compiler *)o->data)->location, c->location, sizeof c->location);
    *out = o, e5_is_up = true;
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_purge_e5_bundles_for_input_model(void *compiler, const char *path) {
    E5_BEGIN;
    E5_TAKES(compiler, "e5rt_e5_compiler");
    E5_WANTS(path);
    return e5_ok();
}

/* ---- options of a compile ---- */

EXPORT E e5rt_e5_compiler_options_create(void **out) {
    E5_BEGIN;
    E5_WANTS(out);
    *out = e5_new("e5rt_e5_compiler_options", sizeof(e5_options));
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_options_set_compute_device_types_mask(void *options, uint64_t mask) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_e5_compiler_options");
    if (!mask || mask > 7) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: mask %#llx", (unsigned long long)mask);
    e5_options *o = ((object *)options)->data;
    o->mask = mask, o->has_mask = true;
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_options_get_compute_device_types_mask(void *options, uint64_t *out) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_e5_compiler_options");
    E5_WANTS(out);
    *out = ((e5_options *)((object *)options)->data)->mask;
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_options_set_force_recompilation(void *options, bool force) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_e5_compiler_options");
    ((e5_options *)((object *)options)->data)->has_force = force;
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_options_set_force_fetch_from_cache(void *options, bool fetch) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_e5_compiler_options");
    ((e5_options *)((object *)options)->data)->fetch = fetch;
    return e5_ok();
}

EXPORT E e5rt_e5_compiler_options_set_segmenter(void *options, const char *name) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_e5_compiler_options");
    E5_WANTS(name);
    e5_options *o = ((object *)options)->data;
    snprintf(o->segmenter, sizeof o->segmenter, "%s", name);
    return e5_ok();
}

/* An unknown architecture is taken without a word: it is compiled for the host (1.8). */
EXPORT E e5rt_e5_compiler_options_set_custom_ane_compiler_options(void *options, const char *text) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_e5_compiler_options");
    E5_WANTS(text);
    e5_options *o = ((object *)options)->data;
    snprintf(o->ane, sizeof o->ane, "%s", text);
    return e5_ok();
}

/* Switches that are taken, and change nothing here. */
#define TAKEN(function)                                       \
    EXPORT E function(void *options, bool on) {               \
        E5_BEGIN;                                             \
        (void)on;                                             \
        E5_TAKES(options, "e5rt_e5_compiler_options");        \
        return e5_ok();                                       \
    }
TAKEN(e5rt_e5_compiler_options_set_enable_profiling)
TAKEN(e5rt_e5_compiler_options_set_force_bnns_graph)
TAKEN(e5rt_e5_compiler_options_set_experimental_force_classic_cpu_backend)

/* ---- compiling ---- */

/* The file's bytes, ending in 0; owned (free). */
static char *read_text(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *text = NULL;
    size_t size = 0;
    *n = 0;
    do {
        if (size - *n < 2) text = realloc(text, size = size ? size * 2 : 4096);
        *n += fread(text + *n, 1, size - *n - 1, file);
    } while (!feof(file) && !ferror(file));
    fclose(file);
    text[*n] = 0;
    return text;
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (file) fputs(text, file), fclose(file);
}

/* A folder in the cache, where there is one, with the report of what was chosen; of the process that compiled it alone. */
static void write_bundle(e5_bundle *b, const char *location, const char *text) {
    if (!location[0]) return;
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    mkdir(location, 0700);
    snprintf(b->path, sizeof b->path, "%.990s/%016llx.bundle", location, (unsigned long long)hash);
    mkdir(b->path, 0700);
    const char *backend = b->mask & E5_ANE ? "ane" : b->mask & E5_CPU ? "bnns" : "mps_graph";
    char analytics[128];
    snprintf(analytics, sizeof analytics, "SelectedBackend = \"%s\"\n", backend);
    write_file(b->path, "analytics.mil", analytics);
}

static bool parse(const char *path, const char *text, size_t n, mil_program **out, char *why, size_t size) {
    char folder[1200];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    mil_error err = { 0 };
    mil_text_options options = { .name = "model.mil", .model_path = slash ? folder : "." };
    const char *broken = refused_text(text, ROUTE_E5RT);
    if (!broken && !standin.e5_blobfile && strstr(text, "BLOBFILE")) broken = "BLOBFILE is not taken here";
    if (broken) snprintf(why, size, "%s", broken);
    else if (mil_text_parse(text, n, &options, out, &err)) snprintf(why, size, "%s", err.message);
    return !broken && !err.code;
}

/* A model for each function, to see that it is one; freed again. */
static bool functions_compile(const mil_program *program, bool is_ane, char *why, size_t size) {
    size_t n = mil_program_n_functions(program);
    for (size_t i = 0; i < n; i++) {
        mil_block function = mil_program_function_at(program, i);
        if (refused_ports(program, function, ROUTE_E5RT, is_ane, why, size)) return false;
        if (is_ane && refused_ops(program, function, ROUTE_E5RT, why, size)) return false;
        mil_model *model = NULL;
        mil_error err = { 0 };
        mil_compile_options plain = MIL_COMPILE_DEFAULTS;
        plain.engine = "cpu", plain.entry = mil_function_name(program, function), plain.optimize = 0;
        if (mil_program_compile(program, &plain, &model, &err)) return snprintf(why, size, "%s", err.message), false;
        mil_model_free(model);
    }
    return n > 0 || (snprintf(why, size, "no function"), false);
}

static void check_options(const e5_options *o) {
    if (!o->has_mask) violation("compile: the mask of compute device types is not set");
    if (!standin.e5_forge) return;
    if (!o->has_force && !o->fetch) violation("compile: force_recompilation is not set");
    if (strcmp(o->segmenter, "graph")) violation("compile: the segmenter is \"%s\", not \"graph\"", o->segmenter);
}

EXPORT E e5rt_e5_compiler_compile(void *compiler, const char *path, void *options, void **out) {
    E5_BEGIN;
    E5_TAKES(compiler, "e5rt_e5_compiler");
    E5_TAKES(options, "e5rt_e5_compiler_options");
    E5_WANTS(path);
    E5_WANTS(out);
    const e5_options *o = ((object *)options)->data;
    check_options(o);
    char file[1200], why[1500] = "";
    struct stat about;
    bool is_folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    snprintf(file, sizeof file, "%s%s", path, is_folder ? "/model.mil" : "");
    size_t n;
    char *text = read_text(file, &n);
    if (!text) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: no file at %s", file);
    uint64_t mask = o->has_mask ? o->mask : E5_ANE;
    mil_program *program = NULL;
    bool ok = parse(file, text, n, &program, why, sizeof why) && functions_compile(program, mask == E5_ANE, why, sizeof why);
    if (ok) {
        e5_bundle *b = calloc(1, sizeof *b);
        b->program = program, b->mask = mask;
        write_bundle(b, ((e5_compiler *)((object *)compiler)->data)->location, text);
        pthread_mutex_lock(&lock);
        b->next = bundles, bundles = b;
        pthread_mutex_unlock(&lock);
        object *library = e5_new("e5rt_program_library", sizeof(e5_library));
        ((e5_library *)library->data)->of = b;
        *out = library;
    } else mil_program_free(program);
    free(text);
    return ok ? e5_ok() : e5_fail(E5_COMPILE, "%s", why);
}

/* ---- libraries ---- */

EXPORT E e5rt_program_library_create(void **out, const char *path) {
    E5_BEGIN;
    E5_WANTS(out);
    struct stat about;
    if (!path || stat(path, &about)) return e5_fail(E5_ARGUMENT, "Invalid E5 path specified. @ GetE5PathFromCompositeBundle");
    pthread_mutex_lock(&lock);
    e5_bundle *b = bundles;
    while (b && strcmp(b->path, path)) b = b->next;
    pthread_mutex_unlock(&lock);
    if (!b) return e5_fail(E5_OPERATION, "ANE model load has failed for on-device compiled macho. Must re-compile the E5 bundle.");
    object *library = e5_new("e5rt_program_library", sizeof(e5_library));
    ((e5_library *)library->data)->of = b;
    *out = library, e5_is_up = true;
    return e5_ok();
}

static const mil_program *program_of(void *library) { return ((e5_library *)((object *)library)->data)->of->program; }

EXPORT E e5rt_program_library_get_num_functions(void *library, uint64_t *out) {
    E5_BEGIN;
    E5_TAKES(library, "e5rt_program_library");
    E5_WANTS(out);
    *out = mil_program_n_functions(program_of(library));
    return e5_ok();
}

EXPORT E e5rt_program_library_get_function_names(void *library, uint64_t n, const char **names) {
    E5_BEGIN;
    E5_TAKES(library, "e5rt_program_library");
    E5_WANTS(names);
    const mil_program *program = program_of(library);
    if (n > mil_program_n_functions(program)) return e5_fail(E5_BOUNDS, "Out of bounds: %llu functions", (unsigned long long)n);
    for (size_t i = 0; i < n; i++) names[i] = mil_function_name(program, mil_program_function_at(program, i));
    return e5_ok();
}

EXPORT E e5rt_program_library_retain_program_function(void *library, const char *name, void **out) {
    E5_BEGIN;
    E5_TAKES(library, "e5rt_program_library");
    E5_WANTS(name);
    E5_WANTS(out);
    mil_compile_options plain = MIL_COMPILE_DEFAULTS;
    plain.engine = "cpu", plain.entry = name, plain.optimize = 0;
    mil_model *model = NULL;
    mil_error err = { 0 };
    if (!mil_program_function_find(program_of(library), name)) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: no function \"%s\"", name);
    if (mil_program_compile(program_of(library), &plain, &model, &err)) return e5_fail(E5_OPERATION, "%s", err.message);
    object *o = e5_new("e5rt_program_function", sizeof(e5_function));
    e5_function *f = o->data;
    f->library = e5_hold(library), f->model = model;
    snprintf(f->name, sizeof f->name, "%s", name);
    *out = o;
    return e5_ok();
}

EXPORT E e5rt_program_function_get_name(void *function, const char **out) {
    E5_BEGIN;
    E5_TAKES(function, "e5rt_program_function");
    E5_WANTS(out);
    *out = ((e5_function *)((object *)function)->data)->name;
    return e5_ok();
}

EXPORT E e5rt_program_function_load_for_execution(void *function) {
    E5_BEGIN;
    E5_TAKES(function, "e5rt_program_function");
    return e5_ok();
}

static void free_function(object *o) {
    e5_function *f = o->data;
    e5_drop(f->library);
    mil_model_free(f->model);
    free(f);
}
static void free_kept(object *o) { free(o->data); }

E5_RELEASE(e5rt_e5_compiler_config_options_release, "e5rt_e5_compiler_config_options")
E5_RELEASE(e5rt_e5_compiler_release, "e5rt_e5_compiler")
E5_RELEASE(e5rt_e5_compiler_options_release, "e5rt_e5_compiler_options")
E5_RELEASE(e5rt_program_library_release, "e5rt_program_library")
E5_RELEASE(e5rt_program_function_release, "e5rt_program_function")

__attribute__((constructor(105))) static void begin(void) {
    static const char *const plain[] = { "e5rt_e5_compiler_config_options", "e5rt_e5_compiler", "e5rt_e5_compiler_options",
                                         "e5rt_program_library" };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) class_make(plain[i], free_kept);
    class_make("e5rt_program_function", free_function);
}

__attribute__((destructor)) static void end(void) {
    while (bundles) {
        e5_bundle *b = bundles;
        bundles = b->next;
        mil_program_free(b->program);
        free(b);
    }
}
