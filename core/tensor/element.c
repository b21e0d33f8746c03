/* SPDX-License-Identifier: MIT */
/* The elements of tensors: walking them, copying, converting, reading, writing, filling, summing up. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tensor/tensor.h"

/* ---- walking ----
 * Axes that lie in one run for every tensor are merged, axes of extent 1 left out: a copy between contiguous tensors is
 * one run, whatever their rank. */

typedef struct loops {
    int n; /* axes left; the last is the run */
    int64_t size[MIL_MAX_RANK];
    int64_t step[MIL_MAX_RANK][MIL__WALK_MAX];
} loops;

static bool merges(const loops *l, int axis, int n_tensors, const int64_t *const strides[]) {
    if (l->n == 0) return false;
    for (int t = 0; t < n_tensors; t++) {
        if (l->step[l->n - 1][t] != strides[t][axis] * l->size[l->n]) return false;
    }
    return true;
}

static loops plan_loops(int rank, const int64_t *shape, int n_tensors, const int64_t *const strides[]) {
    loops l = {0};
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] == 1) continue;
        l.size[l.n] = shape[axis]; /* for merges, which compares with the axis before */
        if (merges(&l, axis, n_tensors, strides)) l.size[l.n - 1] *= shape[axis];
        else l.size[l.n++] = shape[axis];
        for (int t = 0; t < n_tensors; t++) l.step[l.n - 1][t] = strides[t][axis];
    }
    if (l.n == 0) l.size[l.n++] = 1; /* one element */
    return l;
}

/* The next run's offsets; false after the last. */
static bool advance(const loops *l, int n_tensors, int64_t *index, int64_t *offsets) {
    for (int axis = l->n - 2; axis >= 0; axis--) {
        bool wraps = ++index[axis] == l->size[axis];
        if (wraps) index[axis] = 0;
        for (int t = 0; t < n_tensors; t++) offsets[t] += l->step[axis][t] * (wraps ? 1 - l->size[axis] : 1);
        if (!wraps) return true;
    }
    return false;
}

void mil__walk(int rank, const int64_t *shape, int n_tensors, const int64_t *const strides[],
               void (*fn)(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps), void *ctx) {
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 0) return;
    }
    loops l = plan_loops(rank, shape, n_tensors, strides);
    int64_t index[MIL_MAX_RANK] = {0}, offsets[MIL__WALK_MAX] = {0};
    do fn(ctx, l.size[l.n - 1], offsets, l.step[l.n - 1]);
    while (advance(&l, n_tensors, index, offsets));
}

/* ---- copying ---- */

static bool is_packed(mil_dtype dtype) {
    int bits = mil_dtype_bits(dtype);
    return bits > 0 && bits < 8;
}

static int64_t size_of(mil_dtype dtype) { return mil_dtype_bits(dtype) / 8; }

typedef struct copying {
    mil_dtype dst_dtype, src_dtype;
    char *dst;
    const char *src;
} copying;

static void copy_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    copying *c = ctx;
    mil__convert(c->dst_dtype, c->dst + offsets[0] * size_of(c->dst_dtype), steps[0], c->src_dtype,
                 c->src + offsets[1] * size_of(c->src_dtype), steps[1], n);
}

/* A transposition reads one element of a cache line, and the next of that line a whole row later. So the last axis is cut
 * into tiles that stay in the cache while the axis along which src is contiguous goes by:
 *
 *     axes  [ ..., fast, ..., last ]   become   [ ..., last / TILE, fast, TILE ]   and the rest  [ ..., fast, last % TILE ]
 *
 * False, with nothing done, where that is not the case. */
enum { TILE = 32 };

static bool copy_transposed(const mil_tensor *dst, const mil_tensor *src, copying *c) {
    int last = dst->rank - 1, fast = -1, n = 0;
    for (int i = 0; i < last; i++) {
        if (src->strides[i] == 1 && src->shape[i] >= TILE) fast = i;
    }
    if (fast < 0 || dst->rank == MIL_MAX_RANK || src->shape[last] < TILE || src->strides[last] == 1) return false;
    int64_t shape[MIL_MAX_RANK], to[MIL_MAX_RANK], from[MIL_MAX_RANK], tiles = dst->shape[last] / TILE;
    const int64_t *strides[] = {to, from};
    for (int i = 0; i < last; i++) {
        if (i != fast) shape[n] = dst->shape[i], to[n] = dst->strides[i], from[n++] = src->strides[i];
    }
    shape[n] = tiles, to[n] = dst->strides[last] * TILE, from[n++] = src->strides[last] * TILE;
    shape[n] = dst->shape[fast], to[n] = dst->strides[fast], from[n++] = src->strides[fast];
    shape[n] = TILE, to[n] = dst->strides[last], from[n++] = src->strides[last];
    mil__walk(n, shape, 2, strides, copy_run, c);
    shape[n - 3] = 1;
    shape[n - 1] = dst->shape[last] % TILE;
    c->dst += tiles * TILE * dst->strides[last] * size_of(c->dst_dtype);
    c->src += tiles * TILE * src->strides[last] * size_of(c->src_dtype);
    mil__walk(n, shape, 2, strides, copy_run, c);
    return true;
}

