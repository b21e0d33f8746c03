/* SPDX-License-Identifier: MIT */
/* mil_probe_run on the stand-in for the frameworks: each level with all there, with the driver open, with each call failing, with
 * things missing, with each allocation failing; nothing is left open, nothing used wrongly. */
#include <sys/wait.h>

#include "standin_client.h"

/* The stand-in in the frameworks' place, before they are first looked for. */
__attribute__((constructor)) static void stand_in(void) {
    use_standin();
}

static bool has(const mil_probe *probe, const char *tried, const char *found, bool ok) {
    for (size_t i = 0; i < probe->n; i++)
        if (strstr(probe->steps[i].tried, tried) && strstr(probe->steps[i].found, found) && probe->steps[i].ok == ok) return true;
    fprintf(stderr, "  no step \"%s\" that found \"%s\":\n", tried, found);
    for (size_t i = 0; i < probe->n; i++)
        fprintf(stderr, "    %d %s: %s\n", probe->steps[i].ok, probe->steps[i].tried, probe->steps[i].found);
    return false;
}

static mil_probe *probe(int level, bool passed) {
    mil_error err;
    mil_probe *made = NULL;
    if (!CHECK_OK(mil_probe_run((mil_probe_level)level, &made, &err), &err)) exit(1);
    CHECK(made->n > 0);
    if (!CHECK_EQ(made->passed, passed)) fprintf(stderr, "  level %d\n", level);
    for (size_t i = 0; i < made->n; i++) CHECK(made->steps[i].seconds >= 0);
    return made;
}

