/* SPDX-License-Identifier: MIT */
/* Nested blocks: made before the operation that will hold them, seen by its inference, and, of a loop, settled.
 *
 * A loop's blocks are built on the types that its variables have at first. Where the body gives another size back, the
 * variable has a symbol there, and what is in the blocks is inferred again:
 *
 *     acc fp32[1, 4]   body: concat(acc, x) -> fp32[2, 4]       so acc is fp32[?1, 4], and the body gives fp32[?1 + 1, 4]
 *
 * Sizes only ever become symbols, so this ends. */
#include <stdio.h>

#include "program/program.h"

/* ---- how inference sees them ---- */

static const mil__block *block_at(const void *ctx, int block) {
    const mil__seen_blocks *seen = ctx;
    return seen->program->blocks[seen->blocks[block]];
}

static int n_inputs(const void *ctx, int block) { return (int)block_at(ctx, block)->n_inputs; }
static int n_results(const void *ctx, int block) { return (int)block_at(ctx, block)->n_outputs; }

static const mil_type *input_type(const void *ctx, int block, int i) {
    return ((const mil__seen_blocks *)ctx)->program->values[block_at(ctx, block)->inputs[i]]->type;
}

static const mil_type *result_type(const void *ctx, int block, int i) {
    return ((const mil__seen_blocks *)ctx)->program->values[block_at(ctx, block)->outputs[i]]->type;
}

void mil__call_begin(const mil_program *program, const mil_op *op, mil_block block, const mil_block *blocks, int n_blocks,
                     mil__seen_blocks *seen, mil__call *out, mil_error *err) {
    mil__call_clear(out, op);
    out->opset = program->functions[program->blocks[block]->function].opset;
    out->types = program->types;
    out->err = err;
    out->is_bound = program->is_bound;
    if (n_blocks == 0) return;
    *seen = (mil__seen_blocks){{seen, n_blocks, n_inputs, n_results, input_type, result_type}, program, blocks};
    out->nested = &seen->nested;
}

/* ---- inferring what is in a block again ---- */

static mil_status infer_block(mil_program *program, mil_block block, mil_error *err);
static mil_status settle(mil_program *program, const mil_block *blocks, mil_error *err);

static mil_status set_result(void *ctx, mil__call *call, const mil__op *op, uint32_t i, bool is_const, mil_tensor *data) {
    mil_program *program = ctx;
    mil__value *value = program->values[op->outputs[i]];
    int64_t n;
    mil__drop_data(value->data);
    value->type = call->out[i];
    value->data = data;
    value->is_const = is_const;
    value->sym = NULL;
    if (!call->out_sym[i] || !mil__shape_numel(value->type->rank, value->type->shape, &n)) return MIL_OK;
    value->sym = mil__arena_copy(&program->arena, call->out_sym[i], (size_t)n * sizeof *value->sym);
    return value->sym ? MIL_OK : mil__nomem(call->err);
}

static mil_status infer_call(mil_program *program, const mil__op *op, mil_error *err) {
    mil__call call;
    mil__seen_blocks seen;
    mil__call_begin(program, op->decl, op->block, op->blocks, op->n_blocks, &seen, &call, err);
    call.arena = &program->scratch;
    MIL__TRY(mil__call_of(program, op, &call));
    MIL__TRY(mil__call_infer(&call));
    return mil__call_results(&call, op, set_result, program);
}

mil_status mil__loop_widen(mil_program *program, const mil_block *blocks, uint32_t i, const mil_type *other, bool *changed, mil_error *err) {
    for (int b = 0; b < 2; b++) {
        mil__value *input = program->values[program->blocks[blocks[b]]->inputs[i]];
        const mil_type *wider = b == 0 || !*changed ? mil__type_wider(program->types, input->type, other, program->is_bound)
                                                    : program->values[program->blocks[blocks[0]]->inputs[i]]->type;
        if (!wider) return mil__nomem(err);
        *changed = *changed || wider != input->type;
        input->type = wider;
    }
    return MIL_OK;
}

