/* SPDX-License-Identifier: MIT */
/* Lua values as the core takes them: options, shapes, literals in nested tables, the arguments of an op.
 * Tables are read raw (no metamethod runs), and what is read stays where it is while the core is called: strings and
 * objects in their tables, numbers in memory of the caller's or in userdata on the stack. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"

/* ---- single values ---- */

const char *luamil_check_string(lua_State *L, int index, const char *fn, const char *what, size_t *length) {
    if (lua_type(L, index) != LUA_TSTRING)
        luamil_fail(L, MIL_EINVAL, "%s: %s is a string, but was given %s", fn, what, LUAMIL_WHAT(L, index));
    return lua_tolstring(L, index, length);
}

int64_t luamil_check_int(lua_State *L, int index, const char *fn, const char *what) {
    int64_t value = 0;
    if (!luamil_to_int(L, index, &value))
        luamil_fail(L, MIL_EINVAL, "%s: %s is a whole number, but was given %s", fn, what, LUAMIL_WHAT(L, index));
    return value;
}

double luamil_check_number(lua_State *L, int index, const char *fn, const char *what) {
    if (lua_type(L, index) != LUA_TNUMBER)
        luamil_fail(L, MIL_EINVAL, "%s: %s is a number, but was given %s", fn, what, LUAMIL_WHAT(L, index));
    return (double)lua_tonumber(L, index);
}

/* A dtype by the name that NumPy and PyTorch have for it; NULL: they have none. */
static const char *dtype_elsewhere(const char *name) {
    static const char *const same[][2] = {
        {"float16", "fp16"}, {"half", "fp16"},  {"bfloat16", "bf16"}, {"float32", "fp32"}, {"float", "fp32"}, {"float64", "fp64"},
        {"double", "fp64"},  {"int", "int32"},  {"long", "int64"},    {"byte", "uint8"},   {"boolean", "bool"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcmp(same[i][0], name) == 0) return same[i][1];
    return NULL;
}

mil_dtype luamil_check_dtype(lua_State *L, int index, const char *fn) {
    const char *name = luamil_check_string(L, index, fn, "a dtype", NULL);
    mil_dtype dtype = mil_dtype_find(name);
    if (dtype) return dtype;
    static const char *const names[] = {
#define X(name, text) #text,
        MIL_DTYPE_MAP(X)
#undef X
    };
    const char *near = dtype_elsewhere(name);
    if (!near) near = mil_nearest(name, names, sizeof names / sizeof *names);
    if (near) luamil_fail(L, MIL_ENAME, "%s: no dtype \"%.40s\"; did you mean %s?", fn, name, near);
    luamil_fail(L, MIL_ENAME, "%s: no dtype \"%.40s\"", fn, name);
    return MIL_NO_DTYPE;
}

mil_opset luamil_check_opset(lua_State *L, int index, const char *fn) {
    if (lua_isnoneornil(L, index)) return MIL_IOS18;
    const char *name = luamil_check_string(L, index, fn, "opset", NULL);
    mil_opset opset = mil_opset_find(name);
    if (!opset) luamil_fail(L, MIL_ENAME, "%s: no opset \"%.40s\"; there are ios15, ios16, ios17 and ios18", fn, name);
    return opset;
}

int luamil_check_shape(lua_State *L, int index, const char *fn, int64_t shape[MIL_MAX_RANK]) {
    if (!lua_istable(L, index))
        luamil_fail(L, MIL_EINVAL, "%s: a shape is a list of sizes, but was given %s", fn, LUAMIL_WHAT(L, index));
    size_t rank = lua_rawlen(L, index);
    if (rank > MIL_MAX_RANK) luamil_fail(L, MIL_ETYPE, "%s: rank %d; at most %d is possible", fn, (int)rank, MIL_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (!luamil_to_int(L, -1, &shape[i]))
            luamil_fail(L, MIL_EINVAL, "%s: size %d of the shape is a whole number, but was given %s", fn, (int)i + 1,
                        LUAMIL_WHAT(L, -1));
        lua_pop(L, 1);
    }
    return (int)rank;
}

/* ---- options ---- */

int luamil_option(lua_State *L, int index, const char *key) {
    if (lua_istable(L, index)) {
        lua_pushstring(L, key);
        lua_rawget(L, index);
    } else {
        lua_pushnil(L);
    }
    return lua_type(L, -1);
}

bool luamil_option_bool(lua_State *L, int index, const char *fn, const char *key) {
    luamil_option(L, index, key);
    bool value = lua_toboolean(L, -1);
    if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
        luamil_fail(L, MIL_EINVAL, "%s: %s is a boolean, but was given %s", fn, key, LUAMIL_WHAT(L, -1));
    lua_pop(L, 1);
    return value;
}

const char *luamil_option_text(lua_State *L, int index, const char *fn, const char *key) {
    luamil_option(L, index, key);
    return lua_isnil(L, -1) ? NULL : luamil_check_string(L, lua_gettop(L), fn, key, NULL);
}

void luamil_set_text(lua_State *L, const char *key, const char *text) {
    if (!text) return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static bool is_among(const char *key, const char *const *names) {
    for (; *names; names++)
        if (strcmp(*names, key) == 0) return true;
    return false;
}

void luamil_check_keys(lua_State *L, int index, const char *fn, const char *const *names) {
    size_t n = 0;
    while (names[n]) n++;
    if (lua_isnoneornil(L, index)) return;
    if (!lua_istable(L, index))
        luamil_fail(L, MIL_EINVAL, "%s: takes a table of options, but was given %s", fn, LUAMIL_WHAT(L, index));
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        if (key && is_among(key, names)) continue;
        const char *near = key ? mil_nearest(key, names, n) : NULL;
        if (near) luamil_fail(L, MIL_ENAME, "%s: no option \"%.60s\"; did you mean %s?", fn, key, near);
        luamil_fail(L, MIL_ENAME, "%s: no option %s", fn, LUAMIL_WHAT(L, -2));
    }
}

const char *luamil_nearest_key(lua_State *L, int index, const char *name) {
    index = index < 0 && index > LUA_REGISTRYINDEX ? lua_absindex(L, index) : index;
    size_t n = 0, i = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) n++;
    const char **names = luamil_new_plain(L, (n + 1) * sizeof *names);
    for (lua_pushnil(L); lua_next(L, index) && i < n; lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING) names[i++] = lua_tostring(L, -2);
    const char *near = mil_nearest(name, names, i);
    lua_pop(L, 1);
    return near; /* a key: the table holds it */
}

