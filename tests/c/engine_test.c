/* SPDX-License-Identifier: MIT */
/* Models and the cpu engine from outside: shapes bound at run time, contexts, threads, cancelling, limits, memory that overlaps,
 * unloading; and a whole task with every allocation failing in turn. What ops compute is vectors_test.c's. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static mil_error err;

enum { SIZE = 256 }; /* of the long runs; emulators run these tests too */

/* ---- building, briefly ---- */

typedef struct building {
    mil_program *program;
    mil_block body;
} building;

static building begin(void) {
    building b = {0};
    CHECK_OK(mil_program_new(MIL_IOS18, &b.program, &err), &err);
    CHECK_OK(mil_program_function(b.program, "main", &b.body, &err), &err);
    return b;
}

static mil_value input(building *b, const char *name, int rank, const mil_dim *shape) {
    mil_value value = 0;
    CHECK_OK(mil_program_input(b->program, b->body, name, MIL_FP32, rank, shape, false, &value, &err), &err);
    return value;
}

static mil_value op2(building *b, const char *op, const char *first, mil_value x, const char *second, mil_value y) {
    mil_arg args[] = {{.name = first, .kind = MIL_ARG_VALUE, .value = x}, {.name = second, .kind = MIL_ARG_VALUE, .value = y}};
    mil_value out = 0;
    CHECK_OK(mil_program_add(b->program, b->body, mil_op_find(op), args, y ? 2 : 1, NULL, (mil_where){"engine_test.lua", 7}, &out, 1,
                             NULL, &err), &err);
    return out;
}

static mil_value op1(building *b, const char *op, mil_value x) { return op2(b, op, "x", x, NULL, 0); }

static mil_model *compile(building *b, mil_value y, const mil_compile_options *options) {
    mil_model *model = NULL;
    mil_value out;
    CHECK_OK(mil_program_output(b->program, b->body, "y", y, &out, &err), &err);
    CHECK_OK(mil_program_compile(b->program, options, &model, &err), &err);
    mil_program_free(b->program);
    return model;
}

static mil_tensor *tensor(int rank, const int64_t *shape, float first, float step) {
    mil_tensor *t = NULL;
    CHECK_OK(mil_tensor_new(MIL_FP32, rank, shape, &t, &err), &err);
    float *data = mil_tensor_data(t);
    for (int64_t i = 0; i < mil_tensor_numel(t); i++) data[i] = first + step * (float)i;
    return t;
}

static float at(const mil_tensor *t, int64_t i) { return ((const float *)mil_tensor_data(t))[i]; }

/* ---- cases ---- */

static void runs(void) {
    building b = begin();
    const mil_dim shape[] = {2, 3};
    mil_model *model = compile(&b, op1(&b, "relu", input(&b, "x", 2, shape)), NULL);
    mil_tensor *x = tensor(2, shape, -2, 1), *y = NULL;
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
    CHECK_EQ(at(y, 1), 0);
    CHECK_EQ(at(y, 5), 3);
    CHECK_EQ(mil_model_n_inputs(model), 1);
    CHECK_EQ(mil_model_output(model, 0)->name, "y");
    CHECK(mil_model_output(model, 1) == NULL);
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
}

