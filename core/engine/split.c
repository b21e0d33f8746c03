/* SPDX-License-Identifier: MIT */
/* A program run across two engines: the one that was named computes what it takes, the cpu engine the rest.
 *
 *     compile   the engine says which operations it refuses; the program is divided (passes/partition.h), each part becomes a program
 *               and is compiled by its engine. A part that is refused after all is the cpu's from then on, and it is divided anew.
 *     context   a context of each part's, and the tensors that go from part to part
 *     run       the parts, one after the other. A part is given the tensors themselves, the caller's own too: nothing is copied, and
 *               what lies between parts is made once, but where shapes change from run to run.
 *
 * Every value that leaves its part, and every input of the function, has a place:
 *
 *     places    | inputs, as the function takes them | results of part 0 | of part 1 | ..
 *     tensors     the run's own                        the context's, or the caller's where the function gives them
 *
 * It has the form of an engine, so that models, started runs and cancelling know nothing of it. */
#include <stdio.h>

#include "engine/engine.h"
#include "passes/partition.h"
#include "tensor/tensor.h"

enum { NOT_OUTPUT = -1 };

typedef struct split_part {
    const mil__engine *engine;
    void *impl;
    uint32_t *inputs, *outputs; /* places */
    bool *are_states;         /* by input */
    uint32_t n_inputs, n_outputs, n_operations;
    const char *first, *last; /* of its operations: the names of their results */
    size_t n_steps;           /* of the plan that it has from the start */
} split_part;

typedef struct place {
    mil_dtype dtype;
    int rank;
    int64_t *shape;           /* NULL: only a run decides it */
    int output;               /* of the function, the last where several are the same value; NOT_OUTPUT */
} place;

typedef struct split_model {
    mil__arena arena;
    const mil__engine *engine; /* the one that was named */
    split_part *parts;
    uint32_t n, n_places, n_inputs, n_outputs;
    uint32_t most;            /* inputs, or outputs, of a part */
    place *places;
    uint32_t *outputs;        /* the function's: places */
    size_t bytes;             /* between parts */
    char *cuts;               /* what was refused and why, a line each */
} split_model;

typedef struct split_context {
    const split_model *model;
    void **contexts;          /* by part */
    mil_tensor **tensors;     /* by place; those between parts are owned */
    mil_tensor **in, **given, **out; /* of the part that runs */
} split_context;

/* ---- compiling ---- */

typedef struct splitting {
    split_model *model;
    mil_program *program;     /* owned */
    mil_block function;
    const mil_compile_options *options;
    const char **why;         /* by operation: refused because */
    mil__arena reasons;
    uint32_t *made_in;        /* by operation: the part of `made`, + 1, that it was compiled in */
    void **made;              /* by the engine that was named, whether they are wanted still or not; taken over: NULL */
    uint32_t *made_operations; /* how many each has */
    uint32_t n_made;
    bool *kept;               /* by operation: of the part that is cut */
    uint32_t *place_of;       /* by value, + 1 */
    double done, share;       /* of the whole: parts compiled, the one at hand */
    mil_error *err;
} splitting;

static bool takes(void *ctx, mil_operation operation) { return !((splitting *)ctx)->why[operation]; }

static mil_status cut(splitting *s, const mil__partition_part *part, mil_program **out, mil_error *err) {
    const mil_part what = {part->outputs, part->n_outputs, part->inputs, part->n_inputs};
    for (uint32_t i = 0; i < part->n_operations; i++) s->kept[part->operations[i]] = true;
    mil_status status = mil__program_cut(s->program, s->function, &what, s->kept, out, err);
    for (uint32_t i = 0; i < part->n_operations; i++) s->kept[part->operations[i]] = false;
    return status;
}

static bool tell(void *ctx, const char *stage, double part) {
    const splitting *s = ctx;
    return s->options->progress(s->options->progress_ctx, stage, s->done + s->share * part);
}

static mil_status compile_part(splitting *s, const mil__partition_part *part, const mil__engine *engine, size_t memory_limit, void **out,
                               mil_error *err) {
    mil_program *program;
    mil_compile_options options = *s->options;
    options.memory_limit = memory_limit;
    if (options.progress) options.progress = tell, options.progress_ctx = s;
    MIL__TRY(cut(s, part, &program, err));
    return engine->compile(program, &options, out, err);
}

