/* SPDX-License-Identifier: MIT */
/* tensor_operation, continued: non_zero and non_maximum_suppression, whose results depend on what elements are. */
#include <math.h>

#include "ops/rules.h"

/* ---- non_zero ---- */

enum { RUN = 256 };

/* How many elements are not 0. Their indices go to `to`, unless that is NULL, a row each. */
static int64_t list_non_zero(const mil_tensor *x, int32_t *to) {
    int64_t index[MIL_MAX_RANK] = {0}, offset = 0, found = 0, size = (int64_t)mil__element_size(x->dtype);
    int64_t last = x->rank - 1, width = x->rank ? x->shape[last] : 1, step = x->rank ? x->strides[last] : 1;
    double run[RUN];
    for (int64_t left = mil__numel(x); left > 0; left -= width) { /* a line along the last axis */
        for (int64_t from = 0; from < width; from += RUN) {
            int64_t n = width - from < RUN ? width - from : RUN;
            mil__convert(MIL_FP64, run, 1, x->dtype, (const char *)x->data + (offset + from * step) * size, step, n);
            for (int64_t i = 0; i < n; i++) {
                if (run[i] == 0) continue;
                found++;
                for (int64_t axis = 0; to && axis < last; axis++) *to++ = (int32_t)index[axis];
                if (to && x->rank) *to++ = (int32_t)(from + i);
            }
        }
        for (int64_t axis = last - 1; axis >= 0; axis--) {
            offset += x->strides[axis];
            if (++index[axis] < x->shape[axis]) break;
            offset -= x->strides[axis] * x->shape[axis];
            index[axis] = 0;
        }
    }
    return found;
}

mil_status mil__infer_non_zero(mil__call *call) {
    const mil__operand *x = mil__arg(call, "x");
    mil_dim shape[] = {x->data ? list_non_zero(x->data, NULL) : mil__dim_fresh(call->types),
                       x->type->is_unranked ? mil__dim_fresh(call->types) : x->type->rank};
    return mil__call_tensor(call, MIL_INT32, 2, shape);
}

mil_status mil__eval_non_zero(mil__call *call) {
    list_non_zero(mil__arg(call, "x")->data, call->result[0]->data);
    return MIL_OK;
}

/* ---- non_maximum_suppression ----
 * Boxes in the order of their scores (that of the best class counts; of equals the first), until there are max_boxes:
 *
 *     kept     unless it overlaps one that is kept by more than iou_threshold
 *              (with per_class_suppression, one of the same best class)
 *
 * Boxes whose score is below score_threshold are not looked at; where that leaves none, the best box is kept nevertheless. */

/* Boxes and scores have the boxes' axis second, from ios17 on last. */
typedef struct layout {
    bool is_last;
    int64_t batch, boxes, classes;
} layout;

static mil_status check_layout(mil__call *call) {
    const mil_type *boxes = mil__arg(call, "boxes")->type, *scores = mil__arg(call, "scores")->type;
    int axis = call->opset >= MIL_IOS17 ? 2 : 1;
    const char *wanted = axis == 2 ? "[batch, 4, boxes]" : "[batch, boxes, 4]";
    bool fits = boxes->rank == 3 && scores->rank == 3;
    for (int i = 0; fits && i < 3; i++) {
        mil_dim a = boxes->shape[i], b = i == 3 - axis ? 4 : scores->shape[i];
        fits = a < 0 || b < 0 || a == b;
    }
    if (!fits)
        return mil__call_fail(call, MIL_ETYPE, "%s must be %s and %s have, in the place of 4, a score for each class", MIL__ARG_TEXT(call, "boxes"),
                              wanted, MIL__ARG_TEXT(call, "scores"));
    if (scores->shape[3 - axis] == 0) return mil__call_fail(call, MIL_ETYPE, "%s has no classes", MIL__ARG_TEXT(call, "scores"));
    return MIL_OK;
}

mil_status mil__infer_non_maximum_suppression(mil__call *call) {
    const mil_type *boxes = mil__arg(call, "boxes")->type, *scores = mil__arg(call, "scores")->type;
    bool is_last = call->opset >= MIL_IOS17, ignored;
    double threshold;
    int64_t most;
    MIL__TRY(mil__get_float(call, "iou_threshold", &threshold));
    if (!is_last) MIL__TRY(mil__get_float(call, "score_threshold", &threshold));
    MIL__TRY(mil__get_bool(call, "per_class_suppression", &ignored));
    MIL__TRY(mil__get_int(call, "max_boxes", &most));
    if (most < 0) return mil__call_fail(call, MIL_EVALUE, "max_boxes is %lld; only 0 and more is possible", (long long)most);
    MIL__TRY(check_layout(call));
    mil_dim n = scores->shape[0], classes = scores->shape[is_last ? 1 : 2];
    mil_dim box[] = {n, is_last ? 4 : most, is_last ? most : 4}, score[] = {n, is_last ? classes : most, is_last ? most : classes};
    MIL__TRY(mil__call_outputs(call, is_last ? 3 : 4));
    call->out[0] = mil__tensor_type(call->types, boxes->dtype, 3, box);
    call->out[1] = mil__tensor_type(call->types, scores->dtype, 3, score);
    call->out[2] = mil__tensor_type(call->types, MIL_INT32, 2, (mil_dim[]){n, most});
    if (!is_last) call->out[3] = mil__tensor_type(call->types, MIL_INT32, 1, &n);
    for (int i = 0; i < call->n_out; i++)
        if (!call->out[i]) return mil__nomem(call->err);
    return MIL_OK;
}

