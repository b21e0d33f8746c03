/* SPDX-License-Identifier: MIT */
/* Operations that only move elements: transpose, slices, reverse, split, concat, stack, pad, tile.
 *
 * Each is a list of boxes: a strided box of the source is copied to a strided box of the result. A box's axes are joined where
 * both sides walk them as one; then its innermost axis is copied as a run (both dense), or, where source and result are
 * dense along different axes (a transpose), in squares of SQUARE x SQUARE, so that every cache line is used whole.
 *
 *      source rows   | a a a a |          result rows   | a b c d |
 *                    | b b b b |   ---->                | a b c d |
 *
 * What lies in one piece in the source (a leading slice) becomes a view and moves nothing. */
#include "engine/cpu/norm.h"
#include "ops/rules.h"

enum { SQUARE = 16, TILE_BYTES = 1 << 15 };

typedef struct box {
    int rank;                       /* of the axes left; 0: one element */
    size_t dim[MIL_MAX_RANK];
    ptrdiff_t from[MIL_MAX_RANK], to[MIL_MAX_RANK]; /* strides in elements */
    ptrdiff_t from_at, to_at;       /* first elements */
    uint32_t in;                    /* which of the step's inputs */
    size_t n_outer;                 /* positions of all axes but the copied ones; a tile is one of them, or a run of them */
    int square;                     /* the axis along which the source is dense, where it is not the last; else -1 */
} box;

typedef struct move_params {
    size_t bytes;                   /* of an element */
    uint32_t n;
    box *boxes;
    size_t *first_tile;             /* n + 1: tiles are numbered through */
    size_t *per_tile;               /* outer positions of one tile */
    bool fills;                     /* the result is filled first (constant padding) */
    _Alignas(8) unsigned char fill[8];
    size_t fill_bytes;
} move_params;

/* ---- copying ---- */

/* rows x cols: the result is dense along columns, the source along rows. */
static void copy_square(char *to, ptrdiff_t to_row, const char *from, ptrdiff_t from_col, size_t rows, size_t cols,
                        size_t bytes) {
    for (size_t r = 0; r < rows; r += SQUARE) {
        size_t r_end = r + SQUARE < rows ? r + SQUARE : rows;
        for (size_t c = 0; c < cols; c += SQUARE) {
            size_t wide = c + SQUARE < cols ? SQUARE : cols - c;
            for (size_t i = r; i < r_end; i++)
                mil__copy_line(to + ((ptrdiff_t)i * to_row + (ptrdiff_t)c) * (ptrdiff_t)bytes, 1,
                               from + ((ptrdiff_t)i + (ptrdiff_t)c * from_col) * (ptrdiff_t)bytes, from_col, wide, bytes);
        }
    }
}

/* The outer position `index` of a box as offsets. */
static void outer_offsets(const box *b, size_t index, ptrdiff_t *from, ptrdiff_t *to) {
    *from = b->from_at;
    *to = b->to_at;
    for (int i = b->rank - 2; i >= 0; i--) {
        if (i == b->square) continue;
        ptrdiff_t at = (ptrdiff_t)(index % b->dim[i]);
        index /= b->dim[i];
        *from += at * b->from[i];
        *to += at * b->to[i];
    }
}

static void copy_box(const move_params *p, const box *b, const char *source, char *result, size_t begin, size_t end) {
    int last = b->rank - 1;
    for (size_t index = begin; index < end; index++) {
        ptrdiff_t from, to;
        outer_offsets(b, index, &from, &to);
        const char *s = source + from * (ptrdiff_t)p->bytes;
        char *d = result + to * (ptrdiff_t)p->bytes;
        if (b->rank == 0) memcpy(d, s, p->bytes);
        else if (b->square >= 0)
            copy_square(d, b->to[b->square], s, b->from[last], b->dim[b->square], b->dim[last], p->bytes);
        else mil__copy_line(d, b->to[last], s, b->from[last], b->dim[last], p->bytes);
    }
}

