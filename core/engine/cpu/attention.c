/* SPDX-License-Identifier: MIT */
/* Attention as one step: softmax(q k^T * scale + mask) v, for scaled_dot_product_attention and for the same written out
 * (matmul, a scaling, a mask, softmax, matmul).
 *
 *       one batch (one head)          a tile: ROWS queries of it
 *
 *    q [L, E]  --ROWS x E-->  scores [ROWS, S] in scratch  --softmax in place-->  --ROWS x S by v [S, EV]-->  y
 *                 k [S, E] --^     ^-- mask
 *
 * The scores of a tile never leave the lane's scratch, and stay fp32 between the products whatever the dtype (so, where
 * precision is strict, the written-out form is left as it was written). */
#include <math.h>

#include "engine/cpu/attention.h"

enum { ROWS = 64 };

/* Element strides of an operand over the batch axes of the result; 0 where it broadcasts. */
typedef struct batch_strides {
    int64_t by[MIL_MAX_RANK];
} batch_strides;

typedef struct attention_params {
    mil__gemm scores[2], mix[2];   /* [0] of a whole tile, [1] of the last one's rows */
    mil__rows softmax[2];
    const mil__kernels *k;
    int rank;                      /* of the batch axes */
    int64_t dim[MIL_MAX_RANK];
    batch_strides q, key, v, mask;
    size_t q_bytes, key_bytes, v_bytes, y_bytes, mask_bytes; /* of an element */
    size_t batches, blocks, rows, last_rows;
    bool has_mask;
    const float *bools;            /* a mask of bools, as 0 and -inf */
    size_t scores_bytes;
} attention_params;

typedef struct attention_run {
    const attention_params *params;
    const char *q, *key, *v, *mask;
    char *y;
} attention_run;

/* ---- running ---- */

static int64_t offset_of(const attention_params *p, const batch_strides *strides, size_t batch) {
    int64_t offset = 0, index = (int64_t)batch;
    for (int i = p->rank - 1; i >= 0; i--) {
        offset += index % p->dim[i] * strides->by[i];
        index /= p->dim[i];
    }
    return offset;
}

static void run_tile(const attention_run *run, size_t tile, char *scratch) {
    const attention_params *p = run->params;
    size_t batch = tile / p->blocks, block = tile % p->blocks, row = block * ROWS;
    int which = block + 1 == p->blocks;
    float *scores = (float *)(void *)scratch;
    char *rest = scratch + p->scores_bytes;
    mil__gemm first = p->scores[which], second = p->mix[which];
    ptrdiff_t q = (ptrdiff_t)offset_of(p, &p->q, batch) + (ptrdiff_t)row * first.a.rs;
    first.a.data = run->q + q * (ptrdiff_t)p->q_bytes;
    first.b.data = run->key + offset_of(p, &p->key, batch) * (int64_t)p->key_bytes;
    first.c = scores;
    if (p->has_mask) {
        ptrdiff_t at = (ptrdiff_t)offset_of(p, &p->mask, batch) + (ptrdiff_t)row * first.ep.add_rs;
        first.ep.add = run->mask + at * (ptrdiff_t)p->mask_bytes;
    }
    p->k->gemm(&first, 0, first.n_tiles, rest);
    p->k->rows(&p->softmax[which], scores, scores, 0, p->softmax[which].n_tiles, rest);
    second.a.data = scores;
    second.b.data = run->v + offset_of(p, &p->v, batch) * (int64_t)p->v_bytes;
    second.c = run->y + (ptrdiff_t)((batch * p->rows + row) * second.n * p->y_bytes);
    p->k->gemm(&second, 0, second.n_tiles, rest);
}

static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    for (size_t tile = begin; tile < end; tile++) run_tile(ctx, tile, scratch);
}

static mil_status run_attention(mil__run *run, const mil__step *step) {
    const attention_params *p = step->params;
    attention_run work = {.params = p, .q = run->t[step->in[0]].data, .key = run->t[step->in[1]].data,
                          .v = run->t[step->in[2]].data, .y = run->t[step->out[0]].data};
    if (p->has_mask) work.mask = p->bools ? (const char *)p->bools : run->t[step->in[3]].data;
    mil__run_tiles(run, p->batches * p->blocks, run_tiles, &work);
    return MIL_OK;
}

/* ---- planning ---- */

