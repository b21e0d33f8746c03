/* SPDX-License-Identifier: MIT */
/* What `luamil probe` asks of the system: mil.system.probe (a level of mil_probe_run), machine (what this one is), and private
 * (words that a report must not have). */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "bind.h"

typedef struct probed {
    mil_probe *probe;
} probed;

static int probed_free(lua_State *L) {
    probed *self = lua_touserdata(L, 1);
    mil_probe_free(self->probe);
    self->probe = NULL;
    return 0;
}

static void push_step(lua_State *L, const mil_probe_step *step) {
    lua_createtable(L, 0, 4);
    lua_pushboolean(L, step->ok);
    lua_setfield(L, -2, "ok");
    luamil_set_text(L, "tried", step->tried);
    luamil_set_text(L, "found", step->found);
    lua_pushnumber(L, step->seconds);
    lua_setfield(L, -2, "seconds");
}

/* probe(level) -> a list of {ok, tried, found, seconds}, with `passed` */
int luamil_probe(lua_State *L) {
    mil_error err;
    int level = (int)luaL_checkinteger(L, 1);
    probed *self = luamil_new_plain(L, sizeof *self);
    self->probe = NULL;
    if (luaL_newmetatable(L, "mil.probe")) {
        lua_pushcfunction(L, probed_free);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    luamil_check_status(L, mil_probe_run((mil_probe_level)level, &self->probe, &err), &err);
    lua_createtable(L, (int)self->probe->n, 1);
    for (size_t i = 0; i < self->probe->n; i++) {
        push_step(L, &self->probe->steps[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pushboolean(L, self->probe->passed);
    lua_setfield(L, -2, "passed");
    return 1;
}

/* machine() -> {system, release, architecture}, and on macOS also {version, build, model, processor, virtual} */
int luamil_machine(lua_State *L) {
    struct utsname names;
    lua_createtable(L, 0, 8);
    if (uname(&names) == 0) {
        luamil_set_text(L, "system", names.sysname);
        luamil_set_text(L, "release", names.release);
        luamil_set_text(L, "architecture", names.machine);
    }
#ifdef __APPLE__
    static const char *const keys[][2] = {
        {"version", "kern.osproductversion"}, {"build", "kern.osversion"}, {"model", "hw.model"}, {"processor", "machdep.cpu.brand_string"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[256] = "";
        size_t n = sizeof text - 1;
        if (sysctlbyname(keys[i][1], text, &n, NULL, 0) == 0) luamil_set_text(L, keys[i][0], text);
    }
    int is_virtual = 0;
    size_t n = sizeof is_virtual;
    if (sysctlbyname("kern.hv_vmm_present", &is_virtual, &n, NULL, 0) == 0) {
        lua_pushboolean(L, is_virtual);
        lua_setfield(L, -2, "virtual");
    }
#endif
    return 1;
}

static void add_word(lua_State *L, const char *word, const char *stand_in) {
    if (!word || !*word) return;
    lua_createtable(L, 2, 0);
    lua_pushstring(L, word);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, stand_in);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
}

/* private() -> a list of {word, what stands for it}: this user's home and name, this machine's name, the folder of temporary files */
int luamil_private(lua_State *L) {
    char host[256] = "";
    const struct passwd *user = getpwuid(getuid());
    lua_newtable(L);
    add_word(L, getenv("HOME"), "~");
    add_word(L, getenv("TMPDIR"), "$TMPDIR");
    add_word(L, getenv("USER"), "<user>");
    add_word(L, getenv("LOGNAME"), "<user>");
    if (user) {
        add_word(L, user->pw_dir, "~");
        add_word(L, user->pw_name, "<user>");
        add_word(L, user->pw_gecos, "<user>");
    }
    if (gethostname(host, sizeof host - 1) == 0) {
        add_word(L, host, "<host>");
        host[strcspn(host, ".")] = '\0';
        add_word(L, host, "<host>");
    }
    return 1;
}
