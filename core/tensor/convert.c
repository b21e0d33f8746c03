/* SPDX-License-Identifier: MIT */
/* Runs of elements from one dtype to another.
 *
 * Elements go in blocks through a wide form that holds every value of the source dtype exactly:
 *
 *     F32  fp16, bf16, fp32                       I64  int64
 *     F64  fp64, bool, integers of up to 32 bits  U64  uint64
 *
 *     source --load--> wide form of the source --(widen)--> F64 --store--> destination
 *                               |                                             ^
 *                               +------- without F64, where that is exact ----+
 *
 * so there is a load a dtype and a store a dtype, each a loop over a block that compilers vectorise, and no loop a pair.
 * Every path rounds once. Where F64 cannot hold the 64 bits of an integer, the bits that it has no room for are jammed into
 * the last one that it has (1 if any of them is 1): what rounds such a number to a shorter format rounds the integer.
 * fp16 is where speed matters most and where the processor has instructions of its own: see "fp16" below. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* -O2 of gcc does not vectorise these loops */
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "tensor/half.h"

float mil__half_to_float(uint16_t half) { return mil__half_to_float_inline(half); }
uint16_t mil__float_to_half(float value) { return mil__float_to_half_inline(value); }
uint16_t mil__double_to_half(double value) { return mil__float_to_half_inline(mil__double_to_odd_float(value)); }
float mil__bf16_to_float(uint16_t value) { return mil__bf16_to_float_inline(value); }
uint16_t mil__float_to_bf16(float value) { return mil__float_to_bf16_inline(value); }

/* ---- fp16: the instructions where there are any, else the same bits by integer arithmetic ---- */

static void halves_to_floats(const uint16_t *src, float *dst, size_t n) {
    for (size_t i = 0; i < n; i++) dst[i] = mil__half_to_float_inline(src[i]);
}

static void floats_to_halves(const float *src, uint16_t *dst, size_t n) {
    for (size_t i = 0; i < n; i++) dst[i] = mil__float_to_half_inline(src[i]);
}

#if defined(__x86_64__)
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

__attribute__((target("avx,f16c"))) static void halves_to_floats_fast(const uint16_t *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + i))));
    halves_to_floats(src + i, dst + i, n - i);
}

__attribute__((target("avx,f16c"))) static void floats_to_halves_fast(const float *src, uint16_t *dst, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(dst + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    floats_to_halves(src + i, dst + i, n - i);
}
#elif defined(__aarch64__)
static bool has_f16c(void) { return true; } /* part of the base instruction set */

static void halves_to_floats_fast(const uint16_t *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(dst + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(src + i))));
    halves_to_floats(src + i, dst + i, n - i);
}

static void floats_to_halves_fast(const float *src, uint16_t *dst, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(dst + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(src + i))));
    floats_to_halves(src + i, dst + i, n - i);
}
#else
static bool has_f16c(void) { return false; }
#define halves_to_floats_fast halves_to_floats
#define floats_to_halves_fast floats_to_halves
#endif

