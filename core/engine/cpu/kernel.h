/* SPDX-License-Identifier: MIT */
/* The kernels: what the engine's steps are computed with. One table of functions an instruction set, chosen when the process
 * starts; each is written once (kernels/<what>.inc on the names of simd/<isa>.h) and compiled by kernels_<isa>.c.
 *
 * Every kernel goes through two stages. Its plan function, when a program is compiled, sees the whole description, numbers
 * the work as tiles and says what scratch a lane needs; the kernel then computes tiles begin .. end, any range of them on
 * any thread, in any order. Law: a tile's result depends on nothing but the description, so results do not depend on the
 * number of threads. No kernel reads or writes beyond the elements that its description names. Scratch is 64-aligned. */
#ifndef MIL__KERNEL_H
#define MIL__KERNEL_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How elements lie in memory. Arithmetic is fp32 (or int32) whatever the storage. */
typedef enum mil__storage { MIL__F32, MIL__F16, MIL__I32, MIL__U8 /* bool */ } mil__storage;

static inline size_t mil__storage_bytes(mil__storage storage) {
    return storage == MIL__F16 ? 2 : storage == MIL__U8 ? 1 : 4;
}

/* ---- chain: elementwise instructions on registers, over an index space ----
 *
 *     load r0 = x;  load r1 = bias;  add r0 = r0, r1;  gelu r0 = r0;  store y = r0
 *
 * A register holds a block of floats (bools are 0 and 1) or int32s. load: operand a into dst; store: register a into
 * operand dst. Binary ones take MIL__IMM for a or b, which then is the number p; else p and q are the op's parameters. */
#define MIL__CHAIN_OPS(DO)                                                                                            \
    DO(load) DO(store)                                                                                                \
    DO(abs) DO(acos) DO(asin) DO(atan) DO(atanh) DO(ceil) DO(cos) DO(cosh) DO(erf) DO(exp) DO(exp2) DO(floor)         \
    DO(inverse) DO(log) DO(round) DO(rsqrt) DO(sign) DO(sin) DO(sinh) DO(sqrt) DO(square) DO(tan) DO(tanh)            \
    DO(threshold) DO(clip) DO(clamped_relu) DO(elu) DO(leaky_relu) DO(linear) DO(relu) DO(relu6) DO(scaled_tanh)      \
    DO(sigmoid) DO(sigmoid_hard) DO(silu) DO(softplus) DO(softsign) DO(thresholded_relu)                              \
    DO(gelu) DO(gelu_tanh) DO(gelu_sigmoid)                                                                           \
    DO(add) DO(sub) DO(mul) DO(real_div) DO(floor_div) DO(mod) DO(pow) DO(maximum) DO(minimum)                        \
    DO(equal) DO(not_equal) DO(less) DO(less_equal) DO(greater) DO(greater_equal)                                     \
    DO(logical_and) DO(logical_or) DO(logical_xor) DO(logical_not)                                                    \
    DO(i_add) DO(i_sub) DO(i_mul) DO(i_maximum) DO(i_minimum) DO(i_equal) DO(i_less)                                  \
    DO(select) /* a ? b : c */ DO(i_to_f) DO(f_to_i) /* towards 0, saturating, NaN to 0 */ DO(round_f16)

typedef enum mil__chain_op {
#define DO(name) MIL__DO_##name,
    MIL__CHAIN_OPS(DO)
#undef DO
    MIL__N_CHAIN_OPS
} mil__chain_op;

enum { MIL__CHAIN_REGS = 16, MIL__IMM = 0xff };

typedef struct mil__instr {
    uint8_t op, dst, a, b, c;
    float p, q;
} mil__instr;

typedef struct mil__chain_operand {
    mil__storage dtype;
    ptrdiff_t stride[MIL_MAX_RANK]; /* in elements, by axis of the index space; 0: broadcast */
} mil__chain_operand;

