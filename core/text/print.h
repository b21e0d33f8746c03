/* SPDX-License-Identifier: MIT */
/* Text whose large consts are in a weights file that is written along with it. */
#ifndef MIL__PRINT_H
#define MIL__PRINT_H

#include "program/program.h"

typedef struct mil__text_places {
    const char *path;         /* of the weights file, as the text names it */
    /* The offset of the const's record in that file; 0: its elements stand in the text. */
    uint64_t (*place)(void *ctx, const mil__value *value);
    void *ctx;
    int version_minor;        /* of the text */
    const mil__attr *const *attrs; /* of the functions, in the program's order, instead of their own */
} mil__text_places;

/* As mil_text_print. Consts whose elements are not at hand keep the place that they were read with. */
mil_status mil__text_print(const mil_program *program, const mil__text_places *places, char **out, size_t *n,
                           mil_error *err);

#endif
