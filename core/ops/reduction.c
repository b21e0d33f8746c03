/* SPDX-License-Identifier: MIT */
/* reduction: inference and plain evaluation.
 *
 * Sums are in double, and exact for int32, wrapping around as NumPy's do. What is no integer of an int32 tensor (mean, norm,
 * logarithm) is rounded toward zero. Of nothing: a sum is 0, a product 1, a maximum -inf (of int32: the smallest), a mean
 * NaN (of int32: 0), an index 0. */
#include <math.h>
#include <strings.h>

#include "ops/params.h"
#include "ops/rules.h"
#include "ops/slices.h"

/* ---- inference ---- */

static mil_status result(mil__call *call, uint32_t axes, mil_dtype dtype) {
    const mil_type *x = mil__arg(call, "x")->type;
    struct mil__axes_params *params = call->params;
    mil_dim shape[MIL_MAX_RANK];
    bool keep_dims;
    int rank = 0;
    params->axes = axes;
    MIL__TRY(mil__get_bool(call, "keep_dims", &keep_dims));
    for (int a = 0; a < x->rank; a++) {
        bool reduced = axes >> a & 1;
        if (!reduced || keep_dims) shape[rank++] = reduced ? 1 : x->shape[a];
    }
    return mil__call_tensor(call, dtype, rank, shape);
}

mil_status mil__infer_reduce(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x");
    uint32_t axes;
    MIL__TRY(mil__get_axes(call, "axes", mil__rank(x), &axes));
    return result(call, axes, x->type->dtype);
}

/* "int32" or "uint16", in any case; int32 before ios17. */
static mil_status output_dtype(mil__call *call, mil_dtype *out) {
    const char *text = "int32";
    if (call->opset >= MIL_IOS17) MIL__TRY(mil__get_text(call, "output_dtype", &text));
    *out = strcasecmp(text, "int32") == 0 ? MIL_INT32 : strcasecmp(text, "uint16") == 0 ? MIL_UINT16 : MIL_NO_DTYPE;
    if (*out != MIL_NO_DTYPE) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "output_dtype \"%.60s\" is none of int32|uint16", text);
}

mil_status mil__infer_reduce_arg(mil__call *call) {
    int64_t given;
    int axis;
    mil_dtype dtype;
    MIL__TRY(mil__get_int(call, "axis", &given));
    MIL__TRY(mil__axis(call, "axis", given, mil__rank(mil__arg(call, "x")), &axis));
    MIL__TRY(output_dtype(call, &dtype));
    MIL__TRY(mil__index_dtype_fits(call, axis, dtype));
    return result(call, 1u << axis, dtype);
}

/* ---- evaluation ---- */

typedef double f_fn(const double *x, int64_t n);
typedef int64_t i_fn(const int64_t *x, int64_t n);

typedef struct reducing {
    f_fn *f;
    i_fn *i;
} reducing;

static void reduce_slice(const void *ctx, int64_t slice, int64_t n, const void *in, void *out) {
    const reducing *r = ctx;
    (void)slice;
    if (r->i) *(int64_t *)out = r->i(in, n);
    else *(double *)out = r->f(in, n);
}

/* i: for int32, where doubles would not be exact; NULL: doubles do. */
static mil_status reduce(mil__call *call, f_fn *f, i_fn *i) {
    const struct mil__axes_params *params = call->params;
    bool exact = i && call->in[0].items[0].type->dtype == MIL_INT32;
    reducing r = {f, exact ? i : NULL};
    return mil__eval_slices(call, params->axes, exact ? MIL_INT64 : MIL_FP64, true, reduce_slice, &r);
}

static double f_sum(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += x[k];
    return sum;
}

static double f_prod(const double *x, int64_t n) {
    double product = 1;
    for (int64_t k = 0; k < n; k++) product *= x[k];
    return product;
}

static double f_sum_abs(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += fabs(x[k]);
    return sum;
}

static double f_sum_square(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += x[k] * x[k];
    return sum;
}

/* The index of the largest of sign * x; the first of equals, or of NaNs. */
static int64_t extreme_at(const double *x, int64_t n, double sign) {
    int64_t at = 0;
    for (int64_t k = 0; k < n; k++) {
        if (isnan(x[k])) return k;
        if (sign * x[k] > sign * x[at]) at = k;
    }
    return at;
}

static double f_argmax(const double *x, int64_t n) { return (double)extreme_at(x, n, 1); }
static double f_argmin(const double *x, int64_t n) { return (double)extreme_at(x, n, -1); }
static double f_max(const double *x, int64_t n) { return n ? x[extreme_at(x, n, 1)] : -INFINITY; }
static double f_min(const double *x, int64_t n) { return n ? x[extreme_at(x, n, -1)] : INFINITY; }
static double f_mean(const double *x, int64_t n) { return f_sum(x, n) / (double)n; }
static double f_l2_norm(const double *x, int64_t n) { return sqrt(f_sum_square(x, n)); }
static double f_log_sum(const double *x, int64_t n) { return log(f_sum(x, n)); }

static double f_log_sum_exp(const double *x, int64_t n) {
    double max = f_max(x, n), sum = 0;
    if (!isfinite(max)) return max;
    for (int64_t k = 0; k < n; k++) sum += exp(x[k] - max);
    return max + log(sum);
}

static int64_t i_sum(const int64_t *x, int64_t n) {
    uint64_t sum = 0;
    for (int64_t k = 0; k < n; k++) sum += (uint64_t)x[k];
    return (int64_t)sum;
}

static int64_t i_prod(const int64_t *x, int64_t n) {
    uint64_t product = 1;
    for (int64_t k = 0; k < n; k++) product *= (uint64_t)x[k];
    return (int64_t)product;
}

static int64_t i_sum_abs(const int64_t *x, int64_t n) {
    uint64_t sum = 0;
    for (int64_t k = 0; k < n; k++) sum += (uint64_t)(x[k] < 0 ? -x[k] : x[k]);
    return (int64_t)sum;
}

static int64_t i_sum_square(const int64_t *x, int64_t n) {
    uint64_t sum = 0;
    for (int64_t k = 0; k < n; k++) sum += (uint64_t)(x[k] * x[k]);
    return (int64_t)sum;
}

mil_status mil__eval_reduce_argmax(mil__call *call) { return reduce(call, f_argmax, NULL); }
mil_status mil__eval_reduce_argmin(mil__call *call) { return reduce(call, f_argmin, NULL); }
mil_status mil__eval_reduce_l1_norm(mil__call *call) { return reduce(call, f_sum_abs, i_sum_abs); }
mil_status mil__eval_reduce_l2_norm(mil__call *call) { return reduce(call, f_l2_norm, NULL); }
mil_status mil__eval_reduce_log_sum(mil__call *call) { return reduce(call, f_log_sum, NULL); }
mil_status mil__eval_reduce_log_sum_exp(mil__call *call) { return reduce(call, f_log_sum_exp, NULL); }
mil_status mil__eval_reduce_max(mil__call *call) { return reduce(call, f_max, NULL); }
mil_status mil__eval_reduce_mean(mil__call *call) { return reduce(call, f_mean, NULL); }
mil_status mil__eval_reduce_min(mil__call *call) { return reduce(call, f_min, NULL); }
mil_status mil__eval_reduce_prod(mil__call *call) { return reduce(call, f_prod, i_prod); }
mil_status mil__eval_reduce_sum(mil__call *call) { return reduce(call, f_sum, i_sum); }
mil_status mil__eval_reduce_sum_square(mil__call *call) { return reduce(call, f_sum_square, i_sum_square); }
