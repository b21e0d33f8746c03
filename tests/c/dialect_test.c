/* SPDX-License-Identifier: MIT */
/* Text as the Neural Engine's compilers take it: written in both spellings for both routes, it reads back as the program it was
 * made of, with the weights out of the files that came with it; and it keeps the rules of that dialect, letter by letter. */
#include <unistd.h>
#include <sys/stat.h>

#include "same.h"

static mil_program *parse(const char *body, mil_opset opset) {
    char text[8192];
    mil_error err = {0};
    mil_program *program = NULL;
    snprintf(text, sizeof text, "program(1.3)\n{\n func main<%s>%s;\n}", mil_opset_name(opset), body);
    CHECK_OK(mil_text_parse(text, strlen(text), &(mil_text_options){.name = "test.mil"}, &program, &err), &err);
    return program;
}

/* ---- reading it back ---- */

static const char *base_of(const char *name) { return name + strlen("@model_path/"); }

static void write_files(const char *folder, const mil_dialect *dialect) {
    char path[300];
    snprintf(path, sizeof path, "%s/weights", folder);
    mkdir(path, 0777);
    for (size_t i = 0; i < dialect->n_files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, base_of(dialect->files[i].name));
        CHECK_OK(mil_text_write(path, dialect->files[i].data, dialect->files[i].n, NULL), NULL);
    }
}

static void remove_files(const char *folder, const mil_dialect *dialect) {
    char path[300];
    for (size_t i = 0; i < dialect->n_files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, base_of(dialect->files[i].name));
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/weights", folder);
    rmdir(path);
    rmdir(folder);
}

static mil_program *read_back(const mil_dialect *dialect) {
    char folder[] = "/tmp/luamil-dialect-XXXXXX";
    mil_error err = {0};
    mil_program *program = NULL;
    if (!CHECK(mkdtemp(folder) != NULL)) return NULL;
    write_files(folder, dialect);
    mil_text_options options = {.name = "dialect", .model_path = folder};
    CHECK_OK(mil_text_parse(dialect->text, dialect->n, &options, &program, &err), &err);
    remove_files(folder, dialect);
    return program;
}

static const char conv[] =
    "(tensor<fp16, [1, 4, 1, 32]> x) {\n"
    "  tensor<fp16, [4, 4, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [4, 4, 1, 1]>([[[[1]], [[2]], [[3]], [[4]]],"
    " [[[5]], [[6]], [[7]], [[8]]], [[[9]], [[10]], [[11]], [[12]]], [[[13]], [[14]], [[15]], [[16]]]])];\n"
    "  tensor<fp16, [1, 4, 1, 32]> y = conv(x = x, weight = w, pad_type = string(\"valid\"), strides = tensor<int32, [2]>([1, 1]))"
    "[name = string(\"y\")];\n"
    "  tensor<fp16, [1, 4, 1, 32]> r = add(x = y, y = fp16(0x1p-1))[name = string(\"other\")];\n"
    "} -> (r)";

static const struct {
    const char *what, *body;
    mil_opset opset;
} programs[] = {
    {"conv", conv, MIL_IOS18},
    {"one value twice, several outputs, a name that needs another",
     "(tensor<fp16, [1, 4, 1, 8]> x, tensor<fp16, [1, 4, 1, 8]> a) {\n"
     "  tensor<fp16, [1, 4, 1, 8]> y_axis = mul(x = x, y = x)[name = string(\"y_axis\")];\n"
     "  tensor<fp16, [1, 4, 1, 8]> y = softmax(x = a, axis = int32(-1))[name = string(\"y\")];\n"
     "  tensor<fp16, [1, 2, 1, 8]> p, tensor<fp16, [1, 2, 1, 8]> q = split(x = y, axis = int32(1), num_splits = int32(2))[name = "
     "string(\"s\")];\n"
     "  tensor<fp16, [1, 4, 1, 8]> z = concat(values = (p, q), axis = int32(1), interleave = bool(false))[name = string(\"z\")];\n"
     "} -> (z, y_axis)", MIL_IOS18},
    {"compressed, by attributes",
     "(tensor<fp16, [2, 4]> x) {\n"
     "  tensor<fp16, [3, 4]> w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), quantized_data = "
     "tensor<int8, [3, 4]>([[1, 2, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4]]), scale = fp16(0x1p-2), zero_point = int8(0)];\n"
     "  tensor<fp16, [2, 3]> y = linear(x = x, weight = w)[name = string(\"y\")];\n"
     "} -> (y)", MIL_IOS16},
};

