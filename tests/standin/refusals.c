/* SPDX-License-Identifier: MIT */
/* What the engine's compilers refuse (facts/ane.md 6.1, 6.2, 7.2; facts/ane-e5rt.md 2.1, 2.2, 3, 4.2), a row a refusal. A row without
 * sources is what every source that speaks of it says, and always holds. A row with sources is contradicted by others, and holds
 * where standin_believe names one of its sources: by the letters of facts/ane.md, and A for the sweep and the catalogue of
 * ANEForge, G for the guide. */
#include "refusals.h"

#include <ctype.h>

#include "objc.h"

static char sources_believed[32];
EXPORT void standin_believe(const char *sources) {
    snprintf(sources_believed, sizeof sources_believed, "%s", sources ? sources : "");
}

bool believed(const char *sources) {
    return !sources || strchr(sources_believed, '*') || strpbrk(sources_believed, sources);
}

/* M1 is h13 and of the family A13, M2 h14 and A14, and so on. */
static int family(void) { return atoi(standin_chip + (standin_chip[0] != 0)); }

/* ---- what an operation is given ---- */

typedef struct given { const mil_program *program; mil_operation operation; } given;

static mil_value argument(const given *g, const char *name, size_t *count) {
    size_t n = mil_operation_n_args(g->program, g->operation);
    for (size_t i = 0; i < n; i++) {
        const mil_value *values;
        size_t many;
        if (strcmp(mil_operation_arg(g->program, g->operation, i, &values, &many), name)) continue;
        if (count) *count = many;
        return many ? values[0] : 0;
    }
    if (count) *count = 0;
    return 0;
}
static const mil_type *type_of(const given *g, const char *name) {
    mil_value v = argument(g, name, NULL);
    return v ? mil_value_type(g->program, v) : NULL;
}
static bool whole(const given *g, const char *name, int64_t *out) {
    mil_value v = argument(g, name, NULL);
    mil_tensor *data = v ? mil_value_data(g->program, v) : NULL;
    static const int64_t first[MIL_MAX_RANK];
    return data && mil_tensor_numel(data) && !mil_tensor_get_int(data, first, out, NULL);
}
static bool lacks(const given *g, const char *name) { return !argument(g, name, NULL); }

/* ---- conditions ---- */

