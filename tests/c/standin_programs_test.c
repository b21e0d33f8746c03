/* SPDX-License-Identifier: MIT */
/* The four programs of facts/ane.md 6.4 through the stand-in's direct route, by hand-made calls, against plain loops; and what its
 * compiler refuses: what every source says always, what one says where it is believed. */
#include <math.h>

#include "standin_objc.h"
#include "tensor/tensor.h"

#define HEAD                                                                                                            \
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", "  \
    "\"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", \"9.0\"}})]\n{\n"
#define FP16(dims, name) "tensor<fp16, [" dims "]> " name
#define CONST4(name, values) \
    "tensor<int32, [4]> " name " = const()[name = string(\"" name "\"), val = tensor<int32, [4]>([" values "])];\n"
#define BOOL(name, value) "bool " name " = const()[name = string(\"" name "\"), val = bool(" value ")];\n"
#define OP(type, name, op) type " = " op "[name = string(\"" name "\")];\n"

static const char add_relu[] = HEAD "func main<ios18>(" FP16("1, 64, 1, 64", "a") ", " FP16("1, 64, 1, 64", "b") ") {\n"
    OP(FP16("1, 64, 1, 64", "s"), "s", "add(x = a, y = b)") OP(FP16("1, 64, 1, 64", "y"), "y", "relu(x = s)") "} -> (y);\n}\n";

static const char conv[] = HEAD "func main<ios18>(tensor<fp32, [1, 64, 1, 64]> x) {\n"
    "string half = const()[name = string(\"half\"), val = string(\"fp16\")];\n"
    "string full = const()[name = string(\"full\"), val = string(\"fp32\")];\n"
    "string vp = const()[name = string(\"vp\"), val = string(\"valid\")];\n"
    "tensor<int32, [2]> one2 = const()[name = string(\"one2\"), val = tensor<int32, [2]>([1, 1])];\n"
    "tensor<int32, [2]> dil2 = const()[name = string(\"dil2\"), val = tensor<int32, [2]>([1, 1])];\n" CONST4("nopad", "0, 0, 0, 0")
    "int32 g1 = const()[name = string(\"g1\"), val = int32(1)];\n"
    FP16("128, 64, 1, 1", "w") " = const()[name = string(\"w\"), val = tensor<fp16, [128, 64, 1, 1]>(BLOBFILE(path = "
    "string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
    OP(FP16("1, 64, 1, 64", "xh"), "xh", "cast(dtype = half, x = x)")
    OP(FP16("1, 128, 1, 64", "yh"), "yh",
       "conv(dilations = dil2, groups = g1, pad = nopad, pad_type = vp, strides = one2, weight = w, x = xh)")
    OP("tensor<fp32, [1, 128, 1, 64]> y", "y", "cast(dtype = full, x = yh)") "} -> (y);\n}\n";

static const char packed[] = HEAD "func main<ios18>(" FP16("1, 64, 1, 128", "x") ") {\n"
    CONST4("b0", "0, 0, 0, 0") CONST4("n0", "1, 64, 1, 32") CONST4("b1", "0, 0, 0, 32") CONST4("n1", "1, 64, 1, 96")
    CONST4("ra", "1, 1, 64, 32") CONST4("rw", "1, 1, 64, 96") CONST4("ro", "1, 96, 1, 32") CONST4("sw", "0, 1, 3, 2") BOOL("no", "false")
    OP(FP16("1, 64, 1, 32", "act"), "act", "slice_by_size(x = x, begin = b0, size = n0)")
    OP(FP16("1, 64, 1, 96", "wts"), "wts", "slice_by_size(x = x, begin = b1, size = n1)")
    OP(FP16("1, 1, 64, 32", "am"), "am", "reshape(shape = ra, x = act)")
    OP(FP16("1, 1, 32, 64", "at"), "at", "transpose(perm = sw, x = am)")
    OP(FP16("1, 1, 64, 96", "wm"), "wm", "reshape(shape = rw, x = wts)")
    OP(FP16("1, 1, 32, 96", "p"), "p", "matmul(transpose_x = no, transpose_y = no, x = at, y = wm)")
    OP(FP16("1, 1, 96, 32", "pt"), "pt", "transpose(perm = sw, x = p)")
    OP(FP16("1, 96, 1, 32", "y"), "y", "reshape(shape = ro, x = pt)") "} -> (y);\n}\n";

