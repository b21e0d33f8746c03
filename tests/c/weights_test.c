/* SPDX-License-Identifier: MIT */
/* Weight files. tests/vectors/weights/index.txt says what each file there is (tests/oracle/weights_files.py wrote both, and
 * asked safetensors and numpy); what is saved here goes to build/tests/weights, where that script can read it back.
 * tests/vectors/gguf is the same of GGUF (gguf_files.py; more of it in gguf_test.c). */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tensor/tensor.h"

#define FOLDER "tests/vectors/weights/"
#define OUT    "build/tests/weights/"

/* ---- the index ---- */

static mil_status status_of(const char *name) {
    for (int i = 0; i <= MIL_ECANCELLED; i++) {
        if (strcmp(mil_status_name((mil_status)i), name) == 0) return (mil_status)i;
    }
    return MIL_OK;
}

/* The next word of a line, which it is cut from. */
static char *word(char **line) {
    char *begin = *line, *end = strchr(begin, ' ');
    *line = end ? end + 1 : begin + strlen(begin);
    if (end) *end = 0;
    return begin;
}

static const char *folder;
static mil_weights *file;      /* the line "file" before */
static mil_status file_status;
static size_t n_seen;          /* tensors of it */

static void close_file(void) {
    if (file) CHECK_EQ((long long)mil_weights_count(file), (long long)n_seen);
    mil_weights_free(file);
    file = NULL;
    n_seen = 0;
}

static void open_file(char *line) {
    static char row[128];
    char path[256], *name = word(&line);
    mil_error err = {0};
    close_file();
    snprintf(row, sizeof row, "%s", name);
    test_row = row;
    snprintf(path, sizeof path, "%s%s", folder, name);
    const char *wanted = word(&line);
    file_status = strcmp(wanted, "ok") == 0 ? MIL_OK : status_of(wanted);
    CHECK_STATUS(mil_weights_open(path, &file, &err), file_status, &err);
    if (file_status == MIL_OK) return;
    CHECK(file == NULL);
    CHECK_HAS(err.message, line);
    CHECK_EQ((const char *)err.file, path);
}

/* The element as text, as the index spells it. */
static bool same_value(const mil_tensor *t, int64_t offset, const char *wanted) {
    if (mil__dtype_is_float(t->dtype)) {
        double value = mil__load_f64(t, offset), other = strtod(wanted, NULL);
        return value == other || (value != value && other != other);
    }
    if (t->dtype == MIL_UINT64) return ((const uint64_t *)t->data)[offset] == strtoull(wanted, NULL, 10);
    return mil__load_i64(t, offset) == strtoll(wanted, NULL, 10);
}

static void check_values(const mil_tensor *t, char *line) {
    int64_t n = mil__numel(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t offset = 0, rest = i;
        for (int axis = t->rank - 1; axis >= 0; axis--) {
            offset += rest % t->shape[axis] * t->strides[axis];
            rest /= t->shape[axis];
        }
        const char *wanted = word(&line);
        if (!CHECK(*wanted && same_value(t, offset, wanted))) return;
    }
    CHECK_EQ((const char *)line, "");
}

