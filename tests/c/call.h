/* SPDX-License-Identifier: MIT */
/* Calls of ops written in a line, for rows of tests: "x=fp16[2, S] axes={0, 1} mode=\"EXACT\"".
 *
 *     fp16[2, S]      a value known at run time; a letter is a symbolic dim
 *     @fp16[2]        a const of zeros
 *     {1, 2}  3  .5  true  "text"    literals
 *     {true, false}                  a list of bools
 *     (fp16[2], fp16[2])             a tuple
 */
#ifndef CALL_H
#define CALL_H

#include <ctype.h>

#include "test.h"

typedef struct call {
    mil_program *program;
    mil_block block;
    const char *at;          /* in the text */
    mil_arg args[16], items[8];
    size_t n_args;
    int64_t ints[64];
    double numbers[16];
    bool bools[16];
    char text[512];          /* names and strings, one after another */
    size_t n_text, n_ints, n_numbers, n_bools, n_inputs;
    mil_value out;
} call;

static inline void call_space(call *c) {
    while (*c->at == ' ' || *c->at == ',') c->at++;
}

static inline const char *call_word(call *c) {
    char *word = c->text + c->n_text;
    while (isalnum((unsigned char)*c->at) || *c->at == '_') c->text[c->n_text++] = *c->at++;
    c->text[c->n_text++] = 0;
    return word;
}

static inline mil_status call_shape(call *c, mil_dim *shape, int *rank, mil_error *err) {
    *rank = 0;
    if (*c->at != '[') return MIL_OK;
    for (c->at++, call_space(c); *c->at != ']'; call_space(c)) {
        if (isdigit((unsigned char)*c->at)) {
            shape[(*rank)++] = strtoll(c->at, (char **)&c->at, 10);
            continue;
        }
        mil_symbol symbol = {.name = call_word(c), .max = -1};
        mil_status status = mil_program_symbol(c->program, &symbol, &shape[(*rank)++], err);
        if (status != MIL_OK) return status;
    }
    c->at++;
    return MIL_OK;
}

/* A tensor, run-time or const. */
static inline mil_status call_tensor(call *c, mil_arg *arg, mil_error *err) {
    bool is_const = *c->at == '@';
    c->at += is_const;
    mil_dtype dtype = mil_dtype_find(call_word(c));
    mil_dim shape[MIL_MAX_RANK];
    int rank;
    mil_status status = call_shape(c, shape, &rank, err);
    arg->kind = MIL_ARG_VALUE;
    if (status != MIL_OK) return status;
    if (is_const) {
        mil_tensor *zeros = NULL;
        status = mil_tensor_new(dtype, rank, shape, &zeros, err);
        if (status == MIL_OK) status = mil_program_const(c->program, c->block, zeros, NULL, (mil_where){0}, &arg->value, err);
        mil_tensor_free(zeros);
        return status;
    }
    char name[16];
    snprintf(name, sizeof name, "in%zu", c->n_inputs++);
    return mil_program_input(c->program, c->block, name, dtype, rank, shape, false, &arg->value, err);
}

static inline mil_status call_value(call *c, mil_arg *arg, mil_error *err) {
    call_space(c);
    if (*c->at == '{') {
        *arg = (mil_arg){.name = arg->name, .kind = MIL_ARG_INTS, .data = c->ints + c->n_ints, .rank = 1};
        c->at++;
        call_space(c);
        bool bools = isalpha((unsigned char)*c->at);
        if (bools) arg->kind = MIL_ARG_BOOLS, arg->data = c->bools + c->n_bools;
        for (; *c->at != '}'; call_space(c), arg->n++) {
            if (bools) c->bools[c->n_bools++] = *call_word(c) == 't';
            else c->ints[c->n_ints++] = strtoll(c->at, (char **)&c->at, 10);
        }
        c->at++;
    } else if (*c->at == '"') {
        size_t n = strcspn(c->at + 1, "\"");
        *arg = (mil_arg){.name = arg->name, .kind = MIL_ARG_STRING, .data = memcpy(c->text + c->n_text, c->at + 1, n), .n = n};
        c->n_text += n;
        c->at += n + 2;
    } else if (strncmp(c->at, "true", 4) == 0 || strncmp(c->at, "false", 5) == 0) {
        c->bools[c->n_bools] = *call_word(c) == 't';
        *arg = (mil_arg){.name = arg->name, .kind = MIL_ARG_BOOLS, .data = &c->bools[c->n_bools++], .n = 1};
    } else if (strchr("-.0123456789", *c->at)) {
        c->numbers[c->n_numbers] = strtod(c->at, (char **)&c->at);
        *arg = (mil_arg){.name = arg->name, .kind = MIL_ARG_NUMBERS, .data = &c->numbers[c->n_numbers++], .n = 1};
    } else {
        return call_tensor(c, arg, err);
    }
    return MIL_OK;
}