static bool no_epsilon(const given *g) { return lacks(g, "epsilon"); }
static bool no_mode(const given *g) { return lacks(g, "mode"); }
static bool no_interleave(const given *g) { return lacks(g, "interleave"); }
static bool has_bias(const given *g) { return !lacks(g, "bias"); }
static bool has_mask(const given *g) { return !lacks(g, "attn_mask"); }
static bool band_k(const given *g) {
    int64_t k;
    return whole(g, "k", &k) && (k == 3 || k == 4);
}
static bool not_uint8_input(const given *g) {
    mil_value x = argument(g, "x", NULL);
    return !x || mil_value_operation(g->program, x) || mil_type_dtype(mil_value_type(g->program, x)) != MIL_UINT8;
}
static mil_dim kernel_width(const given *g) {
    const mil_type *weight = type_of(g, "weight");
    int rank = weight ? mil_type_rank(weight) : 0;
    return rank ? mil_type_dim(weight, rank - 1) : 0;
}
static bool too_wide(const given *g) { return kernel_width(g) > (family() <= 13 ? 13 : family() <= 15 ? 16 : 15); }
static bool wide(const given *g) { return kernel_width(g) > 13 && family() <= 15; }
static bool not_rank_4(const given *g) {
    const mil_type *x = type_of(g, "x");
    return x && mil_type_rank(x) != 4;
}
static bool live_weight(const given *g) {
    mil_value weight = argument(g, "weight", NULL);
    mil_operation by = weight ? mil_value_operation(g->program, weight) : 0;
    bool is_compressed = by && !strncmp(mil_op_name(mil_operation_op(g->program, by)), "constexpr_", 10); /* which ran (M) */
    return weight && !mil_value_data(g->program, weight) && !is_compressed;
}
static bool broadcast_batch(const given *g) {
    const mil_type *x = type_of(g, "x"), *y = type_of(g, "y");
    int n = x && y ? mil_type_rank(x) : 0;
    if (!n || mil_type_rank(y) != n) return n != 0;
    for (int k = 0; k < n - 2; k++)
        if (mil_type_dim(x, k) != mil_type_dim(y, k)) return true;
    return false;
}
static bool odd_channels(const given *g) {
    const mil_type *x = type_of(g, "x");
    int64_t axis;
    if (!x || !whole(g, "axis", &axis)) return false;
    mil_dim n = mil_type_dim(x, (int)(axis < 0 ? axis + mil_type_rank(x) : axis));
    return (n & (n - 1)) != 0;
}
static bool from_rank_5(const given *g) {
    const mil_type *x = type_of(g, "x");
    return x && mil_type_rank(x) >= 5;
}
static bool of_input(const given *g) {
    mil_value x = argument(g, "x", NULL);
    return x && !mil_value_operation(g->program, x);
}
static bool many_channels(const given *g) {
    const mil_type *x = type_of(g, "x");
    return x && mil_type_rank(x) == 4 && mil_type_dim(x, 1) >= 32000;
}
static bool beyond_16384(const given *g) {
    const mil_type *x = type_of(g, "x");
    return x && mil_type_rank(x) == 4 && (mil_type_dim(x, 1) > 16384 || mil_type_dim(x, 3) > 65536);
}
static bool odd_inner(const given *g) {
    const mil_type *x = type_of(g, "x");
    int rank = x ? mil_type_rank(x) : 0;
    mil_value across = argument(g, "transpose_x", NULL);
    mil_tensor *data = across ? mil_value_data(g->program, across) : NULL;
    bool turned = data && *(const unsigned char *)mil_tensor_data(data);
    return rank >= 2 && mil_type_dim(x, rank - 1 - turned) % 32 != 0;
}
static bool is_made(const given *g, const char *name) {
    mil_value v = argument(g, name, NULL);
    mil_operation by = v ? mil_value_operation(g->program, v) : 0;
    return by && strcmp(mil_op_name(mil_operation_op(g->program, by)), "const");
}
static bool after_an_op(const given *g) { return is_made(g, "x") || is_made(g, "y") || is_made(g, "query"); }
static bool not_0_3_2_1(const given *g) {
    static const int64_t taken[] = { 0, 3, 2, 1 };
    mil_value perm = argument(g, "perm", NULL);
    mil_tensor *data = perm ? mil_value_data(g->program, perm) : NULL;
    int64_t axis;
    if (!data || mil_tensor_numel(data) != 4) return true;
    for (int64_t i = 0; i < 4; i++)
        if (mil_tensor_get_int(data, &i, &axis, NULL) || axis != taken[i]) return true;
    return false;
}
static bool below_14(const given *g) { (void)g; return family() < 14; }
static bool below_15(const given *g) { (void)g; return family() < 15; }

/* ---- the rows ---- */

typedef struct row {
    const char *ops;                  /* names with blanks around each */
    int routes;
    bool (*when)(const given *g);     /* NULL: always */
    const char *sources;              /* NULL: all */
    const char *wrong;                /* it is taken, and computes what this says */
} row;

enum { BOTH = ROUTE_DIRECT | ROUTE_E5RT };