static mil_status refuse(splitting *s, const mil__partition_part *part, const mil_error *reason) {
    const char *why = mil__arena_text(&s->reasons, reason->message, strlen(reason->message));
    for (uint32_t i = 0; i < part->n_operations; i++) s->why[part->operations[i]] = why;
    return why ? MIL_OK : mil__nomem(s->err);
}

/* What was compiled of just these operations, and is not taken yet: its number in `made`, + 1; 0: nothing. */
static uint32_t find_made(const splitting *s, const mil__partition_part *part) {
    uint32_t at = s->made_in[part->operations[0]];
    if (!at || s->made_operations[at - 1] != part->n_operations) return 0;
    for (uint32_t i = 1; i < part->n_operations; i++)
        if (s->made_in[part->operations[i]] != at) return 0;
    return at;
}

static mil_status keep_made(splitting *s, const mil__partition_part *part, void *impl) {
    void **made = mil__realloc(s->made, (s->n_made + 1) * sizeof *made);
    if (made) s->made = made;
    uint32_t *counts = made ? mil__realloc(s->made_operations, (s->n_made + 1) * sizeof *counts) : NULL;
    if (!counts) {
        s->model->engine->unload(impl);
        s->model->engine->free(impl);
        return mil__nomem(s->err);
    }
    s->made_operations = counts;
    s->made[s->n_made] = impl;
    s->made_operations[s->n_made++] = part->n_operations;
    for (uint32_t i = 0; i < part->n_operations; i++) s->made_in[part->operations[i]] = s->n_made;
    return MIL_OK;
}

/* Compiles what the engine takes, up to the first part that it refuses: *settled false, and that is the cpu's from now on. */
static mil_status compile_taken(splitting *s, const mil__partition *parts, bool *settled) {
    *settled = true;
    for (uint32_t p = 0; p < parts->n && *settled; p++) {
        const mil__partition_part *part = &parts->parts[p];
        mil_error why = {0};
        void *impl = NULL;
        if (!part->is_taken || find_made(s, part)) continue;
        s->done = (double)p / parts->n, s->share = 1.0 / parts->n;
        mil_status status = compile_part(s, part, s->model->engine, s->options->memory_limit, &impl, &why);
        *settled = !mil__is_refusal(status);
        if (status == MIL_OK) status = keep_made(s, part, impl);
        else if (*settled && s->err) *s->err = why;
        if (!*settled) status = refuse(s, part, &why);
        MIL__TRY(status);
    }
    return MIL_OK;
}

static mil_status divide(splitting *s, mil__partition *out) {
    bool settled = false;
    while (!settled) {
        MIL__TRY(mil__partition_make(s->program, s->function, takes, s, out, s->err));
        mil_status status = compile_taken(s, out, &settled);
        if (status != MIL_OK || !settled) mil__partition_free(out);
        MIL__TRY(status);
    }
    return MIL_OK;
}

/* ---- places ---- */

static mil_status add_place(splitting *s, mil_value value) {
    split_model *model = s->model;
    const mil_type *type = s->program->values[value]->type;
    if (type->kind == MIL_STATE) type = type->items[0];
    place *made = &model->places[model->n_places];
    *made = (place){.dtype = type->dtype, .rank = type->rank, .output = NOT_OUTPUT};
    s->place_of[value] = ++model->n_places;
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] < 0) return MIL_OK;
    made->shape = mil__arena_copy(&model->arena, type->shape, (size_t)type->rank * sizeof *made->shape);
    return made->shape ? MIL_OK : mil__nomem(s->err);
}

static mil_status make_places(splitting *s, const mil__partition *parts) {
    split_model *model = s->model;
    const mil__block *body = s->program->blocks[s->function];
    size_t n = body->n_inputs;
    for (uint32_t p = 0; p < parts->n; p++) n += parts->parts[p].n_outputs;
    model->places = mil__arena_zero(&model->arena, n + 1, sizeof *model->places);
    model->outputs = mil__arena_zero(&model->arena, (size_t)body->n_outputs + 1, sizeof *model->outputs);
    if (!model->places || !model->outputs) return mil__nomem(s->err);
    model->n_inputs = body->n_inputs;
    model->n_outputs = body->n_outputs;
    for (uint32_t i = 0; i < body->n_inputs; i++) MIL__TRY(add_place(s, body->inputs[i]));
    for (uint32_t p = 0; p < parts->n; p++)
        for (uint32_t i = 0; i < parts->parts[p].n_outputs; i++) MIL__TRY(add_place(s, parts->parts[p].outputs[i]));
    for (uint32_t i = 0; i < body->n_outputs; i++) {
        model->outputs[i] = s->place_of[body->outputs[i]] - 1;
        if (model->outputs[i] >= model->n_inputs) model->places[model->outputs[i]].output = (int)i;
    }
    for (uint32_t i = model->n_inputs; i < model->n_places; i++) {
        const place *at = &model->places[i];
        int64_t numel;
        size_t bytes;
        if (at->shape && at->output == NOT_OUTPUT && mil__shape_numel(at->rank, at->shape, &numel) && mil__dtype_bytes(at->dtype, numel, &bytes))
            model->bytes += bytes;
    }
    return MIL_OK;
}

