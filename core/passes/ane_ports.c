/* SPDX-License-Identifier: MIT */
/* How inputs and outputs lie in the ports of a lowered program.
 *
 * On the direct route a port is [1, C, 1, S], S a multiple of 64 bytes: then rows are packed, whatever the sources disagree on.
 * The axes of a tensor go to C and S in order, the last one (of images, where it fits no multiple, the last two) to S:
 *
 *     [2, 12, 64]         ->  [1, 24, 1, 64]         [1, 3, 28, 28]  ->  [1, 3, 1, 800], 784 of which count
 *
 * or, where its first use is a linear layer, the last one to C and all others to S: [1, 100, 768]  ->  [1, 768, 1, 128].
 * By e5rt a port has the shape of the PLAIN form. Packed inputs lie behind one another, by channels where that wastes less.
 * What a state holds comes in by one port and goes out by another, both laid out alike: so a run's result can be where the next one
 * finds it. */
#include "passes/ane.h"

static void no_memory(mil__lowering *l) { mil__ane_fail(l, MIL_ENOMEM, "out of memory"); }

typedef struct port {
    mil_lowered_view view;
    mil__ane_form form;       /* of the value that it holds */
    int rank;
    int64_t shape[MIL_MAX_RANK], used[MIL_MAX_RANK]; /* of the port; of what counts in it */
} port;

static int64_t rounded(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Which axes of a tensor are S: from this one on (before `until`). */
static int first_of_width(const mil_type *type, int64_t multiple) {
    if (type->rank < 4 || mil__last(type) % multiple == 0) return type->rank - 1;
    return type->rank - 2;
}

static void place_axes(port *p, const mil_type *type, mil__ane_form form, int64_t multiple) {
    mil_lowered_view *view = &p->view;
    int split = first_of_width(type, multiple);
    p->rank = 4;
    p->used[0] = p->used[1] = p->used[2] = p->used[3] = 1;
    for (int k = type->rank - 1; k >= 0; k--) {
        bool is_channel = form == MIL__CHANNELS ? k == type->rank - 1 : k < split;
        view->axis[k] = is_channel ? 1 : 3;
        view->step[k] = p->used[view->axis[k]];
        p->used[view->axis[k]] *= type->shape[k];
    }
    memcpy(p->shape, p->used, sizeof p->shape);
    p->shape[3] = rounded(p->used[3], multiple);
}

/* By e5rt: axis by axis. */
static void place_plain(port *p, const mil_type *type, mil__ane_form form) {
    p->rank = mil__plain_shape(type, p->used);
    for (int k = 0; k < type->rank; k++) {
        p->view.axis[k] = k + p->rank - type->rank;
        p->view.step[k] = 1;
    }
    (void)form;
    memcpy(p->shape, p->used, sizeof p->shape);
}

static port port_for(const mil__ports *ports, const mil_type *type, mil__ane_form form) {
    port p = {.form = form, .view = {.rank = type->rank}};
    for (int k = 0; k < type->rank; k++) p.view.shape[k] = type->shape[k];
    int64_t multiple = ports->is_e5rt ? 1 : ports->is_fp32 ? 16 : 32;
    if (ports->is_e5rt && form != MIL__CHANNELS && !ports->is_packed) place_plain(&p, type, form);
    else place_axes(&p, type, form, multiple);
    return p;
}

/* ---- inputs ---- */

static bool fits_port(mil_dtype dtype) {
    return mil__dtype_is_float(dtype) || dtype == MIL_BOOL || dtype == MIL_INT8 || dtype == MIL_UINT8;
}

static bool check_type(mil__lowering *l, const char *name, const mil_type *type, const char *what) {
    bool fits = type->kind == MIL_TENSOR && fits_port(type->dtype);
    if (fits) return true;
    mil__ane_fail(l, MIL_EUNSUPPORTED, "%s %s, %s, can't be a port of the Neural Engine, which has floats there (bools and 8 bits go in them)",
                  what, name, MIL__TYPE_TEXT(l->from->types, type));
    return false;
}

static bool is_state(const mil__lowering *l, mil_value old) { return l->from->values[old]->type->kind == MIL_STATE; }

static port port_of_input(const mil__lowering *l, const mil__ports *ports, mil_value old) {
    const mil_type *type = mil__old_type(l, old);
    bool as_channels = ports->wants_channels[old] && type->rank > 1 && mil__rows(type) > 1;
    return port_for(ports, type, as_channels ? MIL__CHANNELS : MIL__PLAIN);
}

static mil_value add_input(mil__lowering *l, const mil__ports *ports, const char *name, int rank, const int64_t *shape) {
    mil_value made = 0;
    if (l->status != MIL_OK) return 0;
    l->status = mil_program_input(l->to, l->block, name, ports->is_fp32 ? MIL_FP32 : MIL_FP16, rank, shape, false, &made, l->err);
    if (l->status == MIL_OK && ports->is_fp32) made = MIL__ADD(l, "cast", MIL__VALUE("x", made), MIL__WORD("dtype", "fp16"));
    return l->status == MIL_OK ? made : 0;
}

/* What a port holds, as the old input's value. */
static void take_input(mil__lowering *l, mil_value old, const port *p, mil_value value) {
    const mil_type *type = mil__old_type(l, old);
    int64_t shape[MIL_MAX_RANK];
    int rank = mil__plain_shape(type, shape);
    value = mil__ane_slice(l, value, p->view.begin, p->used);
    if (p->form == MIL__PLAIN) value = mil__ane_reshape(l, value, rank, shape);
    if (type->dtype == MIL_BOOL && value) value = mil__ane_with(l, "not_equal", value, 0);
    mil__ane_give(l, old, p->form, value);
}

/* Along one axis of the port, one behind the other. */
static void pack(port *all, size_t n, int64_t multiple, int64_t shape[4]) {
    int64_t most[4] = {1, 1, 1, 1}, sum[4] = {0};
    for (size_t i = 0; i < n; i++)
        for (int a = 1; a < 4; a += 2) {
            most[a] = all[i].used[a] > most[a] ? all[i].used[a] : most[a];
            sum[a] += all[i].used[a];
        }
    int64_t by_channels = sum[1] * rounded(most[3], multiple), by_width = most[1] * rounded(sum[3], multiple);
    int along = by_channels <= by_width ? 1 : 3;
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        all[i].view.begin[along] = at;
        at += all[i].used[along];
    }
    shape[0] = shape[2] = 1;
    shape[1] = along == 1 ? sum[1] : most[1];
    shape[3] = rounded(along == 3 ? sum[3] : most[3], multiple);
}

