/* SPDX-License-Identifier: MIT */
/* dtypes, symbolic dims and the types of values. Types and dims are made by a mil__types, which a program owns; equal
 * types of one owner are one pointer, equal dims one number, so comparing is ==. */
#ifndef MIL__TYPES_H
#define MIL__TYPES_H

#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"

/* ---- dtypes (dtype.def) ---- */

typedef struct mil__dtype_info {
    const char *name;   /* MIL's */
    int bits;           /* 0: string */
    char class;         /* 'f' float, 'i' signed, 'u' unsigned, 'b' bool, 's' string */
    int proto;          /* number in MIL.proto's DataType; 0: none */
    const char *npy;    /* descr of npy, NULL: none */
    const char *safetensors; /* NULL: none */
    int64_t min, max;   /* of integers (uint64's max is INT64_MAX here) */
} mil__dtype_info;

const mil__dtype_info *mil__dtype(mil_dtype dtype); /* static */
static inline bool mil__dtype_is_float(mil_dtype d) { return d == MIL_FP16 || d == MIL_FP32 || d == MIL_FP64 || d == MIL_BF16; }
bool mil__dtype_is_int(mil_dtype dtype);            /* signed or unsigned, not bool */
/* Bytes of n elements, packed where sub-byte; false on overflow. */
bool mil__dtype_bytes(mil_dtype dtype, int64_t n, size_t *out);

/* ---- types ---- */

typedef struct mil__types mil__types;

struct mil_type {
    mil_type_kind kind;
    mil_dtype dtype;                  /* tensor */
    int rank;                         /* tensor */
    const mil_dim *shape;             /* tensor: rank dims */
    bool is_unranked;                 /* tensor of unknown rank: rank is 1, and the one dim is a symbol for all of them (mil__dim_variadic) */
    int n_items;                      /* list and state: 1; dict: 2 (key, value); tuple: any */
    const mil_type *const *items;
    mil_dim length;                   /* list: number of elements, symbolic when unknown */
};

mil__types *mil__types_new(void);     /* NULL: out of memory */
void mil__types_free(mil__types *types);

/* These return NULL when out of memory, or when types->status says that something before failed. */
const mil_type *mil__tensor_type(mil__types *types, mil_dtype dtype, int rank, const mil_dim *shape);
const mil_type *mil__scalar_type(mil__types *types, mil_dtype dtype);
const mil_type *mil__list_type(mil__types *types, const mil_type *element, mil_dim length);
/* A list whose length changes in a run: a symbol of its own, that knows what the length is at first (0: it does not). Types that
 * are written have no way to say so: they have that number. */
const mil_type *mil__growing_list_type(mil__types *types, const mil_type *element, int64_t first);
mil_dim mil__list_length_written(const mil__types *types, const mil_type *list);
const mil_type *mil__tuple_type(mil__types *types, int n, const mil_type *const *items);
const mil_type *mil__dict_type(mil__types *types, const mil_type *key, const mil_type *value);
const mil_type *mil__state_type(mil__types *types, const mil_type *tensor);

/* Is a value of type `given` acceptable where `wanted` is declared: same kind, dtype, rank (or that unknown on either side);
 * each wanted dim equal, or symbolic on either side. */
bool mil__type_fits(const mil_type *wanted, const mil_type *given);

/* Is every value of type `given` one of `wanted`: a known size stands for a symbol, a symbol for any other symbol, never for a
 * size. (Lengths of lists are not looked at: lists grow.) */
bool mil__type_holds(const mil_type *wanted, const mil_type *given);

/* `type` with symbols where `other` has another size, or of unknown rank where `other` is (any_rank: or has another rank): a type
 * that holds both. `type` itself where nothing of this makes it one; NULL: out of memory. */
const mil_type *mil__type_wider(mil__types *types, const mil_type *type, const mil_type *other, bool any_rank);

/* "fp16[1, S, 64]", "fp32" for rank 0, "list<fp32[2], ?>", "state<fp16[1, 8]>". Returns buf. NULL type: "none". */
char *mil__type_text(const mil__types *types, const mil_type *type, char *buf, size_t n);
/* The message-building form: a temporary that lives as long as the enclosing block. */
#define MIL__TYPE_TEXT(types, type) mil__type_text((types), (type), (char[160]){0}, 160)
#define MIL__DIM_TEXT(types, dim)   mil__dim_text((types), (dim), (char[96]){0}, 96)

