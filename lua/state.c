/* SPDX-License-Identifier: MIT */
/* States: the memory that a model keeps between runs. Its tensors are the memory itself, to be read and written. */
#include <string.h>

#include "bind.h"

typedef struct luamil_model_state {
    mil_state *state;         /* NULL once collected */
    mil_model *model;         /* the state's own, which it retains */
} luamil_model_state;

static luamil_model_state *push_state(lua_State *L, mil_model *model) {
    luamil_model_state *self = luamil_new_plain(L, sizeof *self);
    *self = (luamil_model_state){NULL, model};
    luamil_set_class(L, LUAMIL_STATE);
    return self;
}

static int made(lua_State *L, const luamil_model_state *self) {
    size_t bytes = 0;
    for (size_t i = 0; i < mil_model_n_states(self->model); i++) bytes += mil_tensor_bytes(mil_state_tensor(self->state, i));
    luamil_account(L, bytes);
    return 1;
}

/* model:state(): zeros */
int luamil_make_state(lua_State *L) {
    mil_error err;
    mil_model *model = luamil_check_model(L, 1, "state");
    luamil_model_state *self = push_state(L, model);
    if (mil_state_new(model, &self->state, &err) != MIL_OK) return luamil_raise(L, &err);
    return made(L, self);
}

static luamil_model_state *check_state(lua_State *L, int index, const char *fn) {
    luamil_model_state *self = luamil_check(L, index, LUAMIL_STATE, fn);
    if (!self->state) luamil_fail(L, MIL_ESTATE, "%s: the state has been collected", fn);
    return self;
}

mil_state *luamil_option_state(lua_State *L, int index, const char *fn) {
    static const char *const keys[] = {"state", NULL};
    luamil_check_keys(L, index, fn, keys);
    bool is_given = luamil_option(L, index, "state") != LUA_TNIL;
    mil_state *state = is_given ? check_state(L, lua_gettop(L), fn)->state : NULL;
    lua_replace(L, index); /* where it stays while it is used */
    return state;
}

static int no_tensor(lua_State *L, const mil_model *model, const char *name) {
    size_t n = mil_model_n_states(model);
    const char **names = luamil_new_plain(L, (n + 1) * sizeof *names);
    for (size_t i = 0; i < n; i++) names[i] = mil_model_state(model, i)->name;
    const char *near = mil_nearest(name, names, n);
    if (near) return luamil_fail(L, MIL_ENAME, "tensor: the state has no \"%.60s\"; did you mean %s?", name, near);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < n; i++) {
        luaL_addstring(&b, i ? ", " : "");
        luaL_addstring(&b, names[i]);
    }
    luaL_pushresult(&b);
    return luamil_fail(L, MIL_ENAME, "tensor: the state has no \"%.60s\", but %s", name, lua_tostring(L, -1));
}

/* state:tensor(name) */
static int tensor(lua_State *L) {
    const luamil_model_state *self = check_state(L, 1, "tensor");
    const char *name = luamil_check_string(L, 2, "tensor", "the name of a state", NULL);
    for (size_t i = 0; i < mil_model_n_states(self->model); i++) {
        if (strcmp(mil_model_state(self->model, i)->name, name) != 0) continue;
        luamil_tensor *made = luamil_new_tensor(L);
        made->tensor = mil_tensor_retain(mil_state_tensor(self->state, i));
        return 1;
    }
    return no_tensor(L, self->model, name);
}

/* state:tensors(): all of them, by name */
static int tensors(lua_State *L) {
    const luamil_model_state *self = check_state(L, 1, "tensors");
    lua_createtable(L, 0, (int)mil_model_n_states(self->model));
    for (size_t i = 0; i < mil_model_n_states(self->model); i++) {
        luamil_tensor *each = luamil_new_tensor(L);
        each->tensor = mil_tensor_retain(mil_state_tensor(self->state, i));
        lua_setfield(L, -2, mil_model_state(self->model, i)->name);
    }
    return 1;
}

/* state:write(tensors by name: a table, or weights) */
static int write(lua_State *L) {
    mil_error err;
    const luamil_model_state *self = check_state(L, 1, "write");
    if (!lua_istable(L, 2) && !luamil_test(L, 2, LUAMIL_WEIGHTS))
        return luamil_fail(L, MIL_EINVAL, "write: takes tensors by name, but was given %s", LUAMIL_WHAT(L, 2));
    lua_settop(L, 2);
    for (size_t i = 0; i < mil_model_n_states(self->model); i++) {
        const char *name = mil_model_state(self->model, i)->name;
        lua_getfield(L, 2, name);
        if (lua_isnil(L, 3)) return luamil_fail(L, MIL_ENAME, "write: there is nothing for %s", name);
        luamil_check_status(L, mil_tensor_copy(mil_state_tensor(self->state, i), luamil_check_tensor(L, 3, "write"), &err), &err);
        lua_settop(L, 2);
    }
    lua_settop(L, 1);
    return 1;
}

/* state:copy() */
static int copy(lua_State *L) {
    mil_error err;
    const luamil_model_state *self = check_state(L, 1, "copy");
    luamil_model_state *other = push_state(L, self->model);
    if (mil_state_copy(self->state, &other->state, &err) != MIL_OK) return luamil_raise(L, &err);
    return made(L, other);
}

/* state:reset(): zeros again */
static int reset(lua_State *L) {
    mil_error err;
    const luamil_model_state *self = check_state(L, 1, "reset");
    for (size_t i = 0; i < mil_model_n_states(self->model); i++)
        luamil_check_status(L, mil_tensor_fill(mil_state_tensor(self->state, i), 0, &err), &err);
    lua_settop(L, 1);
    return 1;
}

static int state_gc(lua_State *L) {
    luamil_model_state *self = lua_touserdata(L, 1);
    mil_state *state = self->state;
    self->state = NULL;
    mil_state_free(state);
    return 0;
}

/* "state: k_cache, v_cache" */
static int state_text(lua_State *L) {
    const luamil_model_state *self = lua_touserdata(L, 1);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, self->state ? "state" : "(a collected state)");
    for (size_t i = 0; self->state && i < mil_model_n_states(self->model); i++) {
        luaL_addstring(&b, i ? ", " : ": ");
        luaL_addstring(&b, mil_model_state(self->model, i)->name);
    }
    luaL_pushresult(&b);
    return 1;
}

static const luaL_Reg meta[] = {{"__tostring", state_text}, {"__gc", state_gc}, {"__close", state_gc}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"tensor", tensor}, {"tensors", tensors}, {"write", write}, {"copy", copy}, {"reset", reset}, {NULL, NULL}};

void luamil_open_states(lua_State *L) {
    static const luamil_class cls = {LUAMIL_STATE, "mil.state", "state", meta, methods, NULL, NULL};
    luamil_new_class(L, &cls);
    lua_pop(L, 1);
}
