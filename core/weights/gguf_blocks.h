/* SPDX-License-Identifier: MIT */
/* The types of GGUF's tensors, and what quantised ones stand for. */
#ifndef MIL__GGUF_BLOCKS_H
#define MIL__GGUF_BLOCKS_H

#include "base/base.h"

typedef struct mil__gguf_block mil__gguf_block;

/* Elements are stored in blocks of n. Quantised ones are taken apart into small integers and, for each group of a block, a
 * scale and maybe a least value: y = scale * q (+ least). */
typedef struct mil__gguf_type {
    const char *name;
    mil_dtype dtype;     /* of elements that are stored as they are; else MIL_NO_DTYPE */
    int n, bytes;        /* of a block */
    int group;           /* elements that share a scale */
    bool has_least;
    mil_dtype q_dtype;   /* the smaller of int4 and int8 that holds every q */
    void (*take_apart)(const uint8_t *block, mil__gguf_block *out); /* NULL: it is not quantised, or can't be had */
} mil__gguf_type;

const mil__gguf_type *mil__gguf_type_of(uint32_t id); /* NULL: GGUF has no such type (any more) */

/* Elements of n_blocks blocks, as ggml computes them: in fp32. */
void mil__gguf_expand(const mil__gguf_type *type, const uint8_t *blocks, int64_t n_blocks, float *out);
/* Their q, of type->q_dtype (int4 packed), and their scales. The type has no least values. */
void mil__gguf_split(const mil__gguf_type *type, const uint8_t *blocks, int64_t n_blocks, void *q, float *scale);

#endif
