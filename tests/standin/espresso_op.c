/* SPDX-License-Identifier: MIT */
/* Espresso: operations, their ports, tensor descriptors and buffers (facts/ane-e5rt.md 1.3, 1.4). An operation computes with the
 * model of its function, into tensors of its own, which are then copied to the buffers: so one buffer may be an input and an
 * output at once, which is how a state is kept (4.7). */
#include "espresso.h"

#include <pthread.h>

typedef struct op_options { e5_kept kept; object *function; char name[128]; bool has_name, has_intermediate; } op_options;
typedef struct tensor_desc { e5_kept kept; const mil_port *of; object *function; uint64_t shape[MIL_MAX_RANK], strides[MIL_MAX_RANK]; } tensor_desc;
typedef struct dtype { size_t bytes; } dtype;
typedef enum buffer_type { BUFFER_PLAIN, BUFFER_MAPPED, BUFFER_SURFACE, N_BUFFER_TYPES } buffer_type;
typedef struct buffer {
    e5_kept kept;
    void *data;
    size_t bytes;
    uint32_t type;
    bool is_ours;            /* else it is the client's */
    object *surface;
} buffer;

enum { CANARY = 64 };        /* bytes after a buffer of ours, which nobody may write */

static op_options *options_of(void *o) { return ((object *)o)->data; }
static e5_operation *operation_of(const void *o) { return ((const object *)o)->data; }
static e5_function *function_of(const void *o) { return ((const object *)o)->data; }
static e5_port *port_of(const void *o) { return ((const object *)o)->data; }
static tensor_desc *desc_of(void *o) { return ((object *)o)->data; }
static buffer *buffer_of(const void *o) { return ((const object *)o)->data; }

/* ---- options of an operation ---- */

EXPORT E e5rt_precompiled_compute_op_create_options_create_with_program_function(void **out, void *function) {
    E5_BEGIN;
    E5_WANTS(out);
    if (!function) {
        violation("%s: NULL for a function", __func__);
        return e5_fail(E5_ARGUMENT, "Cannot provide program function as nullptr. @ Create");
    }
    E5_TAKES(function, "e5rt_program_function");
    object *o = e5_new("e5rt_precompiled_compute_op_create_options", sizeof(op_options));
    options_of(o)->function = e5_hold(function);
    *out = o;
    return e5_ok();
}

EXPORT E e5rt_precompiled_compute_op_create_options_set_operation_name(void *options, const char *name) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_precompiled_compute_op_create_options");
    E5_WANTS(name);
    snprintf(options_of(options)->name, sizeof options_of(options)->name, "%s", name);
    options_of(options)->has_name = true;
    return e5_ok();
}

EXPORT E e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers(void *options, bool on) {
    E5_BEGIN;
    E5_TAKES(options, "e5rt_precompiled_compute_op_create_options");
    options_of(options)->has_intermediate = on;
    return e5_ok();
}

static void free_op_options(object *o) {
    e5_drop(options_of(o)->function);
    free(o->data);
}

/* ---- operations ---- */

static size_t loaded;
size_t e5_loaded(int more) { return __atomic_add_fetch(&loaded, (size_t)more, __ATOMIC_ACQ_REL); }

static int by_name(const void *a, const void *b) {
    return strcmp(port_of(*(object *const *)a)->of->name, port_of(*(object *const *)b)->of->name);
}

/* In the order of the alphabet, or against it (switch order): a client binds by name. */
static size_t ports_new(object *operation, bool are_outputs, object **out) {
    const mil_model *m = function_of(operation_of(operation)->function)->model;
    size_t n = are_outputs ? mil_model_n_outputs(m) : mil_model_n_inputs(m);
    for (size_t i = 0; i < n; i++) {
        out[i] = e5_new("e5rt_io_port", sizeof(e5_port));
        port_of(out[i])->of = are_outputs ? mil_model_output(m, i) : mil_model_input(m, i);
        port_of(out[i])->operation = operation;
        port_of(out[i])->kept = (e5_kept){ 1, true };
    }
    qsort(out, n, sizeof *out, by_name);
    for (size_t i = 0; standin.order && i < n / 2; i++) {
        object *t = out[i];
        out[i] = out[n - 1 - i], out[n - 1 - i] = t;
    }
    return n;
}

