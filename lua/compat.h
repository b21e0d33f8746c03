/* SPDX-License-Identifier: MIT */
/* Every difference between Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT that the binding meets. */
#ifndef LUAMIL_COMPAT_H
#define LUAMIL_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdbool.h>
#include <stdint.h>

#if LUA_VERSION_NUM < 502

#define lua_rawlen(L, index) lua_objlen((L), (index))

static inline int lua_absindex(lua_State *L, int index) {
    return index > 0 || index <= LUA_REGISTRYINDEX ? index : lua_gettop(L) + index + 1;
}

static inline void lua_rawgetp(lua_State *L, int index, const void *key) {
    index = lua_absindex(L, index);
    lua_pushlightuserdata(L, (void *)key);
    lua_rawget(L, index);
}

static inline void lua_rawsetp(lua_State *L, int index, const void *key) {
    index = lua_absindex(L, index);
    lua_pushlightuserdata(L, (void *)key);
    lua_insert(L, -2);
    lua_rawset(L, index);
}

#undef luaL_newlib
static inline void luaL_newlib(lua_State *L, const luaL_Reg *functions) {
    lua_newtable(L);
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

/* A userdata's own table: what it keeps alive. */
static inline void luamil_set_keep(lua_State *L, int index) { lua_setfenv(L, index); }
static inline void luamil_get_keep(lua_State *L, int index) { lua_getfenv(L, index); }

#elif LUA_VERSION_NUM < 504

static inline void luamil_set_keep(lua_State *L, int index) { lua_setuservalue(L, index); }
static inline void luamil_get_keep(lua_State *L, int index) { lua_getuservalue(L, index); }

#else

static inline void luamil_set_keep(lua_State *L, int index) { lua_setiuservalue(L, index, 1); }
static inline void luamil_get_keep(lua_State *L, int index) { lua_getiuservalue(L, index, 1); }

#endif

static inline bool luamil_collector_runs(lua_State *L) {
#if LUA_VERSION_NUM >= 502
    return lua_gc(L, LUA_GCISRUNNING, 0) == 1;
#else
    (void)L;
    return true; /* not to be asked; a step starts it again */
#endif
}

/* A whole cycle, if the collector is generational (the mode of Lua 5.4's own program): there a step visits young objects
 * only, however much memory it is told of. There is no way to ask for the mode but to set it. */
static inline void luamil_collect_old(lua_State *L) {
#if LUA_VERSION_NUM >= 504
    if (lua_gc(L, LUA_GCINC, 0, 0, 0) != LUA_GCGEN) return;
    lua_gc(L, LUA_GCCOLLECT, 0);
    lua_gc(L, LUA_GCGEN, 0, 0);
#else
    (void)L;
#endif
}

/* Userdata with room for one kept table, or with none. */
static inline void *luamil_new_keeping(lua_State *L, size_t bytes) { return lua_newuserdata(L, bytes); }
static inline void *luamil_new_plain(lua_State *L, size_t bytes) {
#if LUA_VERSION_NUM >= 504
    return lua_newuserdatauv(L, bytes, 0);
#else
    return lua_newuserdata(L, bytes);
#endif
}

#define LUAMIL_EXACT 9007199254740992.0 /* 2^53: up to here doubles are exact integers */

/* Is the number at index one that Lua writes as an integer? Where Lua has no integers: any whole one up to 2^53. */
static inline bool luamil_is_int(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 503
    return lua_isinteger(L, index);
#else
    lua_Number n = lua_tonumber(L, index);
    return n >= -LUAMIL_EXACT && n <= LUAMIL_EXACT && n == (lua_Number)(int64_t)n;
#endif
}

/* The whole number at index, of either subtype. False where it is no number, not whole, or does not fit. */
static inline bool luamil_to_int(lua_State *L, int index, int64_t *out) {
    if (lua_type(L, index) != LUA_TNUMBER) return false;
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, index)) {
        *out = (int64_t)lua_tointeger(L, index);
        return true;
    }
#endif
    lua_Number n = lua_tonumber(L, index);
    if (!(n >= -9223372036854775808.0 && n < 9223372036854775808.0) || n != (lua_Number)(int64_t)n) return false;
    *out = (int64_t)n;
    return true;
}

/* Pushes a 64-bit integer; false (nothing pushed) where this Lua can't hold it exactly. */
static inline bool luamil_push_int(lua_State *L, int64_t value) {
#if LUA_VERSION_NUM >= 503
    lua_pushinteger(L, (lua_Integer)value);
#else
    if (value > (int64_t)LUAMIL_EXACT || value < -(int64_t)LUAMIL_EXACT) return false;
    lua_pushnumber(L, (lua_Number)value);
#endif
    return true;
}

#endif
