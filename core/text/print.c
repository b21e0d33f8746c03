/* SPDX-License-Identifier: MIT */
/* A program as MIL text, byte for byte as Apple's compiler writes it where that is known: functions, inputs, arguments and
 * attributes sorted by name, one operation a line, floats in hex. Nested blocks are our own spelling.
 *
 * program(1.0) to (1.2) spell a scalar's type tensor<int32, []>, later ones int32. */
#include "text/number.h"
#include "text/print.h"

enum { TYPE_CACHE = 64, OPERATION_INDENT = 12 };

typedef struct parameters { /* of an op, in the order in which they are printed */
    int n;
    int slot[MIL__MAX_INPUTS];
    const char *name[MIL__MAX_INPUTS];
    size_t length[MIL__MAX_INPUTS];
    size_t op_length;         /* of its name */
} parameters;

typedef struct printer {
    const mil_program *program;
    const mil__text_places *places; /* NULL: as the program has it */
    const mil__text_dialect *dialect; /* of places; NULL: none */
    mil__str out;
    int version_minor;
    bool long_scalars;
    mil__arena tmp;
    uint32_t n_printed;       /* operations */
    parameters **parameters;  /* by op index; NULL until met */
    struct {                  /* where a type was last printed */
        const mil_type *type;
        size_t at, n;
    } types[TYPE_CACHE];
} printer;

/* ---- pieces of text ---- */

static inline void put(printer *pr, const char *s, size_t n) {
    mil__str *out = &pr->out;
    if (out->cap - out->n <= n || out->failed) {
        mil__str_add(out, s, n);
        return;
    }
    memcpy(out->s + out->n, s, n);
    out->n += n;
}

#define PUT(pr, literal) put(pr, literal, sizeof literal - 1)

static inline void put_text(printer *pr, const char *s) { put(pr, s, strlen(s)); }

static void put_indent(printer *pr, int n) {
    static const char spaces[] = "                                ";
    for (; n > 0; n -= 32) put(pr, spaces, (size_t)(n < 32 ? n : 32));
}

/* How a character is written in a string; NULL: as it is. */
static const char *escape_of(char c) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

static void put_string(printer *pr, const char *s, size_t n) {
    PUT(pr, "\"");
    for (size_t i = 0, begin = 0; i <= n; i++) {
        char c = i < n ? s[i] : 0;
        const char *escape = i == n ? "" : escape_of(c);
        if (!escape) continue;
        put(pr, s + begin, i - begin);
        put_text(pr, escape);
        begin = i + 1;
    }
    PUT(pr, "\"");
}

/* The name that a value has in the text; NULL: none. */
static inline const char *name_of(const printer *pr, mil_value id) {
    return pr->dialect ? pr->dialect->names[id] : pr->program->values[id]->name;
}

/* ---- types ---- */

static void put_dim(printer *pr, mil_dim dim) {
    char text[MIL__NUMBER_TEXT];
    if (mil__dim_is_variadic(pr->program->types, dim)) PUT(pr, "...");
    else if (dim < 0) PUT(pr, "?");
    else put(pr, text, mil__write_integer(text, dim));
}

static void put_type(printer *pr, const mil_type *type);

static void put_new_type(printer *pr, const mil_type *type) {
    static const char *const kinds[] = {[MIL_LIST] = "list<", [MIL_TUPLE] = "tuple<", [MIL_DICT] = "dict<",
                                        [MIL_STATE] = "state<"};
    if (type->kind == MIL_TENSOR && type->rank == 0 && !pr->long_scalars) {
        put_text(pr, mil_dtype_name(type->dtype));
        return;
    }
    if (type->kind == MIL_TENSOR) {
        PUT(pr, "tensor<");
        put_text(pr, mil_dtype_name(type->dtype));
        PUT(pr, ", [");
        for (int i = 0; i < type->rank; i++) {
            if (i) PUT(pr, ", ");
            put_dim(pr, type->shape[i]);
        }
        PUT(pr, "]>");
        return;
    }
    put_text(pr, kinds[type->kind]);
    for (int i = 0; i < type->n_items; i++) {
        if (i) PUT(pr, ", ");
        put_type(pr, type->items[i]);
    }
    if (type->kind == MIL_LIST) {
        PUT(pr, ", ");
        put_dim(pr, mil__list_length_written(pr->program->types, type));
    }
    PUT(pr, ">");
}

