/* SPDX-License-Identifier: MIT */
/* batch_norm behind a convolution whose weight is known becomes part of it:
 *
 *     batch_norm(conv(x, w) + b) = conv(x, w * s) + (b - mean) * s + beta,    s = gamma / sqrt(variance + epsilon)
 *
 * with s along the weight's output channels. The new weight is rounded once to its dtype, so results differ in the last
 * places: the pass is left out where precision is strict. A channel whose new weights or bias the dtype can't hold (fp16 ends
 * at 65504, and loses places below 2^-14) leaves both operations as they are. */
#include <float.h>
#include <math.h>

#include "passes/pass.h"

static const mil_tensor *known(const mil_program *program, const mil__op *op, const char *name) {
    const mil__values *arg = mil__op_arg_named(op, name);
    return arg && arg->n == 1 ? program->values[arg->values[0]]->data : NULL;
}

/* Element i of a known vector (or scalar); `none` where the parameter is absent. */
static double element(const mil_tensor *data, int64_t i, double none) {
    return data ? mil__load_f64(data, data->rank ? i * data->strides[0] : 0) : none;
}

static bool is_float(const mil_tensor *data) { return data && (data->dtype == MIL_FP32 || data->dtype == MIL_FP16); }

/* The convolution that makes x, where nobody else looks at its result and all that must be known is. */
static const mil__op *conv_before(const mil_program *program, const mil__op *norm) {
    const mil__value *x = program->values[mil__op_arg_named(norm, "x")->values[0]];
    const mil__op *conv = x->op ? program->ops[x->op] : NULL;
    if (!conv || x->n_uses != 1 || x->is_output || strcmp(conv->decl->name, "conv") != 0) return NULL;
    bool has_bias = mil__op_arg_named(conv, "bias") != NULL;
    if (!is_float(known(program, conv, "weight")) || (has_bias && !known(program, conv, "bias"))) return NULL;
    if (!is_float(known(program, norm, "mean")) || !known(program, norm, "variance")) return NULL;
    bool has_gamma = mil__op_arg_named(norm, "gamma") != NULL, has_beta = mil__op_arg_named(norm, "beta") != NULL;
    return (!has_gamma || known(program, norm, "gamma")) && (!has_beta || known(program, norm, "beta")) ? conv : NULL;
}

static double epsilon_of(const mil_program *program, const mil__op *norm) {
    const mil__param *row = NULL;
    const mil_tensor *data = known(program, norm, "epsilon");
    mil__op_slot(norm->decl, program->functions[0].opset, "epsilon", &row);
    return element(data, 0, row ? row->number : 0);
}

/* May the largest magnitude of a channel's weights stand in this dtype, with the places that it has? */
static bool holds_channel(mil_dtype dtype, double largest, double bias) {
    double high = dtype == MIL_FP16 ? 65504 : FLT_MAX, low = dtype == MIL_FP16 ? 0x1p-13 : 0x1p-120;
    return (largest == 0 || (largest >= low && largest <= high)) && fabs(bias) <= high;
}

/* The weight times s, and the bias to go with it; *fits false where they can't be held. */
static mil_status scaled(const mil_program *program, const mil__op *conv, const mil__op *norm, mil_tensor **weight,
                         mil_tensor **bias, bool *fits, mil_error *err) {
    const mil_tensor *w = known(program, conv, "weight"), *b = known(program, conv, "bias");
    const mil_tensor *mean = known(program, norm, "mean"), *variance = known(program, norm, "variance");
    const mil_tensor *gamma = known(program, norm, "gamma"), *beta = known(program, norm, "beta");
    int64_t channels = w->shape[0];
    double epsilon = epsilon_of(program, norm);
    MIL__TRY(mil_tensor_convert(w, w->dtype, weight, err)); /* a dense copy */
    MIL__TRY(mil_tensor_new(w->dtype, 1, &channels, bias, err));
    int64_t each = channels ? mil__numel(w) / channels : 0;
    *fits = true;
    for (int64_t c = 0; c < channels && *fits; c++) {
        double s = element(gamma, c, 1) / sqrt(element(variance, c, 1) + epsilon), largest = 0;
        double shift = (element(b, c, 0) - element(mean, c, 0)) * s + element(beta, c, 0);
        for (int64_t i = c * each; i < (c + 1) * each; i++) {
            double value = mil__load_f64(*weight, i) * s;
            largest = fabs(value) <= largest ? largest : fabs(value); /* NaN stays */
            mil__store_f64(*weight, i, value);
        }
        mil__store_f64(*bias, c, shift);
        *fits = holds_channel(w->dtype, largest, shift);
    }
    return MIL_OK;
}

static mil_status add_const(mil__pass_state *state, const mil__op *norm, mil_operation before, mil_tensor *data, mil_value *out) {
    return mil__program_const(state->program, norm->block, data, NULL, true, (mil_where){norm->file, norm->line}, before, out,
                              state->err);
}

/* The convolution again, before the batch_norm, with the new weight and bias. */
static mil_status replace(mil__pass_state *state, mil_operation at, const mil__op *conv, mil_tensor *weight, mil_tensor *bias) {
    mil_program *program = state->program;
    const mil__op *norm = program->ops[at];
    mil_value w, b;
    mil__values args[MIL__MAX_INPUTS + 1];
    int n = 0, w_slot = mil__op_slot(conv->decl, program->functions[0].opset, "weight", NULL);
    int b_slot = mil__op_slot(conv->decl, program->functions[0].opset, "bias", NULL);
    MIL__TRY(add_const(state, norm, at, weight, &w));
    MIL__TRY(add_const(state, norm, at, bias, &b));
    for (uint16_t i = 0; i < conv->n_args; i++)
        if (conv->args[i].slot != w_slot && conv->args[i].slot != b_slot) args[n++] = conv->args[i];
    args[n++] = (mil__values){.slot = (uint16_t)w_slot, .n = 1, .values = &w};
    args[n++] = (mil__values){.slot = (uint16_t)b_slot, .n = 1, .values = &b};
    mil__new_op new_op = {.decl = conv->decl, .args = args, .n_args = n, .where = {conv->file, conv->line}, .before = at};
    mil_operation made;
    MIL__TRY(mil__program_add(program, norm->block, &new_op, &made, state->err));
    return mil__pass_replace(state, norm->outputs[0], program->ops[made]->outputs[0]);
}

static mil_status visit(mil__pass_state *state, mil_operation operation) {
    const mil__op *norm = state->program->ops[operation];
    if (strcmp(norm->decl->name, "batch_norm") != 0) return MIL_OK;
    const mil__op *conv = conv_before(state->program, norm);
    if (!conv) return MIL_OK;
    mil_tensor *weight = NULL, *bias = NULL;
    bool fits = false;
    mil_status status = scaled(state->program, conv, norm, &weight, &bias, &fits, state->err);
    if (status == MIL_OK && fits) status = replace(state, operation, conv, weight, bias);
    mil_tensor_free(weight);
    mil_tensor_free(bias);
    return status;
}

mil_status mil__pass_batch_norm(mil_program *program, mil_error *err) { return mil__pass_walk(program, visit, NULL, err); }
