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

static int raise_if(lua_State *L, mil_status status, const mil_error *err) {
    return status == MIL_OK ? 1 : luamil_raise(L, err);
}

/* The tensor on top of the stack is new memory: the collector hears of it. */
static int return_new(lua_State *L, const luamil_tensor *self) {
    luamil_account(L, mil_tensor_bytes(self->tensor));
    return 1;
}

void luamil_push_shape(lua_State *L, int rank, const int64_t *shape) {
    lua_createtable(L, rank, 0);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0) lua_pushliteral(L, "?");
        else lua_pushinteger(L, (lua_Integer)shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* ---- making them ---- */

static luamil_tensor *make(lua_State *L, int dtype_at, const char *fn) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    mil_dtype dtype = luamil_check_dtype(L, dtype_at, fn);
    int rank = luamil_check_shape(L, dtype_at + 1, fn, shape);
    luamil_tensor *self = luamil_new_tensor(L);
    raise_if(L, mil_tensor_new(dtype, rank, shape, &self->tensor, &err), &err);
    return self;
}

/* mil.zeros(dtype, shape) */
static int zeros(lua_State *L) { return return_new(L, make(L, 1, "mil.zeros")); }

static int filled(lua_State *L, const char *fn, double value) {
    mil_error err;
    luamil_tensor *self = make(L, 1, fn);
    raise_if(L, mil_tensor_fill(self->tensor, value, &err), &err);
    return return_new(L, self);
}

/* mil.ones(dtype, shape) */
static int ones(lua_State *L) { return filled(L, "mil.ones", 1); }
/* mil.full(dtype, shape, value) */
static int full(lua_State *L) { return filled(L, "mil.full", luamil_check_number(L, 3, "mil.full", "value")); }

/* mil.tensor(numbers), mil.tensor(dtype, numbers): from nested tables. Numbers alone are fp32. */
static int tensor(lua_State *L) {
    mil_error err;
    luamil_literal literal;
    mil_dtype dtype = MIL_NO_DTYPE;
    int at = 1;
    if (lua_type(L, 1) == LUA_TSTRING && lua_gettop(L) > 1) dtype = luamil_check_dtype(L, 1, "mil.tensor"), at = 2;
    if (luamil_kind_of(L, at) == LUAMIL_TENSOR) {
        luamil_tensor *copy = luamil_new_tensor(L);
        mil_tensor *from = luamil_check_tensor(L, at, "mil.tensor");
        raise_if(L, mil_tensor_convert(from, dtype ? dtype : mil_tensor_dtype(from), &copy->tensor, &err), &err);
        return return_new(L, copy);
    }
    luamil_read_literal(L, at, at + 1, "mil.tensor", &literal);
    if (!dtype) dtype = literal.kind == LUAMIL_INTS ? MIL_FP32 : luamil_literal_dtype(&literal);
    luamil_tensor *self = luamil_new_tensor(L);
    raise_if(L, luamil_literal_tensor(&literal, dtype, "mil.tensor", &self->tensor, &err), &err);
    return return_new(L, self);
}

/* mil.arange(dtype, first, last [, step]): first, first + step, ... up to last, which is included. */
static int arange(lua_State *L) {
    mil_error err;
    mil_dtype dtype = luamil_check_dtype(L, 1, "mil.arange");
    double first = luamil_check_number(L, 2, "mil.arange", "first"), last = luamil_check_number(L, 3, "mil.arange", "last");
    double step = lua_isnoneornil(L, 4) ? 1 : luamil_check_number(L, 4, "mil.arange", "step");
    double count = step == 0 ? -1 : floor((last - first) / step + 1e-9) + 1;
    if (!(count < 1e12) || step == 0) return luamil_fail(L, MIL_EVALUE, "mil.arange: from %.9g to %.9g by %.9g is endless", first, last, step);
    int64_t n = count > 0 ? (int64_t)count : 0;
    luamil_tensor *self = luamil_new_tensor(L);
    raise_if(L, mil_tensor_new(dtype, 1, &n, &self->tensor, &err), &err);
    for (int64_t i = 0; i < n; i++) raise_if(L, mil_tensor_set(self->tensor, &i, first + (double)i * step, &err), &err);
    return return_new(L, self);
}

