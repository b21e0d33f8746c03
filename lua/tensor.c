/* SPDX-License-Identifier: MIT */
/* Tensors: made, read, written, viewed. An index is Lua's (from 1), an axis is MIL's (from 0, negative from the end). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind.h"

luamil_tensor *luamil_new_tensor(lua_State *L) {
    luamil_tensor *self = luamil_new_plain(L, sizeof *self);
    self->tensor = NULL;
    luamil_set_class(L, LUAMIL_TENSOR);
    return self;
}

mil_tensor *luamil_check_tensor(lua_State *L, int index, const char *fn) {
    luamil_tensor *self = luamil_check(L, index, LUAMIL_TENSOR, fn);
    if (!self->tensor) luamil_fail(L, MIL_ESTATE, "%s: the tensor has been freed", fn);
    return self->tensor;
}

mil_tensor *luamil_pin_tensor(lua_State *L, int index, const char *fn) {
    index = lua_absindex(L, index);
    luamil_tensor *pin = luamil_new_tensor(L);
    pin->tensor = mil_tensor_retain(luamil_check_tensor(L, index, fn));
    return pin->tensor;
}

int luamil_check_status(lua_State *L, mil_status status, const mil_error *err) {
    return status == MIL_OK ? 1 : luamil_raise(L, err);
}

/* The tensor on top of the stack is new memory: the collector hears of it. */
int luamil_return_tensor(lua_State *L, const luamil_tensor *self) {
    luamil_account(L, mil_tensor_bytes(self->tensor));
    return 1;
}

