/* SPDX-License-Identifier: MIT */
/* Types and typed literals. A payload is untyped at every depth: its type says how each part of it is read. */
#include <stdio.h>

#include "tensor/tensor.h"
#include "text/number.h"
#include "text/parse.h"

mil_status mil__parse_check_size(mil__parser *ps) {
    if (mil__arena_used(&ps->program->arena) + mil__arena_used(&ps->program->scratch) <= ps->most_bytes) return MIL_OK;
    return mil__lex_fail(&ps->lex, ps->lex.p, MIL_ELIMIT, "the program takes more memory than 64 times its text");
}

static mil_status too_deep(mil__parser *ps) {
    return mil__lex_fail(&ps->lex, ps->lex.p, MIL_ELIMIT, "nested deeper than %d levels", (int)MIL__MAX_DEPTH);
}

/* ---- types ---- */

mil_dtype mil__parse_dtype(mil__parser *ps, mil__slice name) {
    if (name.n == 0) return MIL_NO_DTYPE;
    if (ps->dtype && mil__slice_is(name, mil_dtype_name(ps->dtype))) return ps->dtype; /* most are like the one before */
    for (int d = MIL_NO_DTYPE + 1; d < MIL_N_DTYPES; d++) {
        const char *text = mil_dtype_name((mil_dtype)d);
        if (text[0] == name.s[0] && mil__slice_is(name, text)) return ps->dtype = (mil_dtype)d;
    }
    return MIL_NO_DTYPE;
}

static void remember_scalar(mil__parser *ps, mil__slice name, const mil_type *type) {
    ps->scalar.n = 0;
    if ((size_t)(ps->lex.end - name.s) < sizeof(uint64_t) || name.n >= sizeof(uint64_t)) return;
    ps->scalar.word = mil__word_at(name.s);
    ps->scalar.type = type;
    ps->scalar.n = name.n;
}

/* A type that was made, or the failure that its absence stands for. */
static mil_status made_type(mil__parser *ps, const mil_type *type, const mil_type **out) {
    *out = type;
    if (type) return MIL_OK;
    mil__types_clear_status(ps->program->types);
    return mil__nomem(ps->lex.err);
}

static mil_status parse_dim(mil__parser *ps, mil_dim *out) {
    if (mil__lex_take(&ps->lex, '?')) {
        *out = ps->fresh ? mil__dim_fresh(ps->program->types) : ps->unknown;
        if (mil__types_status(ps->program->types) == MIL_OK) return MIL_OK;
        mil__types_clear_status(ps->program->types);
        return mil__nomem(ps->lex.err);
    }
    bool negative, too_big;
    uint64_t size;
    mil__lex_peek(&ps->lex);
    const char *end = mil__read_integer(ps->lex.p, ps->lex.end, &negative, &size, &too_big);
    if (!end) return mil__lex_expected(&ps->lex, "a size or \"?\"");
    if (negative || too_big || size > INT64_MAX)
        return mil__lex_fail(&ps->lex, ps->lex.p, MIL_EVALUE, "%.*s is not a size", (int)(end - ps->lex.p), ps->lex.p);
    ps->lex.p = end;
    *out = (mil_dim)size;
    return MIL_OK;
}

/* In place of the dims: any number of them. */
static bool take_dots(mil__parser *ps) {
    if (mil__lex_peek(&ps->lex) != '.' || ps->lex.end - ps->lex.p < 3 || memcmp(ps->lex.p, "...", 3) != 0) return false;
    ps->lex.p += 3;
    return true;
}

