/* SPDX-License-Identifier: MIT */
/* Lowering of states. In a program for the Neural Engine a state is what it holds at a time: at first what comes in by its port
 * (ane_ports.c), from a write on what was written; at the end it goes out by another port. The operations are gone. */
#include "passes/ane.h"

bool mil__lower_read_state(mil__lowering *l, const mil__op *op) {
    mil__ane_alias(l, op->outputs[0], mil__ane_arg(op, "input"));
    return true;
}

bool mil__lower_write_state(mil__lowering *l, const mil__op *op) {
    bool updates = op->n_outputs == 1;
    mil_value state = mil__ane_arg(op, updates ? "state" : "input"), value = mil__ane_arg(op, updates ? "value" : "data");
    if (mil__old_data(l, value)) {
        mil__ane_fail(l, MIL_EUNSUPPORTED, "%s: state %s is written a const, which no operation of the Neural Engine makes", op->decl->name,
                      l->from->values[state]->name);
        return true;
    }
    mil__ane_alias(l, state, value);
    if (updates) mil__ane_alias(l, op->outputs[0], value);
    return true;
}
