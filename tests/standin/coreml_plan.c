/* SPDX-License-Identifier: MIT */
/* Core ML's compute plan: the structure of a compiled program, operation by operation, with the devices that may run each, the one
 * that is preferred, and its part of the cost (MLComputePlan.h, MLModelStructure.h). consts have neither device nor cost. */
#include "coreml.h"

/* A plan keeps the program; what is reached from it keeps the plan. */
typedef struct plan { mil_program *program; long units; } plan;
typedef struct node { object *plan; uint64_t of; } node;

static plan *plan_of(const object *o) { return o->data; }
static node *node_of(const object *o) { return o->data; }
static const mil_program *program_of(const object *o) { return plan_of(node_of(o)->plan)->program; }

static object *node_new(const char *class, object *plan_, uint64_t of) {
    object *o = ml_new(class, sizeof(node));
    *node_of(o) = (node){ retained(plan_), of };
    return autoreleased(o);
}
static void free_node(object *o) {
    released(node_of(o)->plan);
    free(o->data);
    o->data = NULL;
}
static void free_plan(object *o) {
    mil_program_free(plan_of(o)->program);
    free(o->data);
    o->data = NULL;
}

/* ---- loading, called back from another thread ---- */

typedef struct planning { char *path; long units; kept_block done; } planning;

static void plan_now(void *ctx) {
    planning *p = ctx;
    mil_error err = { 0 };
    object *o = ml_new("MLComputePlan", sizeof(plan)), *error = NULL;
    plan_of(o)->units = p->units;
    if (mil_program_load(p->path, NULL, &plan_of(o)->program, &err)) {
        error = error_new("com.apple.CoreML", ML_IO, err.message, NULL);
        released(o);
        o = NULL;
    }
    block_complete(p->done.b, o, error);
    released(o), released(error);
    block_drop(&p->done);
    free(p->path);
    free(p);
}

static void load_plan(ME, object *url, object *configuration, block *done) {
    UNUSED;
    kept_block kept;
    if (!block_keep(done, "loadContentsOfURL", &kept) || !ml_is(configuration, "MLModelConfiguration", "loadContentsOfURL")) return;
    planning *p = malloc(sizeof *p);
    *p = (planning){ strdup(url->data), ((ml_configuration *)configuration->data)->units, kept };
    if (!thread_start(plan_now, p)) plan_now(p);
}

/* ---- the structure ---- */

static object *structure(ME) { UNUSED; return node_new("MLModelStructure", self, 0); }
static object *structure_program(ME) { UNUSED; return node_new("MLModelStructureProgram", node_of(self)->plan, 0); }
static object *none(ME) { UNUSED; return NULL; }

static object *functions(ME) {
    enum { MOST = 64 };
    UNUSED;
    object *keys[MOST], *values[MOST];
    size_t n = mil_program_n_functions(program_of(self));
    if (n > MOST) n = MOST;
    for (size_t i = 0; i < n; i++) {
        mil_block f = mil_program_function_at(program_of(self), i);
        keys[i] = string_new(mil_function_name(program_of(self), f));
        values[i] = node_new("MLModelStructureProgramFunction", node_of(self)->plan, f);
    }
    object *out = dictionary_new(keys, values, n);
    for (size_t i = 0; i < n; i++) released(keys[i]);
    return autoreleased(out);
}
static object *body(ME) { UNUSED; return node_new("MLModelStructureProgramBlock", node_of(self)->plan, node_of(self)->of); }

/* Nodes of one class in an array. */
typedef struct nodes { object **items; size_t n, size; } nodes;
static void push(nodes *all, object *item) {
    if (all->n == all->size) all->items = realloc(all->items, (all->size = all->size ? 2 * all->size : 64) * sizeof *all->items);
    all->items[all->n++] = item;
}
static object *array_of(nodes *all) {
    object *out = array_new(all->items, all->n);
    free(all->items);
    return autoreleased(out);
}

static object *operations(ME) {
    UNUSED;
    nodes all = { NULL, 0, 0 };
    const mil_program *p = program_of(self);
    for (mil_operation o = mil_block_first(p, (mil_block)node_of(self)->of); o; o = mil_operation_next(p, o))
        push(&all, node_new("MLModelStructureProgramOperation", node_of(self)->plan, o));
    return array_of(&all);
}

static mil_operation operation_of(const object *o) { return (mil_operation)node_of(o)->of; }

static object *blocks(ME) {
    UNUSED;
    nodes all = { NULL, 0, 0 };
    for (size_t i = 0; i < mil_operation_n_blocks(program_of(self), operation_of(self)); i++)
        push(&all, node_new("MLModelStructureProgramBlock", node_of(self)->plan, mil_operation_nested(program_of(self), operation_of(self), i)));
    return array_of(&all);
}

/* "ios18.add", but "const"; with switch ml_plain_names "add". */
static const char *op_name(const object *self) { return mil_op_name(mil_operation_op(program_of(self), operation_of(self))); }
static object *operator_name(ME) {
    UNUSED;
    char name[96];
    bool plain = standin.ml_plain_names || !strcmp(op_name(self), "const");
    snprintf(name, sizeof name, "%s%s%s", plain ? "" : mil_opset_name(mil_program_opset(program_of(self))), plain ? "" : ".", op_name(self));
    return autoreleased(string_new(name));
}
static object *outputs(ME) {
    UNUSED;
    nodes all = { NULL, 0, 0 };
    for (size_t i = 0; i < mil_operation_n_outputs(program_of(self), operation_of(self)); i++)
        push(&all, node_new("MLModelStructureProgramNamedValueType", node_of(self)->plan, mil_operation_output(program_of(self), operation_of(self), i)));
    return array_of(&all);
}
static object *value_name(ME) { UNUSED; return autoreleased(string_new(mil_value_name(program_of(self), (mil_value)node_of(self)->of))); }

