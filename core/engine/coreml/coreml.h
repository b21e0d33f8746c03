/* SPDX-License-Identifier: MIT */
/* What the files of engine "coreml" share: coreml.c (the engine, its models), bundle.c (compiled bundles and where they are kept),
 * context.c (features in, results out), state.c, image.c, plan.c (which device each operation would run on). */
#ifndef MIL__COREML_H
#define MIL__COREML_H

#include "apple/apple.h"
#include "engine/engine.h"
#include "tensor/tensor.h"

#define MIL__COREML_LIBRARIES (MIL__APPLE_FOUNDATION | MIL__LIBRARY(corefoundation) | MIL__LIBRARY(corevideo) | MIL__LIBRARY(coreml))

typedef enum mil__coreml_kind { MIL__COREML_ARRAY, MIL__COREML_STATE, MIL__COREML_IMAGE } mil__coreml_kind;

typedef struct mil__coreml_port {
    const char *name;
    mil__coreml_kind kind;
    mil_dtype dtype;
    int rank;
    const mil_dim *shape;     /* below 0: not known before a run */
    const char *color;        /* of an image: as in mil_feature */
} mil__coreml_port;

typedef struct mil__coreml_model {
    mil__arena arena;         /* of the ports */
    mil__coreml_port *inputs, *outputs; /* inputs: as the function takes them, states among them */
    size_t n_inputs, n_outputs;
    bool has_states;
    long units;               /* an MLComputeUnits */
    char *bundle;             /* the compiled one's path */
    bool is_kept;             /* the bundle outlives the model */
    bool was_kept;            /* and was there before */
    size_t weight_bytes;
    _Atomic(mil__id) spare;   /* a loaded MLModel, retained, for the first context */
} mil__coreml_model;

/* ---- bundles (bundle.c) ---- */

/* Saves the program as a package and has Core ML compile it, unless that was done before: fills bundle, is_kept, was_kept. */
mil_status mil__coreml_compile(mil__coreml_model *model, const mil_program *program, mil_error *err);
/* Has Core ML do it anew, where a bundle that was kept is no good. */
void mil__coreml_forget(mil__coreml_model *model);
/* A loaded MLModel, retained; within a pool. */
mil_status mil__coreml_load(const mil__coreml_model *model, mil__id *out, mil_error *err);
/* The two that describe what is loaded; autoreleased. NULL: no memory. */
mil__id mil__coreml_url(const mil__coreml_model *model);
mil__id mil__coreml_configuration(const mil__coreml_model *model);

/* ---- arrays (array.c); within a pool ---- */

/* Of an MLMultiArray; 0: an array can't have it. */
long mil__coreml_dtype(mil_dtype dtype);
/* An MLMultiArray over the tensor's memory, nothing copied; retained. */
mil_status mil__coreml_array_over(const mil_tensor *tensor, mil__id *out, mil_error *err);
/* A tensor over an MLMultiArray's memory, for as long as that is there: count 1, no buffer, in *out. name: for errors. */
mil_status mil__coreml_array_view(mil__id array, const char *name, mil_tensor *out, mil_error *err);

/* ---- images (image.c) ---- */

/* Pixels of an image port: a CVPixelBuffer, made when first needed and when the size changes; retained. */
typedef struct mil__coreml_image {
    mil__id pixels;
    int64_t width, height;
    mil_tensor *planes;       /* [1, channels, height, width], fp32 (fp16 for gray fp16), on the way there */
} mil__coreml_image;
mil_status mil__coreml_image_fill(mil__coreml_image *image, const mil__coreml_port *port, const mil_tensor *from, mil_error *err);
void mil__coreml_image_free(mil__coreml_image *image);

/* ---- states (state.c); within a pool ---- */

/* Between the tensors of a run's states and an MLState's memory. */
mil_status mil__coreml_state_copy(mil__id state, const mil__coreml_port *port, mil_tensor *tensor, bool to_state, mil_error *err);

/* ---- contexts (context.c) ---- */

mil_status mil__coreml_context_new(void *compiled, void **out, mil_error *err);
void mil__coreml_context_free(void *context);
mil_status mil__coreml_run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                           const mil__cancel *cancel, mil_error *err);

/* ---- plans (plan.c) ---- */

/* Which device each operation would run on, a line each, or why that is not known. */
void mil__coreml_print_plan(const mil__coreml_model *model, mil__str *out);
/* "cpu, gpu, neural engine": those that Core ML has here; as snprintf. */
int mil__coreml_devices(char *buf, size_t n);

#endif
