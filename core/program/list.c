/* SPDX-License-Identifier: MIT */
/* Lists that are part of a program, as the labels of a classifier: made of a vector, an item an element. They are in the `val`
 * of a const, and that in the program's arena. */
#include "program/program.h"

static mil_tensor *text_item(mil__arena *arena, const char *s, size_t n) {
    mil_tensor *item = mil__tensor_in(arena, MIL_STRING, 0, NULL, sizeof(mil__string_ref) + n + 1);
    if (!item) return NULL;
    *(mil__string_ref *)item->data = (mil__string_ref){sizeof(mil__string_ref), n};
    char *to = (char *)item->data + sizeof(mil__string_ref);
    memcpy(to, s, n);
    to[n] = 0;
    return item;
}

static mil_tensor *item_of(mil__arena *arena, const mil_tensor *vector, int64_t i) {
    if (vector->dtype == MIL_STRING) {
        size_t n;
        const char *s = mil_tensor_string(vector, i, &n);
        return text_item(arena, s, n);
    }
    mil_tensor *item = mil__tensor_in(arena, MIL_INT64, 0, NULL, sizeof(int64_t));
    if (item) *(int64_t *)item->data = mil__load_i64(vector, i * vector->strides[0]);
    return item;
}

mil_status mil__list_of_vector(mil_program *program, const mil_tensor *vector, mil__attr **out, mil_error *err) {
    int64_t n = vector->shape[0];
    bool is_text = vector->dtype == MIL_STRING;
    const mil_type *element = mil__scalar_type(program->types, is_text ? MIL_STRING : MIL_INT64);
    const mil_type *type = n <= INT32_MAX ? mil__list_type(program->types, element, n) : NULL;
    mil__attr *list = mil__arena_zero(&program->arena, 1, sizeof *list);
    mil__attr *items = mil__arena_zero(&program->arena, (size_t)n + 1, sizeof *items);
    if (!type || !list || !items) return mil__nomem(err);
    for (int64_t i = 0; i < n; i++) {
        items[i] = (mil__attr){.type = element, .data = item_of(&program->arena, vector, i)};
        if (!items[i].data) return mil__nomem(err);
    }
    *list = (mil__attr){.name = "val", .type = type, .n_items = (int)n, .items = items};
    *out = list;
    return MIL_OK;
}
