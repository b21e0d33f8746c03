/* SPDX-License-Identifier: MIT */
/* Elementwise chains: a group's operations as instructions on registers (kernel.h), over the index space of the result.
 *
 * Values from outside are loaded, with stride 0 along axes where they broadcast; a scalar const becomes an immediate; values
 * between operations live in a register until their one use. A register holds floats (fp16 and fp32 alike, bools as 0 and
 * 1) or int32s. */
#include <stdio.h>

#include "engine/cpu/steps.h"

#define MIL__DO_N MIL__N_CHAIN_OPS

typedef enum row_kind { ROW_UNARY, ROW_BINARY, ROW_COMPARE, ROW_LOGICAL } row_kind;

static const struct chain_row {
    const char *op;
    row_kind kind;
    uint8_t f, i; /* instruction on floats, on int32 */
    const char *p, *q;
} rows[] = {
#define UNARY(op, f, p, q)  {#op, ROW_UNARY, MIL__DO_##f, MIL__DO_N, p, q},
#define BINARY(op, f, i)    {#op, ROW_BINARY, MIL__DO_##f, MIL__DO_##i, NULL, NULL},
#define COMPARE(op, f, i)   {#op, ROW_COMPARE, MIL__DO_##f, MIL__DO_##i, NULL, NULL},
#define LOGICAL(op, f)      {#op, ROW_LOGICAL, MIL__DO_##f, MIL__DO_N, NULL, NULL},
#include "engine/cpu/chain.def"
#undef UNARY
#undef BINARY
#undef COMPARE
#undef LOGICAL
};

static const struct chain_row *row_of(const mil__op *op) {
    for (size_t i = 0; i < MIL__COUNT(rows); i++)
        if (strcmp(rows[i].op, op->decl->name) == 0) return &rows[i];
    return NULL;
}

static const mil__value *arg_value(const mil_program *program, const mil__op *op, int slot) {
    const mil__values *arg = mil__op_arg(op, slot);
    return arg && arg->n == 1 ? program->values[arg->values[0]] : NULL;
}

static mil_dtype dtype_of(const mil__value *value) { return value->type->dtype; }
static bool is_real(mil_dtype dtype) { return dtype == MIL_FP16 || dtype == MIL_FP32; }
static bool is_register(mil_dtype dtype) { return is_real(dtype) || dtype == MIL_INT32 || dtype == MIL_BOOL; }
static bool is_op(const mil__op *op, const char *name) { return strcmp(op->decl->name, name) == 0; }

/* ---- which operations ---- */

static bool takes_row(const mil_program *program, const mil__op *op, const struct chain_row *row) {
    mil_dtype x = dtype_of(arg_value(program, op, 0));
    if (row->kind == ROW_LOGICAL) return x == MIL_BOOL;
    return is_real(x) ? true : x == MIL_INT32 && row->i != MIL__DO_N;
}

/* Parameters with an element a channel, axis 1. */
static bool is_by_channel(const mil__op *op) {
    return is_op(op, "prelu") || is_op(op, "softplus_parametric") || is_op(op, "batch_norm");
}

bool mil__chain_takes(const mil__lower *lower, const mil__op *op) {
    const mil_program *program = lower->program;
    const mil__value *x = op->n_args ? arg_value(program, op, op->args[0].slot) : NULL;
    if (op->n_outputs != 1 || !x || x->type->kind != MIL_TENSOR) return false;
    if (is_op(op, "cast")) return is_register(dtype_of(x)) && is_register(dtype_of(program->values[op->outputs[0]]));
    if (is_op(op, "select")) return is_real(dtype_of(arg_value(program, op, 1)));
    if (is_op(op, "logical_not")) return true;
    if (is_op(op, "gelu") || is_by_channel(op)) return is_real(dtype_of(x));
    const struct chain_row *row = row_of(op);
    return row && takes_row(program, op, row);
}

/* ---- building ---- */

