/* SPDX-License-Identifier: MIT */
/* Which device each operation would run on and what share of the whole it is thought to cost, as an MLComputePlan has it. A plan is
 * loaded in the background; whoever asks waits, for a while. */
#include <stdio.h>

#include "engine/coreml/coreml.h"

enum { PATIENCE = 60 /* seconds */ };

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

static void print_loaded(mil__id plan, const char *name, mil__str *out) {
    mil__id structure = mil__send(plan, MLComputePlan, structure), program = mil__send(structure, MLModelStructure, program);
    mil__id function = mil__read_key(mil__send(program, MLModelStructureProgram, functions), name);
    mil__id block = mil__send(function, MLModelStructureProgramFunction, block);
    mil__id operations = mil__send(block, MLModelStructureProgramBlock, operations);
    size_t n = mil__read_count(operations), number = 0;
    if (n == 0) mil__str_puts(out, "the compute plan has no operations\n");
    for (size_t i = 0; i < n; i++)
        if (!is_const(mil__read_at(operations, i))) print_operation(plan, mil__read_at(operations, i), ++number, out);
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

static void print_answer(const mil__coreml_model *model, const mil__coreml_question *question, mil__str *out) {
    mil_error err;
    mil__id plan = mil__coreml_question_result(question);
    if (plan) return print_loaded(plan, model->function ? model->function : "main", out);
    mil__fail_nserror(&err, MIL_EIO, mil__coreml_question_error(question), "no compute plan");
    mil__str_printf(out, "%s\n", err.message);
}

mil_status mil__coreml_print_plan(const mil__coreml_model *model, mil__str *out, mil_error *err) {
    mil__id url, configuration;
    mil__coreml_question *question;
    if (!can_plan()) return mil__str_puts(out, "no compute plan: Core ML has them from macOS 14.4 on\n"), MIL_OK;
    MIL__TRY(mil__coreml_question_new(&question, err));
    mil_status status = mil__coreml_source(model, &url, &configuration, err);
    if (status == MIL_OK) {
        mil__send_class(MLComputePlan, load, url, configuration, mil__coreml_question_ask(question));
        mil__apple.objc_release(configuration);
        if (!mil__coreml_question_wait(question, PATIENCE))
            return mil__str_printf(out, "no compute plan: Core ML did not make one in %d seconds\n", PATIENCE), MIL_OK;
        print_answer(model, question, out);
    }
    mil__coreml_question_free(question);
    return status;
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
