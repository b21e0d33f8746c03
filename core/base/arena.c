/* SPDX-License-Identifier: MIT */
/* Bump allocation in chunks that grow. See arena.h. */
#include "base/arena.h"

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 8 << 20 }; /* with what stands before its data: sizes that allocators like */

struct mil__chunk {
    mil__chunk *before;
    size_t size; /* of data */
    _Alignas(16) char data[];
};

static mil__chunk *add_chunk(mil__arena *arena, size_t bytes) {
    size_t least, total = arena->last ? (arena->last->size + sizeof(mil__chunk)) * 2 : FIRST_CHUNK;
    if (!mil__add_size(bytes, sizeof(mil__chunk), &least)) return NULL;
    if (total > LARGEST_CHUNK) total = LARGEST_CHUNK;
    if (total < least) total = least;
    mil__chunk *chunk = mil__alloc(total);
    if (!chunk) return NULL;
    chunk->before = arena->last;
    chunk->size = total - sizeof *chunk;
    arena->last = chunk;
    arena->end = chunk->data + chunk->size;
    arena->bytes += total;
    return chunk;
}

void *mil__arena_more(mil__arena *arena, size_t bytes) {
    mil__chunk *chunk = add_chunk(arena, bytes);
    if (!chunk) return NULL;
    arena->at = chunk->data + bytes;
    return chunk->data;
}

void *mil__arena_zero(mil__arena *arena, size_t n, size_t bytes) {
    size_t total;
    if (!mil__mul_size(n, bytes, &total)) return NULL;
    void *p = mil__arena_alloc(arena, total);
    return p ? memset(p, 0, total) : NULL;
}

void *mil__arena_copy(mil__arena *arena, const void *data, size_t bytes) {
    void *p = mil__arena_alloc(arena, bytes);
    if (p && bytes) memcpy(p, data, bytes);
    return p;
}

static void free_last(mil__arena *arena) {
    mil__chunk *chunk = arena->last;
    arena->last = chunk->before;
    arena->bytes -= chunk->size + sizeof *chunk;
    mil__free(chunk);
}

/* Back to nothing, the newest chunk, which is the largest, stays: scratch that is emptied again and again soon needs no
 * allocator. */
static void empty(mil__arena *arena) {
    mil__chunk *newest = arena->last;
    if (!newest) return;
    arena->last = newest->before;
    while (arena->last) free_last(arena);
    newest->before = NULL;
    arena->last = newest;
    arena->at = newest->data;
    arena->end = newest->data + newest->size;
}

void mil__arena_rewind_far(mil__arena *arena, mil__mark mark) {
    if (!mark.chunk) {
        empty(arena);
        return;
    }
    while (arena->last != mark.chunk) free_last(arena);
    arena->at = mark.at;
    arena->end = mark.chunk->data + mark.chunk->size;
}

void mil__arena_free(mil__arena *arena) {
    while (arena->last) free_last(arena);
    *arena = (mil__arena){0};
}
