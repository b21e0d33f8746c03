/* SPDX-License-Identifier: MIT */
/* How tensors are made: from numbers, random, shared with other processes, from and to bytes. */
#include <math.h>
#include <string.h>

#include "bind.h"

static luamil_tensor *make(lua_State *L, int dtype_at, const char *fn) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    mil_dtype dtype = luamil_check_dtype(L, dtype_at, fn);
    int rank = luamil_check_shape(L, dtype_at + 1, fn, shape);
    luamil_tensor *self = luamil_new_tensor(L);
    double bytes = mil_dtype_bits(dtype) / 8.0;
    for (int i = 0; i < rank; i++) bytes *= (double)shape[i];
    mil_status status = mil_tensor_new(dtype, rank, shape, &self->tensor, &err);
    if (status == MIL_ENOMEM) luamil_fail(L, status, "%s: out of memory: %.9g bytes were asked for", fn, bytes);
    luamil_check_status(L, status, &err);
    return self;
}

/* mil.zeros(dtype, shape) */
static int zeros(lua_State *L) { return luamil_return_tensor(L, make(L, 1, "mil.zeros")); }

/* mil.full(dtype, shape, value) */
static int full(lua_State *L) {
    lua_settop(L, 3);
    luamil_tensor *self = make(L, 1, "mil.full");
    luamil_fill(L, self->tensor, 3, "mil.full");
    return luamil_return_tensor(L, self);
}

/* mil.ones(dtype, shape) */
static int ones(lua_State *L) {
    mil_error err;
    luamil_tensor *self = make(L, 1, "mil.ones");
    luamil_check_status(L, mil_tensor_fill(self->tensor, 1, &err), &err);
    return luamil_return_tensor(L, self);
}

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
        luamil_check_status(L, mil_tensor_convert(from, dtype ? dtype : mil_tensor_dtype(from), &copy->tensor, &err), &err);
        return luamil_return_tensor(L, copy);
    }
    luamil_read_literal(L, at, at + 1, "mil.tensor", &literal);
    if (!dtype) dtype = literal.kind == LUAMIL_INTS ? MIL_FP32 : luamil_literal_dtype(&literal);
    luamil_tensor *self = luamil_new_tensor(L);
    luamil_check_status(L, luamil_literal_tensor(&literal, dtype, "mil.tensor", &self->tensor, &err), &err);
    return luamil_return_tensor(L, self);
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
    luamil_check_status(L, mil_tensor_new(dtype, 1, &n, &self->tensor, &err), &err);
    for (int64_t i = 0; i < n; i++) luamil_check_status(L, mil_tensor_set(self->tensor, &i, first + (double)i * step, &err), &err);
    return luamil_return_tensor(L, self);
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
    luamil_check_status(L, mil_tensor_uniform(self->tensor, random, 0, 1, &err), &err);
    return luamil_return_tensor(L, self);
}

/* mil.randn(dtype, shape [, {seed = }]): normal, mean 0, deviation 1 */
static int normal(lua_State *L) {
    mil_error err;
    mil_random own, *random = generator(L, "mil.randn", &own);
    luamil_tensor *self = make(L, 1, "mil.randn");
    luamil_check_status(L, mil_tensor_normal(self->tensor, random, 0, 1, &err), &err);
    return luamil_return_tensor(L, self);
}

/* mil.seed(n): of mil.rand and mil.randn from here on; a state starts with 0. */
static int seed(lua_State *L) {
    mil_random_seed(&luamil_state_of(L)->random, (uint64_t)luamil_check_int(L, 1, "mil.seed", "seed"));
    lua_settop(L, 1);
    return 1;
}

/* The option {row = bytes} of shared memory at index: rows of whole multiples of it. */
static size_t row_option(lua_State *L, int at, const char *fn) {
    static const char *const keys[] = {"row", NULL};
    luamil_check_keys(L, at, fn, keys);
    int64_t row = luamil_option(L, at, "row") == LUA_TNIL ? 0 : luamil_check_int(L, -1, fn, "row");
    if (row < 0) luamil_fail(L, MIL_EVALUE, "%s: row is a number of bytes, but was given %lld", fn, (long long)row);
    lua_pop(L, 1);
    return (size_t)row;
}

/* mil.shared(dtype, shape [, {row = }]): memory for another process (t:fd(), t:id()) */
static int shared(lua_State *L) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK];
    mil_dtype dtype = luamil_check_dtype(L, 1, "mil.shared");
    int rank = luamil_check_shape(L, 2, "mil.shared", shape);
    lua_settop(L, 3);
    size_t row = row_option(L, 3, "mil.shared");
    luamil_tensor *self = luamil_new_tensor(L);
    luamil_check_status(L, mil_tensor_shared(dtype, rank, shape, row, &self->tensor, &err), &err);
    return luamil_return_tensor(L, self);
}

