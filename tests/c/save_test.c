/* SPDX-License-Identifier: MIT */
/* Programs saved as packages, bundles and text, and read back; saves that fail, and what they leave. */
#include <dirent.h>
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
    CHECK_EQ(count_entries(folder), n);
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
            mil_save_options options = {stop, &left};
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
        mil_save_options options = {note_progress, &last};
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
    mil_save_options options = {meddle, program};
    for (int i = 0; i < 3; i++) CHECK_OK(mil_program_save(program, in_folder(endings[i]), &options, &err), &err);
    CHECK_OK(mil_program_set_metadata(program, "author", "q", &err), &err); /* and now it can */
    mil_program_free(program);
}

static void clean(void) {
    if (folder[0]) remove_all(folder);
}

TEST_MAIN(CASE(texts), CASE(replaced), CASE(over_itself), CASE(not_ours), CASE(no_room), CASE(no_folder),
          CASE(no_memory), CASE(flat), CASE(many_operations), CASE(progress), CASE(cancelled), CASE(changed_meanwhile), CASE(clean))
