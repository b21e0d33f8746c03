/* SPDX-License-Identifier: MIT */
/* Lists: a slot whose tensor has the elements along its first axis.
 *
 *     make_list(init_length = 2, elem_shape = (3,))       [2, 3] of zeros
 *     list_write(ls, index = 4, value)                    [5, 3], element 4 is value
 *
 * A write gives another list. Where nobody reads the one before any more, its memory is the new one's; so a loop that fills a
 * list copies no element but the one that it writes, and memory that runs out is doubled. An element's dim that is not known
 * (-1) takes its size with the first write; until then the list has a length, and no memory. */
#include <stdio.h>

#include "engine/cpu/compressed.h"
#include "ops/rules.h"

bool mil__takes_lists(const mil__lower *lower, const mil__op *op) {
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (lower->program->values[op->outputs[i]]->type->kind == MIL_LIST) return true;
    for (uint16_t a = 0; a < op->n_args; a++)
        for (uint32_t i = 0; i < op->args[a].n; i++)
            if (lower->program->values[op->args[a].values[i]]->type->kind == MIL_LIST) return true;
    return false;
}

typedef struct list_params {
    uint32_t ls, index, value;    /* slots; UINT32_MAX: none. make_list's init_length is its index */
    uint32_t out;
    bool takes_over;              /* ls is not read any more */
    bool is_fixed;                /* make_list */
    int64_t length;               /* make_list: where no slot says it */
    const char *op, *name;        /* for messages */
} list_params;

__attribute__((format(printf, 4, 5)))
static mil_status fail(const mil__run *run, const list_params *p, mil_status status, const char *format, ...) {
    char message[500];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return mil__fail(run->err, status, "%s: %s", p->op, message);
}

/* ---- the elements ---- */

/* Bytes of an element; false where a dim is not known yet. */
static bool element_bytes(const mil_tensor *list, size_t *out) {
    int64_t n;
    return mil__shape_numel(list->rank - 1, list->shape + 1, &n) && mil__dtype_bytes(list->dtype, n, out);
}

/* The list has n elements: zeros come behind those that it had. */
static mil_status set_length(const mil__run *run, const list_params *p, int64_t n) {
    mil_tensor *list = &run->t[p->out];
    size_t size, had, bytes;
    list->shape[0] = list->shape[0] < n ? list->shape[0] : n;
    if (!element_bytes(list, &size)) {
        list->shape[0] = n;
        return MIL_OK;
    }
    had = (size_t)list->shape[0] * size;
    if (!mil__mul_size((size_t)n, size, &bytes)) return fail(run, p, MIL_ELIMIT, "%s would have %lld elements", p->name, (long long)n);
    MIL__TRY(mil__dynamic_room(run->context, p->out, bytes, had, run->err));
    memset((char *)list->data + had, 0, bytes - had);
    list->shape[0] = n;
    return MIL_OK;
}

/* An element of this shape is to be written: the list has its dims where it had none. */
static mil_status meet_shape(const mil__run *run, const list_params *p, int rank, const int64_t *shape) {
    mil_tensor *list = &run->t[p->out];
    size_t size;
    bool was_known = element_bytes(list, &size), same = rank == list->rank - 1;
    for (int i = 0; i < rank && same; i++) same = list->shape[i + 1] < 0 || list->shape[i + 1] == shape[i];
    if (!same) {
        return fail(run, p, MIL_ETYPE, "an element of %s is %s, but value is %s", p->name,
                    MIL__SHAPE_TEXT(list->rank - 1, list->shape + 1), MIL__SHAPE_TEXT(rank, shape));
    }
    if (was_known) return MIL_OK;
    int64_t n = list->shape[0], whole[MIL_MAX_RANK] = {0};
    for (int i = 0; i < rank; i++) whole[i + 1] = shape[i];
    mil__tensor_init(list, list->dtype, rank + 1, whole, NULL);
    return set_length(run, p, n);
}

/* The strides of a tensor whose length is set now. */
static void set_strides(mil_tensor *list) { mil__tensor_init(list, list->dtype, list->rank, list->shape, list->data); }

/* ---- make_list, list_length ---- */

static mil_status run_make(mil__run *run, const mil__step *step) {
    const list_params *p = step->params;
    const mil__slot *slot = &run->context->plan->slots[p->out];
    int64_t n = p->index == UINT32_MAX ? p->length : mil__load_i64(&run->t[p->index], 0), shape[MIL_MAX_RANK] = {0};
    if (n < 0) return fail(run, p, MIL_EVALUE, "init_length of %s is %lld", p->name, (long long)n);
    for (int i = 1; i < slot->rank; i++) shape[i] = slot->shape[i];
    mil__tensor_init(&run->t[p->out], slot->dtype, slot->rank, shape, NULL);
    run->context->is_fixed[p->out] = p->is_fixed;
    MIL__TRY(set_length(run, p, n));
    set_strides(&run->t[p->out]);
    return MIL_OK;
}

