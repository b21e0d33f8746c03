/* SPDX-License-Identifier: MIT */
/* Weights files. w["name"] and w.name are tensors; any name may be one, so there are no methods: mil.names(w). */
#include <stdlib.h>
#include <inttypes.h>
#include <string.h>

#include "bind.h"

typedef struct luamil_weights {
    mil_weights *weights;
} luamil_weights;

static luamil_weights *new_weights(lua_State *L) {
    luamil_weights *self = luamil_new_plain(L, sizeof *self);
    self->weights = NULL;
    luamil_set_class(L, LUAMIL_WEIGHTS);
    return self;
}

static mil_weights *check_weights(lua_State *L, int index, const char *fn) {
    luamil_weights *self = luamil_check(L, index, LUAMIL_WEIGHTS, fn);
    if (!self->weights) luamil_fail(L, MIL_ESTATE, "%s: the weights have been collected", fn);
    return self->weights;
}

/* mil.weights(path) */
static int open_weights(lua_State *L) {
    mil_error err;
    const char *path = luamil_check_string(L, 1, "mil.weights", "path", NULL);
    luamil_weights *self = new_weights(L);
    if (mil_weights_open(path, &self->weights, &err) != MIL_OK) return luamil_raise(L, &err);
    size_t n = mil_weights_count(self->weights) + mil_weights_metadata_count(self->weights);
    luamil_account(L, 4096 + n * 256); /* about what is known of each */
    return 1;
}

static int push_tensor(lua_State *L, const mil_weights *weights, const char *name) {
    mil_error err;
    luamil_tensor *tensor = luamil_new_tensor(L);
    if (mil_weights_get(weights, name, &tensor->tensor, &err) != MIL_OK) return luamil_raise(L, &err);
    bool is_view = mil_buffer_kind_of(mil_tensor_buffer(tensor->tensor)) == MIL_MAPPED;
    return is_view ? 1 : luamil_return_tensor(L, tensor);
}

static int weights_index(lua_State *L) {
    const mil_weights *weights = check_weights(L, 1, "weights");
    if (lua_type(L, 2) != LUA_TSTRING)
        return luamil_fail(L, MIL_ENAME, "weights are indexed by name, not by %s", LUAMIL_WHAT(L, 2));
    return push_tensor(L, weights, lua_tostring(L, 2));
}

static int weights_newindex(lua_State *L) { return luamil_fail(L, MIL_ESTATE, "a weights file is not written to (mil.save)"); }

static int weights_len(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)mil_weights_count(check_weights(L, 1, "weights")));
    return 1;
}

static int weights_text(lua_State *L) {
    luamil_weights *self = lua_touserdata(L, 1);
    if (self->weights) lua_pushfstring(L, "weights: %d tensors", (int)mil_weights_count(self->weights));
    else lua_pushliteral(L, "(closed weights)");
    return 1;
}

static int weights_gc(lua_State *L) {
    luamil_weights *self = lua_touserdata(L, 1);
    mil_weights *weights = self->weights;
    self->weights = NULL;
    mil_weights_free(weights);
    return 0;
}