EXPORT E e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options(void **out, void *options) {
    E5_BEGIN;
    E5_WANTS(out);
    E5_TAKES(options, "e5rt_precompiled_compute_op_create_options");
    op_options *given = options_of(options);
    if (standin.e5_forge && !given->has_name) violation("create operation: operation_name is not set");
    if (standin.e5_forge && !given->has_intermediate) violation("create operation: allocate_intermediate_buffers is not set");
    if (e5_loaded(1) > (size_t)standin.load_limit) {
        e5_loaded(-1);
        return e5_fail(E5_OPERATION, "ANE model load has failed: %ld programs are loaded", standin.load_limit);
    }
    object *o = e5_new("e5rt_execution_stream_operation", sizeof(e5_operation));
    e5_operation *op = o->data;
    op->options = e5_hold(options), op->function = e5_hold(given->function);
    op->n_inputs = ports_new(o, false, op->inputs), op->n_outputs = ports_new(o, true, op->outputs);
    *out = o;
    return e5_ok();
}

static void free_operation(object *o) {
    e5_operation *op = o->data;
    for (size_t i = 0; i < op->n_inputs + op->n_outputs; i++) {
        object *port = i < op->n_inputs ? op->inputs[i] : op->outputs[i - op->n_inputs];
        if (port->refs > 1) violation("an operation is released before its port %s", port_of(port)->of->name);
        port_of(port)->kept.held = 0, port_of(port)->operation = NULL;
        released(port);
    }
    e5_drop(op->completion);
    for (size_t i = 0; i < op->n_dependent; i++) e5_drop(op->dependent[i]);
    e5_drop(op->options), e5_drop(op->function);
    free(op);
    e5_loaded(-1);
}

static E names_of(object *const *ports, size_t n, uint64_t wanted, const char **names) {
    if (wanted > n) return e5_fail(E5_BOUNDS, "Out of bounds: %llu ports of %zu", (unsigned long long)wanted, n);
    for (size_t i = 0; i < wanted; i++) names[i] = port_of(ports[i])->of->name;
    return e5_ok();
}

static E retain_port(object *const *ports, size_t n, const char *name, void **out) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(port_of(ports[i])->of->name, name)) return *out = retained(ports[i]), e5_ok();
    return e5_fail(E5_ARGUMENT, "Invalid Function Argument: no port \"%s\"", name);
}

/* The same of inputs and of outputs. */
#define SIDE(side)                                                                                                      \
    EXPORT E e5rt_execution_stream_operation_get_num_##side##s(void *operation, uint64_t *out) {                        \
        E5_BEGIN;                                                                                                       \
        E5_TAKES(operation, "e5rt_execution_stream_operation");                                                         \
        E5_WANTS(out);                                                                                                  \
        *out = operation_of(operation)->n_##side##s;                                                                    \
        return e5_ok();                                                                                                 \
    }                                                                                                                   \
    EXPORT E e5rt_execution_stream_operation_get_##side##_names(void *operation, uint64_t n, const char **names) {      \
        E5_BEGIN;                                                                                                       \
        E5_TAKES(operation, "e5rt_execution_stream_operation");                                                         \
        E5_WANTS(names || !n);                                                                                          \
        return names_of(operation_of(operation)->side##s, operation_of(operation)->n_##side##s, n, names);              \
    }                                                                                                                   \
    EXPORT E e5rt_execution_stream_operation_retain_##side##_port(void *operation, const char *name, void **out) {      \
        E5_BEGIN;                                                                                                       \
        E5_TAKES(operation, "e5rt_execution_stream_operation");                                                         \
        E5_WANTS(name);                                                                                                 \
        E5_WANTS(out);                                                                                                  \
        return retain_port(operation_of(operation)->side##s, operation_of(operation)->n_##side##s, name, out);          \
    }
