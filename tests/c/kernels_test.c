/* SPDX-License-Identifier: MIT */
/* Each kernel of each instruction set against plain loops in double, at sizes around its tiles, strided and in place, with
 * every tile computed in an order of its own and guard bytes around what it may write. Bound: the design's,
 * |y - r| <= tol |r| + k 2^-24 sum |terms|. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/kernel.h"
#include "ops/sampling.h"
#include "tensor/tensor.h"

#include "test.h"

/* ---- memory: exact sizes, so that sanitizers see every step beyond; random contents ---- */

static uint32_t seed = 1;

static double uniform(void) { /* -1 .. 1 */
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 8) / (1 << 23) - 1;
}

static size_t pick(size_t n) { return (size_t)((uniform() + 1) / 2 * (double)n) % n; }

typedef struct array {
    mil__storage dtype;
    size_t n;
    void *data;
} array;

static double get(const array *a, size_t i) {
    if (a->dtype == MIL__F16) return (double)mil__half_to_float(((uint16_t *)a->data)[i]);
    if (a->dtype == MIL__I32) return ((int32_t *)a->data)[i];
    if (a->dtype == MIL__U8) return ((uint8_t *)a->data)[i];
    return (double)((float *)a->data)[i];
}

static void set(array *a, size_t i, double x) {
    if (a->dtype == MIL__F16) ((uint16_t *)a->data)[i] = mil__float_to_half((float)x);
    else if (a->dtype == MIL__I32) ((int32_t *)a->data)[i] = (int32_t)x;
    else if (a->dtype == MIL__U8) ((uint8_t *)a->data)[i] = x != 0;
    else ((float *)a->data)[i] = (float)x;
}

static array array_of(mil__storage dtype, size_t n) {
    array a = {dtype, n, malloc(n * mil__storage_bytes(dtype))};
    for (size_t i = 0; i < n; i++) set(&a, i, dtype == MIL__I32 ? floor(uniform() * 1000) : uniform());
    return a;
}


/* ---- comparing ---- */

typedef struct bound {
    double tol, terms; /* terms: k 2^-24 sum |terms| */
} bound;

static double tolerance(mil__storage dtype) { return dtype == MIL__F16 ? 0x1p-9 : 1e-5; }  /* 2 ulp of fp16 */
static double least(mil__storage dtype) { return dtype == MIL__F16 ? 0x1p-24 : 0x1p-149; } /* its smallest number */

static bool near(double got, double wanted, bound b) {
    if (isnan(wanted)) return isnan(got);
    if (isinf(wanted)) return got == wanted;
    return fabs(got - wanted) <= b.tol * fabs(wanted) + b.terms;
}

static bool told; /* of this row */

/* The first element that differs is told of; the others are counted. */
static void check_near(const char *what, size_t at, double got, double wanted, bound b) {
    if (near(got, wanted, b)) return;
    if (!told) fprintf(stderr, "%s: %s[%zu] = %.9g, wanted %.9g\n", test_row, what, at, got, wanted);
    told = true;
    test_failures++;
}

/* ---- over the instruction sets ---- */

static void each_isa(void (*check)(const mil__kernels *kernels)) {
    bool runs;
    const mil__kernels *kernels;
    for (size_t i = 0; (kernels = mil__kernels_at(i, &runs)); i++)
        if (runs) check(kernels);
}

/* Tiles one by one, the last first: none may depend on another. */
#define EACH_TILE(n_tiles, call)                                                                                      \
    for (size_t tile_ = (n_tiles); tile_-- > 0;) {                                                                    \
        size_t begin = tile_, end = tile_ + 1;                                                                        \
        call;                                                                                                         \
    }

static char row_text[400];
#define ROW(...) (snprintf(row_text, sizeof row_text, __VA_ARGS__), test_row = row_text, told = false)

