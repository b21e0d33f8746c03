/* SPDX-License-Identifier: MIT */
/* tensor_transformation: inference and plain evaluation. Evaluations read begin, size, perm ... themselves, since a result's
 * shape may be known where these are not (a slice of fixed size at a place that the run decides). */
#include <stdio.h>

#include "ops/rules.h"

/* The elements of x in their order, under the result's shape. */
mil_status mil__eval_reshape_like(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    if (mil__numel(x) != mil__numel(out)) {
        return mil__call_fail(call, MIL_EVALUE, "x %s has not as many elements as the result %s",
                              MIL__SHAPE_TEXT(x->rank, x->shape), MIL__SHAPE_TEXT(out->rank, out->shape));
    }
    mil__gather_contiguous(x, out->data);
    return MIL_OK;
}

/* Inference concludes from the number of elements what a size must be that it can't see. Where a run computes another, or one that
 * is none, that is an error. */
static mil_status check_sizes(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data, *shape = mil__arg(call, "shape")->data;
    const mil_tensor *out = call->result[0];
    int64_t given[MIL_MAX_RANK] = {0};
    int n_rest = 0;
    bool fits = true;
    for (int i = 0; i < out->rank; i++) {
        given[i] = mil__load_i64(shape, i);
        int at = x->rank - out->rank + i;
        int64_t size = given[i] ? given[i] : at < 0 ? 1 : x->shape[at];
        if (size == -1 && n_rest++ == 0) continue;
        fits = fits && size == out->shape[i];
    }
    if (fits) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "the elements of %s do not fill shape %s", MIL__ARG_TEXT(call, "x"),
                          MIL__SHAPE_TEXT(out->rank, given));
}

mil_status mil__eval_reshape(mil__call *call) {
    MIL__TRY(check_sizes(call));
    return mil__eval_reshape_like(call);
}

/* One result of x's dtype; x's symbols stay with it, as its elements do. */
static mil_status same_elements(mil__call *call, int rank, const mil_dim *shape) {
    const mil__operand *x = mil__arg(call, "x");
    MIL__TRY(mil__call_tensor(call, x->type->dtype, rank, shape));
    if (mil__is_static(call->out[0]) && mil__is_static(x->type)) call->out_sym[0] = x->sym;
    return MIL_OK;
}

/* ---- reshape ----
 * Sizes are numbers, -1, or symbols. Where all is known the counts must agree. Otherwise -1, and any symbol that x does not
 * have, is what the equality of the counts gives in terms of x's symbols alone, if it gives that. */

static mil_status does_not_fit(mil__call *call, int n, const mil_dim *shape) {
    char text[160];
    size_t used = 0;
    for (int i = 0; i < n && used < sizeof text; i++) {
        int64_t number = 0;
        bool is_number = mil__dim_is_number(call->types, shape[i], &number);
        const char *comma = i ? ", " : "";
        int more = is_number ? snprintf(text + used, sizeof text - used, "%s%lld", comma, (long long)number)
                             : snprintf(text + used, sizeof text - used, "%s%s", comma, MIL__DIM_TEXT(call->types, shape[i]));
        used += (size_t)more;
    }
    return mil__call_fail(call, MIL_ETYPE, "the elements of %s do not fill shape [%s]", MIL__ARG_TEXT(call, "x"),
                          n ? text : "");
}

/* 0 is x's own size: of the same axis; from ios17 on of the same axis from the end, 1 where x has none. */
static mil_status copy_sizes(mil__call *call, const mil_type *x, int n, mil_dim *shape) {
    for (int i = 0; i < n; i++) {
        if (shape[i] != 0) continue;
        if (call->opset < MIL_IOS17 && x->rank != n) {
            return mil__call_fail(call, MIL_EVALUE, "shape has a 0, so it takes as many sizes as x has axes (%s), but has %d",
                                  MIL__ARG_TEXT(call, "x"), n);
        }
        int at = x->rank - n + i;
        shape[i] = at < 0 ? 1 : x->shape[at];
    }
    return MIL_OK;
}

