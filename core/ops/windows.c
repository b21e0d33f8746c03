/* SPDX-License-Identifier: MIT */
/* Windows of conv and pool. See windows.h. */
#include <strings.h>

#include "ops/rules.h"
#include "ops/windows.h"

mil_status mil__windows_spatial(mil__call *call, mil__windows *w) {
    int rank = mil__rank(mil__arg(call, "x"));
    if (rank < 3 || rank > 5)
        return mil__call_fail(call, MIL_ETYPE, "%s takes a batch axis, a channel axis and 1 to 3 spatial axes",
                              MIL__ARG_TEXT(call, "x"));
    w->spatial = rank - 2;
    return MIL_OK;
}

mil_status mil__windows_vector(mil__call *call, const char *name, int n, int64_t least, int64_t otherwise, int64_t *out) {
    mil_dim length;
    int got;
    if (!mil__has(call, name)) {
        for (int i = 0; i < n; i++) out[i] = otherwise;
        return MIL_OK;
    }
    MIL__TRY(mil__is_vector(call, name, &length));
    if (length != n)
        return mil__call_fail(call, MIL_ETYPE, "%s takes %d values for %s", MIL__ARG_TEXT(call, name), n,
                              MIL__ARG_TEXT(call, "x"));
    MIL__TRY(mil__get_ints(call, name, n, out, &got));
    for (int i = 0; i < n; i++)
        if (out[i] < least || out[i] > INT32_MAX)
            return mil__call_fail(call, MIL_EVALUE, "%s has %lld; %lld and more is possible", name, (long long)out[i],
                                  (long long)least);
    return MIL_OK;
}

static mil_status read_pad_type(mil__call *call, mil__pad_type *out) {
    static const char *const names[] = {"valid", "custom", "same", "same_lower"};
    int n = call->opset >= MIL_IOS16 ? 4 : 3;
    const char *text;
    bool any_case = mil__has(call, "kernel_sizes"); /* pools take "VALID" too */
    MIL__TRY(mil__get_text(call, "pad_type", &text));
    for (int i = 0; i < n; i++) {
        if (any_case ? strcasecmp(text, names[i]) : strcmp(text, names[i])) continue;
        *out = (mil__pad_type)i;
        return MIL_OK;
    }
    return mil__call_fail(call, MIL_EVALUE, "pad_type \"%.40s\" is none of valid, custom, same%s", text,
                          n > 3 ? ", same_lower" : " (same_lower from ios16 on)");
}

mil_status mil__windows_read(mil__call *call, bool has_dilations, mil__windows *w) {
    int64_t pad[6];
    MIL__TRY(read_pad_type(call, &w->pad_type));
    MIL__TRY(mil__windows_vector(call, "strides", w->spatial, 1, 1, w->strides));
    for (int i = 0; i < 3; i++) w->dilations[i] = 1;
    if (has_dilations) MIL__TRY(mil__windows_vector(call, "dilations", w->spatial, 1, 1, w->dilations));
    memset(w->before, 0, sizeof w->before);
    memset(w->after, 0, sizeof w->after);
    if (w->pad_type != MIL__PAD_CUSTOM) return MIL_OK;
    MIL__TRY(mil__windows_vector(call, "pad", 2 * w->spatial, 0, 0, pad));
    for (int i = 0; i < w->spatial; i++) {
        w->before[i] = pad[2 * i];
        w->after[i] = pad[2 * i + 1];
    }
    return MIL_OK;
}

static bool is_same(const mil__windows *w) { return w->pad_type == MIL__PAD_SAME || w->pad_type == MIL__PAD_SAME_LOWER; }

/* same: as much as lets ceil(n / stride) windows fit; where that is odd, more of it behind (same) or before (same_lower). */
void mil__windows_pad(const mil__windows *w, int i, int64_t n, int64_t *before, int64_t *after) {
    *before = w->before[i];
    *after = w->after[i];
    if (!is_same(w)) return;
    int64_t windows = (n + w->strides[i] - 1) / w->strides[i];
    int64_t total = (windows - 1) * w->strides[i] + mil__windows_reach(w, i) - n;
    if (total < 0) total = 0;
    *before = w->pad_type == MIL__PAD_SAME ? total / 2 : total - total / 2;
    *after = total - *before;
}

/* ceil_mode counts a last window that is not whole, unless it would lie in the padding behind. */
static int64_t count(const mil__windows *w, int i, int64_t n) {
    int64_t before, after, stride = w->strides[i], reach = mil__windows_reach(w, i);
    mil__windows_pad(w, i, n, &before, &after);
    int64_t pad = before + after, span = n + pad - reach;
    if (span < 0 && !w->ceil_mode) return 0;
    if (!w->ceil_mode) return span / stride + 1;
    if (span + stride - 1 < 0) return 0;
    int64_t windows = (span + stride - 1) / stride + 1;
    return pad > 0 && 2 * (windows - 1) * stride >= 2 * n + pad ? windows - 1 : windows;
}

mil_status mil__windows_out(mil__call *call, const mil__windows *w, int i, mil_dim n, mil_dim *out) {
    mil__types *t = call->types;
    if (n >= 0) {
        *out = count(w, i, n);
        if (*out > 0) return MIL_OK;
        return mil__call_fail(call, MIL_ETYPE, "the window of %lld does not fit into spatial axis %d of %s",
                              (long long)mil__windows_reach(w, i), i, MIL__ARG_TEXT(call, "x"));
    }
    if (is_same(w) && !w->ceil_mode) {
        *out = mil__dim_floordiv(t, mil__dim_add(t, n, w->strides[i] - 1), w->strides[i]);
    } else if (!w->ceil_mode) {
        int64_t more = w->before[i] + w->after[i] - mil__windows_reach(w, i);
        mil_dim span = mil__dim_add(t, n, mil__dim_number(t, more));
        *out = mil__dim_add(t, mil__dim_floordiv(t, span, w->strides[i]), 1);
    } else {
        *out = mil__dim_fresh(t);
    }
    return MIL_OK;
}
