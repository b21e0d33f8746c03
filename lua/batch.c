/* SPDX-License-Identifier: MIT */
/* model:run_batch: several runs in one call. */
#include "bind.h"

/* The tensors of all rows of inputs at `list`, read into a new table, one after the other: false where one is left out. */
static void read_rows(lua_State *L, mil_model *model, int list, size_t n) {
    size_t n_in = mil_model_n_inputs(model);
    lua_createtable(L, (int)(n * n_in), 0);
    int held = lua_gettop(L);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (int)i + 1);
        luamil_read_inputs(L, model, held + 1, "run_batch");
        for (size_t k = n_in; k > 0; k--) {
            if (lua_isnil(L, -1)) lua_pop(L, 1), lua_pushboolean(L, false);
            lua_rawseti(L, held, (int)(i * n_in + k));
        }
        lua_settop(L, held);
    }
}

/* Nothing that could free them may come between this and the run. */
static void settle_rows(lua_State *L, int held, size_t n, mil_tensor **out) {
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, held, (int)i + 1);
        const luamil_tensor *object = lua_touserdata(L, -1);
        out[i] = object ? object->tensor : NULL;
        lua_pop(L, 1);
    }
}

/* A new table of n tables of tensors that are empty as yet; `made` are they. */
static void make_rows(lua_State *L, const mil_model *model, size_t n, luamil_tensor **made) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_new_outputs(L, model, made + i * mil_model_n_outputs(model));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void dress_rows(lua_State *L, const mil_model *model, size_t n) {
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        luamil_dress_outputs(L, model);
        lua_pop(L, 1);
    }
}

int luamil_run_batch(lua_State *L) {
    mil_error err;
    mil_model *model = luamil_check_model(L, 1, "run_batch");
    lua_settop(L, 2);
    if (!lua_istable(L, 2))
        return luamil_fail(L, MIL_EINVAL, "run_batch: takes a list of tables of inputs by name, but was given %s", LUAMIL_WHAT(L, 2));
    size_t n = lua_rawlen(L, 2), n_in = n * mil_model_n_inputs(model), n_out = n * mil_model_n_outputs(model), bytes = 0;
    read_rows(L, model, 2, n);
    mil_tensor **in = luamil_new_plain(L, (n_in + n_out + 1) * sizeof *in), **out = in + n_in;
    luamil_tensor **made = luamil_new_plain(L, (n_out + 1) * sizeof *made);
    make_rows(L, model, n, made);
    for (size_t i = 0; i < n_out; i++) out[i] = NULL;
    settle_rows(L, 3, n_in, in);
    int slot = luamil_enter_run(model);
    mil_status status = mil_model_run_batch(model, n, in, out, &err);
    luamil_leave_run(slot);
    for (size_t i = 0; i < n_out; i++) {
        made[i]->tensor = out[i];
        if (out[i]) bytes += mil_tensor_bytes(out[i]);
    }
    if (status != MIL_OK) return luamil_raise(L, &err);
    dress_rows(L, model, n);
    luamil_account(L, bytes);
    return 1;
}
