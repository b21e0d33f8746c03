/* SPDX-License-Identifier: MIT */
/* Programs, functions and values: made, changed and looked at from Lua. Ops themselves are in ops.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"

static const char dim_key, shapes_key; /* metatables of mil.dim and mil.shapes */

luamil_program *luamil_live(lua_State *L, luamil_program *owner) {
    if (!owner->program) luamil_fail(L, MIL_ESTATE, "the program has been collected");
    return owner;
}

/* ---- making them ---- */

enum { PROGRAM_BYTES = 64 << 10 }; /* about what a fresh program holds outside of Lua */

/* An empty program object; its keep table holds itself, for functions and values to share. */
static luamil_program *new_program(lua_State *L) {
    luamil_program *self = luamil_new_keeping(L, sizeof *self);
    self->program = NULL;
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, 1);
    luamil_set_keep(L, -2);
    luamil_set_class(L, LUAMIL_PROGRAM);
    return self;
}

static luamil_function *new_function(lua_State *L, int like, luamil_program *owner) {
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
    luamil_program *self = new_program(L);
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
    luamil_function *function = new_function(L, lua_gettop(L), self);
    if (mil_program_function(self->program, "main", &function->block, &err) != MIL_OK) return luamil_raise(L, &err);
    luamil_account(L, PROGRAM_BYTES);
    return 1;
}

static luamil_program *check_program(lua_State *L, const char *fn) {
    return luamil_live(L, luamil_check(L, 1, LUAMIL_PROGRAM, fn));
}

static luamil_function *check_function(lua_State *L, const char *fn) {
    luamil_function *self = luamil_check(L, 1, LUAMIL_FUNCTION, fn);
    luamil_live(L, self->owner);
    return self;
}

static luamil_value *check_value(lua_State *L, int index, const char *fn) {
    luamil_value *self = luamil_check(L, index, LUAMIL_VALUE, fn);
    luamil_live(L, self->owner);
    if (!mil_value_type(self->owner->program, self->id))
        luamil_fail(L, MIL_ESTATE, "%s: the value is no longer part of its program", fn);
    return self;
}

/* A value of this function's program. */
static mil_value check_own_value(lua_State *L, int index, const luamil_program *owner, const char *fn) {
    const luamil_value *value = check_value(L, index, fn);
    if (value->owner != owner) luamil_fail(L, MIL_ESTATE, "%s: the value belongs to another program", fn);
    return value->id;
}

/* p:func(name): the function of that name, made if there is none. */
static int program_func(lua_State *L) {
    mil_error err;
    luamil_program *self = check_program(L, "func");
    const char *name = luamil_check_string(L, 2, "func", "name", NULL);
    luamil_function *function = new_function(L, 1, self);
    function->block = mil_program_function_find(self->program, name);
    if (!function->block && mil_program_function(self->program, name, &function->block, &err) != MIL_OK)
        return luamil_raise(L, &err);
    return 1;
}

/* p:functions(): a list, in the order in which they were made. */
static int program_functions(lua_State *L) {
    luamil_program *self = check_program(L, "functions");
    size_t n = mil_program_n_functions(self->program);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        new_function(L, 1, self)->block = mil_program_function_at(self->program, i);
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

static luamil_program *owner_of(lua_State *L, const char *fn) {
    luamil_program *owner = luamil_test(L, 1, LUAMIL_PROGRAM);
    return owner ? luamil_live(L, owner) : check_function(L, fn)->owner;
}

/* ---- shapes with symbols ---- */

/* mil.dim(name, {min, max, default}) */
static int dim(lua_State *L) {
    static const char *const keys[] = {"min", "max", "default", NULL};
    luamil_check_string(L, 1, "mil.dim", "name", NULL);
    luamil_check_keys(L, 2, "mil.dim", keys);
    lua_settop(L, 2);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, 1);
    lua_setfield(L, 3, "name");
    for (const char *const *key = keys; *key; key++) {
        if (luamil_option(L, 2, *key) != LUA_TNIL) luamil_check_int(L, -1, "mil.dim", *key);
        lua_setfield(L, 3, *key);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &dim_key);
    lua_setmetatable(L, 3);
    return 1;
}

static int dim_text(lua_State *L) {
    lua_getfield(L, 1, "name");
    return 1;
}

/* mil.shapes { shape, shape, ... } : one of several. The core has ranges only: each axis that differs becomes a symbol
 * between the smallest and the largest of its sizes. */
