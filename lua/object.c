/* SPDX-License-Identifier: MIT */
/* Objects: the one way in which C structs become Lua values. A metatable a kind; its entry [1] is the address of the
 * kind's key, which Lua code cannot make, so that one raw look-up says what a userdata is. */
#include <stdio.h>
#include <string.h>

#include "bind.h"

static const char keys[LUAMIL_N_KINDS]; /* their addresses matter */
static const char state_key;

/* ---- kinds ---- */

luamil_kind luamil_kind_of(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return LUAMIL_NONE;
    lua_rawgeti(L, -1, 1);
    uintptr_t key = (uintptr_t)lua_touserdata(L, -1), first = (uintptr_t)keys;
    lua_pop(L, 2);
    return key > first && key < first + LUAMIL_N_KINDS ? (luamil_kind)(key - first) : LUAMIL_NONE;
}

void *luamil_test(lua_State *L, int index, luamil_kind kind) {
    return luamil_kind_of(L, index) == kind ? lua_touserdata(L, index) : NULL;
}

void luamil_push_metatable(lua_State *L, luamil_kind kind) { lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[kind]); }

void luamil_set_class(lua_State *L, luamil_kind kind) {
    luamil_push_metatable(L, kind);
    lua_setmetatable(L, -2);
}

static const char *article(const char *noun) { return strchr("aeiou", noun[0]) ? "an" : "a"; }

static const luamil_class *class_of(lua_State *L, luamil_kind kind) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[kind]);
    lua_rawgeti(L, -1, 2);
    const luamil_class *cls = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return cls;
}

void *luamil_check(lua_State *L, int index, luamil_kind kind, const char *fn) {
    void *object = luamil_test(L, index, kind);
    if (!object)
        luamil_fail(L, MIL_EINVAL, "%s: takes %s %s, but was given %s", fn, article(class_of(L, kind)->noun),
                    class_of(L, kind)->noun, LUAMIL_WHAT(L, index));
    return object;
}

/* ---- what stands there, in words ---- */

static int tensor_type(const mil_tensor *tensor, char *buf, size_t n) {
    int used = snprintf(buf, n, "%s[", mil_dtype_name(mil_tensor_dtype(tensor)));
    for (int i = 0; i < mil_tensor_rank(tensor) && (size_t)used < n; i++)
        used += snprintf(buf + used, n - (size_t)used, "%s%lld", i ? ", " : "", (long long)mil_tensor_shape(tensor)[i]);
    if ((size_t)used < n) used += snprintf(buf + used, n - (size_t)used, "]");
    return used;
}

static void object_text(lua_State *L, int index, luamil_kind kind, char *buf, size_t n) {
    const char *noun = class_of(L, kind)->noun;
    int used = snprintf(buf, n, "%s %s", article(noun), noun);
    if (kind == LUAMIL_TENSOR) {
        const luamil_tensor *t = lua_touserdata(L, index);
        if (!t->tensor) snprintf(buf, n, "a freed tensor");
        else tensor_type(t->tensor, buf + used + snprintf(buf + used, n - (size_t)used, " "), n - (size_t)used - 1);
    } else if (kind == LUAMIL_VALUE) {
        const luamil_value *v = lua_touserdata(L, index);
        const mil_type *type = v->owner->program ? mil_value_type(v->owner->program, v->id) : NULL;
        const char *name = type ? mil_value_name(v->owner->program, v->id) : NULL;
        if (!type) return;
        used += snprintf(buf + used, n - (size_t)used, " %s ", name ? name : "?");
        if ((size_t)used < n) mil_program_type_text(v->owner->program, type, buf + used, n - (size_t)used);
    }
}

const char *luamil_what(lua_State *L, int index, char *buf, size_t n) {
    luamil_kind kind = luamil_kind_of(L, index);
    if (kind != LUAMIL_NONE) {
        object_text(L, index, kind, buf, n);
        return buf;
    }
    switch (lua_type(L, index)) {
    case LUA_TNONE: return "nothing";
    case LUA_TNIL: return "nil";
    case LUA_TBOOLEAN: return lua_toboolean(L, index) ? "true" : "false";
    case LUA_TSTRING: snprintf(buf, n, "\"%.80s\"", lua_tostring(L, index)); return buf;
    case LUA_TNUMBER: snprintf(buf, n, "%.14g", (double)lua_tonumber(L, index)); return buf;
    default: snprintf(buf, n, "a %s", luaL_typename(L, index)); return buf;
    }
}

