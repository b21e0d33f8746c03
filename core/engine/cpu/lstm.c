/* SPDX-License-Identifier: MIT */
/* lstm: what x gives to the gates is one product for all steps; then step after step
 *
 *   x [steps * batch, in] --W + bias--> from x [steps * batch, 4 hidden]      a step of the plan, for each way
 *
 *                     from x, row of the step --+                            a step of the plan, for both ways
 *   h [batch, hidden] ------------R-----------> + --> sums --> cell --> h, c --> row of y
 *
 * in fp32, whatever x is; h and c are rounded where they are stored. gru and rnn are evaluated plainly. */
#include <math.h>

#include "engine/cpu/compressed.h"
#include "ops/params.h"

enum { PARALLEL_WORK = 1 << 20 };  /* multiplications of a step of x from which on lanes share them */

typedef struct gemm_work {
    void (*run)(const mil__gemm *gemm, size_t begin, size_t end, void *scratch);
    mil__gemm gemm;
} gemm_work;

static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const gemm_work *work = ctx;
    work->run(&work->gemm, begin, end, scratch);
}

/* A matrix that is read as it lies comes from the run's slot. */
static void set_b(mil__gemm *gemm, const mil__run *run, uint32_t slot) {
    if (!gemm->packed_b && !gemm->source) gemm->b.data = run->t[slot].data;
}

/* ---- what x gives ---- */

static mil_status run_project(mil__run *run, const mil__step *step) {
    gemm_work work = *(const gemm_work *)step->params;
    work.gemm.a.data = run->t[step->in[0]].data;
    work.gemm.c = run->t[step->out[0]].data;
    set_b(&work.gemm, run, step->in[1]);
    mil__run_tiles(run, work.gemm.n_tiles, run_tiles, &work);
    return MIL_OK;
}

/* ---- step after step ---- */

typedef struct lstm_params {
    bool sequence, beside;           /* every step of y; those of the way back beside those of the way there */
    bool from_end[2];
    size_t steps, batch, hidden, n_ways;
    mil__cell cell[2];
    void (*cell_fn)(const mil__cell *cell, size_t batch, const float *sums, float *h, float *c);
    gemm_work recur[2];
    bool parallel;
} lstm_params;

/* A way's h, c and sums, and where its columns lie in rows of [batch, ways * hidden]. */
typedef struct state {
    float *h, *c, *sums;
    size_t column, width;
} state;

static void move_state(const lstm_params *p, const state *s, const mil_tensor *from, float *to) {
    size_t size = (size_t)mil_dtype_bits(from->dtype) / 8;
    for (size_t b = 0; b < p->batch; b++)
        mil__convert(MIL_FP32, to + b * p->hidden, 1, from->dtype, (const char *)from->data + (b * s->width + s->column) * size, 1,
                     (int64_t)p->hidden);
}

static void store_state(const lstm_params *p, const state *s, const float *from, const mil_tensor *to, size_t row) {
    size_t size = (size_t)mil_dtype_bits(to->dtype) / 8;
    for (size_t b = 0; b < p->batch; b++)
        mil__convert(to->dtype, (char *)to->data + ((row * p->batch + b) * s->width + s->column) * size, 1, MIL_FP32,
                     from + b * p->hidden, 1, (int64_t)p->hidden);
}

static void run_way(mil__run *run, const lstm_params *p, int way, const float *from_x, uint32_t weight, const state *s,
                    const mil_tensor *y) {
    gemm_work work = p->recur[way];
    work.gemm.a.data = s->h;
    work.gemm.c = s->sums;
    set_b(&work.gemm, run, weight);
    for (size_t t = 0; t < p->steps && !mil__is_cancelled(run->cancel); t++) {
        size_t at = p->from_end[way] ? p->steps - 1 - t : t;
        work.gemm.ep.add = from_x + at * p->batch * 4 * p->hidden;
        if (p->parallel) mil__run_tiles(run, work.gemm.n_tiles, run_tiles, &work);
        else run_tiles(&work, 0, work.gemm.n_tiles, run->scratch);
        p->cell_fn(&p->cell[way], p->batch, s->sums, s->h, s->c);
        if (p->sequence) store_state(p, s, s->h, y, p->beside ? at : t);
    }
    if (!p->sequence) store_state(p, s, s->h, y, 0);
}

