/* SPDX-License-Identifier: MIT */
/* The one hash table: open addressing, from a key's 64-bit hash to a 32-bit number. Keys stay with the caller, who says
 * whether entry `n` has the key that is sought. */
#ifndef MIL__MAP_H
#define MIL__MAP_H

#include "base/base.h"

typedef struct mil__map {
    struct mil__map_slot {
        uint32_t hash; /* its low half */
        uint32_t tag;  /* what follows, or number + MIL__MAP_OFFSET */
    } *slots;
    uint32_t mask, used; /* used counts removed ones too */
} mil__map;

enum { MIL__MAP_FREE, MIL__MAP_REMOVED, MIL__MAP_OFFSET };
#define MIL__NOT_FOUND UINT32_MAX

typedef bool mil__same(const void *ctx, uint32_t number, const void *key);

uint64_t mil__hash(const void *data, size_t bytes);
uint64_t mil__hash_text(const char *s);
/* Inline, so that `same` is too: names are looked up several times an operation. */
static inline uint32_t mil__map_find(const mil__map *map, uint64_t hash, mil__same *same, const void *ctx, const void *key) {
    if (!map->slots) return MIL__NOT_FOUND;
    for (uint32_t i = (uint32_t)hash & map->mask; map->slots[i].tag != MIL__MAP_FREE; i = (i + 1) & map->mask) {
        const struct mil__map_slot *slot = &map->slots[i];
        if (slot->hash != (uint32_t)hash || slot->tag == MIL__MAP_REMOVED) continue;
        if (same(ctx, slot->tag - MIL__MAP_OFFSET, key)) return slot->tag - MIL__MAP_OFFSET;
    }
    return MIL__NOT_FOUND;
}
/* Has the processor fetch what looking for this hash will read. */
static inline void mil__map_prefetch(const mil__map *map, uint64_t hash) {
    if (map->slots) __builtin_prefetch(&map->slots[(uint32_t)hash & map->mask]);
}
/* Adds without looking (the caller has). Returns false when out of memory. number < UINT32_MAX - 2. */
bool mil__map_add(mil__map *map, uint64_t hash, uint32_t number);
/* Removes the entry with this hash and number, if it is there. */
void mil__map_remove(mil__map *map, uint64_t hash, uint32_t number);
void mil__map_free(mil__map *map);

#endif
