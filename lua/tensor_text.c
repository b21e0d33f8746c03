/* SPDX-License-Identifier: MIT */
/* A tensor as people read it: a line with dtype, shape and statistics; then its numbers, aligned, with 4 significant
 * digits, the middle of long axes left out.
 *
 *     fp32[2, 1000]  min -3.1  max 3.4  mean 0.002  1 nan
 *       0.1234   1.5  -2.25 ...   0.5
 *       1        0     0    ...   3.125
 *
 * Axes before the last two are walked in blocks, each under its index ([2, 1, :, :]); an index is Lua's, from 1. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bind.h"

enum { SHOWN_ROWS = 12, EDGE = 3, SHOWN_BLOCKS = 8, CELL = 32, SHOWN_TEXT = 24 };

typedef struct printing {
    lua_State *L;
    luaL_Buffer *b;
    const mil_tensor *tensor;
    int width;        /* of the terminal */
    int cell;         /* of a number */
    int64_t columns;  /* shown of the last axis; fewer than it has: the middle is left out */
} printing;

static bool is_float(mil_dtype dtype) {
    return dtype == MIL_FP16 || dtype == MIL_FP32 || dtype == MIL_FP64 || dtype == MIL_BF16;
}

/* One element; returns its length. */
static int put_cell(const printing *p, const int64_t *index, char *cell) {
    mil_dtype dtype = mil_tensor_dtype(p->tensor);
    double number = 0;
    int64_t whole = 0;
    if (dtype == MIL_STRING) {
        const char *s = mil_tensor_string(p->tensor, mil_tensor_rank(p->tensor) ? index[0] : 0, NULL);
        return snprintf(cell, CELL, "\"%.*s\"", SHOWN_TEXT, s ? s : "");
    }
    if (is_float(dtype)) {
        mil_tensor_get(p->tensor, index, &number, NULL);
        return isnan(number) ? snprintf(cell, CELL, "nan") : snprintf(cell, CELL, "%.4g", number);
    }
    mil_tensor_get_int(p->tensor, index, &whole, NULL);
    if (dtype == MIL_BOOL) return snprintf(cell, CELL, "%s", whole ? "true" : "false");
    return snprintf(cell, CELL, "%lld", (long long)whole);
}

/* Which of n positions are shown when `shown` are: the first and last; -1 stands for the gap. */
static int64_t position(int64_t i, int64_t n, int64_t shown) {
    if (n <= shown) return i;
    int64_t head = (shown + 1) / 2;
    return i < head ? i : i == head ? -1 : n - (shown + 1 - i);
}

static int64_t places(int64_t n, int64_t shown) { return n <= shown ? n : shown + 1; }

static int64_t rows_shown(int64_t n) { return n <= SHOWN_ROWS ? n : 2 * EDGE; }

/* ---- one block of rows ---- */

static void put_row(printing *p, int64_t *index, int last) {
    int64_t n = last >= 0 ? mil_tensor_shape(p->tensor)[last] : 1;
    char cell[CELL], padded[CELL + 40];
    luaL_addstring(p->b, "\n");
    for (int64_t i = 0; i < places(n, p->columns); i++) {
        int64_t at = position(i, n, p->columns);
        if (last >= 0) index[last] = at;
        if (at < 0) snprintf(cell, sizeof cell, "...");
        else put_cell(p, index, cell);
        snprintf(padded, sizeof padded, "  %*s", at < 0 ? 3 : p->cell, cell);
        luaL_addstring(p->b, padded);
    }
}

static void put_block(printing *p, int64_t *index) {
    int rank = mil_tensor_rank(p->tensor);
    if (rank < 2) {
        put_row(p, index, rank - 1);
        return;
    }
    int64_t n = mil_tensor_shape(p->tensor)[rank - 2], shown = rows_shown(n);
    for (int64_t i = 0; i < places(n, shown); i++) {
        int64_t at = index[rank - 2] = position(i, n, shown);
        if (at < 0) luaL_addstring(p->b, "\n  ...");
        else put_row(p, index, rank - 1);
    }
}

/* ---- the widest number shown ---- */

static void measure_row(printing *p, int64_t *index, int last, int64_t columns) {
    int64_t n = last >= 0 ? mil_tensor_shape(p->tensor)[last] : 1;
    char cell[CELL];
    for (int64_t i = 0; i < places(n, columns); i++) {
        int64_t at = position(i, n, columns);
        if (at < 0) continue;
        if (last >= 0) index[last] = at;
        int length = put_cell(p, index, cell);
        if (length > p->cell) p->cell = length < CELL ? length : CELL - 1;
    }
}

