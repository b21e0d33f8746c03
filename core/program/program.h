/* SPDX-License-Identifier: MIT */
/* The program as the core sees it: functions, blocks, operations, values, all in one arena.
 *
 *   program -- functions -- block (inputs, outputs)
 *                             |  first .. last, a doubly linked list in order
 *                            operation (decl, args -> values, outputs -> values, attributes, nested blocks, where)
 *
 * Operations, values and blocks have numbers (handles) that are never reused; the tables give their structs. Removing
 * clears the table's entry, so a stale handle is found out.
 */
#ifndef MIL__PROGRAM_H
#define MIL__PROGRAM_H

#include "ops/op.h"

typedef struct mil__values { /* the values given to one parameter */
    uint16_t slot;           /* of op->inputs' names */
    bool tuple;
    uint32_t n;
    mil_value *values;
} mil__values;

/* What stands in brackets after an operation, function or program: a typed tree kept as it was read. A const's `val` is
 * there when no tensor holds it: a list, a dictionary, or the place in a weights file that it was read from. */
typedef struct mil__attr mil__attr;
struct mil__attr {
    const char *name;
    const mil_type *type;
    mil_tensor *data;         /* a tensor's value, held; NULL for the structured ones */
    int n_items;              /* list, tuple: items; dict: key, value, key, value ...; tensor: path and offset of a file */
    struct mil__attr *items;
    mil__attr *next;          /* in the order given */
};

typedef struct mil__value {
    const mil_type *type;
    const char *name;         /* NULL: a literal written at its use (a const operation that has no line of its own) */
    mil_operation op;         /* that defines it; 0: an input of its block */
    mil_block block;
    uint16_t index;           /* among the outputs of op, or the inputs of block */
    bool is_const;            /* known when the program is made */
    bool is_output;
    uint32_t n_uses;          /* arguments and block outputs that name it */
    mil_tensor *data;         /* held; NULL where not at hand */
    const mil_dim *sym;       /* int32 known up to symbols; NULL */
} mil__value;

typedef struct mil__op {
    const mil_op *decl;
    mil_block block;
    mil_operation prev, next; /* 0: none */
    uint32_t n_outputs;
    int line;
    uint16_t n_blocks;
    uint8_t n_args;
    bool is_inline : 1;       /* a const printed at its use */
    bool is_literal : 1;      /* a const made by mil_program_add for the operation after it */
    bool is_pending : 1;      /* to be inferred again by the change under way, */
    bool is_retyped : 1;      /*   since an operand has another type */
    bool is_marked : 1;       /* by a walk that clears it when done */
    mil__values *args;        /* by slot, ascending; only those given */
    mil_value *outputs;       /* in one piece with args and their values */
    mil_block *blocks;
    mil__attr *attrs;         /* besides name and val; NULL: none */
    const char *label;        /* the `name` attribute: NULL where it is the first result's name, "" where there is none */
    const char *file;         /* interned */
} mil__op;

typedef struct mil__block {
    mil_operation first, last;
    mil_operation parent;     /* 0: a function's body, or not closed yet */
    mil_block outer;          /* 0: a function's body */
    uint32_t function;        /* index */
    bool is_open;             /* operations may be added */
    mil_operation before;     /* operations that are added go before this one; 0: to the end */
    uint32_t n_inputs, n_outputs;
    mil_value *inputs, *outputs;
    uint32_t cap_inputs, cap_outputs;
} mil__block;

typedef struct mil__function {
    const char *name;
    mil_block block;
    mil__attr *attrs;
    mil_opset opset;
    mil_value label, probabilities; /* a classifier's outputs of that meaning; 0: none */
    const char *variants;     /* opsets for which its package has other blocks, which are not read: "CoreML6, CoreML8"; NULL: none */
} mil__function;

/* The shapes that an input may have: n of its rank. */
typedef struct mil__shapes {
    size_t n;
    const int64_t *shapes;
} mil__shapes;

/* What an input is filled with where a run leaves it out. */
typedef struct mil__standard {
    double number;
} mil__standard;

/* What is known of an input beyond its type; NULL: nothing. */
typedef struct mil__said {
    const mil__shapes *shapes;
    const mil__standard *standard;
} mil__said;

typedef struct mil__users mil__users;

