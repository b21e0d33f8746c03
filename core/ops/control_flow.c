/* SPDX-License-Identifier: MIT */
/* control_flow: const, select. */
#include "ops/rules.h"

mil_status mil__infer_const(mil__call *call) { return mil__infer_like_first(call); }
