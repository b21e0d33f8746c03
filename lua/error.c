/* SPDX-License-Identifier: MIT */
/* Errors as Lua sees them: {code, message, where, file, line, column, op, value, excerpt}, whose tostring is
 * "script.lua:12: message". */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bind.h"

static const char error_key, last_key;

/* ---- where ---- */

/* Chunks of our own: those of the program, and the files of lua/mil, all of which are here (a spec compares), beside the
 * module: a person's own folder may be called mil too. */
static bool is_own(const char *source) {
    static const char *const own[] = {
        "bench.lua", "command.lua", "commands.lua", "complete.lua", "diff.lua", "engines.lua", "errors.lua", "face.lua", "flops.lua", "graph.lua",
        "graph_page.lua", "estimate.lua", "help.lua", "inputs.lua", "inspect.lua", "meta.lua", "options.lua", "plot.lua", "pretty.lua", "probe.lua", "progress.lua",
        "repl.lua", "report.lua", "serve.lua", "terminal.lua", "timing.lua", "units.lua", "widen.lua", "workloads.lua",
    };
    if (strncmp(source, "=mil.", 5) == 0 || strncmp(source, "@mil.", 5) == 0) return true;
    if (strstr(source, "/mil/cmd/")) return true;
    const char *name = strstr(source, "/mil/");
    for (const char *next = name; next; next = strstr(next + 1, "/mil/")) name = next;
    if (!name) return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(name + 5, own[i]) == 0) return true;
    return false;
}

void luamil_where(lua_State *L, luamil_position *out) {
    out->where = (mil_where){NULL, 0};
    for (int level = 1; lua_getstack(L, level, &out->frame); level++) {
        lua_getinfo(L, "Sl", &out->frame);
        const char *source = out->frame.source;
        if (out->frame.currentline <= 0 || is_own(source)) continue;
        bool named = *source == '@' || *source == '=';
        out->where = (mil_where){named ? source + 1 : out->frame.short_src, out->frame.currentline};
        return;
    }
}

/* ---- the object ---- */

static void set_text(lua_State *L, const char *key, const char *text) { luamil_set_text(L, key, text && *text ? text : NULL); }

static void set_number(lua_State *L, const char *key, int number) {
    if (!number) return;
    lua_pushinteger(L, number);
    lua_setfield(L, -2, key);
}

/* What comes before the message: the script's position. That in a text is part of the core's message. */
static void push_prefix(lua_State *L, const mil_where *script) {
    if (script->file) lua_pushfstring(L, "%s:%d: ", script->file, script->line);
    else lua_pushliteral(L, "");
}

static void push_error(lua_State *L, const mil_error *err) {
    luamil_position script;
    luamil_where(L, &script);
    const char *file = err->line ? err->file : script.where.file;
    int line = err->line ? err->line : script.where.line;
    lua_createtable(L, 0, 8);
    set_text(L, "code", mil_status_name(err->code));
    set_text(L, "message", err->message);
    set_text(L, "file", file);
    set_number(L, "line", line);
    set_number(L, "column", err->column);
    set_text(L, "op", err->op);
    set_text(L, "value", err->value);
    set_text(L, "excerpt", err->excerpt);
    if (line && err->column) lua_pushfstring(L, "%s:%d:%d", file, line, err->column);
    else if (line) lua_pushfstring(L, "%s:%d", file, line);
    else lua_pushnil(L);
    lua_setfield(L, -2, "where");
    push_prefix(L, &script.where);
    lua_pushstring(L, err->message);
    bool elsewhere = err->line && !err->column && *err->file &&
                     (!script.where.file || line != script.where.line || strcmp(file, script.where.file) != 0);
    if (elsewhere) lua_pushfstring(L, " (made at %s:%d)", file, line);
    else lua_pushfstring(L, "%s%s", *err->excerpt ? "\n" : "", err->excerpt);
    lua_concat(L, 3);
    lua_setfield(L, -2, "text");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
    lua_setmetatable(L, -2);
}

int luamil_raise(lua_State *L, const mil_error *err) {
    luaL_checkstack(L, 12, NULL);
    push_error(L, err);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &last_key);
    if (luamil_state_of(L)->raises_strings) lua_getfield(L, -1, "text");
    return lua_error(L);
}

int luamil_fail_at(lua_State *L, mil_status code, const char *op, const char *value, const char *format, ...) {
    mil_error err;
    memset(&err, 0, sizeof err);
    err.code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err.message, sizeof err.message, format, args);
    va_end(args);
    if (op) snprintf(err.op, sizeof err.op, "%s", op);
    if (value) snprintf(err.value, sizeof err.value, "%s", value);
    return luamil_raise(L, &err);
}

int luamil_fail(lua_State *L, mil_status code, const char *format, ...) {
    mil_error err;
    memset(&err, 0, sizeof err);
    err.code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err.message, sizeof err.message, format, args);
    va_end(args);
    return luamil_raise(L, &err);
}

int luamil_last_error(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &last_key);
    return 1;
}

/* ---- its metatable ---- */

static int error_text(lua_State *L) {
    if (lua_istable(L, 1)) lua_getfield(L, 1, "text");
    if (!lua_isstring(L, -1)) lua_pushliteral(L, "mil.error");
    return 1;
}

/* An operand of `..` as text: ours, or a string or number. */
static void push_operand(lua_State *L, int index) {
    if (!lua_istable(L, index)) {
        lua_pushvalue(L, index);
        return;
    }
    lua_getfield(L, index, "text");
}

static int error_concat(lua_State *L) {
    push_operand(L, 1);
    push_operand(L, 2);
    lua_concat(L, 2);
    return 1;
}

void luamil_open_errors(lua_State *L) {
    lua_createtable(L, 0, 3);
    lua_pushliteral(L, "mil.error");
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, error_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushcfunction(L, error_concat);
    lua_setfield(L, -2, "__concat");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);
}
