/* SPDX-License-Identifier: MIT */
/* IOSurfaces: memory that processes and devices share. */
#include "apple/apple.h"

/* Flat: one row of single bytes. What counts is the size of the whole, and every program that ran such surfaces on the Neural
 * Engine but one made them so. */
enum { SINT64 = 4 /* kCFNumberSInt64Type */, UTF8 = 0x08000100 /* kCFStringEncodingUTF8 */ };

static void release(const void **objects, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (objects[i]) mil__apple.CFRelease(objects[i]);
}

/* CFBoolean's true, which the key IOSurfaceIsGlobal takes; NULL: it is not there. */
static const void *get_true(void) { return mil__apple.kCFBooleanTrue ? *(const void *const *)mil__apple.kCFBooleanTrue : NULL; }

/* The dictionary holds what is put into it. */
static mil_status make_properties(size_t bytes, bool is_global, const void **out, mil_error *err) {
    const struct property {
        const char *key;
        int64_t value;
    } rows[] = {{"IOSurfaceWidth", (int64_t)bytes},       {"IOSurfaceHeight", 1},
                {"IOSurfaceBytesPerElement", 1},          {"IOSurfaceBytesPerRow", (int64_t)bytes},
                {"IOSurfaceAllocSize", (int64_t)bytes},   {"IOSurfacePixelFormat", 0}};
    enum { N = MIL__COUNT(rows) };
    const void *keys[N + 1] = {0}, *values[N + 1] = {0};
    size_t failed = 0;
    is_global = is_global && get_true();
    if (is_global) {
        keys[N] = mil__apple.CFStringCreateWithCString(NULL, "IOSurfaceIsGlobal", UTF8);
        values[N] = get_true();
        if (!keys[N]) failed = MIL__FUNCTION(CFStringCreateWithCString);
    }
    for (size_t i = 0; i < N; i++) {
        keys[i] = mil__apple.CFStringCreateWithCString(NULL, rows[i].key, UTF8);
        values[i] = mil__apple.CFNumberCreate(NULL, SINT64, &rows[i].value);
        if (!keys[i]) failed = MIL__FUNCTION(CFStringCreateWithCString);
        if (!values[i]) failed = MIL__FUNCTION(CFNumberCreate);
    }
    if (!failed) *out = mil__apple.CFDictionaryCreate(NULL, keys, values, N + is_global, mil__apple.kCFTypeDictionaryKeyCallBacks,
                                                      mil__apple.kCFTypeDictionaryValueCallBacks);
    if (!failed && !*out) failed = MIL__FUNCTION(CFDictionaryCreate);
    release(keys, N + 1);
    release(values, N); /* true is the system's */
    return failed ? mil__fail_nothing(err, "an IOSurface", failed) : MIL_OK;
}

mil_status mil__surface_new(size_t bytes, bool is_global, mil__iosurface *out, mil_error *err) {
    const void *properties = NULL;
    MIL__TRY(make_properties(bytes, is_global, &properties, err));
    mil__iosurface surface = mil__apple.IOSurfaceCreate(properties);
    mil__apple.CFRelease(properties);
    if (!surface) return mil__fail(err, MIL_EIO, "the system makes no IOSurface of %zu bytes (IOSurfaceCreate)", bytes);
    size_t got = mil__apple.IOSurfaceGetAllocSize(surface);
    if (got < bytes) {
        mil__surface_free(surface);
        return mil__fail(err, MIL_EIO, "the system made an IOSurface of %zu bytes (IOSurfaceGetAllocSize) where %zu were asked for", got, bytes);
    }
    *out = surface;
    return MIL_OK;
}

void mil__surface_free(mil__iosurface surface) {
    if (surface && !mil__apple_is_forked()) mil__apple.CFRelease(surface);
}
