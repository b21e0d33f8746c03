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
 * Gives 0; -1: there is none of that name. */
int standin_set(const char *name, long value);
void standin_set_chip(const char *architecture, const char *build);
/* The k-th framework call from now fails (1: the next); 0: none does. A message of reference counting never fails. */
void standin_fail_at(long k);
/* Every call of this name fails: a C function, or "Class selector". NULL: none. */
void standin_fail_named(const char *name);
/* objc_getClass does not find this class; NULL: none is hidden. A hidden selector is one that no class answers. */
void standin_hide_class(const char *name);
void standin_hide_selector(const char *name);

long standin_calls(const char *name);       /* of that name; NULL: all */
long standin_alive(void);                   /* objects and surfaces that were made and not released */
const char *standin_alive_class(long i);    /* the class of the i-th of them; NULL beyond the end */
long standin_violations(void);
const char *standin_violation(long i);      /* one line; NULL beyond the end */
#endif