static void refuses_wrong_inputs(void) {
    building b = begin();
    const mil_dim shape[] = {2, 3};
    const int64_t other[] = {3, 2};
    mil_model *model = compile(&b, op1(&b, "relu", input(&b, "x", 2, shape)), NULL);
    mil_tensor *missing = NULL, *wrong = tensor(2, other, 0, 1), *y = NULL, *half = NULL;
    CHECK_STATUS(mil_model_run(model, &missing, &y, &err), MIL_EINVAL, &err);
    CHECK_HAS(err.message, "input x fp32[2, 3] is missing");
    CHECK_STATUS(mil_model_run(model, &wrong, &y, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "input x is fp32[2, 3], but was given fp32[3, 2]");
    CHECK_OK(mil_tensor_new(MIL_FP16, 2, shape, &half, &err), &err);
    CHECK_STATUS(mil_model_run(model, &half, &y, &err), MIL_ETYPE, &err);
    mil_tensor *right = tensor(2, shape, 0, 1);
    CHECK_OK(mil_model_run(model, &right, &y, &err), &err); /* usable as before */
    mil_tensor_free(wrong);
    mil_tensor_free(half);
    mil_tensor_free(right);
    mil_tensor_free(y);
    mil_model_free(model);
}

static void binds_symbolic_dims(void) {
    building b = begin();
    mil_dim n;
    CHECK_OK(mil_program_symbol(b.program, &(mil_symbol){.name = "N", .min = 1, .max = 8}, &n, &err), &err);
    const mil_dim shape[] = {n, 3};
    mil_value x = input(&b, "x", 2, shape), z = input(&b, "z", 2, shape);
    mil_model *model = compile(&b, op2(&b, "add", "x", x, "y", z), NULL);
    CHECK_EQ(mil_model_input(model, 0)->shape[0], -1);
    for (int64_t size = 1; size <= 9; size++) {
        const int64_t now[] = {size, 3}, less[] = {size - 1, 3};
        mil_tensor *in[] = {tensor(2, now, 1, 1), tensor(2, now, 10, 1)}, *y = NULL;
        mil_status wanted = size <= 8 ? MIL_OK : MIL_EVALUE;
        CHECK_STATUS(mil_model_run(model, in, &y, &err), wanted, &err);
        if (wanted == MIL_OK) CHECK_EQ(at(y, size * 3 - 1), 11 + 2 * (float)(size * 3 - 1));
        else CHECK_HAS(err.message, "N is 1 to 8");
        mil_tensor_free(y);
        y = NULL;
        mil_tensor_free(in[1]);
        in[1] = tensor(2, less, 0, 1);
        if (size > 1) CHECK_STATUS(mil_model_run(model, in, &y, &err), size <= 8 ? MIL_ETYPE : MIL_EVALUE, &err);
        mil_tensor_free(in[0]);
        mil_tensor_free(in[1]);
    }
    mil_model_free(model);
}

/* A context goes on from shapes to others; what it made for the ones before is not in the way, what it was given is refused. */
static void contexts_meet_other_shapes(void) {
    building b = begin();
    mil_dim n;
    CHECK_OK(mil_program_symbol(b.program, &(mil_symbol){.name = "N", .min = 1, .max = 8}, &n, &err), &err);
    mil_model *model = compile(&b, op1(&b, "square", input(&b, "x", 1, &n)), NULL);
    mil_context *context = NULL;
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    for (int64_t size = 1; size <= 4; size++) {
        mil_tensor *x = tensor(1, &size, 1, 1);
        CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
        CHECK_OK(mil_context_run(context, &err), &err);
        mil_tensor *y = mil_context_output(context, 0);
        CHECK_EQ(mil_tensor_numel(y), size);
        CHECK_EQ(at(y, size - 1), (float)(size * size));
        mil_tensor_free(x);
    }
    mil_tensor *own = tensor(1, (const int64_t[]){3}, 0, 0);
    CHECK_OK(mil_context_set_output(context, 0, own, &err), &err);
    CHECK_STATUS(mil_context_run(context, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "output 0 is [4], but was given memory of shape [3]");
    CHECK(!mil_context_output(context, 0));
    mil_tensor_free(own);
    mil_context_free(context);
    mil_model_free(model);
}

static size_t count_of(const char *text, const char *word) {
    size_t n = 0;
    for (; (text = strstr(text, word)); text += strlen(word)) n++;
    return n;
}

/* x times a weight that is folded from another: the same for all sizes. */
static mil_model *many_sizes(void) {
    building b = begin();
    mil_dim n;
    CHECK_OK(mil_program_symbol(b.program, &(mil_symbol){.name = "N"}, &n, &err), &err);
    const mil_dim shape[] = {n, 64}, weight[] = {64, 64};
    mil_tensor *w = tensor(2, weight, 2, 0);
    mil_value x = input(&b, "x", 2, shape), fixed = 0;
    CHECK_OK(mil_program_const(b.program, b.body, w, NULL, (mil_where){0}, &fixed, &err), &err);
    mil_tensor_free(w);
    return compile(&b, op2(&b, "matmul", "x", x, "y", op2(&b, "mul", "x", fixed, "y", fixed)), NULL);
}

/* A model that meets many sizes keeps the plans of the last ones, and those that contexts stand on. */
static void keeps_a_few_plans(void) {
    mil_model *model = many_sizes();
    mil_context *context = NULL;
    mil_model_memory few = {0}, many = {0};
    char *text = NULL;
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    mil_tensor *held = tensor(2, (const int64_t[]){300, 64}, 1, 0);
    CHECK_OK(mil_context_set_input(context, 0, held, &err), &err);
    CHECK_OK(mil_context_run(context, &err), &err);
    for (int64_t size = 1; size <= 200; size++) {
        const int64_t now[] = {size, 64};
        mil_tensor *x = tensor(2, now, 1, 0), *y = NULL;
        CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
        CHECK_EQ(at(y, size * 64 - 1), 256);
        mil_tensor_free(x);
        mil_tensor_free(y);
        if (size == 2) mil_model_memory_use(model, &few);
    }
    mil_model_memory_use(model, &many);
    CHECK_EQ((long long)many.weights, (long long)few.weights);
    CHECK_OK(mil_model_describe(model, &text, &err), &err);
    CHECK_EQ((long long)count_of(text, "plan: "), 32);
    mil_free(text);
    CHECK_OK(mil_context_run(context, &err), &err); /* its plan is still there */
    mil_model_unload(model);
    mil_context_free(context);
    mil_tensor_free(held);
    mil_model_free(model);
}

/* A weight that depends on the size goes with its plan; nothing that was packed of it stays. */
static void forgets_what_one_size_needed(void) {
    static const char text[] = "program(1.3)\n{\n    func main<ios18>(tensor<fp32, [?, 64]> x) {\n"
        "        tensor<int32, [2]> sizes = shape(x = x);\n"
        "        tensor<int32, []> n = gather(x = sizes, indices = int32(0), axis = int32(0), batch_dims = int32(0), validate_indices = bool(true));\n"
        "        tensor<fp32, []> scale = cast(x = n, dtype = string(\"fp32\"));\n"
        "        tensor<fp32, [64, 64]> ones = fill(shape = tensor<int32, [2]>([64, 64]), value = fp32(1));\n"
        "        tensor<fp32, [64, 64]> weight = mul(x = ones, y = scale);\n"
        "        tensor<fp32, [?, 64]> y = matmul(x = x, y = weight, transpose_x = bool(false), transpose_y = bool(false));\n"
        "    } -> (y);\n}\n";
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_model_memory full = {0}, later = {0};
    if (!CHECK_OK(mil_text_parse(text, sizeof text - 1, NULL, &program, &err), &err)) return;
    CHECK_OK(mil_program_compile(program, NULL, &model, &err), &err);
    mil_program_free(program);
    for (int64_t size = 1; size <= 80; size++) {
        const int64_t now[] = {size % 2 ? 20 : 30 + size, 64};
        mil_tensor *x = tensor(2, now, 1, 0), *y = NULL;
        CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
        CHECK_EQ(at(y, 0), (float)(64 * now[0]));
        mil_tensor_free(x);
        mil_tensor_free(y);
        if (size == 70) mil_model_memory_use(model, &full);
    }
    mil_model_memory_use(model, &later);
    CHECK_EQ((long long)later.weights, (long long)full.weights);
    mil_model_free(model);
}

typedef struct crowd {
    mil_model *model;
    atomic_bool stop;
    atomic_int wrong, ran;
} crowd;

/* Sizes come and go, more than are kept, and contexts too. */
static void *run_sizes(void *arg) {
    crowd *c = arg;
    mil_context *context = NULL;
    mil_error e;
    for (int64_t size = 1; !atomic_load(&c->stop); size = size * 7 % 61) {
        if (!context && mil_context_new(c->model, &context, &e) != MIL_OK) break;
        const int64_t now[] = {size, 64};
        mil_tensor *x = tensor(2, now, 1, 0);
        mil_context_set_input(context, 0, x, &e);
        mil_status status = mil_context_run(context, &e);
        if (status == MIL_OK) atomic_fetch_add(&c->ran, 1);
        bool is_right = status == MIL_OK ? at(mil_context_output(context, 0), size * 64 - 1) == 256 : status == MIL_ESTATE;
        if (!is_right) atomic_fetch_add(&c->wrong, 1);
        mil_tensor_free(x);
        if (size > 50) mil_context_free(context), context = NULL;
    }
    mil_context_free(context);
    return NULL;
}

static void *look_on(void *arg) {
    crowd *c = arg;
    mil_error e;
    while (!atomic_load(&c->stop)) {
        char *text = NULL;
        size_t n;
        mil_model_memory memory = {0};
        if (mil_model_describe(c->model, &text, &e) == MIL_OK) mil_free(text);
        for (size_t i = 0; mil_model_step(c->model, i, &text, &n, &e) == MIL_OK && text; i++) mil_free(text);
        mil_model_memory_use(c->model, &memory);
    }
    return NULL;
}

/* Plans are made, given up and looked at by several threads, and go when the model is unloaded meanwhile. */
static void plans_in_a_crowd(void) {
    for (int round = 0; round < 2; round++) {
        crowd c = {.model = many_sizes()};
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, i < 3 ? run_sizes : look_on, &c);
        for (int waited = 0; atomic_load(&c.ran) < 150 && waited < 20000; waited++) usleep(1000);
        mil_model_unload(c.model);
        usleep(5000);
        atomic_store(&c.stop, true);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        CHECK_EQ(atomic_load(&c.wrong), 0);
        CHECK(atomic_load(&c.ran) >= 150);
        mil_model_free(c.model);
    }
}

/* Contexts whose results have sizes that depend on data. */
static void contexts_meet_other_data(void) {
    building b = begin();
    const mil_dim shape[] = {6}, one[] = {1};
    mil_value x = input(&b, "x", 1, shape), end = 0, from = 0, y = 0;
    CHECK_OK(mil_program_input(b.program, b.body, "end", MIL_INT32, 1, one, false, &end, &err), &err);
    mil_tensor *zero = NULL, *last = NULL, *in = tensor(1, shape, 1, 1);
    CHECK_OK(mil_tensor_new(MIL_INT32, 1, one, &zero, &err), &err);
    CHECK_OK(mil_tensor_new(MIL_INT32, 1, one, &last, &err), &err);
    CHECK_OK(mil_program_const(b.program, b.body, zero, NULL, (mil_where){0}, &from, &err), &err);
    mil_arg args[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = x}, {.name = "begin", .kind = MIL_ARG_VALUE, .value = from},
                      {.name = "end", .kind = MIL_ARG_VALUE, .value = end}};
    CHECK_OK(mil_program_add(b.program, b.body, mil_op_find("slice_by_index"), args, 3, NULL, (mil_where){0}, &y, 1, NULL, &err),
             &err);
    mil_model *model = compile(&b, y, NULL);
    mil_context *context = NULL;
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    CHECK_OK(mil_context_set_input(context, 0, in, &err), &err);
    CHECK_OK(mil_context_set_input(context, 1, last, &err), &err);
    for (int size = 1; size <= 6; size++) {
        *(int32_t *)mil_tensor_data(last) = size;
        CHECK_OK(mil_context_run(context, &err), &err);
        CHECK_EQ(mil_tensor_numel(mil_context_output(context, 0)), size);
        CHECK_EQ(at(mil_context_output(context, 0), size - 1), (float)size);
    }
    mil_context_free(context);
    mil_model_free(model);
    mil_tensor_free(in);
    mil_tensor_free(zero);
    mil_tensor_free(last);
}

