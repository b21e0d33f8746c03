/* SPDX-License-Identifier: MIT */
/* Core ML's values: MLMultiArray, pixel buffers (CoreVideo), MLFeatureValue, providers of features and of batches. */
#include "coreml.h"

/* ---- what all of its classes have ---- */

enum { MOST_BYTES = 4096 };

void *ml_fails(object **error, long code, const char *text) {
    if (error) *error = autoreleased(error_new("com.apple.CoreML", code, text, NULL));
    return NULL;
}
object *ml_new(const char *class, size_t bytes) { return object_new(class, calloc(1, bytes), bytes); }
object *ml_alloc(ME) { UNUSED; return ml_new(((class *)self)->name, MOST_BYTES); }
object *ml_init(ME) { UNUSED; return self; }
object *ml_create(ME) { return ml_alloc(self, _cmd); }
bool ml_is(const object *o, const char *class, const char *by) {
    if (!usable(o, by)) return false;
    return is_a(o, class) || (violation("%s: a %s is no %s", by, o->isa->name, class), false);
}

/* ---- MLMultiArray ---- */

typedef struct array {
    mil_tensor *tensor;
    void *bytes;                /* the client's */
    kept_block deallocator;
} array;

static array *array_of(const object *o) { return o->data; }
mil_tensor *ml_array_tensor(const object *o) { return array_of(o)->tensor; }

enum { DOUBLE = 0x10040, FLOAT32 = 0x10020, FLOAT16 = 0x10010, INT32 = 0x20020, INT8 = 0x20008 };
long ml_type_of(mil_dtype dtype) {
    switch (dtype) {
    case MIL_FP16: return FLOAT16;
    case MIL_FP64: return DOUBLE;
    case MIL_INT32: return INT32;
    case MIL_INT8: return INT8;
    default: return FLOAT32;
    }
}
static mil_dtype dtype_of(long type) {
    switch (type) {
    case FLOAT16: return MIL_FP16;
    case FLOAT32: return MIL_FP32;
    case DOUBLE: return MIL_FP64;
    case INT32: return MIL_INT32;
    case INT8: return MIL_INT8;
    }
    return MIL_NO_DTYPE;
}

object *ml_numbers(int n, const int64_t *values) {
    object *items[MIL_MAX_RANK] = { NULL };
    for (int i = 0; i < n; i++) items[i] = number_new(values[i]);
    object *out = array_new(items, (size_t)n);
    for (int i = 0; i < n; i++) released(items[i]);
    return out;
}

static bool read_numbers(const object *list, int64_t *out, const char *by) {
    size_t n = array_count(list);
    if (!n || n > MIL_MAX_RANK) return violation("%s: %zu axes", by, n), false;
    for (size_t i = 0; i < n; i++) {
        if (!is_a(array_at(list, i), "NSNumber")) return violation("%s: what is no number in a shape", by), false;
        if ((out[i] = number_value(array_at(list, i))) < 1) return violation("%s: %lld in a shape or strides", by, (long long)out[i]), false;
    }
    return true;
}

/* A tensor with strides over the memory; NULL memory: its own, zeros. */
static mil_tensor *tensor_over(void *memory, mil_dtype dtype, int rank, const int64_t *shape, const int64_t *strides) {
    int64_t last = 1;
    for (int k = 0; k < rank; k++) last += (shape[k] - 1) * strides[k];
    size_t bytes = (size_t)last * (size_t)mil_dtype_bits(dtype) / 8;
    mil_buffer *buffer = NULL;
    mil_tensor *out = NULL;
    mil_status status = memory ? mil_buffer_borrow(memory, bytes, true, NULL, NULL, &buffer, NULL) : mil_buffer_new(bytes, &buffer, NULL);
    if (!status && mil_tensor_over(buffer, 0, dtype, rank, shape, strides, &out, NULL)) out = NULL;
    mil_buffer_free(buffer);
    return out;
}

