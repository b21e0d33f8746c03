/* SPDX-License-Identifier: MIT */
/* Changing programs: each edit, its errors, edits with memory that runs out, and long random sequences of edits, after which
 * the program verifies and computes what it did, or is what the parser makes of its text. */
#include "test.h"

#include "program/program.h"

static mil_error err;

/* ---- programs as text, values by name ---- */

static mil_program *parse(const char *body) {
    char text[4096];
    mil_program *program = NULL;
    int n = snprintf(text, sizeof text, "program(1.3)\n{ func main<ios18>%s; }", body);
    CHECK_OK(mil_text_parse(text, (size_t)n, NULL, &program, &err), &err);
    return program;
}

static mil_block body_of(const mil_program *p) { return mil_program_function_at(p, 0); }
static mil_value value(const mil_program *p, const char *name) { return mil_value_find(p, body_of(p), name); }
static mil_operation operation(const mil_program *p, const char *name) { return mil_value_operation(p, value(p, name)); }

/* Lines "y : type = op(args)" of all operations but consts. */
static const char *shown(const mil_program *p) {
    static char text[8192];
    size_t n = 0;
    text[0] = 0;
    for (mil_operation at = mil_block_first(p, body_of(p)); at; at = mil_operation_after(p, at)) {
        if (mil_operation_n_args(p, at) == 0) continue;
        n += (size_t)mil_value_describe(p, mil_operation_output(p, at, 0), text + n, sizeof text - n);
        n += (size_t)snprintf(text + n, sizeof text - n, "; ");
    }
    return text;
}

static mil_status add(mil_program *p, const char *op, mil_value x, const char *name, mil_value *out) {
    mil_arg arg = {.name = "x", .kind = MIL_ARG_VALUE, .value = x};
    size_t n;
    return mil_program_add(p, body_of(p), mil_op_find(op), &arg, 1, name, (mil_where){0}, out, 1, &n, &err);
}

static mil_status replace(mil_program *p, const char *old, const char *with) {
    return mil_value_replace(p, value(p, old), value(p, with), NULL, 0, &err);
}

static void checked(mil_program *p) {
    CHECK_OK(mil_program_verify(p, &err), &err);
    mil_program_free(p);
}

/* ---- rows: a program, an edit, what is there then; or the error, and the program as it was ---- */

typedef enum edit { REPLACE, SET, REMOVE, RETYPE, REPLACE_INSIDE, REMOVE_INPUT, REMOVE_OUTPUT, PRUNE } edit;

typedef struct row {
    const char *program;
    edit edit;
    const char *subject, *other;   /* names; SET: argument and number */
    mil_status status;
    const char *wanted;            /* operations, or the message */
} row;

#define CHAIN "(tensor<fp32, [2, 3]> x, tensor<fp32, [2, 3]> z) {\n tensor<fp32, [2, 3]> a = relu(x = x);\n" \
              "tensor<fp32, [2, 3]> b = exp(x = a);\n tensor<fp32, [2, 3]> c = add(x = a, y = b);\n } -> (c)"
#define SUM "(tensor<fp32, [2, 3]> x, tensor<fp32, [2, 4]> w) {\n tensor<fp32, [2]> a = reduce_sum(x = x, axes = tensor<int32, [1]>([1])," \
            "keep_dims = bool(false));\n tensor<fp32, [2]> b = relu(x = a);\n tensor<fp32, [2]> c = square(x = b);\n } -> (c)"

#define BRANCHES "(tensor<fp32, [2, 3]> x, tensor<bool, []> p, tensor<fp32, [2, 4]> w) {\n tensor<fp32, [2, 3]> a = relu(x = x);\n" \
                 "tensor<fp32, [2, 3]> c = cond(pred = p)\n () { tensor<fp32, [2, 3]> in_0 = exp(x = a); } -> (in_0),\n" \
                 "() { tensor<fp32, [2, 3]> in_1 = exp(x = x); } -> (in_1);\n tensor<fp32, [2, 3]> d = exp(x = c);\n } -> (d)"

