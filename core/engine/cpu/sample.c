/* SPDX-License-Identifier: MIT */
/* resample, affine and crop_resize: where an image is read is computed once, for all of its channels.
 *
 *   resample, affine   a tile is a row of the result: a list of points, which the kernel reads in each channel
 *   crop_resize        a tile is a box of one image: a list of taps an axis, then each channel by the lists */
#include "engine/cpu/steps.h"
#include "ops/sampling.h"
#include "tensor/half.h"

static size_t rounded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static inline float element(const void *data, bool is_half, int64_t at) {
    return is_half ? mil__half_to_float_inline(((const uint16_t *)data)[at]) : ((const float *)data)[at];
}

static inline void put(void *data, bool is_half, int64_t at, float value) {
    if (is_half) ((uint16_t *)data)[at] = mil__float_to_half_inline(value);
    else ((float *)data)[at] = value;
}

/* ---- resample, affine ---- */

typedef struct sample_step {
    const struct mil__sample_params *params;
    mil__sampler sampler;
    bool is_affine;
    void (*kernel)(const mil__sampler *sampler, const double *points, size_t n, const void *images, void *results, void *scratch);
    size_t kernel_scratch;
} sample_step;

typedef struct sample_run {
    const sample_step *step;
    const mil_tensor *x, *at;
    mil_tensor *y;
} sample_run;

/* The coordinates of a row of the result: of image at[0], row at[1]. */
static void list_points(const sample_run *run, int64_t at[3], double *points) {
    const mil_tensor *t = run->at;
    int64_t n = run->y->shape[3];
    if (!run->step->is_affine) {
        const char *first = (const char *)t->data + (size_t)(2 * n * (at[0] * t->shape[1] + at[1])) * ((size_t)mil_dtype_bits(t->dtype) / 8);
        mil__convert(MIL_FP64, points, 1, t->dtype, first, 1, 2 * n);
        return;
    }
    double matrix[6];
    for (int i = 0; i < 6; i++) matrix[i] = mil__load_f64(t, (t->shape[0] == 1 ? 0 : at[0] * 6) + i);
    for (at[2] = 0; at[2] < n; at[2]++)
        mil__affine_point(run->step->params, matrix, at + 1, run->y->shape + 2, &points[2 * at[2]], &points[2 * at[2] + 1]);
}

static void run_sample_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const sample_run *run = ctx;
    const sample_step *p = run->step;
    double *points = (double *)(void *)((char *)scratch + p->kernel_scratch);
    const int64_t *x = run->x->shape, *y = run->y->shape;
    size_t size = mil__storage_bytes(p->sampler.dtype);
    for (size_t tile = begin; tile < end; tile++) {
        int64_t at[3] = {(int64_t)tile / y[2], (int64_t)tile % y[2], 0};
        list_points(run, at, points);
        const char *images = (const char *)run->x->data + (size_t)(at[0] * x[1] * x[2] * x[3]) * size;
        char *results = (char *)run->y->data + (size_t)((at[0] * x[1] * y[2] + at[1]) * y[3]) * size;
        p->kernel(&p->sampler, points, (size_t)y[3], images, results, scratch);
    }
}

static mil_status run_sample(mil__run *run, const mil__step *step) {
    sample_run work = {step->params, &run->t[step->in[0]], &run->t[step->in[1]], &run->t[step->out[0]]};
    mil__run_tiles(run, (size_t)(work.y->shape[0] * work.y->shape[2]), run_sample_tiles, &work);
    return MIL_OK;
}

/* Coordinates to pixels, as mil__sample has it. */
static void set_space(const struct mil__sample_params *params, mil__sampler *s) {
    for (int i = 0; i < 2; i++) { /* x, y */
        double n = (double)s->in[1 - i], whole = params->aligns ? n - 1 : n, half = params->coordinates == MIL__FROM_MINUS_ONE ? 0.5 : 0;
        bool is_pixels = params->coordinates == MIL__PIXELS;
        s->scale[i] = is_pixels ? 1 : half > 0 ? half * whole : whole;
        s->shift[i] = is_pixels ? 0 : half * whole - (params->aligns ? 0 : 0.5);
    }
}

