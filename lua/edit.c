/* SPDX-License-Identifier: MIT */
/* Programs and values changed from Lua: methods of programs, functions and values that mil.h's edits stand behind. Where a value
 * is taken its name will do. Operations change themselves (operation.c). */
#include <string.h>

#include "bind.h"

/* ---- what is meant ---- */

/* The program that the object at index 1 is or belongs to, and the function (0: of all). */
typedef struct subject {
    luamil_program *owner;
    mil_block function;
} subject;

static subject subject_of(lua_State *L, const char *fn) {
    subject s;
    s.owner = luamil_owner(L, fn, &s.function);
    return s;
}

static size_t n_functions(const subject *s) { return s->function ? 1 : mil_program_n_functions(s->owner->program); }
static mil_block function_at(const subject *s, size_t i) {
    return s->function ? s->function : mil_program_function_at(s->owner->program, i);
}

/* The first value of that name; 0: none. */
static mil_value find(const subject *s, const char *name) {
    mil_value value = 0;
    for (size_t i = 0; i < n_functions(s) && !value; i++) value = mil_value_find(s->owner->program, function_at(s, i), name);
    return value;
}

/* The value, or the name of one, at index. */
static mil_value check_value(lua_State *L, int index, const subject *s, const char *fn) {
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *name = lua_tostring(L, index);
        mil_value found = find(s, name);
        if (!found) luamil_fail(L, MIL_ENAME, "%s: there is no value \"%.80s\"", fn, name);
        return found;
    }
    const luamil_value *value = luamil_check_value(L, index, fn);
    if (value->owner != s->owner) luamil_fail(L, MIL_ESTATE, "%s: the value belongs to another program", fn);
    return value->id;
}

static int done(lua_State *L, mil_status status, const mil_error *err) {
    if (status != MIL_OK) return luamil_raise(L, err);
    lua_settop(L, 1);
    return 1;
}

/* p:find(name) */
static int edit_find(lua_State *L) {
    subject s = subject_of(L, "find");
    mil_value value = find(&s, luamil_check_string(L, 2, "find", "name", NULL));
    if (value) luamil_push_value(L, 1, s.owner, value);
    else lua_pushnil(L);
    return 1;
}

/* p:operations([filter]), f:operations([filter]) */
static int edit_operations(lua_State *L) {
    subject s = subject_of(L, "operations");
    return luamil_list_operations(L, s.owner, s.function);
}

/* ---- names ---- */

/* Each function's value `old` is `name` from now on. Those that were renamed before one fails get their names back. */
static mil_status rename_all(const subject *s, const char *old, const char *name, mil_error *err) {
    mil_program *program = s->owner->program;
    mil_status status = MIL_OK;
    size_t i = 0;
    for (; i < n_functions(s) && status == MIL_OK; i++) {
        mil_value value = mil_value_find(program, function_at(s, i), old);
        if (value) status = mil_value_rename(program, value, name, err);
    }
    if (status == MIL_OK) return MIL_OK;
    for (i--; i-- > 0;) {
        mil_value value = mil_value_find(program, function_at(s, i), name);
        if (value) mil_value_rename(program, value, old, NULL);
    }
    return status;
}

/* p:rename(what, name): a value, the values of that name, or a function. The object. */
static int edit_rename(lua_State *L) {
    mil_error err;
    subject s = subject_of(L, "rename");
    const char *name = luamil_check_string(L, 3, "rename", "name", NULL);
    mil_status status;
    const luamil_function *function = luamil_test(L, 2, LUAMIL_FUNCTION);
    if (function) {
        if (function->owner != s.owner) return luamil_fail(L, MIL_ESTATE, "rename: the function belongs to another program");
        status = mil_function_rename(s.owner->program, function->block, name, &err);
    } else if (lua_type(L, 2) == LUA_TSTRING) {
        check_value(L, 2, &s, "rename");
        status = rename_all(&s, lua_tostring(L, 2), name, &err);
    } else {
        status = mil_value_rename(s.owner->program, check_value(L, 2, &s, "rename"), name, &err);
        lua_settop(L, 2);
        return status == MIL_OK ? 1 : luamil_raise(L, &err);
    }
    return done(L, status, &err);
}

/* ---- operations that nobody needs, inputs, outputs ---- */