static object *array_with_pointer(ME, void *memory, object *shape, long type, object *strides, block *deallocator, object **error) {
    static const char by[] = "initWithDataPointer";
    UNUSED;
    int64_t dims[MIL_MAX_RANK], steps[MIL_MAX_RANK];
    bool ok = memory && dtype_of(type) && read_numbers(shape, dims, by) && read_numbers(strides, steps, by);
    if (!memory || !dtype_of(type)) violation("%s: memory %p of type %#lx", by, memory, type);
    if (ok && array_count(shape) != array_count(strides)) violation("%s: %zu dims, %zu strides", by, array_count(shape), array_count(strides)), ok = false;
    kept_block kept = { .b = NULL };
    if (deallocator) block_keep(deallocator, by, &kept);
    array *a = array_of(self);
    if (ok) a->tensor = tensor_over(memory, dtype_of(type), (int)array_count(shape), dims, steps);
    if (!a->tensor) return block_drop(&kept), released(self), ml_fails(error, ML_GENERIC, "no array of this form");
    a->bytes = memory, a->deallocator = kept;
    saw("arrays", 1);
    return self;
}

static object *array_with_shape(ME, object *shape, long type, object **error) {
    UNUSED;
    int64_t dims[MIL_MAX_RANK];
    if (dtype_of(type) && read_numbers(shape, dims, "initWithShape"))
        mil_tensor_new(dtype_of(type), (int)array_count(shape), dims, &array_of(self)->tensor, NULL);
    if (array_of(self)->tensor) return self;
    return released(self), ml_fails(error, ML_GENERIC, "no array of this form");
}

static void free_array(object *o) {
    array *a = o->data;
    mil_tensor_free(a->tensor);
    if (a->deallocator.b) ((void (*)(block *, void *))a->deallocator.b->invoke)(a->deallocator.b, a->bytes);
    block_drop(&a->deallocator);
    free(a);
    o->data = NULL;
}

object *ml_array_over(mil_tensor *tensor) {
    object *o = ml_new("MLMultiArray", sizeof(array));
    array_of(o)->tensor = mil_tensor_retain(tensor);
    return o;
}

/* A scalar is an array of one. */
object *ml_array_of(const mil_tensor *t) {
    int64_t shape[MIL_MAX_RANK] = { 1 }, strides[MIL_MAX_RANK], step = 1;
    int rank = mil_tensor_rank(t) ? mil_tensor_rank(t) : 1;
    for (int k = 0; k < mil_tensor_rank(t); k++) shape[k] = mil_tensor_shape(t)[k];
    for (int k = rank; k-- > 0; step *= shape[k] + (standin.ml_gaps && k == rank - 1)) strides[k] = step;
    object *o = ml_new("MLMultiArray", sizeof(array));
    mil_tensor *whole = array_of(o)->tensor = tensor_over(NULL, mil_tensor_dtype(t), rank, shape, strides), *as = NULL;
    mil_error err = { 0 };
    mil_status status = mil_tensor_rank(t) ? mil_tensor_copy(whole, t, &err) : mil_tensor_reshape((mil_tensor *)t, 1, shape, &as, &err);
    if (!status && as) status = mil_tensor_copy(whole, as, &err);
    if (status) violation("the stand-in itself: %s", err.message);
    mil_tensor_free(as);
    return o;
}

static void *array_pointer(ME) { UNUSED; return mil_tensor_data(array_of(self)->tensor); }
static long array_type(ME) { UNUSED; return ml_type_of(mil_tensor_dtype(array_of(self)->tensor)); }
static object *array_shape(ME) {
    UNUSED;
    const mil_tensor *t = array_of(self)->tensor;
    return autoreleased(ml_numbers(mil_tensor_rank(t), mil_tensor_shape(t)));
}
static object *array_strides(ME) {
    UNUSED;
    const mil_tensor *t = array_of(self)->tensor;
    return autoreleased(ml_numbers(mil_tensor_rank(t), mil_tensor_strides(t)));
}
static long array_numel(ME) { UNUSED; return (long)mil_tensor_numel(array_of(self)->tensor); }