static void set_sampler(const struct mil__sample_params *params, const mil__slot *x, const mil__slot *y, mil__sampler *s) {
    static const mil__beyond beyond[] = {[MIL__CONSTANT] = MIL__BEYOND_PADDING, [MIL__BORDER] = MIL__BEYOND_EDGE,
                                         [MIL__REFLECTION] = MIL__BEYOND_LAST, [MIL__SYMMETRIC] = MIL__BEYOND_HALF};
    *s = (mil__sampler){.in = {(size_t)x->shape[2], (size_t)x->shape[3]}, .is_nearest = params->is_nearest,
                        .beyond = beyond[params->outside], .padding = (float)params->padding, .dtype = mil__storage_of(x->dtype),
                        .channels = (size_t)x->shape[1], .image = (size_t)(x->shape[2] * x->shape[3]),
                        .result = (size_t)(y->shape[2] * y->shape[3])};
    set_space(params, s);
}

/* The slots of what a step reads (a value that is absent: UINT32_MAX) and, behind them, of its result. */
static mil_status slots_of(mil__lower *lower, const mil__op *op, const char *const *names, uint32_t n, uint32_t **out) {
    uint32_t *slots = mil__lower_alloc(lower, (n + 1) * sizeof *slots);
    if (!slots) return mil__nomem(lower->err);
    for (uint32_t i = 0; i < n; i++) {
        const mil__values *values = mil__op_arg_named(op, names[i]);
        slots[i] = values ? mil__slot_of(lower, values->values[0]) : UINT32_MAX;
    }
    slots[n] = mil__slot_of(lower, op->outputs[0]);
    *out = slots;
    return MIL_OK;
}

mil_status mil__select_sample(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    sample_step *p = mil__lower_alloc(lower, sizeof *p);
    uint32_t *slots = NULL;
    const void *params = NULL;
    if (!p) return mil__nomem(lower->err);
    p->is_affine = strcmp(op->decl->name, "affine") == 0;
    const char *names[] = {"x", p->is_affine ? "transform_matrix" : "coordinates"};
    MIL__TRY(slots_of(lower, op, names, 2, &slots));
    MIL__TRY(mil__lower_params(lower, op, &params));
    const mil__slot *x = mil__slot_at(lower, slots[0]), *y = mil__slot_at(lower, slots[2]);
    if (!mil__kernel_float(x->dtype) || x->shape[2] > INT32_MAX / x->shape[3]) return MIL_OK;
    p->params = params;
    set_sampler(params, x, y, &p->sampler);
    p->kernel = lower->k->sample;
    p->kernel_scratch = lower->k->sample_scratch();
    mil__step step = {.run = run_sample, .params = p, .in = slots, .n_in = 2, .out = slots + 2, .n_out = 1, .kernel = "sample",
                      .scratch = p->kernel_scratch + rounded((size_t)y->shape[3] * 2 * sizeof(double))};
    *done = true;
    return mil__lower_step(lower, group, &step);
}

/* ---- crop_resize ---- */

typedef struct crop_step {
    const struct mil__crop_resize_params *params;
    bool has_indices;
} crop_step;

typedef struct crop_run {
    const struct mil__crop_resize_params *params;
    const mil_tensor *x, *boxes, *indices;
    mil_tensor *y;
    int64_t per_box;          /* images */
} crop_run;

/* A list of taps along an axis; what is outside of the image has lo = -1. */
static void list_taps(const crop_run *run, const double corner[2], int64_t n_in, int64_t n, mil__tap *taps) {
    for (int64_t i = 0; i < n; i++)
        if (!mil__crop_tap(run->params, corner, n_in, i, n, &taps[i])) taps[i].lo = -1;
}

static inline float between(const void *row, bool is_half, const mil__tap *tap) {
    float lo = element(row, is_half, tap->lo);
    return tap->weight > 0 ? lo + (float)tap->weight * (element(row, is_half, tap->hi) - lo) : lo;
}