static mil_status fill_static(mil__call *call, const mil_type *x, int n, mil_dim *shape, int rest_at) {
    int64_t total, rest = 1;
    mil_dim asked[MIL_MAX_RANK];
    memcpy(asked, shape, (size_t)n * sizeof *asked);
    for (int i = 0; i < n; i++)
        if (i != rest_at && !mil__mul_dim(rest, shape[i], &rest)) return does_not_fit(call, n, asked);
    if (!mil__shape_numel(x->rank, x->shape, &total)) return does_not_fit(call, n, asked);
    if (rest_at >= 0) shape[rest_at] = rest ? total / rest : 0;
    if (rest_at >= 0 && !mil__mul_dim(rest, shape[rest_at], &rest)) return does_not_fit(call, n, asked);
    return rest == total ? MIL_OK : does_not_fit(call, n, asked);
}

typedef struct symbols_of {
    mil__types *types;
    mil_dim within;   /* every symbol must be one of this dim's */
    mil_dim sought;   /* or, second use: a symbol that is looked for */
    bool found, foreign;
} symbols_of;

static mil_dim look_for(void *ctx, mil_dim symbol) {
    symbols_of *s = ctx;
    if (symbol == s->sought) s->found = true;
    return symbol;
}

static bool has_symbol(mil__types *types, mil_dim dim, mil_dim symbol) {
    symbols_of s = {.types = types, .sought = symbol};
    if (dim < 0) mil__dim_substitute(types, dim, look_for, &s);
    return s.found;
}

static mil_dim look_whether_within(void *ctx, mil_dim symbol) {
    symbols_of *s = ctx;
    if (!has_symbol(s->types, s->within, symbol)) s->foreign = true;
    return symbol;
}

static bool has_only_symbols_of(mil__types *types, mil_dim dim, mil_dim within) {
    symbols_of s = {.types = types, .within = within};
    if (dim < 0) mil__dim_substitute(types, dim, look_whether_within, &s);
    return !s.foreign;
}

/* What size `at` must be, given the others; false where that can't be said in x's symbols. */
static bool solve(mil__call *call, mil_dim total, int n, const mil_dim *shape, int at, mil_dim *out) {
    if (!mil__dim_is_symbol(call->types, shape[at]) || has_symbol(call->types, total, shape[at])) return false;
    mil_dim others = 1;
    for (int i = 0; i < n; i++)
        if (i != at) others = mil__dim_mul(call->types, others, shape[i]);
    if (others == 0 || !has_only_symbols_of(call->types, others, total)) return false;
    if (others > 0 && total >= 0 && total % others != 0) return false;
    *out = mil__dim_floordiv(call->types, total, others);
    return true;
}

static mil_status fill_symbolic(mil__call *call, const mil_type *x, int n, mil_dim *shape, int rest_at) {
    mil_dim given[MIL_MAX_RANK], total = mil__dim_product(call->types, x->rank, x->shape);
    if (rest_at >= 0) shape[rest_at] = mil__dim_fresh(call->types);
    memcpy(given, shape, (size_t)n * sizeof *given);
    for (int i = 0; i < n; i++) solve(call, total, n, given, i, &shape[i]);
    return MIL_OK;
}

/* The sizes given, as dims; *rest_at is the axis of -1, or -1. */
static mil_status target_sizes(mil__call *call, int n, mil_dim *shape, int *rest_at, bool *all_numbers) {
    *rest_at = -1;
    *all_numbers = true;
    for (int i = 0; i < n; i++) {
        int64_t number;
        if (!mil__dim_is_number(call->types, shape[i], &number)) {
            *all_numbers = false;
        } else if (number < -1) {
            return mil__call_fail(call, MIL_EVALUE, "shape has %lld; a size, 0 or -1 is possible", (long long)number);
        } else if (number == -1) {
            if (*rest_at >= 0) return mil__call_fail(call, MIL_EVALUE, "shape has -1 more than once");
            *rest_at = i;
        }
    }
    return MIL_OK;
}

