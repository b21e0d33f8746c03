/* SPDX-License-Identifier: MIT */
/* What there is of the Neural Engine, looked at step by step from below: mil_probe_run. The levels and their order are those of
 * rane's probe (cyberia-to/rane); compiling and running a program, its last, is any engine's own work and not here.
 *
 * Nothing fails here but memory: what the system refuses is what is to be found out. Codes are given as numbers, with Apple's
 * own names for them (IOReturn.h). */
#include <stdio.h>
#include <time.h>

#include "apple/apple.h"

typedef struct probing {
    mil_probe *probe;
    size_t room;
    bool no_memory;
    struct timespec since; /* the last step's end */
} probing;

static double lap(probing *p) {
    struct timespec now, then = p->since;
    clock_gettime(CLOCK_MONOTONIC, &now);
    p->since = now;
    return (double)(now.tv_sec - then.tv_sec) + (double)(now.tv_nsec - then.tv_nsec) * 1e-9;
}

static bool make_room(probing *p) {
    size_t room = p->room ? 2 * p->room : 16;
    if (p->probe->n < p->room) return true;
    mil_probe_step *steps = mil__realloc(p->probe->steps, room * sizeof *steps);
    if (!steps) return false;
    p->probe->steps = steps;
    p->room = room;
    return true;
}

__attribute__((format(printf, 4, 5)))
static void add(probing *p, bool ok, const char *tried, const char *format, ...) {
    va_list args, again;
    double seconds = lap(p);
    va_start(args, format);
    va_copy(again, args);
    size_t n = (size_t)vsnprintf(NULL, 0, format, again) + 1;
    va_end(again);
    char *copy = mil__strdup(tried), *found = mil__alloc(n);
    if (found) vsnprintf(found, n, format, args);
    va_end(args);
    if (copy && found && make_room(p)) {
        p->probe->steps[p->probe->n++] = (mil_probe_step){.ok = ok, .tried = copy, .found = found, .seconds = seconds};
        return;
    }
    p->no_memory = true;
    mil__free(copy);
    mil__free(found);
}

/* Adds a step where they can't be opened. */
static bool opens(probing *p, unsigned libraries, const char *name) {
    mil_error err;
    if (mil__apple_open(libraries, &err) == MIL_OK) return true;
    add(p, false, name, "%s", err.message);
    return false;
}

/* ---- codes ---- */

static const char *name_of_code(unsigned code) {
    static const struct { unsigned code; const char *name; } names[] = {
        {0xe00002bc, "error"},         {0xe00002bd, "no memory"},     {0xe00002be, "no resources"},  {0xe00002c0, "no device"},
        {0xe00002c1, "not privileged"}, {0xe00002c2, "bad argument"}, {0xe00002c5, "exclusive access"}, {0xe00002c7, "unsupported"},
        {0xe00002d8, "not ready"},     {0xe00002e2, "not permitted"}, {0xfffffed1, "MIG: no such id"},
        {0xfffffbc4, "MIG: no such id"},
    };
    for (size_t i = 0; i < MIL__COUNT(names); i++)
        if (names[i].code == code) return names[i].name;
    return "";
}

static void add_code(mil__str *out, unsigned code) {
    const char *name = name_of_code(code);
    mil__str_printf(out, *name ? "0x%08x (%s)" : "0x%08x", code, name);
}

/* One step for n numbered tries that failed: "0xe00002c1 (not privileged): 0 to 3, 5; 0xe00002c7 (unsupported): 4". A code of 0 is no failure. */
static void add_codes(probing *p, const char *tried, const unsigned *codes, unsigned n) {
    mil__str text = {0};
    for (unsigned i = 0; i < n; i++) {
        bool is_first = codes[i] != 0;
        for (unsigned k = 0; k < i && is_first; k++) is_first = codes[k] != codes[i];
        if (!is_first) continue;
        if (text.n) mil__str_puts(&text, "; ");
        add_code(&text, codes[i]);
        const char *before = ": ";
        for (unsigned from = i; from < n; from++) {
            if (codes[from] != codes[i]) continue;
            unsigned to = from;
            while (to + 1 < n && codes[to + 1] == codes[i]) to++;
            mil__str_printf(&text, to > from ? "%s%u to %u" : "%s%u", before, from, to);
            before = ", ";
            from = to;
        }
    }
    if (text.n) add(p, false, tried, "%s", text.s);
    p->no_memory |= text.failed;
    mil__str_free(&text);
}

/* ---- 1: the driver ---- */

static const char *const services[] = {"H11ANEIn", "H11ANEInDirectPathClient", "AppleH11ANEInterface", "AppleANELoadBalancer"};

static unsigned service_of(const char *class) {
    void *matching = mil__apple.IOServiceMatching(class);
    return matching ? mil__apple.IOServiceGetMatchingService(0, matching) : 0;
}

