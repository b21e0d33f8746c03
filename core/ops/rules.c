/* SPDX-License-Identifier: MIT */
/* Shape rules that families share. See rules.h. */
#include "ops/rules.h"

/* One axis of a broadcast; false where two sizes clash. */
static bool broadcast_dim(mil__types *types, mil_dim a, mil_dim b, mil_dim *out) {
    if (a == b || b == 1) {
        *out = a;
    } else if (a == 1) {
        *out = b;
    } else if (a >= 0 && b >= 0) {
        return false;
    } else if (a >= 0 || b >= 0) {
        *out = a >= 0 ? a : b; /* the run checks that the other is that, or 1 */
    } else {
        *out = mil__dim_fresh(types);
    }
    return true;
}

static bool is_unranked(const mil__types *types, int rank, const mil_dim *shape) {
    return rank == 1 && shape[0] < 0 && mil__dim_is_variadic(types, shape[0]);
}

/* Of unknown rank, too, then; of the same shape where the other is that, or a scalar. */
static bool broadcast_unranked(mil__types *types, int ra, const mil_dim *a, int rb, const mil_dim *b, mil_dim *out) {
    bool is_a = is_unranked(types, ra, a), is_b = is_unranked(types, rb, b);
    if (is_a && (rb == 0 || b[0] == a[0])) *out = a[0];
    else if (is_b && ra == 0) *out = b[0];
    else if (is_a || is_b) *out = mil__dim_variadic(types);
    return is_a || is_b;
}

bool mil__broadcast_dims(mil__types *types, int ra, const mil_dim *a, int rb, const mil_dim *b, int *rank,
                         mil_dim *out) {
    if ((ra == 1 || rb == 1) && broadcast_unranked(types, ra, a, rb, b, out)) {
        *rank = 1;
        return true;
    }
    int r = ra > rb ? ra : rb;
    for (int i = 0; i < r; i++) {
        mil_dim one = i < r - ra ? 1 : a[i - (r - ra)], two = i < r - rb ? 1 : b[i - (r - rb)];
        if (!broadcast_dim(types, one, two, &out[i])) return false;
    }
    *rank = r;
    return true;
}

mil_status mil__broadcast(mil__call *call, const char *a_name, const char *b_name, int *rank, mil_dim *out) {
    const mil_type *a = mil__arg(call, a_name)->type, *b = mil__arg(call, b_name)->type;
    if (mil__broadcast_dims(call->types, a->rank, a->shape, b->rank, b->shape, rank, out)) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s and %s do not broadcast", MIL__ARG_TEXT(call, a_name),
                          MIL__ARG_TEXT(call, b_name));
}

void mil__broadcast_strides(const mil_tensor *tensor, int rank, int64_t *strides) {
    int lead = rank - tensor->rank;
    for (int i = 0; i < rank; i++)
        strides[i] = i < lead || tensor->shape[i - lead] == 1 ? 0 : tensor->strides[i - lead];
}

mil_status mil__axis(mil__call *call, const char *param, int64_t axis, int rank, int *out) {
    if (rank == 0)
        return mil__call_fail(call, MIL_EVALUE, "%s = %lld is out of range: a scalar has no axes", param, (long long)axis);
    if (axis < -rank || axis >= rank) {
        return mil__call_fail(call, MIL_EVALUE, "%s = %lld is out of range for rank %d (%d to %d)", param,
                              (long long)axis, rank, -rank, rank - 1);
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return MIL_OK;
}

mil_status mil__index_dtype_fits(mil__call *call, int axis, mil_dtype dtype) {
    mil_dim extent = mil__dim(mil__arg(call, "x"), axis);
    if (extent <= 0 || extent - 1 <= mil__dtype(dtype)->max) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "indices of axis %d of %s go up to %lld, and %s to %lld", axis, MIL__ARG_TEXT(call, "x"),
                          (long long)extent - 1, mil_dtype_name(dtype), (long long)mil__dtype(dtype)->max);
}

/* ---- vectors of integers ---- */

mil_status mil__is_vector(mil__call *call, const char *name, mil_dim *length) {
    const mil_type *type = mil__arg(call, name)->type;
    if (type->rank != 1)
        return mil__call_fail(call, MIL_ETYPE, "%s takes a vector of numbers, but was given %s", name,
                              MIL__TYPE_TEXT(call->types, type));
    *length = type->shape[0];
    return MIL_OK;
}

