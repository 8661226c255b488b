/* Transpose of floats, included after a v16 header; other elements go by the reference. */
#include <stdbool.h>

#include "ops/copy/transpose_block.h"
#include "ops/copy/transpose_internal.h"
#include "ops/split.h"

enum {
  TRANSPOSE_GRAIN = 64,  /* columns that tasks are made of */
  TRANSPOSE_STRIP = 128, /* columns that are gone through together: of each row some lines, which lie together in a page */
  TRANSPOSE_BLOCK = 16
};

static size_t transpose_grains(const pith_transpose_args *a) {
  return a->rows ? (a->columns + TRANSPOSE_GRAIN - 1) / TRANSPOSE_GRAIN : 0;
}

static size_t transpose_count(const void *args, size_t threads) {
  const pith_transpose_args *a = args;
  return a->element_bytes == sizeof(float) ? pith_split_count(transpose_grains(a), 2 * TRANSPOSE_GRAIN * a->rows, threads)
                                           : pith_transpose_reference.count_tasks(args, threads);
}

/* Up to 16 rows; meanwhile the next 16 are prefetched, and the lines that they go to. */
V16_INLINE void transpose_rows(const pith_transpose_args *a, size_t row, size_t first, size_t last) {
  const size_t rows = a->rows - row < TRANSPOSE_BLOCK ? a->rows - row : TRANSPOSE_BLOCK;
  const bool more = a->rows - row >= 2 * TRANSPOSE_BLOCK;
  for (size_t column = first; column < last; column += TRANSPOSE_BLOCK) {
    const size_t columns = last - column < TRANSPOSE_BLOCK ? last - column : TRANSPOSE_BLOCK;
    const float *x = (const float *)a->x + row * a->columns + column;
    float *y = (float *)a->y + column * a->rows + row;
    if (more)
      PITH_UNROLL
      for (size_t i = 0; i < TRANSPOSE_BLOCK; ++i) {
        __builtin_prefetch(x + (TRANSPOSE_BLOCK + i) * a->columns);
        __builtin_prefetch(y + i * a->rows + TRANSPOSE_BLOCK, 1);
      }
    transpose_block(rows, columns, rows, x, a->columns, y, a->rows);
  }
}

static void transpose_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_transpose_args *a = args;
  if (a->element_bytes != sizeof(float)) {
    pith_transpose_reference.run(args, threads, task, scratch);
    return;
  }
  const size_t grains = transpose_grains(a), tasks = transpose_count(args, threads);
  const size_t end = pith_split_begin(grains, tasks, task + 1) * TRANSPOSE_GRAIN;
  const size_t last = end < a->columns ? end : a->columns;
  for (size_t column = pith_split_begin(grains, tasks, task) * TRANSPOSE_GRAIN; column < last; column += TRANSPOSE_STRIP)
    for (size_t row = 0; row < a->rows; row += TRANSPOSE_BLOCK)
      transpose_rows(a, row, column, last - column < TRANSPOSE_STRIP ? last : column + TRANSPOSE_STRIP);
}

const pith_kernel V16_NAME(pith_transpose) = {
    .name = "transpose_16x16_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = transpose_count,
    .run = transpose_run,
};
