/* SPDX-License-Identifier: MIT */
/* Files: read whole (mapped where they can be), and written aside and renamed; folders likewise. Nothing here knows a format. */
#ifndef MIL__FILE_H
#define MIL__FILE_H

#include "base/base.h"

/* A whole file, read-only. */
typedef struct mil__file {
    void *data;   /* never NULL; not writable when mapped */
    size_t bytes;
    bool mapped;  /* else read into memory */
} mil__file;

mil_status mil__file_open(const char *path, mil__file *out, mil_error *err);
void mil__file_close(mil__file *file);

/* A file being written beside its target. Failed writes are remembered: callers add freely and learn of it from commit,
 * which renames, or abandon. One of the two must be called after a successful open. */
typedef struct mil__writer {
    int fd, error;      /* error: the errno of the first failure */
    char *path, *aside; /* aside: the temporary name */
    size_t n;           /* bytes in `pending` */
    uint64_t written;   /* bytes added so far */
    char *pending;
} mil__writer;

mil_status mil__writer_open(const char *path, mil__writer *out, mil_error *err);
void mil__writer_add(mil__writer *writer, const void *data, size_t bytes);
/* Writes over bytes that were added before. */
void mil__writer_patch(mil__writer *writer, uint64_t at, const void *data, size_t bytes);
/* All that can fail but the renaming, for those that rename several: commit or abandon come after it. */
mil_status mil__writer_finish(mil__writer *writer, mil_error *err);
mil_status mil__writer_commit(mil__writer *writer, mil_error *err);
/* Of two that are finished: both, or neither, where the second can't be renamed. Both are used up. */
mil_status mil__writer_commit_both(mil__writer *first, mil__writer *second, mil_error *err);
void mil__writer_abandon(mil__writer *writer);

/* ---- folders (folder.c) ---- */

/* A folder being written beside its target, as ".NAME.tmp-..". Commit puts it in the target's place in one step, where the
 * system has one, and removes what was there; on failure that is back. Commit or abandon must be called. */
typedef struct mil__folder {
    char *path, *aside;
} mil__folder;

mil_status mil__folder_open(const char *path, mil__folder *out, mil_error *err);
/* A folder in it: "Data". */
mil_status mil__folder_make(const mil__folder *folder, const char *name, mil_error *err);
mil_status mil__folder_commit(mil__folder *folder, mil_error *err);
void mil__folder_abandon(mil__folder *folder);

/* Removes the folder at `path`, which may be NULL, with all that is in it, as far as that goes; links are not followed. */
void mil__folder_remove(const char *path);

/* ---- folders of this process alone (temporary.c) ---- */

/* A private one (0700) in the system's folder for temporary files, with `name` in its own: to be removed, and freed. What
 * processes that are no more left there is removed first, once in the life of a process. */
mil_status mil__folder_temporary(const char *name, char **out, mil_error *err);

/* ---- the folder of what may be made again (temporary.c) ---- */

/* CACHE/name, made where it is not there, to be freed. CACHE is MIL_CACHE, else ~/Library/Caches/luamil on a Mac, else
 * XDG_CACHE_HOME/luamil or ~/.cache/luamil; whatever is in it may be removed at any time. What is read there is believed: so
 * *out is NULL where there is no such place, it can't be made, or somebody else may write there (another user's; a folder
 * for all). */
mil_status mil__cache_folder(const char *name, char **out, mil_error *err);

/* "a/b", to be freed. */
mil_status mil__path_join(const char *a, const char *b, char **out, mil_error *err);
bool mil__path_ends_in(const char *path, const char *ending);
/* MIL_EIO (MIL_ENOMEM) with the system's reason, and the path in err->file: "cannot write x: No space left on device" */
mil_status mil__fail_errno(mil_error *err, const char *what, const char *path, int error);

#endif
