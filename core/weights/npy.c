/* SPDX-License-Identifier: MIT */
/* npy: one array of NumPy.
 *
 *     0        93 "NUMPY", u8 major, u8 minor       (1, 0), (2, 0) or (3, 0)
 *     8        u16 or, from 2.0 on, u32 length      of the header
 *     10 / 12  {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *     then     the elements; what follows them is not ours
 *
 * The header is a Python literal. Of that language this reads what NumPy writes, in any order and spacing: dict, tuple,
 * strings of either quote without escapes (u'..' too), True, False, and decimal integers (1L of Python 2 too). */
#include <inttypes.h>
#include <stdio.h>

#include "weights/weights.h"

/* ---- the literal ---- */

typedef struct literal {
    const char *at, *end;
    const char *problem; /* the first */
} literal;

static bool fails(literal *l, const char *problem) {
    if (!l->problem) l->problem = problem;
    return false;
}

static void skip_blanks(literal *l) {
    while (l->at < l->end && (*l->at == ' ' || (*l->at >= '\t' && *l->at <= '\r'))) l->at++;
}

static bool accept(literal *l, char c) {
    skip_blanks(l);
    if (l->at == l->end || *l->at != c) return false;
    l->at++;
    return true;
}

static bool read_string(literal *l, const char **s, size_t *n) {
    skip_blanks(l);
    if (l->at < l->end && (*l->at == 'u' || *l->at == 'U')) l->at++;
    char quote = l->at < l->end ? *l->at : 0;
    if (quote != '\'' && quote != '"') return fails(l, "a string is wanted");
    *s = ++l->at;
    while (l->at < l->end && *l->at != quote && *l->at != '\\' && *l->at != '\n') l->at++;
    if (l->at == l->end || *l->at != quote) return fails(l, "a string that does not end, or has an escape");
    *n = (size_t)(l->at++ - *s);
    return true;
}

static bool read_word(literal *l, const char *word) {
    size_t n = strlen(word);
    skip_blanks(l);
    if ((size_t)(l->end - l->at) < n || memcmp(l->at, word, n) != 0) return false;
    l->at += n;
    return true;
}

static bool read_dim(literal *l, int64_t *out) {
    int64_t value = 0;
    skip_blanks(l);
    const char *begin = l->at;
    for (; l->at < l->end && *l->at >= '0' && *l->at <= '9'; l->at++) {
        if (!mil__mul_dim(value, 10, &value) || !mil__add_dim(value, *l->at - '0', &value))
            return fails(l, "shape: a dim is too large");
    }
    if (l->at == begin) return fails(l, "shape: sizes are wanted");
    if (l->at - begin > 1 && *begin == '0') return fails(l, "shape: a dim begins with 0");
    if (l->at < l->end && *l->at == 'L') l->at++;
    *out = value;
    return true;
}

/* "()", "(3,)", "(2, 3)", "(2, 3,)"; but "(3)" is an integer of Python. */
static bool read_shape(literal *l, mil__npy_header *out) {
    if (!accept(l, '(')) return fails(l, "shape: a tuple is wanted");
    bool comma = true;
    int rank = 0;
    while (!accept(l, ')')) {
        int64_t dim;
        if (!comma) return fails(l, "shape: a comma is wanted");
        if (!read_dim(l, &dim)) return false;
        if (rank < MIL_MAX_RANK) out->shape[rank] = dim;
        if (rank++ == 64) return fails(l, "shape: more than 64 dims");
        comma = accept(l, ',');
    }
    if (rank == 1 && !comma) return fails(l, "shape: a tuple is wanted");
    out->rank = rank;
    if (rank > MIL_MAX_RANK) out->unsupported = "a rank above 8";
    return true;
}

/* ---- descr ---- */

/* '<f4', '>i2', '|b1', '?', '=f8', 'f4', 'float32': an order, then a kind with a size. */
static bool find_descr(const char *s, size_t n, mil__npy_header *out) {
    static const char *const long_names[][2] = {
        {"bool", "b1"},   {"int8", "i1"},   {"int16", "i2"},   {"int32", "i4"},   {"int64", "i8"},   {"uint8", "u1"},
        {"uint16", "u2"}, {"uint32", "u4"}, {"uint64", "u8"}, {"float16", "f2"}, {"float32", "f4"}, {"float64", "f8"},
        {"?", "b1"},
    };
    char order = n && strchr("<>|=", s[0]) ? s[0] : 0;
    if (order) s++, n--;
    for (size_t i = 0; i < MIL__COUNT(long_names); i++) {
        const char *name = long_names[i][0];
        if (strlen(name) == n && memcmp(name, s, n) == 0) s = long_names[i][1], n = 2;
    }
    for (int i = MIL_NO_DTYPE + 1; i < MIL_N_DTYPES; i++) {
        const char *descr = mil__dtype((mil_dtype)i)->npy;
        if (!descr || n != strlen(descr + 1) || memcmp(descr + 1, s, n) != 0) continue;
        out->dtype = (mil_dtype)i;
        out->is_swapped = order == '>' && mil_dtype_bits(out->dtype) > 8;
        return true;
    }
    return false;
}

