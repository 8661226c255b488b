/* The register tile of both attention products: y[r][c] = sum over k of a[r][k] * b[k][c], each a chain of fused
 * multiply-adds from 0 in ascending k, rows x vectors of accumulators in registers. Included after a v16 header. A row's
 * chain over values ends at the last key it sees: 0 times what lies behind could be NaN. */
#ifndef PITH_OPS_ATTENTION_TILE_H
#define PITH_OPS_ATTENTION_TILE_H

#include <float.h>
#include <stdbool.h>

#include "ops/split.h"

typedef struct attention_tile_args {
  const float *a;  /* [rows, k] */
  size_t a_stride;
  const float *b; /* [k][16 * vectors] */
  size_t k;  /* scores: of every chain */
  float *y; /* [rows, 16 * vectors] */
  size_t y_stride;
  float *maxima;          /* scores: [rows][16], raised to the largest of each lane */
  const float *row_scale; /* values: times row r's sums */
  size_t last_lanes;      /* lanes of the last vector that exist, 1 to 16; scores: behind them stands 0 */
  const size_t *ends;     /* values: where row r's chain ends; they ascend */
} attention_tile_args;

/* Loops over k in twos: their counters and branches would take some 2 % of the time, and fours twice the code. */
#if defined(__clang__)
#define ATTENTION_UNROLL_2 _Pragma("clang loop unroll_count(2)")
#else
#define ATTENTION_UNROLL_2 _Pragma("GCC unroll 2")
#endif

/* At most 12 rows. */
enum { ATTENTION_TILE_MAX_ROWS = V16_TILE_ACCUMULATORS < 12 ? V16_TILE_ACCUMULATORS : 12 };
V16_INLINE size_t attention_tile_most(size_t vectors) {
  const size_t fit = V16_TILE_ACCUMULATORS / vectors;
  return fit < ATTENTION_TILE_MAX_ROWS ? fit : ATTENTION_TILE_MAX_ROWS;
}

/* rows, vectors and is_values are constants where this is expanded. Rows are reached as base, base + stride and
 * base + 2 stride, which x86 addresses without a pointer for each. */
V16_INLINE void attention_tile(const attention_tile_args *t, size_t rows, size_t vectors, bool is_values) {
  v16 sum[ATTENTION_TILE_MAX_ROWS * V16_TILE_VECTORS];
  const float *base[(ATTENTION_TILE_MAX_ROWS + 2) / 3];
  const float *b = t->b;
  const size_t stride = t->a_stride, common = is_values ? t->ends[0] : t->k;
  PITH_UNROLL
  for (size_t i = 0; i < rows * vectors; ++i)
    sum[i] = v16_set(0.0f);
  PITH_UNROLL
  for (size_t r = 0; r < rows; r += 3)
    base[r / 3] = t->a + r * stride;
  ATTENTION_UNROLL_2
  for (size_t k = common; k > 0; --k) {
    v16 column[V16_TILE_VECTORS];
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      column[v] = v16_load(b + 16 * v);
    b += 16 * vectors;
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
  for (size_t k = common; is_values && k < t->ends[rows - 1]; ++k, b += 16 * vectors) /* row 0's chain has ended */
    PITH_UNROLL
    for (size_t r = 1; r < rows; ++r)
      if (k < t->ends[r]) {
        const v16 x = v16_set(t->a[r * stride + k]);
        PITH_UNROLL
        for (size_t v = 0; v < vectors; ++v)
          sum[r * vectors + v] = v16_fma(x, v16_load(b + 16 * v), sum[r * vectors + v]);
      }
  const m16 last = m16_first(t->last_lanes);
  PITH_UNROLL
  for (size_t r = 0; r < rows; ++r) {
    float *y = t->y + r * t->y_stride;
    const v16 *row = sum + r * vectors;
    if (is_values) {
      const v16 scale = v16_set(t->row_scale[r]);
      PITH_UNROLL
      for (size_t v = 0; v + 1 < vectors; ++v)
        v16_store(y + 16 * v, v16_mul(row[v], scale));
      v16_store_masked(last, y + 16 * (vectors - 1), v16_mul(row[vectors - 1], scale));
    } else {
      const v16 lowest = v16_set(-FLT_MAX);
      v16 max = v16_max(v16_load(t->maxima + 16 * r), v16_select(last, row[vectors - 1], lowest));
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v) {
        v16_store(y + 16 * v, row[v]);
        if (v + 1 < vectors)
          max = v16_max(max, row[v]);
      }
      v16_store(t->maxima + 16 * r, max);
    }
  }
}

/* A tile of 1 to ATTENTION_TILE_MAX_ROWS rows that fits the registers. */
V16_INLINE void attention_tile_rows(const attention_tile_args *t, size_t rows, size_t vectors, bool is_values) {
  switch (rows) {
#define ATTENTION_TILE_CASE(n)                                                                             \
  case n:                                                                                                  \
    if (n <= attention_tile_most(vectors))                                                                 \
      attention_tile(t, n <= ATTENTION_TILE_MAX_ROWS ? n : 1, vectors, is_values);                         \
    break;
    ATTENTION_TILE_CASE(1)
    ATTENTION_TILE_CASE(2)
    ATTENTION_TILE_CASE(3)
    ATTENTION_TILE_CASE(4)
    ATTENTION_TILE_CASE(5)
    ATTENTION_TILE_CASE(6)
    ATTENTION_TILE_CASE(7)
    ATTENTION_TILE_CASE(8)
    ATTENTION_TILE_CASE(9)
    ATTENTION_TILE_CASE(10)
    ATTENTION_TILE_CASE(11)
    ATTENTION_TILE_CASE(12)
#undef ATTENTION_TILE_CASE
  default: break;
  }
}

/* Any number of rows, as tiles of nearly equal heights: a tile of one or two rows would wait for its own chains. */
V16_INLINE void attention_tiles(attention_tile_args t, size_t rows, size_t vectors, bool is_values) {
  const size_t most = attention_tile_most(vectors), count = (rows + most - 1) / most;
  const attention_tile_args all = t;
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = pith_split_begin(rows, count, i), end = pith_split_begin(rows, count, i + 1);
    t.a = all.a + begin * t.a_stride;
    t.y = all.y + begin * t.y_stride;
    if (is_values) {
      t.row_scale = all.row_scale + begin;
      t.ends = all.ends + begin;
    } else
      t.maxima = all.maxima + 16 * begin;
    attention_tile_rows(&t, end - begin, vectors, is_values);
  }
}

V16_INLINE void attention_tiles_wide(attention_tile_args t, size_t rows, size_t vectors, bool is_values) {
  switch (vectors) { /* each call expands with a constant */
#if V16_TILE_VECTORS >= 2
  case 2: attention_tiles(t, rows, 2, is_values); break;
#endif
#if V16_TILE_VECTORS >= 4
  case 3: attention_tiles(t, rows, 3, is_values); break;
  case 4: attention_tiles(t, rows, 4, is_values); break;
#endif
  default: attention_tiles(t, rows, 1, is_values); break;
  }
}

static void attention_scores(attention_tile_args t, size_t rows, size_t vectors) {
  attention_tiles_wide(t, rows, vectors, false);
}
static void attention_values(attention_tile_args t, size_t rows, size_t vectors) {
  attention_tiles_wide(t, rows, vectors, true);
}

#endif
