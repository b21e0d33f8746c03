/* SPDX-License-Identifier: MIT */
/* What the targets for weight files share: the input as a file, all of whose tensors are read. */
#ifndef WEIGHTS_FUZZ_H
#define WEIGHTS_FUZZ_H

#include "fuzz.h"

#include <sys/mman.h>

/* Every element is looked at, so that the sanitizer sees those that lie outside. What is read must fit what is said. */
static inline void fuzz_tensor(const mil_tensor *tensor, size_t size) {
    mil_tensor_stats stats;
    FUZZ_CHECK(mil_tensor_rank(tensor) <= MIL_MAX_RANK && mil_tensor_numel(tensor) >= 0);
    FUZZ_CHECK(mil_tensor_bytes(tensor) <= 2000 * size + 16); /* deflate reaches about 1032 */
    mil_tensor_statistics(tensor, &stats);
}

/* The input as a file in memory, which is mapped as any other; NULL where it is refused. Its tensors have been read. */
static inline mil_weights *fuzz_weights_open(const uint8_t *data, size_t size, const char *ending) {
    char path[64], linked[96];
    int fd = memfd_create("fuzz", 0);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(linked, sizeof linked, "/tmp/fuzz.%ld%s", (long)getpid(), ending);
    mil_weights *weights = NULL;
    mil_error err = {0};
    bool has_link = symlink(path, linked) == 0; /* the name's ending decides where the content does not */
    mil_status status = mil_weights_open(has_link ? linked : path, &weights, &err);
    if (has_link) unlink(linked);
    close(fd);
    FUZZ_CHECK((status == MIL_OK) == (weights != NULL));
    FUZZ_CHECK(status == MIL_OK || (err.code == status && err.message[0] && !strchr(err.message, '\n')));
    for (size_t i = 0; weights && i < mil_weights_count(weights) && i < 64; i++) {
        mil_tensor *tensor = NULL;
        status = mil_weights_get(weights, mil_weights_name(weights, i), &tensor, &err);
        FUZZ_CHECK((status == MIL_OK) == (tensor != NULL) && status != MIL_ENAME);
        if (tensor) fuzz_tensor(tensor, size);
        mil_tensor_free(tensor);
    }
    return weights;
}

static inline void fuzz_weights(const uint8_t *data, size_t size, const char *ending) {
    mil_weights_free(fuzz_weights_open(data, size, ending));
}

#endif
