/* SPDX-License-Identifier: MIT */
/* Lowering a program for the Neural Engine: what is needed of it is made simple, then made anew by the rules. See ane.h. */
#include <stdio.h>

#include "check/check.h"
#include "passes/ane.h"

/* What mil_lowered is made of. */
typedef struct lowered {
    mil_lowered shown;        /* first: what the caller has */
    mil__arena arena;         /* of names */
    mil_lowered_state *states; /* behind the views */
    mil_lowered_view views[]; /* of inputs, then of outputs */
} lowered;

/* ---- rules ---- */

typedef struct rule {
    const char *op;
    mil__ane_rule *lower;
} rule;

static const rule rules[] = {
#define RULE(op, rule, becomes, source) {#op, mil__lower_##rule},
#include "passes/ane_rules.def"
#undef RULE
};

static const rule *rule_of(const mil__op *op) {
    for (size_t i = 0; i < MIL__COUNT(rules); i++)
        if (strcmp(rules[i].op, op->decl->name) == 0) return &rules[i];
    return NULL;
}

/* ---- making it simple ---- */

static bool is_static(const mil_type *type) {
    if (type->kind == MIL_STATE) type = type->items[0];
    if (type->kind != MIL_TENSOR) return true; /* refused where it is used */
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] < 0) return false;
    return true;
}

static mil_status check_sizes(const mil_program *program, mil_block function, mil_error *err) {
    const mil__block *body = program->blocks[function];
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        const mil__value *value = program->values[body->inputs[i]];
        if (!is_static(value->type))
            return mil__fail(err, MIL_ETYPE, "%s %s, %s, has a size that is not fixed (f:fix gives it one): the Neural Engine's programs have fixed ones",
                             value->type->kind == MIL_STATE ? "state" : "input", value->name, MIL__TYPE_TEXT(program->types, value->type));
        int64_t n;
        if (value->type->kind == MIL_TENSOR && mil__shape_numel(value->type->rank, value->type->shape, &n) && n == 0)
            return mil__fail(err, MIL_EUNSUPPORTED, "input %s, %s, has no elements: the Neural Engine takes no such tensors", value->name,
                             MIL__TYPE_TEXT(program->types, value->type));
    }
    return MIL_OK;
}

/* Sizes that are calculated with from here on (products of extents, whole rows) stay far below what 64 bits hold. */
static mil_status check_extents(const mil_program *program, mil_error *err) {
    const int64_t most = (int64_t)1 << 40;
    for (uint32_t i = 1; i < program->n_values; i++) {
        const mil__value *value = program->values[i];
        int64_t n = 1;
        for (int k = 0; value && value->type->kind == MIL_TENSOR && k < value->type->rank; k++) {
            int64_t extent = value->type->shape[k];
            if (extent <= most && (extent <= 0 || mil__mul_dim(n, extent, &n)) && n <= most) continue;
            return mil__fail(err, MIL_EUNSUPPORTED, "%s, %s, is larger than anything that can be lowered for the Neural Engine",
                             value->name ? value->name : "a const", MIL__TYPE_TEXT(program->types, value->type));
        }
    }
    return MIL_OK;
}

static mil_status simplify(const mil_program *program, mil_block function, const mil_lower_options *options, mil_program **out, mil_error *err) {
    bool is_e5rt = options->route && *options->route == 'e';
    MIL__TRY(mil__program_rebuild(program, function, NULL, out, NULL, err));
    mil_status status = mil__passes_run(*out, NULL, false, err);
    if (status == MIL_OK) status = check_extents(*out, err);
    if (status == MIL_OK) status = mil__ane_expand(*out, is_e5rt, options->dense_weights, err);
    if (status == MIL_OK) return MIL_OK;
    mil_program_free(*out);
    *out = NULL;
    return status;
}

/* ---- which inputs are best given as channels ---- */