/* What dialects have in common with the program: all but the opset and the labels of operations. */
static void check_same(const mil_program *program, const mil_dialect *dialect) {
    mil_program *back = read_back(dialect);
    if (!back) return;
    back->functions[0].opset = program->functions[0].opset;
    for (uint32_t i = 1; i < program->n_ops; i++) ((mil__op *)program->ops[i])->label = NULL;
    same s = {.a = program, .b = back};
    CHECK_EQ((const char *)same_programs(&s), "");
    char *text = NULL;
    mil_dialect *again = NULL;
    back->functions[0].opset = MIL_IOS18;
    CHECK_OK(mil_text_print(back, &text, NULL, NULL), NULL); /* what was read can be printed and written again */
    CHECK_OK(mil_text_dialect(back, NULL, &again, NULL), NULL);
    mil_dialect_free(again);
    mil_free(text);
    mil_program_free(back);
}

static void reads_back(void) {
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        for (int form = 0; form < 4; form++) {
            mil_error err = {0};
            mil_program *program = parse(programs[i].body, programs[i].opset);
            mil_dialect_options options = {.route = form % 2 ? "e5rt" : NULL, .is_long = form / 2};
            mil_dialect *dialect = NULL;
            test_row = programs[i].what;
            if (program && CHECK_OK(mil_text_dialect(program, &options, &dialect, &err), &err)) check_same(program, dialect);
            mil_dialect_free(dialect);
            mil_program_free(program);
        }
}

/* ---- letter by letter ---- */

static const char short_form[] =
    "program(1.3)\n"
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", \"3505.4.1\"}, "
    "{\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", \"9.0\"}, {\"luamil-weights\", \"%s\"}})]\n"
    "{\n"
    "    func main<ios18>(tensor<fp16, [1, 4, 1, 32]> x) {\n"
    "            tensor<fp16, [4, 4, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [4, 4, 1, 1]>(BLOBFILE(path = "
    "string(\"@model_path/weights/w0.bin\"), offset = uint64(64)))];\n"
    "            string y_pad_type = const()[name = string(\"y_pad_type\"), val = string(\"valid\")];\n"
    "            tensor<int32, [2]> y_strides = const()[name = string(\"y_strides\"), val = tensor<int32, [2]>([1, 1])];\n"
    "            tensor<fp16, [1, 4, 1, 32]> y = conv(pad_type = y_pad_type, strides = y_strides, weight = w, x = x)[name = string(\"y\")];\n"
    "            fp16 r_y = const()[name = string(\"r_y\"), val = fp16(0x1p-1)];\n"
    "            tensor<fp16, [1, 4, 1, 32]> r = add(x = y, y = r_y)[name = string(\"r\")];\n"
    "        } -> (r);\n"
    "}";

static const char long_form[] =
    "program(1.0)\n"
    "[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{\"coremlc-component-MIL\", \"3520.4.1\"}, {\"coremlc-version\", "
    "\"3520.5.1\"}, {\"luamil-weights\", \"%s\"}})]\n"
    "{\n"
    "    func main<ios16>(tensor<fp16, [1, 4, 1, 32]> x) {\n"
    "            tensor<fp16, [4, 4, 1, 1]> w = const()[name = tensor<string, []>(\"w\"), val = tensor<fp16, [4, 4, 1, 1]>(BLOBFILE(path = "
    "tensor<string, []>(\"@model_path/weights.bin\"), offset = tensor<uint64, []>(64)))];\n"
    "            tensor<string, []> y_pad_type = const()[name = tensor<string, []>(\"y_pad_type\"), val = tensor<string, []>(\"valid\")];\n"
    "            tensor<int32, [2]> y_strides = const()[name = tensor<string, []>(\"y_strides\"), val = tensor<int32, [2]>([1, 1])];\n"
    "            tensor<fp16, [1, 4, 1, 32]> y = conv(pad_type = y_pad_type, strides = y_strides, weight = w, x = x)[name = "
    "tensor<string, []>(\"y\")];\n"
    "            tensor<fp16, []> r_y = const()[name = tensor<string, []>(\"r_y\"), val = tensor<fp16, []>(0x1p-1)];\n"
    "            tensor<fp16, [1, 4, 1, 32]> r = add(x = y, y = r_y)[name = tensor<string, []>(\"r\")];\n"
    "        } -> (r);\n"
    "}";