static const char attention[] = HEAD "func main<ios18>(" FP16("1, 192, 1, 64", "x") ") {\n"
    CONST4("bq", "0, 0, 0, 0") CONST4("bk", "0, 64, 0, 0") CONST4("bv", "0, 128, 0, 0") CONST4("nn", "1, 64, 1, 64")
    CONST4("hs", "1, 1, 64, 64") CONST4("sw", "0, 1, 3, 2") BOOL("no", "false") BOOL("yes", "true")
    "fp16 sc = const()[name = string(\"sc\"), val = fp16(0.125)];\n"
    "int32 last = const()[name = string(\"last\"), val = int32(-1)];\n"
    FP16("1, 1, 64, 64", "mask") " = const()[name = string(\"mask\"), val = tensor<fp16, [1, 1, 64, 64]>(BLOBFILE(path = "
    "string(\"@model_path/weights/mask.bin\"), offset = uint64(64)))];\n"
    OP(FP16("1, 64, 1, 64", "q0"), "q0", "slice_by_size(x = x, begin = bq, size = nn)")
    OP(FP16("1, 64, 1, 64", "k0"), "k0", "slice_by_size(x = x, begin = bk, size = nn)")
    OP(FP16("1, 64, 1, 64", "v0"), "v0", "slice_by_size(x = x, begin = bv, size = nn)")
    OP(FP16("1, 1, 64, 64", "q1"), "q1", "reshape(shape = hs, x = q0)") OP(FP16("1, 1, 64, 64", "k1"), "k1", "reshape(shape = hs, x = k0)")
    OP(FP16("1, 1, 64, 64", "v1"), "v1", "reshape(shape = hs, x = v0)") OP(FP16("1, 1, 64, 64", "qt"), "qt", "transpose(perm = sw, x = q1)")
    OP(FP16("1, 1, 64, 64", "s0"), "s0", "matmul(transpose_x = no, transpose_y = no, x = qt, y = k1)")
    OP(FP16("1, 1, 64, 64", "s1"), "s1", "mul(x = s0, y = sc)") OP(FP16("1, 1, 64, 64", "s2"), "s2", "add(x = s1, y = mask)")
    OP(FP16("1, 1, 64, 64", "p"), "p", "softmax(axis = last, x = s2)")
    OP(FP16("1, 1, 64, 64", "o"), "o", "matmul(transpose_x = no, transpose_y = yes, x = v1, y = p)")
    OP(FP16("1, 64, 1, 64", "y"), "y", "reshape(shape = nn, x = o)") "} -> (y);\n}\n";

/* ---- numbers ---- */

static float pattern(int i) { return (float)((i * 37 + 11) % 23 - 11) / 8; }
static float half(uint16_t h) { return mil__half_to_float(h); }
static uint16_t of(float f) { return mil__float_to_half(f); }

/* One fp16 record of n elements as facts/milblob.md 7 lays it out. */
static void blob(unsigned char *to, const uint16_t *values, size_t n) {
    uint32_t bytes = (uint32_t)(2 * n), data_at = 128;
    memset(to, 0, 128);
    to[0] = 1, to[4] = 2, to[64] = 0xEF, to[65] = 0xBE, to[66] = 0xAD, to[67] = 0xDE, to[68] = 1;
    memcpy(to + 72, &bytes, 4), memcpy(to + 80, &data_at, 4);
    memcpy(to + 128, values, bytes);
}

/* ---- a run: compiled, loaded, the inputs written, evaluated, the output read ---- */

typedef struct side { const void *bytes; size_t n; const char *symbol; } side;

/* The row stride that is reported for the i-th port must be the packed one here: every width is a multiple of 64 bytes. */
static void run(const char *text, const char *name, const void *weights, size_t n_weights, const side *in, int n_in, void *out, size_t n_out) {
    begin();
    void *p = push();
    id model = model_with(text, true, name, weights, n_weights), error = NULL, inputs[2];
    int at[2] = { 0, 0 };
    if (!CHECK(compile(model, &error) && load(model, &error))) {
        id under = get(SEND(id)(error, SEL("userInfo")), "NSUnderlyingError");
        fprintf(stderr, "  %s\n", SEND(const char *)(SEND(id)(under, SEL("localizedDescription")), SEL("UTF8String")));
        pop(p);
        return;
    }
    for (int i = 0; i < n_in; i++) {
        inputs[i] = surface((int)in[i].n), at[i] = place_of(model, in[i].symbol);
        memcpy(locked(inputs[i], 0), in[i].bytes, in[i].n);
        unlocked(inputs[i], 0);
    }
    id result = surface((int)n_out), request = request_of(inputs, at, (unsigned long)n_in, result);
    CHECK(SEND(bool)(request, SEL("validate")));
    CHECK(evaluate(model, request, &error));
    memcpy(out, locked(result, 1), n_out);
    unlocked(result, 1);
    CHECK(unload(model, &error));
    clean(model);
    for (int i = 0; i < n_in; i++) release(inputs[i]);
    release(result);
    pop(p);
    end(0);
}

