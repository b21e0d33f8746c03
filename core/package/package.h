/* SPDX-License-Identifier: MIT */
/* What the readers of models are made of: unpack.c (bytes to messages), value.c (types, values), read.c (operations,
 * functions, programs), read_description.c, mlpackage.c (the directory, its manifest), bundle.c (compiled ones), load.c (which of
 * them), carry.c (the other files of their folders). */
#ifndef MIL__PACKAGE_H
#define MIL__PACKAGE_H

#include <protobuf-c/protobuf-c.h>

#include "package/schema.pb-c.h"
#include "program/program.h"
#include "weights/milblob.h"

/* The messages are in the arena, which is the caller's to free whatever comes out. Fails: MIL_EFORMAT (no model, or not as
 * the format has it), MIL_ELIMIT (nested too deeply, or larger in memory than its bytes explain), MIL_ENOMEM. */
mil_status mil__unpack(const ProtobufCMessageDescriptor *descriptor, const void *data, size_t n, mil__arena *arena,
                       void **out, mil_error *err);
mil_status mil__model_unpack(const void *data, size_t n, mil__arena *arena, Mil__Spec__Model **out, mil_error *err);

typedef struct mil__reader {
    mil_program *program;
    mil__blobs blobs;
    mil__arena tmp;                   /* of one function or operation */
    mil_opset opset;                  /* of the function that is read */
    const char *function;             /* these two say where an error is; NULL: nowhere yet */
    const Mil__Spec__Operation *operation;
    size_t n_read, n_all;             /* operations, for progress */
    bool has_unknown;                 /* fields that the schema has not, anywhere in the program */
    size_t most_bytes;                /* that the program's arena may hold */
    const mil_load_options *options;  /* NULL: the defaults */
    mil_dim unknown;                  /* stands for all unknown dims of results: inference knows better */
    mil_error *err;
} mil__reader;

/* fresh: unknown dims are symbols of their own. */
mil_status mil__read_type(mil__reader *r, const Mil__Spec__Type *type, bool fresh, const mil_type **out);
/* Reads a value into all of *out but its name and next. for_const: weights are fetched, and a large tensor has a buffer:
 * out->data is the caller's to free then. */
mil_status mil__read_value(mil__reader *r, const Mil__Spec__Value *value, bool for_const, mil__attr *out);
/* MIL_ELIMIT where the program has become too large for its file. */
mil_status mil__read_check_size(const mil__reader *r);
/* Puts path, function and value before the message of a failure; gives the status back. */
mil_status mil__read_locate(const mil__reader *r, const char *path, mil_status status);
/* The model's program, one function after another, with what its description says of inputs. Fails: MIL_EUNSUPPORTED where
 * it is no ML Program; and as mil_text_parse, but MIL_EFORMAT for what has no place in a program. */
mil_status mil__read_model(mil__reader *r, const Mil__Spec__Model *model);
/* ---- the description (read_description.c) ---- */

/* What it says of one function. */
typedef struct mil__described {
    Mil__Spec__Feature **inputs, **outputs, **states;
    size_t n_inputs, n_outputs, n_states;
    const char *label, *probabilities;                /* of a classifier; else "" */
    const Mil__Spec__FunctionDescription *function;   /* NULL: it is the description itself */
} mil__described;

/* d: may be NULL. n_functions: of the program. */
void mil__described_function(const Mil__Spec__Description *d, size_t n_functions, const char *name, mil__described *out);
mil_status mil__read_inputs(mil__reader *r, mil_block block, const Mil__Spec__Function *function, const mil__described *d);
mil_status mil__read_outputs(mil__reader *r, mil__function *function, const mil__described *d);
/* What is not of a function: metadata, which is the default. d: may be NULL. */
mil_status mil__read_description(mil__reader *r, const Mil__Spec__Description *d);
/* All that a description says of a program that is there. */
mil_status mil__describe_program(mil__reader *r, const Mil__Spec__Description *d);
/* The name that an opset has there: "CoreML8". */
const char *mil__opset_in_package(mil_opset opset);
mil_status mil__keep_model(mil__reader *r, const Mil__Spec__Model *model);
mil_status mil__keep_function(mil__reader *r, mil_block made, const Mil__Spec__Function *function);
mil_status mil__keep_block(mil__reader *r, mil_block made, const Mil__Spec__Block *block);
mil_status mil__keep_operation(mil__reader *r, mil_operation made, const Mil__Spec__Operation *op);

/* A user's own entry of the metadata whose name is that of one of Core ML's fields has this before it in the program. */
#define MIL__USER_PREFIX "userDefined."
/* The name in the package of a user's entry; NULL: the key is one of Core ML's fields. */
const char *mil__user_key(const char *key);

/* ---- fields that the schema has not (unknown.c) ---- */

/* Has the message some, or one inside of it? What is in the field `without` (NULL: none) does not count. */
bool mil__has_unknown(const ProtobufCMessage *message, const char *without);
/* Gives `to` those of `from`, a message of the same type; and likewise what is inside of both, matched by key or name, else
 * by position where there are equally many. Sorts `from`, which must outlive `to`: the fields are shared.
 * No message may be in two places of `to`. */
void mil__take_unknown(ProtobufCMessage *to, ProtobufCMessage *from);

/* The specification's versions: the first that has ML Programs, and the last whose fields are known. */
enum { MIL__FIRST_VERSION = 6, MIL__LAST_VERSION = 10 };

/* "a pipeline", of the number that a kind of model has in Model; NULL: an ML Program, or none that is known. */
const char *mil__model_kind(uint32_t number);

/* ---- files ---- */

mil_status mil__load_package(const char *path, const mil_load_options *options, mil_program **out, mil_error *err);
mil_status mil__load_bundle(const char *path, const mil_load_options *options, mil_program **out, mil_error *err);
mil_status mil__load_model(const char *path, const mil_load_options *options, mil_program **out, mil_error *err);
mil_status mil__load_text(const char *path, const mil_load_options *options, mil_program **out, mil_error *err);
struct json_t; /* jansson's, which few files need */
/* The manifest of the package at `path`, to be released; n bytes of it. */
mil_status mil__manifest_parse(const char *path, const void *data, size_t n, struct json_t **out, mil_error *err);
/* Does that path, below a folder, lead nowhere else? */
bool mil__stays_inside(const char *path);
/* The model's file of the package at `path`, as the n bytes of its manifest have it; owned. It is below the package. */
mil_status mil__manifest_model(const char *path, const void *data, size_t n, char **out, mil_error *err);
/* What the coremldata.bin of a bundle says of its program; nothing where it is not laid out as we know it. */
mil_status mil__describe_bundle(const char *path, const void *data, size_t n, mil_program *program, mil_error *err);
/* Notes which files of the folder at `path` are the program's own, so that the others can be carried when it is saved
 * (carry.c). model_file: the package's, by that path; NULL: a bundle. */
mil_status mil__source_note(mil_program *program, const char *path, const char *model_file, mil_error *err);
mil_status mil__load_progress(const mil_load_options *options, const char *stage, double part, mil_error *err);
/* "a/b" of "a/b/c.mil", owned; "." where there is no folder. */
mil_status mil__folder_of(const char *path, char **out, mil_error *err);
/* The three texts as one, owned. */
mil_status mil__join(const char *a, const char *b, const char *c, char **out, mil_error *err);

#endif
