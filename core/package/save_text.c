/* SPDX-License-Identifier: MIT */
/* Programs as text with a weights file beside it: a .mil file, and the compiled bundle that Core ML makes of a package.
 *
 * A bundle's model.mil and weights are all that an engine computes from. Of coremldata.bin, which holds the
 * description, what its fields mean is known from files only; metadata.json is for people, and has what can be said
 * without Apple's compiler (no histogram of Apple's op versions). No analytics: their hash is of a package. */
#include <errno.h>
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "package/package.h"
#include "package/write.h"
#include "text/flexible.h"
#include "text/print.h"

/* ---- consts' places ---- */

/* The name of a file that is not there must not come to mean the one that is written. */
static mil_status check_absent(mil__model_writer *w, mil_value id) {
    const mil__value *value = w->program->values[id];
    const char *file = value->data ? NULL : mil__const_file(w->program, value);
    if (!file || (w->keeps_absent && strcmp(file, w->blob_name) != 0)) return MIL_OK;
    mil__write_absent(w, value);
    return w->status;
}

/* What is there already may be no folder: that is said where the file in it is opened. */
static mil_status make_blob_folder(mil__model_writer *w) {
    w->made_folder = mkdir(w->blob_folder, 0777) == 0;
    return w->made_folder || errno == EEXIST ? MIL_OK : mil__fail_errno(w->err, "make", w->blob_folder, errno);
}

static mil_status place_const(mil__model_writer *w, mil_value id) {
    const mil__value *value = w->program->values[id];
    if (value->is_const) MIL__TRY(check_absent(w, id));
    if (!value->is_const || w->offsets[id] || !mil__const_is_large(w, value)) return MIL_OK;
    if (!w->blobs.is_open) MIL__TRY(make_blob_folder(w));
    return mil__blob_add(&w->blobs, value->data, &w->offsets[id], w->err);
}

/* In the order in which a package's writer meets them (an op's parameters as they are declared): so the weights of a
 * package and of its bundle are the same file. */
static mil_status place_block(mil__model_writer *w, mil_block block) {
    const mil_program *program = w->program;
    for (mil_operation at = program->blocks[block]->first; at; at = program->ops[at]->next) {
        const mil__op *op = program->ops[at];
        if (op->decl == mil__op_const() && program->values[op->outputs[0]]->name)
            MIL__TRY(place_const(w, op->outputs[0]));
        for (int a = 0; a < op->n_args; a++)
            for (uint32_t i = 0; i < op->args[a].n; i++) MIL__TRY(place_const(w, op->args[a].values[i]));
        for (uint16_t b = 0; b < op->n_blocks; b++) MIL__TRY(place_block(w, op->blocks[b]));
    }
    return MIL_OK;
}

static mil_status place_all(mil__model_writer *w) {
    w->offsets = mil__write_array(w, w->program->n_values, sizeof *w->offsets);
    if (!w->offsets) return w->status;
    for (uint32_t i = 0; i < w->program->n_functions; i++) MIL__TRY(place_block(w, w->program->functions[i].block));
    return MIL_OK;
}

static uint64_t place_of(void *ctx, const mil__value *value, const char **file) {
    const mil__model_writer *w = ctx;
    *file = w->blob_name;
    return value->op ? w->offsets[w->program->ops[value->op]->outputs[0]] : 0;
}

/* With what a package has in its description. */
static mil_status write_attrs(mil__model_writer *w, const mil__attr ***out) {
    *out = mil__write_array(w, w->program->n_functions, sizeof **out);
    for (uint32_t i = 0; *out && i < w->program->n_functions; i++)
        MIL__TRY(mil__flexible_write(w->program, &w->program->functions[i], &w->arena, &(*out)[i], w->err));
    return w->status;
}

static mil_status print(mil__saving *s, int version_minor, char **text, size_t *n) {
    const mil__attr **attrs;
    MIL__TRY(write_attrs(&s->w, &attrs));
    mil__text_places places = {
        .place = place_of, .ctx = &s->w, .version_minor = version_minor, .attrs = attrs};
    MIL__TRY(place_all(&s->w));
    return mil__text_print(s->w.program, &places, text, n, s->w.err);
}

