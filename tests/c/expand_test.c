/* SPDX-License-Identifier: MIT */
/* Compressed tensors: each instruction set's expansion against the plain one, from any element on; and gemm and conv of a
 * compressed matrix against the same with the matrix expanded before: bit for bit where sums are in the same order. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/kernel.h"
#include "ops/compressed.h"

#include "test.h"

static uint32_t seed = 1;

static uint32_t random_bits(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static float uniform(void) { return (float)random_bits() / (1 << 23) - 1; }

/* ---- a compressed tensor of random contents, its memory of exact size ---- */

typedef struct scheme {
    const char *name;
    mil_dtype dtype, data_dtype;
    int bits;                     /* of data */
    int64_t shape[3];
    int64_t tables[3], vector;    /* palettes along each axis; of vectors along axis `along` */
    int along;
    int64_t blocks[3];            /* scales along each axis; 0: no scale */
    bool zero, mask, all;         /* all: the scales are of what the mask leaves out too */
} scheme;

typedef struct tensor {
    mil__compressed c;
    void *memory[8];
    int n;
} tensor;

static void *keep(tensor *t, void *memory) { return t->memory[t->n++] = memory; }

static void *random_bytes(size_t n) {
    uint8_t *bytes = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)random_bits();
    return bytes;
}

static float *random_floats(size_t n, mil_dtype dtype) {
    float *floats = malloc((n ? n : 1) * sizeof *floats);
    for (size_t i = 0; i < n; i++) floats[i] = dtype == MIL_FP16 ? mil__half_to_float(mil__float_to_half(uniform())) : uniform();
    return floats;
}

/* Gives how many places have a value. */
static int64_t make_mask(tensor *t, int64_t places) {
    uint8_t *mask = keep(t, random_bytes((size_t)(places + 7) / 8)); /* bits beyond the last place too */
    for (int64_t i = 0; i < places / 24; i += 3) mask[i] = i % 2 ? 0 : 255;
    int64_t blocks = places / MIL__SPARSE_BLOCK + 1, *before = keep(t, malloc((size_t)blocks * sizeof *before));
    for (int64_t b = 0; b < blocks; b++) before[b] = mil__set_bits(mask, 0, b * MIL__SPARSE_BLOCK);
    t->c.mask = mask;
    t->c.before = before;
    return mil__set_bits(mask, 0, places);
}

static void make_data(tensor *t, const scheme *s, int64_t n) {
    mil__compressed *c = &t->c;
    if (s->bits == 32) {
        c->data = keep(t, random_floats((size_t)n, MIL_FP32));
    } else if (s->bits == 16) {
        uint16_t *halves = keep(t, malloc((size_t)(n ? n : 1) * sizeof *halves));
        for (int64_t i = 0; i < n; i++) halves[i] = mil__float_to_half(uniform());
        c->data = halves;
    } else {
        c->data = keep(t, random_bytes(((size_t)n * (size_t)s->bits + 7) / 8));
    }
}

static void make(const scheme *s, tensor *t) {
    *t = (tensor){.c = {.dtype = s->dtype, .data_dtype = s->data_dtype, .bits = s->bits, .vector = 1, .inner = 1, .scales_all = s->all}};
    mil__compressed *c = &t->c;
    c->n = s->shape[0] * s->shape[1] * s->shape[2];
    if (s->vector) c->vector = s->vector;
    for (int a = s->along + 1; a < 3 && c->vector > 1; a++) c->inner *= s->shape[a];
    int64_t places = c->n / c->vector;
    make_data(t, s, s->mask ? make_mask(t, places) : places);
    if (s->tables[0]) {
        mil__compressed_blocks(&c->tables, 3, s->shape, s->tables);
        c->table = keep(t, random_floats((size_t)(c->tables.n * c->vector) << s->bits, s->dtype));
    }
    if (!s->blocks[0]) return;
    mil__compressed_blocks(&c->blocks, 3, s->shape, s->blocks);
    c->scale = keep(t, random_floats((size_t)c->blocks.n, s->dtype));
    float *zero = keep(t, random_floats((size_t)c->blocks.n, s->dtype));
    for (int64_t i = 0; i < c->blocks.n; i++) zero[i] = rintf(zero[i] * 20);
    if (s->zero) c->zero = zero;
}

