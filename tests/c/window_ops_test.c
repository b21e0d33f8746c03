/* SPDX-License-Identifier: MIT */
/* Convolution and pooling: what they say when they refuse, types over symbols, sizes that would overflow, strided operands,
 * windows that lie in padding alone, memory running out. Values and padding are proved by tests/vectors. */
#include <math.h>

#include "call.h"

static const call_row refusals[] = {
    {"conv", 15, "x=fp16[1, 4, 1, 8] weight=@fp16[8, 3, 1, 1]",
     "conv: weight fp16[8, 3, 1, 1] takes 3 input channels (groups = 1), but x fp16[1, 4, 1, 8] has 4"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 1] groups=3",
     "conv: x fp16[1, 4, 8] has 4 channels, which groups = 3 does not divide"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[5, 2, 1] groups=2",
     "conv: weight fp16[5, 2, 1] gives 5 channels, which groups = 2 does not divide"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[5, 4, 1] groups=0", "conv: groups takes 1 or above, but is 0"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 1, 1]",
     "conv: weight fp16[8, 4, 1, 1] must have the rank of x fp16[1, 4, 8]"},
    {"conv", 15, "x=fp16[4, 8] weight=@fp16[8, 4]",
     "conv: x takes [n, channels] and 1 to 3 spatial axes, but got x fp16[4, 8]"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 0]",
     "conv: weight fp16[8, 4, 0] takes spatial extents of 1 to 2147483647"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] bias=@fp16[4]",
     "conv: bias fp16[4] must be [8], a value for each channel of the result"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] bias=fp16[8]",
     "conv: bias must be const, but in1 fp16[8] is known only at run time"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] strides={1, 1}",
     "conv: strides has 2 values, but x fp16[1, 4, 8] has 1 spatial axis, which takes 1"},
    {"conv", 15, "x=fp16[1, 4, 8, 8] weight=@fp16[8, 4, 3, 3] pad_type=\"custom\" pad={1}",
     "conv: pad has 1 value, but x fp16[1, 4, 8, 8] has 2 spatial axes, which take 4"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] strides={0}",
     "conv: strides takes values of 1 and above, but one is 0"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] pad_type=\"custom\" pad={1, -1}",
     "conv: pad takes values of 0 and above, but one is -1"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] pad_type=\"VALID\"",
     "conv: pad_type \"VALID\" is none of valid|same|custom|same_lower"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] pad_type=\"same_lower\"",
     "conv: pad_type \"same_lower\" exists from opset ios16 on; this function is ios15"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=fp16[8, 4, 3] dilations={2}",
     "conv: dilations above 1 take a const weight, but weight fp16[8, 4, 3] is known only at run time"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] dilations={5} pad_type=\"custom\" pad={1, 1}",
     "conv: a window reaches over 11 elements along axis 2, but x fp16[1, 4, 8] has 10 there, with padding"},
    {"conv_transpose", 15, "x=fp16[1, 4, 8] weight=@fp16[3, 4, 3]",
     "conv_transpose: weight fp16[3, 4, 3] takes 3 input channels, but x fp16[1, 4, 8] has 4"},
    {"conv_transpose", 15, "x=fp16[1, 4, 8] weight=@fp16[4, 4, 3] groups=3",
     "conv_transpose: weight fp16[4, 4, 3] takes 4 input channels, which groups = 3 does not divide"},
    {"conv_transpose", 15, "x=fp16[1, 4, 8] weight=fp16[4, 4, 3]",
     "conv_transpose: weight must be const, but in1 fp16[4, 4, 3] is known only at run time"},
    {"conv_transpose", 18, "x=fp16[1, 4, 8] weight=@fp16[4, 4, 3] pad_type=\"same_lower\"",
     "conv_transpose: pad_type \"same_lower\" is none of valid|same|custom"},
    {"conv_transpose", 15, "x=fp16[1, 4, 2] weight=@fp16[4, 3, 2] pad_type=\"custom\" pad={2, 2}",
     "conv_transpose: pad leaves nothing of the result along axis 2: -1 elements"},
    {"conv_transpose", 15, "x=fp16[1, 4, 8] weight=@fp16[4, 3, 3] output_shape={1, 4, 16}",
     "conv_transpose: output_shape [1, 4, 16] must have [1, 3] in front, and no negative extent"},
    {"conv_transpose", 15, "x=fp16[1, 4, 8] weight=@fp16[4, 3, 3] output_shape={1, 3}",
     "conv_transpose: output_shape has 2 values, but the result of x fp16[1, 4, 8] has rank 3"},
    {"max_pool", 15, "x=fp16[1, 2, 6] kernel_sizes={2}", "max_pool: pad_type is missing"},
    {"max_pool", 15, "x=fp16[1, 2, 6] kernel_sizes={2} pad_type=\"full\"",
     "max_pool: pad_type \"full\" is none of valid|same|custom|same_lower"},
    {"max_pool", 15, "x=fp16[1, 2, 6] kernel_sizes={0} pad_type=\"valid\"",
     "max_pool: kernel_sizes takes values of 1 and above, but one is 0"},
    {"max_pool", 15, "x=fp16[1, 2, 6, 6] kernel_sizes={2} pad_type=\"valid\"",
     "max_pool: kernel_sizes has 1 value, but x fp16[1, 2, 6, 6] has 2 spatial axes, which take 2"},
    {"max_pool", 15, "x=fp16[1, 2, 6] kernel_sizes={2} pad_type=\"same\" ceil_mode=true",
     "max_pool: ceil_mode does not go with pad_type \"same\""},
    {"max_pool", 15, "x=fp16[1, 2, 6] kernel_sizes={2} pad_type=\"custom\" pad={1, 0} ceil_mode=true",
     "max_pool: ceil_mode takes the same pad before and after, but along axis 2 it is 1 and 0"},
    {"avg_pool", 15, "x=fp16[1, 2, 6, 6, 6] kernel_sizes={2, 2, 2} pad_type=\"valid\" ceil_mode=true",
     "avg_pool: ceil_mode takes 1 or 2 spatial axes, but x fp16[1, 2, 6, 6, 6] has 3"},
    {"l2_pool", 15, "x=fp16[1, 2, 6, 6, 6] kernel_sizes={2, 2, 2} pad_type=\"valid\"",
     "l2_pool: x takes [n, channels] and 1 to 2 spatial axes, but got x fp16[1, 2, 6, 6, 6]"},
    {"max_pool", 15, "x=fp32[1, 1, 1, 1, 1] kernel_sizes={1073741824, 1073741824, 2} strides={2147483647, 2147483647, 2147483647} "
     "pad_type=\"custom\" pad={1073741824, 1073741824, 1073741824, 1073741824, 2, 2}",
     "max_pool: kernel_sizes make a window of more than 16777216 elements"},
    /* sizes beyond int64 */
    {"conv", 15, "x=fp16[0, 1, 9223372036854775807] weight=@fp16[1, 1, 1] pad_type=\"custom\" pad={1, 0}",
     "conv: the result's size overflows"},
    {"conv_transpose", 15, "x=fp16[0, 1, 9223372036854775807] weight=@fp16[1, 1, 1] strides={2}",
     "conv_transpose: the result's size overflows"},
    {"conv_transpose", 15, "x=fp16[0, 1, 1] weight=@fp16[1, 0, 9223372036854775807] dilations={2}",
     "conv_transpose: weight fp16[1, 0, 9223372036854775807] takes spatial extents of 1 to 2147483647"},
};

