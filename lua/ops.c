/* SPDX-License-Identifier: MIT */
/* Ops as methods. One C function serves them all; which op it is stands in an upvalue, made when the module opens, so
 * that a call looks nothing up but the names of its arguments. Also operators, and the op table for Lua (mil.op). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"

enum { N_TUPLES = 4 }; /* reshape_like has as many */

/* An op as its method needs it; static strings of the core's. */
typedef struct op_entry {
    const mil_op *op;
    const char *name;
    const char *first;        /* the parameter that a value as `self` stands for */
    const char *second;       /* that one positional argument stands for; NULL: none */
    const char *tuples[N_TUPLES]; /* the parameters that take several values; NULL at the end, where there is room */
    const char *pair[2];      /* two consts of one dtype that no other parameter is of (one_hot's values); each has a default: */
    int64_t pair_default[2];
    bool has_pad;             /* one that counts where an optional pad_type says so */
} op_entry;

/* By letter of a group of parameters: what it has. */
typedef struct groups {
    struct group {
        int n;                /* of consts with a default; NO_PAIR and above where there are others too */
        const char *name[2];
        int64_t number[2];
    } of[26];
} groups;
enum { NO_PAIR = 100 };

static void add_to_group(groups *all, const mil_param *param) {
    if (param->group < 'A' || param->group > 'Z') return;
    struct group *g = &all->of[param->group - 'A'];
    if (param->kind != MIL_PARAM_CONST || !param->default_text) g->n = NO_PAIR;
    else if (g->n < 2) {
        g->name[g->n] = param->name;
        g->number[g->n] = strtoll(param->default_text, NULL, 10);
    }
    g->n++;
}

static void fill_entry(op_entry *entry, const mil_op *op) {
    mil_param param;
    groups all = {0};
    int n_tuples = 0;
    *entry = (op_entry){.op = op, .name = mil_op_name(op)};
    for (size_t i = 0; mil_op_param(op, MIL_IOS18, i, &param); i++) {
        if (param.kind == MIL_PARAM_TUPLE && n_tuples < N_TUPLES) entry->tuples[n_tuples++] = param.name;
        if (!param.required && strcmp(param.name, "pad_type") == 0) entry->has_pad = true;
        add_to_group(&all, &param);
        if (!param.required) continue; /* avg_pool's first is optional: self is x all the same */
        if (!entry->first) entry->first = param.name;
        else if (!entry->second) entry->second = param.name;
    }
    if (!entry->first && mil_op_param(op, MIL_IOS18, 0, &param)) entry->first = param.name;
    for (int g = 0; g < 26; g++) {
        if (all.of[g].n != 2) continue;
        memcpy(entry->pair, all.of[g].name, sizeof entry->pair);
        memcpy(entry->pair_default, all.of[g].number, sizeof entry->pair_default);
    }
}

/* ---- values as results ---- */

/* An empty one, which keeps its program alive as the object at index `like` does. */
static luamil_value *new_value(lua_State *L, int like, luamil_program *owner) {
    luamil_value *value = luamil_new_keeping(L, sizeof *value);
    *value = (luamil_value){owner, 0};
    luamil_get_keep(L, like);
    luamil_set_keep(L, -2);
    luamil_set_class(L, LUAMIL_VALUE);
    return value;
}

int luamil_push_value(lua_State *L, int like, luamil_program *owner, mil_value id) {
    new_value(L, like, owner)->id = id;
    return 1;
}

/* The results of an operation of which outs[0] is the first, from the second on. */
static int push_more(lua_State *L, int like, luamil_program *owner, mil_value first, size_t n) {
    mil_operation operation = mil_value_operation(owner->program, first);
    luaL_checkstack(L, (int)n + 4, "too many results");
    for (size_t i = 1; i < n; i++) luamil_push_value(L, like, owner, mil_operation_output(owner->program, operation, i));
    return (int)n;
}

static const mil_arg *find_arg(const luamil_args *args, const char *name) {
    for (size_t i = 0; i < args->n; i++)
        if (strcmp(args->arg[i].name, name) == 0) return &args->arg[i];
    return NULL;
}

/* Where one of a pair is given as anything but integers the other is, too: so its default is a number of that one's dtype, and MIL's
 * own is of int32 or fp32 alone. */
