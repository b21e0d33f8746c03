/* SPDX-License-Identifier: MIT */
/* Dead code: operations without a used result and without an effect go. Backwards, so that what only they used goes too. */
#include "passes/pass.h"

static bool is_dead(const mil_program *program, const mil__op *op) {
    if (op->decl->flags & MIL__EFFECT) return false;
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (program->values[op->outputs[i]]->n_uses) return false;
    return true;
}

static void sweep(mil_program *program, const mil__block *block) {
    mil_operation before;
    for (mil_operation at = block->last; at; at = before) {
        const mil__op *op = program->ops[at];
        before = op->prev;
        if (op->n_blocks == 0 && is_dead(program, op)) {
            mil__program_remove(program, at);
            continue;
        }
        for (uint16_t b = 0; b < op->n_blocks; b++) sweep(program, program->blocks[op->blocks[b]]);
    }
}

mil_status mil__pass_dce(mil_program *program, mil_error *err) {
    (void)err;
    for (uint32_t i = 0; i < program->n_functions; i++) sweep(program, program->blocks[program->functions[i].block]);
    return MIL_OK;
}
