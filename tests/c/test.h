/* SPDX-License-Identifier: MIT */
/* What C tests are written with: checks that print both values, cases that are counted, an allocator that fails on demand.
 *
 *     static void sums(void) { CHECK_EQ(1 + 1, 2); }
 *     TEST_MAIN(CASE(sums))
 *
 * A case passes when none of its checks failed. A program prints "<file>: N passed, N failed" last; its arguments choose
 * cases by part of their names. In loops over rows, test_row names the row that a failing check belongs to. */
#ifndef TEST_H
#define TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mil.h"

static int test_failures;            /* in all */
static const char *test_row = "";    /* what is being looked at, printed with a failure */

static bool test_fail(const char *file, int line, const char *expression) {
    fprintf(stderr, "%s:%d: %s%s%s", file, line, test_row, *test_row ? ": " : "", expression);
    test_failures++;
    return false;
}

static inline bool test_true(const char *file, int line, const char *expression, bool ok) {
    if (ok) return true;
    test_fail(file, line, expression);
    fprintf(stderr, "\n");
    return false;
}

static inline bool test_int(const char *file, int line, const char *expression, long long got, long long wanted) {
    if (got == wanted) return true;
    test_fail(file, line, expression);
    fprintf(stderr, ": got %lld, wanted %lld\n", got, wanted);
    return false;
}

static inline bool test_float(const char *file, int line, const char *expression, double got, double wanted) {
    if (got == wanted || (got != got && wanted != wanted)) return true;
    test_fail(file, line, expression);
    fprintf(stderr, ": got %.17g, wanted %.17g\n", got, wanted);
    return false;
}

static inline bool test_text(const char *file, int line, const char *expression, const char *got, const char *wanted) {
    if (got == wanted || (got && wanted && strcmp(got, wanted) == 0)) return true;
    test_fail(file, line, expression);
    fprintf(stderr, ":\n  got    %s\n  wanted %s\n", got ? got : "NULL", wanted ? wanted : "NULL");
    return false;
}

static inline bool test_has(const char *file, int line, const char *expression, const char *text, const char *part) {
    if (text && strstr(text, part)) return true;
    test_fail(file, line, expression);
    fprintf(stderr, ":\n  \"%s\" is not in\n  %s\n", part, text ? text : "NULL");
    return false;
}

static inline bool test_status(const char *file, int line, const char *expression, mil_status got, mil_status wanted,
                               const mil_error *err) {
    if (got == wanted) return true;
    test_fail(file, line, expression);
    fprintf(stderr, ": got %s, wanted %s%s%s\n", mil_status_name(got), mil_status_name(wanted),
            got != MIL_OK && err ? ": " : "", got != MIL_OK && err ? err->message : "");
    return false;
}

/* Each gives whether it held, so that what follows can be left out where it makes no sense. */
#define CHECK(ok)                test_true(__FILE__, __LINE__, #ok, (ok))
#define CHECK_EQ(got, wanted)    _Generic((got), float: test_float, double: test_float, char *: test_text, \
                                          const char *: test_text, default: test_int)(                     \
                                     __FILE__, __LINE__, #got " == " #wanted, (got), (wanted))
#define CHECK_HAS(text, part)    test_has(__FILE__, __LINE__, #text, (text), (part))
/* err: a mil_error that the call fills, whose message is shown where the status is not the wanted one; or NULL */
#define CHECK_STATUS(call, wanted, err) test_status(__FILE__, __LINE__, #call, (call), (wanted), (err))
#define CHECK_OK(call, err)      CHECK_STATUS(call, MIL_OK, err)

/* ---- an allocator that counts, and fails when asked ---- */

static struct test_alloc {
    long live;      /* allocations not freed */
    long calls;     /* since fail_at was set */
    long fail_at;   /* the call that fails, from 1, and all after it; 0: none */
} test_alloc;

static inline void *test_realloc(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    if (bytes == 0) {
        test_alloc.live -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    if (++test_alloc.calls >= test_alloc.fail_at && test_alloc.fail_at) return NULL;
    void *p = realloc(ptr, bytes);
    test_alloc.live += p && !ptr;
    return p;
}

/* Runs task with the first allocation failing, then the second, and so on until it succeeds. Each failure must be
 * MIL_ENOMEM, and nothing may stay allocated. The task frees what it makes. Call mil_set_allocator(test_realloc, NULL)
 * first. Gives the number of failures. */
static inline long test_each_allocation(mil_status (*task)(void *ctx, mil_error *err), void *ctx) {
    for (long n = 1;; n++) {
        mil_error err = {0};
        long live = test_alloc.live;
        test_alloc.calls = 0, test_alloc.fail_at = n;
        mil_status status = task(ctx, &err);
        bool failed = test_alloc.calls >= n;
        test_alloc.fail_at = 0;
        if (!CHECK_EQ(test_alloc.live, live)) return n;
        if (!failed) {
            CHECK_STATUS(status, MIL_OK, &err);
            return n - 1;
        }
        if (!CHECK_STATUS(status, MIL_ENOMEM, &err)) return n;
    }
}

/* ---- cases ---- */

typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;

static int test_main(const char *file, const test_case *cases, size_t n, int argc, char **argv) {
    int passed = 0, failed = 0;
    for (size_t i = 0; i < n; i++) {
        bool chosen = argc < 2;
        for (int k = 1; k < argc; k++) chosen |= strstr(cases[i].name, argv[k]) != NULL;
        if (!chosen) continue;
        int before = test_failures;
        test_row = "";
        cases[i].run();
        if (test_failures == before) passed++;
        else failed++, fprintf(stderr, "FAILED %s\n", cases[i].name);
    }
    printf("%s: %d passed, %d failed\n", file, passed, failed);
    return failed != 0;
}

#define CASE(fn)       {#fn, fn}
#define TEST_MAIN(...)                                                                                     \
    int main(int argc, char **argv) {                                                                      \
        static const test_case cases[] = {__VA_ARGS__};                                                    \
        return test_main(__FILE__, cases, sizeof cases / sizeof *cases, argc, argv);                       \
    }

#endif
