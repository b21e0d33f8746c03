/* SPDX-License-Identifier: MIT */
/* A sweep over the steps with a list of free gaps, kept by offset and merged when they touch. A buffer takes the smallest
 * gap that holds it, or the end of the arena, which grows by what the last gap lacks. See plan.h. */
#include "engine/cpu/plan.h"

enum { NONE = UINT32_MAX };

typedef struct gap {
    size_t offset, bytes;
} gap;

typedef struct sweep {
    gap *gaps;
    uint32_t n_gaps;
    size_t end; /* of the arena so far */
} sweep;

static void remove_gap(sweep *s, uint32_t i) {
    memmove(&s->gaps[i], &s->gaps[i + 1], (s->n_gaps - i - 1) * sizeof *s->gaps);
    s->n_gaps--;
}

static void give_back(sweep *s, size_t offset, size_t bytes) {
    uint32_t i = s->n_gaps;
    while (i > 0 && s->gaps[i - 1].offset > offset) i--;
    bool touches_left = i > 0 && s->gaps[i - 1].offset + s->gaps[i - 1].bytes == offset;
    bool touches_right = i < s->n_gaps && offset + bytes == s->gaps[i].offset;
    if (touches_left && touches_right) {
        s->gaps[i - 1].bytes += bytes + s->gaps[i].bytes;
        remove_gap(s, i);
    } else if (touches_left) {
        s->gaps[i - 1].bytes += bytes;
    } else if (touches_right) {
        s->gaps[i].offset = offset;
        s->gaps[i].bytes += bytes;
    } else {
        memmove(&s->gaps[i + 1], &s->gaps[i], (s->n_gaps - i) * sizeof *s->gaps);
        s->gaps[i] = (gap){offset, bytes};
        s->n_gaps++;
    }
}

static size_t take(sweep *s, size_t bytes) {
    uint32_t best = NONE;
    for (uint32_t i = 0; i < s->n_gaps; i++)
        if (s->gaps[i].bytes >= bytes && (best == NONE || s->gaps[i].bytes < s->gaps[best].bytes)) best = i;
    if (best != NONE) {
        size_t offset = s->gaps[best].offset;
        s->gaps[best].offset += bytes;
        s->gaps[best].bytes -= bytes;
        if (s->gaps[best].bytes == 0) remove_gap(s, best);
        return offset;
    }
    size_t offset = s->end; /* from the last gap on, where it reaches the end */
    if (s->n_gaps && s->gaps[s->n_gaps - 1].offset + s->gaps[s->n_gaps - 1].bytes == s->end)
        offset = s->gaps[--s->n_gaps].offset;
    s->end = offset + bytes;
    return offset;
}

static size_t rounded(size_t bytes) { return (bytes + MIL__PLAN_ALIGN - 1) & ~(size_t)(MIL__PLAN_ALIGN - 1); }

mil_status mil__plan(mil__lifetime *buffers, uint32_t n, uint32_t n_steps, size_t *total, mil_error *err) {
    size_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        if (buffers[i].bytes > SIZE_MAX - MIL__PLAN_ALIGN || !mil__add_size(sum, rounded(buffers[i].bytes), &sum))
            return mil__fail(err, MIL_ELIMIT, "compile: the values of the program do not fit in memory");
    /* buffers that begin at, and end before, a step: lists through `next` */
    uint32_t *heads = mil__alloc((2 * (size_t)n_steps + 1) * sizeof *heads);
    uint32_t *next = mil__alloc(2 * (size_t)n * sizeof *next);
    gap *gaps = mil__alloc(((size_t)n + 1) * sizeof *gaps);
    mil_status status = heads && next && gaps ? MIL_OK : mil__nomem(err);
    if (status == MIL_OK) {
        uint32_t *begins = heads, *ends = heads + n_steps; /* ends has one more, for the last step's */
        memset(heads, 0xff, (2 * (size_t)n_steps + 1) * sizeof *heads);
        for (uint32_t i = n; i-- > 0;) {
            next[i] = begins[buffers[i].first];
            begins[buffers[i].first] = i;
            next[n + i] = ends[buffers[i].last + 1];
            ends[buffers[i].last + 1] = i;
        }
        sweep s = {.gaps = gaps};
        for (uint32_t step = 0; step < n_steps; step++) {
            for (uint32_t i = ends[step]; i != NONE; i = next[n + i])
                if (buffers[i].bytes) give_back(&s, buffers[i].offset, rounded(buffers[i].bytes));
            for (uint32_t i = begins[step]; i != NONE; i = next[i])
                buffers[i].offset = buffers[i].bytes ? take(&s, rounded(buffers[i].bytes)) : 0;
        }
        *total = s.end;
    }
    mil__free(heads);
    mil__free(next);
    mil__free(gaps);
    return status;
}
