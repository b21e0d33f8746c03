/* SPDX-License-Identifier: MIT */
/* Programs: their tables, functions, inputs, names; and looking at them. Operations are added in build.c. */
#include <stdio.h>

#include "program/names.h"

/* ---- tables ---- */

bool mil__grow_table(void **table, uint32_t n, uint32_t *cap, size_t bytes) {
    if (n < *cap) return true;
    uint32_t wanted = *cap ? *cap * 2 : 64;
    void *grown = wanted > *cap ? mil__realloc(*table, wanted * bytes) : NULL;
    if (!grown) return false;
    *table = grown;
    *cap = wanted;
    return true;
}

static bool reserve_table(void **table, uint32_t n, uint32_t *cap) {
    if (n <= *cap) return true;
    void *grown = mil__realloc(*table, n * sizeof(void *));
    if (!grown) return false;
    *table = grown;
    *cap = n;
    return true;
}

mil_status mil__program_reserve(mil_program *program, uint32_t n, mil_error *err) {
    bool made = reserve_table((void **)&program->ops, n, &program->cap_ops) &&
                reserve_table((void **)&program->values, n, &program->cap_values) && mil__map_reserve(&program->names, n);
    return made ? MIL_OK : mil__nomem(err);
}

mil__op *mil__op_at(const mil_program *program, mil_operation operation) {
    return operation < program->n_ops ? program->ops[operation] : NULL;
}

mil__value *mil__value_at(const mil_program *program, mil_value value) {
    return value < program->n_values ? program->values[value] : NULL;
}

mil__block *mil__block_at(const mil_program *program, mil_block block) {
    return block < program->n_blocks ? program->blocks[block] : NULL;
}

mil_status mil__program_may_change(const mil_program *program, const char *what, mil_error *err) {
    if (!program->is_held) return MIL_OK;
    return mil__fail(err, MIL_ESTATE, "%s: the program is being saved", what);
}

/* ---- making and freeing ---- */

mil_status mil_program_new(mil_opset opset, mil_program **out, mil_error *err) {
    *out = NULL;
    if (opset == 0) opset = MIL_IOS18;
    if (opset < MIL_IOS15 || opset > MIL_IOS18)
        return mil__fail(err, MIL_EVALUE, "opset %d is not known; ios15, ios16, ios17 and ios18 are", (int)opset);
    mil_program *program = mil__calloc(1, sizeof *program);
    if (!program) return mil__nomem(err);
    program->opset = opset;
    program->version_minor = opset >= MIL_IOS18 ? 3 : 0;
    program->types = mil__types_new();
    program->next_name = mil__calloc(mil_op_count(), sizeof *program->next_name);
    /* number 0 is nobody */
    bool made = program->types && program->next_name;
    made = made && mil__grow_table((void **)&program->ops, 0, &program->cap_ops, sizeof *program->ops);
    made = made && mil__grow_table((void **)&program->values, 0, &program->cap_values, sizeof *program->values);
    made = made && mil__grow_table((void **)&program->blocks, 0, &program->cap_blocks, sizeof *program->blocks);
    if (!made) {
        mil_program_free(program);
        return mil__nomem(err);
    }
    program->ops[0] = NULL;
    program->values[0] = NULL;
    program->blocks[0] = NULL;
    program->n_ops = program->n_values = program->n_blocks = 1;
    *out = program;
    return MIL_OK;
}

static void free_attrs(mil__attr *attr) {
    for (; attr; attr = attr->next) {
        mil__drop_data(attr->data);
        for (int i = 0; i < attr->n_items; i++) free_attrs(&attr->items[i]);
    }
}

void mil_program_free(mil_program *program) {
    if (!program) return;
    for (uint32_t i = 1; i < program->n_values; i++)
        if (program->values[i]) mil__drop_data(program->values[i]->data);
    for (uint32_t i = 1; i < program->n_ops; i++)
        if (program->ops[i]) free_attrs(program->ops[i]->attrs);
    for (uint32_t i = 0; i < program->n_functions; i++) free_attrs(program->functions[i].attrs);
    free_attrs(program->attrs);
    mil__free(program->ops);
    mil__free(program->values);
    mil__free(program->blocks);
    mil__free(program->functions);
    for (uint32_t i = 0; i < program->n_files; i++) mil__free(program->file_names[i]);
    mil__free(program->file_names);
    mil__free(program->next_name);
    mil__free(program->said);
    mil__map_free(&program->names);
    mil__map_free(&program->files);
    mil__program_free_kept(program);
    mil__types_free(program->types);
    mil__users_free(program);
    mil__arena_free(&program->scratch);
    mil__arena_free(&program->arena);
    mil__free(program);
}

