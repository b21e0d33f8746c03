/* SPDX-License-Identifier: MIT */
/* What must hold of a whole program, however it was made: scopes, uses, opsets, and that every operation infers the
 * types that its results have. */
#include "program/program.h"

static mil_status verify_fail(const mil_program *program, const mil__op *op, mil_status status, mil_error *err,
                              const char *message, const char *detail) {
    mil__fail(err, status, "%s: %s%s", op->decl->name, message, detail);
    if (err && op->file) {
        size_t n = strlen(op->file);
        if (n >= sizeof err->file) n = sizeof err->file - 1;
        memcpy(err->file, op->file, n);
        err->file[n] = 0;
        err->line = op->line;
    }
    (void)program;
    return status;
}

/* Every argument is visible and defined before: `order` has the position of each operation, in program order. */
static mil_status verify_scopes(const mil_program *program, mil_operation operation, const uint32_t *order,
                                mil_error *err) {
    const mil__op *op = program->ops[operation];
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++) {
            mil_value value = op->args[a].values[i];
            const mil__value *v = mil__value_at(program, value);
            if (!v) return verify_fail(program, op, MIL_ESTATE, err, "an argument is no longer there", "");
            const char *name = v->name ? v->name : "a literal";
            if (!mil__value_visible(program, value, op->block))
                return verify_fail(program, op, MIL_ESTATE, err, "an argument belongs to another scope: ", name);
            if (v->op && order[v->op] >= order[operation])
                return verify_fail(program, op, MIL_ESTATE, err, "an argument is defined only later: ", name);
        }
    return MIL_OK;
}

static mil_status verify_types(const mil_program *program, const mil__op *op, mil_error *err) {
    mil__arena arena = {0};
    mil__call call;
    mil__seen_blocks seen;
    mil__call_begin(program, op->decl, op->block, op->blocks, op->n_blocks, &seen, &call, err);
    call.arena = &arena;
    mil_status status = mil__call_of(program, op, &call);
    if (status == MIL_OK) status = mil__call_check(&call);
    if (status == MIL_OK) status = op->decl->infer(&call);
    if (status == MIL_OK && call.n_out != (int)op->n_outputs)
        status = verify_fail(program, op, MIL_ETYPE, err, "the number of results is wrong", "");
    for (uint32_t i = 0; i < op->n_outputs && status == MIL_OK; i++) {
        const mil__value *value = program->values[op->outputs[i]];
        if (!mil__type_fits(value->type, call.out[i]))
            status = verify_fail(program, op, MIL_ETYPE, err, "a result has another type than it infers: ",
                                 value->name ? value->name : "");
    }
    mil__arena_free(&arena);
    return status;
}

static mil_status verify_block(const mil_program *program, const mil__block *block, uint32_t *order, uint32_t *next,
                               mil_error *err) {
    for (mil_operation at = block->first; at; at = program->ops[at]->next) {
        const mil__op *op = program->ops[at];
        order[at] = ++*next;
        MIL__TRY(verify_scopes(program, at, order, err));
        for (uint16_t b = 0; b < op->n_blocks; b++)
            MIL__TRY(verify_block(program, program->blocks[op->blocks[b]], order, next, err));
        if (op->decl != mil__op_const()) MIL__TRY(verify_types(program, op, err));
        order[at] = ++*next; /* its nested blocks may not use its results */
    }
    return MIL_OK;
}

static mil_status verify_function(const mil_program *program, const mil__function *function, uint32_t *order,
                                  mil_error *err) {
    const mil__block *body = program->blocks[function->block];
    if (body->n_outputs == 0)
        return mil__fail(err, MIL_ESTATE, "function %s has no output", function->name);
    for (uint32_t i = 0; i < body->n_outputs; i++) {
        const mil__value *value = program->values[body->outputs[i]];
        if (value->type->kind == MIL_STATE)
            return mil__fail(err, MIL_ETYPE, "function %s: output %s: a state can't be an output", function->name,
                             value->name ? value->name : "a literal");
    }
    uint32_t next = 0;
    return verify_block(program, body, order, &next, err);
}

mil_status mil_program_verify(const mil_program *program, mil_error *err) {
    if (program->n_functions == 0) return mil__fail(err, MIL_ESTATE, "the program has no function");
    uint32_t *order = mil__calloc(program->n_ops, sizeof *order);
    if (!order) return mil__nomem(err);
    mil_status status = MIL_OK;
    for (uint32_t i = 0; i < program->n_functions && status == MIL_OK; i++)
        status = verify_function(program, &program->functions[i], order, err);
    mil__free(order);
    return status;
}
