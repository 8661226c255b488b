/* The register tile of both products of attention: y = a b, chains from 0 (attention_chains.h). Included after a v16 header. A
 * row's chain over values ends at the last key it sees: 0 times what lies behind could be NaN. */
#ifndef PITH_OPS_ATTENTION_TILE_H
#define PITH_OPS_ATTENTION_TILE_H

#include <float.h>

#include "ops/attention/attention_chains.h"

typedef struct attention_tile_args {
  const float *a;  /* [rows, k] */
  size_t a_stride;
  const float *b; /* [k][16 * vectors] */
  size_t k;       /* of every chain; values: of the first row's, the shortest */
  float *y; /* [rows, 16 * vectors] */
  size_t y_stride;
  float *maxima;          /* scores: [rows][16], raised to the largest of each lane */
  const float *row_scale; /* values: times row r's sums */
  size_t last_lanes;      /* lanes of the last vector that exist, 1 to 16; scores: behind them stands 0 */
  const size_t *ends;     /* values: where row r's chain ends; they ascend */
} attention_tile_args;

V16_INLINE void attention_tile(const attention_tile_args *t, size_t rows, size_t vectors, bool is_values) {
  v16 sum[ATTENTION_TILE_MAX_ROWS * V16_TILE_VECTORS];
  PITH_UNROLL
  for (size_t i = 0; i < rows * vectors; ++i)
    sum[i] = v16_set(0.0f);
  attention_chains(t->a, t->a_stride, 1, t->b, t->k, rows, vectors, sum);
  const m16 last = m16_first(t->last_lanes);
  float *y = t->y;
  const size_t y_stride = t->y_stride;
  if (!is_values) {
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
    attention_store_last(t->last_lanes == 16, last, y + 16 * (vectors - 1), v16_mul(row[vectors - 1], scale));
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

#if V16_TILE_VECTORS == 1 /* few, and small beside a call */
#define ATTENTION_TILE_KIND V16_INLINE
#else
#define ATTENTION_TILE_KIND PITH_ONCE
#endif
#define ATTENTION_TILE_FUNCTION(vectors, rows)                                      \
  ATTENTION_TILE_KIND void attention_tile_##vectors##x##rows(const attention_tile_args *t, bool is_values) { \
    attention_tile(t, rows, vectors, is_values);                                    \
  }
ATTENTION_TILES(ATTENTION_TILE_FUNCTION)

V16_INLINE void attention_tile_any(const attention_tile_args *t, size_t rows, size_t vectors, bool is_values) {
#if V16_TILE_VECTORS == 1
  (void)vectors;
  switch (rows) {
#define ATTENTION_TILE_CASE(vectors, rows) \
  case rows: attention_tile_##vectors##x##rows(t, is_values); break;
    ATTENTION_TILES(ATTENTION_TILE_CASE)
  default: break;
  }
#else
#define ATTENTION_TILE_ENTRY(vectors, rows) [(vectors) - 1][(rows) - 1] = attention_tile_##vectors##x##rows,
  static void (*const functions[V16_TILE_VECTORS][ATTENTION_TILE_MAX_ROWS])(const attention_tile_args *, bool) = {
      ATTENTION_TILES(ATTENTION_TILE_ENTRY)};
  functions[vectors - 1][rows - 1](t, is_values);
#endif
}

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
      attention_tile_any(&common, height, vectors, true);
      attention_end_chains(t, sums, height, vectors);
    } else
      attention_tile_any(t, height, vectors, is_values);
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