static double act(mil__act act, double x, double p, double q) {
    switch (act) {
    case MIL__ACT_NONE: return x;
    case MIL__ACT_RELU: return fmax(x, 0);
    case MIL__ACT_RELU6: return fmin(fmax(x, 0), 6);
    case MIL__ACT_LEAKY_RELU: return x < 0 ? p * x : x;
    case MIL__ACT_CLIP: return fmin(fmax(x, p), q);
    case MIL__ACT_SIGMOID: return 1 / (1 + exp(-x));
    case MIL__ACT_SILU: return x / (1 + exp(-x));
    case MIL__ACT_TANH: return tanh(x);
    case MIL__ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case MIL__ACT_GELU_TANH: return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
    return x;
}

enum { N_ACTS = MIL__ACT_GELU_TANH + 1 };

static double after(const mil__epilogue *ep, double sum, double bias, double add) {
    double v = (ep->alpha == 0 ? 1 : (double)ep->alpha) * sum + bias;
    if (!ep->add_last) v += add;
    v = act(ep->act, v, (double)ep->p, (double)ep->q);
    return ep->add_last ? v + add : v;
}

/* ---- gemm ---- */

typedef struct gemm_case {
    size_t m, n, k;
    bool at, bt, pack;            /* a, b transposed; b packed before */
    mil__storage a, b, c;
    bool bias, add, add_last, add_in_place, c_strided;
    mil__act act;
    int lanes;
} gemm_case;

static void check_gemm(const mil__kernels *kernels, const gemm_case *g) {
    ROW("%s gemm %zux%zux%zu a%d%d b%d%d c%d pack%d bias%d add%d%d%d act%d strided%d lanes%d", kernels->isa, g->m, g->n, g->k,
        g->a, g->at, g->b, g->bt, g->c, g->pack, g->bias, g->add, g->add_last, g->add_in_place, g->act, g->c_strided, g->lanes);
    size_t pad = g->c_strided ? 3 : 0, width = (g->n + pad) * (g->c_strided ? 2 : 1);
    array a = array_of(g->a, g->m * g->k), b = array_of(g->b, g->k * g->n), c = array_of(g->c, g->m * width);
    array bias = array_of(MIL__F32, g->n), add = array_of(g->c, g->m * width), before = array_of(g->c, g->m * width);
    memcpy(before.data, c.data, c.n * mil__storage_bytes(g->c));
    const array *added = g->add_in_place ? &before : &add;
    mil__gemm gemm = {
        .m = g->m, .n = g->n, .k = g->k,
        .a = {a.data, g->a, g->at ? 1 : (ptrdiff_t)g->k, g->at ? (ptrdiff_t)g->m : 1},
        .b = {b.data, g->b, g->bt ? 1 : (ptrdiff_t)g->n, g->bt ? (ptrdiff_t)g->k : 1},
        .c = c.data, .c_dtype = g->c, .c_rs = (ptrdiff_t)width, .c_cs = g->c_strided ? 2 : 1,
        .ep = {.alpha = g->act ? 0.75f : 0, .bias = g->bias ? bias.data : NULL, .act = g->act, .p = 0.1f, .q = 0.5f,
               .add = !g->add ? NULL : g->add_in_place ? c.data : add.data, .add_dtype = g->c, .add_last = g->add_last,
               .add_rs = (ptrdiff_t)width, .add_cs = g->c_strided ? 2 : 1}};
    void *packed = malloc(kernels->gemm_packed_b_bytes(g->k, g->n, g->b));
    if (g->pack) { /* in two pieces */
        size_t lines = gemm.b.cs == 1 ? g->k : g->n, half = lines / 2 / kernels->gemm_nr * kernels->gemm_nr;
        kernels->gemm_pack_b(&gemm.b, g->k, g->n, half, lines, packed);
        kernels->gemm_pack_b(&gemm.b, g->k, g->n, 0, half, packed);
        gemm.packed_b = packed, gemm.b.data = NULL;
    }
    kernels->gemm_plan(&gemm, g->lanes);
    void *scratch = aligned_alloc(64, gemm.scratch_bytes + 64);
    EACH_TILE(gemm.n_tiles, kernels->gemm(&gemm, begin, end, scratch))
    for (size_t i = 0; i < g->m; i++)
        for (size_t at = 0; at < width; at++) {
            size_t j = g->c_strided ? at / 2 : at;
            if (j >= g->n || (g->c_strided && at % 2)) {
                check_near("untouched", at, get(&c, i * width + at), get(&before, i * width + at), (bound){0});
                continue;
            }
            double sum = 0, terms = 0;
            for (size_t p = 0; p < g->k; p++) {
                double term = get(&a, g->at ? p * g->m + i : i * g->k + p) * get(&b, g->bt ? j * g->k + p : p * g->n + j);
                sum += term, terms += fabs(term);
            }
            double other = g->add ? get(added, i * width + at) : 0, offset = g->bias ? get(&bias, j) : 0;
            terms += fabs(other) + fabs(offset);
            bound bound = {tolerance(g->c), ((double)g->k + 2) * 0x1p-24 * terms + least(g->c)};
            check_near("c", i * g->n + j, get(&c, i * width + at), after(&gemm.ep, sum, offset, other), bound);
        }
    free(a.data), free(b.data), free(c.data), free(bias.data), free(add.data), free(before.data), free(packed), free(scratch);
}

static void gemm_sizes(const mil__kernels *kernels) {
    size_t mr = kernels->gemm_mr, nr = kernels->gemm_nr;
    size_t ms[] = {1, 2, 3, mr - 1, mr, mr + 1, 2 * mr + 1}, ns[] = {1, nr / 2, nr - 1, nr, nr + 1, 3 * nr + 2};
    size_t ks[] = {0, 1, 2, 7, 64, 255, 256, 257, 600};
    for (size_t i = 0; i < MIL__COUNT(ms); i++)
        for (size_t j = 0; j < MIL__COUNT(ns); j++)
            for (size_t p = 0; p < MIL__COUNT(ks); p++)
                check_gemm(kernels, &(gemm_case){.m = ms[i], .n = ns[j], .k = ks[p], .bt = (i + j + p) % 2, .pack = (i + j) % 2,
                                                 .lanes = 1 + (int)(p % 3)});
}

/* Everything else, each a few times in random company. */
static void gemm_options(const mil__kernels *kernels) {
    for (int i = 0; i < 400; i++) {
        gemm_case g = {.m = 1 + pick(40), .n = 1 + pick(70), .k = pick(i % 8 ? 100 : 700), .at = pick(2), .bt = pick(2),
                       .pack = pick(2), .bias = pick(2), .add = pick(2), .add_last = pick(2), .add_in_place = pick(2),
                       .c_strided = pick(3) == 0, .act = (mil__act)pick(N_ACTS), .lanes = 1 + (int)pick(8)};
        g.a = pick(2) ? MIL__F16 : MIL__F32;
        g.b = pick(2) ? MIL__F16 : MIL__F32;
        g.c = pick(2) ? MIL__F16 : MIL__F32;
        check_gemm(kernels, &g);
    }
}

/* Several tiles of each kind, the same bits for any number of lanes. */
static void gemm_lanes(const mil__kernels *kernels) {
    enum { M = 230, N = 1100, K = 300 };
    array a = array_of(MIL__F32, M * K), b = array_of(MIL__F32, K * N), c = array_of(MIL__F32, M * N);
    array first = array_of(MIL__F32, M * N);
    for (int lanes = 1; lanes < 17; lanes *= 2) {
        ROW("%s gemm, %d lanes", kernels->isa, lanes);
        mil__gemm gemm = {.m = M, .n = N, .k = K, .a = {a.data, MIL__F32, K, 1}, .b = {b.data, MIL__F32, N, 1},
                          .c = lanes == 1 ? first.data : c.data, .c_rs = N, .c_cs = 1};
        kernels->gemm_plan(&gemm, lanes);
        void *scratch = aligned_alloc(64, gemm.scratch_bytes + 64);
        EACH_TILE(gemm.n_tiles, kernels->gemm(&gemm, begin, end, scratch))
        free(scratch);
        if (lanes > 1) CHECK(gemm.n_tiles >= (size_t)lanes);
        if (lanes > 1) CHECK(memcmp(first.data, c.data, M * N * sizeof(float)) == 0);
    }
    free(a.data), free(b.data), free(c.data), free(first.data);
}

static void gemms(void) {
    each_isa(gemm_sizes);
    each_isa(gemm_options);
    each_isa(gemm_lanes);
}

/* ---- chains: each instruction alone, against C's functions in double ---- */

static double floor_mod(double x, double y) {
    double r = fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

/* p = 0.5, q = 2 where an instruction has parameters */
static double unary(mil__chain_op op, double x) {
    const double p = 0.5, q = 2;
    switch (op) {
    case MIL__DO_abs: return fabs(x);
    case MIL__DO_acos: return acos(x);
    case MIL__DO_asin: return asin(x);
    case MIL__DO_atan: return atan(x);
    case MIL__DO_atanh: return atanh(x);
    case MIL__DO_ceil: return ceil(x);
    case MIL__DO_cos: return cos(x);
    case MIL__DO_cosh: return cosh(x);
    case MIL__DO_erf: return erf(x);
    case MIL__DO_exp: return exp(x);
    case MIL__DO_exp2: return exp2(x);
    case MIL__DO_floor: return floor(x);
    case MIL__DO_inverse: return 1 / (double)((float)x + 0.5f);
    case MIL__DO_log: return log((double)((float)x + 0.5f));
    case MIL__DO_round: return nearbyint(x);
    case MIL__DO_rsqrt: return 1 / sqrt((double)((float)x + 0.5f));
    case MIL__DO_sign: return isnan(x) ? x : (x > 0) - (x < 0);
    case MIL__DO_sin: return sin(x);
    case MIL__DO_sinh: return sinh(x);
    case MIL__DO_sqrt: return sqrt(x);
    case MIL__DO_square: return x * x;
    case MIL__DO_tan: return tan(x);
    case MIL__DO_tanh: return tanh(x);
    case MIL__DO_threshold: return isnan(x) ? x : fmax(x, p);
    case MIL__DO_clip: return isnan(x) ? x : fmin(fmax(x, p), q);
    case MIL__DO_clamped_relu: return isnan(x) ? x : fmin(x < 0 ? p * x : x, q);
    case MIL__DO_elu: return x < 0 ? p * expm1(x) : x;
    case MIL__DO_leaky_relu: return x < 0 ? p * x : x;
    case MIL__DO_linear: return (double)((float)x * 0.5f + 2.0f);
    case MIL__DO_relu: return isnan(x) ? x : fmax(x, 0);
    case MIL__DO_relu6: return isnan(x) ? x : fmin(fmax(x, 0), 6);
    case MIL__DO_scaled_tanh: return p * tanh(q * x);
    case MIL__DO_sigmoid: return sigmoid(x);
    case MIL__DO_sigmoid_hard: return isnan(x) ? x : fmin(fmax((double)((float)x * 0.5f + 2.0f), 0), 1);
    case MIL__DO_silu: return x * sigmoid(x);
    case MIL__DO_softplus: return isnan(x) ? x : fmax(x, 0) + log1p(exp(-fabs(x)));
    case MIL__DO_softsign: return x / (1 + fabs(x));
    case MIL__DO_thresholded_relu: return x < p ? 0 : x;
    case MIL__DO_gelu: return 0.5 * x * erfc(-x / sqrt(2));
    case MIL__DO_gelu_tanh: return x * sigmoid(2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    case MIL__DO_gelu_sigmoid: return x * sigmoid(1.702 * x);
    case MIL__DO_logical_not: return x == 0;
    case MIL__DO_round_f16: return (double)mil__half_to_float(mil__float_to_half((float)x));
    default: return NAN;
    }
}

static double binary(mil__chain_op op, double x, double y) {
    switch (op) {
    case MIL__DO_add: case MIL__DO_i_add: return x + y;
    case MIL__DO_sub: case MIL__DO_i_sub: return x - y;
    case MIL__DO_mul: case MIL__DO_i_mul: return x * y;
    case MIL__DO_real_div: return x / y;
    case MIL__DO_floor_div: return y == 0 ? x / y : floor((x - floor_mod(x, y)) / y + 0.5);
    case MIL__DO_mod: return floor_mod(x, y);
    case MIL__DO_pow: return pow(x, y);
    case MIL__DO_maximum: case MIL__DO_i_maximum: return isnan(x) || isnan(y) ? NAN : fmax(x, y);
    case MIL__DO_minimum: case MIL__DO_i_minimum: return isnan(x) || isnan(y) ? NAN : fmin(x, y);
    case MIL__DO_equal: case MIL__DO_i_equal: return x == y;
    case MIL__DO_not_equal: return x != y;
    case MIL__DO_less: case MIL__DO_i_less: return x < y;
    case MIL__DO_less_equal: return x <= y;
    case MIL__DO_greater: return x > y;
    case MIL__DO_greater_equal: return x >= y;
    case MIL__DO_logical_and: return x != 0 && y != 0;
    case MIL__DO_logical_or: return x != 0 || y != 0;
    case MIL__DO_logical_xor: return (x != 0) != (y != 0);
    default: return NAN;
    }
}

static const struct instruction {
    const char *name;
    mil__chain_op op;
} instructions[] = {
#define DO(name) {#name, MIL__DO_##name},
    MIL__CHAIN_OPS(DO)
#undef DO
};

static bool is_unary(mil__chain_op op) {
    return (op >= MIL__DO_abs && op <= MIL__DO_gelu_sigmoid) || op == MIL__DO_logical_not || op == MIL__DO_round_f16;
}
static bool is_binary(mil__chain_op op) { return op >= MIL__DO_add && op <= MIL__DO_i_less && op != MIL__DO_logical_not; }
static bool on_ints(mil__chain_op op) { return op >= MIL__DO_i_add && op <= MIL__DO_i_less; }

static void run_chain(const mil__kernels *kernels, mil__chain *chain, void *const *data, int lanes) {
    kernels->chain_plan(chain, lanes);
    void *scratch = aligned_alloc(64, chain->scratch_bytes + 64);
    EACH_TILE(chain->n_tiles, kernels->chain(chain, data, begin, end, scratch))
    free(scratch);
}

/* Below the smallest normal number an ulp is all that can be asked, and x times that of x * sigmoid. */
static bound unary_bound(mil__chain_op op, double x) {
    bool steep = op == MIL__DO_gelu_tanh || op == MIL__DO_gelu_sigmoid; /* the rounded argument of exp tells, far out */
    bool product = (op >= MIL__DO_gelu && op <= MIL__DO_gelu_sigmoid) || op == MIL__DO_silu;
    return (bound){steep ? 2e-5 : 1e-5, 0x1p-148 * (product ? 1 + fabs(x) : 1)};
}

static double as_float(double x) { return (double)(float)x; } /* overflow to infinity */

static void check_unary(const mil__kernels *kernels, mil__chain_op op, const char *name) {
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e-45, -1e-45, 1e-40, 1.17549435e-38, 3.4e38, -3.4e38,
                                 88.7, 88.73, -87.3, -103.9, -104.5, 127.99, -149.5, 0.34, 0.65, -0.65, 1.0, -1.0, 0.5, 6.0};
    enum { N = 4099 };
    ROW("%s %s", kernels->isa, name);
    array x = array_of(MIL__F32, N), y = array_of(MIL__F32, N);
    for (size_t i = 0; i < N; i++) {
        double scale = i % 4 == 0 ? 1 : i % 4 == 1 ? 12 : i % 4 == 2 ? 110 : exp(uniform() * 80);
        set(&x, i, i < MIL__COUNT(odd) ? odd[i] : uniform() * scale);
    }
    mil__chain_operand operands[] = {{.dtype = MIL__F32, .stride = {1}}, {.dtype = MIL__F32, .stride = {1}}};
    mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = (uint8_t)op, .p = 0.5f, .q = 2}, {.op = MIL__DO_store, .dst = 1}};
    mil__chain chain = {.n_dims = 1, .dim = {N}, .operands = operands, .instrs = instrs, .n_instrs = 3, .n_regs = 1};
    run_chain(kernels, &chain, (void *[]){x.data, y.data}, 1);
    for (size_t i = 0; i < N; i++) {
        double in = get(&x, i), wanted = unary(op, in);
        if (isinf(in) && wanted != wanted && op >= MIL__DO_gelu) continue; /* 0 * inf: as it comes */
        check_near("y", i, get(&y, i), isinf(as_float(wanted)) ? as_float(wanted) : wanted, unary_bound(op, in));
    }
    free(x.data), free(y.data);
}

