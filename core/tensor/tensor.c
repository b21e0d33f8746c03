/* SPDX-License-Identifier: MIT */
/* Tensors as views: making them over buffers, and views of views (slice, transpose, reshape), which move no data.
 *
 * What holds of every tensor that was made here: each element lies inside the buffer; the first is aligned to the size of
 * an element, and so all are; a sub-byte dtype is contiguous and begins at a byte. */
#include <inttypes.h>
#include <stdio.h>

#include "tensor/tensor.h"

char *mil__tensor_text(const mil_tensor *tensor, char *buf, size_t n) {
    const char *shape = tensor->rank ? MIL__SHAPE_TEXT(tensor->rank, tensor->shape) : "";
    snprintf(buf, n, "%s%s", mil_dtype_name(tensor->dtype), shape);
    return buf;
}

/* ---- looking ---- */

mil_dtype mil_tensor_dtype(const mil_tensor *tensor) { return tensor->dtype; }
int mil_tensor_rank(const mil_tensor *tensor) { return tensor->rank; }
const int64_t *mil_tensor_shape(const mil_tensor *tensor) { return tensor->shape; }
const int64_t *mil_tensor_strides(const mil_tensor *tensor) { return tensor->strides; }
int64_t mil_tensor_numel(const mil_tensor *tensor) { return mil__numel(tensor); }
void *mil_tensor_data(const mil_tensor *tensor) { return tensor->data; }
mil_buffer *mil_tensor_buffer(const mil_tensor *tensor) { return tensor->buffer; }
bool mil_tensor_is_contiguous(const mil_tensor *tensor) { return mil__is_contiguous(tensor); }

int64_t mil__numel(const mil_tensor *tensor) {
    int64_t n = 1;
    mil__shape_numel(tensor->rank, tensor->shape, &n);
    return n;
}

static bool is_contiguous(int rank, const int64_t *shape, const int64_t *strides) {
    int64_t step = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 0) return true;
    }
    for (int i = rank - 1; i >= 0; i--) {
        if (shape[i] != 1 && strides[i] != step) return false;
        step *= shape[i];
    }
    return true;
}

bool mil__is_contiguous(const mil_tensor *tensor) {
    return is_contiguous(tensor->rank, tensor->shape, tensor->strides);
}

static bool is_sub_byte(mil_dtype dtype) {
    int bits = mil_dtype_bits(dtype);
    return bits > 0 && bits < 8;
}

static size_t element_bytes(mil_dtype dtype) {
    return dtype == MIL_STRING ? sizeof(mil__string_ref) : is_sub_byte(dtype) ? 1 : (size_t)mil_dtype_bits(dtype) / 8;
}

/* Bytes that n elements take in a buffer; for strings, their refs. */
static bool storage_bytes(mil_dtype dtype, int64_t n, size_t *out) {
    if (dtype != MIL_STRING) return mil__dtype_bytes(dtype, n, out);
    return n >= 0 && (uint64_t)n <= SIZE_MAX && mil__mul_size((size_t)n, sizeof(mil__string_ref), out);
}

size_t mil_tensor_bytes(const mil_tensor *tensor) {
    size_t bytes = 0;
    storage_bytes(tensor->dtype, mil__numel(tensor), &bytes);
    return bytes;
}

/* ---- making ---- */

void mil__tensor_init(mil_tensor *tensor, mil_dtype dtype, int rank, const int64_t *shape, void *data) {
    atomic_init(&tensor->count, 1);
    tensor->dtype = dtype;
    tensor->rank = rank;
    tensor->data = data;
    for (int i = 0; i < rank; i++) tensor->shape[i] = shape[i];
    mil__shape_strides(rank, shape, tensor->strides);
    tensor->buffer = NULL;
}

mil_tensor *mil__tensor_in(mil__arena *arena, mil_dtype dtype, int rank, const int64_t *shape, size_t bytes) {
    mil_tensor *tensor = mil__arena_alloc(arena, sizeof *tensor + bytes);
    if (!tensor) return NULL;
    memset(tensor + 1, 0, bytes);
    mil__tensor_init(tensor, dtype, rank, shape, tensor + 1);
    return tensor;
}

