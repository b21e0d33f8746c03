/* SPDX-License-Identifier: MIT */
/* Where the elements of a port lie, and which place it has in a request: as the loaded model reports it.
 *
 *     modelAttributes
 *       NetworkStatusList                    one for each procedure, which is a function of the text
 *         LiveInputList, LiveOutputList      for each port: Name, Symbol, Type, Batches Channels Depth Height Width,
 *                                            BatchStride PlaneStride DepthStride RowStride (bytes)
 *       ANEFModelDescription
 *         kANEFModelProcedureNameToIDMapKey  a function's number, by its name; else it is its place in the text
 *         kANEFModelInputSymbolsArrayKey, kANEFModelOutputSymbolsArrayKey     a Symbol's place is its port's index
 *
 * Any of it may be missing. Then rows are padded to 64 bytes and nothing else is, and the order is that of the names. */
#include <stdio.h>

#include "engine/ane/ane.h"

enum { ROW_BYTES = 64, AXES = 5 };

/* Batch, channel, depth, height, width. */
typedef struct place {
    int64_t dims[AXES], strides[AXES]; /* bytes; 0: not reported */
    mil_dtype dtype;                   /* MIL_NO_DTYPE: not reported */
} place;

static int64_t number_of(mil__id dictionary, const char *key) {
    int64_t number = 0;
    return mil__read_number(mil__read_key(dictionary, key), &number) ? number : 0;
}

static mil_dtype type_of(mil__id entry) {
    static const struct {
        const char *text;
        mil_dtype dtype;
    } types[] = {{"Float16", MIL_FP16}, {"Float32", MIL_FP32}, {"Int32", MIL_INT32}, {"Int64", MIL_INT64}, {"UInt8", MIL_UINT8}, {"Int8", MIL_INT8}};
    const char *text = mil__read_text(mil__read_key(entry, "Type"));
    for (size_t i = 0; text && i < MIL__COUNT(types); i++)
        if (strcmp(text, types[i].text) == 0) return types[i].dtype;
    return MIL_NO_DTYPE;
}

static place place_of(mil__id entry) {
    static const char *const dims[AXES] = {"Batches", "Channels", "Depth", "Height", "Width"};
    static const char *const strides[AXES] = {"BatchStride", "PlaneStride", "DepthStride", "RowStride", NULL};
    place out = {.dtype = type_of(entry)};
    for (int i = 0; i < AXES; i++) {
        out.dims[i] = number_of(entry, dims[i]);
        out.strides[i] = strides[i] ? number_of(entry, strides[i]) : 0;
        if (out.dims[i] < 1) out.dims[i] = 1;
    }
    return out;
}

/* The program's own extents, the last axis the width, the one before the height, and so on; of five, the third is the depth. */
static bool place_of_port(const mil__ane_port *port, place *out) {
    static const int axes[AXES + 1][AXES] = {{0}, {4}, {3, 4}, {1, 3, 4}, {0, 1, 3, 4}, {0, 1, 2, 3, 4}};
    *out = (place){.dims = {1, 1, 1, 1, 1}, .dtype = port->dtype};
    if (port->rank > AXES) return false;
    for (int i = 0; i < port->rank; i++) out->dims[axes[port->rank][i]] = port->shape[i];
    return true;
}

/* What is not reported: rows of whole 64 bytes (of row_bytes), and no gaps between rows, planes, depths, batches. False: too large. */
static bool complete(place *p, int64_t element, int64_t row_bytes, size_t *bytes) {
    static const int outwards[] = {3, 1, 2, 0}, within[] = {4, 3, 1, 2}; /* a plane is H rows, a depth C planes, a batch D depths */
    int64_t end = element, step, row;
    bool fits = mil__mul_dim(p->dims[4], element, &row) && mil__add_dim(row, row_bytes - 1, &row);
    p->strides[4] = element;
    if (!p->strides[3]) p->strides[3] = row / row_bytes * row_bytes;
    for (int i = 1; i < 4 && fits; i++)
        if (!p->strides[outwards[i]]) fits = mil__mul_dim(p->strides[within[i]], p->dims[within[i]], &p->strides[outwards[i]]);
    for (int i = 0; i < AXES && fits; i++)
        fits = p->strides[i] > 0 && mil__mul_dim(p->dims[i] - 1, p->strides[i], &step) && mil__add_dim(end, step, &end);
    fits = fits && mil__mul_dim(p->strides[0], p->dims[0], &step);
    *bytes = fits ? (size_t)(step > end ? step : end) : 0;
    return fits;
}

static mil_status differs(const mil__ane_port *port, const place *p, mil_error *err) {
    return mil__fail(err, MIL_EUNSUPPORTED, "compile: the Neural Engine reports %s as [%lld, %lld, %lld, %lld, %lld] (batch, channel, depth, height, width), "
                     "but the program has %s%s", port->name, (long long)p->dims[0], (long long)p->dims[1], (long long)p->dims[2],
                     (long long)p->dims[3], (long long)p->dims[4], mil_dtype_name(port->dtype), MIL__SHAPE_TEXT(port->rank, port->shape));
}

