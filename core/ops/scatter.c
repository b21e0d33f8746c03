/* SPDX-License-Identifier: MIT */
/* scatter_gather, continued: the scatters. Each is a walk over updates that lie in C order, piece by piece:
 *
 *   scatter             data [outer, n, inner]: for each outer and each index a piece of `inner`
 *   scatter_along_axis  the same, with an index for each element: pieces of 1
 *   scatter_nd          for each vector of indices a piece of what is not indexed
 *
 * fp16 is computed in single precision, and rounds once. max and min give NaN where either is NaN, as the ops of that name do. */
#include "ops/indices.h"
#include "ops/rules.h"

enum { UPDATE, ADD, SUB, MUL, DIV, MAX, MIN };

static mil_status get_mode(mil__call *call, int *out) {
    return mil__get_choice(call, "mode", "update|add|sub|mul|div|max|min", out);
}

static mil_status get_axis(mil__call *call, int *out) {
    int64_t axis;
    MIL__TRY(mil__get_int(call, "axis", &axis));
    return mil__axis(call, "axis", axis, mil__rank(mil__arg(call, "data")), out);
}

/* ---- inference ---- */

/* The result is data's type, if updates have this shape. */
static mil_status finish(mil__call *call, int rank, const mil_dim *shape) {
    const mil_type *updates = mil__arg(call, "updates")->type;
    int mode;
    bool fits = rank <= MIL_MAX_RANK && updates->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = shape[i] < 0 || updates->shape[i] < 0 || shape[i] == updates->shape[i];
    if (!fits)
        return mil__call_fail(call, MIL_ETYPE, "%s does not have the shape that %s and %s ask for", MIL__ARG_TEXT(call, "updates"),
                              MIL__ARG_TEXT(call, "data"), MIL__ARG_TEXT(call, "indices"));
    MIL__TRY(get_mode(call, &mode));
    return mil__infer_like_first(call);
}

mil_status mil__infer_scatter(mil__call *call) {
    const mil_type *data = mil__arg(call, "data")->type, *indices = mil__arg(call, "indices")->type;
    mil_dim shape[2 * MIL_MAX_RANK];
    int axis, rank = 0;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(mil__index_check(call, "data", axis));
    for (int i = 0; i < axis; i++) shape[rank++] = data->shape[i];
    for (int i = 0; i < indices->rank; i++) shape[rank++] = indices->shape[i];
    for (int i = axis + 1; i < data->rank; i++) shape[rank++] = data->shape[i];
    return finish(call, rank, shape);
}

mil_status mil__infer_scatter_along_axis(mil__call *call) {
    const mil_type *data = mil__arg(call, "data")->type, *indices = mil__arg(call, "indices")->type;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    bool fits = data->rank == indices->rank;
    for (int i = 0; fits && i < data->rank; i++)
        fits = i == axis || data->shape[i] < 0 || indices->shape[i] < 0 || data->shape[i] == indices->shape[i];
    if (!fits)
        return mil__call_fail(call, MIL_ETYPE, "%s must have the shape of %s, but for axis %d", MIL__ARG_TEXT(call, "indices"),
                              MIL__ARG_TEXT(call, "data"), axis);
    MIL__TRY(mil__index_check(call, "data", axis));
    return finish(call, indices->rank, indices->shape);
}

mil_status mil__infer_scatter_nd(mil__call *call) {
    const mil_type *data = mil__arg(call, "data")->type, *indices = mil__arg(call, "indices")->type;
    mil_dim shape[2 * MIL_MAX_RANK], depth = indices->rank ? indices->shape[indices->rank - 1] : -1;
    int rank = 0;
    if (depth < 0 || depth > data->rank)
        return mil__call_fail(call, MIL_ETYPE, "the last axis of %s takes a known number of indices, at most %d for %s",
                              MIL__ARG_TEXT(call, "indices"), data->rank, MIL__ARG_TEXT(call, "data"));
    for (int i = 0; i < indices->rank - 1; i++) shape[rank++] = indices->shape[i];
    for (int i = (int)depth; i < data->rank; i++) shape[rank++] = data->shape[i];
    return finish(call, rank, shape);
}

/* ---- pieces ---- */

static void put_floats(int mode, float *to, const float *from, int64_t n) {
    switch (mode) {
    case ADD: for (int64_t i = 0; i < n; i++) to[i] += from[i]; break;
    case SUB: for (int64_t i = 0; i < n; i++) to[i] -= from[i]; break;
    case MUL: for (int64_t i = 0; i < n; i++) to[i] *= from[i]; break;
    case DIV: for (int64_t i = 0; i < n; i++) to[i] /= from[i]; break;
    case MAX: for (int64_t i = 0; i < n; i++) to[i] = from[i] > to[i] || from[i] != from[i] ? from[i] : to[i]; break;
    case MIN: for (int64_t i = 0; i < n; i++) to[i] = from[i] < to[i] || from[i] != from[i] ? from[i] : to[i]; break;
    }
}

/* Wraps around; a division by 0 gives 0, and goes toward zero. */
static int32_t put_int(int mode, int32_t to, int32_t from) {
    int64_t a = to, b = from;
    switch (mode) {
    case ADD: return (int32_t)(uint32_t)(a + b);
    case SUB: return (int32_t)(uint32_t)(a - b);
    case MUL: return (int32_t)(uint32_t)(uint64_t)(a * b);
    case DIV: return b ? (int32_t)(uint32_t)(a / b) : 0;
    case MAX: return b > a ? from : to;
    default: return b < a ? from : to;
    }
}

