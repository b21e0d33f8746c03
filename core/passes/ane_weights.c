/* SPDX-License-Identifier: MIT */
/* Compressed weights on their way to the Neural Engine: kept as they are where it is known to take them, else expanded.
 *
 *     constexpr_affine_dequantize   int8, zero points of 0, a scale for all or one an output channel
 *     constexpr_lut_to_dense        by e5rt: one palette of 16 or 256 for all
 *     constexpr_sparse_to_dense     by e5rt: at least half of it 0
 *
 * and each as nothing but the weight of simple convolutions, linear layers and products. There it takes the shape of a convolution's weight
 * at once, since a reshape of what such an op gives is refused. What is expanded is made dense operation by operation, in its own
 * memory, before the rules see it; they see a kept one as a value without data. */
#include <math.h>

#include "passes/ane.h"

typedef enum use { NOT_SEEN, ROWS, TURNED, OTHERS } use; /* as a matrix [out, in]; as [in, out]; also as something else */

/* ---- what is kept ---- */

static const mil_tensor *data_of(const mil_program *program, const mil__op *op, const char *name) {
    mil_value value = mil__ane_arg(op, name);
    return value ? program->values[value]->data : NULL;
}

static bool is_compressed(const mil__op *op) { return strncmp(op->decl->name, "constexpr_", 10) == 0; }

static bool is_given(const mil__op *op, const char *name) { return mil__op_arg_named(op, name) != NULL; }

static double at(const mil_tensor *data, int64_t i) { return mil__load_f64(data, i * (data->rank ? data->strides[0] : 0)); }

static bool are_all_zero(const mil_tensor *data) {
    for (int64_t i = 0, n = mil__numel(data); i < n; i++)
        if (at(data, i) != 0) return false;
    return true;
}

/* fp16 has them as exactly as it has the products. */
static bool are_normal(const mil_tensor *scale) {
    for (int64_t i = 0, n = mil__numel(scale); i < n; i++) {
        double size = fabs(at(scale, i));
        if (size != 0 && (size < 0x1p-14 || size > 65504)) return false;
    }
    return true;
}

static bool keeps_affine(const mil_program *program, const mil__op *op, use as) {
    const mil_tensor *data = data_of(program, op, "quantized_data"), *scale = data_of(program, op, "scale"), *zero = data_of(program, op, "zero_point"),
                     *axis = data_of(program, op, "axis");
    bool fits = data && scale && zero && axis && data->dtype == MIL_INT8 && scale->rank <= 1 && zero->rank <= 1 && are_all_zero(zero) && are_normal(scale);
    if (!fits) return false;
    int64_t of = mil__load_i64(axis, 0);
    return mil__numel(scale) == 1 || (of < 0 ? of + data->rank : of) == (as == TURNED);
}

static bool keeps_palette(const mil_program *program, const mil__op *op, bool is_old_form) {
    const mil_tensor *indices = data_of(program, op, "indices"), *lut = data_of(program, op, "lut");
    if (!indices || !lut || !mil__dtype_is_float(lut->dtype) || is_given(op, "vector_axis") || !mil__is_contiguous(indices)) return false;
    int64_t n = mil__numel(lut), entries = is_old_form ? n : lut->shape[lut->rank - 2];
    return n == entries && (n == 16 || n == 256);
}

static bool keeps_sparse(const mil_program *program, const mil__op *op) {
    const mil_tensor *values = data_of(program, op, "nonzero_data"), *mask = data_of(program, op, "mask");
    int64_t n = 0;
    bool fits = values && mask && mil__dtype_is_float(values->dtype) && mil__is_contiguous(mask) &&
                mil__shape_numel(program->values[op->outputs[0]]->type->rank, program->values[op->outputs[0]]->type->shape, &n);
    return fits && mil__numel(values) > 0 && mil__numel(values) <= n / 2;
}

/* Of those that are used as matrices alone; bits are not turned. */
static bool keeps(const mil_program *program, const mil__op *op, use as, bool is_e5rt) {
    bool is_old_form = mil__op_has_attributes(op->decl, program->functions[0].opset);
    if (as != ROWS && as != TURNED) return false;
    if (strcmp(op->decl->name, "constexpr_affine_dequantize") == 0) return keeps_affine(program, op, as);
    if (!is_e5rt || as == TURNED) return false;
    if (strcmp(op->decl->name, "constexpr_lut_to_dense") == 0) return keeps_palette(program, op, is_old_form);
    return strcmp(op->decl->name, "constexpr_sparse_to_dense") == 0 && keeps_sparse(program, op);
}