/* A call whose inference gave one result of fixed shape (recall.c). */
enum { MIL__RECALLED = 16, MIL__RECALLED_ARGS = 4 };
typedef struct mil__recalled_arg {
    const mil_type *type;
    const mil_tensor *data;
    uint16_t slot;
    bool is_const;
} mil__recalled_arg;
typedef struct mil__recalled {
    const mil_op *op;         /* NULL: none */
    mil_opset opset;
    int n_args;
    mil__recalled_arg args[MIL__RECALLED_ARGS];
    const mil_type *result;
} mil__recalled;

/* A pair of the metadata, in one piece of memory, which key owns. */
typedef struct mil__pair {
    char *key;
    const char *value;
} mil__pair;

/* A part of the package that the program was read from, kept so that saving loses nothing: the bytes of a message of
 * package/schema.proto, which only core/package reads. Where the program says the same itself (names, types), it holds.
 *   MODEL        of the Model what is no function and no feature: its version, unknown fields; id 0
 *   DESCRIPTION  the FunctionDescription without its features; by function's body
 *   FUNCTION     the Function without blocks, where it has unknown fields or an opset newer than ios18; by function's body
 *   BLOCK        the Block without operations, where it has unknown fields; by block
 *   OPERATION    the whole Operation but its blocks, where it has unknown fields anywhere; by operation
 *   INPUT        the Feature of an input or state; by value
 *   OUTPUT       the Feature of an output; by value */
typedef enum mil__kept_what {
    MIL__KEPT_MODEL, MIL__KEPT_DESCRIPTION, MIL__KEPT_FUNCTION, MIL__KEPT_BLOCK, MIL__KEPT_OPERATION, MIL__KEPT_INPUT,
    MIL__KEPT_OUTPUT
} mil__kept_what;

typedef struct mil__kept {
    mil__kept_what what;
    uint32_t id;
    size_t n;
    const uint8_t *data;      /* in the program's arena */
} mil__kept;

typedef struct mil__source mil__source; /* the folder of a package or bundle (package/carry.c) */

struct mil_program {
    mil__arena arena;
    mil__arena scratch;       /* of one call; rewound after it */
    mil__types *types;
    mil_opset opset;
    int version_minor;        /* of the text's header: program(1.N) */
    mil__attr *attrs;
    mil__op **ops;            /* by number; [0] unused */
    mil__value **values;
    mil__block **blocks;
    uint32_t n_ops, n_values, n_blocks, cap_ops, cap_values, cap_blocks; /* n counts [0] and removed ones */
    mil__function *functions;
    uint32_t n_functions, cap_functions;
    mil__said *said;          /* of inputs, by value; none beyond n_said */
    uint32_t n_said;
    mil__map names;           /* value names, per block */
    mil__map files;           /* file names, interned */
    char **file_names;
    uint32_t n_files, cap_files;
    uint32_t *next_name;      /* by op index: the n of the next "<op>_<n>" */
    mil__recalled recalled[MIL__RECALLED];
    mil_tensor *literals[MIL__RECALLED]; /* small ones in the arena, made lately */
    mil__users *users;        /* who uses what (users.c); NULL until an edit asks */
    bool is_held;             /* by a save whose progress function runs: it must find again what it was writing */
    mil_block default_function; /* its body; 0: main, or the only one */
    mil__pair *metadata;      /* in no order */
    mil__kept *kept;
    bool is_bound;            /* made for inputs of these sizes: the sizes of its symbols are known */
    uint32_t n_metadata, cap_metadata, n_kept, cap_kept;
    mil__map metadata_keys, kept_parts;
    const char *model_path;   /* what @model_path stood for when it was read, in the arena; NULL: nothing */
    const mil__source *source; /* in the arena; NULL: it was not read from a package or bundle */
};

