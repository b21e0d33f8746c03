/* SPDX-License-Identifier: MIT */
/* Packages that coremltools wrote (tests/oracle/packages.py), whole, cut off, changed, and without memory. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <protobuf-c/protobuf-c.h>

#include "package/package.h"

#define PACKAGES "tests/vectors/packages/"

static void conv(void) {
    mil_program *program;
    mil_error err = {0};
    char *text;
    if (!CHECK_OK(mil_program_load(PACKAGES "conv.mlpackage", NULL, &program, &err), &err)) return;
    CHECK_EQ((int)mil_program_opset(program), (int)MIL_IOS16);
    mil_block main = mil_program_function_find(program, "main");
    CHECK(main != 0);
    CHECK_EQ(mil_value_name(program, program->blocks[main]->inputs[0]), "x"); /* as described: text sorts them */
    CHECK_EQ(mil_value_name(program, program->blocks[main]->inputs[1]), "bias");
    mil_tensor *weight = mil_value_data(program, mil_value_find(program, main, "y_weight_0"));
    if (CHECK(weight != NULL)) {
        CHECK_EQ((int)mil_buffer_kind_of(weight->buffer), (int)MIL_MAPPED);
        CHECK_EQ(((const float *)weight->data)[0], -27 / 8.0);
        CHECK_EQ(((const float *)weight->data)[53], 26 / 8.0);
    }
    if (CHECK_OK(mil_text_print(program, &text, NULL, &err), &err)) {
        CHECK_HAS(text, "func main<ios16>(tensor<fp32, [1, 2, 3, 3]> bias, tensor<fp32, [1, 3, 5, 5]> x)");
        CHECK_HAS(text, "BLOBFILE(path = tensor<string, []>(\"@model_path/weights/weight.bin\"), offset = tensor<uint64, []>(64))");
        mil_free(text);
    }
    CHECK_OK(mil_program_verify(program, &err), &err);
    mil_program_free(program);
}

static void ranges(void) {
    mil_program *program;
    mil_error err = {0};
    if (!CHECK_OK(mil_program_load(PACKAGES "flexible.mlpackage", NULL, &program, &err), &err)) return;
    mil_block main = mil_program_function_find(program, "main");
    const mil_type *type = mil_value_type(program, mil_value_find(program, main, "x"));
    const mil_symbol *symbol = mil__dim_symbol_info(program->types, type->shape[1]);
    if (CHECK(symbol != NULL)) {
        CHECK_EQ(symbol->min, 1);
        CHECK_EQ(symbol->max, 9);
        CHECK_EQ(symbol->standard, 3);
    }
    mil_program_free(program);
}

static void absent(void) {
    mil_program *program = (mil_program *)1;
    mil_error err = {0};
    CHECK_STATUS(mil_program_load(PACKAGES "nowhere.mlpackage", NULL, &program, &err), MIL_EIO, &err);
    CHECK(program == NULL);
}

static mil_program *load(const char *path) {
    mil_program *program = NULL;
    mil_error err = {0};
    CHECK_OK(mil_program_load(path, NULL, &program, &err), &err);
    return program;
}

static void several_shapes(void) {
    mil_program *program = load(PACKAGES "enumerated.mlpackage");
    if (!program) return;
    mil_value x = mil_value_find(program, mil_program_function_find(program, "main"), "x");
    const mil__shapes *shapes = mil__input_shapes(program, x);
    if (CHECK(shapes != NULL) && CHECK_EQ((int)shapes->n, 3)) {
        static const int64_t wanted[] = {1, 2, 1, 4, 1, 8}; /* the default first */
        for (int i = 0; i < 6; i++) CHECK_EQ((long long)shapes->shapes[i], (long long)wanted[i]);
    }
    mil_program_free(program);
}

static void several_functions(void) {
    mil_program *program = load(PACKAGES "functions.mlpackage");
    mil_model *model;
    mil_error err = {0};
    if (!program) return;
    CHECK_EQ((int)mil_program_n_functions(program), 2);
    CHECK_EQ((int)program->default_function, (int)mil_program_function_find(program, "second"));
    if (CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err)) {
        CHECK_EQ((long long)mil_model_input(model, 0)->shape[0], 2LL); /* the default's */
        mil_model_free(model);
    }
    mil_program_free(program);
}

