/* SPDX-License-Identifier: MIT */
/* The ops that compute (elementwise, activations, reductions, products, normalizations, attention): what they say when they
 * refuse, types that the vectors leave out, values known up to symbols, strided operands, memory running out. Their values
 * are proved by tests/vectors. */
#include "call.h"

static const call_row refusals[] = {
    {"relu", 15, "x=int32[2]", "relu: x takes fp16 or fp32 (ios15), but was given int32[2]"},
    {"add", 15, "x=fp16[2] y=fp32[2]", "add: x fp16[2] and y fp32[2] must have one dtype"},
    {"add", 15, "x=fp16[2, 3] y=fp16[2]", "add: x fp16[2, 3] and y fp16[2] do not broadcast"},
    {"cast", 15, "x=fp16[2] dtype=\"int8\"", "cast: dtype \"int8\" is none of fp16|fp32|int32|bool"},
    {"clip", 17, "x=fp16[2] alpha=2 beta=1", "clip: alpha = 2 must be below beta = 1 (ios17)"},
    {"clip", 16, "x=fp16[2] alpha=2 beta=1", "fp16[2]"},
    {"leaky_relu", 15, "x=fp16[2] alpha=@fp16[3]", "leaky_relu: alpha fp16[3] takes a scalar"},
    {"leaky_relu", 15, "x=fp16[2] alpha=fp16", "leaky_relu: alpha must be const, but in1 fp16 is known only at run time"},
    {"gelu", 15, "x=fp16[2] mode=\"exact\"",
     "gelu: mode \"exact\" is none of EXACT|TANH_APPROXIMATION|SIGMOID_APPROXIMATION"},
    {"softmax", 15, "x=fp16[2, 3] axis=2", "softmax: axis = 2 is out of range for rank 2 (-2 to 1)"},
    {"prelu", 15, "x=fp16[2, 3] alpha=@fp16[3]", "prelu: x takes rank 3 to 5, but x fp16[2, 3] has rank 2"},
    {"prelu", 15, "x=fp16[2, 3, 4] alpha=@fp16[4]",
     "prelu: alpha fp16[4] takes a vector with a value for each channel, but x fp16[2, 3, 4] has 3 of them"},
    {"prelu", 15, "x=fp16[2, 2, 4] alpha={0, 1}",
     "prelu: x fp16[2, 2, 4] takes one alpha for all channels (only rank 4 one for each), but alpha[0] = 0 and alpha[1] = 1"},
    {"softplus_parametric", 15, "x=fp16[2, C, 4] alpha=@fp16[3] beta=@fp16[3]",
     "softplus_parametric: alpha fp16[3] takes a vector with a value for each channel, but x fp16[2, C, 4] has C of them"},
    {"reduce_sum", 15, "x=fp16[2, 3] axes={1, -1}", "reduce_sum: axes lists axis 1 twice"},
    {"reduce_sum", 15, "x=fp16[2, 3] axes={2}", "reduce_sum: axes = 2 is out of range for rank 2 (-2 to 1)"},
    {"reduce_argmax", 15, "x=fp16", "reduce_argmax: axis = -1 is out of range: a scalar has no axes"},
    {"reduce_argmax", 17, "x=fp16[65537] axis=0 output_dtype=\"uint16\"",
     "reduce_argmax: indices of axis 0 of x fp16[65537] go up to 65536, and uint16 to 65535"},
    {"reduce_argmax", 17, "x=fp16[2] output_dtype=\"int8\"", "reduce_argmax: output_dtype \"int8\" is none of int32|uint16"},
    {"linear", 15, "x=fp16[1, 4] weight=@fp16[8, 3]", "linear: weight fp16[8, 3] takes 3 features, but x fp16[1, 4] has 4"},
    {"linear", 15, "x=fp16[1, 3] weight=@fp16[8, 3] bias=@fp16[3]",
     "linear: bias fp16[3] must be [8], as weight fp16[8, 3] has that many rows"},
    {"linear", 15, "x=fp16 weight=@fp16[8, 3]", "linear: x takes rank 1 or above, but x fp16 is a scalar"},
    {"matmul", 15, "x=fp16[2, 3] y=fp16[4, 5]", "matmul: x fp16[2, 3] has 3 columns, but y fp16[4, 5] has 4 rows"},
    {"matmul", 15, "x=fp16[2, 3] y=fp16[3, 5] transpose_x=true",
     "matmul: x fp16[2, 3], transposed, has 2 columns, but y fp16[3, 5] has 3 rows"},
    {"matmul", 15, "x=fp16[2, 3] y=fp16[3]",
     "matmul: takes x of rank 1 or above and y of rank 2 or above, but got x fp16[2, 3] and y fp16[3]"},
    {"matmul", 17, "x=fp16[2, 3] y=fp32[3, 4]",
     "matmul: x fp16[2, 3] and y fp32[3, 4] must have one dtype, as neither is const"},
    {"matmul", 15, "x=fp16[2, 3, 3] y=fp16[4, 3, 3]",
     "matmul: the dims before the last two of x fp16[2, 3, 3] and y fp16[4, 3, 3] do not broadcast"},
    {"einsum", 15, "values=(fp16[2, 3], fp16[3, 2]) equation=\"ab,bc->ac\"",
     "einsum: equation \"ab,bc->ac\" is neither nchw,nwhr->nchr nor chw,whr->chr (with whatever letters)"},
    {"einsum", 15, "values=(fp16[2, 3, 4], fp16[5, 3, 4]) equation=\"chw,whr->chr\"",
     "einsum: values[0] fp16[2, 3, 4] and values[1] fp16[5, 3, 4] must have equal dims to sum over: the last of values[0], "
     "the third last of values[1]"},
    {"batch_norm", 15, "x=fp16[2, 3, 4] mean=@fp16[4] variance=@fp16[3]",
     "batch_norm: mean fp16[4] must be fp16[3], by the dims of x fp16[2, 3, 4]"},
    {"layer_norm", 15, "x=fp16[2, 3, 4] axes={1, 2} gamma=@fp16[4]",
     "layer_norm: gamma fp16[4] must be fp16[3, 4], by the dims of x fp16[2, 3, 4]"},
    {"l2_norm", 15, "x=fp16[2, 3]", "l2_norm: x takes rank 3 or above, but x fp16[2, 3] has rank 2"},
    {"local_response_norm", 15, "x=fp16[2, 3, 4] size=0", "local_response_norm: size = 0 must be 1 or above"},
    {"scaled_dot_product_attention", 17, "query=fp16[1, 2, 3] key=fp16[1, 2, 3] value=fp16[1, 2, 3]",
     "scaled_dot_product_attention: exists from opset ios18 on; this function is ios17"},
    {"scaled_dot_product_attention", 18, "query=fp16[1, 2, 3] key=fp16[1, 2, 4] value=fp16[1, 2, 3]",
     "scaled_dot_product_attention: query fp16[1, 2, 3] and key fp16[1, 2, 4] must have one embedding length, the last dim"},
    {"scaled_dot_product_attention", 18, "query=fp16[1, 2, 3] key=fp16[1, 5, 3] value=fp16[1, 5, 3] attn_mask=fp16[7, 5]",
     "scaled_dot_product_attention: attn_mask fp16[7, 5] does not broadcast to query fp16[1, 2, 3]'s dims before the last"},
};