static void complete_pair(const op_entry *entry, luamil_args *args) {
    if (!entry->pair[1] || args->n == LUAMIL_MAX_ARGS) return;
    const mil_arg *given[2] = {find_arg(args, entry->pair[0]), find_arg(args, entry->pair[1])};
    int absent = given[0] ? 1 : 0;
    if (!given[0] == !given[1] || given[!absent]->kind == MIL_ARG_BOOLS || given[!absent]->kind == MIL_ARG_INTS) return;
    args->arg[args->n++] = (mil_arg){.name = entry->pair[absent], .kind = MIL_ARG_INTS, .data = &entry->pair_default[absent], .n = 1};
}

/* MIL takes a pad that no pad_type makes count, and does without it: nobody means that. */
static void check_pad(lua_State *L, const op_entry *entry, const luamil_args *args) {
    const mil_arg *pad = entry->has_pad ? find_arg(args, "pad") : NULL;
    bool counts = false;
    for (size_t i = 0; pad && pad->kind == MIL_ARG_INTS && i < pad->n; i++) counts |= ((const int64_t *)pad->data)[i] != 0;
    if (counts && !find_arg(args, "pad_type"))
        luamil_fail_at(L, MIL_EVALUE, entry->name, "pad", "%s: pad is for pad_type = \"custom\", but no pad_type is given, which means \"valid\"",
                       entry->name);
}

/* Adds the operation; `like` is an object of its program. */
static int add(lua_State *L, int like, const op_entry *entry, luamil_args *args, mil_block block) {
    mil_error err;
    luamil_position position;
    size_t n = 0;
    luamil_where(L, &position);
    luamil_value *result = new_value(L, like, args->owner);
    luamil_settle_args(L, args);
    check_pad(L, entry, args);
    complete_pair(entry, args);
    mil_status status = mil_program_add(args->owner->program, block, entry->op, args->arg, args->n, args->name,
                                        position.where, &result->id, 1, &n, &err);
    if (status != MIL_OK) return luamil_raise(L, &err);
    return n == 1 ? 1 : push_more(L, like, args->owner, result->id, n);
}

/* ---- arguments ---- */

static bool is_tuple(const op_entry *entry, const char *param) {
    for (int i = 0; i < N_TUPLES && entry->tuples[i]; i++)
        if (strcmp(entry->tuples[i], param) == 0) return true;
    return false;
}

static void add_named(lua_State *L, luamil_args *args, const op_entry *entry) {
    if (lua_type(L, -2) != LUA_TSTRING)
        luamil_fail_at(L, MIL_EINVAL, entry->name, NULL, "%s: arguments in a table have names, but [%s] has none", entry->name,
                       LUAMIL_WHAT(L, -2));
    const char *key = lua_tostring(L, -2);
    if (strcmp(key, "name") == 0) {
        args->name = luamil_check_string(L, -1, entry->name, "name", NULL);
        return;
    }
    if (strcmp(key, "end_") == 0) key = "end";
    luamil_add_arg(L, args, lua_gettop(L), key, is_tuple(entry, key));
}

static void add_positional(lua_State *L, luamil_args *args, const op_entry *entry, const char *param) {
    if (lua_isnil(L, 2))
        luamil_fail_at(L, MIL_EINVAL, entry->name, param, "%s: was given nil", entry->name);
    if (lua_gettop(L) > 2)
        luamil_fail_at(L, MIL_EINVAL, entry->name, NULL, "%s: takes one argument, or several in a table, by name",
                       entry->name);
    if (!param)
        luamil_fail_at(L, MIL_EINVAL, entry->name, NULL, "%s: takes no second input; give arguments in a table, by name",
                       entry->name);
    luamil_add_arg(L, args, 2, param, false);
}

