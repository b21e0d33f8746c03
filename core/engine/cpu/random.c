/* SPDX-License-Identifier: MIT */
/* Random numbers on the lanes: a tile is a block of ops/random.h. */
#include "engine/cpu/steps.h"
#include "ops/random.h"

typedef struct random_run {
    const struct mil__random_params *params;
    uint64_t stream;
    mil_tensor *to;
} random_run;

static void run_random_tiles(const void *ctx, size_t begin, size_t end, void *scratch) {
    const random_run *run = ctx;
    (void)scratch;
    for (size_t block = begin; block < end; block++) mil__random_fill(run->params, run->stream, (int64_t)block, run->to);
}

static mil_status run_random(mil__run *run, const mil__step *step) {
    const struct mil__random_params *params = step->params;
    random_run work = {params, mil__random_stream(params->seed), &run->t[step->out[0]]};
    mil__run_tiles(run, (size_t)mil__random_blocks(mil__numel(work.to)), run_random_tiles, &work);
    return MIL_OK;
}

mil_status mil__select_random(mil__lower *lower, const mil__group *group, bool *done) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    const void *params = NULL;
    uint32_t *out = mil__lower_alloc(lower, sizeof *out);
    if (!out) return mil__nomem(lower->err);
    *out = mil__slot_of(lower, op->outputs[0]);
    MIL__TRY(mil__lower_params(lower, op, &params));
    *done = true;
    mil__step step = {.run = run_random, .params = params, .out = out, .n_out = 1, .kernel = "random"};
    return mil__lower_step(lower, group, &step);
}
