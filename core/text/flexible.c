/* SPDX-License-Identifier: MIT */
/* The sizes of flexible inputs, as Apple's compiler writes them: a tuple of two tuples,
 *
 *     ("DefaultShapes", {{"x", [1, 4]}}), ("RangeDims", {{"x", [[1, 1], [1, 9]]}})
 *     ("DefaultShapes", {{"x", [1, 4]}}), ("EnumeratedShapes", {{"0badf00d", {{"x", [1, 4]}}}, {"deadbeef", {{"x", [1,
 * 8]}}}})
 *
 * with a range for each dim, or each set of shapes under a name of 8 digits. How Apple makes those is not known; ours
 * are a hash of the shapes. Where some inputs have ranges and some shapes, all are given as ranges. */
#include <stdio.h>

#include "tensor/tensor.h"
#include "text/flexible.h"

/* ---- reading ---- */

static const mil__attr *find(const mil__function *function) {
    const mil__attr *attr = function->attrs;
    while (attr && strcmp(attr->name, MIL__FLEXIBLE) != 0) attr = attr->next;
    return attr;
}

int64_t mil__flexible_least(const mil__function *function, const mil_symbol *symbol) {
    return symbol->min > 0 || find(function) ? symbol->min : 1;
}

/* "" where it is no string. */
static const char *text_of(const mil__attr *attr) {
    const mil_tensor *data = attr->data;
    return data && data->dtype == MIL_STRING && mil__numel(data) == 1 ? mil_tensor_string(data, 0, NULL) : "";
}

/* The input that a dictionary's key names, if it is a tensor and its value has so many entries; 0: not so. */
static mil_value input_of(const mil_program *program, const mil__function *function, const mil__attr *key, int64_t n) {
    const char *name = text_of(key);
    mil_value id = *name ? mil__value_named(program, function->block, name, strlen(name)) : 0;
    const mil__value *value = id ? program->values[id] : NULL;
    bool fits = value && !value->op && value->type->kind == MIL_TENSOR && value->type->rank == n;
    return fits ? id : 0;
}

static bool is_ints(const mil__attr *attr, int64_t *n) {
    bool is = attr->data && attr->data->dtype == MIL_INT32 && attr->data->rank == 1;
    if (is) *n = attr->data->shape[0];
    return is;
}

static int64_t int_at(const mil__attr *attr, int64_t i) { return ((const int32_t *)attr->data->data)[i]; }

/* What contradicts what is known already is not taken. */
static mil_status describe(mil_program *program, mil_dim dim, int64_t min, int64_t max, int64_t standard,
                           mil_error *err) {
    if (dim >= 0 || min < 0 || !mil__dim_is_symbol(program->types, dim)) return MIL_OK;
    mil_symbol symbol = {.min = min, .max = max, .standard = standard > 0 ? standard : 0};
    mil_status status = mil__dim_describe(program->types, dim, &symbol, NULL);
    return status == MIL_ENOMEM ? mil__nomem(err) : MIL_OK;
}

static mil_status read_defaults(mil_program *program, const mil__function *function, const mil__attr *dict,
                                mil_error *err) {
    for (int i = 0; i + 1 < dict->n_items; i += 2) {
        int64_t n = 0;
        mil_value id = is_ints(&dict->items[i + 1], &n) ? input_of(program, function, &dict->items[i], n) : 0;
        for (int64_t d = 0; id && d < n; d++)
            MIL__TRY(
                describe(program, program->values[id]->type->shape[d], 0, -1, int_at(&dict->items[i + 1], d), err));
    }
    return MIL_OK;
}