void luamil_push_shape(lua_State *L, int rank, const int64_t *shape) {
    lua_createtable(L, rank < 0 ? 1 : rank, 0);
    if (rank < 0) {
        lua_pushliteral(L, "...");
        lua_rawseti(L, -2, 1);
    }
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0) lua_pushliteral(L, "?");
        else lua_pushinteger(L, (lua_Integer)shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* ---- elements ---- */

static bool is_float(mil_dtype dtype) {
    return dtype == MIL_FP16 || dtype == MIL_FP32 || dtype == MIL_FP64 || dtype == MIL_BF16;
}

static void push_string_element(lua_State *L, const mil_tensor *tensor, const int64_t *index) {
    size_t n;
    const char *s = mil_tensor_string(tensor, mil_tensor_rank(tensor) ? index[0] : 0, &n);
    if (s) lua_pushlstring(L, s, n);
    else lua_pushnil(L);
}

void luamil_push_element(lua_State *L, const mil_tensor *tensor, const int64_t *index) {
    mil_error err;
    mil_dtype dtype = mil_tensor_dtype(tensor);
    if (dtype == MIL_STRING) {
        push_string_element(L, tensor, index);
    } else if (is_float(dtype)) {
        double value = 0;
        luamil_check_status(L, mil_tensor_get(tensor, index, &value, &err), &err);
        lua_pushnumber(L, value);
    } else {
        int64_t value = 0;
        luamil_check_status(L, mil_tensor_get_int(tensor, index, &value, &err), &err);
        if (dtype == MIL_BOOL) lua_pushboolean(L, value != 0);
        else if (!luamil_push_int(L, value))
            luamil_fail(L, MIL_EVALUE, "get: %s %lld is past 2^53, which a number of this Lua can't hold",
                        mil_dtype_name(dtype), (long long)value);
    }
}

/* The Lua value at `at` as an element of an integer dtype; it must be one that the dtype holds. */
static int64_t check_whole(lua_State *L, mil_dtype dtype, int at, const char *fn) {
    int64_t whole = 0;
    if (lua_isboolean(L, at)) return lua_toboolean(L, at);
    if (lua_type(L, at) != LUA_TNUMBER || !luamil_to_int(L, at, &whole))
        luamil_fail(L, MIL_EVALUE, "%s: %s takes whole numbers, but was given %s", fn, mil_dtype_name(dtype), LUAMIL_WHAT(L, at));
    if (!luamil_holds(dtype, whole))
        luamil_fail(L, MIL_EVALUE, "%s: %s can't hold %lld", fn, mil_dtype_name(dtype), (long long)whole);
    return whole;
}

static double check_real(lua_State *L, mil_dtype dtype, int at, const char *fn) {
    double value = lua_isboolean(L, at) ? lua_toboolean(L, at) : luamil_check_number(L, at, fn, "an element");
    if (luamil_overflows(dtype, value)) luamil_fail(L, MIL_EVALUE, "%s: %s can't hold %.14g", fn, mil_dtype_name(dtype), value);
    return value;
}

/* Stores the Lua value at `at`. */
void luamil_store_element(lua_State *L, mil_tensor *tensor, const int64_t *index, int at) {
    mil_error err;
    mil_dtype dtype = mil_tensor_dtype(tensor);
    mil_status status = is_float(dtype) ? mil_tensor_set(tensor, index, check_real(L, dtype, at, "set"), &err)
                                        : mil_tensor_set_int(tensor, index, check_whole(L, dtype, at, "set"), &err);
    luamil_check_status(L, status, &err);
}

void luamil_fill(lua_State *L, mil_tensor *tensor, int at, const char *fn) {
    mil_error err;
    mil_dtype dtype = mil_tensor_dtype(tensor);
    double value = is_float(dtype) ? check_real(L, dtype, at, fn) : (double)check_whole(L, dtype, at, fn);
    if (!is_float(dtype) && fabs(value) > LUAMIL_EXACT)
        luamil_fail(L, MIL_EVALUE, "%s: %.0f is past 2^53; write elements of that size one by one", fn, value);
    luamil_check_status(L, mil_tensor_fill(tensor, value, &err), &err);
}

static int64_t check_index(lua_State *L, int at, const mil_tensor *tensor, int axis, const char *fn) {
    int64_t i = luamil_check_int(L, at, fn, "an index"), n = mil_tensor_shape(tensor)[axis];
    if (i < 1 || i > n)
        luamil_fail(L, MIL_EVALUE, "%s: index %lld of axis %d is outside of 1 to %lld (an index is Lua's, from 1)", fn,
                    (long long)i, axis, (long long)n);
    return i - 1;
}

static void check_indices(lua_State *L, const mil_tensor *tensor, int64_t *index, int given, const char *fn) {
    int rank = mil_tensor_rank(tensor);
    if (given != rank)
        luamil_fail(L, MIL_EINVAL, "%s: %s takes %d indices, but was given %d", fn, LUAMIL_WHAT(L, 1), rank, given);
    for (int i = 0; i < rank; i++) index[i] = check_index(L, i + 2, tensor, i, fn);
}

/* t:get(i, j, ...) */
static int get(lua_State *L) {
    int64_t index[MIL_MAX_RANK];
    mil_tensor *self = luamil_check_tensor(L, 1, "get");
    check_indices(L, self, index, lua_gettop(L) - 1, "get");
    luamil_push_element(L, self, index);
    return 1;
}

/* t:set(i, j, ..., value) */
static int set(lua_State *L) {
    int64_t index[MIL_MAX_RANK];
    mil_tensor *self = luamil_check_tensor(L, 1, "set");
    check_indices(L, self, index, lua_gettop(L) - 2, "set");
    luamil_store_element(L, self, index, lua_gettop(L));
    lua_settop(L, 1);
    return 1;
}

/* ---- views ---- */

/* The part [begin, begin + size) of each axis of the tensor at index 1, without the axes marked in drop. */
static int push_part(lua_State *L, const int64_t *begin, const int64_t *size, const int64_t *step,
                     const bool *drop) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    int rank = 0;
    luamil_tensor *part = luamil_new_tensor(L), *view = luamil_new_tensor(L);
    mil_tensor *self = luamil_check_tensor(L, 1, "sub");
    luamil_check_status(L, mil_tensor_slice(self, begin, size, step, &part->tensor, &err), &err);
    for (int i = 0; i < mil_tensor_rank(self); i++)
        if (!drop[i]) shape[rank++] = size[i];
    luamil_check_status(L, mil_tensor_reshape(part->tensor, rank, shape, &view->tensor, &err), &err);
    return 1;
}

static int push_row(lua_State *L, const mil_tensor *self, int64_t i) {
    int64_t begin[MIL_MAX_RANK] = {i}, size[MIL_MAX_RANK] = {1};
    bool drop[MIL_MAX_RANK] = {true};
    for (int axis = 1; axis < mil_tensor_rank(self); axis++) size[axis] = mil_tensor_shape(self)[axis];
    return push_part(L, begin, size, NULL, drop);
}

