/* SPDX-License-Identifier: MIT */
/* What fuzz targets are written with. A target defines LLVMFuzzerTestOneInput and includes this; then it is built either
 *
 *     clang -fsanitize=fuzzer,address,undefined -DFUZZ_LIBFUZZER     for libFuzzer, or
 *     any compiler, best with address and undefined sanitizers        with the driver below, and run as
 *
 *     prog CORPUS_DIR SECONDS [SEED]     mutates the files of CORPUS_DIR until the time is over
 *     prog FILE...                       runs the files, to look at a failure again
 *
 * The driver keeps inputs that reach new code where the library is built with gcc's -fsanitize-coverage=trace-pc, and does
 * well enough without. An input that crashes, hangs for 10 seconds or breaks a promise is left as crash-<hash>.
 *
 * FUZZ_WORDS, defined before the inclusion: strings, separated by commas, that mutations may put in.
 * FUZZ_MEMORY(size): bytes that an input of that size may hold at once; more is a failure. */
#ifndef FUZZ_H
#define FUZZ_H

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- memory: counted, and checked at the end of each input ---- */

static size_t fuzz_held, fuzz_peak;

/* The size stands before each allocation. */
static void *fuzz_realloc(void *ctx, void *ptr, size_t bytes) {
    size_t *old = ptr ? (size_t *)((char *)ptr - 16) : NULL, before = old ? *old : 0;
    (void)ctx;
    if (bytes == 0) {
        fuzz_held -= before;
        free(old);
        return NULL;
    }
    if (bytes > ((size_t)1 << 32)) return NULL;
    size_t *fresh = realloc(old, bytes + 16);
    if (!fresh) return NULL;
    *fresh = bytes;
    fuzz_held += bytes - before;
    if (fuzz_held > fuzz_peak) fuzz_peak = fuzz_held;
    return (char *)fresh + 16;
}

static inline void *fuzz_malloc(size_t bytes) { return fuzz_realloc(NULL, NULL, bytes ? bytes : 1); }
static inline void fuzz_free(void *ptr) { fuzz_realloc(NULL, ptr, 0); }

/* A promise that did not hold. */
#define FUZZ_CHECK(ok)                                                                   \
    do {                                                                                 \
        if (!(ok)) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok), abort();     \
    } while (0)

static inline void fuzz_run(const uint8_t *data, size_t size) {
    size_t before = fuzz_held;
    fuzz_peak = fuzz_held;
    LLVMFuzzerTestOneInput(data, size);
    FUZZ_CHECK(fuzz_held == before); /* else it leaks */
#ifdef FUZZ_MEMORY
    FUZZ_CHECK(fuzz_peak - before <= FUZZ_MEMORY(size));
#endif
}

#ifndef FUZZ_LIBFUZZER

/* ---- coverage ---- */

enum { FUZZ_MAP = 1 << 16 };
static uint8_t fuzz_map[FUZZ_MAP]; /* code that some input has reached */
static size_t fuzz_new;            /* reached for the first time by this input */

#if defined(__GNUC__) && !defined(__clang__)
void __sanitizer_cov_trace_pc(void);
__attribute__((no_sanitize_coverage, used)) void __sanitizer_cov_trace_pc(void) {
    size_t at = (size_t)__builtin_return_address(0) * 2654435761u >> 7 & (FUZZ_MAP - 1);
    if (!fuzz_map[at]) fuzz_map[at] = 1, fuzz_new++;
}
#endif

/* ---- inputs ---- */

typedef struct fuzz_input {
    uint8_t *data;
    size_t size;
} fuzz_input;

enum { FUZZ_INPUTS = 8192, FUZZ_LARGEST = 1 << 16 };
static fuzz_input fuzz_corpus[FUZZ_INPUTS];
static size_t fuzz_n;
static fuzz_input fuzz_now; /* what runs */

static void fuzz_keep(const uint8_t *data, size_t size) {
    if (fuzz_n == FUZZ_INPUTS || size > FUZZ_LARGEST) return;
    uint8_t *copy = malloc(size + 1);
    if (size) memcpy(copy, data, size);
    fuzz_corpus[fuzz_n++] = (fuzz_input){copy, size};
}

static bool fuzz_read(const char *path) {
    static uint8_t data[FUZZ_LARGEST + 1];
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    fuzz_keep(data, size);
    return true;
}

static void fuzz_save(void) {
    char name[40], message[64];
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < fuzz_now.size; i++) hash = (hash ^ fuzz_now.data[i]) * 1099511628211u;
    snprintf(name, sizeof name, "crash-%016llx", (unsigned long long)hash);
    FILE *file = fopen(name, "wb");
    if (file) fwrite(fuzz_now.data, 1, fuzz_now.size, file), fclose(file);
    int n = snprintf(message, sizeof message, "the input is in %s\n", name);
    if (write(2, message, (size_t)n) < 0) return;
}

static void fuzz_signal(int number) {
    if (number == SIGALRM && write(2, "hangs\n", 6) < 0) _exit(1);
    fuzz_save();
    _exit(1);
}

void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

static void fuzz_watch(void) {
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(fuzz_save);
    else signal(SIGSEGV, fuzz_signal), signal(SIGBUS, fuzz_signal);
    signal(SIGABRT, fuzz_signal);
    signal(SIGALRM, fuzz_signal);
}

/* ---- mutations ---- */

static uint64_t fuzz_state;

static uint64_t fuzz_random(void) { /* xorshift* */
    fuzz_state ^= fuzz_state >> 12;
    fuzz_state ^= fuzz_state << 25;
    fuzz_state ^= fuzz_state >> 27;
    return fuzz_state * 0x2545f4914f6cdd1du >> 16;
}

