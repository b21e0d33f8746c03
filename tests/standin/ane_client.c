/* SPDX-License-Identifier: MIT */
/* AppleNeuralEngine beside the model in memory: _ANEClient, _ANEModel, _ANEProgramForEvaluation, the performance statistics, chaining
 * (facts/ane.md 2.6, 2.7, 2.9, 2.10). The ways to run a request do the same here, and are refused where the sources have them refused. */
#include "ane.h"
#include "refusals.h"

/* The model in memory that the argument is, or is the inner one of; NULL and a violation: neither. */
static object *in_memory(object *given, const char *by) {
    if (!usable(given, by)) return NULL;
    if (is_a(given, "_ANEInMemoryModel")) return given;
    if (!is_a(given, "_ANEModel")) return violation("%s: a %s is no model", by, given->isa->name), NULL;
    if (!given->data) violation("%s: it is of a file, or its model in memory was released", by);
    return given->data;
}

/* ---- _ANEClient ---- */

static object the_client;      /* the process's; among no one's objects */

static object *client_shared(ME) { UNUSED; return &the_client; }
static object *client_init(ME, bool restricted) { UNUSED, (void)restricted; return self; }
static object *alloc(ME) { UNUSED; return object_new(((class *)self)->name, NULL, 0); }

static bool client_evaluate(ME, object *given, object *options, object *by, unsigned qos, object **error) {
    UNUSED, (void)options, (void)qos;
    object *model = in_memory(given, "evaluateWithModel");
    return model && ane_evaluate(model, by, error);
}

/* A failure is reported by way of the model's getUUID, which the model in memory lacks (2.6): the process dies of it. */
static bool client_direct(ME, object *given, object *options, object *by, unsigned qos, object **error) {
    if (client_evaluate(self, _cmd, given, options, by, qos, error)) return true;
    if (is_a(given, "_ANEInMemoryModel") && !class_getInstanceMethod(given->isa, "getUUID"))
        violation("doEvaluateDirectWithModel: it failed, and getUUID is sent to an _ANEInMemoryModel, which has none: the process dies");
    return false;
}

static bool client_real_time(ME, object *given, object *options, object *by, object **error) {
    UNUSED, (void)given, (void)options, (void)by;
    return ane_fails(error, ANE_DOMAIN, 8, "real time needs an entitlement", NULL);
}
static bool client_file(ME, object *given, object *options, unsigned qos, object **error) {
    UNUSED, (void)options, (void)qos;
    if (!usable(given, "a model of a file")) return false;
    return ane_fails(error, ANE_DOMAIN, 4, "a sandbox extension can't be issued", NULL);
}
static bool client_file_instance(ME, object *given, object *options, object *parameters, unsigned qos, object **error) {
    return (void)parameters, client_file(self, _cmd, given, options, qos, error);
}
static bool client_chaining(ME, object *given, object *options, object *by, unsigned qos, object **error) {
    UNUSED, (void)given, (void)options, (void)by, (void)qos;
    return ane_fails(error, ANE_DOMAIN, 15, "chaining is not for this process", NULL);
}
static bool client_map(ME, object *given, object *by, bool cache, object **error) {
    UNUSED, (void)cache;
    object *model = in_memory(given, "mapIOSurfacesWithModel");
    return model && ane_map(model, by, error);
}
static void client_unmap(ME, object *given, object *by) {
    UNUSED;
    object *model = in_memory(given, "unmapIOSurfacesWithModel");
    if (model) ane_unmap(model, by);
}
static bool client_exists(ME, object *given) {
    UNUSED;
    object *model = in_memory(given, "compiledModelExistsFor");
    return model && ane_exists(model);
}
static void client_purge(ME, object *given) {
    UNUSED;
    object *model = in_memory(given, "purgeCompiledModel");
    if (model) ane_purge(model);
}
static bool no(ME) { UNUSED; return false; }
static bool yes_to(ME, object *what) { UNUSED, (void)what; return true; }
static object *nil(ME) { UNUSED; return NULL; }
static object *init_nil(ME) { UNUSED; return released(self), NULL; }

