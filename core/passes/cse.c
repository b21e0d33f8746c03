/* SPDX-License-Identifier: MIT */
/* Common subexpressions: of operations of one kind with the same arguments, in one block or in one and a block inside it, the
 * first stays. Consts are
 * the same when their elements are (small ones) or their memory is (others). */
#include "passes/pass.h"

enum { SMALL = 64 }; /* elements of consts that are compared one by one */

typedef struct key {
    const mil_program *program;
    const mil__op *op;
    mil_block block;         /* in which one like it is looked for */
} key;

static const mil_tensor *const_data(const mil_program *program, const mil__op *op) {
    return op->n_args == 0 && op->n_outputs == 1 ? program->values[op->outputs[0]]->data : NULL;
}

static bool is_small(const mil_tensor *data) {
    return data->dtype != MIL_STRING && mil__is_contiguous(data) && mil__numel(data) <= SMALL;
}

static bool same_text(const mil_tensor *a, const mil_tensor *b) {
    if (mil__numel(a) != 1 || mil__numel(b) != 1) return false;
    size_t n, m;
    const char *one = mil_tensor_string(a, 0, &n), *two = mil_tensor_string(b, 0, &m);
    return n == m && memcmp(one, two, n) == 0;
}

static bool same_data(const mil_tensor *a, const mil_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    if (memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) != 0) return false;
    if (a->data == b->data) return memcmp(a->strides, b->strides, (size_t)a->rank * sizeof *a->strides) == 0;
    if (a->dtype == MIL_STRING) return same_text(a, b);
    return is_small(a) && is_small(b) && memcmp(a->data, b->data, mil_tensor_bytes(a)) == 0;
}

static bool same_op(const void *ctx, uint32_t number, const void *wanted) {
    const mil_program *program = ctx;
    const mil__op *a = program->ops[number], *b = ((const key *)wanted)->op;
    if (!a || a->decl != b->decl || a->block != ((const key *)wanted)->block || a->n_args != b->n_args || a->n_outputs != b->n_outputs)
        return false;
    for (uint16_t i = 0; i < a->n_args; i++) {
        if (a->args[i].slot != b->args[i].slot || a->args[i].n != b->args[i].n) return false;
        if (memcmp(a->args[i].values, b->args[i].values, a->args[i].n * sizeof(mil_value)) != 0) return false;
    }
    const mil_tensor *one = const_data(program, a), *two = const_data(program, b);
    return (!one && !two) || (one && two && same_data(one, two));
}

static uint64_t hash_op(const mil_program *program, const mil__op *op) {
    uint64_t h = mil__hash(&op->decl, sizeof op->decl);
    for (uint16_t i = 0; i < op->n_args; i++)
        h = h * 31 + mil__hash(op->args[i].values, op->args[i].n * sizeof(mil_value)) + op->args[i].slot;
    const mil_tensor *data = const_data(program, op);
    if (!data) return h;
    if (data->dtype == MIL_STRING) return h + (mil__numel(data) == 1 ? mil__hash_text(mil_tensor_string(data, 0, NULL)) : 0);
    if (is_small(data)) return h + mil__hash(data->data, mil_tensor_bytes(data)) * 31 + (uint64_t)data->dtype;
    return h + mil__hash(&data->data, sizeof data->data);
}

static uint64_t in_block(uint64_t hash, mil_block block) { return hash + block * 0x9e3779b97f4a7c15u; }

static mil_status visit(mil__pass_state *state, mil_operation operation) {
    mil_program *program = state->program;
    mil__map *seen = state->own;
    const mil__op *op = program->ops[operation];
    if (op->decl->flags & (MIL__RANDOM | MIL__EFFECT) || op->n_blocks) return MIL_OK;
    key wanted = {program, op, op->block};
    uint64_t hash = hash_op(program, op);
    uint32_t first = MIL__NOT_FOUND;
    for (; wanted.block && first == MIL__NOT_FOUND; wanted.block = program->blocks[wanted.block]->outer)
        first = mil__map_find(seen, in_block(hash, wanted.block), same_op, program, &wanted);
    if (first == MIL__NOT_FOUND) return mil__map_add(seen, in_block(hash, op->block), operation) ? MIL_OK : mil__nomem(state->err);
    for (uint32_t i = 0; i < op->n_outputs; i++)
        MIL__TRY(mil__pass_replace(state, op->outputs[i], program->ops[first]->outputs[i]));
    return MIL_OK;
}

mil_status mil__pass_cse(mil_program *program, mil_error *err) {
    mil__map seen = {0};
    mil_status status = mil__pass_walk(program, visit, &seen, err);
    mil__map_free(&seen);
    return status;
}
