/* SPDX-License-Identifier: MIT */
/* Weights files that are written here: their bytes as the format has them, read back, and where writing fails. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/tensor.h"
#include "weights/milblob.h"

static char path[64];

static const char *temporary(void) {
    snprintf(path, sizeof path, "/tmp/mil_blob_%ld.bin", (long)getpid());
    return path;
}

static uint64_t number(const uint8_t *p, int bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | p[bytes];
    return value;
}

/* dtype, elements, the record's code, its bytes, the unused bits. */
typedef struct row {
    mil_dtype dtype;
    int64_t values[9];
    int n;
    unsigned code, unused;
    const char *bytes;
} row;

static const row rows[] = {
    {MIL_UINT1, {1, 0, 1, 1, 0, 0, 1, 0, 1}, 9, 9, 7, "\x4d\x01"},
    {MIL_UINT2, {3, 0, 1, 2, 1}, 5, 10, 6, "\x93\x01"},
    {MIL_UINT3, {1, 2, 3, 4, 5, 6, 7, 0, 5}, 9, 12, 5, "\xd1\x58\x1f\x05"},
    {MIL_UINT4, {1, 2, 15, 8, 9}, 5, 11, 4, "\x21\x8f\x09"},
    {MIL_UINT6, {1, 63, 32, 7, 42}, 5, 13, 2, "\xc1\x0f\x1e\x2a"},
    {MIL_INT4, {-8, 7, -1, 0, 3}, 5, 8, 4, "\x78\x0f\x03"},
    {MIL_FP16, {1, -2}, 2, 1, 0, "\x00\x3c\x00\xc0"},
    {MIL_FP32, {1}, 1, 2, 0, "\x00\x00\x80\x3f"},
    {MIL_UINT8, {255, 1, 2}, 3, 3, 0, "\xff\x01\x02"},
    {MIL_INT8, {-1}, 1, 4, 0, "\xff"},
    {MIL_BF16, {1}, 1, 5, 0, "\x80\x3f"},
    {MIL_INT16, {-2}, 1, 6, 0, "\xfe\xff"},
    {MIL_UINT16, {0x1234}, 1, 7, 0, "\x34\x12"},
    {MIL_INT32, {-2}, 1, 14, 0, "\xfe\xff\xff\xff"},
    {MIL_UINT32, {0x12345678}, 1, 15, 0, "\x78\x56\x34\x12"},
};

static mil_tensor *tensor_of(const row *r) {
    mil_tensor *tensor = NULL;
    int64_t shape[] = {r->n};
    mil_error err;
    if (!CHECK_OK(mil_tensor_new(r->dtype, 1, shape, &tensor, &err), &err)) return NULL;
    for (int64_t i = 0; i < r->n; i++) CHECK_OK(mil_tensor_set_int(tensor, &i, r->values[i], &err), &err);
    return tensor;
}

/* The file as the format has it: records at multiples of 64, each with its data behind it, nothing after the last. */
static void bytes(void) {
    enum { N = sizeof rows / sizeof *rows };
    mil_error err = {0};
    mil__blob_writer w = {.path = temporary()};
    mil_tensor *tensors[N];
    uint64_t offsets[N], again;
    for (int i = 0; i < N; i++) {
        tensors[i] = tensor_of(&rows[i]);
        CHECK_OK(mil__blob_add(&w, tensors[i], &offsets[i], &err), &err);
    }
    CHECK_OK(mil__blob_add(&w, tensors[3], &again, &err), &err); /* is there already */
    CHECK_EQ((long long)again, (long long)offsets[3]);
    CHECK_OK(mil__blob_finish(&w, &err), &err);
    CHECK_OK(mil__blob_commit(&w, &err), &err);
    mil_buffer *file;
    if (!CHECK_OK(mil_buffer_map(path, &file, &err), &err)) return;
    const uint8_t *data = mil_buffer_data(file);
    CHECK_EQ((long long)number(data, 4), (long long)N);
    CHECK_EQ((long long)number(data + 4, 4), 2LL);
    for (int i = 0; i < N; i++) {
        const uint8_t *record = data + offsets[i];
        mil_tensor *back;
        size_t n = mil_tensor_bytes(tensors[i]);
        test_row = mil_dtype_name(rows[i].dtype);
        CHECK_EQ((long long)(offsets[i] % 64), 0LL);
        CHECK_EQ((long long)number(record, 4), 0xdeadbeefLL);
        CHECK_EQ((long long)number(record + 4, 4), (long long)rows[i].code);
        CHECK_EQ((long long)number(record + 8, 8), (long long)n);
        CHECK_EQ((long long)number(record + 16, 8), (long long)offsets[i] + 64);
        CHECK_EQ((long long)number(record + 24, 8), (long long)rows[i].unused);
        CHECK(memcmp(record + 64, rows[i].bytes, n) == 0);
        if (CHECK_OK(mil__milblob_tensor(file, offsets[i], rows[i].dtype, 1, tensors[i]->shape, &back, &err), &err))
            mil_tensor_free(back);
        if (i == N - 1) CHECK_EQ((long long)mil_buffer_bytes(file), (long long)(offsets[i] + 64 + n));
    }
    for (int i = 0; i < N; i++) mil_tensor_free(tensors[i]);
    mil_buffer_free(file);
    unlink(path);
}

