/* SPDX-License-Identifier: MIT */
/* The stand-in's Core ML, by a client of its own that makes the calls of Apple's public headers: a package is compiled, loaded and run in
 * every way, and what the stand-in is to notice is done wrong once. */
#include "standin_objc.h"

#define NEW(class) SEND(id)(CLASS(class), SEL("new"))
#define ALLOC(class) SEND(id)(CLASS(class), SEL("alloc"))
enum { FLOAT16 = 0x10010, FLOAT32 = 0x10020 };

/* y = x + b where b may come from a state */
static const char plain[] = "program(1.3)\n{\n    func main<ios18>(tensor<fp32, [2, 3]> x) {\n"
    "        fp32 one = const()[name = string(\"one\"), val = fp32(1)];\n"
    "        tensor<fp32, [2, 3]> y = add(x = x, y = one)[name = string(\"y\")];\n    } -> (y);\n}\n";
static const char counting[] = "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [3]> x, state<tensor<fp16, [3]>> sum) {\n"
    "        tensor<fp16, [3]> old = read_state(input = sum)[name = string(\"old\")];\n"
    "        tensor<fp16, [3]> y = add(x = x, y = old)[name = string(\"y\")];\n"
    "        write_state(input = sum, data = y)[name = string(\"w\")];\n    } -> (y);\n}\n";

/* ---- from a text to a loaded model; autoreleased ---- */

static id url(const char *path) { return SEND(id, id)(CLASS("NSURL"), SEL("fileURLWithPath:"), string(path)); }
static const char *text_of(id s) { return SEND(const char *)(s, SEL("UTF8String")); }
static const char *reason(id error) { return text_of(SEND(id)(error, SEL("localizedDescription"))); }

static char compiled_path[1024];

static id compiled(const char *text) {
    char path[256];
    mil_program *program = NULL;
    mil_error err = { 0 };
    snprintf(path, sizeof path, "%s/model.mlpackage", test_folder());
    CHECK_OK(mil_text_parse(text, strlen(text), NULL, &program, &err), &err);
    CHECK_OK(mil_program_save(program, path, NULL, &err), &err);
    mil_program_free(program);
    id error = NULL, out = SEND(id, id, id *)(CLASS("MLModel"), SEL("compileModelAtURL:error:"), url(path), &error);
    if (!CHECK(out != NULL)) fprintf(stderr, "  %s\n", reason(error));
    snprintf(compiled_path, sizeof compiled_path, "%s", out ? text_of(SEND(id)(out, SEL("path"))) : "");
    return out;
}

static id loaded(const char *text) {
    id configuration = NEW("MLModelConfiguration"), error = NULL;
    SEND(void, long)(configuration, SEL("setComputeUnits:"), 3);
    id model = SEND(id, id, id, id *)(CLASS("MLModel"), SEL("modelWithContentsOfURL:configuration:error:"), compiled(text), configuration, &error);
    if (!CHECK(model != NULL)) fprintf(stderr, "  %s\n", reason(error));
    release(configuration);
    return model;
}
static void done(void) { remove_all(compiled_path); }

/* ---- blocks, arrays, features ---- */

typedef struct block {
    void *isa;
    int flags, reserved;
    void (*invoke)(struct block *self, id a, id b);
    const void *descriptor;
} block;
static block block_of(void (*invoke)(block *self, id a, id b)) {
    static const struct { unsigned long reserved, size; } about = { 0, sizeof(block) };
    return (block){ dlsym(library, "_NSConcreteGlobalBlock"), 1 << 28, 0, invoke, &about };
}

static int freed;
static void on_free(block *self, id bytes, id unused) { (void)self, (void)bytes, (void)unused, freed++; }

