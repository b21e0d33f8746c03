/* SPDX-License-Identifier: MIT */
/* MIL text: the programs of tests/text read, print and read again; what is wrong says so at its place; numbers are exact;
 * hostile text costs neither time nor memory; every allocation may fail. */
#include <dirent.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "test.h"
#include "text/number.h"

/* ---- files ---- */

typedef struct text {
    char *s;
    size_t n;
} text;

static text read_file(const char *path) {
    text t = {NULL, 0};
    FILE *f = fopen(path, "rb");
    if (!f) return t;
    fseek(f, 0, SEEK_END);
    t.n = (size_t)ftell(f);
    rewind(f);
    t.s = malloc(t.n + 1);
    t.n = fread(t.s, 1, t.n, f);
    t.s[t.n] = 0;
    fclose(f);
    return t;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Calls fn for the files of a folder whose names end so, in order; gives their number. */
static int each_file(const char *folder, const char *ending, void (*fn)(const char *path, const char *name)) {
    char *names[512];
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name), tail = strlen(ending);
        if (n < 512 && length > tail && strcmp(entry->d_name + length - tail, ending) == 0) names[n++] = strdup(entry->d_name);
    }
    if (dir) closedir(dir);
    qsort(names, (size_t)n, sizeof *names, by_text);
    for (int i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        test_row = names[i];
        fn(path, names[i]);
        test_row = "";
        free(names[i]);
    }
    return n;
}

static mil_text_options options_for(text t, const char *name) {
    bool unchecked = strncmp(t.s, "// read: unchecked\n", 19) == 0;
    return (mil_text_options){.name = name, .model_path = unchecked ? NULL : "tests/text/good", .unchecked = unchecked};
}

/* What a text prints as; NULL (and a failed check) where it can't be read or printed. */
static char *printed(text t, const mil_text_options *options, size_t *n) {
    mil_error err = {0};
    mil_program *program;
    char *out = NULL;
    if (!CHECK_OK(mil_text_parse(t.s, t.n, options, &program, &err), &err)) return NULL;
    CHECK_OK(mil_text_print(program, &out, n, &err), &err);
    mil_program_free(program);
    return out;
}

/* ---- tests/text/good: NAME.mil prints as NAME.out, or as itself; what was printed prints as itself ---- */

static void good_file(const char *path, const char *name) {
    text t = read_file(path);
    char golden[600];
    snprintf(golden, sizeof golden, "%.*s.out", (int)(strlen(path) - 4), path);
    text wanted = read_file(golden);
    mil_text_options options = options_for(t, name);
    text first = {0}, second = {0};
    first.s = printed(t, &options, &first.n);
    if (first.s) {
        CHECK_EQ(first.n, strlen(first.s));
        CHECK_EQ((const char *)first.s, (const char *)(wanted.s ? wanted.s : t.s));
        second.s = printed(first, &options, &second.n);
        CHECK_EQ((const char *)second.s, (const char *)first.s);
    }
    mil_free(first.s);
    mil_free(second.s);
    free(t.s);
    free(wanted.s);
}

static void good(void) { CHECK(each_file("tests/text/good", ".mil", good_file) > 25); }

/* ---- tests/text/bad: the file begins with its error, as comments ---- */

/* "// EPARSE name.mil:3:5: ...", then the excerpt's two lines after "// |". */
static void put_error(const mil_error *err, char *to, size_t room) {
    const char *newline = strchr(err->excerpt, '\n');
    int line = newline ? (int)(newline - err->excerpt) : 0;
    snprintf(to, room, "// %s %s\n// |%.*s\n// |%s\n", mil_status_name(err->code), err->message, line, err->excerpt,
             newline ? newline + 1 : "");
}

static void bad_file(const char *path, const char *name) {
    text t = read_file(path);
    mil_text_options options = options_for(t, name);
    mil_error err = {0};
    mil_program *program = (mil_program *)1;
    mil_status status = mil_text_parse(t.s, t.n, &options, &program, &err);
    CHECK(status != MIL_OK && status == err.code && program == NULL);
    char wanted[1600], got[1600], place[600];
    put_error(&err, got, sizeof got);
    const char *begin = options.unchecked ? t.s + 19 : t.s;
    snprintf(wanted, sizeof wanted, "%.*s", (int)strlen(got), begin);
    CHECK_EQ((const char *)got, (const char *)wanted);
    snprintf(place, sizeof place, "%s:%d:%d: ", err.file, err.line, err.column);
    CHECK_HAS(err.message, place);
    mil_program_free(status == MIL_OK ? program : NULL);
    free(t.s);
}

static void bad(void) { CHECK(each_file("tests/text/bad", ".mil", bad_file) > 30); }

/* ---- real programs, where they are ---- */

static int corpus_read, corpus_checked;

/* A weights file with a record for each BLOBFILE of a text, all of them over one region of zeros at its end: real weights are
 * not kept with the programs, and inference needs none. */