/* After "tensor<". */
static mil_status parse_tensor_type(mil__parser *ps, const mil_type **out) {
    mil__slice name;
    const char *at = ps->lex.p;
    MIL__TRY(mil__lex_expect_name(&ps->lex, "a dtype", &name));
    mil_dtype dtype = mil__parse_dtype(ps, name);
    if (!dtype) return mil__lex_fail(&ps->lex, at, MIL_EPARSE, "expected a dtype, found \"%.*s\"", (int)name.n, name.s);
    MIL__TRY(mil__lex_expect(&ps->lex, ',', "after the dtype"));
    MIL__TRY(mil__lex_expect(&ps->lex, '[', "before the dims"));
    mil_dim shape[MIL_MAX_RANK];
    int rank = 0;
    if (take_dots(ps)) shape[rank++] = mil__dim_variadic(ps->program->types);
    else
    while (rank ? mil__lex_take(&ps->lex, ',') : mil__lex_peek(&ps->lex) != ']') {
        if (rank == MIL_MAX_RANK)
            return mil__lex_fail(&ps->lex, ps->lex.p, MIL_ELIMIT, "a tensor of more than %d dims", MIL_MAX_RANK);
        MIL__TRY(parse_dim(ps, &shape[rank++]));
    }
    MIL__TRY(mil__lex_expect(&ps->lex, ']', "after the dims"));
    MIL__TRY(mil__lex_expect(&ps->lex, '>', "after the type"));
    return made_type(ps, mil__tensor_type(ps->program->types, dtype, rank, shape), out);
}

/* Several types in angle brackets, into the statement's memory. */
static mil_status parse_type_items(mil__parser *ps, int most, const mil_type ***items, int *n) {
    int cap = 0;
    *n = 0;
    do {
        if (*n == most) return mil__lex_expected(&ps->lex, "\">\" after the types");
        if (*n == cap) {
            const mil_type **grown = mil__arena_alloc(&ps->tmp, (size_t)(cap = cap ? cap * 2 : 4) * sizeof *grown);
            if (!grown) return mil__nomem(ps->lex.err);
            if (*n) memcpy(grown, *items, (size_t)*n * sizeof *grown);
            *items = grown;
        }
        const mil_type *item;
        MIL__TRY(mil__parse_type(ps, &item));
        (*items)[(*n)++] = item;
    } while (mil__lex_take(&ps->lex, ','));
    return mil__lex_expect(&ps->lex, '>', "after the types");
}

static mil_status parse_list_type(mil__parser *ps, const mil_type **out) {
    const mil_type *element;
    mil_dim length;
    MIL__TRY(mil__parse_type(ps, &element));
    MIL__TRY(mil__lex_expect(&ps->lex, ',', "after the type of a list's elements"));
    MIL__TRY(parse_dim(ps, &length));
    MIL__TRY(mil__lex_expect(&ps->lex, '>', "after the list's length"));
    if (ps->fresh && length >= 0) return made_type(ps, mil__growing_list_type(ps->program->types, element, length), out); /* an input's */
    return made_type(ps, mil__list_type(ps->program->types, element, length), out);
}

static mil_status parse_compound_type(mil__parser *ps, mil__slice name, const char *at, const mil_type **out) {
    mil__types *types = ps->program->types;
    const mil_type **items;
    int n;
    if (mil__slice_is(name, "list")) return parse_list_type(ps, out);
    if (mil__slice_is(name, "tuple")) {
        MIL__TRY(parse_type_items(ps, INT_MAX, &items, &n));
        return made_type(ps, mil__tuple_type(types, n, items), out);
    }
    if (mil__slice_is(name, "dict")) {
        MIL__TRY(parse_type_items(ps, 2, &items, &n));
        if (n != 2) return mil__lex_fail(&ps->lex, at, MIL_EPARSE, "a dict has a type of keys and a type of values");
        return made_type(ps, mil__dict_type(types, items[0], items[1]), out);
    }
    MIL__TRY(parse_type_items(ps, 1, &items, &n));
    if (items[0]->kind != MIL_TENSOR) return mil__lex_fail(&ps->lex, at, MIL_EPARSE, "a state is of a tensor");
    return made_type(ps, mil__state_type(types, items[0]), out);
}

static bool is_compound(mil__slice name) {
    return mil__slice_is(name, "list") || mil__slice_is(name, "dict") || mil__slice_is(name, "tuple") ||
           mil__slice_is(name, "state");
}

