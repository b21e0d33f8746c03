/* SPDX-License-Identifier: MIT */
/* The rows of ane.def as a table: for documents, and by op for one chip, route and system. */
#include <stdio.h>

#include "check/check.h"

#define ERROR   MIL_ERROR
#define WARNING MIL_WARNING
#define NOTE    MIL_NOTE
#define REMARK  MIL_REMARK
#define DIRECT  MIL__DIRECT
#define E5RT    MIL__E5RT
enum { M1 = 1 << MIL__A13, M2 = 1 << MIL__A14, M3 = 1 << MIL__A15, M4 = 1 << MIL__A16, ANY_CHIP = M1 | M2 | M3 | M4 };
#define OPS(names) .place = MIL__AT_OPERATION, .ops = names
#define EVERY_OP   .place = MIL__AT_OPERATION
#define INPUT      .place = MIL__AT_INPUT
#define OUTPUT     .place = MIL__AT_OUTPUT
#define FUNCTION   .place = MIL__AT_FUNCTION

static const mil__rule rules[] = {
#define RULE(severity_, id_, condition, ...) {.id = #id_, .severity = severity_, .when = mil__when_##condition, __VA_ARGS__},
#define RAN(ops, routes, source)
#include "check/ane.def"
#undef RULE
#undef RAN
};

static const mil__ran rans[] = {
#define RULE(...)
#define RAN(ops_, routes_, source_) {ops_, routes_, source_},
#include "check/ane.def"
#undef RULE
#undef RAN
};

_Static_assert(MIL__COUNT(rules) <= 64 * MIL__RULE_WORDS, "a bit for each rule");

size_t mil__n_rules(void) { return MIL__COUNT(rules); }
const mil__rule *mil__rule_at(size_t i) { return i < MIL__COUNT(rules) ? &rules[i] : NULL; }
const mil__ran *mil__ran_at(size_t i) { return i < MIL__COUNT(rans) ? &rans[i] : NULL; }

bool mil__names_have(const char *names, const char *name) {
    size_t n = strlen(name);
    for (const char *at = names; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == n && memcmp(at, name, n) == 0) return true;
    return false;
}

/* ---- as others see them ---- */

const char *mil_severity_name(mil_severity severity) {
    static const char *const names[] = {"remark", "note", "warning", "error"};
    return (unsigned)severity < MIL__COUNT(names) ? names[severity] : "?";
}

static const char *chips_text(uint8_t families) {
    static const char *const texts[16] = {
        [M1] = "M1", [M2] = "M2", [M3] = "M3", [M4] = "M4 and later", [M1 | M2] = "M1 M2", [M1 | M3] = "M1 M3",
        [M1 | M4] = "M1, M4 and later", [M2 | M3] = "M2 M3", [M2 | M4] = "M2, M4 and later", [M3 | M4] = "M3 and later",
        [M1 | M2 | M3] = "M1 M2 M3", [M1 | M2 | M4] = "M1 M2, M4 and later", [M1 | M3 | M4] = "M1, M3 and later",
        [M2 | M3 | M4] = "M2 and later",
    };
    return texts[families & ANY_CHIP];
}

/* The families that a row is about. */
static uint8_t families_of(const mil__rule *rule) {
    uint8_t families = rule->families ? rule->families : ANY_CHIP, limited = 0;
    for (int f = 0; f < MIL__N_FAMILIES; f++) limited |= rule->limit[f] ? 1 << f : 0;
    return limited ? families & limited : families;
}

bool mil_rule_at(const char *engine, size_t i, mil_rule *out) {
    static const char *const places[] = {"operation", "input", "output", "function"};
    static const char *const routes[] = {"direct e5rt", "direct", "e5rt", "direct e5rt"};
    if (strcmp(engine, "ane") != 0 || i >= MIL__COUNT(rules)) return false;
    const mil__rule *rule = &rules[i];
    *out = (mil_rule){rule->id, places[rule->place], rule->ops, rule->severity, rule->when == mil__when_always, routes[rule->routes],
                      chips_text(families_of(rule)), rule->since_system, rule->what, rule->fails, rule->runs, rule->instead,
                      rule->source, rule->is_lowered, rule->kept};
    return true;
}

