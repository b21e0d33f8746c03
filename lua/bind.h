/* SPDX-License-Identifier: MIT */
/* What the binding's files share: its objects, raising errors, reading arguments.
 *
 * A binding function goes in this order: check every argument (may raise) - make the Lua objects that results will live
 * in - call the core - put the results into them - raise last. No longjmp crosses a frame of the core, and nothing is
 * owned by C alone while Lua may raise. Making Lua objects can run finalisers, and those can free tensors: so what is
 * inside an argument is fetched after the last object was made, or pinned.
 *
 * Objects are userdata. What is inside is counted by the core (tensors, weights, models) or belongs to the program's
 * userdata, which functions and values keep alive through one table that they share; so finalisers may run in any
 * order. After its finaliser an object is empty, and using it is an error, not a crash. */
#ifndef LUAMIL_BIND_H
#define LUAMIL_BIND_H

#include "compat.h"
#include "luamil.h"

#include <mil.h>

#if defined(__GNUC__)
#define LUAMIL_PRINTF(at, args) __attribute__((format(printf, at, args)))
#define LUAMIL_API                  __attribute__((visibility("default")))
#pragma GCC visibility push(hidden)
#else
#define LUAMIL_PRINTF(at, args)
#define LUAMIL_API
#endif

/* ---- objects (object.c) ---- */

typedef enum luamil_kind {
    LUAMIL_NONE, /* no object of ours */
    LUAMIL_PROGRAM, LUAMIL_FUNCTION, LUAMIL_VALUE, LUAMIL_TENSOR, LUAMIL_WEIGHTS, LUAMIL_MODEL, LUAMIL_STEP, LUAMIL_RUN,
    LUAMIL_OPERATION, LUAMIL_STATE, LUAMIL_DICTIONARY, LUAMIL_LOWERED, LUAMIL_DIALECT,
    LUAMIL_N_KINDS
} luamil_kind;

typedef struct luamil_program {
    mil_program *program; /* NULL once collected */
    mil_block open;       /* the innermost nested block that is being built; 0: none */
} luamil_program;

typedef struct luamil_function {
    luamil_program *owner;
    mil_block block;
} luamil_function;

typedef struct luamil_value {
    luamil_program *owner;
    mil_value id;
} luamil_value;

typedef struct luamil_tensor {
    mil_tensor *tensor; /* NULL once freed */
} luamil_tensor;

/* A class: a metatable for a kind of userdata. meta and methods may be NULL. */
typedef struct luamil_class {
    luamil_kind kind;
    const char *name;           /* "mil.tensor" */
    const char *noun;           /* "tensor", for messages */
    const luaL_Reg *meta, *methods;
    const char *const *fields;  /* names, NULL at the end; NULL: none */
    /* Pushes a field of the object at index 1; false: there is none of that name. */
    bool (*field)(lua_State *L, const char *name);
} luamil_class;

/* Makes the metatable; leaves the table of methods on the stack. cls: static. */
void luamil_new_class(lua_State *L, const luamil_class *cls);
/* Adds functions to the table of methods on top of the stack; NULL: none. */
void luamil_set_methods(lua_State *L, const luaL_Reg *functions);
/* __index of every class, as a function: fields, then methods, else an error with the nearest name. */
int luamil_index(lua_State *L);
/* Gives the userdata on top its metatable. */
void luamil_set_class(lua_State *L, luamil_kind kind);
void luamil_push_metatable(lua_State *L, luamil_kind kind);
luamil_kind luamil_kind_of(lua_State *L, int index);
void *luamil_test(lua_State *L, int index, luamil_kind kind); /* NULL: not one */
/* Argument `index` as an object; raises "<fn>: takes a <noun>, but was given ...". */
void *luamil_check(lua_State *L, int index, luamil_kind kind, const char *fn);
/* "a table", "a tensor fp16[1, 4]", "nothing": what stands at index, for messages. */
const char *luamil_what(lua_State *L, int index, char *buf, size_t n);
#define LUAMIL_WHAT(L, index) luamil_what((L), (index), (char[200]){0}, 200)
/* mil.members(object): names of its fields and methods. */
int luamil_members(lua_State *L);

/* What one Lua state has: raised errors, memory that the collector does not see, random numbers. */
typedef struct luamil_state {
    size_t unseen;         /* bytes allocated since the collector was last told */
    size_t unseen_since;   /* kilobytes since old objects were last collected */
    bool raises_strings;   /* PUC Lua 5.1 */
    mil_random random;
} luamil_state;
luamil_state *luamil_state_of(lua_State *L);
/* Tells the collector that bytes were allocated outside of Lua. May run finalisers: the last thing before returning. */
void luamil_account(lua_State *L, size_t bytes);