/* The generator of {seed = }, or that of this Lua state (mil.seed). */
static mil_random *generator(lua_State *L, const char *fn, mil_random *own) {
    static const char *const keys[] = {"seed", NULL};
    luamil_check_keys(L, 3, fn, keys);
    if (luamil_option(L, 3, "seed") == LUA_TNIL) return &luamil_state_of(L)->random;
    mil_random_seed(own, (uint64_t)luamil_check_int(L, -1, fn, "seed"));
    return own;
}

/* mil.rand(dtype, shape [, {seed = }]): uniform in [0, 1) */
static int uniform(lua_State *L) {
    mil_error err;
    mil_random own, *random = generator(L, "mil.rand", &own);
    luamil_tensor *self = make(L, 1, "mil.rand");
    raise_if(L, mil_tensor_uniform(self->tensor, random, 0, 1, &err), &err);
    return return_new(L, self);
}

/* mil.randn(dtype, shape [, {seed = }]): normal, mean 0, deviation 1 */
static int normal(lua_State *L) {
    mil_error err;
    mil_random own, *random = generator(L, "mil.randn", &own);
    luamil_tensor *self = make(L, 1, "mil.randn");
    raise_if(L, mil_tensor_normal(self->tensor, random, 0, 1, &err), &err);
    return return_new(L, self);
}

/* mil.seed(n): of mil.rand and mil.randn from here on; a state starts with 0. */
static int seed(lua_State *L) {
    mil_random_seed(&luamil_state_of(L)->random, (uint64_t)luamil_check_int(L, 1, "mil.seed", "seed"));
    lua_settop(L, 1);
    return 1;
}

static mil_status over_all(mil_buffer *buffer, mil_dtype dtype, int rank, const int64_t *shape, luamil_tensor *self,
                           mil_error *err) {
    mil_status status = mil_tensor_over(buffer, 0, dtype, rank, shape, NULL, &self->tensor, err);
    mil_buffer_free(buffer);
    return status;
}

static mil_status shared_like(luamil_tensor *self, int rank, const int64_t *shape, mil_error *err) {
    mil_buffer *buffer = NULL;
    mil_dtype dtype = mil_tensor_dtype(self->tensor);
    size_t bytes = mil_tensor_bytes(self->tensor);
    mil_tensor_free(self->tensor); /* it has done the arithmetic */
    self->tensor = NULL;
    mil_status status = mil_buffer_shared(bytes, &buffer, err);
    return status == MIL_OK ? over_all(buffer, dtype, rank, shape, self, err) : status;
}

/* mil.shared(dtype, shape): memory for another process (t:fd()) */
static int shared(lua_State *L) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    luamil_tensor *self = make(L, 1, "mil.shared");
    int rank = luamil_check_shape(L, 2, "mil.shared", shape);
    raise_if(L, shared_like(self, rank, shape, &err), &err);
    return return_new(L, self);
}

/* mil.import(fd, dtype, shape): the same memory, from its descriptor */
static int import(lua_State *L) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    mil_buffer *buffer = NULL;
    int fd = (int)luamil_check_int(L, 1, "mil.import", "fd");
    mil_dtype dtype = luamil_check_dtype(L, 2, "mil.import");
    int rank = luamil_check_shape(L, 3, "mil.import", shape);
    luamil_tensor *self = luamil_new_tensor(L);
    raise_if(L, mil_buffer_import(fd, &buffer, &err), &err);
    raise_if(L, over_all(buffer, dtype, rank, shape, self, &err), &err);
    return 1;
}

/* mil.from_bytes(dtype, shape, bytes): elements as they lie in memory, row-major */
static int from_bytes(lua_State *L) {
    mil_error err;
    size_t n;
    const char *bytes = luamil_check_string(L, 3, "mil.from_bytes", "bytes", &n);
    luamil_tensor *self = make(L, 1, "mil.from_bytes");
    if (n != mil_tensor_bytes(self->tensor) || mil_tensor_dtype(self->tensor) == MIL_STRING)
        return luamil_fail(L, MIL_EVALUE, "mil.from_bytes: %s takes %.0f bytes, but was given %.0f", LUAMIL_WHAT(L, -1),
                           (double)mil_tensor_bytes(self->tensor), (double)n);
    raise_if(L, mil_buffer_lock(mil_tensor_buffer(self->tensor), true, &err), &err);
    memcpy(mil_tensor_data(self->tensor), bytes, n);
    raise_if(L, mil_buffer_unlock(mil_tensor_buffer(self->tensor), &err), &err);
    return return_new(L, self);
}

