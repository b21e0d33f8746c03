/* SPDX-License-Identifier: MIT */
/* The list of passes, and the walk that they share. See pass.h. */
#include <stdio.h>

#include "passes/pass.h"

static mil_value resolve(const mil__pass_state *state, mil_value value) {
    while (value < state->n_instead && state->instead[value]) value = state->instead[value];
    return value;
}

mil_status mil__pass_replace(mil__pass_state *state, mil_value value, mil_value with) {
    if (value >= state->n_instead) {
        uint32_t wanted = state->program->n_values * 2;
        mil_value *grown = mil__realloc(state->instead, wanted * sizeof *grown);
        if (!grown) return mil__nomem(state->err);
        memset(grown + state->n_instead, 0, (wanted - state->n_instead) * sizeof *grown);
        state->instead = grown;
        state->n_instead = wanted;
    }
    state->instead[value] = with;
    return MIL_OK;
}

static void rewrite(mil__pass_state *state, mil_value *values, uint32_t n, bool are_outputs) {
    for (uint32_t i = 0; i < n; i++) {
        mil_value now = resolve(state, values[i]);
        if (now == values[i]) continue;
        state->program->values[values[i]]->n_uses--;
        state->program->values[now]->n_uses++;
        if (are_outputs) state->program->values[now]->is_output = true;
        values[i] = now;
    }
}

static mil_status walk_block(mil__pass_state *state, const mil__block *block,
                             mil_status (*visit)(mil__pass_state *, mil_operation)) {
    mil_operation next;
    for (mil_operation at = block->first; at; at = next) {
        mil__op *op = state->program->ops[at];
        next = op->next;
        for (uint16_t a = 0; a < op->n_args; a++) rewrite(state, op->args[a].values, op->args[a].n, false);
        for (uint16_t b = 0; b < op->n_blocks; b++)
            MIL__TRY(walk_block(state, state->program->blocks[op->blocks[b]], visit));
        MIL__TRY(visit(state, at));
    }
    rewrite(state, block->outputs, block->n_outputs, true);
    return MIL_OK;
}

mil_status mil__pass_walk(mil_program *program, mil_status (*visit)(mil__pass_state *, mil_operation), void *own,
                          mil_error *err) {
    mil__pass_state state = {.program = program, .err = err, .own = own};
    mil_status status = MIL_OK;
    for (uint32_t i = 0; i < program->n_functions && status == MIL_OK; i++)
        status = walk_block(&state, program->blocks[program->functions[i].block], visit);
    mil__free(state.instead);
    return status;
}

static const struct {
    const char *name;
    mil_status (*run)(mil_program *, mil_error *);
    bool exact;
} passes[] = {
#define PASS(name, exact, help) {#name, mil__pass_##name, exact},
#include "passes/passes.def"
#undef PASS
};

bool mil__pass_disabled(const char *disable, const char *name) {
    size_t n = strlen(name);
    while (disable && *disable) {
        size_t length = strcspn(disable, ",");
        if (length == n && memcmp(disable, name, n) == 0) return true;
        disable += length + (disable[length] == ',');
    }
    return false;
}

static const char *name_at(const void *ctx, size_t i) {
    (void)ctx;
    return i < MIL__COUNT(passes) ? passes[i].name : "fuse";
}

mil_status mil__passes_check(const char *disable, mil_error *err) {
    enum { N_NAMES = MIL__COUNT(passes) + 1 };
    while (disable && *disable) {
        char name[64];
        size_t n = strcspn(disable, ","), i = 0;
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), disable);
        while (i < N_NAMES && strcmp(name_at(NULL, i), name) != 0) i++;
        const char *near = i < N_NAMES ? NULL : mil__nearest(name, N_NAMES, name_at, NULL);
        if (i == N_NAMES)
            return mil__fail(err, MIL_ENAME, "compile: there is no pass \"%s\"%s%s%s", name, near ? "; did you mean " : "",
                             near ? near : "", near ? "?" : "");
        disable += n + (disable[n] == ',');
    }
    return MIL_OK;
}

mil_status mil__passes_run(mil_program *program, const char *disable, bool strict, mil_error *err) {
    for (size_t i = 0; i < MIL__COUNT(passes); i++) {
        if (mil__pass_disabled(disable, passes[i].name) || (strict && !passes[i].exact)) continue;
        MIL__TRY(passes[i].run(program, err));
#ifndef NDEBUG
        if (getenv("MIL_VERIFY_PASSES")) MIL__TRY(mil_program_verify(program, err));
#endif
    }
    return MIL_OK;
}