static bool is_among(const char *name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* Does the operation take x as channels? */
static bool takes_channels(const mil_program *program, const mil__op *op) {
    if (strcmp(op->decl->name, "linear") == 0) return true;
    if (strcmp(op->decl->name, "matmul") != 0) return false;
    mil_value y = mil__ane_arg(op, "y");
    return (program->values[y]->data || mil__ane_is_kept(program, y)) && program->values[y]->type->rank == 2 && !program->values[mil__ane_arg(op, "x")]->data;
}

/* Is its result in the form of its first operand? */
static bool keeps_form(const mil__op *op) {
    static const char *const more[] = {"mul", "pow", "square", "gelu", "softplus", "cast", "identity", "layer_norm", "log", "rsqrt", "sin", "cos", "read_state"};
    const rule *r = rule_of(op);
    return (r && r->lower == mil__lower_elementwise) || is_among(op->decl->name, more, MIL__COUNT(more));
}

/* Backwards from linear layers, through what keeps forms. wants: by value, all false at first. */
static void find_wants(const mil_program *program, bool *wants) {
    const mil__block *body = program->blocks[program->functions[0].block];
    for (mil_operation at = body->last; at; at = program->ops[at]->prev) {
        const mil__op *op = program->ops[at];
        if (op->n_outputs != 1 || op->n_args == 0) continue;
        if (takes_channels(program, op)) wants[mil__ane_arg(op, "x")] = true;
        const mil_type *result = program->values[op->outputs[0]]->type;
        for (int a = 0; wants[op->outputs[0]] && keeps_form(op) && a < op->n_args; a++) {
            const mil_type *type = program->values[op->args[a].values[0]]->type;
            if (type == result || (type->kind == MIL_STATE && type->items[0] == result)) wants[op->args[a].values[0]] = true;
        }
    }
}

/* ---- names of ports ---- */

/* Do they ascend, and has text for the engine them as they are? */
static bool fit_ports(const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strchr(names[i], '@') || (i && strcmp(names[i - 1], names[i]) >= 0)) return false;
    return true;
}

/* Their own names where these ascend, since some say that ports are in the order of names; else with a number before. */
static mil_status order_names(const char **names, size_t n, char letter, mil__arena *arena, mil_error *err) {
    int width = snprintf(NULL, 0, "%zu", n);
    if (fit_ports(names, n)) return MIL_OK;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = strlen(names[i]) + 32;
        char *name = mil__arena_alloc(arena, bytes);
        if (!name) return mil__nomem(err);
        snprintf(name, bytes, "%c%0*zu_%s", letter, width, i, names[i]);
        for (char *at = name; *at; at++)
            if (*at == '@') *at = '_';
        names[i] = name;
    }
    return MIL_OK;
}

static bool is_named(const mil_program *program, const mil_value *values, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(program->values[values[i]]->name, name) == 0) return true;
    return false;
}

/* The output that a state goes out by: "cache_after", with more behind it where an input or output is called so. */
static mil_status name_after(const mil_program *program, const mil__block *body, mil_value state, mil__arena *arena, const char **out, mil_error *err) {
    const char *name = program->values[state]->name;
    size_t bytes = strlen(name) + 32;
    char *made = mil__arena_alloc(arena, bytes);
    if (!made) return mil__nomem(err);
    snprintf(made, bytes, "%s_after", name);
    for (unsigned i = 1; is_named(program, body->inputs, body->n_inputs, made) || is_named(program, body->outputs, body->n_outputs, made); i++)
        snprintf(made, bytes, "%s_after_%u", name, i);
    *out = made;
    return MIL_OK;
}

static mil_status input_names(const mil_program *program, const mil__block *body, mil__arena *arena, const char ***out, mil_error *err) {
    *out = mil__arena_zero(arena, (size_t)body->n_inputs + 1, sizeof **out);
    if (!*out) return mil__nomem(err);
    for (size_t i = 0; i < body->n_inputs; i++) (*out)[i] = program->values[body->inputs[i]]->name;
    return order_names(*out, body->n_inputs, 'i', arena, err);
}

/* Of the outputs, then of the states that are written. */
static mil_status output_names(const mil_program *program, const mil__block *body, const size_t *states, size_t n_states, mil__arena *arena,
                               const char ***out, mil_error *err) {
    *out = mil__arena_zero(arena, body->n_outputs + n_states + 1, sizeof **out);
    if (!*out) return mil__nomem(err);
    for (size_t i = 0; i < body->n_outputs; i++) (*out)[i] = program->values[body->outputs[i]]->name;
    for (size_t i = 0; i < n_states; i++) MIL__TRY(name_after(program, body, body->inputs[states[i]], arena, &(*out)[body->n_outputs + i], err));
    return order_names(*out, body->n_outputs + n_states, 'o', arena, err);
}

/* ---- states ---- */

/* The places among the inputs of those that are written. */
static mil_status find_states(const mil_program *program, const mil__block *body, mil__arena *arena, const size_t **out, size_t *n, mil_error *err) {
    bool *is_written = mil__arena_zero(arena, program->n_values, sizeof *is_written);
    size_t *states = mil__arena_zero(arena, (size_t)body->n_inputs + 1, sizeof *states);
    if (!is_written || !states) return mil__nomem(err);
    for (mil_operation at = body->first; at; at = program->ops[at]->next) {
        const mil__op *op = program->ops[at];
        if (!(op->decl->flags & MIL__EFFECT)) continue;
        for (uint16_t a = 0; a < op->n_args; a++) is_written[op->args[a].values[0]] = true;
    }
    for (size_t i = 0; i < body->n_inputs; i++)
        if (program->values[body->inputs[i]]->type->kind == MIL_STATE && is_written[body->inputs[i]]) states[(*n)++] = i;
    *out = states;
    return MIL_OK;
}

