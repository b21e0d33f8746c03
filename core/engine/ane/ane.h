/* SPDX-License-Identifier: MIT */
/* What the parts of the Neural Engine's engine share: programs as the engine takes them, the routes, folders.
 *
 *     ane.c      the engine: takes a program or a text, chooses a route, copies between tensors and ports
 *     device.c   which machine this is
 *     direct.c   route "direct": _ANEInMemoryModel: descriptor, compile, load, unload; one lock, one count of compiles
 *     layout.c     what the loaded model reports of its ports: order, strides, sizes; computed where it reports nothing
 *     request.c    surfaces, the request, a run
 *     e5rt.c     route "e5rt": Espresso's C functions: compile, operations, streams
 *     e5rt_port.c  ports of an operation: their layout, and memory bound to them
 *     self_test.c  what the sources disagree about, found out on this machine, once
 *     bind.c     tensors of the user's whose memory a port takes as it is
 *     child.c    compiling in another process
 *     folder.c   the folder of files that the system's compilers read
 *
 * Nothing here is called without the frameworks being open (route->open). docs/explanation/neural-engine.md has the sources
 * of everything that is known of them. */
#ifndef MIL__ENGINE_ANE_H
#define MIL__ENGINE_ANE_H

#include "apple/apple.h"
#include "engine/engine.h"

/* ---- a program as the engine takes it ---- */

/* An input or output of it; all extents are fixed. */
typedef struct mil__ane_port {
    const char *name;
    mil_dtype dtype;               /* of its memory: the text's, unless the loaded model reports another */
    mil_dtype own_dtype;           /* the text's */
    int rank;
    int64_t shape[MIL_MAX_RANK];
    /* what a route finds out when it loads: */
    int64_t strides[MIL_MAX_RANK]; /* of its memory, in elements */
    size_t bytes;                  /* of its memory, at least */
    size_t symbol;                 /* its place among the inputs, or the outputs, in the order of the loaded model */
} mil__ane_port;

typedef struct mil__ane_text {
    const char *text;
    size_t n;
} mil__ane_text;

/* ---- what is found out on a machine (self_test.c) ---- */

/* Places where the sources disagree, and what may be found there. */
#define MIL__ANE_TOPICS(X)                                                                                              \
    X(order,  "order of the ports")          /* as reported (by name where nothing is); by name; as the text has them; */ \
                                             /* refused: of two inputs, so all are packed into one */                   \
    X(rows,   "rows")                        /* as reported (of whole 64 bytes); packed */                              \
    X(concat, "concat")                                                                                                 \
    X(bias,   "bias of a conv")                                                                                         \
    X(files,  "weights in files")            /* else all stand in the text */                                           \
    X(sums,   "sums along channels")                                                                                    \
    X(powers, "powers")                                                                                                 \
    X(cast,   "fp32 ports")                                                                                             \
    X(reload, "weights reloaded")            /* other weights in the files of a compiled program, which is loaded anew */
typedef enum mil__ane_answer {
    MIL__ANE_UNKNOWN,    /* not asked, or something else failed */
    MIL__ANE_RIGHT,
    MIL__ANE_REFUSED,
    MIL__ANE_WRONG,      /* taken, with wrong results */
    MIL__ANE_BY_NAME,    /* right so, and wrong as reported */
    MIL__ANE_AS_WRITTEN,
    MIL__ANE_PACKED
} mil__ane_answer;
typedef struct mil__ane_findings {
#define X(name, text) mil__ane_answer name;
    MIL__ANE_TOPICS(X)
#undef X
} mil__ane_findings;

/* Everything is borrowed while it is loaded, the ports for as long as it is. */
typedef struct mil__ane_source {
    mil__ane_text texts[2];    /* in one spelling, and where the engine refuses it, in the other */
    int n_texts;
    const mil_text_file *files; /* weights, by the names that the texts have for them */
    size_t n_files;
    mil__ane_port *ports;      /* inputs, then outputs */
    size_t n_inputs, n_outputs;
    const char *entry;         /* the function's name, as long as the ports */
    uint32_t procedure;        /* its place in the text */
    unsigned qos;
    mil__ane_findings findings; /* order, rows: how the layout of the ports is to be understood */
    bool counts;               /* the engine's own clock is to be asked */
    bool is_given;             /* the text is a user's: nothing in it stands for the weights */
    bool keeps_states;         /* what comes out of some ports of outputs goes into inputs of the next run */
} mil__ane_source;

/* ---- routes ---- */

