/* SPDX-License-Identifier: MIT */
/* image_resizing: inference and plain evaluation of crop, upsample_* and resize*. (What reads at any point: sampling.c.) */
#include <math.h>

#include "ops/resizing.h"
#include "ops/rules.h"

/* ---- crop ---- */

static mil_status get_border(mil__call *call, const char *name, int64_t out[2]) {
    int n;
    MIL__TRY(mil__get_ints(call, name, 2, out, &n));
    if (n == 2 && out[0] >= 0 && out[1] >= 0) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "%s takes two sizes, neither below 0", MIL__ARG_TEXT(call, name));
}

mil_status mil__infer_crop(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    int64_t border[2][2];
    mil_dim shape[MIL_MAX_RANK];
    if (x->rank < 3) return mil__call_fail(call, MIL_ETYPE, "x takes rank 3 or above, but is %s", MIL__ARG_TEXT(call, "x"));
    MIL__TRY(get_border(call, "crop_height", border[0]));
    MIL__TRY(get_border(call, "crop_width", border[1]));
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    for (int i = 0; i < 2; i++) {
        mil_dim *extent = &shape[x->rank - 2 + i];
        int64_t goes = border[i][0] + border[i][1];
        if (*extent >= 0 && *extent <= goes) return mil__call_fail(call, MIL_EVALUE, "nothing is left of axis %d of %s", x->rank - 2 + i, MIL__ARG_TEXT(call, "x"));
        *extent = mil__dim_sub(call->types, *extent, goes);
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

mil_status mil__eval_crop(mil__call *call) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t height[2], width[2];
    MIL__TRY(get_border(call, "crop_height", height));
    MIL__TRY(get_border(call, "crop_width", width));
    int64_t at = height[0] * x->strides[x->rank - 2] + width[0] * x->strides[x->rank - 1];
    const char *from = (const char *)x->data + at * (int64_t)mil__element_size(x->dtype);
    if (mil__numel(out)) mil__move(x->dtype, out->rank, out->shape, out->data, out->strides, from, x->strides);
    return MIL_OK;
}

/* ---- grids ---- */

double mil__grid_point(mil__grid grid, double n_in, int64_t i, int64_t n_out) {
    double n = (double)n_out, at = (double)i, last = n_in - 1;
    bool is_end = n_out > 1 && i == n_out - 1; /* exactly, whatever the quotient */
    switch (grid) {
    case MIL__GRID_STRICT_ALIGN: at = is_end ? last : n_out > 1 ? at * last / (n - 1) : 0; break;
    case MIL__GRID_ALIGN: at = is_end ? last : n_out > 1 ? at * last / (n - 1) : last / 2; break;
    case MIL__GRID_UNALIGN: at = (at + 0.5) * n_in / n - 0.5; break;
    case MIL__GRID_DEFAULT: at = at * n_in / n; break;
    case MIL__GRID_OFFSET: at = (at + 0.5) * (last > 1 ? last : 1) / n; break;
    }
    return at < 0 ? 0 : at > last ? last : at;
}

mil__tap mil__resize_tap(const struct mil__resize_params *params, int64_t n_in, int64_t i, int64_t n_out) {
    bool by_half = params->grid == MIL__GRID_DEFAULT || params->grid == MIL__GRID_UNALIGN;
    int64_t at;
    if (params->reading == MIL__NEAREST_BEFORE) { /* in whole numbers: no quotient is rounded the wrong way */
        at = i * n_in / n_out;
    } else if (params->reading == MIL__NEAREST && by_half) {
        at = (2 * i + 1) * n_in / (2 * n_out);
    } else {
        double point = mil__grid_point(params->grid, (double)n_in, i, n_out);
        at = (int64_t)(params->reading == MIL__NEAREST ? point + 0.5 : point);
        if (params->reading == MIL__LINEARLY && point > (double)at) return (mil__tap){at, at + 1, point - (double)at};
    }
    return (mil__tap){at, at, 0};
}

/* ---- upsample_*, resize* ---- */

static mil_status check_image(mil__call *call) {
    if (mil__rank(mil__arg(call, "x")) >= 3) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "x takes rank 3 or above, but is %s", MIL__ARG_TEXT(call, "x"));
}

