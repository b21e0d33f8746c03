/* SPDX-License-Identifier: MIT */
/* What the C benchmarks share: clocks, and the median of interleaved rounds. Every figure is a ratio to something measured in
 * the same run: these machines drift. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* What this process has computed: for work on one thread, whatever else the machine does. */
static inline double bench_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int bench_by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, bench_by_value);
    return values[n / 2];
}

#endif