static mil_status run_length(mil__run *run, const mil__step *step) {
    const list_params *p = step->params;
    mil__store_i64(&run->t[p->out], 0, run->t[p->ls].shape[0]);
    return MIL_OK;
}

/* ---- reading ---- */

static mil_status check_index(const mil__run *run, const list_params *p, int64_t index, int64_t n) {
    if (index >= 0 && index < n) return MIL_OK;
    return fail(run, p, MIL_EVALUE, "index %lld is outside of %s, which has %lld element%s", (long long)index, p->name, (long long)n,
                n == 1 ? "" : "s");
}

/* Room for n elements in the result; n below 0: for one, without an axis. *size: of one. */
static mil_status make_result(const mil__run *run, const list_params *p, int64_t n, size_t *size) {
    const mil_tensor *list = &run->t[p->ls];
    mil_tensor *to = &run->t[p->out];
    int64_t shape[MIL_MAX_RANK], n_elements;
    int at = 0, rank = list->rank - (n < 0);
    size_t bytes;
    bool is_dynamic = run->context->plan->slots[p->out].kind == MIL__SLOT_DYNAMIC, is_known = element_bytes(list, size);
    if (!is_known && !is_dynamic) { /* never written: zeros of the size that the program says */
        *size = 0;
        memset(to->data, 0, mil_tensor_bytes(to));
        return MIL_OK;
    }
    if (!is_known) return fail(run, p, MIL_EVALUE, "no element of %s was written, and their size is not known", p->name);
    if (n >= 0) shape[at++] = n;
    for (int i = 1; i < list->rank; i++) shape[at++] = list->shape[i];
    if (!mil__shape_numel(rank, shape, &n_elements) || !mil__dtype_bytes(list->dtype, n_elements, &bytes))
        return fail(run, p, MIL_ELIMIT, "the result is too large for memory");
    if (is_dynamic) {
        MIL__TRY(mil__dynamic_room(run->context, p->out, bytes, 0, run->err));
        mil__tensor_init(to, list->dtype, rank, shape, to->data);
    } else if (memcmp(shape, to->shape, (size_t)rank * sizeof *shape) != 0) {
        return fail(run, p, MIL_ETYPE, "the result is %s, but was to be %s", MIL__SHAPE_TEXT(rank, shape), MIL__SHAPE_TEXT(rank, to->shape));
    }
    return MIL_OK;
}

static mil_status run_read(mil__run *run, const mil__step *step) {
    const list_params *p = step->params;
    const mil_tensor *list = &run->t[p->ls];
    int64_t index = mil__load_i64(&run->t[p->index], 0);
    size_t size = 0;
    MIL__TRY(check_index(run, p, index, list->shape[0]));
    MIL__TRY(make_result(run, p, -1, &size));
    if (size) memcpy(run->t[p->out].data, (const char *)list->data + (size_t)index * size, size);
    return MIL_OK;
}

static mil_status run_gather(mil__run *run, const mil__step *step) {
    const list_params *p = step->params;
    const mil_tensor *list = &run->t[p->ls], *indices = &run->t[p->index];
    int64_t n = mil__numel(indices);
    size_t size = 0;
    for (int64_t i = 0; i < n; i++) MIL__TRY(check_index(run, p, mil__load_i64(indices, i), list->shape[0]));
    MIL__TRY(make_result(run, p, n, &size));
    char *to = run->t[p->out].data;
    for (int64_t i = 0; i < n && size; i++, to += size)
        memcpy(to, (const char *)list->data + (size_t)mil__load_i64(indices, i) * size, size);
    return MIL_OK;
}

/* ---- writing ---- */

static mil_status begin_write(const mil__run *run, const list_params *p) {
    if (p->takes_over) mil__dynamic_exchange(run->context, p->ls, p->out);
    else MIL__TRY(mil__dynamic_copy(run->context, p->ls, p->out, run->err));
    return MIL_OK;
}

/* The list is long enough for the index, or grows, if it may. */
static mil_status reach(const mil__run *run, const list_params *p, int64_t index) {
    int64_t n = run->t[p->out].shape[0];
    if (index < 0) return check_index(run, p, index, n);
    if (index < n) return MIL_OK;
    if (run->context->is_fixed[p->out]) return check_index(run, p, index, n);
    return set_length(run, p, index + 1);
}

static void write_element(const mil__run *run, const list_params *p, int64_t index, const char *from, size_t size) {
    if (size) memcpy((char *)run->t[p->out].data + (size_t)index * size, from, size);
}

