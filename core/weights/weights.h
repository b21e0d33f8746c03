/* SPDX-License-Identifier: MIT */
/* What the readers and writers of weight files share. A format has one file here, which reads and writes it; weights.c and
 * save.c choose among them. */
#ifndef MIL__WEIGHTS_H
#define MIL__WEIGHTS_H

#include "base/bytes.h"
#include "base/file.h"
#include "tensor/tensor.h"

/* A tensor as a file describes it. */
typedef struct mil__weight {
    const char *name;
    mil_dtype dtype;          /* MIL_NO_DTYPE: see unsupported */
    const char *unsupported;  /* why it can't be had ("dtype F8_E4M3"), or NULL */
    int rank;
    int64_t shape[MIL_MAX_RANK];
    uint64_t offset, bytes;   /* in the file, as stored */
    uint64_t plain_bytes;     /* npz: of the member, unpacked */
    uint32_t crc;             /* npz */
    bool is_deflated;         /* npz */
    uint32_t type;            /* gguf: its own number */
} mil__weight;

/* A value of a file's metadata. */
typedef struct mil__metadatum {
    const char *key;
    const char *text;         /* of a string by itself; else NULL */
    mil_dtype dtype;          /* these four: of what the format's get_metadata makes tensors of */
    bool is_list;
    uint64_t offset, count;   /* in the file; values */
} mil__metadatum;

/* A format. open reads what there is (mil__weights_add for each tensor), get makes one of its tensors. */
typedef struct mil__weights_format {
    const char *name;
    mil_status (*open)(mil_weights *weights, mil_error *err);
    mil_status (*get)(const mil_weights *weights, const mil__weight *weight, mil_tensor **out, mil_error *err);
    /* NULL: its metadata are strings by themselves */
    mil_status (*get_metadata)(const mil_weights *weights, const mil__metadatum *item, mil_tensor **out, mil_error *err);
    /* NULL: it has no quantised tensors */
    mil_status (*get_quantized)(const mil_weights *weights, const mil__weight *weight, mil_dtype scale_dtype,
                                mil_tensor **data, mil_tensor **scale, mil_error *err);
    /* The format's name of a quantised type; NULL: it is a dtype. NULL itself as get_quantized. */
    const char *(*type_name)(const mil__weight *weight);
} mil__weights_format;

struct mil_weights {
    atomic_int count;
    const mil__weights_format *format;
    char *path;
    mil_buffer *file;
    const uint8_t *data;      /* of file */
    size_t bytes;
    mil__arena arena;         /* names, metadata */
    mil__weight *items;       /* in the file's order */
    size_t n, cap;
    mil__map names;
    mil__metadatum *metadata; /* in the file's order */
    size_t n_metadata, cap_metadata;
    mil__map keys;
};

extern const mil__weights_format mil__safetensors, mil__npy, mil__npz, mil__gguf;

/* A new tensor, whose other fields are 0. A name that is there already is MIL_EFORMAT. */
mil_status mil__weights_add(mil_weights *weights, const char *name, size_t length, mil__weight **out, mil_error *err);
/* The same of metadata. */
mil_status mil__weights_add_metadata(mil_weights *weights, const char *key, size_t length, mil__metadatum **out, mil_error *err);
const mil__metadatum *mil__weights_metadatum(const mil_weights *weights, const char *key); /* NULL: there is none */
/* "safetensors: model.safetensors: tensor "a": ..."; name may be NULL. */
__attribute__((format(printf, 5, 6))) mil_status mil__weights_fail(const mil_weights *weights, mil_error *err,
                                                                   mil_status status, const char *name,
                                                                   const char *format, ...);
/* A tensor over part of the file; copied where it is not aligned, or has bools that are neither 0 nor 1. */
mil_status mil__weights_view(const mil_weights *weights, mil_dtype dtype, int rank, const int64_t *shape, uint64_t offset,
                             mil_tensor **out, mil_error *err);
/* Makes bytes other than 0 and 1 into 1. */
void mil__normalize_bools(uint8_t *data, size_t n);

/* ---- writing (save.c) ---- */

/* A tensor that is to be written: what it will be. It is made when its turn comes. */
typedef struct mil__outgoing {
    const char *name;
    mil_tensor type;          /* without data */
    size_t from;              /* its place in what is saved */
} mil__outgoing;

typedef struct mil__weights_saving {
    const char *path;
    mil__outgoing *items;     /* a format may put them in another order */
    size_t n;
    mil_status (*get)(const void *from, size_t i, mil_tensor **out, mil_error *err); /* owned */
    const void *from;
    const char *const *metadata; /* pairs of strings ended by NULL, or NULL */
    mil_progress *progress;   /* NULL: none */
    void *progress_ctx;
    uint64_t bytes, done;     /* of elements */
    mil__writer writer;       /* open while a format writes */
} mil__weights_saving;

/* Writes an item's elements, and adds them to the CRC-32 (NULL: none is wanted). */
mil_status mil__weights_put(mil__weights_saving *saving, const mil__outgoing *item, uint32_t *crc, mil_error *err);

/* Writers add a whole file; the names are unique and UTF-8. */
mil_status mil__safetensors_write(mil__weights_saving *saving, mil_error *err);
mil_status mil__npy_write(mil__weights_saving *saving, mil_error *err); /* of one tensor */
mil_status mil__npz_write(mil__weights_saving *saving, mil_error *err);

/* ---- npy, which npz stands on ---- */

typedef struct mil__npy_header {
    mil_dtype dtype;
    const char *unsupported; /* as in mil__weight; text[] holds it */
    bool is_swapped;         /* big-endian */
    bool is_fortran;
    int rank;
    int64_t shape[MIL_MAX_RANK];
    size_t data_at;          /* offset of the elements */
    size_t bytes;            /* of the elements */
    char text[64];
} mil__npy_header;

enum { MIL__NPY_HEADER_MAX = 12 + 10000 };

/* Reads the header at the start of n bytes, which may be cut off behind it. message: room for what is wrong. */
bool mil__npy_read_header(const uint8_t *data, size_t n, mil__npy_header *out, char message[128]);
/* The header that a writer puts before a tensor's elements: whole lines of 64 bytes. NULL dtype: MIL_EUNSUPPORTED. */
mil_status mil__npy_make_header(const mil_tensor *tensor, mil__str *out, mil_error *err);
/* The tensor with that header whose elements are at `offset` of a buffer; may be a view of it. */
mil_status mil__npy_tensor(const mil__npy_header *header, mil_buffer *buffer, uint64_t offset, mil_tensor **out,
                           mil_error *err);

#endif
