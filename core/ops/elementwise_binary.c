/* SPDX-License-Identifier: MIT */
/* elementwise_binary: inference and plain evaluation.
 *
 * On int32, + - * and pow wrap around; division by 0 gives 0; a negative power is the quotient rounded toward zero.
 * maximum and minimum give NaN where either operand is NaN, as NumPy and PyTorch do. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/rules.h"

/* ---- inference ---- */

/* x and y are the first two parameters. */
static mil_status infer(mil__call *call, mil_dtype dtype) {
    const mil_type *x = call->in[0].items->type, *y = call->in[1].items->type;
    if (x->dtype == dtype && (x == y || y->rank == 0)) return mil__call_result(call, x);
    mil_dim shape[MIL_MAX_RANK];
    int rank;
    MIL__TRY(mil__broadcast(call, "x", "y", &rank, shape));
    return mil__call_tensor(call, dtype, rank, shape);
}

mil_status mil__infer_binary(mil__call *call) { return infer(call, call->in[0].items->type->dtype); }
mil_status mil__infer_compare(mil__call *call) { return infer(call, MIL_BOOL); }

/* Shapes under computation, int32 vectors known up to symbols, go through arithmetic: shape(x) * 2 is known. */
enum { MAX_SYM = 64 };

static bool sym_values(mil__call *call, const char *name, mil_dim *out, int *n) {
    bool known = false;
    const mil__operand *operand = mil__arg(call, name);
    if (mil__rank(operand) > 1) return false;
    return mil__get_dims(call, name, MAX_SYM, out, n, &known) == MIL_OK && known;
}

typedef mil_dim dim_fn(mil__types *types, mil_dim a, mil_dim b);

static mil_status infer_with_sym(mil__call *call, dim_fn *fn) {
    MIL__TRY(mil__infer_binary(call));
    const mil__operand *x = call->in[0].items, *y = call->in[1].items;
    int64_t n;
    const mil_type *type = call->out[0];
    if ((!x->sym && !y->sym) || type->rank > 1 || !mil__shape_numel(type->rank, type->shape, &n) || n > MAX_SYM)
        return MIL_OK;
    mil_dim a[MAX_SYM], b[MAX_SYM];
    int na, nb;
    if (!sym_values(call, "x", a, &na) || !sym_values(call, "y", b, &nb)) return MIL_OK;
    mil_dim *sym = mil__arena_alloc(call->arena, ((size_t)n + 1) * sizeof *sym);
    if (!sym) return mil__nomem(call->err);
    for (int64_t i = 0; i < n; i++) {
        mil_dim divisor = b[nb == 1 ? 0 : i];
        if (divisor == 0 && (fn == mil__dim_floordiv)) return MIL_OK;
        sym[i] = fn(call->types, a[na == 1 ? 0 : i], divisor);
    }
    if (mil__types_status(call->types) != MIL_EVALUE) call->out_sym[0] = sym;
    else mil__types_clear_status(call->types); /* beyond 64 bits: unknown */
    return MIL_OK;
}

mil_status mil__infer_add(mil__call *call) { return infer_with_sym(call, mil__dim_add); }
mil_status mil__infer_sub(mil__call *call) { return infer_with_sym(call, mil__dim_sub); }
mil_status mil__infer_mul(mil__call *call) { return infer_with_sym(call, mil__dim_mul); }
mil_status mil__infer_floor_div(mil__call *call) { return infer_with_sym(call, mil__dim_floordiv); }
mil_status mil__infer_maximum(mil__call *call) { return infer_with_sym(call, mil__dim_max); }
mil_status mil__infer_minimum(mil__call *call) { return infer_with_sym(call, mil__dim_min); }

/* ---- arithmetic ---- */

static double f_add(double x, double y) { return x + y; }
static double f_sub(double x, double y) { return x - y; }
static double f_mul(double x, double y) { return x * y; }
static double f_div(double x, double y) { return x / y; }
static double f_max(double x, double y) { return x != x || x > y ? x : y; }
static double f_min(double x, double y) { return x != x || x < y ? x : y; }

