/* SPDX-License-Identifier: MIT */
/* Pieces of text, names; and text under construction, where a failed allocation is remembered, so callers append freely
 * and ask once at the end. */
#ifndef MIL__STR_H
#define MIL__STR_H

#include "base/base.h"

typedef struct mil__slice { /* a piece of text; no 0 at its end */
    const char *s;
    size_t n;
} mil__slice;

static inline mil__slice mil__slice_of(const char *s) { return (mil__slice){s, s ? strlen(s) : 0}; }
static inline bool mil__same_slice(mil__slice a, mil__slice b) { return a.n == b.n && memcmp(a.s, b.s, a.n) == 0; }
static inline bool mil__slice_is(mil__slice slice, const char *text) {
    size_t n = strlen(text);
    return slice.n == n && memcmp(slice.s, text, n) == 0;
}

/* Eight characters as one number, the first lowest. */
static inline uint64_t mil__word_at(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Are the n characters at a and b the same? Eight or more may be read at either. */
static inline bool mil__same_ahead(const char *a, const char *b, size_t n) {
    if (n < 8) return n == 0 || (mil__word_at(a) ^ mil__word_at(b)) << (64 - 8 * n) == 0;
    for (size_t i = 0; i + 8 < n; i += 8)
        if (mil__word_at(a + i) != mil__word_at(b + i)) return false;
    return mil__word_at(a + n - 8) == mil__word_at(b + n - 8);
}

extern const unsigned char mil__name_class[256]; /* 1: may begin a name; 3: a digit or @: may go on in one */
bool mil__is_name(mil__slice text);              /* a letter or _, then letters, digits, _ and @ */

typedef struct mil__str {
    char *s; /* ends in 0 once anything was appended */
    size_t n, cap;
    bool failed;
} mil__str;

void mil__str_reserve(mil__str *str, size_t n); /* room for n characters in all, at once */
void mil__str_add(mil__str *str, const char *s, size_t n);
void mil__str_puts(mil__str *str, const char *s);
void mil__str_putc(mil__str *str, char c);
__attribute__((format(printf, 2, 3))) void mil__str_printf(mil__str *str, const char *format, ...);
/* Hands the text to the caller (mil__free), or fails with MIL_ENOMEM and frees it. */
mil_status mil__str_take(mil__str *str, char **out, size_t *n, mil_error *err);
void mil__str_free(mil__str *str);

#endif
