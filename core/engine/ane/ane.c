/* SPDX-License-Identifier: MIT */
/* The Neural Engine: takes a program, or a text with its weights files, and runs it by a route (ane.h).
 *
 *     compile:  program -> lowered -> text in both spellings, ports -> route->load, which finds the layout of the ports
 *     context:  the ports' memory, and for each input and output of the model a view of the port that it lies in, as the
 *               lowering says; a text's are the ports themselves. What states hold goes in as inputs do, and out by ports more
 *     run:      inputs copied into their views (which converts them), route->run, outputs copied out of theirs; but for those
 *               whose memory the ports have as it is (bind.c) */
#include <stdio.h>

#include "engine/ane/ane.h"

enum { DEFAULT_QOS = 21, MAX_QOS = 63, MAX_RANK = 5 };

typedef struct ane_model {
    mil__arena arena;      /* of the ports */
    const mil__ane_route *route;
    mil__ane_source source;
    mil_lowered *lowered;  /* NULL: of a text; without its program, once that is loaded */
    size_t n_inputs, n_outputs, n_states; /* of the model: views */
    bool has_conv;         /* the lowered program was refused without one */
    void *loaded;
    atomic_size_t n_runs, n_copies;
} ane_model;

typedef struct ane_context {
    ane_model *model;
    void *impl;            /* the route's */
    mil__ane_view *views;  /* of the model's inputs, then of its outputs, then of what its states hold after a run */
    mil__ane_binding *binding; /* of a user's context, or one with states; NULL: everything is copied */
} ane_context;

/* ---- what there is ---- */

/* The direct route first: it was seen on more chips and systems (M1 to M5, macOS 15 to 26) than the other (M1, M5; 26). */
static const mil__ane_route *const routes[] = {&mil__ane_direct, &mil__ane_e5rt};

/* The first that opens. */
static mil_status open_any(mil_error *err) {
    mil_error why = {0};
    for (size_t i = 0; i < MIL__COUNT(routes); i++)
        if (routes[i]->open(i ? NULL : &why) == MIL_OK) return MIL_OK;
    if (err) *err = why;
    return why.code;
}

static bool available(const char **reason) {
    static _Thread_local mil_error why; /* until this thread asks again */
    mil__ane_device device = {.has_engine = true};
    mil_status status = open_any(&why);
    if (status == MIL_OK) mil__ane_device_get(&device);
    if (!device.has_engine) status = mil__fail(&why, MIL_EUNSUPPORTED, "this machine has no Neural Engine");
    else if (device.is_virtual) status = mil__fail(&why, MIL_EUNSUPPORTED, "this is a virtual machine, which has no Neural Engine");
    if (status != MIL_OK && reason) *reason = why.message;
    return status == MIL_OK;
}

static void add_device(mil__str *str) {
    mil__ane_device device;
    mil__ane_device_get(&device);
    mil__str_puts(str, *device.chip ? device.chip : "a chip that gives no name");
    if (device.cores) mil__str_printf(str, ", %u cores", device.cores);
    if (*device.build) mil__str_printf(str, ", system %s", device.build);
}

static int describe(char *buf, size_t n) {
    const char *reason = "";
    mil__str device = {0};
    if (!available(&reason)) return snprintf(buf, n, "ane (not here: %s)", reason);
    add_device(&device);
    int written = snprintf(buf, n, "ane (%s)", device.s && !device.failed ? device.s : "out of memory");
    mil__str_free(&device);
    return written;
}

/* ---- compiling ---- */

static mil_status make_port(ane_model *model, const mil_program *program, mil_value value, mil__ane_port *out, mil_error *err) {
    const mil__value *v = program->values[value];
    const mil_type *type = v->type;
    bool is_taken = type->kind == MIL_TENSOR && (type->dtype == MIL_FP16 || type->dtype == MIL_FP32) && type->rank >= 0 && type->rank <= MAX_RANK;
    for (int i = 0; is_taken && i < type->rank; i++) is_taken = type->shape[i] > 0;
    if (!is_taken)
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: the Neural Engine takes inputs and outputs of fixed sizes, fp16 or fp32, of rank %d at most; %s is %s",
                         (int)MAX_RANK, v->name, MIL__TYPE_TEXT(program->types, type));
    *out = (mil__ane_port){.name = mil__arena_text(&model->arena, v->name, strlen(v->name)), .dtype = type->dtype, .own_dtype = type->dtype, .rank = type->rank};
    memcpy(out->shape, type->shape, (size_t)type->rank * sizeof *type->shape);
    return out->name ? MIL_OK : mil__nomem(err);
}