static mil_status read_ranges(mil_program *program, const mil__function *function, const mil__attr *dict,
                              mil_error *err) {
    for (int i = 0; i + 1 < dict->n_items; i += 2) {
        const mil__attr *list = &dict->items[i + 1];
        mil_value id = list->type->kind == MIL_LIST ? input_of(program, function, &dict->items[i], list->n_items) : 0;
        for (int d = 0; id && d < list->n_items; d++) {
            int64_t n = 0;
            if (!is_ints(&list->items[d], &n) || n != 2) continue;
            int64_t min = int_at(&list->items[d], 0), max = int_at(&list->items[d], 1);
            MIL__TRY(describe(program, program->values[id]->type->shape[d], min, max, 0, err));
        }
    }
    return MIL_OK;
}

/* The shapes of one input while the sets are gone through. */
typedef struct shapes {
    size_t n, cap;
    int64_t *sizes;
} shapes;

typedef mil_status each_shape(mil_program *program, shapes *of_input, const mil__value *input, const mil__attr *shape,
                              mil_error *err);

static mil_status count_shape(mil_program *program, shapes *s, const mil__value *input, const mil__attr *shape,
                              mil_error *err) {
    (void)program, (void)input, (void)shape, (void)err;
    s->cap++;
    return MIL_OK;
}

static mil_status take_shape(mil_program *program, shapes *s, const mil__value *input, const mil__attr *shape,
                             mil_error *err) {
    size_t rank = (size_t)input->type->rank;
    if (!s->sizes && !(s->sizes = mil__arena_zero(&program->scratch, s->cap * rank + 1, sizeof *s->sizes)))
        return mil__nomem(err);
    for (size_t d = 0; d < rank; d++) s->sizes[s->n * rank + d] = int_at(shape, (int64_t)d);
    s->n++;
    return MIL_OK;
}

/* Each shape of each set, with its input's place in `all`. */
static mil_status for_each_shape(mil_program *program, const mil__function *function, const mil__attr *sets,
                                 shapes *all, each_shape *fn, mil_error *err) {
    for (int s = 1; s < sets->n_items; s += 2) {
        const mil__attr *set = &sets->items[s];
        for (int i = 0; set->type->kind == MIL_DICT && i + 1 < set->n_items; i += 2) {
            int64_t n = 0;
            mil_value id = is_ints(&set->items[i + 1], &n) ? input_of(program, function, &set->items[i], n) : 0;
            const mil__value *input = id ? program->values[id] : NULL;
            if (input) MIL__TRY(fn(program, &all[input->index], input, &set->items[i + 1], err));
        }
    }
    return MIL_OK;
}

/* The usual shape first: what DefaultShapes said is known of the dims by now. */
static void put_default_first(const mil_program *program, const mil_type *type, shapes *s) {
    size_t rank = (size_t)type->rank;
    for (size_t i = 1; i < s->n; i++) {
        bool is_default = true;
        for (size_t d = 0; d < rank; d++) {
            const mil_symbol *symbol = mil__dim_symbol_info(program->types, type->shape[d]);
            is_default &= s->sizes[i * rank + d] == (symbol ? symbol->standard : type->shape[d]);
        }
        if (!is_default) continue;
        int64_t shape[MIL_MAX_RANK];
        memcpy(shape, s->sizes + i * rank, rank * sizeof *shape);
        memmove(s->sizes + rank, s->sizes, i * rank * sizeof *shape);
        memcpy(s->sizes, shape, rank * sizeof *shape);
        return;
    }
}

static mil_status give_shapes(mil_program *program, mil_value id, shapes *s, mil_error *err) {
    const mil_type *type = program->values[id]->type;
    size_t rank = (size_t)type->rank;
    if (mil_program_input_shapes(program, id, s->n, s->sizes, NULL) != MIL_OK) return MIL_OK;
    for (size_t d = 0; d < rank; d++) {
        int64_t min = INT64_MAX, max = 0;
        for (size_t i = 0; i < s->n; i++) {
            int64_t size = s->sizes[i * rank + d];
            min = size < min ? size : min;
            max = size > max ? size : max;
        }
        MIL__TRY(describe(program, type->shape[d], min, max, 0, err));
    }
    return MIL_OK;
}