/* f:op{...}, value:op{...}, value:op(second), value:op(). Upvalue 1: the op_entry. */
static int call_op(lua_State *L) {
    const op_entry *entry = lua_touserdata(L, lua_upvalueindex(1));
    luamil_kind kind = luamil_kind_of(L, 1);
    luamil_args args;
    mil_block block;
    const char *positional = entry->second;
    if (kind == LUAMIL_VALUE) {
        const luamil_value *self = lua_touserdata(L, 1);
        luamil_start_args(&args, entry->name, luamil_live(L, self->owner), 3);
        block = mil_value_block(self->owner->program, self->id);
        if (!block)
            return luamil_fail_at(L, MIL_ESTATE, entry->name, entry->first,
                                  "%s: the value is no longer part of its program", entry->name);
        block = luamil_open_block(self->owner, block);
        args.arg[args.n++] = (mil_arg){.name = entry->first, .kind = MIL_ARG_VALUE, .value = self->id};
    } else if (kind == LUAMIL_FUNCTION) {
        const luamil_function *self = lua_touserdata(L, 1);
        luamil_start_args(&args, entry->name, luamil_live(L, self->owner), 3);
        block = luamil_open_block(self->owner, self->block);
        positional = entry->first;
    } else {
        return luamil_fail_at(L, MIL_EINVAL, entry->name, NULL, "%s: is a method (f:%s or x:%s), but its object is %s",
                              entry->name, entry->name, entry->name, LUAMIL_WHAT(L, 1));
    }
    if (lua_istable(L, 2)) {
        lua_settop(L, 2);
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) add_named(L, &args, entry);
    } else if (lua_gettop(L) > 1) {
        add_positional(L, &args, entry, positional);
    }
    return add(L, 1, entry, &args, block);
}

/* ---- operators ---- */

/* Either operand is a value; the other a value, tensor, number, or table. Upvalue 1: the op_entry. */
static int call_operator(lua_State *L) {
    const op_entry *entry = lua_touserdata(L, lua_upvalueindex(1));
    int like = luamil_kind_of(L, 1) == LUAMIL_VALUE ? 1 : 2;
    const luamil_value *self = lua_touserdata(L, like);
    luamil_args args;
    lua_settop(L, 2);
    luamil_start_args(&args, entry->name, luamil_live(L, self->owner), 3);
    mil_block block = mil_value_block(self->owner->program, self->id);
    if (!block)
        return luamil_fail_at(L, MIL_ESTATE, entry->name, NULL, "%s: the value is no longer part of its program",
                              entry->name);
    block = luamil_open_block(self->owner, block);
    luamil_add_arg(L, &args, 1, entry->first, false);
    luamil_add_arg(L, &args, 2, entry->second, false);
    return add(L, like, entry, &args, block);
}

/* -x is x * -1: MIL has no op of its own for it. */
static int call_minus(lua_State *L) {
    lua_settop(L, 1);
    lua_pushinteger(L, -1);
    return call_operator(L);
}

static int no_comparison(lua_State *L) {
    const char *method = lua_tostring(L, lua_upvalueindex(1)), *other = lua_tostring(L, lua_upvalueindex(2));
    return luamil_fail(L, MIL_EINVAL, "a comparison of values can't give a value in Lua; write a:%s(b) (or :%s)", method,
                       other);
}

static void set_operator(lua_State *L, const char *event, op_entry *entries, const char *op, lua_CFunction function) {
    for (size_t i = 0; i < mil_op_count(); i++) {
        if (strcmp(entries[i].name, op) != 0) continue;
        lua_pushlightuserdata(L, &entries[i]);
        lua_pushcclosure(L, function, 1);
        lua_setfield(L, -2, event);
    }
}

static void set_comparison(lua_State *L, const char *event, const char *method, const char *other) {
    lua_pushstring(L, method);
    lua_pushstring(L, other);
    lua_pushcclosure(L, no_comparison, 2);
    lua_setfield(L, -2, event);
}

static void set_operators(lua_State *L, op_entry *entries) {
    static const char *const events[][2] = {{"__add", "add"}, {"__sub", "sub"}, {"__mul", "mul"}, {"__div", "real_div"},
                                            {"__idiv", "floor_div"}, {"__mod", "mod"}, {"__pow", "pow"}};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        set_operator(L, events[i][0], entries, events[i][1], call_operator);
    set_operator(L, "__unm", entries, "mul", call_minus);
    set_comparison(L, "__lt", "less", "greater");
    set_comparison(L, "__le", "less_equal", "greater_equal");
    set_comparison(L, "__eq", "equal", "not_equal");
}

