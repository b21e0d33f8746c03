/* SPDX-License-Identifier: MIT */
/* Options of long work that a Lua function can follow: { progress = function(stage, part) ... }. */
#include "bind.h"

/* Calls the function below stage and part; what it raises must not pass through the core. */
static bool report(void *ctx, const char *stage, double part) {
    luamil_progress *self = ctx;
    lua_State *L = self->L;
    if (self->failed) return false;
    lua_pushvalue(L, self->index);
    lua_pushvalue(L, self->index + 1);
    lua_pushlightuserdata(L, (void *)stage);
    lua_pushnumber(L, part);
    if (lua_pcall(L, 3, 1, 0) != 0) {
        self->failed = true;
        lua_replace(L, self->index + 1); /* the error, for luamil_end_progress */
        return false;
    }
    bool goes_on = lua_isnil(L, -1) || lua_toboolean(L, -1);
    lua_pop(L, 1);
    return goes_on;
}

/* (function, stage, part): what could run out of memory happens in here, under pcall */
static int call(lua_State *L) {
    lua_pushstring(L, lua_touserdata(L, 2));
    lua_replace(L, 2);
    lua_call(L, 2, 1);
    return 1;
}

mil_progress *luamil_begin_progress(lua_State *L, int options, const char *fn, luamil_progress *self) {
    luaL_checkstack(L, 12, NULL);
    lua_pushcfunction(L, call);
    *self = (luamil_progress){.L = L, .index = lua_gettop(L)};
    if (luamil_option(L, options, "progress") == LUA_TNIL) return NULL;
    if (!lua_isfunction(L, -1))
        luamil_fail(L, MIL_EINVAL, "%s: progress is a function, but was given %s", fn, LUAMIL_WHAT(L, lua_gettop(L)));
    return report;
}

void luamil_end_progress(const luamil_progress *self) {
    if (!self->failed) return;
    lua_pushvalue(self->L, self->index + 1);
    lua_error(self->L);
}