static mil_status make_ports(ane_model *model, const mil_program *program, uint32_t function, mil_error *err) {
    const mil__function *of = &program->functions[function];
    const mil__block *body = program->blocks[of->block];
    mil__ane_source *s = &model->source;
    s->procedure = function;
    s->entry = mil__arena_text(&model->arena, of->name, strlen(of->name));
    s->n_inputs = body->n_inputs;
    s->n_outputs = body->n_outputs;
    s->ports = mil__arena_zero(&model->arena, s->n_inputs + s->n_outputs, sizeof *s->ports);
    if (!s->entry || !s->ports) return mil__nomem(err);
    for (size_t i = 0; i < s->n_inputs; i++) MIL__TRY(make_port(model, program, body->inputs[i], &s->ports[i], err));
    for (size_t i = 0; i < s->n_outputs; i++) MIL__TRY(make_port(model, program, body->outputs[i], &s->ports[s->n_inputs + i], err));
    return MIL_OK;
}

/* The program in both spellings; some can be said in the first alone. */
static mil_status print_texts(ane_model *model, const mil_program *program, mil_dialect *texts[2], mil_error *err) {
    mil__ane_source *s = &model->source;
    mil_dialect_options options = {.route = model->route->name, .is_inline = s->findings.files == MIL__ANE_REFUSED};
    MIL__TRY(mil_text_dialect(program, &options, &texts[0], err));
    options.is_long = true;
    mil_status status = mil_text_dialect(program, &options, &texts[1], err);
    if (status != MIL_OK && status != MIL_EUNSUPPORTED) return status;
    for (s->n_texts = 0; s->n_texts < 2 && texts[s->n_texts]; s->n_texts++)
        s->texts[s->n_texts] = (mil__ane_text){texts[s->n_texts]->text, texts[s->n_texts]->n};
    s->files = texts[0]->files;
    s->n_files = texts[0]->n_files;
    return MIL_OK;
}

/* Chips compute some things otherwise; h13 is M1's engine, h14g one of M2's, and so on. NULL: the
 * engine's name says no chip. Source: ANEForge's table of engines. */
static const char *chip_of_machine(void) {
    static const char *const chips[] = {"M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9"};
    mil__ane_device device;
    mil__ane_device_get(&device);
    long n = device.chip[0] == 'h' ? strtol(device.chip + 1, NULL, 10) - 13 : -1;
    return n >= 0 && n < (long)MIL__COUNT(chips) ? chips[n] : NULL;
}

/* Of a program as it is. */
static mil_status load_plain(ane_model *model, const mil_program *program, mil_error *err) {
    mil_dialect *texts[2] = {NULL, NULL};
    MIL__TRY(make_ports(model, program, 0, err));
    mil_status status = print_texts(model, program, texts, err);
    if (status == MIL_OK) status = model->route->load(&model->source, &model->loaded, err);
    mil_dialect_free(texts[0]);
    mil_dialect_free(texts[1]);
    return status;
}

/* What lowering says of inputs and outputs, by who compiles; what it has no ports for, Core ML's own interface has. */
static mil_status tell_refused(mil_status status, mil_error *err) {
    if (err && (status == MIL_ETYPE || status == MIL_EUNSUPPORTED)) {
        char message[sizeof err->message];
        snprintf(message, sizeof message, "compile: %.680s; engine coreml may take it", err->message);
        memcpy(err->message, message, sizeof message);
    }
    return status;
}

static bool has_compressed_weights(const mil_program *program) {
    const mil__block *body = program->blocks[program->functions[0].block];
    for (mil_operation at = body->first; at; at = program->ops[at]->next)
        if (strncmp(program->ops[at]->decl->name, "constexpr_", 10) == 0) return true;
    return false;
}

/* What may be tried with a program that was refused: weights that are not compressed; a convolution in it. */
typedef struct attempt {
    bool is_compressed, is_elementwise;
} attempt;

