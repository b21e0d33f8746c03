/* SPDX-License-Identifier: MIT */
/* Types of values: made once each and compared by pointer; the owner of types and dims. */
#include "types/types_impl.h"

mil__types *mil__types_new(void) {
    mil__types *types = mil__calloc(1, sizeof *types);
    if (!types) return NULL;
    if (!mil__arena_alloc(&types->scratch, 1)) { /* keeps the first chunk over every rewind */
        mil__types_free(types);
        return NULL;
    }
    return types;
}

void mil__types_free(mil__types *types) {
    if (!types) return;
    mil__map_free(&types->type_map);
    mil__map_free(&types->atom_map);
    mil__map_free(&types->formula_map);
    mil__free((void *)types->types);
    mil__free(types->atoms);
    mil__free(types->formulas);
    mil__arena_free(&types->arena);
    mil__arena_free(&types->scratch);
    mil__free(types);
}

mil_status mil__types_status(const mil__types *types) { return types->status; }

void mil__types_clear_status(mil__types *types) { types->status = MIL_OK; }

bool mil__types_push(mil__types *types, void *array, uint32_t *n, uint32_t *cap, void *item) {
    void **items;
    memcpy(&items, array, sizeof items);
    if (*n == *cap) {
        uint32_t more = *cap ? *cap * 2 : 16;
        items = mil__realloc(items, more * sizeof *items);
        if (!items) {
            mil__types_fail(types, MIL_ENOMEM);
            return false;
        }
        memcpy(array, &items, sizeof items);
        *cap = more;
    }
    items[(*n)++] = item;
    return true;
}

/* ---- interning ---- */

static uint64_t hash_type(const mil_type *type) {
    uint64_t seed = ((uint64_t)type->kind << 32 | (uint64_t)type->dtype) + (uint64_t)type->length * 0x9fb21c651e98df25u;
    if (type->n_items) return seed + mil__hash(type->items, (size_t)type->n_items * sizeof *type->items);
    return seed * 0x9e3779b97f4a7c15u + mil__hash(type->shape, (size_t)type->rank * sizeof *type->shape);
}

static bool are_same(const mil_type *a, const mil_type *b) {
    return a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank && a->n_items == b->n_items &&
           a->length == b->length &&
           (!a->rank || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0) &&
           (!a->n_items || memcmp(a->items, b->items, (size_t)a->n_items * sizeof *a->items) == 0);
}

static bool same_type(const void *ctx, uint32_t number, const void *key) {
    return are_same(((const mil__types *)ctx)->types[number], key);
}

static const mil_type *intern_new(mil__types *types, const mil_type *key);

/* The type equal to *key. A few make up most of a program, so the last ones are compared before anything is hashed. */
static const mil_type *intern(mil__types *types, const mil_type *key) {
    if (types->status != MIL_OK) return NULL;
    const mil_type **recent = &types->recent[((unsigned)key->dtype + (unsigned)key->rank * 3u) % MIL__COUNT(types->recent)];
    if (!*recent || !are_same(*recent, key)) {
        const mil_type *type = intern_new(types, key);
        if (!type) return NULL;
        *recent = type;
    }
    return *recent;
}

/* The type equal to *key, made with copies of what key points to when it is new. */
static const mil_type *intern_new(mil__types *types, const mil_type *key) {
    uint64_t hash = hash_type(key);
    uint32_t found = mil__map_find(&types->type_map, hash, same_type, types, key);
    if (found != MIL__NOT_FOUND) return types->types[found];

    mil_type *type = mil__arena_copy(&types->arena, key, sizeof *key);
    if (type && key->rank) type->shape = mil__arena_copy(&types->arena, key->shape, (size_t)key->rank * sizeof *key->shape);
    if (type) type->is_unranked = key->rank == 1 && mil__dim_is_variadic(types, key->shape[0]);
    if (type && key->n_items) {
        type->items = mil__arena_copy(&types->arena, key->items, (size_t)key->n_items * sizeof *key->items);
    }
    bool copied = type && (!key->rank || type->shape) && (!key->n_items || type->items);
    if (!copied || !mil__types_push(types, &types->types, &types->n_types, &types->cap_types, type)) {
        mil__types_fail(types, MIL_ENOMEM);
        return NULL;
    }
    if (!mil__map_add(&types->type_map, hash, types->n_types - 1)) {
        types->n_types--;
        mil__types_fail(types, MIL_ENOMEM);
        return NULL;
    }
    return type;
}

const mil_type *mil__tensor_type(mil__types *types, mil_dtype dtype, int rank, const mil_dim *shape) {
    return intern(types, &(mil_type){.kind = MIL_TENSOR, .dtype = dtype, .rank = rank, .shape = rank ? shape : NULL});
}

const mil_type *mil__scalar_type(mil__types *types, mil_dtype dtype) {
    return mil__tensor_type(types, dtype, 0, NULL);
}

/* A NULL item is a type that could not be made before: its failure is in the status already. */
static const mil_type *intern_with_items(mil__types *types, mil_type_kind kind, int n, const mil_type *const *items,
                                         mil_dim length) {
    for (int i = 0; i < n; i++) {
        if (!items[i]) return NULL;
    }
    return intern(types, &(mil_type){.kind = kind, .n_items = n, .items = n ? items : NULL, .length = length});
}

