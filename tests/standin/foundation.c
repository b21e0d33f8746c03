/* SPDX-License-Identifier: MIT */
/* Foundation and CoreFoundation, as far as the frameworks' clients need them: data, strings, numbers, arrays, dictionaries, errors,
 * URLs. Core Foundation's functions act on the same objects, as they do on a Mac. */
#include "objc.h"

typedef unsigned long length;
#define ME object *self, SEL _cmd
#define UNUSED (void)self, (void)_cmd

static void free_bytes(object *o) { free(o->data), o->data = NULL; }

static void free_items(object *o) {
    object **items = o->data;
    size_t n = is_a(o, "NSArray") ? o->n : 2 * o->n;
    for (size_t i = 0; i < n; i++) released(items[i]);
    free_bytes(o);
}

/* ---- strings, data, numbers, URLs ---- */

object *string_new(const char *text) { return object_new("NSString", strdup(text), strlen(text)); }
const char *string_text(const object *o) { return is_a(o, "NSString") ? o->data : ""; }

object *number_new(long long value) {
    long long *kept = malloc(sizeof *kept);
    *kept = value;
    return object_new("NSNumber", kept, sizeof *kept);
}
/* A real number is twice as long: what it is cut to, and itself. */
typedef struct real { long long whole; double value; } real;
object *number_real(double value) {
    real *kept = malloc(sizeof *kept);
    *kept = (real){ (long long)value, value };
    return object_new("NSNumber", kept, sizeof *kept);
}
long long number_value(const object *o) { return is_a(o, "NSNumber") ? *(long long *)o->data : 0; }
static double number_double(object *self, SEL _cmd) {
    (void)_cmd;
    return self->n == sizeof(real) ? ((real *)self->data)->value : (double)number_value(self);
}

static object *data_with_bytes(ME, const void *bytes, length n) {
    UNUSED;
    void *copy = malloc(n + 1);
    if (n) memcpy(copy, bytes, n);
    return autoreleased(object_new("NSData", copy, n));
}
static const void *data_bytes(ME) { UNUSED; return self->data; }
static length count_of(ME) { UNUSED; return self->n; }

static object *string_with(ME, const char *text) {
    UNUSED;
    if (text) return autoreleased(string_new(text));
    violation("stringWithUTF8String: NULL");
    return NULL;
}
static const char *string_utf8(ME) { UNUSED; return self->data; }

static object *number_with_int(ME, int value) { UNUSED; return autoreleased(number_new(value)); }
static object *number_with(ME, unsigned long long value) { UNUSED; return autoreleased(number_new((long long)value)); }
static object *number_with_bool(ME, bool value) { UNUSED; return autoreleased(number_new(value)); }
static int number_int(ME) { UNUSED; return (int)number_value(self); }
static long long number_long(ME) { UNUSED; return number_value(self); }

static object *url_with_path(ME, object *path) {
    UNUSED;
    return autoreleased(object_new("NSURL", strdup(path->data), path->n));
}
static object *url_path(ME) { UNUSED; return autoreleased(string_new(self->data)); }

/* ---- arrays, dictionaries ---- */

static object *items_new(const char *class, object *const *keys, object *const *values, size_t n) {
    size_t all = keys ? 2 * n : n;
    object **items = calloc(all + 1, sizeof *items);
    for (size_t i = 0; i < all; i++) items[i] = retained(i < n ? values[i] : keys[i - n]);
    return object_new(class, items, n);
}

object *array_new(object *const *items, size_t n) { return items_new("NSArray", NULL, items, n); }
object *dictionary_new(object *const *keys, object *const *values, size_t n) {
    return items_new("NSDictionary", keys, values, n);
}
size_t array_count(const object *o) { return is_a(o, "NSArray") ? o->n : 0; }
object *array_at(const object *o, size_t i) { return i < array_count(o) ? ((object **)o->data)[i] : NULL; }

static bool same_key(const object *a, const object *b) {
    if (a->isa != b->isa) return false;
    return is_a(a, "NSString") ? !strcmp(a->data, b->data) : a == b;
}

object *dictionary_get(const object *o, const char *key) {
    if (!is_a(o, "NSDictionary")) return NULL;
    object **items = o->data;
    for (size_t i = 0; i < o->n; i++)
        if (!strcmp(string_text(items[o->n + i]), key)) return items[i];
    return NULL;
}