/* ---- making it anew ---- */

static bool is_known(const mil__lowering *l, const mil__op *op) {
    bool known = op->n_outputs > 0;
    for (uint32_t i = 0; i < op->n_outputs; i++) known = known && l->from->values[op->outputs[i]]->data;
    return known;
}

/* As it was, of operands of its own ranks. */
static void keep(mil__lowering *l, const mil__op *op) {
    if (op->n_blocks || op->n_outputs == 0 || (op->decl->flags & MIL__EFFECT)) {
        mil__ane_fail(l, MIL_EUNSUPPORTED, "%s can't be lowered: the Neural Engine has %s", op->decl->name,
                      op->n_blocks ? "no control flow" : "nothing but values");
        return;
    }
    mil_value *made = mil__arena_zero(&l->arena, op->n_outputs, sizeof *made);
    if (!made) mil__ane_fail(l, MIL_ENOMEM, "out of memory");
    if (made) mil__ane_same_all(l, op, MIL__OWN, made);
    for (uint32_t i = 0; l->status == MIL_OK && i < op->n_outputs; i++) mil__ane_give(l, op->outputs[i], MIL__OWN, made[i]);
}

/* Fails where a result has no elements: the engine has no place for it, and no rule counts on it. */
static bool refuse_empty(mil__lowering *l, const mil__op *op) {
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        const mil__value *value = l->from->values[op->outputs[i]];
        int64_t n;
        if (value->type->kind != MIL_TENSOR || !mil__shape_numel(value->type->rank, value->type->shape, &n) || n) continue;
        mil__ane_fail(l, MIL_EUNSUPPORTED, "%s can't be lowered: %s, %s, has no elements, and the Neural Engine takes no such tensors",
                      op->decl->name, value->name, MIL__TYPE_TEXT(l->from->types, value->type));
        return true;
    }
    return false;
}

static void lower_operation(mil__lowering *l, const mil__op *op) {
    const rule *r = rule_of(op);
    mil__mark mark = mil__arena_mark(&l->arena);
    l->op = op;
    bool is_done = is_known(l, op) || refuse_empty(l, op) || (r && r->lower(l, op));
    if (!is_done && l->status == MIL_OK) keep(l, op);
    l->op = NULL;
    mil__arena_rewind(&l->arena, mark);
}

static void lower_body(mil__lowering *l) {
    const mil__block *body = l->from->blocks[l->from->functions[0].block];
    for (mil_operation at = body->first; at && l->status == MIL_OK; at = l->from->ops[at]->next) {
        const mil__op *op = l->from->ops[at];
        if (op->decl == mil__op_const()) {
            if (!l->from->values[op->outputs[0]]->data) mil__ane_fail(l, MIL_EUNSUPPORTED, "a const that is no tensor can't be lowered");
            continue;
        }
        if (op->n_outputs == 0 || !mil__ane_is_kept(l->from, op->outputs[0])) lower_operation(l, op);
    }
}

static mil_status lower(mil__lowering *l, mil__ports *ports, lowered *made) {
    bool *wants = mil__calloc(l->from->n_values, sizeof *wants);
    l->values = mil__calloc(l->from->n_values, sizeof *l->values);
    if (!wants || !l->values) l->status = mil__nomem(l->err);
    if (l->status == MIL_OK) l->status = mil_program_new(MIL_IOS18, &l->to, l->err);
    if (l->status == MIL_OK) l->status = mil_program_function(l->to, "main", &l->block, l->err);
    if (l->status == MIL_OK) {
        find_wants(l->from, wants);
        ports->wants_channels = wants;
        mil__ane_inputs(l, ports, made->views);
        lower_body(l);
        mil__ane_outputs(l, ports, made->views + made->shown.n_inputs);
        mil__ane_states(l, ports, made->states);
    }
    if (l->status == MIL_OK) l->status = mil_program_prune(l->to, l->err);
    mil__free(wants);
    mil__free(l->values);
    return l->status;
}

/* ---- options ---- */

static mil_status check_options(const mil_lower_options *options, mil_error *err) {
    const char *engine = options->engine, *route = options->route, *chip = options->chip;
    if (engine && strcmp(engine, "ane") != 0) return mil__fail(err, MIL_EINVAL, "lower: engine is \"ane\", not \"%.40s\"", engine);
    if (route && strcmp(route, "direct") != 0 && strcmp(route, "e5rt") != 0)
        return mil__fail(err, MIL_EINVAL, "lower: route is \"direct\" or \"e5rt\", not \"%.40s\"", route);
    return !chip || mil__chip_number(chip) ? MIL_OK : mil__fail(err, MIL_EINVAL, "lower: chip is M1, M2 and so on, not \"%.40s\"", chip);
}

