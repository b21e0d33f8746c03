/* SPDX-License-Identifier: MIT */
/* What parse.c (programs, functions, statements), usual.c (statements in their usual form) and literal.c (types, literals)
 * share. */
#ifndef MIL__PARSE_H
#define MIL__PARSE_H

#include "program/program.h"
#include "text/lex.h"
#include "weights/milblob.h"

enum {
    MIL__MAX_DEPTH = 100,     /* of nested types, literals and blocks */
    MIL__TYPE_CACHE = 64,
    MIL__OP_CACHE = 64,
    MIL__MET_PARAMS = 4,
    MIL__LITERAL_CACHE = 64,
    MIL__RECENT = 64,
    MIL__LAST = 2
};

typedef struct mil__result { /* what a statement declares on its left side */
    const mil_type *type;
    mil__slice name;
    uint64_t hash; /* of the name */
} mil__result;

typedef struct mil__recent { /* a value that was defined a few lines before, by its name in the text */
    uint64_t hash;
    mil__slice name;
    mil_block block;
    mil_value value;
} mil__recent;

typedef struct mil__met_op { /* an op that the function has, as its last call was written */
    mil__slice name, call;    /* "relu", and with what follows: "relu(" */
    const mil_op *op;
    struct {
        mil__slice text;      /* "x = ": the parameter that stood there */
        int slot;
    } params[MIL__MET_PARAMS];
    struct mil__met_op *next; /* that was called after it */
} mil__met_op;

typedef struct mil__parser {
    mil__lexer lex;
    mil_program *program;
    const mil_op *const_op;
    bool unchecked;
    bool is_outline;          /* operations are passed over (outline.h) */
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
    struct {                  /* small literals by their text: equal ones of a program are one tensor */
        mil__slice text;
        const mil_type *type;
        mil_tensor *data;
    } literals[MIL__LITERAL_CACHE];
    const mil_type *scalars[MIL_N_DTYPES];
    struct {                  /* the scalar type that was met last: its name's characters (n > 0) in a number */
        uint64_t word;
        size_t n;
        const mil_type *type;
    } scalar;
    struct {                  /* types by the text that spells them, since a few make up most of a program */
        mil__slice text;
        const mil_type *type;
    } types[MIL__TYPE_CACHE];
    size_t last_type;         /* the one of them that was met last */
    mil__met_op ops[MIL__OP_CACHE]; /* by a few letters of their names */
    mil__met_op *last_op;           /* that was called last; NULL: none */
    struct {                  /* the left side of a usual statement, read ahead; begin NULL: none */
        const char *begin, *end;
        mil__result result;
    } ahead;
    mil__recent recent[MIL__RECENT]; /* by hash: most operands are the results of the lines just above */
    const mil__recent *last[MIL__LAST]; /* into it: the last results, newest first */
    mil__blobs blobs;         /* its model_path NULL: weights are refused */
} mil__parser;

typedef struct mil__statement {
    const char *at;                /* where it begins */
    int line;
    mil_block block;
    mil__slice op_name;
    const mil_op *op;
    mil__result *results;
    int n_results, cap_results;
    mil__result first;                  /* results is this one, as long as there is no other */
    mil__values args[MIL__MAX_INPUTS];
    mil_value one[MIL__MAX_INPUTS]; /* args' values, where they are no more than one */
    uint32_t cap[MIL__MAX_INPUTS]; /* of args' values */
    int n_args;
    const char *label;
    bool has_label;                /* a name attribute, or its absence, that label tells of */
    mil__attr *attrs, **attrs_end;
    mil__attr val;                 /* a const's value; val.type NULL: none yet */
    mil_block *blocks;
    int n_blocks, cap_blocks;
} mil__statement;

mil_status mil__parse_type(mil__parser *ps, const mil_type **out);
mil_dtype mil__parse_dtype(mil__parser *ps, mil__slice name); /* MIL_NO_DTYPE where it is none */

/* What a literal is for: an attribute, kept as it is written; or a const, whose weights are read from their file. */
typedef enum mil__literal_use { MIL__FOR_ATTRIBUTE, MIL__FOR_CONST } mil__literal_use;

/* Reads "type(payload)" into all of *out but its name and next. For a const, out->data is the caller's to free when it
 * has a buffer; out->n_items is not 0 where the tensor is in a weights file, or no tensor. */
mil_status mil__parse_literal(mil__parser *ps, mil__literal_use use, mil__attr *out);
/* The const's literal at p, if one was read that is written the same: *out without name and next. Returns where it ends, or NULL. */
const char *mil__parse_known_literal(const mil__parser *ps, const char *p, mil__attr *out);
/* The type at p, if it was read before: where it ends, or NULL. */
const char *mil__parse_known_type(mil__parser *ps, const char *p, const mil_type **out);
/* The same, after the type. */
mil_status mil__parse_payload(mil__parser *ps, const mil_type *type, mil__literal_use use, mil__attr *out);
/* MIL_ELIMIT where the program has become too large for its text. */
mil_status mil__parse_check_size(mil__parser *ps);


/* ---- usual.c ---- */

/* Reads a statement that is written as printers write them, and a line after it, and adds it to the block. False, and nothing
 * moved, where it is not, or cannot be. */
bool mil__parse_usual(mil__parser *ps, mil_block block);
const mil_op *mil__parse_op(mil__parser *ps, mil__slice name); /* NULL: there is none */
void mil__parse_remember(mil__parser *ps, mil_block block, const mil__result *result, mil_value value);
/* The value of that name that is visible in the block; 0: none. */
mil_value mil__parse_value(const mil__parser *ps, mil_block block, mil__slice name);

#endif
