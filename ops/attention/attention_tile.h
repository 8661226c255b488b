/* The register tile of both attention products: y[r][c] = sum over k of a[r][k] * b[k][c], each a chain of fused
 * multiply-adds from 0 in ascending k, rows x vectors of accumulators in registers. Included after a v16 header. A row's
 * chain over values ends at the last key it sees: 0 times what lies behind could be NaN. */
#ifndef PITH_OPS_ATTENTION_TILE_H
#define PITH_OPS_ATTENTION_TILE_H

#include <float.h>
#include <stdbool.h>

#include "ops/math/once.h"

typedef struct attention_tile_args {
  const float *a;  /* [rows, k] */
  size_t a_stride;
  const float *b; /* [k][16 * vectors] */
  size_t k;       /* of every chain; values: of the first row's, the shortest */
  float *y; /* [rows, 16 * vectors] */
  size_t y_stride;
  float *maxima;          /* scores: [rows][16], raised to the largest of each lane; NULL: values */
  const float *row_scale; /* values: times row r's sums */
  size_t last_lanes;      /* lanes of the last vector that exist, 1 to 16; scores: behind them stands 0 */
  const size_t *ends;     /* values: where row r's chain ends; they ascend */
} attention_tile_args;

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
 * pointer for each. */
V16_INLINE void attention_step(const float **base, size_t stride, const float *b, size_t rows, size_t vectors, v16 *sum) {
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
    ++base[r / 3];
}

/* rows and vectors are constants where this is expanded. */
V16_INLINE void attention_tile(const attention_tile_args *t, size_t rows, size_t vectors) {
  v16 sum[ATTENTION_TILE_MAX_ROWS * V16_TILE_VECTORS];
  const float *base[(ATTENTION_TILE_MAX_ROWS + 2) / 3];
  const float *b = t->b;
  const size_t stride = t->a_stride;
  PITH_UNROLL
  for (size_t i = 0; i < rows * vectors; ++i)
    sum[i] = v16_set(0.0f);
  PITH_UNROLL
  for (size_t r = 0; r < rows; r += 3)
    base[r / 3] = t->a + r * stride;
  if (rows * vectors >= ATTENTION_LARGE_TILE) {
    ATTENTION_UNROLL(2)
    for (size_t k = t->k; k > 0; --k, b += 16 * vectors)
      attention_step(base, stride, b, rows, vectors, sum);
  } else {
    ATTENTION_UNROLL(1)
    for (size_t k = t->k; k > 0; --k, b += 16 * vectors)
      attention_step(base, stride, b, rows, vectors, sum);
  }
  const m16 last = m16_first(t->last_lanes);
  float *y = t->y;
  const size_t y_stride = t->y_stride;
  if (t->maxima) {
    float *maxima = t->maxima;
    PITH_UNROLL
    for (size_t r = 0; r < rows; ++r, y += y_stride, maxima += 16) {
      const v16 *row = sum + r * vectors;
      const v16 lowest = v16_set(-FLT_MAX);
      v16 max = v16_max(v16_load(maxima), v16_select(last, row[vectors - 1], lowest));
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v) {
        v16_store(y + 16 * v, row[v]);
        if (v + 1 < vectors)
          max = v16_max(max, row[v]);
      }
      v16_store(maxima, max);
    }
    return;
  }
  const float *row_scale = t->row_scale;
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r, y += y_stride) {
    const v16 *row = sum + r * vectors, scale = v16_set(row_scale[r]);
    PITH_UNROLL
    for (size_t v = 0; v + 1 < vectors; ++v)
      v16_store(y + 16 * v, v16_mul(row[v], scale));
    v16_store_masked(last, y + 16 * (vectors - 1), v16_mul(row[vectors - 1], scale));
  }
}