/* ---- parts ---- */

static mil_status copy_places(splitting *s, const mil_value *values, uint32_t n, uint32_t **out) {
    *out = mil__arena_zero(&s->model->arena, (size_t)n + 1, sizeof **out);
    if (!*out) return mil__nomem(s->err);
    for (uint32_t i = 0; i < n; i++) (*out)[i] = s->place_of[values[i]] - 1;
    if (n > s->model->most) s->model->most = n;
    return MIL_OK;
}

static const char *name_of(splitting *s, mil_operation operation) {
    const mil__op *op = s->program->ops[operation];
    const char *name = mil__result_name(s->program, op);
    if (!name) name = op->decl->name;
    return mil__arena_text(&s->model->arena, name, strlen(name));
}

/* What is left of a limit, for one part more; 1 where nothing is, since 0 is no limit. */
static size_t limit_left(const splitting *s) {
    mil_model_memory memory = {0};
    size_t limit = s->options->memory_limit, used = s->model->bytes;
    for (uint32_t p = 0; limit && p < s->model->n; p++) {
        s->model->parts[p].engine->memory(s->model->parts[p].impl, &memory);
        used += memory.context;
        memory.context = 0;
    }
    return !limit ? 0 : used < limit ? limit - used : 1;
}

static size_t count_steps(const split_part *part) {
    size_t n = 0;
    while (part->engine->step && part->engine->step(part->impl, n, NULL)) n++;
    return n;
}

static mil_status add_part(splitting *s, const mil__partition_part *from, double share) {
    split_model *model = s->model;
    split_part *part = &model->parts[model->n];
    part->engine = from->is_taken ? model->engine : &mil__engine_cpu;
    part->n_inputs = from->n_inputs;
    part->n_outputs = from->n_outputs;
    part->n_operations = from->n_operations;
    MIL__TRY(copy_places(s, from->inputs, from->n_inputs, &part->inputs));
    MIL__TRY(copy_places(s, from->outputs, from->n_outputs, &part->outputs));
    part->are_states = mil__arena_zero(&model->arena, (size_t)from->n_inputs + 1, sizeof *part->are_states);
    if (!part->are_states) return mil__nomem(s->err);
    for (uint32_t i = 0; i < from->n_inputs; i++) part->are_states[i] = s->program->values[from->inputs[i]]->type->kind == MIL_STATE;
    part->first = name_of(s, from->operations[0]);
    part->last = name_of(s, from->operations[from->n_operations - 1]);
    if (!part->first || !part->last) return mil__nomem(s->err);
    s->done = model->n * share, s->share = share;
    if (from->is_taken) {
        void **made = &s->made[find_made(s, from) - 1];
        part->impl = *made;
        *made = NULL;
    } else {
        MIL__TRY(compile_part(s, from, part->engine, limit_left(s), &part->impl, s->err));
    }
    model->n++;
    part->n_steps = count_steps(part);
    return MIL_OK;
}

/* "  ffn.lua:12: sorted, and 3 more: <why>": those one after the other that one reason is for. */
static void describe_cut(const splitting *s, const mil__partition_part *from, uint32_t *at, mil__str *out) {
    const mil__op *op = s->program->ops[from->operations[*at]];
    const char *name = mil__result_name(s->program, op), *why = s->why[from->operations[*at]];
    uint32_t first = (*at)++;
    while (*at < from->n_operations && s->why[from->operations[*at]] == why) ++*at;
    mil__str_puts(out, "  ");
    if (op->file && op->line) mil__str_printf(out, "%s:%d: ", op->file, op->line);
    mil__str_puts(out, name ? name : op->decl->name);
    if (*at > first + 1) mil__str_printf(out, ", and %u more", *at - first - 1);
    mil__str_printf(out, ": %s\n", why ? why : "bound to what the engine does not take");
}