static void check_tensor(char *line) {
    mil_error err = {0};
    mil_tensor *t = NULL;
    char *name = word(&line), *what = word(&line);
    if (strcmp(name, "\"\"") == 0) name = "";
    if (!file) return;
    CHECK_EQ(mil_weights_name(file, n_seen++), name);
    mil_status wanted = status_of(what);
    CHECK_STATUS(mil_weights_get(file, name, &t, &err), wanted, &err);
    if (wanted != MIL_OK) {
        CHECK(t == NULL);
        CHECK_HAS(err.message, line);
        CHECK_EQ((const char *)err.value, name);
        return;
    }
    if (!t) return;
    char shape[160], *wanted_shape = word(&line);
    snprintf(shape, sizeof shape, "%s", t->rank ? "" : "-");
    for (int i = 0; i < t->rank; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", i ? "," : "", (long long)t->shape[i]);
    CHECK_EQ(mil_dtype_name(t->dtype), what);
    CHECK_EQ((const char *)shape, wanted_shape);
    if (t->dtype != MIL_BOOL) CHECK((uintptr_t)t->data % ((unsigned)mil_dtype_bits(t->dtype) / 8) == 0);
    check_values(t, line);
    mil_tensor_free(t);
}

static void check_metadata(char *line) {
    char *key = word(&line);
    if (file) CHECK_EQ(mil_weights_metadata(file, key), line);
}

/* Gives the number of its files. */
static int files_of_index(const char *in) {
    static char line[1 << 20];
    int n = 0;
    folder = in;
    snprintf(line, sizeof line, "%sindex.txt", folder);
    FILE *index = fopen(line, "r");
    if (!CHECK(index != NULL)) return 0;
    while (fgets(line, sizeof line, index)) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *kind = word(&rest);
        if (strcmp(kind, "file") == 0) open_file(rest), n++;
        else if (strcmp(kind, "tensor") == 0) check_tensor(rest);
        else if (strcmp(kind, "metadata") == 0) check_metadata(rest);
        else CHECK_EQ(kind, "file, tensor or metadata");
    }
    close_file();
    fclose(index);
    test_row = "";
    return n;
}

static void files_of_the_indexes(void) {
    CHECK(files_of_index(FOLDER) > 100);
    CHECK(files_of_index("tests/vectors/gguf/") > 40);
}

/* ---- looking up ---- */

static void names(void) {
    mil_error err = {0};
    mil_weights *w = NULL;
    mil_tensor *t = NULL;
    if (!CHECK_OK(mil_weights_open(FOLDER "good_all_dtypes.safetensors", &w, &err), &err)) return;
    CHECK_STATUS(mil_weights_get(w, "fp61", &t, &err), MIL_ENAME, &err);
    CHECK_HAS(err.message, "tensor \"fp61\": is not in the file; \"fp");
    CHECK_STATUS(mil_weights_get(w, "nothing like it", &t, &err), MIL_ENAME, &err);
    CHECK_HAS(err.message, "tensor \"nothing like it\": is not in the file");
    CHECK(strstr(err.message, ";") == NULL);
    CHECK(t == NULL);
    CHECK(mil_weights_metadata(w, "other") == NULL);
    CHECK(mil_weights_name(w, 1000) == NULL);
    mil_weights *again = mil_weights_retain(w);
    mil_weights_free(w);
    CHECK_OK(mil_weights_get(again, "fp32", &t, &err), &err);
    mil_weights_free(again);
    CHECK_EQ((long long)mil_tensor_numel(t), 6); /* the tensor keeps the file */
    CHECK(mil_buffer_kind_of(mil_tensor_buffer(t)) == MIL_MAPPED);
    CHECK_STATUS(mil_tensor_fill(t, 0, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "fp32[2, 3] cannot be written: it is mapped from a file, read-only");
    mil_tensor_free(t);
    CHECK_STATUS(mil_weights_open("tests/no such file", &w, &err), MIL_EIO, &err);
    CHECK_HAS(err.message, "cannot open tests/no such file: No such file or directory");
    CHECK_STATUS(mil_weights_open("tests", &w, &err), MIL_EIO, &err);
    mil_weights_free(NULL);
}

/* ---- saving ---- */

static const mil_dtype saved_dtypes[] = {MIL_FP16, MIL_FP32,  MIL_FP64,   MIL_INT8,   MIL_INT16,  MIL_INT32,
                                         MIL_INT64, MIL_UINT8, MIL_UINT16, MIL_UINT32, MIL_UINT64, MIL_BOOL};
enum { N_DTYPES = MIL__COUNT(saved_dtypes), N_SAVED = N_DTYPES + 3 };

static mil_tensor *counting(mil_dtype dtype) {
    mil_tensor *t = NULL;
    mil_error err;
    CHECK_OK(mil_tensor_new(dtype, 2, (int64_t[]){3, 4}, &t, &err), &err);
    for (int i = 0; i < 12; i++)
        CHECK_OK(mil_tensor_set_int(t, (int64_t[]){i / 4, i % 4}, dtype == MIL_BOOL ? i % 2 : i, &err), &err);
    return t;
}

static void make_saved(mil_named_tensor *out) {
    static char text[N_DTYPES][16];
    mil_error err;
    mil_tensor *t = NULL;
    for (size_t i = 0; i < N_DTYPES; i++) {
        snprintf(text[i], sizeof text[i], "t_%s", mil_dtype_name(saved_dtypes[i]));
        out[i] = (mil_named_tensor){text[i], counting(saved_dtypes[i])};
    }
    CHECK_OK(mil_tensor_transpose((mil_tensor *)out[1].tensor, (int[]){1, 0}, &t, &err), &err);
    out[N_DTYPES] = (mil_named_tensor){"across", t};
    CHECK_OK(mil_tensor_new(MIL_FP32, 2, (int64_t[]){0, 2}, &t, &err), &err);
    out[N_DTYPES + 1] = (mil_named_tensor){"empty", t};
    CHECK_OK(mil_tensor_new(MIL_FP32, 0, NULL, &t, &err), &err);
    CHECK_OK(mil_tensor_fill(t, 7, &err), &err);
    out[N_DTYPES + 2] = (mil_named_tensor){"scalar", t};
}

static void free_saved(mil_named_tensor *saved) {
    for (size_t i = 0; i < N_SAVED; i++) mil_tensor_free((mil_tensor *)saved[i].tensor);
}

static bool equal(const mil_tensor *a, const mil_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] != b->shape[i]) return false;
    }
    double x[16], y[16];
    mil__read_f64(a, x);
    mil__read_f64(b, y);
    return memcmp(x, y, (size_t)mil__numel(a) * sizeof *x) == 0;
}

