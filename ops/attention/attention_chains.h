/* Register tiles of attention's products: sum[r][c] += sum over k of a[r][k] * b[k][c], each a chain of fused multiply-adds in
 * ascending k, rows x vectors of accumulators in registers. Included after a v16 header. */
#ifndef PITH_OPS_ATTENTION_CHAINS_H
#define PITH_OPS_ATTENTION_CHAINS_H

#include <stdbool.h>

#include "ops/math/once.h"

/* Loops over k of large tiles in twos: their counters and branches would take some 2 % of the time; fours are twice the code,
 * and small tiles wait for loads or for their chains. */
#if defined(__clang__)
#define ATTENTION_UNROLL(n) _Pragma(ATTENTION_TEXT(clang loop unroll_count(n)))
#else
#define ATTENTION_UNROLL(n) _Pragma(ATTENTION_TEXT(GCC unroll n))
#endif
#define ATTENTION_TEXT(x) #x
enum { ATTENTION_LARGE_TILE = V16_TILE_VECTORS == 4 ? 16 : 1 }; /* rows * vectors */

enum { ATTENTION_TILE_MAX_ROWS = V16_TILE_ACCUMULATORS < 12 ? V16_TILE_ACCUMULATORS : 12 };
/* One element of every chain. Rows are reached as base, base + stride and base + 2 stride, which x86 addresses without a
 * pointer for each; the next elements lie `step` further. */
V16_INLINE void attention_step(const float **base, size_t stride, size_t step, const float *b, size_t rows, size_t vectors,
                               v16 *sum) {
  v16 column[V16_TILE_VECTORS];
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v)
    column[v] = v16_load(b + 16 * v);
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r) {
    const v16 x = v16_set(base[r / 3][r % 3 * stride]);
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      sum[r * vectors + v] = v16_fma(x, column[v], sum[r * vectors + v]);
  }
  PITH_UNROLL
  for (size_t r = 0; r < rows; r += 3)
    base[r / 3] += step;
}

/* sum += the chains over k elements: a, [rows, k], of row r at a + r * stride, `step` apart; rows and vectors are constants where
 * this is expanded. */
V16_INLINE void attention_chains(const float *a, size_t stride, size_t step, const float *b, size_t k, size_t rows,
                                 size_t vectors, v16 *sum) {
  const float *base[(ATTENTION_TILE_MAX_ROWS + 2) / 3];
  PITH_UNROLL
  for (size_t r = 0; r < rows; r += 3)
    base[r / 3] = a + r * stride;
  if (rows * vectors >= ATTENTION_LARGE_TILE) {
    ATTENTION_UNROLL(2)
    for (; k > 0; --k, b += 16 * vectors)
      attention_step(base, stride, step, b, rows, vectors, sum);
  } else {
    ATTENTION_UNROLL(1)
    for (; k > 0; --k, b += 16 * vectors)
      attention_step(base, stride, step, b, rows, vectors, sum);
  }
}

/* A function for each height and width that fits the registers, but 8 rows at most of two vectors; both products share them,
 * and a compiler's time grows faster than a function. */
#define ATTENTION_TILES_2(DO, v) DO(v, 1) DO(v, 2)
#define ATTENTION_TILES_6(DO, v) ATTENTION_TILES_2(DO, v) DO(v, 3) DO(v, 4) DO(v, 5) DO(v, 6)
#define ATTENTION_TILES_8(DO, v) ATTENTION_TILES_6(DO, v) DO(v, 7) DO(v, 8)
#define ATTENTION_TILES_12(DO, v) ATTENTION_TILES_8(DO, v) DO(v, 9) DO(v, 10) DO(v, 11) DO(v, 12)
#if V16_TILE_VECTORS == 4 && V16_TILE_ACCUMULATORS == 24
#define ATTENTION_TILES(DO)                                                                                    \
  ATTENTION_TILES_12(DO, 1) ATTENTION_TILES_8(DO, 2) ATTENTION_TILES_8(DO, 3) ATTENTION_TILES_6(DO, 4)
#define ATTENTION_TILE_MOST 12, 8, 8, 6
#elif V16_TILE_VECTORS == 1 && V16_TILE_ACCUMULATORS == 6
#define ATTENTION_TILES(DO) ATTENTION_TILES_6(DO, 1)
#define ATTENTION_TILE_MOST 6
#elif V16_TILE_VECTORS == 1 && V16_TILE_ACCUMULATORS == 2
#define ATTENTION_TILES(DO) ATTENTION_TILES_2(DO, 1)
#define ATTENTION_TILE_MOST 2
#else
#error "list the tiles that fit"
#endif

/* What a tile's last vector has: `whole` or the lanes of `last`. Some CPUs (Zen) take a dozen cycles to store masked. */
V16_INLINE void attention_store_last(bool whole, m16 last, float *y, v16 x) {
  if (whole)
    v16_store(y, x);
  else
    v16_store_masked(last, y, x);
}

static const size_t attention_tile_most[V16_TILE_VECTORS] = {ATTENTION_TILE_MOST};

#endif
