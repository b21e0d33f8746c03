/* SPDX-License-Identifier: MIT */
/* Programs through the public functions, as a caller misuses them: dims and values of elsewhere, names that are taken,
 * memory that runs out. Whatever fails leaves the program as it was. */
#include "test.h"

static mil_error err;

typedef struct built {
    mil_program *program;
    mil_block block;
    mil_value x;
} built;

static built a_program(void) {
    built b = {0};
    CHECK_OK(mil_program_new(MIL_IOS18, &b.program, &err), &err);
    CHECK_OK(mil_program_function(b.program, "main", &b.block, &err), &err);
    CHECK_OK(mil_program_input(b.program, b.block, "x", MIL_FP32, 1, (int64_t[]){4}, false, &b.x, &err), &err);
    return b;
}

static mil_status add(const built *b, const char *op, mil_value x, const char *name, const char *file, mil_value *out) {
    mil_arg arg = {.name = "x", .kind = MIL_ARG_VALUE, .value = x};
    size_t n;
    return mil_program_add(b->program, b->block, mil_op_find(op), &arg, 1, name, (mil_where){file, 1}, out, 1, &n, &err);
}

static char *printed(const built *b) {
    char *text = NULL;
    CHECK_OK(mil_text_print(b->program, &text, NULL, &err), &err);
    return text;
}

/* ---- numbers that are no dims of this program ---- */

static void foreign_dims(void) {
    static const int64_t dims[] = {-1, -2, -1000, INT64_MIN};
    built b = a_program(), other = a_program();
    mil_dim s, mine;
    CHECK_OK(mil_program_symbol(other.program, &(mil_symbol){.name = "S"}, &s, &err), &err);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        mil_value y = 1;
        char text[32];
        CHECK_STATUS(mil_program_input(b.program, b.block, "y", MIL_FP32, 2, (int64_t[]){2, dims[i]}, false, &y, &err),
                     MIL_ETYPE, &err);
        CHECK_EQ(err.message, "input y: dim 1 is neither a size nor a symbol");
        CHECK_EQ(y, 0);
        CHECK_EQ(mil_program_dim_text(b.program, dims[i], text, sizeof text), 1);
        CHECK_EQ(text, "?");
    }
    CHECK_OK(mil_program_symbol(b.program, &(mil_symbol){.name = "T"}, &mine, &err), &err);
    CHECK_OK(mil_program_input(b.program, b.block, "y", MIL_FP32, 1, &mine, false, &b.x, &err), &err);
    mil_program_free(b.program);
    mil_program_free(other.program);
}

/* ---- more inputs than a function may have ---- */

static void inputs_have_a_limit(void) {
    built b = a_program();
    char name[16];
    mil_value out;
    for (int i = 1; i < 65535; i++) {
        snprintf(name, sizeof name, "x%d", i);
        if (!CHECK_OK(mil_program_input(b.program, b.block, name, MIL_FP32, 0, NULL, false, &out, &err), &err)) break;
    }
    CHECK_STATUS(mil_program_input(b.program, b.block, "more", MIL_FP32, 0, NULL, false, &out, &err), MIL_ELIMIT, &err);
    CHECK_EQ(err.message, "input more: more than 65535 inputs");
    CHECK_EQ(mil_block_n_inputs(b.program, b.block), 65535);
    mil_program_free(b.program);
}

/* ---- functions that go ---- */