static void states(void) {
    mil_program *program = load(PACKAGES "stateful.mlpackage");
    mil_error err = {0};
    if (!program) return;
    mil_block main = mil_program_function_find(program, "main");
    mil_value cache = mil_value_find(program, main, "cache"), weight = mil_value_find(program, main, "weight");
    CHECK_EQ((int)mil_type_kind_of(mil_value_type(program, cache)), (int)MIL_STATE);
    CHECK(mil__program_kept(program, MIL__KEPT_INPUT, cache) != NULL);
    const mil__op *op = mil__op_at(program, mil_value_operation(program, weight));
    const mil_tensor *packed = mil_value_data(program, mil__op_arg_named(op, "data")->values[0]);
    if (CHECK(packed != NULL)) {
        CHECK_EQ((int)packed->dtype, (int)MIL_INT4);
        CHECK_EQ((int)mil_buffer_kind_of(packed->buffer), (int)MIL_MAPPED);
        for (int i = 0; i < 16; i++) CHECK_EQ((long long)mil__load_i64(packed, i), i - 8LL);
    }
    CHECK_OK(mil_program_verify(program, &err), &err);
    mil_program_free(program);
}

/* An image of one bright channel is of that channel's class. */
static void run_classifier(mil_model *model) {
    static const char *const labels[] = {"cat", "dog", "K\xc3\xa4" "fer"};
    mil_tensor *image;
    mil_error err = {0};
    CHECK(mil_model_output(model, 0)->is_label && mil_model_output(model, 0)->dtype == MIL_STRING);
    const mil_tensor *keys = mil_model_output(model, 1)->keys;
    if (!CHECK(keys && mil_tensor_numel(keys) == 3)) return;
    CHECK_OK(mil_tensor_new(MIL_FP32, 4, (int64_t[]){1, 3, 2, 2}, &image, &err), &err);
    for (int channel = 0; channel < 3; channel++) {
        mil_tensor *out[2] = {NULL, NULL};
        for (int i = 0; i < 12; i++) ((float *)mil_tensor_data(image))[i] = i / 4 == channel;
        CHECK_EQ(mil_tensor_string(keys, channel, NULL), labels[channel]);
        if (CHECK_OK(mil_model_run(model, &image, out, &err), &err)) {
            CHECK_EQ(mil_tensor_string(out[0], 0, NULL), labels[channel]);
            const float *x = mil_tensor_data(out[1]);
            CHECK(fabsf(x[channel] - 0.5761169f) < 1e-6f && fabsf(x[0] + x[1] + x[2] - 1) < 1e-6f);
        }
        mil_tensor *given[2] = {out[0], NULL};
        CHECK_STATUS(mil_model_run(model, &image, given, &err), MIL_EUNSUPPORTED, &err);
        mil_tensor_free(out[0]);
        mil_tensor_free(out[1]);
    }
    mil_tensor_free(image);
}

static mil_status compile_task(void *ctx, mil_error *err) {
    mil_model *model;
    MIL__TRY(mil_program_compile(ctx, NULL, &model, err));
    mil_model_free(model);
    return MIL_OK;
}

static void classifier(void) {
    mil_program *program = load(PACKAGES "classifier.mlpackage");
    mil_error err = {0};
    char text[200];
    if (!program) return;
    mil_block main = mil_program_function_find(program, "main");
    mil_value label = mil_value_find(program, main, "label"), probabilities = mil_value_find(program, main, "label_probs");
    CHECK_EQ((int)program->functions[0].label, (int)label);
    mil_program_type_text(program, mil_value_type(program, label), text, sizeof text);
    CHECK_EQ((const char *)text, "string");
    CHECK_EQ((int)mil_type_kind_of(mil_value_type(program, probabilities)), (int)MIL_DICT);
    CHECK_OK(mil_program_verify(program, &err), &err);
    mil_model *model;
    if (CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err)) {
        run_classifier(model);
        mil_model_free(model);
    }
    mil_program_free(program);
}