static mil_status run_write(mil__run *run, const mil__step *step) {
    const list_params *p = step->params;
    const mil_tensor *value = &run->t[p->value];
    int64_t index = mil__load_i64(&run->t[p->index], 0);
    MIL__TRY(begin_write(run, p));
    MIL__TRY(meet_shape(run, p, value->rank, value->shape));
    MIL__TRY(reach(run, p, index));
    set_strides(&run->t[p->out]);
    write_element(run, p, index, value->data, mil_tensor_bytes(value));
    return MIL_OK;
}

static mil_status run_scatter(mil__run *run, const mil__step *step) {
    const list_params *p = step->params;
    const mil_tensor *value = &run->t[p->value], *indices = &run->t[p->index];
    int64_t n = mil__numel(indices);
    if (value->shape[0] != n)
        return fail(run, p, MIL_ETYPE, "value has %lld elements for the %lld indices", (long long)value->shape[0], (long long)n);
    MIL__TRY(begin_write(run, p));
    MIL__TRY(meet_shape(run, p, value->rank - 1, value->shape + 1));
    for (int64_t i = 0; i < n; i++) MIL__TRY(reach(run, p, mil__load_i64(indices, i)));
    set_strides(&run->t[p->out]);
    size_t size = n ? mil_tensor_bytes(value) / (size_t)n : 0;
    for (int64_t i = 0; i < n; i++) write_element(run, p, mil__load_i64(indices, i), (const char *)value->data + (size_t)i * size, size);
    return MIL_OK;
}

static mil_status run_same(mil__run *run, const mil__step *step) { return begin_write(run, step->params); }

/* ---- making the step ---- */

static const struct {
    const char *op;
    mil_status (*run)(mil__run *run, const mil__step *step);
    bool writes;
} kinds[] = {
    {"make_list", run_make, false}, {"list_length", run_length, false}, {"list_read", run_read, false},
    {"list_gather", run_gather, false}, {"list_write", run_write, true}, {"list_scatter", run_scatter, true}, {"identity", run_same, true},
};

static uint32_t slot_of_arg(mil__lower *lower, const mil__op *op, const char *name) {
    int slot = mil__op_slot(op->decl, lower->program->functions[0].opset, name, NULL);
    const mil__values *arg = slot < 0 ? NULL : mil__op_arg(op, slot);
    return arg ? mil__slot_of(lower, arg->values[0]) : UINT32_MAX;
}

static const char *name_of(const mil__lower *lower, const mil__op *op, const char *param) {
    const mil__values *arg = param ? mil__op_arg_named(op, param) : NULL;
    const char *name = lower->program->values[arg ? arg->values[0] : op->outputs[0]]->name;
    return name ? name : "the list";
}

static mil_status fill_params(mil__lower *lower, const mil__op *op, bool writes, list_params *p) {
    bool makes = strcmp(op->decl->name, "make_list") == 0, is_same = strcmp(op->decl->name, "identity") == 0;
    bool is_many = strcmp(op->decl->name, "list_gather") == 0 || strcmp(op->decl->name, "list_scatter") == 0;
    const char *list = makes ? NULL : is_same ? "x" : "ls";
    int64_t grows = 1;
    *p = (list_params){.op = op->decl->name, .name = name_of(lower, op, list), .length = 1, .out = mil__slot_of(lower, op->outputs[0])};
    p->ls = list ? slot_of_arg(lower, op, list) : UINT32_MAX;
    p->index = slot_of_arg(lower, op, makes ? "init_length" : is_many ? "indices" : "index");
    p->value = slot_of_arg(lower, op, "value");
    p->takes_over = writes && mil__slot_at(lower, p->ls)->until <= lower->group;
    if (makes && mil__op_ints(lower->program, op, "dynamic_length", 1, &grows) == 1) p->is_fixed = !grows;
    return MIL_OK;
}

mil_status mil__select_list(mil__lower *lower, const mil__group *group) {
    const mil__op *op = lower->program->ops[group->ops[0]];
    size_t kind = 0;
    while (kind < MIL__COUNT(kinds) && strcmp(kinds[kind].op, op->decl->name) != 0) kind++;
    if (kind == MIL__COUNT(kinds))
        return mil__fail(lower->err, MIL_EUNSUPPORTED, "compile: the cpu engine does not run %s on lists", op->decl->name);
    list_params *p = mil__lower_alloc(lower, sizeof *p);
    uint32_t *in = mil__lower_alloc(lower, 3 * sizeof *in), n = 0;
    if (!p || !in) return mil__nomem(lower->err);
    MIL__TRY(mil__group_dense(lower, group, NULL));
    MIL__TRY(fill_params(lower, op, kinds[kind].writes, p));
    const uint32_t all[] = {p->ls, p->index, p->value};
    for (size_t i = 0; i < MIL__COUNT(all); i++)
        if (all[i] != UINT32_MAX) in[n++] = all[i];
    mil__step step = {.run = kinds[kind].run, .params = p, .in = in, .n_in = n, .out = &p->out, .n_out = 1, .kernel = "list"};
    return mil__lower_step(lower, group, &step);
}
