/* SPDX-License-Identifier: MIT */
/* What the core may see of buffers and tensors: their layout, and conversion of runs of elements. */
#ifndef MIL__TENSOR_H
#define MIL__TENSOR_H

#include "types/types.h"

#include <stdatomic.h>

struct mil_tensor {
    atomic_int count;
    mil_dtype dtype;
    int rank;
    void *data;                 /* first element; the engine points this at its own memory in tensors it owns */
    int64_t shape[MIL_MAX_RANK];
    int64_t strides[MIL_MAX_RANK]; /* in elements */
    mil_buffer *buffer;         /* retained; NULL: the memory belongs to whoever owns the tensor */
};

/* A string tensor's elements: these, then the bytes they point to, each string ended by a 0 (all in one buffer). */
typedef struct mil__string_ref {
    uint64_t offset, length;    /* of the bytes, counted from this ref itself, so that views need no base; zeros are "" */
} mil__string_ref;

/* Heap memory that is not zeroed. */
mil_status mil__buffer_raw(size_t bytes, mil_buffer **out, mil_error *err);
/* Why the buffer can't be written ("it is mapped from a file, read-only"; static), or NULL when it can. */
const char *mil__buffer_why_not(const mil_buffer *buffer);
/* Memory of a mapped file that was read and won't be again soon need not be held: it is read anew where it is. Nothing
 * happens for other buffers (NULL among them). */
void mil__buffer_give_back(const mil_buffer *buffer, const void *data, size_t bytes);
/* How many hold the buffer. */
int mil__buffer_holds(const mil_buffer *buffer);
/* Access to a tensor's elements by this process: every function that reads or writes those of a tensor that it was given does
 * so between these. On a surface (shared.c) they lock and unlock; elsewhere they are nothing. Nests. what: the operation.
 * Fails: MIL_ESTATE (a device is using it), MIL_EIO. */
mil_status mil__access(const char *what, const mil_tensor *tensor, bool for_writing, mil_error *err);
void mil__access_end(const mil_tensor *tensor);
/* The same of two, the first of which may be for writing; each is ended by itself. */
mil_status mil__access_both(const char *what, const mil_tensor *a, bool for_writing, const mil_tensor *b, mil_error *err);
/* Can there be surfaces in this process? */
bool mil__has_surfaces(void);
/* The IOSurface under a buffer; NULL: there is none. Borrowed. */
struct mil__iosurface_object *mil__buffer_surface(const mil_buffer *buffer);
/* A device has the surface between these, and this process can't lock it. False: it is locked. */
bool mil__device_begin(mil_buffer *buffer);
void mil__device_end(mil_buffer *buffer);
/* As mil_tensor_new, elements not zeroed. */
mil_status mil__tensor_raw(mil_dtype dtype, int rank, const int64_t *shape, mil_tensor **out, mil_error *err);
/* MIL_ESTATE with the reason where the tensor's buffer can't be written, MIL_ETYPE for strings. what: the operation. */
mil_status mil__check_writable(const char *what, const mil_tensor *tensor, mil_error *err);
/* "fp32[2, 3]". Returns buf. */
char *mil__tensor_text(const mil_tensor *tensor, char *buf, size_t n);
#define MIL__TENSOR_TEXT(tensor) mil__tensor_text((tensor), (char[192]){0}, 192)

/* A contiguous tensor over memory of the caller's (no buffer, count 1): never freed by mil_tensor_free while the owner
 * holds its count. */
void mil__tensor_init(mil_tensor *tensor, mil_dtype dtype, int rank, const int64_t *shape, void *data);
/* The same in an arena, with its elements, which are zeros. NULL: out of memory. bytes: mil__dtype_bytes, or of a string
 * tensor's refs and characters. */
mil_tensor *mil__tensor_in(mil__arena *arena, mil_dtype dtype, int rank, const int64_t *shape, size_t bytes);
int64_t mil__numel(const mil_tensor *tensor);
bool mil__is_contiguous(const mil_tensor *tensor);

/* Converts n elements with element strides; exact rules as mil_tensor_copy. Sub-byte dtypes are read and written packed,
 * stride 1 from element `at` 0 only. Returns false when the pair is not supported (strings). */
bool mil__convert(mil_dtype dst_dtype, void *dst, int64_t dst_stride, mil_dtype src_dtype, const void *src,
                  int64_t src_stride, int64_t n);
/* A strided tensor's elements as contiguous doubles, int64s or floats, and back (rounding to nearest even). */
void mil__read_f64(const mil_tensor *src, double *dst);
void mil__read_i64(const mil_tensor *src, int64_t *dst);
void mil__write_f64(mil_tensor *dst, const double *src);
void mil__write_i64(mil_tensor *dst, const int64_t *src);
/* One element at an element offset from the first (offset = sum of index * stride). */
double mil__load_f64(const mil_tensor *tensor, int64_t offset);
int64_t mil__load_i64(const mil_tensor *tensor, int64_t offset);
void mil__store_f64(mil_tensor *tensor, int64_t offset, double value);
void mil__store_i64(mil_tensor *tensor, int64_t offset, int64_t value);

/* Numbers as mil_tensor_uniform draws them, of 0 to 1. */
void mil__random_units(mil_random *random, int64_t n, double *to);

/* Elements of the fp16 and bf16 formats; exact, round to nearest even. */
float mil__half_to_float(uint16_t half);
uint16_t mil__float_to_half(float value);
uint16_t mil__double_to_half(double value);   /* one rounding */
float mil__bf16_to_float(uint16_t value);
uint16_t mil__float_to_bf16(float value);

/* Walks the elements of up to 4 tensors of one shape in C order, calling fn on runs along the last axis:
 * fn(ctx, n, offsets[], strides[]): element offsets of the run's start and its stride, for each tensor. */
#define MIL__WALK_MAX 4
void mil__walk(int rank, const int64_t *shape, int n_tensors, const int64_t *const strides[],
               void (*fn)(void *ctx, int64_t n, const int64_t *offsets, const int64_t *steps), void *ctx);

#endif
