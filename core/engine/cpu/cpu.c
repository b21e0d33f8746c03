/* SPDX-License-Identifier: MIT */
/* The cpu engine's table of functions, and its models. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/cpu/steps.h"
#include "passes/pass.h"

static bool available(const char **reason) {
    (void)reason;
    return true;
}

static int describe(char *buf, size_t n) {
    int threads = mil__processors();
    return snprintf(buf, n, "cpu (%s, %d thread%s)", mil__kernels_best()->isa, threads, threads == 1 ? "" : "s");
}

static void free_model(void *compiled);

static bool is_static(const mil_program *program, const mil__block *body) {
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const mil_type *type = program->values[body->inputs[i]]->type;
        for (int k = 0; k < type->rank; k++)
            if (type->shape[k] < 0) return false;
    }
    return true;
}

/* A model with static inputs has its one plan from the start. */
static mil_status make_only_plan(mil__cpu_model *model, const mil__block *body, mil_error *err) {
    const mil_type **types = mil__calloc(body->n_inputs, sizeof *types);
    if (!types) return mil__nomem(err);
    for (uint32_t i = 0; i < body->n_inputs; i++) types[i] = model->program->values[body->inputs[i]]->type;
    mil__cpu_plan *plan = NULL;
    mil_status status = mil__plans_take(model, NULL, 0, types, &plan, err);
    mil__free(types);
    if (status != MIL_OK) return status;
    mil__plans_give_back(model, plan);
    mil_program_free(model->program); /* the plan has its own */
    model->program = NULL;
    return MIL_OK;
}

static int by_address(const void *a, const void *b) {
    const mil_buffer *one = *(const mil_buffer *const *)a, *two = *(const mil_buffer *const *)b;
    return (one > two) - (one < two);
}

/* Where plans are made again and again, what depends on no size is computed once, here. */
static mil_status prepare_plans(mil__cpu_model *model, mil_error *err) {
    const mil_program *program = model->program;
    bool strict = model->options.precision == MIL_PRECISION_STRICT;
    if (model->options.optimize) MIL__TRY(mil__passes_run(model->program, model->disable, strict, err));
    model->own = mil__calloc(program->n_values, sizeof *model->own);
    if (!model->own) return mil__nomem(err);
    for (uint32_t i = 0; i < program->n_values; i++) {
        const mil__value *value = program->values[i];
        if (value && value->data && value->data->buffer) model->own[model->n_own++] = value->data->buffer;
    }
    qsort(model->own, model->n_own, sizeof *model->own, by_address);
    return MIL_OK;
}

bool mil__cpu_is_own(const mil__cpu_model *model, const mil_buffer *buffer) {
    return model->is_static || bsearch(&buffer, model->own, model->n_own, sizeof *model->own, by_address);
}

static mil_status set_up(mil__cpu_model *model, mil_error *err) {
    const mil__block *body = model->program->blocks[model->program->functions[0].block];
    pthread_mutex_t *lock = mil__alloc(sizeof *lock);
    if (!lock) return mil__nomem(err);
    pthread_mutex_init(lock, NULL);
    model->lock = lock;
    if (model->options.disable && !(model->disable = mil__strdup(model->options.disable))) return mil__nomem(err);
    if (model->n_lanes > 1) {
        MIL__TRY(mil__pool_acquire(model->n_lanes, err));
        model->holds_pool = true;
    }
    model->is_static = is_static(model->program, body);
    return model->is_static ? make_only_plan(model, body, err) : prepare_plans(model, err);
}

static mil_status check_options(const mil_compile_options *options, mil_error *err) {
    if (options->threads < 0 || options->threads > 256)
        return mil__fail(err, MIL_EVALUE, "compile: threads = %d; 0 (all) to 256 are possible", options->threads);
    return mil__passes_check(options->disable, err);
}

static mil_status compile(mil_program *program, const mil_compile_options *options, void **out, mil_error *err) {
    mil_status checked = check_options(options, err);
    if (checked != MIL_OK) {
        mil_program_free(program);
        return checked;
    }
    mil__cpu_model *model = mil__calloc(1, sizeof *model);
    if (!model) {
        mil_program_free(program);
        return mil__nomem(err);
    }
    model->program = program;
    model->options = *options;
    model->n_lanes = options->threads ? options->threads : mil__processors();
    model->kernels = mil__kernels_best();
    mil_status status = set_up(model, err);
    if (status != MIL_OK) {
        free_model(model);
        return status;
    }
    model->options.progress = NULL; /* plans to come are made in the course of runs */
    *out = model;
    return MIL_OK;
}

