/* SPDX-License-Identifier: MIT */
/* Symbolic dims: polynomials over atoms in one canonical form (types_impl.h draws it), so that equal ones are one number.
 *
 * Everything is built from one step, add_times: sum += term * polynomial. It merges two sorted lists of terms. A sum is
 * one such step, a product one for each term, a division one for each term of the quotient.
 *
 * floor(a/b) is brought to one form by laws that hold for all integers, b > 0:
 *   floor((b*q + r)/b) = q + floor(r/b)             terms whose factors b divides come out; factors left are in [0, b)
 *   floor((g*x + c)/(g*n)) = floor((x + floor(c/g))/n)
 *   floor((floor(x/m) + c)/n) = floor((x + m*c)/(m*n))
 * For a divisor with symbols only the exact quotient is taken out. A formula whose written form would have more than
 * MAX_SIZE symbols and numbers is refused as an overflow is: that bounds the time and depth of all that walks one. */
#include <stdio.h>

#include "types/types_impl.h"

enum { MAX_SIZE = 512 };

typedef struct poly {
    mil__term *terms;
    uint32_t n;
} poly;

static mil_dim fail(mil__types *types, mil_status status) {
    mil__types_fail(types, status);
    return 0;
}

/* ---- terms ---- */

/* Which of two products of atoms comes first: the one of higher degree, then the one with the older atom. */
static int compare(const mil__term *a, const mil__term *b) {
    if (a->degree != b->degree) return a->degree > b->degree ? -1 : 1;
    for (uint32_t i = 0; i < a->degree; i++) {
        if (a->atoms[i] != b->atoms[i]) return a->atoms[i] < b->atoms[i] ? -1 : 1;
    }
    return 0;
}

static bool multiply(mil__types *types, const mil__term *a, const mil__term *b, mil__term *out) {
    uint32_t *atoms = mil__arena_alloc(&types->scratch, (size_t)(a->degree + b->degree) * sizeof *atoms);
    if (!atoms) return fail(types, MIL_ENOMEM);
    if (!mil__mul_dim(a->factor, b->factor, &out->factor)) return fail(types, MIL_EVALUE);
    uint32_t i = 0, j = 0;
    while (i < a->degree || j < b->degree) {
        bool take_a = j == b->degree || (i < a->degree && a->atoms[i] <= b->atoms[j]);
        atoms[i + j] = take_a ? a->atoms[i] : b->atoms[j];
        take_a ? i++ : j++;
    }
    out->degree = a->degree + b->degree;
    out->atoms = atoms;
    return true;
}

/* The floor of a.factor / b.factor times the atoms of a without those of b; false where b has others. */
static bool divide(mil__types *types, const mil__term *a, const mil__term *b, mil__term *out) {
    uint32_t *atoms = mil__arena_alloc(&types->scratch, (size_t)a->degree * sizeof *atoms);
    if (!atoms) return fail(types, MIL_ENOMEM);
    uint32_t j = 0, n = 0;
    for (uint32_t i = 0; i < a->degree; i++) {
        if (j < b->degree && a->atoms[i] == b->atoms[j]) j++;
        else atoms[n++] = a->atoms[i];
    }
    int64_t quotient = a->factor / b->factor; /* b.factor > 0 */
    if (a->factor % b->factor < 0) quotient--;
    *out = (mil__term){quotient, n, atoms};
    return j == b->degree;
}

/* ---- polynomials, in scratch memory ---- */

static bool room(mil__types *types, uint32_t n, poly *out) {
    *out = (poly){NULL, 0};
    if (n > MAX_SIZE) return fail(types, MIL_EVALUE);
    out->terms = mil__arena_alloc(&types->scratch, (n ? n : 1) * sizeof *out->terms);
    return out->terms || fail(types, MIL_ENOMEM);
}

