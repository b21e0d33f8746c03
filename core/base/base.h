/* SPDX-License-Identifier: MIT */
/* What every file of the core includes first, after the system's headers: the public header, memory, errors.
 * Everything declared from here on is hidden from the linker, mil.h's functions are not; so system headers go before. */
#ifndef MIL__BASE_H
#define MIL__BASE_H

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(default)
#include "mil.h"
#pragma GCC visibility pop
#pragma GCC visibility push(hidden)

/* The process's allocator (mil_set_allocator). NULL: out of memory. bytes = 0 gives a pointer that may be freed. */
void *mil__alloc(size_t bytes);
void *mil__calloc(size_t n, size_t bytes); /* zeros; NULL on overflow too */
void *mil__realloc(void *ptr, size_t bytes);
void mil__free(void *ptr);
char *mil__strdup(const char *s);

/* Fills err (may be NULL) with a formatted message, the other fields empty; returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mil_status mil__fail(mil_error *err, mil_status status, const char *format, ...);
mil_status mil__vfail(mil_error *err, mil_status status, const char *format, va_list args);
/* MIL_ENOMEM with its static text. */
mil_status mil__nomem(mil_error *err);

/* The name among n most alike to `name` (case, transpositions, missing letters), or NULL when none is near.
 * at(ctx, i) gives name i, NULL to skip it. */
const char *mil__nearest(const char *name, size_t n, const char *(*at)(const void *ctx, size_t i), const void *ctx);

#define MIL__TRY(call)                                                                                                \
    do {                                                                                                              \
        mil_status try_ = (call);                                                                                     \
        if (try_ != MIL_OK) return try_;                                                                              \
    } while (0)

#define MIL__COUNT(array) (sizeof(array) / sizeof *(array))

/* False when the result does not fit. */
static inline bool mil__mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool mil__add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool mil__mul_dim(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool mil__add_dim(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }

#endif
