/* SPDX-License-Identifier: MIT */
/* libmil: MIL programs (Core ML's Model Intermediate Language) built, read, compiled and run.
 *
 * This is the one public header, in the order in which one learns it: status, types, buffers and tensors, weights,
 * ops, programs, text, files, engines, models. Whatever is not in it is private.
 *
 * Rules that hold for every function here, unless its comment says otherwise:
 * - A function that can fail returns a mil_status and, where `err` is not NULL, fills *err. Out parameters come last; on
 *   failure they are untouched or NULL, and nothing else has changed.
 * - *owned* results are given back with the function of the same noun (mil_x_new / mil_x_free); freeing NULL is nothing.
 *   *borrowed* results live as long as the object that gave them. *shared* ones are counted: retain and free.
 * - Strings are UTF-8 and end in 0. Strings and arrays passed in are copied or borrowed for the call.
 * - Distinct objects may be used from distinct threads at once. One object is for one thread at a time, except
 *   buffers and tensors (their counts are atomic) and models (see there).
 * - The library never prints, exits, aborts or sets a signal handler.
 */
#ifndef MIL_H
#define MIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MIL_VERSION       "0.1.0"
#define MIL_VERSION_MAJOR 0
#define MIL_VERSION_MINOR 1
#define MIL_VERSION_PATCH 0

/* The version of the library that runs, as MIL_VERSION is that of the header. */
const char *mil_version(void);

/* ---------------------------------------------------------------------------------------------------- status -- */

#define MIL_STATUS_MAP(X)                                                                                             \
    X(OK, "success")                                                                                                  \
    X(ENOMEM, "out of memory")                                                                                        \
    X(EINVAL, "an argument that the function does not take")                                                          \
    X(ENAME, "a name that is not known here")                                                                         \
    X(ETYPE, "a type, shape or dtype that does not fit")                                                              \
    X(EVALUE, "a value out of range")                                                                                 \
    X(ESTATE, "an object that is not in the state for this (unloaded, frozen, closed, stale)")                        \
    X(EPARSE, "text that is not MIL")                                                                                 \
    X(EFORMAT, "a file that is not what its format demands")                                                          \
    X(EIO, "the system refused a file or memory operation")                                                           \
    X(ELIMIT, "a limit was reached")                                                                                  \
    X(EUNSUPPORTED, "legal, but not available here")                                                                  \
    X(ECANCELLED, "cancelled")

typedef enum mil_status {
#define X(name, text) MIL_##name,
    MIL_STATUS_MAP(X)
#undef X
} mil_status;

/* What went wrong. message is one line and complete in itself; the other fields repeat parts of it for programs.
 * Fields that do not apply are 0 or empty. */
typedef struct mil_error {
    mil_status code;
    char message[768];
    char file[256];    /* source of the script, text or weights */
    int line, column;  /* from 1 */
    char op[64];       /* op type, where an operation is to blame */
    char value[128];   /* value, parameter or tensor, where one is to blame */
    char excerpt[320]; /* text only: the line, a newline, and a caret under the column */
} mil_error;

/* The name ("ENOMEM") and the general text of a status; static. */
const char *mil_status_name(mil_status status);
const char *mil_status_text(mil_status status);

/* Called now and then in the course of long work, by the thread that does it: what is being done, and how much of it is, 0
 * to 1. false: the work is to stop, and fails with MIL_ECANCELLED. Changes of a program that is being saved are MIL_ESTATE
 * there; it must not be freed. */
typedef bool mil_progress(void *ctx, const char *stage, double part);

/* The name among n (borrowed) most alike to `name`, for "did you mean"; NULL when none is near. */
const char *mil_nearest(const char *name, const char *const *names, size_t n);

/* Sets the allocator of the whole process: realloc_fn(ctx, pointer or NULL, bytes; 0 frees). To be called before
 * anything else; NULL restores the C library's. Alignment must be that of malloc. */
void mil_set_allocator(void *(*realloc_fn)(void *ctx, void *ptr, size_t bytes), void *ctx);

/* ----------------------------------------------------------------------------------------------------- types -- */

#define MIL_DTYPE_MAP(X)                                                                                              \
    X(BOOL, bool)                                                                                                     \
    X(STRING, string)                                                                                                 \
    X(FP16, fp16)                                                                                                     \
    X(FP32, fp32)                                                                                                     \
    X(FP64, fp64)                                                                                                     \
    X(BF16, bf16)                                                                                                     \
    X(INT4, int4)                                                                                                     \
    X(INT8, int8)                                                                                                     \
    X(INT16, int16)                                                                                                   \
    X(INT32, int32)                                                                                                   \
    X(INT64, int64)                                                                                                   \
    X(UINT1, uint1)                                                                                                   \
    X(UINT2, uint2)                                                                                                   \
    X(UINT3, uint3)                                                                                                   \
    X(UINT4, uint4)                                                                                                   \
    X(UINT6, uint6)                                                                                                   \
    X(UINT8, uint8)                                                                                                   \
    X(UINT16, uint16)                                                                                                 \
    X(UINT32, uint32)                                                                                                 \
    X(UINT64, uint64)

typedef enum mil_dtype {
    MIL_NO_DTYPE,
#define X(name, text) MIL_##name,
    MIL_DTYPE_MAP(X)
#undef X
    MIL_N_DTYPES
} mil_dtype;

const char *mil_dtype_name(mil_dtype dtype);           /* "fp16"; static */
mil_dtype mil_dtype_find(const char *name);            /* MIL_NO_DTYPE when unknown */
int mil_dtype_bits(mil_dtype dtype);                   /* of one element; 0 for strings */

#define MIL_MAX_RANK 8

/* An extent. Below 0 it is symbolic: a handle that the program which made it can spell (mil_program_dim_text). */
typedef int64_t mil_dim;

typedef enum mil_opset { MIL_IOS15 = 15, MIL_IOS16 = 16, MIL_IOS17 = 17, MIL_IOS18 = 18 } mil_opset;

const char *mil_opset_name(mil_opset opset);           /* "ios18"; static */
mil_opset mil_opset_find(const char *name);            /* 0 when unknown; takes "ios15" to "ios18" */

typedef enum mil_type_kind { MIL_TENSOR, MIL_LIST, MIL_TUPLE, MIL_DICT, MIL_STATE } mil_type_kind;

/* A type of MIL; immutable, owned by its program. */
typedef struct mil_type mil_type;

mil_type_kind mil_type_kind_of(const mil_type *type);
mil_dtype mil_type_dtype(const mil_type *type);        /* of a tensor, or of a state's tensor; else MIL_NO_DTYPE */
enum { MIL_UNKNOWN_RANK = -1 };                        /* of what a run alone decides: reshape by a vector of any length */
int mil_type_rank(const mil_type *type);               /* likewise; 0 for a scalar, MIL_UNKNOWN_RANK where that is so */
mil_dim mil_type_dim(const mil_type *type, int axis);  /* axis from 0; below 0: symbolic. Of an unknown rank's: 0 stands for all */

/* ------------------------------------------------------------------------------------------------- buffers -- */

/* Storage; shared (counted). Heap memory is aligned to 64 bytes and starts as zeros. */
typedef struct mil_buffer mil_buffer;

typedef enum mil_buffer_kind { MIL_HEAP, MIL_SHARED, MIL_MAPPED, MIL_BORROWED } mil_buffer_kind;

mil_status mil_buffer_new(size_t bytes, mil_buffer **out, mil_error *err);
/* Memory that other processes see too, and devices: an IOSurface on macOS, handed over by its id; a memfd on Linux, by its file
 * descriptor. Zeros. Its bytes: at least so many (whole pages of 16 KiB of an IOSurface). Any process of the machine that
 * is told the id, or tries it, may import an IOSurface; a memfd only whom its descriptor was given to.
 * Fails: MIL_ENOMEM, MIL_EIO (the system refuses), MIL_EUNSUPPORTED (a system that has neither). */
mil_status mil_buffer_shared(size_t bytes, mil_buffer **out, mil_error *err);
/* The same memory from a descriptor that another process or mil_buffer_fd gave; fd is duplicated. Read-only where it was opened
 * so. bytes: that it must have at least.
 * Fails: MIL_EIO (no memory, or such as could shrink: it has no seal F_SEAL_SHRINK), MIL_EVALUE (it is smaller). */
