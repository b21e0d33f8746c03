/* SPDX-License-Identifier: MIT */
/* Nested blocks: f:cond and f:while_loop, whose blocks are Lua functions. Each is called once, with the block (which has the
 * methods of functions), and what it returns are the block's results. Meanwhile the block is the program's innermost open
 * one: operations go there, on whatever value they are called. */
#include <stdio.h>

#include "bind.h"

enum { N_BLOCKS = 2 };

typedef struct nesting {
    const char *fn;           /* "cond" */
    luamil_program *owner;
    mil_block outer;          /* to which the operation goes */
    mil_block blocks[N_BLOCKS];
} nesting;

mil_block luamil_open_block(luamil_program *owner, mil_block block) {
    const mil_program *program = owner->program;
    if (owner->open && mil_function_name(program, owner->open) == mil_function_name(program, block)) return owner->open;
    for (mil_operation parent; (parent = mil_block_parent(program, block)) && !mil_block_insertion(program, block);) /* closed */
        block = mil_operation_block(program, parent);
    return block;
}

/* ---- one block ---- */

static void check_callable(lua_State *L, int index, const nesting *n, int b) {
    static const char *const whats[][N_BLOCKS] = {{"what is done where pred is true", "what is done where it is false"},
                                                  {"what decides on another turn", "what a turn does"}};
    if (lua_isfunction(L, index)) return;
    luamil_fail_at(L, MIL_EINVAL, n->fn, NULL, "%s: %s is a function, but was given %s", n->fn, whats[n->fn[0] == 'w'][b],
                   LUAMIL_WHAT(L, index));
}

static const char *call_of(const nesting *n) {
    return n->fn[0] == 'w' ? "while_loop({x, ..}, decide, body)" : "cond(pred, yes, no)";
}

/* The results of a block's function, from stack index `first` on. */
static void add_results(lua_State *L, const nesting *n, int b, int first) {
    mil_error err;
    for (int i = first; i <= lua_gettop(L); i++) {
        const luamil_value *value = luamil_test(L, i, LUAMIL_VALUE);
        if (!value)
            luamil_fail_at(L, MIL_EINVAL, n->fn, NULL, "%s: a block returns values, but its result %d is %s; b:const makes a value of a number",
                           n->fn, i - first, LUAMIL_WHAT(L, i));
        else if (value->owner != n->owner) luamil_fail_at(L, MIL_ESTATE, n->fn, NULL, "%s: a block's result belongs to another program", n->fn);
        else if (mil_program_block_output(n->owner->program, n->blocks[b], value->id, &err) != MIL_OK) luamil_raise(L, &err);
    }
}

/* Builds block b with the function at index; `vars`: the stack index of the loop variables, n_vars of them. */
static void build_block(lua_State *L, nesting *n, int b, int index, int vars, int n_vars) {
    mil_error err;
    int top = lua_gettop(L);
    luaL_checkstack(L, n_vars + 8, n->fn);
    lua_pushvalue(L, index);
    luamil_function *block = luamil_new_function(L, 1, n->owner);
    for (int i = 0; i < n_vars; i++) luamil_push_value(L, 1, n->owner, 0);
    if (mil_program_block(n->owner->program, n->outer, &n->blocks[b], &err) != MIL_OK) luamil_raise(L, &err);
    block->block = n->blocks[b];
    for (int i = 0; i < n_vars; i++) {
        luamil_value *input = lua_touserdata(L, top + 3 + i);
        const luamil_value *first = lua_touserdata(L, vars + i);
        if (mil_program_block_input(n->owner->program, n->blocks[b], first->id, &input->id, &err) != MIL_OK) luamil_raise(L, &err);
    }
    n->owner->open = n->blocks[b];
    lua_call(L, n_vars + 1, LUA_MULTRET);
    n->owner->open = n->outer;
    add_results(L, n, b, top + 1);
    lua_settop(L, top);
}

/* ---- the operation ---- */

/* Adds it, and pushes its results. vars: the stack index of its values. */
static int add_operation(lua_State *L, const nesting *n, int vars, int n_vars, bool is_tuple, int options) {
    static const char *const keys[] = {"name", NULL};
    mil_error err;
    luamil_position position;
    size_t n_out = 0;
    const char *name = NULL;
    luamil_check_keys(L, options, n->fn, keys);
    if (luamil_option(L, options, "name") != LUA_TNIL) name = luamil_check_string(L, lua_gettop(L), n->fn, "name", NULL);
    mil_arg *items = luamil_new_plain(L, ((size_t)n_vars + 1) * sizeof *items);
    for (int i = 0; i < n_vars; i++)
        items[i] = (mil_arg){.name = "pred", .kind = MIL_ARG_VALUE, .value = ((luamil_value *)lua_touserdata(L, vars + i))->id};
    const mil_arg tuple = {.name = "loop_vars", .kind = MIL_ARG_TUPLE, .n = (size_t)n_vars, .items = items};
    luamil_where(L, &position);
    luamil_push_value(L, 1, n->owner, 0);
    luamil_value *result = lua_touserdata(L, -1);
    mil_status status = mil_program_add_nested(n->owner->program, n->outer, mil_op_find(n->fn), is_tuple ? &tuple : items, 1, n->blocks,
                                               N_BLOCKS, name, position.where, &result->id, 1, &n_out, &err);
    if (status != MIL_OK) return luamil_raise(L, &err);
    if (n_out == 0) return 0;
    mil_operation operation = mil_value_operation(n->owner->program, result->id);
    luaL_checkstack(L, (int)n_out + 4, "too many results");
    for (size_t i = 1; i < n_out; i++) luamil_push_value(L, 1, n->owner, mil_operation_output(n->owner->program, operation, i));
    return (int)n_out;
}

