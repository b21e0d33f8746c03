/* SPDX-License-Identifier: MIT */
/* Folders for temporary files and for what is kept.
 *
 * Folders that live as long as what this process does with them: luamil-<process>-<name>-<six letters>, readable by its
 * owner alone. A process that dies leaves its own behind; the next one that needs a folder sees by the number in the name that
 * nobody is there any more, and removes them. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

#define PREFIX "luamil-"

/* TMPDIR is set for every process of a Mac's user; a service may lack it. */
static const char *temporary_root(char *buf, size_t n) {
    const char *set = getenv("TMPDIR");
    if (set && *set) return set;
#if defined(_CS_DARWIN_USER_TEMP_DIR)
    size_t used = confstr(_CS_DARWIN_USER_TEMP_DIR, buf, n);
    if (used > 0 && used <= n) return buf;
#else
    (void)buf, (void)n;
#endif
    return "/tmp";
}

/* Is it a folder of a process of ours that is no more? The number may be another process's by now: then it stays a while. */
static bool is_left_over(const char *root, const char *name) {
    char path[1024], *end;
    struct stat info;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) return false;
    long process = strtol(name + strlen(PREFIX), &end, 10);
    if (*end != '-' || process <= 0 || process == (long)getpid()) return false;
    if (kill((pid_t)process, 0) == 0 || errno != ESRCH) return false;
    int n = snprintf(path, sizeof path, "%s/%s", root, name);
    return n > 0 && (size_t)n < sizeof path && lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid();
}

static void sweep(void) {
    char buf[1024], path[1024];
    const char *root = temporary_root(buf, sizeof buf);
    DIR *dir = opendir(root);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!is_left_over(root, entry->d_name)) continue;
        snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        mil__folder_remove(path);
    }
    closedir(dir);
}

mil_status mil__folder_temporary(const char *name, char **out, mil_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char buf[1024];
    const char *root = temporary_root(buf, sizeof buf);
    mil__str path = {0};
    pthread_once(&once, sweep);
    mil__str_printf(&path, "%s/" PREFIX "%ld-%s-XXXXXX", root, (long)getpid(), name);
    if (path.failed) {
        mil__str_free(&path);
        return mil__nomem(err);
    }
    if (mkdtemp(path.s)) return *out = path.s, MIL_OK;
    mil_status status = mil__fail_errno(err, "make", path.s, errno);
    mil__str_free(&path);
    return status;
}

/* ---- what is kept ---- */

static void put_cache(mil__str *out) {
    const char *set = getenv("MIL_CACHE"), *home = getenv("HOME"), *xdg = getenv("XDG_CACHE_HOME");
    if (set && *set) return mil__str_puts(out, set);
#if defined(__APPLE__)
    (void)xdg;
    if (home && *home) mil__str_printf(out, "%s/Library/Caches/luamil", home);
#else
    if (xdg && *xdg) mil__str_printf(out, "%s/luamil", xdg);
    else if (home && *home) mil__str_printf(out, "%s/.cache/luamil", home);
#endif
}

/* With those above it. */
static void make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    mkdir(path, 0700);
}

/* Can nobody else have put there what is in it? The one above, in which it could be exchanged, may be the system's. */
static bool is_ours_alone(char *path) {
    struct stat info, above;
    char *slash = strrchr(path, '/');
    bool is_ours = stat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() && !(info.st_mode & (S_IWGRP | S_IWOTH));
    if (!is_ours || slash == path) return is_ours;
    *slash = 0;
    is_ours = stat(path, &above) == 0 && (above.st_uid == geteuid() || above.st_uid == 0) && !(above.st_mode & S_IWOTH);
    *slash = '/';
    return is_ours;
}

mil_status mil__cache_folder(const char *name, char **out, mil_error *err) {
    mil__str path = {0};
    *out = NULL;
    put_cache(&path);
    if (!path.s && !path.failed) return MIL_OK;
    mil__str_printf(&path, "/%s", name);
    MIL__TRY(mil__str_take(&path, out, NULL, err));
    make_folders(*out);
    if (is_ours_alone(*out)) return MIL_OK;
    mil__free(*out);
    *out = NULL;
    return MIL_OK;
}