static void make_weights(const char *s, const char *folder) {
    static const struct {
        const char *name;
        unsigned code, bytes;
    } dtypes[] = {{"fp16", 1, 2}, {"fp32", 2, 4}, {"uint8", 3, 1}, {"int8", 4, 1}, {"int32", 14, 4}};
    long long end = 0, largest = 0;
    char dtype[16], dims[100], name[100], path[700];
    FILE *file = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (const char *p = s; (p = strstr(p, "(BLOBFILE(")); p++) {
            const char *type = p, *at = strstr(p, "@model_path/weights/"), *offset = strstr(p, "offset");
            while (type > s && *type != 't') type--; /* back to "tensor<" */
            while (type > s && strncmp(type, "tensor<", 7) != 0) type--;
            if (!at || !offset || sscanf(type, "tensor<%15[a-z0-9], [%99[^]]", dtype, dims) != 2) continue;
            if (sscanf(at + 20, "%99[^\"]", name) != 1) continue;
            offset = strncmp(offset + strcspn(offset, "("), "(", 1) == 0 ? offset + strcspn(offset, "(") + 1 : offset;
            uint64_t record[8] = {0}, numel = 1, where = strtoull(offset, NULL, 10);
            for (const char *d = dims; *d; d += strspn(d, ", ")) numel *= strtoull(d, (char **)&d, 10);
            for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
                if (strcmp(dtypes[k].name, dtype) != 0) continue;
                record[0] = 0xdeadbeef | (uint64_t)dtypes[k].code << 32;
                record[1] = numel * dtypes[k].bytes;
            }
            if ((long long)record[1] > largest) largest = (long long)record[1];
            if ((long long)where + 64 > end) end = (long long)where + 64;
            if (pass == 0) continue;
            snprintf(path, sizeof path, "%s/weights/%s", folder, name);
            file = fopen(path, "r+b");
            if (!file) file = fopen(path, "w+b");
            if (!CHECK(file != NULL)) return;
            record[2] = (uint64_t)(end + 63) & ~(uint64_t)63;
            uint32_t header[2] = {1, 2};
            fwrite(header, 1, sizeof header, file);
            fseek(file, (long)where, SEEK_SET);
            fwrite(record, 1, sizeof record, file);
            CHECK(ftruncate(fileno(file), (off_t)(record[2] + (uint64_t)largest)) == 0);
            fclose(file);
        }
    }
}

static void remove_folder(const char *folder) {
    char path[700];
    snprintf(path, sizeof path, "%s/weights", folder);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/weights/%s", folder, entry->d_name);
        remove(path);
    }
    if (dir) closedir(dir);
    snprintf(path, sizeof path, "%s/weights", folder);
    rmdir(path);
    rmdir(folder);
}

/* The weights beside the text, where they are stored; else stand-ins of the right sizes in `folder`. */
static const char *weights_for(const char *path, const char *text, const char *folder, char *beside, size_t n) {
    struct stat there;
    snprintf(beside, n, "%.*s/weights", (int)(strrchr(path, '/') - path), path);
    bool stored = stat(beside, &there) == 0 && strstr(text, "BLOBFILE");
    beside[strlen(beside) - strlen("/weights")] = 0;
    if (stored) return beside;
    make_weights(text, folder);
    return folder;
}

/* Text that Apple's compiler wrote comes back byte for byte; all of it is stable. An op that is not in the table, and a
 * type of dumps only, are the errors that may be. */
static void corpus_file(const char *path, bool unchecked) {
    text t = read_file(path);
    char folder[] = "/tmp/text_test.XXXXXX", weights[100];
    if (!CHECK(mkdtemp(folder) != NULL)) return;
    snprintf(weights, sizeof weights, "%s/weights", folder);
    mkdir(weights, 0700);
    char beside[700];
    mil_text_options options = {.name = path, .unchecked = unchecked};
    if (!unchecked) options.model_path = weights_for(path, t.s, folder, beside, sizeof beside);
    mil_program *program;
    mil_error err = {0};
    text first = {0}, second = {0};
    mil_status status = mil_text_parse(t.s, t.n, &options, &program, &err);
    if (status != MIL_OK) {
        bool fits = strstr(err.message, "unknown op") || strstr(err.message, "tensor_buffer");
        if (!CHECK(fits)) fprintf(stderr, "  %s\n", err.message);
    } else {
        *(unchecked ? &corpus_read : &corpus_checked) += 1;
        CHECK_OK(mil_text_print(program, &first.s, &first.n, &err), &err);
        mil_program_free(program);
        bool by_hand = strstr(path, "espresso") != NULL;
        while (!by_hand && t.n && t.s[t.n - 1] == '\n') t.s[--t.n] = 0; /* one file has a last newline that others lack */
        if (!by_hand && !CHECK(strcmp(first.s, t.s) == 0)) fprintf(stderr, "  %s prints differently\n", path);
        second.s = printed(first, &options, &second.n);
        CHECK_EQ((const char *)second.s, (const char *)first.s);
    }
    mil_free(first.s);
    mil_free(second.s);
    free(t.s);
    remove_folder(folder);
}

static void corpus_text(const char *path, const char *name) {
    (void)name;
    corpus_file(path, true);
    corpus_file(path, false);
}

