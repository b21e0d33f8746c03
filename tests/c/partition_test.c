/* SPDX-License-Identifier: MIT */
/* Functions divided between two engines: into the parts that rows say, and, at random, so that the parts, cut out and run one after the
 * other, give what the whole gives. */
#include "test.h"

#include "passes/partition.h"

/* Those of these ops stay on the cpu. */
static bool takes(void *ctx, mil_operation operation) {
    const mil_program *program = ctx;
    const char *op = mil_op_name(mil_operation_op(program, operation));
    return strcmp(op, "exp") != 0 && strcmp(op, "sign") != 0;
}

static mil_program *parse(const char *body) {
    char text[8192];
    mil_error err = {0};
    mil_program *program = NULL;
    snprintf(text, sizeof text, "program(1.3)\n{\n func main<ios18>(tensor<fp32, [4]> x, tensor<fp32, [4]> y) {\n%s;\n}", body);
    CHECK_OK(mil_text_parse(text, strlen(text), &(mil_text_options){.name = "test.mil"}, &program, &err), &err);
    return program;
}

/* "E(x)->a,b" for each part, C of the cpu. */
static void describe(const mil_program *program, const mil__partition *parts, char *out, size_t n) {
    size_t at = 0;
    out[0] = 0;
    for (uint32_t p = 0; p < parts->n; p++) {
        const mil__partition_part *part = &parts->parts[p];
        at += (size_t)snprintf(out + at, n - at, "%s%c(", p ? " " : "", part->is_taken ? 'E' : 'C');
        for (uint32_t i = 0; i < part->n_inputs; i++)
            at += (size_t)snprintf(out + at, n - at, "%s%s", i ? "," : "", mil_value_name(program, part->inputs[i]));
        at += (size_t)snprintf(out + at, n - at, ")->");
        for (uint32_t i = 0; i < part->n_outputs; i++)
            at += (size_t)snprintf(out + at, n - at, "%s%s", i ? "," : "", mil_value_name(program, part->outputs[i]));
    }
}

#define OP(name, call) "tensor<fp32, [4]> " #name " = " call "[name = string(\"" #name "\")];\n"

static const struct {
    const char *body, *parts;
} rows[] = {
    {OP(a, "relu(x = x)") OP(b, "add(x = a, y = y)") "} -> (b)", "E(x,y)->b"},
    {OP(a, "exp(x = x)") OP(b, "sign(x = a)") "} -> (a, b)", "C(x)->a,b"},
    {OP(a, "relu(x = x)") OP(b, "exp(x = a)") OP(c, "mul(x = b, y = a)") "} -> (c)", "E(x)->a C(a)->b E(b,a)->c"},
    /* the drawing: what could be cut into five is cut into four */
    {OP(a, "relu(x = x)") OP(b, "tanh(x = a)") OP(c, "exp(x = b)") OP(d, "sign(x = y)") OP(e, "add(x = c, y = d)") "} -> (e)",
     "C(y)->d E(x)->b C(b)->c E(c,d)->e"},
    /* two chains side by side share parts */
    {OP(a, "relu(x = x)") OP(b, "exp(x = a)") OP(c, "relu(x = y)") OP(d, "exp(x = c)") "} -> (b, d)", "E(x,y)->a,c C(a,c)->b,d"},
    /* what is known is of no part */
    {"tensor<fp32, [4]> k = const()[name = string(\"k\"), val = tensor<fp32, [4]>([1, 2, 3, 4])];\n" OP(e, "exp(x = k)") OP(a, "add(x = x, y = e)")
         "} -> (a)", "E(x)->a"},
    {OP(a, "relu(x = x)") "} -> (a, y)", "E(x)->a"},
    /* no port has an unknown rank: from r to o is one part, though only b stays on the cpu */
    {"tensor<int32, [?, 1]> n = non_zero(x = y)[name = string(\"n\")];\n"
     "tensor<int32, [?]> s = reshape(x = n, shape = tensor<int32, [1]>([-1]))[name = string(\"s\")];\n"
     "tensor<fp32, [...]> r = reshape(x = x, shape = s)[name = string(\"r\")];\n"
     "tensor<fp32, [...]> b = exp(x = r)[name = string(\"b\")];\n"
     "tensor<fp32, [...]> c = relu(x = b)[name = string(\"c\")];\n" OP(o, "reshape(x = c, shape = tensor<int32, [1]>([4]))") "} -> (o)",
     "E(y)->s C(x,s)->o"},
};

static void divides(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_error err = {0};
        mil__partition parts;
        char text[1024];
        test_row = rows[i].parts;
        mil_program *program = parse(rows[i].body);
        if (!program) continue;
        if (CHECK_OK(mil__partition_make(program, mil_program_function_at(program, 0), takes, program, &parts, &err), &err)) {
            describe(program, &parts, text, sizeof text);
            CHECK_EQ((const char *)text, rows[i].parts);
            mil__partition_free(&parts);
        }
        mil_program_free(program);
    }
}

/* ---- at random ---- */

enum { MOST = 40 };

static unsigned next_random(unsigned *state) { return *state = *state * 1103515245u + 12345u, *state >> 16 & 0x7fff; }

