#include "ops/kernel.h"

const pith_kernel *pith_kernel_select(const pith_kernel *const *table, pith_cpu_set cpu) {
  const pith_kernel *best = table[0];
  for (; *table; ++table)
    if (((*table)->needs & ~cpu) == 0)
      best = *table;
  return best;
}

void pith_kernel_run_all(const pith_kernel *kernel, const void *args, void *scratch) {
  const size_t tasks = kernel->count_tasks(args, 1);
  for (size_t task = 0; task < tasks; ++task)
    kernel->run(args, 1, task, scratch);
}