static bool no_nil(const char *by, object *const *items, size_t n) {
    bool ok = true;
    for (size_t i = 0; i < n; i++) ok &= usable(items[i], by);
    return ok;
}

static object *array_with(ME, object *const *items, length n) {
    UNUSED;
    return no_nil("arrayWithObjects:count:", items, n) ? autoreleased(array_new(items, n)) : NULL;
}
static object *array_object(ME, length i) {
    UNUSED;
    if (i < self->n) return array_at(self, i);
    violation("objectAtIndex: %lu is beyond %zu", i, self->n);
    return NULL;
}
static object *dictionary_with(ME, object *const *values, object *const *keys, length n) {
    UNUSED;
    if (!no_nil("dictionaryWithObjects:forKeys:count:", values, n)) return NULL;
    if (!no_nil("dictionaryWithObjects:forKeys:count:", keys, n)) return NULL;
    return autoreleased(dictionary_new(keys, values, n));
}
static object *dictionary_empty(ME) { UNUSED; return autoreleased(items_new(self->isa->name, NULL, NULL, 0)); }
static object *dictionary_object(ME, object *key) {
    UNUSED;
    object **items = self->data;
    for (size_t i = 0; i < self->n; i++)
        if (same_key(items[self->n + i], key)) return items[i];
    return NULL;
}
static object *dictionary_keys(ME) { UNUSED; return autoreleased(array_new((object **)self->data + self->n, self->n)); }
static void dictionary_set(ME, object *value, object *key) {
    UNUSED;
    object **old = self->data;
    for (size_t i = 0; i < self->n; i++)
        if (same_key(old[self->n + i], key)) {
            released(old[i]);
            old[i] = retained(value);
            return;
        }
    size_t n = self->n + 1;
    object **items = calloc(2 * n + 1, sizeof *items);
    memcpy(items, old, self->n * sizeof *items);
    memcpy(items + n, old + self->n, self->n * sizeof *items);
    items[n - 1] = retained(value), items[2 * n - 1] = retained(key);
    free(old);
    self->data = items, self->n = n;
}

/* ---- errors: domain, code, text, the underlying one (items of an array, nil left out) ---- */

typedef struct error_data { object *domain, *text, *info; long code; } error_data;

object *error_new(const char *domain, long code, const char *text, object *underlying) {
    error_data *e = calloc(1, sizeof *e);
    object *key = string_new("NSUnderlyingError");
    e->domain = string_new(domain), e->text = string_new(text), e->code = code;
    e->info = dictionary_new(&key, &underlying, underlying != NULL);
    released(key);
    return object_new("NSError", e, 0);
}
static void free_error(object *o) {
    error_data *e = o->data;
    released(e->domain), released(e->text), released(e->info);
    free_bytes(o);
}
static object *error_domain(ME) { UNUSED; return ((error_data *)self->data)->domain; }
static long error_code(ME) { UNUSED; return ((error_data *)self->data)->code; }
static object *error_text(ME) { UNUSED; return ((error_data *)self->data)->text; }
static object *error_info(ME) { UNUSED; return ((error_data *)self->data)->info; }

EXPORT object *NSTemporaryDirectory(void) {
    if (!enter("NSTemporaryDirectory")) return NULL;
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder) folder = "/tmp";
    char path[1024];
    snprintf(path, sizeof path, "%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/");
    return autoreleased(string_new(path));
}

