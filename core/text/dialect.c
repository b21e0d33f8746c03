/* SPDX-License-Identifier: MIT */
/* The dialect of MIL text that the Neural Engine's compilers take, and the weights files that go with it, in memory.
 *
 * What they want beyond what MIL is: each parameter is a const operation with a name, none a literal at its use; names are
 * letters, digits and _ , and differ all over a function; each operation says its name and nothing else; sizes are fixed; the
 * line of versions is one line. Older compilers know the long spelling of scalars alone (program(1.0), ios16).
 *
 * Names are chosen here, by value, before the text is printed; values keep theirs as far as that goes, before those whose name has
 * an @ get another. A const is called after
 * the first operation that takes it and the parameter: y_axis. */
#include <stdio.h>

#include "text/print.h"
#include "weights/milblob.h"

enum { LARGE = 10 }; /* from so many elements on, a const is in a file */

typedef struct placed { /* where a const's elements are; offset 0: in the text */
    uint32_t file;
    uint64_t offset;
} placed;

typedef struct writing {
    const mil_program *program;
    bool one_file, is_long, is_inline;
    mil_opset opset;
    mil__arena arena;
    const char **names;       /* by value; NULL: it is not in the text */
    mil__map taken;           /* names, by value */
    uint32_t *numbers;        /* by value: of the last name that was made of its own */
    placed *places;           /* by value */
    mil_value *large;         /* those in files, in the order of the text */
    uint32_t n_large;
    mil_text_file *files;
    uint32_t n_files;
    mil_error *err;
} writing;

/* What a mil_dialect is made of. */
typedef struct dialect {
    mil_dialect shown;        /* first: what the caller has */
    mil__arena arena;         /* of files' names */
} dialect;

/* ---- names ---- */

static bool is_so_called(const void *ctx, uint32_t number, const void *key) {
    return strcmp(((const writing *)ctx)->names[number], key) == 0;
}

/* The value that is called so; MIL__NOT_FOUND: none is. */
static uint32_t find_named(const writing *w, const char *name) {
    return mil__map_find(&w->taken, mil__hash_text(name), is_so_called, w, name);
}

/* The value is called base, or base_1, base_2 .. where that is taken. */
static mil_status give_name(writing *w, mil_value value, const char *base) {
    size_t n = strlen(base) + 24;
    char *name = mil__arena_alloc(&w->arena, n);
    if (!name) return mil__nomem(w->err);
    snprintf(name, n, "%s", base);
    for (char *p = name; *p; p++)
        if (*p == '@') *p = '_';
    size_t length = strlen(name);
    uint32_t first = find_named(w, name);
    if (first != MIL__NOT_FOUND)
        do snprintf(name + length, n - length, "_%u", (unsigned)++w->numbers[first]);
        while (find_named(w, name) != MIL__NOT_FOUND);
    w->names[value] = name;
    return mil__map_add(&w->taken, mil__hash_text(name), value) ? MIL_OK : mil__nomem(w->err);
}

static mil_status fail(writing *w, mil_status status, const mil__op *op, const char *what) {
    const char *result = mil__result_name(w->program, op);
    return mil__fail(w->err, status, "%s%s%s: %s", op->decl->name, result ? " " : "", result ? result : "", what);
}

/* ---- what is in the text ---- */

static mil_status check_value(writing *w, mil_value id) {
    const mil__value *value = w->program->values[id];
    bool fits = value->type->kind == MIL_TENSOR;
    for (int i = 0; fits && i < value->type->rank; i++) fits = value->type->shape[i] >= 0;
    if (fits) return MIL_OK;
    return mil__fail(w->err, MIL_ETYPE, "text for the Neural Engine takes tensors of a fixed size, but %s is %s",
                     value->name ? value->name : "a const", MIL__TYPE_TEXT(w->program->types, value->type));
}

static bool is_const(const writing *w, mil_value id) {
    mil_operation op = w->program->values[id]->op;
    return op && w->program->ops[op]->decl == mil__op_const();
}

static bool is_large(const mil_tensor *data) {
    return mil__numel(data) >= LARGE && data->dtype != MIL_BOOL && mil__milblob_code(data->dtype);
}

/* A const that an argument names, or that stands in an attribute (no name then). */
static mil_status meet_const(writing *w, const mil__op *op, int slot, mil_value id, bool is_attribute) {
    const mil__value *value = w->program->values[id];
    if (!is_const(w, id)) return MIL_OK;
    MIL__TRY(check_value(w, id));
    if (!value->data) return fail(w, MIL_ESTATE, op, "the elements of a const that it takes are not at hand");
    if (!w->is_inline && is_large(value->data) && !w->places[id].offset) {
        w->places[id].offset = 1; /* to be found */
        w->large[w->n_large++] = id;
    }
    if (is_attribute || w->names[id]) return MIL_OK;
    if (value->name) return give_name(w, id, value->name);
    const char *result = op->n_outputs ? w->names[op->outputs[0]] : op->decl->name;
    mil__str name = {0};
    mil__str_printf(&name, "%s_%s", result, mil__op_slot_name(op->decl, slot));
    mil_status status = name.failed ? mil__nomem(w->err) : give_name(w, id, name.s);
    mil__str_free(&name);
    return status;
}

