/*
 * pool.h - fork and join over a fixed set of threads.
 *
 * cv_pool_run hands out n_chunks chunks of work; the calling thread takes part, so a pool of one thread starts none.
 * Chunks are taken in any order by any thread: a chunk must write only what is its own, and no sum may cross chunks.
 * That is what keeps results independent of the thread count.
 */
#ifndef CV_BASE_POOL_H
#define CV_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cv_pool;

/* Runs on a pool thread. thread is 0..n_threads-1 and names the thread's own scratch memory. */
typedef void cv_pool_fn(void *ctx, size_t chunk, unsigned thread);

/* n_threads 0 means one per processor that this process may use (affinity and cgroup quota respected). */
bool cv_pool_new(struct cv_pool **out, unsigned n_threads, struct cv_error *err);
void cv_pool_free(struct cv_pool *p);
unsigned cv_pool_threads(const struct cv_pool *p);
/* Returns when every chunk is done. One caller at a time: the pool belongs to one thread. */
void cv_pool_run(struct cv_pool *p, cv_pool_fn *fn, void *ctx, size_t n_chunks);
/* How many processors this process may use. */
unsigned cv_cpu_count(void);

#endif
