/* SPDX-License-Identifier: MIT */
/* Exact reading and writing of numbers.
 *
 * Every float that is read becomes m * 2^e, plus a flag that says whether something smaller than m's last bit follows
 * ("sticky"). That is enough to round once to any format, so hex and decimal text of all dtypes meet in round_to.
 *
 *   hex        the digits are m
 *   decimal    D * 10^k is D * 5^k * 2^k. Up to 19 digits and |k| <= 27: 128-bit arithmetic (to_binary_fast);
 *              else big numbers (to_binary_slow): times 5 for k > 0; for k < 0 D is shifted left far enough that at
 *              least 64 bits remain after dividing by 5^-k, in steps whose remainders go into sticky:
 *              floor(floor(a / b) / c) = floor(a / (b c)), and a b c divides a exactly when no step leaves a rest. */
#include "text/number.h"

__extension__ typedef unsigned __int128 u128;

typedef struct format { /* of a binary float */
    int bits, fraction, bias;
} format;

static format format_of(mil_dtype dtype) {
    switch (dtype) {
    case MIL_FP16: return (format){16, 10, 15};
    case MIL_BF16: return (format){16, 7, 127};
    case MIL_FP32: return (format){32, 23, 127};
    default: return (format){64, 52, 1023};
    }
}

static uint64_t sign_of(format f, bool negative) { return (uint64_t)negative << (f.bits - 1); }
static uint64_t infinity_of(format f) { return (uint64_t)(2 * f.bias + 1) << f.fraction; }

/* m * 2^e to nearest even; too large becomes infinity. */
static uint64_t round_to(format f, uint64_t m, int64_t e, bool sticky) {
    if (m == 0) return 0;
    int zeros = __builtin_clzll(m);
    m <<= zeros;
    int64_t exponent = e - zeros + 63; /* of the leading bit */
    if (exponent > f.bias) return infinity_of(f);
    int64_t drop = 63 - f.fraction, least = 1 - f.bias;
    bool normal = exponent >= least;
    if (!normal) drop += least - exponent;
    if (drop > 64) return 0; /* below half of the smallest */
    uint64_t kept = drop == 64 ? 0 : m >> drop;
    uint64_t rest = drop == 64 ? m : m & (((uint64_t)1 << drop) - 1), half = (uint64_t)1 << (drop - 1);
    kept += rest > half || (rest == half && (sticky || (kept & 1)));
    /* a normal's leading bit adds 1 to the exponent field; so does a carry */
    return kept + (normal ? (uint64_t)(exponent + f.bias - 1) << f.fraction : 0);
}

static uint64_t round_wide(format f, u128 m, int64_t e, bool sticky) {
    uint64_t above = (uint64_t)(m >> 64);
    int drop = above ? 64 - __builtin_clzll(above) : 0;
    sticky |= (m & (((u128)1 << drop) - 1)) != 0;
    return round_to(f, (uint64_t)(m >> drop), e + drop, sticky);
}

/* ---- decimal ---- */

enum { FAST_DIGITS = 19, FAST_POWER = 27 };

static uint64_t power_of_5(int n) {
    uint64_t power = 1;
    while (n-- > 0) power *= 5;
    return power;
}

static uint64_t to_binary_fast(format f, uint64_t digits, int power) {
    if (power >= 0) return round_wide(f, (u128)digits * power_of_5(power), power, false);
    int zeros = __builtin_clzll(digits);
    u128 top = (u128)(digits << zeros) << 64;
    uint64_t by = power_of_5(-power);
    return round_wide(f, top / by, power - zeros - 64, top % by != 0);
}

enum { WORDS = 200, MOST_DIGITS = 800 };

typedef struct big { /* least word first */
    uint32_t word[WORDS];
    int n;
} big;

static void big_mul_add(big *b, uint32_t by, uint32_t add) {
    uint64_t carry = add;
    for (int i = 0; i < b->n; i++) {
        carry += (uint64_t)b->word[i] * by;
        b->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) b->word[b->n++] = (uint32_t)carry;
}

