/* SPDX-License-Identifier: MIT */
/* The checker: what the reports of the Neural Engine say of an op, a pattern or a port, as rows, and which rule finds it and
 * how severely. The last case fails for a rule that no row reaches. */
#include <time.h>

#include "call.h"

#include "check/check.h"

static bool reached[256]; /* by rule */

static void mark(const char *rule) {
    mil_rule row;
    for (size_t i = 0; mil_rule_at("ane", i, &row); i++)
        if (strcmp(row.id, rule) == 0) reached[i] = true;
}

/* The most severe finding of a rule ("": of all); -1: none. */
static int worst(const mil_report *report, const char *rule) {
    int severity = -1;
    for (size_t i = 0; i < mil_report_count(report); i++) {
        const mil_finding *f = mil_report_at(report, i);
        mark(f->rule);
        if ((!*rule || strcmp(f->rule, rule) == 0) && (int)f->severity > severity) severity = (int)f->severity;
    }
    return severity;
}

static void show(const mil_report *report) {
    for (size_t i = 0; i < mil_report_count(report); i++)
        fprintf(stderr, "    %s: %s [%s]\n", mil_severity_name(mil_report_at(report, i)->severity), mil_report_at(report, i)->message,
                mil_report_at(report, i)->rule);
}

static void check_severity(const mil_program *program, const mil_check_options *options, const char *rule, int wanted) {
    mil_error err = {0};
    mil_report *report = NULL;
    if (!CHECK_OK(mil_program_check(program, options, &report, &err), &err)) return;
    if (!CHECK_EQ(worst(report, rule), wanted)) show(report);
    mil_report_free(report);
}

enum { NONE = -1, R = MIL_REMARK, N = MIL_NOTE, W = MIL_WARNING, E = MIL_ERROR };

/* ---- one operation ---- */

#define H "fp16[1, 64, 8, 64]"
#define S "fp16[1, 64, 1, 64]"

