/* SPDX-License-Identifier: MIT */
/* Dictionaries: what a classifier says of each of its labels. d["cat"] is a number; a label goes before a method's name. */
#include <stdio.h>
#include <string.h>

#include "bind.h"

typedef struct luamil_dictionary {
    mil_tensor *keys, *values; /* retained; NULL once collected */
} luamil_dictionary;

static luamil_dictionary *check_dictionary(lua_State *L, const char *fn) {
    luamil_dictionary *self = luamil_check(L, 1, LUAMIL_DICTIONARY, fn);
    if (!self->keys) luamil_fail(L, MIL_ESTATE, "%s: the dictionary has been collected", fn);
    return self;
}

static void push_key(lua_State *L, const mil_tensor *keys, int64_t i) {
    size_t length;
    if (mil_tensor_dtype(keys) == MIL_STRING) {
        const char *text = mil_tensor_string(keys, i, &length);
        lua_pushlstring(L, text, length);
    } else {
        int64_t key = ((const int64_t *)mil_tensor_data(keys))[i];
        if (!luamil_push_int(L, key)) lua_pushnumber(L, (lua_Number)key);
    }
}

static void push_number(lua_State *L, const mil_tensor *values, int64_t i) {
    lua_pushnumber(L, ((const float *)mil_tensor_data(values))[i]);
}

/* The place of the label at stack index 2; -1: there is none. */
static int64_t find_key(lua_State *L, const mil_tensor *keys) {
    int64_t n = mil_tensor_numel(keys);
    size_t wanted_length, length;
    if (mil_tensor_dtype(keys) != MIL_STRING) {
        lua_Number wanted = lua_tonumber(L, 2);
        const int64_t *data = mil_tensor_data(keys);
        for (int64_t i = 0; i < n && lua_type(L, 2) == LUA_TNUMBER; i++)
            if ((lua_Number)data[i] == wanted) return i;
        return -1;
    }
    const char *wanted = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &wanted_length) : NULL;
    for (int64_t i = 0; wanted && i < n; i++) {
        const char *text = mil_tensor_string(keys, i, &length);
        if (length == wanted_length && memcmp(text, wanted, length) == 0) return i;
    }
    return -1;
}

static int dictionary_index(lua_State *L) {
    const luamil_dictionary *self = check_dictionary(L, "dictionary");
    int64_t found = find_key(L, self->keys);
    if (found >= 0) return push_number(L, self->values, found), 1;
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1)); /* a method */
    if (!lua_isnil(L, -1)) return 1;
    return luamil_fail(L, MIL_ENAME, "the dictionary has no label %s", LUAMIL_WHAT(L, 2));
}

/* d:topk(n): the n largest, as a list of {label = , value = } */
static int dictionary_topk(lua_State *L) {
    const luamil_dictionary *self = check_dictionary(L, "topk");
    lua_settop(L, 2);
    luamil_tensor *values = luamil_new_tensor(L);
    values->tensor = mil_tensor_retain(self->values);
    lua_getfield(L, 3, "topk");
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    for (int i = 1, n = (int)lua_rawlen(L, 4); i <= n; i++) {
        lua_rawgeti(L, 4, i);
        lua_getfield(L, -1, "index");
        push_key(L, self->keys, (int64_t)lua_tointeger(L, -1) - 1);
        lua_setfield(L, -3, "label");
        lua_pop(L, 2);
    }
    return 1;
}

/* d:labels(): a list, in the model's order */
static int dictionary_labels(lua_State *L) {
    const luamil_dictionary *self = check_dictionary(L, "labels");
    int n = (int)mil_tensor_numel(self->keys);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        push_key(L, self->keys, i);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* d:tensor(): the numbers, in the order of the labels */
static int dictionary_tensor(lua_State *L) {
    const luamil_dictionary *self = check_dictionary(L, "tensor");
    luamil_tensor *made = luamil_new_tensor(L);
    made->tensor = mil_tensor_retain(self->values);
    return 1;
}

static int dictionary_len(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)mil_tensor_numel(check_dictionary(L, "dictionary")->keys));
    return 1;
}