static void metadata(void) {
    static const struct {
        const char *key, *value; /* value NULL: removed */
        mil_status status;
    } rows[] = {{"author", "a", MIL_OK}, {"license", "b", MIL_OK}, {"x", "", MIL_OK}, {"author", "c", MIL_OK}, {"license", NULL, MIL_OK},
                {"none", NULL, MIL_OK}, {"", "d", MIL_ENAME}, {"y", "\xff", MIL_EVALUE}, {"\xc0", "e", MIL_EVALUE}};
    mil_program *program;
    mil_error err = {0};
    if (!CHECK_OK(mil_program_new(MIL_IOS18, &program, &err), &err)) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].key;
        mil_status status = mil_program_set_metadata(program, rows[i].key, rows[i].value, &err);
        CHECK_EQ((int)status, (int)rows[i].status);
    }
    CHECK_EQ((int)mil_program_n_metadata(program), 2);
    CHECK_EQ(mil_program_metadata(program, "author"), "c");
    CHECK_EQ(mil_program_metadata(program, "x"), "");
    CHECK(mil_program_metadata(program, "license") == NULL);
    for (int round = 0; round < 3; round++) /* many come and go */
        for (int i = 0; i < 500; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", (i * 7) % 500);
            CHECK_OK(mil_program_set_metadata(program, key, round == 1 && i % 3 ? NULL : key, &err), &err);
        }
    CHECK_EQ((int)mil_program_n_metadata(program), 502);
    for (size_t i = 0; i < mil_program_n_metadata(program); i++) {
        const char *value, *key = mil_program_metadata_at(program, i, &value);
        CHECK_EQ(mil_program_metadata(program, key), value);
    }
    CHECK(mil_program_metadata_at(program, 502, NULL) == NULL);
    mil_program_free(program);
}

static bool has_bytes(const mil__kept *kept, const char *bytes) {
    size_t n = strlen(bytes);
    for (size_t i = 0; kept && i + n <= kept->n; i++)
        if (memcmp(kept->data + i, bytes, n) == 0) return true;
    return false;
}

/* Each message's own unknown field is kept where the message is. */
static void unknown(void) {
    mil_program *program = load(PACKAGES "unknown.mlpackage");
    if (!program) return;
    mil_block main = mil_program_function_find(program, "main");
    mil_value out = mil_value_find(program, main, "out"), weight = mil_value_find(program, main, "y_weight_0");
    mil_value first = program->blocks[main]->inputs[0];
    const mil__kept *model = mil__program_kept(program, MIL__KEPT_MODEL, 0);
    CHECK(has_bytes(model, "model") && has_bytes(model, "description") && has_bytes(model, "program"));
    CHECK(has_bytes(mil__program_kept(program, MIL__KEPT_FUNCTION, main), "function"));
    CHECK(has_bytes(mil__program_kept(program, MIL__KEPT_BLOCK, main), "block"));
    const mil__kept *relu = mil__program_kept(program, MIL__KEPT_OPERATION, mil_value_operation(program, out));
    CHECK(has_bytes(relu, "operation") && has_bytes(relu, "argument"));
    CHECK(has_bytes(mil__program_kept(program, MIL__KEPT_OPERATION, mil_value_operation(program, weight)), "a weight"));
    CHECK(has_bytes(mil__program_kept(program, MIL__KEPT_INPUT, first), "feature"));
    CHECK(mil__program_kept(program, MIL__KEPT_OUTPUT, out) != NULL);
    CHECK(mil__program_kept(program, MIL__KEPT_OPERATION, mil_value_operation(program, mil_value_find(program, main, "sum"))) == NULL);
    CHECK_EQ(mil_program_metadata(program, "author"), "someone");
    CHECK_EQ(mil_program_metadata(program, "userDefined.author"), "someone else");
    CHECK_EQ(mil__user_key("userDefined.author"), "author");
    CHECK_EQ(mil__user_key("userDefined.x"), "userDefined.x");
    CHECK(mil__user_key("author") == NULL);
    mil_program_free(program);
}

/* Writes a message as a model by itself. */
static void write_model(const char *path, const Mil__Spec__Model *model) {
    mil_error err = {0};
    size_t n = protobuf_c_message_get_packed_size(&model->base);
    uint8_t *bytes = malloc(n);
    protobuf_c_message_pack(&model->base, bytes);
    CHECK_OK(mil_text_write(path, (const char *)bytes, n, &err), &err);
    free(bytes);
}

