/* SPDX-License-Identifier: MIT */
/* Shared buffers on IOSurfaces, on the stand-in: locking, tensors in them, two processes, every call failing in turn. */
#include <pthread.h>
#include <sys/wait.h>

#include "standin_client.h"
#include "tensor/tensor.h"

static mil_error err;
static const int64_t shape[] = {1, 3, 1, 5};

static void start(void) {
    use_standin();
    begin();
}

/* First, while no framework is open: a process is forked off that then looks a surface up by its id. */
static int other_process(int from, int to) {
    uint32_t id = 0;
    mil_buffer *buffer;
    mil_tensor *t;
    int64_t strides[MIL_MAX_RANK], index[4] = {0};
    size_t bytes;
    start();
    if (read(from, &id, sizeof id) != sizeof id) return 1;
    if (mil_padded_strides(MIL_FP16, 4, shape, 64, strides, &bytes, NULL)) return 2;
    if (mil_buffer_import_id(id, bytes, &buffer, NULL)) return 3;
    if (mil_buffer_id(buffer) != id || mil_buffer_fd(buffer) != -1) return 4;
    if (mil_tensor_over(buffer, 0, MIL_FP16, 4, shape, strides, &t, NULL)) return 5;
    mil_buffer_free(buffer);
    for (int i = 0; i < 15; i++) {
        double value;
        index[1] = i / 5, index[3] = i % 5;
        if (mil_tensor_get(t, index, &value, NULL) || value != i + 1) return 6;
        if (mil_tensor_set(t, index, 2 * value, NULL)) return 7;
    }
    mil_tensor_free(t);
    if (CONTROL(long, violations, void)() || CONTROL(long, alive, void)()) return 8;
    return write(to, "", 1) != 1;
}

static void two_processes(void) {
    int there[2], back[2], status = -1;
    if (!CHECK(pipe(there) == 0 && pipe(back) == 0)) return;
    pid_t child = fork();
    if (child == 0) _exit(other_process(there[0], back[1]));
    start();
    mil_tensor *t;
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 64, &t, &err), &err);
    uint32_t id = mil_buffer_id(mil_tensor_buffer(t));
    CHECK(id != 0);
    int64_t index[4] = {0};
    for (int i = 0; i < 15; i++) index[1] = i / 5, index[3] = i % 5, mil_tensor_set(t, index, i + 1, NULL);
    CHECK(write(there[1], &id, sizeof id) == sizeof id);
    close(back[1]); /* so that a child that dies ends the read */
    char byte;
    CHECK(read(back[0], &byte, 1) == 1);
    double value = 0;
    CHECK_OK(mil_tensor_get(t, (int64_t[]){0, 2, 0, 4}, &value, &err), &err);
    CHECK_EQ(value, 30.0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    mil_tensor_free(t);
    close(there[0]), close(there[1]), close(back[0]);
    end(0);
}

static void sizes(void) {
    begin();
    static const size_t rows[][2] = {{0, 0}, {1, 16384}, {16384, 16384}, {16385, 32768}, {300000, 311296}};
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_buffer *b;
        if (!CHECK_OK(mil_buffer_shared(rows[i][0], &b, &err), &err)) continue;
        CHECK_EQ((long long)mil_buffer_bytes(b), (long long)rows[i][1]);
        CHECK_EQ(mil_buffer_kind_of(b), MIL_SHARED);
        CHECK_EQ(mil_buffer_fd(b), -1);
        CHECK(mil_buffer_writable(b) && (uintptr_t)mil_buffer_data(b) % 64 == 0);
        CHECK_OK(mil_buffer_lock(b, false, &err), &err);
        for (size_t k = 0; k < rows[i][1]; k++)
            if (!CHECK_EQ(((char *)mil_buffer_data(b))[k], 0)) break;
        CHECK_OK(mil_buffer_unlock(b, &err), &err);
        mil_buffer_free(b);
    }
    mil_buffer *b;
    CHECK_STATUS(mil_buffer_shared(SIZE_MAX, &b, &err), MIL_ENOMEM, &err);
    end(0);
}