static bool big_divide(big *b, uint32_t by) {
    uint64_t rest = 0;
    for (int i = b->n; i-- > 0;) {
        rest = rest << 32 | b->word[i];
        b->word[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    while (b->n && b->word[b->n - 1] == 0) b->n--;
    return rest != 0;
}

static void big_shift_words(big *b, int words) {
    memmove(b->word + words, b->word, (size_t)b->n * sizeof *b->word);
    memset(b->word, 0, (size_t)words * sizeof *b->word);
    b->n += words;
}

/* Sizes: 800 digits are 2658 bits; digits * 5^power < 10^310 where power > 0; else at most 800 + 330 divisions by 5
 * (2624 bits), for which the number is first moved up by as much and 64 bits. All of it is below WORDS words. */
static uint64_t to_binary_slow(format f, const char *p, const char *end, int n_digits, int64_t power) {
    big b = {.n = 0};
    bool sticky = false;
    int taken = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') continue; /* the point */
        if (taken == MOST_DIGITS) sticky |= *p != '0';
        else taken++, big_mul_add(&b, 10, (uint32_t)(*p - '0'));
    }
    power += n_digits - taken;
    int64_t exponent = power;
    if (power < 0) {
        int words = (int)((-power * 2322 / 1000 + 66) / 32 + 1);
        big_shift_words(&b, words);
        exponent -= (int64_t)words * 32;
    }
    for (; power > 0; power--) big_mul_add(&b, 5, 0);
    for (; power <= -13; power += 13) sticky |= big_divide(&b, 1220703125);
    for (; power < 0; power++) sticky |= big_divide(&b, 5);
    u128 top = 0;
    int low = b.n > 4 ? b.n - 4 : 0;
    for (int i = b.n; i-- > low;) top = top << 32 | b.word[i];
    for (int i = 0; i < low; i++) sticky |= b.word[i] != 0;
    return round_wide(f, top, exponent + (int64_t)low * 32, sticky);
}

/* ---- scanning ---- */

enum { FAR = 100000 }; /* exponents are as good as infinite here */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Values of hex digits, from 1; 0: none. */
static const uint8_t hex_digit[256] = {
    ['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
    ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

/* "p-3", "e+10" after the digits; where the sign has no digits it is not part of the number. */
static const char *read_exponent(const char *p, const char *end, char letter, int64_t *out) {
    *out = 0;
    if (p == end || (*p | 0x20) != letter) return p;
    const char *q = p + 1;
    bool negative = q < end && *q == '-';
    if (q < end && (*q == '-' || *q == '+')) q++;
    if (q == end || !is_digit(*q)) return p;
    int64_t value = 0;
    for (; q < end && is_digit(*q); q++)
        if (value < FAR) value = value * 10 + (*q - '0');
    *out = negative ? -value : value;
    return q;
}

static const char *read_hex(const char *p, const char *end, format f, uint64_t *bits) {
    uint64_t m = 0;
    int64_t e = 0, power;
    bool sticky = false, point = false, any = false;
    for (; p < end; p++) {
        if (*p == '.' && !point) {
            point = true;
            continue;
        }
        int digit = hex_digit[(unsigned char)*p] - 1;
        if (digit < 0) break;
        any = true;
        if (m >> 60) sticky |= digit != 0, e += 4;
        else m = m << 4 | (uint64_t)digit;
        if (point) e -= 4;
    }
    if (!any) return NULL;
    p = read_exponent(p, end, 'p', &power);
    *bits = round_to(f, m, e + power, sticky);
    return p;
}

static const char *read_decimal(const char *p, const char *end, format f, uint64_t *bits) {
    uint64_t m = 0;
    const char *first = NULL; /* the first digit that is not 0 */
    int n = 0, after = 0;     /* digits from there on; of these, behind the point (and zeros before first) */
    bool point = false, any = false;
    const char *q = p;
    for (; q < end; q++) {
        if (*q == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(*q)) break;
        any = true;
        if (point && after < FAR) after++;
        if (!first && *q == '0') continue;
        if (!first) first = q;
        if (n < FAST_DIGITS) m = m * 10 + (uint64_t)(*q - '0');
        if (n < FAR) n++;
    }
    if (!any) return NULL;
    const char *digits_end = q;
    int64_t power;
    q = read_exponent(q, end, 'e', &power);
    power -= after;
    if (!first || n + power < -330) *bits = 0;
    else if (n + power > 310 || n == FAR) *bits = infinity_of(f);
    else if (n <= FAST_DIGITS && power >= -FAST_POWER && power <= FAST_POWER) *bits = to_binary_fast(f, m, (int)power);
    else *bits = to_binary_slow(f, first, digits_end, n, power);
    return q;
}

static bool starts_with(const char *p, const char *end, const char *word, size_t n) {
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

const char *mil__read_float(const char *p, const char *end, mil_dtype dtype, uint64_t *bits) {
    format f = format_of(dtype);
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end) return NULL;
    if (is_digit(*p) || *p == '.') {
        bool is_hex = *p == '0' && end - p > 2 && (p[1] | 0x20) == 'x';
        p = is_hex ? read_hex(p + 2, end, f, bits) : read_decimal(p, end, f, bits);
    } else if (starts_with(p, end, "infinity", 8) || starts_with(p, end, "inf", 3)) {
        *bits = infinity_of(f);
        p += starts_with(p, end, "infinity", 8) ? 8 : 3;
    } else if (starts_with(p, end, "nan", 3)) {
        *bits = infinity_of(f) | (uint64_t)1 << (f.fraction - 1);
        return p + 3;
    } else {
        return NULL;
    }
    *bits |= sign_of(f, negative);
    return p;
}

const char *mil__read_integer(const char *p, const char *end, bool *negative, uint64_t *magnitude, bool *too_big) {
    *negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if (p == end || !is_digit(*p)) return NULL;
    uint64_t value = 0;
    *too_big = false;
    for (; p < end && is_digit(*p); p++) {
        *too_big |= __builtin_mul_overflow(value, (uint64_t)10, &value);
        *too_big |= __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value);
    }
    *magnitude = value;
    return p;
}

/* ---- writing ---- */

size_t mil__write_unsigned(char *to, uint64_t value) {
    char digits[20];
    size_t n = 0;
    do digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t i = 0; i < n; i++) to[i] = digits[n - 1 - i];
    return n;
}

size_t mil__write_integer(char *to, int64_t value) {
    if (value >= 0) return mil__write_unsigned(to, (uint64_t)value);
    *to = '-';
    return 1 + mil__write_unsigned(to + 1, -(uint64_t)value);
}

static size_t write_word(char *to, bool negative, const char *word) {
    size_t n = strlen(word);
    *to = '-';
    memcpy(to + negative, word, n);
    return n + negative;
}

size_t mil__write_float(char *to, mil_dtype dtype, uint64_t bits) {
    format f = format_of(dtype);
    bool negative = bits >> (f.bits - 1) & 1;
    int field = (int)(bits >> f.fraction & (uint64_t)(2 * f.bias + 1));
    uint64_t fraction = bits & (((uint64_t)1 << f.fraction) - 1);
    if (field == 2 * f.bias + 1) return fraction ? write_word(to, false, "nan") : write_word(to, negative, "inf");
    if (field == 0 && fraction == 0) return write_word(to, negative, "0x0p+0");
    int exponent = field - f.bias;
    fraction <<= 64 - f.fraction; /* its first bit on top */
    if (field == 0) {             /* subnormal: the first 1 becomes the leading bit */
        int zeros = __builtin_clzll(fraction);
        exponent = -f.bias - zeros;
        fraction = zeros == 63 ? 0 : fraction << (zeros + 1);
    }
    char *p = to + write_word(to, negative, "0x1");
    if (fraction) *p++ = '.';
    for (; fraction; fraction <<= 4) *p++ = "0123456789abcdef"[fraction >> 60];
    *p++ = 'p';
    *p++ = exponent < 0 ? '-' : '+';
    p += mil__write_unsigned(p, (uint64_t)(exponent < 0 ? -exponent : exponent));
    return (size_t)(p - to);
}