static void drop(tensor *t) {
    while (t->n) free(t->memory[--t->n]);
}

/* The tensor as it is when expanded, as floats. */
static float *expanded(const mil__compressed *c) {
    float *all = malloc((size_t)c->n * sizeof *all);
    mil__compressed_expand(c, 0, c->n, all);
    for (int64_t i = 0; c->dtype == MIL_FP16 && i < c->n; i++) all[i] = mil__half_to_float(mil__float_to_half(all[i]));
    return all;
}

#define SHAPES .shape = {5, 24, 40}
#define SMALL .shape = {3, 7, 11}
#define ONE .tables = {1, 1, 1}
static const scheme schemes[] = {
    {"int8 by row", MIL_FP16, MIL_INT8, 8, SHAPES, .blocks = {5, 1, 1}, .zero = true},
    {"int8 by row, fp32, no zero", MIL_FP32, MIL_INT8, 8, SHAPES, .blocks = {5, 1, 1}},
    {"uint8 by middle axis", MIL_FP32, MIL_UINT8, 8, SHAPES, .blocks = {1, 24, 1}, .zero = true},
    {"uint8 by column", MIL_FP16, MIL_UINT8, 8, SHAPES, .blocks = {1, 1, 40}, .zero = true},
    {"int8 of one scale", MIL_FP32, MIL_INT8, 8, SHAPES, .blocks = {1, 1, 1}, .zero = true},
    {"int4 by blocks", MIL_FP16, MIL_INT4, 4, SHAPES, .blocks = {5, 24, 5}},
    {"uint4 by blocks", MIL_FP32, MIL_UINT4, 4, SHAPES, .blocks = {5, 12, 2}, .zero = true},
    {"int4 by column", MIL_FP32, MIL_INT4, 4, .shape = {3, 7, 33}, .blocks = {1, 7, 33}, .zero = true},
    {"uint4 by rows of blocks", MIL_FP16, MIL_UINT4, 4, .shape = {4, 6, 9}, .blocks = {2, 3, 3}, .zero = true},
    {"fp16 with scales", MIL_FP16, MIL_FP16, 16, SHAPES, .blocks = {5, 1, 8}, .zero = true},
    {"fp32 with scales", MIL_FP32, MIL_FP32, 32, SMALL, .blocks = {3, 7, 1}},
    {"fp16 as fp32", MIL_FP32, MIL_FP16, 16, SHAPES},
    {"lut of 1 bit", MIL_FP16, MIL_UINT8, 1, SHAPES, ONE},
    {"lut of 2 bits", MIL_FP32, MIL_UINT8, 2, SMALL, ONE},
    {"lut of 3 bits", MIL_FP16, MIL_UINT3, 3, SMALL, ONE},
    {"lut of 4 bits", MIL_FP16, MIL_UINT8, 4, SHAPES, ONE},
    {"lut of 6 bits", MIL_FP32, MIL_UINT8, 6, SMALL, ONE},
    {"lut of 8 bits", MIL_FP16, MIL_UINT8, 8, SHAPES, ONE},
    {"luts of 4 bits, by rows", MIL_FP16, MIL_UINT4, 4, SHAPES, .tables = {5, 1, 1}},
    {"luts of 3 bits, by blocks of columns", MIL_FP32, MIL_UINT3, 3, SHAPES, .tables = {1, 12, 5}},
    {"luts of 6 bits, by column", MIL_FP16, MIL_UINT6, 6, SMALL, .tables = {1, 1, 11}},
    {"vectors along the last axis", MIL_FP16, MIL_UINT4, 4, SHAPES, ONE, .vector = 4, .along = 2},
    {"vectors of 5, tables by block", MIL_FP32, MIL_UINT3, 3, SHAPES, .tables = {5, 2, 4}, .vector = 5, .along = 2},
    {"vectors along the middle axis", MIL_FP32, MIL_UINT2, 2, SHAPES, .tables = {1, 6, 1}, .vector = 2, .along = 1},
    {"vectors along the first axis", MIL_FP16, MIL_UINT6, 6, SHAPES, .tables = {1, 1, 4}, .vector = 5, .along = 0},
    {"lut with scales", MIL_FP16, MIL_UINT4, 4, SHAPES, ONE, .blocks = {5, 24, 1}, .zero = true},
    {"vectors with scales", MIL_FP32, MIL_UINT2, 2, SHAPES, .tables = {5, 1, 1}, .vector = 4, .along = 1, .blocks = {1, 6, 8}, .zero = true},
    {"sparse fp16", MIL_FP16, MIL_FP16, 16, SHAPES, .mask = true},
    {"sparse fp32", MIL_FP32, MIL_FP32, 32, SMALL, .mask = true},
    {"sparse int4 with scales", MIL_FP16, MIL_INT4, 4, SHAPES, .mask = true, .blocks = {5, 24, 5}, .zero = true},
    {"sparse int8 with scales by column", MIL_FP32, MIL_INT8, 8, SMALL, .mask = true, .blocks = {1, 1, 11}},
    {"sparse fp16 with scales", MIL_FP16, MIL_FP16, 16, SHAPES, .mask = true, .blocks = {1, 24, 1}, .zero = true},
    {"scales of sparse int8", MIL_FP16, MIL_INT8, 8, SHAPES, .mask = true, .blocks = {5, 1, 4}, .zero = true, .all = true},
    {"scales of a sparse lut", MIL_FP32, MIL_UINT3, 3, SMALL, ONE, .mask = true, .blocks = {1, 7, 1}, .zero = true, .all = true},
    {"sparse lut of 4 bits", MIL_FP16, MIL_UINT4, 4, SHAPES, ONE, .mask = true},
    {"sparse luts of 8 bits", MIL_FP32, MIL_UINT8, 8, SMALL, .tables = {3, 7, 1}, .mask = true},
    {"sparse vectors along the last axis", MIL_FP32, MIL_UINT1, 1, SHAPES, ONE, .vector = 8, .along = 2, .mask = true},
    {"sparse vectors, tables and scales", MIL_FP16, MIL_UINT3, 3, SHAPES, .tables = {1, 6, 2}, .vector = 4, .along = 1, .mask = true,
     .blocks = {5, 1, 10}, .zero = true},
};

