/* SPDX-License-Identifier: MIT */
/* Attention as one step. See attention.c. */
#ifndef MIL__ATTENTION_H
#define MIL__ATTENTION_H

#include "engine/cpu/steps.h"

typedef struct mil__attention {
    uint32_t q, key, v, mask;     /* slots */
    bool has_mask, key_is_columns; /* key is [.., E, S] */
    double scale;
} mil__attention;

mil_status mil__emit_attention(mil__lower *lower, const mil__group *group, const mil__attention *attention, bool *done);

enum { MIL__ATTENTION_OPS = 5 };

/* The written-out form that ends in a matmul: its operations, in order, and what it reads. */
typedef struct mil__attention_ops {
    mil_operation ops[MIL__ATTENTION_OPS];
    int n;
    mil_value q, key, v, mask;    /* mask 0: none */
    double scale;
    bool key_is_columns;
} mil__attention_ops;

bool mil__match_attention(const mil__lower *lower, mil_operation last, mil__attention_ops *out);
mil_status mil__select_written_attention(mil__lower *lower, const mil__group *group, bool *done);

#endif
