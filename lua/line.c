/* SPDX-License-Identifier: MIT */
/* mil.line: editing a chunk of Lua in the terminal, over libedit, which is opened when it is first asked for.
 *
 *     editor = line.open { is_complete = function(text) ... end, complete = function(before, after) ... end }
 *     text = editor:read "mil> "          -- nil at the end of input; nil, "interrupted" on Ctrl-C
 *     editor:remember(text)
 *
 * open returns nil and a reason where libedit is missing. Enter asks is_complete: true, and the chunk is done; false, and
 * the buffer gets one line more. Tab calls complete, which returns what to insert and what to show below (either may be
 * nil). Up and Down go through the lines of the buffer, then through the history, whose entries are whole chunks.
 *
 * libedit's own functions are reached by pushing keys that are bound to them (SUBMIT and its like), for its interface
 * has no call for them. Lua functions are called from inside libedit, so always protected, and with everything that
 * could fail pushed before: no error jumps over libedit's frames.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"

/* ---- what we take of libedit: its names, numbers and prototypes, as its manual (editline(3)) has them ---- */

typedef struct editline EditLine;
typedef struct history History;
typedef struct HistEvent {
    int num;
    const char *str;
} HistEvent;
typedef struct lineinfo {
    const char *buffer, *cursor, *lastchar;
} LineInfo;

enum { EL_PROMPT = 0, EL_EDITOR = 2, EL_SIGNAL = 3, EL_BIND = 4, EL_SETTY = 8, EL_ADDFN = 9, EL_HIST = 10,
       EL_CLIENTDATA = 14, EL_PREP_TERM = 16 };
enum { CC_NORM = 0, CC_EOF = 2, CC_REFRESH = 4, CC_ERROR = 6, CC_REDISPLAY = 8 };
enum { H_SETSIZE = 1, H_ENTER = 10, H_SETUNIQUE = 20 };

#define LIBEDIT_MAP(X)                                                                                                \
    X(EditLine *, el_init, (const char *, FILE *, FILE *, FILE *))                                                    \
    X(void, el_end, (EditLine *))                                                                                     \
    X(const char *, el_gets, (EditLine *, int *))                                                                     \
    X(int, el_set, (EditLine *, int, ...))                                                                            \
    X(int, el_get, (EditLine *, int, ...))                                                                            \
    X(int, el_source, (EditLine *, const char *))                                                                     \
    X(const LineInfo *, el_line, (EditLine *))                                                                        \
    X(int, el_insertstr, (EditLine *, const char *))                                                                  \
    X(int, el_cursor, (EditLine *, int))                                                                              \
    X(void, el_push, (EditLine *, const char *))                                                                      \
    X(History *, history_init, (void))                                                                                \
    X(void, history_end, (History *))                                                                                 \
    X(int, history, (History *, HistEvent *, int, ...))

static struct libedit {
    bool loaded;
#define X(type, name, args) type(*name) args;
    LIBEDIT_MAP(X)
#undef X
} lib;

/* Never closed again: an editor may outlive any moment at which that would be safe. */
static bool load_libedit(const char **reason) {
    static const char *const files[] = {"libedit.so.2", "libedit.so.0", "libedit.3.dylib", "libedit.so", "libedit.dylib"};
    if (lib.loaded) return true;
    void *handle = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files && !handle; i++) handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    *reason = "libedit is not installed";
    if (!handle) return false;
    void *symbol;
#define X(type, name, args)                                                                                           \
    symbol = dlsym(handle, #name);                                                                                    \
    if (!symbol) {                                                                                                    \
        *reason = "libedit has no " #name;                                                                            \
        return false;                                                                                                 \
    }                                                                                                                 \
    memcpy(&lib.name, &symbol, sizeof symbol);
    LIBEDIT_MAP(X)
#undef X
    return lib.loaded = true;
}

/* ---- an editor ---- */

static const char *const class_name = "mil.line";

/* Keys that nobody types, bound to libedit's own functions. */
#define SUBMIT       "\030\015" /* ^X^M: ed-newline */
#define LINE_UP      "\030\020" /* ^X^P: ed-prev-line */
#define LINE_DOWN    "\030\016" /* ^X^N: ed-next-line */
#define HISTORY_UP   "\030\025" /* ^X^U: ed-prev-history */
#define HISTORY_DOWN "\030\004" /* ^X^D: ed-next-history */

typedef struct editor {
    EditLine *el; /* NULL once closed */
    History *history;
    lua_State *L; /* of the read under way */
    const char *prompt;
    bool interrupted;
    int back; /* entries of the history that were gone up in this read */
} editor;

/* Stack of a read under way; callbacks find what they need there. */
enum { EDITOR = 1, PROMPT, IS_COMPLETE, COMPLETE, TRAMPOLINE, READ_TOP = TRAMPOLINE };

static editor *editor_of(EditLine *el) {
    void *ctx = NULL;
    lib.el_get(el, EL_CLIENTDATA, &ctx);
    return ctx;
}

typedef struct request { /* a call from inside libedit */
    const char *before, *after;
    size_t n_before, n_after;
} request;

