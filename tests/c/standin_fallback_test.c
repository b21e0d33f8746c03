/* SPDX-License-Identifier: MIT */
/* Programs run across engines: the stand-in for the Neural Engine computes what that takes, the cpu engine the rest, and the cpu engine
 * alone says what must come out; where programs are cut, what is said of it, and what goes wrong. Then the same with the first run verified. */
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include "standin/standin.h"
#include "standin_folder.h"
#include "test.h"

static void *library;
#define CONTROL(result, name, ...) ((result (*)(__VA_ARGS__))dlsym(library, "standin_" #name))

static void begin(void) {
    if (!library) {
        use_standin();
        library = open_standin("AppleNeuralEngine.so");
    }
    CONTROL(void, reset, void)();
    CONTROL(int, set, const char *, long)("compile_limit", 100000);
    CONTROL(int, set, const char *, long)("copies", 0);
#if defined __SANITIZE_ADDRESS__
    CONTROL(int, set, const char *, long)("guard", 0);
#endif
}

/* Nothing was wrong, and nothing is alive. */
static void end(void) {
    long n = CONTROL(long, violations, void)();
    if (!CHECK_EQ(n, 0))
        for (long i = 0; i < n; i++) fprintf(stderr, "  %s\n", CONTROL(const char *, violation, long)(i));
    CHECK_EQ(CONTROL(long, alive, void)(), 0);
}

/* ---- programs ---- */

#define V(name, call)      "tensor<fp16, [2, 4]> " name " = " call ";\n"
#define VECTOR(name, call) "tensor<fp16, [4]> " name " = " call ";\n"
#define X                  "tensor<fp16, [2, 4]> x"
/* What the engine has not, nor the lowering. */
#define KEPT(x)            "reverse_sequence(x = " x ", lengths = tensor<int32, [2]>([4, 3]), seq_axis = int32(1), batch_axis = int32(0))"

