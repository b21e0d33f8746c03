/* SPDX-License-Identifier: MIT */
/* Statuses, filling a mil_error, nearest names, and the process's allocator. */
#include <ctype.h>
#include <stdio.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "base/base.h"

const char *mil_version(void) { return MIL_VERSION; }

static const struct {
    const char *name, *text;
} statuses[] = {
#define X(name, text) {#name, text},
    MIL_STATUS_MAP(X)
#undef X
};

const char *mil_status_name(mil_status status) {
    return (size_t)status < MIL__COUNT(statuses) ? statuses[status].name : "unknown";
}

const char *mil_status_text(mil_status status) {
    return (size_t)status < MIL__COUNT(statuses) ? statuses[status].text : "unknown status";
}

/* ---- memory ---- */

enum { HUGE_PAGE = 2 << 20 };

/* What is large begins at a huge page and asks for them: the first touch of a page of 4 KiB costs more than filling it. */
static void *huge_alloc(size_t bytes) {
#if defined(MADV_HUGEPAGE)
    void *memory;
    if (posix_memalign(&memory, HUGE_PAGE, bytes) != 0) return NULL;
    madvise(memory, bytes & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
    return memory;
#else
    return malloc(bytes);
#endif
}

/* The same for what has grown, and begins anywhere. */
static void prefer_huge_pages(void *memory, size_t bytes) {
#if defined(MADV_HUGEPAGE)
    size_t before = -(uintptr_t)memory & (HUGE_PAGE - 1);
    if (bytes >= before + HUGE_PAGE)
        madvise((char *)memory + before, (bytes - before) & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

static void *libc_realloc(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    if (bytes == 0) {
        free(ptr);
        return NULL;
    }
    if (!ptr && bytes >= 2 * HUGE_PAGE) return huge_alloc(bytes);
    void *memory = realloc(ptr, bytes);
    if (memory && bytes >= 2 * HUGE_PAGE) prefer_huge_pages(memory, bytes);
    return memory;
}

static void *(*allocator)(void *, void *, size_t) = libc_realloc;
static void *allocator_ctx;

void mil_set_allocator(void *(*realloc_fn)(void *, void *, size_t), void *ctx) {
    allocator = realloc_fn ? realloc_fn : libc_realloc;
    allocator_ctx = realloc_fn ? ctx : NULL;
}

void *mil__realloc(void *ptr, size_t bytes) { return allocator(allocator_ctx, ptr, bytes ? bytes : 1); }

void *mil__alloc(size_t bytes) { return mil__realloc(NULL, bytes); }

void *mil__calloc(size_t n, size_t bytes) {
    size_t total;
    if (!mil__mul_size(n, bytes, &total)) return NULL;
    bool huge = total >= HUGE_PAGE && allocator == libc_realloc; /* all of it will be touched: half of a huge page is no waste */
    void *p = huge ? huge_alloc(total) : mil__alloc(total);
    return p ? memset(p, 0, total) : NULL;
}

void mil__free(void *ptr) {
    if (ptr) allocator(allocator_ctx, ptr, 0);
}

void mil_free(void *ptr) { mil__free(ptr); }

char *mil__strdup(const char *s) {
    size_t n = strlen(s) + 1;
    char *copy = mil__alloc(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

/* ---- errors ---- */

mil_status mil__vfail(mil_error *err, mil_status status, const char *format, va_list args) {
    if (err) {
        memset(err, 0, sizeof *err);
        err->code = status;
        vsnprintf(err->message, sizeof err->message, format, args);
    }
    return status;
}

mil_status mil__fail(mil_error *err, mil_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    mil__vfail(err, status, format, args);
    va_end(args);
    return status;
}

mil_status mil__nomem(mil_error *err) { return mil__fail(err, MIL_ENOMEM, "%s", mil_status_text(MIL_ENOMEM)); }

/* ---- nearest name ---- */

enum { NEAREST_MAX = 40 }; /* longer names are not compared */

static int fold(char c) { return tolower((unsigned char)c); }

/* Edits from a to b: insertions, deletions, changes, and swaps of neighbours (optimal string alignment). */
static int edit_distance(const char *a, int n, const char *b, int m) {
    int rows[3][NEAREST_MAX + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (int j = 0; j <= m; j++) last[j] = j;
    for (int i = 1; i <= n; i++) {
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = last[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            if (last[j] + 1 < best) best = last[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
        int *reused = before;
        before = last, last = row, row = reused;
    }
    return last[m];
}

/* "sum" is more like "reduce_sum" than like "sub". Of several, the shortest. */
static const char *last_word(const char *name, size_t length, size_t n, const char *(*at)(const void *, size_t),
                             const void *ctx) {
    const char *best = NULL;
    size_t least = NEAREST_MAX + 1;
    for (size_t i = 0; i < n; i++) {
        const char *other = at(ctx, i);
        size_t m = other ? strlen(other) : 0;
        if (m < length + 2 || other[m - length - 1] != '_' || strcmp(other + m - length, name) != 0) continue;
        if (m < least || (m == least && strcmp(other, best) < 0)) best = other, least = m;
    }
    return best;
}

const char *mil__nearest(const char *name, size_t n, const char *(*at)(const void *, size_t), const void *ctx) {
    size_t length = strlen(name);
    if (length == 0 || length > NEAREST_MAX) return NULL;
    const char *best = length > 2 ? last_word(name, length, n, at, ctx) : NULL;
    if (best) return best;
    int least = length == 1 ? 1 : (int)(length + 2) / 3 + 1; /* a third of the letters may be wrong; never all */
    for (size_t i = 0; i < n; i++) {
        const char *other = at(ctx, i);
        size_t m = other ? strlen(other) : 0;
        if (m == 0 || m > NEAREST_MAX) continue;
        int distance = edit_distance(name, (int)length, other, (int)m);
        bool first = best && distance == least && strcmp(other, best) < 0; /* of equals: whatever order names came in */
        if (distance < least || first) best = other, least = distance;
    }
    return best;
}

static const char *name_at(const void *names, size_t i) { return ((const char *const *)names)[i]; }

const char *mil_nearest(const char *name, const char *const *names, size_t n) {
    return mil__nearest(name, n, name_at, names);
}
