/* SPDX-License-Identifier: MIT */
/* The coremldata.bin of a compiled bundle: any bytes describe the program, or are refused. */
#define FUZZ_WORDS "generic", "\x0a\x01x", "\x2a\x02\x0a\x00", "\xa2\x06", "\xfa\x01", "\xaa\x01", "main", "author"
#define FUZZ_MEMORY(size) ((size) * 64 + (16 << 20))
#include "fuzz.h"

#include <protobuf-c/protobuf-c.h>

#include "package/package.h"

static const char text[] = "program(1.0){func main<ios16>(tensor<fp32,[1,?,?,?]> x){tensor<fp32,[1,?,?,?]> y = relu(x = x);}->(y);}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mil_program *program;
    mil_error err = {0};
    FUZZ_CHECK(mil_text_parse(text, sizeof text - 1, NULL, &program, &err) == MIL_OK);
    mil_status status = mil__describe_bundle("B", data, size, program, &err);
    FUZZ_CHECK(status == MIL_OK || (err.code == status && err.message[0]));
    for (size_t i = 0; i < mil_program_n_metadata(program); i++) FUZZ_CHECK(mil_program_metadata_at(program, i, NULL));
    mil_program_free(program);
    return 0;
}
