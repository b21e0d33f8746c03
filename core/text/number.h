/* SPDX-License-Identifier: MIT */
/* Numbers of MIL text, exactly: what is written is rounded once, to nearest even, at the dtype that it is declared with;
 * what is printed reads back to the same bits. Nothing here depends on the locale. */
#ifndef MIL__NUMBER_H
#define MIL__NUMBER_H

#include "types/types.h"

/* Reads a float (hex, decimal, inf, nan; signs) at `p`; *bits is the dtype's representation in its low bits. Returns
 * where it ends, or NULL where there is none. */
const char *mil__read_float(const char *p, const char *end, mil_dtype dtype, uint64_t *bits);
/* Reads a decimal integer; *big: above 2^64 - 1. NULL where there is none. */
const char *mil__read_integer(const char *p, const char *end, bool *negative, uint64_t *magnitude, bool *big);

enum { MIL__NUMBER_TEXT = 32 }; /* room that the writers need */

/* As Apple's compiler writes it: "-0x1.8p-3", "0x0p+0", "inf", "nan". No 0 at the end; returns the length. */
size_t mil__write_float(char *to, mil_dtype dtype, uint64_t bits);
size_t mil__write_unsigned(char *to, uint64_t value);
size_t mil__write_integer(char *to, int64_t value);

#endif
