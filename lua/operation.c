/* SPDX-License-Identifier: MIT */
/* Operations as Lua sees and changes them. An object is a handle: it costs nothing to have many, two of one operation are
 * equal, and one whose operation is gone is an error when it is used. */
#include <string.h>

#include "bind.h"

typedef struct luamil_operation {
    luamil_program *owner;
    mil_operation id;
} luamil_operation;

void luamil_push_operation(lua_State *L, int like, luamil_program *owner, mil_operation id) {
    luamil_operation *self = luamil_new_keeping(L, sizeof *self);
    *self = (luamil_operation){owner, id};
    luamil_get_keep(L, like);
    luamil_set_keep(L, -2);
    luamil_set_class(L, LUAMIL_OPERATION);
}

static luamil_operation *check_operation(lua_State *L, int index, const char *fn) {
    luamil_operation *self = luamil_check(L, index, LUAMIL_OPERATION, fn);
    luamil_live(L, self->owner);
    if (!mil_operation_op(self->owner->program, self->id))
        luamil_fail(L, MIL_ESTATE, "%s: the operation is no longer part of its program", fn);
    return self;
}

mil_operation luamil_check_operation(lua_State *L, int index, const luamil_program *owner, const char *fn) {
    const luamil_operation *self = check_operation(L, index, fn);
    if (self->owner != owner) luamil_fail(L, MIL_ESTATE, "%s: the operation belongs to another program", fn);
    return self->id;
}

/* ---- fields ---- */

