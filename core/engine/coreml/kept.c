/* SPDX-License-Identifier: MIT */
/* Where compiled bundles are kept. Core ML keeps what it prepares for a device by a bundle's place, so that must be the same each time:
 *
 *     CACHE/coreml/<sha256 of system, model and weights>.mlmodelc
 *
 * CACHE is mil__cache_folder's. A bundle is marked by its time of change when it is used. Of more than MOST those that were not used for
 * longest are removed, but none of the last day: somebody may be about to load it. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sha256.h"
#include "base/str.h"
#include "engine/coreml/coreml.h"

enum { MOST = 32, A_DAY = 24 * 60 * 60 };
#define ENDING ".mlmodelc"

/* ---- names ---- */

static mil_status hash_file(mil__sha256 *sha, const char *package, const char *inner, size_t *bytes, mil_error *err) {
    char *path;
    mil__file file;
    MIL__TRY(mil__path_join(package, inner, &path, err));
    bool is_there = access(path, F_OK) == 0;
    mil_status status = is_there ? mil__file_open(path, &file, err) : MIL_OK;
    *bytes = is_there && status == MIL_OK ? file.bytes : 0;
    if (*bytes) mil__sha256_add(sha, file.data, file.bytes);
    if (is_there && status == MIL_OK) mil__file_close(&file);
    mil__free(path);
    return status;
}

/* What Core ML makes of a package is another system's business after an update. */
static void hash_system(mil__sha256 *sha) {
    struct utsname system = {0};
    if (uname(&system) < 0) return;
    mil__sha256_add(sha, system.release, strlen(system.release) + 1);
    mil__sha256_add(sha, system.machine, strlen(system.machine) + 1);
}

mil_status mil__coreml_place(const char *package, char **out, size_t *weight_bytes, mil_error *err) {
    char name[MIL__SHA256_TEXT], *folder;
    size_t bytes;
    mil__sha256 sha;
    mil__str path = {0};
    mil__sha256_begin(&sha);
    hash_system(&sha);
    MIL__TRY(hash_file(&sha, package, "Data/com.apple.CoreML/model.mlmodel", &bytes, err));
    mil__sha256_add(&sha, &bytes, sizeof bytes);
    MIL__TRY(hash_file(&sha, package, "Data/com.apple.CoreML/weights/weight.bin", weight_bytes, err));
    mil__sha256_end(&sha, name);
    MIL__TRY(mil__cache_folder("coreml", &folder, err));
    if (!folder) return *out = NULL, MIL_OK;
    mil__str_printf(&path, "%s/%s" ENDING, folder, name);
    mil__free(folder);
    return mil__str_take(&path, out, NULL, err);
}

/* ---- what is there ---- */

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool mil__coreml_find(const char *place) {
    if (!is_folder(place)) return false;
    utimes(place, NULL);
    return true;
}

/* The path of the bundle that was not used for longest, to be freed; NULL: there are not too many, or no memory for it. */
static char *oldest_of_too_many(const char *folder, time_t *used) {
    size_t n = 0;
    char *oldest = NULL;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char *path = NULL;
        struct stat info;
        if (!mil__path_ends_in(entry->d_name, ENDING) || mil__path_join(folder, entry->d_name, &path, NULL) != MIL_OK) continue;
        bool is_there = stat(path, &info) == 0, is_older = is_there && (!oldest || info.st_mtime < *used);
        n += is_there;
        if (is_older) *used = info.st_mtime;
        mil__free(is_older ? oldest : path);
        if (is_older) oldest = path;
    }
    if (dir) closedir(dir);
    if (n > MOST) return oldest;
    mil__free(oldest);
    return NULL;
}

/* Others may be at the same, so that it ends where one can't be removed. */
static void remove_oldest(const char *folder) {
    time_t used = 0, now = time(NULL);
    for (char *path; (path = oldest_of_too_many(folder, &used));) {
        bool is_old = used < now - A_DAY;
        if (is_old) mil__folder_remove(path);
        is_old &= !is_folder(path);
        mil__free(path);
        if (!is_old) return;
    }
}

bool mil__coreml_keep(const char *made, const char *place) {
    if (rename(made, place) != 0) {
        if (!mil__coreml_find(place)) return false;
        mil__folder_remove(made);
        return true;
    }
    utimes(place, NULL);
    char *folder = mil__strdup(place);
    if (folder) *strrchr(folder, '/') = 0;
    if (folder) remove_oldest(folder);
    mil__free(folder);
    return true;
}