static mil_status load_lowered(ane_model *model, const mil_program *program, const mil_lower_options *options, attempt *made, mil_error *err) {
    *made = (attempt){false, false};
    mil_lowered_free(model->lowered);
    model->lowered = NULL;
    MIL__TRY(tell_refused(mil_program_lower(program, options, &model->lowered, err), err));
    model->n_inputs = model->lowered->n_inputs;
    model->n_outputs = model->lowered->n_outputs;
    model->n_states = model->lowered->n_states;
    model->source.keeps_states = model->n_states > 0;
    made->is_compressed = has_compressed_weights(model->lowered->program);
    mil_status status = load_plain(model, model->lowered->program, err);
    made->is_elementwise = mil__ane_is_elementwise(model->lowered->program);
    mil_program_free(model->lowered->program);
    model->lowered->program = NULL;
    return status;
}

/* What is refused with compressed weights is tried without; of two reasons the last counts. By the direct route a program that only works
 * element by element is refused, say some, and runs, say others (ane-bridge-rs; Orion, tmc/apple). The reason that counts there is
 * the first. */
static mil_status load_program(ane_model *model, const mil_program *program, mil_error *err) {
    mil_lower_options options = {.engine = "ane", .route = model->route->name, .chip = chip_of_machine(),
                                 .pack = model->source.findings.order == MIL__ANE_REFUSED};
    attempt made;
    mil_status status = load_lowered(model, program, &options, &made, err);
    if (status == MIL_EUNSUPPORTED && made.is_compressed) {
        options.dense_weights = true;
        status = load_lowered(model, program, &options, &made, err);
    }
    if (status != MIL_EUNSUPPORTED || !made.is_elementwise || model->route != &mil__ane_direct) return status;
    options.conv = model->has_conv = true;
    return load_lowered(model, program, &options, &made, NULL) == MIL_OK ? MIL_OK : status;
}

static mil_status load_text(ane_model *model, const mil_program *program, const mil__engine_text *text, mil_error *err) {
    mil__ane_source *s = &model->source;
    MIL__TRY(mil__ane_check_names(text->files, text->n_files, err));
    MIL__TRY(make_ports(model, program, text->function, err));
    model->n_inputs = s->n_inputs;
    model->n_outputs = s->n_outputs;
    s->texts[0] = (mil__ane_text){text->text, text->n};
    s->n_texts = 1;
    s->files = text->files;
    s->n_files = text->n_files;
    s->is_given = true;
    return model->route->load(s, &model->loaded, err);
}

static void unload(void *compiled) {
    ane_model *model = compiled;
    if (model->loaded) model->route->unload(model->loaded);
}

static void free_model(void *compiled) {
    ane_model *model = compiled;
    if (model->loaded) model->route->free(model->loaded);
    mil_lowered_free(model->lowered);
    mil__arena_free(&model->arena);
    mil__free(model);
}

static ane_model *new_model(const mil__ane_route *route, unsigned qos, const mil__ane_findings *findings) {
    ane_model *model = mil__calloc(1, sizeof *model);
    if (!model) return NULL;
    model->route = route;
    model->source.qos = qos ? qos : DEFAULT_QOS;
    model->source.findings = *findings;
    return model;
}

static mil_status finish(ane_model *model, mil_status status, void **out) {
    mil__ane_source *s = &model->source; /* what was borrowed is gone now */
    s->n_texts = 0, s->files = NULL, s->n_files = 0;
    if (status == MIL_OK) *out = model;
    else free_model(model);
    return status;
}

mil_status mil__ane_compile_plain(const mil__ane_route *route, const mil_program *program, const mil__ane_findings *findings, void **out,
                                  mil_error *err) {
    ane_model *model = new_model(route, 0, findings);
    if (!model) return mil__nomem(err);
    mil_status status = load_plain(model, program, err);
    model->n_inputs = model->source.n_inputs;
    model->n_outputs = model->source.n_outputs;
    return finish(model, status, out);
}

mil_status mil__ane_reload(void *compiled, const mil_program *program, mil_error *err) {
    ane_model *model = compiled;
    mil_dialect_options options = {.route = model->route->name};
    mil_dialect *text;
    MIL__TRY(mil_text_dialect(program, &options, &text, err));
    mil_status status = model->route->reload(model->loaded, text->files, text->n_files, err);
    mil_dialect_free(text);
    return status;
}