static int64_t range_end(lua_State *L, int list, int i, int64_t missing, int64_t n) {
    int64_t value = missing;
    lua_rawgeti(L, list, i);
    if (!lua_isnil(L, -1)) value = luamil_check_int(L, -1, "sub", "an end of a range");
    lua_pop(L, 1);
    return value < 0 ? value + n + 1 : value;
}

/* One argument of t:sub for an axis of n: {a, b}, {a, b, step}, i, or nil. */
static void read_range(lua_State *L, int at, int axis, int64_t n, int64_t *begin, int64_t *size, int64_t *step, bool *drop) {
    *begin = 0, *size = n, *step = 1, *drop = false;
    if (lua_isnoneornil(L, at)) return;
    if (lua_istable(L, at)) {
        int64_t first = range_end(L, at, 1, 1, n), last = range_end(L, at, 2, n, n);
        *step = range_end(L, at, 3, 1, 0);
        if (first < 1 || last > n || first > last + 1 || *step < 1)
            luamil_fail(L, MIL_EVALUE, "sub: {%lld, %lld} of axis %d is outside of 1 to %lld (an index is Lua's, from 1)",
                        (long long)first, (long long)last, axis, (long long)n);
        *begin = first - 1;
        *size = first > last ? 0 : (last - first) / *step + 1;
        return;
    }
    int64_t i = luamil_check_int(L, at, "sub", "an index");
    if (i < 0) i += n + 1;
    if (i < 1 || i > n)
        luamil_fail(L, MIL_EVALUE, "sub: index %lld of axis %d is outside of 1 to %lld (an index is Lua's, from 1)",
                    (long long)i, axis, (long long)n);
    *begin = i - 1, *size = 1, *drop = true;
}

/* t:sub({a, b}, i, ...): an axis an argument; ranges are inclusive, a number takes the axis away, nil is all of it. */
static int sub(lua_State *L) {
    int64_t begin[MIL_MAX_RANK], size[MIL_MAX_RANK], step[MIL_MAX_RANK];
    bool drop[MIL_MAX_RANK];
    mil_tensor *self = luamil_check_tensor(L, 1, "sub");
    int rank = mil_tensor_rank(self);
    if (lua_gettop(L) - 1 > rank)
        return luamil_fail(L, MIL_EINVAL, "sub: %s takes %d ranges, but was given %d", LUAMIL_WHAT(L, 1), rank, lua_gettop(L) - 1);
    for (int i = 0; i < rank; i++)
        read_range(L, i + 2, i, mil_tensor_shape(self)[i], &begin[i], &size[i], &step[i], &drop[i]);
    return push_part(L, begin, size, step, drop);
}

/* An axis of MIL's: from 0, negative from the end. */
static int check_axis(lua_State *L, int at, const mil_tensor *tensor, const char *fn) {
    int64_t axis = luamil_check_int(L, at, fn, "an axis");
    int rank = mil_tensor_rank(tensor);
    if (axis < -rank || axis >= rank)
        luamil_fail(L, MIL_EVALUE, "%s: axis %lld is outside of %d to %d (an axis is MIL's, from 0)", fn, (long long)axis,
                    -rank, rank - 1);
    return (int)(axis < 0 ? axis + rank : axis);
}

/* t:transpose([axes]): axes reversed where no order is given */
static int transpose(lua_State *L) {
    mil_error err;
    int perm[MIL_MAX_RANK];
    mil_tensor *self = luamil_check_tensor(L, 1, "transpose");
    int rank = mil_tensor_rank(self);
    for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
    if (!lua_isnoneornil(L, 2)) {
        if (!lua_istable(L, 2) || (int)lua_rawlen(L, 2) != rank)
            return luamil_fail(L, MIL_EINVAL, "transpose: takes a list of %d axes", rank);
        for (int i = 0; i < rank; i++) {
            lua_rawgeti(L, 2, i + 1);
            perm[i] = check_axis(L, lua_gettop(L), self, "transpose");
            lua_pop(L, 1);
        }
    }
    luamil_tensor *view = luamil_new_tensor(L);
    self = luamil_check_tensor(L, 1, "transpose");
    return luamil_check_status(L, mil_tensor_transpose(self, perm, &view->tensor, &err), &err);
}