/* Packed elements can be reached one at a time only, where the other side is strided. */
static void copy_packed_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    mil_tensor *const *t = ctx;
    for (int64_t i = 0; i < n; i++)
        mil__store_i64(t[0], offsets[0] + i * steps[0], mil__load_i64(t[1], offsets[1] + i * steps[1]));
}

static void copy_packed_floats_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    mil_tensor *const *t = ctx;
    for (int64_t i = 0; i < n; i++)
        mil__store_f64(t[0], offsets[0] + i * steps[0], mil__load_f64(t[1], offsets[1] + i * steps[1]));
}

/* Shapes are equal, neither holds strings. */
static void copy_elements(mil_tensor *dst, const mil_tensor *src) {
    bool packed = is_packed(dst->dtype) || is_packed(src->dtype);
    const int64_t *strides[] = {dst->strides, src->strides};
    if (packed && !(mil__is_contiguous(dst) && mil__is_contiguous(src))) {
        const mil_tensor *both[] = {dst, src};
        bool floats = mil__dtype_is_float(dst->dtype) || mil__dtype_is_float(src->dtype);
        mil__walk(dst->rank, dst->shape, 2, strides, floats ? copy_packed_floats_run : copy_packed_run, both);
    } else if (packed) {
        mil__convert(dst->dtype, dst->data, 1, src->dtype, src->data, 1, mil__numel(src));
    } else {
        copying c = {dst->dtype, src->dtype, dst->data, src->data};
        if (!copy_transposed(dst, src, &c)) mil__walk(dst->rank, dst->shape, 2, strides, copy_run, &c);
    }
}

/* The addresses from the first to behind the last byte of a tensor that is not empty. */
static void address_range(const mil_tensor *tensor, uintptr_t *begin, uintptr_t *end) {
    *begin = *end = (uintptr_t)tensor->data;
    if (is_packed(tensor->dtype)) {
        *end += mil_tensor_bytes(tensor);
        return;
    }
    for (int i = 0; i < tensor->rank; i++) {
        int64_t far = (tensor->shape[i] - 1) * tensor->strides[i] * size_of(tensor->dtype);
        *(far < 0 ? begin : end) += (uintptr_t)far;
    }
    *end += (uintptr_t)size_of(tensor->dtype);
}

static int64_t gcd(int64_t a, int64_t b) {
    if (a < 0) a = -a;
    while (b) {
        int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* Can they have a byte in common? True also in some cases where they do not: between elements that lie in each other's
 * gaps, only distances modulo what divides all strides are looked at, which is enough for columns of one matrix. */
static bool overlaps(const mil_tensor *a, const mil_tensor *b) {
    uintptr_t a_begin, a_end, b_begin, b_end;
    if (mil__numel(a) == 0 || mil__numel(b) == 0) return false;
    address_range(a, &a_begin, &a_end);
    address_range(b, &b_begin, &b_end);
    if (a_end <= b_begin || b_end <= a_begin) return false;
    if (is_packed(a->dtype) || is_packed(b->dtype)) return true;
    int64_t step = 0, a_size = size_of(a->dtype), b_size = size_of(b->dtype);
    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] != 1) step = gcd(gcd(step, a->strides[i] * a_size), b->strides[i] * b_size);
    }
    if (step < 0) step = -step;
    if (step == 0) return true;
    int64_t distance = (int64_t)((uintptr_t)b->data - (uintptr_t)a->data) % step; /* from an element of a to one of b */
    if (distance < 0) distance += step;
    return distance < a_size || step - distance < b_size;
}

static bool same_shape(const mil_tensor *a, const mil_tensor *b) {
    return a->rank == b->rank && (a->rank == 0 || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0);
}

mil_status mil__check_writable(const char *what, const mil_tensor *tensor, mil_error *err) {
    if (tensor->dtype == MIL_STRING)
        return mil__fail(err, MIL_ETYPE, "%s: %s cannot be written; strings are made whole", what, MIL__TENSOR_TEXT(tensor));
    const char *why_not = tensor->buffer ? mil__buffer_why_not(tensor->buffer) : NULL;
    if (!why_not) return MIL_OK;
    return mil__fail(err, MIL_ESTATE, "%s: %s cannot be written: %s", what, MIL__TENSOR_TEXT(tensor), why_not);
}

