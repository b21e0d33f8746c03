/* SPDX-License-Identifier: MIT */
/* The other files of the folder that a program was read from: a package's or a bundle's, which are nothing to the program
 * (labels, what Xcode says of features) and go with it where it is saved in the same form.
 *
 * What is the program's own is noted when it is read: the model, the weights files that it names. All else is carried, one
 * file at a time, after the save has written what it writes:
 *   - saved to its own place, a file gets a second name (then the first goes with the old folder); else it is copied
 *   - a link stays a link, and is never followed: a package that is made of another one must not come to hold what lies
 *     outside of that. One that leads outside would lead elsewhere from another place, which is an error
 *   - a file whose name the save has written is not carried */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "package/package.h"
#include "package/write.h"

enum { MOST_DEPTH = 32, PIECE = 1 << 16 };

struct mil__source {
    const char *path;         /* of the folder; absolute, without links */
    const char *other;        /* a file that was there besides the program's own; NULL: none */
    bool is_bundle;
    uint32_t n_own;
    const char **own;         /* files and folders below it, by name; ascending */
};

/* ---- what is the program's own ---- */

static const char *const package_own[] = {"Manifest.json", "Data/com.apple.CoreML/model.mlmodel",
                                          "Data/com.apple.CoreML/weights/weight.bin"};
/* What is said of the program is said anew; what analytics say is of the package that a bundle was made of. */
static const char *const bundle_own[] = {"model.mil", "coremldata.bin", "metadata.json", "analytics", "weights/weight.bin"};

typedef struct noting {
    mil_program *program;
    mil__source *source;
    size_t n_path;            /* bytes of the path by which it was read, which names begin with */
    uint32_t cap;
    mil_error *err;
} noting;

/* "a/b" of "a//./b" */
static void normalize(char *name) {
    char *to = name;
    for (const char *part = name; *part;) {
        size_t n = strcspn(part, "/");
        if (n && !(n == 1 && *part == '.')) {
            if (to > name) *to++ = '/';
            memmove(to, part, n);
            to += n;
        }
        part += n + strspn(part + n, "/");
    }
    *to = 0;
}

static mil_status add_own(noting *n, const char *name) {
    mil__source *source = n->source;
    if (source->n_own == n->cap) {
        const char **own = mil__arena_zero(&n->program->arena, n->cap * 2 + 8u, sizeof *own);
        if (!own) return mil__nomem(n->err);
        if (n->cap) memcpy(own, source->own, n->cap * sizeof *own);
        source->own = own;
        n->cap = n->cap * 2 + 8;
    }
    char *copy = mil__arena_text(&n->program->arena, name, strlen(name));
    if (!copy) return mil__nomem(n->err);
    normalize(copy);
    source->own[source->n_own++] = copy;
    return MIL_OK;
}

static bool is_name(const void *ctx, uint32_t i, const void *key) {
    const char *const *files = ctx;
    return strcmp(files[i], key) == 0;
}

/* The weights files, each once. */
static mil_status add_weights(noting *n, const char *model_path) {
    const mil_program *program = n->program;
    mil__map seen = {0};
    const char **files = NULL, *last = NULL;
    uint32_t n_files = 0, cap = 0;
    mil_status status = MIL_OK;
    for (uint32_t i = 1; i < program->n_values && status == MIL_OK; i++) {
        const mil__value *value = program->values[i];
        const char *file = value && value->is_const ? mil__const_file(program, value) : NULL;
        if (!file || (last && strcmp(file, last) == 0)) continue;
        last = file;
        uint64_t hash = mil__hash_text(file);
        if (n_files && mil__map_find(&seen, hash, is_name, files, file) != MIL__NOT_FOUND) continue;
        char *full = NULL;
        if (!mil__grow_table((void **)&files, n_files, &cap, sizeof *files) || !mil__map_add(&seen, hash, n_files))
            status = mil__nomem(n->err);
        if (status == MIL_OK) {
            files[n_files++] = file;
            status = mil__blobs_find(model_path, file, &full, n->err);
        }
        if (status == MIL_OK) status = add_own(n, full + n->n_path);
        mil__free(full);
    }
    mil__map_free(&seen);
    mil__free(files);
    return status;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_own(const mil__source *source, const char *name) {
    return bsearch(&name, source->own, source->n_own, sizeof *source->own, by_name);
}

/* ---- walking ---- */

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static DIR *open_folder(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0) close(fd);
    return dir;
}

/* Adds "/name" to the path below the source; gives the length that it had. */
static size_t descend(mil__str *path, const char *name) {
    size_t before = path->n;
    if (before) mil__str_putc(path, '/');
    mil__str_puts(path, name);
    return before;
}

static void ascend(mil__str *path, size_t before) {
    path->n = before;
    if (path->s) path->s[before] = 0;
}