typedef struct mil__chain {
    int n_dims;                     /* 0: one element */
    size_t dim[MIL_MAX_RANK];
    const mil__chain_operand *operands; /* the result's is dense */
    const mil__instr *instrs;       /* one store, the last; its operand may be the memory of a loaded one */
    int n_instrs, n_regs;
    size_t n_tiles, scratch_bytes;  /* chain_plan's */
    size_t n_elements, tile;
    bool is_logic;                  /* bools and nothing else */
} mil__chain;

/* ---- the epilogue of gemm and conv: v = alpha * sum + bias;  v = act(v + add)  or  v = act(v) + add ---- */

typedef enum mil__act {
    MIL__ACT_NONE, MIL__ACT_RELU, MIL__ACT_RELU6, MIL__ACT_LEAKY_RELU /* p */, MIL__ACT_CLIP /* p, q */,
    MIL__ACT_SIGMOID, MIL__ACT_SILU, MIL__ACT_TANH, MIL__ACT_GELU, MIL__ACT_GELU_TANH
} mil__act;

typedef struct mil__epilogue {
    float alpha;                    /* 0 stands for 1 */
    const float *bias;              /* gemm: by column; conv: by channel; or NULL */
    const void *add;                /* of the result's shape, or NULL; may be the result's memory where strides agree */
    mil__storage add_dtype;
    ptrdiff_t add_rs, add_cs;       /* gemm: by row, by column. conv: as the result */
    bool add_last;                  /* after the activation */
    mil__act act;
    float p, q;
} mil__epilogue;

/* ---- gemm: c[m, n] = epilogue(a[m, k] b[k, n]) ---- */

typedef struct mil__mat {
    const void *data;
    mil__storage dtype;             /* F32 or F16 */
    ptrdiff_t rs, cs;               /* from a row to the next, from a column to the next, in elements */
} mil__mat;

typedef struct mil__gemm {
    size_t m, n, k;
    mil__mat a, b;
    const void *packed_b;           /* b as gemm_pack_b left it; NULL: b is read as it lies */
    const struct mil__compressed *source; /* b's elements, numbered as its strides count them; b has no data then, and is not
                                           * packed before. NULL: b is not compressed */
    size_t source_at;               /* the number of b's first */
    void *c;
    mil__storage c_dtype;
    ptrdiff_t c_rs, c_cs;
    mil__epilogue ep;
    size_t n_tiles, scratch_bytes;  /* gemm_plan's */
    size_t tile_m, tile_n;
} mil__gemm;

/* ---- conv, conv_transpose, pooling over windows of up to 3 spatial axes (missing ones come first and are 1) ----
 * At output position o, tap t reads input position o * stride + t * dilation - before, 0 where that is outside. For
 * conv_transpose the window is that of the conv whose gradient it is: `in` is the result's extent, `out` is x's. */
typedef struct mil__window {
    size_t in[3], out[3], kernel[3], stride[3], dilation[3], before[3];
} mil__window;

typedef struct mil__conv {
    size_t batch, c_in, c_out, groups;
    mil__window window;
    const void *x;
    void *y;
    mil__storage x_dtype, w_dtype, y_dtype;
    ptrdiff_t x_channel, x_image, y_channel, y_image; /* in elements; the spatial axes are dense */
    const void *packed_w;           /* as conv_pack_w left it */
    const struct mil__compressed *source; /* of the weights: read a panel at a time, where the method is a gemm; or NULL */
    mil__epilogue ep;
    size_t n_tiles, scratch_bytes, packed_w_bytes; /* the plan's */
    int method;
    size_t tile_c, tile_p;          /* channels and positions of a tile */
} mil__conv;

typedef enum mil__pool_kind { MIL__POOL_MAX, MIL__POOL_AVG, MIL__POOL_L2 } mil__pool_kind;

typedef struct mil__pool {
    mil__pool_kind kind;
    size_t planes;                  /* batch * channels, dense */
    mil__window window;
    size_t after[3];                /* padding behind; windows may reach beyond it */
    bool exclude_pad;               /* avg: divide by the taps inside; else by those within the padding. Of none: 0 */
    mil__storage dtype;
    const void *x;
    void *y;
    size_t n_tiles, scratch_bytes, tile;
} mil__pool;