static int dictionary_gc(lua_State *L) {
    luamil_dictionary *self = lua_touserdata(L, 1);
    mil_tensor *keys = self->keys, *values = self->values;
    *self = (luamil_dictionary){NULL, NULL};
    mil_tensor_free(keys);
    mil_tensor_free(values);
    return 0;
}

/* Of a label as it is shown: its bytes, cut before a character that would not be whole, and its columns, a character each. */
static int shown_columns(const char *label, int *bytes) {
    enum { MOST = 120 };
    int n = 0, columns = 0;
    for (; label[n] && (n < MOST || ((unsigned char)label[n] & 0xc0) == 0x80); n++) columns += ((unsigned char)label[n] & 0xc0) != 0x80;
    *bytes = n;
    return columns;
}

/* "dictionary of 1000 labels", and the largest, a line each */
static int dictionary_text(lua_State *L) {
    const luamil_dictionary *self = lua_touserdata(L, 1);
    if (!self->keys) return lua_pushliteral(L, "(a collected dictionary)"), 1;
    luaL_Buffer b;
    lua_settop(L, 1);
    lua_pushcfunction(L, dictionary_topk);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    luaL_buffinit(L, &b);
    char line[160];
    snprintf(line, sizeof line, "dictionary of %lld labels", (long long)mil_tensor_numel(self->keys));
    luaL_addstring(&b, line);
    for (int i = 1, n = (int)lua_rawlen(L, 2); i <= n; i++) {
        lua_rawgeti(L, 2, i);
        lua_getfield(L, -1, "label");
        lua_getfield(L, -2, "value");
        int bytes, columns = shown_columns(lua_tostring(L, -2), &bytes), blanks = columns < 30 ? 31 - columns : 1;
        snprintf(line, sizeof line, "\n  %.*s%*s%.4g", bytes, lua_tostring(L, -2), blanks, "", (double)lua_tonumber(L, -1));
        lua_pop(L, 3);
        luaL_addstring(&b, line);
    }
    luaL_pushresult(&b);
    return 1;
}

/* Puts a label or dictionary in the place of the tensor on top of the stack, if the port is of one. */
void luamil_dress_output(lua_State *L, const mil_port *port) {
    const luamil_tensor *made = lua_touserdata(L, -1);
    if (port->is_label) {
        push_key(L, made->tensor, 0);
        lua_remove(L, -2);
    } else if (port->keys) {
        luamil_dictionary *self = luamil_new_plain(L, sizeof *self);
        *self = (luamil_dictionary){NULL, NULL};
        luamil_set_class(L, LUAMIL_DICTIONARY);
        self->keys = mil_tensor_retain((mil_tensor *)(uintptr_t)port->keys);
        self->values = mil_tensor_retain(made->tensor);
        lua_remove(L, -2);
    }
}

void luamil_dress_outputs(lua_State *L, const mil_model *model) {
    for (size_t i = 0; i < mil_model_n_outputs(model); i++) {
        const mil_port *port = mil_model_output(model, i);
        if (!port->is_label && !port->keys) continue;
        lua_getfield(L, -1, port->name);
        luamil_dress_output(L, port);
        lua_setfield(L, -2, port->name);
    }
}

static const luaL_Reg meta[] = {{"__index", dictionary_index}, {"__len", dictionary_len}, {"__tostring", dictionary_text},
                                {"__gc", dictionary_gc}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"topk", dictionary_topk}, {"labels", dictionary_labels}, {"tensor", dictionary_tensor}, {NULL, NULL}};

void luamil_open_dictionaries(lua_State *L) {
    static const luamil_class cls = {LUAMIL_DICTIONARY, "mil.dictionary", "dictionary", meta, methods, NULL, NULL};
    luamil_new_class(L, &cls);
    lua_pop(L, 1);
}
