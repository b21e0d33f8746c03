/* SPDX-License-Identifier: MIT */
/* MLMultiArrays over our memory, and tensors over theirs. */
#include "engine/coreml/coreml.h"

/* MLMultiArrayDataType: a kind of number in the upper half, its bits in the lower. */
static const struct {
    mil_dtype dtype;
    long type;
} types[] = {{MIL_FP16, 0x10010}, {MIL_FP32, 0x10020}, {MIL_FP64, 0x10040}, {MIL_INT8, 0x20008}, {MIL_INT32, 0x20020}};

long mil__coreml_dtype(mil_dtype dtype) {
    for (size_t i = 0; i < MIL__COUNT(types); i++)
        if (types[i].dtype == dtype) return types[i].type;
    return 0;
}

static mil_dtype dtype_of(long type) {
    for (size_t i = 0; i < MIL__COUNT(types); i++)
        if (types[i].type == type) return types[i].dtype;
    return MIL_NO_DTYPE;
}

/* A scalar is an array of one. */
static mil__id numbers_of(int rank, const int64_t *values) {
    mil__id numbers[MIL_MAX_RANK];
    for (int i = 0; i < rank; i++) numbers[i] = mil__ns_number((uint64_t)values[i]);
    if (rank == 0) numbers[0] = mil__ns_number(1);
    return mil__ns_array(numbers, rank ? (size_t)rank : 1);
}

/* Nobody steps along an axis of one element, so a view may say anything there (0, a step backwards); an array may not. */
static mil__id strides_of(const mil_tensor *tensor) {
    int64_t strides[MIL_MAX_RANK], dense = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        strides[i] = tensor->shape[i] == 1 ? dense : tensor->strides[i];
        dense = strides[i] * tensor->shape[i];
    }
    return numbers_of(tensor->rank, strides);
}

mil_status mil__coreml_array_over(const mil_tensor *tensor, mil__id *out, mil_error *err) {
    mil__id shape = numbers_of(tensor->rank, tensor->shape), strides = strides_of(tensor), error = NULL;
    mil__id array = shape && strides ? mil__send_class(MLMultiArray, alloc) : NULL;
    if (!shape || !strides) return mil__fail_made(err, "run");
    if (!array) return mil__fail_nothing(err, "run", MIL__METHOD(MLMultiArray, alloc));
    array = mil__send(array, MLMultiArray, overMemory, tensor->data, shape, mil__coreml_dtype(tensor->dtype), strides, NULL, &error);
    if (!array) return mil__fail_nserror(err, MIL_EIO, error, "run: Core ML makes no array of the memory given");
    *out = array;
    return MIL_OK;
}

static bool read_numbers(mil__id array, int rank, int64_t *out) {
    for (int i = 0; i < rank; i++)
        if (!mil__read_number(mil__read_at(array, (size_t)i), &out[i]) || out[i] < 0) return false;
    return true;
}

mil_status mil__coreml_array_view(mil__id array, const char *name, mil_tensor *out, mil_error *err) {
    int64_t shape[MIL_MAX_RANK], strides[MIL_MAX_RANK];
    mil__id dims = mil__send(array, MLMultiArray, shape), steps = mil__send(array, MLMultiArray, strides);
    mil_dtype dtype = dtype_of(mil__send(array, MLMultiArray, dataType));
    size_t rank = mil__read_count(dims);
    bool is_read = rank <= MIL_MAX_RANK && mil__read_count(steps) == rank && read_numbers(dims, (int)rank, shape) && read_numbers(steps, (int)rank, strides);
    void *memory = is_read && dtype ? mil__send(array, MLMultiArray, dataPointer) : NULL;
    if (!memory) return mil__fail(err, MIL_EIO, "run: Core ML gives %s as an array that can't be read", name);
    mil__tensor_init(out, dtype, (int)rank, shape, memory);
    memcpy(out->strides, strides, rank * sizeof *strides);
    return MIL_OK;
}
