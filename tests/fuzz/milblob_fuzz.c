/* SPDX-License-Identifier: MIT */
/* A weights file: at any offset there is a tensor inside of the file, or none. */
#define FUZZ_WORDS "\xef\xbe\xad\xde", "\x02\x00\x00\x00", "\x40\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff"
#define FUZZ_MEMORY(size) (64 * (size) + ((size_t)1 << 20))
#include "weights_fuzz.h"

#include "tensor/tensor.h"
#include "weights/milblob.h"

/* As many elements as the record at `offset` says, if it is one. */
static int64_t elements_at(const uint8_t *data, size_t size, uint64_t offset, mil_dtype dtype) {
    uint64_t bytes = 0;
    if (offset > size || size - offset < 16) return 0;
    memcpy(&bytes, data + offset + 8, sizeof bytes);
    return (int64_t)(bytes < ((uint64_t)1 << 40) ? bytes * 8 / (uint64_t)mil_dtype_bits(dtype) : bytes);
}

static void get(mil_buffer *file, const uint8_t *data, size_t size, uint64_t offset, mil_dtype dtype) {
    mil_tensor *tensor = NULL;
    mil_error err = {0};
    int64_t shape[] = {elements_at(data, size, offset, dtype)};
    mil_status status = mil__milblob_tensor(file, offset, dtype, 1, shape, &tensor, &err);
    FUZZ_CHECK((status == MIL_OK) == (tensor != NULL));
    FUZZ_CHECK(status == MIL_OK || (err.code == status && err.message[0]));
    if (tensor) fuzz_tensor(tensor, size);
    mil_tensor_free(tensor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mil_buffer *file;
    mil_error err = {0};
    uint8_t *copy = fuzz_malloc(size); /* of its own size, so that a read beyond it is found out */
    if (size) memcpy(copy, data, size);
    if (copy && mil_buffer_borrow(copy, size, false, NULL, NULL, &file, &err) == MIL_OK) {
        for (uint64_t offset = 0; offset <= size + 64 && offset < 1024; offset += 64)
            for (int dtype = MIL_NO_DTYPE + 1; dtype < MIL_N_DTYPES; dtype++)
                if (dtype != MIL_STRING) get(file, copy, size, offset, (mil_dtype)dtype);
        get(file, copy, size, UINT64_MAX - 63, MIL_FP16);
        mil_buffer_free(file);
    }
    fuzz_free(copy);
    return 0;
}
