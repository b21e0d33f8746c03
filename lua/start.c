/* SPDX-License-Identifier: MIT */
/* model:start: runs on a thread of their own.
 * The job belongs to its handle alone and to the thread while that runs; the handle's end (and so lua_close) waits for
 * the thread, so none outlives the module's code. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "bind.h"

typedef struct luamil_job {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool is_done;             /* under the mutex */
    bool is_joined, is_taken; /* the Lua side's */
    mil_model *model;
    mil_state *state;         /* NULL: none */
    mil_tensor **in, **out;
    size_t n_in, n_out;
    mil_status status;
    mil_error err;
} luamil_job;

typedef struct luamil_handle {
    luamil_job *job;
} luamil_handle;

static void *job_main(void *arg) {
    luamil_job *job = arg;
    int slot = luamil_enter_run(job->model);
    job->status = mil_model_run_state(job->model, job->in, job->out, job->state, &job->err);
    luamil_leave_run(slot);
    pthread_mutex_lock(&job->mutex);
    job->is_done = true;
    pthread_cond_broadcast(&job->ended);
    pthread_mutex_unlock(&job->mutex);
    return NULL;
}

/* Lets go of the tensors. */
static void job_drop(luamil_job *job) {
    for (size_t i = 0; job->in && i < job->n_in; i++) mil_tensor_free(job->in[i]);
    for (size_t i = 0; job->out && i < job->n_out; i++) mil_tensor_free(job->out[i]);
    free(job->in);
    free(job->out);
    mil_state_free(job->state);
    job->state = NULL;
    job->in = job->out = NULL;
}

static void job_free(luamil_job *job) {
    job_drop(job);
    pthread_cond_destroy(&job->ended);
    pthread_mutex_destroy(&job->mutex);
    mil_model_free(job->model);
    free(job);
}

static luamil_job *job_new(mil_model *model, mil_tensor *const *in, mil_state *state) {
    luamil_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->model = mil_model_retain(model);
    job->state = state ? mil_state_retain(state) : NULL;
    job->n_in = mil_model_n_inputs(model);
    job->n_out = mil_model_n_outputs(model);
    job->in = calloc(job->n_in + 1, sizeof *job->in);
    job->out = calloc(job->n_out + 1, sizeof *job->out);
    pthread_mutex_init(&job->mutex, NULL);
    pthread_cond_init(&job->ended, NULL);
    for (size_t i = 0; job->in && i < job->n_in; i++) job->in[i] = in[i] ? mil_tensor_retain(in[i]) : NULL;
    sigset_t all, before; /* the host's signals are for the host's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = job->in && job->out && pthread_create(&job->thread, NULL, job_main, job) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) return job;
    job_free(job);
    return NULL;
}

static void job_join(luamil_job *job) {
    if (!job->is_joined) pthread_join(job->thread, NULL);
    job->is_joined = true;
}

/* model:start(inputs [, { state = }]): a handle */
int luamil_start(lua_State *L) {
    mil_model *model = luamil_check_model(L, 1, "start");
    lua_settop(L, 3);
    mil_state *state = luamil_option_state(L, 3, "start");
    luamil_handle *self = luamil_new_plain(L, sizeof *self);
    self->job = NULL;
    luamil_set_class(L, LUAMIL_RUN);
    mil_tensor **in = luamil_new_plain(L, (mil_model_n_inputs(model) + 1) * sizeof *in);
    int first = lua_gettop(L) + 1;
    luamil_read_inputs(L, model, 2, "start");
    luamil_settle_inputs(L, first, mil_model_n_inputs(model), in);
    self->job = job_new(model, in, state);
    if (!self->job) return luamil_fail(L, MIL_ELIMIT, "start: no thread can be made for the run");
    lua_settop(L, 4);
    return 1;
}

static luamil_job *check_job(lua_State *L, const char *fn) {
    luamil_handle *self = luamil_check(L, 1, LUAMIL_RUN, fn);
    if (!self->job || self->job->is_taken) luamil_fail(L, MIL_ESTATE, "%s: the run's result has been taken", fn);
    return self->job;
}

static bool is_done(luamil_job *job) {
    pthread_mutex_lock(&job->mutex);
    bool done = job->is_done;
    pthread_mutex_unlock(&job->mutex);
    return done;
}

/* h:done() */
static int job_done(lua_State *L) {
    lua_pushboolean(L, is_done(check_job(L, "done")));
    return 1;
}

/* h:wait([seconds]): true; false when the time was over first */
static int job_wait(lua_State *L) {
    luamil_job *job = check_job(L, "wait");
    struct timespec until;
    bool forever = lua_isnoneornil(L, 2);
    double seconds = forever ? 0 : luamil_check_number(L, 2, "wait", "seconds");
    if (!(seconds >= 0)) seconds = 0;
    if (seconds > 1e8) forever = true;
    clock_gettime(CLOCK_REALTIME, &until);
    if (!forever) {
        int64_t nanoseconds = until.tv_nsec + (int64_t)((seconds - (double)(int64_t)seconds) * 1e9);
        until.tv_sec += (time_t)seconds + (time_t)(nanoseconds / 1000000000);
        until.tv_nsec = (long)(nanoseconds % 1000000000);
    }
    int error = 0;
    pthread_mutex_lock(&job->mutex);
    while (!job->is_done && error == 0)
        error = forever ? pthread_cond_wait(&job->ended, &job->mutex)
                        : pthread_cond_timedwait(&job->ended, &job->mutex, &until);
    bool done = job->is_done;
    pthread_mutex_unlock(&job->mutex);
    lua_pushboolean(L, done);
    return 1;
}

static int handle_free(lua_State *L) {
    luamil_handle *self = lua_touserdata(L, 1);
    luamil_job *job = self->job;
    self->job = NULL;
    if (!job) return 0;
    job_join(job);
    job_free(job);
    return 0;
}

/* h:result(): waits, and gives the outputs as run does; once. */
static int job_result(lua_State *L) {
    luamil_job *job = check_job(L, "result");
    luamil_tensor **made = luamil_new_plain(L, (job->n_out + 1) * sizeof *made);
    size_t bytes = 0;
    luamil_new_outputs(L, job->model, made);
    check_job(L, "result");
    job_join(job);
    job->is_taken = true;
    mil_status status = job->status;
    mil_error err = job->err;
    for (size_t i = 0; i < job->n_out && status == MIL_OK; i++) {
        made[i]->tensor = job->out[i];
        job->out[i] = NULL;
        bytes += mil_tensor_bytes(made[i]->tensor);
    }
    job_drop(job);
    if (status != MIL_OK) return luamil_raise(L, &err);
    luamil_dress_outputs(L, job->model);
    luamil_account(L, bytes);
    return 1;
}

static int handle_text(lua_State *L) {
    luamil_handle *self = lua_touserdata(L, 1);
    lua_pushstring(L, !self->job || self->job->is_taken ? "a run (taken)" : is_done(self->job) ? "a run (done)" : "a run (under way)");
    return 1;
}

/* ---- the class ---- */

static const luaL_Reg handle_meta[] = {{"__tostring", handle_text}, {"__gc", handle_free}, {"__close", handle_free}, {NULL, NULL}};
static const luaL_Reg handle_methods[] = {{"done", job_done}, {"wait", job_wait}, {"result", job_result}, {NULL, NULL}};

void luamil_open_runs(lua_State *L) {
    static const luamil_class handles = {LUAMIL_RUN, "mil.run", "run", handle_meta, handle_methods, NULL, NULL};
    luamil_new_class(L, &handles);
    lua_pop(L, 1);
}