/* Text that the core owns, as a Lua string: begin before it is made, end frees it and pushes the string. Nothing may be
 * pushed in between. */
void luamil_begin_text(lua_State *L);
int luamil_end_text(lua_State *L, char *text, size_t n);

/* ---- errors (error.c) ---- */

/* Where in the script we are: the nearest frame with a line that is not of our own Lua files. */
typedef struct luamil_position {
    mil_where where;       /* file NULL: nowhere */
    lua_Debug frame;       /* holds the name */
} luamil_position;
void luamil_where(lua_State *L, luamil_position *out);

/* Raise; never return. The return type is for `return luamil_fail(...)`. */
int luamil_raise(lua_State *L, const mil_error *err);
int luamil_fail(lua_State *L, mil_status code, const char *format, ...) LUAMIL_PRINTF(3, 4);
/* The same, with the fields op and value. */
int luamil_fail_at(lua_State *L, mil_status code, const char *op, const char *value, const char *format, ...)
    LUAMIL_PRINTF(5, 6);
int luamil_last_error(lua_State *L);   /* mil.last_error() */
void luamil_open_errors(lua_State *L);

/* ---- arguments (args.c) ---- */

/* Single values; fn and what are for messages: "<fn>: <what> is a string, but was given ...". */
const char *luamil_check_string(lua_State *L, int index, const char *fn, const char *what, size_t *length);
mil_opset luamil_check_opset(lua_State *L, int index, const char *fn); /* nil: ios18 */
int64_t luamil_check_int(lua_State *L, int index, const char *fn, const char *what);
bool luamil_holds(mil_dtype dtype, int64_t value); /* can the integer dtype? */
bool luamil_overflows(mil_dtype dtype, double value); /* would the float dtype make a finite value infinite? */
double luamil_check_number(lua_State *L, int index, const char *fn, const char *what);
mil_dtype luamil_check_dtype(lua_State *L, int index, const char *fn);
/* A list of sizes; returns the rank. */
int luamil_check_shape(lua_State *L, int index, const char *fn, int64_t shape[MIL_MAX_RANK]);
/* Raises unless every key of the table at index (nil: fine) is one of names; names ends in NULL. */
void luamil_check_keys(lua_State *L, int index, const char *fn, const char *const *names);
/* Pushes field `key` of the options table at index (nil where that is nil); returns its type. */
int luamil_option(lua_State *L, int index, const char *key);
/* One that is true or false; false where it is absent. Leaves nothing. */
bool luamil_option_bool(lua_State *L, int index, const char *fn, const char *key);
/* A string, which stays on the stack; NULL where it is absent. */
const char *luamil_option_text(lua_State *L, int index, const char *fn, const char *key);
/* t[key] = text of the table at the top; NULL: nothing. */
void luamil_set_text(lua_State *L, const char *key, const char *text);
/* The nearest of the keys of the table at index that are strings; NULL: none. */
const char *luamil_nearest_key(lua_State *L, int index, const char *name);

/* Numbers, booleans or strings in (nested) tables, or a single one. data is 8 bytes an element (1 for booleans), in
 * userdata that was inserted at stack index `anchor` (everything from there on moved up by one), or in `small`. */
typedef enum luamil_literal_kind { LUAMIL_INTS, LUAMIL_NUMBERS, LUAMIL_BOOLS, LUAMIL_STRINGS } luamil_literal_kind;
typedef union luamil_word {
    int64_t i;
    double d;
    bool b[8];
} luamil_word;
typedef struct luamil_literal {
    luamil_literal_kind kind;
    int rank;
    int64_t shape[MIL_MAX_RANK];
    size_t n;
    void *data;               /* int64_t[], double[] or bool[]; strings: luamil_text[] */
    luamil_word small[12];
} luamil_literal;
typedef struct luamil_text {
    const char *s;            /* borrowed from the Lua string */
    size_t length;
} luamil_text;
/* what: for messages ("conv: weight"). Returns how many values were inserted at anchor. */
int luamil_read_literal(lua_State *L, int index, int anchor, const char *what, luamil_literal *out);
/* The literal as a tensor, owned. Fails where the dtype can't hold an element. */
mil_status luamil_literal_tensor(const luamil_literal *literal, mil_dtype dtype, const char *what, mil_tensor **out,
                                 mil_error *err);
