/* SPDX-License-Identifier: MIT */
/* lstm, gru, rnn: what x gives to the gates is one product for all steps; then step after step
 *
 *   x [steps * batch, in] --W + bias--> from x [steps * batch, gates * hidden]    a step of the plan, for each way
 *
 *                     from x, row of the step --+                                a step of the plan, for both ways
 *   h [batch, hidden] ------------R-----------> + --> sums --> cell --> h, c --> row of y
 *
 * in fp32, whatever x is; h and c are rounded where they are stored. A gru whose reset gate multiplies h multiplies R in three
 * parts, a gate each: that of the new value by what the reset gate has left of h. Where it multiplies R h, the cell adds what x
 * gives, so that this stays apart. */
#include <math.h>

#include "engine/cpu/compressed.h"
#include "ops/params.h"

enum { PARALLEL_WORK = 1 << 20 };  /* multiplications of a step of x from which on lanes share them */

typedef struct gemm_work {
    void (*run)(const mil__gemm *gemm, size_t begin, size_t end, void *scratch);
    mil__gemm gemm;
    size_t gate;                     /* of the weight: the first of those that it takes */
} gemm_work;

static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const gemm_work *work = ctx;
    work->run(&work->gemm, begin, end, scratch);
}

/* A matrix that is read as it lies comes from the run's slot: from row `first` on. */
static void set_b(mil__gemm *gemm, const mil__run *run, uint32_t slot, size_t first) {
    if (gemm->packed_b || gemm->source) return;
    gemm->b.data = (const char *)run->t[slot].data + first * gemm->k * mil__storage_bytes(gemm->b.dtype);
}

/* ---- what x gives ---- */

static mil_status run_project(mil__run *run, const mil__step *step) {
    gemm_work work = *(const gemm_work *)step->params;
    work.gemm.a.data = run->t[step->in[0]].data;
    work.gemm.c = run->t[step->out[0]].data;
    set_b(&work.gemm, run, step->in[1], 0);
    mil__run_tiles(run, work.gemm.n_tiles, run_tiles, &work);
    return MIL_OK;
}

/* ---- step after step ---- */

typedef struct layer {
    bool sequence, beside;           /* every step of y; those of the way back beside those of the way there */
    bool from_end[2];
    bool has_c, adds_x;              /* a cell that keeps c; products that add what x gives: else the cell does */
    size_t steps, batch, hidden, gates, n_ways;
    mil__cell cell[2], reset;
    void (*cell_fn)(const mil__cell *cell, size_t batch, const float *x, const float *sums, float *h, float *c);
    gemm_work recur[2][3];           /* in the order in which they are taken */
    size_t n_products;               /* 3: of a gru, whose second is by what the reset gate has left of h */
    bool parallel;
} layer;

/* A way's h, c (of a gru: what the reset gate has left of h) and sums, and where its columns lie in rows of
 * [batch, ways * hidden]. */
typedef struct state {
    float *h, *c, *sums;
    size_t column, width;
} state;

static void move_state(const layer *p, const state *s, const mil_tensor *from, float *to) {
    size_t size = (size_t)mil_dtype_bits(from->dtype) / 8;
    for (size_t b = 0; b < p->batch; b++)
        mil__convert(MIL_FP32, to + b * p->hidden, 1, from->dtype, (const char *)from->data + (b * s->width + s->column) * size, 1,
                     (int64_t)p->hidden);
}

static void store_state(const layer *p, const state *s, const float *from, const mil_tensor *to, size_t row) {
    size_t size = (size_t)mil_dtype_bits(to->dtype) / 8;
    for (size_t b = 0; b < p->batch; b++)
        mil__convert(to->dtype, (char *)to->data + ((row * p->batch + b) * s->width + s->column) * size, 1, MIL_FP32,
                     from + b * p->hidden, 1, (int64_t)p->hidden);
}

static void multiply(mil__run *run, const layer *p, const gemm_work *product, const float *a, const float *from_x, uint32_t weight,
                     float *sums) {
    gemm_work work = *product;
    work.gemm.a.data = a;
    work.gemm.c = sums + product->gate * p->hidden;
    work.gemm.ep.add = p->adds_x ? from_x + product->gate * p->hidden : NULL;
    set_b(&work.gemm, run, weight, product->gate * p->hidden);
    if (p->parallel) mil__run_tiles(run, work.gemm.n_tiles, run_tiles, &work);
    else run_tiles(&work, 0, work.gemm.n_tiles, run->scratch);
}

