/* SPDX-License-Identifier: MIT */
/* Engine "coreml": Core ML's public interface, with which a program runs on the processor, the GPU and the Neural Engine of a Mac, as
 * Core ML places it. The program is saved as a package and compiled by Core ML (bundle.c); a context predicts with it (context.c). */
#include <stdio.h>

#include "engine/coreml/coreml.h"

/* ---- the engine ---- */

static bool available(const char **reason) {
    static _Thread_local char text[256];
    mil_error err;
    if (mil__apple_open(MIL__COREML_LIBRARIES, &err) == MIL_OK) return true;
    snprintf(text, sizeof text, "%.250s", err.message);
    if (reason) *reason = text;
    return false;
}

static int describe(char *buf, size_t n) {
    char devices[100];
    const char *reason;
    if (!available(&reason)) return snprintf(buf, n, "coreml (not here: %s)", reason);
    if (mil__apple_is_forked()) return snprintf(buf, n, "coreml");
    void *pool = mil__apple.objc_autoreleasePoolPush();
    int used = mil__coreml_devices(devices, sizeof devices);
    mil__apple.objc_autoreleasePoolPop(pool);
    return used ? snprintf(buf, n, "coreml (%s)", devices) : snprintf(buf, n, "coreml");
}

/* ---- ports ---- */

static mil_status fill_port(mil__coreml_model *model, const mil_program *program, mil_value id, mil__coreml_port *out, mil_error *err) {
    const mil__value *value = program->values[id];
    const mil_type *type = value->type->kind == MIL_STATE ? value->type->items[0] : value->type;
    mil_dim *shape = mil__arena_copy(&model->arena, type->shape, (size_t)type->rank * sizeof *shape);
    const char *name = mil__arena_text(&model->arena, value->name, strlen(value->name));
    if (!shape || !name) return mil__nomem(err);
    *out = (mil__coreml_port){.name = name, .dtype = type->dtype, .rank = type->rank, .shape = shape};
    if (value->type->kind == MIL_STATE) out->kind = MIL__COREML_STATE;
    return MIL_OK;
}

/* What the saved package has as an image: see image_fits in package/write_feature.c. */
static mil_status find_image(const mil_program *program, mil_value id, mil__coreml_port *port, mil_error *err) {
    mil_feature feature;
    MIL__TRY(mil_value_feature(program, id, &feature, err));
    mil__free(feature.description);
    bool is_gray = strncmp(feature.color, "gray", 4) == 0;
    bool is_image = strcmp(feature.kind, "image") == 0 && port->kind == MIL__COREML_ARRAY && port->rank == 4;
    if (!is_image || port->shape[1] != (is_gray ? 1 : 3) || !*feature.color || !mil__dtype_is_float(port->dtype)) return MIL_OK;
    port->kind = MIL__COREML_IMAGE;
    port->color = feature.color;
    return MIL_OK;
}

static mil_status make_ports(mil__coreml_model *model, mil_program *program, mil_error *err) {
    const mil__block *body = program->blocks[program->functions[0].block];
    model->n_inputs = body->n_inputs;
    model->n_outputs = body->n_outputs;
    model->inputs = mil__arena_zero(&model->arena, body->n_inputs, sizeof *model->inputs);
    model->outputs = mil__arena_zero(&model->arena, body->n_outputs, sizeof *model->outputs);
    if (!model->inputs || !model->outputs) return mil__nomem(err);
    for (size_t i = 0; i < model->n_inputs; i++) {
        MIL__TRY(fill_port(model, program, body->inputs[i], &model->inputs[i], err));
        MIL__TRY(find_image(program, body->inputs[i], &model->inputs[i], err));
        model->has_states |= model->inputs[i].kind == MIL__COREML_STATE;
    }
    for (size_t i = 0; i < model->n_outputs; i++) {
        MIL__TRY(fill_port(model, program, body->outputs[i], &model->outputs[i], err));
        mil__kept_drop(program, MIL__KEPT_OUTPUT, body->outputs[i]); /* an array, whatever its package says: an image is rounded */
    }
    return MIL_OK;
}

/* ---- compiling ---- */

/* MLComputeUnits' numbers. */
static const struct {
    const char *name;
    long number;
} units[] = {{"all", 2}, {"cpu", 0}, {"cpu_and_gpu", 1}, {"cpu_and_ane", 3}};

static const char *unit_at(const void *ctx, size_t i) { return (void)ctx, units[i].name; }