/* ---- _ANEModel, the inner one; _ANEProgramForEvaluation ---- */

static object *file_model(ME, object *url, object *key) {
    UNUSED, (void)url, (void)key;
    return autoreleased(object_new("_ANEModel", NULL, 0));
}
static model *inner_of(object *self, const char *by) {
    object *of = in_memory(self, by);
    return of ? of->data : NULL;
}
static object *inner_attributes(ME) {
    UNUSED;
    model *m = inner_of(self, "modelAttributes");
    return m ? m->attributes : NULL;
}
static object *inner_program(ME) {
    UNUSED;
    object *of = in_memory(self, "program");
    return of ? ane_program(of) : NULL;
}
static unsigned long long inner_handle(ME) {
    UNUSED;
    model *m = inner_of(self, "string_id");
    return m && m->loaded ? (unsigned long long)(uintptr_t)self->data : 0;
}
static unsigned inner_statistics(ME) {
    UNUSED;
    model *m = inner_of(self, "perfStatsMask");
    return m ? m->statistics : 0;
}
static void inner_set_statistics(ME, unsigned mask) {
    UNUSED;
    model *m = inner_of(self, "setPerfStatsMask");
    if (m) m->statistics = mask;
}
static signed char inner_depth(ME) {
    UNUSED;
    model *m = inner_of(self, "queueDepth");
    return m ? m->depth : 0;
}

/* As many numbers from 0 as the procedure has ports. */
static object *indices(object *self, unsigned procedure, bool outputs) {
    model *m = inner_of(self, "symbol indices");
    if (!m || !m->loaded || procedure) return NULL;
    return autoreleased(object_new("NSIndexSet", NULL, outputs ? mil_model_n_outputs(m->loaded) : mil_model_n_inputs(m->loaded)));
}
static object *inner_inputs(ME, unsigned procedure) { UNUSED; return indices(self, procedure, false); }
static object *inner_outputs(ME, unsigned procedure) { UNUSED; return indices(self, procedure, true); }
static unsigned long set_count(ME) { UNUSED; return self->n; }
static unsigned long set_first(ME) { UNUSED; return self->n ? 0 : (unsigned long)-1 >> 1; }
static bool set_contains(ME, unsigned long i) { UNUSED; return i < self->n; }

static bool program_process(ME, object *by, object *inner, unsigned qos, unsigned long queue, unsigned long long string_id, object *options,
                            unsigned *result, object **error) {
    UNUSED, (void)qos, (void)options;
    if (!self->data) return violation("processRequest: the program is of an earlier load"), false;
    if (!is_a(inner, "_ANEModel")) violation("processRequest: a %s is no _ANEModel", inner->isa->name);
    else if (inner->data != self->data) violation("processRequest: the model is another's");
    if (queue) violation("processRequest: qIndex %lu", queue);
    if (string_id != inner_handle(ane_inner(self->data), NULL)) violation("processRequest: modelStringID is not the model's string_id");
    bool ok = ane_evaluate(self->data, by, error);
    if (result) *result = ok ? 0 : 0x1d;
    return ok;
}
static long long none_in_flight(ME) { UNUSED; return 0; }
static signed char program_depth(ME) { UNUSED; return 127; }

/* ---- statistics: an unentitled process reads nothing back, as one source has it (2.9, switch statistics) ---- */

typedef struct statistics { unsigned long long nanoseconds; } statistics;

