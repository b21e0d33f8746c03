/* SPDX-License-Identifier: MIT */
/* Windows of convolution and pooling. See windows.h. */
#include "ops/rules.h"
#include "ops/windows.h"

/* ---- parameters ---- */

mil_status mil__get_spatial(mil__call *call, int most, mil__window_spec *spec) {
    spec->spatial = mil__rank(mil__arg(call, "x")) - 2;
    if (spec->spatial >= 1 && spec->spatial <= most) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "x takes [n, channels] and 1 to %d spatial axes, but got %s", most,
                          MIL__ARG_TEXT(call, "x"));
}

mil_status mil__get_by_axis(mil__call *call, const char *name, int spatial, int each, int64_t least, int64_t *out) {
    int64_t values[64];
    int n;
    if (!mil__has(call, name)) return MIL_OK;
    MIL__TRY(mil__get_vector(call, name, (int)MIL__COUNT(values), values, &n));
    if (n != spatial * each)
        return mil__call_fail(call, MIL_EVALUE, "%s has %d value%s, but %s has %d spatial ax%s, which take%s %d", name, n,
                              n == 1 ? "" : "s", MIL__ARG_TEXT(call, "x"), spatial, spatial == 1 ? "is" : "es",
                              spatial == 1 ? "s" : "", spatial * each);
    for (int i = 0; i < n; i++) {
        if (values[i] < least)
            return mil__call_fail(call, MIL_EVALUE, "%s takes values of %lld and above, but one is %lld", name,
                                  (long long)least, (long long)values[i]);
        out[i] = values[i];
    }
    return MIL_OK;
}

/* ---- extents ---- */

/* The last of ceil(extent / stride) windows just reaches the end. */
static int64_t same_padding(const mil__window_spec *spec, int axis, int64_t extent) {
    int64_t stride = spec->strides[axis], rest = extent % stride;
    int64_t total = mil__window_reach(spec, axis) - (rest ? rest : stride);
    return total > 0 ? total : 0;
}

void mil__window_padding(const mil__window_spec *spec, int axis, mil_dim extent, int64_t *before, int64_t *after) {
    *before = *after = 0;
    if (spec->pad_type == MIL__PAD_CUSTOM) {
        *before = spec->pad[2 * axis];
        *after = spec->pad[2 * axis + 1];
    } else if (spec->pad_type != MIL__PAD_VALID && extent >= 0) {
        int64_t total = same_padding(spec, axis, extent), less = total / 2;
        *before = spec->pad_type == MIL__PAD_SAME ? less : total - less;
        *after = total - *before;
    }
}

static mil_dim plus(mil__types *types, mil_dim dim, int64_t n) {
    return mil__dim_add(types, dim, mil__dim_number(types, n));
}

/* Rounded up, so that the last window may hang over the end. Where there is padding, the last does not count if it begins
 * beyond x and half of all padding, counted from the padding's begin (coremltools' rule). */
static mil_dim ceil_count(mil__types *types, mil_dim extent, int64_t pad, int64_t reach, int64_t stride) {
    mil_dim n = plus(types, mil__dim_floordiv(types, plus(types, extent, pad - reach + stride - 1), stride), 1);
    if (pad == 0) return n;
    mil_dim twice = plus(types, mil__dim_mul(types, extent, 2), pad + 2 * stride - 1);
    mil_dim begin_before = mil__dim_floordiv(types, twice, 2 * stride);
    return mil__dim_min(types, n, mil__dim_max(types, plus(types, n, -1), begin_before));
}

static mil_dim count_of(mil__types *types, const mil__window_spec *spec, int axis, mil_dim extent) {
    int64_t before, after, reach = mil__window_reach(spec, axis), stride = spec->strides[axis];
    bool same = spec->pad_type == MIL__PAD_SAME || spec->pad_type == MIL__PAD_SAME_LOWER;
    if (spec->kernel[axis] == 0 || (same && spec->ceil_mode && extent < 0)) return mil__dim_fresh(types);
    if (same && !spec->ceil_mode) return mil__dim_floordiv(types, plus(types, extent, stride - 1), stride);
    mil__window_padding(spec, axis, extent, &before, &after);
    if (spec->ceil_mode) return ceil_count(types, extent, before + after, reach, stride);
    return plus(types, mil__dim_floordiv(types, plus(types, extent, before + after - reach), stride), 1);
}

mil_status mil__window_count(mil__call *call, const mil__window_spec *spec, int axis, mil_dim extent, mil_dim *out) {
    int64_t number, before, after;
    *out = count_of(call->types, spec, axis, extent);
    bool is_none = mil__dim_is_number(call->types, *out, &number) && number < 1;
    if (!is_none || mil__types_status(call->types) != MIL_OK) return MIL_OK; /* making the result's type says what failed */
    mil__window_padding(spec, axis, extent, &before, &after);
    return mil__call_fail(call, MIL_EVALUE, "a window reaches over %lld elements along axis %d, but %s has %lld there, "
                          "with padding", (long long)mil__window_reach(spec, axis), axis + 2, MIL__ARG_TEXT(call, "x"),
                          (long long)(extent + before + after));
}

/* ---- evaluation ---- */

mil__windows mil__windows_of(int spatial, const int64_t *in, const int64_t *out, const int64_t *kernel,
                             const int64_t *strides, const int64_t *dilations, const int64_t *before) {
    mil__windows w = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
    for (int i = 0, to = 3 - spatial; i < spatial; i++, to++) {
        w.in[to] = in[i];
        w.out[to] = out[i];
        w.kernel[to] = kernel[i];
        w.strides[to] = strides[i];
        w.dilations[to] = dilations ? dilations[i] : 1;
        w.before[to] = before[i];
    }
    return w;
}

/* Where the tap of window o lies along an axis. */
static int64_t place(const mil__windows *w, int axis, int64_t o, int64_t tap) {
    return o * w->strides[axis] + tap * w->dilations[axis] - w->before[axis];
}

/* Windows begin .. end - 1 are those whose tap lies inside along the axis. */
static void range(const mil__windows *w, int axis, int64_t tap, int64_t *begin, int64_t *end) {
    int64_t first = place(w, axis, 0, tap), stride = w->strides[axis], last = w->in[axis] - 1 - first;
    *begin = first < 0 ? (-first + stride - 1) / stride : 0;
    *end = last < 0 ? 0 : last / stride + 1;
    if (*end > w->out[axis]) *end = w->out[axis];
}

void mil__window_tap(const mil__windows *w, int64_t tap, mil__window_fn *fn, void *ctx) {
    int64_t t[3] = {tap / w->kernel[2] / w->kernel[1], tap / w->kernel[2] % w->kernel[1], tap % w->kernel[2]};
    int64_t begin[3], end[3];
    for (int i = 0; i < 3; i++) range(w, i, t[i], &begin[i], &end[i]);
    if (begin[2] >= end[2]) return;
    for (int64_t z = begin[0]; z < end[0]; z++)
        for (int64_t y = begin[1]; y < end[1]; y++) {
            int64_t row = (place(w, 0, z, t[0]) * w->in[1] + place(w, 1, y, t[1])) * w->in[2];
            fn(ctx, end[2] - begin[2], (z * w->out[1] + y) * w->out[2] + begin[2], row + place(w, 2, begin[2], t[2]),
               w->strides[2]);
        }
}