/* ---- text ---- */

/* Both files are whole and on the disk before the first is renamed. */
static mil_status write_text(mil__saving *s) {
    char *text;
    size_t n;
    mil__writer file;
    mil_error *err = s->w.err;
    MIL__TRY(print(s, s->w.program->version_minor, &text, &n));
    mil_status status = mil__writer_open(s->path, &file, err);
    if (status == MIL_OK) {
        mil__writer_add(&file, text, n);
        mil__writer_add(&file, "\n", 1);
        status = mil__writer_finish(&file, err);
        if (status == MIL_OK) status = mil__blob_finish(&s->w.blobs, err);
        if (status == MIL_OK) status = mil__blob_commit_with(&s->w.blobs, &file, err);
        else mil__writer_abandon(&file);
    }
    mil__free(text);
    return status;
}

/* The weights of net.mil are weights/net.bin beside it, so that a folder may hold several. */
mil_status mil__save_text(mil__saving *s) {
    mil__model_writer *w = &s->w;
    const char *slash = strrchr(s->path, '/'), *base = slash ? slash + 1 : s->path;
    int n_folder = (int)(base - s->path), n_stem = (int)(strlen(base) - strlen(".mil"));
    mil__str name = {0}, folder = {0}, file = {0};
    mil__str_printf(&name, "@model_path/weights/%.*s.bin", n_stem, base);
    mil__str_printf(&folder, "%.*sweights", n_folder, s->path);
    mil__str_printf(&file, "%s/%.*s.bin", folder.s ? folder.s : "", n_stem, base);
    mil_status status = name.failed || folder.failed || file.failed ? mil__nomem(w->err) : MIL_OK;
    if (status == MIL_OK) status = mil__saving_begin(s, name.s, MIL__TEXT_ELEMENTS);
    if (status == MIL_OK) {
        w->blobs.path = file.s;
        w->blob_folder = folder.s;
        w->keeps_absent = true;
        status = write_text(s);
        mil__blob_abandon(&w->blobs);
        if (status != MIL_OK && w->made_folder) rmdir(folder.s);
    }
    mil__str_free(&name);
    mil__str_free(&folder);
    mil__str_free(&file);
    return status;
}

/* ---- a bundle's description ---- */

/* Little-endian: 502 (an ML Program), 5, zeros; "generic" with its length; the specification's version, zeros; the
 * description with its length; then 16 bytes a function. */
static mil_status write_coremldata(mil__saving *s, const mil__folder *folder,
                                   const Mil__Spec__Description *description) {
    uint8_t head[0x53] = {0}, function[16] = {0}, *message;
    size_t n;
    MIL__TRY(mil__pack(&description->base, &message, &n, s->w.err));
    mil__put_u32(mil__put_u32(head, 502), 5);
    mil__put_u64(head + 0x1c, 7);
    memcpy(head + 0x24, "generic", 7);
    mil__put_u32(head + 0x2b, (uint32_t)s->w.version);
    mil__put_u64(head + 0x4b, n);
    mil__put_u32(function, 502);
    mil__str out = {0};
    mil__str_add(&out, (const char *)head, sizeof head);
    mil__str_add(&out, (const char *)message, n);
    for (uint32_t i = 0; i < s->w.program->n_functions; i++)
        mil__str_add(&out, (const char *)function, sizeof function);
    mil__free(message);
    mil_status status = out.failed ? mil__nomem(s->w.err) : mil__saving_file(s, folder, "coremldata.bin", out.s, out.n);
    mil__str_free(&out);
    return status;
}

static void put(json_t *object, const char *key, const char *text) {
    if (*text) json_object_set_new(object, key, json_string(text));
}

/* "Int8" and "Double" are the API's names: no file with them is known. */
static const char *dtype_text(int dtype) {
    static const struct {
        int number;
        const char *name;
    } rows[] = {{65552, "Float16"}, {65568, "Float32"}, {65600, "Double"}, {131080, "Int8"}, {131104, "Int32"}};
    for (size_t i = 0; i < MIL__COUNT(rows); i++)
        if (rows[i].number == dtype) return rows[i].name;
    return "";
}

