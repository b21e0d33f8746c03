/* SPDX-License-Identifier: MIT */
/* Conditions of operations: small questions about one operation, its operands and what made them. Sizes that only a run knows
 * are below 0 and so above no limit. */
#include <stdio.h>

#include "check/look.h"

#define WHEN(name) bool mil__when_##name(mil__look *look)

WHEN(always) { return look != NULL; }

/* ---- any operation: its results ---- */

typedef bool of_result(mil__look *look, const mil__value *result);

/* Is it so of a result that only a run knows? Says which, the first. */
static bool some_result(mil__look *look, of_result *is_so) {
    for (uint32_t i = 0; i < look->op->n_outputs; i++) {
        const mil__value *result = look->program->values[look->op->outputs[i]];
        if (result->is_const || result->type->kind != MIL_TENSOR || !is_so(look, result)) continue;
        look->value = look->op->outputs[i];
        mil__look_type(look, NULL, result);
        return true;
    }
    return false;
}

static bool is_of_rank_6(mil__look *look, const mil__value *result) { return (void)look, result->type->rank > 5; }
WHEN(moves_rank_above_5) { return some_result(look, is_of_rank_6); }
WHEN(rank_above_5) { return !mil__names_have("reshape expand_dims squeeze transpose", look->op->decl->name) && some_result(look, is_of_rank_6); }

static bool has_dim(const mil_type *type, int from, int to, int64_t least, int64_t most) {
    for (int i = from < 0 ? 0 : from; i < to && i < type->rank; i++)
        if (type->shape[i] >= least && type->shape[i] <= most) return true;
    return false;
}

static bool is_empty(mil__look *look, const mil__value *result) {
    return (void)look, has_dim(result->type, 0, result->type->rank, 0, 0);
}
WHEN(has_empty_dim) { return some_result(look, is_empty); }

static bool is_symbolic(const mil_type *type) { return has_dim(type, 0, type->rank, INT64_MIN, -1); }
static bool is_unknown(mil__look *look, const mil__value *result) { return (void)look, is_symbolic(result->type); }
/* The first only: not where an operand has such a size already. */
WHEN(size_first_unknown) {
    uint32_t n;
    const mil_value *values = mil__op_values(look->op, &n);
    for (uint32_t i = 0; i < n; i++)
        if (is_symbolic(look->program->values[values[i]]->type)) return false;
    return some_result(look, is_unknown);
}

static bool has_long_dim(mil__look *look, const mil__value *result) {
    return has_dim(result->type, 0, result->type->rank, look->limit + 1, INT64_MAX);
}
WHEN(dim_above) { return some_result(look, has_long_dim); }

static bool has_long_spatial_dim(mil__look *look, const mil__value *result) {
    return has_dim(result->type, result->type->rank - 2, result->type->rank, look->limit + 1, 65536);
}
WHEN(spatial_dim_above) { return some_result(look, has_long_spatial_dim); }

static bool has_many_channels(mil__look *look, const mil__value *result) {
    return result->type->rank > 3 && has_dim(result->type, 1, 2, look->limit + 1, 65536);
}
WHEN(channels_above) { return some_result(look, has_many_channels); }

static bool is_large(mil__look *look, const mil__value *result) { return mil__look_bytes(result->type) > look->limit; }
WHEN(result_above) { return some_result(look, is_large); }

static bool has_many(mil__look *look, const mil__value *result) { return mil__look_numel(result->type) > look->limit; }
WHEN(elements_above) { return some_result(look, has_many); }

static bool is_thin(mil__look *look, const mil__value *result) {
    const mil_type *type = result->type;
    return (void)look, type->rank > 2 && type->shape[type->rank - 1] == 1 && mil__look_numel(type) >= 4096;
}
WHEN(last_axis_is_one) { return some_result(look, is_thin); }

