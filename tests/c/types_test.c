/* SPDX-License-Identifier: MIT */
/* dtypes, shapes, dims and types. */
#include "test.h"
#include "types/types.h"

static mil__types *types;
static mil_dim S, T;

static const char *text(mil_dim dim) {
    static char buf[4][256];
    static int next;
    return mil__dim_text(types, dim, buf[next++ % 4], sizeof buf[0]);
}

static void begin(void) {
    types = mil__types_new();
    S = mil__dim_symbol(types, "S");
    T = mil__dim_symbol(types, "T");
}

static void end(void) {
    CHECK_EQ(mil__types_status(types), MIL_OK);
    mil__types_free(types);
}

static mil_dim number(int64_t n) { return mil__dim_number(types, n); }
static mil_dim add(mil_dim a, mil_dim b) { return mil__dim_add(types, a, b); }
static mil_dim sub(mil_dim a, mil_dim b) { return mil__dim_sub(types, a, b); }
static mil_dim mul(mil_dim a, mil_dim b) { return mil__dim_mul(types, a, b); }
static mil_dim divide(mil_dim a, mil_dim b) { return mil__dim_floordiv(types, a, b); }
static mil_dim max(mil_dim a, mil_dim b) { return mil__dim_max(types, a, b); }
static mil_dim min(mil_dim a, mil_dim b) { return mil__dim_min(types, a, b); }

/* ---- dtypes and shapes ---- */

static void dtypes(void) {
    for (int i = MIL_NO_DTYPE + 1; i < MIL_N_DTYPES; i++) {
        mil_dtype dtype = (mil_dtype)i;
        CHECK_EQ(mil_dtype_find(mil_dtype_name(dtype)), dtype);
        CHECK(mil__dtype(dtype)->proto > 0);
    }
    CHECK_EQ(mil_dtype_find("float"), MIL_NO_DTYPE);
    CHECK_EQ(mil_dtype_bits(MIL_UINT6), 6);
    CHECK_EQ(mil_dtype_bits(MIL_STRING), 0);
    CHECK_EQ(mil_dtype_name((mil_dtype)99), "none");
    CHECK(mil__dtype_is_int(MIL_UINT1) && !mil__dtype_is_int(MIL_BOOL) && !mil__dtype_is_int(MIL_BF16));
    CHECK_EQ(mil__dtype(MIL_INT4)->min, -8);
    CHECK_EQ(mil_opset_find("ios17"), MIL_IOS17);
    CHECK_EQ(mil_opset_find("ios26"), 0);
    CHECK_EQ(mil_opset_name(MIL_IOS18), "ios18");
}

static void dtype_bytes(void) {
    static const struct {
        mil_dtype dtype;
        int64_t n;
        long long bytes; /* -1: refused */
    } rows[] = {
        {MIL_FP16, 3, 6}, {MIL_UINT1, 0, 0}, {MIL_UINT1, 9, 2}, {MIL_UINT3, 3, 2}, {MIL_UINT6, 4, 3}, {MIL_INT4, 3, 2},
        {MIL_FP64, INT64_MAX, -1}, {MIL_UINT3, INT64_MAX, -1}, {MIL_INT8, -1, -1}, {MIL_STRING, 5, 0},
    };
    for (size_t i = 0; i < MIL__COUNT(rows); i++) {
        size_t bytes;
        bool ok = mil__dtype_bytes(rows[i].dtype, rows[i].n, &bytes);
        CHECK_EQ(ok ? (long long)bytes : -1, rows[i].bytes);
    }
}

static void shapes(void) {
    int64_t n, strides[3];
    CHECK(mil__shape_numel(0, NULL, &n) && n == 1);
    CHECK(mil__shape_numel(3, (int64_t[]){2, 0, 4}, &n) && n == 0);
    CHECK(!mil__shape_numel(2, (int64_t[]){2, -1}, &n));
    CHECK(!mil__shape_numel(3, (int64_t[]){INT64_C(1) << 32, INT64_C(1) << 32, 0}, &n));
    mil__shape_strides(3, (int64_t[]){2, 3, 4}, strides);
    CHECK(strides[0] == 12 && strides[1] == 4 && strides[2] == 1);
    CHECK_EQ(MIL__SHAPE_TEXT(2, ((int64_t[]){2, 3})), "[2, 3]");
    CHECK_EQ(MIL__SHAPE_TEXT(0, NULL), "[]");
}