static int64_t check_handle(lua_State *L, int at, const char *what, int64_t most) {
    int64_t number = luamil_check_int(L, at, "mil.import", what);
    if (number < 0 || number > most) luamil_fail(L, MIL_EVALUE, "mil.import: there is no %s %lld", what, (long long)number);
    return number;
}

/* The memory that stands at index 1: a descriptor, or {fd = } or {id = }. */
static mil_status import_buffer(lua_State *L, size_t bytes, mil_buffer **out, mil_error *err) {
    static const char *const keys[] = {"fd", "id", NULL};
    if (!lua_istable(L, 1)) return mil_buffer_import((int)check_handle(L, 1, "fd", INT32_MAX), bytes, out, err);
    luamil_check_keys(L, 1, "mil.import", keys);
    bool has_id = luamil_option(L, 1, "id") != LUA_TNIL, has_fd = luamil_option(L, 1, "fd") != LUA_TNIL;
    if (has_id == has_fd) luamil_fail(L, MIL_EINVAL, "mil.import: takes either fd or id");
    int64_t number = check_handle(L, has_id ? -2 : -1, has_id ? "id" : "fd", has_id ? UINT32_MAX : INT32_MAX);
    lua_pop(L, 2);
    return has_id ? mil_buffer_import_id((uint32_t)number, bytes, out, err) : mil_buffer_import((int)number, bytes, out, err);
}

/* mil.import(fd or {fd = } or {id = }, dtype, shape [, {row = }]): the same memory, of another process */
static int import(lua_State *L) {
    mil_error err;
    int64_t shape[MIL_MAX_RANK], strides[MIL_MAX_RANK];
    size_t bytes;
    mil_buffer *buffer = NULL;
    mil_dtype dtype = luamil_check_dtype(L, 2, "mil.import");
    int rank = luamil_check_shape(L, 3, "mil.import", shape);
    lua_settop(L, 4);
    luamil_check_status(L, mil_padded_strides(dtype, rank, shape, row_option(L, 4, "mil.import"), strides, &bytes, &err), &err);
    luamil_tensor *self = luamil_new_tensor(L);
    luamil_check_status(L, import_buffer(L, bytes, &buffer, &err), &err);
    mil_status status = mil_tensor_over(buffer, 0, dtype, rank, shape, strides, &self->tensor, &err);
    mil_buffer_free(buffer);
    return luamil_check_status(L, status, &err);
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
    luamil_check_status(L, mil_buffer_lock(mil_tensor_buffer(self->tensor), true, &err), &err);
    memcpy(mil_tensor_data(self->tensor), bytes, n);
    luamil_check_status(L, mil_buffer_unlock(mil_tensor_buffer(self->tensor), &err), &err);
    return luamil_return_tensor(L, self);
}

/* Where Lua runs out of memory the lock, if there is one, stays until the buffer is freed. */
static int push_bytes(lua_State *L, const mil_tensor *tensor) {
    mil_error err;
    luamil_check_status(L, mil_buffer_lock(mil_tensor_buffer(tensor), false, &err), &err);
    lua_pushlstring(L, mil_tensor_data(tensor), mil_tensor_bytes(tensor));
    luamil_check_status(L, mil_buffer_unlock(mil_tensor_buffer(tensor), &err), &err);
    return 1;
}

/* mil.bytes(tensor): the elements as they lie in memory, row-major */
static int bytes(lua_State *L) {
    mil_error err;
    mil_tensor *self = luamil_pin_tensor(L, 1, "mil.bytes");
    if (mil_tensor_dtype(self) == MIL_STRING) return luamil_fail(L, MIL_ETYPE, "mil.bytes: strings have no fixed size");
    if (!mil_tensor_is_contiguous(self)) {
        luamil_tensor *copy = luamil_new_tensor(L);
        luamil_check_status(L, mil_tensor_convert(self, mil_tensor_dtype(self), &copy->tensor, &err), &err);
        self = copy->tensor;
    }
    return push_bytes(L, self);
}

const luaL_Reg luamil_tensor_functions[] = {
    {"tensor", tensor}, {"zeros", zeros}, {"ones", ones}, {"full", full}, {"arange", arange}, {"rand", uniform},
    {"randn", normal}, {"seed", seed}, {"shared", shared}, {"import", import}, {"bytes", bytes},
    {"from_bytes", from_bytes}, {NULL, NULL},
};