/* The number that stands for the weights, and the text without it. */
static void take_number(char *text, char number[17]) {
    char *at = strstr(text, "luamil-weights\", \"");
    number[0] = 0;
    if (!CHECK(at != NULL)) return;
    at += strlen("luamil-weights\", \"");
    snprintf(number, 17, "%.16s", at);
    memmove(at + 2, at + 16, strlen(at + 16) + 1);
    memcpy(at, "%s", 2);
}

static void spelling(void) {
    mil_program *program = parse(conv, MIL_IOS18);
    for (int i = 0; i < 2; i++) {
        mil_dialect *dialect = NULL;
        mil_dialect_options options = {.route = i ? "e5rt" : "direct", .is_long = i};
        char number[17];
        if (!CHECK_OK(mil_text_dialect(program, &options, &dialect, NULL), NULL)) return;
        take_number((char *)dialect->text, number);
        CHECK_EQ((const char *)dialect->text, i ? long_form : short_form);
        CHECK_EQ(strspn(number, "0123456789abcdef"), 16);
        CHECK_EQ(dialect->n_files, 1);
        CHECK_EQ(dialect->files[0].n, 128 + 32);
        CHECK_EQ(((const uint16_t *)dialect->files[0].data)[64], 0x3c00); /* 1, behind header and record */
        mil_dialect_free(dialect);
    }
    mil_program_free(program);
}

/* Other weights, another number; the rest of the text is the same. */
static void weights_are_in_the_text(void) {
    mil_dialect *one = NULL, *two = NULL;
    char other[sizeof conv], first[17], second[17];
    memcpy(other, conv, sizeof conv);
    *strstr(other, "[[16]]") = ' ', strstr(other, " [16]]")[0] = '[', *strstr(other, "16]]]]") = '3';
    mil_program *a = parse(conv, MIL_IOS18), *b = parse(other, MIL_IOS18);
    CHECK_OK(mil_text_dialect(a, NULL, &one, NULL), NULL);
    CHECK_OK(mil_text_dialect(b, NULL, &two, NULL), NULL);
    if (one && two) {
        take_number((char *)one->text, first);
        take_number((char *)two->text, second);
        CHECK(strcmp(first, second) != 0);
        CHECK_EQ(one->text, two->text);
    }
    mil_dialect_free(one);
    mil_dialect_free(two);
    mil_program_free(a);
    mil_program_free(b);
}

/* ---- what it can't be ---- */

static const struct {
    const char *body;
    bool is_long;
    mil_status status;
    const char *message;
} refused[] = {
    {"(tensor<fp16, [1, ?]> x) { tensor<fp16, [1, ?]> y = relu(x = x)[name = string(\"y\")]; } -> (y)", false, MIL_ETYPE,
     "text for the Neural Engine takes tensors of a fixed size, but x is fp16[1, "},
    {"(tensor<fp16, [1, 2, 4, 4]> x) { tensor<fp16, [1, 2, 4, 4]> y = scaled_dot_product_attention(query = x, key = x, value = x)"
     "[name = string(\"y\")]; } -> (y)", true, MIL_EUNSUPPORTED,
     "scaled_dot_product_attention: text for the Neural Engine is of ios16 in this form, which has not this op"},
};

static void refuses(void) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        mil_error err = {0};
        mil_dialect *dialect = NULL;
        mil_program *program = parse(refused[i].body, MIL_IOS18);
        test_row = refused[i].message;
        mil_dialect_options options = {.is_long = refused[i].is_long};
        if (program) CHECK_STATUS(mil_text_dialect(program, &options, &dialect, &err), refused[i].status, &err);
        CHECK_HAS(err.message, refused[i].message);
        CHECK(dialect == NULL);
        mil_program_free(program);
    }
    mil_dialect *dialect;
    mil_error err = {0};
    CHECK_STATUS(mil_text_dialect(NULL, &(mil_dialect_options){.route = "fast"}, &dialect, &err), MIL_EINVAL, &err);
    CHECK_EQ((const char *)err.message, "the Neural Engine's routes are \"direct\" and \"e5rt\", not \"fast\"");
}

static mil_status write_once(void *ctx, mil_error *err) {
    mil_dialect *dialect;
    mil_status status = mil_text_dialect(ctx, NULL, &dialect, err);
    mil_dialect_free(dialect);
    return status;
}

static void every_allocation(void) {
    mil_set_allocator(test_realloc, NULL);
    mil_program *program = parse(conv, MIL_IOS18);
    CHECK(test_each_allocation(write_once, program) > 5);
    mil_program_free(program);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(reads_back), CASE(spelling), CASE(weights_are_in_the_text), CASE(refuses), CASE(every_allocation))
