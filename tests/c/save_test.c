/* SPDX-License-Identifier: MIT */
/* Programs saved as packages, bundles and text, and read back; saves that fail, and what they leave. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "same.h"

#include "base/file.h"

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

static const char *at(const char *path, const char *name) {
    static char full[400];
    snprintf(full, sizeof full, "%s/%s", path, name);
    return full;
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
        CHECK_OK(mil_program_load(path, NULL, &program, &err), &err);
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

/* What no package can say, whatever the text. */
static bool is_refused(const char *why) {
    static const char *const reasons[] = {"a model's outputs are", "a model's inputs ", "has no upper limit",
                                          "has no output"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strstr(why, reasons[i])) return true;
    return false;
}

/* Saved and read, or refused with nothing left. */
static bool round_trip_or_refuse(mil_program *program, const char *path) {
    int n = count_entries(folder);
    mil_status status = mil_program_save(program, path, NULL, &err);
    if (status == MIL_OK) return round_trip(program, path), false;
    CHECK(is_refused(err.message) || !CHECK_OK(status, &err));
    CHECK_EQ(count_entries(folder), n);
    return true;
}

/* Each program of the tests of text. */
static void texts(void) {
    static const char *const unread[] = {"blocks.mil", "blocks_late.mil",
                                         "blobs.mil"}; /* with checks, or without a file */
    DIR *dir = opendir("tests/text/good");
    int n = 0, n_refused = 0;
    in_folder("");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        bool is_read = length > 4 && strcmp(entry->d_name + length - 4, ".mil") == 0;
        for (size_t i = 0; i < sizeof unread / sizeof *unread; i++) is_read &= strcmp(unread[i], entry->d_name) != 0;
        if (!is_read) continue;
        char path[300], packages[2][400];
        snprintf(path, sizeof path, "tests/text/good/%s", entry->d_name);
        test_row = entry->d_name;
        mil_program *program = load(path);
        if (!program) continue;
        for (int i = 0; i < 2; i++) {
            snprintf(packages[i], sizeof packages[i], "%s/%s%s", folder, entry->d_name, i ? ".mlmodelc" : ".mlpackage");
            n_refused += round_trip_or_refuse(program, packages[i]);
        }
        round_trip(program, in_folder("a.mil"));
        mil_program_free(program);
        n++;
    }
    if (dir) closedir(dir);
    CHECK(n > 20 && n_refused < n);
}

/* ---- what a save replaces, and what it leaves where it fails ---- */

/* A program with a weight of n elements. */
static mil_program *with_weight(int64_t n, float first) {
    mil_program *program = NULL;
    mil_block main;
    mil_value x, sum, y;
    size_t made;
    mil_tensor *weight = NULL;
    CHECK_OK(mil_program_new(MIL_IOS17, &program, &err), &err);
    CHECK_OK(mil_program_function(program, "main", &main, &err), &err);
    CHECK_OK(mil_program_input(program, main, "x", MIL_FP32, 1, &n, false, &x, &err), &err);
    CHECK_OK(mil_tensor_new(MIL_FP32, 1, &n, &weight, &err), &err);
    ((float *)weight->data)[0] = first;
    mil_arg args[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = x},
                      {.name = "y", .kind = MIL_ARG_TENSOR, .tensor = weight}};
    CHECK_OK(mil_program_add(program, main, mil_op_find("add"), args, 2, NULL, (mil_where){0}, &sum, 1, &made, &err),
             &err);
    CHECK_OK(mil_program_output(program, main, "y", sum, &y, &err), &err);
    mil_tensor_free(weight);
    return program;
}

static float first_of(const char *path) {
    mil_program *program = load(path);
    if (!program) return -1;
    mil_tensor *weight =
        mil_value_data(program, mil_value_find(program, mil_program_function_at(program, 0), "add_y_0"));
    float first = CHECK(weight != NULL) ? ((const float *)weight->data)[0] : -1;
    mil_program_free(program);
    return first;
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!CHECK(file != NULL)) return;
    fputs(text, file);
    fclose(file);
}