static void removes_functions(void) {
    built b = a_program(), c = b, d = b;
    mil_value y, out;
    CHECK_OK(mil_program_function(b.program, "second", &c.block, &err), &err);
    CHECK_OK(mil_program_function(b.program, "third", &d.block, &err), &err);
    CHECK_OK(mil_program_input(b.program, c.block, "x", MIL_FP32, 1, (int64_t[]){4}, false, &c.x, &err), &err);
    CHECK_OK(mil_program_input(b.program, d.block, "x", MIL_FP32, 1, (int64_t[]){4}, false, &d.x, &err), &err);
    CHECK_OK(add(&b, "relu", b.x, "y", "a.lua", &y), &err);
    CHECK_OK(mil_program_output(b.program, b.block, "y", y, &out, &err), &err);
    CHECK_OK(add(&d, "exp", d.x, "z", "a.lua", &y), &err);
    CHECK_OK(mil_program_output(b.program, d.block, "z", y, &out, &err), &err);
    const mil_operation *users; /* with an index of who uses what, and without */
    size_t n;
    CHECK_OK(mil_value_users(b.program, b.x, &users, &n, &err), &err);
    CHECK_OK(mil_program_remove_function(b.program, b.block, &err), &err);
    CHECK_STATUS(mil_program_remove_function(b.program, b.block, &err), MIL_ESTATE, &err);
    CHECK(mil_value_type(b.program, b.x) == NULL);
    CHECK_STATUS(add(&b, "relu", d.x, "y", "a.lua", &y), MIL_ESTATE, &err);
    CHECK_STATUS(add(&d, "relu", b.x, "y", "a.lua", &y), MIL_ESTATE, &err);
    CHECK_EQ(mil_function_name(b.program, mil_program_function_at(b.program, 1)), "third");
    CHECK_STATUS(mil_program_verify(b.program, &err), MIL_ESTATE, &err); /* second has no output */
    CHECK_OK(mil_program_remove_function(b.program, c.block, &err), &err);
    CHECK_OK(mil_program_verify(b.program, &err), &err);
    CHECK_OK(add(&d, "relu", d.x, "y", "a.lua", &y), &err);
    char *text = printed(&d);
    CHECK_HAS(text, "func third<ios18>(tensor<fp32, [4]> x)");
    mil_free(text);
    CHECK_OK(mil_program_remove_function(b.program, d.block, &err), &err);
    CHECK_EQ(mil_program_n_functions(b.program), 0);
    mil_program_free(b.program);
}

/* Blocks that are being built go with their function: nothing is added to them any more. */
static void removes_open_blocks(void) {
    built b = a_program(), inner = b;
    mil_block function;
    mil_value y;
    CHECK_OK(mil_program_function(b.program, "second", &function, &err), &err);
    CHECK_OK(mil_program_block(b.program, b.block, &inner.block, &err), &err);
    CHECK_OK(add(&inner, "relu", b.x, "y", "a.lua", &y), &err);
    built deeper = inner;
    CHECK_OK(mil_program_block(b.program, inner.block, &deeper.block, &err), &err);
    CHECK_OK(add(&deeper, "exp", y, "z", "a.lua", &y), &err);
    CHECK_OK(mil_program_remove_function(b.program, b.block, &err), &err);
    CHECK_STATUS(add(&inner, "relu", y, "w", "a.lua", &y), MIL_ESTATE, &err);
    CHECK_STATUS(add(&deeper, "relu", y, "w", "a.lua", &y), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_block(b.program, inner.block, &function, &err), MIL_ESTATE, &err);
    mil_program_block_drop(b.program, inner.block);
    CHECK_EQ(mil_program_n_functions(b.program), 1);
    mil_program_free(b.program);
}

/* ---- shapes to choose from ---- */

