/* SPDX-License-Identifier: MIT */
/* image_resizing, continued: inference and plain evaluation of resample, affine and crop_resize. */
#include <math.h>

#include "ops/rules.h"
#include "ops/sampling.h"

/* ---- one point ---- */

static double to_pixels(const struct mil__sample_params *params, double c, int64_t n) {
    double from_zero = params->coordinates == MIL__FROM_MINUS_ONE ? (c + 1) / 2 : c;
    if (params->coordinates == MIL__PIXELS) return c;
    return params->aligns ? from_zero * (double)(n - 1) : from_zero * (double)n - 0.5;
}

/* Mirrored at `from` and `from` + `length`, as often as needed. */
static double mirrored(double at, double from, double length) {
    if (length <= 0) return from;
    double phase = fmod(fabs(at - from), 2 * length);
    return from + (phase > length ? 2 * length - phase : phase);
}

/* A point along an axis of n, inside of it where padding does not count as constant. What is far outside comes nearer, and
 * stays outside. */
static double brought_in(const struct mil__sample_params *params, double at, int64_t n) {
    double last = (double)(n - 1);
    if (params->outside == MIL__REFLECTION) at = mirrored(at, 0, last);
    if (params->outside == MIL__SYMMETRIC) at = mirrored(at, -0.5, (double)n);
    if (params->outside == MIL__CONSTANT) return at < -2 ? -2 : at > last + 2 ? last + 2 : at;
    return at < 0 ? 0 : at > last ? last : at;
}

typedef struct axis_taps {
    int64_t at[2];
    double weight[2]; /* 0 where outside */
} axis_taps;

static axis_taps taps_of(const struct mil__sample_params *params, double c, int64_t n) {
    double at = brought_in(params, to_pixels(params, c, n), n);
    axis_taps taps = {{0}, {0}};
    if (at != at) { /* NaN stays one, between two pixels */
        taps.weight[0] = params->is_nearest ? params->outside != MIL__CONSTANT : at;
        return taps;
    }
    double first = params->is_nearest ? rint(at) : floor(at), part = params->is_nearest ? 0 : at - first;
    for (int i = 0; i < 2; i++) {
        double index = first + i;
        bool is_inside = index >= 0 && index < (double)n;
        taps.at[i] = is_inside ? (int64_t)index : 0;
        taps.weight[i] = is_inside ? i ? part : 1 - part : 0;
    }
    return taps;
}

void mil__sample(const struct mil__sample_params *params, double x, double y, int64_t height, int64_t width, mil__sampled *out) {
    axis_taps across = taps_of(params, x, width), down = taps_of(params, y, height);
    double rest = 1;
    for (int i = 0; i < 4; i++) {
        double weight = down.weight[i / 2] * across.weight[i % 2];
        out->weight[i] = (float)weight;
        out->at[i] = weight != 0 ? down.at[i / 2] * width + across.at[i % 2] : 0;
        rest -= weight;
    }
    out->padded = params->outside == MIL__CONSTANT ? (float)rest : 0;
}

/* -1 .. 1 from the first to the last of n. */
static double spread(bool aligns, int64_t i, int64_t n) {
    if (!aligns) return (double)(2 * i + 1) / (double)n - 1;
    return n > 1 ? (double)(2 * i) / (double)(n - 1) - 1 : 0;
}

void mil__affine_point(const struct mil__sample_params *params, const double m[6], const int64_t at[2], const int64_t size[2],
                       double *x, double *y) {
    double down = spread(params->aligns, at[0], size[0]), across = spread(params->aligns, at[1], size[1]);
    *x = m[0] * across + m[1] * down + m[2];
    *y = m[3] * across + m[4] * down + m[5];
}

/* ---- resample, affine ---- */

static mil_status check_rank(mil__call *call, const char *name, int rank) {
    if (mil__rank(mil__arg(call, name)) == rank) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s takes rank %d", MIL__ARG_TEXT(call, name), rank);
}