static size_t slot_of(const mil_type *type) { return ((uintptr_t)type >> 4) * 0x9e3779b97f4a7c15u >> 58; }

/* A type is one pointer wherever it occurs, so what was printed for it can be copied. */
static void put_type(printer *pr, const mil_type *type) {
    size_t slot = slot_of(type);
    size_t at = pr->out.n, n = pr->types[slot].n;
    if (pr->types[slot].type == type && !pr->out.failed) {
        if (pr->out.cap - at <= n) mil__str_add(&pr->out, "", 0);
        if (pr->out.cap - at > n) {
            put(pr, pr->out.s + pr->types[slot].at, n);
            return;
        }
    }
    put_new_type(pr, type);
    pr->types[slot].type = type;
    pr->types[slot].at = at;
    pr->types[slot].n = pr->out.n - at;
}

/* ---- values ---- */

static uint64_t element_bits(const mil_tensor *tensor, int64_t at, int bits) {
    if (bits == 16) return ((const uint16_t *)tensor->data)[at];
    if (bits == 32) return ((const uint32_t *)tensor->data)[at];
    return ((const uint64_t *)tensor->data)[at];
}

/* The element at an offset of so many elements from the first. */
static void put_element(printer *pr, const mil_tensor *tensor, const mil__dtype_info *info, int64_t at) {
    char text[MIL__NUMBER_TEXT];
    if (info->class == 's') {
        const mil__string_ref *ref = (const mil__string_ref *)tensor->data + at;
        put_string(pr, (const char *)ref + ref->offset, ref->length);
    } else if (info->class == 'b') {
        put_text(pr, mil__load_i64(tensor, at) ? "true" : "false");
    } else if (info->class == 'f') {
        put(pr, text, mil__write_float(text, tensor->dtype, element_bits(tensor, at, info->bits)));
    } else if (tensor->dtype == MIL_UINT64) {
        put(pr, text, mil__write_unsigned(text, element_bits(tensor, at, 64)));
    } else {
        put(pr, text, mil__write_integer(text, mil__load_i64(tensor, at)));
    }
}

static void put_elements(printer *pr, const mil_tensor *tensor, const mil__dtype_info *info, int axis, int64_t at) {
    if (axis == tensor->rank) {
        put_element(pr, tensor, info, at);
        return;
    }
    int64_t stride = tensor->strides[axis];
    PUT(pr, "[");
    for (int64_t i = 0; i < tensor->shape[axis]; i++) {
        if (i) PUT(pr, ", ");
        put_elements(pr, tensor, info, axis + 1, at + i * stride);
    }
    PUT(pr, "]");
}

/* An empty tensor of any rank is [], however many empty rows it has. */
static void put_tensor(printer *pr, const mil_tensor *tensor) {
    if (mil__numel(tensor) == 0) PUT(pr, "[]");
    else put_elements(pr, tensor, mil__dtype(tensor->dtype), 0, 0);
}

static void put_payload(printer *pr, const mil__attr *value);

/* "type(payload)" of a tensor. */
static void put_literal(printer *pr, const mil_type *type, const mil_tensor *data) {
    put_type(pr, type);
    PUT(pr, "(");
    put_tensor(pr, data);
    PUT(pr, ")");
}

static void put_blob(printer *pr, const mil__attr *value) {
    PUT(pr, "BLOBFILE(path = ");
    put_literal(pr, value->items[0].type, value->items[0].data);
    PUT(pr, ", offset = ");
    put_literal(pr, value->items[1].type, value->items[1].data);
    PUT(pr, ")");
}

/* The same, of a place that was chosen for it here. */
static void put_place(printer *pr, const mil_type *type, const char *file, uint64_t offset) {
    char text[MIL__NUMBER_TEXT];
    put_type(pr, type);
    put_text(pr, pr->long_scalars ? "(BLOBFILE(path = tensor<string, []>(" : "(BLOBFILE(path = string(");
    put_string(pr, file, strlen(file));
    put_text(pr, pr->long_scalars ? "), offset = tensor<uint64, []>(" : "), offset = uint64(");
    put(pr, text, mil__write_unsigned(text, offset));
    PUT(pr, ")))");
}

