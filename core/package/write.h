/* SPDX-License-Identifier: MIT */
/* What the writer of packages is made of: write_value.c (types, values), write.c (operations, functions, programs),
 * write_feature.c and write_description.c (the model's description), save.c and save_text.c (files and folders).
 * Messages are made in one arena; strings in them are the program's own. */
#ifndef MIL__WRITE_H
#define MIL__WRITE_H

#include <protobuf-c/protobuf-c.h>

#include "package/schema.pb-c.h"
#include "program/program.h"
#include "weights/milblob.h"

enum {
    MIL__WRITTEN_TYPES = 64,
    MIL__BLOB_ELEMENTS = 10,  /* from so many on, a const is in the weights file: coremltools' habit, */
    MIL__TEXT_ELEMENTS = 65   /* and in text that people read */
};

typedef struct mil__model_writer {
    const mil_program *program;
    int version;              /* of the specification, from 6 on */
    Mil__Spec__Model *kept_model; /* of the package that the program was read from, without functions; NULL: none */
    bool fresh_types;         /* each has a message of its own: fields that are not in the schema go into it */
    mil__arena arena;
    mil__blob_writer blobs;
    const char *blob_name;    /* as the program names that file: "@model_path/weights/weight.bin" */
    int64_t blob_elements;    /* from so many on, a const is there */
    bool keeps_absent;        /* text only: a const whose file is not there keeps the name of that */
    const char *blob_folder;  /* text only: made when the first const comes */
    bool made_folder;
    uint64_t *offsets;        /* text only: by value, of the consts that are in the weights file */
    uint32_t *folded;         /* by value: uses of a const that are written with its value at that place */
    int64_t last_literal;     /* of the names literal_<n> that are taken */
    struct {                  /* one message a type, since a few make up most of a program */
        const mil_type *type;
        Mil__Spec__Type *message;
    } types[MIL__WRITTEN_TYPES];
    const char *function;     /* these two say where an error is; NULL: nowhere yet */
    mil_value value;          /* 0: none */
    mil_status status;        /* the first failure: what makes messages returns NULL then */
    mil_error *err;
} mil__model_writer;

/* All of these return NULL when they fail, which w->status remembers. */
void *mil__write_new(mil__model_writer *w, const ProtobufCMessageDescriptor *descriptor);
#define MIL__NEW(w, Name, name) ((Mil__Spec__##Name *)mil__write_new((w), &mil__spec__##name##__descriptor))
void *mil__write_array(mil__model_writer *w, size_t n, size_t bytes); /* zeros */
__attribute__((format(printf, 3, 4))) void *mil__write_fail(mil__model_writer *w, mil_status status, const char *format,
                                                            ...);

void *mil__write_nomem(mil__model_writer *w);

/* The part of the program's package that is kept, in a copy to be used up; NULL: none, or it fails. */
void *mil__write_kept(mil__model_writer *w, mil__kept_what what, uint32_t id,
                      const ProtobufCMessageDescriptor *descriptor);

Mil__Spec__Type *mil__write_type(mil__model_writer *w, const mil_type *type);
Mil__Spec__Value *mil__write_text(mil__model_writer *w, const char *text);
Mil__Spec__Value *mil__write_attr(mil__model_writer *w, const mil__attr *attr);
/* A const's value, in the weights file where it is large or was in one (and may_be_blob). */
Mil__Spec__Value *mil__write_const(mil__model_writer *w, mil_value value, bool may_be_blob);
bool mil__const_is_large(const mil__model_writer *w, const mil__value *value);
/* The weights file that the const was read from, by the program's name for it; NULL: none. */
const char *mil__const_file(const mil_program *program, const mil__value *value);
void *mil__write_absent(mil__model_writer *w, const mil__value *value); /* fails: the const has no elements here */

/* Of the specification: the least that has all that the program asks for, and not below the kept one's (NULL: none). */
int mil__write_version(const mil_program *program, const Mil__Spec__Model *kept);
Mil__Spec__Program *mil__write_program(mil__model_writer *w);
bool mil__type_is_flexible(const mil_type *type);
Mil__Spec__Feature *mil__write_input(mil__model_writer *w, mil_value id);
Mil__Spec__Feature *mil__write_state(mil__model_writer *w, mil_value id);
Mil__Spec__Feature *mil__write_output(mil__model_writer *w, mil_value id);
Mil__Spec__Description *mil__write_description(mil__model_writer *w);
Mil__Spec__Model *mil__write_model(mil__model_writer *w);
void mil__model_writer_free(mil__model_writer *w);

/* ---- files (save.c, save_manifest.c, save_text.c) ---- */

/* A save under way; the options and the writer's blobs report to it. */
typedef struct mil__saving {
    const mil_save_options *options;
    const char *path;         /* without a / at its end */
    mil__model_writer w;
    uint64_t bytes, done;     /* of elements for weights files: in all, written */
    bool is_cancelled;        /* by progress */
} mil__saving;

/* What every save begins with: blob_elements as above, blob_name in the arena or static. */
mil_status mil__saving_begin(mil__saving *s, const char *blob_name, int64_t blob_elements);
/* MIL_ECANCELLED where the save is to stop. */
mil_status mil__saving_report(mil__saving *s, const char *stage, double part);
/* Writes n bytes as the file `name` of the folder. */
mil_status mil__saving_file(mil__saving *s, const mil__folder *folder, const char *name, const void *data, size_t n);
/* The other files of the folder that the program was read from, where that is of the same form, into the new folder (carry.c).
 * Fails: MIL_EUNSUPPORTED (a link out of the folder, to another place; a pipe), MIL_ELIMIT, MIL_EIO, MIL_ENOMEM. */
mil_status mil__carry(mil__saving *s, const mil__folder *folder, bool is_bundle);
bool mil__source_is_carried(const mil__saving *s, bool is_bundle);
const char *mil__source_path(const mil_program *program); /* of one that has a source */
mil_status mil__save_manifest(mil__saving *s, const mil__folder *folder, bool has_weights);
mil_status mil__save_bundle(mil__saving *s, mil__folder *folder);
mil_status mil__save_text(mil__saving *s);
/* What a message is on the wire, to be freed. */
mil_status mil__pack(const ProtobufCMessage *message, uint8_t **out, size_t *n, mil_error *err);

#endif
