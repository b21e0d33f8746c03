/* SPDX-License-Identifier: MIT */
/* reduction: inference and plain evaluation. */
#include "ops/rules.h"