static void round_trips(void) {
    static const char *const metadata[] = {"format", "pt", "quote\"d", "line\nbreak \\ \xc3\xa9", NULL};
    mil_named_tensor saved[N_SAVED];
    mil_error err = {0};
    mkdir("build", 0777), mkdir("build/tests", 0777), mkdir(OUT, 0777);
    make_saved(saved);
    CHECK_OK(mil_weights_save(OUT "saved.safetensors", saved, N_SAVED, metadata, &err), &err);
    CHECK_OK(mil_weights_save(OUT "saved.npz", saved, N_SAVED, NULL, &err), &err);
    CHECK_OK(mil_weights_save(OUT "saved.npy", &saved[N_DTYPES], 1, NULL, &err), &err);
    static const char *const paths[] = {OUT "saved.safetensors", OUT "saved.npz"};
    for (int k = 0; k < 2; k++) {
        mil_weights *w = NULL;
        if (!CHECK_OK(mil_weights_open(paths[k], &w, &err), &err)) continue;
        CHECK_EQ((long long)mil_weights_count(w), N_SAVED);
        for (size_t i = 0; i < N_SAVED; i++) {
            mil_tensor *t = NULL;
            if (!CHECK_OK(mil_weights_get(w, saved[i].name, &t, &err), &err)) continue;
            CHECK(equal(t, saved[i].tensor));
            CHECK(mil_buffer_kind_of(mil_tensor_buffer(t)) == MIL_MAPPED); /* what we write is aligned */
            mil_tensor_free(t);
        }
        CHECK_EQ(mil_weights_metadata(w, "quote\"d"), k == 0 ? metadata[3] : NULL);
        mil_weights_free(w);
    }
    free_saved(saved);
}