static id numbers(int n, const int *values) {
    id items[8];
    for (int i = 0; i < n; i++) items[i] = number(values[i]);
    return array(items, (unsigned long)n);
}
/* +1 */
static id array_over(void *memory, long type, int rank, const int *shape, const int *strides, block *deallocator) {
    id error = NULL;
    return SEND(id, void *, id, long, id, void *, id *)(ALLOC("MLMultiArray"), SEL("initWithDataPointer:shape:dataType:strides:deallocator:error:"),
                                                        memory, numbers(rank, shape), type, numbers(rank, strides), deallocator, &error);
}
/* +1 */
static id features_of(const char *name, id array_) {
    id key = string(name), error = NULL, value = SEND(id, id)(CLASS("MLFeatureValue"), SEL("featureValueWithMultiArray:"), array_);
    return SEND(id, id, id *)(ALLOC("MLDictionaryFeatureProvider"), SEL("initWithDictionary:error:"), dictionary(&value, &key, 1), &error);
}
static id result_of(id features, const char *name) {
    return SEND(id)(SEND(id, id)(features, SEL("featureValueForName:"), string(name)), SEL("multiArrayValue"));
}

/* x of [2, 3] in rows of 4 */
static float memory[8];
static const int shape[] = { 2, 3 }, gaps[] = { 4, 1 }, dense[] = { 3, 1 };
static id input(block *deallocator) {
    for (int i = 0; i < 8; i++) memory[i] = (float)i;
    id over = array_over(memory, FLOAT32, 2, shape, gaps, deallocator), features = features_of("x", over);
    release(over);
    return features;
}
static bool right(id array_) {
    const float *from = SEND(void *)(array_, SEL("dataPointer"));
    id strides = SEND(id)(array_, SEL("strides"));
    long step = SEND(long)(SEND(id, unsigned long)(strides, SEL("objectAtIndex:"), 0), SEL("integerValue"));
    bool ok = true;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++) ok &= from[i * step + k] == (float)(4 * i + k + 1);
    return CHECK(ok);
}

/* ---- what works ---- */

static void predicts(void) {
    begin();
    void *p = push();
    freed = 0;
    block on = block_of(on_free);
    id model = loaded(plain), features = input(&on), options = NEW("MLPredictionOptions"), error = NULL;
    CHECK_EQ(CONTROL(long, seen, const char *)("units"), 3);
    right(result_of(SEND(id, id, id, id *)(model, SEL("predictionFromFeatures:options:error:"), features, options, &error), "y"));
    float to[6] = { 0 };
    id backing = array_over(to, FLOAT32, 2, shape, dense, NULL), key = string("y");
    SEND(void, id)(options, SEL("setOutputBackings:"), dictionary(&backing, &key, 1));
    id got = result_of(SEND(id, id, id, id *)(model, SEL("predictionFromFeatures:options:error:"), features, options, &error), "y");
    CHECK(got == backing && to[3] == 5);
    CONTROL(int, set, const char *, long)("ml_backings", 0);
    got = result_of(SEND(id, id, id, id *)(model, SEL("predictionFromFeatures:options:error:"), features, options, &error), "y");
    CHECK(got != backing);
    right(got);
    release(features), release(options), release(backing);
    done();
    pop(p);
    CHECK_EQ(freed, 1);
    end(0);
}

static void batches(void) {
    begin();
    void *p = push();
    id model = loaded(plain), features = input(NULL), rows[2] = { features, features }, error = NULL;
    id batch = SEND(id, id)(ALLOC("MLArrayBatchProvider"), SEL("initWithFeatureProviderArray:"), array(rows, 2));
    id results = SEND(id, id, id *)(model, SEL("predictionsFromBatch:error:"), batch, &error);
    CHECK_EQ(SEND(long)(results, SEL("count")), 2);
    right(result_of(SEND(id, long)(results, SEL("featuresAtIndex:"), 1), "y"));
    release(features), release(batch);
    done();
    pop(p);
    end(0);
}

static int told;
static id kept;
static void on_result(block *self, id result, id error) {
    (void)self;
    if (!error) kept = SYM(id, objc_retain, id)(result);
    __atomic_store_n(&told, error ? 2 : 1, __ATOMIC_RELEASE);
}
static int waited(void) {
    int is;
    while (!(is = __atomic_load_n(&told, __ATOMIC_ACQUIRE))) usleep(200);
    return is;
}