static void take_step(mil__run *run, const layer *p, int way, const float *from_x, uint32_t weight, const state *s) {
    const gemm_work *products = p->recur[way];
    multiply(run, p, &products[0], s->h, from_x, weight, s->sums);
    if (p->n_products == 3) {
        p->cell_fn(&p->reset, p->batch, from_x, s->sums, s->h, s->c);
        multiply(run, p, &products[1], s->c, from_x, weight, s->sums);
        multiply(run, p, &products[2], s->h, from_x, weight, s->sums);
    }
    p->cell_fn(&p->cell[way], p->batch, from_x, s->sums, s->h, s->c);
}

static void run_way(mil__run *run, const layer *p, int way, const float *from_x, uint32_t weight, const state *s, const mil_tensor *y) {
    for (size_t t = 0; t < p->steps && !mil__is_cancelled(run->cancel); t++) {
        size_t at = p->from_end[way] ? p->steps - 1 - t : t;
        take_step(run, p, way, from_x + at * p->batch * p->gates * p->hidden, weight, s);
        if (p->sequence) store_state(p, s, s->h, y, p->beside ? at : t);
    }
    if (!p->sequence) store_state(p, s, s->h, y, 0);
}

/* in: what x gives and R of each way, then h, c; out: y, room for a way's state, h, c. */
static mil_status run_layer(mil__run *run, const mil__step *step) {
    const layer *p = step->params;
    const mil_tensor *y = &run->t[step->out[0]];
    const uint32_t *from = step->in + 2 * p->n_ways, *to = step->out + 2;
    float *room = run->t[step->out[1]].data;
    size_t size = p->batch * p->hidden;
    for (size_t way = 0; way < p->n_ways; way++) {
        state s = {room, room + size, room + 2 * size, way * p->hidden, p->n_ways * p->hidden};
        move_state(p, &s, &run->t[from[0]], s.h);
        if (p->has_c) move_state(p, &s, &run->t[from[1]], s.c);
        run_way(run, p, (int)way, run->t[step->in[2 * way]].data, step->in[2 * way + 1], &s, y);
        store_state(p, &s, s.h, &run->t[to[0]], 0);
        if (p->has_c) store_state(p, &s, s.c, &run->t[to[1]], 0);
    }
    return MIL_OK;
}

/* ---- selection ---- */

static mil__gate gate_of(int activation) {
    static const mil__gate gates[] = {[MIL__LINEAR] = MIL__GATE_LINEAR, [MIL__RELU] = MIL__GATE_RELU, [MIL__TANH] = MIL__GATE_TANH,
                                      [MIL__SCALED_TANH] = MIL__GATE_TANH, [MIL__SIGMOID] = MIL__GATE_SIGMOID,
                                      [MIL__HARD_SIGMOID] = MIL__GATE_HARD_SIGMOID};
    return gates[activation];
}

static const char *const names[2][4] = {{"weight_ih", "weight_hh", "bias", "peephole"},
                                        {"weight_ih_back", "weight_hh_back", "bias_back", "peephole_back"}};

static uint32_t slot_named(mil__lower *lower, const mil__op *op, const char *name) {
    return mil__slot_of(lower, mil__op_arg_named(op, name)->values[0]);
}

/* A vector's elements, in the plan; *out stays NULL where it is absent. */
static mil_status get_floats(mil__lower *lower, const mil__op *op, const char *name, const float **out) {
    const mil__values *arg = mil__op_arg_named(op, name);
    return arg ? mil__lower_floats(lower, lower->program->values[arg->values[0]]->data, out) : MIL_OK;
}

static bool is_at_hand(const mil__lower *lower, const mil__op *op, const char *name) {
    const mil__values *arg = mil__op_arg_named(op, name);
    return !arg || lower->program->values[arg->values[0]]->data;
}

