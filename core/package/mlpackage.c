/* SPDX-License-Identifier: MIT */
/* A package: a directory with a manifest, which names the model's file; the weights lie beside that. */
#include <errno.h>
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "package/package.h"

enum { MOST_MANIFEST = 1 << 20 };

bool mil__stays_inside(const char *path) {
    if (!*path || *path == '/') return false;
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0)) return false;
    return true;
}

/* "1.0.0": three numbers; a larger first one says that what we know no longer holds. */
static mil_status check_version(const json_t *manifest, const char *path, mil_error *err) {
    const char *version = json_string_value(json_object_get(manifest, "fileFormatVersion"));
    if (!version) return mil__fail(err, MIL_EFORMAT, "%.200s: its manifest has no version", path);
    if (version[0] == '1' && version[1] == '.') return MIL_OK;
    return mil__fail(err, MIL_EUNSUPPORTED, "%.200s: its manifest is of version %s; 1.0.0 is known", path, MIL__PRINTABLE(version));
}

/* The model's file, as the manifest has it: itemInfoEntries[rootModelIdentifier].path, below Data. */
static mil_status model_path(const json_t *manifest, const char *path, char **out, mil_error *err) {
    MIL__TRY(check_version(manifest, path, err));
    const char *root = json_string_value(json_object_get(manifest, "rootModelIdentifier"));
    const json_t *item = root ? json_object_get(json_object_get(manifest, "itemInfoEntries"), root) : NULL;
    const char *below = json_string_value(json_object_get(item, "path"));
    if (!below) return mil__fail(err, MIL_EFORMAT, "%.200s: its manifest names no model", path);
    if (!mil__stays_inside(below)) return mil__fail(err, MIL_EFORMAT, "%.200s: the model's path \"%s\" leaves the package", path, MIL__PRINTABLE(below));
    return mil__join(path, "/Data/", below, out, err);
}

mil_status mil__manifest_parse(const char *path, const void *data, size_t n, json_t **out, mil_error *err) {
    json_error_t problem;
    *out = NULL;
    if (n > MOST_MANIFEST) return mil__fail(err, MIL_ELIMIT, "%.200s: its manifest has %zu bytes; at most %d are read", path, n, (int)MOST_MANIFEST);
    json_t *manifest = json_loadb(data, n, JSON_REJECT_DUPLICATES, &problem);
    if (!manifest) return mil__fail(err, MIL_EFORMAT, "%.200s: Manifest.json:%d: %s", path, problem.line, MIL__PRINTABLE(problem.text));
    *out = manifest;
    return MIL_OK;
}

mil_status mil__manifest_model(const char *path, const void *data, size_t n, char **out, mil_error *err) {
    json_t *manifest;
    *out = NULL;
    MIL__TRY(mil__manifest_parse(path, data, n, &manifest, err));
    mil_status status = model_path(manifest, path, out, err);
    json_decref(manifest);
    return status;
}

/* Nothing there, and a folder without a manifest, are different mistakes. */
static mil_status open_manifest(const char *path, const char *name, mil__file *out, mil_error *err) {
    if (access(path, F_OK) != 0) return mil__fail_errno(err, "open", path, errno);
    if (access(name, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR)) return mil__file_open(name, out, err);
    mil__fail(err, MIL_EFORMAT, "%.200s: this is no package: there is no Manifest.json", path);
    if (err) snprintf(err->file, sizeof err->file, "%s", path);
    return MIL_EFORMAT;
}

static mil_status find_model(const char *path, char **out, mil_error *err) {
    char *name;
    mil__file file;
    MIL__TRY(mil__join(path, "/Manifest.json", "", &name, err));
    mil_status status = open_manifest(path, name, &file, err);
    mil__free(name);
    MIL__TRY(status);
    status = mil__manifest_model(path, file.data, file.bytes, out, err);
    mil__file_close(&file);
    return status;
}

/* "M.mlpackage: function main: y: conv: ..." */
mil_status mil__read_locate(const mil__reader *r, const char *path, mil_status status) {
    mil_error *err = r->err;
    if (!err || status == MIL_OK || status == MIL_ENOMEM) return status;
    char message[sizeof err->message];
    const Mil__Spec__Operation *op = r->operation;
    const char *value = op && op->n_outputs ? op->outputs[0]->name : op ? "" : err->value;
    snprintf(message, sizeof message, "%.200s: %s%.60s%s%.60s%s%.400s", path, r->function ? "function " : "",
             r->function ? MIL__PRINTABLE(r->function) : "", r->function ? ": " : "", MIL__PRINTABLE(value),
             *value ? ": " : "", err->message);
    memcpy(err->message, message, sizeof message);
    snprintf(err->file, sizeof err->file, "%s", path);
    if (op && !err->op[0]) snprintf(err->op, sizeof err->op, "%.60s", MIL__PRINTABLE(op->type));
    if (!err->value[0]) snprintf(err->value, sizeof err->value, "%.120s", MIL__PRINTABLE(value));
    return status;
}

static mil_status read_model(mil__reader *r, const char *path, const void *data, size_t n) {
    mil__arena messages = {0};
    Mil__Spec__Model *model;
    r->most_bytes = (n > SIZE_MAX / 64 ? SIZE_MAX / 2 : n * 16) + ((size_t)4 << 20);
    mil_status status = mil__model_unpack(data, n, &messages, &model, r->err);
    if (status == MIL_OK) status = mil__read_model(r, model);
    status = mil__read_locate(r, path, status);
    mil__arena_free(&messages);
    return status;
}

/* file: the model's, whose directory is @model_path; path is what messages say. */
static mil_status open_model(const char *path, const char *file, const mil_load_options *options, mil_program **out, mil_error *err) {
    mil_buffer *buffer = NULL;
    mil_program *program = NULL;
    char *folder;
    MIL__TRY(mil__folder_of(file, &folder, err));
    mil_status status = mil_buffer_map(file, &buffer, err);
    if (status == MIL_OK) status = mil_program_new(MIL_IOS15, &program, err);
    if (status == MIL_OK && (status = mil__program_set_model_path(program, folder, err)) != MIL_OK) mil_program_free(program);
    if (status == MIL_OK) {
        mil__reader r = {.program = program, .blobs = {.model_path = folder, .may_be_absent = true}, .options = options, .err = err};
        status = read_model(&r, path, mil_buffer_data(buffer), mil_buffer_bytes(buffer));
        mil__blobs_free(&r.blobs);
        mil__arena_free(&r.tmp);
        if (status == MIL_OK) *out = program;
        else mil_program_free(program);
    }
    mil_buffer_free(buffer);
    mil__free(folder);
    return status;
}

mil_status mil__load_package(const char *path, const mil_load_options *options, mil_program **out, mil_error *err) {
    char *file;
    MIL__TRY(find_model(path, &file, err));
    mil_status status = open_model(path, file, options, out, err);
    if (status == MIL_OK && (status = mil__source_note(*out, path, file, err)) != MIL_OK) {
        mil_program_free(*out);
        *out = NULL;
    }
    mil__free(file);
    return status;
}

mil_status mil__load_model(const char *path, const mil_load_options *options, mil_program **out, mil_error *err) {
    return open_model(path, path, options, out, err);
}
