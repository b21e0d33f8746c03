/* SPDX-License-Identifier: MIT */
/* softmax, norms and reductions on their kernels: their axes as one run of axes, x[outer, n, inner]. */
#include <math.h>

#include "engine/cpu/norm.h"

/* ---- axes ---- */

typedef struct span {
    size_t outer, n, inner;
} span;

/* The axes of a mask as one run, those of size 1 not looked at. False where they are none. */
static bool span_of(const mil__slot *slot, uint32_t mask, span *out) {
    *out = (span){1, 1, 1};
    int state = 0; /* before, in, behind */
    for (int i = 0; i < slot->rank; i++) {
        size_t size = (size_t)slot->shape[i];
        bool reduced = mask >> i & 1;
        if (size == 1) continue;
        if (state == 0 && reduced) state = 1;
        if (state == 1 && !reduced) state = 2;
        if (state == 2 && reduced) return false;
        *(state == 0 ? &out->outer : state == 1 ? &out->n : &out->inner) *= size;
    }
    return true;
}

static uint32_t axis_bit(int64_t axis, int rank) { return 1u << (axis < 0 ? axis + rank : axis); }

uint32_t mil__axes_of(const mil__lower *lower, const mil__op *op, const char *name, int rank, uint32_t none) {
    int64_t axes[MIL_MAX_RANK];
    int n = mil__op_ints(lower->program, op, name, MIL_MAX_RANK, axes);
    uint32_t mask = 0;
    for (int i = 0; i < n; i++) mask |= axis_bit(axes[i], rank);
    return n < 0 ? none : mask;
}

/* What a step reads and what it writes. */
static mil_status ends_of(mil__lower *lower, mil_value x, mil_value y, uint32_t **out) {
    uint32_t *ends = mil__lower_alloc(lower, 2 * sizeof *ends);
    if (!ends) return mil__nomem(lower->err);
    ends[0] = mil__slot_of(lower, x);
    ends[1] = mil__slot_of(lower, y);
    *out = ends;
    return MIL_OK;
}

/* ---- rows ---- */

typedef struct rows_params {
    mil__rows rows;
    void (*kernel)(const mil__rows *rows, const void *x, void *y, size_t begin, size_t end, void *scratch);
} rows_params;

typedef struct rows_run {
    const rows_params *params;
    const void *x;
    void *y;
} rows_run;

static void run_row_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const rows_run *run = ctx;
    run->params->kernel(&run->params->rows, run->x, run->y, begin, end, scratch);
}

static mil_status run_rows(mil__run *run, const mil__step *step) {
    rows_run work = {step->params, run->t[step->in[0]].data, run->t[step->out[0]].data};
    mil__run_tiles(run, work.params->rows.n_tiles, run_row_tiles, &work);
    return MIL_OK;
}

/* The step; rows says everything but the plan's part. */
static mil_status emit_rows(mil__lower *lower, const mil__group *group, mil_value x, const mil__rows *rows, const char *kernel) {
    uint32_t *ends = NULL;
    MIL__TRY(ends_of(lower, x, group->result, &ends));
    rows_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    p->rows = *rows;
    p->kernel = lower->k->rows;
    lower->k->rows_plan(&p->rows, lower->n_lanes);
    mil__slot_take_over(lower, ends[1], ends[0]);
    mil__step step = {.run = run_rows, .params = p, .in = ends, .n_in = 1, .out = ends + 1, .n_out = 1,
                      .scratch = p->rows.scratch_bytes, .kernel = kernel};
    return mil__lower_step(lower, group, &step);
}

static mil__rows rows_of(mil__rows_kind kind, const mil__slot *x, span span) {
    return (mil__rows){.kind = kind, .outer = span.outer, .n = span.n, .inner = span.inner, .dtype = mil__storage_of(x->dtype)};
}

