/* SPDX-License-Identifier: MIT */
/* What the cpu engine's parts share: slots, steps, plans, contexts.
 *
 *   compile.c   program -> plan: passes, groups (fuse.c), a step a group (select.c and its families), memory (plan.c)
 *   control.c   nested blocks: branches and loops as steps; lists.c: lists
 *   plans.c     a model's plans: found by shapes, kept, given up
 *   run.c       a plan on a context: binds inputs and outputs, walks the steps
 *   dynamic.c   steps whose sizes are known only while they run
 *
 * A slot is where a value lives during a run; a context has a tensor for each, whose data points at
 *   CONST    the program's memory                 ARENA    the context's arena, at the slot's offset
 *   INPUT    what the run was given               OUTPUT   what the run is to write
 *   ALIAS    another slot's memory, `shift` bytes on (views: reshape, leading slices ...)
 *   DYNAMIC  memory that grows as needed, its size known at run time
 *   COMPRESSED  none: kernels expand it as they go (compressed.c)
 *   SPARSE   none: a mask or values that only constexpr operations have taken so far
 */
#ifndef MIL__STEPS_H
#define MIL__STEPS_H

#include "engine/cpu/kernel.h"
#include "engine/cpu/pool.h"
#include "engine/engine.h"

typedef enum mil__slot_kind {
    MIL__SLOT_ARENA, MIL__SLOT_CONST, MIL__SLOT_INPUT, MIL__SLOT_OUTPUT, MIL__SLOT_ALIAS, MIL__SLOT_DYNAMIC,
    MIL__SLOT_COMPRESSED, MIL__SLOT_SPARSE
} mil__slot_kind;

typedef struct mil__slot {
    mil__slot_kind kind;
    mil_dtype dtype;
    int rank;
    int64_t shape[MIL_MAX_RANK];  /* dims below 0 only where dynamic */
    size_t bytes;
    const mil_tensor *data;       /* CONST */
    const struct mil__compressed *source; /* COMPRESSED, and expanded from it (ARENA) */
    const struct mil__compressed *pair;   /* SPARSE: what it is the mask or the values of */
    uint32_t root;                /* the slot whose memory this is: itself, or ALIAS's */
    size_t shift;                 /* ALIAS: from the root's first byte */
    uint32_t first, last;         /* of a root: the steps between which its memory is needed */
    uint32_t until;               /* of a root: the last group that reads its memory, by number (control.c); 0: none */
    size_t offset;                /* ARENA roots */
    mil_value value;              /* 0: made by the compiler */
    bool is_state;                /* INPUT: the run may write it */
} mil__slot;

typedef struct mil__cpu_context mil__cpu_context;
typedef struct mil__step mil__step;

/* What a step's function is given. */
typedef struct mil__run {
    mil_tensor *t;                /* by slot */
    char *scratch;                /* of lane 0; the others' follow, scratch_bytes apart */
    size_t scratch_bytes;
    int n_lanes;
    const mil__cancel *cancel;
    mil_error *err;
    mil__cpu_context *context;
    uint32_t next;                /* the step that follows */
} mil__run;

struct mil__step {
    mil_status (*run)(mil__run *run, const mil__step *step);
    const void *params;           /* the kernel's arguments, but for what the run adds; in the plan's arena */
    const uint32_t *in, *out;     /* slots */
    uint32_t n_in, n_out;
    size_t scratch;               /* bytes a lane */
    const char *kernel;           /* for people: "f32_gemm", "plain" */
    const mil_operation *covers;  /* the operations that it stands for, the last one first */
    uint32_t n_covers;
    uint32_t call;                /* plain steps: index of the context's call */
    uint32_t loop;                /* the innermost loop that it is in, from 1; 0: none */
};

typedef struct mil__fixup { /* slot `alias` follows `root`, `shift` bytes on */
    uint32_t alias, root;
    size_t shift;
} mil__fixup;