enum { MAX_INSTRS = 160, MAX_OPERANDS = 40 };

typedef struct building {
    mil__lower *lower;
    mil_program *program;
    int rank;
    int64_t shape[MIL_MAX_RANK];
    mil__instr instrs[MAX_INSTRS];
    int n_instrs;
    mil__chain_operand operands[MAX_OPERANDS];
    uint32_t slots[MAX_OPERANDS]; /* of the operands; the last is the result */
    int n_operands;
    uint32_t used;                /* registers, a bit each */
    int n_regs;
    struct { mil_value value; uint8_t reg; } held[MIL__CHAIN_REGS]; /* results between operations */
    int n_held;
    bool failed;                  /* no register, or no room: a group that fuse.c should not have made */
} building;

static uint8_t new_register(building *b) {
    for (int r = 0; r < MIL__CHAIN_REGS; r++) {
        if (b->used & 1u << r) continue;
        b->used |= 1u << r;
        if (r >= b->n_regs) b->n_regs = r + 1;
        return (uint8_t)r;
    }
    b->failed = true;
    return 0;
}

static void free_register(building *b, uint8_t reg) {
    if (reg != MIL__IMM) b->used &= ~(1u << reg);
}

static void put(building *b, int op, uint8_t dst, uint8_t a, uint8_t c, uint8_t d, double p, double q) {
    if (b->n_instrs == MAX_INSTRS) {
        b->failed = true;
        return;
    }
    b->instrs[b->n_instrs++] = (mil__instr){.op = (uint8_t)op, .dst = dst, .a = a, .b = c, .c = d, .p = (float)p,
                                            .q = (float)q};
}

/* The operand for a slot, seen in the result's shape. */
static uint8_t operand_of(building *b, uint32_t slot) {
    const mil__slot *s = mil__slot_at(b->lower, slot);
    if (b->n_operands == MAX_OPERANDS) {
        b->failed = true;
        return 0;
    }
    mil__chain_operand *operand = &b->operands[b->n_operands];
    int64_t strides[MIL_MAX_RANK];
    mil__shape_strides(s->rank, s->shape, strides);
    int lead = b->rank - s->rank;
    *operand = (mil__chain_operand){.dtype = mil__storage_of(s->dtype)};
    for (int i = lead; i < b->rank; i++) operand->stride[i] = s->shape[i - lead] == 1 ? 0 : strides[i - lead];
    b->slots[b->n_operands] = slot;
    return (uint8_t)b->n_operands++;
}

static bool scalar_const(const mil__value *value, double *out) {
    if (!value->data || mil__numel(value->data) != 1 || value->data->dtype == MIL_STRING) return false;
    *out = mil__load_f64(value->data, 0);
    return *out == (float)*out || *out != *out; /* immediates are floats: a large int32 is loaded instead */
}

/* A value in a register: held from an operation before, or loaded. */
static uint8_t reg_of(building *b, mil_value value) {
    for (int i = 0; i < b->n_held; i++) {
        if (b->held[i].value != value) continue;
        uint8_t reg = b->held[i].reg;
        b->held[i] = b->held[--b->n_held];
        return reg;
    }
    uint8_t reg = new_register(b);
    put(b, MIL__DO_load, reg, operand_of(b, mil__slot_of(b->lower, value)), 0, 0, 0, 0);
    return reg;
}

static mil_value arg_id(const mil__op *op, int slot) { return mil__op_arg(op, slot)->values[0]; }

/* A parameter's number; where it is absent its default, which is of x's dtype (log's 1e-45 is 0 in fp16). */
static double number(const building *b, const mil__op *op, const char *name) {
    if (!name) return 0;
    const mil__param *row = NULL;
    const mil__values *arg = mil__op_arg_named(op, name);
    double value = 0;
    if (arg && scalar_const(b->program->values[arg->values[0]], &value)) return value;
    if (mil__op_slot(op->decl, b->program->functions[0].opset, name, &row) < 0) return 0;
    bool is_half = dtype_of(arg_value(b->program, op, 0)) == MIL_FP16;
    return is_half ? mil__half_to_float(mil__double_to_half(row->number)) : row->number;
}

