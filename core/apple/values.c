/* SPDX-License-Identifier: MIT */
/* Foundation's values: made, read, and an NSError as an error of ours; blocks by hand. */
#include "apple/apple.h"

/* ---- makers ---- */

static _Thread_local size_t failed_call;

mil_status mil__fail_made(mil_error *err, const char *what) { return mil__fail_nothing(err, what, failed_call); }
void mil__made_all(void) { failed_call = 0; }
bool mil__has_made_all(void) { return !failed_call; }

static mil__id made(mil__id object, size_t call) {
    if (!object) failed_call = call;
    return object;
}

#define MAKE(class, name, ...) made(mil__send_class(class, name, ##__VA_ARGS__), MIL__METHOD(class, name))

mil__id mil__ns_string(const char *utf8) { return MAKE(NSString, fromUTF8, utf8); }
mil__id mil__ns_data(const void *bytes, size_t n) { return MAKE(NSData, fromBytes, bytes, n); }
mil__id mil__ns_number(uint64_t number) { return MAKE(NSNumber, fromUnsigned, number); }

static bool has_nil(const mil__id *objects, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!objects[i]) return true;
    return false;
}

mil__id mil__ns_array(const mil__id *objects, size_t n) {
    return has_nil(objects, n) ? NULL : MAKE(NSArray, fromObjects, objects, n);
}

mil__id mil__ns_dictionary(const mil__id *keys, const mil__id *values, size_t n) {
    if (n == 0) return MAKE(NSDictionary, empty);
    return has_nil(keys, n) || has_nil(values, n) ? NULL : MAKE(NSDictionary, fromPairs, values, keys, n);
}

/* ---- readers ---- */

static bool is_kind(mil__id object, mil__class class) { return object && mil__send(object, NSObject, isKindOfClass, class); }

const char *mil__read_text(mil__id string) {
    return is_kind(string, mil__apple.NSString) ? mil__send(string, NSString, UTF8String) : NULL;
}

bool mil__read_number(mil__id number, int64_t *out) {
    if (!is_kind(number, mil__apple.NSNumber)) return false;
    *out = mil__send(number, NSNumber, longLongValue);
    return true;
}

size_t mil__read_count(mil__id array) { return is_kind(array, mil__apple.NSArray) ? mil__send(array, NSArray, count) : 0; }

mil__id mil__read_at(mil__id array, size_t i) { return i < mil__read_count(array) ? mil__send(array, NSArray, at, i) : NULL; }

mil__id mil__read_key(mil__id dictionary, const char *key) {
    mil__id name = is_kind(dictionary, mil__apple.NSDictionary) ? mil__ns_string(key) : NULL;
    return name ? mil__send(dictionary, NSDictionary, get, name) : NULL;
}

/* ---- errors ---- */

enum { MAX_UNDERLYING = 4 };

/* "text (domain code)" */
static void add_error(mil__str *str, mil__id error) {
    const char *text = mil__read_text(mil__send(error, NSError, localizedDescription));
    const char *domain = mil__read_text(mil__send(error, NSError, domain));
    mil__str_printf(str, "%s (%s %ld)", text ? text : "no text", domain ? domain : "no domain", mil__send(error, NSError, code));
}

/* Errors are one line. */
static void put_on_one_line(mil__str *str) {
    for (size_t i = 0; i < str->n; i++)
        if (str->s[i] == '\n' || str->s[i] == '\r') str->s[i] = ' ';
}

mil_status mil__fail_nserror(mil_error *err, mil_status status, mil__id error, const char *what) {
    mil__str str = {0};
    if (!is_kind(error, mil__apple.NSError)) return mil__fail(err, status, "%s: no reason was given", what);
    for (int i = 0; i < MAX_UNDERLYING && is_kind(error, mil__apple.NSError); i++) {
        if (i) mil__str_puts(&str, ": ");
        add_error(&str, error);
        error = mil__read_key(mil__send(error, NSError, userInfo), "NSUnderlyingError");
    }
    put_on_one_line(&str);
    mil__fail(err, status, "%s: %s", what, str.s && !str.failed ? str.s : "no memory for the reason");
    mil__str_free(&str);
    return status;
}

/* ---- blocks ---- */

/* The public block ABI: docs/explanation/neural-engine.md */
struct mil__objc_block_layout {
    unsigned long reserved, bytes;
};
static const struct mil__objc_block_layout layout = {0, sizeof(mil__objc_block)};

void mil__objc_block_init(mil__objc_block *block, void (*invoke)(void), void *ctx) {
    *block = (mil__objc_block){mil__apple._NSConcreteStackBlock, 0, 0, invoke, &layout, ctx};
}