mil_opset mil_program_opset(const mil_program *program) { return program->opset; }

size_t mil_program_bytes(const mil_program *program) {
    size_t tables = (size_t)program->cap_ops + program->cap_values + program->cap_blocks;
    return sizeof *program + program->arena.bytes + program->scratch.bytes + tables * sizeof(void *);
}

/* ---- file names of locations ---- */

static bool same_file(const void *ctx, uint32_t number, const void *key) {
    const mil_program *program = ctx;
    return strcmp(program->file_names[number], key) == 0;
}

const char *mil__program_file(mil_program *program, const char *file) {
    if (!file) return NULL;
    if (program->n_files && strcmp(program->file_names[program->n_files - 1], file) == 0)
        return program->file_names[program->n_files - 1]; /* as a rule */
    uint64_t hash = mil__hash_text(file);
    uint32_t number = mil__map_find(&program->files, hash, same_file, program, file);
    if (number != MIL__NOT_FOUND) return program->file_names[number];
    char *copy = mil__strdup(file); /* not in the arena, which goes back when an addition fails */
    bool room = mil__grow_table((void **)&program->file_names, program->n_files, &program->cap_files, sizeof(char *));
    if (!copy || !room || !mil__map_add(&program->files, hash, program->n_files)) {
        mil__free(copy);
        return NULL;
    }
    return program->file_names[program->n_files++] = copy;
}

/* ---- names ---- */

/* By their first letter. */
static const char *const reserved['z' - 'a' + 1][6] = {
    ['a' - 'a'] = {"any"},
    ['b' - 'a'] = {"bool", "bf16"},
    ['d' - 'a'] = {"dict"},
    ['f' - 'a'] = {"func", "false", "fp16", "fp32", "fp64"},
    ['i' - 'a'] = {"int8", "int16", "int32", "int64"},
    ['l' - 'a'] = {"list"},
    ['p' - 'a'] = {"program"},
    ['s' - 'a'] = {"string", "state"},
    ['t' - 'a'] = {"tensor", "tuple", "true"},
    ['u' - 'a'] = {"uint8", "uint16", "uint32", "uint64"}};

bool mil__is_word(mil__slice name) {
    for (const char *const *word = reserved[name.s[0] - 'a']; *word; word++)
        if ((*word)[1] == name.s[1] && mil__slice_is(name, *word)) return true;
    return false;
}

mil_value mil__value_hashed(const mil_program *program, mil_block block, mil__slice name, uint64_t hash) {
    for (; block; block = program->blocks[block]->outer) {
        mil__name_key key = {name, block};
        uint32_t found = mil__map_find(&program->names, mil__in_block(hash, block), mil__same_name, program, &key);
        if (found != MIL__NOT_FOUND) return found;
    }
    return 0;
}

mil_value mil__value_named(const mil_program *program, mil_block block, const char *name, size_t n) {
    return mil__value_hashed(program, block, (mil__slice){name, n}, mil__hash(name, n));
}

void mil__value_expect(const mil_program *program, mil_block block, uint64_t hash) {
    mil__map_prefetch(&program->names, mil__in_block(hash, block));
}

static bool put_name(mil_program *program, mil_value value, mil__slice name, uint64_t hash) {
    const char *copy = mil__arena_text(&program->arena, name.s, name.n);
    if (!copy || !mil__map_add(&program->names, mil__in_block(hash, program->values[value]->block), value)) return false;
    program->values[value]->name = copy;
    return true;
}

/* Has a value the name that is in a block inside of this one? */
static bool name_is_inside(const mil_program *program, mil_block block, mil__slice name, uint64_t hash) {
    for (mil_block inner = 1; inner < program->n_blocks; inner++) {
        if (!program->blocks[inner] || !program->blocks[inner]->outer) continue;
        mil__name_key key = {name, inner};
        if (mil__map_find(&program->names, mil__in_block(hash, inner), mil__same_name, program, &key) == MIL__NOT_FOUND) continue;
        mil_block outer = program->blocks[inner]->outer;
        while (outer && outer != block) outer = program->blocks[outer]->outer;
        if (outer) return true;
    }
    return false;
}