/* mil.bytes(tensor): the elements as they lie in memory, row-major */
static int bytes(lua_State *L) {
    mil_error err;
    mil_tensor *self = luamil_pin_tensor(L, 1, "mil.bytes");
    if (mil_tensor_dtype(self) == MIL_STRING) return luamil_fail(L, MIL_ETYPE, "mil.bytes: strings have no fixed size");
    if (!mil_tensor_is_contiguous(self)) {
        luamil_tensor *copy = luamil_new_tensor(L);
        raise_if(L, mil_tensor_convert(self, mil_tensor_dtype(self), &copy->tensor, &err), &err);
        self = copy->tensor;
    }
    lua_pushlstring(L, mil_tensor_data(self), mil_tensor_bytes(self));
    return 1;
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
        raise_if(L, mil_tensor_get(tensor, index, &value, &err), &err);
        lua_pushnumber(L, value);
    } else {
        int64_t value = 0;
        raise_if(L, mil_tensor_get_int(tensor, index, &value, &err), &err);
        if (dtype == MIL_BOOL) lua_pushboolean(L, value != 0);
        else if (!luamil_push_int(L, value))
            luamil_fail(L, MIL_EVALUE, "get: %s %lld is past 2^53, which a number of this Lua can't hold",
                        mil_dtype_name(dtype), (long long)value);
    }
}

/* Stores the Lua value at `at`. */
static void store(lua_State *L, mil_tensor *tensor, const int64_t *index, int at) {
    mil_error err;
    int64_t whole = 0;
    mil_dtype dtype = mil_tensor_dtype(tensor);
    if (lua_isboolean(L, at)) {
        raise_if(L, mil_tensor_set_int(tensor, index, lua_toboolean(L, at), &err), &err);
    } else if (!is_float(dtype) && lua_type(L, at) == LUA_TNUMBER && luamil_to_int(L, at, &whole)) {
        raise_if(L, mil_tensor_set_int(tensor, index, whole, &err), &err);
    } else if (!is_float(dtype)) {
        luamil_fail(L, MIL_EVALUE, "set: %s takes whole numbers, but was given %s", mil_dtype_name(dtype), LUAMIL_WHAT(L, at));
    } else {
        raise_if(L, mil_tensor_set(tensor, index, luamil_check_number(L, at, "set", "an element"), &err), &err);
    }
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
    store(L, self, index, lua_gettop(L));
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
    raise_if(L, mil_tensor_slice(self, begin, size, step, &part->tensor, &err), &err);
    for (int i = 0; i < mil_tensor_rank(self); i++)
        if (!drop[i]) shape[rank++] = size[i];
    raise_if(L, mil_tensor_reshape(part->tensor, rank, shape, &view->tensor, &err), &err);
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
        *size = (last - first + *step) / *step;
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
    return raise_if(L, mil_tensor_transpose(self, perm, &view->tensor, &err), &err);
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
    return raise_if(L, mil_tensor_reshape(self, rank, shape, &view->tensor, &err), &err);
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
    raise_if(L, mil_tensor_convert(self, dtype, &copy->tensor, &err), &err);
    return return_new(L, copy);
}

/* t:copy() */
static int copy(lua_State *L) {
    mil_error err;
    luamil_tensor *made = luamil_new_tensor(L);
    mil_tensor *self = luamil_check_tensor(L, 1, "copy");
    raise_if(L, mil_tensor_convert(self, mil_tensor_dtype(self), &made->tensor, &err), &err);
    return return_new(L, made);
}

static void write_literal(lua_State *L, mil_tensor *self, int at) {
    mil_error err;
    luamil_literal literal;
    luamil_read_literal(L, at, at + 1, "write", &literal);
    luamil_tensor *from = luamil_new_tensor(L);
    raise_if(L, luamil_literal_tensor(&literal, mil_tensor_dtype(self), "write", &from->tensor, &err), &err);
    if (literal.rank == 1 && mil_tensor_numel(from->tensor) == mil_tensor_numel(self)) { /* a plain list fills any shape */
        luamil_tensor *view = luamil_new_tensor(L);
        raise_if(L, mil_tensor_reshape(from->tensor, mil_tensor_rank(self), mil_tensor_shape(self), &view->tensor, &err), &err);
        from = view;
    }
    raise_if(L, mil_tensor_copy(self, from->tensor, &err), &err);
}

