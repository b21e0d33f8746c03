/* SPDX-License-Identifier: MIT */
/* White space, strings, and the place of an error. See lex.h. */
#include <stdio.h>

#include "base/bytes.h"
#include "text/lex.h"

void mil__lex_space(mil__lexer *lex) {
    const char *p = lex->p, *end = lex->end;
    for (; p < end; p++) {
        if (*p == '\n') {
            lex->line++;
            p = mil__lex_spaces_end(p + 1, end) - 1;
        } else if (*p == '/' && end - p > 1 && p[1] == '/') {
            const char *eol = memchr(p, '\n', (size_t)(end - p));
            p = (eol ? eol : end) - 1;
        } else if (*p != ' ' && *p != '\t' && *p != '\r') {
            break;
        }
    }
    lex->p = p;
}

/* ---- UTF-8 ---- */

/* Bytes of the character at `at`, before `end`; 0 where it is not UTF-8. */
static size_t character_bytes(const char *at, const char *end) { return mil__utf8_bytes(at, (size_t)(end - at)); }

static size_t step(const char *p, const char *end) {
    size_t n = character_bytes(p, end);
    return n ? n : 1;
}

/* ---- the place of an error ---- */

enum { BEFORE = 70, AFTER = 60 }; /* characters shown around the column */

/* One line of the text around `at`, a newline, and a caret. What is cut off is shown as "...". */
static void put_excerpt(const char *line, const char *line_end, const char *at, int column, char *to, size_t room) {
    const char *from = line;
    int left_out = column - 1 > BEFORE ? column - 1 - BEFORE : 0;
    for (int i = 0; i < left_out; i++) from += step(from, line_end);
    size_t n = 0, caret = 0, most = room - BEFORE - 16; /* the caret's line and the marks need the rest */
    if (left_out) n = caret = (size_t)sprintf(to, "... ");
    int shown = 0;
    for (const char *p = from; p < line_end && n + 4 < most && shown < AFTER + column - left_out; shown++) {
        size_t bytes = character_bytes(p, line_end);
        bool plain = bytes > 1 || (bytes == 1 && (unsigned char)*p >= ' ' && *p != 0x7f);
        if (p < at) caret++;
        if (plain) memcpy(to + n, p, bytes);
        else to[n] = bytes ? ' ' : '?';
        n += plain ? bytes : 1;
        p += bytes ? bytes : 1;
        from = p;
    }
    if (from < line_end) n += (size_t)sprintf(to + n, " ...");
    snprintf(to + n, room - n, "\n%*s^", (int)caret, "");
}

mil_status mil__lex_locate(const mil__lexer *lex, const char *at, mil_status status) {
    mil_error *err = lex->err;
    if (!err || status == MIL_OK || status == MIL_ENOMEM) return status;
    const char *line = lex->text;
    int number = 1;
    for (const char *nl; (nl = memchr(line, '\n', (size_t)(at - line))); number++) line = nl + 1;
    const char *line_end = memchr(at, '\n', (size_t)(lex->end - at));
    if (!line_end) line_end = lex->end;
    if (line_end > line && line_end[-1] == '\r' && line_end - 1 >= at) line_end--;
    int column = 1;
    for (const char *p = line; p < at; p += step(p, line_end)) column++;
    char message[sizeof err->message];
    snprintf(message, sizeof message, "%.200s:%d:%d: %.500s", lex->file ? lex->file : "text", number, column, err->message);
    memcpy(err->message, message, sizeof message);
    snprintf(err->file, sizeof err->file, "%s", lex->file ? lex->file : "");
    err->line = number;
    err->column = column;
    put_excerpt(line, line_end, at, column, err->excerpt, sizeof err->excerpt);
    return status;
}

mil_status mil__lex_fail(const mil__lexer *lex, const char *at, mil_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    mil__vfail(lex->err, status, format, args);
    va_end(args);
    return mil__lex_locate(lex, at, status);
}

/* What stands at the cursor, in words. */
static void put_found(mil__lexer *lex, char *to, size_t room) {
    char c = mil__lex_peek(lex);
    const char *p = lex->p;
    size_t n = 0, left = (size_t)(lex->end - p);
    if (left == 0) {
        snprintf(to, room, "the end of the text");
        return;
    }
    if (c == '"') {
        snprintf(to, room, "a string");
        return;
    }
    bool word = mil__name_class[(unsigned char)c] || c == '-';
    while (word && n < left && n < 40 && (mil__name_class[(unsigned char)p[n]] || strchr("-+.", p[n]) != NULL) && p[n]) n++;
    if (n == 0) n = character_bytes(p, lex->end);
    if (n == 0 || (unsigned char)c < ' ') snprintf(to, room, "byte 0x%02x", (unsigned char)c);
    else snprintf(to, room, "\"%.*s\"", (int)n, p);
}

mil_status mil__lex_expected(mil__lexer *lex, const char *what) {
    char found[64];
    put_found(lex, found, sizeof found);
    return mil__lex_fail(lex, lex->p, MIL_EPARSE, "expected %s, found %s", what, found);
}

mil_status mil__lex_expected_char(mil__lexer *lex, char c, const char *context) {
    char what[160];
    snprintf(what, sizeof what, "\"%c\"%s%s", c, *context ? " " : "", context);
    return mil__lex_expected(lex, what);
}

/* ---- strings ---- */

/* The character that an escape stands for; 0 where it is none of them. */
static char escaped(char c) {
    switch (c) {
    case '"': case '\\': return c;
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
    }
}

/* From the first escape on. An escape that is not known stays as it is, both characters. */
static mil_status decode(mil__lexer *lex, const char *begin, const char *end, mil__str *decoded, mil__slice *out) {
    decoded->n = 0;
    mil__str_add(decoded, "", 0);
    for (const char *p = begin; p < end;) {
        const char *stop = memchr(p, '\\', (size_t)(end - p));
        mil__str_add(decoded, p, (size_t)((stop ? stop : end) - p));
        if (!stop) break;
        char c = escaped(stop[1]);
        if (c) mil__str_putc(decoded, c);
        else mil__str_add(decoded, stop, 2);
        p = stop + 2;
    }
    if (decoded->failed) return mil__nomem(lex->err);
    *out = (mil__slice){decoded->s, decoded->n};
    return MIL_OK;
}

mil_status mil__lex_string(mil__lexer *lex, mil__str *decoded, mil__slice *out) {
    if (mil__lex_peek(lex) != '"') return mil__lex_expected(lex, "a string");
    const char *open = lex->p, *begin = open + 1, *p = begin;
    bool escapes = false;
    while (p < lex->end && *p != '"') {
        unsigned char c = (unsigned char)*p;
        size_t bytes = c < 0x80 ? 1 : character_bytes(p, lex->end);
        if (bytes == 0 || c == 0) return mil__lex_fail(lex, p, MIL_EPARSE, "byte 0x%02x in a string: not UTF-8", c);
        if (c == '\n') lex->line++;
        if (c == '\\') {
            escapes = true;
            bytes += lex->end - p > 1 && (p[1] == '"' || p[1] == '\\');
        }
        p += bytes;
    }
    if (p >= lex->end) return mil__lex_fail(lex, open, MIL_EPARSE, "a string without an end");
    lex->p = p + 1;
    if (escapes) return decode(lex, begin, p, decoded, out);
    *out = (mil__slice){begin, (size_t)(p - begin)};
    return MIL_OK;
}