/* A cast to fp32 for an output is at the border; any other result of that dtype is computed. */
static bool is_fp32_inside(mil__look *look, const mil__value *result) {
    bool is_cast = strcmp(look->op->decl->name, "cast") == 0;
    mil_dtype dtype = result->type->dtype;
    return (dtype == MIL_FP32 || dtype == MIL_FP64 || dtype == MIL_BF16) && !(is_cast && result->is_output);
}
WHEN(computes_in_fp32) { return some_result(look, is_fp32_inside); }

static bool is_integer(mil__look *look, const mil__value *result) {
    mil_dtype dtype = result->type->dtype;
    return (void)look, mil__dtype_is_int(dtype) && dtype != MIL_INT8 && dtype != MIL_UINT8;
}
/* What gives places of elements is not meant: that has rows of its own. */
WHEN(computes_on_integers) {
    return !mil__names_have("topk argsort reduce_argmax reduce_argmin non_zero shape one_hot", look->op->decl->name) &&
           some_result(look, is_integer);
}

WHEN(is_dead) {
    for (uint32_t i = 0; i < look->op->n_outputs; i++) {
        const mil__value *result = look->program->values[look->op->outputs[i]];
        if (result->n_uses > 0 || result->is_output || result->is_const) return false;
    }
    return look->op->n_outputs > 0 && !mil__op_has_effect(look->program, look->op);
}

WHEN(joins_from) {
    uint32_t n;
    const mil_value *values = mil__op_values(look->op, &n);
    int64_t joined = 0;
    for (uint32_t i = 0; i < n; i++) joined += !look->program->values[values[i]]->is_const;
    return joined >= look->limit;
}

WHEN(uint8_is_not_cast) {
    uint32_t n;
    const mil_value *values = mil__op_values(look->op, &n);
    if (strcmp(look->op->decl->name, "cast") == 0) return false;
    for (uint32_t i = 0; i < n; i++) {
        const mil__value *value = look->program->values[values[i]];
        if (value->op || value->is_const || value->type->kind != MIL_TENSOR || value->type->dtype != MIL_UINT8) continue;
        mil__look_type(look, value->name, value);
        return true;
    }
    return false;
}

/* ---- operands and what made them ---- */

/* Says the operand of that name. */
static bool found(mil__look *look, const char *name) {
    mil__look_type(look, name, mil__look_arg(look, name));
    return true;
}

static int64_t dim_of(const mil__look *look, const char *name, int axis) { return mil__look_dim(mil__look_arg(look, name), axis); }
static int rank_of(const mil__look *look, const char *name) {
    const mil__value *value = mil__look_arg(look, name);
    return value && value->type->kind == MIL_TENSOR ? value->type->rank : -1;
}

static bool is_made_by(const mil__look *look, const mil__value *value, const char *ops) {
    const mil__op *maker = mil__look_maker(look, value);
    return maker && mil__names_have(ops, maker->decl->name);
}

WHEN(x_is_input) {
    const mil__value *x = mil__look_arg(look, "x");
    return x && !x->op && found(look, "x");
}
WHEN(x_is_computed) {
    const mil__value *x = mil__look_arg(look, "x");
    if (!x) x = mil__look_arg(look, "query");
    return x && x->op && !x->is_const;
}
WHEN(has_bias) { return mil__look_arg(look, "bias") && found(look, "bias"); }
WHEN(has_mask) { return mil__look_arg(look, "attn_mask") && found(look, "attn_mask"); }
WHEN(rank_above_4) { return rank_of(look, "x") > 4 && found(look, "x"); }
WHEN(x_rank_is_3) { return rank_of(look, "x") == 3 && found(look, "x"); }
WHEN(mean_of_square) { return is_made_by(look, mil__look_arg(look, "x"), "square"); }
WHEN(casts_computed) {
    const mil__value *x = mil__look_arg(look, "x");
    return x && (x->op || x->type->dtype != MIL_UINT8) && found(look, "x");
}

WHEN(casts_floats) {
    const mil__value *x = mil__look_arg(look, "x");
    return x && mil__dtype_is_float(x->type->dtype) && mil__dtype_is_float(look->program->values[look->op->outputs[0]]->type->dtype);
}

