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

/* ---- hashing: eight bytes at a time, each multiplied in; the last sixteen overlap with what was before where they must ---- */

/* Lengths far apart, else "v1" and "v10" meet: the last byte and the length would cancel out. */
static inline uint64_t mil__hash_seed(size_t bytes) { return 14695981039346656037u ^ bytes * 0x9e3779b97f4a7c15u; }

/* Two numbers, then a finaliser (murmur3's) that spreads short keys over all bits. */
static inline uint64_t mil__hash_two(uint64_t h, uint64_t a, uint64_t b) {
    h = (h ^ a) * 0x9fb21c651e98df25u;
    h = (h ^ (h >> 32) ^ b) * 0x9fb21c651e98df25u;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

uint64_t mil__hash_long(const void *data, size_t bytes); /* more than 16 */

static inline uint64_t mil__hash(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t h = mil__hash_seed(bytes);
    if (bytes > 16) return mil__hash_long(data, bytes);
    if (bytes >= 8) {
        uint64_t first, last;
        memcpy(&first, p, 8);
        memcpy(&last, p + bytes - 8, 8);
        return mil__hash_two(h, first, last);
    }
    if (bytes >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + bytes - 4, 4);
        return mil__hash_two(h, first, last);
    }
    return mil__hash_two(h, bytes ? (uint64_t)p[0] << 16 | (uint64_t)p[bytes / 2] << 8 | p[bytes - 1] : 0, 0);
}

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
/* Makes room for one more. Returns false when out of memory. */
bool mil__map_grow(mil__map *map);
static inline bool mil__map_more(mil__map *map) {
    bool full = !map->slots || (uint64_t)(map->used + 1) * 8 > (uint64_t)(map->mask + 1) * 5;
    return !full || mil__map_grow(map);
}
/* The number with that key; where there is none, `number` is added (for which there is room) and MIL__NOT_FOUND returned. */
static inline uint32_t mil__map_find_or_add(mil__map *map, uint64_t hash, uint32_t number, mil__same *same, const void *ctx,
                                            const void *key) {
    uint32_t i = (uint32_t)hash & map->mask;
    for (; map->slots[i].tag != MIL__MAP_FREE; i = (i + 1) & map->mask) {
        const struct mil__map_slot *slot = &map->slots[i];
        if (slot->hash != (uint32_t)hash || slot->tag == MIL__MAP_REMOVED) continue;
        if (same(ctx, slot->tag - MIL__MAP_OFFSET, key)) return slot->tag - MIL__MAP_OFFSET;
    }
    map->slots[i] = (struct mil__map_slot){(uint32_t)hash, number + MIL__MAP_OFFSET};
    map->used++;
    return MIL__NOT_FOUND;
}
/* Makes room for n entries in all, at once. Returns false when out of memory. */
bool mil__map_reserve(mil__map *map, uint32_t n);
/* Adds without looking (the caller has). Returns false when out of memory. number < UINT32_MAX - 2. */
bool mil__map_add(mil__map *map, uint64_t hash, uint32_t number);
/* Removes the entry with this hash and number, if it is there. */
void mil__map_remove(mil__map *map, uint64_t hash, uint32_t number);
void mil__map_free(mil__map *map);

#endif