static const row rows[] = {
    {BRANCHES, REPLACE_INSIDE, "in_1", "w", MIL_ETYPE, "replace: c would fail: cond: value 0 is fp32[2, 3] where pred is true, but fp32[2, 4] where"},
    {BRANCHES, REPLACE_INSIDE, "in_0", "d", MIL_ESTATE, "replace: c uses in_0, but d is not defined yet there"},
    {BRANCHES, RETYPE, "x", "fp32 2 5", MIL_OK, "a : fp32[2, 5] = relu(x = x); c : fp32[2, 5] = cond(pred = p); "
     "in_0 : fp32[2, 5] = exp(x = a); in_1 : fp32[2, 5] = exp(x = x); d : fp32[2, 5] = exp(x = c); "},
    {CHAIN, REPLACE, "a", "x", MIL_OK, "a : fp32[2, 3] = relu(x = x); b : fp32[2, 3] = exp(x = x); c : fp32[2, 3] = add(x = x, y = b); "},
    {CHAIN, REPLACE, "a", "b", MIL_OK, "a : fp32[2, 3] = relu(x = x); b : fp32[2, 3] = exp(x = a); c : fp32[2, 3] = add(x = b, y = b); "},
    {CHAIN, REPLACE, "x", "c", MIL_OK, "a : fp32[2, 3] = relu(x = x); b : fp32[2, 3] = exp(x = a); c : fp32[2, 3] = add(x = a, y = b); "},
    {CHAIN, REPLACE, "c", "b", MIL_OK, "a : fp32[2, 3] = relu(x = x); c : fp32[2, 3] = exp(x = a); c_0 : fp32[2, 3] = add(x = a, y = c); "},
    {CHAIN, REPLACE, "c", "x", MIL_OK, "a : fp32[2, 3] = relu(x = x); b : fp32[2, 3] = exp(x = a); "
                                       "c_0 : fp32[2, 3] = add(x = a, y = b); c : fp32[2, 3] = identity(x = x); "},
    {CHAIN, REPLACE, "c", "c", MIL_OK, "a : fp32[2, 3] = relu(x = x); b : fp32[2, 3] = exp(x = a); c : fp32[2, 3] = add(x = a, y = b); "},
    {CHAIN, REPLACE, "a", "nobody", MIL_ESTATE, "replace: the value is no longer part of this program"},
    {SUM, REPLACE, "x", "w", MIL_OK, "a : fp32[2] = reduce_sum(x = w, axes = {1}, keep_dims = false); b : fp32[2] = relu(x = a); c : fp32[2] = square(x = b); "},
    {SUM, REPLACE, "a", "w", MIL_OK, "a : fp32[2] = reduce_sum(x = x, axes = {1}, keep_dims = false); b : fp32[2, 4] = relu(x = w); c : fp32[2, 4] = square(x = b); "},
    {SUM, SET, "a", "axes", MIL_OK, "a : fp32[3] = reduce_sum(x = x, axes = {0}, keep_dims = false); b : fp32[3] = relu(x = a); c : fp32[3] = square(x = b); "},
    {SUM, SET, "a", "axis", MIL_ENAME, "reduce_sum: no parameter \"axis\"; did you mean axes?"},
    {SUM, SET, "b", "y", MIL_ENAME, "relu: no parameter \"y\""},
    {SUM, REMOVE, "c", NULL, MIL_ESTATE, "remove: c is an output"},
    {SUM, REMOVE, "a", NULL, MIL_ESTATE, "remove: a is used by b"},
    {SUM, RETYPE, "x", "fp16 5 7", MIL_OK, "a : fp16[5] = reduce_sum(x = x, axes = {1}, keep_dims = false); b : fp16[5] = relu(x = a); c : fp16[5] = square(x = b); "},
    {SUM, RETYPE, "a", "fp16 5 7", MIL_ESTATE, "retype: a is no input of a function"},
    {SUM, RETYPE, "x", "bool 5 7", MIL_ETYPE, "retype: a would fail: reduce_sum: "},
    {CHAIN, RETYPE, "x", "fp32 3 3", MIL_OK, "a : fp32[3, 3] = relu(x = x); b : fp32[3, 3] = exp(x = a); c : fp32[3, 3] = add(x = a, y = b); "},
    {CHAIN, REMOVE_INPUT, "x", NULL, MIL_ESTATE, "remove: x is used by a"},
    {CHAIN, REMOVE_INPUT, "z", NULL, MIL_OK, "a : fp32[2, 3] = relu(x = x); b : fp32[2, 3] = exp(x = a); c : fp32[2, 3] = add(x = a, y = b); "},
    {CHAIN, REMOVE_INPUT, "a", NULL, MIL_ESTATE, "remove_input: a is no input of a function"},
    {CHAIN, REMOVE_OUTPUT, "a", NULL, MIL_ESTATE, "remove_output: a is no output of a function"},
    {"(tensor<fp32, [2]> x) { tensor<fp32, [2]> a = relu(x = x);\n tensor<fp32, [2]> b = exp(x = x);\n } -> (a, b)",
     REMOVE_OUTPUT, "a", NULL, MIL_OK, "a : fp32[2] = relu(x = x); b : fp32[2] = exp(x = x); "},
    {"(tensor<fp32, [2]> x) { tensor<fp32, [2]> a = relu(x = x);\n tensor<fp32, [2]> b = exp(x = a);\n tensor<fp32, [2]> c = exp(x = x);\n } -> (c)",
     PRUNE, NULL, NULL, MIL_OK, "c : fp32[2] = exp(x = x); "},
    {"(tensor<fp32, [2]> x) { tensor<fp32, [2]> a = relu(x = x);\n tensor<fp32, [2]> b = exp(x = x);\n } -> (b)",
     REMOVE, "a", NULL, MIL_OK, "b : fp32[2] = exp(x = x); "},
    {"(tensor<fp32, [4]> x) { tensor<fp32, [2, 2]> a = reshape(x = x, shape = tensor<int32, [2]>([2, 2]));\n tensor<fp32, [2, 2]> b = exp(x = a);\n } -> (b)",
     RETYPE, "x", "fp32 2 3", MIL_ETYPE, "retype: a would fail: reshape: the elements of x fp32[2, 3] do not fill shape [2, 2]"},
};