static double f_mod(double x, double y) {
    double rest = fmod(x, y);
    if (rest == 0) return copysign(0, y);
    return (rest < 0) != (y < 0) ? rest + y : rest;
}

/* From the exact rest, so that the quotient's rounding can't lift it over an integer. */
static double f_floor_div(double x, double y) {
    if (y == 0) return x / y;
    double rest = fmod(x, y), quotient = (x - rest) / y;
    return rint(rest != 0 && (rest < 0) != (y < 0) ? quotient - 1 : quotient);
}

static int64_t i_add(int64_t x, int64_t y) { return x + y; }
static int64_t i_sub(int64_t x, int64_t y) { return x - y; }
static int64_t i_mul(int64_t x, int64_t y) { return x * y; }
static int64_t i_div(int64_t x, int64_t y) { return y ? x / y : 0; }
static int64_t i_floor_div(int64_t x, int64_t y) { return y ? x / y - (x % y != 0 && (x < 0) != (y < 0)) : 0; }
static int64_t i_mod(int64_t x, int64_t y) { return y ? x - i_floor_div(x, y) * y : 0; }

static int64_t i_pow(int64_t x, int64_t y) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
    uint64_t result = 1, factor = (uint64_t)x;
    for (uint64_t e = (uint64_t)y; e; e >>= 1, factor *= factor)
        if (e & 1) result *= factor;
    return (int64_t)result;
}

mil_status mil__eval_add(mil__call *call) { return mil__eval_map2(call, f_add, i_add); }
mil_status mil__eval_sub(mil__call *call) { return mil__eval_map2(call, f_sub, i_sub); }
mil_status mil__eval_mul(mil__call *call) { return mil__eval_map2(call, f_mul, i_mul); }
mil_status mil__eval_real_div(mil__call *call) { return mil__eval_map2(call, f_div, i_div); }
mil_status mil__eval_floor_div(mil__call *call) { return mil__eval_map2(call, f_floor_div, i_floor_div); }
mil_status mil__eval_mod(mil__call *call) { return mil__eval_map2(call, f_mod, i_mod); }
mil_status mil__eval_pow(mil__call *call) { return mil__eval_map2(call, pow, i_pow); }
mil_status mil__eval_maximum(mil__call *call) { return mil__eval_map2(call, f_max, NULL); }
mil_status mil__eval_minimum(mil__call *call) { return mil__eval_map2(call, f_min, NULL); }

/* ---- comparisons and logic ---- */

static double f_equal(double x, double y) { return x == y; }
static double f_not_equal(double x, double y) { return x != y; }
static double f_less(double x, double y) { return x < y; }
static double f_less_equal(double x, double y) { return x <= y; }
static double f_greater(double x, double y) { return x > y; }
static double f_greater_equal(double x, double y) { return x >= y; }
static double f_and(double x, double y) { return x != 0 && y != 0; }
static double f_or(double x, double y) { return x != 0 || y != 0; }
static double f_xor(double x, double y) { return (x != 0) != (y != 0); }

mil_status mil__eval_equal(mil__call *call) { return mil__eval_map2(call, f_equal, NULL); }
mil_status mil__eval_not_equal(mil__call *call) { return mil__eval_map2(call, f_not_equal, NULL); }
mil_status mil__eval_less(mil__call *call) { return mil__eval_map2(call, f_less, NULL); }
mil_status mil__eval_less_equal(mil__call *call) { return mil__eval_map2(call, f_less_equal, NULL); }
mil_status mil__eval_greater(mil__call *call) { return mil__eval_map2(call, f_greater, NULL); }
mil_status mil__eval_greater_equal(mil__call *call) { return mil__eval_map2(call, f_greater_equal, NULL); }
mil_status mil__eval_logical_and(mil__call *call) { return mil__eval_map2(call, f_and, NULL); }
mil_status mil__eval_logical_or(mil__call *call) { return mil__eval_map2(call, f_or, NULL); }
mil_status mil__eval_logical_xor(mil__call *call) { return mil__eval_map2(call, f_xor, NULL); }
