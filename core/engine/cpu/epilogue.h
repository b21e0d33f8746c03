/* SPDX-License-Identifier: MIT */
/* What a rooted group does to its root's result, in the terms of the kernels' epilogue (kernel.h):
 *     v = alpha * sum + bias;  v = act(v + add)  or  v = act(v) + add */
#ifndef MIL__CPU_EPILOGUE_H
#define MIL__CPU_EPILOGUE_H

#include "engine/cpu/steps.h"

typedef struct mil__after {
    double alpha;
    mil_value bias;   /* a const vector: one number a column (linear, matmul) or channel (conv); 0: none */
    mil_value add;    /* a tensor of the result's shape; 0: none */
    bool add_last, has_act;
    mil__act act;
    double p, q;
} mil__after;

/* Reads the operations after the root, and `next` where it is not NULL. False: the epilogue can't do that. */
bool mil__after_read(const mil__lower *lower, const mil__group *group, const mil__op *next, mil__after *out);
/* Fills a kernel's epilogue, but for the pointer of `add`. */
mil_status mil__after_fill(mil__lower *lower, const mil__after *after, mil__epilogue *out);
/* The result lies where the residual did, if that dies here and the root reads none of it: y = x + conv(x) needs both. */
void mil__after_share(mil__lower *lower, uint32_t out, uint32_t add, const uint32_t *root_in, uint32_t n_root_in);

#endif
