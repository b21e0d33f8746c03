/* SPDX-License-Identifier: MIT */
/* Random numbers of the random ops, in blocks that any thread can fill.
 *
 *   stream     the numbers of one evaluation. A seed of 0 or more is the stream: every evaluation, in any model, gives the same
 *              numbers. Below 0 (the default) each evaluation has a stream of its own.
 *   block      MIL__RANDOM_BLOCK neighbours of a result in C order, from a generator of their own (random.c of tensor/), seeded
 *              by stream and block: the numbers do not depend on who fills which block, or when.
 *
 * Core ML gives other numbers for a seed; the distributions alone are the same. */
#ifndef MIL__RANDOM_H
#define MIL__RANDOM_H

#include "ops/op.h"

enum { MIL__RANDOM_BLOCK = 2048 };

typedef enum mil__distribution { MIL__BERNOULLI, MIL__NORMAL, MIL__UNIFORM } mil__distribution;

struct mil__random_params {
    mil__distribution distribution;
    double a, b;              /* prob; mean and stddev; low and high */
    int64_t seed;
};

uint64_t mil__random_stream(int64_t seed);
static inline int64_t mil__random_blocks(int64_t elements) { return (elements + MIL__RANDOM_BLOCK - 1) / MIL__RANDOM_BLOCK; }
/* Fills one block of a contiguous fp16 or fp32 tensor. */
void mil__random_fill(const struct mil__random_params *params, uint64_t stream, int64_t block, mil_tensor *to);

/* Of all ops whose result is so filled. */
mil_status mil__eval_random(mil__call *call);

#endif