static void write_any(lua_State *L, mil_tensor *self, int at) {
    mil_error err;
    if (luamil_kind_of(L, at) == LUAMIL_TENSOR)
        raise_if(L, mil_tensor_copy(self, luamil_check_tensor(L, at, "write"), &err), &err);
    else if (lua_type(L, at) == LUA_TNUMBER)
        raise_if(L, mil_tensor_fill(self, (double)lua_tonumber(L, at), &err), &err);
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
    mil_error err;
    mil_tensor *self = luamil_check_tensor(L, 1, "fill");
    raise_if(L, mil_tensor_fill(self, luamil_check_number(L, 2, "fill", "value"), &err), &err);
    lua_settop(L, 1);
    return 1;
}

static int statistic(lua_State *L, const char *fn, int which) {
    mil_tensor_stats stats;
    mil_tensor *self = luamil_check_tensor(L, 1, fn);
    if (mil_tensor_dtype(self) == MIL_STRING || mil_tensor_numel(self) == 0)
        return luamil_fail(L, MIL_EVALUE, "%s: %s has no numbers", fn, LUAMIL_WHAT(L, 1));
    mil_tensor_statistics(self, &stats);
    lua_pushnumber(L, which == 0 ? stats.min : which == 1 ? stats.max : stats.mean);
    return 1;
}

static int least(lua_State *L) { return statistic(L, "min", 0); }
static int greatest(lua_State *L) { return statistic(L, "max", 1); }
static int mean(lua_State *L) { return statistic(L, "mean", 2); }

/* t:stats(): {min = , max = , mean = , nan = , inf = } */
static int stats(lua_State *L) {
    mil_tensor_stats s;
    mil_tensor_statistics(luamil_check_tensor(L, 1, "stats"), &s);
    lua_createtable(L, 0, 5);
    const struct { const char *key; double value; } fields[] = {
        {"min", s.min}, {"max", s.max}, {"mean", s.mean}, {"nan", (double)s.n_nan}, {"inf", (double)s.n_inf}};
    for (size_t i = 0; i < 5; i++) {
        lua_pushnumber(L, fields[i].value);
        lua_setfield(L, -2, fields[i].key);
    }
    return 1;
}

/* Steps through the elements in row-major order; false after the last. */
static bool next_index(const mil_tensor *tensor, int64_t *index) {
    for (int i = mil_tensor_rank(tensor); i-- > 0; index[i] = 0)
        if (++index[i] < mil_tensor_shape(tensor)[i]) return true;
    return false;
}

static bool same_shape(const mil_tensor *a, const mil_tensor *b) {
    int rank = mil_tensor_rank(a);
    return rank == mil_tensor_rank(b) &&
           memcmp(mil_tensor_shape(a), mil_tensor_shape(b), (size_t)rank * sizeof(int64_t)) == 0;
}

/* An fp64 copy, on the stack. */
static const double *as_doubles(lua_State *L, int index, const char *fn) {
    mil_error err;
    luamil_tensor *copy = luamil_new_tensor(L);
    raise_if(L, mil_tensor_convert(luamil_check_tensor(L, index, fn), MIL_FP64, &copy->tensor, &err), &err);
    return mil_tensor_data(copy->tensor);
}

/* t:close(other [, tol]): is |t - other| <= tol * max(1, |other|) everywhere? NaN is close to NaN. tol is 1e-5, or 2e-3
 * where one of them is fp16. False comes with what is furthest. */