/* cuts: what mil_model_describe must say, part by part. inputs of unknown sizes are made with 2, then with 3. */
static const struct {
    const char *what, *inputs, *body;
    const char *cuts[6];
} rows[] = {
    {"all of it", X, V("a", "relu(x = x)") V("b", "add(x = a, y = x)") "} -> (b);", {"1 part,", "part 1: ane, 2 operations, a to b\n"}},
    {"none of it", X, V("a", KEPT("x")) V("b", KEPT("a")) "} -> (b);",
     {"1 part,", "part 1: cpu, 2 operations, a to b\n", "\n  row.mil:4: a: ane: reverse_sequence: the engine has no such op (data_movement)\n", "\n  row.mil:5: b: ane: reverse_sequence: "}},
    {"one in the middle", X, V("a", "sigmoid(x = x)") V("b", KEPT("a")) V("c", "mul(x = b, y = a)") "} -> (c);",
     {"3 parts, 32 bytes between them", "part 1: ane, 1 operation, a\n", "part 2: cpu, 1 operation, b\n  row.mil:5: b: ane: reverse_sequence", "part 3: ane, 1 operation, c\n"}},
    {"two outputs of one, used further", X, V("a", "sigmoid(x = x)") V("b", KEPT("a")) V("c", "mul(x = b, y = a)") "} -> (b, c, a);",
     {"3 parts, 0 bytes between them"}},
    {"an input that is an output", X, V("a", KEPT("x")) "} -> (x, a);", {"1 part,"}},
    {"outputs that are the same value", X, V("a", "sigmoid(x = x)") V("b", KEPT("a")) "} -> (a, b, a, x, b, x);", {"2 parts, 0 bytes between them"}},
    {"nothing but an input", X, "} -> (x);", {"0 parts,"}},
    {"indices in, floats on", "tensor<int32, [3]> at, " X,
     "tensor<fp16, [8, 4]> table = const()[val = tensor<fp16, [8, 4]>([0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31])];\n"
     "tensor<fp16, [3, 4]> e = gather(x = table, indices = at, axis = int32(0), validate_indices = bool(false));\n"
     "tensor<fp16, [3, 4]> y = relu(x = e);\n} -> (y);",
     {"2 parts", "part 1: cpu, 1 operation, e\n", "the engine has floats of fixed sizes, and at is int32[3]", "part 2: ane, 1 operation, y\n"}},
    {"two results", X, V("a", "relu(x = x)")
     "tensor<fp16, [2, 3]> v, tensor<int32, [2, 3]> i = topk(x = a, k = int32(3), axis = int32(1));\n"
     "tensor<fp16, [2, 3]> y = exp2(x = v);\n} -> (y, i);", {"3 parts", "part 2: cpu, 1 operation, v\n", "and i is int32[2, 3]"}},
    {"sizes of a run", "tensor<fp16, [?, 4]> x, " "tensor<fp16, [2, 4]> z",
     "tensor<fp16, [?, 4]> a = relu(x = x);\n" V("b", "tanh(x = z)") "tensor<fp16, [?, 2]> c = matmul(x = a, y = b, transpose_x = bool(false), transpose_y = bool(true));\n"
     "} -> (c);", {"3 parts", ": a: ane: relu: the engine has floats of fixed sizes, and x is fp16[?", "ane, 1 operation, b\n"}},
    {"a list, and what stands between", X,
     "list<tensor<fp16, [2, 4]>, 2> l = make_list(dtype = string(\"fp16\"), dynamic_length = bool(false), elem_shape = (int32(2), int32(4)), init_length = int32(2));\n"
     V("a", "relu(x = x)")
     "list<tensor<fp16, [2, 4]>, 2> m = list_write(ls = l, index = int32(1), value = a);\n"
     V("r", "list_read(ls = m, index = int32(1))") V("b", "tanh(x = r)")
     "list<tensor<fp16, [2, 4]>, 2> n = list_write(ls = m, index = int32(0), value = b);\n"
     V("s", "list_read(ls = n, index = int32(0))") V("y", "exp(x = s)") "} -> (y);",
     {"3 parts", "part 1: ane, 1 operation, a\n", "part 2: cpu, 6 operations, l to s\n", ": b: bound to what the engine does not take", "part 3: ane, 1 operation, y\n"}},
    {"a loop", X,
     "int32 zero = const()[val = int32(0)];\n" V("a", "relu(x = x)")
     "int32 n, tensor<fp16, [2, 4]> w = while_loop(loop_vars = (zero, a)) (int32 i, tensor<fp16, [2, 4]> p) {\n"
     "bool go = less(x = i, y = int32(3));\n} -> (go), (int32 j, tensor<fp16, [2, 4]> q) {\n"
     "int32 k = add(x = j, y = int32(1));\n" V("s", "add(x = q, y = x)") "} -> (k, s);\n" V("y", "tanh(x = w)") "} -> (y);",
     {"3 parts", "part 2: cpu, 1 operation, n\n", "(control_flow)"}},
    {"strided views of a caller's", X, V("a", "softmax(x = x, axis = int32(1))") V("b", KEPT("a")) "} -> (a, b);", {"2 parts"}},
};

static mil_program *parse_text(const char *text, size_t n) {
    mil_error err = {0};
    mil_program *program = NULL;
    CHECK_OK(mil_text_parse(text, n, &(mil_text_options){.name = "row.mil"}, &program, &err), &err);
    return program;
}

static mil_program *parse(const char *inputs, const char *body) {
    char text[6000];
    int n = snprintf(text, sizeof text, "program(1.3)\n{\nfunc main<ios18>(%s) {\n%s\n}\n", inputs, body);
    return parse_text(text, (size_t)n);
}

static mil_status compile(const mil_program *program, const char *engine, mil_model **out, mil_error *err) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = engine;
    options.route = "direct";
    options.fallback = true;
    return mil_program_compile(program, &options, out, err);
}

/* Of the port's type, unknown sizes being `size`: numbers that gather takes. */
static mil_tensor *make_input(const mil_port *port, int64_t size, uint64_t seed) {
    int64_t shape[MIL_MAX_RANK];
    mil_tensor *tensor = NULL;
    mil_random random;
    for (int i = 0; i < port->rank; i++) shape[i] = port->shape[i] < 0 ? size : port->shape[i];
    CHECK_OK(mil_tensor_new(port->dtype, port->rank, shape, &tensor, NULL), NULL);
    mil_random_seed(&random, seed);
    if (port->dtype == MIL_INT32)
        for (int64_t i = 0; i < shape[0]; i++) mil_tensor_set(tensor, &i, (double)((uint64_t)(3 * i) + seed), NULL);
    else mil_tensor_uniform(tensor, &random, -0.9, 0.9, NULL);
    return tensor;
}