mil_status mil_buffer_import(int fd, size_t bytes, mil_buffer **out, mil_error *err);
/* The same by the id of an IOSurface. Fails: MIL_EIO (there is none), MIL_EVALUE (it is smaller), MIL_EUNSUPPORTED. */
mil_status mil_buffer_import_id(uint32_t id, size_t bytes, mil_buffer **out, mil_error *err);
/* A whole file, read-only, mapped when it can be. */
mil_status mil_buffer_map(const char *path, mil_buffer **out, mil_error *err);
/* Someone else's memory; release(ctx, data) is called when the last user is gone (NULL: never). */
mil_status mil_buffer_borrow(void *data, size_t bytes, bool writable, void (*release)(void *ctx, void *data), void *ctx,
                             mil_buffer **out, mil_error *err);
mil_buffer *mil_buffer_retain(mil_buffer *buffer);
void mil_buffer_free(mil_buffer *buffer);

mil_buffer_kind mil_buffer_kind_of(const mil_buffer *buffer);
void *mil_buffer_data(const mil_buffer *buffer);
size_t mil_buffer_bytes(const mil_buffer *buffer);
bool mil_buffer_writable(const mil_buffer *buffer);    /* false when mapped read-only, or frozen */
int mil_buffer_fd(const mil_buffer *buffer);           /* of a memfd, borrowed; else -1 */
uint32_t mil_buffer_id(const mil_buffer *buffer);      /* of an IOSurface; else 0 */
/* No write through this library from now on: done when a tensor over it becomes a const. */
void mil_buffer_freeze(mil_buffer *buffer);
/* Memory of an IOSurface is touched by this process between these only, and never while the Neural Engine uses it; elsewhere they
 * do nothing. They nest, and any thread may call them. Functions of this library lock what they read or write for as long as
 * they do; whoever uses mil_buffer_data or mil_tensor_data locks for himself.
 * Fail: MIL_ESTATE (read-only memory; not locked; a run is using it), MIL_EIO. */
mil_status mil_buffer_lock(mil_buffer *buffer, bool for_writing, mil_error *err);
mil_status mil_buffer_unlock(mil_buffer *buffer, mil_error *err);

/* ------------------------------------------------------------------------------------------------- tensors -- */

/* A view: dtype, shape, strides, over a buffer; shared (counted), immutable but for its elements. Strides count
 * elements and may be 0 or negative. Sub-byte dtypes are packed, first element in the lowest bits, contiguous. */
typedef struct mil_tensor mil_tensor;

mil_status mil_tensor_new(mil_dtype dtype, int rank, const int64_t *shape, mil_tensor **out, mil_error *err); /* zeros */
/* A contiguous (strides NULL) or strided view of buffer, which is retained; offset in bytes.
 * Fails: MIL_EVALUE when any element would lie outside of the buffer. */
mil_status mil_tensor_over(mil_buffer *buffer, size_t offset, mil_dtype dtype, int rank, const int64_t *shape,
                           const int64_t *strides, mil_tensor **out, mil_error *err);
/* The strides of a tensor whose rows (along its last axis) begin at whole multiples of row_bytes, as the Neural Engine wants them
 * with 64, and the bytes of all of it, those behind the last row's elements too. row_bytes 0 or 1: contiguous.
 * Fails: MIL_EVALUE (no multiple of an element; too large), MIL_ETYPE (packed dtypes, strings), MIL_EINVAL. */
mil_status mil_padded_strides(mil_dtype dtype, int rank, const int64_t *shape, size_t row_bytes, int64_t *strides, size_t *bytes,
                              mil_error *err);
/* A tensor of zeros with those strides in shared memory of its own. */
mil_status mil_tensor_shared(mil_dtype dtype, int rank, const int64_t *shape, size_t row_bytes, mil_tensor **out, mil_error *err);
/* A copy of n strings, rank 0 (n = 1, rank 0) or 1. */
mil_status mil_tensor_strings(int rank, size_t n, const char *const *strings, const size_t *lengths, mil_tensor **out,
                              mil_error *err);
mil_tensor *mil_tensor_retain(mil_tensor *tensor);
void mil_tensor_free(mil_tensor *tensor);

mil_dtype mil_tensor_dtype(const mil_tensor *tensor);
int mil_tensor_rank(const mil_tensor *tensor);
const int64_t *mil_tensor_shape(const mil_tensor *tensor);    /* borrowed; rank entries */
const int64_t *mil_tensor_strides(const mil_tensor *tensor);  /* borrowed; in elements */
int64_t mil_tensor_numel(const mil_tensor *tensor);
size_t mil_tensor_bytes(const mil_tensor *tensor);            /* of the elements, packed */
void *mil_tensor_data(const mil_tensor *tensor);              /* the first element */
mil_buffer *mil_tensor_buffer(const mil_tensor *tensor);      /* borrowed */
bool mil_tensor_is_contiguous(const mil_tensor *tensor);
/* String i (row-major) of a string tensor; borrowed; length may be NULL. */
const char *mil_tensor_string(const mil_tensor *tensor, int64_t i, size_t *length);

/* Views that share memory. begin and size per axis, step 1 when NULL (may be negative; then begin is the first taken).
 * reshape fails (MIL_ETYPE) when no view can do it. */
mil_status mil_tensor_slice(mil_tensor *tensor, const int64_t *begin, const int64_t *size, const int64_t *step,
                            mil_tensor **out, mil_error *err);
mil_status mil_tensor_transpose(mil_tensor *tensor, const int *perm, mil_tensor **out, mil_error *err);
mil_status mil_tensor_reshape(mil_tensor *tensor, int rank, const int64_t *shape, mil_tensor **out, mil_error *err);

/* Copies elements, converting dtypes (round to nearest even; saturating to integers as Core ML's cast does, NaN to 0);
 * shapes must be equal; dst must be writable. Overlapping memory is MIL_EINVAL. */
mil_status mil_tensor_copy(mil_tensor *dst, const mil_tensor *src, mil_error *err);
/* A fresh contiguous tensor of another dtype (or the same: a copy). */
mil_status mil_tensor_convert(const mil_tensor *tensor, mil_dtype dtype, mil_tensor **out, mil_error *err);

/* One element by its index per axis. As a double, or exactly as int64 (integers and bools). */
mil_status mil_tensor_get(const mil_tensor *tensor, const int64_t *index, double *out, mil_error *err);
mil_status mil_tensor_get_int(const mil_tensor *tensor, const int64_t *index, int64_t *out, mil_error *err);
mil_status mil_tensor_set(mil_tensor *tensor, const int64_t *index, double value, mil_error *err);
mil_status mil_tensor_set_int(mil_tensor *tensor, const int64_t *index, int64_t value, mil_error *err);
mil_status mil_tensor_fill(mil_tensor *tensor, double value, mil_error *err);

/* A seeded generator (xoshiro256**, seeded by splitmix64): uniform in [lo, hi), or normal (Box-Muller). The same seed
 * gives the same numbers on every machine for one library version. */
typedef struct mil_random {
    uint64_t s[4];
    double spare;
    bool has_spare;
} mil_random;
void mil_random_seed(mil_random *random, uint64_t seed);
mil_status mil_tensor_uniform(mil_tensor *tensor, mil_random *random, double lo, double hi, mil_error *err);
mil_status mil_tensor_normal(mil_tensor *tensor, mil_random *random, double mean, double stddev, mil_error *err);

/* What one looks at first; NaNs are counted and left out of the others. */
typedef struct mil_tensor_stats {
    double min, max, mean;
    int64_t n_nan, n_inf;
} mil_tensor_stats;
void mil_tensor_statistics(const mil_tensor *tensor, mil_tensor_stats *out);

/* The element of a that is furthest off b's: |a - b| / max(1, |b|), and infinity where only one of them is NaN, or they are
 * infinite and not equal. All zeros where every element is equal; NaN equals NaN. */
typedef struct mil_tensor_gap {
    double off;
    int64_t at;   /* counted in C order from 0 */
    double a, b;  /* the two elements */
} mil_tensor_gap;
/* Tensors of one shape, whose dtypes may differ. Takes no memory; pages of mapped files that were compared are given back.
 * Fails: MIL_ETYPE (shapes, strings). */
