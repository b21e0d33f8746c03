/* SPDX-License-Identifier: MIT */
/* The usual addition: an operation of which everything is known goes into the tables at once.
 *
 * Its memory is one piece, for what is read together:
 *
 *     [ mil__op | mil__value | mil__values of each argument | result | argument .. | name ]
 *
 * Whatever could fail is asked before anything is changed, so nothing has to be taken back. */
#include "program/names.h"
#include "program/recall.h"

typedef struct piece {
    mil__op op;
    mil__value value;
    mil__values args[];
} piece;

static inline bool has_room(mil_program *program) {
    return MIL__HAS_ROOM(program, ops, n_ops, cap_ops) && MIL__HAS_ROOM(program, values, n_values, cap_values) &&
           mil__map_more(&program->names);
}

/* Arguments ascending by slot, an insertion sort of a few; each is used once more. `to` has room for all values. */
static inline void put_args(mil_program *program, mil__values *args, mil_value *to, const mil__plain_op *plain) {
    for (int a = 0; a < plain->n_args; a++) {
        int at = a;
        for (; at > 0 && args[at - 1].slot > plain->slots[a]; at--) args[at] = args[at - 1];
        args[at] = (mil__values){.slot = plain->slots[a], .n = 1, .values = &to[a]};
        to[a] = plain->values[a];
        program->values[to[a]]->n_uses++;
    }
}

mil_value mil__program_add_plain(mil_program *program, mil_block block, const mil__plain_op *plain) {
    size_t n = (size_t)plain->n_args, name = plain->name.n;
    if (program->users || !has_room(program) || (name && mil__is_reserved(plain->name))) return 0;
    const char *file = plain->where.file ? mil__program_file(program, plain->where.file) : NULL;
    mil__mark mark = mil__arena_mark(&program->arena);
    size_t bytes = sizeof(piece) + n * sizeof(mil__values) + (1 + n) * sizeof(mil_value) + name + 1;
    piece *made = mil__arena_aligned(&program->arena, bytes, _Alignof(piece));
    mil_value value = program->n_values;
    if (!made) return 0;
    if (name && !mil__claim_name(program, value, block, plain->name, plain->hash)) {
        mil__arena_rewind(&program->arena, mark);
        return 0;
    }
    mil_value *outputs = (mil_value *)&made->args[n];
    char *text = name ? memcpy(outputs + 1 + n, plain->name.s, name) : NULL;
    if (name) text[name] = 0;
    outputs[0] = value;
    made->op = (mil__op){.decl = plain->decl, .n_outputs = 1, .line = plain->where.line, .n_args = (uint8_t)n,
                         .args = n ? made->args : NULL, .outputs = outputs, .file = file};
    made->value = (mil__value){.type = plain->type, .name = text, .op = program->n_ops, .block = block,
                               .is_const = plain->data != NULL, .data = plain->data};
    put_args(program, made->args, outputs + 1, plain);
    program->values[program->n_values++] = &made->value;
    program->ops[program->n_ops++] = &made->op;
    mil__link_operation(program, made->value.op, block, 0);
    return value;
}