/* "[1, 128]", and "MultiArray (Float32 1 × 128)". */
static void put_array(json_t *object, const char *kind, const Mil__Spec__Array *array) {
    mil__str shape = {0}, formatted = {0};
    mil__str_printf(&formatted, "%s (%s", kind, dtype_text(array->dtype));
    for (size_t i = 0; i < array->n_shape; i++) {
        mil__str_printf(&shape, "%s%lld", i ? ", " : "[", (long long)array->shape[i]);
        mil__str_printf(&formatted, "%s%lld", i ? " \u00d7 " : " ", (long long)array->shape[i]);
    }
    mil__str_puts(&shape, array->n_shape ? "]" : "[]");
    mil__str_putc(&formatted, ')');
    put(object, "type", kind);
    put(object, "dataType", dtype_text(array->dtype));
    if (!shape.failed && !formatted.failed) put(object, "shape", shape.s), put(object, "formattedType", formatted.s);
    mil__str_free(&shape);
    mil__str_free(&formatted);
    bool flexible = array->flexibility_case != MIL__SPEC__ARRAY__FLEXIBILITY__NOT_SET;
    put(object, "hasShapeFlexibility", flexible ? "1" : "0");
}

static json_t *describe(Mil__Spec__Feature *const *features, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *object = json_object();
        const Mil__Spec__FeatureType *type = features[i]->type;
        put(object, "name", features[i]->name);
        json_object_set_new(object, "shortDescription", json_string(features[i]->description));
        put(object, "isOptional", type->is_optional ? "1" : "0");
        switch (type->kind_case) {
        case MIL__SPEC__FEATURE_TYPE__KIND_ARRAY: put_array(object, "MultiArray", type->array); break;
        case MIL__SPEC__FEATURE_TYPE__KIND_STATE: put_array(object, "State", type->state->array); break;
        case MIL__SPEC__FEATURE_TYPE__KIND_IMAGE: put(object, "type", "Image"); break;
        case MIL__SPEC__FEATURE_TYPE__KIND_DICTIONARY: put(object, "type", "Dictionary"); break;
        case MIL__SPEC__FEATURE_TYPE__KIND_STRING: put(object, "type", "String"); break;
        case MIL__SPEC__FEATURE_TYPE__KIND_INT64: put(object, "type", "Int64"); break;
        default: break;
        }
        json_array_append_new(list, object);
    }
    return list;
}

static void put_schemas(json_t *object, Mil__Spec__Feature **inputs, size_t n_inputs, Mil__Spec__Feature **outputs,
                        size_t n_outputs, Mil__Spec__Feature **states, size_t n_states) {
    json_object_set_new(object, "inputSchema", describe(inputs, n_inputs));
    json_object_set_new(object, "outputSchema", describe(outputs, n_outputs));
    json_object_set_new(object, "stateSchema", describe(states, n_states));
}

static void put_functions(json_t *object, const Mil__Spec__Description *d) {
    json_t *list = json_array();
    for (size_t i = 0; i < d->n_functions; i++) {
        const Mil__Spec__FunctionDescription *f = d->functions[i];
        json_t *function = json_object();
        put(function, "name", f->name);
        put_schemas(function, f->inputs, f->n_inputs, f->outputs, f->n_outputs, f->states, f->n_states);
        json_array_append_new(list, function);
    }
    json_object_set_new(object, "functions", list);
    put(object, "defaultFunctionName", d->default_function);
}

static json_t *availability(int version) {
    static const char *const rows[][6] = {
        {"15.0", "12.0", "15.0", "8.0", "1.0", "15.0"},
        {"16.0", "13.0", "16.0", "9.0", "1.0", "16.0"},
        {"17.0", "14.0", "17.0", "10.0", "1.0", "17.0"},
        {"18.0", "15.0", "18.0", "11.0", "2.0", "18.0"},
        {"26.0", "26.0", "26.0", "26.0", "26.0", "26.0"},
    };
    static const char *const systems[] = {"iOS", "macOS", "tvOS", "watchOS", "visionOS", "macCatalyst"};
    json_t *object = json_object();
    int row = version < 10 ? version - 6 : 4;
    for (int i = 0; i < 6; i++) put(object, systems[i], rows[row][i]);
    return object;
}