static void refuse(void) { check_calls(refusals, sizeof refusals / sizeof *refusals); }

static const call_row types[] = {
    {"add", 18, "x=fp16[1, S] y=fp16[8, 1]", "fp16[8, S]"},
    {"add", 18, "x=fp16[S] y=fp16[8]", "fp16[8]"},
    {"equal", 18, "x=int32[S] y=int32", "bool[S]"},
    {"cast", 18, "x=fp16[S] dtype=\"uint16\"", "uint16[S]"},
    {"reduce_max", 18, "x=fp16[2, S, 3] axes={-2}", "fp16[2, 3]"},
    {"reduce_max", 18, "x=fp16[2, S, 3] keep_dims=true", "fp16[1, 1, 1]"},
    {"reduce_argmin", 18, "x=fp16[2, S, 3] axis=0 output_dtype=\"UINT16\"", "uint16[S, 3]"},
    {"matmul", 18, "x=fp16[S, 4, T] y=fp16[5, 3] transpose_y=true", "fp16[S, 4, 5]"},
    {"matmul", 18, "x=fp16[3] y=fp16[2, 3, 4]", "fp16[2, 4]"},
    {"matmul", 18, "x=fp16[2, 3] y=@fp32[3, 4]", "fp16[2, 4]"},
    {"matmul", 18, "x=@fp32[2, 3] y=fp16[3, 4]", "fp16[2, 4]"},
    {"linear", 17, "x=fp16[S, 3] weight=@fp32[4, 3]", "fp16[S, 4]"},
    {"einsum", 15, "values=(fp16[1, 2, H, 4], fp16[5, 4, 1, 6]) equation=\"abcd,adce->abce\"", "fp16[5, 2, H, 6]"},
    {"scaled_dot_product_attention", 18, "query=fp16[B, L, 8] key=fp16[B, S, 8] value=fp16[B, S, 4] attn_mask=bool[S]",
     "fp16[B, L, 4]"},
};

