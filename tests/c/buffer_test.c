/* SPDX-License-Identifier: MIT */
/* Buffers: each kind, sharing, freezing, locking; files that are mapped and files that are read. */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

#ifdef __linux__ /* memory by descriptor */
static void shared(void) {
    mil_buffer *b = NULL, *other = NULL;
    CHECK_OK(mil_buffer_shared(5000, &b, &err), &err);
    CHECK_EQ(mil_buffer_kind_of(b), MIL_SHARED);
    CHECK(mil_buffer_fd(b) >= 0 && mil_buffer_writable(b));
    CHECK_OK(mil_buffer_import(mil_buffer_fd(b), 5000, &other, &err), &err);
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
    CHECK_STATUS(mil_buffer_import(-1, 0, &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot import file descriptor -1");
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK_STATUS(mil_buffer_import(ends[0], 0, &b, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "not memory");
    close(ends[0]), close(ends[1]);
    CHECK_STATUS(mil_buffer_shared(SIZE_MAX, &b, &err), MIL_ENOMEM, &err);
}

static int memfd(size_t bytes, int seals) {
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && (!seals || fcntl(fd, F_ADD_SEALS, seals) == 0));
    return fd;
}

static void refused(int fd, size_t bytes, mil_status status, const char *message) {
    mil_buffer *b = NULL;
    CHECK_STATUS(mil_buffer_import(fd, bytes, &b, &err), status, &err);
    CHECK_HAS(err.message, message);
    CHECK(b == NULL);
    close(fd);
}

/* What could become smaller under us, or is too small already. */
static void imports_that_are_refused(void) {
    refused(open("Makefile", O_RDONLY), 0, MIL_EIO, "it could shrink");
    refused(memfd(100, 0), 100, MIL_EIO, "it is to be given the seal F_SEAL_SHRINK first");
    refused(memfd(100, F_SEAL_GROW), 100, MIL_EIO, "F_SEAL_SHRINK");
    refused(memfd(100, F_SEAL_SHRINK), 101, MIL_EVALUE, "it has 100 bytes, but 101 are wanted");
    mil_buffer *b = NULL;
    CHECK_STATUS(mil_buffer_import_id(1, 0, &b, &err), MIL_EUNSUPPORTED, &err); /* of macOS alone */
    CHECK(b == NULL);
}

static void given_for_reading(void) {
    mil_buffer *b = NULL;
    char name[64];
    int fd = memfd(100, F_SEAL_SHRINK);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int reading = open(name, O_RDONLY);
    CHECK(reading >= 0);
    CHECK_OK(mil_buffer_import(reading, 100, &b, &err), &err);
    close(reading), close(fd);
    CHECK(!mil_buffer_writable(b));
    CHECK_STATUS(mil_buffer_lock(b, true, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "shared memory that was given for reading only");
    mil_buffer_free(b);
}

/* ---- between processes: the descriptor goes over a unix socket ---- */

static bool send_fd(int socket, int fd) {
    char byte = 0;
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    return sendmsg(socket, &message, 0) == 1;
}

static int receive_fd(int socket) {
    char byte;
    int fd = -1;
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message)) return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static const int64_t shape[] = {1, 3, 1, 5};

/* Reads 1 .. 15 of the fp16 rows, padded to 64 bytes, and gives back each doubled, in the same place. 0: all was there. */
static int other_process(int socket) {
    int64_t strides[MIL_MAX_RANK], index[4] = {0};
    size_t bytes;
    mil_buffer *buffer;
    mil_tensor *t;
    if (mil_padded_strides(MIL_FP16, 4, shape, 64, strides, &bytes, NULL)) return 1;
    int fd = receive_fd(socket);
    if (mil_buffer_import(fd, bytes, &buffer, NULL)) return 2;
    close(fd);
    if (mil_tensor_over(buffer, 0, MIL_FP16, 4, shape, strides, &t, NULL)) return 3;
    mil_buffer_free(buffer);
    for (int i = 0; i < 15; i++) {
        double value;
        index[1] = i / 5, index[3] = i % 5;
        if (mil_tensor_get(t, index, &value, NULL) || value != i + 1) return 4;
        mil_tensor_set(t, index, 2 * value, NULL);
    }
    mil_tensor_free(t);
    return write(socket, "", 1) != 1;
}

static void two_processes(void) {
    int ends[2], status = -1;
    if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0)) return;
    pid_t child = fork();
    if (child == 0) _exit(other_process(ends[1]));
    close(ends[1]);
    mil_tensor *t;
    CHECK_OK(mil_tensor_shared(MIL_FP16, 4, shape, 64, &t, &err), &err);
    CHECK_EQ(mil_tensor_strides(t)[1], 32);
    int64_t index[4] = {0};
    for (int i = 0; i < 15; i++) index[1] = i / 5, index[3] = i % 5, mil_tensor_set(t, index, i + 1, NULL);
    CHECK(send_fd(ends[0], mil_buffer_fd(mil_tensor_buffer(t))));
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
    double value = 0;
    CHECK_OK(mil_tensor_get(t, (int64_t[]){0, 2, 0, 4}, &value, &err), &err);
    CHECK_EQ(value, 30.0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    mil_tensor_free(t);
    close(ends[0]);
}

#define BY_DESCRIPTOR CASE(shared), CASE(imports_that_are_refused), CASE(given_for_reading), CASE(two_processes),
#else
#define BY_DESCRIPTOR
#endif

static void padded_strides(void) {
    int64_t strides[MIL_MAX_RANK];
    size_t bytes;
    CHECK_OK(mil_padded_strides(MIL_FP16, 4, (int64_t[]){2, 3, 4, 33}, 64, strides, &bytes, &err), &err);
    CHECK(strides[0] == 768 && strides[1] == 256 && strides[2] == 64 && strides[3] == 1);
    CHECK_EQ((long long)bytes, 3072);
    CHECK_OK(mil_padded_strides(MIL_FP32, 2, (int64_t[]){3, 5}, 0, strides, &bytes, &err), &err);
    CHECK(strides[0] == 5 && strides[1] == 1 && bytes == 60);
    CHECK_OK(mil_padded_strides(MIL_FP32, 2, (int64_t[]){3, 0}, 64, strides, &bytes, &err), &err);
    CHECK_EQ((long long)bytes, 0);
    CHECK_OK(mil_padded_strides(MIL_FP32, 0, NULL, 64, strides, &bytes, &err), &err);
    CHECK_EQ((long long)bytes, 4);
    strides[0] = bytes = 77;
    CHECK_STATUS(mil_padded_strides(MIL_FP32, 1, (int64_t[]){3}, 6, strides, &bytes, &err), MIL_EVALUE, &err);
    CHECK(strides[0] == 77 && bytes == 77); /* untouched */
    CHECK_HAS(err.message, "rows of fp32 begin at multiples of 4 bytes, but were to at those of 6");
    CHECK_STATUS(mil_padded_strides(MIL_INT4, 1, (int64_t[]){4}, 64, strides, &bytes, &err), MIL_ETYPE, &err);
    CHECK_STATUS(mil_padded_strides(MIL_FP32, 2, (int64_t[]){INT64_MAX / 64, 1}, 1 << 20, strides, &bytes, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil_padded_strides(MIL_FP32, 2, (int64_t[]){0, INT64_MAX / 2}, 64, strides, &bytes, &err), MIL_EVALUE, &err);
    mil_tensor *t;
    CHECK_STATUS(mil_tensor_shared(MIL_FP32, 1, (int64_t[]){3}, 6, &t, &err), MIL_EVALUE, &err);
    CHECK(t == NULL);
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

TEST_MAIN(CASE(heap), BY_DESCRIPTOR CASE(padded_strides), CASE(mapped), CASE(pipes), CASE(borrowed),
          CASE(freezing_and_locking), CASE(failing_allocations))
