/* SPDX-License-Identifier: MIT */
/* The plans of a model: one for each set of input shapes that it meets. They stand in a list, the one taken last first; beyond
 * MIL__PLANS_KEPT of them those that no context stands on go, the one taken longest ago first. So a model that meets thousands of
 * sizes holds as much as one that meets a few, and a look-up compares a few dozen shapes at most. */
#include <pthread.h>

#include "engine/cpu/steps.h"

bool mil__plan_fits(const mil__cpu_plan *plan, mil_tensor *const *inputs, uint32_t n) {
    const int64_t *key = plan->key;
    for (uint32_t i = 0; i < n; i++)
        for (int k = 0; k < inputs[i]->rank; k++)
            if (*key++ != inputs[i]->shape[k]) return false;
    return true;
}

/* Takes the plan out of the list: the one for these inputs, NULL where there is none. */
static mil__cpu_plan *take_out(mil__cpu_model *model, mil_tensor *const *inputs, uint32_t n) {
    mil__cpu_plan **link = &model->plans;
    while (*link && !mil__plan_fits(*link, inputs, n)) link = &(*link)->next;
    mil__cpu_plan *plan = *link;
    if (plan) *link = plan->next;
    if (plan) model->n_plans--;
    return plan;
}

/* The last of the list that nobody stands on; the list's end where there is none. */
static mil__cpu_plan **oldest_idle(mil__cpu_model *model) {
    mil__cpu_plan **found = NULL, **link = &model->plans;
    for (; *link; link = &(*link)->next)
        if (!(*link)->n_users) found = link;
    return found ? found : link;
}

static void give_up_some(mil__cpu_model *model) {
    while (model->n_plans > MIL__PLANS_KEPT) {
        mil__cpu_plan **link = oldest_idle(model), *plan = *link;
        if (!plan) return;
        *link = plan->next;
        model->n_plans--;
        mil__cpu_plan_free(plan);
    }
}

mil_status mil__plans_take(mil__cpu_model *model, mil_tensor *const *inputs, uint32_t n, const mil_type *const *types, mil__cpu_plan **out,
                           mil_error *err) {
    pthread_mutex_lock(model->lock);
    mil__cpu_plan *plan = take_out(model, inputs, n);
    mil_status status = plan ? MIL_OK : mil__cpu_plan_make(model, types, &plan, err);
    if (status == MIL_OK) {
        plan->next = model->plans;
        model->plans = plan;
        model->n_plans++;
        plan->n_users++;
        give_up_some(model);
        *out = plan;
    }
    pthread_mutex_unlock(model->lock);
    return status;
}

/* It may be gone, with the model unloaded: then it is not in the list. */
void mil__plans_give_back(mil__cpu_model *model, const mil__cpu_plan *plan) {
    pthread_mutex_lock(model->lock);
    for (mil__cpu_plan *at = model->plans; at; at = at->next)
        if (at == plan) at->n_users--;
    give_up_some(model);
    pthread_mutex_unlock(model->lock);
}

void mil__plans_free(mil__cpu_model *model) {
    pthread_mutex_lock(model->lock);
    mil__cpu_plan *next, *plan = model->plans;
    for (; plan; plan = next) {
        next = plan->next;
        mil__cpu_plan_free(plan);
    }
    model->plans = NULL;
    model->n_plans = 0;
    pthread_mutex_unlock(model->lock);
}