static void check_binary(const mil__kernels *kernels, mil__chain_op op, const char *name, int immediate) {
    enum { N = 1031 };
    ROW("%s %s, immediate %d", kernels->isa, name, immediate);
    mil__storage in = on_ints(op) ? MIL__I32 : MIL__F32;
    mil__storage to = op == MIL__DO_i_equal || op == MIL__DO_i_less ? MIL__U8 : in;
    array x = array_of(in, N), y = array_of(in, N), z = array_of(to, N);
    for (size_t i = 0; i < N; i++) {
        if (in == MIL__F32) set(&x, i, uniform() * (i % 2 ? 3 : 100)), set(&y, i, uniform() * 4);
        if (i % 5 == 0) set(&y, i, get(&x, i));
        if (in == MIL__F32 && i == 7) set(&x, i, NAN);
        if (in == MIL__F32 && i == 9) set(&y, i, NAN);
        if (in == MIL__F32 && i > 20 && i < 30) set(&y, i, 0);
        if (op == MIL__DO_pow) set(&x, i, fabs(get(&x, i)));
        if (op >= MIL__DO_logical_and && op <= MIL__DO_logical_xor) set(&x, i, i % 2), set(&y, i, i % 3 == 0);
    }
    mil__chain_operand operands[] = {{.dtype = in, .stride = {1}}, {.dtype = in, .stride = {1}}, {.dtype = to, .stride = {1}}};
    mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = MIL__DO_load, .dst = 1, .a = 1},
                           {.op = (uint8_t)op, .a = immediate == 1 ? MIL__IMM : 0, .b = immediate == 2 ? MIL__IMM : 1, .p = 3},
                           {.op = MIL__DO_store, .dst = 2}};
    mil__chain chain = {.n_dims = 1, .dim = {N}, .operands = operands, .instrs = instrs, .n_instrs = 4, .n_regs = 2};
    run_chain(kernels, &chain, (void *[]){x.data, y.data, z.data}, 1);
    for (size_t i = 0; i < N; i++)
        check_near("z", i, get(&z, i), as_float(binary(op, immediate == 1 ? 3 : get(&x, i), immediate == 2 ? 3 : get(&y, i))),
                   (bound){1e-5, 0x1p-149});
    free(x.data), free(y.data), free(z.data);
}

static void each_instruction(const mil__kernels *kernels) {
    for (size_t i = 0; i < MIL__COUNT(instructions); i++) {
        mil__chain_op op = instructions[i].op;
        if (is_unary(op)) check_unary(kernels, op, instructions[i].name);
        for (int immediate = 0; immediate < 3 && is_binary(op); immediate++)
            check_binary(kernels, op, instructions[i].name, immediate);
    }
}

