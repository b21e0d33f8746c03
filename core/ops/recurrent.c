/* SPDX-License-Identifier: MIT */
/* recurrent: inference and plain evaluation.
 *
 *      x[t] [I] --W--+            The rows of W, R and b come in gates, H of them each: 4 in an lstm, 3 in a gru, 1 in an
 *                    +-- sums --> cell --> h [H]
 *      h    [H] --R--+ + b        rnn. A cell makes the next h of their sums, and keeps c where there is one.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "ops/params.h"
#include "ops/products.h"
#include "ops/rules.h"

/* ---- inference ---- */

/* An activation, as params.h numbers them; letters of either case, as coremltools takes them. */
static mil_status get_activation(mil__call *call, const char *name, int *out) {
    static const char *const names[] = {"linear", "relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid"};
    const char *text;
    char lower[16];
    size_t n = 0;
    MIL__TRY(mil__get_text(call, name, &text));
    for (; text[n] && n < sizeof lower - 1; n++) lower[n] = (char)tolower((unsigned char)text[n]);
    lower[n] = 0;
    for (int i = 0; i < (int)MIL__COUNT(names); i++)
        if (!text[n] && strcmp(lower, names[i]) == 0) {
            *out = i;
            return MIL_OK;
        }
    return mil__call_fail(call, MIL_EVALUE, "%s \"%.60s\" is none of linear|relu|tanh|scaled_tanh|sigmoid|hard_sigmoid", name, text);
}

/* An operand's type must be [d[0], d[1], ..]; below 0: any extent. what: in the error, how many of what it has to have. */
static mil_status has_shape(mil__call *call, const char *name, int rank, const mil_dim *d, const char *what) {
    const mil__operand *operand = mil__arg(call, name);
    bool fits = !operand || mil__rank(operand) == rank;
    for (int i = 0; operand && fits && i < rank; i++) fits = d[i] < 0 || mil__dim(operand, i) < 0 || d[i] == mil__dim(operand, i);
    return fits ? MIL_OK : mil__call_fail(call, MIL_ETYPE, "%s must be %s", MIL__ARG_TEXT(call, name), what);
}

static mil_status check_bias(mil__call *call, const char *name, int gates, int64_t hidden) {
    char what[100];
    mil_dim n = gates * hidden;
    snprintf(what, sizeof what, "[%lld]: %d gates of H = %lld values", (long long)n, gates, (long long)hidden);
    return has_shape(call, name, 1, &n, what);
}

/* The weights of a direction; *hidden is H. */
static mil_status check_weights(mil__call *call, const char *ih, const char *hh, const char *bias, const char *peephole, int gates,
                                int64_t *hidden) {
    const mil__operand *r = mil__arg(call, hh);
    char what[160];
    if (mil__rank(r) != 2 || mil__dim(r, 1) < 1 || mil__dim(r, 0) != gates * mil__dim(r, 1))
        return mil__call_fail(call, MIL_ETYPE, "%s must be [%d*H, H]", MIL__ARG_TEXT(call, hh), gates);
    int64_t h = *hidden = mil__dim(r, 1);
    mil_dim features = mil__dim(mil__arg(call, "x"), 2), d[2] = {gates * h, features};
    snprintf(what, sizeof what, "[%lld, %s]: %d gates of H = %lld rows, and x's features", (long long)d[0],
             MIL__DIM_TEXT(call->types, features), gates, (long long)h);
    MIL__TRY(has_shape(call, ih, 2, d, what));
    MIL__TRY(check_bias(call, bias, gates, h));
    if (!peephole) return MIL_OK;
    d[0] = 3 * h;
    snprintf(what, sizeof what, "[%lld]: H = %lld values for i, f and o", (long long)d[0], (long long)h);
    return has_shape(call, peephole, 1, d, what);
}