static uint8_t emit_unary(building *b, const mil__op *op, int instr, double p, double q) {
    uint8_t reg = reg_of(b, arg_id(op, 0));
    put(b, instr, reg, reg, 0, 0, p, q);
    return reg;
}

/* One operand may be an immediate, where it is a scalar const. */
static uint8_t emit_binary(building *b, const mil__op *op, int instr) {
    mil_value x = arg_id(op, 0), y = arg_id(op, 1);
    double p = 0;
    bool y_is = scalar_const(b->program->values[y], &p);
    bool x_is = !y_is && scalar_const(b->program->values[x], &p);
    uint8_t left = x_is ? MIL__IMM : reg_of(b, x), right = y_is ? MIL__IMM : reg_of(b, y);
    uint8_t dst = x_is ? right : left;
    put(b, instr, dst, left, right, 0, p, 0);
    if (!x_is && !y_is) free_register(b, right);
    return dst;
}

static uint8_t emit_select(building *b, const mil__op *op) {
    uint8_t cond = reg_of(b, arg_id(op, 0)), x = reg_of(b, arg_id(op, 1)), y = reg_of(b, arg_id(op, 2));
    put(b, MIL__DO_select, cond, cond, x, y, 0, 0);
    free_register(b, x);
    free_register(b, y);
    return cond;
}

/* Whatever the precision, a cast is meant to have just the dtype's numbers: what is kept in fp32 is rounded there. */
static uint8_t emit_cast(building *b, const mil__op *op) {
    mil_dtype from = dtype_of(arg_value(b->program, op, 0)), to = dtype_of(b->program->values[op->outputs[0]]);
    int n_held = b->n_held;
    uint8_t reg = reg_of(b, arg_id(op, 0));
    bool was_held = b->n_held < n_held;
    if (was_held && from == MIL_FP16 && to != MIL_FP16 && !b->lower->strict) put(b, MIL__DO_round_f16, reg, reg, 0, 0, 0, 0);
    if (from == MIL_INT32 && to != MIL_INT32) put(b, MIL__DO_i_to_f, reg, reg, 0, 0, 0, 0);
    if (from != MIL_INT32 && to == MIL_INT32) put(b, MIL__DO_f_to_i, reg, reg, 0, 0, 0, 0);
    if (from != MIL_BOOL && to == MIL_BOOL) put(b, MIL__DO_not_equal, reg, reg, MIL__IMM, 0, 0, 0);
    if (from == MIL_FP32 && to == MIL_FP16) put(b, MIL__DO_round_f16, reg, reg, 0, 0, 0, 0);
    if (from == MIL_INT32 && to == MIL_FP16) put(b, MIL__DO_round_f16, reg, reg, 0, 0, 0, 0);
    return reg;
}

static uint8_t emit_gelu(building *b, const mil__op *op) {
    const mil__values *arg = mil__op_arg_named(op, "mode");
    const char *mode = arg ? mil_tensor_string(b->program->values[arg->values[0]]->data, 0, NULL) : "EXACT";
    int instr = strcmp(mode, "EXACT") == 0                ? MIL__DO_gelu
                : strcmp(mode, "TANH_APPROXIMATION") == 0 ? MIL__DO_gelu_tanh
                                                          : MIL__DO_gelu_sigmoid;
    return emit_unary(b, op, instr, 0, 0);
}

/* A parameter's elements, each channel's for all of the channel. */
static uint8_t channel_reg(building *b, const mil__op *op, const char *name) {
    uint8_t reg = new_register(b), operand = operand_of(b, mil__slot_of(b->lower, mil__op_arg_named(op, name)->values[0]));
    if (b->failed) return 0;
    memset(b->operands[operand].stride, 0, sizeof b->operands[operand].stride);
    b->operands[operand].stride[1] = 1;
    put(b, MIL__DO_load, reg, operand, 0, 0, 0, 0);
    return reg;
}