/* ---- literals ---- */

typedef struct reading {
    const char *what;
    luamil_literal *out;
    size_t i;                 /* elements read */
} reading;

static void not_a_leaf(lua_State *L, const reading *r) {
    static const char *const wanted[] = {"a number", "a number", "a boolean", "a string"};
    luamil_fail(L, MIL_EINVAL, "%s: element %d is %s, but was given %s", r->what, (int)r->i + 1, wanted[r->out->kind],
                LUAMIL_WHAT(L, -1));
}

/* What was read as integers is a list of floats after all. */
static void widen(luamil_literal *out, size_t n) {
    int64_t *ints = out->data;
    double *numbers = out->data;
    for (size_t i = 0; i < n; i++) {
        double number = (double)ints[i];
        memcpy(&numbers[i], &number, sizeof number);
    }
    out->kind = LUAMIL_NUMBERS;
}

/* The leaf on top of the stack. */
static void read_leaf(lua_State *L, reading *r) {
    luamil_literal *out = r->out;
    int type = lua_type(L, -1);
    int wanted = out->kind == LUAMIL_BOOLS ? LUA_TBOOLEAN : out->kind == LUAMIL_STRINGS ? LUA_TSTRING : LUA_TNUMBER;
    if (type != wanted) not_a_leaf(L, r);
    if (out->kind == LUAMIL_INTS && !luamil_is_int(L, -1)) widen(out, r->i);
    switch (out->kind) {
    case LUAMIL_INTS: luamil_to_int(L, -1, &((int64_t *)out->data)[r->i]); break;
    case LUAMIL_NUMBERS: ((double *)out->data)[r->i] = (double)lua_tonumber(L, -1); break;
    case LUAMIL_BOOLS: ((bool *)out->data)[r->i] = lua_toboolean(L, -1); break;
    case LUAMIL_STRINGS: {
        luamil_text *text = &((luamil_text *)out->data)[r->i];
        text->s = lua_tolstring(L, -1, &text->length);
    }
    }
    r->i++;
}