static void casts(const mil__kernels *kernels) {
    static const float in[] = {0, -0.9f, 0.9f, 1.5f, -2.5f, 3e9f, -3e9f, 2147483520.0f, 2147483648.0f, NAN, INFINITY, -INFINITY};
    static const int32_t out[] = {0, 0, 0, 1, -2, INT32_MAX, INT32_MIN, 2147483520, INT32_MAX, 0, INT32_MAX, INT32_MIN};
    enum { N = MIL__COUNT(in) };
    ROW("%s f_to_i", kernels->isa);
    int32_t got[N];
    float back[N];
    mil__chain_operand operands[] = {{.dtype = MIL__F32, .stride = {1}}, {.dtype = MIL__I32, .stride = {1}}};
    mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = MIL__DO_f_to_i}, {.op = MIL__DO_store, .dst = 1}};
    mil__chain chain = {.n_dims = 1, .dim = {N}, .operands = operands, .instrs = instrs, .n_instrs = 3, .n_regs = 1};
    run_chain(kernels, &chain, (void *[]){(void *)in, got}, 1);
    for (size_t i = 0; i < N; i++) check_near("f_to_i", i, got[i], out[i], (bound){0});
    operands[0].dtype = MIL__I32, operands[1].dtype = MIL__F32;
    instrs[1].op = MIL__DO_i_to_f;
    run_chain(kernels, &chain, (void *[]){got, back}, 1);
    for (size_t i = 0; i < N; i++) check_near("i_to_f", i, (double)back[i], (double)(float)got[i], (bound){0});
}

/* An operand over the index space of dim, with broadcasts and gaps at random but where it is plain. */
static array operand_over(mil__storage dtype, int rank, const size_t *dim, bool plain, mil__chain_operand *operand) {
    size_t elements = 1;
    *operand = (mil__chain_operand){.dtype = dtype};
    for (int i = rank; i-- > 0;) {
        bool broadcast = !plain && pick(2);
        if (!broadcast && !plain && pick(2)) elements = elements * 2 + 1;
        operand->stride[i] = broadcast ? 0 : (ptrdiff_t)elements;
        if (!broadcast) elements *= dim[i];
    }
    return array_of(dtype, elements);
}

/* Its element that belongs to the index space's i-th. */
static double element(const array *a, const mil__chain_operand *operand, int rank, const size_t *dim, size_t i) {
    size_t at = 0;
    for (int k = rank; k-- > 0; i /= dim[k]) at += i % dim[k] * (size_t)operand->stride[k];
    return get(a, at);
}

static array copy_of(const array *a) {
    array copy = array_of(a->dtype, a->n);
    memcpy(copy.data, a->data, a->n * mil__storage_bytes(a->dtype));
    return copy;
}

/* select(a < b, a * c, b) over broadcasts and strides of every kind; the result over a's memory where that is dense. */
static void broadcasts(const mil__kernels *kernels) {
    for (int row = 0; row < 300; row++) {
        int rank = (int)pick(4);
        size_t dim[4] = {0}, n = 1, largest = row % 10 ? 20 : 2000;
        for (int i = 0; i < rank; i++) dim[i] = 1 + pick(i + 1 == rank ? largest : 9), n *= dim[i];
        mil__chain_operand operands[4];
        array arrays[4];
        for (int o = 0; o < 4; o++)
            arrays[o] = operand_over((row + o) % 3 == 0 ? MIL__F16 : MIL__F32, rank, dim, o == 3 || pick(3) == 0, &operands[o]);
        bool in_place = operands[0].dtype == operands[3].dtype &&
                        memcmp(operands[0].stride, operands[3].stride, sizeof operands[0].stride) == 0;
        ROW("%s broadcast %d, rank %d, %zu elements%s", kernels->isa, row, rank, n, in_place ? ", in place" : "");
        array a = copy_of(&arrays[0]), *result = in_place ? &arrays[0] : &arrays[3];
        mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = MIL__DO_load, .dst = 1, .a = 1}, {.op = MIL__DO_load, .dst = 2, .a = 2},
                               {.op = MIL__DO_less, .dst = 3, .a = 0, .b = 1}, {.op = MIL__DO_mul, .dst = 0, .a = 0, .b = 2},
                               {.op = MIL__DO_select, .dst = 0, .a = 3, .b = 0, .c = 1}, {.op = MIL__DO_store, .dst = 3, .a = 0}};
        mil__chain chain = {.n_dims = rank, .operands = operands, .instrs = instrs, .n_instrs = 7, .n_regs = 4};
        memcpy(chain.dim, dim, sizeof dim);
        run_chain(kernels, &chain, (void *[]){arrays[0].data, arrays[1].data, arrays[2].data, result->data}, 2);
        for (size_t i = 0; i < n; i++) {
            double x = element(&a, &operands[0], rank, dim, i), y = element(&arrays[1], &operands[1], rank, dim, i);
            double z = element(&arrays[2], &operands[2], rank, dim, i);
            check_near("y", i, get(result, i), x < y ? x * z : y, (bound){tolerance(result->dtype), 0x1p-24});
        }
        for (int o = 0; o < 4; o++) free(arrays[o].data);
        free(a.data);
    }
}

/* not((a and b) xor c) or number: of bools alone, any byte but 0 being true; likewise in place. */
static void logic(const mil__kernels *kernels) {
    for (int row = 0; row < 300; row++) {
        int rank = (int)pick(4);
        size_t dim[4] = {0}, n = 1, largest = row % 4 ? 200 : 10000;
        for (int i = 0; i < rank; i++) dim[i] = 1 + pick(i + 1 == rank ? largest : 9), n *= dim[i];
        mil__chain_operand operands[4];
        array arrays[4];
        for (int o = 0; o < 4; o++) {
            arrays[o] = operand_over(MIL__U8, rank, dim, o == 3 || pick(3), &operands[o]);
            for (size_t i = 0; i < arrays[o].n; i++) ((uint8_t *)arrays[o].data)[i] = (uint8_t)((int[]){0, 0, 1, 2, 128, 255}[pick(6)]);
        }
        bool in_place = memcmp(operands[0].stride, operands[3].stride, sizeof operands[0].stride) == 0, number = row % 5 == 0;
        ROW("%s logic %d, rank %d, %zu elements%s", kernels->isa, row, rank, n, in_place ? ", in place" : "");
        array a = copy_of(&arrays[0]), *result = in_place ? &arrays[0] : &arrays[3];
        mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = MIL__DO_load, .dst = 1, .a = 1}, {.op = MIL__DO_load, .dst = 2, .a = 2},
                               {.op = MIL__DO_logical_and, .a = 0, .b = 1}, {.op = MIL__DO_logical_xor, .a = 0, .b = 2},
                               {.op = MIL__DO_logical_not}, {.op = MIL__DO_logical_or, .a = 0, .b = MIL__IMM, .p = number},
                               {.op = MIL__DO_store, .dst = 3, .a = 0}};
        mil__chain chain = {.n_dims = rank, .operands = operands, .instrs = instrs, .n_instrs = 8, .n_regs = 3};
        memcpy(chain.dim, dim, sizeof dim);
        run_chain(kernels, &chain, (void *[]){arrays[0].data, arrays[1].data, arrays[2].data, result->data}, 2);
        for (size_t i = 0; i < n; i++) {
            bool x = element(&a, &operands[0], rank, dim, i) != 0, y = element(&arrays[1], &operands[1], rank, dim, i) != 0;
            bool z = element(&arrays[2], &operands[2], rank, dim, i) != 0;
            check_near("y", i, get(result, i), ((x && y) == z) || number, (bound){0});
        }
        for (int o = 0; o < 4; o++) free(arrays[o].data);
        free(a.data);
    }
}

/* Over the whole range of floats, and every fp16 number: the errors that kernels/math.inc states, the same bits of every instruction
 * set, and what C has for NaN, infinities, both zeros and arguments outside of the domain. */
