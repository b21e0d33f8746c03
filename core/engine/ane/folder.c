/* SPDX-License-Identifier: MIT */
/* The folder that the system's compiler reads a program from: TEMPORARY/NAME/model.mil and NAME/weights/..., NAME being
 * what the system calls the program, so the same program has the same folder in every process.
 *
 *     TEMPORARY/NAME/.luamil.4711     one for each process that uses the folder; its name has the process's number
 *
 * Within a process uses are counted. The last to leave takes its mark away, and the folder too where no other mark is that of
 * a process which lives. A process that dies leaves folder and mark behind: whoever makes the first folder of a process looks
 * for those. So that nobody's folder goes between the look and the removal, marks are made, and folders removed, by one process at
 * a time: TEMPORARY is locked (flock) meanwhile. Within a process, callers hold the engine's lock. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/ane/ane.h"

#define MARK ".luamil."
#define TEXT "model.mil"

struct mil__ane_folder {
    mil__ane_folder *next;
    size_t uses;
    char *path;
};

static mil__ane_folder *folders; /* of this process */
static pid_t scanned_by;         /* the process that has looked for what others left */

static const char *temporary(char *buf, size_t n) {
    const char *path = mil__apple.NSTemporaryDirectory ? mil__read_text(mil__apple.NSTemporaryDirectory()) : NULL;
    if (!path || !*path) path = getenv("TMPDIR");
    if (!path || !*path) path = "/tmp";
    snprintf(buf, n, "%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/");
    return buf;
}

/* ---- one process at a time ---- */

enum { PATIENCE = 1000 /* milliseconds */ };

/* The folder that `path` lies in, to be closed. Where it can't be locked, or somebody keeps it locked, it goes without: -1, perhaps. */
static int lock_parent(const char *path) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') + 1 - path), path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < PATIENCE && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR) break;
        nanosleep(&(struct timespec){0, 1000000L}, NULL);
    }
    return fd;
}

/* Unlocked in words: a process that was forked off meanwhile has it open too. */
static void unlock_parent(int fd) {
    if (fd < 0) return;
    flock(fd, LOCK_UN);
    close(fd);
}

/* ---- what is left of others ---- */

static bool is_alive(long pid) { return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM); }

enum { NO_MARKS, DEAD_MARKS, LIVE_MARKS };

/* Whose marks are in it? Marks of the dead don't count beside one that lives. */
static int marks_in(const char *path) {
    DIR *dir = opendir(path);
    int found = NO_MARKS;
    for (struct dirent *entry; dir && found != LIVE_MARKS && (entry = readdir(dir));) {
        if (strncmp(entry->d_name, MARK, strlen(MARK)) != 0) continue;
        found = is_alive(atol(entry->d_name + strlen(MARK))) ? LIVE_MARKS : DEAD_MARKS;
    }
    if (dir) closedir(dir);
    return found;
}

static bool is_program_name(const char *name) {
    return *name && name[strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == 0;
}

/* Ours are nobody else's. In a folder that others may write, a mark says nothing. */
static bool is_private(const char *path) {
    struct stat about;
    return lstat(path, &about) == 0 && S_ISDIR(about.st_mode) && about.st_uid == geteuid() && (about.st_mode & 077) == 0;
}

static void remove_if_dead(const char *path) {
    if (!is_private(path) || marks_in(path) != DEAD_MARKS) return;
    int locked = lock_parent(path);
    if (marks_in(path) == DEAD_MARKS) mil__folder_remove(path);
    unlock_parent(locked);
}

static void remove_leftovers(const char *parent) {
    char path[PATH_MAX];
    DIR *dir = opendir(parent);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!is_program_name(entry->d_name)) continue;
        if (snprintf(path, sizeof path, "%s%s", parent, entry->d_name) >= (int)sizeof path) continue;
        remove_if_dead(path);
    }
    if (dir) closedir(dir);
}

/* ---- filling ---- */

/* Written under another name and renamed: another process may be reading the same file, with the same bytes. */
static mil_status write_file(const char *path, const void *data, size_t n, mil_error *err) {
    char aside[PATH_MAX];
    if (snprintf(aside, sizeof aside, "%s.%ld", path, (long)getpid()) >= (int)sizeof aside) return mil__fail_errno(err, "write", path, ENAMETOOLONG);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), error = fd < 0 ? errno : 0;
    for (size_t done = 0; !error && done < n;) {
        ssize_t wrote = write(fd, (const char *)data + done, n - done < 1 << 30 ? n - done : 1 << 30);
        if (wrote > 0) done += (size_t)wrote;
        else if (wrote == 0 || errno != EINTR) error = wrote == 0 ? ENOSPC : errno;
    }
    if (fd >= 0 && close(fd) != 0 && !error) error = errno;
    if (!error && rename(aside, path) != 0) error = errno;
    if (!error) return MIL_OK;
    if (fd >= 0) unlink(aside);
    return mil__fail_errno(err, "write", path, error);
}

/* What lies beside the weights, on a disk for which capitals may be the same. */
static bool is_ours(const char *path) { return strcasecmp(path, TEXT) == 0 || strncasecmp(path, MARK, strlen(MARK)) == 0; }

/* "weights/w.bin" of "@model_path/weights/w.bin"; NULL: no such path, one that leads elsewhere, or to what is ours */
static const char *inner_path(const char *key) {
    static const char root[] = "@model_path/";
    if (strncmp(key, root, strlen(root)) != 0) return NULL;
    const char *path = key + strlen(root);
    for (const char *part = path;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.')))) return NULL;
        part += n;
        if (!*part) return is_ours(path) ? NULL : path;
    }
}

