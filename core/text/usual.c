/* SPDX-License-Identifier: MIT */
/* Statements as printers write them, Apple's and ours, read in one go:
 *
 *     tensor<fp16, [1, 64]> y = add(x = a, y = b)[name = string("y")];
 *     fp16 b = const()[name = string("b"), val = fp16(0x1p+0)];
 *
 * One result, arguments that are names, blanks just there, a name attribute that says what the result is called, and an op,
 * a type and a literal that were met before. That is most of a program's text. Whatever differs, be it an error, is left
 * to parse.c, which knows the whole grammar: here is nothing that it would not read to the same. What cannot be added is read
 * again there, for its error. */
#include "program/recall.h"
#include "text/parse.h"

/* ---- what was met before ---- */

void mil__parse_remember(mil__parser *ps, mil_block block, const mil__result *result, mil_value value) {
    mil__recent *made = &ps->recent[result->hash % MIL__RECENT];
    *made = (mil__recent){result->hash, result->name, block, value};
    ps->last[1] = ps->last[0];
    ps->last[0] = made;
}

/* What was defined just above is found by comparing two pieces of the text. */
static inline mil_value value_of(const mil__parser *ps, mil_block block, mil__slice name) {
    uint64_t hash = mil__hash(name.s, name.n);
    const mil__recent *r = &ps->recent[hash % MIL__RECENT];
    if (r->hash == hash && r->block == block && mil__same_slice(r->name, name)) return r->value;
    return mil__value_hashed(ps->program, block, name, hash);
}

mil_value mil__parse_value(const mil__parser *ps, mil_block block, mil__slice name) { return value_of(ps, block, name); }

/* An op as it was met last in this function. NULL: there is no op of that name. */
static inline mil__met_op *met_op(mil__parser *ps, mil__slice name) {
    unsigned first = (unsigned char)name.s[0], last = (unsigned char)name.s[name.n - 1];
    mil__met_op *met = &ps->ops[(first + last * 7u + name.n) % MIL__OP_CACHE];
    if (mil__same_slice(met->name, name)) return met; /* the name may stand at the text's end */
    char text[64];
    if (name.n >= sizeof text) return NULL;
    memcpy(text, name.s, name.n);
    text[name.n] = 0;
    const mil_op *op = mil_op_find(text);
    if (!op) return NULL;
    *met = (mil__met_op){.name = name, .op = op};
    return met;
}

const mil_op *mil__parse_op(mil__parser *ps, mil__slice name) {
    const mil__met_op *met = met_op(ps, name);
    return met ? met->op : NULL;
}

/* ---- pieces ---- */

enum { AHEAD = 64 }; /* characters that are there wherever a piece of the language begins: more than any of them has */

typedef struct cursor {
    const char *p, *limit; /* AHEAD before the text's end */
} cursor;

static inline bool take(cursor *at, const char *text, size_t n) {
    bool same = at->p <= at->limit && (n < 8 ? memcmp(at->p, text, n) == 0 : mil__same_ahead(at->p, text, n));
    if (!same) return false;
    at->p += n;
    return true;
}

#define TAKE(at, literal) take(at, literal, sizeof literal - 1)

/* A piece of text that was read before, maybe longer. */
static inline bool take_again(cursor *at, mil__slice text) {
    if (at->p > at->limit || (size_t)(at->limit + AHEAD - at->p) < text.n || !mil__same_ahead(at->p, text.s, text.n)) return false;
    at->p += text.n;
    return true;
}

static inline bool take_name(cursor *at, mil__slice *out) {
    if (at->p > at->limit || mil__name_class[(unsigned char)*at->p] != 1) return false;
    const char *end = mil__lex_name_end(at->p, at->limit + AHEAD);
    *out = (mil__slice){at->p, (size_t)(end - at->p)};
    at->p = end;
    return true;
}

/* ---- statements ---- */