/* ---- dims ---- */

static void dim_texts(void) {
    begin();
    CHECK_EQ(text(S), "S");
    CHECK_EQ(text(add(mul(2, S), 1)), "2*S + 1");
    CHECK_EQ(text(sub(S, 2)), "S - 2");
    CHECK_EQ(text(sub(2, S)), "2 - S");
    CHECK_EQ(text(mul(number(-1), S)), "-S");
    CHECK_EQ(text(number(-3)), "-3");
    CHECK_EQ(text(divide(S, 2)), "floor(S/2)");
    CHECK_EQ(text(divide(add(S, 1), 2)), "floor((S + 1)/2)");
    CHECK_EQ(text(divide(S, mul(T, 2))), "floor(S/(2*T))");
    CHECK_EQ(text(max(S, 2)), "max(S, 2)");
    CHECK_EQ(text(max(2, S)), "max(S, 2)");
    mil_dim most = max(T, 4);
    CHECK_EQ(text(min(add(S, T), most)), "min(max(T, 4), S + T)");
    CHECK_EQ(text(mul(add(S, 1), add(S, T))), "S*S + S*T + S + T");
    CHECK_EQ(text(mil__dim_fresh(types)), "?1");
    CHECK_EQ(text(mil__dim_fresh(types)), "?2");
    char small[8];
    CHECK_EQ(mil__dim_text(types, add(mul(2, S), 1), small, sizeof small), "2*S + 1");
    CHECK_EQ(mil__dim_text(types, add(mul(2, S), 10), small, sizeof small), "2*S +..");
    end();
}

static void equal_dims_are_one_number(void) {
    begin();
    CHECK_EQ(sub(add(S, T), T), S);
    CHECK_EQ(add(T, S), add(S, T));
    CHECK_EQ(sub(S, S), 0);
    CHECK_EQ(add(number(-3), 5), 2);
    CHECK_EQ(mul(add(S, 1), sub(S, 1)), sub(mul(S, S), 1));
    CHECK_EQ(mil__dim_product(types, 3, (mil_dim[]){S, 4, T}), mul(mul(T, S), 4));
    CHECK_EQ(mil__dim_symbol(types, "S"), S);
    CHECK(mil__dim_fresh(types) != mil__dim_fresh(types));
    end();
}

static void floor_divisions(void) {
    begin();
    CHECK_EQ(divide(7, 2), 3);
    CHECK_EQ(divide(number(-7), 2), number(-4));
    CHECK_EQ(divide(7, number(-2)), number(-4));
    CHECK_EQ(divide(mul(S, T), T), S);
    CHECK_EQ(divide(mul(add(S, 1), add(T, 2)), add(S, 1)), add(T, 2));
    CHECK_EQ(divide(add(mul(4, S), 8), 4), add(S, 2));
    CHECK_EQ(text(divide(mul(3, S), 2)), "S + floor(S/2)");
    CHECK_EQ(text(divide(add(S, 5), 2)), "floor((S + 1)/2) + 2");
    CHECK_EQ(divide(add(mul(2, S), 1), 4), divide(S, 2));
    CHECK_EQ(divide(divide(S, 2), 3), divide(S, 6));
    CHECK_EQ(divide(add(divide(sub(S, 1), 2), 0), 2), divide(sub(S, 1), 4));
    CHECK_EQ(divide(mul(number(-1), S), number(-2)), divide(S, 2));
    CHECK_EQ(divide(S, S), 1);
    CHECK_EQ(divide(0, S), 0);
    CHECK_EQ(text(divide(add(mul(S, T), 1), S)), "floor((S*T + 1)/S)");
    end();
}

static void extremes(void) {
    begin();
    CHECK_EQ(max(3, 4), 4);
    CHECK_EQ(min(number(-3), 4), number(-3));
    CHECK_EQ(max(S, add(S, 1)), add(S, 1));
    CHECK_EQ(min(S, add(S, 1)), S);
    CHECK_EQ(max(max(S, T), 3), max(S, max(3, T)));
    CHECK_EQ(max(max(S, 3), 5), max(S, 5));
    CHECK_EQ(max(S, S), S);
    end();
}

