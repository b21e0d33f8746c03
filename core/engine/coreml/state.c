/* SPDX-License-Identifier: MIT */
/* States: Core ML keeps them in memory of its own, which may be looked at only while it says so. A state of ours may be read, written
 * and copied between runs, and serve other models: so its elements go there before a run, and come back after it. */
#include "engine/coreml/coreml.h"

typedef struct copying {
    const mil__coreml_port *port;
    mil_tensor *tensor;
    bool to_state, was_called;
    mil_status status;
    mil_error *err;
} copying;

static void copy(mil__objc_block *block, mil__id array) {
    copying *c = block->ctx;
    mil_tensor view;
    c->was_called = true;
    c->status = mil__coreml_array_view(array, c->port->name, &view, c->err);
    if (c->status != MIL_OK) return;
    c->status = c->to_state ? mil_tensor_copy(&view, c->tensor, c->err) : mil_tensor_copy(c->tensor, &view, c->err);
}

mil_status mil__coreml_state_copy(mil__id state, const mil__coreml_port *port, mil_tensor *tensor, bool to_state, mil_error *err) {
    copying c = {.port = port, .tensor = tensor, .to_state = to_state, .err = err};
    mil__objc_block block;
    mil__id name = mil__ns_string(port->name);
    if (!name) return mil__fail_made(err, "run");
    mil__objc_block_init(&block, (void (*)(void))copy, &c);
    mil__send(state, MLState, withArray, name, &block);
    return c.was_called ? c.status : mil__fail(err, MIL_EIO, "run: Core ML does not give the memory of state %s", port->name);
}
