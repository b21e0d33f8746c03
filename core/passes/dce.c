/* SPDX-License-Identifier: MIT */
/* Dead code: operations without a used result and without an effect go. */
#include "passes/pass.h"

mil_status mil__pass_dce(mil_program *program, mil_error *err) {
    return mil_program_prune(program, err);
}
