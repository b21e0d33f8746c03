/* SPDX-License-Identifier: MIT */
/* GGUF beyond the files of tests/vectors/gguf/index.txt, which weights_test.c reads: every quantised type against gguf's own
 * expansion, the same as integers and scales, metadata of every type, memory. */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tensor/tensor.h"

#define FOLDER "tests/vectors/gguf/"
#define OUT    "build/tests/gguf.gguf"

static mil_weights *open_file(const char *path) {
    mil_error err = {0};
    mil_weights *w = NULL;
    CHECK_OK(mil_weights_open(path, &w, &err), &err);
    return w;
}

static mil_tensor *tensor_of(const mil_weights *w, const char *name) {
    mil_error err = {0};
    mil_tensor *t = NULL;
    CHECK_OK(mil_weights_get(w, name, &t, &err), &err);
    return t;
}

/* Bit for bit, but that every NaN is one. */
static void same_floats(const float *got, const float *wanted, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &wanted[i], sizeof *got) == 0 || (got[i] != got[i] && wanted[i] != wanted[i])) continue;
        CHECK_EQ((long long)i, -1);
        CHECK_EQ((double)got[i], (double)wanted[i]);
        return;
    }
}

/* ---- quantised types ---- */

static void expansion(void) {
    mil_weights *w = open_file(FOLDER "types.gguf"), *expanded = open_file(FOLDER "types.safetensors");
    CHECK_EQ((long long)mil_weights_count(w), 18);
    for (size_t i = 0; i < mil_weights_count(w); i++) {
        test_row = mil_weights_name(w, i);
        mil_tensor *got = tensor_of(w, test_row), *wanted = tensor_of(expanded, test_row);
        if (!got || !wanted) continue;
        CHECK(got->dtype == MIL_FP32 && mil__is_contiguous(got));
        CHECK(got->rank == 2 && got->shape[0] == wanted->shape[0] && got->shape[1] == wanted->shape[1]);
        same_floats(got->data, wanted->data, mil__numel(wanted));
        mil_tensor_free(got);
        mil_tensor_free(wanted);
    }
    mil_weights_free(w);
    mil_weights_free(expanded);
}

static const struct {
    const char *name;
    mil_dtype data;  /* MIL_NO_DTYPE: it has least values */
    int group;
    bool fits_half;  /* its scales are stored in fp16, or made exact in it */
} quantised[] = {
    {"Q4_0", MIL_INT4, 32, true},        {"Q4_1", MIL_NO_DTYPE, 0, false},    {"Q5_0", MIL_INT8, 32, true},
    {"Q5_1", MIL_NO_DTYPE, 0, false},    {"Q8_0", MIL_INT8, 32, true},        {"Q2_K", MIL_NO_DTYPE, 0, false},
    {"Q3_K", MIL_INT4, 16, false},       {"Q4_K", MIL_NO_DTYPE, 0, false},    {"Q5_K", MIL_NO_DTYPE, 0, false},
    {"Q6_K", MIL_INT8, 16, false},       {"TQ1_0", MIL_INT4, 256, true},      {"TQ2_0", MIL_INT4, 256, true},
    {"IQ4_NL", MIL_INT8, 32, true},      {"IQ4_XS", MIL_INT8, 32, false},     {"MXFP4", MIL_INT8, 32, false},
    {"NVFP4", MIL_INT8, 16, true},       {"Q1_0", MIL_INT4, 128, true},       {"Q2_0", MIL_INT4, 64, true},
};

/* data * scale, in fp32 from fp32 scales. */
static void same_product(const mil_tensor *data, const mil_tensor *scale, int group, const mil_tensor *wanted) {
    int64_t n = mil__numel(wanted);
    float product[512];
    int8_t q[512];
    mil_error err = {0};
    mil_tensor *wide = NULL;
    if (!CHECK_OK(mil_tensor_convert(data, MIL_INT8, &wide, &err), &err)) return;
    memcpy(q, wide->data, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i / group;
        float s = scale->dtype == MIL_FP32 ? ((const float *)scale->data)[k] : mil__half_to_float(((const uint16_t *)scale->data)[k]);
        product[i] = s * (float)q[i];
    }
    same_floats(product, wanted->data, n);
    mil_tensor_free(wide);
}

