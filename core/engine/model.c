/* SPDX-License-Identifier: MIT */
/* Models: a program compiled by an engine, its ports, and its contexts. Nothing here knows how an engine works.
 *
 * A model that is run from several threads takes no lock: spare contexts wait in atomic slots, whoever comes and finds
 * none makes another. Unloading is counted the same way: `users` has one for the model itself, which unloading
 * gives back, and one for each run under way; who takes the last one away frees the engine's part. */
#include <stdio.h>

#include "engine/model.h"
#include "text/outline.h"

/* ---- ports ---- */

static bool is_state(const mil_program *program, mil_value value) {
    return program->values[value]->type->kind == MIL_STATE;
}

static mil_status make_port(mil_model *model, const mil_program *program, mil_value value, const mil_type *type, mil_port *out,
                            mil_error *err) {
    const mil__value *v = program->values[value];
    if (type->kind != MIL_TENSOR || type->dtype == MIL_STRING) {
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: %s is %s; only tensors of numbers or bools can be inputs and outputs here", v->name,
                         MIL__TYPE_TEXT(program->types, v->type));
    }
    int64_t *shape = mil__arena_zero(&model->arena, (size_t)type->rank, sizeof *shape);
    const char *name = mil__arena_text(&model->arena, v->name, strlen(v->name));
    if (!shape || !name) return mil__nomem(err);
    for (int i = 0; i < type->rank; i++) shape[i] = type->shape[i] < 0 ? -1 : type->shape[i];
    *out = (mil_port){.name = name, .dtype = type->dtype, .rank = mil_type_rank(type), .shape = shape};
    return MIL_OK;
}

static mil_status make_output(mil_model *model, const mil_program *program, mil_value value, size_t i, mil_error *err) {
    MIL__TRY(mil__classes_new(program, value, &model->classes[i], err));
    const mil__classes *classes = model->classes[i];
    mil_port *port = &model->outputs[i];
    MIL__TRY(make_port(model, program, value, classes ? classes->probabilities : program->values[value]->type, port, err));
    if (classes && classes->labels) {
        port->dtype = classes->keys->dtype;
        port->rank = 0;
        port->is_label = true;
    } else if (classes) {
        port->keys = classes->keys;
    }
    return MIL_OK;
}

/* The shape of an input that is left out: of those that it may have, the usual one; false: nobody has said. */
static bool usual_shape(const mil_program *program, mil_value input, const mil_port *port, int64_t *out) {
    const mil_type *type = program->values[input]->type;
    const mil__shapes *shapes = mil__input_shapes(program, input);
    for (int i = 0; i < port->rank; i++) {
        const mil_symbol *symbol = port->shape[i] < 0 && !shapes ? mil__dim_symbol_info(program->types, type->shape[i]) : NULL;
        out[i] = port->shape[i] >= 0 ? port->shape[i] : shapes ? shapes->shapes[i] : symbol ? symbol->standard : 0;
        if (port->shape[i] < 0 && out[i] < 1 && symbol) out[i] = symbol->min;
        if (out[i] < 1 && out[i] != port->shape[i]) return false;
    }
    return true;
}

/* What stands for an optional input that is left out. */
static mil_status make_standard(const mil_program *program, mil_value input, mil_port *port, mil_tensor **out, mil_error *err) {
    const mil__standard *standard = mil__input_standard(program, input);
    int64_t shape[MIL_MAX_RANK];
    if (!standard || !usual_shape(program, input, port, shape)) return MIL_OK;
    MIL__TRY(mil_tensor_new(port->dtype, port->rank, shape, out, err));
    port->is_optional = true;
    return mil_tensor_fill(*out, standard->number, err);
}

/* What the function takes, apart: the inputs, and the states. */
static mil_status make_inputs(mil_model *model, const mil_program *program, const mil__block *body, mil_error *err) {
    size_t n_inputs = 0, n_states = 0;
    for (size_t i = 0; i < body->n_inputs; i++) {
        bool state = is_state(program, body->inputs[i]);
        size_t at = state ? n_states++ : n_inputs++;
        model->places[state ? model->n_inputs + at : at] = i;
        const mil_type *type = program->values[body->inputs[i]]->type;
        MIL__TRY(make_port(model, program, body->inputs[i], state ? type->items[0] : type,
                           state ? &model->states[at] : &model->inputs[at], err));
        if (!state) MIL__TRY(make_standard(program, body->inputs[i], &model->inputs[at], &model->standards[at], err));
    }
    return MIL_OK;
}