static const row rows[] = {
    { " read_state write_state coreml_update_state ", ROUTE_DIRECT, NULL, NULL, NULL },
    { " conv conv_transpose ", ROUTE_DIRECT, too_wide, NULL, NULL },
    { " conv ", ROUTE_DIRECT, wide, "A", NULL },
    { " scaled_dot_product_attention ", ROUTE_DIRECT, has_mask, NULL, "the mask is ignored" },
    { " gelu ", ROUTE_DIRECT, no_mode, "O", NULL },
    { " concat ", ROUTE_DIRECT, no_interleave, NULL, NULL },
    { " concat ", ROUTE_DIRECT, NULL, "O", NULL },
    { " conv ", ROUTE_DIRECT, has_bias, "O", NULL },
    { " reduce_mean ", ROUTE_DIRECT, NULL, "RBH", NULL },
    { " rsqrt reduce_sum pow ", ROUTE_DIRECT, NULL, "R", NULL },
    { " sin cos exp log sqrt atan ", ROUTE_DIRECT, NULL, "B", NULL },
    { " tile ", ROUTE_DIRECT, NULL, "F", NULL },
    { " softmax ", ROUTE_DIRECT, odd_channels, "HE", NULL },
    { " conv ", ROUTE_DIRECT, many_channels, NULL, NULL },
    { " conv ", ROUTE_DIRECT, live_weight, NULL, "weights that are no consts are ignored" },
    { " matmul ", ROUTE_DIRECT, broadcast_batch, NULL, "a batch that is broadcast gives wrong numbers" },
    { " slice_by_index ", ROUTE_DIRECT, of_input, "H", NULL },
    { " conv matmul add mul relu softmax ", ROUTE_DIRECT, beyond_16384, "L", NULL },
    { " matmul scaled_dot_product_attention ", ROUTE_DIRECT, after_an_op, "L", NULL },
    { " transpose ", ROUTE_DIRECT, not_0_3_2_1, "L", NULL },
    { " matmul ", ROUTE_DIRECT, odd_inner, "M", "an inner dim that is no multiple of 32 gives zeros" },

    { " acos asin atanh cosh sinh tan mod logical_and logical_or logical_xor reduce_prod ", ROUTE_E5RT, NULL, NULL, NULL },
    { " reverse_sequence sliding_windows band_part one_hot non_zero shape scatter scatter_along_axis scatter_nd ", ROUTE_E5RT, NULL, NULL, NULL },
    { " lstm gru rnn random_normal random_bernoulli random_categorical cond while_loop call conv_quantized classify ", ROUTE_E5RT, NULL, NULL, NULL },
    { " make_list list_read list_write list_gather list_scatter list_length ", ROUTE_E5RT, NULL, NULL, NULL },
    { " cast ", ROUTE_E5RT, not_uint8_input, "A", NULL },
    { " gather gather_along_axis gather_nd slice_update reduce_argmax reduce_argmin identity reshape_like argsort ", ROUTE_E5RT, NULL, "A", NULL },
    { " random_uniform crop_resize cumsum read_state write_state coreml_update_state ", ROUTE_E5RT, NULL, "A", NULL },
    { " non_maximum_suppression ", ROUTE_E5RT, NULL, "G", NULL },
    { " log rsqrt inverse ", ROUTE_E5RT, no_epsilon, NULL, NULL },
    { " gelu ", ROUTE_E5RT, no_mode, NULL, NULL },
    { " topk ", ROUTE_E5RT, band_k, NULL, NULL },
    { " topk ", ROUTE_E5RT, below_14, "A", NULL },
    { " affine resample ", ROUTE_E5RT, below_14, NULL, NULL },
    { " sin cos ", ROUTE_E5RT, below_15, NULL, NULL },
    { " conv ", ROUTE_E5RT, not_rank_4, NULL, NULL },
    { " conv ", ROUTE_E5RT, too_wide, NULL, NULL },
    { " conv ", ROUTE_E5RT, wide, "A", NULL },
    { " linear ", ROUTE_E5RT, from_rank_5, NULL, NULL },
    { " matmul ", ROUTE_E5RT, from_rank_5, NULL, NULL },
};

static const char *why_format[] = { "Some ops are not supported on any of the specified backends: %s %s",
                                    "err=(CompilationFailure) %s %s" };

static bool is_used(const mil_program *program, mil_block function, mil_value v) {
    for (size_t i = 0; i < mil_block_n_outputs(program, function); i++)
        if (mil_block_output(program, function, i) == v) return true;
    for (mil_operation o = mil_block_first(program, function); o; o = mil_operation_after(program, o))
        for (size_t i = 0, n = mil_operation_n_args(program, o), many; i < n; i++) {
            const mil_value *values;
            mil_operation_arg(program, o, i, &values, &many);
            for (size_t k = 0; k < many; k++)
                if (values[k] == v) return true;
        }
    return false;
}

