/* SPDX-License-Identifier: MIT */
/* Folders written aside and put in their target's place. See file.h.
 *
 * A rename can replace a file, but not a folder with something in it; so the two change places (Linux's
 * RENAME_EXCHANGE, macOS's RENAME_SWAP), or, where the file system can't, the old one steps aside first and back where
 * the second step fails. Then the old one is removed. What is mapped of its files stays valid: a removed file lives
 * while it is used. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { ASIDE = 48 }; /* bytes that a temporary name adds */

/* ---- removing ---- */

/* Removes the folder `name` in `parent` with all that is in it; links are removed, not followed. */
static void remove_tree(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0) close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlinkat(fd, entry->d_name, 0) != 0) remove_tree(fd, entry->d_name);
    }
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void mil__folder_remove(const char *path) {
    if (path) remove_tree(AT_FDCWD, path);
}

/* What lies in a folder is on the disk only when that is; so in those below. */
static void sync_tree(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0) close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) sync_tree(fd, entry->d_name);
    fsync(fd);
    closedir(dir);
}

/* ---- making ---- */

/* ".NAME.tmp-<process>-<number>" beside the target. */
static char *aside_of(const char *path, unsigned number) {
    const char *slash = strrchr(path, '/');
    int before = slash ? (int)(slash + 1 - path) : 0;
    size_t n = strlen(path) + ASIDE;
    char *name = mil__alloc(n);
    if (name) snprintf(name, n, "%.*s.%s.tmp-%lx-%x", before, path, path + before, (unsigned long)getpid(), number);
    return name;
}

static void release(mil__folder *folder) {
    mil__free(folder->path);
    mil__free(folder->aside);
    *folder = (mil__folder){0};
}

static mil_status make_aside(mil__folder *folder, mil_error *err) {
    static atomic_uint last;
    int error = EEXIST;
    for (int tries = 0; tries < 1000 && error == EEXIST; tries++) {
        mil__free(folder->aside);
        folder->aside = aside_of(folder->path, atomic_fetch_add(&last, 1));
        if (!folder->aside) return mil__nomem(err);
        error = mkdir(folder->aside, 0777) == 0 ? 0 : errno;
    }
    return error ? mil__fail_errno(err, "write", folder->path, error) : MIL_OK;
}

mil_status mil__folder_open(const char *path, mil__folder *out, mil_error *err) {
    char *real = realpath(path, NULL); /* a symbolic link stays, what it names is replaced */
    mil__folder folder = {.path = mil__strdup(real ? real : path)};
    free(real);
    mil_status status = folder.path ? make_aside(&folder, err) : mil__nomem(err);
    if (status == MIL_OK) *out = folder;
    else release(&folder);
    return status;
}

mil_status mil__folder_make(const mil__folder *folder, const char *name, mil_error *err) {
    char *path;
    MIL__TRY(mil__path_join(folder->aside, name, &path, err));
    mil_status status = mkdir(path, 0777) == 0 ? MIL_OK : mil__fail_errno(err, "write", folder->path, errno);
    mil__free(path);
    return status;
}

/* ---- putting it in place ---- */

/* Both folders under each other's names; false where the system can't. */
static bool exchange(const char *a, const char *b) {
#if defined(RENAME_EXCHANGE)
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0;
#elif defined(RENAME_SWAP)
    return renamex_np(a, b, RENAME_SWAP) == 0;
#else
    (void)a, (void)b;
    return false;
#endif
}

/* The old folder steps aside, and back where that was in vain. */
static bool replace_in_two_steps(mil__folder *folder) {
    size_t n = strlen(folder->aside) + 5;
    char *old = mil__alloc(n);
    if (!old) return errno = ENOMEM, false;
    snprintf(old, n, "%s.old", folder->aside);
    bool done = rename(folder->path, old) == 0;
    if (done && rename(folder->aside, folder->path) != 0) {
        int error = errno;
        rename(old, folder->path);
        errno = error;
        done = false;
    } else if (done) {
        remove_tree(AT_FDCWD, old);
    }
    mil__free(old);
    return done;
}

static void sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static void sync_parent(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash) return sync_folder(".");
    if (slash == path) return sync_folder("/");
    *slash = 0;
    sync_folder(path);
    *slash = '/';
}

mil_status mil__folder_commit(mil__folder *folder, mil_error *err) {
    struct stat info;
    sync_tree(AT_FDCWD, folder->aside);
    bool replaces = stat(folder->path, &info) == 0;
    if (replaces) chmod(folder->aside, info.st_mode & 07777);
    bool done = replaces ? exchange(folder->aside, folder->path) || replace_in_two_steps(folder)
                         : rename(folder->aside, folder->path) == 0;
    mil_status status = done ? MIL_OK : mil__fail_errno(err, "write", folder->path, errno);
    if (done) sync_parent(folder->path);
    remove_tree(AT_FDCWD, folder->aside); /* the old one, or what was in vain */
    release(folder);
    return status;
}

void mil__folder_abandon(mil__folder *folder) {
    if (folder->aside) remove_tree(AT_FDCWD, folder->aside);
    release(folder);
}