static const struct {
    const char *route, *chip, *op, *args, *rule;
    int severity;
} calls[] = {
    /* the op table of the e5rt route: ops that compiled and ran, alone */
    {"e5rt", "m5", "abs", "x=" S, "", NONE}, {"e5rt", "m5", "atan", "x=" S, "", NONE}, {"e5rt", "m5", "ceil", "x=" S, "", NONE},
    {"e5rt", "m5", "clamped_relu", "x=" S " alpha=.1 beta=1", "", NONE}, {"e5rt", "m5", "cos", "x=" S, "", NONE},
    {"e5rt", "m3", "sin", "x=" S, "", NONE}, {"e5rt", "m5", "erf", "x=" S, "", NONE}, {"e5rt", "m5", "exp", "x=" S, "", NONE},
    {"e5rt", "m5", "gelu", "x=" S " mode=\"EXACT\"", "", NONE}, {"e5rt", "m5", "silu", "x=" S, "", NONE},
    {"e5rt", "m1", "softmax", "x=" S " axis=-1", "", NONE}, {"e5rt", "m1", "square", "x=" S, "", NONE},
    {"e5rt", "m1", "add", "x=" S " y=" S, "", NONE}, {"e5rt", "m1", "real_div", "x=" S " y=" S, "", NONE},
    {"e5rt", "m1", "pow", "x=" S " y=" S, "", NONE}, {"e5rt", "m1", "floor_div", "x=" S " y=" S, "", NONE},
    {"e5rt", "m1", "reduce_sum", "x=" S " axes={1} keep_dims=true", "", NONE},
    {"e5rt", "m1", "reduce_mean", "x=" S " axes={1} keep_dims=true", "", NONE},
    {"e5rt", "m1", "conv", "x=" H " weight=@fp16[64, 64, 3, 3] pad_type=\"same\"", "", NONE},
    {"e5rt", "m1", "matmul", "x=fp16[1, 1, 64, 64] y=fp16[1, 1, 64, 64]", "", NONE},
    {"e5rt", "m1", "linear", "x=fp16[64, 64] weight=@fp16[64, 64]", "", NONE},
    {"e5rt", "m1", "max_pool", "x=" H " kernel_sizes={2, 2} strides={2, 2} pad_type=\"valid\"", "", NONE},
    {"e5rt", "m1", "transpose", "x=" H " perm={0, 1, 3, 2}", "", NONE},
    {"e5rt", "m1", "reshape", "x=" S " shape={1, 1, 64, 64}", "", NONE},
    {"e5rt", "m1", "concat", "values=(" S ", " S ") axis=1 interleave=false", "", NONE},
    {"e5rt", "m1", "pad", "x=" S " pad={0, 0, 0, 0, 1, 1, 2, 2}", "", NONE},
    {"e5rt", "m1", "tile", "x=" S " reps={1, 2, 4, 1}", "", NONE},
    {"e5rt", "m2", "resize_bilinear", "x=" H " target_size_height=16 target_size_width=128", "", NONE},
    {"e5rt", "m4", "topk", "x=fp16[1, 64] k=5 axis=1", "", E}, /* its indices are an int32 output there */
    /* ops without a lowering */
    {"e5rt", NULL, "acos", "x=" S, "no_lowering", E}, {"direct", NULL, "tan", "x=" S, "no_hyperbolic", E},
    {"e5rt", NULL, "mod", "x=" S " y=" S, "mod", E}, {"e5rt", NULL, "cumsum", "x=" S " axis=1", "cumsum", W},
    {"e5rt", NULL, "logical_and", "x=bool[4] y=bool[4]", "logical", E},
    {"e5rt", NULL, "reduce_prod", "x=" S " axes={1} keep_dims=true", "reduce_prod", E},
    {"direct", NULL, "reduce_prod", "x=" S " axes={1} keep_dims=true", "reduce_prod_direct", W},
    {"e5rt", NULL, "conv_quantized", "x=" S " weight=@uint8[64, 64, 1, 1] quantization_type=\"linear\" nbits=8 quant_scale=@fp16[64] quant_bias=@fp16[64]", "conv_quantized", E},
    {"e5rt", NULL, "band_part", "x=" S " lower=1 upper=1", "windows", E}, {"e5rt", NULL, "non_zero", "x=fp16[8]", "data_movement", E}, {"e5rt", NULL, "non_zero", "x=fp16[8]", "data_movement", E},
    {"e5rt", NULL, "scatter", "data=fp16[8, 8] indices=@int32[2] updates=fp16[2, 8] axis=0 mode=\"add\"", "scatter", E},
    {"direct", NULL, "scatter", "data=fp16[8, 8] indices=@int32[2] updates=fp16[2, 8] axis=0 mode=\"add\"", "scatter_direct", W},
    {"e5rt", NULL, "gather", "x=" S " indices=@int32[2] axis=1", "gather_known", W}, {"e5rt", NULL, "gather", "x=" S " indices=int32[2] axis=1", "gather", W},
    {"direct", "m3", "gather_along_axis", "x=fp16[8, 8] indices=@int32[2, 8] axis=0", "gather", W},
    {"e5rt", NULL, "make_list", "init_length=2 elem_shape={4} dtype=\"fp16\" dynamic_length=true", "lists", E},
    {"e5rt", NULL, "rnn", "x=fp16[4, 1, 8] initial_h=fp16[1, 8] weight_ih=@fp16[8, 8] weight_hh=@fp16[8, 8]", "recurrent", E},
    {"e5rt", NULL, "random_normal", "shape={4, 4} mean=@fp16 stddev=@fp16", "random", E},
    {"e5rt", NULL, "random_uniform", "shape={4, 4} low=@fp16 high=@fp16", "random_uniform", W},
    {"e5rt", NULL, "non_maximum_suppression", "boxes=fp16[1, 4, 8] scores=fp16[1, 2, 8] max_boxes=4 iou_threshold=.5 per_class_suppression=false", "non_maximum_suppression", W},
    {"e5rt", "m1", "crop_resize", "x=" S " boxes=@fp16[1, 4] target_height=4 target_width=4", "texture_m1", E},
    {"e5rt", "m2", "crop_resize", "x=" S " boxes=@fp16[1, 4] target_height=4 target_width=4", "crop_resize", W},
    {"e5rt", "m4", "resample", "x=" H " coordinates=fp16[1, 8, 64, 2] sampling_mode=\"bilinear\" padding_mode=\"constant\" padding_value=0 coordinates_mode=\"unnormalized\" align_corners=true", "resample", W},
    {"e5rt", "m1", "resize_bilinear", "x=" H " target_size_height=16 target_size_width=128", "resize_m1", W},
    {"e5rt", NULL, "resize_bilinear", "x=" H " target_size_height=16 target_size_width=128", "resize_m1", N},
    {"e5rt", "m1", "resize_nearest_neighbor", "x=" H " target_size_height=16 target_size_width=128", "nearest_m1", N},
    {"e5rt", "m1", "sin", "x=" S, "sin_cos_old", E}, {"e5rt", NULL, "cos", "x=" S, "sin_cos_old", W}, {"e5rt", "M3 Max", "cos", "x=" S, "sin_cos_old", NONE},
    {"e5rt", NULL, "identity", "x=" S, "identity", W},
    {"e5rt", NULL, "slice_update", "x=fp16[8, 8] update=fp16[2, 8] begin={0, 0} end={2, 8}", "slice_update", W},
    {"e5rt", "m2", "argsort", "x=fp16[8, 8] axis=1", "argsort", W}, {"e5rt", "m1", "argsort", "x=fp16[8, 8] axis=1", "argsort_m1", E},
    {"e5rt", NULL, "reduce_argmax", "x=fp16[8, 8] axis=1", "reduce_arg", W},
    {"e5rt", NULL, "reduce_argmin", "x=fp16[8, 2049] axis=1", "reduce_arg_axis", E}, {"e5rt", NULL, "reduce_argmin", "x=fp16[8, 2048] axis=1", "reduce_arg_axis", NONE},
    {"e5rt", "m1", "topk", "x=fp16[1, 64] k=5 axis=1", "topk_m1", W},
    {"e5rt", NULL, "topk", "x=fp16[1, 64] k=3 axis=1", "topk_3_4", E}, {"direct", NULL, "topk", "x=fp16[1, 64] k=4 axis=1", "topk_3_4", E},
    {"e5rt", NULL, "topk", "x=fp16[4, 64] k=5 axis=1", "topk_slow", N}, {"e5rt", NULL, "topk", "x=fp16[1, 64] k=5 axis=1", "topk_slow", NONE},
    {"e5rt", NULL, "layer_norm", "x=" S " axes={1}", "layer_norm", W},
    {"e5rt", NULL, "local_response_norm", "x=" S " size=3", "local_response_norm", W}, {"e5rt", NULL, "local_response_norm", "x=fp16[1, 8, 8, 8] size=3", "local_response_norm", NONE},
    /* the direct route: what fails, and what only some say fails */
    {"direct", NULL, "concat", "values=(" S ", " S ") axis=1 interleave=false", "concat_direct", W},
    {"direct", NULL, "conv", "x=" S " weight=@fp16[64, 64, 1, 1] bias=@fp16[64] pad_type=\"valid\"", "conv_bias", W},
    {"direct", NULL, "conv", "x=" S " weight=@fp16[64, 64, 1, 1] pad_type=\"valid\"", "", NONE},
    {"direct", NULL, "reduce_mean", "x=" S " axes={1} keep_dims=true", "reduce_mean_direct", W},
    {"direct", NULL, "reduce_sum", "x=" S " axes={1} keep_dims=true", "pow_reduce_sum_rsqrt", W},
    {"direct", NULL, "pow", "x=" S " y=" S, "pow_reduce_sum_rsqrt", W}, {"direct", NULL, "exp", "x=" S, "math_direct", W},
    {"direct", NULL, "sqrt", "x=" S, "sqrt_direct", R}, {"direct", NULL, "gelu", "x=" S, "gelu_direct", W},
    {"direct", NULL, "tile", "x=" S " reps={1, 2, 1, 1}", "tile_direct", W},
    {"direct", NULL, "softmax", "x=fp16[1, 8, 1, 96] axis=-1", "softmax_size", W}, {"direct", NULL, "softmax", "x=" S " axis=-1", "", NONE},
    {"direct", NULL, "slice_by_index", "x=" S " begin={0, 0, 0, 0} end={1, 32, 1, 64}", "slice_of_input", W},
    {"direct", NULL, "scaled_dot_product_attention", "query=fp16[1, 2, 64, 64] key=fp16[1, 2, 64, 64] value=fp16[1, 2, 64, 64]", "attention_mask_direct", NONE},
    {"direct", NULL, "scaled_dot_product_attention", "query=fp16[1, 2, 64, 64] key=fp16[1, 2, 64, 64] value=fp16[1, 2, 64, 64] attn_mask=@fp16[1, 1, 64, 64]", "attention_mask_direct", E},
    {"e5rt", NULL, "scaled_dot_product_attention", "query=fp16[1, 2, 64, 64] key=fp16[1, 2, 64, 64] value=fp16[1, 2, 64, 64] attn_mask=@fp16[1, 1, 64, 64]", "attention_mask_e5rt", W},
    {"e5rt", NULL, "scaled_dot_product_attention", "query=fp16[1, 2, 64, 64] key=fp16[1, 2, 64, 64] value=fp16[1, 2, 64, 64]", "attention_small", W},
    {"e5rt", NULL, "scaled_dot_product_attention", "query=fp16[1, 2, 512, 64] key=fp16[1, 2, 512, 64] value=fp16[1, 2, 512, 64]", "attention_long", W},
    {"direct", NULL, "transpose", "x=" S " perm={0, 1, 3, 2}", "transpose_order", R}, {"direct", NULL, "transpose", "x=" S " perm={0, 3, 2, 1}", "transpose_order", NONE},
    {"direct", "m1", "reshape", "x=" S " shape={1, 1, 64, 64}", "moves_m1", R},
    {"direct", "m1", "matmul", "x=fp16[1, 1, 64, 64] y=fp16[1, 1, 64, 64]", "matmul_old", R},
    {"direct", "m1", "matmul", "x=fp16[1, 1, 64, 48] y=fp16[1, 1, 48, 64]", "matmul_inner_m1", W},
    {"direct", NULL, "matmul", "x=fp16[1, 8, 64, 64] y=fp16[1, 1, 64, 64]", "matmul_broadcast", E},
    {"direct", "m3", "matmul", "x=fp16[1, 8, 64, 64] y=fp16[1, 8, 64, 64]", "matmul_broadcast", NONE},
    {"direct", NULL, "mul", "x=fp16[2, 64, 1, 64] y=" S, "mul_broadcast", W},
    {"direct", "m1", "cast", "x=" S " dtype=\"fp32\"", "cast_old", W}, {"direct", "m4", "cast", "x=" S " dtype=\"fp32\"", "", NONE},
    {"e5rt", NULL, "cast", "x=" S " dtype=\"fp32\"", "cast_e5rt", W}, {"e5rt", NULL, "cast", "x=uint8[1, 3, 32, 32] dtype=\"fp16\"", "", NONE},
    /* sizes */
    {"e5rt", NULL, "relu", "x=fp16[1, 1, 1, 1, 1, 64]", "rank", E}, {"e5rt", NULL, "relu", "x=fp16[1, 1, 1, 1, 64]", "rank", NONE},
    {"e5rt", NULL, "expand_dims", "x=fp16[1, 1, 1, 1, 64] axes={0}", "rank_moved", E}, {"e5rt", NULL, "expand_dims", "x=fp16[1, 1, 1, 64] axes={0}", "rank_moved", NONE},
    {"e5rt", NULL, "relu", "x=fp16[1, 0]", "empty_dim", E}, {"direct", NULL, "relu", "x=fp16[1, N, 1, 64]", "port_symbolic", E},
    {"e5rt", NULL, "non_zero", "x=fp16[8]", "unknown_size", E},
    {"direct", NULL, "relu", "x=fp16[1, 65537, 1, 64]", "dim_any", E}, {"e5rt", NULL, "relu", "x=fp16[1, 65536, 1, 64]", "dim_any", NONE},
    {"e5rt", "m1", "relu", "x=fp16[1, 1, 1, 16385]", "dim_spatial", E}, {"e5rt", "m4", "relu", "x=fp16[1, 1, 1, 16385]", "dim_spatial", NONE},
    {"e5rt", NULL, "relu", "x=fp16[1, 1, 1, 16385]", "dim_spatial", W}, {"direct", "m3", "relu", "x=fp16[1, 1, 1, 20000]", "dim_spatial_direct", W},
    {"direct", NULL, "relu", "x=fp16[1, 20000, 1, 32]", "dim_channel", W}, {"e5rt", NULL, "relu", "x=fp16[1, 20000, 1, 32]", "dim_channel", NONE},
    {"direct", NULL, "conv", "x=fp16[1, 32000, 1, 32] weight=@fp16[64, 32000, 1, 1]", "conv_channels", E},
    {"e5rt", "m1", "transpose", "x=fp16[1, 512, 128, 129] perm={0, 1, 3, 2}", "transpose_extent", E},
    {"e5rt", NULL, "conv", "x=fp16[1, 64, 64] weight=@fp16[64, 64, 3]", "conv_rank", E},
    {"direct", NULL, "conv", "x=fp16[1, 4, 8, 8, 8] weight=@fp16[4, 4, 3, 3, 3]", "conv_volume", E},
    {"e5rt", NULL, "conv_transpose", "x=fp16[1, 4, 8, 8, 8] weight=@fp16[4, 4, 3, 3, 3]", "conv_transpose_volume", E},
    {"e5rt", "m1", "conv", "x=" S " weight=@fp16[64, 64, 1, 14]", "conv_width", E}, {"e5rt", "m1", "conv", "x=" S " weight=@fp16[64, 64, 1, 13]", "conv_width", NONE},
    {"direct", "m5", "conv", "x=" S " weight=@fp16[64, 64, 1, 16]", "conv_width", E}, {"direct", "m5", "conv", "x=" S " weight=@fp16[64, 64, 1, 15]", "conv_width", NONE},
    {"e5rt", NULL, "conv", "x=" S " weight=@fp16[64, 64, 1, 17]", "conv_width", E}, {"e5rt", "m2", "conv", "x=" S " weight=@fp16[64, 64, 1, 14]", "conv_width_m2", W},
    {"e5rt", NULL, "conv", "x=fp16[1, 8, 64, 64] weight=@fp16[8, 8, 33, 1]", "conv_height", W},
    {"e5rt", NULL, "conv", "x=fp16[1, 3, 64, 64] weight=@fp16[8, 3, 16, 16] strides={16, 16}", "conv_strided_width", W},
    {"direct", NULL, "conv", "x=" S " weight=fp16[64, 64, 1, 1]", "conv_weight_direct", E},
    {"direct", NULL, "conv_transpose", "x=" S " weight=fp16[64, 64, 1, 1]", "conv_transpose_weight", E},
    {"e5rt", NULL, "conv_transpose", "x=fp16[2, 64, 1, 64] weight=fp16[64, 64, 1, 1]", "conv_transpose_weight_e5rt", E},
    {"e5rt", NULL, "conv", "x=fp16[2, 64, 1, 64] weight=fp16[64, 64, 1, 1]", "conv_weight_e5rt", E}, {"e5rt", NULL, "conv", "x=" S " weight=fp16[64, 64, 1, 1]", "conv_weight_e5rt", NONE},
    {"e5rt", NULL, "matmul", "x=fp16[1, 1, 1, 64, 64] y=fp16[1, 1, 1, 64, 64]", "matmul_rank", E},
    {"e5rt", NULL, "pad", "x=" S " pad={0, 0, 1, 1, 0, 0, 0, 0}", "pad_axis", E}, {"e5rt", "m1", "pad", "x=" S " pad={1, 1} mode=\"reflect\"", "pad_mode_m1", E},
    {"e5rt", "m2", "pad", "x=" S " pad={1, 1} mode=\"reflect\"", "", NONE},
    {"e5rt", NULL, "max_pool", "x=fp16[1, 8, 4, 4] kernel_sizes={2, 2} strides={2, 2} pad_type=\"custom\" pad={2, 2, 2, 2}", "pool_window", E},
    {"e5rt", NULL, "max_pool", "x=fp16[1, 8, 64, 64] kernel_sizes={33, 1} pad_type=\"valid\"", "pool_size", W},
    {"e5rt", NULL, "tile", "x=" S " reps={1, 5, 1, 1}", "tile_factor", E}, {"e5rt", NULL, "tile", "x=" S " reps={1, 6, 1, 1}", "tile_factor", NONE},
    {"e5rt", NULL, "space_to_depth", "x=fp16[1, 8, 10, 10] block_size=5", "block_factor", E}, {"e5rt", NULL, "space_to_depth", "x=fp16[1, 8, 8, 8] block_size=4", "block_factor", NONE},
    {"e5rt", "m1", "space_to_batch", "x=fp16[2048, 1, 2, 2] block_shape={2, 2} paddings=@int32[2, 2]", "block_batch", W},
    {"e5rt", NULL, "slice_by_index", "x=fp16[8] begin=int32[1] end=int32[1]", "slice_begin", E},
    {"e5rt", NULL, "einsum", "values=(fp16[2, 4, 4], fp16[4, 4, 4]) equation=\"chw,whr->chr\"", "einsum", N},
    {"e5rt", "m1", "range_1d", "start=fp16 end=@fp16 step=1", "range_1d", W}, {"e5rt", NULL, "linear", "x=fp16[1, 1, 1, 1, 64] weight=@fp16[64, 64]", "linear_rank", E},
    {"e5rt", "m1", "constexpr_affine_dequantize", "quantized_data=@int8[8, 8] zero_point=5 scale=@fp16 axis=0", "zero_point_m1", E},
    {"e5rt", "m1", "constexpr_affine_dequantize", "quantized_data=@int8[8, 8] zero_point=0 scale=@fp16 axis=0", "zero_point_m1", NONE},
    {"e5rt", "m1", "constexpr_affine_dequantize", "quantized_data=@int8[8, 8] zero_point=0 scale=@fp16 axis=0", "int8_folds", N},
    {"e5rt", NULL, "constexpr_cast", "source_val=@fp16[4] output_dtype=\"fp32\"", "constexpr_cast", R},
    {"e5rt", "m1", "mul", "x=fp16[1, 2048, 1, 8] y=@fp16[1, 2048, 1, 1]", "affine_const", W}, {"e5rt", "m4", "mul", "x=fp16[1, 2048, 1, 8] y=@fp16[1, 2048, 1, 1]", "affine_const", NONE},
    {"e5rt", "m5", "add", "x=fp16[1, 10240, 1, 8] y=@fp16[1, 10240, 1, 1]", "affine_const_long", W},
    {"e5rt", "m1", "constexpr_lut_to_dense", "indices=@uint2[8, 8] lut=@fp16[1, 1, 4, 1]", "palette_m1", E},
    {"e5rt", "m1", "constexpr_lut_to_dense", "indices=@uint4[8, 8] lut=@fp16[1, 1, 16, 1]", "palette_m1", NONE},
    {"e5rt", "m1", "constexpr_blockwise_shift_scale", "data=@int8[8, 8] scale=@fp16[8, 1]", "blockwise_folds", N},
    /* wrong results */
    {"direct", "m1", "slice_by_size", "x=" S " begin={0, 0, 0, 32} size={1, 64, 1, 32}", "width_slice", W},
    {"direct", "m4", "slice_by_size", "x=" S " begin={0, 0, 0, 32} size={1, 64, 1, 32}", "", NONE},
    {"direct", "m1", "slice_by_size", "x=" S " begin={0, 32, 0, 0} size={1, 32, 1, 64}", "", NONE},
    {"e5rt", "m1", "split", "x=" S " num_splits=2 axis=-1", "width_slice", W},
    {"e5rt", NULL, "rsqrt", "x=" S " epsilon=.00000001", "epsilon_zero", W}, {"e5rt", NULL, "log", "x=" S, "epsilon_zero", W},
    {"direct", NULL, "rsqrt", "x=" S " epsilon=.00001", "epsilon_small", N}, {"e5rt", NULL, "inverse", "x=" S " epsilon=.0001", "", NONE},
    {"e5rt", NULL, "matmul", "x=fp16[64, 64] y=fp16[64, 64]", "fp16_overflow", R}, {"e5rt", NULL, "round", "x=" S, "round_large", R},
    {"e5rt", NULL, "softplus", "x=" S, "softplus_large", R}, {"e5rt", NULL, "exp", "x=" S, "exp_large", R},
    {"e5rt", NULL, "reduce_sum", "x=" S " axes={1} keep_dims=true", "sum_exact", R},
    {"e5rt", "m5", "gather", "x=" S " indices=@int32[2] axis=1", "macos27_topk_gather", N}, {"e5rt", "m5", "reduce_argmax", "x=fp16[8, 8] axis=1", "macos27_argmax", N},
    /* dtypes and ports */
    {"direct", NULL, "add", "x=fp32[1, 64, 1, 64] y=fp32[1, 64, 1, 64]", "fp32_inside", E}, {"direct", NULL, "relu", "x=fp32[1, 64, 1, 64]", "port_fp32_slow", N},
    {"e5rt", NULL, "relu", "x=fp32[1, 64]", "port_fp32_e5rt", E}, {"e5rt", NULL, "relu", "x=fp32[1, 64]", "port_fp32_out_e5rt", E},
    {"direct", NULL, "add", "x=int32[4] y=int32[4]", "int_inside", W}, {"direct", NULL, "add", "x=int32[4] y=int32[4]", "port_dtype", E},
    {"e5rt", NULL, "less", "x=" S " y=" S, "port_dtype_out", E}, {"e5rt", NULL, "cast", "x=int8[1, 64] dtype=\"fp16\"", "port_small_integer", W},
    {"e5rt", NULL, "dequantize", "input=uint8[1, 64] scale=@fp16", "port_uint8", E}, {"direct", NULL, "cast", "x=uint8[1, 3, 32, 32] dtype=\"fp16\"", "port_uint8_direct", W},
    {"direct", NULL, "relu", "x=fp16[64, 64]", "port_rank", W}, {"direct", NULL, "relu", "x=fp16[64, 64]", "port_rank_out", W},
    {"direct", NULL, "relu", "x=fp16[1, 64, 1, 1]", "port_width", W}, {"direct", NULL, "relu", "x=fp16[1, 64, 1, 48]", "port_width_out", W},
    {"direct", NULL, "add", "x=" S " y=fp16[1, 64, 1, 1]", "inputs_unequal", W}, {"direct", NULL, "add", "x=" S " y=" S, "inputs_several", R},
    {"direct", NULL, "relu", "x=" S, "port_small", R}, {"direct", NULL, "relu", "x=" S, "elementwise_only", R},
    /* slow */
    {"e5rt", "m1", "relu", "x=fp16[1, 64, 128, 129]", "spills", N}, {"e5rt", "m5", "relu", "x=fp16[1, 64, 128, 129]", "spills", NONE},
    {"direct", NULL, "add", "x=fp16[1, 64, 256, 512] y=fp16[1, 64, 256, 512]", "working_set", N},
    {"direct", NULL, "conv", "x=" H " weight=@fp16[64, 64, 2, 2] strides={2, 2}", "conv_stride", N}, {"e5rt", NULL, "conv", "x=" H " weight=@fp16[64, 64, 2, 2] strides={2, 5}", "conv_stride_factor", N},
    {"e5rt", NULL, "conv", "x=" H " weight=@fp16[64, 4, 1, 1] groups=16", "conv_groups", N}, {"e5rt", NULL, "conv", "x=" H " weight=@fp16[64, 1, 1, 1] groups=64", "conv_groups", NONE},
    {"e5rt", NULL, "conv", "x=fp16[1, 512, 8, 64] weight=@fp16[512, 256, 3, 3] groups=2", "conv_group_size", N},
    /* sizes that 64 bits don't count are large, and no overflow */
    {"direct", NULL, "add", "x=fp32[1, 4611686018427387904] y=fp32[1, 4611686018427387904]", "working_set", N},
    {"direct", NULL, "add", "x=fp32[1, 4611686018427387904] y=fp32[1, 4611686018427387904]", "spills", N},
    {"e5rt", NULL, "conv", "x=fp16[1, 4611686018427387904, 1, 1] weight=fp16[2, 2305843009213693952, 1, 2] groups=2 pad_type=\"same\"", "conv_group_size", N},
    {"e5rt", NULL, "linear", "x=fp16[1, 4096] weight=@fp16[4096, 4096]", "weight_streamed", N}, {"e5rt", NULL, "linear", "x=fp16[1, 2048] weight=@fp16[2048, 2048]", "weight_not_resident", N},
    {"direct", NULL, "linear", "x=fp16[1, 64] weight=@fp16[64, 64]", "conv_is_faster", N}, {"direct", NULL, "linear", "x=fp16[1, 64] weight=@fp16[8192, 64]", "wide_result", N},
    {"e5rt", NULL, "relu", "x=fp16[1, 8192, 1, 1]", "last_axis_one", N},
};