static void unload(void *compiled) {
    mil__cpu_model *model = compiled;
    if (model->lock) mil__plans_free(model);
    mil__cpu_packed_free(model);
    mil__free(model->own);
    model->own = NULL;
    model->n_own = 0;
    mil_program_free(model->program);
    model->program = NULL;
    if (model->holds_pool) mil__pool_release();
    model->holds_pool = false;
}

static void free_model(void *compiled) {
    mil__cpu_model *model = compiled;
    unload(model);
    if (model->lock) pthread_mutex_destroy(model->lock);
    mil__free(model->lock);
    mil__free(model->disable);
    mil__free(model);
}

/* ---- describing ---- */

static void print_slot(mil__str *out, const mil__cpu_plan *plan, uint32_t slot) {
    const mil__slot *s = &plan->slots[slot];
    const char *name = s->value ? plan->program->values[s->value]->name : NULL;
    mil__str_printf(out, "%s", name ? name : "-");
}

static void print_step(mil__str *out, const mil__cpu_plan *plan, const mil__step *step, uint32_t number) {
    mil__str_printf(out, "%4u  ", number);
    for (uint32_t i = 0; i < step->n_out; i++) {
        if (i) mil__str_puts(out, ", ");
        print_slot(out, plan, step->out[i]);
        const mil__slot *s = &plan->slots[step->out[i]];
        mil__str_printf(out, " %s%s", mil_dtype_name(s->dtype), MIL__SHAPE_TEXT(s->rank, s->shape));
    }
    mil__str_printf(out, " = ");
    for (uint32_t i = 0; i < step->n_covers; i++)
        mil__str_printf(out, "%s%s", i ? " + " : "", plan->program->ops[step->covers[i]]->decl->name);
    mil__str_puts(out, "(");
    for (uint32_t i = 0; i < step->n_in; i++) {
        if (i) mil__str_puts(out, ", ");
        print_slot(out, plan, step->in[i]);
    }
    mil__str_printf(out, ")  [%s]\n", step->kernel);
}

static mil_status print(const void *compiled, mil__str *out, mil_error *err) {
    const mil__cpu_model *model = compiled;
    (void)err;
    mil__str_printf(out, "cpu, %s, %d thread%s\n", model->kernels->isa, model->n_lanes, model->n_lanes == 1 ? "" : "s");
    pthread_mutex_lock(model->lock);
    mil__str_printf(out, "packed weights: %zu bytes\n", model->packed_bytes);
    if (!model->plans) mil__str_puts(out, "no plan yet: the shapes of a run's inputs decide it\n");
    for (const mil__cpu_plan *plan = model->plans; plan; plan = plan->next) {
        mil__str_printf(out, "plan: %u step%s, %zu bytes of values, %zu of scratch a thread, %zu of converted consts\n",
                        plan->n_steps, plan->n_steps == 1 ? "" : "s", plan->arena_bytes, plan->scratch_bytes, plan->weight_bytes);
        for (uint32_t i = 0; i < plan->n_steps; i++) print_step(out, plan, &plan->steps[i], i + 1);
    }
    pthread_mutex_unlock(model->lock);
    return MIL_OK;
}

/* Of the plan that was taken last. */
static bool print_names(const void *compiled, size_t i, mil__str *out) {
    const mil__cpu_model *model = compiled;
    pthread_mutex_lock(model->lock);
    const mil__cpu_plan *plan = model->plans;
    bool is_there = plan && i < plan->n_steps;
    if (is_there && out) {
        const mil__step *step = &plan->steps[i];
        mil__str_add(out, step->kernel, strlen(step->kernel) + 1);
        for (uint32_t k = step->n_covers; k-- > 0;) {
            const char *name = mil__result_name(plan->program, plan->program->ops[step->covers[k]]);
            if (name) mil__str_add(out, name, strlen(name) + 1);
        }
    }
    pthread_mutex_unlock(model->lock);
    return is_there;
}

static void memory(const void *compiled, mil_model_memory *out) {
    const mil__cpu_model *model = compiled;
    pthread_mutex_lock(model->lock);
    out->weights += model->packed_bytes;
    for (const mil__cpu_plan *plan = model->plans; plan; plan = plan->next) {
        size_t context = plan->arena_bytes + plan->scratch_bytes * (size_t)model->n_lanes;
        out->weights += plan->weight_bytes;
        if (context > out->context) out->context = context;
    }
    pthread_mutex_unlock(model->lock);
}

const mil__engine mil__engine_cpu = {
    .name = "cpu",
    .available = available,
    .describe = describe,
    .compile = compile,
    .context_new = mil__cpu_context_new,
    .context_free = mil__cpu_context_free,
    .run = mil__cpu_run,
    .unload = unload,
    .free = free_model,
    .print = print,
    .step = print_names,
    .memory = memory,
};
