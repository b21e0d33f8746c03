/* SPDX-License-Identifier: MIT */
/* Every line of tests/vectors: calls as coremltools judges them, and values as NumPy and PyTorch compute them.
 *
 * A call is built with the public API in each opset of its line: it must be refused, or have the wanted types. Where the
 * line has values they are compared for: the call with all arguments known, which the builder folds; the compiled call at
 * optimize 0 and at the default; and, for some lines each, two threads, strided inputs and strict precision.
 * Values agree when |y - r| <= tol * |r| + k * 2^-24 * sum|terms| (fp32: tol 1e-5; fp16: 2 units in the last place).
 *
 *     vectors_test [WORD...]      only files and ops whose names have one of the words in them */
#include <dirent.h>
#include <libgen.h>

#include "vectors.h"

enum { SHOWN = 60 }; /* failures that a file may print */

typedef struct tally {
    int passed, failed;
} tally;

static tally counts;

static bool complain(const vector *v, const char *how, const char *format, ...) {
    if (counts.failed >= SHOWN) return false;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: %s (%s, %s): ", v->file, v->line, v->op, mil_opset_name(v->opset), how);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    return false;
}

/* ---- building a call ---- */

/* How arguments that are known at run time only are given. */
typedef enum given { AT_RUN_TIME, FOLDED } given;

typedef struct built {
    mil_program *program;
    mil_block body, block;    /* that calls go to */
    bool is_refused;          /* an argument was */
    mil_value variables[MAX_ITEMS]; /* of the loop whose block it is */
    mil_value results[MAX_RESULTS];
    size_t n_results;
    struct {
        char name[40];
        mil_tensor *data; /* NULL: no values */
        mil_value value;  /* 0: given as a const */
    } inputs[MAX_ARGS * 2];
    int n_inputs;
    /* what the arguments point into */
    mil_arg args[MAX_ARGS], items[MAX_ARGS][MAX_ITEMS];
    mil_tensor *consts[MAX_ARGS * 2];
    int n_consts;
} built;

static void clear(built *b) {
    for (int i = 0; i < b->n_inputs; i++) mil_tensor_free(b->inputs[i].data);
    for (int i = 0; i < b->n_consts; i++) mil_tensor_free(b->consts[i]);
    mil_program_free(b->program);
}

/* Dims of a shape: as the program's, with symbols; and as sizes, with symbols bound. */
static void dims_of(const vector *v, built *b, const shape *s, mil_dim *dims, int64_t *sizes) {
    json_t *bind = json_object_get(v->row, "bind");
    mil_error err;
    for (int i = 0; i < s->rank; i++) {
        bool fixed = is_number(s->dims[i]);
        sizes[i] = fixed ? atoll(s->dims[i]) : json_integer_value(json_object_get(bind, s->dims[i]));
        dims[i] = sizes[i];
        mil_symbol symbol = {.name = s->dims[i], .max = -1};
        if (!fixed && mil_program_symbol(b->program, &symbol, &dims[i], &err)) broken(v, err.message);
    }
}

/* The elements of an argument as base64; NULL where the line has none. */
static const char *elements_of(const vector *v, const char *name) {
    json_t *number = json_object_get(json_object_get(v->row, "data"), name);
    return number ? json_string_value(json_array_get(v->blobs, (size_t)json_integer_value(number))) : NULL;
}

static mil_arg of_tensor(built *b, mil_tensor *tensor) {
    b->consts[b->n_consts++] = tensor;
    return (mil_arg){.kind = MIL_ARG_TENSOR, .tensor = tensor};
}

static mil_arg of_input(const built *b, int i) {
    if (!b->inputs[i].value) return (mil_arg){.kind = MIL_ARG_TENSOR, .tensor = b->inputs[i].data};
    return (mil_arg){.kind = MIL_ARG_VALUE, .value = b->inputs[i].value};
}