static mil_status parse_type(mil__parser *ps, const mil_type **out) {
    mil__slice name = mil__lex_name(&ps->lex);
    if (name.n == 0) return mil__lex_expected(&ps->lex, "a type");
    if (mil__slice_is(name, "tensor")) {
        MIL__TRY(mil__lex_expect(&ps->lex, '<', "after \"tensor\""));
        return parse_tensor_type(ps, out);
    }
    mil_dtype dtype = mil__parse_dtype(ps, name);
    if (dtype) {
        if (!ps->scalars[dtype]) MIL__TRY(made_type(ps, mil__scalar_type(ps->program->types, dtype), &ps->scalars[dtype]));
        *out = ps->scalars[dtype];
        remember_scalar(ps, name, *out);
        return MIL_OK;
    }
    if (mil__slice_is(name, "tensor_buffer"))
        return mil__lex_fail(&ps->lex, name.s, MIL_EUNSUPPORTED,
                             "tensor_buffer is a type of E5 dumps, and not of MIL programs");
    if (!is_compound(name))
        return mil__lex_fail(&ps->lex, name.s, MIL_EPARSE, "expected a type, found \"%.*s\"",
                             (int)(name.n < 60 ? name.n : 60), name.s);
    MIL__TRY(mil__lex_expect(&ps->lex, '<', "after the kind of type"));
    if (++ps->depth > MIL__MAX_DEPTH) return too_deep(ps);
    MIL__TRY(parse_compound_type(ps, name, name.s, out));
    ps->depth--;
    return MIL_OK;
}

/* The text from p up to the first `close`, within `most` characters and one line: what the caches go by. n is 0 where there
 * is none, or it is shorter than a number. */
static mil__slice piece(const mil__parser *ps, const char *p, char close, size_t most) {
    size_t left = (size_t)(ps->lex.end - p);
    const char *end = memchr(p, close, left < most ? left : most);
    size_t n = end ? (size_t)(end + 1 - p) : 0;
    return (mil__slice){p, n >= sizeof(uint64_t) ? n : 0};
}

/* Where in a cache of 64 a piece is: by its length and last characters, which tell most pieces apart. */
static size_t slot_of(mil__slice text) {
    return (mil__word_at(text.s + text.n - 8) + text.n) * 0x9e3779b97f4a7c15u >> 58;
}

static bool is_tensor_type(mil__slice text) { return text.n >= 16 && memcmp(text.s, "tensor<", 7) == 0; }

const char *mil__parse_known_type(mil__parser *ps, const char *p, const mil_type **out) {
    size_t left = (size_t)(ps->lex.end - p), n = ps->scalar.n;
    if (left <= sizeof(uint64_t)) return NULL;
    bool is_scalar = n && !((mil__word_at(p) ^ ps->scalar.word) << (64 - 8 * n)) && (p[n] == ' ' || p[n] == '(');
    if (is_scalar) return *out = ps->scalar.type, p + n;
    mil__slice text = ps->types[ps->last_type].text;
    if (text.n && text.n <= left && mil__same_ahead(text.s, p, text.n)) return *out = ps->types[ps->last_type].type, p + text.n;
    text = piece(ps, p, '>', 128);
    if (!is_tensor_type(text) || !mil__same_slice(ps->types[slot_of(text)].text, text)) return NULL;
    ps->last_type = slot_of(text);
    return *out = ps->types[slot_of(text)].type, p + text.n;
}

/* Types with sizes only: a "?" may be another each time. The piece may be less than the type, where a ">" is in a comment. */
static void remember_type(mil__parser *ps, mil__slice text, const mil_type *type) {
    if (!is_tensor_type(text) || ps->lex.p != text.s + text.n) return;
    if (memchr(text.s, '?', text.n) || memchr(text.s, '\n', text.n)) return;
    ps->last_type = slot_of(text);
    ps->types[ps->last_type].text = text;
    ps->types[ps->last_type].type = type;
}

