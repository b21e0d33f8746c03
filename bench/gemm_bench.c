/* SPDX-License-Identifier: MIT */
/* gemm beside OpenBLAS's sgemm, on one thread: the same matrices, rounds in turn, so that whatever else the machine does
 * meets both. Prints, for each size, the median times, what part of OpenBLAS's speed ours has (the median of the rounds'
 * ratios), and its spread. Without OpenBLAS (HAVE_OPENBLAS not defined) it prints our figures alone.
 *
 *     gemm_bench [--rounds N] [M N K]... */
#include "bench.h"

#include <string.h>
#include <unistd.h>

#if defined(HAVE_OPENBLAS)
#include <cblas.h>
extern char *openblas_get_corename(void);
#endif

#include "engine/cpu/kernel.h"

static float *random_floats(size_t n) {
    float *floats = aligned_alloc(64, (n * sizeof *floats + 63) / 64 * 64);
    uint32_t state = 12345;
    for (size_t i = 0; floats && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        floats[i] = (float)(state >> 8) / (1 << 24) - 0.5f;
    }
    return floats;
}

enum { MAX_ROUNDS = 1000 };

typedef struct sizes {
    size_t m, n, k;
} sizes;

typedef struct operands {
    float *a, *b, *c, *reference;
    void *packed, *scratch;
} operands;

static void ours(const mil__kernels *kernels, const mil__gemm *gemm, const operands *o) {
    kernels->gemm(gemm, 0, gemm->n_tiles, o->scratch);
}

static void theirs(const sizes *s, const operands *o) {
#if defined(HAVE_OPENBLAS)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->m, (int)s->n, (int)s->k, 1, o->a, (int)s->k, o->b,
                (int)s->n, 0, o->reference, (int)s->n);
#else
    (void)s, (void)o;
#endif
}

static void report(const sizes *s, const char *how, double *own, double *other, double *ratio, int rounds) {
    double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k, time = bench_median(own, rounds);
    printf("%5zu x %5zu x %5zu  %-8s %9.3f ms  %6.1f GFlop/s", s->m, s->n, s->k, how, time * 1e3, flops / time * 1e-9);
#if defined(HAVE_OPENBLAS)
    double middle = bench_median(ratio, rounds);
    printf("  OpenBLAS %9.3f ms  ratio %.2f (%.2f .. %.2f)", bench_median(other, rounds) * 1e3, middle, ratio[rounds / 10],
           ratio[rounds - 1 - rounds / 10]);
#else
    (void)other, (void)ratio;
#endif
    printf("\n");
}

static bool measure(const mil__kernels *kernels, const sizes *s, bool pack, int rounds) {
    operands o = {random_floats(s->m * s->k), random_floats(s->k * s->n), random_floats(s->m * s->n),
                  random_floats(s->m * s->n), NULL, NULL};
    mil__gemm gemm = {.m = s->m, .n = s->n, .k = s->k, .a = {o.a, MIL__F32, (ptrdiff_t)s->k, 1},
                      .b = {o.b, MIL__F32, (ptrdiff_t)s->n, 1}, .c = o.c, .c_rs = (ptrdiff_t)s->n, .c_cs = 1};
    size_t packed_bytes = kernels->gemm_packed_b_bytes(s->k, s->n, MIL__F32);
    o.packed = random_floats(packed_bytes / sizeof(float));
    if (pack) kernels->gemm_pack_b(&gemm.b, s->k, s->n, 0, gemm.b.cs == 1 ? s->k : s->n, o.packed), gemm.packed_b = o.packed;
    kernels->gemm_plan(&gemm, 1);
    o.scratch = random_floats(gemm.scratch_bytes / sizeof(float));
    bool ready = o.a && o.b && o.c && o.reference && o.packed && o.scratch;
    static double own[MAX_ROUNDS], other[MAX_ROUNDS], ratio[MAX_ROUNDS];
    size_t work = s->m * s->n * s->k;
    int times = work < 20000000 ? (int)(20000000 / work) + 1 : 1; /* in a round: about a millisecond at least */
    for (int round = -1; ready && round < rounds; round++) {      /* the first warms up */
        double start = bench_cpu();
        for (int i = 0; i < times; i++) ours(kernels, &gemm, &o);
        double between = bench_cpu();
        for (int i = 0; i < times; i++) theirs(s, &o);
        double end = bench_cpu();
        if (round < 0) continue;
        own[round] = (between - start) / times;
        other[round] = (end - between) / times;
        ratio[round] = other[round] / own[round];
    }
    if (ready) report(s, pack ? "packed" : "unpacked", own, other, ratio, rounds);
    free(o.a), free(o.b), free(o.c), free(o.reference), free(o.packed), free(o.scratch);
    return ready;
}

/* OpenBLAS is to choose by itself: it has looked at the environment before main, so the program starts anew. */
static void let_openblas_choose(char **argv) {
    if (!getenv("OPENBLAS_CORETYPE")) return;
    unsetenv("OPENBLAS_CORETYPE");
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
    let_openblas_choose(argv);
    static const sizes usual[] = {{1024, 1024, 1024}, {512, 512, 512}, {128, 384, 384}, {128, 1536, 384},
                                  {128, 384, 1536}, {64, 3136, 576}, {1, 4096, 4096}, {4, 1024, 1024}};
    int rounds = 15, at = 1;
    if (argc > 2 && strcmp(argv[1], "--rounds") == 0) rounds = atoi(argv[2]), at = 3;
    if (rounds < 1 || rounds > MAX_ROUNDS || (argc - at) % 3) {
        fprintf(stderr, "usage: gemm_bench [--rounds N] [M N K]...\n");
        return 2;
    }
    const mil__kernels *kernels = mil__kernels_best();
    printf("mil: %s", kernels->isa);
#if defined(HAVE_OPENBLAS)
    openblas_set_num_threads(1);
    printf("; OpenBLAS: %s", openblas_get_corename());
#endif
    printf("; one thread, %d rounds\n", rounds);
    bool ready = true;
    for (size_t i = 0; at == argc && i < MIL__COUNT(usual); i++)
        ready = measure(kernels, &usual[i], false, rounds) && measure(kernels, &usual[i], true, rounds) && ready;
    for (; at + 3 <= argc; at += 3) {
        sizes s = {strtoull(argv[at], NULL, 10), strtoull(argv[at + 1], NULL, 10), strtoull(argv[at + 2], NULL, 10)};
        if (s.m && s.n && s.k) ready = measure(kernels, &s, false, rounds) && measure(kernels, &s, true, rounds) && ready;
    }
    return ready ? 0 : 1;
}
