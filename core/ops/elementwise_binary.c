/* SPDX-License-Identifier: MIT */
/* elementwise_binary: inference and plain evaluation. */
#include "ops/rules.h"
