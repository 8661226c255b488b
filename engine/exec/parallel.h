/* One kernel call on the threads of a pool. */
#ifndef PITH_EXEC_PARALLEL_H
#define PITH_EXEC_PARALLEL_H

#include "ops/kernel.h"

struct pthreadpool;

/* Threads of a pool; 1 for NULL, and in a build without threads. */
size_t pith_parallel_count_threads(struct pthreadpool *pool);

/* Runs all tasks and returns when they are done. Thread i uses the scratch at i * scratch_bytes. `threads` as given to
 * pith_parallel_count_threads. */
void pith_parallel_run(struct pthreadpool *pool, size_t threads, const pith_kernel *kernel, const void *args,
                       char *scratch, size_t scratch_bytes);

/* Calls function(context, i) for each i below `count`, in any order, and returns when all have returned. `pool` may be
 * NULL. */
void pith_parallel_for(struct pthreadpool *pool, void (*function)(void *context, size_t i), void *context,
                       size_t count);

#endif