/* t:reshape(shape): -1 for one size that follows from the others */
static int reshape(lua_State *L) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK], known = 1;
    mil_tensor *self = luamil_check_tensor(L, 1, "reshape");
    int rank = luamil_check_shape(L, 2, "reshape", shape), open = -1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] == -1 && open < 0) open = i;
        else if (shape[i] < 0) return luamil_fail(L, MIL_EVALUE, "reshape: size %lld", (long long)shape[i]);
        else if (shape[i] && known > INT64_MAX / shape[i]) return luamil_fail(L, MIL_EVALUE, "reshape: the size overflows");
        else known *= shape[i];
    }
    if (open >= 0) {
        if (known == 0 || mil_tensor_numel(self) % known)
            return luamil_fail(L, MIL_EVALUE, "reshape: %lld elements can't be divided by %lld",
                               (long long)mil_tensor_numel(self), (long long)known);
        shape[open] = mil_tensor_numel(self) / known;
    }
    luamil_tensor *view = luamil_new_tensor(L);
    self = luamil_check_tensor(L, 1, "reshape");
    return luamil_check_status(L, mil_tensor_reshape(self, rank, shape, &view->tensor, &err), &err);
}

/* ---- whole tensors ---- */

/* t:to(dtype): a copy, or t itself where that is its dtype (weights stay mapped) */
static int to(lua_State *L) {
    mil_error err;
    mil_tensor *self = luamil_check_tensor(L, 1, "to");
    mil_dtype dtype = luamil_check_dtype(L, 2, "to");
    if (dtype == mil_tensor_dtype(self)) {
        lua_settop(L, 1);
        return 1;
    }
    luamil_tensor *copy = luamil_new_tensor(L);
    self = luamil_check_tensor(L, 1, "to");
    luamil_check_status(L, mil_tensor_convert(self, dtype, &copy->tensor, &err), &err);
    return luamil_return_tensor(L, copy);
}

/* t:copy() */
static int copy(lua_State *L) {
    mil_error err;
    luamil_tensor *made = luamil_new_tensor(L);
    mil_tensor *self = luamil_check_tensor(L, 1, "copy");
    luamil_check_status(L, mil_tensor_convert(self, mil_tensor_dtype(self), &made->tensor, &err), &err);
    return luamil_return_tensor(L, made);
}

static void write_literal(lua_State *L, mil_tensor *self, int at) {
    mil_error err;
    luamil_literal literal;
    luamil_read_literal(L, at, at + 1, "write", &literal);
    luamil_tensor *from = luamil_new_tensor(L);
    luamil_check_status(L, luamil_literal_tensor(&literal, mil_tensor_dtype(self), "write", &from->tensor, &err), &err);
    if (literal.rank == 1 && mil_tensor_numel(from->tensor) == mil_tensor_numel(self)) { /* a plain list fills any shape */
        luamil_tensor *view = luamil_new_tensor(L);
        luamil_check_status(L, mil_tensor_reshape(from->tensor, mil_tensor_rank(self), mil_tensor_shape(self), &view->tensor, &err), &err);
        from = view;
    }
    luamil_check_status(L, mil_tensor_copy(self, from->tensor, &err), &err);
}

static void write_any(lua_State *L, mil_tensor *self, int at) {
    mil_error err;
    if (luamil_kind_of(L, at) == LUAMIL_TENSOR)
        luamil_check_status(L, mil_tensor_copy(self, luamil_check_tensor(L, at, "write"), &err), &err);
    else if (lua_type(L, at) == LUA_TNUMBER) luamil_fill(L, self, at, "write");
    else if (lua_istable(L, at)) write_literal(L, self, at);
    else luamil_fail(L, MIL_EINVAL, "write: takes a tensor, a table of numbers or a number, but was given %s", LUAMIL_WHAT(L, at));
}

/* t:write(x): a tensor of this shape (its dtype is converted), numbers in tables, or one number for all */
static int write(lua_State *L) {
    lua_settop(L, 2);
    mil_tensor *self = luamil_pin_tensor(L, 1, "write");
    write_any(L, self, 2);
    lua_settop(L, 1);
    return 1;
}

/* t:fill(x) */
static int fill(lua_State *L) {
    luamil_fill(L, luamil_check_tensor(L, 1, "fill"), 2, "fill");
    lua_settop(L, 1);
    return 1;
}

