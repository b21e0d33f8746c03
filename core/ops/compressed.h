/* SPDX-License-Identifier: MIT */
/* A tensor that is kept compressed, as the constexpr ops describe it, and its elements, expanded a run at a time. An op that
 * takes another's results takes its description too: from what is stored to element i there may be all of
 *
 *   data         the p-th code of `bits` bits, from the lowest of the first byte up; or number              p: the place of i
 *   mask         what stands in for it: where bit p is set the next of data (of as many as bits are set before), else the
 *                element is 0, whatever follows here
 *   palette      x = table[t, v, code]              t: the block that i lies in, v: which element of a vector i is
 *   affine       x = scale[b] * (x - zero[b])       b: the block that i lies in; with scales_all of the mask's 0s too
 *
 * Places are elements. Only where a palette holds vectors (vector > 1), along an axis with `inner` elements below each of its
 * indices, there is one place for the elements of each vector:
 *
 *   i = (q * vector + v) * inner + j   ->   p = q * inner + j
 *
 * Inference fills in what the types say; mil__compressed_open adds the tables that expansion reads. */
#ifndef MIL__COMPRESSED_H
#define MIL__COMPRESSED_H

#include "ops/op.h"

/* What an op does to what it takes. */
typedef enum mil__compression {
    MIL__CAST, MIL__AFFINE, MIL__LUT, MIL__SPARSE, MIL__SPARSE_LUT, MIL__SPARSE_AFFINE /* two results: mask, values */
} mil__compression;

enum { MIL__SPARSE_BLOCK = 512 };    /* places between two entries of `before` */

/* In C order the elements are stretches of `run` that share a block; `row` stretches in a row lie in blocks
 * that follow each other; the rows are counted by the axes 0 .. rank - 1, along which the block changes by step[a] after
 * every per[a] indices. */
typedef struct mil__blocks {
    int64_t run, row, n;             /* n: blocks in all */
    int rank;
    int64_t count[MIL_MAX_RANK], per[MIL_MAX_RANK], step[MIL_MAX_RANK];
} mil__blocks;

typedef struct mil__compressed {
    mil__compression kind;           /* the last op's */
    mil_dtype dtype;                 /* of the elements */
    int64_t n;                       /* how many */
    int bits;                        /* of a code; set by inference only where data's dtype does not say it */
    int64_t vector, inner;           /* 1 unless a palette holds vectors */
    mil__blocks tables, blocks;      /* palette, affine */
    bool scales_all;                 /* the mask was made dense before the scales came */
    /* opened: */
    mil_dtype data_dtype;
    const void *data;                /* borrowed */
    const uint8_t *mask;             /* borrowed; NULL: every place has data of its own */
    const int64_t *before;           /* bits set before each block of MIL__SPARSE_BLOCK places */
    const float *table;              /* [tables.n, vector, 2^bits]; NULL: no palette */
    const float *scale, *zero;       /* by block; scale NULL: not affine; zero NULL: all are 0 */
} mil__compressed;

/* What an operand that has no data is expanded from. */
typedef struct mil__source {
    const mil__compressed *from;
    enum { MIL__DENSE, MIL__MASK, MIL__VALUES } part; /* the elements; or the first or second result of a sparse op */
} mil__source;

/* For inference: the blocks of a tensor of this shape, `blocks` of them along each axis (which divide shape). */
void mil__compressed_blocks(mil__blocks *out, int rank, const int64_t *shape, const int64_t *blocks);
/* Adds the tables, in the arena. Operands need data or, by slot, a source; both stay while *out is used. What is not contiguous
 * is copied to the arena.
 *   call     inferred, as the op's evaluation is given it
 *   sources  by slot; NULL: all operands have data
 *   *fits    false: the sources are none that this op can be added to; *out is untouched
 * Fails: MIL_EVALUE where mask and values do not fit, MIL_ENOMEM. */
mil_status mil__compressed_open(mil__call *call, const mil__source *sources, mil__arena *arena, mil__compressed *out, bool *fits);
/* Elements begin .. begin + n as floats, not rounded to dtype. */
void mil__compressed_expand(const mil__compressed *c, int64_t begin, int64_t n, float *out);
/* The same, rounded to dtype and stored as such, from out's first byte on. */
void mil__compressed_store(const mil__compressed *c, int64_t begin, int64_t n, void *out);
/* What a sparse op's results hold: a bit an element, and the elements whose bits are set. */
void mil__compressed_store_pair(const mil__compressed *c, uint8_t *mask, void *values);
/* The place of an element. */
static inline int64_t mil__place(const mil__compressed *c, int64_t i) {
    return c->vector == 1 ? i : i / c->inner / c->vector * c->inner + i % c->inner;
}
/* The block of element i; it and the next *left - 1 lie in it. */
int64_t mil__block_of(const mil__blocks *blocks, int64_t i, int64_t *left);

/* The bits set among places begin .. end of a mask; begin is a multiple of 8. */
static inline int64_t mil__set_bits(const uint8_t *mask, int64_t begin, int64_t end) {
    int64_t n = 0;
    for (; end - begin >= 64; begin += 64) {
        uint64_t word;
        memcpy(&word, mask + begin / 8, sizeof word);
        n += __builtin_popcountll(word);
    }
    for (; begin < end; begin += 8) {
        unsigned byte = mask[begin / 8];
        if (end - begin < 8) byte &= (1u << (end - begin)) - 1;
        n += __builtin_popcount(byte);
    }
    return n;
}

/* Where in data the value of place p is, or would be. */
static inline int64_t mil__data_at(const mil__compressed *c, int64_t p) {
    int64_t block = p / MIL__SPARSE_BLOCK;
    return c->before[block] + mil__set_bits(c->mask, block * MIL__SPARSE_BLOCK, p);
}

#endif
