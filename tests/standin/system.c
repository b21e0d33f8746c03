/* SPDX-License-Identifier: MIT */
/* IOKit's registry and connections, what of the system a probe asks, and the names of C functions that are only looked for
 * (facts/ane.md 1.3, 9). An ordinary process finds the engine in the registry and may not open it. */
#include "objc.h"

/* Apple's numbers (IOReturn.h, as facts/ane.md 9 has them). */
enum { OK, BAD_ARGUMENT = (int)0xe00002c2, NOT_PERMITTED = (int)0xe00002e2, NO_DEVICE = (int)0xe00002c0, MIG_BAD_ID = (int)0xfffffbc4 };

/* Registry entries, iterators and connections are numbers: of objects that count as every other. */
enum { MAX_PORTS = 256 };
static object *ports[MAX_PORTS];

static uint32_t port_new(const char *class) {
    for (uint32_t i = 1; i < MAX_PORTS; i++)
        if (!ports[i] || ports[i]->refs <= 0) return ports[i] = object_new(class, NULL, 0), i;
    return 0;
}
static object *port_at(uint32_t port, const char *class, const char *by) {
    object *o = port < MAX_PORTS ? ports[port] : NULL;
    if (!o) return violation("%s: %u is no port", by, port), NULL;
    if (!usable(o, by)) return NULL;
    return is_a(o, class) ? o : (violation("%s: a %s is no %s", by, o->isa->name, class), NULL);
}

EXPORT uint32_t mach_task_self_ = 0x103, bootstrap_port = 0x707;

/* ---- IOKit ---- */

EXPORT object *IOServiceMatching(const char *name) {
    if (!enter("IOServiceMatching")) return NULL;
    object *key = string_new("IOProviderClass"), *value = string_new(name), *out = dictionary_new(&key, &value, 1);
    released(key), released(value);
    return out;
}

/* Takes one reference of the dictionary over, found or not. */
EXPORT uint32_t IOServiceGetMatchingService(uint32_t main_port, object *matching) {
    (void)main_port;
    if (!usable(matching, "IOServiceGetMatchingService")) return 0;
    char wanted[128];
    snprintf(wanted, sizeof wanted, "%s", string_text(dictionary_get(matching, "IOProviderClass")));
    released(matching);
    bool goes = enter("IOServiceGetMatchingService");
    return goes && standin.has_ane && !standin.virtual_machine && !strcmp(wanted, "H11ANEIn") ? port_new("io_service") : 0;
}
EXPORT int IOServiceGetMatchingServices(uint32_t main_port, object *matching, uint32_t *out) {
    uint32_t service = IOServiceGetMatchingService(main_port, matching);
    *out = port_new("io_iterator");
    ports[*out]->n = service;
    return OK;
}
EXPORT uint32_t IOIteratorNext(uint32_t iterator) {
    object *o = port_at(iterator, "io_iterator", "IOIteratorNext");
    if (!o) return 0;
    uint32_t service = (uint32_t)o->n;
    o->n = 0;
    return service;
}
EXPORT int IOObjectRelease(uint32_t port) {
    passed("IOObjectRelease");
    if (port >= MAX_PORTS || !ports[port]) return violation("IOObjectRelease: %u is no port", port), BAD_ARGUMENT;
    if (is_a(ports[port], "io_connect")) violation("IOObjectRelease: a connection is closed by IOServiceClose");
    released(ports[port]);
    return OK;
}

static int named(uint32_t service, const char *by, const char *value, char *out) {
    if (!port_at(service, "io_service", by)) return BAD_ARGUMENT;
    if (!enter(by)) return NO_DEVICE;
    snprintf(out, 128, "%s", value);
    return OK;
}
EXPORT int IOObjectGetClass(uint32_t service, char *out) { return named(service, "IOObjectGetClass", "H11ANEIn", out); }
EXPORT int IORegistryEntryGetName(uint32_t service, char *out) { return named(service, "IORegistryEntryGetName", "H11ANE", out); }
EXPORT int IORegistryEntryGetRegistryEntryID(uint32_t service, uint64_t *out) {
    if (!port_at(service, "io_service", "IORegistryEntryGetRegistryEntryID")) return BAD_ARGUMENT;
    if (!enter("IORegistryEntryGetRegistryEntryID")) return NO_DEVICE;
    return *out = 0x100000321, OK;
}
EXPORT object *IORegistryEntryCreateCFProperty(uint32_t service, object *key, void *allocator, uint32_t options) {
    (void)allocator, (void)options;
    if (!port_at(service, "io_service", "IORegistryEntryCreateCFProperty") || !usable(key, "IORegistryEntryCreateCFProperty")) return NULL;
    if (!enter("IORegistryEntryCreateCFProperty") || strcmp(string_text(key), "DeviceProperties")) return NULL;
    object *names[2] = { string_new("ANEDevicePropertyNumANECores"), string_new("ANEDevicePropertyTypeANEArchitectureTypeStr") };
    object *values[2] = { number_new(16), string_new(standin_chip) }, *out = dictionary_new(names, values, 2);
    for (int i = 0; i < 2; i++) released(names[i]), released(values[i]);
    return out;
}