/* By as many gates of a weight. */
static mil__gemm product(const layer *p, size_t gates, size_t rows, size_t depth, mil__storage a, mil__storage b) {
    return (mil__gemm){.m = rows, .n = gates * p->hidden, .k = depth, .a = {.dtype = a, .rs = (ptrdiff_t)depth, .cs = 1},
                       .b = {.dtype = b, .rs = 1, .cs = (ptrdiff_t)depth}, .c_dtype = MIL__F32,
                       .c_rs = (ptrdiff_t)(p->gates * p->hidden), .c_cs = 1};
}

/* Both biases of a gru are added to what x gives, where nothing comes between them and the sums. */
static mil_status get_bias(mil__lower *lower, const mil__op *op, const layer *p, int way, const float **out) {
    const float *bias = NULL, *into = NULL;
    MIL__TRY(get_floats(lower, op, "input_bias", &into));
    if (p->adds_x) MIL__TRY(get_floats(lower, op, names[way][2], &bias));
    *out = bias ? bias : into;
    if (!bias || !into) return MIL_OK;
    float *both = mil__lower_alloc(lower, p->gates * p->hidden * sizeof *both);
    if (!both) return mil__nomem(lower->err);
    for (size_t i = 0; i < p->gates * p->hidden; i++) both[i] = bias[i] + into[i];
    *out = both;
    return MIL_OK;
}

/* The product of all steps of x, as a step of its own. */
static mil_status project(mil__lower *lower, const mil__group *group, const layer *p, int way, uint32_t *out) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, slot_named(lower, op, "x"));
    uint32_t *ends = mil__lower_alloc(lower, 3 * sizeof *ends);
    gemm_work *work = mil__lower_alloc(lower, sizeof *work);
    if (!ends || !work) return mil__nomem(lower->err);
    ends[0] = slot_named(lower, op, "x");
    ends[1] = slot_named(lower, op, names[way][0]);
    work->run = lower->k->gemm;
    work->gemm = product(p, p->gates, p->steps * p->batch, (size_t)x->shape[2], mil__storage_of(x->dtype),
                         mil__storage_of(mil__slot_at(lower, ends[1])->dtype));
    MIL__TRY(get_bias(lower, op, p, way, &work->gemm.ep.bias));
    MIL__TRY(mil__gemm_take_b(lower, &work->gemm, ends[1], 0));
    lower->k->gemm_plan(&work->gemm, lower->n_lanes);
    const int64_t shape[2] = {(int64_t)work->gemm.m, (int64_t)work->gemm.n};
    MIL__TRY(mil__slot_new(lower, MIL_FP32, 2, shape, out));
    ends[2] = *out;
    mil__step step = {.run = run_project, .params = work, .in = ends, .n_in = 2, .out = ends + 2, .n_out = 1,
                      .scratch = work->gemm.scratch_bytes, .kernel = work->gemm.source ? "gemm, compressed" : "gemm"};
    return mil__lower_step(lower, group, &step);
}

/* A product of each step. R is packed where there are rows enough for that to help. */
static mil_status recur_gates(mil__lower *lower, const mil__op *op, layer *p, int way, uint32_t weight, gemm_work *work) {
    mil__gemm *gemm = &work->gemm;
    const mil__slot *slot = mil__slot_at(lower, weight);
    *gemm = product(p, p->gates / p->n_products, p->batch, p->hidden, MIL__F32, mil__storage_of(slot->dtype));
    bool takes = p->batch > 1 ? slot->kind != MIL__SLOT_ARENA : slot->kind == MIL__SLOT_COMPRESSED;
    if (takes) MIL__TRY(mil__gemm_take_b(lower, gemm, weight, work->gate * p->hidden));
    if (p->adds_x) gemm->ep.add = p; /* something: the run sets it */
    else MIL__TRY(get_floats(lower, op, names[way][2], &gemm->ep.bias));
    gemm->ep.add_dtype = MIL__F32;
    gemm->ep.add_rs = gemm->c_rs;
    gemm->ep.add_cs = 1;
    work->run = lower->k->gemm;
    lower->k->gemm_plan(gemm, lower->n_lanes);
    return MIL_OK;
}