/* ---- how weights are used ---- */

static void note(use *uses, mil_value value, use as) { uses[value] = uses[value] == NOT_SEEN || uses[value] == as ? as : OTHERS; }

static bool are_ones(const mil_program *program, const mil__op *op, const char *name) {
    int64_t values[MIL_MAX_RANK];
    int n = mil__op_ints(program, op, name, MIL_MAX_RANK, values);
    bool are = n >= 0 || !mil__ane_arg(op, name);
    for (int i = 0; i < n; i++) are = are && values[i] == 1;
    return are;
}

/* Only without strides, dilations, groups and large kernels: others are written otherwise, or gain nothing. */
static bool is_simple(const mil_program *program, const mil__op *op) {
    enum { MOST = 13, TOO_MANY = 32000 };
    const mil_type *type = program->values[mil__ane_arg(op, "weight")]->type;
    bool is = (type->rank == 3 || type->rank == 4) && type->shape[1] < TOO_MANY;
    for (int i = 2; i < type->rank; i++) is = is && type->shape[i] <= MOST;
    return is && are_ones(program, op, "strides") && are_ones(program, op, "dilations") && are_ones(program, op, "groups");
}

/* As what the operation takes its operand. */
static use use_of(const mil_program *program, const mil__op *op, mil_value value) {
    const char *name = op->decl->name;
    bool is_weight = mil__ane_arg(op, "weight") == value && mil__ane_arg(op, "x") != value && mil__ane_arg(op, "bias") != value;
    if (strcmp(name, "linear") == 0) return is_weight ? ROWS : OTHERS;
    if (strcmp(name, "conv") == 0) return is_weight && is_simple(program, op) ? ROWS : OTHERS;
    if (strcmp(name, "matmul") != 0 || mil__ane_arg(op, "y") != value || mil__ane_arg(op, "x") == value) return OTHERS;
    const mil_tensor *turn_x = data_of(program, op, "transpose_x"), *turn_y = data_of(program, op, "transpose_y");
    const mil_type *x = program->values[mil__ane_arg(op, "x")]->type;
    bool is_layer = program->values[value]->type->rank == 2 && x->rank >= 2 && !program->values[mil__ane_arg(op, "x")]->data &&
                    !(turn_x && mil__load_f64(turn_x, 0) != 0);
    return !is_layer ? OTHERS : turn_y && mil__load_f64(turn_y, 0) != 0 ? ROWS : TURNED;
}

static void find_uses(const mil_program *program, const mil__block *body, use *uses) {
    for (mil_operation i = body->first; i; i = program->ops[i]->next) {
        const mil__op *op = program->ops[i];
        for (uint16_t a = 0; a < op->n_args; a++)
            for (uint32_t k = 0; k < op->args[a].n; k++) note(uses, op->args[a].values[k], use_of(program, op, op->args[a].values[k]));
    }
    for (uint32_t i = 0; i < body->n_outputs; i++) uses[body->outputs[i]] = OTHERS;
}

static mil_status expand(mil_program *program, const mil__op *op, mil_error *err) {
    mil__arena arena = {0};
    mil_status status = mil__pass_evaluate(program, op, &arena, err);
    mil__arena_free(&arena);
    return status;
}

mil_status mil__ane_expand(mil_program *program, bool is_e5rt, bool keeps_none, mil_error *err) {
    const mil__block *body = program->blocks[program->functions[0].block];
    use *uses = mil__calloc(program->n_values, sizeof *uses);
    mil_status status = uses ? MIL_OK : mil__nomem(err);
    if (uses) find_uses(program, body, uses);
    for (mil_operation i = body->first; i && status == MIL_OK; i = program->ops[i]->next) {
        const mil__op *op = program->ops[i];
        if (!is_compressed(op) || program->values[op->outputs[0]]->data) continue;
        if (keeps_none || !keeps(program, op, uses[op->outputs[0]], is_e5rt)) status = expand(program, op, err);
    }
    mil__free(uses);
    return status;
}