static mil_status compile_by(const mil__ane_route *route, const mil_program *program, const mil__engine_text *text,
                             const mil_compile_options *options, void **out, mil_error *err) {
    mil__ane_findings findings = {0};
    MIL__TRY(mil__apple_check_process("the Neural Engine", err));
    mil__ane_self_test(route, &findings);
    if (findings.order == MIL__ANE_WRONG && !options->route)
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: route %s gives wrong results on this machine, in whatever order the ports are", route->name);
    ane_model *model = new_model(route, options->qos, &findings);
    if (!model) return mil__nomem(err);
    model->source.counts = options->counters;
    mil_status status = text ? load_text(model, program, text, err) : load_program(model, program, err);
    return finish(model, status, out);
}

/* Where none is named, what one route has not, or refuses, is tried by the next. Of several reasons the first counts, and what
 * was said of the program before what was said of the system. */
static mil_status compile_either(const mil_program *program, const mil__engine_text *text, const mil_compile_options *options, void **out, mil_error *err) {
    if (options->qos > MAX_QOS) return mil__fail(err, MIL_EVALUE, "compile: qos is 1 to %d, or 0 for %d, but was given %u", (int)MAX_QOS, (int)DEFAULT_QOS, options->qos);
    mil_error why, first = {0};
    bool is_opened = false;
    for (size_t i = 0; i < MIL__COUNT(routes); i++) {
        if (options->route && strcmp(options->route, routes[i]->name) != 0) continue;
        mil_status status = routes[i]->open(&why);
        bool opens = status == MIL_OK;
        if (opens) status = compile_by(routes[i], program, text, options, out, &why);
        if (status == MIL_OK) return MIL_OK;
        if (!first.code || (opens && !is_opened)) first = why;
        is_opened |= opens;
        if (status != MIL_EUNSUPPORTED && status != MIL_ELIMIT) break; /* ELIMIT: of the compiles of this process, which are the direct route's */
    }
    if (!first.code) return mil__fail(err, MIL_EINVAL, "compile: route is \"direct\" or \"e5rt\", but was given \"%.40s\"", options->route);
    if (err) *err = first;
    return first.code;
}

static mil_status compile(mil_program *program, const mil_compile_options *options, void **out, mil_error *err) {
    mil_status status = compile_either(program, NULL, options, out, err);
    mil_program_free(program);
    return status;
}

static mil_status compile_text(const mil_program *program, const mil__engine_text *text, const mil_compile_options *options, void **out,
                               mil_error *err) {
    return compile_either(program, text, options, out, err);
}

/* By the route that a program is offered to first. */
static mil_status refusals(const mil_program *program, mil_block function, const mil_compile_options *options, const char **why,
                           mil__arena *arena, mil_error *err) {
    const char *route = options->route;
    mil__ane_findings findings = {0};
    for (size_t i = 0; !route && i < MIL__COUNT(routes); i++)
        if (routes[i]->open(NULL) == MIL_OK) route = routes[i]->name;
    for (size_t i = 0; i < MIL__COUNT(routes); i++) {
        if (!route || strcmp(route, routes[i]->name) != 0) continue;
        if (routes[i]->open(NULL) == MIL_OK && mil__apple_check_process("the Neural Engine", NULL) == MIL_OK) mil__ane_self_test(routes[i], &findings);
        return mil__ane_refusals(program, function, route, chip_of_machine(), &findings, why, arena, err);
    }
    return mil__fail(err, MIL_EINVAL, "compile: route is \"direct\" or \"e5rt\", but was given \"%.40s\"", options->route);
}

/* ---- contexts ---- */

static void context_free(void *context) {
    ane_context *c = context;
    if (c->impl) c->model->route->context_free(c->impl);
    mil__ane_binding_free(c->binding);
    mil__free(c->views);
    mil__free(c);
}

/* The view i of the model: of a lowered program's, where its elements lie in the port. */
static void make_view(const ane_model *model, size_t i, mil__ane_view *out) {
    const mil_lowered *l = model->lowered;
    bool is_input = i < model->n_inputs;
    size_t k = i - model->n_inputs; /* among outputs, then states */
    const mil_lowered_view *lowered = !l ? NULL : is_input ? &l->inputs[i] : k < l->n_outputs ? &l->outputs[k] : &l->states[k - l->n_outputs].after;
    out->port = !lowered ? i : lowered->port + (is_input ? 0 : model->source.n_inputs);
    const mil__ane_port *port = &model->source.ports[out->port];
    out->dtype = lowered ? lowered->dtype : port->own_dtype;
    out->is_state = lowered && lowered->is_state;
    mil__tensor_init(&out->tensor, port->dtype, lowered ? lowered->rank : port->rank, lowered ? lowered->shape : port->shape, NULL);
    for (int k = 0; k < out->tensor.rank; k++)
        out->tensor.strides[k] = lowered ? lowered->step[k] * port->strides[lowered->axis[k]] : port->strides[k];
    for (int a = 0; lowered && a < port->rank; a++) out->offset += lowered->begin[a] * port->strides[a] * (mil_dtype_bits(port->dtype) / 8);
}

