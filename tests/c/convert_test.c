/* SPDX-License-Identifier: MIT */
/* Conversions between dtypes: every half, every rounding boundary, every pair of dtypes, one rounding each. The arithmetic
 * that they are compared with is written here from the definition of the formats, in double, with ldexp and nearbyint. */
#include <math.h>

#include "test.h"
#include "tensor/half.h"

static uint32_t bits_of(float value) { return mil__float_bits(value); }
static float float_of(uint32_t bits) { return mil__bits_float(bits); }

/* The value of a finite half by its definition. */
static double half_value(unsigned half) {
    int exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    double size = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return half & 0x8000 ? -size : size;
}

/* A finite number in a format of `digits` bits whose smallest step is 2^least and whose largest finite number is `largest`,
 * as a double; the rounding is nearbyint's, to nearest even. */
static double rounded(double value, int digits, int least, double largest) {
    int exponent;
    if (value == 0 || isinf(value)) return value;
    frexp(value, &exponent);
    int step = exponent - digits > least ? exponent - digits : least;
    double result = ldexp(nearbyint(ldexp(value, -step)), step);
    return fabs(result) > largest ? copysign(INFINITY, value) : result;
}

static double as_half(double value) { return rounded(value, 11, -24, 65504); }
static double as_bf16(double value) { return rounded(value, 8, -133, 0x1.fep127); }

static void all_halves(void) {
    static uint16_t halves[65536], back[65536];
    static float floats[65536];
    for (int i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    CHECK(mil__convert(MIL_FP32, floats, 1, MIL_FP16, halves, 1, 65536));
    CHECK(mil__convert(MIL_FP16, back, 1, MIL_FP32, floats, 1, 65536));
    for (unsigned i = 0; i < 65536; i++) {
        bool is_nan = (i & 0x7fff) > 0x7c00;
        unsigned quiet = is_nan ? i | 0x200 : i;
        float value = mil__half_to_float((uint16_t)i);
        bool ok = bits_of(floats[i]) == bits_of(value) && back[i] == quiet && mil__float_to_half(value) == quiet;
        if ((i & 0x7fff) == 0x7c00) ok = ok && isinf(value) && (signbit(value) != 0) == (i >> 15 != 0);
        else if (is_nan) ok = ok && isnan(value) && (signbit(value) != 0) == (i >> 15 != 0);
        else ok = ok && value == half_value(i) && (signbit(value) != 0) == (i >> 15 != 0);
        if (!CHECK(ok)) {
            fprintf(stderr, "  half %04x\n", i);
            break;
        }
    }
}

/* Compares the run, the single conversion and the definition on one float. */
static bool half_is_right(float value, uint16_t run) {
    double wanted = as_half(value);
    uint16_t one = mil__float_to_half(value);
    return one == run && (isinf(wanted) ? (one & 0x7fff) == 0x7c00 : half_value(one) == wanted) &&
           (one >> 15 != 0) == (signbit(value) != 0) && mil__double_to_half(value) == one;
}

static void float_to_half_boundaries(void) {
    enum { NEAR = 5 };
    for (unsigned i = 0; i < 0x7c00; i++) { /* between each half and the next: half way, and the floats around it */
        double middle = (half_value(i) + (i == 0x7bff ? 65536 : half_value(i + 1))) / 2;
        float values[2 * NEAR];
        uint16_t run[2 * NEAR];
        for (int k = 0; k < NEAR; k++) {
            values[k] = float_of(bits_of((float)middle) + (uint32_t)k - NEAR / 2);
            values[NEAR + k] = -float_of(bits_of((float)half_value(i)) + (uint32_t)k);
        }
        mil__convert(MIL_FP16, run, 1, MIL_FP32, values, 1, 2 * NEAR);
        for (int k = 0; k < 2 * NEAR; k++) {
            if (CHECK(half_is_right(values[k], run[k]))) continue;
            fprintf(stderr, "  %a gave %04x\n", values[k], run[k]);
            return;
        }
    }
}

static uint64_t seed = 1;
static uint64_t random_bits(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed ^ seed >> 29;
}

static void random_floats(void) {
    enum { N = 1003 };
    static float values[N];
    static uint16_t halves[N], brains[N];
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < N; i++) values[i] = float_of((uint32_t)random_bits());
        mil__convert(MIL_FP16, halves, 1, MIL_FP32, values, 1, N);
        mil__convert(MIL_BF16, brains, 1, MIL_FP32, values, 1, N);
        for (int i = 0; i < N; i++) {
            bool ok;
            if (isnan(values[i])) {
                uint32_t bits = bits_of(values[i]);
                ok = halves[i] == (bits >> 16 & 0x8000) + 0x7e00 + (bits >> 13 & 0x1ff) && brains[i] == (bits >> 16 | 0x40) &&
                     mil__float_to_half(values[i]) == halves[i];
            } else {
                ok = half_is_right(values[i], halves[i]) && mil__bf16_to_float(brains[i]) == as_bf16(values[i]) &&
                     mil__float_to_bf16(values[i]) == brains[i];
            }
            if (CHECK(ok)) continue;
            fprintf(stderr, "  %a gave %04x, %04x\n", values[i], halves[i], brains[i]);
            return;
        }
    }
}

