/* SPDX-License-Identifier: MIT */
/* Route "e5rt": Espresso's C functions. A folder's model.mil is compiled for the Neural Engine alone; a context has an operation
 * of the program's function, a buffer bound to each of its ports, and a stream, to which the operation is encoded once and that
 * is executed over and over.
 *
 *     load      config, compiler, options -> compile -> library -> function
 *     context   operation; ports, buffers (e5rt_port.c); stream
 *     run       encode, the first time; execute
 *
 * Neither programs nor streams may be used by two threads at once, and two streams under way in one process were seen to hang on
 * an M1; running two programs at once gained 4 % where it worked. So one lock stands around everything that is called here.
 * Library, function and options must outlive the operations: they go when the last context has gone, unloaded or not. */
#include <pthread.h>
#include <stdio.h>

#include "engine/ane/e5rt.h"

enum {
    NEURAL_ENGINE = 0x4,  /* the mask's bit: with it alone, what can't run there is refused and never goes elsewhere */
    MAX_OPERATIONS = 128  /* loaded in a process: the system refuses the next */
};

typedef struct context context;

typedef struct program {
    const char *entry;    /* the function's name, the source's */
    mil__ane_port *ports; /* the source's */
    size_t n_inputs, n_outputs;
    unsigned qos;
    int spelling;         /* which of the source's texts */
    bool is_dense;        /* the self-test found that buffers are, whatever is described */
    bool has_layout;      /* of every port, it was described; else dense */
    char *folder;
    void *library, *function;
    size_t n_users;       /* the program itself until it is unloaded, and its contexts */
    context *spare;       /* made at once, to see the ports' layout; for the first who asks */
} program;

/* How far a stream is, in the order in which it gets there. */
typedef enum stage { FAILED /* or bound anew */, RESET, READY, ENCODED } stage;

