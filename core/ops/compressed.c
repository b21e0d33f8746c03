/* SPDX-License-Identifier: MIT */
/* Expansion of compressed tensors in plain C. The cpu engine's kernels expand the common cases faster, and are compared with
 * this. */
#include "ops/compressed.h"
#include "ops/rules.h"

/* ---- blocks ---- */

void mil__compressed_blocks(mil__blocks *b, int rank, const int64_t *shape, const int64_t *blocks) {
    static const int64_t one = 1;
    if (rank == 0) rank = 1, shape = blocks = &one;
    int last = rank - 1; /* the innermost axis along which blocks change */
    int64_t inner = 1, step = 1;
    for (; last > 0 && blocks[last] == 1; last--) inner *= shape[last];
    *b = (mil__blocks){.run = inner * (blocks[last] ? shape[last] / blocks[last] : 0), .row = blocks[last], .rank = last};
    for (int a = last - 1; a >= 0; a--) {
        step *= blocks[a + 1];
        b->count[a] = shape[a];
        b->per[a] = blocks[a] ? shape[a] / blocks[a] : 1;
        b->step[a] = blocks[a] > 1 ? step : 0;
    }
    b->n = step * blocks[0];
}

static int64_t block_of_row(const mil__blocks *blocks, int64_t row) {
    int64_t block = 0;
    for (int a = blocks->rank - 1; a >= 0; row /= blocks->count[a--])
        block += row % blocks->count[a] / blocks->per[a] * blocks->step[a];
    return block;
}

int64_t mil__block_of(const mil__blocks *blocks, int64_t i, int64_t *left) {
    int64_t stretch = i / blocks->run;
    *left = blocks->run - i % blocks->run;
    return block_of_row(blocks, stretch / blocks->row) + stretch % blocks->row;
}

/* ---- masks ---- */

static bool is_set(const uint8_t *mask, int64_t p) { return mask[p / 8] >> p % 8 & 1; }

/* ---- opening ---- */

/* One op in the making. */
typedef struct opening {
    mil__call *call;
    const mil__source *sources;
    mil__arena *arena;
    mil__compressed c;
} opening;

static const mil__operand *operand_of(const opening *o, const char *name, const char *other) {
    const mil__operand *operand = mil__arg(o->call, name);
    return operand ? operand : mil__arg(o->call, other);
}

static const mil_tensor *data_of(const opening *o, const char *name, const char *other) {
    const mil__operand *operand = operand_of(o, name, other);
    return operand ? operand->data : NULL;
}

static mil__source source_of(const opening *o, const char *name) {
    int slot = mil__op_slot(o->call->op, o->call->opset, name, NULL);
    return o->sources && slot >= 0 ? o->sources[slot] : (mil__source){0};
}

/* The tensor's elements one after the other, as they are or as floats; in the arena where they do not lie so. NULL: out of
 * memory. */
static const void *dense(const mil_tensor *tensor, mil_dtype dtype, mil__arena *arena) {
    if (mil__is_contiguous(tensor) && tensor->dtype == dtype) return tensor->data;
    size_t bytes;
    if (!mil__dtype_bytes(dtype, mil__numel(tensor), &bytes)) return NULL;
    mil_tensor *copy = mil__tensor_in(arena, dtype, tensor->rank, tensor->shape, bytes + 1);
    return copy && mil_tensor_copy(copy, tensor, NULL) == MIL_OK ? copy->data : NULL;
}

static const float *expanded(const mil__compressed *c, mil__arena *arena) {
    float *floats = mil__arena_alloc(arena, (size_t)c->n * sizeof *floats + 1);
    if (!floats) return NULL;
    mil__compressed_expand(c, 0, c->n, floats);
    for (int64_t i = 0; c->dtype == MIL_FP16 && i < c->n; i++) floats[i] = mil__half_to_float(mil__float_to_half(floats[i]));
    return floats;
}

/* An operand's elements as floats; of one that has no data, those that it is expanded to. */
static mil_status floats_of(const opening *o, const char *name, const char *other, const float **out, bool *fits) {
    const mil_tensor *data = data_of(o, name, other);
    mil__source source = source_of(o, name);
    *out = NULL;
    *fits = !operand_of(o, name, other) || data || (source.from && source.part == MIL__DENSE);
    if (!*fits || !operand_of(o, name, other)) return MIL_OK;
    *out = data ? dense(data, MIL_FP32, o->arena) : expanded(source.from, o->arena);
    return *out ? MIL_OK : mil__nomem(o->call->err);
}

/* As many floats as there are blocks: a scalar is that of all. */
static mil_status by_block(const opening *o, const char *name, const char *other, const float **out, bool *fits) {
    MIL__TRY(floats_of(o, name, other, out, fits));
    if (!*out || operand_of(o, name, other)->type->rank > 0) return MIL_OK;
    int64_t n = o->c.blocks.n;
    float *all = mil__arena_alloc(o->arena, (size_t)n * sizeof *all + 1);
    if (!all) return mil__nomem(o->call->err);
    for (int64_t i = 0; i < n; i++) all[i] = **out;
    *out = all;
    return MIL_OK;
}