static mil_status make_ports(mil_model *model, const mil_program *program, mil_block function, mil_error *err) {
    const mil__block *body = program->blocks[function];
    for (size_t i = 0; i < body->n_inputs; i++) model->n_states += is_state(program, body->inputs[i]);
    model->n_inputs = body->n_inputs - model->n_states;
    model->n_outputs = body->n_outputs;
    model->inputs = mil__arena_zero(&model->arena, model->n_inputs, sizeof *model->inputs);
    model->standards = mil__arena_zero(&model->arena, model->n_inputs, sizeof *model->standards);
    model->states = mil__arena_zero(&model->arena, model->n_states, sizeof *model->states);
    model->outputs = mil__arena_zero(&model->arena, model->n_outputs, sizeof *model->outputs);
    model->places = mil__arena_zero(&model->arena, body->n_inputs, sizeof *model->places);
    model->classes = mil__arena_zero(&model->arena, model->n_outputs, sizeof *model->classes);
    if (!model->inputs || !model->standards || !model->states || !model->outputs || !model->places || !model->classes) return mil__nomem(err);
    MIL__TRY(make_inputs(model, program, body, err));
    for (size_t i = 0; i < model->n_outputs; i++) MIL__TRY(make_output(model, program, body->outputs[i], i, err));
    return MIL_OK;
}

size_t mil_model_n_inputs(const mil_model *model) { return model->n_inputs; }
size_t mil_model_n_outputs(const mil_model *model) { return model->n_outputs; }
size_t mil_model_n_states(const mil_model *model) { return model->n_states; }
const mil_port *mil_model_input(const mil_model *model, size_t i) { return i < model->n_inputs ? &model->inputs[i] : NULL; }
const mil_port *mil_model_output(const mil_model *model, size_t i) { return i < model->n_outputs ? &model->outputs[i] : NULL; }
const mil_port *mil_model_state(const mil_model *model, size_t i) { return i < model->n_states ? &model->states[i] : NULL; }

/* ---- compiling ---- */

static const char *function_at(const void *program, size_t i) {
    return mil_function_name(program, mil_program_function_at(program, i));
}

static mil_status no_entry(const mil_program *program, const char *entry, mil_error *err) {
    const char *near = mil__nearest(entry, program->n_functions, function_at, program);
    return near ? mil__fail(err, MIL_ENAME, "compile: there is no function \"%.80s\"; did you mean %.80s?", entry, near)
                : mil__fail(err, MIL_ENAME, "compile: there is no function \"%.80s\"", entry);
}

static mil_status entry_of(const mil_program *program, const char *entry, mil_block *out, mil_error *err) {
    *out = entry ? mil_program_function_find(program, entry) : mil_program_entry(program);
    if (*out) return MIL_OK;
    if (program->n_functions == 0) return mil__fail(err, MIL_ESTATE, "compile: the program has no function");
    return entry ? no_entry(program, entry, err)
                 : mil__fail(err, MIL_ENAME, "compile: of %u functions none is called main; name one with entry",
                             program->n_functions);
}

static mil_status no_engine(const char *name, mil_error *err) {
    char names[120] = "";
    for (size_t i = 0, used = 0; i < mil_engine_count() && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", mil_engine_name(i));
    return mil__fail(err, MIL_ENAME, "compile: there is no engine \"%.60s\"; there is %s", name ? name : "", names);
}

static mil_status engine_of(const char *name, bool falls_back, const mil__engine **out, mil_error *err) {
    *out = mil__engine_find(name);
    if (!*out) return no_engine(name, err);
    const char *reason = "";
    if (falls_back || (*out)->available(&reason)) return MIL_OK;
    return mil__fail(err, MIL_EUNSUPPORTED, "compile: engine %s can't be used here: %s", (*out)->name, reason);
}

/* The engine, or what is around it; program is the one function of whole. */
static mil_status compile_program(mil_model *model, const mil_program *whole, mil_block function, mil_program *program,
                                  const mil_compile_options *options, mil_error *err) {
    mil_compile_options named = *options;
    named.engine = model->engine->name;
    bool is_other = model->engine != &mil__engine_cpu;
    if (is_other && (options->verify || options->fallback)) model->engine = options->verify ? &mil__engine_verified : &mil__engine_split;
    return whole->n_functions > 1 && model->engine->compile_function
               ? model->engine->compile_function(whole, function, program, &named, &model->impl, err)
               : model->engine->compile(program, &named, &model->impl, err);
}

/* One engine was asked for, and alone. */
static void tell_way_out(const mil_compile_options *options, mil_error *err) {
    if (!err || !options->engine || options->fallback || strcmp(options->engine, "cpu") == 0) return;
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, "; fallback = true (luamil run --fallback) gives the cpu engine what this one refuses");
}

static mil_status compile_named(mil_model *model, const mil_program *program, mil_block function, const mil_compile_options *options,
                                mil_error *err) {
    mil_program *own = NULL;
    MIL__TRY(mil__program_rebuild(program, function, NULL, &own, NULL, err));
    mil_status status = compile_program(model, program, function, own, options, err);
    if (status == MIL_EUNSUPPORTED || status == MIL_ETYPE) tell_way_out(options, err);
    if (status == MIL_EUNSUPPORTED) mil__engine_blame(model->engine, program, function, options, err);
    return status;
}