/* ---- fields and methods ---- */

/* What people look for in one kind of object and is of another. */
static const char *of_another(luamil_kind kind, const char *name) {
    static const struct {
        luamil_kind kind;
        const char *name, *instead;
    } rows[] = {
        {LUAMIL_VALUE, "set", "v.operation:set(parameter, value)"}, {LUAMIL_VALUE, "rename", "f:rename(v, name)"},
        {LUAMIL_VALUE, "remove", "v.operation:remove()"},           {LUAMIL_VALUE, "before", "v.operation:before(fn)"},
        {LUAMIL_VALUE, "after", "v.operation:after(fn)"},           {LUAMIL_OPERATION, "rename", "f:rename(o.outputs[1], name)"},
        {LUAMIL_OPERATION, "replace", "o.outputs[1]:replace(v)"},   {LUAMIL_OPERATION, "uses", "o.outputs[1]:uses()"},
        {LUAMIL_PROGRAM, "input", "p:func(name):input(..)"},        {LUAMIL_PROGRAM, "inputs", "p.entry.inputs"},
        {LUAMIL_PROGRAM, "outputs", "p.entry.outputs"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == kind && strcmp(rows[i].name, name) == 0) return rows[i].instead;
    return NULL;
}

/* The nearer of two names, each of which may be NULL. */
static const char *nearest_of(const char *name, const char *a, const char *b) {
    const char *const both[] = {a, b};
    return a && b ? mil_nearest(name, both, 2) : a ? a : b;
}

static int no_field(lua_State *L, const luamil_class *cls) {
    if (lua_type(L, 2) != LUA_TSTRING)
        return luamil_fail(L, MIL_ENAME, "%s %s has no field %s", article(cls->noun), cls->noun, LUAMIL_WHAT(L, 2));
    const char *name = lua_tostring(L, 2), *near = NULL;
    size_t n = 0;
    bool has_ops = cls->kind == LUAMIL_VALUE || cls->kind == LUAMIL_FUNCTION;
    const mil_op *op = has_ops ? mil_op_elsewhere(name) : NULL;
    const char *instead = of_another(cls->kind, name);
    if (instead) return luamil_fail(L, MIL_ENAME, "%s %s has no \"%s\"; it is %s", article(cls->noun), cls->noun, name, instead);
    while (cls->fields && cls->fields[n]) n++;
    if (op) near = mil_op_name(op);
    if (!near) near = nearest_of(name, n ? mil_nearest(name, cls->fields, n) : NULL, luamil_nearest_key(L, lua_upvalueindex(1), name));
    return near ? luamil_fail(L, MIL_ENAME, "%s %s has no \"%.80s\"; did you mean %s?", article(cls->noun), cls->noun, name, near)
                : luamil_fail(L, MIL_ENAME, "%s %s has no \"%.80s\"", article(cls->noun), cls->noun, name);
}

/* Upvalues: the table of methods, the class. */
int luamil_index(lua_State *L) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1)) return 1;
    const luamil_class *cls = lua_touserdata(L, lua_upvalueindex(2));
    if (cls->field && lua_type(L, 2) == LUA_TSTRING && cls->field(L, lua_tostring(L, 2))) return 1;
    return no_field(L, cls);
}

/* A field is what the object says of itself; it is changed by a method, where it can be. */
static int luamil_newindex(lua_State *L) {
    const luamil_class *cls = lua_touserdata(L, lua_upvalueindex(1));
    if (lua_type(L, 2) != LUA_TSTRING)
        return luamil_fail(L, MIL_ESTATE, "%s %s has no field that can be set, but %s was", article(cls->noun), cls->noun, LUAMIL_WHAT(L, 2));
    if (cls->kind == LUAMIL_VALUE && strcmp(lua_tostring(L, 2), "name") == 0)
        return luamil_fail(L, MIL_ESTATE, "a value's name is set by f:rename(value, name)");
    return luamil_fail(L, MIL_ESTATE, "%s %s has no field that can be set, but \"%.80s\" was", article(cls->noun), cls->noun, lua_tostring(L, 2));
}

