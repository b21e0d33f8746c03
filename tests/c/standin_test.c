/* SPDX-License-Identifier: MIT */
/* The stand-in for Apple's frameworks, by a client of its own that is written from the facts: programs are compiled, loaded and
 * run, their numbers checked, and everything that the stand-in is to notice is done wrong once. */
#include "standin_client.h"

static id string(const char *text) { return SEND(id, const char *)(CLASS("NSString"), SEL("stringWithUTF8String:"), text); }
static id number(int value) { return SEND(id, int)(CLASS("NSNumber"), SEL("numberWithInt:"), value); }
static id data(const void *bytes, size_t n) {
    return SEND(id, const void *, unsigned long)(CLASS("NSData"), SEL("dataWithBytes:length:"), bytes, n);
}
static id empty(void) { return SEND(id)(CLASS("NSDictionary"), SEL("dictionary")); }
static id array(const id *items, unsigned long n) {
    return SEND(id, const id *, unsigned long)(CLASS("NSArray"), SEL("arrayWithObjects:count:"), items, n);
}
static void *push(void) { return SYM(void *, objc_autoreleasePoolPush, void)(); }
static void pop(void *p) { SYM(void, objc_autoreleasePoolPop, void *)(p); }

static id surface(int bytes) {
    static const char *const names[] = { "IOSurfaceWidth", "IOSurfaceHeight", "IOSurfaceBytesPerElement", "IOSurfaceBytesPerRow",
                                         "IOSurfaceAllocSize", "IOSurfacePixelFormat" };
    id keys[6], values[6] = { number(bytes), number(1), number(1), number(bytes), number(bytes), number(0) };
    for (int i = 0; i < 6; i++) keys[i] = string(names[i]);
    id properties = SEND(id, const id *, const id *, unsigned long)(CLASS("NSDictionary"), SEL("dictionaryWithObjects:forKeys:count:"),
                                                                   values, keys, 6);
    return SYM(id, IOSurfaceCreate, id)(properties);
}
static uint16_t *locked(id s, uint32_t options) {
    SYM(int, IOSurfaceLock, id, uint32_t, uint32_t *)(s, options, NULL);
    return SYM(void *, IOSurfaceGetBaseAddress, id)(s);
}
static void unlocked(id s, uint32_t options) { SYM(int, IOSurfaceUnlock, id, uint32_t, uint32_t *)(s, options, NULL); }
static void release(id o) { SYM(void, CFRelease, id)(o); }

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
/* y = relu(a - b), so that ports that are exchanged show */
static const char subtract[] = HEAD
    "    func main<ios18>(tensor<fp16, [1, 4, 1, 8]> a, tensor<fp16, [1, 4, 1, 8]> b) {\n"
    "        tensor<fp16, [1, 4, 1, 8]> s = sub(x = a, y = b)[name = string(\"s\")];\n"
    "        tensor<fp16, [1, 4, 1, 8]> y = relu(x = s)[name = string(\"y\")];\n    } -> (y);\n}\n";