/* ---- where none is named ---- */

static bool is_wide(const mil_program *program, mil_value value) {
    const mil_type *type = program->values[value]->type;
    return type->kind == MIL_TENSOR && (type->dtype == MIL_FP32 || type->dtype == MIL_FP64);
}

/* Has it the floats that the program says, and what the options ask? */
static bool suits(const mil__engine *engine, const mil_program *program, mil_block function, const mil_compile_options *options) {
    const mil__block *body = program->blocks[function];
    if (!engine->is_half) return true;
    if (options->precision != MIL_PRECISION_DEFAULT || options->memory_limit || options->max_turns) return false;
    for (uint32_t i = 0; i < body->n_inputs; i++)
        if (is_wide(program, body->inputs[i])) return false;
    for (mil_operation at = body->first; at; at = program->ops[at]->next)
        for (uint32_t i = 0; program->ops[at]->decl != mil__op_const() && i < program->ops[at]->n_outputs; i++)
            if (is_wide(program, program->ops[at]->outputs[i])) return false;
    return true;
}

/* The Neural Engine, for programs whose floats are fp16; else, or where that refuses it, the others as they are listed. */
static mil_status compile_any(mil_model *model, const mil_program *program, mil_block function, const mil_compile_options *options,
                              mil_error *err) {
    mil_status status = MIL_OK;
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < mil_engine_count(); i++) {
            const mil__engine *engine = mil__engine_find(mil_engine_name(i));
            if (engine->is_half != (turn == 0) || !engine->available(NULL) || !suits(engine, program, function, options)) continue;
            model->engine = engine;
            status = compile_named(model, program, function, options, err);
            if (!mil__is_refusal(status)) return status;
        }
    return status;
}

static const char *first_that_takes_text(void) {
    for (size_t i = 0; i < mil_engine_count(); i++)
        if (mil__engine_find(mil_engine_name(i))->compile_text) return mil_engine_name(i);
    return NULL;
}

/* ---- all of it ---- */

static mil_status compile_text(mil_model *model, const mil_program *program, const mil__engine_text *text, mil_block function,
                               const mil_compile_options *options, mil_error *err) {
    mil__engine_text of_function = *text;
    while (program->functions[of_function.function].block != function) of_function.function++;
    return model->engine->compile_text(program, &of_function, options, &model->impl, err);
}

/* text: NULL, or what the engine is given in the program's place */
static mil_status compile(mil_model *model, const mil_program *program, const mil__engine_text *text, const mil_compile_options *options,
                          mil_error *err) {
    mil_block function;
    const char *name = options->engine || !text ? options->engine : first_that_takes_text();
    MIL__TRY(entry_of(program, options->entry, &function, err));
    if (name) MIL__TRY(engine_of(name, options->fallback && !text, &model->engine, err));
    if (text && !model->engine->compile_text) return mil__fail(err, MIL_EUNSUPPORTED, "compile: engine %s takes no text", model->engine->name);
    if (text && (options->fallback || options->verify))
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: a text is handed on whole: there is no fallback for parts of it, and no verifying");
    if (program->blocks[function]->n_outputs == 0)
        return mil__fail(err, MIL_ESTATE, "compile: function %s has no output", mil_function_name(program, function));
    MIL__TRY(make_ports(model, program, function, err));
    if (text) return compile_text(model, program, text, function, options, err);
    return name ? compile_named(model, program, function, options, err) : compile_any(model, program, function, options, err);
}

static mil_status new_model(const mil_program *program, const mil__engine_text *text, const mil_compile_options *options, mil_model **out,
                            mil_error *err) {
    static const mil_compile_options defaults = MIL_COMPILE_DEFAULTS;
    *out = NULL;
    mil_model *model = mil__calloc(1, sizeof *model);
    if (!model) return mil__nomem(err);
    atomic_init(&model->count, 1);
    atomic_init(&model->users, 1);
    mil_status status = compile(model, program, text, options ? options : &defaults, err);
    if (status != MIL_OK) {
        mil_model_free(model);
        return status;
    }
    *out = model;
    return MIL_OK;
}

mil_status mil_program_compile(const mil_program *program, const mil_compile_options *options, mil_model **out,
                               mil_error *err) {
    return new_model(program, NULL, options, out, err);
}

mil_status mil_text_compile(const char *text, size_t n, const mil_text_file *files, size_t n_files, const mil_compile_options *options,
                            mil_model **out, mil_error *err) {
    const mil__engine_text given = {text, n, files, n_files, 0};
    mil_program *program;
    *out = NULL;
    MIL__TRY(mil__text_outline(text, n, &program, err));
    mil_status status = new_model(program, &given, options, out, err);
    mil_program_free(program);
    return status;
}