WHEN(follows_square) {
    const mil__value *x = mil__look_arg(look, "x");
    return is_made_by(look, x, "square") && mil__look_dim(x, -1) % 128 > 64 && found(look, "x");
}

/* A factor of mul that is a const scalar (or one element), beside what these ops made. */
static bool has_scalar_beside(const mil__look *look, const char *ops, double *factor) {
    const mil__value *x = mil__look_arg(look, "x"), *y = mil__look_arg(look, "y");
    if (!x || !y) return false;
    const mil__value *made = x->is_const ? y : x, *scalar = x->is_const ? x : y;
    if (!scalar->data || !mil__dtype_is_float(scalar->data->dtype) || mil__numel(scalar->data) != 1) return false;
    *factor = mil__load_f64(scalar->data, 0);
    return is_made_by(look, made, ops);
}
WHEN(scales_rounded) {
    double factor;
    return has_scalar_beside(look, "round floor ceil", &factor);
}
WHEN(multiplies_sum_by_zero) {
    double factor;
    return has_scalar_beside(look, "reduce_sum reduce_mean reduce_max reduce_min", &factor) && factor == 0;
}

/* A const [1, D, 1, 1] among the operands. */
static const mil__value *channel_const(const mil__look *look, const char *name) {
    const mil__value *value = mil__look_arg(look, name);
    bool is_one = value && value->is_const && value->type->kind == MIL_TENSOR && value->type->rank == 4 &&
                  value->type->shape[0] == 1 && value->type->shape[2] == 1 && value->type->shape[3] == 1;
    return is_one && value->type->shape[1] >= look->limit ? value : NULL;
}
WHEN(is_channel_affine) {
    return (channel_const(look, "y") && found(look, "y")) || (channel_const(look, "x") && found(look, "x"));
}

WHEN(multiplies_over_batch) {
    int64_t x = dim_of(look, "x", 0), y = dim_of(look, "y", 0);
    return rank_of(look, "x") == 4 && rank_of(look, "y") == 4 && x != y && (x == 1 || y == 1);
}

WHEN(hard_swish_of_matrix) {
    const mil__value *x = mil__look_arg(look, "x");
    const mil__op *maker = mil__look_maker(look, x);
    if (!maker || x->type->rank != 2) return false;
    if (mil__names_have("matmul linear", maker->decl->name)) return found(look, "x");
    mil__look before = {.program = look->program, .op = maker};
    return strcmp(maker->decl->name, "add") == 0 && (is_made_by(&before, mil__look_arg(&before, "x"), "matmul linear") ||
                                                     is_made_by(&before, mil__look_arg(&before, "y"), "matmul linear"));
}

/* ---- reductions, ranking, softmax ---- */

WHEN(argument_axis_above) {
    int64_t axis;
    return mil__look_int(look, "axis", &axis) && dim_of(look, "x", (int)axis) > look->limit && found(look, "x");
}
WHEN(k_is_3_or_4) {
    int64_t k;
    return mil__look_int(look, "k", &k) && (k == 3 || k == 4);
}
WHEN(has_rows) {
    int64_t axis;
    const mil__value *x = mil__look_arg(look, "x");
    if (!x || !mil__look_int(look, "axis", &axis)) return false;
    return mil__look_numel(x->type) > mil__look_dim(x, (int)axis) && found(look, "x");
}
WHEN(softmax_not_power_of_two) {
    int64_t axis, n;
    if (!mil__look_int(look, "axis", &axis)) return false;
    n = dim_of(look, "x", (int)axis);
    return n > 0 && (n & (n - 1)) != 0 && found(look, "x");
}
WHEN(channels_from) { return dim_of(look, "x", 1) >= look->limit && found(look, "x"); }