mil_status mil__parse_type(mil__parser *ps, const mil_type **out) {
    mil__lex_peek(&ps->lex);
    const char *end = mil__parse_known_type(ps, ps->lex.p, out);
    if (end) return ps->lex.p = end, MIL_OK;
    mil__slice text = piece(ps, ps->lex.p, '>', 128);
    MIL__TRY(parse_type(ps, out));
    remember_type(ps, text, *out);
    return MIL_OK;
}

/* ---- elements ---- */

static mil_status literal_value_error(mil__parser *ps, const char *end, mil_dtype dtype) {
    const char *at = ps->lex.p;
    int n = end - at < 40 ? (int)(end - at) : 40;
    return mil__lex_fail(&ps->lex, at, MIL_EVALUE, "%s can't hold %.*s", mil_dtype_name(dtype), n, at);
}

static mil_status read_integer(mil__parser *ps, const mil__dtype_info *info, mil_dtype dtype, uint64_t *bits) {
    bool negative, too_big;
    uint64_t size;
    const char *end = mil__read_integer(ps->lex.p, ps->lex.end, &negative, &size, &too_big);
    if (!end) return mil__lex_expected(&ps->lex, "an integer");
    uint64_t most = dtype == MIL_UINT64 ? UINT64_MAX : (uint64_t)info->max;
    if (negative) most = (uint64_t)0 - (uint64_t)info->min;
    if (too_big || size > most) return literal_value_error(ps, end, dtype);
    char next = end < ps->lex.end ? *end : 0;
    if (next == '.' || mil__name_class[(unsigned char)next])
        return mil__lex_expected(&ps->lex, "an integer");
    *bits = negative ? (uint64_t)0 - size : size;
    ps->lex.p = end;
    return MIL_OK;
}

static mil_status read_float(mil__parser *ps, mil_dtype dtype, uint64_t *bits) {
    const char *end = mil__read_float(ps->lex.p, ps->lex.end, dtype, bits);
    if (!end || (end < ps->lex.end && mil__name_class[(unsigned char)*end])) return mil__lex_expected(&ps->lex, "a number");
    ps->lex.p = end;
    return MIL_OK;
}

static mil_status read_bool(mil__parser *ps, uint64_t *bits) {
    const char *at = ps->lex.p;
    mil__slice word = mil__lex_name(&ps->lex);
    *bits = mil__slice_is(word, "true");
    if (*bits || mil__slice_is(word, "false")) return MIL_OK;
    ps->lex.p = at;
    return mil__lex_expected(&ps->lex, "true or false");
}

static mil_status read_string(mil__parser *ps) {
    mil__slice text;
    MIL__TRY(mil__lex_string(&ps->lex, &ps->decoded, &text));
    mil__string_ref ref = {ps->chars.n, text.n};
    mil__str_add(&ps->chars, text.s, text.n);
    mil__str_putc(&ps->chars, 0);
    mil__str_add(&ps->elements, (const char *)&ref, sizeof ref);
    return MIL_OK;
}

/* One element to the end of ps->elements; sub-byte ones take a byte until they are packed. */
static mil_status read_element(mil__parser *ps, mil_dtype dtype, const mil__dtype_info *info) {
    mil__lex_peek(&ps->lex);
    uint64_t bits;
    if (info->class == 's') return read_string(ps);
    if (info->class == 'f') MIL__TRY(read_float(ps, dtype, &bits));
    else if (info->class == 'b') MIL__TRY(read_bool(ps, &bits));
    else MIL__TRY(read_integer(ps, info, dtype, &bits));
    uint8_t u8 = (uint8_t)bits;
    uint16_t u16 = (uint16_t)bits;
    uint32_t u32 = (uint32_t)bits;
    const void *from = info->bits == 64   ? (void *)&bits
                       : info->bits == 32 ? (void *)&u32
                       : info->bits == 16 ? (void *)&u16
                                          : (void *)&u8;
    mil__str_add(&ps->elements, from, info->bits > 8 ? (size_t)info->bits / 8 : 1);
    return MIL_OK;
}

/* ---- tensors ---- */

