/* SPDX-License-Identifier: MIT */
/* Runs. A context has the features that it gives to a loaded MLModel:
 *
 *     inputs   features and their provider (inputs.c)
 *     outputs  tensors' memory offered, results taken (outputs.c)
 *
 * A loaded MLModel serves one thread at a time, unless it is asked to predict asynchronously (macOS 14): so the first context has the one
 * that compiling loaded, and all others share a second one, which they ask so, and wait; on older systems each loads its own. */
#include <math.h>

#include "engine/coreml/coreml.h"

typedef struct context {
    mil__coreml_model *model;
    mil__id loaded, state;    /* retained; state: nil where the model has none */
    mil__coreml_question *question; /* where the loaded model is shared; else NULL */
    mil__coreml_inputs inputs;
    mil__coreml_outputs outputs;
} context;

/* ---- contexts ---- */

/* One that nobody else uses, for the next context. */
static void give_model_back(mil__coreml_model *model, mil__id loaded) {
    mil__id none = NULL;
    bool is_wanted = !atomic_load(&model->is_unloaded);
    if (!is_wanted || !atomic_compare_exchange_strong(&model->spare, &none, loaded)) mil__apple.objc_release(loaded);
}

void mil__coreml_context_free(void *object) {
    context *c = object;
    if (!c) return;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil__coreml_inputs_free(c->model, &c->inputs);
    mil__coreml_outputs_free(c->model, &c->outputs);
    mil__coreml_release(&c->state);
    if (c->question || mil__apple_is_forked()) mil__coreml_release(&c->loaded);
    else if (c->loaded) give_model_back(c->model, c->loaded);
    mil__coreml_question_free(c->question);
    mil__apple.objc_autoreleasePoolPop(pool);
    mil__free(c);
}

static bool can_ask(const mil__coreml_model *model) {
    return model->has_states ? mil__responds(MLModel, askWithState) : mil__responds(MLModel, ask);
}

/* Two contexts may come here at once, and one of them has loaded it in vain. */
static mil_status share_model(context *c, mil_error *err) {
    mil__coreml_model *model = c->model;
    mil__id shared = atomic_load(&model->shared), none = NULL;
    if (!shared) {
        MIL__TRY(mil__coreml_load(model, &shared, err));
        if (!atomic_compare_exchange_strong(&model->shared, &none, shared)) {
            mil__apple.objc_release(shared);
            shared = none;
        }
    }
    c->loaded = mil__apple.objc_retain(shared);
    return MIL_OK;
}

static mil_status take_model(context *c, mil_error *err) {
    c->loaded = atomic_exchange(&c->model->spare, NULL);
    if (c->loaded) return MIL_OK;
    if (!can_ask(c->model)) return mil__coreml_load(c->model, &c->loaded, err);
    MIL__TRY(mil__coreml_question_new(&c->question, err));
    return share_model(c, err);
}

static mil_status set_up(context *c, mil_error *err) {
    mil__coreml_model *model = c->model;
    MIL__TRY(mil__coreml_features_new(model->n_inputs, &c->inputs.features, err));
    MIL__TRY(mil__coreml_outputs_new(model, &c->outputs, err));
    MIL__TRY(take_model(c, err));
    if (model->has_states) c->state = mil__send(c->loaded, MLModel, newState);
    return model->has_states && !c->state ? mil__fail(err, MIL_EIO, "run: Core ML makes no state for the model") : MIL_OK;
}

mil_status mil__coreml_context_new(void *compiled, void **out, mil_error *err) {
    MIL__TRY(mil__apple_check_process("Core ML", err));
    context *c = mil__calloc(1, sizeof *c);
    if (!c) return mil__nomem(err);
    c->model = compiled;
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = set_up(c, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    if (status == MIL_OK) *out = c;
    else mil__coreml_context_free(c);
    return status;
}

/* ---- a run ---- */

/* *out: until the question is asked anew. */
static mil_status ask(context *c, mil__id *out, mil_error *err) {
    mil__objc_block *answer = mil__coreml_question_ask(c->question);
    if (c->state) mil__send(c->loaded, MLModel, askWithState, c->inputs.provider, c->state, c->outputs.options, answer);
    else mil__send(c->loaded, MLModel, ask, c->inputs.provider, c->outputs.options, answer);
    mil__coreml_question_wait(c->question, INFINITY);
    *out = mil__coreml_question_result(c->question);
    return *out ? MIL_OK : mil__fail_nserror(err, MIL_EIO, mil__coreml_question_error(c->question), "run: Core ML");
}

static mil_status predict(context *c, mil__id *out, mil_error *err) {
    mil__id error = NULL;
    if (c->question) return ask(c, out, err);
    *out = c->state ? mil__send(c->loaded, MLModel, predictWithState, c->inputs.provider, c->state, c->outputs.options, &error)
                    : mil__send(c->loaded, MLModel, predict, c->inputs.provider, c->outputs.options, &error);
    return *out ? MIL_OK : mil__fail_nserror(err, MIL_EIO, error, "run: Core ML");
}

static mil_status copy_states(context *c, mil_tensor *const *inputs, bool to_state, mil_error *err) {
    const mil__coreml_model *model = c->model;
    for (size_t i = 0; i < model->n_inputs; i++)
        if (model->inputs[i].kind == MIL__COREML_STATE) MIL__TRY(mil__coreml_state_copy(c->state, &model->inputs[i], inputs[i], to_state, err));
    return MIL_OK;
}

static mil_status run(context *c, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs, const mil__cancel *cancel,
                      mil_error *err) {
    mil__id results;
    MIL__TRY(mil__coreml_inputs_give(c->model, &c->inputs, inputs, err));
    MIL__TRY(copy_states(c, inputs, true, err));
    MIL__TRY(mil__coreml_outputs_offer(c->model, &c->outputs, outputs, err));
    if (mil__is_cancelled(cancel)) return mil__fail(err, MIL_ECANCELLED, "run: cancelled");
    mil_status status = predict(c, &results, err);
    if (status == MIL_OK) status = mil__coreml_outputs_take(c->model, results, given, outputs, err);
    if (c->question) mil__coreml_question_forget(c->question);
    return status == MIL_OK ? copy_states(c, inputs, false, err) : status;
}

mil_status mil__coreml_run(void *object, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                           const mil__cancel *cancel, mil_error *err) {
    MIL__TRY(mil__apple_check_process("Core ML", err));
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = run(object, inputs, given, outputs, cancel, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    return status;
}

/* A batch is for one thread: a context whose model is shared takes the other one, or loads one for it. */
static mil_status run_batch(context *c, size_t n, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                            const mil__cancel *cancel, mil_error *err) {
    mil__id loaded = c->question ? atomic_exchange(&c->model->spare, NULL) : c->loaded;
    if (!loaded) MIL__TRY(mil__coreml_load(c->model, &loaded, err));
    mil_status status = mil__coreml_predict_batch(c->model, loaded, n, inputs, given, outputs, cancel, err);
    if (c->question) give_model_back(c->model, loaded);
    return status;
}

mil_status mil__coreml_run_batch(void *object, size_t n, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                                 const mil__cancel *cancel, mil_error *err) {
    MIL__TRY(mil__apple_check_process("Core ML", err));
    void *pool = mil__apple.objc_autoreleasePoolPush();
    mil_status status = run_batch(object, n, inputs, given, outputs, cancel, err);
    mil__apple.objc_autoreleasePoolPop(pool);
    return status;
}