mil_status mil__get_vector(mil__call *call, const char *name, int max, int64_t *out, int *n) {
    mil_dim length;
    if (mil__has(call, name)) MIL__TRY(mil__is_vector(call, name, &length));
    return mil__get_ints(call, name, max, out, n);
}

mil_status mil__get_axis_list(mil__call *call, const char *name, int rank, int *out, int *n) {
    int64_t axes[MIL_MAX_RANK];
    bool seen[MIL_MAX_RANK] = {false};
    MIL__TRY(mil__get_vector(call, name, MIL_MAX_RANK, axes, n));
    for (int i = 0; i < *n; i++) {
        MIL__TRY(mil__axis(call, name, axes[i], rank, &out[i]));
        if (seen[out[i]]) return mil__call_fail(call, MIL_EVALUE, "%s names axis %d twice", name, out[i]);
        seen[out[i]] = true;
    }
    return MIL_OK;
}

mil_status mil__infer_of_shape(mil__call *call, mil_dtype dtype) {
    mil_dim shape[MIL_MAX_RANK], length;
    int n;
    bool known;
    MIL__TRY(mil__is_vector(call, "shape", &length));
    if (length < 0) return mil__call_tensor(call, dtype, 1, (mil_dim[]){mil__dim_variadic(call->types)});
    if (length > MIL_MAX_RANK)
        return mil__call_fail(call, MIL_EVALUE, "shape has %lld sizes; at most %d are possible", (long long)length, MIL_MAX_RANK);
    MIL__TRY(mil__get_dims(call, "shape", MIL_MAX_RANK, shape, &n, &known));
    for (int i = 0; i < length; i++) {
        int64_t number;
        if (!known) shape[i] = mil__dim_fresh(call->types);
        else if (mil__dim_is_number(call->types, shape[i], &number) && number < 0)
            return mil__call_fail(call, MIL_EVALUE, "shape has %lld; only 0 and more is possible", (long long)number);
    }
    return mil__call_tensor(call, dtype, (int)length, shape);
}

const mil_dim *mil__symbols(mil__call *call, const mil__operand *operand, bool fresh) {
    const mil_type *type = operand->type;
    int64_t n, values[MIL__MAX_SYM];
    if (type->kind != MIL_TENSOR || type->dtype != MIL_INT32 || !mil__is_static(type)) return NULL;
    if (!mil__shape_numel(type->rank, type->shape, &n) || n > MIL__MAX_SYM) return NULL;
    if (!operand->data && operand->sym) return operand->sym;
    if (!operand->data && !fresh) return NULL;
    mil_dim *out = mil__arena_alloc(call->arena, ((size_t)n + 1) * sizeof *out);
    if (!out) return NULL;
    if (operand->data) mil__read_i64(operand->data, values);
    for (int64_t i = 0; i < n; i++)
        out[i] = operand->data ? mil__dim_number(call->types, values[i]) : mil__dim_fresh(call->types);
    return out;
}

/* ---- moving elements ---- */

enum { FILL_AT_ONCE = 1 << 15 }; /* what is copied stays in the cache */

/* Doubling what is filled already. */
void mil__fill(void *dst, const void *element, size_t size, size_t total) {
    size_t done = size < total ? size : total;
    if (done) memcpy(dst, element, done);
    while (done < total) {
        size_t more = done < total - done ? done : total - done;
        if (more > FILL_AT_ONCE) more = FILL_AT_ONCE;
        memcpy((char *)dst + done, dst, more);
        done += more;
    }
}

#define COPY_LINE(type)                                                                                               \
    do {                                                                                                              \
        const type *from = src;                                                                                       \
        type *to = dst;                                                                                               \
        for (int64_t i = 0; i < (int64_t)n; i++) to[i * dst_step] = from[i * src_step];                               \
    } while (0)