typedef struct tensor_payload {
    mil__parser *ps;
    const mil_type *type;
    const mil__dtype_info *info;
    int64_t shape[MIL_MAX_RANK]; /* below 0 until a row has shown it */
    int64_t n;                   /* elements so far */
    bool flat;                   /* one list for all dims, as some tools write it */
} tensor_payload;

static mil_status wrong_count(tensor_payload *t, const char *at, int64_t found, int64_t wanted) {
    return mil__lex_fail(&t->ps->lex, at, MIL_ETYPE, "%lld element%s in a literal of type %s; %lld expected here",
                         (long long)found, found == 1 ? "" : "s", MIL__TYPE_TEXT(t->ps->program->types, t->type),
                         (long long)wanted);
}

static bool has_unknown(const tensor_payload *t) {
    for (int i = 0; i < t->type->rank; i++)
        if (t->shape[i] < 0) return true;
    return false;
}

static mil_status end_row(tensor_payload *t, int axis, const char *at, int64_t count) {
    int64_t numel;
    bool known = mil__shape_numel(t->type->rank, t->shape, &numel);
    if (t->flat && !known)
        return mil__lex_fail(&t->ps->lex, at, MIL_ETYPE, "a literal of type %s must be written in rows: its shape shows there alone",
                             MIL__TYPE_TEXT(t->ps->program->types, t->type));
    if (axis == 0 && count == 0 && !known && !t->flat && has_unknown(t)) return MIL_OK; /* an axis of unknown size has 0 */
    if (t->flat || (axis == 0 && count == 0 && known && numel == 0))
        return numel == count ? MIL_OK : wrong_count(t, at, count, numel);
    if (t->shape[axis] < 0) t->shape[axis] = count;
    return t->shape[axis] == count ? MIL_OK : wrong_count(t, at, count, t->shape[axis]);
}

static mil_status read_item(tensor_payload *t, int axis);

/* A list in brackets: elements where it is the last axis, else lists. */
static mil_status read_row(tensor_payload *t, int axis) {
    mil__lexer *lex = &t->ps->lex;
    const char *at = lex->p;
    MIL__TRY(mil__lex_expect(lex, '[', "before a tensor's elements"));
    int64_t count = 0;
    if (mil__lex_take(lex, ']')) return end_row(t, axis, at, 0);
    do {
        MIL__TRY(read_item(t, axis));
        count++;
    } while (mil__lex_take(lex, ','));
    MIL__TRY(mil__lex_expect(lex, ']', "after a tensor's elements"));
    return end_row(t, axis, at, count);
}

static mil_status read_item(tensor_payload *t, int axis) {
    if (axis + 1 < t->type->rank && !t->flat) {
        if (mil__lex_peek(&t->ps->lex) == '[') return read_row(t, axis + 1);
        if (axis > 0 || t->n > 0 || t->ps->elements.n > 0) return mil__lex_expected(&t->ps->lex, "\"[\"");
        t->flat = true;
    }
    t->n++;
    return read_element(t->ps, t->type->dtype, t->info);
}

static void pack_bits(uint8_t *to, const char *bytes, int64_t n, int bits) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = (uint64_t)i * (unsigned)bits;
        unsigned value = ((uint8_t)bytes[i] & ((1u << bits) - 1)) << (at % 8);
        to[at / 8] |= (uint8_t)value;
        if (value >> 8) to[at / 8 + 1] |= (uint8_t)(value >> 8);
    }
}

enum { SMALL = 256 }; /* bytes up to which a const lives in the program's arena */

static mil_status make_strings(tensor_payload *t, mil_tensor **out) {
    mil__parser *ps = t->ps;
    size_t refs = (size_t)t->n * sizeof(mil__string_ref);
    mil_tensor *tensor = mil__tensor_in(&ps->program->arena, MIL_STRING, t->type->rank, t->shape, refs + ps->chars.n);
    if (!tensor) return mil__nomem(ps->lex.err);
    mil__string_ref *ref = tensor->data;
    if (refs) memcpy(ref, ps->elements.s, refs);
    for (int64_t i = 0; i < t->n; i++) ref[i].offset += refs - (size_t)i * sizeof *ref; /* they count from themselves */
    if (ps->chars.n) memcpy((char *)tensor->data + refs, ps->chars.s, ps->chars.n);
    *out = tensor;
    return MIL_OK;
}