/* t:lock(["read" or "write"]): before the memory is touched by its address */
static int lock(lua_State *L) {
    mil_error err;
    mil_tensor *self = luamil_check_tensor(L, 1, "lock");
    const char *what = lua_isnoneornil(L, 2) ? "write" : luamil_check_string(L, 2, "lock", "what for", NULL);
    bool for_reading = strcmp(what, "read") == 0;
    if (!for_reading && strcmp(what, "write") != 0)
        return luamil_fail(L, MIL_EINVAL, "lock: takes \"read\" or \"write\", but was given \"%.40s\"", what);
    luamil_check_status(L, mil_buffer_lock(mil_tensor_buffer(self), !for_reading, &err), &err);
    lua_settop(L, 1);
    return 1;
}

static int unlock(lua_State *L) {
    mil_error err;
    luamil_check_status(L, mil_buffer_unlock(mil_tensor_buffer(luamil_check_tensor(L, 1, "unlock")), &err), &err);
    lua_settop(L, 1);
    return 1;
}

/* t:pointer(): its first element, for LuaJIT's FFI; good while the tensor lives */
static int pointer(lua_State *L) {
    lua_pushlightuserdata(L, mil_tensor_data(luamil_check_tensor(L, 1, "pointer")));
    return 1;
}

static int not_shared(lua_State *L, const char *fn, const mil_buffer *buffer, const char *other) {
    bool is_shared = mil_buffer_kind_of(buffer) == MIL_SHARED;
    return is_shared ? luamil_fail(L, MIL_ESTATE, "%s: shared memory of this system has another handle, t:%s()", fn, other)
                     : luamil_fail(L, MIL_ESTATE, "%s: the tensor is not shared memory (mil.shared)", fn);
}

/* t:fd(): the descriptor of shared memory (mil.shared) on Linux; borrowed */
static int fd(lua_State *L) {
    const mil_buffer *buffer = mil_tensor_buffer(luamil_check_tensor(L, 1, "fd"));
    if (mil_buffer_fd(buffer) < 0) return not_shared(L, "fd", buffer, "id");
    lua_pushinteger(L, mil_buffer_fd(buffer));
    return 1;
}

/* t:id(): of shared memory (mil.shared) on macOS, that of its IOSurface */
static int id(lua_State *L) {
    const mil_buffer *buffer = mil_tensor_buffer(luamil_check_tensor(L, 1, "id"));
    if (!mil_buffer_id(buffer)) return not_shared(L, "id", buffer, "fd");
    lua_pushinteger(L, (lua_Integer)mil_buffer_id(buffer));
    return 1;
}

/* t:size(axis) */
static int size(lua_State *L) {
    mil_tensor *self = luamil_check_tensor(L, 1, "size");
    lua_pushinteger(L, (lua_Integer)mil_tensor_shape(self)[check_axis(L, 2, self, "size")]);
    return 1;
}

static int numel(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)mil_tensor_numel(luamil_check_tensor(L, 1, "numel")));
    return 1;
}

static int contiguous(lua_State *L) {
    lua_pushboolean(L, mil_tensor_is_contiguous(luamil_check_tensor(L, 1, "is_contiguous")));
    return 1;
}

static int release(lua_State *L) {
    luamil_tensor *self = luamil_check(L, 1, LUAMIL_TENSOR, "free");
    mil_tensor *tensor = self->tensor;
    self->tensor = NULL;
    mil_tensor_free(tensor);
    lua_pushboolean(L, true);
    return 1;
}

/* t:save(path): npy, npz or safetensors, by the name's ending */
static int save(lua_State *L) {
    mil_error err;
    mil_named_tensor named = {"tensor", luamil_check_tensor(L, 1, "save")};
    const char *path = luamil_check_string(L, 2, "save", "path", NULL);
    if (!lua_isnoneornil(L, 3)) named.name = luamil_check_string(L, 3, "save", "name", NULL);
    luamil_check_status(L, mil_weights_save(path, &named, 1, NULL, &err), &err);
    lua_settop(L, 1);
    return 1;
}

/* ---- text ---- */