/* Every result becomes an output. */
static void give_outputs(call *c) {
    mil_error err = {0};
    mil_operation op = mil_value_operation(c->program, c->out);
    for (size_t i = 0; i < mil_operation_n_outputs(c->program, op); i++) {
        char name[32];
        mil_value out = mil_operation_output(c->program, op, i);
        if (mil_type_kind_of(mil_value_type(c->program, out)) != MIL_TENSOR) continue;
        snprintf(name, sizeof name, "out%zu", i);
        CHECK_OK(mil_program_output(c->program, c->block, name, out, &out, &err), &err);
    }
}

static void one_operation(void) {
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char row[400];
        snprintf(row, sizeof row, "%s %s %s(%s): %s", calls[i].route, calls[i].chip ? calls[i].chip : "", calls[i].op, calls[i].args, calls[i].rule);
        test_row = row;
        call c;
        mil_error err = {0};
        if (CHECK_OK(call_make(&c, calls[i].op, MIL_IOS18, calls[i].args, &err), &err)) {
            give_outputs(&c);
            mil_check_options options = {.route = calls[i].route, .chip = calls[i].chip, .all = *calls[i].rule != 0};
            check_severity(c.program, &options, calls[i].rule, calls[i].severity);
        }
        mil_program_free(c.program);
    }
    test_row = "";
}