static mil_status find_entry(const mil_program *program, const char *name, mil_block *out, mil_error *err) {
    *out = name ? mil_program_function_find(program, name) : mil_program_entry(program);
    if (*out) return MIL_OK;
    return mil__fail(err, MIL_ENAME, name ? "lower: there is no function \"%.80s\"" : "lower: the program has no function to begin with", name);
}

static mil_status lower_function(const mil_program *program, mil_block function, const mil_lower_options *options, mil__arena *arena,
                                 lowered *made, mil_error *err) {
    const mil__block *body = program->blocks[function];
    mil_program *from;
    mil__ports ports = {.is_e5rt = options->route && *options->route == 'e', .is_fp32 = options->fp32_ports, .is_packed = options->pack,
                        .has_conv = options->conv};
    MIL__TRY(find_states(program, body, arena, &ports.states, &ports.n_states, err));
    MIL__TRY(input_names(program, body, arena, &ports.input_names, err));
    MIL__TRY(output_names(program, body, ports.states, ports.n_states, arena, &ports.output_names, err));
    if (ports.is_packed && body->n_inputs > 1) ports.input_names[0] = "packed";
    MIL__TRY(simplify(program, function, options, &from, err));
    mil__lowering l = {.from = from, .is_e5rt = ports.is_e5rt, .opset = from->functions[0].opset, .err = err};
    l.chip = options->chip ? mil__chip_number(options->chip) : 0;
    l.is_old = l.chip == 1 || l.chip == 2;
    mil_status status = lower(&l, &ports, made);
    mil__arena_free(&l.arena);
    mil_program_free(from);
    made->shown.n_states = ports.n_states;
    if (status == MIL_OK) made->shown.program = l.to;
    else mil_program_free(l.to);
    return status;
}

/* What the views say of the program's inputs and outputs. */
static mil_status describe(const mil_program *program, const mil_value *values, size_t n, mil_lowered_view *views, mil__arena *arena,
                           mil_error *err) {
    for (size_t i = 0; i < n; i++) {
        const mil__value *value = program->values[values[i]];
        views[i].name = mil__arena_text(arena, value->name, strlen(value->name));
        views[i].dtype = mil_type_dtype(value->type);
        views[i].is_state = value->type->kind == MIL_STATE;
        if (!views[i].name) return mil__nomem(err);
    }
    return MIL_OK;
}

mil_status mil_program_lower(const mil_program *program, const mil_lower_options *options, mil_lowered **out, mil_error *err) {
    mil_lower_options none = {0};
    mil_block function;
    mil__arena arena = {0};
    *out = NULL;
    if (!options) options = &none;
    MIL__TRY(check_options(options, err));
    MIL__TRY(find_entry(program, options->entry, &function, err));
    MIL__TRY(check_sizes(program, function, err));
    const mil__block *body = program->blocks[function];
    size_t n = (size_t)body->n_inputs + body->n_outputs;
    lowered *made = mil__calloc(1, sizeof *made + (n + 1) * sizeof *made->views + body->n_inputs * sizeof *made->states);
    if (!made) return mil__nomem(err);
    made->states = (mil_lowered_state *)(made->views + n + 1);
    made->shown = (mil_lowered){.inputs = made->views, .outputs = made->views + body->n_inputs, .n_inputs = body->n_inputs,
                                .n_outputs = body->n_outputs, .states = made->states};
    mil_status status = lower_function(program, function, options, &arena, made, err);
    if (status == MIL_OK) status = describe(program, body->inputs, body->n_inputs, made->views, &made->arena, err);
    if (status == MIL_OK) status = describe(program, body->outputs, body->n_outputs, made->views + body->n_inputs, &made->arena, err);
    for (size_t i = 0; i < made->shown.n_states && status == MIL_OK; i++) {
        const mil_lowered_view *before = &made->views[made->states[i].input];
        made->states[i].after.name = before->name;
        made->states[i].after.dtype = before->dtype;
        made->states[i].after.is_state = true;
    }
    mil__arena_free(&arena);
    if (status == MIL_OK) *out = &made->shown;
    else mil_lowered_free(&made->shown);
    return status;
}

void mil_lowered_free(mil_lowered *shown) {
    if (!shown) return;
    lowered *made = (lowered *)shown;
    mil_program_free(shown->program);
    mil__arena_free(&made->arena);
    mil__free(made);
}