static void corpus(void) {
    static const char *const tops[] = {"../shared/corpus", "../../shared/corpus"};
    for (int i = 0; i < 2; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/bundles", tops[i]);
        DIR *dir = opendir(path);
        if (!dir) continue;
        for (struct dirent *entry; (entry = readdir(dir));) {
            snprintf(path, sizeof path, "%s/bundles/%s", tops[i], entry->d_name);
            if (entry->d_name[0] != '.') each_file(path, ".mil", corpus_text);
        }
        closedir(dir);
        snprintf(path, sizeof path, "%s/mil", tops[i]);
        each_file(path, ".mil", corpus_text);
        CHECK(corpus_read > 0 && corpus_checked == corpus_read); /* what reads also infers */
        return;
    }
    fprintf(stderr, "text_test: no corpus of real programs here; its test is left out\n");
}

/* ---- numbers ---- */

static uint64_t read_bits(mil_dtype dtype, const char *s) {
    uint64_t bits = 0xbad;
    const char *end = mil__read_float(s, s + strlen(s), dtype, &bits);
    CHECK(end && *end == 0);
    return bits;
}

static void numbers_read(void) {
    static const struct {
        mil_dtype dtype;
        const char *s;
        uint64_t bits;
    } rows[] = {
        {MIL_FP16, "0", 0}, {MIL_FP16, "-0.0", 0x8000}, {MIL_FP16, "1", 0x3c00}, {MIL_FP16, "0.1", 0x2e66},
        {MIL_FP16, "65504", 0x7bff}, {MIL_FP16, "65519.99", 0x7bff}, {MIL_FP16, "65520", 0x7c00},
        {MIL_FP16, "0x1p-24", 1}, {MIL_FP16, "0x1p-25", 0}, {MIL_FP16, "0x1.00001p-25", 1}, {MIL_FP16, "5.9604644775390625e-8", 1},
        {MIL_FP16, "0x1.0020000000000000001p0", 0x3c01}, {MIL_FP16, "0x1.002p0", 0x3c00}, {MIL_FP16, "0x1.006p0", 0x3c02},
        {MIL_FP16, "inf", 0x7c00}, {MIL_FP16, "-infinity", 0xfc00}, {MIL_FP16, "nan", 0x7e00}, {MIL_FP16, "-nan", 0x7e00},
        {MIL_BF16, "1", 0x3f80}, {MIL_BF16, "3.3895313892515355e38", 0x7f7f}, {MIL_BF16, "0x1.01p0", 0x3f80},
        {MIL_FP32, "16777217", 0x4b800000}, {MIL_FP32, "16777217.000000000000000000000000000000001", 0x4b800001},
        {MIL_FP32, "7.006492321624085e-46", 0}, {MIL_FP32, "7.006492321624086e-46", 1},
        {MIL_FP32, "3.4028235677973367e38", 0x7f800000}, {MIL_FP32, "3.4028235677973366e38", 0x7f7fffff},
        {MIL_FP32, "1e-1000000", 0}, {MIL_FP32, "1e99999999999999999999", 0x7f800000}, {MIL_FP32, "0e99999", 0},
        {MIL_FP64, "0.1", 0x3fb999999999999a}, {MIL_FP64, "1e23", 0x44b52d02c7e14af6},
        {MIL_FP64, "9007199254740993", 0x4340000000000000}, {MIL_FP64, "2.2250738585072011e-308", 0x000fffffffffffff},
        {MIL_FP64, "4.9e-324", 1}, {MIL_FP64, "2.4703282292062327e-324", 0}, {MIL_FP64, "2.4703282292062328e-324", 1},
        {MIL_FP64, "1.7976931348623158e308", 0x7fefffffffffffff}, {MIL_FP64, "1.7976931348623159e308", 0x7ff0000000000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_row = rows[i].s;
        CHECK_EQ((long long)read_bits(rows[i].dtype, rows[i].s), (long long)rows[i].bits);
    }
    static const char *const none[] = {"", "-", "x", ".", "0x", "e5", "i", "+", "-.", "in", "na", "0x."};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        uint64_t bits;
        const char *end = mil__read_float(none[i], none[i] + strlen(none[i]), MIL_FP32, &bits);
        test_row = none[i];
        CHECK(end == NULL || *end != 0); /* "0x" is a 0 and an x */
    }
}

static uint64_t rng = 88172645463325252u;
static uint64_t next_random(void) {
    rng ^= rng << 13;
    rng ^= rng >> 7;
    return rng ^= rng << 17;
}

/* Random decimals as the C library reads them. */
static void numbers_as_libc(void) {
    for (int i = 0; i < 40000; i++) {
        static char s[200];
        uint64_t a = next_random(), b = next_random();
        int kind = (int)(a % 4);
        if (kind == 0) snprintf(s, sizeof s, "%llu.%llue%d", (unsigned long long)(a >> 40), (unsigned long long)b, (int)(a % 700) - 350);
        if (kind == 1) snprintf(s, sizeof s, "%.*g", (int)(b % 20) + 1, ldexp((double)b, (int)(a >> 8 & 255) - 200));
        if (kind == 2) snprintf(s, sizeof s, "0.%0*llu", (int)(a >> 8 & 31) + 1, (unsigned long long)b);
        if (kind == 3) snprintf(s, sizeof s, "%llu%020llu%020llu.5", (unsigned long long)a, (unsigned long long)b / 2, (unsigned long long)a / 2);
        double d = strtod(s, NULL);
        float f = strtof(s, NULL);
        uint64_t d_bits;
        uint32_t f_bits;
        memcpy(&d_bits, &d, sizeof d);
        memcpy(&f_bits, &f, sizeof f);
        test_row = s;
        if (!CHECK_EQ((long long)read_bits(MIL_FP64, s), (long long)d_bits)) break;
        if (!CHECK_EQ((long long)read_bits(MIL_FP32, s), (long long)f_bits)) break;
    }
}

