/* SPDX-License-Identifier: MIT */
/* A tensor that is kept compressed, as the constexpr ops describe it, and its elements, expanded a run at a time.
 *
 *   affine   element i = scale[b] * (data[i] - zero[b])                      b: the block that i lies in
 *   lut      element i = table[the bits i * bits .. (i + 1) * bits of data]  from the lowest bit of the first byte up
 *   sparse   element i = bit i of mask ? data[how many bits are set before] : 0
 *
 * Inference fills in what the types say; mil__compressed_open adds the tables that expansion reads. A scheme more is a kind
 * more here, and its case in compressed.c. */
#ifndef MIL__COMPRESSED_H
#define MIL__COMPRESSED_H

#include "ops/op.h"

typedef enum mil__compression { MIL__AFFINE, MIL__LUT, MIL__SPARSE } mil__compression;

enum { MIL__SPARSE_BLOCK = 512 };    /* elements between two entries of `before` */

/* Affine blocks. In C order the elements are stretches of `run` that share a block; `row` stretches in a row lie in blocks
 * that follow each other; the rows are counted by the axes 0 .. rank - 1, along which the block changes by step[a] after
 * every per[a] indices. */
typedef struct mil__blocks {
    int64_t run, row, n;             /* n: blocks in all */
    int rank;
    int64_t count[MIL_MAX_RANK], per[MIL_MAX_RANK], step[MIL_MAX_RANK];
} mil__blocks;

typedef struct mil__compressed {
    mil__compression kind;
    mil_dtype dtype;                 /* of the elements */
    int64_t n;                       /* how many */
    mil__blocks blocks;              /* affine */
    int bits;                        /* lut: of an index */
    /* opened: */
    mil_dtype data_dtype;
    const void *data;                /* quantized data, packed indices, the values that are not 0; borrowed */
    const uint8_t *mask;             /* sparse; borrowed */
    const float *scale, *zero;       /* affine: by block; zero NULL: all are 0 */
    const float *table;              /* lut: 2^bits */
    const int64_t *before;           /* sparse: bits set before each block of MIL__SPARSE_BLOCK elements */
} mil__compressed;

/* For inference: the blocks of a tensor of this shape, `blocks` of them along each axis (which divide shape). */
void mil__compressed_blocks(mil__compressed *c, int rank, const int64_t *shape, const int64_t *blocks);
/* Adds the tables, in the arena. The operands' data must be at hand, and stay while *out is used; what is not contiguous is
 * copied to the arena. call: inferred, as the op's evaluation is given it. Fails: MIL_ENOMEM. */
mil_status mil__compressed_open(const mil__call *call, mil__arena *arena, mil__compressed *out);
/* Elements begin .. begin + n as floats, not rounded to dtype. */
void mil__compressed_expand(const mil__compressed *c, int64_t begin, int64_t n, float *out);
/* The same, rounded to dtype and stored as such. */
void mil__compressed_store(const mil__compressed *c, int64_t begin, int64_t n, void *out);
/* The bits set among elements begin .. end of a mask; begin is a multiple of 8. */
int64_t mil__set_bits(const uint8_t *mask, int64_t begin, int64_t end);
/* The block of the first stretch of a row. */
int64_t mil__block_of_row(const mil__blocks *blocks, int64_t row);

#endif