static void strides_of_batch(const mil__slot *slot, int rank, batch_strides *out) {
    int64_t dense[MIL_MAX_RANK];
    mil__shape_strides(slot->rank, slot->shape, dense);
    int lead = rank - (slot->rank - 2);
    for (int i = 0; i < rank; i++) out->by[i] = i < lead || slot->shape[i - lead] == 1 ? 0 : dense[i - lead];
}

/* A mask's strides over [batch.., L, S], where it has any rank up to that. */
static void strides_of_mask(const mil__slot *mask, int rank, batch_strides *batch, mil__epilogue *ep) {
    int64_t dense[MIL_MAX_RANK], all[MIL_MAX_RANK] = {0};
    mil__shape_strides(mask->rank, mask->shape, dense);
    int lead = rank + 2 - mask->rank;
    for (int i = 0; i < rank + 2; i++) all[i] = i < lead || mask->shape[i - lead] == 1 ? 0 : dense[i - lead];
    memcpy(batch->by, all, sizeof batch->by);
    ep->add_rs = (ptrdiff_t)all[rank];
    ep->add_cs = (ptrdiff_t)all[rank + 1];
    ep->add_dtype = mil__storage_of(mask->dtype);
    ep->add = mask; /* something: the plan only asks whether; the run sets it */
}