SIDE(input)
SIDE(output)

/* Events are bound before the operation is encoded for the first time (1.4, step 9). */
static bool may_bind_event(const e5_operation *op, const char *by) {
    if (op->state == E5_FRESH) return true;
    return violation("%s: the operation was encoded already", by), false;
}

EXPORT E e5rt_execution_stream_operation_bind_completion_event(void *operation, void *event) {
    E5_BEGIN;
    E5_TAKES(operation, "e5rt_execution_stream_operation");
    E5_TAKES(event, "e5rt_async_event");
    e5_operation *op = operation_of(operation);
    if (!may_bind_event(op, __func__)) return e5_fail(E5_OPERATION, "The bind state may not change once encoded");
    e5_drop(op->completion);
    op->completion = e5_hold(event);
    return e5_ok();
}

EXPORT E e5rt_execution_stream_operation_bind_dependent_events(void *operation, void **events, uint64_t n) {
    E5_BEGIN;
    E5_TAKES(operation, "e5rt_execution_stream_operation");
    e5_operation *op = operation_of(operation);
    if (n > E5_MAX_PORTS) return e5_fail(E5_BOUNDS, "Out of bounds: %llu events", (unsigned long long)n);
    if (!may_bind_event(op, __func__)) return e5_fail(E5_OPERATION, "The bind state may not change once encoded");
    for (uint64_t i = 0; i < n; i++) E5_TAKES(events[i], "e5rt_async_event");
    for (size_t i = 0; i < op->n_dependent; i++) e5_drop(op->dependent[i]);
    for (op->n_dependent = 0; op->n_dependent < n; op->n_dependent++)
        op->dependent[op->n_dependent] = e5_hold(events[op->n_dependent]);
    return e5_ok();
}

EXPORT E e5rt_execution_stream_operation_prepare_op_for_encode(void *operation) {
    E5_BEGIN;
    E5_TAKES(operation, "e5rt_execution_stream_operation");
    e5_operation *op = operation_of(operation);
    if (op->state != E5_ENCODED)
        return e5_fail(E5_OPERATION, "Op has not been encoded and hence cannot be reset to 'ReadyForEncode'");
    if (op->stream) {
        violation("%s: the stream is to be reset first", __func__);
        return e5_fail(E5_OPERATION, "Op is in a stream that was not reset");
    }
    op->state = E5_RESET;
    return e5_ok();
}

/* ---- ports ---- */

EXPORT E e5rt_io_port_is_tensor(void *port, bool *out) {
    E5_BEGIN;
    E5_TAKES(port, "e5rt_io_port");
    E5_WANTS(out);
    *out = true;
    return e5_ok();
}

EXPORT E e5rt_io_port_bind_buffer_object(void *port, void *buffer) {
    E5_BEGIN;
    E5_TAKES(port, "e5rt_io_port");
    E5_TAKES(buffer, "e5rt_buffer_object");
    e5_port *p = port_of(port);
    if (!p->operation) return violation("%s: the port's operation was released", __func__), e5_fail(E5_OPERATION, "no operation");
    size_t strides[MIL_MAX_RANK], bytes = e5_strides(p->of, strides);
    if (buffer_of(buffer)->bytes < bytes) {
        violation("%s: %zu bytes for port %s, which takes %zu", __func__, buffer_of(buffer)->bytes, p->of->name, bytes);
        return e5_fail(E5_BOUNDS, "Out of bounds: the buffer is smaller than the port");
    }
    p->buffer = buffer;
    if (operation_of(p->operation)->state == E5_ENCODED) operation_of(p->operation)->is_rebound = true;
    return e5_ok();
}

/* ---- tensor descriptors ---- */