/* Asked for at each block: the answer is a load and a branch. Threads that meet here first all write the same. */
static bool is_fast(void) {
    static atomic_int known; /* 0: not yet, 1: no, 2: yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        const char *cap = getenv("MIL_ISA");
        answer = has_f16c() && !(cap && strcmp(cap, "scalar") == 0) ? 2 : 1;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}

static void from_halves(const uint16_t *src, float *dst, size_t n) {
    (is_fast() ? halves_to_floats_fast : halves_to_floats)(src, dst, n);
}

static void to_halves(const float *src, uint16_t *dst, size_t n) {
    (is_fast() ? floats_to_halves_fast : floats_to_halves)(src, dst, n);
}

/* ---- wide forms ---- */

enum { BLOCK = 512 };

typedef union wide {
    float f32[BLOCK];
    double f64[BLOCK];
    int64_t i64[BLOCK];
    uint64_t u64[BLOCK];
    uint8_t bytes[BLOCK * 8];
} wide;

typedef enum form { F32, F64, I64, U64 } form;

static form form_of(mil_dtype dtype) {
    switch (dtype) {
    case MIL_FP16: case MIL_BF16: case MIL_FP32: return F32;
    case MIL_INT64: return I64;
    case MIL_UINT64: return U64;
    default: return F64;
    }
}

/* Gathers n strided elements of `size` bytes into a row. */
static const void *gather(const void *src, int64_t stride, size_t n, size_t size, void *row) {
    if (stride == 1) return src;
#define ROWS(type) for (size_t i = 0; i < n; i++) ((type *)row)[i] = ((const type *)src)[(int64_t)i * stride]
    if (size == 1) ROWS(uint8_t);
    else if (size == 2) ROWS(uint16_t);
    else if (size == 4) ROWS(uint32_t);
    else ROWS(uint64_t);
#undef ROWS
    return row;
}

static void scatter(const void *row, void *dst, int64_t stride, size_t n, size_t size) {
#define ROWS(type) for (size_t i = 0; i < n; i++) ((type *)dst)[(int64_t)i * stride] = ((const type *)row)[i]
    if (size == 1) ROWS(uint8_t);
    else if (size == 2) ROWS(uint16_t);
    else if (size == 4) ROWS(uint32_t);
    else ROWS(uint64_t);
#undef ROWS
}

/* Element i of packed elements; bits are counted from the lowest of the first byte. */
static unsigned packed_get(const uint8_t *src, int64_t i, int bits) {
    uint64_t at = (uint64_t)i * (unsigned)bits;
    unsigned shift = at % 8, two = src[at / 8];
    if (shift + (unsigned)bits > 8) two |= (unsigned)src[at / 8 + 1] << 8;
    return two >> shift & ((1u << bits) - 1);
}

static void packed_set(uint8_t *dst, int64_t i, int bits, unsigned value) {
    uint64_t at = (uint64_t)i * (unsigned)bits;
    unsigned shift = at % 8, mask = ((1u << bits) - 1) << shift, two = value << shift;
    dst[at / 8] = (uint8_t)((dst[at / 8] & ~mask) | (two & mask));
    if (shift + (unsigned)bits > 8) dst[at / 8 + 1] = (uint8_t)((dst[at / 8 + 1] & ~(mask >> 8)) | (two & mask) >> 8);
}

static int packed_value(mil_dtype dtype, unsigned code) {
    return dtype == MIL_INT4 ? (int)(code ^ 8) - 8 : (int)code;
}

static void load_packed(mil_dtype dtype, const uint8_t *src, size_t n, double *out) {
    int bits = mil_dtype_bits(dtype);
    for (size_t i = 0; i < n; i++) out[i] = packed_value(dtype, packed_get(src, (int64_t)i, bits));
}

/* n <= BLOCK elements in a row, as their wide form. Gives where they are, which is src itself where that has the form. */
static const void *load(mil_dtype dtype, const void *src, size_t n, void *out) {
    double *f64 = out;
    float *f32 = out;
#define EACH(type) for (size_t i = 0; i < n; i++) f64[i] = ((const type *)src)[i]; break
    switch (dtype) {
    case MIL_FP32: case MIL_FP64: case MIL_INT64: case MIL_UINT64: return src;
    case MIL_FP16: from_halves(src, f32, n); break;
    case MIL_BF16: for (size_t i = 0; i < n; i++) f32[i] = mil__bf16_to_float_inline(((const uint16_t *)src)[i]); break;
    case MIL_BOOL: for (size_t i = 0; i < n; i++) f64[i] = ((const uint8_t *)src)[i] != 0; break;
    case MIL_INT8: EACH(int8_t);
    case MIL_INT16: EACH(int16_t);
    case MIL_INT32: EACH(int32_t);
    case MIL_UINT8: EACH(uint8_t);
    case MIL_UINT16: EACH(uint16_t);
    case MIL_UINT32: EACH(uint32_t);
    default: load_packed(dtype, src, n, f64);
    }
#undef EACH
    return out;
}

/* ---- to F64 ---- */

/* The bits below the 53 that a double holds, jammed into the last of them; small numbers stay as they are. */
static double jam(uint64_t size) {
    if (size >> 53) size = (size & ~(uint64_t)0x7ff) | (uint64_t)((size & 0x7ff) != 0) << 11;
    return (double)size;
}

static double jam_signed(int64_t value) {
    return value < 0 ? -jam(0 - (uint64_t)value) : jam((uint64_t)value);
}

static void widen(form from, const void *src, size_t n, double *out) {
    if (from == F32) for (size_t i = 0; i < n; i++) out[i] = ((const float *)src)[i];
    else if (from == I64) for (size_t i = 0; i < n; i++) out[i] = jam_signed(((const int64_t *)src)[i]);
    else for (size_t i = 0; i < n; i++) out[i] = jam(((const uint64_t *)src)[i]);
}

/* ---- stores ---- */

/* Toward 0, NaN as 0, beyond the range its end. */
static inline double clamp(double value, double min, double max) {
    double low = value < min ? min : value;
    double both = low > max ? max : low;
    return both == both ? both : 0;
}

static int64_t to_i64(double value) {
    if (value != value) return 0;
    return value < -0x1p63 ? INT64_MIN : value >= 0x1p63 ? INT64_MAX : (int64_t)value;
}

static uint64_t to_u64(double value) {
    return !(value > 0) ? 0 : value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
}

static void store_packed(mil_dtype dtype, const double *src, size_t n, uint8_t *out) {
    const mil__dtype_info *info = mil__dtype(dtype);
    for (size_t i = 0; i < n; i++) {
        int value = (int)clamp(src[i], (double)info->min, (double)info->max);
        packed_set(out, (int64_t)i, info->bits, (unsigned)value & ((1u << info->bits) - 1));
    }
}

/* From F64 to any dtype. floats: room for a block. */
static void store(mil_dtype dtype, const double *src, size_t n, void *out, float *floats) {
#define EACH(type, value) for (size_t i = 0; i < n; i++) ((type *)out)[i] = (value); break
#define CLAMPED(type, wider, min, max) EACH(type, (type)(wider)clamp(src[i], min, max))
    switch (dtype) {
    case MIL_FP16:
        for (size_t i = 0; i < n; i++) floats[i] = mil__double_to_odd_float(src[i]);
        to_halves(floats, out, n);
        break;
    case MIL_BF16: EACH(uint16_t, mil__float_to_bf16_inline(mil__double_to_odd_float(src[i])));
    case MIL_FP32: EACH(float, (float)src[i]);
    case MIL_FP64: memcpy(out, src, n * sizeof *src); break;
    case MIL_BOOL: EACH(uint8_t, src[i] != 0);
    case MIL_INT8: CLAMPED(int8_t, int32_t, INT8_MIN, INT8_MAX);
    case MIL_INT16: CLAMPED(int16_t, int32_t, INT16_MIN, INT16_MAX);
    case MIL_INT32: CLAMPED(int32_t, int32_t, INT32_MIN, INT32_MAX);
    case MIL_UINT8: CLAMPED(uint8_t, int32_t, 0, UINT8_MAX);
    case MIL_UINT16: CLAMPED(uint16_t, int32_t, 0, UINT16_MAX);
    case MIL_UINT32: CLAMPED(uint32_t, int64_t, 0, UINT32_MAX);
    case MIL_INT64: EACH(int64_t, to_i64(src[i]));
    case MIL_UINT64: EACH(uint64_t, to_u64(src[i]));
    default: store_packed(dtype, src, n, out);
    }
#undef CLAMPED
#undef EACH
}

/* The pairs that need not, or must not, go through F64. False for all others. */
static bool store_directly(mil_dtype dtype, form from, const void *src, size_t n, void *out) {
#define EACH(type, from_type, value)                                                                                  \
    for (size_t i = 0; i < n; i++) {                                                                                  \
        from_type v = ((const from_type *)src)[i];                                                                    \
        ((type *)out)[i] = (value);                                                                                   \
    }                                                                                                                 \
    return true
    switch (from << 8 | dtype) {
    case F32 << 8 | MIL_FP16: to_halves(src, out, n); return true;
    case F32 << 8 | MIL_BF16: EACH(uint16_t, float, mil__float_to_bf16_inline(v));
    case F32 << 8 | MIL_FP32: memcpy(out, src, n * sizeof(float)); return true;
    case I64 << 8 | MIL_FP64: EACH(double, int64_t, (double)v);
    case I64 << 8 | MIL_UINT64: EACH(uint64_t, int64_t, v < 0 ? 0 : (uint64_t)v);
    case U64 << 8 | MIL_FP64: EACH(double, uint64_t, (double)v);
    case U64 << 8 | MIL_INT64: EACH(int64_t, uint64_t, v > INT64_MAX ? INT64_MAX : (int64_t)v);
    default: return false;
    }
#undef EACH
}

/* ---- one element, which a switch reaches sooner than a block ---- */

static double get_f64(mil_dtype dtype, const void *p) {
    switch (dtype) {
    case MIL_FP16: return mil__half_to_float_inline(*(const uint16_t *)p);
    case MIL_BF16: return mil__bf16_to_float_inline(*(const uint16_t *)p);
    case MIL_FP32: return *(const float *)p;
    case MIL_FP64: return *(const double *)p;
    case MIL_BOOL: return *(const uint8_t *)p != 0;
    case MIL_INT8: return *(const int8_t *)p;
    case MIL_INT16: return *(const int16_t *)p;
    case MIL_INT32: return *(const int32_t *)p;
    case MIL_INT64: return (double)*(const int64_t *)p;
    case MIL_UINT8: return *(const uint8_t *)p;
    case MIL_UINT16: return *(const uint16_t *)p;
    case MIL_UINT32: return *(const uint32_t *)p;
    case MIL_UINT64: return (double)*(const uint64_t *)p;
    default: return 0;
    }
}

static void put_f64(mil_dtype dtype, void *p, double value) {
    float room;
    if (dtype == MIL_FP16) *(uint16_t *)p = mil__float_to_half_inline(mil__double_to_odd_float(value));
    else store(dtype, &value, 1, p, &room);
}

/* Runs so short that blocks do not pay; not with 64-bit integers, which F64 does not hold, nor from bf16, whose signalling
 * NaNs would become quiet. */
enum { SHORT_RUN = 4 };

static bool is_wide(mil_dtype dtype) { return form_of(dtype) == I64 || form_of(dtype) == U64; }

static void convert_short(mil_dtype dst_dtype, char *dst, int64_t dst_step, mil_dtype src_dtype, const char *src,
                          int64_t src_step, int64_t n) {
    for (; n > 0; n--, dst += dst_step, src += src_step) put_f64(dst_dtype, dst, get_f64(src_dtype, src));
}

/* ---- runs ---- */

static size_t size_of(mil_dtype dtype) {
    int bits = mil_dtype_bits(dtype);
    return bits < 8 ? 0 : (size_t)bits / 8; /* 0: packed */
}

static void copy_run(void *dst, int64_t dst_stride, const void *src, int64_t src_stride, size_t n, size_t size) {
    if (dst_stride == 1 && src_stride == 1) {
        memcpy(dst, src, n * size);
    } else if (dst_stride == 1) {
        gather(src, src_stride, n, size, dst);
    } else if (src_stride == 1) {
        scatter(src, dst, dst_stride, n, size);
    } else {
#define ROWS(type)                                                                                                     \
    for (size_t i = 0; i < n; i++) ((type *)dst)[(int64_t)i * dst_stride] = ((const type *)src)[(int64_t)i * src_stride]
        if (size == 1) ROWS(uint8_t);
        else if (size == 2) ROWS(uint16_t);
        else if (size == 4) ROWS(uint32_t);
        else ROWS(uint64_t);
#undef ROWS
    }
}

bool mil__convert(mil_dtype dst_dtype, void *dst, int64_t dst_stride, mil_dtype src_dtype, const void *src,
                  int64_t src_stride, int64_t n) {
    if (dst_dtype == MIL_STRING || src_dtype == MIL_STRING || !dst_dtype || !src_dtype) return false;
    size_t dst_size = size_of(dst_dtype), src_size = size_of(src_dtype), left = (size_t)n;
    if (dst_dtype == src_dtype && src_size) {
        copy_run(dst, dst_stride, src, src_stride, left, src_size);
        return true;
    }
    if (n <= SHORT_RUN && dst_size && src_size && src_dtype != MIL_BF16 && !is_wide(dst_dtype) && !is_wide(src_dtype)) {
        convert_short(dst_dtype, dst, dst_stride * (int64_t)dst_size, src_dtype, src, src_stride * (int64_t)src_size, n);
        return true;
    }
    form from = form_of(src_dtype);
    wide row, loaded, doubles, stored;
    char *to = dst;
    const char *at = src;
    while (left) {
        size_t count = left < BLOCK ? left : BLOCK;
        const void *in = src_size ? gather(at, src_stride, count, src_size, &row) : at;
        void *out = dst_size && dst_stride != 1 ? (void *)&stored : to;
        bool in_place = from == F32 ? dst_dtype == MIL_FP32 : from == F64 && dst_dtype == MIL_FP64;
        in = load(src_dtype, in, count, in_place ? out : &loaded);
        if (in != out && !store_directly(dst_dtype, from, in, count, out)) {
            if (from != F64) widen(from, in, count, doubles.f64);
            store(dst_dtype, from == F64 ? in : doubles.f64, count, out, row.f32);
        }
        if (out != (void *)to) scatter(out, to, dst_stride, count, dst_size);
        to += dst_size ? (int64_t)(count * dst_size) * dst_stride : (int64_t)count * mil_dtype_bits(dst_dtype) / 8;
        at += src_size ? (int64_t)(count * src_size) * src_stride : (int64_t)count * mil_dtype_bits(src_dtype) / 8;
        left -= count;
    }
    return true;
}

/* ---- elements of tensors ---- */

static int64_t load_code(const mil_tensor *tensor, int64_t offset) {
    return packed_value(tensor->dtype, packed_get(tensor->data, offset, mil_dtype_bits(tensor->dtype)));
}

static bool is_packed(mil_dtype dtype) { return dtype != MIL_STRING && size_of(dtype) == 0; }

static void *address(const mil_tensor *tensor, int64_t offset) {
    return (char *)tensor->data + offset * (int64_t)size_of(tensor->dtype);
}

double mil__load_f64(const mil_tensor *tensor, int64_t offset) {
    if (is_packed(tensor->dtype)) return (double)load_code(tensor, offset);
    return get_f64(tensor->dtype, address(tensor, offset));
}

int64_t mil__load_i64(const mil_tensor *tensor, int64_t offset) {
    if (is_packed(tensor->dtype)) return load_code(tensor, offset);
    if (tensor->dtype == MIL_INT64) return *(const int64_t *)address(tensor, offset);
    if (tensor->dtype != MIL_UINT64) return to_i64(get_f64(tensor->dtype, address(tensor, offset)));
    uint64_t value = *(const uint64_t *)address(tensor, offset);
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static void store_code(mil_tensor *tensor, int64_t offset, double value) {
    const mil__dtype_info *info = mil__dtype(tensor->dtype);
    int code = (int)clamp(value, (double)info->min, (double)info->max);
    packed_set(tensor->data, offset, info->bits, (unsigned)code & ((1u << info->bits) - 1));
}

void mil__store_f64(mil_tensor *tensor, int64_t offset, double value) {
    if (is_packed(tensor->dtype)) store_code(tensor, offset, value);
    else if (tensor->dtype != MIL_STRING) put_f64(tensor->dtype, address(tensor, offset), value);
}

void mil__store_i64(mil_tensor *tensor, int64_t offset, int64_t value) {
    if (is_packed(tensor->dtype)) store_code(tensor, offset, jam_signed(value));
    else if (tensor->dtype != MIL_STRING)
        mil__convert(tensor->dtype, address(tensor, offset), 1, MIL_INT64, &value, 1, 1);
}
