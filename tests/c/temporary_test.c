/* SPDX-License-Identifier: MIT */
/* Folders of one process alone: private, found by nobody's accident, and removed when their process has died. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"

static char root[64];

static bool exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

static const char *at(const char *format, long process) {
    static char path[256];
    char name[100];
    snprintf(name, sizeof name, format, process);
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_file(const char *path) {
    FILE *file = fopen(path, "w");
    if (CHECK(file)) fclose(file);
}

/* First of all cases: leftovers are looked for once in a process. */
static void leftovers(void) {
    mil_error err;
    char *path, inner[300];
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    waitpid(dead, NULL, 0);
    CHECK_EQ(mkdir(at("luamil-%ld-e5rt-abcdef", dead), 0700), 0);
    snprintf(inner, sizeof inner, "%s/weights", at("luamil-%ld-e5rt-abcdef", dead));
    CHECK_EQ(mkdir(inner, 0700), 0);
    snprintf(inner, sizeof inner, "%s/weights/w.bin", at("luamil-%ld-e5rt-abcdef", dead));
    write_file(inner);
    write_file(at("luamil-%ld-file", dead));
    CHECK_EQ(mkdir(at("luamil-%ld-e5rt-abcdef", getppid()), 0700), 0);
    CHECK_EQ(mkdir(at("other-%ld-e5rt-abcdef", dead), 0700), 0);
    if (!CHECK_OK(mil__folder_temporary("e5rt", &path, &err), &err)) return;
    CHECK(!exists(at("luamil-%ld-e5rt-abcdef", dead)));
    CHECK(exists(at("luamil-%ld-file", dead)));              /* no folder */
    CHECK(exists(at("luamil-%ld-e5rt-abcdef", getppid())));  /* its process lives */
    CHECK(exists(at("other-%ld-e5rt-abcdef", dead)));
    mil__folder_remove(path);
    mil__free(path);
}

static void is_private(void) {
    mil_error err;
    struct stat info;
    char *path, *other;
    if (!CHECK_OK(mil__folder_temporary("e5rt", &path, &err), &err)) return;
    if (!CHECK_OK(mil__folder_temporary("e5rt", &other, &err), &err)) return;
    CHECK_HAS(path, root);
    CHECK(strcmp(path, other) != 0);
    CHECK_EQ(stat(path, &info), 0);
    CHECK_EQ((long long)(info.st_mode & 0777), 0700);
    mil__folder_remove(path);
    CHECK(!exists(path));
    CHECK(exists(other));
    mil__folder_remove(other);
    mil__folder_remove(NULL);
    mil__free(path);
    mil__free(other);
}

static void without_a_place(void) {
    mil_error err;
    char *path = NULL;
    setenv("TMPDIR", "/no/such/folder", 1);
    CHECK_STATUS(mil__folder_temporary("e5rt", &path, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "/no/such/folder");
    CHECK(!path);
    setenv("TMPDIR", root, 1);
}

/* What is kept is believed: so it is kept only where nobody else can have put it. */
static void kept(void) {
    static const struct { const char *what; mode_t leaf, above; bool is_others, is_file, is_used; } rows[] = {
        {"nothing is there yet", 0, 0, false, false, true}, {"ours", 0700, 0755, false, false, true}, {"others may read it", 0755, 0775, false, false, true},
        {"the group may write it", 0770, 0755, false, false, false}, {"all may write it", 0777, 0755, false, false, false},
        {"all may exchange it", 0700, 0777, false, false, false}, {"another user's", 0700, 0755, true, false, false}, {"a file", 0600, 0755, false, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_error err;
        char cache[300], leaf[320], *path = NULL;
        test_row = rows[i].what;
        snprintf(cache, sizeof cache, "%s/cache-%zu", root, i);
        snprintf(leaf, sizeof leaf, "%s/ane", cache);
        if (rows[i].leaf) {
            CHECK_EQ(mkdir(cache, 0700), 0);
            if (rows[i].is_file) CHECK_OK(mil_text_write(leaf, "", 0, &err), &err);
            else CHECK_EQ(mkdir(leaf, 0700), 0);
            CHECK_EQ(chmod(leaf, rows[i].leaf) | chmod(cache, rows[i].above), 0);
            if (rows[i].is_others && (geteuid() != 0 || chown(leaf, 12345, (gid_t)-1) != 0)) continue; /* root alone can make one */
        }
        setenv("MIL_CACHE", cache, 1);
        CHECK_OK(mil__cache_folder("ane", &path, &err), &err);
        CHECK_EQ(path != NULL, rows[i].is_used);
        if (path) CHECK_HAS(path, leaf), CHECK(exists(path));
        mil__free(path);
    }
    test_row = NULL;
    setenv("MIL_CACHE", "/proc/no/such", 1);
    char *path = root;
    CHECK_OK(mil__cache_folder("ane", &path, NULL), NULL);
    CHECK(!path);
    unsetenv("MIL_CACHE");
}

static mil_status make(void *ctx, mil_error *err) {
    char *path;
    (void)ctx;
    MIL__TRY(mil__folder_temporary("e5rt", &path, err));
    mil__folder_remove(path);
    mil__free(path);
    return MIL_OK;
}

static void memory(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(make, NULL) > 0);
    mil_set_allocator(NULL, NULL);
}

int main(int argc, char **argv) {
    static const test_case cases[] = {CASE(leftovers), CASE(is_private), CASE(without_a_place), CASE(kept), CASE(memory)};
    snprintf(root, sizeof root, "/tmp/temporary_test.XXXXXX");
    if (!mkdtemp(root)) return 1;
    setenv("TMPDIR", root, 1);
    int failed = test_main(__FILE__, cases, sizeof cases / sizeof *cases, argc, argv);
    mil__folder_remove(root);
    return failed;
}