mil_model *mil_model_retain(mil_model *model) {
    atomic_fetch_add_explicit(&model->count, 1, memory_order_relaxed);
    return model;
}

/* ---- contexts ---- */

static void free_tensors(mil_tensor **tensors, size_t n) {
    for (size_t i = 0; tensors && i < n; i++) mil_tensor_free(tensors[i]);
    mil__free(tensors);
}

static void free_context(mil_context *context) {
    if (!context) return;
    if (context->impl) context->model->engine->context_free(context->impl);
    free_tensors(context->inputs, context->model->n_inputs);
    free_tensors(context->outputs, context->model->n_outputs);
    free_tensors(context->results, context->model->n_outputs);
    mil__free(context->taken);
    mil__free(context->state_places);
    mil_state_free(context->state);
    mil__free(context);
}

static void drop_spares(mil_model *model) {
    for (int i = 0; i < MIL__SPARES; i++) free_context(atomic_exchange(&model->spares[i], NULL));
}

static mil_context *take_spare(mil_model *model) {
    for (int i = 0; i < MIL__SPARES; i++) {
        mil_context *context = atomic_load_explicit(&model->spares[i], memory_order_relaxed) ? atomic_exchange(&model->spares[i], NULL) : NULL;
        if (context) return context;
    }
    return NULL;
}

void mil__model_give_context(mil_model *model, mil_context *context) {
    for (int i = 0; i < MIL__SPARES; i++) {
        mil_context *none = NULL;
        if (atomic_compare_exchange_strong(&model->spares[i], &none, context)) return;
    }
    free_context(context);
}

/* The last user gives the engine's part back. */
void mil__model_leave(mil_model *model) {
    if (atomic_fetch_sub(&model->users, 1) != 1) return;
    drop_spares(model);
    if (model->impl) model->engine->unload(model->impl);
}

mil_status mil__model_enter(mil_model *model, mil_error *err) {
    int users = atomic_load(&model->users);
    while (users > 0 && !atomic_load(&model->is_unloaded))
        if (atomic_compare_exchange_weak(&model->users, &users, users + 1)) return MIL_OK;
    return mil__fail(err, MIL_ESTATE, "the model has been unloaded");
}

void mil_model_unload(mil_model *model) {
    if (!atomic_exchange(&model->is_unloaded, true)) mil__model_leave(model);
}

void mil_model_free(mil_model *model) {
    if (!model || atomic_fetch_sub_explicit(&model->count, 1, memory_order_acq_rel) != 1) return;
    mil_model_unload(model);
    if (model->holds_runs) mil__runs_release();
    if (model->impl) model->engine->free(model->impl);
    for (size_t i = 0; model->classes && i < model->n_outputs; i++) mil__classes_free(model->classes[i]);
    for (size_t i = 0; model->standards && i < model->n_inputs; i++) mil_tensor_free(model->standards[i]);
    mil__arena_free(&model->arena);
    mil__free(model);
}

static mil_status new_context(mil_model *model, mil_context **out, mil_error *err) {
    mil_context *context = mil__calloc(1, sizeof *context);
    if (!context) return mil__nomem(err);
    context->model = model;
    context->inputs = mil__calloc(model->n_inputs, sizeof(mil_tensor *));
    context->outputs = mil__calloc(model->n_outputs, sizeof(mil_tensor *));
    context->results = mil__calloc(model->n_outputs, sizeof(mil_tensor *));
    context->taken = mil__calloc(model->n_inputs + model->n_states, sizeof(mil_tensor *));
    context->state_places = mil__calloc(model->n_states, sizeof *context->state_places);
    bool made = context->inputs && context->outputs && context->results && context->taken && context->state_places;
    mil_status status = made ? model->engine->context_new(model->impl, &context->impl, err) : mil__nomem(err);
    if (status != MIL_OK) {
        free_context(context);
        return status;
    }
    *out = context;
    return MIL_OK;
}

mil_status mil__model_take_context(mil_model *model, mil_context **out, mil_error *err) {
    mil_context *spare = take_spare(model);
    if (!spare) return new_context(model, out, err);
    *out = spare;
    return MIL_OK;
}

mil_status mil_context_new(mil_model *model, mil_context **out, mil_error *err) {
    *out = NULL;
    MIL__TRY(mil__model_enter(model, err));
    mil_status status = new_context(model, out, err);
    if (status == MIL_OK && model->engine->keep) status = model->engine->keep((*out)->impl, err);
    if (status != MIL_OK) {
        free_context(*out);
        *out = NULL;
    }
    mil__model_leave(model);
    if (status == MIL_OK) mil_model_retain(model);
    return status;
}

void mil_context_free(mil_context *context) {
    if (!context) return;
    mil_model *model = context->model;
    free_context(context);
    mil_model_free(model);
}

