/* SPDX-License-Identifier: MIT */
/* Apple's frameworks from plain C: opened when first needed, with dlopen alone, so that this compiles (and is tested) on
 * every system and needs no SDK. frameworks.def lists what is called; this makes typed calls of its rows:
 *
 *     MIL__TRY(mil__apple_open(MIL__APPLE_FOUNDATION, err));
 *     void *pool = mil__apple.objc_autoreleasePoolPush();
 *     mil__id data = mil__send_class(NSData, fromBytes, text, n);          // autoreleased: lives until the pool is popped
 *     bool ok = mil__send(model, ANEInMemoryModel, compile, 21, options, &error);
 *     mil__apple.objc_autoreleasePoolPop(pool);
 *
 * Rules: messages to nil give 0; what a class method makes is autoreleased, and objc_retain keeps it beyond the pool; never
 * put nil into an array or a dictionary (the process would die of an exception that C can't catch). */
#ifndef MIL__APPLE_H
#define MIL__APPLE_H

#include <stddef.h>

#include "base/base.h"
#include "base/str.h"

typedef struct mil__object *mil__id;
typedef struct mil__class_object *mil__class;
typedef struct mil__selector *mil__sel;
typedef struct mil__iosurface_object *mil__iosurface;
typedef struct mil__objc_block mil__objc_block; /* below */
#if defined(__APPLE__) && defined(__x86_64__)
typedef signed char mil__bool; /* BOOL there */
#else
typedef bool mil__bool;
#endif

/* ---- what is opened ---- */

enum {
#define LIBRARY(name, path) MIL__LIBRARY_##name,
#include "apple/frameworks.def"
    MIL__N_LIBRARIES
};
#define MIL__LIBRARY(name) (1u << MIL__LIBRARY_##name)
#define MIL__APPLE_SURFACES   (MIL__LIBRARY(corefoundation) | MIL__LIBRARY(iosurface))
#define MIL__APPLE_FOUNDATION (MIL__LIBRARY(objc) | MIL__LIBRARY(foundation))

/* All rows of what is open; the others' fields are NULL. */
extern struct mil__apple {
#define FUNCTION(need, name, result, ...) result (*name)(__VA_ARGS__);
#define DATA(need, name)                  void *name;
#define CLASS(need, name, text)           mil__class name;
#include "apple/frameworks.def"
    struct mil__selectors {
#define METHOD(need, class, name, result, selector, ...)       mil__sel class##_##name;
#define CLASS_METHOD(need, class, name, result, selector, ...) mil__sel class##_##name;
#include "apple/frameworks.def"
    } sel;
} mil__apple;

/* Opens libraries (MIL__LIBRARY bits), each once; what is open stays so. A failure is tried anew by the next call.
 * Fails: MIL_EUNSUPPORTED (not macOS; a library can't be opened; what a library lacks, by name).   Threads: any; takes a lock
 * unless all is open.
 * Where the environment has MIL_FRAMEWORKS=DIR, DIR/NAME.so is opened for the library whose path ends in NAME or NAME.dylib,
 * and nothing of the system's: so it is tested. */
mil_status mil__apple_open(unsigned libraries, mil_error *err);
bool mil__apple_is_open(unsigned libraries);

/* May `what` be used here? An engine asks before each thing that it does by these libraries; where something is freed in a process
 * that was forked off, nothing goes but memory. Fails: MIL_ESTATE (this is one). Threads: any; takes no lock after the first time. */
mil_status mil__apple_check_process(const char *what, mil_error *err);
bool mil__apple_is_forked(void);

/* A row as text, for reports: "-[_ANEInMemoryModel unloadWithQoS:error:]" */
typedef struct mil__apple_row {
    char kind;            /* L library, F function, D data, C class, - method, + class method */
    bool needed;
    bool found;
    int library;
    const char *name;     /* of a library: its path; of a method: its selector */
    const char *of;       /* of a method: its class; else NULL */
} mil__apple_row;
/* Row i; false beyond the end. What mil__apple_open looked for and found is found, of libraries that lack others too; a library
 * itself where nothing that is needed of it is missing. */
bool mil__apple_row_at(size_t i, mil__apple_row *out);

