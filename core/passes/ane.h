/* SPDX-License-Identifier: MIT */
/* Lowering for the Neural Engine: a program made anew, operation by operation, of what the engine is known to take.
 *
 * A value of the old program stands in the new one in up to three forms, each made when an operation wants it:
 *
 *     PLAIN      of rank 4 at least: ones come before the first axis          [S, C]  ->  [1, 1, S, C]
 *     CHANNELS   the last axis is the channels, all others are one width      [S, C]  ->  [1, C, 1, S]
 *     OWN        as it was                                                    [S, C]
 *
 * CHANNELS is how the engine likes activations: a linear layer is a 1x1 convolution there. What came out of one stays in that
 * form through elementwise operations, and a transpose is made only where something asks for another form.
 *
 * Floats are fp16, whatever they were. A rule (ane_rules.def) says what becomes of an op; one that has none stays what it is. The
 * functions that add operations give the new value; 0: the lowering has failed, which l->status remembers, and all that follows is
 * nothing. So rules read as the formulas that they are. */
#ifndef MIL__ANE_H
#define MIL__ANE_H

#include "passes/pass.h"

typedef enum mil__ane_form { MIL__OWN, MIL__PLAIN, MIL__CHANNELS, MIL__N_FORMS } mil__ane_form;

typedef struct mil__ane_value {
    mil_value form[MIL__N_FORMS]; /* 0: not made */
    mil__ane_form native;         /* the form that it was made in */
} mil__ane_value;

typedef struct mil__lowering {
    const mil_program *from;  /* of fixed sizes, its constexpr weights expanded, but for those that are kept (ane_weights.c) */
    mil_program *to;
    mil_block block;          /* of `to` */
    bool is_e5rt;             /* the route; else direct */
    int chip;                 /* 1: M1 and so on; 0: any */
    bool is_old;              /* M1 and M2: no sin and cos */
    mil_opset opset;          /* of `from` */
    mil__ane_value *values;   /* by value of `from` */
    const mil__op *op;        /* that is being lowered */
    mil__arena arena;         /* of one operation */
    mil_status status;
    mil_error *err;
} mil__lowering;

/* True: done (or failed); false: this one is no case of the rule, and stays what it is. */
typedef bool mil__ane_rule(mil__lowering *l, const mil__op *op);

/* ---- values of the old program ---- */

/* Of a state: what it holds. */
static inline const mil_type *mil__old_type(const mil__lowering *l, mil_value old) {
    const mil_type *type = l->from->values[old]->type;
    return type->kind == MIL_STATE ? type->items[0] : type;
}
static inline const mil_tensor *mil__old_data(const mil__lowering *l, mil_value old) { return l->from->values[old]->data; }
mil_value mil__ane_arg(const mil__op *op, const char *name); /* the one value given to a parameter; 0: none */
/* A known scalar; `none` where the parameter is absent. */
double mil__ane_number(const mil__lowering *l, const mil__op *op, const char *name, double none);
int64_t mil__ane_axis(const mil__lowering *l, const mil__op *op, const char *name, int64_t none, int rank); /* from 0 */
/* The extent of the last axis, and of all others together. */
int64_t mil__last(const mil_type *type);
int64_t mil__rows(const mil_type *type);
/* The shape of the PLAIN form; its rank. */
int mil__plain_shape(const mil_type *type, int64_t shape[MIL_MAX_RANK]);

mil_value mil__ane_get(mil__lowering *l, mil_value old, mil__ane_form form);
/* What an old value is from now on; the new one takes its name. */
void mil__ane_give(mil__lowering *l, mil_value old, mil__ane_form form, mil_value value);
/* The same of a value that has the elements in order, whatever its shape. */
void mil__ane_give_any(mil__lowering *l, mil_value old, mil_value value);
void mil__ane_alias(mil__lowering *l, mil_value old, mil_value same); /* another old value's forms */
/* CHANNELS, where an operand was made in it and all that the op takes (its parameters of kind tensor) can be; else PLAIN. */
mil__ane_form mil__ane_common(mil__lowering *l, const mil__op *op);
/* An operand of an elementwise operation in that form; of one element that is known: a scalar. */
mil_value mil__ane_operand(mil__lowering *l, mil_value old, mil__ane_form form);
/* The operation with its operands in a form, parameters and defaults as they are. */
mil_value mil__ane_same(mil__lowering *l, const mil__op *op, mil__ane_form form);
void mil__ane_same_all(mil__lowering *l, const mil__op *op, mil__ane_form form, mil_value *outs); /* all its results */
/* As the checker's and the evaluation's: what inference decodes. NULL: failed. */
const void *mil__ane_params(mil__lowering *l, const mil__op *op);

/* ---- operations of the new one ---- */

static inline const mil_type *mil__new_type(const mil__lowering *l, mil_value value) { return l->to->values[value]->type; }

