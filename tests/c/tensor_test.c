/* SPDX-License-Identifier: MIT */
/* Tensors: making, views, copies, elements, strings, statistics, random numbers. */
#include "test.h"

#include <math.h>
#include <stdint.h>

#include "tensor/tensor.h"

static mil_error err;

static mil_tensor *fresh(mil_dtype dtype, int rank, const int64_t *shape) {
    mil_tensor *t = NULL;
    CHECK_OK(mil_tensor_new(dtype, rank, shape, &t, &err), &err);
    return t;
}

/* 0, 1, 2, .. in C order. */
static mil_tensor *counting(mil_dtype dtype, int rank, const int64_t *shape) {
    mil_tensor *t = fresh(dtype, rank, shape);
    int64_t values[256];
    for (int i = 0; i < 256; i++) values[i] = i;
    CHECK(mil__numel(t) <= 256);
    mil__write_i64(t, values);
    return t;
}

/* The elements in C order as text, "0 1 2", and the tensor freed. */
static const char *text(mil_tensor *t) {
    static char buf[2048];
    double values[256];
    buf[0] = 0;
    if (!t) return "NULL";
    mil__read_f64(t, values);
    for (int64_t i = 0; i < mil__numel(t); i++)
        snprintf(buf + strlen(buf), sizeof buf - strlen(buf), "%s%g", i ? " " : "", values[i]);
    mil_tensor_free(t);
    return buf;
}

#define SHAPE(...) (int64_t[]){__VA_ARGS__}

static void making(void) {
    mil_tensor *t = fresh(MIL_FP16, 3, SHAPE(2, 3, 4));
    CHECK_EQ(mil_tensor_dtype(t), MIL_FP16);
    CHECK_EQ(mil_tensor_rank(t), 3);
    CHECK_EQ((long long)mil_tensor_numel(t), 24);
    CHECK_EQ((long long)mil_tensor_bytes(t), 48);
    CHECK_EQ(MIL__SHAPE_TEXT(3, mil_tensor_strides(t)), "[12, 4, 1]");
    CHECK_EQ(MIL__SHAPE_TEXT(3, mil_tensor_shape(t)), "[2, 3, 4]");
    CHECK(mil_tensor_is_contiguous(t));
    CHECK((uintptr_t)mil_tensor_data(t) % 64 == 0);
    CHECK_EQ(text(t), "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0");
    t = fresh(MIL_INT4, 1, SHAPE(5));
    CHECK_EQ((long long)mil_tensor_bytes(t), 3);
    CHECK_EQ(text(t), "0 0 0 0 0");
    t = fresh(MIL_FP32, 2, SHAPE(3, 0));
    CHECK_EQ((long long)mil_tensor_bytes(t), 0);
    CHECK_EQ(text(t), "");
    t = fresh(MIL_FP32, 0, NULL);
    CHECK_EQ(text(mil_tensor_retain(t)), "0");
    mil_tensor_free(t);
    mil_tensor_free(NULL);
}