static void put_items(printer *pr, const mil__attr *value) {
    static const char *const brackets[] = {[MIL_LIST] = "[]", [MIL_TUPLE] = "()", [MIL_DICT] = "{}"};
    mil_type_kind kind = value->type->kind;
    put(pr, brackets[kind], 1);
    for (int i = 0; i < value->n_items; i++) {
        bool is_key = kind == MIL_DICT && i % 2 == 0;
        if (i) PUT(pr, ", ");
        if (is_key) PUT(pr, "{");
        put_payload(pr, &value->items[i]);
        if (kind == MIL_DICT && !is_key) PUT(pr, "}");
    }
    put(pr, brackets[kind] + 1, 1);
}

static void put_payload(printer *pr, const mil__attr *value) {
    if (value->data) put_tensor(pr, value->data);
    else if (value->type->kind == MIL_TENSOR) put_blob(pr, value);
    else put_items(pr, value);
}

static void put_attr_value(printer *pr, const mil__attr *value) {
    put_type(pr, value->type);
    PUT(pr, "(");
    put_payload(pr, value);
    PUT(pr, ")");
}

static const mil__attr *find_attr(const mil__op *op, const char *name) {
    const mil__attr *attr = op->attrs;
    while (attr && strcmp(attr->name, name) != 0) attr = attr->next;
    return attr;
}

/* The literal of a const: as it was read from a weights file, or its elements. */
static mil_status put_const(printer *pr, const mil__value *value, mil_error *err) {
    const mil__attr *val = value->op ? find_attr(pr->program->ops[value->op], "val") : NULL;
    if (pr->places && value->data) {
        const char *file = NULL;
        uint64_t offset = pr->places->place(pr->places->ctx, value, &file);
        if (offset) put_place(pr, value->type, file, offset);
        else put_literal(pr, value->type, value->data);
    } else if (val) put_attr_value(pr, val);
    else if (value->data) put_literal(pr, value->type, value->data);
    else return mil__fail(err, MIL_ESTATE, "const %s has no value that could be printed", value->name ? value->name : "");
    return MIL_OK;
}

/* ---- attributes ---- */

typedef struct entry { /* of an attribute list: one of the three */
    const char *name;
    const mil__attr *attr;
    const mil__value *value;
    const char *label;
} entry;

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

static mil_status put_entries(printer *pr, entry *entries, size_t n, mil_error *err) {
    qsort(entries, n, sizeof *entries, by_name);
    PUT(pr, "[");
    for (size_t i = 0; i < n; i++) {
        if (i) PUT(pr, ", ");
        put_text(pr, entries[i].name);
        PUT(pr, " = ");
        if (entries[i].attr) {
            put_attr_value(pr, entries[i].attr);
        } else if (entries[i].value) {
            MIL__TRY(put_const(pr, entries[i].value, err));
        } else {
            put_text(pr, pr->long_scalars ? "tensor<string, []>(" : "string(");
            put_string(pr, entries[i].label, strlen(entries[i].label));
            PUT(pr, ")");
        }
    }
    PUT(pr, "]");
    return MIL_OK;
}

static size_t count_attrs(const mil__attr *attr) {
    size_t n = 0;
    for (; attr; attr = attr->next) n++;
    return n;
}

/* Of a program or a function. */
static mil_status put_attrs(printer *pr, const mil__attr *attr, mil_error *err) {
    size_t n = 0;
    entry *entries = mil__arena_zero(&pr->tmp, count_attrs(attr), sizeof *entries);
    if (!entries) return mil__nomem(err);
    for (; attr; attr = attr->next) entries[n++] = (entry){.name = attr->name, .attr = attr};
    return put_entries(pr, entries, n, err);
}

/* The name that stands in the brackets; NULL: none. */
static const char *label_of(const printer *pr, const mil__op *op) {
    if (op->label && !pr->dialect) return *op->label ? op->label : NULL;
    return op->n_outputs ? name_of(pr, op->outputs[0]) : NULL;
}

