/* SPDX-License-Identifier: MIT */
/* The luamil program: a Lua with the module and its Lua files inside. What it does is written in mil.command; bin/luamil
 * does the same under a Lua that is there already. */
#include <stdio.h>
#include <stdlib.h>

#include "compat.h"
#include "luamil.h"

int luaopen_mil_line(lua_State *L);
int luaopen_mil_system(lua_State *L);
int luaopen_mil_interrupt(lua_State *L);
int luaopen_mil_json(lua_State *L);

/* The Lua files, made by tools/embed.sh. */
typedef struct luamil_file {
    const char *name; /* of the module; NULL ends the list */
    const unsigned char *text;
    size_t bytes;
} luamil_file;
extern const luamil_file luamil_files[];

/* package.preload's function for a file; upvalue: the file */
static int load_file(lua_State *L) {
    const luamil_file *file = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    const char *source = lua_pushfstring(L, "=%s", file->name);
    if (luaL_loadbuffer(L, (const char *)file->text, file->bytes, source) != 0) return lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static void preload(lua_State *L) {
    static const luaL_Reg modules[] = {{"mil", luaopen_mil},
                                       {"mil.line", luaopen_mil_line},
                                       {"mil.system", luaopen_mil_system},
                                       {"mil.interrupt", luaopen_mil_interrupt},
                                       {"mil.json", luaopen_mil_json},
                                       {NULL, NULL}};
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    for (const luaL_Reg *m = modules; m->name; m++) {
        lua_pushcfunction(L, m->func);
        lua_setfield(L, -2, m->name);
    }
    for (const luamil_file *file = luamil_files; file->name; file++) {
        lua_pushlightuserdata(L, (void *)file);
        lua_pushcclosure(L, load_file, 1);
        lua_setfield(L, -2, file->name);
    }
    lua_pop(L, 2);
}

/* (argc, argv) -> exit status */
static int run(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    luaL_openlibs(L);
    preload(L);
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mil.command");
    lua_call(L, 1, 1);
    lua_getglobal(L, "arg");
    lua_call(L, 1, 1);
    return 1;
}

int main(int argc, char **argv) {
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("luamil: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    int code = EXIT_FAILURE;
    if (lua_pcall(L, 2, 1, 0) == 0) {
        code = (int)lua_tointeger(L, -1);
    } else {
        if (!lua_isstring(L, -1)) luaL_callmeta(L, -1, "__tostring");
        const char *message = lua_tostring(L, -1);
        fprintf(stderr, "luamil: %s\n", message ? message : "an error that is no string");
    }
    lua_close(L);
    return code;
}