/* A way to the engine. What it loads may be run by several contexts at once; a context by one thread. */
typedef struct mil__ane_route {
    const char *name;
    /* Opens the frameworks. Fails: MIL_EUNSUPPORTED, what is missing, by name. */
    mil_status (*open)(mil_error *err);
    /* Compiles and loads; fills the layout of the ports. */
    mil_status (*load)(mil__ane_source *source, void **out, mil_error *err);
    /* Writes other weights into the files of what is loaded, and loads it anew without compiling; contexts must be gone. NULL: can't.
     * On failure only unload and free may follow, as ever. */
    mil_status (*reload)(void *loaded, const mil_text_file *files, size_t n, mil_error *err);
    void (*unload)(void *loaded);  /* once; contexts may still be freed */
    void (*free)(void *loaded);
    mil_status (*context_new)(void *loaded, void **out, mil_error *err); /* ports' memory: zeros */
    void (*context_free)(void *context);
    /* The memory of port i, from begin to end only: to be written (inputs), to be read (outputs). Never across a run. */
    mil_status (*begin)(void *context, size_t port, void **memory, mil_error *err);
    mil_status (*end)(void *context, size_t port, mil_error *err);
    /* Someone else's surface in the place of the port's memory, for the runs to come, which must not be locked then; NULL: no more.
     * Kept until another is; begin and end are of the port's own. A route that can't: all of these are NULL. */
    mil_status (*bind)(void *context, size_t port, mil__iosurface surface, mil_error *err);
    mil__iosurface (*bound)(const void *context, size_t port); /* a run may find that it can't keep it */
    bool (*takes)(const void *context, size_t port, size_t bytes); /* surfaces of so many bytes */
    size_t (*surface_bytes)(const void *loaded, size_t port);  /* of one that is made for it */
    bool is_in_place;          /* one surface may be an input's and an output's at once: read first, written at the run's end */
    mil_status (*run)(void *context, mil_error *err);
    void (*print)(const void *loaded, mil__str *out);
    size_t (*context_bytes)(const void *loaded);
} mil__ane_route;

extern const mil__ane_route mil__ane_direct, mil__ane_e5rt;

/* What is known of this chip and system by this route: kept, or found out now, by a few programs that are compiled and run; by the first
 * who asks, while others wait. */
void mil__ane_self_test(const mil__ane_route *route, mil__ane_findings *out);
void mil__ane_print_findings(const mil__ane_findings *findings, mil__str *out);

/* A model of mil__engine_ane's, of a program as it is (not lowered), its ports laid out as the findings say; loaded, it borrows nothing. */
mil_status mil__ane_compile_plain(const mil__ane_route *route, const mil_program *program, const mil__ane_findings *findings, void **out,
                                  mil_error *err);
/* Weights of another program, the same but for them. */
mil_status mil__ane_reload(void *model, const mil_program *program, mil_error *err);

/* ---- what a model takes and gives (bind.c) ---- */

/* An input or output of the model: where it lies in its port. */
typedef struct mil__ane_view {
    mil_tensor tensor; /* data: of the copy under way */
    mil_dtype dtype;   /* the model's own */
    size_t port;
    int64_t offset;    /* bytes, of its first element */
    bool is_state;
} mil__ane_view;

/* A state that is written: its view as an input, and that of the output which has what it holds after a run. */
typedef struct mil__ane_kept {
    size_t before, after;
    mil_tensor *twin;          /* where the route needs other memory to write than it reads; NULL: not yet. Owned */
} mil__ane_kept;

/* Which ports have the memory of the user's tensors in the place of their own: states', and where the others stay what they are
 * from run to run, theirs too. */
typedef struct mil__ane_binding {
    const mil__ane_route *route;
    void *context;             /* the route's */
    const mil__ane_source *source; /* the ports */
    const mil__ane_view *views; /* of the model's inputs, then of its outputs */
    size_t n_inputs, n_outputs;
    bool has_states_only;
    mil__ane_kept *states;
    size_t n_states;
    struct mil__ane_bound {
        mil_buffer *buffer;    /* of the run under way, borrowed; NULL: the port has its own memory */
        mil_buffer *held;      /* what the route may still know of; retained */
    } ports[];
} mil__ane_binding;
/* views: of inputs, of outputs, of what is after a run in each of the states. NULL in *out: the route can't. views and ports live longer.
 * Fails: MIL_ENOMEM. */
mil_status mil__ane_binding_new(const mil__ane_route *route, void *context, const mil__ane_view *views, size_t n_inputs, size_t n_outputs,
                                const mil_lowered_state *states, size_t n_states, const mil__ane_source *source, mil__ane_binding **out,
                                mil_error *err);
void mil__ane_binding_free(mil__ane_binding *binding); /* after the route's context */
/* Chooses the ports for a run on these, and binds them. */
mil_status mil__ane_binding_choose(mil__ane_binding *binding, mil_tensor *const *inputs, mil_tensor *const *outputs, mil_error *err);
/* The run has the chosen memory between these. Fails: MIL_ESTATE (it is locked). */
mil_status mil__ane_binding_begin(mil__ane_binding *binding, mil_error *err);
void mil__ane_binding_end(mil__ane_binding *binding);
/* After a run that went well: states whose ports are bound have what was written. */
mil_status mil__ane_binding_settle(mil__ane_binding *binding, mil_tensor *const *inputs, mil_error *err);
static inline bool mil__ane_is_bound(const mil__ane_binding *binding, size_t port) { return binding && binding->ports[port].buffer; }
/* A tensor for each view, in shared memory of zeros that a run can be bound to, or is copied from and to where that can't be. */
mil_status mil__ane_shared_tensors(const mil__ane_route *route, const void *loaded, const mil__ane_view *views, size_t n, mil_tensor **out, mil_error *err);

