/* SPDX-License-Identifier: MIT */
/* GGUF's quantised blocks.
 *
 * A block is a few bytes that stand for 32 to 256 elements. Whatever its layout, an element is
 *
 *     y[i] = scale[i / group] * q[i] + least[i / group]        with q an integer of 8 bits or fewer
 *
 * so each type has one function here, which takes a block apart into these; expanding, and handing out scale and q as
 * MIL's constexpr_blockwise_shift_scale wants them, are common to all. A product of scale and q is rounded once, to fp32, and
 * the scales of super-blocks (an fp16 times 8 bits or fewer) are exact in fp32: so this gives ggml's own results to the last bit. */
#include <math.h>

#include "weights/gguf_blocks.h"
#include "tensor/tensor.h"

enum { BLOCK = 256, GROUPS = 16 }; /* the largest */

struct mil__gguf_block {
    int8_t q[BLOCK];
    float scale[GROUPS], least[GROUPS];
};

/* ---- pieces of blocks ---- */

static float half_at(const uint8_t *p) { return mil__half_to_float((uint16_t)(p[0] | p[1] << 8)); }

/* Low nibbles of n bytes, then their high ones. */
static void nibbles(const uint8_t *bytes, int n, int8_t *q) {
    for (int i = 0; i < n; i++) {
        q[i] = bytes[i] & 15;
        q[n + i] = (int8_t)(bytes[i] >> 4);
    }
}

/* Pairs of bits of n bytes: the lowest pair of each, then the next of each ... */
static void bit_pairs(const uint8_t *bytes, int n, int8_t *q) {
    for (int pair = 0; pair < 4; pair++) {
        for (int i = 0; i < n; i++) q[pair * n + i] = (bytes[i] >> 2 * pair) & 3;
    }
}

static void add(int8_t *q, int n, int what) {
    for (int i = 0; i < n; i++) q[i] = (int8_t)(q[i] + what);
}

