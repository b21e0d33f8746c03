/* SPDX-License-Identifier: MIT */
/* fp32 to fp16 and back over 64 MiB of fp32, beside the memcpy of the fp32 side, in turns on one thread; and into rows padded as the
 * Neural Engine wants them. */
#include "bench.h"

#include <string.h>

#include "tensor/tensor.h"

enum { ROUNDS = 15, CHANNELS = 16384, WIDTH = 1024, NARROW = 1000 }; /* 16384 x 1024 floats: 64 MiB */

static mil_tensor *make(mil_dtype dtype, int64_t width, size_t row) {
    const int64_t shape[] = {1, CHANNELS, 1, width};
    mil_tensor *tensor = NULL;
    int64_t strides[MIL_MAX_RANK];
    size_t bytes;
    mil_buffer *buffer;
    if (mil_padded_strides(dtype, 4, shape, row, strides, &bytes, NULL) || mil_buffer_new(bytes, &buffer, NULL)) return NULL;
    mil_tensor_over(buffer, 0, dtype, 4, shape, strides, &tensor, NULL);
    mil_buffer_free(buffer);
    if (tensor) mil_tensor_fill(tensor, 1.5, NULL);
    return tensor;
}

static void measure(const char *what, mil_tensor *to, mil_tensor *from, char *copy, const char *copied, size_t bytes) {
    static double own[ROUNDS], other[ROUNDS], ratio[ROUNDS];
    for (int round = -2; round < ROUNDS; round++) { /* the first warm up */
        double start = bench_cpu();
        if (mil_tensor_copy(to, from, NULL) != MIL_OK) return;
        double between = bench_cpu();
        memcpy(copy, copied, bytes);
        double end = bench_cpu();
        if (round < 0) continue;
        own[round] = between - start;
        other[round] = end - between;
        ratio[round] = own[round] / other[round];
    }
    double middle = bench_median(ratio, ROUNDS);
    printf("%-28s %7.2f ms  memcpy of the fp32 side %7.2f ms  %.2f times (%.2f .. %.2f)\n", what, bench_median(own, ROUNDS) * 1e3,
           bench_median(other, ROUNDS) * 1e3, middle, ratio[1], ratio[ROUNDS - 2]);
}

int main(void) {
    mil_tensor *floats = make(MIL_FP32, WIDTH, 0), *halves = make(MIL_FP16, WIDTH, 0);
    mil_tensor *narrow = make(MIL_FP32, NARROW, 0), *rows = make(MIL_FP16, NARROW, 64);
    size_t bytes = (size_t)CHANNELS * WIDTH * sizeof(float), fewer = (size_t)CHANNELS * NARROW * sizeof(float);
    char *from = malloc(bytes), *to = malloc(bytes);
    if (!floats || !halves || !narrow || !rows || !from || !to) return 1;
    memset(from, 1, bytes), memset(to, 2, bytes);
    measure("fp32 to fp16", halves, floats, to, from, bytes);
    measure("fp16 to fp32", floats, halves, to, from, bytes);
    measure("fp32 to fp16 in padded rows", rows, narrow, to, from, fewer);
    measure("fp16 in padded rows to fp32", narrow, rows, to, from, fewer);
    mil_tensor_free(floats), mil_tensor_free(halves), mil_tensor_free(narrow), mil_tensor_free(rows);
    free(from), free(to);
    return 0;
}