typedef struct move_run {
    const move_params *params;
    mil_tensor *t;
    const uint32_t *in;
    char *result;
} move_run;

static void run_move_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const move_run *run = ctx;
    const move_params *p = run->params;
    (void)scratch;
    uint32_t k = 0;
    for (size_t tile = begin; tile < end; tile++) {
        while (p->first_tile[k + 1] <= tile) k++;
        const box *b = &p->boxes[k];
        size_t first = (tile - p->first_tile[k]) * p->per_tile[k], stop = first + p->per_tile[k];
        copy_box(p, b, run->t[run->in[b->in]].data, run->result, first, stop < b->n_outer ? stop : b->n_outer);
    }
}

static mil_status run_move(mil__run *run, const mil__step *step) {
    move_run work = {step->params, run->t, step->in, run->t[step->out[0]].data};
    if (work.params->fills) mil__fill(work.result, work.params->fill, work.params->bytes, work.params->fill_bytes);
    mil__run_tiles(run, work.params->first_tile[work.params->n], run_move_tiles, &work);
    return MIL_OK;
}

/* ---- making boxes ---- */

/* Axes of one element go; neighbours that both sides walk as one are joined; the way to copy is chosen. */
static void settle(box *b) {
    int n = 0;
    for (int i = 0; i < b->rank; i++) {
        if (b->dim[i] == 1) continue;
        bool joins = n > 0 && b->from[n - 1] == b->from[i] * (ptrdiff_t)b->dim[i] &&
                     b->to[n - 1] == b->to[i] * (ptrdiff_t)b->dim[i];
        int at = joins ? n - 1 : n++;
        b->dim[at] = joins ? b->dim[at] * b->dim[i] : b->dim[i];
        b->from[at] = b->from[i];
        b->to[at] = b->to[i];
    }
    b->rank = n;
    b->square = -1;
    for (int i = 0; i < n - 1 && b->from[n - 1] != 1 && b->to[n - 1] == 1; i++)
        if (b->from[i] == 1) b->square = i;
    b->n_outer = 1;
    for (int i = 0; i < n - 1; i++)
        if (i != b->square) b->n_outer *= b->dim[i];
    for (int i = 0; i < n; i++)
        if (b->dim[i] == 0) b->n_outer = 0;
}

/* The step of these boxes (from the plan's arena). in: slots, n_in of them. */
static mil_status emit(mil__lower *lower, const mil__group *group, move_params *p, const uint32_t *in, uint32_t n_in,
                       mil_value result) {
    uint32_t *out = mil__lower_alloc(lower, sizeof *out);
    p->first_tile = mil__lower_alloc(lower, (p->n + 1) * sizeof *p->first_tile);
    p->per_tile = mil__lower_alloc(lower, (p->n + 1) * sizeof *p->per_tile);
    if (!out || !p->first_tile || !p->per_tile) return mil__nomem(lower->err);
    *out = mil__slot_of(lower, result);
    for (uint32_t k = 0; k < p->n; k++) {
        box *b = &p->boxes[k];
        settle(b);
        size_t inner = p->bytes;
        if (b->rank) inner *= b->dim[b->rank - 1];
        if (b->square >= 0) inner *= b->dim[b->square];
        p->per_tile[k] = inner && TILE_BYTES / inner ? TILE_BYTES / inner : 1;
        p->first_tile[k + 1] = p->first_tile[k] + (b->n_outer + p->per_tile[k] - 1) / p->per_tile[k];
    }
    mil__step step = {.run = run_move, .params = p, .in = in, .n_in = n_in, .out = out, .n_out = 1, .kernel = "move"};
    return mil__lower_step(lower, group, &step);
}

static mil_status new_move(mil__lower *lower, const mil__slot *like, uint32_t n, move_params **out) {
    move_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    p->n = n;
    p->bytes = (size_t)mil_dtype_bits(like->dtype) / 8;
    p->boxes = mil__lower_alloc(lower, n * sizeof *p->boxes);
    if (!p->boxes) return mil__nomem(lower->err);
    *out = p;
    return MIL_OK;
}