/* Backwards, in blocks that compilers turn into vectors. */
#define COPY_BACKWARDS(type)                                                                                          \
    do {                                                                                                              \
        const type *from = src;                                                                                       \
        type *to = dst, block[16], turned[16];                                                                        \
        size_t i = 0;                                                                                                 \
        for (; i + 16 <= n; i += 16) {                                                                                \
            memcpy(block, from - i - 15, sizeof block);                                                               \
            for (int k = 0; k < 16; k++) turned[k] = block[15 - k];                                                   \
            memcpy(to + i, turned, sizeof turned);                                                                    \
        }                                                                                                             \
        for (; i < n; i++) to[i] = from[-(ptrdiff_t)i];                                                               \
    } while (0)

static void copy_backwards(void *dst, const void *src, size_t n, size_t size) {
    if (size == 4) COPY_BACKWARDS(uint32_t);
    else if (size == 2) COPY_BACKWARDS(uint16_t);
    else if (size == 1) COPY_BACKWARDS(uint8_t);
    else if (size == 8) COPY_BACKWARDS(uint64_t);
}

void mil__copy_line(void *dst, int64_t dst_step, const void *src, int64_t src_step, size_t n, size_t size) {
    if (src_step == 1 && dst_step == 1) memcpy(dst, src, n * size);
    else if (src_step == -1 && dst_step == 1) copy_backwards(dst, src, n, size);
    else if (size == 4) COPY_LINE(uint32_t);
    else if (size == 2) COPY_LINE(uint16_t);
    else if (size == 1) COPY_LINE(uint8_t);
    else if (size == 8) COPY_LINE(uint64_t);
}

typedef struct moving {
    size_t size;
    char *dst;
    const char *src;
} moving;

static void move_run(void *ctx, int64_t n, const int64_t *at, const int64_t *step) {
    const moving *m = ctx;
    int64_t size = (int64_t)m->size;
    mil__copy_line(m->dst + at[0] * size, step[0], m->src + at[1] * size, step[1], (size_t)n, m->size);
}

void mil__move(mil_dtype dtype, int rank, const int64_t *shape, void *dst, const int64_t *dst_strides, const void *src,
               const int64_t *src_strides) {
    moving m = {mil__element_size(dtype), dst, src};
    const int64_t *strides[] = {dst_strides, src_strides};
    mil__walk(rank, shape, 2, strides, move_run, &m);
}

/* One line of a take, along the last axis. */
static void take_line(const moving *m, const mil_tensor *x, const int64_t *map, int64_t n) {
    int64_t size = (int64_t)m->size, step = x->rank ? x->strides[x->rank - 1] * size : 0;
    for (int64_t i = 0; i < n; i++)
        if (!map) memcpy(m->dst, m->src, m->size);
        else if (map[i] >= 0) memcpy(m->dst + i * size, m->src + map[i] * step, m->size);
}

void mil__take(const mil_tensor *x, const int64_t *const *maps, mil_tensor *result) {
    int last = result->rank - 1;
    int64_t n = result->rank ? result->shape[last] : 1, index[MIL_MAX_RANK] = {0};
    size_t size = mil__element_size(x->dtype);
    if (mil__numel(result) == 0) return;
    for (char *dst = result->data;; dst += n * (int64_t)size) {
        int64_t at = 0;
        bool inside = true;
        for (int i = 0; i < last; i++) {
            inside = inside && maps[i][index[i]] >= 0;
            at += maps[i][index[i]] * x->strides[i];
        }
        moving line = {size, dst, (const char *)x->data + (inside ? at : 0) * (int64_t)size};
        if (inside) take_line(&line, x, last < 0 ? NULL : maps[last], n);
        int i = last - 1;
        for (; i >= 0 && ++index[i] == result->shape[i]; i--) index[i] = 0;
        if (i < 0) return;
    }
}

void mil__gather_contiguous(const mil_tensor *tensor, void *dst) {
    int64_t strides[MIL_MAX_RANK];
    mil__shape_strides(tensor->rank, tensor->shape, strides);
    mil__move(tensor->dtype, tensor->rank, tensor->shape, dst, strides, tensor->data, tensor->strides);
}

mil_status mil__dense(mil__call *call, const mil_tensor *tensor, const void **out) {
    *out = tensor->data;
    if (mil__is_contiguous(tensor)) return MIL_OK;
    void *copy = mil__arena_alloc(call->arena, (size_t)mil__numel(tensor) * mil__element_size(tensor->dtype) + 1);
    if (!copy) return mil__nomem(call->err);
    mil__gather_contiguous(tensor, copy);
    *out = copy;
    return MIL_OK;
}
