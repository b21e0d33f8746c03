/* SPDX-License-Identifier: MIT */
/* conv, conv_transpose and pooling on their kernels. */
#include "engine/cpu/compressed.h"
#include "engine/cpu/epilogue.h"
#include "ops/params.h"

/* The window of an op over `spatial` axes, from axis 2 on; missing axes come first and are 1. */
static mil__window window_of(int spatial, const int64_t *in, const int64_t *out, const int64_t *kernel,
                             const int64_t *strides, const int64_t *dilations, const int64_t *before) {
    mil__window w;
    for (int i = 0; i < 3; i++) {
        int at = i - (3 - spatial);
        bool real = at >= 0;
        w.in[i] = real ? (size_t)in[at] : 1;
        w.out[i] = real ? (size_t)out[at] : 1;
        w.kernel[i] = real ? (size_t)kernel[at] : 1;
        w.stride[i] = real ? (size_t)strides[at] : 1;
        w.dilation[i] = real && dilations ? (size_t)dilations[at] : 1;
        w.before[i] = real ? (size_t)before[at] : 0;
    }
    return w;
}

/* Kernels are fast along the last axis. Last axes of one element (sound as an image that is 1 wide) go to the front, where nothing
 * comes of them; the others lie as they did. after: padding behind (pools), or NULL. */
static void turn_window(mil__window *w, size_t *after) {
    size_t *const all[] = {w->in, w->out, w->kernel, w->stride, w->dilation, w->before, after};
    for (int turns = 0; turns < 2; turns++) {
        bool is_one = w->in[2] == 1 && w->out[2] == 1 && w->kernel[2] == 1 && w->before[2] == 0 && (!after || after[2] == 0);
        if (!is_one) return;
        for (size_t i = 0; i < MIL__COUNT(all) && all[i]; i++) {
            size_t last = all[i][2];
            all[i][2] = all[i][1];
            all[i][1] = all[i][0];
            all[i][0] = last;
        }
    }
}

/* Kernels keep what some rows of windows reach over in a lane's scratch, and count it in size_t. A window that reaches
 * farther than any real one (a dilation of 2^31 over padding) is for plain evaluation. */
static bool is_ordinary(const mil__window *w) {
    double all = 1, one = 1; /* floats of a band (window.inc): of all rows, of one; rather too many */
    for (int i = 0; i < 3; i++) {
        double reach = (double)w->kernel[i] * (double)w->dilation[i];
        double wide = ((double)w->out[i] + 17) * (double)w->stride[i] + reach;
        all *= wide;
        one *= i < 2 ? reach : wide;
    }
    return all < 1e15 && one < 1e9;
}

static int64_t extent(const mil__slot *slot, int from) {
    int64_t n = 1;
    for (int i = from; i < slot->rank; i++) n *= slot->shape[i];
    return n;
}

/* ---- conv ---- */

typedef struct conv_params {
    mil__conv conv;
    void (*kernel)(const mil__conv *conv, size_t begin, size_t end, void *scratch);
    void (*pack)(const mil__conv *conv, const void *weight, void *packed);
    bool has_add;
    bool packs_late; /* the step's second input is the packed weight */
} conv_params;

static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const conv_params *p = ctx;
    p->kernel(&p->conv, begin, end, scratch);
}

static mil_status run_conv(mil__run *run, const mil__step *step) {
    conv_params p = *(const conv_params *)step->params;
    p.conv.x = run->t[step->in[0]].data;
    p.conv.y = run->t[step->out[0]].data;
    if (p.packs_late) p.conv.packed_w = run->t[step->in[1]].data;
    if (p.has_add) p.conv.ep.add = run->t[step->in[step->n_in - 1]].data;
    mil__run_tiles(run, p.conv.n_tiles, run_tiles, &p);
    return MIL_OK;
}

static mil_status run_pack(mil__run *run, const mil__step *step) {
    const conv_params *p = step->params;
    p->pack(&p->conv, run->t[step->in[0]].data, run->t[step->out[0]].data);
    return MIL_OK;
}

/* A compressed weight that no kernel expands by itself is expanded and packed in each run, in memory that other values have
 * before and after. */
