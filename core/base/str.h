/* SPDX-License-Identifier: MIT */
/* Text under construction. A failed allocation is remembered, so callers append freely and ask once at the end. */
#ifndef MIL__STR_H
#define MIL__STR_H

#include "base/base.h"

typedef struct mil__str {
    char *s; /* ends in 0 once anything was appended */
    size_t n, cap;
    bool failed;
} mil__str;

void mil__str_add(mil__str *str, const char *s, size_t n);
void mil__str_puts(mil__str *str, const char *s);
void mil__str_putc(mil__str *str, char c);
__attribute__((format(printf, 2, 3))) void mil__str_printf(mil__str *str, const char *format, ...);
/* Hands the text to the caller (mil__free), or fails with MIL_ENOMEM and frees it. */
mil_status mil__str_take(mil__str *str, char **out, size_t *n, mil_error *err);
void mil__str_free(mil__str *str);

#endif