/* What is said of a program as a whole: weights of more than 150 MB (N), an operation that nobody needs (L). */
static const char *whole_breaks(const mil_program *program, mil_block function) {
    size_t bytes = 0;
    for (mil_operation o = mil_block_first(program, function); o; o = mil_operation_after(program, o)) {
        bool is_const = !strcmp(mil_op_name(mil_operation_op(program, o)), "const"), is_needed = is_const;
        for (size_t i = 0; i < mil_operation_n_outputs(program, o); i++) {
            mil_value v = mil_operation_output(program, o, i);
            mil_tensor *data = is_const ? mil_value_data(program, v) : NULL;
            if (data) bytes += (size_t)mil_tensor_numel(data) * 2;
            is_needed = is_needed || !believed("L") || is_used(program, function, v);
        }
        if (!is_needed && believed("L")) return "an operation that nobody needs";
    }
    return bytes > 150000000 && believed("N") ? "more than 150 MB of weights" : NULL;
}

bool refused_ops(const mil_program *program, mil_block function, route by, char *why, size_t size) {
    const char *broken = by == ROUTE_DIRECT ? whole_breaks(program, function) : NULL;
    if (broken) return snprintf(why, size, why_format[1], broken, ""), true;
    for (mil_operation o = mil_block_first(program, function); o; o = mil_operation_after(program, o)) {
        given g = { program, o };
        char name[80];
        const char *op = mil_op_name(mil_operation_op(program, o));
        const char *result = mil_operation_n_outputs(program, o) ? mil_value_name(program, mil_operation_output(program, o, 0)) : "";
        snprintf(name, sizeof name, " %s ", op);
        for (const row *r = rows; r < rows + sizeof rows / sizeof *rows; r++) {
            if (!(r->routes & by) || !strstr(r->ops, name) || !believed(r->sources) || (r->when && !r->when(&g))) continue;
            if (r->wrong) violation("compile: %s %s: %s", op, result, r->wrong);
            else return snprintf(why, size, why_format[by == ROUTE_DIRECT], op, result), true;
        }
        for (size_t i = 0; i < mil_operation_n_outputs(program, o); i++) {
            const mil_type *type = mil_value_type(program, mil_operation_output(program, o, i));
            if (mil_type_rank(type) > 5) return snprintf(why, size, "Cannot reshape a tensor of rank > 5: %s", result), true;
        }
    }
    return false;
}

bool refused_load(const mil_program *program, mil_block function) {
    static const char elementwise[] = " const add sub mul real_div maximum minimum relu sigmoid tanh silu sqrt pow abs exp log cast ";
    if (!believed("B")) return false;
    for (mil_operation o = mil_block_first(program, function); o; o = mil_operation_after(program, o)) {
        char name[80];
        snprintf(name, sizeof name, " %s ", mil_op_name(mil_operation_op(program, o)));
        if (!strstr(elementwise, name)) return false;
    }
    return true;
}

/* ---- ports ---- */

/* The last two axes, and the others (4.2); on the older families 16384. */
static bool dim_fits(mil_dim n, int from_last) {
    return n >= 1 && n <= (from_last < 2 && family() <= 15 ? 16384 : 65536);
}

