/* SPDX-License-Identifier: MIT */
/* A package's manifest: any bytes name a file below the package, or are refused. */
#define FUZZ_WORDS                                                                                                      \
    "\"rootModelIdentifier\": ", "\"itemInfoEntries\": ", "\"path\": ", "\"fileFormatVersion\": ", "\"1.0.0\"", "{", "}", "[", "]", "null", \
        "\"A\"", "../", "/", "..", "\\u0000", "\\ud800", ", ", "com.apple.CoreML/model.mlmodel"
#include "fuzz.h"

#include "package/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mil_error err = {0};
    char *file = NULL;
    mil_status status = mil__manifest_model("P", data, size, &file, &err);
    FUZZ_CHECK((status == MIL_OK) == (file != NULL));
    FUZZ_CHECK(status == MIL_OK || (err.code == status && err.message[0] && !strchr(err.message, '\n')));
    if (!file) return 0;
    FUZZ_CHECK(strncmp(file, "P/Data/", 7) == 0);
    for (const char *part = file; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        FUZZ_CHECK(strncmp(part, "..", 2) != 0 || (part[2] != '/' && part[2] != 0));
    fuzz_free(file);
    return 0;
}
