/* SPDX-License-Identifier: MIT */
/* Programs and functions: made, changed, looked at, printed, saved, read, compiled. Their ops are in ops.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"

luamil_program *luamil_live(lua_State *L, luamil_program *owner) {
    if (!owner->program) luamil_fail(L, MIL_ESTATE, "the program has been collected");
    return owner;
}

/* ---- making them ---- */

enum { PROGRAM_BYTES = 64 << 10 }; /* about what a fresh program holds outside of Lua */

/* An empty program object; its keep table holds itself, for functions and values to share. */
luamil_program *luamil_new_program(lua_State *L) {
    luamil_program *self = luamil_new_keeping(L, sizeof *self);
    *self = (luamil_program){0};
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, 1);
    luamil_set_keep(L, -2);
    luamil_set_class(L, LUAMIL_PROGRAM);
    return self;
}

luamil_function *luamil_new_function(lua_State *L, int like, luamil_program *owner) {
    luamil_function *function = luamil_new_keeping(L, sizeof *function);
    *function = (luamil_function){owner, 0};
    luamil_get_keep(L, like);
    luamil_set_keep(L, -2);
    luamil_set_class(L, LUAMIL_FUNCTION);
    return function;
}

static mil_opset option_opset(lua_State *L, const char *fn) {
    static const char *const keys[] = {"opset", NULL};
    luamil_check_keys(L, 1, fn, keys);
    luamil_option(L, 1, "opset");
    return luamil_check_opset(L, lua_gettop(L), fn);
}

static luamil_program *make_program(lua_State *L, const char *fn) {
    mil_error err;
    lua_settop(L, 1);
    mil_opset opset = option_opset(L, fn);
    luamil_program *self = luamil_new_program(L);
    if (mil_program_new(opset, &self->program, &err) != MIL_OK) luamil_raise(L, &err);
    return self;
}

/* mil.program(options) */
static int program(lua_State *L) {
    make_program(L, "mil.program");
    luamil_account(L, PROGRAM_BYTES);
    return 1;
}

/* mil.func(options) */
static int func(lua_State *L) {
    mil_error err;
    luamil_program *self = make_program(L, "mil.func");
    luamil_function *function = luamil_new_function(L, lua_gettop(L), self);
    if (mil_program_function(self->program, "main", &function->block, &err) != MIL_OK) return luamil_raise(L, &err);
    luamil_account(L, PROGRAM_BYTES);
    return 1;
}

static luamil_program *check_program(lua_State *L, const char *fn) {
    return luamil_live(L, luamil_check(L, 1, LUAMIL_PROGRAM, fn));
}

luamil_function *luamil_check_function(lua_State *L, int index, const char *fn) {
    luamil_function *self = luamil_check(L, index, LUAMIL_FUNCTION, fn);
    if (!mil_function_name(luamil_live(L, self->owner)->program, self->block))
        luamil_fail(L, MIL_ESTATE, "%s: the function is no longer part of its program", fn);
    return self;
}

static luamil_function *check_function(lua_State *L, const char *fn) { return luamil_check_function(L, 1, fn); }

/* A value of this function's program. */
static mil_value check_own_value(lua_State *L, int index, const luamil_program *owner, const char *fn) {
    const luamil_value *value = luamil_check_value(L, index, fn);
    if (value->owner != owner) luamil_fail(L, MIL_ESTATE, "%s: the value belongs to another program", fn);
    return value->id;
}

/* p:func(name): the function of that name, made if there is none. */
static int program_func(lua_State *L) {
    mil_error err;
    luamil_program *self = check_program(L, "func");
    const char *name = luamil_check_string(L, 2, "func", "name", NULL);
    luamil_function *function = luamil_new_function(L, 1, self);
    function->block = mil_program_function_find(self->program, name);
    if (!function->block && mil_program_function(self->program, name, &function->block, &err) != MIL_OK)
        return luamil_raise(L, &err);
    return 1;
}

