/* SPDX-License-Identifier: MIT */
/* What the sources disagree about (docs/explanation/neural-engine.md), asked of this machine itself: small programs, each with its
 * answer by the cpu engine. What is found is kept, since it changes with the chip and the system alone:
 *
 *     CACHE/ane/direct-h16g-25A123.txt      luamil self-test 2 / order: right / rows: packed / ..
 *
 * A program that the compiler refuses is an answer too. What fails otherwise (too many compiles, a daemon that is busy) is none: then
 * nothing is kept, and the next process asks again. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/ane/ane.h"

/* ---- the programs: an input is of small integers, and so is what comes out, but of `powers` ---- */

#define PROGRAM(inputs, body, output) "program(1.3) { func main<ios18>(" inputs ") {" body "} -> (" output "); }"
#define P(s)          "tensor<fp16, [1, 4, 1, " s "]>"
#define NAME(n)       "[name = string(\"" n "\")];"
#define MATRIX(d)     "tensor<fp16, [4, 4, 1, 1]>([[[[" d "]], [[0]], [[0]], [[0]]], [[[0]], [[" d "]], [[0]], [[0]]],"          \
                      " [[[0]], [[0]], [[" d "]], [[0]]], [[[0]], [[0]], [[0]], [[" d "]]]])"
#define CONV(s, y, x, d, bias)                                                                                              \
    P(s) " " y " = conv(x = " x ", weight = " MATRIX(d) bias ", strides = tensor<int32, [2]>([1, 1]), pad_type = string(\"valid\"),"  \
    " pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, 1]), groups = int32(1))" NAME(y)

/* Names against their order, so that ports that are exchanged show. */
static const char order[] = PROGRAM(P("32") " b, " P("32") " a", CONV("32", "t", "b", "2", "") P("32") " y = sub(x = a, y = t)" NAME("y"), "y");
static const char rows[] = PROGRAM(P("8") " x", CONV("8", "y", "x", "2", ""), "y");
static const char concat[] = PROGRAM(P("32") " x", CONV("32", "t", "x", "2", "")
    "tensor<fp16, [1, 8, 1, 32]> y = concat(values = (x, t), axis = int32(1), interleave = bool(false))" NAME("y"), "y");
static const char bias[] = PROGRAM(P("32") " x", CONV("32", "y", "x", "2", ", bias = tensor<fp16, [4]>([1, 2, 3, 4])"), "y");
static const char cast[] = PROGRAM("tensor<fp32, [1, 4, 1, 32]> x",
    P("32") " h = cast(x = x, dtype = string(\"fp16\"))" NAME("h") CONV("32", "t", "h", "2", "")
    "tensor<fp32, [1, 4, 1, 32]> y = cast(x = t, dtype = string(\"fp32\"))" NAME("y"), "y");
static const char sums[] = PROGRAM(P("32") " x", CONV("32", "t", "x", "2", "")
    "tensor<fp16, [1, 1, 1, 32]> y = reduce_sum(x = t, axes = tensor<int32, [1]>([1]), keep_dims = bool(true))" NAME("y"), "y");
static const char powers[] = PROGRAM(P("32") " x", CONV("32", "t", "x", "2", "") P("32") " s = mul(x = t, y = t)" NAME("s")
    P("32") " a = add(x = s, y = fp16(1))" NAME("a") P("32") " y = pow(x = a, y = fp16(-0.5))" NAME("y"), "y");
static const char twice[] = PROGRAM(P("32") " x", CONV("32", "y", "x", "2", ""), "y");
static const char thrice[] = PROGRAM(P("32") " x", CONV("32", "y", "x", "3", ""), "y");

/* ---- a program, and what should come out of it ---- */

enum { MAX_PORTS = 3 };

typedef struct trial {
    mil_program *program;
    size_t n_inputs;
    mil_tensor *inputs[MAX_PORTS], *wanted, *got;
} trial;

