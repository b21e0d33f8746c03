/* SPDX-License-Identifier: MIT */
/* The Lua module for C programs that embed Lua: luaopen_mil, as luaL_requiref and package.preload take it. */
#ifndef LUAMIL_H
#define LUAMIL_H

#include <lua.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the module `mil` in L and leaves it on the stack; returns 1. */
int luaopen_mil(lua_State *L);

/* Asks every run of every model in the process to stop with the error ECANCELLED, as mil.cancel() does. Safe in a signal
 * handler and from any thread. */
void mil_lua_cancel(void);

#ifdef __cplusplus
}
#endif
#endif
