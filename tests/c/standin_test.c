/* SPDX-License-Identifier: MIT */
/* The stand-in for Apple's frameworks, by a client of its own that is written from the facts: programs are compiled, loaded and
 * run, their numbers checked, and everything that the stand-in is to notice is done wrong once. */
#include "standin_objc.h"

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3505.4.1\"}})]\n{\n"
/* y = relu(a - b), so that ports that are exchanged show */
static const char subtract[] = HEAD
    "    func main<ios18>(tensor<fp16, [1, 4, 1, 8]> a, tensor<fp16, [1, 4, 1, 8]> b) {\n"
    "        tensor<fp16, [1, 4, 1, 8]> s = sub(x = a, y = b)[name = string(\"s\")];\n"
    "        tensor<fp16, [1, 4, 1, 8]> y = relu(x = s)[name = string(\"y\")];\n    } -> (y);\n}\n";

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
    use_standin();
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