static void push_values(lua_State *L, luamil_program *owner, const mil_value *values, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_push_value(L, 1, owner, values[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

void luamil_push_args(lua_State *L, luamil_program *owner, mil_operation operation) {
    lua_newtable(L);
    for (size_t i = 0; i < mil_operation_n_args(owner->program, operation); i++) {
        const mil_value *values;
        size_t n;
        const char *name = mil_operation_arg(owner->program, operation, i, &values, &n);
        if (n == 1) luamil_push_value(L, 1, owner, values[0]);
        else push_values(L, owner, values, n);
        lua_setfield(L, -2, name);
    }
}

/* All values that it takes, in order. */
static void push_inputs(lua_State *L, const luamil_operation *self) {
    int n_inputs = 0;
    lua_newtable(L);
    for (size_t i = 0; i < mil_operation_n_args(self->owner->program, self->id); i++) {
        const mil_value *values;
        size_t n;
        mil_operation_arg(self->owner->program, self->id, i, &values, &n);
        for (size_t k = 0; k < n; k++) {
            luamil_push_value(L, 1, self->owner, values[k]);
            lua_rawseti(L, -2, ++n_inputs);
        }
    }
}

static void push_outputs(lua_State *L, const luamil_operation *self) {
    size_t n = mil_operation_n_outputs(self->owner->program, self->id);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_push_value(L, 1, self->owner, mil_operation_output(self->owner->program, self->id, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_blocks(lua_State *L, const luamil_operation *self) {
    size_t n = mil_operation_n_blocks(self->owner->program, self->id);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_new_function(L, 1, self->owner)->block = mil_operation_nested(self->owner->program, self->id, i);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static const char *name_of(const luamil_operation *self) {
    mil_value first = mil_operation_output(self->owner->program, self->id, 0);
    return first ? mil_value_name(self->owner->program, first) : NULL;
}

static const char *const operation_fields[] = {"type", "name", "where", "outputs", "args", "inputs", "blocks", "block", "id", NULL};

static bool operation_field(lua_State *L, const char *name) {
    int field = 0;
    while (operation_fields[field] && strcmp(operation_fields[field], name) != 0) field++;
    if (!operation_fields[field]) return false;
    luamil_operation *self = check_operation(L, 1, name);
    const mil_program *program = self->owner->program;
    switch (field) {
    case 0: lua_pushstring(L, mil_op_name(mil_operation_op(program, self->id))); break;
    case 1: lua_pushstring(L, name_of(self)); break;
    case 2: luamil_push_where(L, mil_operation_where(program, self->id)); break;
    case 3: push_outputs(L, self); break;
    case 4: luamil_push_args(L, self->owner, self->id); break;
    case 5: push_inputs(L, self); break;
    case 6: push_blocks(L, self); break;
    case 7: luamil_new_function(L, 1, self->owner)->block = mil_operation_block(program, self->id); break;
    case 8: lua_pushinteger(L, (lua_Integer)self->id); break;
    }
    return true;
}

static int operation_text(lua_State *L) {
    const luamil_operation *self = lua_touserdata(L, 1);
    const mil_program *program = self->owner->program;
    const mil_op *op = program ? mil_operation_op(program, self->id) : NULL;
    char text[2048];
    if (op && name_of(self)) {
        mil_value_describe(program, mil_operation_output(program, self->id, 0), text, sizeof text);
        lua_pushstring(L, text);
    } else {
        lua_pushstring(L, op ? mil_op_name(op) : "(an operation that is no longer there)");
    }
    return 1;
}

static int operation_equal(lua_State *L) {
    const luamil_operation *a = luamil_test(L, 1, LUAMIL_OPERATION), *b = luamil_test(L, 2, LUAMIL_OPERATION);
    lua_pushboolean(L, a && b && a->owner == b->owner && a->id == b->id);
    return 1;
}

/* ---- changing ---- */

/* o:remove() */
static int operation_remove(lua_State *L) {
    mil_error err;
    luamil_operation *self = check_operation(L, 1, "remove");
    if (mil_operation_remove(self->owner->program, self->id, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static bool is_tuple(const mil_program *program, mil_operation operation, const char *name) {
    mil_param param;
    const mil_op *op = mil_operation_op(program, operation);
    for (size_t i = 0; mil_op_param(op, mil_program_opset(program), i, &param); i++)
        if (strcmp(param.name, name) == 0) return param.kind == MIL_PARAM_TUPLE;
    return false;
}

/* o:set(name, value): nil takes the argument away. */
static int operation_set(lua_State *L) {
    mil_error err;
    luamil_args args;
    luamil_operation *self = check_operation(L, 1, "set");
    const char *name = luamil_check_string(L, 2, "set", "the name of an argument", NULL);
    if (lua_gettop(L) < 3) return luamil_fail(L, MIL_EINVAL, "set: takes a name and a value (nil: none any more)");
    lua_settop(L, 3);
    if (strcmp(name, "end_") == 0) name = "end";
    mil_program *program = self->owner->program;
    luamil_start_args(&args, mil_op_name(mil_operation_op(program, self->id)), self->owner, 4);
    if (lua_isnil(L, 3)) args.arg[args.n++] = (mil_arg){.name = name};
    else luamil_add_arg(L, &args, 3, name, is_tuple(program, self->id, name));
    luamil_settle_args(L, &args);
    if (mil_operation_set(program, self->id, &args.arg[0], &err) != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

/* The end of a block that an operation holds is closed: what was added there would go to the function's end. */
static void check_not_last(lua_State *L, const luamil_operation *self) {
    const mil_program *program = self->owner->program;
    mil_operation outer = mil_block_parent(program, mil_operation_block(program, self->id));
    const char *of = outer ? mil_value_name(program, mil_operation_output(program, outer, 0)) : NULL, *name = name_of(self);
    if (outer && !mil_operation_next(program, self->id))
        luamil_fail(L, MIL_ESTATE, "after: %s is the last operation of its block in %s%s%s, and nothing can go to the end of that; before it can",
                    name ? name : mil_op_name(mil_operation_op(program, self->id)), mil_op_name(mil_operation_op(program, outer)),
                    of ? " " : "", of ? of : "");
}

/* Runs fn(block) with operations going before `before`; gives what it returned. */
static int insert(lua_State *L, const char *fn, bool after) {
    mil_error err;
    luamil_operation *self = check_operation(L, 1, fn);
    mil_program *program = self->owner->program;
    mil_block block = mil_operation_block(program, self->id);
    if (!lua_isfunction(L, 2)) return luamil_fail(L, MIL_EINVAL, "%s: takes a function, but was given %s", fn, LUAMIL_WHAT(L, 2));
    if (after) check_not_last(L, self);
    lua_settop(L, 2);
    luamil_new_function(L, 1, self->owner)->block = block;
    mil_operation outer = mil_block_insertion(program, block);
    mil_operation before = after ? mil_operation_next(program, self->id) : self->id;
    if (mil_block_insert(program, block, before, &err) != MIL_OK) return luamil_raise(L, &err);
    int failed = lua_pcall(L, 1, LUA_MULTRET, 0);
    if (mil_operation_block(program, outer) != block) outer = 0; /* it was removed */
    if (mil_block_insert(program, block, outer, &err) != MIL_OK) mil_block_insert(program, block, 0, NULL);
    return failed ? lua_error(L) : lua_gettop(L) - 1;
}

/* o:before(fn), o:after(fn) */
static int operation_before(lua_State *L) { return insert(L, "before", false); }
static int operation_after(lua_State *L) { return insert(L, "after", true); }

/* ---- lists of operations ---- */

/* Called by a generic for: the next of the list. */
static int next_of_list(lua_State *L) {
    lua_rawgeti(L, 1, 0);
    lua_Integer at = lua_tointeger(L, -1) + 1;
    lua_rawgeti(L, 1, (int)at);
    if (lua_isnil(L, -1)) at = 0; /* from the beginning again */
    lua_pushinteger(L, at);
    lua_rawseti(L, 1, 0);
    return 1;
}

static void new_list(lua_State *L) {
    static const char key;
    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, next_of_list);
        lua_setfield(L, -2, "__call");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    }
    lua_setmetatable(L, -2);
}

static bool is_there(const luamil_program *owner, mil_operation operation) {
    return owner->program && mil_operation_op(owner->program, operation);
}

/* Leaves in the list at index 3 what the function at index 2 says yes to. It may change the program: what it removed is
 * neither asked about nor listed. */
static void filter_list(lua_State *L, const luamil_program *owner, int n) {
    int n_passed = 0;
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, i);
        mil_operation id = ((luamil_operation *)lua_touserdata(L, -1))->id;
        lua_pushnil(L);
        lua_rawseti(L, 3, i);
        bool passed = false;
        if (is_there(owner, id)) {
            lua_pushvalue(L, 2);
            lua_pushvalue(L, -2);
            lua_call(L, 1, 1);
            passed = lua_toboolean(L, -1) && is_there(owner, id);
            lua_pop(L, 1);
        }
        if (passed) lua_rawseti(L, 3, ++n_passed);
        else lua_pop(L, 1);
    }
}

static const mil_op *check_filter(lua_State *L) {
    if (lua_isnil(L, 2) || lua_isfunction(L, 2)) return NULL;
    const char *name = luamil_check_string(L, 2, "operations", "the filter (the name of an op, or a function)", NULL);
    const mil_op *op = mil_op_find(name);
    const char *near = op ? NULL : mil_op_nearest(name);
    if (!op && near) luamil_fail(L, MIL_ENAME, "operations: no op \"%.60s\"; did you mean %s?", name, near);
    if (!op) luamil_fail(L, MIL_ENAME, "operations: no op \"%.60s\"", name);
    return op;
}

/* Does the operation stand in the block, or in one nested in it? */
static bool is_inside(const mil_program *program, mil_operation operation, mil_block block) {
    while (operation) {
        mil_block its = mil_operation_block(program, operation);
        if (its == block) return true;
        operation = mil_block_parent(program, its);
    }
    return false;
}

int luamil_list_operations(lua_State *L, luamil_program *owner, mil_block only) {
    int n = 0;
    lua_settop(L, 2);
    const mil_op *op = check_filter(L);
    new_list(L);
    size_t n_functions = only ? 1 : mil_program_n_functions(owner->program);
    for (size_t i = 0; i < n_functions; i++) {
        mil_operation at = mil_block_first(owner->program, only ? only : mil_program_function_at(owner->program, i));
        for (; at && (!only || is_inside(owner->program, at, only)); at = mil_operation_after(owner->program, at)) {
            if (op && mil_operation_op(owner->program, at) != op) continue;
            luamil_push_operation(L, 1, owner, at);
            lua_rawseti(L, 3, ++n);
        }
    }
    if (lua_isfunction(L, 2)) filter_list(L, owner, n);
    return 1;
}

/* Objects that are made can run finalizers, and those can change the program: so the users are copied before. */
int luamil_list_users(lua_State *L, luamil_program *owner, mil_value value) {
    mil_error err;
    const mil_operation *found;
    size_t n, room;
    new_list(L);
    if (mil_value_users(owner->program, value, &found, &room, &err) != MIL_OK) return luamil_raise(L, &err);
    mil_operation *users = luamil_new_plain(L, (room + 1) * sizeof *users);
    if (mil_value_users(owner->program, value, &found, &n, &err) != MIL_OK) return luamil_raise(L, &err);
    if (n > room) n = room;
    if (n) memcpy(users, found, n * sizeof *users);
    lua_insert(L, -2);
    for (size_t i = 0; i < n; i++) {
        luamil_push_operation(L, 1, owner, users[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* ---- the class ---- */

static const luaL_Reg operation_meta[] = {{"__tostring", operation_text}, {"__eq", operation_equal}, {NULL, NULL}};
static const luaL_Reg operation_methods[] = {
    {"remove", operation_remove}, {"set", operation_set}, {"before", operation_before}, {"after", operation_after}, {NULL, NULL},
};

void luamil_open_operations(lua_State *L) {
    static const luamil_class operations = {LUAMIL_OPERATION, "mil.operation", "operation", operation_meta, operation_methods,
                                            operation_fields, operation_field};
    luamil_new_class(L, &operations);
    lua_pop(L, 1);
}