mil_status mil_tensor_compare(const mil_tensor *a, const mil_tensor *b, mil_tensor_gap *out, mil_error *err);

/* How far a is from b, which is what it ought to be. NaN equals NaN, an infinity itself; what else is no number on one side
 * only is infinitely far. */
typedef struct mil_tensor_distance {
    double largest;       /* |a - b| of the element that is furthest off */
    int64_t at;           /* that element, counted in C order from 0 */
    double a, b;          /* the two there */
    double relative;      /* of the whole: the root of sum (a - b)^2 / sum b^2; infinity where b alone is all zeros */
    int64_t n_unequal;    /* elements that are not equal */
} mil_tensor_distance;
/* As mil_tensor_compare; of 64-bit integers what doubles hold is compared. */
mil_status mil_tensor_measure(const mil_tensor *a, const mil_tensor *b, mil_tensor_distance *out, mil_error *err);

/* ------------------------------------------------------------------------------------------------- weights -- */

/* Named tensors of a file, in the file's order; shared (counted). The reader is chosen by the content: safetensors,
 * npy (one tensor, named ""), npz, gguf. Tensors are views of the mapped file where the format and its alignment permit. */
typedef struct mil_weights mil_weights;

mil_status mil_weights_open(const char *path, mil_weights **out, mil_error *err);
mil_weights *mil_weights_retain(mil_weights *weights);
void mil_weights_free(mil_weights *weights);
size_t mil_weights_count(const mil_weights *weights);
const char *mil_weights_name(const mil_weights *weights, size_t i);                     /* borrowed */
/* Shared: to be freed. MIL_ENAME with the nearest name when there is none; MIL_EUNSUPPORTED for a dtype that has no
 * counterpart here (the others of the file stay readable). */
mil_status mil_weights_get(const mil_weights *weights, const char *name, mil_tensor **out, mil_error *err);
/* How the file has a tensor, whether or not it can be had.
 *   type    its dtype; of what gguf has quantised, and of what can't be had, the format's own name: "Q4_K", "F8_E4M3"; borrowed
 *   dtype   that mil_weights_get gives it; MIL_NO_DTYPE: it can't be had
 *   bytes   in the file
 * Fails: MIL_ENAME, with the nearest name. */
typedef struct mil_stored {
    const char *type;
    mil_dtype dtype;
    int rank;
    int64_t shape[MIL_MAX_RANK];
    uint64_t bytes;
} mil_stored;
mil_status mil_weights_stored(const mil_weights *weights, const char *name, mil_stored *out, mil_error *err);
/* A tensor that the file keeps as integers and scales (gguf: Q4_0, Q5_0, Q8_0, Q3_K, Q6_K, IQ4_NL, MXFP4 ..), as
 * constexpr_blockwise_shift_scale (ios18) takes it, without offsets: data int4 or int8 of the tensor's shape; scale of
 * scale_dtype, with the last axis divided by the elements that share one. data * scale in fp32 is what mil_weights_get
 * gives, bit for bit. fp16 scales make an fp16 product.
 *   scale_dtype  MIL_FP32 or MIL_FP16 (MIL_EVALUE where a scale is not exact in it)
 *   data, scale  owned; NULL never, untouched on failure
 * Fails: MIL_EUNSUPPORTED where the tensor is not of such a type (Q4_1, Q4_K .. have least values too); as
 * mil_weights_get. */
mil_status mil_weights_get_quantized(const mil_weights *weights, const char *name, mil_dtype scale_dtype, mil_tensor **data,
                                     mil_tensor **scale, mil_error *err);

/* The file's metadata (safetensors' __metadata__, gguf's key-value pairs), in its order. */
size_t mil_weights_metadata_count(const mil_weights *weights);
const char *mil_weights_metadata_key(const mil_weights *weights, size_t i);             /* borrowed */
/* The text of a key's value; NULL: there is none, or it is no string. Borrowed. */
const char *mil_weights_metadata(const mil_weights *weights, const char *key);
/* A key's value, whatever it is: a number, bool or string (rank 0), or a list of them (rank 1). Shared: to be freed.
 * Fails: MIL_ENAME (no such key), MIL_ENOMEM. */
mil_status mil_weights_metadata_tensor(const mil_weights *weights, const char *key, mil_tensor **out, mil_error *err);

typedef struct mil_named_tensor {
    const char *name;
    const mil_tensor *tensor;
} mil_named_tensor;

/* Writes aside and renames. The format is that of the name's ending: .safetensors, .npz, .npy (one tensor).
 * metadata: pairs of strings ended by NULL, or NULL; for safetensors only. */
mil_status mil_weights_save(const char *path, const mil_named_tensor *tensors, size_t n, const char *const *metadata,
                            mil_error *err);
/* The same of all tensors of a file, each read and expanded when its turn comes: memory holds one of them, whatever there
 * are. Metadata go along to safetensors, as strings, but for lists. The one tensor of an npy gets the file's name.
 * progress   of "weights"; NULL: none
 * Fails: as mil_weights_get and mil_weights_save; MIL_ECANCELLED. */
mil_status mil_weights_convert(const mil_weights *weights, const char *path, mil_progress *progress, void *progress_ctx,
                               mil_error *err);

/* ----------------------------------------------------------------------------------------------------- ops -- */

/* The declaration of an op; static. */
typedef struct mil_op mil_op;

typedef enum mil_param_kind {
    MIL_PARAM_TENSOR,  /* a value known at run time, or a const */
    MIL_PARAM_CONST,   /* must be known when the program is made */
    MIL_PARAM_TUPLE,   /* several values */
    MIL_PARAM_STRING,  /* a const string */
    MIL_PARAM_LIST, MIL_PARAM_STATE,
    MIL_PARAM_ANY      /* any kind of value but a state */
} mil_param_kind;

typedef struct mil_param {
    const char *name, *help;
    mil_param_kind kind;
    uint32_t dtypes;       /* bit 1u << dtype each; 0: any */
    char group;            /* inputs with the same letter share one dtype; 0: none */
    bool required;
    const char *default_text; /* without its type; NULL where there is none; until the next call on this thread */
} mil_param;

size_t mil_op_count(void);
const mil_op *mil_op_at(size_t i);                     /* by name, ascending; NULL beyond the end */
const mil_op *mil_op_find(const char *name);           /* NULL when unknown */
/* The op that PyTorch, NumPy or ONNX call by this name, which is nothing like MIL's ("view" is reshape); NULL: none. */
const mil_op *mil_op_elsewhere(const char *name);
const char *mil_op_also(const mil_op *op);             /* those names, with blanks between; NULL where there are none */
const char *mil_op_nearest(const char *name);          /* the op so called elsewhere, or the most alike name; NULL: none is near */
const char *mil_op_name(const mil_op *op);
const char *mil_op_help(const mil_op *op);
const char *mil_op_family(const mil_op *op);           /* "conv", "elementwise_binary", ... */
mil_opset mil_op_since(const mil_op *op);
/* Parameter i as it is in opset, in the order of the declaration; false beyond the end. */
bool mil_op_param(const mil_op *op, mil_opset opset, size_t i, mil_param *out);
/* The number of results; -1 where it depends on the call (split). */
int mil_op_outputs(const mil_op *op);

/* ------------------------------------------------------------------------------------------------ programs -- */

/* A program: functions, blocks, operations, values. Owned; one thread at a time. */
typedef struct mil_program mil_program;

/* Handles; small numbers, never reused, 0 is none. Valid while their program lives; one of what is gone is MIL_ESTATE. */
typedef uint32_t mil_value;
typedef uint32_t mil_operation;
typedef uint32_t mil_block;

mil_status mil_program_new(mil_opset opset, mil_program **out, mil_error *err);
void mil_program_free(mil_program *program);
mil_opset mil_program_opset(const mil_program *program);
size_t mil_program_bytes(const mil_program *program); /* of memory that it holds, without buffers of consts */

/* Functions. The block is the function's body. Function names are unique. */
mil_status mil_program_function(mil_program *program, const char *name, mil_block *out, mil_error *err);
size_t mil_program_n_functions(const mil_program *program);
mil_block mil_program_function_at(const mil_program *program, size_t i);
mil_block mil_program_function_find(const mil_program *program, const char *name);      /* 0: none */
const char *mil_function_name(const mil_program *program, mil_block function);
/* The function that is meant where none is named: the package's default, else main, or the only one; 0: none of these. */
mil_block mil_program_entry(const mil_program *program);

