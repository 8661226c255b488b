/* The kernel calls of one run, shared by the threads of a pool.
 *
 * The pool is entered once for a whole run. One thread leads: it publishes call after call and takes tasks like every
 * other; the others take tasks of whatever call is current. Within the run nobody waits for a thread to arrive, only for
 * tasks that were begun. The pool itself returns only after every one of its threads has woken and left, so a thread that
 * the system keeps off its processor delays the end of a run, once, and not every call in it. */
#ifndef PITH_EXEC_PARALLEL_H
#define PITH_EXEC_PARALLEL_H

#include <stdint.h>

#include "ops/kernel.h"

struct pthreadpool;

/* Threads of a pool; 1 for NULL, and in a build without threads. */
size_t pith_parallel_count_threads(struct pthreadpool *pool);

/* One kernel call; thread i uses the scratch at i * scratch_bytes. */
typedef struct pith_team_call {
  const pith_kernel *kernel;
  const void *args;
  size_t tasks;
  char *scratch;
  size_t scratch_bytes;
} pith_team_call;

typedef struct pith_team {
  size_t threads;
  pith_team_call *calls; /* [call_count]: each is written once in a run, so that late threads may still read old ones */
  _Alignas(64) uint64_t ticket; /* number of the call, from 1, << 32 | its next task; atomic */
  _Alignas(64) uint64_t done;   /* tasks of this call that have ended; atomic */
} pith_team;

/* Calls lead(context) on one thread while the others serve the team, and returns when all are done. */
void pith_team_run(pith_team *team, struct pthreadpool *pool, void (*lead)(void *context), void *context);

/* For the leader: runs all tasks of calls[index], whose kernel, args and scratch are filled. Indices ascend within a run. */
void pith_team_run_call(pith_team *team, uint32_t index);

/* Calls function(context, i) for each i below `count`, in any order, and returns when all have returned. `pool` may be
 * NULL. */
void pith_parallel_for(struct pthreadpool *pool, void (*function)(void *context, size_t i), void *context,
                       size_t count);

#endif
