/* SPDX-License-Identifier: MIT */
/* Random numbers that are the same everywhere: xoshiro256** (Blackman and Vigna, 2018), its 256 bits of state seeded from 64
 * by splitmix64 (Steele, Lea and Flood, 2014).
 *
 * uniform: the upper 53 bits of a number times 2^-53 lie in [0, 1); lo + (hi - lo) * that is rounded to double.
 * normal:  Box and Muller (1958): of two uniforms u, v:  r = sqrt(-2 log(1 - u)),  r cos(2 pi v)  and  r sin(2 pi v). */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* a fused lo + width * u would be another number than elsewhere */
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include <math.h>

#include "tensor/tensor.h"

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void mil_random_seed(mil_random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++) random->s[i] = splitmix(&seed);
    random->spare = 0;
    random->has_spare = false;
}

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static uint64_t next(mil_random *random) {
    uint64_t *s = random->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static double unit(mil_random *random) { return (double)(next(random) >> 11) * 0x1p-53; }

static double uniform(mil_random *random, double lo, double width) { return lo + width * unit(random); }

static double normal(mil_random *random, double mean, double stddev) {
    if (random->has_spare) {
        random->has_spare = false;
        return mean + stddev * random->spare;
    }
    double radius = sqrt(-2 * log(1 - unit(random))), angle = 6.283185307179586477 * unit(random);
    random->spare = radius * sin(angle);
    random->has_spare = true;
    return mean + stddev * (radius * cos(angle));
}

void mil__random_units(mil_random *random, int64_t n, double *to) {
    for (int64_t i = 0; i < n; i++) to[i] = unit(random);
}

/* The tensor's elements in C order, whatever its strides. */
static mil_status fill(const char *what, mil_tensor *tensor, mil_random *random,
                       double (*draw)(mil_random *, double, double), double a, double b, mil_error *err) {
    MIL__TRY(mil__check_writable(what, tensor, err));
    MIL__TRY(mil__access(what, tensor, true, err));
    int64_t index[MIL_MAX_RANK] = {0}, offset = 0;
    for (int64_t n = mil__numel(tensor); n > 0; n--) {
        mil__store_f64(tensor, offset, draw(random, a, b));
        for (int axis = tensor->rank - 1; axis >= 0; axis--) {
            offset += tensor->strides[axis];
            if (++index[axis] < tensor->shape[axis]) break;
            offset -= tensor->strides[axis] * tensor->shape[axis];
            index[axis] = 0;
        }
    }
    mil__access_end(tensor);
    return MIL_OK;
}

mil_status mil_tensor_uniform(mil_tensor *tensor, mil_random *random, double lo, double hi, mil_error *err) {
    return fill("uniform", tensor, random, uniform, lo, hi - lo, err);
}

mil_status mil_tensor_normal(mil_tensor *tensor, mil_random *random, double mean, double stddev, mil_error *err) {
    return fill("normal", tensor, random, normal, mean, stddev, err);
}