/* From the first element to the last, with the gaps between them. */
static long span(const mil_tensor *t) {
    int64_t last = 1;
    for (int k = 0; k < mil_tensor_rank(t); k++) last += (mil_tensor_shape(t)[k] - 1) * mil_tensor_strides(t)[k];
    return (long)(last * mil_dtype_bits(mil_tensor_dtype(t)) / 8);
}
static void array_read(ME, block *handler) {
    UNUSED;
    const mil_tensor *t = array_of(self)->tensor;
    kept_block k;
    block *b = block_keep(handler, "getBytesWithHandler", &k) ? k.b : NULL;
    if (b) ((void (*)(block *, const void *, long))b->invoke)(b, mil_tensor_data(t), span(t));
    block_drop(&k);
}
static void array_write(ME, block *handler) {
    UNUSED;
    const mil_tensor *t = array_of(self)->tensor;
    kept_block k;
    block *b = block_keep(handler, "getMutableBytesWithHandler", &k) ? k.b : NULL;
    object *strides = ml_numbers(mil_tensor_rank(t), mil_tensor_strides(t));
    if (b) ((void (*)(block *, void *, long, object *))b->invoke)(b, mil_tensor_data(t), span(t), strides);
    released(strides);
    block_drop(&k);
}

/* ---- CoreVideo: pixel buffers, whose memory is given while they are locked ---- */

enum { GRAY = 0x4C303038, GRAY_FP16 = 0x4C303068, BGRA = 0x42475241 };
enum { INVALID = -6661, NO_FORMAT = -6680, NO_MEMORY = -6662, NOT_LOCKED = -6660 };

typedef struct pixels { size_t width, height, row; uint32_t format; int locks; bool only_read; unsigned char *memory; } pixels;

static pixels *pixels_at(const object *o, const char *by) { return ml_is(o, "CVPixelBuffer", by) ? o->data : NULL; }

static size_t pixel_bytes(uint32_t format) { return format == BGRA ? 4 : format == GRAY_FP16 ? 2 : format == GRAY ? 1 : 0; }

static object *pixels_new(size_t width, size_t height, uint32_t format) {
    object *o = ml_new("CVPixelBuffer", sizeof(pixels));
    size_t row = (width * pixel_bytes(format) + 63) / 64 * 64;
    *(pixels *)o->data = (pixels){ width, height, row, format, 0, false, malloc(height * row) };
    memset(((pixels *)o->data)->memory, 0xA5, height * row);
    return o;
}