/* A model of the text, its files written; all autoreleased. */
static id model_of(const char *text, bool files) {
    id descriptor = SEND(id, id, id, id)(CLASS("_ANEInMemoryModelDescriptor"), SEL("modelWithMILText:weights:optionsPlist:"),
                                         data(text, strlen(text)), empty(), NULL);
    id model = SEND(id, id)(CLASS("_ANEInMemoryModel"), SEL("inMemoryModelWithDescriptor:"), descriptor);
    id path = SEND(id)(model, SEL("localModelPath"));
    if (!path || !files) return model;
    char name[1200];
    const char *folder = SEND(const char *)(path, SEL("UTF8String"));
    mkdir(folder, 0700);
    snprintf(name, sizeof name, "%s/model.mil", folder);
    FILE *file = fopen(name, "wb");
    if (file) fwrite(text, 1, strlen(text), file), fclose(file);
    return model;
}
static void clean(id model) {
    char name[1200];
    const char *folder = SEND(const char *)(SEND(id)(model, SEL("localModelPath")), SEL("UTF8String"));
    snprintf(name, sizeof name, "%s/model.mil", folder);
    unlink(name), rmdir(folder);
}
static bool compile(id model, id *error) {
    return SEND(bool, unsigned, id, id *)(model, SEL("compileWithQoS:options:error:"), 21, empty(), error);
}
static bool load(id model, id *error) {
    return SEND(bool, unsigned, id, id *)(model, SEL("loadWithQoS:options:error:"), 21, empty(), error);
}
static bool unload(id model, id *error) { return SEND(bool, unsigned, id *)(model, SEL("unloadWithQoS:error:"), 21, error); }
static bool evaluate(id model, id request, id *error) {
    return SEND(bool, unsigned, id, id, id *)(model, SEL("evaluateWithQoS:options:request:error:"), 21, empty(), request, error);
}
static id request_of(const id *in, const int *at, unsigned long n, id out) {
    id objects[4], places[4], zero = number(0);
    for (unsigned long i = 0; i < n; i++) {
        objects[i] = SEND(id, id)(CLASS("_ANEIOSurfaceObject"), SEL("objectWithIOSurface:"), in[i]);
        places[i] = number(at[i]);
    }
    id result = SEND(id, id)(CLASS("_ANEIOSurfaceObject"), SEL("objectWithIOSurface:"), out);
    return SEND(id, id, id, id, id, id, id, id)(
        CLASS("_ANERequest"), SEL("requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"),
        array(objects, n), array(places, n), array(&result, 1), array(&zero, 1), NULL, NULL, zero);
}

/* The place of a symbol, as the loaded model reports it. */
static int place_of(id model, const char *symbol) {
    id about = SEND(id, id)(SEND(id)(model, SEL("modelAttributes")), SEL("objectForKey:"), string("ANEFModelDescription"));
    id names = SEND(id, id)(about, SEL("objectForKey:"), string("kANEFModelInputSymbolsArrayKey"));
    unsigned long n = SEND(unsigned long)(names, SEL("count"));
    for (unsigned long i = 0; i < n; i++) {
        id name = SEND(id, unsigned long)(names, SEL("objectAtIndex:"), i);
        if (!strcmp(SEND(const char *)(name, SEL("UTF8String")), symbol)) return (int)i;
    }
    return -1;
}

static void runs(void) {
    begin();
    void *p = push();
    id model = model_of(subtract, true), error = NULL;
    CHECK(compile(model, &error) && load(model, &error));
    id in[2] = { surface(16384), surface(16384) }, out = surface(16384);
    for (int k = 0; k < 2; k++) {
        uint16_t *to = locked(in[k], 0);
        for (int i = 0; i < 4 * 32; i++) to[i] = k ? 0x3c00 : 0x4200;          /* a = 3, b = 1; rows of 64 bytes */
        unlocked(in[k], 0);
    }
    int at[2] = { place_of(model, "a"), place_of(model, "b") };
    CHECK_EQ(at[0], 1);                                                    /* against the alphabet */
    CHECK(evaluate(model, request_of(in, at, 2, out), &error));
    const uint16_t *from = locked(out, 1);
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < 8; i++) CHECK_EQ(from[c * 32 + i], 0x4000);    /* 2 */
    CHECK_EQ(from[8], 0xA5A5);                                             /* beyond a row nothing is written */
    unlocked(out, 1);
    CHECK(unload(model, &error));
    clean(model);
    release(in[0]), release(in[1]), release(out);
    pop(p);
    end(0);
}

static void errors(void) {
    begin();
    void *p = push();
    id error = NULL;
    id model = model_of(subtract, false);
    CHECK(!compile(model, &error) && error);                               /* no files */
    noticed("model.mil is missing");
    model = model_of(HEAD "func main<ios18>(tensor<fp16, [1, 4, 1, 8]> x) {} -> (y);\n}\n", true);
    CHECK(!compile(model, &error));
    id under = SEND(id, id)(SEND(id)(error, SEL("userInfo")), SEL("objectForKey:"), string("NSUnderlyingError"));
    CHECK_HAS(SEND(const char *)(SEND(id)(under, SEL("localizedDescription")), SEL("UTF8String")), "InvalidMILProgram");
    clean(model);
    model = model_of(subtract, true);
    CHECK(compile(model, &error) && load(model, &error));
    id in[2] = { surface(16384), surface(16384) };
    int twice[2] = { 0, 0 };
    CHECK(!evaluate(model, request_of(in, twice, 2, in[0]), &error));
    CHECK_EQ(SEND(long)(error, SEL("code")), 8);
    CONTROL(void, fail_named, const char *)("_ANEInMemoryModel evaluateWithQoS:options:request:error:");
    CHECK(!evaluate(model, request_of(in, twice, 2, in[0]), &error));
    CONTROL(void, fail_named, const char *)(NULL);
    CHECK(unload(model, &error) && !unload(model, &error));
    clean(model);
    release(in[0]), release(in[1]);
    pop(p);
    end(3);
}