static mil_status make_folder(const char *path, mil_error *err) {
    struct stat about;
    if (mkdir(path, 0700) == 0) return MIL_OK;
    if (errno != EEXIST) return mil__fail_errno(err, "make", path, errno);
    if (lstat(path, &about) != 0) return mil__fail_errno(err, "make", path, errno);
    if (S_ISDIR(about.st_mode) && about.st_uid == geteuid()) return MIL_OK;
    return mil__fail_errno(err, "make", path, EEXIST); /* a link, or another user's */
}

/* Below the folder, with the folders that its path names. */
static mil_status write_inner(const char *folder, const char *inner, const void *data, size_t n, mil_error *err) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, inner) >= (int)sizeof path) return mil__fail_errno(err, "write", inner, ENAMETOOLONG);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        MIL__TRY(make_folder(path, err));
        *slash = '/';
    }
    return write_file(path, data, n, err);
}

mil_status mil__ane_check_names(const mil_text_file *files, size_t n, mil_error *err) {
    for (size_t i = 0; i < n; i++)
        if (!inner_path(files[i].name))
            return mil__fail(err, MIL_EINVAL, "compile: weights are named as the text names them, \"@model_path/weights/NAME.bin\", but \"%.80s\" was given",
                             files[i].name);
    return MIL_OK;
}

mil_status mil__ane_folder_fill(const char *path, const mil__ane_text *text, const mil_text_file *files, size_t n, mil_error *err) {
    MIL__TRY(mil__ane_check_names(files, n, err));
    if (text) MIL__TRY(write_inner(path, TEXT, text->text, text->n, err));
    for (size_t i = 0; i < n; i++) MIL__TRY(write_inner(path, inner_path(files[i].name), files[i].data, files[i].n, err));
    return MIL_OK;
}

/* The folder, with our mark and nothing else of ours: if we die from now on, it is found. */
static mil_status enter(const char *path, mil_error *err) {
    char mark[64];
    snprintf(mark, sizeof mark, MARK "%ld", (long)getpid());
    int locked = lock_parent(path);
    mil_status status = make_folder(path, err);
    if (status == MIL_OK) {
        status = write_inner(path, mark, "", 0, err);
        if (status != MIL_OK) rmdir(path); /* where it is empty */
    }
    unlock_parent(locked);
    return status;
}

static void leave(const char *path) {
    char mark[PATH_MAX];
    int locked = lock_parent(path);
    if (snprintf(mark, sizeof mark, "%s/" MARK "%ld", path, (long)getpid()) < (int)sizeof mark) unlink(mark);
    if (marks_in(path) != LIVE_MARKS) mil__folder_remove(path);
    unlock_parent(locked);
}

/* ---- */

static mil_status open_new(const char *parent, const char *name, const mil__ane_text *text, const mil_text_file *files, size_t n,
                           mil__ane_folder **out, mil_error *err) {
    mil__str path = {0};
    mil__str_printf(&path, "%s%s", parent, name);
    mil__ane_folder *folder = mil__calloc(1, sizeof *folder);
    mil_status status = path.failed || !folder ? mil__nomem(err) : enter(path.s, err);
    if (status == MIL_OK) {
        status = mil__ane_folder_fill(path.s, text, files, n, err);
        if (status != MIL_OK) leave(path.s);
    }
    if (status != MIL_OK) {
        mil__str_free(&path);
        mil__free(folder);
        return status;
    }
    *folder = (mil__ane_folder){folders, 1, path.s};
    *out = folders = folder;
    return MIL_OK;
}

mil_status mil__ane_folder_open(const char *name, const mil__ane_text *text, const mil_text_file *files, size_t n,
                                mil__ane_folder **out, mil_error *err) {
    char parent[PATH_MAX];
    if (!is_program_name(name)) return mil__fail(err, MIL_EIO, "compile: the system calls the program \"%.80s\", which can't be a folder's name", name);
    temporary(parent, sizeof parent);
    if (scanned_by != getpid()) remove_leftovers(parent);
    scanned_by = getpid();
    for (mil__ane_folder *folder = folders; folder; folder = folder->next) {
        if (strcmp(strrchr(folder->path, '/') + 1, name) != 0) continue;
        MIL__TRY(enter(folder->path, err));
        MIL__TRY(mil__ane_folder_fill(folder->path, text, files, n, err));
        folder->uses++;
        *out = folder;
        return MIL_OK;
    }
    return open_new(parent, name, text, files, n, out, err);
}

const char *mil__ane_folder_path(const mil__ane_folder *folder) { return folder->path; }

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

void mil__ane_folder_list(const mil__ane_folder *folder, mil__str *out) {
    enum { MOST = 16 };
    char names[MOST][64];
    size_t n = 0;
    DIR *dir = opendir(folder->path);
    for (struct dirent *entry; dir && n < MOST && (entry = readdir(dir));)
        if (*entry->d_name != '.') snprintf(names[n++], sizeof names[0], "%.63s", entry->d_name);
    if (dir) closedir(dir);
    qsort(names, n, sizeof names[0], by_text);
    for (size_t i = 0; i < n; i++) mil__str_printf(out, "%s%s", i ? ", " : "", names[i]);
}

void mil__ane_folder_close(mil__ane_folder *folder) {
    if (!folder || --folder->uses) return;
    for (mil__ane_folder **at = &folders; *at; at = &(*at)->next) {
        if (*at != folder) continue;
        *at = folder->next;
        break;
    }
    leave(folder->path);
    mil__free(folder->path);
    mil__free(folder);
}