static bool load(mil__types *types, mil_dim dim, poly *out) {
    if (dim < 0) {
        const mil__formula *formula = mil__formula_at(types, dim);
        if (!room(types, formula->n, out)) return false;
        memcpy(out->terms, formula->terms, formula->n * sizeof *formula->terms);
        out->n = formula->n;
        return true;
    }
    if (!room(types, 1, out)) return false;
    if (dim > 0) out->terms[out->n++] = (mil__term){dim, 0, NULL};
    return true;
}

/* *sum += term * *p, into fresh memory. */
static bool add_times(mil__types *types, poly *sum, const mil__term *term, const poly *p) {
    poly out;
    if (!room(types, sum->n + p->n, &out)) return false;
    uint32_t i = 0, j = 0;
    while (i < sum->n || j < p->n) {
        mil__term product = {0};
        if (j < p->n && !multiply(types, term, &p->terms[j], &product)) return false;
        int order = i == sum->n ? 1 : j == p->n ? -1 : compare(&sum->terms[i], &product);
        mil__term *next = &out.terms[out.n];
        *next = order <= 0 ? sum->terms[i] : product;
        if (order == 0 && !mil__add_dim(next->factor, product.factor, &next->factor)) return fail(types, MIL_EVALUE);
        if (order <= 0) i++;
        if (order >= 0) j++;
        if (next->factor != 0) out.n++;
    }
    *sum = out;
    return true;
}

static bool is_constant(const poly *p) { return p->n == 0 || (p->n == 1 && p->terms[0].degree == 0); }

static int64_t constant_of(const poly *p) {
    return p->n && p->terms[p->n - 1].degree == 0 ? p->terms[p->n - 1].factor : 0;
}

/* ---- interning ---- */

static uint64_t hash_poly(const poly *p) {
    uint64_t hash = p->n;
    for (uint32_t i = 0; i < p->n; i++) {
        const mil__term *term = &p->terms[i];
        uint64_t parts[3] = {hash, (uint64_t)term->factor, 0};
        if (term->degree) parts[2] = mil__hash(term->atoms, term->degree * sizeof *term->atoms);
        hash = mil__hash(parts, sizeof parts);
    }
    return hash;
}

static bool same_formula(const void *ctx, uint32_t number, const void *key) {
    const mil__formula *formula = ((const mil__types *)ctx)->formulas[number];
    const poly *p = key;
    if (formula->n != p->n) return false;
    for (uint32_t i = 0; i < p->n; i++) {
        if (formula->terms[i].factor != p->terms[i].factor || compare(&formula->terms[i], &p->terms[i])) return false;
    }
    return true;
}

static uint32_t size_of(const mil__types *types, const poly *p) {
    uint32_t size = 0;
    for (uint32_t i = 0; i < p->n && size <= MAX_SIZE; i++) {
        size++;
        for (uint32_t k = 0; k < p->terms[i].degree && size <= MAX_SIZE; k++) {
            size += types->atoms[p->terms[i].atoms[k]]->size;
        }
    }
    return size;
}

static mil__formula *new_formula(mil__types *types, const poly *p) {
    mil__term *terms = mil__arena_copy(&types->arena, p->terms, p->n * sizeof *terms);
    mil__formula *formula = mil__arena_alloc(&types->arena, sizeof *formula);
    for (uint32_t i = 0; terms && i < p->n; i++) {
        terms[i].atoms = mil__arena_copy(&types->arena, p->terms[i].atoms, terms[i].degree * sizeof *terms[i].atoms);
        if (!terms[i].atoms) return NULL;
    }
    if (!terms || !formula) return NULL;
    *formula = (mil__formula){terms, p->n, 0};
    return formula;
}

