/* SPDX-License-Identifier: MIT */
/* Reading images [height, width] at any point: what plain evaluation and the cpu engine share. Points are in pixels; (0, 0) is
 * the center of the first, x goes along the width. */
#ifndef MIL__SAMPLING_H
#define MIL__SAMPLING_H

#include "ops/resizing.h"

typedef enum mil__outside { MIL__CONSTANT, MIL__BORDER, MIL__REFLECTION, MIL__SYMMETRIC } mil__outside;
typedef enum mil__coordinates { MIL__PIXELS, MIL__FROM_MINUS_ONE, MIL__FROM_ZERO } mil__coordinates;

/* resample, affine. */
struct mil__sample_params {
    bool is_nearest, aligns;
    mil__outside outside;
    mil__coordinates coordinates;
    double padding;
};

/* A result as a sum: of weight[i] times the element at[i] of an image, and `padded` times the padding. */
typedef struct mil__sampled {
    int64_t at[4];
    float weight[4], padded;
} mil__sampled;

/* At coordinates as the op's input has them. The image is not empty. */
void mil__sample(const struct mil__sample_params *params, double x, double y, int64_t height, int64_t width, mil__sampled *out);
/* affine: those of a pixel of the result, by the matrix [6]. */
void mil__affine_point(const struct mil__sample_params *params, const double matrix[6], const int64_t at[2], const int64_t size[2],
                       double *x, double *y);

struct mil__crop_resize_params {
    bool is_normalized;
    double scale, padding;
    int order;                /* of box_coordinate_mode */
    mil__grid grid;
    int64_t size[2];
};

/* A box's corners, the start and the end along the height, then the width. */
typedef struct mil__box {
    double corner[2][2];
    int64_t image;            /* -1: all */
} mil__box;

/* Box n; of boxes (or roi) and box_indices (or NULL) as the op has them. False: there is no such image among n_images. */
bool mil__crop_box(const struct mil__crop_resize_params *params, const mil_tensor *boxes, const mil_tensor *indices, int64_t n,
                   const mil_tensor *x, mil__box *out);
/* Where element i of n_out is read in the box, along an axis of n_in; false: outside of the image. */
bool mil__crop_tap(const struct mil__crop_resize_params *params, const double corner[2], int64_t n_in, int64_t i, int64_t n_out,
                   mil__tap *out);
mil_status mil__crop_fail(mil__call *call, int64_t n);

mil_status mil__eval_sample(mil__call *call);

#endif