static void refused_tensors(void) {
    static const int64_t nines[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct {
        mil_dtype dtype;
        int rank;
        const int64_t *shape;
        mil_status status;
        const char *message;
    } rows[] = {
        {MIL_NO_DTYPE, 0, NULL, MIL_EINVAL, "0 is no dtype"},
        {(mil_dtype)99, 0, NULL, MIL_EINVAL, "99 is no dtype"},
        {MIL_FP32, 9, nines, MIL_EINVAL, "rank 9, but 0 to 8"},
        {MIL_FP32, -1, NULL, MIL_EINVAL, "rank -1"},
        {MIL_FP32, 2, SHAPE(2, -1), MIL_EVALUE, "fp32[2, -1] has a negative extent"},
        {MIL_FP32, 2, SHAPE(INT64_C(1) << 32, INT64_C(1) << 32), MIL_EVALUE, "more elements than memory"},
        {MIL_FP64, 1, SHAPE(INT64_MAX / 8), MIL_ENOMEM, "out of memory"},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_tensor *t = NULL;
        CHECK_STATUS(mil_tensor_new(rows[i].dtype, rows[i].rank, rows[i].shape, &t, &err), rows[i].status, &err);
        CHECK_HAS(err.message, rows[i].message);
        CHECK(t == NULL);
    }
}

/* Views over a buffer of 64 bytes that hold 0 to 63. */
static void over_a_buffer(void) {
    const struct {
        size_t offset;
        mil_dtype dtype;
        int rank;
        int64_t shape[3], strides[3];
        bool strided;
        mil_status status;
        const char *wanted; /* elements, or part of the message */
    } rows[] = {
        {0, MIL_UINT8, 1, {4}, {0}, false, MIL_OK, "0 1 2 3"},
        {60, MIL_UINT8, 1, {4}, {0}, false, MIL_OK, "60 61 62 63"},
        {61, MIL_UINT8, 1, {4}, {0}, false, MIL_EVALUE, "uint8[4] at byte 61 does not lie inside its buffer of 64 bytes"},
        {0, MIL_UINT8, 2, {2, 3}, {1, 2}, true, MIL_OK, "0 2 4 1 3 5"},
        {63, MIL_UINT8, 1, {4}, {-1}, true, MIL_OK, "63 62 61 60"},
        {2, MIL_UINT8, 1, {4}, {-1}, true, MIL_EVALUE, "does not lie inside"},
        {5, MIL_UINT8, 2, {2, 2}, {0, 0}, true, MIL_OK, "5 5 5 5"},
        {0, MIL_UINT8, 2, {8, 8}, {9, 1}, true, MIL_EVALUE, "does not lie inside"},
        {0, MIL_UINT8, 2, {8, 8}, {INT64_MAX, 1}, true, MIL_EVALUE, "does not lie inside"},
        {0, MIL_UINT16, 1, {2}, {INT64_MIN}, true, MIL_EVALUE, "does not lie inside"},
        {64, MIL_UINT8, 1, {0}, {0}, false, MIL_OK, ""},
        {65, MIL_UINT8, 1, {0}, {0}, false, MIL_EVALUE, "does not lie inside"},
        {2, MIL_INT16, 1, {1}, {0}, false, MIL_OK, "770"},
        {1, MIL_INT16, 1, {1}, {0}, false, MIL_EVALUE, "int16[1] at byte 1 is not aligned to its elements"},
        {1, MIL_UINT4, 1, {3}, {0}, false, MIL_OK, "1 0 2"},
        {62, MIL_UINT4, 1, {5}, {0}, false, MIL_EVALUE, "does not lie inside"},
        {0, MIL_UINT4, 1, {3}, {2}, true, MIL_ETYPE, "uint4[3] is packed and cannot be strided"},
        {0, MIL_STRING, 1, {1}, {0}, false, MIL_ETYPE, "strings cannot be a view"},
    };
    mil_buffer *buffer = NULL;
    CHECK_OK(mil_buffer_new(64, &buffer, &err), &err);
    for (int i = 0; i < 64; i++) ((uint8_t *)mil_buffer_data(buffer))[i] = (uint8_t)i;
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_tensor *t = NULL;
        test_row = rows[i].wanted;
        mil_status status = mil_tensor_over(buffer, rows[i].offset, rows[i].dtype, rows[i].rank, rows[i].shape,
                                            rows[i].strided ? rows[i].strides : NULL, &t, &err);
        CHECK_STATUS(status, rows[i].status, &err);
        if (rows[i].status == MIL_OK) CHECK_EQ(text(t), rows[i].wanted);
        else CHECK_HAS(err.message, rows[i].wanted);
    }
    mil_buffer_free(buffer);
}

static void slices(void) {
    const struct {
        mil_dtype dtype;
        int64_t begin[2], size[2], step[2];
        mil_status status;
        const char *wanted;
    } rows[] = { /* of 0 .. 11 as [3, 4] */
        {MIL_FP32, {1, 1}, {2, 2}, {1, 1}, MIL_OK, "5 6 9 10"},
        {MIL_FP32, {0, 0}, {2, 2}, {2, 3}, MIL_OK, "0 3 8 11"},
        {MIL_FP32, {2, 3}, {3, 4}, {-1, -1}, MIL_OK, "11 10 9 8 7 6 5 4 3 2 1 0"},
        {MIL_FP32, {3, 0}, {0, 4}, {1, 1}, MIL_OK, ""},
        {MIL_FP32, {2, 0}, {1, 1}, {INT64_MAX, 5}, MIL_OK, "8"},
        {MIL_FP32, {0, 0}, {4, 1}, {1, 1}, MIL_EVALUE, "slice: 4 elements from 0 by 1 do not lie in axis 0 of fp32[3, 4]"},
        {MIL_FP32, {0, 1}, {1, 2}, {1, -2}, MIL_EVALUE, "2 elements from 1 by -2 do not lie in axis 1"},
        {MIL_FP32, {0, 0}, {2, 1}, {0, 1}, MIL_EVALUE, "by 0"},
        {MIL_FP32, {-1, 0}, {1, 1}, {1, 1}, MIL_EVALUE, "from -1"},
        {MIL_FP32, {0, 0}, {-1, 1}, {1, 1}, MIL_EVALUE, "slice: -1 elements"},
        {MIL_FP32, {3, 0}, {1, 1}, {1, 1}, MIL_EVALUE, "from 3"},
        {MIL_FP32, {0, 0}, {3, 1}, {INT64_MAX, 1}, MIL_EVALUE, "do not lie"},
        {MIL_UINT4, {1, 0}, {2, 4}, {1, 1}, MIL_OK, "4 5 6 7 8 9 10 11"},
        {MIL_UINT4, {1, 1}, {1, 2}, {1, 1}, MIL_ETYPE, "packed; this view of it would have to be strided, or begin inside"},
        {MIL_UINT4, {0, 0}, {2, 2}, {1, 1}, MIL_ETYPE, "packed"},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_tensor *t = counting(rows[i].dtype, 2, SHAPE(3, 4)), *view = NULL;
        test_row = rows[i].wanted;
        CHECK_STATUS(mil_tensor_slice(t, rows[i].begin, rows[i].size, rows[i].step, &view, &err), rows[i].status, &err);
        if (rows[i].status == MIL_OK) CHECK_EQ(text(view), rows[i].wanted);
        else CHECK_HAS(err.message, rows[i].wanted);
        mil_tensor_free(t);
    }
}

