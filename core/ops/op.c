/* SPDX-License-Identifier: MIT */
/* The op table, made from the stanzas in *.def, and look-up in it. */
#include <pthread.h>
#include <stdio.h>

#include "ops/stanza.h"
#include "ops/compressed.h"
#include "ops/elementwise.h"
#include "ops/indices.h"
#include "ops/params.h"
#include "ops/random.h"
#include "ops/rules.h"
#include "ops/sampling.h"
#include "ops/slices.h"
#include "ops/windows.h"

/* ---- the table ---- */

#define OP(op, ...) mil_status mil__infer_##op(mil__call *); mil_status mil__eval_##op(mil__call *);
#include "ops/all.def"
#undef OP

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#if defined(__clang__)
#pragma clang diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
static const mil_op ops[] = {
#define OP(op, first_opset, ...)                                                                                      \
    {.name = #op, .family = FAMILY, .since = first_opset, .n_outputs = 1, .infer = mil__infer_##op,                  \
     .eval = mil__eval_##op, __VA_ARGS__},
#include "ops/all.def"
#undef OP
};
#pragma GCC diagnostic pop

enum {
#define OP(op, ...) AT_##op,
#include "ops/all.def"
#undef OP
    N_OPS
};

/* ---- look-up: by name in a hash table, in order by a sorted list, parameters by slot; all made once ---- */

enum { HASH_SIZE = 512, N_OPSETS = MIL_IOS18 - MIL_IOS15 + 1 };
_Static_assert(N_OPS < HASH_SIZE / 2, "the look-up table of ops is too full");

typedef struct slots {
    int n;
    const char *names[MIL__MAX_INPUTS];
    size_t lengths[MIL__MAX_INPUTS]; /* of the names */
    const mil__param *rows[N_OPSETS][MIL__MAX_INPUTS]; /* NULL: not in that opset */
} slots;

static const mil_op *sorted[N_OPS];
static const mil_op *hashed[HASH_SIZE];
static slots slots_of[N_OPS];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static int by_name(const void *a, const void *b) {
    return strcmp((*(const mil_op *const *)a)->name, (*(const mil_op *const *)b)->name);
}

static bool row_is_in(const mil__param *row, mil_opset opset) {
    return (!row->since || opset >= row->since) && (!row->until || opset < row->until);
}

/* Rows of one name stand next to each other: they are one slot. */
static void make_slots(const mil_op *op, slots *out) {
    for (const mil__param *r = op->inputs; r && r->name; r++) {
        if (r == op->inputs || strcmp(r[-1].name, r->name) != 0) out->n++;
        assert(out->n <= MIL__MAX_INPUTS);
        out->names[out->n - 1] = r->name;
        out->lengths[out->n - 1] = strlen(r->name);
        for (mil_opset opset = MIL_IOS15; opset <= MIL_IOS18; opset++)
            if (row_is_in(r, opset)) out->rows[opset - MIL_IOS15][out->n - 1] = r;
    }
}

static void make_lookup(void) {
    for (size_t i = 0; i < N_OPS; i++) {
        sorted[i] = &ops[i];
        size_t h = mil__hash_text(ops[i].name) % HASH_SIZE;
        while (hashed[h]) h = (h + 1) % HASH_SIZE;
        hashed[h] = &ops[i];
        make_slots(&ops[i], &slots_of[i]);
    }
    qsort(sorted, N_OPS, sizeof *sorted, by_name);
}

size_t mil_op_count(void) { return N_OPS; }

const mil_op *mil_op_at(size_t i) {
    pthread_once(&made, make_lookup);
    return i < N_OPS ? sorted[i] : NULL;
}

const mil_op *mil_op_find(const char *name) {
    pthread_once(&made, make_lookup);
    for (size_t h = mil__hash_text(name) % HASH_SIZE; hashed[h]; h = (h + 1) % HASH_SIZE)
        if (strcmp(hashed[h]->name, name) == 0) return hashed[h];
    return NULL;
}

const mil_op *mil__op_const(void) {
    pthread_once(&made, make_lookup);
    return &ops[AT_const];
}

static const char *op_name_at(const void *ctx, size_t i) {
    (void)ctx;
    return ops[i].name;
}

const mil_op *mil_op_elsewhere(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; n && i < N_OPS; i++) {
        for (const char *at = ops[i].also; at && (at = strstr(at, name)); at += n) {
            bool begins = at == ops[i].also || at[-1] == ' ', ends = at[n] == ' ' || at[n] == '\0';
            if (begins && ends) return &ops[i];
        }
    }
    return NULL;
}

const char *mil_op_nearest(const char *name) {
    const mil_op *op = mil_op_elsewhere(name);
    return op ? op->name : mil__nearest(name, N_OPS, op_name_at, NULL);
}

const char *mil_op_also(const mil_op *op) { return op->also; }

size_t mil__op_index(const mil_op *op) { return (size_t)(op - ops); }
const char *mil_op_name(const mil_op *op) { return op->name; }
const char *mil_op_help(const mil_op *op) { return op->help; }
const char *mil_op_family(const mil_op *op) { return op->family; }
mil_opset mil_op_since(const mil_op *op) { return op->since; }
int mil_op_outputs(const mil_op *op) { return op->n_outputs; }

/* ---- parameters ---- */

static const slots *slots_at(const mil_op *op) { return &slots_of[op - ops]; }