/* Inputs and outputs that are views, and outputs that lie over inputs. */
static void strided_and_overlapping(void) {
    building b = begin();
    const mil_dim shape[] = {3, 4};
    const int perm[] = {1, 0};
    const int64_t turned[] = {4, 3};
    mil_model *model = compile(&b, op1(&b, "square", input(&b, "x", 2, shape)), NULL);
    mil_tensor *base = tensor(2, turned, 0, 1), *x = NULL;
    CHECK_OK(mil_tensor_transpose(base, perm, &x, &err), &err);
    mil_tensor *y = x; /* the same strided memory */
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
    for (int i = 0; i < 12; i++) CHECK_EQ(at(base, i), (float)(i * i));
    mil_tensor_free(x);
    mil_tensor_free(base);
    mil_model_free(model);
}

static void read_only_outputs(void) {
    building b = begin();
    const mil_dim shape[] = {4};
    mil_model *model = compile(&b, op1(&b, "relu", input(&b, "x", 1, shape)), NULL);
    mil_tensor *x = tensor(1, shape, 0, 1), *y = tensor(1, shape, 0, 0);
    mil_buffer_freeze(mil_tensor_buffer(y));
    CHECK_STATUS(mil_model_run(model, &x, &y, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "read-only");
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
}

static void contexts_repeat(void) {
    building b = begin();
    const mil_dim shape[] = {4};
    mil_model *model = compile(&b, op1(&b, "square", input(&b, "x", 1, shape)), NULL);
    mil_tensor *x = tensor(1, shape, 1, 1), *y = tensor(1, shape, 0, 0);
    mil_context *context = NULL;
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    CHECK_STATUS(mil_context_run(context, &err), MIL_EINVAL, &err); /* no input yet */
    CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
    CHECK_OK(mil_context_set_output(context, 0, y, &err), &err);
    CHECK_STATUS(mil_context_set_input(context, 1, x, &err), MIL_EINVAL, &err);
    mil_set_allocator(test_realloc, NULL); /* warm runs allocate nothing */
    CHECK_OK(mil_context_run(context, &err), &err);
    long calls = test_alloc.calls;
    for (int i = 0; i < 3; i++) {
        ((float *)mil_tensor_data(x))[0] = (float)i;
        CHECK_OK(mil_context_run(context, &err), &err);
        CHECK_EQ(at(y, 0), (float)(i * i));
    }
    CHECK_EQ(test_alloc.calls, calls);
    mil_set_allocator(NULL, NULL);
    mil_model_free(model); /* the context keeps it */
    CHECK_OK(mil_context_run(context, &err), &err);
    mil_context_free(context);
    mil_tensor_free(x);
    mil_tensor_free(y);
}

/* Ops without a kernel of their own keep their scratch, too. */
static void plain_runs_allocate_nothing_when_warm(void) {
    static const char *const ops[] = {"reduce_argmax", "softplus", "l2_norm", "square"};
    const mil_dim shape[] = {2, 3, 40};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        building b = begin();
        mil_compile_options options = MIL_COMPILE_DEFAULTS;
        options.optimize = 0; /* all of it plain */
        mil_model *model = compile(&b, op1(&b, ops[i], op1(&b, "softmax", input(&b, "x", 3, shape))), &options);
        mil_tensor *x = tensor(3, shape, 0, 0.1f);
        mil_context *context = NULL;
        CHECK_OK(mil_context_new(model, &context, &err), &err);
        CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
        mil_set_allocator(test_realloc, NULL);
        for (int k = 0; k < 3; k++) CHECK_OK(mil_context_run(context, &err), &err);
        long calls = test_alloc.calls;
        for (int k = 0; k < 3; k++) CHECK_OK(mil_context_run(context, &err), &err);
        CHECK_EQ(test_alloc.calls, calls);
        mil_set_allocator(NULL, NULL);
        mil_context_free(context);
        mil_model_free(model);
        mil_tensor_free(x);
    }
}