/* ---- rows: softmax and norms of x[outer, n, inner] over n; y may be x's memory ---- */

typedef enum mil__rows_kind { MIL__ROWS_SOFTMAX, MIL__ROWS_NORM } mil__rows_kind;

typedef struct mil__rows {
    mil__rows_kind kind;
    size_t outer, n, inner;
    mil__storage dtype;             /* of x and y; F32 or F16 */
    const float *gamma, *beta;      /* norm: by element of a row; with channels (inner = 1) by row % channels; or NULL */
    size_t channels;
    float epsilon;
    bool keep_mean;                 /* norm: divide by the root of the mean square, subtract nothing */
    size_t n_tiles, scratch_bytes, tile; /* rows_plan's */
} mil__rows;

/* ---- reduce: x[outer, n, inner] over n; n > 0 ---- */

typedef enum mil__reduce_kind {
    MIL__REDUCE_SUM, MIL__REDUCE_MEAN, MIL__REDUCE_MAX, MIL__REDUCE_MIN, MIL__REDUCE_PROD, MIL__REDUCE_L1, MIL__REDUCE_L2,
    MIL__REDUCE_SUM_SQUARE, MIL__REDUCE_LOG_SUM, MIL__REDUCE_LOG_SUM_EXP
} mil__reduce_kind;

typedef struct mil__reduce {
    mil__reduce_kind kind;
    size_t outer, n, inner;
    mil__storage dtype;             /* of x and y; F32 or F16 */
    size_t n_tiles, scratch_bytes, tile; /* reduce_plan's */
} mil__reduce;

/* ---- resize: each plane [in] of x becomes [out]; element i along an axis is read between two, lo + weight * (hi - lo) ---- */

typedef struct mil__resize_axis {
    const int32_t *lo, *hi;         /* by element of the result; where weight is 0 (always, of the nearest), hi is lo */
    const float *weight;
} mil__resize_axis;

typedef struct mil__resize {
    size_t planes, in[2], out[2];   /* height, width */
    bool is_nearest;
    mil__storage dtype;             /* of x and y; F32 or F16 */
    mil__resize_axis down, across;
    size_t n_tiles, scratch_bytes, tile; /* resize_plan's */
} mil__resize;

/* ---- sample: images [in] at n points, for all channels ---- */

typedef enum mil__beyond { MIL__BEYOND_PADDING, MIL__BEYOND_EDGE, MIL__BEYOND_LAST, MIL__BEYOND_HALF } mil__beyond; /* what is outside:
    padding; the last pixel; pixels mirrored at the last one's center, or at its far edge */

typedef struct mil__sampler {
    size_t in[2];                   /* height, width; their product is an int32 */
    double scale[2], shift[2];      /* of x, of y: a coordinate c is c * scale + shift in pixels */
    bool is_nearest;
    mil__beyond beyond;
    float padding;
    mil__storage dtype;             /* of images and results; F32 or F16 */
    size_t channels, image, result; /* elements from one channel to the next */
} mil__sampler;

/* ---- cell: one step of a recurrent layer for a batch ----
 * x and sums [batch, gates, hidden]: what x gives, and the gates' sums; h and c [batch, hidden], those of the step before. All fp32.
 *     LSTM       i, f, o, z:  i, f = recurrent(sums + peephole c);  c = clip(f c + i cell(z));  o = recurrent(sum + peephole c);
 *                h = o activation(c)
 *     RNN        h = activation(sum)
 *     GRU        r, o, z:  z = recurrent(sum);  h = (1 - z) activation(sum o) + z h
 *     RESET      before that, for the sum of o:  c = recurrent(sum r) h
 *     GRU_AFTER  GRU of x + sums; but o's is x + recurrent(x r + sum r) sum
 * Only GRU_AFTER reads x. */

typedef enum mil__cell_kind { MIL__CELL_LSTM, MIL__CELL_RNN, MIL__CELL_GRU, MIL__CELL_RESET, MIL__CELL_GRU_AFTER } mil__cell_kind;

