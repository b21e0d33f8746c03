/* SPDX-License-Identifier: MIT */
/* What parse.c (programs, functions, statements) and literal.c (types, literals) share. */
#ifndef MIL__PARSE_H
#define MIL__PARSE_H

#include "program/program.h"
#include "text/lex.h"
#include "weights/milblob.h"

enum {
    MIL__MAX_DEPTH = 100,     /* of nested types, literals and blocks */
    MIL__TYPE_CACHE = 64,
    MIL__OP_CACHE = 64
};

typedef struct mil__parser {
    mil__lexer lex;
    mil_program *program;
    bool unchecked;
    bool fresh;               /* "?" is a symbol of its own; else all of them are `unknown`, which says nothing */
    mil_dim unknown;
    int depth;
    size_t most_bytes;        /* that the program's arena may hold: no text may take much more than its size */
    mil__arena tmp;           /* of one statement */
    mil__str elements;        /* of the literal that is being read: packed numbers, or mil__string_ref */
    mil__str chars;           /* of its strings */
    mil__str decoded;         /* a string with escapes */
    struct {                  /* items of lists, tuples and dictionaries, until all of one are there */
        mil__attr *items;
        size_t n, cap;
    } stack;
    mil_dtype dtype;          /* that was met last */
    const mil_type *scalars[MIL_N_DTYPES];
    struct {                  /* types by the text that spells them, since a few make up most of a program */
        mil__slice text;
        const mil_type *type;
    } types[MIL__TYPE_CACHE];
    const mil_op *ops[MIL__OP_CACHE]; /* ops met, by a few letters of their names */
    mil__blobs blobs;         /* its model_path NULL: weights are refused */
} mil__parser;

mil_status mil__parse_type(mil__parser *ps, const mil_type **out);
mil_dtype mil__parse_dtype(mil__parser *ps, mil__slice name); /* MIL_NO_DTYPE where it is none */

/* What a literal is for: an attribute, kept as it is written; or a const, whose weights are read from their file. */
typedef enum mil__literal_use { MIL__FOR_ATTRIBUTE, MIL__FOR_CONST } mil__literal_use;

/* Reads "type(payload)" into all of *out but its name and next. For a const, out->data is the caller's to free when it
 * has a buffer; out->n_items is not 0 where the tensor is in a weights file, or no tensor. */
mil_status mil__parse_literal(mil__parser *ps, mil__literal_use use, mil__attr *out);
/* The same, after the type. */
mil_status mil__parse_payload(mil__parser *ps, const mil_type *type, mil__literal_use use, mil__attr *out);
/* MIL_ELIMIT where the program has become too large for its text. */
mil_status mil__parse_check_size(mil__parser *ps);

#endif