static bool differ(mil_dim a, mil_dim b) { return a >= 0 && b >= 0 && a != b; }

/* x has elements to be read, where the result has any. */
static mil_status check_elements(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    if (x->shape[2] != 0 && x->shape[3] != 0) return MIL_OK;
    return mil__call_fail(call, MIL_EVALUE, "%s has no elements to be read", MIL__ARG_TEXT(call, "x"));
}

mil_status mil__infer_resample(mil__call *call) {
    struct mil__sample_params *params = call->params;
    const mil_type *x = mil__arg(call, "x")->type, *at = mil__arg(call, "coordinates")->type;
    int nearest, outside, coordinates;
    MIL__TRY(check_rank(call, "x", 4));
    MIL__TRY(check_rank(call, "coordinates", 4));
    MIL__TRY(mil__get_choice(call, "sampling_mode", "bilinear|nearest", &nearest));
    MIL__TRY(mil__get_choice(call, "padding_mode", "constant|border|reflection|symmetric", &outside));
    MIL__TRY(mil__get_choice(call, "coordinates_mode", "unnormalized|normalized_minus_one_to_one|normalized_zero_to_one", &coordinates));
    MIL__TRY(mil__get_bool(call, "align_corners", &params->aligns));
    MIL__TRY(mil__get_float(call, "padding_value", &params->padding));
    if (differ(x->shape[0], at->shape[0]) || differ(at->shape[3], 2))
        return mil__call_fail(call, MIL_ETYPE, "%s must be [batch, height, width, 2], of the batch of %s", MIL__ARG_TEXT(call, "coordinates"),
                              MIL__ARG_TEXT(call, "x"));
    MIL__TRY(check_elements(call));
    params->is_nearest = nearest;
    params->outside = (mil__outside)outside;
    params->coordinates = (mil__coordinates)coordinates;
    return mil__call_tensor(call, x->dtype, 4, (mil_dim[]){x->shape[0], x->shape[1], at->shape[1], at->shape[2]});
}

mil_status mil__infer_affine(mil__call *call) {
    struct mil__sample_params *params = call->params;
    const mil_type *x = mil__arg(call, "x")->type, *matrix = mil__arg(call, "transform_matrix")->type;
    int64_t size[2];
    int ignored;
    MIL__TRY(check_rank(call, "x", 4));
    MIL__TRY(check_rank(call, "transform_matrix", 2));
    MIL__TRY(mil__get_choice(call, "sampling_mode", "bilinear", &ignored));
    MIL__TRY(mil__get_choice(call, "padding_mode", "constant", &ignored));
    MIL__TRY(mil__get_choice(call, "coordinates_mode", "normalized_minus_one_to_one", &ignored));
    MIL__TRY(mil__get_bool(call, "align_corners", &params->aligns));
    MIL__TRY(mil__get_float(call, "padding_value", &params->padding));
    MIL__TRY(mil__get_int(call, "output_height", &size[0]));
    MIL__TRY(mil__get_int(call, "output_width", &size[1]));
    if (params->padding != 0) return mil__call_fail(call, MIL_EVALUE, "padding_value is %g; only 0 is possible", params->padding);
    if (size[0] < 1 || size[1] < 1) return mil__call_fail(call, MIL_EVALUE, "output_height and output_width are at least 1");
    if (differ(matrix->shape[1], 6) || (matrix->shape[0] != 1 && differ(matrix->shape[0], x->shape[0])))
        return mil__call_fail(call, MIL_ETYPE, "%s must be [1, 6], or [batch, 6] of the batch of %s", MIL__ARG_TEXT(call, "transform_matrix"),
                              MIL__ARG_TEXT(call, "x"));
    MIL__TRY(check_elements(call));
    params->coordinates = MIL__FROM_MINUS_ONE;
    return mil__call_tensor(call, x->dtype, 4, (mil_dim[]){x->shape[0], x->shape[1], size[0], size[1]});
}

