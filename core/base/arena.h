/* SPDX-License-Identifier: MIT */
/* Bump allocation: many small things that live and die together, with mark and rewind. */
#ifndef MIL__ARENA_H
#define MIL__ARENA_H

#include "base/base.h"

/*   first chunk          newer chunks
 *   [ used | free ] -->  [ used | free ]      last is where the next allocation goes
 * A request above half a chunk gets a chunk of its own. */
typedef struct mil__chunk mil__chunk;
typedef struct mil__arena {
    mil__chunk *last;
    size_t bytes; /* held from the allocator */
} mil__arena;

typedef struct mil__mark {
    mil__chunk *chunk;
    size_t used;
} mil__mark;

void *mil__arena_alloc(mil__arena *arena, size_t bytes);            /* aligned to 16; NULL: out of memory */
void *mil__arena_zero(mil__arena *arena, size_t n, size_t bytes);   /* n * bytes zeros */
void *mil__arena_copy(mil__arena *arena, const void *data, size_t bytes);
char *mil__arena_text(mil__arena *arena, const char *s, size_t n);  /* a copy that ends in 0 */
mil__mark mil__arena_mark(const mil__arena *arena);
void mil__arena_rewind(mil__arena *arena, mil__mark mark);          /* forgets all that came after */
void mil__arena_free(mil__arena *arena);

#endif
