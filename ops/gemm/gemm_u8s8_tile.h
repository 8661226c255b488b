/* The body of a tile, rows x vectors of 16 outputs in registers: included after a v16 header, ops/math/functions.h and the
 * instruction set's
 *   s16                                   16 sums of 32 bits, in one register or two
 *   s16_set, s16_load, s16_store, s16_mul
 *   GEMM_STEPS                            how many products with a group of weights make a dot product: 1 or 2
 *   s16 gemm_weights(step, p)             what the weights of a group are in step `step`
 *   s16 gemm_dot(sums, x, weights)        x: 4 bytes, the same for each sum
 *   v16 gemm_load_sums(p)                 as floats
 *   void gemm_store_levels(q, is_u8, zero, levels)   rounded, plus zero, saturated
 * The rows of x have 4 bytes for each step of each group. */
#ifndef PITH_OPS_GEMM_U8S8_TILE_H
#define PITH_OPS_GEMM_U8S8_TILE_H

#include <string.h>

#include "ops/gemm/gemm_u8s8_finish.h"

enum {
  GEMM_MAX_VECTORS = PITH_GEMM_U8S8_PANEL / 16,
  /* Rows that share a pointer: [p], [p + s], [p + 2 s] need two registers only. */
  GEMM_POINTER_ROWS = 3,
  GEMM_MAX_POINTERS = (PITH_GEMM_U8S8_MAX_ROWS + GEMM_POINTER_ROWS - 1) / GEMM_POINTER_ROWS,
};

V16_INLINE s16 gemm_inputs(const uint8_t *p) {
  int32_t bytes;
  memcpy(&bytes, p, sizeof bytes);
  return s16_set(bytes);
}

V16_INLINE void gemm_tile_start(const size_t rows, const size_t vectors, const pith_gemm_u8s8_tile *t,
                           s16 sums[][GEMM_MAX_VECTORS]) {
  const size_t block = t->block_bytes;
  const int8_t *w_sums = t->w + block - PITH_GEMM_U8S8_GROUP_BYTES;
#pragma GCC unroll 4
  for (size_t j = 0; j < vectors; ++j) {
    const s16 of_w = s16_load(w_sums + j * block);
    if (t->zero_per_row) {
#pragma GCC unroll 6
      for (size_t i = 0; i < rows; ++i)
        sums[i][j] = s16_mul(of_w, s16_set(t->minus_zero[i]));
    } else {
      const s16 start = s16_mul(of_w, s16_set(t->minus_zero[0]));
#pragma GCC unroll 6
      for (size_t i = 0; i < rows; ++i)
        sums[i][j] = start;
    }
  }
}

/* Where the sum of a tile has got to. */
typedef struct gemm_cursor {
  const uint8_t *x[GEMM_MAX_POINTERS];
  const int8_t *w;
  const char *next;
} gemm_cursor;

/* With `fetches`, lines of what is computed next are prefetched at each group. */
V16_INLINE void gemm_tile_sum(const size_t rows, const size_t vectors, const bool fetches, const pith_gemm_u8s8_tile *t,
                              size_t groups, gemm_cursor *at, s16 sums[][GEMM_MAX_VECTORS]) {
  const size_t block = t->block_bytes, stride = t->x_stride, pointers = (rows + GEMM_POINTER_ROWS - 1) / GEMM_POINTER_ROWS;
  gemm_cursor c = *at;
#pragma GCC unroll 1
  for (; groups > 0; --groups) {
#pragma GCC unroll 2
    for (int step = 0; step < GEMM_STEPS; ++step) {
      s16 b[GEMM_MAX_VECTORS];
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        b[j] = gemm_weights(step, c.w + j * block);
#pragma GCC unroll 6
      for (size_t i = 0; i < rows; ++i) {
        const s16 a = gemm_inputs(c.x[i / GEMM_POINTER_ROWS] + i % GEMM_POINTER_ROWS * stride + 4 * step);
#pragma GCC unroll 4
        for (size_t j = 0; j < vectors; ++j)
          sums[i][j] = gemm_dot(sums[i][j], a, b[j]);
      }
    }
    if (fetches) {
#pragma GCC unroll 4
      for (size_t j = 0; j < vectors; ++j)
        __builtin_prefetch(c.next + j * block, 0, 3);
      c.next += PITH_GEMM_U8S8_GROUP_BYTES;
    }
    c.w += PITH_GEMM_U8S8_GROUP_BYTES;
    for (size_t p = 0; p < pointers; ++p)
      c.x[p] += 4 * GEMM_STEPS;
  }
  *at = c;
}

