/* SPDX-License-Identifier: MIT */
/* What can be wrong only when a program runs, through the public header: the error says what it is and where the operation was
 * made, and the model runs as before. (bad_input_spec.lua: the same and more, from Lua.) */
#include "test.h"

#include <mil.h>

/* Each takes int32[2] "i". */
static const struct {
    const char *what, *body;
    int32_t good[2], bad[2];
    mil_status status;
    const char *message, *op, *value;
} rows[] = {
    {"an index beyond an axis",
     "tensor<fp32, [3]> x = const()[val = tensor<fp32, [3]>([1, 2, 3])];\n"
     "tensor<fp32, [2]> y = gather(axis = int32(0), indices = i, validate_indices = bool(true), x = x);\n",
     {0, 2}, {0, 3}, MIL_EVALUE, "gather: index 3 is outside of axis 0 of x fp32[3]", "gather", "y"},
    {"a negative size",
     "tensor<int32, [2]> size = sub(x = i, y = int32(5));\n"
     "tensor<fp32, [?, ?]> y = fill(shape = size, value = fp32(1));\n",
     {6, 7}, {6, 3}, MIL_EVALUE, "fill: shape has -2; only 0 and more is possible", "fill", "y"},
    {"a list read past its end",
     "list<tensor<fp32, [2]>, 3> ls = make_list(dtype = string(\"fp32\"), dynamic_length = bool(false), elem_shape = tensor<int32, [1]>([2]), "
     "init_length = int32(3));\n"
     "tensor<int32, []> at = reduce_sum(axes = tensor<int32, [1]>([0]), keep_dims = bool(false), x = i);\n"
     "tensor<fp32, [2]> y = list_read(index = at, ls = ls);\n",
     {1, 1}, {1, 2}, MIL_EVALUE, "list_read: index 3 is outside of ls, which has 3 elements", "list_read", "y"},
    {"a loop that never ends",
     "tensor<int32, [2]> y = while_loop(loop_vars = (i))[name = string(\"y\")] (tensor<int32, [2]> a) {\n"
     "tensor<int32, []> sum = reduce_sum(axes = tensor<int32, [1]>([0]), keep_dims = bool(false), x = a);\n"
     "bool go = less(x = sum, y = int32(10));\n} -> (go), (tensor<int32, [2]> b) {\n"
     "tensor<int32, [2]> same = mul(x = b, y = int32(2));\n} -> (same);\n",
     {1, 1}, {0, 0}, MIL_ELIMIT, "while_loop: y has made 50 turns, the most that max_turns allows", "while_loop", "y"},
};

static mil_status compile(const char *body, mil_model **out, mil_error *err) {
    char text[2000];
    mil_program *program = NULL;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    int n = snprintf(text, sizeof text, "program(1.3)\n{\nfunc main<ios18>(tensor<int32, [2]> i) {\n%s} -> (y);\n}\n", body);
    options.engine = "cpu";
    options.max_turns = 50;
    mil_status status = mil_text_parse(text, (size_t)n, &(mil_text_options){.name = "bad.mil"}, &program, err);
    if (status == MIL_OK) status = mil_program_compile(program, &options, out, err);
    mil_program_free(program);
    return status;
}

static mil_status run(mil_model *model, const int32_t *i, mil_tensor **y, mil_error *err) {
    const int64_t shape[] = {2};
    mil_tensor *in = NULL;
    mil_status status = mil_tensor_new(MIL_INT32, 1, shape, &in, err);
    if (status == MIL_OK) memcpy(mil_tensor_data(in), i, 2 * sizeof *i);
    if (status == MIL_OK) status = mil_model_run(model, &in, y, err);
    mil_tensor_free(in);
    return status;
}

static void are_errors(void) {
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        mil_model *model = NULL;
        mil_error err = {0};
        if (!CHECK_OK(compile(rows[r].body, &model, &err), &err)) continue;
        for (int turn = 0; turn < 2; turn++) {
            mil_tensor *y = NULL;
            CHECK_OK(run(model, rows[r].good, &y, &err), &err);
            CHECK(y && mil_tensor_numel(y) > 0);
            mil_tensor_free(y);
            y = NULL;
            err = (mil_error){0};
            CHECK_STATUS(run(model, rows[r].bad, &y, &err), rows[r].status, &err);
            CHECK_HAS(err.message, rows[r].message);
            CHECK_EQ((const char *)err.file, "bad.mil");
            CHECK_EQ((const char *)err.op, rows[r].op);
            CHECK_EQ((const char *)err.value, rows[r].value);
            CHECK(err.line > 3);
            mil_tensor_free(y);
        }
        mil_model_free(model);
    }
}

TEST_MAIN(CASE(are_errors))