EXPORT int CVPixelBufferCreate(void *allocator, size_t width, size_t height, uint32_t format, object *attributes, object **out) {
    (void)allocator;
    if (attributes && !ml_is(attributes, "NSDictionary", "CVPixelBufferCreate")) return INVALID;
    if (!enter("CVPixelBufferCreate")) return NO_MEMORY;
    if (!width || !height) return INVALID;
    if (!pixel_bytes(format)) return NO_FORMAT;
    return *out = pixels_new(width, height, format), 0;
}
EXPORT int CVPixelBufferLockBaseAddress(object *o, uint64_t flags) {
    pixels *p = pixels_at(o, "CVPixelBufferLockBaseAddress");
    if (!p || flags > 1) return INVALID;
    if (!enter("CVPixelBufferLockBaseAddress")) return NOT_LOCKED;
    return p->locks++, p->only_read = flags & 1, 0;
}
EXPORT int CVPixelBufferUnlockBaseAddress(object *o, uint64_t flags) {
    pixels *p = pixels_at(o, "CVPixelBufferUnlockBaseAddress");
    if (!p) return INVALID;
    if (!p->locks) return violation("CVPixelBufferUnlockBaseAddress: the buffer is not locked"), INVALID;
    if (p->only_read != (flags & 1)) violation("CVPixelBufferUnlockBaseAddress: flags %d, but %d when locked", (int)flags, p->only_read);
    if (!enter("CVPixelBufferUnlockBaseAddress")) return NOT_LOCKED;
    return p->locks--, 0;
}
EXPORT void *CVPixelBufferGetBaseAddress(object *o) {
    pixels *p = pixels_at(o, "CVPixelBufferGetBaseAddress");
    if (!p || !enter("CVPixelBufferGetBaseAddress")) return NULL;
    return p->locks ? p->memory : (violation("CVPixelBufferGetBaseAddress: the buffer is not locked"), NULL);
}
#define ASKED(result, function, field)              \
    EXPORT result function(object *o) {             \
        pixels *p = pixels_at(o, #function);        \
        passed(#function);                          \
        return p ? p->field : 0;                    \
    }
ASKED(size_t, CVPixelBufferGetBytesPerRow, row)
ASKED(size_t, CVPixelBufferGetWidth, width)
ASKED(size_t, CVPixelBufferGetHeight, height)
ASKED(uint32_t, CVPixelBufferGetPixelFormatType, format)
EXPORT void CVPixelBufferRelease(object *o) { released(o); }
EXPORT object *CVPixelBufferRetain(object *o) { return retained(o); }

static void free_pixels(object *o) {
    pixels *p = o->data;
    if (p->locks && !was_failed("CVPixelBufferUnlockBaseAddress")) violation("a pixel buffer is released while it is locked");
    free(p->memory);
    free(p);
    o->data = NULL;
}

/* The byte of a channel in a pixel, for this order of channels. */
static size_t channel_at(const pixels *p, const char *color, int64_t channel) {
    if (p->format != BGRA) return 0;
    return (size_t)(strcmp(color, "bgr") ? 2 - channel : channel);
}

mil_tensor *ml_planes_of(const object *o, const char *color, mil_dtype dtype) {
    const pixels *p = o->data;
    int64_t shape[] = { 1, p->format == BGRA ? 3 : 1, (int64_t)p->height, (int64_t)p->width }, at[4] = { 0 };
    mil_tensor *out = NULL, *half = NULL;
    if (p->locks) violation("prediction: a pixel buffer is locked");
    if (mil_tensor_new(p->format == GRAY_FP16 ? MIL_FP16 : dtype, 4, shape, &out, NULL)) return NULL;
    for (at[1] = 0; at[1] < shape[1]; at[1]++)
        for (at[2] = 0; at[2] < shape[2]; at[2]++)
            for (at[3] = 0; at[3] < shape[3]; at[3]++) {
                const unsigned char *from = p->memory + (size_t)at[2] * p->row + (size_t)at[3] * pixel_bytes(p->format);
                if (p->format == GRAY_FP16) memcpy((uint16_t *)mil_tensor_data(out) + at[2] * shape[3] + at[3], from, 2);
                else mil_tensor_set(out, at, from[channel_at(p, color, at[1])], NULL);
            }
    if (p->format != GRAY_FP16 || dtype == MIL_FP16) return out;
    mil_tensor_convert(out, dtype, &half, NULL);
    mil_tensor_free(out);
    return half;
}

object *ml_pixels_of(const mil_tensor *planes, const char *color) {
    const int64_t *shape = mil_tensor_shape(planes);
    uint32_t format = !strcmp(color, "gray") ? GRAY : !strcmp(color, "gray fp16") ? GRAY_FP16 : BGRA;
    object *o = pixels_new((size_t)shape[3], (size_t)shape[2], format);
    const pixels *p = o->data;
    int64_t at[4] = { 0 };
    for (at[1] = 0; at[1] < shape[1]; at[1]++)
        for (at[2] = 0; at[2] < shape[2]; at[2]++)
            for (at[3] = 0; at[3] < shape[3]; at[3]++) {
                unsigned char *to = p->memory + (size_t)at[2] * p->row + (size_t)at[3] * pixel_bytes(format);
                double value = 0;
                mil_tensor_get(planes, at, &value, NULL);
                if (format == GRAY_FP16) {
                    int64_t one[1] = { 1 };
                    mil_tensor *half = NULL;
                    if (!mil_tensor_new(MIL_FP16, 1, one, &half, NULL)) mil_tensor_fill(half, value, NULL), memcpy(to, mil_tensor_data(half), 2);
                    mil_tensor_free(half);
                } else to[channel_at(p, color, at[1])] = value < 0 ? 0 : value > 255 ? 255 : (unsigned char)(value + 0.5);
                if (format == BGRA) to[3] = 255;
            }
    return o;
}

/* ---- MLFeatureValue ---- */

object *ml_value_new(object *held) { return object_new("MLFeatureValue", retained(held), 0); }
object *ml_value_held(const object *value) { return value->data; }
static void free_held(object *o) { released(o->data), o->data = NULL; }

static object *value_of_array(ME, object *held) {
    UNUSED;
    return ml_is(held, "MLMultiArray", "featureValueWithMultiArray") ? autoreleased(ml_value_new(held)) : NULL;
}
static object *value_of_pixels(ME, object *held) {
    UNUSED;
    return ml_is(held, "CVPixelBuffer", "featureValueWithPixelBuffer") ? autoreleased(ml_value_new(held)) : NULL;
}
static object *value_of_whole(ME, long long value) {
    UNUSED;
    object *held = number_new(value), *out = autoreleased(ml_value_new(held));
    released(held);
    return out;
}
static object *value_of_string(ME, object *held) { UNUSED; return autoreleased(ml_value_new(held)); }
static object *held_if(const object *self, const char *class) { return is_a(self->data, class) ? self->data : NULL; }
static object *value_array(ME) { UNUSED; return held_if(self, "MLMultiArray"); }
static object *value_pixels(ME) { UNUSED; return held_if(self, "CVPixelBuffer"); }
static object *value_string(ME) { UNUSED; return held_if(self, "NSString"); }
static object *value_dictionary(ME) { UNUSED; return held_if(self, "NSDictionary"); }
static long long value_whole(ME) { UNUSED; return number_value(self->data); }
static bool value_is_undefined(ME) { UNUSED; return !self->data; }
static long value_type(ME) {
    UNUSED;
    return value_array(self, _cmd) ? ML_MULTI_ARRAY : value_pixels(self, _cmd) ? ML_IMAGE : value_string(self, _cmd) ? ML_STRING : value_dictionary(self, _cmd) ? ML_DICTIONARY : ML_INT64;
}

/* ---- providers of features, and of batches ---- */

object *ml_provider_new(object *features) {
    object *o = ml_new("MLDictionaryFeatureProvider", sizeof(object *));
    *(object **)o->data = retained(features);
    return o;
}
static object *features_of(const object *o) { return *(object **)o->data; }
object *ml_provider_get(const object *o, const char *name) { return dictionary_get(features_of(o), name); }

static object *provider_with(ME, object *features, object **error) {
    UNUSED;
    object **items = features->data;
    for (size_t i = 0; i < features->n; i++) {
        if (is_a(items[i], "MLFeatureValue") && is_a(items[features->n + i], "NSString")) continue;
        violation("initWithDictionary: a %s by a %s", items[i]->isa->name, items[features->n + i]->isa->name);
        return released(self), ml_fails(error, ML_FEATURE_TYPE, "a feature's value is none");
    }
    *(object **)self->data = retained(features);
    return self;
}
static object *provider_value(ME, object *name) { UNUSED; return ml_provider_get(self, string_text(name)); }
static object *provider_names(ME) {
    UNUSED;
    object *features = features_of(self), *names = array_new((object **)features->data + features->n, features->n);
    names->isa = class_named("NSSet");
    return autoreleased(names);
}
static void free_provider(object *o) {
    released(features_of(o));
    free(o->data);
    o->data = NULL;
}
static object *set_all(ME) { UNUSED; return autoreleased(array_new(self->data, self->n)); }
static unsigned long set_count(ME) { UNUSED; return self->n; }
static bool set_has(ME, object *wanted) {
    UNUSED;
    for (size_t i = 0; i < self->n; i++)
        if (!strcmp(string_text(((object **)self->data)[i]), string_text(wanted))) return true;
    return false;
}
static void free_set(object *o) {
    for (size_t i = 0; i < o->n; i++) released(((object **)o->data)[i]);
    free(o->data);
    o->data = NULL;
}

static object *batch_with(ME, object *providers) {
    UNUSED;
    for (size_t i = 0; i < array_count(providers); i++) ml_is(array_at(providers, i), "MLDictionaryFeatureProvider", "initWithFeatureProviderArray");
    *(object **)self->data = retained(providers);
    return self;
}
static long batch_count(ME) { UNUSED; return (long)array_count(features_of(self)); }
static object *batch_at(ME, long i) {
    UNUSED;
    if (i < 0 || i >= batch_count(self, _cmd)) return violation("featuresAtIndex: %ld is beyond the batch", i), NULL;
    return array_at(features_of(self), (size_t)i);
}

#define M(class, selector, signature, function) { class, selector, signature, (void *)function }
static const method rows[] = {
    M("MLMultiArray", "alloc", "=", ml_alloc),
    M("MLMultiArray", "initWithDataPointer:shape:dataType:strides:deallocator:error:", "pAiApe", array_with_pointer),
    M("MLMultiArray", "initWithShape:dataType:error:", "Aie", array_with_shape),
    M("MLMultiArray", "dataPointer", "", array_pointer), M("MLMultiArray", "dataType", "", array_type),
    M("MLMultiArray", "shape", "", array_shape), M("MLMultiArray", "strides", "", array_strides), M("MLMultiArray", "count", "", array_numel),
    M("MLMultiArray", "getBytesWithHandler:", "p", array_read), M("MLMultiArray", "getMutableBytesWithHandler:", "p", array_write),
    M("MLFeatureValue", "featureValueWithMultiArray:", "=o", value_of_array),
    M("MLFeatureValue", "featureValueWithPixelBuffer:", "=o", value_of_pixels),
    M("MLFeatureValue", "featureValueWithInt64:", "=i", value_of_whole), M("MLFeatureValue", "featureValueWithString:", "=S", value_of_string),
    M("MLFeatureValue", "multiArrayValue", "", value_array), M("MLFeatureValue", "imageBufferValue", "", value_pixels),
    M("MLFeatureValue", "stringValue", "", value_string), M("MLFeatureValue", "int64Value", "", value_whole),
    M("MLFeatureValue", "dictionaryValue", "", value_dictionary), M("MLFeatureValue", "isUndefined", "", value_is_undefined), M("MLFeatureValue", "type", "", value_type),
    M("MLDictionaryFeatureProvider", "alloc", "=", ml_alloc), M("MLDictionaryFeatureProvider", "initWithDictionary:error:", "De", provider_with),
    M("MLDictionaryFeatureProvider", "featureValueForName:", "S", provider_value),
    M("MLDictionaryFeatureProvider", "objectForKeyedSubscript:", "S", provider_value),
    M("MLDictionaryFeatureProvider", "featureNames", "", provider_names),
    M("NSSet", "allObjects", "", set_all), M("NSSet", "count", "", set_count), M("NSSet", "containsObject:", "o", set_has),
    M("MLArrayBatchProvider", "alloc", "=", ml_alloc), M("MLArrayBatchProvider", "initWithFeatureProviderArray:", "A", batch_with),
    M("MLArrayBatchProvider", "count", "", batch_count), M("MLArrayBatchProvider", "featuresAtIndex:", "i", batch_at),
};

__attribute__((constructor(110))) static void begin(void) {
    class_make("MLMultiArray", free_array), class_make("CVPixelBuffer", free_pixels), class_make("MLFeatureValue", free_held);
    class_make("MLDictionaryFeatureProvider", free_provider), class_make("MLArrayBatchProvider", free_provider), class_make("NSSet", free_set);
    methods_add(rows, sizeof rows / sizeof *rows);
}
