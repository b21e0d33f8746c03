/* SPDX-License-Identifier: MIT */
/* Who uses what, and what comes before what: an index of a program. It is made when an edit first asks for it, so a program
 * that is only built or read and then run pays nothing; from then on each addition and removal keeps it right in time that
 * does not depend on the size of the program.
 *
 * Order is kept as a number an operation, its place, ascending in program order (nested operations come after the one that
 * holds them) with gaps between. What is inserted takes a number of the gap; where a gap is used up, the function's are
 * given anew. */
#include "program/program.h"

enum { FAR = 1 << 16 }; /* the most that an insertion takes of a gap, so that many may follow it there */
static const uint64_t APART = (uint64_t)1 << 32;

/* ---- walking ---- */

static int block_index(const mil__op *op, mil_block block) {
    int i = 0;
    while (i < op->n_blocks && op->blocks[i] != block) i++;
    return i;
}

/* The first operation of an operation's blocks from number i on; 0: none. */
static mil_operation first_inside(const mil_program *program, const mil__op *op, int i) {
    for (; i < op->n_blocks; i++)
        if (program->blocks[op->blocks[i]]->first) return program->blocks[op->blocks[i]]->first;
    return 0;
}

mil_operation mil_operation_after(const mil_program *program, mil_operation operation) {
    const mil__op *op = mil__op_at(program, operation);
    mil_operation inside = op ? first_inside(program, op, 0) : 0;
    if (inside || !op) return inside;
    while (!op->next) {
        mil_block block = op->block;
        mil_operation parent = program->blocks[block]->parent;
        if (!parent) return 0;
        op = program->ops[parent];
        inside = first_inside(program, op, block_index(op, block) + 1);
        if (inside) return inside;
    }
    return op->next;
}

/* The last operation inside of one, or itself. */
static mil_operation deepest_last(const mil_program *program, mil_operation operation) {
    for (;;) {
        const mil__op *op = program->ops[operation];
        mil_operation last = 0;
        for (int i = op->n_blocks; i-- > 0 && !last;) last = program->blocks[op->blocks[i]]->last;
        if (!last) return operation;
        operation = last;
    }
}

static mil_operation walk_back(const mil_program *program, mil_operation operation) {
    const mil__op *op = program->ops[operation];
    if (op->prev) return deepest_last(program, op->prev);
    mil_operation parent = program->blocks[op->block]->parent;
    if (!parent) return 0;
    const mil__op *holder = program->ops[parent];
    for (int i = block_index(holder, op->block); i-- > 0;) {
        mil_operation last = program->blocks[holder->blocks[i]]->last;
        if (last) return deepest_last(program, last);
    }
    return parent;
}

/* ---- room ---- */

static bool grow(void **array, uint32_t *cap, uint32_t wanted, size_t bytes, bool zeros) {
    if (wanted <= *cap) return true;
    uint32_t more = wanted < UINT32_MAX / 2 ? wanted + wanted / 2 + 16 : wanted;
    char *grown = mil__realloc(*array, more * bytes);
    if (!grown) return false;
    if (zeros) memset(grown + *cap * bytes, 0, (more - *cap) * bytes);
    *array = grown;
    *cap = more;
    return true;
}

/* Room for all values and operations there are, and for n more uses. */
static bool reserve(const mil_program *program, mil__users *users, uint32_t n) {
    uint32_t values = users->cap_values, ops = users->cap_ops;
    if (!grow((void **)&users->first, &values, program->n_values, sizeof *users->first, true)) return false;
    if (!grow((void **)&users->last, &users->cap_values, program->n_values, sizeof *users->last, true)) return false;
    if (!grow((void **)&users->of_op, &ops, program->n_ops, sizeof *users->of_op, true)) return false;
    if (!grow((void **)&users->place, &users->cap_ops, program->n_ops, sizeof *users->place, true)) return false;
    return n < UINT32_MAX - users->n_uses && grow((void **)&users->uses, &users->cap_uses, users->n_uses + n, sizeof *users->uses, false);
}

void mil__users_free(mil_program *program) {
    mil__users *users = program->users;
    if (!users) return;
    mil__free(users->uses);
    mil__free(users->first);
    mil__free(users->last);
    mil__free(users->of_op);
    mil__free(users->place);
    mil__free(users->found);
    mil__free(users);
    program->users = NULL;
}