/* A second save replaces the first, and nothing else lies about. */
static void replaced(void) {
    mil_program *one = with_weight(100, 1), *two = with_weight(3000, 2);
    in_folder("");
    for (int i = 0; i < 3; i++) {
        test_row = endings[i];
        const char *path = in_folder(endings[i]);
        CHECK_OK(mil_program_save(one, path, NULL, &err), &err);
        int n = count_entries(folder);
        CHECK_EQ(first_of(path), 1.0);
        CHECK_OK(mil_program_save(two, path, NULL, &err), &err);
        CHECK_EQ(first_of(path), 2.0);
        CHECK_EQ(count_entries(folder), n);
    }
    mil_program_free(one);
    mil_program_free(two);
}

/* A program whose weights are mapped from the very file that the save replaces. */
static void over_itself(void) {
    mil_program *program = with_weight(5000, 7);
    for (int i = 0; i < 3; i++) {
        test_row = endings[i];
        const char *path = in_folder(endings[i]);
        CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
        mil_program *mapped = load(path);
        if (!mapped) continue;
        CHECK_OK(mil_program_save(mapped, path, NULL, &err), &err);
        CHECK_OK(mil_program_save(mapped, path, NULL, &err), &err);
        CHECK_EQ(first_of(path), 7.0);
        same s = {.a = program, .b = mapped};
        CHECK_EQ(same_programs(&s), "");
        mil_program_free(mapped);
    }
    mil_program_free(program);
}

/* What merely has the name is left alone. */
static void not_ours(void) {
    static const char *const names[] = {"mine.mlpackage", "mine.mlmodelc"};
    mil_program *program = with_weight(100, 1);
    for (int i = 0; i < 2; i++) {
        test_row = names[i];
        const char *path = in_folder(names[i]);
        char note[300];
        snprintf(note, sizeof note, "%s/note.txt", path);
        CHECK_EQ(mkdir(path, 0700), 0);
        write_file(note, "mine");
        CHECK_STATUS(mil_program_save(program, path, NULL, &err), MIL_EIO, &err);
        CHECK_HAS(err.message, i ? "it exists and is not a compiled bundle" : "it exists and is not a package");
        CHECK(access(note, F_OK) == 0);
        unlink(note);
        CHECK_OK(mil_program_save(program, path, NULL, &err), &err); /* it is empty now */
        remove_all(path);
        write_file(path, "a file");
        CHECK_STATUS(mil_program_save(program, path, NULL, &err), MIL_EIO, &err);
        CHECK_HAS(err.message, "not a folder");
        unlink(path);
    }
    mil_program_free(program);
}

static void failing(mil_program *program, const char *path, int n) {
    mil_status status = mil_program_save(program, path, NULL, &err);
    CHECK_STATUS(status, MIL_EIO, &err);
    CHECK_HAS(err.message, mil__path_ends_in(path, ".mil") ? folder : path); /* it may be the weights */
    CHECK_EQ(count_entries(folder), n);
    CHECK_EQ(first_of(path), 1.0);
}