static void unloads(void) {
    building b = begin();
    const mil_dim shape[] = {4};
    mil_model *model = compile(&b, op1(&b, "relu", input(&b, "x", 1, shape)), NULL);
    mil_tensor *x = tensor(1, shape, 0, 1), *y = NULL;
    mil_context *context = NULL;
    CHECK_OK(mil_context_new(model, &context, &err), &err);
    CHECK_OK(mil_context_set_input(context, 0, x, &err), &err);
    mil_model_unload(model);
    mil_model_unload(model);
    CHECK_STATUS(mil_model_run(model, &x, &y, &err), MIL_ESTATE, &err);
    CHECK_HAS(err.message, "unloaded");
    CHECK_STATUS(mil_context_run(context, &err), MIL_ESTATE, &err);
    mil_context *late = NULL;
    CHECK_STATUS(mil_context_new(model, &late, &err), MIL_ESTATE, &err);
    mil_context_free(context);
    mil_tensor_free(x);
    mil_model_free(model);
}

/* Ten products of SIZE x SIZE, one after the other. */
static mil_model *long_model(int threads) {
    building b = begin();
    const mil_dim shape[] = {SIZE, SIZE};
    mil_value x = input(&b, "x", 2, shape), v = x;
    for (int i = 0; i < 10; i++) v = op1(&b, "tanh", op2(&b, "matmul", "x", v, "y", x));
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.threads = threads;
    return compile(&b, v, &options);
}