static inline mil_status call_arg(call *c, mil_arg *arg, mil_error *err) {
    arg->name = call_word(c);
    c->at++; /* = */
    if (*c->at != '(') return call_value(c, arg, err);
    arg->kind = MIL_ARG_TUPLE;
    arg->items = c->items;
    for (c->at++, call_space(c); *c->at != ')'; call_space(c), arg->n++) {
        mil_status status = call_value(c, &c->items[arg->n], err);
        if (status != MIL_OK) return status;
    }
    c->at++;
    return MIL_OK;
}

/* Makes a program with one operation; c->out is its first result. To be freed with mil_program_free(c->program). */
static inline mil_status call_make(call *c, const char *op, mil_opset opset, const char *text, mil_error *err) {
    *c = (call){.at = text};
    mil_status status = mil_program_new(opset, &c->program, err);
    if (status == MIL_OK) status = mil_program_function(c->program, "main", &c->block, err);
    for (call_space(c); status == MIL_OK && *c->at; call_space(c)) status = call_arg(c, &c->args[c->n_args++], err);
    mil_value outs[8];
    size_t n_outs;
    if (status == MIL_OK)
        status = mil_program_add(c->program, c->block, mil_op_find(op), c->args, c->n_args, NULL, (mil_where){0}, outs, 8,
                                 &n_outs, err);
    if (status == MIL_OK) c->out = outs[0];
    return status;
}

/* A row: what the call gives, the first result's type or the message of its refusal. */
typedef struct call_row {
    const char *op;
    int opset;
    const char *args, *wanted;
} call_row;

static inline void check_calls(const call_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char row[256], got[800];
        snprintf(row, sizeof row, "%s(%s) in ios%d", rows[i].op, rows[i].args, rows[i].opset);
        test_row = row;
        call c;
        mil_error err = {0};
        if (call_make(&c, rows[i].op, (mil_opset)rows[i].opset, rows[i].args, &err) == MIL_OK)
            mil_program_type_text(c.program, mil_value_type(c.program, c.out), got, sizeof got);
        else snprintf(got, sizeof got, "%s", err.message);
        CHECK_EQ((const char *)got, rows[i].wanted);
        mil_program_free(c.program);
    }
    test_row = "";
}

/* ---- memory running out ---- */

static inline mil_status call_alone(void *ctx, mil_error *err) {
    const call_row *row = ctx;
    call c;
    mil_status status = call_make(&c, row->op, (mil_opset)row->opset, row->args, err);
    mil_program_free(c.program);
    return status;
}

/* Each row's call with the first, the second, ... allocation failing: an error, and nothing lost. */
static inline void check_no_memory(call_row *rows, size_t n) {
    mil_set_allocator(test_realloc, NULL);
    for (size_t i = 0; i < n; i++) {
        char row[256];
        snprintf(row, sizeof row, "%s(%s)", rows[i].op, rows[i].args);
        test_row = row;
        CHECK(test_each_allocation(call_alone, &rows[i]) > 5);
    }
    test_row = "";
    mil_set_allocator(NULL, NULL);
}

#endif
