/* SPDX-License-Identifier: MIT */
/* Reading MIL text character by character: white space, names, strings; and errors with their place in the text.
 *
 * The language needs no token list: what comes next shows in one character after the white space. So there is a cursor
 * and no tokens, nothing is allocated while names and punctuation are read, and a place is a pointer into the text, from
 * which line and column are counted only when an error needs them. */
#ifndef MIL__LEX_H
#define MIL__LEX_H

#include "base/str.h"

typedef struct mil__lexer {
    const char *p;            /* the next character */
    const char *end;
    int line;                 /* of p, from 1 */
    const char *text;         /* the whole of it */
    const char *file;         /* its name in errors; NULL: none */
    mil_error *err;
} mil__lexer;

/* Behind the spaces at p, eight at a time: lines begin with many. */
static inline const char *mil__lex_spaces_end(const char *p, const char *end) {
    for (; end - p >= 8; p += 8) {
        uint64_t others = mil__word_at(p) ^ 0x2020202020202020u;
        if (others) return p + __builtin_ctzll(others) / 8;
    }
    while (p < end && *p == ' ') p++;
    return p;
}

/* Moves over white space and comments. */
void mil__lex_space(mil__lexer *lex);

/* The next character that is no white space, 0 at the end of the text. */
static inline char mil__lex_peek(mil__lexer *lex) {
    if (lex->p < lex->end && (unsigned char)*lex->p > ' ' && *lex->p != '/') return *lex->p;
    if (lex->end - lex->p > 1 && *lex->p == ' ' && (unsigned char)lex->p[1] > ' ' && lex->p[1] != '/') return *++lex->p;
    mil__lex_space(lex);
    return lex->p < lex->end ? *lex->p : 0;
}

/* Moves over c, which is neither white space nor '/', if that comes next. */
static inline bool mil__lex_take(mil__lexer *lex, char c) {
    if (lex->p < lex->end && *lex->p == c) return lex->p++, true;
    if (mil__lex_peek(lex) != c || lex->p == lex->end) return false;
    lex->p++;
    return true;
}

/* Which of eight characters can't stand in a name, as the high bit of each one's byte; '@', which may, is among them.
 * Letters are told apart without their case, each test is a sum that carries into the high bit. */
static inline uint64_t mil__lex_others(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
    uint64_t low = word & ~high, folded = low | 0x20 * ones;
    uint64_t letter = (folded + (0x80 - 'a') * ones) & ~(folded + (0x7f - 'z') * ones);
    uint64_t digit = (low + (0x80 - '0') * ones) & ~(low + (0x7f - '9') * ones);
    uint64_t line = ~((low ^ '_' * ones) + 0x7f * ones);
    return (~(letter | digit | line) | word) & high;
}

/* Where the name that goes on at p ends: eight characters at a time, while so many are left. */
static inline const char *mil__lex_name_end(const char *p, const char *end) {
    for (; end - p >= 8; p += 8) {
        uint64_t others = mil__lex_others(mil__word_at(p));
        if (!others) continue;
        p += __builtin_ctzll(others) / 8;
        break;
    }
    while (p < end && mil__name_class[(unsigned char)*p]) p++;
    return p;
}

static inline bool mil__lex_at_name(mil__lexer *lex) { return mil__name_class[(unsigned char)mil__lex_peek(lex)] == 1; }

/* A name, if there is one: out->n is 0 where there is none. */
static inline mil__slice mil__lex_name(mil__lexer *lex) {
    mil__slice out = {lex->p, 0};
    if (!mil__lex_at_name(lex)) return out;
    const char *end = mil__lex_name_end(lex->p, lex->end);
    out = (mil__slice){lex->p, (size_t)(end - lex->p)};
    lex->p = end;
    return out;
}

/* MIL_EPARSE: expected <what>, found <what stands at the cursor>. */
mil_status mil__lex_expected(mil__lexer *lex, const char *what);
mil_status mil__lex_expected_char(mil__lexer *lex, char c, const char *context); /* expected "c" <context> */

/* This character, or an error. */
static inline mil_status mil__lex_expect(mil__lexer *lex, char c, const char *context) {
    return mil__lex_take(lex, c) ? MIL_OK : mil__lex_expected_char(lex, c, context);
}

/* A name, or an error. */
static inline mil_status mil__lex_expect_name(mil__lexer *lex, const char *what, mil__slice *out) {
    *out = mil__lex_name(lex);
    return out->n ? MIL_OK : mil__lex_expected(lex, what);
}

/* A string; *out points into the text, or into `decoded` where it has escapes. */
mil_status mil__lex_string(mil__lexer *lex, mil__str *decoded, mil__slice *out);

/* Fills the error for the place `at`: message "file:line:column: ...", line, column, excerpt; returns status. */
__attribute__((format(printf, 4, 5)))
mil_status mil__lex_fail(const mil__lexer *lex, const char *at, mil_status status, const char *format, ...);
/* As mil__lex_fail, for an error that is filled already, but for its place; MIL_OK is nothing. */
mil_status mil__lex_locate(const mil__lexer *lex, const char *at, mil_status status);

#endif