/* MIL_ESTATE while the program is held. Every public change asks first. */
mil_status mil__program_may_change(const mil_program *program, const char *what, mil_error *err);
/* NULL when stale. */
mil__op *mil__op_at(const mil_program *program, mil_operation operation);
mil__value *mil__value_at(const mil_program *program, mil_value value);
mil__block *mil__block_at(const mil_program *program, mil_block block);
/* The shapes that an input may have; NULL: any that its type says. */
const mil__shapes *mil__input_shapes(const mil_program *program, mil_value input);
/* The same for what fills an input that is left out; and to say it. */
const mil__standard *mil__input_standard(const mil_program *program, mil_value input);
mil_status mil__input_set_standard(mil_program *program, mil_value input, double number, mil_error *err);
/* The values given to a parameter by slot; NULL when absent. */
const mil__values *mil__op_arg(const mil__op *op, int slot);
const mil__values *mil__op_arg_named(const mil__op *op, const char *name);
/* The name of an operation's first result, by which people know the operation; NULL where it has no result, or that no name. */
static inline const char *mil__result_name(const mil_program *program, const mil__op *op) {
    return op->n_outputs ? program->values[op->outputs[0]]->name : NULL;
}
/* Does it, or what is in its blocks, change something? */
bool mil__op_has_effect(const mil_program *program, const mil__op *op);
/* A known parameter's integers (a scalar or vector); -1 where it is absent, not known, or has more than max. */
int mil__op_ints(const mil_program *program, const mil__op *op, const char *name, int max, int64_t *out);

/* What @model_path stands for in this program from now on. */
mil_status mil__program_set_model_path(mil_program *program, const char *path, mil_error *err);
/* Where the weights file of that name ("@model_path/weights/weight.bin") is looked for, cut to n bytes; gives buf. */
const char *mil__weights_path(const mil_program *program, const char *file, char *buf, size_t n);
#define MIL__WEIGHTS_PATH(program, file) mil__weights_path((program), (file), (char[512]){0}, 512)

/* ---- what is kept of a package (kept.c) ---- */

/* NULL: nothing. */
const mil__kept *mil__program_kept(const mil_program *program, mil__kept_what what, uint32_t id);
/* Makes room for n bytes, which the caller writes to *out; once for a part. */
mil_status mil__program_keep(mil_program *program, mil__kept_what what, uint32_t id, size_t n, uint8_t **out, mil_error *err);
/* What is kept of one is of another (of which nothing is) from now on. Begun before a change that may fail, and ended after
 * it: then nothing can fail any more. */
mil_status mil__kept_begin_pass(mil_program *program, mil__kept_what what, uint32_t from, uint32_t to, mil_error *err);
void mil__kept_end_pass(mil_program *program, mil__kept_what what, uint32_t from, uint32_t to, bool passed);
void mil__kept_drop(mil_program *program, mil__kept_what what, uint32_t id); /* nothing is kept of it any more */
void mil__program_free_kept(mil_program *program);

/* ---- building (build.c) ---- */

/* As mil_program_add, for readers and passes: values are made already, types may be declared.
 * args are in any order; declared (may be NULL): n_declared types that the results must fit, and that name dims.
 * names (may be NULL): n_declared names of the results, s NULL where one is made here. Where either is given, another
 * number of results is an error. blocks: nested blocks made before (closed by this). unchecked: declared types are taken. */
typedef struct mil__new_op {
    const mil_op *decl;
    const mil__values *args;
    int n_args;
    const mil_block *blocks;
    int n_blocks;
    const mil__slice *names;
    const uint64_t *hashes;   /* of names that a reader has seen to be names; NULL: not known */
    const mil_type *const *declared;
    int n_declared;
    const char *label;
    mil__attr *attrs;
    mil_where where;
    mil_operation before;     /* insert before this one; 0: at the end */
    bool unchecked;
} mil__new_op;
mil_status mil__program_add(mil_program *program, mil_block block, const mil__new_op *new_op, mil_operation *out,
                            mil_error *err);
/* An operation as most are: one value for each parameter, one result, nothing else to be said. */
typedef struct mil__plain_op {
    const mil_op *decl;
    int n_args;
    const uint16_t *slots;    /* all different */
    const mil_value *values;
    mil_tensor *data;         /* a const's, in the program's arena; NULL: no const */
    const mil_type *type;     /* of the result */
    mil__slice name;          /* of the result, seen to be a name; s NULL: it has none yet */
    uint64_t hash;            /* of the name */
    mil_where where;
} mil__plain_op;
/* Adds it at the block's end, if nobody asks who uses what, and type is that of a const or has been recalled (recall.h).
 * Returns the result; 0: nothing has changed, and mil__program_add does it or says why not. */