/* A value of a block of the operation that makes c. */
static mil_value value_inside(const mil_program *p, const char *name) {
    mil_operation holder = operation(p, "c");
    mil_value found = 0;
    for (size_t i = 0; i < mil_operation_n_blocks(p, holder) && !found; i++) {
        mil_block block = mil_operation_nested(p, holder, i);
        for (mil_operation at = mil_block_first(p, block); at && !found; at = mil_operation_after(p, at)) {
            mil_value made = mil_operation_output(p, at, 0);
            if (strcmp(mil_value_name(p, made), name) == 0) found = made;
        }
    }
    return found;
}

static mil_status retype(mil_program *p, const row *r) {
    char dtype[16];
    int64_t shape[2];
    long long a, b;
    sscanf(r->other, "%15s %lld %lld", dtype, &a, &b);
    shape[0] = a, shape[1] = b;
    mil_retype to = {value(p, r->subject), mil_dtype_find(dtype), 2, shape};
    return mil_program_retype(p, &to, 1, &err);
}

static mil_status apply(mil_program *p, const row *r) {
    static const int64_t zero = 0;
    mil_arg arg = {.name = r->other, .kind = MIL_ARG_INTS, .data = &zero, .n = 1, .rank = 1};
    switch (r->edit) {
    case REPLACE: return replace(p, r->subject, r->other);
    case SET: return mil_operation_set(p, operation(p, r->subject), &arg, &err);
    case REMOVE: return mil_operation_remove(p, operation(p, r->subject), &err);
    case RETYPE: return retype(p, r);
    case REPLACE_INSIDE: return mil_value_replace(p, value_inside(p, r->subject), value(p, r->other), NULL, 0, &err);
    case REMOVE_INPUT: return mil_program_remove_input(p, value(p, r->subject), &err);
    case REMOVE_OUTPUT: return mil_program_remove_output(p, value(p, r->subject), &err);
    case PRUNE: return mil_program_prune(p, &err);
    }
    return MIL_EINVAL;
}

static void edits(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64], *before = NULL, *after = NULL;
        snprintf(name, sizeof name, "row %zu", i);
        test_row = name;
        mil_program *p = parse(rows[i].program);
        if (!p) continue;
        CHECK_OK(mil_text_print(p, &before, NULL, &err), &err);
        CHECK_STATUS(apply(p, &rows[i]), rows[i].status, &err);
        if (rows[i].status == MIL_OK) {
            CHECK_EQ(shown(p), rows[i].wanted);
        } else {
            CHECK_HAS(err.message, rows[i].wanted);
            CHECK_OK(mil_text_print(p, &after, NULL, &err), &err);
            CHECK_EQ(after, (const char *)before);
        }
        mil_free(before);
        mil_free(after);
        checked(p);
    }
}

