/* SPDX-License-Identifier: MIT */
/* MIL text: any bytes are a program or an error with a place; what is printed is read again and prints as itself. What can be read has
 * an outline too. */
#define FUZZ_WORDS                                                                                                   \
    "program(1.3)", "func main<ios18>(", "tensor<fp16, [1, ?]>", "tensor<string, []>(\"", "string(\"", "int32(", "list<", "dict<", \
        "tuple<", "state<", "const()[", "val = ", "name = ", "BLOBFILE(path = string(\"w\"), offset = uint64(64))", " -> (", \
        "relu(x = ", "add(x = ", "concat(values = (", ";\n", "{", "}", "[", "]", "((", "))", ", ", "0x1.8p-3", "inf", "-nan", "1e400", \
        "?", "//", "\\\"", "uint4", "bf16", "true", "() {", "} -> (), "
#define FUZZ_MEMORY(size) ((size) * 64 + (16 << 20))
#include "fuzz.h"
#include "text/outline.h"

static char *read_and_print(const char *text, size_t n, bool unchecked, size_t *length) {
    mil_text_options options = {.name = "fuzz", .unchecked = unchecked};
    mil_program *program;
    mil_error err = {0};
    char *out;
    mil_status status = mil_text_parse(text, n, &options, &program, &err);
    if (status != MIL_OK) {
        FUZZ_CHECK(program == NULL && err.code == status && err.message[0]);
        FUZZ_CHECK(status == MIL_ENOMEM || (err.line > 0 && err.column > 0 && strchr(err.excerpt, '^')));
        return NULL;
    }
    FUZZ_CHECK(mil_text_print(program, &out, length, &err) == MIL_OK);
    mil_program_free(program);
    return out;
}

static bool has_outline(const char *text, size_t n) {
    mil_program *program;
    mil_error err = {0};
    mil_status status = mil__text_outline(text, n, &program, &err);
    FUZZ_CHECK(status == MIL_OK || (program == NULL && err.code == status && err.message[0] && err.line > 0));
    mil_program_free(program);
    return status == MIL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bool is_outlined = has_outline((const char *)data, size);
    for (int unchecked = 0; unchecked < 2; unchecked++) {
        size_t n, again;
        char *first = read_and_print((const char *)data, size, unchecked, &n);
        if (!first) continue;
        FUZZ_CHECK(is_outlined);
        char *second = read_and_print(first, n, unchecked, &again);
        FUZZ_CHECK(second && n == again && memcmp(first, second, n) == 0);
        mil_free(first);
        mil_free(second);
    }
    return 0;
}