/* One channel of a box. */
static void crop_plane(const crop_run *run, const char *image, int64_t to, const mil__tap *down, const mil__tap *across) {
    bool is_half = run->x->dtype == MIL_FP16;
    size_t row = (size_t)run->x->shape[3] * (is_half ? 2 : 4);
    for (int64_t i = 0; i < run->params->size[0]; i++)
        for (int64_t k = 0; k < run->params->size[1]; k++, to++) {
            if (down[i].lo < 0 || across[k].lo < 0) {
                put(run->y->data, is_half, to, (float)run->params->padding);
                continue;
            }
            float lo = between(image + (size_t)down[i].lo * row, is_half, &across[k]);
            if (down[i].weight > 0) lo += (float)down[i].weight * (between(image + (size_t)down[i].hi * row, is_half, &across[k]) - lo);
            put(run->y->data, is_half, to, lo);
        }
}

static void run_crop_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const crop_run *run = ctx;
    const int64_t *x = run->x->shape, *size = run->params->size;
    mil__tap *down = scratch, *across = down + size[0];
    size_t bytes = (size_t)(x[2] * x[3]) * (run->x->dtype == MIL_FP16 ? 2 : 4);
    for (size_t tile = begin; tile < end; tile++) {
        mil__box box;
        int64_t n = (int64_t)tile / run->per_box;
        mil__crop_box(run->params, run->boxes, run->indices, n, run->x, &box);
        int64_t image = box.image < 0 ? (int64_t)tile % run->per_box : box.image;
        list_taps(run, box.corner[0], x[2], size[0], down);
        list_taps(run, box.corner[1], x[3], size[1], across);
        for (int64_t c = 0; c < x[1]; c++)
            crop_plane(run, (const char *)run->x->data + (size_t)(image * x[1] + c) * bytes, ((int64_t)tile * x[1] + c) * size[0] * size[1],
                       down, across);
    }
}

static mil_status run_crop(mil__run *run, const mil__step *step) {
    const crop_step *p = step->params;
    mil_tensor *t = run->t;
    crop_run work = {p->params, &t[step->in[0]], &t[step->in[1]], p->has_indices ? &t[step->in[2]] : NULL, &t[step->out[0]], 1};
    int64_t n = work.boxes->shape[0];
    if (work.y->rank == 5) work.per_box = work.y->shape[1];
    for (int64_t i = 0; i < n; i++) {
        mil__box box;
        if (mil__crop_box(p->params, work.boxes, work.indices, i, work.x, &box)) continue;
        return mil__fail(run->err, MIL_EVALUE, "crop_resize: box %lld is of an image that x %s does not have", (long long)i,
                         MIL__TENSOR_TEXT(work.x));
    }
    mil__run_tiles(run, (size_t)(n * work.per_box), run_crop_tiles, &work);
    return MIL_OK;
}

mil_status mil__select_crop_resize(mil__lower *lower, const mil__group *group, bool *done) {
    static const char *const roi[] = {"x", "roi"}, *const boxes[] = {"x", "boxes", "box_indices"};
    const mil__op *op = lower->program->ops[group->ops[0]];
    bool has_roi = mil__op_arg_named(op, "roi") != NULL;
    uint32_t n = has_roi ? 2 : 3, *slots = NULL;
    crop_step *p = mil__lower_alloc(lower, sizeof *p);
    const void *params = NULL;
    if (!p) return mil__nomem(lower->err);
    MIL__TRY(slots_of(lower, op, has_roi ? roi : boxes, n, &slots));
    MIL__TRY(mil__lower_params(lower, op, &params));
    p->params = params;
    p->has_indices = !has_roi && slots[2] != UINT32_MAX;
    size_t taps = (size_t)p->params->size[0] + (size_t)p->params->size[1];
    mil__step step = {.run = run_crop, .params = p, .in = slots, .n_in = p->has_indices ? 3 : 2, .out = slots + n, .n_out = 1,
                      .kernel = "crop_resize", .scratch = rounded(taps * sizeof(mil__tap))};
    *done = true;
    return mil__lower_step(lower, group, &step);
}
