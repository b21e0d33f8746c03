/* SPDX-License-Identifier: MIT */
/* Which device each operation would run on and what share of the whole it is thought to cost, as an MLComputePlan has it. A plan is
 * loaded in the background; whoever asked waits, for a while. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "engine/coreml/coreml.h"

enum { PATIENCE = 60 /* seconds */, AT_ONCE = 16 };

/* A question under way, and the block that answers it. Whoever called a block still looks at it after the call, when our handler has
 * long said that all is done; so these are never freed: they are places that are taken, and given back to be taken again. */
typedef struct waiting {
    mil__objc_block block;
    mil__id plan, error;      /* retained */
    bool is_taken, is_done, is_given_up;
} waiting;

static waiting places[AT_ONCE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all of them */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void take_plan(mil__objc_block *block, mil__id plan, mil__id error);

/* NULL: all are taken. */
static waiting *take_place(void) {
    waiting *w = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < AT_ONCE && !w; i++)
        if (!places[i].is_taken) w = &places[i];
    if (w) {
        w->plan = w->error = NULL;
        w->is_done = w->is_given_up = false;
        w->is_taken = true;
        if (!w->block.ctx) mil__objc_block_init(&w->block, (void (*)(void))take_plan, w);
    }
    pthread_mutex_unlock(&lock);
    return w;
}

static void give_back(waiting *w) {
    if (w->plan) mil__apple.objc_release(w->plan);
    if (w->error) mil__apple.objc_release(w->error);
    pthread_mutex_lock(&lock);
    w->is_taken = false;
    pthread_mutex_unlock(&lock);
}

/* The handler may be called after we gave up: the last of the two gives the place back. */
static void take_plan(mil__objc_block *block, mil__id plan, mil__id error) {
    waiting *w = block->ctx;
    pthread_mutex_lock(&lock);
    w->plan = plan ? mil__apple.objc_retain(plan) : NULL;
    w->error = error ? mil__apple.objc_retain(error) : NULL;
    w->is_done = true;
    bool is_ours = w->is_given_up;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (is_ours) give_back(w);
}

/* False: given up, and the handler gives the place back. */
static bool wait_for(waiting *w) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE;
    pthread_mutex_lock(&lock);
    for (int error = 0; !w->is_done && error != ETIMEDOUT;) error = pthread_cond_timedwait(&changed, &lock, &end);
    bool is_done = w->is_done;
    w->is_given_up = !is_done;
    pthread_mutex_unlock(&lock);
    return is_done;
}

/* ---- printing ---- */

static bool is_kind(mil__id object, mil__class class) { return object && class && mil__send(object, NSObject, isKindOfClass, class); }

static const char *device_name(mil__id device) {
    if (is_kind(device, mil__apple.MLNeuralEngineComputeDevice)) return "neural engine";
    if (is_kind(device, mil__apple.MLGPUComputeDevice)) return "gpu";
    return is_kind(device, mil__apple.MLCPUComputeDevice) ? "cpu" : "-";
}

/* "   3  y = add  gpu  12.5 %" */
static void print_operation(mil__id plan, mil__id operation, size_t number, mil__str *out) {
    const char *op = mil__read_text(mil__send(operation, MLModelStructureProgramOperation, name));
    mil__id output = mil__read_at(mil__send(operation, MLModelStructureProgramOperation, outputs), 0);
    const char *name = output ? mil__read_text(mil__send(output, MLModelStructureProgramNamedValueType, name)) : NULL;
    mil__id usage = mil__send(plan, MLComputePlan, usage, operation), cost = mil__send(plan, MLComputePlan, cost, operation);
    const char *device = device_name(usage ? mil__send(usage, MLComputePlanDeviceUsage, preferred) : NULL);
    mil__str_printf(out, "%4zu  %s = %s  [%s]", number, name ? name : "-", op ? op : "-", device);
    if (cost) mil__str_printf(out, "  %.1f %%", 100 * mil__send(cost, MLComputePlanCost, weight));
    mil__str_putc(out, '\n');
}

/* Consts are on no device. */
static bool is_const(mil__id operation) {
    const char *op = mil__read_text(mil__send(operation, MLModelStructureProgramOperation, name));
    const char *dot = op ? strrchr(op, '.') : NULL;
    return op && strcmp(dot ? dot + 1 : op, "const") == 0;
}

static void print_loaded(mil__id plan, mil__str *out) {
    mil__id structure = mil__send(plan, MLComputePlan, structure), program = mil__send(structure, MLModelStructure, program);
    mil__id function = mil__read_key(mil__send(program, MLModelStructureProgram, functions), "main");
    mil__id block = mil__send(function, MLModelStructureProgramFunction, block);
    mil__id operations = mil__send(block, MLModelStructureProgramBlock, operations);
    size_t n = mil__read_count(operations), number = 0;
    if (n == 0) mil__str_puts(out, "the compute plan has no operations\n");
    for (size_t i = 0; i < n; i++)
        if (!is_const(mil__read_at(operations, i))) print_operation(plan, mil__read_at(operations, i), ++number, out);
}

static void print_result(const waiting *w, mil__str *out) {
    mil_error err;
    if (w->plan) return print_loaded(w->plan, out);
    mil__fail_nserror(&err, MIL_EIO, w->error, "no compute plan");
    mil__str_printf(out, "%s\n", err.message);
}

/* Are all the methods there that the above sends? */
static bool can_plan(void) {
    return mil__responds(MLComputePlan, load) && mil__responds(MLComputePlan, structure) && mil__responds(MLComputePlan, usage) &&
           mil__responds(MLComputePlan, cost) && mil__responds(MLModelStructure, program) && mil__responds(MLModelStructureProgram, functions) &&
           mil__responds(MLModelStructureProgramFunction, block) && mil__responds(MLModelStructureProgramBlock, operations) &&
           mil__responds(MLModelStructureProgramOperation, name) && mil__responds(MLModelStructureProgramOperation, outputs) &&
           mil__responds(MLModelStructureProgramNamedValueType, name) && mil__responds(MLComputePlanDeviceUsage, preferred) &&
           mil__responds(MLComputePlanCost, weight);
}

void mil__coreml_print_plan(const mil__coreml_model *model, mil__str *out) {
    if (!can_plan()) return mil__str_puts(out, "no compute plan: Core ML has them from macOS 14.4 on\n");
    mil__id url = mil__coreml_url(model), configuration = url ? mil__coreml_configuration(model) : NULL;
    if (!configuration) {
        out->failed = true;
        return;
    }
    waiting *w = take_place();
    if (!w) {
        mil__apple.objc_release(configuration);
        return mil__str_printf(out, "no compute plan: %d are being made\n", AT_ONCE);
    }
    mil__send_class(MLComputePlan, load, url, configuration, &w->block);
    mil__apple.objc_release(configuration);
    if (!wait_for(w)) return mil__str_printf(out, "no compute plan: Core ML did not make one in %d seconds\n", PATIENCE);
    print_result(w, out);
    give_back(w);
}

int mil__coreml_devices(char *buf, size_t n) {
    size_t used = 0;
    if (n) *buf = 0;
    mil__id devices = mil__responds(MLModel, devices) ? mil__send_class(MLModel, devices) : NULL;
    for (size_t i = 0; i < mil__read_count(devices); i++) {
        const char *name = device_name(mil__read_at(devices, i));
        int wrote = snprintf(used < n ? buf + used : NULL, used < n ? n - used : 0, "%s%s", used ? ", " : "", name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    return (int)used;
}