/* "fp16[1, ?, 64]" */
static const char *port_text(const mil_port *port, char *buf, size_t n) {
    int used = snprintf(buf, n, "%s[%s", mil_dtype_name(port->dtype), port->rank < 0 ? "..." : "");
    for (int i = 0; i < port->rank && used > 0 && (size_t)used < n; i++) {
        const char *comma = i ? ", " : "";
        used += port->shape[i] < 0 ? snprintf(buf + used, n - (size_t)used, "%s?", comma)
                                   : snprintf(buf + used, n - (size_t)used, "%s%lld", comma, (long long)port->shape[i]);
    }
    if (used > 0 && (size_t)used < n) snprintf(buf + used, n - (size_t)used, "]");
    return buf;
}

static mil_status check_port(const char *what, const mil_port *port, const mil_tensor *tensor, mil_error *err) {
    char text[200];
    if (!tensor)
        return mil__fail(err, MIL_EINVAL, "run: %s %s %s is missing", what, port->name, port_text(port, text, sizeof text));
    bool fits = port->rank < 0 || tensor->rank == port->rank, is_of_dtype = tensor->dtype == port->dtype;
    for (int i = 0; fits && i < port->rank; i++) fits = port->shape[i] < 0 || port->shape[i] == tensor->shape[i];
    if (fits && is_of_dtype) return MIL_OK;
    mil__fail(err, MIL_ETYPE, "run: %s %s is %s, but was given %s%s%s%s%s", what, port->name, port_text(port, text, sizeof text),
              mil_dtype_name(tensor->dtype), MIL__SHAPE_TEXT(tensor->rank, tensor->shape), fits ? ", which is to be converted to " : "",
              fits ? mil_dtype_name(port->dtype) : "", fits ? " first" : "");
    if (err) snprintf(err->value, sizeof err->value, "%s", port->name);
    return MIL_ETYPE;
}

static void replace(mil_tensor **at, mil_tensor *with) {
    if (*at == with) return;
    mil_tensor_free(*at);
    *at = with ? mil_tensor_retain(with) : NULL;
}

mil_status mil_context_set_input(mil_context *context, size_t i, mil_tensor *tensor, mil_error *err) {
    if (i >= context->model->n_inputs) return mil__fail(err, MIL_EINVAL, "run: there is no input %zu", i);
    if (tensor) MIL__TRY(check_port("input", &context->model->inputs[i], tensor, err));
    replace(&context->inputs[i], tensor);
    return MIL_OK;
}

static mil_status check_writable(const mil_port *port, const mil_tensor *tensor, mil_error *err) {
    if (!tensor->buffer || mil_buffer_writable(tensor->buffer)) return MIL_OK;
    return mil__fail(err, MIL_ESTATE, "run: output %s can't be written: its memory is read-only, %s", port->name,
                     mil__buffer_why_not(tensor->buffer));
}

static mil_status check_output(const mil_port *port, const mil_tensor *tensor, mil_error *err) {
    if (port->is_label) return mil__fail(err, MIL_EUNSUPPORTED, "run: output %s is a label, which no tensor can be given for", port->name);
    MIL__TRY(check_port("output", port, tensor, err));
    return check_writable(port, tensor, err);
}

mil_status mil_context_set_output(mil_context *context, size_t i, mil_tensor *tensor, mil_error *err) {
    if (i >= context->model->n_outputs) return mil__fail(err, MIL_EINVAL, "run: there is no output %zu", i);
    if (tensor) MIL__TRY(check_output(&context->model->outputs[i], tensor, err));
    replace(&context->outputs[i], tensor);
    return MIL_OK;
}

/* Does nobody but the context see this tensor, or its memory through a view, and may it be written? (Not where it was a const.) */
static bool is_ours_alone(const mil_tensor *tensor) {
    bool held_once = atomic_load_explicit(&tensor->count, memory_order_acquire) == 1;
    return held_once && tensor->buffer && mil__buffer_holds(tensor->buffer) == 1 && !mil__buffer_why_not(tensor->buffer);
}

/* An output that nobody set is written into the last run's tensor if nobody else has that, else made anew. One that was set
 * may have become a program's const since. */
static mil_status prepare_outputs(mil_context *context, mil_error *err) {
    for (size_t i = 0; i < context->model->n_outputs; i++) {
        mil_tensor *set = context->outputs[i], **result = &context->results[i];
        if (set) MIL__TRY(check_writable(&context->model->outputs[i], set, err));
        if (set) replace(result, set);
        else if (*result && !is_ours_alone(*result)) replace(result, NULL);
    }
    return MIL_OK;
}

static mil_status state_missing(const mil_model *model, mil_error *err) {
    char text[200];
    return mil__fail(err, MIL_EINVAL, "run: state %s %s is missing; a run is given the state that it works on", model->states[0].name,
                     port_text(&model->states[0], text, sizeof text));
}