/* The coordinates of an element of the result: affine's, or read. at: batch, height, width. */
static void coordinates_at(mil__call *call, const int64_t at[3], double *x, double *y) {
    const mil__operand *points = mil__arg(call, "coordinates");
    const mil_tensor *t = points ? points->data : mil__arg(call, "transform_matrix")->data;
    if (points) {
        int64_t first = at[0] * t->strides[0] + at[1] * t->strides[1] + at[2] * t->strides[2];
        *x = mil__load_f64(t, first);
        *y = mil__load_f64(t, first + t->strides[3]);
        return;
    }
    double matrix[6];
    int64_t row = t->shape[0] == 1 ? 0 : at[0] * t->strides[0];
    for (int i = 0; i < 6; i++) matrix[i] = mil__load_f64(t, row + i * t->strides[1]);
    mil__affine_point(call->params, matrix, at + 1, call->result[0]->shape + 2, x, y);
}

mil_status mil__eval_sample(mil__call *call) {
    const struct mil__sample_params *params = call->params;
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t height = x->shape[2], width = x->shape[3], n = out->shape[2] * out->shape[3], at[3];
    double *all = mil__arena_alloc(call->arena, (size_t)mil__numel(x) * sizeof *all + 1), cx, cy;
    if (!all) return mil__nomem(call->err);
    mil__read_f64(x, all);
    for (at[0] = 0; at[0] < out->shape[0]; at[0]++)
        for (at[1] = 0; at[1] < out->shape[2]; at[1]++)
            for (at[2] = 0; at[2] < out->shape[3]; at[2]++) {
                mil__sampled point;
                coordinates_at(call, at, &cx, &cy);
                mil__sample(params, cx, cy, height, width, &point);
                for (int64_t c = 0; c < x->shape[1]; c++) {
                    int64_t plane = at[0] * x->shape[1] + c;
                    double sum = point.padded != 0 ? (double)point.padded * params->padding : 0;
                    for (int i = 0; i < 4; i++)
                        if (point.weight[i] != 0) sum += (double)point.weight[i] * all[plane * height * width + point.at[i]];
                    mil__store_f64(out, plane * n + at[1] * out->shape[3] + at[2], sum);
                }
            }
    return MIL_OK;
}

/* ---- crop_resize ---- */

static mil_status check_roi(mil__call *call, bool *has_image) {
    const mil_type *roi = mil__arg(call, "roi")->type;
    MIL__TRY(check_rank(call, "roi", 5));
    bool has_four = roi->shape[2] == 4, fits = has_four || roi->shape[2] == 5;
    for (int i = 1; i < 5; i++) fits = fits && (i == 2 || !differ(roi->shape[i], 1));
    *has_image = !has_four;
    return fits ? MIL_OK : mil__call_fail(call, MIL_ETYPE, "%s must be [boxes, 1, 4, 1, 1] or [boxes, 1, 5, 1, 1]", MIL__ARG_TEXT(call, "roi"));
}

