/* SPDX-License-Identifier: MIT */
/* Any bytes as a GGUF file: it is refused, or all its tensors and metadata can be read; memory stays within the design's
 * bound. */
#define FUZZ_WORDS                                                                                                       \
    "GGUF", "general.alignment", "\4\0\0\0\1\0\0\0", "\10\0\0\0\0\0\0\0", "\11\0\0\0\10\0\0\0", "\3\0\0\0\0\0\0\0", "w",         \
        "\2\0\0\0", "\16\0\0\0", "\47\0\0\0"
#define FUZZ_MEMORY(size) (64 * (size) + ((size_t)16 << 20))
#include "weights_fuzz.h"

static void read_quantized(const mil_weights *weights, const char *name) {
    mil_tensor *data = NULL, *scale = NULL;
    mil_error err = {0};
    mil_status status = mil_weights_get_quantized(weights, name, MIL_FP16, &data, &scale, &err);
    FUZZ_CHECK((status == MIL_OK) == (data != NULL) && (data != NULL) == (scale != NULL));
    mil_tensor_free(data);
    mil_tensor_free(scale);
}

static void read_metadata(const mil_weights *weights, const char *key, size_t size) {
    mil_tensor *value = NULL;
    mil_error err = {0};
    FUZZ_CHECK(mil_weights_metadata_tensor(weights, key, &value, &err) == MIL_OK);
    size_t bytes = 0;
    for (int64_t i = 0; mil_tensor_dtype(value) == MIL_STRING && i < mil_tensor_numel(value); i++)
        bytes += 8 + strlen(mil_tensor_string(value, i, NULL));
    FUZZ_CHECK(bytes <= size);
    mil_tensor_free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mil_weights *weights = fuzz_weights_open(data, size, ".gguf");
    for (size_t i = 0; weights && i < mil_weights_count(weights) && i < 64; i++) read_quantized(weights, mil_weights_name(weights, i));
    for (size_t i = 0; weights && i < mil_weights_metadata_count(weights); i++)
        read_metadata(weights, mil_weights_metadata_key(weights, i), size);
    mil_weights_free(weights);
    return 0;
}