/* Is there a file that is not the program's own? Then its name is left in path. */
static bool find_other(const mil__source *source, int parent, const char *name, int depth, mil__str *path) {
    DIR *dir = depth < MOST_DEPTH ? open_folder(parent, name) : NULL;
    bool found = false;
    struct stat info;
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        if (is_dots(entry->d_name)) continue;
        size_t before = descend(path, entry->d_name);
        if (path->failed) break;
        if (!is_own(source, path->s) && fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
            found = !S_ISDIR(info.st_mode) || find_other(source, dirfd(dir), entry->d_name, depth + 1, path);
        if (!found) ascend(path, before);
    }
    if (dir) closedir(dir);
    return found;
}

static mil_status note(noting *n, const char *path, const char *model_file) {
    mil__source *source = n->source;
    const char *const *own = model_file ? package_own : bundle_own;
    size_t n_own = model_file ? MIL__COUNT(package_own) : MIL__COUNT(bundle_own);
    for (size_t i = 0; i < n_own; i++) MIL__TRY(add_own(n, own[i]));
    if (model_file) MIL__TRY(add_own(n, model_file + n->n_path));
    char *folder;
    MIL__TRY(model_file ? mil__folder_of(model_file, &folder, n->err) : mil__join(path, "", "", &folder, n->err));
    mil_status status = add_weights(n, folder);
    mil__free(folder);
    MIL__TRY(status);
    qsort(source->own, source->n_own, sizeof *source->own, by_name);
    mil__str other = {0};
    if (find_other(source, AT_FDCWD, source->path, 0, &other)) {
        source->other = mil__arena_text(&n->program->arena, other.s, other.n);
        if (!source->other) status = mil__nomem(n->err);
    }
    if (other.failed) status = mil__nomem(n->err);
    mil__str_free(&other);
    return status;
}

mil_status mil__source_note(mil_program *program, const char *path, const char *model_file, mil_error *err) {
    mil__source *source = mil__arena_zero(&program->arena, 1, sizeof *source);
    if (!source) return mil__nomem(err);
    char *real = realpath(path, NULL);
    if (!real) return errno == ENOMEM ? mil__nomem(err) : MIL_OK; /* it has gone meanwhile */
    source->path = mil__arena_text(&program->arena, real, strlen(real));
    free(real);
    if (!source->path) return mil__nomem(err);
    source->is_bundle = !model_file;
    noting n = {.program = program, .source = source, .n_path = strlen(path), .err = err};
    MIL__TRY(note(&n, path, model_file));
    program->source = source;
    return MIL_OK;
}

/* ---- carrying ---- */

typedef struct carrying {
    const mil__source *source;
    mil__saving *s;
    bool in_place;
    dev_t dev;                /* of the new folder, which may lie in the old one */
    ino_t ino;
    mil__str path;            /* of what is looked at, below the source */
} carrying;

static mil_status fail_at(carrying *c, const char *what, int error) {
    mil_error *err = c->s->w.err;
    char *full;
    MIL__TRY(mil__path_join(c->source->path, c->path.n ? c->path.s : "", &full, err));
    mil_status status = mil__fail_errno(err, what, full, error);
    mil__free(full);
    return status;
}

static mil_status copy_bytes(carrying *c, int from, int to, uint64_t n) {
    char *piece = mil__alloc(PIECE);
    mil_status status = piece ? MIL_OK : mil__nomem(c->s->w.err);
    while (n && status == MIL_OK) {
        ssize_t more = read(from, piece, n < PIECE ? (size_t)n : PIECE);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) {
            if (more < 0) status = fail_at(c, "read", errno);
            break; /* at its end, though it was longer before */
        }
        n -= (uint64_t)more;
        for (ssize_t at = 0, done; at < more && status == MIL_OK; at += done) {
            done = write(to, piece + at, (size_t)(more - at));
            if (done < 0 && errno != EINTR) status = fail_at(c, "copy", errno);
            if (done < 0) done = 0;
        }
        if (status == MIL_OK) status = mil__saving_report(c->s, "files", 0);
    }
    mil__free(piece);
    return status;
}

static mil_status copy_file(carrying *c, int from, int to, const char *name) {
    struct stat info;
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); /* it may have become a pipe */
    if (in < 0) return fail_at(c, "read", errno);
    int out = fstat(in, &info) == 0 ? openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    mil_status status = out >= 0 || errno == EEXIST ? MIL_OK : fail_at(c, "copy", errno);
    if (out >= 0) {
        status = S_ISREG(info.st_mode) ? copy_bytes(c, in, out, (uint64_t)info.st_size) : MIL_OK;
        fchmod(out, info.st_mode & 0777);
        if (status == MIL_OK && fsync(out) != 0 && errno != EINVAL) status = fail_at(c, "copy", errno);
        if (close(out) != 0 && status == MIL_OK) status = fail_at(c, "copy", errno);
    }
    close(in);
    return status;
}

static mil_status carry_file(carrying *c, int from, int to, const char *name) {
    if (c->in_place && (linkat(from, name, to, name, 0) == 0 || errno == EEXIST)) return MIL_OK;
    return copy_file(c, from, to, name);
}

/* Does what a link says, in the folder at that depth, stay below the source? */
static bool stays_below(const char *link, int depth) {
    if (*link == '/') return false;
    while (*link) {
        size_t n = strcspn(link, "/");
        if (n == 2 && link[0] == '.' && link[1] == '.') depth--;
        else if (n && !(n == 1 && *link == '.')) depth++;
        if (depth < 0) return false;
        link += n + strspn(link + n, "/");
    }
    return true;
}

