/* SPDX-License-Identifier: MIT */
/* Dims and types as text. A dim's text is also an expression of Lua. */
#include <inttypes.h>
#include <stdio.h>

#include "types/types_impl.h"

/* Text into a caller's buffer; what does not fit is left out, and the end shows it. */
typedef struct sink {
    char *buf;
    size_t n, cap;
    bool full;
} sink;

__attribute__((format(printf, 2, 3))) static void put(sink *out, const char *format, ...) {
    if (out->full) return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out->buf + out->n, out->cap - out->n, format, args);
    va_end(args);
    out->full = n < 0 || (size_t)n >= out->cap - out->n;
    out->n = out->full ? out->cap - 1 : out->n + (size_t)n;
    if (out->full && out->cap > 4) memcpy(out->buf + out->cap - 3, "..", 3);
}

static void put_dim(sink *out, const mil__types *types, mil_dim dim);

/* Is the written form of a dim one word or number, or a call, so that it needs no brackets in a product? */
static bool is_simple(const mil__types *types, mil_dim dim) {
    if (dim >= 0) return true;
    const mil__formula *formula = mil__formula_at(types, dim);
    return formula->n == 1 && formula->terms[0].degree == 1 && formula->terms[0].factor == 1;
}

static void put_bracketed(sink *out, const mil__types *types, mil_dim dim, bool bare) {
    if (!bare) put(out, "(");
    put_dim(out, types, dim);
    if (!bare) put(out, ")");
}

static void put_atom(sink *out, const mil__types *types, const mil__atom *atom) {
    switch (atom->kind) {
    case MIL__ATOM_SYMBOL: put(out, "%s", atom->is_variadic ? "..." : atom->symbol.name); return;
    case MIL__ATOM_FLOOR: {
        mil_dim top = atom->args[0], bottom = atom->args[1];
        put(out, "floor(");
        put_bracketed(out, types, top, top >= 0 || mil__formula_at(types, top)->n == 1);
        put(out, "/");
        put_bracketed(out, types, bottom, is_simple(types, bottom));
        break;
    }
    case MIL__ATOM_MAX:
    case MIL__ATOM_MIN:
        put(out, atom->kind == MIL__ATOM_MAX ? "max(" : "min(");
        for (uint32_t i = 0; i < atom->n_args; i++) {
            if (i) put(out, ", ");
            put_dim(out, types, atom->args[i]);
        }
    }
    put(out, ")");
}

static void put_term(sink *out, const mil__types *types, const mil__term *term, bool first) {
    uint64_t size = term->factor < 0 ? -(uint64_t)term->factor : (uint64_t)term->factor;
    put(out, "%s", first ? (term->factor < 0 ? "-" : "") : (term->factor < 0 ? " - " : " + "));
    if (size != 1 || term->degree == 0) put(out, "%" PRIu64 "%s", size, term->degree ? "*" : "");
    for (uint32_t i = 0; i < term->degree && !out->full; i++) {
        if (i) put(out, "*");
        put_atom(out, types, types->atoms[term->atoms[i]]);
    }
}

/* A term that is added comes first where there is one, so that nothing begins with a minus without need. */
static void put_dim(sink *out, const mil__types *types, mil_dim dim) {
    if (dim >= 0 || !types || !mil__formula_known(types, dim)) {
        if (dim >= 0) put(out, "%" PRId64, dim);
        else put(out, "?");
        return;
    }
    const mil__formula *formula = mil__formula_at(types, dim);
    uint32_t lead = 0;
    while (lead < formula->n && formula->terms[lead].factor < 0) lead++;
    if (lead == formula->n) lead = 0;
    put_term(out, types, &formula->terms[lead], true);
    for (uint32_t i = 0; i < formula->n && !out->full; i++) {
        if (i != lead) put_term(out, types, &formula->terms[i], false);
    }
}

static void put_length(sink *out, const mil__types *types, mil_dim length) {
    const mil__formula *formula = length < 0 && types ? mil__formula_at(types, length) : NULL;
    bool unknown = formula && is_simple(types, length) && types->atoms[formula->terms[0].atoms[0]]->is_fresh;
    if (unknown) put(out, "?");
    else put_dim(out, types, length);
}

static void put_type(sink *out, const mil__types *types, const mil_type *type) {
    static const char *const kinds[] = {[MIL_TENSOR] = "", [MIL_LIST] = "list", [MIL_TUPLE] = "tuple",
                                        [MIL_DICT] = "dict", [MIL_STATE] = "state"};
    if (!type) {
        put(out, "none");
        return;
    }
    if (type->kind == MIL_TENSOR) {
        put(out, "%s", mil_dtype_name(type->dtype));
        for (int i = 0; i < type->rank; i++) {
            put(out, i ? ", " : "[");
            put_dim(out, types, type->shape[i]);
        }
        if (type->rank) put(out, "]");
        return;
    }
    put(out, "%s<", kinds[type->kind]);
    for (int i = 0; i < type->n_items && !out->full; i++) {
        if (i) put(out, ", ");
        put_type(out, types, type->items[i]);
    }
    if (type->kind == MIL_LIST) {
        put(out, ", ");
        put_length(out, types, type->length);
    }
    put(out, ">");
}

char *mil__dim_text(const mil__types *types, mil_dim dim, char *buf, size_t n) {
    if (n == 0) return buf;
    sink out = {.buf = buf, .cap = n};
    put_dim(&out, types, dim);
    return buf;
}

char *mil__type_text(const mil__types *types, const mil_type *type, char *buf, size_t n) {
    if (n == 0) return buf;
    sink out = {.buf = buf, .cap = n};
    put_type(&out, types, type);
    return buf;
}
