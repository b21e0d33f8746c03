/* SPDX-License-Identifier: MIT */
/* Fusion: operations into groups, each of which becomes one step.
 *
 *   x --> linear --> add(bias) --> gelu --+--> mul --> add --> y         ROOTED [linear add gelu]   CHAIN [mul add]
 *                                  x2 ----+
 *
 * A group is open at its result. An operation joins the group that made one of its operands when that operand has no other
 * use and is no output: then nobody ever looks at the value between them, and it needs no memory. A group's step stands
 * where its last operation stood; its other operands are older, so the order stays right.
 *
 *   ROOTED  matmul, linear, conv: then what its epilogue can do (bias, one activation, one residual)
 *   CHAIN   elementwise operations of one result shape; two chains that meet in an operation become one
 *   ATTENTION, NORM  forms that are written out (attention.c, norm.c): taken out of the groups that they had joined
 *   ONE     the rest
 */
#include "engine/cpu/attention.h"
#include "engine/cpu/norm.h"
#include "passes/pass.h"

enum { NO_GROUP = UINT32_MAX, CHAIN_OPS = 24, CHAIN_OPERANDS = 12 };

typedef struct fusing {
    mil__lower *lower;
    mil__arena *arena;
    mil_block block;
    mil__group *groups;
    uint32_t n;
    uint32_t *group_of;  /* by operation of the block */
    bool is_on;
} fusing;

static const mil__op *op_at(const fusing *f, mil_operation operation) { return f->lower->program->ops[operation]; }

static bool push(fusing *f, mil__group *group, mil_operation operation) {
    if (group->n_ops == group->cap_ops) {
        uint32_t cap = group->cap_ops ? group->cap_ops * 2 : 2;
        mil_operation *grown = mil__arena_alloc(f->arena, cap * sizeof *grown);
        if (!grown) return false;
        if (group->n_ops) memcpy(grown, group->ops, group->n_ops * sizeof *grown);
        group->ops = grown;
        group->cap_ops = cap;
    }
    group->ops[group->n_ops++] = operation;
    return true;
}

static bool is_static(const mil_type *type) {
    if (type->kind != MIL_TENSOR) return false;
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] < 0) return false;
    return true;
}

/* The group whose result `value` is, where an operation with a result of this type may join it; else NO_GROUP. */
static uint32_t open_group(const fusing *f, mil_value value, const mil_type *result) {
    const mil__value *v = f->lower->program->values[value];
    if (!v->op || v->block != f->block || v->n_uses != 1 || v->is_output || !is_static(v->type)) return NO_GROUP;
    if (v->type->rank != result->rank) return NO_GROUP;
    if (result->rank && memcmp(v->type->shape, result->shape, (size_t)result->rank * sizeof(mil_dim)) != 0) return NO_GROUP;
    uint32_t g = f->group_of[v->op];
    return g != NO_GROUP && f->groups[g].result == value ? g : NO_GROUP;
}

static uint32_t count_operands(const fusing *f, const mil__group *group) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < group->n_ops; k++) {
        const mil__op *op = op_at(f, group->ops[k]);
        for (uint16_t a = 0; a < op->n_args; a++) n += op->args[a].n;
    }
    return n - (group->n_ops - 1); /* each join used up one */
}

/* Joins `operation` to the open groups of its operands. False: it begins a group of its own. */
static mil_status join(fusing *f, mil_operation operation, bool is_elementwise, bool *joined) {
    const mil__op *op = op_at(f, operation);
    mil_value result = op->outputs[0];
    const mil_type *type = f->lower->program->values[result]->type;
    uint32_t into = NO_GROUP;
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++) {
            uint32_t g = open_group(f, op->args[a].values[i], type);
            if (g == NO_GROUP || g == into) continue;
            mil__group *group = &f->groups[g];
            if (into == NO_GROUP && group->kind == MIL__GROUP_ROOTED && mil__epilogue_takes(f->lower, group, op)) into = g;
            if (group->kind != MIL__GROUP_CHAIN || !is_elementwise) continue;
            if (into == NO_GROUP) {
                if (group->n_ops >= CHAIN_OPS || count_operands(f, group) >= CHAIN_OPERANDS) continue;
                into = g;
                continue;
            }
            mil__group *first = &f->groups[into];
            bool fits = first->kind == MIL__GROUP_CHAIN && first->n_ops + group->n_ops < CHAIN_OPS &&
                        count_operands(f, first) + count_operands(f, group) < CHAIN_OPERANDS;
            if (!fits) continue;
            for (uint32_t k = 0; k < group->n_ops; k++) { /* each group in its own order: neither needs the other */
                if (!push(f, first, group->ops[k])) return mil__nomem(f->lower->err);
                f->group_of[group->ops[k]] = into;
            }
            group->n_ops = 0;
        }
    *joined = into != NO_GROUP;
    if (!*joined) return MIL_OK;
    if (!push(f, &f->groups[into], operation)) return mil__nomem(f->lower->err);
    f->groups[into].result = result;
    f->group_of[operation] = into;
    return MIL_OK;
}

