/* SPDX-License-Identifier: MIT */
/* tensor_operation, continued: band_part, cumsum. */
#include "ops/rules.h"

/* ---- band_part ---- */

mil_status mil__infer_band_part(mil__call *call) {
    int64_t ignored;
    MIL__TRY(mil__get_int(call, "lower", &ignored));
    MIL__TRY(mil__get_int(call, "upper", &ignored));
    if (mil__rank(mil__arg(call, "x")) < 2) return mil__call_fail(call, MIL_ETYPE, "x takes rank 2 or above, but is %s", MIL__ARG_TEXT(call, "x"));
    return mil__infer_like_first(call);
}

/* Of each row that part is copied that lies in the band; the rest is zeros. */
mil_status mil__eval_band_part(mil__call *call) {
    mil_tensor *out = call->result[0];
    int64_t lower, upper, n = out->shape[out->rank - 1], m = out->shape[out->rank - 2], rows = n ? mil__numel(out) / n : 0;
    size_t size = mil__element_size(out->dtype);
    MIL__TRY(mil__get_int(call, "lower", &lower));
    MIL__TRY(mil__get_int(call, "upper", &upper));
    mil__gather_contiguous(mil__arg(call, "x")->data, out->data);
    for (int64_t r = 0; r < rows; r++) {
        int64_t diagonal = r % m, first = lower < 0 ? 0 : diagonal - lower, end = upper < 0 ? n : diagonal + upper + 1;
        if (first < 0) first = 0;
        if (first > n) first = n;
        if (end > n) end = n;
        if (end < first) end = first;
        char *row = (char *)out->data + (size_t)(r * n) * size;
        memset(row, 0, (size_t)first * size);
        memset(row + (size_t)end * size, 0, (size_t)(n - end) * size);
    }
    return MIL_OK;
}

/* ---- cumsum ---- */

static mil_status get_axis(mil__call *call, int *out) {
    int64_t axis;
    MIL__TRY(mil__get_int(call, "axis", &axis));
    return mil__axis(call, "axis", axis, mil__rank(mil__arg(call, "x")), out);
}

mil_status mil__infer_cumsum(mil__call *call) {
    int axis;
    MIL__TRY(get_axis(call, &axis));
    return mil__infer_like_first(call);
}

enum { SUM_RUN = 256 };

/* One line of floats, a run at a time. */
static void sum_floats(const mil_tensor *x, int64_t from, int64_t from_step, mil_tensor *out, int64_t to, int64_t to_step, int64_t n,
                       bool exclusive) {
    int64_t x_size = (int64_t)mil__element_size(x->dtype), out_size = (int64_t)mil__element_size(out->dtype);
    double run[SUM_RUN], sum = 0;
    for (int64_t done = 0; done < n; done += SUM_RUN) {
        int64_t some = n - done < SUM_RUN ? n - done : SUM_RUN;
        mil__convert(MIL_FP64, run, 1, x->dtype, (const char *)x->data + (from + done * from_step) * x_size, from_step, some);
        for (int64_t i = 0; i < some; i++) {
            double before = sum;
            sum += run[i];
            run[i] = exclusive ? before : sum;
        }
        mil__convert(out->dtype, (char *)out->data + (to + done * to_step) * out_size, to_step, MIL_FP64, run, 1, some);
    }
}

/* One line; floats add up in double precision, int32 wraps around. */
static void sum_line(const mil_tensor *x, int64_t from, int64_t from_step, mil_tensor *out, int64_t to, int64_t to_step, int64_t n,
                     bool exclusive) {
    uint32_t sum = 0;
    if (x->dtype != MIL_INT32) {
        sum_floats(x, from, from_step, out, to, to_step, n, exclusive);
        return;
    }
    for (int64_t i = 0; i < n; i++, from += from_step, to += to_step) {
        uint32_t before = sum;
        sum += (uint32_t)mil__load_i64(x, from);
        mil__store_i64(out, to, (int32_t)(exclusive ? before : sum));
    }
}

mil_status mil__eval_cumsum(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    bool exclusive, reverse;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(mil__get_bool(call, "exclusive", &exclusive));
    MIL__TRY(mil__get_bool(call, "reverse", &reverse));
    int64_t n = x->shape[axis], lines = n ? mil__numel(x) / n : 0, last = reverse ? n - 1 : 0, turn = reverse ? -1 : 1;
    for (int64_t line = 0; line < lines; line++) {
        int64_t from = last * x->strides[axis], to = last * out->strides[axis], rest = line;
        for (int k = x->rank - 1; k >= 0; k--) {
            if (k == axis) continue;
            from += rest % x->shape[k] * x->strides[k];
            to += rest % x->shape[k] * out->strides[k];
            rest /= x->shape[k];
        }
        sum_line(x, from, turn * x->strides[axis], out, to, turn * out->strides[axis], n, exclusive);
    }
    return MIL_OK;
}