mil_status mil_tensor_copy(mil_tensor *dst, const mil_tensor *src, mil_error *err) {
    MIL__TRY(mil__check_writable("copy", dst, err));
    if (src->dtype == MIL_STRING)
        return mil__fail(err, MIL_ETYPE, "copy: %s takes numbers, but strings were given", MIL__TENSOR_TEXT(dst));
    if (!same_shape(dst, src))
        return mil__fail(err, MIL_ETYPE, "copy: %s takes a tensor of its own shape, but %s was given", MIL__TENSOR_TEXT(dst),
                         MIL__TENSOR_TEXT(src));
    if (overlaps(dst, src))
        return mil__fail(err, MIL_EINVAL, "copy: %s and %s share memory", MIL__TENSOR_TEXT(dst), MIL__TENSOR_TEXT(src));
    MIL__TRY(mil__access_both("copy", dst, true, src, err));
    copy_elements(dst, src);
    mil__access_end(dst);
    mil__access_end(src);
    return MIL_OK;
}

static mil_status copy_strings(const mil_tensor *tensor, mil_tensor **out, mil_error *err) {
    size_t n = (size_t)mil__numel(tensor);
    const char **strings = mil__calloc(n, sizeof *strings);
    size_t *lengths = mil__calloc(n, sizeof *lengths);
    mil_status status;
    if (strings && lengths) {
        for (size_t i = 0; i < n; i++) strings[i] = mil_tensor_string(tensor, (int64_t)i, &lengths[i]);
        status = mil_tensor_strings(tensor->rank, n, strings, lengths, out, err);
    } else {
        status = mil__nomem(err);
    }
    mil__free(strings);
    mil__free(lengths);
    return status;
}

mil_status mil_tensor_convert(const mil_tensor *tensor, mil_dtype dtype, mil_tensor **out, mil_error *err) {
    if (tensor->dtype == MIL_STRING && dtype == MIL_STRING) return copy_strings(tensor, out, err);
    if (tensor->dtype == MIL_STRING || dtype == MIL_STRING)
        return mil__fail(err, MIL_ETYPE, "convert: %s cannot become %s", MIL__TENSOR_TEXT(tensor), mil_dtype_name(dtype));
    mil_tensor *fresh;
    MIL__TRY((is_packed(dtype) ? mil_tensor_new : mil__tensor_raw)(dtype, tensor->rank, tensor->shape, &fresh, err));
    mil_status status = mil__access("convert", tensor, false, err);
    if (status != MIL_OK) {
        mil_tensor_free(fresh);
        return status;
    }
    copy_elements(fresh, tensor);
    mil__access_end(tensor);
    *out = fresh;
    return MIL_OK;
}

/* ---- as contiguous doubles and int64s ---- */

static void read_as(const mil_tensor *src, mil_dtype dtype, void *dst) {
    mil_tensor row;
    mil__tensor_init(&row, dtype, src->rank, src->shape, dst);
    copy_elements(&row, src);
}

static void write_as(mil_tensor *dst, mil_dtype dtype, const void *src) {
    mil_tensor row;
    mil__tensor_init(&row, dtype, dst->rank, dst->shape, (void *)src);
    copy_elements(dst, &row);
}

void mil__read_f64(const mil_tensor *src, double *dst) { read_as(src, MIL_FP64, dst); }
void mil__read_i64(const mil_tensor *src, int64_t *dst) { read_as(src, MIL_INT64, dst); }
void mil__write_f64(mil_tensor *dst, const double *src) { write_as(dst, MIL_FP64, src); }
void mil__write_i64(mil_tensor *dst, const int64_t *src) { write_as(dst, MIL_INT64, src); }

/* ---- one element ---- */

static mil_status offset_of(const char *what, const mil_tensor *tensor, const int64_t *index, int64_t *out, mil_error *err) {
    int64_t offset = 0;
    if (tensor->dtype == MIL_STRING)
        return mil__fail(err, MIL_ETYPE, "%s: %s has strings, not numbers", what, MIL__TENSOR_TEXT(tensor));
    for (int i = 0; i < tensor->rank; i++) {
        if (index[i] < 0 || index[i] >= tensor->shape[i])
            return mil__fail(err, MIL_EVALUE, "%s: index %" PRId64 " does not lie in axis %d of %s", what, index[i], i,
                             MIL__TENSOR_TEXT(tensor));
        offset += index[i] * tensor->strides[i];
    }
    *out = offset;
    return MIL_OK;
}

mil_status mil_tensor_get(const mil_tensor *tensor, const int64_t *index, double *out, mil_error *err) {
    int64_t offset;
    MIL__TRY(offset_of("get", tensor, index, &offset, err));
    MIL__TRY(mil__access("get", tensor, false, err));
    *out = mil__load_f64(tensor, offset);
    mil__access_end(tensor);
    return MIL_OK;
}