static int text_width(lua_State *L) {
    int width = 0;
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "mil");
        if (lua_istable(L, -1)) {
            lua_getfield(L, -1, "width");
            width = (int)lua_tointeger(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return width > 0 ? width : 80;
}

/* t:tostring([{width = }]) */
static int text(lua_State *L) {
    static const char *const keys[] = {"width", NULL};
    luamil_check_keys(L, 2, "tostring", keys);
    int width = luamil_option(L, 2, "width") == LUA_TNIL ? text_width(L) : (int)luamil_check_int(L, -1, "tostring", "width");
    return luamil_tensor_text(L, luamil_pin_tensor(L, 1, "tostring"), width);
}

static int tensor_tostring(lua_State *L) {
    luamil_tensor *self = lua_touserdata(L, 1);
    int width = text_width(L);
    if (self->tensor) return luamil_tensor_text(L, luamil_pin_tensor(L, 1, "tostring"), width);
    lua_pushliteral(L, "(a freed tensor)");
    return 1;
}

/* ---- the class ---- */

/* t[i], and all the rest by name */
static int tensor_index(lua_State *L) {
    if (lua_type(L, 2) != LUA_TNUMBER) return luamil_index(L);
    mil_tensor *self = luamil_check_tensor(L, 1, "t[i]");
    if (mil_tensor_rank(self) == 0) return luamil_fail(L, MIL_ETYPE, "t[i]: %s has no axis", LUAMIL_WHAT(L, 1));
    int64_t i = check_index(L, 2, self, 0, "t[i]");
    if (mil_tensor_rank(self) > 1) return push_row(L, self, i);
    luamil_push_element(L, self, &i);
    return 1;
}

/* t[i] = number, or what t[i]:write takes */
static int tensor_newindex(lua_State *L) {
    mil_tensor *self = luamil_check_tensor(L, 1, "t[i]");
    if (lua_type(L, 2) != LUA_TNUMBER) return luamil_fail(L, MIL_EINVAL, "a tensor's fields can't be set");
    if (mil_tensor_rank(self) == 0) return luamil_fail(L, MIL_ETYPE, "t[i]: %s has no axis", LUAMIL_WHAT(L, 1));
    int64_t i = check_index(L, 2, self, 0, "t[i]");
    if (mil_tensor_rank(self) == 1) {
        luamil_store_element(L, self, &i, 3);
        return 0;
    }
    push_row(L, self, i);
    write_any(L, luamil_check_tensor(L, -1, "t[i]"), 3);
    return 0;
}

static int tensor_len(lua_State *L) {
    mil_tensor *self = luamil_check_tensor(L, 1, "#t");
    lua_pushinteger(L, mil_tensor_rank(self) ? (lua_Integer)mil_tensor_shape(self)[0] : 0);
    return 1;
}

static void push_strides(lua_State *L, const mil_tensor *self) {
    lua_createtable(L, mil_tensor_rank(self), 0);
    for (int i = 0; i < mil_tensor_rank(self); i++) {
        lua_pushinteger(L, (lua_Integer)mil_tensor_strides(self)[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static bool tensor_field(lua_State *L, const char *name) {
    bool is_shape = strcmp(name, "shape") == 0, is_strides = strcmp(name, "strides") == 0;
    if (!is_shape && !is_strides && strcmp(name, "dtype") != 0) return false;
    mil_tensor *self = luamil_check_tensor(L, 1, name);
    if (is_shape) luamil_push_shape(L, mil_tensor_rank(self), mil_tensor_shape(self));
    else if (is_strides) push_strides(L, self);
    else lua_pushstring(L, mil_dtype_name(mil_tensor_dtype(self)));
    return true;
}

static const luaL_Reg meta[] = {
    {"__index", tensor_index}, {"__newindex", tensor_newindex}, {"__len", tensor_len}, {"__gc", release},
    {"__close", release}, {"__tostring", tensor_tostring}, {NULL, NULL},
};
static const luaL_Reg methods[] = {
    {"get", get}, {"set", set}, {"sub", sub}, {"transpose", transpose}, {"reshape", reshape}, {"to", to}, {"copy", copy},
    {"write", write}, {"fill", fill}, {"lock", lock}, {"unlock", unlock},
    {"pointer", pointer}, {"fd", fd}, {"id", id}, {"size", size}, {"numel", numel}, {"is_contiguous", contiguous}, {"free", release},
    {"save", save}, {"tostring", text}, {NULL, NULL},
};
static const char *const fields[] = {"shape", "strides", "dtype", NULL};

void luamil_open_tensors(lua_State *L) {
    static const luamil_class cls = {LUAMIL_TENSOR, "mil.tensor", "tensor", meta, methods, fields, tensor_field};
    luamil_new_class(L, &cls);
    for (const luaL_Reg *r = luamil_tensor_looks; r->name; r++) {
        lua_pushcfunction(L, r->func);
        lua_setfield(L, -2, r->name);
    }
    lua_pop(L, 1);
}