static mil_arg of_run_time(const vector *v, built *b, const char *name, const char *type, given how) {
    shape s;
    mil_dim dims[MIL_MAX_RANK];
    int64_t sizes[MIL_MAX_RANK];
    mil_error err;
    bool is_state = strncmp(type, "state<", 6) == 0;
    if (!read_shape(type + (is_state ? 6 : 0), &s)) broken(v, type);
    dims_of(v, b, &s, dims, sizes);
    const char *data = elements_of(v, name);
    mil_tensor *tensor = data ? decoded(v, s.dtype, s.rank, sizes, data) : NULL;
    int i = b->n_inputs++;
    b->inputs[i].data = tensor;
    snprintf(b->inputs[i].name, sizeof b->inputs[i].name, "%s", name);
    for (char *c = b->inputs[i].name; *c; c++) *c = *c == '.' ? '_' : *c;
    if (how == AT_RUN_TIME &&
        mil_program_input(b->program, b->body, b->inputs[i].name, s.dtype, s.rank, dims, is_state, &b->inputs[i].value, &err)) {
        if (!is_state) broken(v, err.message);
        b->is_refused = true; /* the opset has no states */
    }
    return of_input(b, i);
}

/* "=x": what the outer call gives to x; "=0": a loop variable. */
static mil_arg of_other(const vector *v, built *b, const char *name) {
    if (is_number(name)) return (mil_arg){.kind = MIL_ARG_VALUE, .value = b->variables[atoi(name) % MAX_ITEMS]};
    for (int i = 0; i < b->n_inputs; i++)
        if (!strcmp(b->inputs[i].name, name)) return of_input(b, i);
    broken(v, name);
    return (mil_arg){0};
}

static mil_arg of_const(const vector *v, built *b, const char *name, json_t *given_) {
    shape s;
    mil_dim dims[MIL_MAX_RANK];
    int64_t sizes[MIL_MAX_RANK];
    if (!read_shape(json_string_value(json_object_get(given_, "c")), &s)) broken(v, "a const's type");
    dims_of(v, b, &s, dims, sizes);
    const char *data = elements_of(v, name);
    return of_tensor(b, data ? decoded(v, s.dtype, s.rank, sizes, data)
                             : written(v, s.dtype, s.rank, sizes, json_object_get(given_, "v")));
}

static mil_arg of_words(const vector *v, built *b, json_t *words) {
    const char *texts[MAX_ITEMS];
    size_t lengths[MAX_ITEMS], n = json_array_size(words);
    mil_tensor *tensor = NULL;
    mil_error err;
    for (size_t i = 0; i < n; i++) texts[i] = json_string_value(json_array_get(words, i)), lengths[i] = strlen(texts[i]);
    if (mil_tensor_strings(1, n, texts, lengths, &tensor, &err)) broken(v, err.message);
    return of_tensor(b, tensor);
}

static mil_arg of_json(const vector *v, built *b, const char *name, json_t *given_, mil_arg *items, given how);

/* The result of another call. */
static mil_arg of_call(const vector *v, built *b, json_t *call, given how) {
    mil_arg args[MAX_ARGS], items[MAX_ITEMS];
    mil_value value;
    mil_error err;
    const char *name;
    json_t *each;
    size_t n = 0;
    json_object_foreach(json_object_get(call, "in"), name, each) {
        args[n] = of_json(v, b, name, each, items, how);
        args[n++].name = name;
    }
    const mil_op *op = mil_op_find(json_string_value(json_object_get(call, "op")));
    if (mil_program_add(b->program, b->block, op, args, n, NULL, (mil_where){0}, &value, 1, &n, &err)) broken(v, err.message);
    return (mil_arg){.kind = MIL_ARG_VALUE, .value = value};
}

/* items: room for those of a tuple, if it is one. */
static mil_arg of_json(const vector *v, built *b, const char *name, json_t *given_, mil_arg *items, given how) {
    const char *word = json_string_value(given_);
    if (word && *word == '=') return of_other(v, b, word + 1);
    if (word) return of_run_time(v, b, name, word, how);
    if (json_object_get(given_, "op")) return of_call(v, b, given_, how);
    json_t *text = json_object_get(given_, "s");
    if (text) {
        return (mil_arg){.kind = MIL_ARG_STRING, .data = json_string_value(text), .n = json_string_length(text)};
    }
    if (json_object_get(given_, "l")) return of_words(v, b, json_object_get(given_, "l"));
    if (!json_is_array(given_)) return of_const(v, b, name, given_);
    for (size_t i = 0; i < json_array_size(given_); i++) {
        char item[48];
        snprintf(item, sizeof item, "%s.%zu", name, i);
        items[i] = of_json(v, b, item, json_array_get(given_, i), NULL, how);
    }
    return (mil_arg){.kind = MIL_ARG_TUPLE, .items = items, .n = json_array_size(given_)};
}