static void check_written(mil_dtype dtype, uint64_t bits, bool is_nan) {
    static char s[MIL__NUMBER_TEXT];
    s[mil__write_float(s, dtype, bits)] = 0;
    test_row = s;
    if (is_nan) CHECK_EQ((const char *)s, "nan");
    else CHECK_EQ((long long)read_bits(dtype, s), (long long)bits);
}

static void numbers_written(void) {
    for (uint32_t bits = 0; bits < 65536; bits++) check_written(MIL_FP16, bits, (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff));
    for (uint32_t bits = 0; bits < 65536; bits++) check_written(MIL_BF16, bits, (bits & 0x7f80) == 0x7f80 && (bits & 0x7f));
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = next_random();
        float f;
        uint32_t low = (uint32_t)bits;
        double d;
        memcpy(&f, &low, sizeof f);
        memcpy(&d, &bits, sizeof d);
        check_written(MIL_FP32, low, f != f);
        check_written(MIL_FP64, bits, d != d);
        check_written(MIL_FP64, bits >> 12, false); /* subnormal */
    }
    static const struct {
        mil_dtype dtype;
        uint64_t bits;
        const char *s;
    } rows[] = {{MIL_FP32, 0x80000000, "-0x0p+0"}, {MIL_FP32, 1, "0x1p-149"}, {MIL_FP32, 0x7f7fffff, "0x1.fffffep+127"},
                {MIL_FP16, 1, "0x1p-24"}, {MIL_FP16, 0x3e00, "0x1.8p+0"}, {MIL_FP16, 0xfc00, "-inf"}, {MIL_FP16, 0xfe00, "nan"},
                {MIL_FP64, 1, "0x1p-1074"}, {MIL_FP32, 0xbf240000, "-0x1.48p-1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char s[MIL__NUMBER_TEXT];
        s[mil__write_float(s, rows[i].dtype, rows[i].bits)] = 0;
        CHECK_EQ((const char *)s, rows[i].s);
    }
}

/* ---- hostile text: errors or programs, in linear time and within 64 times the text and 16 MiB ---- */

static long held, most_held;

/* An allocator that knows how much is held: the size stands before each block. */
static void *counting(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    size_t *old = ptr ? (size_t *)((char *)ptr - 16) : NULL;
    if (old) held -= (long)*old;
    if (bytes == 0) {
        free(old);
        return NULL;
    }
    size_t *block = realloc(old, bytes + 16);
    *block = bytes;
    held += (long)bytes;
    if (held > most_held) most_held = held;
    return (char *)block + 16;
}

static const struct hostile {
    const char *name, *before, *unit, *after;
    int n;
} hostile[] = {
    {"nested types", "program(1.3)[a = ", "tuple<", "", 100000},
    {"nested lists", "program(1.3)[a = ", "list<int32, ", "", 100000},
    {"nested brackets", "program(1.3)[a = tensor<int32, [1]>(", "[", "", 100000},
    {"nested blocks", "program(1.3){func f<ios18>(int32 x){", "int32 a=identity(x=x)(){", "", 20000},
    {"shallow items", "program(1.3)[a = list<int32, ?>([", "1,", "1])]{}", 500000},
    {"empty items", "program(1.3)[a = list<tensor<int32,[0]>, ?>([", "[],", "[]])]{}", 300000},
    {"empty lists", "program(1.3)[a = list<list<int32,0>, ?>([", "[],", "[]])]{}", 300000},
    {"pairs", "program(1.3)[a = dict<string, string>({", "{\"\",\"\"},", "{\"\",\"\"}})]{}", 100000},
    {"strings", "program(1.3)[a = tensor<string,[?]>([", "\"\",", "\"\"])]{}", 300000},
    {"digits", "program(1.3){func f<ios18>(){fp64 a=const()[val=fp64(0.", "7", ")];}->();}", 1000000},
    {"exponent", "program(1.3){func f<ios18>(){fp64 a=const()[val=fp64(1e", "7", ")];}->();}", 1000000},
    {"unknown sizes", "program(1.3){func f<ios18>(tensor<fp16,[", "?,", "?]> a", 100000},
    {"one name", "program(1.3){func f<ios18>(int32 x){", "fp16 a=const()[val=fp16(0)];", "}->();}", 50000},
    {"attributes", "program(1.3)[", "a=int32(1),", "a=int32(1)]{}", 100000},
    {"functions", "program(1.3){", "func f<ios18>(){}->();", "}", 50000},
    {"tuple", "program(1.3){func f<ios18>(int32 x){int32 a=concat(axis=int32(0),interleave=bool(false),values=(", "x,", "x));}->(a);}", 300000},
    {"keys", "program(1.3){func f<ios18>(tensor<int32,[1]> x){int32 a=concat(", "values=x,", "values=x);}->(a);}", 100000},
    {"outputs", "program(1.3){func f<ios18>(int32 x){}->(", "x,", "x);}", 500000},
    {"blocks", "program(1.3){func f<ios18>(int32 x){", "int32 a=identity(x=x)(){}->(x);", "}->();}", 30000},
    {"comments", "", "//\n", "program(1.3){}", 300000},
    {"spaces", "program(1.3){", "                    ", "}", 100000},
    {"backslashes", "program(1.3)[a = string(\"", "\\\\", "\")]{}", 500000},
    {"a string without end", "program(1.3)[a = string(\"", "x", "", 1000000},
    {"a claim", "program(1.3){func f<ios18>(){tensor<fp64,[9000000000000000000]> a=const()[val=tensor<fp64,[9000000000000000000]>([", "0,", "0])];}->();}", 1000},
    {"empty rows", "program(1.3){func f<ios18>(){tensor<fp64,[9000000000000000000,0]> a=const()[val=tensor<fp64,[9000000000000000000,0]>([])];}->(a", ",a", ");}", 10},
};