/* mil.names(weights): in the file's order */
static int names(lua_State *L) {
    const mil_weights *weights = check_weights(L, 1, "mil.names");
    size_t n = mil_weights_count(weights);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, mil_weights_name(weights, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* Pushes integer i of 64 bits; as text where Lua has no number for it. */
static void push_wide(lua_State *L, const mil_tensor *tensor, int64_t i) {
    uint64_t bits = ((const uint64_t *)mil_tensor_data(tensor))[i];
    bool is_signed = mil_tensor_dtype(tensor) == MIL_INT64;
    if ((is_signed || bits <= INT64_MAX) && luamil_push_int(L, (int64_t)bits)) return;
    char text[24];
    if (is_signed) snprintf(text, sizeof text, "%" PRId64, (int64_t)bits);
    else snprintf(text, sizeof text, "%" PRIu64, bits);
    lua_pushstring(L, text);
}

/* What is known of a key: a rank of 0 or 1. */
static void push_known(lua_State *L, const mil_tensor *tensor) {
    mil_dtype dtype = mil_tensor_dtype(tensor);
    if (dtype != MIL_INT64 && dtype != MIL_UINT64) {
        luamil_push_elements(L, tensor);
    } else if (mil_tensor_rank(tensor) == 0) {
        push_wide(L, tensor, 0);
    } else {
        lua_newtable(L);
        for (int64_t i = 0; i < mil_tensor_numel(tensor); i++) {
            push_wide(L, tensor, i);
            lua_rawseti(L, -2, (int)i + 1);
        }
    }
}

/* Pushes the value of a key, which may be missing: a string, number or bool, or a list of them; or nil. */
static void push_metadata(lua_State *L, const mil_weights *weights, const char *key) {
    mil_error err;
    luamil_tensor *value = luamil_new_tensor(L);
    mil_status status = mil_weights_metadata_tensor(weights, key, &value->tensor, &err);
    if (status == MIL_OK) push_known(L, value->tensor);
    else if (status == MIL_ENAME) lua_pushnil(L);
    else luamil_raise(L, &err);
    lua_remove(L, -2);
}

/* mil.metadata(weights, key): the key's value; mil.metadata(weights): all of them, by key */
static int metadata(lua_State *L) {
    const mil_weights *weights = check_weights(L, 1, "mil.metadata");
    if (!lua_isnoneornil(L, 2)) {
        push_metadata(L, weights, luamil_check_string(L, 2, "mil.metadata", "key", NULL));
        return 1;
    }
    size_t n = mil_weights_metadata_count(weights);
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        push_metadata(L, weights, mil_weights_metadata_key(weights, i));
        lua_setfield(L, -2, mil_weights_metadata_key(weights, i));
    }
    return 1;
}

/* mil.stored(weights, name): { type =, dtype =, shape =, bytes = } */
static int stored(lua_State *L) {
    mil_error err;
    mil_stored found;
    const mil_weights *weights = check_weights(L, 1, "mil.stored");
    const char *name = luamil_check_string(L, 2, "mil.stored", "name", NULL);
    luamil_check_status(L, mil_weights_stored(weights, name, &found, &err), &err);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, found.type);
    lua_setfield(L, -2, "type");
    if (found.dtype != MIL_NO_DTYPE) {
        lua_pushstring(L, mil_dtype_name(found.dtype));
        lua_setfield(L, -2, "dtype");
    }
    luamil_push_shape(L, found.rank, found.shape);
    lua_setfield(L, -2, "shape");
    lua_pushinteger(L, (lua_Integer)found.bytes);
    lua_setfield(L, -2, "bytes");
    return 1;
}

/* mil.quantized(weights, name [, dtype]): what constexpr_blockwise_shift_scale takes, in a table; dtype is the scale's */
static int quantized(lua_State *L) {
    mil_error err;
    const mil_weights *weights = check_weights(L, 1, "mil.quantized");
    const char *name = luamil_check_string(L, 2, "mil.quantized", "name", NULL);
    mil_dtype dtype = lua_isnoneornil(L, 3) ? MIL_FP32 : luamil_check_dtype(L, 3, "mil.quantized");
    lua_createtable(L, 0, 2);
    luamil_tensor *data = luamil_new_tensor(L), *scale = luamil_new_tensor(L);
    if (mil_weights_get_quantized(weights, name, dtype, &data->tensor, &scale->tensor, &err) != MIL_OK)
        return luamil_raise(L, &err);
    size_t bytes = mil_tensor_bytes(data->tensor) + mil_tensor_bytes(scale->tensor);
    lua_setfield(L, -3, "scale");
    lua_setfield(L, -2, "data");
    luamil_account(L, bytes);
    return 1;
}

/* mil.load_tensor(path [, name]): the only tensor of a file, or the one of that name */
static int load_tensor(lua_State *L) {
    lua_settop(L, 2);
    open_weights(L);
    const mil_weights *weights = check_weights(L, -1, "mil.load_tensor");
    if (!lua_isnoneornil(L, 2))
        return push_tensor(L, weights, luamil_check_string(L, 2, "mil.load_tensor", "name", NULL));
    size_t n = mil_weights_count(weights);
    if (n != 1)
        return luamil_fail(L, MIL_EVALUE, "mil.load_tensor: %s holds %d tensors; name one, or use mil.weights",
                           lua_tostring(L, 1), (int)n);
    return push_tensor(L, weights, mil_weights_name(weights, 0));
}

