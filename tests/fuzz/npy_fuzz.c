/* SPDX-License-Identifier: MIT */
/* Any bytes as an npy or npz file: it is refused, or all its tensors can be read; memory stays within the design's bound. */
#define FUZZ_WORDS                                                                                                      \
    "'descr': ", "'fortran_order': ", "'shape': ", "True", "False", "'<f4'", "'>f2'", "'|b1'", "'<i8'", "'|O'", "(", ")", "()",  \
        "(3,)", "(2, 3)", "{", "}", ", ", "L", "u", "\x93NUMPY\1", "PK\3\4", "PK\1\2", "PK\5\6", "PK\6\7", "PK\6\6", ".npy",     \
        "9223372036854775807", "\xff\xff\xff\xff"
#define FUZZ_MEMORY(size) (64 * (size) + ((size_t)16 << 20))
#include "weights_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_weights(data, size, ".npz");
    return 0;
}