static bool has_attribute_args(const printer *pr, const mil__op *op) {
    mil_opset own = pr->program->functions[pr->program->blocks[op->block]->function].opset;
    return mil__op_has_attributes(op->decl, pr->dialect ? pr->dialect->opset : own);
}

/* Of a label that is the first result's name, nothing can need an escape. */
static void put_label(printer *pr, const mil__op *op, const char *label) {
    put_text(pr, pr->long_scalars ? "name = tensor<string, []>(" : "name = string(");
    if (op->label) {
        put_string(pr, label, strlen(label));
    } else {
        PUT(pr, "\"");
        put_text(pr, label);
        PUT(pr, "\"");
    }
    PUT(pr, ")");
}

/* name and val are all there is, as a rule. */
static mil_status put_usual_attrs(printer *pr, const mil__op *op, bool is_const, mil_error *err) {
    const char *label = label_of(pr, op);
    if (!label && !is_const) return MIL_OK;
    PUT(pr, "[");
    if (label) put_label(pr, op, label);
    if (is_const) {
        if (label) PUT(pr, ", ");
        PUT(pr, "val = ");
        MIL__TRY(put_const(pr, pr->program->values[op->outputs[0]], err));
    }
    PUT(pr, "]");
    return MIL_OK;
}

static mil_status put_operation_attrs(printer *pr, const mil__op *op, bool is_const, bool with_args, mil_error *err) {
    const char *label = label_of(pr, op);
    const mil__attr *attrs = pr->dialect ? NULL : op->attrs;
    if (!attrs && !with_args) return put_usual_attrs(pr, op, is_const, err);
    size_t n = 0;
    mil__mark mark = mil__arena_mark(&pr->tmp);
    entry *entries = mil__arena_zero(&pr->tmp, count_attrs(attrs) + MIL__MAX_INPUTS + 2, sizeof *entries);
    if (!entries) return mil__nomem(err);
    for (const mil__attr *attr = attrs; attr; attr = attr->next)
        if (!is_const || strcmp(attr->name, "val") != 0) entries[n++] = (entry){.name = attr->name, .attr = attr};
    for (int a = 0; a < op->n_args && with_args; a++)
        entries[n++] = (entry){.name = mil__op_slot_name(op->decl, op->args[a].slot),
                               .value = pr->program->values[op->args[a].values[0]]};
    if (label) entries[n++] = (entry){.name = "name", .label = label};
    if (is_const) entries[n++] = (entry){.name = "val", .value = pr->program->values[op->outputs[0]]};
    mil_status status = n ? put_entries(pr, entries, n, err) : MIL_OK;
    mil__arena_rewind(&pr->tmp, mark);
    return status;
}

/* ---- operations ---- */

static const parameters *parameters_of(printer *pr, const mil_op *op) {
    parameters **slot = &pr->parameters[mil__op_index(op)];
    if (*slot) return *slot;
    parameters *list = mil__arena_zero(&pr->tmp, 1, sizeof *list);
    if (!list) return NULL;
    for (int s = 0, n = mil__op_n_slots(op); s < n; s++) {
        const char *name = mil__op_slot_name(op, s);
        int at = list->n++;
        for (; at > 0 && strcmp(list->name[at - 1], name) > 0; at--) {
            list->slot[at] = list->slot[at - 1];
            list->name[at] = list->name[at - 1];
        }
        list->slot[at] = s;
        list->name[at] = name;
    }
    for (int i = 0; i < list->n; i++) list->length[i] = strlen(list->name[i]);
    list->op_length = strlen(op->name);
    return *slot = list;
}

static mil_status put_value(printer *pr, mil_value id, mil_error *err) {
    const char *name = name_of(pr, id);
    if (!name) return put_const(pr, pr->program->values[id], err);
    put_text(pr, name);
    return MIL_OK;
}