/* The table on top of the stack, at this depth. */
static void read_table(lua_State *L, reading *r, int depth) {
    const luamil_literal *out = r->out;
    for (int64_t i = 1; i <= out->shape[depth]; i++) {
        lua_rawgeti(L, -1, (int)i);
        if (depth + 1 == out->rank) {
            read_leaf(L, r);
        } else {
            if (!lua_istable(L, -1))
                luamil_fail(L, MIL_EINVAL, "%s: a row is a table, but was given %s", r->what, LUAMIL_WHAT(L, -1));
            if ((int64_t)lua_rawlen(L, -1) != out->shape[depth + 1])
                luamil_fail(L, MIL_ETYPE, "%s: rows must be alike, but one has %d elements, another %d", r->what,
                            (int)out->shape[depth + 1], (int)lua_rawlen(L, -1));
            read_table(L, r, depth + 1);
        }
        lua_pop(L, 1);
    }
}

static luamil_literal_kind leaf_kind(lua_State *L, int index, const char *what) {
    switch (lua_type(L, index)) {
    case LUA_TNIL: case LUA_TNUMBER: return LUAMIL_INTS; /* nil: an empty table */
    case LUA_TBOOLEAN: return LUAMIL_BOOLS;
    case LUA_TSTRING: return LUAMIL_STRINGS;
    }
    luamil_fail(L, MIL_EINVAL, "%s: takes numbers, booleans or strings, but was given %s", what, LUAMIL_WHAT(L, index));
    return LUAMIL_INTS;
}

/* A table without elements that is not empty was meant as something else. */
static void check_list(lua_State *L, const char *what) {
    lua_pushnil(L);
    if (lua_next(L, -2)) luamil_fail(L, MIL_EINVAL, "%s: takes a list, but was given a table with names", what);
}

/* Rank, shape and kind from the first elements. */
static void read_shape(lua_State *L, int index, const char *what, luamil_literal *out) {
    int top = lua_gettop(L);
    out->rank = 0;
    out->n = 1;
    lua_pushvalue(L, index);
    while (lua_istable(L, -1)) {
        if (out->rank == MIL_MAX_RANK)
            luamil_fail(L, MIL_ETYPE, "%s: tables nested deeper than %d", what, MIL_MAX_RANK);
        size_t n = lua_rawlen(L, -1);
        if (n == 0) check_list(L, what);
        if (n && out->n > ((size_t)1 << 40) / n) luamil_fail(L, MIL_ELIMIT, "%s: too many elements", what);
        out->n *= n;
        out->shape[out->rank++] = (int64_t)n;
        lua_rawgeti(L, -1, 1);
    }
    out->kind = leaf_kind(L, -1, what);
    lua_settop(L, top);
}

int luamil_read_literal(lua_State *L, int index, int anchor, const char *what, luamil_literal *out) {
    reading r = {what, out, 0};
    luaL_checkstack(L, MIL_MAX_RANK + 8, NULL);
    read_shape(L, index, what, out);
    size_t bytes = out->n * (out->kind == LUAMIL_STRINGS ? sizeof(luamil_text) : sizeof(int64_t));
    bool is_small = bytes <= sizeof out->small;
    out->data = is_small ? out->small : luamil_new_plain(L, bytes);
    if (!is_small) {
        lua_insert(L, anchor);
        if (index >= anchor) index++;
    }
    lua_pushvalue(L, index);
    if (out->rank) read_table(L, &r, 0);
    else read_leaf(L, &r);
    lua_pop(L, 1);
    return is_small ? 0 : 1;
}

mil_dtype luamil_literal_dtype(const luamil_literal *literal) {
    static const mil_dtype dtypes[] = {MIL_INT32, MIL_FP32, MIL_BOOL, MIL_STRING};
    return dtypes[literal->kind];
}

static bool is_float(mil_dtype dtype) {
    return dtype == MIL_FP16 || dtype == MIL_FP32 || dtype == MIL_FP64 || dtype == MIL_BF16;
}

