/* SPDX-License-Identifier: MIT */
/* luaopen_mil: the table that `require "mil"` gives. */
#include "bind.h"

static void set_functions(lua_State *L, const luaL_Reg *functions) {
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

/* PUC Lua 5.1 alone raises strings; LuaJIT, of the same version, shows objects well. */
static bool is_puc_51(lua_State *L) {
    if (LUA_VERSION_NUM != 501) return false;
    lua_getglobal(L, "jit");
    bool is_puc = lua_isnil(L, -1);
    lua_pop(L, 1);
    return is_puc;
}

LUAMIL_API int luaopen_mil(lua_State *L) {
    luaL_checkstack(L, 20, NULL);
    luamil_state_of(L)->raises_strings = is_puc_51(L);
    luamil_open_errors(L);
    luamil_open_programs(L);
    luamil_open_tensors(L);
    luamil_open_weights(L);
    luamil_open_models(L);
    lua_createtable(L, 0, 48);
    set_functions(L, luamil_program_functions);
    set_functions(L, luamil_tensor_functions);
    set_functions(L, luamil_weights_functions);
    set_functions(L, luamil_model_functions);
    set_functions(L, luamil_reflection);
    lua_pushcfunction(L, luamil_members);
    lua_setfield(L, -2, "members");
    lua_pushcfunction(L, luamil_last_error);
    lua_setfield(L, -2, "last_error");
    lua_pushstring(L, mil_version());
    lua_setfield(L, -2, "version");
    return 1;
}
