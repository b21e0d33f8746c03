/* SPDX-License-Identifier: MIT */
/* Programs saved as packages, bundles and text, and read back; saves that fail, and what they leave. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "same.h"

static mil_error err;
static char folder[64];

/* A path in a folder of this run's own, which is removed at the end. */
static const char *in_folder(const char *name) {
    static char paths[4][200];
    static int next;
    char *path = paths[next++ % 4];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/mil_save_XXXXXX");
        if (!mkdtemp(folder)) abort();
    }
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void remove_all(const char *path) {
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", path);
    CHECK_EQ(system(command), 0);
}

static int count_entries(const char *path) {
    DIR *dir = opendir(path);
    int n = -2;
    if (!dir) return -1;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

static mil_program *load(const char *path) {
    mil_program *program = NULL;
    if (strstr(path, ".mlpackage")) {
        CHECK_OK(mil_package_open(path, &program, &err), &err);
        return program;
    }
    mil_buffer *file;
    char at[256], text[256];
    snprintf(text, sizeof text, "%s%s", path, strstr(path, ".mlmodelc") ? "/model.mil" : "");
    snprintf(at, sizeof at, "%s", text);
    *strrchr(at, '/') = 0;
    if (!CHECK_OK(mil_buffer_map(text, &file, &err), &err)) return NULL;
    mil_text_options options = {.name = text, .model_path = at};
    CHECK_OK(mil_text_parse(mil_buffer_data(file), mil_buffer_bytes(file), &options, &program, &err), &err);
    mil_buffer_free(file);
    return program;
}

/* ---- what is saved is what is read ---- */

static const char *const endings[] = {"a.mlpackage", "a.mlmodelc", "a.mil"};

static void round_trip(mil_program *program, const char *path) {
    if (!CHECK_OK(mil_program_save(program, path, NULL, &err), &err)) return;
    mil_program *back = load(path);
    if (!back) return;
    same s = {.a = program, .b = back};
    CHECK_EQ(same_programs(&s), "");
    mil_program_free(back);
}

static void refuse(mil_program *program, const char *path, const char *why) {
    int n = count_entries(folder);
    mil_status status = mil_program_save(program, path, NULL, &err);
    CHECK(status == MIL_EUNSUPPORTED || status == MIL_EVALUE || status == MIL_ESTATE);
    CHECK_HAS(err.message, why);
    CHECK_EQ(count_entries(folder), n);
}

/* Each program of the tests of text; those that no package can say are refused, and say why. */
static void texts(void) {
    static const struct {
        const char *name, *why;
    } refused[] = {
        {"literals.mil", "function main: t: a model's outputs are fp16, fp32 or int32 tensors, not bool; cast it"},
        {"enumerated.mil", "function main: img: the size ?2 has no upper limit, which Core ML demands; give it a range"},
        {"inline.mil", "function main: indices: the size ?2 has no upper limit"},
        {"functions.mil", "function nothing has no output"},
    };
    static const char *const unread[] = {"blocks.mil", "blocks_late.mil", "blobs.mil"}; /* with checks, or without a file */
    static const char *const refusals[] = {"r.mlpackage", "r.mlmodelc"};
    DIR *dir = opendir("tests/text/good");
    in_folder("");
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".mil") != 0) continue;
        bool is_read = true;
        for (size_t i = 0; i < sizeof unread / sizeof *unread; i++) is_read &= strcmp(unread[i], entry->d_name) != 0;
        if (!is_read) continue;
        char path[300];
        snprintf(path, sizeof path, "tests/text/good/%s", entry->d_name);
        mil_program *program = load(path);
        if (!program) continue;
        const char *why = NULL;
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
            if (strcmp(refused[i].name, entry->d_name) == 0) why = refused[i].why;
        for (int i = 0; i < 3; i++) {
            test_row = entry->d_name;
            if (why && i < 2) refuse(program, in_folder(refusals[i]), why);
            else round_trip(program, in_folder(endings[i]));
        }
        mil_program_free(program);
        n++;
    }
    if (dir) closedir(dir);
    CHECK(n > 20);
}

static void clean(void) {
    if (folder[0]) remove_all(folder);
}

TEST_MAIN(CASE(texts), CASE(clean))
