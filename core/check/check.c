/* SPDX-License-Identifier: MIT */
/* The evaluator: walks the program once, asks at each place the rows that matter there, and keeps what they say.
 *
 * A row that holds for some only of the chips asked about, or from some macOS on where none was named, says one less than
 * its severity: an error there is a warning, a warning a note; and the message says for which. */
#include <stdio.h>

#include "check/look.h"

struct mil_report {
    mil__arena arena;
    mil_finding *findings;
    size_t n, cap, count[4];
};

typedef struct walk {
    const mil__check_target *target;
    mil_report *report;
    const char *function;
    mil_error *err;
} walk;

/* ---- one row ---- */

typedef struct verdict {
    mil_severity severity;
    char message[640];
} verdict;

/* The families among those asked about for which the condition holds. */
static uint8_t holds_for(const mil__rule *rule, mil__look *look, uint8_t asked) {
    uint8_t families = rule->families ? rule->families & asked : asked, holding = 0;
    int64_t limits = 0;
    for (int f = 0; f < MIL__N_FAMILIES; f++) limits |= rule->limit[f];
    if (!limits) return rule->when(look) ? families : 0;
    for (int f = 0; f < MIL__N_FAMILIES; f++) {
        look->limit = rule->limit[f];
        if ((families & (1 << f)) && look->limit && rule->when(look)) holding |= (uint8_t)(1 << f);
    }
    return holding;
}

static void name_families(char *buf, size_t n, uint8_t families) {
    static const char *const names[] = {"M1", "M2", "M3", "M4 and later"};
    size_t at = 0;
    for (int f = 0; f < MIL__N_FAMILIES; f++)
        if (families & (1 << f)) at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? ", " : "", names[f]);
}

/* Does the row hold, and what does it say? */
static bool judge(const mil__rule *rule, mil__look *look, const mil__check_target *target, verdict *out) {
    look->here[0] = 0;
    uint8_t families = holds_for(rule, look, target->families);
    if (!families) return false;
    char some[64] = "";
    bool is_by_system = rule->since_system && !target->system;
    if (families != target->families) name_families(some, sizeof some, families);
    out->severity = rule->severity;
    if ((*some || is_by_system) && out->severity > MIL_NOTE) out->severity--;
    if (target->strict && out->severity == MIL_WARNING) out->severity = MIL_ERROR;
    const char *op = look->op ? look->op->decl->name : NULL, *port = look->port && look->port->name ? look->port->name : NULL;
    snprintf(out->message, sizeof out->message, "%.64s: %s%s%s%s%s%s", op ? op : port ? port : look->tally->function->name, rule->what,
             *some ? " (on " : "", some, *some ? ")" : "", *look->here ? ": " : "", look->here);
    return true;
}

/* ---- the report ---- */

static const char *text_in(mil_report *report, const char *text) {
    return mil__arena_text(&report->arena, text ? text : "", text ? strlen(text) : 0);
}

static mil_status keep(walk *w, const mil__rule *rule, const mil__look *look, mil_operation operation, const verdict *verdict) {
    mil_report *report = w->report;
    if (report->n == report->cap) {
        size_t cap = report->cap ? 2 * report->cap : 32;
        mil_finding *grown = mil__realloc(report->findings, cap * sizeof *grown);
        if (!grown) return mil__nomem(w->err);
        report->findings = grown;
        report->cap = cap;
    }
    const mil__value *value = look->value ? look->program->values[look->value] : NULL;
    mil_finding *finding = &report->findings[report->n];
    *finding = (mil_finding){
        .severity = verdict->severity, .rule = rule->id, .message = text_in(report, verdict->message), .fails = rule->fails,
        .runs = rule->runs, .advice = rule->instead, .source = rule->source, .function = w->function,
        .op = look->op ? look->op->decl->name : NULL, .value = value && value->name ? text_in(report, value->name) : NULL,
        .operation = operation};
    if (look->op) finding->where = (mil_where){look->op->file ? text_in(report, look->op->file) : NULL, look->op->line};
    if (!finding->message || (value && value->name && !finding->value) || (look->op && look->op->file && !finding->where.file))
        return mil__nomem(w->err);
    report->n++;
    report->count[finding->severity]++;
    return MIL_OK;
}