/* "input 0: x fp16[1, 4, 1, 64], strides [256, 64, 64, 1]" */
void mil__ane_print_port(const mil__ane_port *port, bool is_input, mil__str *out);

/* ---- the machine (device.c) ---- */

typedef struct mil__ane_device {
    bool is_known;             /* else nothing of it is: the framework that says it can't be asked */
    bool has_engine, is_virtual;
    unsigned cores;            /* 0: not said */
    char chip[24], build[24];  /* "h16g", "25A123"; empty: not said */
} mil__ane_device;
void mil__ane_device_get(mil__ane_device *out);

/* ---- what is refused (refuse.c) ---- */

/* As an engine's refusals, by that route; chip: "M1" ..; NULL: any. What the self-test found to be refused is too. */
mil_status mil__ane_refusals(const mil_program *program, mil_block function, const char *route, const char *chip, const mil__ane_findings *findings,
                             const char **why, mil__arena *arena, mil_error *err);

bool mil__ane_is_elementwise(const mil_program *program); /* all operations of its first function */

/* ---- folders (folder.c) ---- */

/* A private folder in the system's place for temporary files, filled with a program's files and removed at the end; what a
 * process that died left there is removed when the next one makes its first. Programs of one name share one. */
typedef struct mil__ane_folder mil__ane_folder;
/* Files' names begin with "@model_path/", and their path may lead neither out of it nor to what else lies there. Fails: MIL_EINVAL. */
mil_status mil__ane_check_names(const mil_text_file *files, size_t n, mil_error *err);
/* name: letters, digits and _; text: model.mil. Fails: MIL_EINVAL (files' names), MIL_EIO, MIL_ENOMEM. */
mil_status mil__ane_folder_open(const char *name, const mil__ane_text *text, const mil_text_file *files, size_t n,
                                mil__ane_folder **out, mil_error *err);
const char *mil__ane_folder_path(const mil__ane_folder *folder);
void mil__ane_folder_list(const mil__ane_folder *folder, mil__str *out); /* "data, model.mil, weights": what is in it but marks */
void mil__ane_folder_close(mil__ane_folder *folder);
/* Writes the same files into a folder that is there; text NULL: weights alone. Fails: the same. */
mil_status mil__ane_folder_fill(const char *path, const mil__ane_text *text, const mil_text_file *files, size_t n, mil_error *err);

/* ---- the direct route's parts ---- */

/* Has another process compile the folder's program (child.c). Fails: MIL_ELIMIT (none can be started), MIL_EUNSUPPORTED (what it said),
 * MIL_EIO (it died, or did not end in time). */
extern unsigned mil__ane_child_seconds; /* that it may take */
mil_status mil__ane_compile_in_child(const char *folder, unsigned qos, mil_error *err);

/* What the loaded model reports of its ports, into the source's; out says what it reported, for people. The foundation is open.
 * Fails: MIL_EUNSUPPORTED (a layout that is not that of the program). */
typedef struct mil__ane_report {
    bool has_layout, has_order; /* reported; else computed, and the order of the names */
    mil__ane_answer rows, order; /* what the findings said otherwise */
    uint32_t procedure;         /* the function's number */
} mil__ane_report;
mil_status mil__ane_layout(mil__id attributes, mil__ane_source *source, mil__ane_report *out, mil_error *err);

/* A context's surfaces and request. */
typedef struct mil__ane_request mil__ane_request;
typedef struct mil__ane_loaded mil__ane_loaded;
struct mil__ane_loaded {
    mil__id model;     /* _ANEInMemoryModel, retained; nil once unloaded */
    mil__id options;   /* an empty dictionary, retained */
    unsigned qos;
    mil__ane_port *ports; /* the source's */
    size_t n_inputs, n_outputs;
    mil__ane_folder *folder;
    mil__ane_report report;
    int spelling;      /* which of the source's texts */
    bool is_loaded;
    bool was_compiled; /* false: the system had a compiled copy */
    bool was_elsewhere; /* another process compiled it */
    const char *naming; /* of a text of the user's with weights: what tells programs apart; NULL: not asked */
    bool counts, keeps_states;
    atomic_ullong hardware_ns; /* of the last run, by the engine's own clock; 0: none was given */
    atomic_size_t least_bytes; /* of a surface: grows once, where the engine finds them too small */
};
mil_status mil__ane_request_new(void *loaded, void **out, mil_error *err);
void mil__ane_request_free(void *request);
mil_status mil__ane_request_begin(void *request, size_t port, void **memory, mil_error *err);
mil_status mil__ane_request_end(void *request, size_t port, mil_error *err);
mil_status mil__ane_request_bind(void *request, size_t port, mil__iosurface surface, mil_error *err);
mil__iosurface mil__ane_request_bound(const void *request, size_t port);
bool mil__ane_request_takes(const void *request, size_t port, size_t bytes);
mil_status mil__ane_request_run(void *request, mil_error *err);
bool mil__ane_can_count(void);
size_t mil__ane_surface_bytes(const mil__ane_loaded *loaded, size_t port);

#endif
