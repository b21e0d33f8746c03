/* SPDX-License-Identifier: MIT */
/* Control of the stand-in for the Neural Engine's frameworks (ane.c), which tests look up by name in the library that they opened. */
#ifndef STANDIN_ANE_H
#define STANDIN_ANE_H

/* What the stand-in does, changed at any time. */
typedef struct standin_ane {
    long fail_at;               /* that call which may fail does, counted in `calls`; 0: none */
    long calls;
    _Atomic long live;          /* objects that are not released */
    char mistake[400];          /* the first thing that a caller may not do, and did */
    const char *hidden;         /* a class or method that is not there */
    int refuses_short;          /* program(1.3) is no MIL to the compiler */
    int is_silent;              /* the loaded model reports neither layout nor order */
    int keeps_copies;           /* of what was compiled */
    int names_by_text;          /* weights don't change a program's name */
    int row_bytes;              /* rows are padded to that; 0: 64 */
    long least_surface;         /* smaller ones are too small */
    int cancels;                /* so many evaluations are cancelled */
    long compiles, loads, unloads, uuids;
    _Atomic long evaluations, messages;
} standin_ane;

#endif
