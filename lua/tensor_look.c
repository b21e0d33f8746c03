/* SPDX-License-Identifier: MIT */
/* What looking at tensors needs: statistics, comparison, the largest, tables of elements, mapping. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind.h"

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
static luamil_tensor *as_doubles(lua_State *L, int index, const char *fn) {
    mil_error err;
    luamil_tensor *copy = luamil_new_tensor(L);
    luamil_check_status(L, mil_tensor_convert(luamil_check_tensor(L, index, fn), MIL_FP64, &copy->tensor, &err), &err);
    return copy;
}

/* Element i, counted in C order: integers exactly, for a double does not hold them all. */
static void write_element(const mil_tensor *tensor, int64_t i, double value, char *buf, size_t n) {
    int64_t index[MIL_MAX_RANK], exact;
    for (int axis = mil_tensor_rank(tensor); axis-- > 0; i /= mil_tensor_shape(tensor)[axis])
        index[axis] = i % mil_tensor_shape(tensor)[axis];
    if (mil_tensor_get_int(tensor, index, &exact, NULL) == MIL_OK) snprintf(buf, n, "%lld", (long long)exact);
    else snprintf(buf, n, "%.9g", value);
}

/* t:close(other [, tol]): is |t - other| <= tol * max(1, |other|) everywhere? NaN is close to NaN. tol is 1e-5, or 2e-3
 * where one of them is fp16. False comes with what is furthest. */
static int close_to(lua_State *L) {
    mil_error err;
    mil_tensor_gap gap;
    mil_tensor *a = luamil_check_tensor(L, 1, "close"), *b = luamil_check_tensor(L, 2, "close");
    bool half = mil_tensor_dtype(a) == MIL_FP16 || mil_tensor_dtype(b) == MIL_FP16;
    double tol = lua_isnoneornil(L, 3) ? (half ? 2e-3 : 1e-5) : luamil_check_number(L, 3, "close", "tol");
    if (!(tol >= 0)) return luamil_fail(L, MIL_EVALUE, "close: tol is 0 or more, but was given %g", tol);
    if (!same_shape(a, b))
        return luamil_fail(L, MIL_ETYPE, "close: %s and %s differ in shape", LUAMIL_WHAT(L, 1), LUAMIL_WHAT(L, 2));
    luamil_check_status(L, mil_tensor_compare(a, b, &gap, &err), &err);
    lua_pushboolean(L, gap.off <= tol);
    if (gap.off <= tol) return 1;
    char text[160], x[40], y[40];
    write_element(a, gap.at, gap.a, x, sizeof x);
    write_element(b, gap.at, gap.b, y, sizeof y);
    snprintf(text, sizeof text, "element %lld is %s, not %s", (long long)gap.at + 1, x, y);
    lua_pushstring(L, text);
    return 2;
}

/* t:distance(other): how far it is from what it ought to be: largest, at (an index, as t:get takes it), is, should (the two
 * elements there), relative, unequal */
static int distance(lua_State *L) {
    mil_error err;
    mil_tensor_distance d;
    mil_tensor *a = luamil_check_tensor(L, 1, "distance"), *b = luamil_check_tensor(L, 2, "distance");
    if (!same_shape(a, b))
        return luamil_fail(L, MIL_ETYPE, "distance: %s and %s differ in shape", LUAMIL_WHAT(L, 1), LUAMIL_WHAT(L, 2));
    luamil_check_status(L, mil_tensor_measure(a, b, &d, &err), &err);
    int rank = mil_tensor_rank(a);
    lua_createtable(L, 0, 6);
    lua_createtable(L, rank, 0);
    for (int64_t axis = rank, i = d.at; axis-- > 0 && mil_tensor_shape(a)[axis]; i /= mil_tensor_shape(a)[axis]) {
        lua_pushinteger(L, (lua_Integer)(i % mil_tensor_shape(a)[axis]) + 1);
        lua_rawseti(L, -2, (int)axis + 1);
    }
    lua_setfield(L, -2, "at");
    const struct { const char *name; double value; } numbers[] = {
        {"largest", d.largest}, {"is", d.a}, {"should", d.b}, {"relative", d.relative},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        lua_pushnumber(L, numbers[i].value);
        lua_setfield(L, -2, numbers[i].name);
    }
    lua_pushinteger(L, (lua_Integer)d.n_unequal);
    lua_setfield(L, -2, "unequal");
    return 1;
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
    int64_t *best = luamil_new_plain(L, (size_t)(n + 1) * sizeof *best);
    double *values = luamil_new_plain(L, (size_t)(n + 1) * sizeof *values);
    luamil_tensor *copy = as_doubles(L, 1, "topk");
    const double *x = mil_tensor_data(copy->tensor);
    n = select_largest(x, count, n, best);
    for (int64_t i = 0; i < n; i++) values[i] = x[best[i]];
    mil_tensor_free(copy->tensor);
    copy->tensor = NULL;
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 2);
        lua_pushinteger(L, (lua_Integer)best[i] + 1);
        lua_setfield(L, -2, "index");
        lua_pushnumber(L, values[i]);
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

void luamil_push_elements(lua_State *L, const mil_tensor *tensor) {
    int64_t index[MIL_MAX_RANK] = {0};
    luaL_checkstack(L, MIL_MAX_RANK + 4, NULL);
    push_table(L, tensor, index, 0);
}

/* t:table(): nested tables of its elements */
static int table(lua_State *L) {
    luamil_push_elements(L, luamil_pin_tensor(L, 1, "table"));
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
    luamil_check_status(L, mil_tensor_new(mil_tensor_dtype(self), mil_tensor_rank(self), mil_tensor_shape(self), &made->tensor, &err), &err);
    if (mil_tensor_numel(self) > 0) do {
        lua_pushvalue(L, 2);
        luamil_push_element(L, self, index);
        lua_call(L, 1, 1);
        luamil_store_element(L, made->tensor, index, lua_gettop(L));
        lua_pop(L, 1);
    } while (next_index(self, index));
    lua_pop(L, 1);
    return luamil_return_tensor(L, made);
}

const luaL_Reg luamil_tensor_looks[] = {
    {"min", least}, {"max", greatest}, {"mean", mean}, {"stats", stats}, {"close", close_to}, {"distance", distance}, {"topk", topk},
    {"table", table}, {"map", map}, {NULL, NULL},
};