/* ---- runs ---- */

static void check_run(const mil__kernels *k, const mil__compressed *c, const float *all, int64_t begin, int64_t n) {
    float *run = malloc((size_t)(n ? n : 1) * sizeof *run);
    k->expand(c, begin, n, run);
    CHECK(memcmp(run, all + begin, (size_t)n * sizeof *run) == 0);
    void *stored = malloc((size_t)(n ? n : 1) * sizeof *run);
    k->expand_store(c, begin, n, stored);
    for (int64_t i = 0; i < n; i++) {
        float x = c->dtype == MIL_FP16 ? mil__half_to_float(((uint16_t *)stored)[i]) : ((float *)stored)[i];
        if (!CHECK(x == all[begin + i])) break;
    }
    free(run);
    free(stored);
}

static void check_runs(const mil__kernels *k, const scheme *s) {
    tensor t;
    make(s, &t);
    float *all = expanded(&t.c);
    check_run(k, &t.c, all, 0, t.c.n);
    for (int i = 0; i < 200; i++) {
        int64_t begin = random_bits() % (uint32_t)t.c.n, most = t.c.n - begin, n = random_bits() % (uint32_t)(i % 2 ? most + 1 : 20);
        check_run(k, &t.c, all, begin, n < most ? n : most);
    }
    free(all);
    drop(&t);
}

/* ---- gemm: b as it is compressed, or transposed ---- */

