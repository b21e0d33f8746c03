/* SPDX-License-Identifier: MIT */
/* Runs without copies: a port takes the memory of the user's tensors in the place of its own.
 *
 *     tensor x in an IOSurface     | row 0 ..... pad | row 1 ..... pad | ..        its strides, its place in the surface
 *     port   x as the engine has   | row 0 ..... pad | row 1 ..... pad | ..        the same: the surface goes into the request
 *
 * All of a port's views must lie in one surface so. What is beside the views is nobody's: the lowered program cuts it off an input
 * (core/passes/ane_ports.c), and the engine may write it in an output. Whatever does not fit is copied. */
#include "engine/ane/ane.h"

static size_t n_ports(const mil__ane_binding *b) { return b->source->n_inputs + b->source->n_outputs; }

mil_status mil__ane_binding_new(const mil__ane_route *route, void *context, const mil__ane_view *views, size_t n_inputs, size_t n_outputs,
                                const mil__ane_source *source, mil__ane_binding **out, mil_error *err) {
    *out = NULL;
    if (!route->bind) return MIL_OK;
    size_t n = source->n_inputs + source->n_outputs;
    mil__ane_binding *b = mil__calloc(1, sizeof *b + n * sizeof *b->ports);
    if (!b) return mil__nomem(err);
    *b = (mil__ane_binding){.route = route, .context = context, .source = source, .views = views, .n_inputs = n_inputs, .n_outputs = n_outputs};
    *out = b;
    return MIL_OK;
}

void mil__ane_binding_free(mil__ane_binding *b) {
    for (size_t p = 0; b && p < n_ports(b); p++) mil_buffer_free(b->ports[p].held);
    mil__free(b);
}

/* Does the tensor lie in a surface as the view lies in its port? */
static bool lies_so(const mil_tensor *tensor, const mil__ane_view *view) {
    if (!mil__buffer_surface(tensor->buffer) || tensor->dtype != view->tensor.dtype) return false;
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] != 1 && tensor->strides[i] != view->tensor.strides[i]) return false;
    return (char *)tensor->data - (char *)mil_buffer_data(tensor->buffer) == view->offset;
}

/* The buffer that view i lets its port have; NULL: none. */
static mil_buffer *buffer_for(const mil__ane_binding *b, size_t i, const mil_tensor *tensor) {
    const mil__ane_view *view = &b->views[i];
    bool fits = lies_so(tensor, view) && b->route->takes(b->context, view->port, mil_buffer_bytes(tensor->buffer));
    return fits ? tensor->buffer : NULL;
}

/* A surface that is read by the run is not also written by it. */
static bool is_read(const mil__ane_binding *b, const mil_buffer *buffer) {
    for (size_t p = 0; p < b->source->n_inputs; p++)
        if (b->ports[p].buffer && mil__buffer_surface(b->ports[p].buffer) == mil__buffer_surface(buffer)) return true;
    return false;
}

/* Of n views from `first` on, whose ports are [from, to): all of a port's must agree. */
static void choose_side(mil__ane_binding *b, mil_tensor *const *tensors, size_t first, size_t n, size_t from, size_t to) {
    for (size_t p = from; p < to; p++) b->ports[p].buffer = NULL;
    for (size_t i = first; i < first + n; i++) b->ports[b->views[i].port].buffer = buffer_for(b, i, tensors[i - first]);
    for (size_t i = first; n > to - from && i < first + n; i++) { /* some share a port */
        mil_buffer **buffer = &b->ports[b->views[i].port].buffer;
        if (*buffer && *buffer != buffer_for(b, i, tensors[i - first])) *buffer = NULL;
    }
}

static mil_status bind_port(const mil__ane_binding *b, struct mil__ane_bound *port, size_t at, mil_error *err) {
    MIL__TRY(b->route->bind(b->context, at, mil__buffer_surface(port->buffer), err));
    if (port->held == port->buffer) return MIL_OK;
    mil_buffer_free(port->held);
    port->held = mil_buffer_retain(port->buffer);
    return MIL_OK;
}

mil_status mil__ane_binding_choose(mil__ane_binding *b, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_error *err) {
    choose_side(b, inputs, 0, b->n_inputs, 0, b->source->n_inputs);
    choose_side(b, outputs, b->n_inputs, b->n_outputs, b->source->n_inputs, n_ports(b));
    for (size_t p = b->source->n_inputs; p < n_ports(b); p++)
        if (b->ports[p].buffer && is_read(b, b->ports[p].buffer)) b->ports[p].buffer = NULL;
    for (size_t p = 0; p < n_ports(b); p++) MIL__TRY(bind_port(b, &b->ports[p], p, err));
    return MIL_OK;
}

static void end_before(mil__ane_binding *b, size_t n) {
    for (size_t p = 0; p < n; p++)
        if (b->ports[p].buffer) mil__device_end(b->ports[p].buffer);
}

mil_status mil__ane_binding_begin(mil__ane_binding *b, mil_error *err) {
    for (size_t p = 0; p < n_ports(b); p++) {
        if (!b->ports[p].buffer || mil__device_begin(b->ports[p].buffer)) continue;
        end_before(b, p);
        return mil__fail(err, MIL_ESTATE, "run: the memory of %s is locked; the Neural Engine can have it when it is unlocked", b->source->ports[p].name);
    }
    return MIL_OK;
}

/* What the run could not keep counts as not bound from here on. */
void mil__ane_binding_end(mil__ane_binding *b) {
    end_before(b, n_ports(b));
    for (size_t p = 0; p < n_ports(b); p++)
        if (b->ports[p].buffer && !b->route->bound(b->context, p)) b->ports[p].buffer = NULL;
}

/* ---- tensors that a run can be bound to ---- */

static mil_status tensor_of_view(const mil__ane_view *view, mil_buffer *buffer, mil_tensor **out, mil_error *err) {
    const mil_tensor *t = &view->tensor;
    return mil_tensor_over(buffer, (size_t)view->offset, t->dtype, t->rank, t->shape, t->strides, out, err);
}

/* Of all views of one port, in one buffer. */
static mil_status share_port(const mil__ane_view *views, size_t n, size_t port, size_t bytes, mil_tensor **out, mil_error *err) {
    mil_buffer *buffer;
    MIL__TRY(mil_buffer_shared(bytes, &buffer, err));
    mil_status status = MIL_OK;
    for (size_t i = 0; i < n && status == MIL_OK; i++)
        if (views[i].port == port && views[i].dtype == views[i].tensor.dtype) status = tensor_of_view(&views[i], buffer, &out[i], err);
    mil_buffer_free(buffer);
    return status;
}

mil_status mil__ane_shared_tensors(const mil__ane_route *route, const void *loaded, const mil__ane_view *views, size_t n, mil_tensor **out, mil_error *err) {
    mil_status status = MIL_OK;
    for (size_t i = 0; i < n; i++) out[i] = NULL;
    for (size_t i = 0; i < n && status == MIL_OK; i++) {
        const mil__ane_view *view = &views[i];
        if (out[i]) continue; /* with another of its port */
        if (route->bind && view->dtype == view->tensor.dtype) status = share_port(views, n, view->port, route->surface_bytes(loaded, view->port), out, err);
        else status = mil_tensor_shared(view->dtype, view->tensor.rank, view->tensor.shape, 0, &out[i], err);
    }
    for (size_t i = 0; i < n && status != MIL_OK; i++) {
        mil_tensor_free(out[i]);
        out[i] = NULL;
    }
    return status;
}