static void asynchronous(void) {
    begin();
    void *p = push();
    block on = block_of(on_result);
    id model = loaded(plain), features = input(NULL), options = NEW("MLPredictionOptions");
    told = 0;
    SEND(void, id, id, void *)(model, SEL("predictionFromFeatures:options:completionHandler:"), features, options, &on);
    CHECK_EQ(waited(), 1);
    right(result_of(kept, "y"));
    release(kept);
    told = 0;
    CONTROL(void, fail_named, const char *)("MLModel predictionFromFeatures:options:completionHandler:");
    SEND(void, id, id, void *)(model, SEL("predictionFromFeatures:options:completionHandler:"), features, options, &on);
    CHECK_EQ(waited(), 2);
    release(features), release(options);
    done();
    pop(p);
    end(0);
}

static int state_first;
static void on_state(block *self, id array_, id unused) {
    (void)self, (void)unused;
    state_first = *(uint16_t *)SEND(void *)(array_, SEL("dataPointer"));
}

static void states(void) {
    begin();
    void *p = push();
    static uint16_t half[3] = { 0x3c00, 0x3c00, 0x3c00 };
    static const int three[] = { 3 }, one[] = { 1 };
    block on = block_of(on_state);
    id model = loaded(counting), state = SEND(id)(model, SEL("newState")), options = NEW("MLPredictionOptions"), error = NULL;
    id over = array_over(half, FLOAT16, 1, three, one, NULL), features = features_of("x", over), got = NULL;
    for (int i = 0; i < 2; i++)
        got = SEND(id, id, id, id, id *)(model, SEL("predictionFromFeatures:usingState:options:error:"), features, state, options, &error);
    if (CHECK(got != NULL)) CHECK_EQ(*(uint16_t *)SEND(void *)(result_of(got, "y"), SEL("dataPointer")), 0x4000);
    SEND(void, id, void *)(state, SEL("getMultiArrayForStateNamed:handler:"), string("sum"), &on);
    CHECK_EQ(state_first, 0x4000);
    release(over), release(features), release(state), release(options);
    done();
    pop(p);
    end(0);
}

static void plans(void) {
    begin();
    void *p = push();
    block on = block_of(on_result);
    id at = compiled(plain), configuration = NEW("MLModelConfiguration");
    told = 0;
    SEND(void, id, id, void *)(CLASS("MLComputePlan"), SEL("loadContentsOfURL:configuration:completionHandler:"), at, configuration, &on);
    if (CHECK_EQ(waited(), 1)) {
        id program = SEND(id)(SEND(id)(kept, SEL("modelStructure")), SEL("program"));
        id operations = SEND(id)(SEND(id)(get(SEND(id)(program, SEL("functions")), "main"), SEL("block")), SEL("operations"));
        unsigned long n = SEND(unsigned long)(operations, SEL("count"));
        id last = SEND(id, unsigned long)(operations, SEL("objectAtIndex:"), n - 1), first = SEND(id, unsigned long)(operations, SEL("objectAtIndex:"), 0);
        CHECK_HAS(text_of(SEND(id)(last, SEL("operatorName"))), ".add");
        id usage = SEND(id, id)(kept, SEL("computeDeviceUsageForMLProgramOperation:"), last);
        CHECK(SEND(bool, id)(SEND(id)(usage, SEL("preferredComputeDevice")), SEL("isKindOfClass:"), CLASS("MLNeuralEngineComputeDevice")));
        CHECK_EQ(SEND(double)(SEND(id, id)(kept, SEL("estimatedCostOfMLProgramOperation:"), last), SEL("weight")), 1.0);
        CHECK(!SEND(id, id)(kept, SEL("computeDeviceUsageForMLProgramOperation:"), first));      /* a const */
        release(kept);
    }
    release(configuration);
    done();
    pop(p);
    end(0);
}

