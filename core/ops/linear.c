/* SPDX-License-Identifier: MIT */
/* linear: inference and plain evaluation. */
#include "ops/params.h"
#include "ops/products.h"
#include "ops/rules.h"

static bool differ(mil_dim a, mil_dim b) { return a >= 0 && b >= 0 && a != b; }

static const mil_tensor *data(const mil__call *call, int slot) {
    return call->in[slot].n ? call->in[slot].items[0].data : NULL;
}

/* ---- linear: x [..., in] by weight [out, in], + bias [out] ---- */

mil_status mil__infer_linear(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x"), *weight = mil__arg(call, "weight"), *bias = mil__arg(call, "bias");
    int rank = mil__rank(x);
    if (rank < 1)
        return mil__call_fail(call, MIL_ETYPE, "x takes rank 1 or above, but %s is a scalar", MIL__ARG_TEXT(call, "x"));
    if (mil__rank(weight) != 2)
        return mil__call_fail(call, MIL_ETYPE, "%s must have rank 2: [out, in]", MIL__ARG_TEXT(call, "weight"));
    if (differ(mil__dim(x, rank - 1), mil__dim(weight, 1)))
        return mil__call_fail(call, MIL_ETYPE, "%s takes %lld features, but %s has %lld", MIL__ARG_TEXT(call, "weight"),
                              (long long)mil__dim(weight, 1), MIL__ARG_TEXT(call, "x"),
                              (long long)mil__dim(x, rank - 1));
    if (bias && (mil__rank(bias) != 1 || mil__dim(bias, 0) != mil__dim(weight, 0)))
        return mil__call_fail(call, MIL_ETYPE, "%s must be [%s], as %s has that many rows", MIL__ARG_TEXT(call, "bias"),
                              MIL__DIM_TEXT(call->types, mil__dim(weight, 0)), MIL__ARG_TEXT(call, "weight"));
    mil_dim shape[MIL_MAX_RANK];
    memcpy(shape, x->type->shape, (size_t)rank * sizeof *shape);
    shape[rank - 1] = mil__dim(weight, 0);
    return mil__call_tensor(call, x->type->dtype, rank, shape);
}

mil_status mil__eval_linear(mil__call *call) {
    const mil_tensor *x = data(call, 0), *weight = data(call, 1);
    int64_t k = weight->shape[1], n = weight->shape[0], rows = 1;
    for (int a = 0; a < x->rank - 1; a++) rows *= x->shape[a];
    mil__product p = {.x = x, .y = weight, .bias = data(call, 2), .result = call->result[0], .m = rows, .n = n, .k = k,
                      .x_row = k, .x_column = 1, .y_row = 1, .y_column = k, .result_row = n};
    return mil__multiply(&p, call->arena, call->err);
}

/* ---- matmul ---- */

/* x as [..., m, k] and y as [..., k, n], whatever the flags; a vector x is one row. */
typedef struct factors {
    int x_rank, y_rank;  /* of the batch dims */
    mil_dim m, k, y_k, n;
} factors;

static factors factors_of(int x_rank, const mil_dim *x, int y_rank, const mil_dim *y,
                          const struct mil__matmul_params *params) {
    bool tx = params->transpose_x, ty = params->transpose_y;
    return (factors){.x_rank = x_rank > 2 ? x_rank - 2 : 0, .y_rank = y_rank - 2,
                     .m = x_rank == 1 ? 1 : x[x_rank - (tx ? 1 : 2)], .k = x[x_rank - (tx ? 2 : 1)],
                     .y_k = y[y_rank - (ty ? 1 : 2)], .n = y[y_rank - (ty ? 2 : 1)]};
}

/* From ios17 on, a const operand may have a dtype of its own; the result has the other's. */
static mil_status matmul_dtype(mil__call *call, mil_dtype *out) {
    const mil__operand *x = mil__arg(call, "x"), *y = mil__arg(call, "y");
    *out = x->is_const && !y->is_const ? y->type->dtype : x->type->dtype;
    if (x->type->dtype == y->type->dtype || x->is_const != y->is_const) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s and %s must have one dtype, %s", MIL__ARG_TEXT(call, "x"),
                          MIL__ARG_TEXT(call, "y"), x->is_const ? "both being const" : "as neither is const");
}