static void shapes_of_inputs(void) {
    built b = a_program();
    static const int64_t fits[] = {2, 3, 5, 3}, negative[] = {-1, 3}, other[] = {2, 4};
    mil_dim dims[2] = {0, 3};
    mil_value y, of_op;
    CHECK_OK(mil_program_symbol(b.program, &(mil_symbol){.name = "S"}, &dims[0], &err), &err);
    CHECK_OK(mil_program_input(b.program, b.block, "y", MIL_FP32, 2, dims, false, &y, &err), &err);
    CHECK_OK(add(&b, "relu", y, "z", "s.lua", &of_op), &err);
    CHECK_STATUS(mil_program_input_shapes(b.program, of_op, 1, fits, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_input_shapes(b.program, 999, 1, fits, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_input_shapes(b.program, y, 0, fits, &err), MIL_EINVAL, &err);
    CHECK_STATUS(mil_program_input_shapes(b.program, y, 1, negative, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil_program_input_shapes(b.program, y, 1, other, &err), MIL_EVALUE, &err);
    CHECK_EQ(err.message, "input y: [2, 4] is none of its shapes");
    CHECK_OK(mil_program_input_shapes(b.program, y, 2, fits, &err), &err);
    CHECK_STATUS(mil_program_input_shapes(b.program, y, 2, fits, &err), MIL_EINVAL, &err);
    mil_program_free(b.program);
}

/* ---- failures ---- */

/* A script's name that came with an operation that failed is not forgotten half. */
static void files_after_failures(void) {
    built b = a_program();
    for (int i = 0; i < 300; i++) {
        char file[64], name[16];
        mil_value y = 0;
        snprintf(file, sizeof file, "the_script_of_the_operation_number_%d.lua", i);
        snprintf(name, sizeof name, "v%d", i);
        CHECK_STATUS(add(&b, "relu", b.x, "x", file, &y), MIL_ENAME, &err);
        if (!CHECK_OK(add(&b, "relu", b.x, name, file, &y), &err)) break;
        CHECK_EQ(mil_operation_where(b.program, mil_value_operation(b.program, y)).file, (const char *)file);
    }
    mil_program_free(b.program);
}

/* What mil_op_find says of an unknown name goes straight on. */
static void unknown_op(void) {
    built b = a_program();
    mil_value y = 1;
    CHECK_STATUS(add(&b, "rellu", b.x, NULL, NULL, &y), MIL_ENAME, &err);
    CHECK_EQ(err.message, "add: there is no op of that name");
    CHECK_OK(add(&b, "relu", b.x, NULL, NULL, &y), &err);
    mil_program_free(b.program);
}

static void renames(void) {
    built b = a_program();
    mil_value y, z;
    CHECK_OK(add(&b, "relu", b.x, "y", NULL, &y), &err);
    CHECK_OK(add(&b, "exp", y, "z", NULL, &z), &err);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(mil_value_rename(b.program, y, i % 2 ? "z" : "x", &err), MIL_ENAME, &err);
        CHECK_STATUS(mil_value_rename(b.program, y, "1", &err), MIL_ENAME, &err);
        CHECK_EQ(mil_value_name(b.program, y), "y");
        CHECK_EQ(mil_value_find(b.program, b.block, "y"), y);
    }
    CHECK_OK(mil_value_rename(b.program, y, "w", &err), &err);
    CHECK_EQ(mil_value_find(b.program, b.block, "y"), 0);
    CHECK_EQ(mil_value_find(b.program, b.block, "w"), y);
    CHECK_OK(mil_value_rename(b.program, z, "y", &err), &err);
    CHECK_EQ(mil_value_find(b.program, b.block, "y"), z);
    mil_program_free(b.program);
}

/* What is read unchecked may declare another number of results than an operation has. */
static void another_number_of_results(void) {
    static const char text[] = "program(1.3)\n{ func main<ios18>(tensor<fp32, [6, 2]> x) {\n"
                               "tensor<fp32, [2, 2]> a = split(x = x, num_splits = int32(3), axis = int32(0));\n} -> (a); }";
    mil_program *program = NULL, *part = NULL;
    if (!CHECK_OK(mil_text_parse(text, sizeof text - 1, &(mil_text_options){.unchecked = true}, &program, &err), &err)) return;
    mil_value a = mil_value_find(program, mil_program_function_at(program, 0), "a");
    CHECK_STATUS(mil_program_extract(program, &(mil_part){&a, 1, NULL, 0}, &part, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "has 3 results, but 1 are declared");
    CHECK_STATUS(mil_program_verify(program, &err), MIL_ETYPE, &err);
    CHECK(part == NULL);
    mil_program_free(program);
}

static void verify_finds_wrong_types(void) {
    static const char text[] = "program(1.3)\n{ func main<ios18>(tensor<fp32, [4]> x) {\n"
                               "tensor<fp32, [5]> a = relu(x = x);\n} -> (a); }";
    mil_program *program = NULL;
    CHECK_STATUS(mil_text_parse(text, sizeof text - 1, NULL, &program, &err), MIL_ETYPE, &err);
    if (!CHECK_OK(mil_text_parse(text, sizeof text - 1, &(mil_text_options){.name = "t", .unchecked = true}, &program, &err), &err))
        return;
    CHECK_STATUS(mil_program_verify(program, &err), MIL_ETYPE, &err);
    CHECK_EQ(err.message, "relu: a result has another type than it infers: a");
    CHECK_EQ(err.line, 3);
    mil_program_free(program);
}

/* What stands in the blocks of an operation goes with it, and so do its uses of what stands before. */
static void undo_of_blocks(void) {
    static const char text[] =
        "program(1.3)\n{ func main<ios18>(tensor<fp32, [4]> x) {\n tensor<fp32, [4]> a = relu(x = x);\n"
        "tensor<fp32, [4]> y = relu(x = a) (tensor<fp32, [4]> k) {\n tensor<fp32, [4]> w = add(x = a, y = k);\n"
        "tensor<fp32, [4]> z = exp(x = w) () { tensor<fp32, [4]> q = exp(x = w); } -> (q);\n } -> (w); } -> (x); }";
    mil_program *program = NULL;
    if (!CHECK_OK(mil_text_parse(text, sizeof text - 1, &(mil_text_options){.unchecked = true}, &program, &err), &err)) return;
    mil_block body = mil_program_function_at(program, 0);
    mil_block nested = 2; /* the body is 1 */
    mil_value k = mil_block_input(program, nested, 0), w = mil_block_output(program, nested, 0);
    mil_operation inner = mil_block_first(program, nested);
    CHECK_EQ(mil_value_name(program, k), "k");
    CHECK_EQ(mil_value_name(program, w), "w");
    CHECK_OK(mil_program_undo(program, body, &err), &err);
    CHECK(!mil_value_name(program, k) && !mil_value_name(program, w) && !mil_operation_op(program, inner));
    CHECK_EQ(mil_block_n_inputs(program, nested), 0);
    CHECK_STATUS(mil_program_undo(program, nested, &err), MIL_ESTATE, &err);
    CHECK_OK(mil_program_undo(program, body, &err), &err);
    CHECK_STATUS(mil_program_undo(program, body, &err), MIL_ESTATE, &err);
    mil_program_free(program);
}

/* ---- memory that runs out ---- */

static mil_status step_input(built *b, mil_value y) {
    (void)y;
    mil_value in;
    return mil_program_input(b->program, b->block, "in", MIL_FP32, 1, (int64_t[]){4}, false, &in, &err);
}

static mil_status step_add(built *b, mil_value y) { return add(b, "relu", y, "added", "a file.lua", &y); }
static mil_status step_rename(built *b, mil_value y) { return mil_value_rename(b->program, y, "renamed", &err); }
static mil_status step_output(built *b, mil_value y) { return mil_program_output(b->program, b->block, "out", y, &y, &err); }
static mil_status step_identity(built *b, mil_value y) {
    (void)y;
    return mil_program_output(b->program, b->block, "out", b->x, &y, &err);
}

static mil_status step_list(built *b, mil_value y) {
    (void)y;
    mil_arg args[] = {{.name = "probabilities", .kind = MIL_ARG_VALUE, .value = b->x},
                      {.name = "classes", .kind = MIL_ARG_INTS, .data = (int64_t[]){5, 6, 7, 8}, .n = 4, .rank = 1}};
    mil_value outs[2];
    size_t n;
    return mil_program_add(b->program, b->block, mil_op_find("classify"), args, 2, "classified", (mil_where){NULL, 0}, outs, 2, &n, &err);
}

/* Tries each step with the first allocation failing, the second and so on; the program is of such a size that its tables
 * must grow sooner or later. */
static void unchanged_without_memory(void) {
    static mil_status (*const steps[])(built *, mil_value) = {step_input, step_add, step_rename, step_output, step_identity, step_list};
    long failures[sizeof steps / sizeof *steps] = {0};
    mil_set_allocator(test_realloc, NULL);
    for (int size = 0; size < 140; size++)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            built b = a_program();
            mil_value y = b.x, out;
            for (int i = 0; i <= size; i++) CHECK_OK(add(&b, "relu", b.x, NULL, "a script.lua", &y), &err);
            for (int i = 0; i < size % 9; i++)
                CHECK_OK(mil_program_output(b.program, b.block, (char[]){'o', (char)('a' + i), 0}, b.x, &out, &err), &err);
            char *before = printed(&b);
            mil_status status = MIL_ENOMEM;
            for (long n = 1; status == MIL_ENOMEM; n++) {
                test_alloc.calls = 0, test_alloc.fail_at = n;
                status = steps[s](&b, y);
                test_alloc.fail_at = 0;
                if (status == MIL_OK) break;
                failures[s]++;
                char *after = printed(&b);
                if (!CHECK_STATUS(status, MIL_ENOMEM, &err) || !CHECK_EQ(after, before)) n = 1000, status = MIL_OK;
                CHECK_EQ(mil_value_find(b.program, b.block, mil_value_name(b.program, y)), y);
                mil_free(after);
            }
            mil_free(before);
            mil_program_free(b.program);
        }
    mil_set_allocator(NULL, NULL);
    CHECK_EQ(test_alloc.live, 0);
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) CHECK(failures[s] > 0);
}

/* ---- equal small literals are one tensor; what is recalled is forgotten when an addition fails ---- */

static mil_status times(const built *b, double factor, const char *op, mil_value *out) {
    mil_arg args[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = b->x},
                      {.name = "y", .kind = MIL_ARG_NUMBERS, .data = &factor, .n = 1}};
    size_t n;
    return mil_program_add(b->program, b->block, mil_op_find(op), args, 2, NULL, (mil_where){NULL, 0}, out, 1, &n, &err);
}

