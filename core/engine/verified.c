/* SPDX-License-Identifier: MIT */
/* A program whose first run is computed by the cpu engine too, and compared: for engines whose results nobody has checked on the machine
 * at hand. Until a comparison went well the program is there twice; then the cpu's is freed, and a run is the engine's alone.
 *
 * It has the form of an engine, around another. Runs that start while one is being compared are not compared. */
#include <math.h>
#include <stdio.h>

#include "engine/engine.h"
#include "tensor/tensor.h"

typedef struct port {
    const char *name;
    mil_dtype dtype;          /* of its elements */
    bool is_state;
} port;

typedef struct verified_model {
    mil__arena arena;         /* of the ports */
    const mil__engine *engine;
    void *impl;
    void *cpu;                /* the reference; freed when it is no longer needed */
    const char *name;         /* of the engine that was named */
    bool is_half;             /* it computes in fp16 whatever the program says */
    atomic_bool is_busy;      /* a run is being compared, or none is to be any more */
    atomic_bool is_done;
    port *inputs, *outputs;
    bool *are_states;         /* by input */
    size_t n_inputs, n_outputs;
} verified_model;

typedef struct verified_context {
    verified_model *model;
    void *impl;               /* the engine's */
} verified_context;

/* ---- comparing ---- */

/* How far an element may be off, as a share of the largest of its tensor: what the ops of engines with fp16 and tables were measured
 * to be off by (docs/explanation/neural-engine.md), some of them one behind the other. Integers and bools must be equal. */
static double tolerance_of(const verified_model *model, mil_dtype dtype) {
    if (!mil__dtype_is_float(dtype)) return 0;
    return dtype == MIL_FP16 || dtype == MIL_BF16 || model->is_half ? 0.05 : 1e-3;
}

static double largest_of(const mil_tensor *tensor) {
    int64_t at[MIL_MAX_RANK] = {0}, n = mil_tensor_numel(tensor);
    double largest = 0, value;
    for (int64_t i = 0; i < n; i++) {
        if (mil_tensor_get(tensor, at, &value, NULL) == MIL_OK && isfinite(value) && fabs(value) > largest) largest = fabs(value);
        for (int k = tensor->rank - 1; k >= 0 && ++at[k] == tensor->shape[k]; k--) at[k] = 0;
    }
    return largest;
}

/* "1, 0, 3": from 0. */
static const char *index_text(const mil_tensor *tensor, int64_t at, char *buf, size_t n) {
    int64_t index[MIL_MAX_RANK];
    size_t used = 0;
    for (int k = tensor->rank - 1; k >= 0; k--) index[k] = at % tensor->shape[k], at /= tensor->shape[k];
    buf[0] = 0;
    for (int k = 0; k < tensor->rank && used < n; k++) used += (size_t)snprintf(buf + used, n - used, "%s%lld", k ? ", " : "", (long long)index[k]);
    return buf;
}

static mil_status compare(const verified_model *model, const port *port, const mil_tensor *got, const mil_tensor *wanted, mil_error *err) {
    mil_tensor_distance distance;
    char index[200];
    MIL__TRY(mil_tensor_measure(got, wanted, &distance, err));
    double tolerance = tolerance_of(model, port->dtype), largest = largest_of(wanted), allowed = tolerance * largest;
    if (distance.largest <= allowed) return MIL_OK;
    mil__fail(err, MIL_EVALUE,
              "verify: %s %s, %s: element [%s] is %.6g by engine %s, but %.6g by the cpu engine, which is further off than %.3g (%g of the largest, "
              "%.6g); %lld of %lld elements differ, the whole by %.2g: the engine computes something else than the program says",
              port->is_state ? "state" : "output", port->name, MIL__TENSOR_TEXT(got), index_text(got, distance.at, index, sizeof index), distance.a,
              model->name, distance.b, allowed, tolerance, largest, (long long)distance.n_unequal, (long long)mil_tensor_numel(got),
              distance.relative);
    if (err) snprintf(err->value, sizeof err->value, "%.120s", port->name);
    return MIL_EVALUE;
}

/* ---- the first run ---- */

typedef struct first_run {
    verified_model *model;
    void *context;            /* the cpu engine's */
    mil_tensor **inputs;      /* the run's, with copies of states: owned these */
    mil_tensor **outputs;     /* the cpu engine's; owned */
    mil_tensor **none;        /* given to it: nothing */
} first_run;