/* The port's axes of more than one element lie on the reported ones, in order. */
static mil_status put(mil__ane_port *port, const place *reported, int64_t row_bytes, mil_error *err) {
    place p = *reported;
    if (p.dtype == MIL_NO_DTYPE) p.dtype = port->dtype;
    int64_t element = mil_dtype_bits(p.dtype) / 8;
    if (element == 0 || !complete(&p, element, row_bytes, &port->bytes)) return differs(port, &p, err);
    int axis = 0;
    for (int i = 0; i < port->rank; i++) {
        port->strides[i] = 1;
        if (port->shape[i] == 1) continue;
        while (axis < AXES && p.dims[axis] == 1) axis++;
        if (axis == AXES || p.dims[axis] != port->shape[i] || p.strides[axis] % element) return differs(port, &p, err);
        port->strides[i] = p.strides[axis++] / element;
    }
    while (axis < AXES && p.dims[axis] == 1) axis++;
    if (axis < AXES) return differs(port, &p, err);
    port->dtype = p.dtype;
    return MIL_OK;
}

/* Is it the port's name, or that with "@output" behind it? */
static bool is_name(const char *text, const char *name) {
    size_t n = strlen(name);
    return text && strncmp(text, name, n) == 0 && (text[n] == 0 || strcmp(text + n, "@output") == 0);
}

static mil__id entry_of(mil__id list, const char *name) {
    for (size_t i = 0; i < mil__read_count(list); i++) {
        mil__id entry = mil__read_at(list, i);
        if (is_name(mil__read_text(mil__read_key(entry, "Name")), name)) return entry;
        if (is_name(mil__read_text(mil__read_key(entry, "Symbol")), name)) return entry;
    }
    return NULL;
}

/* The place of a port's symbol in the array; false: it is not there. */
static bool symbol_of(mil__id symbols, mil__id entry, const char *name, size_t *out) {
    const char *symbol = mil__read_text(mil__read_key(entry, "Symbol"));
    for (size_t i = 0; i < mil__read_count(symbols); i++) {
        const char *text = mil__read_text(mil__read_at(symbols, i));
        if (!text || (symbol ? strcmp(text, symbol) != 0 : !is_name(text, name))) continue;
        *out = i;
        return true;
    }
    return false;
}

static void order_by_name(mil__ane_port *ports, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ports[i].symbol = 0;
        for (size_t k = 0; k < n; k++) ports[i].symbol += strcmp(ports[k].name, ports[i].name) < 0;
    }
}

/* Each place once, none left out: else a request made of them would be refused. */
static bool is_order(const mil__ane_port *ports, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (ports[i].symbol >= n) return false;
        for (size_t k = 0; k < i; k++)
            if (ports[k].symbol == ports[i].symbol) return false;
    }
    return true;
}

static void order_as_written(mil__ane_port *ports, size_t n) {
    for (size_t i = 0; i < n; i++) ports[i].symbol = i;
}

static mil_status lay_out(mil__id list, mil__id symbols, mil__ane_port *ports, size_t n, const mil__ane_findings *findings,
                          mil__ane_report *report, mil_error *err) {
    bool is_packed = findings->rows == MIL__ANE_PACKED, has_order = mil__read_count(symbols) == n;
    for (size_t i = 0; i < n; i++) {
        mil__id entry = entry_of(list, ports[i].name);
        place p = {0};
        if (!entry && n == 1 && mil__read_count(list) == 1) entry = mil__read_at(list, 0);
        if (entry) p = place_of(entry);
        else if (!place_of_port(&ports[i], &p)) return differs(&ports[i], &p, err);
        if (is_packed) memset(p.strides, 0, sizeof p.strides);
        report->has_layout &= entry != NULL;
        has_order = has_order && symbol_of(symbols, entry, ports[i].name, &ports[i].symbol);
        MIL__TRY(put(&ports[i], &p, is_packed ? 1 : ROW_BYTES, err));
    }
    has_order = has_order && is_order(ports, n);
    report->has_order &= has_order;
    if (findings->order == MIL__ANE_AS_WRITTEN) order_as_written(ports, n);
    else if (!has_order || findings->order == MIL__ANE_BY_NAME) order_by_name(ports, n);
    return MIL_OK;
}

static mil_status read_attributes(mil__id attributes, mil__ane_source *source, mil__ane_report *out, mil_error *err) {
    mil__id description = mil__read_key(attributes, "ANEFModelDescription"), statuses = mil__read_key(attributes, "NetworkStatusList");
    *out = (mil__ane_report){true, true, source->findings.rows, source->findings.order, source->procedure};
    int64_t number;
    if (mil__read_number(mil__read_key(mil__read_key(description, "kANEFModelProcedureNameToIDMapKey"), source->entry), &number))
        out->procedure = (uint32_t)number;
    if (out->procedure > 0 && out->procedure >= mil__read_count(statuses))
        return mil__fail(err, MIL_EUNSUPPORTED, "compile: the loaded model reports %zu procedures, and function %s of the text would be number %u (from 0)",
                         mil__read_count(statuses), source->entry, (unsigned)out->procedure);
    mil__id status = mil__read_at(statuses, out->procedure);
    MIL__TRY(lay_out(mil__read_key(status, "LiveInputList"), mil__read_key(description, "kANEFModelInputSymbolsArrayKey"),
                     source->ports, source->n_inputs, &source->findings, out, err));
    return lay_out(mil__read_key(status, "LiveOutputList"), mil__read_key(description, "kANEFModelOutputSymbolsArrayKey"),
                   source->ports + source->n_inputs, source->n_outputs, &source->findings, out, err);
}

/* A name that could not be made would look like something that is not reported. */
mil_status mil__ane_layout(mil__id attributes, mil__ane_source *source, mil__ane_report *out, mil_error *err) {
    mil__made_all();
    mil_status status = read_attributes(attributes, source, out, err);
    return mil__has_made_all() ? status : mil__fail_made(err, "compile");
}
