/* SPDX-License-Identifier: MIT */
/* Lowering: what the lowered program is, line by line, for a few; how ports are laid out; what is refused; every allocation fails
 * once. Results are compared in tests/spec/lowering_spec.lua. */
#include "test.h"

static mil_program *parse(const char *body) {
    char text[8192];
    mil_error err = {0};
    mil_program *program = NULL;
    snprintf(text, sizeof text, "program(1.3)\n{\n func main<ios18>%s;\n}", body);
    CHECK_OK(mil_text_parse(text, strlen(text), &(mil_text_options){.name = "test.mil"}, &program, &err), &err);
    return program;
}

/* Ops of the lowered function, in order: "slice_by_size reshape conv". */
static void ops_of(const mil_program *program, char *out, size_t n) {
    size_t at = 0;
    out[0] = 0;
    for (mil_operation op = mil_block_first(program, mil_program_function_at(program, 0)); op; op = mil_operation_next(program, op)) {
        const char *name = mil_op_name(mil_operation_op(program, op));
        if (strcmp(name, "const") != 0) at += (size_t)snprintf(out + at, n - at, "%s%s", at ? " " : "", name);
    }
}

static void type_of(const mil_program *program, mil_value value, char *out, size_t n) {
    mil_program_type_text(program, mil_value_type(program, value), out, n);
}

#define MLP                                                                                                                  \
    "(tensor<fp32, [1, 40, 4]> x) {\n"                                                                                       \
    " tensor<fp32, [2, 4]> w = const()[name = string(\"w\"), val = tensor<fp32, [2, 4]>([[1, 2, 3, 4], [5, 6, 7, 8]])];\n"   \
    " tensor<fp32, [2]> b = const()[name = string(\"b\"), val = tensor<fp32, [2]>([1, 2])];\n"                               \
    " tensor<fp32, [1, 40, 2]> h = linear(x = x, weight = w, bias = b)[name = string(\"h\")];\n"                             \
    " tensor<fp32, [1, 40, 2]> y = relu(x = h)[name = string(\"y\")];\n} -> (y)"

#define CONV(type, x, shape, more)                                                                                           \
    "(tensor<fp16, [" x "]> x) {\n"                                                                                          \
    " tensor<fp16, [" shape "]> w = fill(shape = tensor<int32, [4]>([" shape "]), value = fp16(0.5))[name = string(\"w\")];\n" \
    " tensor<fp16, [" type "]> y = conv(x = x, weight = w, " more ")[name = string(\"y\")];\n} -> (y)"
#define SOFTMAX(n) "(tensor<fp16, [1, 4, 1, " n "]> x) { tensor<fp16, [1, 4, 1, " n "]> y = softmax(x = x, axis = int32(3))[name = string(\"y\")]; } -> (y)"