static mil_status read_shapes(mil_program *program, const mil__function *function, const mil__attr *sets,
                              mil_error *err) {
    const mil__block *body = program->blocks[function->block];
    mil__mark mark = mil__arena_mark(&program->scratch);
    shapes *all = mil__arena_zero(&program->scratch, body->n_inputs + 1u, sizeof *all);
    mil_status status = all ? for_each_shape(program, function, sets, all, count_shape, err) : mil__nomem(err);
    if (status == MIL_OK) status = for_each_shape(program, function, sets, all, take_shape, err);
    for (uint32_t i = 0; status == MIL_OK && i < body->n_inputs; i++) {
        if (!all[i].n) continue;
        put_default_first(program, program->values[body->inputs[i]]->type, &all[i]);
        status = give_shapes(program, body->inputs[i], &all[i], err);
    }
    mil__arena_rewind(&program->scratch, mark);
    return status;
}

mil_status mil__flexible_read(mil_program *program, const mil__function *function, mil_error *err) {
    const mil__attr *attr = find(function);
    if (!attr || attr->type->kind != MIL_TUPLE) return MIL_OK;
    for (int i = 0; i < attr->n_items; i++) {
        const mil__attr *part = &attr->items[i];
        if (part->type->kind != MIL_TUPLE || part->n_items != 2 || part->items[1].type->kind != MIL_DICT) continue;
        const char *what = text_of(&part->items[0]);
        const mil__attr *dict = &part->items[1];
        if (strcmp(what, "DefaultShapes") == 0) MIL__TRY(read_defaults(program, function, dict, err));
        else if (strcmp(what, "RangeDims") == 0) MIL__TRY(read_ranges(program, function, dict, err));
        else if (strcmp(what, "EnumeratedShapes") == 0) MIL__TRY(read_shapes(program, function, dict, err));
    }
    return MIL_OK;
}

/* ---- writing ---- */

/* What makes the tree. The first failed allocation is remembered, and everything after it is NULL. */
typedef struct maker {
    const mil_program *program;
    const mil__function *function;
    mil__arena *arena;
    const mil_type *text, *shape, *range; /* string; int32[?]; int32[2] */
    mil_dim unknown;
    bool failed;
} maker;

static void *room(maker *m, size_t n, size_t bytes) {
    void *p = m->failed ? NULL : mil__arena_zero(m->arena, n + 1, bytes);
    m->failed |= !p;
    return p;
}

static mil__attr make_text(maker *m, const char *s) {
    size_t n = strlen(s);
    mil_tensor *data =
        m->failed ? NULL : mil__tensor_in(m->arena, MIL_STRING, 0, NULL, sizeof(mil__string_ref) + n + 1);
    m->failed |= !data;
    if (!data) return (mil__attr){0};
    *(mil__string_ref *)data->data = (mil__string_ref){sizeof(mil__string_ref), n};
    memcpy((char *)data->data + sizeof(mil__string_ref), s, n);
    return (mil__attr){.type = m->text, .data = data};
}

static mil__attr make_ints(maker *m, const mil_type *type, const int64_t *values, int64_t n) {
    mil_tensor *data = m->failed ? NULL : mil__tensor_in(m->arena, MIL_INT32, 1, &n, (size_t)n * sizeof(int32_t));
    m->failed |= !data;
    for (int64_t i = 0; data && i < n; i++) ((int32_t *)data->data)[i] = (int32_t)values[i];
    return (mil__attr){.type = type, .data = data};
}

static mil__attr make_items(maker *m, const mil_type *type, mil__attr *items, int n) {
    m->failed |= !type || !items;
    return (mil__attr){.type = type, .items = items, .n_items = n};
}

static mil__attr make_pair(maker *m, const char *what, mil__attr dict) {
    mil__attr *items = room(m, 2, sizeof *items);
    if (!items) return (mil__attr){0};
    items[0] = make_text(m, what);
    items[1] = dict;
    const mil_type *types[] = {m->text, dict.type};
    return make_items(m, dict.type ? mil__tuple_type(m->program->types, 2, types) : NULL, items, 2);
}

