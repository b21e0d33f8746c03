/* SPDX-License-Identifier: MIT */
/* transformers: inference and plain evaluation of attention, a query at a time:
 *
 *   scores [S] = key [S, E] by query [E] / sqrt(E) + mask [S]
 *   result [EV] = softmax(scores) by value [S, EV]
 */
#include <math.h>

#include "ops/products.h"
#include "ops/rules.h"

/* ---- inference ---- */

static bool differ(mil_dim a, mil_dim b) { return a >= 0 && b >= 0 && a != b; }

/* Two operands of equal rank must have equal dims where both are known: `a_axis` of a, `b_axis` of b, from the end. */
static mil_status check_dims(mil__call *call, const char *a, int a_axis, const char *b, int b_axis, const char *what) {
    const mil_type *one = mil__arg(call, a)->type, *two = mil__arg(call, b)->type;
    if (!differ(one->shape[one->rank - a_axis], two->shape[two->rank - b_axis])) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s and %s must have %s", MIL__ARG_TEXT(call, a), MIL__ARG_TEXT(call, b),
                          what);
}

static mil_status check_mask(mil__call *call) {
    const mil_type *query = mil__arg(call, "query")->type, *mask = mil__arg(call, "attn_mask")->type;
    mil_dim shape[MIL_MAX_RANK];
    int rank;
    if (mask->rank < 1)
        return mil__call_fail(call, MIL_ETYPE, "attn_mask takes rank 1 or above, but it is a scalar");
    MIL__TRY(check_dims(call, "key", 2, "attn_mask", 1, "one sequence length: the last dim of attn_mask"));
    bool fits = mask->rank <= query->rank && mil__broadcast_dims(call->types, query->rank - 1, query->shape,
                                                                 mask->rank - 1, mask->shape, &rank, shape);
    for (int i = 1; fits && i < mask->rank; i++) {
        mil_dim own = mask->shape[mask->rank - 1 - i], wanted = query->shape[query->rank - 1 - i];
        fits = own == 1 || !differ(own, wanted);
    }
    if (fits) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s does not broadcast to %s's dims before the last",
                          MIL__ARG_TEXT(call, "attn_mask"), MIL__ARG_TEXT(call, "query"));
}

mil_status mil__infer_scaled_dot_product_attention(mil__call *call) {
    const mil_type *query = mil__arg(call, "query")->type, *key = mil__arg(call, "key")->type;
    const mil_type *value = mil__arg(call, "value")->type;
    int rank = query->rank;
    if (rank < 3 || key->rank != rank || value->rank != rank)
        return mil__call_fail(call, MIL_ETYPE, "takes query, key and value of one rank, 3 or above, but got %s, %s and "
                              "%s", MIL__ARG_TEXT(call, "query"), MIL__ARG_TEXT(call, "key"),
                              MIL__ARG_TEXT(call, "value"));
    for (int a = rank; a > 2; a--) {
        MIL__TRY(check_dims(call, "query", a, "key", a, "equal dims before the last two"));
        MIL__TRY(check_dims(call, "query", a, "value", a, "equal dims before the last two"));
        MIL__TRY(check_dims(call, "key", a, "value", a, "equal dims before the last two"));
    }
    MIL__TRY(check_dims(call, "query", 1, "key", 1, "one embedding length, the last dim"));
    MIL__TRY(check_dims(call, "key", 2, "value", 2, "one sequence length, the second last dim"));
    if (mil__has(call, "attn_mask")) MIL__TRY(check_mask(call));
    mil_dim shape[MIL_MAX_RANK];
    memcpy(shape, query->shape, (size_t)rank * sizeof *shape);
    shape[rank - 1] = value->shape[rank - 1];
    return mil__call_tensor(call, query->dtype, rank, shape);
}

/* ---- evaluation ---- */

typedef struct attention {
    mil_tensor *result;
    int64_t L, S, E, EV;
    double *query, *key, *value;   /* contiguous copies */
    double *mask;                  /* to be added; NULL: none */
    double *scores, *row;          /* of one query: [S], [EV] */
    int64_t mask_row, mask_column; /* strides */
} attention;