/* int32, fp32, bool or string. */
mil_dtype luamil_literal_dtype(const luamil_literal *literal);

/* The arguments of one call of an op, being gathered. */
enum { LUAMIL_MAX_ARGS = 24, LUAMIL_SMALL = 24 };
typedef struct luamil_args {
    luamil_program *owner;
    const char *op;
    const char *name;         /* of the result; NULL: none given */
    int anchor;               /* stack index at which memory is kept; everything above moves up */
    size_t n, n_items;
    mil_arg arg[LUAMIL_MAX_ARGS];
    mil_arg item[LUAMIL_SMALL];  /* of tuples */
    size_t used;
    luamil_word small[LUAMIL_SMALL]; /* of literals */
} luamil_args;
void luamil_start_args(luamil_args *args, const char *op, luamil_program *owner, int anchor);
/* Adds the Lua value at index as the argument `name`. tuple: the parameter takes several values. Tensors are entered as
 * the objects that hold them; luamil_settle_args puts the tensors in their place, when nothing more is made. */
void luamil_add_arg(lua_State *L, luamil_args *args, int index, const char *name, bool tuple);
void luamil_settle_args(lua_State *L, luamil_args *args);

/* ---- ops (ops.c) ---- */

/* Adds every op as a method to the tables at the indices; operators to the metatable of values. */
void luamil_open_ops(lua_State *L, int value_methods, int function_methods);
int luamil_push_value(lua_State *L, int like, luamil_program *owner, mil_value id); /* `like`: an object of the program */
extern const luaL_Reg luamil_reflection[];  /* mil.ops, mil.op, ... */

/* nested.c: where an operation goes that is called on a function or value of this block: the innermost open one. */
mil_block luamil_open_block(luamil_program *owner, mil_block block);
int luamil_cond(lua_State *L);
int luamil_while_loop(lua_State *L);

/* ---- the classes' files ---- */

void luamil_open_programs(lua_State *L);
void luamil_open_values(lua_State *L);                /* leaves the table of methods */
void luamil_open_operations(lua_State *L);
void luamil_open_dims(lua_State *L);
void luamil_open_tensors(lua_State *L);
void luamil_open_weights(lua_State *L);
void luamil_open_models(lua_State *L);
void luamil_open_runs(lua_State *L);
void luamil_open_states(lua_State *L);
void luamil_open_dictionaries(lua_State *L);
void luamil_open_lowered(lua_State *L);
/* dictionary.c: the table of outputs on top of the stack gets labels and dictionaries in place of their tensors; or the one
 * tensor on top of it becomes one, if the port is of one. */
void luamil_dress_outputs(lua_State *L, const mil_model *model);
void luamil_dress_output(lua_State *L, const mil_port *port);
extern const luaL_Reg luamil_program_functions[], luamil_dim_functions[], luamil_tensor_functions[], luamil_weights_functions[],
    luamil_model_functions[];

/* tensor.c */
extern const luaL_Reg luamil_tensor_looks[];          /* methods of tensor_look.c */
int luamil_check_status(lua_State *L, mil_status status, const mil_error *err); /* raises unless MIL_OK; 1 */
int luamil_return_tensor(lua_State *L, const luamil_tensor *self); /* new memory, on top of the stack: accounted; 1 */
void luamil_fill(lua_State *L, mil_tensor *tensor, int at, const char *fn); /* every element: the Lua value at `at` */
void luamil_store_element(lua_State *L, mil_tensor *tensor, const int64_t *index, int at);
luamil_tensor *luamil_new_tensor(lua_State *L);       /* pushes an empty one, to be filled */
mil_tensor *luamil_check_tensor(lua_State *L, int index, const char *fn);
mil_tensor *luamil_pin_tensor(lua_State *L, int index, const char *fn); /* pushes another object that holds it */
void luamil_push_shape(lua_State *L, int rank, const int64_t *shape);
void luamil_push_element(lua_State *L, const mil_tensor *tensor, const int64_t *index);
void luamil_push_elements(lua_State *L, const mil_tensor *tensor); /* in nested tables; one by itself of rank 0 */
/* tensor_text.c: pushes the tensor as people read it. */
int luamil_tensor_text(lua_State *L, const mil_tensor *tensor, int width);
/* dims.c: the shape at index, for an input of that name; returns the rank. */
int luamil_read_dims(lua_State *L, int index, luamil_program *owner, const char *fn, const char *input,
                     mil_dim out[MIL_MAX_RANK]);
