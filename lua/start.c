/* SPDX-License-Identifier: MIT */
/* model:start, and the handle that it gives: a run on a thread of the library's. */
#include <math.h>
#include <string.h>

#include "bind.h"

typedef struct luamil_handle {
    mil_run *run;             /* NULL once the result is taken, or collected */
    mil_model *model;         /* retained; NULL once collected */
} luamil_handle;

/* In the table of runs that mil.cancel stops until here. */
static void ended(void *slot, mil_run *run) {
    (void)run;
    luamil_leave_run((int)(intptr_t)slot);
}

/* model:start(inputs [, { state = }]): a handle */
int luamil_start(lua_State *L) {
    mil_error err;
    mil_model *model = luamil_check_model(L, 1, "start");
    lua_settop(L, 3);
    mil_state *state = luamil_option_state(L, 3, "start");
    luamil_handle *self = luamil_new_plain(L, sizeof *self);
    *self = (luamil_handle){NULL, NULL};
    luamil_set_class(L, LUAMIL_RUN);
    mil_tensor **in = luamil_new_plain(L, (mil_model_n_inputs(model) + 1) * sizeof *in);
    int first = lua_gettop(L) + 1;
    luamil_read_inputs(L, model, 2, "start");
    luamil_settle_inputs(L, first, mil_model_n_inputs(model), in);
    int slot = luamil_enter_run(model);
    mil_status status = mil_model_start(model, in, NULL, state, ended, (void *)(intptr_t)slot, &self->run, &err);
    if (status != MIL_OK) {
        luamil_leave_run(slot);
        return luamil_raise(L, &err);
    }
    self->model = mil_model_retain(model);
    lua_settop(L, 4);
    return 1;
}

static luamil_handle *check_handle(lua_State *L, const char *fn) {
    luamil_handle *self = luamil_check(L, 1, LUAMIL_RUN, fn);
    if (!self->run) luamil_fail(L, MIL_ESTATE, "%s: the run's result has been taken", fn);
    return self;
}

/* h:done() */
static int done(lua_State *L) {
    lua_pushboolean(L, mil_run_is_done(check_handle(L, "done")->run));
    return 1;
}

/* h:wait([seconds]): true; false when the time was over first */
static int wait(lua_State *L) {
    luamil_handle *self = check_handle(L, "wait");
    double seconds = lua_isnoneornil(L, 2) ? INFINITY : luamil_check_number(L, 2, "wait", "seconds");
    lua_pushboolean(L, mil_run_wait(self->run, seconds >= 0 ? seconds : 0));
    return 1;
}

/* h:cancel() */
static int cancel(lua_State *L) {
    mil_run_cancel(check_handle(L, "cancel")->run);
    lua_settop(L, 1);
    return 1;
}

static int handle_free(lua_State *L) {
    luamil_handle *self = lua_touserdata(L, 1), held = *self;
    *self = (luamil_handle){NULL, NULL};
    mil_run_free(held.run);
    mil_model_free(held.model);
    return 0;
}

/* h:result(): waits, and gives the outputs as run does; once. */
static int result(lua_State *L) {
    mil_error err;
    luamil_handle *self = check_handle(L, "result");
    size_t bytes = 0, n = mil_model_n_outputs(self->model);
    luamil_tensor **made = luamil_new_plain(L, (n + 1) * sizeof *made);
    mil_tensor **out = luamil_new_plain(L, (n + 1) * sizeof *out);
    luamil_new_outputs(L, self->model, made);
    mil_status status = mil_run_result(check_handle(L, "result")->run, out, &err);
    for (size_t i = 0; i < n && status == MIL_OK; i++) {
        made[i]->tensor = out[i];
        bytes += mil_tensor_bytes(out[i]);
    }
    mil_run_free(self->run);
    self->run = NULL;
    if (status != MIL_OK) return luamil_raise(L, &err);
    luamil_dress_outputs(L, self->model);
    luamil_account(L, bytes);
    return 1;
}

static int handle_text(lua_State *L) {
    luamil_handle *self = lua_touserdata(L, 1);
    lua_pushstring(L, !self->run ? "a run (taken)" : mil_run_is_done(self->run) ? "a run (done)" : "a run (under way)");
    return 1;
}

/* h:await(): the result; a coroutine yields the handle until it is there. In Lua, since C can't be yielded across in all Luas. */
static const char await[] =
    "local running, yield = coroutine.running, coroutine.yield\n"
    "return function(run)\n"
    "  local thread, is_main = running()\n"
    "  while thread and not is_main and not run:done() do yield(run) end\n"
    "  return run:result()\n"
    "end\n";

/* ---- the class ---- */

static const luaL_Reg handle_meta[] = {{"__tostring", handle_text}, {"__gc", handle_free}, {"__close", handle_free}, {NULL, NULL}};
static const luaL_Reg handle_methods[] = {{"done", done}, {"wait", wait}, {"cancel", cancel}, {"result", result}, {NULL, NULL}};

void luamil_open_runs(lua_State *L) {
    static const luamil_class handles = {LUAMIL_RUN, "mil.run", "run", handle_meta, handle_methods, NULL, NULL};
    luamil_new_class(L, &handles);
    if (luaL_loadbuffer(L, await, sizeof await - 1, "=mil.await") != 0) lua_error(L);
    lua_call(L, 0, 1);
    lua_setfield(L, -2, "await");
    lua_pop(L, 1);
}
