/* SPDX-License-Identifier: MIT */
/* The stand-in's Espresso, by a client of its own that makes the calls of facts/ane-e5rt.md 1.4 by hand: a program is compiled,
 * run at once and asynchronously, and everything that the stand-in is to notice is done wrong once. */
#include "standin_client.h"

#define E5(name, ...) SYM(int32_t, e5rt_##name, __VA_ARGS__)
#define OUT(name) E5(name, void **)
typedef int64_t wide;

static const char *last_error(void) { return SYM(const char *, e5rt_get_last_error_message, void)(); }
/* 0, or the failure's text is shown. */
static bool went(int32_t code, const char *what) {
    if (code) fprintf(stderr, "  %s: %d %s\n", what, code, last_error());
    return code == 0;
}
#define WENT(call) CHECK(went((call), #call))

#define HEAD "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-version\", \"3520.5.1\"}})]\n{\n"
/* y = a - b and z = a * b; ports that are exchanged show */
static const char two[] = HEAD
    "    func main<ios18>(tensor<fp16, [1, 4, 1, 6]> a, tensor<fp16, [1, 4, 1, 6]> b) {\n"
    "        tensor<fp16, [1, 4, 1, 6]> y = sub(x = a, y = b)[name = string(\"y\")];\n"
    "        tensor<fp16, [1, 4, 1, 6]> z = mul(x = a, y = b)[name = string(\"z\")];\n    } -> (y, z);\n}\n";

static const char *write_program(const char *text) {
    static char path[128];
    snprintf(path, sizeof path, "%s/model.mil", test_folder());
    write_bytes(path, text, strlen(text));
    return path;
}

/* Steps 2 to 4; NULL: refused, and the code is in *code. */
static void *compiled(const char *text, int32_t *code) {
    void *config = NULL, *compiler = NULL, *options = NULL, *library_ = NULL;
    char cache[128];
    const char *path = write_program(text);
    snprintf(cache, sizeof cache, "%s/cache", test_folder());
    WENT(OUT(e5_compiler_config_options_create)(&config));
    WENT(E5(e5_compiler_config_options_set_cache_bundle_location, void *, const char *)(config, cache));
    WENT(E5(e5_compiler_create_with_config, void **, void *)(&compiler, config));
    WENT(OUT(e5_compiler_options_create)(&options));
    WENT(E5(e5_compiler_options_set_compute_device_types_mask, void *, uint64_t)(options, 4));
    WENT(E5(e5_compiler_options_set_force_recompilation, void *, bool)(options, true));
    WENT(E5(e5_compiler_options_set_segmenter, void *, const char *)(options, "graph"));
    *code = E5(e5_compiler_compile, void *, const char *, void *, void **)(compiler, path, options, &library_);
    WENT(OUT(e5_compiler_options_release)(&options));
    WENT(OUT(e5_compiler_release)(&compiler));
    WENT(OUT(e5_compiler_config_options_release)(&config));
    return library_;
}

typedef struct program {
    void *library, *function, *options, *operation, *stream, *event;
    void *ports[4], *buffers[4];        /* a, b, y, z */
    uint16_t *data[4];
} program;

static const char *const names[] = { "a", "b", "y", "z" };

/* Steps 5 to 10. */
static bool made(program *p) {
    int32_t code;
    *p = (program){ .library = compiled(two, &code) };
    if (!CHECK(went(code, "compile"))) return false;
    WENT(E5(program_library_retain_program_function, void *, const char *, void **)(p->library, "main", &p->function));
    WENT(E5(precompiled_compute_op_create_options_create_with_program_function, void **, void *)(&p->options, p->function));
    WENT(E5(precompiled_compute_op_create_options_set_operation_name, void *, const char *)(p->options, "main"));
    WENT(E5(precompiled_compute_op_create_options_set_allocate_intermediate_buffers, void *, bool)(p->options, true));
    WENT(E5(execution_stream_operation_create_precompiled_compute_operation_with_options, void **, void *)(&p->operation, p->options));
    for (int i = 0; i < 4; i++) {
        if (i < 2) WENT(E5(execution_stream_operation_retain_input_port, void *, const char *, void **)(p->operation, names[i], &p->ports[i]));
        else WENT(E5(execution_stream_operation_retain_output_port, void *, const char *, void **)(p->operation, names[i], &p->ports[i]));
        WENT(E5(buffer_object_alloc, void **, uint64_t, uint32_t)(&p->buffers[i], 64, 0));
        WENT(E5(buffer_object_get_data_ptr, void *, void **)(p->buffers[i], (void **)&p->data[i]));
        memset(p->data[i], 0, 64);
        WENT(E5(io_port_bind_buffer_object, void *, void *)(p->ports[i], p->buffers[i]));
    }
    WENT(OUT(execution_stream_create)(&p->stream));
    return true;
}

