/* SPDX-License-Identifier: MIT */
/* A program is saved as a package, which Core ML compiles into a bundle, of which it loads models. The bundle is kept for processes to
 * come (kept.c); where there is no place for it, or that can't be written, it is the model's own and goes with it. */
#include <stdio.h>

#include "base/file.h"
#include "engine/coreml/coreml.h"

/* ---- compiling ---- */

static mil_status url_of(const char *path, mil__id *out, mil_error *err) {
    mil__id text = mil__ns_string(path);
    if (!text) return mil__fail_made(err, "compile");
    *out = mil__send_class(NSURL, fileURL, text);
    return *out ? MIL_OK : mil__fail_nothing(err, "compile", MIL__METHOD(NSURL, fileURL));
}

/* Core ML puts the bundle into a folder for temporary files and leaves it to us. */
static mil_status compile_package(const char *package, char **out, mil_error *err) {
    mil__id url, error = NULL;
    MIL__TRY(url_of(package, &url, err));
    mil__id made = mil__send_class(MLModel, compile, url, &error);
    if (!made) return mil__fail_nserror(err, MIL_EUNSUPPORTED, error, "compile: Core ML does not take the program");
    const char *text = mil__read_text(mil__send(made, NSURL, path));
    if (!text) return mil__fail(err, MIL_EIO, "compile: Core ML does not say where it put the program");
    *out = mil__strdup(text);
    if (*out) return MIL_OK;
    mil__folder_remove(text);
    return mil__nomem(err);
}

static mil_status compile_saved(mil__coreml_model *model, const char *package, mil_error *err) {
    char *place = NULL, *made = NULL;
    MIL__TRY(mil__coreml_place(package, &place, &model->weight_bytes, err));
    model->was_kept = place && mil__coreml_find(place);
    mil_status status = model->was_kept ? MIL_OK : compile_package(package, &made, err);
    if (status == MIL_OK) {
        model->is_kept = model->was_kept || (place && mil__coreml_keep(made, place));
        model->bundle = model->is_kept ? place : made;
    }
    if (model->bundle != place) mil__free(place);
    if (model->bundle != made) mil__free(made);
    return status;
}

/* What a package can't say is told without the place of ours where it would have been. */
static mil_status save(const mil_program *program, const char *package, mil_error *err) {
    static const mil_save_options options = {.alone = true};
    size_t n = strlen(package);
    mil_status status = mil_program_save(program, package, &options, err);
    if (status == MIL_OK || !err || strncmp(err->message, package, n) != 0 || strncmp(err->message + n, ": ", 2) != 0) return status;
    static const char what[] = "compile"; /* shorter than the place, which is in a folder */
    memcpy(err->message, what, sizeof what - 1);
    memmove(err->message + sizeof what - 1, err->message + n, strlen(err->message + n) + 1);
    return status;
}

mil_status mil__coreml_compile(mil__coreml_model *model, const mil_program *program, mil_error *err) {
    char *folder, *package = NULL;
    MIL__TRY(mil__folder_temporary("coreml", &folder, err));
    mil_status status = mil__path_join(folder, "model.mlpackage", &package, err);
    if (status == MIL_OK) status = save(program, package, err);
    if (status == MIL_OK) status = compile_saved(model, package, err);
    mil__free(package);
    mil__folder_remove(folder);
    mil__free(folder);
    return status;
}

void mil__coreml_drop(mil__coreml_model *model, bool is_no_good) {
    if (model->bundle && (is_no_good || !model->is_kept)) mil__folder_remove(model->bundle);
    mil__free(model->bundle);
    model->bundle = NULL;
    model->is_kept = false;
}

/* ---- loading ---- */

static mil_status configure(const mil__coreml_model *model, mil__id *out, mil_error *err) {
    mil__id name = model->function ? mil__ns_string(model->function) : NULL;
    if (model->function && !name) return mil__fail_made(err, "compile");
    *out = mil__send_class(MLModelConfiguration, create);
    if (!*out) return mil__fail_nothing(err, "compile", MIL__METHOD(MLModelConfiguration, create));
    mil__send(*out, MLModelConfiguration, setComputeUnits, model->units);
    if (name) mil__send(*out, MLModelConfiguration, setFunctionName, name);
    return MIL_OK;
}

mil_status mil__coreml_source(const mil__coreml_model *model, mil__id *url, mil__id *configuration, mil_error *err) {
    MIL__TRY(url_of(model->bundle, url, err));
    return configure(model, configuration, err);
}

mil_status mil__coreml_load(const mil__coreml_model *model, mil__id *out, mil_error *err) {
    mil__id url, configuration, error = NULL;
    MIL__TRY(mil__coreml_source(model, &url, &configuration, err));
    mil__id loaded = mil__send_class(MLModel, load, url, configuration, &error);
    mil__apple.objc_release(configuration);
    if (!loaded) return mil__fail_nserror(err, MIL_EUNSUPPORTED, error, "compile: Core ML does not load the program");
    *out = mil__apple.objc_retain(loaded);
    return MIL_OK;
}