/* Of a tensor without elements the strides may be anything, also what multiplication would overflow. */
static void slices_of_nothing(void) {
    mil_error err = {0};
    mil_tensor *wide, *strided, *part;
    mil_buffer *buffer;
    CHECK_OK(mil_tensor_new(MIL_FP32, 3, SHAPE(0, INT64_C(1) << 60, 64), &wide, &err), &err);
    CHECK_OK(mil_tensor_slice(wide, SHAPE(0, (INT64_C(1) << 60) - 1, 0), SHAPE(0, 1, 64), NULL, &part, &err), &err);
    CHECK_EQ(mil_tensor_numel(part), 0);
    CHECK_EQ(mil_tensor_shape(part)[2], 64);
    mil_tensor_free(part);
    CHECK_OK(mil_buffer_new(64, &buffer, &err), &err);
    CHECK_OK(mil_tensor_over(buffer, 0, MIL_FP32, 2, SHAPE(0, 4), SHAPE(1, INT64_MAX / 2), &strided, &err), &err);
    CHECK_OK(mil_tensor_slice(strided, SHAPE(0, 3), SHAPE(0, 2), SHAPE(1, -3), &part, &err), &err);
    CHECK(mil_tensor_data(part) == mil_buffer_data(buffer));
    CHECK_STATUS(mil_tensor_slice(strided, SHAPE(0, 3), SHAPE(0, 2), NULL, &wide, &err), MIL_EVALUE, &err);
    mil_tensor_free(part);
    mil_tensor_free(strided);
    mil_tensor_free(wide);
    mil_buffer_free(buffer);
}