/* A symbolic dim. name NULL: a fresh unknown. The same name gives the same symbol. max < 0: unbounded. */
typedef struct mil_symbol {
    const char *name;
    int64_t min, max, standard; /* standard: the size meant where one must be chosen; 0: none given */
} mil_symbol;
mil_status mil_program_symbol(mil_program *program, const mil_symbol *symbol, mil_dim *out, mil_error *err);
/* What is known of a dim that is a symbol by itself; false where it is a size or a formula. name is borrowed. */
bool mil_program_symbol_of(const mil_program *program, mil_dim dim, mil_symbol *out);
/* Writes the dim ("128", "S", "2*S + 1"; "?" for a symbol of elsewhere) as snprintf does; returns the length. A text above
 * 511 bytes ends in ".." there. */
int mil_program_dim_text(const mil_program *program, mil_dim dim, char *buf, size_t n);
int mil_program_type_text(const mil_program *program, const mil_type *type, char *buf, size_t n); /* "fp16[1, S, 64]" */

/* An input of a function. dims may be symbolic. state: the input is a state (opset ios18). */
mil_status mil_program_input(mil_program *program, mil_block function, const char *name, mil_dtype dtype, int rank,
                             const mil_dim *shape, bool state, mil_value *out, mil_error *err);
/* The shapes that an input may have, where its dims alone don't say: n of them, each of its rank, one after the other.
 * A run with another is MIL_EVALUE. Said once for an input. Text has no place for them. */
mil_status mil_program_input_shapes(mil_program *program, mil_value input, size_t n, const int64_t *shapes,
                                    mil_error *err);
/* Their number, and the shapes themselves in *shapes (borrowed; NULL: only counted); 0: whatever the dims allow. */
size_t mil_value_shapes(const mil_program *program, mil_value value, const int64_t **shapes);
/* Makes value an output of its function under that name: renames it, or (an input, a const, already an output)
 * adds an identity. *out is the value that is the output. */
mil_status mil_program_output(mil_program *program, mil_block function, const char *name, mil_value value,
                              mil_value *out, mil_error *err);

/* An argument of an operation: one value, a tuple of arguments, or a literal, which becomes a const. */
typedef enum mil_arg_kind {
    MIL_ARG_VALUE,
    MIL_ARG_TUPLE,
    MIL_ARG_TENSOR,   /* a const of just this dtype and shape; retained and frozen */
    MIL_ARG_NUMBERS,  /* doubles, */
    MIL_ARG_INTS,     /*   int64s, */
    MIL_ARG_BOOLS,    /*   or bools, of the dtype that the op wants there: that of its group, else the declared one */
    MIL_ARG_STRING
} mil_arg_kind; /* for a parameter that is a list (classify's classes): a vector of strings, as MIL_ARG_TENSOR, or of integers */

typedef struct mil_arg {
    const char *name; /* of the parameter; ignored inside a tuple */
    mil_arg_kind kind;
    mil_value value;
    mil_tensor *tensor;
    const void *data;         /* double[], int64_t[], bool[] or char[]; row-major */
    size_t n;                 /* elements of data (bytes of a string), or of items */
    int rank;                 /* of a literal; 0: one element */
    const int64_t *shape;     /* of a literal; NULL: rank 1 has n elements */
    const struct mil_arg *items;
} mil_arg;

typedef struct mil_where {
    const char *file; /* NULL: unknown */
    int line;
} mil_where;

/* Adds an operation to the end of a block; or leaves no trace. Checks names, kinds, dtypes and runs type inference.
 * name      of the results; NULL: "<op>_<n>". Several results get "<name>_<i>".
 * block     an open block: a function's body, or a nested block being built
 * outs      n_outs handles are written, at most max_outs
 * Fails: MIL_ENAME (op or parameter unknown), MIL_ETYPE, MIL_EVALUE, MIL_ESTATE (a value of another program or of a
 * closed block), MIL_ENOMEM. */
mil_status mil_program_add(mil_program *program, mil_block block, const mil_op *op, const mil_arg *args, size_t n_args,
                           const char *name, mil_where where, mil_value *outs, size_t max_outs, size_t *n_outs,
                           mil_error *err);
/* Nested blocks, for operations that hold some: cond (two without inputs: where pred is true, and where it is false) and
 * while_loop (two with an input for each loop variable: the first gives one bool, the second the variables' next values). A
 * block is made in the block to which the operation will go, filled with mil_program_add, and given to
 * mil_program_add_nested, which closes it. Values of the blocks around it may be used inside; its own are gone outside.
 * Fails: MIL_ESTATE (a block or value that is closed, stale or of elsewhere), MIL_ENOMEM. */
mil_status mil_program_block(mil_program *program, mil_block outer, mil_block *out, mil_error *err);
/* An input of the type and name of `like`, the loop variable's first value; the name gets an ending. */
mil_status mil_program_block_input(mil_program *program, mil_block block, mil_value like, mil_value *out, mil_error *err);
mil_status mil_program_block_output(mil_program *program, mil_block block, mil_value value, mil_error *err);
/* Takes a block that no operation holds away, with all that is in it. */
void mil_program_block_drop(mil_program *program, mil_block block);
/* As mil_program_add, for an op that holds n_blocks blocks. Where the body of a loop gives a variable another size than it had,
 * its type has a symbol there, and what is in the blocks is inferred again. On failure the blocks are the caller's still: of a
 * loop they are to be dropped. */
mil_status mil_program_add_nested(mil_program *program, mil_block block, const mil_op *op, const mil_arg *args, size_t n_args,
                                  const mil_block *blocks, size_t n_blocks, const char *name, mil_where where, mil_value *outs,
                                  size_t max_outs, size_t *n_outs, mil_error *err);
/* A const: data is retained and frozen. */
mil_status mil_program_const(mil_program *program, mil_block block, mil_tensor *data, const char *name, mil_where where,
                             mil_value *out, mil_error *err);
/* Takes back the last operation of a block (where mil_block_insert was called: the one before that place), with the consts
 * made for it. MIL_ESTATE where there is none, or its result is used or an output. */
mil_status mil_program_undo(mil_program *program, mil_block block, mil_error *err);

/* Looking at it. Borrowed pointers live until the program is changed. */
const mil_type *mil_value_type(const mil_program *program, mil_value value);   /* NULL: stale */
const char *mil_value_name(const mil_program *program, mil_value value);
mil_status mil_value_rename(mil_program *program, mil_value value, const char *name, mil_error *err);
mil_operation mil_value_operation(const mil_program *program, mil_value value); /* 0: an input */
mil_block mil_value_block(const mil_program *program, mil_value value);
mil_tensor *mil_value_data(const mil_program *program, mil_value value);       /* borrowed; NULL unless known */
mil_value mil_value_find(const mil_program *program, mil_block function, const char *name); /* 0: none */

const mil_op *mil_operation_op(const mil_program *program, mil_operation operation); /* NULL: stale */
mil_where mil_operation_where(const mil_program *program, mil_operation operation);
size_t mil_operation_n_outputs(const mil_program *program, mil_operation operation);
mil_value mil_operation_output(const mil_program *program, mil_operation operation, size_t i);
size_t mil_operation_n_args(const mil_program *program, mil_operation operation);
/* The name of argument i, and its values (n of them; a tuple can have any number). */
const char *mil_operation_arg(const mil_program *program, mil_operation operation, size_t i, const mil_value **values,
                              size_t *n);

mil_operation mil_block_first(const mil_program *program, mil_block block);    /* 0: empty */
mil_operation mil_operation_next(const mil_program *program, mil_operation operation);
mil_block mil_operation_block(const mil_program *program, mil_operation operation);
size_t mil_block_n_inputs(const mil_program *program, mil_block block);
mil_value mil_block_input(const mil_program *program, mil_block block, size_t i);
size_t mil_block_n_outputs(const mil_program *program, mil_block block);
mil_value mil_block_output(const mil_program *program, mil_block block, size_t i);

