/* SPDX-License-Identifier: MIT */
/* A stand-in for what route "direct" of engine ane calls on a Mac: a small Objective-C runtime, the classes of Foundation and
 * AppleNeuralEngine that are used, IOSurface. One library under the names of five. It reads the program's files from the folder
 * that they must lie in, and computes with the cpu engine, of which it has a copy of its own.
 *
 * It is strict: an object that is used after its release or is of another class than a method takes, nil in a collection, an autorelease
 * without a pool, surfaces that are used unlocked or locked when they should not be, files that are not where they must be, more than 119
 * compiles are mistakes, which are kept for the test to ask for. */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "standin/ane/ane.h"
#include "tensor/tensor.h"

#pragma GCC visibility push(default)

standin_ane standin;

static pthread_mutex_t global = PTHREAD_MUTEX_INITIALIZER; /* over counts, mistakes and copies */

__attribute__((format(printf, 1, 2))) static void *wrong(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!*standin.mistake) vsnprintf(standin.mistake, sizeof standin.mistake, format, args);
    va_end(args);
    return NULL;
}

static bool fails(void) {
    pthread_mutex_lock(&global);
    bool fails = ++standin.calls == standin.fail_at;
    pthread_mutex_unlock(&global);
    return fails;
}

/* ---- objects ---- */

typedef enum kind {
    NONE, OBJECT, STRING, NUMBER, ARRAY, DICTIONARY, URL, ERROR, DATA, DESCRIPTOR, MODEL, SURFACE_OBJECT, REQUEST, DEVICE, SURFACE, N_KINDS
} kind;

static const char *const class_names[N_KINDS] = {"", "NSObject", "NSString", "NSNumber", "NSArray", "NSDictionary", "NSURL", "NSError", "NSData",
    "_ANEInMemoryModelDescriptor", "_ANEInMemoryModel", "_ANEIOSurfaceObject", "_ANERequest", "_ANEDeviceInfo", "IOSurface"};

typedef struct object object;
struct object {
    kind kind;
    bool is_class;
    atomic_long count;
    object *next;          /* of all that were made: what is released stays, so that a use of it is seen */
    char *text;            /* STRING, URL, ERROR */
    void *memory;          /* DATA, SURFACE */
    long long number;      /* also an error's code */
    size_t n;              /* ARRAY, DICTIONARY: items; DATA, SURFACE: bytes */
    object **items;        /* held; DICTIONARY: keys, then values */
    object *held[4];
    char name[20];         /* MODEL */
    bool is_loaded;
    mil_model *model;
    atomic_int locked;     /* SURFACE; 1: to be read, 2: to be written */
};

static object classes[N_KINDS];
static _Atomic(object *) made;

static object *new_object(kind kind) {
    object *o = calloc(1, sizeof *o);
    o->kind = kind;
    o->count = 1;
    o->next = atomic_load(&made);
    while (!atomic_compare_exchange_weak(&made, &o->next, o)) {}
    standin.live++;
    return o;
}

static object *check(object *o, kind kind, const char *where) {
    if (!o) return wrong("%s: nil where a %s is taken", where, class_names[kind]);
    if (o->count < 1) return wrong("%s: a released %s", where, class_names[o->kind]);
    if (o->kind != kind) return wrong("%s: a %s where a %s is taken", where, class_names[o->kind], class_names[kind]);
    return o;
}

object *objc_retain(object *o) {
    if (o && o->count < 1) return wrong("a released %s is retained", class_names[o->kind]);
    if (o && !o->is_class) o->count++;
    return o;
}

void objc_release(object *o) {
    if (!o || o->is_class) return;
    if (o->count < 1) return (void)wrong("a %s is released too often", class_names[o->kind]);
    if (--o->count) return;
    if (o->is_loaded) wrong("a model is released while it is loaded");
    if (o->locked) wrong("a surface is released while it is locked");
    for (size_t i = 0; o->items && i < (o->kind == DICTIONARY ? 2 : 1) * o->n; i++) objc_release(o->items[i]);
    for (int i = 0; i < 4; i++) objc_release(o->held[i]);
    free(o->items), free(o->text), free(o->memory);
    o->items = NULL, o->text = NULL, o->memory = NULL;
    mil_model_free(o->model);
    standin.live--;
}

