/* SPDX-License-Identifier: MIT */
/* A package's model: any bytes are a program, which prints and is written again as what can be read, or an error. Weights
 * files are not there. */
#define FUZZ_WORDS "\xb2\x1f", "CoreML6", "\x12\x04main", "\x0a\x05const", "val", "name", "\x08\x0a", "\x08\x0b", "\x1a\x02\x0a\x00", "\x12\x00"
#define FUZZ_MEMORY(size) ((size) * 64 + (16 << 20))
#include "fuzz.h"

#include <protobuf-c/protobuf-c.h>

#include "package/package.h"
#include "package/write.h"

static mil_status read_program(const uint8_t *data, size_t size, mil_program **out, mil_error *err) {
    mil__arena messages = {0};
    Mil__Spec__Model *model;
    mil_status status = mil_program_new(MIL_IOS15, out, err);
    if (status != MIL_OK) return status;
    mil__reader r = {.program = *out, .err = err, .most_bytes = size * 16 + ((size_t)4 << 20)};
    r.blobs = (mil__blobs){.model_path = "tests/vectors/packages/conv.mlpackage/Data/com.apple.CoreML", .may_be_absent = true};
    status = mil__model_unpack(data, size, &messages, &model, err);
    if (status == MIL_OK) status = mil__read_model(&r, model);
    mil__blobs_free(&r.blobs);
    mil__arena_free(&r.tmp);
    mil__arena_free(&messages);
    return status;
}

/* As save.c does, with all consts in the message. */
static void write_and_read(const mil_program *program) {
    mil_error err = {0};
    mil_program *again;
    uint8_t *bytes;
    size_t n;
    if (mil_program_verify(program, &err) != MIL_OK) return;
    mil__model_writer w = {.program = program, .blob_elements = INT64_MAX, .blobs = {.path = "/nowhere/weight.bin"}, .err = &err};
    w.kept_model = mil__write_kept(&w, MIL__KEPT_MODEL, 0, &mil__spec__model__descriptor);
    w.version = mil__write_version(program, w.kept_model);
    const Mil__Spec__Model *model = mil__write_model(&w);
    FUZZ_CHECK(model || (w.status != MIL_OK && err.code == w.status && err.message[0]));
    if (model && mil__pack(&model->base, &bytes, &n, &err) == MIL_OK) {
        mil_status status = read_program(bytes, n, &again, &err);
        FUZZ_CHECK(status == MIL_OK || status == MIL_ELIMIT || status == MIL_ENOMEM);
        mil_program_free(again);
        mil__free(bytes);
    }
    mil__model_writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mil_program *program = NULL;
    mil_error err = {0};
    char *text;
    mil_status status = read_program(data, size, &program, &err);
    FUZZ_CHECK(status == MIL_OK || (err.code == status && err.message[0]));
    if (status == MIL_OK && mil_text_print(program, &text, NULL, &err) == MIL_OK) mil_free(text);
    if (status == MIL_OK) write_and_read(program);
    mil_program_free(program);
    return 0;
}