static void random_body(unsigned seed, char *out, size_t n) {
    static const char *const unary[] = {"relu", "exp", "tanh", "sign", "sigmoid"};
    size_t at = 0;
    int made = 2, n_ops = 3 + (int)(next_random(&seed) % (MOST - 3));
    char names[MOST + 2][16] = {"x", "y"};
    for (int i = 0; i < n_ops; i++) {
        const char *a = names[next_random(&seed) % (unsigned)made], *b = names[next_random(&seed) % (unsigned)made];
        bool is_binary = next_random(&seed) % 2;
        snprintf(names[made], sizeof names[made], "v%d", i);
        at += (size_t)snprintf(out + at, n - at, "tensor<fp32, [4]> v%d = ", i);
        at += is_binary ? (size_t)snprintf(out + at, n - at, "minimum(x = %s, y = %s)", a, b)
                        : (size_t)snprintf(out + at, n - at, "%s(x = %s)", unary[next_random(&seed) % 5], a);
        at += (size_t)snprintf(out + at, n - at, "[name = string(\"v%d\")];\n", i);
        made++;
    }
    snprintf(out + at, n - at, "} -> (%s, %s)", names[made - 1], names[made - 2]);
}

static mil_tensor *vector(double a, double b, double c, double d) {
    mil_tensor *t = NULL;
    double values[] = {a, b, c, d};
    CHECK_OK(mil_tensor_new(MIL_FP32, 1, &(int64_t){4}, &t, NULL), NULL);
    for (int64_t i = 0; i < 4; i++) mil_tensor_set(t, &i, values[i], NULL);
    return t;
}

static void run(const mil_program *program, mil_tensor *const *inputs, mil_tensor **outputs) {
    mil_error err = {0};
    mil_model *model = NULL;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "cpu";
    if (!CHECK_OK(mil_program_compile(program, &options, &model, &err), &err)) return;
    CHECK_OK(mil_model_run(model, inputs, outputs, &err), &err);
    mil_model_free(model);
}

/* Runs each part on its own; at: values by number, what is known so far. */
static void run_parts(const mil_program *program, const mil__partition *parts, mil_tensor **at) {
    for (uint32_t p = 0; p < parts->n; p++) {
        const mil__partition_part *part = &parts->parts[p];
        mil_part cut = {part->outputs, part->n_outputs, part->inputs, part->n_inputs};
        mil_tensor *given[MOST + 2] = {NULL}, *made[MOST + 2] = {NULL};
        mil_program *piece = NULL;
        mil_error err = {0};
        if (part->n_outputs == 0) continue; /* nobody wants it */
        if (!CHECK_OK(mil_program_extract(program, &cut, &piece, &err), &err)) return;
        for (uint32_t i = 0; i < part->n_inputs; i++)
            if (!CHECK((given[i] = at[part->inputs[i]]) != NULL)) return; /* made by an earlier part */
        CHECK_EQ(mil_block_n_inputs(piece, mil_program_function_at(piece, 0)), part->n_inputs);
        run(piece, given, made);
        for (uint32_t i = 0; i < part->n_outputs; i++) at[part->outputs[i]] = made[i];
        mil_program_free(piece);
    }
}

static void adds_up(void) {
    static char body[8192], row[32];
    for (unsigned seed = 1; seed <= 60; seed++) {
        mil_tensor *given[] = {vector(-1, 0.5, 2, 3), vector(0.25, -2, 1, 0)}, *wanted[2] = {NULL}, *at[4 * MOST] = {NULL};
        mil__partition parts;
        snprintf(row, sizeof row, "seed %u", seed);
        test_row = row;
        random_body(seed * 7919, body, sizeof body);
        mil_program *program = parse(body);
        if (!program) return;
        mil_block main = mil_program_function_at(program, 0);
        run(program, given, wanted);
        CHECK_OK(mil__partition_make(program, main, takes, program, &parts, NULL), NULL);
        for (size_t i = 0; i < 2; i++) at[mil_block_input(program, main, i)] = given[i];
        run_parts(program, &parts, at);
        for (size_t i = 0; i < 2; i++) {
            mil_tensor_gap gap = {.off = 1};
            mil_tensor *got = at[mil_block_output(program, main, i)];
            if (CHECK(got && wanted[i])) CHECK_OK(mil_tensor_compare(got, wanted[i], &gap, NULL), NULL);
            CHECK(gap.off < 1e-6);
            mil_tensor_free(wanted[i]);
        }
        for (size_t i = 0; i < 4 * MOST; i++) mil_tensor_free(at[i]);
        mil__partition_free(&parts);
        mil_program_free(program);
    }
}

static mil_status make_once(void *ctx, mil_error *err) {
    mil__partition parts;
    mil_status status = mil__partition_make(ctx, mil_program_function_at(ctx, 0), takes, ctx, &parts, err);
    mil__partition_free(&parts);
    return status;
}

static void every_allocation(void) {
    mil_set_allocator(test_realloc, NULL);
    mil_program *program = parse(rows[3].body);
    CHECK(test_each_allocation(make_once, program) >= 5);
    mil_program_free(program);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(divides), CASE(adds_up), CASE(every_allocation))
