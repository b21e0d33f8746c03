/* SPDX-License-Identifier: MIT */
/* core/apple: the rows, and what is said where there is nothing to open. What needs frameworks is in ane_test. */
#include "test.h"

#include "apple/apple.h"

/* The rows are those of the libraries, in order; a method's class is in its own library or one before. */
static void rows(void) {
    mil__apple_row row;
    int libraries = 0;
    for (size_t i = 0; mil__apple_row_at(i, &row); i++) {
        test_row = row.name;
        libraries += row.kind == 'L';
        CHECK_EQ(row.library, libraries - 1);
        CHECK(strchr("LFDC-+", row.kind) != NULL && *row.name);
        if (row.kind != '-' && row.kind != '+') continue;
        CHECK(row.of && *row.of);
        size_t colons = 0;
        for (const char *p = row.name; *p; p++) colons += *p == ':';
        CHECK(colons == 0 || row.name[strlen(row.name) - 1] == ':');
    }
    CHECK_EQ(libraries, MIL__N_LIBRARIES);
}

static void no_row_stands_twice(void) {
    mil__apple_row a, b;
    for (size_t i = 0; mil__apple_row_at(i, &a); i++)
        for (size_t k = 0; k < i && mil__apple_row_at(k, &b); k++) {
            test_row = a.name;
            CHECK(a.kind != b.kind || strcmp(a.name, b.name) != 0 || (a.of && strcmp(a.of, b.of) != 0));
        }
}

static void nothing_to_open(void) {
    mil_error err = {0};
#if !defined(__APPLE__)
    unsetenv("MIL_FRAMEWORKS");
    CHECK_STATUS(mil__apple_open(MIL__APPLE_FOUNDATION, &err), MIL_EUNSUPPORTED, &err);
    CHECK_EQ(err.message, "libobjc.A is part of macOS, which this system is not");
#endif
    setenv("MIL_FRAMEWORKS", "/nowhere", 1);
    CHECK_STATUS(mil__apple_open(MIL__APPLE_FOUNDATION, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "libobjc.A can't be opened: ");
    CHECK_HAS(err.message, "/nowhere/libobjc.A.so");
    CHECK(!mil__apple_is_open(MIL__LIBRARY(objc)));
    CHECK(mil__apple.objc_msgSend == NULL);
    CHECK_STATUS(mil__apple_open(MIL__APPLE_SURFACES, &err), MIL_EUNSUPPORTED, &err);
    CHECK_HAS(err.message, "CoreFoundation can't be opened: ");
    unsetenv("MIL_FRAMEWORKS");
}

static void none_is_open(void) {
    CHECK_OK(mil__apple_open(0, NULL), NULL);
    CHECK(mil__apple_is_open(0));
}

TEST_MAIN(CASE(rows), CASE(no_row_stands_twice), CASE(nothing_to_open), CASE(none_is_open))
