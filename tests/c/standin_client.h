/* SPDX-License-Identifier: MIT */
/* What the stand-in's tests are clients with: its library opened, its calls by name, and the look at the end that nothing was wrong
 * and nothing is alive. */
#ifndef STANDIN_CLIENT_H
#define STANDIN_CLIENT_H

#include <dlfcn.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standin/standin.h"
#include "standin_folder.h"
#include "test.h"

typedef void *id, *SEL_;
static void *library;

#define SYM(result, name, ...) ((result (*)(__VA_ARGS__))dlsym(library, #name))
#define CLASS(name) SYM(id, objc_getClass, const char *)(name)
#define SEL(name) SYM(SEL_, sel_registerName, const char *)(name)
#define SEND(result, ...) ((result (*)(id, SEL_, ##__VA_ARGS__))dlsym(library, "objc_msgSend"))
#define CONTROL(result, name, ...) SYM(result, standin_##name, __VA_ARGS__)

static inline void open_library(void) {
    if (!library) library = open_standin("AppleNeuralEngine.so");
}

static inline void begin(void) {
    open_library();
    CONTROL(void, reset, void)();
#if defined __SANITIZE_ADDRESS__
    CONTROL(int, set, const char *, long)("guard", 0);
#endif
}

/* Nothing was wrong, and nothing is alive. */
static inline void end(long violations) {
    long n = CONTROL(long, violations, void)();
    if (!CHECK_EQ(n, violations))
        for (long i = 0; i < n; i++) fprintf(stderr, "  %s\n", CONTROL(const char *, violation, long)(i));
    CHECK_EQ(CONTROL(long, alive, void)(), 0);
    for (long i = 0; CONTROL(const char *, alive_class, long)(i); i++)
        fprintf(stderr, "  alive: %s\n", CONTROL(const char *, alive_class, long)(i));
}

/* It was noticed that ...: one of the violations has these words. */
static inline void noticed(const char *what) {
    const char *first = CONTROL(const char *, violation, long)(0), *text = first;
    for (long i = 1; text && !strstr(text, what); i++) text = CONTROL(const char *, violation, long)(i);
    CHECK_HAS(text ? text : first, what);
}

/* A folder of the test's own, in memory where the system has such a place (saves wait for the disk); it goes when the test ends. */
static char test_folder_path[64];
static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place) {
    (void)about, (void)kind, (void)place;
    return remove(path);
}
static inline void remove_all(const char *path) { nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS); }
static void remove_folder(void) { remove_all(test_folder_path); }
static inline const char *test_folder(void) {
    if (test_folder_path[0]) return test_folder_path;
    snprintf(test_folder_path, sizeof test_folder_path, "%s/standin_test.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (CHECK(mkdtemp(test_folder_path) != NULL)) atexit(remove_folder);
    return test_folder_path;
}
static inline void write_bytes(const char *path, const void *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    if (!CHECK(file != NULL)) return;
    CHECK_EQ(fwrite(bytes, 1, n, file), n);
    fclose(file);
}
#endif