static mil_status ask(walk *w, const mil__rule *rule, mil__look *look, mil_operation operation) {
    verdict verdict;
    mil_value value = look->value;
    mil_status status = MIL_OK;
    if (judge(rule, look, w->target, &verdict) && (verdict.severity > MIL_REMARK || w->target->all))
        status = keep(w, rule, look, operation, &verdict);
    look->value = value;
    return status;
}

/* ---- operations ---- */

/* What compiling folds is no operation of the engine's; compressed weights are. */
static bool is_folded(const mil_program *program, const mil__op *op) {
    if (op->decl == mil__op_const()) return true;
    if ((op->decl->flags & MIL__NO_FOLD) || op->n_outputs == 0) return false;
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (!program->values[op->outputs[i]]->is_const) return false;
    return true;
}

static mil__look look_at(const mil_program *program, const mil__op *op) {
    return (mil__look){.program = program, .op = op, .value = op->n_outputs ? op->outputs[0] : 0};
}

static mil_status check_operation(walk *w, const mil_program *program, mil_operation operation) {
    const mil__op *op = program->ops[operation];
    if (is_folded(program, op)) return MIL_OK;
    const uint64_t *rows = w->target->rows[mil__op_index(op->decl)];
    mil__look look = look_at(program, op);
    for (size_t word = 0; word < MIL__RULE_WORDS; word++)
        for (uint64_t bits = rows[word]; bits; bits &= bits - 1)
            MIL__TRY(ask(w, mil__rule_at(64 * word + (size_t)__builtin_ctzll(bits)), &look, operation));
    return MIL_OK;
}

bool mil__check_takes(const mil_program *program, mil_operation operation, const mil__check_target *target, mil_error *err) {
    const mil__op *op = mil__op_at(program, operation);
    if (!op || is_folded(program, op)) return true;
    const uint64_t *rows = target->rows[mil__op_index(op->decl)];
    mil__look look = look_at(program, op);
    for (size_t word = 0; word < MIL__RULE_WORDS; word++)
        for (uint64_t bits = rows[word]; bits; bits &= bits - 1) {
            const mil__rule *rule = mil__rule_at(64 * word + (size_t)__builtin_ctzll(bits));
            verdict verdict;
            if (target->is_lowered && rule->is_lowered) continue;
            if (!judge(rule, &look, target, &verdict) || verdict.severity < MIL_ERROR) continue;
            const mil__value *value = program->values[look.value];
            mil__fail(err, MIL_EUNSUPPORTED, "ane: %s (%s)", verdict.message, rule->id);
            if (!err) return false;
            snprintf(err->op, sizeof err->op, "%.63s", op->decl->name);
            snprintf(err->value, sizeof err->value, "%.127s", value && value->name ? value->name : "");
            snprintf(err->file, sizeof err->file, "%.255s", op->file ? op->file : "");
            err->line = op->line;
            return false;
        }
    return true;
}

/* ---- functions ---- */

bool mil__is_elementwise(const mil__op *op) {
    return mil__names_have("elementwise_unary elementwise_binary activation", op->decl->family);
}

/* Adds the bytes of what has a fixed size. */
static void add_bytes(const mil_type *type, int64_t *sum) {
    int64_t bytes = mil__look_bytes(type);
    if (bytes > 0 && !mil__add_dim(*sum, bytes, sum)) *sum = INT64_MAX;
}

