/* SPDX-License-Identifier: MIT */
/* Nested blocks through the public header: made, refused, dropped; a loop whose variable grows, branches and lists, built and
 * run; and all of it without memory. What the ops mean is control_spec.lua's. */
#include "test.h"

#include <mil.h>

static mil_status op(mil_program *program, mil_block block, const char *name, const mil_arg *args, size_t n, mil_value *out, mil_error *err) {
    size_t n_out;
    return mil_program_add(program, block, mil_op_find(name), args, n, NULL, (mil_where){NULL, 0}, out, 1, &n_out, err);
}

#define VALUE(param, of) {.name = (param), .kind = MIL_ARG_VALUE, .value = (of)}
#define INT(param, of)   {.name = (param), .kind = MIL_ARG_INTS, .data = &(const int64_t){of}, .n = 1}
#define TRY(expression)  do { mil_status status_ = (expression); if (status_ != MIL_OK) return status_; } while (0)

/* The blocks of a loop over (i, acc, ls): i < 3; i + 1, concat(acc, x), ls with x + 1 at i. */
static mil_status decide(mil_program *program, mil_block block, const mil_value *vars, mil_error *err) {
    mil_value in[3], go;
    for (int i = 0; i < 3; i++) TRY(mil_program_block_input(program, block, vars[i], &in[i], err));
    TRY(op(program, block, "less", (mil_arg[]){VALUE("x", in[0]), INT("y", 3)}, 2, &go, err));
    return mil_program_block_output(program, block, go, err);
}

static mil_status turn(mil_program *program, mil_block block, const mil_value *vars, mil_value x, mil_error *err) {
    mil_value in[3], next, both, one, written;
    for (int i = 0; i < 3; i++) TRY(mil_program_block_input(program, block, vars[i], &in[i], err));
    const mil_arg items[] = {VALUE(NULL, in[1]), VALUE(NULL, x)};
    TRY(op(program, block, "add", (mil_arg[]){VALUE("x", in[0]), INT("y", 1)}, 2, &next, err));
    TRY(op(program, block, "concat", (mil_arg[]){{.name = "values", .kind = MIL_ARG_TUPLE, .n = 2, .items = items}, INT("axis", 0)}, 2, &both, err));
    TRY(op(program, block, "add", (mil_arg[]){VALUE("x", x), INT("y", 1)}, 2, &one, err));
    TRY(op(program, block, "list_write", (mil_arg[]){VALUE("ls", in[2]), VALUE("index", in[0]), VALUE("value", one)}, 3, &written, err));
    TRY(mil_program_block_output(program, block, next, err));
    TRY(mil_program_block_output(program, block, both, err));
    return mil_program_block_output(program, block, written, err);
}

static mil_status build_loop(mil_program *program, mil_block body, mil_value x, mil_value results[3], mil_error *err) {
    mil_value vars[3] = {0, x, 0};
    mil_block blocks[2];
    mil_tensor *zero = NULL;
    size_t n;
    const int64_t shape[] = {1};
    TRY(mil_tensor_new(MIL_INT32, 0, shape, &zero, err));
    mil_status status = mil_program_const(program, body, zero, "zero", (mil_where){NULL, 0}, &vars[0], err);
    mil_tensor_free(zero);
    TRY(status);
    const mil_arg dims[] = {{.kind = MIL_ARG_INTS, .data = shape, .n = 1}, {.kind = MIL_ARG_INTS, .data = &(const int64_t){2}, .n = 1}};
    TRY(op(program, body, "make_list", (mil_arg[]){{.name = "elem_shape", .kind = MIL_ARG_TUPLE, .n = 2, .items = dims}}, 1, &vars[2], err));
    for (int b = 0; b < 2; b++) TRY(mil_program_block(program, body, &blocks[b], err));
    TRY(decide(program, blocks[0], vars, err));
    TRY(turn(program, blocks[1], vars, x, err));
    const mil_arg items[] = {VALUE(NULL, vars[0]), VALUE(NULL, vars[1]), VALUE(NULL, vars[2])};
    const mil_arg tuple = {.name = "loop_vars", .kind = MIL_ARG_TUPLE, .n = 3, .items = items};
    return mil_program_add_nested(program, body, mil_op_find("while_loop"), &tuple, 1, blocks, 2, "w", (mil_where){"here", 7}, results, 3, &n, err);
}

static mil_status build(mil_program **out, mil_error *err) {
    mil_program *program;
    mil_block body;
    mil_value x, results[3] = {0}, read = 0;
    TRY(mil_program_new(MIL_IOS18, &program, err));
    mil_status status = mil_program_function(program, "main", &body, err);
    if (status == MIL_OK) status = mil_program_input(program, body, "x", MIL_FP32, 2, (const mil_dim[]){1, 2}, false, &x, err);
    if (status == MIL_OK) status = build_loop(program, body, x, results, err);
    if (status == MIL_OK) status = op(program, body, "list_read", (mil_arg[]){VALUE("ls", results[2]), INT("index", 2)}, 2, &read, err);
    if (status == MIL_OK) status = mil_program_output(program, body, "all", results[1], &results[1], err);
    if (status == MIL_OK) status = mil_program_output(program, body, "last", read, &read, err);
    if (status == MIL_OK) status = mil_program_verify(program, err);
    if (status == MIL_OK) *out = program;
    else mil_program_free(program);
    return status;
}

