/* SPDX-License-Identifier: MIT */
/* What the files that stand for Espresso share: codes, handles and what they keep (facts/ane-e5rt.md section 1). */
#ifndef STANDIN_ESPRESSO_H
#define STANDIN_ESPRESSO_H

#include "mil.h"
#include "objc.h"

/* An error code; only its low 32 bits are defined (1.2), so a caller that reads 64 is seen. */
typedef int64_t E;

enum {
    E5_OK, E5_ARGUMENT, E5_OPERATION, E5_MEMORY, E5_BOUNDS, E5_TYPE_PARAMETER, E5_DATA_TYPE,
    E5_TIMEOUT = 10, E5_COMPILE = 11
};
enum { E5_CPU = 1, E5_GPU = 2, E5_ANE = 4, E5_MAX_PORTS = 64 };

E e5_ok(void);
E e5_fail(int32_t code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Handles are objects of a class that is named as in the function's names. What a handle's object keeps begins with the number of
 * other handles that stand on it, before which a client may not release it. */
typedef struct e5_kept {
    long held;
    bool may_go_first;       /* ports and events: who holds one keeps it (the order of 1.4, step 13) */
} e5_kept;

bool e5_is(const void *handle, const char *class, const char *by);
void *e5_new(const char *class, size_t bytes);          /* +1; what it keeps is zeros */
E e5_release(void **handle, const char *class, const char *by);
void *e5_hold(object *o);                               /* by another handle */
void e5_drop(object *o);

void e5_leave_to_pool(void);

/* How every function begins: something may be left to the pool; it is counted and may be made to fail; its handles are of their classes; it has a place for its result. */
#define E5_BEGIN e5_leave_to_pool(); if (!enter(__func__)) return e5_fail(E5_OPERATION, "%s: made to fail", __func__)
#define E5_TAKES(handle, class)                                                                                         \
    if (!e5_is(handle, class, __func__)) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: " #handle " is no " class)
#define E5_WANTS(argument)                                                                                              \
    if (!(argument)) return e5_fail(E5_ARGUMENT, "Invalid Function Argument: " #argument " is NULL")
#define E5_RELEASE(function, class) EXPORT E function(void **handle) { return e5_release(handle, class, #function); }

/* A compiled program: kept by the process, as the engine's daemon keeps it, until the process ends. */
typedef struct e5_bundle {
    char path[1024];                                    /* empty: not on disk */
    mil_program *program;
    uint64_t mask;
    struct e5_bundle *next;
} e5_bundle;

typedef struct e5_library { e5_kept kept; e5_bundle *of; } e5_library;
typedef struct e5_function {
    e5_kept kept;
    object *library;
    char name[128];
    mil_model *model;
} e5_function;

extern bool e5_is_up;                                   /* the runtime: from the first compiler or stream on */

/* An operation, its ports and how they are bound. */
typedef enum e5_state { E5_FRESH, E5_ENCODED, E5_RESET } e5_state;
typedef struct e5_port {
    e5_kept kept;
    const mil_port *of;
    object *operation, *buffer;
} e5_port;
typedef struct e5_operation {
    e5_kept kept;
    object *options, *function, *stream;
    object *inputs[E5_MAX_PORTS], *outputs[E5_MAX_PORTS];   /* ports */
    size_t n_inputs, n_outputs;
    e5_state state;
    bool is_rebound;                                    /* a port was bound since it was encoded */
    object *completion, *dependent[E5_MAX_PORTS];       /* events */
    size_t n_dependent;
} e5_operation;

int32_t e5_operation_run(object *operation);            /* 0, or a code whose text is set */
bool e5_operation_is_bound(const e5_operation *operation, const char *by);
size_t e5_loaded(int more);                             /* operations alive, after `more` */
size_t e5_strides(const mil_port *port, size_t *strides);   /* in bytes; gives the bytes in all */

/* Of events: waits until it has reached the value that it is to reach; false: not in time. Signals the one that it is to reach. */
bool e5_event_reached(object *event, uint64_t nanoseconds);
void e5_event_tick(object *event);
#endif
