/* SPDX-License-Identifier: MIT */
/* Ops that move elements (tensor_operation, tensor_transformation, scatter_gather, select): what they say when they refuse,
 * sizes that travel as values (shape, gather, concat, reshape), places that only the run knows, memory running out. Values
 * are proved by tests/vectors. */
#include "call.h"
#include "ops/rules.h"

static const call_row refusals[] = {
    {"reshape", 18, "x=fp16[2, 3] shape={4, -1}",
     "reshape: the elements of x fp16[2, 3] do not fill shape [4, -1]"},
    {"reshape", 18, "x=fp16[2, 3] shape={7}", "reshape: the elements of x fp16[2, 3] do not fill shape [7]"},
    {"reshape", 18, "x=fp16[2, 3] shape={-1, -1}", "reshape: shape has -1 more than once"},
    {"reshape", 18, "x=fp16[2, 3] shape={-2, 3}", "reshape: shape has -2; a size, 0 or -1 is possible"},
    {"reshape", 16, "x=fp16[2, 3] shape={0, 3, 1}",
     "reshape: shape has a 0, so it takes as many sizes as x has axes (x fp16[2, 3]), but has 3"},
    {"reshape", 18, "x=fp16[2, 3] shape=6", "reshape: shape takes a vector of numbers, but was given int32"},
    {"transpose", 18, "x=fp16[2, 3] perm={0, 0}", "transpose: perm names axis 0 twice"},
    {"transpose", 18, "x=fp16[2, 3] perm={0}",
     "transpose: perm takes each of the 2 axes of x fp16[2, 3] once, but has 1"},
    {"transpose", 18, "x=fp16[2, 3] perm={0, 2}", "transpose: perm = 2 is out of range for rank 2 (-2 to 1)"},
    {"expand_dims", 18, "x=fp16[2, 3] axes={3, -1}", "expand_dims: axes names axis 3 twice"},
    {"expand_dims", 18, "x=fp16[1, 1, 1, 1, 1, 1, 1] axes={0, 1}",
     "expand_dims: the result would have rank 9; at most 8 is possible"},
    {"squeeze", 18, "x=fp16[1, 3] axes={1}", "squeeze: axis 1 of x fp16[1, 3] can't go: its extent is not 1"},
    {"slice_by_index", 18, "x=fp16[4, 5] begin={0} end={1}",
     "slice_by_index: begin int32[1] takes 2 values, an axis of x fp16[4, 5] each"},
    {"slice_by_index", 18, "x=fp16[4] begin={3} end={1}",
     "slice_by_index: begin 3, end 1, stride 1 at axis 0 lead outside of x fp16[4]"},
    {"slice_by_index", 18, "x=fp16[4] begin={5} end={6}",
     "slice_by_index: begin 5, end 6, stride 1 at axis 0 lead outside of x fp16[4]"},
    {"slice_by_index", 18, "x=fp16[4] begin={0} end={4} stride={0}", "slice_by_index: stride of axis 0 is 0"},
    {"slice_by_size", 18, "x=fp16[4] begin={2} size={3}",
     "slice_by_size: begin 2, size 3 at axis 0 lead outside of x fp16[4]"},
    {"slice_by_size", 18, "x=fp16[4] begin={5} size={-1}",
     "slice_by_size: begin 5, size -1 at axis 0 lead outside of x fp16[4]"},
    {"slice_by_size", 18, "x=fp16[4] begin={-2} size={-1}",
     "slice_by_size: begin -2 at axis 0 counts from the end, so size can't be -1 there"},
    {"concat", 18, "values=(fp16[2, 3], fp32[2, 3]) axis=0",
     "concat: values must have one dtype, but the first is fp16[2, 3] and number 2 is fp32[2, 3]"},
    {"concat", 18, "values=(fp16[2, 3], fp16[2, 4]) axis=0",
     "concat: value 2 is fp16[2, 4], which does not go with the first, fp16[2, 3]"},
    {"concat", 18, "values=(fp16[2, 3], fp16[3]) axis=0",
     "concat: value 2 is fp16[3], which does not go with the first, fp16[2, 3]"},
    {"concat", 18, "values=(fp16[2, 3], fp16[2, 4]) axis=1 interleave=true",
     "concat: value 2 is fp16[2, 4], which does not go with the first, fp16[2, 3]"},
    {"concat", 18, "values=(fp16[2, 3], fp16[2, 3]) axis=2",
     "concat: axis = 2 is out of range for rank 2 (-2 to 1)"},
    {"concat", 18, "values=() axis=0", "concat: values takes at least one value, but the tuple is empty"},
    {"stack", 18, "values=(fp16[2, 3], fp16[2, 4]) axis=0",
     "stack: value 2 is fp16[2, 4], which does not go with the first, fp16[2, 3]"},
    {"stack", 18, "values=(fp16[2, 3], fp16[2, 3]) axis=3", "stack: axis = 3 is out of range for rank 3 (-3 to 2)"},
    {"split", 18, "x=fp16[6] axis=0", "split: takes num_splits or split_sizes, and neither is given"},
    {"split", 18, "x=fp16[6] axis=0 num_splits=4",
     "split: num_splits 4 does not divide the 6 elements of x fp16[6] along axis"},
    {"split", 18, "x=fp16[6] axis=0 num_splits=0", "split: 0 parts; 1 to 65535 are possible"},
    {"split", 18, "x=fp16[6] axis=0 split_sizes={2, 3}",
     "split: split_sizes add up to 5, but x fp16[6] has 6 elements along axis"},
    {"split", 18, "x=fp16[6] axis=0 split_sizes={3, 3} num_splits=3",
     "split: num_splits is 3, but split_sizes has 2"},
    {"pad", 18, "x=fp16[2, 3] pad={1}", "pad: pad takes two values an axis, at most 4 for x fp16[2, 3], but has 1"},
    {"pad", 18, "x=fp16[2, 3] pad={1, 1, 1, 1, 1, 1}",
     "pad: pad takes two values an axis, at most 4 for x fp16[2, 3], but has 6"},
    {"pad", 18, "x=fp16[2, 3] pad={1, -1}", "pad: pad has -1; only 0 and more is possible"},
    {"pad", 18, "x=fp16[2, 3] pad={1, 1} mode=\"edge\"",
     "pad: mode \"edge\" is none of constant|reflect|replicate"},
    {"pad", 18, "x=fp16[2, 3] pad=int32[2]",
     "pad: pad int32[2] is known only at run time, so it takes two values for each axis of x fp16[2, 3]"},
    {"tile", 18, "x=fp16[2, 3] reps={2}",
     "tile: reps int32[1] takes a value for each axis of x fp16[2, 3], which must have one"},
    {"tile", 18, "x=fp16[2, 3] reps={2, 0}", "tile: reps has 0; only 1 and more is possible"},
    {"fill", 18, "shape={2, -1}", "fill: shape has -1; only 0 and more is possible"},
    {"fill_like", 15, "ref_tensor=fp16[2]", "fill_like: exists from opset ios16 on; this function is ios15"},
    {"gather", 18, "x=fp16 indices={0}", "gather: axis = 0 is out of range: a scalar has no axes"},
    {"gather", 18, "x=fp16[2, 3] indices={0} axis=2", "gather: axis = 2 is out of range for rank 2 (-2 to 1)"},
    {"gather", 16, "x=fp16[2, 3] indices={2} axis=0", "gather: index 2 is outside of axis 0 of x fp16[2, 3]"},
    {"gather", 18, "x=fp16[2, 3] indices={-1} axis=0 validate_indices=true",
     "gather: index -1 is outside of axis 0 of x fp16[2, 3]"},
    {"gather", 18, "x=fp16[2, 3] indices=int32[3, 1] axis=1 batch_dims=1",
     "gather: x fp16[2, 3] and indices int32[3, 1] differ at axis 0, which they share (batch_dims = 1)"},
    {"gather", 18, "x=fp16[2, 3] indices=int32[2, 1] axis=0 batch_dims=1",
     "gather: axis 0 is among the 1 axes that x and indices share"},
    {"gather", 18, "x=fp16[2, 3] indices=int32[2, 1] axis=1 batch_dims=2",
     "gather: batch_dims 2 must be below x's rank (2) and at most that of indices (2)"},
    {"gather_along_axis", 18, "x=fp16[2, 3] indices=int32[3, 3] axis=1",
     "gather_along_axis: indices int32[3, 3] must have the shape of x fp16[2, 3], but for axis 1"},
    {"gather_nd", 18, "x=fp16[2, 3] indices=int32[4, 3]",
     "gather_nd: the last axis of indices int32[4, 3] takes a known number of indices, at most 2 for x fp16[2, 3]"},
    {"topk", 18, "x=fp16[2, 3] k=4", "topk: k = 4, but axis 1 of x fp16[2, 3] has 3 elements"},
    {"topk", 18, "x=fp16[65537] output_indices_dtype=\"uint16\"",
     "topk: indices of axis 0 of x fp16[65537] go up to 65536, and uint16 to 65535"},
    {"topk", 18, "x=fp16[2, 3] return_indices=false output_indices_dtype=\"int32\"",
     "topk: output_indices_dtype is given, but return_indices is false"},
    {"select", 18, "cond=bool[2] a=fp16[3] b=fp16[3]",
     "select: cond bool[2], a fp16[3] and b fp16[3] do not broadcast"},
    {"range_1d", 18, "start=0 end=4 step=0", "range_1d: from 0 to 4 by 0 has no end"},
    {"one_hot", 18, "indices=int32[3] one_hot_vector_size=-1",
     "one_hot: one_hot_vector_size is -1; only 0 and more is possible"},
};

