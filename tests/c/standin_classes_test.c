/* SPDX-License-Identifier: MIT */
/* The stand-in's classes beside the model in memory (facts/ane.md 2.5 to 2.10), and what a probe asks of IOKit and the system (9). */
#include "standin_objc.h"

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
static const char twice[] = HEAD "    func main<ios18>(tensor<fp16, [1, 4, 1, 32]> x) {\n"
    "        tensor<fp16, [1, 4, 1, 32]> y = add(x = x, y = x)[name = string(\"y\")];\n    } -> (y);\n}\n";

static id loaded(void) {
    id model = model_of(twice, true), error = NULL;
    CHECK(compile(model, &error) && load(model, &error));
    return model;
}
static id filled(void) {
    id s = surface(16384);
    uint16_t *to = locked(s, 0);
    for (int i = 0; i < 128; i++) to[i] = 0x3c00;
    unlocked(s, 0);
    return s;
}
static bool is_two(id s) {
    bool is = locked(s, 1)[5] == 0x4000;
    unlocked(s, 1);
    return is;
}
static id client(void) { return SEND(id)(CLASS("_ANEClient"), SEL("sharedConnection")); }
#define RUN(selector) SEND(bool, id, id, id, unsigned, id *)(client(), SEL(selector), model, empty(), request, 21, &error)

/* The ways to run one request. */
static void ways(void) {
    begin();
    void *p = push();
    id model = loaded(), error = NULL, in = filled(), out = surface(16384);
    int at = 0;
    id request = request_of(&in, &at, 1, out);
    CHECK(RUN("evaluateWithModel:options:request:qos:error:") && is_two(out));
    CHECK(RUN("doEvaluateDirectWithModel:options:request:qos:error:") && is_two(out));
    CHECK(!SEND(bool, id, id, id, id *)(client(), SEL("evaluateRealTimeWithModel:options:request:error:"), model, empty(), request, &error));
    id inner = SEND(id)(model, SEL("model")), program = SEND(id)(model, SEL("program"));
    unsigned result = 7;
    unsigned long long string_id = SEND(unsigned long long)(inner, SEL("string_id"));
    CHECK(SEND(bool, id, id, unsigned, unsigned long, unsigned long long, id, unsigned *, id *)(
        program, SEL("processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:"), request, inner, 21, 0, string_id, empty(),
        &result, &error));
    CHECK_EQ(result, 0);
    CHECK(SEND(bool, id, bool, id *)(model, SEL("mapIOSurfacesWithRequest:cacheInference:error:"), request, true, &error));
    SEND(void, id)(model, SEL("unmapIOSurfacesWithRequest:"), request);
    CHECK(unload(model, &error));
    clean(model);
    release(in), release(out);
    pop(p);
    end(0);
}

/* A failed direct run asks the model in memory for its getUUID: a client gives it one, or passes the inner model. */
static id no_uuid(id self, SEL_ selector) { return (void)self, (void)selector, NULL; }

static void trap(void) {
    begin();
    void *p = push();
    id model = loaded(), error = NULL, in = filled(), small = surface(16384), inputs[2] = { in, in };
    int at[2] = { 0, 0 };
    id request = request_of(inputs, at, 2, small);
    CHECK(!RUN("doEvaluateDirectWithModel:options:request:qos:error:"));
    noticed("getUUID is sent");
    CHECK(SYM(bool, class_addMethod, id, SEL_, void *, const char *)(CLASS("_ANEInMemoryModel"), SEL("getUUID"), (void *)no_uuid, "@@:"));
    CHECK(!RUN("doEvaluateDirectWithModel:options:request:qos:error:"));
    id program = SEND(id)(model, SEL("program")), inner = SEND(id)(model, SEL("model"));
    SYM(id, objc_retain, id)(program);
    CHECK(unload(model, &error));
    CHECK(!SEND(bool, id, id, unsigned, unsigned long, unsigned long long, id, unsigned *, id *)(
        program, SEL("processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:"), request, inner, 21, 0, 0, empty(), NULL, &error));
    noticed("of an earlier load");
    SYM(void, objc_release, id)(program);
    clean(model);
    release(in), release(small);
    pop(p);
    end(4);
}

static void statistics(void) {
    begin();
    void *p = push();
    CONTROL(int, set, const char *, long)("statistics", 1);
    CHECK(!SEND(id)(SEND(id)(CLASS("_ANEPerformanceStats"), SEL("alloc")), SEL("init")));
    CHECK_EQ(SEND(unsigned, unsigned)(CLASS("_ANEPerformanceStats"), SEL("driverMaskForANEFMask:"), 0x1F), 0);
    id model = loaded(), error = NULL, in = filled(), out = surface(16384);
    SEND(void, unsigned)(SEND(id)(model, SEL("model")), SEL("setPerfStatsMask:"), 1);
    int at = 0;
    id request = request_of(&in, &at, 1, out);
    id stats = SEND(id, unsigned long long)(CLASS("_ANEPerformanceStats"), SEL("statsWithHardwareExecutionNS:"), 0);
    SEND(void, id)(request, SEL("setPerfStats:"), stats);
    CHECK(evaluate(model, request, &error));
    CHECK(SEND(unsigned long long)(stats, SEL("hwExecutionTime")) > 0);
    CHECK(unload(model, &error));
    clean(model);
    release(in), release(out);
    pop(p);
    end(0);
}

static void registry(void) {
    begin();
    uint32_t service = SYM(uint32_t, IOServiceGetMatchingService, uint32_t, id)(0, SYM(id, IOServiceMatching, const char *)("H11ANEIn"));
    CHECK(service != 0);
    CHECK_EQ(SYM(uint32_t, IOServiceGetMatchingService, uint32_t, id)(0, SYM(id, IOServiceMatching, const char *)("AppleANELoadBalancer")), 0);
    char name[128] = "";
    uint64_t entry = 0;
    uint32_t connection = 0, self = *(uint32_t *)dlsym(library, "mach_task_self_");
    CHECK_EQ(SYM(int, IOObjectGetClass, uint32_t, char *)(service, name), 0);
    CHECK_EQ((const char *)name, "H11ANEIn");
    CHECK_EQ(SYM(int, IORegistryEntryGetRegistryEntryID, uint32_t, uint64_t *)(service, &entry), 0);
    CHECK_EQ((uint32_t)SYM(int, IOServiceOpen, uint32_t, uint32_t, uint32_t, uint32_t *)(service, self, 0, &connection), 0xe00002e2);
    CONTROL(int, set, const char *, long)("entitled", 1);
    CHECK_EQ(SYM(int, IOServiceOpen, uint32_t, uint32_t, uint32_t, uint32_t *)(service, self, 0, &connection), 0);
    CHECK_EQ(SYM(int, IOServiceClose, uint32_t)(connection), 0);
    CHECK_EQ(SYM(int, IOObjectRelease, uint32_t)(service), 0);
    CHECK(dlsym(library, "ANECCompile") && dlsym(library, "ANEServicesDeviceOpen") && dlsym(library, "ANEValidateNetworkCreate"));
    end(0);
    SYM(void *, ANECCompile, void)();
    noticed("its arguments are not known");
    CHECK(SYM(int, IOObjectRelease, uint32_t)(service) == 0);
    noticed("released io_service is released again");
    end(2);
}

TEST_MAIN(CASE(ways), CASE(trap), CASE(statistics), CASE(registry))