/* A block that gives these; a loop's takes its variables. */
static mil_block of_gives(const vector *v, built *b, json_t *gives, given how) {
    mil_block block;
    mil_error err;
    const mil_arg *vars = !strcmp(v->op, "while_loop") && b->args[0].kind == MIL_ARG_TUPLE ? &b->args[0] : NULL;
    if (mil_program_block(b->program, b->body, &block, &err)) broken(v, err.message);
    for (size_t i = 0; vars && i < vars->n; i++)
        if (mil_program_block_input(b->program, block, ((const mil_arg *)vars->items)[i].value, &b->variables[i], &err))
            broken(v, err.message);
    b->block = block;
    for (size_t i = 0; i < json_array_size(gives); i++) {
        mil_arg given_ = of_json(v, b, "block", json_array_get(gives, i), NULL, how);
        if (mil_program_block_output(b->program, block, given_.value, &err)) broken(v, err.message);
    }
    b->block = b->body;
    return block;
}

/* The call, of an op that holds blocks. */
static mil_status build_nested(const vector *v, built *b, json_t *blocks, size_t n_args, given how, mil_error *err) {
    mil_block made[2];
    size_t n = json_array_size(blocks);
    for (size_t i = 0; i < n && i < 2; i++) made[i] = of_gives(v, b, json_array_get(blocks, i), how);
    return mil_program_add_nested(b->program, b->body, mil_op_find(v->op), b->args, n_args, made, n, NULL, (mil_where){0},
                                  b->results, MAX_RESULTS, &b->n_results, err);
}

/* Adds the call to a program of its own; what the call makes of it is the status. */
static mil_status build(const vector *v, given how, built *b, mil_error *err) {
    *b = (built){0};
    if (mil_program_new(v->opset, &b->program, err)) broken(v, err->message);
    if (mil_program_function(b->program, "main", &b->body, err)) broken(v, err->message);
    b->block = b->body;
    const char *name;
    json_t *each, *blocks = json_object_get(v->row, "blocks");
    size_t n = 0;
    json_object_foreach(json_object_get(v->row, "inputs"), name, each) of_run_time(v, b, name, json_string_value(each), how);
    json_object_foreach(json_object_get(v->row, "in"), name, each) {
        b->args[n] = of_json(v, b, name, each, b->items[n], how);
        b->args[n++].name = name;
    }
    if (b->is_refused) return MIL_ETYPE;
    if (blocks) return build_nested(v, b, blocks, n, how, err);
    return mil_program_add(b->program, b->body, mil_op_find(v->op), b->args, n, NULL, (mil_where){0}, b->results,
                           MAX_RESULTS, &b->n_results, err);
}

/* ---- types ---- */

/* Where coremltools does not know a dim we may, if a run shows that it is right. */
static bool same_dim(const vector *v, const char *wanted, const char *got) {
    if (!strcmp(wanted, "?")) return !is_number(got) || json_object_get(v->row, "want");
    return !strcmp(wanted, got) || (!is_number(wanted) && !is_number(got) && same_formula(wanted, got));
}

/* "fp32[2]" of "list<fp32[2], ?>", whose length is not compared: lists grow. */
static void element_of(const char *list, char *out, size_t n) {
    const char *type = list + strlen("list<"), *end = strchr(type, ']');
    size_t length = end ? (size_t)(end + 1 - type) : strcspn(type, ",>");
    snprintf(out, n, "%.*s", (int)length, type);
}

static bool same_type(const vector *v, const char *wanted, const char *got) {
    shape one, two;
    char first[100], second[100];
    bool is_list = strncmp(wanted, "list<", 5) == 0;
    if (is_list != (strncmp(got, "list<", 5) == 0)) return false;
    if (is_list) {
        element_of(wanted, first, sizeof first);
        element_of(got, second, sizeof second);
        return same_type(v, first, second);
    }
    if (strchr(wanted, '<')) return !strcmp(wanted, got);
    if (!read_shape(wanted, &one) || !read_shape(got, &two)) return false;
    if (one.dtype != two.dtype || one.rank != two.rank) return false;
    for (int i = 0; i < one.rank; i++)
        if (!same_dim(v, one.dims[i], two.dims[i])) return false;
    return true;
}

static bool check_types(const vector *v, const built *b) {
    json_t *out = json_object_get(v->row, "out");
    char got[300];
    if (b->n_results != json_array_size(out)) {
        return complain(v, "types", "%zu results, wanted %zu", b->n_results, json_array_size(out));
    }
    for (size_t i = 0; i < b->n_results; i++) {
        const char *wanted = json_string_value(json_array_get(out, i));
        mil_program_type_text(b->program, mil_value_type(b->program, b->results[i]), got, sizeof got);
        if (!same_type(v, wanted, got)) return complain(v, "types", "result %zu is %s, wanted %s", i, got, wanted);
    }
    return true;
}