/* From version 10 on, a model's border may have int8; before 6 there are no ML Programs, after 10 nothing is known. */
static void versions(void) {
    static const char text[] = "program(1.0){func main<ios17>(tensor<fp16, [2]> x){tensor<fp32, [2]> y = cast(x = x, dtype = "
                               "tensor<string, []>(\"fp32\"));}->(y);}";
    static const struct {
        int version;
        bool is_read;
    } rows[] = {{-1, false}, {0, false}, {5, false}, {6, true}, {10, true}, {11, false}, {INT_MAX, false}};
    char folder[] = "/tmp/mil-package-XXXXXX", path[64], model_path[100], command[100];
    mil__arena messages = {0};
    mil_program *program;
    mil__file file;
    Mil__Spec__Model *model;
    mil_error err = {0};
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    if (!CHECK_OK(mil_text_parse(text, sizeof text - 1, NULL, &program, &err), &err)) return;
    snprintf(path, sizeof path, "%s/a.mlpackage", folder);
    snprintf(model_path, sizeof model_path, "%s/Data/com.apple.CoreML/model.mlmodel", path);
    CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
    mil_program_free(program);
    if (!CHECK_OK(mil__file_open(model_path, &file, &err), &err)) return;
    if (!CHECK_OK(mil__model_unpack(file.data, file.bytes, &messages, &model, &err), &err)) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        model->version = rows[i].version;
        write_model(model_path, model);
        mil_status status = mil_program_load(path, NULL, &program, &err);
        CHECK_EQ(status, rows[i].is_read ? MIL_OK : MIL_EUNSUPPORTED);
        if (status != MIL_OK) CHECK_HAS(err.message, "ML Programs of 6 to 10 are read");
        mil_program_free(program);
    }
    model->version = 10;
    model->description->inputs[0]->type->array->dtype = 131080;
    model->program->functions[0]->value->inputs[0]->type->tensor->dtype = 21;
    Mil__Spec__MetadataEntry unnamed = MIL__SPEC__METADATA_ENTRY__INIT, *entries[] = {&unnamed};
    Mil__Spec__Metadata metadata = MIL__SPEC__METADATA__INIT;
    metadata.n_user = 1, metadata.user = entries;
    unnamed.value = (char[]){"of no name"};
    model->description->metadata = &metadata;
    write_model(model_path, model);
    for (int i = 0; i < 3; i++) { /* over a bundle, which has the version and the description too */
        char bundle[80];
        snprintf(bundle, sizeof bundle, "%s/a.mlmodelc", folder);
        program = load(i == 2 ? bundle : path);
        if (program) CHECK_OK(mil_program_save(program, i == 1 ? bundle : path, NULL, &err), &err);
        mil_program_free(program);
    }
    mil__file_close(&file);
    if (CHECK_OK(mil__file_open(model_path, &file, &err), &err) &&
        CHECK_OK(mil__model_unpack(file.data, file.bytes, &messages, &model, &err), &err)) {
        CHECK_EQ(model->version, 10);
        CHECK_EQ(model->description->inputs[0]->type->array->dtype, 131080);
        CHECK(model->description->metadata && model->description->metadata->n_user == 1);
        CHECK_EQ(model->description->metadata->user[0]->value, "of no name");
        model->program->functions[0]->value->inputs[0]->type->tensor->dtype = 41;
        write_model(model_path, model);
        CHECK_STATUS(mil_program_load(path, NULL, &program, &err), MIL_EUNSUPPORTED, &err);
        CHECK_HAS(err.message, "tensors of fp8 (e5m2) are not supported");
        mil__file_close(&file);
    }
    mil__arena_free(&messages);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
}

/* A function's blocks for other opsets are named where they would be lost. */
static void variants(void) {
    static const char *const endings[] = {"b.mlpackage", "b.mlmodelc", "b.mil"};
    char folder[] = "/tmp/mil-package-XXXXXX", path[64];
    mil__arena messages = {0};
    mil__file file;
    Mil__Spec__Model *model;
    mil_error err = {0};
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    if (!CHECK_OK(mil__file_open(PACKAGES "flexible.mlpackage/Data/com.apple.CoreML/model.mlmodel", &file, &err), &err)) return;
    if (CHECK_OK(mil__model_unpack(file.data, file.bytes, &messages, &model, &err), &err)) {
        Mil__Spec__Function *function = model->program->functions[0]->value;
        Mil__Spec__BlockEntry other = *function->blocks[0], *blocks[] = {&other, function->blocks[0]};
        other.key = (char[]){"CoreML8"};
        function->blocks = blocks;
        function->n_blocks = 2;
        snprintf(path, sizeof path, "%s/a.mlmodel", folder);
        write_model(path, model);
        mil_program *program = load(path);
        for (int i = 0; program && i < 3; i++) {
            test_row = endings[i];
            snprintf(path, sizeof path, "%s/%s", folder, endings[i]);
            CHECK_STATUS(mil_program_save(program, path, NULL, &err), MIL_EUNSUPPORTED, &err);
            CHECK_HAS(err.message, ": function main: its package has blocks for other opsets (CoreML8), which are not read");
            CHECK(access(path, F_OK) != 0);
            CHECK_OK(mil_program_save(program, path, &(mil_save_options){.alone = true}, &err), &err);
        }
        mil_program_free(program);
    }
    mil__arena_free(&messages);
    mil__file_close(&file);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
}