/* What comes before an operation with blocks has no name that they have: the text would not be read again. */
static void names_beside_blocks(void) {
    mil_program *p = parse(BRANCHES);
    CHECK_STATUS(mil_value_rename(p, value(p, "a"), "in_0", &err), MIL_ENAME, &err);
    CHECK_HAS(err.message, "the name \"in_0\" is taken");
    CHECK_OK(mil_value_rename(p, value_inside(p, "in_1"), "exp_0", &err), &err);
    mil_value made = 0;
    CHECK_OK(mil_block_insert(p, body_of(p), operation(p, "c"), &err), &err);
    CHECK_OK(add(p, "exp", value(p, "a"), NULL, &made), &err);
    CHECK_EQ(mil_value_name(p, made), (const char *)"exp_1");
    CHECK_OK(mil_block_insert(p, body_of(p), 0, &err), &err);
    checked(p);
}

/* Names stand in the right places after an output was replaced, and nothing of the old ones stays. */
static void names(void) {
    mil_program *p = parse(CHAIN);
    mil_value c = value(p, "c"), b = value(p, "b");
    CHECK_OK(replace(p, "c", "b"), &err);
    CHECK_EQ(value(p, "c"), b);
    CHECK_EQ(value(p, "c_0"), c);
    CHECK_EQ(value(p, "b"), 0);
    CHECK(mil_value_is_output(p, b) && !mil_value_is_output(p, c));
    CHECK_OK(mil_value_rename(p, c, "b", &err), &err);
    CHECK_OK(mil_function_rename(p, body_of(p), "forward", &err), &err);
    CHECK_EQ(mil_program_function_find(p, "forward"), body_of(p));
    CHECK_EQ(mil_program_function_find(p, "main"), 0);
    CHECK_STATUS(mil_function_rename(p, body_of(p), "1", &err), MIL_ENAME, &err);
    CHECK_STATUS(mil_function_rename(p, 77, "g", &err), MIL_ESTATE, &err);
    checked(p);
}