static void strides_of(const mil__slot *slot, ptrdiff_t *out) {
    int64_t strides[MIL_MAX_RANK];
    mil__shape_strides(slot->rank, slot->shape, strides);
    for (int i = 0; i < slot->rank; i++) out[i] = (ptrdiff_t)strides[i];
}

static void box_of_shape(box *b, const mil__slot *slot) {
    b->rank = slot->rank;
    for (int i = 0; i < slot->rank; i++) b->dim[i] = (size_t)slot->shape[i];
}

/* One value's slot as the only input of a step. */
static mil_status only_input(mil__lower *lower, const mil__op *op, const char *name, uint32_t **in) {
    *in = mil__lower_alloc(lower, sizeof **in);
    if (!*in) return mil__nomem(lower->err);
    **in = mil__slot_of(lower, mil__op_arg_named(op, name)->values[0]);
    return MIL_OK;
}

static bool moves(const mil__slot *slot) { return slot->dtype != MIL_STRING && mil_dtype_bits(slot->dtype) >= 8; }

/* ---- one box of x: transpose, slices, reverse ---- */

/* A box of x, of the result's shape: its strides and first element are given. Dense and in one piece: a view. */
static mil_status emit_view_or_box(mil__lower *lower, const mil__group *group, mil_value result, const ptrdiff_t *from,
                                   ptrdiff_t from_at) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t *in, out = mil__slot_of(lower, result);
    MIL__TRY(only_input(lower, op, "x", &in));
    const mil__slot *y = mil__slot_at(lower, out);
    move_params *p;
    MIL__TRY(new_move(lower, y, 1, &p));
    box *b = p->boxes;
    box_of_shape(b, y);
    strides_of(y, b->to);
    memcpy(b->from, from, sizeof b->from);
    b->from_at = from_at;
    box joined = *b;
    settle(&joined);
    bool in_one_piece = joined.rank == 0 || (joined.rank == 1 && joined.from[0] == 1);
    if (in_one_piece && from_at >= 0) {
        mil__slot_alias(lower, out, *in, (size_t)from_at * p->bytes);
        return MIL_OK;
    }
    return emit(lower, group, p, in, 1, result);
}

static mil_status select_transpose(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    int64_t perm[MIL_MAX_RANK];
    ptrdiff_t strides[MIL_MAX_RANK], from[MIL_MAX_RANK] = {0};
    if (mil__op_ints(lower->program, op, "perm", MIL_MAX_RANK, perm) != x->rank || !moves(x)) return MIL_OK;
    strides_of(x, strides);
    for (int i = 0; i < x->rank; i++) from[i] = strides[perm[i] < 0 ? perm[i] + x->rank : perm[i]];
    *done = true;
    return emit_view_or_box(lower, group, op->outputs[0], from, 0);
}

static mil_status select_slice_by_size(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    int64_t begin[MIL_MAX_RANK];
    ptrdiff_t strides[MIL_MAX_RANK] = {0}, at = 0;
    if (mil__op_ints(lower->program, op, "begin", MIL_MAX_RANK, begin) != x->rank || !moves(x)) return MIL_OK;
    strides_of(x, strides);
    for (int i = 0; i < x->rank; i++) at += (ptrdiff_t)(begin[i] < 0 ? begin[i] + x->shape[i] : begin[i]) * strides[i];
    *done = true;
    return emit_view_or_box(lower, group, op->outputs[0], strides, at);
}

/* begin of one axis as MIL has it: from the end where negative, clamped; the whole axis where masked. */
static int64_t slice_begin(int64_t begin, int64_t stride, int64_t size, bool masked) {
    if (masked) return stride < 0 ? size - 1 : 0;
    if (begin < 0) begin += size;
    if (begin < 0) begin = stride < 0 ? -1 : 0;
    return begin >= size ? (stride < 0 ? size - 1 : size) : begin;
}