/* Doubles near half-way points of the short formats, where rounding by way of float would go wrong. */
static void doubles_round_once(void) {
    for (int i = 0; i < 200000; i++) {
        uint64_t r = random_bits();
        double sign = r & 1 ? -1 : 1, tiny = ldexp((double)(int)(r >> 1 & 7) - 3, -20 - (int)(r >> 4 & 31));
        double half = (half_value(r >> 10 & 0x7bff) + half_value((r >> 10 & 0x7bff) + 1)) / 2 * (1 + tiny) * sign;
        float brain = float_of((uint32_t)(r >> 10 & 0x7f7f) << 16 | 0x8000);
        double near_brain = brain * (1 + tiny) * sign;
        uint16_t out;
        mil__convert(MIL_FP16, &out, 1, MIL_FP64, &half, 1, 1);
        double got = (out & 0x7c00) == 0x7c00 ? copysign(INFINITY, out & 0x8000 ? -1 : 1) : half_value(out);
        if (!CHECK_EQ(got, as_half(half))) return;
        mil__convert(MIL_BF16, &out, 1, MIL_FP64, &near_brain, 1, 1);
        if (!CHECK_EQ((double)mil__bf16_to_float(out), as_bf16(near_brain))) return;
    }
}

/* Values of the conversions to and from integers; wanted is exact. */
static void rows_of_values(void) {
    static const struct {
        mil_dtype from;
        double value;
        mil_dtype to;
        double wanted;
    } rows[] = {
        {MIL_FP32, 2.9, MIL_INT32, 2}, {MIL_FP32, -2.9, MIL_INT32, -2}, {MIL_FP32, 300, MIL_INT8, 127},
        {MIL_FP32, -300, MIL_INT8, -128}, {MIL_FP32, -1, MIL_UINT8, 0}, {MIL_FP32, 255.9, MIL_UINT8, 255},
        {MIL_FP32, 256, MIL_UINT8, 255}, {MIL_FP32, NAN, MIL_INT32, 0}, {MIL_FP64, NAN, MIL_INT64, 0},
        {MIL_FP64, NAN, MIL_UINT64, 0}, {MIL_FP16, NAN, MIL_INT8, 0}, {MIL_FP32, INFINITY, MIL_INT16, 32767},
        {MIL_FP32, -INFINITY, MIL_INT16, -32768}, {MIL_FP32, INFINITY, MIL_UINT32, 4294967295.0},
        {MIL_FP32, 3e9, MIL_INT32, 2147483647}, {MIL_FP32, 3e9, MIL_UINT32, 3000000000.0},
        {MIL_FP64, 1e30, MIL_INT64, 0x1p63}, {MIL_FP64, -1e30, MIL_INT64, -0x1p63}, {MIL_FP64, 1e30, MIL_UINT64, 0x1p64},
        {MIL_FP64, 2147483647.5, MIL_INT32, 2147483647}, {MIL_FP64, -0.9, MIL_UINT16, 0}, {MIL_INT32, 70000, MIL_FP16, INFINITY},
        {MIL_INT32, 65519, MIL_FP16, 65504}, {MIL_INT32, 65520, MIL_FP16, INFINITY}, {MIL_INT32, -2049, MIL_FP16, -2048},
        {MIL_INT32, 2051, MIL_FP16, 2052}, {MIL_INT32, 16777217, MIL_FP32, 16777216}, {MIL_INT32, 300, MIL_INT8, 127},
        {MIL_INT32, -5, MIL_UINT64, 0}, {MIL_UINT8, 200, MIL_INT8, 127}, {MIL_INT64, 0x1p62, MIL_INT32, 2147483647},
        {MIL_BOOL, 1, MIL_FP16, 1}, {MIL_BOOL, 1, MIL_INT64, 1}, {MIL_FP32, 0.5, MIL_BOOL, 1}, {MIL_FP32, -0.0, MIL_BOOL, 0},
        {MIL_FP32, NAN, MIL_BOOL, 1}, {MIL_INT64, -3, MIL_BOOL, 1}, {MIL_FP32, 9, MIL_INT4, 7}, {MIL_FP32, -9, MIL_INT4, -8},
        {MIL_INT4, -3, MIL_FP32, -3}, {MIL_FP32, 3.7, MIL_UINT2, 3}, {MIL_INT32, 100, MIL_UINT6, 63}, {MIL_UINT6, 63, MIL_INT8, 63},
        {MIL_FP64, 0x1p-149, MIL_FP32, 0x1p-149}, {MIL_FP64, 0x1.8p-150, MIL_FP32, 0x1p-149}, {MIL_FP64, 1e300, MIL_FP32, INFINITY},
        {MIL_FP32, 0x1p-24, MIL_FP16, 0x1p-24}, {MIL_FP32, 0x1p-25, MIL_FP16, 0}, {MIL_FP32, 0x1.8p-24, MIL_FP16, 0x1p-23},
        {MIL_BF16, 1.0078125, MIL_FP16, 1.0078125}, {MIL_FP32, 1.00390625, MIL_BF16, 1}, {MIL_FP32, 1.01171875, MIL_BF16, 1.015625},
        {MIL_FP32, 65504, MIL_BF16, 65536},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        uint8_t from[8] = {0}, to[8] = {0};
        double got;
        CHECK(mil__convert(rows[i].from, from, 1, MIL_FP64, &rows[i].value, 1, 1));
        CHECK(mil__convert(rows[i].to, to, 1, rows[i].from, from, 1, 1));
        CHECK(mil__convert(MIL_FP64, &got, 1, rows[i].to, to, 1, 1));
        char row[64];
        snprintf(row, sizeof row, "%s %g to %s", mil_dtype_name(rows[i].from), rows[i].value, mil_dtype_name(rows[i].to));
        test_row = row;
        CHECK_EQ(got, rows[i].wanted);
    }
    CHECK(!mil__convert(MIL_STRING, NULL, 1, MIL_FP32, NULL, 1, 0));
    CHECK(!mil__convert(MIL_FP32, NULL, 1, MIL_STRING, NULL, 1, 0));
}