static void threads_agree(void) {
    const int64_t shape[] = {SIZE, SIZE};
    mil_tensor *x = tensor(2, shape, -0.01f, 1e-7f), *one = NULL;
    mil_model *model = long_model(1);
    CHECK_OK(mil_model_run(model, &x, &one, &err), &err);
    mil_model_free(model);
    for (int threads = 2; threads <= 5; threads++) {
        mil_tensor *several = NULL;
        model = long_model(threads);
        CHECK_OK(mil_model_run(model, &x, &several, &err), &err);
        if (several) CHECK_EQ(memcmp(mil_tensor_data(one), mil_tensor_data(several), mil_tensor_bytes(one)), 0);
        mil_tensor_free(several);
        mil_model_free(model);
    }
    mil_tensor_free(x);
    mil_tensor_free(one);
}

typedef struct runner {
    mil_model *model;
    mil_tensor *x;
    const mil_tensor *wanted;
    atomic_int wrong;
} runner;

static void *run_some(void *arg) {
    runner *r = arg;
    for (int i = 0; i < 5; i++) {
        mil_tensor *y = NULL;
        mil_error e;
        if (mil_model_run(r->model, &r->x, &y, &e) != MIL_OK ||
            memcmp(mil_tensor_data(y), mil_tensor_data(r->wanted), mil_tensor_bytes(y)) != 0)
            atomic_fetch_add(&r->wrong, 1);
        mil_tensor_free(y);
    }
    return NULL;
}