mil_value mil__program_add_plain(mil_program *program, mil_block block, const mil__plain_op *plain);
/* A const operation. No name (s NULL) and is_inline: a literal at its use. */
mil_status mil__program_const(mil_program *program, mil_block block, mil_tensor *data, const char *name, bool is_inline,
                              mil_where where, mil_operation before, mil_value *out, mil_error *err);
/* The same for what no tensor holds here: data NULL where it is not at hand, or is no tensor (then it is in the
 * operation's attribute `val`). hash: of a name that is known to be one; 0: not known. */
mil_status mil__program_const_of(mil_program *program, mil_block block, const mil_type *type, mil_tensor *data,
                                 mil__slice name, uint64_t hash, bool is_inline, mil_where where, mil_operation before,
                                 mil_value *out, mil_error *err);
/* A vector of strings or integers as a list of strings or int64: the `val` of a const, in the program's arena (list.c). */
mil_status mil__list_of_vector(mil_program *program, const mil_tensor *vector, mil__attr **out, mil_error *err);
/* A nested block of an operation to come (parent 0 until then); its inputs. */
mil_status mil__block_new(mil_program *program, mil_block outer, mil_block *out, mil_error *err);
mil_status mil__block_input(mil_program *program, mil_block block, const char *name, const mil_type *type,
                            mil_value *out, mil_error *err);
mil_status mil__block_output(mil_program *program, mil_block block, mil_value value, mil_error *err);
/* Room for one more output: then mil__block_output cannot fail. */
mil_status mil__block_more_outputs(mil_program *program, mil_block block, mil_error *err);
/* Takes a nested block that no operation holds away, with what is in it. */
void mil__block_drop(mil_program *program, mil_block block);
/* Takes an operation out; its results must have no uses. Its consts stay. */
void mil__program_remove(mil_program *program, mil_operation operation);
/* Is `value` visible in `block` (defined there or further out)? */
bool mil__value_visible(const mil_program *program, mil_value value, mil_block block);
/* The value of that name (n bytes) that is visible in `block`; 0: none. */
mil_value mil__value_named(const mil_program *program, mil_block block, const char *name, size_t n);
mil_value mil__value_hashed(const mil_program *program, mil_block block, mil__slice name, uint64_t hash); /* mil__hash of it */
/* Says that a value of that name's hash will soon be looked for or made: its place in a large table is not in the cache. */
void mil__value_expect(const mil_program *program, mil_block block, uint64_t hash);
/* Fills call->in from an operation's arguments; operands in call->arena. */
mil_status mil__call_of(const mil_program *program, const mil__op *op, mil__call *call);
/* A program of its own with one function (`main`), made anew operation by operation, without what no output needs.
 * inputs: the types of the function's inputs to infer everything from (static, say), of any owner; NULL: as they are,
 * symbols by name. Buffers are shared. values (may be NULL): n_values entries, old handle -> new, 0 where dropped.
 * For engines: outputs that a classify gives are its probabilities. */
mil_status mil__program_rebuild(const mil_program *program, mil_block function, const mil_type *const *inputs,
                                mil_program **out, mil_value **values, mil_error *err);
/* As mil_program_extract, of a function's body, for parts that are run one after the other: nothing that changes something is taken
 * over but what `kept` (by operation) has; there may be no outputs. Nothing of the part is checked. */
mil_status mil__program_cut(const mil_program *program, mil_block function, const mil_part *part, const bool *kept, mil_program **out,
                            mil_error *err);

/* ---- nested blocks (nested.c) ---- */

typedef struct mil__seen_blocks {
    mil__nested nested;       /* its ctx is this struct */
    const mil_program *program;
    const mil_block *blocks;
} mil__seen_blocks;
/* The call of an op in `block` that holds these blocks, without its operands (mil__call_of) and its arena. It sees the blocks
 * through *seen, while both live. */
void mil__call_begin(const mil_program *program, const mil_op *op, mil_block block, const mil_block *blocks, int n_blocks,
                     mil__seen_blocks *seen, mil__call *out, mil_error *err);