static mil_status make_tensor(tensor_payload *t, mil__literal_use use, mil_tensor **out) {
    mil__parser *ps = t->ps;
    mil_dtype dtype = t->type->dtype;
    if (ps->elements.failed || ps->chars.failed) return mil__nomem(ps->lex.err);
    if (dtype == MIL_STRING) return make_strings(t, out);
    size_t bytes;
    if (!mil__dtype_bytes(dtype, t->n, &bytes)) return mil__nomem(ps->lex.err);
    if (bytes <= SMALL || use == MIL__FOR_ATTRIBUTE) {
        *out = mil__tensor_in(&ps->program->arena, dtype, t->type->rank, t->shape, bytes);
        if (!*out) return mil__nomem(ps->lex.err);
    } else {
        MIL__TRY(mil_tensor_new(dtype, t->type->rank, t->shape, out, ps->lex.err));
    }
    if (t->info->bits < 8) pack_bits((*out)->data, ps->elements.s, t->n, t->info->bits);
    else if (bytes) memcpy((*out)->data, ps->elements.s, bytes);
    return MIL_OK;
}

static mil_status parse_tensor(mil__parser *ps, const mil_type *type, mil__literal_use use, mil_tensor **out) {
    tensor_payload t = {.ps = ps, .type = type, .info = mil__dtype(type->dtype)};
    int64_t numel = 1;
    for (int i = 0; i < type->rank; i++) {
        t.shape[i] = type->shape[i] < 0 ? -1 : type->shape[i];
        if (t.shape[i] != 1) numel = 0;
    }
    ps->elements.n = ps->chars.n = 0;
    if (type->rank && (mil__lex_peek(&ps->lex) == '[' || numel != 1)) {
        MIL__TRY(read_row(&t, 0));
    } else { /* a scalar; or one element, for which some tools write no brackets */
        t.n = 1;
        MIL__TRY(read_element(ps, type->dtype, t.info));
    }
    for (int i = 0; i < type->rank; i++)
        if (t.shape[i] < 0) t.shape[i] = 0;
    return make_tensor(&t, use, out);
}

/* ---- weights in a file ---- */

static mil_status read_blob(mil__parser *ps, const char *at, const mil_type *type, const mil__attr *reference,
                            mil_tensor **out) {
    const mil_tensor *path = reference->items[0].data;
    if (!ps->blobs.model_path) {
        if (ps->unchecked) return MIL_OK; /* the const has no data here */
        return mil__lex_fail(&ps->lex, at, MIL_EUNSUPPORTED, "weights of a file can't be read: no model path was given");
    }
    for (int i = 0; i < type->rank; i++)
        if (type->shape[i] < 0)
            return mil__lex_fail(&ps->lex, at, MIL_ETYPE, "weights of a file must have a fixed shape");
    uint64_t offset;
    memcpy(&offset, reference->items[1].data->data, sizeof offset);
    mil_status status = mil__blobs_tensor(&ps->blobs, mil_tensor_string(path, 0, NULL), offset, type->dtype, type->rank,
                                          type->shape, out, ps->lex.err);
    return status == MIL_OK ? MIL_OK : mil__lex_locate(&ps->lex, at, status);
}

