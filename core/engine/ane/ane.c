/* SPDX-License-Identifier: MIT */
/* The Neural Engine: takes a program, or a text with its weights files, and runs it by a route (ane.h).
 *
 *     compile:  program -> text in both spellings, ports -> route->load, which finds the layout of the ports
 *     context:  the ports' memory, and for each input and output of the model a view of the port that it lies in
 *     run:      inputs copied into their views (which converts them), route->run, outputs copied out of theirs */
#include <stdio.h>

#include "engine/ane/ane.h"

enum { DEFAULT_QOS = 21, MAX_QOS = 63, MAX_RANK = 5 };

typedef struct ane_model {
    mil__arena arena;      /* of the ports */
    const mil__ane_route *route;
    mil__ane_source source;
    void *loaded;
} ane_model;

typedef struct ane_context {
    const ane_model *model;
    void *impl;            /* the route's */
    void **memory;         /* by port, between begin and end */
    mil_tensor *views;     /* by port */
} ane_context;

/* ---- what there is ---- */

static const mil__ane_route *const routes[] = {&mil__ane_direct};

static mil_status choose_route(const char *name, const mil__ane_route **out, mil_error *err) {
    mil_status status = MIL_OK;
    for (size_t i = 0; i < MIL__COUNT(routes); i++) {
        if (name && strcmp(name, routes[i]->name) != 0) continue;
        status = routes[i]->open(err);
        *out = routes[i];
        if (status == MIL_OK || name) return status;
    }
    return name ? mil__fail(err, MIL_EINVAL, "compile: route is \"direct\", but was given \"%.40s\"", name) : status;
}

static bool asks_device(void) { return mil__responds(ANEDeviceInfo, hasANE); }

static bool available(const char **reason) {
    static _Thread_local mil_error why; /* until this thread asks again */
    const mil__ane_route *route;
    mil_status status = choose_route(NULL, &route, &why);
    if (status == MIL_OK && asks_device() && !mil__send_class(ANEDeviceInfo, hasANE))
        status = mil__fail(&why, MIL_EUNSUPPORTED, "this machine has no Neural Engine");
    if (status == MIL_OK && mil__responds(ANEDeviceInfo, isVirtualMachine) && mil__send_class(ANEDeviceInfo, isVirtualMachine))
        status = mil__fail(&why, MIL_EUNSUPPORTED, "this is a virtual machine, which has no Neural Engine");
    if (status != MIL_OK && reason) *reason = why.message;
    return status == MIL_OK;
}

static void add_device(mil__str *str) {
    void *pool = mil__apple.objc_autoreleasePoolPush();
    const char *chip = mil__responds(ANEDeviceInfo, architecture) ? mil__read_text(mil__send_class(ANEDeviceInfo, architecture)) : NULL;
    const char *build = mil__responds(ANEDeviceInfo, buildVersion) ? mil__read_text(mil__send_class(ANEDeviceInfo, buildVersion)) : NULL;
    unsigned cores = mil__responds(ANEDeviceInfo, numANECores) ? mil__send_class(ANEDeviceInfo, numANECores) : 0;
    mil__str_puts(str, chip ? chip : "a chip that gives no name");
    if (cores) mil__str_printf(str, ", %u cores", cores);
    if (build) mil__str_printf(str, ", system %s", build);
    mil__apple.objc_autoreleasePoolPop(pool);
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
    *out = (mil__ane_port){.name = mil__arena_text(&model->arena, v->name, strlen(v->name)), .dtype = type->dtype, .rank = type->rank};
    memcpy(out->shape, type->shape, (size_t)type->rank * sizeof *type->shape);
    return out->name ? MIL_OK : mil__nomem(err);
}

static mil_status make_ports(ane_model *model, const mil_program *program, const mil__block *body, mil_error *err) {
    mil__ane_source *s = &model->source;
    s->n_inputs = body->n_inputs;
    s->n_outputs = body->n_outputs;
    s->ports = mil__arena_zero(&model->arena, s->n_inputs + s->n_outputs, sizeof *s->ports);
    if (!s->ports) return mil__nomem(err);
    for (size_t i = 0; i < s->n_inputs; i++) MIL__TRY(make_port(model, program, body->inputs[i], &s->ports[i], err));
    for (size_t i = 0; i < s->n_outputs; i++) MIL__TRY(make_port(model, program, body->outputs[i], &s->ports[s->n_inputs + i], err));
    return MIL_OK;
}