static void refused_saves(void) {
    mil_error err = {0};
    mil_tensor *t = counting(MIL_FP32), *bf16 = counting(MIL_BF16), *text = NULL;
    CHECK_OK(mil_tensor_strings(1, 1, (const char *[]){"x"}, (size_t[]){1}, &text, &err), &err);
    const struct {
        const char *path;
        mil_named_tensor tensors[2];
        size_t n;
        const char *metadata[3];
        mil_status status;
        const char *message;
    } rows[] = {
        {OUT "x.bin", {{"a", t}}, 1, {0}, MIL_EVALUE, "must end in .safetensors, .npz or .npy"},
        {OUT "x.npy", {{"a", t}, {"b", t}}, 2, {0}, MIL_EVALUE, "holds one tensor, but 2"},
        {OUT "x.npz", {{"a", t}, {"a", t}}, 2, {0}, MIL_EVALUE, "the name \"a\" is there twice"},
        {OUT "x.safetensors", {{"\xff\x1b", t}}, 1, {0}, MIL_EVALUE, "the name \"??\" is not UTF-8"},
        {OUT "x.safetensors", {{"__metadata__", t}}, 1, {0}, MIL_EVALUE, "the name __metadata__"},
        {OUT "x.safetensors", {{"a", t}}, 1, {"k", "\xff", NULL}, MIL_EVALUE, "metadata is not UTF-8"},
        {OUT "x.npz", {{"a", t}}, 1, {"k", "v", NULL}, MIL_EVALUE, "only safetensors files hold metadata"},
        {OUT "x.npz", {{"a", bf16}}, 1, {0}, MIL_EUNSUPPORTED, "bf16[3, 4] has no dtype in npy"},
        {OUT "x.npy", {{"a", bf16}}, 1, {0}, MIL_EUNSUPPORTED, "bf16[3, 4] has no dtype in npy"},
        {OUT "x.safetensors", {{"a", text}}, 1, {0}, MIL_EUNSUPPORTED, "\"a\" is string[1], which safetensors"},
        {OUT "no/such/folder.npz", {{"a", t}}, 1, {0}, MIL_EIO, "No such file or directory"},
        {"/dev/null/x.npz", {{"a", t}}, 1, {0}, MIL_EIO, "cannot write"},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        test_row = rows[i].message;
        CHECK_STATUS(mil_weights_save(rows[i].path, rows[i].tensors, rows[i].n, rows[i].metadata, &err), rows[i].status, &err);
        CHECK_HAS(err.message, rows[i].message);
        CHECK(access(rows[i].path, F_OK) != 0);
    }
    mil_tensor_free(t);
    mil_tensor_free(bf16);
    mil_tensor_free(text);
}

/* A save that fails leaves the file that was there, and nothing beside it; one that succeeds keeps its permissions. */
static void saves_replace_or_leave(void) {
    mil_error err = {0};
    mil_tensor *t = counting(MIL_FP32), *bf16 = counting(MIL_BF16), *got = NULL;
    mil_weights *w = NULL;
    const char *path = OUT "kept.npy";
    struct stat info;
    mode_t mask = umask(027);
    remove(path);
    CHECK_OK(mil_weights_save(path, &(mil_named_tensor){"", t}, 1, NULL, &err), &err);
    CHECK(stat(path, &info) == 0 && (info.st_mode & 07777) == 0640); /* a new file's */
    umask(mask);
    CHECK(chmod(path, 0604) == 0);
    CHECK_OK(mil_weights_open(path, &w, &err), &err);
    CHECK_OK(mil_weights_get(w, "", &got, &err), &err);
    CHECK_STATUS(mil_weights_save(path, &(mil_named_tensor){"", bf16}, 1, NULL, &err), MIL_EUNSUPPORTED, &err);
    CHECK_OK(mil_tensor_fill(t, 5, &err), &err);
    CHECK_OK(mil_weights_save(path, &(mil_named_tensor){"", t}, 1, NULL, &err), &err);
    CHECK(stat(path, &info) == 0 && (info.st_mode & 07777) == 0604);
    double value = 0;
    CHECK_OK(mil_tensor_get(got, (int64_t[]){2, 3}, &value, &err), &err);
    CHECK_EQ(value, 11.0); /* what is mapped is the old file still */
    mil_tensor_free(got), mil_weights_free(w);
    mil_tensor_free(t), mil_tensor_free(bf16);
    CHECK(system("ls " OUT " | grep -q 'kept.npy\\.'") != 0);
}