static mil_status run(const mil_program *program, mil_tensor *outputs[2], mil_error *err) {
    mil_model *model = NULL;
    mil_tensor *x = NULL;
    mil_status status = mil_tensor_new(MIL_FP32, 2, (const int64_t[]){1, 2}, &x, err);
    if (status == MIL_OK) status = mil_tensor_fill(x, 5, err);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, &model, err);
    if (status == MIL_OK) status = mil_model_run(model, &x, outputs, err);
    mil_model_free(model);
    mil_tensor_free(x);
    return status;
}

static void grows_and_fills(void) {
    mil_program *program = NULL;
    mil_tensor *outputs[2] = {NULL, NULL};
    mil_error err;
    double value = 0;
    if (!CHECK_OK(build(&program, &err), &err)) return;
    mil_operation loop = 0;
    for (mil_operation at = mil_block_first(program, mil_program_entry(program)); at; at = mil_operation_next(program, at))
        if (mil_operation_n_blocks(program, at)) loop = at;
    CHECK_EQ((int)mil_operation_n_blocks(program, loop), 2);
    mil_block body = mil_operation_nested(program, loop, 1);
    CHECK_EQ(mil_value_name(program, mil_block_input(program, body, 1)), "x_x0");
    CHECK(mil_type_dim(mil_value_type(program, mil_block_input(program, body, 1)), 0) < 0);
    if (CHECK_OK(run(program, outputs, &err), &err)) {
        CHECK_EQ((int)mil_tensor_shape(outputs[0])[0], 4);
        CHECK_OK(mil_tensor_get(outputs[1], (const int64_t[]){0, 1}, &value, &err), &err);
        CHECK_EQ((int)value, 6);
    }
    mil_tensor_free(outputs[0]);
    mil_tensor_free(outputs[1]);
    mil_program_free(program);
}

static void refuses_blocks(void) {
    mil_program *program = NULL;
    mil_error err;
    mil_block block, other;
    mil_value out, x, inner;
    size_t n;
    if (!CHECK_OK(build(&program, &err), &err)) return;
    mil_block body = mil_program_entry(program);
    x = mil_block_input(program, body, 0);
    CHECK_OK(mil_program_block(program, body, &block, &err), &err);
    CHECK_OK(mil_program_block(program, body, &other, &err), &err);
    CHECK_OK(op(program, block, "relu", (mil_arg[]){VALUE("x", x)}, 1, &inner, &err), &err);
    CHECK_STATUS(mil_program_block_output(program, other, inner, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_block_output(program, body, x, &err), MIL_ESTATE, &err);
    CHECK_STATUS(op(program, body, "relu", (mil_arg[]){VALUE("x", inner)}, 1, &out, &err), MIL_ESTATE, &err);
    const mil_arg arg = VALUE("x", x);
    CHECK_STATUS(mil_program_add_nested(program, body, mil_op_find("relu"), &arg, 1, &block, 1, NULL, (mil_where){NULL, 0}, &out, 1, &n, &err),
                 MIL_EVALUE, &err);
    const mil_block twice[] = {block, block};
    const mil_arg pred = VALUE("pred", x);
    CHECK_STATUS(mil_program_add_nested(program, body, mil_op_find("cond"), &pred, 1, twice, 2, NULL, (mil_where){NULL, 0}, &out, 1, &n, &err),
                 MIL_ESTATE, &err);
    mil_program_block_drop(program, block);
    mil_program_block_drop(program, other);
    CHECK(mil_value_type(program, inner) == NULL);
    CHECK_STATUS(mil_program_block_output(program, other, x, &err), MIL_ESTATE, &err);
    CHECK_OK(mil_program_verify(program, &err), &err);
    mil_program_free(program);
}

static mil_status build_and_run(void *ctx, mil_error *err) {
    mil_program *program = NULL;
    mil_tensor *outputs[2] = {NULL, NULL};
    (void)ctx;
    mil_status status = build(&program, err);
    if (status == MIL_OK) status = run(program, outputs, err);
    mil_tensor_free(outputs[0]);
    mil_tensor_free(outputs[1]);
    mil_program_free(program);
    return status;
}

static void survives_failing_allocations(void) {
    mil_error err;
    CHECK_OK(build_and_run(NULL, &err), &err); /* what is made once is made */
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(build_and_run, NULL) > 30);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(grows_and_fills), CASE(refuses_blocks), CASE(survives_failing_allocations))
