/* SPDX-License-Identifier: MIT */
/* tensor_transformation: inference and plain evaluation. */
#include "ops/rules.h"