static mil_status add_scale(opening *o, bool *fits) {
    MIL__TRY(by_block(o, "scale", "", &o->c.scale, fits));
    return *fits ? by_block(o, "zero_point", "offset", &o->c.zero, fits) : MIL_OK;
}

/* [blocks, 2^bits, vector], as it is given, to [blocks, vector, 2^bits]. */
static mil_status add_table(opening *o, bool *fits) {
    mil__compressed *c = &o->c;
    const float *given;
    MIL__TRY(floats_of(o, "lut", "", &given, fits));
    if (!*fits || c->vector == 1) {
        c->table = given;
        return MIL_OK;
    }
    int64_t entries = (int64_t)1 << c->bits, of_block = entries * c->vector;
    float *turned = mil__arena_alloc(o->arena, (size_t)(c->tables.n * of_block) * sizeof *turned + 1);
    if (!turned) return mil__nomem(o->call->err);
    for (int64_t i = 0; i < c->tables.n * of_block; i++)
        turned[i / of_block * of_block + i % c->vector * entries + i / c->vector % entries] = given[i];
    c->table = turned;
    return MIL_OK;
}

static mil_status add_data(opening *o, const mil_tensor *data) {
    o->c.data_dtype = data->dtype;
    if (!o->c.bits) o->c.bits = mil_dtype_bits(data->dtype);
    o->c.data = dense(data, data->dtype, o->arena);
    return o->c.data ? MIL_OK : mil__nomem(o->call->err);
}

/* Takes over what a description has, but for what the op's own inference said. */
static void add_source(opening *o, const mil__compressed *from) {
    mil__compressed own = o->c;
    o->c = *from;
    o->c.kind = own.kind;
    o->c.dtype = own.dtype;
    o->c.n = own.n;
    o->c.blocks = own.kind == MIL__SPARSE ? from->blocks : own.blocks;
    o->c.scales_all = from->scales_all || (own.kind == MIL__AFFINE && from->mask);
}

/* What the op is added to, where every place has data. */
static mil_status add_dense(opening *o, const char *name, const char *other, bool *fits) {
    const mil_tensor *data = data_of(o, name, other);
    if (data) return add_data(o, data);
    const mil__compressed *from = source_of(o, name).from;
    *fits = o->c.kind == MIL__AFFINE && from && source_of(o, name).part == MIL__DENSE && !from->scale;
    if (*fits) add_source(o, from);
    return MIL_OK;
}

static mil_status add_mask(opening *o, const char *name, const char *values_name, int64_t places) {
    mil__compressed *c = &o->c;
    const mil_tensor *data = data_of(o, name, ""), *values = data_of(o, values_name, "");
    c->mask = dense(data, data->dtype, o->arena);
    int64_t blocks = places / MIL__SPARSE_BLOCK + 1, *before = mil__arena_alloc(o->arena, (size_t)blocks * sizeof *before);
    if (!c->mask || !before) return mil__nomem(o->call->err);
    before[0] = 0;
    for (int64_t b = 1; b < blocks; b++)
        before[b] = before[b - 1] + mil__set_bits(c->mask, (b - 1) * MIL__SPARSE_BLOCK, b * MIL__SPARSE_BLOCK);
    c->before = before;
    int64_t set = mil__data_at(c, places);
    if (set == mil__numel(values)) return MIL_OK;
    return mil__call_fail(o->call, MIL_EVALUE, "%s has %lld bit%s set, but %s holds the values", name, (long long)set,
                          set == 1 ? "" : "s", MIL__ARG_TEXT(o->call, values_name));
}

/* The same of a sparse op. A mask that is the source's own is that source's again. */
static mil_status add_sparse(opening *o, const char *mask, const char *values, bool *fits) {
    const mil_tensor *bits = data_of(o, mask, ""), *data = data_of(o, values, "");
    mil__source first = source_of(o, mask), second = source_of(o, values);
    if (bits && data) {
        int64_t places = o->c.n / o->c.vector;
        MIL__TRY(add_data(o, data));
        return add_mask(o, mask, values, places);
    }
    const mil__compressed *from = second.from;
    bool is_own = bits ? from && from->vector == 1 && from->mask == bits->data : first.from == from && first.part == MIL__MASK;
    *fits = !data && from && second.part == MIL__VALUES && is_own && from->n == o->c.n && o->c.kind != MIL__SPARSE_LUT &&
            (o->c.kind == MIL__SPARSE || !from->scale);
    if (*fits) add_source(o, from);
    return MIL_OK;
}