static const struct {
    const char *body, *route;
    bool fp32;
    const char *input, *output, *ops;
} rows[] = {
    /* tokens are padded to a multiple of 32; channels need no transpose */
    {MLP, "direct", false, "fp16[1, 4, 1, 64]", "fp16[1, 2, 1, 64]", "slice_by_size conv add relu pad"},
    {MLP, "direct", true, "fp32[1, 4, 1, 48]", "fp32[1, 2, 1, 48]", "cast slice_by_size conv add relu pad cast"},
    {MLP, "e5rt", false, "fp16[1, 4, 1, 40]", "fp16[1, 2, 1, 40]", "conv add relu"},
    {"(tensor<fp16, [1, 3, 8, 32]> x) { tensor<fp16, [1, 3, 8, 32]> y = relu(x = x)[name = string(\"y\")]; } -> (y)", "direct", false,
     "fp16[1, 24, 1, 32]", "fp16[1, 24, 1, 32]", "reshape relu reshape"},
    {"(tensor<fp16, [1, 3, 8, 9]> x) { tensor<fp16, [1, 3, 8, 9]> y = relu(x = x)[name = string(\"y\")]; } -> (y)", "direct", false,
     "fp16[1, 3, 1, 96]", "fp16[1, 3, 1, 96]", "slice_by_size reshape relu reshape pad"},
    {"(tensor<fp16, [1, 3, 8, 9]> x) { tensor<fp16, [1, 3, 8, 9]> y = relu(x = x)[name = string(\"y\")]; } -> (y)", "e5rt", false,
     "fp16[1, 3, 8, 9]", "fp16[1, 3, 8, 9]", "relu"},
    {"(tensor<fp16, [64]> x) { tensor<fp16, [64]> y = identity(x = x)[name = string(\"y\")]; } -> (y)", "direct", false,
     "fp16[1, 1, 1, 64]", "fp16[1, 1, 1, 64]", "mul"},
    /* a kernel of 32 columns is three: the first sees all but the last columns of x, and so on */
    {CONV("1, 2, 1, 1", "1, 2, 1, 32", "2, 2, 1, 32", "pad_type = string(\"valid\")"), "e5rt", false, "fp16[1, 2, 1, 32]", "fp16[1, 2, 1, 1]",
     "slice_by_size conv slice_by_size conv add slice_by_size conv add"},
    /* patches of 16 by 16 */
    {CONV("1, 2, 2, 4", "1, 1, 32, 64", "2, 1, 16, 16", "strides = tensor<int32, [2]>([16, 16])"), "e5rt", false, "fp16[1, 1, 32, 64]", "fp16[1, 2, 2, 4]",
     "reshape transpose reshape transpose reshape conv"},
    {CONV("1, 2, 4, 4", "1, 2, 8, 8", "2, 2, 3, 3", "strides = tensor<int32, [2]>([2, 2]), pad_type = string(\"same\")"), "e5rt", false, "fp16[1, 2, 8, 8]",
     "fp16[1, 2, 4, 4]", "conv"},
    {SOFTMAX("64"), "direct", false, "fp16[1, 4, 1, 64]", "fp16[1, 4, 1, 64]", "softmax"},
    {SOFTMAX("96"), "direct", false, "fp16[1, 4, 1, 96]", "fp16[1, 4, 1, 96]", "pad softmax slice_by_size"},
    {SOFTMAX("96"), "e5rt", false, "fp16[1, 4, 1, 96]", "fp16[1, 4, 1, 96]", "softmax"},
};

static void lowers(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_error err = {0};
        mil_lowered *lowered = NULL;
        mil_lower_options options = {.route = rows[i].route, .fp32_ports = rows[i].fp32};
        char text[512];
        test_row = rows[i].ops;
        mil_program *program = parse(rows[i].body);
        if (program && CHECK_OK(mil_program_lower(program, &options, &lowered, &err), &err)) {
            mil_block main = mil_program_function_at(lowered->program, 0);
            ops_of(lowered->program, text, sizeof text);
            CHECK_EQ((const char *)text, rows[i].ops);
            type_of(lowered->program, mil_block_input(lowered->program, main, 0), text, sizeof text);
            CHECK_EQ((const char *)text, rows[i].input);
            type_of(lowered->program, mil_block_output(lowered->program, main, 0), text, sizeof text);
            CHECK_EQ((const char *)text, rows[i].output);
            CHECK_OK(mil_program_verify(lowered->program, &err), &err);
        }
        mil_lowered_free(lowered);
        mil_program_free(program);
    }
}

/* The lowered program has text for the engine, in both spellings. */
static void has_text(void) {
    mil_program *program = parse(MLP);
    mil_lowered *lowered = NULL;
    CHECK_OK(mil_program_lower(program, NULL, &lowered, NULL), NULL);
    for (int is_long = 0; lowered && is_long < 2; is_long++) {
        mil_error err = {0};
        mil_dialect *dialect = NULL;
        CHECK_OK(mil_text_dialect(lowered->program, &(mil_dialect_options){.is_long = is_long}, &dialect, &err), &err);
        mil_dialect_free(dialect);
    }
    mil_lowered_free(lowered);
    mil_program_free(program);
}

