/* SPDX-License-Identifier: MIT */
/* Programs from files, by the ending of the name. */
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "package/package.h"

mil_status mil__join(const char *a, const char *b, const char *c, char **out, mil_error *err) {
    size_t n = strlen(a) + strlen(b) + strlen(c) + 1;
    *out = mil__alloc(n);
    if (!*out) return mil__nomem(err);
    snprintf(*out, n, "%s%s%s", a, b, c);
    return MIL_OK;
}

mil_status mil__load_progress(const mil_load_options *options, const char *stage, double part, mil_error *err) {
    bool goes_on = !options || !options->progress || options->progress(options->progress_ctx, stage, part);
    return goes_on ? MIL_OK : mil__fail(err, MIL_ECANCELLED, "load: cancelled");
}

mil_status mil__folder_of(const char *path, char **out, mil_error *err) {
    const char *slash = strrchr(path, '/');
    if (!slash) return mil__join(".", "", "", out, err);
    MIL__TRY(mil__join(path, "", "", out, err));
    (*out)[slash - path + (slash == path)] = 0;
    return MIL_OK;
}

mil_status mil__load_text(const char *path, const mil_load_options *options, mil_program **out, mil_error *err) {
    mil_buffer *buffer = NULL;
    char *folder = NULL;
    mil_status status = mil_buffer_map(path, &buffer, err);
    if (status == MIL_OK) status = mil__folder_of(path, &folder, err);
    if (status == MIL_OK) {
        const mil_text_options text = {.name = path, .model_path = folder, .weights_may_lack = true};
        status = mil__load_progress(options, "read", 0, err);
        if (status == MIL_OK) status = mil_text_parse(mil_buffer_data(buffer), mil_buffer_bytes(buffer), &text, out, err);
    }
    mil__free(folder);
    mil_buffer_free(buffer);
    return status;
}

typedef mil_status load_fn(const char *path, const mil_load_options *options, mil_program **out, mil_error *err);

static load_fn *loader_of(const char *path) {
    static const struct {
        const char *ending;
        load_fn *load;
    } loaders[] = {{".mlpackage", mil__load_package}, {".mlmodelc", mil__load_bundle}, {".mlmodel", mil__load_model},
                   {".mil", mil__load_text}};
    size_t n = strlen(path);
    for (size_t i = 0; i < MIL__COUNT(loaders); i++) {
        size_t m = strlen(loaders[i].ending);
        if (n > m && strcmp(path + n - m, loaders[i].ending) == 0) return loaders[i].load;
    }
    return NULL;
}

mil_status mil_program_load(const char *path, const mil_load_options *options, mil_program **out, mil_error *err) {
    char *plain; /* without the "/" that may end a folder's name */
    *out = NULL;
    MIL__TRY(mil__join(path, "", "", &plain, err));
    for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--) plain[n - 1] = 0;
    load_fn *load = loader_of(plain);
    mil_status status = load ? load(plain, options, out, err)
                             : mil__fail(err, MIL_EUNSUPPORTED, "%.200s: .mlpackage, .mlmodelc, .mlmodel and .mil are read", plain);
    if (status == MIL_OK && (status = mil__load_progress(options, "read", 1, err)) != MIL_OK) {
        mil_program_free(*out);
        *out = NULL;
    }
    mil__free(plain);
    return status;
}
