/* SPDX-License-Identifier: MIT */
/* Programs lowered for the Neural Engine, and its dialect of text, from Lua: f:lower gives a program and how inputs and outputs
 * lie in its ports. */
#include <string.h>

#include "bind.h"

typedef struct luamil_lowered {
    mil_lowered *lowered;     /* without its program; NULL once collected */
    mil_program *program;     /* that program: borrowed, its owner is kept by the userdata's table */
} luamil_lowered;

static luamil_lowered *check_lowered(lua_State *L, const char *fn) {
    luamil_lowered *self = luamil_check(L, 1, LUAMIL_LOWERED, fn);
    if (!self->lowered) luamil_fail(L, MIL_ESTATE, "%s: the object has been collected", fn);
    return self;
}

/* ---- f:lower ---- */

/* The program of the object at index 1, and the function's name there (NULL: of all). */
static mil_program *program_of(lua_State *L, const char *fn, const char **entry) {
    mil_block function;
    luamil_program *owner = luamil_owner(L, fn, &function);
    *entry = function ? mil_function_name(owner->program, function) : NULL;
    return owner->program;
}

/* The lowered program lives as long as what tells of its ports. */
static void keep_function(lua_State *L, int lowered, int function) {
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, function);
    lua_rawseti(L, -2, 1);
    luamil_set_keep(L, lowered);
}

static int lower(lua_State *L) {
    static const char *const keys[] = {"engine", "route", "chip", "entry", "fp32", "pack", "conv", "dense", NULL};
    mil_error err;
    const char *entry;
    lua_settop(L, 2);
    mil_program *from = program_of(L, "lower", &entry);
    luamil_check_keys(L, 2, "lower", keys);
    mil_lower_options options = {.engine = luamil_option_text(L, 2, "lower", "engine"), .route = luamil_option_text(L, 2, "lower", "route"),
                                 .chip = luamil_option_text(L, 2, "lower", "chip"), .entry = luamil_option_text(L, 2, "lower", "entry")};
    options.fp32_ports = luamil_option_bool(L, 2, "lower", "fp32");
    options.pack = luamil_option_bool(L, 2, "lower", "pack");
    options.conv = luamil_option_bool(L, 2, "lower", "conv");
    options.dense_weights = luamil_option_bool(L, 2, "lower", "dense");
    if (!options.entry) options.entry = entry;
    luamil_program *made = luamil_new_program(L);
    luamil_function *function = luamil_new_function(L, lua_gettop(L), made);
    int at = lua_gettop(L);
    luamil_lowered *how = luamil_new_plain(L, sizeof *how);
    *how = (luamil_lowered){NULL, NULL};
    luamil_set_class(L, LUAMIL_LOWERED);
    keep_function(L, at + 1, at);
    if (mil_program_lower(from, &options, &how->lowered, &err) != MIL_OK) return luamil_raise(L, &err);
    how->program = made->program = how->lowered->program;
    how->lowered->program = NULL;
    function->block = mil_program_function_at(made->program, 0);
    luamil_account(L, mil_program_bytes(made->program));
    lua_settop(L, at + 1);
    return 2;
}

/* ---- how ports are filled and read ---- */

/* The program may have been changed since. */
static mil_value port_value(lua_State *L, const luamil_lowered *self, size_t port, bool is_output) {
    mil_block main = mil_program_function_at(self->program, 0);
    mil_value value = is_output ? mil_block_output(self->program, main, port) : mil_block_input(self->program, main, port);
    if (!value || mil_type_kind_of(mil_value_type(self->program, value)) != MIL_TENSOR)
        luamil_fail(L, MIL_ESTATE, "the lowered program has been changed: port %d is gone", (int)port + 1);
    return value;
}

static const char *port_name(lua_State *L, const luamil_lowered *self, size_t port, bool is_output) {
    return mil_value_name(self->program, port_value(L, self, port, is_output));
}