#define M(class, selector, signature, function) { class, selector, signature, (void *)function }
static const method rows[] = {
    M("NSData", "dataWithBytes:length:", "=pi", data_with_bytes), M("NSData", "bytes", "", data_bytes),
    M("NSData", "length", "", count_of),
    M("NSString", "stringWithUTF8String:", "=p", string_with), M("NSString", "UTF8String", "", string_utf8),
    M("NSString", "length", "", count_of),
    M("NSNumber", "numberWithInt:", "=i", number_with_int), M("NSNumber", "numberWithUnsignedLongLong:", "=i", number_with),
    M("NSNumber", "numberWithLongLong:", "=i", number_with), M("NSNumber", "numberWithUnsignedInteger:", "=i", number_with),
    M("NSNumber", "numberWithInteger:", "=i", number_with), M("NSNumber", "numberWithBool:", "=i", number_with_bool),
    M("NSNumber", "intValue", "", number_int), M("NSNumber", "longLongValue", "", number_long),
    M("NSNumber", "unsignedLongLongValue", "", number_long), M("NSNumber", "integerValue", "", number_long),
    M("NSNumber", "unsignedIntegerValue", "", number_long), M("NSNumber", "doubleValue", "", number_double),
    M("NSURL", "fileURLWithPath:", "=S", url_with_path), M("NSURL", "path", "", url_path),
    M("NSArray", "arrayWithObjects:count:", "=pi", array_with), M("NSArray", "objectAtIndex:", "i", array_object),
    M("NSArray", "count", "", count_of),
    M("NSDictionary", "dictionaryWithObjects:forKeys:count:", "=ppi", dictionary_with),
    M("NSDictionary", "dictionary", "=", dictionary_empty), M("NSDictionary", "objectForKey:", "o", dictionary_object),
    M("NSDictionary", "count", "", count_of), M("NSDictionary", "allKeys", "", dictionary_keys),
    M("NSMutableDictionary", "setObject:forKey:", "oo", dictionary_set),
    M("NSError", "domain", "", error_domain), M("NSError", "code", "", error_code),
    M("NSError", "localizedDescription", "", error_text), M("NSError", "userInfo", "", error_info),
};

/* ---- Core Foundation ---- */

EXPORT const char kCFTypeDictionaryKeyCallBacks[64], kCFTypeDictionaryValueCallBacks[64];

EXPORT object *kCFBooleanTrue;             /* no one's: it can't be released */

EXPORT void CFRelease(object *o) {
    if (!o) violation("CFRelease: NULL");
    released(o);
}
EXPORT object *CFRetain(object *o) { return usable(o, "CFRetain") ? retained(o) : o; }

EXPORT object *CFStringCreateWithCString(void *allocator, const char *text, uint32_t encoding) {
    (void)allocator;
    if (encoding != 0x08000100) violation("CFStringCreateWithCString: encoding %#x is not UTF-8", encoding);
    return enter("CFStringCreateWithCString") ? string_new(text) : NULL;
}

/* Types of CFNumber: 1 to 4 are SInt8 to SInt64, 9 int, 10 long, 11 long long. */
EXPORT object *CFNumberCreate(void *allocator, long type, const void *value) {
    (void)allocator;
    if (!enter("CFNumberCreate")) return NULL;
    switch (type) {
    case 1: return number_new(*(const int8_t *)value);
    case 2: return number_new(*(const int16_t *)value);
    case 3: case 9: return number_new(*(const int32_t *)value);
    case 4: case 10: case 11: return number_new(*(const int64_t *)value);
    }
    violation("CFNumberCreate: type %ld", type);
    return NULL;
}

EXPORT object *CFDictionaryCreate(void *allocator, object *const *keys, object *const *values, long n, const void *of_keys,
                                  const void *of_values) {
    (void)allocator;
    if (!enter("CFDictionaryCreate")) return NULL;
    if (of_keys != kCFTypeDictionaryKeyCallBacks || of_values != kCFTypeDictionaryValueCallBacks)
        violation("CFDictionaryCreate: the callbacks are not those of types: keys and values would not be retained");
    if (!no_nil("CFDictionaryCreate", keys, (size_t)n) || !no_nil("CFDictionaryCreate", values, (size_t)n)) return NULL;
    return dictionary_new(keys, values, (size_t)n);
}

__attribute__((constructor(102))) static void begin(void) {
    static const char *const plain[] = { "NSData", "NSString", "NSNumber", "NSURL" };
    static const char *const holders[] = { "NSArray", "NSDictionary", "NSMutableDictionary" };
    for (size_t i = 0; i < 4; i++) class_make(plain[i], free_bytes);
    for (size_t i = 0; i < 3; i++) class_make(holders[i], free_items);
    class_make("NSError", free_error);
    kCFBooleanTrue = calloc(1, sizeof *kCFBooleanTrue);
    *kCFBooleanTrue = (object){ .isa = class_named("NSNumber"), .refs = 1L << 40, .data = calloc(1, sizeof(long long)), .n = sizeof(long long) };
    *(long long *)kCFBooleanTrue->data = 1;
    methods_add(rows, sizeof rows / sizeof *rows);
}
