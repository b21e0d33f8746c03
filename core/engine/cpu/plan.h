/* SPDX-License-Identifier: MIT */
/* Memory planning: a pure function from lifetimes and sizes to offsets in one arena.
 *
 *   step     0    1    2    3    4          offset
 *   a        [---------]                    0
 *   b             [----]                    |a|
 *   c                       [---------]     0       a has died, c may lie where it lay
 *
 * Law: buffers whose lifetimes meet never overlap; the arena is never larger than the sum of the sizes. */
#ifndef MIL__PLAN_H
#define MIL__PLAN_H

#include "base/base.h"

typedef struct mil__lifetime {
    size_t bytes;
    uint32_t first, last; /* steps, both included */
    size_t offset;        /* out */
} mil__lifetime;

enum { MIL__PLAN_ALIGN = 64 };

/* Sets the offsets (multiples of MIL__PLAN_ALIGN) and *total. Steps are below n_steps. Fails: MIL_ENOMEM, MIL_ELIMIT
 * (the sum overflows). */
mil_status mil__plan(mil__lifetime *buffers, uint32_t n, uint32_t n_steps, size_t *total, mil_error *err);

#endif