/* A tensor with strides is written as its elements in order; sizes about the pieces'. */
static void strided(void) {
    static const int64_t shapes[][2] = {{3, 5}, {1, 64}, {65, 63}, {0, 4}, {300, 1000}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        mil_error err = {0};
        mil_tensor *plain, *turned, *copy;
        const int64_t *shape = shapes[s], back[2] = {shapes[s][1], shapes[s][0]};
        if (!CHECK_OK(mil_tensor_new(MIL_FP32, 2, shape, &plain, &err), &err)) return;
        for (int64_t i = 0; i < mil_tensor_numel(plain); i++) ((float *)plain->data)[i] = (float)i;
        CHECK_OK(mil_tensor_transpose(plain, (int[]){1, 0}, &turned, &err), &err);
        CHECK_OK(mil_tensor_convert(turned, MIL_FP32, &copy, &err), &err);
        mil__blob_writer w = {.path = temporary()};
        uint64_t first, second;
        CHECK_OK(mil__blob_add(&w, plain, &first, &err), &err);
        CHECK_OK(mil__blob_add(&w, turned, &second, &err), &err);
        CHECK_OK(mil__blob_finish(&w, &err), &err);
        CHECK_OK(mil__blob_commit(&w, &err), &err);
        mil_buffer *file;
        mil_tensor *read;
        if (CHECK_OK(mil_buffer_map(path, &file, &err), &err)) {
            if (CHECK_OK(mil__milblob_tensor(file, second, MIL_FP32, 2, back, &read, &err), &err)) {
                CHECK(memcmp(read->data, copy->data, mil_tensor_bytes(copy)) == 0);
                mil_tensor_free(read);
            }
            mil_buffer_free(file);
        }
        mil_tensor_free(copy);
        mil_tensor_free(turned);
        mil_tensor_free(plain);
        unlink(path);
    }
}

static void refused(void) {
    mil_error err = {0};
    mil_tensor *tensor;
    uint64_t offset;
    mil__blob_writer w = {.path = temporary()};
    CHECK_OK(mil_tensor_new(MIL_INT64, 0, NULL, &tensor, &err), &err);
    CHECK_STATUS(mil__blob_add(&w, tensor, &offset, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "int64");
    mil__blob_abandon(&w);
    mil_tensor_free(tensor);
    CHECK(access(path, F_OK) != 0);
}

/* The file that was there stays as it was when there is no room for a new one. */
static void no_room(void) {
    mil_error err = {0};
    mil_tensor *tensor;
    uint64_t offset;
    struct rlimit before, small = {1 << 16, RLIM_INFINITY};
    int fd = open(temporary(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, "old", 3) == 3);
    close(fd);
    CHECK_OK(mil_tensor_new(MIL_FP32, 1, (int64_t[]){1 << 16}, &tensor, &err), &err);
    mil__blob_writer w = {.path = path};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_STATUS(mil__blob_add(&w, tensor, &offset, &err), MIL_EIO, &err);
    CHECK_STATUS(mil__blob_finish(&w, &err), MIL_EIO, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    mil__blob_abandon(&w);
    mil_tensor_free(tensor);
    struct stat info;
    CHECK(stat(path, &info) == 0 && info.st_size == 3);
    unlink(path);
}

static mil_status write_task(void *ctx, mil_error *err) {
    mil_tensor *tensor = ctx;
    uint64_t offset;
    mil__blob_writer w = {.path = temporary()};
    mil_status status = mil__blob_add(&w, tensor, &offset, err);
    if (status == MIL_OK) status = mil__blob_finish(&w, err);
    if (status == MIL_OK) return mil__blob_commit(&w, err);
    mil__blob_abandon(&w);
    return status;
}

static void no_memory(void) {
    mil_error err = {0};
    mil_tensor *tensor;
    mil_set_allocator(test_realloc, NULL);
    CHECK_OK(mil_tensor_new(MIL_FP16, 1, (int64_t[]){100}, &tensor, &err), &err);
    CHECK(test_each_allocation(write_task, tensor) > 3);
    mil_tensor_free(tensor);
    mil_set_allocator(NULL, NULL);
    unlink(path);
}

/* ---- by name ---- */

/* However many files a program names, each is mapped once. */
static void many_files(void) {
    char folder[] = "/tmp/mil_blobs_XXXXXX", name[80];
    mil_error err;
    mil_tensor *weight = tensor_of(&rows[6]), *first[40] = {NULL};
    if (!CHECK(mkdtemp(folder) != NULL) || !weight) return;
    for (int i = 0; i < 39; i++) { /* the last is not there */
        snprintf(name, sizeof name, "%s/%d.bin", folder, i);
        mil__blob_writer writer = {.path = name};
        uint64_t offset;
        CHECK_OK(mil__blob_add(&writer, weight, &offset, &err), &err);
        CHECK_OK(mil__blob_finish(&writer, &err), &err);
        CHECK_OK(mil__blob_commit(&writer, &err), &err);
    }
    mil__blobs blobs = {.model_path = folder, .may_be_absent = true};
    for (int i = 0; i < 120; i++) {
        mil_tensor *tensor = NULL;
        snprintf(name, sizeof name, "@model_path/%d.bin", i % 40);
        CHECK_OK(mil__blobs_tensor(&blobs, name, 64, MIL_FP16, 1, (int64_t[]){2}, &tensor, &err), &err);
        CHECK_EQ(tensor == NULL, i % 40 == 39);
        if (i < 40) first[i] = tensor;
        else if (tensor && CHECK(tensor->buffer == first[i % 40]->buffer)) mil_tensor_free(tensor);
    }
    CHECK_EQ((int)blobs.n, 40);
    for (int i = 0; i < 40; i++) mil_tensor_free(first[i]);
    mil__blobs_free(&blobs);
    mil_tensor_free(weight);
    snprintf(name, sizeof name, "rm -r %s", folder);
    CHECK_EQ(system(name), 0);
}

TEST_MAIN(CASE(many_files), CASE(bytes), CASE(strided), CASE(refused), CASE(no_room), CASE(no_memory))