static const struct function {
    const char *name;
    mil__chain_op op;
    double (*exact)(double);
    double ulp;
} functions[] = {
    {"acos", MIL__DO_acos, acos, 2}, {"asin", MIL__DO_asin, asin, 3}, {"atan", MIL__DO_atan, atan, 3}, {"atanh", MIL__DO_atanh, atanh, 2},
    {"cos", MIL__DO_cos, cos, 2}, {"cosh", MIL__DO_cosh, cosh, 2}, {"sin", MIL__DO_sin, sin, 2}, {"sinh", MIL__DO_sinh, sinh, 2},
    {"tan", MIL__DO_tan, tan, 3},
};

enum { N_HALVES = 1 << 16, N_FLOATS = 1 << 18 };

static float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* In units in the last place of y as a float; those of its first beyond the largest too. */
static double ulp_of(double y) {
    int exponent;
    frexp(y, &exponent);
    return ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

static void check_function(const mil__kernels *kernels, const struct function *f, const float *in, float *out, size_t n) {
    mil__chain_operand operands[] = {{.dtype = MIL__F32, .stride = {1}}, {.dtype = MIL__F32, .stride = {1}}};
    mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = (uint8_t)f->op}, {.op = MIL__DO_store, .dst = 1}};
    mil__chain chain = {.n_dims = 1, .dim = {n}, .operands = operands, .instrs = instrs, .n_instrs = 3, .n_regs = 1};
    ROW("%s %s over all floats", kernels->isa, f->name);
    run_chain(kernels, &chain, (void *[]){(void *)in, out}, 1);
    for (size_t i = 0; i < n; i++) {
        double wanted = f->exact((double)in[i]), got = (double)out[i];
        bool overflows = isinf((float)wanted);
        check_near("y", i, got, overflows ? (double)(float)wanted : wanted, (bound){0, f->ulp * (overflows ? 1 : ulp_of(wanted))});
        if (!isnan(wanted)) check_near("the sign of y", i, signbit(got) != 0, signbit(wanted) != 0, (bound){0});
    }
}

static void trigonometry(void) {
    size_t n = N_HALVES + N_FLOATS;
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y), *first = malloc(n * sizeof *first);
    for (size_t i = 0; i < n; i++)
        x[i] = i < N_HALVES ? mil__half_to_float((uint16_t)i) : float_of_bits((uint32_t)(i - N_HALVES) * (UINT32_MAX / N_FLOATS + 2));
    for (size_t f = 0; f < MIL__COUNT(functions); f++) {
        bool runs, is_first = true;
        const mil__kernels *kernels;
        for (size_t k = 0; (kernels = mil__kernels_at(k, &runs)); k++) {
            if (!runs) continue;
            check_function(kernels, &functions[f], x, is_first ? first : y, n);
            size_t differ = 0;
            for (size_t i = 0; i < n && !is_first; i++) differ += memcmp(&first[i], &y[i], sizeof *y) != 0 && !(isnan(first[i]) && isnan(y[i]));
            CHECK(differ == 0);
            is_first = false;
        }
    }
    free(x), free(y), free(first);
}

/* mod and floor_div, to the bit: of numbers of all sizes (quotients around whole numbers and around 4096 among them), and of what is odd. */
static void remainders(const mil__kernels *kernels) {
    static const float odd[] = {0, -0.0f, 1, -1, 3, 0.1f, 1e-45f, -1e-40f, 3.4e38f, -3.4e38f, INFINITY, -INFINITY, NAN};
    enum { N_ODD = MIL__COUNT(odd), N = 200000 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), *got[2] = {malloc(N * sizeof *x), malloc(N * sizeof *x)};
    for (size_t i = 0; i < N; i++) {
        bool is_odd = i < (size_t)N_ODD * N_ODD;
        y[i] = is_odd ? odd[i / N_ODD] : (float)(uniform() * exp(uniform() * (i % 2 ? 3 : 90)));
        float times = (float)(uniform() * exp((uniform() + 1) * 5));
        x[i] = is_odd ? odd[i % N_ODD] : i % 3 ? y[i] * times : nextafterf(y[i] * floorf(times), (float)(i % 3 - 1) * INFINITY);
    }
    for (int k = 0; k < 2; k++) {
        mil__chain_op op = k ? MIL__DO_floor_div : MIL__DO_mod;
        mil__chain_operand operands[3] = {{.dtype = MIL__F32, .stride = {1}}, {.dtype = MIL__F32, .stride = {1}}, {.dtype = MIL__F32, .stride = {1}}};
        mil__instr instrs[] = {{.op = MIL__DO_load}, {.op = MIL__DO_load, .dst = 1, .a = 1}, {.op = (uint8_t)op, .a = 0, .b = 1},
                               {.op = MIL__DO_store, .dst = 2}};
        mil__chain chain = {.n_dims = 1, .dim = {N}, .operands = operands, .instrs = instrs, .n_instrs = 4, .n_regs = 2};
        run_chain(kernels, &chain, (void *[]){x, y, got[k]}, 1);
    }
    ROW("%s remainders", kernels->isa);
    for (size_t i = 0; i < N; i++) {
        float r = fmodf(x[i], y[i]);
        bool turns = r != 0 && (r < 0) != (y[i] < 0);
        double quotient = ((double)x[i] - (double)r) / (double)y[i] - turns; /* whole: that of a difference of 36 bits */
        if (turns) r += y[i];
        check_near("mod", i, (double)got[0][i], (double)r, (bound){0});
        if (!isnan(r)) check_near("mod's sign", i, signbit(got[0][i]) != 0, signbit(r == 0 ? y[i] : r) != 0, (bound){0});
        if (fabs(quotient) < 4096) check_near("floor_div", i, (double)got[1][i], quotient, (bound){0});
    }
    free(x), free(y), free(got[0]), free(got[1]);
}

static void chains(void) {
    each_isa(each_instruction);
    each_isa(casts);
    each_isa(broadcasts);
    each_isa(logic);
    each_isa(remainders);
}

/* ---- convolution and pooling: random windows, against loops over every tap ---- */

/* A window that has at least one output along each of `spatial` axes. Large ones now and then, to cross tiles. */
static mil__window random_window(int spatial, bool is_pool, bool large) {
    mil__window w;
    for (int i = 0; i < 3; i++) {
        bool real = i >= 3 - spatial;
        w.kernel[i] = real ? 1 + pick(4) : 1;
        w.stride[i] = real ? 1 + pick(3) : 1;
        w.dilation[i] = real && !is_pool ? 1 + pick(3) : 1;
        w.before[i] = real ? pick(w.kernel[i]) : 0;
        size_t reach = (w.kernel[i] - 1) * w.dilation[i] + 1, after = real ? pick(w.kernel[i]) : 0;
        size_t least = reach > w.before[i] + after ? reach - w.before[i] - after : 1;
        w.in[i] = real ? least + pick(large && i > 0 ? 60 : 9) : 1;
        w.out[i] = (w.in[i] + w.before[i] + after - reach) / w.stride[i] + 1;
    }
    return w;
}

static size_t product(const size_t n[3]) { return n[0] * n[1] * n[2]; }

typedef struct place {
    size_t o[3], t[3];
    bool inside;
    size_t in; /* index in the plane */
} place;

/* Tap t of output o. */
static place place_of(const mil__window *w, size_t o, size_t t) {
    place p = {.o = {o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2]},
               .t = {t / w->kernel[2] / w->kernel[1], t / w->kernel[2] % w->kernel[1], t % w->kernel[2]}, .inside = true};
    for (int i = 0; i < 3; i++) {
        long long at = (long long)(p.o[i] * w->stride[i] + p.t[i] * w->dilation[i]) - (long long)w->before[i];
        p.inside = p.inside && at >= 0 && at < (long long)w->in[i];
        p.in = p.in * w->in[i] + (size_t)(p.inside ? at : 0);
    }
    return p;
}