mil_status mil__infer_matmul(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x"), *y = mil__arg(call, "y");
    struct mil__matmul_params *params = call->params;
    mil_dtype dtype;
    MIL__TRY(matmul_dtype(call, &dtype));
    MIL__TRY(mil__get_bool(call, "transpose_x", &params->transpose_x));
    MIL__TRY(mil__get_bool(call, "transpose_y", &params->transpose_y));
    if (mil__rank(x) < 1 || mil__rank(y) < 2)
        return mil__call_fail(call, MIL_ETYPE, "takes x of rank 1 or above and y of rank 2 or above, but got %s and %s",
                              MIL__ARG_TEXT(call, "x"), MIL__ARG_TEXT(call, "y"));
    if (mil__rank(x) == 1 && params->transpose_x)
        return mil__call_fail(call, MIL_EVALUE, "transpose_x takes x of rank 2 or above, but got %s",
                              MIL__ARG_TEXT(call, "x"));
    factors f = factors_of(mil__rank(x), x->type->shape, mil__rank(y), y->type->shape, params);
    if (differ(f.k, f.y_k))
        return mil__call_fail(call, MIL_ETYPE, "%s%s has %lld columns, but %s%s has %lld rows",
                              MIL__ARG_TEXT(call, "x"), params->transpose_x ? ", transposed," : "", (long long)f.k, MIL__ARG_TEXT(call, "y"),
                              params->transpose_y ? ", transposed," : "", (long long)f.y_k);
    mil_dim shape[MIL_MAX_RANK];
    int rank;
    if (!mil__broadcast_dims(call->types, f.x_rank, x->type->shape, f.y_rank, y->type->shape, &rank, shape))
        return mil__call_fail(call, MIL_ETYPE, "the dims before the last two of %s and %s do not broadcast",
                              MIL__ARG_TEXT(call, "x"), MIL__ARG_TEXT(call, "y"));
    if (mil__rank(x) > 1) shape[rank++] = f.m;
    shape[rank++] = f.n;
    return mil__call_tensor(call, dtype, rank, shape);
}

/* Strides over a batch of `rank` dims of a contiguous tensor that has `own` of them. */
static void batch_strides(const mil_tensor *tensor, int own, int rank, int64_t *out) {
    int64_t strides[MIL_MAX_RANK];
    mil__shape_strides(tensor->rank, tensor->shape, strides);
    for (int a = 0; a < rank; a++) {
        int at = a - (rank - own);
        out[a] = at < 0 || tensor->shape[at] == 1 ? 0 : strides[at];
    }
}

mil_status mil__eval_matmul(mil__call *call) {
    const mil_tensor *x = data(call, 0), *y = data(call, 1);
    mil_tensor *out = call->result[0];
    const struct mil__matmul_params *params = call->params;
    factors f = factors_of(x->rank, x->shape, y->rank, y->shape, params);
    mil__product p = {.x = x, .y = y, .result = out, .rank = out->rank - (x->rank > 1 ? 2 : 1), .m = f.m, .n = f.n,
                      .k = f.k, .x_row = params->transpose_x ? 1 : f.k, .x_column = params->transpose_x ? f.m : 1,
                      .y_row = params->transpose_y ? 1 : f.n, .y_column = params->transpose_y ? f.k : 1,
                      .result_row = f.n};
    memcpy(p.batch, out->shape, sizeof p.batch);
    batch_strides(x, f.x_rank, p.rank, p.x_batch);
    batch_strides(y, f.y_rank, p.rank, p.y_batch);
    memcpy(p.result_batch, out->strides, sizeof p.result_batch);
    return mil__multiply(&p, call->arena, call->err);
}

/* ---- einsum: the two equations that MIL has ----
 *
 *   nchw,nwhr->nchr   x [n, c, h, w] by y [n, w, h, r]: for each n and h the product over w
 *   chw,whr->chr      the same without n */

enum { EQUATION_SIZE = 16 };

