/* SPDX-License-Identifier: MIT */
/* Expansion of compressed tensors in plain C. The cpu engine's kernels expand the common cases faster, and are compared with
 * this. */
#include "ops/compressed.h"
#include "ops/rules.h"

/* ---- opening ---- */

void mil__compressed_blocks(mil__compressed *c, int rank, const int64_t *shape, const int64_t *blocks) {
    int last = rank - 1; /* the innermost axis along which blocks change */
    int64_t inner = 1, step = 1;
    for (; last > 0 && blocks[last] == 1; last--) inner *= shape[last];
    mil__blocks *b = &c->blocks;
    *b = (mil__blocks){.run = inner * (blocks[last] ? shape[last] / blocks[last] : 0), .row = blocks[last], .rank = last};
    for (int a = last - 1; a >= 0; a--) {
        step *= blocks[a + 1];
        b->count[a] = shape[a];
        b->per[a] = blocks[a] ? shape[a] / blocks[a] : 1;
        b->step[a] = blocks[a] > 1 ? step : 0;
    }
    b->n = step * blocks[0];
}

/* The tensor's elements one after the other, as they are or as floats; in the arena where they do not lie so. */
static const void *dense(const mil_tensor *tensor, mil_dtype dtype, mil__arena *arena) {
    if (mil__is_contiguous(tensor) && tensor->dtype == dtype) return tensor->data;
    size_t bytes;
    if (!mil__dtype_bytes(dtype, mil__numel(tensor), &bytes)) return NULL;
    mil_tensor *copy = mil__tensor_in(arena, dtype, tensor->rank, tensor->shape, bytes + 1);
    return copy && mil_tensor_copy(copy, tensor, NULL) == MIL_OK ? copy->data : NULL;
}

/* As many floats as there are blocks: a scalar is that of all. */
static const float *by_block(const mil_tensor *tensor, int64_t n, mil__arena *arena) {
    const float *given = dense(tensor, MIL_FP32, arena);
    if (!given || mil__numel(tensor) == n || tensor->rank > 0) return given;
    float *all = mil__arena_alloc(arena, (size_t)n * sizeof *all + 1);
    for (int64_t i = 0; all && i < n; i++) all[i] = *given;
    return all;
}

