/* SPDX-License-Identifier: MIT */
/* Programs as text and from C: building, printing and parsing at 100 and at 100,000 operations; parsing and printing beside
 * the time in which memchr finds the text's lines (issue: at most 20 times that). */
#include "bench.h"

#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "mil.h"

static void must(mil_status status, const mil_error *err) {
    if (status == MIL_OK) return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* y = relu(tanh(x) * 1.5 ...): three operations a round, one const. */
static mil_program *build(int n_ops) {
    mil_error err = {0};
    mil_program *program;
    mil_block main_;
    mil_dim shape[] = {1, 64, 1, 128};
    mil_value x;
    must(mil_program_new(MIL_IOS18, &program, &err), &err);
    must(mil_program_function(program, "main", &main_, &err), &err);
    must(mil_program_input(program, main_, "x", MIL_FP16, 4, shape, false, &x, &err), &err);
    const mil_op *ops[] = {mil_op_find("tanh"), mil_op_find("mul"), mil_op_find("relu")};
    double factor = 1.5;
    for (int i = 0; i < n_ops; i++) {
        mil_arg args[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = x},
                          {.name = "y", .kind = MIL_ARG_NUMBERS, .data = &factor, .n = 1}};
        size_t n;
        must(mil_program_add(program, main_, ops[i % 3], args, i % 3 == 1 ? 2 : 1, NULL, (mil_where){"bench.lua", i}, &x, 1, &n,
                             &err), &err);
    }
    mil_value out;
    must(mil_program_output(program, main_, "y", x, &out, &err), &err);
    return program;
}

static double build_seconds(int n_ops) {
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        double start = bench_cpu();
        mil_program *program = build(n_ops);
        double seconds = bench_cpu() - start;
        mil_program_free(program);
        if (seconds < best) best = seconds;
    }
    return best;
}

static size_t lines(const char *text, size_t n) {
    size_t count = 0;
    for (const char *end = text + n; (text = memchr(text, '\n', (size_t)(end - text))); text++) count++;
    return count;
}

/* Adds the seconds that a parse and a print of its program take. */
static void read_and_write(const char *text, size_t n, double *parse, double *print) {
    mil_error err = {0};
    mil_program *program;
    char *copy;
    double start = bench_cpu();
    must(mil_text_parse(text, n, NULL, &program, &err), &err);
    *parse += bench_cpu() - start;
    start = bench_cpu();
    must(mil_text_print(program, &copy, NULL, &err), &err);
    *print += bench_cpu() - start;
    mil_program_free(program);
    mil_free(copy);
}

static void text_bench(int n_ops) {
    enum { ROUNDS = 9 };
    mil_error err = {0};
    mil_program *program = build(n_ops);
    char *text = NULL;
    size_t n = 0, found = 0;
    must(mil_text_print(program, &text, &n, &err), &err);
    double parse[ROUNDS], print[ROUNDS], find[ROUNDS];
    int looks = 4000000 / n_ops + 1, reads = 50000 / n_ops + 1; /* a small text is warm for all three */
    for (int round = 0; round < ROUNDS; round++) {
        parse[round] = print[round] = 0;
        for (int i = 0; i < reads; i++) read_and_write(text, n, &parse[round], &print[round]);
        parse[round] /= reads;
        print[round] /= reads;
        double start = bench_cpu();
        for (int i = 0; i < looks; i++) found += lines(text, n);
        find[round] = (bench_cpu() - start) / looks;
    }
    double p = bench_median(parse, ROUNDS), w = bench_median(print, ROUNDS), f = bench_median(find, ROUNDS);
    printf("text of %6d ops, %8zu bytes, %6zu lines: parse %5.0f ns an op, print %4.0f; memchr %5.1f ns a line: parse %.1f, print "
           "%.1f, both %.1f times that\n",
           n_ops, n, found / (size_t)(looks * ROUNDS), p / n_ops * 1e9, w / n_ops * 1e9, f / n_ops * 1e9, p / f, w / f, (p + w) / f);
    mil_free(text);
    mil_program_free(program);
}

/* Memory stays with the process from round to round, as the text that memchr reads does: else the figures are those of how fast
 * the system supplies pages, which on a virtual machine is anything. */
static void keep_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

int main(void) {
    keep_memory();
    for (int n = 100; n <= 100000; n *= 10)
        printf("building %6d ops from C: %5.0f ns an op\n", n, build_seconds(n) / n * 1e9);
    text_bench(1000);
    text_bench(100000);
    return 0;
}