static int edit_prune(lua_State *L) {
    mil_error err;
    mil_status status = mil_program_prune(subject_of(L, "prune").owner->program, &err);
    lua_settop(L, 1);
    return done(L, status, &err);
}

static int edit_remove_input(lua_State *L) {
    mil_error err;
    subject s = subject_of(L, "remove_input");
    mil_value value = check_value(L, 2, &s, "remove_input");
    return done(L, mil_program_remove_input(s.owner->program, value, &err), &err);
}

static int edit_remove_output(lua_State *L) {
    mil_error err;
    subject s = subject_of(L, "remove_output");
    mil_value value = check_value(L, 2, &s, "remove_output");
    return done(L, mil_program_remove_output(s.owner->program, value, &err), &err);
}

/* f:retype(input, dtype, shape) */
static int edit_retype(lua_State *L) {
    mil_error err;
    mil_dim shape[MIL_MAX_RANK];
    subject s = subject_of(L, "retype");
    lua_settop(L, 4);
    mil_value value = check_value(L, 2, &s, "retype");
    const char *name = mil_value_name(s.owner->program, value);
    mil_retype to = {value, luamil_check_dtype(L, 3, "retype"), 0, shape};
    to.rank = luamil_read_dims(L, 4, s.owner, "retype", name ? name : "?", shape);
    if (mil_program_retype(s.owner->program, &to, 1, &err) != MIL_OK) return luamil_raise(L, &err);
    luamil_give_shapes(L, 4, s.owner, value);
    lua_settop(L, 1);
    return 1;
}

/* ---- symbols that get a size ---- */

/* The input's shape with the sizes that the table at index 2 gives its symbols; how many it gave. What was given is marked in
 * the table at index 3. */
static int fix_shape(lua_State *L, const mil_program *program, const mil_type *type, mil_dim shape[MIL_MAX_RANK]) {
    int n = 0;
    for (int i = 0; i < mil_type_rank(type); i++) {
        char text[512];
        shape[i] = mil_type_dim(type, i);
        if (shape[i] >= 0) continue;
        mil_program_dim_text(program, shape[i], text, sizeof text);
        lua_pushstring(L, text);
        lua_rawget(L, 2); /* a metamethod could change the program meanwhile */
        if (!lua_isnil(L, -1)) {
            shape[i] = luamil_check_int(L, -1, "fix", text);
            lua_pushstring(L, text);
            lua_pushboolean(L, true);
            lua_rawset(L, 3);
            n++;
        }
        lua_pop(L, 1);
    }
    return n;
}

static void check_all_fixed(lua_State *L) {
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_rawget(L, 3);
        if (lua_isnil(L, -1)) luamil_fail(L, MIL_ENAME, "fix: no input has a symbolic dim %s", LUAMIL_WHAT(L, -3));
        lua_pop(L, 1);
    }
}

/* "retype: y would fail: .." begins with what was called. */
static void call_fix(mil_error *err) {
    static const char from[] = "retype: ", to[] = "fix: ";
    if (strncmp(err->message, from, sizeof from - 1)) return;
    memmove(err->message + sizeof to - 1, err->message + sizeof from - 1, strlen(err->message) - (sizeof from - 1) + 1);
    memcpy(err->message, to, sizeof to - 1);
}

/* f:fix { S = 128 }: symbolic dims of inputs become sizes, all at once. */
static int edit_fix(lua_State *L) {
    mil_error err;
    subject s = subject_of(L, "fix");
    const mil_program *program = s.owner->program;
    lua_settop(L, 2);
    if (!lua_istable(L, 2)) return luamil_fail(L, MIL_EINVAL, "fix: takes a table of sizes by name, but was given %s", LUAMIL_WHAT(L, 2));
    lua_newtable(L);
    size_t room = 0, n = 0;
    for (size_t i = 0; i < n_functions(&s); i++) room += mil_block_n_inputs(program, function_at(&s, i));
    mil_retype *types = luamil_new_plain(L, (room + 1) * sizeof *types);
    mil_dim *shapes = luamil_new_plain(L, (room + 1) * MIL_MAX_RANK * sizeof *shapes);
    for (size_t i = 0; i < n_functions(&s); i++)
        for (size_t k = 0; k < mil_block_n_inputs(program, function_at(&s, i)) && n < room; k++) { /* so could a finalizer */
            mil_value input = mil_block_input(program, function_at(&s, i), k);
            const mil_type *type = mil_value_type(program, input);
            mil_dim *shape = shapes + n * MIL_MAX_RANK;
            if (fix_shape(L, program, type, shape)) types[n++] = (mil_retype){input, mil_type_dtype(type), mil_type_rank(type), shape};
        }
    check_all_fixed(L);
    mil_status status = mil_program_retype(s.owner->program, types, n, &err);
    if (status != MIL_OK) call_fix(&err);
    return done(L, status, &err);
}

