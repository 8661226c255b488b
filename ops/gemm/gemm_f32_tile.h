/* The body of a tile, rows x vectors of 16 outputs in registers: included after a v16 header. */
#ifndef PITH_OPS_GEMM_F32_TILE_H
#define PITH_OPS_GEMM_F32_TILE_H

#include "ops/gemm/gemm_f32_blocked.h"

enum {
  GEMM_TILE_MAX_VECTORS = PITH_GEMM_BLOCK / 16,
  /* Rows that share a pointer: [p], [p + s], [p + 2 s] need two registers only. */
  GEMM_TILE_POINTER_ROWS = 3,
  GEMM_TILE_MAX_POINTERS = (PITH_GEMM_MAX_ROWS + GEMM_TILE_POINTER_ROWS - 1) / GEMM_TILE_POINTER_ROWS
};

/* Where a tile's loop stands: pointers to rows of x, and to the weights. */
typedef struct gemm_tile_cursor {
  const float *x[GEMM_TILE_MAX_POINTERS];
  const float *w;
} gemm_tile_cursor;

/* `lines`: how many lines from `next` on are prefetched for each of `count` k, at least; a step's further lines are left to
 * the CPU. */
V16_INLINE void gemm_tile_sum(const size_t rows, const size_t vectors, const size_t lines, const pith_gemm_f32_tile *t,
                              const char *next, size_t step, size_t count, gemm_tile_cursor *cursor,
                              v16 sums[PITH_GEMM_MAX_ROWS][GEMM_TILE_MAX_VECTORS]) {
  const size_t x_stride = t->x_stride, w_stride = t->w_stride;
  const size_t pointers = (rows + GEMM_TILE_POINTER_ROWS - 1) / GEMM_TILE_POINTER_ROWS;
  for (size_t k = count; k > 0; --k) {
#pragma GCC unroll 4
    for (size_t line = 0; line < lines; ++line)
      __builtin_prefetch(next + line * PITH_GEMM_LINE_BYTES, 0, 2); /* into the second level */
    next += step;
    v16 b[GEMM_TILE_MAX_VECTORS];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      b[j] = v16_load(cursor->w + 16 * j);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
      const v16 a = v16_set(cursor->x[i / GEMM_TILE_POINTER_ROWS][i % GEMM_TILE_POINTER_ROWS * x_stride]);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = v16_fma(a, b[j], sums[i][j]);
    }
    cursor->w += w_stride;
#pragma GCC unroll 2
    for (size_t p = 0; p < pointers; ++p)
      ++cursor->x[p];
  }
}

V16_INLINE void gemm_tile(const size_t rows, const size_t vectors, const pith_gemm_f32_tile *t) {
  v16 sums[PITH_GEMM_MAX_ROWS][GEMM_TILE_MAX_VECTORS];
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      sums[i][j] = t->in ? v16_load(t->in + i * t->in_stride + 16 * j) : v16_set(0.0f);
  gemm_tile_cursor cursor = {.w = t->w};
#pragma GCC unroll 2
  for (size_t p = 0; p < (rows + GEMM_TILE_POINTER_ROWS - 1) / GEMM_TILE_POINTER_ROWS; ++p) {
    cursor.x[p] = t->x + p * GEMM_TILE_POINTER_ROWS * t->x_stride;
    __asm__("" : "+r"(cursor.x[p])); /* else the compiler derives all from one and runs out of registers */
  }
  const size_t row_lines = pith_gemm_f32_row_lines(t->k);
  for (size_t row = 0; row < t->next_rows; ++row)
    gemm_tile_sum(rows, vectors, 1, t, (const char *)(t->next_x + row * t->x_stride), PITH_GEMM_LINE_BYTES, row_lines,
                  &cursor, sums);
  const size_t rest = t->k - t->next_rows * row_lines;
  if (t->next_step > PITH_GEMM_LINE_BYTES)
    gemm_tile_sum(rows, vectors, rows < 4 ? 4 : 2, t, t->next, t->next_step, rest, &cursor, sums);
  else
    gemm_tile_sum(rows, vectors, 1, t, t->next, t->next_step, rest, &cursor, sums);
  if (t->bias)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j) {
      const v16 bias = v16_load(t->bias + 16 * j);
#pragma GCC unroll 6
      for (size_t i = 0; i < rows; ++i)
        sums[i][j] = v16_add(sums[i][j], bias);
    }
  if (t->residual)
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = v16_add(sums[i][j], v16_load(t->residual + i * t->residual_stride + 16 * j));
  float *out = t->out;
  const size_t out_stride = t->out_stride;
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      v16_store(out + i * out_stride + 16 * j, sums[i][j]);
}

#endif