static void infer(void) { check_calls(types, sizeof types / sizeof *types); }

/* ---- values ---- */

/* The result of a call on consts, as doubles. */
static void check_values(const char *what, const mil_program *program, mil_value value, const double *wanted, int64_t n) {
    mil_tensor *data = mil_value_data(program, value), *doubles = NULL;
    test_row = what;
    if (!CHECK(data != NULL) || !CHECK_OK(mil_tensor_convert(data, MIL_FP64, &doubles, NULL), NULL)) return;
    CHECK_EQ(mil_tensor_numel(doubles), n);
    for (int64_t i = 0; i < n; i++) CHECK_EQ(((double *)mil_tensor_data(doubles))[i], wanted[i]);
    mil_tensor_free(doubles);
    test_row = "";
}

/* x[i][j] = 10 i + j as a transposed view of memory, whose strides no op may take for granted. */
static mil_tensor *transposed(mil_dtype dtype) {
    mil_tensor *memory = NULL, *view = NULL;
    CHECK_OK(mil_tensor_new(dtype, 2, (int64_t[]){3, 2}, &memory, NULL), NULL);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t j = 0; j < 3; j++) mil_tensor_set(memory, (int64_t[]){j, i}, (double)(10 * i + j), NULL);
    CHECK_OK(mil_tensor_transpose(memory, (int[]){1, 0}, &view, NULL), NULL);
    mil_tensor_free(memory);
    return view;
}

static const struct strided_row {
    const char *op;
    const char *y;       /* the second operand's name, x again; NULL: none */
    const char *flag;    /* given as true */
    double wanted[9];
    int64_t n;
} strided_rows[] = {
    {"square", NULL, NULL, {0, 1, 4, 100, 121, 144}, 6},
    {"add", "y", NULL, {0, 2, 4, 20, 22, 24}, 6},
    {"reduce_sum", NULL, "keep_dims", {36}, 1},
    {"reduce_argmax", NULL, NULL, {2, 2}, 2},
    {"matmul", "y", "transpose_y", {5, 35, 35, 365}, 4},
    {"matmul", "y", "transpose_x", {100, 110, 120, 110, 122, 134, 120, 134, 148}, 9},
};

static void strided(void) {
    static const mil_dtype dtypes[] = {MIL_FP16, MIL_FP32, MIL_INT32};
    for (size_t r = 0; r < sizeof strided_rows / sizeof *strided_rows; r++)
        for (size_t d = 0; d < 3; d++) {
            const struct strided_row *row = &strided_rows[r];
            mil_tensor *x = transposed(dtypes[d]);
            mil_program *program = NULL;
            mil_block block;
            mil_value out;
            size_t n_outs, n = 1;
            bool yes = true;
            mil_arg args[3] = {{.name = "x", .kind = MIL_ARG_TENSOR, .tensor = x}};
            if (row->y) args[n++] = (mil_arg){.name = row->y, .kind = MIL_ARG_TENSOR, .tensor = x};
            if (row->flag) args[n++] = (mil_arg){.name = row->flag, .kind = MIL_ARG_BOOLS, .data = &yes, .n = 1};
            CHECK_OK(mil_program_new(MIL_IOS18, &program, NULL), NULL);
            CHECK_OK(mil_program_function(program, "main", &block, NULL), NULL);
            CHECK_OK(mil_program_add(program, block, mil_op_find(row->op), args, n, NULL, (mil_where){0}, &out, 1, &n_outs,
                                     NULL), NULL);
            check_values(row->op, program, out, row->wanted, row->n);
            mil_program_free(program);
            mil_tensor_free(x);
        }
}

