/* SPDX-License-Identifier: MIT */
/* Which kernel an operation runs on: one table, a row an op. What has no row, or whose selector declines, is evaluated
 * plainly. Views (operations that move no data) become aliases here. */
#include "engine/cpu/attention.h"
#include "engine/cpu/compressed.h"
#include "engine/cpu/norm.h"

/* ---- operations that move no data ---- */

static bool is_dynamic(const mil__slot *slot) { return slot->kind == MIL__SLOT_DYNAMIC; }

/* The first result is the first operand's memory under another shape. */
static mil_status select_view(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t in = mil__slot_of(lower, mil__op_arg(op, 0)->values[0]), out = mil__slot_of(lower, op->outputs[0]);
    if (is_dynamic(mil__slot_at(lower, in)) || is_dynamic(mil__slot_at(lower, out))) return MIL_OK;
    *done = true;
    lower->plan->slots[out].source = mil__source_of(lower, in);
    if (mil__slot_at(lower, in)->kind == MIL__SLOT_COMPRESSED) lower->plan->slots[out].kind = MIL__SLOT_COMPRESSED;
    else mil__slot_alias(lower, out, in, 0);
    return MIL_OK;
}

/* Is all of a vector known, so that nothing of it is left to be looked at by a run? */
static bool is_known(const mil__lower *lower, const mil__values *vector) {
    const mil__value *v = lower->program->values[vector->values[0]];
    int64_t number;
    if (v->data) return true;
    if (!v->sym || v->type->rank != 1 || v->type->shape[0] < 0) return false;
    for (int64_t i = 0; i < v->type->shape[0]; i++)
        if (!mil__dim_is_number(lower->program->types, v->sym[i], &number)) return false;
    return true;
}

/* A view too, where the sizes asked for are known; the plain evaluation checks those that a run computes. */
static mil_status select_reshape(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    return is_known(lower, mil__op_arg_named(op, "shape")) ? select_view(lower, group, done) : MIL_OK;
}

/* ---- the table ---- */

static const struct {
    const char *op;
    mil__select_fn *select;
    const char *compressed; /* the parameters (names that begin so) that its kernels expand themselves; others are expanded beforehand */
} rows[] = {
    {"identity", select_view, "x"},
    {"reshape", select_reshape, "x"},
    {"expand_dims", select_view, "x"},
    {"squeeze", select_view, "x"},
    {"flatten2d", select_view, "x"},
#include "engine/cpu/select.def"
};

static mil_status select_plain(mil__lower *lower, const mil__group *group) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    uint32_t n_in = 0;
    for (uint16_t a = 0; a < op->n_args; a++) n_in += op->args[a].n;
    uint32_t *in = mil__lower_alloc(lower, n_in * sizeof *in), *out = mil__lower_alloc(lower, op->n_outputs * sizeof *out);
    if (!in || !out) return mil__nomem(lower->err);
    uint32_t n = 0;
    bool dynamic = false;
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++) {
            in[n] = mil__slot_of(lower, op->args[a].values[i]);
            dynamic = dynamic || is_dynamic(mil__slot_at(lower, in[n]));
            n++;
        }
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        out[i] = mil__slot_of(lower, op->outputs[i]);
        dynamic = dynamic || is_dynamic(mil__slot_at(lower, out[i]));
    }
    if (!op->decl->eval)
        return mil__fail(lower->err, MIL_EUNSUPPORTED, "compile: the cpu engine does not run %s yet", op->decl->name);
    const void *params = NULL;
    if (!dynamic) MIL__TRY(mil__lower_params(lower, op, &params));
    mil__step step = {.run = dynamic ? mil__run_dynamic : mil__run_plain, .params = params, .in = in,
                      .n_in = n_in, .out = out, .n_out = op->n_outputs, .kernel = dynamic ? "plain, dynamic" : "plain",
                      .call = lower->plan->n_calls++};
    lower->plan->is_dynamic = lower->plan->is_dynamic || dynamic;
    return mil__lower_step(lower, group, &step);
}

/* Kernels take neither extents that only the run knows nor tensors without elements. (Strings are no operands of theirs, and
 * their slots have no elements.) */
static bool is_for_plain(const mil__lower *lower, mil_value value) {
    const mil__slot *slot = mil__slot_at(lower, lower->slot_of[value]);
    if (lower->program->values[value]->type->dtype == MIL_STRING) return false;
    if (is_dynamic(slot)) return true;
    if (slot->data && slot->data->dtype == MIL_STRING) return false; /* a mode; it has no slot's memory */
    for (int i = 0; i < slot->rank; i++)
        if (slot->shape[i] == 0) return true;
    return false;
}

static bool touches_plain(mil__lower *lower, const mil__group *group) {
    for (uint32_t k = 0; k < group->n_ops; k++) {
        const mil__op *op = lower->program->ops[group->ops[k]];
        for (uint16_t a = 0; a < op->n_args; a++)
            for (uint32_t i = 0; i < op->args[a].n; i++)
                if (is_for_plain(lower, op->args[a].values[i])) return true;
        for (uint32_t i = 0; i < op->n_outputs; i++)
            if (is_for_plain(lower, op->outputs[i])) return true;
    }
    return false;
}

mil_status mil__select_apart(mil__lower *lower, const mil__group *group) {
    MIL__TRY(mil__group_dense(lower, group, NULL));
    for (uint32_t k = 0; k < group->n_ops; k++) {
        mil__group one = {.kind = MIL__GROUP_ONE, .ops = &group->ops[k], .n_ops = 1};
        MIL__TRY(select_plain(lower, &one));
    }
    return MIL_OK;
}

mil_status mil__select(mil__lower *lower, const mil__group *group) {
    bool done = false;
    const char *name = lower->program->ops[group->ops[0]]->decl->name;
    if (!lower->model->options.optimize || touches_plain(lower, group)) return mil__select_apart(lower, group);
    size_t row = 0;
    while (row < MIL__COUNT(rows) && strcmp(rows[row].op, name) != 0) row++;
    bool by_row = row < MIL__COUNT(rows) && (group->kind == MIL__GROUP_ONE || group->kind == MIL__GROUP_ROOTED);
    MIL__TRY(mil__group_dense(lower, group, by_row ? rows[row].compressed : NULL));
    switch (group->kind) {
    case MIL__GROUP_CHAIN: MIL__TRY(mil__select_chain(lower, group, &done)); break;
    case MIL__GROUP_ATTENTION: MIL__TRY(mil__select_written_attention(lower, group, &done)); break;
    case MIL__GROUP_NORM: MIL__TRY(mil__select_written_norm(lower, group, &done)); break;
    default:
        if (by_row) MIL__TRY(rows[row].select(lower, group, &done));
    }
    return done ? MIL_OK : mil__select_apart(lower, group);
}