static mil_dim intern(mil__types *types, const poly *p) {
    if (types->status != MIL_OK) return 0;
    if (is_constant(p) && constant_of(p) >= 0) return constant_of(p);
    uint64_t hash = hash_poly(p);
    uint32_t found = mil__map_find(&types->formula_map, hash, same_formula, types, p);
    if (found != MIL__NOT_FOUND) return -1 - (mil_dim)found;

    uint32_t size = size_of(types, p);
    if (size > MAX_SIZE) return fail(types, MIL_EVALUE);
    mil__formula *formula = new_formula(types, p);
    if (!formula) return fail(types, MIL_ENOMEM);
    formula->size = size;
    uint32_t number = types->n_formulas;
    if (!mil__types_push(types, &types->formulas, &types->n_formulas, &types->cap_formulas, formula)) return 0;
    if (!mil__map_add(&types->formula_map, hash, number)) {
        types->n_formulas--;
        return fail(types, MIL_ENOMEM);
    }
    return -1 - (mil_dim)number;
}

/* ---- atoms ---- */

static uint64_t hash_atom(const mil__atom *atom) {
    if (atom->kind == MIL__ATOM_SYMBOL) return mil__hash_text(atom->symbol.name);
    return mil__hash(atom->args, atom->n_args * sizeof *atom->args) + (uint64_t)atom->kind;
}

static bool same_atom(const void *ctx, uint32_t number, const void *key) {
    const mil__atom *a = ((const mil__types *)ctx)->atoms[number], *b = key;
    if (a->kind != b->kind || a->n_args != b->n_args) return false;
    if (a->kind == MIL__ATOM_SYMBOL) return strcmp(a->symbol.name, b->symbol.name) == 0;
    return memcmp(a->args, b->args, a->n_args * sizeof *a->args) == 0;
}

static bool copy_atom(mil__types *types, const mil__atom *key, mil__atom **out) {
    mil__atom *atom = mil__arena_copy(&types->arena, key, sizeof *key);
    if (!atom) return false;
    if (key->kind == MIL__ATOM_SYMBOL) {
        atom->symbol.name = mil__arena_text(&types->arena, key->symbol.name, strlen(key->symbol.name));
    } else {
        atom->args = mil__arena_copy(&types->arena, key->args, key->n_args * sizeof *key->args);
    }
    *out = atom;
    return key->kind == MIL__ATOM_SYMBOL ? atom->symbol.name != NULL : atom->args != NULL;
}

static uint32_t atom_size(const mil__types *types, const mil__atom *key) {
    uint32_t size = 1;
    for (uint32_t i = 0; i < key->n_args && size <= MAX_SIZE; i++) {
        size += key->args[i] < 0 ? mil__formula_at(types, key->args[i])->size : 1;
    }
    return size;
}

/* The atom equal to *key as a dim; made when it is new. */
static mil_dim atom_dim(mil__types *types, const mil__atom *key) {
    if (types->status != MIL_OK) return 0;
    uint64_t hash = hash_atom(key);
    uint32_t number = mil__map_find(&types->atom_map, hash, same_atom, types, key);
    if (number != MIL__NOT_FOUND) return types->atoms[number]->dim;

    uint32_t size = atom_size(types, key);
    if (size > MAX_SIZE) return fail(types, MIL_EVALUE);
    mil__atom *atom;
    if (!copy_atom(types, key, &atom)) return fail(types, MIL_ENOMEM);
    atom->size = size;
    number = types->n_atoms;
    if (!mil__types_push(types, &types->atoms, &types->n_atoms, &types->cap_atoms, atom)) return 0;
    mil__term term = {1, 1, &number};
    atom->dim = intern(types, &(poly){&term, 1});
    if (types->status == MIL_OK && mil__map_add(&types->atom_map, hash, number)) return atom->dim;
    /* The formula stays: it names an atom that nothing can reach, whose number must therefore stay taken. */
    return fail(types, MIL_ENOMEM);
}

/* The atom that a dim is, and nothing else; NULL where it is more, or a number. */
static const mil__atom *lone_atom(const mil__types *types, mil_dim dim) {
    if (dim >= 0 || !mil__formula_known(types, dim)) return NULL;
    const mil__formula *formula = mil__formula_at(types, dim);
    if (formula->n != 1 || formula->terms[0].degree != 1 || formula->terms[0].factor != 1) return NULL;
    return types->atoms[formula->terms[0].atoms[0]];
}