static void adds(void) {
    static uint16_t a[4096], b[4096], y[4096];
    for (int i = 0; i < 4096; i++) a[i] = of(pattern(i)), b[i] = of(pattern(7 * i + 3));
    const side in[] = { { a, sizeof a, "a" }, { b, sizeof b, "b" } };
    run(add_relu, NULL, "", 0, in, 2, y, sizeof y);
    for (int i = 0; i < 4096; i++) CHECK_EQ(half(y[i]), fmaxf(half(a[i]) + half(b[i]), 0));
}

static void convolves(void) {
    static uint16_t w[128 * 64];
    static unsigned char file[128 + sizeof w];
    static float x[64 * 64], y[128 * 64];
    for (int i = 0; i < 128 * 64; i++) w[i] = of(pattern(i) / 4);
    for (int i = 0; i < 64 * 64; i++) x[i] = pattern(3 * i);
    blob(file, w, 128 * 64);
    const side in = { x, sizeof x, "x" };
    run(conv, "weights/w.bin", file, sizeof file, &in, 1, y, sizeof y);
    for (int o = 0; o < 128; o++)
        for (int s = 0; s < 64; s++) {
            double sum = 0;
            for (int i = 0; i < 64; i++) sum += half(w[o * 64 + i]) * x[i * 64 + s];
            if (!CHECK(fabs(y[o * 64 + s] - sum) <= 0.01 + fabs(sum) / 500)) return;
        }
}

static void multiplies(void) {
    static uint16_t x[64 * 128], y[96 * 32];
    for (int i = 0; i < 64 * 128; i++) x[i] = of(pattern(i) / 2);
    const side in = { x, sizeof x, "x" };
    run(packed, NULL, "", 0, &in, 1, y, sizeof y);
    for (int o = 0; o < 96; o++)
        for (int s = 0; s < 32; s++) {
            double sum = 0;
            for (int i = 0; i < 64; i++) sum += half(x[i * 128 + 32 + o]) * half(x[i * 128 + s]);
            if (!CHECK(fabs(half(y[o * 32 + s]) - sum) <= 0.01 + fabs(sum) / 500)) return;
        }
}

static void attends(void) {
    static uint16_t x[192 * 64], y[64 * 64], mask[64 * 64];
    static unsigned char file[128 + sizeof mask];
    for (int i = 0; i < 192 * 64; i++) x[i] = of(pattern(5 * i + i / 64));
    for (int i = 0; i < 64 * 64; i++) mask[i] = of(i % 64 <= i / 64 ? 0 : -30000);
    blob(file, mask, 64 * 64);
    const side in = { x, sizeof x, "x" };
    run(attention, "weights/mask.bin", file, sizeof file, &in, 1, y, sizeof y);
    for (int d = 0; d < 64; d++) CHECK_EQ(y[d * 64], x[(128 + d) * 64]);          /* query 0 sees key 0 alone */
    for (int q = 0; q < 64; q++) {
        double weight[64], total = 0, most = -1e9;
        for (int k = 0; k <= q; k++) {
            weight[k] = 0;
            for (int d = 0; d < 64; d++) weight[k] += half(x[d * 64 + q]) * half(x[(64 + d) * 64 + k]) / 8;
            most = fmax(most, weight[k]);
        }
        for (int k = 0; k <= q; k++) total += weight[k] = exp(weight[k] - most);
        for (int d = 0; d < 64; d++) {
            double sum = 0;
            for (int k = 0; k <= q; k++) sum += half(x[(128 + d) * 64 + k]) * weight[k] / total;
            if (!CHECK(fabs(half(y[d * 64 + q]) - sum) <= 0.02)) return;
        }
    }
}

/* ---- what is refused ---- */

