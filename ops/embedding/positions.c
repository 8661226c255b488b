#include "ops/embedding/embedding_f32.h"

/* One task: a pass over s32 that no thread is worth waking for. */
static size_t positions_count(const void *args, size_t threads) {
  (void)threads;
  const pith_positions_args *a = args;
  return a->sequences > 0;
}

static void positions_run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads, (void)task, (void)scratch;
  const pith_positions_args *a = args;
  for (size_t s = 0; s < a->sequences; ++s) {
    int32_t next = a->start;
    for (int32_t t = a->offsets[s]; t < a->offsets[s + 1]; ++t)
      if (a->padding_id >= 0 && a->ids[t] == a->padding_id)
        a->positions[t] = a->start - 1;
      else
        a->positions[t] = next++;
  }
}

static const pith_kernel positions_plain = {
    .name = "positions_plain",
    .count_tasks = positions_count,
    .run = positions_run,
};

const pith_kernel *const pith_positions_kernels[] = {&positions_plain, NULL};