static size_t fuzz_below(size_t n) { return n ? (size_t)(fuzz_random() % n) : 0; }

#ifdef FUZZ_WORDS
static const char *const fuzz_words[] = {FUZZ_WORDS};
#else
static const char *const fuzz_words[] = {"0"};
#endif

/* Replaces data[at, at + gone) by n bytes of `by`; gives the new size. */
static size_t fuzz_splice(uint8_t *data, size_t size, size_t at, size_t gone, const void *by, size_t n) {
    if (size - gone + n > FUZZ_LARGEST) return size;
    memmove(data + at + n, data + at + gone, size - at - gone);
    if (n) memcpy(data + at, by, n);
    return size - gone + n;
}

static size_t fuzz_mutate(uint8_t *data, size_t size) {
    static const uint64_t numbers[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                       INT64_MAX, (uint64_t)1 << 63, UINT64_MAX, 64, 100000000, 4096};
    static uint8_t piece[FUZZ_LARGEST];
    size_t at = fuzz_below(size + 1), some = fuzz_below(size - at + 1);
    if (some > 32 && fuzz_below(4)) some = fuzz_below(32);
    switch (fuzz_below(8)) {
    case 0: if (size) data[at % size] ^= (uint8_t)(1 << fuzz_below(8)); return size;
    case 1: if (size) data[at % size] = (uint8_t)fuzz_random(); return size;
    case 2: return fuzz_splice(data, size, at, some, "", 0);
    case 3: { /* a piece again, elsewhere */
        memcpy(piece, data + at, some);
        return fuzz_splice(data, size, fuzz_below(size + 1), 0, piece, some);
    }
    case 4: { /* a number in binary */
        uint64_t number = numbers[fuzz_below(sizeof numbers / sizeof *numbers)] + fuzz_below(3) - 1;
        size_t width = (size_t)1 << fuzz_below(4);
        if (at + width > size) return size;
        memcpy(data + at, &number, width);
        return size;
    }
    case 5: { /* a word, or a number in text */
        const char *word = fuzz_words[fuzz_below(sizeof fuzz_words / sizeof *fuzz_words)];
        char digits[32];
        if (fuzz_below(3) == 0) {
            snprintf(digits, sizeof digits, "%llu", (unsigned long long)numbers[fuzz_below(sizeof numbers / sizeof *numbers)]);
            word = digits;
        }
        return fuzz_splice(data, size, at, fuzz_below(2) ? 0 : some, word, strlen(word));
    }
    case 6: { /* a piece of another input */
        const fuzz_input *other = &fuzz_corpus[fuzz_below(fuzz_n)];
        size_t from = fuzz_below(other->size + 1), n = fuzz_below(other->size - from + 1);
        return fuzz_splice(data, size, at, some, other->data + from, n);
    }
    default: return at; /* cut short */
    }
}

static void fuzz_one(uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size ? size : 1); /* so that the sanitizer sees a read beyond the end */
    if (size) memcpy(exact, data, size);
    fuzz_now = (fuzz_input){exact, size};
    fuzz_new = 0;
    alarm(10);
    fuzz_run(exact, size);
    if (fuzz_new) fuzz_keep(exact, size);
    free(exact);
}

static int fuzz_loop(const char *folder, double seconds) {
    static uint8_t data[FUZZ_LARGEST * 2];
    DIR *dir = opendir(folder);
    if (!dir) return fprintf(stderr, "%s: no such folder\n", folder), 2;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') fuzz_read(path);
    }
    closedir(dir);
    size_t n_files = fuzz_n;
    if (n_files == 0) return fprintf(stderr, "%s: no files to begin with\n", folder), 2;
    for (size_t i = 0; i < n_files; i++) fuzz_one(fuzz_corpus[i].data, fuzz_corpus[i].size);
    while (fuzz_n > n_files) free(fuzz_corpus[--fuzz_n].data); /* the files themselves again */
    long runs = 0;
    for (time_t begin = time(NULL); difftime(time(NULL), begin) < seconds; runs++) {
        const fuzz_input *input = &fuzz_corpus[fuzz_below(fuzz_n)];
        size_t size = input->size;
        memcpy(data, input->data, size);
        for (size_t n = 1 + fuzz_below(fuzz_below(2) ? 2 : 8); n; n--) size = fuzz_mutate(data, size);
        fuzz_one(data, size);
    }
    alarm(0);
    printf("%s: %ld inputs, %zu files grew to %zu\n", folder, runs, n_files, fuzz_n);
    for (size_t i = 0; i < fuzz_n; i++) free(fuzz_corpus[i].data);
    return 0;
}

int main(int argc, char **argv) {
    char *end = NULL;
    double seconds = argc > 2 ? strtod(argv[2], &end) : 0;
    mil_set_allocator(fuzz_realloc, NULL);
    fuzz_watch();
    if (argc > 2 && end && *end == 0) {
        fuzz_state = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
        printf("seed %llu\n", (unsigned long long)fuzz_state);
        fflush(stdout);
        return fuzz_loop(argv[1], seconds);
    }
    if (argc < 2) return fprintf(stderr, "usage: %s CORPUS_DIR SECONDS [SEED] | FILE...\n", argv[0]), 2;
    for (int i = 1; i < argc; i++) {
        fuzz_n = 0;
        if (!fuzz_read(argv[i])) return fprintf(stderr, "%s: cannot be read\n", argv[i]), 2;
        fuzz_input input = fuzz_corpus[0];
        fuzz_one(input.data, input.size);
        free(input.data);
    }
    return 0;
}

#endif
#endif