static mil_status check_boxes(mil__call *call, const struct mil__crop_resize_params *params) {
    const mil__operand *indices = mil__arg(call, "box_indices");
    const mil_type *boxes = mil__arg(call, "boxes")->type;
    mil_dim images = mil__arg(call, "x")->type->shape[0], n;
    MIL__TRY(check_rank(call, "boxes", 2));
    n = boxes->shape[0];
    if (differ(boxes->shape[1], 4)) return mil__call_fail(call, MIL_ETYPE, "%s must be [boxes, 4]", MIL__ARG_TEXT(call, "boxes"));
    if (params->is_normalized && boxes->dtype == MIL_UINT16)
        return mil__call_fail(call, MIL_ETYPE, "%s must be fp16 or fp32 where coordinates are normalized", MIL__ARG_TEXT(call, "boxes"));
    if (!indices && n >= 0 && images >= 0 && n > images)
        return mil__call_fail(call, MIL_EVALUE, "%s has more boxes than %s has images; box_indices must say which are meant",
                              MIL__ARG_TEXT(call, "boxes"), MIL__ARG_TEXT(call, "x"));
    if (indices && (mil__rank(indices) != 1 || differ(mil__dim(indices, 0), n)))
        return mil__call_fail(call, MIL_ETYPE, "%s must have an index for each of %s", MIL__ARG_TEXT(call, "box_indices"),
                              MIL__ARG_TEXT(call, "boxes"));
    for (int64_t i = 0; indices && indices->data && i < indices->data->shape[0]; i++) {
        int64_t image = mil__load_i64(indices->data, i * indices->data->strides[0]);
        if (image < 0 || (images >= 0 && image >= images)) return mil__crop_fail(call, i);
    }
    return MIL_OK;
}

mil_status mil__crop_fail(mil__call *call, int64_t n) {
    return mil__call_fail(call, MIL_EVALUE, "box %lld is of an image that %s does not have", (long long)n, MIL__ARG_TEXT(call, "x"));
}

mil_status mil__infer_crop_resize(mil__call *call) {
    struct mil__crop_resize_params *params = call->params;
    const mil_type *x = mil__arg(call, "x")->type;
    bool has_image = true;
    int grid;
    MIL__TRY(check_rank(call, "x", 4));
    MIL__TRY(mil__get_choice(call, "box_coordinate_mode",
                             "CORNERS_HEIGHT_FIRST|CORNERS_WIDTH_FIRST|CENTER_SIZE_HEIGHT_FIRST|CENTER_SIZE_WIDTH_FIRST", &params->order));
    MIL__TRY(mil__get_choice(call, "sampling_mode", MIL__GRIDS, &grid));
    MIL__TRY(mil__get_bool(call, "normalized_coordinates", &params->is_normalized));
    MIL__TRY(mil__get_float(call, "spatial_scale", &params->scale));
    MIL__TRY(mil__get_int(call, "target_height", &params->size[0]));
    MIL__TRY(mil__get_int(call, "target_width", &params->size[1]));
    if (call->opset >= MIL_IOS16) MIL__TRY(mil__get_float(call, "pad_value", &params->padding));
    params->grid = (mil__grid)grid;
    if (params->size[0] < 1 || params->size[1] < 1)
        return mil__call_fail(call, MIL_EVALUE, "target_height and target_width are at least 1");
    MIL__TRY(check_elements(call));
    if (call->opset >= MIL_IOS17) {
        MIL__TRY(check_boxes(call, params));
        mil_dim shape[] = {mil__arg(call, "boxes")->type->shape[0], x->shape[1], params->size[0], params->size[1]};
        return mil__call_tensor(call, x->dtype, 4, shape);
    }
    MIL__TRY(check_roi(call, &has_image));
    mil_dim shape[] = {mil__arg(call, "roi")->type->shape[0], has_image ? 1 : x->shape[0], x->shape[1], params->size[0], params->size[1]};
    return mil__call_tensor(call, x->dtype, 5, shape);
}

bool mil__crop_box(const struct mil__crop_resize_params *params, const mil_tensor *boxes, const mil_tensor *indices, int64_t n,
                   const mil_tensor *x, mil__box *out) {
    bool is_roi = boxes->rank == 5, has_image = is_roi && boxes->shape[2] == 5;
    int64_t first = n * boxes->strides[0], step = boxes->strides[is_roi ? 2 : 1];
    double numbers[4], image = is_roi ? -1 : (double)n;
    if (has_image) image = mil__load_f64(boxes, first);
    if (indices) image = (double)mil__load_i64(indices, n * indices->strides[0]);
    for (int i = 0; i < 4; i++) numbers[i] = mil__load_f64(boxes, first + (i + has_image) * step) * params->scale;
    for (int axis = 0; axis < 2; axis++) { /* height, width */
        int at = axis ^ (params->order & 1);
        double one = numbers[at], two = numbers[at + 2], last = params->is_normalized ? (double)(x->shape[2 + axis] - 1) : 1;
        bool has_center = params->order >= 2;
        out->corner[axis][0] = (has_center ? one - two / 2 : one) * last;
        out->corner[axis][1] = (has_center ? one + two / 2 : two) * last;
    }
    out->image = image >= 0 && image < (double)x->shape[0] ? (int64_t)image : -1;
    return out->image >= 0 || (is_roi && !has_image);
}

