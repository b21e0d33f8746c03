/* SPDX-License-Identifier: MIT */
/* What the files of engine "coreml" share: coreml.c (the engine, its models), bundle.c (packages compiled and loaded), kept.c (the folder
 * where bundles are kept), context.c (runs), inputs.c, outputs.c, array.c, image.c, state.c (what goes in and out), batch.c, question.c
 * (what is answered on another thread), plan.c (which device each operation would run on). */
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
    const char *function;     /* of a bundle with several: this one's name; NULL: it has this one alone, main */
    _Atomic(mil__id) spare;   /* a loaded MLModel, retained, for the first context */
    _Atomic(mil__id) shared;  /* another for all further ones; nil until there are any */
    atomic_bool is_unloaded;
} mil__coreml_model;

/* ---- bundles (bundle.c) ---- */

/* Saves the program (of model->function all functions) as a package and has Core ML compile it, unless that was done before: fills
 * bundle, is_kept, was_kept. */
mil_status mil__coreml_compile(mil__coreml_model *model, const mil_program *program, mil_error *err);
/* Gives a bundle back: removed, where it is not kept or where that is no good. */
void mil__coreml_drop(mil__coreml_model *model, bool is_no_good);
/* A loaded MLModel, retained; within a pool. */
mil_status mil__coreml_load(const mil__coreml_model *model, mil__id *out, mil_error *err);
/* What of is loaded, autoreleased, and how, retained. */
mil_status mil__coreml_source(const mil__coreml_model *model, mil__id *url, mil__id *configuration, mil_error *err);

/* ---- the folder of bundles (kept.c) ---- */

/* The path where a package's bundle is kept, to be freed, and the bytes of its weights. *out NULL: nowhere. */
mil_status mil__coreml_place(const char *package, char **out, size_t *weight_bytes, mil_error *err);
/* Is a bundle there? It is used now, if so. */
bool mil__coreml_find(const char *place);
/* Moves a bundle there, and removes those that were not used for longest, where they are too many; false: it stays where it is. Where
 * another process put one there meanwhile, that is it. */
bool mil__coreml_keep(const char *made, const char *place);

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

/* ---- inputs (inputs.c); within a pool ---- */

/* What is given for a port, and whose memory it shows. */
typedef struct mil__coreml_feature {
    mil__id object;           /* inputs: an MLFeatureValue; outputs: an MLMultiArray; retained; nil: none yet, or none possible */
    const void *memory;
    mil_dtype dtype;
    int rank;
    int64_t shape[MIL_MAX_RANK], strides[MIL_MAX_RANK];
    mil_tensor *dense;        /* where the memory itself can't be given: a copy of it */
    mil__coreml_image image;
} mil__coreml_feature;

mil_status mil__coreml_features_new(size_t n, mil__coreml_feature **out, mil_error *err);
void mil__coreml_features_free(mil__coreml_feature *features, size_t n);
/* Is its object over just this memory, in this form? And: it is. */
bool mil__coreml_shows(const mil__coreml_feature *feature, const mil_tensor *tensor);
void mil__coreml_note(mil__coreml_feature *feature, const mil_tensor *tensor);
/* The objects of features that have one, by their ports' names; autoreleased. */
mil_status mil__coreml_dictionary(const mil__coreml_feature *features, const mil__coreml_port *ports, size_t n, mil__id *out, mil_error *err);
void mil__coreml_release(mil__id *object); /* nil afterwards; in a process that was forked off it is the parent's, and only that */

typedef struct mil__coreml_inputs {
    mil__coreml_feature *features; /* by input of the model; of a state: nothing */
    mil__id provider;         /* of them all, retained; nil: to be made */
} mil__coreml_inputs;
/* Fills provider. tensors: by input of the model; their memory is looked at until the next call. */
mil_status mil__coreml_inputs_give(const mil__coreml_model *model, mil__coreml_inputs *inputs, mil_tensor *const *tensors, mil_error *err);
void mil__coreml_inputs_free(const mil__coreml_model *model, mil__coreml_inputs *inputs);

/* ---- outputs (outputs.c); within a pool ---- */

typedef struct mil__coreml_outputs {
    mil__coreml_feature *features;
    mil__id options;          /* an MLPredictionOptions, retained */
    bool has_backings;        /* options name the features' memory as it is now */
} mil__coreml_outputs;
mil_status mil__coreml_outputs_new(const mil__coreml_model *model, mil__coreml_outputs *out, mil_error *err);
/* Makes the tensors whose shapes are known, and names the memory of all in the options, where that can be. */
mil_status mil__coreml_outputs_offer(const mil__coreml_model *model, mil__coreml_outputs *out, mil_tensor **tensors, mil_error *err);
/* Results to tensors, as an engine's run has given and outputs. */
mil_status mil__coreml_outputs_take(const mil__coreml_model *model, mil__id results, mil_tensor *const *given, mil_tensor **outputs, mil_error *err);
void mil__coreml_outputs_free(const mil__coreml_model *model, mil__coreml_outputs *out);

/* ---- questions (question.c) ---- */

typedef struct mil__coreml_question mil__coreml_question;
mil_status mil__coreml_question_new(mil__coreml_question **out, mil_error *err);
/* The block that takes the answer: to be given to what is asked, once. */
mil__objc_block *mil__coreml_question_ask(mil__coreml_question *question);
/* Waits for it. False: so many seconds (INFINITY: any number) were over first, and the question is no longer the caller's. */
bool mil__coreml_question_wait(mil__coreml_question *question, double seconds);
/* What the answer is; nil where there is none. Borrowed until it is forgotten. */
mil__id mil__coreml_question_result(const mil__coreml_question *question);
mil__id mil__coreml_question_error(const mil__coreml_question *question);
void mil__coreml_question_forget(mil__coreml_question *question);
void mil__coreml_question_free(mil__coreml_question *question);

/* ---- contexts (context.c) ---- */

mil_status mil__coreml_context_new(void *compiled, void **out, mil_error *err);
void mil__coreml_context_free(void *context);
mil_status mil__coreml_run(void *context, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                           const mil__cancel *cancel, mil_error *err);
mil_status mil__coreml_run_batch(void *context, size_t n, mil_tensor *const *inputs, mil_tensor *const *given, mil_tensor **outputs,
                                 const mil__cancel *cancel, mil_error *err);

/* ---- batches (batch.c); within a pool ---- */

/* loaded: an MLModel that nobody else uses meanwhile */
mil_status mil__coreml_predict_batch(const mil__coreml_model *model, mil__id loaded, size_t n, mil_tensor *const *inputs, mil_tensor *const *given,
                                     mil_tensor **outputs, const mil__cancel *cancel, mil_error *err);

/* ---- plans (plan.c) ---- */

/* Which device each operation would run on, a line each, or why that is not known. */
mil_status mil__coreml_print_plan(const mil__coreml_model *model, mil__str *out, mil_error *err);
/* "cpu, gpu, neural engine": those that Core ML has here; as snprintf. */
int mil__coreml_devices(char *buf, size_t n);

#endif