/* Dense, row after row (1.4); with switch e5_row a row is a multiple of so many bytes. */
size_t e5_strides(const mil_port *port, size_t *strides) {
    size_t bytes = (size_t)mil_dtype_bits(port->dtype) / 8;
    for (int k = port->rank; k-- > 0;) {
        strides[k] = bytes;
        bytes *= (size_t)port->shape[k];
        size_t unit = standin.e5_row > 0 && k == port->rank - 1 ? (size_t)standin.e5_row : 1;
        bytes = (bytes + unit - 1) / unit * unit;
    }
    return bytes;
}

static object *desc_new(const mil_port *port) {
    object *o = e5_new("e5rt_tensor_desc", sizeof(tensor_desc));
    tensor_desc *d = o->data;
    d->of = port;
    size_t strides[MIL_MAX_RANK], element = (size_t)mil_dtype_bits(port->dtype) / 8;
    e5_strides(port, strides);
    for (int k = 0; k < port->rank; k++)
        d->shape[k] = (uint64_t)port->shape[k], d->strides[k] = standin.e5_stride_bytes ? strides[k] : strides[k] / element;
    return o;
}

EXPORT E e5rt_io_port_retain_tensor_desc(void *port, void **out) {
    E5_BEGIN;
    E5_TAKES(port, "e5rt_io_port");
    E5_WANTS(out);
    *out = desc_new(port_of(port)->of);
    return e5_ok();
}

static E desc_by_name(void *function, bool are_outputs, const char *name, void **out) {
    const mil_model *m = function_of(function)->model;
    size_t n = are_outputs ? mil_model_n_outputs(m) : mil_model_n_inputs(m);
    for (size_t i = 0; i < n; i++) {
        const mil_port *p = are_outputs ? mil_model_output(m, i) : mil_model_input(m, i);
        if (!strcmp(p->name, name)) return *out = desc_new(p), e5_ok();
    }
    return e5_fail(E5_ARGUMENT, "Invalid Function Argument: no port \"%s\"", name);
}

#define DESC(side, are_outputs)                                                                                         \
    EXPORT E e5rt_program_function_retain_##side##_tensor_desc(void *function, const char *port, void **out) {          \
        E5_BEGIN;                                                                                                       \
        E5_TAKES(function, "e5rt_program_function");                                                                    \
        E5_WANTS(port);                                                                                                 \
        E5_WANTS(out);                                                                                                  \
        return desc_by_name(function, are_outputs, port, out);                                                          \
    }
DESC(input, false)
DESC(output, true)

EXPORT E e5rt_tensor_desc_get_rank(void *desc, uint64_t *out) {
    E5_BEGIN;
    E5_TAKES(desc, "e5rt_tensor_desc");
    E5_WANTS(out);
    *out = (uint64_t)desc_of(desc)->of->rank;
    return e5_ok();
}

#define VECTOR(what, one)                                                                                               \
    EXPORT E e5rt_tensor_desc_get_##what(void *desc, uint64_t *rank, const uint64_t **out) {                            \
        E5_BEGIN;                                                                                                       \
        E5_TAKES(desc, "e5rt_tensor_desc");                                                                             \
        E5_WANTS(rank);                                                                                                 \
        E5_WANTS(out);                                                                                                  \
        *rank = (uint64_t)desc_of(desc)->of->rank, *out = desc_of(desc)->what;                                          \
        return e5_ok();                                                                                                 \
    }                                                                                                                   \
    EXPORT E e5rt_tensor_desc_get_dimension_##one(void *desc, uint64_t i, uint64_t *out) {                              \
        E5_BEGIN;                                                                                                       \
        E5_TAKES(desc, "e5rt_tensor_desc");                                                                             \
        E5_WANTS(out);                                                                                                  \
        if (i >= (uint64_t)desc_of(desc)->of->rank) return e5_fail(E5_BOUNDS, "Out of bounds: axis %llu", (unsigned long long)i); \
        *out = desc_of(desc)->what[i];                                                                                  \
        return e5_ok();                                                                                                 \
    }
VECTOR(shape, length)
VECTOR(strides, stride)