bool mil__crop_tap(const struct mil__crop_resize_params *params, const double corner[2], int64_t n_in, int64_t i, int64_t n_out,
                   mil__tap *out) {
    double length = fabs(corner[1] - corner[0]), part = mil__grid_point(params->grid, length + 1, i, n_out);
    double at = part == length ? corner[1] : corner[1] < corner[0] ? corner[0] - part : corner[0] + part;
    *out = (mil__tap){0};
    if (!(at >= 0 && at <= (double)(n_in - 1))) return false;
    out->lo = out->hi = (int64_t)at;
    out->weight = at - (double)out->lo;
    if (out->weight > 0) out->hi++;
    return true;
}

static double between(const double *from, const mil__tap *tap, int64_t step) {
    double lo = from[tap->lo * step];
    return tap->weight > 0 ? lo + tap->weight * (from[tap->hi * step] - lo) : lo;
}

/* One image's channels in one box. */
static void crop_image(const struct mil__crop_resize_params *params, const mil__box *box, const double *image, const mil_tensor *x,
                       double *to) {
    int64_t height = x->shape[2], width = x->shape[3];
    for (int64_t c = 0; c < x->shape[1]; c++, image += height * width)
        for (int64_t i = 0; i < params->size[0]; i++)
            for (int64_t k = 0; k < params->size[1]; k++) {
                mil__tap down, across;
                bool is_inside = mil__crop_tap(params, box->corner[0], height, i, params->size[0], &down);
                is_inside = mil__crop_tap(params, box->corner[1], width, k, params->size[1], &across) && is_inside;
                double rows[2] = {between(image + down.lo * width, &across, 1), between(image + down.hi * width, &across, 1)};
                *to++ = is_inside ? between(rows, &(mil__tap){0, 1, down.weight}, 1) : params->padding;
            }
}

mil_status mil__eval_crop_resize(mil__call *call) {
    const struct mil__crop_resize_params *params = call->params;
    const mil__operand *boxes = mil__arg(call, call->opset >= MIL_IOS17 ? "boxes" : "roi");
    const mil__operand *indices = call->opset >= MIL_IOS17 ? mil__arg(call, "box_indices") : NULL;
    const mil_tensor *x = mil__arg(call, "x")->data;
    mil_tensor *out = call->result[0];
    int64_t image = x->shape[1] * x->shape[2] * x->shape[3], crop = x->shape[1] * params->size[0] * params->size[1];
    double *all = mil__arena_alloc(call->arena, (size_t)mil__numel(x) * sizeof *all + 1);
    double *results = mil__arena_alloc(call->arena, (size_t)mil__numel(out) * sizeof *results + 1), *to = results;
    if (!all || !results) return mil__nomem(call->err);
    mil__read_f64(x, all);
    for (int64_t n = 0; n < out->shape[0]; n++) {
        mil__box box;
        if (!mil__crop_box(params, boxes->data, indices ? indices->data : NULL, n, x, &box)) return mil__crop_fail(call, n);
        int64_t from = box.image < 0 ? 0 : box.image, until = box.image < 0 ? x->shape[0] : from + 1;
        for (int64_t k = from; k < until; k++, to += crop) crop_image(params, &box, all + k * image, x, to);
    }
    mil__write_f64(out, results);
    return MIL_OK;
}