static void check_gemm(const mil__kernels *k, const scheme *s, size_t m, bool transposed, int lanes) {
    tensor t;
    make(s, &t);
    float *all = expanded(&t.c);
    size_t rows = (size_t)(s->shape[0] * s->shape[1]), columns = (size_t)s->shape[2], n = transposed ? rows : columns;
    size_t depth = transposed ? columns : rows;
    float *a = random_floats(m * depth, MIL_FP32), *c[2] = {malloc(m * n * sizeof(float)), malloc(m * n * sizeof(float))};
    for (int source = 0; source < 2; source++) {
        mil__gemm g = {.m = m, .n = n, .k = depth, .a = {.data = a, .dtype = MIL__F32, .rs = (ptrdiff_t)depth, .cs = 1},
                       .b = {.data = source ? NULL : all, .dtype = MIL__F32, .rs = transposed ? 1 : (ptrdiff_t)columns,
                             .cs = transposed ? (ptrdiff_t)columns : 1},
                       .source = source ? &t.c : NULL, .c = c[source], .c_dtype = MIL__F32, .c_rs = (ptrdiff_t)n, .c_cs = 1};
        k->gemm_plan(&g, lanes);
        void *scratch = aligned_alloc(64, g.scratch_bytes + 64);
        for (size_t tile = g.n_tiles; tile-- > 0;) k->gemm(&g, tile, tile + 1, scratch);
        free(scratch);
    }
    bool few = m > 1 && m <= 8; /* of which a dense matrix is added up in another order */
    for (size_t i = 0; i < m * n; i++)
        if (!CHECK(c[0][i] == c[1][i] || (few && fabsf(c[0][i] - c[1][i]) <= 1e-5f * (float)depth))) break;
    free(a);
    free(c[0]);
    free(c[1]);
    free(all);
    drop(&t);
}

/* ---- conv: 24 kernels of the first group, 40 inputs a group, or so ---- */

static void check_conv(const mil__kernels *k, const scheme *s, size_t groups, size_t taps) {
    tensor t;
    make(s, &t);
    float *all = expanded(&t.c);
    size_t c_out = (size_t)(s->shape[0] * s->shape[1]), group_in = (size_t)s->shape[2] / taps, width = 37;
    float *x = random_floats(groups * group_in * width, MIL_FP32), *y[2] = {malloc(c_out * width * sizeof(float)), malloc(c_out * width * sizeof(float))};
    for (int source = 0; source < 2; source++) {
        mil__conv c = {.batch = 1, .c_in = groups * group_in, .c_out = c_out, .groups = groups, .x = x, .y = y[source],
                       .window = {.in = {1, 1, width}, .out = {1, 1, width}, .kernel = {1, 1, taps}, .stride = {1, 1, 1},
                                  .dilation = {1, 1, 1}, .before = {0, 0, taps / 2}},
                       .x_channel = (ptrdiff_t)width, .y_channel = (ptrdiff_t)width, .source = source ? &t.c : NULL};
        k->conv_plan(&c, 1);
        void *scratch = aligned_alloc(64, c.scratch_bytes + 64), *packed = malloc(c.packed_w_bytes + 1);
        CHECK_EQ(c.packed_w_bytes == 0, source == 1);
        if (!source) k->conv_pack_w(&c, all, packed);
        c.packed_w = packed;
        k->conv(&c, 0, c.n_tiles, scratch);
        free(scratch);
        free(packed);
    }
    CHECK(memcmp(y[0], y[1], c_out * width * sizeof(float)) == 0);
    free(x);
    free(y[0]);
    free(y[1]);
    free(all);
    drop(&t);
}

/* ---- the whole ---- */

static void each(void (*check)(const mil__kernels *k, const scheme *s)) {
    static char row[200];
    bool runs;
    const mil__kernels *k;
    for (size_t i = 0; (k = mil__kernels_at(i, &runs)); i++)
        for (size_t n = 0; runs && n < MIL__COUNT(schemes); n++) {
            snprintf(row, sizeof row, "%s, %s", k->isa, schemes[n].name);
            test_row = row;
            check(k, &schemes[n]);
        }
    test_row = "";
}

static void gemms(const mil__kernels *k, const scheme *s) {
    static const size_t ms[] = {1, 2, 8, 17, 200};
    for (size_t i = 0; i < MIL__COUNT(ms); i++)
        for (int transposed = 0; transposed < 2; transposed++) check_gemm(k, s, ms[i], transposed, ms[i] == 200 ? 2 : 1);
}

static void convs(const mil__kernels *k, const scheme *s) {
    if (s->shape[2] != 40) return;
    check_conv(k, s, 1, 1);
    check_conv(k, s, 1, 5);
    check_conv(k, s, 4, 2);
}

static void expanded_runs(void) { each(check_runs); }
static void gemm_of_compressed(void) { each(gemms); }
static void conv_of_compressed(void) { each(convs); }

/* ---- the engine, with the first, second, .. allocation failing ---- */