typedef struct mil__cpu_plan mil__cpu_plan;
struct mil__cpu_plan {
    mil__arena arena;
    mil_program *program;         /* of this plan's own, all types static where they can be */
    mil__slot *slots;
    mil__step *steps;
    uint32_t n_slots, n_steps, n_calls, n_loops;
    uint32_t *inputs, *outputs;   /* slots of the ports */
    uint32_t n_inputs, n_outputs;
    mil__fixup *fixups;           /* aliases of inputs, outputs and dynamic slots */
    uint32_t n_fixups;
    size_t arena_bytes, scratch_bytes;
    size_t weight_bytes;          /* packed and converted consts */
    void **owned;                 /* memory of mil__alloc, freed with the plan */
    uint32_t n_owned, cap_owned;
    int64_t *key;                 /* the input shapes it was made for, in order */
    uint32_t n_key;
    bool is_dynamic;
    uint32_t n_users;             /* contexts that stand on it; of a model's list (plans.c), as the link */
    mil__cpu_plan *next;
};

/* A const as a kernel wants it: made once, whatever the shapes that plans are for. Entry of a model's packed_map. */
enum { MIL__PACKED_KEY = 6 };
typedef struct mil__packed {
    const void *source;           /* the const's elements */
    mil_buffer *buffer;           /* theirs, held: no other const may come to lie where they did */
    mil_dtype dtype;              /* as they are read here: one buffer may be seen as several */
    int64_t key[MIL__PACKED_KEY]; /* what it depends on besides: the shape, and how it is packed */
    char *memory;
} mil__packed;

typedef struct mil__cpu_model {
    mil_program *program;         /* as compiled, before shapes are bound */
    mil_compile_options options;
    char *disable;                /* own copy */
    int n_lanes;
    bool holds_pool;
    const mil__kernels *kernels;
    void *lock;                   /* pthread_mutex_t: the list of plans, and what they pack */
    mil__cpu_plan *plans;         /* the one taken last first */
    uint32_t n_plans;
    bool is_static;               /* one plan, made at compile time */
    mil__map packed_map;
    mil__packed *packed;
    uint32_t n_packed, cap_packed;
    size_t packed_bytes;
    const mil_buffer **own;       /* where symbolic: the buffers of the program's consts, in order; only what is made of these outlives a plan */
    size_t n_own;
} mil__cpu_model;

/* ---- plans (compile.c) ---- */

/* The plan for these input types (static tensor types of any owner, one an input). */
mil_status mil__cpu_plan_make(mil__cpu_model *model, const mil_type *const *inputs, mil__cpu_plan **out, mil_error *err);
void mil__cpu_plan_free(mil__cpu_plan *plan);
/* Is it of the program as compiled, not made for one plan? */
bool mil__cpu_is_own(const mil__cpu_model *model, const mil_buffer *buffer);

/* ---- a model's plans (plans.c) ---- */

enum { MIL__PLANS_KEPT = 32 }; /* those in use count, and stay beyond it */
/* Was it made for inputs of these shapes? */
bool mil__plan_fits(const mil__cpu_plan *plan, mil_tensor *const *inputs, uint32_t n);
/* The plan for these inputs, made for their types where there is none, for a context that gives it back. n is 0 where there is but one. */
mil_status mil__plans_take(mil__cpu_model *model, mil_tensor *const *inputs, uint32_t n, const mil_type *const *types, mil__cpu_plan **out,
                           mil_error *err);
void mil__plans_give_back(mil__cpu_model *model, const mil__cpu_plan *plan);
void mil__plans_free(mil__cpu_model *model); /* those in use too; what is given back later is nobody's */