static bool read_descr(literal *l, mil__npy_header *out) {
    const char *s;
    size_t n;
    skip_blanks(l);
    if (l->at < l->end && *l->at == '[') return fails(l, "descr: structured arrays are not tensors");
    if (!read_string(l, &s, &n)) return false;
    if (find_descr(s, n, out)) return true;
    char name[40];
    snprintf(out->text, sizeof out->text, "dtype '%s'", mil__printable(s, n, name, sizeof name));
    if (!out->unsupported) out->unsupported = out->text;
    return true;
}

static bool read_order(literal *l, mil__npy_header *out) {
    out->is_fortran = read_word(l, "True");
    return out->is_fortran || read_word(l, "False") || fails(l, "fortran_order: True or False is wanted");
}

static bool read_dict(literal *l, mil__npy_header *out) {
    static const struct {
        const char *name;
        bool (*read)(literal *, mil__npy_header *);
    } keys[] = {{"descr", read_descr}, {"fortran_order", read_order}, {"shape", read_shape}};
    unsigned seen = 0;
    bool comma = true;
    if (!accept(l, '{')) return fails(l, "a dict is wanted");
    while (!accept(l, '}')) {
        const char *key;
        size_t n, i = 0;
        if (!comma) return fails(l, "a comma is wanted");
        if (!read_string(l, &key, &n)) return false;
        while (i < MIL__COUNT(keys) && (strlen(keys[i].name) != n || memcmp(keys[i].name, key, n) != 0)) i++;
        if (i == MIL__COUNT(keys)) return fails(l, "has a key other than descr, fortran_order and shape");
        if (seen & 1u << i) return fails(l, "has a key twice");
        if (!accept(l, ':')) return fails(l, "a colon is wanted");
        if (!keys[i].read(l, out)) return false;
        seen |= 1u << i;
        comma = accept(l, ',');
    }
    skip_blanks(l);
    if (l->at != l->end) return fails(l, "has more than a dict");
    return seen == 7 || fails(l, "lacks one of the keys descr, fortran_order and shape");
}

/* ---- the header ---- */

static bool count_bytes(mil__npy_header *header) {
    int64_t n;
    if (header->unsupported) return true;
    return mil__shape_numel(header->rank, header->shape, &n) && mil__dtype_bytes(header->dtype, n, &header->bytes);
}

bool mil__npy_read_header(const uint8_t *data, size_t n, mil__npy_header *out, char message[128]) {
    const char *problem = NULL;
    mil__bytes bytes = mil__bytes_part(data, n, 0, n);
    const uint8_t *magic = mil__bytes_take(&bytes, 6);
    unsigned major = mil__bytes_u8(&bytes), minor = mil__bytes_u8(&bytes);
    memset(out, 0, sizeof *out);
    if (!magic || memcmp(magic, "\x93NUMPY", 6) != 0) {
        problem = "does not begin with \\x93NUMPY";
    } else if (major < 1 || major > 3 || minor != 0) {
        snprintf(message, 128, "version %u.%u, but 1.0, 2.0 and 3.0 are known", major, minor);
        return false;
    } else {
        size_t length = major == 1 ? mil__bytes_u16(&bytes) : mil__bytes_u32(&bytes);
        const char *text = (const char *)mil__bytes_take(&bytes, length);
        literal l = {text, text ? text + length : NULL, NULL};
        out->data_at = bytes.at;
        if (length > 10000) problem = "a header of more than 10000 bytes";
        else if (!text) problem = "ends inside the header";
        else if (!read_dict(&l, out)) problem = l.problem;
        else if (!count_bytes(out)) problem = "shape: has more elements than memory can hold";
    }
    if (problem) snprintf(message, 128, "header: %s", problem);
    return !problem;
}

/* ---- the tensor ---- */

static void swap_bytes(uint8_t *data, size_t n, size_t element) {
    for (uint8_t *p = data; p < data + n; p += element) {
        for (size_t i = 0; i < element / 2; i++) {
            uint8_t byte = p[i];
            p[i] = p[element - 1 - i], p[element - 1 - i] = byte;
        }
    }
}

