/* SPDX-License-Identifier: MIT */
/* Where the stand-in for Apple's frameworks lies: in a folder beside that of the tests. */
#ifndef STANDIN_FOLDER_H
#define STANDIN_FOLDER_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline const char *standin_folder(void) {
    static char folder[1200];
    if (*folder) return folder;
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 64);
    folder[n > 0 ? n : 0] = 0;
    char *slash = strrchr(folder, '/');
    strcpy(slash ? slash : folder, "/../standin");
    return folder;
}

/* In the frameworks' place; before they are first looked for. */
static inline void use_standin(void) { setenv("MIL_FRAMEWORKS", standin_folder(), 1); }

static inline void *open_standin(const char *file) {
    char path[1300];
    snprintf(path, sizeof path, "%s/%s", standin_folder(), file);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror()), exit(1);
    return library;
}

#endif