/* ---- patterns, ports and whole programs, as text ---- */

#define T(name) "tensor<fp16, [1, 64, 1, 64]> " name
#define INTS4(name, a, b, c, d) "tensor<int32, [4]> " name " = const()[name = string(\"" name "\"), val = tensor<int32, [4]>([" #a ", " #b ", " #c ", " #d "])];\n"
#define STRING(name, text) "string " name " = const()[name = string(\"" name "\"), val = string(\"" text "\")];\n"
#define BLOB(name, type, file) type " " name " = const()[name = string(\"" name "\"), val = " type "(BLOBFILE(path = string(\"@model_path/weights/" file "\"), offset = uint64(64)))];\n"
#define PAIR(name) "tensor<int32, [2]> " name " = const()[name = string(\"" name "\"), val = tensor<int32, [2]>([1, 1])];\n"
#define BOOL(name, is) "bool " name " = const()[name = string(\"" name "\"), val = bool(" is ")];\n"
#define ZERO4 "tensor<int32, [4]>([0, 0, 0, 0])"

static const struct {
    const char *route, *chip, *inputs, *body, *outputs, *rule;
    int severity;
} texts[] = {
    {"e5rt", NULL, T("x"), T("a = floor(x = x);\n") T("y = mul(x = a, y = fp16(0x1p+1));\n"), "y", "scalar_after_round", E},
    {"e5rt", NULL, T("x"), T("a = relu(x = x);\n") T("y = mul(x = a, y = fp16(0x1p+1));\n"), "y", "", NONE},
    {"e5rt", NULL, "tensor<fp16, [1, 64, 1, 65]> x", "tensor<fp16, [1, 64, 1, 65]> a = square(x = x);\ntensor<fp16, [1, 64, 1, 65]> y = sigmoid(x = a);\n", "y", "square_width", E},
    {"e5rt", NULL, T("x"), T("a = square(x = x);\n") T("y = sigmoid(x = a);\n"), "y", "", NONE},
    {"e5rt", NULL, T("x"), "tensor<fp16, [1, 1, 1, 64]> a = reduce_sum(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = x);\n"
     "tensor<fp16, [1, 1, 1, 64]> y = mul(x = a, y = fp16(0x0p+0));\n", "y", "zero_times_sum", E},
    {"direct", NULL, T("x"), T("a = square(x = x);\n") "tensor<fp16, [1, 1, 1, 64]> y = reduce_mean(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = a);\n", "y", "rms_norm_form", W},
    {"direct", NULL, T("x"), T("a = relu(x = x);\n") T("b = exp2(x = x);\n") T("y = tanh(x = a);\n"), "y", "dead_operation", W},
    {"direct", NULL, "tensor<fp16, [64, 64]> x", "tensor<fp16, [64, 64]> a = relu(x = x);\ntensor<fp16, [64, 64]> y = matmul(transpose_x = bool(false), transpose_y = bool(false), x = a, y = a);\n", "y", "operations_before_matmul", R},
    {"direct", NULL, T("x"), T("z = relu(x = x);\n") T("y = tanh(x = z);\n"), "z, y", "outputs_order", W},
    {"direct", NULL, T("x"), T("y = relu(x = x);\n") T("z = tanh(x = y);\n"), "y, z", "", NONE},
    {"direct", NULL, T("x"), T("y = relu(x = x);\n") "tensor<fp16, [1, 32, 1, 64]> z = slice_by_size(begin = " ZERO4 ", size = tensor<int32, [4]>([1, 32, 1, 64]), x = y);\n", "y, z", "outputs_unequal", W},
    {"direct", NULL, T("x"), T("y = relu(x = x);\n"), "y, x", "output_not_computed", E},
    {"e5rt", NULL, T("x"), "", "x", "function_empty", E},
    {"direct", "m2", T("x"),
     "tensor<fp16, [1, 64, 1, 32]> a = slice_by_size(begin = tensor<int32, [4]>([0, 0, 0, 8]), size = tensor<int32, [4]>([1, 64, 1, 32]), x = x);\n"
     "tensor<fp16, [1, 64, 1, 32]> b = slice_by_size(begin = tensor<int32, [4]>([0, 0, 0, 32]), size = tensor<int32, [4]>([1, 64, 1, 32]), x = x);\n"
     "tensor<fp16, [1, 128, 1, 32]> y = concat(axis = int32(1), interleave = bool(false), values = (a, b));\n", "y", "width_slices_joined", E},
    {"e5rt", NULL, "tensor<fp16, [1, 64]> x", BLOB("w", "tensor<fp16, [64, 64]>", "w.bin") "tensor<fp16, [1, 64]> a = matmul(transpose_x = bool(false), transpose_y = bool(false), x = x, y = w);\n"
     "tensor<fp16, [1, 64]> y = sigmoid_hard(alpha = fp16(0x1p-1), beta = fp16(0x1p-1), x = a);\n", "y", "macos27_hard_swish", N},
    {"direct", NULL, T("b") ", " T("a"), T("y = add(x = a, y = b);\n"), "y", "inputs_order", R},
    {"e5rt", NULL, T("x"), BLOB("d", "tensor<int8, [64, 64]>", "w.bin") BLOB("c", "tensor<fp16, [64, 1]>", "w.bin")
     "tensor<fp16, [64, 64]> w = constexpr_blockwise_shift_scale(data = d, scale = c);\n"
     "tensor<fp16, [1, 64, 1, 64]> y = linear(weight = w, x = x);\n", "y", "blockwise_weight", W},
    {"e5rt", NULL, "tensor<fp16, [1, 64, 8, 64]> x", BLOB("d", "tensor<int8, [64, 64, 1, 1]>", "w.bin") BLOB("c", "tensor<fp16, [64, 1, 1, 1]>", "w.bin")
     "tensor<fp16, [64, 64, 1, 1]> w = constexpr_blockwise_shift_scale(data = d, scale = c);\n" STRING("vp", "valid")
     "tensor<fp16, [1, 64, 4, 32]> y = conv(pad_type = vp, strides = tensor<int32, [2]>([2, 2]), weight = w, x = x);\n", "y", "compressed_conv", N},
    {"direct", NULL, T("x"), BLOB("w", "tensor<fp16, [64, 1, 1, 1200000]>", "w.bin") T("y = relu(x = x);\n"), "y", "weights_direct", W},
    {"e5rt", NULL, T("x"), BLOB("w", "tensor<fp16, [65536, 16384]>", "w.bin") T("y = relu(x = x);\n"), "y", "weights_e5rt", E},
    {"e5rt", NULL, T("x"), "tensor<fp16, [12, 64, 1, 64]> y = concat(axis = int32(0), interleave = bool(false), values = (x, x, x, x, x, x, x, x, x, x, x, x));\n", "y", "fan_in", N},
    {"direct", NULL, "state<tensor<fp16, [2]>> s", "tensor<fp16, [2]> y = read_state(input = s);\n", "y", "states_direct", E},
    {"direct", NULL, "state<tensor<fp16, [2]>> s", "tensor<fp16, [2]> y = read_state(input = s);\n", "y", "port_state", E},
    {"e5rt", NULL, "state<tensor<fp16, [2]>> s", "tensor<fp16, [2]> y = read_state(input = s);\n", "y", "states_e5rt", W},
    {"e5rt", NULL, T("x"), T("y = reshape_like(begins = (int32(0)), ends = (int32(4)), end_masks = (bool(false)), ref_tensors = (x), x = x);\n"), "y", "reshape_like", W},
};

