/* SPDX-License-Identifier: MIT */
/* The library's threads: one pool, made with the first model that wants it and joined with the last. */
#ifndef MIL__POOL_H
#define MIL__POOL_H

#include "base/base.h"

/* One user more: there will be at least n - 1 workers while it holds. Fails: MIL_EIO (no thread), MIL_ENOMEM. */
mil_status mil__pool_acquire(int n, mil_error *err);
/* One user less; the last joins the workers. */
void mil__pool_release(void);

/* Calls work(ctx, begin, end, lane) for disjoint ranges that together are 0 .. n_tiles, on up to n threads, the
 * caller's among them, and returns when all are done. lane is below n, and of one thread at a time. Where the pool is
 * busy (another run), after a fork, or for one tile, the caller does it all itself, as lane 0. */
typedef void mil__pool_work(void *ctx, size_t begin, size_t end, int lane);
void mil__pool_run(int n, size_t n_tiles, mil__pool_work *work, void *ctx);

int mil__processors(void); /* that this process may use; at least 1 */

#endif