static void transposes(void) {
    mil_tensor *t = counting(MIL_INT16, 3, SHAPE(2, 3, 2)), *view = NULL;
    CHECK_OK(mil_tensor_transpose(t, (int[]){2, 0, 1}, &view, &err), &err);
    CHECK_EQ(MIL__SHAPE_TEXT(3, mil_tensor_shape(view)), "[2, 2, 3]");
    CHECK(mil_tensor_buffer(view) == mil_tensor_buffer(t) && !mil_tensor_is_contiguous(view));
    CHECK_EQ(text(view), "0 2 4 6 8 10 1 3 5 7 9 11");
    CHECK_STATUS(mil_tensor_transpose(t, (int[]){0, 0, 1}, &view, &err), MIL_EVALUE, &err);
    CHECK_HAS(err.message, "transpose: perm[1] = 0, but each axis of int16[2, 3, 2] must be named once");
    CHECK_STATUS(mil_tensor_transpose(t, (int[]){0, 3, 1}, &view, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil_tensor_transpose(t, (int[]){0, -1, 1}, &view, &err), MIL_EVALUE, &err);
    mil_tensor_free(t);
    t = counting(MIL_UINT2, 2, SHAPE(1, 4));
    CHECK_OK(mil_tensor_transpose(t, (int[]){1, 0}, &view, &err), &err);
    CHECK_EQ(text(view), "0 1 2 3");
    mil_tensor_free(t);
}

/* Of a view of 0 .. 23 as [2, 3, 4], transposed by perm. */
static void reshapes(void) {
    const struct {
        int perm[3];
        int rank;
        int64_t shape[5];
        mil_status status;
        const char *strides; /* or part of the message */
    } rows[] = {
        {{0, 1, 2}, 1, {24}, MIL_OK, "[1]"},
        {{0, 1, 2}, 4, {3, 1, 4, 2}, MIL_OK, "[8, 8, 2, 1]"},
        {{0, 1, 2}, 5, {1, 6, 2, 2, 1}, MIL_OK, "[24, 4, 2, 1, 1]"},
        {{1, 0, 2}, 4, {3, 2, 2, 2}, MIL_OK, "[4, 12, 2, 1]"},
        {{1, 0, 2}, 2, {6, 4}, MIL_ETYPE, "reshape: fp32[3, 2, 4] with strides [4, 12, 1] has no view of shape [6, 4]"},
        {{2, 0, 1}, 2, {4, 6}, MIL_OK, "[1, 4]"},
        {{2, 0, 1}, 2, {2, 12}, MIL_ETYPE, "no view"},
        {{0, 1, 2}, 1, {23}, MIL_ETYPE, "reshape: fp32[2, 3, 4] has 24 elements, which do not fill [23]"},
        {{0, 1, 2}, 1, {-24}, MIL_ETYPE, "do not fill"},
        {{0, 1, 2}, 9, {0}, MIL_EINVAL, "rank 9"},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_tensor *t = counting(MIL_FP32, 3, SHAPE(2, 3, 4)), *turned = NULL, *view = NULL;
        test_row = rows[i].strides;
        CHECK_OK(mil_tensor_transpose(t, rows[i].perm, &turned, &err), &err);
        CHECK_STATUS(mil_tensor_reshape(turned, rows[i].rank, rows[i].shape, &view, &err), rows[i].status, &err);
        if (rows[i].status == MIL_OK) {
            CHECK_EQ(MIL__SHAPE_TEXT(view->rank, view->strides), rows[i].strides);
            char before[512];
            snprintf(before, sizeof before, "%s", text(mil_tensor_retain(turned)));
            CHECK_EQ(text(view), (const char *)before);
        } else {
            CHECK_HAS(err.message, rows[i].strides);
        }
        mil_tensor_free(turned);
        mil_tensor_free(t);
    }
    test_row = "";
    mil_tensor *one = counting(MIL_FP32, 0, NULL), *none = counting(MIL_FP32, 2, SHAPE(0, 5)), *view = NULL;
    CHECK_OK(mil_tensor_reshape(one, 2, SHAPE(1, 1), &view, &err), &err);
    CHECK_EQ(text(view), "0");
    CHECK_OK(mil_tensor_reshape(none, 3, SHAPE(7, 0, 3), &view, &err), &err);
    CHECK_EQ(text(view), "");
    mil_tensor_free(one);
    mil_tensor_free(none);
}

static void copies(void) {
    mil_tensor *a = counting(MIL_FP32, 2, SHAPE(3, 4)), *b = fresh(MIL_INT8, 2, SHAPE(4, 3)), *turned = NULL;
    CHECK_OK(mil_tensor_transpose(b, (int[]){1, 0}, &turned, &err), &err);
    CHECK_OK(mil_tensor_copy(turned, a, &err), &err);
    CHECK_EQ(text(mil_tensor_retain(b)), "0 4 8 1 5 9 2 6 10 3 7 11");
    CHECK_STATUS(mil_tensor_copy(b, a, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "copy: int8[4, 3] takes a tensor of its own shape, but fp32[3, 4] was given");
    CHECK_STATUS(mil_tensor_copy(a, a, &err), MIL_EINVAL, &err);
    CHECK_HAS(err.message, "copy: fp32[3, 4] and fp32[3, 4] share memory");
    mil_tensor *left = NULL, *right = NULL, *rows = NULL;
    CHECK_OK(mil_tensor_slice(a, SHAPE(0, 0), SHAPE(3, 1), NULL, &left, &err), &err);
    CHECK_OK(mil_tensor_slice(a, SHAPE(0, 3), SHAPE(3, 1), NULL, &right, &err), &err);
    CHECK_OK(mil_tensor_copy(left, right, &err), &err); /* columns of one matrix share no byte */
    CHECK_EQ(text(mil_tensor_retain(a)), "3 1 2 3 7 5 6 7 11 9 10 11");
    CHECK_OK(mil_tensor_slice(a, SHAPE(2, 0), SHAPE(3, 4), SHAPE(-1, 1), &rows, &err), &err);
    CHECK_STATUS(mil_tensor_copy(rows, a, &err), MIL_EINVAL, &err);
    mil_tensor_free(left), mil_tensor_free(right), mil_tensor_free(rows);
    mil_tensor_free(a), mil_tensor_free(b), mil_tensor_free(turned);
}

/* Transpositions large enough to go in tiles, with what the tiles leave over. */
static void large_transpositions(void) {
    static const struct {
        int64_t shape[3];
        int perm[3];
    } rows[] = {{{3, 40, 70}, {0, 2, 1}}, {{64, 2, 33}, {2, 1, 0}}, {{35, 34, 2}, {1, 0, 2}}, {{1, 100, 32}, {2, 0, 1}}};
    for (size_t r = 0; r < MIL__COUNT(rows); r++) {
        mil_tensor *t = fresh(MIL_INT32, 3, rows[r].shape), *turned = NULL, *copy = NULL;
        for (int64_t i = 0; i < mil__numel(t); i++) ((int32_t *)t->data)[i] = (int32_t)i;
        CHECK_OK(mil_tensor_transpose(t, rows[r].perm, &turned, &err), &err);
        CHECK_OK(mil_tensor_convert(turned, MIL_FP32, &copy, &err), &err);
        bool ok = true;
        for (int64_t i = 0; i < mil__numel(copy); i++) {
            int64_t index[3] = {i / (copy->shape[1] * copy->shape[2]), i / copy->shape[2] % copy->shape[1], i % copy->shape[2]};
            double value = -1;
            ok = ok && mil_tensor_get(turned, index, &value, &err) == MIL_OK && ((float *)copy->data)[i] == (float)value;
        }
        CHECK(ok);
        mil_tensor_free(t), mil_tensor_free(turned), mil_tensor_free(copy);
    }
}

/* Every dtype's elements survive a strided copy to, and from, int64; packed ones are reached bit by bit. */
static void strided_dtypes(void) {
    for (int i = MIL_NO_DTYPE + 1; i < MIL_N_DTYPES; i++) {
        mil_dtype dtype = (mil_dtype)i;
        if (dtype == MIL_STRING) continue;
        test_row = mil_dtype_name(dtype);
        mil_tensor *wide = fresh(MIL_INT64, 2, SHAPE(5, 3)), *turned = NULL, *narrow = NULL, *back = NULL;
        int64_t values[15], got[15];
        for (int k = 0; k < 15; k++) values[k] = k % 2;
        CHECK_OK(mil_tensor_transpose(wide, (int[]){1, 0}, &turned, &err), &err);
        mil__write_i64(turned, values);
        CHECK_OK(mil_tensor_convert(turned, dtype, &narrow, &err), &err);
        CHECK_EQ(MIL__SHAPE_TEXT(2, mil_tensor_shape(narrow)), "[3, 5]");
        mil__read_i64(narrow, got);
        CHECK(memcmp(got, values, sizeof got) == 0);
        CHECK_OK(mil_tensor_fill(wide, 7, &err), &err);
        CHECK_OK(mil_tensor_copy(turned, narrow, &err), &err);
        mil__read_i64(turned, got);
        CHECK(memcmp(got, values, sizeof got) == 0);
        CHECK_OK(mil_tensor_convert(narrow, MIL_FP32, &back, &err), &err);
        CHECK_EQ(text(back), "0 1 0 1 0 1 0 1 0 1 0 1 0 1 0");
        mil_tensor_free(wide), mil_tensor_free(turned), mil_tensor_free(narrow);
    }
}

static void elements(void) {
    mil_tensor *t = counting(MIL_INT8, 2, SHAPE(2, 3)), *f = fresh(MIL_FP16, 0, NULL), *u = fresh(MIL_UINT64, 1, SHAPE(1));
    double value = -1;
    int64_t whole = -1;
    CHECK_OK(mil_tensor_get(t, SHAPE(1, 2), &value, &err), &err);
    CHECK_EQ(value, 5.0);
    CHECK_OK(mil_tensor_set(t, SHAPE(1, 2), 300, &err), &err);
    CHECK_OK(mil_tensor_get_int(t, SHAPE(1, 2), &whole, &err), &err);
    CHECK_EQ((long long)whole, 127);
    CHECK_OK(mil_tensor_set_int(t, SHAPE(0, 0), -1000, &err), &err);
    CHECK_OK(mil_tensor_get_int(t, SHAPE(0, 0), &whole, &err), &err);
    CHECK_EQ((long long)whole, -128);
    CHECK_STATUS(mil_tensor_get(t, SHAPE(2, 0), &value, &err), MIL_EVALUE, &err);
    CHECK_HAS(err.message, "get: index 2 does not lie in axis 0 of int8[2, 3]");
    CHECK_STATUS(mil_tensor_set(t, SHAPE(0, -1), 0, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil_tensor_get_int(f, NULL, &whole, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "get: fp16 has no integers");
    CHECK_OK(mil_tensor_set(u, SHAPE(0), 1e30, &err), &err);
    CHECK_OK(mil_tensor_get(u, SHAPE(0), &value, &err), &err);
    CHECK_EQ(value, 0x1p64);
    CHECK_STATUS(mil_tensor_get_int(u, SHAPE(0), &whole, &err), MIL_EVALUE, &err);
    CHECK_HAS(err.message, "get: 18446744073709551615 of uint64[1] does not fit int64");
    mil_buffer_freeze(mil_tensor_buffer(t));
    CHECK_STATUS(mil_tensor_set(t, SHAPE(0, 0), 1, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "set: int8[2, 3] cannot be written: it is a const of a program");
    CHECK_STATUS(mil_tensor_set_int(t, SHAPE(0, 0), 1, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_tensor_fill(t, 1, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_tensor_uniform(t, &(mil_random){{1}, 0, false}, 0, 1, &err), MIL_ESTATE, &err);
    mil_tensor *like = fresh(MIL_INT8, 2, SHAPE(2, 3));
    CHECK_STATUS(mil_tensor_copy(t, like, &err), MIL_ESTATE, &err);
    mil_tensor_free(like), mil_tensor_free(t), mil_tensor_free(f), mil_tensor_free(u);
}

static void strings(void) {
    mil_tensor *t = NULL, *part = NULL, *copy = NULL;
    size_t length;
    double value;
    CHECK_OK(mil_tensor_strings(1, 3, (const char *[]){"one", "", "t\0o"}, (size_t[]){3, 0, 3}, &t, &err), &err);
    CHECK_EQ(mil_tensor_string(t, 0, NULL), "one");
    CHECK_EQ(mil_tensor_string(t, 1, &length), "");
    CHECK_EQ((long long)length, 0);
    CHECK(memcmp(mil_tensor_string(t, 2, &length), "t\0o", 4) == 0 && length == 3);
    CHECK(mil_tensor_string(t, 3, NULL) == NULL && mil_tensor_string(t, -1, NULL) == NULL);
    CHECK_OK(mil_tensor_slice(t, SHAPE(2), SHAPE(2), SHAPE(-2), &part, &err), &err);
    CHECK_OK(mil_tensor_convert(part, MIL_STRING, &copy, &err), &err);
    mil_tensor_free(t), mil_tensor_free(part);
    CHECK_EQ(mil_tensor_string(copy, 1, NULL), "one");
    CHECK_STATUS(mil_tensor_convert(copy, MIL_FP32, &t, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "convert: string[2] cannot become fp32");
    CHECK_STATUS(mil_tensor_get(copy, SHAPE(0), &value, &err), MIL_ETYPE, &err);
    CHECK_STATUS(mil_tensor_fill(copy, 0, &err), MIL_ETYPE, &err);
    mil_tensor_free(copy);
    CHECK_OK(mil_tensor_new(MIL_STRING, 1, SHAPE(2), &t, &err), &err);
    CHECK_EQ(mil_tensor_string(t, 1, &length), "");
    mil_tensor_free(t);
    CHECK_STATUS(mil_tensor_strings(0, 2, (const char *[]){"a", "b"}, (size_t[]){1, 1}, &t, &err), MIL_EINVAL, &err);
    CHECK_STATUS(mil_tensor_strings(2, 1, (const char *[]){"a"}, (size_t[]){1}, &t, &err), MIL_EINVAL, &err);
    t = fresh(MIL_FP32, 0, NULL);
    CHECK(mil_tensor_string(t, 0, NULL) == NULL);
    mil_tensor_free(t);
}

static void statistics(void) {
    mil_tensor_stats stats;
    mil_tensor *t = counting(MIL_FP32, 2, SHAPE(2, 4)), *none = fresh(MIL_FP16, 1, SHAPE(0)), *turned = NULL;
    mil_tensor_set(t, SHAPE(0, 0), NAN, &err);
    CHECK_OK(mil_tensor_transpose(t, (int[]){1, 0}, &turned, &err), &err);
    mil_tensor_statistics(turned, &stats);
    CHECK(stats.min == 1 && stats.max == 7 && stats.mean == 4 && stats.n_nan == 1 && stats.n_inf == 0);
    mil_tensor_set(t, SHAPE(0, 1), -INFINITY, &err);
    mil_tensor_statistics(t, &stats);
    CHECK(stats.min == -INFINITY && stats.max == 7 && stats.mean == -INFINITY && stats.n_nan == 1 && stats.n_inf == 1);
    mil_tensor_statistics(none, &stats);
    CHECK(isnan(stats.min) && isnan(stats.max) && isnan(stats.mean) && stats.n_nan == 0);
    mil_tensor_free(t), mil_tensor_free(none), mil_tensor_free(turned);
    t = fresh(MIL_UINT3, 1, SHAPE(1000));
    CHECK_OK(mil_tensor_fill(t, 5, &err), &err);
    mil_tensor_statistics(t, &stats);
    CHECK(stats.min == 5 && stats.max == 5 && stats.mean == 5);
    mil_tensor_free(t);
}

static void set(mil_tensor *t, int64_t i, double value) { CHECK_OK(mil_tensor_set(t, SHAPE(i), value, &err), &err); }

/* Rows: element `at` of a is a, of b b, and that before it is off by less where off is above 0.2. 256: a block. */
static void comparison(void) {
    static const struct { mil_dtype x, y; int64_t at; double a, b, off; } rows[] = {
        {MIL_FP32, MIL_FP32, 700, 5, 2, 1.5},         {MIL_FP16, MIL_FP16, 999, 0.5, 0.25, 0.25},
        {MIL_FP16, MIL_FP32, 0, 0, -4, 1},            {MIL_FP32, MIL_FP32, 256, NAN, NAN, 0},
        {MIL_FP32, MIL_FP32, 255, NAN, 1, INFINITY},  {MIL_FP32, MIL_FP32, 4, INFINITY, INFINITY, 0},
        {MIL_FP32, MIL_FP32, 4, INFINITY, 1, INFINITY}, {MIL_FP32, MIL_FP32, 4, 1, -INFINITY, INFINITY}, {MIL_FP32, MIL_FP32, 4, 0.0, -0.0, 0},
        {MIL_UINT3, MIL_UINT3, 998, 7, 2, 2.5},       {MIL_INT4, MIL_INT8, 11, -8, 7, 15.0 / 7},
        {MIL_INT64, MIL_INT64, 500, -3, 3, 2},        {MIL_UINT64, MIL_INT64, 500, 3, -3, 2},
        {MIL_BOOL, MIL_BOOL, 999, 1, 0, 1},
    };
    mil_tensor_gap gap;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mil_tensor *a = fresh(rows[i].x, 1, SHAPE(1000)), *b = fresh(rows[i].y, 1, SHAPE(1000));
        if (rows[i].off > 0.2 && rows[i].at > 0 && rows[i].x != MIL_BOOL) set(a, rows[i].at - 1, 6), set(b, rows[i].at - 1, 5);
        set(a, rows[i].at, rows[i].a), set(b, rows[i].at, rows[i].b);
        CHECK_OK(mil_tensor_compare(a, b, &gap, &err), &err);
        CHECK_EQ(gap.off, rows[i].off);
        if (gap.off > 0) {
            CHECK_EQ((long long)gap.at, (long long)rows[i].at);
            CHECK_EQ(gap.a, rows[i].a);
            CHECK_EQ(gap.b, rows[i].b);
        }
        mil_tensor_free(a), mil_tensor_free(b);
    }
}

static void comparison_of_views(void) {
    mil_tensor_gap gap;
    mil_tensor *a = counting(MIL_INT32, 2, SHAPE(10, 20)), *b = fresh(MIL_INT32, 2, SHAPE(20, 10)), *turned = NULL, *part = NULL;
    CHECK_OK(mil_tensor_transpose(b, (int[]){1, 0}, &turned, &err), &err);
    CHECK_OK(mil_tensor_copy(turned, a, &err), &err);
    CHECK_OK(mil_tensor_compare(a, turned, &gap, &err), &err);
    CHECK_EQ(gap.off, 0.0);
    CHECK_OK(mil_tensor_set(b, SHAPE(19, 7), -1, &err), &err); /* [7, 19] of a */
    CHECK_OK(mil_tensor_compare(a, turned, &gap, &err), &err);
    CHECK(gap.at == 159 && gap.a == 159 && gap.b == -1 && gap.off == 160);
    CHECK_STATUS(mil_tensor_compare(a, b, &gap, &err), MIL_ETYPE, &err);
    CHECK_OK(mil_tensor_slice(a, SHAPE(0, 0), SHAPE(0, 20), NULL, &part, &err), &err);
    CHECK_OK(mil_tensor_compare(part, part, &gap, &err), &err);
    CHECK_EQ(gap.off, 0.0);
    mil_tensor_free(a), mil_tensor_free(b), mil_tensor_free(turned), mil_tensor_free(part);
    /* what a double does not hold */
    a = fresh(MIL_INT64, 0, NULL), b = fresh(MIL_INT64, 0, NULL);
    CHECK_OK(mil_tensor_set_int(a, NULL, INT64_MAX, &err), &err);
    CHECK_OK(mil_tensor_set_int(b, NULL, INT64_MAX - 1, &err), &err);
    CHECK_OK(mil_tensor_compare(a, b, &gap, &err), &err);
    CHECK_EQ(gap.off, 0x1p-63);
    mil_tensor_free(a), mil_tensor_free(b);
}

static void distances(void) {
    mil_tensor_distance d;
    mil_tensor *a = counting(MIL_FP32, 2, SHAPE(3, 60)), *b = counting(MIL_FP64, 2, SHAPE(3, 60)), *turned = NULL, *other = NULL;
    CHECK_OK(mil_tensor_measure(a, b, &d, &err), &err);
    CHECK(d.largest == 0 && d.relative == 0 && d.n_unequal == 0);
    CHECK_OK(mil_tensor_set(a, SHAPE(2, 59), 182, &err), &err); /* not 179 */
    CHECK_OK(mil_tensor_set(a, SHAPE(1, 0), 56, &err), &err);   /* not 60 */
    CHECK_OK(mil_tensor_transpose(b, (int[]){1, 0}, &turned, &err), &err);
    CHECK_OK(mil_tensor_transpose(a, (int[]){1, 0}, &other, &err), &err);
    double squares = 0;
    for (int i = 0; i < 180; i++) squares += (double)i * i;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(i ? mil_tensor_measure(other, turned, &d, &err) : mil_tensor_measure(a, b, &d, &err), &err);
        CHECK(d.largest == 4 && d.a == 56 && d.b == 60 && d.n_unequal == 2 && d.at == (i ? 1 : 60));
        CHECK(fabs(d.relative - sqrt(25 / squares)) < 1e-15);
    }
    CHECK_STATUS(mil_tensor_measure(a, turned, &d, &err), MIL_ETYPE, &err);
    CHECK_OK(mil_tensor_fill(b, 0, &err), &err);
    CHECK_OK(mil_tensor_measure(a, b, &d, &err), &err);
    CHECK(isinf(d.relative) && d.largest == 182);
    CHECK_OK(mil_tensor_set(b, SHAPE(0, 5), NAN, &err), &err);
    CHECK_OK(mil_tensor_measure(a, b, &d, &err), &err);
    CHECK(isinf(d.largest) && d.at == 5 && isnan(d.b));
    CHECK_OK(mil_tensor_measure(b, b, &d, &err), &err);
    CHECK(d.largest == 0 && d.relative == 0);
    mil_tensor_free(a), mil_tensor_free(b), mil_tensor_free(turned), mil_tensor_free(other);
}

/* Computed by tests/oracle/random_numbers.py, from the generators' published definitions. */
static void random_numbers(void) {
    static const uint64_t states[4] = {0x910a2dec89025cc1, 0xbeeb8da1658eec67, 0xf893a2eefb32555e, 0x71c18690ee42c90b};
    static const double uniforms[] = {0x1.cfcabdb43f1c4p+1, 0x1.14ed56591cd92p+1, 0x1.4be25d5820a90p+1,
                                      0x1.2170e3de13350p+0, 0x1.c9e9238a688ccp+1};
    static const double normals[] = {11.506583427133972, 10.7210670216699, 11.973386068046002, 7.8217410865841, 13.464243366983172};
    mil_random random;
    mil_tensor *t = fresh(MIL_FP64, 1, SHAPE(5));
    mil_random_seed(&random, 1);
    CHECK(memcmp(random.s, states, sizeof states) == 0);
    CHECK_OK(mil_tensor_uniform(t, &random, -2, 6, &err), &err);
    for (int i = 0; i < 5; i++) CHECK_EQ(((double *)mil_tensor_data(t))[i], uniforms[i]);
    CHECK_OK(mil_tensor_normal(t, &random, 10, 3, &err), &err);
    for (int i = 0; i < 5; i++) CHECK(fabs(((double *)mil_tensor_data(t))[i] - normals[i]) < 1e-13);
    CHECK(random.has_spare);
    mil_tensor_free(t);
}

static void random_fills(void) {
    mil_random random;
    mil_tensor_stats stats;
    mil_tensor *t = fresh(MIL_FP32, 2, SHAPE(100, 200)), *turned = NULL, *a = fresh(MIL_FP32, 2, SHAPE(2, 3)),
               *b = fresh(MIL_FP32, 2, SHAPE(3, 2)), *i = fresh(MIL_INT8, 1, SHAPE(1000));
    mil_random_seed(&random, 42);
    CHECK_OK(mil_tensor_uniform(t, &random, 3, 5, &err), &err);
    mil_tensor_statistics(t, &stats);
    CHECK(stats.min >= 3 && stats.max <= 5 && fabs(stats.mean - 4) < 0.02);
    CHECK_OK(mil_tensor_normal(t, &random, 0, 1, &err), &err);
    mil_tensor_statistics(t, &stats);
    CHECK(fabs(stats.mean) < 0.03 && stats.max > 3 && stats.min < -3);
    CHECK_OK(mil_tensor_uniform(i, &random, 0, 10, &err), &err);
    mil_tensor_statistics(i, &stats);
    CHECK(stats.min == 0 && stats.max == 9);
    CHECK_OK(mil_tensor_transpose(b, (int[]){1, 0}, &turned, &err), &err); /* the order is that of the index */
    mil_random_seed(&random, 7);
    CHECK_OK(mil_tensor_normal(a, &random, 0, 1, &err), &err);
    mil_random_seed(&random, 7);
    CHECK_OK(mil_tensor_normal(turned, &random, 0, 1, &err), &err);
    char one[256];
    snprintf(one, sizeof one, "%s", text(mil_tensor_retain(a)));
    CHECK_EQ(text(mil_tensor_retain(turned)), (const char *)one);
    mil_tensor_free(t), mil_tensor_free(turned), mil_tensor_free(a), mil_tensor_free(b), mil_tensor_free(i);
}

/* The walk visits each element once, in C order, whatever is merged. */
typedef struct walked {
    int64_t n, runs, offsets[3][64];
} walked;

static void walk_run(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps) {
    walked *w = ctx;
    w->runs++;
    for (int64_t i = 0; i < n; i++, w->n++)
        for (int t = 0; t < 3; t++) w->offsets[t][w->n] = offsets[t] + i * steps[t];
}

static void walks(void) {
    static const int64_t shape[4] = {2, 1, 3, 4}, a[4] = {12, 99, 4, 1}, b[4] = {1, 0, 2, 6}, c[4] = {0, 0, 0, 1};
    walked w = {0};
    mil__walk(4, shape, 3, (const int64_t *const[]){a, b, c}, walk_run, &w);
    CHECK_EQ((long long)w.n, 24);
    for (int64_t i = 0; i < 24; i++) {
        CHECK_EQ((long long)w.offsets[0][i], (long long)i);
        CHECK_EQ((long long)w.offsets[1][i], (long long)(i / 12 + i / 4 % 3 * 2 + i % 4 * 6));
        CHECK_EQ((long long)w.offsets[2][i], (long long)(i % 4));
    }
    w = (walked){0};
    mil__walk(4, shape, 1, (const int64_t *const[]){a}, walk_run, &w);
    CHECK(w.n == 24 && w.runs == 1); /* contiguous: one run */
    w = (walked){0};
    mil__walk(2, (int64_t[]){5, 0}, 1, (const int64_t *const[]){a}, walk_run, &w);
    CHECK_EQ((long long)w.runs, 0);
    mil__walk(0, NULL, 1, (const int64_t *const[]){a}, walk_run, &w);
    CHECK(w.n == 1 && w.runs == 1);
}

static mil_status make_some(void *ctx, mil_error *e) {
    mil_tensor *t[5] = {0};
    (void)ctx;
    mil_status status = mil_tensor_new(MIL_FP32, 2, SHAPE(2, 3), &t[0], e);
    if (status == MIL_OK) status = mil_tensor_transpose(t[0], (int[]){1, 0}, &t[1], e);
    if (status == MIL_OK) status = mil_tensor_convert(t[1], MIL_FP16, &t[2], e);
    if (status == MIL_OK) status = mil_tensor_strings(1, 2, (const char *[]){"a", "b"}, (size_t[]){1, 1}, &t[3], e);
    if (status == MIL_OK) status = mil_tensor_convert(t[3], MIL_STRING, &t[4], e);
    for (int i = 0; i < 5; i++) mil_tensor_free(t[i]);
    return status;
}

static void failing_allocations(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(make_some, NULL) > 8);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(making), CASE(refused_tensors), CASE(over_a_buffer), CASE(slices), CASE(slices_of_nothing), CASE(transposes), CASE(reshapes),
          CASE(copies), CASE(large_transpositions), CASE(strided_dtypes), CASE(elements), CASE(strings), CASE(statistics), CASE(comparison), CASE(comparison_of_views), CASE(distances),
          CASE(random_numbers),
          CASE(random_fills), CASE(walks), CASE(failing_allocations))
