/* SPDX-License-Identifier: MIT */
/* pool: inference and plain evaluation. */
#include "ops/rules.h"