static _Thread_local object *pooled[8192];
static _Thread_local size_t n_pooled, n_pools;
void *objc_autoreleasePoolPush(void) { return n_pools++, &pooled[n_pooled]; }
void objc_autoreleasePoolPop(void *pool) {
    n_pools--;
    while (n_pooled > 0 && &pooled[n_pooled - 1] >= (object **)pool) objc_release(pooled[--n_pooled]);
}
static object *autorelease(object *o) {
    if (n_pools == 0) wrong("a %s is autoreleased without a pool", class_names[o->kind]);
    if (n_pooled == sizeof pooled / sizeof *pooled) abort();
    return pooled[n_pooled++] = o;
}

/* ---- the runtime ---- */

static bool is_hidden(const char *name) { return standin.hidden && strcmp(standin.hidden, name) == 0; }

const char *sel_registerName(const char *name) {
    static char *selectors[256];
    size_t i = 0;
    pthread_mutex_lock(&global);
    while (selectors[i] && strcmp(selectors[i], name) != 0) i++;
    if (!selectors[i]) selectors[i] = strdup(name);
    pthread_mutex_unlock(&global);
    return selectors[i];
}

object *objc_getClass(const char *name) {
    for (int i = 1; i < SURFACE; i++) {
        if (strcmp(class_names[i], name) != 0 || is_hidden(name)) continue;
        if (!classes[i].is_class) classes[i] = (object){.kind = (kind)i, .is_class = true, .count = 1};
        return &classes[i];
    }
    return NULL;
}

typedef void method_code(void);
typedef struct method {
    kind kind;
    bool of_class;
    const char *selector;
    method_code *code;
} method;
static const method *methods_of(void);
static method_code *uuid_code; /* added by the caller */

static method_code *find(kind kind, bool of_class, const char *selector) {
    if (is_hidden(selector)) return NULL;
    if (kind == MODEL && uuid_code && strcmp(selector, "getUUID") == 0) return uuid_code;
    for (const method *m = methods_of(); m->selector; m++)
        if ((m->kind == kind || m->kind == OBJECT) && m->of_class == of_class && strcmp(m->selector, selector) == 0) return m->code;
    return NULL;
}

void *class_getInstanceMethod(object *class, const char *selector) { return (void *)(uintptr_t)find(class->kind, false, selector); }
void *class_getClassMethod(object *class, const char *selector) { return (void *)(uintptr_t)find(class->kind, true, selector); }
bool class_addMethod(object *class, const char *selector, method_code *code, const char *types) {
    if (class->kind != MODEL || strcmp(selector, "getUUID") != 0 || strcmp(types, "@@:") != 0) wrong("class_addMethod %s %s", selector, types);
    standin.uuids++;
    return uuid_code = code, true;
}
object *objc_getAssociatedObject(object *o, const void *key) { return (void)o, (void)key, NULL; }

static long nothing(void) { return 0; }

/* Called by objc_msgSend with the receiver and the selector; what it gives is called with all arguments. */
__attribute__((used, visibility("hidden"))) method_code *standin_lookup(object *self, const char *selector) {
    standin.messages++;
    if (!self) return (method_code *)nothing;
    if (self->count < 1) return wrong("%s to a released %s", selector, class_names[self->kind]), (method_code *)nothing;
    method_code *code = find(self->kind, self->is_class, selector);
    if (code) return code;
    fprintf(stderr, "%c[%s %s]: unrecognized selector\n", self->is_class ? '+' : '-', class_names[self->kind], selector);
    abort();
}

