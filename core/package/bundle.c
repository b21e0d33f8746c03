/* SPDX-License-Identifier: MIT */
/* Compiled bundles: a directory with the program's text, model.mil, its weights beside it, and coremldata.bin:
 *
 *     u32 kind (the number of the model's type in Model), u32, 20 bytes of zeros
 *     u64 n, n bytes: a name
 *     u32 specification version, 28 bytes of zeros
 *     u64 n, n bytes: the model's Description, as in a package
 *
 * of which the description is taken where it can be read; the text is all that a program needs. */
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "package/package.h"

static bool is_there(const char *path, const char *name) {
    char *full;
    if (mil__join(path, "/", name, &full, NULL) != MIL_OK) return false;
    bool there = access(full, F_OK) == 0;
    mil__free(full);
    return there;
}

/* What a bundle without a program is. */
static mil_status no_program(const char *path, const mil__file *data, mil_error *err) {
    mil__bytes bytes = {.data = data->data, .n = data->bytes};
    const char *kind = mil__model_kind(mil__bytes_u32(&bytes));
    if (!kind && is_there(path, "model0")) kind = mil__model_kind(202);
    if (!kind && is_there(path, "model.espresso.net")) kind = mil__model_kind(500);
    if (kind) return mil__fail(err, MIL_EUNSUPPORTED, "%.200s: this model is %s; only ML Programs are read", path, kind);
    return mil__fail(err, MIL_EFORMAT, "%.200s: this is no compiled bundle: there is no model.mil", path);
}

mil_status mil__load_bundle(const char *path, const mil_load_options *options, mil_program **out, mil_error *err) {
    char *name;
    mil__file data = {0};
    MIL__TRY(mil__join(path, "/coremldata.bin", "", &name, err));
    bool has_data = mil__file_open(name, &data, NULL) == MIL_OK;
    mil__free(name);
    mil_status status = mil__join(path, "/model.mil", "", &name, err);
    if (status == MIL_OK) {
        bool is_program = access(name, F_OK) == 0 || access(path, F_OK) != 0;
        status = is_program ? mil__load_text(name, options, out, err) : no_program(path, &data, err);
        mil__free(name);
    }
    if (has_data) mil__file_close(&data);
    return status;
}