static const char *port_breaks(const mil_type *t, route by, bool is_ane) {
    mil_dtype dtype = mil_type_dtype(t);
    if (mil_type_kind_of(t) != MIL_TENSOR) return "is no tensor";
    if (by == ROUTE_DIRECT && dtype != MIL_FP16 && dtype != MIL_FP32) return "is neither fp16 nor fp32";
    if (by == ROUTE_E5RT) {
        bool is_known = dtype == MIL_FP16 || dtype == MIL_UINT8;
        bool is_taken = dtype == MIL_INT8 || dtype == MIL_INT16 || dtype == MIL_UINT16;
        if (!is_known && (is_ane || !is_taken)) return "is of a dtype that no port has";
    }
    int rank = mil_type_rank(t), most = by == ROUTE_DIRECT ? 4 : 5;
    if (rank < (by == ROUTE_DIRECT) || rank > most) return "is of a rank that is not taken";
    for (int k = 0; k < rank; k++) {
        mil_dim n = mil_type_dim(t, k);
        if (n < 1) return "has a dim that is not fixed";
        if (is_ane && !dim_fits(n, rank - 1 - k)) return "has a dim beyond what the architecture has";
        if (n > 65536) return "has a dim beyond 65536";
    }
    return NULL;
}

bool refused_ports(const mil_program *program, mil_block function, route by, bool is_ane, char *why, size_t size) {
    size_t inputs = mil_block_n_inputs(program, function), outputs = mil_block_n_outputs(program, function);
    if (!mil_block_first(program, function)) return snprintf(why, size, "unordered_map::at: key not found"), true;
    if (!outputs) return snprintf(why, size, "a function without an output"), true;
    for (size_t i = 0; i < inputs + outputs; i++) {
        mil_value v = i < inputs ? mil_block_input(program, function, i) : mil_block_output(program, function, i - inputs);
        const char *broken = port_breaks(mil_value_type(program, v), by, is_ane);
        if (broken) return snprintf(why, size, "port %s %s", mil_value_name(program, v), broken), true;
        if (i >= inputs && !mil_value_operation(program, v))
            return snprintf(why, size, "output %s is an input: unordered_map::at: key not found", mil_value_name(program, v)), true;
    }
    return false;
}

/* ---- the text's form ---- */

static const char *skip(const char *p) {
    while (isspace((unsigned char)*p)) p++;
    return p;
}

static bool inline_bool(const char *text) {
    for (const char *p = text; (p = strstr(p, "transpose_")); p++) {
        const char *value = skip(p + strlen("transpose_x"));
        if (*value == '=') value = skip(value + 1);
        if (!strncmp(value, "true", 4) || !strncmp(value, "false", 5) || !strncmp(value, "bool(", 5)) return true;
    }
    return false;
}

static const char *direct_breaks(const char *text) {
    const char *info = strstr(text, "[buildInfo"), *function = strstr(text, "func ");
    if (!info || !strstr(info, "\"coremlc-version\"")) return "no buildInfo with coremlc-version";
    const char *end = strstr(info, "})]");
    if (!end || memchr(info, '\n', (size_t)(end - info))) return "a newline in buildInfo";
    bool a = !strncmp(text, "program(1.3)", 12), b = !strncmp(text, "program(1.0)", 12);
    if ((!a && !b) || (standin.form == 1 && !a) || (standin.form == 2 && !b)) return "this spelling of the dialect";
    if (!function || strncmp(function, "func main<", 10)) return "the function's name is not main";
    return inline_bool(text) ? "an inline bool of matmul" : NULL;
}

/* Every statement of a function names its operation (2.1): from one ';' or '{' to the next, outside of strings. */
static bool all_named(const char *text) {
    const char *body = strstr(text, "func ");
    if (!body) return true;
    bool in_string = false, named = false, is_op = false;
    for (const char *p = body; *p; p++) {
        if (*p == '"' && p[-1] != '\\') in_string = !in_string;
        if (in_string) continue;
        if (*p == '{' || *p == '}') named = is_op = false;
        if (*p == '=') is_op = true;
        if (!strncmp(p, "name", 4) && !isalnum((unsigned char)p[-1]) && p[-1] != '_' && *skip(p + 4) == '=') named = true;
        if (*p != ';') continue;
        if (is_op && !named) return false;
        named = is_op = false;
    }
    return true;
}

const char *refused_text(const char *text, route by) {
    if (by == ROUTE_DIRECT) return direct_breaks(text);
    if (strncmp(skip(text), "program(1.", 10)) return "no program(1.3)";
    return all_named(text) ? NULL : "an operation has no name";
}
