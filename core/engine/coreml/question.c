/* SPDX-License-Identifier: MIT */
/* Questions that Core ML answers on a thread of its own, by calling a block: a compute plan, an asynchronous prediction. The block is
 * copied by who is given it, so that it outlives the call of our handler; the question itself must be there until that has been called. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "engine/coreml/coreml.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all of them */

struct mil__coreml_question {
    mil__objc_block block;
    pthread_cond_t answered;
    mil__id result, error;    /* retained */
    bool is_done, is_given_up;
};

/* Who gave up left the question to us. */
static void take_answer(mil__objc_block *block, mil__id result, mil__id error) {
    mil__coreml_question *q = block->ctx;
    pthread_mutex_lock(&lock);
    q->result = result ? mil__apple.objc_retain(result) : NULL;
    q->error = error ? mil__apple.objc_retain(error) : NULL;
    q->is_done = true;
    bool is_ours = q->is_given_up;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&lock);
    if (is_ours) mil__coreml_question_free(q);
}

mil_status mil__coreml_question_new(mil__coreml_question **out, mil_error *err) {
    mil__coreml_question *q = mil__calloc(1, sizeof *q);
    if (!q) return mil__nomem(err);
    pthread_cond_init(&q->answered, NULL);
    mil__objc_block_init(&q->block, (void (*)(void))take_answer, q);
    *out = q;
    return MIL_OK;
}

mil__objc_block *mil__coreml_question_ask(mil__coreml_question *q) {
    mil__coreml_question_forget(q);
    return &q->block;
}

bool mil__coreml_question_wait(mil__coreml_question *q, double seconds) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += isinf(seconds) ? 0 : (time_t)seconds;
    pthread_mutex_lock(&lock);
    for (int error = 0; !q->is_done && error != ETIMEDOUT;)
        error = isinf(seconds) ? pthread_cond_wait(&q->answered, &lock) : pthread_cond_timedwait(&q->answered, &lock, &end);
    bool is_done = q->is_done;
    q->is_given_up = !is_done;
    pthread_mutex_unlock(&lock);
    return is_done;
}

mil__id mil__coreml_question_result(const mil__coreml_question *q) { return q->result; }
mil__id mil__coreml_question_error(const mil__coreml_question *q) { return q->error; }

void mil__coreml_question_forget(mil__coreml_question *q) {
    mil__coreml_release(&q->result);
    mil__coreml_release(&q->error);
    q->is_done = false;
}

void mil__coreml_question_free(mil__coreml_question *q) {
    if (!q) return;
    mil__coreml_question_forget(q);
    pthread_cond_destroy(&q->answered);
    mil__free(q);
}
