/* SPDX-License-Identifier: MIT */
/* Another program that is given text and gives text: mil.system.filter. It has files without names as its standard ones, so that
 * nothing is left behind and neither waits for the other; it ends with this process, and where Ctrl-C ends what runs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "bind.h"

enum { MOST_WORDS = 16, NOT_STARTED = 127 }; /* the exit status of a shell that finds no such program */

/* In the new process: only what is safe between fork and exec. */
static void become(const char *const words[], FILE *const files[3], pid_t parent) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (getppid() != parent) _exit(1); /* which has ended meanwhile */
    for (int i = 0; i < 3; i++)
        if (dup2(fileno(files[i]), i) < 0) _exit(1);
    execvp(words[0], (char *const *)words);
    _exit(NOT_STARTED);
}

/* Naps, since a signal that comes just before a wait would not end it. */
static int wait_for(pid_t child, bool *is_stopped) {
    const struct timespec nap = {0, 2000000};
    int status = -1;
    for (pid_t ended = 0; ended == 0 || (ended < 0 && errno == EINTR);) {
        ended = waitpid(child, &status, WNOHANG);
        if (ended != 0) continue;
        if (luamil_is_interrupted() && !*is_stopped) {
            kill(child, SIGTERM);
            *is_stopped = true;
        }
        nanosleep(&nap, NULL);
    }
    return status;
}

/* What the program has written; what raises for lack of memory costs the three files. */
static void push_all(lua_State *L, FILE *file) {
    long n = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
    char *text = lua_newuserdata(L, n > 0 ? (size_t)n : 1);
    rewind(file);
    lua_pushlstring(L, text, n > 0 ? fread(text, 1, (size_t)n, file) : 0);
    lua_remove(L, -2);
}

/* 0, or an errno */
static int run(lua_State *L, const char *const words[], const char *text, size_t n, FILE *const files[3]) {
    for (int i = 0; i < 3; i++)
        if (!files[i]) return errno;
    if (fwrite(text, 1, n, files[0]) != n || fflush(files[0]) != 0 || fseek(files[0], 0, SEEK_SET) != 0) return errno;
    pid_t parent = getpid(), child = fork();
    if (child < 0) return errno;
    if (child == 0) become(words, files, parent);
    bool is_stopped = false;
    int status = wait_for(child, &is_stopped);
    if (is_stopped) return EINTR;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_STARTED) return ENOENT;
    push_all(L, files[1]);
    push_all(L, files[2]);
    return 0;
}

/* filter({"dot", "-Tsvg"}, text) -> what the program writes on standard output, and on standard error; nil, why it could not
 * be started, and whether that is because it is not there. Raises "interrupted" where it was. */
int luamil_filter(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n), *words[MOST_WORDS + 1] = {0};
    lua_settop(L, 2);
    luaL_checkstack(L, MOST_WORDS + 8, NULL);
    for (int i = 0; i < MOST_WORDS; i++) {
        lua_rawgeti(L, 1, i + 1);
        words[i] = lua_tostring(L, -1);
        if (!words[i]) break;
    }
    luaL_argcheck(L, words[0], 1, "a program's name is missing");
    FILE *files[3] = {tmpfile(), tmpfile(), tmpfile()};
    int error = run(L, words, text, n, files);
    for (int i = 0; i < 3; i++)
        if (files[i]) fclose(files[i]);
    if (error == 0) return 2;
    if (error == EINTR) return luaL_error(L, "interrupted");
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", words[0], strerror(error));
    lua_pushboolean(L, error == ENOENT);
    return 3;
}