static mil_status check_back(mil__call *call, int64_t hidden) {
    int64_t back;
    if (!mil__has(call, "weight_ih_back") || !mil__has(call, "weight_hh_back"))
        return mil__call_fail(call, MIL_ETYPE, "bidirectional takes weight_ih_back and weight_hh_back too");
    MIL__TRY(check_weights(call, "weight_ih_back", "weight_hh_back", "bias_back", "peephole_back", 4, &back));
    if (back == hidden) return MIL_OK;
    return mil__call_fail(call, MIL_ETYPE, "%s and %s must have one H", MIL__ARG_TEXT(call, "weight_hh"),
                          MIL__ARG_TEXT(call, "weight_hh_back"));
}

/* Parameters, weights and initial values; then the results: y, h, and the cell's c. */
static mil_status infer_layer(mil__call *call, int gates, bool has_cell) {
    struct mil__recurrent_params *p = call->params;
    const mil_type *x = mil__arg(call, "x")->type;
    if (x->rank != 3) return mil__call_fail(call, MIL_ETYPE, "%s must be [s, b, I]: steps, batch, features", MIL__ARG_TEXT(call, "x"));
    MIL__TRY(mil__get_choice(call, "direction", has_cell ? "forward|reverse|bidirectional" : "forward|reverse", &p->direction));
    MIL__TRY(mil__get_bool(call, "output_sequence", &p->sequence));
    MIL__TRY(check_weights(call, "weight_ih", "weight_hh", "bias", has_cell ? "peephole" : NULL, gates, &p->hidden));
    if (p->direction == MIL__BIDIRECTIONAL) MIL__TRY(check_back(call, p->hidden));
    mil_dim width = p->hidden * (p->direction == MIL__BIDIRECTIONAL ? 2 : 1);
    mil_dim y[3] = {p->sequence ? x->shape[0] : 1, x->shape[1], width};
    char what[120];
    snprintf(what, sizeof what, "[%s, %lld]: x's batch, and the hidden values", MIL__DIM_TEXT(call->types, y[1]), (long long)width);
    MIL__TRY(has_shape(call, "initial_h", 2, y + 1, what));
    if (has_cell) MIL__TRY(has_shape(call, "initial_c", 2, y + 1, what));
    MIL__TRY(mil__call_outputs(call, has_cell ? 3 : 2));
    const mil_type *state = mil__tensor_type(call->types, x->dtype, 2, y + 1);
    call->out[0] = mil__tensor_type(call->types, x->dtype, 3, y);
    for (int i = 1; i < call->n_out; i++) call->out[i] = state;
    return call->out[0] && state ? MIL_OK : mil__call_result(call, NULL);
}

mil_status mil__infer_lstm(mil__call *call) {
    struct mil__recurrent_params *p = call->params;
    MIL__TRY(get_activation(call, "recurrent_activation", &p->recurrent));
    MIL__TRY(get_activation(call, "cell_activation", &p->cell));
    MIL__TRY(get_activation(call, "activation", &p->activation));
    p->clip = INFINITY;
    if (mil__has(call, "clip")) MIL__TRY(mil__get_float(call, "clip", &p->clip));
    return infer_layer(call, 4, true);
}

mil_status mil__infer_gru(mil__call *call) {
    struct mil__recurrent_params *p = call->params;
    MIL__TRY(get_activation(call, "recurrent_activation", &p->recurrent));
    MIL__TRY(get_activation(call, "activation", &p->activation));
    if (mil__has(call, "reset_after")) MIL__TRY(mil__get_bool(call, "reset_after", &p->reset_after));
    MIL__TRY(infer_layer(call, 3, false));
    return check_bias(call, "input_bias", 3, p->hidden);
}

mil_status mil__infer_rnn(mil__call *call) {
    struct mil__recurrent_params *p = call->params;
    MIL__TRY(get_activation(call, "activation", &p->activation));
    return infer_layer(call, 1, false);
}

/* ---- cells: one step of one item ---- */

/* scaled_tanh and hard_sigmoid with the factors that Core ML has here: 1 and 1, 0.2 and 0.5. */
static double activate(int activation, double v) {
    switch (activation) {
    case MIL__RELU: return v > 0 || isnan(v) ? v : 0;
    case MIL__TANH: case MIL__SCALED_TANH: return tanh(v);
    case MIL__SIGMOID: return 1 / (1 + exp(-v));
    case MIL__HARD_SIGMOID: return fmin(fmax(0.2 * v + 0.5, 0), 1);
    default: return v;
    }
}