/* A line for each part, and behind the cpu's why its operations are there. */
static void describe_part(const splitting *s, const mil__partition_part *from, const split_part *part, uint32_t number, mil__str *out) {
    mil__str_printf(out, "part %u: %s, %u operation%s, %s", number, part->engine->name, part->n_operations, part->n_operations == 1 ? "" : "s",
                    part->first);
    if (part->n_operations > 1) mil__str_printf(out, " to %s", part->last);
    mil__str_putc(out, '\n');
    for (uint32_t i = 0; !from->is_taken && i < from->n_operations;) describe_cut(s, from, &i, out);
}

static mil_status make_parts(splitting *s, const mil__partition *parts) {
    split_model *model = s->model;
    mil__str cuts = {0};
    model->parts = mil__arena_zero(&model->arena, (size_t)parts->n + 1, sizeof *model->parts);
    if (!model->parts) return mil__nomem(s->err);
    mil_status status = MIL_OK;
    for (uint32_t p = 0; p < parts->n && status == MIL_OK; p++) {
        status = add_part(s, &parts->parts[p], 1.0 / parts->n);
        if (status == MIL_OK) describe_part(s, &parts->parts[p], &model->parts[p], p + 1, &cuts);
    }
    if (status == MIL_OK && parts->n) return mil__str_take(&cuts, &model->cuts, NULL, s->err);
    mil__str_free(&cuts);
    return status;
}

static mil_status refuse_all(splitting *s, const char *reason) {
    char text[400];
    int n = snprintf(text, sizeof text, "engine %s can't be used here: %.300s", s->model->engine->name, reason);
    const char *why = mil__arena_text(&s->reasons, text, (size_t)n);
    if (!why) return mil__nomem(s->err);
    for (mil_operation at = s->program->blocks[s->function]->first; at; at = s->program->ops[at]->next) s->why[at] = why;
    return MIL_OK;
}

static mil_status ask_engine(splitting *s) {
    const mil__engine *engine = s->model->engine;
    const char *reason = "";
    if (!engine->available(&reason)) return refuse_all(s, reason);
    return engine->refusals ? engine->refusals(s->program, s->function, s->options, s->why, &s->reasons, s->err) : MIL_OK;
}

static mil_status split(splitting *s) {
    mil__partition parts;
    s->why = mil__calloc(s->program->n_ops, sizeof *s->why);
    s->made_in = mil__calloc(s->program->n_ops, sizeof *s->made_in);
    s->kept = mil__calloc(s->program->n_ops, sizeof *s->kept);
    s->place_of = mil__calloc(s->program->n_values, sizeof *s->place_of);
    if (!s->why || !s->made_in || !s->kept || !s->place_of) return mil__nomem(s->err);
    MIL__TRY(ask_engine(s));
    MIL__TRY(divide(s, &parts));
    mil_status status = make_places(s, &parts);
    if (status == MIL_OK) status = make_parts(s, &parts);
    mil__partition_free(&parts);
    return status;
}

static void end(splitting *s) {
    for (uint32_t i = 0; i < s->n_made; i++) {
        if (!s->made[i]) continue;
        s->model->engine->unload(s->made[i]);
        s->model->engine->free(s->made[i]);
    }
    mil__free(s->made);
    mil__free(s->made_operations);
    mil__free(s->why);
    mil__free(s->made_in);
    mil__free(s->kept);
    mil__free(s->place_of);
    mil__arena_free(&s->reasons);
    mil_program_free(s->program);
}

static void unload(void *compiled) {
    split_model *model = compiled;
    for (uint32_t p = 0; p < model->n; p++) model->parts[p].engine->unload(model->parts[p].impl);
}

static void free_model(void *compiled) {
    split_model *model = compiled;
    for (uint32_t p = 0; p < model->n; p++) model->parts[p].engine->free(model->parts[p].impl);
    mil__free(model->cuts);
    mil__arena_free(&model->arena);
    mil__free(model);
}

static mil_status compile(mil_program *program, const mil_compile_options *options, void **out, mil_error *err) {
    splitting s = {.program = program, .function = program->functions[0].block, .options = options, .err = err};
    s.model = mil__calloc(1, sizeof *s.model);
    mil_status status = s.model ? MIL_OK : mil__nomem(err);
    if (s.model) {
        s.model->engine = mil__engine_find(options->engine);
        status = split(&s);
    }
    end(&s);
    if (status == MIL_OK) {
        *out = s.model;
    } else if (s.model) {
        unload(s.model);
        free_model(s.model);
    }
    return status;
}