static void refuse(void) { check_calls(refusals, sizeof refusals / sizeof *refusals); }

static const call_row types[] = {
    {"reshape", 18, "x=fp16[N, 3] shape={-1}", "fp16[3*N]"},
    {"reshape", 18, "x=fp16[N, 3, 4] shape={0, -1}", "fp16[3, 4*N]"}, /* 0 counts from the end */
    {"reshape", 16, "x=fp16[N, 3] shape={0, -1}", "fp16[N, 3]"},
    {"concat", 18, "values=(fp16[N, 3], fp16[2, 3]) axis=0", "fp16[N + 2, 3]"},
    {"tile", 18, "x=fp16[N, 3] reps={2, 1}", "fp16[2*N, 3]"},
    {"pad", 18, "x=fp16[2, N] pad={1, 2}", "fp16[2, N + 3]"},
    {"slice_by_size", 18, "x=fp16[N, 3] begin={1, 0} size={-1, 2}", "fp16[N - 1, 2]"},
    {"flatten2d", 18, "x=fp16[2, N, 3] axis=2", "fp16[2*N, 3]"},
    {"gather", 18, "x=fp16[4, N] indices=int32[2, M] axis=0", "fp16[2, M, N]"},
};

static void infer(void) { check_calls(types, sizeof types / sizeof *types); }

