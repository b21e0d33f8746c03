/* SPDX-License-Identifier: MIT */
/* Plain evaluation of elementwise ops, for the families that have them: a function of one element (or of two, broadcast)
 * applied to whole tensors. */
#ifndef MIL__ELEMENTWISE_H
#define MIL__ELEMENTWISE_H

#include "ops/op.h"

typedef double mil__f1(double x);
typedef double mil__f2(double x, double y);
typedef double mil__fpq(double x, double p, double q);
typedef int64_t mil__i1(int64_t x);
typedef int64_t mil__i2(int64_t x, int64_t y);

/* The result is f of the first parameter's elements, computed in double and rounded once: to nearest even where it is
 * stored as a float, toward zero and saturating where as an integer (NaN gives 0), not 0 where as a bool.
 * i (may be NULL) is for integers where double would not do: its results wrap around to int32. */
mil_status mil__eval_map(mil__call *call, mil__f1 *f, mil__i1 *i);
mil_status mil__eval_map2(mil__call *call, mil__f2 *f, mil__i2 *i); /* the first two parameters, broadcast */
mil_status mil__eval_map_pq(mil__call *call, mil__fpq *f);          /* p and q from call->params, a mil__pq_params */

/* x and y broadcast: to their dtype, or to bool. */
mil_status mil__infer_binary(mil__call *call);
mil_status mil__infer_compare(mil__call *call);
/* One result of x's type; p and q of a mil__pq_params from scalar parameters. */
mil_status mil__infer_alpha(mil__call *call);
mil_status mil__infer_alpha_beta(mil__call *call);
mil_status mil__infer_epsilon(mil__call *call); /* absent: the default, rounded to x's dtype */

#endif