mil_status mil__infer_reshape(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK], length;
    int n, rest_at;
    bool known, all_numbers;
    MIL__TRY(mil__is_vector(call, "shape", &length));
    if (length < 0) return mil__call_tensor(call, x->dtype, 1, (mil_dim[]){mil__dim_variadic(call->types)});
    if (length > MIL_MAX_RANK)
        return mil__call_fail(call, MIL_EVALUE, "shape has %lld sizes; at most %d are possible", (long long)length,
                              MIL_MAX_RANK);
    MIL__TRY(mil__get_dims(call, "shape", MIL_MAX_RANK, shape, &n, &known));
    if (!known) {
        for (n = 0; n < length; n++) shape[n] = mil__dim_fresh(call->types);
        return mil__call_tensor(call, x->dtype, n, shape);
    }
    MIL__TRY(target_sizes(call, n, shape, &rest_at, &all_numbers));
    if (x->is_unranked) {
        for (int i = 0; i < n; i++)
            if (shape[i] == 0 || i == rest_at) shape[i] = mil__dim_fresh(call->types);
        return mil__call_tensor(call, x->dtype, n, shape);
    }
    MIL__TRY(copy_sizes(call, x, n, shape));
    bool is_static = all_numbers && mil__is_static(x);
    MIL__TRY((is_static ? fill_static : fill_symbolic)(call, x, n, shape, rest_at));
    return same_elements(call, n, shape);
}

/* ---- reshape_like ---- */

static mil_status scalar_of(mil__call *call, const char *name, int i, mil_dtype dtype, int64_t *out) {
    const mil__operand *item = &mil__args(call, name)->items[i];
    if (item->type->kind != MIL_TENSOR || item->type->dtype != dtype || item->type->rank != 0 || !item->data)
        return mil__call_fail(call, MIL_ETYPE, "%s takes const scalars of %s, but item %d is %s", name, mil_dtype_name(dtype), i,
                              MIL__TYPE_TEXT(call->types, item->type));
    *out = mil__load_i64(item->data, 0);
    return MIL_OK;
}

/* As Python's shape[begin:end]. */
static mil_status add_part(mil__call *call, int i, int *rank, mil_dim *shape) {
    const mil_type *type = mil__args(call, "ref_tensors")->items[i].type;
    int64_t begin, end, to_end;
    MIL__TRY(scalar_of(call, "begins", i, MIL_INT32, &begin));
    MIL__TRY(scalar_of(call, "ends", i, MIL_INT32, &end));
    MIL__TRY(scalar_of(call, "end_masks", i, MIL_BOOL, &to_end));
    if (type->kind != MIL_TENSOR) return mil__call_fail(call, MIL_ETYPE, "ref_tensors takes tensors, but item %d is %s", i, MIL__TYPE_TEXT(call->types, type));
    if (begin < 0) begin = begin < -type->rank ? 0 : begin + type->rank;
    if (end < 0) end += type->rank;
    if (to_end || end > type->rank) end = type->rank;
    for (; begin < end; begin++) {
        if (*rank == MIL_MAX_RANK) return mil__call_fail(call, MIL_EVALUE, "the result would have a rank above %d", MIL_MAX_RANK);
        if (type->shape[begin] < 0)
            return mil__call_fail(call, MIL_ETYPE, "the result's shape must be known, but item %d of ref_tensors is %s", i,
                                  MIL__TYPE_TEXT(call->types, type));
        shape[(*rank)++] = type->shape[begin];
    }
    return MIL_OK;
}

mil_status mil__infer_reshape_like(mil__call *call) {
    static const char *const lists[] = {"begins", "ends", "end_masks"};
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK];
    int rank = 0, n = mil__args(call, "ref_tensors")->n;
    for (size_t k = 0; k < MIL__COUNT(lists); k++)
        if (mil__args(call, lists[k])->n != n)
            return mil__call_fail(call, MIL_ETYPE, "ref_tensors has %d items, but %s %d", n, lists[k], mil__args(call, lists[k])->n);
    for (int i = 0; i < n; i++) MIL__TRY(add_part(call, i, &rank, shape));
    if (mil__is_static(x)) MIL__TRY(fill_static(call, x, rank, shape, -1));
    return same_elements(call, rank, shape);
}