static json_t *metadata_of(const mil__saving *s, const Mil__Spec__Description *d) {
    const char *base = strrchr(s->path, '/') ? strrchr(s->path, '/') + 1 : s->path;
    json_t *object = json_object(), *type = json_object(), *user = json_object();
    put(object, "metadataOutputVersion", "3.0");
    put_schemas(object, d->inputs, d->n_inputs, d->outputs, d->n_outputs, d->states, d->n_states);
    if (d->n_functions) put_functions(object, d);
    if (d->metadata) {
        put(object, "shortDescription", d->metadata->description);
        put(object, "version", d->metadata->version);
        put(object, "author", d->metadata->author);
        put(object, "license", d->metadata->license);
    }
    for (size_t i = 0; d->metadata && i < d->metadata->n_user; i++)
        put(user, d->metadata->user[i]->key, d->metadata->user[i]->value);
    put(type, "name", "MLModelType_mlProgram");
    json_object_set_new(object, "modelParameters", json_array());
    json_object_set_new(object, "specificationVersion", json_integer(s->w.version));
    json_object_set_new(object, "availability", availability(s->w.version));
    json_object_set_new(object, "modelType", type);
    json_object_set_new(object, "userDefinedMetadata", user);
    json_object_set_new(object, "generatedClassName", json_stringn(base, strlen(base) - strlen(".mlmodelc")));
    put(object, "isUpdatable", "0");
    put(object, "method", "predict");
    return object;
}

static mil_status write_metadata(mil__saving *s, const mil__folder *folder, const Mil__Spec__Description *d) {
    json_t *list = json_array();
    json_array_append_new(list, metadata_of(s, d));
    char *text = json_dumps(list, JSON_INDENT(2));
    json_decref(list);
    if (!text) return mil__nomem(s->w.err);
    mil_status status = mil__saving_file(s, folder, "metadata.json", text, strlen(text));
    free(text);
    return status;
}

/* ---- a bundle ---- */

static mil_status write_bundle(mil__saving *s, const mil__folder *folder) {
    char *text;
    size_t n;
    Mil__Spec__Description *description = mil__write_description(&s->w);
    if (!description) return s->w.status;
    if (s->w.kept_model && s->w.kept_model->description)
        mil__take_unknown(&description->base, &s->w.kept_model->description->base);
    MIL__TRY(write_coremldata(s, folder, description));
    MIL__TRY(write_metadata(s, folder, description));
    int minor = s->w.program->version_minor;
    if (s->w.version >= 9 && minor < 3) minor = 3; /* as the specification's version has it */
    MIL__TRY(print(s, minor, &text, &n));
    mil_status status = mil__saving_file(s, folder, "model.mil", text, n);
    mil__free(text);
    if (status == MIL_OK) status = mil__blob_finish(&s->w.blobs, s->w.err);
    if (status == MIL_OK) status = mil__blob_commit(&s->w.blobs, s->w.err);
    return status == MIL_OK ? mil__carry(s, folder, true) : status;
}

mil_status mil__save_bundle(mil__saving *s, mil__folder *folder) {
    char *weights, *file = NULL;
    MIL__TRY(mil__saving_begin(s, "@model_path/weights/weight.bin", MIL__BLOB_ELEMENTS));
    MIL__TRY(mil__path_join(folder->aside, "weights", &weights, s->w.err));
    mil_status status = mil__path_join(weights, "weight.bin", &file, s->w.err);
    if (status == MIL_OK) {
        s->w.blobs.path = file;
        s->w.blob_folder = weights;
        status = write_bundle(s, folder);
        mil__blob_abandon(&s->w.blobs);
        mil__free(file);
    }
    mil__free(weights);
    return status;
}