/* The index with room for n more uses; NULL: there is none, or none any more. */
static mil__users *users_with_room(mil_program *program, uint32_t n) {
    if (program->users && !reserve(program, program->users, n)) mil__users_free(program);
    return program->users;
}

/* ---- uses ---- */

static void link_use(mil__users *users, uint32_t use, mil_value value) {
    users->uses[use].prev = users->last[value];
    users->uses[use].next = 0;
    *(users->last[value] ? &users->uses[users->last[value]].next : &users->first[value]) = use;
    users->last[value] = use;
}

static void unlink_use(mil__users *users, uint32_t use, mil_value value) {
    const mil__use *at = &users->uses[use];
    *(at->prev ? &users->uses[at->prev].next : &users->first[value]) = at->next;
    *(at->next ? &users->uses[at->next].prev : &users->last[value]) = at->prev;
}

mil_value *mil__op_values(const mil__op *op, uint32_t *n) {
    *n = 0;
    for (uint16_t a = 0; a < op->n_args; a++) *n += op->args[a].n;
    return op->outputs + op->n_outputs;
}

void mil__users_add(mil_program *program, mil_operation operation) {
    uint32_t n;
    const mil_value *values = mil__op_values(program->ops[operation], &n);
    mil__users *users = users_with_room(program, n);
    if (!users) return;
    users->of_op[operation] = users->n_uses;
    for (uint32_t i = 0; i < n; i++) {
        users->uses[users->n_uses] = (mil__use){.op = operation};
        link_use(users, users->n_uses++, values[i]);
    }
}

void mil__users_drop(mil_program *program, mil_operation operation) {
    mil__users *users = program->users;
    uint32_t n;
    const mil_value *values = mil__op_values(program->ops[operation], &n);
    if (!users || operation >= users->cap_ops || !users->of_op[operation]) return;
    for (uint32_t i = 0; i < n; i++) unlink_use(users, users->of_op[operation] + i, values[i]);
    users->of_op[operation] = 0;
    users->n_dead += n;
}

void mil__users_add_output(mil_program *program, mil_block block, mil_value value) {
    mil__users *users = users_with_room(program, 1);
    if (!users) return;
    users->uses[users->n_uses] = (mil__use){.block = block};
    link_use(users, users->n_uses++, value);
}

void mil__users_drop_output(mil_program *program, mil_block block, mil_value value) {
    mil__users *users = program->users;
    if (!users) return;
    uint32_t use = users->first[value];
    while (use && users->uses[use].block != block) use = users->uses[use].next;
    if (!use) return;
    unlink_use(users, use, value);
    users->n_dead++;
}

void mil__use_move(mil_program *program, mil_operation operation, uint32_t at, mil_value value) {
    uint32_t n;
    mil_value *values = mil__op_values(program->ops[operation], &n);
    mil__users *users = users_with_room(program, 0);
    if (users) {
        unlink_use(users, users->of_op[operation] + at, values[at]);
        link_use(users, users->of_op[operation] + at, value);
    }
    program->values[values[at]]->n_uses--;
    program->values[value]->n_uses++;
    values[at] = value;
}

/* ---- order ---- */

static void number_function(const mil_program *program, mil__users *users, mil_operation first) {
    uint64_t place = 0;
    for (mil_operation at = first; at; at = mil_operation_after(program, at)) users->place[at] = place += APART;
}

void mil__users_place(mil_program *program, mil_operation operation) {
    const mil__op *op = program->ops[operation];
    const mil__block *block = program->blocks[op->block];
    if (program->users && op->n_blocks) mil__users_free(program); /* what is inside has no places yet */
    mil__users *users = users_with_room(program, 0);
    if (!users || (block->outer && !block->parent)) return;
    mil_operation before = walk_back(program, operation), after = mil_operation_after(program, operation);
    uint64_t low = before ? users->place[before] : 0, gap = (after ? users->place[after] : low + 2 * APART) - low;
    if (!after && low > UINT64_MAX - 2 * APART) gap = 0;
    if (gap >= 2) users->place[operation] = low + (!after ? APART : gap / 2 < FAR ? gap / 2 : FAR);
    else number_function(program, users, program->blocks[program->functions[block->function].block]->first);
}