static void one_input(mil__lowering *l, const mil__ports *ports, const mil__block *body, port *all) {
    int64_t shape[4];
    pack(all, body->n_inputs, ports->is_e5rt ? 1 : ports->is_fp32 ? 16 : 32, shape);
    mil_value value = add_input(l, ports, ports->input_names[0], 4, shape);
    for (uint32_t i = 0; i < body->n_inputs; i++) take_input(l, body->inputs[i], &all[i], value);
}

void mil__ane_inputs(mil__lowering *l, const mil__ports *ports, mil_lowered_view *views) {
    const mil__block *body = l->from->blocks[l->from->functions[0].block];
    port *all = mil__calloc((size_t)body->n_inputs + 1, sizeof *all);
    if (!all) no_memory(l);
    for (uint32_t i = 0; l->status == MIL_OK && i < body->n_inputs; i++) {
        const mil_type *type = mil__old_type(l, body->inputs[i]);
        if (!check_type(l, l->from->values[body->inputs[i]]->name, type, is_state(l, body->inputs[i]) ? "state" : "input")) break;
        all[i] = port_of_input(l, ports, body->inputs[i]);
        all[i].view.port = ports->is_packed ? 0 : i;
    }
    bool packs = ports->is_packed && body->n_inputs > 0;
    if (packs && l->status == MIL_OK) one_input(l, ports, body, all);
    for (uint32_t i = 0; l->status == MIL_OK && !packs && i < body->n_inputs; i++) {
        mil_value value = add_input(l, ports, ports->input_names[i], all[i].rank, all[i].shape);
        take_input(l, body->inputs[i], &all[i], value);
    }
    for (uint32_t i = 0; all && i < body->n_inputs; i++) views[i] = all[i].view;
    mil__free(all);
}

/* ---- outputs ---- */

/* Zeros behind each row, up to the port's width. */
static mil_value padded(mil__lowering *l, mil_value x, const port *p) {
    int64_t pad[] = {0, 0, 0, 0, 0, 0, 0, p->shape[3] - p->used[3]};
    if (p->rank != 4 || !pad[7]) return x;
    return MIL__ADD(l, "pad", MIL__VALUE("x", x), MIL__INTS("pad", 8, pad), MIL__WORD("mode", "constant"), MIL__NUMBER("constant_val", 0));
}

/* What can't be an output itself (an input, an output already) is one times 1. */
static mil_value fit_for_output(mil__lowering *l, mil_value value) {
    const mil__value *v = value ? l->to->values[value] : NULL;
    bool fits = v && v->op && !v->is_output;
    return fits || !v ? value : mil__ane_with(l, "mul", value, 1);
}