/* (function, request) -> the function's two results */
static int trampoline(lua_State *L) {
    const request *r = lua_touserdata(L, 2);
    lua_settop(L, 1);
    lua_pushlstring(L, r->before, r->n_before);
    lua_pushlstring(L, r->after, r->n_after);
    lua_call(L, 2, 2);
    return 2;
}

/* Leaves two results on the stack; false (and nothing) where the function raised. */
static bool ask(editor *e, int function, const char *before, const char *cursor, const char *end) {
    lua_State *L = e->L;
    request r = {before, cursor, (size_t)(cursor - before), (size_t)(end - cursor)};
    lua_pushvalue(L, TRAMPOLINE);
    lua_pushvalue(L, function);
    lua_pushlightuserdata(L, &r);
    if (lua_pcall(L, 2, 2, 0) == 0) return true;
    lua_pop(L, 1);
    return false;
}

/* ---- what keys do ---- */

static unsigned char on_enter(EditLine *el, int key) {
    (void)key;
    editor *e = editor_of(el);
    const LineInfo *line = lib.el_line(el);
    bool done = true;
    if (ask(e, IS_COMPLETE, line->buffer, line->lastchar, line->lastchar)) {
        done = lua_toboolean(e->L, -2);
        lua_pop(e->L, 2);
    }
    if (done) {
        lib.el_push(el, SUBMIT);
        return CC_NORM;
    }
    return lib.el_insertstr(el, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_newline(EditLine *el, int key) {
    (void)key;
    return lib.el_insertstr(el, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_tab(EditLine *el, int key) {
    (void)key;
    editor *e = editor_of(el);
    const LineInfo *line = lib.el_line(el);
    if (!ask(e, COMPLETE, line->buffer, line->cursor, line->lastchar)) return CC_ERROR;
    const char *insert = lua_type(e->L, -2) == LUA_TSTRING ? lua_tostring(e->L, -2) : NULL;
    const char *show = lua_type(e->L, -1) == LUA_TSTRING ? lua_tostring(e->L, -1) : NULL;
    if (insert && *insert) lib.el_insertstr(el, insert);
    if (show) {
        printf("\r\n%s\r\n", show);
        fflush(stdout);
    }
    lua_pop(e->L, 2);
    return show ? CC_REDISPLAY : insert && *insert ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_up(EditLine *el, int key) {
    (void)key;
    const LineInfo *line = lib.el_line(el);
    bool above = memchr(line->buffer, '\n', (size_t)(line->cursor - line->buffer)) != NULL;
    if (!above) editor_of(el)->back++;
    lib.el_push(el, above ? LINE_UP : HISTORY_UP);
    return CC_NORM;
}

/* Below the newest entry libedit would put an old buffer in place of what is being typed. */
static unsigned char on_down(EditLine *el, int key) {
    (void)key;
    editor *e = editor_of(el);
    const LineInfo *line = lib.el_line(el);
    bool below = memchr(line->cursor, '\n', (size_t)(line->lastchar - line->cursor)) != NULL;
    if (!below && e->back == 0) return CC_ERROR;
    if (!below) e->back--;
    lib.el_push(el, below ? LINE_DOWN : HISTORY_DOWN);
    return CC_NORM;
}

/* Characters of UTF-8 text, which is what the cursor moves by. */
static int n_characters(const char *from, const char *to) {
    int n = 0;
    for (; from < to; from++) n += (*from & 0xc0) != 0x80;
    return n;
}

static unsigned char on_home(EditLine *el, int key) {
    (void)key;
    const LineInfo *line = lib.el_line(el);
    const char *start = line->cursor;
    while (start > line->buffer && start[-1] != '\n') start--;
    lib.el_cursor(el, -n_characters(start, line->cursor));
    return CC_REFRESH;
}

static unsigned char on_end(EditLine *el, int key) {
    (void)key;
    const LineInfo *line = lib.el_line(el);
    const char *end = line->cursor;
    while (end < line->lastchar && *end != '\n') end++;
    lib.el_cursor(el, n_characters(line->cursor, end));
    return CC_REFRESH;
}

static unsigned char on_interrupt(EditLine *el, int key) {
    (void)key;
    editor_of(el)->interrupted = true;
    const LineInfo *line = lib.el_line(el);
    printf(line->cursor == line->lastchar ? "^C\r\n" : "\r\n"); /* not over what stands there */
    for (const char *p = line->cursor; p < line->lastchar; p++)
        if (*p == '\n') printf("\r\n"); /* below what is shown of the chunk */
    fflush(stdout);
    return CC_EOF;
}

/* libedit's own handler of the signal gives the terminal back, and takes it again afterwards. */
static unsigned char on_suspend(EditLine *el, int key) {
    (void)el;
    (void)key;
    raise(SIGTSTP);
    return CC_REDISPLAY;
}

static const char *prompt_of(EditLine *el) { return editor_of(el)->prompt; }

static void bind_keys(EditLine *el) {
    static const struct {
        const char *name, *help;
        unsigned char (*run)(EditLine *, int);
        const char *keys[4]; /* NULL at the end */
    } ours[] = {
        {"mil-enter", "Run the chunk, or go on with it", on_enter, {"^M", "^J"}},
        {"mil-newline", "A new line in the chunk", on_newline, {"\\e^M", "\\e^J"}},
        {"mil-tab", "Complete the name before the cursor", on_tab, {"^I"}},
        {"mil-up", "The line above, or the chunk before", on_up, {"\\e[A", "\\eOA", "^P"}},
        {"mil-down", "The line below, or the chunk after", on_down, {"\\e[B", "\\eOB", "^N"}},
        {"mil-home", "The beginning of the line", on_home, {"^A", "\\e[H", "\\eOH"}},
        {"mil-end", "The end of the line", on_end, {"^E", "\\e[F", "\\eOF"}},
        {"mil-interrupt", "Give the chunk up", on_interrupt, {"^C"}},
        {"mil-suspend", "Stop the program for now", on_suspend, {"^Z"}},
    };
    static const char *const own[][2] = {{"^X^M", "ed-newline"}, {"^X^P", "ed-prev-line"}, {"^X^N", "ed-next-line"},
                                         {"^X^U", "ed-prev-history"}, {"^X^D", "ed-next-history"},
                                         {"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) lib.el_set(el, EL_BIND, own[i][0], own[i][1], NULL);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        lib.el_set(el, EL_ADDFN, ours[i].name, ours[i].help, ours[i].run);
        for (const char *const *key = ours[i].keys; *key; key++) lib.el_set(el, EL_BIND, *key, ours[i].name, NULL);
    }
    /* Ctrl-C and Ctrl-Z are keys while a chunk is edited, and signals while one runs. */
    lib.el_set(el, EL_SETTY, "-d", "-isig", NULL);
}

/* ---- for Lua ---- */

static editor *check_editor(lua_State *L) {
    editor *e = luaL_checkudata(L, 1, class_name);
    if (!e->el) luaL_error(L, "the editor is closed");
    return e;
}

static int l_open(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    const char *reason = NULL;
    if (!load_libedit(&reason)) {
        lua_pushnil(L);
        lua_pushstring(L, reason);
        return 2;
    }
    editor *e = luamil_new_keeping(L, sizeof *e);
    memset(e, 0, sizeof *e);
    luaL_getmetatable(L, class_name);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 1);
    luamil_set_keep(L, -2);
    e->history = lib.history_init();
    e->el = e->history ? lib.el_init("luamil", stdin, stdout, stderr) : NULL;
    if (!e->el) {
        lua_pushnil(L);
        lua_pushliteral(L, "libedit does not take this terminal");
        return 2;
    }
    HistEvent event;
    lib.history(e->history, &event, H_SETSIZE, 1000);
    lib.history(e->history, &event, H_SETUNIQUE, 1);
    lib.el_set(e->el, EL_CLIENTDATA, e);
    lib.el_set(e->el, EL_PROMPT, prompt_of);
    lib.el_set(e->el, EL_EDITOR, "emacs");
    lib.el_set(e->el, EL_SIGNAL, 1);
    lib.el_set(e->el, EL_HIST, lib.history, e->history);
    lib.el_source(e->el, NULL); /* the user's ~/.editrc */
    bind_keys(e->el);
    return 1;
}

static int l_read(lua_State *L) {
    editor *e = check_editor(L);
    e->prompt = luaL_checkstring(L, PROMPT);
    lua_settop(L, PROMPT);
    luaL_checkstack(L, 16, NULL);
    luamil_get_keep(L, EDITOR);
    lua_getfield(L, PROMPT + 1, "is_complete");
    lua_getfield(L, PROMPT + 1, "complete");
    lua_remove(L, PROMPT + 1);
    lua_pushcfunction(L, trampoline);
    e->L = L;
    e->interrupted = false;
    e->back = 0;
    int n = 0;
    lib.el_set(e->el, EL_PREP_TERM, 1); /* before the prompt: what is typed as soon as it is seen must find keys bound */
    const char *text = lib.el_gets(e->el, &n);
    e->L = NULL;
    lua_settop(L, READ_TOP);
    if (text && n > 0) {
        lua_pushlstring(L, text, (size_t)(text[n - 1] == '\n' ? n - 1 : n));
        return 1;
    }
    lua_pushnil(L);
    if (!e->interrupted) return 1;
    lua_pushliteral(L, "interrupted");
    return 2;
}

static int l_remember(lua_State *L) {
    editor *e = check_editor(L);
    HistEvent event;
    lib.history(e->history, &event, H_ENTER, luaL_checkstring(L, 2));
    return 0;
}

static int l_close(lua_State *L) {
    editor *e = luaL_checkudata(L, 1, class_name);
    if (e->el) lib.el_end(e->el);
    if (e->history) lib.history_end(e->history);
    e->el = NULL;
    e->history = NULL;
    return 0;
}

LUAMIL_API int luaopen_mil_line(lua_State *L) {
    static const luaL_Reg methods[] = {{"read", l_read}, {"remember", l_remember}, {"close", l_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};
    luaL_newmetatable(L, class_name);
    lua_pushcfunction(L, l_close);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
