/* SPDX-License-Identifier: MIT */
/* What the stand-in's files share: objects, classes, methods, and the record of what a client did wrong. */
#ifndef STANDIN_OBJC_H
#define STANDIN_OBJC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct object object;
typedef struct class class;
typedef const char *SEL;

struct object {
    class *isa;
    long refs;               /* 0: released; kept, so that its use is noticed */
    object *next;            /* every object that was made */
    void *data;              /* what its class keeps */
    size_t n;
};

/* signature, a letter an argument after self and _cmd: S NSString, B NSData, N NSNumber, A NSArray, D NSDictionary, U NSURL,
 * I surface, o any object, i integer, p pointer, e error, h a handler that takes a result and an error; a following ? lets it be nil.
 * '=' first: a class method. */
typedef struct method {
    const char *class, *selector, *signature;
    void *imp;
} method;

struct class {
    object o;                /* a class is an object whose isa is itself */
    const char *name;
    void (*dealloc)(object *self);
};

/* Every switch, with what it is at first; what each does is in standin.h. */
#define SWITCHES(X)                                                                                                     \
    X(guard, 1) X(compute, 1) X(attributes, 1) X(order, 1) X(row, 64) X(compile_limit, 119) X(form, 0) X(copies, 1)     \
    X(has_ane, 1) X(virtual_machine, 0) X(abort, 0) X(at_exit, 1) X(block_life, 1)                                                                     \
    X(e5_forge, 1) X(e5_by_value, 0) X(e5_wide, 1) X(e5_blobfile, 1) X(e5_error_text, 1) X(e5_row, 0)                   \
    X(e5_stride_bytes, 0) X(e5_twice, 0) X(e5_pool, 0) X(load_limit, 128) X(busy, 0) X(statistics, 0) X(entitled, 0) \
    X(ml_gaps, 1) X(ml_backings, 1) X(ml_plain_names, 0) X(ml_unknown_device, 0) X(cancelled, 0) X(no_options, 0) X(procedures, 0)

#define FIELD(name, at_first) name,
extern struct standin_switches {
    long SWITCHES(FIELD) n;
} standin;
#undef FIELD
extern char standin_chip[32], standin_build[32];

void ane_reset(void);                                  /* compiled copies and their count */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool enter(const char *function);                      /* counts a C function's call; false: it is to fail */
void demand_failure(const char *name);                 /* each call of that name fails, and the process where none comes */
void passed(const char *function);                     /* the same of a function that can't fail */
bool was_failed(const char *name);                     /* the call that was made to fail last is this one: what follows of it is no fault */
class *class_named(const char *name);
class *class_at(size_t i);                             /* NULL beyond the last */
class *class_make(const char *name, void (*dealloc)(object *self));
const method *class_getInstanceMethod(class *c, SEL selector);
void methods_add(const method *rows, size_t n);
object *object_new(const char *class, void *data, size_t n);   /* +1 */
object *autoreleased(object *o);
object *retained(object *o);
void released(object *o);
bool is_a(const object *o, const char *class);
void saw(const char *what, long n);                    /* for standin_seen */
bool usable(const object *o, const char *by);          /* false and a violation: nil, no object, or a released one */

object *string_new(const char *text);                  /* +1 */
object *number_new(long long value);                   /* +1 */
object *array_new(object *const *items, size_t n);     /* +1; retains the items */
object *dictionary_new(object *const *keys, object *const *values, size_t n);
object *error_new(const char *domain, long code, const char *text, object *underlying);
const char *string_text(const object *o);
long long number_value(const object *o);
object *number_real(double value);                     /* +1 */
object *array_at(const object *o, size_t i);
size_t array_count(const object *o);
object *dictionary_get(const object *o, const char *key);
void *surface_memory(object *surface, size_t *bytes);  /* the engine's own view of it */
bool surface_locked(const object *surface);
void surface_use(object *surface, int by);             /* 1: an evaluation has it, -1: no longer. Meanwhile it may not be locked */
#endif
