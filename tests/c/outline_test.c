/* SPDX-License-Identifier: MIT */
/* Texts of which only the functions' inputs and outputs are read (core/text/outline.h): the ones that the parser reads give the same
 * ports, and operations that it does not know, or would refuse, are no matter. */
#include <dirent.h>

#include "test.h"
#include "text/outline.h"

static mil_error err;

/* ---- the same as the parser's ---- */

static char *read_file(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 20);
    if (!CHECK(file && text)) exit(1);
    *n = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

/* "main(x fp16[1, 4]) -> (y fp16[1, 4])", of each function */
static void put_ports(const mil_program *program, char *out, size_t room) {
    size_t n = 0;
    for (size_t f = 0; f < mil_program_n_functions(program); f++) {
        mil_block block = mil_program_function_at(program, f);
        size_t inputs = mil_block_n_inputs(program, block), all = inputs + mil_block_n_outputs(program, block);
        n += (size_t)snprintf(out + n, room - n, "%s(", mil_function_name(program, block));
        for (size_t i = 0; i < all && n < room; i++) {
            mil_value value = i < inputs ? mil_block_input(program, block, i) : mil_block_output(program, block, i - inputs);
            n += (size_t)snprintf(out + n, room - n, "%s%s %s, ", i == inputs ? ") -> " : "", mil_value_name(program, value),
                                  MIL__TYPE_TEXT(program->types, mil_value_type(program, value)));
        }
    }
}

static int compared;

static void compare(const char *path) {
    size_t n;
    char *text = read_file(path, &n), wanted[4096] = "", got[4096] = "";
    mil_program *parsed, *outline;
    mil_text_options options = {.unchecked = true, .model_path = ".", .weights_may_lack = true};
    test_row = path;
    if (mil_text_parse(text, n, &options, &parsed, &err) == MIL_OK) { /* some name weights that are not there */
        if (CHECK_OK(mil__text_outline(text, n, &outline, &err), &err)) {
            put_ports(parsed, wanted, sizeof wanted);
            put_ports(outline, got, sizeof got);
            CHECK_EQ((const char *)got, (const char *)wanted);
            mil_program_free(outline);
            compared++;
        }
        mil_program_free(parsed);
    }
    free(text);
}

static void as_parsed(void) {
    DIR *dir = opendir("tests/text/good");
    if (!CHECK(dir != NULL)) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300];
        snprintf(path, sizeof path, "tests/text/good/%s", entry->d_name);
        if (strstr(entry->d_name, ".mil")) compare(path);
    }
    closedir(dir);
    CHECK(compared > 25);
}

/* ---- what is written by hand ---- */

#define MAIN(body, outputs) "program(1.3) { func main<ios18>(tensor<fp16, [1, 4]> x) { " body " } -> (" outputs "); }"

static const struct {
    const char *text, *ports; /* NULL: refused, with */
    const char *message;
} rows[] = {
    {MAIN("tensor<fp16, [1, 4]> y = nonsense(x = x)[name = string(\"y\")];", "y"), "main(x fp16[1, 4], ) -> y fp16[1, 4], ", NULL},
    {MAIN("tensor<fp16, [1, 4]> y = relu(x = x, more = fp8(1), z = nobody);", "y"), "main(x fp16[1, 4], ) -> y fp16[1, 4], ", NULL},
    {MAIN("secret<7> t = hidden(x = x); tensor<fp5, [1, 4]> u = relu(x = t); tensor<fp16, [2]> y = relu(x = u);", "y"), "main(x fp16[1, 4], ) -> y fp16[2], ", NULL},
    {MAIN("tensor<fp16, [2]> a, tensor<fp32, [3]> y = split(x = x)[name = string(\"};]\\\"{\")]; // } ;\n", "a, y"),
     "main(x fp16[1, 4], ) -> a fp16[2], y fp32[3], ", NULL},
    {MAIN("tensor<fp16, [2]> y = cond(p = x)[] (tensor<fp16, [9]> q) { tensor<fp16, [9]> y = relu(x = q); } -> (y), () {} -> (x);", "y"),
     "main(x fp16[1, 4], ) -> y fp16[2], ", NULL},
    {MAIN("tensor<fp16, [2]> y = cond(p = x); block (tensor<fp16, [9]> q) { tensor<fp16, [9]> z = relu(x = q); } -> (z), block () {} -> (x) tensor<fp16, [3]> z = relu(x = y);", "z"),
     "main(x fp16[1, 4], ) -> z fp16[3], ", NULL},
    {MAIN("write(x = x);", "x"), "main(x fp16[1, 4], ) -> x fp16[1, 4], ", NULL},
    {MAIN("secret y = relu(x = x);", "y"), NULL, "there is no value \"y\" here"},
    {MAIN("tensor<fp16, [2]> y = relu(x = x", "y"), NULL, "expected \"->\" after the block"},
    {MAIN("tensor<fp16, [2]> y = relu(x = x)", "y"), NULL, "expected \";\" after an operation, found \"}\""},
    {MAIN("tensor<fp16, [2]> y = relu(x = x)); ", "y"), NULL, "expected \";\" after an operation, found \")\""},
    {MAIN("tensor<fp16, [2]> y = relu(x = x, name = \"y); ", "y"), NULL, "a string without an end"},
    {MAIN("tensor<fp16, [2]> y = a(); tensor<fp16, [2]> y = b();", "y"), NULL, "y"},
    {"program(1.3) { func main<ios18>(secret x) { } -> (x); }", NULL, "secret"},
};

static void by_hand(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_program *program = NULL;
        char ports[400] = "";
        test_row = rows[i].text;
        mil_status status = mil__text_outline(rows[i].text, strlen(rows[i].text), &program, &err);
        if (!rows[i].ports) {
            CHECK(status != MIL_OK && !program);
            CHECK_HAS(err.message, rows[i].message);
        } else if (CHECK_OK(status, &err)) {
            put_ports(program, ports, sizeof ports);
            CHECK_EQ((const char *)ports, rows[i].ports);
        }
        mil_program_free(program);
    }
}

static mil_status read_row(void *row, mil_error *e) {
    mil_program *program;
    mil_status status = mil__text_outline(row, strlen(row), &program, e);
    if (status == MIL_OK) mil_program_free(program);
    return status;
}

static void without_memory(void) {
    mil_set_allocator(test_realloc, NULL);
    for (int i = 0; i < 6; i++) CHECK(test_each_allocation(read_row, (void *)rows[i].text) > 5);
}

TEST_MAIN(CASE(as_parsed), CASE(by_hand), CASE(without_memory))