static const char *text_of(const mil_weights *w, const char *key) {
    const char *text = mil_weights_metadata(w, key);
    return text ? text : "(none)";
}

/* From each format to each that holds as much. */
static void conversions(void) {
    static const struct { const char *from, *to; } rows[] = {
        {FOLDER "good_all_dtypes.safetensors", OUT "converted.safetensors"}, {FOLDER "good_deflated.npz", OUT "converted.safetensors"},
        {OUT "converted.safetensors", OUT "converted.npz"},                  {FOLDER "good_big_fortran.npy", OUT "converted.npy"},
        {"tests/vectors/gguf/types.gguf", OUT "converted.safetensors"},      {OUT "saved.npz", OUT "saved.npz"},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_error err = {0};
        mil_weights *from = NULL, *to = NULL;
        test_row = rows[i].from;
        if (!CHECK_OK(mil_weights_open(rows[i].from, &from, &err), &err)) continue;
        CHECK_OK(mil_weights_convert(from, rows[i].to, NULL, NULL, &err), &err);
        CHECK_OK(mil_weights_open(rows[i].to, &to, &err), &err);
        CHECK_EQ((long long)mil_weights_count(to), (long long)mil_weights_count(from));
        for (size_t k = 0; k < mil_weights_count(from); k++) {
            mil_tensor *a = NULL, *b = NULL;
            mil_tensor_gap gap = {1, 0, 0, 0};
            CHECK_OK(mil_weights_get(from, mil_weights_name(from, k), &a, &err), &err);
            CHECK_OK(mil_weights_get(to, mil_weights_name(from, k), &b, &err), &err);
            if (a && b && CHECK_EQ(a->dtype, b->dtype)) CHECK_OK(mil_tensor_compare(a, b, &gap, &err), &err);
            CHECK_EQ(gap.off, 0.0);
            mil_tensor_free(a), mil_tensor_free(b);
        }
        mil_weights_free(from), mil_weights_free(to);
    }
    test_row = "";
}

static bool stops(void *ctx, const char *stage, double part) {
    CHECK_EQ(stage, "weights");
    CHECK(part > 0 && part <= 1);
    return --*(int *)ctx > 0;
}

static void conversion_tells(void) {
    mil_error err = {0};
    mil_weights *w = NULL, *made = NULL;
    int left = 3;
    CHECK_OK(mil_weights_open("tests/vectors/gguf/plain.gguf", &w, &err), &err);
    CHECK_OK(mil_weights_convert(w, OUT "told.safetensors", NULL, NULL, &err), &err);
    CHECK_OK(mil_weights_open(OUT "told.safetensors", &made, &err), &err);
    CHECK_EQ(text_of(made, "m.text"), "w\xc3\xb6rter");
    CHECK_EQ(text_of(made, "m.u8"), "255");
    CHECK_EQ(text_of(made, "m.yes"), "true");
    CHECK_EQ(text_of(made, "m.f32"), "0.5");
    CHECK_EQ(text_of(made, "m.i64"), "-9007199254740992");
    CHECK_EQ(text_of(made, "m.names"), "(none)");
    mil_weights_free(made);
    mil_weights_free(w), w = NULL;
    CHECK_OK(mil_weights_open(FOLDER "good_big_fortran.npy", &w, &err), &err);
    CHECK_OK(mil_weights_convert(w, OUT "named.npz", NULL, NULL, &err), &err);
    CHECK_OK(mil_weights_open(OUT "named.npz", &made, &err), &err);
    CHECK_EQ(mil_weights_name(made, 0), "good_big_fortran");
    mil_weights_free(made);
    mil_weights_free(w), w = NULL;
    CHECK_OK(mil_weights_open(FOLDER "good_all_dtypes.safetensors", &w, &err), &err);
    CHECK_STATUS(mil_weights_convert(w, OUT "stopped.safetensors", stops, &left, &err), MIL_ECANCELLED, &err);
    CHECK_STATUS(mil_weights_convert(w, OUT "stopped.npy", NULL, NULL, &err), MIL_EVALUE, &err);
    CHECK(system("ls -A " OUT " | grep -q stopped") != 0);
    mil_weights_free(w);
}