/* A fresh tensor for a port, all zeros, under its name in the table at `into`; or the one that is there. */
static mil_tensor *port_tensor(lua_State *L, const luamil_lowered *self, size_t port, int into) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    mil_value value = port_value(L, self, port, false);
    luamil_option(L, into, mil_value_name(self->program, value));
    luamil_tensor *there = luamil_test(L, -1, LUAMIL_TENSOR);
    if (there) return there->tensor;
    const mil_type *type = mil_value_type(self->program, value);
    for (int i = 0; i < mil_type_rank(type); i++) shape[i] = mil_type_dim(type, i);
    luamil_tensor *made = luamil_new_tensor(L);
    if (mil_tensor_new(mil_type_dtype(type), mil_type_rank(type), shape, &made->tensor, &err) != MIL_OK) return luamil_raise(L, &err), NULL;
    lua_pushvalue(L, -1);
    lua_setfield(L, into, mil_value_name(self->program, value));
    return made->tensor;
}

/* how:pack { name = tensor }: the ports' tensors, by their names. */
static int lowered_pack(lua_State *L) {
    mil_error err;
    const luamil_lowered *self = check_lowered(L, "pack");
    lua_settop(L, 2);
    if (!lua_istable(L, 2)) return luamil_fail(L, MIL_EINVAL, "pack: takes the inputs by name, but was given %s", LUAMIL_WHAT(L, 2));
    lua_newtable(L);
    for (size_t i = 0; i < self->lowered->n_inputs; i++) {
        const mil_lowered_view *view = &self->lowered->inputs[i];
        luamil_tensor *slot = luamil_new_tensor(L); /* index 4 */
        luamil_option(L, 2, view->name);
        mil_tensor *port = port_tensor(L, self, view->port, 3);
        const luamil_tensor *given = luamil_test(L, 5, LUAMIL_TENSOR);
        if (!given || !given->tensor) return luamil_fail(L, MIL_EINVAL, "pack: input %s is a tensor, but was given %s", view->name, LUAMIL_WHAT(L, 5));
        if (mil_lowered_tensor(view, port, &slot->tensor, &err) != MIL_OK) return luamil_raise(L, &err);
        if (mil_tensor_copy(slot->tensor, given->tensor, &err) != MIL_OK) return luamil_fail(L, err.code, "pack: input %s: %s", view->name, err.message);
        lua_settop(L, 3);
    }
    return 1;
}

