/* SPDX-License-Identifier: MIT */
/* matmul, linear and einsum on gemm: operands as strided matrices, const ones packed when compiled, batches as a loop around. */
#include "engine/cpu/compressed.h"
#include "engine/cpu/epilogue.h"
#include "ops/params.h"

/* Batch axes of the result, with its and each operand's strides in elements (0 where it broadcasts). */
typedef struct batches {
    int rank;
    int64_t n, dim[MIL_MAX_RANK];
    int64_t a[MIL_MAX_RANK], b[MIL_MAX_RANK], c[MIL_MAX_RANK];
} batches;

typedef struct matmul_params {
    mil__gemm gemm;
    void (*kernel)(const mil__gemm *gemm, size_t begin, size_t end, void *scratch);
    batches batches;
    size_t a_bytes, b_bytes, c_bytes; /* of an element */
    bool has_add;                     /* the last of the step's inputs */
} matmul_params;

typedef struct matmul_run {
    const matmul_params *params;
    char *a, *b, *c;
    const char *add;
} matmul_run;

static void offsets(const batches *batch, int64_t index, int64_t *a, int64_t *b, int64_t *c) {
    *a = *b = *c = 0;
    for (int i = batch->rank - 1; i >= 0; i--) {
        int64_t at = index % batch->dim[i];
        index /= batch->dim[i];
        *a += at * batch->a[i];
        *b += at * batch->b[i];
        *c += at * batch->c[i];
    }
}

/* Tiles of all batches are numbered through. */
static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const matmul_run *run = ctx;
    const matmul_params *p = run->params;
    while (begin < end) {
        size_t batch = begin / p->gemm.n_tiles, first = begin % p->gemm.n_tiles;
        size_t n = p->gemm.n_tiles - first < end - begin ? p->gemm.n_tiles - first : end - begin;
        int64_t a, b, c;
        offsets(&p->batches, (int64_t)batch, &a, &b, &c);
        mil__gemm gemm = p->gemm;
        if (run->a) gemm.a.data = run->a + a * (int64_t)p->a_bytes;
        if (run->b) gemm.b.data = run->b + b * (int64_t)p->b_bytes;
        gemm.c = run->c + c * (int64_t)p->c_bytes;
        if (p->has_add) gemm.ep.add = run->add + c * (int64_t)p->c_bytes;
        p->kernel(&gemm, first, first + n, scratch);
        begin += n;
    }
}

static mil_status run_matmul(mil__run *run, const mil__step *step) {
    const matmul_params *p = step->params;
    matmul_run work = {.params = p, .a = run->t[step->in[0]].data, .c = run->t[step->out[0]].data};
    work.b = p->gemm.packed_b || p->gemm.source ? NULL : run->t[step->in[1]].data;
    if (p->has_add) work.add = run->t[step->in[step->n_in - 1]].data;
    mil__run_tiles(run, p->gemm.n_tiles * (size_t)p->batches.n, run_tiles, &work);
    return MIL_OK;
}

static size_t bytes_of(mil_dtype dtype) { return (size_t)mil_dtype_bits(dtype) / 8; }

/* In pieces, the pages of each given back to the file: of a weight larger than half the memory there is never more than a
 * piece beside the packed copy. */
static void pack_b(mil__lower *lower, const mil__gemm *gemm, const mil_tensor *b, void *packed) {
    enum { PIECE = 16 << 20 };
    bool by_rows = gemm->b.cs == 1;
    size_t lines = by_rows ? gemm->k : gemm->n, nr = lower->k->gemm_nr;
    size_t line = (by_rows ? gemm->n : gemm->k) * bytes_of(b->dtype), step = line ? PIECE / line / nr * nr + nr : lines;
    for (size_t at = 0; at < lines; at += step) {
        size_t end = lines - at < step ? lines : at + step;
        lower->k->gemm_pack_b(&gemm->b, gemm->k, gemm->n, at, end, packed);
        mil__buffer_give_back(b->buffer, (const char *)gemm->b.data + at * line, (end - at) * line);
    }
}

mil_status mil__gemm_take_b(mil__lower *lower, mil__gemm *gemm, uint32_t slot, size_t line) {
    const mil__slot *b = mil__slot_at(lower, slot);
    size_t first = line * (gemm->b.cs == 1 ? (size_t)gemm->b.rs : (size_t)gemm->b.cs);
    if (b->source) {
        gemm->source = b->source;
        gemm->source_at = first;
        gemm->b.dtype = MIL__F32;
        return MIL_OK;
    }
    if (b->kind != MIL__SLOT_CONST) return MIL_OK;
    void *packed;
    bool fresh;
    gemm->b.data = (const char *)b->data->data + first * bytes_of(b->data->dtype);
    const int64_t key[MIL__PACKED_KEY] = {(int64_t)gemm->k, (int64_t)gemm->n, gemm->b.rs, gemm->b.cs, (int64_t)first};
    size_t bytes = lower->k->gemm_packed_b_bytes(gemm->k, gemm->n, gemm->b.dtype);
    MIL__TRY(mil__lower_packed(lower, b->data, key, bytes, &packed, &fresh));
    if (fresh) pack_b(lower, gemm, b->data, packed);
    gemm->packed_b = packed;
    return MIL_OK;
}