static mil_status put_arg(printer *pr, const mil__values *arg, mil_error *err) {
    if (!arg->tuple) return put_value(pr, arg->values[0], err);
    PUT(pr, "(");
    for (uint32_t i = 0; i < arg->n; i++) {
        if (i) PUT(pr, ", ");
        MIL__TRY(put_value(pr, arg->values[i], err));
    }
    PUT(pr, ")");
    return MIL_OK;
}

static mil_status put_args(printer *pr, const mil__op *op, mil_error *err) {
    const parameters *list = parameters_of(pr, op->decl);
    if (!list) return mil__nomem(err);
    bool first = true;
    for (int i = 0; i < list->n; i++) {
        const mil__values *arg = mil__op_arg(op, list->slot[i]);
        if (!arg) continue;
        if (!first) PUT(pr, ", ");
        first = false;
        put(pr, list->name[i], list->length[i]);
        PUT(pr, " = ");
        MIL__TRY(put_arg(pr, arg, err));
    }
    return MIL_OK;
}

static void put_typed_name(printer *pr, mil_value id) {
    put_type(pr, pr->program->values[id]->type);
    PUT(pr, " ");
    put_text(pr, name_of(pr, id));
}

static void put_names(printer *pr, const mil_value *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (i) PUT(pr, ", ");
        put_text(pr, name_of(pr, values[i]));
    }
}

static mil_status put_block(printer *pr, const mil__block *block, int indent, mil_error *err);

static mil_status put_nested(printer *pr, const mil__op *op, int indent, mil_error *err) {
    for (uint16_t b = 0; b < op->n_blocks; b++) {
        const mil__block *block = pr->program->blocks[op->blocks[b]];
        if (b) PUT(pr, ",");
        PUT(pr, "\n");
        put_indent(pr, indent);
        PUT(pr, "(");
        for (uint32_t i = 0; i < block->n_inputs; i++) {
            if (i) PUT(pr, ", ");
            put_typed_name(pr, block->inputs[i]);
        }
        PUT(pr, ") {\n");
        MIL__TRY(put_block(pr, block, indent + 4, err));
        put_indent(pr, indent);
        PUT(pr, "} -> (");
        put_names(pr, block->outputs, block->n_outputs);
        PUT(pr, ")");
    }
    return MIL_OK;
}

/* coreml_update_state is written as what a package has for it: a write_state, then a read_state where the result is used. */
static void put_update_state(printer *pr, const mil__op *op, int indent) {
    const mil__value *result = pr->program->values[op->outputs[0]];
    const char *state = name_of(pr, mil__op_arg_named(op, "state")->values[0]), *name = name_of(pr, op->outputs[0]);
    put_indent(pr, indent);
    PUT(pr, "write_state(data = ");
    put_text(pr, name_of(pr, mil__op_arg_named(op, "value")->values[0]));
    PUT(pr, ", input = ");
    put_text(pr, state);
    PUT(pr, ")[name = string(\"");
    put_text(pr, name);
    PUT(pr, "_write_state\")];\n");
    if (!result->n_uses && !result->is_output) return;
    put_indent(pr, indent);
    put_typed_name(pr, op->outputs[0]);
    PUT(pr, " = read_state(input = ");
    put_text(pr, state);
    PUT(pr, ")[name = string(\"");
    put_text(pr, name);
    PUT(pr, "\")];\n");
}

static bool is_update_state(const mil__op *op) {
    return (op->decl->flags & MIL__EFFECT) && strcmp(op->decl->name, "coreml_update_state") == 0;
}

/* ---- the usual operation, of one result and single arguments that have names: most of a text, laid out in one go ---- */

enum { MOST_FIXED = 64 }; /* more characters than such a line has between two names; or before the first */

typedef struct line {
    char *p, *end; /* MOST_FIXED before the memory's, so what is fixed has room behind each name */
} line;

#define LAY(at, literal) (memcpy((at)->p, literal, sizeof literal - 1), (at)->p += sizeof literal - 1)

static inline bool lay(line *at, const char *s, size_t n) {
    if (at->end - at->p < (ptrdiff_t)n) return false;
    memcpy(at->p, s, n);
    at->p += n;
    return true;
}

