/* SPDX-License-Identifier: MIT */
/* An application with a Lua state of its own that offers it `require "mil"`.
 *   cc embed_lua.c $(pkg-config --cflags --libs luamil lua5.4) -o embed_lua && ./embed_lua */
#include <stdio.h>

#include <lauxlib.h>
#include <lualib.h>
#include <luamil.h>

static const char script[] = "local mil = require 'mil'\n"
                             "local f = mil.func()\n"
                             "f:output('y', f:input('x', 'fp32', {3}):square())\n"
                             "local out = f:compile{ engine = 'cpu' }:run{ x = mil.tensor('fp32', {1, 2, 3}) }\n"
                             "print(out.y:get(1), out.y:get(2), out.y:get(3))\n";

int main(void) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_mil);
    lua_setfield(L, -2, "mil");
    lua_pop(L, 2);
    int failed = luaL_loadstring(L, script) || lua_pcall(L, 0, 0, 0);
    if (failed) fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L);
    return failed;
}