/* Gives the value the name, unless another that it would meet has it. */
static mil_status claim_name(mil_program *program, mil_value value, mil__slice name, uint64_t hash, bool between, bool *taken) {
    mil__value *v = program->values[value];
    *taken = false;
    if (!mil__map_more(&program->names)) return MIL_ENOMEM;
    *taken = (between && name_is_inside(program, v->block, name, hash)) || !mil__claim_name(program, value, v->block, name, hash);
    if (*taken) return MIL_OK;
    v->name = mil__arena_text(&program->arena, name.s, name.n);
    if (v->name) return MIL_OK;
    mil__map_remove(&program->names, mil__in_block(hash, v->block), value);
    return MIL_ENOMEM;
}

mil_status mil__name_value(mil_program *program, mil_value value, mil__slice name, uint64_t hash, bool between, mil_error *err) {
    int shown = name.n < 80 ? (int)name.n : 80;
    if (!hash && !mil__is_name(name))
        return mil__fail(err, MIL_ENAME, "\"%.*s\" is no name: letters, digits and _, not a digit first", shown, name.s);
    if (mil__is_reserved(name))
        return mil__fail(err, MIL_ENAME, "\"%.*s\" is a word of MIL and can't be a name", shown, name.s);
    if (!hash) hash = mil__hash(name.s, name.n);
    bool taken;
    if (claim_name(program, value, name, hash, between, &taken) != MIL_OK) return mil__nomem(err);
    if (!taken) return MIL_OK;
    return mil__fail(err, MIL_ENAME, "the name \"%.*s\" is taken in function %s", shown, name.s,
                     program->functions[program->blocks[program->values[value]->block]->function].name);
}

/* Decimal digits of n at `to`; returns their end. */
static char *put_number(char *to, uint32_t n) {
    char digits[10];
    int count = 0;
    do digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count) *to++ = digits[--count];
    *to = 0;
    return to;
}

enum { LARGE_TABLE = 1 << 14 }; /* entries that do not stay in a processor's own cache */

mil_status mil__name_value_fresh(mil_program *program, mil_value value, const char *base, uint32_t *next, bool between,
                                 mil_error *err) {
    char name[256];
    size_t n = strlen(base);
    if (n > sizeof name - 12) n = sizeof name - 12;
    memcpy(name, base, n);
    name[n] = '_';
    for (;;) {
        mil__slice text = {name, (size_t)(put_number(name + n + 1, (*next)++) - name)};
        uint64_t hash = mil__hash(text.s, text.n);
        bool taken;
        if (claim_name(program, value, text, hash, between, &taken) != MIL_OK) return mil__nomem(err);
        if (taken) continue;
        if (program->names.mask >= LARGE_TABLE) { /* the next name from this base will be wanted soon: have its place fetched */
            text.n = (size_t)(put_number(name + n + 1, *next) - name);
            mil__value_expect(program, program->values[value]->block, mil__hash(text.s, text.n));
        }
        return MIL_OK;
    }
}

void mil__unname_value(mil_program *program, mil_value value) {
    mil__value *v = program->values[value];
    if (!v->name) return;
    mil__map_remove(&program->names, mil__in_block(mil__hash_text(v->name), v->block), value);
    v->name = NULL;
}

mil_status mil__pass_name(mil_program *program, mil_value from, mil_value to, mil_error *err) {
    const char *name = program->values[from]->name;
    uint32_t next = 0;
    MIL__TRY(mil__name_value_fresh(program, from, name, &next, true, err));
    if (put_name(program, to, mil__slice_of(name), mil__hash_text(name))) return MIL_OK;
    mil__forget_name(program, from, program->values[from]->name);
    program->values[from]->name = name;
    return mil__nomem(err);
}

void mil__forget_name(mil_program *program, mil_value value, const char *name) {
    if (name) mil__map_remove(&program->names, mil__in_block(mil__hash_text(name), program->values[value]->block), value);
}

static mil_status stale(mil_error *err, const char *what, uint32_t number) {
    return mil__fail(err, MIL_ESTATE, "%s %u is no longer (or never was) part of this program", what, number);
}