typedef struct conv_case {
    mil__window w;
    size_t batch, groups, group_in, group_out;
    mil__storage x, weight, y;
    bool bias, add, add_last, in_place, is_transpose;
    mil__act act;
    int lanes;
} conv_case;

/* sums[c_out, outputs] and the sums of their terms' magnitudes, of one image */
static void plain_conv(const conv_case *c, const array *x, const array *w, size_t image, double *sums, double *terms) {
    size_t taps = product(c->w.kernel), x_n = product(c->w.in), y_n = product(c->w.out), c_in = c->groups * c->group_in;
    size_t from_n = c->is_transpose ? y_n : x_n, to_n = c->is_transpose ? x_n : y_n;
    for (size_t i = 0; i < c->groups * c->group_out * to_n; i++) sums[i] = terms[i] = 0;
    for (size_t co = 0; co < c->groups * c->group_out; co++)
        for (size_t k = 0; k < c->group_in; k++)
            for (size_t o = 0; o < y_n; o++)
                for (size_t t = 0; t < taps; t++) {
                    place at = place_of(&c->w, o, t);
                    if (!at.inside) continue;
                    size_t ci = co / c->group_out * c->group_in + k, from = c->is_transpose ? o : at.in;
                    size_t to = co * to_n + (c->is_transpose ? at.in : o);
                    size_t weight = c->is_transpose ? (ci * c->group_out + co % c->group_out) * taps + t
                                                    : (co * c->group_in + k) * taps + t;
                    double term = get(x, (image * c_in + ci) * from_n + from) * get(w, weight);
                    sums[to] += term, terms[to] += fabs(term);
                }
}

static void check_conv(const mil__kernels *kernels, const conv_case *c) {
    const mil__window *w = &c->w;
    ROW("%s conv%s batch %zu groups %zu (%zu -> %zu) in %zux%zux%zu kernel %zux%zux%zu stride %zu,%zu,%zu dilation %zu,%zu,%zu "
        "before %zu,%zu,%zu x%d w%d y%d add%d%d act%d lanes%d", kernels->isa, c->is_transpose ? "_transpose" : "", c->batch,
        c->groups, c->group_in, c->group_out, w->in[0], w->in[1], w->in[2], w->kernel[0], w->kernel[1], w->kernel[2],
        w->stride[0], w->stride[1], w->stride[2], w->dilation[0], w->dilation[1], w->dilation[2], w->before[0], w->before[1],
        w->before[2], c->x, c->weight, c->y, c->add, c->in_place, c->act, c->lanes);
    size_t c_in = c->groups * c->group_in, c_out = c->groups * c->group_out, taps = product(w->kernel);
    size_t x_n = product(c->is_transpose ? w->out : w->in), y_n = product(c->is_transpose ? w->in : w->out);
    array x = array_of(c->x, c->batch * c_in * x_n), weight = array_of(c->weight, c_out * c->group_in * taps);
    array y = array_of(c->y, c->batch * c_out * y_n), add = array_of(c->y, y.n), bias = array_of(MIL__F32, c_out);
    if (c->in_place) memcpy(add.data, y.data, y.n * mil__storage_bytes(c->y));
    mil__conv conv = {
        .batch = c->batch, .c_in = c_in, .c_out = c_out, .groups = c->groups, .window = *w, .x = x.data, .y = y.data,
        .x_dtype = c->x, .w_dtype = c->weight, .y_dtype = c->y, .x_channel = (ptrdiff_t)x_n, .x_image = (ptrdiff_t)(c_in * x_n),
        .y_channel = (ptrdiff_t)y_n, .y_image = (ptrdiff_t)(c_out * y_n),
        .ep = {.bias = c->bias ? bias.data : NULL, .add = !c->add ? NULL : c->in_place ? y.data : add.data,
               .add_dtype = c->y, .add_last = c->add_last, .act = c->act, .p = 0.1f, .q = 0.5f}};
    (c->is_transpose ? kernels->conv_transpose_plan : kernels->conv_plan)(&conv, c->lanes);
    void *packed = malloc(conv.packed_w_bytes), *scratch = aligned_alloc(64, conv.scratch_bytes + 64);
    (c->is_transpose ? kernels->conv_transpose_pack_w : kernels->conv_pack_w)(&conv, weight.data, packed);
    conv.packed_w = packed;
    EACH_TILE(conv.n_tiles, (c->is_transpose ? kernels->conv_transpose : kernels->conv)(&conv, begin, end, scratch))
    double *sums = malloc(c_out * y_n * sizeof *sums), *terms = malloc(c_out * y_n * sizeof *terms);
    for (size_t image = 0; image < c->batch; image++) {
        plain_conv(c, &x, &weight, image, sums, terms);
        for (size_t i = 0; i < c_out * y_n; i++) {
            size_t at = image * c_out * y_n + i;
            double other = c->add ? get(&add, at) : 0, offset = c->bias ? get(&bias, i / y_n) : 0;
            double slack = ((double)(c->group_in * taps) + 2) * 0x1p-24 * (terms[i] + fabs(other) + fabs(offset)) + least(c->y);
            check_near("y", at, get(&y, at), after(&conv.ep, sums[i], offset, other), (bound){tolerance(c->y), slack});
        }
    }
    free(x.data), free(weight.data), free(y.data), free(add.data), free(bias.data);
    free(packed), free(scratch), free(sums), free(terms);
}

static void conv_options(const mil__kernels *kernels) {
    for (int i = 0; i < 500; i++) {
        bool depthwise = i % 4 == 1, large = i % 20 == 0;
        conv_case c = {.w = random_window(1 + (int)pick(3), false, large), .batch = 1 + pick(2),
                       .groups = depthwise ? 2 + pick(6) : 1 + pick(2), .group_in = depthwise ? 1 : 1 + pick(large ? 3 : 20),
                       .group_out = depthwise ? 1 + pick(2) : 1 + pick(large ? 4 : 20), .bias = pick(2), .add = pick(3) == 0,
                       .add_last = pick(2), .in_place = pick(2), .is_transpose = i % 3 == 2, .act = (mil__act)pick(N_ACTS),
                       .lanes = 1 + (int)pick(6)};
        if (i % 7 == 0) /* 1 x 1, as it lies */
            for (int k = 0; k < 3; k++) c.w.kernel[k] = c.w.stride[k] = c.w.dilation[k] = 1, c.w.before[k] = 0, c.w.out[k] = c.w.in[k];
        if (i % 50 == 3) c.group_in = 90, c.w.kernel[2] = 4; /* more than one block of k */
        if (i % 50 == 3) c.w.in[2] = 20, c.w.out[2] = (20 + 2 * c.w.before[2] - 3 * c.w.dilation[2] - 1) / c.w.stride[2] + 1;
        c.x = pick(2) ? MIL__F16 : MIL__F32;
        c.weight = pick(2) ? MIL__F16 : MIL__F32;
        c.y = pick(2) ? MIL__F16 : MIL__F32;
        check_conv(kernels, &c);
    }
}

static double plain_pool(const mil__pool *p, const array *x, size_t plane, size_t o) {
    const mil__window *w = &p->window;
    double sum = p->kind == MIL__POOL_MAX ? -INFINITY : 0;
    size_t inside = 0, padded = 0;
    for (size_t t = 0; t < product(w->kernel); t++) {
        place at = place_of(w, o, t);
        bool within = true;
        for (int i = 0; i < 3; i++)
            within = within && at.o[i] * w->stride[i] + at.t[i] < w->in[i] + w->before[i] + p->after[i];
        padded += within;
        if (!at.inside) continue;
        double value = get(x, plane * product(w->in) + at.in);
        inside++;
        if (p->kind == MIL__POOL_MAX) sum = isnan(sum) || isnan(value) ? NAN : fmax(sum, value);
        else sum += p->kind == MIL__POOL_AVG ? value : value * value;
    }
    if (p->kind == MIL__POOL_MAX) return sum;
    size_t count = p->exclude_pad ? inside : padded;
    return p->kind == MIL__POOL_L2 ? sqrt(sum) : count ? sum / (double)count : 0;
}

