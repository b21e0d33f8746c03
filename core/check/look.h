/* SPDX-License-Identifier: MIT */
/* What conditions ask of the operation or port that they look at. */
#ifndef MIL__LOOK_H
#define MIL__LOOK_H

#include "check/check.h"

/* The first value given to a parameter; NULL: none. */
const mil__value *mil__look_arg(const mil__look *look, const char *name);
/* The operation that computes a value; NULL: an input, or no value. */
const mil__op *mil__look_maker(const mil__look *look, const mil__value *value);
/* A tensor's extent, axis from 0 or from the end; -1: it has no such axis, or only a run knows. */
int64_t mil__look_dim(const mil__value *value, int axis);
/* A parameter's number (a scalar, or a list of one), or its default; false where it is not known. */
bool mil__look_number(const mil__look *look, const char *name, double *out);
bool mil__look_int(const mil__look *look, const char *name, int64_t *out);
int64_t mil__look_numel(const mil_type *type);   /* -1: not known; what 64 bits can't count: INT64_MAX */
int64_t mil__look_bytes(const mil_type *type);   /* likewise */
/* Says what was found: "weight fp16[8, 3, 1, 1]"; name NULL: the type alone. */
void mil__look_type(mil__look *look, const char *name, const mil__value *value);

#endif