static const char text[] =
    "program(1.3)\n{\n    func main<ios17>(tensor<fp16, [1, 4, 1, 2]> x, tensor<int32, [1]> at) {\n"
    "tensor<fp16, [2, 3]> bits = constexpr_sparse_to_dense()[mask = tensor<uint8, [1]>([22]), nonzero_data = tensor<fp16, [3]>([1, 2, 3]), "
    "shape = tensor<uint32, [2]>([2, 3])];\n"
    "tensor<fp16, [4, 4, 1, 1]> w = constexpr_affine_dequantize()[axis = int32(0), quantized_data = tensor<int8, [4, 4, 1, 1]>([[[[1]], [[2]], [[3]], "
    "[[4]]], [[[5]], [[6]], [[7]], [[8]]], [[[1]], [[2]], [[3]], [[4]]], [[[5]], [[6]], [[7]], [[8]]]]), scale = tensor<fp16, [4]>([1, 0.5, 0.25, 0.125]), "
    "zero_point = int8(1)];\n"
    "tensor<fp16, [4, 1, 1, 1]> d = constexpr_lut_to_dense()[indices = tensor<uint8, [1]>([27]), lut = tensor<fp16, [4]>([1, 2, 3, 4]), "
    "shape = tensor<uint32, [4]>([4, 1, 1, 1])];\n"
    "tensor<fp16, [1, 4, 1, 2]> y = conv(weight = w, x = x);\n"
    "tensor<fp16, [1, 4, 1, 2]> z = conv(groups = int32(4), weight = d, x = y);\n"
    "tensor<fp16, [4, 1, 2]> s = reshape(shape = tensor<int32, [3]>([4, 1, 2]), x = z);\n"
    "tensor<fp16, [1, 3]> row = gather(axis = int32(0), indices = at, x = bits);\n"
    "tensor<fp16, [4, 2]> ih = constexpr_affine_dequantize()[axis = int32(0), quantized_data = tensor<int8, [4, 2]>([[1, 2], [3, 4], [5, 6], [7, 8]]), "
    "scale = fp16(0.1), zero_point = int8(0)];\n"
    "tensor<fp16, [4, 1]> hh = constexpr_affine_dequantize()[axis = int32(0), quantized_data = tensor<int8, [4, 1]>([[1], [3], [5], [7]]), "
    "scale = fp16(0.1), zero_point = int8(0)];\n"
    "tensor<fp16, [1, 1]> zero = const()[val = tensor<fp16, [1, 1]>([[0]])];\n"
    "tensor<fp16, [4, 1, 1]> all, tensor<fp16, [1, 1]> h, tensor<fp16, [1, 1]> c = lstm(initial_c = zero, initial_h = zero, output_sequence = bool(true), "
    "weight_hh = hh, weight_ih = ih, x = s);\n"
    "tensor<fp16, [6, 2]> gi = constexpr_affine_dequantize()[axis = int32(0), quantized_data = tensor<int8, [6, 2]>([[1, 2], [3, 4], [5, 6], [7, 8], [9, 8], [7, 6]]), "
    "scale = fp16(0.1), zero_point = int8(0)];\n"
    "tensor<fp16, [6, 2]> gh = constexpr_affine_dequantize()[axis = int32(0), quantized_data = tensor<int8, [6, 2]>([[1, 2], [3, 4], [5, 6], [7, 8], [9, 8], [7, 6]]), "
    "scale = fp16(0.1), zero_point = int8(0)];\n"
    "tensor<fp16, [6]> gb = const()[val = tensor<fp16, [6]>([0, 1, 0, 1, 0, 1])];\n"
    "tensor<fp16, [1, 2]> start = const()[val = tensor<fp16, [1, 2]>([[1, 2]])];\n"
    "tensor<fp16, [1, 1, 2]> g, tensor<fp16, [1, 2]> last = gru(bias = gb, initial_h = start, weight_hh = gh, weight_ih = gi, x = s);\n"
    "    } -> (all, c, row, g);\n}\n";