/* The values of a tile whose rows see more and more keys: `sums`, [rows][16 * vectors], are those of the keys all rows see. */
PITH_ONCE void attention_end_chains(const attention_tile_args *t, const float *sums, size_t rows, size_t vectors) {
  for (size_t r = 0; r < rows; ++r) {
    const v16 scale = v16_set(t->row_scale[r]);
    for (size_t v = 0; v < vectors; ++v, sums += 16) {
      v16 sum = v16_load(sums);
      for (size_t k = t->k; k < t->ends[r]; ++k)
        sum = v16_fma(v16_set(t->a[r * t->a_stride + k]), v16_load(t->b + (k * vectors + v) * 16), sum);
      sum = v16_mul(sum, scale);
      float *y = t->y + r * t->y_stride + 16 * v;
      if (v + 1 < vectors)
        v16_store(y, sum);
      else
        v16_store_masked(m16_first(t->last_lanes), y, sum);
    }
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

#if V16_TILE_VECTORS == 1 /* few, and small beside a call */
#define ATTENTION_TILE_KIND V16_INLINE
#else
#define ATTENTION_TILE_KIND PITH_ONCE
#endif
#define ATTENTION_TILE_FUNCTION(vectors, rows)                                      \
  ATTENTION_TILE_KIND void attention_tile_##vectors##x##rows(const attention_tile_args *t) { \
    attention_tile(t, rows, vectors);                                               \
  }
ATTENTION_TILES(ATTENTION_TILE_FUNCTION)

V16_INLINE void attention_tile_any(const attention_tile_args *t, size_t rows, size_t vectors) {
#if V16_TILE_VECTORS == 1
  (void)vectors;
  switch (rows) {
#define ATTENTION_TILE_CASE(vectors, rows) \
  case rows: attention_tile_##vectors##x##rows(t); break;
    ATTENTION_TILES(ATTENTION_TILE_CASE)
  default: break;
  }
#else
#define ATTENTION_TILE_ENTRY(vectors, rows) [(vectors) - 1][(rows) - 1] = attention_tile_##vectors##x##rows,
  static void (*const functions[V16_TILE_VECTORS][ATTENTION_TILE_MAX_ROWS])(const attention_tile_args *) = {
      ATTENTION_TILES(ATTENTION_TILE_ENTRY)};
  functions[vectors - 1][rows - 1](t);
#endif
}

static const size_t attention_tile_most[V16_TILE_VECTORS] = {ATTENTION_TILE_MOST};

/* Any number of rows, as tiles of nearly equal heights: a tile of one or two rows would wait for its own chains. */
V16_INLINE void attention_tiles(attention_tile_args *t, size_t rows, size_t vectors, bool is_values) {
  static const float one[12] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
  size_t count = 1;
  while (count * attention_tile_most[vectors - 1] < rows)
    ++count;
  const size_t least = count == 1 ? rows : rows / count, higher = rows - least * count;
  for (size_t i = 0; i < count; ++i) {
    const size_t height = least + (i < higher);
    if (is_values)
      t->k = t->ends[0];
    if (is_values && t->k < t->ends[height - 1]) {
      float sums[V16_TILE_ACCUMULATORS * 16];
      attention_tile_args common = *t;
      common.y = sums;
      common.y_stride = 16 * vectors;
      common.last_lanes = 16;
      common.row_scale = one; /* leaves them as they are */
      attention_tile_any(&common, height, vectors);
      attention_end_chains(t, sums, height, vectors);
    } else
      attention_tile_any(t, height, vectors);
    t->a += height * t->a_stride;
    t->y += height * t->y_stride;
    if (is_values) {
      t->row_scale += height;
      t->ends += height;
    } else
      t->maxima += 16 * height;
  }
}

static void attention_scores(attention_tile_args t, size_t rows, size_t vectors) {
  attention_tiles(&t, rows, vectors, false);
}
static void attention_values(attention_tile_args t, size_t rows, size_t vectors) {
  attention_tiles(&t, rows, vectors, true);
}

#endif