static void integers_and_scales(void) {
    mil_weights *w = open_file(FOLDER "types.gguf");
    CHECK_EQ((long long)mil_weights_count(w), (long long)MIL__COUNT(quantised));
    for (size_t i = 0; i < MIL__COUNT(quantised); i++) {
        for (int half = 0; half < 2; half++) {
            const char *name = test_row = quantised[i].name;
            mil_error err = {0};
            mil_tensor *data = NULL, *scale = NULL;
            mil_status wanted = quantised[i].data == MIL_NO_DTYPE ? MIL_EUNSUPPORTED
                                : half && !quantised[i].fits_half ? MIL_EVALUE : MIL_OK;
            CHECK_STATUS(mil_weights_get_quantized(w, name, half ? MIL_FP16 : MIL_FP32, &data, &scale, &err), wanted, &err);
            if (wanted != MIL_OK) {
                CHECK(!data && !scale);
                CHECK_HAS(err.message, wanted == MIL_EVALUE ? "does not fit fp16 exactly" : "not made of integers and scales alone");
            } else if (data && scale) {
                mil_tensor *all = tensor_of(w, name);
                CHECK(data->dtype == quantised[i].data && scale->dtype == (half ? MIL_FP16 : MIL_FP32));
                CHECK(data->shape[1] == all->shape[1] && scale->shape[1] == all->shape[1] / quantised[i].group);
                CHECK(data->shape[0] == all->shape[0] && scale->shape[0] == all->shape[0]);
                same_product(data, scale, quantised[i].group, all);
                mil_tensor_free(all);
            }
            mil_tensor_free(data);
            mil_tensor_free(scale);
        }
    }
    mil_weights_free(w);
}

