/* SPDX-License-Identifier: MIT */
/* Inference that need not be done again. Most operations of a program are like one before: the same op on operands of the
 * same types. See recall.h.
 *
 * The law: what check and infer make of a call is decided by the op, the opset and, for each operand, its parameter, its type,
 * whether it is const, and its elements where they are known (for which one tensor in the arena stands: nobody writes to
 * it, and another at its place would have rewound the arena, which forgets everything here). Names only go into errors, and a call
 * that failed is not kept. Nor is one whose result has a symbol: that may be another each time. */
#include "ops/rules.h"
#include "program/recall.h"

static size_t place_of(const mil_op *decl, const mil__value *first) {
    return (((uintptr_t)decl >> 4) + ((uintptr_t)first->type >> 4) * 5u) * 0x9e3779b97f4a7c15u >> 60;
}

_Static_assert(MIL__RECALLED == 16, "place_of gives four bits");

const mil_type *mil__recall(const mil_program *program, mil_opset opset, const mil__plain_op *plain) {
    int n = plain->n_args;
    if (n == 0 || n > MIL__RECALLED_ARGS) return NULL;
    const mil__recalled *r = &program->recalled[place_of(plain->decl, program->values[plain->values[0]])];
    if (r->op != plain->decl || r->opset != opset || r->n_args != n) return NULL;
    for (int i = 0; i < n; i++) {
        const mil__value *value = program->values[plain->values[i]];
        bool same = r->args[i].type == value->type && r->args[i].data == value->data && r->args[i].slot == plain->slots[i] &&
                    r->args[i].is_const == value->is_const;
        if (!same || value->sym) return NULL;
    }
    return r->result;
}

static bool has_one_fixed_result(const mil__call *call) {
    return call->n_out == 1 && !call->out_sym[0] && call->out[0]->kind == MIL_TENSOR && mil__is_static(call->out[0]);
}

void mil__recall_later(mil_program *program, const mil__new_op *new_op, const mil__call *call) {
    if (new_op->n_args == 0 || new_op->n_args > MIL__RECALLED_ARGS || call->nested || !has_one_fixed_result(call)) return;
    mil__recalled made = {.op = new_op->decl, .opset = call->opset, .n_args = new_op->n_args, .result = call->out[0]};
    bool all_const = true;
    for (int i = 0; i < new_op->n_args; i++) {
        const mil__values *arg = &new_op->args[i];
        if (arg->n != 1 || arg->tuple) return;
        const mil__value *value = program->values[arg->values[0]];
        if (value->sym || (value->data && value->data->buffer)) return;
        made.args[i] = (mil__recalled_arg){value->type, value->data, arg->slot, value->is_const};
        all_const = all_const && value->is_const;
    }
    if (!all_const) /* else it is computed, too */
        program->recalled[place_of(new_op->decl, program->values[new_op->args[0].values[0]])] = made;
}

void mil__recall_forget(mil_program *program) {
    memset(program->recalled, 0, sizeof program->recalled);
    memset(program->literals, 0, sizeof program->literals);
}