static bool check_call(const vector *v, built *b) {
    mil_error err = {0};
    mil_status status = build(v, AT_RUN_TIME, b, &err);
    json_t *refused = json_object_get(v->row, "refused");
    if (refused && status) return true;
    if (!refused && !status) return check_types(v, b);
    if (status) {
        char *wanted = json_dumps(json_object_get(v->row, "out"), JSON_COMPACT);
        complain(v, "types", "%s; wanted %s", err.message, wanted);
        free(wanted);
        return false;
    }
    char got[300];
    mil_program_type_text(b->program, mil_value_type(b->program, b->results[0]), got, sizeof got);
    return complain(v, "types", "accepted as %s; wanted it refused: %s", got, json_string_value(refused));
}

/* ---- values ---- */

/* How far y may be from r, or -1 where it must not be compared by distance (infinities, NaN, exact dtypes). */
static bool near_enough(mil_dtype dtype, double y, double r, double slack, double tol) {
    if (isnan(r) || isnan(y)) return isnan(r) && isnan(y);
    if (dtype != MIL_FP32 && dtype != MIL_FP16) return y == r;
    double top = dtype == MIL_FP16 ? 65504 : 3.4028234663852886e38;
    double bound = dtype == MIL_FP16 ? 2 * half_ulp(r) : 1e-5 * fabs(r) + 1.5e-45;
    if (isfinite(r)) bound += tol * fabs(r) + slack;
    if (isinf(y)) return (y > 0) == (r > 0) && fabs(r) + bound >= top;
    if (fabs(r) > top) return (y > 0) == (r > 0) && fabs(y) >= top * (1 - 1e-3);
    return fabs(y - r) <= bound;
}

static bool check_shape(const vector *v, const char *how, const mil_tensor *got, json_t *sizes) {
    bool same = (size_t)mil_tensor_rank(got) == json_array_size(sizes);
    for (int i = 0; same && i < mil_tensor_rank(got); i++)
        same = mil_tensor_shape(got)[i] == json_integer_value(json_array_get(sizes, (size_t)i));
    if (same) return true;
    char *wanted = json_dumps(sizes, JSON_COMPACT);
    complain(v, how, "rank %d, first size %lld; wanted shape %s", mil_tensor_rank(got),
             mil_tensor_rank(got) ? (long long)mil_tensor_shape(got)[0] : 0, wanted);
    free(wanted);
    return false;
}

/* The sizes of terms are a byte each: n stands for 2^((n - 128) / 4), 0 for 0. */
static double size_of_terms(const uint8_t *s, int64_t i) { return s[i] ? exp2((s[i] - 128) / 4.0) : 0; }

/* Results against the wanted ones; says which element is worst. */
static bool check_result(const vector *v, const char *how, const mil_tensor *got, json_t *want) {
    mil_dtype dtype = mil_tensor_dtype(got);
    bool is_float = dtype == MIL_FP32 || dtype == MIL_FP16;
    int64_t n = mil_tensor_numel(got), worst = -1, bad = 0;
    if (!check_shape(v, how, got, json_object_get(want, "shape"))) return false;
    if (!mil_tensor_is_contiguous(got)) return complain(v, how, "the result is not contiguous");
    mil_dtype stored = is_float ? MIL_FP32 : dtype;
    const char *sizes = json_string_value(json_object_get(want, "s"));
    double k = json_number_value(json_object_get(want, "k")), tol = json_number_value(json_object_get(v->row, "tol"));
    mil_tensor *r = decoded(v, stored, mil_tensor_rank(got), mil_tensor_shape(got), json_string_value(json_object_get(want, "r")));
    mil_tensor *s = sizes ? decoded(v, MIL_UINT8, mil_tensor_rank(got), mil_tensor_shape(got), sizes) : NULL;
    double most = -1;
    for (int64_t i = 0; i < n; i++) {
        double y = element(dtype, mil_tensor_data(got), i), wanted = element(stored, mil_tensor_data(r), i);
        double slack = s ? k * 0x1p-24 * size_of_terms(mil_tensor_data(s), i) : 0;
        if (near_enough(dtype, y, wanted, slack, tol)) continue;
        double off = isfinite(y) && isfinite(wanted) ? fabs(y - wanted) / (fabs(wanted) + 1e-30) : INFINITY;
        if (off > most) most = off, worst = i;
        bad++;
    }
    if (bad) {
        complain(v, how, "%lld of %lld elements differ; at %lld: got %.9g, wanted %.9g", (long long)bad, (long long)n,
                 (long long)worst, element(dtype, mil_tensor_data(got), worst), element(stored, mil_tensor_data(r), worst));
    }
    mil_tensor_free(r);
    mil_tensor_free(s);
    return !bad;
}