const char *mil_op_ran(const mil_op *op, const char *engine, const char *route) {
    uint8_t bit = strcmp(route, "e5rt") == 0 ? MIL__E5RT : strcmp(route, "direct") == 0 ? MIL__DIRECT : 0;
    if (!op || strcmp(engine, "ane") != 0) return NULL;
    for (size_t i = 0; i < MIL__COUNT(rans); i++)
        if ((rans[i].routes & bit) && mil__names_have(rans[i].ops, op->name)) return rans[i].source;
    return NULL;
}

/* ---- those that matter ---- */

int mil__chip_number(const char *chip) {
    if (strncmp(chip, "Apple ", 6) == 0) chip += 6;
    if ((*chip != 'm' && *chip != 'M') || chip[1] < '1' || chip[1] > '9') return 0;
    char *end;
    long n = strtol(chip + 1, &end, 10);
    return n < 1000 && (!*end || *end == ' ') ? (int)n : 0;
}

/* 0: no such chip. */
static uint8_t family_of(const char *chip) {
    int n = mil__chip_number(chip);
    return n > 4 ? M4 : n ? (uint8_t)(1 << (n - 1)) : 0;
}

static mil_status read_route(const char *route, uint8_t *out, mil_error *err) {
    if (!route || strcmp(route, "direct") == 0) *out = MIL__DIRECT;
    else if (strcmp(route, "e5rt") == 0) *out = MIL__E5RT;
    else return mil__fail(err, MIL_ENAME, "check: there is no route \"%.80s\": direct or e5rt", route);
    return MIL_OK;
}

static mil_status read_chip(const char *chip, uint8_t *out, mil_error *err) {
    *out = chip ? family_of(chip) : ANY_CHIP;
    if (*out) return MIL_OK;
    return mil__fail(err, MIL_EVALUE, "check: chip is m1, m2 .. or \"M1 Pro\", but was given \"%.80s\"", chip);
}

static mil_status read_system(const char *system, int *out, mil_error *err) {
    char *end = NULL;
    long n = system ? strtol(system, &end, 10) : 0;
    *out = (int)n;
    if (!system || (end != system && n > 0 && n < 1000 && (*end == 0 || *end == '.'))) return MIL_OK;
    return mil__fail(err, MIL_EVALUE, "check: system is a version of macOS, \"26.5\", but was given \"%.80s\"", system);
}

/* Sets the row's bit for its ops. */
static void add_row(mil__check_target *target, size_t i) {
    size_t n = mil_op_count();
    for (size_t at = 0; at < n; at++) {
        const mil_op *op = mil_op_at(at);
        if (!rules[i].ops || mil__names_have(rules[i].ops, op->name))
            target->rows[mil__op_index(op)][i / 64] |= (uint64_t)1 << (i % 64);
    }
}

mil_status mil__check_target_of(const mil_check_options *options, mil__check_target *out, mil_error *err) {
    static const mil_check_options none = {0};
    if (!options) options = &none;
    if (options->engine && strcmp(options->engine, "ane") != 0)
        return mil__fail(err, MIL_ENAME, "check: there are rules for ane only, not for \"%.80s\"", options->engine);
    *out = (mil__check_target){.strict = options->strict, .all = options->all};
    MIL__TRY(read_route(options->route, &out->route, err));
    MIL__TRY(read_chip(options->chip, &out->families, err));
    MIL__TRY(read_system(options->system, &out->system, err));
    assert(mil_op_count() <= MIL__MAX_OPS);
    for (size_t i = 0; i < MIL__COUNT(rules); i++) {
        bool is_meant = (!rules[i].routes || (rules[i].routes & out->route)) && (families_of(&rules[i]) & out->families) &&
                        (!out->system || out->system >= rules[i].since_system);
        if (is_meant && rules[i].place == MIL__AT_OPERATION) add_row(out, i);
    }
    return MIL_OK;
}
