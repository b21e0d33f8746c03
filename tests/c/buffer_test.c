/* SPDX-License-Identifier: MIT */
/* Buffers: each kind, sharing, freezing, locking; files that are mapped and files that are read. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "tensor/tensor.h"

static mil_error err;

static void heap(void) {
    mil_buffer *b = NULL;
    CHECK_OK(mil_buffer_new(1000, &b, &err), &err);
    CHECK_EQ(mil_buffer_kind_of(b), MIL_HEAP);
    CHECK_EQ((long long)mil_buffer_bytes(b), 1000);
    CHECK((uintptr_t)mil_buffer_data(b) % 64 == 0);
    for (int i = 0; i < 1000; i++) {
        if (!CHECK_EQ(((uint8_t *)mil_buffer_data(b))[i], 0)) break;
    }
    CHECK_EQ(mil_buffer_fd(b), -1);
    mil_buffer *again = mil_buffer_retain(b);
    mil_buffer_free(b);
    CHECK(mil_buffer_writable(again));
    mil_buffer_free(again);
    CHECK_OK(mil_buffer_new(0, &b, &err), &err);
    CHECK(mil_buffer_data(b) != NULL);
    mil_buffer_free(b);
    mil_buffer_free(NULL);
    CHECK(mil_buffer_retain(NULL) == NULL);
    CHECK_STATUS(mil_buffer_new(SIZE_MAX - 10, &b, &err), MIL_ENOMEM, &err);
}

static void shared(void) {
    mil_buffer *b = NULL, *other = NULL;
    CHECK_OK(mil_buffer_shared(5000, &b, &err), &err);
    CHECK_EQ(mil_buffer_kind_of(b), MIL_SHARED);
    CHECK(mil_buffer_fd(b) >= 0 && mil_buffer_writable(b));
    CHECK_OK(mil_buffer_import(mil_buffer_fd(b), &other, &err), &err);
    CHECK(mil_buffer_fd(other) != mil_buffer_fd(b));
    CHECK_EQ((long long)mil_buffer_bytes(other), 5000);
    char *mine = mil_buffer_data(b), *theirs = mil_buffer_data(other);
    CHECK(mine != theirs && mine[4999] == 0);
    theirs[4999] = 7;
    CHECK_EQ(mine[4999], 7);
    CHECK(ftruncate(mil_buffer_fd(b), 10) != 0); /* sealed: what is mapped stays */
    pid_t child = fork();
    if (child == 0) _exit((mine[0] = 42, 0));
    CHECK(child > 0 && waitpid(child, NULL, 0) == child);
    CHECK_EQ(theirs[0], 42);
    mil_buffer_free(b);
    CHECK_EQ(theirs[0], 42);
    mil_buffer_free(other);
    CHECK_OK(mil_buffer_shared(0, &b, &err), &err);
    CHECK_EQ((long long)mil_buffer_bytes(b), 0);
    mil_buffer_free(b);
    CHECK_STATUS(mil_buffer_import(-1, &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot import file descriptor -1");
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK_STATUS(mil_buffer_import(ends[0], &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "not memory");
    close(ends[0]), close(ends[1]);
    CHECK_STATUS(mil_buffer_shared(SIZE_MAX, &b, &err), MIL_ENOMEM, &err);
}

static void given_for_reading(void) {
    mil_buffer *b = NULL;
    int fd = open("Makefile", O_RDONLY);
    CHECK(fd >= 0);
    CHECK_OK(mil_buffer_import(fd, &b, &err), &err);
    close(fd);
    CHECK(!mil_buffer_writable(b));
    CHECK_STATUS(mil_buffer_lock(b, true, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "shared memory that was given for reading only");
    mil_buffer_free(b);
}

static const char path[] = "build/tests/buffer_test.file";

static void write_file(const char *text) {
    FILE *f = fopen(path, "wb");
    if (!CHECK(f != NULL)) return;
    fputs(text, f);
    fclose(f);
}

static void mapped(void) {
    mil_buffer *b = NULL;
    write_file("hello");
    CHECK_OK(mil_buffer_map(path, &b, &err), &err);
    CHECK_EQ(mil_buffer_kind_of(b), MIL_MAPPED);
    CHECK(mil_buffer_bytes(b) == 5 && memcmp(mil_buffer_data(b), "hello", 5) == 0);
    CHECK(!mil_buffer_writable(b));
    CHECK_STATUS(mil_buffer_lock(b, true, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "it is mapped from a file, read-only");
    CHECK_OK(mil_buffer_lock(b, false, &err), &err);
    CHECK_OK(mil_buffer_unlock(b, &err), &err);
    mil_buffer_free(b);
    write_file("");
    CHECK_OK(mil_buffer_map(path, &b, &err), &err); /* can't be mapped, is read */
    CHECK(mil_buffer_bytes(b) == 0 && mil_buffer_data(b) != NULL);
    mil_buffer_free(b);
    unlink(path);
    CHECK_STATUS(mil_buffer_map(path, &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot open build/tests/buffer_test.file: No such file");
    CHECK_EQ((const char *)err.file, path);
    CHECK_STATUS(mil_buffer_map("tests", &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot read tests: Is a directory");
    CHECK_STATUS(mil_buffer_map("/dev/zero", &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "neither a file nor a pipe");
}

/* A pipe is read until it ends, however long it is. */
static void pipes(void) {
    enum { N = 300000 };
    mil_buffer *b = NULL;
    unlink(path);
    CHECK(mkfifo(path, 0600) == 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_WRONLY);
        for (int i = 0; i < N; i++) {
            if (write(fd, &(char){(char)i}, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    CHECK_OK(mil_buffer_map(path, &b, &err), &err);
    waitpid(child, NULL, 0);
    CHECK_EQ((long long)mil_buffer_bytes(b), N);
    CHECK_EQ(((char *)mil_buffer_data(b))[N - 1], (char)(N - 1));
    mil_buffer_free(b);
    unlink(path);
}

static void released(void *ctx, void *data) { *(void **)ctx = data; }

static void borrowed(void) {
    mil_buffer *b = NULL;
    char memory[8] = {0};
    void *given_back = NULL;
    CHECK_OK(mil_buffer_borrow(memory, 8, true, released, &given_back, &b, &err), &err);
    CHECK_EQ(mil_buffer_kind_of(b), MIL_BORROWED);
    CHECK(mil_buffer_data(b) == memory && mil_buffer_writable(b));
    mil_tensor *t = NULL;
    CHECK_OK(mil_tensor_over(b, 4, MIL_FP32, 0, NULL, NULL, &t, &err), &err);
    mil_buffer_free(b);
    CHECK(given_back == NULL);
    CHECK_OK(mil_tensor_fill(t, 1, &err), &err);
    mil_tensor_free(t);
    CHECK(given_back == memory && memory[7] == 0x3f);
    CHECK_OK(mil_buffer_borrow("text", 4, false, NULL, NULL, &b, &err), &err);
    CHECK(!mil_buffer_writable(b));
    CHECK_STATUS(mil_buffer_lock(b, true, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "borrowed memory that was given for reading only");
    mil_buffer_free(b);
    CHECK_STATUS(mil_buffer_borrow(NULL, 4, false, NULL, NULL, &b, &err), MIL_EINVAL, &err);
}

static void freezing_and_locking(void) {
    mil_buffer *b = NULL;
    CHECK_OK(mil_buffer_new(4, &b, &err), &err);
    CHECK_OK(mil_buffer_lock(b, true, &err), &err);
    CHECK_OK(mil_buffer_lock(b, false, &err), &err);
    CHECK_OK(mil_buffer_unlock(b, &err), &err);
    CHECK_OK(mil_buffer_unlock(b, &err), &err);
    CHECK_STATUS(mil_buffer_unlock(b, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "unlock: the buffer is not locked");
    mil_buffer_freeze(b);
    mil_buffer_freeze(b);
    CHECK(!mil_buffer_writable(b));
    CHECK_STATUS(mil_buffer_lock(b, true, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "lock: the buffer cannot be written: it is a const of a program");
    mil_buffer_free(b);
}

static mil_status make_each(void *ctx, mil_error *e) {
    static char memory[4];
    mil_buffer *b[4] = {0};
    (void)ctx;
    mil_status status = mil_buffer_new(100, &b[0], e);
    if (status == MIL_OK) status = mil_buffer_shared(100, &b[1], e);
    if (status == MIL_OK) status = mil_buffer_map("Makefile", &b[2], e);
    if (status == MIL_OK) status = mil_buffer_borrow(memory, 4, true, NULL, NULL, &b[3], e);
    for (int i = 0; i < 4; i++) mil_buffer_free(b[i]);
    return status;
}

static void failing_allocations(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK_EQ(test_each_allocation(make_each, NULL), 4);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(heap), CASE(shared), CASE(given_for_reading), CASE(mapped), CASE(pipes), CASE(borrowed),
          CASE(freezing_and_locking), CASE(failing_allocations))