/* Two entries of a directory that name one member, which is no tensor: they share its bytes. */
static void npz_members_overlap(void) {
    static const unsigned char local[31] = {'P', 'K', 3, 4, 20, [26] = 1, [30] = 'a'}; /* "a", stored, empty */
    static const unsigned char entry[47] = {'P', 'K', 1, 2, 20, 0, 20, [28] = 1, [46] = 'a'};
    static const unsigned char end[22] = {'P', 'K', 5, 6, [8] = 2, [10] = 2, [12] = 2 * sizeof entry, [16] = sizeof local};
    static const unsigned char one_end[22] = {'P', 'K', 5, 6, [8] = 1, [10] = 1, [12] = sizeof entry, [16] = sizeof local};
    for (int n = 1; n <= 2; n++) {
        mil_error err = {0};
        mil_weights *w = NULL;
        FILE *f = fopen(OUT "overlap.npz", "wb");
        if (!CHECK(f != NULL)) return;
        fwrite(local, sizeof local, 1, f);
        for (int i = 0; i < n; i++) fwrite(entry, sizeof entry, 1, f);
        fwrite(n == 2 ? end : one_end, sizeof end, 1, f);
        fclose(f);
        CHECK_STATUS(mil_weights_open(OUT "overlap.npz", &w, &err), n == 2 ? MIL_EFORMAT : MIL_OK, &err);
        if (n == 2) CHECK_HAS(err.message, "two members share bytes");
        mil_weights_free(w);
    }
}

/* ---- failing allocations: ours, and jansson's ---- */

static void *json_alloc(size_t bytes) {
    void *p = test_realloc(NULL, NULL, bytes ? bytes : 1);
    if (!p) errno = ENOMEM; /* as malloc does */
    return p;
}

static void json_free(void *ptr) { test_realloc(NULL, ptr, 0); }

static mil_status open_and_get(void *ctx, mil_error *err) {
    mil_weights *w = NULL;
    mil_status status = mil_weights_open(ctx, &w, err);
    for (size_t i = 0; status == MIL_OK && i < mil_weights_count(w); i++) {
        mil_tensor *t = NULL;
        status = mil_weights_get(w, mil_weights_name(w, i), &t, err);
        CHECK((t != NULL) == (status == MIL_OK));
        mil_tensor_free(t);
    }
    mil_weights_free(w);
    return status;
}

static mil_status save_all(void *ctx, mil_error *err) {
    const char *metadata[] = {"k", "v", NULL};
    const char *path = OUT "failing.safetensors", *packed = OUT "failing.npz";
    mil_status status = mil_weights_save(path, ctx, N_SAVED, metadata, err);
    if (status == MIL_OK) status = mil_weights_save(packed, ctx, N_SAVED, NULL, err);
    return status;
}

static mil_status convert_file(void *ctx, mil_error *err) {
    mil_weights *w = NULL;
    mil_status status = mil_weights_open(ctx, &w, err);
    if (status == MIL_OK) status = mil_weights_convert(w, OUT "failing.safetensors", NULL, NULL, err);
    if (status == MIL_OK) status = mil_weights_convert(w, OUT "failing.npz", NULL, NULL, err);
    mil_weights_free(w);
    return status;
}