/* Sets the original's output, or what a state holds then, under its name in the table at index 3. */
static int unpack_view(lua_State *L, const luamil_lowered *self, const mil_lowered_view *view) {
    mil_error err;
    const char *name = port_name(L, self, view->port, true);
    luamil_tensor *made = luamil_new_tensor(L); /* index 4 */
    luamil_option(L, 2, name);
    const luamil_tensor *port = luamil_test(L, 5, LUAMIL_TENSOR);
    if (!port || !port->tensor) return luamil_fail(L, MIL_EINVAL, "unpack: port %s is a tensor, but was given %s", name, LUAMIL_WHAT(L, 5));
    if (mil_lowered_tensor(view, port->tensor, &made->tensor, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_pop(L, 1);
    lua_setfield(L, 3, view->name);
    return 0;
}

/* how:unpack { port = tensor }: the outputs, and the states that are written, by their names: views of the ports' tensors. */
static int lowered_unpack(lua_State *L) {
    const luamil_lowered *self = check_lowered(L, "unpack");
    lua_settop(L, 2);
    if (!lua_istable(L, 2)) return luamil_fail(L, MIL_EINVAL, "unpack: takes the ports by name, but was given %s", LUAMIL_WHAT(L, 2));
    lua_newtable(L);
    for (size_t i = 0; i < self->lowered->n_outputs; i++) unpack_view(L, self, &self->lowered->outputs[i]);
    for (size_t i = 0; i < self->lowered->n_states; i++) unpack_view(L, self, &self->lowered->states[i].after);
    return 1;
}

/* ---- how.inputs, how.outputs, how.states ---- */

static void push_numbers(lua_State *L, const char *key, const int64_t *numbers, int n) {
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_pushinteger(L, (lua_Integer)numbers[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
}

static void push_view(lua_State *L, const luamil_lowered *self, const mil_lowered_view *view, bool is_output) {
    int64_t axis[MIL_MAX_RANK];
    for (int i = 0; i < view->rank; i++) axis[i] = view->axis[i];
    lua_newtable(L);
    lua_pushstring(L, view->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, mil_dtype_name(view->dtype));
    lua_setfield(L, -2, "dtype");
    lua_pushstring(L, port_name(L, self, view->port, is_output));
    lua_setfield(L, -2, "port");
    push_numbers(L, "shape", view->shape, view->rank);
    push_numbers(L, "axis", axis, view->rank);
    push_numbers(L, "step", view->step, view->rank);
    push_numbers(L, "begin", view->begin, mil_type_rank(mil_value_type(self->program, port_value(L, self, view->port, is_output))));
}

static bool lowered_field(lua_State *L, const char *name) {
    const luamil_lowered *self = check_lowered(L, name);
    const mil_lowered *how = self->lowered;
    bool is_input = strcmp(name, "inputs") == 0, is_output = strcmp(name, "outputs") == 0;
    if (!is_input && !is_output && strcmp(name, "states") != 0) return false;
    size_t n = is_input ? how->n_inputs : is_output ? how->n_outputs : how->n_states;
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        push_view(L, self, is_input ? &how->inputs[i] : is_output ? &how->outputs[i] : &how->states[i].after, !is_input);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return true;
}

static int lowered_gc(lua_State *L) {
    luamil_lowered *self = lua_touserdata(L, 1);
    mil_lowered *lowered = self->lowered;
    self->lowered = NULL;
    mil_lowered_free(lowered);
    return 0;
}

static int lowered_tostring(lua_State *L) {
    const luamil_lowered *self = check_lowered(L, "tostring");
    lua_pushfstring(L, "lowered: %d in, %d out", (int)self->lowered->n_inputs, (int)self->lowered->n_outputs);
    return 1;
}

/* ---- f:dialect ---- */

typedef struct luamil_dialect { /* while its parts become strings */
    mil_dialect *dialect;
} luamil_dialect;

static int dialect_gc(lua_State *L) {
    luamil_dialect *self = lua_touserdata(L, 1);
    mil_dialect *owned = self->dialect;
    self->dialect = NULL;
    mil_dialect_free(owned);
    return 0;
}

/* The text, and { name = bytes } of its weights files. */
static int dialect(lua_State *L) {
    static const char *const keys[] = {"route", "long", "inline", NULL};
    mil_error err;
    const char *entry;
    lua_settop(L, 2);
    mil_program *program = program_of(L, "dialect", &entry);
    luamil_check_keys(L, 2, "dialect", keys);
    mil_dialect_options options = {.route = luamil_option_text(L, 2, "dialect", "route"), .is_long = luamil_option_bool(L, 2, "dialect", "long"),
                                   .is_inline = luamil_option_bool(L, 2, "dialect", "inline")};
    luamil_dialect *holder = luamil_new_plain(L, sizeof *holder);
    holder->dialect = NULL;
    luamil_set_class(L, LUAMIL_DIALECT);
    if (mil_text_dialect(program, &options, &holder->dialect, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_pushlstring(L, holder->dialect->text, holder->dialect->n);
    lua_newtable(L);
    for (size_t i = 0; i < holder->dialect->n_files; i++) {
        lua_pushlstring(L, holder->dialect->files[i].data, holder->dialect->files[i].n);
        lua_setfield(L, -2, holder->dialect->files[i].name);
    }
    mil_dialect *owned = holder->dialect;
    holder->dialect = NULL;
    mil_dialect_free(owned);
    return 2;
}

/* ---- the methods ---- */

const luaL_Reg luamil_lowerings[] = {{"lower", lower}, {"dialect", dialect}, {NULL, NULL}};

static const luaL_Reg lowered_meta[] = {{"__gc", lowered_gc}, {"__tostring", lowered_tostring}, {NULL, NULL}};
static const luaL_Reg lowered_methods[] = {{"pack", lowered_pack}, {"unpack", lowered_unpack}, {NULL, NULL}};
static const char *const lowered_fields[] = {"inputs", "outputs", "states", NULL};
static const luaL_Reg dialect_meta[] = {{"__gc", dialect_gc}, {NULL, NULL}};

void luamil_open_lowered(lua_State *L) {
    static const luamil_class lowered = {LUAMIL_LOWERED, "mil.lowered", "lowered program's ports", lowered_meta, lowered_methods,
                                         lowered_fields, lowered_field};
    static const luamil_class text = {LUAMIL_DIALECT, "mil.dialect", "dialect", dialect_meta, NULL, NULL, NULL};
    luamil_new_class(L, &lowered);
    luamil_new_class(L, &text);
    lua_pop(L, 2);
}
