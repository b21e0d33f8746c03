/* SPDX-License-Identifier: MIT */
/* The table of names: unique in their block and those around it; so each block has its own, and looking goes outwards.
 * Inline, for a name is claimed for each operation. */
#ifndef MIL__NAMES_H
#define MIL__NAMES_H

#include "program/program.h"

typedef struct mil__name_key {
    mil__slice name;
    mil_block block;
} mil__name_key;

static inline bool mil__same_name(const void *ctx, uint32_t number, const void *key) {
    const mil__value *value = ((const mil_program *)ctx)->values[number];
    const mil__name_key *wanted = key;
    return value->block == wanted->block && strncmp(value->name, wanted->name.s, wanted->name.n) == 0 &&
           value->name[wanted->name.n] == 0;
}

static inline uint64_t mil__in_block(uint64_t hash, mil_block block) { return hash + block * 0x9e3779b97f4a7c15u; }

/* Enters the name for a value of the block; false where another has it that it would meet. There is room in the table. */
static inline bool mil__claim_name(mil_program *program, mil_value value, mil_block block, mil__slice name, uint64_t hash) {
    mil_block outer = program->blocks[block]->outer;
    if (outer && mil__value_hashed(program, outer, name, hash)) return false;
    mil__name_key key = {name, block};
    return mil__map_find_or_add(&program->names, mil__in_block(hash, block), value, mil__same_name, program, &key) ==
           MIL__NOT_FOUND;
}

/* The words of the language, which a value may not have for a name (facts: mil-text.md section 2): 3 letters at least, 7 at most. */
bool mil__is_word(mil__slice name);
static inline bool mil__is_reserved(mil__slice name) {
    return name.n >= 3 && name.n <= 7 && name.s[0] >= 'a' && name.s[0] <= 'z' && mil__is_word(name);
}

#endif
