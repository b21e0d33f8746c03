/* SPDX-License-Identifier: MIT */
/* What the engine's compilers refuse, by route: asked by the classes of ane.c and by Espresso. */
#ifndef STANDIN_REFUSALS_H
#define STANDIN_REFUSALS_H

#include "mil.h"

typedef enum route { ROUTE_DIRECT = 1, ROUTE_E5RT = 2 } route;

/* Whether standin_believe named one of these sources; NULL: no source is needed. */
bool believed(const char *sources);
/* Why the text's form is refused; NULL: it is taken. */
const char *refused_text(const char *text, route by);
/* Whether a function's ports are refused, and why. is_ane: the Neural Engine alone is to run it. */
bool refused_ports(const mil_program *program, mil_block function, route by, bool is_ane, char *why, size_t size);
/* Whether one of its operations is. What gives wrong numbers without a word is noted as a violation. */
bool refused_ops(const mil_program *program, mil_block function, route by, char *why, size_t size);
/* Whether a loaded function is refused: what only works element by element, as one source has it. */
bool refused_load(const mil_program *program, mil_block function);
#endif