/* The limits of an input's dims; false: it is fixed, or a dim has none. */
static bool limits_of(const maker *m, const mil__value *input, int64_t limits[MIL_MAX_RANK][2], int64_t *standard) {
    const mil_type *type = input->type;
    bool is_flexible = false;
    for (int d = 0; type->kind == MIL_TENSOR && d < type->rank; d++) {
        limits[d][0] = limits[d][1] = standard[d] = type->shape[d];
        if (type->shape[d] >= 0) continue;
        const mil_symbol *symbol = mil__dim_symbol_info(m->program->types, type->shape[d]);
        if (!symbol || symbol->max < 1 || symbol->max > INT32_MAX) return false;
        limits[d][0] = mil__flexible_least(m->function, symbol);
        limits[d][1] = symbol->max;
        standard[d] = symbol->standard > 0 ? symbol->standard : limits[d][0];
        is_flexible = true;
    }
    return is_flexible;
}

static mil__attr make_range(maker *m, const mil__value *input, int64_t limits[MIL_MAX_RANK][2]) {
    int rank = input->type->rank;
    mil__attr *items = room(m, (size_t)rank, sizeof *items);
    for (int d = 0; items && d < rank; d++) items[d] = make_ints(m, m->range, limits[d], 2);
    return make_items(m, mil__list_type(m->program->types, m->range, m->unknown), items, rank);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(mil__value *const *)a)->name, (*(mil__value *const *)b)->name);
}

/* The inputs that have limits, by name; *all_shapes: each has shapes to choose from. */
static mil__value **limited_inputs(maker *m, size_t *n, bool *all_shapes) {
    const mil__block *body = m->program->blocks[m->function->block];
    mil__value **list = room(m, body->n_inputs, sizeof *list);
    int64_t limits[MIL_MAX_RANK][2], standard[MIL_MAX_RANK];
    *n = 0;
    *all_shapes = true;
    for (uint32_t i = 0; list && i < body->n_inputs; i++) {
        mil__value *input = m->program->values[body->inputs[i]];
        if (!limits_of(m, input, limits, standard)) continue;
        list[(*n)++] = input;
        *all_shapes &= mil__input_shapes(m->program, body->inputs[i]) != NULL;
    }
    if (list && *n) qsort(list, *n, sizeof *list, by_name);
    return list;
}

static const mil__shapes *shapes_of(const maker *m, const mil__value *input) {
    return mil__input_shapes(m->program, m->program->blocks[input->block]->inputs[input->index]);
}

/* {{name, shape}, ..}: the usual one of each input, or of all that have shapes the one of a set. */
static mil__attr make_shapes(maker *m, mil__value **inputs, size_t n, bool of_set, size_t set) {
    mil__attr *items = room(m, 2 * n, sizeof *items);
    int64_t limits[MIL_MAX_RANK][2], standard[MIL_MAX_RANK];
    for (size_t i = 0; items && i < n; i++) {
        const mil__shapes *given = shapes_of(m, inputs[i]);
        int rank = inputs[i]->type->rank;
        limits_of(m, inputs[i], limits, standard);
        const int64_t *shape = given ? given->shapes + (of_set && set < given->n ? set : 0) * (size_t)rank : standard;
        items[2 * i] = make_text(m, inputs[i]->name);
        items[2 * i + 1] = make_ints(m, m->shape, shape, rank);
    }
    return make_items(m, mil__dict_type(m->program->types, m->text, m->shape), items, (int)(2 * n));
}

