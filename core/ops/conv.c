/* SPDX-License-Identifier: MIT */
/* conv: inference and plain evaluation. */
#include "ops/rules.h"