static void several_threads_run_one_model(void) {
    const int64_t shape[] = {SIZE, SIZE};
    for (int lanes = 1; lanes <= 2; lanes++) {
        mil_tensor *x = tensor(2, shape, -0.01f, 1e-7f), *wanted = NULL;
        mil_model *model = long_model(lanes);
        CHECK_OK(mil_model_run(model, &x, &wanted, &err), &err);
        runner r = {.model = model, .x = x, .wanted = wanted};
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, run_some, &r);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        CHECK_EQ(atomic_load(&r.wrong), 0);
        mil_model_free(model);
        mil_tensor_free(x);
        mil_tensor_free(wanted);
    }
}

static void *cancel_soon(void *arg) {
    usleep(3000);
    mil_cancel(arg);
    return NULL;
}

/* A run that would take long stops soon after it was cancelled; the next one runs. */
static void cancels(void) {
    const int64_t shape[] = {SIZE, SIZE};
    for (int lanes = 1; lanes <= 2; lanes++) {
        mil_model *model = long_model(lanes);
        mil_tensor *x = tensor(2, shape, 0, 1e-7f), *y = NULL;
        mil_status status = MIL_OK;
        for (int tries = 0; tries < 50 && status == MIL_OK; tries++) { /* the run may be over before */
            pthread_t thread;
            pthread_create(&thread, NULL, cancel_soon, model);
            for (int i = 0; i < 100 && status == MIL_OK; i++) status = mil_model_run(model, &x, &y, &err);
            pthread_join(thread, NULL);
        }
        CHECK_STATUS(status, MIL_ECANCELLED, &err);
        CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
        mil_tensor_free(x);
        mil_tensor_free(y);
        mil_model_free(model);
    }
}

static void limits_memory(void) {
    building b = begin();
    const mil_dim shape[] = {256, 256};
    mil_value x = input(&b, "x", 2, shape);
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.memory_limit = 1000;
    mil_model *model = compile(&b, op1(&b, "tanh", op2(&b, "matmul", "x", op2(&b, "matmul", "x", x, "y", x), "y", x)), &options);
    mil_tensor *in = tensor(2, shape, 0, 0), *y = NULL;
    CHECK_STATUS(mil_model_run(model, &in, &y, &err), MIL_ELIMIT, &err);
    CHECK_HAS(err.message, "the limit is 1000");
    mil_tensor_free(in);
    mil_model_free(model);
}

static volatile sig_atomic_t signals;
static void count_signal(int number) { (void)number, signals++; }

/* A signal that the host's only thread holds back waits for it: no thread of ours takes it. */
static void threads_leave_signals_alone(void) {
    building b = begin();
    const mil_dim shape[] = {64, 64};
    mil_value x = input(&b, "x", 2, shape);
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.threads = 3;
    mil_model *model = compile(&b, op2(&b, "matmul", "x", x, "y", x), &options);
    struct sigaction action = {.sa_handler = count_signal}, old;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigaction(SIGUSR1, &action, &old);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    kill(getpid(), SIGUSR1);
    usleep(20000);
    CHECK_EQ(signals, 0);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    CHECK_EQ(signals, 1);
    sigaction(SIGUSR1, &old, NULL);
    mil_model_free(model);
}