mil_status mil_value_rename(mil_program *program, mil_value value, const char *name, mil_error *err) {
    mil__value *v = mil__value_at(program, value);
    MIL__TRY(mil__program_may_change(program, "rename", err));
    if (!v) return stale(err, "value", value);
    const char *old = v->name;
    if (old && strcmp(old, name) == 0) return MIL_OK;
    MIL__TRY(mil__name_value(program, value, mil__slice_of(name), 0, true, err)); /* first: what is removed may not go back in */
    if (old) mil__map_remove(&program->names, mil__in_block(mil__hash_text(old), v->block), value);
    return MIL_OK;
}

mil_value mil_value_find(const mil_program *program, mil_block function, const char *name) {
    return mil__block_at(program, function) ? mil__value_named(program, function, name, strlen(name)) : 0;
}

/* ---- functions, blocks ---- */

static mil_status check_function_name(const mil_program *program, const char *name, mil_error *err) {
    if (!mil__is_name(mil__slice_of(name)) || mil__is_reserved(mil__slice_of(name)))
        return mil__fail(err, MIL_ENAME, "\"%.80s\" can't be the name of a function", name);
    if (mil_program_function_find(program, name))
        return mil__fail(err, MIL_ENAME, "there is a function \"%.80s\" already", name);
    return MIL_OK;
}

mil_status mil_function_rename(mil_program *program, mil_block function, const char *name, mil_error *err) {
    const mil__block *block = mil__block_at(program, function);
    MIL__TRY(mil__program_may_change(program, "rename", err));
    if (!block || block->outer) return mil__fail(err, MIL_ESTATE, "rename: not a function");
    if (strcmp(program->functions[block->function].name, name) == 0) return MIL_OK;
    MIL__TRY(check_function_name(program, name, err));
    const char *copy = mil__arena_text(&program->arena, name, strlen(name));
    if (!copy) return mil__nomem(err);
    program->functions[block->function].name = copy;
    return MIL_OK;
}

mil_status mil_program_function(mil_program *program, const char *name, mil_block *out, mil_error *err) {
    *out = 0;
    MIL__TRY(mil__program_may_change(program, "function", err));
    MIL__TRY(check_function_name(program, name, err));
    char *copy = mil__arena_text(&program->arena, name, strlen(name));
    bool room = mil__grow_table((void **)&program->functions, program->n_functions, &program->cap_functions,
                           sizeof *program->functions);
    mil_block block = copy && room ? mil__new_block(program) : 0;
    if (!block) return mil__nomem(err);
    program->blocks[block]->function = program->n_functions;
    program->blocks[block]->is_open = true;
    program->functions[program->n_functions++] =
        (mil__function){.name = copy, .block = block, .opset = program->opset};
    *out = block;
    return MIL_OK;
}

size_t mil_program_n_functions(const mil_program *program) { return program->n_functions; }

mil_block mil_program_function_at(const mil_program *program, size_t i) {
    return i < program->n_functions ? program->functions[i].block : 0;
}

mil_block mil_program_function_find(const mil_program *program, const char *name) {
    for (uint32_t i = 0; i < program->n_functions; i++)
        if (strcmp(program->functions[i].name, name) == 0) return program->functions[i].block;
    return 0;
}

mil_block mil_program_entry(const mil_program *program) {
    mil_block entry = program->default_function;
    if (!entry) entry = mil_program_function_find(program, "main");
    return entry || program->n_functions != 1 ? entry : program->functions[0].block;
}

const char *mil_function_name(const mil_program *program, mil_block function) {
    const mil__block *block = mil__block_at(program, function);
    return block ? program->functions[block->function].name : NULL;
}

/* Room for one more of a block's inputs or outputs. */
static bool grow_values(mil_program *program, mil_value **list, uint32_t n, uint32_t *cap) {
    if (n < *cap) return true;
    uint32_t wanted = *cap ? *cap * 2 : 4;
    mil_value *grown = mil__arena_alloc(&program->arena, wanted * sizeof *grown);
    if (!grown) return false;
    if (n) memcpy(grown, *list, n * sizeof *grown);
    *list = grown;
    *cap = wanted;
    return true;
}