static bool bit_of(const int64_t *values, int n, int i) { return i < n && values[i]; }

static mil_status select_slice_by_index(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    const mil__slot *y = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    int64_t begin[MIL_MAX_RANK], stride[MIL_MAX_RANK], masked[MIL_MAX_RANK], squeezed[MIL_MAX_RANK];
    if (mil__op_ints(lower->program, op, "begin", MIL_MAX_RANK, begin) != x->rank || !moves(x)) return MIL_OK;
    for (int i = 0; i < y->rank; i++)
        if (y->shape[i] == 0) return MIL_OK;
    int n_stride = mil__op_ints(lower->program, op, "stride", MIL_MAX_RANK, stride);
    int n_masked = mil__op_ints(lower->program, op, "begin_mask", MIL_MAX_RANK, masked);
    int n_squeezed = mil__op_ints(lower->program, op, "squeeze_mask", MIL_MAX_RANK, squeezed);
    ptrdiff_t strides[MIL_MAX_RANK], from[MIL_MAX_RANK] = {0}, at = 0;
    strides_of(x, strides);
    int to = 0;
    for (int i = 0; i < x->rank; i++) {
        int64_t step = i < n_stride ? stride[i] : 1;
        bool squeeze = bit_of(squeezed, n_squeezed, i);
        int64_t first = slice_begin(begin[i], squeeze ? 1 : step, x->shape[i], bit_of(masked, n_masked, i));
        at += (ptrdiff_t)first * strides[i];
        if (!squeeze) from[to++] = strides[i] * (ptrdiff_t)step;
    }
    if (to != y->rank) return MIL_OK;
    *done = true;
    return emit_view_or_box(lower, group, op->outputs[0], from, at);
}

/* Several results: a box each, as steps of their own. */
static mil_status select_split(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    int64_t axis;
    ptrdiff_t strides[MIL_MAX_RANK] = {0}, at = 0;
    if (mil__op_ints(lower->program, op, "axis", 1, &axis) != 1 || !moves(x)) return MIL_OK;
    if (axis < 0) axis += x->rank;
    strides_of(x, strides);
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        MIL__TRY(emit_view_or_box(lower, group, op->outputs[i], strides, at));
        at += (ptrdiff_t)mil__slot_at(lower, mil__slot_of(lower, op->outputs[i]))->shape[axis] * strides[axis];
    }
    *done = true;
    return MIL_OK;
}

static mil_status select_reverse(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *x = mil__slot_at(lower, mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]));
    ptrdiff_t strides[MIL_MAX_RANK] = {0}, at = 0;
    if (!moves(x) || x->rank == 0) return MIL_OK;
    uint32_t axes = mil__axes_of(lower, op, "axes", x->rank, (1u << x->rank) - 1);
    strides_of(x, strides);
    for (int i = 0; i < x->rank; i++) {
        if (!(axes >> i & 1)) continue;
        at += ((ptrdiff_t)x->shape[i] - 1) * strides[i];
        strides[i] = -strides[i];
    }
    *done = true;
    return emit_view_or_box(lower, group, op->outputs[0], strides, at);
}

/* ---- boxes side by side: concat, stack, tile ---- */