EXPORT E e5rt_tensor_desc_get_size(void *desc, uint64_t *out) {
    E5_BEGIN;
    E5_TAKES(desc, "e5rt_tensor_desc");
    E5_WANTS(out);
    size_t strides[MIL_MAX_RANK];
    *out = e5_strides(desc_of(desc)->of, strides);
    return e5_ok();
}

/* There is no call known that gives a dtype back: they are not counted. */
EXPORT E e5rt_tensor_desc_retain_dtype(void *desc, void **out) {
    static dtype sizes[9];
    E5_BEGIN;
    E5_TAKES(desc, "e5rt_tensor_desc");
    E5_WANTS(out);
    size_t bytes = (size_t)mil_dtype_bits(desc_of(desc)->of->dtype) / 8;
    sizes[bytes].bytes = bytes;
    *out = &sizes[bytes];
    return e5_ok();
}

EXPORT E e5rt_tensor_desc_dtype_get_element_size(void *type, uint64_t *out) {
    E5_BEGIN;
    E5_WANTS(type);
    E5_WANTS(out);
    *out = ((dtype *)type)->bytes;
    return e5_ok();
}

/* ---- buffers ---- */

extern object *IOSurfaceCreate(object *properties);

static object *surface_new(size_t bytes) {
    static const char *const names[] = { "IOSurfaceWidth", "IOSurfaceHeight", "IOSurfaceBytesPerElement" };
    object *keys[3], *values[3] = { number_new((long long)bytes), number_new(1), number_new(1) };
    for (int i = 0; i < 3; i++) keys[i] = string_new(names[i]);
    object *properties = dictionary_new(keys, values, 3), *surface = IOSurfaceCreate(properties);
    for (int i = 0; i < 3; i++) released(keys[i]), released(values[i]);
    released(properties);
    return surface;
}

/* Fresh memory is not zeros: a client writes all that it wants read. */
static E buffer_new(void **out, size_t bytes, uint32_t type) {
    if (type >= N_BUFFER_TYPES) return e5_fail(E5_TYPE_PARAMETER, "Invalid BufferType @ AllocMemory");
    if (!bytes) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: 0 bytes");
    object *surface = type == BUFFER_SURFACE ? surface_new(bytes) : NULL;
    if (type == BUFFER_SURFACE && !surface) return e5_fail(E5_MEMORY, "no IOSurface of %zu bytes", bytes);
    object *o = e5_new("e5rt_buffer_object", sizeof(buffer));
    buffer *b = o->data;
    b->bytes = bytes, b->type = type, b->surface = surface, b->is_ours = !surface;
    if (!surface) {
        size_t all = (bytes + CANARY + 63) / 64 * 64;
        b->data = aligned_alloc(64, all);
        memset(b->data, 0xA5, all);
    }
    *out = o;
    return e5_ok();
}

EXPORT E e5rt_buffer_object_alloc(void **out, uint64_t bytes, uint32_t type) {
    E5_BEGIN;
    E5_WANTS(out);
    if (standin.e5_forge && (bytes < 64 || bytes % 64)) violation("%s: %llu bytes are no multiple of 64", __func__, (unsigned long long)bytes);
    return buffer_new(out, bytes, type);
}

EXPORT E e5rt_tensor_desc_alloc_buffer_object(void *desc, uint32_t type, uint64_t align, void **out) {
    E5_BEGIN;
    E5_TAKES(desc, "e5rt_tensor_desc");
    E5_WANTS(out);
    if (align != 1 && align != 64) violation("%s: aligned to %llu, neither 1 nor 64", __func__, (unsigned long long)align);
    size_t strides[MIL_MAX_RANK];
    return buffer_new(out, (e5_strides(desc_of(desc)->of, strides) + 63) / 64 * 64, type);
}

/* These need the runtime: before the first compiler or stream, the process would die of it (1.2). */
static bool is_up(const char *by) { return e5_is_up || (violation("%s: no compiler and no stream was made before", by), false); }