/* ---- dims ----
 * dim >= 0 is a size. dim < 0 stands for a symbol or a formula over symbols, kept canonical (sums of products of atoms
 * with integer factors; an atom is a symbol, floor(a/b), max or min), so equal formulas are equal numbers. All of these
 * are total: out of memory or overflow set mil__types_status and give 0. */

mil_dim mil__dim_symbol(mil__types *types, const char *name);        /* by name; made when new */
mil_dim mil__dim_fresh(mil__types *types);                           /* an unknown of its own, spelled "?1", "?2".. */
/* An unknown of its own that stands for any number of dims, spelled "...". A tensor type that has it as its one dim is of
 * unknown rank; two of one such dim have one shape. */
mil_dim mil__dim_variadic(mil__types *types);
bool mil__dim_is_variadic(const mil__types *types, mil_dim dim);
mil_dim mil__dim_add(mil__types *types, mil_dim a, mil_dim b);
mil_dim mil__dim_sub(mil__types *types, mil_dim a, mil_dim b);
mil_dim mil__dim_mul(mil__types *types, mil_dim a, mil_dim b);
mil_dim mil__dim_floordiv(mil__types *types, mil_dim a, mil_dim b);  /* exact where b divides a as polynomials */
mil_dim mil__dim_max(mil__types *types, mil_dim a, mil_dim b);
mil_dim mil__dim_min(mil__types *types, mil_dim a, mil_dim b);
mil_dim mil__dim_product(mil__types *types, int rank, const mil_dim *shape);

/* Values inside `sym` arrays (int32 values known up to symbols) may be negative numbers as well as formulas; these two
 * embed numbers: -1 as a value is mil__dim_number(-1), a formula without symbols. */
mil_dim mil__dim_number(mil__types *types, int64_t n);
bool mil__dim_is_number(const mil__types *types, mil_dim dim, int64_t *out);
static inline bool mil__dim_is_symbolic(mil_dim dim) { return dim < 0; }

bool mil__dim_is_symbol(const mil__types *types, mil_dim dim);       /* a symbol by itself, named or fresh */
mil_dim mil__dim_next(const mil__types *types);                      /* dims made from now on are this or below */
const mil_symbol *mil__dim_symbol_info(const mil__types *types, mil_dim symbol); /* NULL unless a symbol */
/* Sets range and standard size of a symbol; what info leaves unsaid (min 0, max below 1, standard 0) stays. MIL_EVALUE
 * when it contradicts an earlier setting. */
mil_status mil__dim_describe(mil__types *types, mil_dim symbol, const mil_symbol *info, mil_error *err);
/* "S", "2*S + 1", "floor((S + 1)/2)", "max(S, 2)": also an expression of Lua. Returns buf; what does not fit ends "..". */
char *mil__dim_text(const mil__types *types, mil_dim dim, char *buf, size_t n);
/* Replaces symbols by what bind gives (a dim, or the symbol itself) and simplifies. */
mil_dim mil__dim_substitute(mil__types *types, mil_dim dim, mil_dim (*bind)(void *ctx, mil_dim symbol), void *ctx);
/* The dim's size (or value) where value gives each symbol's. Makes nothing, so threads may evaluate dims of one owner at
 * once. False on overflow and on a division by 0. */
bool mil__dim_eval(const mil__types *types, mil_dim dim, int64_t (*value)(void *ctx, mil_dim symbol), void *ctx,
                   int64_t *out);

mil_status mil__types_status(const mil__types *types);               /* MIL_OK, MIL_ENOMEM, MIL_EVALUE (overflow) */
void mil__types_clear_status(mil__types *types);

/* ---- shape arithmetic on sizes ---- */

bool mil__shape_numel(int rank, const int64_t *shape, int64_t *out);   /* false on overflow or a negative size */
void mil__shape_strides(int rank, const int64_t *shape, int64_t *strides); /* C order, in elements */
/* "[2, 3]" */
char *mil__shape_text(int rank, const int64_t *shape, char *buf, size_t n);
#define MIL__SHAPE_TEXT(rank, shape) mil__shape_text((rank), (shape), (char[160]){0}, 160)

#endif