static mil_status check_size(mil__call *call, int axis, mil_dim from, mil_dim to) {
    int64_t number;
    if (mil__dim_is_number(call->types, to, &number) && number < (from == 0 ? 0 : 1))
        return mil__call_fail(call, MIL_EVALUE, "axis %d of %s would have %lld elements", axis, MIL__ARG_TEXT(call, "x"),
                              (long long)number);
    if (from == 0 && to != 0)
        return mil__call_fail(call, MIL_EVALUE, "axis %d of %s has no elements to be read", axis, MIL__ARG_TEXT(call, "x"));
    return MIL_OK;
}

/* One result: x with other sizes of its last two axes. */
static mil_status infer_image(mil__call *call, const mil_dim size[2]) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK];
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    for (int i = 0; i < 2; i++) {
        int axis = x->rank - 2 + i;
        MIL__TRY(check_size(call, axis, x->shape[axis], size[i]));
        shape[axis] = size[i];
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

static mil_status infer_to_size(mil__call *call) {
    mil_dim size[2];
    MIL__TRY(check_image(call));
    MIL__TRY(mil__get_int(call, "target_size_height", &size[0]));
    MIL__TRY(mil__get_int(call, "target_size_width", &size[1]));
    for (int i = 0; i < 2; i++)
        if (size[i] < 1) return mil__call_fail(call, MIL_EVALUE, "a size of %lld is not possible", (long long)size[i]);
    return infer_image(call, size);
}

mil_status mil__infer_resize_nearest_neighbor(mil__call *call) {
    *(struct mil__resize_params *)call->params = (struct mil__resize_params){2, MIL__NEAREST, MIL__GRID_UNALIGN};
    return infer_to_size(call);
}

mil_status mil__infer_resize_bilinear(mil__call *call) {
    int grid;
    MIL__TRY(mil__get_choice(call, "sampling_mode", MIL__GRIDS, &grid));
    *(struct mil__resize_params *)call->params = (struct mil__resize_params){2, MIL__LINEARLY, (mil__grid)grid};
    return infer_to_size(call);
}

/* n times a scale factor, rounded down; a float is multiplied as NumPy does it, in single precision. */
static mil_status scaled(mil__call *call, const char *name, mil_dim n, mil_dim *out) {
    const mil__operand *factor = mil__arg(call, name);
    double scale;
    MIL__TRY(mil__get_float(call, name, &scale));
    if (!(scale > 0 && scale < 1e9)) return mil__call_fail(call, MIL_EVALUE, "%s is %g, but takes a number above 0", name, scale);
    if (!factor || factor->type->dtype == MIL_INT32) *out = mil__dim_mul(call->types, n, (int64_t)scale);
    else if (n < 0) *out = mil__dim_fresh(call->types);
    else *out = (int64_t)floorf((float)scale * (float)n);
    return MIL_OK;
}

static mil_status infer_scaled(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim size[2];
    MIL__TRY(check_image(call));
    MIL__TRY(scaled(call, "scale_factor_height", x->shape[x->rank - 2], &size[0]));
    MIL__TRY(scaled(call, "scale_factor_width", x->shape[x->rank - 1], &size[1]));
    return infer_image(call, size);
}

mil_status mil__infer_upsample_nearest_neighbor(mil__call *call) {
    *(struct mil__resize_params *)call->params = (struct mil__resize_params){2, MIL__NEAREST_BEFORE, MIL__GRID_DEFAULT};
    return infer_scaled(call);
}

mil_status mil__infer_upsample_bilinear(mil__call *call) {
    bool aligns, by_half;
    MIL__TRY(mil__get_bool(call, "align_corners", &aligns));
    by_half = !aligns;
    if (call->opset >= MIL_IOS16 && mil__has(call, "half_pixel_centers")) MIL__TRY(mil__get_bool(call, "half_pixel_centers", &by_half));
    if (aligns && by_half) return mil__call_fail(call, MIL_EVALUE, "align_corners and half_pixel_centers exclude each other");
    mil__grid grid = aligns ? MIL__GRID_STRICT_ALIGN : by_half ? MIL__GRID_UNALIGN : MIL__GRID_DEFAULT;
    *(struct mil__resize_params *)call->params = (struct mil__resize_params){2, MIL__LINEARLY, grid};
    return infer_scaled(call);
}

/* The number of resized axes: no more than shape has numbers, which are no more than x has axes. */
static mil_status get_resized(mil__call *call, mil_dim length, int *out) {
    int rank = mil__rank(mil__arg(call, "x"));
    int64_t n;
    MIL__TRY(mil__get_int(call, "resized_dims", &n));
    if (length > rank)
        return mil__call_fail(call, MIL_EVALUE, "%s has more sizes than %s has axes", MIL__ARG_TEXT(call, "shape"), MIL__ARG_TEXT(call, "x"));
    if (n < 0 || n > rank || (length >= 0 && n > length))
        return mil__call_fail(call, MIL_EVALUE, "resized_dims is %lld: more than %s has sizes, or x axes (%d)",
                              (long long)n, MIL__ARG_TEXT(call, "shape"), rank);
    *out = (int)n;
    return MIL_OK;
}

mil_status mil__infer_resize(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    struct mil__resize_params *params = call->params;
    mil_dim shape[MIL_MAX_RANK], sizes[MIL_MAX_RANK], length;
    int n, reading, grid;
    bool known;
    MIL__TRY(mil__get_choice(call, "interpolation_mode", "LINEAR|NEAREST_NEIGHBOR", &reading));
    MIL__TRY(mil__get_choice(call, "sampling_mode", MIL__GRIDS, &grid));
    MIL__TRY(mil__is_vector(call, "shape", &length));
    MIL__TRY(get_resized(call, length, &params->n_axes));
    MIL__TRY(mil__get_dims(call, "shape", MIL_MAX_RANK, sizes, &n, &known));
    params->reading = reading ? MIL__NEAREST : MIL__LINEARLY;
    params->grid = (mil__grid)grid;
    if (x->rank) memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    for (int i = 0; i < params->n_axes; i++) {
        int axis = x->rank - params->n_axes + i;
        mil_dim size = known ? sizes[n - params->n_axes + i] : mil__dim_fresh(call->types);
        int64_t number;
        if (mil__dim_is_number(call->types, size, &number) && number == 0) continue;
        MIL__TRY(check_size(call, axis, x->shape[axis], size));
        shape[axis] = size;
    }
    return mil__call_tensor(call, x->dtype, x->rank, shape);
}

/* [outer, n_in, inner] resized along the axis between. */
static void resize_axis(const struct mil__resize_params *params, const double *from, double *to, int64_t outer, int64_t n_in,
                        int64_t n_out, int64_t inner) {
    for (int64_t o = 0; o < outer; o++, from += n_in * inner)
        for (int64_t i = 0; i < n_out; i++, to += inner) {
            mil__tap tap = mil__resize_tap(params, n_in, i, n_out);
            const double *lo = from + tap.lo * inner, *hi = from + tap.hi * inner;
            for (int64_t k = 0; k < inner; k++) to[k] = tap.weight == 0 ? lo[k] : lo[k] + tap.weight * (hi[k] - lo[k]);
        }
}

mil_status mil__eval_resize(mil__call *call) {
    const struct mil__resize_params *params = call->params;
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    double *now = mil__arena_alloc(call->arena, (size_t)mil__numel(x) * sizeof *now + 1);
    if (!now) return mil__nomem(call->err);
    mil__read_f64(x, now);
    int64_t outer = 1, inner = mil__numel(x);
    for (int axis = 0; axis < x->rank; axis++) {
        int64_t n_in = x->shape[axis], n_out = out->shape[axis];
        inner = n_in ? inner / n_in : 0;
        bool is_other = n_in != n_out || params->grid == MIL__GRID_OFFSET;
        if (axis >= x->rank - params->n_axes && is_other) {
            double *next = mil__arena_alloc(call->arena, (size_t)(outer * n_out * inner) * sizeof *next + 1);
            if (!next) return mil__nomem(call->err);
            resize_axis(params, now, next, outer, n_in, n_out, inner);
            now = next;
        }
        outer *= n_out;
    }
    mil__write_f64(out, now);
    return MIL_OK;
}