static void refuse(void) { check_calls(refusals, sizeof refusals / sizeof *refusals); }

static const call_row types[] = {
    {"conv", 15, "x=fp16[N, 4, H, W] weight=@fp16[8, 4, 3, 3]", "fp16[N, 8, H - 2, W - 2]"},
    {"conv", 15, "x=fp16[N, C, H] weight=@fp16[8, 4, 3] pad_type=\"same\" strides={2}", "fp16[N, 8, floor((H + 1)/2)]"},
    {"conv", 16, "x=fp16[1, 4, H] weight=@fp16[8, 4, 3] pad_type=\"custom\" pad={1, 1}", "fp16[1, 8, H]"},
    {"conv", 17, "x=fp16[1, 4, 8] weight=fp32[8, 4, 3] bias=fp32[8]", "fp16[1, 8, 6]"},
    {"conv", 15, "x=fp16[0, 4, 8] weight=@fp16[8, 4, 3]", "fp16[0, 8, 6]"},
    {"conv", 15, "x=fp16[1, 4, 8] weight=@fp16[8, 4, 3] pad={1}", "fp16[1, 8, 6]"}, /* pad is custom's */
    {"conv_transpose", 15, "x=fp16[N, 4, H] weight=@fp16[4, 2, 3] strides={2} groups=2", "fp16[N, 4, 2*H + 1]"},
    {"conv_transpose", 15, "x=fp16[N, 4, H] weight=@fp16[4, 2, 3] strides={2} pad_type=\"same\"", "fp16[N, 2, 2*H]"},
    {"conv_transpose", 15, "x=fp16[1, 4, 8] weight=@fp16[4, 2, 3] strides={2} output_shape={1, 2, 16}",
     "fp16[1, 2, 16]"},
    {"max_pool", 15, "x=fp16[N, 2, H] kernel_sizes={3} strides={2} pad_type=\"VALID\"",
     "fp16[N, 2, floor((H + 1)/2) - 1]"},
    {"max_pool", 15, "x=fp16[N, 2, H] kernel_sizes={3} strides={2} pad_type=\"valid\" ceil_mode=true",
     "fp16[N, 2, floor(H/2)]"},
    {"max_pool", 15, "x=fp16[1, 2, 5] kernel_sizes={3} strides={3} pad_type=\"custom\" pad={1, 1} ceil_mode=true",
     "fp16[1, 2, 2]"},
};

static void infer(void) { check_calls(types, sizeof types / sizeof *types); }

