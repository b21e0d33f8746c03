/* SPDX-License-Identifier: MIT */
/* What the files that stand for Core ML share. Its classes as Apple documents them publicly: MLModel.h, MLMultiArray.h and their kin. */
#ifndef STANDIN_COREML_H
#define STANDIN_COREML_H

#include "block.h"
#include "mil.h"

#define ME object *self, SEL _cmd
#define UNUSED (void)self, (void)_cmd

/* Numbers of MLModelError. */
enum { ML_GENERIC, ML_FEATURE_TYPE, ML_IO = 3 };
/* Of MLFeatureType. */
enum { ML_INT64 = 1, ML_DOUBLE, ML_STRING, ML_IMAGE, ML_MULTI_ARRAY, ML_DICTIONARY, ML_SEQUENCE, ML_STATE };

void *ml_fails(object **error, long code, const char *text);    /* gives NULL */
object *ml_new(const char *class, size_t bytes);                /* +1; what it keeps is zeros */
object *ml_alloc(ME);                                           /* of any of these classes */
object *ml_init(ME);
object *ml_create(ME);                                          /* new */
bool ml_is(const object *o, const char *class, const char *by);

long ml_type_of(mil_dtype dtype);                               /* MLMultiArrayDataType */
object *ml_array_of(const mil_tensor *tensor);                  /* +1; a copy, with gaps between rows (switch ml_gaps) */
object *ml_array_over(mil_tensor *tensor);                      /* +1; the same memory */
mil_tensor *ml_array_tensor(const object *array);               /* borrowed */
object *ml_numbers(int n, const int64_t *values);               /* +1 */
object *ml_value_new(object *held);                             /* +1; of an array or pixels */
object *ml_value_held(const object *value);                     /* borrowed */
object *ml_provider_new(object *features);                      /* +1 */
object *ml_provider_get(const object *provider, const char *name);   /* the feature's value; borrowed */

/* Pixels as planes of a tensor [1, 1 or 3, height, width], and back. color: "rgb", "bgr", "gray", "gray fp16". */
mil_tensor *ml_planes_of(const object *pixels, const char *color, mil_dtype dtype);
object *ml_pixels_of(const mil_tensor *planes, const char *color);   /* +1 */

typedef struct ml_configuration { long units; object *function; } ml_configuration;
typedef struct ml_model {
    mil_program *program;
    mil_model *model;
    object *configuration;
    char path[1024];
    int at_once, asked;          /* predictions under way, at once and asynchronous */
} ml_model;
mil_block ml_entry(const ml_model *m);
#endif
