/* SPDX-License-Identifier: MIT */
/* Norms that are written out, as one step. See norm.c. */
#ifndef MIL__NORM_H
#define MIL__NORM_H

#include "engine/cpu/steps.h"

enum { MIL__NORM_OPS = 9 };

/* The written-out form that ends in an operation: its operations, in order, and what it reads. */
typedef struct mil__norm_ops {
    mil_operation ops[MIL__NORM_OPS];
    int n;
    mil_value x, gamma, beta;     /* 0: none */
    double epsilon;
    uint32_t axes;                /* a bit each */
    bool keep_mean;               /* RMS norm: nothing is subtracted */
} mil__norm_ops;

bool mil__match_norm(const mil__lower *lower, mil_operation last, mil__norm_ops *out);

/* Of rows.c: the step; the axes that a parameter names (`none` where it is absent); an op's epsilon. */
mil_status mil__select_written_norm(mil__lower *lower, const mil__group *group, bool *done);
uint32_t mil__axes_of(const mil__lower *lower, const mil__op *op, const char *name, int rank, uint32_t none);
double mil__epsilon_of(const mil__lower *lower, const mil__op *op);

#endif
