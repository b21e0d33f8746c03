/* SPDX-License-Identifier: MIT */
/* What the files that stand for AppleNeuralEngine share. */
#ifndef STANDIN_ANE_H
#define STANDIN_ANE_H

#include "mil.h"
#include "objc.h"

#define ME object *self, SEL _cmd
#define UNUSED (void)self, (void)_cmd
#define ANE_DOMAIN "com.apple.appleneuralengine"

typedef struct descriptor { object *text, *weights, *plist; char identifier[64]; } descriptor;
typedef struct model {
    object *descriptor, *attributes;
    mil_model *loaded;                   /* of its function main */
    struct { mil_model *model; char name[64]; } procedures[8]; /* by number; one of them is `loaded` */
    size_t n_procedures;                 /* 0: main is the only one that is known of */
    object *url, *inner, *program;       /* inner: its _ANEModel; program: of this load */
    int mapped;                          /* requests mapped and not unmapped */
    int running;                         /* evaluations under way */
    unsigned statistics;                 /* mask */
    signed char depth;
} model;
typedef struct request {
    object *inputs, *input_indices, *outputs, *output_indices, *weights, *statistics, *procedure, *events, *transaction, *handler;
} request;

bool ane_fails(object **error, const char *domain, long code, const char *text, const char *under);
bool ane_evaluate(object *model, object *request, object **error);
bool ane_map(object *model, object *request, object **error);
void ane_unmap(object *model, object *request);
bool ane_exists(const object *model);
void ane_purge(object *model);
object *ane_inner(object *model);                       /* borrowed */
object *ane_program(object *model);                     /* of the present load; borrowed; NULL: not loaded */
/* What a run took, to the request's statistics. */
void ane_time_run(const object *model, const object *request, unsigned long long nanoseconds);
bool ane_request_is_valid(const object *request);
#endif