static int32_t encode(program *p) {
    return E5(execution_stream_encode_operation, void *, void *)(p->stream, p->operation);
}
static int32_t execute(program *p) { return E5(execution_stream_execute_sync, void *)(p->stream); }

/* Step 13. */
static void freed(program *p) {
    WENT(OUT(execution_stream_release)(&p->stream));
    for (int i = 0; i < 4; i++) {
        WENT(OUT(buffer_object_release)(&p->buffers[i]));
        WENT(OUT(io_port_release)(&p->ports[i]));
    }
    if (p->event) WENT(OUT(async_event_release)(&p->event));
    WENT(OUT(execution_stream_operation_release)(&p->operation));
    WENT(OUT(precompiled_compute_op_create_options_release)(&p->options));
    WENT(OUT(program_function_release)(&p->function));
    WENT(OUT(program_library_release)(&p->library));
}

static void fill(program *p) {
    for (int i = 0; i < 24; i++) p->data[0][i] = 0x4400, p->data[1][i] = 0x4000;    /* 4 and 2 */
}
static void right(program *p) {
    for (int i = 0; i < 24; i++) CHECK_EQ(p->data[2][i], 0x4000), CHECK_EQ(p->data[3][i], 0x4800);    /* 2 and 8 */
    CHECK_EQ(p->data[2][24], 0);
}

/* The facts' sequence, twice on the encoded stream, and once more encoded anew. */
static void runs(void) {
    program p;
    begin();
    if (!made(&p)) return;
    fill(&p);
    WENT(encode(&p));
    for (int i = 0; i < 2; i++) {
        memset(p.data[2], 0, 64);
        WENT(execute(&p));
        right(&p);
    }
    WENT(E5(execution_stream_reset, void *)(p.stream));
    WENT(E5(execution_stream_operation_prepare_op_for_encode, void *)(p.operation));
    WENT(E5(io_port_bind_buffer_object, void *, void *)(p.ports[0], p.buffers[1]));
    WENT(encode(&p));
    WENT(execute(&p));
    CHECK_EQ(p.data[2][0], 0);                                  /* 2 - 2 */
    freed(&p);
    end(0);
}

/* What is asked of the operation, its ports and their descriptors. */
static void asked(void) {
    program p;
    begin();
    if (!made(&p)) return;
    uint64_t n = 0, rank = 0, size = 0;
    const char *found[2] = { "", "" };
    WENT(E5(execution_stream_operation_get_num_inputs, void *, uint64_t *)(p.operation, &n));
    CHECK_EQ(n, 2);
    WENT(E5(execution_stream_operation_get_output_names, void *, uint64_t, const char **)(p.operation, 2, found));
    CHECK_EQ(found[0], "z");                                    /* against the alphabet: bind by name */
    void *desc = NULL, *dtype = NULL;
    const uint64_t *shape = NULL, *strides = NULL;
    WENT(E5(io_port_retain_tensor_desc, void *, void **)(p.ports[0], &desc));
    WENT(E5(tensor_desc_get_shape, void *, uint64_t *, const uint64_t **)(desc, &rank, &shape));
    CHECK_EQ(rank, 4);
    CHECK_EQ(shape[3], 6);
    WENT(E5(tensor_desc_get_strides, void *, uint64_t *, const uint64_t **)(desc, &rank, &strides));
    CHECK_EQ(strides[1], 6);
    WENT(E5(tensor_desc_get_size, void *, uint64_t *)(desc, &size));
    CHECK_EQ(size, 48);
    WENT(E5(tensor_desc_retain_dtype, void *, void **)(desc, &dtype));
    WENT(E5(tensor_desc_dtype_get_element_size, void *, uint64_t *)(dtype, &size));
    CHECK_EQ(size, 2);
    WENT(OUT(tensor_desc_release)(&desc));
    freed(&p);
    end(0);
}