static mil_status begin_first(first_run *f, mil_tensor *const *inputs, mil_error *err) {
    const verified_model *model = f->model;
    f->inputs = mil__calloc(model->n_inputs + 1, sizeof *f->inputs);
    f->outputs = mil__calloc(model->n_outputs + 1, sizeof *f->outputs);
    f->none = mil__calloc(model->n_outputs + 1, sizeof *f->none);
    if (!f->inputs || !f->outputs || !f->none) return mil__nomem(err);
    for (size_t i = 0; i < model->n_inputs; i++) {
        if (!model->inputs[i].is_state) f->inputs[i] = inputs[i];
        else MIL__TRY(mil_tensor_convert(inputs[i], inputs[i]->dtype, &f->inputs[i], err));
    }
    return mil__engine_cpu.context_new(model->cpu, &f->context, err);
}

static void end_first(first_run *f) {
    const verified_model *model = f->model;
    if (f->context) mil__engine_cpu.context_free(f->context);
    for (size_t i = 0; f->inputs && i < model->n_inputs; i++)
        if (model->inputs[i].is_state) mil_tensor_free(f->inputs[i]);
    for (size_t i = 0; f->outputs && i < model->n_outputs; i++) mil_tensor_free(f->outputs[i]);
    mil__free(f->inputs);
    mil__free(f->outputs);
    mil__free(f->none);
}

static mil_status compare_all(const first_run *f, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_error *err) {
    const verified_model *model = f->model;
    for (size_t i = 0; i < model->n_outputs; i++) MIL__TRY(compare(model, &model->outputs[i], outputs[i], f->outputs[i], err));
    for (size_t i = 0; i < model->n_inputs; i++)
        if (model->inputs[i].is_state) MIL__TRY(compare(model, &model->inputs[i], inputs[i], f->inputs[i], err));
    return MIL_OK;
}

/* The cpu engine first, since what the other writes may be what both read. */
static mil_status run_twice(verified_context *c, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                            const mil__cancel *cancel, mil_error *err) {
    verified_model *model = c->model;
    first_run f = {.model = model};
    mil_status status = begin_first(&f, inputs, err);
    const mil__engine_args reference = {f.inputs, model->are_states, model->n_inputs, f.none, f.outputs, model->n_outputs, 0};
    const mil__engine_args args = {inputs, model->are_states, model->n_inputs, given, outputs, model->n_outputs, 0};
    if (status == MIL_OK) status = mil__engine_run(&mil__engine_cpu, f.context, &reference, cancel, err);
    if (status == MIL_OK) status = mil__engine_run(model->engine, c->impl, &args, cancel, err);
    if (status == MIL_OK) status = compare_all(&f, inputs, outputs, err);
    end_first(&f);
    return status;
}

static void free_reference(verified_model *model) {
    if (!model->cpu) return;
    mil__engine_cpu.unload(model->cpu);
    mil__engine_cpu.free(model->cpu);
    model->cpu = NULL;
}

static mil_status run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel,
                      mil_error *err) {
    verified_context *c = context;
    verified_model *model = c->model;
    bool is_first = !atomic_load_explicit(&model->is_done, memory_order_relaxed) && !atomic_exchange(&model->is_busy, true);
    const mil__engine_args args = {inputs, model->are_states, model->n_inputs, given, outputs, model->n_outputs, 0};
    if (!is_first) return mil__engine_run(model->engine, c->impl, &args, cancel, err);
    mil_status status = run_twice(c, inputs, given, outputs, cancel, err);
    if (status == MIL_OK) {
        free_reference(model); /* is_busy stays: nobody else comes here */
        atomic_store(&model->is_done, true);
    } else {
        atomic_store(&model->is_busy, false);
    }
    return status;
}

/* ---- compiling ---- */

static mil_status make_ports(verified_model *model, const mil_program *program, const mil_value *values, size_t n, port **out, mil_error *err) {
    *out = mil__arena_zero(&model->arena, n + 1, sizeof **out);
    if (!*out) return mil__nomem(err);
    for (size_t i = 0; i < n; i++) {
        const mil__value *value = program->values[values[i]];
        bool is_state = value->type->kind == MIL_STATE;
        const char *name = mil__arena_text(&model->arena, value->name, strlen(value->name));
        if (!name) return mil__nomem(err);
        (*out)[i] = (port){name, is_state ? value->type->items[0]->dtype : value->type->dtype, is_state};
    }
    return MIL_OK;
}