static mil_status select_concat(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__values *values = mil__op_arg_named(op, "values");
    const mil__slot *y = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    bool is_stack = strcmp(op->decl->name, "stack") == 0;
    int64_t axis, interleave = 0;
    if (mil__op_ints(lower->program, op, "axis", 1, &axis) != 1 || !moves(y)) return MIL_OK;
    if (!is_stack) mil__op_ints(lower->program, op, "interleave", 1, &interleave);
    if (axis < 0) axis += y->rank;
    move_params *p;
    uint32_t *in = mil__lower_alloc(lower, values->n * sizeof *in);
    if (!in) return mil__nomem(lower->err);
    MIL__TRY(new_move(lower, y, values->n, &p));
    ptrdiff_t to[MIL_MAX_RANK] = {0}, at = 0;
    strides_of(y, to);
    for (uint32_t k = 0; k < values->n; k++) {
        in[k] = mil__slot_of(lower, values->values[k]);
        const mil__slot *x = mil__slot_at(lower, in[k]);
        box *b = &p->boxes[k];
        box_of_shape(b, x);
        strides_of(x, b->from);
        for (int i = 0; i < x->rank; i++) b->to[i] = to[is_stack && i >= axis ? i + 1 : i];
        if (interleave && x->rank) b->to[axis] *= (ptrdiff_t)values->n;
        b->to_at = at;
        b->in = k;
        at += (is_stack || interleave || x->rank == 0 ? 1 : (ptrdiff_t)x->shape[axis]) * to[axis];
    }
    *done = true;
    return emit(lower, group, p, in, values->n, op->outputs[0]);
}

/* x in every place of a grid: one box whose grid axes stand still in the source. */
static mil_status select_tile(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *y = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    uint32_t *in;
    int64_t reps[MIL_MAX_RANK];
    MIL__TRY(only_input(lower, op, "x", &in));
    const mil__slot *x = mil__slot_at(lower, *in);
    if (mil__op_ints(lower->program, op, "reps", MIL_MAX_RANK, reps) != x->rank || !moves(x)) return MIL_OK;
    ptrdiff_t from[MIL_MAX_RANK], to[MIL_MAX_RANK];
    move_params *p;
    MIL__TRY(new_move(lower, y, 1, &p));
    strides_of(x, from);
    strides_of(y, to);
    box *b = p->boxes;
    for (int i = 0; i < x->rank; i++) {
        int axes = (reps[i] != 1) + (x->shape[i] != 1);
        if (b->rank + axes > MIL_MAX_RANK) return MIL_OK;
        if (reps[i] != 1) {
            b->dim[b->rank] = (size_t)reps[i];
            b->from[b->rank] = 0;
            b->to[b->rank++] = to[i] * (ptrdiff_t)x->shape[i];
        }
        if (x->shape[i] == 1) continue;
        b->dim[b->rank] = (size_t)x->shape[i];
        b->from[b->rank] = from[i];
        b->to[b->rank++] = to[i];
    }
    *done = true;
    return emit(lower, group, p, in, 1, op->outputs[0]);
}

/* ---- pad: up to three runs an axis, and a box for each choice of one from every axis ----
 *
 *   constant       . . | a b c d | .       what no box reaches is filled before
 *   reflect        c b | a b c d | c
 *   replicate      a a | a b c d | d */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_REPLICATE } pad_mode;

/* n positions of the result from `to` on, from x's at `from`, `step` apart. */
typedef struct pad_run {
    int64_t n, to, from, step;
} pad_run;

static uint32_t runs_of(pad_mode mode, int64_t before, int64_t size, int64_t after, pad_run out[3]) {
    int64_t step = mode == PAD_REFLECT ? -1 : 0;
    uint32_t n = 0;
    if (mode != PAD_CONSTANT && before) out[n++] = (pad_run){before, 0, mode == PAD_REFLECT ? before : 0, step};
    out[n++] = (pad_run){size, before, 0, 1};
    if (mode != PAD_CONSTANT && after) out[n++] = (pad_run){after, before + size, size - 1 + step, step};
    return n;
}