/* ---- as a convolution's weight ---- */

bool mil__ane_is_kept(const mil_program *from, mil_value old) {
    const mil__value *value = from->values[old];
    return value->op && !value->data && is_compressed(from->ops[value->op]);
}

static const mil_tensor *part(const mil__lowering *l, const mil__op *op, const char *name) { return data_of(l->from, op, name); }

/* The same bits as elements of another dtype and shape; NULL: failed. */
static mil_tensor *bits_as(mil__lowering *l, const mil_tensor *data, mil_dtype dtype, const int64_t shape[4]) {
    mil_tensor *view = NULL;
    size_t begin = (size_t)((char *)data->data - (char *)mil_buffer_data(data->buffer));
    if (l->status == MIL_OK) l->status = mil_tensor_over(data->buffer, begin, dtype, 4, shape, NULL, &view, l->err);
    return view;
}

static void drop(mil_tensor **tensors, size_t n) {
    for (size_t i = 0; i < n; i++) mil_tensor_free(tensors[i]);
}

#define TENSOR(param, t) {.name = (param), .kind = MIL_ARG_TENSOR, .tensor = (t)}

static mil_value add_affine(mil__lowering *l, const mil__op *op, bool is_turned, const int64_t shape[4]) {
    const mil_tensor *data = part(l, op, "quantized_data");
    mil_tensor *turned = NULL, *dense = NULL, *zero = NULL;
    if (is_turned && mil_tensor_transpose((mil_tensor *)data, (const int[]){1, 0}, &turned, l->err) != MIL_OK) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    if (l->status == MIL_OK) l->status = mil_tensor_convert(turned ? turned : data, MIL_INT8, &dense, l->err);
    if (l->status == MIL_OK) l->status = mil_tensor_new(MIL_INT8, 0, NULL, &zero, l->err);
    mil_tensor *scale = mil__ane_half(l, part(l, op, "scale"));
    if (scale && mil__numel(scale) == 1) scale = mil__ane_shaped(l, scale, 0, NULL);
    dense = mil__ane_shaped(l, dense, 4, shape);
    mil_value made = 0;
    if (l->status == MIL_OK)
        made = MIL__ADD(l, op->decl->name, TENSOR("quantized_data", dense), TENSOR("zero_point", zero), TENSOR("scale", scale), MIL__INT_("axis", 0));
    drop((mil_tensor *[]){turned, dense, zero, scale}, 4);
    return made;
}

static mil_value add_palette(mil__lowering *l, const mil__op *op, const int64_t shape[4]) {
    const mil_tensor *lut = part(l, op, "lut");
    int64_t n = mil__numel(lut);
    mil_tensor *indices = bits_as(l, part(l, op, "indices"), n == 16 ? MIL_UINT4 : MIL_UINT8, shape);
    mil_tensor *table = mil__ane_shaped(l, mil__ane_half(l, lut), 6, (const int64_t[]){1, 1, 1, 1, n, 1});
    mil_value made = l->status == MIL_OK ? MIL__ADD(l, op->decl->name, TENSOR("indices", indices), TENSOR("lut", table)) : 0;
    drop((mil_tensor *[]){indices, table}, 2);
    return made;
}

static mil_value add_sparse(mil__lowering *l, const mil__op *op, const int64_t shape[4]) {
    mil_tensor *mask = bits_as(l, part(l, op, "mask"), MIL_UINT1, shape), *values = mil__ane_half(l, part(l, op, "nonzero_data"));
    mil_value made = l->status == MIL_OK ? MIL__ADD(l, op->decl->name, TENSOR("nonzero_data", values), TENSOR("mask", mask)) : 0;
    drop((mil_tensor *[]){mask, values}, 2);
    return made;
}

mil_value mil__ane_kept(mil__lowering *l, mil_value old, bool is_turned, const int64_t shape[4]) {
    const mil__op *op = l->from->ops[l->from->values[old]->op];
    if (l->status != MIL_OK) return 0;
    if (strcmp(op->decl->name, "constexpr_affine_dequantize") == 0) return add_affine(l, op, is_turned, shape);
    return strcmp(op->decl->name, "constexpr_lut_to_dense") == 0 ? add_palette(l, op, shape) : add_sparse(l, op, shape);
}