/* A plan in the making, as selectors see it. */
typedef struct mil__group mil__group;
typedef struct mil__scope {
    mil__group *groups;           /* of a block, in order */
    uint32_t n;
} mil__scope;
typedef struct mil__loop {
    uint32_t first, last;         /* its steps: where a turn begins, and the jump back */
    uint32_t outer;               /* the loop that it is in, from 1; 0: none */
} mil__loop;
typedef struct mil__expanded mil__expanded;
struct mil__expanded {            /* a compressed value of an outer block that this one has expanded for itself */
    mil_value value;
    uint32_t slot;                /* that it had, and has again after the block */
    const mil__expanded *before;
};
typedef struct mil__lower {
    mil__cpu_model *model;
    mil__cpu_plan *plan;
    mil_program *program;
    const mil__kernels *k;
    int n_lanes;
    bool strict;                  /* round to the stored dtype at every op */
    uint32_t *slot_of;            /* by value; UINT32_MAX: none yet */
    mil_block block;              /* that is being lowered */
    uint32_t group;               /* the number of its group that is */
    uint32_t n_groups;
    mil__scope *scopes;           /* by block */
    uint32_t *number;             /* by operation: of its group */
    uint32_t *later;              /* by value: of what a loop gives, the last group that reads it */
    uint32_t *group_of;           /* by operation: its group's index in the block (fuse.c) */
    uint32_t loop;                /* that is being lowered, from 1; 0: none */
    mil__loop *loops;
    uint32_t n_loops;
    const mil__expanded *expanded;
    mil__arena scope_arena;       /* of the last eight */
    uint32_t cap_slots, cap_steps;
    mil_error *err;
} mil__lower;

/* One or several operations that become one step. */
struct mil__group {
    /* ROOTED: ops[0] and what is done to its result. ATTENTION, NORM: the written-out forms of attention.c and norm.c */
    enum { MIL__GROUP_ONE, MIL__GROUP_CHAIN, MIL__GROUP_ROOTED, MIL__GROUP_ATTENTION, MIL__GROUP_NORM } kind;
    mil_operation *ops;           /* in order */
    uint32_t n_ops, cap_ops;
    mil_value result;             /* of the last; 0 where the operation has several */
};

void *mil__lower_alloc(mil__lower *lower, size_t bytes);                       /* plan's arena, zeros; NULL: out of memory */
mil_status mil__lower_own(mil__lower *lower, size_t bytes, void **out);        /* 64-aligned, counted as weights */
/* 64-aligned memory for a packed const, the model's: that of an earlier plan where the elements and key are the same. *fresh:
 * it is to be filled. */
mil_status mil__lower_packed(mil__lower *lower, const mil_tensor *source, const int64_t key[MIL__PACKED_KEY], size_t bytes,
                             void **out, bool *fresh);
void mil__cpu_packed_free(mil__cpu_model *model);
uint32_t mil__slot_of(mil__lower *lower, mil_value value);
mil_status mil__slot_new(mil__lower *lower, mil_dtype dtype, int rank, const int64_t *shape, uint32_t *out);
/* Its size becomes one that only the run knows. */
void mil__slot_make_dynamic(mil__lower *lower, uint32_t slot);
/* Appends a step that reads and writes the given slots. */
mil_status mil__lower_step(mil__lower *lower, const mil__group *group, const mil__step *step);
/* Makes slot `to` a view of `from`. */
void mil__slot_alias(mil__lower *lower, uint32_t to, uint32_t from, size_t shift);
/* The memory of `in` (a dead ARENA root of as many bytes, not read again) becomes that of `out`: true when done. */
bool mil__slot_take_over(mil__lower *lower, uint32_t out, uint32_t in);
static inline const mil__slot *mil__slot_at(const mil__lower *lower, uint32_t slot) { return &lower->plan->slots[slot]; }
/* A known value's elements as fp32, in the plan; NULL with err filled when out of memory. */
mil_status mil__lower_floats(mil__lower *lower, const mil_tensor *data, const float **out);
/* Kernels compute in fp32, from these; other floats are evaluated plainly. */
static inline bool mil__kernel_float(mil_dtype dtype) { return dtype == MIL_FP32 || dtype == MIL_FP16; }
mil__storage mil__storage_of(mil_dtype dtype);                                 /* fp32, fp16, int32, bool */
/* The params of an operation, inferred anew; in the plan's arena (NULL where it has none). */
mil_status mil__lower_params(mil__lower *lower, const mil__op *op, const void **out);

/* ---- nested blocks (control.c) ---- */

/* Groups of the blocks, numbered; until when each value is needed. */
mil_status mil__lower_order(mil__lower *lower, mil_block body);
mil_status mil__lower_block(mil__lower *lower, mil_block block);
/* What is made before a loop and read in it is needed until its end. */
void mil__extend_lives(const mil__lower *lower);
/* The branch of the innermost loop that step i is a part of, which covers its while_loop; NULL: of none. */
const mil__step *mil__loop_around(const mil__cpu_plan *plan, uint32_t i);