/* A direction of a layer; biases and peephole may be NULL. */
typedef struct layer {
    const struct mil__recurrent_params *p;
    int64_t hidden, features;
    const double *w, *r, *bias, *input_bias, *peephole;
    double *h, *c;            /* of the item; c NULL: none */
    double *sums, *part;      /* as many as there are rows */
} layer;

typedef void cell_fn(const layer *l, const double *x);

/* sums = W x + input bias, part = R h + bias, for n gates from one on. */
static void multiply(const layer *l, int from, int n, const double *x, const double *h) {
    int64_t at = from * l->hidden, rows = n * l->hidden;
    mil__product_row(rows, l->features, x, 1, l->w + at * l->features, 1, l->features, l->sums + at);
    mil__product_row(rows, l->hidden, h, 1, l->r + at * l->hidden, 1, l->hidden, l->part + at);
    for (int64_t i = at; i < at + rows; i++) {
        if (l->input_bias) l->sums[i] += l->input_bias[i];
        if (l->bias) l->part[i] += l->bias[i];
    }
}

/* sums = both. */
static void add_up(const layer *l, int from, int n, const double *x, const double *h) {
    multiply(l, from, n, x, h);
    for (int64_t i = from * l->hidden; i < (from + n) * l->hidden; i++) l->sums[i] += l->part[i];
}

static void lstm_cell(const layer *l, const double *x) {
    int64_t n = l->hidden;
    const struct mil__recurrent_params *p = l->p;
    add_up(l, 0, 4, x, l->h);
    for (int64_t k = 0; k < n; k++) {
        double seen = l->c[k], *sum = l->sums + k;
        double i = activate(p->recurrent, sum[0] + (l->peephole ? l->peephole[k] * seen : 0));
        double f = activate(p->recurrent, sum[n] + (l->peephole ? l->peephole[n + k] * seen : 0));
        double c = fmax(fmin(f * seen + i * activate(p->cell, sum[3 * n]), p->clip), -p->clip);
        double o = activate(p->recurrent, sum[2 * n] + (l->peephole ? l->peephole[2 * n + k] * c : 0));
        l->c[k] = c;
        l->h[k] = o * activate(p->activation, c);
    }
}

/* The new value sees h, or what is made of h, through the reset gate. */
static void gru_cell(const layer *l, const double *x) {
    int64_t n = l->hidden;
    double *r = l->sums, *o = l->sums + n, *z = l->sums + 2 * n, *seen = l->part + n;
    add_up(l, 0, 1, x, l->h);
    add_up(l, 2, 1, x, l->h);
    for (int64_t k = 0; k < n; k++) r[k] = activate(l->p->recurrent, r[k]);
    if (l->p->reset_after) {
        multiply(l, 1, 1, x, l->h);
        for (int64_t k = 0; k < n; k++) o[k] += r[k] * seen[k];
    } else {
        for (int64_t k = 0; k < n; k++) r[k] *= l->h[k];
        add_up(l, 1, 1, x, r);
    }
    for (int64_t k = 0; k < n; k++) {
        double update = activate(l->p->recurrent, z[k]);
        l->h[k] = (1 - update) * activate(l->p->activation, o[k]) + update * l->h[k];
    }
}

static void rnn_cell(const layer *l, const double *x) {
    add_up(l, 0, 1, x, l->h);
    for (int64_t k = 0; k < l->hidden; k++) l->h[k] = activate(l->p->activation, l->sums[k]);
}

/* ---- evaluation ---- */

/* An operand's elements as doubles; *out is NULL where it is absent. */
static mil_status doubles(mil__call *call, const char *name, const double **out) {
    const mil__operand *operand = mil__arg(call, name);
    *out = NULL;
    if (!operand) return MIL_OK;
    double *data = mil__arena_alloc(call->arena, ((size_t)mil__numel(operand->data) + 1) * sizeof *data);
    if (!data) return mil__nomem(call->err);
    mil__read_f64(operand->data, data);
    *out = data;
    return MIL_OK;
}

