/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: it is refused, or all its tensors can be read; memory stays within the design's bound. */
#define FUZZ_WORDS                                                                                                       \
    "\"dtype\":", "\"shape\":", "\"data_offsets\":", "\"__metadata__\":", "\"F32\"", "\"F16\"", "\"BOOL\"", "\"I64\"", "\"F4\"", \
        "[]", "[0,4]", "[4,8]", "[0,0]", "{", "}", "[", "]", ",", ":", "\"a\"", "\\u0000", "\\ud800", "-1", "1.0", "1e9",        \
        "9223372036854775807", "18446744073709551616", "null", "[[[[", "{\"\":", "[],[],[],[],[],[],[],[]"
#define FUZZ_MEMORY(size) (64 * (size) + ((size_t)16 << 20))
#include "weights_fuzz.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_set_alloc_funcs(fuzz_malloc, fuzz_free); /* so that jansson's memory is counted with ours */
    fuzz_weights(data, size, ".safetensors");
    return 0;
}