/* Gives the input that was made of it the shapes of the mil.shapes at index, if that is what stands there. */
void luamil_give_shapes(lua_State *L, int index, luamil_program *owner, mil_value input);
/* value.c */
luamil_value *luamil_check_value(lua_State *L, int index, const char *fn);
void luamil_push_where(lua_State *L, mil_where where);
extern const luaL_Reg luamil_edits[], luamil_value_edits[]; /* edit.c: methods of programs and functions, of values */
extern const luaL_Reg luamil_lowerings[]; /* lower.c: methods of programs and functions */
extern const luaL_Reg luamil_checks[], luamil_rule_functions[]; /* check.c: likewise; and functions of the module */
/* operation.c; `like`: an object of the program; the others take it from index 1 */
void luamil_push_operation(lua_State *L, int like, luamil_program *owner, mil_operation operation);
void luamil_push_args(lua_State *L, luamil_program *owner, mil_operation operation); /* {name -> value or list}; 0: none */
mil_operation luamil_check_operation(lua_State *L, int index, const luamil_program *owner, const char *fn);
int luamil_list_operations(lua_State *L, luamil_program *owner, mil_block only); /* filter at index 2; only 0: all functions */
int luamil_list_users(lua_State *L, luamil_program *owner, mil_value value);
/* program.c: empty ones; `like`: an object of the program */
luamil_program *luamil_new_program(lua_State *L);
luamil_function *luamil_new_function(lua_State *L, int like, luamil_program *owner);
luamil_program *luamil_live(lua_State *L, luamil_program *owner);  /* raises when it has been collected */
luamil_function *luamil_check_function(lua_State *L, int index, const char *fn); /* raises also where it has been removed */
/* The program that the object at index 1, a program or a function of one, is or belongs to; *function (may be NULL): 0 where it is
 * the program. */
luamil_program *luamil_owner(lua_State *L, const char *fn, mil_block *function);
/* progress.c: begin, which leaves two values on the stack, reads the option `progress` of the table at index `options`; NULL:
 * there is none. After the work, and once what it gave has an owner, end raises what the function raised. */
typedef struct luamil_progress {
    lua_State *L;
    int index;
    bool failed;
} luamil_progress;
mil_progress *luamil_begin_progress(lua_State *L, int options, const char *fn, luamil_progress *self);
void luamil_end_progress(const luamil_progress *self);
/* start.c: model:start */
int luamil_start(lua_State *L);
/* batch.c: model:run_batch(list): a list of outputs */
int luamil_run_batch(lua_State *L);
/* state.c: model:state; the state in the options at index (NULL where none is given), which takes their place */
int luamil_make_state(lua_State *L);
mil_state *luamil_option_state(lua_State *L, int index, const char *fn);
/* interrupt.c: Ctrl-C has ended the call that is under way */
bool luamil_is_interrupted(void);
/* child.c: mil.system.filter */
int luamil_filter(lua_State *L);
/* probe.c: mil.system.probe, machine, private */
int luamil_probe(lua_State *L);
int luamil_machine(lua_State *L);
int luamil_private(lua_State *L);
/* model.c */
mil_model *luamil_check_model(lua_State *L, int index, const char *fn);
/* A run is in the table of those that mil.cancel stops between these. */
int luamil_enter_run(mil_model *model);
void luamil_leave_run(int slot);
/* Leaves the inputs that the table at index gives on the stack, a tensor object or nil for each port. */
void luamil_read_inputs(lua_State *L, mil_model *model, int index, const char *fn);
/* The tensors of the n objects from stack index `first` on; nothing that could free them may come in between. */
void luamil_settle_inputs(lua_State *L, int first, size_t n, mil_tensor **out);
/* Pushes a table of empty tensors by the outputs' names; `into` are they. */
void luamil_new_outputs(lua_State *L, const mil_model *model, luamil_tensor **into);
int luamil_compile(lua_State *L, const mil_program *program, const char *entry, int options, const char *fn);
/* Pushes a list of what `at` gives of n ports: {name =, dtype =, shape =} each. */
int luamil_push_ports(lua_State *L, const mil_model *model, size_t n, const mil_port *(*at)(const mil_model *, size_t));
/* Runs the model at index `model` with the inputs in the table at index `inputs`, on a state (NULL: none); pushes the table of
 * outputs. */
int luamil_run(lua_State *L, int model, int inputs, mil_state *state);

#endif
