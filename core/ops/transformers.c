/* SPDX-License-Identifier: MIT */
/* transformers: inference and plain evaluation. */
#include "ops/rules.h"
