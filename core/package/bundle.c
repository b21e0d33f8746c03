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

/* Its description, and the version; false where it is not laid out as above. */
static bool find_description(mil__bytes bytes, uint32_t *version, mil__bytes *out) {
    mil__bytes_take(&bytes, 28);
    mil__bytes_take(&bytes, mil__bytes_u64(&bytes));
    *version = mil__bytes_u32(&bytes);
    mil__bytes_take(&bytes, 28);
    uint64_t n = mil__bytes_u64(&bytes);
    const uint8_t *description = mil__bytes_take(&bytes, n);
    if (!description || bytes.failed) return false;
    *out = (mil__bytes){.data = description, .n = (size_t)n};
    return true;
}

mil_status mil__describe_bundle(const char *path, const void *data, size_t n, mil_program *program, mil_error *err) {
    mil__arena messages = {0};
    mil__bytes bytes;
    void *description;
    uint32_t version;
    Mil__Spec__Model model = MIL__SPEC__MODEL__INIT;
    if (!find_description((mil__bytes){.data = data, .n = n}, &version, &bytes)) return MIL_OK;
    mil__reader r = {.program = program, .most_bytes = mil__arena_used(&program->arena) + bytes.n * 16 + ((size_t)1 << 20), .err = err};
    mil_status status = mil__unpack(&mil__spec__description__descriptor, bytes.data, bytes.n, &messages, &description, err);
    if (status == MIL_OK) status = mil__describe_program(&r, description);
    if (status == MIL_OK) {
        model.description = description;
        model.version = version < MIL__FIRST_VERSION || version > MIL__LAST_VERSION ? 0 : (int32_t)version;
        status = mil__keep_model(&r, &model);
    }
    status = mil__read_locate(&r, path, status);
    mil__arena_free(&r.tmp);
    mil__arena_free(&messages);
    return status;
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
    if (status == MIL_OK && has_data) status = mil__describe_bundle(path, data.data, data.bytes, *out, err);
    if (status == MIL_OK) status = mil__source_note(*out, path, NULL, err);
    if (status != MIL_OK && *out) {
        mil_program_free(*out);
        *out = NULL;
    }
    if (has_data) mil__file_close(&data);
    return status;
}