/* Nested blocks, of operations that hold some. */
size_t mil_operation_n_blocks(const mil_program *program, mil_operation operation);
mil_block mil_operation_nested(const mil_program *program, mil_operation operation, size_t i);
mil_operation mil_block_parent(const mil_program *program, mil_block block);   /* that holds it; 0: a function's body */
/* The next in the order of the program: into nested blocks, and out of them again; 0 after the function's last. */
mil_operation mil_operation_after(const mil_program *program, mil_operation operation);
/* The operations that take the value, each once, in the order in which they came to take it: *n of them, borrowed until
 * the program is changed or asked again. (Outputs of blocks are no operations: mil_value_is_output.) The first such
 * question about a program walks all of it, later ones don't. Fails: MIL_ESTATE (stale), MIL_ENOMEM. */
mil_status mil_value_users(mil_program *program, mil_value value, const mil_operation **out, size_t *n, mil_error *err);
bool mil_value_is_output(const mil_program *program, mil_value value);

/* Changing it. What is changed is inferred again at once, with all that depends on it: types and shapes follow, and an
 * operation that would not hold fails the change, which then leaves the program as it was. A change takes time for what
 * depends on it, not for what the program holds. */

/* From now on operations and consts that are added to the block go before the operation `before` of that block; 0: to its end
 * again. When `before` is removed, what follows it takes its place. They may use only what is defined before that place. */
mil_status mil_block_insert(mil_program *program, mil_block block, mil_operation before, mil_error *err);
mil_operation mil_block_insertion(const mil_program *program, mil_block block);
/* Every use of `old` becomes one of `with`: by all operations, and as an output, which keeps its name (`old` gets a fresh
 * one). What `with` itself is computed from keeps using `old`, so x may be replaced by what was made of x. `in`: only the
 * uses by these n operations; NULL: all.
 * Fails: MIL_ESTATE (stale; `with` is not defined before a use), what inference says (MIL_ETYPE, MIL_EVALUE), MIL_ENOMEM. */
mil_status mil_value_replace(mil_program *program, mil_value old, mil_value with, const mil_operation *in, size_t n,
                             mil_error *err);
/* Gives an operation another argument, or takes it away: kind MIL_ARG_VALUE with value 0. A literal becomes a const before
 * the operation; consts that were made for the old argument alone go. Fails: as mil_program_add. */
mil_status mil_operation_set(mil_program *program, mil_operation operation, const mil_arg *arg, mil_error *err);
/* Removes an operation whose results nobody uses, with the consts made for it alone. MIL_ESTATE (the message names users). */
mil_status mil_operation_remove(mil_program *program, mil_operation operation, mil_error *err);
/* Removes every operation that no output needs and that has no effect. Inputs stay. */
mil_status mil_program_prune(mil_program *program, mil_error *err);

/* Other types for inputs of functions, all at once: what they feed is inferred from them. A state stays one. The shapes to
 * choose from that such an input had are forgotten. Fails: as mil_program_input, and as mil_value_replace. */
typedef struct mil_retype {
    mil_value input;
    mil_dtype dtype;
    int rank;
    const mil_dim *shape;
} mil_retype;
mil_status mil_program_retype(mil_program *program, const mil_retype *types, size_t n, mil_error *err);
/* The value is no longer an output; or no longer an input: MIL_ESTATE where it is used. */
mil_status mil_program_remove_output(mil_program *program, mil_value output, mil_error *err);
mil_status mil_program_remove_input(mil_program *program, mil_value input, mil_error *err);
mil_status mil_function_rename(mil_program *program, mil_block function, const char *name, mil_error *err);
/* With all that is in it; a program whose default function it was has none. MIL_ESTATE where it is no function. */
mil_status mil_program_remove_function(mil_program *program, mil_block function, mil_error *err);

/* A part of a function: what computes `outputs` from `inputs`. */
typedef struct mil_part {
    const mil_value *outputs; /* of one function's body; one at least */
    size_t n_outputs;
    const mil_value *inputs;  /* likewise: values that become inputs, with their types */
    size_t n_inputs;
} mil_part;
/* A new program with one function, main, that computes the part. Its inputs are the part's, in this order, and then those
 * of the function's own that are needed still. What is written to a state before it is read for the outputs is of the part.
 * Values keep their names; an output that is an input or a const gets a
 * fresh one. Fails: MIL_ESTATE (no outputs, a stale value, values of several blocks), MIL_EINVAL (an input given twice),
 * MIL_ETYPE (an input that is neither tensor nor state; a state as an output), what inference says, MIL_ENOMEM. */
mil_status mil_program_extract(const mil_program *program, const mil_part *part, mil_program **out, mil_error *err);

/* Checks all that must hold of a whole program (names, scopes, opsets, declared types, outputs). */
mil_status mil_program_verify(const mil_program *program, mil_error *err);

/* One operation as the REPL shows it: "y : fp16[1, 4] = softmax(x = x, axis = -1)"; as snprintf. */
int mil_value_describe(const mil_program *program, mil_value value, char *buf, size_t n);

/* ---------------------------------------------------------------------------------------------------- text -- */

typedef struct mil_text_options {
    const char *name;         /* stands for the file in errors */
    const char *model_path;   /* what @model_path stands for, to read BLOBFILE weights; NULL: they are refused */
    bool unchecked;           /* read without type inference: declared types are taken as they are */
    bool weights_may_lack;    /* a weights file that is not there is no error: its consts have no data */
} mil_text_options;

/* Reads n bytes of MIL text as a new program.
 * Fails: MIL_EPARSE; MIL_ENAME (op, parameter, value, opset); MIL_ETYPE and MIL_EVALUE (inference, literals); MIL_EFORMAT and
 * MIL_EIO (weights); MIL_EUNSUPPORTED; MIL_ELIMIT; MIL_ENOMEM. All but the last have line, column and excerpt, and their
 * message begins with the place. */
mil_status mil_text_parse(const char *text, size_t n, const mil_text_options *options, mil_program **out,
                          mil_error *err);
/* Prints as Apple's compiler does. *out is owned (mil_free), ends in 0; its length in *n (may be NULL). */
mil_status mil_text_print(const mil_program *program, char **out, size_t *n, mil_error *err);

/* A file in memory, by the name that a text has for it: "@model_path/weights/w0.bin". */
typedef struct mil_text_file {
    const char *name;
    const void *data;
    size_t n;                 /* bytes */
} mil_text_file;

/* A program as the Neural Engine's compilers take it: every parameter a const with a name of its own, no operation says more
 * than its name, all names differ, and consts of 10 elements or more are in weights files. Owned whole. */
typedef struct mil_dialect {
    const char *text;
    size_t n;                 /* characters of text, which ends in 0 */
    const mil_text_file *files;
    size_t n_files;
} mil_dialect;
typedef struct mil_dialect_options {
    const char *route;        /* "direct" (NULL): a file for each const, its record at 64. "e5rt": one, "@model_path/weights.bin" */
    bool is_long;             /* program(1.0), ios16 and tensor<int32, []>, as older compilers want it; else program(1.3), ios18, int32 */
    bool is_inline;           /* no files: all consts stand in the text */
} mil_dialect_options;
/* options may be NULL. It reads back as the same program. A line of versions begins it, which also holds a number that stands
 * for what is in the files: programs that differ in their weights alone differ in their text.
 * Fails: MIL_EINVAL (another route), MIL_ETYPE (a value whose size is not fixed, or that is no tensor), MIL_EUNSUPPORTED (nested
 * blocks; an op or parameter that ios16 has not, where is_long), MIL_ESTATE (a const that is not at hand), MIL_ENOMEM. */
mil_status mil_text_dialect(const mil_program *program, const mil_dialect_options *options, mil_dialect **out, mil_error *err);
void mil_dialect_free(mil_dialect *dialect);

/* Writes a file whole: aside, then renamed, so that on failure (MIL_EIO, MIL_ENOMEM) whatever was there is as it was. */
mil_status mil_text_write(const char *path, const char *text, size_t n, mil_error *err);
/* Frees memory that this library gave as plain bytes. */
void mil_free(void *ptr);

/* ------------------------------------------------------------------------------------------------ files -- */

typedef struct mil_load_options {
    mil_progress *progress;   /* of "read"; NULL: none */
    void *progress_ctx;
} mil_load_options;