mil_status mil__block_new(mil_program *program, mil_block outer, mil_block *out, mil_error *err) {
    mil_block block = mil__new_block(program);
    if (!block) return mil__nomem(err);
    program->blocks[block]->function = program->blocks[outer]->function;
    program->blocks[block]->outer = outer;
    program->blocks[block]->is_open = true;
    *out = block;
    return MIL_OK;
}

mil_status mil__block_input(mil_program *program, mil_block block, const char *name, const mil_type *type,
                            mil_value *out, mil_error *err) {
    mil__block *b = program->blocks[block];
    if (b->n_inputs == UINT16_MAX) return mil__fail(err, MIL_ELIMIT, "input %s: more than %d inputs", name, UINT16_MAX);
    bool is_unranked = type->is_unranked || (type->n_items && type->items[0]->is_unranked);
    if (!b->outer && is_unranked) return mil__fail(err, MIL_ETYPE, "input %s: the rank of inputs must be known", name);
    bool room = grow_values(program, &b->inputs, b->n_inputs, &b->cap_inputs);
    mil_value value = room ? mil__new_value(program) : 0;
    if (!value) return mil__nomem(err);
    *program->values[value] = (mil__value){.type = type, .block = block, .index = (uint16_t)b->n_inputs};
    mil_status status = mil__name_value(program, value, mil__slice_of(name), 0, true, err);
    if (status != MIL_OK) {
        program->values[--program->n_values] = NULL; /* never given to anyone */
        return status;
    }
    b->inputs[b->n_inputs++] = value;
    *out = value;
    return MIL_OK;
}

mil_status mil__block_more_outputs(mil_program *program, mil_block block, mil_error *err) {
    mil__block *b = program->blocks[block];
    return grow_values(program, &b->outputs, b->n_outputs, &b->cap_outputs) ? MIL_OK : mil__nomem(err);
}

/* What a classify gives is what a package's description calls the predicted label, and its probabilities. */
static void note_classifier(mil_program *program, const mil__block *body, mil_value value) {
    const mil__value *v = program->values[value];
    if (body->outer || !v->op || strcmp(program->ops[v->op]->decl->name, "classify") != 0) return;
    mil__function *function = &program->functions[body->function];
    mil_value *place = v->index ? &function->probabilities : &function->label;
    if (!*place) *place = value;
}

mil_status mil__block_output(mil_program *program, mil_block block, mil_value value, mil_error *err) {
    mil__block *b = program->blocks[block];
    MIL__TRY(mil__block_more_outputs(program, block, err));
    b->outputs[b->n_outputs++] = value;
    program->values[value]->n_uses++;
    program->values[value]->is_output = true;
    if (program->users) mil__users_add_output(program, block, value);
    note_classifier(program, b, value);
    return MIL_OK;
}

mil_status mil_program_symbol(mil_program *program, const mil_symbol *symbol, mil_dim *out, mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "symbol", err));
    mil_dim dim = symbol->name ? mil__dim_symbol(program->types, symbol->name) : mil__dim_fresh(program->types);
    if (mil__types_status(program->types) != MIL_OK) {
        mil__types_clear_status(program->types);
        return mil__nomem(err);
    }
    MIL__TRY(mil__dim_describe(program->types, dim, symbol, err));
    *out = dim;
    return MIL_OK;
}

bool mil_program_symbol_of(const mil_program *program, mil_dim dim, mil_symbol *out) {
    const mil_symbol *symbol = dim < 0 ? mil__dim_symbol_info(program->types, dim) : NULL;
    if (symbol) *out = *symbol;
    return symbol != NULL;
}

mil_status mil__input_check(const mil_program *program, mil_block function, const char *name, mil_dtype dtype, int rank,
                            const mil_dim *shape, bool state, mil_error *err) {
    const mil__block *block = mil__block_at(program, function);
    if (!block || block->outer) return mil__fail(err, MIL_ESTATE, "input %.80s: not a function's body", name);
    if (dtype <= MIL_NO_DTYPE || dtype >= MIL_N_DTYPES)
        return mil__fail(err, MIL_ETYPE, "input %.80s: not a dtype", name);
    if (rank < 0 || rank > MIL_MAX_RANK)
        return mil__fail(err, MIL_ETYPE, "input %.80s: rank %d; at most %d is possible", name, rank, MIL_MAX_RANK);
    if (state && program->opset < MIL_IOS18)
        return mil__fail(err, MIL_ETYPE, "input %.80s: states exist from opset ios18 on", name);
    for (int i = 0; i < rank; i++) {
        bool fits = shape[i] >= 0 || (!state && mil__dim_is_symbol(program->types, shape[i]) && !mil__dim_is_variadic(program->types, shape[i]));
        if (fits) continue;
        if (state) return mil__fail(err, MIL_ETYPE, "state %.80s: dim %d is no size; those of a state are fixed", name, i);
        return mil__fail(err, MIL_ETYPE, "input %.80s: dim %d is neither a size nor a symbol", name, i);
    }
    return MIL_OK;
}

