/* SPDX-License-Identifier: MIT */
/* A port of an e5rt operation: where its elements lie, as its description says, and memory bound to it.
 *
 * Buffers of the plain kind are said to be dense, in the order of the axes; the description is asked all the same, so that rows
 * with gaps would be served too. Whether its strides count bytes or elements nobody says: where the axis that moves fastest
 * has a stride of 1, they count elements; where it has an element's size, bytes; else elements if that fits into the size reported. */
#include "engine/ane/e5rt.h"

enum { BUFFER_STEP = 64, PLAIN = 0 /* memory that processor and engine read alike */ };

size_t mil__e5rt_buffer_bytes(const mil__ane_port *port) {
    size_t bytes = (port->bytes + BUFFER_STEP - 1) & -(size_t)BUFFER_STEP;
    return bytes ? bytes : BUFFER_STEP;
}

/* ---- layout ---- */

typedef struct reported {
    uint64_t rank, bytes;            /* bytes 0: not said */
    const uint64_t *shape, *strides; /* of the description */
} reported;

static int64_t element_bytes(const mil__ane_port *port) { return mil_dtype_bits(port->dtype) / 8; }

/* Bytes from the first element to the end of the last; false: no memory is so large. */
static bool span_of(const mil__ane_port *port, const int64_t *strides, int64_t unit, int64_t *out) {
    int64_t end = element_bytes(port), step;
    for (int i = 0; i < port->rank; i++) {
        if (!mil__mul_dim(port->shape[i] - 1, strides[i], &step) || !mil__mul_dim(step, unit, &step)) return false;
        if (!mil__add_dim(end, step, &end)) return false;
    }
    *out = end;
    return true;
}

static mil_status lay_out_dense(mil__ane_port *port, mil_error *err) {
    int64_t bytes;
    mil__shape_strides(port->rank, port->shape, port->strides);
    if (!span_of(port, port->strides, element_bytes(port), &bytes))
        return mil__fail(err, MIL_ELIMIT, "compile: %s is too large for memory", port->name);
    port->bytes = (size_t)bytes;
    return MIL_OK;
}

static mil_status differs(const mil__ane_port *port, uint64_t n, const char *what, const uint64_t *numbers, mil_error *err) {
    int64_t shape[MIL_MAX_RANK];
    int rank = n < MIL_MAX_RANK ? (int)n : MIL_MAX_RANK;
    for (int i = 0; i < rank; i++) shape[i] = (int64_t)numbers[i];
    return mil__fail(err, MIL_EUNSUPPORTED, "compile: e5rt says that port %s has the %s %s%s, but the program has it as %s%s", port->name, what,
                     MIL__SHAPE_TEXT(rank, shape), n > MIL_MAX_RANK ? " .." : "", mil_dtype_name(port->dtype),
                     MIL__SHAPE_TEXT(port->rank, port->shape));
}

/* The strides as they are given, by the port's axes: those of more than one element lie on the reported ones, in order. */
static bool match(const mil__ane_port *port, const reported *r, int64_t *strides) {
    uint64_t at = 0;
    for (int i = 0; i < port->rank; i++) {
        strides[i] = 0;
        if (port->shape[i] == 1) continue;
        while (at < r->rank && r->shape[at] == 1) at++;
        if (at == r->rank || r->shape[at] != (uint64_t)port->shape[i] || r->strides[at] > INT64_MAX) return false;
        strides[i] = (int64_t)r->strides[at++];
    }
    while (at < r->rank && r->shape[at] == 1) at++;
    return at == r->rank;
}

/* The bytes that a stride of 1 means. */
static int64_t unit_of(const mil__ane_port *port, const reported *r, const int64_t *strides) {
    int64_t fastest = 0, element = element_bytes(port), span;
    for (int i = 0; i < port->rank; i++)
        if (port->shape[i] > 1 && (fastest == 0 || strides[i] < fastest)) fastest = strides[i];
    if (fastest == 1 || fastest == element) return fastest == 1 ? element : 1;
    bool fits = span_of(port, strides, element, &span) && r->bytes && (uint64_t)span <= r->bytes;
    return fits ? element : 1;
}

static mil_status lay_out(mil__ane_port *port, const reported *r, mil_error *err) {
    int64_t strides[MIL_MAX_RANK], span, element = element_bytes(port);
    if (!match(port, r, strides)) return differs(port, r->rank, "shape", r->shape, err);
    int64_t unit = unit_of(port, r, strides);
    bool fits = span_of(port, strides, unit, &span) && (r->bytes == 0 || (uint64_t)span <= r->bytes);
    for (int i = 0; i < port->rank && fits; i++) fits = port->shape[i] == 1 || (strides[i] > 0 && strides[i] * unit % element == 0);
    if (!fits) return differs(port, r->rank, "strides", r->strides, err);
    for (int i = 0; i < port->rank; i++) port->strides[i] = port->shape[i] == 1 ? 1 : strides[i] * unit / element;
    port->bytes = r->bytes > (uint64_t)span ? (size_t)r->bytes : (size_t)span;
    return MIL_OK;
}