/* After "BLOBFILE": (path = string("..."), offset = uint64(N)), into two items. */
static mil_status parse_blob(mil__parser *ps, mil__attr *out) {
    static const char *const names[] = {"path", "offset"};
    mil__attr *items = mil__arena_zero(&ps->program->arena, 2, sizeof *items);
    if (!items) return mil__nomem(ps->lex.err);
    MIL__TRY(mil__lex_expect(&ps->lex, '(', "after \"BLOBFILE\""));
    do {
        mil__slice name;
        MIL__TRY(mil__lex_expect_name(&ps->lex, "path or offset", &name));
        int which = mil__slice_is(name, "offset");
        if (!mil__slice_is(name, names[which]) || items[which].type)
            return mil__lex_fail(&ps->lex, name.s, MIL_EPARSE, "expected path and offset, each once");
        MIL__TRY(mil__lex_expect(&ps->lex, '=', ""));
        mil__lex_peek(&ps->lex);
        const char *at = ps->lex.p;
        MIL__TRY(mil__parse_type(ps, &items[which].type));
        if (items[which].type->kind != MIL_TENSOR || items[which].type->rank ||
            items[which].type->dtype != (which ? MIL_UINT64 : MIL_STRING))
            return mil__lex_fail(&ps->lex, at, MIL_EPARSE, "expected %s", which ? "uint64(..)" : "string(..)");
        MIL__TRY(mil__parse_payload(ps, items[which].type, MIL__FOR_ATTRIBUTE, &items[which]));
    } while (mil__lex_take(&ps->lex, ','));
    if (!items[0].data || !items[1].data) return mil__lex_expected(&ps->lex, "path and offset");
    out->items = items;
    out->n_items = 2;
    return mil__lex_expect(&ps->lex, ')', "after BLOBFILE's arguments");
}

/* ---- lists, tuples, dictionaries ---- */

static mil_status push_item(mil__parser *ps, const mil__attr *item) {
    if (ps->stack.n == ps->stack.cap) {
        size_t cap = ps->stack.cap ? ps->stack.cap * 2 : 16;
        mil__attr *grown = mil__realloc(ps->stack.items, cap * sizeof *grown);
        if (!grown) return mil__nomem(ps->lex.err);
        ps->stack.items = grown;
        ps->stack.cap = cap;
    }
    ps->stack.items[ps->stack.n++] = *item;
    return mil__parse_check_size(ps);
}

static mil_status parse_items(mil__parser *ps, const mil_type *type, mil__attr *out);

/* Any payload, without the literal's own parentheses. */
static mil_status parse_untyped(mil__parser *ps, const mil_type *type, mil__literal_use use, mil__attr *out) {
    *out = (mil__attr){.name = out->name, .type = type};
    if (type->kind == MIL_TENSOR) return parse_tensor(ps, type, use, &out->data);
    if (type->kind == MIL_STATE) return mil__lex_fail(&ps->lex, ps->lex.p, MIL_EPARSE, "a state has no literal");
    if (++ps->depth > MIL__MAX_DEPTH) return too_deep(ps);
    MIL__TRY(parse_items(ps, type, out));
    ps->depth--;
    return MIL_OK;
}

static mil_status parse_item(mil__parser *ps, const mil_type *type) {
    mil__attr item = {0};
    MIL__TRY(parse_untyped(ps, type, MIL__FOR_ATTRIBUTE, &item));
    return push_item(ps, &item);
}

static mil_status parse_pair(mil__parser *ps, const mil_type *type) {
    MIL__TRY(mil__lex_expect(&ps->lex, '{', "before a dict's pair"));
    MIL__TRY(parse_item(ps, type->items[0]));
    MIL__TRY(mil__lex_expect(&ps->lex, ',', "after a dict's key"));
    MIL__TRY(parse_item(ps, type->items[1]));
    return mil__lex_expect(&ps->lex, '}', "after a dict's pair");
}

