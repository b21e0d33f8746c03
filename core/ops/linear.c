/* SPDX-License-Identifier: MIT */
/* linear: inference and plain evaluation. */
#include "ops/rules.h"
