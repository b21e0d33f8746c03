/* SPDX-License-Identifier: MIT */
/* random: inference and plain evaluation.
 *
 *   bernoulli    u < prob, of u uniform in [0, 1)
 *   uniform      low + (high - low) u, rounded to the dtype; what would round to high is the number before it
 *   normal       mean + stddev n, n by Box and Muller (1958)
 *   categorical  the first class at which the sum of probabilities so far is above u times their whole sum */
#include <math.h>
#include <sys/random.h>
#include <unistd.h>

#include "ops/random.h"
#include "ops/rules.h"
#include "tensor/half.h"

/* ---- streams ---- */

static uint64_t mixed(uint64_t x) { /* every bit of x in every bit of the result (the finish of splitmix64) */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Streams of their own are a counter from where the system's entropy says, in every process of a fork elsewhere. */
uint64_t mil__random_stream(int64_t seed) {
    static _Atomic uint64_t counter;
    if (seed >= 0) return (uint64_t)seed;
    if (atomic_load(&counter) == 0) {
        uint64_t start = 0, none = 0;
        if (getentropy(&start, sizeof start) != 0) start = (uint64_t)(uintptr_t)&start;
        atomic_compare_exchange_strong(&counter, &none, start | 1);
    }
    uint64_t number = atomic_fetch_add(&counter, 0x9e3779b97f4a7c15u);
    return mixed(number ^ (uint64_t)getpid() << 40) | (uint64_t)1 << 63; /* none of a seed's */
}

/* Pairs of numbers of [0, 1) become normal ones, as in random.c of tensor/ but with angles in single precision, which results
 * have no more of. */
static void make_normal(double *numbers, int64_t n) {
    for (int64_t i = 0; i < n; i += 2) {
        float radius = (float)sqrt(-2 * log(1 - numbers[i])), angle = 6.2831853f * (float)numbers[i + 1];
        numbers[i] = (double)(radius * cosf(angle));
        numbers[i + 1] = (double)(radius * sinf(angle));
    }
}

static void begin_block(mil_random *random, uint64_t stream, int64_t block) {
    mil_random_seed(random, mixed(stream) + mixed(~(uint64_t)block));
}

/* ---- numbers of a shape ---- */

/* The largest number of the dtype below x. */
static double below(mil_dtype dtype, double x) {
    if (dtype == MIL_FP32) return (double)nextafterf((float)x, -INFINITY);
    uint16_t half = mil__double_to_half(x);
    return (double)mil__half_to_float(half == 0 ? 0x8001 : half & 0x8000 ? half + 1 : half - 1);
}

void mil__random_fill(const struct mil__random_params *params, uint64_t stream, int64_t block, mil_tensor *to) {
    double numbers[MIL__RANDOM_BLOCK], a = params->a, b = params->b;
    int64_t at = block * MIL__RANDOM_BLOCK, n = mil__numel(to) - at;
    mil_random random;
    if (n > MIL__RANDOM_BLOCK) n = MIL__RANDOM_BLOCK;
    begin_block(&random, stream, block);
    if (params->distribution == MIL__NORMAL) {
        mil__random_units(&random, MIL__RANDOM_BLOCK, numbers);
        make_normal(numbers, MIL__RANDOM_BLOCK);
        for (int64_t i = 0; i < n; i++) numbers[i] = a + b * numbers[i];
    } else if (params->distribution == MIL__UNIFORM) {
        double most = b > a ? below(to->dtype, b) : a; /* where high is below low: any order will do */
        mil__random_units(&random, n, numbers);
        for (int64_t i = 0; i < n; i++) {
            double x = a + (b - a) * numbers[i];
            numbers[i] = x > most ? most : x;
        }
    } else {
        mil__random_units(&random, n, numbers);
        for (int64_t i = 0; i < n; i++) numbers[i] = numbers[i] < a;
    }
    char *data = (char *)to->data + (size_t)at * mil__element_size(to->dtype);
    mil__convert(to->dtype, data, 1, MIL_FP64, numbers, 1, n);
}

static mil_status infer(mil__call *call, mil__distribution distribution, const char *a, const char *b) {
    struct mil__random_params *params = call->params;
    const mil__operand *one = mil__arg(call, a), *two = b ? mil__arg(call, b) : one;
    mil_dtype dtype = one ? one->type->dtype : MIL_FP32;
    params->distribution = distribution;
    MIL__TRY(mil__get_float(call, a, &params->a));
    if (b) MIL__TRY(mil__get_float(call, b, &params->b));
    MIL__TRY(mil__get_int(call, "seed", &params->seed));
    if ((two ? two->type->dtype : MIL_FP32) != dtype)
        return mil__call_fail(call, MIL_ETYPE, "%s and %s must have one dtype (fp32 where absent)", MIL__ARG_TEXT(call, a),
                              MIL__ARG_TEXT(call, b));
    return mil__infer_of_shape(call, dtype);
}

mil_status mil__infer_random_bernoulli(mil__call *call) { return infer(call, MIL__BERNOULLI, "prob", NULL); }
mil_status mil__infer_random_normal(mil__call *call) { return infer(call, MIL__NORMAL, "mean", "stddev"); }
mil_status mil__infer_random_uniform(mil__call *call) { return infer(call, MIL__UNIFORM, "low", "high"); }

mil_status mil__eval_random(mil__call *call) {
    const struct mil__random_params *params = call->params;
    uint64_t stream = mil__random_stream(params->seed);
    int64_t n = mil__random_blocks(mil__numel(call->result[0]));
    for (int64_t block = 0; block < n; block++) mil__random_fill(params, stream, block, call->result[0]);
    return MIL_OK;
}

/* ---- categorical ---- */

mil_status mil__infer_random_categorical(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK];
    int64_t size, seed;
    int mode;
    MIL__TRY(mil__get_choice(call, "mode", "logits|probs", &mode));
    MIL__TRY(mil__get_int(call, "size", &size));
    MIL__TRY(mil__get_int(call, "seed", &seed));
    if (size < 0) return mil__call_fail(call, MIL_EVALUE, "size is %lld; only 0 and more is possible", (long long)size);
    if (x->rank == 0) return mil__call_fail(call, MIL_ETYPE, "%s has no axis for classes", MIL__ARG_TEXT(call, "x"));
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    shape[x->rank - 1] = size;
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* n numbers of a row become the sums of probabilities so far. False where they say nothing: one is NaN, or below 0, or none
 * is above 0, or several have no end. */
static bool add_up(double *row, int64_t n, bool are_logits) {
    double top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) top = row[i] > top ? row[i] : top;
    for (int64_t i = 0; i < n; i++) {
        double p = are_logits ? exp(row[i] - top) : row[i];
        if (!(p >= 0)) return false;
        row[i] = sum += p;
    }
    return sum > 0 && isfinite(sum);
}

