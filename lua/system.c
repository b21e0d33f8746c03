/* SPDX-License-Identifier: MIT */
/* mil.system: the little that the command needs of the system and that Lua's own library lacks: a clock, what the
 * terminal is like, files' times, folders, lines of bounded length, other programs, what it is. Like io, its functions return nil and a reason on failure. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bind.h"

static int refused(lua_State *L, const char *path) {
    int code = errno;
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(code));
    return 2;
}

/* now() -> seconds of a clock that only goes forward */
static int now(lua_State *L) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
    return 1;
}

/* Linux counts what the process was before it became this program into ru_maxrss: a large program that starts this one would
 * be seen instead. Its own list has the figure since then, in kilobytes; -1: there is no such list. */
static double peak_since_start(void) {
    char line[128];
    double kilobytes = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && kilobytes < 0 && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %lf", &kilobytes);
    if (file) fclose(file);
    return kilobytes;
}

/* peak_bytes() -> the most memory that this process has had resident */
static int peak_bytes(lua_State *L) {
    double kilobytes = peak_since_start();
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
#ifdef __APPLE__
    kilobytes = (double)use.ru_maxrss / 1024;
#endif
    lua_pushnumber(L, (lua_Number)(kilobytes < 0 ? (double)use.ru_maxrss : kilobytes) * 1024);
    return 1;
}

/* written() -> true, or nil and why: has all that was printed to standard output arrived? A failure is remembered. */
static int written(lua_State *L) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        lua_pushnil(L);
        lua_pushfstring(L, "standard output: %s", errno ? strerror(errno) : "not all of it could be written");
        return 2;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* is_terminal(0 | 1 | 2) */
static int is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* width() -> columns of the terminal that stdout is, or nil */
static int width(lua_State *L) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        lua_pushinteger(L, size.ws_col);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* modified(path) -> seconds, "file" or "directory" */
static int modified(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct stat info;
    if (stat(path, &info) != 0) return refused(L, path);
#ifdef __APPLE__
    struct timespec t = info.st_mtimespec;
#else
    struct timespec t = info.st_mtim;
#endif
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
    lua_pushstring(L, S_ISDIR(info.st_mode) ? "directory" : "file");
    return 2;
}

/* mkdir(path): with the folders above it; one that is there already is fine */
static int make_folder(lua_State *L) {
    size_t n;
    const char *path = luaL_checklstring(L, 1, &n);
    char *part = lua_newuserdata(L, n + 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return refused(L, part);
        part[i] = path[i];
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* list(path) -> names, a folder's with a "/" behind; sorted as the system gives them */
static int list(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    lua_newtable(L);
    lua_checkstack(L, 8);
    DIR *folder = opendir(path);
    if (!folder) return refused(L, path);
    /* Nothing between opendir and closedir may raise but lack of memory, which then costs one descriptor. */
    struct dirent *entry;
    for (int n = 0; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        struct stat info;
        int is_folder = fstatat(dirfd(folder), entry->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
        lua_pushfstring(L, is_folder ? "%s/" : "%s", entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    closedir(folder);
    return 1;
}

/* Straight into what is no file: a device, a pipe. */
static int write_into(const char *path, const char *text, size_t n) {
    FILE *file = fopen(path, "w");
    if (!file) return 0;
    int done = fwrite(text, 1, n, file) == n;
    int code = errno;
    if (fclose(file) == 0) errno = code;
    else done = 0;
    return done;
}

/* may_write(path): could write(path, text) do it, as far as the system tells? Nothing is touched. */
static int may_write(lua_State *L) {
    const char *path = luaL_checkstring(L, 1), *slash = strrchr(path, '/');
    struct stat info;
    bool is_there = stat(path, &info) == 0, is_file = !is_there || S_ISREG(info.st_mode);
    if (is_file && slash) lua_pushlstring(L, path, slash > path ? (size_t)(slash - path) : 1); /* its folder */
    const char *written = !is_file ? path : slash ? lua_tostring(L, -1) : ".";
    bool is_folder = is_there && S_ISDIR(info.st_mode), may = !is_folder && access(written, is_file ? W_OK | X_OK : W_OK) == 0;
    int code = is_folder ? EISDIR : errno;
    if (may) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushfstring(L, "cannot write %s: %s", path, strerror(code));
    return 2;
}

/* write(path, text): a file is written aside and renamed: where that fails it is as it was */
static int write_text(lua_State *L) {
    size_t n;
    mil_error err;
    struct stat info;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        if (!write_into(path, text, n)) {
            int code = errno;
            lua_pushnil(L);
            lua_pushfstring(L, "cannot write %s: %s", path, strerror(code));
            return 2;
        }
    } else if (mil_text_write(path, text, n, &err) != MIL_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.message);
        return 2;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* read_line(most) -> a line of standard input, without its end; false where it is longer than `most` bytes, and skipped;
 * nil at the end */
static int read_line(lua_State *L) {
    luaL_Buffer b;
    size_t most = (size_t)luaL_checkinteger(L, 1), n = 0;
    int c;
    luaL_buffinit(L, &b);
    while ((c = getc(stdin)) != EOF && c != '\n')
        if (n++ < most) luaL_addchar(&b, (char)c);
    luaL_pushresult(&b);
    if (c == EOF && !n) lua_pushnil(L);
    else if (n > most) lua_pushboolean(L, 0);
    return 1;
}

LUAMIL_API int luaopen_mil_system(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"now", now},           {"peak_bytes", peak_bytes}, {"is_terminal", is_terminal}, {"width", width},
        {"modified", modified}, {"mkdir", make_folder},     {"list", list},               {"read_line", read_line},
        {"write", write_text},  {"may_write", may_write},  {"written", written},       {"filter", luamil_filter},
        {"probe", luamil_probe}, {"machine", luamil_machine},   {"private", luamil_private},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
