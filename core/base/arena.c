/* SPDX-License-Identifier: MIT */
/* Bump allocation in chunks that grow. See arena.h. */
#include "base/arena.h"

enum { ALIGN = 16, FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20 };

struct mil__chunk {
    mil__chunk *before;
    size_t used, size; /* of data */
    _Alignas(16) char data[];
};

static mil__chunk *add_chunk(mil__arena *arena, size_t bytes) {
    size_t size = arena->last ? arena->last->size * 2 : FIRST_CHUNK;
    if (size > LARGEST_CHUNK) size = LARGEST_CHUNK;
    if (size < bytes) size = bytes;
    size_t total;
    if (!mil__add_size(size, sizeof(mil__chunk), &total)) return NULL;
    mil__chunk *chunk = mil__alloc(total);
    if (!chunk) return NULL;
    chunk->before = arena->last;
    chunk->used = 0;
    chunk->size = size;
    arena->last = chunk;
    arena->bytes += total;
    return chunk;
}

void *mil__arena_alloc(mil__arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX - ALIGN) return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    mil__chunk *chunk = arena->last;
    if (!chunk || bytes > chunk->size - chunk->used) chunk = add_chunk(arena, bytes);
    if (!chunk) return NULL;
    void *p = chunk->data + chunk->used;
    chunk->used += bytes;
    return p;
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

char *mil__arena_text(mil__arena *arena, const char *s, size_t n) {
    char *copy = mil__arena_alloc(arena, n + 1);
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

mil__mark mil__arena_mark(const mil__arena *arena) {
    return (mil__mark){arena->last, arena->last ? arena->last->used : 0};
}

static void free_chunk(mil__arena *arena, mil__chunk *chunk) {
    arena->bytes -= chunk->size + sizeof *chunk;
    mil__free(chunk);
}

/* Back to nothing, the newest chunk, which is the largest, stays: scratch that is emptied again and again soon needs no
 * allocator. */
static void empty(mil__arena *arena) {
    mil__chunk *before = arena->last ? arena->last->before : NULL;
    while (before) {
        mil__chunk *chunk = before;
        before = chunk->before;
        free_chunk(arena, chunk);
    }
    if (!arena->last) return;
    arena->last->before = NULL;
    arena->last->used = 0;
}

void mil__arena_rewind(mil__arena *arena, mil__mark mark) {
    if (!mark.chunk) {
        empty(arena);
        return;
    }
    while (arena->last != mark.chunk) {
        mil__chunk *chunk = arena->last;
        arena->last = chunk->before;
        free_chunk(arena, chunk);
    }
    mark.chunk->used = mark.used;
}

void mil__arena_free(mil__arena *arena) {
    empty(arena);
    if (arena->last) free_chunk(arena, arena->last);
    arena->last = NULL;
}
