/* SPDX-License-Identifier: MIT */
/* Grids: at which points of n_in elements the n_out elements of a resized axis are read.
 *
 *      DEFAULT, UNALIGN     spacing n_in / n_out, from 0 on, or half a pixel in
 *      (STRICT_)ALIGN       the first on the first, the last on the last; of one alone: STRICT the first, else the middle
 *      OFFSET               as UNALIGN, of the n_in - 1 (at least 1) between the first and the last
 *
 * 2 elements made 5:   DEFAULT 0 .4 .8 1 1    UNALIGN 0 .1 .5 .9 1    ALIGN 0 .25 .5 .75 1    OFFSET .1 .3 .5 .7 .9
 *
 * A point outside of 0 .. n_in - 1 is moved to its end. */
#ifndef MIL__RESIZING_H
#define MIL__RESIZING_H

#include "ops/op.h"

typedef enum mil__grid { MIL__GRID_STRICT_ALIGN, MIL__GRID_ALIGN, MIL__GRID_UNALIGN, MIL__GRID_DEFAULT, MIL__GRID_OFFSET } mil__grid;
#define MIL__GRIDS "STRICT_ALIGN_CORNERS|ALIGN_CORNERS|UNALIGN_CORNERS|DEFAULT|OFFSET_CORNERS" /* in that order */

double mil__grid_point(mil__grid grid, double n_in, int64_t i, int64_t n_out);

/* What is read for one element along an axis: lo + weight * (hi - lo). Where weight is 0, hi is lo. */
typedef struct mil__tap {
    int64_t lo, hi;
    double weight;
} mil__tap;

/* How a resized axis is read. */
typedef enum mil__reading {
    MIL__LINEARLY,
    MIL__NEAREST,             /* to the grid's point, of two the later; the grid DEFAULT stands for UNALIGN then */
    MIL__NEAREST_BEFORE       /* floor(i * n_in / n_out) */
} mil__reading;

/* upsample_*, resize*: the last n_axes of x. */
struct mil__resize_params {
    int n_axes;
    mil__reading reading;
    mil__grid grid;
};

mil__tap mil__resize_tap(const struct mil__resize_params *params, int64_t n_in, int64_t i, int64_t n_out);

mil_status mil__eval_resize(mil__call *call);

#endif