static mil_status find_units(const char *name, long *out, mil_error *err) {
    if (!name) name = "all";
    for (size_t i = 0; i < MIL__COUNT(units); i++)
        if (strcmp(units[i].name, name) == 0) return *out = units[i].number, MIL_OK;
    const char *near = mil__nearest(name, MIL__COUNT(units), unit_at, NULL);
    return mil__fail(err, MIL_ENAME, "compile: units is all, cpu, cpu_and_gpu or cpu_and_ane, but was given \"%.40s\"%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* A kept bundle that Core ML does not load any more is made anew. */
static mil_status compile_and_load(mil__coreml_model *model, const mil_program *program, mil_error *err) {
    mil__id loaded = NULL;
    MIL__TRY(mil__coreml_compile(model, program, err));
    mil_status status = mil__coreml_load(model, &loaded, err);
    if (status == MIL_EUNSUPPORTED && model->was_kept) {
        mil__coreml_drop(model, true);
        MIL__TRY(mil__coreml_compile(model, program, err));
        status = mil__coreml_load(model, &loaded, err);
    }
    if (status == MIL_OK) atomic_store(&model->spare, loaded);
    else mil__coreml_drop(model, false);
    return status;
}

/* ---- functions that share a bundle, and so their weights ---- */

/* Is the function's border in the whole program's package what it is alone? Classifiers and images have others. */
static mil_status has_same_outputs(const mil_program *whole, mil_block function, const mil_program *program, bool *out, mil_error *err) {
    const mil__block *a = whole->blocks[function], *b = program->blocks[program->functions[0].block];
    mil_feature feature;
    *out = a->n_inputs == b->n_inputs && a->n_outputs == b->n_outputs;
    for (uint32_t i = 0; *out && i < a->n_outputs; i++) {
        const mil__value *value = whole->values[a->outputs[i]];
        MIL__TRY(mil_value_feature(whole, a->outputs[i], &feature, err));
        mil__free(feature.description);
        *out = strcmp(value->name, program->values[b->outputs[i]]->name) == 0 && value->type->kind == MIL_TENSOR && strcmp(feature.kind, "image") != 0;
    }
    return MIL_OK;
}

/* Tried first; where Core ML, or the package, does not take all of them, the function goes alone. *is_done: it went. */
static mil_status try_whole(mil__coreml_model *model, const mil_program *whole, mil_block function, const mil_program *program, bool *is_done,
                            mil_error *err) {
    bool can = false;
    *is_done = false;
    if (mil__responds(MLModelConfiguration, setFunctionName) && whole->opset >= MIL_IOS18)
        MIL__TRY(has_same_outputs(whole, function, program, &can, err));
    if (!can) return MIL_OK;
    const char *name = mil_function_name(whole, function);
    model->function = mil__arena_text(&model->arena, name, strlen(name));
    if (!model->function) return mil__nomem(err);
    mil_status status = compile_and_load(model, whole, err);
    *is_done = status == MIL_OK;
    if (!mil__is_refusal(status)) return status;
    model->function = NULL;
    return MIL_OK;
}

/* ---- all of it ---- */

/* whole: NULL, or the program of several functions that the one is of */
static mil_status set_up(mil__coreml_model *model, const mil_program *whole, mil_block function, mil_program *program,
                         const mil_compile_options *options, mil_error *err) {
    bool is_done = false;
    MIL__TRY(find_units(options->units, &model->units, err));
    MIL__TRY(make_ports(model, program, err));
    if (model->has_states && !(mil__responds(MLModel, newState) && mil__responds(MLModel, predictWithState) && mil__responds(MLState, withArray)))
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: the program has states, which Core ML has from macOS 15 on");
    if (whole) MIL__TRY(try_whole(model, whole, function, program, &is_done, err));
    return is_done ? MIL_OK : compile_and_load(model, program, err);
}

static void release_model(_Atomic(mil__id) *at) {
    mil__id loaded = atomic_exchange(at, NULL);
    if (loaded) mil__apple.objc_release(loaded);
}

static void unload(void *compiled) {
    mil__coreml_model *model = compiled;
    atomic_store(&model->is_unloaded, true);
    if (mil__apple_is_forked()) { /* what is loaded, and the bundle, are the parent's */
        mil__free(model->bundle);
        model->bundle = NULL;
        return;
    }
    if (atomic_load(&model->spare) || atomic_load(&model->shared)) {
        void *pool = mil__apple.objc_autoreleasePoolPush();
        release_model(&model->spare);
        release_model(&model->shared);
        mil__apple.objc_autoreleasePoolPop(pool);
    }
    mil__coreml_drop(model, false);
}

static void free_model(void *compiled) {
    mil__coreml_model *model = compiled;
    unload(model);
    mil__arena_free(&model->arena);
    mil__free(model);
}

static mil_status compile_function(const mil_program *whole, mil_block function, mil_program *program, const mil_compile_options *options,
                                   void **out, mil_error *err) {
    mil_status status = mil__apple_check_process("Core ML", err);
    mil__coreml_model *model = status == MIL_OK ? mil__calloc(1, sizeof *model) : NULL;
    if (status == MIL_OK && !model) status = mil__nomem(err);
    if (model) {
        void *pool = mil__apple.objc_autoreleasePoolPush();
        status = set_up(model, whole, function, program, options, err);
        mil__apple.objc_autoreleasePoolPop(pool);
    }
    mil_program_free(program);
    if (status == MIL_OK) *out = model;
    else if (model) free_model(model);
    return status;
}

static mil_status compile(mil_program *program, const mil_compile_options *options, void **out, mil_error *err) {
    return compile_function(NULL, 0, program, options, out, err);
}

/* ---- describing ---- */

static mil_status print(const void *compiled, mil__str *out, mil_error *err) {
    const mil__coreml_model *model = compiled;
    const char *name = "";
    for (size_t i = 0; i < MIL__COUNT(units); i++)
        if (units[i].number == model->units) name = units[i].name;
    mil__str_printf(out, "coreml, units %s\n", name);
    if (model->function) mil__str_printf(out, "function %s, in a bundle with the program's others\n", model->function);
    mil__str_printf(out, "bundle %s, %s\n", model->bundle,
                    !model->is_kept ? "of this model alone" : model->was_kept ? "compiled before" : "compiled now, and kept");
    if (mil__apple_is_forked()) return MIL_OK;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = mil__coreml_print_plan(model, out, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    return status;
}

static void memory(const void *compiled, mil_model_memory *out) { out->weights += ((const mil__coreml_model *)compiled)->weight_bytes; }

const mil__engine mil__engine_coreml = {
    .name = "coreml",
    .available = available,
    .describe = describe,
    .compile = compile,
    .compile_function = compile_function,
    .context_new = mil__coreml_context_new,
    .context_free = mil__coreml_context_free,
    .run = mil__coreml_run,
    .run_batch = mil__coreml_run_batch,
    .unload = unload,
    .free = free_model,
    .print = print,
    .memory = memory,
};
