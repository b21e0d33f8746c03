/* SPDX-License-Identifier: MIT */
/* A text of which only the functions' inputs and outputs matter, because somebody else compiles it. */
#ifndef MIL__OUTLINE_H
#define MIL__OUTLINE_H

#include "program/program.h"

/* Reads n bytes of MIL text as a new program whose functions have their inputs and outputs and compute nothing: operations are passed
 * over, whatever they are, and each result whose type is known is a const without data. Fails: as mil_text_parse, of what is read. */
mil_status mil__text_outline(const char *text, size_t n, mil_program **out, mil_error *err);

#endif