static void check_same(mil_tensor *const *got, mil_tensor *const *wanted, size_t n) {
    for (size_t i = 0; i < n; i++) {
        mil_tensor_gap gap = {.off = 1};
        mil_error err = {0};
        if (CHECK(got[i] && wanted[i])) CHECK_OK(mil_tensor_compare(got[i], wanted[i], &gap, &err), &err);
        if (!CHECK(gap.off < 4e-3)) fprintf(stderr, "  output %zu: %g for %g\n", i, gap.a, gap.b);
    }
}

static void drop(mil_tensor **tensors, size_t n) {
    for (size_t i = 0; i < n; i++) mil_tensor_free(tensors[i]), tensors[i] = NULL;
}

/* One context of each, run thrice: with other inputs, of other sizes where that can be. */
static void compare(mil_model *split, mil_model *cpu) {
    mil_context *ours = NULL;
    mil_error err = {0};
    size_t n_in = mil_model_n_inputs(cpu), n_out = mil_model_n_outputs(cpu);
    if (!CHECK_OK(mil_context_new(split, &ours, &err), &err)) return;
    for (int turn = 0; turn < 3; turn++) {
        mil_tensor *in[4] = {NULL}, *wanted[6] = {NULL}, *got[6] = {NULL};
        for (size_t i = 0; i < n_in; i++) {
            in[i] = make_input(mil_model_input(cpu, i), turn < 2 ? 2 : 3, (uint64_t)turn);
            CHECK_OK(mil_context_set_input(ours, i, in[i], &err), &err);
        }
        CHECK_OK(mil_model_run(cpu, in, wanted, &err), &err);
        CHECK_OK(mil_context_run(ours, &err), &err);
        for (size_t i = 0; i < n_out; i++) got[i] = mil_context_output(ours, i);
        check_same(got, wanted, n_out);
        memset(got, 0, sizeof got);
        CHECK_OK(mil_model_run(split, in, got, &err), &err);
        check_same(got, wanted, n_out);
        drop(in, n_in), drop(wanted, n_out), drop(got, n_out);
    }
    mil_context_free(ours);
}

static void across(void) {
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_model *split = NULL, *cpu = NULL;
        mil_error err = {0};
        char *told = NULL;
        test_row = rows[i].what;
        mil_program *program = parse(rows[i].inputs, rows[i].body);
        if (!program) continue;
        CHECK_OK(compile(program, "cpu", &cpu, &err), &err);
        CHECK_OK(compile(program, "ane", &split, &err), &err);
        if (split) CHECK_OK(mil_model_describe(split, &told, &err), &err);
        for (size_t k = 0; told && rows[i].cuts[k]; k++) CHECK_HAS(told, rows[i].cuts[k]);
        if (split && cpu) compare(split, cpu);
        mil_free(told);
        mil_model_free(split);
        mil_model_free(cpu);
        mil_program_free(program);
    }
    end();
}