mil_status mil_program_input(mil_program *program, mil_block function, const char *name, mil_dtype dtype, int rank,
                             const mil_dim *shape, bool state, mil_value *out, mil_error *err) {
    *out = 0;
    MIL__TRY(mil__program_may_change(program, "input", err));
    MIL__TRY(mil__input_check(program, function, name, dtype, rank, shape, state, err));
    const mil_type *type = mil__tensor_type(program->types, dtype, rank, shape);
    if (type && state) type = mil__state_type(program->types, type);
    if (!type) return mil__nomem(err);
    return mil__block_input(program, function, name, type, out, err);
}

/* Where what is said of an input goes; NULL when out of memory. */
static mil__said *said_of(mil_program *program, mil_value input) {
    if (input >= program->n_said) {
        size_t n = 2 * (size_t)program->n_said > input ? 2 * (size_t)program->n_said : (size_t)input + 1;
        mil__said *said = n <= UINT32_MAX ? mil__realloc(program->said, n * sizeof *said) : NULL;
        if (!said) return NULL;
        memset(said + program->n_said, 0, (n - program->n_said) * sizeof *said);
        program->said = said;
        program->n_said = (uint32_t)n;
    }
    return &program->said[input];
}

const mil__shapes *mil__input_shapes(const mil_program *program, mil_value input) {
    return input < program->n_said ? program->said[input].shapes : NULL;
}

size_t mil_value_shapes(const mil_program *program, mil_value value, const int64_t **shapes) {
    const mil__shapes *known = mil__input_shapes(program, value);
    if (known && shapes) *shapes = known->shapes;
    return known ? known->n : 0;
}

static mil_status check_shapes(const mil__value *v, const char *name, size_t n, const int64_t *shapes, mil_error *err) {
    for (size_t i = 0; i < n; i++, shapes += v->type->rank)
        for (int k = 0; k < v->type->rank; k++)
            if (shapes[k] < 0 || (v->type->shape[k] >= 0 && shapes[k] != v->type->shape[k]))
                return mil__fail(err, MIL_EVALUE, "input %s: %s is none of its shapes", name,
                                 MIL__SHAPE_TEXT(v->type->rank, shapes));
    return MIL_OK;
}

const mil__standard *mil__input_standard(const mil_program *program, mil_value input) {
    return input < program->n_said ? program->said[input].standard : NULL;
}

mil_status mil__input_set_standard(mil_program *program, mil_value input, double number, mil_error *err) {
    mil__standard *made = mil__arena_zero(&program->arena, 1, sizeof *made);
    mil__said *said = said_of(program, input);
    if (!made || !said) return mil__nomem(err);
    made->number = number;
    said->standard = made;
    return MIL_OK;
}

mil_status mil_program_input_shapes(mil_program *program, mil_value input, size_t n, const int64_t *shapes,
                                    mil_error *err) {
    MIL__TRY(mil__program_may_change(program, "input_shapes", err));
    const mil__value *v = mil__value_at(program, input);
    if (!v || v->op || v->type->kind != MIL_TENSOR || program->blocks[v->block]->outer)
        return mil__fail(err, MIL_ESTATE, "only an input of a function has shapes to choose from");
    if (n == 0 || mil__input_shapes(program, input))
        return mil__fail(err, MIL_EINVAL, "input %s: its shapes are given once, one at least", v->name);
    MIL__TRY(check_shapes(v, v->name, n, shapes, err));
    size_t numbers = n * (size_t)v->type->rank;
    mil__shapes *made = mil__arena_zero(&program->arena, 1, sizeof *made);
    int64_t *copy = mil__arena_zero(&program->arena, numbers + 1, sizeof *copy);
    mil__said *said = said_of(program, input);
    if (!made || !copy || !said) return mil__nomem(err);
    memcpy(copy, shapes, numbers * sizeof *copy);
    *made = (mil__shapes){n, copy};
    said->shapes = made;
    return MIL_OK;
}

