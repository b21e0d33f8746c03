/* SPDX-License-Identifier: MIT */
/* Programs to files, by the name's ending; and the folder that a package is. save_text.c has text and bundles. */
#include <dirent.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "package/write.h"

/* ---- progress ---- */

mil_status mil__saving_report(mil__saving *s, const char *stage, double part) {
    mil_program *program = (mil_program *)s->w.program; /* a caller's, so it is no const object; as it was when we are done */
    bool was_held = program->is_held;
    program->is_held = true;
    if (s->options && s->options->progress && !s->options->progress(s->options->progress_ctx, stage, part))
        s->is_cancelled = true;
    program->is_held = was_held;
    return s->is_cancelled ? mil__fail(s->w.err, MIL_ECANCELLED, "save: cancelled") : MIL_OK;
}

static bool report_weights(void *ctx, uint64_t bytes) {
    mil__saving *s = ctx;
    s->done += bytes;
    return !s->bytes ||
           mil__saving_report(s, "weights", s->done < s->bytes ? (double)s->done / (double)s->bytes : 1) == MIL_OK;
}

/* What was not read of the package must not be lost without a word. */
static mil_status check_variants(mil__saving *s) {
    mil__model_writer *w = &s->w;
    for (uint32_t i = 0; i < w->program->n_functions && !(s->options && s->options->alone); i++) {
        const char *variants = w->program->functions[i].variants;
        if (!variants) continue;
        w->function = w->program->functions[i].name;
        return mil__fail(w->err, MIL_EUNSUPPORTED, "its package has blocks for other opsets (%s), which are not read and would be lost; "
                         "the option alone leaves them out", variants);
    }
    return MIL_OK;
}

mil_status mil__saving_begin(mil__saving *s, const char *blob_name, int64_t blob_elements) {
    mil__model_writer *w = &s->w;
    MIL__TRY(check_variants(s));
    w->kept_model = mil__write_kept(w, MIL__KEPT_MODEL, 0, &mil__spec__model__descriptor);
    w->version = mil__write_version(w->program, w->kept_model);
    w->blob_name = blob_name;
    w->blob_elements = blob_elements;
    for (uint32_t i = 1; i < w->program->n_values; i++) {
        const mil__value *value = w->program->values[i];
        if (value && value->is_const && mil__const_is_large(w, value)) s->bytes += mil_tensor_bytes(value->data);
    }
    w->blobs.progress = report_weights;
    w->blobs.progress_ctx = s;
    return w->status == MIL_OK ? mil__saving_report(s, "program", 0) : w->status;
}

/* ---- pieces ---- */

mil_status mil__pack(const ProtobufCMessage *message, uint8_t **out, size_t *n, mil_error *err) {
    *n = protobuf_c_message_get_packed_size(message);
    *out = mil__alloc(*n);
    if (!*out) return mil__nomem(err);
    protobuf_c_message_pack(message, *out);
    return MIL_OK;
}

mil_status mil__saving_file(mil__saving *s, const mil__folder *folder, const char *name, const void *data, size_t n) {
    char *path;
    mil__writer file;
    MIL__TRY(mil__path_join(folder->aside, name, &path, s->w.err));
    mil_status status = mil__writer_open(path, &file, s->w.err);
    mil__free(path);
    MIL__TRY(status);
    mil__writer_add(&file, data, n);
    return mil__writer_commit(&file, s->w.err);
}

/* ---- a package ---- */

static mil_status write_spec(mil__saving *s, const mil__folder *folder) {
    uint8_t *bytes;
    size_t n;
    const Mil__Spec__Model *model = mil__write_model(&s->w);
    if (!model) return s->w.status;
    MIL__TRY(mil__saving_report(s, "program", 0.5));
    MIL__TRY(mil__pack(&model->base, &bytes, &n, s->w.err));
    mil_status status = mil__saving_file(s, folder, "Data/com.apple.CoreML/model.mlmodel", bytes, n);
    mil__free(bytes);
    return status;
}

static mil_status write_package(mil__saving *s, const mil__folder *folder, const char *weights) {
    MIL__TRY(mil__folder_make(folder, "Data", s->w.err));
    MIL__TRY(mil__folder_make(folder, "Data/com.apple.CoreML", s->w.err));
    MIL__TRY(mil__folder_make(folder, "Data/com.apple.CoreML/weights", s->w.err));
    MIL__TRY(write_spec(s, folder));
    MIL__TRY(mil__blob_finish(&s->w.blobs, s->w.err));
    MIL__TRY(mil__blob_commit(&s->w.blobs, s->w.err));
    bool has_weights = rmdir(weights) != 0; /* which does nothing where one is in it */
    MIL__TRY(mil__carry(s, folder, false));
    return mil__save_manifest(s, folder, has_weights);
}