/* reg = reg (op) a parameter by channel, where there is one. */
static void with_channel(building *b, const mil__op *op, int instr, uint8_t reg, const char *name) {
    if (!mil__op_arg_named(op, name)) return;
    uint8_t other = channel_reg(b, op, name);
    put(b, instr, reg, reg, other, 0, 0, 0);
    free_register(b, other);
}

static uint8_t emit_by_channel(building *b, const mil__op *op) {
    uint8_t x = reg_of(b, arg_id(op, 0)), other;
    if (is_op(op, "softplus_parametric")) {
        with_channel(b, op, MIL__DO_mul, x, "beta");
        put(b, MIL__DO_softplus, x, x, 0, 0, 0, 0);
        with_channel(b, op, MIL__DO_mul, x, "alpha");
    } else if (is_op(op, "prelu")) {
        uint8_t below = new_register(b);
        other = channel_reg(b, op, "alpha");
        put(b, MIL__DO_mul, other, other, x, 0, 0, 0);
        put(b, MIL__DO_less, below, x, MIL__IMM, 0, 0, 0);
        put(b, MIL__DO_select, x, below, other, x, 0, 0);
        free_register(b, below);
        free_register(b, other);
    } else { /* batch_norm */
        with_channel(b, op, MIL__DO_sub, x, "mean");
        other = channel_reg(b, op, "variance");
        put(b, MIL__DO_rsqrt, other, other, 0, 0, number(b, op, "epsilon"), 0);
        put(b, MIL__DO_mul, x, x, other, 0, 0, 0);
        free_register(b, other);
        with_channel(b, op, MIL__DO_mul, x, "gamma");
        with_channel(b, op, MIL__DO_add, x, "beta");
    }
    return x;
}

static uint8_t emit(building *b, const mil__op *op) {
    if (is_op(op, "cast")) return emit_cast(b, op);
    if (is_by_channel(op)) return emit_by_channel(b, op);
    if (is_op(op, "select")) return emit_select(b, op);
    if (is_op(op, "gelu")) return emit_gelu(b, op);
    if (is_op(op, "logical_not")) return emit_unary(b, op, MIL__DO_logical_not, 0, 0);
    const struct chain_row *row = row_of(op);
    if (row->kind == ROW_UNARY) return emit_unary(b, op, row->f, number(b, op, row->p), number(b, op, row->q));
    bool is_int = dtype_of(arg_value(b->program, op, 0)) == MIL_INT32;
    return emit_binary(b, op, is_int ? row->i : row->f);
}

static void build(building *b, const mil__group *group) {
    for (uint32_t k = 0; k < group->n_ops; k++) {
        const mil__op *op = b->program->ops[group->ops[k]];
        bool is_last = k + 1 == group->n_ops;
        uint8_t reg = emit(b, op);
        if (b->failed) return;
        if (is_last) {
            put(b, MIL__DO_store, 0, reg, 0, 0, 0, 0);
            b->instrs[b->n_instrs - 1].dst = operand_of(b, mil__slot_of(b->lower, group->result));
            return;
        }
        bool is_half = dtype_of(b->program->values[op->outputs[0]]) == MIL_FP16;
        if (b->lower->strict && is_half) put(b, MIL__DO_round_f16, reg, reg, 0, 0, 0, 0);
        b->held[b->n_held].value = op->outputs[0];
        b->held[b->n_held++].reg = reg;
    }
}