/* ---- a part as a program ---- */

/* The values, or names, in the list at index, in memory on top of the stack; a single one is a list of one. */
static mil_value *check_values(lua_State *L, int index, const subject *s, const char *fn, size_t *n) {
    bool is_list = lua_istable(L, index);
    *n = lua_isnil(L, index) ? 0 : is_list ? lua_rawlen(L, index) : 1;
    mil_value *values = luamil_new_plain(L, (*n + 1) * sizeof *values);
    for (size_t i = 0; i < *n; i++) {
        if (is_list) lua_rawgeti(L, index, (int)i + 1);
        else lua_pushvalue(L, index);
        values[i] = check_value(L, lua_gettop(L), s, fn);
        lua_pop(L, 1);
    }
    return values;
}

/* f:extract { outputs = , inputs = }: the function main of a new program. */
static int edit_extract(lua_State *L) {
    static const char *const keys[] = {"outputs", "inputs", NULL};
    mil_error err;
    mil_part part;
    subject s = subject_of(L, "extract");
    lua_settop(L, 2);
    luamil_check_keys(L, 2, "extract", keys);
    luamil_option(L, 2, "outputs");
    luamil_option(L, 2, "inputs");
    part.outputs = check_values(L, 3, &s, "extract", &part.n_outputs);
    part.inputs = check_values(L, 4, &s, "extract", &part.n_inputs);
    luamil_program *made = luamil_new_program(L);
    luamil_function *function = luamil_new_function(L, lua_gettop(L), made);
    if (mil_program_extract(s.owner->program, &part, &made->program, &err) != MIL_OK) return luamil_raise(L, &err);
    function->block = mil_program_function_at(made->program, 0);
    luamil_account(L, mil_program_bytes(made->program));
    return 1;
}

/* ---- values ---- */

/* v:replace(with [, operations]): all its uses, or those by these operations. v. */
static int value_replace(lua_State *L) {
    mil_error err;
    const luamil_value *self = luamil_check_value(L, 1, "replace"), *with = luamil_check_value(L, 2, "replace");
    lua_settop(L, 3);
    if (with->owner != self->owner) return luamil_fail(L, MIL_ESTATE, "replace: the value belongs to another program");
    mil_operation *in = NULL;
    size_t n = 0;
    if (!lua_isnil(L, 3)) {
        bool is_list = lua_istable(L, 3);
        n = is_list ? lua_rawlen(L, 3) : 1;
        in = luamil_new_plain(L, (n + 1) * sizeof *in);
        for (size_t i = 0; i < n; i++) {
            if (is_list) lua_rawgeti(L, 3, (int)i + 1);
            else lua_pushvalue(L, 3);
            in[i] = luamil_check_operation(L, lua_gettop(L), self->owner, "replace");
            lua_pop(L, 1);
        }
    }
    return done(L, mil_value_replace(self->owner->program, self->id, with->id, in, n, &err), &err);
}

/* v:uses() */
static int value_uses(lua_State *L) {
    const luamil_value *self = luamil_check_value(L, 1, "uses");
    return luamil_list_users(L, self->owner, self->id);
}

/* ---- the methods ---- */

const luaL_Reg luamil_edits[] = {
    {"find", edit_find}, {"operations", edit_operations}, {"rename", edit_rename}, {"prune", edit_prune},
    {"remove_input", edit_remove_input}, {"remove_output", edit_remove_output}, {"retype", edit_retype}, {"fix", edit_fix},
    {"extract", edit_extract}, {NULL, NULL},
};
const luaL_Reg luamil_value_edits[] = {{"replace", value_replace}, {"uses", value_uses}, {NULL, NULL}};
