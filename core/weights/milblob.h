/* SPDX-License-Identifier: MIT */
/* MILBlob storage, Core ML's weights file: one tensor of it by its record's offset, as programs refer to them; and files
 * written, tensor by tensor. */
#ifndef MIL__MILBLOB_H
#define MIL__MILBLOB_H

#include "base/file.h"
#include "base/map.h"

/* The tensor whose record is at `offset`, as a view of the file (retained). Its dtype and number of bytes must be the
 * record's. Fails: MIL_EFORMAT (what the record says, against what is asked), MIL_ENOMEM. */
mil_status mil__milblob_tensor(mil_buffer *file, uint64_t offset, mil_dtype dtype, int rank, const int64_t *shape,
                               mil_tensor **out, mil_error *err);

/* The weights files that one program refers to, as "@model_path/weights/weight.bin": each is mapped once. */
typedef struct mil__blob_file {
    char *path;
    mil_buffer *file;         /* NULL: it is not there */
} mil__blob_file;

typedef struct mil__blobs {
    const char *model_path;   /* what @model_path stands for */
    bool may_be_absent;       /* tensors of a file that is not there are NULL, and no error */
    mil__blob_file *files;
    uint32_t n, cap, last;    /* last: the one that was asked for last */
    mil__map known;           /* files by path */
} mil__blobs;

/* The same, of the file of that name, which must be below the model's path: the name may not lead out of it (links in the
 * file system may: caches of downloads consist of them). Where no file is, the last part of the name is looked for in
 * weights/ and beside the model, as coremltools does. */
mil_status mil__blobs_tensor(mil__blobs *blobs, const char *path, uint64_t offset, mil_dtype dtype, int rank,
                             const int64_t *shape, mil_tensor **out, mil_error *err);
/* The path of that file, there or not, to be freed. */
mil_status mil__blobs_find(const char *model_path, const char *name, char **out, mil_error *err);
void mil__blobs_free(mil__blobs *blobs);

/* ---- writing (milblob_write.c) ---- */

unsigned mil__milblob_code(mil_dtype dtype);   /* 0: a record can't have it */

/* A file being written aside, made when the first tensor comes. What is in one place in memory is written once. */
typedef struct mil__blob_entry {
    const void *data;
    size_t bytes;
    mil_dtype dtype;
    uint64_t offset;
} mil__blob_entry;

typedef struct mil__blob_writer {
    const char *path;         /* borrowed */
    bool is_open;
    mil__writer file;
    mil__blob_entry *entries; /* of the contiguous ones */
    uint32_t n, cap;
    mil__map known;           /* entries by what they are */
    uint32_t count;           /* records */
    bool (*progress)(void *ctx, uint64_t bytes); /* of elements, written since the last call; false: stop; NULL: nobody asks */
    void *progress_ctx;
} mil__blob_writer;

/* Appends the tensor (any strides), in pieces; gives its record's offset. The tensor must live until the writer is done.
 * Fails: MIL_EUNSUPPORTED (a dtype that records have not), MIL_ELIMIT, MIL_EIO, MIL_ENOMEM. */
mil_status mil__blob_add(mil__blob_writer *writer, const mil_tensor *tensor, uint64_t *offset, mil_error *err);
/* All that can fail but the renaming; then commit, or abandon (which may come at any time). */
mil_status mil__blob_finish(mil__blob_writer *writer, mil_error *err);
mil_status mil__blob_commit(mil__blob_writer *writer, mil_error *err);
/* The same, together with another file that is finished: both are there, or neither. */
mil_status mil__blob_commit_with(mil__blob_writer *writer, mil__writer *other, mil_error *err);
void mil__blob_abandon(mil__blob_writer *writer);
/* A whole file in memory instead, of n tensors: *out is owned (mil__free). offsets: of their records. Fails: as mil__blob_add. */
mil_status mil__blob_bytes(const mil_tensor *const *tensors, size_t n, uint64_t *offsets, uint8_t **out, size_t *bytes,
                           mil_error *err);

#endif