static void measure_block(printing *p, int64_t *index, int64_t columns) {
    int rank = mil_tensor_rank(p->tensor);
    if (rank < 2) {
        measure_row(p, index, rank - 1, columns);
        return;
    }
    int64_t n = mil_tensor_shape(p->tensor)[rank - 2], shown = rows_shown(n);
    for (int64_t i = 0; i < places(n, shown); i++) {
        index[rank - 2] = position(i, n, shown);
        if (index[rank - 2] >= 0) measure_row(p, index, rank - 1, columns);
    }
}

/* ---- blocks ---- */

/* Calls fn for each block shown. */
static void each_block(printing *p, void (*fn)(printing *p, int64_t *index, int64_t arg), int64_t arg) {
    int outer = mil_tensor_rank(p->tensor) - 2;
    int64_t index[MIL_MAX_RANK] = {0};
    const int64_t *shape = mil_tensor_shape(p->tensor);
    for (int n = 0; n < SHOWN_BLOCKS; n++) {
        fn(p, index, arg);
        int axis = outer - 1;
        for (; axis >= 0; index[axis--] = 0)
            if (++index[axis] < shape[axis]) break;
        if (axis < 0) return;
    }
    if (!arg) luaL_addstring(p->b, "\n...");
}

static void print_one(printing *p, int64_t *index, int64_t arg) {
    (void)arg;
    int rank = mil_tensor_rank(p->tensor);
    int64_t blocks = 1;
    for (int i = 0; i < rank - 2; i++) blocks *= mil_tensor_shape(p->tensor)[i];
    if (blocks > 1) {
        char part[40];
        luaL_addstring(p->b, "\n[");
        for (int i = 0; i < rank - 2; i++) {
            snprintf(part, sizeof part, "%lld, ", (long long)index[i] + 1);
            luaL_addstring(p->b, part);
        }
        luaL_addstring(p->b, ":, :]");
    }
    put_block(p, index);
}

static void measure_one(printing *p, int64_t *index, int64_t columns) { measure_block(p, index, columns); }

/* As many columns as fit, an even number where the middle is left out. */
static void choose_columns(printing *p) {
    int rank = mil_tensor_rank(p->tensor);
    int64_t n = rank ? mil_tensor_shape(p->tensor)[rank - 1] : 1, fit = p->width / 3;
    each_block(p, measure_one, fit < 4 ? 4 : fit);
    fit = p->width / (p->cell + 2);
    if (fit < n) fit = (p->width - 5) / (p->cell + 2);
    p->columns = fit < 2 ? 2 : fit;
}

/* ---- the header ---- */

static void put_header(printing *p) {
    char part[80];
    mil_tensor_stats stats;
    mil_dtype dtype = mil_tensor_dtype(p->tensor);
    luaL_addstring(p->b, mil_dtype_name(dtype));
    luaL_addstring(p->b, "[");
    for (int i = 0; i < mil_tensor_rank(p->tensor); i++) {
        snprintf(part, sizeof part, "%s%lld", i ? ", " : "", (long long)mil_tensor_shape(p->tensor)[i]);
        luaL_addstring(p->b, part);
    }
    luaL_addstring(p->b, "]");
    if (dtype == MIL_STRING || mil_tensor_numel(p->tensor) == 0) return;
    mil_tensor_statistics(p->tensor, &stats);
    snprintf(part, sizeof part, "  min %.4g  max %.4g  mean %.4g", stats.min, stats.max, stats.mean);
    luaL_addstring(p->b, part);
    if (stats.n_nan) snprintf(part, sizeof part, "  %lld nan", (long long)stats.n_nan), luaL_addstring(p->b, part);
    if (stats.n_inf) snprintf(part, sizeof part, "  %lld inf", (long long)stats.n_inf), luaL_addstring(p->b, part);
}

int luamil_tensor_text(lua_State *L, const mil_tensor *tensor, int width) {
    luaL_Buffer b;
    printing p = {L, &b, tensor, width, 1, 0};
    luaL_buffinit(L, &b);
    put_header(&p);
    if (mil_tensor_numel(tensor) > 0) {
        choose_columns(&p);
        each_block(&p, print_one, 0);
    }
    luaL_pushresult(&b);
    return 1;
}