static char *program_text(const char *inputs, const char *body, const char *outputs) {
    static char text[16384];
    snprintf(text, sizeof text, "program(1.3)\n{\nfunc main<ios18>(%s) {\n%s} -> (%s);\n}\n", inputs, body, outputs);
    return text;
}

static mil_program *parse(const char *text) {
    mil_error err = {0};
    mil_text_options options = {.model_path = ".", .weights_may_lack = true};
    mil_program *program = NULL;
    CHECK_OK(mil_text_parse(text, strlen(text), &options, &program, &err), &err);
    return program;
}

static void patterns(void) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        test_row = texts[i].body;
        mil_program *program = parse(program_text(texts[i].inputs, texts[i].body, texts[i].outputs));
        mil_check_options options = {.route = texts[i].route, .chip = texts[i].chip, .all = *texts[i].rule != 0};
        if (program) check_severity(program, &options, texts[i].rule, texts[i].severity);
        mil_program_free(program);
    }
    test_row = "";
}

/* Programs of which every source says that they run. */

static const struct {
    const char *name, *inputs, *body;
    int most; /* that may be found, for any chip */
} good[] = {
    {"add and relu", T("a") ", " T("b"), T("s = add(x = a, y = b);\n") T("y = relu(x = s);\n"), NONE},
    {"a 1x1 convolution between fp32 ports", "tensor<fp32, [1, 64, 1, 64]> x",
     STRING("half", "fp16") STRING("full", "fp32") STRING("vp", "valid") PAIR("one2") PAIR("dil2") INTS4("nopad", 0, 0, 0, 0)
     BLOB("w", "tensor<fp16, [128, 64, 1, 1]>", "w.bin") T("xh = cast(dtype = half, x = x);\n")
     "tensor<fp16, [1, 128, 1, 64]> yh = conv(dilations = dil2, groups = int32(1), pad = nopad, pad_type = vp, strides = one2, weight = w, x = xh);\n"
     "tensor<fp32, [1, 128, 1, 64]> y = cast(dtype = full, x = yh);\n", N},
    {"a product of two packed operands", "tensor<fp16, [1, 64, 1, 128]> x",
     INTS4("b0", 0, 0, 0, 0) INTS4("n0", 1, 64, 1, 32) INTS4("b1", 0, 0, 0, 32) INTS4("n1", 1, 64, 1, 96) INTS4("ra", 1, 1, 64, 32)
     INTS4("rw", 1, 1, 64, 96) INTS4("ro", 1, 96, 1, 32) INTS4("sw", 0, 1, 3, 2) BOOL("no", "false")
     "tensor<fp16, [1, 64, 1, 32]> act = slice_by_size(x = x, begin = b0, size = n0);\n"
     "tensor<fp16, [1, 64, 1, 96]> wts = slice_by_size(x = x, begin = b1, size = n1);\n"
     "tensor<fp16, [1, 1, 64, 32]> am = reshape(shape = ra, x = act);\ntensor<fp16, [1, 1, 32, 64]> at = transpose(perm = sw, x = am);\n"
     "tensor<fp16, [1, 1, 64, 96]> wm = reshape(shape = rw, x = wts);\n"
     "tensor<fp16, [1, 1, 32, 96]> p = matmul(transpose_x = no, transpose_y = no, x = at, y = wm);\n"
     "tensor<fp16, [1, 1, 96, 32]> pt = transpose(perm = sw, x = p);\ntensor<fp16, [1, 96, 1, 32]> y = reshape(shape = ro, x = pt);\n", N},
    {"a causal attention head", "tensor<fp16, [1, 192, 1, 64]> x",
     INTS4("bq", 0, 0, 0, 0) INTS4("bk", 0, 64, 0, 0) INTS4("bv", 0, 128, 0, 0) INTS4("nn", 1, 64, 1, 64) INTS4("hs", 1, 1, 64, 64)
     INTS4("sw", 0, 1, 3, 2) BOOL("no", "false") BOOL("yes", "true") BLOB("mask", "tensor<fp16, [1, 1, 64, 64]>", "mask.bin")
     T("q0 = slice_by_size(x = x, begin = bq, size = nn);\n") T("k0 = slice_by_size(x = x, begin = bk, size = nn);\n")
     T("v0 = slice_by_size(x = x, begin = bv, size = nn);\n") "tensor<fp16, [1, 1, 64, 64]> q1 = reshape(shape = hs, x = q0);\n"
     "tensor<fp16, [1, 1, 64, 64]> k1 = reshape(shape = hs, x = k0);\ntensor<fp16, [1, 1, 64, 64]> v1 = reshape(shape = hs, x = v0);\n"
     "tensor<fp16, [1, 1, 64, 64]> qt = transpose(perm = sw, x = q1);\n"
     "tensor<fp16, [1, 1, 64, 64]> s0 = matmul(transpose_x = no, transpose_y = no, x = qt, y = k1);\n"
     "tensor<fp16, [1, 1, 64, 64]> s1 = mul(x = s0, y = fp16(0x1p-3));\ntensor<fp16, [1, 1, 64, 64]> s2 = add(x = s1, y = mask);\n"
     "tensor<fp16, [1, 1, 64, 64]> p = softmax(axis = int32(-1), x = s2);\n"
     "tensor<fp16, [1, 1, 64, 64]> o = matmul(transpose_x = no, transpose_y = yes, x = v1, y = p);\n"
     T("y = reshape(shape = nn, x = o);\n"), NONE},
};