static void failing_allocations(void) {
    static const char *const files[] = {"good_all_dtypes.safetensors", "good_unaligned.safetensors", "good_deflated.npz",
                                        "good_zip64.npz", "good_big_fortran.npy"};
    mil_named_tensor saved[N_SAVED];
    mil_set_allocator(test_realloc, NULL);
    json_set_alloc_funcs(json_alloc, json_free);
    for (size_t i = 0; i < MIL__COUNT(files); i++) {
        char path[128];
        snprintf(path, sizeof path, FOLDER "%s", files[i]);
        test_row = files[i];
        CHECK(test_each_allocation(open_and_get, path) > 4);
    }
    CHECK(test_each_allocation(convert_file, FOLDER "good_deflated.npz") > 10);
    CHECK(test_each_allocation(convert_file, "tests/vectors/gguf/types.gguf") > 10);
    make_saved(saved);
    CHECK(test_each_allocation(save_all, saved) > 10);
    free_saved(saved);
    CHECK_EQ(test_alloc.live, 0);
    mil_set_allocator(NULL, NULL);
}

/* ---- memory: a header never takes more than 64 times the file's size and 16 MiB, whatever it is made of ---- */

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

static void *counted_alloc(size_t bytes) { return counted(NULL, NULL, bytes ? bytes : 1); }
static void counted_free(void *ptr) { counted(NULL, ptr, 0); }

/* A file whose header is `begin`, then `part` again and again, %d in it counting, then `end`. Gives its size. */
static size_t write_parts(const char *path, const char *begin, const char *part, const char *end) {
    enum { LENGTH = 4000000 };
    char *text = malloc(LENGTH + 256);
    size_t n = (size_t)sprintf(text, "%s", begin);
    for (int i = 0; n < LENGTH - 100; i++) n += (size_t)sprintf(text + n, part, i);
    n += (size_t)sprintf(text + n, "%s", end);
    FILE *f = fopen(path, "wb");
    uint64_t length = n;
    fwrite(&length, 8, 1, f);
    fwrite(text, 1, n, f);
    fclose(f);
    free(text);
    return n + 8;
}

static void memory_of_headers(void) {
    static const struct {
        const char *begin, *part, *end;
        mil_status status;
    } rows[] = {
        {"{\"a\":[", "[],", "[]]}", MIL_ELIMIT},
        {"{\"a\":[", "{},", "{}]}", MIL_ELIMIT},
        {"{\"a\":[", "\"\",", "0]}", MIL_ELIMIT},
        {"{\"a\":[", "1,", "0]}", MIL_EFORMAT},
        {"{\"a\":[", "{\"\":[]},", "0]}", MIL_ELIMIT},
        {"{", "\"%d\":0,", "\"a\":0}", MIL_EFORMAT},
        {"{\"__metadata__\":{", "\"%d\":\"\",", "\"a\":\"\"}}", MIL_OK},
        {"{", "\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", "\"__metadata__\":{}}", MIL_OK},
    };
    mkdir("build", 0777), mkdir("build/tests", 0777), mkdir(OUT, 0777);
    mil_set_allocator(counted, NULL);
    json_set_alloc_funcs(counted_alloc, counted_free);
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        mil_error err = {0};
        mil_weights *w = NULL;
        const char *path = OUT "parts.safetensors";
        size_t bytes = write_parts(path, rows[i].begin, rows[i].part, rows[i].end);
        test_row = rows[i].part;
        peak = held = 0;
        CHECK_STATUS(mil_weights_open(path, &w, &err), rows[i].status, &err);
        CHECK(peak <= 64 * bytes + ((size_t)16 << 20));
        mil_weights_free(w);
        CHECK_EQ((long long)held, 0);
        unlink(path);
    }
    mil_set_allocator(NULL, NULL);
    json_set_alloc_funcs(malloc, free);
}

TEST_MAIN(CASE(files_of_the_indexes), CASE(names), CASE(round_trips), CASE(refused_saves), CASE(saves_replace_or_leave), CASE(npz_members_overlap),
          CASE(conversions), CASE(conversion_tells), CASE(failing_allocations),
          CASE(memory_of_headers))
