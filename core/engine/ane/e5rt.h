/* SPDX-License-Identifier: MIT */
/* What the files of route "e5rt" share: e5rt.c (programs, contexts, runs), e5rt_port.c (ports and their memory). */
#ifndef MIL__ENGINE_ANE_E5RT_H
#define MIL__ENGINE_ANE_E5RT_H

#include "base/file.h"
#include "engine/ane/ane.h"

/* A port of an operation, with memory of its own bound to it. */
typedef struct mil__e5rt_port {
    void *port, *buffer;
    void *memory; /* the buffer's */
    mil__iosurface surface; /* someone else's, which stands in for it; NULL: none */
    void *over_surface;     /* the buffer over that; of ports with one surface (a state's) it is one */
} mil__e5rt_port;

/* Each fails with what e5rt says; *out is to be released then too. */
/* Asks the operation for its port of that name. */
mil_status mil__e5rt_port_find(void *operation, bool is_input, const char *name, mil__e5rt_port *out, mil_error *err);
/* Fills the port's layout (strides, bytes): as e5rt describes it, where it can and is to be asked; else dense. Fails: MIL_EUNSUPPORTED
 * (one that is not of the program's port). */
mil_status mil__e5rt_port_lay_out(const mil__e5rt_port *found, bool is_asked, mil__ane_port *port, bool *is_reported, mil_error *err);
/* Binds memory to it, which is zeros. */
mil_status mil__e5rt_port_bind(mil__e5rt_port *found, const mil__ane_port *port, mil_error *err);
/* Of n ports, binds someone else's surface to one, or NULL: its own memory again. */
mil_status mil__e5rt_port_rebind(mil__e5rt_port *ports, size_t n, size_t at, mil__iosurface surface, mil_error *err);
/* The last of n. */
void mil__e5rt_port_release(mil__e5rt_port *ports, size_t n);
size_t mil__e5rt_buffer_bytes(const mil__ane_port *port);

/* Releases what the handle stands for, if it is not NULL. The lock is held. */
void mil__e5rt_release(int32_t (*release)(void **handle), void **handle);

/* Fails with what e5rt says of its function's failure: "compile: e5rt_..: its reason (11 its name)". Code 0: it gave nothing. */
mil_status mil__e5rt_fail(mil_error *err, const char *what, const char *function, int32_t code);

/* Calls it, and returns where it fails. */
#define MIL__E5RT(what, function, ...)                                              \
    do {                                                                            \
        int32_t code_ = mil__apple.function(__VA_ARGS__);                           \
        if (code_ != 0) return mil__e5rt_fail(err, what, #function, code_);         \
    } while (0)
/* The same of a function that puts something into `result`, which must not be NULL then. */
#define MIL__E5RT_GET(what, result, function, ...)                                  \
    do {                                                                            \
        MIL__E5RT(what, function, __VA_ARGS__);                                     \
        if (!(result)) return mil__e5rt_fail(err, what, #function, 0);              \
    } while (0)
/* The same of a function that a system may lack. */
#define MIL__E5RT_OPTIONAL(what, function, ...)                                     \
    do {                                                                            \
        if (mil__apple.function) MIL__E5RT(what, function, __VA_ARGS__);            \
    } while (0)

#endif