/* Does a come before b, of the same block? Where there are no places, for an operation with blocks lets them go, it walks. */
static bool is_earlier(const mil_program *program, mil_operation a, mil_operation b) {
    if (program->users) return program->users->place[a] < program->users->place[b];
    mil_operation at = program->ops[b]->prev;
    while (at && at != a) at = program->ops[at]->prev;
    return at == a;
}

bool mil__value_precedes(const mil_program *program, mil_value value, mil_block block, mil_operation before) {
    const mil__value *v = mil__value_at(program, value);
    if (!mil__value_visible(program, value, block)) return false;
    if (!v->op) return true;
    for (; block != v->block; block = program->blocks[block]->outer) {
        const mil__block *inner = program->blocks[block];
        before = inner->parent ? inner->parent : program->blocks[inner->outer]->before; /* where it is, or is to be */
    }
    return !before || is_earlier(program, v->op, before);
}

bool mil__value_before(const mil_program *program, mil_value value, mil_operation operation) {
    return mil__value_precedes(program, value, program->ops[operation]->block, operation);
}

/* ---- making it ---- */

static uint32_t count_all(const mil_program *program) {
    uint32_t n = 1, of_one;
    for (uint32_t i = 1; i < program->n_ops; i++)
        if (program->ops[i]) mil__op_values(program->ops[i], &of_one), n += of_one;
    for (uint32_t i = 1; i < program->n_blocks; i++)
        if (program->blocks[i]) n += program->blocks[i]->n_outputs;
    return n;
}

static void add_outputs(mil_program *program, mil_block block) {
    const mil__block *b = program->blocks[block];
    for (uint32_t i = 0; i < b->n_outputs; i++) mil__users_add_output(program, block, b->outputs[i]);
}

/* Room was made for all: nothing here runs out of memory. */
static void add_function(mil_program *program, mil_block function) {
    mil_operation first = program->blocks[function]->first;
    for (mil_operation at = first; at; at = mil_operation_after(program, at)) {
        const mil__op *op = program->ops[at];
        mil__users_add(program, at);
        for (int i = 0; i < op->n_blocks; i++) add_outputs(program, op->blocks[i]);
    }
    add_outputs(program, function);
    number_function(program, program->users, first);
}

mil_status mil__users_ready(mil_program *program, mil_error *err) {
    const mil__users *old = program->users;
    if (old && old->n_dead > 1024 && old->n_dead > old->n_uses / 2) mil__users_free(program); /* anew, without the gaps */
    if (program->users) return MIL_OK;
    mil__users *users = mil__calloc(1, sizeof *users);
    if (!users) return mil__nomem(err);
    program->users = users;
    bool room = reserve(program, users, count_all(program));
    if (!room) {
        mil__users_free(program);
        return mil__nomem(err);
    }
    users->n_uses = 1;
    for (uint32_t i = 0; i < program->n_functions; i++) add_function(program, program->functions[i].block);
    return MIL_OK;
}

/* ---- asking ---- */

mil_status mil_value_users(mil_program *program, mil_value value, const mil_operation **out, size_t *n, mil_error *err) {
    if (!mil__value_at(program, value))
        return mil__fail(err, MIL_ESTATE, "users: the value is no longer part of this program");
    MIL__TRY(mil__users_ready(program, err));
    mil__users *users = users_with_room(program, 0);
    if (!users || !grow((void **)&users->found, &users->cap_found, program->values[value]->n_uses, sizeof *users->found, false))
        return mil__nomem(err);
    uint32_t count = 0;
    for (uint32_t use = users->first[value]; use; use = users->uses[use].next) { /* an operation's own stand together, but for moves */
        mil_operation op = users->uses[use].op;
        if (!op || program->ops[op]->is_marked) continue;
        program->ops[op]->is_marked = true;
        users->found[count++] = op;
    }
    for (uint32_t i = 0; i < count; i++) program->ops[users->found[i]]->is_marked = false;
    *out = users->found;
    *n = count;
    return MIL_OK;
}