static void softmax(double *x, int64_t n) {
    double max = -INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++) max = x[k] > max ? x[k] : max;
    for (int64_t k = 0; k < n; k++) sum += x[k] = exp(x[k] - max);
    for (int64_t k = 0; k < n; k++) x[k] /= sum;
}

/* One matrix of the batch, number b; mask: its first element. */
static void attend(const attention *t, int64_t b, const double *mask) {
    const double *key = t->key + b * t->S * t->E, *value = t->value + b * t->S * t->EV;
    for (int64_t i = 0; i < t->L; i++) {
        const double *query = t->query + (b * t->L + i) * t->E;
        mil__product_row(t->S, t->E, query, 1, key, 1, t->E, t->scores);
        for (int64_t s = 0; s < t->S; s++) {
            t->scores[s] /= sqrt((double)t->E);
            if (mask) t->scores[s] += mask[i * t->mask_row + s * t->mask_column];
        }
        softmax(t->scores, t->S);
        mil__product_row(t->EV, t->S, t->scores, 1, value, t->EV, 1, t->row);
        char *out = (char *)t->result->data + (b * t->L + i) * t->EV * (int64_t)mil__element_size(t->result->dtype);
        mil__convert(t->result->dtype, out, 1, MIL_FP64, t->row, 1, t->EV);
    }
}

typedef struct batch_walk {
    const attention *t;
    int64_t b;
} batch_walk;

static void batches(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    batch_walk *walk = ctx;
    const double *mask = walk->t->mask;
    for (int64_t k = 0; k < n; k++) attend(walk->t, walk->b++, mask ? mask + offsets[0] + k * steps[0] : NULL);
}

/* Strides over [batch..., L, S] of the mask's contiguous copy. */
static void mask_strides(const mil_tensor *mask, int rank, int64_t *out) {
    int64_t strides[MIL_MAX_RANK];
    mil__shape_strides(mask->rank, mask->shape, strides);
    for (int a = 0; a < rank; a++) {
        int at = a - (rank - mask->rank);
        out[a] = at < 0 || mask->shape[at] == 1 ? 0 : strides[at];
    }
}

/* A bool mask as numbers to add: 0 or -inf. */
static void read_mask(const mil_tensor *mask, double *out) {
    mil__read_f64(mask, out);
    if (mask->dtype != MIL_BOOL) return;
    for (int64_t k = 0, n = mil__numel(mask); k < n; k++) out[k] = out[k] != 0 ? 0 : -INFINITY;
}

mil_status mil__eval_scaled_dot_product_attention(mil__call *call) {
    const mil_tensor *query = call->in[0].items[0].data, *key = call->in[1].items[0].data;
    const mil_tensor *value = call->in[2].items[0].data, *mask = call->in[3].n ? call->in[3].items[0].data : NULL;
    int rank = query->rank;
    attention t = {.result = call->result[0], .L = query->shape[rank - 2], .S = key->shape[rank - 2],
                   .E = query->shape[rank - 1], .EV = value->shape[rank - 1]};
    size_t q = (size_t)mil__numel(query), k = (size_t)mil__numel(key), v = (size_t)mil__numel(value);
    size_t m = mask ? (size_t)mil__numel(mask) : 0;
    t.query = mil__arena_zero(call->arena, q + k + v + m + (size_t)t.S + (size_t)t.EV + 1, sizeof *t.query);
    if (!t.query) return mil__nomem(call->err);
    t.key = t.query + q;
    t.value = t.key + k;
    t.scores = t.value + v;
    t.row = t.scores + t.S;
    int64_t strides[MIL_MAX_RANK] = {0};
    const int64_t *walked[] = {strides};
    mil__read_f64(query, t.query);
    mil__read_f64(key, t.key);
    mil__read_f64(value, t.value);
    if (mask) {
        t.mask = t.row + t.EV;
        read_mask(mask, t.mask);
        mask_strides(mask, rank, strides);
        t.mask_row = strides[rank - 2], t.mask_column = strides[rank - 1];
    }
    batch_walk walk = {.t = &t};
    mil__walk(rank - 2, query->shape, 1, walked, batches, &walk);
    return MIL_OK;
}