void mil__ane_fail(mil__lowering *l, mil_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Any operation of one result. */
mil_value mil__ane_add(mil__lowering *l, const char *op, const mil_arg *args, size_t n);
void mil__ane_add_all(mil__lowering *l, const char *op, const mil_arg *args, size_t n, mil_value *made, size_t n_made); /* of several */
#define MIL__ADD(l, op, ...) \
    mil__ane_add((l), (op), (const mil_arg[]){__VA_ARGS__}, sizeof((const mil_arg[]){__VA_ARGS__}) / sizeof(mil_arg))
#define MIL__VALUE(param, v)   {.name = (param), .kind = MIL_ARG_VALUE, .value = (v)}
#define MIL__INTS(param, count, v) {.name = (param), .kind = MIL_ARG_INTS, .data = (v), .n = (size_t)(count), .rank = 1}
#define MIL__INT_(param, v)    {.name = (param), .kind = MIL_ARG_INTS, .data = &(int64_t){v}, .n = 1}
#define MIL__BOOL_ARG(param, v) {.name = (param), .kind = MIL_ARG_BOOLS, .data = &(bool){v}, .n = 1}
#define MIL__NUMBER(param, v)  {.name = (param), .kind = MIL_ARG_NUMBERS, .data = &(double){v}, .n = 1}
#define MIL__WORD(param, v)    {.name = (param), .kind = MIL_ARG_STRING, .data = (v), .n = strlen(v)}

mil_value mil__ane_const(mil__lowering *l, mil_tensor *data); /* takes it over; NULL: failed already */
mil_value mil__ane_unary(mil__lowering *l, const char *op, mil_value x);
mil_value mil__ane_binary(mil__lowering *l, const char *op, mil_value x, mil_value y);
mil_value mil__ane_with(mil__lowering *l, const char *op, mil_value x, double y); /* y: a scalar */
mil_value mil__ane_half_of_bool(mil__lowering *l, mil_value is_true); /* 1 and 0 */
mil_value mil__ane_reshape(mil__lowering *l, mil_value x, int rank, const int64_t *shape); /* where it changes anything */
mil_value mil__ane_transpose(mil__lowering *l, mil_value x, const int *perm);            /* likewise */
mil_value mil__ane_slice(mil__lowering *l, mil_value x, const int64_t *begin, const int64_t *size);
/* Elements begin, begin + step, .. of an axis. */
mil_value mil__ane_strided(mil__lowering *l, mil_value x, int axis, int64_t begin, int64_t n, int64_t step);
mil_value mil__ane_repeat(mil__lowering *l, mil_value x, int axis, int64_t n); /* n times, one after the other */
mil_value mil__ane_pad(mil__lowering *l, mil_value x, int axis, int64_t before, int64_t after, const char *mode, double value); /* NULL: constant */
mil_value mil__ane_concat(mil__lowering *l, const mil_value *values, size_t n, int axis);
/* Over some axes, which stay with extent 1. */
mil_value mil__ane_reduce(mil__lowering *l, const char *op, mil_value x, const int64_t *axes, size_t n);
mil_value mil__ane_softmax(mil__lowering *l, mil_value x, int axis);
mil_value mil__ane_mean(mil__lowering *l, mil_value x, const int64_t *axes, size_t n);
/* 1 / sqrt(mean of squares + epsilon) over those axes. */
mil_value mil__ane_inverse_rms(mil__lowering *l, mil_value x, const int64_t *axes, size_t n, double epsilon);
/* [n, c, h * high, w * wide] -> [n, c * high * wide, h, w], and back. */
mil_value mil__ane_patches(mil__lowering *l, mil_value x, int64_t high, int64_t wide);
mil_value mil__ane_places(mil__lowering *l, mil_value x, int64_t high, int64_t wide);
/* A 1x1 convolution of x [1, in, 1, S] by rows of a weight [out, in], + bias [out] or NULL. Neither is taken over. */
mil_value mil__ane_project(mil__lowering *l, mil_value x, const mil_tensor *weight, const mil_tensor *bias);
/* x [n, c, h, w] as it is, but by a convolution of each channel by 1. */
mil_value mil__ane_as_conv(mil__lowering *l, mil_value x);
mil_value mil__ane_matmul(mil__lowering *l, mil_value x, mil_value y, bool transpose_x, bool transpose_y);

/* A fresh fp16 tensor of known elements, numbers that fp16 can't hold at its limits; NULL: failed. */
mil_tensor *mil__ane_half(mil__lowering *l, const mil_tensor *data);
bool mil__ane_is_zero(const mil_tensor *data); /* of rank 0 or 1: all of it */
/* A view of it (dropped) of another shape, or of other axes; NULL: failed. */
mil_tensor *mil__ane_shaped(mil__lowering *l, mil_tensor *data, int rank, const int64_t *shape);

/* ---- compressed weights (ane_weights.c) ---- */

/* Expands those of the program that the engine is not known to take as they are; keeps_none: all. */
mil_status mil__ane_expand(mil_program *program, bool is_e5rt, bool keeps_none, mil_error *err);
/* Is the old value one that was kept, and so has no data? */
bool mil__ane_is_kept(const mil_program *from, mil_value old);
/* It as a convolution's weight of that shape; is_turned: a matrix [in, out], not [out, in]. */
mil_value mil__ane_kept(mil__lowering *l, mil_value old, bool is_turned, const int64_t shape[4]);
/* mil__ane_project by it. */
mil_value mil__ane_project_kept(mil__lowering *l, mil_value x, mil_value weight, bool is_turned, const mil_tensor *bias);

/* ---- inputs and outputs (ane_ports.c) ---- */

typedef struct mil__ports {
    bool is_e5rt, is_fp32, is_packed, has_conv;
    const char **input_names, **output_names; /* as they are to be called, in order */
    const bool *wants_channels; /* by value of `from` */
    const size_t *states; /* places of the states that are written among the inputs; their outputs' names follow those of the outputs */
    size_t n_states;
} mil__ports;

/* Makes the inputs of `to`, and of the old ones what they are in them. views: an entry an old input. */
void mil__ane_inputs(mil__lowering *l, const mil__ports *ports, mil_lowered_view *views);
/* The same of the outputs, when all operations are made. */
void mil__ane_outputs(mil__lowering *l, const mil__ports *ports, mil_lowered_view *views);
/* And of the states that are written, behind them. */
void mil__ane_states(mil__lowering *l, const mil__ports *ports, mil_lowered_state *states);

#define RULE(op, rule, becomes, source) mil__ane_rule mil__lower_##rule;
#include "passes/ane_rules.def"
#undef RULE

#endif