/* ---- devices and costs ---- */

static const char *const device_classes[] = { "MLCPUComputeDevice", "MLGPUComputeDevice", "MLNeuralEngineComputeDevice", "MLUnknownComputeDevice" };

/* Those that a configuration's units allow: the CPU always. */
static bool allows(long units, int device) { return device == 0 || units == 2 || (device == 1 && units == 1) || (device == 2 && units == 3); }

static object *device_new(int device) { return autoreleased(object_new(device_classes[device], NULL, 0)); }
static object *devices_for(long units) {
    nodes all = { NULL, 0, 0 };
    for (int i = 0; i < 3; i++)
        if (allows(units, i) && (i != 2 || standin.has_ane)) push(&all, device_new(i));
    return array_of(&all);
}
static object *all_devices(ME) { UNUSED; return devices_for(2); }
EXPORT object *MLAllComputeDevices(void) { return enter("MLAllComputeDevices") ? devices_for(2) : NULL; }
static long core_count(ME) { UNUSED; return 16; }

static bool is_const(const object *self, object *operation, const char *by) {
    if (!ml_is(operation, "MLModelStructureProgramOperation", by)) return true;
    if (node_of(operation)->plan != self) return violation("%s: an operation of another plan", by), true;
    return !strcmp(op_name(operation), "const");
}
static object *usage(ME, object *operation) {
    UNUSED;
    if (is_const(self, operation, "computeDeviceUsageForMLProgramOperation")) return NULL;
    return node_new("MLComputePlanDeviceUsage", self, operation_of(operation));
}
static object *cost(ME, object *operation) {
    UNUSED;
    if (is_const(self, operation, "estimatedCostOfMLProgramOperation")) return NULL;
    return node_new("MLComputePlanCost", self, operation_of(operation));
}
static object *supported(ME) { UNUSED; return devices_for(plan_of(node_of(self)->plan)->units); }
static object *preferred(ME) {
    UNUSED;
    long units = plan_of(node_of(self)->plan)->units;
    if (standin.ml_unknown_device) return device_new(3);
    return device_new(allows(units, 2) && standin.has_ane ? 2 : allows(units, 1) ? 1 : 0);
}
/* The same part for each that is no const. */
static double weight(ME) {
    UNUSED;
    const mil_program *p = program_of(self);
    double n = 0;
    for (mil_operation o = mil_block_first(p, mil_operation_block(p, operation_of(self))); o; o = mil_operation_next(p, o))
        n += strcmp(mil_op_name(mil_operation_op(p, o)), "const") != 0;
    return 1 / n;
}

#define M(class, selector, signature, function) { class, selector, signature, (void *)function }
static const method rows[] = {
    M("MLComputePlan", "loadContentsOfURL:configuration:completionHandler:", "=Uoh", load_plan),
    M("MLComputePlan", "modelStructure", "", structure),
    M("MLComputePlan", "computeDeviceUsageForMLProgramOperation:", "o", usage),
    M("MLComputePlan", "estimatedCostOfMLProgramOperation:", "o", cost),
    M("MLModelStructure", "program", "", structure_program), M("MLModelStructure", "neuralNetwork", "", none),
    M("MLModelStructure", "pipeline", "", none), M("MLModelStructureProgram", "functions", "", functions),
    M("MLModelStructureProgramFunction", "block", "", body), M("MLModelStructureProgramBlock", "operations", "", operations),
    M("MLModelStructureProgramOperation", "operatorName", "", operator_name), M("MLModelStructureProgramOperation", "outputs", "", outputs),
    M("MLModelStructureProgramOperation", "blocks", "", blocks), M("MLModelStructureProgramNamedValueType", "name", "", value_name),
    M("MLComputePlanDeviceUsage", "supportedComputeDevices", "", supported),
    M("MLComputePlanDeviceUsage", "preferredComputeDevice", "", preferred), M("MLComputePlanCost", "weight", "", weight),
    M("MLModel", "availableComputeDevices", "=", all_devices), M("MLNeuralEngineComputeDevice", "totalCoreCount", "", core_count),
};

__attribute__((constructor(112))) static void begin(void) {
    static const char *const nodes_of[] = { "MLModelStructure", "MLModelStructureProgram", "MLModelStructureProgramFunction",
                                            "MLModelStructureProgramBlock", "MLModelStructureProgramOperation",
                                            "MLModelStructureProgramNamedValueType", "MLComputePlanDeviceUsage", "MLComputePlanCost" };
    for (size_t i = 0; i < sizeof nodes_of / sizeof *nodes_of; i++) class_make(nodes_of[i], free_node);
    for (size_t i = 0; i < 4; i++) class_make(device_classes[i], NULL);
    class_make("MLComputePlan", free_plan);
    methods_add(rows, sizeof rows / sizeof *rows);
}