static mil__attr make_sets(maker *m, mil__value **inputs, size_t n) {
    size_t n_sets = 0;
    for (size_t i = 0; i < n; i++) n_sets = shapes_of(m, inputs[i])->n > n_sets ? shapes_of(m, inputs[i])->n : n_sets;
    mil__attr *items = room(m, 2 * n_sets, sizeof *items);
    const mil_type *type = NULL;
    for (size_t s = 0; items && s < n_sets; s++) {
        uint64_t hash = s;
        char name[16];
        for (size_t i = 0; i < n; i++) {
            const mil__shapes *given = shapes_of(m, inputs[i]);
            size_t rank = (size_t)inputs[i]->type->rank;
            hash = hash * 31 + mil__hash(given->shapes + (s < given->n ? s : 0) * rank, rank * sizeof *given->shapes);
        }
        snprintf(name, sizeof name, "%08x", (unsigned)(hash ^ hash >> 32));
        items[2 * s] = make_text(m, name);
        items[2 * s + 1] = make_shapes(m, inputs, n, true, s);
        type = items[2 * s + 1].type;
    }
    return make_items(m, type ? mil__dict_type(m->program->types, m->text, type) : NULL, items, (int)(2 * n_sets));
}

static mil__attr make_ranges(maker *m, mil__value **inputs, size_t n) {
    mil__attr *items = room(m, 2 * n, sizeof *items);
    const mil_type *type = mil__list_type(m->program->types, m->range, m->unknown);
    int64_t limits[MIL_MAX_RANK][2], standard[MIL_MAX_RANK];
    for (size_t i = 0; items && i < n; i++) {
        limits_of(m, inputs[i], limits, standard);
        items[2 * i] = make_text(m, inputs[i]->name);
        items[2 * i + 1] = make_range(m, inputs[i], limits);
    }
    return make_items(m, type ? mil__dict_type(m->program->types, m->text, type) : NULL, items, (int)(2 * n));
}

static mil__attr make_information(maker *m, mil__value **inputs, size_t n, bool all_shapes) {
    mil__attr *items = room(m, 2, sizeof *items);
    if (!items) return (mil__attr){0};
    items[0] = make_pair(m, "DefaultShapes", make_shapes(m, inputs, n, false, 0));
    items[1] = all_shapes ? make_pair(m, "EnumeratedShapes", make_sets(m, inputs, n))
                          : make_pair(m, "RangeDims", make_ranges(m, inputs, n));
    const mil_type *types[] = {items[0].type, items[1].type};
    const mil_type *type = types[0] && types[1] ? mil__tuple_type(m->program->types, 2, types) : NULL;
    mil__attr made = make_items(m, type, items, 2);
    made.name = MIL__FLEXIBLE;
    return made;
}

mil_status mil__flexible_write(const mil_program *program, const mil__function *function, mil__arena *arena,
                               const mil__attr **out, mil_error *err) {
    mil__types *types = program->types;
    mil_dim two = 2, unknown = mil__dim_fresh(types);
    maker m = {program,
               function,
               arena,
               mil__scalar_type(types, MIL_STRING),
               mil__tensor_type(types, MIL_INT32, 1, &unknown),
               mil__tensor_type(types, MIL_INT32, 1, &two),
               unknown,
               false};
    m.failed = !m.text || !m.shape || !m.range;
    size_t n;
    bool all_shapes;
    mil__value **inputs = limited_inputs(&m, &n, &all_shapes);
    const mil__attr *first = NULL, **end = &first;
    for (const mil__attr *attr = function->attrs; attr && !m.failed; attr = attr->next) {
        mil__attr *copy = strcmp(attr->name, MIL__FLEXIBLE) != 0 ? room(&m, 1, sizeof *copy) : NULL;
        if (!copy) continue;
        *copy = *attr;
        copy->next = NULL;
        *end = copy;
        end = (const mil__attr **)&copy->next;
    }
    mil__attr *made = n ? room(&m, 1, sizeof *made) : NULL;
    if (made) *end = made, *made = make_information(&m, inputs, n, all_shapes);
    if (m.failed) return mil__nomem(err);
    *out = first;
    return MIL_OK;
}