bool luamil_holds(mil_dtype dtype, int64_t value) {
    bool is_signed = dtype == MIL_INT4 || dtype == MIL_INT8 || dtype == MIL_INT16 || dtype == MIL_INT32 || dtype == MIL_INT64;
    int bits = dtype == MIL_BOOL ? 1 : mil_dtype_bits(dtype) - is_signed;
    if (is_signed && value < 0) value = ~value;
    return value >= 0 && (bits >= 63 || value >> bits == 0);
}

/* An infinity that is written as one is meant; these are where rounding gives one. */
bool luamil_overflows(mil_dtype dtype, double value) {
    double end = dtype == MIL_FP16 ? 65520 : dtype == MIL_FP32 ? 0x1.ffffffp127 : INFINITY;
    return isfinite(value) && fabs(value) >= end;
}

static mil_status fail(mil_error *err, mil_status code, const char *what, const char *format, ...) LUAMIL_PRINTF(4, 5);

static mil_status fail(mil_error *err, mil_status code, const char *what, const char *format, ...) {
    memset(err, 0, sizeof *err);
    err->code = code;
    int used = snprintf(err->message, sizeof err->message, "%.200s: ", what);
    va_list args;
    va_start(args, format);
    vsnprintf(err->message + used, sizeof err->message - (size_t)used, format, args);
    va_end(args);
    return code;
}

static mil_status check_range(const luamil_literal *literal, mil_dtype dtype, const char *what, mil_error *err) {
    if (literal->kind == LUAMIL_BOOLS || dtype == MIL_UINT64) return MIL_OK;
    for (size_t i = 0; i < literal->n; i++) {
        double value = literal->kind == LUAMIL_INTS ? (double)((int64_t *)literal->data)[i] : ((double *)literal->data)[i];
        if (is_float(dtype)) {
            if (!luamil_overflows(dtype, value)) continue;
            return fail(err, MIL_EVALUE, what, "%s can't hold %.14g", mil_dtype_name(dtype), value);
        }
        if (literal->kind == LUAMIL_INTS && luamil_holds(dtype, ((int64_t *)literal->data)[i])) continue;
        bool whole = value >= -9223372036854775808.0 && value < 9223372036854775808.0 && value == (double)(int64_t)value;
        if (!whole || !luamil_holds(dtype, (int64_t)value))
            return fail(err, MIL_EVALUE, what, "%s can't hold %.14g", mil_dtype_name(dtype), value);
    }
    return MIL_OK;
}

static mil_status string_tensor(const luamil_literal *literal, const char *what, mil_tensor **out, mil_error *err) {
    const luamil_text *texts = literal->data;
    if (literal->rank > 1) return fail(err, MIL_EUNSUPPORTED, what, "strings have rank 0 or 1");
    const char **s = malloc((literal->n + 1) * sizeof *s);
    size_t *lengths = malloc((literal->n + 1) * sizeof *lengths);
    mil_status status = s && lengths ? MIL_OK : fail(err, MIL_ENOMEM, what, "out of memory");
    for (size_t i = 0; status == MIL_OK && i < literal->n; i++) s[i] = texts[i].s, lengths[i] = texts[i].length;
    if (status == MIL_OK) status = mil_tensor_strings(literal->rank, literal->n, s, lengths, out, err);
    free(s);
    free(lengths);
    return status;
}

mil_status luamil_literal_tensor(const luamil_literal *literal, mil_dtype dtype, const char *what, mil_tensor **out,
                                 mil_error *err) {
    if ((literal->kind == LUAMIL_STRINGS) != (dtype == MIL_STRING))
        return fail(err, MIL_ETYPE, what, "%s can't hold what was given", mil_dtype_name(dtype));
    if (dtype == MIL_STRING) return string_tensor(literal, what, out, err);
    mil_status status = check_range(literal, dtype, what, err);
    if (status != MIL_OK) return status;
    mil_dtype from = literal->kind == LUAMIL_INTS ? MIL_INT64 : literal->kind == LUAMIL_NUMBERS ? MIL_FP64 : MIL_BOOL;
    size_t bytes = literal->n * (from == MIL_BOOL ? sizeof(bool) : sizeof(int64_t));
    mil_buffer *buffer = NULL;
    mil_tensor *view = NULL;
    status = mil_buffer_borrow(literal->data, bytes, false, NULL, NULL, &buffer, err);
    if (status == MIL_OK) status = mil_tensor_over(buffer, 0, from, literal->rank, literal->shape, NULL, &view, err);
    if (status == MIL_OK) status = mil_tensor_convert(view, dtype, out, err);
    mil_tensor_free(view);
    mil_buffer_free(buffer);
    return status;
}