/* ---- programs of a few ops ---- */

static mil_value add(mil_program *program, mil_block block, const char *op, const mil_arg *args, size_t n) {
    mil_value out = 0;
    size_t n_outs;
    mil_error err = {0};
    CHECK_OK(mil_program_add(program, block, mil_op_find(op), args, n, NULL, (mil_where){0}, &out, 1, &n_outs, &err), &err);
    return out;
}

#define VALUE(param, v) {.name = param, .kind = MIL_ARG_VALUE, .value = (v)}
#define INTS(param, count, ...)                                                                                       \
    {.name = param, .kind = MIL_ARG_INTS, .n = (count), .rank = 1, .shape = (int64_t[]){(count)},                      \
     .data = (int64_t[]){__VA_ARGS__}}
#define INT(param, v) {.name = param, .kind = MIL_ARG_INTS, .n = 1, .data = (int64_t[]){(v)}}

static mil_value input(mil_program *program, mil_block block, const char *name, mil_dtype dtype, int rank,
                       const mil_dim *shape) {
    mil_value out = 0;
    mil_error err = {0};
    CHECK_OK(mil_program_input(program, block, name, dtype, rank, shape, false, &out, &err), &err);
    return out;
}

static void check_type(const mil_program *program, mil_value value, const char *wanted) {
    char got[200];
    mil_program_type_text(program, mil_value_type(program, value), got, sizeof got);
    CHECK_EQ((const char *)got, wanted);
}

