/* SPDX-License-Identifier: MIT */
/* luaopen_mil: the table that `require "mil"` gives. */
#include <dlfcn.h>

#include "bind.h"

static void set_functions(lua_State *L, const luaL_Reg *functions) {
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

static bool is_luajit(lua_State *L) {
    lua_getglobal(L, "jit");
    bool is_table = lua_istable(L, -1);
    lua_pop(L, 1);
    return LUA_VERSION_NUM == 501 && is_table;
}

/* LuaJIT's lua_close unloads modules before it ends objects that finalisers made in the meantime: ours stays. */
static void stay_loaded(void) {
    Dl_info info;
    if (dladdr((void *)(uintptr_t)&luaopen_mil, &info) && info.dli_fname) dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

LUAMIL_API int luaopen_mil(lua_State *L) {
    luaL_checkstack(L, 20, NULL);
    if (is_luajit(L)) stay_loaded();
    else luamil_state_of(L)->raises_strings = LUA_VERSION_NUM == 501; /* LuaJIT shows error objects well */
    luamil_open_errors(L);
    luamil_open_programs(L);
    luamil_open_dims(L);
    luamil_open_tensors(L);
    luamil_open_weights(L);
    luamil_open_models(L);
    lua_createtable(L, 0, 48);
    set_functions(L, luamil_program_functions);
    set_functions(L, luamil_rule_functions);
    set_functions(L, luamil_dim_functions);
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