static void store(mil_tensor *result, int64_t at, const double *values, int64_t n) {
    char *to = (char *)result->data + (size_t)at * mil__element_size(result->dtype);
    mil__convert(result->dtype, to, 1, MIL_FP64, values, 1, n);
}

typedef struct sequence {
    int64_t steps, batch, width;  /* width of the results: H of every direction */
    const double *x, *h, *c;
} sequence;

/* One item through one direction, whose values are at `place` in the results' rows. Of direction reverse, the results of
 * steps are in the order in which they are taken; of a bidirectional layer's way back, beside those of the way there. */
static void run_item(mil__call *call, const layer *l, const sequence *s, cell_fn *cell, int64_t item, bool reverse, int64_t place) {
    int64_t at = item * s->width + place, size = l->hidden;
    memcpy(l->h, s->h + at, (size_t)size * sizeof *l->h);
    if (l->c) memcpy(l->c, s->c + at, (size_t)size * sizeof *l->c);
    for (int64_t t = 0; t < s->steps; t++) {
        int64_t step = reverse ? s->steps - 1 - t : t, row = l->p->direction == MIL__BIDIRECTIONAL ? step : t;
        cell(l, s->x + (step * s->batch + item) * l->features);
        if (l->p->sequence) store(call->result[0], row * s->batch * s->width + at, l->h, size);
    }
    if (!l->p->sequence) store(call->result[0], at, l->h, size);
    store(call->result[1], at, l->h, size);
    if (l->c) store(call->result[2], at, l->c, size);
}

static mil_status new_layer(mil__call *call, int64_t features, int gates, bool has_cell, bool back, layer *l) {
    *l = (layer){.p = call->params, .features = features};
    size_t hidden = (size_t)l->p->hidden;
    l->hidden = l->p->hidden;
    double *room = mil__arena_alloc(call->arena, (2 + 2 * (size_t)gates) * hidden * sizeof *room);
    if (!room) return mil__nomem(call->err);
    l->h = room;
    l->c = has_cell ? room + hidden : NULL;
    l->sums = room + 2 * hidden;
    l->part = l->sums + (size_t)gates * hidden;
    MIL__TRY(doubles(call, back ? "weight_ih_back" : "weight_ih", &l->w));
    MIL__TRY(doubles(call, back ? "weight_hh_back" : "weight_hh", &l->r));
    MIL__TRY(doubles(call, back ? "bias_back" : "bias", &l->bias));
    if (gates == 3) return doubles(call, "input_bias", &l->input_bias);
    return has_cell ? doubles(call, back ? "peephole_back" : "peephole", &l->peephole) : MIL_OK;
}

static mil_status eval_layer(mil__call *call, int gates, cell_fn *cell) {
    const struct mil__recurrent_params *p = call->params;
    const int64_t *shape = mil__arg(call, "x")->data->shape;
    bool has_cell = gates == 4, both = p->direction == MIL__BIDIRECTIONAL;
    sequence s = {.steps = shape[0], .batch = shape[1], .width = p->hidden * (both ? 2 : 1)};
    MIL__TRY(doubles(call, "x", &s.x));
    MIL__TRY(doubles(call, "initial_h", &s.h));
    if (has_cell) MIL__TRY(doubles(call, "initial_c", &s.c));
    for (int back = 0; back <= (both ? 1 : 0); back++) {
        layer l;
        MIL__TRY(new_layer(call, shape[2], gates, has_cell, back, &l));
        for (int64_t item = 0; item < s.batch; item++)
            run_item(call, &l, &s, cell, item, back || p->direction == MIL__REVERSE, back * p->hidden);
    }
    return MIL_OK;
}

mil_status mil__eval_lstm(mil__call *call) { return eval_layer(call, 4, lstm_cell); }

mil_status mil__eval_gru(mil__call *call) { return eval_layer(call, 3, gru_cell); }

mil_status mil__eval_rnn(mil__call *call) { return eval_layer(call, 1, rnn_cell); }