static void not_quantised(void) {
    mil_error err = {0};
    mil_tensor *data = NULL, *scale = NULL;
    mil_weights *w = open_file(FOLDER "plain.gguf"), *st = open_file("tests/vectors/weights/good_one.safetensors");
    CHECK_STATUS(mil_weights_get_quantized(w, "f16", MIL_FP16, &data, &scale, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "tensor \"f16\": type F16 is not quantised");
    CHECK_STATUS(mil_weights_get_quantized(w, "none", MIL_FP16, &data, &scale, &err), MIL_ENAME, &err);
    CHECK_STATUS(mil_weights_get_quantized(w, "f16", MIL_INT8, &data, &scale, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil_weights_get_quantized(st, "a", MIL_FP16, &data, &scale, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "the format has no quantised tensors");
    mil_weights_free(w);
    mil_weights_free(st);
}

/* ---- metadata ---- */

static void metadata(void) {
    static const struct {
        const char *key;
        mil_dtype dtype;
        int64_t count;  /* -1: by itself */
        double value;   /* the last, or a string's length */
    } rows[] = {
        {"general.architecture", MIL_STRING, -1, 4}, {"m.u8", MIL_UINT8, -1, 255}, {"m.i8", MIL_INT8, -1, -128},
        {"m.u16", MIL_UINT16, -1, 65535}, {"m.i16", MIL_INT16, -1, -2}, {"m.u32", MIL_UINT32, -1, 4294967295},
        {"m.i32", MIL_INT32, -1, -3}, {"m.u64", MIL_UINT64, -1, 9007199254740992}, {"m.i64", MIL_INT64, -1, -9007199254740992},
        {"m.f32", MIL_FP32, -1, 0.5}, {"m.f64", MIL_FP64, -1, 1e300}, {"m.yes", MIL_BOOL, -1, 1}, {"m.no", MIL_BOOL, -1, 0},
        {"m.text", MIL_STRING, -1, 7}, {"m.names", MIL_STRING, 3, 6}, {"m.ints", MIL_INT32, 3, 3}, {"m.floats", MIL_FP32, 2, 2},
        {"m.bools", MIL_BOOL, 2, 0},
    };
    mil_weights *w = open_file(FOLDER "plain.gguf");
    CHECK_EQ((long long)mil_weights_metadata_count(w), (long long)MIL__COUNT(rows));
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_error err = {0};
        mil_tensor *t = NULL;
        test_row = rows[i].key;
        CHECK_EQ(mil_weights_metadata_key(w, i), rows[i].key);
        CHECK((mil_weights_metadata(w, rows[i].key) != NULL) == (rows[i].dtype == MIL_STRING && rows[i].count < 0));
        if (!CHECK_OK(mil_weights_metadata_tensor(w, rows[i].key, &t, &err), &err)) continue;
        CHECK(t->dtype == rows[i].dtype && t->rank == (rows[i].count >= 0));
        if (t->rank) CHECK_EQ((long long)t->shape[0], (long long)rows[i].count);
        int64_t last = mil__numel(t) - 1;
        size_t length = 0;
        if (t->dtype == MIL_STRING) CHECK(mil_tensor_string(t, last, &length) && (double)length == rows[i].value);
        else CHECK_EQ(mil__load_f64(t, last), rows[i].value);
        mil_tensor_free(t);
    }
    mil_error err = {0};
    mil_tensor *t = NULL;
    CHECK(mil_weights_metadata_key(w, MIL__COUNT(rows)) == NULL);
    CHECK(mil_weights_metadata(w, "none") == NULL);
    CHECK_STATUS(mil_weights_metadata_tensor(w, "none", &t, &err), MIL_ENAME, &err);
    mil_weights_free(w);
    w = open_file("tests/vectors/weights/good_all_dtypes.safetensors");
    if (w && CHECK_OK(mil_weights_metadata_tensor(w, mil_weights_metadata_key(w, 0), &t, &err), &err)) {
        CHECK_EQ(mil_tensor_string(t, 0, NULL), mil_weights_metadata(w, mil_weights_metadata_key(w, 0)));
        mil_tensor_free(t);
    }
    mil_weights_free(w);
}

/* ---- memory ---- */

static mil_status read_all(void *ctx, mil_error *err) {
    mil_weights *w = NULL;
    mil_status status = mil_weights_open(ctx, &w, err);
    for (size_t i = 0; status == MIL_OK && i < mil_weights_count(w); i++) {
        mil_tensor *t = NULL, *scale = NULL;
        status = mil_weights_get(w, mil_weights_name(w, i), &t, err);
        mil_tensor_free(t);
        if (status == MIL_OK) status = mil_weights_get_quantized(w, mil_weights_name(w, i), MIL_FP16, &t, &scale, err);
        if (status == MIL_OK) mil_tensor_free(t), mil_tensor_free(scale);
        else if (status != MIL_ENOMEM) status = MIL_OK; /* not of such a type */
    }
    for (size_t i = 0; status == MIL_OK && i < mil_weights_metadata_count(w); i++) {
        mil_tensor *t = NULL;
        status = mil_weights_metadata_tensor(w, mil_weights_metadata_key(w, i), &t, err);
        mil_tensor_free(t);
    }
    mil_weights_free(w);
    return status;
}

static void failing_allocations(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(read_all, FOLDER "types.gguf") > 20);
    CHECK(test_each_allocation(read_all, FOLDER "plain.gguf") > 20);
    CHECK_EQ(test_alloc.live, 0);
    mil_set_allocator(NULL, NULL);
}

static size_t held, peak;

static void *counted(void *ctx, void *ptr, size_t bytes) {
    size_t *old = ptr ? (size_t *)((char *)ptr - 16) : NULL, before = old ? *old : 0;
    (void)ctx;
    held -= before;
    if (bytes == 0) return free(old), NULL;
    size_t *p = realloc(old, bytes + 16);
    if (!p) return NULL;
    *p = bytes;
    held += bytes;
    if (held > peak) peak = held;
    return (char *)p + 16;
}

static void put(FILE *f, uint64_t value, size_t bytes) { fwrite(&value, bytes, 1, f); }

/* A string of four letters that tells i from others. */
static void put_name(FILE *f, unsigned i) {
    put(f, 4, 8);
    for (int digit = 0; digit < 4; digit++, i /= 26) put(f, 'a' + i % 26, 1);
}

/* The smallest descriptions there can be, of `n` tensors and as many metadata. Gives the file's size. */
static size_t write_many(const char *path, unsigned n) {
    FILE *f = fopen(path, "wb");
    if (!CHECK(f != NULL)) return 0;
    fwrite("GGUF\3\0\0\0", 8, 1, f);
    put(f, n, 8), put(f, n, 8);
    for (unsigned i = 0; i < n; i++) put_name(f, i), put(f, 7, 4), put(f, 1, 1); /* key, bool, true */
    for (unsigned i = 0; i < n; i++) put_name(f, i), put(f, 1, 4), put(f, 0, 8), put(f, 24, 4), put(f, 0, 8);
    long size = ftell(f);
    fclose(f);
    return (size_t)size;
}

/* Many of both take time and memory in proportion to the file. */
static void many_descriptions(void) {
    mil_error err = {0};
    mil_weights *w = NULL;
    mkdir("build", 0777), mkdir("build/tests", 0777);
    size_t bytes = write_many(OUT, 100000);
    mil_set_allocator(counted, NULL);
    peak = held = 0;
    CHECK_OK(mil_weights_open(OUT, &w, &err), &err);
    CHECK(peak <= 32 * bytes);
    mil_weights_free(w);
    CHECK_EQ((long long)held, 0);
    mil_set_allocator(NULL, NULL);
    unlink(OUT);
}

TEST_MAIN(CASE(expansion), CASE(integers_and_scales), CASE(not_quantised), CASE(metadata), CASE(failing_allocations),
          CASE(many_descriptions))