static void free_trial(trial *t) {
    for (size_t i = 0; i < t->n_inputs; i++) mil_tensor_free(t->inputs[i]);
    mil_tensor_free(t->wanted);
    mil_tensor_free(t->got);
    mil_program_free(t->program);
}

/* As fp32 in room of the caller's. */
static mil_status read_all(const mil_tensor *tensor, float *room, bool writes) {
    mil_tensor view;
    mil__tensor_init(&view, MIL_FP32, tensor->rank, tensor->shape, room);
    return writes ? mil_tensor_copy((mil_tensor *)tensor, &view, NULL) : mil_tensor_copy(&view, tensor, NULL);
}

enum { MOST = 8 * 32 };

static mil_status make_input(const mil_port *port, size_t i, mil_tensor **out) {
    float numbers[MOST];
    for (int k = 0; k < MOST; k++) numbers[k] = (float)(10 * (int)i + (7 * k + 3) % 11 - 5);
    MIL__TRY(mil_tensor_new(port->dtype, port->rank, port->shape, out, NULL));
    return read_all(*out, numbers, true);
}

static mil_status run_on_cpu(trial *t) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    mil_model *model;
    options.engine = "cpu";
    MIL__TRY(mil_program_compile(t->program, &options, &model, NULL));
    mil_status status = MIL_OK;
    for (size_t i = 0; i < mil_model_n_inputs(model) && status == MIL_OK; i++) {
        status = make_input(mil_model_input(model, i), i, &t->inputs[i]);
        if (status == MIL_OK) t->n_inputs = i + 1;
    }
    if (status == MIL_OK) status = mil_model_run(model, t->inputs, &t->wanted, NULL);
    mil_model_free(model);
    return status;
}

static mil_status make_trial(const char *text, trial *t) {
    *t = (trial){0};
    mil_status status = mil_text_parse(text, strlen(text), NULL, &t->program, NULL);
    if (status == MIL_OK) status = run_on_cpu(t);
    if (status != MIL_OK) free_trial(t);
    return status;
}

/* Other integers are told apart where they are below 64. */
static bool is_near(float got, float wanted) { return fabsf(got - wanted) <= fabsf(wanted) / 64; }

static bool is_as_wanted(const trial *t) {
    float got[MOST], wanted[MOST];
    int64_t n = mil__numel(t->wanted);
    if (read_all(t->got, got, false) != MIL_OK || read_all(t->wanted, wanted, false) != MIL_OK) return false;
    for (int64_t i = 0; i < n; i++)
        if (!is_near(got[i], wanted[i])) return false;
    return true;
}

static mil_status run_once(trial *t, void *model) {
    static const atomic_uint never;
    const mil__cancel cancel = {.count = &never};
    void *context;
    MIL__TRY(mil__engine_ane.context_new(model, &context, NULL));
    mil_tensor_free(t->got);
    t->got = NULL;
    mil_status status = mil__engine_ane.run(context, t->inputs, &(mil_tensor *){NULL}, &t->got, &cancel, NULL);
    mil__engine_ane.context_free(context);
    return status;
}

static void drop_model(void *model) {
    mil__engine_ane.unload(model);
    mil__engine_ane.free(model);
}

static mil__ane_answer answer_of_run(trial *t, void *model) {
    mil_status status = run_once(t, model);
    if (status != MIL_OK) return status == MIL_EIO ? MIL__ANE_REFUSED : MIL__ANE_UNKNOWN;
    return is_as_wanted(t) ? MIL__ANE_RIGHT : MIL__ANE_WRONG;
}

static mil__ane_answer answer_of_compile(mil_status status) { return status == MIL_EUNSUPPORTED ? MIL__ANE_REFUSED : MIL__ANE_UNKNOWN; }