mil_status mil__select_softmax(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    span span;
    if (!mil__kernel_float(x->dtype) || x->rank == 0) return MIL_OK;
    if (!span_of(x, mil__axes_of(lower, op, "axis", x->rank, axis_bit(-1, x->rank)), &span)) return MIL_OK;
    mil__rows rows = rows_of(MIL__ROWS_SOFTMAX, x, span);
    *done = true;
    return emit_rows(lower, group, mil__op_arg_named(op, "x")->values[0], &rows, "softmax");
}

/* A parameter's known elements as floats; *out NULL where it is absent. False where it is not known. */
static mil_status floats_of(mil__lower *lower, const mil__op *op, const char *name, const float **out, bool *known) {
    const mil__values *arg = mil__op_arg_named(op, name);
    *out = NULL;
    *known = !arg || lower->program->values[arg->values[0]]->data;
    return arg && *known ? mil__lower_floats(lower, lower->program->values[arg->values[0]]->data, out) : MIL_OK;
}

double mil__epsilon_of(const mil__lower *lower, const mil__op *op) {
    const mil__param *row = NULL;
    const mil__values *arg = mil__op_arg_named(op, "epsilon");
    const mil_tensor *data = arg ? lower->program->values[arg->values[0]]->data : NULL;
    if (data) return mil__load_f64(data, 0);
    mil__op_slot(op->decl, lower->program->functions[0].opset, "epsilon", &row);
    return row->number;
}

static mil_status emit_norm(mil__lower *lower, const mil__group *group, mil__rows *rows, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    bool known_gamma, known_beta;
    MIL__TRY(floats_of(lower, op, "gamma", &rows->gamma, &known_gamma));
    MIL__TRY(floats_of(lower, op, "beta", &rows->beta, &known_beta));
    if (!known_gamma || !known_beta) return MIL_OK;
    rows->epsilon = (float)mil__epsilon_of(lower, op);
    *done = true;
    return emit_rows(lower, group, mil__op_arg_named(op, "x")->values[0], rows, "norm");
}

static mil_status select_layer_norm(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    span span;
    if (!mil__kernel_float(x->dtype)) return MIL_OK;
    if (!span_of(x, mil__axes_of(lower, op, "axes", x->rank, (1u << x->rank) - 1), &span)) return MIL_OK;
    mil__rows rows = rows_of(MIL__ROWS_NORM, x, span);
    return emit_norm(lower, group, &rows, done);
}

/* [N, C, spatial..]: a row is one channel of one image, gamma and beta are by channel. */
static mil_status select_instance_norm(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    if (!mil__kernel_float(x->dtype)) return MIL_OK;
    mil__rows rows = rows_of(MIL__ROWS_NORM, x, (span){(size_t)(x->shape[0] * x->shape[1]), 1, 1});
    for (int i = 2; i < x->rank; i++) rows.n *= (size_t)x->shape[i];
    rows.channels = (size_t)x->shape[1];
    return emit_norm(lower, group, &rows, done);
}

mil_status mil__select_norm(mil__lower *lower, const mil__group *group, bool *done) {
    bool is_layer = strcmp(lower->program->ops[group->ops[0]]->decl->name, "layer_norm") == 0;
    return is_layer ? select_layer_norm(lower, group, done) : select_instance_norm(lower, group, done);
}

/* x over the root of sum + epsilon: over the root of mean + epsilon / n, times 1 / sqrt(n). */
mil_status mil__select_l2_norm(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    float *gamma = mil__lower_alloc(lower, sizeof *gamma);
    span span;
    if (!gamma) return mil__nomem(lower->err);
    if (!mil__kernel_float(x->dtype) || !span_of(x, 7u << (x->rank - 3), &span)) return MIL_OK;
    mil__rows rows = rows_of(MIL__ROWS_NORM, x, span);
    *gamma = 1 / sqrtf((float)span.n);
    rows.gamma = gamma;
    rows.channels = 1;
    rows.keep_mean = true;
    rows.epsilon = (float)(mil__epsilon_of(lower, op) / (double)span.n);
    *done = true;
    return emit_rows(lower, group, mil__op_arg_named(op, "x")->values[0], &rows, "norm");
}

