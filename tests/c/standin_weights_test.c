/* SPDX-License-Identifier: MIT */
/* Compressed weights of engine ane on the stand-in, by both routes, beside the cpu engine's results; and where the compiler refuses them. */
#include "standin_client.h"

static mil_error err;

static const char text[] =
    "program(1.3)\n{\n func main<ios18>(tensor<fp16, [1, 2, 1, 64]> x) {\n"
    "  tensor<fp16, [4, 2, 1, 1]> a = constexpr_affine_dequantize()[axis = int32(0), name = string(\"a\"),\n"
    "   quantized_data = tensor<int8, [4, 2, 1, 1]>([[[[1]], [[-2]]], [[[3]], [[4]]], [[[-5]], [[6]]], [[[7]], [[8]]]]),\n"
    "   scale = tensor<fp16, [4]>([1, 0.5, 2, 0.25]), zero_point = int8(0)];\n"
    "  tensor<fp16, [1, 4, 1, 64]> h = conv(x = x, weight = a, pad_type = string(\"valid\"))[name = string(\"h\")];\n"
    "  tensor<fp16, [2, 4, 1, 1]> p = constexpr_lut_to_dense(indices = tensor<uint4, [2, 4, 1, 1]>([[[[0]], [[3]], [[15]], [[7]]], [[[1]], [[2]], [[4]], [[8]]]]),\n"
    "   lut = tensor<fp16, [1, 1, 1, 1, 16, 1]>([[[[[[1], [2], [3], [-1], [0], [5], [6], [7], [-2], [1], [1], [1], [1], [1], [1], [4]]]]]]))[name = string(\"p\")];\n"
    "  tensor<fp16, [1, 2, 1, 64]> g = conv(x = h, weight = p, pad_type = string(\"valid\"))[name = string(\"g\")];\n"
    "  tensor<fp16, [2, 2, 1, 1]> s = constexpr_sparse_to_dense(nonzero_data = tensor<fp16, [2]>([3, -2]), mask = tensor<uint1, [2, 2, 1, 1]>([[[[1]], [[0]]], [[[0]], [[1]]]]))[name = string(\"s\")];\n"
    "  tensor<fp16, [1, 2, 1, 64]> y = conv(x = g, weight = s, pad_type = string(\"valid\"))[name = string(\"y\")];\n } -> (y);\n}\n";

static mil_status compile(const char *engine, const char *route, mil_model **out) {
    mil_program *program;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = engine, options.route = route;
    *out = NULL;
    mil_status status = mil_text_parse(text, sizeof text - 1, NULL, &program, &err);
    if (status != MIL_OK) return status;
    status = mil_program_compile(program, &options, out, &err);
    mil_program_free(program);
    return status;
}

static void gives_what_the_cpu_gives(void) {
    use_standin();
    for (int route = 0; route < 2; route++) {
        begin();
        mil_model *ours, *cpu;
        mil_tensor *x = NULL, *got = NULL, *wanted = NULL;
        mil_tensor_gap gap = {.off = 1};
        test_row = route ? "e5rt" : "direct";
        CHECK_OK(compile("ane", test_row, &ours), &err);
        CHECK_OK(compile("cpu", NULL, &cpu), &err);
        CHECK_OK(mil_tensor_new(MIL_FP16, 4, (const int64_t[]){1, 2, 1, 64}, &x, &err), &err);
        for (int64_t i = 0; i < 128; i++) CHECK_OK(mil_tensor_set(x, (const int64_t[]){0, i / 64, 0, i % 64}, (double)(i % 7) - 3, &err), &err);
        CHECK_OK(mil_model_run(ours, &x, &got, &err), &err);
        CHECK_OK(mil_model_run(cpu, &x, &wanted, &err), &err);
        CHECK_OK(mil_tensor_compare(got, wanted, &gap, &err), &err);
        CHECK_EQ(gap.off, 0.0);
        mil_tensor_free(x), mil_tensor_free(got), mil_tensor_free(wanted);
        mil_model_free(ours), mil_model_free(cpu);
        end(0);
    }
}

/* Refused with compressed weights and without: what is said counts once, and nothing is left. */
static void is_refused(void) {
    static const char *const names[] = {"_ANEInMemoryModel compileWithQoS:options:error:", "e5rt_e5_compiler_compile"};
    use_standin();
    for (int route = 0; route < 2; route++) {
        mil_model *ours;
        begin();
        CHECK_OK(compile("ane", route ? "e5rt" : "direct", &ours), &err); /* what is found out on the machine is known */
        mil_model_free(ours);
        CONTROL(void, reset, void)();
        long before = CONTROL(long, calls, const char *)(names[route]);
        CONTROL(void, fail_named, const char *)(names[route]);
        test_row = names[route];
        mil_status status = compile("ane", route ? "e5rt" : "direct", &ours);
        CHECK(status != MIL_OK && !ours && *err.message);
        CHECK(CONTROL(long, calls, const char *)(names[route]) - before >= 2);
        CONTROL(void, fail_named, const char *)(NULL);
        end(0);
    }
}

TEST_MAIN(CASE(gives_what_the_cpu_gives), CASE(is_refused))
