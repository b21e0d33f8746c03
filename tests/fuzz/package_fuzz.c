/* SPDX-License-Identifier: MIT */
/* A package's model: any bytes are a program, which prints, or an error. Weights files are not there. */
#define FUZZ_WORDS "\xb2\x1f", "CoreML6", "\x12\x04main", "\x0a\x05const", "val", "name", "\x08\x0a", "\x08\x0b", "\x1a\x02\x0a\x00", "\x12\x00"
#define FUZZ_MEMORY(size) ((size) * 64 + (16 << 20))
#include "fuzz.h"

#include <protobuf-c/protobuf-c.h>

#include "package/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mil__arena messages = {0};
    Mil__Spec__Model *model;
    mil_program *program;
    mil_error err = {0};
    char *text;
    if (mil_program_new(MIL_IOS15, &program, &err) != MIL_OK) return 0;
    mil__reader r = {.program = program, .err = &err, .most_bytes = size * 16 + ((size_t)4 << 20)};
    r.blobs.model_path = "/nowhere";
    mil_status status = mil__model_unpack(data, size, &messages, &model, &err);
    if (status == MIL_OK) status = mil__read_model(&r, model);
    FUZZ_CHECK(status == MIL_OK || (err.code == status && err.message[0]));
    if (status == MIL_OK && mil_text_print(program, &text, NULL, &err) == MIL_OK) mil_free(text);
    mil__blobs_free(&r.blobs);
    mil__arena_free(&r.tmp);
    mil__arena_free(&messages);
    mil_program_free(program);
    return 0;
}