static void integers_of_64_bits(void) {
    static const struct {
        mil_dtype from;
        uint64_t value;
        mil_dtype to;
        uint64_t wanted; /* bits */
    } rows[] = {
        {MIL_INT64, 9007199254740993, MIL_FP64, 0x4340000000000000},       /* 2^53 + 1: half way, to even */
        {MIL_INT64, 9007199254740995, MIL_FP64, 0x4340000000000002},
        {MIL_INT64, 0x4000004000000001, MIL_FP32, 0x5e800001},             /* above half way, by a bit that a double drops */
        {MIL_INT64, 0x4000004000000000, MIL_FP32, 0x5e800000},
        {MIL_UINT64, 0xffffffffffffffff, MIL_FP32, 0x5f800000},
        {MIL_UINT64, 0x8080000000000001, MIL_BF16, 0x5f01},
        {MIL_UINT64, 0x8080000000000000, MIL_BF16, 0x5f00},
        {MIL_INT64, (uint64_t)INT64_MIN, MIL_BF16, 0xdf00},
        {MIL_UINT64, 0xffffffffffffffff, MIL_INT64, INT64_MAX},
        {MIL_UINT64, 0xffffffffffffffff, MIL_INT32, INT32_MAX},
        {MIL_INT64, (uint64_t)INT64_MIN, MIL_UINT64, 0},
        {MIL_INT64, INT64_MAX, MIL_UINT64, INT64_MAX},
        {MIL_INT64, (uint64_t)-1, MIL_UINT32, 0},
        {MIL_UINT64, 0x8000000000000000, MIL_BOOL, 1},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        uint64_t got = 0;
        CHECK(mil__convert(rows[i].to, &got, 1, rows[i].from, &rows[i].value, 1, 1));
        char row[64];
        snprintf(row, sizeof row, "row %zu", i);
        test_row = row;
        CHECK(got == rows[i].wanted);
    }
}

