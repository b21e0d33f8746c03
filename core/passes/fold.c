/* SPDX-License-Identifier: MIT */
/* Constant folding: an operation whose operands are all known is evaluated and becomes consts. What the program computed
 * when it was made is taken over; larger results are computed here, up to FOLD_ELEMENTS. */
#include "passes/pass.h"

enum { FOLD_ELEMENTS = 1 << 24 };

static bool can_fold(const mil_program *program, const mil__op *op) {
    if (!op->decl->eval || op->decl->flags & (MIL__NO_FOLD | MIL__RANDOM | MIL__EFFECT) || op->n_blocks) return false;
    bool known = true; /* computed when the program was made; of a static shape without its operand */
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const mil__value *value = program->values[op->outputs[i]];
        int64_t n;
        if (!value->is_const || value->type->kind != MIL_TENSOR) return false;
        if (!mil__shape_numel(value->type->rank, value->type->shape, &n) || n > FOLD_ELEMENTS) return false;
        known = known && value->data;
    }
    if (known) return true;
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++)
            if (!program->values[op->args[a].values[i]]->data) return false;
    return true;
}

mil_status mil__pass_evaluate(mil_program *program, const mil__op *op, mil__arena *arena, mil_error *err) {
    mil__call call = {.op = op->decl, .opset = program->functions[0].opset, .types = program->types, .arena = arena,
                      .err = err};
    MIL__TRY(mil__call_of(program, op, &call));
    MIL__TRY(op->decl->infer(&call));
    mil_tensor **results = mil__arena_zero(arena, op->n_outputs, sizeof *results);
    if (!results) return mil__nomem(err);
    mil_status status = MIL_OK;
    for (uint32_t i = 0; i < op->n_outputs && status == MIL_OK; i++) {
        const mil_type *type = program->values[op->outputs[i]]->type;
        status = mil_tensor_new(type->dtype, type->rank, type->shape, &results[i], err);
    }
    call.result = results;
    if (status == MIL_OK) status = op->decl->eval(&call);
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        if (status == MIL_OK) program->values[op->outputs[i]]->data = results[i];
        else mil_tensor_free(results[i]);
    }
    return status;
}

static mil_status visit(mil__pass_state *state, mil_operation operation) {
    mil_program *program = state->program;
    const mil__op *op = program->ops[operation];
    if (!can_fold(program, op)) return MIL_OK;
    bool known = true;
    for (uint32_t i = 0; i < op->n_outputs; i++) known = known && program->values[op->outputs[i]]->data;
    if (!known) {
        mil__arena arena = {0};
        mil_status status = mil__pass_evaluate(program, op, &arena, NULL);
        mil__arena_free(&arena);
        if (status == MIL_ENOMEM) return mil__nomem(state->err);
        if (status != MIL_OK) return MIL_OK; /* the run will say why */
    }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        mil_value folded;
        MIL__TRY(mil__program_const(program, op->block, program->values[op->outputs[i]]->data, NULL, true,
                                    (mil_where){op->file, op->line}, operation, &folded, state->err));
        MIL__TRY(mil__pass_replace(state, op->outputs[i], folded));
    }
    return MIL_OK;
}

mil_status mil__pass_fold(mil_program *program, mil_error *err) { return mil__pass_walk(program, visit, NULL, err); }
