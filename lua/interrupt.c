/* SPDX-License-Identifier: MIT */
/* mil.interrupt: Ctrl-C stops the chunk or the model that runs, and nothing else.
 *
 * The signal's handler may do two things: ask models to stop (mil_lua_cancel), and set a hook in the Lua thread that
 * runs, which raises "interrupted" at its next instruction. Hooks belong to a thread in Lua 5.1 to 5.4, so `running`
 * has to follow every resume: follow() puts functions that do so in place of coroutine.resume and coroutine.wrap. In
 * LuaJIT the hook is one for all, and compiled code does not look at it (the REPL turns the compiler off for chunks).
 * The hook stays until the call has ended: a chunk that catches the error meets it again.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "bind.h"

static lua_State *volatile running; /* NULL: no call is under way */
static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t is_once; /* a second SIGINT ends the process */
static pthread_t owner;             /* the thread that Lua runs in */

static void stop(lua_State *L, lua_Debug *ar) {
    (void)ar;
    luaL_error(L, "interrupted");
}

bool luamil_is_interrupted(void) { return running && interrupted; }

/* Instructions only: a hook on calls would also fire for the message handler, which is to see the error. */
static void arm(lua_State *L) { lua_sethook(L, stop, LUA_MASKCOUNT, 1); }

static void on_signal(int number) {
    if (!pthread_equal(pthread_self(), owner)) {
        pthread_kill(owner, number);
        return;
    }
    if (is_once) signal(number, SIG_DFL);
    interrupted = 1;
    lua_State *L = running;
    if (L) arm(L);
    mil_lua_cancel();
}

/* The message handler of call: the hook must be gone before Lua code looks at the error. */
static int handle(lua_State *L) {
    lua_sethook(L, NULL, 0, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static void handle_signal(struct sigaction *before) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, before);
}

/* call(f, handler, once) is xpcall(f, handler) that SIGINT ends, with the error "interrupted". once: where it does not (in a C
 * function, or in code that LuaJIT compiled), the second one ends the process. */
static int call(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int outer_once = is_once, once = lua_toboolean(L, 3);
    lua_settop(L, 2);
    lua_pushcclosure(L, handle, 1);
    lua_insert(L, 1);
    lua_Hook hook = lua_gethook(L);
    int mask = lua_gethookmask(L), count = lua_gethookcount(L);
    lua_State *outer = running;
    struct sigaction before;
    owner = pthread_self();
    interrupted = 0;
    running = L;
    is_once = once;
    handle_signal(&before);
    int status = lua_pcall(L, 0, LUA_MULTRET, 1);
    sigaction(SIGINT, &before, NULL);
    running = outer;
    is_once = outer_once;
    lua_sethook(L, hook, mask, count);
    interrupted = 0; /* an outer call goes on: this one has given the error to whoever called it */
    lua_pushboolean(L, status == 0);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* guard(f): calls f(); SIGINT outside of `call` does nothing meanwhile, so that one which comes a moment after a chunk has
 * ended does not end the session. */
static int guard(lua_State *L) {
    struct sigaction before;
    lua_settop(L, 1);
    owner = pthread_self();
    handle_signal(&before);
    int status = lua_pcall(L, 0, LUA_MULTRET, 0);
    sigaction(SIGINT, &before, NULL);
    return status == 0 ? lua_gettop(L) : lua_error(L);
}

/* Calls the function below n arguments as Lua thread `co` runs; as lua_call otherwise. */
static void call_in(lua_State *L, lua_State *co, int n) {
    int inside = running != NULL;
    if (inside && co) running = co;
    int status = lua_pcall(L, n, LUA_MULTRET, 0);
    if (inside) running = L;
    if (inside && interrupted) arm(L);
    if (status != 0) lua_error(L);
}

/* coroutine.resume; upvalue: the original */
static int resume(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    call_in(L, lua_tothread(L, 2), lua_gettop(L) - 1);
    return lua_gettop(L);
}

/* What coroutine.wrap gives; upvalues: the original resume, the coroutine, coroutine.close or nil */
static int wrapped(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 2);
    call_in(L, lua_tothread(L, lua_upvalueindex(2)), lua_gettop(L) - 1);
    if (lua_toboolean(L, 1)) return lua_gettop(L) - 1;
    if (!lua_isnil(L, lua_upvalueindex(3))) { /* what it had opened is closed, as coroutine.wrap does */
        lua_pushvalue(L, lua_upvalueindex(3));
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_pcall(L, 1, 0, 0);
    }
    if (lua_type(L, 2) == LUA_TSTRING) { /* as coroutine.wrap does: the place of the call in front */
        luaL_where(L, 1);
        lua_pushvalue(L, 2);
        lua_concat(L, 2);
    } else {
        lua_pushvalue(L, 2);
    }
    return lua_error(L);
}

/* coroutine.wrap; upvalues: the original resume, coroutine.create, coroutine.close or nil */
static int wrap(lua_State *L) {
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_pushcclosure(L, wrapped, 3);
    return 1;
}

/* follow(coroutine): from now on `running` is right inside coroutines too. Once; for the program that owns the state. */
static int follow(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "resume"); /* 2 */
    if (lua_tocfunction(L, 2) == resume) return 0;
    lua_getfield(L, 1, "create"); /* 3 */
    lua_getfield(L, 1, "close");  /* 4: nil before 5.4 */
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 4);
    lua_pushcclosure(L, wrap, 3);
    lua_setfield(L, 1, "wrap");
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, resume, 1);
    lua_setfield(L, 1, "resume");
    return 0;
}

LUAMIL_API int luaopen_mil_interrupt(lua_State *L) {
    static const luaL_Reg functions[] = {{"call", call}, {"guard", guard}, {"follow", follow}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
