/* SPDX-License-Identifier: MIT */
/* The hash table: what collides, what is removed in the middle of a run, what it finds after it has grown. */
#include "test.h"

#include "base/map.h"

static bool is_number(const void *ctx, uint32_t number, const void *key) {
    (void)ctx;
    return number == *(const uint32_t *)key;
}

static uint32_t find(const mil__map *map, uint64_t hash, uint32_t number) {
    return mil__map_find(map, hash, is_number, NULL, &number);
}

/* All in one run of slots, which a removal must not cut in two. */
static void equal_hashes(void) {
    mil__map map = {0};
    CHECK_EQ(find(&map, 7, 1), MIL__NOT_FOUND);
    mil__map_remove(&map, 7, 1);
    for (uint32_t i = 0; i < 10; i++) CHECK(mil__map_add(&map, 7, i));
    for (uint32_t i = 0; i < 10; i += 2) mil__map_remove(&map, 7, i);
    for (uint32_t i = 0; i < 10; i++) CHECK_EQ(find(&map, 7, i), i % 2 ? i : MIL__NOT_FOUND);
    mil__map_remove(&map, 7, 100);
    for (uint32_t i = 10; i < 1000; i++) CHECK(mil__map_add(&map, i % 3 ? 7 : 8, i));
    for (uint32_t i = 10; i < 1000; i++) CHECK_EQ(find(&map, i % 3 ? 7 : 8, i), i);
    for (uint32_t i = 0; i < 10; i++) CHECK_EQ(find(&map, 7, i), i % 2 ? i : MIL__NOT_FOUND);
    mil__map_free(&map);
}

static void adds_and_removes(void) {
    enum { N = 20000 };
    mil__map map = {0};
    for (uint32_t i = 0; i < N; i++) CHECK(mil__map_add(&map, mil__hash(&i, sizeof i), i));
    for (uint32_t i = 0; i < N; i += 3) mil__map_remove(&map, mil__hash(&i, sizeof i), i);
    for (uint32_t i = 0; i < N; i++)
        if (!CHECK_EQ(find(&map, mil__hash(&i, sizeof i), i), i % 3 ? i : MIL__NOT_FOUND)) break;
    mil__map_free(&map);
}

/* Room for many at once: what was there is found, what comes needs no more. */
static void reserves(void) {
    mil__map map = {0};
    CHECK(mil__map_reserve(&map, 0));
    for (uint32_t i = 0; i < 100; i++) CHECK(mil__map_add(&map, mil__hash(&i, sizeof i), i));
    CHECK(mil__map_reserve(&map, 1000));
    const void *slots = map.slots;
    for (uint32_t i = 100; i < 1000; i++) CHECK(mil__map_add(&map, mil__hash(&i, sizeof i), i));
    CHECK(mil__map_reserve(&map, 10));
    CHECK(map.slots == slots);
    for (uint32_t i = 0; i < 1000; i++)
        if (!CHECK_EQ(find(&map, mil__hash(&i, sizeof i), i), i)) break;
    mil__map_free(&map);
}

static mil_status fill(void *ctx, mil_error *err) {
    mil__map map = {0};
    mil_status status = MIL_OK;
    (void)ctx;
    for (uint32_t i = 0; i < 100 && status == MIL_OK; i++) {
        if (!mil__map_add(&map, i, i)) status = mil__nomem(err);
        for (uint32_t k = 0; k < i; k++) CHECK_EQ(find(&map, k, k), k); /* all that was there still is */
    }
    mil__map_free(&map);
    return status;
}

static void allocations(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(fill, NULL) > 2);
    mil_set_allocator(NULL, NULL);
}

/* No two of many short and similar keys share a hash, and lengths tell. */
static void hashes(void) {
    enum { N = 4096 };
    static uint64_t seen[N];
    static const char zeros[32];
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        seen[i] = mil__hash_text(name);
        for (int k = 0; k < i; k++)
            if (!CHECK(seen[i] != seen[k])) return;
    }
    for (size_t n = 1; n < sizeof zeros; n++) CHECK(mil__hash(zeros, n) != mil__hash(zeros, n - 1));
}

TEST_MAIN(CASE(equal_hashes), CASE(adds_and_removes), CASE(reserves), CASE(allocations), CASE(hashes))