/* What an inferred call gives goes to `set`, result by result: const or not, and its data (NULL: not known), which set owns. */
typedef mil_status mil__set_result(void *ctx, mil__call *call, const mil__op *op, uint32_t i, bool is_const, mil_tensor *data);
mil_status mil__call_results(mil__call *call, const mil__op *op, mil__set_result *set, void *ctx);
/* Makes loop variable i's type in both blocks hold `other` too. */
mil_status mil__loop_widen(mil_program *program, const mil_block *blocks, uint32_t i, const mil_type *other, bool *changed,
                           mil_error *err);
/* Makes the loop variables' types hold what the body gives, and infers again what is in the blocks (which no operation holds
 * yet: where it fails they are to be dropped). */
mil_status mil__loop_settle(mil_program *program, const mil_block *blocks, int n_blocks, mil_error *err);

/* ---- who uses what, and in which order (users.c) ---- */

/* A use of a value: by an operation's argument, or as an output of a block (op 0). */
typedef struct mil__use {
    mil_operation op;
    mil_block block;
    uint32_t prev, next;      /* of the same value; 0: none */
} mil__use;

/*   uses    [ - | arguments of an operation | of another | a block's output | .. ]    [0] unused
 * An operation's are one piece, in the order of its values. Those of one value are a list: first[value] .. last[value]. */
struct mil__users {
    mil__use *uses;
    uint32_t *first, *last;   /* by value; 0: none */
    uint32_t *of_op;          /* by operation: its piece; 0: none */
    uint64_t *place;          /* by operation: ascending in program order, with gaps */
    mil_operation *found;     /* what mil_value_users gave last */
    uint32_t n_uses, n_dead, cap_uses, cap_values, cap_ops, cap_found;
};

/* Makes program->users if there is none. From then on it is kept right by all that adds, moves and removes; where that
 * runs out of memory it goes, and is made anew when next asked for. */
mil_status mil__users_ready(mil_program *program, mil_error *err);
void mil__users_free(mil_program *program);
/* What the others tell it; nothing where there is none. */
void mil__users_add(mil_program *program, mil_operation operation);
void mil__users_drop(mil_program *program, mil_operation operation);
void mil__users_add_output(mil_program *program, mil_block block, mil_value value);
void mil__users_drop_output(mil_program *program, mil_block block, mil_value value);
void mil__users_place(mil_program *program, mil_operation operation); /* linked just now */
/* The values given to an operation, one parameter after the other: *n of them. */
mil_value *mil__op_values(const mil__op *op, uint32_t *n);
/* An operation's value number `at` becomes another. */
void mil__use_move(mil_program *program, mil_operation operation, uint32_t at, mil_value value);
/* May `operation` use `value`: visible there and defined before? Wants program->users. */
bool mil__value_before(const mil_program *program, mil_value value, mil_operation operation);
/* The same of what is added to a block, before an operation of it or at its end (0); the block may still be in the making. */
bool mil__value_precedes(const mil_program *program, mil_value value, mil_block block, mil_operation before);

/* ---- changes (change.c) ---- */

/* Several changes that hold together or not at all: begun, made one by one, and ended; the end infers again what depends on
 * them, and takes everything back where that, or a change before it, failed. */
typedef struct mil__saved mil__saved;
typedef struct mil__change {
    mil_program *program;
    const char *what;         /* "replace", for messages */
    mil_error *err;
    mil__arena arena;         /* of what was saved */
    mil__saved *saved;        /* the latest first */
    mil_operation *heap;      /* to be inferred again, the first of the program on top */
    uint32_t n_heap, cap_heap;
} mil__change;

mil_status mil__change_begin(mil__change *change, mil_program *program, const char *what, mil_error *err);
/* status: of the changes made. Gives it back, or the failure of what they led to. */
mil_status mil__change_end(mil__change *change, mil_status status);
mil_status mil__change_use(mil__change *change, mil_operation operation, uint32_t at, mil_value value);
mil_status mil__change_output(mil__change *change, mil_block block, uint32_t at, mil_value value);
mil_status mil__change_type(mil__change *change, mil_value value, const mil_type *type);
/* All arguments of an operation: ascending by slot, copied. */
mil_status mil__change_args(mil__change *change, mil_operation operation, const mil__values *args, int n_args);
/* `to` (of the same block) gets the name of `from`, and that a fresh one. */
mil_status mil__change_name(mil__change *change, mil_value from, mil_value to);
/* An operation that was added for this change: removed where it fails. */
mil_status mil__change_made(mil__change *change, mil_operation operation);