typedef enum mil__gate {
    MIL__GATE_LINEAR, MIL__GATE_RELU, MIL__GATE_TANH, MIL__GATE_SIGMOID, MIL__GATE_HARD_SIGMOID /* 0.2 x + 0.5 in 0 .. 1 */
} mil__gate;

typedef struct mil__cell {
    mil__cell_kind kind;
    size_t gates, hidden;
    mil__gate recurrent, cell, activation;
    const float *peephole;          /* [3, hidden] of i, f, o; or NULL */
    float clip;                     /* of c; INFINITY: none */
} mil__cell;

/* ---- the table ---- */

typedef struct mil__kernels {
    const char *isa;
    size_t gemm_mr, gemm_nr;        /* rows and columns of gemm's register tile, for tests */
    size_t chain_block;             /* elements of a chain's register */

    void (*chain_plan)(mil__chain *chain, int n_lanes);
    void (*chain)(const mil__chain *chain, void *const *data /* by operand */, size_t begin, size_t end, void *scratch);

    /* Elements begin .. begin + n of a compressed tensor of fp16 or fp32, as floats (which hold what the dtype does), or stored
     * as the tensor has them. Neither has a plan; scratch is the stack. */
    void (*expand)(const struct mil__compressed *c, int64_t begin, int64_t n, float *to);
    void (*expand_store)(const struct mil__compressed *c, int64_t begin, int64_t n, void *to);

    size_t (*gemm_packed_b_bytes)(size_t k, size_t n, mil__storage dtype);
    /* The lines begin .. end of b: of its k rows where these are dense (cs is 1), else of its n columns, begin then being a
     * multiple of gemm_nr. */
    void (*gemm_pack_b)(const mil__mat *b, size_t k, size_t n, size_t begin, size_t end, void *packed);
    void (*gemm_plan)(mil__gemm *gemm, int n_lanes); /* asks whether packed_b and ep.add are there, not what they hold */
    void (*gemm)(const mil__gemm *gemm, size_t begin, size_t end, void *scratch);

    void (*conv_plan)(mil__conv *conv, int n_lanes);
    void (*conv_pack_w)(const mil__conv *conv, const void *weight, void *packed); /* [c_out, c_in / groups, kernel..] */
    void (*conv)(const mil__conv *conv, size_t begin, size_t end, void *scratch);
    void (*conv_transpose_plan)(mil__conv *conv, int n_lanes);
    void (*conv_transpose_pack_w)(const mil__conv *conv, const void *weight, void *packed); /* [c_in, c_out / groups, ..] */
    void (*conv_transpose)(const mil__conv *conv, size_t begin, size_t end, void *scratch);
    void (*rows_plan)(mil__rows *rows, int n_lanes);
    void (*rows)(const mil__rows *rows, const void *x, void *y, size_t begin, size_t end, void *scratch);
    void (*cell)(const mil__cell *cell, size_t batch, const float *x, const float *sums, float *h, float *c);
    void (*reduce_plan)(mil__reduce *reduce, int n_lanes);
    void (*reduce)(const mil__reduce *reduce, const void *x, void *y, size_t begin, size_t end, void *scratch);
    void (*resize_plan)(mil__resize *resize, int n_lanes);
    void (*resize)(const mil__resize *resize, const void *x, void *y, size_t begin, size_t end, void *scratch);
    size_t (*sample_scratch)(void);
    void (*sample)(const mil__sampler *sampler, const double *points /* x, y */, size_t n, const void *images, void *results, void *scratch);
    void (*pool_plan)(mil__pool *pool, int n_lanes);
    void (*pool)(const mil__pool *pool, size_t begin, size_t end, void *scratch);
} mil__kernels;

/* The best that the processor has, capped by MIL_ISA (scalar, avx2, avx512, neon); settled at the first call. */
const mil__kernels *mil__kernels_best(void);
/* Those that were built, best first; NULL after the last. *runs: does this processor have what it takes? */
const mil__kernels *mil__kernels_at(size_t i, bool *runs);

#endif
