/* SPDX-License-Identifier: MIT */
/* mil.json: JSON, read strictly (jansson: UTF-8, no key twice, nothing behind the value) and written on one line.
 *
 *     null    json.null          true, false   booleans
 *     [1, 2]  a list, with json's metatable of lists: so an empty one stays a list (json.array marks others)
 *     {}      a table; written with its keys in order
 *     1       an integer, exact; where Lua has none, past 2^53 an error
 *     1.0     a number; the shortest text that reads back to it; NaN and infinities have none: an error
 *     "a"     a string; bytes that are not UTF-8 are written as U+FFFD
 *
 * What nests deeper than DEEPEST is refused both ways; so is a table that holds itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bind.h"

enum { DEEPEST = 128 };

static const char arrays_key; /* the registry's place of the lists' metatable */

static void push_arrays(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &arrays_key); }

/* ---- reading ---- */

/* What jansson made, owned by the Lua state while it is turned into Lua's. */
typedef struct tree {
    json_t *root;
} tree;

static int tree_free(lua_State *L) {
    tree *self = lua_touserdata(L, 1);
    json_t *root = self->root;
    self->root = NULL;
    json_decref(root);
    return 0;
}

static tree *new_tree(lua_State *L) {
    tree *self = luamil_new_plain(L, sizeof *self);
    self->root = NULL;
    if (luaL_newmetatable(L, "mil.json tree")) {
        lua_pushcfunction(L, tree_free);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return self;
}

static void push_value(lua_State *L, json_t *value, int depth);

static void push_object(lua_State *L, json_t *object, int depth) {
    const char *key;
    json_t *value;
    lua_createtable(L, 0, (int)json_object_size(object));
    json_object_foreach(object, key, value) {
        lua_pushstring(L, key);
        push_value(L, value, depth);
        lua_rawset(L, -3);
    }
}

static void push_array(lua_State *L, json_t *array, int depth) {
    size_t n = json_array_size(array);
    lua_createtable(L, (int)n, 0);
    push_arrays(L);
    lua_setmetatable(L, -2);
    for (size_t i = 0; i < n; i++) {
        push_value(L, json_array_get(array, i), depth);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_value(lua_State *L, json_t *value, int depth) {
    if (depth > DEEPEST) luamil_fail(L, MIL_ELIMIT, "json: nested deeper than %d", DEEPEST);
    luaL_checkstack(L, 6, "json: nested too deep");
    switch (json_typeof(value)) {
    case JSON_OBJECT: push_object(L, value, depth + 1); break;
    case JSON_ARRAY: push_array(L, value, depth + 1); break;
    case JSON_STRING: lua_pushlstring(L, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER:
        if (!luamil_push_int(L, json_integer_value(value)))
            luamil_fail(L, MIL_EVALUE, "json: the integer %lld is past 2^53, more than this Lua holds exactly",
                        (long long)json_integer_value(value));
        break;
    case JSON_REAL: lua_pushnumber(L, (lua_Number)json_real_value(value)); break;
    case JSON_TRUE: lua_pushboolean(L, 1); break;
    case JSON_FALSE: lua_pushboolean(L, 0); break;
    case JSON_NULL: lua_pushlightuserdata(L, NULL); break;
    }
}

/* json.decode(text): its one value */
static int decode(lua_State *L) {
    size_t n;
    json_error_t problem;
    const char *text = luamil_check_string(L, 1, "json.decode", "text", &n);
    tree *self = new_tree(L);
    self->root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (!self->root)
        return luamil_fail(L, MIL_EPARSE, "json:%d:%d: %.150s", problem.line, problem.column, problem.text);
    push_value(L, self->root, 0);
    json_decref(self->root);
    self->root = NULL;
    return 1;
}

/* ---- writing ----
 * Pieces of text go to a list, which is joined at the end: a luaL_Buffer would want the top of the stack, on which the
 * value is walked. */

typedef struct writer {
    lua_State *L;
    int pieces, n; /* stack index of the list, and its length */
} writer;

/* The string on top of the stack. */
static void put_top(writer *w) { lua_rawseti(w->L, w->pieces, ++w->n); }

static void put(writer *w, const char *text) {
    lua_pushstring(w->L, text);
    put_top(w);
}

/* The bytes of the UTF-8 character at s (of n), 0 where it is none. */
static size_t utf8_length(const unsigned char *s, size_t n) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF8 ? 4 : 0;
    if (length <= 1 || length > n) return length > n ? 0 : length;
    unsigned c = s[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    return c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : length;
}

static void put_string(writer *w, const char *text, size_t n) {
    luaL_Buffer b;
    const unsigned char *s = (const unsigned char *)text;
    luaL_buffinit(w->L, &b);
    luaL_addchar(&b, '"');
    for (size_t i = 0, length; i < n; i += length ? length : 1) {
        char escape[8];
        length = utf8_length(s + i, n - i);
        if (!length) {
            luaL_addstring(&b, "\xEF\xBF\xBD");
        } else if (s[i] < 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == 0x7F) {
            const char *at = strchr("\"\"\\\\\bb\ff\nn\rr\tt", s[i] ? s[i] : 1);
            snprintf(escape, sizeof escape, at ? "\\%c" : "\\u%04x", at ? (unsigned)at[1] : (unsigned)s[i]);
            luaL_addstring(&b, escape);
        } else {
            luaL_addlstring(&b, text + i, length);
        }
    }
    luaL_addchar(&b, '"');
    luaL_pushresult(&b);
    put_top(w);
}

static void put_number(writer *w, int at) {
    char text[40];
    int64_t whole;
    lua_Number number = lua_tonumber(w->L, at);
    if (luamil_is_int(w->L, at) && luamil_to_int(w->L, at, &whole)) {
        snprintf(text, sizeof text, "%lld", (long long)whole);
    } else if (!isfinite(number)) {
        luamil_fail(w->L, MIL_EVALUE, "json.encode: JSON has no %s", isnan(number) ? "NaN" : "infinity");
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, number);
            if (strtod(text, NULL) == number) break;
        }
        for (char *c = text; *c; c++) /* the locale's own point */
            if (!strchr("0123456789+-e", *c)) *c = '.';
        if (!strpbrk(text, ".e")) strcat(text, ".0");
    }
    put(w, text);
}

static void put_value(writer *w, int at, int depth);

static void put_array(writer *w, int at, size_t n, int depth) {
    put(w, "[");
    for (size_t i = 1; i <= n; i++) {
        if (i > 1) put(w, ",");
        lua_rawgeti(w->L, at, (int)i);
        put_value(w, lua_gettop(w->L), depth);
        lua_pop(w->L, 1);
    }
    put(w, "]");
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void put_object(writer *w, int at, size_t n, int depth) {
    lua_State *L = w->L;
    size_t i = 0;
    const char **keys = luamil_new_plain(L, (n + 1) * sizeof *keys); /* the table has the strings */
    int top = lua_gettop(L);
    for (lua_pushnil(L); i < n && lua_next(L, at); lua_pop(L, 1)) keys[i++] = lua_tostring(L, -2); /* a finalizer may add some */
    lua_settop(L, top);
    n = i;
    qsort(keys, n, sizeof *keys, by_text);
    put(w, "{");
    for (i = 0; i < n; i++) {
        if (i) put(w, ",");
        put_string(w, keys[i], strlen(keys[i]));
        put(w, ":");
        lua_pushstring(L, keys[i]);
        lua_rawget(L, at);
        put_value(w, lua_gettop(L), depth);
        lua_pop(L, 1);
    }
    put(w, "}");
    lua_pop(L, 1);
}

/* A key that a table of n elements at 1 .. n may have. Strings with a zero inside can't be sorted and found as C's. */
static bool is_key(lua_State *L, bool is_list) {
    size_t length;
    if (is_list) return lua_type(L, -2) == LUA_TNUMBER;
    return lua_type(L, -2) == LUA_TSTRING && strlen(lua_tolstring(L, -2, &length)) == length;
}

static bool is_marked(lua_State *L, int at) {
    if (!lua_getmetatable(L, at)) return false;
    push_arrays(L);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is;
}

static void put_table(writer *w, int at, int depth) {
    lua_State *L = w->L;
    size_t n = lua_rawlen(L, at), keys = 0;
    bool is_list = n > 0 || is_marked(L, at);
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1), keys++)
        if (!is_key(L, is_list))
            luamil_fail(L, MIL_EVALUE, "json.encode: a %s has no place for the key %s", is_list ? "list" : "table of names", LUAMIL_WHAT(L, -2));
    if (is_list && keys != n) luamil_fail(L, MIL_EVALUE, "json.encode: a list with holes");
    if (is_list) put_array(w, at, n, depth);
    else put_object(w, at, keys, depth);
}

static void put_value(writer *w, int at, int depth) {
    lua_State *L = w->L;
    size_t n;
    if (depth > DEEPEST) luamil_fail(L, MIL_ELIMIT, "json.encode: nested deeper than %d, or in itself", DEEPEST);
    luaL_checkstack(L, 12, "json: nested too deep");
    switch (lua_type(L, at)) {
    case LUA_TTABLE: put_table(w, at, depth + 1); return;
    case LUA_TNUMBER: put_number(w, at); return;
    case LUA_TBOOLEAN: put(w, lua_toboolean(L, at) ? "true" : "false"); return;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, at, &n);
        put_string(w, text, n);
        return;
    }
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, at)) {
            put(w, "null");
            return;
        }
    }
    luamil_fail(L, MIL_EINVAL, "json.encode: JSON has nothing for %s", LUAMIL_WHAT(L, at));
}

/* json.encode(value): one line of text */
static int encode(lua_State *L) {
    luaL_Buffer b;
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    lua_newtable(L);
    writer w = {L, 2, 0};
    put_value(&w, 1, 0);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= w.n; i++) {
        lua_rawgeti(L, w.pieces, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return 1;
}

/* json.array(table): the same table, which is a list even when empty */
static int array(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    push_arrays(L);
    lua_setmetatable(L, 1);
    return 1;
}

LUAMIL_API int luaopen_mil_json(lua_State *L) {
    static const luaL_Reg functions[] = {{"decode", decode}, {"encode", encode}, {"array", array}, {NULL, NULL}};
    lua_getglobal(L, "require"); /* its errors are those of mil */
    lua_pushliteral(L, "mil");
    lua_call(L, 1, 0);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &arrays_key);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