/* No room: files may have so many bytes and no more, from none to all that it takes. */
static void no_room(void) {
    mil_program *one = with_weight(100, 1), *two = with_weight(30000, 2);
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    in_folder("");
    for (int i = 0; i < 3; i++) {
        test_row = endings[i];
        const char *path = in_folder(endings[i]);
        CHECK_OK(mil_program_save(one, path, NULL, &err), &err);
        int n = count_entries(folder);
        for (rlim_t bytes = 0; bytes < 120000; bytes = bytes * 3 + 10) {
            small = (struct rlimit){bytes, before.rlim_max};
            setrlimit(RLIMIT_FSIZE, &small);
            failing(two, path, n);
            setrlimit(RLIMIT_FSIZE, &before);
        }
    }
    const char *fresh = in_folder("fresh"), *first = in_folder("fresh/a.mil"); /* its folder weights is not there yet */
    CHECK_EQ(mkdir(fresh, 0700), 0);
    small = (struct rlimit){5000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_STATUS(mil_program_save(two, first, NULL, &err), MIL_EIO, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_EQ(count_entries(fresh), 0);
    mil_program_free(one);
    mil_program_free(two);
}

static int renames_left = -1; /* then one fails */

/* The library's, since it is linked statically. */
int rename(const char *from, const char *to) {
    if (renames_left == 0) {
        renames_left = -1;
        return errno = EIO, -1;
    }
    if (renames_left > 0) renames_left--;
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

/* Whichever file's renaming fails, the old text stands beside its weights, or both are not there. */
static void no_rename(void) {
    mil_program *one = with_weight(100, 1), *two = with_weight(3000, 2);
    const char *fresh = in_folder("renames"), *path = in_folder("renames/a.mil"), *weights = in_folder("renames/weights");
    CHECK_EQ(mkdir(fresh, 0700), 0);
    for (int is_new = 1; is_new >= 0; is_new--) {
        for (int n = 0; n < 2; n++) {
            renames_left = n;
            CHECK_STATUS(mil_program_save(two, path, NULL, &err), MIL_EIO, &err);
            CHECK_EQ(renames_left, -1);
            CHECK_EQ(count_entries(fresh), is_new ? 0 : 2);
            CHECK_EQ(count_entries(weights), is_new ? -1 : 1);
            if (!is_new) CHECK_EQ(first_of(path), 1.0);
        }
        CHECK_OK(mil_program_save(one, path, NULL, &err), &err);
    }
    mil_program_free(one);
    mil_program_free(two);
    remove_all(fresh);
}

/* A folder that does not exist, or in which nothing can be made. */
static void no_folder(void) {
    mil_program *program = with_weight(100, 1);
    for (int i = 0; i < 3; i++) {
        char path[300];
        const char *nowhere = in_folder("nowhere");
        snprintf(path, sizeof path, "%s/%s", nowhere, endings[i]);
        CHECK_STATUS(mil_program_save(program, path, NULL, &err), MIL_EIO, &err);
        CHECK_HAS(err.message, nowhere);
    }
    mil_program_free(program);
}

/* A folder that is not ours to write in: the system's reason is given, not what follows from it. */
static void not_permitted(void) {
    mil_program *program = with_weight(100, 1);
    const char *closed = in_folder("closed");
    CHECK_EQ(mkdir(closed, 0555), 0);
    CHECK_EQ(chmod(folder, 0755), 0);
    bool is_root = geteuid() == 0; /* who may write anywhere */
    if (!is_root || seteuid(65534) == 0) {
        for (int i = 0; i < 3; i++) {
            CHECK_STATUS(mil_program_save(program, at(closed, endings[i]), NULL, &err), MIL_EIO, &err);
            CHECK_HAS(err.message, strerror(EACCES));
            CHECK_HAS(err.message, closed);
        }
        if (is_root) CHECK_EQ(seteuid(0), 0);
    }
    remove_all(closed);
    mil_program_free(program);
}

/* ---- the other files of a package ---- */

static char *text_of(const char *path) {
    static char text[4096];
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = 0;
    if (file) fclose(file);
    return file ? text : NULL;
}

#define IN(path, name) text_of(at(path, name))
static void run_command(const char *format, const char *path) {
    char command[900];
    snprintf(command, sizeof command, format, path);
    CHECK_EQ(system(command), 0);
}

/* With files of others, an item of the manifest for one of them, an empty folder, and a weights file that is named by no one. */
static const char *package_of_others(const char *name) {
    const char *path = in_folder(name);
    run_command("cp -R tests/vectors/packages/conv.mlpackage %s", path);
    run_command("cd %s && mkdir -p Data/com.acme Data/com.apple.CoreML/empty && echo cat >Data/com.acme/labels.txt && "
                "echo {} >Data/com.apple.CoreML/FeatureDescriptions.json && echo mine >Data/com.apple.CoreML/weights/extra.txt && "
                "echo top >notes && chmod 640 notes && ln -s notes inside && "
                "sed -i.old 's|\"itemInfoEntries\": {|&\"ACME\": {\"path\": \"com.acme/labels.txt\", \"author\": \"com.acme\", "
                "\"name\": \"labels.txt\", \"description\": \"d\", \"more\": [1]}, "
                "\"GONE\": {\"path\": \"com.acme/none\"}, \"OUT\": {\"path\": \"../notes\"}, \"ODD\": 7,|' Manifest.json && "
                "rm Manifest.json.old", path);
    return path;
}

static void check_others(const char *path) {
    struct stat info;
    CHECK_EQ(IN(path, "Data/com.acme/labels.txt"), "cat\n");
    CHECK_EQ(IN(path, "Data/com.apple.CoreML/FeatureDescriptions.json"), "{}\n");
    CHECK_EQ(IN(path, "Data/com.apple.CoreML/weights/extra.txt"), "mine\n");
    CHECK_EQ(IN(path, "notes"), "top\n");
    CHECK(stat(at(path, "notes"), &info) == 0 && (info.st_mode & 0777) == 0640 && info.st_nlink == 1);
    CHECK(lstat(at(path, "inside"), &info) == 0 && S_ISLNK(info.st_mode));
    CHECK_EQ(count_entries(at(path, "Data/com.apple.CoreML/empty")), 0);
    CHECK_EQ(count_entries(at(path, "Data/com.apple.CoreML")), 4);
    const char *manifest = IN(path, "Manifest.json");
    CHECK_HAS(manifest, "\"ACME\": {\n            \"author\": \"com.acme\"");
    CHECK_HAS(manifest, "\"more\": [");
    CHECK_HAS(manifest, "\"ODD\": 7");
    CHECK(!strstr(manifest, "GONE") && !strstr(manifest, "OUT"));
}

static void others(void) {
    const char *path = package_of_others("o.mlpackage"), *copy = in_folder("copy.mlpackage");
    char root[100];
    snprintf(root, sizeof root, "%s", strstr(IN(path, "Manifest.json"), "rootModelIdentifier"));
    mil_program *program = load(path);
    if (!program) return;
    for (int round = 0; round < 2; round++) { /* in its own place, twice; elsewhere, over what was saved there */
        CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
        check_others(path);
        CHECK_HAS(IN(path, "Manifest.json"), root);
        CHECK_OK(mil_program_save(program, copy, NULL, &err), &err);
        check_others(copy);
    }
    CHECK_OK(mil_program_save(program, copy, &(mil_save_options){.alone = true}, &err), &err);
    CHECK_EQ(count_entries(copy), 2);
    CHECK(!strstr(IN(copy, "Manifest.json"), "ACME"));
    remove_all(copy);
    CHECK_OK(mil_program_save(program, at(path, "x.mlpackage"), NULL, &err), &err); /* in itself */
    const char *inner = in_folder("o.mlpackage/x.mlpackage");
    check_others(inner);
    CHECK(access(at(inner, "x.mlpackage"), F_OK) != 0);
    mil_program_free(program);
    remove_all(path);
}

/* Weights that a package has under another name are its own; so are those of the last save. */
static void own_weights(void) {
    const char *path = in_folder("w.mlpackage");
    run_command("cp -R tests/vectors/packages/conv.mlpackage %s", path);
    run_command("cd %s/Data/com.apple.CoreML/ && mv weights/weight.bin weights/xeight.bin && "
                "sed -i.old 's|weights/weight.bin|weights/xeight.bin|' model.mlmodel && rm model.mlmodel.old", path);
    mil_program *program = load(path), *other = with_weight(3, 1);
    if (!program) return;
    for (int round = 0; round < 2; round++) {
        CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
        CHECK_EQ(count_entries(at(path, "Data/com.apple.CoreML/weights")), 1);
    }
    CHECK(access(at(path, "Data/com.apple.CoreML/weights/weight.bin"), F_OK) == 0);
    mil_program_free(program);
    CHECK_OK(mil_program_save(other, path, NULL, &err), &err); /* another program's, without weights */
    CHECK_EQ(count_entries(at(path, "Data/com.apple.CoreML")), 1);
    CHECK(!strstr(IN(path, "Manifest.json"), "weights"));
    mil_program_free(other);
    remove_all(path);
}

/* What is said of a bundle is made anew; its analytics are of another program. */
static void other_files_of_bundles(void) {
    const char *path = in_folder("o.mlmodelc"), *copy = in_folder("c.mlmodelc"), *package = in_folder("c.mlpackage");
    mil_program *made = with_weight(100, 1);
    CHECK_OK(mil_program_save(made, path, NULL, &err), &err);
    mil_program_free(made);
    run_command("cd %s && mkdir analytics && echo old >analytics/coremldata.bin && echo cat >labels.txt", path);
    mil_program *program;
    if (!CHECK_OK(mil_program_load(path, NULL, &program, &err), &err)) return;
    CHECK_OK(mil_program_save(program, copy, NULL, &err), &err);
    CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
    CHECK_OK(mil_program_save(program, package, NULL, &err), &err); /* of another form */
    CHECK_EQ(IN(path, "labels.txt"), "cat\n");
    CHECK_EQ(IN(copy, "labels.txt"), "cat\n");
    CHECK_EQ(count_entries(path), 5);
    CHECK_EQ(count_entries(copy), 5);
    CHECK_EQ(count_entries(package), 2);
    mil_program_free(program);
    remove_all(path), remove_all(copy), remove_all(package);
}

/* Links are never followed, pipes never opened; a save that fails leaves everything. */
static void links(void) {
    static const struct {
        const char *make, *why; /* why NULL: it is saved elsewhere too */
        bool anywhere;          /* it can't be saved in its own place either */
    } rows[] = {
        {"ln -s /etc/passwd out", "/out is a link out of the folder, to /etc/passwd", false},
        {"ln -s ../../x Data/com.acme/out", NULL, false},
        {"ln -s ../../../x Data/com.acme/out", "Data/com.acme/out is a link out of the folder", false},
        {"ln -s a/../../x out", "/out is a link out of the folder", false},
        {"ln -s nowhere dangling", NULL, false},
        {"mkfifo pipe", "/pipe is neither a file nor a folder nor a link", true},
        {"mv Data/com.apple.CoreML real && ln -s ../real Data/com.apple.CoreML", "Data/com.apple.CoreML", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *path = package_of_others("l.mlpackage"), *copy = in_folder("m.mlpackage");
        char command[300];
        test_row = rows[i].make;
        snprintf(command, sizeof command, "cd %%s && %s", rows[i].make);
        run_command(command, path);
        int n = count_entries(folder), m = count_entries(path);
        mil_program *program = load(path);
        if (!program) continue;
        mil_status status = mil_program_save(program, copy, NULL, &err);
        CHECK_EQ(status == MIL_OK, !rows[i].why);
        if (rows[i].why) CHECK_HAS(err.message, rows[i].why);
        CHECK_EQ(count_entries(folder), n + !rows[i].why);
        CHECK_EQ(mil_program_save(program, path, NULL, &err) == MIL_OK, !rows[i].anywhere);
        CHECK_EQ(count_entries(path), m);
        CHECK_EQ(count_entries(folder), n + !rows[i].why);
        mil_program_free(program);
        remove_all(path);
        if (!rows[i].why) remove_all(copy);
    }
}

/* What has gone since can't be saved; what had nothing else can. */
static void gone(void) {
    const char *path = package_of_others("g.mlpackage"), *copy = in_folder("h.mlpackage");
    mil_program *program = load(path);
    if (!program) return;
    remove_all(path);
    CHECK_STATUS(mil_program_save(program, copy, NULL, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "/g.mlpackage, which the program was read from, is no longer there, nor is ");
    CHECK_OK(mil_program_save(program, copy, &(mil_save_options){.alone = true}, &err), &err);
    mil_program_free(program);
    remove_all(copy);
    run_command("cp -R tests/vectors/packages/conv.mlpackage %s", path);
    program = load(path);
    remove_all(path);
    CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
    mil_program_free(program);
    remove_all(path);
}

/* ---- memory ---- */

static mil_status save_task(void *ctx, mil_error *error) {
    const char *const *task = ctx;
    mil_program *program;
    MIL__TRY(mil_program_load(task[0], NULL, &program, error));
    mil_status status = mil_program_save(program, task[1], NULL, error);
    mil_program_free(program);
    return status;
}

static void no_memory(void) {
    in_folder("");
    for (int i = 0; i < 3; i++) {
        const char *task[] = {"tests/vectors/packages/conv.mlpackage", in_folder(endings[i])};
        CHECK_OK(save_task(task, &err), &err);
    }
    int n = count_entries(folder);
    mil_set_allocator(test_realloc, NULL);
    for (int i = 0; i < 3; i++) {
        test_row = endings[i];
        const char *task[] = {"tests/vectors/packages/conv.mlpackage", in_folder(endings[i])};
        const char *flexible[] = {"tests/vectors/packages/flexible.mlpackage", task[1]};
        CHECK(test_each_allocation(save_task, task) > 20);
        CHECK(test_each_allocation(save_task, flexible) > 20);
    }
    mil_set_allocator(NULL, NULL);
    const char *own = package_of_others("o.mlpackage"), *in_place[] = {own, own}, *elsewhere[] = {own, in_folder(endings[0])};
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(save_task, in_place) > 20);
    CHECK(test_each_allocation(save_task, elsewhere) > 20);
    mil_set_allocator(NULL, NULL);
    check_others(own);
    check_others(elsewhere[1]);
    remove_all(own);
    remove_all(elsewhere[1]);
    CHECK_EQ(count_entries(folder), n - 1);
}

/* Bytes that were asked for, whatever was given back. */
static size_t asked;

static void *counting_realloc(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    asked += bytes;
    if (bytes) return realloc(ptr, bytes);
    free(ptr);
    return NULL;
}

static size_t asked_to_save(mil_program *program, const char *path) {
    mil_set_allocator(counting_realloc, NULL);
    asked = 0;
    CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
    mil_set_allocator(NULL, NULL);
    return asked;
}

/* Weights of any size take no memory; operations take as much each, however many there are. */
static void flat(void) {
    mil_program *small = with_weight(100, 1), *large = with_weight(4 << 20, 1);
    for (int i = 0; i < 3; i++) {
        test_row = endings[i];
        CHECK(asked_to_save(large, in_folder(endings[i])) < asked_to_save(small, in_folder(endings[i])) + (1 << 20));
    }
    mil_program_free(small);
    mil_program_free(large);
}

static mil_program *with_operations(int n) {
    mil_program *program = NULL;
    mil_block main;
    mil_value x;
    size_t made;
    CHECK_OK(mil_program_new(MIL_IOS17, &program, &err), &err);
    CHECK_OK(mil_program_function(program, "main", &main, &err), &err);
    CHECK_OK(mil_program_input(program, main, "x", MIL_FP32, 1, (int64_t[]){4}, false, &x, &err), &err);
    for (int i = 0; i < n; i++) {
        double half = .5;
        mil_arg args[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = x},
                          {.name = "y", .kind = MIL_ARG_NUMBERS, .data = &half, .n = 1}};
        CHECK_OK(mil_program_add(program, main, mil_op_find("add"), args, 2, NULL, (mil_where){0}, &x, 1, &made, &err),
                 &err);
    }
    CHECK_OK(mil_program_output(program, main, "y", x, &x, &err), &err);
    return program;
}

static void many_operations(void) {
    mil_program *few = with_operations(1000), *many = with_operations(16000);
    for (int i = 0; i < 3; i++) {
        test_row = endings[i];
        size_t of_few = asked_to_save(few, in_folder(endings[i])), of_many = asked_to_save(many, in_folder(endings[i]));
        CHECK(of_many < 40 * of_few); /* tables and chunks that double */
        CHECK(of_many < (size_t)16000 * 8000);
    }
    mil_program_free(few);
    mil_program_free(many);
}

/* ---- what is asked for in the course of it ---- */

static bool note_progress(void *ctx, const char *stage, double part) {
    double *last = ctx;
    CHECK(part >= 0 && part <= 1);
    if (strcmp(stage, "weights") == 0) CHECK(part >= *last), *last = part;
    return true;
}

/* Stops after ctx calls. */
static bool stop(void *ctx, const char *stage, double part) {
    (void)stage, (void)part;
    return --*(int *)ctx >= 0;
}

/* A save that is stopped, wherever, leaves what was there, and nothing else. */
static void cancelled(void) {
    mil_program *program = with_weight(3 << 20, 1);
    int stops = 0;
    for (int i = 0; i < 3; i++) {
        const char *path = in_folder(endings[i]);
        for (int calls = 0;; calls++) {
            int left = calls;
            int entries = count_entries(folder);
            mil_save_options options = {.progress = stop, .progress_ctx = &left};
            mil_status status = mil_program_save(program, path, &options, &err);
            if (status == MIL_OK) break;
            CHECK_EQ(status, MIL_ECANCELLED);
            CHECK_EQ(count_entries(folder), entries);
            stops++;
        }
    }
    CHECK(stops >= 9);
    mil_program_free(program);
}

static void progress(void) {
    mil_program *program = with_weight(3 << 20, 1);
    for (int i = 0; i < 3; i++) {
        double last = 0;
        mil_save_options options = {.progress = note_progress, .progress_ctx = &last};
        CHECK_OK(mil_program_save(program, in_folder(endings[i]), &options, &err), &err);
        CHECK_EQ(last, 1.0);
    }
    mil_program_free(program);
}

/* The program that is being saved can be looked at, and cut; it can't be changed, not even by a save within a save. */
static bool meddle(void *ctx, const char *stage, double part) {
    static mil_error why;
    mil_program *p = ctx, *part_of = NULL;
    mil_block body = mil_program_function_at(p, 0), block;
    mil_operation last = mil_value_operation(p, mil_block_output(p, body, 0));
    mil_value x = mil_block_input(p, body, 0), y = mil_block_output(p, body, 0), out;
    mil_dim dim;
    mil_arg arg = {.name = "x", .kind = MIL_ARG_VALUE, .value = x};
    size_t n;
    if (strcmp(stage, "again") != 0) meddle(ctx, "again", part), mil_program_save(p, in_folder("inner.mil"), NULL, &why);
    CHECK_STATUS(mil_program_add(p, body, mil_op_find("relu"), &arg, 1, NULL, (mil_where){0}, &out, 1, &n, &why), MIL_ESTATE, &why);
    CHECK_EQ(why.message, "add: the program is being saved");
    CHECK_STATUS(mil_operation_set(p, last, &arg, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_operation_remove(p, last, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_undo(p, body, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_prune(p, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_block_insert(p, body, last, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_value_replace(p, y, x, NULL, 0, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_value_rename(p, y, "q", &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_function_rename(p, body, "f", &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_function(p, "f", &block, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_symbol(p, &(mil_symbol){.name = "S"}, &dim, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_input(p, body, "w", MIL_FP32, 0, NULL, false, &out, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_input_shapes(p, x, 1, (int64_t[]){1}, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_output(p, body, "q", x, &out, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_remove_output(p, y, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_remove_input(p, x, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_retype(p, &(mil_retype){.input = x, .dtype = MIL_FP16}, 1, &why), MIL_ESTATE, &why);
    CHECK_STATUS(mil_program_set_metadata(p, "author", "q", &why), MIL_ESTATE, &why);
    CHECK_OK(mil_program_extract(p, &(mil_part){.outputs = &y, .n_outputs = 1}, &part_of, &why), &why);
    mil_program_free(part_of);
    return true;
}

static void changed_meanwhile(void) {
    mil_program *program = with_weight(3 << 20, 1);
    mil_save_options options = {.progress = meddle, .progress_ctx = program};
    for (int i = 0; i < 3; i++) CHECK_OK(mil_program_save(program, in_folder(endings[i]), &options, &err), &err);
    CHECK_OK(mil_program_set_metadata(program, "author", "q", &err), &err); /* and now it can */
    mil_program_free(program);
}

static void clean(void) {
    if (folder[0]) remove_all(folder);
}

TEST_MAIN(CASE(texts), CASE(replaced), CASE(over_itself), CASE(not_ours), CASE(no_room), CASE(no_rename), CASE(no_folder),
          CASE(not_permitted), CASE(others), CASE(own_weights), CASE(other_files_of_bundles), CASE(links), CASE(gone), CASE(no_memory), CASE(flat),
          CASE(many_operations), CASE(progress), CASE(cancelled), CASE(changed_meanwhile), CASE(clean))