static inline bool lay_args(const printer *pr, line *at, const mil__op *op, const parameters *list) {
    for (int i = 0, left = op->n_args; left && i < list->n; i++) {
        const mil__values *arg = mil__op_arg(op, list->slot[i]);
        if (!arg) continue;
        const char *name = arg->tuple ? NULL : pr->program->values[arg->values[0]]->name;
        if (!name || !lay(at, list->name[i], list->length[i])) return false;
        LAY(at, " = ");
        if (!lay(at, name, strlen(name))) return false;
        if (--left) LAY(at, ", ");
    }
    return true;
}

/* False, and nothing printed, where it is another, or there is no room: put_operation does it. */
static bool put_usual(printer *pr, const mil__op *op, int indent) {
    bool usual = op->n_outputs == 1 && !op->attrs && !op->label && !op->n_blocks && !pr->long_scalars && !pr->dialect && indent < MOST_FIXED;
    const parameters *list = pr->parameters[mil__op_index(op->decl)];
    if (!usual || !list || pr->out.failed || pr->out.cap - pr->out.n < 2 * MOST_FIXED) return false;
    const mil__value *result = pr->program->values[op->outputs[0]];
    size_t slot = slot_of(result->type), n = result->name ? strlen(result->name) : 0;
    if (!n || pr->types[slot].type != result->type) return false;
    char *begin = pr->out.s + pr->out.n;
    line at = {begin, pr->out.s + pr->out.cap - MOST_FIXED};
    memset(at.p, ' ', (size_t)indent);
    at.p += indent;
    if (!lay(&at, pr->out.s + pr->types[slot].at, pr->types[slot].n)) return false;
    LAY(&at, " ");
    if (!lay(&at, result->name, n)) return false;
    LAY(&at, " = ");
    if (!lay(&at, op->decl->name, list->op_length)) return false;
    LAY(&at, "(");
    if (!lay_args(pr, &at, op, list)) return false;
    LAY(&at, ")[name = string(\"");
    if (!lay(&at, result->name, n)) return false;
    LAY(&at, "\")];\n");
    pr->out.n += (size_t)(at.p - begin);
    return true;
}

static mil_status put_operation(printer *pr, const mil__op *op, int indent, mil_error *err) {
    bool is_const = op->decl->name[0] == 'c' && strcmp(op->decl->name, "const") == 0;
    bool with_args = has_attribute_args(pr, op);
    if (!is_const && !with_args && put_usual(pr, op, indent)) return MIL_OK;
    put_indent(pr, indent);
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        if (i) PUT(pr, ", ");
        put_typed_name(pr, op->outputs[i]);
    }
    if (op->n_outputs) PUT(pr, " = ");
    put_text(pr, op->decl->name);
    PUT(pr, "(");
    if (!with_args) MIL__TRY(put_args(pr, op, err));
    PUT(pr, ")");
    MIL__TRY(put_operation_attrs(pr, op, is_const, with_args, err));
    if (op->n_blocks) MIL__TRY(put_nested(pr, op, indent + 4, err));
    PUT(pr, ";\n");
    return MIL_OK;
}

enum { MANY = 4096, MOST_AHEAD = 32 };

/* Room for all of a large program, as far as the operations up to here tell; and some more, for later lines have longer numbers
 * in them, and growing again would copy everything. */
static void make_room(printer *pr) {
    double times = (double)pr->program->n_ops / pr->n_printed;
    double all = (double)pr->out.n * (times < MOST_AHEAD ? times : MOST_AHEAD);
    if (all < (double)pr->out.cap || pr->out.n > SIZE_MAX / (4 * MOST_AHEAD)) return;
    mil__str_reserve(&pr->out, (size_t)(all * 1.15));
}

static mil_status put_block(printer *pr, const mil__block *block, int indent, mil_error *err) {
    for (mil_operation at = block->first; at; at = pr->program->ops[at]->next) {
        const mil__op *op = pr->program->ops[at];
        bool may_lack = pr->dialect ? op->decl == mil__op_const() : op->is_inline;
        bool at_its_use = may_lack && op->n_outputs == 1 && !name_of(pr, op->outputs[0]);
        if (is_update_state(op)) put_update_state(pr, op, indent);
        else if (!at_its_use) MIL__TRY(put_operation(pr, op, indent, err));
        if (++pr->n_printed >= MANY && (pr->n_printed & (pr->n_printed - 1)) == 0) make_room(pr);
    }
    return MIL_OK;
}