static void pool_options(const mil__kernels *kernels) {
    for (int i = 0; i < 400; i++) {
        mil__pool p = {.kind = (mil__pool_kind)(i % 3), .planes = 1 + pick(4), .exclude_pad = pick(2),
                       .window = random_window(1 + (int)pick(3), true, i % 10 == 0), .dtype = pick(2) ? MIL__F16 : MIL__F32};
        const mil__window *w = &p.window;
        for (int k = 0; k < 3; k++) {
            p.after[k] = pick(3);
            p.window.out[k] += pick(4) == 0; /* a last window that reaches beyond, or lies there whole */
        }
        ROW("%s pool %d, row %d, in %zux%zux%zu kernel %zux%zux%zu", kernels->isa, p.kind, i, w->in[0], w->in[1], w->in[2],
            w->kernel[0], w->kernel[1], w->kernel[2]);
        array x = array_of(p.dtype, p.planes * product(w->in)), y = array_of(p.dtype, p.planes * product(w->out));
        if (i % 5 == 0) set(&x, pick(x.n), NAN);
        p.x = x.data, p.y = y.data;
        kernels->pool_plan(&p, 1 + (int)pick(4));
        void *scratch = aligned_alloc(64, p.scratch_bytes + 64);
        EACH_TILE(p.n_tiles, kernels->pool(&p, begin, end, scratch))
        for (size_t k = 0; k < y.n; k++)
            check_near("y", k, get(&y, k), plain_pool(&p, &x, k / product(w->out), k % product(w->out)),
                       (bound){tolerance(p.dtype), (double)product(w->kernel) * 0x1p-24});
        free(x.data), free(y.data), free(scratch);
    }
}

static void convs(void) { each_isa(conv_options); }
static void pools(void) { each_isa(pool_options); }

/* ---- rows and reductions ---- */

static void check_rows(const mil__kernels *kernels, mil__rows r, bool in_place, const array *gamma, const array *beta) {
    ROW("%s rows %d [%zu, %zu, %zu] dtype %d, channels %zu, in place %d", kernels->isa, r.kind, r.outer, r.n, r.inner, r.dtype,
        r.channels, in_place);
    size_t all = r.outer * r.n * r.inner;
    array x = array_of(r.dtype, all), y = array_of(r.dtype, all), in = array_of(r.dtype, all);
    for (size_t i = 0; i < all; i++) set(&x, i, get(&x, i) * 8), set(&in, i, get(&x, i));
    array *out = in_place ? &x : &y;
    kernels->rows_plan(&r, 2);
    void *scratch = aligned_alloc(64, r.scratch_bytes + 64);
    EACH_TILE(r.n_tiles, kernels->rows(&r, x.data, out->data, begin, end, scratch))
    for (size_t o = 0; o < r.outer; o++)
        for (size_t c = 0; c < r.inner; c++) {
            double top = -INFINITY, sum = 0, mean = 0, square = 0;
            for (size_t i = 0; i < r.n; i++) top = fmax(top, get(&in, (o * r.n + i) * r.inner + c));
            for (size_t i = 0; i < r.n; i++) {
                double v = get(&in, (o * r.n + i) * r.inner + c);
                sum += exp(v - top), mean += r.keep_mean ? 0 : v / (double)r.n;
            }
            for (size_t i = 0; i < r.n; i++) square += pow(get(&in, (o * r.n + i) * r.inner + c) - mean, 2) / (double)r.n;
            for (size_t i = 0; i < r.n; i++) {
                size_t at = (o * r.n + i) * r.inner + c, which = r.channels ? o % r.channels : i;
                double v = get(&in, at), wanted = exp(v - top) / sum;
                if (r.kind == MIL__ROWS_NORM) {
                    wanted = (v - mean) / sqrt(square + (double)r.epsilon);
                    wanted = wanted * (gamma ? get(gamma, which) : 1) + (beta ? get(beta, which) : 0);
                }
                double slack = r.kind == MIL__ROWS_NORM ? ((double)r.n + 8) * 0x1p-22 : (double)r.n * 0x1p-24 * wanted;
                check_near("y", at, get(out, at), wanted, (bound){tolerance(r.dtype), slack + least(r.dtype)});
            }
        }
    free(x.data), free(y.data), free(in.data), free(scratch);
}

static void rows_options(const mil__kernels *kernels) {
    for (int i = 0; i < 200; i++) {
        mil__rows r = {.kind = (mil__rows_kind)(i % 2), .outer = 1 + pick(5), .n = 1 + pick(i % 9 ? 70 : 1500),
                       .inner = i % 3 ? 1 : 1 + pick(150), .dtype = pick(2) ? MIL__F16 : MIL__F32, .epsilon = 1e-3f,
                       .keep_mean = pick(3) == 0};
        if (r.inner == 1 && i % 4 == 1) r.channels = 1 + pick(3);
        array gamma = array_of(MIL__F32, r.n + 3), beta = array_of(MIL__F32, r.n + 3);
        bool scaled = r.kind == MIL__ROWS_NORM && pick(2), shifted = r.kind == MIL__ROWS_NORM && pick(2);
        if (scaled) r.gamma = gamma.data;
        if (shifted) r.beta = beta.data;
        check_rows(kernels, r, pick(2), scaled ? &gamma : NULL, shifted ? &beta : NULL);
        free(gamma.data), free(beta.data);
    }
}

/* The reduction of one row, and the sum of what was added up. */
static double plain_reduce(const mil__reduce *r, const array *x, size_t o, size_t c, double *terms) {
    double sum = r->kind == MIL__REDUCE_PROD, top = -INFINITY, low = INFINITY;
    bool has_nan = false;
    *terms = 0;
    for (size_t i = 0; i < r->n; i++) {
        double v = get(x, (o * r->n + i) * r->inner + c);
        has_nan = has_nan || isnan(v);
        top = fmax(top, v), low = fmin(low, v);
        switch (r->kind) {
        case MIL__REDUCE_PROD: sum *= v; break;
        case MIL__REDUCE_L1: sum += fabs(v); break;
        case MIL__REDUCE_L2: case MIL__REDUCE_SUM_SQUARE: sum += v * v; break;
        case MIL__REDUCE_LOG_SUM_EXP: sum += exp(v); break;
        default: sum += v;
        }
        *terms += fabs(v) + v * v;
    }
    switch (r->kind) {
    case MIL__REDUCE_MEAN: return *terms /= (double)r->n, sum / (double)r->n;
    case MIL__REDUCE_MAX: return has_nan ? NAN : top;
    case MIL__REDUCE_MIN: return has_nan ? NAN : low;
    case MIL__REDUCE_L2: return sqrt(sum);
    case MIL__REDUCE_LOG_SUM: case MIL__REDUCE_LOG_SUM_EXP: return *terms = 2, log(sum);
    default: return sum;
    }
}

