#include <string.h>

#include "ops/copy/transpose_internal.h"

enum { TILE = 16 }; /* 16 lines of each side fit the first cache */

static size_t count_tasks(const void *args, size_t threads) {
  (void)threads;
  const pith_transpose_args *a = args;
  return a->rows == 0 || a->columns == 0 ? 0 : (a->columns + TILE - 1) / TILE;
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads;
  (void)scratch;
  const pith_transpose_args *a = args;
  size_t begin = task * TILE, end = a->columns - begin > TILE ? begin + TILE : a->columns;
  for (size_t row = 0; row < a->rows; row += TILE)
    for (size_t c = begin; c < end; c++)
      for (size_t r = row; r < a->rows && r < row + TILE; r++)
        memcpy((char *)a->y + (c * a->rows + r) * a->element_bytes,
               (const char *)a->x + (r * a->columns + c) * a->element_bytes, a->element_bytes);
}

const pith_kernel pith_transpose_reference = {.name = "transpose_ref", .count_tasks = count_tasks, .run = run};

const pith_kernel *const pith_transpose_kernels[] = {
    &pith_transpose_reference,
#if defined(__x86_64__)
    &pith_transpose_avx2,
    &pith_transpose_avx512,
#endif
    NULL,
};
