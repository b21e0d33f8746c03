/* SPDX-License-Identifier: MIT */
/* upsample_* and resize* on their kernel, where no other than the last two axes change. */
#include "engine/cpu/steps.h"
#include "ops/resizing.h"

typedef struct resize_params {
    mil__resize resize;
    void (*kernel)(const mil__resize *resize, const void *x, void *y, size_t begin, size_t end, void *scratch);
} resize_params;

typedef struct resize_run {
    const resize_params *params;
    const void *x;
    void *y;
} resize_run;

static void run_resize_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const resize_run *run = ctx;
    run->params->kernel(&run->params->resize, run->x, run->y, begin, end, scratch);
}

static mil_status run_resize(mil__run *run, const mil__step *step) {
    resize_run work = {step->params, run->t[step->in[0]].data, run->t[step->out[0]].data};
    mil__run_tiles(run, work.params->resize.n_tiles, run_resize_tiles, &work);
    return MIL_OK;
}

/* The table of an axis that is resized, or (params NULL) stays as it is. */
static mil_status table_of(mil__lower *lower, const struct mil__resize_params *params, int64_t n_in, int64_t n_out, mil__resize_axis *out) {
    int32_t *lo = mil__lower_alloc(lower, (size_t)n_out * sizeof *lo), *hi = mil__lower_alloc(lower, (size_t)n_out * sizeof *hi);
    float *weight = mil__lower_alloc(lower, (size_t)n_out * sizeof *weight);
    if (!lo || !hi || !weight) return mil__nomem(lower->err);
    for (int64_t i = 0; i < n_out; i++) {
        mil__tap tap = params ? mil__resize_tap(params, n_in, i, n_out) : (mil__tap){i, i, 0};
        lo[i] = (int32_t)tap.lo;
        hi[i] = (int32_t)tap.hi;
        weight[i] = (float)tap.weight;
    }
    *out = (mil__resize_axis){lo, hi, weight};
    return MIL_OK;
}

enum { MOST = 1 << 24 }; /* elements of an axis that has a table; beyond, results that no memory holds are near */

/* Do the axes before the last two stay as they are? */
static bool has_planes(const struct mil__resize_params *params, const mil__slot *x, const mil__slot *y) {
    for (int axis = x->rank - params->n_axes; axis < x->rank - 2; axis++)
        if (x->shape[axis] != y->shape[axis] || (params->grid == MIL__GRID_OFFSET && x->shape[axis] != 1)) return false;
    for (int axis = 0; axis < x->rank; axis++)
        if (x->shape[axis] > MOST || y->shape[axis] > MOST) return false;
    return true;
}

mil_status mil__select_resize(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const void *given = NULL;
    uint32_t *ends = mil__lower_alloc(lower, 2 * sizeof *ends);
    resize_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!ends || !p) return mil__nomem(lower->err);
    ends[0] = mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]);
    ends[1] = mil__slot_of(lower, op->outputs[0]);
    const mil__slot *x = mil__slot_at(lower, ends[0]), *y = mil__slot_at(lower, ends[1]);
    MIL__TRY(mil__lower_params(lower, op, &given));
    const struct mil__resize_params *params = given;
    if (!mil__kernel_float(x->dtype) || x->rank == 0 || !has_planes(params, x, y)) return MIL_OK;
    p->resize = (mil__resize){.planes = 1, .in = {1, 1}, .out = {1, 1}, .is_nearest = params->reading != MIL__LINEARLY,
                              .dtype = mil__storage_of(x->dtype)};
    for (int axis = 0; axis < x->rank; axis++) {
        int from_end = x->rank - axis;
        if (from_end > 2) p->resize.planes *= (size_t)x->shape[axis];
        else p->resize.in[2 - from_end] = (size_t)x->shape[axis], p->resize.out[2 - from_end] = (size_t)y->shape[axis];
    }
    MIL__TRY(table_of(lower, params->n_axes >= 2 ? params : NULL, (int64_t)p->resize.in[0], (int64_t)p->resize.out[0], &p->resize.down));
    MIL__TRY(table_of(lower, params->n_axes >= 1 ? params : NULL, (int64_t)p->resize.in[1], (int64_t)p->resize.out[1], &p->resize.across));
    p->kernel = lower->k->resize;
    lower->k->resize_plan(&p->resize, lower->n_lanes);
    mil__step step = {.run = run_resize, .params = p, .in = ends, .n_in = 1, .out = ends + 1, .n_out = 1,
                      .scratch = p->resize.scratch_bytes, .kernel = "resize"};
    *done = true;
    return mil__lower_step(lower, group, &step);
}