/* A copy of `like`, which holds what the new tensor shall be, over its buffer, which is retained. */
static mil_status make(const mil_tensor *like, mil_tensor **out, mil_error *err) {
    mil_tensor *tensor = mil__alloc(sizeof *tensor);
    if (!tensor) return mil__nomem(err);
    mil__tensor_init(tensor, like->dtype, like->rank, like->shape, like->data);
    memcpy(tensor->strides, like->strides, sizeof tensor->strides[0] * (size_t)like->rank);
    tensor->buffer = mil_buffer_retain(like->buffer);
    *out = tensor;
    return MIL_OK;
}

static mil_status check_type(mil_dtype dtype, int rank, const int64_t *shape, size_t *bytes, mil_error *err) {
    int64_t n;
    if (dtype <= MIL_NO_DTYPE || dtype >= MIL_N_DTYPES) return mil__fail(err, MIL_EINVAL, "tensor: %d is no dtype", dtype);
    if (rank < 0 || rank > MIL_MAX_RANK)
        return mil__fail(err, MIL_EINVAL, "tensor: rank %d, but 0 to %d are taken", rank, MIL_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return mil__fail(err, MIL_EVALUE, "tensor: %s%s has a negative extent", mil_dtype_name(dtype),
                             MIL__SHAPE_TEXT(rank, shape));
    }
    if (!mil__shape_numel(rank, shape, &n) || !storage_bytes(dtype, n, bytes) || *bytes > PTRDIFF_MAX)
        return mil__fail(err, MIL_EVALUE, "tensor: %s%s has more elements than memory can hold", mil_dtype_name(dtype),
                         MIL__SHAPE_TEXT(rank, shape));
    return MIL_OK;
}

static mil_status new_tensor(mil_dtype dtype, int rank, const int64_t *shape, bool zero, mil_tensor **out, mil_error *err) {
    size_t bytes;
    mil_buffer *buffer;
    MIL__TRY(check_type(dtype, rank, shape, &bytes, err));
    MIL__TRY(mil__buffer_raw(bytes, &buffer, err));
    mil_tensor view;
    mil__tensor_init(&view, dtype, rank, shape, mil_buffer_data(buffer));
    if (zero || dtype == MIL_STRING) memset(view.data, 0, bytes);
    view.buffer = buffer;
    mil_status status = make(&view, out, err);
    mil_buffer_free(buffer);
    return status;
}

mil_status mil_tensor_new(mil_dtype dtype, int rank, const int64_t *shape, mil_tensor **out, mil_error *err) {
    return new_tensor(dtype, rank, shape, true, out, err);
}

mil_status mil__tensor_raw(mil_dtype dtype, int rank, const int64_t *shape, mil_tensor **out, mil_error *err) {
    return new_tensor(dtype, rank, shape, false, out, err);
}

/* The least and the greatest element offset that a shape, none of whose extents is 0, reaches. False on overflow. */
static bool reach(int rank, const int64_t *shape, const int64_t *strides, int64_t *least, int64_t *most) {
    *least = *most = 0;
    for (int i = 0; i < rank; i++) {
        int64_t far, *side = strides[i] < 0 ? least : most;
        if (!mil__mul_dim(shape[i] - 1, strides[i], &far) || !mil__add_dim(*side, far, side)) return false;
    }
    return true;
}

/* Do all elements of the view lie in its buffer, the first at `offset`? */
static bool is_inside(const mil_tensor *view, size_t offset, size_t packed_bytes) {
    size_t size = mil_buffer_bytes(view->buffer);
    if (offset > size) return false;
    if (mil__numel(view) == 0) return true;
    if (is_sub_byte(view->dtype)) return packed_bytes <= size - offset;
    int64_t least, most, element = (int64_t)element_bytes(view->dtype);
    if (!reach(view->rank, view->shape, view->strides, &least, &most)) return false;
    if (!mil__mul_dim(least, element, &least) || !mil__mul_dim(most, element, &most)) return false;
    if (!mil__add_dim(most, element, &most)) return false;
    return (uint64_t)-least <= offset && (uint64_t)most <= size - offset;
}