static mil_status pack_late(mil__lower *lower, conv_params *p, uint32_t w, uint32_t *out) {
    const int64_t bytes = (int64_t)p->conv.packed_w_bytes;
    uint32_t *ends = mil__lower_alloc(lower, 2 * sizeof *ends);
    if (!ends) return mil__nomem(lower->err);
    MIL__TRY(mil__slot_dense(lower, &w));
    MIL__TRY(mil__slot_new(lower, MIL_UINT8, 1, &bytes, out));
    ends[0] = w;
    ends[1] = *out;
    p->packs_late = true;
    mil__step step = {.run = run_pack, .params = p, .in = ends, .n_in = 1, .out = ends + 1, .n_out = 1, .kernel = "pack"};
    return mil__lower_step(lower, NULL, &step);
}

/* A const weight is packed once, when compiled. */
static mil_status pack_now(mil__lower *lower, conv_params *p, const mil__slot *w, bool is_transpose) {
    void *packed;
    bool fresh;
    const size_t *kernel = p->conv.window.kernel;
    const int64_t key[MIL__PACKED_KEY] = {
        p->conv.method + (is_transpose ? 16 : 0), (int64_t)p->conv.groups, (int64_t)p->conv.c_in, (int64_t)p->conv.c_out,
        (int64_t)(kernel[0] * kernel[1] * kernel[2]), is_transpose ? (int64_t)p->conv.tile_c : 0};
    MIL__TRY(mil__lower_packed(lower, w->data, key, p->conv.packed_w_bytes, &packed, &fresh));
    if (fresh) {
        p->pack(&p->conv, w->data->data, packed);
        mil__buffer_give_back(w->data->buffer, w->data->data, mil_tensor_bytes(w->data));
    }
    p->conv.packed_w = packed;
    return MIL_OK;
}

static mil_status emit_conv(mil__lower *lower, const mil__group *group, conv_params *p, uint32_t x, uint32_t w,
                            bool is_transpose) {
    mil__after after = {.alpha = 1};
    if (!is_transpose) mil__after_read(lower, group, NULL, &after);
    const mil_program *program = lower->program;
    const mil__op *op = program->ops[group->ops[0]];
    const mil__values *bias = mil__op_arg_named(op, "bias");
    uint32_t *in = mil__lower_alloc(lower, 4 * sizeof *in), n_in = 1, out = mil__slot_of(lower, group->result);
    if (!in) return mil__nomem(lower->err);
    MIL__TRY(mil__after_fill(lower, &after, &p->conv.ep));
    if (bias) MIL__TRY(mil__lower_floats(lower, program->values[bias->values[0]]->data, &p->conv.ep.bias));
    p->pack = is_transpose ? lower->k->conv_transpose_pack_w : lower->k->conv_pack_w;
    if (is_transpose) lower->k->conv_transpose_plan(&p->conv, lower->n_lanes);
    else lower->k->conv_plan(&p->conv, lower->n_lanes);
    const char *kernel = is_transpose ? "conv_transpose" : "conv";
    in[0] = x;
    in[3] = out;
    if (!mil__source_of(lower, w)) MIL__TRY(pack_now(lower, p, mil__slot_at(lower, w), is_transpose));
    else if (p->conv.packed_w_bytes) MIL__TRY(pack_late(lower, p, w, &in[n_in++]));
    else kernel = "conv, compressed";
    if (p->packs_late) p->conv.source = NULL;
    if (after.add) {
        p->has_add = true;
        in[n_in++] = mil__slot_of(lower, after.add);
        mil__after_share(lower, out, in[n_in - 1], in, 1);
    }
    p->kernel = is_transpose ? lower->k->conv_transpose : lower->k->conv;
    mil__step step = {.run = run_conv, .params = p, .in = in, .n_in = n_in, .out = in + 3, .n_out = 1,
                      .scratch = p->conv.scratch_bytes, .kernel = kernel};
    return mil__lower_step(lower, group, &step);
}