static int close_to(lua_State *L) {
    mil_tensor *a = luamil_check_tensor(L, 1, "close"), *b = luamil_check_tensor(L, 2, "close");
    bool half = mil_tensor_dtype(a) == MIL_FP16 || mil_tensor_dtype(b) == MIL_FP16;
    double tol = lua_isnoneornil(L, 3) ? (half ? 2e-3 : 1e-5) : luamil_check_number(L, 3, "close", "tol");
    if (!same_shape(a, b))
        return luamil_fail(L, MIL_ETYPE, "close: %s and %s differ in shape", LUAMIL_WHAT(L, 1), LUAMIL_WHAT(L, 2));
    int64_t at = 0, n = mil_tensor_numel(a);
    const double *x = as_doubles(L, 1, "close"), *y = as_doubles(L, 2, "close");
    double worst = -1;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] == y[i] || (isnan(x[i]) && isnan(y[i]))) continue;
        double off = fabs(x[i] - y[i]) / fmax(1, fabs(y[i]));
        if (!isfinite(x[i]) || !isfinite(y[i])) off = INFINITY;
        if (off > worst) worst = off, at = i;
    }
    lua_pushboolean(L, worst <= tol);
    if (worst <= tol) return 1;
    char text[160];
    snprintf(text, sizeof text, "element %lld is %.9g, not %.9g", (long long)at + 1, x[at], y[at]);
    lua_pushstring(L, text);
    return 2;
}

static int topk_text(lua_State *L) {
    luaL_Buffer b;
    int n = (int)lua_rawlen(L, 1);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        char line[80];
        lua_rawgeti(L, 1, i);
        lua_getfield(L, -1, "index");
        lua_getfield(L, -2, "value");
        snprintf(line, sizeof line, "%s%8.0f  %.4g", i > 1 ? "\n" : "", (double)lua_tonumber(L, -2), (double)lua_tonumber(L, -1));
        lua_pop(L, 3);
        luaL_addstring(&b, line);
    }
    luaL_pushresult(&b);
    return 1;
}

/* The n largest, by repeated insertion into a short sorted list; NaN is below all. */
static int64_t select_largest(const double *x, int64_t count, int64_t n, int64_t *best) {
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(x[i]) || (used == n && !(x[i] > x[best[used - 1]]))) continue;
        int64_t at = used < n ? used++ : n - 1;
        for (; at > 0 && x[i] > x[best[at - 1]]; at--) best[at] = best[at - 1];
        best[at] = i;
    }
    return used;
}

/* t:topk(n): a list of {index = , value = }, largest first; the index counts all elements, from 1. */
static int topk(lua_State *L) {
    mil_tensor *self = luamil_check_tensor(L, 1, "topk");
    int64_t n = lua_isnoneornil(L, 2) ? 5 : luamil_check_int(L, 2, "topk", "n"), count = mil_tensor_numel(self);
    if (n < 1) return luamil_fail(L, MIL_EVALUE, "topk: n is %lld", (long long)n);
    if (n > count) n = count;
    if (n > 10000) return luamil_fail(L, MIL_ELIMIT, "topk: at most 10000 are listed");
    const double *x = as_doubles(L, 1, "topk");
    int64_t *best = luamil_new_plain(L, (size_t)(n + 1) * sizeof *best);
    n = select_largest(x, count, n, best);
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 2);
        lua_pushinteger(L, (lua_Integer)best[i] + 1);
        lua_setfield(L, -2, "index");
        lua_pushnumber(L, x[best[i]]);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, topk_text);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, -2);
    return 1;
}

static void push_table(lua_State *L, const mil_tensor *tensor, int64_t *index, int axis) {
    if (axis == mil_tensor_rank(tensor)) {
        luamil_push_element(L, tensor, index);
        return;
    }
    int64_t n = mil_tensor_shape(tensor)[axis];
    lua_createtable(L, n < 1 << 24 ? (int)n : 0, 0);
    for (index[axis] = 0; index[axis] < n; index[axis]++) {
        push_table(L, tensor, index, axis + 1);
        lua_rawseti(L, -2, (int)index[axis] + 1);
    }
}

/* t:table(): nested tables of its elements */
static int table(lua_State *L) {
    int64_t index[MIL_MAX_RANK] = {0};
    mil_tensor *self = luamil_pin_tensor(L, 1, "table");
    luaL_checkstack(L, MIL_MAX_RANK + 4, NULL);
    push_table(L, self, index, 0);
    return 1;
}