struct context {
    program *program;
    void *options, *operation, *stream;
    bool is_counted;      /* among n_operations */
    stage stage;
    mil__e5rt_port ports[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t n_operations; /* of the process */

/* Around all calls: the lock, and a pool for what Espresso, which is made of Objective-C, leaves to one; a host's thread may have none. */
static void *begin_calls(void) {
    pthread_mutex_lock(&lock);
    return mil__apple.objc_autoreleasePoolPush();
}

static void end_calls(void *pool) {
    mil__apple.objc_autoreleasePoolPop(pool);
    pthread_mutex_unlock(&lock);
}

/* ---- errors ---- */

enum { NO_MEMORY = 3, REFUSED = 11 };

static void put_reason(mil__str *out) {
    const char *text = mil__apple.e5rt_get_last_error_message ? mil__apple.e5rt_get_last_error_message() : NULL;
    mil__str_puts(out, text && *text ? text : "no reason was given");
    for (size_t i = 0; i < out->n; i++)
        if (out->s[i] == '\n' || out->s[i] == '\r') out->s[i] = ' ';
}

mil_status mil__e5rt_fail(mil_error *err, const char *what, const char *function, int32_t code) {
    mil__str reason = {0};
    const char *name = mil__apple.e5rt_error_code_get_string ? mil__apple.e5rt_error_code_get_string(code) : NULL;
    if (code == 0) return mil__fail(err, MIL_EIO, "%s: %s gives nothing", what, function);
    put_reason(&reason);
    mil_status status = code == NO_MEMORY ? MIL_ENOMEM : code == REFUSED ? MIL_EUNSUPPORTED : MIL_EIO;
    mil__fail(err, status, "%s: %s: %.500s (%d%s%.60s)", what, function, reason.failed ? "no memory for the reason" : reason.s, (int)code,
              name && *name ? " " : "", name ? name : "");
    mil__str_free(&reason);
    return status;
}

/* ---- releasing ---- */

/* A release takes the handle's address, say Apple's own callers and ANEForge; the handle, says ane-bridge-rs. The first release of the
 * process tells: where the address is refused, the handle is tried. */
static enum { UNKNOWN, BY_ADDRESS, BY_HANDLE } releasing;

void mil__e5rt_release(int32_t (*release)(void **handle), void **handle) {
    void *was = *handle;
    if (!was) return;
    bool is_done = releasing != BY_HANDLE && release(handle) == 0;
    if (releasing == UNKNOWN) releasing = !is_done && release(was) == 0 ? BY_HANDLE : BY_ADDRESS;
    else if (releasing == BY_HANDLE) release(was);
    *handle = NULL;
}

/* ---- compiling ---- */

/* What is needed only while a program is compiled. */
typedef struct compiler {
    void *config, *compiler, *options;
} compiler;

static mil_status set_up_compiler(compiler *c, const char *folder, mil_error *err) {
    MIL__E5RT_GET("compile", c->config, e5rt_e5_compiler_config_options_create, &c->config);
    MIL__E5RT("compile", e5rt_e5_compiler_config_options_set_cache_bundle_location, c->config, folder);
    MIL__E5RT_GET("compile", c->compiler, e5rt_e5_compiler_create_with_config, &c->compiler, c->config);
    MIL__E5RT_GET("compile", c->options, e5rt_e5_compiler_options_create, &c->options);
    MIL__E5RT("compile", e5rt_e5_compiler_options_set_compute_device_types_mask, c->options, NEURAL_ENGINE);
    MIL__E5RT_OPTIONAL("compile", e5rt_e5_compiler_options_set_force_recompilation, c->options, true);
    MIL__E5RT_OPTIONAL("compile", e5rt_e5_compiler_options_set_segmenter, c->options, "graph");
    return MIL_OK;
}

static void end_compiler(compiler *c) {
    mil__e5rt_release(mil__apple.e5rt_e5_compiler_options_release, &c->options);
    mil__e5rt_release(mil__apple.e5rt_e5_compiler_release, &c->compiler);
    mil__e5rt_release(mil__apple.e5rt_e5_compiler_config_options_release, &c->config);
}

static mil_status compile_file(const compiler *c, const char *path, void **library, mil_error *err) {
    MIL__E5RT_GET("compile", *library, e5rt_e5_compiler_compile, c->compiler, path, c->options, library);
    return MIL_OK;
}

static mil_status find_function(program *p, mil_error *err) {
    MIL__E5RT_GET("compile", p->function, e5rt_program_library_retain_program_function, p->library, p->entry, &p->function);
    return MIL_OK;
}

/* A compiled program runs in the process that compiled it only: so its bundle lies beside the text, and goes with it. */
static mil_status compile_folder(program *p, mil_error *err) {
    compiler c = {0};
    char *path;
    MIL__TRY(mil__path_join(p->folder, "model.mil", &path, err));
    mil_status status = set_up_compiler(&c, p->folder, err);
    if (status == MIL_OK) status = compile_file(&c, path, &p->library, err);
    end_compiler(&c);
    mil__free(path);
    return status == MIL_OK ? find_function(p, err) : status;
}

static void release_program(program *p) {
    mil__e5rt_release(mil__apple.e5rt_program_function_release, &p->function);
    mil__e5rt_release(mil__apple.e5rt_program_library_release, &p->library);
    mil__folder_remove(p->folder);
    mil__free(p->folder);
    p->function = p->library = p->folder = NULL;
}

static mil_status compile_text(program *p, const mil__ane_source *source, int spelling, mil_error *err) {
    p->spelling = spelling;
    MIL__TRY(mil__folder_temporary("e5rt", &p->folder, err));
    mil_status status = mil__ane_folder_fill(p->folder, &source->texts[spelling], source->files, source->n_files, err);
    if (status == MIL_OK) status = compile_folder(p, err);
    if (status != MIL_OK) release_program(p);
    return status;
}

/* What was parsed, but can't be placed on the engine or isn't taken by its compiler, is not a matter of spelling: and a compile that
 * failed may hold up the next ones for seconds. */
static bool may_be_spelling(const mil_error *why) {
    return why->code != MIL_ENOMEM && strstr(why->message, "e5rt_e5_compiler_compile") && !strstr(why->message, "FAILED") &&
           !strstr(why->message, "upported");
}

/* Of a program that is refused in both spellings, what was said of the first counts. */
static mil_status compile(program *p, const mil__ane_source *source, mil_error *err) {
    mil_error why;
    mil_status status = compile_text(p, source, 0, &why);
    if (status != MIL_OK && source->n_texts > 1 && may_be_spelling(&why)) status = compile_text(p, source, 1, NULL);
    if (status == MIL_OK) return MIL_OK;
    if (err) *err = why;
    return why.code;
}

/* ---- contexts ---- */

static void release_context(context *c) {
    mil__e5rt_release(mil__apple.e5rt_execution_stream_release, &c->stream);
    for (size_t i = c->program->n_inputs + c->program->n_outputs; i > 0; i--) mil__e5rt_port_release(c->ports, i);
    mil__e5rt_release(mil__apple.e5rt_execution_stream_operation_release, &c->operation);
    n_operations -= c->is_counted;
    mil__e5rt_release(mil__apple.e5rt_precompiled_compute_op_create_options_release, &c->options);
}

static mil_status make_operation(context *c, mil_error *err) {
    if (n_operations >= MAX_OPERATIONS)
        return mil__fail(err, MIL_ELIMIT, "compile: the process has %d programs loaded on the Neural Engine, and the system takes no more; unload one",
                         MAX_OPERATIONS);
    MIL__E5RT_GET("compile", c->options, e5rt_precompiled_compute_op_create_options_create_with_program_function, &c->options, c->program->function);
    MIL__E5RT("compile", e5rt_precompiled_compute_op_create_options_set_operation_name, c->options, c->program->entry);
    MIL__E5RT("compile", e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers, c->options, true);
    MIL__E5RT_GET("compile", c->operation, e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options, &c->operation, c->options);
    n_operations++;
    c->is_counted = true;
    return MIL_OK;
}

/* A program may list its ports in another order than the text: so they are asked for by name. */
static mil_status make_port(context *c, size_t i, bool is_first, mil_error *err) {
    program *p = c->program;
    bool is_reported;
    MIL__TRY(mil__e5rt_port_find(c->operation, i < p->n_inputs, p->ports[i].name, &c->ports[i], err));
    if (is_first) {
        MIL__TRY(mil__e5rt_port_lay_out(&c->ports[i], !p->is_dense, &p->ports[i], &is_reported, err));
        p->ports[i].symbol = i < p->n_inputs ? i : i - p->n_inputs;
        p->has_layout &= is_reported;
    }
    return mil__e5rt_port_bind(&c->ports[i], &p->ports[i], err);
}

static mil_status make_ports(context *c, bool is_first, mil_error *err) {
    for (size_t i = 0; i < c->program->n_inputs + c->program->n_outputs; i++) MIL__TRY(make_port(c, i, is_first, err));
    return MIL_OK;
}

static mil_status make_stream(context *c, mil_error *err) {
    MIL__E5RT_GET("compile", c->stream, e5rt_execution_stream_create, &c->stream);
    MIL__E5RT_OPTIONAL("compile", e5rt_execution_stream_set_quality_of_service, c->stream, c->program->qos);
    c->stage = READY;
    return MIL_OK;
}

static mil_status make_context(program *p, bool is_first, context **out, mil_error *err) {
    context *c = mil__calloc(1, sizeof *c + (p->n_inputs + p->n_outputs) * sizeof *c->ports);
    if (!c) return mil__nomem(err);
    c->program = p;
    mil_status status = make_operation(c, err);
    if (status == MIL_OK) status = make_ports(c, is_first, err);
    if (status == MIL_OK) status = make_stream(c, err);
    if (status != MIL_OK) {
        release_context(c);
        mil__free(c);
        return status;
    }
    p->n_users++;
    *out = c;
    return MIL_OK;
}

static void leave(program *p) {
    if (--p->n_users == 0) release_program(p);
}

static void end_context(context *c) {
    program *p = c->program;
    release_context(c);
    mil__free(c);
    leave(p);
}

static mil_status context_new(void *loaded, void **out, mil_error *err) {
    program *p = loaded;
    mil_status status = MIL_OK;
    void *pool = begin_calls();
    context *c = p->spare;
    p->spare = NULL;
    if (!c) status = make_context(p, false, &c, err);
    end_calls(pool);
    if (status == MIL_OK) *out = c;
    return status;
}

static void context_free(void *object) {
    if (!object) return;
    if (mil__apple_is_forked()) { /* what it stands for stayed with the parent */
        mil__free(object);
        return;
    }
    void *pool = begin_calls();
    end_context(object);
    end_calls(pool);
}

static mil_status begin(void *object, size_t port, void **memory, mil_error *err) {
    (void)err;
    *memory = ((context *)object)->ports[port].memory;
    return MIL_OK;
}

static mil_status end(void *object, size_t port, mil_error *err) {
    (void)object, (void)port, (void)err;
    return MIL_OK;
}

/* ---- someone else's memory in place of a port's ---- */

/* What was encoded names the buffers that there were. */
static mil_status rebind(context *c, size_t port, mil__iosurface surface, mil_error *err) {
    MIL__TRY(mil__e5rt_port_rebind(c->ports, c->program->n_inputs + c->program->n_outputs, port, surface, err));
    if (c->stage == ENCODED) c->stage = FAILED;
    return MIL_OK;
}

static mil_status bind(void *object, size_t port, mil__iosurface surface, mil_error *err) {
    context *c = object;
    if (c->ports[port].surface == surface) return MIL_OK;
    void *pool = begin_calls();
    mil_status status = rebind(c, port, surface, err);
    end_calls(pool);
    return status;
}

static mil__iosurface bound(const void *object, size_t port) { return ((const context *)object)->ports[port].surface; }

static bool takes(const void *object, size_t port, size_t bytes) {
    const context *c = object;
    return mil__apple.e5rt_buffer_object_create_from_iosurface && bytes >= mil__e5rt_buffer_bytes(&c->program->ports[port]);
}

static size_t surface_bytes(const void *loaded, size_t port) { return mil__e5rt_buffer_bytes(&((const program *)loaded)->ports[port]); }

/* ---- running ---- */

/* A stream that failed is brought back step by step; where a step fails, the next run goes on from there. */
static mil_status encode(context *c, mil_error *err) {
    if (c->stage == FAILED) {
        MIL__E5RT("run", e5rt_execution_stream_reset, c->stream);
        c->stage = RESET;
    }
    if (c->stage == RESET) {
        MIL__E5RT("run", e5rt_execution_stream_operation_prepare_op_for_encode, c->operation);
        c->stage = READY;
    }
    MIL__E5RT("run", e5rt_execution_stream_encode_operation, c->stream, c->operation);
    c->stage = ENCODED;
    return MIL_OK;
}

static mil_status execute(context *c, mil_error *err) {
    if (c->stage != ENCODED) MIL__TRY(encode(c, err));
    c->stage = FAILED; /* until it is known to have gone well */
    MIL__E5RT("run", e5rt_execution_stream_execute_sync, c->stream);
    c->stage = ENCODED;
    return MIL_OK;
}

static mil_status run(void *object, mil_error *err) {
    void *pool = begin_calls();
    mil_status status = execute(object, err);
    end_calls(pool);
    return status;
}

/* ---- the route ---- */

static mil_status open_frameworks(mil_error *err) { return mil__apple_open(MIL__LIBRARY(objc) | MIL__LIBRARY(espresso), err); }

static mil_status load(mil__ane_source *source, void **out, mil_error *err) {
    program *p = mil__calloc(1, sizeof *p);
    if (!p) return mil__nomem(err);
    *p = (program){.entry = source->entry, .ports = source->ports, .n_inputs = source->n_inputs, .n_outputs = source->n_outputs, .qos = source->qos, .is_dense = source->findings.rows == MIL__ANE_PACKED, .has_layout = true,
                   .n_users = 1};
    void *pool = begin_calls();
    mil_status status = compile(p, source, err);
    if (status == MIL_OK) status = make_context(p, true, &p->spare, err);
    if (status != MIL_OK) leave(p);
    end_calls(pool);
    if (status == MIL_OK) *out = p;
    else mil__free(p);
    return status;
}

static void unload(void *loaded) {
    program *p = loaded;
    if (mil__apple_is_forked()) return;
    void *pool = begin_calls();
    if (p->spare) end_context(p->spare);
    p->spare = NULL;
    leave(p);
    end_calls(pool);
}

static void print(const void *loaded, mil__str *out) {
    const program *p = loaded;
    mil__str_printf(out, "route: e5rt, in the %s spelling, compiled; function %s\n", p->spelling ? "long" : "short", p->entry);
    mil__str_printf(out, "layout: %s; order of the ports: by name\n", p->is_dense ? "dense, as the self-test found" : p->has_layout ? "as the operation's ports are described" : "dense, since none is described");
    for (size_t i = 0; i < p->n_inputs + p->n_outputs; i++) {
        mil__ane_print_port(&p->ports[i], i < p->n_inputs, out);
        mil__str_printf(out, ", buffer of %zu bytes\n", mil__e5rt_buffer_bytes(&p->ports[i]));
    }
    if (mil__apple_is_forked()) return; /* who held the lock stayed with the parent */
    pthread_mutex_lock(&lock);
    mil__str_printf(out, "e5rt: codes of 32 bits; texts of errors are %s; releases take the handle%s\n"
                    "this process: %zu of %d operations\n", mil__apple.e5rt_get_last_error_message ? "there" : "not there",
                    releasing == BY_HANDLE ? "" : "'s address", n_operations, (int)MAX_OPERATIONS);
    pthread_mutex_unlock(&lock);
}

static size_t context_bytes(const void *loaded) {
    const program *p = loaded;
    size_t bytes = 0;
    for (size_t i = 0; i < p->n_inputs + p->n_outputs; i++) bytes += mil__e5rt_buffer_bytes(&p->ports[i]);
    return bytes;
}

const mil__ane_route mil__ane_e5rt = {
    .name = "e5rt",
    .open = open_frameworks,
    .load = load,
    .unload = unload,
    .free = mil__free,
    .context_new = context_new,
    .context_free = context_free,
    .begin = begin,
    .end = end,
    .bind = bind,
    .bound = bound,
    .takes = takes,
    .surface_bytes = surface_bytes,
    .is_in_place = true,
    .run = run,
    .print = print,
    .context_bytes = context_bytes,
};