static mil_status select_conv(mil__lower *lower, const mil__group *group, bool is_transpose, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__values *bias = mil__op_arg_named(op, "bias");
    uint32_t x = mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]);
    uint32_t w = mil__slot_of(lower, mil__op_arg_named(op, "weight")->values[0]);
    const mil__slot *xs = mil__slot_at(lower, x), *ws = mil__slot_at(lower, w);
    const mil__slot *ys = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    bool known = (ws->kind == MIL__SLOT_CONST || ws->source) && (!bias || lower->program->values[bias->values[0]]->data);
    if (!known || !mil__kernel_float(xs->dtype) || !mil__kernel_float(ws->dtype)) return MIL_OK;
    const void *params;
    MIL__TRY(mil__lower_params(lower, op, &params));
    const struct mil__conv_params *c = params;
    conv_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    const mil__slot *inner = is_transpose ? ys : xs, *outer = is_transpose ? xs : ys;
    p->conv = (mil__conv){
        .batch = (size_t)xs->shape[0], .c_in = (size_t)xs->shape[1], .c_out = (size_t)ys->shape[1],
        .groups = (size_t)c->groups, .x_dtype = mil__storage_of(xs->dtype), .w_dtype = mil__storage_of(ws->dtype),
        .y_dtype = mil__storage_of(ys->dtype), .x_channel = (ptrdiff_t)extent(xs, 2),
        .x_image = (ptrdiff_t)extent(xs, 1), .y_channel = (ptrdiff_t)extent(ys, 2), .y_image = (ptrdiff_t)extent(ys, 1),
        .window = window_of(c->spatial, inner->shape + 2, outer->shape + 2, c->kernel, c->strides, c->dilations,
                            c->pad_before)};
    turn_window(&p->conv.window, NULL);
    if (!is_ordinary(&p->conv.window)) return MIL_OK;
    *done = true;
    p->conv.source = is_transpose ? NULL : ws->source;
    return emit_conv(lower, group, p, x, w, is_transpose);
}

mil_status mil__select_conv(mil__lower *lower, const mil__group *group, bool *done) {
    return select_conv(lower, group, false, done);
}

mil_status mil__select_conv_transpose(mil__lower *lower, const mil__group *group, bool *done) {
    return select_conv(lower, group, true, done);
}

/* ---- pools ---- */

typedef struct pool_params {
    mil__pool pool;
    void (*kernel)(const mil__pool *pool, size_t begin, size_t end, void *scratch);
} pool_params;

static void run_pool_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const pool_params *p = ctx;
    p->kernel(&p->pool, begin, end, scratch);
}

static mil_status run_pool(mil__run *run, const mil__step *step) {
    pool_params p = *(const pool_params *)step->params;
    p.pool.x = run->t[step->in[0]].data;
    p.pool.y = run->t[step->out[0]].data;
    mil__run_tiles(run, p.pool.n_tiles, run_pool_tiles, &p);
    return MIL_OK;
}

mil_status mil__select_pool(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t *ends = mil__lower_alloc(lower, 2 * sizeof *ends);
    pool_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!ends || !p) return mil__nomem(lower->err);
    ends[0] = mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]);
    ends[1] = mil__slot_of(lower, op->outputs[0]);
    const mil__slot *xs = mil__slot_at(lower, ends[0]), *ys = mil__slot_at(lower, ends[1]);
    if (!mil__kernel_float(xs->dtype)) return MIL_OK;
    const void *params;
    MIL__TRY(mil__lower_params(lower, op, &params));
    const struct mil__pool_params *c = params;
    const char *name = op->decl->name;
    p->pool = (mil__pool){
        .kind = strcmp(name, "max_pool") == 0 ? MIL__POOL_MAX : strcmp(name, "avg_pool") == 0 ? MIL__POOL_AVG : MIL__POOL_L2,
        .planes = (size_t)(xs->shape[0] * xs->shape[1]), .exclude_pad = c->exclude_padding,
        .dtype = mil__storage_of(xs->dtype),
        .window = window_of(c->spatial, xs->shape + 2, ys->shape + 2, c->kernel, c->strides, NULL, c->pad_before)};
    for (int i = 0; i < c->spatial; i++) p->pool.after[3 - c->spatial + i] = (size_t)c->pad_after[i];
    turn_window(&p->pool.window, p->pool.after);
    if (!is_ordinary(&p->pool.window)) return MIL_OK;
    p->kernel = lower->k->pool;
    lower->k->pool_plan(&p->pool, lower->n_lanes);
    mil__step step = {.run = run_pool, .params = p, .in = ends, .n_in = 1, .out = ends + 1, .n_out = 1,
                      .scratch = p->pool.scratch_bytes, .kernel = "pool"};
    *done = true;
    return mil__lower_step(lower, group, &step);
}