const mil_type *mil__list_type(mil__types *types, const mil_type *element, mil_dim length) {
    return intern_with_items(types, MIL_LIST, 1, &element, length);
}

const mil_type *mil__growing_list_type(mil__types *types, const mil_type *element, int64_t first) {
    mil_symbol symbol = {.max = -1, .standard = first};
    mil_dim length = mil__dim_fresh(types);
    if (length >= 0 || (first > 0 && mil__dim_describe(types, length, &symbol, NULL) != MIL_OK)) return NULL;
    return mil__list_type(types, element, length);
}

mil_dim mil__list_length_written(const mil__types *types, const mil_type *list) {
    const mil_symbol *symbol = list->length < 0 ? mil__dim_symbol_info(types, list->length) : NULL;
    return symbol && symbol->standard > 0 ? symbol->standard : list->length;
}

const mil_type *mil__tuple_type(mil__types *types, int n, const mil_type *const *items) {
    return intern_with_items(types, MIL_TUPLE, n, items, 0);
}

const mil_type *mil__dict_type(mil__types *types, const mil_type *key, const mil_type *value) {
    return intern_with_items(types, MIL_DICT, 2, (const mil_type *[]){key, value}, 0);
}

const mil_type *mil__state_type(mil__types *types, const mil_type *tensor) {
    return intern_with_items(types, MIL_STATE, 1, &tensor, 0);
}

/* ---- questions ---- */

static bool dim_fits(mil_dim wanted, mil_dim given) {
    return wanted == given || mil__dim_is_symbolic(wanted) || mil__dim_is_symbolic(given);
}

bool mil__type_fits(const mil_type *wanted, const mil_type *given) {
    if (wanted == given) return true;
    if (!wanted || !given || wanted->kind != given->kind || wanted->dtype != given->dtype) return false;
    if (wanted->is_unranked || given->is_unranked) return true;
    if (wanted->rank != given->rank || wanted->n_items != given->n_items) return false;
    for (int i = 0; i < wanted->rank; i++) {
        if (!dim_fits(wanted->shape[i], given->shape[i])) return false;
    }
    for (int i = 0; i < wanted->n_items; i++) {
        if (!mil__type_fits(wanted->items[i], given->items[i])) return false;
    }
    return wanted->kind != MIL_LIST || dim_fits(wanted->length, given->length);
}

bool mil__type_holds(const mil_type *wanted, const mil_type *given) {
    if (wanted == given) return true;
    if (wanted->kind != given->kind || wanted->dtype != given->dtype) return false;
    if (wanted->is_unranked || given->is_unranked) return wanted->is_unranked;
    if (wanted->rank != given->rank || wanted->n_items != given->n_items) return false;
    for (int i = 0; i < wanted->rank; i++)
        if (wanted->shape[i] >= 0 && wanted->shape[i] != given->shape[i]) return false;
    for (int i = 0; i < wanted->n_items; i++)
        if (!mil__type_holds(wanted->items[i], given->items[i])) return false;
    return true;
}

static const mil_type *wider_tensor(mil__types *types, const mil_type *a, const mil_type *b) {
    mil_dim shape[MIL_MAX_RANK];
    if (b->is_unranked || a->rank != b->rank) return mil__tensor_type(types, a->dtype, 1, (mil_dim[]){mil__dim_variadic(types)});
    for (int i = 0; i < a->rank; i++) shape[i] = a->shape[i] >= 0 && a->shape[i] != b->shape[i] ? mil__dim_fresh(types) : a->shape[i];
    return mil__tensor_type(types, a->dtype, a->rank, shape);
}

const mil_type *mil__type_wider(mil__types *types, const mil_type *type, const mil_type *other, bool any_rank) {
    bool is_list = type->kind == MIL_LIST && other->kind == MIL_LIST;
    const mil_type *a = is_list ? type->items[0] : type, *b = is_list ? other->items[0] : other;
    bool same_but_sizes = a->kind == MIL_TENSOR && b->kind == MIL_TENSOR && a->dtype == b->dtype &&
                          (a->rank == b->rank || (!is_list && (b->is_unranked || any_rank)));
    if (!same_but_sizes || mil__type_holds(type, other)) return type;
    const mil_type *wider = wider_tensor(types, a, b);
    return is_list && wider ? mil__list_type(types, wider, type->length) : wider;
}

/* The tensor type that a type is, or that its state holds; NULL for the others. */
static const mil_type *tensor_of(const mil_type *type) {
    if (type->kind == MIL_STATE) return type->items[0];
    return type->kind == MIL_TENSOR ? type : NULL;
}

mil_type_kind mil_type_kind_of(const mil_type *type) { return type->kind; }

mil_dtype mil_type_dtype(const mil_type *type) {
    const mil_type *tensor = tensor_of(type);
    return tensor ? tensor->dtype : MIL_NO_DTYPE;
}

int mil_type_rank(const mil_type *type) {
    const mil_type *tensor = tensor_of(type);
    return !tensor ? 0 : tensor->is_unranked ? MIL_UNKNOWN_RANK : tensor->rank;
}

mil_dim mil_type_dim(const mil_type *type, int axis) {
    const mil_type *tensor = tensor_of(type);
    return tensor && axis >= 0 && axis < tensor->rank ? tensor->shape[axis] : 0;
}