/* Names that do not ascend get a number before; a view says where an element is. */
static void ports(void) {
    mil_program *program = parse("(tensor<fp32, [2, 3, 32]> b, tensor<fp32, [2, 3, 32]> a) {\n"
                                 " tensor<fp32, [2, 3, 32]> z = sub(x = b, y = a)[name = string(\"z\")];\n"
                                 " tensor<fp32, [2, 3, 32]> y = mul(x = b, y = a)[name = string(\"y\")];\n} -> (z, y)");
    mil_lowered *lowered = NULL;
    CHECK_OK(mil_program_lower(program, NULL, &lowered, NULL), NULL);
    if (lowered) {
        static const char *const names[] = {"i0_b", "i1_a", "o0_z", "o1_y"};
        mil_block main = mil_program_function_at(lowered->program, 0);
        const mil_lowered_view *view = &lowered->outputs[1];
        CHECK_EQ(mil_value_name(lowered->program, mil_block_input(lowered->program, main, 0)), names[0]);
        CHECK_EQ(mil_value_name(lowered->program, mil_block_input(lowered->program, main, 1)), names[1]);
        CHECK_EQ(mil_value_name(lowered->program, mil_block_output(lowered->program, main, 0)), names[2]);
        CHECK_EQ(mil_value_name(lowered->program, mil_block_output(lowered->program, main, 1)), names[3]);
        CHECK_EQ(view->name, (const char *)"y");
        CHECK_EQ(view->dtype, MIL_FP32);
        CHECK_EQ(view->axis[0], 1);
        CHECK_EQ(view->step[0], 3);
        CHECK_EQ(view->axis[2], 3);
        mil_lowered_free(lowered);
    }
    mil_program_free(program);
}

/* Text for the engine has no @ in a name; what a port is called is what the engine reports of it. */
static void port_names(void) {
    mil_program *program = parse("(tensor<fp16, [32]> a@b, tensor<fp16, [32]> a_b) {\n"
                                 " tensor<fp16, [32]> y@1 = sub(x = a@b, y = a_b)[name = string(\"y@1\")];\n"
                                 " tensor<fp16, [32]> y_1 = relu(x = y@1)[name = string(\"y_1\")];\n} -> (y_1)");
    mil_lowered *lowered = NULL;
    mil_dialect *dialect = NULL;
    CHECK_OK(mil_program_lower(program, NULL, &lowered, NULL), NULL);
    if (lowered && CHECK_OK(mil_text_dialect(lowered->program, NULL, &dialect, NULL), NULL)) {
        mil_block main = mil_program_function_at(lowered->program, 0);
        CHECK_EQ(mil_value_name(lowered->program, mil_block_input(lowered->program, main, 0)), (const char *)"i0_a_b");
        CHECK_EQ(mil_value_name(lowered->program, mil_block_input(lowered->program, main, 1)), (const char *)"i1_a_b");
        CHECK_HAS(dialect->text, "y_1_1 = sub(x = i0_a_b, y = i1_a_b)");
        CHECK_HAS(dialect->text, "y_1 = relu(x = y_1_1)");
    }
    mil_dialect_free(dialect);
    mil_lowered_free(lowered);
    mil_program_free(program);
}

static const struct {
    const char *body;
    mil_lower_options options;
    mil_status status;
    const char *message;
} refused[] = {
    {"(tensor<fp16, [1, ?]> x) { tensor<fp16, [1, ?]> y = relu(x = x)[name = string(\"y\")]; } -> (y)", {0}, MIL_ETYPE, "has a size that is not fixed (f:fix gives it one): the Neural Engine's programs have fixed ones"},
    {"(tensor<int32, [4]> x) { tensor<fp16, [4]> y = cast(x = x, dtype = string(\"fp16\"))[name = string(\"y\")]; } -> (y)", {0}, MIL_EUNSUPPORTED,
     "input x, int32[4], can't be a port"},
    {"(tensor<fp16, [4]> x) { tensor<int32, [1]> y = reduce_argmax(x = x, keep_dims = bool(true))[name = string(\"y\")]; } -> (y)", {0},
     MIL_EUNSUPPORTED, "output y, int32[1], can't be a port"},
    {"(tensor<fp16, [9223372036854775807]> x) { tensor<fp16, [9223372036854775807]> y = relu(x = x)[name = string(\"y\")]; } -> (y)", {0},
     MIL_EUNSUPPORTED, "x, fp16[9223372036854775807], is larger than anything"},
    {"(tensor<fp16, [1048576, 1]> x, tensor<fp16, [2097152]> z) { tensor<fp16, [1048576, 2097152]> y = add(x = x, y = z)[name = string(\"y\")]; } -> (y)",
     {.pack = true}, MIL_EUNSUPPORTED, "y, fp16[1048576, 2097152], is larger than anything"},
    {"(state<tensor<int32, [4]>> s) { tensor<int32, [4]> v = read_state(input = s)[name = string(\"v\")]; tensor<fp16, [4]> y = cast(x = v, dtype = string(\"fp16\"))[name = string(\"y\")]; } -> (y)",
     {0}, MIL_EUNSUPPORTED, "state s, int32[4], can't be a port of the Neural Engine"},
    {"(tensor<fp16, [4]> x, state<tensor<fp16, [4]>> s) { tensor<fp16, [4]> c = const()[name = string(\"c\"), val = tensor<fp16, [4]>([1, 2, 3, 4])];\n"
     " write_state(data = c, input = s)[name = string(\"w\")];\n tensor<fp16, [4]> y = relu(x = x)[name = string(\"y\")]; } -> (y)",
     {0}, MIL_EUNSUPPORTED, "write_state: state s is written a const"},
    {MLP, {.engine = "gpu"}, MIL_EINVAL, "engine is \"ane\", not \"gpu\""},
    {MLP, {.route = "fast"}, MIL_EINVAL, "route is \"direct\" or \"e5rt\", not \"fast\""},
    {MLP, {.chip = "A17"}, MIL_EINVAL, "chip is M1, M2 and so on, not \"A17\""},
    {MLP, {.chip = "M"}, MIL_EINVAL, "chip is M1, M2 and so on, not \"M\""},
    {MLP, {.chip = "M1x"}, MIL_EINVAL, "chip is M1, M2 and so on, not \"M1x\""},
    {MLP, {.chip = "Apple m10 Max", .route = "fast"}, MIL_EINVAL, "route is"}, /* it is one */
    {MLP, {.entry = "prefill"}, MIL_ENAME, "there is no function \"prefill\""},
};

