/* SPDX-License-Identifier: MIT */
/* The passes, one by one, on programs of a few operations: what is left after a pass and dce, as text. */
#include "test.h"

#include "passes/pass.h"

typedef mil_status pass(mil_program *program, mil_error *err);

typedef struct row {
    const char *name;
    pass *pass;
    const char *inputs, *body, *outputs;
    const char *left; /* operations, a line each; NULL: as before */
    const char *left_outputs; /* NULL: as before */
} row;

#define X     "tensor<fp32, [2, 3]> x"
#define XS    "tensor<fp32, [?, 3]> x"
#define T     "tensor<fp32, [2, 3]> "
#define RELU  T "y = relu(x = x);\n"

static const row rows[] = {
    /* dce */
    {"dce takes chains, backwards", mil__pass_dce, X, RELU T "a = exp(x = x);\n" T "b = exp(x = a);\n", "y", RELU, NULL},
    {"dce keeps what is an output", mil__pass_dce, X, RELU T "a = exp(x = x);\n", "y, a", NULL, NULL},
    {"dce keeps what one of several results needs", mil__pass_dce, X,
     "tensor<fp32, [2, 1]> a, tensor<fp32, [2, 1]> b, tensor<fp32, [2, 1]> c = split(axis = int32(1), num_splits = int32(3), x = x);\n",
     "b", NULL, NULL},
    /* cse */
    {"cse joins equal operations", mil__pass_cse, X, T "a = exp(x = x);\n" T "b = exp(x = x);\n" T "y = add(x = a, y = b);\n", "y",
     T "a = exp(x = x);\n" T "y = add(x = a, y = a);\n", NULL},
    {"cse joins what becomes equal", mil__pass_cse, X,
     T "a = exp(x = x);\n" T "b = exp(x = x);\n" T "c = relu(x = a);\n" T "d = relu(x = b);\n" T "y = add(x = c, y = d);\n", "y",
     T "a = exp(x = x);\n" T "c = relu(x = a);\n" T "y = add(x = c, y = c);\n", NULL},
    {"cse joins outputs", mil__pass_cse, X, T "a = exp(x = x);\n" T "b = exp(x = x);\n", "a, b", T "a = exp(x = x);\n", "a, a"},
    {"cse sees the order of operands", mil__pass_cse, X,
     T "a = exp(x = x);\n" T "b = sub(x = a, y = x);\n" T "c = sub(x = x, y = a);\n" T "y = add(x = b, y = c);\n", "y", NULL, NULL},
    {"cse sees parameters", mil__pass_cse, X,
     T "a = softmax(axis = int32(0), x = x);\n" T "b = softmax(axis = int32(1), x = x);\n" T "y = add(x = a, y = b);\n", "y", NULL, NULL},
    {"cse sees which parameter", mil__pass_cse, X,
     T "a = clip(alpha = fp32(0x1p+0), beta = fp32(0x1p+1), x = x);\n" T "b = clip(alpha = fp32(0x1p+0), beta = fp32(0x1p+2), x = x);\n"
     T "y = add(x = a, y = b);\n", "y", NULL, NULL},
    {"cse tells -0 from 0", mil__pass_cse, X,
     T "a = pow(x = fp32(0x0p+0), y = x);\n" T "b = pow(x = fp32(-0x0p+0), y = x);\n" T "y = add(x = a, y = b);\n", "y", NULL, NULL},
    {"cse joins operations of several results", mil__pass_cse, X,
     "tensor<fp32, [1, 3]> a, tensor<fp32, [1, 3]> b = split(axis = int32(0), num_splits = int32(2), x = x);\n"
     "tensor<fp32, [1, 3]> c, tensor<fp32, [1, 3]> d = split(axis = int32(0), num_splits = int32(2), x = x);\n"
     "tensor<fp32, [1, 3]> y = sub(x = a, y = d);\n", "y",
     "tensor<fp32, [1, 3]> a, tensor<fp32, [1, 3]> b = split(axis = int32(0), num_splits = int32(2), x = x);\n"
     "tensor<fp32, [1, 3]> y = sub(x = a, y = b);\n", NULL},
    /* simplify: movements */
    {"a transpose that moves nothing", mil__pass_simplify, X,
     T "a = transpose(perm = tensor<int32, [2]>([0, -1]), x = x);\n" T "y = relu(x = a);\n", "y", RELU, NULL},
    {"a transpose of equal extents moves", mil__pass_simplify, "tensor<fp32, [3, 3]> x",
     "tensor<fp32, [3, 3]> y = transpose(perm = tensor<int32, [2]>([1, 0]), x = x);\n", "y", NULL, NULL},
    {"a reversal is no whole slice", mil__pass_simplify, X,
     T "y = slice_by_index(begin = tensor<int32, [2]>([-1, 0]), begin_mask = tensor<bool, [2]>([true, true]), "
     "end = tensor<int32, [2]>([0, 3]), end_mask = tensor<bool, [2]>([true, true]), stride = tensor<int32, [2]>([-1, 1]), x = x);\n",
     "y", NULL, NULL},
    {"a slice of all", mil__pass_simplify, X,
     T "a = slice_by_index(begin = tensor<int32, [2]>([0, 0]), end = tensor<int32, [2]>([2, 3]), x = x);\n" T "y = relu(x = a);\n", "y",
     RELU, NULL},
    {"of two reshapes the last", mil__pass_simplify, X,
     "tensor<fp32, [6]> a = reshape(shape = tensor<int32, [1]>([6]), x = x);\n"
     "tensor<fp32, [3, 2]> y = reshape(shape = tensor<int32, [2]>([3, -1]), x = a);\n", "y",
     "tensor<fp32, [3, 2]> y = reshape(shape = tensor<int32, [2]>([3, -1]), x = x);\n", NULL},
    {"a copied extent is the inner one's", mil__pass_simplify, X,
     "tensor<fp32, [3, 2, 1]> a = reshape(shape = tensor<int32, [3]>([3, 2, 1]), x = x);\n"
     "tensor<fp32, [3, 1, 2]> y = reshape(shape = tensor<int32, [3]>([0, 1, 2]), x = a);\n", "y", NULL, NULL},
    {"no padding", mil__pass_simplify, X,
     T "a = pad(constant_val = fp32(0x1p+0), mode = string(\"constant\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), x = x);\n"
     T "y = relu(x = a);\n", "y", RELU, NULL},
    {"a concat of one", mil__pass_simplify, X,
     T "a = concat(axis = int32(0), interleave = bool(false), values = (x));\n" T "y = relu(x = a);\n", "y", RELU, NULL},
    {"a cast to the same", mil__pass_simplify, X, T "a = cast(dtype = string(\"fp32\"), x = x);\n" T "y = relu(x = a);\n", "y", RELU, NULL},
    {"a cast to another", mil__pass_simplify, X,
     "tensor<fp16, [2, 3]> a = cast(dtype = string(\"fp16\"), x = x);\n" T "y = cast(dtype = string(\"fp32\"), x = a);\n", "y", NULL, NULL},
    {"unknown extents may differ", mil__pass_simplify, XS,
     "tensor<fp32, [?, 3]> y = tile(reps = tensor<int32, [2]>([2, 1]), x = x);\n", "y", NULL, NULL},
    /* simplify: arithmetic */
    {"0 + x, x - 0, x * 1, x / 1, x ^ 1", mil__pass_simplify, X,
     T "a = add(x = fp32(0x0p+0), y = x);\n" T "b = sub(x = a, y = fp32(0x0p+0));\n" T "c = mul(x = b, y = fp32(0x1p+0));\n"
     T "d = real_div(x = c, y = fp32(0x1p+0));\n" T "e = pow(x = d, y = fp32(0x1p+0));\n" T "y = relu(x = e);\n", "y", RELU, NULL},
    {"0 - x and 1 / x are not x", mil__pass_simplify, X,
     T "a = sub(x = fp32(0x0p+0), y = x);\n" T "b = real_div(x = fp32(0x1p+0), y = a);\n" T "y = pow(x = fp32(0x1p+0), y = b);\n", "y", NULL, NULL},
    {"x * 0 is not 0 (nan, inf)", mil__pass_simplify, X, T "y = mul(x = x, y = fp32(0x0p+0));\n", "y", NULL, NULL},
    {"adding zeros that broadcast is no identity", mil__pass_simplify, "tensor<fp32, [3]> x",
     T "y = add(x = x, y = tensor<fp32, [2, 3]>([[0x0p+0, 0x0p+0, 0x0p+0], [0x0p+0, 0x0p+0, 0x0p+0]]));\n", "y", NULL, NULL},
    {"a scalar that gets a rank stays", mil__pass_simplify, "fp32 x",
     "tensor<fp32, [1]> y = add(x = x, y = tensor<fp32, [1]>([0x0p+0]));\n", "y", NULL, NULL},
    /* fold */
    {"fold takes what is known", mil__pass_fold, X,
     "fp32 a = exp(x = fp32(0x0p+0));\n" "fp32 b = add(x = a, y = fp32(0x1p+0));\n" T "y = mul(x = x, y = b);\n", "y",
     T "y = mul(x = x, y = fp32(0x1p+1));\n", NULL},
    {"fold takes the shape of what is static", mil__pass_fold, X,
     "tensor<int32, [2]> s = shape(x = x);\n" T "y = reshape(shape = s, x = x);\n", "y",
     T "y = reshape(shape = tensor<int32, [2]>([2, 3]), x = x);\n", NULL},
    {"fold leaves what only the run knows", mil__pass_fold, XS,
     "tensor<int32, [2]> s = shape(x = x);\n" "tensor<fp32, [?, 3]> y = reshape(shape = s, x = x);\n", "y", NULL, NULL},
};