static int shapes(lua_State *L) {
    int64_t shape[MIL_MAX_RANK];
    if (!lua_istable(L, 1) || lua_rawlen(L, 1) == 0)
        return luamil_fail(L, MIL_EINVAL, "mil.shapes: takes a list of shapes, but was given %s", LUAMIL_WHAT(L, 1));
    int rank = -1;
    for (size_t i = 1; i <= lua_rawlen(L, 1); i++) {
        lua_rawgeti(L, 1, (int)i);
        int n = luamil_check_shape(L, lua_gettop(L), "mil.shapes", shape);
        if (rank >= 0 && n != rank) return luamil_fail(L, MIL_ETYPE, "mil.shapes: all must have one rank");
        rank = n;
        lua_pop(L, 1);
    }
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &shapes_key);
    lua_setmetatable(L, 1);
    return 1;
}

static bool has_metatable(lua_State *L, int index, const void *key) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static mil_dim make_symbol(lua_State *L, luamil_program *owner, const mil_symbol *symbol) {
    mil_error err;
    mil_dim out = 0;
    if (mil_program_symbol(owner->program, symbol, &out, &err) != MIL_OK) luamil_raise(L, &err);
    return out;
}

static int64_t dim_field(lua_State *L, const char *key, int64_t standard) {
    int64_t value = standard;
    lua_getfield(L, -1, key);
    if (!lua_isnil(L, -1)) value = luamil_check_int(L, -1, "mil.dim", key);
    lua_pop(L, 1);
    return value;
}

/* The size on top of the stack: a number, a name, "?", or a mil.dim. */
static mil_dim read_dim(lua_State *L, luamil_program *owner, const char *fn) {
    int64_t size = 0;
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *name = lua_tostring(L, -1);
        return make_symbol(L, owner, &(mil_symbol){strcmp(name, "?") ? name : NULL, 0, -1, 0});
    }
    if (has_metatable(L, lua_gettop(L), &dim_key)) {
        lua_getfield(L, -1, "name");
        mil_symbol symbol = {lua_tostring(L, -1), 0, -1, 0};
        lua_pop(L, 1); /* the table holds it */
        symbol.min = dim_field(L, "min", 0);
        symbol.max = dim_field(L, "max", -1);
        symbol.standard = dim_field(L, "default", 0);
        return make_symbol(L, owner, &symbol);
    }
    if (!luamil_to_int(L, -1, &size) || size < 0)
        luamil_fail(L, MIL_EINVAL, "%s: a size is a whole number, a name or a mil.dim, but was given %s", fn,
                    LUAMIL_WHAT(L, -1));
    return size;
}

static int read_shapes(lua_State *L, int index, luamil_program *owner, const char *input, mil_dim out[MIL_MAX_RANK]) {
    int64_t shape[MIL_MAX_RANK], least[MIL_MAX_RANK] = {0}, most[MIL_MAX_RANK] = {0}, first[MIL_MAX_RANK] = {0};
    int rank = 0;
    for (size_t i = 1; i <= lua_rawlen(L, index); i++) {
        lua_rawgeti(L, index, (int)i);
        rank = luamil_check_shape(L, lua_gettop(L), "input", shape);
        lua_pop(L, 1);
        for (int k = 0; k < rank; k++) {
            if (i == 1) first[k] = least[k] = most[k] = shape[k];
            if (shape[k] < least[k]) least[k] = shape[k];
            if (shape[k] > most[k]) most[k] = shape[k];
        }
    }
    for (int k = 0; k < rank; k++) {
        char name[160];
        snprintf(name, sizeof name, "%.120s_%d", input, k);
        out[k] = least[k] == most[k] ? first[k] : make_symbol(L, owner, &(mil_symbol){name, least[k], most[k], first[k]});
    }
    return rank;
}

static int read_shape(lua_State *L, int index, luamil_program *owner, const char *fn, const char *input,
                      mil_dim out[MIL_MAX_RANK]) {
    if (has_metatable(L, index, &shapes_key)) return read_shapes(L, index, owner, input, out);
    if (!lua_istable(L, index))
        luamil_fail(L, MIL_EINVAL, "%s %s: a shape is a list of sizes, but was given %s", fn, input, LUAMIL_WHAT(L, index));
    size_t rank = lua_rawlen(L, index);
    if (rank > MIL_MAX_RANK)
        luamil_fail(L, MIL_ETYPE, "%s %s: rank %d; at most %d is possible", fn, input, (int)rank, MIL_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        out[i] = read_dim(L, owner, fn);
        lua_pop(L, 1);
    }
    return (int)rank;
}