EXPORT E e5rt_buffer_object_create_from_iosurface(void **out, object *surface) {
    E5_BEGIN;
    E5_WANTS(out);
    if (!is_up(__func__)) return e5_fail(E5_OPERATION, "no provider");
    if (!usable(surface, __func__)) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: surface");
    if (!is_a(surface, "IOSurface")) return violation("%s: a %s is no surface", __func__, surface->isa->name), e5_fail(E5_ARGUMENT, "no surface");
    object *o = e5_new("e5rt_buffer_object", sizeof(buffer));
    buffer *b = o->data;
    surface_memory(surface, &b->bytes);
    b->type = BUFFER_SURFACE, b->surface = retained(surface);
    *out = o;
    return e5_ok();
}

EXPORT E e5rt_buffer_object_create_from_data_pointer(void **out, void *data, size_t bytes) {
    E5_BEGIN;
    E5_WANTS(out);
    E5_WANTS(data);
    E5_WANTS(bytes);
    if (!is_up(__func__)) return e5_fail(E5_OPERATION, "no provider");
    object *o = e5_new("e5rt_buffer_object", sizeof(buffer));
    buffer *b = o->data;
    b->data = data, b->bytes = bytes;
    *out = o;
    return e5_ok();
}

extern void *IOSurfaceGetBaseAddress(object *surface);

EXPORT E e5rt_buffer_object_get_data_ptr(void *buffer, void **out) {
    E5_BEGIN;
    E5_TAKES(buffer, "e5rt_buffer_object");
    E5_WANTS(out);
    *out = buffer_of(buffer)->surface ? IOSurfaceGetBaseAddress(buffer_of(buffer)->surface) : buffer_of(buffer)->data;
    return e5_ok();
}

EXPORT E e5rt_buffer_object_get_size(void *buffer, size_t *out) {
    E5_BEGIN;
    E5_TAKES(buffer, "e5rt_buffer_object");
    E5_WANTS(out);
    *out = buffer_of(buffer)->bytes;
    return e5_ok();
}

EXPORT E e5rt_buffer_object_get_type(void *buffer, uint32_t *out) {
    E5_BEGIN;
    E5_TAKES(buffer, "e5rt_buffer_object");
    E5_WANTS(out);
    *out = buffer_of(buffer)->type;
    return e5_ok();
}

EXPORT E e5rt_buffer_object_get_iosurface(void *buffer, object **out) {
    E5_BEGIN;
    E5_TAKES(buffer, "e5rt_buffer_object");
    E5_WANTS(out);
    if (!buffer_of(buffer)->surface) return e5_fail(E5_OPERATION, "the buffer is no IOSurface");
    *out = buffer_of(buffer)->surface;
    return e5_ok();
}

static bool is_whole(const buffer *b) {
    for (size_t i = 0; b->is_ours && i < CANARY; i++)
        if (((unsigned char *)b->data)[b->bytes + i] != 0xA5) return false;
    return true;
}

static void free_buffer(object *o) {
    buffer *b = o->data;
    if (!is_whole(b)) violation("a buffer of %zu bytes was written beyond its end", b->bytes);
    if (b->is_ours) free(b->data);
    released(b->surface);
    free(b);
}

/* ---- running ---- */

bool e5_operation_is_bound(const e5_operation *op, const char *by) {
    bool ok = true;
    for (size_t i = 0; i < op->n_inputs + op->n_outputs; i++) {
        const e5_port *p = port_of(i < op->n_inputs ? op->inputs[i] : op->outputs[i - op->n_inputs]);
        if (!p->buffer) violation("%s: no buffer is bound to port %s", by, p->of->name), ok = false;
        else ok &= e5_is(p->buffer, "e5rt_buffer_object", by);
    }
    return ok;
}