static mil_status read_description(void *description, mil__ane_port *port, mil_error *err) {
    reported r = {0};
    uint64_t rank = 0;
    MIL__E5RT_GET("compile", !r.rank || r.shape, e5rt_tensor_desc_get_shape, description, &r.rank, &r.shape);
    MIL__E5RT_GET("compile", !rank || r.strides, e5rt_tensor_desc_get_strides, description, &rank, &r.strides);
    MIL__E5RT_OPTIONAL("compile", e5rt_tensor_desc_get_size, description, &r.bytes);
    return rank == r.rank ? lay_out(port, &r, err) : differs(port, rank, "strides", r.strides, err);
}

static bool can_describe(void) {
    return mil__apple.e5rt_io_port_retain_tensor_desc && mil__apple.e5rt_tensor_desc_get_shape && mil__apple.e5rt_tensor_desc_get_strides &&
           mil__apple.e5rt_tensor_desc_release;
}

mil_status mil__e5rt_port_lay_out(const mil__e5rt_port *found, bool is_asked, mil__ane_port *port, bool *is_reported, mil_error *err) {
    void *description = NULL;
    *is_reported = is_asked && can_describe();
    MIL__TRY(lay_out_dense(port, err));
    if (!*is_reported) return MIL_OK;
    MIL__E5RT_GET("compile", description, e5rt_io_port_retain_tensor_desc, found->port, &description);
    mil_status status = read_description(description, port, err);
    mil__e5rt_release(mil__apple.e5rt_tensor_desc_release, &description);
    return status;
}

/* ---- the port itself, its memory ---- */

mil_status mil__e5rt_port_find(void *operation, bool is_input, const char *name, mil__e5rt_port *out, mil_error *err) {
    if (is_input) MIL__E5RT_GET("compile", out->port, e5rt_execution_stream_operation_retain_input_port, operation, name, &out->port);
    else MIL__E5RT_GET("compile", out->port, e5rt_execution_stream_operation_retain_output_port, operation, name, &out->port);
    return MIL_OK;
}

mil_status mil__e5rt_port_bind(mil__e5rt_port *found, const mil__ane_port *port, mil_error *err) {
    size_t bytes = mil__e5rt_buffer_bytes(port);
    MIL__E5RT_GET("compile", found->buffer, e5rt_buffer_object_alloc, &found->buffer, bytes, PLAIN);
    MIL__E5RT_GET("compile", found->memory, e5rt_buffer_object_get_data_ptr, found->buffer, &found->memory);
    memset(found->memory, 0, bytes);
    MIL__E5RT("compile", e5rt_io_port_bind_buffer_object, found->port, found->buffer);
    return MIL_OK;
}

/* The buffer that a port has over the surface; NULL: none has. */
static void *buffer_over(const mil__e5rt_port *ports, size_t n, mil__iosurface surface) {
    for (size_t i = 0; i < n; i++)
        if (ports[i].surface == surface) return ports[i].over_surface;
    return NULL;
}

/* Unless one of the ports has it (still). */
static void release_buffer(const mil__e5rt_port *ports, size_t n, void *buffer) {
    for (size_t i = 0; i < n; i++)
        if (ports[i].over_surface == buffer) return;
    mil__e5rt_release(mil__apple.e5rt_buffer_object_release, &buffer);
}

mil_status mil__e5rt_port_rebind(mil__e5rt_port *ports, size_t n, size_t at, mil__iosurface surface, mil_error *err) {
    mil__e5rt_port *found = &ports[at];
    void *buffer = surface ? buffer_over(ports, n, surface) : NULL, *old = found->over_surface;
    if (surface && !buffer) MIL__E5RT_GET("run", buffer, e5rt_buffer_object_create_from_iosurface, &buffer, surface);
    int32_t code = mil__apple.e5rt_io_port_bind_buffer_object(found->port, buffer ? buffer : found->buffer);
    if (code) {
        if (buffer) release_buffer(ports, n, buffer);
        return mil__e5rt_fail(err, "run", "e5rt_io_port_bind_buffer_object", code);
    }
    found->surface = surface;
    found->over_surface = buffer;
    if (old) release_buffer(ports, n, old);
    return MIL_OK;
}

void mil__e5rt_port_release(mil__e5rt_port *ports, size_t n) {
    mil__e5rt_port *port = &ports[n - 1];
    if (port->over_surface) release_buffer(ports, n - 1, port->over_surface);
    mil__e5rt_release(mil__apple.e5rt_buffer_object_release, &port->buffer);
    mil__e5rt_release(mil__apple.e5rt_io_port_release, &port->port);
    *port = (mil__e5rt_port){0};
}