/* The engine alone: a failure has code 11 and a text; a returned width of 64 bits would not be 0. */
static void refusals(void) {
    int32_t code;
    begin();
    CHECK(!compiled(HEAD "    func main<ios18>(tensor<fp16, [1, 4]> x) {\n"
                         "        tensor<fp16, [1, 4]> y = tan(x = x)[name = string(\"y\")];\n    } -> (y);\n}\n", &code));
    CHECK_EQ(code, 11);
    CHECK_HAS(last_error(), "not supported on any of the specified backends: tan y");
    CHECK(!compiled(HEAD "    func main<ios18>(tensor<fp32, [1, 4]> x) {\n"
                         "        tensor<fp32, [1, 4]> y = relu(x = x)[name = string(\"y\")];\n    } -> (y);\n}\n", &code));
    CHECK_HAS(last_error(), "port x");
    CHECK(!compiled(HEAD "    func main<ios18>(tensor<fp16, [1, 4]> x) {\n"
                         "        tensor<fp16, [1, 4]> y = relu(x = x);\n    } -> (y);\n}\n", &code));
    CHECK_HAS(last_error(), "has no name");
    CHECK(!compiled(HEAD "    func main<ios18>(tensor<fp16, [1, 4]> x) {\n    } -> (x);\n}\n", &code));
    CHECK_HAS(last_error(), "key not found");
    void *config = NULL;
    CHECK(SYM(wide, e5rt_e5_compiler_config_options_create, void **)(&config) != 0);
    WENT(OUT(e5_compiler_config_options_release)(&config));
    end(0);
}

/* What one source says only when it is believed. */
static void believed(void) {
    static const char identity[] = HEAD "    func main<ios18>(tensor<fp16, [1, 4]> x) {\n"
        "        tensor<fp16, [1, 4]> i = identity(x = x)[name = string(\"i\")];\n"
        "        tensor<fp16, [1, 4]> y = relu(x = i)[name = string(\"y\")];\n    } -> (y);\n}\n";
    int32_t code;
    begin();
    void *library_ = compiled(identity, &code);
    CHECK_EQ(code, 0);
    WENT(OUT(program_library_release)(&library_));
    CONTROL(void, believe, const char *)("A");
    CHECK(!compiled(identity, &code));
    CHECK_EQ(code, 11);
    end(0);
}

/* ---- asynchronous ---- */

typedef struct block {
    void *isa;
    int flags, reserved;
    void (*invoke)(struct block *self, uint64_t stream, uint64_t unknown, int32_t error);
    const void *descriptor;
} block;
static int called;
static int32_t async_error;
static void on_done(block *self, uint64_t stream, uint64_t unknown, int32_t error) {
    (void)self, (void)stream, (void)unknown;
    async_error = error;
    __atomic_add_fetch(&called, 1, __ATOMIC_RELEASE);
}

static void asynchronous(void) {
    static const struct { unsigned long reserved, size; } about = { 0, sizeof(block) };
    program p;
    begin();
    if (!made(&p)) return;
    block done = { dlsym(library, "_NSConcreteGlobalBlock"), 1 << 28, 0, on_done, &about };
    WENT(E5(async_event_create, void **, const char *, uint32_t)(&p.event, "done", 0));
    WENT(E5(execution_stream_operation_bind_completion_event, void *, void *)(p.operation, p.event));
    fill(&p);
    WENT(encode(&p));
    called = 0;
    WENT(E5(execution_stream_submit_async, void *, void *)(p.stream, &done));
    WENT(E5(async_event_sync_wait, void *, uint64_t, uint64_t)(p.event, 1, 4000000000u));
    while (!__atomic_load_n(&called, __ATOMIC_ACQUIRE)) usleep(100);
    CHECK_EQ(async_error, 0);
    right(&p);
    CHECK_EQ(E5(async_event_sync_wait, void *, uint64_t, uint64_t)(p.event, 2, 1000), 10);
    freed(&p);
    end(0);
}