/* ---- messages: objc_msgSend cast to the row's own prototype ---- */

#define METHOD(need, class, name, result, selector, ...)       typedef result mil__method_##class##_##name(mil__id, mil__sel, ##__VA_ARGS__);
#define CLASS_METHOD(need, class, name, result, selector, ...) typedef result mil__method_##class##_##name(mil__class, mil__sel, ##__VA_ARGS__);
#include "apple/frameworks.def"

#define mil__send_as(self, class, name, ...) \
    ((mil__method_##class##_##name *)mil__apple.objc_msgSend)(self, mil__apple.sel.class##_##name, ##__VA_ARGS__)
/* To an object: mil__send(model, ANEInMemoryModel, load, qos, options, &error) */
#define mil__send(object, class, name, ...) mil__send_as(object, class, name, ##__VA_ARGS__)
/* To a class: mil__send_class(NSDictionary, empty) */
#define mil__send_class(class, name, ...) mil__send_as(mil__apple.class, class, name, ##__VA_ARGS__)
/* Is an optional method there? */
#define mil__responds(class, name) (mil__apple.sel.class##_##name != NULL)

/* ---- calls that give nothing, where they must give something ---- */

#define MIL__METHOD(class, name) offsetof(struct mil__apple, sel.class##_##name)
#define MIL__FUNCTION(name)      offsetof(struct mil__apple, name)
/* call: one of these. Fails (MIL_EIO): "compile: +[NSData dataWithBytes:length:] gives nothing" */
mil_status mil__fail_nothing(mil_error *err, const char *what, size_t call);

/* ---- values (MIL__APPLE_FOUNDATION); makers give autoreleased objects, NULL where the system gives none or one of theirs is ---- */

mil__id mil__ns_string(const char *utf8);
mil__id mil__ns_data(const void *bytes, size_t n);                      /* a copy */
mil__id mil__ns_number(uint64_t number);
mil__id mil__ns_array(const mil__id *objects, size_t n);
mil__id mil__ns_dictionary(const mil__id *keys, const mil__id *values, size_t n);

/* The call of this thread's last maker that gave nothing, 0 since mil__made_all(): so it can be told after a few of them. */
mil_status mil__fail_made(mil_error *err, const char *what);
void mil__made_all(void);
bool mil__has_made_all(void);

/* Readers take any object, nil too, and say whether it was of that kind. Text is borrowed until the pool is popped. */
const char *mil__read_text(mil__id string);                            /* NULL: no string */
bool mil__read_number(mil__id number, int64_t *out);
size_t mil__read_count(mil__id array);                                 /* 0: no array */
mil__id mil__read_at(mil__id array, size_t i);                         /* nil: beyond its end */
mil__id mil__read_key(mil__id dictionary, const char *key);            /* nil: not there, or no dictionary */

/* Fails with all that an NSError says: `what: text (domain code): the underlying error's text (domain code)`. error may be nil. */
mil_status mil__fail_nserror(mil_error *err, mil_status status, mil__id error, const char *what);

/* ---- surfaces (MIL__APPLE_SURFACES) ---- */

/* Flat, of at least that many bytes (zeros are not promised); owned (mil__surface_free). is_global: any process finds it by its
 * id, IOSurfaceGetID. Fails: MIL_EIO (the system refused). */
mil_status mil__surface_new(size_t bytes, bool is_global, mil__iosurface *out, mil_error *err);
void mil__surface_free(mil__iosurface surface);
enum { MIL__SURFACE_READ_ONLY = 1 }; /* of IOSurfaceLock and Unlock, which must be given the same */

/* ---- blocks, by hand: what a compiler with blocks makes of ^{ .. } ---- */

/* As one on the stack: those who call it later copy it, and free the copy. It must be there while it is given, and what ctx points at until
 * it was last called. invoke gets the block, or its copy, first, then the block's own arguments. */
struct mil__objc_block {
    void *isa;
    int flags, reserved;
    void (*invoke)(void);
    const struct mil__objc_block_layout *layout;
    void *ctx; /* ours */
};
void mil__objc_block_init(mil__objc_block *block, void (*invoke)(void), void *ctx);

#endif