/* ---- lists (lists.c) ---- */

bool mil__takes_lists(const mil__lower *lower, const mil__op *op);
mil_status mil__select_list(mil__lower *lower, const mil__group *group);

/* ---- groups (fuse.c) ---- */

mil_status mil__fuse(mil__lower *lower, mil_block block, mil__group **out, uint32_t *n, mil__arena *arena);
/* Can this operation be an instruction of an elementwise chain? (chain.c) */
bool mil__chain_takes(const mil__lower *lower, const mil__op *op);

/* ---- selection (select.c): a step for a group ----
 * A selector sets *done when it has emitted what the group needs; else the group is evaluated plainly. */
typedef mil_status mil__select_fn(mil__lower *lower, const mil__group *group, bool *done);
mil_status mil__select(mil__lower *lower, const mil__group *group);
/* Each operation of a group in a plain step of its own. */
mil_status mil__select_apart(mil__lower *lower, const mil__group *group);
mil__select_fn mil__select_chain, mil__select_matmul, mil__select_linear, mil__select_conv, mil__select_softmax,
    mil__select_conv_transpose, mil__select_reduce, mil__select_norm, mil__select_pool, mil__select_copy,
    mil__select_gather, mil__select_attention, mil__select_constexpr, mil__select_recurrent, mil__select_random,
    mil__select_l2_norm, mil__select_einsum, mil__select_resize, mil__select_sample, mil__select_crop_resize;
/* Can `op` be applied to the result of a rooted group (bias, activation, residual)? */
bool mil__epilogue_takes(const mil__lower *lower, const mil__group *group, const mil__op *op);

/* ---- running ---- */

struct mil__cpu_context {
    mil__cpu_model *model;
    mil__cpu_plan *plan;          /* NULL until shapes are known */
    uint32_t n_slots, n_inputs, n_outputs;
    mil_tensor *t;                /* plan->n_slots */
    mil__call *calls;             /* plan->n_calls */
    void *memory;                 /* arena, then scratch; as mil__alloc gave it */
    size_t memory_bytes;
    mil__arena call_arena;        /* operands of the calls */
    mil__arena eval_arena;        /* what a plain evaluation needs meanwhile */
    mil_tensor **staged_in, **staged_out; /* contiguous stand-ins for strided inputs and outputs */
    mil__types *types;            /* dynamic steps */
    mil_buffer **dynamic;         /* by slot */
    size_t dynamic_bytes;         /* of them all */
    bool *is_fixed;               /* by slot: a list that does not grow */
    int64_t *turns;               /* by loop */
};

/* Memory of so many bytes for a DYNAMIC slot, of which the first `keep` stay; in c->t[slot].data. Growing while some are kept, it
 * doubles. Fails: MIL_ELIMIT, MIL_ENOMEM. */
mil_status mil__dynamic_room(mil__cpu_context *c, uint32_t slot, size_t bytes, size_t keep, mil_error *err);
/* Frees the memory of all DYNAMIC slots. */
void mil__dynamic_give_back(mil__cpu_context *c);
/* One slot's tensor into another's memory; where both are DYNAMIC: they change hands. */
mil_status mil__dynamic_copy(mil__cpu_context *c, uint32_t from, uint32_t to, mil_error *err);
void mil__dynamic_exchange(mil__cpu_context *c, uint32_t a, uint32_t b);

mil_status mil__run_plain(mil__run *run, const mil__step *step);
mil_status mil__run_dynamic(mil__run *run, const mil__step *step);
/* Runs tiles of a step on the lanes; scratch of each lane is given. */
typedef void mil__tiles_fn(const void *ctx, size_t begin, size_t end, void *scratch);
void mil__run_tiles(mil__run *run, size_t n_tiles, mil__tiles_fn *fn, const void *ctx);

mil_status mil__cpu_context_new(void *compiled, void **out, mil_error *err);
void mil__cpu_context_free(void *context);
mil_status mil__cpu_run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                        const mil__cancel *cancel, mil_error *err);

#endif