/* The first of n sums above part (below 1) of the last. */
static int64_t class_at(const double *sums, int64_t n, double part) {
    int64_t from = 0, to = n;
    double r = part * sums[n - 1];
    if (r >= sums[n - 1]) r = nextafter(sums[n - 1], 0); /* it was rounded up */
    while (from < to) {
        int64_t middle = from + (to - from) / 2;
        if (sums[middle] > r) to = middle;
        else from = middle + 1;
    }
    return from;
}

mil_status mil__eval_random_categorical(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t seed, size = out->shape[out->rank - 1], classes = x->shape[x->rank - 1], n = mil__numel(out), at = 0;
    int mode;
    MIL__TRY(mil__get_choice(call, "mode", "logits|probs", &mode));
    MIL__TRY(mil__get_int(call, "seed", &seed));
    double *rows = mil__arena_alloc(call->arena, (size_t)mil__numel(x) * sizeof *rows + 1), numbers[MIL__RANDOM_BLOCK];
    if (!rows) return mil__nomem(call->err);
    mil__read_f64(x, rows);
    uint64_t stream = mil__random_stream(seed);
    for (int64_t block = 0; at < n; block++) {
        mil_random random;
        begin_block(&random, stream, block);
        mil__random_units(&random, MIL__RANDOM_BLOCK, numbers);
        for (int64_t i = 0; i < MIL__RANDOM_BLOCK && at < n; i++, at++) {
            double *row = rows + at / size * classes;
            if (at % size == 0 && (classes == 0 || !add_up(row, classes, mode == 0)))
                return mil__call_fail(call, MIL_EVALUE, "row %lld of %s has no probabilities", (long long)(at / size),
                                      MIL__ARG_TEXT(call, "x"));
            mil__store_i64(out, at, class_at(row, classes, numbers[i]));
        }
    }
    return MIL_OK;
}