/* Texts whose units carry a number: "%d" in before, unit, after is replaced. */
static const struct hostile numbered[] = {
    {"operations", "program(1.3){func f<ios18>(fp16 v){", "fp16 v%d=relu(x=v);", "}->(v0);}", 60000},
    {"consts", "program(1.3){func f<ios18>(){", "int8 a%d=const()[val=int8(1)];", "}->(a0);}", 60000},
    {"inputs", "program(1.3){func f<ios18>(int8 a", ",int8 a%d", "){}->(a);}", 60000},
    {"symbols", "program(1.3){func f<ios18>(int8 a", ",tensor<int8,[?,?,?,?,?,?,?,?]> a%d", "){}->(a);}", 20000},
    {"types", "program(1.3){func f<ios18>(int8 a", ",tensor<int8,[%d]> a%d", "){}->(a);}", 40000},
    {"siblings", "program(1.3){func f<ios18>(int32 x){", "int32 a%d=identity(x=x)(){int32 t=relu(x=x);}->(t);", "}->();}", 30000},
    {"attributes", "program(1.3)[", "a%d=int32(1),", "z=int32(1)]{}", 100000},
};

static text hostile_text(const struct hostile *row, bool counted) {
    text t = {malloc(strlen(row->before) + strlen(row->after) + (size_t)row->n * (strlen(row->unit) + 16) + 1), 0};
    t.n = (size_t)sprintf(t.s, "%s", row->before);
    size_t unit = strlen(row->unit);
    for (int i = 0; i < row->n; i++) {
        if (counted) t.n += (size_t)sprintf(t.s + t.n, row->unit, i, i);
        else memcpy(t.s + t.n, row->unit, unit), t.n += unit;
    }
    t.n += (size_t)sprintf(t.s + t.n, "%s", row->after);
    return t;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void check_hostile(const struct hostile *row, bool counted) {
    text t = hostile_text(row, counted);
    for (int unchecked = 0; unchecked < 2; unchecked++) {
        mil_text_options options = {.name = row->name, .unchecked = unchecked};
        mil_program *program = NULL;
        mil_error err = {0};
        test_row = row->name;
        long before = held;
        most_held = held;
        double begin = seconds();
        mil_status status = mil_text_parse(t.s, t.n, &options, &program, &err);
        CHECK(seconds() - begin < 20); /* linear: below a second where nothing slows it down */
        CHECK((status == MIL_OK) == (program != NULL));
        if (!CHECK(most_held - before <= (long)t.n * 64 + (16 << 20)))
            fprintf(stderr, "  %ld bytes held for a text of %zu\n", most_held - before, t.n);
        if (status != MIL_OK) CHECK(err.message[0] && !strchr(err.message, '\n'));
        mil_program_free(program);
        CHECK_EQ(held, before);
    }
    free(t.s);
}

/* A large const is read just when the program has become too large: whatever stands before it, it is given back. */
static void too_large_at_a_const(void) {
    enum { MOST = 60000 };
    char *s = malloc(2 * MOST + 1000);
    mil_set_allocator(counting, NULL);
    int least = 1, most = MOST; /* items of the list: the least number that is too many, found by halving */
    for (int tries = 0; tries < 60; tries++) {
        int items = most - least > 1 ? (least + most) / 2 : most + tries % 20;
        size_t n = (size_t)sprintf(s, "program(1.3)\n[a = list<int4, ?>([1");
        for (int i = 1; i < items; i++) n += (size_t)sprintf(s + n, ",1");
        n += (size_t)sprintf(s + n, "])]\n{ func main<ios18>() { fp16 y = concat(values = (int4(1), tensor<fp32, [100]>([1");
        for (int i = 1; i < 100; i++) n += (size_t)sprintf(s + n, ",1");
        n += (size_t)sprintf(s + n, "])), axis = int32(0), interleave = bool(false)); } -> (y); }");
        mil_program *program = NULL;
        mil_error err = {0};
        long before = held;
        mil_status status = mil_text_parse(s, n, &(mil_text_options){.unchecked = true}, &program, &err);
        mil_program_free(program);
        if (!CHECK_EQ(held, before)) break;
        CHECK(status == MIL_OK || status == MIL_ELIMIT);
        if (most - least > 1) *(status == MIL_OK ? &least : &most) = items;
    }
    mil_set_allocator(NULL, NULL);
    CHECK(most < MOST); /* it was found */
    free(s);
}

static void hostile_texts(void) {
    mil_set_allocator(counting, NULL);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) check_hostile(&hostile[i], false);
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) check_hostile(&numbered[i], true);
    mil_set_allocator(NULL, NULL);
}

