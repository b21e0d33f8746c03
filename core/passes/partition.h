/* SPDX-License-Identifier: MIT */
/* A function divided between an engine and the cpu engine, for programs of which some operations must stay on the cpu. */
#ifndef MIL__PARTITION_H
#define MIL__PARTITION_H

#include "program/program.h"

typedef struct mil__partition_part {
    bool is_taken;            /* by the engine; else by the cpu */
    mil_value *inputs;        /* that it uses, of other parts or of the function (states too), in the order of their first use */
    mil_value *outputs;       /* of its own that other parts use, or the function gives, in program order; */
    uint32_t n_inputs, n_outputs; /* 0 outputs: it only changes states */
    mil_operation *operations; /* in program order */
    uint32_t n_operations;
} mil__partition_part;

typedef struct mil__partition {
    mil__arena arena;         /* of all that follows */
    mil__partition_part *parts; /* each uses results of those before it alone */
    uint32_t n;
} mil__partition;

/* takes: whether the engine would have an operation of the function's body, nested blocks and all; it is asked once for each that is
 * computed in a run (of what is known already nothing is of a part: mil__program_cut brings it along). Outputs of the function
 * that are its inputs are of no part either. What uses a list, strings or a tensor of unknown rank, which no port can be, is of its
 * maker's part.
 * Fails: MIL_ENOMEM, with *out empty. */
mil_status mil__partition_make(const mil_program *program, mil_block function, bool (*takes)(void *ctx, mil_operation operation), void *ctx,
                               mil__partition *out, mil_error *err);
void mil__partition_free(mil__partition *partition);

#endif
