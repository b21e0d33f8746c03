/* SPDX-License-Identifier: MIT */
/* Open addressing with linear probing, at most 5/8 full (removed entries count until the table grows). See map.h. */
#include "base/map.h"

enum { FIRST_SIZE = 16 };

uint64_t mil__hash_long(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t h = mil__hash_seed(bytes), word;
    for (size_t left = bytes; left > 16; left -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
    }
    uint64_t first, last;
    memcpy(&first, (const unsigned char *)data + bytes - 16, 8);
    memcpy(&last, (const unsigned char *)data + bytes - 8, 8);
    return mil__hash_two(h, first, last);
}

uint64_t mil__hash_text(const char *s) { return mil__hash(s, strlen(s)); }

static void put(struct mil__map_slot *slots, uint32_t mask, struct mil__map_slot entry) {
    uint32_t i = entry.hash & mask;
    while (slots[i].tag != MIL__MAP_FREE) i = (i + 1) & mask;
    slots[i] = entry;
}

/* To `size` slots, a power of 2 that has room for what is there. */
static bool resize(mil__map *map, uint32_t size) {
    struct mil__map_slot *slots = mil__calloc(size, sizeof *slots);
    if (!slots) return false;
    uint32_t used = 0;
    for (uint32_t i = 0; map->slots && i <= map->mask; i++) {
        if (map->slots[i].tag < MIL__MAP_OFFSET) continue;
        put(slots, size - 1, map->slots[i]);
        used++;
    }
    mil__free(map->slots);
    *map = (mil__map){slots, size - 1, used};
    return true;
}

bool mil__map_grow(mil__map *map) {
    uint32_t size = map->slots ? (map->mask + 1) * 2 : FIRST_SIZE;
    return size && resize(map, size);
}

bool mil__map_reserve(mil__map *map, uint32_t n) {
    uint64_t size = map->slots ? (uint64_t)map->mask + 1 : FIRST_SIZE, least = size;
    while ((uint64_t)n * 8 > size * 5) size *= 2;
    return size > UINT32_MAX || (map->slots && size == least) || resize(map, (uint32_t)size);
}

bool mil__map_add(mil__map *map, uint64_t hash, uint32_t number) {
    if (!mil__map_more(map)) return false;
    put(map->slots, map->mask, (struct mil__map_slot){(uint32_t)hash, number + MIL__MAP_OFFSET});
    map->used++;
    return true;
}

void mil__map_remove(mil__map *map, uint64_t hash, uint32_t number) {
    if (!map->slots) return;
    for (uint32_t i = (uint32_t)hash & map->mask; map->slots[i].tag != MIL__MAP_FREE; i = (i + 1) & map->mask) {
        if (map->slots[i].hash != (uint32_t)hash || map->slots[i].tag != number + MIL__MAP_OFFSET) continue;
        map->slots[i].tag = MIL__MAP_REMOVED;
        return;
    }
}

void mil__map_free(mil__map *map) {
    mil__free(map->slots);
    *map = (mil__map){NULL, 0, 0};
}