/* ---- for calls of operations that are there (build.c) ---- */

/* The check and infer stages of a call whose `in` is filled. */
mil_status mil__call_infer(mil__call *call);
/* Are all operands known (*is_const), and what the results then are: *data, n_out tensors, owned; or NULL, where that was
 * not computed. `op` is what is called. */
mil_status mil__call_fold(mil__call *call, const mil__op *op, bool *is_const, mil_tensor ***data);
/* Result i, where its symbols are all numbers; else NULL. */
mil_status mil__call_known(mil__call *call, int i, mil_tensor **out);
void mil__drop_data(mil_tensor *data); /* of a value; NULL: nothing */
/* Consts for an argument of an operation that is there, before it; values already there as they are. *made counts those
 * that were added right before it. */
mil_status mil__values_of_arg(mil_program *program, mil_operation operation, const mil_arg *arg, mil__values *out,
                              mil__arena *arena, uint32_t *made, mil_error *err);

/* What must hold of an input's type. */
mil_status mil__input_check(const mil_program *program, mil_block function, const char *name, mil_dtype dtype, int rank,
                            const mil_dim *shape, bool state, mil_error *err);

/* ---- shared by build.c, program.c and kept.c ---- */

/* Room for one more entry of a table that doubles. */
bool mil__grow_table(void **table, uint32_t n, uint32_t *cap, size_t bytes);

/* Makes room for so many operations and named values in all, at once, where there is less. */
mil_status mil__program_reserve(mil_program *program, uint32_t n, mil_error *err);
#define MIL__HAS_ROOM(program, table, count, cap)                                                                          \
    ((program)->count < (program)->cap ||                                                                              \
     mil__grow_table((void **)&(program)->table, (program)->count, &(program)->cap, sizeof *(program)->table))
/* Makes a new entry of a table, zeroed, and returns its number; 0: out of memory. */
#define MIL__NEW_ENTRY(program, type, table, count, cap)                                                                   \
    bool room = MIL__HAS_ROOM(program, table, count, cap);                                                             \
    type *made = room ? mil__arena_aligned(&(program)->arena, sizeof *made, _Alignof(type)) : NULL;                   \
    if (!made) return 0;                                                                                              \
    *made = (type){0};                                                                                                \
    (program)->table[(program)->count] = made;                                                                        \
    return (program)->count++

static inline mil_operation mil__new_operation(mil_program *program) { MIL__NEW_ENTRY(program, mil__op, ops, n_ops, cap_ops); }
static inline mil_value mil__new_value(mil_program *program) { MIL__NEW_ENTRY(program, mil__value, values, n_values, cap_values); }
static inline mil_block mil__new_block(mil_program *program) { MIL__NEW_ENTRY(program, mil__block, blocks, n_blocks, cap_blocks); }
/* Gives a value its name (copied into the arena). Fails: MIL_ENAME where the name is not an identifier, is reserved, or
 * is taken in a scope that meets the value's. hash: mil__hash of a name that is known to be an identifier; 0: not known.
 * between: the value may come before operations of its block, and so before names in their nested blocks. */
mil_status mil__name_value(mil_program *program, mil_value value, mil__slice name, uint64_t hash, bool between, mil_error *err);
/* "<base>_<n>" with the first n from *next on that is free; *next moves on. */
mil_status mil__name_value_fresh(mil_program *program, mil_value value, const char *base, uint32_t *next, bool between,
                                 mil_error *err);
/* `to` (of the same block) gets the name of `from`, and that a fresh one. The names that they had can be given back to
 * them until they are forgotten, each with its value. */
mil_status mil__pass_name(mil_program *program, mil_value from, mil_value to, mil_error *err);
void mil__forget_name(mil_program *program, mil_value value, const char *name);
void mil__unname_value(mil_program *program, mil_value value);
/* Appends to a block's list, or before an operation of it. */
void mil__link_operation(mil_program *program, mil_operation operation, mil_block block, mil_operation before);
const char *mil__program_file(mil_program *program, const char *file); /* interned; NULL stays NULL */

#endif