/* What is inserted uses what comes before it, and nothing else. */
static void inserting(void) {
    mil_program *p = parse(CHAIN);
    mil_value y, z;
    CHECK_OK(mil_block_insert(p, body_of(p), operation(p, "b"), &err), &err);
    CHECK_EQ(mil_block_insertion(p, body_of(p)), operation(p, "b"));
    CHECK_OK(add(p, "tanh", value(p, "a"), "y", &y), &err);
    CHECK_STATUS(add(p, "tanh", value(p, "c"), "z", &z), MIL_ESTATE, &err);
    CHECK_EQ(err.message, "tanh: the value given for x, c, is made only after the place of the operation");
    CHECK_OK(mil_value_replace(p, value(p, "a"), y, NULL, 0, &err), &err);
    CHECK_EQ(shown(p), "a : fp32[2, 3] = relu(x = x); y : fp32[2, 3] = tanh(x = a); b : fp32[2, 3] = exp(x = y); c : fp32[2, 3] = add(x = y, y = b); ");
    CHECK_OK(mil_block_insert(p, body_of(p), 0, &err), &err);
    CHECK_OK(add(p, "tanh", value(p, "c"), "last", &z), &err);
    CHECK_STATUS(mil_block_insert(p, body_of(p), 999, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_block_insert(p, 999, 0, &err), MIL_ESTATE, &err);
    CHECK_OK(mil_program_undo(p, body_of(p), &err), &err);
    CHECK_EQ(value(p, "last"), 0);
    checked(p);
}

static void users(void) {
    mil_program *p = parse(CHAIN);
    const mil_operation *list;
    size_t n;
    mil_operation b = operation(p, "b"), c = operation(p, "c");
    CHECK_OK(mil_value_users(p, value(p, "a"), &list, &n, &err), &err);
    CHECK(n == 2 && list[0] == b && list[1] == c);
    CHECK_OK(replace(p, "b", "a"), &err);
    CHECK_OK(mil_value_users(p, value(p, "a"), &list, &n, &err), &err);
    CHECK(n == 2 && list[0] == b && list[1] == c); /* c takes it twice */
    CHECK_OK(mil_operation_remove(p, b, &err), &err);
    CHECK_OK(mil_value_users(p, value(p, "a"), &list, &n, &err), &err);
    CHECK(n == 1 && list[0] == c);
    CHECK_STATUS(mil_value_users(p, 999, &list, &n, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_operation_remove(p, b, &err), MIL_ESTATE, &err);
    checked(p);
}

/* A part keeps labels, attributes and weights that are not at hand, and begins where it is told to. */
static mil_status cut(void *ctx, mil_error *e) {
    static const char text[] =
        "program(1.3)\n{ func main<ios18>(tensor<fp32, [2, 4]> x) {\n tensor<fp32, [2, 4]> a = relu(x = x);\n"
        "tensor<fp32, [3, 4]> w = const()[name = string(\"weights\"), val = tensor<fp32, [3, 4]>(BLOBFILE(path = "
        "string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n"
        "tensor<fp32, [2, 3]> y = linear(x = a, weight = w)[name = string(\"the last\"), note = dict<string, int32>({{\"k\", 7}})];\n"
        "} -> (y); }";
    mil_program *p = NULL, *part = NULL;
    char *printed = NULL;
    (void)ctx;
    mil_status status = mil_text_parse(text, sizeof text - 1, &(mil_text_options){.unchecked = true}, &p, e);
    if (status != MIL_OK) return status;
    mil_value from = value(p, "a"), to = value(p, "y");
    status = mil_program_extract(p, &(mil_part){&to, 1, &from, 1}, &part, e);
    if (status == MIL_OK) status = mil_text_print(part, &printed, NULL, e);
    if (status == MIL_OK) {
        CHECK_HAS(printed, "func main<ios18>(tensor<fp32, [2, 4]> a) {");
        CHECK_HAS(printed, "name = string(\"weights\"), val = tensor<fp32, [3, 4]>(BLOBFILE(path = string(\"@model_path/weights/w.bin\")");
        CHECK_HAS(printed, "name = string(\"the last\"), note = dict<string, int32>({{\"k\", 7}})]");
        CHECK(!strstr(printed, "relu"));
    }
    mil_free(printed);
    mil_program_free(part);
    mil_program_free(p);
    return status;
}

static void parts(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(cut, NULL) > 20);
    mil_set_allocator(NULL, NULL);
    mil_program *p = parse(CHAIN), *part = NULL;
    mil_value c = value(p, "c"), none = 99, twice[] = {value(p, "a"), value(p, "a")};
    CHECK_STATUS(mil_program_extract(p, &(mil_part){&c, 0, NULL, 0}, &part, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_extract(p, &(mil_part){&none, 1, NULL, 0}, &part, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_extract(p, &(mil_part){&c, 1, &none, 1}, &part, &err), MIL_ESTATE, &err);
    CHECK_STATUS(mil_program_extract(p, &(mil_part){&c, 1, twice, 2}, &part, &err), MIL_EINVAL, &err);
    CHECK(part == NULL);
    checked(p);
    mil_program *with_state = parse("(state<tensor<fp16, [2]>> s, tensor<fp16, [2]> x) {\n tensor<fp16, [2]> y = relu(x = x);\n } -> (y, s)");
    mil_value s = value(with_state, "s");
    CHECK_STATUS(mil_program_extract(with_state, &(mil_part){&s, 1, NULL, 0}, &part, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "a state can't be an output");
    CHECK_STATUS(mil_program_verify(with_state, &err), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "output s: a state can't be an output");
    CHECK_STATUS(add(with_state, "identity", s, NULL, &s), MIL_ETYPE, &err);
    CHECK_HAS(err.message, "identity: x takes what can be given on, as a state can't, but s is state<fp16[2]>");
    mil_program_free(with_state);
}

/* What a package said of an output is said of what takes its place, whether or not memory runs out. */
static mil_status replace_kept(void *ctx, mil_error *e) {
    mil_program *p = NULL;
    uint8_t *data = NULL;
    (void)ctx;
    static const char text[] = "program(1.3)\n{ func main<ios18>" CHAIN "; }";
    mil_status status = mil_text_parse(text, sizeof text - 1, NULL, &p, e);
    if (status != MIL_OK) return status;
    mil_value c = value(p, "c"), x = value(p, "x");
    p->functions[0].label = c;
    status = mil__program_keep(p, MIL__KEPT_OUTPUT, c, 3, &data, e);
    if (status == MIL_OK) status = mil_value_replace(p, c, x, NULL, 0, e);
    mil_value now = mil_block_output(p, body_of(p), 0);
    CHECK_EQ(now == c, status != MIL_OK);
    CHECK_EQ(p->functions[0].label, now);
    const mil__kept *kept = mil__program_kept(p, MIL__KEPT_OUTPUT, now);
    CHECK(!data || (kept && kept->data == data));
    if (now != c) CHECK(!mil__program_kept(p, MIL__KEPT_OUTPUT, c));
    if (status == MIL_OK) status = mil_program_remove_output(p, now, e);
    if (status == MIL_OK) CHECK_EQ(p->functions[0].label, 0);
    mil_program_free(p);
    return status;
}

static void kept_of_outputs(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(replace_kept, NULL) > 20);
    mil_set_allocator(NULL, NULL);
    mil_program *p = parse("(tensor<fp32, [2]> x) { tensor<fp32, [2]> a = relu(x = x);\n tensor<fp32, [2]> b = exp(x = a);\n } -> (a, b)");
    mil_value a = value(p, "a"), b = value(p, "b");
    uint8_t *said;
    CHECK_OK(mil__program_keep(p, MIL__KEPT_OUTPUT, a, 2, &said, &err), &err);
    CHECK_OK(mil__program_keep(p, MIL__KEPT_OUTPUT, b, 3, &said, &err), &err);
    CHECK_OK(mil_program_remove_output(p, a, &err), &err); /* what was said of it as an output goes */
    CHECK(!mil__program_kept(p, MIL__KEPT_OUTPUT, a));
    CHECK_OK(replace(p, "b", "a"), &err);
    CHECK(mil__program_kept(p, MIL__KEPT_OUTPUT, a) && mil__program_kept(p, MIL__KEPT_OUTPUT, a)->n == 3);
    checked(p);
}

/* ---- memory that runs out ---- */

static mil_status edit_all(void *ctx, mil_error *e) {
    mil_program *p = NULL;
    mil_value y;
    size_t n;
    const char *text = ctx;
    mil_status status = mil_text_parse(text, strlen(text), NULL, &p, e);
    if (status != MIL_OK) return status;
    mil_arg axes = {.name = "axes", .kind = MIL_ARG_INTS, .data = &(int64_t){0}, .n = 1, .rank = 1};
    mil_retype to = {value(p, "x"), MIL_FP32, 2, (int64_t[]){6, 7}};
    mil_arg x = {.name = "x", .kind = MIL_ARG_VALUE, .value = value(p, "a")};
    char *before = NULL, *after = NULL;
    if (status == MIL_OK) status = mil_operation_set(p, operation(p, "a"), &axes, e);
    if (status == MIL_OK) status = mil_program_retype(p, &to, 1, e);
    if (status == MIL_OK) status = mil_block_insert(p, body_of(p), operation(p, "b"), e);
    if (status == MIL_OK) status = mil_program_add(p, body_of(p), mil_op_find("tanh"), &x, 1, "y", (mil_where){0}, &y, 1, &n, e);
    if (status == MIL_OK) status = mil_text_print(p, &before, NULL, e);
    if (status == MIL_OK) {
        status = mil_value_replace(p, value(p, "c"), value(p, "x"), NULL, 0, e);
        long fail_at = test_alloc.fail_at;
        test_alloc.fail_at = 0; /* a change that failed left all as it was */
        mil_error other;
        if (status != MIL_OK && CHECK_OK(mil_text_print(p, &after, NULL, &other), &other)) CHECK_EQ(after, (const char *)before);
        if (status != MIL_OK) CHECK_OK(mil_program_verify(p, &other), &other);
        test_alloc.fail_at = fail_at;
    }
    if (status == MIL_OK) status = mil_value_replace(p, value(p, "a"), y, NULL, 0, e);
    if (status == MIL_OK) status = mil_program_verify(p, e);
    mil_free(before);
    mil_free(after);
    mil_program_free(p);
    return status;
}

static void out_of_memory(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(edit_all, "program(1.3)\n{ func main<ios18>" SUM "; }") > 30);
    mil_set_allocator(NULL, NULL);
}

/* ---- random edits that keep what a program computes ---- */

static uint32_t seed = 1;
static uint32_t below(uint32_t n) { return (seed = seed * 1664525u + 1013904223u) / 65536 % n; }

static mil_value any_value(const mil_program *p) {
    mil_value list[4096];
    uint32_t n = 0;
    list[n++] = mil_block_input(p, body_of(p), 0);
    for (mil_operation at = mil_block_first(p, body_of(p)); at && n < 4096; at = mil_operation_after(p, at))
        if (mil_operation_n_args(p, at)) list[n++] = mil_operation_output(p, at, 0);
    return list[below(n)];
}

static double run(mil_program *p) {
    mil_model *model = NULL;
    mil_tensor *x = NULL, *y = NULL;
    double sum = 0;
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    if (!CHECK_OK(mil_program_compile(p, &options, &model, &err), &err)) return 0;
    CHECK_OK(mil_tensor_new(MIL_FP32, 2, (int64_t[]){2, 3}, &x, &err), &err);
    for (int i = 0; i < 6; i++) ((float *)mil_tensor_data(x))[i] = (float)i / 4 - 0.5f;
    if (CHECK_OK(mil_model_run(model, (mil_tensor *[]){x, x}, &y, &err), &err))
        for (int i = 0; i < 6; i++) sum += (i + 1) * (double)((float *)mil_tensor_data(y))[i];
    mil_tensor_free(x);
    mil_tensor_free(y);
    mil_model_free(model);
    return sum;
}

static bool takes(const mil_program *p, mil_operation user, mil_value v) {
    const mil_value *values;
    size_t n;
    for (size_t a = 0; a < mil_operation_n_args(p, user); a++) {
        mil_operation_arg(p, user, a, &values, &n);
        for (size_t i = 0; i < n; i++)
            if (values[i] == v) return true;
    }
    return false;
}

/* One edit that changes nothing of the result; some are refused. */
static void random_edit(mil_program *p) {
    mil_value v = any_value(p), y;
    mil_operation made = mil_value_operation(p, v), next = made ? mil_operation_next(p, made) : mil_block_first(p, body_of(p));
    switch (below(5)) {
    case 0: case 1: /* an identity right after v, for all that uses v */
        CHECK_OK(mil_block_insert(p, body_of(p), next, &err), &err);
        CHECK_OK(add(p, "identity", v, NULL, &y), &err);
        CHECK_OK(mil_value_replace(p, v, y, NULL, 0, &err), &err);
        break;
    case 2: /* an identity's result by its operand */
        if (!made || strcmp(mil_op_name(mil_operation_op(p, made)), "identity") != 0) break;
        const mil_value *x;
        size_t n;
        mil_operation_arg(p, made, 0, &x, &n);
        CHECK_OK(mil_value_replace(p, v, *x, NULL, 0, &err), &err);
        break;
    case 3: { /* by another value, and back again */
        mil_value other = any_value(p);
        const mil_operation *list;
        if (!CHECK_OK(mil_value_users(p, v, &list, &n, &err), &err) || n == 0) break;
        mil_operation user = list[below((uint32_t)n)];
        if (takes(p, user, other) || mil_value_replace(p, v, other, &user, 1, &err) != MIL_OK || !takes(p, user, other)) break;
        CHECK_OK(mil_value_replace(p, other, v, &user, 1, &err), &err);
        break;
    }
    case 4: if (below(4) == 0) mil_program_prune(p, &err); else if (made) mil_operation_remove(p, made, &err); break;
    }
    mil_block_insert(p, body_of(p), 0, &err);
}

static void random_edits(void) {
    for (uint32_t round = 1; round <= 20; round++) {
        char name[32];
        snprintf(name, sizeof name, "seed %u", round);
        test_row = name;
        seed = round;
        mil_program *p = parse(CHAIN);
        double wanted = run(p);
        for (int i = 0; i < 200; i++) random_edit(p);
        CHECK_EQ(mil_value_is_output(p, value(p, "c")), true);
        CHECK_EQ(run(p), wanted);
        checked(p);
    }
}

/* ---- random edits that change types ----
 * What the edits inferred step by step is what the parser infers from the text at once. */

static void same_when_read(mil_program *p) {
    char *text = NULL, *again = NULL;
    mil_program *q = NULL;
    size_t n;
    if (CHECK_OK(mil_text_print(p, &text, &n, &err), &err) && CHECK_OK(mil_text_parse(text, n, NULL, &q, &err), &err) &&
        CHECK_OK(mil_text_print(q, &again, NULL, &err), &err))
        CHECK_EQ(again, (const char *)text);
    mil_free(text);
    mil_free(again);
    mil_program_free(q);
}

static void wild_edit(mil_program *p) {
    static const mil_dtype dtypes[] = {MIL_FP32, MIL_FP16, MIL_INT32};
    static const char *const unary[] = {"relu", "exp", "identity", "square"};
    mil_value v = any_value(p), y;
    mil_operation at = mil_value_operation(p, v);
    int64_t shape[3] = {1 + below(3), 1 + below(3), 1 + below(3)}, axis = (int64_t)below(4) - 2, list[3] = {-1, 1, 2};
    bool keep = below(2);
    mil_retype to = {mil_block_input(p, body_of(p), below(2)), dtypes[below(3)], 1 + (int)below(3), shape};
    mil_arg args[3] = {{.name = "x", .kind = MIL_ARG_VALUE, .value = v}};
    size_t n;
    switch (below(8)) {
    case 0: mil_program_retype(p, &to, 1, &err); break;
    case 1: if (at) mil_block_insert(p, body_of(p), at, &err); break;
    case 2: mil_value_replace(p, v, any_value(p), NULL, 0, &err); break;
    case 3: { const mil_arg x = {.name = "x", .kind = MIL_ARG_VALUE, .value = any_value(p)}; if (at) mil_operation_set(p, at, &x, &err); break; }
    case 4: {
        const mil_arg axes[] = {{.name = "axes", .kind = MIL_ARG_INTS, .data = &axis, .n = 1, .rank = 1},
                                {.name = "keep_dims", .kind = MIL_ARG_BOOLS, .data = &keep, .n = 1},
                                {.name = "keep_dims"}};
        if (at) mil_operation_set(p, at, &axes[below(3)], &err);
        break;
    }
    case 5:
        args[1] = (mil_arg){.name = "axes", .kind = MIL_ARG_INTS, .data = &axis, .n = 1, .rank = 1};
        args[2] = (mil_arg){.name = "keep_dims", .kind = MIL_ARG_BOOLS, .data = &keep, .n = 1};
        mil_program_add(p, body_of(p), mil_op_find("reduce_sum"), args, 3, NULL, (mil_where){0}, &y, 1, &n, &err);
        break;
    case 6:
        args[1] = (mil_arg){.name = "shape", .kind = MIL_ARG_INTS, .data = list + below(2), .n = 1 + below(2), .rank = 1};
        args[2] = (mil_arg){.name = "y", .kind = MIL_ARG_VALUE, .value = any_value(p)};
        if (below(2)) mil_program_add(p, body_of(p), mil_op_find("reshape"), args, 2, NULL, (mil_where){0}, &y, 1, &n, &err);
        else args[1] = args[2], mil_program_add(p, body_of(p), mil_op_find("add"), args, 2, NULL, (mil_where){0}, &y, 1, &n, &err);
        break;
    case 7: add(p, unary[below(4)], v, NULL, &y); break;
    }
    if (below(3) == 0) mil_block_insert(p, body_of(p), 0, &err);
}

static void wild_edits(void) {
    for (uint32_t round = 1; round <= 60; round++) {
        char name[32];
        snprintf(name, sizeof name, "seed %u", round);
        test_row = name;
        seed = round * 7919;
        mil_program *p = parse(round % 2 ? CHAIN : SUM);
        for (int i = 0; i < 150; i++) {
            wild_edit(p);
            if (i % 25 == 24) same_when_read(p);
        }
        mil_program_prune(p, &err);
        same_when_read(p);
        checked(p);
    }
}

TEST_MAIN(CASE(edits), CASE(names), CASE(names_beside_blocks), CASE(inserting), CASE(users), CASE(parts), CASE(kept_of_outputs), CASE(out_of_memory), CASE(random_edits), CASE(wild_edits))