/* Every beginning of a text is an error; nothing is read beyond its end. */
/* In memory of its own, so that the sanitizer sees what is read beyond its end. */
static void cut(text t) {
    for (size_t n = 0; n < t.n; n++) {
        char *part = malloc(n ? n : 1);
        memcpy(part, t.s, n);
        mil_program *program;
        mil_error err = {0};
        mil_status status = mil_text_parse(part, n, NULL, &program, &err);
        if (status != MIL_ENAME) CHECK_STATUS(status, MIL_EPARSE, &err); /* a name cut short is another name */
        free(part);
    }
}

static void cut_short(void) {
    static const char *const paths[] = {"tests/text/good/attributes.mil", "tests/text/good/recalled.mil"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        text t = read_file(paths[i]);
        cut(t);
        free(t.s);
    }
}

/* ---- what else is found under the name of a MIL text ---- */

static void other_formats(void) {
    static const struct {
        const char *s;
        size_t n;
        mil_status status;
        const char *message;
    } rows[] = {{"\x08\x01\x12\x03", 4, MIL_EFORMAT, "binary form"},
                {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", 56, MIL_EFORMAT, "Git LFS pointer"},
                {"\xef\xbb\xbfprogram(1.3){}", 17, MIL_OK, ""},
                {"", 0, MIL_EPARSE, "found the end of the text"},
                {"\0\0\0", 3, MIL_EPARSE, "found byte 0x00"},
                {"main[CoreML8](%x: (2, 3, fp32)(Tensor)) {", 40, MIL_EPARSE, "expected \"program\", found \"main\""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_program *program;
        mil_error err = {0};
        CHECK_STATUS(mil_text_parse(rows[i].s, rows[i].n, NULL, &program, &err), rows[i].status, &err);
        CHECK_HAS(err.message, rows[i].message);
        mil_program_free(program);
    }
}

/* ---- memory ---- */

static text task_text;
static bool task_unchecked;

static mil_status parse_and_print(void *ctx, mil_error *err) {
    mil_program *program;
    char *out;
    mil_text_options options = {.name = ctx, .model_path = task_unchecked ? NULL : "tests/text/good", .unchecked = task_unchecked};
    mil_status status = mil_text_parse(task_text.s, task_text.n, &options, &program, err);
    if (status != MIL_OK) return status;
    status = mil_text_print(program, &out, NULL, err);
    mil_program_free(program);
    if (status == MIL_OK) mil_free(out);
    return status;
}

static void allocations(void) {
    static const char *const files[] = {"ane_conv", "inline", "variadic", "attributes", "literals", "functions", "blocks", "blobs", "spacing"};
    mil_set_allocator(test_realloc, NULL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[200];
        snprintf(path, sizeof path, "tests/text/good/%s.mil", files[i]);
        task_text = read_file(path);
        task_unchecked = options_for(task_text, path).unchecked;
        test_row = files[i];
        CHECK(test_each_allocation(parse_and_print, path) > 10);
        free(task_text.s);
    }
    mil_set_allocator(NULL, NULL);
}

/* ---- programs made by hand ---- */

static void built(void) {
    mil_error err = {0};
    mil_program *program;
    mil_block main_block;
    mil_value x, y;
    size_t n;
    char *out;
    CHECK_OK(mil_program_new(MIL_IOS17, &program, &err), &err);
    CHECK_OK(mil_program_function(program, "main", &main_block, &err), &err);
    CHECK_OK(mil_program_input(program, main_block, "x", MIL_FP16, 1, (mil_dim[]){4}, false, &x, &err), &err);
    double two = 2;
    mil_arg args[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = x}, {.name = "y", .kind = MIL_ARG_NUMBERS, .data = &two, .n = 1}};
    CHECK_OK(mil_program_add(program, main_block, mil_op_find("mul"), args, 2, "double", (mil_where){0}, &y, 1, &n, &err), &err);
    CHECK_OK(mil_program_output(program, main_block, "y", y, &y, &err), &err);
    CHECK_OK(mil_text_print(program, &out, NULL, &err), &err);
    CHECK_EQ((const char *)out,
             "program(1.0)\n{\n    func main<ios17>(tensor<fp16, [4]> x) {\n"
             "            tensor<fp16, []> double_y_0 = const()[name = tensor<string, []>(\"double_y_0\"), val = tensor<fp16, []>(0x1p+1)];\n"
             "            tensor<fp16, [4]> y = mul(x = x, y = double_y_0)[name = tensor<string, []>(\"y\")];\n"
             "        } -> (y);\n}");
    mil_free(out);
    mil_program_free(program);
}

/* The values that BLOBFILE stands for are those of the file, where they are. */
static void weights_of_a_file(void) {
    static const char s[] = "program(1.3){func main<ios18>(){tensor<fp16,[32,32]> mask=const()[val=tensor<fp16,[32,32]>("
                            "BLOBFILE(path=string(\"@model_path/weights/ane_mask.bin\"),offset=uint64(64)))];}->(mask);}";
    mil_text_options options = {.model_path = "tests/text/good"};
    mil_program *program;
    mil_error err = {0};
    if (CHECK_OK(mil_text_parse(s, sizeof s - 1, &options, &program, &err), &err)) {
        mil_tensor *mask = mil_value_data(program, mil_value_find(program, mil_program_function_at(program, 0), "mask"));
        double value;
        CHECK_OK(mil_tensor_get(mask, (int64_t[]){3, 3}, &value, &err), &err);
        CHECK_EQ(value, 0.0);
        CHECK_OK(mil_tensor_get(mask, (int64_t[]){3, 4}, &value, &err), &err);
        CHECK_EQ(value, -30000.0); /* exact in fp16: a multiple of 16 */
        CHECK_EQ(mil_buffer_kind_of(mil_tensor_buffer(mask)), MIL_MAPPED);
        mil_program_free(program);
    }
    options.model_path = NULL;
    CHECK_STATUS(mil_text_parse(s, sizeof s - 1, &options, &program, &err), MIL_EUNSUPPORTED, &err);
    options.model_path = "tests/text/nowhere";
    CHECK_STATUS(mil_text_parse(s, sizeof s - 1, &options, &program, &err), MIL_EIO, &err);
}

/* ---- the Neural Engine's programs run on the cpu engine, and give what loops over doubles give ---- */

/* A small number that fp16 holds, another for each element. */
static double element(int64_t i) { return (double)((i * 37 + 11) % 31 - 15) / 16; }

static double at(const mil_tensor *tensor, int64_t c, int64_t s) {
    int64_t index[] = {0, c, 0, s};
    double value = NAN;
    mil_tensor_get(tensor, index, &value, NULL);
    return value;
}

/* The output of a program of tests/text/good run on inputs [1, channels, 1, length] of element(). */
static mil_tensor *run_program(const char *name, int optimize, mil_dtype dtype, int64_t channels, int64_t length) {
    char path[200];
    snprintf(path, sizeof path, "tests/text/good/%s.mil", name);
    test_row = name;
    text t = read_file(path);
    mil_text_options options = options_for(t, name);
    mil_compile_options how = MIL_COMPILE_DEFAULTS;
    how.engine = "cpu";
    how.optimize = optimize;
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_error err = {0};
    mil_tensor *inputs[2] = {NULL}, *out = NULL;
    CHECK_OK(mil_text_parse(t.s, t.n, &options, &program, &err), &err);
    if (program) CHECK_OK(mil_program_compile(program, &how, &model, &err), &err);
    for (int i = 0; i < 2; i++) {
        mil_tensor_new(dtype, 4, (int64_t[]){1, channels, 1, length}, &inputs[i], &err);
        for (int64_t k = 0; k < channels * length; k++)
            mil_tensor_set(inputs[i], (int64_t[]){0, k / length, 0, k % length}, element(k + i * 5), &err);
    }
    if (model) CHECK_OK(mil_model_run(model, inputs, &out, &err), &err);
    for (int i = 0; i < 2; i++) mil_tensor_free(inputs[i]);
    mil_model_free(model);
    mil_program_free(program);
    free(t.s);
    return out;
}

static bool near(double got, double wanted) { return fabs(got - wanted) <= fabs(wanted) * 0x1p-9 + 0x1p-9; }

static void check_run(const char *name, int optimize) {
    if (strcmp(name, "ane_add_relu") == 0) {
        mil_tensor *y = run_program(name, optimize, MIL_FP16, 64, 64);
        for (int64_t k = 0; y && k < 64 * 64; k++) {
            double sum = element(k) + element(k + 5);
            if (!CHECK_EQ(at(y, k / 64, k % 64), sum > 0 ? sum : 0.0)) break;
        }
        mil_tensor_free(y);
    } else if (strcmp(name, "ane_matmul_packed") == 0) {
        mil_tensor *y = run_program(name, optimize, MIL_FP16, 64, 128);
        for (int64_t k = 0; y && k < 96 * 32; k++) {
            double sum = 0;
            for (int64_t c = 0; c < 64; c++) sum += element(c * 128 + k % 32) * element(c * 128 + 32 + k / 32);
            if (!CHECK(near(at(y, k / 32, k % 32), sum))) break;
        }
        mil_tensor_free(y);
    } else if (strcmp(name, "ane_attention") == 0) { /* query 0 sees key 0 alone */
        mil_tensor *y = run_program(name, optimize, MIL_FP16, 192, 32);
        for (int64_t d = 0; y && d < 64; d++)
            if (!CHECK_EQ(at(y, d, 0), element((128 + d) * 32))) break;
        mil_tensor_free(y);
    } else {
        text w = read_file("tests/text/good/weights/ane_conv.bin");
        mil_tensor *y = run_program(name, optimize, strstr(name, "1_0") ? MIL_FP16 : MIL_FP32, 32, 64), *weight = NULL;
        mil_buffer *buffer = NULL;
        CHECK_OK(mil_buffer_borrow(w.s, w.n, false, NULL, NULL, &buffer, NULL), NULL);
        CHECK_OK(mil_tensor_over(buffer, 128, MIL_FP16, 4, (int64_t[]){1, 64, 1, 32}, NULL, &weight, NULL), NULL);
        for (int64_t k = 0; y && k < 64 * 64; k++) {
            double sum = 0;
            for (int64_t c = 0; c < 32; c++) sum += at(weight, k / 64, c) * element(c * 64 + k % 64);
            if (!CHECK(near(at(y, k / 64, k % 64), sum))) break;
        }
        mil_tensor_free(weight);
        mil_buffer_free(buffer);
        mil_tensor_free(y);
        free(w.s);
    }
}

static void programs_run(void) {
    static const char *const names[] = {"ane_add_relu", "ane_conv", "ane_conv_1_0", "ane_matmul_packed", "ane_attention"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int optimize = 0; optimize < 2; optimize++) check_run(names[i], optimize);
}

/* ---- statements in their usual form, which are read in one go, and the same with a blank more, which are not ---- */

static const char usual_text[] =
    "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 4]> x, tensor<fp16, [?, 4]> s) {\n"
    "            fp16 c = const()[name = string(\"c\"), val = fp16(0x1.8p+0)];\n"
    "            fp16 c1 = const()[name = string(\"c1\"), val = fp16(0x1.8p+0)];\n"
    "            tensor<fp16, [1, 4]> x_1 = mul(x = x, y = c)[name = string(\"x_1\")];\n"
    "            tensor<fp16, [1, 4]> x_1_b = mul(x = x_1, y = c1)[name = string(\"x_1_b\")];\n"
    "            tensor<fp16, [1, 4]> u@0 = add(x = x_1, y = x_1_b)[name = string(\"u@0\")];\n"
    "            tensor<fp16, [1, 4]> a_name_longer_than_a_word = tanh(x = u@0)[name = string(\"a_name_longer_than_a_word\")];\n"
    "            tensor<fp16, [1, 4]> t = tanh(x = a_name_longer_than_a_word)[name = string(\"t\")];\n"
    "            tensor<fp16, [1, 4]> m = mul(x = t, y = c)[name = string(\"m\")];\n"
    "            tensor<fp16, [1, 4]> n = add(x = m, y = t)[name = string(\"n\")];\n"
    "            tensor<fp16, [1, 4]> o = tanh(x = n)[name = string(\"o\")];\n"
    "            int32 axis = const()[name = string(\"axis\"), val = int32(1)];\n"
    "            bool no = const()[name = string(\"no\"), val = bool(false)];\n"
    "            tensor<fp16, [2, 4]> j = concat(axis = axis, interleave = no, values = (x_1, o))[name = string(\"j\")];\n"
    "            tensor<fp16, [?, 4]> r = relu(x = s)[name = string(\"r\")];\n"
    "            tensor<fp16, [?, 4]> r2 = relu(x = r)[name = string(\"r2\")];\n"
    "        } -> (j, r2);\n}";

/* A copy with a blank before every "[name"; the caller's to free. */
static text with_blanks(text t) {
    text out = {malloc(2 * t.n + 1), 0};
    for (size_t i = 0; i < t.n; i++) {
        if (t.n - i > 5 && memcmp(t.s + i, "[name", 5) == 0) out.s[out.n++] = ' ';
        out.s[out.n++] = t.s[i];
    }
    out.s[out.n] = 0;
    return out;
}

/* What it prints as, or its error without the column; the caller's to free. */
static char *outcome(text t, mil_status *status) {
    mil_error err = {0};
    mil_program *program;
    *status = mil_text_parse(t.s, t.n, NULL, &program, &err);
    if (*status != MIL_OK) {
        const char *message = strstr(err.message, ": "); /* after the place */
        char *out = malloc(sizeof err.message + 16);
        sprintf(out, "%d%s", err.line, message ? message : err.message);
        return out;
    }
    char *made = NULL;
    CHECK_OK(mil_text_print(program, &made, NULL, &err), &err);
    mil_program_free(program);
    char *out = made ? strdup(made) : NULL;
    mil_free(made);
    return out;
}

static void check_both_ways(text t) {
    mil_status one, two;
    text blanks = with_blanks(t);
    char *usual = outcome(t, &one), *other = outcome(blanks, &two);
    CHECK_EQ(one, two);
    if (usual && other) CHECK_EQ((const char *)usual, (const char *)other);
    free(usual);
    free(other);
    free(blanks.s);
}

/* Whatever becomes of one character, the two ways agree: on the program, or on the error and its line. */
static void usual_or_not(void) {
    static const char instead[] = " \nxb,;()[]=?0\"@";
    text t = {malloc(sizeof usual_text), sizeof usual_text - 1};
    memcpy(t.s, usual_text, sizeof usual_text);
    check_both_ways(t);
    for (size_t i = 0; i < t.n; i++) {
        char was = t.s[i];
        for (const char *c = instead; *c; c++) {
            t.s[i] = *c;
            check_both_ways(t);
        }
        t.s[i] = was;
    }
    free(t.s);
}

TEST_MAIN(CASE(programs_run), CASE(good), CASE(bad), CASE(corpus), CASE(numbers_read), CASE(numbers_as_libc), CASE(numbers_written),
          CASE(hostile_texts), CASE(too_large_at_a_const), CASE(cut_short), CASE(other_formats), CASE(allocations), CASE(built), CASE(weights_of_a_file),
          CASE(usual_or_not))