static mil_status parse_items(mil__parser *ps, const mil_type *type, mil__attr *out) {
    const char *brackets = type->kind == MIL_LIST ? "[]" : type->kind == MIL_DICT ? "{}" : "()";
    size_t base = ps->stack.n;
    const char *at = ps->lex.p;
    MIL__TRY(mil__lex_expect(&ps->lex, brackets[0], "before the items"));
    int n = 0;
    while (n ? mil__lex_take(&ps->lex, ',') : mil__lex_peek(&ps->lex) != brackets[1]) {
        if (type->kind == MIL_DICT) MIL__TRY(parse_pair(ps, type));
        else if (type->kind == MIL_LIST) MIL__TRY(parse_item(ps, type->items[0]));
        else if (n < type->n_items) MIL__TRY(parse_item(ps, type->items[n]));
        else break;
        n++;
    }
    MIL__TRY(mil__lex_expect(&ps->lex, brackets[1], "after the items"));
    bool fits = true;
    if (type->kind == MIL_TUPLE) fits = n == type->n_items;
    if (type->kind == MIL_LIST) fits = type->length < 0 || n == type->length;
    if (!fits)
        return mil__lex_fail(&ps->lex, at, MIL_ETYPE, "%d item%s in a literal of type %s", n, n == 1 ? "" : "s",
                             MIL__TYPE_TEXT(ps->program->types, type));
    out->n_items = (int)(ps->stack.n - base);
    out->items = mil__arena_copy(&ps->program->arena, ps->stack.items ? ps->stack.items + base : NULL,
                                 (size_t)out->n_items * sizeof *out->items);
    ps->stack.n = base;
    return out->items ? MIL_OK : mil__nomem(ps->lex.err);
}

/* ---- literals ---- */

static bool at_blob(mil__parser *ps) {
    static const char word[] = "BLOBFILE";
    mil__lex_peek(&ps->lex);
    size_t n = sizeof word - 1, left = (size_t)(ps->lex.end - ps->lex.p);
    return left > n && memcmp(ps->lex.p, word, n) == 0 && !mil__name_class[(unsigned char)ps->lex.p[n]];
}

mil_status mil__parse_payload(mil__parser *ps, const mil_type *type, mil__literal_use use, mil__attr *out) {
    MIL__TRY(mil__lex_expect(&ps->lex, '(', "after a literal's type"));
    out->type = type;
    mil_status status;
    if (type->kind == MIL_TENSOR && at_blob(ps)) {
        const char *at = ps->lex.p;
        ps->lex.p += 8;
        status = parse_blob(ps, out);
        if (status == MIL_OK && use == MIL__FOR_CONST) status = read_blob(ps, at, type, out, &out->data);
    } else {
        status = parse_untyped(ps, type, use, out);
    }
    if (status == MIL_OK) status = mil__lex_expect(&ps->lex, ')', "after a literal's value");
    if (status != MIL_OK && out->data && out->data->buffer) {
        mil_tensor_free(out->data);
        out->data = NULL;
    }
    return status;
}

const char *mil__parse_known_literal(const mil__parser *ps, const char *p, mil__attr *out) {
    mil__slice text = piece(ps, p, ')', 64);
    if (!text.n) return NULL;
    size_t slot = slot_of(text);
    if (!mil__same_slice(ps->literals[slot].text, text)) return NULL;
    *out = (mil__attr){.type = ps->literals[slot].type, .data = ps->literals[slot].data};
    return p + text.n;
}

/* Only what is in the program's arena can be shared without being held; nobody writes to it. */
static void remember_literal(mil__parser *ps, mil__slice text, const mil__attr *literal) {
    bool small = literal->data && !literal->data->buffer && literal->n_items == 0;
    if (!small || !text.n || ps->lex.p != text.s + text.n || memchr(text.s, '\n', text.n)) return;
    size_t slot = slot_of(text);
    ps->literals[slot].text = text;
    ps->literals[slot].type = literal->type;
    ps->literals[slot].data = literal->data;
}

mil_status mil__parse_literal(mil__parser *ps, mil__literal_use use, mil__attr *out) {
    const mil_type *type;
    mil__lex_peek(&ps->lex);
    const char *end = use == MIL__FOR_CONST ? mil__parse_known_literal(ps, ps->lex.p, out) : NULL;
    if (end) return ps->lex.p = end, MIL_OK;
    mil__slice text = piece(ps, ps->lex.p, ')', 64);
    MIL__TRY(mil__parse_type(ps, &type));
    MIL__TRY(mil__parse_payload(ps, type, use, out));
    if (use == MIL__FOR_CONST) remember_literal(ps, text, out);
    return MIL_OK;
}