/* in: h, c, then what x gives and R of each way; out: y, h, c, room for a way's state. */
static mil_status run_lstm(mil__run *run, const mil__step *step) {
    const lstm_params *p = step->params;
    const mil_tensor *y = &run->t[step->out[0]], *h = &run->t[step->out[1]], *c = &run->t[step->out[2]];
    float *room = run->t[step->out[3]].data;
    size_t size = p->batch * p->hidden;
    for (size_t way = 0; way < p->n_ways; way++) {
        state s = {room, room + size, room + 2 * size, way * p->hidden, p->n_ways * p->hidden};
        move_state(p, &s, &run->t[step->in[0]], s.h);
        move_state(p, &s, &run->t[step->in[1]], s.c);
        run_way(run, p, (int)way, run->t[step->in[2 + 2 * way]].data, step->in[3 + 2 * way], &s, y);
        store_state(p, &s, s.h, h, 0);
        store_state(p, &s, s.c, c, 0);
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

static mil__gemm product(const lstm_params *p, size_t rows, size_t depth, mil__storage a, mil__storage b) {
    return (mil__gemm){.m = rows, .n = 4 * p->hidden, .k = depth, .a = {.dtype = a, .rs = (ptrdiff_t)depth, .cs = 1},
                       .b = {.dtype = b, .rs = 1, .cs = (ptrdiff_t)depth}, .c_dtype = MIL__F32,
                       .c_rs = (ptrdiff_t)(4 * p->hidden), .c_cs = 1};
}

/* The product of all steps of x, as a step of its own. */
static mil_status project(mil__lower *lower, const mil__group *group, const lstm_params *p, int way, uint32_t *out) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, slot_named(lower, op, "x"));
    uint32_t *ends = mil__lower_alloc(lower, 3 * sizeof *ends);
    gemm_work *work = mil__lower_alloc(lower, sizeof *work);
    if (!ends || !work) return mil__nomem(lower->err);
    ends[0] = slot_named(lower, op, "x");
    ends[1] = slot_named(lower, op, names[way][0]);
    work->run = lower->k->gemm;
    work->gemm = product(p, p->steps * p->batch, (size_t)x->shape[2], mil__storage_of(x->dtype),
                         mil__storage_of(mil__slot_at(lower, ends[1])->dtype));
    MIL__TRY(get_floats(lower, op, names[way][2], &work->gemm.ep.bias));
    MIL__TRY(mil__gemm_take_b(lower, &work->gemm, ends[1]));
    lower->k->gemm_plan(&work->gemm, lower->n_lanes);
    const int64_t shape[2] = {(int64_t)work->gemm.m, (int64_t)work->gemm.n};
    MIL__TRY(mil__slot_new(lower, MIL_FP32, 2, shape, out));
    ends[2] = *out;
    mil__step step = {.run = run_project, .params = work, .in = ends, .n_in = 2, .out = ends + 2, .n_out = 1,
                      .scratch = work->gemm.scratch_bytes, .kernel = work->gemm.source ? "gemm, compressed" : "gemm"};
    return mil__lower_step(lower, group, &step);
}

/* The product of each step. R is read again with every one: it is packed where there are rows enough for that to help, and
 * expanded first where it is compressed and read more than once. */