#define BODY(body) HEAD "func main<ios18>(" FP16("1, 4, 8, 8", "x") ", " FP16("1, 4, 8, 8", "b") ") {\n" body "} -> (y);\n}\n"
#define Y(op) OP(FP16("1, 4, 8, 8", "y"), "y", op)
#define MATMUL(x, y) Y("matmul(transpose_x = " x ", transpose_y = " y ", x = x, y = b)")
#define AXIS(name, value) "int32 " name " = const()[name = string(\"" name "\"), val = int32(" value ")];\n"
#define AXES(value) "tensor<int32, [1]> axes = const()[name = string(\"axes\"), val = tensor<int32, [1]>([" value "])];\n"

static const struct { const char *source, *text, *says; } rows[] = {
    { "", BODY(BOOL("no", "false") MATMUL("no", "no")), NULL },
    { "", BODY(MATMUL("false", "false")), "InvalidMILProgram" },
    { "", BODY(Y("add(x = x, y = nowhere)")), "InvalidMILProgram" },
    { "", "program(1.3)\n{\nfunc main<ios18>(" FP16("1, 4, 8, 8", "x") ") {\n" Y("relu(x = x)") "} -> (y);\n}\n", "coremlc-version" },
    { "", HEAD "func other<ios18>(" FP16("1, 4, 8, 8", "x") ") {\n" Y("relu(x = x)") "} -> (y);\n}\n", "not main" },
    { "", HEAD "func main<ios18>(tensor<int32, [1, 4, 8, 8]> x) {\n"
          OP("tensor<int32, [1, 4, 8, 8]> y", "y", "add(x = x, y = x)") "} -> (y);\n}\n", "neither fp16 nor fp32" },
    { "", HEAD "func main<ios18>(" FP16("1, 4, 8, ?", "x") ") {\n" OP(FP16("1, 4, 8, ?", "y"), "y", "relu(x = x)") "} -> (y);\n}\n",
      "not fixed" },
    { "", HEAD "func main<ios18>(" FP16("1, 4, 8, 8", "x") ") {\n} -> (x);\n}\n", "key not found" },
    { "", BODY(AXES("1") BOOL("keep", "true")
               OP(FP16("1, 1, 8, 8", "m"), "m", "reduce_mean(axes = axes, keep_dims = keep, x = x)") Y("add(x = b, y = m)")), NULL },
    { "R", BODY(AXES("1") BOOL("keep", "true")
                OP(FP16("1, 1, 8, 8", "m"), "m", "reduce_mean(axes = axes, keep_dims = keep, x = x)") Y("add(x = b, y = m)")),
      "CompilationFailure) reduce_mean m" },
    { "O", BODY(AXIS("axis", "3") BOOL("no", "false")
                OP(FP16("1, 4, 8, 16", "c"), "c", "concat(axis = axis, interleave = no, values = (x, b))")
                CONST4("b0", "0, 0, 0, 4") CONST4("n0", "1, 4, 8, 8") Y("slice_by_size(x = c, begin = b0, size = n0)")), "concat c" },
    { "M", BODY(AXIS("axis", "3") BOOL("no", "false")
                OP(FP16("1, 4, 8, 16", "c"), "c", "concat(axis = axis, interleave = no, values = (x, b))")
                CONST4("b0", "0, 0, 0, 4") CONST4("n0", "1, 4, 8, 8") Y("slice_by_size(x = c, begin = b0, size = n0)")), NULL },
    { "B", BODY(OP(FP16("1, 4, 8, 8", "e"), "e", "exp(x = x)") Y("add(x = e, y = b)")), "exp e" },
    { "L", BODY(CONST4("p", "0, 3, 2, 1") OP(FP16("1, 8, 8, 4", "t"), "t", "transpose(perm = p, x = x)")
                OP(FP16("1, 4, 8, 8", "u"), "u", "transpose(perm = p, x = t)") Y("add(x = u, y = b)")), NULL },
    { "L", BODY(CONST4("p", "0, 1, 3, 2") OP(FP16("1, 4, 8, 8", "t"), "t", "transpose(perm = p, x = x)") Y("add(x = t, y = b)")), "transpose t" },
    { "L", BODY(OP(FP16("1, 4, 8, 8", "e"), "e", "relu(x = x)") Y("add(x = x, y = b)")), "nobody needs" },
    { "", BODY(OP(FP16("1, 4, 8, 8", "e"), "e", "relu(x = x)") Y("add(x = x, y = b)")), NULL },
    { "L", BODY(BOOL("no", "false") OP(FP16("1, 4, 8, 8", "e"), "e", "relu(x = x)") Y("matmul(transpose_x = no, transpose_y = no, x = e, y = b)")), "matmul y" },
    { "L", BODY(BOOL("no", "false") Y("matmul(transpose_x = no, transpose_y = no, x = x, y = b)")), NULL },
    { "H", BODY(CONST4("b0", "0, 0, 0, 0") CONST4("n0", "1, 4, 8, 8") Y("slice_by_index(begin = b0, end = n0, x = x)")), "slice_by_index y" },
    { "", HEAD "func main<ios18>(" FP16("1, 32000, 1, 1", "x") ", " FP16("4, 32000, 1, 1", "w") ") {\n"
      OP(FP16("1, 4, 1, 1", "y"), "y", "conv(weight = w, x = x)") "} -> (y);\n}\n", "conv y" },
};

