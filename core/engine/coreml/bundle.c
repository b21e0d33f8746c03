/* SPDX-License-Identifier: MIT */
/* Compiled bundles, and the folder where they are kept. A program is saved as a package, which Core ML compiles; since Core ML keeps
 * what it prepares for a device by a bundle's place, that must be the same each time:
 *
 *     CACHE/coreml/<sha256 of system, model and weights>.mlmodelc
 *
 * CACHE is mil__cache_folder's. Where there is no such folder, or it can't be written, a model's bundle is its own and goes with it. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sha256.h"
#include "base/str.h"
#include "engine/coreml/coreml.h"

/* ---- names ---- */

static mil_status hash_file(mil__sha256 *sha, const char *package, const char *inner, size_t *bytes, mil_error *err) {
    char *path;
    mil__file file;
    MIL__TRY(mil__path_join(package, inner, &path, err));
    bool is_there = access(path, F_OK) == 0;
    mil_status status = is_there ? mil__file_open(path, &file, err) : MIL_OK;
    *bytes = is_there && status == MIL_OK ? file.bytes : 0;
    if (*bytes) mil__sha256_add(sha, file.data, file.bytes);
    if (is_there && status == MIL_OK) mil__file_close(&file);
    mil__free(path);
    return status;
}

/* What Core ML makes of a package is another system's business after an update. */
static void hash_system(mil__sha256 *sha) {
    struct utsname system = {0};
    if (uname(&system) < 0) return;
    mil__sha256_add(sha, system.release, strlen(system.release) + 1);
    mil__sha256_add(sha, system.machine, strlen(system.machine) + 1);
}

/* Where the package's bundle is kept; *out NULL: nowhere. */
static mil_status place_of(mil__coreml_model *model, const char *package, char **out, mil_error *err) {
    char name[MIL__SHA256_TEXT], *folder;
    size_t bytes;
    mil__sha256 sha;
    mil__str path = {0};
    mil__sha256_begin(&sha);
    hash_system(&sha);
    MIL__TRY(hash_file(&sha, package, "Data/com.apple.CoreML/model.mlmodel", &bytes, err));
    mil__sha256_add(&sha, &bytes, sizeof bytes);
    MIL__TRY(hash_file(&sha, package, "Data/com.apple.CoreML/weights/weight.bin", &model->weight_bytes, err));
    mil__sha256_end(&sha, name);
    MIL__TRY(mil__cache_folder("coreml", &folder, err));
    if (!folder) return MIL_OK;
    mil__str_printf(&path, "%s/%s.mlmodelc", folder, name);
    mil__free(folder);
    return mil__str_take(&path, out, NULL, err);
}

/* ---- compiling ---- */

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

mil__id mil__coreml_url(const mil__coreml_model *model) {
    mil__id path = mil__ns_string(model->bundle);
    return path ? mil__send_class(NSURL, fileURL, path) : NULL;
}

/* Core ML puts the bundle into a folder for temporary files and leaves it to us. */
static mil_status compile_package(const char *package, char **out, mil_error *err) {
    mil__id path = mil__ns_string(package), error = NULL;
    mil__id url = path ? mil__send_class(NSURL, fileURL, path) : NULL;
    if (!url) return mil__nomem(err);
    mil__id made = mil__send_class(MLModel, compile, url, &error);
    if (!made) return mil__fail_nserror(err, MIL_EUNSUPPORTED, error, "compile: Core ML does not take the program");
    const char *text = mil__read_text(mil__send(made, NSURL, path));
    if (!text) return mil__fail(err, MIL_EIO, "compile: Core ML does not say where it put the program");
    *out = mil__strdup(text);
    if (*out) return MIL_OK;
    mil__folder_remove(text);
    return mil__nomem(err);
}

/* Puts it where it is kept, unless another process was faster; takes both over. */
static void keep(mil__coreml_model *model, char *made, char *place) {
    model->bundle = made;
    if (place && rename(made, place) != 0 && is_folder(place)) mil__folder_remove(made);
    model->is_kept = place && is_folder(place);
    if (!model->is_kept) return mil__free(place);
    mil__free(made);
    model->bundle = place;
}

static mil_status compile_saved(mil__coreml_model *model, const char *package, mil_error *err) {
    char *place = NULL, *made = NULL;
    MIL__TRY(place_of(model, package, &place, err));
    model->was_kept = place && is_folder(place);
    if (model->was_kept) return model->bundle = place, model->is_kept = true, MIL_OK;
    mil_status status = compile_package(package, &made, err);
    if (status == MIL_OK) keep(model, made, place);
    else mil__free(place);
    return status;
}

mil_status mil__coreml_compile(mil__coreml_model *model, const mil_program *program, mil_error *err) {
    static const mil_save_options options = {.alone = true};
    char *folder, *package = NULL;
    MIL__TRY(mil__folder_temporary("coreml", &folder, err));
    mil_status status = mil__path_join(folder, "model.mlpackage", &package, err);
    if (status == MIL_OK) status = mil_program_save(program, package, &options, err);
    if (status == MIL_OK) status = compile_saved(model, package, err);
    mil__free(package);
    mil__folder_remove(folder);
    mil__free(folder);
    return status;
}

void mil__coreml_forget(mil__coreml_model *model) {
    mil__folder_remove(model->bundle);
    mil__free(model->bundle);
    model->bundle = NULL;
    model->is_kept = false;
}

/* ---- loading ---- */

/* Autoreleased would do too, but what `new` makes is ours. */
mil__id mil__coreml_configuration(const mil__coreml_model *model) {
    mil__id configuration = mil__send_class(MLModelConfiguration, create);
    if (configuration) mil__send(configuration, MLModelConfiguration, setComputeUnits, model->units);
    return configuration;
}

mil_status mil__coreml_load(const mil__coreml_model *model, mil__id *out, mil_error *err) {
    mil__id url = mil__coreml_url(model), configuration = url ? mil__coreml_configuration(model) : NULL, error = NULL;
    if (!configuration) return mil__nomem(err);
    mil__id loaded = mil__send_class(MLModel, load, url, configuration, &error);
    mil__apple.objc_release(configuration);
    if (!loaded) return mil__fail_nserror(err, MIL_EUNSUPPORTED, error, "compile: Core ML does not load the program");
    *out = mil__apple.objc_retain(loaded);
    return MIL_OK;
}
