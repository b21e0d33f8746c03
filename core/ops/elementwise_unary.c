/* SPDX-License-Identifier: MIT */
/* elementwise_unary: inference and plain evaluation. */
#include "ops/rules.h"
