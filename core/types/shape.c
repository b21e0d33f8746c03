/* SPDX-License-Identifier: MIT */
/* Arithmetic on shapes whose extents are sizes: counts that cannot overflow, strides, text. */
#include <inttypes.h>
#include <stdio.h>

#include "types/types.h"

bool mil__shape_numel(int rank, const int64_t *shape, int64_t *out) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0 || !mil__mul_dim(n, shape[i], &n)) return false;
    }
    *out = n;
    return true;
}

void mil__shape_strides(int rank, const int64_t *shape, int64_t *strides) {
    uint64_t step = 1; /* unsigned, since an empty shape may have other extents of any size */
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = (int64_t)step;
        step *= shape[i] > 0 ? (uint64_t)shape[i] : 1;
    }
}

char *mil__shape_text(int rank, const int64_t *shape, char *buf, size_t n) {
    size_t used = 0;
    for (int i = 0; i <= rank && used < n; i++) {
        int more = i < rank ? snprintf(buf + used, n - used, "%s%" PRId64, i ? ", " : "[", shape[i])
                            : snprintf(buf + used, n - used, "%s", rank ? "]" : "[]");
        used += (size_t)more;
    }
    return buf;
}
