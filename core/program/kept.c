/* SPDX-License-Identifier: MIT */
/* What a program keeps beside its operations, so that saving it loses nothing: the model's metadata, as pairs of strings;
 * and parts of the package that it came from, as the bytes of messages, which only core/package reads. Both are found by a
 * hash, since a file may have any number of them. */
#include <stdio.h>

#include "base/bytes.h"
#include "program/program.h"

/* ---- metadata ---- */

static bool same_key(const void *ctx, uint32_t number, const void *key) {
    return strcmp(((const mil_program *)ctx)->metadata[number].key, key) == 0;
}

static uint32_t find_metadata(const mil_program *program, const char *key) {
    return mil__map_find(&program->metadata_keys, mil__hash_text(key), same_key, program, key);
}

size_t mil_program_n_metadata(const mil_program *program) { return program->n_metadata; }

const char *mil_program_metadata_at(const mil_program *program, size_t i, const char **value) {
    if (i >= program->n_metadata) return NULL;
    if (value) *value = program->metadata[i].value;
    return program->metadata[i].key;
}

const char *mil_program_metadata(const mil_program *program, const char *key) {
    uint32_t found = find_metadata(program, key);
    return found == MIL__NOT_FOUND ? NULL : program->metadata[found].value;
}

/* The last takes the place of the one that goes. */
static mil_status remove_metadata(mil_program *program, uint32_t at, mil_error *err) {
    uint32_t last = program->n_metadata - 1;
    mil__pair *pairs = program->metadata;
    uint64_t hash = mil__hash_text(pairs[last].key);
    if (at != last && !mil__map_add(&program->metadata_keys, hash, at)) return mil__nomem(err); /* before anything changes */
    mil__map_remove(&program->metadata_keys, mil__hash_text(pairs[at].key), at);
    if (at != last) mil__map_remove(&program->metadata_keys, hash, last);
    mil__free(pairs[at].key);
    pairs[at] = pairs[last];
    program->n_metadata--;
    return MIL_OK;
}

/* Key and value in one piece of memory, which the key is the beginning of. */
static bool make_pair(const char *key, const char *value, mil__pair *out) {
    size_t n = strlen(key) + 1, m = strlen(value) + 1;
    char *text = mil__alloc(n + m);
    if (!text) return false;
    *out = (mil__pair){memcpy(text, key, n), memcpy(text + n, value, m)};
    return true;
}

mil_status mil_program_set_metadata(mil_program *program, const char *key, const char *value, mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "metadata", err));
    uint32_t at = find_metadata(program, key);
    if (!value) return at == MIL__NOT_FOUND ? MIL_OK : remove_metadata(program, at, err);
    if (!*key) return mil__fail(err, MIL_ENAME, "metadata: a key is empty");
    if (!mil__is_utf8(key, strlen(key)) || !mil__is_utf8(value, strlen(value)))
        return mil__fail(err, MIL_EVALUE, "metadata: \"%s\" is not UTF-8", MIL__PRINTABLE(key));
    mil__pair pair;
    if (!make_pair(key, value, &pair)) return mil__nomem(err);
    if (at != MIL__NOT_FOUND) {
        mil__free(program->metadata[at].key);
        program->metadata[at] = pair;
        return MIL_OK;
    }
    bool room = mil__grow_table((void **)&program->metadata, program->n_metadata, &program->cap_metadata, sizeof pair);
    if (!room || !mil__map_add(&program->metadata_keys, mil__hash_text(key), program->n_metadata)) {
        mil__free(pair.key);
        return mil__nomem(err);
    }
    program->metadata[program->n_metadata++] = pair;
    return MIL_OK;
}

/* ---- where weights are ---- */

mil_status mil__program_set_model_path(mil_program *program, const char *path, mil_error *err) {
    program->model_path = mil__arena_text(&program->arena, path, strlen(path));
    return program->model_path ? MIL_OK : mil__nomem(err);
}

const char *mil__weights_path(const mil_program *program, const char *file, char *buf, size_t n) {
    static const char root[] = "@model_path";
    bool is_below = program->model_path && strncmp(file, root, sizeof root - 1) == 0;
    snprintf(buf, n, "%s%s", is_below ? program->model_path : "", is_below ? file + sizeof root - 1 : file);
    return buf;
}

/* ---- parts of the package ---- */

static bool same_part(const void *ctx, uint32_t number, const void *key) {
    const mil__kept *part = &((const mil_program *)ctx)->kept[number], *wanted = key;
    return part->what == wanted->what && part->id == wanted->id;
}

static uint64_t hash_part(mil__kept_what what, uint32_t id) {
    uint32_t words[2] = {(uint32_t)what, id};
    return mil__hash(words, sizeof words);
}

static uint32_t find_part(const mil_program *program, mil__kept_what what, uint32_t id) {
    const mil__kept key = {.what = what, .id = id};
    return mil__map_find(&program->kept_parts, hash_part(what, id), same_part, program, &key);
}

const mil__kept *mil__program_kept(const mil_program *program, mil__kept_what what, uint32_t id) {
    uint32_t found = find_part(program, what, id);
    return found == MIL__NOT_FOUND ? NULL : &program->kept[found];
}

mil_status mil__program_keep(mil_program *program, mil__kept_what what, uint32_t id, size_t n, uint8_t **out, mil_error *err) {
    assert(!mil__program_kept(program, what, id));
    uint8_t *data = mil__arena_aligned(&program->arena, n, 1);
    bool room = data && mil__grow_table((void **)&program->kept, program->n_kept, &program->cap_kept, sizeof *program->kept);
    if (!room || !mil__map_add(&program->kept_parts, hash_part(what, id), program->n_kept)) return mil__nomem(err);
    program->kept[program->n_kept++] = (mil__kept){what, id, n, data};
    *out = data;
    return MIL_OK;
}

mil_status mil__kept_begin_pass(mil_program *program, mil__kept_what what, uint32_t from, uint32_t to, mil_error *err) {
    uint32_t at = find_part(program, what, from);
    assert(!mil__program_kept(program, what, to));
    if (at == MIL__NOT_FOUND || mil__map_add(&program->kept_parts, hash_part(what, to), at)) return MIL_OK;
    return mil__nomem(err);
}

void mil__kept_end_pass(mil_program *program, mil__kept_what what, uint32_t from, uint32_t to, bool passed) {
    uint32_t at = find_part(program, what, from);
    if (at == MIL__NOT_FOUND) return;
    mil__map_remove(&program->kept_parts, hash_part(what, passed ? from : to), at);
    if (passed) program->kept[at].id = to;
}

void mil__kept_drop(mil_program *program, mil__kept_what what, uint32_t id) {
    uint32_t at = find_part(program, what, id);
    if (at != MIL__NOT_FOUND) mil__map_remove(&program->kept_parts, hash_part(what, id), at);
}

void mil__program_free_kept(mil_program *program) {
    for (uint32_t i = 0; i < program->n_metadata; i++) mil__free(program->metadata[i].key);
    mil__free(program->metadata);
    mil__free(program->kept);
    mil__map_free(&program->metadata_keys);
    mil__map_free(&program->kept_parts);
}
