/* SPDX-License-Identifier: MIT */
/* elementwise_unary: inference and plain evaluation. On int32, abs and square wrap around as NumPy's do. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/params.h"
#include "ops/rules.h"

/* ---- without parameters ---- */

static double f_sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; } /* NaN and -0 stay */
static double f_square(double x) { return x * x; }
static double f_not(double x) { return x == 0; }
static int64_t i_abs(int64_t x) { return x < 0 ? -x : x; }
static int64_t i_square(int64_t x) { return x * x; }

mil_status mil__eval_abs(mil__call *call) { return mil__eval_map(call, fabs, i_abs); }
mil_status mil__eval_acos(mil__call *call) { return mil__eval_map(call, acos, NULL); }
mil_status mil__eval_asin(mil__call *call) { return mil__eval_map(call, asin, NULL); }
mil_status mil__eval_atan(mil__call *call) { return mil__eval_map(call, atan, NULL); }
mil_status mil__eval_atanh(mil__call *call) { return mil__eval_map(call, atanh, NULL); }
mil_status mil__eval_ceil(mil__call *call) { return mil__eval_map(call, ceil, NULL); }
mil_status mil__eval_cos(mil__call *call) { return mil__eval_map(call, cos, NULL); }
mil_status mil__eval_cosh(mil__call *call) { return mil__eval_map(call, cosh, NULL); }
mil_status mil__eval_erf(mil__call *call) { return mil__eval_map(call, erf, NULL); }
mil_status mil__eval_exp(mil__call *call) { return mil__eval_map(call, exp, NULL); }
mil_status mil__eval_exp2(mil__call *call) { return mil__eval_map(call, exp2, NULL); }
mil_status mil__eval_floor(mil__call *call) { return mil__eval_map(call, floor, NULL); }
mil_status mil__eval_logical_not(mil__call *call) { return mil__eval_map(call, f_not, NULL); }
mil_status mil__eval_round(mil__call *call) { return mil__eval_map(call, rint, NULL); }
mil_status mil__eval_sign(mil__call *call) { return mil__eval_map(call, f_sign, NULL); }
mil_status mil__eval_sin(mil__call *call) { return mil__eval_map(call, sin, NULL); }
mil_status mil__eval_sinh(mil__call *call) { return mil__eval_map(call, sinh, NULL); }
mil_status mil__eval_sqrt(mil__call *call) { return mil__eval_map(call, sqrt, NULL); }
mil_status mil__eval_square(mil__call *call) { return mil__eval_map(call, f_square, i_square); }
mil_status mil__eval_tan(mil__call *call) { return mil__eval_map(call, tan, NULL); }
mil_status mil__eval_tanh(mil__call *call) { return mil__eval_map(call, tanh, NULL); }

/* ---- with parameters ---- */

static double f_inverse(double x, double epsilon, double q) { return (void)q, 1 / (x + epsilon); }
static double f_log(double x, double epsilon, double q) { return (void)q, log(x + epsilon); }
static double f_rsqrt(double x, double epsilon, double q) { return (void)q, 1 / sqrt(x + epsilon); }
static double f_threshold(double x, double alpha, double q) { return (void)q, x < alpha ? alpha : x; }

/* Where alpha is above beta (before ios17), beta wins. */
static double f_clip(double x, double alpha, double beta) {
    double above = x < alpha ? alpha : x;
    return above > beta ? beta : above;
}

mil_status mil__eval_inverse(mil__call *call) { return mil__eval_map_pq(call, f_inverse); }
mil_status mil__eval_log(mil__call *call) { return mil__eval_map_pq(call, f_log); }
mil_status mil__eval_rsqrt(mil__call *call) { return mil__eval_map_pq(call, f_rsqrt); }
mil_status mil__eval_threshold(mil__call *call) { return mil__eval_map_pq(call, f_threshold); }
mil_status mil__eval_clip(mil__call *call) { return mil__eval_map_pq(call, f_clip); }

mil_status mil__infer_clip(mil__call *call) {
    const struct mil__pq_params *params = call->params;
    MIL__TRY(mil__infer_alpha_beta(call));
    if (call->opset < MIL_IOS17 || params->p < params->q) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "alpha = %g must be below beta = %g (%s)", params->p, params->q,
                          mil_opset_name(call->opset));
}

/* ---- cast ---- */

mil_status mil__infer_cast(mil__call *call) {
    static const mil_dtype dtypes[] = {MIL_FP16, MIL_FP32, MIL_INT32, MIL_BOOL,
                                       MIL_INT8, MIL_UINT8, MIL_INT16, MIL_UINT16};
    const char *choices = call->opset < MIL_IOS17 ? "fp16|fp32|int32|bool"
                                                  : "fp16|fp32|int32|bool|int8|uint8|int16|uint16";
    const mil__operand *x = mil__arg(call, "x");
    int choice;
    MIL__TRY(mil__get_choice(call, "dtype", choices, &choice));
    MIL__TRY(mil__call_tensor(call, dtypes[choice], mil__rank(x), x->type->shape));
    if (mil__dtype_is_int(dtypes[choice])) call->out_sym[0] = x->sym;
    return MIL_OK;
}

static double f_same(double x) { return x; }

mil_status mil__eval_cast(mil__call *call) { return mil__eval_map(call, f_same, NULL); }