static mil_program *program_of(mil_block *block) {
    mil_program *program = NULL;
    mil_error err = {0};
    CHECK_OK(mil_program_new(MIL_IOS18, &program, &err), &err);
    CHECK_OK(mil_program_function(program, "main", block, &err), &err);
    return program;
}

/* reshape(x, concat(shape(x)[0], 2, -1)), as every exported attention has it. */
static void sizes_travel(void) {
    mil_block block = 0;
    mil_error err = {0};
    mil_dim n;
    mil_program *program = program_of(&block);
    CHECK_OK(mil_program_symbol(program, &(mil_symbol){.name = "N", .max = -1}, &n, &err), &err);
    mil_value x = input(program, block, "x", MIL_FP16, 2, (mil_dim[]){n, 6});
    mil_value shape = add(program, block, "shape", (mil_arg[]){VALUE("x", x)}, 1);
    mil_value first = add(program, block, "gather", (mil_arg[]){VALUE("x", shape), INTS("indices", 1, 0), INT("axis", 0)}, 3);
    mil_arg items[] = {VALUE(NULL, first), INTS(NULL, 2, 2, -1)};
    mil_arg joined[] = {{.name = "values", .kind = MIL_ARG_TUPLE, .items = items, .n = 2}, INT("axis", 0)};
    mil_value target = add(program, block, "concat", joined, 2);
    check_type(program, add(program, block, "reshape", (mil_arg[]){VALUE("x", x), VALUE("shape", target)}, 2),
               "fp16[N, 2, 3]");
    mil_value y = input(program, block, "y", MIL_FP16, 2, (mil_dim[]){4, 5});
    mil_value known = add(program, block, "shape", (mil_arg[]){VALUE("x", y)}, 1);
    CHECK(mil_value_data(program, known) != NULL); /* a shape that is known is a const */
    mil_program_free(program);
}

/* A slice of fixed size at a place that the run decides: right, and an error outside. */
static void places_of_the_run(int optimize) {
    mil_block block = 0;
    mil_model *model = NULL;
    mil_error err = {0};
    mil_value y;
    mil_program *program = program_of(&block);
    mil_value x = input(program, block, "x", MIL_FP32, 1, (mil_dim[]){5});
    mil_value begin = input(program, block, "begin", MIL_INT32, 1, (mil_dim[]){1});
    mil_arg args[] = {VALUE("x", x), VALUE("begin", begin), INTS("size", 1, 2)};
    CHECK_OK(mil_program_output(program, block, "y", add(program, block, "slice_by_size", args, 3), &y, &err), &err);
    mil_compile_options options = {.engine = "cpu", .threads = 1, .optimize = optimize};
    CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
    mil_tensor *in[2] = {NULL}, *out[1] = {NULL};
    CHECK_OK(mil_tensor_new(MIL_FP32, 1, (int64_t[]){5}, &in[0], &err), &err);
    CHECK_OK(mil_tensor_new(MIL_INT32, 1, (int64_t[]){1}, &in[1], &err), &err);
    for (int64_t i = 0; i < 5; i++) mil_tensor_set(in[0], &i, (double)i, NULL);
    mil_tensor_set_int(in[1], (int64_t[]){0}, -2, NULL);
    CHECK_OK(mil_model_run(model, in, out, &err), &err);
    if (CHECK(out[0] != NULL)) CHECK_EQ((double)((const float *)mil_tensor_data(out[0]))[0], 3.0);
    mil_tensor_free(out[0]);
    out[0] = NULL;
    mil_tensor_set_int(in[1], (int64_t[]){0}, 4, NULL);
    CHECK(mil_model_run(model, in, out, &err) == MIL_EVALUE);
    CHECK_EQ((const char *)err.message, "slice_by_size: begin 4, size 2 at axis 0 lead outside of x fp32[5]");
    mil_tensor_free(in[0]);
    mil_tensor_free(in[1]);
    mil_model_free(model);
    mil_program_free(program);
}

