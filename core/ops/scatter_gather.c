/* SPDX-License-Identifier: MIT */
/* scatter_gather: inference and plain evaluation. */
#include "ops/rules.h"
