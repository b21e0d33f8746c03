/* SPDX-License-Identifier: MIT */
/* Windows of convolution and pooling: what their parameters say, extents, and plain walks.
 *
 *   padding ─┐   x along an axis        ┌─ padding        kernel 3, dilation 2: a window reaches over 5
 *         [. . 0 1 2 3 4 5 6 7 8 9 10 . .]                 stride 3: windows begin 3 apart
 *          ^   ^   ^                                       tap t of window o is element
 *                ^   ^   ^                                     o * stride + t * dilation - before
 */
#ifndef MIL__WINDOWS_H
#define MIL__WINDOWS_H

#include "ops/op.h"

enum { MIL__MAX_SPATIAL = 3 };

/* pad_type's words, and their order here. */
#define MIL__PAD_TYPES "valid|same|custom|same_lower"
typedef enum mil__pad_type { MIL__PAD_VALID, MIL__PAD_SAME, MIL__PAD_CUSTOM, MIL__PAD_SAME_LOWER } mil__pad_type;

/* As given; arrays are by spatial axis. */
typedef struct mil__window_spec {
    int spatial;              /* of x: 1 to 3 */
    mil__pad_type pad_type;
    bool ceil_mode;
    int64_t kernel[MIL__MAX_SPATIAL]; /* 0: not known */
    int64_t strides[MIL__MAX_SPATIAL], dilations[MIL__MAX_SPATIAL];
    int64_t pad[2 * MIL__MAX_SPATIAL]; /* before and after, of custom */
} mil__window_spec;

/* spec->spatial from x. Fails (MIL_ETYPE) unless x is [n, channels, one to `most` more]. */
mil_status mil__get_spatial(mil__call *call, int most, mil__window_spec *spec);
/* `each` values a spatial axis, none below `least`; left as they are where the parameter is absent. */
mil_status mil__get_by_axis(mil__call *call, const char *name, int spatial, int each, int64_t least, int64_t *out);

/* Elements of x that a window reaches over. */
static inline int64_t mil__window_reach(const mil__window_spec *spec, int axis) {
    return (spec->kernel[axis] - 1) * spec->dilations[axis] + 1;
}
/* Padding along an axis of x of this extent (0 where that is a symbol and pad_type makes it matter). */
void mil__window_padding(const mil__window_spec *spec, int axis, mil_dim extent, int64_t *before, int64_t *after);
/* Number of windows along an axis. Fails (MIL_EVALUE) where there would be none. */
mil_status mil__window_count(mil__call *call, const mil__window_spec *spec, int axis, mil_dim extent, mil_dim *out);

/* ---- evaluation ---- */

/* Three axes always; those that an op lacks come first, of extent 1. */
typedef struct mil__windows {
    int64_t in[3], out[3], kernel[3], strides[3], dilations[3], before[3]; /* out: the number of windows */
} mil__windows;

/* Arrays of `spatial` entries; dilations may be NULL. */
mil__windows mil__windows_of(int spatial, const int64_t *in, const int64_t *out, const int64_t *kernel,
                             const int64_t *strides, const int64_t *dilations, const int64_t *before);
static inline int64_t mil__volume(const int64_t n[3]) { return n[0] * n[1] * n[2]; }

/* n windows from `out` on, their tap's elements from `in` on, `step` apart. */
typedef void mil__window_fn(void *ctx, int64_t n, int64_t out, int64_t in, int64_t step);
/* Calls fn for each row of windows whose tap (0 .. volume of kernel - 1) lies inside of x, not in the padding. */
void mil__window_tap(const mil__windows *windows, int64_t tap, mil__window_fn *fn, void *ctx);

/* avg_pool's, max_pool's and l2_pool's. */
mil_status mil__infer_pool(mil__call *call);

#endif