static object *statistics_with(ME, unsigned long long nanoseconds) {
    UNUSED;
    statistics *s = malloc(sizeof *s);
    s->nanoseconds = nanoseconds;
    return autoreleased(object_new("_ANEPerformanceStats", s, 0));
}
static void free_data(object *o) { free(o->data), o->data = NULL; }
static unsigned long long statistics_time(ME) { UNUSED; return ((statistics *)self->data)->nanoseconds; }
static unsigned driver_mask(ME, unsigned mask) { UNUSED; return mask & ~0xFu ? 0 : mask; }
static object *counter_name(ME, int i) {
    static const char *const names[] = { "kANE_CYCLES", "kANE_DMA" };
    UNUSED;
    return autoreleased(string_new(i >= 0 && i < 2 ? names[i] : "kANE_UKNOWN"));
}
static object *statistics_surface(ME, object *surface, long long type) {
    UNUSED;
    if (type < 0) violation("objectWithIOSurface:statType: %lld", type);
    return autoreleased(object_new("_ANEPerformanceStatsIOSurface", retained(surface), (size_t)type));
}
static void free_retained(object *o) { released(o->data), o->data = NULL; }
static long long statistics_type(ME) { UNUSED; return (long long)self->n; }

/* ---- chaining and events: there, and of no use (2.10) ---- */

static object *chaining(ME, object *in, object *sets, object *in_symbol, object *out_symbol, object *procedure, object *events,
                        object *transaction, object *delay, object *pool) {
    UNUSED, (void)in, (void)sets, (void)in_symbol, (void)out_symbol, (void)procedure, (void)events, (void)transaction, (void)delay, (void)pool;
    return autoreleased(object_new("_ANEChainingRequest", NULL, 0));
}
static object *shared_events(ME, object *signals, object *waits) {
    UNUSED, (void)signals, (void)waits;
    return autoreleased(object_new("_ANESharedEvents", NULL, 0));
}