/* The step, once the matrices are described. in: x, y; what else the epilogue reads follows. */
static mil_status emit(mil__lower *lower, const mil__group *group, matmul_params *p, uint32_t x, uint32_t y,
                       const float *bias, bool pack_y) {
    mil__after after;
    bool fits = mil__after_read(lower, group, NULL, &after);
    assert(fits);
    (void)fits;
    uint32_t *in = mil__lower_alloc(lower, 4 * sizeof *in), n_in = 2, out = mil__slot_of(lower, group->result);
    if (!in) return mil__nomem(lower->err);
    uint32_t *out_list = in + 3;
    const mil__slot *result = mil__slot_at(lower, out);
    p->gemm.c_dtype = mil__storage_of(result->dtype);
    if (!p->gemm.c_rs) p->gemm.c_rs = (ptrdiff_t)p->gemm.n;
    p->gemm.c_cs = 1;
    p->c_bytes = bytes_of(result->dtype);
    MIL__TRY(mil__after_fill(lower, &after, &p->gemm.ep));
    if (bias) p->gemm.ep.bias = bias;
    in[0] = x;
    in[1] = y;
    if (after.add) {
        p->gemm.ep.add_rs = p->gemm.c_rs;
        p->gemm.ep.add_cs = 1;
        p->has_add = true;
        in[n_in++] = mil__slot_of(lower, after.add);
        mil__after_share(lower, out, in[2], in, 2);
    }
    out_list[0] = out;
    if (pack_y) MIL__TRY(mil__gemm_take_b(lower, &p->gemm, y, 0));
    p->kernel = lower->k->gemm;
    lower->k->gemm_plan(&p->gemm, lower->n_lanes);
    mil__step step = {.run = run_matmul, .params = p, .in = in, .n_in = n_in, .out = out_list, .n_out = 1,
                      .scratch = p->gemm.scratch_bytes, .kernel = p->gemm.source ? "gemm, compressed" : p->gemm.packed_b ? "gemm, packed" : "gemm"};
    return mil__lower_step(lower, group, &step);
}

/* ---- linear: y[.., n] = x[.., k] weight[n, k]^T + bias ---- */

mil_status mil__select_linear(mil__lower *lower, const mil__group *group, bool *done) {
    const mil_program *program = lower->program;
    const mil__op *op = program->ops[group->ops[0]];
    uint32_t x = mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]);
    uint32_t w = mil__slot_of(lower, mil__op_arg_named(op, "weight")->values[0]);
    const mil__values *bias = mil__op_arg_named(op, "bias");
    const mil__slot *xs = mil__slot_at(lower, x), *ws = mil__slot_at(lower, w);
    const mil_tensor *bias_data = bias ? program->values[bias->values[0]]->data : NULL;
    if (!mil__kernel_float(xs->dtype) || !mil__kernel_float(ws->dtype) || xs->rank == 0 || ws->rank != 2 || (bias && !bias_data))
        return MIL_OK;
    matmul_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    int64_t numel = 1, k = ws->shape[1];
    for (int i = 0; i < xs->rank - 1; i++) numel *= xs->shape[i];
    p->gemm = (mil__gemm){.m = (size_t)numel, .n = (size_t)ws->shape[0], .k = (size_t)k,
                          .a = {.dtype = mil__storage_of(xs->dtype), .rs = (ptrdiff_t)k, .cs = 1},
                          .b = {.dtype = mil__storage_of(ws->dtype), .rs = 1, .cs = (ptrdiff_t)k}};
    p->batches.n = 1;
    const float *floats = NULL;
    if (bias_data) MIL__TRY(mil__lower_floats(lower, bias_data, &floats));
    *done = true;
    return emit(lower, group, p, x, w, floats, true);
}

/* ---- matmul ---- */

/* One operand's last two axes as a matrix of rows x columns, transposed or not. */
static mil__mat matrix_of(const mil__slot *slot, bool transpose) {
    ptrdiff_t width = (ptrdiff_t)slot->shape[slot->rank - 1];
    mil__mat mat = {.dtype = mil__storage_of(slot->dtype), .rs = width, .cs = 1};
    if (transpose) mat.rs = 1, mat.cs = width;
    return mat;
}

static void batch_strides(const mil__slot *slot, int rank, int64_t *strides) {
    int64_t dense[MIL_MAX_RANK];
    mil__shape_strides(slot->rank, slot->shape, dense);
    int lead = rank - (slot->rank - 2);
    for (int i = 0; i < rank; i++) strides[i] = i < lead || slot->shape[i - lead] == 1 ? 0 : dense[i - lead];
}

