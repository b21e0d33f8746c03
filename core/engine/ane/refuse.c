/* SPDX-License-Identifier: MIT */
/* Which operations the engine is known to refuse, before anything is compiled: those that its ports and its lowering have no place
 * for, and those that the checker's rows (core/check) speak against, but where the lowering writes something else. */
#include "check/check.h"
#include "engine/ane/ane.h"

static bool is_held(const mil_type *type) {
    if (type->kind == MIL_STATE) type = type->items[0];
    bool is_held = type->kind == MIL_TENSOR && type->rank >= 0 &&
                   (type->dtype == MIL_FP16 || type->dtype == MIL_FP32 || type->dtype == MIL_BOOL || type->dtype == MIL_INT8 || type->dtype == MIL_UINT8);
    for (int i = 0; is_held && i < type->rank; i++) is_held = type->shape[i] > 0;
    return is_held;
}

/* Of what a run gives or takes; 0: none. */
static mil_value find_not_held(const mil_program *program, const mil__op *op) {
    uint32_t n;
    const mil_value *values = mil__op_values(op, &n);
    for (uint32_t i = 0; i < n + op->n_outputs; i++) {
        mil_value value = i < n ? values[i] : op->outputs[i - n];
        if (!program->values[value]->is_const && !is_held(program->values[value]->type)) return value;
    }
    return 0;
}

static bool is_known(const mil_program *program, const mil__op *op) {
    bool is_known = op->n_outputs > 0;
    for (uint32_t i = 0; i < op->n_outputs; i++) is_known = is_known && program->values[op->outputs[i]]->is_const;
    return is_known;
}

static bool writes_const(const mil_program *program, const mil__op *op) {
    const mil__values *data = mil__op_arg_named(op, op->n_outputs ? "value" : "data");
    return op->decl->flags & MIL__EFFECT && data && program->values[data->values[0]]->is_const;
}

/* What the lowering can't do without where it has one of these ops. */
static const struct {
    size_t finding;
    const char *ops, *what;
} needs[] = {
    {offsetof(mil__ane_findings, concat), "concat stack tile", "a concat"},
    {offsetof(mil__ane_findings, sums), "reduce_sum reduce_mean reduce_sum_square reduce_l1_norm reduce_l2_norm reduce_log_sum reduce_log_sum_exp "
                                        "layer_norm instance_norm l2_norm", "a sum along channels"},
    {offsetof(mil__ane_findings, powers), "pow layer_norm instance_norm l2_norm", "a power"},
};

/* NULL: nothing that was found speaks against the op. */
static const char *found_missing(const mil__ane_findings *findings, const char *op) {
    for (size_t i = 0; i < MIL__COUNT(needs); i++) {
        mil__ane_answer answer = *(const mil__ane_answer *)((const char *)findings + needs[i].finding);
        if ((answer == MIL__ANE_REFUSED || answer == MIL__ANE_WRONG) && mil__names_have(needs[i].ops, op)) return needs[i].what;
    }
    return NULL;
}

static bool is_refused(const mil_program *program, mil_operation at, const mil__check_target *target, const mil__ane_findings *findings, mil_error *why) {
    const mil__op *op = program->ops[at];
    const char *missing = found_missing(findings, op->decl->name);
    if (!mil__check_takes(program, at, target, why)) return true;
    mil_value value = find_not_held(program, op);
    const mil__value *v = program->values[value ? value : 0];
    if (op->n_blocks) mil__fail(why, MIL_EUNSUPPORTED, "ane: %s: the engine has no control flow", op->decl->name);
    else if (writes_const(program, op)) mil__fail(why, MIL_EUNSUPPORTED, "ane: %s: what is written is known before a run", op->decl->name);
    else if (is_known(program, op)) mil__fail(why, MIL_EUNSUPPORTED, "ane: %s: its result is known before a run", op->decl->name);
    else if (missing) mil__fail(why, MIL_EUNSUPPORTED, "ane: %s: this machine has not computed %s in the self-test", op->decl->name, missing);
    else if (value) mil__fail(why, MIL_EUNSUPPORTED, "ane: %s: the engine has floats of fixed sizes, and %s is %s", op->decl->name,
                              v->name ? v->name : "an argument", MIL__TYPE_TEXT(program->types, v->type));
    else return false;
    return true;
}

mil_status mil__ane_refusals(const mil_program *program, mil_block function, const char *route, const char *chip, const mil__ane_findings *findings,
                             const char **why, mil__arena *arena, mil_error *err) {
    const mil_check_options options = {.route = route, .chip = chip};
    mil__check_target target;
    mil_error reason;
    MIL__TRY(mil__check_target_of(&options, &target, err));
    target.is_lowered = true;
    for (mil_operation at = program->blocks[function]->first; at; at = program->ops[at]->next) {
        if (program->ops[at]->decl == mil__op_const() || !is_refused(program, at, &target, findings, &reason)) continue;
        why[at] = mil__arena_text(arena, reason.message, strlen(reason.message));
        if (!why[at]) return mil__nomem(err);
    }
    return MIL_OK;
}

bool mil__ane_is_elementwise(const mil_program *program) {
    for (mil_operation at = program->blocks[program->functions[0].block]->first; at; at = program->ops[at]->next)
        if (program->ops[at]->decl != mil__op_const() && !mil__is_elementwise(program->ops[at])) return false;
    return true;
}
