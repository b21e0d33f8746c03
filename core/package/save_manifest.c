/* SPDX-License-Identifier: MIT */
/* The manifest of a package that is saved. One that the program came with goes on: its identifiers, its other items, what
 * else it says; but an item is left out whose file is not in the new package. */
#include <errno.h>
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "package/package.h"
#include "package/write.h"

/* ---- the one that the program came with ---- */

static mil_status read_manifest(const char *folder, json_t **out, mil_error *err) {
    char *path;
    mil__file file;
    *out = NULL;
    MIL__TRY(mil__path_join(folder, "Manifest.json", &path, err));
    mil_status status = MIL_OK;
    if (access(path, F_OK) == 0) {
        status = mil__file_open(path, &file, err);
        if (status == MIL_OK) {
            status = mil__manifest_parse(folder, file.data, file.bytes, out, err);
            mil__file_close(&file);
        }
    }
    mil__free(path);
    return status;
}

/* ---- items ---- */

static bool identifier(char out[37]) {
    uint8_t b[16];
    if (getentropy(b, sizeof b) != 0) return false;
    b[6] = (b[6] & 0x0f) | 0x40; /* a random UUID */
    b[8] = (b[8] & 0x3f) | 0x80;
    snprintf(out, 37, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return true;
}

/* Puts the item there, whatever else is said of it; false: out of memory. */
static bool put_item(json_t *items, const char *id, const char *what, const char *name) {
    json_t *item = json_object_get(items, id);
    if (!json_is_object(item) && json_object_set_new(items, id, item = json_object()) != 0) return false;
    return json_object_set_new(item, "author", json_string("com.apple.CoreML")) == 0 &&
           json_object_set_new(item, "description", json_sprintf("CoreML Model %s", what)) == 0 &&
           json_object_set_new(item, "name", json_string(name)) == 0 &&
           json_object_set_new(item, "path", json_sprintf("com.apple.CoreML/%s", name)) == 0;
}

/* Is the file of an item in the new package, which lies in `folder`? What names no file is no affair of ours. */
static mil_status has_file(const char *folder, const json_t *item, bool *out, mil_error *err) {
    const char *below = json_string_value(json_object_get(item, "path"));
    *out = !below;
    if (!below || !mil__stays_inside(below)) return MIL_OK;
    char *path;
    MIL__TRY(mil__join(folder, "/Data/", below, &path, err));
    *out = access(path, F_OK) == 0;
    mil__free(path);
    return MIL_OK;
}

static mil_status drop_items(json_t *items, const char *folder, mil_error *err) {
    const char *id;
    json_t *item;
    void *next;
    json_object_foreach_safe(items, next, id, item) {
        bool is_there;
        MIL__TRY(has_file(folder, item, &is_there, err));
        if (!is_there) json_object_del(items, id);
    }
    return MIL_OK;
}

static bool has_item(json_t *items, const char *path) {
    const char *id, *found;
    json_t *item;
    json_object_foreach(items, id, item) {
        found = json_string_value(json_object_get(item, "path"));
        if (found && strcmp(found, path) == 0) return true;
    }
    return false;
}

/* ---- all of it ---- */

static mil_status fill(json_t *manifest, const char *folder, bool has_weights, mil_error *err) {
    char model[37], weights[37];
    if (!identifier(model) || !identifier(weights)) return mil__fail_errno(err, "get random numbers for", "a package's identifiers", errno);
    json_t *items = json_object_get(manifest, "itemInfoEntries");
    const char *root = json_string_value(json_object_get(manifest, "rootModelIdentifier"));
    bool done = true;
    if (!json_object_get(manifest, "fileFormatVersion"))
        done = json_object_set_new(manifest, "fileFormatVersion", json_string("1.0.0")) == 0;
    if (!json_is_object(items)) done &= json_object_set_new(manifest, "itemInfoEntries", items = json_object()) == 0;
    if (!root) done &= json_object_set_new(manifest, "rootModelIdentifier", json_string(model)) == 0;
    if (!done || !put_item(items, root ? root : model, "Specification", "model.mlmodel")) return mil__nomem(err);
    if (has_weights && !has_item(items, "com.apple.CoreML/weights") && !put_item(items, weights, "Weights", "weights"))
        return mil__nomem(err);
    return drop_items(items, folder, err);
}

/* Keys in byte order at every level, as Apple's library writes them. */
static mil_status write_manifest(mil__saving *s, const mil__folder *folder, const json_t *manifest) {
    char *json = json_dumps(manifest, JSON_INDENT(4) | JSON_SORT_KEYS);
    mil__str text = {0};
    if (json) mil__str_printf(&text, "%s\n", json);
    free(json);
    mil_status status = !text.n || text.failed ? mil__nomem(s->w.err) : mil__saving_file(s, folder, "Manifest.json", text.s, text.n);
    mil__str_free(&text);
    return status;
}

mil_status mil__save_manifest(mil__saving *s, const mil__folder *folder, bool has_weights) {
    json_t *manifest = NULL;
    if (mil__source_is_carried(s, false)) MIL__TRY(read_manifest(mil__source_path(s->w.program), &manifest, s->w.err));
    if (!manifest) manifest = json_object();
    mil_status status = manifest ? fill(manifest, folder->aside, has_weights, s->w.err) : mil__nomem(s->w.err);
    if (status == MIL_OK) status = write_manifest(s, folder, manifest);
    json_decref(manifest);
    return status;
}
