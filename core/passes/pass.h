/* SPDX-License-Identifier: MIT */
/* Passes over a program that an engine owns. A pass walks the operations of each block in order; on the way it says which
 * value stands for which (mil__pass_replace), and arguments that come later are rewritten as they are met: one walk,
 * linear in the program. */
#ifndef MIL__PASS_H
#define MIL__PASS_H

#include "program/program.h"

typedef struct mil__pass_state {
    mil_program *program;
    mil_value *instead;      /* by value; 0: itself */
    uint32_t n_instead;
    mil_error *err;
    void *own;               /* the pass's */
} mil__pass_state;

/* From here on `with` stands for `value` (same type). */
mil_status mil__pass_replace(mil__pass_state *state, mil_value value, mil_value with);
/* Calls visit for each operation of each block, in order, nested blocks included, its arguments rewritten already; then
 * rewrites the blocks' outputs. visit may remove the operation it is given, and add operations before it. */
mil_status mil__pass_walk(mil_program *program, mil_status (*visit)(mil__pass_state *state, mil_operation operation),
                          void *own, mil_error *err);

/* Runs every pass, but those whose names are in the comma-separated `disable` (NULL: none), and, where strict, those that
 * change results at all. */
mil_status mil__passes_run(mil_program *program, const char *disable, bool strict, mil_error *err);
/* MIL_ENAME, with the nearest name, where `disable` names what is neither a pass nor "fuse". */
mil_status mil__passes_check(const char *disable, mil_error *err);

/* Computes the results of an operation whose operands are all known: they are so from then on. */
mil_status mil__pass_evaluate(mil_program *program, const mil__op *op, mil__arena *arena, mil_error *err);

/* The names of the fusions of the cpu engine's step list may be disabled the same way. */
bool mil__pass_disabled(const char *disable, const char *name);

#define PASS(name, exact, help) mil_status mil__pass_##name(mil_program *program, mil_error *err);
#include "passes/passes.def"
#undef PASS

#endif
