/* SPDX-License-Identifier: MIT */
/* activation: inference and plain evaluation. */
#include "ops/rules.h"