static void refuses(void) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        mil_error err = {0};
        mil_lowered *lowered = NULL;
        mil_program *program = parse(refused[i].body);
        test_row = refused[i].message;
        if (program) CHECK_STATUS(mil_program_lower(program, &refused[i].options, &lowered, &err), refused[i].status, &err);
        CHECK_HAS(err.message, refused[i].message);
        CHECK(lowered == NULL);
        mil_program_free(program);
    }
}

/* ---- out of memory ---- */

static mil_status lower_once(void *ctx, mil_error *err) {
    mil_lowered *lowered;
    mil_status status = mil_program_lower(ctx, NULL, &lowered, err);
    mil_lowered_free(lowered);
    return status;
}

static const char many[] =
    "(tensor<fp32, [1, 4, 4]> x, tensor<bool, [4, 4]> m) {\n"
    " tensor<fp32, [4, 4]> w = const()[name = string(\"w\"), val = tensor<fp32, [4, 4]>([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 1e9], [1, 1, 1, 1]])];\n"
    " tensor<fp32, [1, 4, 4]> n = layer_norm(x = x, axes = tensor<int32, [1]>([-1]))[name = string(\"n\")];\n"
    " tensor<fp32, [1, 4, 4]> h = matmul(x = n, y = w)[name = string(\"h\")];\n"
    " tensor<fp32, [2, 4]> a = constexpr_affine_dequantize()[axis = int32(0), name = string(\"a\"), quantized_data = tensor<int8, [2, 4]>([[1, 2, 3, 4], [5, 6, 7, 8]]),"
    " scale = tensor<fp32, [2]>([1, 2]), zero_point = int8(0)];\n"
    " tensor<fp32, [1, 4, 2]> q = linear(x = h, weight = a)[name = string(\"q\")];\n"
    " tensor<fp32, [4, 2]> e = constexpr_blockwise_shift_scale(data = tensor<int8, [4, 2]>([[1, 2], [3, 4], [5, 6], [7, 8]]), scale = tensor<fp32, [4, 1]>([[1], [2], [3], [4]]))[name = string(\"e\")];\n"
    " tensor<fp32, [1, 4, 4]> o = linear(x = q, weight = e)[name = string(\"o\")];\n"
    " tensor<fp32, [1, 4, 4]> g = gelu(x = h)[name = string(\"g\")];\n"
    " tensor<fp32, [1, 4, 4]> c = cumsum(x = g, axis = int32(1))[name = string(\"c\")];\n"
    " tensor<fp32, [1, 4, 4]> s = scaled_dot_product_attention(query = c, key = h, value = n, attn_mask = m)[name = string(\"s\")];\n"
    " tensor<fp32, [1, 3, 4]> k = gather(x = s, indices = tensor<int32, [3]>([2, 0, 1]), axis = int32(1))[name = string(\"k\")];\n"
    " tensor<fp32, [1, 4, 3]> t = transpose(x = k, perm = tensor<int32, [3]>([0, 2, 1]))[name = string(\"t\")];\n"
    " tensor<fp32, [1, 4]> r = reduce_mean(x = t, axes = tensor<int32, [1]>([2]))[name = string(\"r\")];\n"
    "} -> (t, r, g, o)";