/* p:remove_function(f or name) */
static int program_remove_function(lua_State *L) {
    mil_error err;
    luamil_program *self = check_program(L, "remove_function");
    mil_block function;
    if (lua_type(L, 2) == LUA_TSTRING) {
        function = mil_program_function_find(self->program, lua_tostring(L, 2));
        if (!function) return luamil_fail(L, MIL_ENAME, "remove_function: there is no function \"%.80s\"", lua_tostring(L, 2));
    } else {
        const luamil_function *given = luamil_check_function(L, 2, "remove_function");
        if (given->owner != self) return luamil_fail(L, MIL_ESTATE, "remove_function: the function belongs to another program");
        function = given->block;
    }
    if (mil_program_remove_function(self->program, function, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

/* p:functions(): a list, in the order in which they were made. */
static int program_functions(lua_State *L) {
    luamil_program *self = check_program(L, "functions");
    size_t n = mil_program_n_functions(self->program);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_new_function(L, 1, self)->block = mil_program_function_at(self->program, i);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int program_gc(lua_State *L) {
    luamil_program *self = lua_touserdata(L, 1);
    mil_program *program = self->program;
    self->program = NULL;
    mil_program_free(program);
    return 0;
}

luamil_program *luamil_owner(lua_State *L, const char *fn, mil_block *function) {
    luamil_program *program = luamil_test(L, 1, LUAMIL_PROGRAM);
    const luamil_function *self = program ? NULL : check_function(L, fn);
    if (function) *function = self ? self->block : 0;
    return luamil_live(L, program ? program : self->owner);
}

/* ---- functions ---- */

static int add_input(lua_State *L, const char *fn, bool is_state) {
    mil_error err;
    mil_dim shape[MIL_MAX_RANK];
    mil_value value = 0;
    luamil_function *self = check_function(L, fn);
    const char *name = luamil_check_string(L, 2, fn, "name", NULL);
    mil_dtype dtype = luamil_check_dtype(L, 3, fn);
    int rank = luamil_read_dims(L, 4, self->owner, fn, name, shape);
    luamil_push_value(L, 1, self->owner, 0);
    luamil_value *out = lua_touserdata(L, -1);
    if (mil_program_input(self->owner->program, self->block, name, dtype, rank, shape, is_state, &value, &err) != MIL_OK)
        return luamil_raise(L, &err);
    out->id = value;
    luamil_give_shapes(L, 4, self->owner, value);
    return 1;
}

/* f:input(name, dtype, shape) */
static int function_input(lua_State *L) { return add_input(L, "input", false); }
/* f:state(name, dtype, shape) */
static int function_state(lua_State *L) { return add_input(L, "state", true); }

/* f:output(name, value): the value that is the output. */
static int function_output(lua_State *L) {
    mil_error err;
    luamil_function *self = check_function(L, "output");
    const char *name = luamil_check_string(L, 2, "output", "name", NULL);
    mil_value value = check_own_value(L, 3, self->owner, "output");
    luamil_push_value(L, 1, self->owner, 0);
    luamil_value *out = lua_touserdata(L, -1);
    if (mil_program_output(self->owner->program, self->block, name, value, &out->id, &err) != MIL_OK)
        return luamil_raise(L, &err);
    return 1;
}

/* The number of the operation that was made last of those in the function; 0: there is none. */
static mil_operation latest(const luamil_function *self) {
    const mil_program *program = self->owner->program;
    mil_operation latest = 0;
    for (mil_operation at = mil_block_first(program, self->block); at; at = mil_operation_after(program, at))
        if (at > latest) latest = at;
    return latest;
}

/* f:mark(): numbers are never used again, so what is made from now on has a larger one. */
static int function_mark(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)latest(check_function(L, "mark")));
    return 1;
}

/* f:undo([mark]): takes back the last operation, or those made since the mark that nobody uses, the latest first. */
static int function_undo(lua_State *L) {
    mil_error err;
    luamil_function *self = check_function(L, "undo");
    mil_program *program = self->owner->program;
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        if (mil_program_undo(program, self->block, &err) != MIL_OK) return luamil_raise(L, &err);
    } else {
        int64_t mark = luamil_check_int(L, 2, "undo", "a mark");
        for (mil_operation at = latest(self); at > 0 && at > mark; at--) {
            mil_block block = mil_operation_block(program, at); /* 0: gone */
            if (block && mil_function_name(program, block) == mil_function_name(program, self->block))
                mil_operation_remove(program, at, NULL);
        }
    }
    lua_settop(L, 1);
    return 1;
}

/* What a const is made of, in `made`: the tensor at index 2, or the numbers there. */
static void const_tensor(lua_State *L, mil_dtype dtype, luamil_tensor *made) {
    mil_error err;
    mil_tensor *tensor = luamil_check_tensor(L, 2, "const");
    if (!dtype || dtype == mil_tensor_dtype(tensor)) made->tensor = mil_tensor_retain(tensor);
    else if (mil_tensor_convert(tensor, dtype, &made->tensor, &err) != MIL_OK) luamil_raise(L, &err);
}

static void const_literal(lua_State *L, mil_dtype dtype, luamil_tensor *made) {
    mil_error err;
    luamil_literal literal;
    luamil_read_literal(L, 2, 3, "const", &literal);
    if (!dtype) dtype = luamil_literal_dtype(&literal);
    if (luamil_literal_tensor(&literal, dtype, "const", &made->tensor, &err) != MIL_OK) luamil_raise(L, &err);
}

/* f:const(data [, dtype]), f:const{val = data, dtype = , name = } */
static int function_const(lua_State *L) {
    static const char *const keys[] = {"val", "dtype", "name", NULL};
    mil_error err;
    luamil_position position;
    luamil_function *self = check_function(L, "const");
    const char *name = NULL;
    lua_settop(L, 3);
    bool is_named = luamil_option(L, 2, "val") != LUA_TNIL;
    if (is_named) {
        luamil_check_keys(L, 2, "const", keys);
        if (luamil_option(L, 2, "name") != LUA_TNIL) name = luamil_check_string(L, 5, "const", "name", NULL);
        luamil_option(L, 2, "dtype");
        lua_replace(L, 3);
        lua_pushvalue(L, 4);
        lua_replace(L, 2); /* the name stays at 5 */
    }
    mil_dtype dtype = lua_isnil(L, 3) ? MIL_NO_DTYPE : luamil_check_dtype(L, 3, "const");
    luamil_tensor *made = luamil_new_tensor(L);
    if (luamil_kind_of(L, 2) == LUAMIL_TENSOR) const_tensor(L, dtype, made);
    else const_literal(L, dtype, made);
    luamil_where(L, &position);
    luamil_push_value(L, 1, self->owner, 0);
    luamil_value *out = lua_touserdata(L, -1);
    if (mil_program_const(self->owner->program, luamil_open_block(self->owner, self->block), made->tensor, name, position.where, &out->id, &err) != MIL_OK)
        return luamil_raise(L, &err);
    return 1;
}

/* ---- looking at functions ---- */

static void push_block_values(lua_State *L, luamil_function *self, bool outputs) {
    const mil_program *program = self->owner->program;
    size_t n = outputs ? mil_block_n_outputs(program, self->block) : mil_block_n_inputs(program, self->block);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_push_value(L, 1, self->owner,
                          outputs ? mil_block_output(program, self->block, i) : mil_block_input(program, self->block, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static bool function_field(lua_State *L, const char *name) {
    luamil_function *self = check_function(L, "function");
    if (strcmp(name, "name") == 0) lua_pushstring(L, mil_function_name(self->owner->program, self->block));
    else if (strcmp(name, "opset") == 0) lua_pushstring(L, mil_opset_name(mil_program_opset(self->owner->program)));
    else if (strcmp(name, "inputs") == 0) push_block_values(L, self, false);
    else if (strcmp(name, "outputs") == 0) push_block_values(L, self, true);
    else if (strcmp(name, "program") == 0) {
        luamil_get_keep(L, 1);
        lua_rawgeti(L, -1, 1);
    } else return false;
    return true;
}

static bool program_field(lua_State *L, const char *name) {
    luamil_program *self = check_program(L, "program");
    if (strcmp(name, "opset") == 0) {
        lua_pushstring(L, mil_opset_name(mil_program_opset(self->program)));
    } else if (strcmp(name, "specification") == 0) {
        lua_pushinteger(L, mil_program_specification(self->program));
    } else if (strcmp(name, "entry") == 0) {
        mil_block entry = mil_program_entry(self->program);
        if (entry) luamil_new_function(L, 1, self)->block = entry;
        else lua_pushnil(L);
    } else return false;
    return true;
}

/* ---- text ---- */

static int push_text(lua_State *L, const char *fn) {
    mil_error err;
    char *text = NULL;
    size_t n = 0;
    luamil_program *owner = luamil_owner(L, fn, NULL);
    luamil_begin_text(L);
    if (mil_text_print(owner->program, &text, &n, &err) != MIL_OK) return luamil_raise(L, &err);
    return luamil_end_text(L, text, n);
}

static int program_text(lua_State *L) { return push_text(L, "tostring"); }

static const char *const progress_keys[] = {"progress", NULL};

/* f:save(path [, options]), p:save(path [, options]): a package, a compiled bundle or text, by the name's ending. */
static int program_save(lua_State *L) {
    static const char *const keys[] = {"progress", "alone", NULL};
    mil_error err;
    luamil_progress progress;
    luamil_program *owner = luamil_owner(L, "save", NULL);
    const char *path = luamil_check_string(L, 2, "save", "path", NULL);
    luamil_check_keys(L, 3, "save", keys);
    lua_settop(L, 3);
    luamil_option(L, 3, "alone");
    const mil_save_options options = {luamil_begin_progress(L, 3, "save", &progress), &progress, lua_toboolean(L, 4)};
    mil_status status = mil_program_save(owner->program, path, &options, &err);
    luamil_end_progress(&progress);
    if (status != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

/* mil.parse(text [, {name = , model_path = }]) */
static int parse(lua_State *L) {
    static const char *const keys[] = {"name", "model_path", "unchecked", NULL};
    mil_error err;
    size_t n;
    const char *text = luamil_check_string(L, 1, "mil.parse", "text", &n);
    luamil_check_keys(L, 2, "mil.parse", keys);
    lua_settop(L, 2);
    mil_text_options options = {0};
    if (luamil_option(L, 2, "name") != LUA_TNIL) options.name = luamil_check_string(L, 3, "mil.parse", "name", NULL);
    if (luamil_option(L, 2, "model_path") != LUA_TNIL)
        options.model_path = luamil_check_string(L, 4, "mil.parse", "model_path", NULL);
    luamil_option(L, 2, "unchecked");
    options.unchecked = lua_toboolean(L, 5);
    luamil_program *self = luamil_new_program(L);
    if (mil_text_parse(text, n, &options, &self->program, &err) != MIL_OK) return luamil_raise(L, &err);
    luamil_account(L, mil_program_bytes(self->program));
    return 1;
}

/* mil.load(path [, options]): a package, a compiled bundle, or a .mil file. */
static int load(lua_State *L) {
    mil_error err;
    luamil_progress progress;
    const char *path = luamil_check_string(L, 1, "mil.load", "path", NULL);
    luamil_check_keys(L, 2, "mil.load", progress_keys);
    lua_settop(L, 2);
    const mil_load_options options = {luamil_begin_progress(L, 2, "mil.load", &progress), &progress};
    luamil_program *self = luamil_new_program(L);
    mil_status status = mil_program_load(path, &options, &self->program, &err);
    luamil_end_progress(&progress);
    if (status != MIL_OK) return luamil_raise(L, &err);
    luamil_account(L, mil_program_bytes(self->program));
    return 1;
}

/* ---- metadata ---- */

static void push_metadata(lua_State *L, const mil_program *program) {
    const char *key, *value;
    lua_newtable(L);
    for (size_t i = 0; (key = mil_program_metadata_at(program, i, &value)); i++) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, key);
    }
}

/* The key and value on top of the stack, as metadata may have them: false removes. */
static const char *check_pair(lua_State *L) {
    bool removes = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    if (lua_type(L, -2) == LUA_TSTRING && (removes || lua_type(L, -1) == LUA_TSTRING)) return removes ? NULL : lua_tostring(L, -1);
    luamil_fail(L, MIL_EINVAL, "metadata: takes a table of strings (false removes one), but [%s] is %s", LUAMIL_WHAT(L, -2),
                LUAMIL_WHAT(L, -1));
    return NULL;
}

/* p:metadata(): a table of strings; p:metadata { author = "..", old = false }: the program, with these changed. */
static int program_metadata(lua_State *L) {
    mil_error err;
    mil_program *program = luamil_owner(L, "metadata", NULL)->program;
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) return push_metadata(L, program), 1;
    if (!lua_istable(L, 2)) return luamil_fail(L, MIL_EINVAL, "metadata: takes a table of strings, but was given %s", LUAMIL_WHAT(L, 2));
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) check_pair(L); /* all of them, before the first is set */
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
        if (mil_program_set_metadata(program, lua_tostring(L, -2), check_pair(L), &err) != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

/* ---- compiling ---- */

/* p:compile(options), f:compile(options) */
static int program_compile(lua_State *L) {
    luamil_program *owner = luamil_owner(L, "compile", NULL);
    const luamil_function *function = luamil_test(L, 1, LUAMIL_FUNCTION);
    lua_settop(L, 2);
    return luamil_compile(L, owner->program, function ? mil_function_name(owner->program, function->block) : NULL, 2,
                          "compile");
}

/* p:verify(): the program; raises where something does not hold. */
static int program_verify(lua_State *L) {
    mil_error err;
    if (mil_program_verify(luamil_owner(L, "verify", NULL)->program, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

/* ---- classes ---- */

static const luaL_Reg program_meta[] = {{"__tostring", program_text}, {"__gc", program_gc}, {NULL, NULL}};
static const luaL_Reg program_methods[] = {
    {"func", program_func}, {"functions", program_functions}, {"remove_function", program_remove_function}, {"save", program_save}, {"compile", program_compile},
    {"verify", program_verify}, {"metadata", program_metadata}, {NULL, NULL},
};
static const char *const program_fields[] = {"opset", "specification", "entry", NULL};

static const luaL_Reg function_meta[] = {{"__tostring", program_text}, {NULL, NULL}};
static const luaL_Reg function_methods[] = {
    {"input", function_input}, {"state", function_state}, {"output", function_output}, {"const", function_const},
    {"undo", function_undo}, {"mark", function_mark},
    {"save", program_save}, {"compile", program_compile}, {"verify", program_verify}, {"metadata", program_metadata}, {NULL, NULL},
};
static const char *const function_fields[] = {"name", "opset", "inputs", "outputs", "program", NULL};

void luamil_open_programs(lua_State *L) {
    static const luamil_class programs = {LUAMIL_PROGRAM, "mil.program", "program", program_meta, program_methods,
                                          program_fields, program_field};
    static const luamil_class functions = {LUAMIL_FUNCTION, "mil.function", "function", function_meta, function_methods,
                                           function_fields, function_field};
    int top = lua_gettop(L);
    luamil_open_operations(L);
    luamil_open_lowered(L);
    luamil_new_class(L, &programs);
    luamil_set_methods(L, luamil_edits);
    luamil_set_methods(L, luamil_lowerings);
    luamil_set_methods(L, luamil_checks);
    luamil_new_class(L, &functions);
    luamil_set_methods(L, luamil_edits);
    luamil_set_methods(L, luamil_lowerings);
    luamil_set_methods(L, luamil_checks);
    luamil_open_values(L);
    luamil_open_ops(L, top + 3, top + 2);
    lua_settop(L, top);
}

const luaL_Reg luamil_program_functions[] = {
    {"program", program}, {"func", func}, {"parse", parse}, {"load", load}, {NULL, NULL},
};