/* Gathers what the function takes; a state is one run's at a time. */
static mil_status take_inputs(mil_context *context, mil_error *err) {
    mil_model *model = context->model;
    mil_state *state = context->state;
    for (size_t i = 0; i < model->n_inputs; i++) {
        mil_tensor *given = context->inputs[i] ? context->inputs[i] : model->standards[i];
        if (!given) return check_port("input", &model->inputs[i], NULL, err);
        context->taken[model->places[i]] = given;
    }
    if (!model->n_states) return MIL_OK;
    if (!state) return state_missing(model, err);
    for (size_t i = 0; i < model->n_states; i++) context->taken[model->places[model->n_inputs + i]] = state->tensors[context->state_places[i]];
    if (atomic_flag_test_and_set(&state->is_in_use)) return mil__fail(err, MIL_ESTATE, "run: another run is using the state");
    return MIL_OK;
}

/* The i-th of all tensors that a run reads (inputs, states) and writes (states, outputs); NULL: it will be made. */
static mil_tensor *tensor_of_run(const mil_context *context, size_t i, bool *is_written) {
    const mil_model *model = context->model;
    size_t n = model->n_inputs + model->n_states;
    *is_written = i >= n;
    if (i >= n) return context->outputs[i - n];
    for (size_t k = model->n_inputs; k < n; k++) *is_written |= model->places[k] == i;
    return context->taken[i];
}

static void end_access(const mil_context *context, size_t n) {
    bool is_written;
    for (size_t i = 0; i < n; i++) {
        const mil_tensor *tensor = tensor_of_run(context, i, &is_written);
        if (tensor) mil__access_end(tensor);
    }
}

static mil_status begin_access(const mil_context *context, size_t n, mil_error *err) {
    for (size_t i = 0; i < n; i++) {
        bool is_written;
        const mil_tensor *tensor = tensor_of_run(context, i, &is_written);
        mil_status status = tensor ? mil__access("run", tensor, is_written, err) : MIL_OK;
        if (status == MIL_OK) continue;
        end_access(context, i);
        return status;
    }
    return MIL_OK;
}

static mil_status run_locked(mil_context *context, const mil__cancel *cancel, mil_error *err) {
    mil_model *model = context->model;
    size_t n = model->engine->takes_surfaces || !mil__has_surfaces() ? 0 : model->n_inputs + model->n_states + model->n_outputs;
    MIL__TRY(begin_access(context, n, err));
    mil_status status = model->engine->run(context->impl, context->taken, context->outputs, context->results, cancel, err);
    end_access(context, n);
    return status;
}

/* The model has been entered. */
static mil_status run_entered(mil_context *context, const mil__cancel *cancel, mil_error *err) {
    mil_model *model = context->model;
    MIL__TRY(take_inputs(context, err));
    mil_status status = prepare_outputs(context, err);
    if (status == MIL_OK) status = run_locked(context, cancel, err);
    for (size_t i = 0; status != MIL_OK && i < model->n_outputs; i++) replace(&context->results[i], NULL); /* nobody filled their memory */
    if (model->n_states) atomic_flag_clear(&context->state->is_in_use);
    return status;
}

mil__cancel mil__cancel_of(const mil_model *model, const atomic_bool *own) {
    return (mil__cancel){&model->cancelled, atomic_load(&model->cancelled), own};
}

mil_status mil_context_run(mil_context *context, mil_error *err) {
    mil_model *model = context->model;
    MIL__TRY(mil__model_enter(model, err));
    mil__cancel cancel = mil__cancel_of(model, NULL);
    mil_status status = run_entered(context, &cancel, err);
    mil__model_leave(model);
    return status;
}

mil_tensor *mil_context_output(const mil_context *context, size_t i) {
    if (i >= context->model->n_outputs || !context->results[i]) return NULL;
    const mil__classes *classes = context->model->classes[i];
    return classes && classes->labels ? mil__classes_label(classes, context->results[i]) : context->results[i];
}

void mil_cancel(mil_model *model) { atomic_fetch_add(&model->cancelled, 1); }

/* ---- tensors in shared memory ---- */

static mil_status share_port(const mil_port *port, mil_tensor **out, mil_error *err) {
    bool is_fixed = port->rank >= 0 && !port->is_label;
    for (int i = 0; is_fixed && i < port->rank; i++) is_fixed = port->shape[i] >= 0;
    return is_fixed ? mil_tensor_shared(port->dtype, port->rank, port->shape, 0, out, err) : MIL_OK;
}

static mil_status share_ports(const mil_model *model, mil_tensor **inputs, mil_tensor **outputs, mil_error *err) {
    for (size_t i = 0; i < model->n_inputs; i++) MIL__TRY(share_port(&model->inputs[i], &inputs[i], err));
    for (size_t i = 0; i < model->n_outputs; i++) MIL__TRY(share_port(&model->outputs[i], &outputs[i], err));
    return MIL_OK;
}