/* ---- without it ---- */

static void blame(const mil_program *program, mil_operation at, const char *why, mil_error *err) {
    const mil__op *op = program->ops[at];
    const char *name = mil__result_name(program, op);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, "; %s", why);
    snprintf(err->op, sizeof err->op, "%.63s", op->decl->name);
    snprintf(err->value, sizeof err->value, "%.127s", name ? name : "");
    snprintf(err->file, sizeof err->file, "%.255s", op->file ? op->file : "");
    err->line = op->line;
}

void mil__engine_blame(const mil__engine *engine, const mil_program *program, mil_block function, const mil_compile_options *options,
                       mil_error *err) {
    mil__arena arena = {0};
    if (!err || *err->op || err->line || !engine->refusals) return;
    const char **why = mil__calloc(program->n_ops, sizeof *why);
    if (why && engine->refusals(program, function, options, why, &arena, NULL) == MIL_OK) {
        mil_operation at = program->blocks[function]->first;
        while (at && !why[at]) at = program->ops[at]->next;
        if (at) blame(program, at, why[at], err);
    }
    mil__free(why);
    mil__arena_free(&arena);
}

/* ---- contexts ---- */

static void context_free(void *context) {
    split_context *c = context;
    const split_model *model = c->model;
    for (uint32_t p = 0; c->contexts && p < model->n; p++)
        if (c->contexts[p]) model->parts[p].engine->context_free(c->contexts[p]);
    for (uint32_t i = model->n_inputs; c->tensors && i < model->n_places; i++)
        if (model->places[i].output == NOT_OUTPUT) mil_tensor_free(c->tensors[i]);
    mil__free(c->contexts);
    mil__free(c->tensors);
    mil__free(c->in);
    mil__free(c);
}

static mil_status set_up(split_context *c, mil_error *err) {
    const split_model *model = c->model;
    c->contexts = mil__calloc((size_t)model->n + 1, sizeof *c->contexts);
    c->tensors = mil__calloc((size_t)model->n_places + 1, sizeof *c->tensors);
    c->in = mil__calloc(3 * ((size_t)model->most + 1), sizeof *c->in);
    if (!c->contexts || !c->tensors || !c->in) return mil__nomem(err);
    c->given = c->in + model->most + 1;
    c->out = c->given + model->most + 1;
    for (uint32_t p = 0; p < model->n; p++) MIL__TRY(model->parts[p].engine->context_new(model->parts[p].impl, &c->contexts[p], err));
    for (uint32_t i = model->n_inputs; i < model->n_places; i++) {
        const place *at = &model->places[i];
        if (at->shape && at->output == NOT_OUTPUT) MIL__TRY(mil__tensor_raw(at->dtype, at->rank, at->shape, &c->tensors[i], err));
    }
    return MIL_OK;
}

static mil_status context_new(void *compiled, void **out, mil_error *err) {
    split_context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = compiled;
    mil_status status = set_up(c, err);
    if (status == MIL_OK) *out = c;
    else context_free(c);
    return status;
}

static bool is_between(const split_model *model, uint32_t place) {
    return place >= model->n_inputs && model->places[place].output == NOT_OUTPUT;
}

/* Tensors of the context that lie as the part's engine likes them best; the others are dropped. */
static void take_shared(split_context *c, const uint32_t *places, uint32_t n, mil_tensor **shared) {
    for (uint32_t i = 0; i < n; i++) {
        mil_tensor **at = &c->tensors[places[i]], *was = *at;
        if (shared[i] && is_between(c->model, places[i])) *at = shared[i], shared[i] = was;
        mil_tensor_free(shared[i]);
    }
}

/* What lies between parts stays where it is: then it may be memory that goes to the engine without a copy. */
static mil_status keep(void *context, mil_error *err) {
    split_context *c = context;
    const split_model *model = c->model;
    for (uint32_t p = 0; p < model->n; p++) {
        const split_part *part = &model->parts[p];
        if (part->engine->shared) {
            memset(c->in, 0, part->n_inputs * sizeof *c->in);
            memset(c->out, 0, part->n_outputs * sizeof *c->out);
            mil_status status = part->engine->shared(part->impl, c->in, c->out, err);
            take_shared(c, part->inputs, part->n_inputs, c->in);
            take_shared(c, part->outputs, part->n_outputs, c->out);
            MIL__TRY(status);
        }
        if (part->engine->keep) MIL__TRY(part->engine->keep(c->contexts[p], err));
    }
    return MIL_OK;
}