/* Whatever is called so gets another name. */
static void free_name(mil__lowering *l, const char *name) {
    mil_value other = mil_value_find(l->to, l->block, name);
    if (!other || l->status != MIL_OK) return;
    mil__str made = {0};
    for (unsigned i = 1; !made.failed && i < 1000; i++) {
        made.n = 0;
        mil__str_printf(&made, "%s_inner_%u", name, i);
        if (made.failed) break;
        mil_status status = mil_value_rename(l->to, other, made.s, NULL);
        if (status == MIL_ENOMEM) made.failed = true;
        if (status == MIL_OK) break;
    }
    if (made.failed) no_memory(l);
    mil__str_free(&made);
}

/* `old`, in the form that p has, as the output of that number. */
static void add_output(mil__lowering *l, const mil__ports *ports, mil_value old, const port *p, size_t number) {
    const char *name = ports->output_names[number];
    mil_value value = mil__ane_get(l, old, p->form), out = 0;
    mil_dtype dtype = value ? mil__new_type(l, value)->dtype : MIL_NO_DTYPE;
    if (dtype == MIL_BOOL) value = mil__ane_half_of_bool(l, value);
    else if (mil__dtype_is_int(dtype)) value = MIL__ADD(l, "cast", MIL__VALUE("x", value), MIL__WORD("dtype", "fp16"));
    value = mil__ane_reshape(l, value, p->rank, p->used);
    if (ports->has_conv && number == 0 && p->rank == 4) value = mil__ane_as_conv(l, value);
    value = padded(l, value, p);
    if (ports->is_fp32) value = MIL__ADD(l, "cast", MIL__VALUE("x", value), MIL__WORD("dtype", "fp32"));
    value = fit_for_output(l, value);
    free_name(l, name);
    if (l->status == MIL_OK) l->status = mil_program_output(l->to, l->block, name, value, &out, l->err);
}

static void make_output(mil__lowering *l, const mil__ports *ports, mil_value old, size_t number, mil_lowered_view *view) {
    const mil_type *type = mil__old_type(l, old);
    const char *name = ports->output_names[number];
    if (!check_type(l, name, type, "output")) return;
    if (mil__old_data(l, old)) {
        mil__ane_fail(l, MIL_EUNSUPPORTED, "output %s is a const, which no operation of the Neural Engine makes", name);
        return;
    }
    bool is_channels = l->values[old].native == MIL__CHANNELS && type->rank > 1 && mil__rows(type) > 1;
    port p = port_for(ports, type, is_channels ? MIL__CHANNELS : MIL__PLAIN);
    add_output(l, ports, old, &p, number);
    p.view.port = number;
    *view = p.view;
}

void mil__ane_outputs(mil__lowering *l, const mil__ports *ports, mil_lowered_view *views) {
    const mil__block *body = l->from->blocks[l->from->functions[0].block];
    for (uint32_t i = 0; l->status == MIL_OK && i < body->n_outputs; i++)
        make_output(l, ports, body->outputs[i], i, &views[i]);
}

void mil__ane_states(mil__lowering *l, const mil__ports *ports, mil_lowered_state *states) {
    const mil__block *body = l->from->blocks[l->from->functions[0].block];
    for (size_t i = 0; l->status == MIL_OK && i < ports->n_states; i++) {
        mil_value state = body->inputs[ports->states[i]];
        port p = port_of_input(l, ports, state);
        add_output(l, ports, state, &p, body->n_outputs + i);
        p.view.port = body->n_outputs + i;
        states[i] = (mil_lowered_state){ports->states[i], p.view};
    }
}

/* ---- for those who run it ---- */

mil_status mil_lowered_tensor(const mil_lowered_view *view, mil_tensor *port, mil_tensor **out, mil_error *err) {
    int64_t strides[MIL_MAX_RANK], offset = 0;
    size_t bytes = (size_t)mil_dtype_bits(port->dtype) / 8;
    *out = NULL;
    for (int a = 0; a < port->rank; a++) offset += view->begin[a] * port->strides[a];
    for (int k = 0; k < view->rank; k++) {
        if (view->axis[k] >= port->rank)
            return mil__fail(err, MIL_ETYPE, "a view of axis %d of a port that is %s", view->axis[k], MIL__TENSOR_TEXT(port));
        strides[k] = view->step[k] * port->strides[view->axis[k]];
    }
    size_t at = (size_t)((char *)port->data - (char *)mil_buffer_data(port->buffer)) + (size_t)offset * bytes;
    return mil_tensor_over(port->buffer, at, port->dtype, view->rank, view->shape, strides, out, err);
}