static void programs_that_ran(void) {
    static const char *const chips[] = {NULL, "m3", "m4", "m5"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t k = 0; k < sizeof chips / sizeof *chips; k++) {
            test_row = good[i].name;
            mil_program *program = parse(program_text(good[i].inputs, good[i].body, "y"));
            mil_check_options options = {.chip = chips[k]};
            mil_report *report = NULL;
            mil_error err = {0};
            if (program && CHECK_OK(mil_program_check(program, &options, &report, &err), &err)) {
                if (!CHECK(worst(report, "") <= good[i].most)) show(report);
                CHECK_EQ(mil_report_n(report, MIL_WARNING) + mil_report_n(report, MIL_ERROR), 0);
            }
            mil_report_free(report);
            mil_program_free(program);
        }
    test_row = "";
}

static void several_functions(void) {
    mil_program *program = parse("program(1.3)\n{\nfunc first<ios18>(" T("x") ") {\n" T("y = relu(x = x);\n") "} -> (y);\n"
                                 "func other<ios18>(" T("x") ") {\n" T("y = acos(x = x);\n") "} -> (y);\n}\n");
    if (!program) return;
    check_severity(program, &(mil_check_options){.all = true}, "functions_several", W);
    check_severity(program, &(mil_check_options){.all = true}, "function_name", R);
    check_severity(program, NULL, "no_lowering", E);
    check_severity(program, &(mil_check_options){.entry = "first"}, "", NONE);
    mil_program_free(program);
}