/* The frameworks without the Objective-C runtime, which says what there is of classes; in a process that has looked for nothing yet. */
static void without_the_runtime(void) {
    char from[1300], to[200];
    snprintf(from, sizeof from, "%s/libobjc.A.so", standin_folder());
    snprintf(to, sizeof to, "%s/Foundation.so", test_folder());
    CHECK_EQ(symlink(from, to), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        test_failures = 0;
        setenv("MIL_FRAMEWORKS", test_folder(), 1);
        mil_probe *made = probe(MIL_PROBE_FRAMEWORKS, false);
        CHECK(has(made, "libobjc.A.dylib", "libobjc.A can't be opened", false));
        CHECK(has(made, "Foundation", "without class NSObject (needed)", false));
        mil_probe_free(made);
        fflush(NULL);
        _exit(test_failures != 0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

static void all_there(void) {
    static const struct { int level; bool passed, ok; const char *tried, *found; } rows[] = {
        {1, true, true, "H11ANEIn", "entry 0x100000321, H11ANE"},
        {1, true, false, "AppleANELoadBalancer", "not there"},
        {1, true, true, "DeviceProperties", "ANEDevicePropertyNumANECores 16"},
        {1, true, true, "DeviceProperties", "ANEDevicePropertyTypeANEArchitectureTypeStr h15g"},
        {2, false, false, "IOServiceOpen of H11ANEIn, types 0 to 10", "0xe00002e2 (not permitted): 0 to 10"},
        {3, false, false, "methods", "not tried: it does not open for this process (level 2)"},
        {4, true, true, "IOSurfaceCreate", "bytes, where 8192 were asked for"},
        {4, true, true, "IOSurfaceLock, 4096 halves written", "4096 of 4096 are 1"},
        {4, true, true, "IOSurfaceLock to read", "4096 of 4096 are 1"},
        {5, true, true, "AppleNeuralEngine", "are there"},
        {5, true, true, "ANECompiler", "14 of 14 are there"},
        {5, true, true, "CoreML", "are there"},
        {6, true, true, "com.apple.appleneuralengine", "found"},
        {6, true, false, "_ANEDaemonInterface", "not there"},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mil_probe *made = probe(rows[i].level, rows[i].passed);
        CHECK(has(made, rows[i].tried, rows[i].found, rows[i].ok));
        mil_probe_free(made);
    }
    end(0);
}

static void where_it_opens(void) {
    begin();
    CONTROL(int, set, const char *, long)("entitled", 1);
    mil_probe *made = probe(MIL_PROBE_OPEN, true);
    CHECK(has(made, "IOServiceOpen", "opens for this process as type 0", true));
    CHECK_EQ(made->n, (size_t)1);
    mil_probe_free(made);
    made = probe(MIL_PROBE_SELECTORS, true);
    CHECK(has(made, "IOConnectCallScalarMethod, selector 0", "0 numbers", true));
    CHECK(has(made, "IOConnectCallScalarMethod, selectors 0 to 63", "0xfffffbc4 (MIG: no such id): 1 to 63", false));
    CHECK(has(made, "IOConnectCallStructMethod, selectors 0 to 63", "0xfffffbc4 (MIG: no such id): 0 to 63", false));
    CHECK_EQ(made->n, (size_t)3);
    mil_probe_free(made);
    end(0);
}

static void things_missing(void) {
    begin();
    CONTROL(int, set, const char *, long)("has_ane", 0);
    mil_probe *made = probe(MIL_PROBE_DRIVER, false);
    CHECK(has(made, "H11ANEIn", "not there", false));
    mil_probe_free(made);
    for (int level = 2; level <= 3; level++) {
        made = probe(level, false);
        CHECK(has(made, "the driver's service", "not there (level 1)", false));
        mil_probe_free(made);
    }
    CONTROL(void, fail_named, const char *)("bootstrap_look_up");
    made = probe(MIL_PROBE_DAEMON, false);
    CHECK(has(made, "com.apple.appleneuralengine", "bootstrap_look_up gives 1102 (no such service)", false));
    mil_probe_free(made);
    end(0);
}

/* Each call that may fail does, one after the other: a level that is not passed, or one that did without. */
static void failing_calls(void) {
    for (int level = 1; level <= 6; level++)
        for (long k = 1;; k++) {
            mil_error err = {0};
            mil_probe *made = NULL;
            begin();
            CONTROL(int, set, const char *, long)("entitled", 1);
            CONTROL(void, fail_at, long)(k);
            mil_status status = mil_probe_run((mil_probe_level)level, &made, &err);
            CONTROL(void, fail_at, long)(0);
            bool reached = CONTROL(long, calls, const char *)(NULL) >= k;
            CHECK(status == MIL_OK || status == MIL_ENOMEM); /* what makes a string or a dictionary fails for want of memory */
            if (status == MIL_OK && level > 1 && reached) CHECK(made->n > 0);
            mil_probe_free(made);
            end(0);
            if (!reached) break;
        }
}

static mil_status run_level(void *ctx, mil_error *err) {
    mil_probe *made = NULL;
    mil_status status = mil_probe_run(*(mil_probe_level *)ctx, &made, err);
    mil_probe_free(made);
    return status;
}

static void failing_allocations(void) {
    begin();
    CONTROL(int, set, const char *, long)("entitled", 1);
    mil_set_allocator(test_realloc, NULL);
    for (int level = 1; level <= 6; level++) {
        mil_probe_level chosen = (mil_probe_level)level;
        CHECK(test_each_allocation(run_level, &chosen) > 2);
    }
    mil_set_allocator(NULL, NULL);
    end(0);
}

static void no_such_level(void) {
    mil_error err;
    mil_probe *made = NULL;
    for (int level = -1; level < 9; level += level ? 7 : 1) {
        if (level >= 1 && level <= 6) continue;
        CHECK_STATUS(mil_probe_run((mil_probe_level)level, &made, &err), MIL_EINVAL, &err);
        CHECK_HAS(err.message, "levels are 1 to 6");
    }
    mil_probe_free(NULL);
}

TEST_MAIN(CASE(without_the_runtime), CASE(all_there), CASE(where_it_opens), CASE(things_missing), CASE(failing_calls), CASE(failing_allocations), CASE(no_such_level))
