/* SPDX-License-Identifier: MIT */
/* What conv and pool share: the words about windows (strides, pad_type, pad, dilations), checked and settled into sizes, and
 * the extents that follow. */
#ifndef MIL__WINDOWS_H
#define MIL__WINDOWS_H

#include "ops/op.h"

typedef enum mil__pad_type { MIL__PAD_VALID, MIL__PAD_CUSTOM, MIL__PAD_SAME, MIL__PAD_SAME_LOWER } mil__pad_type;

typedef struct mil__windows {
    int spatial;                       /* axes of x from 2 on: 1 to 3 */
    mil__pad_type pad_type;
    bool ceil_mode;
    int64_t kernel[3], strides[3], dilations[3];
    int64_t before[3], after[3];       /* pad, as given; zeros unless the type is custom */
} mil__windows;

/* x's spatial axes; 1 to 3 of them, else it fails. */
mil_status mil__windows_spatial(mil__call *call, mil__windows *w);
/* The optional parameters that the op has: strides, pad_type, pad, dilations (has_dilations). kernel is the caller's. */
mil_status mil__windows_read(mil__call *call, bool has_dilations, mil__windows *w);
/* A vector parameter of n values at least `least`; `otherwise` throughout where it is absent. */
mil_status mil__windows_vector(mil__call *call, const char *name, int n, int64_t least, int64_t otherwise, int64_t *out);

/* What the kernel covers along an axis: (kernel - 1) * dilation + 1. */
static inline int64_t mil__windows_reach(const mil__windows *w, int i) { return (w->kernel[i] - 1) * w->dilations[i] + 1; }
/* The number of windows along an axis of extent n: a number, a formula or a fresh symbol. Fails where a known one is below 1. */
mil_status mil__windows_out(mil__call *call, const mil__windows *w, int i, mil_dim n, mil_dim *out);
/* pad of an axis of known extent, whatever pad_type says. */
void mil__windows_pad(const mil__windows *w, int i, int64_t n, int64_t *before, int64_t *after);

/* pool's, for each of its ops. */
mil_status mil__infer_pool(mil__call *call);

#endif