/* R is read again with every step: it is expanded first where it is compressed and read more than once. */
static mil_status recur(mil__lower *lower, const mil__op *op, layer *p, int way, uint32_t *weight, size_t *scratch) {
    if (p->steps > 1) MIL__TRY(mil__slot_dense(lower, weight));
    for (size_t i = 0; i < p->n_products; i++) {
        gemm_work *work = &p->recur[way][i];
        work->gate = i;
        MIL__TRY(recur_gates(lower, op, p, way, *weight, work));
        if (work->gemm.scratch_bytes > *scratch) *scratch = work->gemm.scratch_bytes;
    }
    return MIL_OK;
}

static mil_status make_cell(mil__lower *lower, const mil__op *op, const struct mil__recurrent_params *given, layer *p, int way) {
    mil__cell_kind kind = p->gates == 4 ? MIL__CELL_LSTM : p->gates == 1 ? MIL__CELL_RNN : p->adds_x ? MIL__CELL_GRU : MIL__CELL_GRU_AFTER;
    p->cell[way] = (mil__cell){.kind = kind, .gates = p->gates, .hidden = p->hidden, .recurrent = gate_of(given->recurrent),
                               .cell = gate_of(given->cell), .activation = gate_of(given->activation), .clip = (float)given->clip};
    p->reset = p->cell[0];
    p->reset.kind = MIL__CELL_RESET;
    return get_floats(lower, op, names[way][3], &p->cell[way].peephole);
}

static mil_status emit(mil__lower *lower, const mil__group *group, const struct mil__recurrent_params *given, layer *p) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t *in = mil__lower_alloc(lower, 10 * sizeof *in), *out = in + 6, n_in = 0, n_out = 2;
    size_t scratch = 0;
    if (!in) return mil__nomem(lower->err);
    for (int way = 0; way < (int)p->n_ways; way++, n_in += 2) {
        in[n_in + 1] = slot_named(lower, op, names[way][1]);
        MIL__TRY(project(lower, group, p, way, &in[n_in]));
        MIL__TRY(recur(lower, op, p, way, &in[n_in + 1], &scratch));
        MIL__TRY(make_cell(lower, op, given, p, way));
    }
    in[n_in++] = slot_named(lower, op, "initial_h");
    if (p->has_c) in[n_in++] = slot_named(lower, op, "initial_c");
    p->parallel = lower->n_lanes > 1 && p->batch * p->gates * p->hidden * p->hidden >= PARALLEL_WORK;
    out[0] = mil__slot_of(lower, op->outputs[0]);
    for (uint32_t i = 1; i < op->n_outputs; i++) out[n_out++] = mil__slot_of(lower, op->outputs[i]);
    const int64_t room = (int64_t)((2 + p->gates) * p->batch * p->hidden);
    MIL__TRY(mil__slot_new(lower, MIL_FP32, 1, &room, &out[1]));
    mil__step step = {.run = run_layer, .params = p, .in = in, .n_in = n_in, .out = out, .n_out = n_out, .scratch = scratch,
                      .kernel = op->decl->name};
    return mil__lower_step(lower, group, &step);
}

mil_status mil__select_recurrent(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, slot_named(lower, op, "x"));
    const void *inferred;
    MIL__TRY(mil__lower_params(lower, op, &inferred));
    const struct mil__recurrent_params *given = inferred;
    int n_ways = given->direction == MIL__BIDIRECTIONAL ? 2 : 1;
    bool fits = mil__kernel_float(x->dtype) && is_at_hand(lower, op, "input_bias");
    for (int way = 0; way < n_ways && fits; way++)
        fits = is_at_hand(lower, op, names[way][2]) && is_at_hand(lower, op, names[way][3]);
    if (!fits) return MIL_OK;
    layer *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    size_t rows = (size_t)mil__slot_at(lower, slot_named(lower, op, "weight_hh"))->shape[0], hidden = (size_t)given->hidden;
    *p = (layer){.sequence = given->sequence, .beside = n_ways == 2, .from_end = {given->direction == MIL__REVERSE, true},
                 .has_c = op->n_outputs == 3, .adds_x = !given->reset_after, .steps = (size_t)x->shape[0], .batch = (size_t)x->shape[1],
                 .hidden = hidden, .gates = rows / hidden, .n_ways = (size_t)n_ways, .cell_fn = lower->k->cell};
    p->n_products = p->gates == 3 && p->adds_x ? 3 : 1;
    *done = true;
    return emit(lower, group, given, p);
}