/* What takes nested blocks, and strings. */
static void control_and_labels(void) {
    mil_program *program = NULL;
    mil_error err = {0};
    mil_block f, blocks[2];
    mil_value x, pred, y, outs[2];
    size_t n;
    mil_tensor *labels = NULL;
    CHECK_OK(mil_program_new(MIL_IOS18, &program, &err), &err);
    CHECK_OK(mil_program_function(program, "main", &f, &err), &err);
    CHECK_OK(mil_program_input(program, f, "x", MIL_FP32, 1, (mil_dim[]){2}, false, &x, &err), &err);
    CHECK_OK(mil_program_input(program, f, "p", MIL_BOOL, 0, NULL, false, &pred, &err), &err);
    for (int i = 0; i < 2; i++) {
        mil_arg arg = {.name = "x", .kind = MIL_ARG_VALUE, .value = x};
        CHECK_OK(mil_program_block(program, f, &blocks[i], &err), &err);
        CHECK_OK(mil_program_add(program, blocks[i], mil_op_find(i ? "exp2" : "acos"), &arg, 1, NULL, (mil_where){0}, &y, 1, &n, &err), &err);
        CHECK_OK(mil_program_block_output(program, blocks[i], y, &err), &err);
    }
    mil_arg arg = {.name = "pred", .kind = MIL_ARG_VALUE, .value = pred};
    CHECK_OK(mil_program_add_nested(program, f, mil_op_find("cond"), &arg, 1, blocks, 2, NULL, (mil_where){0}, &y, 1, &n, &err), &err);
    CHECK_OK(mil_tensor_strings(1, 2, (const char *const[]){"a", "b"}, (size_t[]){1, 1}, &labels, &err), &err);
    mil_arg args[] = {{.name = "probabilities", .kind = MIL_ARG_VALUE, .value = y}, {.name = "classes", .kind = MIL_ARG_TENSOR, .tensor = labels}};
    CHECK_OK(mil_program_add(program, f, mil_op_find("classify"), args, 2, NULL, (mil_where){0}, outs, 2, &n, &err), &err);
    mil_tensor_free(labels);
    check_severity(program, NULL, "control_flow", E);
    check_severity(program, NULL, "classify", E);
    check_severity(program, NULL, "no_lowering", E); /* inside */
    mil_program_free(program);
}

/* ---- the report ---- */

static void options_and_fields(void) {
    static const struct {
        mil_check_options options;
        mil_status status;
        const char *message;
    } rows[] = {
        {{.engine = "cpu"}, MIL_ENAME, "rules for ane only"}, {{.route = "x"}, MIL_ENAME, "no route \"x\""},
        {{.chip = "x1"}, MIL_EVALUE, "chip is m1"}, {{.chip = "m1x"}, MIL_EVALUE, "chip is m1"}, {{.system = "y"}, MIL_EVALUE, "version of macOS"},
        {{.entry = "g"}, MIL_ENAME, "no function \"g\""}, {{.chip = "Apple M4 Max", .system = "26.5", .engine = "ane"}, MIL_OK, NULL},
        {{.chip = "m9", .system = "27", .entry = "main"}, MIL_OK, NULL},
    };
    call c;
    mil_error err = {0};
    CHECK_OK(call_make(&c, "conv", MIL_IOS18, "x=" S " weight=@fp16[64, 64, 1, 17] bias=@fp16[64]", &err), &err);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_report *report = NULL;
        CHECK_STATUS(mil_program_check(c.program, &rows[i].options, &report, &err), rows[i].status, &err);
        if (rows[i].message) CHECK_HAS(err.message, rows[i].message);
        CHECK_EQ(report != NULL, rows[i].status == MIL_OK);
        mil_report_free(report);
    }
    mil_report *report = NULL;
    CHECK_OK(mil_program_check(c.program, &(mil_check_options){.strict = true}, &report, &err), &err);
    CHECK_EQ(mil_report_n(report, MIL_WARNING), 0);
    for (size_t i = 0; i < mil_report_count(report); i++) {
        const mil_finding *f = mil_report_at(report, i);
        if (strcmp(f->rule, "conv_width") != 0) continue;
        CHECK_EQ(f->message, "conv: the kernel is too wide: weight fp16[64, 64, 1, 17]");
        CHECK_EQ(f->op, "conv");
        CHECK_EQ(f->function, "main");
        CHECK(f->advice && f->source && f->fails && f->operation);
    }
    CHECK(mil_report_at(report, mil_report_count(report)) == NULL);
    mil_report_free(report);
    mil_program_free(c.program);
}

