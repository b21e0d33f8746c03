/* SPDX-License-Identifier: MIT */
/* Opening libraries: the rows of frameworks.def as one table, walked library by library. */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#include "apple/apple.h"

#include <stdatomic.h>

struct mil__apple mil__apple;

enum { OPTIONAL, NEEDED };

typedef struct row {
    char kind; /* as in mil__apple_row */
    unsigned char need;
    unsigned short field, of; /* where it stands in mil__apple; of a method: where its class does */
    const char *name;
} row;

/* L rows begin a library's; the order of the libraries is that of their numbers. */
static const row rows[] = {
#define LIBRARY(name, path)               {'L', NEEDED, 0, 0, path},
#define FUNCTION(need, name, result, ...) {'F', need, offsetof(struct mil__apple, name), 0, #name},
#define DATA(need, name)                  {'D', need, offsetof(struct mil__apple, name), 0, #name},
#define CLASS(need, name, text)           {'C', need, offsetof(struct mil__apple, name), 0, text},
#define METHOD(need, class, name, result, selector, ...) \
    {'-', need, offsetof(struct mil__apple, sel.class##_##name), offsetof(struct mil__apple, class), selector},
#define CLASS_METHOD(need, class, name, result, selector, ...) \
    {'+', need, offsetof(struct mil__apple, sel.class##_##name), offsetof(struct mil__apple, class), selector},
#include "apple/frameworks.def"
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for the fields of libraries that are not open */
static atomic_uint is_open;                              /* bits of libraries, set when all their fields are */

/* A field as a pointer, whatever it points to. */
static void *get(size_t field) {
    void *p;
    memcpy(&p, (const char *)&mil__apple + field, sizeof p);
    return p;
}

static void set(size_t field, void *p) { memcpy((char *)&mil__apple + field, &p, sizeof p); }

static const row *row_of_class(size_t field) {
    for (size_t i = 0; i < MIL__COUNT(rows); i++)
        if (rows[i].kind == 'C' && rows[i].field == field) return &rows[i];
    return NULL;
}

/* "AppleNeuralEngine" of ".../AppleNeuralEngine.framework/AppleNeuralEngine", "libobjc.A" of "/usr/lib/libobjc.A.dylib" */
static mil__slice library_name(const char *path) {
    const char *slash = strrchr(path, '/');
    mil__slice name = mil__slice_of(slash ? slash + 1 : path);
    mil__slice ending = mil__slice_of(".dylib");
    if (name.n > ending.n && memcmp(name.s + name.n - ending.n, ending.s, ending.n) == 0) name.n -= ending.n;
    return name;
}

static mil_status open_library(const char *path, void **out, mil_error *err) {
    const char *folder = getenv("MIL_FRAMEWORKS");
    mil__slice name = library_name(path);
    char other[1024];
#if !defined(__APPLE__)
    if (!folder || !*folder)
        return mil__fail(err, MIL_EUNSUPPORTED, "%.*s is part of macOS, which this system is not", (int)name.n, name.s);
#endif
    if (folder && *folder) {
        int n = snprintf(other, sizeof other, "%s/%.*s.so", folder, (int)name.n, name.s);
        if (n < 0 || (size_t)n >= sizeof other) return mil__fail(err, MIL_EINVAL, "the folder in MIL_FRAMEWORKS has too long a name");
        path = other;
    }
    *out = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*out) return MIL_OK;
    const char *why = dlerror();
    return mil__fail(err, MIL_EUNSUPPORTED, "%.*s can't be opened: %s", (int)name.n, name.s, why ? why : "the system gives no reason");
}

static void *find_symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    char with[128];
    if (found || snprintf(with, sizeof with, "_%s", name) >= (int)sizeof with) return found;
    return dlsym(library, with); /* some were seen so */
}

static void *find_method(const row *row) {
    mil__class class = get(row->of);
    mil__sel selector = class ? mil__apple.sel_registerName(row->name) : NULL;
    if (!selector) return NULL;
    void *(*look)(mil__class, mil__sel) = row->kind == '+' ? mil__apple.class_getClassMethod : mil__apple.class_getInstanceMethod;
    return look(class, selector) ? selector : NULL;
}

/* Without the runtime there are no classes. */
static void *find(const row *row, void *library) {
    if (row->kind == 'F' || row->kind == 'D') return find_symbol(library, row->name);
    if (!(atomic_load(&is_open) & MIL__LIBRARY(objc))) return NULL;
    return row->kind == 'C' ? mil__apple.objc_getClass(row->name) : find_method(row);
}

/* A method of a class that is not there is not missed beside it. */
static bool is_missed(const row *row) {
    bool is_method = row->kind == '-' || row->kind == '+';
    return row->need == NEEDED && !get(row->field) && !(is_method && !get(row->of));
}

static void add_row_text(mil__str *str, const row *row) {
    const struct row *class = row_of_class(row->of);
    if (row->kind == 'C') mil__str_printf(str, "class %s", row->name);
    else if (row->kind == '-' || row->kind == '+') mil__str_printf(str, "%c[%s %s]", row->kind, class ? class->name : "", row->name);
    else mil__str_printf(str, "%s", row->name);
}

/* The fields of the library that begins at row `at`. */
static mil_status fill(size_t at, void *library, mil_error *err) {
    mil__str missing = {0};
    size_t n_missing = 0;
    for (size_t i = at + 1; i < MIL__COUNT(rows) && rows[i].kind != 'L'; i++) {
        set(rows[i].field, find(&rows[i], library));
        if (!is_missed(&rows[i])) continue;
        if (n_missing++) mil__str_puts(&missing, ", ");
        add_row_text(&missing, &rows[i]);
        if (rows[i].kind == 'F' && at == 0) break; /* without the runtime's functions nothing can be asked */
    }
    mil__slice name = library_name(rows[at].name);
    mil_status status = MIL_OK;
    if (n_missing && missing.failed) status = mil__nomem(err);
    else if (n_missing) status = mil__fail(err, MIL_EUNSUPPORTED, "%.*s has no %s here", (int)name.n, name.s, missing.s);
    mil__str_free(&missing);
    return status;
}

static mil_status open_all(unsigned libraries, mil_error *err) {
    int number = -1;
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        if (rows[i].kind != 'L') continue;
        unsigned bit = 1u << ++number;
        void *library;
        if (!(libraries & bit) || atomic_load(&is_open) & bit) continue;
        MIL__TRY(open_library(rows[i].name, &library, err));
        MIL__TRY(fill(i, library, err));
        atomic_fetch_or(&is_open, bit);
    }
    return MIL_OK;
}

bool mil__apple_is_open(unsigned libraries) { return (atomic_load(&is_open) & libraries) == libraries; }

mil_status mil__apple_open(unsigned libraries, mil_error *err) {
    if (mil__apple_is_open(libraries)) return MIL_OK;
    pthread_mutex_lock(&lock);
    mil_status status = open_all(libraries, err);
    pthread_mutex_unlock(&lock);
    return status;
}

mil_status mil__fail_nothing(mil_error *err, const char *what, size_t call) {
    mil__str name = {0};
    for (size_t i = 0; i < MIL__COUNT(rows); i++)
        if (rows[i].field == call && rows[i].kind != 'L') add_row_text(&name, &rows[i]);
    mil__fail(err, MIL_EIO, "%s: %s gives nothing", what, name.s && !name.failed ? name.s : "a call of the system's");
    mil__str_free(&name);
    return MIL_EIO;
}

bool mil__apple_row_at(size_t i, mil__apple_row *out) {
    if (i >= MIL__COUNT(rows)) return false;
    const row *row = &rows[i];
    int number = -1;
    for (size_t k = 0; k <= i; k++) number += rows[k].kind == 'L';
    bool is_method = row->kind == '-' || row->kind == '+';
    *out = (mil__apple_row){.kind = row->kind, .needed = row->need == NEEDED, .library = number, .name = row->name};
    pthread_mutex_lock(&lock);
    out->found = row->kind == 'L' ? mil__apple_is_open(1u << number) : get(row->field) != NULL;
    pthread_mutex_unlock(&lock);
    if (is_method) out->of = row_of_class(row->of)->name;
    return true;
}
