/* SPDX-License-Identifier: MIT */
/* A growing string. See str.h. */
#include <stdio.h>

#include "base/str.h"

#define A4(c) [c] = 1, [c + 1] = 1, [c + 2] = 1, [c + 3] = 1
#define D2(c) [c] = 3, [c + 1] = 3
const unsigned char mil__name_class[256] = {
    A4('a'), A4('e'), A4('i'), A4('m'), A4('q'), A4('u'), ['y'] = 1, ['z'] = 1,
    A4('A'), A4('E'), A4('I'), A4('M'), A4('Q'), A4('U'), ['Y'] = 1, ['Z'] = 1,
    ['_'] = 1, D2('0'), D2('2'), D2('4'), D2('6'), D2('8'), ['@'] = 3,
};

bool mil__is_name(mil__slice text) {
    if (!text.n || mil__name_class[(unsigned char)text.s[0]] != 1) return false;
    for (size_t i = 1; i < text.n; i++)
        if (!mil__name_class[(unsigned char)text.s[i]]) return false;
    return true;
}

/* Makes the room `cap`, which is more than there is. */
static bool resize(mil__str *str, size_t cap) {
    char *s = mil__realloc(str->s, cap);
    if (!s) {
        str->failed = true;
        return false;
    }
    str->s = s;
    str->cap = cap;
    return true;
}

static bool reserve(mil__str *str, size_t more) {
    if (str->failed) return false;
    if (str->n + more + 1 <= str->cap) return true;
    size_t cap = str->cap ? str->cap : 64;
    while (cap < str->n + more + 1) cap *= 2;
    return resize(str, cap);
}

void mil__str_reserve(mil__str *str, size_t n) {
    if (str->failed || n < str->cap) return;
    char *s = mil__alloc(n + 1); /* not grown: what is new and large begins at a huge page */
    if (!s) {
        str->failed = true;
        return;
    }
    if (str->n) memcpy(s, str->s, str->n + 1);
    mil__free(str->s);
    str->s = s;
    str->cap = n + 1;
}

void mil__str_add(mil__str *str, const char *s, size_t n) {
    if (!reserve(str, n)) return;
    if (n) memcpy(str->s + str->n, s, n);
    str->n += n;
    str->s[str->n] = 0;
}

void mil__str_puts(mil__str *str, const char *s) { mil__str_add(str, s, strlen(s)); }

void mil__str_putc(mil__str *str, char c) { mil__str_add(str, &c, 1); }

void mil__str_printf(mil__str *str, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && reserve(str, (size_t)n)) {
        vsnprintf(str->s + str->n, (size_t)n + 1, format, again);
        str->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

mil_status mil__str_take(mil__str *str, char **out, size_t *n, mil_error *err) {
    mil__str_add(str, "", 0); /* an empty text is "" and not NULL */
    if (str->failed) {
        mil__str_free(str);
        return mil__nomem(err);
    }
    *out = str->s;
    if (n) *n = str->n;
    *str = (mil__str){0};
    return MIL_OK;
}

void mil__str_free(mil__str *str) {
    mil__free(str->s);
    *str = (mil__str){0};
}