static mil__ane_answer try_program(const mil__ane_route *route, const char *text, const mil__ane_findings *so_far) {
    trial t;
    void *model;
    if (make_trial(text, &t) != MIL_OK) return MIL__ANE_UNKNOWN;
    mil_status status = mil__ane_compile_plain(route, t.program, so_far, &model, NULL);
    mil__ane_answer answer = status == MIL_OK ? answer_of_run(&t, model) : answer_of_compile(status);
    if (status == MIL_OK) drop_model(model);
    free_trial(&t);
    return answer;
}

/* ---- the questions ---- */

static mil__ane_answer try_order(const mil__ane_route *route, mil__ane_findings findings) {
    mil__ane_answer answer = try_program(route, order, &findings);
    for (int i = MIL__ANE_BY_NAME; i <= MIL__ANE_AS_WRITTEN && answer == MIL__ANE_WRONG; i++) {
        findings.order = (mil__ane_answer)i;
        if (try_program(route, order, &findings) == MIL__ANE_RIGHT) return findings.order;
    }
    return answer;
}

static mil__ane_answer try_rows(const mil__ane_route *route, mil__ane_findings findings) {
    mil__ane_answer answer = try_program(route, rows, &findings);
    findings.rows = MIL__ANE_PACKED;
    return answer == MIL__ANE_WRONG && try_program(route, rows, &findings) == MIL__ANE_RIGHT ? MIL__ANE_PACKED : answer;
}

/* Right: the new weights were used. Wrong: the old ones were, as most say. */
static mil__ane_answer try_reload(const mil__ane_route *route, const mil__ane_findings *so_far) {
    trial t;
    void *model;
    mil_program *first = NULL;
    if (mil_text_parse(twice, strlen(twice), NULL, &first, NULL) != MIL_OK) return MIL__ANE_UNKNOWN;
    mil_status status = make_trial(thrice, &t);
    if (status == MIL_OK) {
        status = mil__ane_compile_plain(route, first, so_far, &model, NULL);
        mil_status reloaded = status == MIL_OK ? mil__ane_reload(model, t.program, NULL) : status;
        mil__ane_answer answer = reloaded == MIL_OK ? answer_of_run(&t, model) : answer_of_compile(reloaded);
        if (status == MIL_OK) drop_model(model);
        free_trial(&t);
        mil_program_free(first);
        return answer;
    }
    mil_program_free(first);
    return MIL__ANE_UNKNOWN;
}

/* Weights of ten elements and more are in files, unless that is what is refused. */
static mil__ane_answer try_files(const mil__ane_route *route, mil__ane_findings findings) {
    mil__ane_answer answer = try_program(route, twice, &findings);
    findings.files = MIL__ANE_REFUSED;
    return answer == MIL__ANE_REFUSED && try_program(route, twice, &findings) != MIL__ANE_RIGHT ? MIL__ANE_UNKNOWN : answer;
}

/* True: these are answers, to be kept. Where neither two inputs nor one run at all, the rest says nothing. By the e5rt route nothing
 * is asked that is likely to be refused: the next compile may have to wait for seconds then. */
static bool ask(const mil__ane_route *route, mil__ane_findings *f) {
    if (route == &mil__ane_e5rt) f->files = try_files(route, *f);
    f->order = try_order(route, *f);
    if (f->order == MIL__ANE_UNKNOWN) return false;
    f->rows = try_rows(route, *f);
    if (f->order == MIL__ANE_REFUSED && f->rows != MIL__ANE_RIGHT && f->rows != MIL__ANE_PACKED) return false;
    f->concat = try_program(route, concat, f);
    f->bias = try_program(route, bias, f);
    bool is_known = f->rows && f->concat && f->bias;
    if (route != &mil__ane_direct) return is_known;
    f->sums = try_program(route, sums, f);
    f->powers = try_program(route, powers, f);
    f->cast = try_program(route, cast, f);
    f->reload = try_reload(route, f);
    return is_known && f->sums && f->powers && f->cast && f->reload;
}