/* ---- expand_dims, squeeze ---- */

mil_status mil__infer_expand_dims(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK], n_axes;
    int axes[MIL_MAX_RANK], n;
    bool is_new[MIL_MAX_RANK] = {false};
    MIL__TRY(mil__is_vector(call, "axes", &n_axes));
    if (x->rank + n_axes > MIL_MAX_RANK)
        return mil__call_fail(call, MIL_ETYPE, "the result would have rank %lld; at most %d is possible",
                              (long long)(x->rank + n_axes), MIL_MAX_RANK);
    MIL__TRY(mil__get_axis_list(call, "axes", x->rank + (int)n_axes, axes, &n));
    for (int i = 0; i < n; i++) is_new[axes[i]] = true;
    for (int i = 0, from = 0; i < x->rank + n; i++) shape[i] = is_new[i] ? 1 : x->shape[from++];
    return same_elements(call, x->rank + n, shape);
}

mil_status mil__infer_squeeze(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK];
    int axes[MIL_MAX_RANK], n, rank = 0;
    bool goes[MIL_MAX_RANK] = {false};
    bool all = !mil__has(call, "axes");
    MIL__TRY(mil__get_axis_list(call, "axes", x->rank, axes, &n));
    for (int i = 0; i < n; i++) {
        if (x->shape[axes[i]] != 1)
            return mil__call_fail(call, MIL_EVALUE, "axis %d of %s can't go: its extent is not 1", axes[i],
                                  MIL__ARG_TEXT(call, "x"));
        goes[axes[i]] = true;
    }
    for (int i = 0; i < x->rank; i++)
        if (!goes[i] && !(all && x->shape[i] == 1)) shape[rank++] = x->shape[i];
    return same_elements(call, rank, shape);
}

/* ---- transpose, reverse ---- */

static mil_status get_perm(mil__call *call, int rank, int *perm) {
    int n;
    MIL__TRY(mil__get_axis_list(call, "perm", rank, perm, &n));
    if (n == rank) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "perm takes each of the %d axes of %s once, but has %d", rank, MIL__ARG_TEXT(call, "x"), n);
}

mil_status mil__infer_transpose(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK];
    int perm[MIL_MAX_RANK];
    MIL__TRY(get_perm(call, x->rank, perm));
    for (int i = 0; i < x->rank; i++) shape[i] = x->shape[perm[i]];
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

mil_status mil__eval_transpose(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int perm[MIL_MAX_RANK];
    int64_t strides[MIL_MAX_RANK];
    MIL__TRY(get_perm(call, x->rank, perm));
    for (int i = 0; i < x->rank; i++) strides[i] = x->strides[perm[i]];
    mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, x->data, strides);
    return MIL_OK;
}

mil_status mil__infer_reverse(mil__call *call) {
    int axes[MIL_MAX_RANK], n;
    MIL__TRY(mil__get_axis_list(call, "axes", mil__arg(call, "x")->type->rank, axes, &n));
    return mil__infer_like_first(call);
}

mil_status mil__eval_reverse(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int axes[MIL_MAX_RANK], n;
    int64_t strides[MIL_MAX_RANK], at = 0;
    bool all = !mil__has(call, "axes");
    MIL__TRY(mil__get_axis_list(call, "axes", x->rank, axes, &n));
    memcpy(strides, x->strides, sizeof strides);
    for (int i = 0; i < (all ? x->rank : n); i++) {
        int axis = all ? i : axes[i];
        at += (x->shape[axis] - 1) * x->strides[axis];
        strides[axis] = -x->strides[axis];
    }
    if (mil__numel(x) == 0) return MIL_OK;
    const char *first = (const char *)x->data + at * (int64_t)mil__element_size(x->dtype);
    mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, first, strides);
    return MIL_OK;
}

