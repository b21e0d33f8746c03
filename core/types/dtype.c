/* SPDX-License-Identifier: MIT */
/* The facts about dtypes (dtype.def) and look-ups in them; the names of opsets. */
#include "types/types.h"

static const mil__dtype_info dtypes[MIL_N_DTYPES] = {
    [MIL_NO_DTYPE] = {.name = "none"},
#define DTYPE(dtype, ...) [MIL_##dtype] = {__VA_ARGS__},
#include "types/dtype.def"
#undef DTYPE
};

enum {
    N_ROWS = 0
#define DTYPE(dtype, ...) +1
#include "types/dtype.def"
#undef DTYPE
};
_Static_assert(N_ROWS == MIL_N_DTYPES - 1, "dtype.def has a row for each dtype of mil.h");

const mil__dtype_info *mil__dtype(mil_dtype dtype) {
    return &dtypes[(unsigned)dtype < MIL_N_DTYPES ? dtype : MIL_NO_DTYPE];
}

const char *mil_dtype_name(mil_dtype dtype) { return mil__dtype(dtype)->name; }

int mil_dtype_bits(mil_dtype dtype) { return mil__dtype(dtype)->bits; }

mil_dtype mil_dtype_find(const char *name) {
    for (int i = MIL_NO_DTYPE + 1; i < MIL_N_DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) == 0) return (mil_dtype)i;
    }
    return MIL_NO_DTYPE;
}

bool mil__dtype_is_int(mil_dtype dtype) {
    char class = mil__dtype(dtype)->class;
    return class == 'i' || class == 'u';
}

bool mil__dtype_bytes(mil_dtype dtype, int64_t n, size_t *out) {
    int bits = mil__dtype(dtype)->bits;
    size_t total;
    if (n < 0 || (uint64_t)n > SIZE_MAX) return false;
    if (bits >= 8) return mil__mul_size((size_t)n, (size_t)bits / 8, out);
    if (!mil__mul_size((size_t)n, (size_t)bits, &total)) return false;
    *out = total / 8 + (total % 8 != 0);
    return true;
}

/* ---- opsets ---- */

static const char *const opset_names[] = {"ios15", "ios16", "ios17", "ios18"};

const char *mil_opset_name(mil_opset opset) {
    return opset >= MIL_IOS15 && opset <= MIL_IOS18 ? opset_names[opset - MIL_IOS15] : "unknown";
}

mil_opset mil_opset_find(const char *name) {
    for (int i = 0; i < (int)MIL__COUNT(opset_names); i++) {
        if (strcmp(opset_names[i], name) == 0) return (mil_opset)(MIL_IOS15 + i);
    }
    return (mil_opset)0;
}