/* The program of a file or directory, by the ending of its name:
 *   .mlpackage  a Core ML package        .mlmodel  the model's file of one, by itself
 *   .mlmodelc   a compiled bundle: its model.mil, with the weights beside it
 *   .mil        MIL text; @model_path is its folder
 * Weights are mapped and not copied. Where a weights file is not there, its consts have no data (mil_value_data is NULL):
 * the program can be looked at, printed and verified, and compiling it says which file is missing. Of packages, inputs are
 * in the order of the model's description, which also gives ranges and enumerated shapes; opsets CoreML5 to 8 are ios15 to
 * 18; all that a program does not show (metadata, descriptions, fields that are not known here) is kept for saving.
 * options   NULL: the defaults
 * out       the program, owned
 * Fails: MIL_EUNSUPPORTED (another ending; a model that is no ML Program, by its kind, or of a specification version that is
 * not 6 to 10; what is not supported), MIL_EIO,
 * MIL_EFORMAT, MIL_ENAME, MIL_ETYPE, MIL_EVALUE, MIL_EPARSE (text), MIL_ELIMIT, MIL_ENOMEM. The message says path, function
 * and value; of text, line and column.   Threads: any. */
mil_status mil_program_load(const char *path, const mil_load_options *options, mil_program **out, mil_error *err);

/* The version of Core ML's specification (6 and up) that a package of the program has: the least that has all that it asks
 * for, but that of the package that it was read from where this is higher. */
int mil_program_specification(const mil_program *program);

/* What a model says of itself: pairs of strings. The keys author, license, version and description are Core ML's own
 * fields; all others are what users add. Pair i, in no order (NULL beyond the end; value may be NULL); one by its key (NULL:
 * none). Borrowed until the metadata is changed. */
size_t mil_program_n_metadata(const mil_program *program);
const char *mil_program_metadata_at(const mil_program *program, size_t i, const char **value);
const char *mil_program_metadata(const mil_program *program, const char *key);
/* Adds or changes a pair; value NULL: removes it. Fails: MIL_ENAME (an empty key), MIL_EVALUE (not UTF-8), MIL_ENOMEM. */
mil_status mil_program_set_metadata(mil_program *program, const char *key, const char *value, mil_error *err);

/* What the model's description says of an input, state or output of a function, beside its type. */
typedef struct mil_feature {
    const char *kind;         /* array, image, dictionary, int64, double, string, state; "": nothing is said. Static */
    const char *color;        /* of an image: gray, gray fp16, rgb, bgr; else "". Static */
    int64_t width, height;    /* of an image; else 0 */
    bool is_optional;
    double standard;          /* what each element of an optional input is where a run leaves it out; 0 unless it is said */
    char *description;        /* its author's words, UTF-8, owned (mil_free); NULL: none */
} mil_feature;
/* Fails: MIL_ENOMEM. */
mil_status mil_value_feature(const mil_program *program, mil_value value, mil_feature *out, mil_error *err);

typedef struct mil_save_options {
    mil_progress *progress;   /* of "program", then "weights", "files" (whose part is not known: 0); NULL: none */
    void *progress_ctx;
    bool alone;               /* without what belongs to the package that it was read from but is not the program's: other files,
                                 a function's blocks for other opsets (which is an error else) */
} mil_save_options;

/* Writes the program, by the name's ending:
 *   .mlpackage   a package, as coremltools and Xcode open it; consts of 10 elements or more are in its weights file
 *   .mlmodelc    a compiled bundle: model.mil, weights, and what the engines read of the rest
 *   .mil         text, with consts of more than 64 elements in weights/NAME.bin beside it
 * Weights are written in pieces, whatever their size. All is written aside and then renamed: a save that fails leaves what
 * was there as it was. Only a package or bundle (or an empty folder) is replaced by one. options may be NULL.
 * Where a program was read from a package, the other files of that and the items of its manifest are in the new package too;
 * and likewise from bundle to bundle. They are looked for when it is saved. A link in them stays a link.
 * Fails: MIL_EUNSUPPORTED (another ending; what a package can't say, with what to do about it), MIL_EVALUE (an input without
 * an upper limit), MIL_ESTATE (no function or output; weights that are not at hand), MIL_EIO (also: the package that the
 * program came from had other files and is gone), MIL_ELIMIT (folders nested in it too deeply), MIL_ENOMEM; packages and
 * bundles also as mil_program_verify. The message says path, function and value. */
mil_status mil_program_save(const mil_program *program, const char *path, const mil_save_options *options, mil_error *err);

/* ------------------------------------------------------------------------------------------------ lowering -- */

/* A program made anew of what an engine is known to take, for one of its functions. */
typedef struct mil_lower_options {
    const char *engine;       /* NULL: "ane", the only one that needs it */
    const char *route;        /* of it: "direct" (NULL), "e5rt" */
    const char *chip;         /* "m1" to "m5" and later, whatever follows ("M1 Pro"); NULL: any of them */
    const char *entry;        /* function; NULL: mil_program_entry */
    bool fp32_ports;          /* inputs and outputs are fp32, cast inside; else fp16 */
    bool pack;                /* one input that holds all */
    bool conv;                /* the first output comes through a 1x1 convolution by ones: for where a program that only works element by
                                 element is refused */
    bool dense_weights;       /* compressed weights become fp16 consts, those too that the engine is known to take as they are */
} mil_lower_options;

/* How an input or output of the program lies in one of the lowered program's ports, which has four axes (by e5rt, up to eight): its
 * element (i0, i1, ..) is the port's element at begin[a] + the sum of ik * step[k] over the axes k whose axis[k] is a. */
typedef struct mil_lowered_view {
    const char *name;         /* of the input or output, */
    mil_dtype dtype;          /*   its own dtype, */
    size_t port;              /* number of the lowered program's input or output */
    int rank;                 /* of the input or output */
    int64_t shape[MIL_MAX_RANK]; /* likewise */
    int axis[MIL_MAX_RANK];
    int64_t step[MIL_MAX_RANK];
    int64_t begin[MIL_MAX_RANK];
    bool is_state;            /* an input that is what a state holds, or that of after a run */
} mil_lowered_view;

/* A state that the function writes: what it holds goes in by an input, and comes out by a port that has just its layout. */
typedef struct mil_lowered_state {
    size_t input;             /* its place among the inputs */
    mil_lowered_view after;   /* what it holds after a run, of an output of the lowered program */
} mil_lowered_state;

/* Owned whole. */
typedef struct mil_lowered {
    mil_program *program;     /* one function, main; any engine can run it. Who sets this to NULL owns it instead */
    const mil_lowered_view *inputs, *outputs; /* in the program's order; what a state holds is an input */
    size_t n_inputs, n_outputs;
    const mil_lowered_state *states; /* those that the function writes, in the order of the inputs */
    size_t n_states;
} mil_lowered;

/* Lowers a function of fixed sizes. Inside all floats are fp16; ports have names that ascend in their order. Inputs and outputs are
 * floats, bools or integers of 8 bits; a port has all of them as floats, and likewise states, whose ports of outputs come behind
 * those of the outputs. Results are those of the program, as far as fp16 goes. options may be NULL.
 * Fails: MIL_EINVAL (options), MIL_ENAME (no such function), MIL_ETYPE (a size that is not fixed), MIL_EUNSUPPORTED (lists, control
 * flow; inputs, outputs and states of other dtypes; an output that is a const, or a state that is written one), MIL_ESTATE (weights that are not at hand), what
 * inference says, MIL_ENOMEM. Threads: any. */
mil_status mil_program_lower(const mil_program *program, const mil_lower_options *options, mil_lowered **out, mil_error *err);
void mil_lowered_free(mil_lowered *lowered);
/* The input or output as a view of a port's tensor, of whatever strides: what is written to one is in the other. */
mil_status mil_lowered_tensor(const mil_lowered_view *view, mil_tensor *port, mil_tensor **out, mil_error *err);

/* ----------------------------------------------------------------------------------------------- checking -- */

/* Would an engine take a program? Said on every machine, from rows of data: what others found out about the engine, each with
 * its source. Today there are rows for "ane", the Neural Engine. */
typedef enum mil_severity {
    MIL_REMARK,               /* what one report says and several others contradict; what the engine sees to; what values alone decide */
    MIL_NOTE,                 /* it runs, but slowly, or on some chips with a doubt */
    MIL_WARNING,              /* sources disagree, or it fails on some chips */
    MIL_ERROR                 /* whoever tried it says that it is refused, or computes something else */
} mil_severity;
const char *mil_severity_name(mil_severity severity); /* "error"; static */

