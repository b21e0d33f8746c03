/* SPDX-License-Identifier: MIT */
/* IOSurface: memory in a memfd, mapped twice: for the client, who may touch it only between lock and unlock, and for the engine.
 * While a surface is unlocked the client's mapping has no access: touching it is noted by a handler of SIGSEGV, which then lets
 * the access through. One made with IOSurfaceIsGlobal can be looked up by other processes: its id has the process's, among whose
 * open files it is found by its name. */
#include "objc.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct surface {
    size_t bytes, row;
    size_t slot;             /* its place here */
    uint32_t id;             /* the same everywhere */
    int file;                /* of a global one; else -1 */
    void *client, *engine;
    int locks;
    int users;               /* evaluations that have it now */
    uint32_t options;        /* of the lock that is held */
} surface;

enum { MAX_SURFACES = 4096, PAGE = 16384 };
static object *surfaces[MAX_SURFACES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction earlier;

#define KEY(name) EXPORT object *kIOSurface##name;
KEY(Width) KEY(Height) KEY(BytesPerElement) KEY(BytesPerRow) KEY(AllocSize) KEY(PixelFormat)
#undef KEY

static void on_fault(int signal, siginfo_t *info, void *context) {
    for (size_t i = 0; i < MAX_SURFACES; i++) {
        object *o = surfaces[i];
        surface *s = o ? o->data : NULL;
        if (!s || (char *)info->si_addr < (char *)s->client || (char *)info->si_addr >= (char *)s->client + s->bytes) continue;
        violation("surface %u is %s at byte %zu", s->id, s->locks ? "written under a lock for reading" : "accessed unlocked",
                  (size_t)((char *)info->si_addr - (char *)s->client));
        mprotect(s->client, s->bytes, PROT_READ | PROT_WRITE);
        return;
    }
    if (earlier.sa_flags & SA_SIGINFO) earlier.sa_sigaction(signal, info, context);
    else sigaction(SIGSEGV, &earlier, NULL);
}

static void guard(void) {
    struct sigaction now;
    sigaction(SIGSEGV, NULL, &now);
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault) return;
    earlier = now;
    struct sigaction ours = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &ours, NULL);
}

static void protect(surface *s, int access) {
    if (standin.guard) mprotect(s->client, s->bytes, access);
}

static void free_surface(object *o) {
    surface *s = o->data;
    if (s->locks && !was_failed("IOSurfaceUnlock")) violation("surface %u is released while it is locked", s->id);
    pthread_mutex_lock(&lock);
    if (s->slot < MAX_SURFACES) surfaces[s->slot] = NULL;
    pthread_mutex_unlock(&lock);
    munmap(s->client, s->bytes), munmap(s->engine, s->bytes);
    if (s->file >= 0) close(s->file);
    free(s);
    o->data = NULL;
}

static size_t wanted(object *properties, const char *key) {
    object *number = dictionary_get(properties, key);
    if (!number) return 0;
    if (is_a(number, "NSNumber")) return (size_t)number_value(number);
    violation("IOSurfaceCreate: %s is a %s", key, number->isa->name);
    return 0;
}

static bool map(surface *s, int file) {
    s->client = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    s->engine = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (s->client != MAP_FAILED && s->engine != MAP_FAILED) return true;
    if (s->client != MAP_FAILED) munmap(s->client, s->bytes);
    return false;
}

/* Takes a slot; id 0: one of this process's own. */
static object *enrol(surface *s, uint32_t id) {
    object *o = object_new("IOSurface", s, s->bytes);
    pthread_mutex_lock(&lock);
    for (s->slot = 1; s->slot < MAX_SURFACES && surfaces[s->slot];) s->slot++;
    if (s->slot < MAX_SURFACES) surfaces[s->slot] = o;
    guard();
    pthread_mutex_unlock(&lock);
    s->id = id ? id : (uint32_t)getpid() * MAX_SURFACES + (uint32_t)s->slot;
    return o;
}

static void name_of(uint32_t id, char *name, size_t n) { snprintf(name, n, "surface-%u", (unsigned)id); }

/* The file goes by the id, so it is made once that is known. */
static bool fill(surface *s, bool is_global) {
    char name[32];
    name_of(s->id, name, sizeof name);
    int file = memfd_create(name, MFD_CLOEXEC);
    bool ok = file >= 0 && ftruncate(file, (off_t)s->bytes) == 0 && map(s, file);
    if (ok && is_global) s->file = file;
    else if (file >= 0) close(file);
    return ok;
}

EXPORT object *IOSurfaceCreate(object *properties) {
    if (!enter("IOSurfaceCreate") || !usable(properties, "IOSurfaceCreate")) return NULL;
    if (!is_a(properties, "NSDictionary")) return violation("IOSurfaceCreate: not a dictionary"), NULL;
    size_t width = wanted(properties, "IOSurfaceWidth"), height = wanted(properties, "IOSurfaceHeight");
    size_t element = wanted(properties, "IOSurfaceBytesPerElement"), row = wanted(properties, "IOSurfaceBytesPerRow");
    size_t bytes = wanted(properties, "IOSurfaceAllocSize");
    if (!width || !height || !element) return violation("IOSurfaceCreate: width, height or bytes per element are missing"), NULL;
    if (!row) row = width * element;
    if (!bytes) bytes = row * height;
    if (row < width * element || bytes < row * height) return violation("IOSurfaceCreate: the sizes disagree"), NULL;
    surface *s = calloc(1, sizeof *s);
    s->row = row, s->bytes = (bytes + PAGE - 1) / PAGE * PAGE, s->file = -1;
    object *o = enrol(s, 0);
    if (!fill(s, wanted(properties, "IOSurfaceIsGlobal"))) {
        s->client = s->engine = NULL, s->bytes = 0;
        return released(o), NULL;
    }
    memset(s->engine, 0xA5, s->bytes);             /* fresh ones are not guaranteed to be zero */
    protect(s, PROT_NONE);
    return o;
}