/* The const that an operation has for y. */
static const mil_tensor *factor_of(const built *b, mil_value result) {
    mil_operation op = mil_value_operation(b->program, result);
    const mil_value *values;
    size_t n;
    CHECK_EQ(mil_operation_arg(b->program, op, 1, &values, &n), "y");
    return mil_value_data(b->program, values[0]);
}

static void equal_literals(void) {
    built b = a_program();
    mil_value one, two, other, after;
    CHECK_OK(times(&b, 1.5, "mul", &one), &err);
    CHECK_OK(times(&b, 1.5, "add", &two), &err);
    CHECK_OK(times(&b, 2.5, "mul", &other), &err);
    CHECK(factor_of(&b, one) == factor_of(&b, two));
    CHECK(factor_of(&b, one) != factor_of(&b, other));
    /* a literal of an operation that fails goes with it: 3.5 is made, then logical_and refuses floats */
    CHECK_STATUS(times(&b, 3.5, "logical_and", &after), MIL_ETYPE, &err);
    for (double factor = 3.5; factor < 8; factor += 1) {
        CHECK_OK(times(&b, factor, "mul", &after), &err);
        CHECK_EQ(*(const float *)mil_tensor_data((mil_tensor *)factor_of(&b, after)), (float)factor);
    }
    CHECK_EQ(*(const float *)mil_tensor_data((mil_tensor *)factor_of(&b, one)), 1.5f);
    mil_program_free(b.program);
}

TEST_MAIN(CASE(equal_literals), CASE(foreign_dims), CASE(removes_functions), CASE(removes_open_blocks), CASE(inputs_have_a_limit), CASE(shapes_of_inputs), CASE(files_after_failures), CASE(unknown_op), CASE(renames),
          CASE(another_number_of_results), CASE(verify_finds_wrong_types), CASE(undo_of_blocks), CASE(unchanged_without_memory))