static void reduce_options(const mil__kernels *kernels) {
    for (int i = 0; i < 400; i++) {
        mil__reduce r = {.kind = (mil__reduce_kind)(i % (MIL__REDUCE_LOG_SUM_EXP + 1)), .outer = 1 + pick(5),
                         .n = 1 + pick(i % 7 ? 70 : 2500), .inner = i % 3 ? 1 : 1 + pick(i % 5 ? 40 : 1100),
                         .dtype = pick(2) ? MIL__F16 : MIL__F32};
        ROW("%s reduce %d [%zu, %zu, %zu] dtype %d", kernels->isa, r.kind, r.outer, r.n, r.inner, r.dtype);
        array x = array_of(r.dtype, r.outer * r.n * r.inner), y = array_of(r.dtype, r.outer * r.inner);
        for (size_t k = 0; k < x.n; k++) {
            if (r.kind == MIL__REDUCE_PROD) set(&x, k, 1 + get(&x, k) / 50);
            if (r.kind == MIL__REDUCE_LOG_SUM) set(&x, k, 0.1 + fabs(get(&x, k)));
        }
        bool has_nan = (r.kind == MIL__REDUCE_MAX || r.kind == MIL__REDUCE_MIN) && pick(2);
        if (has_nan) set(&x, pick(x.n), NAN);
        kernels->reduce_plan(&r, 2);
        void *scratch = aligned_alloc(64, r.scratch_bytes + 64);
        EACH_TILE(r.n_tiles, kernels->reduce(&r, x.data, y.data, begin, end, scratch))
        for (size_t o = 0; o < r.outer; o++)
            for (size_t c = 0; c < r.inner; c++) {
                double terms, wanted = plain_reduce(&r, &x, o, c, &terms), n = (double)r.n;
                double slack = r.kind == MIL__REDUCE_PROD ? n * 0x1p-23 * fabs(wanted) : isnan(wanted) ? 0 : n * 0x1p-23 * terms;
                check_near("y", o * r.inner + c, get(&y, o * r.inner + c), wanted,
                           (bound){tolerance(r.dtype), slack + least(r.dtype)});
            }
        free(x.data), free(y.data), free(scratch);
    }
}

/* A table that reads n of n_in elements anywhere. */
static mil__resize_axis random_axis(size_t n_in, size_t n, bool is_nearest) {
    int32_t *lo = malloc(n * sizeof *lo), *hi = malloc(n * sizeof *hi);
    float *weight = malloc(n * sizeof *weight);
    for (size_t i = 0; i < n; i++) {
        lo[i] = (int32_t)pick(n_in);
        bool between = !is_nearest && pick(4) && (size_t)lo[i] + 1 < n_in;
        hi[i] = lo[i] + between;
        weight[i] = between ? (float)(fabs(uniform()) * 0.99) : 0;
    }
    return (mil__resize_axis){lo, hi, weight};
}

static void free_axis(mil__resize_axis *axis) { free((void *)axis->lo), free((void *)axis->hi), free((void *)axis->weight); }

static void resize_options(const mil__kernels *kernels) {
    for (int i = 0; i < 200; i++) {
        mil__resize r = {.planes = 1 + pick(3), .in = {1 + pick(9), 1 + pick(40)}, .out = {1 + pick(i % 9 ? 9 : 900), 1 + pick(i % 7 ? 40 : 300)},
                         .is_nearest = i % 3 == 0, .dtype = pick(2) ? MIL__F16 : MIL__F32};
        ROW("%s resize %d [%zu, %zu] to [%zu, %zu] dtype %d", kernels->isa, r.is_nearest, r.in[0], r.in[1], r.out[0], r.out[1], r.dtype);
        r.down = random_axis(r.in[0], r.out[0], r.is_nearest);
        r.across = random_axis(r.in[1], r.out[1], r.is_nearest);
        array x = array_of(r.dtype, r.planes * r.in[0] * r.in[1]), y = array_of(r.dtype, r.planes * r.out[0] * r.out[1]);
        if (i % 5 == 0) set(&x, pick(x.n), INFINITY);
        kernels->resize_plan(&r, 2);
        void *scratch = aligned_alloc(64, r.scratch_bytes + 64);
        EACH_TILE(r.n_tiles, kernels->resize(&r, x.data, y.data, begin, end, scratch))
        for (size_t k = 0; k < y.n; k++) {
            size_t col = k % r.out[1], row = k / r.out[1] % r.out[0], plane = k / r.out[1] / r.out[0] * r.in[0] * r.in[1];
            double rows[2], most = 0;
            for (int side = 0; side < 2; side++) {
                size_t at = plane + (size_t)(side ? r.down.hi : r.down.lo)[row] * r.in[1];
                double a = get(&x, at + (size_t)r.across.lo[col]), b = get(&x, at + (size_t)r.across.hi[col]), w = (double)r.across.weight[col];
                rows[side] = w == 0 ? a : a + w * (b - a);
                most = fmax(most, fmax(fabs(a), fabs(b)));
            }
            double w = (double)r.down.weight[row], wanted = w == 0 ? rows[0] : rows[0] + w * (rows[1] - rows[0]);
            check_near("y", k, get(&y, k), wanted, (bound){tolerance(r.dtype), 8 * 0x1p-24 * (isinf(most) ? 0 : most)});
        }
        free_axis(&r.down), free_axis(&r.across), free(x.data), free(y.data), free(scratch);
    }
}

static void sample_options(const mil__kernels *kernels) {
    void *scratch = aligned_alloc(64, kernels->sample_scratch());
    for (int i = 0; i < 200; i++) {
        struct mil__sample_params p = {.is_nearest = pick(2), .outside = (mil__outside)(i % 4), .padding = i % 3 ? uniform() : (double)INFINITY};
        mil__sampler s = {.in = {1 + pick(9), 1 + pick(40)}, .scale = {1, 1}, .is_nearest = p.is_nearest, .padding = (float)p.padding,
                          .dtype = pick(2) ? MIL__F16 : MIL__F32, .beyond = (mil__beyond)(i % 4), .channels = 1 + pick(3)};
        size_t n = 1 + pick(i % 5 ? 40 : 600);
        s.image = s.in[0] * s.in[1], s.result = n + pick(5);
        ROW("%s sample %d, %d [%zu, %zu] at %zu, dtype %d", kernels->isa, p.is_nearest, p.outside, s.in[0], s.in[1], n, s.dtype);
        array x = array_of(s.dtype, s.channels * s.image), y = array_of(s.dtype, s.channels * s.result - (s.result - n));
        if (i % 5 == 0) set(&x, pick(x.n), INFINITY);
        double *points = malloc(2 * n * sizeof *points);
        for (size_t k = 0; k < 2 * n; k++) {
            points[k] = uniform() * (k % 2 ? 20 : 60);
            if (pick(3) == 0) points[k] = floor(points[k]);
            if (pick(40) == 0) points[k] = (double[]){NAN, INFINITY, -INFINITY, 1e30}[pick(p.outside > MIL__BORDER ? 1 : 4)];
        }
        kernels->sample(&s, points, n, x.data, y.data, scratch);
        for (size_t c = 0; c < s.channels; c++)
            for (size_t k = 0; k < n; k++) {
                mil__sampled point;
                mil__sample(&p, points[2 * k], points[2 * k + 1], (int64_t)s.in[0], (int64_t)s.in[1], &point);
                double wanted = point.padded != 0 ? (double)point.padded * (double)s.padding : 0;
                for (int t = 0; t < 4; t++)
                    if (point.weight[t] != 0) wanted += (double)point.weight[t] * get(&x, c * s.image + (size_t)point.at[t]);
                check_near("y", c * s.result + k, get(&y, c * s.result + k), wanted, (bound){tolerance(s.dtype), 8 * 0x1p-24});
            }
        free(x.data), free(y.data), free(points);
    }
    free(scratch);
}

static void samples(void) { each_isa(sample_options); }
static void resizes(void) { each_isa(resize_options); }
static void rows(void) { each_isa(rows_options); }
static void reductions(void) { each_isa(reduce_options); }

/* ---- which instruction sets were tested ---- */

static void isas(void) {
    bool runs;
    const mil__kernels *kernels;
    for (size_t i = 0; (kernels = mil__kernels_at(i, &runs)); i++)
        if (!runs) printf("untested: %s (this processor lacks it)\n", kernels->isa);
    CHECK(mil__kernels_best() != NULL);
}

TEST_MAIN(CASE(isas), CASE(gemms), CASE(chains), CASE(trigonometry), CASE(convs), CASE(pools), CASE(rows),
          CASE(reductions), CASE(resizes), CASE(samples))