/* ---- functions, programs ---- */

typedef struct named {
    const char *name;
    mil_value value;
} named;

static int by_its_name(const void *a, const void *b) { return strcmp(((const named *)a)->name, ((const named *)b)->name); }

static mil_status put_inputs(printer *pr, const mil__block *body, mil_error *err) {
    named *inputs = mil__arena_alloc(&pr->tmp, (body->n_inputs + 1) * sizeof *inputs);
    if (!inputs) return mil__nomem(err);
    for (uint32_t i = 0; i < body->n_inputs; i++) inputs[i] = (named){name_of(pr, body->inputs[i]), body->inputs[i]};
    qsort(inputs, body->n_inputs, sizeof *inputs, by_its_name);
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        if (i) PUT(pr, ", ");
        put_typed_name(pr, inputs[i].value);
    }
    return MIL_OK;
}

static mil_status put_function(printer *pr, const mil__function *function, mil_error *err) {
    const mil__block *body = pr->program->blocks[function->block];
    PUT(pr, "    func ");
    put_text(pr, function->name);
    PUT(pr, "<");
    put_text(pr, mil_opset_name(pr->dialect ? pr->dialect->opset : function->opset));
    PUT(pr, ">(");
    MIL__TRY(put_inputs(pr, body, err));
    PUT(pr, ") ");
    const mil__attr *attrs = pr->dialect  ? NULL
                             : pr->places ? pr->places->attrs[function - pr->program->functions]
                                          : function->attrs;
    if (attrs) {
        MIL__TRY(put_attrs(pr, attrs, err));
        PUT(pr, " ");
    }
    PUT(pr, "{\n");
    MIL__TRY(put_block(pr, body, OPERATION_INDENT, err));
    PUT(pr, "        } -> (");
    put_names(pr, body->outputs, body->n_outputs);
    PUT(pr, ");\n");
    return MIL_OK;
}

static int by_function_name(const void *a, const void *b) {
    return strcmp((*(const mil__function *const *)a)->name, (*(const mil__function *const *)b)->name);
}

static mil_status put_program(printer *pr, mil_error *err) {
    const mil_program *program = pr->program;
    const mil__function **functions = mil__arena_alloc(&pr->tmp, (program->n_functions + 1) * sizeof *functions);
    pr->parameters = mil__arena_zero(&pr->tmp, mil_op_count(), sizeof *pr->parameters);
    if (!functions || !pr->parameters) return mil__nomem(err);
    for (uint32_t i = 0; i < program->n_functions; i++) functions[i] = &program->functions[i];
    qsort(functions, program->n_functions, sizeof *functions, by_function_name);
    mil__str_printf(&pr->out, "program(1.%d)\n", pr->version_minor);
    if (pr->dialect) put_text(pr, pr->dialect->info);
    else if (program->attrs) MIL__TRY(put_attrs(pr, program->attrs, err));
    if (pr->dialect || program->attrs) PUT(pr, "\n");
    PUT(pr, "{\n");
    for (uint32_t i = 0; i < program->n_functions; i++) MIL__TRY(put_function(pr, functions[i], err));
    PUT(pr, "}");
    return MIL_OK;
}

mil_status mil__text_print(const mil_program *program, const mil__text_places *places, char **out, size_t *n, mil_error *err) {
    *out = NULL;
    int minor = places ? places->version_minor : program->version_minor;
    printer pr = {.program = program, .places = places, .version_minor = minor, .long_scalars = minor < 3,
                  .dialect = places ? places->dialect : NULL};
    mil_status status = put_program(&pr, err);
    mil__arena_free(&pr.tmp);
    if (status == MIL_OK) return mil__str_take(&pr.out, out, n, err);
    mil__str_free(&pr.out);
    return status;
}

mil_status mil_text_print(const mil_program *program, char **out, size_t *n, mil_error *err) {
    return mil__text_print(program, NULL, out, n, err);
}