/* ---- the arguments of an op ---- */

void luamil_start_args(luamil_args *args, const char *op, luamil_program *owner, int anchor) {
    args->owner = owner;
    args->op = op;
    args->name = NULL;
    args->anchor = anchor;
    args->n = args->n_items = args->used = 0;
}

static void value_arg(lua_State *L, const luamil_args *args, int index, const char *name, mil_arg *out) {
    const luamil_value *value = lua_touserdata(L, index);
    if (value->owner != args->owner)
        luamil_fail_at(L, MIL_ESTATE, args->op, name, "%s: the value given for %s belongs to another program", args->op, name);
    *out = (mil_arg){.name = name, .kind = MIL_ARG_VALUE, .value = value->id};
}

/* .data is the object until luamil_settle_args. */
static void tensor_arg(lua_State *L, int index, const char *name, mil_arg *out) {
    *out = (mil_arg){.name = name, .kind = MIL_ARG_TENSOR, .data = lua_touserdata(L, index)};
}

static void settle(lua_State *L, const luamil_args *args, mil_arg *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (list[i].kind == MIL_ARG_TUPLE) settle(L, args, (mil_arg *)list[i].items, list[i].n); /* args' own memory */
        if (list[i].kind != MIL_ARG_TENSOR) continue;
        list[i].tensor = ((const luamil_tensor *)list[i].data)->tensor;
        list[i].data = NULL;
        if (!list[i].tensor)
            luamil_fail_at(L, MIL_ESTATE, args->op, list[i].name, "%s: the tensor given for %s has been freed", args->op,
                           list[i].name);
    }
}

void luamil_settle_args(lua_State *L, luamil_args *args) { settle(L, args, args->arg, args->n); }

/* Memory for what an argument consists of. */
static void *keep(lua_State *L, luamil_args *args, size_t bytes) {
    size_t n = (bytes + 7) / 8;
    if (n <= LUAMIL_SMALL - args->used) {
        void *p = &args->small[args->used];
        args->used += n;
        return p;
    }
    luaL_checkstack(L, 4, "too many arguments");
    void *p = luamil_new_plain(L, bytes);
    lua_insert(L, args->anchor);
    return p;
}

static void scalar_arg(lua_State *L, luamil_args *args, int index, const char *name, mil_arg *out) {
    int top = lua_gettop(L);
    luamil_word *word = keep(L, args, sizeof *word);
    if (index >= args->anchor) index += lua_gettop(L) - top;
    *out = (mil_arg){.name = name, .data = word, .n = 1};
    if (lua_isboolean(L, index)) {
        out->kind = MIL_ARG_BOOLS;
        word->b[0] = lua_toboolean(L, index);
    } else if (luamil_is_int(L, index)) {
        out->kind = MIL_ARG_INTS;
        luamil_to_int(L, index, &word->i);
    } else {
        out->kind = MIL_ARG_NUMBERS;
        word->d = (double)lua_tonumber(L, index);
    }
}

static void literal_arg(lua_State *L, luamil_args *args, int index, const char *name, mil_arg *out) {
    static const mil_arg_kind kinds[] = {MIL_ARG_INTS, MIL_ARG_NUMBERS, MIL_ARG_BOOLS};
    luamil_literal literal;
    char what[120];
    snprintf(what, sizeof what, "%s: %s", args->op, name);
    luamil_read_literal(L, index, args->anchor, what, &literal);
    if (literal.kind == LUAMIL_STRINGS) {
        mil_error err;
        luamil_tensor *t = luamil_new_tensor(L);
        lua_insert(L, args->anchor);
        if (luamil_literal_tensor(&literal, MIL_STRING, what, &t->tensor, &err) != MIL_OK) luamil_raise(L, &err);
        *out = (mil_arg){.name = name, .kind = MIL_ARG_TENSOR, .data = t};
        return;
    }
    size_t bytes = literal.n * (literal.kind == LUAMIL_BOOLS ? sizeof(bool) : sizeof(int64_t));
    int64_t *shape = literal.rank > 1 ? keep(L, args, sizeof literal.shape) : NULL;
    void *data = literal.data == (void *)literal.small ? memcpy(keep(L, args, bytes), literal.data, bytes) : literal.data;
    if (shape) memcpy(shape, literal.shape, sizeof literal.shape);
    *out = (mil_arg){.name = name, .kind = kinds[literal.kind], .data = data, .n = literal.n, .rank = literal.rank,
                     .shape = shape};
}