/* ---- looking ---- */

const mil_type *mil_value_type(const mil_program *program, mil_value value) {
    const mil__value *v = mil__value_at(program, value);
    return v ? v->type : NULL;
}

const char *mil_value_name(const mil_program *program, mil_value value) {
    const mil__value *v = mil__value_at(program, value);
    return v ? v->name : NULL;
}

mil_operation mil_value_operation(const mil_program *program, mil_value value) {
    const mil__value *v = mil__value_at(program, value);
    return v ? v->op : 0;
}

mil_block mil_value_block(const mil_program *program, mil_value value) {
    const mil__value *v = mil__value_at(program, value);
    return v ? v->block : 0;
}

mil_tensor *mil_value_data(const mil_program *program, mil_value value) {
    const mil__value *v = mil__value_at(program, value);
    return v ? v->data : NULL;
}

const mil_op *mil_operation_op(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? op->decl : NULL;
}

mil_where mil_operation_where(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? (mil_where){op->file, op->line} : (mil_where){NULL, 0};
}

size_t mil_operation_n_outputs(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? op->n_outputs : 0;
}

mil_value mil_operation_output(const mil_program *program, mil_operation operation, size_t i) {
    const mil__op *op = mil__op_at(program, operation);
    return op && i < op->n_outputs ? op->outputs[i] : 0;
}

size_t mil_operation_n_args(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? op->n_args : 0;
}

const char *mil_operation_arg(const mil_program *program, mil_operation operation, size_t i, const mil_value **values,
                              size_t *n) {
    const mil__op *op = mil__op_at(program, operation);
    if (!op || i >= op->n_args) return NULL;
    *values = op->args[i].values;
    *n = op->args[i].n;
    return mil__op_slot_name(op->decl, op->args[i].slot);
}

mil_operation mil_block_first(const mil_program *program, mil_block block) {
    const mil__block *b = mil__block_at(program, block);
    return b ? b->first : 0;
}

mil_operation mil_operation_next(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? op->next : 0;
}

mil_block mil_operation_block(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? op->block : 0;
}

size_t mil_operation_n_blocks(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    return op ? op->n_blocks : 0;
}

mil_block mil_operation_nested(const mil_program *program, mil_operation operation, size_t i) {
    const mil__op *op = mil__op_at(program, operation);
    return op && i < op->n_blocks ? op->blocks[i] : 0;
}

mil_operation mil_block_parent(const mil_program *program, mil_block block) {
    const mil__block *b = mil__block_at(program, block);
    return b ? b->parent : 0;
}

mil_operation mil_block_insertion(const mil_program *program, mil_block block) {
    const mil__block *b = mil__block_at(program, block);
    return b ? b->before : 0;
}

bool mil_value_is_output(const mil_program *program, mil_value value) {
    const mil__value *v = mil__value_at(program, value);
    return v && v->is_output;
}

size_t mil_block_n_inputs(const mil_program *program, mil_block block) {
    const mil__block *b = mil__block_at(program, block);
    return b ? b->n_inputs : 0;
}

mil_value mil_block_input(const mil_program *program, mil_block block, size_t i) {
    const mil__block *b = mil__block_at(program, block);
    return b && i < b->n_inputs ? b->inputs[i] : 0;
}

size_t mil_block_n_outputs(const mil_program *program, mil_block block) {
    const mil__block *b = mil__block_at(program, block);
    return b ? b->n_outputs : 0;
}

mil_value mil_block_output(const mil_program *program, mil_block block, size_t i) {
    const mil__block *b = mil__block_at(program, block);
    return b && i < b->n_outputs ? b->outputs[i] : 0;
}

int mil_program_dim_text(const mil_program *program, mil_dim dim, char *buf, size_t n) {
    char text[512];
    mil__dim_text(program->types, dim, text, sizeof text);
    return snprintf(buf, n, "%s", text);
}

int mil_program_type_text(const mil_program *program, const mil_type *type, char *buf, size_t n) {
    char text[512];
    mil__type_text(program->types, type, text, sizeof text);
    return snprintf(buf, n, "%s", text);
}
