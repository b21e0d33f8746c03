/* SPDX-License-Identifier: MIT */
/* Reading tests/vectors: a line of a .jsonl file as a call that can be built, and the elements it holds. README.md in
 * tests/oracle has the format. Whatever is wrong with a vector file ends the program: it is ours. */
#ifndef VECTORS_H
#define VECTORS_H

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mil.h"

enum { MAX_ARGS = 24, MAX_ITEMS = 16, MAX_RESULTS = 16 };

/* One line of a file in one opset. */
typedef struct vector {
    const char *file;
    int line;
    const char *op;
    mil_opset opset;
    json_t *row;   /* the whole line */
    json_t *blobs; /* elements that lines share, by number */
} vector;

static inline void broken(const vector *v, const char *what) {
    fprintf(stderr, "%s:%d: the vector is broken: %s\n", v->file, v->line, what);
    exit(2);
}

/* ---- types as text: "fp32[2,a]" ---- */

typedef struct shape {
    mil_dtype dtype;
    int rank;
    char dims[MIL_MAX_RANK][80]; /* a number, a symbol or a formula */
} shape;

static inline bool is_number(const char *text) {
    if (!*text) return false;
    while (isdigit((unsigned char)*text)) text++;
    return !*text;
}

static bool read_shape(const char *text, shape *out) {
    char word[32] = "";
    size_t n = strcspn(text, "[");
    if (n >= sizeof word) return false;
    memcpy(word, text, n);
    *out = (shape){.dtype = mil_dtype_find(word)};
    if (text[n] == '[') n++;
    int depth = 0;
    for (size_t at = 0; text[n] && text[n] != ']'; n++) {
        char c = text[n];
        depth += (c == '(') - (c == ')');
        if (c == ',' && depth == 0) {
            out->rank++, at = 0;
            continue;
        }
        if (out->rank >= MIL_MAX_RANK || at + 1 >= sizeof out->dims[0]) return false;
        if (c != ' ' || at) out->dims[out->rank][at++] = c;
        if (text[n + 1] == ']') out->rank++;
    }
    return out->dtype != MIL_NO_DTYPE;
}

/* ---- dims as formulas, in our words or SymPy's: compared by their values ---- */

typedef struct formula {
    const char *at;
    int trial;   /* which sizes the symbols have */
    bool unknown; /* something that is no formula over the call's symbols */
} formula;

static double formula_sum(formula *f);

static void formula_space(formula *f) {
    while (*f->at == ' ') f->at++;
}

static bool formula_eat(formula *f, char c) {
    formula_space(f);
    if (*f->at != c) return false;
    f->at++;
    return true;
}

/* Symbols get sizes that formulas of different meaning tell apart. */
static double formula_word(formula *f) {
    static const int sizes[] = {24, 36, 60, 35, 7, 13};
    char word[32];
    size_t n = 0;
    while (isalnum((unsigned char)*f->at) || *f->at == '_') {
        if (n + 1 < sizeof word) word[n++] = *f->at;
        f->at++;
    }
    word[n] = 0;
    if (!formula_eat(f, '(')) return sizes[f->trial] + 12.0 * (word[0] % 16) * (f->trial < 3 ? 1 : 0.25 * (f->trial + 1));
    double a = formula_sum(f), b = formula_eat(f, ',') ? formula_sum(f) : 0;
    formula_eat(f, ')');
    if (!strcmp(word, "floor")) return floor(a + 1e-9);
    if (!strcmp(word, "ceiling")) return ceil(a - 1e-9);
    if (!strcmp(word, "max") || !strcmp(word, "Max")) return fmax(a, b);
    if (!strcmp(word, "min") || !strcmp(word, "Min")) return fmin(a, b);
    f->unknown = true;
    return 0;
}

static double formula_atom(formula *f) {
    formula_space(f);
    if (formula_eat(f, '-')) return -formula_atom(f);
    if (formula_eat(f, '(')) {
        double inside = formula_sum(f);
        if (!formula_eat(f, ')')) f->unknown = true;
        return inside;
    }
    if (isdigit((unsigned char)*f->at)) return strtod(f->at, (char **)&f->at);
    if (isalpha((unsigned char)*f->at)) return formula_word(f);
    f->unknown = true;
    return 0;
}