/* The elements' own bytes made ours, in memory that is ours. */
static void mend(const mil__npy_header *header, uint8_t *data) {
    if (header->is_swapped) swap_bytes(data, header->bytes, (size_t)mil_dtype_bits(header->dtype) / 8);
    if (header->dtype == MIL_BOOL) mil__normalize_bools(data, header->bytes);
}

static bool needs_mending(const mil__npy_header *header, const uint8_t *data) {
    uint8_t all = 0;
    for (size_t i = 0; header->dtype == MIL_BOOL && i < header->bytes; i++) all |= data[i];
    return header->is_swapped || all > 1 || (uintptr_t)data % ((size_t)mil_dtype_bits(header->dtype) / 8) != 0;
}

/* Column-major elements are a tensor with strides the other way round. */
static void fortran_strides(const mil__npy_header *header, int64_t *strides) {
    int64_t step = 1;
    for (int i = 0; i < header->rank; i++) {
        strides[i] = step;
        if (header->bytes) step *= header->shape[i];
    }
}

mil_status mil__npy_tensor(const mil__npy_header *header, mil_buffer *buffer, uint64_t offset, mil_tensor **out,
                           mil_error *err) {
    int64_t strides[MIL_MAX_RANK];
    const uint8_t *data = (const uint8_t *)mil_buffer_data(buffer) + offset;
    fortran_strides(header, strides);
    const int64_t *how = header->is_fortran ? strides : NULL;
    if (!needs_mending(header, data))
        return mil_tensor_over(buffer, (size_t)offset, header->dtype, header->rank, header->shape, how, out, err);
    mil_buffer *copy = buffer;
    bool in_place = mil_buffer_writable(buffer) && offset == 0;
    if (!in_place) {
        MIL__TRY(mil__buffer_raw(header->bytes, &copy, err));
        memcpy(mil_buffer_data(copy), data, header->bytes);
    }
    mend(header, mil_buffer_data(copy));
    mil_status status = mil_tensor_over(copy, 0, header->dtype, header->rank, header->shape, how, out, err);
    if (!in_place) mil_buffer_free(copy);
    return status;
}

/* ---- a file ---- */

static mil_status open_npy(mil_weights *weights, mil_error *err) {
    mil__npy_header header;
    char message[128];
    mil__weight *weight;
    if (!mil__npy_read_header(weights->data, weights->bytes, &header, message))
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "%s", message);
    size_t there = weights->bytes - header.data_at;
    if (header.bytes > there)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "the elements take %zu bytes, but %zu are there",
                                 header.bytes, there);
    MIL__TRY(mil__weights_add(weights, "", 0, &weight, err));
    if (header.unsupported) {
        weight->unsupported = mil__arena_text(&weights->arena, header.unsupported, strlen(header.unsupported));
        if (!weight->unsupported) return mil__nomem(err);
    }
    return MIL_OK;
}

static mil_status get_npy(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err) {
    mil__npy_header header;
    char message[128];
    (void)weight;
    if (!mil__npy_read_header(weights->data, weights->bytes, &header, message)) /* it could, so the file was changed */
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "%s", message);
    if (header.bytes > weights->bytes - header.data_at)
        return mil__weights_fail(weights, err, MIL_EFORMAT, NULL, "the file was changed");
    return mil__npy_tensor(&header, weights->file, header.data_at, out, err);
}

const mil__weights_format mil__npy = {"npy", open_npy, get_npy, NULL, NULL, NULL};

/* ---- writing ---- */

mil_status mil__npy_make_header(const mil_tensor *tensor, mil__str *out, mil_error *err) {
    const char *descr = mil__dtype(tensor->dtype)->npy;
    if (!descr)
        return mil__fail(err, MIL_EUNSUPPORTED, "save: %s has no dtype in npy files", MIL__TENSOR_TEXT(tensor));
    mil__str_add(out, "\x93NUMPY\1\0\0\0", 10);
    mil__str_printf(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < tensor->rank; i++)
        mil__str_printf(out, "%s%" PRId64, i ? ", " : "", tensor->shape[i]);
    mil__str_puts(out, tensor->rank == 1 ? ",), }" : "), }");
    while (!out->failed && (out->n + 1) % 64 != 0) mil__str_putc(out, ' ');
    mil__str_putc(out, '\n');
    if (out->failed) return mil__nomem(err);
    mil__put_u16((uint8_t *)out->s + 8, (uint16_t)(out->n - 10));
    return MIL_OK;
}

mil_status mil__npy_write(mil__weights_saving *saving, mil_error *err) {
    mil__str header = {0};
    mil_status status = mil__npy_make_header(&saving->items[0].type, &header, err);
    if (status == MIL_OK) {
        mil__writer_add(&saving->writer, header.s, header.n);
        status = mil__weights_put(saving, &saving->items[0], NULL, err);
    }
    mil__str_free(&header);
    return status;
}