static mil_status new_binding(ane_context *c, mil_error *err) {
    const ane_model *m = c->model;
    const mil_lowered_state *states = m->n_states ? m->lowered->states : NULL;
    return mil__ane_binding_new(m->route, c->impl, c->views, m->n_inputs, m->n_outputs, states, m->n_states, &m->source, &c->binding, err);
}

static mil_status context_new(void *compiled, void **out, mil_error *err) {
    ane_model *model = compiled;
    size_t n = model->n_inputs + model->n_outputs + model->n_states;
    MIL__TRY(mil__apple_check_process("the Neural Engine", err));
    ane_context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = model;
    c->views = mil__calloc(n, sizeof *c->views);
    mil_status status = c->views ? model->route->context_new(model->loaded, &c->impl, err) : mil__nomem(err);
    for (size_t i = 0; i < n && status == MIL_OK; i++) make_view(model, i, &c->views[i]);
    bool has_states = false;
    for (size_t i = 0; i < model->n_inputs && status == MIL_OK; i++) has_states |= c->views[i].is_state;
    if (status == MIL_OK && has_states) status = new_binding(c, err);
    if (c->binding) c->binding->has_states_only = true;
    if (status == MIL_OK) *out = c;
    else context_free(c);
    return status;
}

static mil_status keep(void *context, mil_error *err) {
    ane_context *c = context;
    if (!c->binding) return new_binding(c, err);
    c->binding->has_states_only = false;
    return MIL_OK;
}

/* One that shares its port with something is always copied, and so is one of another dtype. */
static mil_status state(void *compiled, size_t i, mil_tensor **out, mil_error *err) {
    const ane_model *m = compiled;
    mil__ane_view view = {0};
    make_view(m, i, &view);
    bool has_port = m->source.n_inputs == m->n_inputs && view.dtype == view.tensor.dtype;
    return has_port && m->route->bind ? mil__ane_shared_tensors(m->route, m->loaded, &view, 1, out, err) : MIL_OK;
}

static mil_status shared(void *compiled, mil_tensor **inputs, mil_tensor **outputs, mil_error *err) {
    const ane_model *m = compiled;
    size_t n = m->n_inputs + m->n_outputs;
    MIL__TRY(mil__apple_check_process("the Neural Engine", err));
    mil__ane_view *views = mil__calloc(n, sizeof *views);
    mil_tensor **tensors = mil__calloc(n, sizeof(mil_tensor *));
    mil_status status = views && tensors ? MIL_OK : mil__nomem(err);
    for (size_t i = 0; i < n && status == MIL_OK; i++) make_view(m, i, &views[i]);
    if (status == MIL_OK) status = mil__ane_shared_tensors(m->route, m->loaded, views, n, tensors, err);
    if (status == MIL_OK) {
        memcpy(inputs, tensors, m->n_inputs * sizeof *tensors);
        memcpy(outputs, tensors + m->n_inputs, m->n_outputs * sizeof *tensors);
    }
    mil__free(views);
    mil__free(tensors);
    return status;
}

/* Into the view, or out of it. */
static mil_status copy_view(ane_context *c, mil__ane_view *view, const mil_tensor *from, mil_tensor *to, mil_error *err) {
    const mil__ane_route *route = c->model->route;
    void *memory;
    MIL__TRY(route->begin(c->impl, view->port, &memory, err));
    view->tensor.data = (char *)memory + view->offset;
    mil_status status = mil_tensor_copy(to ? to : &view->tensor, from ? from : &view->tensor, err);
    mil_status ended = route->end(c->impl, view->port, status == MIL_OK ? err : NULL);
    return status == MIL_OK ? ended : status;
}

static void count_copies(ane_context *c, size_t n) {
    if (n) atomic_fetch_add_explicit(&c->model->n_copies, n, memory_order_relaxed);
}