static void refuses_options(void) {
    building b = begin();
    const mil_dim shape[] = {2};
    mil_value out;
    mil_model *model;
    CHECK_STATUS(mil_program_compile(b.program, NULL, &model, &err), MIL_ESTATE, &err); /* no output */
    CHECK_OK(mil_program_output(b.program, b.body, "y", op1(&b, "relu", input(&b, "x", 1, shape)), &out, &err), &err);
    static const struct {
        mil_compile_options options;
        mil_status status;
        const char *message;
    } rows[] = {
        {{.engine = "gpu", .optimize = 1}, MIL_ENAME, "no engine \"gpu\""},
        {{.entry = "prefill", .optimize = 1}, MIL_ENAME, "no function \"prefill\""},
        {{.threads = -1, .optimize = 1}, MIL_EVALUE, "threads = -1"},
        {{.disable = "fold,csa", .optimize = 1}, MIL_ENAME, "did you mean cse?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_STATUS(mil_program_compile(b.program, &rows[i].options, &model, &err), rows[i].status, &err);
        CHECK_HAS(err.message, rows[i].message);
    }
    CHECK_OK(mil_program_compile(b.program, &(mil_compile_options){.disable = "fuse,cse", .optimize = 1, .threads = 1}, &model, &err), &err);
    mil_model_free(model);
    mil_program_free(b.program);
}

static void refuses_strings_at_its_border(void) {
    building b = begin();
    mil_value x = 0, out;
    mil_model *model = NULL;
    CHECK_OK(mil_program_input(b.program, b.body, "label", MIL_STRING, 0, NULL, false, &x, &err), &err);
    CHECK_OK(mil_program_output(b.program, b.body, "y", x, &out, &err), &err);
    CHECK_STATUS(mil_program_compile(b.program, NULL, &model, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "label is string; only tensors of numbers or bools");
    mil_program_free(b.program);
}

/* A child of fork has none of the pool's threads: it computes alone. */
static void forks(void) {
    const int64_t shape[] = {SIZE, SIZE};
    mil_model *model = long_model(2);
    mil_tensor *x = tensor(2, shape, -0.01f, 1e-7f), *y = NULL;
    CHECK_OK(mil_model_run(model, &x, &y, &err), &err);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        mil_tensor *mine = NULL;
        bool same = mil_model_run(model, &x, &mine, NULL) == MIL_OK &&
                    memcmp(mil_tensor_data(mine), mil_tensor_data(y), mil_tensor_bytes(y)) == 0;
        _exit(same ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
}

/* ---- what is held of a weights file ---- */

#ifdef __linux__
/* Pages of the mapping at `data` that are in this process's memory now; one line of its list says "Rss: 16384 kB". */
static long resident(const void *data) {
    char line[256];
    long kilobytes = -1;
    bool here = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file && kilobytes < 0 && fgets(line, sizeof line, file)) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) here = begin == (uintptr_t)data;
        else if (here) sscanf(line, "Rss: %ld", &kilobytes);
    }
    if (file) fclose(file);
    return kilobytes;
}