/* ---- what is wrong is noticed ---- */

static void order(void) {
    program p;
    begin();
    if (!made(&p)) return;
    CHECK(E5(execution_stream_operation_prepare_op_for_encode, void *)(p.operation) != 0);
    CHECK_HAS(last_error(), "Op has not been encoded and hence cannot be reset to 'ReadyForEncode'");
    CHECK(E5(execution_stream_reset, void *)(p.stream) != 0);
    CHECK(execute(&p) != 0);
    noticed("nothing is encoded");
    WENT(encode(&p));
    CHECK(encode(&p) != 0);
    noticed("is encoded already");
    WENT(E5(io_port_bind_buffer_object, void *, void *)(p.ports[0], p.buffers[0]));
    WENT(execute(&p));
    noticed("not encoded anew");
    freed(&p);
    end(3);
}

static void handles(void) {
    program p;
    begin();
    if (!made(&p)) return;
    CHECK(E5(execution_stream_release, void *)(p.stream) != 0);
    noticed("takes the address of the handle");
    CHECK(E5(execution_stream_execute_sync, void *)(&p.stream) != 0);
    noticed("the address of a handle");
    CHECK(E5(execution_stream_execute_sync, void *)(p.operation) != 0);
    noticed("but an e5rt_execution_stream_operation");
    void *small = NULL;
    WENT(E5(buffer_object_alloc, void **, uint64_t, uint32_t)(&small, 40, 0));
    noticed("no multiple of 64");
    CHECK(E5(io_port_bind_buffer_object, void *, void *)(p.ports[0], small) != 0);
    noticed("40 bytes for port a, which takes 48");
    WENT(OUT(buffer_object_release)(&small));
    CHECK(OUT(buffer_object_release)(&small) != 0);
    noticed("a released e5rt_buffer_object");
    CHECK(E5(buffer_object_alloc, void **, uint64_t, uint32_t)(&small, 64, 3) != 0);
    CHECK_HAS(last_error(), "Invalid BufferType @ AllocMemory");
    freed(&p);
    end(6);
}

static void options(void) {
    void *compiler = NULL, *options_ = NULL, *library_ = NULL;
    begin();
    WENT(OUT(e5_compiler_create)(&compiler));
    WENT(OUT(e5_compiler_options_create)(&options_));
    WENT(E5(e5_compiler_compile, void *, const char *, void *, void **)(compiler, write_program(two), options_, &library_));
    noticed("the mask of compute device types is not set");
    noticed("force_recompilation is not set");
    noticed("the segmenter");
    WENT(OUT(program_library_release)(&library_));
    WENT(OUT(e5_compiler_options_release)(&options_));
    WENT(OUT(e5_compiler_release)(&compiler));
    end(3);
}

static void loads(void) {
    program p;
    begin();
    CONTROL(int, set, const char *, long)("load_limit", 1);
    if (!made(&p)) return;
    void *second = NULL;
    CHECK(E5(execution_stream_operation_create_precompiled_compute_operation_with_options, void **, void *)(&second, p.options) != 0);
    CHECK_HAS(last_error(), "1 programs are loaded");
    freed(&p);
    end(0);
}

static void failures(void) {
    int32_t code;
    begin();
    CONTROL(void, fail_named, const char *)("e5rt_e5_compiler_compile");
    CHECK(!compiled(two, &code) && code != 0);
    CHECK_HAS(last_error(), "e5rt_e5_compiler_compile: made to fail");
    CONTROL(void, fail_named, const char *)(NULL);
    void *library_ = compiled(two, &code);
    CHECK_EQ(code, 0);
    WENT(OUT(program_library_release)(&library_));
    end(0);
}

TEST_MAIN(CASE(runs), CASE(asked), CASE(refusals), CASE(believed), CASE(asynchronous), CASE(order), CASE(handles), CASE(options), CASE(loads),
          CASE(failures))
