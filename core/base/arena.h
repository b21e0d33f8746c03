/* SPDX-License-Identifier: MIT */
/* Bump allocation: many small things that live and die together, with mark and rewind. */
#ifndef MIL__ARENA_H
#define MIL__ARENA_H

#include "base/base.h"

/*   first chunk          newer chunks
 *   [ used | free ] -->  [ used | free ]      last is where the next allocation goes: from at up to end
 * What does not fit gets a new chunk, twice as large as the one before, and as large as it must be. */
typedef struct mil__chunk mil__chunk;
typedef struct mil__arena {
    mil__chunk *last;
    char *at, *end;  /* of last's free part */
    size_t bytes;    /* held from the allocator */
} mil__arena;

typedef struct mil__mark {
    mil__chunk *chunk;
    char *at;
} mil__mark;

void *mil__arena_more(mil__arena *arena, size_t bytes); /* from a new chunk */

/* align: a power of two, at most 16. NULL: out of memory. */
static inline void *mil__arena_aligned(mil__arena *arena, size_t bytes, size_t align) {
    size_t room = (size_t)(arena->end - arena->at), pad = -(uintptr_t)arena->at & (align - 1);
    if (bytes >= room || pad + bytes >= room) return mil__arena_more(arena, bytes);
    char *p = arena->at + pad;
    arena->at = p + bytes;
    return p;
}

static inline void *mil__arena_alloc(mil__arena *arena, size_t bytes) { return mil__arena_aligned(arena, bytes, 16); }

void *mil__arena_zero(mil__arena *arena, size_t n, size_t bytes);   /* n * bytes zeros */
void *mil__arena_copy(mil__arena *arena, const void *data, size_t bytes);
/* A copy that ends in 0. */
static inline char *mil__arena_text(mil__arena *arena, const char *s, size_t n) {
    char *copy = n < SIZE_MAX ? mil__arena_aligned(arena, n + 1, 1) : NULL;
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}
/* Bytes held but for what is free of the last chunk, which no page may stand behind yet. */
static inline size_t mil__arena_used(const mil__arena *arena) { return arena->bytes - (size_t)(arena->end - arena->at); }
static inline mil__mark mil__arena_mark(const mil__arena *arena) { return (mil__mark){arena->last, arena->at}; }
void mil__arena_rewind_far(mil__arena *arena, mil__mark mark);      /* over chunks */
/* Forgets all that came after the mark. */
static inline void mil__arena_rewind(mil__arena *arena, mil__mark mark) {
    if (mark.chunk && mark.chunk == arena->last) arena->at = mark.at;
    else mil__arena_rewind_far(arena, mark);
}
void mil__arena_free(mil__arena *arena);

#endif
