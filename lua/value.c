/* SPDX-License-Identifier: MIT */
/* Values as Lua looks at them. */
#include <string.h>

#include "bind.h"

luamil_value *luamil_check_value(lua_State *L, int index, const char *fn) {
    luamil_value *self = luamil_check(L, index, LUAMIL_VALUE, fn);
    luamil_live(L, self->owner);
    if (!mil_value_type(self->owner->program, self->id))
        luamil_fail(L, MIL_ESTATE, "%s: the value is no longer part of its program", fn);
    return self;
}

void luamil_push_where(lua_State *L, mil_where where) {
    if (where.file) lua_pushfstring(L, "%s:%d", where.file, where.line);
    else lua_pushnil(L);
}

/* ---- values ---- */

static void push_dims(lua_State *L, const mil_program *program, const mil_type *type) {
    int rank = mil_type_rank(type) == MIL_UNKNOWN_RANK ? 1 : mil_type_rank(type); /* "..." stands for all */
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
    luamil_new_function(L, 1, self->owner)->block = name ? mil_program_function_find(program, name) : 0;
}

static void set_size(lua_State *L, const char *key, int64_t size, bool is_said) {
    if (!is_said) return;
    lua_pushinteger(L, (lua_Integer)size);
    lua_setfield(L, -2, key);
}

/* Its symbols' ranges, by name: {S = {min = , max = , default = }}, each where it is said. */
static void push_ranges(lua_State *L, const mil_program *program, const mil_type *type) {
    char text[512];
    mil_symbol symbol;
    lua_newtable(L);
    for (int i = 0; i < mil_type_rank(type); i++) {
        if (!mil_program_symbol_of(program, mil_type_dim(type, i), &symbol)) continue;
        mil_program_dim_text(program, mil_type_dim(type, i), text, sizeof text);
        lua_createtable(L, 0, 3);
        set_size(L, "min", symbol.min, symbol.min > 0);
        set_size(L, "max", symbol.max, symbol.max >= 0);
        set_size(L, "default", symbol.standard, symbol.standard > 0);
        lua_setfield(L, -2, text);
    }
}