/* The first of them; 0: none. To be released. */
static unsigned first_service(const char **class) {
    unsigned service = 0;
    for (size_t i = 0; i < MIL__COUNT(services) && !service; i++) service = service_of(*class = services[i]);
    return service;
}

static void add_property(mil__str *out, mil__id dictionary, const char *key) {
    mil__id value = mil__read_key(dictionary, key);
    const char *text = mil__read_text(value);
    int64_t number;
    if (out->n) mil__str_puts(out, ", ");
    if (text) mil__str_printf(out, "%s %s", key, text);
    else if (mil__read_number(value, &number)) mil__str_printf(out, "%s %lld", key, (long long)number);
    else mil__str_printf(out, "%s (neither text nor a number)", key);
}

static void look_at_properties(probing *p, unsigned service) {
    enum { UTF8 = 0x08000100 /* kCFStringEncodingUTF8 */ };
    static const char tried[] = "its DeviceProperties";
    if (!opens(p, MIL__APPLE_FOUNDATION | MIL__LIBRARY(corefoundation), tried)) return;
    mil__str text = {0};
    void *pool = mil__apple.objc_autoreleasePoolPush();
    const void *key = mil__apple.CFStringCreateWithCString(NULL, "DeviceProperties", UTF8);
    const void *properties = key ? mil__apple.IORegistryEntryCreateCFProperty(service, key, NULL, 0) : NULL;
    mil__id dictionary = (mil__id)properties; /* the same object to both */
    mil__id keys = properties && mil__responds(NSDictionary, allKeys) && mil__send(dictionary, NSObject, isKindOfClass, mil__apple.NSDictionary)
                       ? mil__send(dictionary, NSDictionary, allKeys)
                       : NULL;
    for (size_t i = 0; i < mil__read_count(keys); i++) {
        const char *name = mil__read_text(mil__read_at(keys, i));
        if (name) add_property(&text, dictionary, name);
    }
    add(p, text.n > 0, tried, "%s", text.n ? text.s : properties ? "no dictionary that can be read" : "there are none");
    p->no_memory |= text.failed;
    if (properties) mil__apple.CFRelease(properties);
    if (key) mil__apple.CFRelease(key);
    mil__apple.objc_autoreleasePoolPop(pool);
    mil__str_free(&text);
}

static bool look_at_driver(probing *p) {
    unsigned kept = 0;
    if (!opens(p, MIL__LIBRARY(iokit), "IOKit")) return false;
    for (size_t i = 0; i < MIL__COUNT(services); i++) {
        uint64_t id = 0;
        char name[128] = "";
        unsigned service = service_of(services[i]);
        if (service && mil__apple.IORegistryEntryGetName(service, name) != 0) snprintf(name, sizeof name, "no name");
        if (service && mil__apple.IORegistryEntryGetRegistryEntryID(service, &id) != 0) id = 0;
        name[sizeof name - 1] = '\0';
        if (service) add(p, true, services[i], "entry 0x%llx, %s", (unsigned long long)id, name);
        else add(p, false, services[i], "not there");
        if (!kept) kept = service;
        else if (service) mil__apple.IOObjectRelease(service);
    }
    if (!kept) return false;
    look_at_properties(p, kept);
    mil__apple.IOObjectRelease(kept);
    return true;
}

/* ---- 2 and 3: a connection to it ---- */

enum { TYPES = 11, SELECTORS = 64, SCALARS = 16, BYTES = 4096, SHOWN = 64 };

static unsigned this_task(void) { return *(const unsigned *)mil__apple.mach_task_self_; }

/* A connection to the first service, by the first type that is let in; 0: none. What was tried is added where `tells`. */
static unsigned open_driver(probing *p, bool tells) {
    unsigned codes[TYPES] = {0}, connection = 0, type = 0;
    const char *class;
    char tried[128];
    if (!opens(p, MIL__LIBRARY(iokit), "IOKit") || !opens(p, MIL__LIBRARY(system), "libSystem")) return 0;
    unsigned service = first_service(&class);
    if (!service) {
        add(p, false, "the driver's service", "not there (level 1)");
        return 0;
    }
    for (; type < TYPES && !connection; type++) {
        codes[type] = (unsigned)mil__apple.IOServiceOpen(service, this_task(), type, &connection);
        if (codes[type]) connection = 0;
    }
    mil__apple.IOObjectRelease(service);
    snprintf(tried, sizeof tried, "IOServiceOpen of %s, types 0 to %u", class, type - 1);
    if (tells) add_codes(p, tried, codes, type);
    if (tells && connection) add(p, true, "IOServiceOpen", "opens for this process as type %u", type - 1);
    return connection;
}

static bool open_it(probing *p) {
    unsigned connection = open_driver(p, true);
    if (connection) mil__apple.IOServiceClose(connection);
    return connection != 0;
}