mil_status mil_tensor_over(mil_buffer *buffer, size_t offset, mil_dtype dtype, int rank, const int64_t *shape,
                           const int64_t *strides, mil_tensor **out, mil_error *err) {
    size_t bytes;
    MIL__TRY(check_type(dtype, rank, shape, &bytes, err));
    if (dtype == MIL_STRING) return mil__fail(err, MIL_ETYPE, "tensor: strings cannot be a view of a buffer");
    mil_tensor view;
    mil__tensor_init(&view, dtype, rank, shape, NULL);
    view.buffer = buffer;
    for (int i = 0; strides && i < rank; i++) view.strides[i] = strides[i];
    if (is_sub_byte(dtype) && !mil__is_contiguous(&view))
        return mil__fail(err, MIL_ETYPE, "tensor: %s is packed and cannot be strided", MIL__TENSOR_TEXT(&view));
    if (!is_inside(&view, offset, bytes))
        return mil__fail(err, MIL_EVALUE, "tensor: %s at byte %zu does not lie inside its buffer of %zu bytes",
                         MIL__TENSOR_TEXT(&view), offset, mil_buffer_bytes(buffer));
    view.data = (char *)mil_buffer_data(buffer) + offset;
    if ((uintptr_t)view.data % element_bytes(dtype) != 0)
        return mil__fail(err, MIL_EVALUE, "tensor: %s at byte %zu is not aligned to its elements", MIL__TENSOR_TEXT(&view),
                         offset);
    return make(&view, out, err);
}

/* rank and row_bytes are above 0. strides: the contiguous ones at first. */
static mil_status pad_rows(mil_dtype dtype, int rank, const int64_t *shape, size_t row_bytes, int64_t *strides, size_t *bytes, mil_error *err) {
    int64_t element = is_sub_byte(dtype) ? 0 : (int64_t)element_bytes(dtype), padded;
    if (!element) return mil__fail(err, MIL_ETYPE, "tensor: %s is packed and cannot be strided", mil_dtype_name(dtype));
    if (row_bytes > PTRDIFF_MAX || row_bytes % (size_t)element)
        return mil__fail(err, MIL_EVALUE, "tensor: rows of %s begin at multiples of %lld bytes, but were to at those of %zu",
                         mil_dtype_name(dtype), (long long)element, row_bytes);
    int64_t row = (int64_t)row_bytes;
    bool fits = mil__mul_dim(shape[rank - 1], element, &padded) && mil__add_dim(padded, row - 1, &padded);
    padded = fits ? padded / row * row : 0;
    for (int i = rank - 2; i >= 0 && fits; i--) {
        strides[i] = padded / element;
        fits = mil__mul_dim(padded, shape[i], &padded);
    }
    if (!fits) return mil__fail(err, MIL_EVALUE, "tensor: %s%s with rows of %zu bytes has more than memory can hold", mil_dtype_name(dtype),
                                MIL__SHAPE_TEXT(rank, shape), row_bytes);
    *bytes = (size_t)padded;
    return MIL_OK;
}

mil_status mil_padded_strides(mil_dtype dtype, int rank, const int64_t *shape, size_t row_bytes, int64_t *strides, size_t *bytes,
                              mil_error *err) {
    int64_t made[MIL_MAX_RANK];
    size_t all;
    MIL__TRY(check_type(dtype, rank, shape, &all, err));
    if (dtype == MIL_STRING) return mil__fail(err, MIL_ETYPE, "tensor: strings cannot be a view of a buffer");
    mil__shape_strides(rank, shape, made);
    if (row_bytes > 1 && rank > 0) MIL__TRY(pad_rows(dtype, rank, shape, row_bytes, made, &all, err));
    for (int i = 0; i < rank; i++) strides[i] = made[i];
    *bytes = all;
    return MIL_OK;
}

mil_status mil_tensor_shared(mil_dtype dtype, int rank, const int64_t *shape, size_t row_bytes, mil_tensor **out, mil_error *err) {
    int64_t strides[MIL_MAX_RANK];
    size_t bytes;
    mil_buffer *buffer;
    *out = NULL;
    MIL__TRY(mil_padded_strides(dtype, rank, shape, row_bytes, strides, &bytes, err));
    MIL__TRY(mil_buffer_shared(bytes, &buffer, err));
    mil_status status = mil_tensor_over(buffer, 0, dtype, rank, shape, strides, out, err);
    mil_buffer_free(buffer);
    return status;
}

mil_tensor *mil_tensor_retain(mil_tensor *tensor) {
    if (tensor) atomic_fetch_add_explicit(&tensor->count, 1, memory_order_relaxed);
    return tensor;
}

void mil_tensor_free(mil_tensor *tensor) {
    if (!tensor || atomic_fetch_sub_explicit(&tensor->count, 1, memory_order_acq_rel) != 1) return;
    mil_buffer_free(tensor->buffer);
    mil__free(tensor);
}