typedef struct candidate {
    double score, left, right, top, bottom, area;
    int64_t index, class_;
} candidate;

static int by_score(const void *a, const void *b) {
    const candidate *one = a, *two = b;
    if (one->score != two->score) return one->score > two->score ? -1 : 1;
    return one->index < two->index ? -1 : 1;
}

/* The part of their union that two boxes have in common. */
static double overlap(const candidate *a, const candidate *b) {
    double width = fmin(a->right, b->right) - fmax(a->left, b->left), height = fmin(a->bottom, b->bottom) - fmax(a->top, b->top);
    if (!(width > 0 && height > 0) || a->area <= 0 || b->area <= 0) return 0;
    return width * height / (a->area + b->area - width * height);
}

/* Element `part` of box i of a batch entry. */
static double part_of(const mil_tensor *t, const layout *l, int64_t entry, int64_t i, int64_t part) {
    return mil__load_f64(t, entry * t->strides[0] + i * t->strides[l->is_last ? 2 : 1] + part * t->strides[l->is_last ? 1 : 2]);
}

static candidate candidate_of(const mil_tensor *boxes, const mil_tensor *scores, const layout *l, int64_t entry, int64_t i) {
    double b[4], half[2];
    candidate c = {.index = i, .score = -INFINITY};
    for (int k = 0; k < 4; k++) b[k] = part_of(boxes, l, entry, i, k);
    for (int k = 0; k < 2; k++) half[k] = fabs(b[k + 2]) / 2;
    c.left = b[0] - half[0], c.right = b[0] + half[0], c.top = b[1] - half[1], c.bottom = b[1] + half[1];
    c.area = 4 * half[0] * half[1];
    for (int64_t k = 0; k < l->classes; k++) {
        double score = part_of(scores, l, entry, i, k);
        if (score > c.score) c.score = score, c.class_ = k;
    }
    return c;
}

/* Moves those that are kept to the front of n candidates; how many. */
static int64_t suppress(candidate *all, int64_t n, double threshold, bool by_class, int64_t most) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n && kept < most; i++) {
        bool is_free = true;
        for (int64_t k = 0; k < kept && is_free; k++)
            is_free = (by_class && all[k].class_ != all[i].class_) || !(overlap(&all[k], &all[i]) > threshold);
        if (is_free) all[kept++] = all[i];
    }
    return kept;
}

/* A kept box's numbers to their place in a result, whose layout is that of the input. */
static void copy_parts(mil_tensor *to, const mil_tensor *from, const layout *l, int64_t entry, int64_t i, int64_t index, int64_t parts) {
    for (int64_t k = 0; k < parts; k++)
        mil__store_f64(to, entry * to->strides[0] + i * to->strides[l->is_last ? 2 : 1] + k * to->strides[l->is_last ? 1 : 2],
                       part_of(from, l, entry, index, k));
}

static void clear_results(mil__call *call) {
    mil_tensor *const *out = call->result;
    memset(out[0]->data, 0, mil_tensor_bytes(out[0]));
    memset(out[1]->data, 0, mil_tensor_bytes(out[1]));
    memset(out[2]->data, 0xff, mil_tensor_bytes(out[2])); /* -1: no box */
}

mil_status mil__eval_non_maximum_suppression(mil__call *call) {
    const mil_tensor *boxes = mil__arg(call, "boxes")->data, *scores = mil__arg(call, "scores")->data;
    layout l = {.is_last = call->opset >= MIL_IOS17, .batch = scores->shape[0]};
    double overlapping, least = -INFINITY;
    int64_t most = call->result[2]->shape[1];
    bool by_class;
    l.boxes = scores->shape[l.is_last ? 2 : 1];
    l.classes = scores->shape[l.is_last ? 1 : 2];
    MIL__TRY(mil__get_float(call, "iou_threshold", &overlapping));
    if (!l.is_last) MIL__TRY(mil__get_float(call, "score_threshold", &least));
    MIL__TRY(mil__get_bool(call, "per_class_suppression", &by_class));
    candidate *all = mil__arena_alloc(call->arena, (size_t)l.boxes * sizeof *all + 1);
    if (!all) return mil__nomem(call->err);
    clear_results(call);
    for (int64_t entry = 0; entry < l.batch; entry++) {
        int64_t n = 0;
        for (int64_t i = 0; i < l.boxes; i++) all[i] = candidate_of(boxes, scores, &l, entry, i);
        qsort(all, (size_t)l.boxes, sizeof *all, by_score);
        while (n < l.boxes && all[n].score >= least) n++;
        if (n == 0 && l.boxes) n = 1;
        n = suppress(all, n, overlapping, by_class, most);
        for (int64_t i = 0; i < n; i++) {
            copy_parts(call->result[0], boxes, &l, entry, i, all[i].index, 4);
            copy_parts(call->result[1], scores, &l, entry, i, all[i].index, l.classes);
            mil__store_i64(call->result[2], entry * most + i, all[i].index);
        }
        if (!l.is_last) mil__store_i64(call->result[3], entry, n);
    }
    return MIL_OK;
}
