/* SPDX-License-Identifier: MIT */
/* Memory planning against its law: what lives at the same time never overlaps, and the arena is never larger than the sum of
 * the sizes; over random programs, and where the best plan is known. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/plan.h"

#include "test.h"

static uint32_t seed = 1;

static uint32_t pick(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(seed >> 8) * n >> 24);
}

static size_t rounded(size_t bytes) { return (bytes + MIL__PLAN_ALIGN - 1) / MIL__PLAN_ALIGN * MIL__PLAN_ALIGN; }

/* The most that lives at one step: no plan can do with less. */
static size_t most_alive(const mil__lifetime *lives, uint32_t n, uint32_t n_steps) {
    size_t most = 0;
    for (uint32_t step = 0; step < n_steps; step++) {
        size_t alive = 0;
        for (uint32_t i = 0; i < n; i++)
            if (lives[i].first <= step && step <= lives[i].last) alive += rounded(lives[i].bytes);
        if (alive > most) most = alive;
    }
    return most;
}

static void check_plan(mil__lifetime *lives, uint32_t n, uint32_t n_steps) {
    mil_error err = {0};
    size_t total = 0, sum = 0;
    if (!CHECK_OK(mil__plan(lives, n, n_steps, &total, &err), &err)) return;
    for (uint32_t i = 0; i < n; i++) {
        sum += rounded(lives[i].bytes);
        CHECK_EQ(lives[i].offset % MIL__PLAN_ALIGN, 0);
        CHECK(lives[i].bytes == 0 || lives[i].offset + lives[i].bytes <= total);
        for (uint32_t j = 0; j < i; j++) {
            bool meet = lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
            bool apart = lives[i].offset + lives[i].bytes <= lives[j].offset || lives[j].offset + lives[j].bytes <= lives[i].offset;
            CHECK(!meet || apart || lives[i].bytes == 0 || lives[j].bytes == 0);
        }
    }
    CHECK(total <= sum);
    CHECK(total >= most_alive(lives, n, n_steps));
}

static void random_lives(void) {
    enum { MOST = 60 };
    static char text[60];
    for (int row = 0; row < 2000; row++) {
        mil__lifetime lives[MOST];
        uint32_t n = pick(MOST + 1), n_steps = 1 + pick(30), longest = 1 + pick(n_steps);
        snprintf(text, sizeof text, "program %d", row);
        test_row = text;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t first = pick(n_steps), length = pick(longest);
            lives[i] = (mil__lifetime){.first = first, .last = first + length < n_steps ? first + length : n_steps - 1,
                                       .bytes = pick(8) == 0 ? 0 : 1 + pick(pick(2) ? 10000 : 100)};
        }
        check_plan(lives, n, n_steps);
    }
}

/* A chain of equal values needs two at a time, however long it is. */
static void chain_of_equals(void) {
    enum { N = 1000 };
    static mil__lifetime lives[N];
    for (uint32_t i = 0; i < N; i++) lives[i] = (mil__lifetime){.bytes = 4096, .first = i, .last = i + 1 < N ? i + 1 : i};
    check_plan(lives, N, N);
    size_t total;
    CHECK_OK(mil__plan(lives, N, N, &total, NULL), NULL);
    CHECK_EQ((long long)total, 2 * 4096);
}

/* The drawing of plan.h. */
static void drawing(void) {
    mil__lifetime lives[] = {{.bytes = 640, .first = 0, .last = 2}, {.bytes = 128, .first = 1, .last = 2},
                             {.bytes = 600, .first = 3, .last = 4}};
    size_t total;
    CHECK_OK(mil__plan(lives, 3, 5, &total, NULL), NULL);
    CHECK_EQ((long long)lives[0].offset, 0);
    CHECK_EQ((long long)lives[1].offset, 640);
    CHECK_EQ((long long)lives[2].offset, 0);
    CHECK_EQ((long long)total, 768);
}

static void too_large(void) {
    mil_error err = {0};
    size_t total = 7;
    mil__lifetime lives[] = {{.bytes = SIZE_MAX / 2}, {.bytes = SIZE_MAX / 2}, {.bytes = SIZE_MAX / 2}};
    CHECK_STATUS(mil__plan(lives, 3, 1, &total, &err), MIL_ELIMIT, &err);
    lives[0].bytes = SIZE_MAX;
    CHECK_STATUS(mil__plan(lives, 1, 1, &total, &err), MIL_ELIMIT, &err);
    CHECK_EQ((long long)total, 7);
    CHECK_OK(mil__plan(NULL, 0, 0, &total, &err), &err);
    CHECK_EQ((long long)total, 0);
}

static mil_status plan_task(void *ctx, mil_error *err) {
    (void)ctx;
    mil__lifetime lives[] = {{.bytes = 10, .last = 1}, {.bytes = 20, .first = 1, .last = 1}};
    size_t total;
    return mil__plan(lives, 2, 2, &total, err);
}

static void no_memory(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(plan_task, NULL) > 0);
}

TEST_MAIN(CASE(random_lives), CASE(chain_of_equals), CASE(drawing), CASE(too_large), CASE(no_memory))