/* ---- writing ---- */

static size_t count_fields(lua_State *L, int index) {
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) n++;
    return n;
}

static int by_key(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int by_name(const void *a, const void *b) {
    return strcmp(((const mil_named_tensor *)a)->name, ((const mil_named_tensor *)b)->name);
}

/* Pairs of the metadata table at index, ended by NULL; in userdata that is pushed. */
static const char **read_metadata(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return NULL;
    if (!lua_istable(L, index))
        luamil_fail(L, MIL_EINVAL, "mil.save: metadata is a table of strings, but was given %s", LUAMIL_WHAT(L, index));
    size_t n = 0, room = 2 * count_fields(L, index); /* a finalizer may add some */
    const char **pairs = luamil_new_plain(L, (room + 1) * sizeof *pairs);
    for (lua_pushnil(L); n < room && lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luamil_fail(L, MIL_EINVAL, "mil.save: metadata is a table of strings, but [%s] is %s", LUAMIL_WHAT(L, -2),
                        LUAMIL_WHAT(L, -1));
        pairs[n++] = lua_tostring(L, -2);
        pairs[n++] = lua_tostring(L, -1);
    }
    qsort(pairs, n / 2, 2 * sizeof *pairs, by_key);
    pairs[n] = NULL;
    return pairs;
}

/* mil.save(path, {name = tensor, ...} [, metadata]): by name, ascending */
static int save(lua_State *L) {
    mil_error err;
    const char *path = luamil_check_string(L, 1, "mil.save", "path", NULL);
    lua_settop(L, 3);
    if (!lua_istable(L, 2))
        return luamil_fail(L, MIL_EINVAL, "mil.save: takes a table of tensors by name, but was given %s", LUAMIL_WHAT(L, 2));
    const char **pairs = read_metadata(L, 3);
    size_t n = 0, room = count_fields(L, 2);
    mil_named_tensor *tensors = luamil_new_plain(L, (room + 1) * sizeof *tensors);
    for (lua_pushnil(L); n < room && lua_next(L, 2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return luamil_fail(L, MIL_EINVAL, "mil.save: tensors have names, but [%s] has none", LUAMIL_WHAT(L, -2));
        tensors[n++] = (mil_named_tensor){lua_tostring(L, -2), luamil_check_tensor(L, lua_gettop(L), "mil.save")};
    }
    qsort(tensors, n, sizeof *tensors, by_name);
    if (mil_weights_save(path, tensors, n, pairs, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* mil.convert(weights, path [, options]): all its tensors in another format, one at a time */
static int convert(lua_State *L) {
    static const char *const keys[] = {"progress", NULL};
    mil_error err;
    luamil_progress progress;
    const mil_weights *weights = check_weights(L, 1, "mil.convert");
    const char *path = luamil_check_string(L, 2, "mil.convert", "path", NULL);
    luamil_check_keys(L, 3, "mil.convert", keys);
    lua_settop(L, 3);
    mil_progress *report = luamil_begin_progress(L, 3, "mil.convert", &progress);
    mil_status status = mil_weights_convert(weights, path, report, &progress, &err);
    luamil_end_progress(&progress);
    if (status != MIL_OK) return luamil_raise(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* ---- the class ---- */

static const luaL_Reg meta[] = {
    {"__index", weights_index}, {"__newindex", weights_newindex}, {"__len", weights_len}, {"__tostring", weights_text},
    {"__gc", weights_gc}, {NULL, NULL},
};

void luamil_open_weights(lua_State *L) {
    static const luamil_class cls = {LUAMIL_WEIGHTS, "mil.weights", "weights file", meta, NULL, NULL, NULL};
    luamil_new_class(L, &cls);
    lua_pop(L, 1);
}

const luaL_Reg luamil_weights_functions[] = {
    {"weights", open_weights}, {"names", names}, {"metadata", metadata}, {"stored", stored}, {"quantized", quantized}, {"load_tensor", load_tensor},
    {"save", save}, {"convert", convert}, {NULL, NULL},
};