#define M(class, selector, signature, function) { class, selector, signature, (void *)function }
static const method rows[] = {
    M("_ANEClient", "sharedConnection", "=", client_shared), M("_ANEClient", "sharedPrivateConnection", "=", client_shared),
    M("_ANEInMemoryModel", "sharedConnection", "", client_shared), M("_ANEClient", "alloc", "=", alloc),
    M("_ANEClient", "initWithRestrictedAccessAllowed:", "i", client_init),
    M("_ANEClient", "evaluateWithModel:options:request:qos:error:", "oDoie", client_evaluate),
    M("_ANEClient", "doEvaluateDirectWithModel:options:request:qos:error:", "oDoie", client_direct),
    M("_ANEClient", "evaluateRealTimeWithModel:options:request:error:", "oDoe", client_real_time),
    M("_ANEClient", "compileModel:options:qos:error:", "oDie", client_file), M("_ANEClient", "loadModel:options:qos:error:", "oDie", client_file),
    M("_ANEClient", "unloadModel:options:qos:error:", "oDie", client_file), M("_ANEClient", "doLoadModel:options:qos:error:", "oDie", client_file),
    M("_ANEClient", "doUnloadModel:options:qos:error:", "oDie", client_file),
    M("_ANEClient", "loadRealTimeModel:options:qos:error:", "oDie", client_file),
    M("_ANEClient", "unloadRealTimeModel:options:qos:error:", "oDie", client_file),
    M("_ANEClient", "loadModelNewInstance:options:modelInstParams:qos:error:", "oDoie", client_file_instance),
    M("_ANEClient", "mapIOSurfacesWithModel:request:cacheInference:error:", "ooie", client_map),
    M("_ANEClient", "unmapIOSurfacesWithModel:request:", "oo", client_unmap),
    M("_ANEClient", "beginRealTimeTask", "", no), M("_ANEClient", "endRealTimeTask", "", no),
    M("_ANEClient", "prepareChainingWithModel:options:chainingReq:qos:error:", "oDoie", client_chaining),
    M("_ANEClient", "enqueueSetsWithModel:outputSet:options:qos:error:", "ooDie", client_chaining),
    M("_ANEClient", "buffersReadyWithModel:inputBuffers:options:qos:error:", "ooDie", client_chaining),
    M("_ANEClient", "compiledModelExistsFor:", "o", client_exists), M("_ANEClient", "purgeCompiledModel:", "o", client_purge),
    M("_ANEClient", "echo:", "o?", yes_to), M("_ANEClient", "isVirtualClient", "", no), M("_ANEClient", "virtualClient", "", nil),

    M("_ANEModel", "modelAtURL:key:", "=US", file_model), M("_ANEModel", "modelAttributes", "", inner_attributes),
    M("_ANEModel", "program", "", inner_program), M("_ANEModel", "programHandle", "", inner_handle), M("_ANEModel", "string_id", "", inner_handle),
    M("_ANEModel", "perfStatsMask", "", inner_statistics), M("_ANEModel", "setPerfStatsMask:", "i", inner_set_statistics),
    M("_ANEModel", "queueDepth", "", inner_depth), M("_ANEModel", "getUUID", "", nil),
    M("_ANEModel", "inputSymbolIndicesForProcedureIndex:", "i", inner_inputs),
    M("_ANEModel", "outputSymbolIndicesForProcedureIndex:", "i", inner_outputs),
    M("NSIndexSet", "count", "", set_count), M("NSIndexSet", "firstIndex", "", set_first), M("NSIndexSet", "containsIndex:", "i", set_contains),
    M("_ANEProgramForEvaluation", "processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:", "ooiiiDpe", program_process),
    M("_ANEProgramForEvaluation", "requestsInFlight", "", none_in_flight),
    M("_ANEProgramForEvaluation", "currentAsyncRequestsInFlight", "", none_in_flight), M("_ANEProgramForEvaluation", "queueDepth", "", program_depth),

    M("_ANEPerformanceStats", "alloc", "=", alloc), M("_ANEPerformanceStats", "init", "", init_nil), M("_ANEPerformanceStats", "statsWithHardwareExecutionNS:", "=i", statistics_with),
    M("_ANEPerformanceStats", "driverMaskForANEFMask:", "=i", driver_mask), M("_ANEPerformanceStats", "hwExecutionTime", "", statistics_time),
    M("_ANEPerformanceStats", "perfCounterData", "", nil), M("_ANEPerformanceStats", "pStatsRawData", "", nil),
    M("_ANEPerformanceStats", "performanceCounters", "", nil), M("_ANEPerformanceStats", "stringForPerfCounter:", "i", counter_name),
    M("_ANEPerformanceStatsIOSurface", "objectWithIOSurface:statType:", "=Ii", statistics_surface),
    M("_ANEPerformanceStatsIOSurface", "statType", "", statistics_type),

    M("_ANEChainingRequest", "chainingRequestWithInputs:outputSets:lbInputSymbolId:lbOutputSymbolId:procedureIndex:signalEvents:"
      "transactionHandle:fwEnqueueDelay:memoryPoolId:", "=AAo?o?o?o?o?o?o?", chaining),
    M("_ANESharedEvents", "sharedEventsWithSignalEvents:waitEvents:", "=oo", shared_events),
};

/* A run's time, for those who read statistics back. */
void ane_time_run(const object *model_, const object *by, unsigned long long nanoseconds) {
    const model *m = model_->data;
    object *to = ((const request *)by->data)->statistics;
    if (standin.statistics && m->statistics && is_a(to, "_ANEPerformanceStats")) ((statistics *)to->data)->nanoseconds = nanoseconds;
}

__attribute__((constructor(108))) static void begin(void) {
    static const char *const bare[] = { "_ANEClient", "_ANEModel", "_ANEProgramForEvaluation", "NSIndexSet", "_ANEChainingRequest",
                                        "_ANESharedEvents" };
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) class_make(bare[i], NULL);
    the_client = (object){ .isa = class_named("_ANEClient"), .refs = 1L << 40 };
    class_make("_ANEPerformanceStats", free_data), class_make("_ANEPerformanceStatsIOSurface", free_retained);
    methods_add(rows, sizeof rows / sizeof *rows);
}