static void symbols(void) {
    begin();
    mil_error err;
    CHECK(mil__dim_is_symbol(types, S) && !mil__dim_is_symbol(types, add(S, 1)) && !mil__dim_is_symbol(types, 3));
    CHECK_EQ(mil__dim_symbol_info(types, S)->name, "S");
    CHECK_EQ(mil__dim_symbol_info(types, S)->max, -1);
    CHECK(mil__dim_symbol_info(types, divide(S, 2)) == NULL);
    CHECK_OK(mil__dim_describe(types, S, &(mil_symbol){"S", 1, 512, 128}, &err), &err);
    CHECK_OK(mil__dim_describe(types, S, &(mil_symbol){"S", 0, -1, 0}, &err), &err);
    CHECK_EQ(mil__dim_symbol_info(types, S)->standard, 128);
    CHECK_STATUS(mil__dim_describe(types, S, &(mil_symbol){"S", 1, 256, 128}, &err), MIL_EVALUE, &err);
    CHECK_EQ(err.message, "dim S has another range or standard size already: 1 to 512, standard 128");
    CHECK_STATUS(mil__dim_describe(types, T, &(mil_symbol){"T", 5, 4, 0}, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil__dim_describe(types, T, &(mil_symbol){"T", 1, 4, 8}, &err), MIL_EVALUE, &err);
    CHECK_STATUS(mil__dim_describe(types, add(S, 1), &(mil_symbol){"T", 1, 4, 0}, &err), MIL_EINVAL, &err);
    CHECK_EQ(mil__dim_symbol_info(types, T)->min, 0);
    int64_t n;
    CHECK(mil__dim_is_number(types, number(-4), &n) && n == -4);
    CHECK(mil__dim_is_number(types, 4, &n) && n == 4);
    CHECK(!mil__dim_is_number(types, S, &n));
    end();
}

static void limits_of_dims(void) {
    begin();
    CHECK_EQ(add(INT64_MAX, 1), 0);
    CHECK_EQ(mil__types_status(types), MIL_EVALUE);
    CHECK(mil__scalar_type(types, MIL_FP16) == NULL);
    mil__types_clear_status(types);
    mul(mul(INT64_MAX, S), 2);
    CHECK_EQ(mil__types_status(types), MIL_EVALUE);
    mil__types_clear_status(types);
    divide(S, 0);
    CHECK_EQ(mil__types_status(types), MIL_EVALUE);
    mil__types_clear_status(types);
    mil_dim dim = S; /* squared, it would have 2^60 terms */
    for (int i = 0; i < 60 && mil__types_status(types) == MIL_OK; i++) dim = mul(add(dim, 1), add(dim, T));
    CHECK_EQ(mil__types_status(types), MIL_EVALUE);
    mil__types_clear_status(types);
    dim = S; /* nested without end */
    for (int i = 0; i < 5000 && mil__types_status(types) == MIL_OK; i++) dim = max(divide(dim, T), add(T, i));
    CHECK_EQ(mil__types_status(types), MIL_EVALUE);
    mil__types_clear_status(types);
    end();
}

/* ---- random formulas against plain arithmetic ---- */

static uint64_t random_state = 1;
static int64_t random_below(int64_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((random_state >> 33) % (uint64_t)n);
}

static int64_t values[3]; /* of S, T and U */
static mil_dim symbol_dims[3];

static int64_t value_of(void *ctx, mil_dim symbol) {
    (void)ctx;
    for (int i = 0; i < 3; i++) {
        if (symbol == symbol_dims[i]) return values[i];
    }
    return -1;
}

static mil_dim bind_value(void *ctx, mil_dim symbol) { return mil__dim_number(types, value_of(ctx, symbol)); }

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/* A random formula as a dim, and its value by plain arithmetic; *ok false where a divisor is 0. */
static mil_dim random_formula(int depth, int64_t *value, bool *ok) {
    if (depth == 0 || random_below(6) == 0) {
        int64_t pick = random_below(5);
        if (pick < 3) return *value = values[pick], symbol_dims[pick];
        *value = random_below(13) - 4;
        return number(*value);
    }
    int64_t x, y;
    mil_dim a = random_formula(depth - 1, &x, ok), b = random_formula(depth - 1, &y, ok);
    switch (random_below(6)) {
    case 0: return *value = x + y, add(a, b);
    case 1: return *value = x - y, sub(a, b);
    case 2: return *value = x * y, mul(a, b);
    case 3: return *value = x > y ? x : y, max(a, b);
    case 4: return *value = x < y ? x : y, min(a, b);
    default: break;
    }
    if (random_below(4)) y = 1 + random_below(9), b = y;
    if (y == 0) *ok = false;
    *value = y ? floor_div(x, y) : 0;
    return b == 0 ? 0 : divide(a, b);
}

static void random_formulas(void) {
    begin();
    symbol_dims[0] = S, symbol_dims[1] = T, symbol_dims[2] = mil__dim_symbol(types, "U");
    int compared = 0;
    for (int i = 0; i < 20000; i++) {
        for (int k = 0; k < 3; k++) values[k] = random_below(50) - 5;
        int64_t value, evaluated;
        bool ok = true;
        mil_dim dim = random_formula(1 + (int)random_below(4), &value, &ok);
        bool usable = ok && mil__types_status(types) == MIL_OK;
        mil__types_clear_status(types);
        if (!usable || !mil__dim_eval(types, dim, value_of, NULL, &evaluated)) continue;
        test_row = text(dim);
        mil_dim bound = mil__dim_substitute(types, dim, bind_value, NULL);
        if (!CHECK_EQ(evaluated, value) || !CHECK_EQ(bound, number(value))) break;
        compared++;
    }
    test_row = "";
    CHECK(compared > 15000);
    end();
}

/* ---- types ---- */

static void interning(void) {
    begin();
    mil_dim shape[3] = {1, S, 64};
    const mil_type *a = mil__tensor_type(types, MIL_FP16, 3, shape), *b = mil__tensor_type(types, MIL_FP16, 3, shape);
    CHECK(a == b);
    shape[1] = 7;
    CHECK(a != mil__tensor_type(types, MIL_FP16, 3, shape));
    CHECK(a != mil__tensor_type(types, MIL_FP32, 3, (mil_dim[]){1, S, 64}));
    CHECK(mil__scalar_type(types, MIL_FP32) == mil__tensor_type(types, MIL_FP32, 0, NULL));
    CHECK(mil__list_type(types, a, 3) == mil__list_type(types, a, 3));
    CHECK(mil__list_type(types, a, 3) != mil__list_type(types, a, 4));
    CHECK(mil__list_type(types, NULL, 3) == NULL);
    for (int i = 0; i < 1000; i++) shape[0] = i, mil__tensor_type(types, MIL_FP16, 3, shape);
    CHECK(a == mil__tensor_type(types, MIL_FP16, 3, (mil_dim[]){1, S, 64}));
    CHECK_EQ(mil_type_dim(mil__state_type(types, a), 2), 64);
    CHECK_EQ(mil_type_rank(a), 3);
    CHECK_EQ(mil_type_dtype(mil__list_type(types, a, 3)), MIL_NO_DTYPE);
    CHECK_EQ(mil_type_kind_of(a), MIL_TENSOR);
    end();
}

static void type_texts(void) {
    begin();
    const mil_type *scalar = mil__scalar_type(types, MIL_FP32), *text_type = mil__scalar_type(types, MIL_STRING);
    const mil_type *pair = mil__tensor_type(types, MIL_FP32, 1, (mil_dim[]){2});
    const mil_type *big = mil__tensor_type(types, MIL_FP16, 3, (mil_dim[]){1, add(S, 1), 64});
    CHECK_EQ(MIL__TYPE_TEXT(types, scalar), "fp32");
    CHECK_EQ(MIL__TYPE_TEXT(types, big), "fp16[1, S + 1, 64]");
    CHECK_EQ(MIL__TYPE_TEXT(NULL, big), "fp16[1, ?, 64]");
    CHECK_EQ(MIL__TYPE_TEXT(types, mil__list_type(types, pair, mil__dim_fresh(types))), "list<fp32[2], ?>");
    CHECK_EQ(MIL__TYPE_TEXT(types, mil__list_type(types, pair, 5)), "list<fp32[2], 5>");
    CHECK_EQ(MIL__TYPE_TEXT(types, mil__state_type(types, pair)), "state<fp32[2]>");
    CHECK_EQ(MIL__TYPE_TEXT(types, mil__dict_type(types, text_type, scalar)), "dict<string, fp32>");
    CHECK_EQ(MIL__TYPE_TEXT(types, mil__tuple_type(types, 2, (const mil_type *[]){scalar, pair})), "tuple<fp32, fp32[2]>");
    CHECK_EQ(MIL__TYPE_TEXT(types, NULL), "none");
    end();
}

static void fitting(void) {
    begin();
    const mil_type *fixed = mil__tensor_type(types, MIL_FP16, 2, (mil_dim[]){1, 64});
    const mil_type *open = mil__tensor_type(types, MIL_FP16, 2, (mil_dim[]){S, 64});
    const mil_type *other = mil__tensor_type(types, MIL_FP16, 2, (mil_dim[]){2, 64});
    CHECK(mil__type_fits(open, fixed) && mil__type_fits(fixed, open) && !mil__type_fits(fixed, other));
    CHECK(!mil__type_fits(fixed, mil__tensor_type(types, MIL_FP32, 2, (mil_dim[]){1, 64})));
    CHECK(!mil__type_fits(fixed, mil__tensor_type(types, MIL_FP16, 1, (mil_dim[]){64})));
    CHECK(mil__type_fits(mil__list_type(types, open, S), mil__list_type(types, fixed, 3)));
    CHECK(!mil__type_fits(mil__list_type(types, fixed, 2), mil__list_type(types, fixed, 3)));
    CHECK(!mil__type_fits(mil__list_type(types, fixed, 2), fixed));
    CHECK(!mil__type_fits(fixed, NULL));
    const mil_type *any = mil__tensor_type(types, MIL_FP16, 1, (mil_dim[]){mil__dim_variadic(types)});
    const mil_type *another = mil__tensor_type(types, MIL_FP16, 1, (mil_dim[]){mil__dim_variadic(types)});
    CHECK(any != another && mil_type_rank(any) == MIL_UNKNOWN_RANK && mil_type_dim(any, 0) < 0 && mil_type_dim(any, 1) == 0);
    CHECK(mil__type_fits(any, fixed) && mil__type_fits(fixed, any) && mil__type_fits(any, another));
    CHECK(!mil__type_fits(any, mil__scalar_type(types, MIL_FP32)));
    CHECK(mil__type_holds(any, fixed) && mil__type_holds(any, another) && !mil__type_holds(fixed, any));
    CHECK(mil__type_wider(types, any, fixed, false) == any && mil__type_wider(types, any, another, false) == any);
    CHECK_EQ(mil_type_rank(mil__type_wider(types, fixed, any, false)), MIL_UNKNOWN_RANK);
    CHECK_EQ(MIL__TYPE_TEXT(types, any), "fp16[...]");
    const mil_type *flat = mil__tensor_type(types, MIL_FP16, 1, (mil_dim[]){64});
    CHECK(mil__type_wider(types, flat, fixed, false) == flat);
    CHECK_EQ(mil_type_rank(mil__type_wider(types, flat, fixed, true)), MIL_UNKNOWN_RANK);
    end();
}

static mil_status build_some(void *ctx, mil_error *err) {
    (void)ctx, (void)err;
    mil__types *t = mil__types_new();
    if (!t) return MIL_ENOMEM;
    mil_dim x = mil__dim_symbol(t, "x"), y = mil__dim_fresh(t);
    for (int i = 1; i < 40; i++) {
        mil_dim dim = mil__dim_max(t, mil__dim_floordiv(t, mil__dim_add(t, x, i), 3), mil__dim_mul(t, y, i));
        mil__list_type(t, mil__tensor_type(t, MIL_INT32, 2, (mil_dim[]){dim, i}), y);
    }
    mil_status status = mil__types_status(t);
    mil__types_free(t);
    return status;
}

static void failing_allocations(void) {
    mil_set_allocator(test_realloc, NULL);
    CHECK(test_each_allocation(build_some, NULL) > 10);
    mil_set_allocator(NULL, NULL);
}

TEST_MAIN(CASE(dtypes), CASE(dtype_bytes), CASE(shapes), CASE(dim_texts), CASE(equal_dims_are_one_number),
          CASE(floor_divisions), CASE(extremes), CASE(symbols), CASE(limits_of_dims), CASE(random_formulas),
          CASE(interning), CASE(type_texts), CASE(fitting), CASE(failing_allocations))
