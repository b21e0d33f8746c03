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

static inline float put_float(int mode, float to, float from) {
    switch (mode) {
    case ADD: return to + from;
    case SUB: return to - from;
    case MUL: return to * from;
    case DIV: return to / from;
    case MAX: return from > to || from != from ? from : to;
    default: return from < to || from != from ? from : to;
    }
}

/* A loop for each mode, which knows it. */
#define BY_MODE(mode, LOOP)                                                                                           \
    switch (mode) {                                                                                                   \
    case ADD: LOOP(ADD); break;                                                                                       \
    case SUB: LOOP(SUB); break;                                                                                       \
    case MUL: LOOP(MUL); break;                                                                                       \
    case DIV: LOOP(DIV); break;                                                                                       \
    case MAX: LOOP(MAX); break;                                                                                       \
    case MIN: LOOP(MIN); break;                                                                                       \
    }

static void put_floats(int mode, float *to, const float *from, int64_t n) {
#define LOOP(mode) for (int64_t i = 0; i < n; i++) to[i] = put_float(mode, to[i], from[i])
    BY_MODE(mode, LOOP)
#undef LOOP
}

/* Each where it belongs; -1: nowhere. */
static void put_floats_at(int mode, float *to, const int64_t *at, const float *from, int64_t n) {
#define LOOP(mode) for (int64_t i = 0; i < n; i++) if (at[i] >= 0) to[at[i]] = put_float(mode, to[at[i]], from[i])
    BY_MODE(mode, LOOP)
#undef LOOP
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

/* A scatter under way. Elements are those of the result, in its memory, or floats for fp16. */
typedef struct scattering {
    int mode;
    mil_dtype as;     /* what elements are worked on as */
    size_t size;      /* of an element */
    char *to;
    const char *from; /* the next piece of the updates */
    mil__index_rule rule;
    bool leaves_out;  /* what the rule has no place for */
} scattering;

static void put_piece(const scattering *s, int64_t at, int64_t n) {
    void *to = s->to + (size_t)at * s->size;
    const void *from = s->from;
    if (s->mode == UPDATE) memcpy(to, from, (size_t)n * s->size);
    else if (s->as == MIL_FP32) put_floats(s->mode, to, from, n);
    else for (int64_t i = 0; i < n; i++) ((int32_t *)to)[i] = put_int(s->mode, ((int32_t *)to)[i], ((const int32_t *)from)[i]);
}

static void put_elements(const scattering *s, const int64_t *at, int64_t n) {
    const void *from = s->from;
    int32_t *ints = (int32_t *)(void *)s->to;
    if (s->mode != UPDATE && s->as == MIL_FP32) {
        put_floats_at(s->mode, (float *)(void *)s->to, at, from, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (at[i] < 0) continue;
        if (s->mode == UPDATE) mil__copy_element(s->to + (size_t)at[i] * s->size, s->from + (size_t)i * s->size, s->size);
        else ints[at[i]] = put_int(s->mode, ints[at[i]], ((const int32_t *)from)[i]);
    }
}

/* Elements as they are worked on, dense. */
static mil_status dense_as(mil__call *call, const mil_tensor *tensor, mil_dtype as, const void **out) {
    MIL__TRY(mil__dense(call, tensor, out));
    if (as == tensor->dtype) return MIL_OK;
    void *wide = mil__arena_alloc(call->arena, (size_t)mil__numel(tensor) * mil__element_size(as) + 1);
    if (!wide) return mil__nomem(call->err);
    mil__convert(as, wide, 1, tensor->dtype, *out, 1, mil__numel(tensor));
    *out = wide;
    return MIL_OK;
}

/* Indices count from the end only where one outside is an error: from ios17 on those below 0 are left out, too. */
static mil_status begin(mil__call *call, scattering *s) {
    const mil_tensor *data = mil__arg(call, "data")->data;
    mil_tensor *out = call->result[0], start;
    const void *updates;
    mil__index_rule rule;
    *s = (scattering){0};
    MIL__TRY(get_mode(call, &s->mode));
    MIL__TRY(mil__index_rule_of(call, &rule));
    s->rule.wraps = rule.wraps && !rule.clamps;
    s->leaves_out = rule.clamps;
    s->as = data->dtype == MIL_FP16 && s->mode != UPDATE ? MIL_FP32 : data->dtype;
    s->size = mil__element_size(s->as);
    s->to = out->data;
    if (s->as != out->dtype) s->to = mil__arena_alloc(call->arena, (size_t)mil__numel(out) * s->size + 1);
    if (s->as != out->dtype && !s->to) return mil__nomem(call->err);
    MIL__TRY(dense_as(call, mil__arg(call, "updates")->data, s->as, &updates));
    s->from = updates;
    mil__tensor_init(&start, s->as, out->rank, out->shape, s->to);
    return mil_tensor_copy(&start, data, call->err);
}

static mil_status end(mil__call *call, const scattering *s) {
    mil_tensor *out = call->result[0];
    if (out->dtype != s->as) mil__convert(out->dtype, out->data, 1, s->as, s->to, 1, mil__numel(out));
    return MIL_OK;
}

/* The indices as int64s, in call->arena. */
static mil_status read_indices(mil__call *call, int64_t **out) {
    const mil_tensor *indices = mil__arg(call, "indices")->data;
    *out = mil__arena_alloc(call->arena, (size_t)mil__numel(indices) * sizeof **out + 1);
    if (!*out) return mil__nomem(call->err);
    mil__read_i64(indices, *out);
    return MIL_OK;
}

/* The place of an index; *skip becomes true where it is left out. */
static mil_status place_of(mil__call *call, const scattering *s, int64_t index, int axis, int64_t n, int64_t *at, bool *skip) {
    if (mil__index_place(s->rule, index, n, at)) return MIL_OK;
    *skip = true;
    return s->leaves_out ? MIL_OK : mil__index_fail(call, index, axis, "data");
}

/* ---- evaluation ---- */

/* data as [outer, n, inner]. */
mil_status mil__eval_scatter(mil__call *call) {
    const mil_tensor *data = mil__arg(call, "data")->data;
    scattering s;
    int64_t *indices;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(begin(call, &s));
    MIL__TRY(read_indices(call, &indices));
    int64_t outer = mil__extent(data->shape, 0, axis), n = data->shape[axis], inner = mil__extent(data->shape, axis + 1, data->rank);
    int64_t taken = mil__numel(mil__arg(call, "indices")->data);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < taken; i++, s.from += (size_t)inner * s.size) {
            int64_t at = 0;
            bool skip = false;
            MIL__TRY(place_of(call, &s, indices[i], axis, n, &at, &skip));
            if (!skip) put_piece(&s, (o * n + at) * inner, inner);
        }
    return end(call, &s);
}

mil_status mil__eval_scatter_along_axis(mil__call *call) {
    int64_t offsets[MIL__ALONG], n;
    mil__along along;
    scattering s;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(begin(call, &s));
    MIL__TRY(mil__along_begin(call, "data", axis, &along));
    along.rule = s.rule;
    along.leaves_out = s.leaves_out;
    do {
        MIL__TRY(mil__along_next(call, &along, offsets, &n));
        put_elements(&s, offsets, n);
        s.from += (size_t)n * s.size;
    } while (n);
    return end(call, &s);
}

mil_status mil__eval_scatter_nd(mil__call *call) {
    const mil_tensor *data = mil__arg(call, "data")->data, *indices = mil__arg(call, "indices")->data;
    int depth = (int)indices->shape[indices->rank - 1];
    int64_t taken = mil__extent(indices->shape, 0, indices->rank - 1), piece = mil__extent(data->shape, depth, data->rank), *index;
    scattering s;
    MIL__TRY(begin(call, &s));
    MIL__TRY(read_indices(call, &index));
    for (int64_t i = 0; i < taken; i++, s.from += (size_t)piece * s.size) {
        int64_t at = 0, place = 0;
        bool skip = false;
        for (int k = 0; k < depth; k++) {
            MIL__TRY(place_of(call, &s, *index++, k, data->shape[k], &place, &skip));
            at = at * data->shape[k] + place;
        }
        if (!skip) put_piece(&s, at * piece, piece);
    }
    return end(call, &s);
}