/* The forms of ios18, each taking what another gives; values are read by themselves too. */
static const char later[] =
    "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 4]> x) {\n"
    "tensor<int8, [1, 1, 4, 2]> table = constexpr_lut_to_dense(indices = tensor<uint1, [1, 1, 4, 1]>([[[[0], [1], [0], [1]]]]), "
    "lut = tensor<int8, [1, 1, 1, 1, 2, 2]>([[[[[[1, 2], [3, 4]]]]]]), vector_axis = int32(-1));\n"
    "tensor<fp16, [1, 1, 4, 2]> lut = constexpr_blockwise_shift_scale(data = table, scale = tensor<fp16, [1, 1, 1, 1]>([[[[0.5]]]]));\n"
    "tensor<uint1, [2, 4]> m, tensor<fp16, [8]> v = constexpr_lut_to_sparse(indices_mask = tensor<uint1, [2, 2]>([[1, 1], [1, 1]]), "
    "indices_nonzero_data = tensor<uint2, [4]>([0, 1, 2, 3]), lut = lut, vector_axis = int32(1));\n"
    "tensor<uint1, [2, 4]> n, tensor<fp16, [8]> u = constexpr_sparse_blockwise_shift_scale(data_mask = m, nonzero_data = v, "
    "scale = tensor<fp16, [2, 1]>([[1], [2]]));\n"
    "tensor<fp16, [2, 4]> w = constexpr_sparse_to_dense(mask = n, nonzero_data = u);\n"
    "tensor<fp16, [1, 2]> y = linear(weight = w, x = x);\n"
    "    } -> (y, u);\n}\n";

static mil_status later_task(void *ctx, mil_error *e) {
    static const int64_t shape[] = {1, 4};
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_tensor *in = NULL, *out[2] = {NULL, NULL};
    (void)ctx;
    mil_status status = mil_text_parse(later, sizeof later - 1, NULL, &program, e);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, &model, e);
    if (status == MIL_OK) status = mil_tensor_new(MIL_FP16, 2, shape, &in, e);
    for (int64_t i = 0; i < 4 && status == MIL_OK; i++) status = mil_tensor_set(in, (int64_t[]){0, i}, 1, e);
    if (status == MIL_OK) status = mil_model_run(model, &in, out, e);
    double sum = 0, value = 0; /* of 2 * (0.5 1, 1.5 2) */
    if (status == MIL_OK) status = mil_tensor_get(out[0], (int64_t[]){0, 1}, &sum, e);
    if (status == MIL_OK) status = mil_tensor_get(out[1], (int64_t[]){7}, &value, e);
    if (status == MIL_OK) CHECK_EQ(sum, 10.0);
    if (status == MIL_OK) CHECK_EQ(value, 4.0);
    mil_tensor_free(out[0]);
    mil_tensor_free(out[1]);
    mil_tensor_free(in);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static mil_status whole_task(void *ctx, mil_error *e) {
    static const int64_t x_shape[] = {1, 4, 1, 2}, at_shape[] = {1};
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_tensor *in[2] = {NULL, NULL}, *out[4] = {NULL, NULL, NULL, NULL};
    (void)ctx;
    mil_status status = mil_text_parse(text, sizeof text - 1, NULL, &program, e);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, &model, e);
    if (status == MIL_OK) status = mil_tensor_new(MIL_FP16, 4, x_shape, &in[0], e);
    if (status == MIL_OK) status = mil_tensor_new(MIL_INT32, 1, at_shape, &in[1], e);
    if (status == MIL_OK) status = mil_model_run(model, in, out, e);
    double one = 0; /* bits: 0 1 2, 0 3 0 */
    if (status == MIL_OK) status = mil_tensor_get(out[2], (int64_t[]){0, 1}, &one, e);
    if (status == MIL_OK) CHECK_EQ(one, 1.0);
    for (int i = 0; i < 4; i++) mil_tensor_free(out[i]);
    for (int i = 0; i < 2; i++) mil_tensor_free(in[i]);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static void no_memory(void) {
    mil_error err = {0};
    CHECK_OK(whole_task(NULL, &err), &err); /* what is made once is made */
    CHECK_OK(later_task(NULL, &err), &err);
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(whole_task, NULL) > 50);
    CHECK(test_each_allocation(later_task, NULL) > 50);
}

TEST_MAIN(CASE(expanded_runs), CASE(gemm_of_compressed), CASE(conv_of_compressed), CASE(no_memory))