/* ---- symbols and numbers ---- */

mil_dim mil__dim_symbol(mil__types *types, const char *name) {
    return atom_dim(types, &(mil__atom){.kind = MIL__ATOM_SYMBOL, .symbol = {name, 0, -1, 0}});
}

static mil_dim add_fresh(mil__types *types, const char *prefix, bool is_variadic) {
    char name[32];
    uint32_t before = types->n_atoms;
    mil_dim dim;
    do { /* a program may have named a symbol of its own so */
        snprintf(name, sizeof name, "%s%lld", prefix, (long long)++types->n_fresh);
        dim = atom_dim(types, &(mil__atom){.kind = MIL__ATOM_SYMBOL, .is_fresh = true, .is_variadic = is_variadic, .symbol = {name, 0, -1, 0}});
    } while (types->n_atoms == before && types->status == MIL_OK);
    return dim;
}

mil_dim mil__dim_fresh(mil__types *types) { return add_fresh(types, "?", false); }
mil_dim mil__dim_variadic(mil__types *types) { return add_fresh(types, "...", true); }

bool mil__dim_is_variadic(const mil__types *types, mil_dim dim) {
    const mil__atom *atom = lone_atom(types, dim);
    return atom && atom->is_variadic;
}

mil_dim mil__dim_next(const mil__types *types) { return -1 - (mil_dim)types->n_formulas; }

bool mil__dim_is_symbol(const mil__types *types, mil_dim dim) {
    const mil__atom *atom = lone_atom(types, dim);
    return atom && atom->kind == MIL__ATOM_SYMBOL;
}

const mil_symbol *mil__dim_symbol_info(const mil__types *types, mil_dim symbol) {
    return mil__dim_is_symbol(types, symbol) ? &lone_atom(types, symbol)->symbol : NULL;
}

/* What was said before and what is said now of one property; `unsaid` stands for nothing. */
static bool agree(int64_t before, int64_t now, int64_t unsaid, int64_t *out) {
    *out = now == unsaid ? before : now;
    return before == unsaid || now == unsaid || before == now;
}

mil_status mil__dim_describe(mil__types *types, mil_dim symbol, const mil_symbol *info, mil_error *err) {
    if (!mil__dim_is_symbol(types, symbol)) {
        return mil__fail(err, MIL_EINVAL, "dim %s is not a symbol", MIL__DIM_TEXT(types, symbol));
    }
    mil_symbol *known = &types->atoms[mil__formula_at(types, symbol)->terms[0].atoms[0]]->symbol, both = *known;
    if (!agree(known->min, info->min, 0, &both.min) || !agree(known->max, info->max > 0 ? info->max : -1, -1, &both.max) ||
        !agree(known->standard, info->standard, 0, &both.standard)) {
        return mil__fail(err, MIL_EVALUE, "dim %s has another range or standard size already: %lld to %lld, standard %lld",
                         known->name, (long long)known->min, (long long)known->max, (long long)known->standard);
    }
    bool in_order = both.min >= 0 && (both.max < 0 || both.min <= both.max);
    bool standard_fits = both.standard == 0 || (both.standard >= both.min && (both.max < 0 || both.standard <= both.max));
    if (!in_order || !standard_fits) {
        return mil__fail(err, MIL_EVALUE, "dim %s: range %lld to %lld does not hold the standard size %lld, or is empty",
                         known->name, (long long)both.min, (long long)both.max, (long long)both.standard);
    }
    *known = both;
    return MIL_OK;
}

mil_dim mil__dim_number(mil__types *types, int64_t n) {
    if (n >= 0) return n;
    mil__term term = {n, 0, NULL};
    return intern(types, &(poly){&term, 1});
}

bool mil__dim_is_number(const mil__types *types, mil_dim dim, int64_t *out) {
    if (dim >= 0) {
        *out = dim;
        return true;
    }
    const mil__formula *formula = mil__formula_at(types, dim);
    if (formula->n != 1 || formula->terms[0].degree != 0) return false;
    *out = formula->terms[0].factor;
    return true;
}