/* A const mask of bools as numbers to add. */
static mil_status bools_as_floats(mil__lower *lower, const mil__slot *mask, const float **out) {
    void *floats;
    int64_t n = mil__numel(mask->data);
    MIL__TRY(mil__lower_own(lower, (size_t)n * sizeof(float), &floats));
    for (int64_t i = 0; i < n; i++) ((float *)floats)[i] = ((const uint8_t *)mask->data->data)[i] ? 0 : -INFINITY;
    *out = floats;
    return MIL_OK;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* The three parts for `rows` queries. */
static size_t plan_part(mil__lower *lower, attention_params *p, int which, size_t rows, const mil__gemm *scores, const mil__gemm *mix) {
    p->scores[which] = *scores;
    p->mix[which] = *mix;
    p->scores[which].m = p->mix[which].m = rows;
    p->softmax[which] = (mil__rows){.kind = MIL__ROWS_SOFTMAX, .outer = rows, .n = scores->n, .inner = 1, .dtype = MIL__F32};
    p->k->gemm_plan(&p->scores[which], 1);
    p->k->gemm_plan(&p->mix[which], 1);
    p->k->rows_plan(&p->softmax[which], 1);
    (void)lower;
    return larger(p->softmax[which].scratch_bytes, larger(p->scores[which].scratch_bytes, p->mix[which].scratch_bytes));
}

/* a.key as rows of S: k[S, E] or (written out without transpose_y) k[E, S]. */
mil_status mil__emit_attention(mil__lower *lower, const mil__group *group, const mil__attention *a, bool *done) {
    const mil__slot *q = mil__slot_at(lower, a->q), *key = mil__slot_at(lower, a->key), *v = mil__slot_at(lower, a->v);
    const mil__slot *mask = a->has_mask ? mil__slot_at(lower, a->mask) : NULL;
    uint32_t out = mil__slot_of(lower, group->result);
    const mil__slot *y = mil__slot_at(lower, out);
    bool mask_fits = !mask || mil__kernel_float(mask->dtype) || (mask->dtype == MIL_BOOL && mask->kind == MIL__SLOT_CONST);
    if (!mil__kernel_float(q->dtype) || q->rank < 2 || key->rank < 2 || v->rank < 2 || !mask_fits) return MIL_OK;
    attention_params *p = mil__lower_alloc(lower, sizeof *p);
    uint32_t *in = mil__lower_alloc(lower, 5 * sizeof *in);
    if (!p || !in) return mil__nomem(lower->err);
    size_t E = (size_t)q->shape[q->rank - 1], L = (size_t)q->shape[q->rank - 2], EV = (size_t)v->shape[v->rank - 1];
    size_t S = (size_t)v->shape[v->rank - 2];
    if (E == 0 || S == 0) return MIL_OK;
    p->k = lower->k;
    p->rank = y->rank - 2;
    p->batches = 1;
    for (int i = 0; i < p->rank; i++) p->batches *= (size_t)(p->dim[i] = y->shape[i]);
    strides_of_batch(q, p->rank, &p->q);
    strides_of_batch(key, p->rank, &p->key);
    strides_of_batch(v, p->rank, &p->v);
    p->q_bytes = mil__storage_bytes(mil__storage_of(q->dtype));
    p->key_bytes = mil__storage_bytes(mil__storage_of(key->dtype));
    p->v_bytes = mil__storage_bytes(mil__storage_of(v->dtype));
    p->y_bytes = mil__storage_bytes(mil__storage_of(y->dtype));
    mil__gemm scores = {.n = S, .k = E, .a = {.dtype = mil__storage_of(q->dtype), .rs = (ptrdiff_t)E, .cs = 1},
                        .b = {.dtype = mil__storage_of(key->dtype), .rs = a->key_is_columns ? (ptrdiff_t)S : 1,
                              .cs = a->key_is_columns ? 1 : (ptrdiff_t)E},
                        .c_dtype = MIL__F32, .c_rs = (ptrdiff_t)S, .c_cs = 1, .ep = {.alpha = (float)a->scale}};
    mil__gemm mix = {.n = EV, .k = S, .a = {.dtype = MIL__F32, .rs = (ptrdiff_t)S, .cs = 1},
                     .b = {.dtype = mil__storage_of(v->dtype), .rs = (ptrdiff_t)EV, .cs = 1},
                     .c_dtype = mil__storage_of(y->dtype), .c_rs = (ptrdiff_t)EV, .c_cs = 1};
    if (mask) {
        strides_of_mask(mask, p->rank, &p->mask, &scores.ep);
        p->has_mask = true;
        p->mask_bytes = mil__storage_bytes(scores.ep.add_dtype);
        if (mask->dtype == MIL_BOOL) {
            MIL__TRY(bools_as_floats(lower, mask, &p->bools));
            scores.ep.add_dtype = MIL__F32;
            p->mask_bytes = sizeof(float);
        }
    }
    p->rows = L;
    p->blocks = (L + ROWS - 1) / ROWS;
    p->last_rows = L - (p->blocks ? p->blocks - 1 : 0) * ROWS;
    p->scores_bytes = (ROWS * S * sizeof(float) + 63) / 64 * 64;
    size_t rest = larger(plan_part(lower, p, 0, ROWS, &scores, &mix), plan_part(lower, p, 1, p->last_rows, &scores, &mix));
    in[0] = a->q;
    in[1] = a->key;
    in[2] = a->v;
    in[3] = a->mask;
    in[4] = out;
    mil__step step = {.run = run_attention, .params = p, .in = in, .n_in = mask ? 4 : 3, .out = in + 4, .n_out = 1,
                      .scratch = p->scores_bytes + rest, .kernel = "attention"};
    *done = true;
    return mil__lower_step(lower, group, &step);
}

/* ---- scaled_dot_product_attention ---- */

static uint32_t slot_named(mil__lower *lower, const mil__op *op, const char *name, bool *there) {
    const mil__values *arg = mil__op_arg_named(op, name);
    *there = arg != NULL;
    return arg ? mil__slot_of(lower, arg->values[0]) : 0;
}

mil_status mil__select_attention(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    mil__attention a = {0};
    bool there;
    a.q = slot_named(lower, op, "query", &there);
    a.key = slot_named(lower, op, "key", &there);
    a.v = slot_named(lower, op, "value", &there);
    a.mask = slot_named(lower, op, "attn_mask", &a.has_mask);
    const mil__slot *q = mil__slot_at(lower, a.q);
    a.scale = q->rank ? 1 / sqrt((double)q->shape[q->rank - 1]) : 1;
    return mil__emit_attention(lower, group, &a, done);
}

/* ---- written out: matmul(softmax(matmul(q, k) [* scale] [+ mask]), v) ---- */

static const mil__value *value_at(const mil__lower *lower, mil_value value) { return lower->program->values[value]; }

static bool is_op(const mil__op *op, const char *name) { return op && strcmp(op->decl->name, name) == 0; }

/* What makes a value that nobody else looks at; NULL otherwise. */
static const mil__op *only_maker(const mil__lower *lower, mil_value value, mil_operation *id) {
    const mil__value *v = value_at(lower, value);
    *id = v->op;
    return v->op && v->n_uses == 1 && !v->is_output ? lower->program->ops[v->op] : NULL;
}

static bool flag(const mil__lower *lower, const mil__op *op, const char *name) {
    int64_t value;
    return mil__op_ints(lower->program, op, name, 1, &value) == 1 && value;
}

static bool scalar(const mil__lower *lower, mil_value value, double *out) {
    const mil_tensor *data = value_at(lower, value)->data;
    if (!data || mil__numel(data) != 1 || !mil__dtype_is_float(data->dtype)) return false;
    *out = mil__load_f64(data, 0);
    return true;
}

/* add(s, mask), either side: the running value and the other. */
static bool take_mask(const mil__lower *lower, const mil__op *op, mil_value *running, mil_value *mask) {
    mil_value x = mil__op_arg(op, 0)->values[0], y = mil__op_arg(op, 1)->values[0];
    const mil_type *type = value_at(lower, op->outputs[0])->type;
    bool x_runs = value_at(lower, x)->type == type && value_at(lower, x)->n_uses == 1 && value_at(lower, x)->op;
    *running = x_runs ? x : y;
    *mask = x_runs ? y : x;
    const mil_type *other = value_at(lower, *mask)->type;
    bool is_float_mask = other->dtype == MIL_FP32 || other->dtype == MIL_FP16;
    return value_at(lower, *running)->type == type && is_float_mask && other->rank <= type->rank;
}

static bool take_scale(const mil__lower *lower, const mil__op *op, mil_value *running, double *scale) {
    mil_value x = mil__op_arg(op, 0)->values[0], y = mil__op_arg(op, 1)->values[0];
    bool x_is = is_op(op, "mul") && scalar(lower, x, scale);
    if (!x_is && !scalar(lower, y, scale)) return false;
    *running = x_is ? y : x;
    if (is_op(op, "real_div")) *scale = 1 / *scale;
    return *scale != 0 && value_at(lower, *running)->type == value_at(lower, op->outputs[0])->type;
}

bool mil__match_attention(const mil__lower *lower, mil_operation last, mil__attention_ops *out) {
    const mil__op *mix = lower->program->ops[last], *op;
    mil_operation at;
    *out = (mil__attention_ops){.scale = 1};
    if (!is_op(mix, "matmul") || lower->strict || flag(lower, mix, "transpose_x") || flag(lower, mix, "transpose_y")) return false;
    mil_operation found[MIL__ATTENTION_OPS];
    int n = 0;
    found[n++] = last;
    op = only_maker(lower, mil__op_arg(mix, 0)->values[0], &at);
    int64_t axis = -1, rank = value_at(lower, mil__op_arg(mix, 0)->values[0])->type->rank;
    if (!is_op(op, "softmax")) return false;
    mil__op_ints(lower->program, op, "axis", 1, &axis);
    if (axis != -1 && axis != rank - 1) return false;
    found[n++] = at;
    mil_value running = mil__op_arg(op, 0)->values[0];
    op = only_maker(lower, running, &at);
    if (is_op(op, "add")) {
        if (!take_mask(lower, op, &running, &out->mask)) return false;
        found[n++] = at;
        op = only_maker(lower, running, &at);
    }
    if (is_op(op, "mul") || is_op(op, "real_div")) {
        if (!take_scale(lower, op, &running, &out->scale)) return false;
        found[n++] = at;
        op = only_maker(lower, running, &at);
    }
    if (!is_op(op, "matmul") || flag(lower, op, "transpose_x")) return false;
    found[n++] = at;
    out->q = mil__op_arg(op, 0)->values[0];
    out->key = mil__op_arg(op, 1)->values[0];
    out->v = mil__op_arg(mix, 1)->values[0];
    out->key_is_columns = !flag(lower, op, "transpose_y");
    out->n = n;
    for (int i = 0; i < n; i++) out->ops[i] = found[n - 1 - i];
    mil_dtype dtype = value_at(lower, out->q)->type->dtype;
    return (dtype == MIL_FP32 || dtype == MIL_FP16) && value_at(lower, out->q)->type->rank >= 2 &&
           value_at(lower, out->key)->type->rank >= 2 && value_at(lower, out->v)->type->rank >= 2;
}

mil_status mil__select_written_attention(mil__lower *lower, const mil__group *group, bool *done) {
    mil__attention_ops ops;
    if (!mil__match_attention(lower, group->ops[group->n_ops - 1], &ops)) return MIL_OK;
    mil__attention a = {.q = mil__slot_of(lower, ops.q), .key = mil__slot_of(lower, ops.key), .v = mil__slot_of(lower, ops.v),
                        .has_mask = ops.mask != 0, .scale = ops.scale, .key_is_columns = ops.key_is_columns};
    if (ops.mask) a.mask = mil__slot_of(lower, ops.mask);
    return mil__emit_attention(lower, group, &a, done);
}