static void wrongs(void) {
    begin();
    void *p = push();
    id text = string("x");
    SEND(void)(text, SEL("frobnicate"));
    noticed("unrecognized selector");
    id nothing[1] = { NULL };
    CHECK(!array(nothing, 1));
    CHECK(!SEND(id, id, id, id)(CLASS("_ANEInMemoryModelDescriptor"), SEL("modelWithMILText:weights:optionsPlist:"), text, empty(), NULL));
    pop(p);
    SEND(const char *)(text, SEL("UTF8String"));
    CHECK_HAS(CONTROL(const char *, violation, long)(3), "a released NSString");
    release(text);
    end(5);
}

static void surfaces(void) {
    begin();
    void *p = push();
    id s = surface(100);
    uint16_t *at = locked(s, 0);
    unlocked(s, 0);
    unlocked(s, 0);
    noticed("is not locked");
#if !defined __SANITIZE_ADDRESS__
    *(volatile uint16_t *)at = 1;
    CHECK_HAS(CONTROL(const char *, violation, long)(1), "accessed unlocked");
    release(s);
    pop(p);
    end(2);
#else
    (void)at;
    release(s);
    pop(p);
    end(1);
#endif
}

/* The engine itself on it: nothing that it does is noticed, and nothing stays alive. */
static mil_status engine_run(bool order, mil_error *err) {
    mil_compile_options options = MIL_COMPILE_DEFAULTS;
    options.engine = "ane";
    mil_model *model = NULL;
    CONTROL(int, set, const char *, long)("order", order);
    mil_status status = mil_text_compile(subtract, strlen(subtract), NULL, 0, &options, &model, err);
    if (status) return status;
    static const int64_t shape[] = { 1, 4, 1, 8 };
    mil_tensor *in[2] = { NULL, NULL }, *out[1] = { NULL };
    for (int k = 0; k < 2; k++) {
        CHECK_EQ(mil_tensor_new(MIL_FP16, 4, shape, &in[k], NULL), MIL_OK);
        for (int i = 0; i < 32; i++) ((uint16_t *)mil_tensor_data(in[k]))[i] = k ? 0x3c00 : 0x4200;
    }
    status = mil_model_run(model, in, out, err);
    if (!status) CHECK_EQ(*(uint16_t *)mil_tensor_data(out[0]), 0x4000);
    mil_tensor_free(in[0]), mil_tensor_free(in[1]), mil_tensor_free(out[0]);
    mil_model_free(model);
    return status;
}

static void engine(void) {
    char folder[1024];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 64);
    folder[n > 0 ? n : 0] = 0;
    char *slash = strrchr(folder, '/');
    strcpy(slash ? slash : folder, "/../standin");
    setenv("MIL_FRAMEWORKS", folder, 1);
    begin();
    mil_error err = { 0 };
    for (int order = 0; order < 2; order++) CHECK_OK(engine_run(order, &err), &err);
    CONTROL(void, fail_named, const char *)("IOSurfaceGetBaseAddress");
    CHECK_EQ(engine_run(false, &err), MIL_EIO);
    CHECK(strstr(err.message, "IOSurfaceGetBaseAddress"));
    CONTROL(void, fail_named, const char *)(NULL);
    CHECK_OK(engine_run(false, &err), &err);
    end(0);
}

TEST_MAIN(CASE(engine), CASE(runs), CASE(errors), CASE(wrongs), CASE(surfaces))
