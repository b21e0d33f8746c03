/* SPDX-License-Identifier: MIT */
/* Control of the stand-in for Apple's frameworks: exported by each of its libraries (they are one), found by dlsym. */
#ifndef STANDIN_H
#define STANDIN_H

/* Everything as at first: switches, counts, violations, compiled copies. Objects alive stay. */
void standin_reset(void);
/* A switch, by name:
 *   guard         1: memory of an unlocked surface can't be touched (0 where a tool needs SIGSEGV for itself)
 *   compute       1: evaluate computes; 0: it leaves the outputs alone (benches)
 *   attributes    1: modelAttributes reports the layout; 0: it is nil, and ports go by alphabet
 *   order         0: symbols by alphabet; 1: against it
 *   row           bytes that a row is a multiple of: 64
 *   compile_limit compiles of a process that succeed: 119
 *   form          which spelling is taken: 0 both, 1 `program(1.3)`, 2 `program(1.0)`
 *   copies        1: compiled copies are kept, as the daemon keeps them
 *   has_ane, virtual_machine   what _ANEDeviceInfo says
 *   abort         1: a violation ends the process
 *   block_life    1: a block that says it is global stays what it is until it is released, after its handler has run
 *   at_exit       1: a process that ends with objects alive, or with violations that nobody read, has the status 9; 0: what it has
 *   busy          so many loads fail from now: the daemon is busy (ane.md 3.1, step 11)
 *   cancelled     so many evaluations fail from now with "Request cancelled" (ane.md 10, macOS 27.0)
 *   no_options    1: an options dictionary that is not empty is refused (ane.md 3.12)
 *   procedures    0: a model is its function main alone; 1: each function is a procedure, by its place in the text; 2: from the last
 *                 to the first (ane.md 3.11 and 4.2 say that there may be several, not which)
 *   entitled      1: a connection to the engine opens (ane.md 9, level 2); 0: it is not permitted
 *   statistics    1: performance statistics are read back, where a mask is set; 0: they stay empty (ane.md 2.9)
 *   load_limit    programs that Espresso has loaded at once: 128 (ane-e5rt.md 1.8)
 * Espresso's, each a place where the sources disagree or say little (ane-e5rt.md 1.2, 1.3, 8.1):
 *   e5_forge         1: what ANEForge always does is demanded: force_recompilation, segmenter "graph", operation_name,
 *                    allocate_intermediate_buffers, sizes in multiples of 64; 0: it may be left out
 *   e5_by_value      0: a release takes the address of the handle; 1: the handle
 *   e5_wide          1: the upper half of a returned code is not 0, since codes have 32 bits; 0: it is
 *   e5_blobfile      1: weights in files are taken; 0: BLOBFILE is refused
 *   e5_error_text    1: the functions that give a text do; 0: they give NULL
 *   e5_row           bytes that a row of a port is a multiple of; 0: ports are dense
 *   e5_stride_bytes  0: descriptors give strides in elements; 1: in bytes
 *   e5_twice         1: the handler of an asynchronous run is called twice
 *   e5_pool          1: each function leaves an object to the thread's pool, as what is made of Objective-C does; 0: none does
 * Core ML's:
 *   ml_gaps          1: arrays of results have gaps between their rows; 0: they are dense
 *   ml_backings      1: output backings that fit are used; 0: results lie elsewhere
 *   ml_plain_names   0: operators are named as "ios18.add"; 1: as "add"
 *   ml_unknown_device  1: operations prefer a device of a class that no client knows
 * Gives 0; -1: there is none of that name. */
int standin_set(const char *name, long value);
/* The sources whose refusals hold though others contradict them, by the letters of ane.md (R M B O T L E N F, H for H44), A for the
 * sweep and the catalogue of ANEForge, G for the guide; "*": all; NULL or "": none. refusals.c has the rows. */
void standin_believe(const char *sources);
void standin_set_chip(const char *architecture, const char *build);
/* The k-th framework call from now fails (1: the next); 0: none does. Messages of reference counting, those that ask an object of
 * Foundation what it holds, and setters never fail. */
void standin_fail_at(long k);
/* Core ML: "units" of the model that was loaded last; how many "arrays" were made over a client's memory, "images" given to
 * predictions, "backings" used for results. */
long standin_seen(const char *what);
/* The name of the call that was last made to fail; NULL: none was since standin_reset. */
const char *standin_failed(void);
/* The name of a call that was counted and that this text has: a C function, or the selector of a message. NULL: it has none. */
const char *standin_call_named(const char *text);
/* Every call of this name fails: a C function, or "Class selector". NULL: none. */
void standin_fail_named(const char *name);
/* objc_getClass does not find this class; NULL: none is hidden. A hidden selector is one that no class answers. */
void standin_hide_class(const char *name);
void standin_hide_selector(const char *name);

/* The calls of this thread's last evaluation by _ANEInMemoryModel anew, with a pool around: what a run costs without us. 1: it went. */
int standin_again(void);

long standin_calls(const char *name);       /* of that name; NULL: all */
long standin_alive(void);                   /* objects and surfaces that were made and not released */
const char *standin_alive_class(long i);    /* the class of the i-th of them; NULL beyond the end */
long standin_violations(void);
const char *standin_violation(long i);      /* one line; NULL beyond the end */
#endif
