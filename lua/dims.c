/* SPDX-License-Identifier: MIT */
/* Shapes with symbols: mil.dim, mil.shapes, and the shapes that inputs are given. */
#include <stdio.h>
#include <string.h>

#include "bind.h"

static const char dim_key, shapes_key; /* metatables of mil.dim and mil.shapes */

/* mil.dim(name, {min, max, default}) */
static int dim(lua_State *L) {
    static const char *const keys[] = {"min", "max", "default", NULL};
    luamil_check_string(L, 1, "mil.dim", "name", NULL);
    luamil_check_keys(L, 2, "mil.dim", keys);
    lua_settop(L, 2);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, 1);
    lua_setfield(L, 3, "name");
    for (const char *const *key = keys; *key; key++) {
        if (luamil_option(L, 2, *key) != LUA_TNIL) luamil_check_int(L, -1, "mil.dim", *key);
        lua_setfield(L, 3, *key);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &dim_key);
    lua_setmetatable(L, 3);
    return 1;
}

static int dim_text(lua_State *L) {
    lua_getfield(L, 1, "name");
    return 1;
}

/* mil.shapes { shape, shape, ... } : one of several. Each axis that differs becomes a symbol between the smallest and the
 * largest of its sizes; luamil_give_shapes says which belong together. */
static int shapes(lua_State *L) {
    int64_t shape[MIL_MAX_RANK];
    if (!lua_istable(L, 1) || lua_rawlen(L, 1) == 0)
        return luamil_fail(L, MIL_EINVAL, "mil.shapes: takes a list of shapes, but was given %s", LUAMIL_WHAT(L, 1));
    int rank = -1;
    for (size_t i = 1; i <= lua_rawlen(L, 1); i++) {
        lua_rawgeti(L, 1, (int)i);
        int n = luamil_check_shape(L, lua_gettop(L), "mil.shapes", shape);
        if (rank >= 0 && n != rank) return luamil_fail(L, MIL_ETYPE, "mil.shapes: all must have one rank");
        rank = n;
        lua_pop(L, 1);
    }
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &shapes_key);
    lua_setmetatable(L, 1);
    return 1;
}

static bool has_metatable(lua_State *L, int index, const void *key) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static mil_dim make_symbol(lua_State *L, luamil_program *owner, const mil_symbol *symbol) {
    mil_error err;
    mil_dim out = 0;
    if (mil_program_symbol(owner->program, symbol, &out, &err) != MIL_OK) luamil_raise(L, &err);
    return out;
}

static int64_t dim_field(lua_State *L, const char *key, int64_t standard) {
    int64_t value = standard;
    lua_getfield(L, -1, key);
    if (!lua_isnil(L, -1)) value = luamil_check_int(L, -1, "mil.dim", key);
    lua_pop(L, 1);
    return value;
}

/* The size on top of the stack: a number, a name, "?", or a mil.dim. */
static mil_dim read_dim(lua_State *L, luamil_program *owner, const char *fn) {
    int64_t size = 0;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *name = lua_tostring(L, -1);
        return make_symbol(L, owner, &(mil_symbol){strcmp(name, "?") ? name : NULL, 0, -1, 0});
    }
    if (has_metatable(L, lua_gettop(L), &dim_key)) {
        lua_getfield(L, -1, "name");
        mil_symbol symbol = {lua_tostring(L, -1), 0, -1, 0};
        lua_pop(L, 1); /* the table holds it */
        symbol.min = dim_field(L, "min", 0);
        symbol.max = dim_field(L, "max", -1);
        symbol.standard = dim_field(L, "default", 0);
        return make_symbol(L, owner, &symbol);
    }
    if (!luamil_to_int(L, -1, &size) || size < 0)
        luamil_fail(L, MIL_EINVAL, "%s: a size is a number from 0, or where it may vary a name or a mil.dim, but was given %s",
                    fn, LUAMIL_WHAT(L, -1));
    return size;
}

static int read_shapes(lua_State *L, int index, luamil_program *owner, const char *input, mil_dim out[MIL_MAX_RANK]) {
    int64_t shape[MIL_MAX_RANK], least[MIL_MAX_RANK] = {0}, most[MIL_MAX_RANK] = {0}, first[MIL_MAX_RANK] = {0};
    int rank = 0;
    for (size_t i = 1; i <= lua_rawlen(L, index); i++) {
        lua_rawgeti(L, index, (int)i);
        rank = luamil_check_shape(L, lua_gettop(L), "input", shape);
        lua_pop(L, 1);
        for (int k = 0; k < rank; k++) {
            if (i == 1) first[k] = least[k] = most[k] = shape[k];
            if (shape[k] < least[k]) least[k] = shape[k];
            if (shape[k] > most[k]) most[k] = shape[k];
        }
    }
    for (int k = 0; k < rank; k++) {
        char name[160];
        snprintf(name, sizeof name, "%.120s_%d", input, k);
        out[k] = least[k] == most[k] ? first[k] : make_symbol(L, owner, &(mil_symbol){name, least[k], most[k], first[k]});
    }
    return rank;
}

void luamil_give_shapes(lua_State *L, int index, luamil_program *owner, mil_value input) {
    mil_error err;
    if (!has_metatable(L, index, &shapes_key)) return;
    size_t n = lua_rawlen(L, index);
    int64_t *shapes = luamil_new_plain(L, n * MIL_MAX_RANK * sizeof *shapes), *at = shapes;
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, index, (int)i);
        at += luamil_check_shape(L, lua_gettop(L), "input", at);
        lua_pop(L, 1);
    }
    luamil_check_status(L, mil_program_input_shapes(owner->program, input, n, shapes, &err), &err);
    lua_pop(L, 1);
}

int luamil_read_dims(lua_State *L, int index, luamil_program *owner, const char *fn, const char *input,
                     mil_dim out[MIL_MAX_RANK]) {
    if (has_metatable(L, index, &shapes_key)) return read_shapes(L, index, owner, input, out);
    if (!lua_istable(L, index))
        luamil_fail(L, MIL_EINVAL, "%s %s: a shape is a list of sizes, but was given %s", fn, input, LUAMIL_WHAT(L, index));
    size_t rank = lua_rawlen(L, index);
    if (rank > MIL_MAX_RANK)
        luamil_fail(L, MIL_ETYPE, "%s %s: rank %d; at most %d is possible", fn, input, (int)rank, MIL_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        out[i] = read_dim(L, owner, fn);
        lua_pop(L, 1);
    }
    return (int)rank;
}

static void new_metatable(lua_State *L, const void *key, lua_CFunction text) {
    lua_createtable(L, 0, 1);
    if (text) {
        lua_pushcfunction(L, text);
        lua_setfield(L, -2, "__tostring");
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void luamil_open_dims(lua_State *L) {
    new_metatable(L, &dim_key, dim_text);
    new_metatable(L, &shapes_key, NULL);
}

const luaL_Reg luamil_dim_functions[] = {{"dim", dim}, {"shapes", shapes}, {NULL, NULL}};