/* Neighbouring axes that every operand walks as one become one. */
static void collapse(building *b, mil__chain *chain) {
    int n = 0;
    for (int i = 0; i < b->rank; i++) {
        if (b->shape[i] == 1) continue;
        bool joins = n > 0;
        for (int k = 0; k < b->n_operands && joins; k++)
            joins = b->operands[k].stride[n - 1] == b->operands[k].stride[i] * b->shape[i];
        int to = joins ? n - 1 : n++;
        chain->dim[to] = joins ? chain->dim[to] * (size_t)b->shape[i] : (size_t)b->shape[i];
        for (int k = 0; k < b->n_operands; k++) b->operands[k].stride[to] = b->operands[k].stride[i];
    }
    chain->n_dims = n;
}

/* The result may lie where a dead operand did, if whatever else is in that memory is walked the same way. */
static void share_memory(building *b) {
    int last = b->n_operands - 1;
    for (int i = 0; i < last; i++) {
        bool same = b->operands[i].dtype == b->operands[last].dtype;
        uint32_t root = mil__slot_at(b->lower, b->slots[i])->root;
        for (int k = 0; k < last && same; k++) {
            const mil__slot *s = mil__slot_at(b->lower, b->slots[k]);
            if (s->root != root) continue;
            same = s->shift == 0 &&
                   memcmp(b->operands[k].stride, b->operands[last].stride, sizeof b->operands[k].stride) == 0;
        }
        if (same && mil__slot_take_over(b->lower, b->slots[last], b->slots[i])) return;
    }
}

/* ---- running ---- */

typedef struct chain_params {
    mil__chain chain;
    void (*kernel)(const mil__chain *chain, void *const *data, size_t begin, size_t end, void *scratch);
} chain_params;

typedef struct chain_run {
    const chain_params *params;
    void *data[MAX_OPERANDS];
} chain_run;

static void run_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const chain_run *run = ctx;
    run->params->kernel(&run->params->chain, run->data, begin, end, scratch);
}

static mil_status run_chain(mil__run *run, const mil__step *step) {
    chain_run work = {.params = step->params};
    for (uint32_t i = 0; i < step->n_in; i++) work.data[i] = run->t[step->in[i]].data;
    work.data[step->n_in] = run->t[step->out[0]].data;
    mil__run_tiles(run, work.params->chain.n_tiles, run_tiles, &work);
    return MIL_OK;
}

mil_status mil__select_chain(mil__lower *lower, const mil__group *group, bool *done) {
    building b = {.lower = lower, .program = lower->program};
    const mil__slot *result = mil__slot_at(lower, mil__slot_of(lower, group->result));
    b.rank = result->rank;
    memcpy(b.shape, result->shape, sizeof b.shape);
    build(&b, group);
    if (b.failed) return MIL_OK;
    share_memory(&b);
    chain_params *params = mil__lower_alloc(lower, sizeof *params);
    uint32_t *slots = mil__lower_alloc(lower, (size_t)b.n_operands * sizeof *slots);
    if (!params || !slots) return mil__nomem(lower->err);
    params->kernel = lower->k->chain;
    collapse(&b, &params->chain);
    params->chain.n_regs = b.n_regs;
    params->chain.n_instrs = b.n_instrs;
    params->chain.operands = mil__arena_copy(&lower->plan->arena, b.operands, (size_t)b.n_operands * sizeof *b.operands);
    params->chain.instrs = mil__arena_copy(&lower->plan->arena, b.instrs, (size_t)b.n_instrs * sizeof *b.instrs);
    if (!params->chain.operands || !params->chain.instrs) return mil__nomem(lower->err);
    memcpy(slots, b.slots, (size_t)b.n_operands * sizeof *slots);
    lower->k->chain_plan(&params->chain, lower->n_lanes);
    uint32_t n_in = (uint32_t)b.n_operands - 1;
    mil__step step = {.run = run_chain, .params = params, .in = slots, .n_in = n_in, .out = slots + n_in, .n_out = 1,
                      .scratch = params->chain.scratch_bytes, .kernel = "chain"};
    *done = true;
    return mil__lower_step(lower, group, &step);
}