/* The last inputs of each row that ends within a group, without a read past them. Not inlined: it would be most of each tile's
 * code. */
__attribute__((noinline, unused)) static void gemm_read_rest(const pith_gemm_u8s8_tile *t, const gemm_cursor *at, size_t rows,
                                                             int32_t inputs[PITH_GEMM_U8S8_MAX_ROWS]) {
  for (size_t i = 0; i < rows; ++i) {
    inputs[i] = 0;
    memcpy(&inputs[i], at->x[i / GEMM_POINTER_ROWS] + i % GEMM_POINTER_ROWS * t->x_stride, t->rest);
  }
}

V16_INLINE void gemm_tile_sum_rest(const size_t rows, const size_t vectors, const pith_gemm_u8s8_tile *t,
                                   const gemm_cursor *at, s16 sums[][GEMM_MAX_VECTORS]) {
  int32_t inputs[PITH_GEMM_U8S8_MAX_ROWS];
  if (t->rest == 0)
    return;
  gemm_read_rest(t, at, rows, inputs);
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      sums[i][j] = gemm_dot(sums[i][j], s16_set(inputs[i]), gemm_weights(0, at->w + j * t->block_bytes));
}

V16_INLINE void gemm_tile(const size_t rows, const size_t vectors, const bool finishes, const gemm_kind kind,
                     const pith_gemm_u8s8_tile *t, const pith_gemm_u8s8_finish *before) {
  const size_t groups = t->groups;
  s16 sums[PITH_GEMM_U8S8_MAX_ROWS][GEMM_MAX_VECTORS];
  gemm_tile_start(rows, vectors, t, sums);
  gemm_cursor at = {.w = t->w, .next = t->next};
  for (size_t i = 0; i < rows; i += GEMM_POINTER_ROWS)
    at.x[i / GEMM_POINTER_ROWS] = t->x + i * t->x_stride;
  gemm_tile_sum(rows, vectors, true, t, t->fetch_groups, &at, sums);
  size_t left = groups - t->fetch_groups;
  if (finishes) {
    const quantizer to_8bit = gemm_quantizer(before);
    const size_t share = left / PITH_GEMM_U8S8_MAX_ROWS;
    const char *out = t->out, *residual = t->residual;
#pragma GCC unroll 1
    for (size_t i = 0; i < before->rows; ++i) {
#pragma GCC unroll 4
      for (size_t line = 0; line < 4; ++line) {
        if (!kind.q)
          __builtin_prefetch(out + 64 * line, 1, 3);
        if (kind.residual)
          __builtin_prefetch(residual + 64 * line, 0, 3);
      }
      out += t->out_stride;
      residual += t->residual_stride;
      gemm_tile_sum(rows, vectors, false, t, share, &at, sums);
      gemm_finish_row(kind, before, &to_8bit, i, PITH_GEMM_U8S8_PANEL, m16_first(0));
    }
    left -= share * before->rows;
  }
  gemm_tile_sum(rows, vectors, false, t, left, &at, sums);
  gemm_tile_sum_rest(rows, vectors, t, &at, sums);
  int32_t *out = t->sums;
#pragma GCC unroll 6
  for (size_t i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; ++j)
      s16_store(out + i * PITH_GEMM_U8S8_PANEL + 16 * j, sums[i][j]);
}

#endif
