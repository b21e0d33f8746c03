/* SPDX-License-Identifier: MIT */
/* MILBlob storage, Core ML's weights file: one tensor of it by its record's offset, as programs refer to them. */
#ifndef MIL__MILBLOB_H
#define MIL__MILBLOB_H

#include "base/base.h"

/* The tensor whose record is at `offset`, as a view of the file (retained). Its dtype and number of bytes must be the
 * record's. Fails: MIL_EFORMAT (what the record says, against what is asked), MIL_ENOMEM. */
mil_status mil__milblob_tensor(mil_buffer *file, uint64_t offset, mil_dtype dtype, int rank, const int64_t *shape,
                               mil_tensor **out, mil_error *err);

/* The weights files that one program refers to, as "@model_path/weights/weight.bin": each is mapped once. */
enum { MIL__BLOB_FILES = 16 };
typedef struct mil__blobs {
    const char *model_path;   /* what @model_path stands for */
    struct {
        char *path;
        mil_buffer *file;
    } files[MIL__BLOB_FILES];
    int n;
} mil__blobs;

/* The same, of the file of that name, which must be below the model's path. */
mil_status mil__blobs_tensor(mil__blobs *blobs, const char *path, uint64_t offset, mil_dtype dtype, int rank,
                             const int64_t *shape, mil_tensor **out, mil_error *err);
void mil__blobs_free(mil__blobs *blobs);

#endif