static mil_status carry_link(carrying *c, int from, int to, const char *name, int depth) {
    char link[PATH_MAX + 1];
    ssize_t n = readlinkat(from, name, link, PATH_MAX);
    if (n < 0) return fail_at(c, "read", errno);
    link[n] = 0;
    if (!c->in_place && !stays_below(link, depth))
        return mil__fail(c->s->w.err, MIL_EUNSUPPORTED, "%.200s/%.200s is a link out of the folder, to %.200s, which is saved in its own "
                         "place only; cp -RL makes a copy that has files for links", c->source->path, MIL__PRINTABLE(c->path.s),
                         MIL__PRINTABLE(link));
    if (symlinkat(link, to, name) == 0) return MIL_OK;
    if (errno != EEXIST) return fail_at(c, "copy", errno);
    struct stat info;
    if (fstatat(to, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(info.st_mode)) return MIL_OK;
    return mil__fail(c->s->w.err, MIL_EUNSUPPORTED, "%.200s/%.200s is a link, where the save writes a folder", c->source->path,
                     MIL__PRINTABLE(c->path.s));
}

static mil_status carry_folder(carrying *c, int parent, int to_parent, const char *name, int depth);

static mil_status carry_entry(carrying *c, int from, int to, const char *name, int depth) {
    struct stat info;
    MIL__TRY(mil__saving_report(c->s, "files", 0));
    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_at(c, "read", errno);
    if (S_ISREG(info.st_mode)) return carry_file(c, from, to, name);
    if (S_ISLNK(info.st_mode)) return carry_link(c, from, to, name, depth);
    if (!S_ISDIR(info.st_mode))
        return mil__fail(c->s->w.err, MIL_EUNSUPPORTED, "%.200s/%.200s is neither a file nor a folder nor a link", c->source->path,
                         MIL__PRINTABLE(c->path.s));
    if (info.st_dev == c->dev && info.st_ino == c->ino) return MIL_OK;
    if (mkdirat(to, name, 0777) != 0 && errno != EEXIST) return fail_at(c, "copy", errno);
    return carry_folder(c, from, to, name, depth + 1);
}

/* All that is in the folder `name` of one to that of the other, which is there. */
static mil_status carry_folder(carrying *c, int parent, int to_parent, const char *name, int depth) {
    if (depth > MOST_DEPTH)
        return mil__fail(c->s->w.err, MIL_ELIMIT, "%.200s has folders in folders, more than %d", c->source->path, (int)MOST_DEPTH);
    DIR *dir = open_folder(parent, name);
    if (!dir) return fail_at(c, "read", errno);
    int to = openat(to_parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    mil_status status = to >= 0 ? MIL_OK : fail_at(c, "copy", errno);
    for (struct dirent *entry; status == MIL_OK && (errno = 0, entry = readdir(dir));) {
        if (is_dots(entry->d_name)) continue;
        size_t before = descend(&c->path, entry->d_name);
        if (c->path.failed) status = mil__nomem(c->s->w.err);
        else if (!is_own(c->source, c->path.s)) status = carry_entry(c, dirfd(dir), to, entry->d_name, depth);
        ascend(&c->path, before);
    }
    if (status == MIL_OK && errno) status = fail_at(c, "read", errno);
    if (to >= 0) close(to);
    closedir(dir);
    return status;
}

static mil_status not_there(carrying *c) {
    mil_error *err = c->s->w.err;
    if (errno != ENOENT && errno != ENOTDIR) return fail_at(c, "open", errno);
    if (!c->source->other) return MIL_OK;
    return mil__fail(err, MIL_EIO, "%.200s, which the program was read from, is no longer there, nor is %.200s in it, which would be saved "
                     "too; the option alone leaves such files out", c->source->path, MIL__PRINTABLE(c->source->other));
}

bool mil__source_is_carried(const mil__saving *s, bool is_bundle) {
    const mil__source *source = s->w.program->source;
    return source && source->is_bundle == is_bundle && !(s->options && s->options->alone);
}

const char *mil__source_path(const mil_program *program) { return program->source->path; }

mil_status mil__carry(mil__saving *s, const mil__folder *folder, bool is_bundle) {
    if (!mil__source_is_carried(s, is_bundle)) return MIL_OK;
    struct stat info;
    carrying c = {.source = s->w.program->source, .s = s};
    c.in_place = strcmp(c.source->path, folder->path) == 0;
    int from = open(c.source->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0) return not_there(&c);
    int to = open(folder->aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_there = to >= 0 && fstat(to, &info) == 0;
    mil_status status = is_there ? MIL_OK : fail_at(&c, "copy", errno);
    if (is_there) {
        c.dev = info.st_dev, c.ino = info.st_ino;
        status = carry_folder(&c, from, to, ".", 0);
    }
    if (to >= 0) close(to);
    close(from);
    mil__str_free(&c.path);
    return status;
}