/* The shapes that an input may have, or nil. */
static void push_shapes(lua_State *L, const mil_program *program, mil_value value) {
    const int64_t *shapes;
    size_t n = mil_value_shapes(program, value, &shapes);
    int rank = mil_type_rank(mil_value_type(program, value));
    if (!n) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        luamil_push_shape(L, rank, shapes + i * (size_t)rank);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* {kind = , color = , width = , height = , optional = , default = , description = }: what the model's description says; else nil */
static void push_feature(lua_State *L, const mil_program *program, mil_value value) {
    mil_error err;
    mil_feature feature;
    lua_createtable(L, 0, 6);
    luamil_begin_text(L);
    if (mil_value_feature(program, value, &feature, &err) != MIL_OK) luamil_raise(L, &err);
    if (!feature.description) lua_pop(L, 1);
    else if (luamil_end_text(L, feature.description, strlen(feature.description))) lua_setfield(L, -2, "description");
    if (!*feature.kind) {
        lua_pushnil(L);
        return;
    }
    lua_pushstring(L, feature.kind);
    lua_setfield(L, -2, "kind");
    lua_pushboolean(L, feature.is_optional);
    lua_setfield(L, -2, "optional");
    if (feature.is_optional) {
        lua_pushnumber(L, feature.standard);
        lua_setfield(L, -2, "default");
    }
    if (!*feature.color) return;
    lua_pushstring(L, feature.color);
    lua_setfield(L, -2, "color");
    set_size(L, "width", feature.width, true);
    set_size(L, "height", feature.height, true);
}

static const char *const value_fields[] = {"type", "name", "where", "op", "id", "data", "func", "operation", "ranges", "shapes",
                                           "feature", NULL};

static bool value_field(lua_State *L, const char *name) {
    const char *const *fields = value_fields;
    int field = 0;
    while (fields[field] && strcmp(fields[field], name) != 0) field++;
    if (!fields[field]) return false;
    luamil_value *self = luamil_check_value(L, 1, name);
    const mil_program *program = self->owner->program;
    mil_operation operation = mil_value_operation(program, self->id);
    switch (field) {
    case 0: push_type(L, program, mil_value_type(program, self->id)); break;
    case 1: lua_pushstring(L, mil_value_name(program, self->id)); break;
    case 2: luamil_push_where(L, operation ? mil_operation_where(program, operation) : (mil_where){NULL, 0}); break;
    case 3: lua_pushstring(L, operation ? mil_op_name(mil_operation_op(program, operation)) : NULL); break;
    case 4: lua_pushinteger(L, (lua_Integer)self->id); break;
    case 5: push_data(L, self); break;
    case 6: push_function_of(L, self); break;
    case 7: if (operation) luamil_push_operation(L, 1, self->owner, operation); else lua_pushnil(L); break;
    case 8: push_ranges(L, program, mil_value_type(program, self->id)); break;
    case 9: push_shapes(L, program, self->id); break;
    case 10: push_feature(L, program, self->id); break;
    }
    return true;
}

/* v:args(): the arguments of the operation that made it. */
static int value_args(lua_State *L) {
    luamil_value *self = luamil_check_value(L, 1, "args");
    mil_operation operation = mil_value_operation(self->owner->program, self->id);
    luamil_push_args(L, self->owner, operation);
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

/* ---- computing one ---- */

/* What is in a block has no value of its own: a loop has one each turn. */
static void check_in_body(lua_State *L, const luamil_value *value, const char *fn) {
    const mil_program *program = value->owner->program;
    mil_operation outer = mil_block_parent(program, mil_value_block(program, value->id));
    const char *name = mil_value_name(program, value->id), *of = outer ? mil_value_name(program, mil_operation_output(program, outer, 0)) : NULL;
    if (outer)
        luamil_fail(L, MIL_ESTATE, "%s: %s is inside of %s%s%s; only values of a function's own body can be computed by themselves", fn,
                    name ? name : "a literal", mil_op_name(mil_operation_op(program, outer)), of ? " " : "", of ? of : "");
}

/* A model's state is not the program's, so there is none to run on. */
static void check_no_state(lua_State *L, const luamil_value *self, const mil_program *part) {
    mil_block body = mil_program_function_at(part, 0);
    const char *name = mil_value_name(self->owner->program, self->id);
    for (size_t i = 0; i < mil_block_n_inputs(part, body); i++) {
        mil_value input = mil_block_input(part, body, i);
        if (mil_type_kind_of(mil_value_type(part, input)) == MIL_STATE)
            luamil_fail(L, MIL_ESTATE, "eval: %s is computed from state %s, but eval has no state; model:run(inputs, {state = model:state()}) has one",
                        name ? name : "the value", mil_value_name(part, input));
    }
}

/* v:eval { input = tensor, ... }: the value, computed by what it needs of its program. */
static int value_eval(lua_State *L) {
    mil_error err;
    luamil_value *self = luamil_check_value(L, 1, "eval");
    check_in_body(L, self, "eval");
    lua_settop(L, 2);
    luamil_program *part = luamil_new_program(L);
    if (mil_program_extract(self->owner->program, &(mil_part){.outputs = &self->id, .n_outputs = 1}, &part->program, &err) != MIL_OK)
        return luamil_raise(L, &err);
    check_no_state(L, self, part->program);
    lua_pushnil(L);
    luamil_compile(L, part->program, NULL, 4, "eval");
    mil_program *program = part->program; /* the model has what it needs of it */
    part->program = NULL;
    mil_program_free(program);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luamil_run(L, lua_gettop(L), 2, NULL);
    lua_pushnil(L);
    lua_next(L, -2);
    return 1;
}

/* ---- the class ---- */

static const luaL_Reg value_meta[] = {{"__tostring", value_text}, {NULL, NULL}};
static const luaL_Reg value_methods[] = {{"args", value_args}, {"eval", value_eval}, {NULL, NULL}};
void luamil_open_values(lua_State *L) {
    static const luamil_class values = {LUAMIL_VALUE, "mil.value", "value", value_meta, value_methods, value_fields,
                                        value_field};
    luamil_new_class(L, &values);
    luamil_set_methods(L, luamil_value_edits);
}
