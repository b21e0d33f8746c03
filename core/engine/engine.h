/* SPDX-License-Identifier: MIT */
/* What an engine is: a table of functions. model.c is the only caller. */
#ifndef MIL__ENGINE_H
#define MIL__ENGINE_H

#include "program/program.h"

#include <stdatomic.h>

/* Has the run been cancelled? Compared at every step, and in every tile of long ones. */
typedef struct mil__cancel {
    const atomic_uint *count; /* goes up with every mil_cancel */
    unsigned start;           /* what it was when the run began */
    const atomic_bool *own;   /* of this run alone; NULL: none */
} mil__cancel;

static inline bool mil__is_cancelled(const mil__cancel *cancel) {
    return atomic_load_explicit(cancel->count, memory_order_relaxed) != cancel->start ||
           (cancel->own && atomic_load_explicit(cancel->own, memory_order_relaxed));
}

/* A text that is handed to the engine as it is, with its weights files; borrowed for the call. */
typedef struct mil__engine_text {
    const char *text;
    size_t n;
    const mil_text_file *files;
    size_t n_files;
    uint32_t function;        /* that is compiled: its place in the text */
} mil__engine_text;

typedef struct mil__engine {
    const char *name;
    bool is_half;             /* floats are fp16 in it, whatever the program says */
    /* False and a static reason where it can't be used. */
    bool (*available)(const char **reason);
    int (*describe)(char *buf, size_t n);
    /* program: one function, verified, of the engine's own (it frees it, on failure too). */
    mil_status (*compile)(mil_program *program, const mil_compile_options *options, void **out, mil_error *err);
    /* The same of a function of a program with several, for engines that can have those in one: whole and function, borrowed. NULL: none can. */
    mil_status (*compile_function)(const mil_program *whole, mil_block function, mil_program *program, const mil_compile_options *options,
                                   void **out, mil_error *err);
    /* The same of a text; program, borrowed: what it says of its functions, without weights. NULL: the engine takes none. */
    mil_status (*compile_text)(const mil_program *program, const mil__engine_text *text, const mil_compile_options *options, void **out,
                               mil_error *err);
    /* Which operations of the function's body would it refuse? why[operation]: a reason, in the arena, of those; NULL before. For
     * running a program across engines; what it does not know before it compiles, its compile refuses. NULL: it knows of none. */
    mil_status (*refusals)(const mil_program *program, mil_block function, const mil_compile_options *options, const char **why, mil__arena *arena,
                           mil_error *err);
    /* Contexts: the memory of one run at a time. */
    mil_status (*context_new)(void *compiled, void **out, mil_error *err);
    void (*context_free)(void *context);
    /* From now on what a run is given stays what it is, most likely, and is there until the next: the engine may hold on to its memory.
     * NULL: that makes no difference. */
    mil_status (*keep)(void *context, mil_error *err);
    /* Tensors in shared memory as runs like them best, one for all that the function takes and gives; owned. NULL: contiguous ones. */
    mil_status (*shared)(void *compiled, mil_tensor **inputs, mil_tensor **outputs, mil_error *err);
    /* Memory for a state, what the function takes at place i, zeros, laid out as runs like it best; owned. NULL in *out, or for the
     * function: contiguous memory does as well. Also of what is unloaded. */
    mil_status (*state)(void *compiled, size_t i, mil_tensor **out, mil_error *err);
    /* inputs: what the function takes, in order, of their dtypes and ranks; a state is written too, and
     * may have other memory after a run, where nobody but its owner holds the tensor. outputs, owned by the
     * caller: NULL entries are made, others written; one that is not `given` (NULL there) is made anew where it has another
     * shape than the run's result. */
    mil_status (*run)(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                      const mil__cancel *cancel, mil_error *err);
    /* n runs in one, the inputs of the first, then those of the second ..; likewise given and outputs. Never of a program with states.
     * NULL: they go one after the other. */
    mil_status (*run_batch)(void *context, size_t n, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                            const mil__cancel *cancel, mil_error *err);
    bool takes_surfaces;      /* run locks those among its tensors itself, where it reads or writes them; else they are locked for it */
    void (*unload)(void *compiled); /* weights and plans; only `free` follows */
    void (*free)(void *compiled);
    mil_status (*print)(const void *compiled, mil__str *out, mil_error *err);
    /* Adds what mil_model_step tells of step i; false beyond the last. out NULL: only asks. NULL: tells of none. */
    bool (*step)(const void *compiled, size_t i, mil__str *out);
    void (*memory)(const void *compiled, mil_model_memory *out);
} mil__engine;

#define ENGINE(name) extern const mil__engine mil__engine_##name;
#include "engine/engines.def"
#undef ENGINE

/* Engines around the one that options->engine names, which are never found by name: a program across that and the cpu (split.c); a
 * program whose first run is compared with the cpu's (verified.c), around split where there is fallback. */
extern const mil__engine mil__engine_split, mil__engine_verified;
/* The program was refused, for reasons that err has: where they name no operation, the first that the engine is known to refuse is
 * added to them, with its place. */
void mil__engine_blame(const mil__engine *engine, const mil_program *program, mil_block function, const mil_compile_options *options,
                       mil_error *err);

/* Of an output that a classify gives: what its numbers stand for (classifier.c). */
typedef struct mil__classes {
    size_t n;
    mil_tensor *keys;              /* the labels: strings or int64, rank 1 */
    mil_tensor **labels;           /* each by itself, rank 0; NULL where the output is the dictionary */
    const mil_type *probabilities; /* of the program, while that lives */
} mil__classes;

/* *out NULL: no classify gives the output. Owned. */
mil_status mil__classes_new(const mil_program *program, mil_value output, mil__classes **out, mil_error *err);
void mil__classes_free(mil__classes *classes);
/* The likeliest of them; the first of several. Borrowed. */
mil_tensor *mil__classes_label(const mil__classes *classes, const mil_tensor *probabilities);

/* What a run is given, for engines that stand around others, and for batches: then n_inputs and n_outputs are those of all runs. */
typedef struct mil__engine_args {
    mil_tensor *const *inputs;
    const bool *are_written;       /* by input: a state; NULL: none is */
    size_t n_inputs;
    mil_tensor *const *given;
    mil_tensor **outputs;
    size_t n_outputs;
    size_t n_runs;                 /* of a batch; 0: it is none */
} mil__engine_args;
/* engine->run or run_batch, its tensors locked where they are surfaces, unless it takes these. */
mil_status mil__engine_run(const mil__engine *engine, void *context, const mil__engine_args *args, const mil__cancel *cancel, mil_error *err);

const mil__engine *mil__engine_find(const char *name);             /* NULL: unknown */
/* Does a status speak of the program, so that another engine may take it? Else it speaks of options, memory, a cancel. */
bool mil__is_refusal(mil_status status);

#endif