static int64_t batch_count(const mil__slot *slot) {
    int64_t n = 1;
    for (int i = 0; i < slot->rank - 2; i++) n *= slot->shape[i];
    return n;
}

mil_status mil__select_matmul(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t x = mil__slot_of(lower, mil__op_arg_named(op, "x")->values[0]);
    uint32_t y = mil__slot_of(lower, mil__op_arg_named(op, "y")->values[0]);
    const mil__slot *xs = mil__slot_at(lower, x), *ys = mil__slot_at(lower, y);
    const mil__slot *result = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    if (!mil__kernel_float(xs->dtype) || !mil__kernel_float(ys->dtype) || xs->rank < 2 || ys->rank < 2) return MIL_OK;
    const struct mil__matmul_params *flags;
    const void *params;
    MIL__TRY(mil__lower_params(lower, op, &params));
    flags = params;
    matmul_params *p = mil__lower_alloc(lower, sizeof *p);
    if (!p) return mil__nomem(lower->err);
    p->gemm.m = (size_t)result->shape[result->rank - 2];
    p->gemm.n = (size_t)result->shape[result->rank - 1];
    p->gemm.k = (size_t)xs->shape[xs->rank - (flags->transpose_x ? 2 : 1)];
    p->gemm.a = matrix_of(xs, flags->transpose_x);
    p->gemm.b = matrix_of(ys, flags->transpose_y);
    p->a_bytes = bytes_of(xs->dtype);
    p->b_bytes = bytes_of(ys->dtype);
    p->batches.rank = result->rank - 2;
    p->batches.n = batch_count(result);
    memcpy(p->batches.dim, result->shape, sizeof p->batches.dim);
    batch_strides(xs, p->batches.rank, p->batches.a);
    batch_strides(ys, p->batches.rank, p->batches.b);
    batch_strides(result, p->batches.rank, p->batches.c);
    bool one_y = batch_count(ys) == 1;
    if (one_y && !flags->transpose_x && batch_count(xs) == p->batches.n) { /* all rows of x in one product */
        p->gemm.m *= (size_t)p->batches.n;
        p->batches.n = 1;
        p->batches.rank = 0;
    }
    *done = true;
    if (!one_y) MIL__TRY(mil__slot_dense(lower, &y));
    return emit(lower, group, p, x, y, NULL, one_y);
}

/* ---- einsum: nchw,nwhr->nchr, or the same without n: for each h (and n) a product over w, of c x w by w x r ---- */

mil_status mil__select_einsum(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const mil__values *values = mil__op_arg_named(op, "values");
    uint32_t x = mil__slot_of(lower, values->values[0]), y = mil__slot_of(lower, values->values[1]);
    const mil__slot *xs = mil__slot_at(lower, x), *ys = mil__slot_at(lower, y);
    const mil__slot *result = mil__slot_at(lower, mil__slot_of(lower, op->outputs[0]));
    matmul_params *p = mil__lower_alloc(lower, sizeof *p);
    int64_t a[MIL_MAX_RANK], b[MIL_MAX_RANK], c[MIL_MAX_RANK];
    int first = result->rank - 3; /* the axis of c in x and the result, of w in y; then h; then w, r, r */
    if (!p) return mil__nomem(lower->err);
    if (!mil__kernel_float(xs->dtype)) return MIL_OK;
    mil__shape_strides(xs->rank, xs->shape, a);
    mil__shape_strides(ys->rank, ys->shape, b);
    mil__shape_strides(result->rank, result->shape, c);
    p->gemm = (mil__gemm){.m = (size_t)xs->shape[first], .n = (size_t)ys->shape[first + 2], .k = (size_t)xs->shape[first + 2],
                          .a = {.dtype = mil__storage_of(xs->dtype), .rs = (ptrdiff_t)a[first], .cs = 1},
                          .b = {.dtype = mil__storage_of(ys->dtype), .rs = (ptrdiff_t)b[first], .cs = 1}, .c_rs = (ptrdiff_t)c[first]};
    p->a_bytes = bytes_of(xs->dtype);
    p->b_bytes = bytes_of(ys->dtype);
    p->batches.rank = first + 1;
    p->batches.n = 1;
    for (int i = 0; i <= first; i++) {
        int axis = i < first ? i : first + 1; /* n, h */
        p->batches.dim[i] = result->shape[axis];
        p->batches.a[i] = xs->shape[axis] == 1 ? 0 : a[axis];
        p->batches.b[i] = ys->shape[axis] == 1 ? 0 : b[axis];
        p->batches.c[i] = c[axis];
        p->batches.n *= result->shape[axis];
    }
    *done = true;
    return emit(lower, group, p, x, y, NULL, false);
}
