/* SPDX-License-Identifier: MIT */
/* What inference decodes for evaluation (call->params), for the ops whose tuned kernels read it too. Ops that only their own
 * family evaluates keep theirs there. */
#ifndef MIL__PARAMS_H
#define MIL__PARAMS_H

#include "ops/op.h"

/* Numbers of elementwise ops: alpha and beta, or epsilon. */
struct mil__pq_params {
    double p, q;
};

struct mil__gelu_params {
    int mode;                 /* 0: exact, 1: by tanh, 2: by sigmoid */
};

/* Ops along axes (softmax, reductions, normalizations): bit a of `axes` stands for axis a. */
struct mil__axes_params {
    uint32_t axes;
    double epsilon;           /* of normalizations */
};

struct mil__lrn_params {
    int64_t size;
    double alpha, beta, k;
};

struct mil__matmul_params {
    bool transpose_x, transpose_y;
};

/* conv and conv_transpose. Arrays are by spatial axis; `pad` is settled: sizes, whatever pad_type said. A transpose cuts off
 * that much; below 0 behind: positions that x does not reach. */
struct mil__conv_params {
    int spatial;              /* 1 to 3 */
    int64_t groups;
    int64_t kernel[3], strides[3], dilations[3], pad_before[3], pad_after[3];
};

struct mil__pool_params {
    int spatial;
    bool exclude_padding;
    int64_t kernel[3], strides[3], pad_before[3], pad_after[3]; /* pad_after: as given; what a window has beyond it (ceil_mode) is no padding and counts for nothing */
};

/* lstm, gru, rnn. */
enum { MIL__FORWARD, MIL__REVERSE, MIL__BIDIRECTIONAL };
enum { MIL__LINEAR, MIL__RELU, MIL__TANH, MIL__SCALED_TANH, MIL__SIGMOID, MIL__HARD_SIGMOID };

struct mil__recurrent_params {
    int direction;
    bool sequence;            /* h of every step */
    bool reset_after;         /* of a gru: the reset gate multiplies R h + bias, not h */
    int recurrent, cell, activation;
    double clip;              /* of c */
    int64_t hidden;
};

#endif