typedef struct usual {
    mil_block block;
    mil__result result;
    const mil_op *op;
    int n_args;
    uint16_t slots[MIL__MAX_INPUTS];
    mil_value values[MIL__MAX_INPUTS];
    mil__attr val;            /* a const's */
} usual;

/* A value by its name: one of the last results, as a rule, for which the name need not even be hashed. 0: none. */
static inline mil_value take_value(mil__parser *ps, mil_block block, cursor *at) {
    for (int i = 0; i < MIL__LAST; i++) {
        const mil__recent *last = ps->last[i];
        if (last->block != block || !take_again(at, last->name)) continue;
        if (!mil__name_class[(unsigned char)*at->p]) return last->value;
        at->p -= last->name.n; /* a longer name */
    }
    mil__slice name;
    return take_name(at, &name) ? value_of(ps, block, name) : 0;
}

/* "relu(": mostly the op that followed the last one before, too. */
static inline mil__met_op *take_op(mil__parser *ps, cursor *at) {
    mil__met_op *last = ps->last_op;
    if (last && last->next && last->next->call.n && take_again(at, last->next->call)) return ps->last_op = last->next;
    mil__slice name;
    if (!take_name(at, &name) || !TAKE(at, "(")) return NULL;
    mil__met_op *met = met_op(ps, name);
    if (!met) return NULL;
    met->call = (mil__slice){name.s, name.n + 1};
    if (last) last->next = met;
    return ps->last_op = met;
}

/* "x = ", of a parameter that takes one value: mostly the one that stood there in the op's last call. */
static inline bool take_param(mil__parser *ps, const usual *st, cursor *at, mil__met_op *met, int *slot) {
    int i = st->n_args;
    if (i < MIL__MET_PARAMS && met->params[i].text.n && take_again(at, met->params[i].text)) return *slot = met->params[i].slot, true;
    mil__slice name;
    const mil__param *row;
    if (!take_name(at, &name) || !TAKE(at, " = ")) return false;
    mil_opset opset = ps->program->functions[ps->program->blocks[st->block]->function].opset;
    *slot = mil__op_slot_named(met->op, opset, name, &row);
    if (*slot < 0 || row->kind == MIL_PARAM_TUPLE) return false;
    if (i < MIL__MET_PARAMS) {
        met->params[i].text = (mil__slice){name.s, (size_t)(at->p - name.s)};
        met->params[i].slot = *slot;
    }
    return true;
}

static inline bool take_args(mil__parser *ps, usual *st, cursor *at, mil__met_op *met) {
    uint32_t seen = 0;
    _Static_assert(MIL__MAX_INPUTS <= 32, "a bit for each slot");
    do {
        int i = st->n_args, slot;
        if (i == MIL__MAX_INPUTS || !take_param(ps, st, at, met, &slot) || (seen >> slot & 1)) return false;
        seen |= (uint32_t)1 << slot;
        st->slots[i] = (uint16_t)slot;
        if (!(st->values[i] = take_value(ps, st->block, at))) return false;
        st->n_args++;
    } while (TAKE(at, ", "));
    return true;
}

/* ")[name = string("y")" */
static inline bool take_label(cursor *at, mil__slice name) {
    if (!TAKE(at, ")[name = string(\"") && !TAKE(at, ")[name = tensor<string, []>(\"")) return false;
    return take_again(at, name) && TAKE(at, "\")");
}

/* "TYPE NAME = ", the left side of a statement of this block. */
static inline bool take_result(mil__parser *ps, mil_block block, cursor *at, mil__result *result) {
    const char *end = mil__parse_known_type(ps, at->p, &result->type);
    if (!end) return false;
    at->p = end;
    if (!TAKE(at, " ") || !take_name(at, &result->name) || !TAKE(at, " = ")) return false;
    result->hash = mil__hash(result->name.s, result->name.n);
    mil__value_expect(ps->program, block, result->hash);
    return true;
}

/* The left side of the next line is read before this one's operation is added: by the time that its name is looked for, the
 * table's memory has come. */