void luamil_set_methods(lua_State *L, const luaL_Reg *functions) {
    for (; functions && functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

/* meta may have an __index of its own: it gets the same upvalues. */
void luamil_new_class(lua_State *L, const luamil_class *cls) {
    lua_CFunction index = luamil_index;
    lua_newtable(L); /* methods */
    luamil_set_methods(L, cls->methods);
    lua_newtable(L); /* metatable */
    lua_pushlightuserdata(L, (void *)cls);
    lua_pushcclosure(L, luamil_newindex, 1);
    lua_setfield(L, -2, "__newindex"); /* unless meta has its own */
    luamil_set_methods(L, cls->meta);
    for (const luaL_Reg *r = cls->meta; r && r->name; r++)
        if (strcmp(r->name, "__index") == 0) index = r->func;
    lua_pushvalue(L, -2);
    lua_pushlightuserdata(L, (void *)cls);
    lua_pushcclosure(L, index, 2);
    lua_setfield(L, -2, "__index");
    lua_pushlightuserdata(L, (void *)&keys[cls->kind]);
    lua_rawseti(L, -2, 1);
    lua_pushlightuserdata(L, (void *)cls);
    lua_rawseti(L, -2, 2);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, 3);
    lua_pushstring(L, cls->name);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__name");
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &keys[cls->kind]);
}

int luamil_members(lua_State *L) {
    luamil_kind kind = luamil_kind_of(L, 1);
    int n = 0;
    lua_settop(L, 1);
    lua_newtable(L);
    if (kind == LUAMIL_NONE) return 1;
    const luamil_class *cls = class_of(L, kind);
    for (; cls->fields && cls->fields[n]; n++) {
        lua_pushstring(L, cls->fields[n]);
        lua_rawseti(L, 2, n + 1);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[kind]);
    lua_rawgeti(L, -1, 3);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_rawseti(L, 2, ++n);
    }
    lua_settop(L, 2);
    return 1;
}

/* ---- the state ---- */

luamil_state *luamil_state_of(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    luamil_state *state = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (state) return state;
    state = luamil_new_plain(L, sizeof *state);
    memset(state, 0, sizeof *state);
    mil_random_seed(&state->random, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    return state;
}

enum { TELL_FROM = 1 << 18, OLD_FROM = 1 << 26 }; /* bytes worth a step of the collector; a whole cycle, where old objects need one */

/* A cycle costs what Lua's own heap is large: not before as much was allocated unseen. */
static void collect_old(lua_State *L, luamil_state *state, size_t kilobytes) {
    state->unseen_since += kilobytes;
    if (state->unseen_since < OLD_FROM >> 10 || state->unseen_since < (size_t)lua_gc(L, LUA_GCCOUNT, 0)) return;
    state->unseen_since = 0;
    luamil_collect_old(L);
}

void luamil_account(lua_State *L, size_t bytes) {
    luamil_state *state = luamil_state_of(L);
    state->unseen += bytes;
    if (state->unseen < TELL_FROM) return;
    size_t kilobytes = state->unseen >> 10;
    state->unseen = 0;
    if (!luamil_collector_runs(L)) return;
    collect_old(L, state, kilobytes);
    lua_gc(L, LUA_GCSTEP, kilobytes > 1 << 30 ? 1 << 30 : (int)kilobytes);
}

/* ---- text of the core's ---- */

typedef struct owned_text {
    const char *text;
    size_t n;
} owned_text;

static int push_owned(lua_State *L) {
    const owned_text *owned = lua_touserdata(L, 1);
    lua_pushlstring(L, owned->text, owned->n);
    return 1;
}

void luamil_begin_text(lua_State *L) {
    luaL_checkstack(L, 4, NULL);
    lua_pushcfunction(L, push_owned);
}

int luamil_end_text(lua_State *L, char *text, size_t n) {
    owned_text owned = {text, n};
    lua_pushlightuserdata(L, &owned);
    int failed = lua_pcall(L, 1, 1, 0);
    mil_free(text);
    return failed ? lua_error(L) : 1;
}
