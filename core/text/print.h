/* SPDX-License-Identifier: MIT */
/* Text whose large consts are in weights files that are written along with it; and text as an engine's compiler wants it. */
#ifndef MIL__PRINT_H
#define MIL__PRINT_H

#include "program/program.h"

/* What an engine's compiler takes is less than what MIL is: see dialect.c, which fills this. */
typedef struct mil__text_dialect {
    const char *info;         /* the line of the program's attributes */
    /* By value: the name that it has in the text. Consts that have one here are printed as operations, each before what takes
     * it; others that stand in no attribute not at all. */
    const char *const *names;
    mil_opset opset;          /* of the functions */
} mil__text_dialect;

typedef struct mil__text_places {
    /* The offset of the const's record in the weights file that the text calls *file; 0: its elements stand in the text. */
    uint64_t (*place)(void *ctx, const mil__value *value, const char **file);
    void *ctx;
    int version_minor;        /* of the text */
    const mil__attr *const *attrs; /* of the functions, in the program's order, instead of their own */
    const mil__text_dialect *dialect; /* NULL: as Apple's compiler writes text */
} mil__text_places;

/* As mil_text_print. Consts whose elements are not at hand keep the place that they were read with. */
mil_status mil__text_print(const mil_program *program, const mil__text_places *places, char **out, size_t *n,
                           mil_error *err);

#endif