static double formula_power(formula *f) {
    double base = formula_atom(f);
    formula_space(f);
    if (f->at[0] != '*' || f->at[1] != '*') return base;
    f->at += 2;
    return pow(base, formula_atom(f));
}

static double formula_product(formula *f) {
    double value = formula_power(f);
    for (;;) {
        formula_space(f);
        if (f->at[0] == '/' && f->at[1] == '/') f->at += 2, value = floor(value / formula_power(f) + 1e-9);
        else if (formula_eat(f, '*')) value *= formula_power(f);
        else if (formula_eat(f, '/')) value /= formula_power(f);
        else return value;
    }
}

static double formula_sum(formula *f) {
    double value = formula_product(f);
    for (;;) {
        if (formula_eat(f, '+')) value += formula_product(f);
        else if (formula_eat(f, '-')) value -= formula_product(f);
        else return value;
    }
}

static bool same_formula(const char *a, const char *b) {
    for (int trial = 0; trial < 6; trial++) {
        formula one = {.at = a, .trial = trial}, two = {.at = b, .trial = trial};
        double x = formula_sum(&one), y = formula_sum(&two);
        if (one.unknown || two.unknown || *one.at || *two.at) return false;
        if (fabs(x - rint(x)) > 1e-6) continue; /* SymPy's quotient is no size here, so these sizes can't be */
        if (fabs(x - y) > 1e-6) return false;
    }
    return true;
}

/* ---- elements ---- */

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes into out, which has room for n bytes; false when there are more or fewer. */
static bool base64(const char *text, unsigned char *out, size_t n) {
    size_t done = 0;
    uint32_t bits = 0;
    int have = 0;
    for (; *text && *text != '='; text++) {
        int digit = base64_digit(*text);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        if (done == n) return false;
        out[done++] = (unsigned char)(bits >> have);
    }
    return done == n;
}

static mil_tensor *fresh(const vector *v, mil_dtype dtype, int rank, const int64_t *sizes) {
    mil_tensor *tensor = NULL;
    mil_error err;
    if (mil_tensor_new(dtype, rank, sizes, &tensor, &err)) broken(v, err.message);
    return tensor;
}

/* Vectors are little-endian, as all our machines are. */
static mil_tensor *decoded(const vector *v, mil_dtype dtype, int rank, const int64_t *sizes, const char *text) {
    mil_tensor *tensor = fresh(v, dtype, rank, sizes);
    if (!base64(text, mil_tensor_data(tensor), mil_tensor_bytes(tensor))) broken(v, "elements");
    return tensor;
}

static void flatten(json_t *value, double **at) {
    size_t i;
    json_t *each;
    if (json_is_array(value)) json_array_foreach(value, i, each) flatten(each, at);
    else *(*at)++ = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
}

/* A const of nested lists, or of ones. */
static mil_tensor *written(const vector *v, mil_dtype dtype, int rank, const int64_t *sizes, json_t *value) {
    mil_tensor *wide = fresh(v, MIL_FP64, rank, sizes), *tensor = NULL;
    mil_error err;
    if (value) flatten(value, &(double *){mil_tensor_data(wide)});
    else if (mil_tensor_fill(wide, 1, &err)) broken(v, err.message);
    if (mil_tensor_convert(wide, dtype, &tensor, &err)) broken(v, err.message);
    mil_tensor_free(wide);
    return tensor;
}

static double half_value(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 31 ? (fraction ? NAN : INFINITY)
                  : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                 : ldexp(fraction, -24);
    return bits & 0x8000 ? -size : size;
}

/* Element i of contiguous elements, read without the library's help. */
static double element(mil_dtype dtype, const void *data, int64_t i) {
    switch (dtype) {
    case MIL_FP32: return ((const float *)data)[i];
    case MIL_FP16: return half_value(((const uint16_t *)data)[i]);
    case MIL_INT32: return ((const int32_t *)data)[i];
    case MIL_INT16: return ((const int16_t *)data)[i];
    case MIL_UINT16: return ((const uint16_t *)data)[i];
    case MIL_INT8: return ((const int8_t *)data)[i];
    case MIL_UINT8: case MIL_BOOL: return ((const uint8_t *)data)[i];
    default: return NAN;
    }
}

/* The unit in the last place of r in fp16. */
static double half_ulp(double r) {
    int exponent;
    frexp(r, &exponent);
    return fmax(ldexp(1, exponent - 11), ldexp(1, -24));
}

#endif