/* t:map(fn): a tensor of fn(element), of the same dtype */
static int map(lua_State *L) {
    mil_error err;
    int64_t index[MIL_MAX_RANK] = {0};
    if (lua_type(L, 2) != LUA_TFUNCTION)
        return luamil_fail(L, MIL_EINVAL, "map: takes a function, but was given %s", LUAMIL_WHAT(L, 2));
    luamil_tensor *made = luamil_new_tensor(L);
    mil_tensor *self = luamil_pin_tensor(L, 1, "map"); /* fn may free it */
    raise_if(L, mil_tensor_new(mil_tensor_dtype(self), mil_tensor_rank(self), mil_tensor_shape(self), &made->tensor, &err), &err);
    if (mil_tensor_numel(self) > 0) do {
        lua_pushvalue(L, 2);
        luamil_push_element(L, self, index);
        lua_call(L, 1, 1);
        store(L, made->tensor, index, lua_gettop(L));
        lua_pop(L, 1);
    } while (next_index(self, index));
    lua_pop(L, 1);
    return return_new(L, made);
}

static int lock(lua_State *L) {
    mil_error err;
    mil_tensor *self = luamil_check_tensor(L, 1, "lock");
    raise_if(L, mil_buffer_lock(mil_tensor_buffer(self), !lua_toboolean(L, 2), &err), &err);
    lua_settop(L, 1);
    return 1;
}

static int unlock(lua_State *L) {
    mil_error err;
    raise_if(L, mil_buffer_unlock(mil_tensor_buffer(luamil_check_tensor(L, 1, "unlock")), &err), &err);
    lua_settop(L, 1);
    return 1;
}

/* t:pointer(): its first element, for LuaJIT's FFI; good while the tensor lives */
static int pointer(lua_State *L) {
    lua_pushlightuserdata(L, mil_tensor_data(luamil_check_tensor(L, 1, "pointer")));
    return 1;
}

/* t:fd(): the descriptor of shared memory (mil.shared); borrowed */
static int fd(lua_State *L) {
    int number = mil_buffer_fd(mil_tensor_buffer(luamil_check_tensor(L, 1, "fd")));
    if (number < 0) return luamil_fail(L, MIL_ESTATE, "fd: the tensor is not shared memory (mil.shared)");
    lua_pushinteger(L, number);
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
    raise_if(L, mil_weights_save(path, &named, 1, NULL, &err), &err);
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
        store(L, self, &i, 3);
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

static bool tensor_field(lua_State *L, const char *name) {
    bool is_shape = strcmp(name, "shape") == 0;
    if (!is_shape && strcmp(name, "dtype") != 0) return false;
    mil_tensor *self = luamil_check_tensor(L, 1, name);
    if (is_shape) luamil_push_shape(L, mil_tensor_rank(self), mil_tensor_shape(self));
    else lua_pushstring(L, mil_dtype_name(mil_tensor_dtype(self)));
    return true;
}

static const luaL_Reg meta[] = {
    {"__index", tensor_index}, {"__newindex", tensor_newindex}, {"__len", tensor_len}, {"__gc", release},
    {"__close", release}, {"__tostring", tensor_tostring}, {NULL, NULL},
};
static const luaL_Reg methods[] = {
    {"get", get}, {"set", set}, {"sub", sub}, {"transpose", transpose}, {"reshape", reshape}, {"to", to}, {"copy", copy},
    {"write", write}, {"fill", fill}, {"min", least}, {"max", greatest}, {"mean", mean}, {"stats", stats},
    {"close", close_to}, {"topk", topk}, {"table", table}, {"map", map}, {"lock", lock}, {"unlock", unlock},
    {"pointer", pointer}, {"fd", fd}, {"size", size}, {"numel", numel}, {"is_contiguous", contiguous}, {"free", release},
    {"save", save}, {"tostring", text}, {NULL, NULL},
};
static const char *const fields[] = {"shape", "dtype", NULL};

void luamil_open_tensors(lua_State *L) {
    static const luamil_class cls = {LUAMIL_TENSOR, "mil.tensor", "tensor", meta, methods, fields, tensor_field};
    luamil_new_class(L, &cls);
    lua_pop(L, 1);
}

const luaL_Reg luamil_tensor_functions[] = {
    {"tensor", tensor}, {"zeros", zeros}, {"ones", ones}, {"full", full}, {"arange", arange}, {"rand", uniform},
    {"randn", normal}, {"seed", seed}, {"shared", shared}, {"import", import}, {"bytes", bytes},
    {"from_bytes", from_bytes}, {NULL, NULL},
};