/* A rule of an engine, as documents and tools show it. All is static; text that there is none of is NULL. */
typedef struct mil_rule {
    const char *id;           /* "conv_bias" */
    const char *place;        /* operation, input, output, function */
    const char *ops;          /* that it is about, with blanks between; NULL: all, or none */
    mil_severity severity;
    bool is_certain;          /* it holds for every call of its ops: of an error, the op is refused */
    const char *routes;       /* "direct", "e5rt", "direct e5rt" */
    const char *chips;        /* "M1 M2"; NULL: all */
    int since_system;         /* the macOS from which on it was seen; 0: any */
    const char *message;      /* what is wrong */
    const char *fails;        /* who says that it fails, and where that was seen */
    const char *runs;         /* who says that it runs */
    const char *advice;       /* what to write instead */
    const char *source;       /* where the facts are */
    bool is_lowered;          /* mil_program_lower writes what it speaks against otherwise: a lowered program doesn't come to it */
    const char *kept;         /* why lowering leaves it; NULL */
} mil_rule;
/* Rule i of an engine; false beyond the end, and for engines that have none. */
bool mil_rule_at(const char *engine, size_t i, mil_rule *out);
/* Who has seen an op run on the engine by a route, as text; NULL: nobody is known to. Static. */
const char *mil_op_ran(const mil_op *op, const char *engine, const char *route);

typedef struct mil_check_options {
    const char *engine;       /* NULL: "ane" */
    const char *route;        /* "direct" or "e5rt"; NULL: direct */
    const char *chip;         /* "m1" to "m5" and later, whatever follows ("M1 Pro"); NULL: any of them */
    const char *system;       /* macOS, "26.5"; NULL: any */
    const char *entry;        /* the function; NULL: all */
    bool strict;              /* warnings are errors */
    bool all;                 /* remarks too */
} mil_check_options;

/* Something that a rule found. Strings live as long as the report. */
typedef struct mil_finding {
    mil_severity severity;    /* one less than the rule's where it holds for some of the chips or systems asked about only */
    const char *rule;         /* its id */
    const char *message;      /* one line: "conv: a kernel wider than 15 is refused: weight fp16[8, 8, 1, 17]" */
    const char *fails, *runs, *advice, *source; /* the rule's; NULL where it has none */
    const char *function;     /* its name */
    const char *op;           /* NULL: no operation is to blame */
    const char *value;        /* its first result, or the input or output; NULL */
    mil_operation operation;  /* 0: none */
    mil_where where;          /* of the script or text */
} mil_finding;

/* What was found, in the order of the program; owned. */
typedef struct mil_report mil_report;

/* Checks the program as it stands; takes time for what it holds. options may be NULL.
 * Fails: MIL_ENAME (an engine without rules, a route, a function), MIL_EVALUE (a chip, a system), MIL_ENOMEM. */
mil_status mil_program_check(const mil_program *program, const mil_check_options *options, mil_report **out, mil_error *err);
void mil_report_free(mil_report *report);
size_t mil_report_count(const mil_report *report);
size_t mil_report_n(const mil_report *report, mil_severity severity); /* of that severity */
const mil_finding *mil_report_at(const mil_report *report, size_t i); /* NULL beyond the end */

/* ----------------------------------------------------------------------------------------- engines, models -- */

size_t mil_engine_count(void);
const char *mil_engine_name(size_t i);
/* Can it be used here? If not, *reason (may be NULL) is a static line that says what is missing. */
bool mil_engine_available(const char *name, const char **reason);
/* A line about it: "cpu (avx512, 2 threads)"; as snprintf. */
int mil_engine_describe(const char *name, char *buf, size_t n);

/* Removes what engines keep for processes to come, in MIL_CACHE or the user's folder for such things (~/Library/Caches/luamil on a Mac):
 * programs that Core ML compiled, what was found out about a Neural Engine. It is made again when it is wanted; no model of engine
 * coreml may be in use. Fails: MIL_EIO (something can't be removed), MIL_ENOMEM. */
mil_status mil_cache_clear(mil_error *err);

/* What stands between this process and the Neural Engine, one level at a time: reports are made of it (luamil probe), nothing else needs it. */
typedef enum mil_probe_level {
    MIL_PROBE_DRIVER = 1, /* is the driver's service in the registry, and what does it say of the device? */
    MIL_PROBE_OPEN,       /* does it open for this process? As a rule not */
    MIL_PROBE_SELECTORS,  /* which of its methods answer, where it opened */
    MIL_PROBE_SURFACES,   /* can memory for ports be made, written and read? */
    MIL_PROBE_FRAMEWORKS, /* which libraries, functions, classes and methods are missing, by name? */
    MIL_PROBE_DAEMON      /* is the daemon's port to be had? */
} mil_probe_level;
typedef struct mil_probe_step {
    bool ok;
    const char *tried, *found;
    double seconds;
} mil_probe_step;
typedef struct mil_probe {
    bool passed;
    size_t n;
    mil_probe_step *steps; /* in the order in which they were tried */
} mil_probe;
/* Tries one level; what can't be had is a step, not an error. *out is owned (mil_probe_free).
 * Fails: MIL_EINVAL (no such level), MIL_ENOMEM. */
mil_status mil_probe_run(mil_probe_level level, mil_probe **out, mil_error *err);
void mil_probe_free(mil_probe *probe);

typedef enum mil_precision {
    MIL_PRECISION_DEFAULT, /* fused values may stay in fp32 */
    MIL_PRECISION_STRICT   /* round to the stored dtype at every op */
} mil_precision;

typedef struct mil_compile_options {
    const char *engine;       /* NULL: the best there is: ane, where it can be used, takes the program, and the program's floats are fp16
                                 (and precision, memory_limit, max_turns ask for nothing); else cpu; what that refuses, coreml */
    const char *entry;        /* function; NULL: mil_program_entry */
    int optimize;             /* 0: no passes and no fusion; 1: all. Use MIL_COMPILE_DEFAULTS */
    int threads;              /* 1: no synchronisation at all; 0: as many as processors */
    mil_precision precision;
    const char *disable;      /* names of passes to leave out, separated by commas; NULL: none */
    size_t memory_limit;      /* bytes that runs may use beside weights; 0: none */
    int64_t max_turns;        /* of a while_loop in a run: one that would make more fails with MIL_ELIMIT; 0: any number */
    mil_progress *progress;   /* of "compile"; NULL: none */
    void *progress_ctx;
    const char *units;        /* engine coreml: where it may run things: "all" (NULL), "cpu", "cpu_and_gpu", "cpu_and_ane" */
    const char *route;        /* engine ane: "direct", "e5rt"; NULL: the first that can be had and takes the program */
    unsigned qos;             /* engine ane: quality of service: 9 background, 17 utility, 25 user initiated, 33 user interactive; 0: 21 */
    bool fallback;            /* what the engine does not take runs on the cpu: mil_model_describe says where the program was cut, and
                                 why; all of it does where the engine can't be used here. false: that is an error */
    bool verify;              /* the first run is computed by the cpu engine too, and compared: MIL_EVALUE, with output and element, where
                                 they differ; so is the next, until one agrees. Until then the program is there twice */
    bool counters;            /* engine ane, route direct: ask the engine's own clock; mil_model_describe tells what the last run took */
} mil_compile_options;
/* In the order of the fields, since C++ before 20 knows no names here. */
#define MIL_COMPILE_DEFAULTS { NULL, NULL, 1, 1, MIL_PRECISION_DEFAULT, NULL, 0, 0, NULL, NULL, NULL, NULL, 0, false, false, false }

/* A compiled program; shared (counted). It keeps what it needs of the program, which may be changed or freed.
 * Any number of threads may run one model at once, each with its own context. */
typedef struct mil_model mil_model;
typedef struct mil_context mil_context;

mil_status mil_program_compile(const mil_program *program, const mil_compile_options *options, mil_model **out,
                               mil_error *err);
/* Hands n bytes of MIL text and its weights files to an engine that takes text (ane), untouched: for those who write its dialect by hand.
 * The model is of one function of it (entry). All is borrowed for the call. Of the text only functions' inputs and outputs are read here.
 * Fails: as mil_text_parse and mil_program_compile do; MIL_EUNSUPPORTED (the engine takes no text). */
