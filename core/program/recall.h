/* SPDX-License-Identifier: MIT */
/* Types of results that were inferred before, by what decides them; a few of them, the last ones. */
#ifndef MIL__RECALL_H
#define MIL__RECALL_H

#include "program/program.h"

/* The type of the operation's one result, if a call like it was inferred lately; NULL: it must be inferred. Its own type, name
 * and place are not looked at. */
const mil_type *mil__recall(const mil_program *program, mil_opset opset, const mil__plain_op *plain);
/* After inference, before declared types are looked at. Keeps nothing where the result depends on more. */
void mil__recall_later(mil_program *program, const mil__new_op *new_op, const mil__call *call);
/* Before the program's arena is rewound. */
void mil__recall_forget(mil_program *program);

#endif