static bool ask_scalars(probing *p, unsigned connection, unsigned selector, unsigned *code) {
    uint64_t out[SCALARS] = {0};
    uint32_t n = SCALARS;
    mil__str text = {0};
    char tried[64];
    *code = (unsigned)mil__apple.IOConnectCallScalarMethod(connection, selector, NULL, 0, out, &n);
    if (*code) return false;
    snprintf(tried, sizeof tried, "IOConnectCallScalarMethod, selector %u", selector);
    for (uint32_t i = 0; i < n && i < SCALARS; i++) mil__str_printf(&text, i ? ", 0x%llx" : "0x%llx", (unsigned long long)out[i]);
    add(p, true, tried, "%u numbers: %s", (unsigned)n, text.n ? text.s : "");
    p->no_memory |= text.failed;
    mil__str_free(&text);
    return true;
}

static bool ask_bytes(probing *p, unsigned connection, unsigned selector, unsigned *code) {
    unsigned char out[BYTES] = {0};
    size_t n = BYTES;
    char tried[64], text[2 * SHOWN + 1] = "";
    *code = (unsigned)mil__apple.IOConnectCallStructMethod(connection, selector, NULL, 0, out, &n);
    if (*code) return false;
    snprintf(tried, sizeof tried, "IOConnectCallStructMethod, selector %u", selector);
    for (size_t i = 0; i < n && i < SHOWN; i++) snprintf(text + 2 * i, 3, "%02x", out[i]);
    add(p, true, tried, "%zu bytes: %s", n, text);
    return true;
}

static bool look_at_selectors(probing *p) {
    unsigned scalars[SELECTORS], bytes[SELECTORS], connection = open_driver(p, false);
    bool any = false;
    if (!connection) {
        if (!p->probe->n) add(p, false, "the driver's methods", "not tried: it does not open for this process (level 2)");
        return false;
    }
    for (unsigned i = 0; i < SELECTORS; i++) {
        any |= ask_scalars(p, connection, i, &scalars[i]);
        any |= ask_bytes(p, connection, i, &bytes[i]);
    }
    add_codes(p, "IOConnectCallScalarMethod, selectors 0 to 63", scalars, SELECTORS);
    add_codes(p, "IOConnectCallStructMethod, selectors 0 to 63", bytes, SELECTORS);
    mil__apple.IOServiceClose(connection);
    return any;
}

/* ---- 4: surfaces ---- */

/* Under the lock: ones of fp16 are written, or sought. */
static bool with_memory(probing *p, mil__iosurface surface, bool writes) {
    enum { ONES = 4096, ONE = 0x3c00 };
    uint32_t options = writes ? 0 : MIL__SURFACE_READ_ONLY;
    const char *tried = writes ? "IOSurfaceLock, 4096 halves written" : "IOSurfaceLock to read, the same sought";
    int code = mil__apple.IOSurfaceLock(surface, options, NULL);
    if (code) {
        add(p, false, tried, "the lock gives 0x%08x", (unsigned)code);
        return false;
    }
    uint16_t *memory = mil__apple.IOSurfaceGetBaseAddress(surface);
    size_t good = 0;
    for (size_t i = 0; memory && i < ONES; i++) {
        if (writes) memory[i] = ONE;
        good += memory[i] == ONE;
    }
    code = mil__apple.IOSurfaceUnlock(surface, options, NULL);
    if (code) mil__apple.IOSurfaceUnlock(surface, options, NULL); /* once more: what is locked can't go */
    if (!memory) add(p, false, tried, "it has no memory");
    else if (code) add(p, false, tried, "the unlock gives 0x%08x", (unsigned)code);
    else add(p, good == ONES, tried, "%zu of %d are 1", good, ONES);
    return good == ONES && !code;
}

static bool look_at_surfaces(probing *p) {
    enum { SIZE = 64 * 128 };
    mil_error err;
    mil__iosurface surface;
    if (!opens(p, MIL__APPLE_SURFACES, "IOSurface")) return false;
    if (mil__surface_new(SIZE, false, &surface, &err) != MIL_OK) {
        add(p, false, "IOSurfaceCreate", "%s", err.message);
        return false;
    }
    add(p, true, "IOSurfaceCreate", "surface %u of %zu bytes, where %d were asked for", mil__apple.IOSurfaceGetID(surface),
        mil__apple.IOSurfaceGetAllocSize(surface), SIZE);
    bool ok = with_memory(p, surface, true) && with_memory(p, surface, false);
    mil__surface_free(surface);
    return ok;
}

/* ---- 5: frameworks ---- */

