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

/* `lines`: how many lines are prefetched for each k, at least; a step's further lines are left to the CPU. */
V16_INLINE void gemm_tile_sum(const size_t rows, const size_t vectors, const size_t lines, const pith_gemm_f32_tile *t,
                              v16 sums[PITH_GEMM_MAX_ROWS][GEMM_TILE_MAX_VECTORS]) {
  const size_t x_stride = t->x_stride, w_stride = t->w_stride, step = t->next_step;
  const size_t pointers = (rows + GEMM_TILE_POINTER_ROWS - 1) / GEMM_TILE_POINTER_ROWS;
  const float *x[GEMM_TILE_MAX_POINTERS];
  for (size_t p = 0; p < pointers; ++p) {
    x[p] = t->x + p * GEMM_TILE_POINTER_ROWS * x_stride;
    __asm__("" : "+r"(x[p])); /* else the compiler derives all from one and runs out of registers */
  }
  const float *w = t->w;
  const char *next = t->next;
  for (size_t k = t->k; k > 0; --k) {
#pragma GCC unroll 4
    for (size_t line = 0; line < lines; ++line)
      __builtin_prefetch(next + line * PITH_GEMM_LINE_BYTES, 0, 2); /* into the second level */
    next += step;
    v16 b[GEMM_TILE_MAX_VECTORS];
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      b[j] = v16_load(w + 16 * j);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
      const v16 a = v16_set(x[i / GEMM_TILE_POINTER_ROWS][i % GEMM_TILE_POINTER_ROWS * x_stride]);
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        sums[i][j] = v16_fma(a, b[j], sums[i][j]);
    }
    w += w_stride;
    for (size_t p = 0; p < pointers; ++p)
      ++x[p];
  }
}

V16_INLINE void gemm_tile(const size_t rows, const size_t vectors, const pith_gemm_f32_tile *t) {
  v16 sums[PITH_GEMM_MAX_ROWS][GEMM_TILE_MAX_VECTORS];
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      sums[i][j] = t->in ? v16_load(t->in + i * t->in_stride + 16 * j) : v16_set(0.0f);
  if (t->next_step > PITH_GEMM_LINE_BYTES)
    gemm_tile_sum(rows, vectors, 4, t, sums);
  else
    gemm_tile_sum(rows, vectors, 1, t, sums);
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