static mil_status save_package(mil__saving *s, mil__folder *folder) {
    char *weights, *file;
    MIL__TRY(mil__saving_begin(s, "@model_path/weights/weight.bin", MIL__BLOB_ELEMENTS));
    MIL__TRY(mil__path_join(folder->aside, "Data/com.apple.CoreML/weights", &weights, s->w.err));
    mil_status status = mil__path_join(weights, "weight.bin", &file, s->w.err);
    if (status == MIL_OK) {
        s->w.blobs.path = file;
        status = write_package(s, folder, weights);
        mil__blob_abandon(&s->w.blobs);
        mil__free(file);
    }
    mil__free(weights);
    return status;
}

/* ---- folders ---- */

static mil_status has_file(const char *folder, const char *name, bool *out, mil_error *err) {
    char *path;
    MIL__TRY(mil__path_join(folder, name, &path, err));
    *out = access(path, F_OK) == 0;
    mil__free(path);
    return MIL_OK;
}

static bool is_empty(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir) return false;
    int n = 0;
    while (n < 3 && readdir(dir)) n++;
    closedir(dir);
    return n == 2; /* "." and ".." */
}

/* Nobody's folder is removed because of its name: what is replaced is one of the kind, or empty. */
static mil_status check_replaced(const char *path, bool is_bundle, mil_error *err) {
    struct stat info;
    if (stat(path, &info) != 0) return MIL_OK;
    bool is_one = false;
    if (!S_ISDIR(info.st_mode)) return mil__fail(err, MIL_EIO, "cannot write %s: it exists and is not a folder", path);
    MIL__TRY(has_file(path, is_bundle ? "coremldata.bin" : "Manifest.json", &is_one, err));
    if (is_bundle && !is_one) MIL__TRY(has_file(path, "model.mil", &is_one, err));
    if (is_one || is_empty(path)) return MIL_OK;
    return mil__fail(err, MIL_EIO, "cannot write %s: it exists and is not a %s", path,
                     is_bundle ? "compiled bundle" : "package");
}

/* Messages name the place that was asked for, not the one beside it. */
static void name_target(const mil__saving *s, const char *aside) {
    mil_error *err = s->w.err;
    char *at = err ? strstr(err->message, aside) : NULL;
    if (!at) return;
    char rest[sizeof err->message];
    snprintf(rest, sizeof rest, "%s", at + strlen(aside));
    size_t room = sizeof err->message - (size_t)(at - err->message);
    snprintf(at, room, "%.400s%.300s", s->path, rest);
    snprintf(err->file, sizeof err->file, "%s", s->path);
}

static mil_status save_folder(mil__saving *s, bool is_bundle) {
    mil__folder folder;
    MIL__TRY(mil_program_verify(s->w.program, s->w.err));
    MIL__TRY(check_replaced(s->path, is_bundle, s->w.err));
    MIL__TRY(mil__folder_open(s->path, &folder, s->w.err));
    mil_status status = is_bundle ? mil__save_bundle(s, &folder) : save_package(s, &folder);
    if (status == MIL_OK) return mil__folder_commit(&folder, s->w.err);
    name_target(s, folder.aside);
    mil__folder_abandon(&folder);
    return status;
}

/* ---- all of them ---- */

/* "M.mlpackage: function main: x: ..." */
static mil_status locate(const mil__saving *s, mil_status status) {
    const mil__model_writer *w = &s->w;
    mil_error *err = w->err;
    if (!err || status == MIL_OK || status == MIL_ENOMEM || status == MIL_EIO) return status;
    char message[sizeof err->message];
    const char *value = w->value ? w->program->values[w->value]->name : NULL;
    snprintf(message, sizeof message, "%.200s: %s%.60s%s%.60s%s%.400s", s->path, w->function ? "function " : "",
             w->function ? w->function : "", w->function ? ": " : "", value ? value : "", value ? ": " : "",
             err->message);
    memcpy(err->message, message, sizeof message);
    snprintf(err->file, sizeof err->file, "%s", s->path);
    if (value) snprintf(err->value, sizeof err->value, "%.120s", value);
    return status;
}

static mil_status save(mil__saving *s) {
    if (mil__path_ends_in(s->path, ".mlpackage")) return save_folder(s, false);
    if (mil__path_ends_in(s->path, ".mlmodelc")) return save_folder(s, true);
    if (mil__path_ends_in(s->path, ".mil")) return mil__save_text(s);
    return mil__fail(s->w.err, MIL_EUNSUPPORTED, "programs are saved as .mlpackage, .mlmodelc or .mil");
}

mil_status mil_program_save(const mil_program *program, const char *path, const mil_save_options *options,
                            mil_error *err) {
    char *target = mil__strdup(path);
    if (!target) return mil__nomem(err);
    for (size_t n = strlen(target); n > 1 && target[n - 1] == '/'; n--) target[n - 1] = 0;
    mil__saving s = {.options = options, .path = target, .w = {.program = program, .err = err}};
    mil_status status = locate(&s, save(&s));
    if (s.is_cancelled) status = mil__fail(err, MIL_ECANCELLED, "%.400s: cancelled", target);
    mil__model_writer_free(&s.w);
    mil__free(target);
    return status;
}
