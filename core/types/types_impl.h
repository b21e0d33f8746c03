/* SPDX-License-Identifier: MIT */
/* How a mil__types is laid out; for core/types only.
 *
 * A symbolic dim is a polynomial with integer factors over atoms, kept in one canonical form and hash-consed:
 *
 *   dim -1 - i  -->  formulas[i] = sum of terms, in descending order
 *                    term        = factor * atom * atom ..   (ascending atom numbers, repeated for powers)
 *                    atoms[j]    = symbol | floor(dim / dim) | max(dims) | min(dims)
 *
 * Terms are in graded lexicographic order, which multiplication keeps: that makes products of sorted polynomials sorted,
 * and division by leading terms exact. A negative number is a polynomial of one term without atoms. */
#ifndef MIL__TYPES_IMPL_H
#define MIL__TYPES_IMPL_H

#include "types/types.h"

typedef enum mil__atom_kind { MIL__ATOM_SYMBOL, MIL__ATOM_FLOOR, MIL__ATOM_MAX, MIL__ATOM_MIN } mil__atom_kind;

typedef struct mil__atom {
    mil__atom_kind kind;
    bool is_fresh;        /* symbol: made by mil__dim_fresh or mil__dim_variadic */
    bool is_variadic;     /* symbol: for any number of dims */
    mil_symbol symbol;    /* symbol; max is -1 where unbounded */
    uint32_t n_args;      /* floor: 2; max, min: any */
    const mil_dim *args;
    uint32_t size;        /* of the written form: symbols and numbers in it */
    mil_dim dim;          /* this atom alone */
} mil__atom;

typedef struct mil__term {
    int64_t factor;
    uint32_t degree;      /* number of atoms */
    const uint32_t *atoms;
} mil__term;

typedef struct mil__formula {
    const mil__term *terms;
    uint32_t n, size;
} mil__formula;

struct mil__types {
    mil__arena arena;     /* all that lives as long as this */
    mil__arena scratch;   /* polynomials being computed; rewound by whoever marked it */
    mil_status status;
    mil__map type_map, atom_map, formula_map;
    const mil_type **types;
    const mil_type *recent[8]; /* found or made last, by a few of their bits */
    mil__atom **atoms;
    mil__formula **formulas;
    uint32_t n_types, n_atoms, n_formulas, cap_types, cap_atoms, cap_formulas;
    int64_t n_fresh;
};

/* Is a dim below 0 one that this owner made? A caller of the public functions may give any number. */
static inline bool mil__formula_known(const mil__types *types, mil_dim dim) { return -1 - dim < (mil_dim)types->n_formulas; }

static inline const mil__formula *mil__formula_at(const mil__types *types, mil_dim dim) {
    return types->formulas[-1 - dim];
}

/* Remembers the first failure. */
static inline void mil__types_fail(mil__types *types, mil_status status) {
    if (types->status == MIL_OK) types->status = status;
}

/* Adds item to an array of pointers; false, and the status set, when out of memory. */
bool mil__types_push(mil__types *types, void *array, uint32_t *n, uint32_t *cap, void *item);

#endif