/* Of log, rsqrt, inverse and the norms: the number as the op has it where none is given. */
static bool epsilon_is(mil__look *look, double least, double below) {
    double epsilon;
    if (!mil__look_number(look, "epsilon", &epsilon) || epsilon < least || epsilon >= below) return false;
    snprintf(look->here, sizeof look->here, "epsilon is %g", epsilon);
    return true;
}
WHEN(epsilon_is_zero) { return epsilon_is(look, 0, 0x1p-24); }
WHEN(epsilon_is_subnormal) { return epsilon_is(look, 0x1p-24, 6.1e-5); }

/* ---- convolutions ---- */

static int64_t kernel(const mil__look *look, int axis) { return rank_of(look, "weight") == 4 ? dim_of(look, "weight", axis) : -1; }

/* The largest of a list of numbers; 1 where there is none. */
static int64_t largest_of(const mil__look *look, const char *name) {
    int64_t values[2 * MIL_MAX_RANK], most = 1;
    int n = mil__op_ints(look->program, look->op, name, 2 * MIL_MAX_RANK, values);
    for (int i = 0; i < n; i++)
        if (values[i] > most) most = values[i];
    return most;
}

WHEN(kernel_width_above) { return kernel(look, 3) > look->limit && found(look, "weight"); }
WHEN(kernel_width_to_16_above) { return kernel(look, 3) <= 16 && mil__when_kernel_width_above(look); }
WHEN(kernel_height_above) { return kernel(look, 2) > look->limit && found(look, "weight"); }
WHEN(strided_kernel_above) { return largest_of(look, "strides") > 1 && kernel(look, 3) > look->limit && found(look, "weight"); }
WHEN(is_strided) {
    int64_t groups;
    return largest_of(look, "strides") > 1 && mil__look_int(look, "groups", &groups) && groups == 1;
}
WHEN(stride_is_other) {
    int64_t stride = largest_of(look, "strides");
    return stride > 1 && stride != 2 && stride != 3 && stride != 4 && stride != 8;
}
WHEN(input_channels_from) { return dim_of(look, "x", 1) >= look->limit && found(look, "x"); }
WHEN(groups_are_slow) {
    int64_t groups;
    return mil__look_int(look, "groups", &groups) && groups != 1 && groups != 2 && groups != 4 && groups != dim_of(look, "x", 1);
}
WHEN(group_kernel_above) {
    int64_t groups, channels = dim_of(look, "x", 1), n = kernel(look, 2), width = kernel(look, 3);
    if (!mil__look_int(look, "groups", &groups) || groups <= 1 || groups == channels || channels < 0 || n <= 0 || width < 0) return false;
    return !mil__mul_dim(n, width, &n) || !mil__mul_dim(n, channels, &n) || n > look->limit;
}
WHEN(weight_is_computed) {
    const mil__value *weight = mil__look_arg(look, "weight");
    return weight && !weight->is_const && found(look, "weight");
}
WHEN(weight_is_computed_for_batch) { return dim_of(look, "x", 0) > 1 && mil__when_weight_is_computed(look); }

/* The weight of a product: what is const of it. */
static const mil__value *weight_of(const mil__look *look) {
    const mil__value *weight = mil__look_arg(look, "weight");
    if (!weight) weight = mil__look_arg(look, "y");
    return weight && weight->is_const ? weight : NULL;
}
WHEN(weight_is_const) { return weight_of(look) != NULL; }
WHEN(weight_above) {
    const mil__value *weight = weight_of(look);
    if (!weight || mil__look_bytes(weight->type) <= look->limit) return false;
    mil__look_type(look, "weight", weight);
    return true;
}
WHEN(weight_is_blockwise) { return is_made_by(look, weight_of(look), "constexpr_blockwise_shift_scale"); }
WHEN(compressed_is_strided) {
    const mil__op *maker = mil__look_maker(look, weight_of(look));
    return maker && strncmp(maker->decl->name, "constexpr_", 10) == 0 &&
           (largest_of(look, "strides") > 1 || largest_of(look, "dilations") > 1);
}
WHEN(palette_is_not_4_or_8) {
    const mil__value *indices = mil__look_arg(look, "indices");
    return indices && indices->type->dtype != MIL_UINT4 && indices->type->dtype != MIL_UINT8 && found(look, "indices");
}
WHEN(is_asymmetric) {
    const mil__value *zero = mil__look_arg(look, "zero_point");
    if (!zero || !zero->data || zero->data->rank > 1 || zero->data->dtype == MIL_STRING) return false;
    for (int64_t i = 0; i < mil__numel(zero->data); i++) {
        int64_t at = zero->data->rank ? i * zero->data->strides[0] : 0;
        if (mil__load_f64(zero->data, at) != 0) return true;
    }
    return false;
}