/* Rewrites that make several operations, weights and lists of pieces. */
static const char more[] =
    "(tensor<fp16, [1, 3, 3, 8]> x, tensor<fp16, [2, 3, 2, 2]> k, tensor<fp16, [1, 3, 2, 3, 8]> d) {\n"
    " tensor<fp16, [2, 3, 1, 20]> w = fill(shape = tensor<int32, [4]>([2, 3, 1, 20]), value = fp16(0.5))[name = string(\"w\")];\n"
    " tensor<fp16, [1, 2, 3, 8]> a = conv(x = x, weight = w, pad_type = string(\"same\"))[name = string(\"a\")];\n"
    " tensor<fp16, [2, 3, 3, 4]> p = fill(shape = tensor<int32, [4]>([2, 3, 3, 4]), value = fp16(0.5))[name = string(\"p\")];\n"
    " tensor<fp16, [1, 2, 1, 2]> b = conv(x = x, weight = p, strides = tensor<int32, [2]>([3, 4]))[name = string(\"b\")];\n"
    " tensor<fp16, [1, 2, 2, 7]> c = conv(x = x, weight = k)[name = string(\"c\")];\n"
    " tensor<fp16, [2, 3, 2, 1, 1]> v = fill(shape = tensor<int32, [5]>([2, 3, 2, 1, 1]), value = fp16(0.5))[name = string(\"v\")];\n"
    " tensor<fp16, [1, 2, 1, 3, 8]> e = conv(x = d, weight = v)[name = string(\"e\")];\n"
    " tensor<fp16, [3, 2, 1, 16]> t = fill(shape = tensor<int32, [4]>([3, 2, 1, 16]), value = fp16(0.5))[name = string(\"t\")];\n"
    " tensor<fp16, [1, 2, 3, 72]> g = conv_transpose(x = x, weight = t, strides = tensor<int32, [2]>([1, 8]))[name = string(\"g\")];\n"
    " tensor<fp16, [1, 3, 3, 8]> s = softmax(x = x, axis = int32(2))[name = string(\"s\")];\n"
    " tensor<fp16, [1, 3, 3, 13]> h = pad(x = s, pad = tensor<int32, [2]>([2, 3]), mode = string(\"reflect\"))[name = string(\"h\")];\n"
    " tensor<fp16, [1, 3, 3, 1]> i = reduce_prod(x = h, axes = tensor<int32, [1]>([3]), keep_dims = bool(true))[name = string(\"i\")];\n"
    " tensor<fp16, [1, 3, 3, 8]> n = local_response_norm(x = x, size = int32(3))[name = string(\"n\")];\n"
    " tensor<fp16, [1, 3, 2, 2, 8]> m = sliding_windows(x = n, axis = int32(2), size = int32(2))[name = string(\"m\")];\n"
    " tensor<fp16, [1, 3, 3, 8]> z = band_part(x = x, lower = int32(0), upper = int32(1))[name = string(\"z\")];\n"
    "} -> (a, b, c, e, g, i, m, z)";

static mil_status lower_for_m1(void *ctx, mil_error *err) {
    mil_lowered *lowered;
    mil_status status = mil_program_lower(ctx, &(mil_lower_options){.chip = "M1"}, &lowered, err);
    mil_lowered_free(lowered);
    return status;
}

static void every_allocation(void) {
    mil_set_allocator(test_realloc, NULL);
    mil_program *program = parse(many);
    if (program) CHECK(test_each_allocation(lower_once, program) > 50);
    mil_program_free(program);
    program = parse(more);
    if (program) CHECK(test_each_allocation(lower_for_m1, program) > 50);
    mil_program_free(program);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(lowers), CASE(has_text), CASE(ports), CASE(port_names), CASE(refuses), CASE(every_allocation))