/* ---- slice_by_index ---- */

/* One axis of a slice as it was asked for. */
typedef struct slice {
    int64_t begin, end, stride;
    bool has_begin, has_end;        /* is the number above known? */
    bool from_start, to_end, squeeze; /* the masks */
} slice;

static mil_status get_bounds(mil__call *call, const char *name, int rank, int64_t *out, bool *known) {
    mil_dim length;
    int n;
    MIL__TRY(mil__is_vector(call, name, &length));
    if (length >= 0 && length != rank) {
        return mil__call_fail(call, MIL_ETYPE, "%s takes %d values, an axis of %s each", MIL__ARG_TEXT(call, name), rank,
                              MIL__ARG_TEXT(call, "x"));
    }
    *known = mil__arg(call, name)->data != NULL;
    return *known ? mil__get_ints(call, name, MIL_MAX_RANK, out, &n) : MIL_OK;
}

static mil_status get_mask(mil__call *call, const char *name, int rank, bool *out) {
    mil_dim length = 0;
    int n;
    memset(out, 0, MIL_MAX_RANK * sizeof *out);
    if (!mil__has(call, name)) return MIL_OK;
    MIL__TRY(mil__is_vector(call, name, &length));
    if (length != rank)
        return mil__call_fail(call, MIL_ETYPE, "%s takes %d values, an axis of %s each", MIL__ARG_TEXT(call, name), rank,
                              MIL__ARG_TEXT(call, "x"));
    return mil__get_bools(call, name, MIL_MAX_RANK, out, &n);
}