static void drop_tensors(mil_tensor **tensors, size_t n) {
    for (size_t i = 0; i < n; i++) {
        mil_tensor_free(tensors[i]);
        tensors[i] = NULL;
    }
}

/* States have memory of their own. */
static mil_status share_by_engine(mil_model *model, mil_tensor **inputs, mil_tensor **outputs, mil_error *err) {
    size_t n = model->n_inputs + model->n_states;
    mil_tensor **taken = mil__calloc(n, sizeof(mil_tensor *));
    if (!taken) return mil__nomem(err);
    mil_status status = model->engine->shared(model->impl, taken, outputs, err);
    for (size_t i = 0; i < model->n_inputs; i++) {
        inputs[i] = taken[model->places[i]];
        taken[model->places[i]] = NULL;
    }
    drop_tensors(taken, n);
    mil__free(taken);
    return status;
}

mil_status mil_model_shared(mil_model *model, mil_tensor **inputs, mil_tensor **outputs, mil_error *err) {
    for (size_t i = 0; i < model->n_inputs; i++) inputs[i] = NULL;
    for (size_t i = 0; i < model->n_outputs; i++) outputs[i] = NULL;
    MIL__TRY(mil__model_enter(model, err));
    mil_status status = model->engine->shared ? share_by_engine(model, inputs, outputs, err) : share_ports(model, inputs, outputs, err);
    mil__model_leave(model);
    if (status == MIL_OK) return MIL_OK;
    drop_tensors(inputs, model->n_inputs);
    drop_tensors(outputs, model->n_outputs);
    return status;
}

/* ---- states ---- */

mil_status mil_state_new(mil_model *model, mil_state **out, mil_error *err) {
    *out = NULL;
    mil_state *state = mil__calloc(1, sizeof *state + model->n_states * sizeof *state->tensors);
    if (!state) return mil__nomem(err);
    atomic_init(&state->count, 1);
    atomic_flag_clear(&state->is_in_use);
    state->model = mil_model_retain(model);
    mil_status status = MIL_OK;
    for (size_t i = 0; i < model->n_states && status == MIL_OK; i++) {
        const mil_port *port = &model->states[i];
        mil_tensor **tensor = &state->tensors[i];
        if (model->engine->state) status = model->engine->state(model->impl, model->places[model->n_inputs + i], tensor, err);
        if (status == MIL_OK && !*tensor) status = mil_tensor_new(port->dtype, port->rank, port->shape, tensor, err);
    }
    if (status == MIL_OK) *out = state;
    else mil_state_free(state);
    return status;
}

mil_state *mil_state_retain(mil_state *state) {
    atomic_fetch_add_explicit(&state->count, 1, memory_order_relaxed);
    return state;
}