/* The question that lowering and fallback ask: errors alone refuse; doubts too, where it is strict. */
static void takes(void) {
    static const struct {
        const char *chip;
        bool strict;
        const char *op, *args;
        bool wanted;
    } rows[] = {
        {NULL, false, "relu", "x=" S, true}, {NULL, false, "acos", "x=" S, false}, {"m1", false, "sin", "x=" S, false}, {"m3", false, "sin", "x=" S, true},
        {"m1", true, "tile", "x=" S " reps={1, 2, 1, 1}", false}, {"m1", false, "tile", "x=" S " reps={1, 2, 1, 1}", true},
        {"m1", false, "conv", "x=" S " weight=@fp16[64, 64, 1, 14]", false}, {"m4", false, "conv", "x=" S " weight=@fp16[64, 64, 1, 14]", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        call c;
        mil_error err = {0};
        mil__check_target target;
        test_row = rows[i].args;
        CHECK_OK(mil__check_target_of(&(mil_check_options){.chip = rows[i].chip, .strict = rows[i].strict}, &target, &err), &err);
        CHECK_OK(call_make(&c, rows[i].op, MIL_IOS18, rows[i].args, &err), &err);
        bool is_taken = mil__check_takes(c.program, mil_value_operation(c.program, c.out), &target, &err);
        CHECK_EQ(is_taken, rows[i].wanted);
        if (!is_taken) {
            CHECK_EQ(err.code, MIL_EUNSUPPORTED);
            CHECK_EQ((const char *)err.op, rows[i].op);
            CHECK_HAS(err.message, rows[i].op);
        }
        mil_program_free(c.program);
    }
    test_row = "";
}

static mil_status check_once(void *ctx, mil_error *err) {
    mil_report *report = NULL;
    mil_status status = mil_program_check(ctx, &(mil_check_options){.all = true}, &report, err);
    mil_report_free(report);
    return status;
}

static void memory_runs_out(void) {
    call c;
    mil_error err = {0};
    mil_set_allocator(test_realloc, NULL);
    CHECK_OK(call_make(&c, "conv", MIL_IOS18, "x=fp32[1, 64, 64] weight=@fp32[64, 64, 17] bias=@fp32[64]", &err), &err);
    CHECK(test_each_allocation(check_once, c.program) >= 2);
    mil_program_free(c.program);
    mil_set_allocator(NULL, NULL);
}

static double seconds_of(int n) {
    mil_program *program = NULL;
    mil_block f;
    mil_value x;
    mil_error err = {0};
    mil_program_new(MIL_IOS18, &program, &err);
    mil_program_function(program, "main", &f, &err);
    CHECK_OK(mil_program_input(program, f, "x", MIL_FP16, 4, (mil_dim[]){1, 8, 1, 32}, false, &x, &err), &err);
    for (int i = 0; i < n; i++) {
        mil_arg arg = {.name = "x", .kind = MIL_ARG_VALUE, .value = x};
        size_t n_outs;
        if (!CHECK_OK(mil_program_add(program, f, mil_op_find("exp"), &arg, 1, NULL, (mil_where){"a.lua", i}, &x, 1, &n_outs, &err), &err)) break;
    }
    clock_t begin = clock();
    mil_report *report = NULL;
    CHECK_OK(mil_program_check(program, NULL, &report, &err), &err);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    CHECK(mil_report_count(report) >= (size_t)n);
    mil_report_free(report);
    mil_program_free(program);
    return seconds;
}

static void takes_time_by_size(void) {
    double small = seconds_of(10000), large = seconds_of(100000);
    CHECK(large < 30 * small + 0.1);
}

/* ---- the rows ---- */

static void rows_are_whole(void) {
    mil_rule rule;
    for (size_t i = 0; mil_rule_at("ane", i, &rule); i++) {
        test_row = rule.id;
        CHECK(rule.message && rule.source && rule.place && rule.routes);
        CHECK(rule.severity < MIL_WARNING || rule.fails);
        CHECK(rule.severity != MIL_ERROR || !rule.runs);
        CHECK(rule.severity < MIL_WARNING || rule.advice);
        CHECK(rule.severity < MIL_WARNING || rule.is_lowered || rule.kept);
        char ops[2048];
        snprintf(ops, sizeof ops, "%s", rule.ops ? rule.ops : "");
        for (char *name = strtok(ops, " "); name; name = strtok(NULL, " ")) CHECK(mil_op_find(name) != NULL);
    }
    test_row = "";
    CHECK(!mil_rule_at("cpu", 0, &rule));
    CHECK(mil_op_ran(mil_op_find("conv"), "ane", "e5rt") && !mil_op_ran(mil_op_find("acos"), "ane", "direct"));
}

/* An op that no row names, and that nobody has seen run, would pass unseen. */
static void ops_are_known(void) {
    for (size_t i = 0; i < mil_op_count(); i++) {
        const mil_op *op = mil_op_at(i);
        bool known = mil_op_ran(op, "ane", "direct") || mil_op_ran(op, "ane", "e5rt") || strcmp(mil_op_name(op), "const") == 0;
        mil_rule rule;
        for (size_t k = 0; mil_rule_at("ane", k, &rule) && !known; k++) {
            char ops[2048];
            snprintf(ops, sizeof ops, "%s", rule.ops ? rule.ops : "");
            for (char *name = strtok(ops, " "); name; name = strtok(NULL, " ")) known |= strcmp(name, mil_op_name(op)) == 0;
        }
        test_row = mil_op_name(op);
        CHECK(known);
    }
    test_row = "";
}

static void rules_are_reached(void) {
    mil_rule rule;
    for (size_t i = 0; mil_rule_at("ane", i, &rule); i++) {
        test_row = rule.id;
        CHECK(reached[i]);
    }
    test_row = "";
}

TEST_MAIN(CASE(one_operation), CASE(patterns), CASE(programs_that_ran), CASE(several_functions), CASE(control_and_labels), CASE(options_and_fields), CASE(takes), CASE(memory_runs_out),
          CASE(takes_time_by_size), CASE(rows_are_whole), CASE(ops_are_known), CASE(rules_are_reached))