static void look_up(const int8_t table[16], int8_t *q, int n) {
    for (int i = 0; i < n; i++) q[i] = table[q[i]];
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; /* E2M1, twice its value */

/* ---- blocks of 32 to 128 ---- */

static void take_q4_0(const uint8_t *p, mil__gguf_block *out) { /* d, qs[16] */
    out->scale[0] = half_at(p);
    nibbles(p + 2, 16, out->q);
    add(out->q, 32, -8);
}

static void take_q4_1(const uint8_t *p, mil__gguf_block *out) { /* d, m, qs[16] */
    out->scale[0] = half_at(p);
    out->least[0] = half_at(p + 2);
    nibbles(p + 4, 16, out->q);
}

/* Nibbles, each with a fifth bit of the 32 in `high`. */
static void take_five_bits(const uint8_t *high, const uint8_t *low, int8_t *q) {
    nibbles(low, 16, q);
    for (int i = 0; i < 32; i++) q[i] = (int8_t)(q[i] | (high[i / 8] >> i % 8 & 1) << 4);
}

static void take_q5_0(const uint8_t *p, mil__gguf_block *out) { /* d, qh[4], qs[16] */
    out->scale[0] = half_at(p);
    take_five_bits(p + 2, p + 6, out->q);
    add(out->q, 32, -16);
}

static void take_q5_1(const uint8_t *p, mil__gguf_block *out) { /* d, m, qh[4], qs[16] */
    out->scale[0] = half_at(p);
    out->least[0] = half_at(p + 2);
    take_five_bits(p + 4, p + 8, out->q);
}

static void take_q8_0(const uint8_t *p, mil__gguf_block *out) { /* d, qs[32] */
    out->scale[0] = half_at(p);
    memcpy(out->q, p + 2, 32);
}

static void take_iq4_nl(const uint8_t *p, mil__gguf_block *out) { /* d, qs[16] */
    out->scale[0] = half_at(p);
    nibbles(p + 2, 16, out->q);
    look_up(iq4_values, out->q, 32);
}

static void take_mxfp4(const uint8_t *p, mil__gguf_block *out) { /* e, qs[16] */
    out->scale[0] = ldexpf(1, p[0] - 128);
    nibbles(p + 1, 16, out->q);
    look_up(fp4_values, out->q, 32);
}

/* Half the value of an unsigned float of 4 bits of exponent and 3 of mantissa; 7F, its NaN, counts as 0. */
static float half_of_e4m3(uint8_t code) {
    int exponent = code >> 3 & 15, mantissa = code & 7;
    if (code == 0x7f) return 0;
    return exponent ? ldexpf((float)(8 + mantissa), exponent - 11) : ldexpf((float)mantissa, -10);
}

static void take_nvfp4(const uint8_t *p, mil__gguf_block *out) { /* d[4], qs[32] */
    for (int s = 0; s < 4; s++) {
        out->scale[s] = half_of_e4m3(p[s]);
        nibbles(p + 4 + 8 * s, 8, out->q + 16 * s);
    }
    look_up(fp4_values, out->q, 64);
}

static void take_q1_0(const uint8_t *p, mil__gguf_block *out) { /* d, qs[16] */
    out->scale[0] = half_at(p);
    for (int i = 0; i < 128; i++) out->q[i] = p[2 + i / 8] >> i % 8 & 1 ? 1 : -1;
}

static void take_q2_0(const uint8_t *p, mil__gguf_block *out) { /* d, qs[16] */
    out->scale[0] = half_at(p);
    for (int i = 0; i < 64; i++) out->q[i] = (int8_t)((p[2 + i / 4] >> 2 * (i % 4) & 3) - 1);
}

/* ---- super-blocks of 256: groups of 16 or 32, whose scales are small integers times one or two fp16 ---- */

static void take_q2_k(const uint8_t *p, mil__gguf_block *out) { /* scales[16], qs[64], d, dmin */
    float d = half_at(p + 80), dmin = half_at(p + 82);
    for (int k = 0; k < 16; k++) {
        out->scale[k] = d * (float)(p[k] & 15);
        out->least[k] = -(dmin * (float)(p[k] >> 4));
    }
    bit_pairs(p + 16, 32, out->q);
    bit_pairs(p + 48, 32, out->q + 128);
}

static void take_q3_k(const uint8_t *p, mil__gguf_block *out) { /* hmask[32], qs[64], scales[12], d */
    const uint8_t *s = p + 96;
    float d = half_at(p + 108);
    for (int k = 0; k < 16; k++) {
        int low = s[k % 8] >> 4 * (k / 8) & 15, high = s[8 + k % 4] >> 2 * (k / 4) & 3;
        out->scale[k] = d * (float)((low | high << 4) - 32);
    }
    bit_pairs(p + 32, 32, out->q);
    bit_pairs(p + 64, 32, out->q + 128);
    for (int i = 0; i < 256; i++) {
        if (!(p[i % 32] >> i / 32 & 1)) out->q[i] = (int8_t)(out->q[i] - 4);
    }
}

/* The scales of Q4_K and Q5_K: d, dmin, and 8 pairs of 6 bits in 12 bytes. */
static void take_pairs(const uint8_t *p, mil__gguf_block *out) {
    const uint8_t *s = p + 4;
    float d = half_at(p), dmin = half_at(p + 2);
    for (int t = 0; t < 8; t++) {
        int scale = t < 4 ? s[t] & 63 : (s[t + 4] & 15) | s[t - 4] >> 6 << 4;
        int least = t < 4 ? s[t + 4] & 63 : s[t + 4] >> 4 | s[t] >> 6 << 4;
        out->scale[t] = d * (float)scale;
        out->least[t] = -(dmin * (float)least);
    }
}

static void take_q4_k(const uint8_t *p, mil__gguf_block *out) { /* d, dmin, scales[12], qs[128] */
    take_pairs(p, out);
    for (int g = 0; g < 4; g++) nibbles(p + 16 + 32 * g, 32, out->q + 64 * g);
}

static void take_q5_k(const uint8_t *p, mil__gguf_block *out) { /* d, dmin, scales[12], qh[32], qs[128] */
    take_pairs(p, out);
    for (int g = 0; g < 4; g++) nibbles(p + 48 + 32 * g, 32, out->q + 64 * g);
    for (int i = 0; i < 256; i++) out->q[i] = (int8_t)(out->q[i] | (p[16 + i % 32] >> i / 32 & 1) << 4);
}

static void take_q6_k(const uint8_t *p, mil__gguf_block *out) { /* ql[128], qh[64], scales[16], d */
    int8_t high[BLOCK];
    float d = half_at(p + 208);
    for (int k = 0; k < 16; k++) out->scale[k] = d * (float)(int8_t)p[192 + k];
    nibbles(p, 64, out->q);
    nibbles(p + 64, 64, out->q + 128);
    bit_pairs(p + 128, 32, high);
    bit_pairs(p + 160, 32, high + 128);
    for (int i = 0; i < 256; i++) out->q[i] = (int8_t)((out->q[i] | high[i] << 4) - 32);
}

static void take_iq4_xs(const uint8_t *p, mil__gguf_block *out) { /* d, sh, sl[4], qs[128] */
    float d = half_at(p);
    int high = p[2] | p[3] << 8;
    for (int b = 0; b < 8; b++) {
        int scale = (p[4 + b / 2] >> 4 * (b % 2) & 15) | (high >> 2 * b & 3) << 4;
        out->scale[b] = d * (float)(scale - 32);
        nibbles(p + 8 + 16 * b, 16, out->q + 32 * b);
    }
    look_up(iq4_values, out->q, 256);
}

/* `digits` digits of base 3 from each of n bytes, the first of each, then the next ...: a byte is a fraction of 256, so the
 * digit is what its triple carries out, and the rest follows in the byte that is left. */
static int8_t *trits(const uint8_t *bytes, int n, int digits, int8_t *q) {
    for (int digit = 0, power = 1; digit < digits; digit++, power *= 3) {
        for (int i = 0; i < n; i++) *q++ = (int8_t)(((bytes[i] * power & 255) * 3 >> 8) - 1);
    }
    return q;
}

static void take_tq1_0(const uint8_t *p, mil__gguf_block *out) { /* qs[48], qh[4], d */
    out->scale[0] = half_at(p + 52);
    trits(p + 48, 4, 4, trits(p + 32, 16, 5, trits(p, 32, 5, out->q)));
}

static void take_tq2_0(const uint8_t *p, mil__gguf_block *out) { /* qs[64], d */
    out->scale[0] = half_at(p + 64);
    bit_pairs(p, 32, out->q);
    bit_pairs(p + 32, 32, out->q + 128);
    add(out->q, 256, -1);
}

/* ---- the types, by their numbers ---- */

static const mil__gguf_type types[] = {
    [0]  = {.name = "F32", .dtype = MIL_FP32, .n = 1, .bytes = 4},
    [1]  = {.name = "F16", .dtype = MIL_FP16, .n = 1, .bytes = 2},
    [2]  = {"Q4_0",    MIL_NO_DTYPE, 32,  18,  32,  false, MIL_INT4, take_q4_0},
    [3]  = {"Q4_1",    MIL_NO_DTYPE, 32,  20,  32,  true,  MIL_INT8, take_q4_1},
    [6]  = {"Q5_0",    MIL_NO_DTYPE, 32,  22,  32,  false, MIL_INT8, take_q5_0},
    [7]  = {"Q5_1",    MIL_NO_DTYPE, 32,  24,  32,  true,  MIL_INT8, take_q5_1},
    [8]  = {"Q8_0",    MIL_NO_DTYPE, 32,  34,  32,  false, MIL_INT8, take_q8_0},
    [9]  = {.name = "Q8_1", .n = 32, .bytes = 36},  /* of results between, not of files */
    [10] = {"Q2_K",    MIL_NO_DTYPE, 256, 84,  16,  true,  MIL_INT4, take_q2_k},
    [11] = {"Q3_K",    MIL_NO_DTYPE, 256, 110, 16,  false, MIL_INT4, take_q3_k},
    [12] = {"Q4_K",    MIL_NO_DTYPE, 256, 144, 32,  true,  MIL_INT8, take_q4_k},
    [13] = {"Q5_K",    MIL_NO_DTYPE, 256, 176, 32,  true,  MIL_INT8, take_q5_k},
    [14] = {"Q6_K",    MIL_NO_DTYPE, 256, 210, 16,  false, MIL_INT8, take_q6_k},
    [15] = {.name = "Q8_K", .n = 256, .bytes = 292}, /* the same */
    [16] = {.name = "IQ2_XXS", .n = 256, .bytes = 66},  /* these stand on tables of hundreds of entries */
    [17] = {.name = "IQ2_XS", .n = 256, .bytes = 74},
    [18] = {.name = "IQ3_XXS", .n = 256, .bytes = 98},
    [19] = {.name = "IQ1_S", .n = 256, .bytes = 50},
    [20] = {"IQ4_NL",  MIL_NO_DTYPE, 32,  18,  32,  false, MIL_INT8, take_iq4_nl},
    [21] = {.name = "IQ3_S", .n = 256, .bytes = 110},
    [22] = {.name = "IQ2_S", .n = 256, .bytes = 82},
    [23] = {"IQ4_XS",  MIL_NO_DTYPE, 256, 136, 32,  false, MIL_INT8, take_iq4_xs},
    [24] = {.name = "I8", .dtype = MIL_INT8, .n = 1, .bytes = 1},
    [25] = {.name = "I16", .dtype = MIL_INT16, .n = 1, .bytes = 2},
    [26] = {.name = "I32", .dtype = MIL_INT32, .n = 1, .bytes = 4},
    [27] = {.name = "I64", .dtype = MIL_INT64, .n = 1, .bytes = 8},
    [28] = {.name = "F64", .dtype = MIL_FP64, .n = 1, .bytes = 8},
    [29] = {.name = "IQ1_M", .n = 256, .bytes = 56},
    [30] = {.name = "BF16", .dtype = MIL_BF16, .n = 1, .bytes = 2},
    [34] = {"TQ1_0",   MIL_NO_DTYPE, 256, 54,  256, false, MIL_INT4, take_tq1_0},
    [35] = {"TQ2_0",   MIL_NO_DTYPE, 256, 66,  256, false, MIL_INT4, take_tq2_0},
    [39] = {"MXFP4",   MIL_NO_DTYPE, 32,  17,  32,  false, MIL_INT8, take_mxfp4},
    [40] = {"NVFP4",   MIL_NO_DTYPE, 64,  36,  16,  false, MIL_INT8, take_nvfp4},
    [41] = {"Q1_0",    MIL_NO_DTYPE, 128, 18,  128, false, MIL_INT4, take_q1_0},
    [42] = {"Q2_0",    MIL_NO_DTYPE, 64,  18,  64,  false, MIL_INT4, take_q2_0},
};

const mil__gguf_type *mil__gguf_type_of(uint32_t id) {
    return id < MIL__COUNT(types) && types[id].name ? &types[id] : NULL;
}

/* ---- what is common to all ---- */

void mil__gguf_expand(const mil__gguf_type *type, const uint8_t *blocks, int64_t n_blocks, float *out) {
    mil__gguf_block b;
    for (; n_blocks > 0; n_blocks--, blocks += type->bytes) {
        type->take_apart(blocks, &b);
        const int8_t *q = b.q;
        for (int group = 0; group < type->n / type->group; group++, q += type->group, out += type->group) {
            for (int i = 0; i < type->group; i++) out[i] = b.scale[group] * (float)q[i];
            for (int i = 0; type->has_least && i < type->group; i++) out[i] += b.least[group];
        }
    }
}

void mil__gguf_split(const mil__gguf_type *type, const uint8_t *blocks, int64_t n_blocks, void *q, float *scale) {
    mil__gguf_block b;
    size_t n = (size_t)type->n, n_scales = (size_t)(type->n / type->group), q_bytes = n * (size_t)mil_dtype_bits(type->q_dtype) / 8;
    uint8_t *at = q;
    for (; n_blocks > 0; n_blocks--, blocks += type->bytes, at += q_bytes, scale += n_scales) {
        type->take_apart(blocks, &b);
        mil__convert(type->q_dtype, at, 1, MIL_INT8, b.q, 1, type->n);
        memcpy(scale, b.scale, n_scales * sizeof *scale);
    }
}