/* The views [from, from + n), of inputs or of outputs, that no memory of the user's stands for. */
static mil_status copy_views(ane_context *c, size_t from, size_t n, mil_tensor *const *tensors, mil_error *err) {
    bool is_input = from < c->model->n_inputs;
    size_t n_copies = 0;
    for (size_t i = 0; i < n; i++) {
        mil__ane_view *view = &c->views[from + i];
        if (mil__ane_is_bound(c->binding, view->port)) continue;
        MIL__TRY(copy_view(c, view, is_input ? tensors[i] : NULL, is_input ? NULL : tensors[i], err));
        n_copies++;
    }
    count_copies(c, n_copies);
    return MIL_OK;
}

/* What the run wrote becomes what the states hold. */
static mil_status keep_states(ane_context *c, mil_tensor *const *inputs, mil_error *err) {
    const ane_model *m = c->model;
    size_t n_copies = 0;
    for (size_t i = 0; i < m->n_states; i++) {
        mil__ane_view *view = &c->views[m->n_inputs + m->n_outputs + i];
        if (mil__ane_is_bound(c->binding, view->port)) continue;
        MIL__TRY(copy_view(c, view, NULL, inputs[m->lowered->states[i].input], err));
        n_copies++;
    }
    count_copies(c, n_copies);
    return c->binding ? mil__ane_binding_settle(c->binding, inputs, err) : MIL_OK;
}

static mil_status run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel,
                      mil_error *err) {
    ane_context *c = context;
    size_t n_inputs = c->model->n_inputs, n_outputs = c->model->n_outputs;
    (void)given; /* shapes are fixed: what is there fits */
    MIL__TRY(mil__apple_check_process("the Neural Engine", err));
    for (size_t i = 0; i < n_outputs; i++) {
        const mil__ane_view *view = &c->views[n_inputs + i];
        if (!outputs[i]) MIL__TRY(mil__tensor_raw(view->dtype, view->tensor.rank, view->tensor.shape, &outputs[i], err));
    }
    if (c->binding) MIL__TRY(mil__ane_binding_choose(c->binding, inputs, outputs, err));
    MIL__TRY(copy_views(c, 0, n_inputs, inputs, err));
    if (mil__is_cancelled(cancel)) return mil__fail(err, MIL_ECANCELLED, "run: cancelled");
    if (c->binding) MIL__TRY(mil__ane_binding_begin(c->binding, err));
    mil_status status = c->model->route->run(c->impl, err);
    if (c->binding) mil__ane_binding_end(c->binding);
    atomic_fetch_add_explicit(&c->model->n_runs, 1, memory_order_relaxed);
    if (status == MIL_OK) status = copy_views(c, n_inputs, n_outputs, outputs, err);
    return status == MIL_OK ? keep_states(c, inputs, err) : status;
}

/* ---- telling ---- */

void mil__ane_print_port(const mil__ane_port *port, bool is_input, mil__str *out) {
    mil__str_printf(out, "%s %zu: %s %s%s, strides %s", is_input ? "input" : "output", port->symbol, port->name, mil_dtype_name(port->dtype),
                    MIL__SHAPE_TEXT(port->rank, port->shape), MIL__SHAPE_TEXT(port->rank, port->strides));
}

static mil_status print(const void *compiled, mil__str *out, mil_error *err) {
    const ane_model *model = compiled;
    (void)err;
    mil__str_puts(out, "ane, ");
    add_device(out);
    mil__str_putc(out, '\n');
    model->route->print(model->loaded, out);
    if (model->has_conv) mil__str_puts(out, "a 1x1 convolution by ones stands before the first output: it was refused as a program of elementwise operations alone\n");
    mil__ane_print_findings(&model->source.findings, out);
    mil__str_printf(out, "so far: %zu runs, %zu copies of inputs and outputs\n", atomic_load(&model->n_runs), atomic_load(&model->n_copies));
    return MIL_OK;
}

static void memory(const void *compiled, mil_model_memory *out) {
    const ane_model *model = compiled;
    out->context += model->route->context_bytes(model->loaded);
}

const mil__engine mil__engine_ane = {
    .name = "ane",
    .is_half = true,
    .available = available,
    .describe = describe,
    .compile = compile,
    .compile_text = compile_text,
    .refusals = refusals,
    .context_new = context_new,
    .context_free = context_free,
    .keep = keep,
    .shared = shared,
    .state = state,
    .run = run,
    .takes_surfaces = true,
    .unload = unload,
    .free = free_model,
    .print = print,
    .memory = memory,
};