/* Does the table hold values or tensors? Then it stands for a tuple. */
static bool holds_objects(lua_State *L, int index) {
    bool found = false;
    for (size_t i = 1, n = lua_rawlen(L, index); i <= n && !found; i++) {
        lua_rawgeti(L, index, (int)i);
        int type = lua_type(L, -1);
        found = type == LUA_TUSERDATA;
        lua_pop(L, 1);
        if (type == LUA_TNUMBER && i >= 16) break; /* a long list of numbers */
    }
    return found;
}

static void one_arg(lua_State *L, luamil_args *args, int index, const char *name, bool tuple, mil_arg *out);

static void tuple_arg(lua_State *L, luamil_args *args, int index, const char *name, mil_arg *out) {
    size_t n = lua_rawlen(L, index);
    mil_arg *items = &args->item[args->n_items];
    if (n <= LUAMIL_SMALL - args->n_items) args->n_items += n;
    else {
        items = luamil_new_plain(L, n * sizeof *items);
        lua_insert(L, args->anchor);
        if (index >= args->anchor) index++;
    }
    for (size_t i = 0; i < n; i++) {
        int top = lua_gettop(L);
        lua_rawgeti(L, index, (int)i + 1);
        if (lua_istable(L, -1) && holds_objects(L, lua_gettop(L)))
            luamil_fail_at(L, MIL_EINVAL, args->op, name, "%s: %s takes a list of values, but its element %d is a list of values again",
                           args->op, name, (int)i + 1);
        one_arg(L, args, lua_gettop(L), name, false, &items[i]);
        int inserted = lua_gettop(L) - top - 1;
        if (index >= args->anchor) index += inserted;
        lua_pop(L, 1);
    }
    *out = (mil_arg){.name = name, .kind = MIL_ARG_TUPLE, .n = n, .items = items};
}

static void one_arg(lua_State *L, luamil_args *args, int index, const char *name, bool tuple, mil_arg *out) {
    switch (lua_type(L, index)) {
    case LUA_TNUMBER: case LUA_TBOOLEAN: scalar_arg(L, args, index, name, out); return;
    case LUA_TSTRING: {
        size_t n;
        const char *text = lua_tolstring(L, index, &n);
        *out = (mil_arg){.name = name, .kind = MIL_ARG_STRING, .data = text, .n = n};
        return;
    }
    case LUA_TUSERDATA: {
        luamil_kind kind = luamil_kind_of(L, index);
        if (kind == LUAMIL_VALUE) value_arg(L, args, index, name, out);
        else if (kind == LUAMIL_TENSOR) tensor_arg(L, index, name, out);
        else break;
        return;
    }
    case LUA_TTABLE:
        if (tuple || holds_objects(L, index)) tuple_arg(L, args, index, name, out);
        else literal_arg(L, args, index, name, out);
        return;
    }
    luamil_fail_at(L, MIL_EINVAL, args->op, name,
                   "%s: %s takes a value, a tensor, a number, a boolean, a string or a table of them, but was given %s",
                   args->op, name, LUAMIL_WHAT(L, index));
}

void luamil_add_arg(lua_State *L, luamil_args *args, int index, const char *name, bool tuple) {
    if (args->n == LUAMIL_MAX_ARGS)
        luamil_fail_at(L, MIL_EINVAL, args->op, name, "%s: more than %d arguments", args->op, LUAMIL_MAX_ARGS);
    one_arg(L, args, index, name, tuple, &args->arg[args->n]);
    args->n++;
}