/* The boxes of a pad; pads: two an axis. p: of the right number of boxes, or NULL to learn it. */
static uint32_t pad_boxes(pad_mode mode, const mil__slot *x, const mil__slot *y, const int64_t *pads, move_params *p) {
    pad_run runs[MIL_MAX_RANK][3];
    uint32_t n_runs[MIL_MAX_RANK] = {0}, n = 1;
    ptrdiff_t from[MIL_MAX_RANK], to[MIL_MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        n_runs[i] = runs_of(mode, pads[2 * i], x->shape[i], pads[2 * i + 1], runs[i]);
        n *= n_runs[i];
    }
    strides_of(x, from);
    strides_of(y, to);
    for (uint32_t k = 0; p && k < n; k++) {
        box *b = &p->boxes[k];
        uint32_t choice = k;
        b->rank = x->rank;
        for (int i = 0; i < x->rank; choice /= n_runs[i], i++) {
            const pad_run *run = &runs[i][choice % n_runs[i]];
            b->dim[i] = (size_t)run->n;
            b->from[i] = (ptrdiff_t)run->step * from[i];
            b->to[i] = to[i];
            b->from_at += (ptrdiff_t)run->from * from[i];
            b->to_at += (ptrdiff_t)run->to * to[i];
        }
    }
    return n;
}

/* The mode, and the pads of every axis. False: what the boxes do not do (a reflection that turns back more than once) or is not known. */
static bool read_pads(const mil__lower *lower, const mil__op *op, const mil__slot *x, pad_mode *mode, int64_t pads[2 * MIL_MAX_RANK]) {
    static const char *const names[] = {"constant", "reflect", "replicate"};
    const mil__values *given = mil__op_arg_named(op, "mode");
    const mil_tensor *name = given ? lower->program->values[given->values[0]]->data : NULL;
    int n = mil__op_ints(lower->program, op, "pad", 2 * MIL_MAX_RANK, pads), bare = 2 * x->rank - n;
    if (n < 0 || bare < 0 || (given && !name)) return false;
    memmove(pads + bare, pads, (size_t)n * sizeof *pads);
    memset(pads, 0, (size_t)bare * sizeof *pads);
    *mode = PAD_CONSTANT;
    while (name && strcmp(mil_tensor_string(name, 0, NULL), names[*mode]) != 0) ++*mode;
    for (int i = 0; i < 2 * x->rank && *mode == PAD_REFLECT; i++)
        if (pads[i] >= x->shape[i / 2]) return false;
    return true;
}

static mil_status select_pad(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__slot *y = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    const mil__values *value = mil__op_arg_named(op, "constant_val");
    const mil_tensor *fill_data = value ? lower->program->values[value->values[0]]->data : NULL;
    int64_t pads[2 * MIL_MAX_RANK];
    pad_mode mode;
    uint32_t *in;
    move_params *p;
    MIL__TRY(only_input(lower, op, "x", &in));
    const mil__slot *x = mil__slot_at(lower, *in);
    if (!moves(x) || (value && !fill_data) || !read_pads(lower, op, x, &mode, pads)) return MIL_OK;
    MIL__TRY(new_move(lower, y, pad_boxes(mode, x, y, pads, NULL), &p));
    pad_boxes(mode, x, y, pads, p);
    p->fills = mode == PAD_CONSTANT;
    p->fill_bytes = y->bytes;
    mil_tensor one;
    mil__tensor_init(&one, y->dtype, 0, NULL, p->fill);
    if (fill_data) mil__store_f64(&one, 0, mil__load_f64(fill_data, 0));
    *done = true;
    return emit(lower, group, p, in, 1, op->outputs[0]);
}

mil_status mil__select_copy(mil__lower *lower, const mil__group *group, bool *done) {
    static const struct {
        const char *op;
        mil__select_fn *select;
    } rows[] = {
        {"transpose", select_transpose}, {"slice_by_size", select_slice_by_size}, {"slice_by_index", select_slice_by_index},
        {"split", select_split}, {"concat", select_concat}, {"stack", select_concat}, {"tile", select_tile}, {"pad", select_pad},
        {"reverse", select_reverse},
    };
    const char *name = lower->program->ops[group->ops[0]]->decl->name;
    for (size_t i = 0; i < MIL__COUNT(rows); i++)
        if (strcmp(rows[i].op, name) == 0) return rows[i].select(lower, group, done);
    return MIL_OK;
}