mil_status mil__compressed_open(mil__call *call, const mil__source *sources, mil__arena *arena, mil__compressed *out, bool *fits) {
    opening o = {call, sources, arena, *(const mil__compressed *)call->params};
    mil_status status = MIL_OK;
    *fits = true;
    if (o.c.vector == 0) o.c.vector = o.c.inner = 1;
    switch (o.c.kind) {
    case MIL__CAST: status = add_dense(&o, "source_val", "", fits); break;
    case MIL__AFFINE: status = add_dense(&o, "data", "quantized_data", fits); break;
    case MIL__LUT: status = add_dense(&o, "indices", "", fits); break;
    case MIL__SPARSE: status = add_sparse(&o, "mask", "nonzero_data", fits); break;
    case MIL__SPARSE_LUT: status = add_sparse(&o, "indices_mask", "indices_nonzero_data", fits); break;
    case MIL__SPARSE_AFFINE: status = add_sparse(&o, "data_mask", "nonzero_data", fits); break;
    }
    bool has_table = o.c.kind == MIL__LUT || o.c.kind == MIL__SPARSE_LUT;
    bool has_scale = o.c.kind == MIL__AFFINE || o.c.kind == MIL__SPARSE_AFFINE;
    if (status == MIL_OK && *fits && has_table) status = add_table(&o, fits);
    if (status == MIL_OK && *fits && has_scale) status = add_scale(&o, fits);
    if (status == MIL_OK && *fits) *out = o.c;
    return status;
}

/* ---- expanding ---- */

/* An element of data: a code, or a number. */
static float read_data(const mil__compressed *c, int64_t at) {
    const uint8_t *bytes = c->data;
    float number;
    if (c->bits >= 8) {
        mil__convert(MIL_FP32, &number, 1, c->data_dtype, bytes + (size_t)at * mil__element_size(c->data_dtype), 1, 1);
        return number;
    }
    uint64_t bit = (uint64_t)at * (uint64_t)c->bits;
    unsigned shift = bit % 8, pair = bytes[bit / 8];
    if (shift + (unsigned)c->bits > 8) pair |= (unsigned)bytes[bit / 8 + 1] << 8;
    int code = (int)(pair >> shift & ((1u << c->bits) - 1));
    return (float)(c->data_dtype == MIL_INT4 ? (code ^ 8) - 8 : code);
}

/* at: in data; below 0: the mask has no value there. */
static float element(const mil__compressed *c, int64_t i, int64_t at) {
    int64_t left;
    if (at < 0 && !c->scales_all) return 0;
    float x = at < 0 ? 0 : read_data(c, at);
    if (c->table && at >= 0) {
        int64_t line = mil__block_of(&c->tables, i, &left) * c->vector + i / c->inner % c->vector;
        x = c->table[line << c->bits | (int64_t)x];
    }
    if (!c->scale) return x;
    int64_t block = mil__block_of(&c->blocks, i, &left);
    return c->scale[block] * (x - (c->zero ? c->zero[block] : 0));
}

/* Places go on one by one nearly everywhere: the value's is counted anew only where they do not. */
void mil__compressed_expand(const mil__compressed *c, int64_t begin, int64_t n, float *out) {
    int64_t last = -1, at = 0;
    for (int64_t i = begin; i < begin + n; i++) {
        int64_t p = mil__place(c, i);
        if (!c->mask) at = p;
        else if (p == last + 1 && last >= 0) at += is_set(c->mask, last);
        else if (p != last) at = mil__data_at(c, p);
        last = p;
        *out++ = element(c, i, c->mask && !is_set(c->mask, p) ? -1 : at);
    }
}

enum { PIECE = 512 }; /* elements; whole bytes of every dtype */

static void *byte_of(void *elements, mil_dtype dtype, int64_t at) {
    return (char *)elements + (size_t)at * (size_t)mil_dtype_bits(dtype) / 8;
}

void mil__compressed_store(const mil__compressed *c, int64_t begin, int64_t n, void *out) {
    float piece[PIECE];
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t some = n - i < PIECE ? n - i : PIECE;
        mil__compressed_expand(c, begin + i, some, piece);
        mil__convert(c->dtype, byte_of(out, c->dtype, i), 1, MIL_FP32, piece, 1, some);
    }
}

void mil__compressed_store_pair(const mil__compressed *c, uint8_t *mask, void *values) {
    float piece[PIECE];
    int64_t n_values = 0;
    for (int64_t i = 0; i < c->n; i += PIECE) {
        int64_t some = c->n - i < PIECE ? c->n - i : PIECE, set = 0;
        mil__compressed_expand(c, i, some, piece);
        memset(mask + i / 8, 0, (size_t)(some + 7) / 8);
        for (int64_t k = 0; k < some; k++) {
            if (!is_set(c->mask, mil__place(c, i + k))) continue;
            mask[(i + k) / 8] |= (uint8_t)(1 << (i + k) % 8);
            piece[set++] = piece[k];
        }
        mil__convert(c->dtype, byte_of(values, c->dtype, n_values), 1, MIL_FP32, piece, 1, set);
        n_values += set;
    }
}
