/* SPDX-License-Identifier: MIT */
/* What a declaration of an op is, and what its functions are given.
 *
 * Each op is declared once, as a stanza of a family's .def file: OP(name, SINCE, .field = ..., ...). all.def includes the
 * families; op.c expands it to the table, whose rows everything else walks. Adding an op is a stanza, an inference
 * function and a plain evaluation (named mil__infer_<op> and mil__eval_<op> unless the stanza names others).
 *
 * A call goes through three stages, with one mil__call:
 *   check   mil__call_check: parameters known in the opset, required ones there, kinds, constness, dtype groups
 *   infer   the op's own: result types, and what evaluation needs, decoded once, in call->params
 *   eval    the op's own: results computed from run-time data into call->result, reading call->params
 */
#ifndef MIL__OP_H
#define MIL__OP_H

#include "tensor/tensor.h"

/* ---- the declaration (stanza.h has the words that stanzas are written in) ---- */

#define MIL__SET(dtype) (1u << ((dtype) + 7)) /* above every letter */

typedef enum mil__given { MIL__REQUIRED, MIL__OPTIONAL, MIL__INT, MIL__FLOAT, MIL__BOOL_, MIL__TEXT } mil__given;

/* A parameter. Variations of one parameter over opsets stand next to each other, as rows of the same name. */
typedef struct mil__param {
    const char *name;
    mil_param_kind kind;
    uint32_t type;               /* a letter (a domain of the op) or a set of dtypes (MIL__SET); 0: any dtype */
    const char *help;
    mil_opset since, until;      /* from; up to but without; 0: always */
    mil__given given;            /* required, optional, or which of the next is its default */
    double number;
    const char *text;
} mil__param;

typedef struct mil__domain {
    char letter;
    uint32_t dtypes;
    mil_opset since, until;
} mil__domain;

enum {
    MIL__RANDOM = 1,       /* two calls give two results: never folded or shared */
    MIL__EFFECT = 2,       /* changes something: never removed */
    MIL__ATTRIBUTES = 4,   /* parameters are written as attributes (constexpr ops of ios16), while opset < attrs_until */
    MIL__NO_FOLD = 8,      /* never evaluated when the program is made (constexpr ops) */
    MIL__BLOCKS = 16,      /* holds nested blocks: */
    MIL__LOOP = 32,        /*   one that decides and one that is repeated, whose inputs are the first parameter's values */
    MIL__ANY_RANK = 64     /* takes tensors of unknown rank; elementwise ops do without it */
};

typedef struct mil__call mil__call;
typedef mil_status mil__infer_fn(mil__call *call);
typedef mil_status mil__eval_fn(mil__call *call);

struct mil_op {
    const char *name, *family, *help;
    const char *also;            /* its names in PyTorch, NumPy or ONNX that are nothing like it, with blanks between; or NULL */
    mil_opset since;
    const mil__domain *domains;
    const mil__param *inputs;
    int n_outputs;               /* -1: depends on the call */
    uint32_t flags;
    mil_opset attrs_until;
    size_t params_size;          /* of what infer leaves in call->params; 0: nothing */
    mil__infer_fn *infer;
    mil__eval_fn *eval;          /* NULL: only inside an engine (const, control flow) */
};

/* ---- a call ---- */

/* One value given to a parameter. */
typedef struct mil__operand {
    const mil_type *type;
    const mil_tensor *data;      /* the elements: at inference where they are known, at evaluation always */
    const mil_dim *sym;          /* int32 known up to symbols, numel entries (mil__dim_number embeds numbers); or NULL */
    bool is_const;               /* known when the program is made, even where data is not at hand */
    const char *name;            /* of the value, for messages */
} mil__operand;

typedef struct mil__input {
    int n;                       /* 0: absent; 1; or the number of a tuple's items */
    bool tuple;
    const mil__operand *items;
} mil__input;

enum { MIL__MAX_INPUTS = 20 };   /* parameters of one op in one opset (lstm has 17) */

/* How an op with nested blocks sees them; NULL for other ops. */
typedef struct mil__nested {
    const void *ctx;
    int n_blocks;
    int (*n_inputs)(const void *ctx, int block);
    int (*n_results)(const void *ctx, int block);
    const mil_type *(*input_type)(const void *ctx, int block, int i);
    const mil_type *(*result_type)(const void *ctx, int block, int i);
} mil__nested;