/* ---- products ---- */

WHEN(inner_not_multiple_of_32) {
    int64_t transposed;
    if (!mil__look_int(look, "transpose_x", &transposed)) return false;
    int64_t inner = dim_of(look, "x", transposed && rank_of(look, "x") > 1 ? -2 : -1);
    return inner > 0 && inner % 32 != 0 && found(look, "x");
}

/* Both are computed, and an axis before the last two has another size. */
WHEN(batch_is_broadcast) {
    const mil__value *x = mil__look_arg(look, "x"), *y = mil__look_arg(look, "y");
    if (!x || !y || x->is_const || y->is_const) return false;
    for (int back = 3; back <= x->type->rank || back <= y->type->rank; back++) {
        int64_t a = back <= x->type->rank ? x->type->shape[x->type->rank - back] : 1;
        int64_t b = back <= y->type->rank ? y->type->shape[y->type->rank - back] : 1;
        if (a != b) return found(look, "y");
    }
    return false;
}
WHEN(width_above) {
    const mil__value *result = look->program->values[look->op->outputs[0]];
    if (mil__look_dim(result, -1) <= look->limit) return false;
    mil__look_type(look, NULL, result);
    return true;
}

WHEN(attention_is_small) {
    int64_t n = dim_of(look, "query", -2), size = dim_of(look, "query", -1);
    return (n >= 0 && n < 496) || (size >= 0 && size != 64);
}
WHEN(attention_is_long) {
    int64_t query = dim_of(look, "query", -2), key = dim_of(look, "key", -2);
    return ((query >= 512 && key >= 512) || query > 2048 || key > 2048) && found(look, "query");
}
/* nchw,nwhu->nchu has operands of rank 4. */
WHEN(equation_is_unproven) { return rank_of(look, "values") != 4; }

/* ---- movements ---- */

WHEN(indices_are_known) {
    const mil__value *indices = mil__look_arg(look, "indices"), *x = mil__look_arg(look, "x");
    int64_t batches;
    return indices && indices->is_const && x && !x->is_const && (!mil__look_int(look, "batch_dims", &batches) || batches == 0);
}
/* By a run, or of a known table. */
WHEN(indices_are_computed) { return strcmp(look->op->decl->name, "gather") != 0 || !mil__when_indices_are_known(look); }

WHEN(perm_is_not_0321) {
    static const int64_t taken[] = {0, 3, 2, 1};
    int64_t perm[MIL_MAX_RANK];
    int n = mil__op_ints(look->program, look->op, "perm", MIL_MAX_RANK, perm);
    return n >= 0 && (n != 4 || memcmp(perm, taken, sizeof taken) != 0);
}

WHEN(pads_elsewhere) {
    int64_t pad[2 * MIL_MAX_RANK];
    int n = mil__op_ints(look->program, look->op, "pad", 2 * MIL_MAX_RANK, pad);
    int before = n / 2 - 2; /* pairs, the last axis last; the last two are free */
    for (int i = 0; i < 2 * before; i++)
        if (pad[i] != 0) return true;
    return false;
}
WHEN(pads_by_reflection) {
    const mil__value *mode = mil__look_arg(look, "mode");
    const char *text = mode && mode->data ? mil_tensor_string(mode->data, 0, NULL) : NULL;
    return text && strcmp(text, "constant") != 0;
}