static bool is_rooted(const mil__op *op) {
    const char *name = op->decl->name;
    return strcmp(name, "linear") == 0 || strcmp(name, "matmul") == 0 || strcmp(name, "conv") == 0;
}

/* Does a group have no operations but these? */
static bool is_within(const mil__group *group, const mil_operation *ops, int n) {
    for (uint32_t k = 0; k < group->n_ops; k++) {
        bool found = false;
        for (int i = 0; i < n && !found; i++) found = group->ops[k] == ops[i];
        if (!found) return false;
    }
    return true;
}

/* A written-out form that ends in ops[n - 1], as one group: where no group of the others' has more than them. */
static mil_status join_form(fusing *f, int kind, const mil_operation *ops, int n, bool *joined) {
    for (int i = 0; i < n - 1; i++)
        if (op_at(f, ops[i])->block != f->block || !is_within(&f->groups[f->group_of[ops[i]]], ops, n)) return MIL_OK;
    mil__group *group = &f->groups[f->n];
    *group = (mil__group){.kind = kind, .result = op_at(f, ops[n - 1])->outputs[0]};
    for (int i = 0; i < n; i++) {
        if (i < n - 1) f->groups[f->group_of[ops[i]]].n_ops = 0;
        f->group_of[ops[i]] = f->n;
        if (!push(f, group, ops[i])) return mil__nomem(f->lower->err);
    }
    f->n++;
    *joined = true;
    return MIL_OK;
}

static mil_status join_forms(fusing *f, mil_operation operation, bool *joined) {
    mil__attention_ops attention;
    mil__norm_ops norm;
    *joined = false;
    if (mil__match_attention(f->lower, operation, &attention))
        return join_form(f, MIL__GROUP_ATTENTION, attention.ops, attention.n, joined);
    if (mil__match_norm(f->lower, operation, &norm)) return join_form(f, MIL__GROUP_NORM, norm.ops, norm.n, joined);
    return MIL_OK;
}

static mil_status visit(fusing *f, mil_operation operation) {
    const mil__op *op = op_at(f, operation);
    bool is_single = op->n_outputs == 1 && is_static(f->lower->program->values[op->outputs[0]]->type);
    bool is_elementwise = f->is_on && is_single && mil__chain_takes(f->lower, op), joined = false;
    if (f->is_on && is_single) MIL__TRY(join_forms(f, operation, &joined));
    if (f->is_on && is_single && !joined) MIL__TRY(join(f, operation, is_elementwise, &joined));
    if (joined) return MIL_OK;
    mil__group *group = &f->groups[f->n];
    *group = (mil__group){.kind = is_elementwise ? MIL__GROUP_CHAIN : f->is_on && is_single && is_rooted(op)
                                                       ? MIL__GROUP_ROOTED
                                                       : MIL__GROUP_ONE,
                          .result = op->n_outputs == 1 ? op->outputs[0] : 0};
    f->group_of[operation] = f->n++;
    return push(f, group, operation) ? MIL_OK : mil__nomem(f->lower->err);
}

/* Each group to the place of its last operation; emptied ones go. */
static void order_groups(const fusing *f, const mil__block *block, mil__group *out, uint32_t *n) {
    *n = 0;
    for (mil_operation at = block->first; at; at = op_at(f, at)->next) {
        const mil__group *group = f->group_of[at] == NO_GROUP ? NULL : &f->groups[f->group_of[at]];
        if (group && group->n_ops && group->ops[group->n_ops - 1] == at) out[(*n)++] = *group;
    }
}

mil_status mil__fuse(mil__lower *lower, mil_block block, mil__group **out, uint32_t *n, mil__arena *arena) {
    const mil_program *program = lower->program;
    const mil__block *body = program->blocks[block];
    fusing f = {.lower = lower, .arena = arena, .block = block, .group_of = lower->group_of,
                .is_on = lower->model->options.optimize && !mil__pass_disabled(lower->model->disable, "fuse")};
    uint32_t most = 0;
    for (mil_operation at = body->first; at; at = program->ops[at]->next) most += program->ops[at]->decl != mil__op_const();
    f.groups = mil__arena_zero(arena, most, sizeof *f.groups);
    mil__group *ordered = mil__arena_zero(arena, most, sizeof *ordered);
    if (!f.groups || !ordered) return mil__nomem(lower->err);
    for (mil_operation at = body->first; at; at = program->ops[at]->next)
        if (program->ops[at]->decl != mil__op_const()) MIL__TRY(visit(&f, at));
    order_groups(&f, body, ordered, n);
    *out = ordered;
    return MIL_OK;
}