/* The builder computes results whose arguments are all known, but those of compressed consts. */
static bool check_folded(const vector *v) {
    built b;
    mil_error err = {0};
    if (build(v, FOLDED, &b, &err)) {
        /* two consts of different dtypes are more than matmul takes from ios17 on */
        bool ok = !strcmp(v->op, "matmul") || complain(v, "folded", "%s", err.message);
        clear(&b);
        return ok;
    }
    json_t *want = json_object_get(v->row, "want");
    bool ok = b.n_results == json_array_size(want) || complain(v, "folded", "%zu results", b.n_results);
    for (size_t i = 0; ok && i < b.n_results; i++) {
        const mil_tensor *data = mil_value_data(b.program, b.results[i]);
        if (strncmp(v->op, "constexpr_", 10) == 0) ok = !data || complain(v, "folded", "computed");
        else ok = data ? check_result(v, "folded", data, json_array_get(want, i)) : complain(v, "folded", "not computed");
    }
    clear(&b);
    return ok;
}

/* The same elements, every second of a larger tensor along the last axis. */
static mil_tensor *spread(const vector *v, mil_tensor *tensor) {
    int rank = mil_tensor_rank(tensor);
    int64_t sizes[MIL_MAX_RANK], begin[MIL_MAX_RANK] = {0}, step[MIL_MAX_RANK];
    mil_error err;
    for (int i = 0; i < rank; i++) sizes[i] = mil_tensor_shape(tensor)[i], step[i] = 1;
    if (rank == 0 || mil_tensor_numel(tensor) == 0) return mil_tensor_retain(tensor);
    sizes[rank - 1] *= 2, begin[rank - 1] = 1, step[rank - 1] = 2;
    mil_tensor *wide = fresh(v, mil_tensor_dtype(tensor), rank, sizes), *view = NULL;
    if (mil_tensor_slice(wide, begin, mil_tensor_shape(tensor), step, &view, &err)) broken(v, err.message);
    mil_tensor_free(wide);
    if (mil_tensor_copy(view, tensor, &err)) broken(v, err.message);
    return view;
}

static mil_tensor *input_named(const built *b, const char *name) {
    for (int i = 0; i < b->n_inputs; i++)
        if (!strcmp(b->inputs[i].name, name)) return b->inputs[i].data;
    return NULL;
}

static bool run(const vector *v, const built *b, const char *how, mil_model *model, bool strided) {
    mil_tensor *inputs[MAX_ARGS * 2] = {0}, *outputs[MAX_RESULTS] = {0};
    size_t n_in = mil_model_n_inputs(model), n_out = mil_model_n_outputs(model);
    mil_error err = {0};
    for (size_t i = 0; i < n_in; i++) {
        mil_tensor *data = input_named(b, mil_model_input(model, i)->name);
        inputs[i] = strided ? spread(v, data) : mil_tensor_retain(data);
    }
    bool ok = !mil_model_run(model, inputs, outputs, &err) || complain(v, how, "%s", err.message);
    for (size_t i = 0; ok && i < n_out; i++)
        ok = check_result(v, how, outputs[i], json_array_get(json_object_get(v->row, "want"), i));
    for (size_t i = 0; i < n_in; i++) mil_tensor_free(inputs[i]);
    for (size_t i = 0; i < n_out; i++) mil_tensor_free(outputs[i]);
    return ok;
}

static bool check_run(const vector *v, const built *b, const char *how, mil_compile_options options, bool strided) {
    mil_model *model = NULL;
    mil_error err = {0};
    if (mil_program_compile(b->program, &options, &model, &err)) return complain(v, how, "%s", err.message);
    bool ok = run(v, b, how, model, strided);
    mil_model_free(model);
    return ok;
}