mil_status mil_tensor_get_int(const mil_tensor *tensor, const int64_t *index, int64_t *out, mil_error *err) {
    int64_t offset;
    MIL__TRY(offset_of("get", tensor, index, &offset, err));
    if (mil__dtype_is_float(tensor->dtype))
        return mil__fail(err, MIL_ETYPE, "get: %s has no integers", MIL__TENSOR_TEXT(tensor));
    MIL__TRY(mil__access("get", tensor, false, err));
    bool is_large = tensor->dtype == MIL_UINT64 && ((const uint64_t *)tensor->data)[offset] > INT64_MAX;
    int64_t value = mil__load_i64(tensor, offset);
    uint64_t whole = is_large ? ((const uint64_t *)tensor->data)[offset] : 0;
    mil__access_end(tensor);
    if (is_large) return mil__fail(err, MIL_EVALUE, "get: %" PRIu64 " of %s does not fit int64", whole, MIL__TENSOR_TEXT(tensor));
    *out = value;
    return MIL_OK;
}

mil_status mil_tensor_set(mil_tensor *tensor, const int64_t *index, double value, mil_error *err) {
    int64_t offset;
    MIL__TRY(mil__check_writable("set", tensor, err));
    MIL__TRY(offset_of("set", tensor, index, &offset, err));
    MIL__TRY(mil__access("set", tensor, true, err));
    mil__store_f64(tensor, offset, value);
    mil__access_end(tensor);
    return MIL_OK;
}

mil_status mil_tensor_set_int(mil_tensor *tensor, const int64_t *index, int64_t value, mil_error *err) {
    int64_t offset;
    MIL__TRY(mil__check_writable("set", tensor, err));
    MIL__TRY(offset_of("set", tensor, index, &offset, err));
    MIL__TRY(mil__access("set", tensor, true, err));
    mil__store_i64(tensor, offset, value);
    mil__access_end(tensor);
    return MIL_OK;
}

mil_status mil_tensor_fill(mil_tensor *tensor, double value, mil_error *err) {
    MIL__TRY(mil__check_writable("fill", tensor, err));
    MIL__TRY(mil__access("fill", tensor, true, err));
    mil_tensor all; /* one double, seen with the tensor's shape */
    mil__tensor_init(&all, MIL_FP64, tensor->rank, tensor->shape, &value);
    for (int i = 0; i < all.rank; i++) all.strides[i] = 0;
    copy_elements(tensor, &all);
    mil__access_end(tensor);
    return MIL_OK;
}

/* ---- statistics ---- */

typedef struct summing {
    const mil_tensor *tensor;
    mil_tensor_stats stats;
    double sum;
    int64_t n;
} summing;

static void sum_block(summing *s, const double *values, int64_t n) {
    double sum = 0; /* a sum a block, so that rounding errors do not grow with the tensor */
    for (int64_t i = 0; i < n; i++) {
        double v = values[i];
        if (isnan(v)) {
            s->stats.n_nan++;
            continue;
        }
        s->stats.n_inf += isinf(v) != 0;
        if (s->n++ == 0) s->stats.min = s->stats.max = v;
        if (v < s->stats.min) s->stats.min = v;
        if (v > s->stats.max) s->stats.max = v;
        sum += v;
    }
    s->sum += sum;
}

static void sum_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    summing *s = ctx;
    double block[256];
    for (int64_t at = 0; at < n; at += 256) {
        int64_t count = n - at < 256 ? n - at : 256, offset = offsets[0] + at * steps[0];
        if (is_packed(s->tensor->dtype)) {
            for (int64_t i = 0; i < count; i++) block[i] = mil__load_f64(s->tensor, offset + i * steps[0]);
        } else {
            const char *from = (const char *)s->tensor->data + offset * size_of(s->tensor->dtype);
            mil__convert(MIL_FP64, block, 1, s->tensor->dtype, from, steps[0], count);
        }
        sum_block(s, block, count);
    }
}

void mil_tensor_statistics(const mil_tensor *tensor, mil_tensor_stats *out) {
    summing s = {.tensor = tensor, .stats = {.min = NAN, .max = NAN, .mean = NAN}};
    const int64_t *strides[] = {tensor->strides};
    if (tensor->dtype != MIL_STRING && mil__access("statistics", tensor, false, NULL) == MIL_OK) {
        mil__walk(tensor->rank, tensor->shape, 1, strides, sum_run, &s);
        mil__access_end(tensor);
    }
    if (s.n) s.stats.mean = isnan(s.sum) ? NAN : s.sum / (double)s.n; /* inf - inf has a sign of its own */
    *out = s.stats;
}