static inline void look_ahead(mil__parser *ps, mil_block block, cursor at) {
    ps->ahead.begin = at.p;
    if (take_result(ps, block, &at, &ps->ahead.result)) ps->ahead.end = at.p;
    else ps->ahead.begin = NULL;
}

static inline bool take_statement(mil__parser *ps, usual *st, cursor *at) {
    mil__result *result = &st->result;
    const char *end;
    if (at->p == ps->ahead.begin) {
        *result = ps->ahead.result;
        at->p = ps->ahead.end;
    } else if (!take_result(ps, st->block, at, result)) {
        return false;
    }
    mil__met_op *met = take_op(ps, at);
    if (!met) return false;
    st->op = met->op;
    bool is_const = st->op == ps->const_op;
    if (!is_const && at->p <= at->limit && *at->p != ')' && !take_args(ps, st, at, met)) return false;
    if (!take_label(at, result->name)) return false;
    if (is_const) {
        if (!TAKE(at, ", val = ") || !(end = mil__parse_known_literal(ps, at->p, &st->val))) return false;
        at->p = end;
    }
    return TAKE(at, "];");
}

/* The end of the line and the next one's indentation, where an operation or a type follows there: then the statement is
 * at its end, too, for a block that might belong to it begins with "(" or "block". */
static inline bool take_line(cursor *at) {
    if (at->p > at->limit || *at->p != '\n') return false;
    const char *next = mil__lex_spaces_end(at->p + 1, at->limit + AHEAD);
    if (next > at->limit || mil__name_class[(unsigned char)*next] != 1 || (next[0] == 'b' && next[1] == 'l')) return false;
    at->p = next;
    return true;
}

/* Where it must be inferred. */
static mil_value add_inferred(mil__parser *ps, usual *st, mil_where where) {
    mil__values args[MIL__MAX_INPUTS];
    for (int i = 0; i < st->n_args; i++)
        args[i] = (mil__values){.slot = st->slots[i], .n = 1, .values = &st->values[i]};
    mil__new_op new_op = {.decl = st->op, .args = args, .n_args = st->n_args, .names = &st->result.name, .hashes = &st->result.hash,
                          .declared = &st->result.type, .n_declared = 1, .where = where, .unchecked = ps->unchecked};
    mil_operation made;
    mil_status status = mil__program_add(ps->program, st->block, &new_op, &made, NULL);
    return status == MIL_OK ? ps->program->ops[made]->outputs[0] : 0;
}

/* 0: not done, and parse.c will say why. */
static mil_value add_usual(mil__parser *ps, usual *st) {
    mil_program *program = ps->program;
    mil__plain_op plain = {.decl = st->op, .n_args = st->n_args, .slots = st->slots, .values = st->values, .data = st->val.data,
                           .type = st->result.type, .name = st->result.name, .hash = st->result.hash,
                           .where = {ps->lex.file, ps->lex.line}};
    bool is_const = st->op == ps->const_op;
    mil_opset opset = program->functions[program->blocks[st->block]->function].opset;
    bool is_known = is_const ? plain.data && st->val.type == plain.type : !ps->unchecked && mil__recall(program, opset, &plain) == plain.type;
    mil_value value = is_known ? mil__program_add_plain(program, st->block, &plain) : 0;
    return value || is_const ? value : add_inferred(ps, st, plain.where);
}

bool mil__parse_usual(mil__parser *ps, mil_block block) {
    if (ps->lex.end - ps->lex.p < AHEAD) return false;
    cursor at = {ps->lex.p, ps->lex.end - AHEAD};
    usual st;
    st.block = block;
    st.n_args = 0;
    st.val.data = NULL;
    if (!take_statement(ps, &st, &at) || !take_line(&at)) return false;
    look_ahead(ps, block, at);
    mil_value value = add_usual(ps, &st);
    if (!value) return false;
    mil__parse_remember(ps, block, &st.result, value);
    ps->lex.line++;
    ps->lex.p = at.p;
    return true;
}