int mil__op_slot_named(const mil_op *op, mil_opset opset, mil__slice name, const mil__param **row) {
    const slots *s = slots_at(op);
    for (int slot = 0; slot < s->n; slot++) {
        if (s->lengths[slot] != name.n || s->names[slot][0] != name.s[0]) continue; /* nearly always enough */
        const mil__param *r = s->rows[opset - MIL_IOS15][slot];
        if (!r || (name.n > 1 && memcmp(s->names[slot], name.s, name.n) != 0)) continue;
        if (row) *row = r;
        return slot;
    }
    return -1;
}

int mil__op_slot(const mil_op *op, mil_opset opset, const char *name, const mil__param **row) {
    return mil__op_slot_named(op, opset, mil__slice_of(name), row);
}

const mil__param *mil__op_param_at(const mil_op *op, mil_opset opset, int slot) {
    return slot < slots_at(op)->n ? slots_at(op)->rows[opset - MIL_IOS15][slot] : NULL;
}

int mil__op_n_slots(const mil_op *op) { return slots_at(op)->n; }

const char *mil__op_slot_name(const mil_op *op, int slot) { return slot < slots_at(op)->n ? slots_at(op)->names[slot] : NULL; }

uint32_t mil__op_dtypes(const mil_op *op, mil_opset opset, const mil__param *row) {
    if (row->type == 0 || row->type >= MIL__SET(0)) return row->type;
    for (const mil__domain *d = op->domains; d && d->letter; d++) {
        bool in = (!d->since || opset >= d->since) && (!d->until || opset < d->until);
        if (in && (uint32_t)d->letter == row->type) return d->dtypes;
    }
    assert(!"a letter without a domain");
    return 0;
}

typedef struct params_of {
    const mil_op *op;
    mil_opset opset;
} params_of;

static const char *param_name_at(const void *ctx, size_t i) {
    const params_of *of = ctx;
    const mil__param *row = mil__op_param_at(of->op, of->opset, (int)i);
    return row ? row->name : NULL;
}

const char *mil__op_nearest_param(const mil_op *op, mil_opset opset, const char *name) {
    params_of of = {op, opset};
    return mil__nearest(name, (size_t)mil__op_n_slots(op), param_name_at, &of);
}

char *mil__dtypes_text(uint32_t set, char *buf, size_t n) {
    if (set == 0) {
        snprintf(buf, n, "any dtype");
        return buf;
    }
    size_t used = 0;
    buf[0] = 0;
    for (int d = 1; d < MIL_N_DTYPES; d++) {
        if (!(set & MIL__SET(d))) continue;
        set &= ~MIL__SET(d);
        const char *before = used == 0 ? "" : set == 0 ? " or " : ", ";
        int more = snprintf(buf + used, n - used, "%s%s", before, mil_dtype_name((mil_dtype)d));
        if (more < 0 || (size_t)more >= n - used) break;
        used += (size_t)more;
    }
    return buf;
}

/* Numbers of the default as MIL text writes them, without type. */
static const char *default_text(const mil__param *row) {
    static _Thread_local char buf[32];
    switch (row->given) {
    case MIL__INT: snprintf(buf, sizeof buf, "%lld", (long long)row->number); return buf;
    case MIL__FLOAT: snprintf(buf, sizeof buf, "%.9g", row->number); return buf;
    case MIL__BOOL_: return row->number != 0 ? "true" : "false";
    case MIL__TEXT: return row->text;
    default: return NULL;
    }
}

bool mil_op_param(const mil_op *op, mil_opset opset, size_t i, mil_param *out) {
    size_t seen = 0;
    for (int slot = 0, n = mil__op_n_slots(op); slot < n; slot++) {
        const mil__param *row = mil__op_param_at(op, opset, slot);
        if (!row || seen++ != i) continue;
        bool is_letter = row->type != 0 && row->type < MIL__SET(0);
        *out = (mil_param){.name = row->name, .help = row->help ? row->help : "", .kind = row->kind,
                           .dtypes = mil__op_dtypes(op, opset, row) >> 7, .group = is_letter ? (char)row->type : 0,
                           .required = row->given == MIL__REQUIRED, .default_text = default_text(row)};
        return true;
    }
    return false;
}

/* "; it takes x, axis": where no parameter is near a name. */
static const char *params_text(const mil_op *op, mil_opset opset, char *buf, size_t n) {
    size_t used = 0;
    mil_param param;
    *buf = '\0';
    for (size_t i = 0; used < n && mil_op_param(op, opset, i, &param); i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%s", i ? ", " : "; it takes ", param.name);
    return buf;
}

mil_status mil__op_find_param(const mil_op *op, mil_opset opset, const char *name, int *slot, const mil__param **row,
                              mil_error *err) {
    *slot = mil__op_slot(op, opset, name, row);
    if (*slot >= 0) return MIL_OK;
    mil__call call = {.op = op, .err = err};
    for (mil_opset other = MIL_IOS15; other <= MIL_IOS18; other++) {
        if (mil__op_slot(op, other, name, NULL) < 0) continue;
        return mil__call_fail(&call, MIL_ENAME, "parameter %s is not in opset %s, but in %s", name,
                              mil_opset_name(opset), mil_opset_name(other));
    }
    const char *near = mil__op_nearest_param(op, opset, name);
    return near ? mil__call_fail(&call, MIL_ENAME, "no parameter \"%.60s\"; did you mean %s?", name, near)
                : mil__call_fail(&call, MIL_ENAME, "no parameter \"%.60s\"%s", name,
                                 params_text(op, opset, (char[300]){0}, 300));
}