/* The equation with its letters renamed a, b, c .. as they come; false where it is too long to be one of ours. */
static bool canonical(const char *equation, char out[EQUATION_SIZE]) {
    char letters[EQUATION_SIZE];
    size_t n = strlen(equation), n_letters = 0;
    if (n >= EQUATION_SIZE) return false;
    for (size_t i = 0; i <= n; i++) {
        out[i] = equation[i];
        if (equation[i] == 0 || strchr(",->", equation[i])) continue;
        size_t k = 0;
        while (k < n_letters && letters[k] != equation[i]) k++;
        if (k == n_letters) letters[n_letters++] = equation[i];
        out[i] = (char)('a' + k);
    }
    return true;
}

static mil_status equation_rank(mil__call *call, int *out) {
    const char *equation;
    char renamed[EQUATION_SIZE];
    MIL__TRY(mil__get_text(call, "equation", &equation));
    bool fits = canonical(equation, renamed);
    *out = fits && strcmp(renamed, "abcd,adce->abce") == 0 ? 4 : fits && strcmp(renamed, "abc,cbd->abd") == 0 ? 3 : 0;
    if (*out) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "equation \"%.60s\" is neither nchw,nwhr->nchr nor chw,whr->chr (with "
                          "whatever letters)", equation);
}

static mil_status einsum_fail(mil__call *call, const mil__operand *values, const char *what) {
    return mil__call_fail(call, MIL_ETYPE, "values[0] %s and values[1] %s must have %s",
                          MIL__TYPE_TEXT(call->types, values[0].type), MIL__TYPE_TEXT(call->types, values[1].type),
                          what);
}

mil_status mil__infer_einsum(mil__call *call) {
    const mil__input *values = mil__args(call, "values");
    const mil__operand *x = values->items, *y = values->items + 1;
    int rank;
    if (values->n != 2) return mil__call_fail(call, MIL_EVALUE, "values takes 2 tensors, but got %d", values->n);
    MIL__TRY(equation_rank(call, &rank));
    if (x->type->dtype != y->type->dtype) return einsum_fail(call, x, "one dtype");
    if (mil__rank(x) != rank || mil__rank(y) != rank)
        return einsum_fail(call, x, rank == 4 ? "rank 4, as the equation has" : "rank 3, as the equation has");
    const mil_dim *a = x->type->shape + rank - 3, *b = y->type->shape + rank - 3; /* [c, h, w] and [w, h, r] */
    if (differ(a[2], b[0]))
        return einsum_fail(call, x, "equal dims to sum over: the last of values[0], the third last of values[1]");
    if (a[1] != b[1] && a[1] != 1 && b[1] != 1)
        return einsum_fail(call, x, "equal second last dims, or one of them 1");
    mil_dim shape[4] = {0}, *out = shape + rank - 3;
    out[0] = a[0];
    out[1] = a[1] == 1 ? b[1] : a[1];
    out[2] = b[2];
    if (rank == 4) {
        if (a[-1] != b[-1] && a[-1] != 1 && b[-1] != 1)
            return einsum_fail(call, x, "equal first dims, or one of them 1");
        shape[0] = a[-1] == 1 ? b[-1] : a[-1];
    }
    return mil__call_tensor(call, x->type->dtype, rank, shape);
}

mil_status mil__eval_einsum(mil__call *call) {
    const mil__operand *values = call->in[0].items;
    const mil_tensor *x = values[0].data, *y = values[1].data;
    mil_tensor *out = call->result[0];
    int64_t xs[MIL_MAX_RANK], ys[MIL_MAX_RANK];
    mil__shape_strides(x->rank, x->shape, xs);
    mil__shape_strides(y->rank, y->shape, ys);
    int c = x->rank - 3, h = c + 1, w = c + 2; /* axes */
    mil__product p = {.x = x, .y = y, .result = out, .rank = 1, .m = out->shape[c], .n = out->shape[w],
                      .k = x->shape[w], .x_row = xs[c], .x_column = xs[w], .y_row = ys[c], .y_column = ys[w],
                      .result_row = out->strides[c]};
    int axes[2] = {h, 0};
    if (c == 1) p.rank = 2;
    for (int i = 0; i < p.rank; i++) {
        p.batch[i] = out->shape[axes[i]];
        p.x_batch[i] = x->shape[axes[i]] == 1 ? 0 : xs[axes[i]];
        p.y_batch[i] = y->shape[axes[i]] == 1 ? 0 : ys[axes[i]];
        p.result_batch[i] = out->strides[axes[i]];
    }
    return mil__multiply(&p, call->arena, call->err);
}