/* ---- without its weights ---- */

/* A copy of a package whose weights file is `weights`; NULL: none. */
static void copy_package(const char *from, const char *to, const char *weights) {
    char command[900];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -R '%s' '%s' && %s%s%s '%s/Data/com.apple.CoreML/weights/weight.bin'", to, from, to,
             weights ? "printf '" : "rm", weights ? weights : "", weights ? "' >" : "", to);
    CHECK_EQ(system(command), 0);
}

static void no_weights(void) {
    static const char *const rows[] = {NULL, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 280\n"};
    char folder[] = "/tmp/mil-package-XXXXXX", path[64], command[100];
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    snprintf(path, sizeof path, "%s/x.mlpackage", folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_model *model;
        mil_error err = {0};
        char *text;
        copy_package(PACKAGES "conv.mlpackage", path, rows[i]);
        mil_program *program = load(path);
        if (!program) continue;
        mil_value weight = mil_value_find(program, mil_program_function_find(program, "main"), "y_weight_0");
        CHECK(mil_value_data(program, weight) == NULL);
        CHECK_OK(mil_program_verify(program, &err), &err);
        if (CHECK_OK(mil_text_print(program, &text, NULL, &err), &err)) {
            CHECK_HAS(text, "BLOBFILE(path = tensor<string, []>(\"@model_path/weights/weight.bin\")");
            mil_free(text);
        }
        CHECK_STATUS(mil_program_compile(program, NULL, &model, &err), MIL_EIO, &err);
        char message[200];
        snprintf(message, sizeof message, "const y_weight_0: its weights file %s/Data/com.apple.CoreML/weights/weight.bin is not there", path);
        CHECK_HAS(err.message, message);
        snprintf(message, sizeof message, "%s/saved.mlpackage", folder);
        CHECK_STATUS(mil_program_save(program, message, NULL, &err), MIL_ESTATE, &err);
        CHECK_HAS(err.message, "/x.mlpackage/Data/com.apple.CoreML/weights/weight.bin, which was not there");
        mil_program_free(program);
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK_EQ(system(command), 0);
}

/* ---- large ones ---- */

static bool begin(mil_opset opset, mil_program **program, mil_block *main) {
    mil_error err = {0};
    if (!CHECK_OK(mil_program_new(opset, program, &err), &err)) return false;
    return CHECK_OK(mil_program_function(*program, "main", main, &err), &err);
}

static mil_value relu_of(mil_program *program, mil_block main, mil_value x) {
    mil_error err = {0};
    mil_value y = 0;
    size_t outs;
    mil_arg arg = {.name = "x", .kind = MIL_ARG_VALUE, .value = x};
    CHECK_OK(mil_program_add(program, main, mil_op_find("relu"), &arg, 1, NULL, (mil_where){0}, &y, 1, &outs, &err), &err);
    return y;
}

/* The program, whose output is y, is saved and freed. */
static bool save_and_free(mil_program *program, mil_block main, mil_value y, const char *path) {
    mil_error err = {0};
    CHECK_OK(mil_program_output(program, main, "y", y, &y, &err), &err);
    bool saved = CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
    mil_program_free(program);
    return saved;
}

/* n operations in a row, saved. */
static bool save_chain(const char *path, int n) {
    mil_program *program;
    mil_block main;
    mil_value x;
    mil_error err = {0};
    if (!begin(MIL_IOS17, &program, &main)) return false;
    CHECK_OK(mil_program_input(program, main, "x", MIL_FP32, 1, (mil_dim[]){4}, false, &x, &err), &err);
    for (int i = 0; i < n; i++) x = relu_of(program, main, x);
    return save_and_free(program, main, x, path);
}

/* n inputs, each with two shapes to choose from, saved. */
static bool save_shapes(const char *path, int n) {
    mil_program *program;
    mil_block main;
    mil_dim size;
    mil_value x = 0;
    mil_error err = {0};
    if (!begin(MIL_IOS18, &program, &main)) return false;
    for (int i = 0; i < n; i++) {
        char name[20];
        snprintf(name, sizeof name, "x%d", i);
        CHECK_OK(mil_program_symbol(program, &(mil_symbol){.min = 1, .max = 2}, &size, &err), &err);
        CHECK_OK(mil_program_input(program, main, name, MIL_FP32, 1, &size, false, &x, &err), &err);
        CHECK_OK(mil_program_input_shapes(program, x, 2, (int64_t[]){1, 2}, &err), &err);
    }
    return save_and_free(program, main, relu_of(program, main, x), path);
}

static double load_time(const char *path) {
    clock_t start = clock();
    mil_program *program = load(path);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK(program != NULL);
    mil_program_free(program);
    return seconds;
}

/* 32 times as much takes about 32 times as long; were anything in it quadratic, a thousand times. */
static void check_linear(bool (*save)(const char *path, int n), int n) {
    char folder[] = "/tmp/mil-package-XXXXXX", few[64], many[64], command[100];
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    snprintf(few, sizeof few, "%s/few.mlpackage", folder);
    snprintf(many, sizeof many, "%s/many.mlpackage", folder);
    if (save(few, n) && save(many, 32 * n)) {
        double least = load_time(few);
        for (int i = 0; i < 4; i++) {
            double seconds = load_time(few);
            if (seconds < least) least = seconds;
        }
        CHECK(load_time(many) < 200 * (least + 1e-3));
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK_EQ(system(command), 0);
}

static void linear(void) {
    check_linear(save_chain, 3000);
    check_linear(save_shapes, 1500);
}

/* ---- manifests ---- */

static void no_packages(void) {
    char folder[] = "/tmp/mil-package-XXXXXX", path[64], wanted[160];
    mil_program *program = NULL;
    mil_error err = {0};
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    snprintf(path, sizeof path, "%s/a.mlpackage", folder);
    CHECK_STATUS(mil_program_load(path, NULL, &program, &err), MIL_EIO, &err);
    snprintf(wanted, sizeof wanted, "cannot open %s: No such file", path);
    CHECK_HAS(err.message, wanted);
    CHECK_EQ(mkdir(path, 0777), 0);
    CHECK_STATUS(mil_program_load(path, NULL, &program, &err), MIL_EFORMAT, &err);
    snprintf(wanted, sizeof wanted, "%s: this is no package: there is no Manifest.json", path);
    CHECK_HAS(err.message, wanted);
    CHECK_EQ(rmdir(path) + rmdir(folder), 0);
}

static void manifests(void) {
    static const struct {
        const char *json, *message; /* NULL: it names a model */
    } rows[] = {
        {"{\"fileFormatVersion\": \"1.0.0\", \"rootModelIdentifier\": \"A\", \"itemInfoEntries\": {\"A\": {\"path\": \"a/b\"}, \"B\": {\"path\": \"c\"}}}", NULL},
        {"{\"rootModelIdentifier\": \"A\", \"itemInfoEntries\": {\"A\": {\"path\": \"a/b\"}}}", "no version"},
        {"{\"fileFormatVersion\": \"2.0.0\"}", "version 2.0.0"},
        {"{\"fileFormatVersion\": \"1.0.0\"}", "names no model"},
        {"{\"fileFormatVersion\": \"1.0.0\", \"rootModelIdentifier\": \"B\", \"itemInfoEntries\": {\"A\": {\"path\": \"a\"}}}", "names no model"},
        {"{\"fileFormatVersion\": \"1.0.0\", \"rootModelIdentifier\": \"A\", \"itemInfoEntries\": {\"A\": {\"path\": \"../a\"}}}", "leaves the package"},
        {"{\"fileFormatVersion\": \"1.0.0\", \"rootModelIdentifier\": \"A\", \"itemInfoEntries\": {\"A\": {\"path\": \"a/../../b\"}}}", "leaves the package"},
        {"{\"fileFormatVersion\": \"1.0.0\", \"rootModelIdentifier\": \"A\", \"itemInfoEntries\": {\"A\": {\"path\": \"/etc/passwd\"}}}", "leaves the package"},
        {"{\"fileFormatVersion\": \"1.0.0\", \"rootModelIdentifier\": 7}", "names no model"},
        {"[]", "no version"},
        {"{\"a\": 1, \"a\": 2}", "Manifest.json:1"},
        {"{\"a\": \"\n\"}", "Manifest.json:1"}, /* the parser's own message repeats the line's end */
        {"", "Manifest.json:1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *file = NULL;
        mil_error err = {0};
        test_row = rows[i].json;
        mil_status status = mil__manifest_model("P", rows[i].json, strlen(rows[i].json), &file, &err);
        CHECK_EQ(status == MIL_OK, !rows[i].message);
        if (rows[i].message) CHECK_HAS(err.message, rows[i].message);
        else CHECK_EQ((const char *)file, "P/Data/a/b");
        CHECK(!strchr(err.message, '\n'));
        mil__free(file);
    }
}

/* ---- bundles that are none ---- */

static void bundles(void) {
    static const struct {
        const char *make; /* in the bundle's folder */
        mil_status status;
        const char *message;
    } rows[] = {{"mkdir model0", MIL_EUNSUPPORTED, "this model is a pipeline;"},
                {"touch model.espresso.net", MIL_EUNSUPPORTED, "this model is a neural network;"},
                {"printf '\\312\\0\\0\\0' >coremldata.bin", MIL_EUNSUPPORTED, "this model is a pipeline;"},
                {"true", MIL_EFORMAT, "there is no model.mil"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char folder[] = "/tmp/mil-bundle-XXXXXX", path[64], command[200];
        mil_program *program = NULL;
        mil_error err = {0};
        if (!CHECK(mkdtemp(folder) != NULL)) return;
        snprintf(path, sizeof path, "%s/x.mlmodelc", folder);
        snprintf(command, sizeof command, "mkdir %s && cd %s && %s", path, path, rows[i].make);
        CHECK_EQ(system(command), 0);
        test_row = rows[i].make;
        CHECK_STATUS(mil_program_load(path, NULL, &program, &err), rows[i].status, &err);
        CHECK_HAS(err.message, rows[i].message);
        snprintf(command, sizeof command, "rm -rf %s", folder);
        CHECK_EQ(system(command), 0);
    }
}

/* ---- a model's bytes ---- */

static const char *weights_folder = PACKAGES "conv.mlpackage/Data/com.apple.CoreML"; /* of read_bytes */

static mil_status read_bytes(const void *data, size_t n, mil_error *err) {
    mil__arena messages = {0};
    Mil__Spec__Model *model;
    mil_program *program = NULL;
    mil_status status = mil_program_new(MIL_IOS15, &program, err);
    mil__reader r = {.program = program, .err = err, .most_bytes = n * 16 + ((size_t)4 << 20)};
    r.blobs.model_path = weights_folder;
    if (status == MIL_OK) status = mil__model_unpack(data, n, &messages, &model, err);
    if (status == MIL_OK) status = mil__read_model(&r, model);
    mil__blobs_free(&r.blobs);
    mil__arena_free(&r.tmp);
    mil__arena_free(&messages);
    mil_program_free(program);
    return status;
}

static void kinds(void) {
    static const struct {
        const char *bytes;
        size_t n;
        mil_status status;
        const char *message;
    } rows[] = {
        {"\x08\x04\xa2\x1f\x00", 5, MIL_EUNSUPPORTED, "a neural network;"},
        {"\x08\x04\x92\x19\x00", 5, MIL_EUNSUPPORTED, "a tree ensemble classifier;"},
        {"\x08\x04\xd2\x0c\x00", 5, MIL_EUNSUPPORTED, "a pipeline;"},
        {"\x08\x04", 2, MIL_EFORMAT, "no Core ML model"},
        {"", 0, MIL_EFORMAT, "no Core ML model"},
        {"\xb2\x1f\x00\xb2\x1f\x00", 6, MIL_EFORMAT, "given twice"},
        {"\xb2\x1f\x05\x00", 4, MIL_EFORMAT, "breaks off"},
        {"\xb2\x1f\x02\x0a\x00", 5, MIL_EFORMAT, "not of its type"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, MIL_EFORMAT, "breaks off"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_error err = {0};
        test_row = rows[i].message;
        CHECK_STATUS(read_bytes(rows[i].bytes, rows[i].n, &err), rows[i].status, &err);
        CHECK_HAS(err.message, rows[i].message);
    }
}

/* Lists in lists, a few bytes a level: refused before the library recurses. */
static void depth(void) {
    static uint8_t bytes[3000];
    size_t at = sizeof bytes;
    static const uint8_t tags[] = {0x0a, 0x12}; /* ListType.type, Type.list */
    for (int i = 0; i < 400; i++) { /* inside out */
        size_t n = sizeof bytes - at;
        if (n >= 128) bytes[--at] = (uint8_t)(n >> 7), bytes[--at] = (uint8_t)(n | 128);
        else bytes[--at] = (uint8_t)n;
        bytes[--at] = tags[i % 2];
    }
    static const uint8_t wrap[] = {0x12, 0x12, 0x22}; /* Value.type, Attribute.value, Program.attributes */
    for (int i = 0; i < 3; i++) {
        size_t n = sizeof bytes - at;
        bytes[--at] = (uint8_t)(n >> 7), bytes[--at] = (uint8_t)(n | 128), bytes[--at] = wrap[i];
    }
    size_t n = sizeof bytes - at;
    bytes[--at] = (uint8_t)(n >> 7), bytes[--at] = (uint8_t)(n | 128), bytes[--at] = 0x1f, bytes[--at] = 0xb2;
    mil_error err = {0};
    CHECK_STATUS(read_bytes(bytes + at, sizeof bytes - at, &err), MIL_ELIMIT, &err);
    CHECK_HAS(err.message, "nested deeper");
}

/* Every beginning, and every byte changed, gives an error or a program; what is checked is the sanitizers' business. */
static void damage(const char *package) {
    char folder[200], path[256];
    mil_buffer *file;
    mil_error err = {0};
    snprintf(folder, sizeof folder, PACKAGES "%s.mlpackage/Data/com.apple.CoreML", package);
    snprintf(path, sizeof path, "%s/model.mlmodel", folder);
    if (!CHECK_OK(mil_buffer_map(path, &file, &err), &err)) return;
    size_t n = mil_buffer_bytes(file), passed = 0;
    uint8_t *bytes = malloc(n);
    memcpy(bytes, mil_buffer_data(file), n);
    weights_folder = folder;
    CHECK_OK(read_bytes(bytes, n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        static const uint8_t flips[] = {0x01, 0x80, 0xff};
        uint8_t *cut = malloc(i + 1); /* of its own size, so that a read beyond it is found out */
        memcpy(cut, bytes, i);
        passed += read_bytes(cut, i, &err) == MIL_OK;
        free(cut);
        for (int k = 0; k < 3; k++) {
            bytes[i] ^= flips[k];
            mil_status status = read_bytes(bytes, n, &err);
            CHECK(status == MIL_OK || (err.code == status && err.message[0]));
            bytes[i] ^= flips[k];
        }
    }
    CHECK(passed <= 1); /* where an unknown field is the last, what stands before it is whole */
    free(bytes);
    mil_buffer_free(file);
    weights_folder = PACKAGES "conv.mlpackage/Data/com.apple.CoreML";
}

static void damaged(void) {
    static const char *const packages[] = {"conv", "flexible", "enumerated", "functions", "stateful", "classifier", "unknown"};
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++) {
        test_row = packages[i];
        damage(packages[i]);
    }
}

static mil_status open_task(void *ctx, mil_error *err) {
    mil_program *program;
    MIL__TRY(mil_program_load(ctx, NULL, &program, err));
    mil_program_free(program);
    return MIL_OK;
}

static void no_memory(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(open_task, PACKAGES "conv.mlpackage") > 10);
    CHECK(test_each_allocation(open_task, PACKAGES "flexible.mlpackage") > 10);
    CHECK(test_each_allocation(open_task, PACKAGES "enumerated.mlpackage") > 10);
    CHECK(test_each_allocation(open_task, PACKAGES "functions.mlpackage") > 10);
    CHECK(test_each_allocation(open_task, PACKAGES "stateful.mlpackage") > 10);
    CHECK(test_each_allocation(open_task, PACKAGES "unknown.mlpackage") > 10);
    CHECK(test_each_allocation(open_task, PACKAGES "classifier.mlpackage") > 10);
    mil_program *program = load(PACKAGES "classifier.mlpackage");
    CHECK(test_each_allocation(compile_task, program) > 10);
    mil_program_free(program);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(conv), CASE(ranges), CASE(absent), CASE(several_shapes), CASE(several_functions), CASE(states), CASE(classifier), CASE(metadata), CASE(unknown), CASE(versions), CASE(variants), CASE(no_weights),
          CASE(linear), CASE(no_packages), CASE(manifests), CASE(bundles), CASE(kinds), CASE(depth), CASE(damaged), CASE(no_memory))
