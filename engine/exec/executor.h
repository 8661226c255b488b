/* Runs a program: binds this run's inputs, checks them, then runs step after step on one thread or a pool.
 *
 * An executor holds everything that a run changes (one block of memory, kernels' arguments, the profile), so running allocates
 * nothing. It belongs to one thread at a time; any number of executors may share a program. */
#ifndef PITH_EXEC_EXECUTOR_H
#define PITH_EXEC_EXECUTOR_H

#include "engine/lower/lower.h"

typedef struct pith_executor pith_executor;

typedef struct pith_executor_options {
  const pith_allocator *allocator;
  struct pthreadpool *threadpool; /* with the program's thread count; NULL where that is 1 */
  bool profile;
  bool plan_only; /* everything but the block of memory, so that it cannot run: for counting bytes */
} pith_executor_options;

/* What an input of a run is: `data` in row-major order, as the program's input of the same index. */
typedef struct pith_feed {
  const void *data; /* borrowed until the run ends */
  size_t dims[PITH_MAX_RANK];
} pith_feed;

/* Allocates, and packs the weights that need it. */
PITH_WARN_UNUSED pith_status pith_executor_create(const pith_program *program, const pith_executor_options *options,
                                                  pith_executor **out_executor, pith_error *error);
void pith_executor_destroy(pith_executor *executor); /* NULL is accepted */

/* Where output `index`, one of pith_lower_options.outputs_given, is written from now on: 64-byte aligned, borrowed, with room for
 * it at the symbols' limits. PITH_INVALID_ARGUMENT for any other output. */
PITH_WARN_UNUSED pith_status pith_executor_bind_output(pith_executor *executor, uint32_t index, void *memory,
                                                       pith_error *error);

/* `feeds`: one per input of the program. The run ends with PITH_CANCELLED or PITH_DEADLINE (CLOCK_MONOTONIC; 0: none) between two
 * steps. Never allocates. */
PITH_WARN_UNUSED pith_status pith_executor_run(pith_executor *executor, const pith_feed *feeds, const int *cancel,
                                               uint64_t deadline_ns, pith_error *error);

/* Gives the buffers' memory back to the system until the next run (pith_vacate): outputs in it are lost. */
void pith_executor_vacate(pith_executor *executor);

/* An output of the last successful run; lives until the next run. */
const pith_view *pith_executor_get_output(const pith_executor *executor, uint32_t index);
/* The one block: buffers, scratch, packed weights. For tests. */
void *pith_executor_get_memory(const pith_executor *executor);
/* An entry per step; empty without `profile`. */
const pith_profile_entry *pith_executor_get_profile(const pith_executor *executor, size_t *out_count);

uint64_t pith_clock_now_ns(void); /* CLOCK_MONOTONIC */

#endif
