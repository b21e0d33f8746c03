/* SPDX-License-Identifier: MIT */
/* normalization: inference and plain evaluation. */
#include "ops/rules.h"