/* ---- arithmetic ---- */

/* Interns what a computation gave and gives its memory back. */
static mil_dim finish(mil__types *types, mil__mark mark, bool ok, const poly *p) {
    mil_dim dim = ok ? intern(types, p) : 0;
    mil__arena_rewind(&types->scratch, mark);
    return dim;
}

static mil_dim add_scaled(mil__types *types, mil_dim a, mil_dim b, int64_t factor) {
    mil__mark mark = mil__arena_mark(&types->scratch);
    poly sum, p;
    bool ok = load(types, a, &sum) && load(types, b, &p) && add_times(types, &sum, &(mil__term){factor, 0, NULL}, &p);
    return finish(types, mark, ok, &sum);
}

mil_dim mil__dim_add(mil__types *types, mil_dim a, mil_dim b) {
    int64_t sum;
    if (a >= 0 && b >= 0) return mil__add_dim(a, b, &sum) ? sum : fail(types, MIL_EVALUE);
    return add_scaled(types, a, b, 1);
}

mil_dim mil__dim_sub(mil__types *types, mil_dim a, mil_dim b) {
    if (a >= b && b >= 0) return a - b;
    return add_scaled(types, a, b, -1);
}

mil_dim mil__dim_mul(mil__types *types, mil_dim a, mil_dim b) {
    int64_t number;
    if (a >= 0 && b >= 0) return mil__mul_dim(a, b, &number) ? number : fail(types, MIL_EVALUE);
    mil__mark mark = mil__arena_mark(&types->scratch);
    poly p, q, product;
    bool ok = load(types, a, &p) && load(types, b, &q) && room(types, 1, &product);
    for (uint32_t i = 0; ok && i < p.n; i++) ok = add_times(types, &product, &p.terms[i], &q);
    return finish(types, mark, ok, &product);
}

mil_dim mil__dim_product(mil__types *types, int rank, const mil_dim *shape) {
    mil_dim product = 1;
    for (int i = 0; i < rank; i++) product = mil__dim_mul(types, product, shape[i]);
    return product;
}

/* ---- floor(a/b) ---- */

