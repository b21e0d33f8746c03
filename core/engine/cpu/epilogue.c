/* SPDX-License-Identifier: MIT */
/* Which operations an epilogue takes, and in which order. See epilogue.h. */
#include "engine/cpu/epilogue.h"

static const struct {
    const char *op;
    mil__act act;
    const char *p, *q;
} acts[] = {
    {"relu", MIL__ACT_RELU, NULL, NULL},       {"relu6", MIL__ACT_RELU6, NULL, NULL},
    {"leaky_relu", MIL__ACT_LEAKY_RELU, "alpha", NULL}, {"clip", MIL__ACT_CLIP, "alpha", "beta"},
    {"sigmoid", MIL__ACT_SIGMOID, NULL, NULL}, {"silu", MIL__ACT_SILU, NULL, NULL},
    {"tanh", MIL__ACT_TANH, NULL, NULL},
};

static const mil__value *value_at(const mil__lower *lower, mil_value value) { return lower->program->values[value]; }

static bool scalar(const mil__lower *lower, mil_value value, double *out) {
    const mil_tensor *data = value_at(lower, value)->data;
    if (!data || mil__numel(data) != 1) return false;
    *out = mil__load_f64(data, 0);
    return true;
}

static bool named_scalar(const mil__lower *lower, const mil__op *op, const char *name, double *out) {
    const mil__values *arg = name ? mil__op_arg_named(op, name) : NULL;
    return !name || (arg && scalar(lower, arg->values[0], out));
}

/* One number a channel: the vector's only axis above 1 is where the result's channels are. */
static bool is_bias(const mil__lower *lower, const mil__op *root, mil_value value, const mil_type *result) {
    const mil__value *v = value_at(lower, value);
    bool is_conv = strcmp(root->decl->name, "conv") == 0;
    int channel = is_conv ? 1 : result->rank - 1;
    if (!v->data || !mil__dtype_is_float(v->type->dtype) || v->type->rank > result->rank) return false;
    int lead = result->rank - v->type->rank;
    for (int i = lead; i < result->rank; i++) {
        mil_dim size = v->type->shape[i - lead];
        if (size != (i == channel ? result->shape[channel] : 1)) return false;
    }
    return channel >= lead;
}

static bool has_own_bias(const mil__op *root) { return mil__op_arg_named(root, "bias") != NULL; }

static bool read_act(const mil__lower *lower, const mil__op *op, mil__after *out) {
    if (out->has_act || out->add_last) return false;
    if (strcmp(op->decl->name, "gelu") == 0) {
        const mil__values *arg = mil__op_arg_named(op, "mode");
        const char *mode = arg ? mil_tensor_string(value_at(lower, arg->values[0])->data, 0, NULL) : "EXACT";
        bool exact = strcmp(mode, "EXACT") == 0;
        if (!exact && strcmp(mode, "TANH_APPROXIMATION") != 0) return false;
        out->act = exact ? MIL__ACT_GELU : MIL__ACT_GELU_TANH;
        return out->has_act = true;
    }
    for (size_t i = 0; i < MIL__COUNT(acts); i++) {
        if (strcmp(acts[i].op, op->decl->name) != 0) continue;
        out->act = acts[i].act;
        out->has_act = named_scalar(lower, op, acts[i].p, &out->p) && named_scalar(lower, op, acts[i].q, &out->q);
        return out->has_act;
    }
    return false;
}

static bool read_add(const mil__lower *lower, const mil__op *root, const mil_type *result, mil_value other,
                     mil__after *out) {
    bool first = !out->has_act && !out->add;
    if (first && !out->bias && !has_own_bias(root) && is_bias(lower, root, other, result)) {
        out->bias = other;
        return true;
    }
    if (out->add || value_at(lower, other)->type != result) return false;
    out->add = other;
    out->add_last = out->has_act;
    return true;
}

static bool read_one(const mil__lower *lower, const mil__op *root, const mil__op *op, mil_value running,
                     mil__after *out) {
    const char *name = op->decl->name;
    const mil_type *result = value_at(lower, root->outputs[0])->type;
    if (value_at(lower, op->outputs[0])->type != result) return false;
    const mil__values *x = mil__op_arg(op, 0), *y = mil__op_arg(op, 1);
    if (strcmp(name, "add") == 0) return read_add(lower, root, result, x->values[0] == running ? y->values[0] : x->values[0], out);
    bool untouched = !out->bias && !out->add && !out->has_act && out->alpha == 1 && !has_own_bias(root);
    double factor;
    if (strcmp(name, "mul") == 0 && untouched &&
        scalar(lower, x->values[0] == running ? y->values[0] : x->values[0], &factor)) {
        out->alpha = factor;
        return factor != 0; /* 0 stands for 1 there */
    }
    return x && x->n == 1 && x->values[0] == running && read_act(lower, op, out);
}

bool mil__after_read(const mil__lower *lower, const mil__group *group, const mil__op *next, mil__after *out) {
    const mil_program *program = lower->program;
    const mil__op *root = program->ops[group->ops[0]];
    mil_value running = root->outputs[0];
    *out = (mil__after){.alpha = 1};
    for (uint32_t k = 1; k <= group->n_ops; k++) {
        const mil__op *op = k < group->n_ops ? program->ops[group->ops[k]] : next;
        if (!op) break;
        if (!read_one(lower, root, op, running, out)) return false;
        running = op->outputs[0];
    }
    return true;
}

bool mil__epilogue_takes(const mil__lower *lower, const mil__group *group, const mil__op *op) {
    const mil__value *result = value_at(lower, group->result);
    mil__after after;
    mil_dtype dtype = result->type->dtype;
    if (dtype != MIL_FP32 && (dtype != MIL_FP16 || lower->strict)) return false; /* strict: every op rounds */
    return mil__after_read(lower, group, op, &after);
}

mil_status mil__after_fill(mil__lower *lower, const mil__after *after, mil__epilogue *out) {
    *out = (mil__epilogue){.alpha = (float)after->alpha, .add_last = after->add_last, .act = after->act,
                           .p = (float)after->p, .q = (float)after->q};
    if (after->bias) MIL__TRY(mil__lower_floats(lower, value_at(lower, after->bias)->data, &out->bias));
    if (after->add) {
        out->add_dtype = mil__storage_of(value_at(lower, after->add)->type->dtype);
        out->add = lower; /* something: the plan only asks whether; the run sets it */
    }
    return MIL_OK;
}

void mil__after_share(mil__lower *lower, uint32_t out, uint32_t add, const uint32_t *root_in, uint32_t n_root_in) {
    for (uint32_t i = 0; i < n_root_in; i++)
        if (mil__slot_at(lower, root_in[i])->root == mil__slot_at(lower, add)->root) return;
    mil__slot_take_over(lower, out, add);
}