/* A weight that was packed is in the packed copy alone: the file's pages, read for it, aren't held beside that. */
static void packed_weights_are_held_once(void) {
    const int64_t sizes[][4] = {{1024, 512, 1, 1}, {1024, 512}};
    const char *const ops[] = {"conv", "linear"};
    for (int i = 0; i < 2; i++) {
        test_row = ops[i];
        char path[] = "/tmp/milXXXXXX";
        int fd = mkstemp(path);
        if (!CHECK(fd >= 0 && ftruncate(fd, 1024 * 512 * 4) == 0)) return;
        close(fd);
        mil_buffer *buffer = NULL;
        mil_tensor *weight = NULL;
        CHECK_OK(mil_buffer_map(path, &buffer, &err), &err);
        unlink(path);
        CHECK_OK(mil_tensor_over(buffer, 0, MIL_FP32, i ? 2 : 4, sizes[i], NULL, &weight, &err), &err);
        const char *data = mil_buffer_data(buffer);
        double sum = 0;
        for (size_t at = 0; at < mil_buffer_bytes(buffer); at += 4096) sum += data[at];
        CHECK_EQ(sum, 0);
        bool is_told = resident(data) == 2048; /* an emulator's list is not this process's */
        building b = begin();
        const mil_dim shape[] = {1, 512, 1, 1};
        mil_value w, x = input(&b, "x", i ? 2 : 4, shape);
        CHECK_OK(mil_program_const(b.program, b.body, weight, "w", (mil_where){0}, &w, &err), &err);
        mil_model *model = compile(&b, op2(&b, ops[i], "x", x, "weight", w), NULL);
        CHECK(!is_told || resident(data) < 64);
        mil_model_free(model);
        mil_tensor_free(weight);
        mil_buffer_free(buffer);
    }
    test_row = "";
}
#else
static void packed_weights_are_held_once(void) {} /* nothing tells what is resident */
#endif

/* ---- every allocation of a whole task fails in turn ---- */

static mil_status add1(mil_program *program, mil_block body, const char *op, mil_arg *args, size_t n, mil_value *out, mil_error *e) {
    return mil_program_add(program, body, mil_op_find(op), args, n, NULL, (mil_where){"t.lua", 1}, out, 1, NULL, e);
}

static mil_status build_task(mil_program *program, mil_error *e) {
    mil_block body;
    mil_dim shape[] = {0, 3};
    mil_value x, y, out;
    const int64_t weight_shape[] = {4, 3};
    const double weight[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    mil_status status = mil_program_function(program, "main", &body, e);
    if (status == MIL_OK) status = mil_program_symbol(program, &(mil_symbol){.name = "N"}, &shape[0], e);
    if (status == MIL_OK) status = mil_program_input(program, body, "x", MIL_FP32, 2, shape, false, &x, e);
    mil_arg linear[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = x},
                        {.name = "weight", .kind = MIL_ARG_NUMBERS, .data = weight, .n = 12, .rank = 2, .shape = weight_shape}};
    if (status == MIL_OK) status = add1(program, body, "linear", linear, 2, &y, e);
    mil_arg tanh_[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = y}};
    if (status == MIL_OK) status = add1(program, body, "tanh", tanh_, 1, &y, e);
    mil_arg softmax[] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = y}};
    if (status == MIL_OK) status = add1(program, body, "softmax", softmax, 1, &y, e);
    return status == MIL_OK ? mil_program_output(program, body, "y", y, &out, e) : status;
}

static mil_status whole_task(void *ctx, mil_error *e) {
    const int64_t shape[] = {2, 3};
    mil_program *program = NULL;
    mil_model *model = NULL;
    mil_tensor *x = NULL, *y = NULL;
    (void)ctx;
    mil_status status = mil_program_new(MIL_IOS17, &program, e);
    if (status == MIL_OK) status = build_task(program, e);
    if (status == MIL_OK) status = mil_program_compile(program, NULL, &model, e);
    if (status == MIL_OK) status = mil_tensor_new(MIL_FP32, 2, shape, &x, e);
    if (status == MIL_OK) status = mil_model_run(model, &x, &y, e);
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static void survives_failing_allocations(void) {
    CHECK_OK(whole_task(NULL, &err), &err); /* what is made once is made */
    mil_set_allocator(test_realloc, NULL);
    long failures = test_each_allocation(whole_task, NULL);
    CHECK(failures > 20);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(runs), CASE(refuses_wrong_inputs), CASE(binds_symbolic_dims), CASE(contexts_meet_other_shapes), CASE(keeps_a_few_plans), CASE(forgets_what_one_size_needed), CASE(plans_in_a_crowd),
          CASE(contexts_meet_other_data), CASE(strided_and_overlapping), CASE(read_only_outputs), CASE(contexts_repeat),
          CASE(plain_runs_allocate_nothing_when_warm), CASE(unloads), CASE(threads_agree),
          CASE(several_threads_run_one_model), CASE(cancels), CASE(limits_memory), CASE(threads_leave_signals_alone),
          CASE(refuses_options), CASE(refuses_strings_at_its_border), CASE(forks), CASE(packed_weights_are_held_once),
          CASE(survives_failing_allocations))