static mil_status check_opset(writing *w, const mil__op *op) {
    if (op->n_blocks) return fail(w, MIL_EUNSUPPORTED, op, "the Neural Engine's compilers take no nested blocks");
    if (op->decl->since > w->opset)
        return mil__fail(w->err, MIL_EUNSUPPORTED, "%s: text for the Neural Engine is of %s in this form, which has not this op",
                         op->decl->name, mil_opset_name(w->opset));
    for (int a = 0; a < op->n_args; a++) {
        const mil__param *row = mil__op_param_at(op->decl, w->opset, op->args[a].slot);
        if (row) continue;
        return mil__fail(w->err, MIL_EUNSUPPORTED, "%s: text for the Neural Engine is of %s in this form, which has not its parameter %s",
                         op->decl->name, mil_opset_name(w->opset), mil__op_slot_name(op->decl, op->args[a].slot));
    }
    return MIL_OK;
}

/* Its own name, or, the second time, another one. */
static mil_status name_value(writing *w, mil_value id, bool is_second) {
    const char *name = w->program->values[id]->name;
    MIL__TRY(check_value(w, id));
    return (strchr(name, '@') != NULL) == is_second ? give_name(w, id, name) : MIL_OK;
}

/* Results first, so that they keep their names where a const would take one. */
static mil_status name_results(writing *w, const mil__block *body, bool is_second) {
    for (uint32_t i = 0; i < body->n_inputs; i++) MIL__TRY(name_value(w, body->inputs[i], is_second));
    for (mil_operation at = body->first; at; at = w->program->ops[at]->next) {
        const mil__op *op = w->program->ops[at];
        if (op->decl == mil__op_const()) continue;
        MIL__TRY(check_opset(w, op));
        for (uint32_t i = 0; i < op->n_outputs; i++) MIL__TRY(name_value(w, op->outputs[i], is_second));
    }
    return MIL_OK;
}

static mil_status name_consts(writing *w, const mil__block *body) {
    for (mil_operation at = body->first; at; at = w->program->ops[at]->next) {
        const mil__op *op = w->program->ops[at];
        bool has_attributes = mil__op_has_attributes(op->decl, w->opset);
        for (int a = 0; a < op->n_args; a++)
            for (uint32_t i = 0; i < op->args[a].n; i++)
                MIL__TRY(meet_const(w, op, op->args[a].slot, op->args[a].values[i], has_attributes));
    }
    for (uint32_t i = 0; i < body->n_outputs; i++)
        if (is_const(w, body->outputs[i]) && !w->names[body->outputs[i]])
            MIL__TRY(give_name(w, body->outputs[i], w->program->values[body->outputs[i]]->name));
    return MIL_OK;
}

/* ---- files ---- */

static mil_status make_file(writing *w, const char *name, const mil_value *values, uint32_t n) {
    const mil_tensor **tensors = mil__arena_zero(&w->arena, n, sizeof *tensors);
    uint64_t *offsets = mil__arena_zero(&w->arena, n, sizeof *offsets);
    uint8_t *data;
    size_t bytes;
    if (!tensors || !offsets || !name) return mil__nomem(w->err);
    for (uint32_t i = 0; i < n; i++) tensors[i] = w->program->values[values[i]]->data;
    MIL__TRY(mil__blob_bytes(tensors, n, offsets, &data, &bytes, w->err));
    for (uint32_t i = 0; i < n; i++) w->places[values[i]] = (placed){w->n_files, offsets[i]};
    w->files[w->n_files++] = (mil_text_file){name, data, bytes};
    return MIL_OK;
}

static mil_status make_files(writing *w) {
    w->files = mil__arena_zero(&w->arena, (size_t)w->n_large + 1, sizeof *w->files);
    if (!w->files) return mil__nomem(w->err);
    if (w->one_file) return w->n_large ? make_file(w, "@model_path/weights.bin", w->large, w->n_large) : MIL_OK;
    for (uint32_t i = 0; i < w->n_large; i++) {
        char name[64];
        int n = snprintf(name, sizeof name, "@model_path/weights/w%u.bin", (unsigned)i);
        MIL__TRY(make_file(w, mil__arena_text(&w->arena, name, (size_t)n), &w->large[i], 1));
    }
    return MIL_OK;
}

static uint64_t place_of(void *ctx, const mil__value *value, const char **file) {
    const writing *w = ctx;
    const placed *place = value->op ? &w->places[w->program->ops[value->op]->outputs[0]] : NULL;
    if (!place || !place->offset) return 0;
    *file = w->files[place->file].name;
    return place->offset;
}

