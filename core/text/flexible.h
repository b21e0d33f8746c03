/* SPDX-License-Identifier: MIT */
/* FlexibleShapeInformation: what text says of the sizes of a function's inputs, in an attribute of the function. */
#ifndef MIL__FLEXIBLE_H
#define MIL__FLEXIBLE_H

#include "program/program.h"

#define MIL__FLEXIBLE "FlexibleShapeInformation"

/* Gives the function's inputs the ranges and shapes that its attribute says, where it says them as Apple's compiler
 * does; anything else is an attribute like others. Fails: MIL_ENOMEM. */
mil_status mil__flexible_read(mil_program *program, const mil__function *function, mil_error *err);
/* The function's attributes, in the arena, with that one as its inputs are now; left out where none has limits. */
mil_status mil__flexible_write(const mil_program *program, const mil__function *function, mil__arena *arena,
                               const mil__attr **out, mil_error *err);
/* The least size of an input's dim: where nothing was said of it, 1. */
int64_t mil__flexible_least(const mil__function *function, const mil_symbol *symbol);

#endif