/* A scatter under way. Elements are those of the result, or floats for fp16. */
typedef struct scattering {
    int mode;
    size_t size;      /* of an element */
    bool is_float;
    char *to;
    const char *from; /* the next piece of the updates */
    mil__index_rule rule;
    const int64_t *indices;
} scattering;

static void put_piece(scattering *s, int64_t at, int64_t n) {
    char *to = s->to + (size_t)at * s->size;
    const int32_t *ints = (const int32_t *)(const void *)s->from;
    if (s->mode == UPDATE) memcpy(to, s->from, (size_t)n * s->size);
    else if (s->is_float) put_floats(s->mode, (float *)(void *)to, (const float *)(const void *)s->from, n);
    else for (int64_t i = 0; i < n; i++) ((int32_t *)(void *)to)[i] = put_int(s->mode, ((int32_t *)(void *)to)[i], ints[i]);
}

/* The place of the next index; *skip: it lies outside, and is left out: from ios17 on one below 0 does, too. */
static mil_status next_place(mil__call *call, scattering *s, int axis, int64_t n, int64_t *at, bool *skip) {
    int64_t index = *s->indices++;
    mil__index_rule strict = {.wraps = s->rule.wraps && !s->rule.clamps};
    if (mil__index_place(strict, index, n, at)) return MIL_OK;
    *skip = true;
    return s->rule.clamps ? MIL_OK : mil__index_fail(call, index, axis, n);
}

/* Elements as they are worked on, dense: of `as`, in call->arena. */
static void *dense(mil__call *call, const mil_tensor *tensor, mil_dtype as) {
    size_t size = mil__element_size(tensor->dtype);
    int64_t n = mil__numel(tensor);
    char *elements = mil__arena_alloc(call->arena, (size_t)n * size + 1);
    char *wide = as == tensor->dtype ? elements : mil__arena_alloc(call->arena, (size_t)n * mil__element_size(as) + 1);
    if (!elements || !wide) return NULL;
    mil__gather_contiguous(tensor, elements);
    if (wide != elements) mil__convert(as, wide, 1, tensor->dtype, elements, 1, n);
    return wide;
}

static mil_status begin(mil__call *call, scattering *s, mil_dtype *as) {
    const mil_tensor *data = mil__arg(call, "data")->data, *indices = mil__arg(call, "indices")->data;
    *s = (scattering){0};
    MIL__TRY(get_mode(call, &s->mode));
    MIL__TRY(mil__index_rule_of(call, &s->rule));
    *as = data->dtype == MIL_FP16 && s->mode != UPDATE ? MIL_FP32 : data->dtype;
    s->is_float = *as == MIL_FP32;
    s->size = mil__element_size(*as);
    int64_t *values = mil__arena_alloc(call->arena, (size_t)mil__numel(indices) * sizeof *values + 1);
    s->to = dense(call, data, *as);
    s->from = dense(call, mil__arg(call, "updates")->data, *as);
    if (!values || !s->to || !s->from) return mil__nomem(call->err);
    mil__read_i64(indices, values);
    s->indices = values;
    return MIL_OK;
}

static mil_status end(mil__call *call, const scattering *s, mil_dtype as) {
    mil_tensor *out = call->result[0];
    mil__convert(out->dtype, out->data, 1, as, s->to, 1, mil__numel(out));
    return MIL_OK;
}

/* ---- evaluation ---- */

/* Data as [outer, n, inner]; `taken` indices for each outer, or (by_element) for each outer and each inner element. */
static mil_status along_axis(mil__call *call, bool by_element) {
    const mil_tensor *data = mil__arg(call, "data")->data, *indices = mil__arg(call, "indices")->data;
    scattering s;
    mil_dtype as;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(begin(call, &s, &as));
    int64_t outer = mil__extent(data->shape, 0, axis), n = data->shape[axis], inner = mil__extent(data->shape, axis + 1, data->rank);
    int64_t taken = by_element ? indices->shape[axis] * inner : mil__numel(indices), piece = by_element ? 1 : inner;
    const int64_t *first = s.indices;
    for (int64_t o = 0; o < outer; o++) {
        if (!by_element) s.indices = first;
        for (int64_t i = 0; i < taken; i++, s.from += (size_t)piece * s.size) {
            int64_t at = 0;
            bool skip = false;
            MIL__TRY(next_place(call, &s, axis, n, &at, &skip));
            if (!skip) put_piece(&s, (o * n + at) * inner + (by_element ? i % inner : 0), piece);
        }
    }
    return end(call, &s, as);
}

mil_status mil__eval_scatter(mil__call *call) { return along_axis(call, false); }
mil_status mil__eval_scatter_along_axis(mil__call *call) { return along_axis(call, true); }

mil_status mil__eval_scatter_nd(mil__call *call) {
    const mil_tensor *data = mil__arg(call, "data")->data, *indices = mil__arg(call, "indices")->data;
    int depth = (int)indices->shape[indices->rank - 1];
    int64_t taken = mil__extent(indices->shape, 0, indices->rank - 1), piece = mil__extent(data->shape, depth, data->rank);
    scattering s;
    mil_dtype as;
    MIL__TRY(begin(call, &s, &as));
    for (int64_t i = 0; i < taken; i++, s.from += (size_t)piece * s.size) {
        int64_t at = 0, place = 0;
        bool skip = false;
        for (int k = 0; k < depth; k++) {
            MIL__TRY(next_place(call, &s, k, data->shape[k], &place, &skip));
            at = at * data->shape[k] + place;
        }
        if (!skip) put_piece(&s, at * piece, piece);
    }
    return end(call, &s, as);
}