static surface *checked(object *o, const char *by) {
    if (!usable(o, by)) return NULL;
    if (!is_a(o, "IOSurface")) return violation("%s: a %s is no surface", by, o->isa->name), NULL;
    return o->data;
}

EXPORT int IOSurfaceLock(object *o, uint32_t options, uint32_t *seed) {
    surface *s = checked(o, "IOSurfaceLock");
    (void)seed;
    if (!enter("IOSurfaceLock") || !s) return (int)0xe00002bc;
    if (options > 3) violation("IOSurfaceLock: options %#x", options);
    if (__atomic_load_n(&s->users, __ATOMIC_ACQUIRE)) violation("IOSurfaceLock: an evaluation under way has surface %u", s->id);
    if (s->locks++ == 0) s->options = options;
    protect(s, s->options & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
    return 0;
}

EXPORT int IOSurfaceUnlock(object *o, uint32_t options, uint32_t *seed) {
    surface *s = checked(o, "IOSurfaceUnlock");
    (void)seed;
    if (!enter("IOSurfaceUnlock") || !s) return (int)0xe00002bc;
    if (!s->locks) return violation("IOSurfaceUnlock: surface %u is not locked", s->id), (int)0xe00002bc;
    if ((options & 1) != (s->options & 1)) violation("IOSurfaceUnlock: options %u, but %u when locked", options, s->options);
    if (--s->locks == 0) protect(s, PROT_NONE);
    return 0;
}

EXPORT void *IOSurfaceGetBaseAddress(object *o) {
    surface *s = checked(o, "IOSurfaceGetBaseAddress");
    return enter("IOSurfaceGetBaseAddress") && s ? s->client : NULL;
}
EXPORT size_t IOSurfaceGetAllocSize(object *o) {
    surface *s = checked(o, "IOSurfaceGetAllocSize");
    return enter("IOSurfaceGetAllocSize") && s ? s->bytes : 0;
}
EXPORT size_t IOSurfaceGetBytesPerRow(object *o) {
    surface *s = checked(o, "IOSurfaceGetBytesPerRow");
    return enter("IOSurfaceGetBytesPerRow") && s ? s->row : 0;
}
EXPORT uint32_t IOSurfaceGetID(object *o) {
    surface *s = checked(o, "IOSurfaceGetID");
    return enter("IOSurfaceGetID") && s ? s->id : 0;
}
/* Another process's file of that name; -1: it has none. */
static int find_file(uint32_t id) {
    char folder[64], path[512], target[128], name[32], wanted_target[64];
    snprintf(folder, sizeof folder, "/proc/%u/fd", (unsigned)(id / MAX_SURFACES));
    name_of(id, name, sizeof name);
    snprintf(wanted_target, sizeof wanted_target, "/memfd:%s (deleted)", name);
    DIR *files = opendir(folder);
    int file = -1;
    for (struct dirent *entry; files && file < 0 && (entry = readdir(files));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) continue;
        target[n] = 0;
        if (!strcmp(target, wanted_target)) file = open(path, O_RDWR | O_CLOEXEC);
    }
    if (files) closedir(files);
    return file;
}

static object *looked_up(uint32_t id) {
    struct stat about;
    int file = find_file(id);
    if (file < 0) return NULL;
    surface *s = calloc(1, sizeof *s);
    bool ok = fstat(file, &about) == 0;
    s->bytes = s->row = ok ? (size_t)about.st_size : 0, s->file = -1;
    ok = ok && map(s, file);
    close(file);
    if (!ok) return free(s), NULL;
    object *o = enrol(s, id);
    protect(s, PROT_NONE);
    return o;
}

EXPORT object *IOSurfaceLookup(uint32_t id) {
    if (!enter("IOSurfaceLookup")) return NULL;
    if (id / MAX_SURFACES != (uint32_t)getpid()) return looked_up(id);
    return retained(surfaces[id % MAX_SURFACES]);
}

void *surface_memory(object *o, size_t *bytes) {
    surface *s = o->data;
    *bytes = s->bytes;
    return s->engine;
}
void surface_use(object *o, int by) { __atomic_add_fetch(&((surface *)o->data)->users, by, __ATOMIC_ACQ_REL); }
bool surface_locked(const object *o) { return ((surface *)o->data)->locks > 0; }

/* A string that stays: among no one's objects. */
static object *constant(const char *text) {
    object *o = calloc(1, sizeof *o);
    o->isa = class_named("NSString"), o->refs = 1L << 40, o->data = strdup(text), o->n = strlen(text);
    return o;
}

__attribute__((constructor(103))) static void begin(void) {
    class_make("IOSurface", free_surface);
#define KEY(name) kIOSurface##name = constant("IOSurface" #name);
    KEY(Width) KEY(Height) KEY(BytesPerElement) KEY(BytesPerRow) KEY(AllocSize) KEY(PixelFormat)
#undef KEY
}