/* ---- strings ---- */

/* Writes refs and bytes of n strings: [ ref | ref | .. | bytes 0 bytes 0 .. ] */
static void put_strings(mil__string_ref *refs, size_t n, const char *const *strings, const size_t *lengths) {
    char *bytes = (char *)(refs + n);
    for (size_t i = 0; i < n; i++) {
        refs[i].offset = (uint64_t)(bytes - (char *)&refs[i]);
        refs[i].length = lengths[i];
        if (lengths[i]) memcpy(bytes, strings[i], lengths[i]);
        bytes[lengths[i]] = 0;
        bytes += lengths[i] + 1;
    }
}

mil_status mil_tensor_strings(int rank, size_t n, const char *const *strings, const size_t *lengths, mil_tensor **out,
                              mil_error *err) {
    if (rank < 0 || rank > 1 || (rank == 0 && n != 1))
        return mil__fail(err, MIL_EINVAL, "strings: %zu of them do not make a tensor of rank %d", n, rank);
    int64_t shape = (int64_t)n;
    size_t bytes;
    MIL__TRY(check_type(MIL_STRING, rank, &shape, &bytes, err));
    for (size_t i = 0; i < n; i++) {
        if (!mil__add_size(bytes, lengths[i], &bytes) || !mil__add_size(bytes, 1, &bytes)) return mil__nomem(err);
    }
    mil_buffer *buffer;
    MIL__TRY(mil__buffer_raw(bytes, &buffer, err));
    mil_tensor view;
    mil__tensor_init(&view, MIL_STRING, rank, &shape, mil_buffer_data(buffer));
    put_strings(view.data, n, strings, lengths);
    view.buffer = buffer;
    mil_status status = make(&view, out, err);
    mil_buffer_free(buffer);
    return status;
}

const char *mil_tensor_string(const mil_tensor *tensor, int64_t i, size_t *length) {
    int64_t offset = 0;
    if (tensor->dtype != MIL_STRING || i < 0 || i >= mil__numel(tensor)) return NULL;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        offset += i % tensor->shape[axis] * tensor->strides[axis];
        i /= tensor->shape[axis];
    }
    const mil__string_ref *ref = (const mil__string_ref *)tensor->data + offset;
    if (length) *length = (size_t)ref->length;
    return (const char *)ref + ref->offset;
}

/* ---- views ---- */

/* The view begins `offset` elements after the first of `tensor`. */
static mil_status make_view(const char *what, const mil_tensor *tensor, mil_tensor *view, int64_t offset, mil_tensor **out,
                            mil_error *err) {
    int bits = mil_dtype_bits(view->dtype);
    view->buffer = tensor->buffer;
    if (mil__numel(view) == 0) offset = 0;
    if (is_sub_byte(view->dtype) && (!mil__is_contiguous(view) || offset * bits % 8 != 0))
        return mil__fail(err, MIL_ETYPE, "%s: %s is packed; this view of it would have to be strided, or begin inside a byte",
                         what, MIL__TENSOR_TEXT(tensor));
    view->data = (char *)tensor->data + (is_sub_byte(view->dtype) ? offset * bits / 8
                                                                  : offset * (int64_t)element_bytes(view->dtype));
    return make(view, out, err);
}

mil_status mil_tensor_slice(mil_tensor *tensor, const int64_t *begin, const int64_t *size, const int64_t *step,
                            mil_tensor **out, mil_error *err) {
    mil_tensor view;
    mil__tensor_init(&view, tensor->dtype, tensor->rank, size, NULL);
    int64_t offset = 0;
    bool empty = mil__numel(tensor) == 0; /* then strides reach nothing, and may be too large to calculate with */
    for (int i = 0; i < tensor->rank; i++) {
        int64_t by = step ? step[i] : 1, last = begin[i], extent = tensor->shape[i];
        bool fits = size[i] >= 0 && by != 0 && begin[i] >= 0 && begin[i] <= extent;
        if (fits && size[i] > 0)
            fits = mil__mul_dim(size[i] - 1, by, &last) && mil__add_dim(last, begin[i], &last) && begin[i] < extent &&
                   last >= 0 && last < extent;
        if (!fits)
            return mil__fail(err, MIL_EVALUE,
                             "slice: %" PRId64 " elements from %" PRId64 " by %" PRId64 " do not lie in axis %d of %s", size[i],
                             begin[i], by, i, MIL__TENSOR_TEXT(tensor));
        if (empty) continue;
        view.strides[i] = size[i] > 1 ? tensor->strides[i] * by : tensor->strides[i];
        if (size[i] > 0) offset += begin[i] * tensor->strides[i];
    }
    return make_view("slice", tensor, &view, offset, out, err);
}