#if defined(__x86_64__)
__asm__(".text\n.globl objc_msgSend\n.type objc_msgSend,@function\nobjc_msgSend:\n"
        "push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\nsub $8,%rsp\ncall standin_lookup\nadd $8,%rsp\n"
        "pop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\njmp *%rax\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl objc_msgSend\n.type objc_msgSend,%function\nobjc_msgSend:\n"
        "stp x29,x30,[sp,#-80]!\nstp x0,x1,[sp,#16]\nstp x2,x3,[sp,#32]\nstp x4,x5,[sp,#48]\nstp x6,x7,[sp,#64]\nbl standin_lookup\n"
        "mov x16,x0\nldp x0,x1,[sp,#16]\nldp x2,x3,[sp,#32]\nldp x4,x5,[sp,#48]\nldp x6,x7,[sp,#64]\nldp x29,x30,[sp],#80\nbr x16\n");
#endif

/* ---- Foundation ---- */

#define SELF object *self, const char *sel
#define UNUSED (void)self, (void)sel

static bool is_kind_of(SELF, object *class) { return (void)sel, self->kind == class->kind || class->kind == OBJECT; }
static bool responds(SELF, const char *asked) { return (void)sel, find(self->kind, false, asked) != NULL; }

static object *string(const char *text) {
    object *o = new_object(STRING);
    o->text = strdup(text);
    return autorelease(o);
}
static object *string_from(SELF, const char *text) { return UNUSED, fails() ? NULL : string(text); }
static const char *utf8(SELF) { return (void)sel, self->text; }

static object *data_from(SELF, const void *bytes, unsigned long n) {
    UNUSED;
    if (fails()) return NULL;
    object *o = new_object(DATA);
    o->memory = malloc(n + 1);
    memcpy(o->memory, bytes, n);
    ((char *)o->memory)[n] = 0;
    o->n = n;
    return autorelease(o);
}

static object *number(long long value) {
    object *o = new_object(NUMBER);
    o->number = value;
    return autorelease(o);
}
static object *number_from(SELF, unsigned long long value) { return UNUSED, fails() ? NULL : number((long long)value); }
static long long long_long(SELF) { return (void)sel, self->number; }

static object *list(kind kind, size_t n, object *const *first, object *const *second) {
    object *o = new_object(kind);
    o->n = n;
    o->items = calloc(2 * n + 1, sizeof *o->items);
    for (size_t i = 0; i < n; i++) {
        if (!first[i] || (second && !second[i])) wrong("nil in a collection");
        o->items[i] = objc_retain(first[i]);
        if (second) o->items[n + i] = objc_retain(second[i]);
    }
    return autorelease(o);
}
static object *array_from(SELF, object *const *objects, unsigned long n) { return UNUSED, fails() ? NULL : list(ARRAY, n, objects, NULL); }
static unsigned long count_of(SELF) { return (void)sel, self->n; }
static object *item_at(SELF, unsigned long i) { return (void)sel, i < self->n ? self->items[i] : wrong("objectAtIndex: beyond the end"); }
static object *empty(SELF) { return UNUSED, fails() ? NULL : list(DICTIONARY, 0, NULL, NULL); }
static object *dictionary_from(SELF, object *const *values, object *const *keys, unsigned long n) {
    return UNUSED, fails() ? NULL : list(DICTIONARY, n, keys, values);
}
static object *get(const object *dictionary, const char *key) {
    for (size_t i = 0; i < dictionary->n; i++)
        if (strcmp(dictionary->items[i]->text, key) == 0) return dictionary->items[dictionary->n + i];
    return NULL;
}
static object *value_for(SELF, object *key) { return check(key, STRING, sel) ? get(self, key->text) : NULL; }
static object *file_url(SELF, object *path) {
    (void)self;
    if (!check(path, STRING, sel) || fails()) return NULL;
    object *o = new_object(URL);
    o->text = strdup(path->text);
    return autorelease(o);
}

