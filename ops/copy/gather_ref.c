#include <string.h>

#include "ops/copy/copy.h"

/* Rows of output that are worth a task: 64 KiB of them. */
static size_t count_rows_per_task(const pith_gather_args *a) {
  size_t rows = (64 << 10) / (a->inner_bytes + 1);
  return rows == 0 ? 1 : rows;
}

static size_t count_tasks(const void *args, size_t threads) {
  (void)threads;
  const pith_gather_args *a = args;
  size_t per_task = count_rows_per_task(a);
  return a->inner_bytes == 0 ? 0 : (a->outer * a->count + per_task - 1) / per_task;
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads;
  (void)scratch;
  const pith_gather_args *a = args;
  size_t per_task = count_rows_per_task(a), end = a->outer * a->count;
  size_t begin = task * per_task;
  if (end - begin > per_task)
    end = begin + per_task;
  for (size_t row = begin; row < end; row++) {
    size_t outer = row / a->count, i = row % a->count;
    size_t index = a->index_bytes == 8 ? (size_t)((const int64_t *)a->indices)[i]
                                       : (size_t)((const int32_t *)a->indices)[i];
    memcpy((char *)a->y + row * a->inner_bytes, (const char *)a->x + (outer * a->axis + index) * a->inner_bytes,
           a->inner_bytes);
  }
}

static const pith_kernel gather_ref = {"gather_ref", 0, count_tasks, NULL, run};
const pith_kernel *const pith_gather_kernels[] = {&gather_ref, NULL};