/* ---- functions ---- */

static int add_input(lua_State *L, const char *fn, bool is_state) {
    mil_error err;
    mil_dim shape[MIL_MAX_RANK];
    mil_value value = 0;
    luamil_function *self = check_function(L, fn);
    const char *name = luamil_check_string(L, 2, fn, "name", NULL);
    mil_dtype dtype = luamil_check_dtype(L, 3, fn);
    int rank = read_shape(L, 4, self->owner, fn, name, shape);
    luamil_push_value(L, 1, self->owner, 0);
    luamil_value *out = lua_touserdata(L, -1);
    if (mil_program_input(self->owner->program, self->block, name, dtype, rank, shape, is_state, &value, &err) != MIL_OK)
        return luamil_raise(L, &err);
    out->id = value;
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

/* f:rename(value, name) */
static int function_rename(lua_State *L) {
    mil_error err;
    luamil_function *self = check_function(L, "rename");
    mil_value value = check_own_value(L, 2, self->owner, "rename");
    const char *name = luamil_check_string(L, 3, "rename", "name", NULL);
    if (mil_value_rename(self->owner->program, value, name, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 2);
    return 1;
}

/* f:undo(): takes back the last operation. */
static int function_undo(lua_State *L) {
    mil_error err;
    luamil_function *self = check_function(L, "undo");
    if (mil_program_undo(self->owner->program, self->block, &err) != MIL_OK) return luamil_raise(L, &err);
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
    if (mil_program_const(self->owner->program, self->block, made->tensor, name, position.where, &out->id, &err) != MIL_OK)
        return luamil_raise(L, &err);
    return 1;
}

/* ---- looking at operations ---- */

static void push_where(lua_State *L, mil_where where) {
    if (where.file) lua_pushfstring(L, "%s:%d", where.file, where.line);
    else lua_pushnil(L);
}

static void push_values(lua_State *L, luamil_program *owner, const mil_value *values, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_push_value(L, 1, owner, values[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* {op = , name = , where = , outputs = {values}, args = {name -> value or list}} */
static void push_operation(lua_State *L, luamil_program *owner, mil_operation operation) {
    const mil_program *program = owner->program;
    lua_createtable(L, 0, 5);
    lua_pushstring(L, mil_op_name(mil_operation_op(program, operation)));
    lua_setfield(L, -2, "op");
    if (mil_operation_n_outputs(program, operation)) {
        lua_pushstring(L, mil_value_name(program, mil_operation_output(program, operation, 0)));
        lua_setfield(L, -2, "name");
    }
    push_where(L, mil_operation_where(program, operation));
    lua_setfield(L, -2, "where");
    lua_newtable(L);
    for (size_t i = 0; i < mil_operation_n_outputs(program, operation); i++) {
        luamil_push_value(L, 1, owner, mil_operation_output(program, operation, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "outputs");
    lua_newtable(L);
    for (size_t i = 0; i < mil_operation_n_args(program, operation); i++) {
        const mil_value *values;
        size_t n;
        const char *name = mil_operation_arg(program, operation, i, &values, &n);
        if (n == 1) luamil_push_value(L, 1, owner, values[0]);
        else push_values(L, owner, values, n);
        lua_setfield(L, -2, name);
    }
    lua_setfield(L, -2, "args");
}

/* f:operations(), in order */
static int function_operations(lua_State *L) {
    luamil_function *self = check_function(L, "operations");
    const mil_program *program = self->owner->program;
    int n = 0;
    lua_settop(L, 1);
    lua_newtable(L);
    for (mil_operation at = mil_block_first(program, self->block); at; at = mil_operation_next(program, at)) {
        push_operation(L, self->owner, at);
        lua_rawseti(L, 2, ++n);
    }
    return 1;
}

/* f:mark(): the number of its operations. What adds one makes it larger, undo smaller. */
static int function_mark(lua_State *L) {
    luamil_function *self = check_function(L, "mark");
    const mil_program *program = self->owner->program;
    lua_Integer n = 0;
    for (mil_operation at = mil_block_first(program, self->block); at; at = mil_operation_next(program, at)) n++;
    lua_pushinteger(L, n);
    return 1;
}

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

/* f:find(name): the value of that name, or nil. */
static int function_find(lua_State *L) {
    luamil_function *self = check_function(L, "find");
    const char *name = luamil_check_string(L, 2, "find", "name", NULL);
    mil_value value = mil_value_find(self->owner->program, self->block, name);
    if (value) luamil_push_value(L, 1, self->owner, value);
    else lua_pushnil(L);
    return 1;
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
    if (strcmp(name, "opset") != 0) return false;
    lua_pushstring(L, mil_opset_name(mil_program_opset(self->program)));
    return true;
}

/* ---- values ---- */

static void push_dims(lua_State *L, const mil_program *program, const mil_type *type) {
    int rank = mil_type_rank(type);
    lua_createtable(L, rank, 0);
    for (int i = 0; i < rank; i++) {
        mil_dim size = mil_type_dim(type, i);
        char text[512];
        if (size < 0) {
            mil_program_dim_text(program, size, text, sizeof text);
            lua_pushstring(L, text);
        } else {
            lua_pushinteger(L, (lua_Integer)size);
        }
        lua_rawseti(L, -2, i + 1);
    }
}

static int type_text(lua_State *L) {
    lua_getfield(L, 1, "text");
    return 1;
}

/* {kind = , dtype = , shape = , text = } */
static void push_type(lua_State *L, const mil_program *program, const mil_type *type) {
    static const char *const kinds[] = {"tensor", "list", "tuple", "dict", "state"};
    static const char type_key;
    mil_type_kind kind = mil_type_kind_of(type);
    char text[512];
    mil_program_type_text(program, type, text, sizeof text);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, kinds[kind]);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, text);
    lua_setfield(L, -2, "text");
    if (kind == MIL_TENSOR || kind == MIL_STATE) {
        lua_pushstring(L, mil_dtype_name(mil_type_dtype(type)));
        lua_setfield(L, -2, "dtype");
        push_dims(L, program, type);
        lua_setfield(L, -2, "shape");
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &type_key);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, type_text);
        lua_setfield(L, -2, "__tostring");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &type_key);
    }
    lua_setmetatable(L, -2);
}

/* The value's data where it is known when the program is made, else nil. */
static void push_data(lua_State *L, const luamil_value *self) {
    mil_tensor *data = mil_value_data(self->owner->program, self->id);
    mil_error err;
    if (!data) {
        lua_pushnil(L);
        return;
    }
    luamil_tensor *t = luamil_new_tensor(L); /* a copy: small data lives in the program's own memory */
    if (mil_tensor_buffer(data)) t->tensor = mil_tensor_retain(data);
    else if (mil_tensor_convert(data, mil_tensor_dtype(data), &t->tensor, &err) != MIL_OK) luamil_raise(L, &err);
}

/* The function that the value belongs to. */
static void push_function_of(lua_State *L, const luamil_value *self) {
    const mil_program *program = self->owner->program;
    const char *name = mil_function_name(program, mil_value_block(program, self->id));
    new_function(L, 1, self->owner)->block = name ? mil_program_function_find(program, name) : 0;
}

static bool value_field(lua_State *L, const char *name) {
    static const char *const fields[] = {"type", "name", "where", "op", "id", "data", "func", NULL};
    int field = 0;
    while (fields[field] && strcmp(fields[field], name) != 0) field++;
    if (!fields[field]) return false;
    luamil_value *self = check_value(L, 1, name);
    const mil_program *program = self->owner->program;
    mil_operation operation = mil_value_operation(program, self->id);
    switch (field) {
    case 0: push_type(L, program, mil_value_type(program, self->id)); break;
    case 1: lua_pushstring(L, mil_value_name(program, self->id)); break;
    case 2: push_where(L, operation ? mil_operation_where(program, operation) : (mil_where){NULL, 0}); break;
    case 3: lua_pushstring(L, operation ? mil_op_name(mil_operation_op(program, operation)) : NULL); break;
    case 4: lua_pushinteger(L, (lua_Integer)self->id); break;
    case 5: push_data(L, self); break;
    case 6: push_function_of(L, self); break;
    }
    return true;
}

static bool uses(const mil_program *program, mil_operation operation, mil_value value) {
    for (size_t a = 0; a < mil_operation_n_args(program, operation); a++) {
        const mil_value *values;
        size_t n;
        mil_operation_arg(program, operation, a, &values, &n);
        for (size_t i = 0; i < n; i++)
            if (values[i] == value) return true;
    }
    return false;
}

/* v:uses(): the operations of its block that take it, as f:operations() has them. */
static int value_uses(lua_State *L) {
    luamil_value *self = check_value(L, 1, "uses");
    const mil_program *program = self->owner->program;
    int n = 0;
    lua_settop(L, 1);
    lua_newtable(L);
    mil_operation at = mil_block_first(program, mil_value_block(program, self->id));
    for (; at; at = mil_operation_next(program, at)) {
        if (!uses(program, at, self->id)) continue;
        push_operation(L, self->owner, at);
        lua_rawseti(L, 2, ++n);
    }
    return 1;
}

/* v:args(): the arguments of the operation that made it. */
static int value_args(lua_State *L) {
    luamil_value *self = check_value(L, 1, "args");
    mil_operation operation = mil_value_operation(self->owner->program, self->id);
    if (operation) {
        push_operation(L, self->owner, operation);
        lua_getfield(L, -1, "args");
    } else {
        lua_newtable(L);
    }
    return 1;
}

/* y : fp16[1, 4] = softmax(x = x, axis = -1) */
static int value_text(lua_State *L) {
    luamil_value *self = lua_touserdata(L, 1);
    char text[2048];
    if (!self->owner->program) lua_pushliteral(L, "(a value of a collected program)");
    else {
        mil_value_describe(self->owner->program, self->id, text, sizeof text);
        lua_pushstring(L, text);
    }
    return 1;
}

/* ---- text ---- */

static int push_text(lua_State *L, const char *fn) {
    mil_error err;
    char *text = NULL;
    size_t n = 0;
    luamil_program *owner = owner_of(L, fn);
    luamil_begin_text(L);
    if (mil_text_print(owner->program, &text, &n, &err) != MIL_OK) return luamil_raise(L, &err);
    return luamil_end_text(L, text, n);
}

static int program_text(lua_State *L) { return push_text(L, "tostring"); }

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

static int file_fail(lua_State *L, const char *fn, const char *path) {
    return luamil_fail_at(L, MIL_EIO, NULL, path, "%s: %s: %s", fn, path, strerror(errno));
}

/* Written aside and renamed. */
static bool write_file(const char *path, const char *aside, const char *text, size_t n) {
    FILE *file = fopen(aside, "wb");
    if (!file) return false;
    bool written = fwrite(text, 1, n, file) == n;
    written = fclose(file) == 0 && written;
    if (written && rename(aside, path) == 0) return true;
    int error = errno;
    remove(aside);
    errno = error;
    return false;
}

/* f:save(path), p:save(path): MIL text. */
static int program_save(lua_State *L) {
    size_t n;
    owner_of(L, "save");
    const char *path = luamil_check_string(L, 2, "save", "path", NULL);
    if (!ends_in(path, ".mil"))
        return luamil_fail_at(L, MIL_EUNSUPPORTED, NULL, path, "save: %s: programs are saved as .mil text only, so far", path);
    push_text(L, "save");
    const char *text = lua_tolstring(L, -1, &n);
    const char *aside = lua_pushfstring(L, "%s.new", path);
    if (!write_file(path, aside, text, n)) return file_fail(L, "save", path);
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
    luamil_program *self = new_program(L);
    if (mil_text_parse(text, n, &options, &self->program, &err) != MIL_OK) return luamil_raise(L, &err);
    luamil_account(L, PROGRAM_BYTES + n * 4);
    return 1;
}

/* mil.load(path): a .mil file; @model_path is its folder. */
static int load(lua_State *L) {
    mil_error err;
    mil_buffer *buffer = NULL;
    const char *path = luamil_check_string(L, 1, "mil.load", "path", NULL);
    if (!ends_in(path, ".mil"))
        return luamil_fail_at(L, MIL_EUNSUPPORTED, NULL, path, "mil.load: %s: only .mil text is read, so far", path);
    const char *slash = strrchr(path, '/');
    if (slash) lua_pushlstring(L, path, (size_t)(slash - path) + (slash == path));
    else lua_pushliteral(L, ".");
    mil_text_options options = {.name = path, .model_path = lua_tostring(L, -1)};
    luamil_program *self = new_program(L);
    size_t n = 0;
    mil_status status = mil_buffer_map(path, &buffer, &err);
    if (status == MIL_OK) {
        n = mil_buffer_bytes(buffer);
        status = mil_text_parse(mil_buffer_data(buffer), n, &options, &self->program, &err);
    }
    mil_buffer_free(buffer);
    if (status != MIL_OK) return luamil_raise(L, &err);
    luamil_account(L, PROGRAM_BYTES + n * 4);
    return 1;
}

/* ---- compiling ---- */

/* p:compile(options), f:compile(options) */
static int program_compile(lua_State *L) {
    luamil_program *owner = owner_of(L, "compile");
    const luamil_function *function = luamil_test(L, 1, LUAMIL_FUNCTION);
    lua_settop(L, 2);
    return luamil_compile(L, owner->program, function ? mil_function_name(owner->program, function->block) : NULL, 2,
                          "compile");
}

/* p:verify(): the program; raises where something does not hold. */
static int program_verify(lua_State *L) {
    mil_error err;
    if (mil_program_verify(owner_of(L, "verify")->program, &err) != MIL_OK) return luamil_raise(L, &err);
    lua_settop(L, 1);
    return 1;
}

/* v:eval { input = tensor, ... }: the value, computed by what it needs of its program. */
static int value_eval(lua_State *L) {
    mil_error err;
    luamil_value *self = check_value(L, 1, "eval");
    lua_settop(L, 2);
    luamil_program *part = new_program(L);
    if (mil_program_extract(self->owner->program, &self->id, 1, &part->program, &err) != MIL_OK)
        return luamil_raise(L, &err);
    lua_pushnil(L);
    luamil_compile(L, part->program, NULL, 4, "eval");
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luamil_run(L, lua_gettop(L), 2);
    lua_pushnil(L);
    lua_next(L, -2);
    return 1;
}

/* ---- classes ---- */

static const luaL_Reg program_meta[] = {{"__tostring", program_text}, {"__gc", program_gc}, {NULL, NULL}};
static const luaL_Reg program_methods[] = {
    {"func", program_func}, {"functions", program_functions}, {"save", program_save}, {"compile", program_compile},
    {"verify", program_verify}, {NULL, NULL},
};
static const char *const program_fields[] = {"opset", NULL};

static const luaL_Reg function_meta[] = {{"__tostring", program_text}, {NULL, NULL}};
static const luaL_Reg function_methods[] = {
    {"input", function_input}, {"state", function_state}, {"output", function_output}, {"const", function_const},
    {"rename", function_rename}, {"undo", function_undo}, {"mark", function_mark}, {"operations", function_operations}, {"find", function_find},
    {"save", program_save}, {"compile", program_compile}, {"verify", program_verify}, {NULL, NULL},
};
static const char *const function_fields[] = {"name", "opset", "inputs", "outputs", "program", NULL};

static const luaL_Reg value_meta[] = {{"__tostring", value_text}, {NULL, NULL}};
static const luaL_Reg value_methods[] = {{"uses", value_uses}, {"args", value_args}, {"eval", value_eval}, {NULL, NULL}};
static const char *const value_fields[] = {"type", "name", "where", "op", "id", "data", "func", NULL};

static void new_metatable(lua_State *L, const void *key, lua_CFunction text) {
    lua_createtable(L, 0, 1);
    if (text) {
        lua_pushcfunction(L, text);
        lua_setfield(L, -2, "__tostring");
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void luamil_open_programs(lua_State *L) {
    static const luamil_class programs = {LUAMIL_PROGRAM, "mil.program", "program", program_meta, program_methods,
                                          program_fields, program_field};
    static const luamil_class functions = {LUAMIL_FUNCTION, "mil.function", "function", function_meta, function_methods,
                                           function_fields, function_field};
    static const luamil_class values = {LUAMIL_VALUE, "mil.value", "value", value_meta, value_methods, value_fields,
                                        value_field};
    int top = lua_gettop(L);
    luamil_new_class(L, &programs);
    luamil_new_class(L, &functions);
    luamil_new_class(L, &values);
    luamil_open_ops(L, top + 3, top + 2);
    new_metatable(L, &dim_key, dim_text);
    new_metatable(L, &shapes_key, NULL);
    lua_settop(L, top);
}

const luaL_Reg luamil_program_functions[] = {
    {"program", program}, {"func", func}, {"dim", dim}, {"shapes", shapes}, {"parse", parse}, {"load", load}, {NULL, NULL},
};