static mil_status get_slices(mil__call *call, int rank, slice *out) {
    int64_t begin[MIL_MAX_RANK], end[MIL_MAX_RANK], stride[MIL_MAX_RANK];
    bool has_begin, has_end, has_stride = false, from_start[MIL_MAX_RANK], to_end[MIL_MAX_RANK], squeeze[MIL_MAX_RANK];
    MIL__TRY(get_bounds(call, "begin", rank, begin, &has_begin));
    MIL__TRY(get_bounds(call, "end", rank, end, &has_end));
    if (mil__has(call, "stride")) MIL__TRY(get_bounds(call, "stride", rank, stride, &has_stride));
    if (mil__has(call, "stride") && !has_stride)
        return mil__call_fail(call, MIL_EVALUE, "the value of %s must be known", MIL__ARG_TEXT(call, "stride"));
    MIL__TRY(get_mask(call, "begin_mask", rank, from_start));
    MIL__TRY(get_mask(call, "end_mask", rank, to_end));
    MIL__TRY(get_mask(call, "squeeze_mask", rank, squeeze));
    for (int i = 0; i < rank; i++) {
        out[i] = (slice){has_begin ? begin[i] : 0, has_end ? end[i] : 0, has_stride ? stride[i] : 1, has_begin, has_end,
                         from_start[i], to_end[i], squeeze[i]};
        if (out[i].stride == 0) return mil__call_fail(call, MIL_EVALUE, "stride of axis %d is 0", i);
    }
    return MIL_OK;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

/* The first element and the count of begin:end:stride over n elements, as NumPy has it; both bounds known. */
static int64_t numpy_count(const slice *s, int64_t n, int64_t *first) {
    int64_t low = s->stride > 0 ? 0 : -1, high = s->stride > 0 ? n : n - 1;
    int64_t from = s->stride > 0 ? low : high, to = s->stride > 0 ? high : low;
    if (!s->from_start) from = clamp(s->begin < 0 ? s->begin + n : s->begin, low, high);
    if (!s->to_end) to = clamp(s->end < 0 ? s->end + n : s->end, low, high);
    *first = from;
    int64_t span = s->stride > 0 ? to - from : from - to, step = s->stride > 0 ? s->stride : -s->stride;
    return span > 0 ? (span + step - 1) / step : 0;
}

/* The extent that begin and end alone give where that is 0 or 1; else -1. */
static int64_t count_of_bounds(const slice *s) {
    int64_t n = -1;
    if (!s->has_begin || !s->has_end || s->from_start || s->to_end) {
        bool one = s->has_begin && !s->from_start && s->to_end &&
                   ((s->begin == 0 && s->stride < 0) || (s->begin == -1 && s->stride > 0));
        return one ? 1 : -1;
    }
    if (s->begin >= 0 && s->end >= 0 && s->stride > 0) n = (s->end - s->begin + s->stride - 1) / s->stride;
    if (s->begin < 0 && s->end < 0 && s->stride < 0) n = (s->begin - s->end - s->stride - 1) / -s->stride;
    return n == 0 || n == 1 ? n : -1;
}

static mil_status outside(mil__call *call, int axis, const slice *s) {
    return mil__call_fail(call, MIL_EVALUE, "begin %lld, end %lld, stride %lld at axis %d lead outside of %s",
                          (long long)s->begin, (long long)s->end, (long long)s->stride, axis, MIL__ARG_TEXT(call, "x"));
}

static bool goes_backwards(const slice *s) {
    if (!s->has_begin || !s->has_end || s->from_start || s->to_end) return false;
    return (s->begin >= 0 && s->end >= 0 && s->stride > 0 && s->end < s->begin) ||
           (s->begin < 0 && s->end < 0 && s->stride < 0 && s->begin < s->end);
}

/* The extent of one axis of the result. */
static mil_status slice_extent(mil__call *call, int axis, const slice *s, mil_dim n, mil_dim *out) {
    int64_t first, of_bounds = count_of_bounds(s);
    if (goes_backwards(s)) return outside(call, axis, s);
    bool whole = s->from_start && s->to_end;
    if (n >= 0 && (whole || ((s->has_begin || s->from_start) && (s->has_end || s->to_end)))) {
        *out = numpy_count(s, n, &first);
        /* a single element must be there, and is enough; else end may not go before the first when walking back */
        if (of_bounds == 1 && *out != 1) return outside(call, axis, s);
        if (s->stride < 0 && !s->to_end && s->end < -n && of_bounds != 1) return outside(call, axis, s);
    } else if (whole && (s->stride == 1 || s->stride == -1)) {
        *out = n;
    } else if (of_bounds >= 0) {
        *out = of_bounds;
    } else {
        *out = n == 1 ? 1 : mil__dim_fresh(call->types);
    }
    return MIL_OK;
}

/* Where a squeezed axis is read; fails outside of the axis. */
static mil_status squeezed_index(mil__call *call, int axis, const slice *s, int64_t n, int64_t *out) {
    int64_t at = s->from_start ? 0 : s->begin;
    if (at >= -n && at < n) {
        *out = at < 0 ? at + n : at;
        return MIL_OK;
    }
    return mil__call_fail(call, MIL_EVALUE, "begin %lld at axis %d is outside of its %lld elements", (long long)at, axis,
                          (long long)n);
}

/* Symbols of a vector go through a slice with known bounds. */
static mil_status slice_symbols(mil__call *call, const slice *s) {
    const mil__operand *x = mil__arg(call, "x");
    int64_t first = 0, n;
    if (!x->sym || x->type->rank != 1 || x->type->shape[0] < 0 || !mil__is_static(call->out[0])) return MIL_OK;
    if (!(s->has_begin || s->from_start) || !(s->has_end || s->to_end || s->squeeze)) return MIL_OK;
    if (s->squeeze) {
        MIL__TRY(squeezed_index(call, 0, s, x->type->shape[0], &first));
        n = 1;
    } else {
        n = numpy_count(s, x->type->shape[0], &first);
    }
    mil_dim *sym = mil__arena_alloc(call->arena, ((size_t)n + 1) * sizeof *sym);
    if (!sym) return mil__nomem(call->err);
    for (int64_t i = 0; i < n; i++) sym[i] = x->sym[first + i * s->stride];
    call->out_sym[0] = sym;
    return MIL_OK;
}

/* The shape of what the slices take. */
static mil_status slices_shape(mil__call *call, const mil_type *x, slice s[MIL_MAX_RANK], int *rank, mil_dim *shape) {
    int64_t at;
    *rank = 0;
    MIL__TRY(get_slices(call, x->rank, s));
    for (int i = 0; i < x->rank; i++) {
        if (!s[i].squeeze) MIL__TRY(slice_extent(call, i, &s[i], x->shape[i], &shape[(*rank)++]));
        else if (x->shape[i] >= 0 && (s[i].has_begin || s[i].from_start))
            MIL__TRY(squeezed_index(call, i, &s[i], x->shape[i], &at));
    }
    return MIL_OK;
}

mil_status mil__infer_slice_by_index(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    slice s[MIL_MAX_RANK] = {{0}};
    mil_dim shape[MIL_MAX_RANK];
    int rank;
    MIL__TRY(slices_shape(call, x, s, &rank, shape));
    MIL__TRY(mil__call_tensor(call, x->dtype, rank, shape));
    return slice_symbols(call, &s[0]);
}

/* Bounds that the run gave take another part than was inferred, or than the update fills. */
static mil_status wrong_count(mil__call *call, int axis, const slice *s, int64_t count, int64_t wanted) {
    return mil__call_fail(call, MIL_EVALUE, "begin %lld, end %lld, stride %lld at axis %d of %s take %lld, but %lld are wanted", (long long)s->begin,
                          (long long)s->end, (long long)s->stride, axis, MIL__ARG_TEXT(call, "x"), (long long)(count > 0 ? count : 0),
                          (long long)wanted);
}

/* The part of `whole` that the slices take: its first element, and strides for the axes of `part`. */
static mil_status find_part(mil__call *call, const mil_tensor *whole, const mil_tensor *part, char **at, int64_t *strides) {
    slice s[MIL_MAX_RANK];
    int64_t offset = 0, first;
    int rank = 0;
    MIL__TRY(get_slices(call, whole->rank, s));
    for (int i = 0; i < whole->rank; i++) {
        if (s[i].squeeze) {
            MIL__TRY(squeezed_index(call, i, &s[i], whole->shape[i], &first));
        } else {
            int64_t count = numpy_count(&s[i], whole->shape[i], &first);
            if (count != part->shape[rank]) return wrong_count(call, i, &s[i], count, part->shape[rank]);
            strides[rank++] = whole->strides[i] * s[i].stride;
        }
        offset += first * whole->strides[i];
    }
    *at = (char *)whole->data + offset * (int64_t)mil__element_size(whole->dtype);
    return MIL_OK;
}

mil_status mil__eval_slice_by_index(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t strides[MIL_MAX_RANK];
    char *from;
    MIL__TRY(find_part(call, x, out, &from, strides));
    if (mil__numel(out)) mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, from, strides);
    return MIL_OK;
}