/* The compiler's word on a text: NULL, it is taken. */
static const char *verdict(const char *text) {
    static char word[2048];
    void *p = push();
    id model = model_of(text, true), error = NULL;
    bool ok = compile(model, &error);
    id under = ok ? NULL : get(SEND(id)(error, SEL("userInfo")), "NSUnderlyingError");
    const char *said = ok ? "" : SEND(const char *)(SEND(id)(under, SEL("localizedDescription")), SEL("UTF8String"));
    snprintf(word, sizeof word, "%s", said ? said : "no underlying error");
    clean(model);
    pop(p);
    return ok ? NULL : word;
}

static void refuses(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin();
        char row[64];
        snprintf(row, sizeof row, "row %zu, believing \"%s\"", i, rows[i].source);
        test_row = row;
        CONTROL(void, believe, const char *)(rows[i].source);
        const char *said = verdict(rows[i].text);
        if (rows[i].says) CHECK_HAS(said, rows[i].says);
        else CHECK_EQ(said, (const char *)NULL);
        end(0);
        test_row = "";
    }
}

/* ---- what sources disagree about at a run ---- */

/* A two-input program run on surfaces of so many bytes; the code of its error, 0: it ran. */
static long ran(const char *believe, int bytes_a, int bytes_b) {
    begin();
    CONTROL(void, believe, const char *)(believe);
    void *p = push();
    id model = model_of(add_relu, true), error = NULL, in[2] = { surface(bytes_a), surface(bytes_b) }, out = surface(bytes_a);
    long code = -1;
    if (CHECK(compile(model, &error)) && load(model, &error)) {
        int at[2] = { 0, 1 };
        code = evaluate(model, request_of(in, at, 2, out), &error) ? 0 : SEND(long)(error, SEL("code"));
        CHECK(unload(model, &error));
    }
    clean(model);
    release(in[0]), release(in[1]), release(out);
    pop(p);
    end(0);
    return code;
}

static void disagreements(void) {
    CHECK_EQ(ran("", 16384, 32768), 0);
    CHECK_EQ(ran("", 4096, 4096), 0);              /* a surface's pages are its size here: 16384 bytes */
    CHECK_EQ(ran("O", 65536, 81920), 8);           /* unequal */
    CHECK_EQ(ran("O", 32768, 32768), 8);           /* below 49152 */
    CHECK_EQ(ran("O", 65536, 65536), 0);
    CHECK_EQ(ran("M", 16384, 16384), 8);           /* two inputs */
    CHECK_EQ(ran("B", 16384, 16384), -1);          /* refused at load: works element by element */
}

static void budget(void) {
    begin();
    CONTROL(int, set, const char *, long)("compile_limit", 2);
    for (int i = 0; i < 3; i++) {
        const char *said = verdict(i == 1 ? packed : add_relu);
        if (i < 2) CHECK_EQ(said, (const char *)NULL);
    }
    noticed("3 compiles in one process, 2 are taken");
    end(1);
    begin();
    CONTROL(void, believe, const char *)("N");      /* what is loaded counts, which nothing is */
    CONTROL(int, set, const char *, long)("compile_limit", 2);
    for (int i = 0; i < 4; i++) CHECK_EQ(verdict(add_relu), (const char *)NULL);
    end(0);
}

TEST_MAIN(CASE(adds), CASE(convolves), CASE(multiplies), CASE(attends), CASE(refuses), CASE(disagreements), CASE(budget))