static void check_value(lua_State *L, int index, const nesting *n, const char *what) {
    const luamil_value *value = luamil_test(L, index, LUAMIL_VALUE);
    if (index == 2 && lua_istable(L, index)) /* as other ops take it */
        luamil_fail_at(L, MIL_EINVAL, n->fn, NULL, "%s: %s is a value, but was given a table; it is called f:%s", n->fn, what, call_of(n));
    if (!value)
        luamil_fail_at(L, MIL_EINVAL, n->fn, NULL, "%s: %s is a value, but was given %s; f:const makes one of a number", n->fn, what,
                       LUAMIL_WHAT(L, index));
    else if (value->owner != n->owner) luamil_fail_at(L, MIL_ESTATE, n->fn, NULL, "%s: %s belongs to another program", n->fn, what);
}

/* (object, value, function, function, options): the last upvalue of these is the nesting. */
static int build_cond(lua_State *L) {
    nesting *n = lua_touserdata(L, 6);
    check_value(L, 2, n, "pred");
    for (int b = 0; b < N_BLOCKS; b++) check_callable(L, 3 + b, n, b);
    for (int b = 0; b < N_BLOCKS; b++) build_block(L, n, b, 3 + b, 0, 0);
    return add_operation(L, n, 2, 1, false, 5);
}

/* The same, with a table of values; or one value. */
static int build_loop(lua_State *L) {
    nesting *n = lua_touserdata(L, 6);
    int vars = 7, n_vars = 1;
    bool is_list = lua_istable(L, 2);
    if (is_list) n_vars = (int)lua_rawlen(L, 2);
    if (n_vars == 0) return luamil_fail_at(L, MIL_EINVAL, n->fn, "loop_vars", "while_loop: there are no loop variables; it is called f:%s", call_of(n));
    luaL_checkstack(L, n_vars + 8, n->fn);
    for (int i = 1; i <= n_vars; i++) {
        char what[48];
        snprintf(what, sizeof what, "loop variable %d", i - 1); /* as core counts them */
        if (is_list) lua_rawgeti(L, 2, i);
        else lua_pushvalue(L, 2);
        check_value(L, lua_gettop(L), n, what);
    }
    for (int b = 0; b < N_BLOCKS; b++) check_callable(L, 3 + b, n, b);
    for (int b = 0; b < N_BLOCKS; b++) build_block(L, n, b, 3 + b, vars, n_vars);
    return add_operation(L, n, vars, n_vars, true, 5);
}

/* Calls `build` on the arguments; whatever it raises, no block stays open, and none is left that no operation holds. */
static int nest(lua_State *L, const char *fn, lua_CFunction build) {
    const luamil_function *function = luamil_test(L, 1, LUAMIL_FUNCTION);
    const luamil_value *value = luamil_test(L, 1, LUAMIL_VALUE);
    luamil_program *owner = function ? function->owner : value ? value->owner : NULL;
    if (!owner) return luamil_fail_at(L, MIL_EINVAL, fn, NULL, "%s: is a method (f:%s), but its object is %s", fn, fn, LUAMIL_WHAT(L, 1));
    nesting n = {.fn = fn, .owner = luamil_live(L, owner)};
    if (!function) { /* the value is what the operation takes */
        lua_pushvalue(L, 1);
        lua_insert(L, 2);
        if (!mil_value_block(n.owner->program, value->id))
            return luamil_fail_at(L, MIL_ESTATE, fn, NULL, "%s: the value is no longer part of its program", fn);
    }
    lua_settop(L, 5);
    mil_block open = n.owner->open;
    n.outer = luamil_open_block(n.owner, function ? function->block : mil_value_block(n.owner->program, value->id));
    lua_pushlightuserdata(L, &n);
    lua_pushcfunction(L, build);
    lua_insert(L, 1);
    int status = lua_pcall(L, 6, LUA_MULTRET, 0);
    n.owner->open = open;
    if (status == 0) return lua_gettop(L);
    for (int b = N_BLOCKS; b-- > 0;) mil_program_block_drop(n.owner->program, n.blocks[b]);
    return lua_error(L);
}

/* f:cond(pred, true_block, false_block [, {name = }]), pred:cond(true_block, false_block) */
int luamil_cond(lua_State *L) { return nest(L, "cond", build_cond); }

/* f:while_loop(values, decide, body [, {name = }]), value:while_loop(decide, body) */
int luamil_while_loop(lua_State *L) { return nest(L, "while_loop", build_loop); }