mil_status mil_tensor_transpose(mil_tensor *tensor, const int *perm, mil_tensor **out, mil_error *err) {
    int64_t shape[MIL_MAX_RANK] = {0}, strides[MIL_MAX_RANK] = {0};
    unsigned seen = 0;
    for (int i = 0; i < tensor->rank; i++) {
        if (perm[i] < 0 || perm[i] >= tensor->rank || (seen & 1u << perm[i]))
            return mil__fail(err, MIL_EVALUE, "transpose: perm[%d] = %d, but each axis of %s must be named once", i, perm[i],
                             MIL__TENSOR_TEXT(tensor));
        seen |= 1u << perm[i];
        shape[i] = tensor->shape[perm[i]];
        strides[i] = tensor->strides[perm[i]];
    }
    mil_tensor view;
    mil__tensor_init(&view, tensor->dtype, tensor->rank, shape, NULL);
    memcpy(view.strides, strides, sizeof strides);
    return make_view("transpose", tensor, &view, 0, out, err);
}

/* Strides under which the elements of `old`, in C order, have the new shape. Axes are matched in groups of equal products,
 * from the left; within a group the old axes must be one run (each stride the next one's times its extent), since the new
 * axes cut that run anew:
 *
 *     old  [ 2, 3 | 4 ]     groups (2 3 | 6) and (4 | 2 2); the first needs strides[0] == 3 * strides[1]
 *     new  [ 6 | 2, 2 ]
 *
 * Extents of 1 are left out first: their strides mean nothing. No extent is 0. False when no view can do it. */
static bool reshape_strides(const mil_tensor *old, int rank, const int64_t *shape, int64_t *strides) {
    int64_t dims[MIL_MAX_RANK], steps[MIL_MAX_RANK];
    int n = 0;
    for (int i = 0; i < old->rank; i++) {
        if (old->shape[i] != 1) dims[n] = old->shape[i], steps[n++] = old->strides[i];
    }
    int i = 0, j = 0;
    while (i < n && j < rank) {
        int i_end = i + 1, j_end = j + 1;
        int64_t from = dims[i], to = shape[j];
        while (from != to) {
            if (to < from) to *= shape[j_end++];
            else from *= dims[i_end++];
        }
        for (int k = i; k + 1 < i_end; k++) {
            if (steps[k] != steps[k + 1] * dims[k + 1]) return false;
        }
        int64_t step = steps[i_end - 1];
        for (int k = j_end - 1; k >= j; k--) strides[k] = step, step *= shape[k];
        i = i_end, j = j_end;
    }
    for (; j < rank; j++) strides[j] = 1; /* only extents of 1 are left */
    return true;
}

mil_status mil_tensor_reshape(mil_tensor *tensor, int rank, const int64_t *shape, mil_tensor **out, mil_error *err) {
    int64_t n;
    if (rank < 0 || rank > MIL_MAX_RANK)
        return mil__fail(err, MIL_EINVAL, "reshape: rank %d, but 0 to %d are taken", rank, MIL_MAX_RANK);
    if (!mil__shape_numel(rank, shape, &n) || n != mil__numel(tensor))
        return mil__fail(err, MIL_ETYPE, "reshape: %s has %" PRId64 " elements, which do not fill %s", MIL__TENSOR_TEXT(tensor),
                         mil__numel(tensor), MIL__SHAPE_TEXT(rank, shape));
    mil_tensor view;
    mil__tensor_init(&view, tensor->dtype, rank, shape, NULL);
    if (n && !reshape_strides(tensor, rank, shape, view.strides))
        return mil__fail(err, MIL_ETYPE, "reshape: %s with strides %s has no view of shape %s; copy it first",
                         MIL__TENSOR_TEXT(tensor), MIL__SHAPE_TEXT(tensor->rank, tensor->strides),
                         MIL__SHAPE_TEXT(rank, shape));
    return make_view("reshape", tensor, &view, 0, out, err);
}
