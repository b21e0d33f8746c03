/* SPDX-License-Identifier: MIT */
/* Runs without copies: a port takes the memory of the user's tensors in the place of its own.
 *
 *     tensor x in an IOSurface     | row 0 ..... pad | row 1 ..... pad | ..        its strides, its place in the surface
 *     port   x as the engine has   | row 0 ..... pad | row 1 ..... pad | ..        the same: the surface goes into the request
 *
 * A state's tensor is an input's, and what the run writes must come to be in it. Where the route takes one surface for both ports,
 * that is all. Else the run writes into a twin, which then changes places with the tensor's memory:
 *
 *     run 1: reads A, writes B; the tensor has B        run 2: reads B, writes A; the tensor has A        ..
 *
 * unless somebody beside the state holds the tensor, or looks into it by a view: then the twin is copied into it.
 *
 * All of a port's views must lie in one surface so. What is beside the views is nobody's: the lowered program cuts it off an input
 * (core/passes/ane_ports.c), and the engine may write it in an output. Whatever does not fit is copied. */
#include "engine/ane/ane.h"

static size_t n_ports(const mil__ane_binding *b) { return b->source->n_inputs + b->source->n_outputs; }

mil_status mil__ane_binding_new(const mil__ane_route *route, void *context, const mil__ane_view *views, size_t n_inputs, size_t n_outputs,
                                const mil_lowered_state *states, size_t n_states, const mil__ane_source *source, mil__ane_binding **out,
                                mil_error *err) {
    *out = NULL;
    if (!route->bind) return MIL_OK;
    size_t n = source->n_inputs + source->n_outputs;
    mil__ane_binding *b = mil__calloc(1, sizeof *b + n * sizeof *b->ports + n_states * sizeof *b->states);
    if (!b) return mil__nomem(err);
    *b = (mil__ane_binding){.route = route, .context = context, .source = source, .views = views, .n_inputs = n_inputs, .n_outputs = n_outputs,
                            .states = (mil__ane_kept *)(b->ports + n), .n_states = n_states};
    for (size_t i = 0; i < n_states; i++) b->states[i] = (mil__ane_kept){.before = states[i].input, .after = n_inputs + n_outputs + i};
    *out = b;
    return MIL_OK;
}

void mil__ane_binding_free(mil__ane_binding *b) {
    for (size_t p = 0; b && p < n_ports(b); p++) mil_buffer_free(b->ports[p].held);
    for (size_t i = 0; b && i < b->n_states; i++) mil_tensor_free(b->states[i].twin);
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
    if (b->has_states_only && !view->is_state) return NULL;
    bool fits = lies_so(tensor, view) && b->route->takes(b->context, view->port, mil_buffer_bytes(tensor->buffer));
    return fits ? tensor->buffer : NULL;
}

/* By how many ports the run reads a surface. */
static size_t n_reads(const mil__ane_binding *b, const mil_buffer *buffer) {
    size_t n = 0;
    for (size_t p = 0; p < b->source->n_inputs; p++)
        n += b->ports[p].buffer && mil__buffer_surface(b->ports[p].buffer) == mil__buffer_surface(buffer);
    return n;
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

static mil_status tensor_of_view(const mil__ane_view *view, mil_buffer *buffer, mil_tensor **out, mil_error *err) {
    const mil_tensor *t = &view->tensor;
    return mil_tensor_over(buffer, (size_t)view->offset, t->dtype, t->rank, t->shape, t->strides, out, err);
}

/* Made once, unless the tensor's memory is of another size. */
static mil_status make_twin(const mil__ane_binding *b, mil__ane_kept *state, size_t bytes, mil_error *err) {
    mil_buffer *buffer;
    if (state->twin && mil_buffer_bytes(state->twin->buffer) == bytes) return MIL_OK;
    mil_tensor_free(state->twin);
    state->twin = NULL;
    MIL__TRY(mil_buffer_shared(bytes, &buffer, err));
    mil_status status = tensor_of_view(&b->views[state->after], buffer, &state->twin, err);
    mil_buffer_free(buffer);
    return status;
}

/* What the state's port of outputs has, where its port of inputs has the tensor's memory. */
static mil_status choose_state(mil__ane_binding *b, mil__ane_kept *state, mil_tensor *tensor, mil_error *err) {
    const mil__ane_view *after = &b->views[state->after];
    mil_buffer *buffer = b->ports[b->views[state->before].port].buffer;
    bool fits = buffer && buffer == tensor->buffer && !mil__buffer_why_not(buffer) && n_reads(b, buffer) == 1 && lies_so(tensor, after) &&
                b->route->takes(b->context, after->port, mil_buffer_bytes(buffer));
    b->ports[after->port].buffer = NULL;
    if (!fits) return MIL_OK;
    if (!b->route->is_in_place) MIL__TRY(make_twin(b, state, mil_buffer_bytes(buffer), err));
    b->ports[after->port].buffer = b->route->is_in_place ? buffer : state->twin->buffer;
    return MIL_OK;
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
    for (size_t p = b->source->n_inputs; p < n_ports(b); p++) /* what is read by the run is not also written by it */
        if (b->ports[p].buffer && n_reads(b, b->ports[p].buffer)) b->ports[p].buffer = NULL;
    for (size_t i = 0; i < b->n_states; i++) MIL__TRY(choose_state(b, &b->states[i], inputs[b->states[i].before], err));
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

/* ---- what states hold after a run ---- */

/* Does nobody but its owner hold the tensor, and nobody but that and the ports its memory? */
static bool is_held_alone(const mil__ane_binding *b, const mil_tensor *tensor) {
    int n = 1;
    for (size_t p = 0; p < n_ports(b); p++) n += b->ports[p].held == tensor->buffer;
    return atomic_load_explicit(&tensor->count, memory_order_acquire) == 1 && mil__buffer_holds(tensor->buffer) == n;
}

static void change_places(mil_tensor *a, mil_tensor *b) {
    mil_buffer *buffer = a->buffer;
    void *data = a->data;
    a->buffer = b->buffer, a->data = b->data;
    b->buffer = buffer, b->data = data;
}

mil_status mil__ane_binding_settle(mil__ane_binding *b, mil_tensor *const *inputs, mil_error *err) {
    for (size_t i = 0; i < b->n_states; i++) {
        mil__ane_kept *state = &b->states[i];
        mil_tensor *tensor = inputs[state->before];
        if (!state->twin || b->ports[b->views[state->after].port].buffer != state->twin->buffer) continue;
        if (is_held_alone(b, tensor)) change_places(tensor, state->twin);
        else MIL__TRY(mil_tensor_copy(tensor, state->twin, err));
    }
    return MIL_OK;
}

/* ---- tensors that a run can be bound to ---- */

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