/* ---- the line of versions ---- */

/* Those that programs which ran had: facts of the two routes. The compilers look for coremlc-version. */
static mil_status put_info(const writing *w, mil__str *out) {
    static const char *const direct[] = {"coremlc-component-MIL", "3510.2.1", "coremlc-version", "3505.4.1",
                                         "coremltools-component-milinternal", "", "coremltools-version", "9.0"};
    static const char *const e5rt[] = {"coremlc-component-MIL", "3520.4.1", "coremlc-version", "3520.5.1"};
    const char *const *pairs = w->one_file ? e5rt : direct;
    size_t n = w->one_file ? MIL__COUNT(e5rt) : MIL__COUNT(direct);
    uint64_t hash = 0;
    for (uint32_t i = 0; i < w->n_files; i++) hash = hash * 31 + mil__hash(w->files[i].data, w->files[i].n);
    mil__str_puts(out, w->is_long ? "[buildInfo = dict<tensor<string, []>, tensor<string, []>>({" : "[buildInfo = dict<string, string>({");
    for (size_t i = 0; i < n; i += 2) mil__str_printf(out, "%s{\"%s\", \"%s\"}", i ? ", " : "", pairs[i], pairs[i + 1]);
    if (w->n_files) mil__str_printf(out, ", {\"luamil-weights\", \"%016llx\"}", (unsigned long long)hash);
    mil__str_puts(out, "})]");
    return out->failed ? mil__nomem(w->err) : MIL_OK;
}

/* ---- the whole ---- */

static mil_status begin(writing *w) {
    const mil_program *program = w->program;
    w->names = mil__arena_zero(&w->arena, program->n_values, sizeof *w->names);
    w->places = mil__arena_zero(&w->arena, program->n_values, sizeof *w->places);
    w->large = mil__arena_zero(&w->arena, program->n_values, sizeof *w->large);
    w->numbers = mil__arena_zero(&w->arena, program->n_values, sizeof *w->numbers);
    if (!w->names || !w->places || !w->large || !w->numbers) return mil__nomem(w->err);
    for (uint32_t i = 0; i < program->n_functions; i++) {
        const mil__block *body = program->blocks[program->functions[i].block];
        MIL__TRY(name_results(w, body, false));
        MIL__TRY(name_results(w, body, true));
        MIL__TRY(name_consts(w, body));
    }
    return make_files(w);
}

static mil_status print(writing *w, char **text, size_t *n) {
    mil__str info = {0};
    mil_status status = put_info(w, &info);
    if (status == MIL_OK) {
        mil__text_dialect how = {.info = info.s, .names = w->names, .opset = w->opset};
        mil__text_places places = {.place = place_of, .ctx = w, .version_minor = w->is_long ? 0 : 3, .dialect = &how};
        status = mil__text_print(w->program, &places, text, n, w->err);
    }
    mil__str_free(&info);
    return status;
}

/* What was made goes to the caller, who has it all in one piece. */
static mil_status finish(writing *w, mil_dialect **out) {
    char *text = NULL;
    size_t n;
    dialect *made = mil__calloc(1, sizeof *made);
    if (!made) return mil__nomem(w->err);
    mil_status status = print(w, &text, &n);
    if (status != MIL_OK) {
        mil__free(made);
        return status;
    }
    *made = (dialect){.shown = {.text = text, .n = n, .files = w->files, .n_files = w->n_files}, .arena = w->arena};
    w->arena = (mil__arena){0};
    w->n_files = 0;
    *out = &made->shown;
    return MIL_OK;
}

mil_status mil_text_dialect(const mil_program *program, const mil_dialect_options *options, mil_dialect **out, mil_error *err) {
    const char *route = options && options->route ? options->route : "direct";
    *out = NULL;
    if (strcmp(route, "direct") != 0 && strcmp(route, "e5rt") != 0)
        return mil__fail(err, MIL_EINVAL, "the Neural Engine's routes are \"direct\" and \"e5rt\", not \"%.40s\"", route);
    bool is_long = options && options->is_long;
    writing w = {.program = program, .one_file = *route == 'e', .is_long = is_long, .is_inline = options && options->is_inline,
                 .opset = is_long ? MIL_IOS16 : MIL_IOS18, .err = err};
    mil_status status = begin(&w);
    if (status == MIL_OK) status = finish(&w, out);
    for (uint32_t i = 0; i < w.n_files; i++) mil__free((void *)w.files[i].data);
    mil__map_free(&w.taken);
    mil__arena_free(&w.arena);
    return status;
}

void mil_dialect_free(mil_dialect *shown) {
    if (!shown) return;
    dialect *made = (dialect *)shown;
    for (size_t i = 0; i < shown->n_files; i++) mil__free((void *)shown->files[i].data);
    mil__free((void *)shown->text);
    mil__arena_free(&made->arena);
    mil__free(made);
}