static char *program_text(const char *inputs, const char *body, const char *outputs) {
    static char text[8192];
    snprintf(text, sizeof text, "program(1.3)\n{\n    func main<ios18>(%s) {\n%s        } -> (%s);\n}", inputs, body, outputs);
    return text;
}

/* The operations' lines without their indentation. */
static void cut_indent(char *text) {
    char *to = text;
    for (const char *from = text; *from;) {
        if (strncmp(from, "            ", 12) == 0) from += 12;
        size_t n = strcspn(from, "\n") + (strchr(from, '\n') != NULL);
        memmove(to, from, n);
        to += n, from += n;
    }
    *to = 0;
}

static void check_row(const row *r) {
    mil_error err = {0};
    mil_program *program = NULL;
    char *printed = NULL;
    test_row = r->name;
    const char *before = program_text(r->inputs, r->body, r->outputs);
    if (!CHECK_OK(mil_text_parse(before, strlen(before), NULL, &program, &err), &err)) return;
    CHECK_OK(r->pass(program, &err), &err);
    CHECK_OK(mil__pass_dce(program, &err), &err);
    CHECK_OK(mil_program_verify(program, &err), &err);
    if (CHECK_OK(mil_text_print(program, &printed, NULL, &err), &err)) {
        cut_indent(printed);
        const char *wanted = program_text(r->inputs, r->left ? r->left : r->body, r->left_outputs ? r->left_outputs : r->outputs);
        CHECK_EQ((const char *)printed, wanted);
    }
    mil_free(printed);
    mil_program_free(program);
}

static void one_by_one(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(&rows[i]);
}

TEST_MAIN(CASE(one_by_one))
