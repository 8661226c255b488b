/* Cutting a kernel's work into tasks: equal runs of items, small enough that threads balance, large enough that a task
 * outweighs handing it out. */
#ifndef PITH_OPS_SPLIT_H
#define PITH_OPS_SPLIT_H

#include <stddef.h>

/* Cost is counted in floats passed through once; about 10 us of them make the smallest task. */
enum { PITH_SPLIT_MIN_COST = 32768, PITH_SPLIT_TASKS_PER_THREAD = 4 };

/* Tasks for `items` of `cost` each: 1 for one thread, at most `items`, 0 for none. */
static inline size_t pith_split_count(size_t items, size_t cost, size_t threads) {
  if (items == 0)
    return 0;
  if (threads <= 1)
    return 1;
  const size_t worth = (items * cost) / PITH_SPLIT_MIN_COST;
  size_t count = threads * PITH_SPLIT_TASKS_PER_THREAD;
  count = worth < count ? worth : count;
  count = items < count ? items : count;
  return count > 0 ? count : 1;
}

/* First item of task `task` of `count`; that of task + 1 is its end. */
static inline size_t pith_split_begin(size_t items, size_t count, size_t task) {
  return items / count * task + items % count * task / count;
}

#endif