/* ---- keeping ---- */

static const char *const words[] = {"unknown", "right", "refused", "wrong", "by name", "as written", "packed"};
static const char first_line[] = "luamil self-test 2";

static mil__ane_answer answer_named(const char *word) {
    for (size_t i = 0; i < MIL__COUNT(words); i++)
        if (strcmp(words[i], word) == 0) return (mil__ane_answer)i;
    return MIL__ANE_UNKNOWN;
}

static void put_findings(const mil__ane_findings *f, mil__str *out) {
    mil__str_printf(out, "%s\n", first_line);
#define X(name, text) mil__str_printf(out, #name ": %s\n", words[f->name]);
    MIL__ANE_TOPICS(X)
#undef X
}

static void read_line(const char *line, mil__ane_findings *f) {
    const char *colon = strstr(line, ": ");
    size_t n = colon ? (size_t)(colon - line) : 0;
#define X(name, text) \
    if (n == strlen(#name) && memcmp(line, #name, n) == 0) f->name = answer_named(colon + 2);
    MIL__ANE_TOPICS(X)
#undef X
}

/* False: there are none, or they are none of ours. */
static bool read_kept(const char *path, mil__ane_findings *out) {
    char line[100];
    FILE *file = fopen(path, "r");
    bool is_ours = false;
    for (int i = 0; file && fgets(line, sizeof line, file); i++) {
        line[strcspn(line, "\n")] = 0;
        if (i == 0) is_ours = strcmp(line, first_line) == 0;
        else if (is_ours) read_line(line, out);
    }
    if (file) fclose(file);
    return is_ours && out->order != MIL__ANE_UNKNOWN;
}

/* Where it can't be kept, the next process asks again. */
static void keep(const char *path, const mil__ane_findings *findings) {
    mil__str text = {0};
    mil__writer writer;
    put_findings(findings, &text);
    if (!text.failed && mil__writer_open(path, &writer, NULL) == MIL_OK) {
        mil__writer_add(&writer, text.s, text.n);
        mil__writer_commit(&writer, NULL);
    }
    mil__str_free(&text);
}

/* NULL: nowhere, since it is not known which chip or system this is, or there is no folder. */
static char *place_of(const mil__ane_route *route) {
    mil__ane_device device;
    char *folder = NULL, name[80], *path = NULL;
    mil__ane_device_get(&device);
    if (!*device.chip || !*device.build) return NULL;
    snprintf(name, sizeof name, "%s-%s-%s.txt", route->name, device.chip, device.build);
    if (mil__cache_folder("ane", &folder, NULL) == MIL_OK && folder) mil__path_join(folder, name, &path, NULL);
    mil__free(folder);
    return path;
}

/* ---- */

enum { MOST_ROUTES = 4 };

void mil__ane_self_test(const mil__ane_route *route, mil__ane_findings *out) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        const mil__ane_route *route;
        mil__ane_findings findings;
    } known[MOST_ROUTES];
    size_t i = 0;
    pthread_mutex_lock(&lock);
    while (known[i].route && known[i].route != route) i++;
    if (!known[i].route) {
        char *path = place_of(route);
        known[i].route = route;
        if (!(path && read_kept(path, &known[i].findings)) && ask(route, &known[i].findings) && path) keep(path, &known[i].findings);
        mil__free(path);
    }
    *out = known[i].findings;
    pthread_mutex_unlock(&lock);
}

void mil__ane_print_findings(const mil__ane_findings *f, mil__str *out) {
    const char *before = "self-test: ";
#define X(name, text)                                                          \
    if (f->name != MIL__ANE_UNKNOWN) {                                         \
        mil__str_printf(out, "%s%s %s", before, text, words[f->name]);         \
        before = ", ";                                                         \
    }
    MIL__ANE_TOPICS(X)
#undef X
    mil__str_puts(out, *before == ',' ? "\n" : "self-test: it could not be made\n");
}