/* Every pair, long enough for several blocks, strided both ways, gives what one element at a time gives. */
static void every_pair_strided(void) {
    enum { N = 1300 };
    static uint64_t src[3 * N], dst[3 * N], one;
    for (int from = MIL_NO_DTYPE + 1; from < MIL_N_DTYPES; from++) {
        for (int to = MIL_NO_DTYPE + 1; to < MIL_N_DTYPES; to++) {
            size_t from_bytes = (size_t)mil_dtype_bits(from) / 8, to_bytes = (size_t)mil_dtype_bits(to) / 8;
            if (from_bytes == 0 || to_bytes == 0) continue;
            for (int i = 0; i < 3 * N; i++) src[i] = random_bits();
            if (from == MIL_BOOL) for (size_t i = 0; i < sizeof src; i++) ((uint8_t *)src)[i] &= 1;
            for (int way = 0; way < 4; way++) {
                int64_t from_step = way & 1 ? 3 : 1, to_step = way & 2 ? -2 : 1;
                char *begin = (char *)dst + (to_step < 0 ? (size_t)(2 * (N - 1)) * to_bytes : 0);
                CHECK(mil__convert(to, begin, to_step, from, src, from_step, N));
                for (int64_t i = 0; i < N; i++) {
                    mil__convert(to, &one, 1, from, (char *)src + i * from_step * (int64_t)from_bytes, 1, 1);
                    if (memcmp(&one, begin + i * to_step * (int64_t)to_bytes, to_bytes) == 0) continue;
                    test_row = mil_dtype_name(from);
                    CHECK_EQ(i, -1);
                    CHECK_EQ(mil_dtype_name(to), "equal to one at a time");
                    return;
                }
            }
        }
    }
}

static void packed_dtypes(void) {
    static const struct {
        mil_dtype dtype;
        const char *bytes;
        int n_bytes;
        int values[8];
    } rows[] = {
        {MIL_INT4, "\x21\x8f", 2, {1, 2, -1, -8}},
        {MIL_UINT4, "\x21\x8f", 2, {1, 2, 15, 8}},
        {MIL_UINT1, "\xb1", 1, {1, 0, 0, 0, 1, 1, 0, 1}},
        {MIL_UINT2, "\xe4\x1b", 2, {0, 1, 2, 3, 3, 2, 1, 0}},
        {MIL_UINT3, "\x88\xc6\xfa", 3, {0, 1, 2, 3, 4, 5, 6, 7}},
        {MIL_UINT6, "\x41\x30\xfc", 3, {1, 1, 3, 63}},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        int n = rows[i].n_bytes * 8 / mil_dtype_bits(rows[i].dtype);
        int32_t values[8];
        uint8_t bytes[3];
        test_row = mil_dtype_name(rows[i].dtype);
        CHECK(mil__convert(MIL_INT32, values, 1, rows[i].dtype, rows[i].bytes, 1, n));
        for (int k = 0; k < n; k++) CHECK_EQ(values[k], rows[i].values[k]);
        CHECK(mil__convert(rows[i].dtype, bytes, 1, MIL_INT32, rows[i].values, 1, n));
        CHECK(memcmp(bytes, rows[i].bytes, (size_t)rows[i].n_bytes) == 0);
    }
}

TEST_MAIN(CASE(all_halves), CASE(float_to_half_boundaries), CASE(random_floats), CASE(doubles_round_once),
          CASE(rows_of_values), CASE(integers_of_64_bits), CASE(every_pair_strided), CASE(packed_dtypes))