/* ---- slice_update ---- */

mil_status mil__infer_slice_update(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type, *update = mil__arg(call, "update")->type;
    slice s[MIL_MAX_RANK] = {{0}};
    mil_dim shape[MIL_MAX_RANK];
    int rank;
    MIL__TRY(slices_shape(call, x, s, &rank, shape));
    bool fits = update->rank == rank && rank > 0;
    for (int i = 0; fits && i < rank; i++) fits = shape[i] < 0 || update->shape[i] < 0 || shape[i] == update->shape[i];
    if (!fits)
        return mil__call_fail(call, MIL_ETYPE, "%s is not of the shape of the part, %s", MIL__ARG_TEXT(call, "update"),
                              MIL__TYPE_TEXT(call->types, mil__tensor_type(call->types, x->dtype, rank, shape)));
    return mil__infer_like_first(call);
}

mil_status mil__eval_slice_update(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data, *update = mil__arg(call, "update")->data;
    mil_tensor *out = call->result[0];
    int64_t strides[MIL_MAX_RANK];
    char *to;
    MIL__TRY(find_part(call, out, update, &to, strides));
    mil__gather_contiguous(x, out->data);
    if (mil__numel(update)) mil__move(x->dtype, update->rank, update->shape, to, strides, update->data, update->strides);
    return MIL_OK;
}