static void places(void) {
    places_of_the_run(0);
    places_of_the_run(1);
}

/* ---- memory running out ---- */

static void no_memory(void) {
    static call_row rows[] = {
        {"reshape", 18, "x=fp16[N, 4] shape={2, -1}", NULL},
        {"transpose", 18, "x=@fp16[2, 3] perm={1, 0}", NULL},
        {"slice_by_index", 18, "x=@fp16[5] begin={1} end={4} stride={2}", NULL},
        {"concat", 18, "values=(@fp16[2, 3], @fp16[1, 3]) axis=0", NULL},
        {"split", 18, "x=@fp16[6] axis=0 split_sizes={2, 4}", NULL},
        {"pad", 18, "x=@fp16[2, 3] pad={1, 1} mode=\"reflect\"", NULL},
        {"tile", 18, "x=@fp16[2, 3] reps={2, 2}", NULL},
        {"gather", 18, "x=@fp16[2, 3] indices={1, 0} axis=1", NULL},
        {"topk", 18, "x=@fp16[2, 3] k=2", NULL},
        {"shape", 18, "x=fp16[2, N]", NULL},
        {"reshape", 18, "x=fp16[2, 3] shape=int32[N]", NULL},
        {"fill", 18, "shape=int32[N] value=1", NULL},
    };
    check_no_memory(rows, sizeof rows / sizeof *rows);
}

/* ---- what they move with ---- */

/* Lines of every size of element, forwards, backwards and standing, around the blocks that they are moved in. */
static void lines(void) {
    static const int64_t steps[] = {1, -1, 2, -3, 0}, lengths[] = {0, 1, 15, 16, 17, 33};
    uint8_t from[8 * 100], to[8 * 100];
    for (size_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t size = 1; size <= 8; size *= 2)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
            for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
                for (int64_t to_step = 1; to_step <= 2; to_step++) {
                    int64_t first = steps[s] < 0 ? 99 : 0, wrong = 0;
                    memset(to, 0xee, sizeof to);
                    mil__copy_line(to, to_step, from + (size_t)first * size, steps[s], (size_t)lengths[k], size);
                    for (int64_t i = 0; i < 100; i++) {
                        bool is_moved = i % to_step == 0 && i / to_step < lengths[k];
                        for (size_t b = 0; b < size; b++) {
                            uint8_t wanted = is_moved ? from[(size_t)(first + i / to_step * steps[s]) * size + b] : 0xee;
                            wrong += to[(size_t)i * size + b] != wanted;
                        }
                    }
                    CHECK_EQ((long long)wrong, 0);
                }
}

/* Fills longer than what is copied at once, to a byte. */
static void fills(void) {
    static const size_t totals[] = {0, 3, 8, 32768, 32776, 100000};
    const uint8_t element[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t size = 1; size <= 8; size *= 2)
        for (size_t k = 0; k < sizeof totals / sizeof *totals; k++) {
            size_t wrong = 0;
            uint8_t *to = malloc(totals[k] + 1);
            to[totals[k]] = 0xee;
            mil__fill(to, element, size, totals[k]);
            for (size_t i = 0; i < totals[k]; i++) wrong += to[i] != element[i % size];
            CHECK_EQ((long long)wrong, 0);
            CHECK_EQ(to[totals[k]], 0xee);
            free(to);
        }
}

TEST_MAIN(CASE(lines), CASE(fills), CASE(refuse), CASE(infer), CASE(sizes_travel), CASE(places), CASE(no_memory))
