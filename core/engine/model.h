/* SPDX-License-Identifier: MIT */
/* Models from inside: for model.c, and for started.c, which runs them on threads of the library's, and batch.c, which runs
 * several in one. */
#ifndef MIL__MODEL_H
#define MIL__MODEL_H

#include "engine/engine.h"

enum { MIL__SPARES = 8 }; /* contexts that a model keeps for runs to come: as many as were under way at once, up to this */

struct mil_model {
    atomic_int count;
    const mil__engine *engine;
    void *impl;
    mil__arena arena;         /* of the ports */
    mil_port *inputs, *outputs, *states;
    mil_tensor **standards;   /* of the inputs that may be left out, what fills them; else NULL */
    mil__classes **classes;   /* of the outputs that a classify gives; else NULL */
    size_t n_inputs, n_outputs, n_states;
    size_t *places;           /* of the inputs, then of the states, among what the function takes */
    atomic_int users;
    atomic_bool is_unloaded;
    atomic_uint cancelled;    /* how often */
    _Atomic(mil_context *) spares[MIL__SPARES];
    bool holds_runs;          /* started.c's: under its lock */
};

struct mil_context {
    mil_model *model;         /* retained, but by the model's own spares */
    void *impl;
    mil_tensor **inputs;      /* set ones; retained */
    mil_tensor **outputs;
    mil_tensor **results;     /* of the last run; held */
    mil_tensor **taken;       /* what the function takes, inputs and states; borrowed for a run */
    mil_state *state;         /* retained */
    size_t *state_places;     /* of the model's states among those of `state`, which another model may have made */
};

struct mil_state {
    atomic_int count;
    mil_model *model;         /* retained */
    atomic_flag is_in_use;
    mil_tensor *tensors[];
};

/* A user more, for whom the model stays loaded; and one less. Fails: MIL_ESTATE (unloaded). */
mil_status mil__model_enter(mil_model *model, mil_error *err);
void mil__model_leave(mil_model *model);
/* Would a run take these? outputs NULL: none was given. */
mil_status mil__model_check(const mil_model *model, mil_tensor *const *inputs, mil_tensor *const *outputs, const mil_state *state,
                            mil_error *err);
/* As mil_model_run_state, of which `cancel` says whether it is to stop. The model has been entered. */
mil_status mil__model_run(mil_model *model, mil_tensor *const *inputs, mil_tensor **outputs, mil_state *state,
                          const mil__cancel *cancel, mil_error *err);
mil__cancel mil__cancel_of(const mil_model *model, const atomic_bool *own);

/* A context for one run, or one batch, of the model, which has been entered; to be given back. */
mil_status mil__model_take_context(mil_model *model, mil_context **out, mil_error *err);
void mil__model_give_context(mil_model *model, mil_context *context);

/* started.c: the model is one of those whose runs the threads are there for, until it is freed. */
void mil__runs_release(void);

#endif