/* ---- slice_by_size ---- */

static mil_status outside_box(mil__call *call, int axis, int64_t begin, int64_t size) {
    return mil__call_fail(call, MIL_EVALUE, "begin %lld, size %lld at axis %d lead outside of %s", (long long)begin,
                          (long long)size, axis, MIL__ARG_TEXT(call, "x"));
}

/* One axis: begin where it is known, size a number or symbol. */
static mil_status box_extent(mil__call *call, int axis, mil_dim n, bool has_begin, mil_dim begin, mil_dim size, mil_dim *out) {
    int64_t from = 0, count = 0;
    bool from_known = has_begin && mil__dim_is_number(call->types, begin, &from);
    bool count_known = mil__dim_is_number(call->types, size, &count);
    if (count_known && count < -1) return outside_box(call, axis, from, count);
    if (n >= 0 && from_known && (from < -n || from > n)) return outside_box(call, axis, from, count);
    if (count_known && count == -1) {
        if (from_known && from < 0)
            return mil__call_fail(call, MIL_EVALUE, "begin %lld at axis %d counts from the end, so size can't be -1 there",
                                  (long long)from, axis);
        *out = has_begin ? mil__dim_sub(call->types, n, begin) : mil__dim_fresh(call->types);
        return MIL_OK;
    }
    int64_t room = n - (from_known ? from < 0 ? from + n : from : 0);
    if (n >= 0 && count_known && count > room) return outside_box(call, axis, from, count);
    *out = size;
    return MIL_OK;
}

mil_status mil__infer_slice_by_size(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x");
    mil_dim begin[MIL_MAX_RANK], size[MIL_MAX_RANK], shape[MIL_MAX_RANK];
    int64_t ignored[MIL_MAX_RANK];
    int n;
    bool has_begin, has_size, known;
    MIL__TRY(get_bounds(call, "begin", x->type->rank, ignored, &known));
    MIL__TRY(get_bounds(call, "size", x->type->rank, ignored, &known));
    MIL__TRY(mil__get_dims(call, "begin", MIL_MAX_RANK, begin, &n, &has_begin));
    MIL__TRY(mil__get_dims(call, "size", MIL_MAX_RANK, size, &n, &has_size));
    for (int i = 0; i < x->type->rank; i++) {
        if (!has_size) shape[i] = mil__dim_fresh(call->types);
        else MIL__TRY(box_extent(call, i, x->type->shape[i], has_begin, has_begin ? begin[i] : 0, size[i], &shape[i]));
    }
    MIL__TRY(mil__call_tensor(call, x->type->dtype, x->type->rank, shape));
    int64_t from;
    if (x->sym && x->type->rank == 1 && mil__is_static(call->out[0]) && has_begin &&
        mil__dim_is_number(call->types, begin[0], &from))
        call->out_sym[0] = x->sym + (from < 0 ? from + x->type->shape[0] : from);
    return MIL_OK;
}

mil_status mil__eval_slice_by_size(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t begin[MIL_MAX_RANK], at = 0;
    bool known;
    MIL__TRY(get_bounds(call, "begin", x->rank, begin, &known));
    for (int i = 0; i < x->rank; i++) {
        int64_t from = begin[i] < 0 ? begin[i] + x->shape[i] : begin[i];
        if (from < 0 || from + out->shape[i] > x->shape[i]) return outside_box(call, i, begin[i], out->shape[i]);
        at += from * x->strides[i];
    }
    if (mil__numel(out) == 0) return MIL_OK;
    const char *first = (const char *)x->data + at * (int64_t)mil__element_size(x->dtype);
    mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, first, x->strides);
    return MIL_OK;
}
