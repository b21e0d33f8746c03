/* SPDX-License-Identifier: MIT */
/* Which table of kernels this process uses: the first of kernels.def that the processor has, no better than MIL_ISA. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <pthread.h>

#include "engine/cpu/kernel.h"

#define ISA(name, has) extern const mil__kernels mil__kernels_##name;
#include "engine/cpu/kernels.def"
#undef ISA

#if defined(__x86_64__)
static bool has_f16c(void) { /* not among the names that __builtin_cpu_supports knows everywhere */
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & 1u << 29;
}
#endif

#define ISA(name, has) static bool has_##name(void) { return has; }
#include "engine/cpu/kernels.def"
#undef ISA

static const struct {
    const mil__kernels *kernels;
    bool (*runs)(void);
} rows[] = {
#define ISA(name, has) {&mil__kernels_##name, has_##name},
#include "engine/cpu/kernels.def"
#undef ISA
};

const mil__kernels *mil__kernels_at(size_t i, bool *runs) {
    if (i >= MIL__COUNT(rows)) return NULL;
    *runs = rows[i].runs();
    return rows[i].kernels;
}

static const mil__kernels *best;

/* A cap that is no name of ours caps nothing: an environment variable is no place for errors. */
static void choose(void) {
    const char *cap = getenv("MIL_ISA");
    size_t first = 0;
    for (size_t i = 0; cap && i < MIL__COUNT(rows); i++)
        if (strcmp(rows[i].kernels->isa, cap) == 0) first = i;
    while (!rows[first].runs()) first++; /* scalar, the last, always does */
    best = rows[first].kernels;
}

const mil__kernels *mil__kernels_best(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return best;
}