/* As the first part that has a liking likes it best. */
static mil_status state(void *compiled, size_t at, mil_tensor **out, mil_error *err) {
    const split_model *model = compiled;
    for (uint32_t p = 0; p < model->n; p++) {
        const split_part *part = &model->parts[p];
        for (uint32_t i = 0; part->engine->state && i < part->n_inputs; i++)
            if (part->inputs[i] == at) return part->engine->state(part->impl, i, out, err);
    }
    return MIL_OK;
}

/* ---- runs ---- */

static mil_status run_part(split_context *c, uint32_t p, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel, mil_error *err) {
    const split_model *model = c->model;
    const split_part *part = &model->parts[p];
    if (mil__is_cancelled(cancel)) return mil__fail(err, MIL_ECANCELLED, "run: cancelled");
    for (uint32_t i = 0; i < part->n_inputs; i++) c->in[i] = c->tensors[part->inputs[i]];
    for (uint32_t i = 0; i < part->n_outputs; i++) {
        int output = model->places[part->outputs[i]].output;
        c->out[i] = output == NOT_OUTPUT ? c->tensors[part->outputs[i]] : outputs[output];
        c->given[i] = output == NOT_OUTPUT ? NULL : given[output];
    }
    const mil__engine_args args = {c->in, part->are_states, part->n_inputs, c->given, c->out, part->n_outputs, 0};
    mil_status status = mil__engine_run(part->engine, c->contexts[p], &args, cancel, err);
    for (uint32_t i = 0; i < part->n_outputs; i++) { /* made anew, perhaps, whatever became of the run */
        int output = model->places[part->outputs[i]].output;
        c->tensors[part->outputs[i]] = c->out[i];
        if (output != NOT_OUTPUT) outputs[output] = c->out[i];
    }
    return status;
}

/* An output that is an input, or another output too. */
static mil_status pass_through(const mil_tensor *from, mil_tensor *given, mil_tensor **output, mil_error *err) {
    bool fits = *output && (*output)->rank == from->rank && memcmp((*output)->shape, from->shape, (size_t)from->rank * sizeof *from->shape) == 0;
    if (!fits && !given) {
        mil_tensor_free(*output);
        *output = NULL;
        MIL__TRY(mil__tensor_raw(from->dtype, from->rank, from->shape, output, err));
    }
    return mil_tensor_copy(*output, from, err);
}

static mil_status run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel,
                      mil_error *err) {
    split_context *c = context;
    const split_model *model = c->model;
    for (uint32_t i = 0; i < model->n_inputs; i++) c->tensors[i] = inputs[i];
    for (uint32_t p = 0; p < model->n; p++) MIL__TRY(run_part(c, p, given, outputs, cancel, err));
    for (uint32_t i = 0; i < model->n_outputs; i++) {
        uint32_t at = model->outputs[i];
        if (model->places[at].output != (int)i) MIL__TRY(pass_through(c->tensors[at], given[i], &outputs[i], err));
    }
    return MIL_OK;
}

/* ---- telling ---- */

static mil_status print(const void *compiled, mil__str *out, mil_error *err) {
    const split_model *model = compiled;
    mil__str_printf(out, "%s with fallback, %u part%s, %zu bytes between them\n%s", model->engine->name, model->n, model->n == 1 ? "" : "s",
                    model->bytes, model->cuts ? model->cuts : "");
    for (uint32_t p = 0; p < model->n; p++) {
        mil__str_printf(out, "\npart %u: ", p + 1);
        MIL__TRY(model->parts[p].engine->print(model->parts[p].impl, out, err));
    }
    return MIL_OK;
}

static bool print_names(const void *compiled, size_t i, mil__str *out) {
    const split_model *model = compiled;
    for (uint32_t p = 0; p < model->n; i -= model->parts[p++].n_steps)
        if (i < model->parts[p].n_steps) return model->parts[p].engine->step(model->parts[p].impl, i, out);
    return false;
}

static void memory(const void *compiled, mil_model_memory *out) {
    const split_model *model = compiled;
    size_t context = model->bytes;
    for (uint32_t p = 0; p < model->n; p++) {
        mil_model_memory of_part = {0};
        model->parts[p].engine->memory(model->parts[p].impl, &of_part);
        out->weights += of_part.weights;
        context += of_part.context;
    }
    if (context > out->context) out->context = context;
}

const mil__engine mil__engine_split = {
    .name = "split",
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
    .step = print_names,
    .memory = memory,
};
