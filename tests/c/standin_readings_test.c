/* SPDX-License-Identifier: MIT */
/* Where the sources disagree (facts/ane.md 10, facts/ane-e5rt.md 8.1), the engines cope with each reading: on a stand-in that holds it, a
 * program runs with the right numbers, or its error says what was met. A row a reading. */
#include <sys/wait.h>

#include "standin_client.h"

static const char text[] = "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [1, 4, 1, 8]> a, tensor<fp16, [1, 4, 1, 8]> b) {\n"
    "        tensor<fp16, [1, 4, 1, 8]> s = sub(x = a, y = b)[name = string(\"s\")];\n"
    "        tensor<fp16, [1, 4, 1, 8]> y = relu(x = s)[name = string(\"y\")];\n    } -> (y);\n}\n";

typedef struct reading {
    const char *engine, *route, *name;   /* of a switch; NULL: none */
    long value;
    const char *believe, *says;          /* says: part of the error; NULL: it runs */
} reading;

static const reading readings[] = {
    { "ane", "direct", "order", 0, "", NULL },
    { "ane", "direct", "order", 1, "", NULL },
    { "ane", "direct", "row", 1, "", NULL },
    { "ane", "direct", "row", 64, "", NULL },
    { "ane", "direct", "row", 256, "", NULL },
    { "ane", "direct", "attributes", 0, "", NULL },
    { "ane", "direct", "form", 1, "", NULL },
    { "ane", "direct", "form", 2, "", NULL },
    { "ane", "direct", "copies", 0, "", NULL },
    { "ane", "direct", "busy", 1, "", NULL },
    { "ane", "direct", "cancelled", 1, "", NULL },
    { "ane", "direct", "no_options", 1, "", NULL },
    { "ane", "direct", NULL, 0, "O", NULL },
    { "ane", "direct", NULL, 0, "M", NULL },
    { "ane", "direct", NULL, 0, "B", NULL },
    { "ane", "direct", NULL, 0, "R", NULL },
    { "ane", "direct", NULL, 0, "L", NULL },
    { "ane", "direct", NULL, 0, "N", NULL },
    { "ane", "direct", NULL, 0, "F", NULL },
    { "ane", "e5rt", "order", 0, "", NULL },
    { "ane", "e5rt", "order", 1, "", NULL },
    { "ane", "e5rt", "e5_row", 64, "", NULL },
    { "ane", "e5rt", "e5_stride_bytes", 1, "", NULL },
    { "ane", "e5rt", "e5_forge", 0, "", NULL },
    { "ane", "e5rt", "e5_wide", 0, "", NULL },
    { "ane", "e5rt", "e5_error_text", 0, "", NULL },
    { "ane", "e5rt", "e5_blobfile", 0, "", NULL },
    { "ane", "e5rt", NULL, 0, "A", NULL },
    { "ane", "e5rt", NULL, 0, "G", NULL },
    { "coreml", NULL, "ml_gaps", 0, "", NULL },
    { "coreml", NULL, "ml_gaps", 1, "", NULL },
    { "coreml", NULL, "ml_backings", 0, "", NULL },
    { "coreml", NULL, "ml_plain_names", 1, "", NULL },
    { "coreml", NULL, "ml_unknown_device", 1, "", NULL },
};

static mil_status run(mil_model *model, mil_error *err) {
    static const int64_t shape[] = { 1, 4, 1, 8 };
    mil_tensor *in[2] = { NULL, NULL }, *out[1] = { NULL };
    for (int k = 0; k < 2; k++) {
        CHECK_EQ(mil_tensor_new(MIL_FP16, 4, shape, &in[k], NULL), MIL_OK);
        for (int i = 0; i < 32; i++) ((uint16_t *)mil_tensor_data(in[k]))[i] = k ? 0x3c00 : 0x4200;    /* 3 and 1 */
    }
    mil_status status = mil_model_run(model, in, out, err);
    bool right = true;
    for (int i = 0; !status && i < 32; i++) right &= ((uint16_t *)mil_tensor_data(out[0]))[i] == 0x4000;
    CHECK(right);
    mil_tensor_free(in[0]), mil_tensor_free(in[1]), mil_tensor_free(out[0]);
    return status;
}

static mil_status whole(const reading *r, mil_error *err) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = r->engine, options.route = r->route;
    mil_program *program = NULL;
    mil_model *model = NULL;
    char *described = NULL;
    mil_status status = mil_text_parse(text, strlen(text), NULL, &program, err);
    if (!status) status = mil_program_compile(program, &options, &model, err);
    for (int i = 0; !status && i < 2; i++) status = run(model, err);
    if (!status) status = mil_model_describe(model, &described, err);
    mil_free(described);
    mil_model_free(model);
    mil_program_free(program);
    return status;
}

static void stand_in(void) {
    use_standin();
    setenv("TMPDIR", test_folder(), 1);
}

/* In a process of its own, which has looked at nothing before and finds nothing kept of earlier looks. */
static void holds(const reading *r, size_t i) {
    char row[200], cache[128];
    mil_error err = { 0 };
    snprintf(cache, sizeof cache, "%s/%zu", test_folder(), i);
    setenv("MIL_CACHE", cache, 1);
    snprintf(row, sizeof row, "%s %s, %s = %ld, believing \"%s\"", r->engine, r->route ? r->route : "", r->name ? r->name : "-", r->value, r->believe);
    test_row = row;
    begin();
    CONTROL(void, believe, const char *)(r->believe);
    if (r->name) CHECK_EQ(CONTROL(int, set, const char *, long)(r->name, r->value), 0);
    mil_status status = whole(r, &err);
    if (!r->says) CHECK_OK(status, &err);
    else if (CHECK(status != MIL_OK)) CHECK_HAS((const char *)err.message, r->says);
    end(0);
}

enum { PASSED = 40, FAILED };
static void each(void) {
    stand_in();
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        pid_t child = fork();
        if (!child) {
            holds(&readings[i], i);
            fflush(NULL);
            _exit(test_failures ? FAILED : PASSED);
        }
        int status = 0;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == PASSED)) fprintf(stderr, "  row %zu\n", i);
    }
}

TEST_MAIN(CASE(each))
