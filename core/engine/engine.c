/* SPDX-License-Identifier: MIT */
/* The table of engines, and runs of one inside another. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/engine.h"
#include "tensor/tensor.h"

static const mil__engine *const engines[] = {
#define ENGINE(name) &mil__engine_##name,
#include "engine/engines.def"
#undef ENGINE
};

size_t mil_engine_count(void) { return MIL__COUNT(engines); }

const char *mil_engine_name(size_t i) { return i < MIL__COUNT(engines) ? engines[i]->name : NULL; }

const mil__engine *mil__engine_find(const char *name) {
    for (size_t i = 0; i < MIL__COUNT(engines); i++)
        if (strcmp(engines[i]->name, name) == 0) return engines[i];
    return NULL;
}

bool mil__is_refusal(mil_status status) {
    return status != MIL_OK && status != MIL_ENOMEM && status != MIL_ECANCELLED && status != MIL_EINVAL && status != MIL_EVALUE && status != MIL_ENAME;
}

bool mil_engine_available(const char *name, const char **reason) {
    const mil__engine *engine = mil__engine_find(name);
    const char *why = "no engine has that name";
    bool available = engine && engine->available(&why);
    if (!available && reason) *reason = why;
    return available;
}

int mil_engine_describe(const char *name, char *buf, size_t n) {
    const mil__engine *engine = mil__engine_find(name);
    return engine ? engine->describe(buf, n) : snprintf(buf, n, "%s: no such engine", name);
}

static mil_status clear_folder(const char *name, mil_error *err) {
    char *folder;
    MIL__TRY(mil__cache_folder(name, &folder, err));
    if (!folder) return MIL_OK;
    mil__folder_remove(folder);
    mil_status status = access(folder, F_OK) == 0 ? mil__fail_errno(err, "remove", folder, EACCES) : MIL_OK;
    mil__free(folder);
    return status;
}

mil_status mil_cache_clear(mil_error *err) {
    for (size_t i = 0; i < MIL__COUNT(engines); i++) MIL__TRY(clear_folder(engines[i]->name, err));
    return MIL_OK;
}

static void end_access(const mil__engine_args *args, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const mil_tensor *tensor = i < args->n_inputs ? args->inputs[i] : args->outputs[i - args->n_inputs];
        if (tensor) mil__access_end(tensor);
    }
}

static mil_status begin_access(const mil__engine_args *args, size_t n, mil_error *err) {
    for (size_t i = 0; i < n; i++) {
        bool is_input = i < args->n_inputs;
        const mil_tensor *tensor = is_input ? args->inputs[i] : args->outputs[i - args->n_inputs];
        mil_status status = tensor ? mil__access("run", tensor, !is_input || (args->are_written && args->are_written[i]), err) : MIL_OK;
        if (status == MIL_OK) continue;
        end_access(args, i);
        return status;
    }
    return MIL_OK;
}

mil_status mil__engine_run(const mil__engine *engine, void *context, const mil__engine_args *args, const mil__cancel *cancel, mil_error *err) {
    size_t n = engine->takes_surfaces ? 0 : args->n_inputs + args->n_outputs;
    MIL__TRY(begin_access(args, n, err));
    mil_status status = args->n_runs ? engine->run_batch(context, args->n_runs, args->inputs, args->given, args->outputs, cancel, err)
                                     : engine->run(context, args->inputs, args->given, args->outputs, cancel, err);
    end_access(args, n); /* what was made anew is in memory of its own, which is never locked */
    return status;
}
