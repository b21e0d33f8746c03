/* SPDX-License-Identifier: MIT */
/* MILBlob storage, Core ML's weights file: one tensor of it by its record's offset, as programs refer to them. */
#ifndef MIL__MILBLOB_H
#define MIL__MILBLOB_H

#include "base/base.h"

/* The tensor whose record is at `offset`, as a view of the file (retained). Its dtype and number of bytes must be the
 * record's. Fails: MIL_EFORMAT (what the record says, against what is asked), MIL_ENOMEM. */
mil_status mil__milblob_tensor(mil_buffer *file, uint64_t offset, mil_dtype dtype, int rank, const int64_t *shape,
                               mil_tensor **out, mil_error *err);

#endif