static void imports_that_are_refused(void) {
    begin();
    mil_buffer *b, *again;
    CHECK_STATUS(mil_buffer_import_id(4095, 0, &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot import IOSurface 4095: there is none of that id");
    CHECK_OK(mil_buffer_shared(100, &b, &err), &err);
    CHECK_STATUS(mil_buffer_import_id(mil_buffer_id(b), 16385, &again, &err), MIL_EVALUE, &err);
    CHECK_HAS(err.message, "it has 16384 bytes, but 16385 are wanted");
    CHECK(again == NULL);
    CHECK_OK(mil_buffer_import_id(mil_buffer_id(b), 16384, &again, &err), &err); /* the same surface here */
    CHECK(mil_buffer_data(b) == mil_buffer_data(again));
    mil_buffer_free(b), mil_buffer_free(again);
    end(0);
}

static void locking(void) {
    begin();
    mil_buffer *b;
    CHECK_OK(mil_buffer_shared(100, &b, &err), &err);
    CHECK_STATUS(mil_buffer_unlock(b, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "unlock: the buffer is not locked");
    CHECK_OK(mil_buffer_lock(b, false, &err), &err);
    CHECK(!mil__device_begin(b)); /* not while this process has it */
    CHECK_OK(mil_buffer_lock(b, true, &err), &err);
    ((char *)mil_buffer_data(b))[99] = 7; /* the lock for reading has become one for writing */
    CHECK_OK(mil_buffer_unlock(b, &err), &err);
    CHECK_OK(mil_buffer_lock(b, false, &err), &err);
    CHECK_OK(mil_buffer_unlock(b, &err), &err);
    CHECK_OK(mil_buffer_unlock(b, &err), &err);
    CHECK(mil__device_begin(b) && mil__device_begin(b)); /* two runs */
    CHECK_STATUS(mil_buffer_lock(b, false, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "lock: a run that is under way has the memory");
    mil__device_end(b), mil__device_end(b);
    CHECK_OK(mil_buffer_lock(b, false, &err), &err);
    mil_buffer_free(b); /* gives the lock back */
    end(0);
}

/* A lock that the system refuses while another is held leaves nothing behind, whatever it refuses. */
static void locks_that_fail(void) {
    begin();
    mil_buffer *b;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(mil_buffer_shared(100, &b, &err), &err);
        CHECK_OK(mil_buffer_lock(b, false, &err), &err);
        CONTROL(void, fail_named, const char *)(i ? "IOSurfaceUnlock" : "IOSurfaceLock");
        CHECK_STATUS(mil_buffer_lock(b, true, &err), MIL_EIO, &err);
        CHECK_HAS(err.message, i ? "lock: the IOSurface can't be unlocked" : "lock: the IOSurface can't be locked");
        CONTROL(void, fail_named, const char *)(NULL);
        CHECK_OK(mil_buffer_lock(b, false, &err), &err); /* the system's again, whether it was lost or not */
        CHECK_EQ(((volatile char *)mil_buffer_data(b))[99], 0);
        CHECK_OK(mil_buffer_unlock(b, &err), &err);
        CHECK_OK(mil_buffer_unlock(b, &err), &err);
        CHECK_STATUS(mil_buffer_unlock(b, &err), MIL_ESTATE, &err);
        CHECK(mil__device_begin(b));
        mil__device_end(b);
        mil_buffer_free(b);
    }
    end(0);
}

/* What functions of tensors read and write, they lock. */
static mil_status use_tensor(void *ctx, mil_error *e) {
    mil_tensor *t = NULL, *copy = NULL, *half = NULL;
    mil_random random;
    mil_tensor_gap gap;
    double value = 0;
    int64_t index[4] = {0, 1, 0, 1};
    (void)ctx;
    mil_random_seed(&random, 1);
    mil_status status = mil_tensor_shared(MIL_FP32, 4, shape, 64, &t, e);
    if (status == MIL_OK) status = mil_tensor_normal(t, &random, 0, 1, e);
    if (status == MIL_OK) status = mil_tensor_fill(t, 3, e);
    if (status == MIL_OK) status = mil_tensor_set(t, index, 4, e);
    if (status == MIL_OK) status = mil_tensor_get(t, index, &value, e);
    if (status == MIL_OK) CHECK_EQ(value, 4.0);
    if (status == MIL_OK) status = mil_tensor_shared(MIL_FP16, 4, shape, 64, &half, e);
    if (status == MIL_OK) status = mil_tensor_copy(half, t, e);
    if (status == MIL_OK) status = mil_tensor_convert(half, MIL_FP32, &copy, e);
    if (status == MIL_OK) status = mil_tensor_compare(copy, t, &gap, e);
    if (status == MIL_OK) CHECK_EQ(gap.off, 0.0);
    mil_tensor_free(t), mil_tensor_free(copy), mil_tensor_free(half);
    return status;
}

static void tensors(void) {
    begin();
    CHECK_OK(use_tensor(NULL, &err), &err);
    mil_tensor *t;
    mil_tensor_stats stats;
    CHECK_OK(mil_tensor_shared(MIL_INT32, 1, (int64_t[]){4}, 0, &t, &err), &err);
    CHECK_OK(mil_tensor_set_int(t, (int64_t[]){2}, 8, &err), &err);
    mil_tensor_statistics(t, &stats);
    CHECK_EQ(stats.max, 8.0);
    mil_named_tensor named = {"t", t};
    char path[100];
    snprintf(path, sizeof path, "%s/t.npy", test_folder());
    CHECK_OK(mil_weights_save(path, &named, 1, NULL, &err), &err);
    mil_tensor_free(t);
    end(0);
}

/* A const is no surface: its elements are read at any time. */
static void consts(void) {
    begin();
    mil_program *program;
    mil_tensor *t;
    mil_value value;
    CHECK_OK(mil_program_new(MIL_IOS18, &program, &err), &err);
    mil_block block;
    CHECK_OK(mil_program_function(program, "main", &block, &err), &err);
    CHECK_OK(mil_tensor_shared(MIL_FP32, 1, (int64_t[]){4}, 0, &t, &err), &err);
    CHECK_OK(mil_tensor_fill(t, 2, &err), &err);
    CHECK_OK(mil_program_const(program, block, t, "c", (mil_where){0}, &value, &err), &err);
    CHECK_STATUS(mil_tensor_fill(t, 3, &err), MIL_ESTATE, &err);
    mil_tensor_free(t);
    CHECK_EQ(((const float *)mil_tensor_data(mil_value_data(program, value)))[3], 2.0f);
    mil_program_free(program);
    end(0);
}

static const char relu[] =
    "program(1.3)\n{\n func main<ios18>(tensor<fp16, [1, 3, 1, 5]> x) {\n"
    "  tensor<fp16, [1, 3, 1, 5]> y = relu(x = x)[name = string(\"y\")];\n } -> (y);\n}\n";

/* Engine cpu on surfaces, which are locked for it. */
static void cpu(void) {
    begin();
    mil_program *program;
    mil_model *model;
    mil_tensor *x, *y;
    double value;
    CHECK_OK(mil_text_parse(relu, sizeof relu - 1, NULL, &program, &err), &err);
    CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err);
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 64, &x, &err), &err);
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 64, &y, &err), &err);
    CHECK_OK(mil_tensor_fill(x, 5, &err), &err);
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
    CHECK_OK(mil_tensor_get(y, (int64_t[]){0, 2, 0, 4}, &value, &err), &err);
    CHECK_EQ(value, 5.0);
    CONTROL(void, fail_named, const char *)("IOSurfaceLock");
    CHECK_STATUS(mil_model_run(model, &x, &y, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "IOSurface can't be locked (IOSurfaceLock");
    CONTROL(void, fail_named, const char *)(NULL);
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
    mil_tensor_free(x), mil_tensor_free(y);
    mil_model_free(model);
    mil_program_free(program);
    end(0);
}