/* Given outputs are written in place, through strides. */
static void outputs_given(void) {
    begin();
    mil_model *split = NULL;
    mil_error err = {0};
    mil_context *c = NULL;
    mil_program *program = parse(X, V("a", "relu(x = x)") V("b", KEPT("a")) V("c", "mul(x = b, y = a)") "} -> (a, b, c);");
    CHECK_OK(compile(program, "ane", &split, &err), &err);
    CHECK_OK(mil_context_new(split, &c, &err), &err);
    mil_tensor *x = make_input(mil_model_input(split, 0), 2, 1), *whole = NULL, *views[3] = {NULL};
    const int64_t shape[] = {3, 4, 2}, strides[] = {1, 2};
    CHECK_OK(mil_tensor_new(MIL_FP16, 3, shape, &whole, &err), &err);
    CHECK_OK(mil_context_set_input(c, 0, x, &err), &err);
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(mil_tensor_over(mil_tensor_buffer(whole), 16 * i, MIL_FP16, 2, (const int64_t[]){2, 4}, strides, &views[i], &err), &err);
        CHECK_OK(mil_context_set_output(c, i, views[i], &err), &err);
    }
    CHECK_OK(mil_context_run(c, &err), &err);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t j = 0; j < 4; j++) {
            int64_t from = i == 0 ? 3 - j : j < 3 ? 2 - j : 3; /* what KEPT has there */
            double at[5];
            mil_tensor_get(x, (const int64_t[]){i, j}, &at[3], NULL);
            for (int k = 0; k < 3; k++) mil_tensor_get(whole, (const int64_t[]){k, j, i}, &at[k], NULL);
            CHECK(at[0] == (at[3] > 0 ? at[3] : 0));
            mil_tensor_get(whole, (const int64_t[]){0, from, i}, &at[4], NULL);
            CHECK(at[1] == at[4] && (at[0] * at[1] - at[2]) < 1e-3 && (at[2] - at[0] * at[1]) < 1e-3);
        }
    for (size_t i = 0; i < 3; i++) mil_tensor_free(views[i]);
    mil_tensor_free(whole);
    mil_tensor_free(x);
    mil_context_free(c);
    mil_model_free(split);
    mil_program_free(program);
    end();
}

/* ---- states, classifiers, several functions ---- */

static const char with_states[] =
    "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [4]> x, state<tensor<fp16, [4]>> a, state<tensor<fp16, [4]>> b) {\n"
    VECTOR("old", "read_state(input = a)") VECTOR("t", "tanh(x = x)") VECTOR("sum", "add(x = old, y = t)")
    "write_state(input = a, data = sum);\n" VECTOR("new", "read_state(input = a)") VECTOR("y", "exp(x = new)")
    VECTOR("kept", "coreml_update_state(state = b, value = y)") VECTOR("z", "mul(x = kept, y = old)")
    "write_state(input = b, data = z);\n} -> (y, z);\n}\n";

static void states(void) {
    begin();
    mil_model *models[2] = {NULL, NULL};
    mil_state *state[2] = {NULL, NULL};
    mil_error err = {0};
    mil_program *program = parse_text(with_states, strlen(with_states));
    for (int m = 0; program && m < 2; m++) {
        CHECK_OK(compile(program, m ? "ane" : "cpu", &models[m], &err), &err);
        CHECK_OK(mil_state_new(models[m], &state[m], &err), &err);
    }
    for (int turn = 0; program && turn < 3; turn++) {
        mil_tensor *x = make_input(mil_model_input(models[0], 0), 2, (uint64_t)turn), *out[2][2] = {{NULL}};
        for (int m = 0; m < 2; m++) CHECK_OK(mil_model_run_state(models[m], &x, out[m], state[m], &err), &err);
        check_same(out[1], out[0], 2);
        for (size_t s = 0; s < 2; s++) {
            mil_tensor *got = mil_state_tensor(state[1], s), *wanted = mil_state_tensor(state[0], s);
            check_same(&got, &wanted, 1);
        }
        for (int m = 0; m < 2; m++) drop(out[m], 2);
        mil_tensor_free(x);
    }
    for (int m = 0; m < 2; m++) mil_state_free(state[m]), mil_model_free(models[m]);
    mil_program_free(program);
    end();
}