mil_status mil_text_compile(const char *text, size_t n, const mil_text_file *files, size_t n_files, const mil_compile_options *options,
                            mil_model **out, mil_error *err);
mil_model *mil_model_retain(mil_model *model);
void mil_model_free(mil_model *model);
/* Gives back weights and plans at once; later runs are MIL_ESTATE. Runs under way finish first. */
void mil_model_unload(mil_model *model);

typedef struct mil_port {
    const char *name;
    mil_dtype dtype;
    int rank;             /* MIL_UNKNOWN_RANK: of an output, any */
    const int64_t *shape; /* -1 where the extent is not fixed */
    const mil_tensor *keys; /* of a classifier's dictionary: its labels (strings or int64, rank 1), whose probabilities are the
                               output's elements in this order; else NULL */
    bool is_label;        /* of a classifier: the likeliest label, a string or int64 of rank 0, which is the model's own: it
                             can't be set as an output */
    bool is_optional;     /* an input that a run may leave out (NULL): the default of its package's description fills it */
} mil_port;
size_t mil_model_n_inputs(const mil_model *model);
size_t mil_model_n_outputs(const mil_model *model);
const mil_port *mil_model_input(const mil_model *model, size_t i);   /* borrowed */
const mil_port *mil_model_output(const mil_model *model, size_t i);

/* A state: the memory that a model keeps between runs (the state inputs of its function), one tensor each, zeros at first.
 * Shared (counted); it retains its model. Other models run on it too where it has all that they keep, by name, dtype and shape:
 * a prompt's and the next token's. One run uses it at a time: another meanwhile is MIL_ESTATE. A run that fails may leave it
 * partly written. */
typedef struct mil_state mil_state;
size_t mil_model_n_states(const mil_model *model);
const mil_port *mil_model_state(const mil_model *model, size_t i);    /* borrowed */
mil_status mil_state_new(mil_model *model, mil_state **out, mil_error *err);
/* Another with the same elements. Fails: MIL_ESTATE (a run is using it), MIL_ENOMEM. */
mil_status mil_state_copy(mil_state *state, mil_state **out, mil_error *err);
mil_state *mil_state_retain(mil_state *state);
void mil_state_free(mil_state *state);
/* What port i holds: may be read and written between runs. Borrowed; NULL beyond the end. On engine ane it is shared memory (mil_buffer_lock),
 * with strides, and mil_tensor_data may be another after a run, unless the tensor was retained or a view of it made. */
mil_tensor *mil_state_tensor(const mil_state *state, size_t i);

/* One run: inputs in the order of the ports, NULL for optional ones that are left out. outputs: for each, a tensor to be written (its shape must be the result's),
 * or NULL, which is replaced by a fresh tensor, owned. */
mil_status mil_model_run(mil_model *model, mil_tensor *const *inputs, mil_tensor **outputs, mil_error *err);
/* The same on a state, which a model with states needs: else MIL_EINVAL. */
mil_status mil_model_run_state(mil_model *model, mil_tensor *const *inputs, mil_tensor **outputs, mil_state *state,
                               mil_error *err);
/* n runs in one call: inputs and outputs of the first, then those of the second .., each as mil_model_run has them. Engine coreml
 * gives them to Core ML as a batch, which keeps a device busier; the others run them one after the other. Either all are done, or
 * none is: on failure NULL entries of outputs are NULL, and tensors that were given may be partly written.
 * Fails: as mil_model_run, and says in which ("run 2 of 8: .."); MIL_EINVAL (a model with states: a run of it goes on from another). */
mil_status mil_model_run_batch(mil_model *model, size_t n, mil_tensor *const *inputs, mil_tensor **outputs, mil_error *err);
/* Asks runs under way (of all contexts, and those that were started) to stop with MIL_ECANCELLED; safe in a signal handler and
 * from any thread. */
void mil_cancel(mil_model *model);

/* A run on a thread of the library's, while the caller goes on. Owned. Any number may be under way: as many run at once as there
 * are processors (2 at least), the others wait, the oldest first; those on one state go one after the other, in this order.
 * The threads are made when they are wanted, and joined when the last model that started a run is freed. */
typedef struct mil_run mil_run;
/* Called once for every started run that has ended, by a thread of the library's; the run's result is there. By mil_run_free, on
 * its thread, where the run had not begun. It must not free the run or wait for it. */
typedef void mil_run_callback(void *ctx, mil_run *run);
/* Starts one.
 * inputs    as mil_model_run's; retained until the run is freed. Nobody may write them before it has ended
 * outputs   tensors to be written, likewise; NULL entries, or NULL: they are made
 * state     NULL: none
 * callback  NULL: none
 * out       the run; it retains the model
 * Fails: as mil_model_run does by what it is given (shapes, a state that is missing, an unloaded model), MIL_ELIMIT (no thread),
 * MIL_ENOMEM. What goes wrong in the run is its result's. A model that is unloaded while it has runs finishes them first. */
mil_status mil_model_start(mil_model *model, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_state *state,
                           mil_run_callback *callback, void *ctx, mil_run **out, mil_error *err);
/* Has it ended, and its callback returned? In a process that was forked while it was under way: yes, and its result is MIL_ESTATE. */
bool mil_run_is_done(mil_run *run);
/* Waits for that, at most so many seconds; false: the time was over first. INFINITY (1e8 and above): as long as it takes. */
bool mil_run_wait(mil_run *run, double seconds);
/* Waits for the run's end, and gives its status with the error's text, or its outputs: each shared with the run, owned. May be
 * asked again, and by the callback. */
mil_status mil_run_result(mil_run *run, mil_tensor **outputs, mil_error *err);
/* Asks it to stop; any thread. It ends with MIL_ECANCELLED, unless it is over first. */
void mil_run_cancel(mil_run *run);
/* A run that has not ended is asked to stop, and waited for. */
void mil_run_free(mil_run *run);

/* A context: the memory of one run at a time. Owned. Inputs and outputs may be set once and the run repeated:
 * then nothing is allocated, looked up or (threads = 1) locked. */
mil_status mil_context_new(mil_model *model, mil_context **out, mil_error *err);
void mil_context_free(mil_context *context);
mil_status mil_context_set_input(mil_context *context, size_t i, mil_tensor *tensor, mil_error *err);
mil_status mil_context_set_output(mil_context *context, size_t i, mil_tensor *tensor, mil_error *err);
/* The state of the runs that follow; retained. NULL: none. Fails: MIL_EINVAL (another model's that lacks one of this model's). */
mil_status mil_context_set_state(mil_context *context, mil_state *state, mil_error *err);
mil_status mil_context_run(mil_context *context, mil_error *err);
/* The output of the last run, shared with the context until the next run; NULL before the first, and after one that failed. Borrowed. */
mil_tensor *mil_context_output(const mil_context *context, size_t i);

/* A tensor for each input and output in shared memory (mil_buffer_shared), zeros, laid out as runs on this model like them best: set
 * in a context, engine ane hands their memory to the Neural Engine as it is, with no copy, for as long as they are set. Strides are
 * what they are; where inputs go to the engine as one, they lie in one buffer. Owned; NULL where a size is not fixed, and for labels.
 * Fails: as mil_buffer_shared; MIL_ESTATE (unloaded). */
mil_status mil_model_shared(mil_model *model, mil_tensor **inputs, mil_tensor **outputs, mil_error *err);

/* The plan as text, a line a step: for people. *out is owned (mil_free). */
mil_status mil_model_describe(const mil_model *model, char **out, mil_error *err);
/* Of step i of the plan (where sizes vary: of the one that was taken last): its kernel's name, then the operations that the step
 * stands for, by the names of their first results, in the order in which they are computed; each with its NUL, *n bytes in all.
 * Names are those of the program, where passes left the operation what it was. *out is owned (mil_free); NULL beyond the last
 * step, where no plan was made yet, and where the engine tells of none. Fails: MIL_ESTATE (unloaded), MIL_ENOMEM. */
mil_status mil_model_step(const mil_model *model, size_t i, char **out, size_t *n, mil_error *err);
/* Bytes held by the model: packed weights, and the largest context of the plans at hand. */
typedef struct mil_model_memory {
    size_t weights, context;
} mil_model_memory;
void mil_model_memory_use(const mil_model *model, mil_model_memory *out);

#ifdef __cplusplus
}
#endif
#endif