/* Each framework call fails once: an error or, where nothing depends on it, none; and nothing stays behind. */
static void every_call(void) {
    begin();
    long failures = 0, k = 1;
    for (;; k++) {
        long before = CONTROL(long, calls, const char *)(NULL);
        CONTROL(void, fail_at, long)(k);
        mil_status status = use_tensor(NULL, &err);
        bool was_reached = CONTROL(long, calls, const char *)(NULL) - before >= k;
        CONTROL(void, fail_at, long)(0);
        if (status != MIL_OK) failures++, CHECK(status == MIL_EIO || status == MIL_ENOMEM);
        if (!CHECK_EQ(CONTROL(long, alive, void)(), 0) || !was_reached) break;
    }
    CHECK(failures > 30);
    long violations = CONTROL(long, violations, void)();
    for (long i = 0; i < violations; i++) /* a surface that could not be unlocked is freed so */
        CHECK_HAS(CONTROL(const char *, violation, long)(i), "is released while it is locked");
    end(violations);
}

static void every_allocation(void) {
    begin();
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(use_tensor, NULL) >= 5);
    mil_set_allocator(NULL, NULL);
    end(0);
}

/* Threads read and write elements of one surface at once, each its own. */
static void *write_elements(void *tensor) {
    for (int64_t i = 0; i < 500; i++)
        if (mil_tensor_set(tensor, (int64_t[]){0, i % 3, 0, i % 2}, 1, NULL)) return tensor;
    return NULL;
}

static void *read_elements(void *tensor) {
    double value;
    for (int64_t i = 0; i < 500; i++)
        if (mil_tensor_get(tensor, (int64_t[]){0, i % 3, 0, 2 + i % 3}, &value, NULL) || value != 0) return tensor;
    return NULL;
}

static void threads(void) {
    begin();
    CONTROL(int, set, const char *, long)("guard", 0); /* an upgrade of the lock leaves a moment in which readers have none */
    mil_tensor *a, *b;
    pthread_t thread[4];
    CHECK_OK(mil_tensor_shared(MIL_FP32, 4, shape, 64, &a, &err), &err);
    CHECK_OK(mil_tensor_shared(MIL_FP32, 4, shape, 64, &b, &err), &err);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, i % 2 ? read_elements : write_elements, i < 2 ? a : b);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        CHECK(!failed);
    }
    mil_tensor_free(a), mil_tensor_free(b);
    end(0);
}

TEST_MAIN(CASE(two_processes), CASE(sizes), CASE(imports_that_are_refused), CASE(locking), CASE(locks_that_fail), CASE(tensors), CASE(consts), CASE(cpu),
          CASE(every_call), CASE(every_allocation), CASE(threads))