static void count_operation(mil__tally *tally, const mil_program *program, mil_operation operation) {
    const mil__op *op = program->ops[operation];
    if (op->decl == mil__op_const()) {
        add_bytes(program->values[op->outputs[0]]->type, &tally->weight_bytes);
        return;
    }
    uint32_t n;
    int64_t touched = 0;
    const mil_value *values = mil__op_values(op, &n);
    for (uint32_t i = 0; i < n + op->n_outputs; i++) add_bytes(program->values[i < n ? values[i] : op->outputs[i - n]]->type, &touched);
    tally->n_operations++;
    tally->is_elementwise &= mil__is_elementwise(op);
    if (touched > tally->largest_bytes) tally->largest_bytes = touched, tally->largest = operation;
}

/* Rows of a place that is no operation. */
static mil_status ask_all(walk *w, mil__place place, mil__look *look) {
    for (size_t i = 0; i < mil__n_rules(); i++) {
        const mil__rule *rule = mil__rule_at(i);
        bool is_meant = rule->place == place && (!rule->routes || (rule->routes & w->target->route)) &&
                        (!w->target->system || w->target->system >= rule->since_system);
        if (is_meant) MIL__TRY(ask(w, rule, look, 0));
    }
    return MIL_OK;
}

static mil_status check_ports(walk *w, mil__look look, bool are_outputs) {
    const mil__block *body = look.body;
    for (uint32_t i = 0; i < (are_outputs ? body->n_outputs : body->n_inputs); i++) {
        look.value = are_outputs ? body->outputs[i] : body->inputs[i];
        look.port = look.program->values[look.value];
        look.index = i;
        look.is_output = are_outputs;
        MIL__TRY(ask_all(w, are_outputs ? MIL__AT_OUTPUT : MIL__AT_INPUT, &look));
    }
    return MIL_OK;
}

static mil_status check_function(walk *w, const mil_program *program, const mil__function *function, bool only_entry) {
    mil__tally tally = {.function = function, .is_elementwise = true};
    for (mil_operation at = mil_block_first(program, function->block); at; at = mil_operation_after(program, at))
        count_operation(&tally, program, at);
    mil__look look = {.program = program, .body = program->blocks[function->block], .tally = &tally, .only_entry = only_entry};
    w->function = text_in(w->report, function->name);
    if (!w->function) return mil__nomem(w->err);
    MIL__TRY(ask_all(w, MIL__AT_FUNCTION, &look));
    MIL__TRY(check_ports(w, look, false));
    for (mil_operation at = mil_block_first(program, function->block); at; at = mil_operation_after(program, at))
        MIL__TRY(check_operation(w, program, at));
    return check_ports(w, look, true);
}

mil_status mil_program_check(const mil_program *program, const mil_check_options *options, mil_report **out, mil_error *err) {
    mil__check_target target;
    *out = NULL;
    MIL__TRY(mil__check_target_of(options, &target, err));
    const char *entry = options ? options->entry : NULL;
    if (entry && !mil_program_function_find(program, entry))
        return mil__fail(err, MIL_ENAME, "check: there is no function \"%.80s\"", entry);
    mil_report *report = mil__calloc(1, sizeof *report);
    if (!report) return mil__nomem(err);
    walk w = {.target = &target, .report = report, .err = err};
    mil_status status = MIL_OK;
    for (uint32_t i = 0; i < program->n_functions && status == MIL_OK; i++)
        if (!entry || strcmp(program->functions[i].name, entry) == 0)
            status = check_function(&w, program, &program->functions[i], entry != NULL);
    if (status == MIL_OK) *out = report;
    else mil_report_free(report);
    return status;
}

void mil_report_free(mil_report *report) {
    if (!report) return;
    mil__arena_free(&report->arena);
    mil__free(report->findings);
    mil__free(report);
}

size_t mil_report_count(const mil_report *report) { return report->n; }
size_t mil_report_n(const mil_report *report, mil_severity severity) { return (unsigned)severity < 4 ? report->count[severity] : 0; }
const mil_finding *mil_report_at(const mil_report *report, size_t i) { return i < report->n ? &report->findings[i] : NULL; }