/* The port's buffer as a tensor. */
static bool view(const e5_port *p, mil_tensor **out) {
    buffer *b = buffer_of(p->buffer);
    size_t strides[MIL_MAX_RANK], bytes = b->bytes;
    void *data = b->surface ? surface_memory(b->surface, &bytes) : b->data;
    if (b->surface && surface_locked(b->surface)) violation("execute: the surface of port %s is locked", p->of->name);
    if (!is_whole(b)) violation("execute: the buffer of port %s was written beyond its end", p->of->name);
    e5_strides(p->of, strides);
    int64_t steps[MIL_MAX_RANK];
    for (int k = 0; k < p->of->rank; k++) steps[k] = (int64_t)(strides[k] / ((size_t)mil_dtype_bits(p->of->dtype) / 8));
    mil_buffer *over = NULL;
    if (mil_buffer_borrow(data, bytes, true, NULL, NULL, &over, NULL)) return false;
    mil_status status = mil_tensor_over(over, 0, p->of->dtype, p->of->rank, p->of->shape, steps, out, NULL);
    mil_buffer_free(over);
    return !status;
}

static const e5_port *port_named(object *const *ports, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(port_of(ports[i])->of->name, name)) return port_of(ports[i]);
    return NULL;
}

/* The run has the surfaces of its ports from here on, or no longer. */
static void take(const e5_operation *op, int by) {
    for (size_t i = 0; i < op->n_inputs + op->n_outputs; i++) {
        const e5_port *p = port_of(i < op->n_inputs ? op->inputs[i] : op->outputs[i - op->n_inputs]);
        if (buffer_of(p->buffer)->surface) surface_use(buffer_of(p->buffer)->surface, by);
    }
}

int32_t e5_operation_run(object *operation) {
    e5_operation *op = operation->data;
    mil_model *m = function_of(op->function)->model;
    if (op->is_rebound) violation("execute: a port was bound anew, and its operation not encoded anew");
    if (!e5_operation_is_bound(op, "execute")) return e5_fail(E5_OPERATION, "a port is not bound"), E5_OPERATION;
    if (!standin.compute) return E5_OK;
    mil_tensor *in[E5_MAX_PORTS] = { 0 }, *result[E5_MAX_PORTS] = { 0 };
    mil_error err = { 0 };
    bool ok = true;
    take(op, 1);
    for (size_t i = 0; ok && i < op->n_inputs; i++)
        ok = view(port_named(op->inputs, op->n_inputs, mil_model_input(m, i)->name), &in[i]);
    ok = ok && mil_model_run(m, in, result, &err) == MIL_OK;
    for (size_t i = 0; ok && i < op->n_outputs; i++) {
        mil_tensor *out = NULL;
        ok = view(port_named(op->outputs, op->n_outputs, mil_model_output(m, i)->name), &out) && !mil_tensor_copy(out, result[i], &err);
        mil_tensor_free(out);
    }
    take(op, -1);
    for (size_t i = 0; i < E5_MAX_PORTS; i++) mil_tensor_free(in[i]), mil_tensor_free(result[i]);
    if (!ok) e5_fail(E5_OPERATION, "%s", err.message[0] ? err.message : "a buffer can't be read");
    return ok ? E5_OK : E5_OPERATION;
}

static void free_kept(object *o) { free(o->data); }

E5_RELEASE(e5rt_precompiled_compute_op_create_options_release, "e5rt_precompiled_compute_op_create_options")
E5_RELEASE(e5rt_execution_stream_operation_release, "e5rt_execution_stream_operation")
E5_RELEASE(e5rt_io_port_release, "e5rt_io_port")
E5_RELEASE(e5rt_tensor_desc_release, "e5rt_tensor_desc")
E5_RELEASE(e5rt_buffer_object_release, "e5rt_buffer_object")

__attribute__((constructor(106))) static void begin(void) {
    class_make("e5rt_precompiled_compute_op_create_options", free_op_options);
    class_make("e5rt_execution_stream_operation", free_operation);
    class_make("e5rt_io_port", free_kept), class_make("e5rt_tensor_desc", free_kept);
    class_make("e5rt_buffer_object", free_buffer);
}