void mil_state_free(mil_state *state) {
    if (!state || atomic_fetch_sub_explicit(&state->count, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < state->model->n_states; i++) mil_tensor_free(state->tensors[i]);
    mil_model_free(state->model);
    mil__free(state);
}

mil_tensor *mil_state_tensor(const mil_state *state, size_t i) {
    return i < state->model->n_states ? state->tensors[i] : NULL;
}

mil_status mil_state_copy(mil_state *state, mil_state **out, mil_error *err) {
    *out = NULL;
    if (atomic_flag_test_and_set(&state->is_in_use)) return mil__fail(err, MIL_ESTATE, "copy: a run is using the state");
    mil_state *copy;
    mil_status status = mil_state_new(state->model, &copy, err);
    for (size_t i = 0; i < state->model->n_states && status == MIL_OK; i++)
        status = mil_tensor_copy(copy->tensors[i], state->tensors[i], err);
    atomic_flag_clear(&state->is_in_use);
    if (status == MIL_OK) *out = copy;
    else mil_state_free(copy);
    return status;
}

static bool same_port(const mil_port *a, const mil_port *b) {
    return a == b || (a->dtype == b->dtype && a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0 &&
                      strcmp(a->name, b->name) == 0);
}

/* Where a state of that kind is among a model's: at place `at`, most likely; n_states: nowhere. */
static size_t place_of_state(const mil_model *model, const mil_port *wanted, size_t at) {
    if (at < model->n_states && same_port(&model->states[at], wanted)) return at;
    for (at = 0; at < model->n_states && !same_port(&model->states[at], wanted); at++) {}
    return at;
}

static mil_status check_state(const mil_model *model, const mil_state *state, mil_error *err) {
    for (size_t i = 0; i < model->n_states; i++) {
        char text[200];
        const mil_port *port = &model->states[i];
        if (place_of_state(state->model, port, i) == state->model->n_states)
            return mil__fail(err, MIL_EINVAL, "run: the state is another model's, which has no %s %s", port->name, port_text(port, text, sizeof text));
    }
    return MIL_OK;
}

mil_status mil_context_set_state(mil_context *context, mil_state *state, mil_error *err) {
    const mil_model *model = context->model;
    if (state) MIL__TRY(check_state(model, state, err));
    for (size_t i = 0; state && i < model->n_states; i++) context->state_places[i] = place_of_state(state->model, &model->states[i], i);
    if (state) mil_state_retain(state);
    mil_state_free(context->state);
    context->state = state;
    return MIL_OK;
}

/* ---- one run ---- */

mil_status mil__model_check(const mil_model *model, mil_tensor *const *inputs, mil_tensor *const *outputs, const mil_state *state,
                            mil_error *err) {
    for (size_t i = 0; i < model->n_inputs; i++)
        if (inputs[i] || !model->standards[i]) MIL__TRY(check_port("input", &model->inputs[i], inputs[i], err));
    for (size_t i = 0; outputs && i < model->n_outputs; i++)
        if (outputs[i]) MIL__TRY(check_output(&model->outputs[i], outputs[i], err));
    if (model->n_states && !state) return state_missing(model, err);
    return state ? check_state(model, state, err) : MIL_OK;
}

static mil_status run_with(mil_context *context, mil_tensor *const *inputs, mil_tensor **outputs, const mil__cancel *cancel,
                           mil_error *err) {
    const mil_model *model = context->model;
    for (size_t i = 0; i < model->n_inputs; i++) replace(&context->inputs[i], inputs[i]);
    for (size_t i = 0; i < model->n_outputs; i++) replace(&context->outputs[i], outputs[i]);
    MIL__TRY(run_entered(context, cancel, err));
    for (size_t i = 0; i < model->n_outputs; i++)
        if (!outputs[i]) outputs[i] = mil_tensor_retain(mil_context_output(context, i));
    return MIL_OK;
}

/* Nothing of a run stays in a spare. */
static void clear_context(mil_context *context) {
    const mil_model *model = context->model;
    mil_context_set_state(context, NULL, NULL);
    for (size_t i = 0; i < model->n_inputs; i++) replace(&context->inputs[i], NULL);
    for (size_t i = 0; i < model->n_outputs; i++) {
        replace(&context->outputs[i], NULL);
        replace(&context->results[i], NULL);
    }
}

mil_status mil__model_run(mil_model *model, mil_tensor *const *inputs, mil_tensor **outputs, mil_state *state,
                          const mil__cancel *cancel, mil_error *err) {
    MIL__TRY(mil__model_check(model, inputs, outputs, state, err));
    mil_context *context;
    MIL__TRY(mil__model_take_context(model, &context, err));
    mil_status status = mil_context_set_state(context, state, err);
    if (status == MIL_OK) status = run_with(context, inputs, outputs, cancel, err);
    clear_context(context);
    mil__model_give_context(model, context);
    return status;
}

mil_status mil_model_run_state(mil_model *model, mil_tensor *const *inputs, mil_tensor **outputs, mil_state *state,
                               mil_error *err) {
    MIL__TRY(mil__model_enter(model, err));
    mil__cancel cancel = mil__cancel_of(model, NULL);
    mil_status status = mil__model_run(model, inputs, outputs, state, &cancel, err);
    mil__model_leave(model);
    return status;
}

mil_status mil_model_run(mil_model *model, mil_tensor *const *inputs, mil_tensor **outputs, mil_error *err) {
    return mil_model_run_state(model, inputs, outputs, NULL, err);
}

mil_status mil_model_describe(const mil_model *model, char **out, mil_error *err) {
    mil__str str = {0};
    *out = NULL;
    MIL__TRY(mil__model_enter((mil_model *)model, err));
    mil_status status = model->engine->print(model->impl, &str, err);
    mil__model_leave((mil_model *)model);
    if (status == MIL_OK) return mil__str_take(&str, out, NULL, err);
    mil__str_free(&str);
    return status;
}

mil_status mil_model_step(const mil_model *model, size_t i, char **out, size_t *n, mil_error *err) {
    mil__str str = {0};
    *out = NULL;
    *n = 0;
    MIL__TRY(mil__model_enter((mil_model *)model, err));
    bool is_there = model->engine->step && model->engine->step(model->impl, i, &str);
    mil__model_leave((mil_model *)model);
    if (is_there) return mil__str_take(&str, out, n, err);
    mil__str_free(&str);
    return MIL_OK;
}

void mil_model_memory_use(const mil_model *model, mil_model_memory *out) {
    *out = (mil_model_memory){0};
    if (mil__model_enter((mil_model *)model, NULL) != MIL_OK) return;
    model->engine->memory(model->impl, out);
    mil__model_leave((mil_model *)model);
}