static mil_status recur(mil__lower *lower, lstm_params *p, int way, uint32_t *weight) {
    mil__gemm *gemm = &p->recur[way].gemm;
    if (p->steps > 1) MIL__TRY(mil__slot_dense(lower, weight));
    const mil__slot *slot = mil__slot_at(lower, *weight);
    *gemm = product(p, p->batch, p->hidden, MIL__F32, mil__storage_of(slot->dtype));
    bool takes = p->batch > 1 ? slot->kind != MIL__SLOT_ARENA : slot->kind == MIL__SLOT_COMPRESSED;
    if (takes) MIL__TRY(mil__gemm_take_b(lower, gemm, *weight));
    gemm->ep.add = p; /* something: the run sets it */
    gemm->ep.add_dtype = MIL__F32;
    gemm->ep.add_rs = gemm->c_rs;
    gemm->ep.add_cs = 1;
    p->recur[way].run = lower->k->gemm;
    lower->k->gemm_plan(gemm, lower->n_lanes);
    return MIL_OK;
}

static mil_status make_cell(mil__lower *lower, const mil__op *op, const struct mil__recurrent_params *given, lstm_params *p, int way) {
    p->cell[way] = (mil__cell){.hidden = p->hidden, .recurrent = gate_of(given->recurrent), .cell = gate_of(given->cell),
                               .activation = gate_of(given->activation), .clip = (float)given->clip};
    return get_floats(lower, op, names[way][3], &p->cell[way].peephole);
}

static mil_status emit(mil__lower *lower, const mil__group *group, const struct mil__recurrent_params *given, lstm_params *p) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t *ends = mil__lower_alloc(lower, 10 * sizeof *ends), *out = ends + 6;
    size_t scratch = 0;
    if (!ends) return mil__nomem(lower->err);
    ends[0] = slot_named(lower, op, "initial_h");
    ends[1] = slot_named(lower, op, "initial_c");
    for (int way = 0; way < (int)p->n_ways; way++) {
        ends[3 + 2 * way] = slot_named(lower, op, names[way][1]);
        MIL__TRY(project(lower, group, p, way, &ends[2 + 2 * way]));
        MIL__TRY(recur(lower, p, way, &ends[3 + 2 * way]));
        MIL__TRY(make_cell(lower, op, given, p, way));
        if (p->recur[way].gemm.scratch_bytes > scratch) scratch = p->recur[way].gemm.scratch_bytes;
    }
    p->parallel = lower->n_lanes > 1 && p->batch * 4 * p->hidden * p->hidden >= PARALLEL_WORK;
    for (int i = 0; i < 3; i++) out[i] = mil__slot_of(lower, op->outputs[i]);
    const int64_t room = (int64_t)(6 * p->batch * p->hidden);
    MIL__TRY(mil__slot_new(lower, MIL_FP32, 1, &room, &out[3]));
    mil__step step = {.run = run_lstm, .params = p, .in = ends, .n_in = 2 + 2 * (uint32_t)p->n_ways, .out = out, .n_out = 4,
                      .scratch = scratch, .kernel = "lstm"};
    return mil__lower_step(lower, group, &step);
}

mil_status mil__select_lstm(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, slot_named(lower, op, "x"));
    const void *inferred;
    MIL__TRY(mil__lower_params(lower, op, &inferred));
    const struct mil__recurrent_params *given = inferred;
    int n_ways = given->direction == MIL__BIDIRECTIONAL ? 2 : 1;
    bool fits = mil__kernel_float(x->dtype);
    for (int way = 0; way < n_ways && fits; way++)
        fits = is_at_hand(lower, op, names[way][2]) && is_at_hand(lower, op, names[way][3]);
    if (!fits) return MIL_OK;
    lstm_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    *p = (lstm_params){.sequence = given->sequence, .beside = n_ways == 2, .steps = (size_t)x->shape[0], .batch = (size_t)x->shape[1],
                       .hidden = (size_t)given->hidden, .n_ways = (size_t)n_ways, .cell_fn = lower->k->cell,
                       .from_end = {given->direction == MIL__REVERSE, true}};
    *done = true;
    return emit(lower, group, given, p);
}