/* int32 wraps around; division by 0 gives 0; halves round to even. */
static const struct scalar_row {
    const char *op;
    mil_dtype dtype;
    double x, y, wanted;
} scalar_rows[] = {
    {"add", MIL_INT32, 2147483647, 1, -2147483648.},
    {"mul", MIL_INT32, 65536, 65537, 65536},
    {"real_div", MIL_INT32, -7, 2, -3},
    {"real_div", MIL_INT32, -2147483648., -1, -2147483648.},
    {"floor_div", MIL_INT32, -7, 2, -4},
    {"floor_div", MIL_INT32, 7, 0, 0},
    {"mod", MIL_INT32, -7, 3, 2},
    {"mod", MIL_INT32, 7, 0, 0},
    {"mod", MIL_INT32, -2147483648., -1, 0},
    {"pow", MIL_INT32, -3, 3, -27},
    {"pow", MIL_INT32, 2, -1, 0},
    {"pow", MIL_INT32, -1, -3, -1},
    {"floor_div", MIL_FP32, 1, 0.1, 9},
    {"mod", MIL_FP32, -1, 3, 2},
    {"maximum", MIL_FP32, -0.5, 0.25, 0.25},
};

static void scalars(void) {
    for (size_t r = 0; r < sizeof scalar_rows / sizeof *scalar_rows; r++) {
        const struct scalar_row *row = &scalar_rows[r];
        char args[128], what[160];
        call c;
        mil_error err = {0};
        mil_value x, y, out = 0;
        size_t n_outs;
        CHECK_OK(call_make(&c, "relu", MIL_IOS18, "x=@fp32[1]", &err), &err);
        snprintf(args, sizeof args, "%s(%g, %g)", row->op, row->x, row->y);
        snprintf(what, sizeof what, "%s %s", mil_dtype_name(row->dtype), args);
        mil_tensor *tensors[2] = {NULL, NULL};
        for (int i = 0; i < 2; i++) {
            CHECK_OK(mil_tensor_new(row->dtype, 0, NULL, &tensors[i], &err), &err);
            CHECK_OK(mil_tensor_set(tensors[i], NULL, i ? row->y : row->x, &err), &err);
            CHECK_OK(mil_program_const(c.program, c.block, tensors[i], NULL, (mil_where){0}, i ? &y : &x, &err), &err);
            mil_tensor_free(tensors[i]);
        }
        mil_arg operands[] = {{.name = "x", .value = x}, {.name = "y", .value = y}};
        CHECK_OK(mil_program_add(c.program, c.block, mil_op_find(row->op), operands, 2, NULL, (mil_where){0}, &out, 1, &n_outs,
                                 &err), &err);
        check_values(what, c.program, out, &row->wanted, 1);
        mil_program_free(c.program);
    }
}

/* ---- memory running out ---- */

static void no_memory(void) {
    static call_row rows[] = {
        {"add", 18, "x=@fp16[2, 3] y=@fp16[3]", NULL},
        {"softmax", 18, "x=@fp16[2, 3]", NULL},
        {"reduce_sum", 18, "x=@int32[2, 3] axes={0}", NULL},
        {"matmul", 18, "x=@fp16[2, 3] y=@fp16[3, 4]", NULL},
        {"layer_norm", 18, "x=@fp16[2, 3] axes={1} gamma=@fp16[3] beta=@fp16[3]", NULL},
        {"batch_norm", 18, "x=@fp16[2, 3, 1] mean=@fp16[3] variance=@fp16[3] gamma=@fp16[3]", NULL},
        {"scaled_dot_product_attention", 18, "query=@fp16[1, 2, 3] key=@fp16[1, 2, 3] value=@fp16[1, 2, 3] attn_mask=@bool[2]",
         NULL},
    };
    check_no_memory(rows, sizeof rows / sizeof *rows);
}

TEST_MAIN(CASE(refuse), CASE(infer), CASE(strided), CASE(scalars), CASE(no_memory))