/* text | the underlying error's text */
static bool give_error(object **error, long code, const char *text, const char *under) {
    object *o = new_object(ERROR);
    o->text = strdup(text);
    o->number = code;
    if (under) {
        object *inner = o->held[0] = new_object(ERROR);
        inner->text = strdup(under);
        inner->number = code + 1;
    }
    if (error) *error = autorelease(o);
    return false;
}
static object *domain(SELF) { return UNUSED, string("com.apple.appleneuralengine"); }
static long code_of(SELF) { return (void)sel, (long)self->number; }
static object *localized(SELF) { return (void)sel, string(self->text); }
static object *user_info(SELF) {
    (void)sel;
    object *key = string("NSUnderlyingError");
    return list(DICTIONARY, self->held[0] ? 1 : 0, &key, &self->held[0]);
}

object *NSTemporaryDirectory(void) {
    char path[1024];
    snprintf(path, sizeof path, "%s/", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return string(path);
}

/* ---- CoreFoundation, IOSurface ---- */

const int kCFTypeDictionaryKeyCallBacks, kCFTypeDictionaryValueCallBacks;
object *CFStringCreateWithCString(const void *allocator, const char *text, uint32_t encoding) {
    if (allocator || encoding != 0x08000100) wrong("CFStringCreateWithCString of another encoding");
    if (fails()) return NULL;
    object *o = new_object(STRING);
    o->text = strdup(text);
    return o;
}
object *CFNumberCreate(const void *allocator, long type, const void *value) {
    if (allocator || type != 4) wrong("CFNumberCreate of another type");
    if (fails()) return NULL;
    object *o = new_object(NUMBER);
    o->number = *(const int64_t *)value;
    return o;
}
object *CFDictionaryCreate(const void *allocator, object **keys, object **values, long n, const void *key_calls, const void *value_calls) {
    if (allocator || key_calls != &kCFTypeDictionaryKeyCallBacks || value_calls != &kCFTypeDictionaryValueCallBacks) wrong("CFDictionaryCreate");
    if (fails()) return NULL;
    object *o = new_object(DICTIONARY);
    o->n = (size_t)n;
    o->items = calloc(2 * o->n, sizeof *o->items);
    for (long i = 0; i < n; i++) o->items[i] = objc_retain(keys[i]), o->items[n + i] = objc_retain(values[i]);
    return o;
}
void CFRelease(object *o) { o ? objc_release(o) : (void)wrong("CFRelease of NULL"); }

object *IOSurfaceCreate(object *properties) {
    if (!check(properties, DICTIONARY, "IOSurfaceCreate") || fails()) return NULL;
    object *o = new_object(SURFACE);
    o->n = (size_t)get(properties, "IOSurfaceAllocSize")->number;
    o->memory = malloc(o->n);
    memset(o->memory, 0xff, o->n); /* no zeros are promised */
    return o;
}
int IOSurfaceLock(object *o, uint32_t options, uint32_t *seed) {
    if (!check(o, SURFACE, "IOSurfaceLock") || seed || options > 1) wrong("IOSurfaceLock");
    if (fails()) return -1;
    if (o->locked) wrong("a surface is locked twice");
    o->locked = options == 1 ? 1 : 2;
    return 0;
}
int IOSurfaceUnlock(object *o, uint32_t options, uint32_t *seed) {
    if (!check(o, SURFACE, "IOSurfaceUnlock") || seed || o->locked != (options == 1 ? 1 : 2)) wrong("a surface is unlocked otherwise than it was locked");
    o->locked = 0;
    return 0;
}
void *IOSurfaceGetBaseAddress(object *o) {
    if (!check(o, SURFACE, "IOSurfaceGetBaseAddress") || !o->locked) wrong("the address of a surface that is not locked");
    return o->memory;
}
size_t IOSurfaceGetAllocSize(object *o) { return check(o, SURFACE, "IOSurfaceGetAllocSize") ? o->n : 0; }
uint32_t IOSurfaceGetID(object *o) { return (uint32_t)(uintptr_t)o; }

/* ---- the Neural Engine ---- */

static object *descriptor_from(SELF, object *text, object *weights, object *options) {
    (void)self;
    if (!check(text, DATA, sel) || !check(weights, DICTIONARY, sel) || options || fails()) return NULL;
    for (size_t i = 0; i < weights->n; i++) {
        object *entry = check(weights->items[weights->n + i], DICTIONARY, sel);
        if (!entry || !check(get(entry, "offset"), NUMBER, sel) || !check(get(entry, "data"), DATA, sel)) return NULL;
    }
    object *o = new_object(DESCRIPTOR);
    o->held[0] = objc_retain(text), o->held[1] = objc_retain(weights);
    return autorelease(o);
}

static object *model_from(SELF, object *descriptor) {
    (void)self;
    if (!check(descriptor, DESCRIPTOR, sel) || fails()) return NULL;
    object *o = new_object(MODEL), *text = descriptor->held[0], *weights = descriptor->held[1];
    o->held[0] = objc_retain(text), o->held[1] = objc_retain(weights);
    uint64_t hash = mil__hash(text->memory, text->n);
    for (size_t i = 0; i < weights->n; i++) {
        const object *data = get(weights->items[weights->n + i], "data");
        hash = hash * 31 + mil__hash_text(weights->items[i]->text);
        if (!standin.names_by_text) hash = hash * 31 + mil__hash(data->memory, data->n);
    }
    snprintf(o->name, sizeof o->name, "%016llX", (unsigned long long)hash);
    return autorelease(o);
}
static object *identifier(SELF) { return (void)sel, fails() ? NULL : string(self->name); }

static struct copy {
    struct copy *next;
    char name[20];
    mil_model *model;
} *copies;

static mil_model *copy_of(const char *name) {
    for (struct copy *copy = copies; copy; copy = copy->next)
        if (strcmp(copy->name, name) == 0) return copy->model;
    return NULL;
}

static void folder_of(const object *model, char *buf, size_t n) {
    snprintf(buf, n, "%s/%s", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", model->name);
}

/* Is the file there, with just these bytes? */
static bool is_file(const char *folder, const char *inner, const object *data) {
    char path[1200];
    mil__file file;
    snprintf(path, sizeof path, "%s/%s", folder, inner);
    if (mil__file_open(path, &file, NULL) != MIL_OK) return false;
    bool same = file.bytes == data->n && memcmp(file.data, data->memory, data->n) == 0;
    mil__file_close(&file);
    return same;
}

static bool refuse(object **error, const char *why) { return give_error(error, 1, "_ANECompiler : ANECCompile() FAILED", why); }

static bool compile_files(object *self, object **error) {
    char folder[1100];
    mil_error err;
    mil_program *program = NULL;
    const char *text = self->held[0]->memory;
    const object *weights = self->held[1];
    folder_of(self, folder, sizeof folder);
    if (!is_file(folder, "model.mil", self->held[0])) return wrong("model.mil is not in the folder"), refuse(error, "err=()");
    for (size_t i = 0; i < weights->n; i++)
        if (!is_file(folder, weights->items[i]->text + strlen("@model_path/"), get(weights->items[weights->n + i], "data")))
            return wrong("%s is not in the folder", weights->items[i]->text), refuse(error, "err=()");
    if (!strstr(text, "coremlc-version") || (standin.refuses_short && strstr(text, "program(1.3)")))
        return refuse(error, "ANECCompile() FAILED: err=(InvalidMILProgram)");
    const mil_text_options options = {.model_path = folder};
    mil_compile_options how = MIL_COMPILE_DEFAULTS;
    how.engine = "cpu";
    bool done = mil_text_parse(text, self->held[0]->n, &options, &program, &err) == MIL_OK &&
                mil_program_compile(program, &how, &self->model, &err) == MIL_OK;
    mil_program_free(program);
    return done ? true : refuse(error, "ANECCompile() FAILED: err=(InvalidMILProgram)");
}

static bool check_call(SELF, unsigned qos, object *options) { return check(self, MODEL, sel) && qos && (!options || check(options, DICTIONARY, sel)); }

static bool compile(SELF, unsigned qos, object *options, object **error) {
    if (!check_call(self, sel, qos, options)) return false;
    if (++standin.compiles > 119) wrong("more than 119 compiles");
    if (fails()) return refuse(error, "ANECCompile() FAILED: err=(CompilationFailure)");
    if (!compile_files(self, error)) return false;
    if (!standin.keeps_copies || copy_of(self->name)) return true;
    struct copy *copy = calloc(1, sizeof *copy);
    *copy = (struct copy){.next = copies, .model = mil_model_retain(self->model)};
    snprintf(copy->name, sizeof copy->name, "%s", self->name);
    copies = copy;
    return true;
}
static bool copy_exists(SELF) { return (void)sel, copy_of(self->name) != NULL; }
static void set_url(SELF, object *url) { (void)self, check(url, URL, sel); }

static bool load(SELF, unsigned qos, object *options, object **error) {
    if (!check_call(self, sel, qos, options)) return false;
    if (fails()) return give_error(error, 5, "load failed", NULL);
    if (self->is_loaded) wrong("a model is loaded twice");
    if (!self->model && copy_of(self->name)) self->model = mil_model_retain(copy_of(self->name));
    if (!self->model) return give_error(error, 5, "there is no compiled model", NULL);
    standin.loads++;
    return self->is_loaded = true;
}
static bool unload(SELF, unsigned qos, object **error) {
    (void)error;
    if (!check_call(self, sel, qos, NULL) || !self->is_loaded) wrong("a model is unloaded that is not loaded");
    standin.unloads++;
    self->is_loaded = false;
    return true;
}

/* Port k in the order of the names. */
static const mil_port *port_at(const mil_model *model, bool is_input, size_t k, size_t *number) {
    size_t n = is_input ? mil_model_n_inputs(model) : mil_model_n_outputs(model);
    for (size_t i = 0; i < n; i++) {
        const mil_port *port = is_input ? mil_model_input(model, i) : mil_model_output(model, i);
        size_t before = 0;
        for (size_t j = 0; j < n; j++) before += strcmp((is_input ? mil_model_input(model, j) : mil_model_output(model, j))->name, port->name) < 0;
        if (before == k) return *number = i, port;
    }
    return NULL;
}

/* Bytes: of a row, a plane, the whole of a port of rank 4. */
static void sizes_of(const mil_port *port, int64_t *row, int64_t *plane, int64_t *all) {
    int64_t unit = standin.row_bytes ? standin.row_bytes : 64, width = port->shape[3] * mil_dtype_bits(port->dtype) / 8;
    *row = (width + unit - 1) / unit * unit;
    *plane = *row * port->shape[2];
    *all = *plane * port->shape[1] * port->shape[0];
}

static object *dictionary(size_t n, const char *const *names, object *const *values) {
    object *keys[16];
    for (size_t i = 0; i < n; i++) keys[i] = string(names[i]);
    return list(DICTIONARY, n, keys, values);
}

static object *report_ports(const mil_model *model, bool is_input, object **symbols) {
    static const char *const names[] = {"Name", "Symbol", "Type", "Batches", "Channels", "Height", "Width", "RowStride", "PlaneStride", "BatchStride"};
    object *entries[16], *texts[16];
    size_t n = is_input ? mil_model_n_inputs(model) : mil_model_n_outputs(model), number_of;
    for (size_t k = 0; k < n; k++) {
        char text[200];
        int64_t row, plane, all;
        const mil_port *port = port_at(model, is_input, k, &number_of);
        sizes_of(port, &row, &plane, &all);
        snprintf(text, sizeof text, "%s%s", port->name, is_input ? "" : "@output");
        texts[k] = string(text);
        entries[n - 1 - k] = dictionary(10, names, (object *[]){string(text), texts[k], string(port->dtype == MIL_FP16 ? "Float16" : "Float32"),
            number(port->shape[0]), number(port->shape[1]), number(port->shape[2]), number(port->shape[3]), number(row), number(plane),
            number(all / port->shape[0])});
    }
    *symbols = list(ARRAY, n, texts, NULL);
    return list(ARRAY, n, entries, NULL);
}

static object *attributes(SELF) {
    (void)sel;
    if (!self->is_loaded || standin.is_silent || fails()) return NULL;
    object *in, *out, *inputs = report_ports(self->model, true, &in), *outputs = report_ports(self->model, false, &out);
    object *status = dictionary(2, (const char *[]){"LiveInputList", "LiveOutputList"}, (object *[]){inputs, outputs});
    object *description = dictionary(2, (const char *[]){"kANEFModelInputSymbolsArrayKey", "kANEFModelOutputSymbolsArrayKey"}, (object *[]){in, out});
    return dictionary(2, (const char *[]){"NetworkStatusList", "ANEFModelDescription"}, (object *[]){list(ARRAY, 1, &status, NULL), description});
}

static object *object_from(SELF, object *surface) {
    (void)self;
    if (!check(surface, SURFACE, sel) || fails()) return NULL;
    object *o = new_object(SURFACE_OBJECT);
    o->held[0] = objc_retain(surface);
    return autorelease(o);
}

static object *request_from(SELF, object *inputs, object *in, object *outputs, object *out, object *weights, object *statistics, object *procedure) {
    (void)self;
    if (weights || statistics || !check(procedure, NUMBER, sel) || fails()) return NULL;
    object *o = new_object(REQUEST), *parts[] = {inputs, in, outputs, out};
    for (int i = 0; i < 4; i++) o->held[i] = check(parts[i], ARRAY, sel) ? objc_retain(parts[i]) : NULL;
    return autorelease(o);
}
static bool validate(SELF) { return (void)sel, !fails() && self->held[0]->n == self->held[1]->n && self->held[2]->n == self->held[3]->n; }

/* The surface of port k as a tensor; false: it is too small. */
static bool view_port(const object *request, const mil_model *model, bool is_input, size_t k, size_t *number_of, mil_tensor *out) {
    const mil_port *port = port_at(model, is_input, k, number_of);
    const object *objects = request->held[is_input ? 0 : 2], *indices = request->held[is_input ? 1 : 3];
    int64_t row, plane, all, element = mil_dtype_bits(port->dtype) / 8;
    size_t at = 0;
    while (at < indices->n && (size_t)indices->items[at]->number != k) at++;
    object *surface = at < objects->n ? objects->items[at]->held[0] : NULL;
    if (!check(surface, SURFACE, "evaluate")) return false;
    if (surface->locked) wrong("a surface is locked while the request is evaluated");
    sizes_of(port, &row, &plane, &all);
    mil__tensor_init(out, port->dtype, 4, port->shape, surface->memory);
    out->strides[2] = row / element, out->strides[1] = plane / element, out->strides[0] = all / port->shape[0] / element;
    return surface->n >= (size_t)all && surface->n >= (size_t)standin.least_surface;
}

static bool run(const object *self, const object *request) {
    mil_tensor *inputs[16] = {0}, *outputs[16] = {0}, view;
    size_t n_in = mil_model_n_inputs(self->model), n_out = mil_model_n_outputs(self->model), number_of;
    bool fits = request->held[0]->n == n_in && request->held[2]->n == n_out;
    for (size_t k = 0; k < n_in && fits; k++) {
        fits = view_port(request, self->model, true, k, &number_of, &view);
        if (fits && (mil_tensor_new(view.dtype, 4, view.shape, &inputs[number_of], NULL) != MIL_OK || mil_tensor_copy(inputs[number_of], &view, NULL) != MIL_OK)) abort();
    }
    for (size_t k = 0; k < n_out && fits; k++) fits = view_port(request, self->model, false, k, &number_of, &view);
    if (fits && mil_model_run(self->model, inputs, outputs, NULL) != MIL_OK) fits = false;
    for (size_t k = 0; k < n_out && fits; k++) {
        view_port(request, self->model, false, k, &number_of, &view);
        mil_tensor_copy(&view, outputs[number_of], NULL);
    }
    for (int i = 0; i < 16; i++) mil_tensor_free(inputs[i]), mil_tensor_free(outputs[i]);
    return fits;
}

static bool evaluate(SELF, unsigned qos, object *options, object *request, object **error) {
    if (!check_call(self, sel, qos, options) || !check(request, REQUEST, sel)) return false;
    if (!self->is_loaded) wrong("a model is evaluated that is not loaded");
    standin.evaluations++;
    if (fails()) return give_error(error, 8, "ANEProgramProcessRequestDirect() Failed with status=0x16", NULL);
    if (standin.cancels && standin.cancels--) return give_error(error, 9, "Request cancelled", NULL);
    return run(self, request) ? true : give_error(error, 8, "ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program Inference error", NULL);
}

static bool yes(SELF) { return UNUSED, true; }
static bool no(SELF) { return UNUSED, false; }
static unsigned cores(SELF) { return UNUSED, 16; }
static object *architecture(SELF) { return UNUSED, string("h16g"); }
static object *build(SELF) { return UNUSED, string("25A123"); }

static const method *methods_of(void) {
#define ROW(kind, of_class, selector, code) {kind, of_class, selector, (method_code *)(code)}
    static const method methods[] = {
        ROW(OBJECT, false, "isKindOfClass:", is_kind_of), ROW(OBJECT, false, "respondsToSelector:", responds),
        ROW(STRING, true, "stringWithUTF8String:", string_from), ROW(STRING, false, "UTF8String", utf8),
        ROW(DATA, true, "dataWithBytes:length:", data_from), ROW(NUMBER, true, "numberWithUnsignedLongLong:", number_from),
        ROW(NUMBER, false, "longLongValue", long_long), ROW(ARRAY, true, "arrayWithObjects:count:", array_from), ROW(ARRAY, false, "count", count_of),
        ROW(ARRAY, false, "objectAtIndex:", item_at), ROW(DICTIONARY, true, "dictionary", empty),
        ROW(DICTIONARY, true, "dictionaryWithObjects:forKeys:count:", dictionary_from), ROW(DICTIONARY, false, "objectForKey:", value_for),
        ROW(ERROR, false, "domain", domain), ROW(ERROR, false, "code", code_of), ROW(ERROR, false, "localizedDescription", localized),
        ROW(ERROR, false, "userInfo", user_info), ROW(URL, true, "fileURLWithPath:", file_url),
        ROW(DESCRIPTOR, true, "modelWithMILText:weights:optionsPlist:", descriptor_from), ROW(MODEL, true, "inMemoryModelWithDescriptor:", model_from),
        ROW(MODEL, false, "hexStringIdentifier", identifier), ROW(MODEL, false, "compileWithQoS:options:error:", compile),
        ROW(MODEL, false, "loadWithQoS:options:error:", load), ROW(MODEL, false, "evaluateWithQoS:options:request:error:", evaluate),
        ROW(MODEL, false, "unloadWithQoS:error:", unload), ROW(MODEL, false, "compiledModelExists", copy_exists),
        ROW(MODEL, false, "setModelURL:", set_url), ROW(MODEL, false, "modelAttributes", attributes),
        ROW(SURFACE_OBJECT, true, "objectWithIOSurface:", object_from),
        ROW(REQUEST, true, "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:", request_from),
        ROW(REQUEST, false, "validate", validate), ROW(DEVICE, true, "hasANE", yes), ROW(DEVICE, true, "isVirtualMachine", no),
        ROW(DEVICE, true, "numANECores", cores), ROW(DEVICE, true, "aneArchitectureType", architecture), ROW(DEVICE, true, "buildVersion", build),
        {0}};
    return methods;
}
