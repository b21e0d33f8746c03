/* SPDX-License-Identifier: MIT */
/* argsort and topk, of tensor_operation: each line along the axis in order, equals by their index, NaN last. Where few of a line
 * are wanted, they are chosen first: a heap holds the best so far, the worst of them on top. */
#include "ops/rules.h"

typedef struct element {
    double key; /* ascending */
    int64_t index;
} element;

static int by_key(const void *a, const void *b) {
    const element *one = a, *two = b;
    bool nan_one = one->key != one->key, nan_two = two->key != two->key;
    if (nan_one != nan_two) return nan_one ? 1 : -1;
    if (one->key < two->key) return -1;
    if (one->key > two->key) return 1;
    return one->index < two->index ? -1 : 1;
}

/* The heap of n whose top is to be moved down to its place. */
static void sink(element *heap, int64_t n) {
    element moved = heap[0];
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child + 1 < n && by_key(&heap[child], &heap[child + 1]) < 0) child++;
        if (child >= n || by_key(&moved, &heap[child]) >= 0) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void rise(element *heap, int64_t at) {
    element moved = heap[at];
    for (; at > 0 && by_key(&heap[(at - 1) / 2], &moved) < 0; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = moved;
}

/* The first k of n in order, at the front, sorted; what follows them is lost. */
static void sort_first(element *line, int64_t n, int64_t k) {
    if (k > n / 8) {
        qsort(line, (size_t)n, sizeof *line, by_key);
        return;
    }
    for (int64_t i = 1; i < k; i++) rise(line, i);
    for (int64_t i = k; i < n && k > 0; i++) {
        if (by_key(&line[i], &line[0]) >= 0) continue;
        line[0] = line[i];
        sink(line, k);
    }
    qsort(line, (size_t)k, sizeof *line, by_key);
}

/* The first k of each line of x, sorted: their values (where asked for) and indices. */
static mil_status sort_lines(mil__call *call, int axis, bool ascending, mil_tensor *values, mil_tensor *indices) {
    const mil_tensor *x = mil__arg(call, "x")->data;
    const mil_tensor *out = values ? values : indices;
    int64_t n = x->shape[axis], k = out->shape[axis], inner = 1;
    for (int i = axis + 1; i < x->rank; i++) inner *= x->shape[i];
    int64_t lines = n ? mil__numel(x) / n : 0;
    double *all = mil__arena_alloc(call->arena, (size_t)mil__numel(x) * sizeof *all + 1);
    element *line = mil__arena_alloc(call->arena, (size_t)n * sizeof *line + 1);
    if (!all || !line) return mil__nomem(call->err);
    mil__read_f64(x, all);
    for (int64_t l = 0; l < lines; l++) {
        int64_t from = (l / inner) * n * inner + l % inner, to = (l / inner) * k * inner + l % inner;
        for (int64_t i = 0; i < n; i++) {
            double v = all[from + i * inner];
            line[i] = (element){ascending ? v : -v, i};
        }
        sort_first(line, n, k);
        for (int64_t i = 0; i < k; i++) {
            if (values) mil__store_f64(values, to + i * inner, all[from + line[i].index * inner]);
            if (indices) mil__store_i64(indices, to + i * inner, line[i].index);
        }
    }
    return MIL_OK;
}

static mil_status get_axis(mil__call *call, int *axis) {
    int64_t given;
    MIL__TRY(mil__get_int(call, "axis", &given));
    return mil__axis(call, "axis", given, mil__rank(mil__arg(call, "x")), axis);
}

mil_status mil__infer_argsort(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    return mil__call_tensor(call, MIL_INT32, x->rank, x->shape);
}

mil_status mil__eval_argsort(mil__call *call) {
    int axis;
    bool ascending;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(mil__get_bool(call, "ascending", &ascending));
    return sort_lines(call, axis, ascending, NULL, call->result[0]);
}

/* The dtype of the second result; MIL_NO_DTYPE where there is none. */
static mil_status indices_dtype(mil__call *call, mil_dtype *out) {
    bool wanted = true;
    int choice = 0;
    if (call->opset >= MIL_IOS16) MIL__TRY(mil__get_bool(call, "return_indices", &wanted));
    if (call->opset >= MIL_IOS17) {
        if (!wanted && mil__has(call, "output_indices_dtype"))
            return mil__call_fail(call, MIL_EVALUE, "output_indices_dtype is given, but return_indices is false");
        if (wanted) MIL__TRY(mil__get_choice(call, "output_indices_dtype", "int32|uint16", &choice));
    }
    *out = !wanted ? MIL_NO_DTYPE : choice ? MIL_UINT16 : MIL_INT32;
    return MIL_OK;
}

mil_status mil__infer_topk(mil__call *call) {
    const mil_type *x = mil__arg(call, "x")->type;
    mil_dim shape[MIL_MAX_RANK];
    mil_dtype indices;
    int64_t k;
    int axis;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(mil__get_int(call, "k", &k));
    MIL__TRY(indices_dtype(call, &indices));
    if (indices) MIL__TRY(mil__index_dtype_fits(call, axis, indices));
    if (k < 0 || (x->shape[axis] >= 0 && k > x->shape[axis]))
        return mil__call_fail(call, MIL_EVALUE, "k = %lld, but axis %d of %s has %s elements", (long long)k, axis,
                              MIL__ARG_TEXT(call, "x"), MIL__DIM_TEXT(call->types, x->shape[axis]));
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    shape[axis] = k;
    MIL__TRY(mil__call_outputs(call, indices ? 2 : 1));
    for (int i = 0; i < call->n_out; i++) {
        call->out[i] = mil__tensor_type(call->types, i ? indices : x->dtype, x->rank, shape);
        if (!call->out[i]) return mil__nomem(call->err);
    }
    return MIL_OK;
}

mil_status mil__eval_topk(mil__call *call) {
    mil_dtype indices;
    int axis;
    bool ascending;
    MIL__TRY(get_axis(call, &axis));
    MIL__TRY(mil__get_bool(call, "ascending", &ascending));
    MIL__TRY(indices_dtype(call, &indices));
    return sort_lines(call, axis, ascending, call->result[0], indices ? call->result[1] : NULL);
}