static const char *short_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void add_missing(mil__str *out, const mil__apple_row *row) {
    mil__str_puts(out, out->n ? ", " : "without ");
    if (row->of) mil__str_printf(out, "%c[%s %s]", row->kind, row->of, row->name);
    else mil__str_printf(out, row->kind == 'C' ? "class %s" : "%s", row->name);
    if (row->needed) mil__str_puts(out, " (needed)");
}

/* A library, and what of its rows it has not. `at` is its own row; the next library's comes back. */
static size_t look_at_library(probing *p, size_t at, bool *has_needed) {
    mil_error err;
    mil__apple_row library, row;
    size_t n = 0, n_found = 0;
    mil__str missing = {0};
    mil__apple_row_at(at, &library);
    mil_status status = mil__apple_open(1u << library.library, &err);
    for (at++; mil__apple_row_at(at, &row) && row.kind != 'L'; at++) {
        n++, n_found += row.found;
        if (!row.found) add_missing(&missing, &row);
    }
    *has_needed = status == MIL_OK;
    if (!n_found && status != MIL_OK) add(p, false, short_name(library.name), "%s", err.message);
    else add(p, status == MIL_OK, short_name(library.name), "%zu of %zu are there%s%s", n_found, n, missing.n ? ", " : "", missing.n ? missing.s : "");
    p->no_memory |= missing.failed || status == MIL_ENOMEM;
    mil__str_free(&missing);
    return at;
}

static bool look_at_frameworks(probing *p) {
    unsigned usable = 0;
    mil__apple_row row;
    for (size_t at = 0; mil__apple_row_at(at, &row);) {
        bool has_needed;
        at = look_at_library(p, at, &has_needed);
        if (has_needed) usable |= 1u << row.library;
    }
    unsigned direct = MIL__APPLE_FOUNDATION | MIL__APPLE_SURFACES | MIL__LIBRARY(ane);
    return (usable & direct) == direct;
}

/* ---- 6: the daemon ---- */

static void give_back(unsigned port) {
    if (mil__apple.mach_port_deallocate) mil__apple.mach_port_deallocate(this_task(), port);
}

static bool look_at_daemon(probing *p) {
    enum { BOOTSTRAP = 4 /* TASK_BOOTSTRAP_PORT */ };
    static const char name[] = "com.apple.appleneuralengine";
    unsigned port = 0, found = 0;
    if (!opens(p, MIL__LIBRARY(system), "libSystem")) return false;
    if (opens(p, MIL__APPLE_FOUNDATION | MIL__LIBRARY(ane), "AppleNeuralEngine"))
        add(p, mil__apple.ANEDaemonInterface != NULL, "_ANEDaemonInterface, _ANEDaemonInterfacePrivate", "%s, %s",
            mil__apple.ANEDaemonInterface ? "there" : "not there", mil__apple.ANEDaemonInterfacePrivate ? "there" : "not there");
    int code = mil__apple.task_get_special_port(this_task(), BOOTSTRAP, &port);
    if (code) add(p, false, "task_get_special_port", "0x%08x", (unsigned)code);
    else add(p, true, "task_get_special_port", "this process has a bootstrap port");
    if (code) return false;
    code = mil__apple.bootstrap_look_up(port, name, &found);
    give_back(port);
    if (code) add(p, false, name, "bootstrap_look_up gives %d%s", code, code == 1102 ? " (no such service)" : code == 1100 ? " (not allowed)" : "");
    else add(p, true, name, "found");
    if (!code) give_back(found);
    return code == 0;
}

/* ---- all ---- */

mil_status mil_probe_run(mil_probe_level level, mil_probe **out, mil_error *err) {
    static bool (*const levels[])(probing *) = {
        [MIL_PROBE_DRIVER] = look_at_driver,     [MIL_PROBE_OPEN] = open_it,
        [MIL_PROBE_SELECTORS] = look_at_selectors, [MIL_PROBE_SURFACES] = look_at_surfaces,
        [MIL_PROBE_FRAMEWORKS] = look_at_frameworks, [MIL_PROBE_DAEMON] = look_at_daemon,
    };
    if ((int)level < 1 || level >= MIL__COUNT(levels))
        return mil__fail(err, MIL_EINVAL, "probe: levels are 1 to %d, but was given %d", (int)MIL__COUNT(levels) - 1, (int)level);
    probing p = {.probe = mil__calloc(1, sizeof(mil_probe))};
    if (!p.probe) return mil__nomem(err);
    lap(&p);
    p.probe->passed = levels[level](&p);
    if (p.no_memory) {
        mil_probe_free(p.probe);
        return mil__nomem(err);
    }
    *out = p.probe;
    return MIL_OK;
}

void mil_probe_free(mil_probe *probe) {
    for (size_t i = 0; probe && i < probe->n; i++) {
        mil__free((char *)probe->steps[i].tried);
        mil__free((char *)probe->steps[i].found);
    }
    if (probe) mil__free(probe->steps);
    mil__free(probe);
}