/* a = q*b + r, from the leading terms down. For a number b the factors of r are in [0, b); else r is 0 or of no use. */
static bool long_division(mil__types *types, poly a, const poly *b, poly *q, poly *r) {
    const mil__term one = {1, 0, NULL};
    if (!room(types, 1, q) || !room(types, a.n, r)) return false;
    while (a.n) {
        mil__term part;
        bool divides = divide(types, &a.terms[0], &b->terms[0], &part);
        if (types->status != MIL_OK) return false;
        if (divides && part.factor != 0) {
            mil__term minus = part;
            if (!mil__mul_dim(part.factor, -1, &minus.factor)) return fail(types, MIL_EVALUE);
            if (!add_times(types, &a, &minus, b) || !add_times(types, q, &one, &(poly){&part, 1})) return false;
        } else {
            r->terms[r->n++] = *a.terms;
            if (!is_constant(b)) return true;
            a.terms++, a.n--;
        }
    }
    return true;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* floor(r/n) where 1 < n and the factors of r are in [0, n). */
static mil_dim floor_by_number(mil__types *types, poly *r, int64_t n) {
    int64_t common = n;
    for (uint32_t i = 0; i < r->n; i++) {
        if (r->terms[i].degree) common = gcd(common, r->terms[i].factor);
    }
    poly x = {r->terms, 0};
    for (uint32_t i = 0; i < r->n; i++) {
        x.terms[x.n] = r->terms[i];
        if (x.terms[x.n].factor /= common) x.n++;
    }
    n /= common;
    if (is_constant(&x)) return 0; /* it was in [0, n) */
    mil_dim top = intern(types, &x);

    bool plain = x.terms[0].degree == 1 && x.terms[0].factor == 1 && (x.n == 1 || x.terms[1].degree == 0);
    const mil__atom *inner = plain ? types->atoms[x.terms[0].atoms[0]] : NULL;
    if (inner && inner->kind == MIL__ATOM_FLOOR && inner->args[1] > 0) {
        mil_dim shift = mil__dim_mul(types, inner->args[1], constant_of(&x));
        return mil__dim_floordiv(types, mil__dim_add(types, inner->args[0], shift), mil__dim_mul(types, inner->args[1], n));
    }
    return atom_dim(types, &(mil__atom){.kind = MIL__ATOM_FLOOR, .n_args = 2, .args = (mil_dim[]){top, n}});
}

/* b's leading factor is above 0. */
static mil_dim floor_of(mil__types *types, mil_dim a, mil_dim b, const poly *p, const poly *by) {
    poly q, r;
    if (!long_division(types, *p, by, &q, &r)) return 0;
    if (r.n == 0) return intern(types, &q);
    if (!is_constant(by)) {
        return atom_dim(types, &(mil__atom){.kind = MIL__ATOM_FLOOR, .n_args = 2, .args = (mil_dim[]){a, b}});
    }
    mil_dim whole = intern(types, &q);
    return mil__dim_add(types, whole, floor_by_number(types, &r, by->terms[0].factor));
}

mil_dim mil__dim_floordiv(mil__types *types, mil_dim a, mil_dim b) {
    if (b == 0) return fail(types, MIL_EVALUE);
    if (a >= 0 && b > 0) return a / b;
    mil__mark mark = mil__arena_mark(&types->scratch);
    poly p, by;
    mil_dim out = 0;
    if (load(types, a, &p) && load(types, b, &by)) {
        if (by.terms[0].factor < 0) {
            out = mil__dim_floordiv(types, mil__dim_mul(types, a, mil__dim_number(types, -1)),
                                    mil__dim_mul(types, b, mil__dim_number(types, -1)));
        } else {
            out = floor_of(types, a, b, &p, &by);
        }
    }
    mil__arena_rewind(&types->scratch, mark);
    return types->status == MIL_OK ? out : 0;
}

/* ---- max and min ---- */

/* Whether a - b is a number, and that number's sign. */
static bool known_order(mil__types *types, mil_dim a, mil_dim b, int *sign) {
    mil__mark mark = mil__arena_mark(&types->scratch);
    poly p, q;
    bool known = load(types, a, &p) && load(types, b, &q) && add_times(types, &p, &(mil__term){-1, 0, NULL}, &q) &&
                 is_constant(&p);
    if (known) *sign = (constant_of(&p) > 0) - (constant_of(&p) < 0);
    mil__arena_rewind(&types->scratch, mark);
    return known;
}

/* Adds to a set of dims none of which is known to be beyond another (`better` is 1 for max, -1 for min). */
static bool add_candidate(mil__types *types, mil_dim *set, uint32_t *n, mil_dim dim, int better) {
    for (uint32_t i = 0; i < *n;) {
        int sign;
        if (!known_order(types, dim, set[i], &sign)) i++;
        else if (sign != better) return true;
        else set[i] = set[--*n];
    }
    if (*n == MAX_SIZE) return fail(types, MIL_EVALUE);
    set[(*n)++] = dim;
    return true;
}

/* Older formulas first, a number last. */
static int by_age(const void *a, const void *b) {
    mil_dim x = *(const mil_dim *)a, y = *(const mil_dim *)b;
    return (x < y) - (x > y) + ((x >= 0) - (y >= 0)) * 2;
}

static mil_dim extreme(mil__types *types, mil__atom_kind kind, mil_dim a, mil_dim b) {
    int better = kind == MIL__ATOM_MAX ? 1 : -1;
    if (a >= 0 && b >= 0) return (a > b) == (better > 0) ? a : b;
    mil_dim set[MAX_SIZE];
    uint32_t n = 0;
    for (int side = 0; side < 2; side++) {
        mil_dim dim = side ? b : a;
        const mil__atom *atom = lone_atom(types, dim);
        bool nested = atom && atom->kind == kind;
        for (uint32_t i = 0; i < (nested ? atom->n_args : 1); i++) {
            if (!add_candidate(types, set, &n, nested ? atom->args[i] : dim, better)) return 0;
        }
    }
    if (types->status != MIL_OK) return 0;
    if (n == 1) return set[0];
    qsort(set, n, sizeof *set, by_age);
    return atom_dim(types, &(mil__atom){.kind = kind, .n_args = n, .args = set});
}

mil_dim mil__dim_max(mil__types *types, mil_dim a, mil_dim b) { return extreme(types, MIL__ATOM_MAX, a, b); }

mil_dim mil__dim_min(mil__types *types, mil_dim a, mil_dim b) { return extreme(types, MIL__ATOM_MIN, a, b); }

/* ---- substitution and evaluation ---- */

static mil_dim substitute_atom(mil__types *types, const mil__atom *atom, mil_dim (*bind)(void *, mil_dim), void *ctx) {
    if (atom->kind == MIL__ATOM_SYMBOL) return bind(ctx, atom->dim);
    mil_dim out = mil__dim_substitute(types, atom->args[0], bind, ctx);
    for (uint32_t i = 1; i < atom->n_args; i++) {
        mil_dim arg = mil__dim_substitute(types, atom->args[i], bind, ctx);
        out = atom->kind == MIL__ATOM_FLOOR ? mil__dim_floordiv(types, out, arg) : extreme(types, atom->kind, out, arg);
    }
    return out;
}

mil_dim mil__dim_substitute(mil__types *types, mil_dim dim, mil_dim (*bind)(void *, mil_dim), void *ctx) {
    if (dim >= 0) return dim;
    const mil__formula *formula = mil__formula_at(types, dim);
    mil_dim sum = 0;
    for (uint32_t i = 0; i < formula->n; i++) {
        const mil__term *term = &formula->terms[i];
        mil_dim product = mil__dim_number(types, term->factor);
        for (uint32_t k = 0; k < term->degree; k++) {
            product = mil__dim_mul(types, product, substitute_atom(types, types->atoms[term->atoms[k]], bind, ctx));
        }
        sum = mil__dim_add(types, sum, product);
    }
    return sum;
}

static bool eval_atom(const mil__types *types, const mil__atom *atom, int64_t (*value)(void *, mil_dim), void *ctx,
                      int64_t *out) {
    if (atom->kind == MIL__ATOM_SYMBOL) {
        *out = value(ctx, atom->dim);
        return true;
    }
    if (!mil__dim_eval(types, atom->args[0], value, ctx, out)) return false;
    for (uint32_t i = 1; i < atom->n_args; i++) {
        int64_t arg;
        if (!mil__dim_eval(types, atom->args[i], value, ctx, &arg)) return false;
        if (atom->kind == MIL__ATOM_FLOOR) {
            if (arg == 0 || (arg == -1 && *out == INT64_MIN)) return false;
            *out = *out / arg - (*out % arg != 0 && (*out < 0) != (arg < 0));
        } else if ((arg > *out) == (atom->kind == MIL__ATOM_MAX)) {
            *out = arg;
        }
    }
    return true;
}

bool mil__dim_eval(const mil__types *types, mil_dim dim, int64_t (*value)(void *, mil_dim), void *ctx, int64_t *out) {
    if (dim >= 0) {
        *out = dim;
        return true;
    }
    const mil__formula *formula = mil__formula_at(types, dim);
    int64_t sum = 0;
    for (uint32_t i = 0; i < formula->n; i++) {
        int64_t product = formula->terms[i].factor, factor;
        for (uint32_t k = 0; k < formula->terms[i].degree; k++) {
            if (!eval_atom(types, types->atoms[formula->terms[i].atoms[k]], value, ctx, &factor)) return false;
            if (!mil__mul_dim(product, factor, &product)) return false;
        }
        if (!mil__add_dim(sum, product, &sum)) return false;
    }
    *out = sum;
    return true;
}
