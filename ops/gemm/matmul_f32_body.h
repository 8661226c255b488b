/* y = a b, included after a v16 header: 4 rows x 16 columns at a time, b read in place. Rarely used (attention has its
 * own kernels), so nothing is packed. */
#ifndef PITH_OPS_MATMUL_F32_BODY_H
#define PITH_OPS_MATMUL_F32_BODY_H

#include "ops/gemm/matmul_f32_internal.h"

enum { MATMUL_TILE_ROWS = 4, MATMUL_TASK_TILES = 8 };

V16_INLINE void matmul_tile(const size_t rows, const bool whole, const pith_matmul_f32_args *m, size_t row,
                            size_t column) {
  const m16 mask = m16_first(whole ? 16 : m->n - column);
  v16 sums[MATMUL_TILE_ROWS];
#pragma GCC unroll 4
  for (size_t i = 0; i < rows; ++i)
    sums[i] = v16_set(0.0f);
  const float *a = m->a + row * m->a_stride;
  for (size_t k = 0; k < m->k; ++k) {
    const float *p = m->b + k * m->b_stride + column;
    const v16 b = whole ? v16_load(p) : v16_load_masked(mask, p);
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i)
      sums[i] = v16_fma(v16_set(a[i * m->a_stride + k]), b, sums[i]);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < rows; ++i) {
    float *y = m->y + (row + i) * m->y_stride + column;
    if (whole)
      v16_store(y, sums[i]);
    else
      v16_store_masked(mask, y, sums[i]);
  }
}

static size_t matmul_count_tasks(const void *args, size_t threads) {
  const pith_matmul_f32_args *m = args;
  (void)threads;
  const size_t step = MATMUL_TILE_ROWS * MATMUL_TASK_TILES;
  return m->n ? (m->m + step - 1) / step : 0;
}

static void matmul_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_matmul_f32_args *m = args;
  (void)threads;
  (void)scratch;
  const size_t first = task * MATMUL_TILE_ROWS * MATMUL_TASK_TILES;
  const size_t left = m->m - first, most = MATMUL_TILE_ROWS * MATMUL_TASK_TILES;
  const size_t last = first + (left < most ? left : most);
  for (size_t column = 0; column < m->n; column += 16) {
    const bool whole = m->n - column >= 16;
    size_t row = first;
    for (; row + MATMUL_TILE_ROWS <= last; row += MATMUL_TILE_ROWS)
      if (whole)
        matmul_tile(MATMUL_TILE_ROWS, true, m, row, column);
      else
        matmul_tile(MATMUL_TILE_ROWS, false, m, row, column);
    for (; row < last; ++row)
      if (whole)
        matmul_tile(1, true, m, row, column);
      else
        matmul_tile(1, false, m, row, column);
  }
}

const pith_kernel V16_NAME(pith_matmul_f32) = {
    .name = "matmul_f32f32_4x16_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = matmul_count_tasks,
    .run = matmul_run,
};

#endif
