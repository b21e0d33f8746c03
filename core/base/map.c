/* SPDX-License-Identifier: MIT */
/* Open addressing with linear probing, at most 3/4 full (removed entries count until the table grows). See map.h. */
#include "base/map.h"

enum { FIRST_SIZE = 16 };

/* Up to seven bytes as one number; each byte is in it at least once. */
static uint64_t last_bytes(const unsigned char *p, size_t bytes) {
    uint32_t first, last;
    if (bytes < 4) return bytes ? (uint64_t)p[0] << 16 | (uint64_t)p[bytes / 2] << 8 | p[bytes - 1] : 0;
    memcpy(&first, p, 4);
    memcpy(&last, p + bytes - 4, 4);
    return (uint64_t)first << 32 | last;
}

/* Eight bytes at a time, each multiplied in; then a finaliser (murmur3's) that spreads short keys over all bits. */
uint64_t mil__hash(const void *data, size_t bytes) {
    const unsigned char *p = data;
    /* lengths far apart, else "v1" and "v10" meet: the last byte and the length would cancel out */
    uint64_t h = 14695981039346656037u ^ bytes * 0x9e3779b97f4a7c15u, word = 0;
    for (; bytes >= sizeof word; bytes -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
    }
    h = (h ^ last_bytes(p, bytes)) * 0x9fb21c651e98df25u;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

uint64_t mil__hash_text(const char *s) { return mil__hash(s, strlen(s)); }

static void put(struct mil__map_slot *slots, uint32_t mask, struct mil__map_slot entry) {
    uint32_t i = entry.hash & mask;
    while (slots[i].tag != MIL__MAP_FREE) i = (i + 1) & mask;
    slots[i] = entry;
}

static bool grow(mil__map *map) {
    uint32_t size = map->slots ? (map->mask + 1) * 2 : FIRST_SIZE;
    if (size == 0) return false;
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

bool mil__map_add(mil__map *map, uint64_t hash, uint32_t number) {
    bool full = !map->slots || (uint64_t)(map->used + 1) * 4 > (uint64_t)(map->mask + 1) * 3;
    if (full && !grow(map)) return false;
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
