/* SPDX-License-Identifier: MIT */
/* The checker: would an engine take a program? What is known of an engine stands in rows (ane.def): a condition, and what to
 * say where it holds. One evaluator walks the program and asks each row at its place; adding a rule is a row, and a
 * condition where none fits.
 *
 *   ane.def           the rows
 *   operations.c      conditions of operations
 *   functions.c       conditions of a function, its inputs and outputs
 *   look.h            what conditions ask of what they look at
 *   rules.c           the table, as others see it; and the rows that matter for a chip, route and system
 *   check.c           the evaluator and its report
 */
#ifndef MIL__CHECK_H
#define MIL__CHECK_H

#include "program/program.h"

/* Capability families of chips: a Mac's M1 has an A13's, M2 A14, M3 A15, M4 and later A16. */
enum { MIL__A13, MIL__A14, MIL__A15, MIL__A16, MIL__N_FAMILIES };
enum { MIL__DIRECT = 1, MIL__E5RT = 2 };      /* routes */

/* What one function holds, counted once. */
typedef struct mil__tally {
    const mil__function *function;
    uint32_t n_operations;                    /* beside consts */
    bool is_elementwise;                      /* all of them are elementwise or activations */
    int64_t weight_bytes;                     /* of consts, as they are stored */
    int64_t largest_bytes;                    /* that one operation reads and writes, */
    mil_operation largest;                    /*   and which */
} mil__tally;

/* What a condition is given, and what it may say. */
typedef struct mil__look {
    const mil_program *program;
    const mil__op *op;                        /* NULL where no operation is looked at */
    mil_value value;                          /* the input or output; a condition on an operation may put one there */
    const mil__value *port;                   /* the same */
    const mil__block *body;                   /* of the function: its ports */
    uint32_t index;                           /* of the port */
    bool is_output;
    const mil__tally *tally;
    int64_t limit;                            /* the row's, for the family looked at; 0: it has none */
    bool only_entry;                          /* one function was asked for */
    char here[160];                           /* what was found, for the message; "": nothing to add */
} mil__look;

typedef bool mil__condition(mil__look *look);

/* Where a row is asked. */
typedef enum mil__place { MIL__AT_OPERATION, MIL__AT_INPUT, MIL__AT_OUTPUT, MIL__AT_FUNCTION } mil__place;

typedef struct mil__rule {
    const char *id;
    mil_severity severity;
    mil__condition *when;
    mil__place place;
    const char *ops;                          /* with blanks between; NULL: of every op */
    uint8_t routes, families;                 /* bits; 0: all */
    int since_system;                         /* macOS; 0: all */
    int64_t limit[MIL__N_FAMILIES];           /* 0: the row is not about that family */
    const char *what;                         /* is wrong; follows "<op>: " */
    const char *fails, *runs;                 /* who says so, and who says it runs; NULL */
    const char *instead;                      /* what to write; NULL */
    const char *source;
    bool is_lowered;                          /* what it speaks against, lowering writes otherwise */
    const char *kept;                         /* why it doesn't, of an error or a warning; NULL: it does */
} mil__rule;

/* An op that was seen to run, by whom: what is no rule's and is not here was never seen. */
typedef struct mil__ran {
    const char *ops;
    uint8_t routes;
    const char *source;
} mil__ran;

size_t mil__n_rules(void);
const mil__rule *mil__rule_at(size_t i);
const mil__ran *mil__ran_at(size_t i);        /* NULL beyond the end */
bool mil__names_have(const char *names, const char *name); /* is the name among those, with blanks between? */

/* "m1", "M4 Max", "Apple M2": its number; 0: that is no chip's name. */
int mil__chip_number(const char *chip);

/* ---- asking about one operation ---- */

enum { MIL__RULE_WORDS = 3, MIL__MAX_OPS = 192 };

/* What is asked about, and the rows that matter there, by op: a bit each. */
typedef struct mil__check_target {
    uint8_t route, families;                  /* one bit; bits */
    int system;                               /* macOS, the part before the point; 0: any */
    bool strict, all;
    bool is_lowered;                          /* the program is to be lowered: rows that are about what it writes otherwise don't count */
    uint64_t rows[MIL__MAX_OPS][MIL__RULE_WORDS];
} mil__check_target;

/* Fails: MIL_ENAME (engine, route), MIL_EVALUE (chip, system). options may be NULL. */
mil_status mil__check_target_of(const mil_check_options *options, mil__check_target *out, mil_error *err);
/* Would the engine take this operation? No where a row says that it fails (a doubt too, where the target is strict); then
 * err (may be NULL) has why, as MIL_EUNSUPPORTED, with op, value and place. Whole-program rules are not asked. */
bool mil__check_takes(const mil_program *program, mil_operation operation, const mil__check_target *target, mil_error *err);
bool mil__is_elementwise(const mil__op *op); /* or an activation */

/* ---- the conditions ---- */

#define RULE(severity, id, condition, ...) mil__condition mil__when_##condition;
#define RAN(ops, routes, source)
#include "check/ane.def"
#undef RULE
#undef RAN

#endif