void luamil_open_ops(lua_State *L, int value_methods, int function_methods) {
    static const char entries_key;
    size_t n = mil_op_count();
    op_entry *entries = luamil_new_plain(L, n * sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        const mil_op *op = mil_op_at(i);
        fill_entry(&entries[i], op);
        if (strcmp(entries[i].name, "const") == 0) continue; /* f:const, which takes a tensor */
        lua_CFunction nests = strcmp(entries[i].name, "cond") == 0 ? luamil_cond
                              : strcmp(entries[i].name, "while_loop") == 0 ? luamil_while_loop : NULL;
        lua_pushlightuserdata(L, &entries[i]);
        lua_pushcclosure(L, nests ? nests : call_op, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, function_methods, entries[i].name);
        lua_setfield(L, value_methods, entries[i].name);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, &entries_key);
    luamil_push_metatable(L, LUAMIL_VALUE);
    set_operators(L, entries);
    lua_pop(L, 1);
}

/* ---- the op table for Lua ---- */

static int list_ops(lua_State *L) {
    size_t n = mil_op_count();
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, mil_op_name(mil_op_at(i)));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static void push_dtypes(lua_State *L, uint32_t dtypes) {
    int n = 0;
    lua_newtable(L);
    for (int dtype = 1; dtype < MIL_N_DTYPES; dtype++) {
        if (dtypes && !(dtypes & (1u << dtype))) continue;
        lua_pushstring(L, mil_dtype_name((mil_dtype)dtype));
        lua_rawseti(L, -2, ++n);
    }
}

static void set_string(lua_State *L, const char *key, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static void push_param(lua_State *L, const mil_param *param) {
    static const char *const kinds[] = {"tensor", "const", "tuple", "string", "list", "state", "any"};
    lua_createtable(L, 0, 8);
    set_string(L, "default", param->default_text); /* first: the text lives until the next call */
    set_string(L, "name", param->name);
    set_string(L, "help", param->help);
    set_string(L, "kind", kinds[param->kind]);
    push_dtypes(L, param->dtypes);
    lua_setfield(L, -2, "dtypes");
    if (param->group) {
        lua_pushlstring(L, &param->group, 1);
        lua_setfield(L, -2, "group");
    }
    lua_pushboolean(L, param->required);
    lua_setfield(L, -2, "required");
}

/* mil.op(name [, opset]) */
static int describe_op(lua_State *L) {
    const char *name = luamil_check_string(L, 1, "mil.op", "the name of an op", NULL);
    mil_opset opset = luamil_check_opset(L, 2, "mil.op");
    const mil_op *op = mil_op_find(name);
    if (!op) {
        const char *near = mil_op_nearest(name);
        return near ? luamil_fail(L, MIL_ENAME, "mil.op: no op \"%.60s\"; did you mean %s?", name, near)
                    : luamil_fail(L, MIL_ENAME, "mil.op: no op \"%.60s\"", name);
    }
    lua_createtable(L, 0, 8);
    set_string(L, "name", mil_op_name(op));
    set_string(L, "family", mil_op_family(op));
    set_string(L, "help", mil_op_help(op));
    if (mil_op_also(op)) set_string(L, "also", mil_op_also(op));
    set_string(L, "since", mil_opset_name(mil_op_since(op)));
    lua_pushinteger(L, mil_op_outputs(op));
    lua_setfield(L, -2, "outputs");
    lua_newtable(L);
    mil_param param;
    for (size_t i = 0; mil_op_param(op, opset, i, &param); i++) {
        push_param(L, &param);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "params");
    return 1;
}

static int nearest_of(lua_State *L, const char *name) {
    size_t n = lua_rawlen(L, 2);
    const char **names = luamil_new_plain(L, (n + 1) * sizeof *names);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        names[i] = luamil_check_string(L, lua_gettop(L), "mil.nearest", "a name", NULL); /* the list holds it */
        lua_pop(L, 1);
    }
    lua_pushstring(L, mil_nearest(name, names, n));
    return 1;
}

/* mil.nearest(name [, names]) */
static int nearest(lua_State *L) {
    const char *name = luamil_check_string(L, 1, "mil.nearest", "a name", NULL);
    if (lua_istable(L, 2)) return nearest_of(L, name);
    lua_pushstring(L, mil_op_nearest(name));
    return 1;
}

static int list_dtypes(lua_State *L) {
    push_dtypes(L, 0);
    return 1;
}

const luaL_Reg luamil_reflection[] = {
    {"ops", list_ops}, {"op", describe_op}, {"nearest", nearest}, {"dtypes", list_dtypes}, {NULL, NULL},
};
