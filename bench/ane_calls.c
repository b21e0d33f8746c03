/* SPDX-License-Identifier: MIT */
/* For bench/ane.lua: an empty C function, and the framework calls of a run without ours, both called from the same Lua. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>

static int (*again)(void);
static int (*set)(const char *, long);

static int call_nothing(lua_State *L) {
    (void)L;
    return 0;
}

/* The last run's framework calls anew; true where they went well. */
static int call_frameworks(lua_State *L) {
    lua_pushboolean(L, again());
    return 1;
}

/* A switch of the stand-in (standin.h). */
static int set_switch(lua_State *L) {
    if (set(luaL_checkstring(L, 1), (long)luaL_checknumber(L, 2)) != 0) return luaL_error(L, "there is no such switch");
    return 0;
}

int luaopen_ane_calls(lua_State *L) {
    static const luaL_Reg functions[] = {{"nothing", call_nothing}, {"frameworks", call_frameworks}, {"set", set_switch}};
    const char *folder = getenv("MIL_FRAMEWORKS");
    char path[1024];
    snprintf(path, sizeof path, "%s/libobjc.A.so", folder ? folder : "");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return luaL_error(L, "the stand-in can't be opened: %s", dlerror());
    *(void **)&again = dlsym(library, "standin_again");
    *(void **)&set = dlsym(library, "standin_set");
    if (!again || !set) return luaL_error(L, "%s is no stand-in of now", path);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    return 1;
}