static void classifier(void) {
    begin();
    mil_error err = {0};
    mil_model *split = NULL;
    mil_program *program = parse(X,
        V("a", "relu(x = x)") "tensor<fp16, [2, 2]> m = slice_by_size(x = a, begin = tensor<int32, [2]>([0, 0]), size = tensor<int32, [2]>([2, 2]));\n"
        "tensor<fp16, [4]> r = reshape(x = m, shape = tensor<int32, [1]>([4]));\n"
        "tensor<fp32, [4]> p = cast(x = r, dtype = string(\"fp32\"));\n"
        "tensor<fp32, [4]> q = acos(x = p);\n"
        "list<string, 4> names = const()[val = list<string, 4>([\"one\", \"two\", \"three\", \"four\"])];\n"
        "string label, dict<string, fp64> all = classify(probabilities = q, classes = names);\n} -> (label, all);");
    if (program && CHECK_OK(compile(program, "ane", &split, &err), &err)) {
        mil_tensor *x = NULL, *out[2] = {NULL};
        CHECK_OK(mil_tensor_new(MIL_FP16, 2, (const int64_t[]){2, 4}, &x, NULL), NULL);
        for (int64_t i = 0; i < 4; i++) mil_tensor_set(x, (const int64_t[]){i / 2, i % 2}, i == 2 ? 0.1 : 0.5, NULL);
        CHECK_OK(mil_model_run(split, &x, out, &err), &err);
        if (CHECK(out[0] != NULL)) CHECK_EQ((const char *)mil_tensor_string(out[0], 0, NULL), "three");
        drop(out, 2);
        mil_tensor_free(x);
    }
    mil_model_free(split);
    mil_program_free(program);
    end();
}

static void entries(void) {
    static const char text[] = "program(1.3)\n{\nfunc one<ios18>(" X ") {\n" V("a", "relu(x = x)") "} -> (a);\nfunc two<ios18>(" X ") {\n"
                               V("b", "relu(x = x)") V("c", KEPT("b")) "} -> (c);\n}\n";
    begin();
    mil_program *program = parse_text(text, sizeof text - 1);
    static const struct {
        const char *entry, *told;
    } functions[] = {{"one", "1 part,"}, {"two", "2 parts,"}};
    for (size_t i = 0; i < 2; i++) {
        mil_compile_options options = MIL_COMPILE_DEFAULTS;
        mil_model *split = NULL;
        mil_error err = {0};
        char *told = NULL;
        options.engine = "ane", options.fallback = true, options.entry = functions[i].entry;
        if (!CHECK_OK(mil_program_compile(program, &options, &split, &err), &err)) continue;
        CHECK_OK(mil_model_describe(split, &told, &err), &err);
        CHECK_HAS(told, functions[i].told);
        mil_free(told);
        mil_model_free(split);
    }
    mil_program_free(program);
    end();
}

/* ---- what goes wrong ---- */

static mil_program *middle(void) { return parse(X, V("a", "relu(x = x)") V("b", KEPT("a")) V("c", "mul(x = b, y = a)") "} -> (c);"); }