/* The program in both spellings; some can be said in the first alone. */
static mil_status print_texts(ane_model *model, const mil_program *program, mil_dialect *texts[2], mil_error *err) {
    mil__ane_source *s = &model->source;
    mil_dialect_options options = {.route = model->route->name};
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

static mil_status load_program(ane_model *model, const mil_program *program, mil_error *err) {
    mil_dialect *texts[2] = {NULL, NULL};
    mil_status status = print_texts(model, program, texts, err);
    if (status == MIL_OK) status = model->route->load(&model->source, &model->loaded, err);
    mil_dialect_free(texts[0]);
    mil_dialect_free(texts[1]);
    return status;
}

static mil_status load_text(ane_model *model, const mil__engine_text *text, mil_error *err) {
    mil__ane_source *s = &model->source;
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
    mil__arena_free(&model->arena);
    mil__free(model);
}

static mil_status set_up(ane_model *model, const mil_program *program, const mil__engine_text *text, const mil_compile_options *options,
                         mil_error *err) {
    if (options->qos > MAX_QOS) return mil__fail(err, MIL_EVALUE, "compile: qos is 1 to %d, or 0 for %d, but was given %u", (int)MAX_QOS, (int)DEFAULT_QOS, options->qos);
    model->source.qos = options->qos ? options->qos : DEFAULT_QOS;
    MIL__TRY(choose_route(options->route, &model->route, err));
    MIL__TRY(make_ports(model, program, program->blocks[program->functions[0].block], err));
    MIL__TRY(text ? load_text(model, text, err) : load_program(model, program, err));
    mil__ane_source *s = &model->source; /* what was borrowed is gone now */
    s->n_texts = 0, s->files = NULL, s->n_files = 0;
    return MIL_OK;
}

static mil_status compile_either(mil_program *program, const mil__engine_text *text, const mil_compile_options *options, void **out, mil_error *err) {
    ane_model *model = mil__calloc(1, sizeof *model);
    mil_status status = model ? set_up(model, program, text, options, err) : mil__nomem(err);
    mil_program_free(program);
    if (status == MIL_OK) *out = model;
    else if (model) free_model(model);
    return status;
}

static mil_status compile(mil_program *program, const mil_compile_options *options, void **out, mil_error *err) {
    return compile_either(program, NULL, options, out, err);
}

static mil_status compile_text(mil_program *program, const mil__engine_text *text, const mil_compile_options *options, void **out,
                               mil_error *err) {
    return compile_either(program, text, options, out, err);
}

/* ---- contexts ---- */

static void context_free(void *context) {
    ane_context *c = context;
    if (c->impl) c->model->route->context_free(c->impl);
    mil__free(c->memory);
    mil__free(c->views);
    mil__free(c);
}

static mil_status context_new(void *compiled, void **out, mil_error *err) {
    const ane_model *model = compiled;
    size_t n = model->source.n_inputs + model->source.n_outputs;
    ane_context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = model;
    c->memory = mil__calloc(n, sizeof *c->memory);
    c->views = mil__calloc(n, sizeof *c->views);
    mil_status status = c->memory && c->views ? model->route->context_new(model->loaded, &c->impl, err) : mil__nomem(err);
    for (size_t i = 0; i < n && status == MIL_OK; i++) {
        const mil__ane_port *port = &model->source.ports[i];
        mil__tensor_init(&c->views[i], port->dtype, port->rank, port->shape, NULL);
        memcpy(c->views[i].strides, port->strides, (size_t)port->rank * sizeof *port->strides);
    }
    if (status == MIL_OK) *out = c;
    else context_free(c);
    return status;
}

/* One port after the other, so that a lock is held no longer than its copy. */
static mil_status copy_port(ane_context *c, size_t i, const mil_tensor *from, mil_tensor *to, mil_error *err) {
    const mil__ane_route *route = c->model->route;
    MIL__TRY(route->begin(c->impl, i, &c->views[i].data, err));
    mil_status status = mil_tensor_copy(to ? to : &c->views[i], from ? from : &c->views[i], err);
    route->end(c->impl, i);
    return status;
}

static mil_status run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel,
                      mil_error *err) {
    ane_context *c = context;
    const mil__ane_source *s = &c->model->source;
    (void)given; /* shapes are fixed: what is there fits */
    for (size_t i = 0; i < s->n_outputs; i++) {
        const mil_tensor *view = &c->views[s->n_inputs + i];
        if (!outputs[i]) MIL__TRY(mil__tensor_raw(view->dtype, view->rank, view->shape, &outputs[i], err));
    }
    for (size_t i = 0; i < s->n_inputs; i++) MIL__TRY(copy_port(c, i, inputs[i], NULL, err));
    if (mil__is_cancelled(cancel)) return mil__fail(err, MIL_ECANCELLED, "run: cancelled");
    MIL__TRY(c->model->route->run(c->impl, err));
    for (size_t i = 0; i < s->n_outputs; i++) MIL__TRY(copy_port(c, s->n_inputs + i, NULL, outputs[i], err));
    return MIL_OK;
}

/* ---- telling ---- */

static mil_status print(const void *compiled, mil__str *out, mil_error *err) {
    const ane_model *model = compiled;
    (void)err;
    mil__str_puts(out, "ane, ");
    add_device(out);
    mil__str_putc(out, '\n');
    model->route->print(model->loaded, out);
    return MIL_OK;
}

static void memory(const void *compiled, mil_model_memory *out) {
    const ane_model *model = compiled;
    out->context += model->route->context_bytes(model->loaded);
}

const mil__engine mil__engine_ane = {
    .name = "ane",
    .available = available,
    .describe = describe,
    .compile = compile,
    .compile_text = compile_text,
    .context_new = context_new,
    .context_free = context_free,
    .run = run,
    .unload = unload,
    .free = free_model,
    .print = print,
    .memory = memory,
};