static bool check_values(const vector *v, built *b) {
    mil_error err;
    for (size_t i = 0; i < b->n_results; i++) {
        char name[32];
        snprintf(name, sizeof name, "result_%zu", i);
        if (mil_program_output(b->program, b->body, name, b->results[i], &b->results[i], &err))
            return complain(v, "output", "%s", err.message);
    }
    mil_compile_options plain = {.engine = "cpu", .threads = 1}, all = {.engine = "cpu", .threads = 1, .optimize = 1};
    mil_compile_options two = {.engine = "cpu", .threads = 2, .optimize = 1};
    mil_compile_options strict = {.engine = "cpu", .threads = 1, .optimize = 1, .precision = MIL_PRECISION_STRICT};
    return check_folded(v) && check_run(v, b, "optimize 0", plain, false) && check_run(v, b, "optimized", all, false) &&
           (v->line % 5 || check_run(v, b, "2 threads", two, false)) &&
           (v->line % 4 || check_run(v, b, "strided", all, true)) &&
           (v->line % 7 || check_run(v, b, "strict", strict, false));
}

/* ---- files ---- */

static bool chosen(const char *file, const char *op, char **words, int n) {
    for (int i = 0; i < n; i++)
        if (strstr(file, words[i]) || (op && !strcmp(op, words[i]))) return true;
    return n == 0;
}

static void check_line(const char *file, int line, json_t *row, json_t *blobs, char **words, int n_words) {
    vector v = {.file = file, .line = line, .row = row, .blobs = blobs, .op = json_string_value(json_object_get(row, "op"))};
    size_t i;
    json_t *opset;
    if (!v.op || !chosen(file, v.op, words, n_words)) return;
    json_array_foreach(json_object_get(row, "opsets"), i, opset) {
        v.opset = (mil_opset)json_integer_value(opset);
        if (!mil_op_find(v.op)) {
            complain(&v, "op", "no such op");
            counts.failed++;
            continue;
        }
        built b;
        bool ok = check_call(&v, &b) && (!json_object_get(row, "want") || check_values(&v, &b));
        clear(&b);
        counts.passed += ok, counts.failed += !ok;
    }
}

/* A value of a line, with the parts that lines share in the place of their numbers. */
static json_t *whole(json_t *value, json_t *shared) {
    const char *name;
    size_t i;
    json_t *each, *number = json_object_get(value, "@");
    if (number) return json_array_get(shared, (size_t)json_integer_value(number));
    json_object_foreach(value, name, each) json_object_set(value, name, whole(each, shared));
    json_array_foreach(value, i, each) json_array_set(value, i, whole(each, shared));
    return value;
}

static void check_file(const char *path, char **words, int n_words) {
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    json_t *blobs = NULL, *shared = NULL;
    counts = (tally){0};
    for (int line = 1; file && getline(&text, &room, file) >= 0; line++) {
        json_error_t err;
        json_t *row = json_loads(text, 0, &err);
        if (!row) broken(&(vector){.file = path, .line = line}, err.text);
        if (line == 1) {
            blobs = json_incref(json_object_get(row, "blobs"));
            shared = json_incref(json_object_get(row, "shared"));
        } else {
            check_line(path, line, whole(row, shared), blobs, words, n_words);
        }
        json_decref(row);
    }
    json_decref(blobs);
    json_decref(shared);
    free(text);
    if (file) fclose(file);
}

static int is_vectors(const struct dirent *entry) {
    const char *ending = strrchr(entry->d_name, '.');
    return ending && !strcmp(ending, ".jsonl");
}

int main(int argc, char **argv) {
    char here[] = __FILE__, path[4096];
    struct dirent **files;
    int n = scandir((snprintf(path, sizeof path, "%s/../vectors", dirname(here)), path), &files, is_vectors, alphasort);
    tally sum = {0};
    char engine[100] = "";
    mil_engine_describe("cpu", engine, sizeof engine);
    printf("values on %s\n", engine);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/../vectors/%s", here, files[i]->d_name);
        check_file(path, argv + 1, argc - 1);
        if (counts.passed + counts.failed) printf("%s: %d passed, %d failed\n", files[i]->d_name, counts.passed, counts.failed);
        sum.passed += counts.passed, sum.failed += counts.failed;
        free(files[i]);
    }
    if (n > 0) free(files);
    if (n <= 0) sum.failed++, fprintf(stderr, "no vectors found\n");
    printf("%s: %d passed, %d failed\n", __FILE__, sum.passed, sum.failed);
    return sum.failed != 0;
}
