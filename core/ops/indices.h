/* SPDX-License-Identifier: MIT */
/* What indices of gathers and scatters mean, and what becomes of one that lies outside. */
#ifndef MIL__INDICES_H
#define MIL__INDICES_H

#include "ops/op.h"

typedef struct mil__index_rule {
    bool wraps;   /* below 0 it counts from the end */
    bool clamps;  /* outside, the nearest one is meant (a scatter leaves it out); else it is an error */
} mil__index_rule;

/* What inference of gather leaves in call->params. */
struct mil__gather_params {
    int axis;
    mil__index_rule rule;
};

/* That of the call, by its opset and validate_indices. */
mil_status mil__index_rule_of(mil__call *call, mil__index_rule *out);
/* The position that an index means; false where it is an error. */
static inline bool mil__index_place(mil__index_rule rule, int64_t index, int64_t n, int64_t *out) {
    if (rule.wraps && index < 0) index += n;
    if (index >= 0 && index < n) {
        *out = index;
        return true;
    }
    *out = index < 0 ? 0 : n - 1;
    return rule.clamps && n > 0;
}
mil_status mil__index_fail(mil__call *call, int64_t index, int axis, const char *param);
/* Known indices into an axis of a parameter are checked while the program is made, where the run would check them. */
mil_status mil__index_check(mil__call *call, const char *param, int axis);

/* A walk over the indices of gather_along_axis and scatter_along_axis, in C order: it tells of each which element of x it
 * means, x [outer, n, inner] dense. Indices of one outer come in lines, of inner elements; where inner is 1, in one line. */
typedef struct mil__along {
    const char *param;        /* that they are an index into */
    int axis;
    int64_t n, inner;
    int64_t line, lines;      /* elements of a line, lines of an outer */
    mil__index_rule rule;
    bool leaves_out;          /* an index that is an error by the rule is left out instead */
    mil_dtype dtype;          /* of the indices that come, and how many are left */
    const void *indices;
    int64_t left;
    int64_t outer, k, i;      /* where the next is: outer in elements of x, line, element of it */
} mil__along;
enum { MIL__ALONG = 256 };

/* param: x. Its shape but for axis must be that of the indices. Fails: MIL_ETYPE, MIL_ENOMEM. */
mil_status mil__along_begin(mil__call *call, const char *param, int axis, mil__along *out);
/* Of the next *n indices, where the elements that they mean lie; -1: left out. *n is 0 at the end. */
mil_status mil__along_next(mil__call *call, mil__along *along, int64_t offsets[MIL__ALONG], int64_t *n);

/* The product of extents begin .. end - 1. */
static inline int64_t mil__extent(const int64_t *shape, int begin, int end) {
    int64_t n = 1;
    for (int i = begin; i < end; i++) n *= shape[i];
    return n;
}

#endif
