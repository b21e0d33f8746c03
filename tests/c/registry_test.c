/* SPDX-License-Identifier: MIT */
/* The op table against coremltools' registry (tests/vectors/registry.json): that no op is missing; for each op and each opset,
 * its parameters' names, kinds, dtypes, groups, defaults, and whether they may be left out. */
#include <jansson.h>
#include <libgen.h>
#include <math.h>

#include "test.h"

/* Where the table differs, and why. param NULL: the whole op. */
static const struct difference {
    const char *op, *param, *why;
} differences[] = {
    {"const", NULL, "its value is outside of the type system there"},
    {"write_state", NULL, "only packages hold it"},
    {"coreml_update_state", NULL, "a dialect op there"},
    {"einsum", "values", "nobody looks at dtypes of a tuple's items there; here they are what the op's text says"},
};

static bool differs(const char *op, const char *param) {
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        const struct difference *d = &differences[i];
        if (!strcmp(d->op, op) && (!d->param || (param && !strcmp(d->param, param)))) return true;
    }
    return false;
}

static json_t *registry(void) {
    char here[] = __FILE__, path[4096];
    json_error_t err;
    snprintf(path, sizeof path, "%s/../vectors/registry.json", dirname(here));
    json_t *root = json_load_file(path, 0, &err);
    if (!root) fprintf(stderr, "%s: %s\n", path, err.text);
    return root;
}

/* The inputs of an op in an opset; NULL where it has none. */
static json_t *inputs_of(json_t *op, mil_opset opset) {
    size_t i, k;
    json_t *row, *number;
    json_array_foreach(op, i, row) {
        json_array_foreach(json_object_get(row, "opsets"), k, number) {
            if (json_integer_value(number) == (json_int_t)opset) return json_object_get(row, "inputs");
        }
    }
    return NULL;
}

static const char *kind_of(const mil_param *param) {
    switch (param->kind) {
    case MIL_PARAM_TUPLE: return "tuple";
    case MIL_PARAM_LIST: return "list";
    case MIL_PARAM_STATE: return "state";
    case MIL_PARAM_ANY: return "any";
    default: return "tensor";
    }
}

static void check_dtypes(json_t *wanted, uint32_t got) {
    uint32_t set = 0;
    size_t i;
    json_t *name;
    json_array_foreach(wanted, i, name) set |= 1u << mil_dtype_find(json_string_value(name));
    CHECK_EQ(got, set);
}

static void check_default(json_t *row, const char *got) {
    json_t *wanted = json_object_get(row, "default");
    if (json_is_number(wanted)) {
        double number = json_number_value(wanted);
        if (CHECK(got != NULL)) CHECK(fabs(atof(got) - number) <= 1e-6 * fabs(number) + 1e-44);
    } else if (json_is_boolean(wanted)) {
        CHECK_EQ(got, json_is_true(wanted) ? "true" : "false");
    } else if (wanted || !json_is_true(json_object_get(row, "depends"))) {
        CHECK_EQ(got, json_string_value(wanted));
    }
}

static void check_param(json_t *row, const mil_param *param) {
    bool is_const = param->kind == MIL_PARAM_CONST || param->kind == MIL_PARAM_STRING;
    CHECK_EQ(kind_of(param), json_string_value(json_object_get(row, "kind")));
    if (param->kind != MIL_PARAM_LIST) /* the one list that must be a const has it checked by its op, classify */
        CHECK_EQ(is_const, json_is_true(json_object_get(row, "const")));
    CHECK_EQ(param->required, json_is_true(json_object_get(row, "required")));
    check_dtypes(json_object_get(row, "dtypes"), param->dtypes);
    check_default(row, param->default_text);
}

static bool param_named(const mil_op *op, mil_opset opset, const char *name, mil_param *out) {
    for (size_t i = 0; mil_op_param(op, opset, i, out); i++)
        if (!strcmp(out->name, name)) return true;
    return false;
}

static bool has_one_dtype(const mil_param *param) { return param->dtypes && !(param->dtypes & (param->dtypes - 1)); }

/* Two inputs share a dtype here exactly where they do there; where there is one dtype there is nothing to share. */
static void check_groups(const mil_op *op, mil_opset opset, json_t *inputs, json_t *row, const mil_param *param) {
    const char *group = json_string_value(json_object_get(row, "group"));
    size_t i;
    json_t *other;
    json_array_foreach(inputs, i, other) {
        const char *theirs = json_string_value(json_object_get(other, "group"));
        mil_param second;
        if (other == row || !param_named(op, opset, json_string_value(json_object_get(other, "name")), &second)) continue;
        if (has_one_dtype(param) && has_one_dtype(&second)) continue;
        bool wanted = group && theirs && !strcmp(group, theirs);
        CHECK_EQ(param->group != 0 && param->group == second.group, wanted);
    }
}

static void check_op(const mil_op *op, mil_opset opset, json_t *inputs) {
    static char label[160];
    size_t n = 0, i;
    mil_param param;
    json_t *row;
    while (mil_op_param(op, opset, n, &param)) n++;
    snprintf(label, sizeof label, "%s, %s", mil_op_name(op), mil_opset_name(opset));
    test_row = label;
    CHECK_EQ(n, json_array_size(inputs));
    json_array_foreach(inputs, i, row) {
        const char *name = json_string_value(json_object_get(row, "name"));
        snprintf(label, sizeof label, "%s, %s, %s", mil_op_name(op), mil_opset_name(opset), name);
        if (differs(mil_op_name(op), name) || !CHECK(param_named(op, opset, name, &param))) continue;
        check_param(row, &param);
        check_groups(op, opset, inputs, row, &param);
    }
    test_row = "";
}

static void table_is_registry(void) {
    json_t *root = registry(), *ops = json_object_get(root, "ops");
    if (!CHECK(ops != NULL)) return;
    for (size_t i = 0; i < mil_op_count(); i++) {
        const mil_op *op = mil_op_at(i);
        json_t *entry = json_object_get(ops, mil_op_name(op));
        test_row = mil_op_name(op);
        if (differs(mil_op_name(op), NULL) || !CHECK(entry != NULL)) continue;
        for (mil_opset opset = MIL_IOS15; opset <= MIL_IOS18; opset++) {
            json_t *inputs = inputs_of(entry, opset);
            test_row = mil_op_name(op);
            if (CHECK_EQ(mil_op_since(op) <= opset, inputs != NULL) && inputs) check_op(op, opset, inputs);
        }
    }
    test_row = "";
    json_decref(root);
}

/* 169: coremltools' 167, and the two that its builder lacks. */
static void nothing_is_missing(void) {
    json_t *root = registry(), *ops = json_object_get(root, "ops"), *entry;
    const char *name;
    if (!CHECK(ops != NULL)) return;
    json_object_foreach(ops, name, entry) {
        test_row = name;
        CHECK(mil_op_find(name) != NULL);
    }
    test_row = "";
    CHECK(mil_op_count() == 169);
    json_decref(root);
}

TEST_MAIN(CASE(table_is_registry), CASE(nothing_is_missing))