int64_t mil__set_bits(const uint8_t *mask, int64_t begin, int64_t end) {
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

static const int64_t *count_before(const uint8_t *mask, int64_t n, mil__arena *arena) {
    int64_t blocks = n / MIL__SPARSE_BLOCK + 1, *before = mil__arena_alloc(arena, (size_t)blocks * sizeof *before);
    if (!before) return NULL;
    before[0] = 0;
    for (int64_t b = 1; b < blocks; b++)
        before[b] = before[b - 1] + mil__set_bits(mask, (b - 1) * MIL__SPARSE_BLOCK, b * MIL__SPARSE_BLOCK);
    return before;
}

static const mil_tensor *data_of(const mil__call *call, const char *name, const char *other) {
    const mil__operand *operand = mil__arg(call, name);
    if (!operand) operand = mil__arg(call, other);
    return operand ? operand->data : NULL;
}

static bool open_affine(const mil__call *call, mil__arena *arena, mil__compressed *c) {
    const mil_tensor *zero = data_of(call, "zero_point", "offset");
    c->scale = by_block(data_of(call, "scale", ""), c->blocks.n, arena);
    c->zero = zero ? by_block(zero, c->blocks.n, arena) : NULL;
    return c->scale && (c->zero || !zero);
}

static bool open_lut(const mil__call *call, mil__arena *arena, mil__compressed *c) {
    c->table = dense(data_of(call, "lut", ""), MIL_FP32, arena);
    return c->table;
}

static bool open_sparse(const mil__call *call, mil__arena *arena, mil__compressed *c) {
    c->mask = dense(data_of(call, "mask", ""), MIL_UINT8, arena);
    c->before = c->mask ? count_before(c->mask, c->n, arena) : NULL;
    return c->before;
}

mil_status mil__compressed_open(const mil__call *call, mil__arena *arena, mil__compressed *out) {
    static const struct {
        const char *data, *other;
        bool (*open)(const mil__call *, mil__arena *, mil__compressed *);
    } kinds[] = {{"quantized_data", "data", open_affine}, {"indices", "", open_lut}, {"nonzero_data", "", open_sparse}};
    mil__compressed c = *(const mil__compressed *)call->params;
    const mil_tensor *data = data_of(call, kinds[c.kind].data, kinds[c.kind].other);
    c.data_dtype = data->dtype;
    c.data = dense(data, data->dtype, arena);
    if (!c.data || !kinds[c.kind].open(call, arena, &c)) return mil__nomem(call->err);
    *out = c;
    return MIL_OK;
}

/* ---- expanding ---- */

int64_t mil__block_of_row(const mil__blocks *blocks, int64_t row) {
    int64_t block = 0;
    for (int a = blocks->rank - 1; a >= 0; row /= blocks->count[a--])
        block += row % blocks->count[a] / blocks->per[a] * blocks->step[a];
    return block;
}

static void read_data(const mil__compressed *c, int64_t begin, int64_t n, float *out) {
    const uint8_t *bytes = c->data;
    int64_t i = 0;
    switch (c->data_dtype) {
    case MIL_INT4:
        for (; i < n; i++) out[i] = (float)(((bytes[(begin + i) / 2] >> (begin + i) % 2 * 4 & 15) ^ 8) - 8);
        break;
    case MIL_UINT4:
        for (; i < n; i++) out[i] = (float)(bytes[(begin + i) / 2] >> (begin + i) % 2 * 4 & 15);
        break;
    default: mil__convert(MIL_FP32, out, 1, c->data_dtype, bytes + (size_t)begin * mil__element_size(c->data_dtype), 1, n);
    }
}

static void expand_affine(const mil__compressed *c, int64_t begin, int64_t n, float *out) {
    const mil__blocks *b = &c->blocks;
    read_data(c, begin, n, out);
    for (int64_t i = 0; i < n;) {
        int64_t stretch = (begin + i) / b->run, left = b->run - (begin + i) % b->run;
        int64_t block = mil__block_of_row(b, stretch / b->row) + stretch % b->row;
        float scale = c->scale[block], zero = c->zero ? c->zero[block] : 0;
        for (int64_t end = n - i < left ? n : i + left; i < end; i++) out[i] = scale * (out[i] - zero);
    }
}

/* An index may lie in two bytes; the last one's second byte may be beyond the end. */
static void expand_lut(const mil__compressed *c, int64_t begin, int64_t n, float *out) {
    const uint8_t *data = c->data;
    unsigned mask = (1u << c->bits) - 1;
    for (int64_t i = 0; i < n; i++) {
        uint64_t bit = (uint64_t)(begin + i) * (uint64_t)c->bits;
        unsigned shift = bit % 8, pair = data[bit / 8];
        if (shift + (unsigned)c->bits > 8) pair |= (unsigned)data[bit / 8 + 1] << 8;
        out[i] = c->table[pair >> shift & mask];
    }
}

static void expand_sparse(const mil__compressed *c, int64_t begin, int64_t n, float *out) {
    int64_t block = begin / MIL__SPARSE_BLOCK;
    int64_t at = c->before[block] + mil__set_bits(c->mask, block * MIL__SPARSE_BLOCK, begin);
    const char *data = (const char *)c->data + (size_t)at * mil__element_size(c->data_dtype);
    for (int64_t i = begin; i < begin + n; i++) {
        bool set = c->mask[i / 8] >> i % 8 & 1;
        *out = 0;
        if (set) {
            mil__convert(MIL_FP32, out, 1, c->data_dtype, data, 1, 1);
            data += mil__element_size(c->data_dtype);
        }
        out++;
    }
}

void mil__compressed_expand(const mil__compressed *c, int64_t begin, int64_t n, float *out) {
    if (n == 0) return;
    switch (c->kind) {
    case MIL__AFFINE: expand_affine(c, begin, n, out); break;
    case MIL__LUT: expand_lut(c, begin, n, out); break;
    case MIL__SPARSE: expand_sparse(c, begin, n, out); break;
    }
}

void mil__compressed_store(const mil__compressed *c, int64_t begin, int64_t n, void *out) {
    enum { PIECE = 512 };
    float piece[PIECE];
    size_t size = mil__element_size(c->dtype);
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t some = n - i < PIECE ? n - i : PIECE;
        mil__compressed_expand(c, begin + i, some, piece);
        mil__convert(c->dtype, (char *)out + (size_t)i * size, 1, MIL_FP32, piece, 1, some);
    }
}