/* ---- values ---- */

/* x[0][0][i][j] = 10 i + j, 2 by 3, a view whose strides no op may take for granted. */
static mil_tensor *transposed(void) {
    mil_tensor *memory = NULL, *view = NULL;
    CHECK_OK(mil_tensor_new(MIL_FP32, 4, (int64_t[]){1, 1, 3, 2}, &memory, NULL), NULL);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t j = 0; j < 3; j++) mil_tensor_set(memory, (int64_t[]){0, 0, j, i}, (double)(10 * i + j), NULL);
    CHECK_OK(mil_tensor_transpose(memory, (int[]){0, 1, 3, 2}, &view, NULL), NULL);
    mil_tensor_free(memory);
    return view;
}

static const struct value_row {
    const char *op, *args;   /* args: besides x */
    double wanted[6];
    int64_t n;
} value_rows[] = {
    {"max_pool", "kernel_sizes={1, 2} pad_type=\"valid\"", {1, 2, 11, 12}, 4},
    {"avg_pool", "kernel_sizes={2, 1} pad_type=\"valid\"", {5, 6, 7}, 3},
    {"l2_pool", "kernel_sizes={1, 1} pad_type=\"valid\"", {0, 1, 2, 10, 11, 12}, 6},
    /* one window has padding alone */
    {"max_pool", "kernel_sizes={2, 1} strides={2, 3} pad_type=\"custom\" pad={2, 0, 0, 0}", {-INFINITY, 10}, 2},
    {"avg_pool", "kernel_sizes={2, 1} strides={2, 3} pad_type=\"custom\" pad={2, 0, 0, 0}", {0, 5}, 2},
    {"avg_pool",
     "kernel_sizes={2, 1} strides={2, 3} pad_type=\"custom\" pad={2, 0, 0, 0} exclude_padding_from_average=true", {0, 5}, 2},
    /* the last window hangs over the end, and still has the whole kernel's weight */
    {"avg_pool", "kernel_sizes={1, 2} strides={1, 2} pad_type=\"valid\" ceil_mode=true", {.5, 1, 10.5, 6}, 4},
    {"avg_pool", "kernel_sizes={1, 2} strides={1, 2} pad_type=\"valid\" ceil_mode=true exclude_padding_from_average=true",
     {.5, 2, 10.5, 12}, 4},
};

static void check_row(const struct value_row *row) {
    call c;
    mil_error err = {0};
    mil_value out = 0;
    size_t n_outs;
    mil_tensor *x = transposed();
    test_row = row->args;
    CHECK_OK(call_make(&c, "relu", MIL_IOS18, "x=fp32[1]", &err), &err);
    mil_program *program = c.program;
    mil_block block = c.block;
    c = (call){.program = program, .block = block, .at = row->args};
    for (call_space(&c); *c.at; call_space(&c)) CHECK_OK(call_arg(&c, &c.args[c.n_args++], &err), &err);
    c.args[c.n_args++] = (mil_arg){.name = "x", .kind = MIL_ARG_TENSOR, .tensor = x};
    CHECK_OK(mil_program_add(program, block, mil_op_find(row->op), c.args, c.n_args, NULL, (mil_where){0}, &out, 1, &n_outs,
                             &err), &err);
    const mil_tensor *data = mil_value_data(program, out);
    if (CHECK(data != NULL)) {
        CHECK_EQ(mil_tensor_numel(data), row->n);
        const float *got = mil_tensor_data((mil_tensor *)data);
        for (int64_t i = 0; i < row->n; i++) CHECK_EQ((double)got[i], row->wanted[i]);
    }
    mil_program_free(program);
    mil_tensor_free(x);
    test_row = "";
}

static void values(void) {
    for (size_t i = 0; i < sizeof value_rows / sizeof *value_rows; i++) check_row(&value_rows[i]);
}

/* ---- memory running out ---- */

static void no_memory(void) {
    static call_row rows[] = {
        {"conv", 18, "x=@fp16[1, 2, 5] weight=@fp16[3, 2, 3] bias=@fp16[3]", NULL},
        {"conv", 18, "x=fp16[N, 2, H, W] weight=@fp16[3, 2, 3, 3] pad_type=\"same\" strides={2, 2}", NULL},
        {"conv_transpose", 18, "x=@fp16[1, 2, 5] weight=@fp16[2, 3, 3] bias=@fp16[3] strides={2}", NULL},
        {"conv_transpose", 18, "x=fp16[1, 2, H] weight=@fp16[2, 3, 3] strides={2}", NULL},
        {"avg_pool", 18, "x=@fp16[1, 2, 5] kernel_sizes={2} pad_type=\"same\"", NULL},
        {"max_pool", 18, "x=fp16[1, 2, H] kernel_sizes={2} pad_type=\"custom\" pad={1, 1} strides={2} ceil_mode=true", NULL},
    };
    check_no_memory(rows, sizeof rows / sizeof *rows);
}

TEST_MAIN(CASE(refuse), CASE(infer), CASE(values), CASE(no_memory))