static mil_status infer_nested(mil_program *program, const mil__op *op, mil_error *err) {
    bool changed = false, is_loop = op->decl->flags & MIL__LOOP;
    for (uint32_t i = 0; is_loop && i < op->args[0].n; i++)
        MIL__TRY(mil__loop_widen(program, op->blocks, i, program->values[op->args[0].values[i]]->type, &changed, err));
    for (int b = 0; b < op->n_blocks; b++) MIL__TRY(infer_block(program, op->blocks[b], err));
    return is_loop ? settle(program, op->blocks, err) : MIL_OK;
}

static mil_status infer_operation(mil_program *program, mil_operation operation, mil_error *err) {
    const mil__op *op = program->ops[operation];
    if (op->decl == mil__op_const()) return MIL_OK;
    if (op->n_blocks) MIL__TRY(infer_nested(program, op, err));
    mil__mark mark = mil__arena_mark(&program->scratch);
    mil_status status = infer_call(program, op, err);
    mil__arena_rewind(&program->scratch, mark);
    if (status != MIL_OK && err && !err->line && op->file) {
        snprintf(err->file, sizeof err->file, "%s", op->file);
        err->line = op->line;
    }
    return status;
}

static mil_status infer_block(mil_program *program, mil_block block, mil_error *err) {
    for (mil_operation at = program->blocks[block]->first; at; at = program->ops[at]->next)
        MIL__TRY(infer_operation(program, at, err));
    return MIL_OK;
}

static mil_status settle(mil_program *program, const mil_block *blocks, mil_error *err) {
    for (bool changed = true; changed;) {
        const mil__block *body = program->blocks[blocks[1]];
        changed = false;
        for (uint32_t i = 0; i < body->n_outputs && i < body->n_inputs; i++)
            MIL__TRY(mil__loop_widen(program, blocks, i, program->values[body->outputs[i]]->type, &changed, err));
        for (int b = 0; b < 2 && changed; b++) MIL__TRY(infer_block(program, blocks[b], err));
    }
    return MIL_OK;
}

mil_status mil__loop_settle(mil_program *program, const mil_block *blocks, int n_blocks, mil_error *err) {
    bool has_inputs = n_blocks == 2 && program->blocks[blocks[0]]->n_inputs == program->blocks[blocks[1]]->n_inputs;
    return has_inputs ? settle(program, blocks, err) : MIL_OK; /* else inference says what is wrong */
}

/* ---- making them ---- */

static mil_status open_block(const mil_program *program, mil_block block, const char *what, mil_error *err) {
    const mil__block *b = mil__block_at(program, block);
    if (b && b->is_open && b->outer && !b->parent) return MIL_OK;
    return mil__fail(err, MIL_ESTATE, "%s: not a nested block that is being built", what);
}

mil_status mil_program_block(mil_program *program, mil_block outer, mil_block *out, mil_error *err) {
    *out = 0;
    const mil__block *b = mil__block_at(program, outer);
    if (!b || !b->is_open) return mil__fail(err, MIL_ESTATE, "block: the block around it is closed, or not of this program");
    return mil__block_new(program, outer, out, err);
}

mil_status mil_program_block_input(mil_program *program, mil_block block, mil_value like, mil_value *out, mil_error *err) {
    *out = 0;
    const mil__value *first = mil__value_at(program, like);
    MIL__TRY(open_block(program, block, "block input", err));
    if (!first || !mil__value_visible(program, like, program->blocks[block]->outer))
        return mil__fail(err, MIL_ESTATE, "block input: the value is not visible around the block");
    char name[200];
    for (uint32_t n = 0;; n++) { /* the same in both blocks of a loop, for they begin alike */
        snprintf(name, sizeof name, "%.180s_x%u", first->name ? first->name : "var", n);
        if (!mil__value_named(program, block, name, strlen(name))) break;
    }
    return mil__block_input(program, block, name, first->type, out, err);
}

mil_status mil_program_block_output(mil_program *program, mil_block block, mil_value value, mil_error *err) {
    MIL__TRY(open_block(program, block, "block output", err));
    if (!mil__value_visible(program, value, block)) return mil__fail(err, MIL_ESTATE, "block output: the value is not visible in the block");
    if (!mil__value_precedes(program, value, block, 0))
        return mil__fail(err, MIL_ESTATE, "block output: the value is made only after the place of the operation");
    return mil__block_output(program, block, value, err);
}
