/* SPDX-License-Identifier: MIT */
/* tensor_operation: inference and plain evaluation. */
#include "ops/rules.h"
