/* SPDX-License-Identifier: MIT */
/* A Lua module for the specs: memory that runs out when they say so.
 *
 *     failing.open(path of mil.so [, lua_too])   takes over the library's allocator (and Lua's)
 *     failing.run(n, fn)                         fn() with n more allocations and then none: ok, error, how many were refused
 *     failing.live()                             blocks of the library's that are not freed
 *     failing.close()                            gives the allocators back */
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

typedef void set_allocator_fn(void *(*)(void *, void *, size_t), void *);

static bool is_limited;
static long left, refused, live;
static set_allocator_fn *set_allocator;
static lua_Alloc lua_alloc;
static void *lua_alloc_ctx;

static bool may_allocate(void) {
    if (!is_limited || left-- > 0) return true;
    refused++;
    return false;
}

static void *mil_realloc(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    if (bytes == 0) {
        live -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    if (!may_allocate()) return NULL;
    void *p = realloc(ptr, bytes);
    live += p && !ptr;
    return p;
}

static void *counted_lua_alloc(void *ctx, void *ptr, size_t old, size_t bytes) {
    bool grows = bytes > 0 && (!ptr || bytes > old); /* what shrinks may not fail */
    if (grows && !may_allocate()) return NULL;
    return lua_alloc(ctx, ptr, old, bytes);
}

static int open_it(lua_State *L) {
    void *module = dlopen(luaL_checkstring(L, 1), RTLD_NOW | RTLD_NOLOAD);
    set_allocator = module ? (set_allocator_fn *)(uintptr_t)dlsym(module, "mil_set_allocator") : NULL;
    if (!set_allocator) return luaL_error(L, "no mil_set_allocator in %s", lua_tostring(L, 1));
    set_allocator(mil_realloc, NULL);
    lua_alloc = NULL;
    if (!lua_toboolean(L, 2)) return 0;
    lua_alloc = lua_getallocf(L, &lua_alloc_ctx);
    lua_setallocf(L, counted_lua_alloc, lua_alloc_ctx);
    return 0;
}

static int close_it(lua_State *L) {
    is_limited = false;
    if (set_allocator) set_allocator(NULL, NULL);
    if (lua_alloc) lua_setallocf(L, lua_alloc, lua_alloc_ctx);
    lua_alloc = NULL;
    return 0;
}

static int run(lua_State *L) {
    long n = (long)luaL_checkinteger(L, 1);
    lua_settop(L, 2);
    luaL_checkstack(L, 10, NULL);
    left = n;
    refused = 0;
    is_limited = true;
    bool ok = lua_pcall(L, 0, 0, 0) == 0;
    is_limited = false;
    lua_pushboolean(L, ok);
    if (ok) lua_pushnil(L);
    else lua_pushvalue(L, 2);
    lua_pushinteger(L, refused);
    return 3;
}

static int count_live(lua_State *L) {
    lua_pushinteger(L, live);
    return 1;
}

int luaopen_failing(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"open", open_it}, {"close", close_it}, {"run", run}, {"live", count_live}, {NULL, NULL}};
    Dl_info info;
    if (dladdr((void *)(uintptr_t)&luaopen_failing, &info)) dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
    lua_newtable(L);
    for (const luaL_Reg *r = functions; r->name; r++) {
        lua_pushcfunction(L, r->func);
        lua_setfield(L, -2, r->name);
    }
    return 1;
}