/* A known value's elements as floats, where there is one. */
static mil_status known_floats(mil__lower *lower, mil_value value, const float **out) {
    return value ? mil__lower_floats(lower, lower->program->values[value]->data, out) : MIL_OK;
}

mil_status mil__select_written_norm(mil__lower *lower, const mil__group *group, bool *done) {
    mil__norm_ops form;
    if (!mil__match_norm(lower, group->ops[group->n_ops - 1], &form)) return MIL_OK;
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, form.x));
    span span;
    if (!span_of(x, form.axes, &span)) return MIL_OK;
    mil__rows rows = rows_of(MIL__ROWS_NORM, x, span);
    rows.epsilon = (float)form.epsilon;
    rows.keep_mean = form.keep_mean;
    MIL__TRY(known_floats(lower, form.gamma, &rows.gamma));
    MIL__TRY(known_floats(lower, form.beta, &rows.beta));
    *done = true;
    return emit_rows(lower, group, form.x, &rows, "norm");
}

/* ---- reductions ---- */

typedef struct reduce_params {
    mil__reduce reduce;
    void (*kernel)(const mil__reduce *reduce, const void *x, void *y, size_t begin, size_t end, void *scratch);
} reduce_params;

typedef struct reduce_run {
    const reduce_params *params;
    const void *x;
    void *y;
} reduce_run;

static void run_reduce_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const reduce_run *run = ctx;
    run->params->kernel(&run->params->reduce, run->x, run->y, begin, end, scratch);
}

static mil_status run_reduce(mil__run *run, const mil__step *step) {
    reduce_run work = {step->params, run->t[step->in[0]].data, run->t[step->out[0]].data};
    mil__run_tiles(run, work.params->reduce.n_tiles, run_reduce_tiles, &work);
    return MIL_OK;
}

static const struct {
    const char *op;
    mil__reduce_kind kind;
} reductions[] = {
    {"reduce_sum", MIL__REDUCE_SUM}, {"reduce_mean", MIL__REDUCE_MEAN}, {"reduce_max", MIL__REDUCE_MAX},
    {"reduce_min", MIL__REDUCE_MIN}, {"reduce_prod", MIL__REDUCE_PROD}, {"reduce_l1_norm", MIL__REDUCE_L1},
    {"reduce_l2_norm", MIL__REDUCE_L2}, {"reduce_sum_square", MIL__REDUCE_SUM_SQUARE},
    {"reduce_log_sum", MIL__REDUCE_LOG_SUM}, {"reduce_log_sum_exp", MIL__REDUCE_LOG_SUM_EXP},
};

mil_status mil__select_reduce(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    uint32_t all = (1u << x->rank) - 1;
    size_t k = 0;
    span span;
    while (k < MIL__COUNT(reductions) && strcmp(reductions[k].op, op->decl->name) != 0) k++;
    if (k == MIL__COUNT(reductions) || !mil__kernel_float(x->dtype)) return MIL_OK;
    if (!span_of(x, mil__axes_of(lower, op, "axes", x->rank, all), &span) || span.n == 0) return MIL_OK;
    reduce_params *p = mil__lower_alloc(lower, sizeof *p);
    uint32_t *ends = NULL;
    if (!p) return mil__nomem(lower->err);
    MIL__TRY(ends_of(lower, mil__op_arg_named(op, "x")->values[0], op->outputs[0], &ends));
    p->reduce = (mil__reduce){.kind = reductions[k].kind, .outer = span.outer, .n = span.n, .inner = span.inner,
                              .dtype = mil__storage_of(x->dtype)};
    p->kernel = lower->k->reduce;
    lower->k->reduce_plan(&p->reduce, lower->n_lanes);
    mil__step step = {.run = run_reduce, .params = p, .in = ends, .n_in = 1, .out = ends + 1, .n_out = 1,
                      .scratch = p->reduce.scratch_bytes, .kernel = "reduce"};
    *done = true;
    return mil__lower_step(lower, group, &step);
}