WHEN(window_exceeds) {
    int64_t sizes[3], pad[6];
    int n = mil__op_ints(look->program, look->op, "kernel_sizes", 3, sizes);
    int n_pad = mil__op_ints(look->program, look->op, "pad", 6, pad);
    for (int i = 0; i < n; i++) {
        int64_t extent = dim_of(look, "x", i - n);
        if (extent >= 0 && sizes[i] > extent) return found(look, "x");
        if (n_pad == 2 * n && (pad[2 * i] >= sizes[i] || pad[2 * i + 1] >= sizes[i]) && sizes[i] > 1) return found(look, "x");
    }
    return false;
}
WHEN(window_is_odd_above) {
    int64_t sizes[3];
    int n = mil__op_ints(look->program, look->op, "kernel_sizes", 3, sizes);
    for (int i = 0; i < n; i++)
        if (sizes[i] > look->limit && sizes[i] % 2 == 1) return true;
    return false;
}

static bool is_made_of_2_and_3(int64_t factor) {
    while (factor > 1 && factor % 2 == 0) factor /= 2;
    while (factor > 1 && factor % 3 == 0) factor /= 3;
    return factor <= 1;
}
WHEN(repeats_by_other_primes) {
    int64_t reps[MIL_MAX_RANK];
    int n = mil__op_ints(look->program, look->op, "reps", MIL_MAX_RANK, reps);
    for (int i = 0; i < n; i++)
        if (!is_made_of_2_and_3(reps[i])) return true;
    return false;
}
WHEN(block_is_other) {
    static const char *const names[] = {"block_size", "upscale_factor", "downscale_factor", "block_shape"};
    for (size_t k = 0; k < MIL__COUNT(names); k++) {
        int64_t factors[MIL_MAX_RANK];
        int n = mil__op_ints(look->program, look->op, names[k], MIL_MAX_RANK, factors);
        for (int i = 0; i < n; i++)
            if (factors[i] != 1 && factors[i] != 2 && factors[i] != 3 && factors[i] != 4 && factors[i] != 8) return true;
    }
    return false;
}
WHEN(batch_above) {
    return dim_of(look, "x", 0) > look->limit ||
           mil__look_dim(look->program->values[look->op->outputs[0]], 0) > look->limit;
}

WHEN(begins_at_run_time) {
    const mil__value *begin = mil__look_arg(look, "begin");
    return begin && !begin->is_const && found(look, "begin");
}

/* Does the operation take a piece from within the last axis? Of split: every piece but the first does. */
static bool is_width_slice(const mil__look *look) {
    int64_t begin[MIL_MAX_RANK], mask[MIL_MAX_RANK], axis;
    int rank = rank_of(look, "x");
    if (strcmp(look->op->decl->name, "split") == 0)
        return mil__look_int(look, "axis", &axis) && rank > 0 && (axis < 0 ? axis + rank : axis) == rank - 1;
    int n = mil__op_ints(look->program, look->op, "begin", MIL_MAX_RANK, begin);
    if (n < 1 || n != rank || begin[n - 1] == 0) return false;
    return mil__op_ints(look->program, look->op, "begin_mask", MIL_MAX_RANK, mask) != n || mask[n - 1] == 0;
}

/* What these give stays far below 4094. */
WHEN(slices_width) {
    const mil__value *x = mil__look_arg(look, "x");
    return is_width_slice(look) && !is_made_by(look, x, "sigmoid tanh softmax sigmoid_hard relu6 softsign erf sin cos sign") && found(look, "x");
}

WHEN(joins_width_slices) {
    uint32_t n, slices = 0;
    const mil_value *values = mil__op_values(look->op, &n);
    for (uint32_t i = 0; i < n; i++) {
        const mil__value *value = look->program->values[values[i]];
        if (!is_made_by(look, value, "slice_by_index slice_by_size split")) continue;
        mil__look piece = {.program = look->program, .op = mil__look_maker(look, value)};
        slices += is_width_slice(&piece);
    }
    return slices >= 2;
}