struct mil__call {
    const mil_op *op;
    mil_opset opset;
    mil__types *types;
    mil__arena *arena;           /* for what infer needs to keep until its caller is done, and for eval's scratch */
    mil_error *err;
    const mil__nested *nested;
    bool is_bound;               /* symbols have been given sizes: what fits some of them need not fit these */
    void *params;                /* op->params_size bytes, zeros before infer */
    /* infer's results (mil__call_outputs makes room) */
    int n_out;
    const mil_type **out;
    const mil_dim **out_sym;     /* entries NULL unless set; arrays from call->arena */
    /* eval: contiguous tensors of the inferred types, to be written; never the memory of an input */
    mil_tensor **result;
    mil__input in[MIL__MAX_INPUTS]; /* by slot: the position of a parameter's name among the op's distinct names */
};

/* ---- the table ---- */

const mil_op *mil__op_const(void); /* mil_op_find("const") */
size_t mil__op_index(const mil_op *op);                                           /* 0 .. mil_op_count() - 1 */
int mil__op_slot(const mil_op *op, mil_opset opset, const char *name, const mil__param **row); /* -1: no such parameter */
int mil__op_slot_named(const mil_op *op, mil_opset opset, mil__slice name, const mil__param **row); /* the same */
/* The same, or the error that says why not: MIL_ENAME with the nearest name, or the opset that has it. */
mil_status mil__op_find_param(const mil_op *op, mil_opset opset, const char *name, int *slot, const mil__param **row,
                              mil_error *err);
const mil__param *mil__op_param_at(const mil_op *op, mil_opset opset, int slot); /* the row of the opset; NULL: not there */
int mil__op_n_slots(const mil_op *op);
const char *mil__op_slot_name(const mil_op *op, int slot);
uint32_t mil__op_dtypes(const mil_op *op, mil_opset opset, const mil__param *row); /* set, letters resolved; 0: any */
const char *mil__op_nearest_param(const mil_op *op, mil_opset opset, const char *name);
/* "fp16, fp32 or int32" */
char *mil__dtypes_text(uint32_t set, char *buf, size_t n);
#define MIL__DTYPES_TEXT(set) mil__dtypes_text((set), (char[200]){0}, 200)

/* Are its parameters written as attributes in this opset, rather than as arguments? */
static inline bool mil__op_has_attributes(const mil_op *op, mil_opset opset) {
    return (op->flags & MIL__ATTRIBUTES) && (!op->attrs_until || opset < op->attrs_until);
}

/* ---- for inference functions ---- */

/* Makes *call all zeros, of `in` only what the op has slots for. */
void mil__call_clear(mil__call *call, const mil_op *op);
/* The check stage. */
mil_status mil__call_check(mil__call *call);
/* Makes room for n results. Fails: MIL_ENOMEM. */
mil_status mil__call_outputs(mil__call *call, int n);
/* One result of this type; a NULL type (out of memory, overflow of a dim) becomes the right failure. */
mil_status mil__call_result(mil__call *call, const mil_type *type);
mil_status mil__call_tensor(mil__call *call, mil_dtype dtype, int rank, const mil_dim *shape);
/* Fills the error: "<op>: " then the message; the op's name in err->op. */
__attribute__((format(printf, 3, 4)))
mil_status mil__call_fail(mil__call *call, mil_status status, const char *format, ...);

/* Operands by parameter name; NULL when absent. */
const mil__operand *mil__arg(const mil__call *call, const char *name);
const mil__input *mil__args(const mil__call *call, const char *name);   /* a tuple's items */
static inline bool mil__has(const mil__call *call, const char *name) { return mil__arg(call, name) != NULL; }
/* "weight fp16[8, 3, 1, 1]" : the parameter's name and its type, for messages. */
char *mil__arg_text(const mil__call *call, const char *name, char *buf, size_t n);
#define MIL__ARG_TEXT(call, name) mil__arg_text((call), (name), (char[200]){0}, 200)

/* Values of parameters that are known; the table's default where absent. They fail (MIL_ETYPE) where the value is not a
 * scalar (or, for ints and bools, a scalar or rank 1), or is not known. */
mil_status mil__get_int(mil__call *call, const char *name, int64_t *out);
mil_status mil__get_float(mil__call *call, const char *name, double *out);
mil_status mil__get_bool(mil__call *call, const char *name, bool *out);
/* Points into the const's memory. Fails with the list of choices ("valid|same|custom") where it is none of them. */
mil_status mil__get_text(mil__call *call, const char *name, const char **out);
mil_status mil__get_choice(mil__call *call, const char *name, const char *choices, int *out); /* index among choices */
/* All values; *n is 0 when absent (no default). max: room in out; more is MIL_EVALUE. */
mil_status mil__get_ints(mil__call *call, const char *name, int max, int64_t *out, int *n);
mil_status mil__get_bools(mil__call *call, const char *name, int max, bool *out, int *n);
/* Values that may hold symbols: from data or sym. *known false when neither is there (not a failure). */
mil_status mil__get_dims(mil__call *call, const char *name, int max, mil_dim *out, int *n, bool *known);

#endif