/* Without an entitlement nothing opens: the sources call that normal. */
EXPORT int IOServiceOpen(uint32_t service, uint32_t task, uint32_t type, uint32_t *connection) {
    (void)type, (void)connection;
    if (!port_at(service, "io_service", "IOServiceOpen")) return BAD_ARGUMENT;
    if (task != mach_task_self_) violation("IOServiceOpen: the task is not mach_task_self_");
    if (!enter("IOServiceOpen")) return NO_DEVICE;
    if (!standin.entitled) return NOT_PERMITTED;
    return *connection = port_new("io_connect"), OK;
}
EXPORT int IOServiceClose(uint32_t connection) {
    passed("IOServiceClose");
    object *o = port_at(connection, "io_connect", "IOServiceClose");
    return released(o), o ? OK : BAD_ARGUMENT;
}
EXPORT int IOConnectCallScalarMethod(uint32_t connection, uint32_t selector, const uint64_t *in, uint32_t n_in, uint64_t *out,
                                     uint32_t *n_out) {
    (void)in, (void)n_in, (void)out;
    if (!port_at(connection, "io_connect", "IOConnectCallScalarMethod")) return BAD_ARGUMENT;
    if (!enter("IOConnectCallScalarMethod")) return NO_DEVICE;
    if (selector) return MIG_BAD_ID;
    if (n_out) *n_out = 0;
    return OK;
}
EXPORT int IOConnectCallStructMethod(uint32_t connection, uint32_t selector, const void *in, size_t n_in, void *out, size_t *n_out) {
    (void)selector, (void)in, (void)n_in, (void)out, (void)n_out;
    if (!port_at(connection, "io_connect", "IOConnectCallStructMethod")) return BAD_ARGUMENT;
    return enter("IOConnectCallStructMethod") ? MIG_BAD_ID : NO_DEVICE;
}

/* ---- the system: the daemon's port, and facts of the machine ---- */

EXPORT int task_get_special_port(uint32_t task, int which, uint32_t *out) {
    if (!enter("task_get_special_port") || task != mach_task_self_ || which != 4) return 4;
    return *out = bootstrap_port, 0;
}
EXPORT int bootstrap_look_up(uint32_t port, const char *service, uint32_t *out) {
    if (port != bootstrap_port) violation("bootstrap_look_up: not the bootstrap port");
    if (!enter("bootstrap_look_up") || strcmp(service, "com.apple.appleneuralengine")) return 1102;
    return *out = 0x1203, 0;
}

EXPORT int mach_port_deallocate(uint32_t task, uint32_t port) {
    passed("mach_port_deallocate");
    if (task != mach_task_self_ || !port) violation("mach_port_deallocate: task %u, port %u", task, port);
    return 0;
}

/* Length first: 0 in *n where there is no place to write. */
EXPORT int sysctlbyname(const char *name, void *out, size_t *n, void *new, size_t n_new) {
    static const char *const values[][2] = { { "machdep.cpu.brand_string", "Apple M3 Pro" }, { "hw.model", "Mac15,6" },
                                             { "kern.osproductversion", "26.3" }, { "kern.osversion", standin_build } };
    (void)new, (void)n_new;
    if (!enter("sysctlbyname")) return -1;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(values[i][0], name)) continue;
        size_t all = strlen(values[i][1]) + 1;
        if (out && *n < all) return -1;
        if (out) memcpy(out, values[i][1], all);
        return *n = all, 0;
    }
    return -1;
}

/* ---- functions that are looked for and never called: no source has their arguments, and compiling by them hangs (9) ---- */

#define LOOKED_FOR(X)                                                                                                   \
    X(ANECCompile) X(ANECCompileJIT) X(ANECCompileOnline) X(ANECCompileOffline) X(ANECCreateCompilerInputDictionary)    \
    X(ANECCreateCompilerOptionDictionary) X(ANECCreateModelDictionary) X(ANECCreateDeviceProperty)                      \
    X(ANECGetDeviceProperty) X(ANECValidate) X(ANECGetCompilerFileFormat) X(ANEServicesDeviceOpen)                      \
    X(ANEServicesDeviceClose) X(ANEServicesProgramCreate) X(ANEServicesProgramPrepare)                                  \
    X(ANEServicesProgramInputsReady) X(ANEServicesProgramDestroy) X(ANEServicesProgramStop)                             \
    X(ANEServicesProgramProcessRequestDirect) X(ANEServicesProgramOutputSetEnqueue)                                     \
    X(ANEServicesProgramMemoryMapRequest) X(ANEServicesProgramMemoryUnmapRequest) X(ANEServicesProgramChainingPrepare)  \
    X(ANEServicesInitializePlatformServices) X(ANEValidateMILNetworkOnHost) X(ANEValidateNetworkCreate)                 \
    X(ANEGetValidateNetworkSupportedVersion)
#define CALLED(name) EXPORT void *name(void) { return violation(#name ": called, though its arguments are not known"), NULL; }
LOOKED_FOR(CALLED)

__attribute__((constructor(109))) static void begin(void) {
    class_make("io_service", NULL), class_make("io_iterator", NULL), class_make("io_connect", NULL);
}