/* Without fallback: op, reason, line. */
static void refused(void) {
    begin();
    CONTROL(void, fail_named, const char *)("_ANEInMemoryModel compileWithQoS:options:error:");
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model = NULL;
    mil_error err = {0};
    mil_program *program = middle();
    options.engine = "ane", options.route = "direct";
    CHECK_STATUS(mil_program_compile(program, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "; fallback = true (luamil run --fallback) gives the cpu engine what this one refuses; ane: reverse_sequence: the engine has "
                           "no such op (data_movement)");
    CHECK_EQ((const char *)err.op, "reverse_sequence");
    CHECK_EQ((const char *)err.value, "b");
    CHECK_EQ(err.line, 5);
    CHECK_EQ((const char *)err.file, "row.mil");
    mil_program_free(program);
    CONTROL(void, fail_named, const char *)(NULL);
    program = parse(X, "bool t = const()[val = bool(true)];\n" V("a", "relu(x = x)")
                       "int32 zero = const()[val = int32(0)];\n"
                       "int32 n = while_loop(loop_vars = (zero)) (int32 i) {\nbool go = less(x = i, y = int32(3));\n} -> (go), (int32 j) {\n"
                       "int32 k = add(x = j, y = int32(1));\n} -> (k);\n} -> (a, n);");
    CHECK_STATUS(mil_program_compile(program, &options, &model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_EQ((const char *)err.op, "while_loop");
    CHECK_EQ(err.line, 7);
    mil_program_free(program);
    end();
}

/* What the ports have no place for: what to do instead. */
static void refused_ports(void) {
    static const struct { const char *inputs, *line; mil_status status; const char *said; } rows[] = {
        {"tensor<fp16, [2, ?]> x", "tensor<fp16, [2, ?]> y = relu(x = x);\n} -> (y);", MIL_ETYPE, "has a size that is not fixed (f:fix gives it one)"},
        {"tensor<int32, [4]> x", "tensor<fp16, [4]> y = cast(x = x, dtype = string(\"fp16\"));\n} -> (y);", MIL_EUNSUPPORTED, "can't be a port"},
        {"state<tensor<int32, [4]>> x", "tensor<int32, [4]> v = read_state(input = x);\ntensor<fp16, [4]> y = cast(x = v, dtype = string(\"fp16\"));\n} -> (y);",
         MIL_EUNSUPPORTED, "state x, int32[4], can't be a port"},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_program *program = parse(rows[i].inputs, rows[i].line);
        mil_compile_options options = MIL_COMPILE_DEFAULTS;
        mil_model *model = NULL;
        mil_error err = {0};
        options.engine = "ane";
        CHECK_STATUS(mil_program_compile(program, &options, &model, &err), rows[i].status, &err);
        CHECK_EQ(strncmp(err.message, "compile: ", 9), 0);
        CHECK_HAS(err.message, rows[i].said);
        CHECK_HAS(err.message, "; engine coreml may take it; fallback = true (luamil run --fallback) gives the cpu engine what this one refuses");
        options.fallback = true;
        CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
        mil_model_free(model);
        mil_program_free(program);
    }
    end();
}

/* What the engine refuses only when it compiles is the cpu's; wrong options are errors all the same. */
static void refused_late(void) {
    begin();
    mil_model *split = NULL, *cpu = NULL;
    mil_error err = {0};
    char *told = NULL;
    mil_program *program = middle();
    CONTROL(void, fail_named, const char *)("_ANEInMemoryModel compileWithQoS:options:error:");
    CHECK_OK(compile(program, "ane", &split, &err), &err);
    CONTROL(void, fail_named, const char *)(NULL);
    CHECK_OK(compile(program, "cpu", &cpu, &err), &err);
    if (split) CHECK_OK(mil_model_describe(split, &told, &err), &err);
    CHECK_HAS(told, "1 part, 0 bytes between them\npart 1: cpu, 3 operations, a to c\n  row.mil:4: a: compile: ");
    if (split && cpu) compare(split, cpu);
    mil_free(told);
    mil_model_free(split);
    mil_model_free(cpu);
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane", options.fallback = true, options.route = "bus";
    CHECK_STATUS(mil_program_compile(program, &options, &split, &err), MIL_EINVAL, &err);
    options.engine = "any";
    CHECK_STATUS(mil_program_compile(program, &options, &split, &err), MIL_ENAME, &err);
    mil_program_free(program);
    end();
}

static void failing_runs(void) {
    begin();
    mil_model *split = NULL;
    mil_error err = {0};
    mil_program *program = middle();
    CHECK_OK(compile(program, "ane", &split, &err), &err);
    mil_tensor *x = make_input(mil_model_input(split, 0), 2, 1), *out = NULL;
    CONTROL(void, fail_named, const char *)("_ANEInMemoryModel evaluateWithQoS:options:request:error:");
    CHECK(mil_model_run(split, &x, &out, &err) != MIL_OK);
    CONTROL(void, fail_named, const char *)(NULL);
    CHECK_OK(mil_model_run(split, &x, &out, &err), &err);
    drop(&out, 1);
    mil_run *run = NULL;
    CHECK_OK(mil_model_start(split, &x, NULL, NULL, NULL, NULL, &run, &err), &err);
    CHECK_OK(mil_run_result(run, &out, &err), &err);
    CHECK(out != NULL);
    drop(&out, 1);
    mil_run_free(run);
    mil_model_unload(split);
    CHECK_STATUS(mil_model_run(split, &x, &out, &err), MIL_ESTATE, &err);
    mil_tensor_free(x);
    mil_model_free(split);
    mil_program_free(program);
    end();
}

/* A bound run allocates nothing, and nothing is copied between an engine and the memory between parts. */
static void allocates_nothing(void) {
    mil_set_allocator(test_realloc, NULL);
    begin();
    mil_model *split = NULL;
    mil_context *c = NULL;
    mil_error err = {0};
    mil_program *program = middle();
    CHECK_OK(compile(program, "ane", &split, &err), &err);
    CHECK_OK(mil_context_new(split, &c, &err), &err);
    mil_tensor *x = make_input(mil_model_input(split, 0), 2, 1);
    CHECK_OK(mil_context_set_input(c, 0, x, &err), &err);
    CHECK_OK(mil_context_run(c, &err), &err);
    test_alloc.calls = 0;
    for (int i = 0; i < 10; i++) CHECK_OK(mil_context_run(c, &err), &err);
    CHECK_EQ(test_alloc.calls, 0);
    char *told = NULL;
    CHECK_OK(mil_model_describe(split, &told, &err), &err);
    CHECK_HAS(told, "so far: 11 runs, 11 copies"); /* of x, which is not shared; the other part: of c */
    mil_free(told);
    mil_context_free(c);
    mil_tensor_free(x);
    mil_model_free(split);
    mil_program_free(program);
    end();
    mil_set_allocator(NULL, NULL);
}

/* ---- verify ---- */

static mil_model *verified(const mil_program *program, bool falls_back) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model = NULL;
    mil_error err = {0};
    options.engine = "ane", options.route = "direct", options.verify = true, options.fallback = falls_back;
    CHECK_OK(mil_program_compile(program, &options, &model, &err), &err);
    return model;
}

static void told(const mil_model *model, const char *what) {
    char *text = NULL;
    CHECK_OK(mil_model_describe(model, &text, NULL), NULL);
    CHECK_HAS(text, what);
    mil_free(text);
}

/* Where no engine is named. */
static void chooses(void) {
    static const char wide[] = "program(1.3)\n{\nfunc main<ios18>(" X ") {\ntensor<fp32, [2, 4]> a = cast(x = x, dtype = string(\"fp32\"));\n} -> (a);\n}\n";
    begin();
    mil_program *plain = parse(X, V("a", "relu(x = x)") "} -> (a);"), *refused = parse(X, V("a", KEPT("x")) "} -> (a);");
    mil_program *of_fp32 = parse_text(wide, sizeof wide - 1);
    struct {
        const mil_program *program;
        mil_compile_options options;
        const char *told;
    } asked[] = {
        {plain, MIL_COMPILE_DEFAULTS, "ane, h15g"},
        {plain, {.optimize = 1, .threads = 1, .fallback = true}, "ane with fallback, 1 part"},
        {refused, {.optimize = 1, .threads = 1, .fallback = true}, "part 1: cpu, 1 operation"},
        {plain, {.optimize = 1, .threads = 1, .precision = MIL_PRECISION_STRICT}, "cpu, "},
        {of_fp32, MIL_COMPILE_DEFAULTS, "cpu, "},
        {plain, {.optimize = 1, .threads = 1, .route = "direct"}, "cpu, "}, /* which fails, below */
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        mil_model *model = NULL;
        mil_error err = {0};
        if (i == 5) CONTROL(void, fail_named, const char *)("_ANEInMemoryModel compileWithQoS:options:error:");
        if (CHECK_OK(mil_program_compile(asked[i].program, &asked[i].options, &model, &err), &err)) told(model, asked[i].told);
        mil_model_free(model);
    }
    CONTROL(void, fail_named, const char *)(NULL);
    mil_model *model = NULL;
    mil_error err = {0};
    CHECK_STATUS(mil_program_compile(plain, &(mil_compile_options){.optimize = 1, .threads = 1, .route = "bus"}, &model, &err), MIL_EINVAL, &err);
    mil_program_free(plain), mil_program_free(refused), mil_program_free(of_fp32);
    end();
}

static void verifies(void) {
    begin();
    mil_program *programs[] = {parse(X, V("a", "relu(x = x)") V("b", "exp(x = a)") "} -> (b);"), middle(), parse_text(with_states, strlen(with_states))};
    for (int i = 0; i < 3; i++) {
        mil_model *model = verified(programs[i], i > 0);
        mil_state *state = NULL;
        mil_error err = {0};
        if (!model) continue;
        told(model, "to be verified by the next run\n");
        mil_tensor *x = make_input(mil_model_input(model, 0), 2, 1), *out[2] = {NULL};
        CHECK_OK(mil_state_new(model, &state, &err), &err);
        CHECK_OK(mil_model_run_state(model, &x, out, state, &err), &err);
        told(model, "verified: a run agreed with the cpu engine's\n");
        drop(out, 2);
        CHECK_OK(mil_model_run_state(model, &x, out, state, &err), &err);
        drop(out, 2);
        mil_tensor_free(x);
        mil_state_free(state);
        mil_model_free(model);
    }
    for (int i = 0; i < 3; i++) mil_program_free(programs[i]);
    end();
}

/* An engine that leaves its outputs alone is found out, by every run until one is right; and the next is not looked at. */
static void finds_out(void) {
    begin();
    mil_error err = {0};
    mil_program *program = parse(X, V("a", "relu(x = x)") V("b", "exp(x = a)") "} -> (b);");
    mil_model *model = verified(program, false);
    mil_tensor *x = make_input(mil_model_input(model, 0), 2, 1), *out = NULL;
    mil_tensor_set(x, (const int64_t[]){1, 2}, 3.5, NULL);
    CONTROL(int, set, const char *, long)("compute", 0);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(mil_model_run(model, &x, &out, &err), MIL_EVALUE, &err);
        CHECK_HAS(err.message, "verify: output b, fp16[2, 4]: element [1, 2] is ");
        CHECK_HAS(err.message, " by engine ane, but 33.125 by the cpu engine, which is further off than 1.66 (0.05 of the largest, 33.125); 8 of 8 elements differ");
        CHECK_EQ((const char *)err.value, "b");
        drop(&out, 1);
    }
    CONTROL(int, set, const char *, long)("compute", 1);
    CHECK_OK(mil_model_run(model, &x, &out, &err), &err);
    drop(&out, 1);
    CONTROL(int, set, const char *, long)("compute", 0);
    CHECK_OK(mil_model_run(model, &x, &out, &err), &err);
    drop(&out, 1);
    mil_tensor_free(x);
    mil_model_free(model);
    mil_program_free(program);
    end();
}

static mil_status compile_and_run(void *ctx, mil_error *err) {
    mil_model *split = NULL;
    mil_tensor *x = NULL, *out = NULL;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane", options.fallback = options.verify = true;
    mil_status status = mil_program_compile(ctx, &options, &split, err);
    if (status == MIL_OK) status = mil_tensor_new(MIL_FP16, 2, (const int64_t[]){2, 4}, &x, err);
    if (status == MIL_OK) status = mil_model_run(split, &x, &out, err);
    mil_tensor_free(x);
    mil_tensor_free(out);
    mil_model_free(split);
    return status;
}

static void every_allocation(void) {
    mil_set_allocator(test_realloc, NULL);
    begin();
    CONTROL(int, set, const char *, long)("copies", 1); /* a process may compile a hundred programs */
    mil_program *program = middle();
    CHECK(test_each_allocation(compile_and_run, program) > 20);
    mil_program_free(program);
    end();
    mil_set_allocator(NULL, NULL);
}

static void *run_many(void *model) {
    for (int i = 0; i < 20; i++) {
        mil_error err = {0};
        mil_tensor *x = make_input(mil_model_input(model, 0), 2, (uint64_t)i), *out = NULL;
        CHECK_OK(mil_model_run(model, &x, &out, &err), &err);
        mil_tensor_free(x);
        mil_tensor_free(out);
    }
    return NULL;
}

static void threads(void) {
    begin();
    mil_model *split = NULL;
    mil_error err = {0};
    pthread_t many[4];
    mil_program *program = middle();
    CHECK_OK(compile(program, "ane", &split, &err), &err);
    for (int i = 0; i < 4; i++) pthread_create(&many[i], NULL, run_many, split);
    for (int i = 0; i < 4; i++) pthread_join(many[i], NULL);
    mil_model_free(split);
    mil_program_free(program);
    end();
}

TEST_MAIN(CASE(across), CASE(outputs_given), CASE(states), CASE(classifier), CASE(entries), CASE(refused), CASE(refused_ports), CASE(refused_late),
          CASE(failing_runs), CASE(allocates_nothing), CASE(threads), CASE(chooses), CASE(verifies), CASE(finds_out), CASE(every_allocation))