/* A pixel buffer and back; the model's description says what it takes. */
static void pixels(void) {
    begin();
    void *p = push();
    id buffer = NULL;
    CHECK_EQ(SYM(int, CVPixelBufferCreate, void *, size_t, size_t, uint32_t, id, id *)(NULL, 5, 2, 0x42475241, NULL, &buffer), 0);
    CHECK_EQ(SYM(size_t, CVPixelBufferGetBytesPerRow, id)(buffer), 64);
    CHECK(!SYM(void *, CVPixelBufferGetBaseAddress, id)(buffer));
    noticed("the buffer is not locked");
    CHECK_EQ(SYM(int, CVPixelBufferLockBaseAddress, id, uint64_t)(buffer, 0), 0);
    memset(SYM(void *, CVPixelBufferGetBaseAddress, id)(buffer), 1, 128);
    CHECK_EQ(SYM(int, CVPixelBufferUnlockBaseAddress, id, uint64_t)(buffer, 0), 0);
    id model = loaded(plain), about = SEND(id)(SEND(id)(model, SEL("modelDescription")), SEL("inputDescriptionsByName"));
    CHECK_EQ(SEND(long)(get(about, "x"), SEL("type")), 5);
    id key = string("x"), value = SEND(id, id)(CLASS("MLFeatureValue"), SEL("featureValueWithPixelBuffer:"), buffer), error = NULL;
    id features = SEND(id, id, id *)(ALLOC("MLDictionaryFeatureProvider"), SEL("initWithDictionary:error:"), dictionary(&value, &key, 1), &error);
    CHECK(!SEND(id, id, id *)(model, SEL("predictionFromFeatures:error:"), features, &error));
    CHECK_HAS(reason(error), "feature x is a CVPixelBuffer");
    release(features), release(buffer);
    done();
    pop(p);
    end(1);
}

/* ---- what is wrong ---- */

static void wrongs(void) {
    begin();
    void *p = push();
    id model = loaded(plain), error = NULL, options = NEW("MLPredictionOptions"), good = input(NULL), nothing = features_of("z", NULL);
    CHECK(!nothing);
    noticed("nil");
    id over = array_over(memory, FLOAT32, 2, shape, gaps, NULL), other = features_of("other", over);
    CHECK(!SEND(id, id, id *)(model, SEL("predictionFromFeatures:error:"), other, &error));
    CHECK_HAS(reason(error), "Feature x is required");
    float to[8] = { 0 };
    static const int transposed[] = { 3, 2 }, two[] = { 2, 1 };
    id wrong = array_over(to, FLOAT32, 2, transposed, two, NULL), key = string("y");
    SEND(void, id)(options, SEL("setOutputBackings:"), dictionary(&wrong, &key, 1));
    CHECK(!SEND(id, id, id, id *)(model, SEL("predictionFromFeatures:options:error:"), good, options, &error));
    noticed("the array for y is of another shape");
    CHECK(!SEND(id, id, id *)(CLASS("MLModel"), SEL("compileModelAtURL:error:"), url("/nowhere/model.txt"), &error));
    noticed("is no package");
    CHECK(!SEND(id, id, id *)(CLASS("MLModel"), SEL("compileModelAtURL:error:"), url("/nowhere/model.mlpackage"), &error));
    id configuration = NEW("MLModelConfiguration");
    SEND(void, long)(configuration, SEL("setComputeUnits:"), 4);
    noticed("setComputeUnits: 4");
    SEND(void, id)(configuration, SEL("setFunctionName:"), string("nowhere"));
    CHECK(!SEND(id, id, id, id *)(CLASS("MLModel"), SEL("modelWithContentsOfURL:configuration:error:"), url(compiled_path), configuration, &error));
    CHECK_HAS(reason(error), "no function of this name");
    CONTROL(void, fail_named, const char *)("MLMultiArray initWithDataPointer:shape:dataType:strides:deallocator:error:");
    CHECK(!array_over(memory, FLOAT32, 2, shape, gaps, NULL));
    CONTROL(void, fail_named, const char *)(NULL);
    release(options), release(good), release(over), release(other), release(wrong), release(configuration);
    done();
    pop(p);
    end(6);
}

TEST_MAIN(CASE(predicts), CASE(batches), CASE(asynchronous), CASE(states), CASE(plans), CASE(pixels), CASE(wrongs))