/* What no two engines give alike. */
static mil_status check_random(const mil_program *program, mil_error *err) {
    for (uint32_t i = 1; i < program->n_ops; i++)
        if (strcmp(program->ops[i]->decl->family, "random") == 0)
            return mil__fail(err, MIL_EUNSUPPORTED, "verify: %s gives other numbers on every engine, so that there is nothing to compare",
                             program->ops[i]->decl->name);
    return MIL_OK;
}

static mil_status set_up(verified_model *model, mil_program **program, const mil_compile_options *options, mil_error *err) {
    const mil__block *body = (*program)->blocks[(*program)->functions[0].block];
    const mil__engine *named = mil__engine_find(options->engine);
    mil_compile_options reference = *options;
    mil_program *copy;
    model->engine = options->fallback ? &mil__engine_split : named;
    model->name = named->name;
    model->is_half = named->is_half;
    model->n_inputs = body->n_inputs;
    model->n_outputs = body->n_outputs;
    MIL__TRY(check_random(*program, err));
    MIL__TRY(make_ports(model, *program, body->inputs, model->n_inputs, &model->inputs, err));
    MIL__TRY(make_ports(model, *program, body->outputs, model->n_outputs, &model->outputs, err));
    model->are_states = mil__arena_zero(&model->arena, model->n_inputs + 1, sizeof *model->are_states);
    if (!model->are_states) return mil__nomem(err);
    for (size_t i = 0; i < model->n_inputs; i++) model->are_states[i] = model->inputs[i].is_state;
    MIL__TRY(mil__program_rebuild(*program, (*program)->functions[0].block, NULL, &copy, NULL, err));
    reference.progress = NULL;
    MIL__TRY(mil__engine_cpu.compile(copy, &reference, &model->cpu, err));
    mil_program *own = *program;
    *program = NULL;
    return model->engine->compile(own, options, &model->impl, err);
}

static void unload(void *compiled) {
    verified_model *model = compiled;
    free_reference(model);
    if (model->impl) model->engine->unload(model->impl);
}

static void free_model(void *compiled) {
    verified_model *model = compiled;
    free_reference(model);
    if (model->impl) model->engine->free(model->impl);
    mil__arena_free(&model->arena);
    mil__free(model);
}

static mil_status compile(mil_program *program, const mil_compile_options *options, void **out, mil_error *err) {
    verified_model *model = mil__calloc(1, sizeof *model);
    mil_status status = model ? set_up(model, &program, options, err) : mil__nomem(err);
    mil_program_free(program);
    if (status == MIL_OK) *out = model;
    else if (model) free_model(model);
    return status;
}

/* ---- the engine's own ---- */

static mil_status context_new(void *compiled, void **out, mil_error *err) {
    verified_context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = compiled;
    mil_status status = c->model->engine->context_new(c->model->impl, &c->impl, err);
    if (status == MIL_OK) *out = c;
    else mil__free(c);
    return status;
}

static void context_free(void *context) {
    verified_context *c = context;
    c->model->engine->context_free(c->impl);
    mil__free(c);
}

static mil_status keep(void *context, mil_error *err) {
    verified_context *c = context;
    return c->model->engine->keep ? c->model->engine->keep(c->impl, err) : MIL_OK;
}

static mil_status state(void *compiled, size_t i, mil_tensor **out, mil_error *err) {
    const verified_model *model = compiled;
    return model->engine->state ? model->engine->state(model->impl, i, out, err) : MIL_OK;
}

static mil_status print(const void *compiled, mil__str *out, mil_error *err) {
    const verified_model *model = compiled;
    mil__str_puts(out, atomic_load(&model->is_done) ? "verified: a run agreed with the cpu engine's\n" : "to be verified by the next run\n");
    return model->engine->print(model->impl, out, err);
}

static bool step(const void *compiled, size_t i, mil__str *out) {
    const verified_model *model = compiled;
    return model->engine->step && model->engine->step(model->impl, i, out);
}

static void memory(const void *compiled, mil_model_memory *out) {
    const verified_model *model = compiled;
    model->engine->memory(model->impl, out);
}

const mil__engine mil__engine_verified = {
    .name = "verified",
    .compile = compile,
    .context_new = context_new,
    .context_free = context_free,
    .keep = keep,
    .state = state,
    .run = run,
    .takes_surfaces = true,
    .unload = unload,
    .free = free_model,
    .print = print,
    .step = step,
    .memory = memory,
};
